"""Which address of a name a connect reaches, and that nothing stays open of one given up at any turn."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from raw_http import DRIVERS as HTTP
from raw_http import OK, REQUEST
from self_signed import server_tls

from venuekit.interfaces.request import Handshake
from venuekit.runtime.clock import RealClock
from venuekit.transport import rules
from venuekit.transport.dial import connected
from venuekit.transport.picows_stream import picows_transport
from venuekit.transport.websocket import websockets_transport

STREAMS: dict[str, Callable[..., Any]] = {"websockets": websockets_transport, "picows": picows_transport}
MOST_TURNS = 200
"""More than any connect takes here, where both ends are on one loop."""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 1.3."""


class Peer(asyncio.Protocol):
    """The server's end of one connection: answers the first request, and counts itself while it is open."""

    def __init__(self, still_open: set[Peer]) -> None:
        self._still_open = still_open
        self._heard = b""
        self._answered = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._still_open.add(self)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self._answered:
            # Of a stream nothing follows but its goodbye, and of a request nothing.
            self.transport.close()
            return
        self._heard += data
        head, end, _ = self._heard.partition(b"\r\n\r\n")
        if end:
            self._answered = True
            lines = [line.partition(b": ") for line in head.split(b"\r\n")]
            keys = [value for name, _, value in lines if name.lower() == b"sec-websocket-key"]
            self.transport.write(agreed(keys[0]) if keys else OK)

    def connection_lost(self, _error: Exception | None) -> None:
        self._still_open.discard(self)


