"""What every door does alike: it asks the fault plan, keeps the ledger, and knows the open streams.

A door moves bytes: `sim/server.py` over loopback sockets, `sim/pipes.py` in memory.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.sim.door import Request, Response
from venuekit.sim.faults import Decision, Point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Connection, Service
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import FaultPlan
    from venuekit.sim.ledger import Ledger
    from venuekit.sim.line import Line


@frozen(kw_only=True)
class FrontOptions:
    """Times in ms (`ping_ms` 0 sends no pings). Upgrades on `stream_path` or below become streams; a stream
    with `backlog` frames in its queue is cut.
    """

    stream_path: str = "/v1"
    ping_ms: int = 55_000
    pong_ms: int = 5_000
    backlog: int = 2_000


@frozen
class Answer:
    """What goes back for a request: only `keep_bytes` of the body and then the end, where that is set."""

    response: Response
    keep_bytes: int | None = None


class Front:
    """The part of a door that carries no bytes. `None` for an answer means: the client sees a reset."""

    def __init__(
        self,
        service: Service,
        *,
        clock: Clock,
        exchange: Exchange,
        ledger: Ledger,
        faults: FaultPlan,
        rules: FrontOptions,
    ) -> None:
        self.service = service
        self.clock = clock
        self.ledger = ledger
        self.faults = faults
        self.exchange = exchange
        self.rules = rules
        self._ids = count(1)
        self._streams: dict[int, Line] = {}
        self._cuts: dict[int, Decision] = {}
        self._pauses: dict[asyncio.Future[None], None] = {}
        self._stopping = False
        faults.on_time(self._on_time)

    async def start(self) -> None:
        """Clients can connect."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Every stream got close code 1001, no task is left."""
        raise NotImplementedError

    @property
    def http_url(self) -> str:
        """Base address for requests."""
        raise NotImplementedError

    @property
    def ws_url(self) -> str:
        """Base address for streams."""
        raise NotImplementedError

    @property
    def control_url(self) -> str:
        """Base address of the control door; empty where there is none."""
        return ""

    @property
    def connections(self) -> Sequence[Connection]:
        """Open streams."""
        return tuple(self._streams.values())

    def drop_connections(self) -> int:
        """Every stream is reset; how many there were."""
        dropped = tuple(self._streams.values())
        for stream in dropped:
            stream.reset()
        return len(dropped)

    def cut(self, name: str, target: Request | Connection, label: str = "") -> None:
        """The service reached cut point `name` (C1 to C12): the plan's decision is carried out on the stream,
        or on this request's reply. The door itself reports C2 (before the service acts) and C3 (before the
        reply) of HTTP requests, and C2 of frames.
        """
        if isinstance(target, Request):
            decision = self.faults.cut(name, label or f"{target.method} {target.path}")
            if not decision.clean:
                self._cuts[target.id] = decision
            return
        decision = self.faults.cut(name, label, target.id)
        stream = self._streams.get(target.id)
        if stream is not None:
            self._obey(stream, decision)

    def is_stream(self, path: str) -> bool:
        """True when an upgrade on this path becomes a stream."""
        base = self.rules.stream_path.rstrip("/")
        return path.rstrip("/") == base or path.startswith(base + "/")

    async def answer(self, request: Request, decision: Decision | None = None) -> Answer | None:
        """The reply to a request, after everything the plan does to it; `decision` when it was asked."""
        label = f"{request.method} {request.path}"
        self.ledger.saw("request", label, request.body, request.id)
        decision = decision or self.faults.ask(Point.REQUEST, label)
        before = self.faults.cut("C2", label)
        self._expire(decision, before)
        await self.pause(decision.delay_ns + before.delay_ns)
        if decision.reset or before.reset:
            return None
        planted = decision.answer or before.answer
        response = planted if planted is not None else await self.service.handle(request)
        after = self.faults.cut("C3", label)
        own = self._cuts.pop(request.id, Decision())
        response = after.answer or own.answer or response
        slow = max(one.bytes_ns(len(response.body)) for one in (decision, after, own))
        late = decision.reply_delay_ns + after.reply_delay_ns + after.delay_ns + own.reply_delay_ns
        await self.pause(late + slow)
        if after.reset or own.reset:
            return None
        self._expire(after, own)
        if decision.corrupt or after.corrupt or own.corrupt:
            response.body = self.faults.corrupted(response.body)
        self.ledger.saw("reply", f"{response.status} {label}", response.body, request.id)
        keep = next((one.keep_bytes for one in (decision, after, own) if one.keep_bytes is not None), None)
        return Answer(response, keep)

    async def admit(self, request: Request, decision: Decision | None = None) -> Answer | None:
        """The refusal of a handshake; an answer with status 101 lets it in."""
        label = f"{request.method} {request.path}"
        self.ledger.saw("request", label, request.body, request.id)
        decision = decision or self.faults.ask(Point.CONNECT, label, request.id)
        await self.pause(decision.delay_ns)
        if decision.refuse or decision.reset:
            return None
        refusal = decision.answer or self.service.accept(request)
        if refusal is None:
            return Answer(Response(status=101))
        self.ledger.saw("reply", f"{refusal.status} {label}", refusal.body, request.id)
        return Answer(refusal)

    def joined(self, stream: Line) -> None:
        """The stream is one of those that are open."""
        self._streams[stream.id] = stream
        self.faults.connected(stream.id, f"{stream.handshake.method} {stream.handshake.path}")

    def left(self, stream: Line) -> None:
        """The stream is over."""
        self._streams.pop(stream.id, None)
        self.faults.gone(stream.id)

    async def pause(self, delay_ns: int) -> None:
        """A delay of the plan, which stopping ends early: nobody waits for a client that gave up."""
        if delay_ns <= 0 or self._stopping:
            return
        pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.clock.call_at(self.clock.mono_ns() + delay_ns, lambda: _release(pause))
        self._pauses[pause] = None
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.pop(pause, None)

    # --- for the doors

    def _farewell(self) -> None:
        """Streams get close code 1001, nobody waits for a delay any more."""
        self._stopping = True
        for stream in tuple(self._streams.values()):
            stream.close(1001, "server stops")
        for pause in tuple(self._pauses):
            _release(pause)

    def _shut(self, until_ns: int | None) -> None:
        """A timed F01 began: nobody connects until the plan allows it again."""

    def _reopen_if_allowed(self) -> None:
        """A fault ended or was lifted."""

    def _on_time(self, decision: Decision, connection: int | None) -> None:
        self._expire(decision)
        if decision.refuse:
            self._shut(decision.refuse_until_ns)
        else:
            self._reopen_if_allowed()
        stream = self._streams.get(connection) if connection is not None else None
        if stream is not None:
            self._obey(stream, decision)

    def _obey(self, stream: Line, decision: Decision) -> None:
        self._expire(decision)
        if decision.reset:
            stream.reset()
        elif decision.close is not None:
            stream.close(*decision.close)

    def _expire(self, *decisions: Decision) -> None:
        if any(one.expire_tokens for one in decisions):
            self.service.control("expire_tokens", {})


def _release(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
