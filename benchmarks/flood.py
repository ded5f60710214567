"""A WebSocket server that floods one book and acknowledges every order at once, for `bench_submit`.

Run as a process of its own: prints its port as the first line. It checks nothing and keeps nothing.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from venuekit_paradex.sim import encode as sbe
from websockets.asyncio.server import ServerConnection, serve

MARKET = "BTC-USD-PERP"
LEVELS = 6
SNAPSHOT, DELTA = 0, 1
# The header has 8 bytes, then come `ts` and `seq` with 8 bytes each.
SEQ_AT = 16
BURST_SECS = 0.001


def book_frame(seq: int, kind: int, turn: int = 0) -> bytes:
    """A frame of `LEVELS` levels around 60,000; the sizes differ by `turn`."""
    values: dict[str, Any] = {"ts": 1_760_000_000_000_000, "seq": seq, "pkgType": kind, "market": MARKET}
    half = LEVELS // 2
    size = Decimal(turn % 50 + 1) / 1000
    bids = [(Decimal(60_000 - step), size) for step in range(half)]
    asks = [(Decimal(60_001 + step), size) for step in range(half)]
    return sbe.encode(sbe.BOOK, 2, values, bids, asks)


def delta_frames(first: int) -> Iterator[bytes]:
    """Endless deltas whose sequence goes on from `first`; encoding each anew would cost too much."""
    shapes = [bytearray(book_frame(0, DELTA, turn)) for turn in range(50)]
    check = bytearray(shapes[7])
    struct.pack_into("<q", check, SEQ_AT, 12_345)
    assert bytes(check) == book_frame(12_345, DELTA, 7), "the place of `seq` in a frame moved"
    seq = first
    while True:
        for shape in shapes:
            struct.pack_into("<q", shape, SEQ_AT, seq)
            yield bytes(shape)
            seq += 1


async def flood(socket: ServerConnection, rate: int) -> None:
    """The snapshot, then `rate` deltas a second, a millisecond's worth at a time."""
    await socket.send(book_frame(1, SNAPSHOT))
    frames = delta_frames(2)
    sent, started = 0, time.perf_counter()
    while True:
        due = int((time.perf_counter() - started) * rate)
        for _ in range(due - sent):
            await socket.send(next(frames))
        sent = max(sent, due)
        await asyncio.sleep(BURST_SECS)


def order_event(params: dict[str, Any], number: int, status: str) -> str:
    """What the channel of orders says about one order."""
    now_ms = int(time.time() * 1000)
    data = {
        "account": "0x1",
        "avg_fill_price": "",
        "cancel_reason": "USER_CANCELED" if status == "CLOSED" else "",
        "client_id": params["client_id"],
        "created_at": now_ms,
        "flags": [],
        "id": str(number),
        "instruction": params["instruction"],
        "last_updated_at": now_ms,
        "market": params["market"],
        "price": params.get("price", "0"),
        "published_at": now_ms,
        "received_at": now_ms,
        "remaining_size": params["size"],
        "seq_no": time.time_ns(),
        "side": params["side"],
        "size": params["size"],
        "status": status,
        "stp": "EXPIRE_TAKER",
        "timestamp": now_ms,
        "trigger_price": "0",
        "type": params["type"],
    }
    return json.dumps(
        {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {"channel": f"orders.{params['market']}", "data": data},
        }
    )


async def talk(socket: ServerConnection, rate: int) -> None:
    """One connection until it ends."""
    number = 1_760_000_000_000_000_000
    tasks: list[asyncio.Task[None]] = []
    async for text in socket:
        ask = json.loads(text)
        method, params = ask["method"], ask.get("params", {})
        result: dict[str, Any] = {}
        if method in ("subscribe", "unsubscribe"):
            result = {"channel": params["channel"]}
        elif method == "order.create":
            number += 1
            order = {"id": str(number), "client_id": params["client_id"], "status": "NEW"}
            result = {"order": order}
        await socket.send(json.dumps({"jsonrpc": "2.0", "result": result, "id": ask["id"]}))
        if method == "order.create":
            await socket.send(order_event(params, number, "OPEN"))
            await socket.send(order_event(params, number, "CLOSED"))
        if method == "subscribe" and params["channel"] == f"order_book.{MARKET}.deltas" and rate:
            tasks.append(asyncio.create_task(flood(socket, rate)))
    for task in tasks:
        task.cancel()


async def main(rate: int) -> None:
    """Serve until the process is ended."""
    async with serve(lambda socket: talk(socket, rate), "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
