"""Both stream drivers against servers of another make on loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from self_signed import server_tls
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.utils import accept_key

from venuekit.errors import ConfigError, RateLimited, Refused, SendFailed
from venuekit.interfaces.request import Evidence, Handshake
from venuekit.runtime.clock import ManualClock, RealClock
from venuekit.transport import rules
from venuekit.transport.picows_stream import picows_transport
from venuekit.transport.websocket import websockets_transport

DRIVERS: dict[str, Callable[..., Any]] = {"websockets": websockets_transport, "picows": picows_transport}


@pytest.fixture(params=DRIVERS)
def driver(request: Any) -> str:
    return request.param


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


async def connect(driver: str, server: Any, heard: Any, *, ping_ms: str = "0", **to: Any) -> Any:
    transport = DRIVERS[driver](clock=RealClock(), options={"ping_ms": ping_ms})
    return await transport.connect(Handshake(f"ws://127.0.0.1:{port_of(server)}/path?x=1", **to), heard)


async def agree(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, then: bytes = b"", **more: str
) -> None:
    """The server's half of the opening handshake by hand (RFC 6455 4.2.2), and bytes in the same segment."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = request.lower().split("\r\n"), request.split("\r\n")
    key = next(
        line.split(": ")[1] for low, line in zip(*lines, strict=True) if low.startswith("sec-websocket-key")
    )
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(key),
        **more,
    }
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(b"HTTP/1.1 101 Go\r\n" + head.encode() + b"\r\n" + then)
    await writer.drain()


@pytest.mark.parametrize("compression", [False, True])
def test_texts_and_bytes_both_ways_in_order(driver: str, compression: bool):
    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async def main() -> None:
        async with ws_server(echo) as server:
            heard = Heard()
            link = await connect(driver, server, heard, compression=compression)
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


def test_headers_and_query_travel_and_compression_is_asked_for_only_when_wanted(driver: str):
    seen: list[Any] = []

    async def note(peer: ServerConnection) -> None:
        seen.append((peer.request.path, peer.request.headers.get("X-Key"), peer.protocol.extensions))
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(note) as server:
            for compression in (False, True):
                link = await connect(driver, server, Heard(), headers={"X-Key": "v"}, compression=compression)
                await link.close()

    asyncio.run(main())
    assert [(path, key, len(ext)) for path, key, ext in seen] == [
        ("/path?x=1", "v", 0),
        ("/path?x=1", "v", 1 if driver == "websockets" else 0),
    ]


def test_fragments_become_one_message_and_pings_are_answered(driver: str):
    async def pieces(peer: ServerConnection) -> None:
        await peer.send(["a", "b", "c"])
        await asyncio.wait_for(await peer.ping(), 5)
        await peer.send([b"1", b"2"])
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(pieces) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await heard.until(lambda: len(heard.frames) == 2)
            assert heard.frames == ["abc", b"12"]
            assert heard.alive >= 1
            await link.close()

    asyncio.run(main())


def test_our_ping_keeps_a_silent_but_healthy_peer_alive(driver: str):
    async def silent(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(silent) as server:
            heard = Heard()
            link = await connect(driver, server, heard, ping_ms="20")
            await heard.until(lambda: heard.alive >= 2)
            await link.close()

    asyncio.run(main())


def test_only_a_peer_that_was_silent_since_the_last_watch_is_pinged(driver: str):
    """It talks in all watches but the second."""
    seen: list[int] = []

    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        while (opcode := (await reader.readexactly(6))[0] & 0x0F) != CLOSE:
            seen.append(opcode)
            if opcode == TEXT:
                writer.write(frame(BINARY, b"1") + frame(BINARY, b"2"))

    async def main() -> None:
        clock = ManualClock()
        async with raw_server(talks) as server:
            heard = Heard()
            transport = DRIVERS[driver](clock=clock, options={"ping_ms": "10000"})
            link = await transport.connect(Handshake(f"ws://127.0.0.1:{port_of(server)}/"), heard)
            for silent in (False, True, False, False):
                if not silent:
                    before = len(heard.frames)
                    link.send("")
                    await heard.until(lambda: len(heard.frames) == before + 2)  # noqa: B023
                clock.advance(10_000_000_000)
            await link.close()

    asyncio.run(main())
    assert seen == [TEXT, PING, TEXT, TEXT]


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (400, Refused, "400"),
        (403, Refused, "403"),
        (429, RateLimited, 7_000_000_000),
        (503, SendFailed, None),
    ],
)
def test_a_refused_handshake_says_what_to_do(driver: str, status: int, kind: type, detail: Any):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".encode())
        await writer.drain()

    async def main() -> None:
        async with raw_server(refuse) as server:
            heard = Heard()
            with pytest.raises(kind) as caught:
                await asyncio.wait_for(connect(driver, server, heard), 5)
            if kind is Refused:
                assert caught.value.code == detail
            elif kind is RateLimited:
                assert caught.value.retry_after_ns == detail
            else:
                assert caught.value.evidence is Evidence.NOT_SENT
            assert heard.closed == []

    asyncio.run(main())


