"""The life of one logical connection: when it counts as live, stale or failed, and when to connect again."""

from __future__ import annotations

from enum import Enum

from attrs import define, field, frozen

from venuekit.interfaces.retry import RetryPolicy


class SessionState(Enum):
    """Where a connection stands."""

    DOWN = "down"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    BACKING_OFF = "backing_off"
    RESTING = "resting"
    """It ended while nothing was wanted of it; it is opened again when something is."""
    STOPPED = "stopped"
    FAILED = "failed"
    """It cannot work until a person changes something; nothing is tried any more."""


class End(Enum):
    """How a connection, or an attempt at one, ended."""

    UNREACHABLE = "unreachable"
    CLOSED = "closed"
    STALE = "stale"
    LOST = "lost"
    """The codec found that data was lost on all of it."""
    DRAINED = "drained"
    """The venue announced that it will close it."""
    LOGIN = "login"
    """The venue refused the token."""
    HOPELESS = "hopeless"
    """Refused in a way that no repetition changes."""


@frozen
class Ended:
    """One end: its kind, the close code, the reason for the log, and how long the venue asked to wait."""

    kind: End
    reason: str = ""
    code: int | None = None
    hint_ns: int | None = None


@define
class Connection:
    """The machine; every method takes the monotonic time and none waits."""

    retry: RetryPolicy
    fatal_close_codes: frozenset[int] = frozenset()
    healthy_ns: int = 30_000_000_000
    """A connection that lived this long resets the back-off; a shorter one does not."""
    patience_ns: int = 30_000_000_000
    """The pause once the policy gave up on a connection that has worked before."""
    state: SessionState = SessionState.DOWN
    epoch: int = 0
    """Counts connections; a frame belongs to one of them."""
    was_live: bool = False
    exhausted: bool = False
    """True while the retry policy has given up and we keep trying slowly."""
    _attempt: int = 0
    _first_ns: int = 0
    _live_since_ns: int | None = field(default=None)

    def apply_connecting(self, now_ns: int) -> int:
        """An attempt begins; return its epoch."""
        if self._attempt == 0:
            self._first_ns = now_ns
        self.epoch += 1
        self._live_since_ns = None
        self._move(SessionState.CONNECTING)
        return self.epoch

    def apply_authenticating(self) -> None:
        """The stream is open and a login was sent."""
        self._move(SessionState.AUTHENTICATING)

    def apply_live(self, now_ns: int) -> None:
        """Login and standing topics are confirmed."""
        self._live_since_ns = now_ns
        self.was_live = True
        self.exhausted = False
        self._move(SessionState.LIVE)

    def apply_ended(self, ended: Ended, now_ns: int, draw: float) -> int | None:
        """It is over: nanoseconds until the next attempt, or None (failed, stopped)."""
        if self.state in (SessionState.STOPPED, SessionState.FAILED):
            return None
        lived_ns = None if self._live_since_ns is None else now_ns - self._live_since_ns
        self._live_since_ns = None
        if ended.kind is End.HOPELESS or ended.code in self.fatal_close_codes:
            self.state = SessionState.FAILED
            return None
        if lived_ns is not None and lived_ns >= self.healthy_ns:
            self._attempt, self._first_ns = 0, now_ns
        self._attempt += 1
        delay = self._delay(ended, now_ns, draw)
        self.state = SessionState.FAILED if delay is None else SessionState.BACKING_OFF
        return delay

    def apply_resting(self) -> None:
        """Nobody wants anything of it, so it is not opened again yet."""
        self._move(SessionState.RESTING)

    def apply_stop(self) -> None:
        """Nothing is tried any more; final."""
        self.state = SessionState.STOPPED

    def _delay(self, ended: Ended, now_ns: int, draw: float) -> int | None:
        if ended.kind in (End.DRAINED, End.LOGIN, End.LOST) and self._attempt == 1:
            return 0
        elapsed = now_ns - self._first_ns
        delay = self.retry.delay_ns(self._attempt, elapsed, ended.hint_ns, draw)
        if delay is None and self.was_live:
            # An outage may outlast any policy; what worked before is tried until somebody stops it.
            self.exhausted = True
            return max(self.patience_ns, ended.hint_ns or 0)
        return delay

    def _move(self, to: SessionState) -> None:
        if self.state not in (SessionState.STOPPED, SessionState.FAILED):
            self.state = to


@define
class Silence:
    """Notices that nothing at all was received for `limit_ns`, from a count of what was."""

    limit_ns: int
    _count: int = -1
    _since_ns: int = 0

    def apply(self, count: int, now_ns: int) -> bool:
        """True when `count` has not moved for the limit; call it several times per limit."""
        if count != self._count:
            self._count, self._since_ns = count, now_ns
            return False
        return now_ns - self._since_ns >= self.limit_ns
