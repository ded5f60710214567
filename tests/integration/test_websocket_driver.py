"""The WebSocket driver against servers of another make on loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from venuekit.errors import ConfigError, RateLimited, Refused, SendFailed
from venuekit.interfaces.request import Evidence, Handshake
from venuekit.runtime.clock import RealClock
from venuekit.transport.websocket import WebSocketLink, WebSocketTransport, websockets_transport


class Heard:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.frames: list[bytes | str] = []
        self.alive = 0
        self.closed: list[tuple[int | None, str]] = []
        self.news = asyncio.Event()
        self.echo: Callable[[bytes | str], None] | None = None

    def on_frame(self, frame: bytes | str) -> None:
        self.frames.append(frame)
        if self.echo:
            self.echo(frame)
        self.news.set()

    def on_alive(self) -> None:
        self.alive += 1
        self.news.set()

    def on_closed(self, code: int | None, reason: str) -> None:
        self.closed.append((code, reason))
        self.news.set()

    async def until(self, true: Callable[[], bool], secs: float = 5.0) -> None:
        async with asyncio.timeout(secs):
            while not true():
                self.news.clear()
                await self.news.wait()


def port_of(server: Any) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


@asynccontextmanager
async def ws_server(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[Server]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield server


@asynccontextmanager
async def raw_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Any]:
    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    try:
        yield server
    finally:
        server.close()


async def connect(server: Any, heard: Heard, *, ping_ms: str = "0", **to: Any) -> WebSocketLink:
    transport = websockets_transport(clock=RealClock(), options={"ping_ms": ping_ms})
    return await transport.connect(Handshake(f"ws://127.0.0.1:{port_of(server)}/path?x=1", **to), heard)


@pytest.mark.parametrize("compression", [False, True])
def test_texts_and_bytes_both_ways_in_order(compression: bool):
    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async def main() -> None:
        async with ws_server(echo) as server:
            heard = Heard()
            link = await connect(server, heard, compression=compression)
            wanted: list[bytes | str] = []
            for n in range(200):
                wanted += [f"text {n} \u20ac", b"\x00" * (n * 50)]
                link.send(wanted[-2])
                link.send(wanted[-1])
            await heard.until(lambda: len(heard.frames) == len(wanted))
            assert heard.frames == wanted
            await link.close()
            assert heard.closed == [(1000, "")]
            with pytest.raises(SendFailed) as caught:
                link.send("late")
            assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(main())


def test_headers_and_query_travel_and_compression_is_asked_for_only_when_wanted():
    seen: list[Any] = []

    async def note(peer: ServerConnection) -> None:
        seen.append((peer.request.path, peer.request.headers.get("X-Key"), peer.protocol.extensions))
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(note) as server:
            for compression in (False, True):
                link = await connect(server, Heard(), headers={"X-Key": "v"}, compression=compression)
                await link.close()

    asyncio.run(main())
    assert [(path, key, len(ext)) for path, key, ext in seen] == [
        ("/path?x=1", "v", 0),
        ("/path?x=1", "v", 1),
    ]


def test_fragments_become_one_message_and_pings_are_answered():
    async def pieces(peer: ServerConnection) -> None:
        await peer.send(["a", "b", "c"])
        await asyncio.wait_for(await peer.ping(), 5)
        await peer.send([b"1", b"2"])
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(pieces) as server:
            heard = Heard()
            link = await connect(server, heard)
            await heard.until(lambda: len(heard.frames) == 2)
            assert heard.frames == ["abc", b"12"]
            assert heard.alive >= 1
            await link.close()

    asyncio.run(main())


def test_our_ping_keeps_a_silent_but_healthy_peer_alive():
    async def silent(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(silent) as server:
            heard = Heard()
            link = await connect(server, heard, ping_ms="20")
            await heard.until(lambda: heard.alive >= 2)
            await link.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (400, Refused, "400"),
        (403, Refused, "403"),
        (429, RateLimited, 7_000_000_000),
        (503, SendFailed, None),
    ],
)
def test_a_refused_handshake_says_what_to_do(status: int, kind: type, detail: Any):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".encode())
        await writer.drain()

    async def main() -> None:
        async with raw_server(refuse) as server:
            heard = Heard()
            with pytest.raises(kind) as caught:
                await asyncio.wait_for(connect(server, heard), 5)
            if kind is Refused:
                assert caught.value.code == detail
            elif kind is RateLimited:
                assert caught.value.retry_after_ns == detail
            else:
                assert caught.value.evidence is Evidence.NOT_SENT
            assert heard.closed == []

    asyncio.run(main())


@pytest.mark.parametrize("answer", [b"", b"\x00\x01garbage\r\n\r\n", b"HTTP/1.1 101 OK\r\n\r\n"])
def test_a_peer_that_speaks_no_websocket_is_not_sent(answer: bytes):
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async def main() -> None:
        async with raw_server(odd) as server:
            with pytest.raises(SendFailed) as caught:
                await asyncio.wait_for(connect(server, Heard()), 5)
            assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(main())


def test_nobody_listening_and_a_bad_address():
    async def main() -> None:
        async with raw_server(lambda r, w: asyncio.sleep(0)) as server:
            port = port_of(server)
        transport = WebSocketTransport(RealClock())
        with pytest.raises(SendFailed) as caught:
            await transport.connect(Handshake(f"ws://127.0.0.1:{port}"), Heard())
        assert caught.value.evidence is Evidence.NOT_SENT
        with pytest.raises(ConfigError):
            await transport.connect(Handshake("https://127.0.0.1"), Heard())

    asyncio.run(main())


def test_a_connect_that_is_given_up_leaves_no_socket():
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        gone.set()

    async def main() -> None:
        async with raw_server(mute) as server:
            heard = Heard()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connect(server, heard), 0.1)
            await asyncio.wait_for(gone.wait(), 5)
            assert heard.closed == []

    asyncio.run(main())


def test_a_peer_that_never_answers_the_close_is_aborted_after_a_second():
    done = asyncio.Event()
    deafened = asyncio.Event()

    async def deaf(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        deafened.set()
        await done.wait()

    async def main() -> float:
        async with ws_server(deaf, close_timeout=0.1) as server:
            heard = Heard()
            link = await connect(server, heard)
            await asyncio.wait_for(deafened.wait(), 5)
            loop = asyncio.get_running_loop()
            started = loop.time()
            await link.close()
            took = loop.time() - started
            done.set()
            assert len(heard.closed) == 1
            return took

    assert 0.8 < asyncio.run(main()) < 2.0


def test_a_close_code_of_the_peer_arrives_once_with_its_reason():
    async def goodbye(peer: ServerConnection) -> None:
        await peer.send("last")
        await peer.close(4031, "idle")

    async def main() -> None:
        async with ws_server(goodbye) as server:
            heard = Heard()
            link = await connect(server, heard)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == ["last"]
            await link.close()
            assert heard.closed == [(4031, "idle")]

    asyncio.run(main())


def test_a_cut_in_the_middle_of_a_frame_delivers_nothing_of_it():
    from websockets.utils import accept_key

    async def torn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key")
        )
        writer.write(
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_key(key).encode()
            + b"\r\n\r\n\x82\x03abc\x82\x7e\x10\x00torn"
        )
        await writer.drain()

    async def main() -> None:
        async with raw_server(torn) as server:
            heard = Heard()
            await connect(server, heard)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == [b"abc"]
            assert [code for code, _ in heard.closed] == [1006]

    asyncio.run(main())


def test_an_oversized_message_ends_the_connection():
    async def big(peer: ServerConnection) -> None:
        await peer.send(b"x" * 5_000)
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(big) as server:
            heard = Heard()
            await connect(server, heard, max_frame_bytes=1_000)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == []
            assert heard.closed[0][0] in (1006, 1009)

    asyncio.run(main())


def test_a_peer_that_stops_reading_gets_no_more_than_the_bound():
    done = asyncio.Event()
    deafened = asyncio.Event()

    async def deaf(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        deafened.set()
        await done.wait()

    async def main() -> None:
        async with ws_server(deaf, close_timeout=0.1) as server:
            link = await connect(server, Heard())
            with pytest.raises(SendFailed) as caught:
                for _ in range(200):
                    link.send(b"x" * 100_000)
            assert caught.value.evidence is Evidence.NOT_SENT
            await link.close()
            done.set()

    asyncio.run(main())
