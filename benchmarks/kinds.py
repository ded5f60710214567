"""A WebSocket server that sends every kind of public SBE frame at a steady rate, for `bench_node`.

Run as a process of its own: prints its port as the first line. Book frames change 6, 50 and 200 levels in
turn; the other kinds are the recorded and documented frames as they stand.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from bench_stream import book_frame
from websockets.asyncio.server import ServerConnection, serve

DATA = Path(__file__).resolve().parent.parent / "venues" / "paradex" / "tests" / "data" / "sbe"
RATE = 100
"""Frames a second of each subscribed channel."""
LEVELS = (6, 50, 200)


def recorded(name: str) -> bytes:
    """One frame of the test data."""
    rows = json.loads((DATA / "frames.json").read_text())["frames"]
    return next(base64.b64decode(row["b64"]) for row in rows if row["name"] == name)


def books() -> Iterator[bytes]:
    """The whole book, then changes of it without end."""
    draw, seq = Random(1), 1
    base = 8_000_000_000_000
    sides = [[(base + sign * step * 10_000_000, 100_000) for step in range(1, 151)] for sign in (-1, 1)]
    yield book_frame(seq, *sides, kind=0)
    while True:
        for levels in LEVELS:
            seq += 1
            changed = [
                [(price, draw.randrange(1, 500_000) * 1_000) for price, _ in side[: levels // 2]]
                for side in sides
            ]
            yield book_frame(seq, *changed)


def always(frame: bytes) -> Callable[[], Iterator[bytes]]:
    """The frame without end."""

    def repeat() -> Iterator[bytes]:
        while True:
            yield frame

    return repeat


async def send(socket: ServerConnection, frames: Iterator[bytes]) -> None:
    """One channel until the connection ends."""
    started, sent = time.perf_counter(), 0
    while True:
        await socket.send(next(frames))
        sent += 1
        await asyncio.sleep(max(0.0, started + sent / RATE - time.perf_counter()))


async def talk(socket: ServerConnection, kinds: dict[str, Callable[[], Iterator[bytes]]]) -> None:
    """One connection until it ends."""
    tasks: list[asyncio.Task[None]] = []
    async for text in socket:
        ask = json.loads(text)
        channel = ask["params"]["channel"]
        await socket.send(json.dumps({"jsonrpc": "2.0", "result": {"channel": channel}, "id": ask["id"]}))
        if ask["method"] == "subscribe":
            tasks.append(asyncio.create_task(send(socket, kinds[channel.partition(".")[0]]())))
    for task in tasks:
        task.cancel()


async def main() -> None:
    """Serve until the process is ended."""
    quotes = json.loads((DATA / "bbo_btc.json").read_text())["frames"]
    quote = next(base64.b64decode(row["b64"]) for row in quotes if row["opcode"] == "binary")
    kinds = {
        "order_book": books,
        "bbo": always(quote),
        "trades": always(recorded("trade_v2")),
        "markets_summary": always(recorded("markets_summary_v1")),
        "funding_data": always(recorded("funding_data_v1")),
    }
    async with serve(lambda socket: talk(socket, kinds), "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
