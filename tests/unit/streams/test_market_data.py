"""Wants in, data out: instruments first, books whole or silent, one topic for many wants, shards, requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus_trader.model import (
    CryptoPerpetual,
    OrderBookDeltas,
    QuoteTick,
    TradeTick,
)
from stream_fakes import MarketWorld, instrument_id

from venuekit.interfaces.stream import DataKind, Want

M0, M1 = instrument_id("M0"), instrument_id("M1")
DELTAS, DEPTH, QUOTES, TRADES = (
    DataKind.BOOK_DELTAS,
    DataKind.BOOK_DEPTH10,
    DataKind.QUOTES,
    DataKind.TRADES,
)


def play(script: Callable[[MarketWorld], Awaitable[None]], **options: Any) -> MarketWorld:
    async def main() -> MarketWorld:
        world = MarketWorld(**options)
        await world.service.start()
        await world.run()
        try:
            await script(world)
        finally:
            closing = asyncio.ensure_future(world.service.stop())
            await world.run(2)
            await closing
        assert world.frames_balance()
        assert world.clock.next_timer_ns() is None
        assert world.server.open_links == 0
        return world

    return asyncio.run(main())


def snapshot(symbol: str, seq: int, bid: int = 100_000, ask: int = 101_000) -> dict[str, Any]:
    return {"book": [symbol, 1, seq, [[bid, 2_000]], [[ask, 3_000]]]}


def delta(symbol: str, seq: int, bid: int = 99_000, size: int = 1_000) -> dict[str, Any]:
    return {"book": [symbol, 0, seq, [[bid, size]], []]}


def test_instruments_come_first_then_only_what_was_wanted():
    async def script(world: MarketWorld) -> None:
        assert [type(obj) for obj in world.seen.got] == [CryptoPerpetual] * 3
        world.service.subscribe(Want(QUOTES, M0))
        world.service.subscribe(Want(TRADES, M0))
        await world.run()
        assert world.server.asked() == ["quotes.M0", "trades.M0"]
        world.server.link.says(quote=["M0", "100.0", "100.5"])
        world.server.link.says(quote=["M1", "100.0", "100.5"])
        world.server.link.says(trade=["M0", "100.0", "t1"])

    world = play(script)
    assert [str(q.bid_price) for q in world.seen.of(QuoteTick)] == ["100.0"]
    assert [str(t.trade_id) for t in world.seen.of(TradeTick)] == ["t1"]
    assert world.counters.get("data.unwanted") == 1


def test_a_gap_silences_one_book_until_its_snapshot_and_resyncs_only_that_topic():
    async def script(world: MarketWorld) -> None:
        for iid in (M0, M1):
            world.service.subscribe(Want(DELTAS, iid))
        await world.run()
        link = world.server.link
        for symbol in ("M0", "M1"):
            link.says(**snapshot(symbol, 5))
            link.says(**delta(symbol, 6))
        link.says(**delta("M0", 8))
        link.says(**delta("M0", 9))
        await world.run()
        assert world.server.left() == ["book.M0"]
        assert world.server.asked() == ["book.M0", "book.M1", "book.M0"]
        link.says(**snapshot("M0", 20))
        link.says(**delta("M0", 21))
        link.says(**delta("M1", 7))

    world = play(script)
    got = [(str(d.instrument_id.symbol), d.sequence) for d in world.seen.of(OrderBookDeltas)]
    assert got == [("M0", 5), ("M0", 6), ("M1", 5), ("M1", 6), ("M0", 20), ("M0", 21), ("M1", 7)]
    assert world.counters.get("book.broken") == 1
    assert world.counters.get("book.before_snapshot") == 1
