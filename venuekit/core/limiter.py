"""Weighted rate buckets: who may go now, cancels first, with what the server says folded in. No I/O."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping

from attrs import define, field

from venuekit.interfaces.manifest import Bucket, Operation, Seconds


@define
class _Level:
    """What one bucket holds: units refilled continuously, or uses remembered by block height."""

    bucket: Bucket
    units: float
    at_ns: int
    uses: deque[tuple[int, int]] = field(factory=deque)
    blocked_until_ns: int = 0

    def refill(self, now_ns: int) -> None:
        per = self.bucket.per
        if isinstance(per, Seconds):
            gained = (now_ns - self.at_ns) * self.bucket.rate / (per.n * 1e9)
            self.units = min(float(self.bucket.burst), self.units + max(0.0, gained))
        self.at_ns = now_ns

    def wait_ns(self, cost: int, now_ns: int, height: int) -> int | None:
        """Nanoseconds until `cost` fits; None: only a new block can tell."""
        if self.blocked_until_ns > now_ns:
            return self.blocked_until_ns - now_ns
        per = self.bucket.per
        if isinstance(per, Seconds):
            missing = min(cost, self.bucket.burst) - self.units
            return 0 if missing <= 1e-9 else int(missing * per.n * 1e9 / self.bucket.rate) + 1
        while self.uses and self.uses[0][0] <= height - per.n:
            self.uses.popleft()
        return 0 if sum(n for _, n in self.uses) + cost <= self.bucket.rate else None

    def take(self, cost: int, height: int) -> None:
        if isinstance(self.bucket.per, Seconds):
            self.units -= cost
        else:
            self.uses.append((height, cost))


@define
class Limiter:
    """Grants tickets in order of priority, then of asking; no bucket is ever overdrawn by us.

    A ticket whose bucket is short makes later tickets of the same or lower priority on that bucket wait
    too, so that a cheap read never starves a batch; buckets that do not touch do not wait for each other.
    """

    operations: Mapping[str, Operation]
    buckets: Mapping[str, Bucket]
    _levels: dict[str, _Level] = field(factory=dict)
    _queue: list[tuple[int, int, str]] = field(factory=list)
    _count: int = 0
    _height: int = 0

    def __attrs_post_init__(self) -> None:
        for name, bucket in self.buckets.items():
            self._levels[name] = _Level(bucket, float(bucket.burst), 0)

    def ask(self, op: str) -> int:
        """Queue one use of `op`; returns its ticket."""
        self._count += 1
        heapq.heappush(self._queue, (self.operations[op].priority.value, self._count, op))
        return self._count

    def withdraw(self, ticket: int) -> None:
        """A queued ticket is no longer wanted."""
        self._queue = [entry for entry in self._queue if entry[1] != ticket]
        heapq.heapify(self._queue)

    def apply_height(self, height: int) -> None:
        """A block of the venue was seen."""
        self._height = max(self._height, height)

    def grant(self, now_ns: int) -> tuple[list[int], int | None]:
        """Tickets that may go now, and nanoseconds until the next might (None: nothing waits for time)."""
        for level in self._levels.values():
            level.refill(now_ns)
        granted: list[int] = []
        short: set[str] = set()
        waits: list[int] = []
        left: list[tuple[int, int, str]] = []
        for entry in sorted(self._queue):
            costs = self.operations[entry[2]].costs
            needs = {
                name: self._levels[name].wait_ns(cost, now_ns, self._height) for name, cost in costs.items()
            }
            if short.isdisjoint(costs) and all(wait == 0 for wait in needs.values()):
                for name, cost in costs.items():
                    self._levels[name].take(cost, self._height)
                granted.append(entry[1])
                continue
            left.append(entry)
            short.update(name for name, wait in needs.items() if wait != 0)
            waits.extend(wait for wait in needs.values() if wait)
        self._queue = left
        heapq.heapify(self._queue)
        return granted, (min(waits) if waits else None)

    def apply_refusal(self, op: str, now_ns: int, retry_after_ns: int | None) -> None:
        """The venue said 429 to `op`: its buckets are empty, and closed for as long as it asked."""
        for name in self.operations[op].costs:
            level = self._levels[name]
            level.refill(now_ns)
            level.units = 0.0
            if retry_after_ns:
                level.blocked_until_ns = max(level.blocked_until_ns, now_ns + retry_after_ns)

    def apply_headers(self, op: str, now_ns: int, headers: Mapping[str, str]) -> None:
        """Fold in what the reply's headers say is left; a number we cannot read changes nothing."""
        for name in self.operations[op].costs:
            level = self._levels[name]
            text = (
                headers.get(level.bucket.remaining_header.lower(), "")
                if level.bucket.remaining_header
                else ""
            )
            if text.isdigit():
                level.refill(now_ns)
                level.units = min(level.units, float(text))

    def depth(self) -> int:
        """Tickets waiting."""
        return len(self._queue)