@pytest.mark.parametrize("answer", [b"", b"\x00\x01garbage\r\n\r\n", b"HTTP/1.1 101 OK\r\n\r\n"])
def test_a_peer_that_speaks_no_websocket_is_not_sent(driver: str, answer: bytes):
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async def main() -> None:
        async with raw_server(odd) as server:
            with pytest.raises(SendFailed) as caught:
                await asyncio.wait_for(connect(driver, server, Heard()), 5)
            assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(main())


def test_nobody_listening_and_a_bad_address(driver: str):
    async def main() -> None:
        async with raw_server(lambda r, w: asyncio.sleep(0)) as server:
            port = port_of(server)
        transport = DRIVERS[driver](clock=RealClock(), options={})
        with pytest.raises(SendFailed) as caught:
            await transport.connect(Handshake(f"ws://127.0.0.1:{port}"), Heard())
        assert caught.value.evidence is Evidence.NOT_SENT
        with pytest.raises(ConfigError):
            await transport.connect(Handshake("https://127.0.0.1"), Heard())

    asyncio.run(main())


def test_a_connect_that_is_given_up_leaves_no_socket(driver: str):
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        gone.set()

    async def main() -> None:
        async with raw_server(mute) as server:
            heard = Heard()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connect(driver, server, heard), 0.1)
            await asyncio.wait_for(gone.wait(), 5)
            assert heard.closed == []

    asyncio.run(main())


def test_a_peer_that_never_answers_the_close_is_aborted_after_a_second(driver: str):
    done = asyncio.Event()
    deafened = asyncio.Event()

    async def deaf(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        deafened.set()
        await done.wait()

    async def main() -> float:
        async with ws_server(deaf, close_timeout=0.1) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await asyncio.wait_for(deafened.wait(), 5)
            loop = asyncio.get_running_loop()
            started = loop.time()
            await link.close()
            took = loop.time() - started
            done.set()
            assert len(heard.closed) == 1
            return took

    assert 0.8 < asyncio.run(main()) < 2.0


def test_a_close_code_of_the_peer_arrives_once_with_its_reason(driver: str):
    async def goodbye(peer: ServerConnection) -> None:
        await peer.send("last")
        await peer.close(4031, "idle")

    async def main() -> None:
        async with ws_server(goodbye) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == ["last"]
            await link.close()
            assert heard.closed == [(4031, "idle")]

    asyncio.run(main())


def test_a_cut_in_the_middle_of_a_frame_delivers_nothing_of_it(driver: str):
    async def torn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer, b"\x82\x03abc\x82\x7e\x10\x00torn")

    async def main() -> None:
        async with raw_server(torn) as server:
            heard = Heard()
            await connect(driver, server, heard)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == [b"abc"]
            assert [code for code, _ in heard.closed] == [1006]

    asyncio.run(main())


def test_an_oversized_message_ends_the_connection(driver: str):
    async def big(peer: ServerConnection) -> None:
        await peer.send(b"x" * 5_000)
        await peer.wait_closed()

    async def main() -> None:
        async with ws_server(big) as server:
            heard = Heard()
            await connect(driver, server, heard, max_frame_bytes=1_000)
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == []
            assert heard.closed[0][0] in (1006, 1009)

    asyncio.run(main())


