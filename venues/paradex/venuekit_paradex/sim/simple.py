"""The simple door: plain HTTP and a plain WebSocket on two ports, without keys, over the same exchange."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web
from attrs import define, field

from venuekit.errors import NotReady
from venuekit.sim.server import http_response, read_request
from venuekit_paradex.sim.refusals import VenueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Response
    from venuekit_paradex.sim.simple_feed import SimpleFeed
    from venuekit_paradex.sim.simple_rest import SimpleRest

_HOST = "127.0.0.1"
_STOP_SECS = 2.0
_CLOSE_SECS = 1.0
_HEARTBEAT_SECS = 30.0
_MAX_FRAME = 64 * 1024
BACKLOG = 10_000
"""Texts waiting for one client, above which it is cut off."""


@define(eq=False)
class _Line:
    """One open WebSocket: what is written to it, in order, by one task."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    queue: asyncio.Queue[str] = field(factory=lambda: asyncio.Queue(BACKLOG))

    def put(self, text: str) -> None:
        """The text is queued; a client that reads too slowly is cut off."""
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            if self.transport is not None:
                self.transport.abort()

    async def write_all(self) -> None:
        """Texts go out until the task is cancelled or the client is gone."""
        while True:
            try:
                await self.socket.send_str(await self.queue.get())
            except ConnectionError:
                # The reader ends the line.
                return


class SimpleDoor:
    """Two listeners on loopback; `addresses` are known after `start`."""

    def __init__(
        self, rest: SimpleRest, feed: SimpleFeed, clock: Clock, *, http_port: int, ws_port: int
    ) -> None:
        self._rest = rest
        self._feed = feed
        self._clock = clock
        self._ports = {"simple_http_port": http_port, "simple_ws_port": ws_port}
        self._ids = count(1)
        self._lines: set[_Line] = set()
        self._servers: list[web.Server] = []
        self._listeners: list[asyncio.Server] = []

    async def start(self) -> None:
        """Both ports are open and the broadcast runs. NotReady when one is taken; `stop` closes the other."""
        await self._listen("simple_http_port", self._answer)
        await self._listen("simple_ws_port", self._stream)
        self._feed.start()

    async def stop(self) -> None:
        """Every client got close code 1001, both ports are free, no task is left."""
        self._feed.stop()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        farewells = (line.socket.close(code=1001, message=b"server stops") for line in tuple(self._lines))
        await asyncio.gather(*farewells, return_exceptions=True)
        for server in self._servers:
            server.pre_shutdown()
            await server.shutdown(_STOP_SECS)
        self._servers.clear()

    @property
    def addresses(self) -> dict[str, str]:
        """Base addresses of the two ports."""
        http_port, ws_port = self._ports.values()
        return {"simple_http": f"http://{_HOST}:{http_port}", "simple_ws": f"ws://{_HOST}:{ws_port}"}

    async def _listen(
        self, option: str, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> None:
        server = web.Server(handler, access_log=None)
        port = self._ports[option]
        try:
            listener = await asyncio.get_running_loop().create_server(server, _HOST, port, reuse_address=True)
        except OSError as error:
            raise NotReady(
                f"the simple door cannot listen on port {port}: {error.strerror or error}",
                hint=f"stop what uses the port, or pass -o {option}=0 for a free one.",
            ) from error
        self._servers.append(server)
        self._listeners.append(listener)
        self._ports[option] = listener.sockets[0].getsockname()[1]

    async def _answer(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            request = await read_request(raw, next(self._ids), self._clock.wall_ns())
        except web.HTTPRequestEntityTooLarge:
            return _refusal("VALIDATION_ERROR", "the body is too large", 413)
        return http_response(await self._rest.handle(request))

    async def _stream(self, raw: web.BaseRequest) -> web.StreamResponse:
        if raw.headers.get("upgrade", "").lower() != "websocket":
            return _refusal("INVALID_REQUEST_PARAMETER", "this port speaks WebSocket", 426)
        if not self._listeners:
            return _refusal("SERVICE_UNAVAILABLE", "server stops", 503)
        socket = web.WebSocketResponse(
            max_msg_size=_MAX_FRAME, compress=False, heartbeat=_HEARTBEAT_SECS, timeout=_CLOSE_SECS
        )
        await socket.prepare(raw)
        line = _Line(socket, raw.transport)
        self._lines.add(line)
        member = self._feed.join(line.put)
        writer = asyncio.get_running_loop().create_task(line.write_all())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._feed.receive(member, message.data)
        finally:
            self._feed.leave(member)
            self._lines.discard(line)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket


def _refusal(code: str, message: str, status: int) -> web.Response:
    response: Response = VenueError(code, message, status).response()
    response.headers["Access-Control-Allow-Origin"] = "*"
    if status == 426:
        response.headers["Upgrade"] = "websocket"
    return http_response(response)
