"""The venue's time, from its answers and monotonic time alone; and steps of this machine's own clock.

Between two answers the venue's time goes on with monotonic time, so a machine whose clock is set forward or
back signs the right times all the same. Only a machine that slept needs a new answer. No I/O.
"""

from __future__ import annotations

from enum import Enum

from attrs import define, field, frozen

DRIFT_PPM = 500
"""Two clocks that are not set drift apart by less than this; 500 is the most that NTP itself corrects."""
BELIEVED_NS = 30 * 60 * 1_000_000_000
"""A venue's time further from everything else we know is not believed: a person must look at both clocks."""
CONFIRM_NS = 1_000_000_000
"""A time that contradicts the earlier ones is believed once another one agrees with it, this much later.
A cache that repeats one answer never does."""
STEP_NS = 500_000_000
"""A clock that moved by this much more or less than monotonic time was set, or the machine slept."""


@frozen
class Sample:
    """One answer: when we asked and when we knew it (monotonic), and what the venue wrote."""

    asked_ns: int
    venue_ns: int
    received_ns: int


class Judged(Enum):
    """What an answer was worth; the values end the names of counters."""

    TAKEN = "taken"
    COARSE = "coarse"
    """It agrees, and what is known already is more exact."""
    DOUBTED = "doubted"
    """It contradicts what is known: ask again, in a second."""
    WILD = "wild"
    """It is too far from everything that is known to be believed at all."""


@frozen
class Estimate:
    """The venue's Unix time at one monotonic moment, and how far from the truth it may be."""

    mono_ns: int
    venue_ns: int
    error_ns: int

    def at(self, mono_ns: int) -> int:
        """The venue's time at another moment."""
        return self.venue_ns + mono_ns - self.mono_ns

    def error_at(self, mono_ns: int) -> int:
        """Its uncertainty there: both clocks may have drifted apart meanwhile."""
        return self.error_ns + abs(mono_ns - self.mono_ns) * DRIFT_PPM // 1_000_000


@define
class VenueTime:
    """The best estimate so far; while the venue's answers are true, the truth lies within its uncertainty."""

    resolution_ns: int = 1_000_000
    """The venue writes its time rounded down to this."""
    best: Estimate | None = None
    wild_ns: int | None = None
    """How far off the newest answer was, while it is not believed."""
    _doubt: Estimate | None = field(default=None)

    def apply(self, sample: Sample, wall_ns: int) -> Judged:
        """Fold one answer in; `wall_ns` is this machine's time when it was received."""
        # The venue read its clock at some moment between question and answer.
        trip = max(0, sample.received_ns - sample.asked_ns)
        slack = self.resolution_ns + trip
        error = slack - slack // 2 + trip * DRIFT_PPM // 1_000_000 + 1
        new = Estimate(sample.received_ns, sample.venue_ns + slack // 2, error)
        if self.best is not None and _agree(self.best, new):
            self._doubt, self.wild_ns = None, None
            if new.error_ns >= self.best.error_at(new.mono_ns):
                return Judged.COARSE
            self.best = new
            return Judged.TAKEN
        known = [wall_ns] if self.best is None else [wall_ns, self.best.at(new.mono_ns)]
        nearest = min((new.venue_ns - one for one in known), key=abs)
        if abs(nearest) > BELIEVED_NS + new.error_ns:
            self._doubt, self.wild_ns = None, nearest
            return Judged.WILD
        if self.best is not None and not self._confirmed(new):
            return Judged.DOUBTED
        self.best, self._doubt, self.wild_ns = new, None, None
        return Judged.TAKEN

    def at(self, mono_ns: int) -> int | None:
        """The venue's time; None before the first answer that was believed."""
        return None if self.best is None else self.best.at(mono_ns)

    def _confirmed(self, new: Estimate) -> bool:
        doubt = self._doubt
        if doubt is not None and _agree(doubt, new):
            # The first of a pair stays until the second is late enough.
            return new.mono_ns - doubt.mono_ns >= CONFIRM_NS
        self._doubt = new
        return False


def _agree(old: Estimate, new: Estimate) -> bool:
    return abs(old.at(new.mono_ns) - new.venue_ns) <= old.error_at(new.mono_ns) + new.error_ns


@define
class WallSteps:
    """Notices that the machine's clock was set, or that the machine slept."""

    _gap_ns: int | None = None

    def apply(self, mono_ns: int, wall_ns: int) -> int:
        """By how much the clock moved more than monotonic time since the last call; 0: it only drifted."""
        before, self._gap_ns = self._gap_ns, wall_ns - mono_ns
        step = 0 if before is None else self._gap_ns - before
        return step if abs(step) >= STEP_NS else 0


@define
class RisingStamps:
    """Times for signatures of one account: each later than all before it, by a whole step at least."""

    step_ns: int = 1_000_000
    ahead_ns: int = 300_000_000_000
    """A last stamp further ahead than this came from a wrong clock: no venue takes what follows it, so stamps
    begin anew at the venue's time."""
    last_ns: int = 0
    began_anew: bool = False
    """True when the newest stamp is earlier than one before it."""

    def draw(self, now_ns: int) -> int:
        """The stamp for a request that is signed now."""
        floor = self.last_ns + self.step_ns
        self.began_anew = floor > now_ns + self.ahead_ns
        self.last_ns = now_ns if self.began_anew else max(now_ns, floor)
        return self.last_ns

    def apply_used(self, stamp_ns: int) -> None:
        """An earlier run used this stamp."""
        self.last_ns = max(self.last_ns, stamp_ns)
