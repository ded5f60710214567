"""Market data through seeded storms: cuts, lost and doubled frames, lost acks, refusals, changing wants.

Whatever happened, what a receiver rebuilt from the published deltas equals the book the venue had at that
sequence, and once the storm is over every wanted book is whole and equal to the venue's.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from nautilus_trader.model import BookType, OrderBook, OrderBookDeltas
from stream_fakes import FakeLink, FakeServer, MarketWorld, instrument_id

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import DataKind, Want

MARKETS = ("M0", "M1", "M2")
Levels = dict[int, int]


class Exchange(FakeServer):
    """Keeps books; sends a whole one on subscribe, then numbered changes, over an unreliable line."""

    def __init__(self, draw: Random) -> None:
        super().__init__()
        self.draw = draw
        self.storm = True
        self.books: dict[str, tuple[Levels, Levels]] = {name: ({}, {}) for name in MARKETS}
        self.seq = dict.fromkeys(MARKETS, 100)
        self.history: dict[tuple[str, int], tuple[Levels, Levels]] = {}
        self.held: dict[int, set[str]] = {}
        self.most_open = 0

    async def connect(self, to: Any, receiver: Any) -> FakeLink:
        if self.storm and self.draw.random() < 0.3:
            raise SendFailed("down", evidence=Evidence.NOT_SENT)
        link = await super().connect(to, receiver)
        self.most_open = max(self.most_open, self.open_links)
        self.held[id(link)] = set()
        return link

    def heard(self, link: FakeLink, said: dict[str, Any]) -> None:
        held = self.held[id(link)]
        for channel in said.get("unsub", []):
            held.discard(channel)
            self.answer(link, {"unack": [channel]})
        for channel in said.get("sub", []):
            if channel in held:
                self.answer(link, {"refuse": [channel, "already subscribed"]})
                continue
            held.add(channel)
            self.answer(link, {"ack": [channel]})
            self.tell(link, channel.removeprefix("book."), snapshot=True)

    def answer(self, link: FakeLink, said: dict[str, Any]) -> None:
        if not (self.storm and self.draw.random() < 0.2):
            self.deliver(link, said)

    def deliver(self, link: FakeLink, said: dict[str, Any]) -> None:
        text = json.dumps(said)
        asyncio.get_running_loop().call_soon(lambda: link.open and link.receiver.on_frame(text))

    def tell(self, link: FakeLink, market: str, *, snapshot: bool, change: Any = ((), ())) -> None:
        sides = [list(side.items()) for side in self.books[market]] if snapshot else change
        said = {"book": [market, int(snapshot), self.seq[market], *sides]}
        times = 1
        if self.storm:
            times = self.draw.choices((1, 0, 2), (90, 5, 5))[0]
        for _ in range(times):
            self.deliver(link, said)

    def change(self) -> None:
        """One market changes a few levels; everybody who holds it is told."""
        market = self.draw.choice(MARKETS)
        changed: tuple[list[Any], list[Any]] = ([], [])
        for side, (levels, out) in enumerate(zip(self.books[market], changed, strict=True)):
            for _ in range(self.draw.randrange(3)):
                price = (100_000 if side else 50_000) + 100 * self.draw.randrange(20)
                size = self.draw.randrange(4) * 10
                if price in [p for p, _ in out]:
                    continue
                out.append((price, size))
                levels.pop(price, None)
                if size:
                    levels[price] = size
        self.seq[market] += 1
        bids, asks = self.books[market]
        self.history[market, self.seq[market]] = (dict(bids), dict(asks))
        for link in self.links:
            if link.open and f"book.{market}" in self.held[id(link)]:
                self.tell(link, market, snapshot=False, change=changed)


def rebuilt(book: OrderBook) -> tuple[Levels, Levels]:
    def side(levels: Any) -> Levels:
        return {
            int(level.price.as_decimal() * 1000): int(level.first().size.as_decimal() * 1000)
            for level in levels
        }

    return side(book.bids()), side(book.asks())


@pytest.mark.parametrize("capacity", [1_000, 1])
@pytest.mark.parametrize("seed", range(12))
def test_every_published_book_was_true_and_calm_makes_all_whole(seed: int, capacity: int):
    async def main() -> None:
        draw = Random(seed)
        world = MarketWorld(capacity=capacity)
        exchange = Exchange(draw)
        world.server = world.service._transport = exchange
        mirrors: dict[str, OrderBook] = {}
        checked = 0

        def receive(obj: Any) -> None:
            nonlocal checked
            if not isinstance(obj, OrderBookDeltas):
                return
            market = str(obj.instrument_id.symbol)
            mirror = mirrors.setdefault(market, OrderBook(obj.instrument_id, BookType.L2_MBP))
            mirror.apply_deltas(obj)
            truth = exchange.history.get((market, obj.sequence))
            if truth is not None:
                assert rebuilt(mirror) == truth, (market, obj.sequence)
                checked += 1

        world.service._publish = receive
        wanted: set[str] = set()
        starting = asyncio.ensure_future(world.service.start())
        await world.run(10)
        await starting
        for step in range(600):
            dice = draw.random()
            if dice < 0.03:
                market = draw.choice(MARKETS)
                want = Want(DataKind.BOOK_DELTAS, instrument_id(market))
                (world.service.unsubscribe if market in wanted else world.service.subscribe)(want)
                wanted ^= {market}
            elif dice < 0.05:
                draw.choice([link for link in exchange.links if link.open] or exchange.links).cut()
            elif dice < 0.055:
                await world.run(20)
            exchange.change()
            if step % 3 == 0:
                await world.run(0.05)
        for market in MARKETS:
            if market not in wanted:
                world.service.subscribe(Want(DataKind.BOOK_DELTAS, instrument_id(market)))
        exchange.storm = False
        for _ in range(60):
            await world.run(1)
            exchange.change()
        await world.run(1)
        assert checked > 50
        for market in MARKETS:
            assert rebuilt(mirrors[market]) == exchange.books[market], market
            assert (
                sum(f"book.{market}" in exchange.held[id(link)] for link in exchange.links if link.open) == 1
            )
        assert exchange.open_links == exchange.most_open == (1 if capacity > 3 else 3)
        assert world.counters.get("topics.refused") == 0
        assert world.counters.get("frames.failed") == 0
        stopping = asyncio.ensure_future(world.service.stop())
        await world.run(2)
        await stopping
        assert world.frames_balance()
        assert exchange.open_links == 0
        assert world.clock.next_timer_ns() is None

    asyncio.run(main())
