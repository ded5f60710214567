"""When a session token is used, refreshed in the background, or obtained first. No I/O."""

from __future__ import annotations

from enum import Enum

from attrs import define

from venuekit.interfaces.signer import Token

REFRESH_AT = 0.6
"""Share of a token's life after which it is refreshed (a 5-minute token after 3 minutes)."""
MARGIN_NS = 5_000_000_000
"""A token this close to its end is not used any more."""
PAUSE_NS = 2_000_000_000
"""Pause between background refreshes that fail."""


class Need(Enum):
    """What to do when somebody needs a token."""

    USE = "use"
    USE_AND_REFRESH = "use_and_refresh"
    OBTAIN = "obtain"
    JOIN = "join"
    """One is being obtained already: wait for that one."""


@define
class TokenMachine:
    """At most one flight at a time; an old token is used while it is valid."""

    token: Token | None = None
    flying: bool = False
    _not_before_ns: int = 0

    def need(self, now_ns: int) -> Need:
        """What to do now; the caller marks the flight with `take_off`."""
        if self.token is None or now_ns >= self.token.expires.ns - self._margin(self.token):
            return Need.JOIN if self.flying else Need.OBTAIN
        due = now_ns >= self.refresh_at_ns(self.token)
        if due and not self.flying and now_ns >= self._not_before_ns:
            return Need.USE_AND_REFRESH
        return Need.USE

    @staticmethod
    def refresh_at_ns(token: Token) -> int:
        """Wall time at which a background refresh is due."""
        life = token.expires.ns - token.issued.ns
        return token.issued.ns + int(life * REFRESH_AT)

    @staticmethod
    def _margin(token: Token) -> int:
        return min(MARGIN_NS, (token.expires.ns - token.issued.ns) // 10)

    def take_off(self) -> None:
        """A flight has begun."""
        self.flying = True

    def apply_obtained(self, token: Token) -> None:
        """The flight brought a token."""
        self.flying = False
        self.token = token

    def apply_failed(self, now_ns: int) -> None:
        """The flight failed; the old token stays as long as it is valid."""
        self.flying = False
        self._not_before_ns = now_ns + PAUSE_NS

    def apply_refused(self, token: Token) -> bool:
        """The venue refused this very token; True when it was the current one, which is forgotten."""
        if self.token is not None and self.token.value == token.value:
            self.token = None
            return True
        return False
