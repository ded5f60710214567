"""Sockets of the running loop below httpcore, whose own go through anyio: half of the time of a request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import httpcore

from venuekit.transport.dial import connected
from venuekit.transport.rules import readable

MAX_UNREAD_BYTES = 4 * 2**20
"""A reader takes all there is whenever the loop turns, so a peer of which more is waiting talks unasked."""
NEXT_ADDRESS_SECS = 0.25
"""How long one address of a name may take before the next is tried beside it (RFC 8305 8)."""


class LoopSockets(httpcore.AsyncNetworkBackend):
    """Connections that are bounded in time by whoever waits for them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> LoopStream:
        """A stream to the first address of the name that answers."""
        try:
            reached = await connected(host, port, NEXT_ADDRESS_SECS)
            # Given up from here on, the socket has a transport that closes it.
            _, stream = await asyncio.get_running_loop().create_connection(LoopStream, sock=reached)
        except OSError as error:
            raise httpcore.ConnectError from error
        return stream


class LoopStream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """One connection; what is written leaves when the answer is read, so head and body leave together.

    Of what came, the last byte is kept back until it is asked for alone. A reader with a whole answer asks
    for no more, so if the peer said more than that, a byte is left here: the connection is seen to talk
    unasked, though the rest of what it said lies in the reader.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] = []
        self._unread = bytearray()
        self._ended = False
        self._failure: Exception | None = None
        self._news: asyncio.Future[None] | None = None

    # --- called by httpcore

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Kept until `read`: nothing has left yet."""
        if buffer:
            self._held.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What came, once something came; empty at the end of the stream."""
        assert self._transport is not None
        if self._held:
            held, self._held = b"".join(self._held), []
            if self._unread or self._ended:
                # Said before it was asked. Nothing has left, and no other error says that as well.
                raise httpcore.ConnectionNotAvailable
            self._transport.write(held)
        while not self._unread and not self._ended:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        size = min(max_bytes, max(1, len(self._unread) - 1))
        data = bytes(self._unread[:size])
        del self._unread[:size]
        if not data and self._failure is not None:
            raise httpcore.ReadError from self._failure
        return data

    async def aclose(self) -> None:
        """The loop closes the socket next, whatever the peer does; no end of a TLS handshake is told."""
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> LoopStream:
        """The same stream, inside TLS."""
        assert self._transport is not None
        if self._unread:
            # A proxy's own words after its answer: they would be read as the host's, unverified.
            raise httpcore.ConnectError
        try:
            self._transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, ssl_context, server_hostname=server_hostname
            )
        except OSError as error:
            raise httpcore.ConnectError from error
        return self

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks: the TLS in use, and whether an idle connection has something to say."""
        assert self._transport is not None
        if info == "is_readable":
            # With much of the last request still to be written, the next one would wait behind it.
            is_busy = bool(self._unread) or self._transport.get_write_buffer_size() > 0
            return is_busy or self._ended or readable(self._transport)
        return self._transport.get_extra_info(info)

    # --- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Once, before TLS."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """More of an answer, or what nobody asked for."""
        self._unread += data
        if len(self._unread) > MAX_UNREAD_BYTES and self._transport is not None:
            self._failure = BufferError("more than anybody asked for")
            self._transport.abort()
        self._tell()

    def eof_received(self) -> None:
        """The peer is done, so the connection is. Inside TLS anybody can end it; the peer says goodbye."""
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        if tls is not None:
            try:
                tls.read(1)
            except ssl.SSLError:
                self._failure = ConnectionAbortedError("no goodbye")
        self._ended = True
        self._tell()

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._failure = self._failure or error
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
