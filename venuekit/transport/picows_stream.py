"""WebSocket streams over picows: framing in C, the optional fast driver (extra `picows`).

The library parses frames inside the loop's read callback and hands each to `_Wire`; what it leaves to its
user is done here: fragments, reserved bits, control frames, the close handshake, bounds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSInvalidStatusError,
    WSInvalidURL,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    WSUpgradeResponse,
    ws_connect,
)
from picows.url import parse_url

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

TEXT, BINARY, CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
PING, PONG, CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE
NO_CODE, ABNORMAL = 1005, 1006
"""What is reported for a close frame without a code and for an end without a close frame (RFC 6455 7.1.5)."""

_SILENT = logging.Logger("venuekit.transport.picows_stream", logging.CRITICAL + 1)


def picows_transport(*, clock: Clock, options: Mapping[str, str]) -> PicowsTransport:
    """The transport behind `stream/picows`; options: `ping_ms`, `proxy`."""
    return PicowsTransport(clock, ping_ns=ping_interval_ns(options), proxy=stream_proxy_address(options))


class PicowsTransport:
    """A `StreamTransport` over TCP and TLS.

    Where it differs from `stream/websockets`: compression is never offered, so a stream that asks for it
    comes uncompressed; frames are masked with C's `rand`, which somebody who reads along could predict (TLS
    hides the masks, and they protect caching proxies, not secrets: RFC 6455 10.3); a refusal whose status
    Python's `HTTPStatus` does not name is SendFailed(NOT_SENT), not Refused; the answer's `Connection` must
    be `Upgrade` alone; the reason of `on_closed` names a broken rule of the protocol (websockets: nothing).
    """

    def __init__(self, clock: Clock, *, ping_ns: int = 20_000_000_000, proxy: str | None = None) -> None:
        """`ping_ns`: ping after this much silence, 0: never; `proxy`: address of an HTTP proxy."""
        self._clock = clock
        self._ping_ns = ping_ns
        self._proxy = proxy

    async def connect(self, to: Handshake, receiver: Receiver) -> PicowsLink:
        """See `StreamTransport`; the name is resolved anew each time, redirects are refused."""
        try:
            target = parse_url(to.url)
        except (WSInvalidURL, ValueError) as error:
            raise ConfigError(f"not a WebSocket address: {to.url.partition('?')[0]!r}") from error
        where = f"{target.host}:{target.port}"
        wire = _Wire(receiver, self._clock, self._ping_ns, to.max_frame_bytes)
        caller = _Dial(self._proxy)
        handed_over = False
        try:
            _, listener = await ws_connect(
                wire.accept,
                to.url,
                ssl_context=verified_tls() if target.is_secure else None,
                websocket_handshake_timeout=None,
                logger_name=_Log(wire),
                enable_auto_pong=False,
                max_frame_size=to.max_frame_bytes,
                extra_headers=to.headers,
                max_redirects=0,
                socket_factory=caller,
                # The loop's own sockets and Python's own TLS: its replacement reaches into OpenSSL.
                use_aiofastnet=False,
            )
            # The library reports a hang-up before the answer as success, without a listener.
            if listener is not wire:
                raise not_sent(f"no WebSocket at {where}: the peer closed during the handshake")
            handed_over = True
        except OSError as error:
            raise not_sent(f"cannot connect to {where}: {error}") from error
        except WSInvalidStatusError as error:
            raise _refusal(error, where) from error
        except WSHandshakeError as error:
            raise not_sent(f"no WebSocket at {where}: {str(error)[:200]}") from error
        finally:
            # Given up or failed: nothing may stay open, whatever stage the library was in.
            if not handed_over:
                wire.forget()
                caller.hang_up()
        return PicowsLink(wire)


def _refusal(error: WSHandshakeError, where: str) -> Exception:
    if error.response is None:
        return not_sent(f"no WebSocket at {where}")
    return handshake_refusal(int(error.response.status), error.response.headers.get("Retry-After", ""))


class _Log(logging.LoggerAdapter[logging.Logger]):
    """Writes nothing: the library logs headers and payloads, tokens included.

    What matters of it arrives as errors and reasons, but for a broken frame: the log alone tells of it before
    the next frame is handed over, and asking the transport each time would cost a twentieth of the time.
    """

    def __init__(self, wire: _Wire) -> None:
        super().__init__(_SILENT)
        self._wire = wire

    def log(self, level: int, *_: object, **__: object) -> None:
        """Every other method of an adapter comes through here."""
        if level >= logging.ERROR:
            self._wire.go_long()


class _Dial:
    """Opens the socket and keeps a hand on it: the library would leave it open when a connect is given up."""

    def __init__(self, proxy: str | None) -> None:
        self._proxy = proxy
        self._socket: socket.socket | None = None

    async def __call__(self, target: WSParsedURL) -> socket.socket:
        self._socket = await dial(target.host, target.port, self._proxy)
        return self._socket

    def hang_up(self) -> None:
        """The peer sees the end; the transport that owns the socket sees it too and closes it."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class PicowsLink:
    """An open stream; see `Link`."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def send(self, frame: Frame) -> None:
        """See `Link`: the frame is in the socket's buffer, or `SendFailed(NOT_SENT)`."""
        self._wire.send(frame)

    async def close(self, code: int = 1000) -> None:
        """See `Link`: a polite close, and after a second an abort."""
        await self._wire.close(code)


