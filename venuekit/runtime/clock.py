"""The clocks: real time on the running loop, virtual time that a test moves, and that of a virtual loop."""

from __future__ import annotations

import asyncio
import heapq
import random
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.interfaces.time import Cancel

if TYPE_CHECKING:
    from venuekit.runtime.virtual_loop import VirtualLoop


def entropy(count: int) -> bytes:
    """Random bytes that are fit for keys; for nothing that a run must repeat."""
    return secrets.token_bytes(count)


class RealClock:
    """Time of this machine; timers run on the asyncio loop of the caller."""

    def __init__(self) -> None:
        self._random = random.Random()

    def wall_ns(self) -> int:
        """Unix nanoseconds."""
        return time.time_ns()

    def venue_ns(self) -> int:
        """Unix nanoseconds: this clock knows no other."""
        return self.wall_ns()

    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""
        return time.monotonic_ns()

    def call_at(self, mono_ns: int, fn: Callable[[], None]) -> Cancel:
        """Run `fn` on the running loop at `mono_ns`; a moment in the past means: soon."""
        loop = asyncio.get_running_loop()
        return loop.call_later(max(0.0, (mono_ns - time.monotonic_ns()) / 1e9), fn)

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once `mono_ns` has come; a moment in the past lets the loop go on once."""
        await asyncio.sleep(max(0.0, (mono_ns - time.monotonic_ns()) / 1e9))
        while (left := mono_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(left / 1e9)

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        return self._random.random()


@define(order=False)
class _Timer:
    at_ns: int
    fn: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@define
class ManualClock:
    """Virtual time for tests of machines and services: it stands still until `advance`.

    Timers of one instant run in the order they were set.
    """

    wall_start_ns: int = 1_700_000_000_000_000_000
    seed: int = 0
    _now_ns: int = 0
    _count: int = 0
    _timers: list[tuple[int, int, _Timer]] = field(factory=list)
    _random: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def wall_ns(self) -> int:
        """The epoch of this clock plus virtual time."""
        return self.wall_start_ns + self._now_ns

    def venue_ns(self) -> int:
        """The same: this clock knows no other."""
        return self.wall_ns()

    def mono_ns(self) -> int:
        """Virtual nanoseconds since the start."""
        return self._now_ns

    def call_at(self, mono_ns: int, fn: Callable[[], None]) -> Cancel:
        """Run `fn` when `advance` reaches `mono_ns`."""
        timer = _Timer(mono_ns, fn)
        self._count += 1
        heapq.heappush(self._timers, (mono_ns, self._count, timer))
        return timer

    async def sleep_until(self, mono_ns: int) -> None:
        """Return when `advance` has reached `mono_ns`."""
        if mono_ns <= self._now_ns:
            await asyncio.sleep(0)
            return
        done = asyncio.get_running_loop().create_future()
        self.call_at(mono_ns, lambda: None if done.done() else done.set_result(None))
        await done

    def draw(self) -> float:
        """Seeded, uniform in [0, 1)."""
        return self._random.random()

    def next_timer_ns(self) -> int | None:
        """When the next timer is due, or None."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, ns: int) -> None:
        """Move time by `ns`, running every timer that falls due, in order."""
        end = self._now_ns + ns
        while (due := self.next_timer_ns()) is not None and due <= end:
            _, _, timer = heapq.heappop(self._timers)
            self._now_ns = max(self._now_ns, due)
            timer.fn()
        self._now_ns = end

    async def settle(self, rounds: int = 50) -> None:
        """Let the loop run what is ready, without moving time."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def run_for(self, ns: int) -> None:
        """Move time by `ns` timer by timer, letting the loop settle after each."""
        end = self._now_ns + ns
        await self.settle()
        while (due := self.next_timer_ns()) is not None and due <= end:
            self.advance(max(0, due - self._now_ns))
            await self.settle()
        self.advance(end - self._now_ns)
        await self.settle()


_MILLION = 1_000_000


class LoopClock:
    """The time of a virtual loop, with draws from a seed and a wall clock that can go wrong.

    A client and a venue each have one of their own, so the wall of one can be wrong for the other.
    """

    def __init__(
        self, loop: VirtualLoop, *, seed: int | str = 0, wall_start_ns: int = 1_700_000_000_000_000_000
    ) -> None:
        self._loop = loop
        self._random = random.Random(f"{seed}:clock")
        self._set_at_ns = loop.now_ns
        self._rate = _MILLION
        self._stopped = False
        self._wall_ns = wall_start_ns

    def wall_ns(self) -> int:
        """Unix nanoseconds as this clock shows them."""
        return self._wall_ns + (self._loop.now_ns - self._set_at_ns) * self._rate // _MILLION

    def venue_ns(self) -> int:
        """The same: this clock knows no other."""
        return self.wall_ns()

    def mono_ns(self) -> int:
        """Nanoseconds since the loop began; nothing but the loop moves them."""
        return self._loop.now_ns

    def call_at(self, mono_ns: int, fn: Callable[[], None]) -> Cancel:
        """Run `fn` at `mono_ns`, after what was set earlier for that moment; the past means: soon."""
        return self._loop.call_at_ns(max(mono_ns, self._loop.now_ns), self._fire, fn)

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once `mono_ns` has come; a moment in the past lets the loop go on once."""
        if mono_ns <= self._loop.now_ns:
            await asyncio.sleep(0)
            return
        done = self._loop.create_future()
        timer = self.call_at(mono_ns, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def draw(self) -> float:
        """Seeded, uniform in [0, 1)."""
        return self._random.random()

    def stop(self) -> None:
        """No timer of this clock fires any more: whoever set them is dead."""
        self._stopped = True

    def _fire(self, fn: Callable[[], None]) -> None:
        if not self._stopped:
            fn()

    def jump(self, ns: int) -> None:
        """The wall is `ns` later than before, or earlier; monotonic time and timers know nothing of it."""
        self._wall_ns, self._set_at_ns = self.wall_ns() + ns, self._loop.now_ns

    def drift(self, ppm: int) -> None:
        """From now on the wall gains `ppm` microseconds every second (0: it runs right again)."""
        self._wall_ns, self._set_at_ns = self.wall_ns(), self._loop.now_ns
        self._rate = _MILLION + ppm
