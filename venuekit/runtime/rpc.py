"""Requests over a stream: a pending table by key on top of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from attrs import frozen

from venuekit.errors import BadValue, NotReady, SendFailed
from venuekit.interfaces.request import Evidence, Reply, Request, StreamRequest, nothing_sent
from venuekit.interfaces.stream import StreamReply
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Clock
from venuekit.runtime.session import Session, SessionState
from venuekit.runtime.tasks import bounded

DEFAULT_TIMEOUT_MS = 10_000


@frozen
class _Pending:
    op: str
    method: str
    reply: asyncio.Future[Reply]


class StreamPort:
    """A `RequestPort` over a `Session`; whoever owns its `on_decoded` feeds the replies to `resolve`."""

    def __init__(
        self,
        session: Session,
        clock: Clock,
        timeout_ms_by_op: Mapping[str, int],
        counters: Counters | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._timeout_ms = timeout_ms_by_op
        self._counters = counters or session.counters
        self._pending: dict[int, _Pending] = {}
        self._key = 0
        session.listen(self._on_state)

    def __len__(self) -> int:
        return len(self._pending)

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`: without a reply it is NOT_SENT when the stream took nothing, else MAYBE_SENT."""
        if not isinstance(request, StreamRequest):
            raise BadValue(f"a stream port cannot send a {type(request).__name__}")
        self._key += 1
        key = self._key
        try:
            frame = self._session.codec.request(request, key)
        except NotReady as error:
            raise SendFailed(error.message, evidence=Evidence.NOT_SENT) from error
        pending = _Pending(request.op, request.method, asyncio.get_running_loop().create_future())
        # Registered first: over a pipe in memory the reply may come before `send` returns.
        self._pending[key] = pending
        heard = self._session.heard
        try:
            self._session.send(frame)
            on_sent()
            async with bounded(self._clock, self._timeout_ns(request.op)):
                return await pending.reply
        except TimeoutError:
            self._counters.inc("rpc.timeout")
            if self._session.heard == heard:
                # It may answer pings for ever; what it kept to itself is only found by starting afresh.
                self._counters.inc("rpc.mute")
                self._session.reconnect(f"{request.op} was not answered, and nothing else was said")
            raise _maybe_sent(f"{request.op}: no reply in time") from None
        finally:
            self._pending.pop(key, None)
            # Its failure holds this frame: the two would keep each other, and the command with them.
            del pending

    def resolve(self, reply: StreamReply) -> bool:
        """The request that this reply belongs to has it; False when none is waiting (counted)."""
        pending = self._find(reply)
        if pending is None or pending.reply.done():
            self._counters.inc("rpc.reply_unmatched")
            return False
        status = "ok" if reply.ok else "error"
        pending.reply.set_result(Reply(status, reply.body, ts_ns=self._clock.wall_ns()))
        return True

    def _find(self, reply: StreamReply) -> _Pending | None:
        if reply.key is not None:
            return self._pending.get(reply.key)
        # Without a key it answers the oldest request of its scope that still waits.
        return next(
            (
                pending
                for pending in self._pending.values()
                if reply.scope in ("", pending.op, pending.method) and not pending.reply.done()
            ),
            None,
        )

    def _timeout_ns(self, op: str) -> int:
        return self._timeout_ms.get(op, DEFAULT_TIMEOUT_MS) * 1_000_000

    def _on_state(self, state: SessionState, reason: str) -> None:
        if state in (SessionState.LIVE, SessionState.CONNECTING, SessionState.AUTHENTICATING):
            return
        for pending in self._pending.values():
            if not pending.reply.done():
                self._counters.inc("rpc.lost")
                pending.reply.set_exception(_maybe_sent(f"{pending.op}: the stream was lost: {reason}"))


def _maybe_sent(text: str) -> SendFailed:
    return SendFailed(text, evidence=Evidence.MAYBE_SENT)