class _Wire(WSListener):
    """One connection: takes frames from the parser, hands messages to the receiver."""

    def __init__(self, receiver: Receiver, clock: Clock, ping_ns: int, max_bytes: int) -> None:
        self._receiver = receiver
        self._receive = receiver.on_frame
        self._clock = clock
        self._ping_ns = ping_ns
        self._max_bytes = max_bytes
        self._transport: WSTransport | None = None
        self._is_open = False
        self._forgotten = False
        self._short_way = _short_way(self, receiver.on_frame)
        self._heard = False
        self._in_fragments = False
        self._over = False
        self._close_is_ours = False
        self._parser_gave_up = False
        self._ending = (ABNORMAL, "")
        self._parts: list[bytes] = []
        self._parts_text = False
        self._parts_bytes = 0
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._farewell: asyncio.Task[None] | None = None
        self._ping: Cancel | None = None
        self._last_call: Cancel | None = None

    # --- called by the transport and the link

    def accept(self, _request: object, response: WSUpgradeResponse) -> _Wire:
        """This wire, as the listener of a handshake that agreed on nothing we did not ask for."""
        for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
            if name in response.headers:
                raise WSHandshakeError(f"the answer has a {name} that was not asked for")
        return self

    def forget(self) -> None:
        """The socket is gone at once and the receiver hears nothing of it."""
        self._forgotten = True
        self._end("")
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def send(self, frame: Frame) -> None:
        """One message is in the socket's buffer."""
        transport = self._transport
        # The library drops what it cannot send without a word, so every such state is asked for first.
        if (
            transport is None
            or not self._is_open
            or transport.is_close_frame_sent
            or transport.is_disconnected
            or transport.underlying_transport.is_closing()
        ):
            raise not_sent("the stream is closed")
        if transport.underlying_transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise not_sent("the peer does not read: too many bytes are waiting")
        transport.send(TEXT if isinstance(frame, str) else BINARY, frame)

    async def close(self, code: int) -> None:
        """Nothing is open after this, at most a second later."""
        transport = self._transport
        if transport is None or self._closed.done():
            return
        try:
            if not transport.is_close_frame_sent:
                self._say_goodbye(transport, code)
            self._wait_for_the_end()
            await asyncio.shield(self._closed)
        finally:
            transport.disconnect(graceful=False)

    # --- called by the library

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._forgotten:
            transport.disconnect(graceful=False)
            return
        self._is_open = True
        self._watch()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The long way: the first frame of each watch, and all but whole messages on an open stream."""
        if self._over:
            return
        self._heard = True
        try:
            self._take(transport, frame)
        except Exception as error:  # noqa: BLE001  a receiver may raise anything, and the library would hide it
            self.blame(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for timer in (self._ping, self._last_call):
            if timer is not None:
                timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
        if transport.is_close_frame_sent and not self._close_is_ours:
            self._farewell = asyncio.get_running_loop().create_task(_hear_out(transport))
        if self._is_open and not self._forgotten:
            self._is_open = False
            try:
                self._receiver.on_closed(*self._how_it_ended(transport))
            except Exception as error:  # noqa: BLE001  as above; nothing follows the end anyway
                self._report("a receiver failed on the end of its stream", error)

    def pause_writing(self) -> None:
        """The bound is in `send`."""

    def resume_writing(self) -> None:
        """The bound is in `send`."""

    # --- inside

    def go_long(self) -> None:
        """Frames take the long way, which asks everything, until one of them finds all in order."""
        vars(self).pop("on_ws_frame", None)

    def _go_short(self) -> None:
        """The library asks the instance first, so an entry there takes the place of the method."""
        vars(self)["on_ws_frame"] = self._short_way

    def blame(self, error: Exception) -> None:
        """A receiver lost a frame, so no other follows; the session counts the end of the stream."""
        self._report("a receiver failed on a frame; its stream is aborted", error)
        self._end(str(error))
        self._abort()

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        if transport.is_close_frame_sent and not self._close_is_ours:
            # The parser met a broken frame. It still hands out the one before it, which is the last that it
            # knew and has bytes behind it; whatever else it finds in the next 10 ms comes after the end.
            if self._parser_gave_up or not (frame.last_in_buffer and frame.tail_size):
                return
            self._parser_gave_up = True
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(transport, 1002, "a reserved bit is set")
        elif kind == PING:
            if not transport.is_close_frame_sent:
                transport.send_pong(frame.get_payload_as_bytes())
            self._receiver.on_alive()
        elif kind == PONG:
            self._receiver.on_alive()
        elif kind == CLOSE:
            self._peer_closes(transport, frame)
        else:
            self._take_part(transport, frame)

    def _take_part(self, transport: WSTransport, frame: WSFrame) -> None:
        """One part of a message, or a whole one (RFC 6455 5.4): only whole ones are handed over."""
        kind = frame.msg_type
        if (kind == CONTINUATION) is not self._in_fragments:
            self._fail(transport, 1002, "a fragment out of order")
            return
        if kind != CONTINUATION:
            self._parts, self._parts_bytes, self._parts_text = [], 0, kind == TEXT
        self._parts_bytes += frame.payload_size
        if self._parts_bytes > self._max_bytes:
            self._fail(transport, 1009, "a message in fragments is too big")
            return
        self._parts.append(frame.get_payload_as_bytes())
        self._in_fragments = not frame.fin
        if self._in_fragments:
            self.go_long()
            return
        if not transport.is_close_frame_sent:
            self._go_short()
        whole, self._parts = b"".join(self._parts), []
        if not self._parts_text:
            self._receive(whole)
            return
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            # RFC 6455 8.1: a text message that is not UTF-8 ends the connection.
            self._fail(transport, 1007, "invalid UTF-8")
            return
        self._receive(text)

    def _peer_closes(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2]) if payload else NO_CODE
        if payload and not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            self._fail(transport, 1002, "a close code that must not be sent")
            return
        if not transport.is_close_frame_sent:
            self._say_goodbye(transport, code if payload else 1000)
        # Both sides are done; whoever hangs up first, nothing more can come. The parser checked the text.
        self._end(payload[2:].decode(), code)
        transport.disconnect()
        self._wait_for_the_end()

    def _fail(self, transport: WSTransport, code: int, why: str) -> None:
        """The peer broke the protocol: told so, and heard no more."""
        if not transport.is_close_frame_sent:
            self._say_goodbye(transport, code, why)
        self._end(why)
        transport.disconnect()
        self._wait_for_the_end()

    def _say_goodbye(self, transport: WSTransport, code: int, why: str = "") -> None:
        self._close_is_ours = True
        transport.send_close(WSCloseCode(code), why.encode())

    def _end(self, why: str, code: int = ABNORMAL) -> None:
        """No frame is handed over after this; the first reason counts."""
        if not self._over:
            self._over = True
            self.go_long()
            self._ending = (code, why)

    def _how_it_ended(self, transport: WSTransport) -> tuple[int, str]:
        if not self._over and transport.is_close_frame_sent and not self._close_is_ours:
            sent = transport.close_handshake.sent
            return ABNORMAL, sent.reason if sent is not None else ""
        return self._ending

    def _report(self, text: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})

    def _wait_for_the_end(self) -> None:
        if self._last_call is None and not self._closed.done():
            self._last_call = self._clock.call_at(self._clock.mono_ns() + CLOSE_NS, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _watch(self) -> None:
        if self._ping_ns:
            # The short way has no time to note that it heard something: the first frame comes the long way.
            self._heard = False
            self.go_long()
            self._ping = self._clock.call_at(self._clock.mono_ns() + self._ping_ns, self._quiet)

    def _quiet(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.is_close_frame_sent:
            # The parser gave up and its goodbye is stuck in a socket that nobody reads.
            self._wait_for_the_end()
        elif not self._heard:
            transport.send_ping()
        self._watch()


def _short_way(
    wire: _Wire, receive: Callable[[Frame], None]
) -> Callable[[WSTransport, WSFrame], None]:
    """Whole messages straight to the receiver.

    A closure, because the attributes of a method would cost a fifth of the throughput; each attribute of a
    frame or transport costs a twentieth, so only what differs from frame to frame is asked.
    """

    def on_ws_frame(transport: WSTransport, frame: WSFrame) -> None:
        if frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
            kind = frame.msg_type
            try:
                if kind is BINARY:
                    receive(frame.get_payload_as_bytes())
                    return
                if kind is TEXT and (text := _text_of(frame)) is not None:
                    receive(text)
                    return
            except Exception as error:  # noqa: BLE001  a receiver may raise anything, and the library would hide it
                wire.blame(error)
                return
        _Wire.on_ws_frame(wire, transport, frame)

    return on_ws_frame


def _text_of(frame: WSFrame) -> str | None:
    """None when it is not UTF-8: the long way says so to the peer."""
    try:
        return frame.get_payload_as_utf8_text()
    except UnicodeDecodeError:
        return None


async def _hear_out(transport: WSTransport) -> None:
    """What the parser gave up on is in the reason of `on_closed`; its future must not complain of nobody."""
    with suppress(Exception):
        await transport.wait_disconnected()
