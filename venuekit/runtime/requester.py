"""The port a venue uses: authenticates, paces and retries reads; passes commands through once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from venuekit.core.retry import Next, after_failure, after_reply
from venuekit.errors import SendFailed, VenuekitError
from venuekit.interfaces.manifest import Manifest, OpKind, Says
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, Request, RequestPort, nothing_sent
from venuekit.runtime.pacer import Pacer
from venuekit.runtime.tasks import bounded

if TYPE_CHECKING:
    from venuekit.interfaces.retry import RetryPolicy
    from venuekit.interfaces.signer import Token
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.tokens import TokenKeeper

_SCALAR = re.compile(rb'"((?:[^"\\]|\\.)*)"|(?<![\w.])(-?\d+)(?![\w.])')
"""The texts and whole numbers of a JSON body, in order; a number inside a text is none."""
_LOOKED_AT = 4_096
"""Bytes of an error body that are searched for a code."""


class Requester:
    """Wraps one transport port; commands were paced by the dispatcher before they were stamped."""

    def __init__(
        self,
        port: RequestPort,
        *,
        name: str,
        manifest: Manifest,
        pacer: Pacer,
        retry: RetryPolicy,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._port = port
        self._operations = manifest.operations
        self._rules = manifest.rules_of(name)
        self._statuses = manifest.status_rules()
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
            token = await self._token(self.tokens, request.op)
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

    async def _token(self, tokens: TokenKeeper, op: str) -> Token:
        """A valid token; a command that gets none in its own time has not left, whatever the asking did."""
        operation = self._operations[op]
        if operation.kind is not OpKind.COMMAND:
            return await tokens.get()
        try:
            async with bounded(self._clock, operation.timeout_ms * 1_000_000):
                return await tokens.get()
        except TimeoutError:
            why = f"none within {operation.timeout_ms} ms"
            raise SendFailed(f"{op} has no token: {why}", evidence=Evidence.NOT_SENT) from None
        except VenuekitError as error:
            raise SendFailed(f"{op} has no token: {error.message}", evidence=Evidence.NOT_SENT) from error

    def _says(self, reply: Reply) -> Says | None:
        """What the reply proves about a read; a command's body is read by the venue's codec.

        The codes of this port's own domain decide, then the bare status; None: it is no error.
        """
        status = reply.status
        if status == 429:
            return Says.LIMIT
        number = status if isinstance(status, int) else 0
        coded = self._rules.get(str(status))
        if number < 400 and status != "error" and coded is None:
            return None
        said = coded.says if coded is not None else self._said_in(reply.body)
        if said is None and str(status) in self._statuses:
            said = self._statuses[str(status)].says
        if said is None:
            said = Says.TRANSIENT if number >= 500 else Says.AUTH if number == 401 else Says.REFUSED
        return said

    def _said_in(self, body: bytes) -> Says | None:
        """What the first code of this port's domain in a body says; None: no code says anything."""
        for text, number in _SCALAR.findall(body[:_LOOKED_AT]):
            rule = self._rules.get((text or number).decode("utf-8", "replace"))
            if rule is not None and rule.says is not Says.UNKNOWN:
                return rule.says
        return None
