"""One WebSocket of the loopback door: send queue, ping schedule, slow-consumer limit, and what faults do to
frames.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web
from attrs import define

from venuekit.sim.door import CloseKind
from venuekit.sim.faults import Point

if TYPE_CHECKING:
    from venuekit.interfaces.time import Cancel
    from venuekit.sim.door import Request
    from venuekit.sim.faults import Decision
    from venuekit.sim.server import Server

_MS_NS = 1_000_000
_LINGER_RESET = struct.pack("ii", 1, 0)
_ABNORMAL = 1006


@define
class _Outgoing:
    """A frame, a ping (`frame` None), or a close (`code`)."""

    frame: bytes | str | None = None
    label: str = ""
    ready_ns: int = 0
    keep_bytes: int | None = None
    code: int | None = None
    reason: str = ""


class SocketConnection:
    """A `Connection` over an aiohttp WebSocket. Writes happen in one task, in the order of `send`."""

    def __init__(self, server: Server, handshake: Request) -> None:
        self.id = handshake.id
        self.handshake = handshake
        self.state: object = None
        self._server = server
        self._queue: deque[_Outgoing] = deque()
        self._wake = asyncio.Event()
        self._socket: web.WebSocketResponse | None = None
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._closing = False
        self._ended: tuple[CloseKind, int] | None = None
        self._ping_timer: Cancel | None = None
        self._late: set[Cancel] = set()

    @property
    def open(self) -> bool:
        """True until either side closed."""
        return self._open

    @property
    def backlog(self) -> int:
        """Frames queued and not yet written."""
        return len(self._queue)

    def send(self, frame: bytes | str, label: str = "") -> None:
        """The frame is queued in order, after the fault plan; nothing happens when the stream is closed."""
        if not self._open:
            return
        faults = self._server.faults
        decision = faults.ask(Point.OUT, label, self.id)
        if self._ends(decision) or decision.mute or decision.half_open:
            return
        now_ns = self._server.clock.mono_ns()
        if decision.reply_delay_ns:
            self._send_late(frame, label, now_ns + decision.reply_delay_ns)
            return
        # A delayed frame holds those behind it back: latency never reorders a stream.
        for _ in range(decision.copies):
            self._put(_Outgoing(frame, label, now_ns + decision.delay_ns, decision.keep_bytes))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """A close frame follows what is queued."""
        if self._open:
            self._put(_Outgoing(code=code, reason=reason))

    def reset(self) -> None:
        """The connection is torn down without a close frame; what was queued is lost."""
        self._cut_off(CloseKind.RESET)

    async def run(self, raw: web.BaseRequest) -> web.StreamResponse:
        """The whole life of the stream."""
        options = self._server.options
        upgraded = web.WebSocketResponse(
            autoping=False, max_msg_size=options.max_frame, compress=options.compress, timeout=1.0
        )
        await upgraded.prepare(raw)
        self._socket, self._transport = upgraded, raw.transport
        self._open = True
        writer = asyncio.get_running_loop().create_task(self._write_all(upgraded))
        self._schedule_ping()
        self._server.service.opened(self)
        try:
            await self._read_all(upgraded)
        finally:
            self._open = False
            self._stop_timers()
            if not self._closing:
                writer.cancel()
            # A close in progress ends by itself: the framework bounds its wait for the peer.
            await asyncio.gather(writer, return_exceptions=True)
            kind, code = self._ended or (CloseKind.CLIENT, upgraded.close_code or _ABNORMAL)
            self._server.service.closed(self, kind, code)
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
        server = self._server
        server.ledger.saw("in", "", frame, self.id)
        text = frame if isinstance(frame, str) else frame[:4_096].hex()
        decision = server.faults.ask(Point.IN, text, self.id)
        before = server.faults.cut("C2", text, self.id)
        if decision.expire_tokens or before.expire_tokens:
            server.service.control("expire_tokens", {})
        if decision.delay_ns:
            await server.clock.sleep_until(server.clock.mono_ns() + decision.delay_ns)
        if self._ends(decision) or self._ends(before) or decision.half_open or not decision.copies:
            return
        if self._open:
            server.service.receive(self, frame)

    def _ends(self, decision: Decision) -> bool:
        if decision.reset:
            self.reset()
        elif decision.close is not None:
            self.close(*decision.close)
        return decision.reset or decision.close is not None

    # --- out

    def _put(self, item: _Outgoing) -> None:
        self._queue.append(item)
        self._wake.set()
        if len(self._queue) > self._server.options.backlog:
            self._cut_off(CloseKind.SLOW)

    def _send_late(self, frame: bytes | str, label: str, at_ns: int) -> None:
        def put() -> None:
            self._late.discard(timer)
            if self._open:
                self._put(_Outgoing(frame, label))

        timer = self._server.clock.call_at(at_ns, put)
        self._late.add(timer)

    async def _write_all(self, upgraded: web.WebSocketResponse) -> None:
        while self._open:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            item = self._queue.popleft()
            if item.ready_ns > self._server.clock.mono_ns():
                await self._server.clock.sleep_until(item.ready_ns)
            try:
                await self._write(upgraded, item)
            except ConnectionError:
                # The peer is gone; the reader ends the stream and reports it.
                return

    async def _write(self, upgraded: web.WebSocketResponse, item: _Outgoing) -> None:
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
        self._ended = (CloseKind.RESET, _ABNORMAL)
        self._open = False
        if self._transport is not None:
            self._transport.write(head + payload[:keep])
            self._transport.close()

    def _cut_off(self, kind: CloseKind) -> None:
        if self._ended is None:
            self._ended = (kind, _ABNORMAL)
        self._open = False
        self._queue.clear()
        self._wake.set()
        reset_transport(self._transport)

    # --- keepalive

    def _schedule_ping(self) -> None:
        options, clock = self._server.options, self._server.clock
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None
        if options.ping_ms > 0 and self._open:
            self._ping_timer = clock.call_at(clock.mono_ns() + options.ping_ms * _MS_NS, self._ping)

    def _ping(self) -> None:
        options, clock = self._server.options, self._server.clock
        if self._server.faults.silenced(self.id).half_open:
            # A silent peer neither pings nor notices that nobody answers.
            self._schedule_ping()
            return
        self._put(_Outgoing())
        self._ping_timer = clock.call_at(
            clock.mono_ns() + options.pong_ms * _MS_NS, lambda: self._cut_off(CloseKind.NO_PONG)
        )

    def _stop_timers(self) -> None:
        for timer in (self._ping_timer, *self._late):
            if timer is not None:
                timer.cancel()
        self._late.clear()


def reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """The peer sees a connection reset, not an orderly end."""
    if not isinstance(transport, asyncio.Transport):
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()
