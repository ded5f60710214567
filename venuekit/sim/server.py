"""The loopback door: HTTP and WebSocket over aiohttp on 127.0.0.1, with fault hooks and the control door."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from attrs import asdict, frozen

from venuekit.sim.control import ControlDoor
from venuekit.sim.door import Connection, Request, Response
from venuekit.sim.faults import Decision, Point
from venuekit.sim.socket_door import SocketConnection, reset_transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from venuekit.interfaces.simulator import SimulatorInfo
    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.door import Service
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import FaultPlan
    from venuekit.sim.ledger import Ledger

_HOST = "127.0.0.1"
_STOP_SECS = 2.0


@frozen(kw_only=True)
class ServerOptions:
    """Times in ms (`ping_ms` 0 sends no pings); `keepalive_secs` is how long an idle HTTP connection stays
    open.

    WebSocket upgrades on `stream_path` or below become streams. A stream with `backlog` frames in its queue
    is cut.
    """

    port: int = 0
    stream_path: str = "/v1"
    ping_ms: int = 55_000
    pong_ms: int = 5_000
    backlog: int = 2_000
    keepalive_secs: float = 75.0
    max_frame: int = 1024 * 1024
    compress: bool = True


class Server:
    """One port with REST, streams and the control door (`/control/...`)."""

    def __init__(
        self,
        service: Service,
        *,
        clock: Clock,
        exchange: Exchange,
        ledger: Ledger,
        faults: FaultPlan,
        options: ServerOptions | None = None,
    ) -> None:
        self.service = service
        self.clock = clock
        self.ledger = ledger
        self.faults = faults
        self.options = options if options is not None else ServerOptions()
        self.exchange = exchange
        self._control = ControlDoor(exchange, ledger, faults, service.control, self.drop_connections)
        self._ids = count(1)
        self._port = self.options.port
        self._streams: dict[int, SocketConnection] = {}
        self._cuts: dict[int, Decision] = {}
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._reopening: Cancel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pauses: set[asyncio.Future[None]] = set()
        faults.on_time(self._on_time)

    async def start(self) -> None:
        """Listening; `port` is known."""
        self._http = web.Server(self._handle, keepalive_timeout=self.options.keepalive_secs, access_log=None)
        await self._listen()

    async def stop(self) -> None:
        """Every stream got close code 1001, the port is free, no task is left."""
        self._close_listener()
        if self._reopening is not None:
            self._reopening.cancel()
        for stream in tuple(self._streams.values()):
            stream.close(1001, "server stops")
        for pause in tuple(self._pauses):
            _release(pause)
        if self._http is not None:
            self._http.pre_shutdown()
            # Streams end when the client answers the close frame; one that does not is cut off.
            await self._http.shutdown(_STOP_SECS)
            self._http = None
        for task in tuple(self._tasks):
            await task

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port

    @property
    def http_url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{_HOST}:{self._port}"

    @property
    def ws_url(self) -> str:
        """`ws://127.0.0.1:port`."""
        return f"ws://{_HOST}:{self._port}"

    @property
    def control_url(self) -> str:
        """`http://127.0.0.1:port/control`."""
        return f"{self.http_url}/control"

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

    # --- listening

    async def _listen(self) -> None:
        if self._http is None or self._listener is not None:
            return
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._http, _HOST, self._port, reuse_address=True)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _on_time(self, decision: Decision, connection: int | None) -> None:
        if decision.expire_tokens:
            self.service.control("expire_tokens", {})
        if decision.refuse:
            self._close_listener()
            if decision.refuse_until_ns is not None:
                # One nanosecond later the fault is surely over.
                self._reopening = self.clock.call_at(decision.refuse_until_ns + 1, self._reopen_if_allowed)
        else:
            self._reopen_if_allowed()
        stream = self._streams.get(connection) if connection is not None else None
        if stream is not None:
            self._obey(stream, decision)

    def _reopen_if_allowed(self) -> None:
        if self._http is not None and self._listener is None and not self.faults.refuses():
            self._track(asyncio.get_running_loop().create_task(self._listen()))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _obey(self, stream: SocketConnection, decision: Decision) -> None:
        if decision.expire_tokens:
            self.service.control("expire_tokens", {})
        if decision.reset:
            stream.reset()
        elif decision.close is not None:
            stream.close(*decision.close)

    # --- HTTP

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        request = await read_request(raw, next(self._ids), self.clock.wall_ns())
        if request.path == "/control" or request.path.startswith("/control/"):
            return http_response(self._control.handle(request))
        label = f"{request.method} {request.path}"
        self.ledger.saw("request", label, request.body, request.id)
        if request.headers.get("upgrade", "").lower() == "websocket" and self._is_stream(request.path):
            return await self._upgrade(raw, request, label)
        return await self._reply(raw, request, label)

    def _is_stream(self, path: str) -> bool:
        base = self.options.stream_path.rstrip("/")
        return path.rstrip("/") == base or path.startswith(base + "/")

    async def _reply(self, raw: web.BaseRequest, request: Request, label: str) -> web.StreamResponse:
        decision = self.faults.ask(Point.REQUEST, label)
        before = self.faults.cut("C2", label)
        if decision.expire_tokens or before.expire_tokens:
            self.service.control("expire_tokens", {})
        await self._pause(decision.delay_ns + before.delay_ns)
        if decision.reset or before.reset:
            return _abort(raw)
        answer = decision.answer or before.answer
        response = answer if answer is not None else await self.service.handle(request)
        after = self.faults.cut("C3", label)
        own = self._cuts.pop(request.id, Decision())
        await self._pause(
            decision.reply_delay_ns + after.reply_delay_ns + after.delay_ns + own.reply_delay_ns
        )
        if after.reset or own.reset:
            return _abort(raw)
        if after.expire_tokens or own.expire_tokens:
            self.service.control("expire_tokens", {})
        response = after.answer or own.answer or response
        self.ledger.saw("reply", f"{response.status} {label}", response.body, request.id)
        keep = next((one.keep_bytes for one in (decision, after, own) if one.keep_bytes is not None), None)
        return http_response(response) if keep is None else await _truncated(raw, response, keep)

    async def _pause(self, delay_ns: int) -> None:
        """A delay of the plan, which `stop` ends early: nobody waits for a client that gave up."""
        if delay_ns <= 0 or self._http is None:
            return
        pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.clock.call_at(self.clock.mono_ns() + delay_ns, lambda: _release(pause))
        self._pauses.add(pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.discard(pause)

    # --- streams

    async def _upgrade(self, raw: web.BaseRequest, request: Request, label: str) -> web.StreamResponse:
        decision = self.faults.ask(Point.CONNECT, label, request.id)
        await self._pause(decision.delay_ns)
        if decision.refuse or decision.reset:
            return _abort(raw)
        refusal = decision.answer or self.service.accept(request)
        if refusal is not None:
            self.ledger.saw("reply", f"{refusal.status} {label}", refusal.body, request.id)
            return http_response(refusal)
        stream = SocketConnection(self, request)
        self._streams[stream.id] = stream
        self.faults.connected(stream.id, label)
        try:
            return await stream.run(raw)
        finally:
            self._streams.pop(stream.id, None)
            self.faults.gone(stream.id)


def ready_line(info: SimulatorInfo) -> str:
    """One JSON line that says where the simulator listens."""
    row = {"event": "ready", **asdict(info, recurse=False)}
    return msgspec.json.encode(row).decode()


def _release(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


async def read_request(raw: web.BaseRequest, number: int, received_ns: int) -> Request:
    """A request of the framework with its whole body."""
    return Request(
        id=number,
        method=raw.method,
        path=raw.path,
        query=tuple(raw.query.items()),
        headers={name.lower(): value for name, value in raw.headers.items()},
        body=await raw.read(),
        peer=raw.remote or _HOST,
        received_ns=received_ns,
    )


def http_response(response: Response) -> web.Response:
    """The framework's form of an answer."""
    headers = dict(response.headers)
    if response.content_type is not None and response.body:
        headers.setdefault("Content-Type", response.content_type)
    made = web.Response(status=response.status, body=response.body, headers=headers)
    if not response.body:
        # aiohttp would otherwise name a type for bodies that do not exist.
        made.headers.popall("Content-Type", None)
    return made


def _abort(raw: web.BaseRequest) -> web.StreamResponse:
    """The client sees a reset; the response object only satisfies the framework."""
    reset_transport(raw.transport)
    return web.Response(status=500)


async def _truncated(raw: web.BaseRequest, response: Response, keep: int) -> web.StreamResponse:
    """The head promises the whole body, `keep` bytes of it follow, then the connection ends."""
    partial = web.StreamResponse(status=response.status, headers=response.headers)
    partial.content_length = max(len(response.body), keep + 1)
    if response.content_type is not None:
        partial.headers["Content-Type"] = response.content_type
    await partial.prepare(raw)
    await partial.write(response.body[:keep])
    if raw.transport is not None:
        raw.transport.close()
    return partial