def test_a_peer_that_stops_reading_gets_no_more_than_the_bound(driver: str):
    done = asyncio.Event()
    deafened = asyncio.Event()

    async def deaf(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        deafened.set()
        await done.wait()

    async def main() -> None:
        async with ws_server(deaf, close_timeout=0.1) as server:
            link = await connect(driver, server, Heard())
            with pytest.raises(SendFailed) as caught:
                for _ in range(200):
                    link.send(b"x" * 100_000)
            assert caught.value.evidence is Evidence.NOT_SENT
            await link.close()
            done.set()

    asyncio.run(main())


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = False) -> bytes:
    """An unmasked frame of up to 65,535 bytes (RFC 6455 5.2)."""
    first = (0x80 if fin else 0) | rsv | opcode
    flag = 0x80 if mask else 0
    size = len(payload)
    head = bytes([first, flag | size]) if size < 126 else bytes([first, flag | 126]) + size.to_bytes(2)
    return head + (b"\0\0\0\0" if mask else b"") + payload


TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
BROKEN = {
    "reserved bit": frame(BINARY, b"no", rsv=0x40),
    "reserved bit of a fragment": frame(TEXT, b"n", fin=False, rsv=0x20) + frame(CONTINUATION, b"o"),
    "unknown opcode": frame(3, b"no"),
    "masked": frame(BINARY, b"no", mask=True),
    "text that is not UTF-8": frame(TEXT, b"\xff\xfe"),
    "fragments that are not UTF-8": frame(TEXT, b"\xff", fin=False) + frame(CONTINUATION, b"\xfe"),
    "continuation of nothing": frame(CONTINUATION, b"no"),
    "message inside a message": frame(TEXT, b"n", fin=False) + frame(TEXT, b"no"),
    "binary message inside a message": frame(TEXT, b"n", fin=False) + frame(BINARY, b"no"),
    "fragmented ping": frame(PING, b"no", fin=False),
    "big ping": frame(PING, b"n" * 126),
    "too big": frame(BINARY, b"n" * 1_001),
    "too big in fragments": frame(BINARY, b"n" * 999, fin=False) + frame(CONTINUATION, b"n" * 2),
    "close code that must not be sent": frame(CLOSE, (1006).to_bytes(2)),
    "close code 0": frame(CLOSE, (0).to_bytes(2)),
    "close with half a code": frame(CLOSE, b"\x03"),
    "close with a reason that is not UTF-8": frame(CLOSE, (1000).to_bytes(2) + b"\xff"),
}


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "alone"])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_rule_of_the_protocol_ends_the_stream(driver: str, broken: bytes, apart: bool):
    """What came before is delivered, nothing of it and nothing after it, and the end is told once."""
    ended = asyncio.Event()

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        good, after = frame(BINARY, b"good"), frame(BINARY, b"after") * 3
        if apart:
            await agree(reader, writer, good)
            await reader.readexactly(6)  # our client has read the good one: it answered
            writer.write(broken)
            await writer.drain()
            await asyncio.sleep(0.002)  # in a segment of its own, where the parser has nothing to hand out
            writer.write(after)
        else:
            await agree(reader, writer, good + broken + after)
        await writer.drain()
        await reader.read(1)  # our client says goodbye or hangs up
        ended.set()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with raw_server(breaks) as server:
            heard = Heard()
            link = await connect(driver, server, heard, max_frame_bytes=1_000)
            await heard.until(lambda: bool(heard.frames))
            if apart:
                link.send("")
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == [b"good"]
            assert [code for code, _ in heard.closed] == [1006]
            with pytest.raises(SendFailed):
                link.send("late")
            await asyncio.wait_for(ended.wait(), 5)
            await link.close()
            assert len(heard.closed) == 1
        del link
        await asyncio.sleep(0)
        gc.collect()

    complaints: list[Any] = []
    asyncio.run(main())
    assert complaints == []


