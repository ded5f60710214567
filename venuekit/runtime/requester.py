"""The port a venue uses: authenticates, paces and retries reads; passes commands through once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from venuekit.core.retry import Next, after_failure, after_reply
from venuekit.errors import SendFailed
from venuekit.interfaces.manifest import Manifest, OpKind, Says
from venuekit.interfaces.request import HttpRequest, Reply, Request, RequestPort, nothing_sent
from venuekit.runtime.pacer import Pacer

if TYPE_CHECKING:
    from venuekit.interfaces.retry import RetryPolicy
    from venuekit.interfaces.signer import Token
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.tokens import TokenKeeper


class Requester:
    """Wraps one transport port; commands were paced by the dispatcher before they were stamped."""

    def __init__(
        self,
        port: RequestPort,
        *,
        manifest: Manifest,
        pacer: Pacer,
        retry: RetryPolicy,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._port = port
        self._operations = manifest.operations
        self._auth_codes = tuple(
            b'"' + rule.code.encode() + b'"'
            for rule in manifest.errors
            if rule.says is Says.AUTH and not rule.code.lstrip("-").isdigit()
        )
        self._pacer = pacer
        self._retry = retry
        self._clock = clock
        self._counters = counters
        self.tokens: TokenKeeper | None = None
        """Set by the composition root once the account's authenticator exists."""

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`; a read that keeps failing raises or returns what the last try brought."""
        kind = self._operations[request.op].kind
        if kind is OpKind.COMMAND:
            return await self._once(request, on_sent)
        started = self._clock.mono_ns()
        attempt, renewed = 1, False
        while True:
            await self._pacer.permit(request.op)
            hint: int | None = None
            failure: SendFailed | None = None
            reply: Reply | None = None
            try:
                reply = await self._once(request, on_sent)
                says = self._says(reply)
                step = after_reply(kind, says)
                hint = self._pacer.pause_ns(request.op, reply)
            except SendFailed as error:
                failure = error
                step = after_failure(kind, error.evidence)
            if step is Next.REAUTHENTICATE and not renewed and self.tokens is not None:
                renewed = True
                continue
            delay = None
            if step is Next.RETRY:
                elapsed = self._clock.mono_ns() - started
                delay = self._retry.delay_ns(attempt, elapsed, hint, self._clock.draw())
            if delay is None:
                if failure is not None:
                    raise failure
                assert reply is not None
                return reply
            self._counters.inc("requests.retried")
            attempt += 1
            await self._clock.sleep_until(self._clock.mono_ns() + delay)

    async def _once(self, request: Request, on_sent: Callable[[], None]) -> Reply:
        token: Token | None = None
        if isinstance(request, HttpRequest) and request.private and self.tokens is not None:
            token = await self.tokens.get()
            request = self.tokens.auth.attach(request, token)
        self._counters.inc("requests.sent")
        try:
            reply = await self._port.send(request, on_sent=on_sent)
        except SendFailed:
            self._counters.inc("requests.failed")
            raise
        self._pacer.feedback(request.op, reply)
        if token is not None and self.tokens is not None and self._says(reply) is Says.AUTH:
            self.tokens.refused(token)
        return reply

    def _says(self, reply: Reply) -> Says | None:
        """What the status proves by itself; the venue's codec reads the body."""
        status = reply.status
        if not isinstance(status, int) or status < 400:
            return None
        if status == 429:
            return Says.LIMIT
        if status >= 500:
            return Says.TRANSIENT
        if status == 401 or any(code in reply.body for code in self._auth_codes):
            return Says.AUTH
        return Says.REFUSED
