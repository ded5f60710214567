"""Time: the only way to know it, to wait for it, and to draw randomness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import frozen


@frozen
class Tick:
    """The venue's own clock where it has one: a block height, seen at wall time `ts_ns`."""

    height: int
    ts_ns: int


@frozen
class AtWall:
    """A deadline in Unix nanoseconds of the venue's clock."""

    ns: int


@frozen
class AfterHeight:
    """A deadline that passes when a block above `height` is seen."""

    height: int


type Deadline = AtWall | AfterHeight


def passed(deadline: Deadline, wall_ns: int, tick: Tick | None) -> bool:
    """True when the deadline lies behind us; a block deadline never passes without a tick."""
    if isinstance(deadline, AtWall):
        return wall_ns >= deadline.ns
    return tick is not None and tick.height > deadline.height


class Cancel(Protocol):
    """A timer that can still be called off."""

    def cancel(self) -> None:
        """The callback will not run after this."""
        ...


class Clock(Protocol):
    """This machine's and the venue's time, monotonic time for every duration, timers, and the jitter draw."""

    def wall_ns(self) -> int:
        """This machine's Unix time in nanoseconds: for times of receipt, not for what the venue judges."""
        ...

    def venue_ns(self) -> int:
        """The venue's Unix time in nanoseconds, this machine's where it is not known: for what is signed, for
        the life of tokens, for deadlines, and beside times that the venue wrote.
        """
        ...

    def mono_ns(self) -> int:
        """Monotonic nanoseconds; use it for every timeout and interval."""
        ...

    def call_at(self, mono_ns: int, fn: Callable[[], None]) -> Cancel:
        """Run `fn` on the loop once monotonic time reaches `mono_ns`."""
        ...

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once monotonic time has reached `mono_ns`."""
        ...

    def draw(self) -> float:
        """A number in [0, 1) for jitter; seeded under the virtual clock."""
        ...
