"""Our drivers against the bare libraries below them, over loopback, the server in a process of its own.

HTTP: small orders over kept connections, 1 and 32 open at once. Stream: frames of the size of a small book
update, written by a server that only copies bytes, so that the client is what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import picows
from aiohttp import web
from websockets.asyncio.client import connect as bare_websockets

from venuekit.interfaces.request import Frame, Handshake, HttpRequest
from venuekit.runtime.clock import RealClock
from venuekit.transport.aiohttp_http import aiohttp_port
from venuekit.transport.http import httpx_port
from venuekit.transport.picows_stream import picows_transport
from venuekit.transport.websocket import websockets_transport

BODY = (
    b'{"market":"BTC-USD-PERP","side":"BUY","type":"LIMIT","size":"0.01","price":"60000","id":"'
    + b"x" * 160
    + b'"}'
)
HEADERS = {"Authorization": "Bearer " + "x" * 400}
HTTP_ROUNDS, HTTP_SECS = 3, 0.6
MIN_REQUESTS = 1_000
FRAME_BYTES, FRAMES, PUMP_ROUNDS = 150, 60_000, 21
MIN_PUMP = 0.85
# RFC 6455 1.3.
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

type Send = Callable[[], Awaitable[object]]


# --- the servers


async def serve_http() -> None:
    """Answers every order at once."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=BODY, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/orders", accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().create_future()


