"""WebSocket streams over the websockets library's protocol core: bytes to the receiver in one pass, no queue.

The core (framing, handshake, compression) does no I/O; the socket is an asyncio protocol of our own, so a
frame reaches the receiver inside the loop's read callback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from venuekit.errors import ConfigError
from venuekit.interfaces.request import Frame, Handshake, Receiver
from venuekit.interfaces.time import Cancel, Clock
from venuekit.transport.dial import dial
from venuekit.transport.rules import (
    CLOSE_NS,
    MAX_UNSENT_BYTES,
    handshake_refusal,
    not_sent,
    ping_interval_ns,
    stream_proxy_address,
    verified_tls,
)


def websockets_transport(*, clock: Clock, options: Mapping[str, str]) -> WebSocketTransport:
    """The transport behind `stream/websockets`; options: `ping_ms`, `proxy`."""
    return WebSocketTransport(clock, ping_ns=ping_interval_ns(options), proxy=stream_proxy_address(options))


class WebSocketTransport:
    """A `StreamTransport` over TCP and TLS."""

    def __init__(self, clock: Clock, *, ping_ns: int = 20_000_000_000, proxy: str | None = None) -> None:
        """`ping_ns`: ping after this much silence, 0: never; `proxy`: address of an HTTP proxy."""
        self._clock = clock
        self._ping_ns = ping_ns
        self._proxy = proxy

    async def connect(self, to: Handshake, receiver: Receiver) -> WebSocketLink:
        """See `StreamTransport`; the name is resolved anew each time, redirects are refused."""
        try:
            uri = parse_uri(to.url)
        except InvalidURI as error:
            raise ConfigError(f"not a WebSocket address: {to.url.partition('?')[0]!r}") from error
        link = WebSocketLink(_protocol(uri, to), receiver, self._clock, self._ping_ns)
        handed_over = False
        try:
            await self._open(link.wire, uri)
            link.wire.ask(to.headers)
            await link.wire.opened
            handed_over = True
        except OSError as error:
            raise not_sent(f"cannot connect to {uri.host}:{uri.port}: {error}") from error
        except InvalidStatus as error:
            wait = error.response.headers.get("Retry-After", "")
            raise handshake_refusal(error.response.status_code, wait) from error
        except (InvalidHandshake, ProtocolError, EOFError) as error:
            raise not_sent(f"no WebSocket at {uri.host}:{uri.port}: {error}") from error
        finally:
            # Given up in the very turn that opened it, the stream is open and nobody has it.
            if not handed_over:
                link.wire.forget()
        return link

    async def _open(self, wire: _Wire, uri: WebSocketURI) -> None:
        loop, tls = asyncio.get_running_loop(), verified_tls() if uri.secure else None
        if self._proxy is None:
            await loop.create_connection(lambda: wire, uri.host, uri.port, ssl=tls)
            return
        tunnel = await dial(uri.host, uri.port, self._proxy)
        try:
            name = uri.host if uri.secure else None
            await loop.create_connection(lambda: wire, sock=tunnel, ssl=tls, server_hostname=name)
        except BaseException:
            tunnel.close()
            raise


def _protocol(uri: WebSocketURI, to: Handshake) -> ClientProtocol:
    protocol = ClientProtocol(
        uri,
        extensions=[ClientPerMessageDeflateFactory()] if to.compression else None,
        max_size=to.max_frame_bytes,
        logger=logging.getLogger("venuekit.transport.websocket"),
    )
    # Its debug lines print headers and payloads, tokens included.
    protocol.debug = False
    return protocol


class WebSocketLink:
    """An open stream; see `Link`."""

    def __init__(self, protocol: ClientProtocol, receiver: Receiver, clock: Clock, ping_ns: int) -> None:
        self.wire = _Wire(protocol, receiver, clock, ping_ns)

    def send(self, frame: Frame) -> None:
        """See `Link`: the frame is in the socket's buffer, or `SendFailed(NOT_SENT)`."""
        self.wire.send(frame)

    async def close(self, code: int = 1000) -> None:
        """See `Link`: a polite close, and after a second an abort."""
        await self.wire.close(code)


