"""The venue's clock beside this machine's: measured at the start, regularly, after a step or a refusal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.core.offset import CONFIRM_NS, Judged, Sample, VenueTime, WallSteps
from venuekit.errors import VenuekitError
from venuekit.runtime.tasks import TaskScope, bounded
from venuekit.runtime.telemetry import LogGate

if TYPE_CHECKING:
    import logging

    from venuekit.interfaces.manifest import TimeRule
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.interfaces.venue import TimeSource

_ANSWER_NS = 3_000_000_000
"""An answer that takes longer says too little."""
_AT_START = 3
"""Questions at the start: the quickest answer is the most exact."""
_LOOK_NS = 1_000_000_000
"""How often this machine's clock is compared with monotonic time."""
_FIRST_PAUSE_NS = 5_000_000_000
"""The pause after a failure, doubled after each further one."""
_MATTERS_NS = 50_000_000
"""A smaller correction is no reason to stamp a refused command anew."""


@frozen
class ClockReading:
    """What is known about the venue's clock now."""

    state: str
    """`local`: this machine's time is used; `measured`; `wild`: the venue's answer is not believed."""
    offset_ns: int | None = None
    """The venue's time minus this machine's."""
    error_ns: int | None = None
    """How far from the truth the offset may be."""


class VenueClock:
    """A `Clock` that also knows the venue's time; everything else is the clock that it stands on."""

    def __init__(self, clock: Clock) -> None:
        self.time: VenueTime | None = None
        """Set once the venue's time is measured."""
        # Bound once: receipt times are on the hot path.
        self.wall_ns = clock.wall_ns
        self.mono_ns = clock.mono_ns
        self.call_at = clock.call_at
        self.sleep_until = clock.sleep_until
        self.draw = clock.draw

    def venue_ns(self) -> int:
        """The venue's Unix time; this machine's while the venue's is not known."""
        known = self.time.at(self.mono_ns()) if self.time is not None else None
        return self.wall_ns() if known is None else known

    def reading(self) -> ClockReading:
        """For people and gauges."""
        time = self.time
        if time is None or (time.best is None and time.wild_ns is None):
            return ClockReading("local")
        state = "measured" if time.wild_ns is None else "wild"
        if time.best is None:
            return ClockReading(state)
        before, wall_ns = self.mono_ns(), self.wall_ns()
        # A process that is put aside between two readings does not know which moment the other one was of.
        half = (self.mono_ns() - before) // 2
        now = before + half
        return ClockReading(state, time.best.at(now) - wall_ns, time.best.error_at(now) + half)


class ClockKeeper:
    """Asks the venue for its time, for all services of one account."""

    def __init__(
        self,
        *,
        clock: VenueClock,
        rule: TimeRule | None,
        source: TimeSource | None,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        """Without a rule the venue tells no time: only steps of this machine's clock are noticed."""
        self._clock = clock
        self._source = source if rule is not None else None
        self._counters = counters
        self._log = log
        self._every_ns = rule.every_ms * 1_000_000 if rule is not None else 0
        self._steps = WallSteps()
        self._gate = LogGate(clock)
        self._scope = TaskScope("clock", counters, log)
        self._flight: asyncio.Task[None] | None = None
        self._due_ns = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._timer: Cancel | None = None
        self._broken = False
        """True once an answer broke what reads it."""
        self._time = VenueTime(rule.resolution_ms * 1_000_000 if rule is not None else 0)

    async def start(self) -> None:
        """The venue's time is known if it can be had; a venue that does not answer is asked again later."""
        if self._source is not None:
            self._clock.time = self._time
            judged: Judged | None = None
            for _ in range(_AT_START):
                judged = await self._ask()
                if judged is None:
                    break
            self._plan(judged)
        self._look()

    async def measure(self) -> bool:
        """The venue was asked anew; True when what we signed with before was wrong enough to matter."""
        if self._source is None:
            return False
        before = self._clock.venue_ns() - self._clock.mono_ns()
        if self._flight is None or self._flight.done():
            self._flight = self._scope.start("measure", self._measured())
        # Shielded: one waiter that is cancelled must not take the answer from the others.
        await asyncio.shield(self._flight)
        moved = abs(self._clock.venue_ns() - self._clock.mono_ns() - before)
        return moved > max(_MATTERS_NS, self._time.best.error_ns if self._time.best is not None else 0)

    async def close(self) -> None:
        """No task and no timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._scope.close()

    # --- asking

    async def _measured(self) -> None:
        judged = await self._ask()
        if judged is Judged.DOUBTED:
            await self._clock.sleep_until(self._clock.mono_ns() + CONFIRM_NS)
            judged = await self._ask()
        self._plan(judged)

    def _plan(self, judged: Judged | None) -> None:
        """The next question: in a minute, or soon after a failure."""
        failed = judged is None or judged is Judged.DOUBTED
        pause = min(self._pause_ns, self._every_ns) if failed else self._every_ns
        self._pause_ns = 2 * pause if failed else _FIRST_PAUSE_NS
        self._due_ns = self._clock.mono_ns() + pause

    async def _ask(self) -> Judged | None:
        """One question and what its answer was worth; None: no answer."""
        assert self._source is not None
        clock = self._clock
        asked_ns = clock.mono_ns()
        try:
            async with bounded(clock, _ANSWER_NS):
                venue_ns = await self._source.read()
        except (VenuekitError, TimeoutError) as error:
            self._counters.inc("clock.failed")
            self._warn(
                "failed",
                "the venue's time could not be read: %s",
                "no answer in time" if isinstance(error, TimeoutError) else error,
            )
            return None
        except Exception:  # noqa: BLE001 - see below
            # A mistake in the venue's reading of its answer is a failure like any other, and said once.
            self._counters.inc("clock.broken")
            if not self._broken:
                self._broken = True
                self._log.exception("the venue's time could not be read by a mistake")
            return None
        sample = Sample(asked_ns, venue_ns, clock.mono_ns())
        judged = self._time.apply(sample, clock.wall_ns())
        self._counters.inc(f"clock.answers.{judged.value}")
        if judged is Judged.WILD and self._time.wild_ns is not None:
            self._warn(
                "wild",
                "the venue's time is %+d s from this machine's and is not believed: synchronise this "
                "machine's clock (NTP); if it is right, the venue's is not",
                self._time.wild_ns // 1_000_000_000,
            )
        return judged

    def _warn(self, kind: str, text: str, *args: object) -> None:
        if self._gate.opens(kind):
            self._log.warning(text, *args)

    # --- steps of this machine's clock

    def _look(self) -> None:
        clock = self._clock
        now = clock.mono_ns()
        step = self._steps.apply(now, clock.wall_ns())
        if step:
            self._counters.inc("clock.wall_steps")
            self._log.warning("this machine's clock moved by %+d ms at once", step // 1_000_000)
        flying = self._flight is not None and not self._flight.done()
        if self._source is not None and not flying and (step or now >= self._due_ns):
            self._flight = self._scope.start("measure", self._measured())
        self._timer = clock.call_at(now + _LOOK_NS, self._look)