async def serve_stream() -> None:
    """One flood of frames a connection, begun by its first message."""
    frame = b"\x82\x7e" + FRAME_BYTES.to_bytes(2) + bytes(FRAME_BYTES)
    flood = frame * 1_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        key = next(line.split(b": ")[1] for line in lines if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())
        head = b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        writer.write(head + accept + b"\r\n\r\n")
        await reader.readexactly(6)
        for _ in range(FRAMES // 1_000):
            writer.write(flood)
            await writer.drain()
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()


@contextmanager
def served(what: str) -> Iterator[int]:
    """The port of a fresh server; its process is gone afterwards."""
    command = [sys.executable, str(Path(__file__).resolve()), what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=10)


# --- HTTP


async def per_second(send: Send, at_once: int) -> float:
    """Requests per second with so many open."""
    await asyncio.gather(*(send() for _ in range(at_once)))
    end = time.perf_counter() + HTTP_SECS
    done = 0

    async def one_after_the_other() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await send()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return done / (time.perf_counter() - started)


async def http_rows() -> list[dict[str, Any]]:
    """Each driver and its bare library in turns, the best of each."""
    with served("http") as number:
        base = f"http://127.0.0.1:{number}"
        request = HttpRequest("order", "POST", "/v1/orders", headers=HEADERS, body=BODY)
        ports = [
            make(base, clock=RealClock(), timeouts_ms={}, options={}) for make in (httpx_port, aiohttp_port)
        ]
        typed = {**HEADERS, "content-type": "application/json"}
        limits = httpx.Limits(max_connections=32)
        async with (
            httpx.AsyncClient(limits=limits, trust_env=False) as plain,
            aiohttp.ClientSession() as session,
        ):

            async def bare_httpx() -> object:
                return (await plain.post(f"{base}/v1/orders", content=BODY, headers=typed)).content

            async def bare_aiohttp() -> object:
                async with session.post(f"{base}/v1/orders", data=BODY, headers=typed) as response:
                    return await response.read()

            found = []
            for name, port, bare in zip(("httpx", "aiohttp"), ports, (bare_httpx, bare_aiohttp), strict=True):
                for at_once in (1, 32):
                    ours, reference = await in_turns(lambda: port.send(request), bare, at_once)  # noqa: B023
                    found.append(http_row(name, at_once, ours, reference))
        for port in ports:
            await port.close()
    return found


async def in_turns(ours: Send, bare: Send, at_once: int) -> tuple[float, float]:
    """The best round of each."""
    best_ours, best_bare = 0.0, 0.0
    for _ in range(HTTP_ROUNDS):
        best_ours = max(best_ours, await per_second(ours, at_once))
        best_bare = max(best_bare, await per_second(bare, at_once))
    return best_ours, best_bare


def http_row(name: str, at_once: int, ours: float, reference: float) -> dict[str, Any]:
    """Ratios are for the reader; the target is absolute."""
    return {
        "name": f"orders over http/{name}, {at_once} open, against the bare {name} client",
        "ours": round(ours),
        "reference": round(reference),
        "ratio": ours / reference,
        "unit": "/s",
        "target": f"over {MIN_REQUESTS:,}/s",
        "ok": ours > MIN_REQUESTS,
    }


# --- streams


class Counting:
    """A receiver that waits for the whole flood."""

    def __init__(self) -> None:
        self.left = FRAMES
        self.done = asyncio.get_running_loop().create_future()

    def on_frame(self, frame: Frame) -> None:
        """One frame."""
        self.left -= 1
        if not self.left:
            self.done.set_result(None)

    def on_alive(self) -> None:
        """Not measured."""

    def on_closed(self, code: int | None, reason: str) -> None:
        """The flood is over."""


async def ours_of(make: Callable[..., Any], url: str) -> float:
    """Frames per second through a driver."""
    counting = Counting()
    link = await make(clock=RealClock(), options={}).connect(Handshake(url), counting)
    started = time.perf_counter()
    link.send("")
    await counting.done
    took = time.perf_counter() - started
    await link.close()
    return FRAMES / took


async def with_bare_websockets(url: str) -> float:
    """Frames per second through the library's own client."""
    async with bare_websockets(url, compression=None, proxy=None, close_timeout=0.1) as client:
        started = time.perf_counter()
        await client.send("")
        for _ in range(FRAMES):
            await client.recv()
        return FRAMES / (time.perf_counter() - started)


class BareListener(picows.WSListener):
    """What the library's own examples do: look at the kind, copy the payload, call the user."""

    def __init__(self, counting: Counting) -> None:
        self.on_frame = counting.on_frame

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """One frame."""
        if frame.msg_type == picows.WSMsgType.BINARY:
            self.on_frame(frame.get_payload_as_bytes())


async def with_bare_picows(url: str) -> float:
    """Frames per second through a listener of the library."""
    counting = Counting()
    transport, _ = await picows.ws_connect(lambda: BareListener(counting), url, use_aiofastnet=False)
    started = time.perf_counter()
    transport.send(picows.WSMsgType.TEXT, b"")
    await counting.done
    took = time.perf_counter() - started
    transport.disconnect()
    await transport.wait_disconnected()
    return FRAMES / took


async def stream_rows() -> list[dict[str, Any]]:
    """Each driver and its bare library in turns: medians."""
    found = []
    with served("stream") as number:
        url = f"ws://127.0.0.1:{number}/"
        for name, make, bare in (
            ("websockets", websockets_transport, with_bare_websockets),
            ("picows", picows_transport, with_bare_picows),
        ):
            pairs = [(await ours_of(make, url), await bare(url)) for _ in range(PUMP_ROUNDS)]
            # Whatever else this machine does hits both of a pair, and the median forgets the rest.
            ratio = median(ours / reference for ours, reference in pairs)
            found.append(
                {
                    "name": f"frames over stream/{name}, against the bare {name} client",
                    "ours": round(median(ours for ours, _ in pairs)),
                    "reference": round(median(reference for _, reference in pairs)),
                    "ratio": ratio,
                    "unit": "/s",
                    "target": f"at least {MIN_PUMP} x",
                    "ok": ratio >= MIN_PUMP,
                }
            )
    return found


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 25 s."""
    return [*asyncio.run(http_rows()), *asyncio.run(stream_rows())]


if __name__ == "__main__":
    if sys.argv[1:] in (["http"], ["stream"]):
        asyncio.run(serve_http() if sys.argv[1] == "http" else serve_stream())
    else:
        for row in rows():
            print(row)
