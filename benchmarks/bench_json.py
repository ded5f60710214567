"""From the text of a JSON frame to the tick, against the bare typed decode of the same text.

Reference: msgspec decodes the whole frame into a Struct with every documented field: no market, no exact
number, no tick. As in the captured production quotes, one side changes a frame and sizes recur: the makers'
lots. Times are of the processor, so that what else the machine does counts little. The rows without a target
show the same where every second new size was never seen before.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
from bench_stream import IID, MARKET, Loaded, Sink, opened
from msgspec import Struct
from nautilus_trader.model import Price, Quantity, QuoteTick
from venuekit_paradex.stream import ParadexStream

from venuekit.core.symbols import Symbols

FRAMES = 24_000
"""More new sizes than any memo holds, where sizes are new."""
ROUNDS = 11
LOTS = ("0.00015", "0.01199", "0.00031", "0.1", "0.05", "1.2", "0.0024", "0.5", "0.00777", "2")
"""The first three are those of the capture."""


class Trade(Struct, gc=False):
    """A public trade, every field."""

    id: str
    market: str
    side: str
    size: str
    price: str
    created_at: int
    trade_type: str


class TradeParams(Struct, gc=False):
    """Channel and data."""

    channel: str
    data: Trade


class TradeFrame(Struct, gc=False):
    """The envelope."""

    jsonrpc: str
    method: str
    params: TradeParams


class Bbo(Struct, gc=False):
    """Best prices, every field."""

    ask: str
    ask_size: str
    bid: str
    bid_size: str
    last_updated_at: int
    market: str
    seq_no: int


class BboParams(Struct, gc=False):
    """Channel and data."""

    channel: str
    data: Bbo


class BboFrame(Struct, gc=False):
    """The envelope."""

    jsonrpc: str
    method: str
    params: BboParams


def _frame(channel: str, data: dict[str, object]) -> str:
    params = {"channel": f"{channel}.{MARKET.decode()}", "data": data}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}, separators=(",", ":"))


def _size(draw: Random, fresh: float) -> str:
    if draw.random() >= fresh:
        return LOTS[draw.randrange(len(LOTS))]
    return f"{draw.randrange(1, 500_000) / 100_000:.5f}".rstrip("0").rstrip(".")


def _price(draw: Random) -> str:
    return f"{80_000 + draw.randrange(200) / 10:.1f}"


def trade_frames(fresh: float) -> list[str]:
    """Prices within 200 ticks; a share `fresh` of the sizes is new."""
    draw = Random(3)
    return [
        _frame(
            "trades",
            {
                "id": str(1_718_179_273_230_201_709_233_240_002 + n),
                "market": MARKET.decode(),
                "side": "BUY" if draw.random() < 0.5 else "SELL",
                "size": _size(draw, fresh),
                "price": _price(draw),
                "created_at": 1_718_179_273_230 + n,
                "trade_type": "FILL",
            },
        )
        for n in range(FRAMES)
    ]


def bbo_frames(fresh: float) -> list[str]:
    """One side changes a frame."""
    draw = Random(5)
    best = {"ask": "80001", "ask_size": "1", "bid": "80000", "bid_size": "1"}
    frames = []
    for n in range(FRAMES):
        side = "bid" if draw.random() < 0.5 else "ask"
        best |= {side: _price(draw), f"{side}_size": _size(draw, fresh)}
        more = {"last_updated_at": 1_718_179_273_230 + n, "market": MARKET.decode(), "seq_no": n}
        frames.append(_frame("bbo", {**best, **more}))
    return frames


def _codec() -> ParadexStream:
    symbols = Symbols()
    asyncio.run(Loaded(symbols).load(None))
    return ParadexStream(url="ws://bench", symbols=symbols, private=False, sbe_version=None)


def _ours_ns(decode: Callable[[str, int], Sequence[object]], frames: Sequence[str]) -> float:
    started = time.thread_time_ns()
    for frame in frames:
        decode(frame, 1)
    return (time.thread_time_ns() - started) / len(frames)


def _bare_ns(decode: Callable[[str], object], frames: Sequence[str]) -> float:
    started = time.thread_time_ns()
    for frame in frames:
        decode(frame)
    return (time.thread_time_ns() - started) / len(frames)


def _row(
    name: str, frames: Sequence[str], kind: type[Struct], wanted: str, limit: float | None
) -> dict[str, Any]:
    """The best of alternating passes over the same frames; every frame must become a tick."""
    codec, bare = _codec(), msgspec.json.Decoder(kind).decode
    assert all(type(codec.decode(frame, 1)[0]).__name__ == wanted for frame in frames)
    pairs = [(_ours_ns(codec.decode, frames), _bare_ns(bare, frames)) for _ in range(ROUNDS)]
    ours, reference = min(one for one, _ in pairs), min(other for _, other in pairs)
    return {
        "name": name,
        "ours": round(ours / 1_000, 3),
        "reference": round(reference / 1_000, 3),
        "ratio": ours / reference,
        "unit": "us",
        "target": "" if limit is None else f"at most {limit:g} x",
        "ok": None if limit is None else ours <= limit * reference,
    }


async def _delivered(frames: Sequence[str]) -> float:
    """Nanoseconds a frame through session and market data service to the sink."""
    sink = Sink()
    service, receiver = await opened(sink)
    best = min(_bare_ns(receiver.on_frame, frames) for _ in range(ROUNDS))
    await service.stop()
    assert sink.count == ROUNDS * len(frames)
    return best


def _floor(frames: Sequence[str]) -> float:
    """Nanoseconds of what no reader can leave out: decode, four texts to values, the constructor."""
    decode = msgspec.json.Decoder(BboFrame).decode
    prices: dict[str, Price] = {}
    sizes: dict[str, Quantity] = {}
    for frame in frames:
        best = decode(frame).params.data
        for price in (best.bid, best.ask):
            prices[price] = Price.from_decimal_dp(Decimal(price), 1)
        for size in (best.bid_size, best.ask_size):
            sizes[size] = Quantity.from_decimal_dp(Decimal(size), 5)

    def made(frame: str) -> QuoteTick:
        best = decode(frame).params.data
        bid, ask, ts_event = prices[best.bid], prices[best.ask], best.last_updated_at * 1_000_000
        return QuoteTick(IID, bid, ask, sizes[best.bid_size], sizes[best.ask_size], ts_event, 1)

    return min(_bare_ns(made, frames) for _ in range(ROUNDS))


def _path_rows() -> list[dict[str, Any]]:
    """The whole way, and the part of it that is not ours, against the same decode."""
    frames = bbo_frames(0)
    bare = msgspec.json.Decoder(BboFrame).decode
    reference = min(_bare_ns(bare, frames) for _ in range(ROUNDS))
    floor, ours = _floor(frames), asyncio.run(_delivered(frames))

    def row(name: str, figure: float, limit: float | None) -> dict[str, Any]:
        return {
            "name": name,
            "ours": round(figure / 1_000, 3),
            "reference": round(reference / 1_000, 3),
            "ratio": figure / reference,
            "unit": "us",
            "target": "" if limit is None else f"at most {limit:g} x",
            "ok": None if limit is None else figure <= limit * reference,
        }

    return [
        row("JSON bbo: decode, look-ups and constructor in a bare loop, against the decode", floor, None),
        row("JSON bbo frame, through the session to the sink, against its Struct decode", ours, 5),
    ]


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 10 s."""
    return [
        _row("JSON bbo frame -> quote, against its Struct decode", bbo_frames(0), BboFrame, "QuoteTick", 3),
        _row(
            "JSON trade frame -> tick, against its Struct decode", trade_frames(0), TradeFrame, "TradeTick", 3
        ),
        _row(
            "the same bbo, half of the new sizes unseen, against its decode",
            bbo_frames(0.5),
            BboFrame,
            "QuoteTick",
            None,
        ),
        _row(
            "the same trade, half of the sizes unseen, against its decode",
            trade_frames(0.5),
            TradeFrame,
            "TradeTick",
            None,
        ),
        *_path_rows(),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