class _Wire(asyncio.Protocol):
    """The socket side of one connection: drives the protocol core, hands frames to the receiver."""

    def __init__(self, protocol: ClientProtocol, receiver: Receiver, clock: Clock, ping_ns: int) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        # Whoever asked may have been cancelled: a failure that nobody awaits is no accident.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self.is_open = False
        self._closed: asyncio.Future[None] = loop.create_future()
        self._protocol = protocol
        self._receiver = receiver
        self._clock = clock
        self._ping_ns = ping_ns
        self._ping: Cancel | None = None
        self._last_call: Cancel | None = None
        self._heard = False
        self._failed = False
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._parts_text = False

    # --- called by the transport

    def ask(self, headers: Mapping[str, str]) -> None:
        """The handshake request is on its way."""
        request = self._protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def send(self, frame: Frame) -> None:
        """One message is in the socket's buffer."""
        transport, protocol = self._transport, self._protocol
        if (
            transport is None
            or not self.is_open
            or protocol.state is not State.OPEN
            # Aborted, and the end not told yet: the loop would drop the bytes without a word.
            or transport.is_closing()
        ):
            raise not_sent("the stream is closed")
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise not_sent("the peer does not read: too many bytes are waiting")
        if isinstance(frame, str):
            protocol.send_text(frame.encode())
        else:
            protocol.send_binary(frame)
        self._flush()

    async def close(self, code: int) -> None:
        """Nothing is open after this, at most a second later."""
        if self._transport is None or self._closed.done():
            return
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
                self._flush()
            if self._last_call is None:
                self.abort()
            await asyncio.shield(self._closed)
        finally:
            self.abort()

    def abort(self) -> None:
        """The socket is gone at once."""
        if self._transport is not None:
            self._transport.abort()

    def forget(self) -> None:
        """The socket is gone at once and the receiver hears nothing of it."""
        self.is_open = False
        self.abort()

    # --- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard = True
        protocol = self._protocol
        protocol.receive_data(data)
        receive = self._receiver.on_frame
        for event in protocol.events_received():
            if isinstance(event, WireFrame):
                opcode = event.opcode
                if opcode is Opcode.BINARY and event.fin:
                    receive(bytes(event.data))
                else:
                    self._other_frame(event)
                    if self._failed:
                        break
            elif isinstance(event, Response):
                self._answered()
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._protocol.receive_eof()
        for timer in (self._ping, self._last_call):
            if timer is not None:
                timer.cancel()
        if not self.opened.done():
            refused = self._protocol.handshake_exc
            self.opened.set_exception(refused or EOFError("the peer closed during the handshake"))
        if not self._closed.done():
            self._closed.set_result(None)
        if self.is_open:
            self.is_open = False
            code, reason = self._protocol.close_code, self._protocol.close_reason or ""
            self._receiver.on_closed(code, reason or (str(error) if error else ""))

    # --- inside

    def _answered(self) -> None:
        if self._protocol.handshake_exc is None and not self.opened.done():
            self.is_open = True
            self.opened.set_result(None)
            self._watch()

    def _other_frame(self, frame: WireFrame) -> None:
        """Texts, fragments and control frames; the protocol core answered pings already."""
        opcode = frame.opcode
        if opcode in (Opcode.PING, Opcode.PONG):
            self._receiver.on_alive()
        elif opcode is Opcode.CLOSE:
            return
        elif opcode is Opcode.TEXT and frame.fin:
            self._deliver(bytes(frame.data), text=True)
        else:
            if opcode is not Opcode.CONT:
                self._parts_text = opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole, self._parts = b"".join(self._parts), []
                self._deliver(whole, text=self._parts_text)

    def _deliver(self, data: bytes, *, text: bool) -> None:
        if not text:
            self._receiver.on_frame(data)
            return
        try:
            decoded = data.decode()
        except UnicodeDecodeError:
            # RFC 6455 8.1: a text message that is not UTF-8 ends the connection.
            self._protocol.fail(1007, "invalid UTF-8")
            self._failed = True
            return
        self._receiver.on_frame(decoded)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
            elif transport.can_write_eof() and not transport.is_closing():
                transport.write_eof()
        if self._protocol.close_expected() and self._last_call is None:
            self._last_call = self._clock.call_at(self._clock.mono_ns() + CLOSE_NS, self.abort)
        if self._protocol.close_rcvd is not None or self._protocol.handshake_exc is not None:
            # Both sides are done; whoever hangs up first, nothing more can come.
            transport.close()

    def _watch(self) -> None:
        if self._ping_ns:
            self._heard = False
            self._ping = self._clock.call_at(self._clock.mono_ns() + self._ping_ns, self._quiet)

    def _quiet(self) -> None:
        if not self._heard and self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()
        self._watch()