def test_a_ping_between_fragments_is_answered_and_the_message_whole(driver: str):
    pongs: list[bytes] = []

    async def pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(
            reader,
            writer,
            frame(TEXT, b"\xe2", fin=False)
            + frame(PING, b"beat")
            + frame(CONTINUATION, b"\x82", fin=False)
            + frame(CONTINUATION, b"\xac")
            + frame(BINARY, b"next"),
        )
        head = await reader.readexactly(6)
        payload = await reader.readexactly(head[1] & 0x7F)
        pongs.append(bytes([head[0]]) + bytes(a ^ b for a, b in zip(payload, head[2:6], strict=True)))
        await reader.read(1)

    async def main() -> None:
        async with raw_server(pieces) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await heard.until(lambda: len(heard.frames) == 2 and bool(heard.alive))
            assert heard.frames == ["\u20ac", b"next"]
            await link.close()

    asyncio.run(main())
    assert pongs == [b"\x8abeat"]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"", (1005, "")),
        ((1000).to_bytes(2), (1000, "")),
        ((4999).to_bytes(2) + b"so long", (4999, "so long")),
    ],
)
def test_every_close_frame_is_answered_and_reported(driver: str, payload: bytes, told: tuple[int, str]):
    answers: list[bytes] = []

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer, frame(CLOSE, payload) + frame(BINARY, b"after"))
        answers.append(await reader.read())

    async def main() -> None:
        async with raw_server(closes) as server:
            heard = Heard()
            await connect(driver, server, heard)
            await heard.until(lambda: bool(heard.closed))
            assert heard.closed == [told]
            assert heard.frames == []

    asyncio.run(main())
    assert answers[0][0] == 0x88


def test_a_close_code_of_ours_reaches_the_peer(driver: str):
    ends: list[tuple[int | None, str | None]] = []

    async def note(peer: ServerConnection) -> None:
        await peer.wait_closed()
        ends.append((peer.close_code, peer.close_reason))

    async def main() -> None:
        async with ws_server(note) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await link.close(4000)
            assert heard.closed == [(4000, "")]

    asyncio.run(main())
    assert ends == [(4000, "")]


def test_nothing_is_sent_after_our_close_frame(driver: str):
    """A frame dropped without a word would be a command of unknown fate."""
    read: list[bytes] = []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        read.append(await reader.readexactly(8))  # our close frame
        read.append(await reader.read())

    async def main() -> None:
        async with raw_server(slow) as server:
            link = await connect(driver, server, Heard())
            closing = asyncio.create_task(link.close())
            await asyncio.sleep(0)
            with pytest.raises(SendFailed) as caught:
                link.send("late")
            assert caught.value.evidence is Evidence.NOT_SENT
            await closing

    asyncio.run(main())
    assert read[0][0] == 0x88
    assert read[1:] in ([b""], [])


def test_a_message_after_our_close_frame_still_arrives(driver: str):
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        await reader.readexactly(8)  # our close frame
        writer.write(frame(BINARY, b"fill") + frame(CLOSE, (1000).to_bytes(2)))
        await writer.drain()
        await reader.read()

    async def main() -> None:
        async with raw_server(slow) as server:
            heard = Heard()
            link = await connect(driver, server, heard)
            await link.close()
            assert heard.frames == [b"fill"]
            assert heard.closed == [(1000, "")]

    asyncio.run(main())


def test_a_connect_cancelled_in_the_turn_that_opens_it_leaves_nothing(driver: str):
    """The answer, a frame and the cancellation meet in one turn of the loop: nobody would own the stream."""
    gone = asyncio.Event()

    async def quick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer, frame(BINARY, b"first"))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async def main() -> None:
        async with raw_server(quick) as server:
            heard = Heard()
            opening = asyncio.create_task(connect(driver, server, heard))
            heard.echo = lambda _: opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await asyncio.wait_for(gone.wait(), 5)
            await asyncio.sleep(0.01)
            assert heard.frames == [b"first"]
            assert heard.closed == []

    asyncio.run(main())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_not_followed(driver: str, status: int):
    visits: list[bytes] = []

    async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.readuntil(b"\r\n\r\n"))
        port = writer.get_extra_info("sockname")[1]
        writer.write(
            f"HTTP/1.1 {status} Go\r\nLocation: ws://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode()
        )
        await writer.drain()

    async def main() -> None:
        async with raw_server(moved) as server:
            with pytest.raises(Refused) as caught:
                await connect(driver, server, Heard())
            assert caught.value.code == str(status)

    asyncio.run(main())
    assert len(visits) == 1


@pytest.mark.parametrize(
    "more", [{"Sec_WebSocket_Extensions": "permessage-deflate"}, {"Sec_WebSocket_Protocol": "other"}]
)
def test_an_agreement_nobody_asked_for_is_no_stream(driver: str, more: dict[str, str]):
    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer, **more)
        await reader.read()

    async def main() -> None:
        async with raw_server(eager) as server:
            heard = Heard()
            with pytest.raises(SendFailed) as caught:
                await asyncio.wait_for(connect(driver, server, heard), 5)
            assert caught.value.evidence is Evidence.NOT_SENT
            assert heard.closed == []

    asyncio.run(main())


