"""One WebSocket of the loopback door: writes happen in one task, in the order of `send`."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from venuekit.sim.door import CloseKind
from venuekit.sim.line import ABNORMAL, Line

if TYPE_CHECKING:
    from venuekit.sim.door import Request
    from venuekit.sim.line import Outgoing
    from venuekit.sim.server import Server

_LINGER_RESET = struct.pack("ii", 1, 0)


class SocketConnection(Line):
    """A `Connection` over an aiohttp WebSocket."""

    def __init__(self, server: Server, handshake: Request) -> None:
        super().__init__(server, handshake)
        self._server = server
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._closing = False

    async def run(self, raw: web.BaseRequest) -> web.StreamResponse:
        """The whole life of the stream."""
        options = self._server.options
        upgraded = web.WebSocketResponse(
            autoping=False, max_msg_size=options.max_frame, compress=options.compress, timeout=1.0
        )
        await upgraded.prepare(raw)
        self._transport = raw.transport
        self._open = True
        writer = asyncio.get_running_loop().create_task(self._write_all(upgraded))
        self._begin()
        try:
            await self._read_all(upgraded)
        finally:
            self._open = False
            self._stop_timers()
            if not self._closing:
                writer.cancel()
            # A close in progress ends by itself: the framework bounds its wait for the peer.
            await asyncio.gather(writer, return_exceptions=True)
            self._over(upgraded.close_code or ABNORMAL)
        return upgraded

    # --- in

    async def _read_all(self, upgraded: web.WebSocketResponse) -> None:
        while not upgraded.closed:
            message = await upgraded.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._received(message.data)
            elif message.type is WSMsgType.PING:
                if not self._server.faults.silenced(self.id).half_open:
                    await upgraded.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._schedule_ping()
            else:
                return

    async def _received(self, frame: bytes | str) -> None:
        decision, before = self._asked(frame)
        if decision.delay_ns:
            clock = self._server.clock
            await clock.sleep_until(clock.mono_ns() + decision.delay_ns)
        self._act(frame, decision, before)

    # --- out

    def _wake(self) -> None:
        self._changed.set()

    def _tear(self) -> None:
        reset_transport(self._transport)

    async def _write_all(self, upgraded: web.WebSocketResponse) -> None:
        while self._open:
            if not self._queue:
                self._changed.clear()
                await self._changed.wait()
                continue
            item = self._queue.popleft()
            if item.ready_ns > self._server.clock.mono_ns():
                await self._server.clock.sleep_until(item.ready_ns)
            try:
                await self._write(upgraded, item)
            except ConnectionError:
                # The peer is gone; the reader ends the stream and reports it.
                return

    async def _write(self, upgraded: web.WebSocketResponse, item: Outgoing) -> None:
        if item.code is not None:
            self._ended = self._ended or (CloseKind.SERVER, item.code)
            self._open, self._closing = False, True
            await upgraded.close(code=item.code, message=item.reason.encode())
        elif item.frame is None:
            await upgraded.ping()
        elif item.keep_bytes is not None:
            self._write_truncated(item.frame, item.keep_bytes)
        else:
            self._server.ledger.saw("out", item.label, item.frame, self.id)
            if isinstance(item.frame, str):
                await upgraded.send_str(item.frame)
            else:
                await upgraded.send_bytes(item.frame)

    def _write_truncated(self, frame: bytes | str, keep: int) -> None:
        """A frame header for the whole payload, `keep` bytes of it, then the end of the connection."""
        payload = frame.encode() if isinstance(frame, str) else frame
        opcode = 0x81 if isinstance(frame, str) else 0x82
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", opcode, size)
        elif size < 65_536:
            head = struct.pack("!BBH", opcode, 126, size)
        else:
            head = struct.pack("!BBQ", opcode, 127, size)
        self._ended = (CloseKind.RESET, ABNORMAL)
        self._open = False
        if self._transport is not None:
            self._transport.write(head + payload[:keep])
            self._transport.close()


def reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """The peer sees a connection reset, not an orderly end."""
    if not isinstance(transport, asyncio.Transport):
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()
