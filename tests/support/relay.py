"""What stands between a client and a simulator.

Plain TCP that can be shut, cut or frozen, and WebSockets whose frames can be replaced, kept back or made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import WSMsgType, web

type Frame = bytes | str


class TcpRelay:
    """Forwards every connection to `port`; see the methods for what it can do to them."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.frozen = False
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Transport] = set()

    async def open(self) -> None:
        """New connections are taken, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self, None), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """New connections are refused, and those that were open are reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Every open connection is torn down."""
        for one in tuple(self._pipes):
            one.abort()


class _Side(asyncio.Protocol):
    """One end of a pipe; the first one opens the second."""

    def __init__(self, relay: TcpRelay, other: _Side | None) -> None:
        self._relay, self._other = relay, other
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._relay._pipes.add(transport)
        if self._other is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        else:
            self._other._other = self

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Side(self._relay, self), "127.0.0.1", self._relay.target
            )
        except OSError:
            assert self._transport is not None
            self._transport.abort()
            return
        for data in self._early:
            self._pass(data)

    def data_received(self, data: bytes) -> None:
        if self._relay.frozen:
            return
        if self._other is None:
            self._early.append(data)
        else:
            self._pass(data)

    def _pass(self, data: bytes) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        assert self._transport is not None
        self._relay._pipes.discard(self._transport)
        if self._other is not None and self._other._transport is not None:
            self._other._transport.abort()


class StreamRelay:
    """WebSockets to the client and to the venue; `change` says what becomes of a frame from the venue."""

    def __init__(self, url: str) -> None:
        self._venue = url
        self.url = ""
        self.change: Callable[[Frame], Sequence[Frame]] = lambda frame: (frame,)
        self.change_out: Callable[[Frame], Sequence[Frame]] = lambda frame: (frame,)
        self.clients: list[web.WebSocketResponse] = []
        self.texts: list[list[str]] = []
        """What each client sent as text, by connection."""

    async def inject(self, *frames: Frame, only: Callable[[Sequence[str]], bool] = lambda _: True) -> int:
        """The frames go to every open client whose own texts fit `only`; to how many."""
        reached = 0
        for client, texts in zip(tuple(self.clients), tuple(self.texts), strict=True):
            if client.closed or not only(texts):
                continue
            reached += 1
            for frame in frames:
                await _send(client, frame)
        return reached

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(max_msg_size=0, timeout=0.5)
        await client.prepare(request)
        texts: list[str] = []
        self.clients.append(client)
        self.texts.append(texts)
        query = f"?{request.query_string}" if request.query_string else ""
        async with aiohttp.ClientSession() as session, session.ws_connect(self._venue + query) as venue:
            back = asyncio.create_task(self._back(venue, client))
            try:
                async for message in client:
                    if isinstance(message.data, str):
                        texts.append(message.data)
                    for frame in self.change_out(message.data):
                        await _send(venue, frame)
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        return client

    async def _back(self, venue: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
        async for message in venue:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                for frame in self.change(message.data):
                    await _send(client, frame)
        await client.close()


async def _send(to: aiohttp.ClientWebSocketResponse | web.WebSocketResponse, frame: Frame) -> None:
    if to.closed:
        return
    try:
        if isinstance(frame, str):
            await to.send_str(frame)
        else:
            await to.send_bytes(frame)
    except ConnectionError:
        return


@asynccontextmanager
async def tcp_relay(port: int) -> AsyncIterator[TcpRelay]:
    """An open relay, shut at the end."""
    relay = TcpRelay(port)
    await relay.open()
    try:
        yield relay
    finally:
        relay.shut()


@asynccontextmanager
async def stream_relay(url: str) -> AsyncIterator[StreamRelay]:
    """A relay to this stream address, closed at the end."""
    relay = StreamRelay(url)
    app = web.Application()
    app.router.add_get("/v1", relay._serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]
    relay.url = f"ws://127.0.0.1:{port}/v1"
    try:
        yield relay
    finally:
        for client in relay.clients:
            if not client.closed:
                await client.close()
        await runner.cleanup()