def agreed(key: bytes) -> bytes:
    """The server's half of the opening handshake (RFC 6455 4.2.2)."""
    accept = b64encode(sha1(key + GUID, usedforsecurity=False).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


class Unasked(AssertionError):
    """A receiver heard of a stream that it never got."""


class Deaf:
    """A receiver to which nothing may be said, but that the stream it got has ended."""

    has_stream = False

    def on_frame(self, frame: bytes | str) -> None:
        raise Unasked(frame)

    def on_alive(self) -> None:
        raise Unasked

    def on_closed(self, code: int | None, reason: str) -> None:
        if not self.has_stream:
            raise Unasked(code, reason)


async def use(driver: str, address: str, scheme_end: str) -> None:
    """One request, or one stream, from the connect to the close."""
    if driver in HTTP:
        port = HTTP[driver][1](
            f"http{scheme_end}://{address}", clock=RealClock(), timeouts_ms={"op": 30_000}, options={}
        )
        try:
            await port.send(REQUEST)
        finally:
            await port.close()
        return
    transport = STREAMS[driver](clock=RealClock(), options={"ping_ms": "0"})
    receiver = Deaf()
    link = await transport.connect(Handshake(f"ws{scheme_end}://{address}/"), receiver)
    receiver.has_stream = True
    await link.close()


async def given_up_after(turns: int, work: Coroutine[Any, Any, None]) -> bool:
    """False when the work was over before."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0)
    was_over = task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return not was_over


class Server:
    """Listens on the loop of the test, as every address of the name it is reached by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.open: set[Peer] = set()
        self.port = 0

    @asynccontextmanager
    async def listening(self, *, tls: Any = None, addresses: int = 1) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Peer(self.open), "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        names(self._monkeypatch, *[("127.0.0.1", self.port)] * addresses)
        try:
            yield
            await self.alone()
        finally:
            server.close()

    async def alone(self, secs: float = 5.0) -> None:
        """Every peer is gone; one that nobody let go yet is not overlooked, however late it was accepted."""
        for _ in range(5):
            await asyncio.sleep(0)
        end = asyncio.get_running_loop().time() + secs
        while self.open:
            assert asyncio.get_running_loop().time() < end, "a socket stays open"
            await asyncio.sleep(0)


def names(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name has these addresses, and no thread looks it up, so that every turn is one of the connect."""

    async def found(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Python warns of a socket that is let go and not closed; some are let go by the collector alone."""
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in left] == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("driver", [*HTTP, *STREAMS])
def test_a_connect_given_up_at_any_turn_leaves_no_socket(
    driver: str, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, path = server_tls(tmp_path) if tls else (None, None)
    if path is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def main() -> int:
        server = Server(monkeypatch)
        async with server.listening(tls=context, addresses=2):
            address = f"localhost:{server.port}"
            for turns in range(MOST_TURNS):
                if not await given_up_after(turns, use(driver, address, "s" if tls else "")):
                    return turns
                await server.alone()
        return MOST_TURNS

    rules.verified_tls.cache_clear()
    try:
        with nothing_left():
            turns = asyncio.run(main())
    finally:
        rules.verified_tls.cache_clear()
    assert 5 < turns < MOST_TURNS


@pytest.mark.parametrize("beside_secs", [None, 0.0, 10.0])
def test_two_addresses_that_answer_make_one_connection(
    beside_secs: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 0 seconds both are tried, and the two may be there in one turn."""

    async def main() -> int:
        server = Server(monkeypatch)
        async with server.listening(addresses=2):

            async def reach() -> None:
                with await connected("localhost", server.port, beside_secs):
                    pass

            for turns in range(MOST_TURNS):
                if not await given_up_after(turns, reach()):
                    return turns
                await server.alone()
        return MOST_TURNS

    with nothing_left():
        turns = asyncio.run(main())
    assert 1 < turns < MOST_TURNS


def silent() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full: Linux answers no further SYN."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    return listener, waiting


@pytest.mark.parametrize("first", ["refuses", "is silent"])
def test_the_next_address_is_tried_when_the_first_refuses_or_is_silent(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, waiting = silent()
    dead = listener.getsockname()
    if first == "refuses":
        listener.close()

    async def main() -> None:
        server = Server(monkeypatch)
        async with server.listening():
            names(monkeypatch, dead, ("127.0.0.1", server.port))
            async with asyncio.timeout(5):
                reached = await connected("localhost", server.port, 0.01)
            with reached:
                assert reached.getpeername() == ("127.0.0.1", server.port)
            await server.alone()

    with nothing_left():
        asyncio.run(main())
        for one in (listener, *waiting):
            one.close()


@pytest.mark.parametrize(
    ("beside_secs", "order"), [(0.25, ["a", "1", "b", "c"]), (None, ["a", "b", "c", "1"])], ids=str
)
def test_the_families_take_turns_where_addresses_race(
    beside_secs: float | None, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8305 4: one broken family must not hold up the other. Elsewhere the resolver's order counts."""
    tried = []

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        families = {"a": socket.AF_INET6, "b": socket.AF_INET6, "c": socket.AF_INET6, "1": socket.AF_INET}
        return [(family, socket.SOCK_STREAM, 6, "", name) for name, family in families.items()]

    async def refused(_: socket.socket, name: str) -> None:
        tried.append(name)
        raise ConnectionRefusedError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", resolved)
        monkeypatch.setattr(loop, "sock_connect", refused)
        with pytest.raises(ConnectionRefusedError):
            await connected("localhost", 1, beside_secs)

    asyncio.run(main())
    assert tried == order


def errors_alive() -> int:
    return sum(isinstance(one, OSError) for one in gc.get_objects())


def test_a_connect_that_fails_leaves_nothing_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that a frame holds, and that holds the frame with its traceback, only it would find."""
    listener = socket.create_server(("127.0.0.1", 0))
    dead = listener.getsockname()
    listener.close()

    async def main(addresses: list[tuple[str, int]], why: str) -> int:
        names(monkeypatch, *addresses)
        before = errors_alive()
        try:
            await connected("localhost", 1, 0.01)
        except OSError as error:
            assert why in str(error)
        return errors_alive() - before

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main([dead, dead], "Connect call failed")) == 0
        assert asyncio.run(main([], "no address")) == 0
    finally:
        gc.enable()
