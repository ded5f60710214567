"""Nonces: reserve, commit, return and resync for consecutive ones; unique milliseconds for the others."""

from __future__ import annotations

from attrs import define, field

from venuekit.interfaces.orders import NonceFate


@define
class ConsecutiveNonces:
    """The nonces of one key at a venue that wants each number once and in order.

    A lane reserves one at the stamp and settles it with the reply. It stops handing out numbers when the next
    one is not known any more, and resumes once every earlier request has settled and the venue was asked.
    """

    _next: int | None = None
    _flying: set[int] = field(factory=set)
    _stale: bool = False

    @property
    def needs_resync(self) -> bool:
        """True: the venue must be asked before another nonce is handed out."""
        return self._next is None or self._stale

    @property
    def may_resync(self) -> bool:
        """True once nothing is in flight: only then is the venue's answer the next free number."""
        return not self._flying

    def reserve(self) -> int | None:
        """The next nonce, now in flight; None: resync first."""
        if self._next is None or self._stale:
            return None
        nonce = self._next
        self._next = nonce + 1
        self._flying.add(nonce)
        return nonce

    def settle(self, nonce: int, fate: NonceFate) -> None:
        """What became of a reserved nonce. A free one is used again only when no later one was handed out."""
        self._flying.discard(nonce)
        if fate is NonceFate.CONSUMED:
            return
        if fate is NonceFate.FREE and self._next == nonce + 1 and not self._stale:
            self._next = nonce
        else:
            # A hole, or a number whose use is unknown: counting on would make every later request fail.
            self._stale = True

    def apply_resync(self, next_nonce: int) -> None:
        """The venue's own next nonce; the lane runs again."""
        self._next = next_nonce
        self._stale = False


@define
class UniqueMilliseconds:
    """Nonces that are milliseconds of the venue's clock, each used once, in any order."""

    window_ms: int | None = None
    _last: int = 0

    def draw(self, wall_ns: int) -> int | None:
        """A millisecond never drawn before; None: wait, the burst ran further ahead than the window."""
        now_ms = wall_ns // 1_000_000
        nonce = max(self._last + 1, now_ms)
        if self.window_ms is not None and nonce - now_ms > self.window_ms:
            return None
        self._last = nonce
        return nonce
