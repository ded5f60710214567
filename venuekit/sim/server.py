"""The loopback door: HTTP and WebSocket over aiohttp on 127.0.0.1, with fault hooks and the control door."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from attrs import asdict, frozen

from venuekit.sim.control import ControlDoor
from venuekit.sim.door import Request, Response
from venuekit.sim.front import Front, FrontOptions
from venuekit.sim.socket_door import SocketConnection, reset_transport

if TYPE_CHECKING:
    from venuekit.interfaces.simulator import SimulatorInfo
    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.door import Service
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import FaultPlan
    from venuekit.sim.front import Answer
    from venuekit.sim.ledger import Ledger

_HOST = "127.0.0.1"
_STOP_SECS = 2.0


@frozen(kw_only=True)
class ServerOptions(FrontOptions):
    """`keepalive_secs` is how long an idle HTTP connection stays open."""

    port: int = 0
    keepalive_secs: float = 75.0
    max_frame: int = 1024 * 1024
    compress: bool = True


class Server(Front):
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
        self.options = options if options is not None else ServerOptions()
        super().__init__(
            service, clock=clock, exchange=exchange, ledger=ledger, faults=faults, rules=self.options
        )
        self._control = ControlDoor(exchange, ledger, faults, service.control, self.drop_connections)
        self._port = self.options.port
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._reopening: Cancel | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listening; `port` is known."""
        self._http = web.Server(self._handle, keepalive_timeout=self.options.keepalive_secs, access_log=None)
        await self._listen()

    async def stop(self) -> None:
        """Every stream got close code 1001, the port is free, no task is left."""
        self._close_listener()
        if self._reopening is not None:
            self._reopening.cancel()
        self._farewell()
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

    def _shut(self, until_ns: int | None) -> None:
        self._close_listener()
        if until_ns is not None:
            # One nanosecond later the fault is surely over.
            self._reopening = self.clock.call_at(until_ns + 1, self._reopen_if_allowed)

    def _reopen_if_allowed(self) -> None:
        if self._http is not None and self._listener is None and not self.faults.refuses():
            self._track(asyncio.get_running_loop().create_task(self._listen()))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- requests

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        request = await read_request(raw, next(self._ids), self.clock.wall_ns())
        if request.path == "/control" or request.path.startswith("/control/"):
            return http_response(self._control.handle(request))
        if request.headers.get("upgrade", "").lower() == "websocket" and self.is_stream(request.path):
            return await self._upgrade(raw, request)
        return await _written(raw, await self.answer(request))

    async def _upgrade(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        answer = await self.admit(request)
        if answer is None or answer.response.status != 101:
            return await _written(raw, answer)
        stream = SocketConnection(self, request)
        self.joined(stream)
        try:
            return await stream.run(raw)
        finally:
            self.left(stream)


def ready_line(info: SimulatorInfo) -> str:
    """One JSON line that says where the simulator listens."""
    row = {"event": "ready", **asdict(info, recurse=False)}
    return msgspec.json.encode(row).decode()


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


async def _written(raw: web.BaseRequest, answer: Answer | None) -> web.StreamResponse:
    if answer is None:
        return _abort(raw)
    if answer.keep_bytes is None:
        return http_response(answer.response)
    return await _truncated(raw, answer.response, answer.keep_bytes)


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
