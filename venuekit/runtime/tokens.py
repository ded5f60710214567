"""The one place that holds a session token: obtained once at a time, refreshed before it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from venuekit.core.token import Need, TokenMachine
from venuekit.errors import TimeRefused, VenuekitError

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from venuekit.interfaces.signer import Authenticator, Token
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel, Clock


class TokenKeeper:
    """Shared by the request ports and the private stream of one account."""

    def __init__(
        self,
        auth: Authenticator,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        *,
        on_time_refused: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`on_time_refused` measures the venue's clock and says whether our time was wrong."""
        self.auth = auth
        self._on_time_refused = on_time_refused
        self._clock = clock
        self._counters = counters
        self._log = log
        self._machine = TokenMachine()
        self._flight: asyncio.Task[Token] | None = None
        self._timer: Cancel | None = None
        self._closed = False

    async def get(self) -> Token:
        """A valid token; raise `AuthNeeded`, `WaitNeeded` or `SendFailed` when none can be had."""
        need = self._machine.need(self._clock.venue_ns())
        if need is Need.OBTAIN:
            self._take_off().add_done_callback(self._obtain_done)
        elif need is Need.USE_AND_REFRESH:
            self._refresh()
        if need in (Need.USE, Need.USE_AND_REFRESH) and self._machine.token is not None:
            return self._machine.token
        assert self._flight is not None
        # Shielded: one waiter that is cancelled must not take the token from the others.
        return await asyncio.shield(self._flight)

    def refused(self, token: Token) -> None:
        """The venue refused this very token: the next `get` obtains a new one."""
        if self._machine.apply_refused(token):
            self._counters.inc("auth.token_refused")

    def refused_current(self) -> None:
        """The venue refused the token that a command carried: the next `get` obtains a new one."""
        if self._machine.token is not None:
            self.refused(self._machine.token)

    async def close(self) -> None:
        """No flight and no timer is left."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._flight is not None and not self._flight.done():
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _take_off(self) -> asyncio.Task[Token]:
        self._machine.take_off()
        self._flight = asyncio.get_running_loop().create_task(self._obtain(), name="token")
        return self._flight

    def _obtain_done(self, task: asyncio.Task[Token]) -> None:
        # Who waits has the error as well. But a command waits no longer than its own time.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.info("no token: %s", _said(error))

    def _refresh(self) -> None:
        self._take_off().add_done_callback(self._background_done)

    async def _obtain(self) -> Token:
        self._counters.inc("auth.obtain")
        try:
            token = await self._obtained()
        except BaseException:
            self._machine.apply_failed(self._clock.venue_ns())
            self._counters.inc("auth.obtain_failed")
            raise
        self._machine.apply_obtained(token)
        self._schedule(token)
        return token

    async def _obtained(self) -> Token:
        """A token; where the time in the request was refused and ours was wrong, at the second try."""
        try:
            return await self.auth.obtain()
        except TimeRefused:
            if self._on_time_refused is None or not await self._on_time_refused():
                raise
        return await self.auth.obtain()

    def _schedule(self, token: Token) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0, self._machine.refresh_at_ns(token) - self._clock.venue_ns())
        self._timer = self._clock.call_at(self._clock.mono_ns() + wait, self._due)

    def _due(self) -> None:
        if not self._closed and self._machine.need(self._clock.venue_ns()) is Need.USE_AND_REFRESH:
            self._refresh()

    def _background_done(self, task: asyncio.Task[Token]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        self._log.warning("token refresh failed, the old token stays while it is valid: %s", _said(error))
        if self._machine.token is not None and not self._closed:
            self._timer = self._clock.call_at(self._clock.mono_ns() + 2_000_000_000, self._due)


def _said(error: BaseException) -> str:
    return error.message if isinstance(error, VenuekitError) else type(error).__name__
