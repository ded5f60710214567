"""Counters that can be read back, and a gate that lets one log line of a kind through per interval."""

from __future__ import annotations

from collections import defaultdict

from venuekit.interfaces.time import Clock


class CounterTable:
    """The `Counters` of one opened venue."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: defaultdict[str, int] = defaultdict(int)

    def inc(self, name: str, n: int = 1) -> None:
        """Counter `name` is larger by `n` after this."""
        self._table[name] += n

    def get(self, name: str) -> int:
        """The value of `name`; 0 when it never counted."""
        return self._table.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """Every counter that ever counted, by name, in alphabetical order."""
        return dict(sorted(self._table.items()))


class LogGate:
    """Says when a kind of line may be logged again: a flood of one kind costs one line an interval."""

    def __init__(self, clock: Clock, interval_ns: int = 60_000_000_000) -> None:
        self._clock = clock
        self._interval_ns = interval_ns
        self._next_ns: dict[str, int] = {}

    def opens(self, kind: str) -> bool:
        """True at most once per interval and kind."""
        now = self._clock.mono_ns()
        if now < self._next_ns.get(kind, 0):
            return False
        self._next_ns[kind] = now + self._interval_ns
        return True