def test_an_endless_answer_to_the_handshake_is_cut_off(driver: str):
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\n")
        while True:
            writer.write(b"X-Fill: " + b"x" * 1_000 + b"\r\n")
            await writer.drain()

    async def main() -> None:
        async with raw_server(endless) as server:
            with pytest.raises(SendFailed):
                await asyncio.wait_for(connect(driver, server, Heard()), 5)

    asyncio.run(main())


def test_a_receiver_that_raises_ends_its_stream_at_once_and_is_shown(driver: str):
    shown: list[Any] = []

    async def many(peer: ServerConnection) -> None:
        await peer.recv()
        for n in range(10):
            await peer.send(bytes([n]))
        await peer.wait_closed()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: shown.append(context["exception"])
        )
        async with ws_server(many) as server:
            heard = Heard()

            def send_late() -> None:
                with pytest.raises(SendFailed) as caught:
                    link.send("late")
                late.append(caught.value.evidence)

            def fail(_: bytes | str) -> None:
                if len(heard.frames) == 3:
                    # Runs after the abort and before the end is told: nothing may vanish in between.
                    asyncio.get_running_loop().call_soon(send_late)
                    raise LookupError("planted")

            heard.echo = fail
            link = await connect(driver, server, heard)
            link.send("go")
            await heard.until(lambda: bool(heard.closed))
            assert heard.frames == [b"\0", b"\1", b"\2"]
            assert heard.closed[0][0] == 1006

    late: list[Evidence] = []
    asyncio.run(main())
    assert late == [Evidence.NOT_SENT]
    assert [type(error) for error in shown] == [LookupError]


def test_no_secret_in_errors_or_logs(driver: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(1)
    for name in ("picows", "picows.client", "websockets", "venuekit"):
        logging.getLogger(name).setLevel(1)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async def main() -> list[str]:
        texts = []
        secret = {"Authorization": "planted"}
        transport = DRIVERS[driver](clock=RealClock(), options={})
        async with raw_server(refuse) as server:
            address = f"ws://127.0.0.1:{port_of(server)}/?token=planted"
            with pytest.raises(Refused) as refused:
                await transport.connect(Handshake(address, secret), Heard())
            texts.append(str(refused.value))
        with pytest.raises(SendFailed) as failed:
            await transport.connect(Handshake(address, secret), Heard())
        with pytest.raises(ConfigError) as wrong:
            await transport.connect(Handshake("http://127.0.0.1/?token=planted", secret), Heard())
        texts += [str(failed.value), str(wrong.value)]
        async with ws_server(echo) as server:
            heard = Heard()
            link = await connect(driver, server, heard, headers=secret)
            link.send("planted")
            await heard.until(lambda: bool(heard.frames))
            await link.close()
        return texts

    texts = asyncio.run(main())
    client = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith("websockets.server")  # the peer of this test may log what it likes
    ]
    assert not [text for text in texts + client if "planted" in text]


def test_proxies_of_the_environment_are_not_read(driver: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "socks_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")

    async def main() -> None:
        async with ws_server(lambda peer: peer.wait_closed()) as server:
            await (await connect(driver, server, Heard())).close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("trusted", "host", "passes"),
    [(False, "localhost", False), (True, "127.0.0.1", False), (True, "localhost", True)],
    ids=["unknown issuer", "other name", "trusted"],
)
def test_tls_is_verified(
    driver: str, tmp_path: Any, monkeypatch: Any, trusted: bool, host: str, passes: bool
):
    tls, path = server_tls(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async def main() -> None:
        async with ws_server(echo, ssl=tls) as server:
            transport = DRIVERS[driver](clock=RealClock(), options={})
            to = Handshake(f"wss://{host}:{port_of(server)}/")
            heard = Heard()
            if not passes:
                with pytest.raises(SendFailed) as caught:
                    await transport.connect(to, heard)
                assert caught.value.evidence is Evidence.NOT_SENT
                return
            link = await transport.connect(to, heard)
            link.send(b"x" * 100_000)
            await heard.until(lambda: bool(heard.frames))
            assert heard.frames == [b"x" * 100_000]
            await link.close()
            assert heard.closed == [(1000, "")]

    rules.verified_tls.cache_clear()
    try:
        asyncio.run(main())
    finally:
        rules.verified_tls.cache_clear()
