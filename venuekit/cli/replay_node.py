"""Plays a capture through a whole Nautilus node: codec, book, engine, cache, strategy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nautilus_trader.model import BookType, InstrumentId, StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

from venuekit.cli.feeds import Tally, book_row, wants
from venuekit.cli.replay_run import Replayed, opened_for_replay, until_played
from venuekit.errors import NotReady
from venuekit.host.config import NodeConfig, NodeSection
from venuekit.host.open import OpenedVenue, SharedVenue
from venuekit.interfaces.stream import DataKind
from venuekit.nautilus.factories import Subject, VenueDataConfig, factories_of
from venuekit.nautilus.node import ClientSections, Failures, VenueNode, build_node, run_until_signalled

if TYPE_CHECKING:
    from nautilus_trader.common import Cache
    from nautilus_trader.model import (
        FundingRateUpdate,
        IndexPriceUpdate,
        MarkPriceUpdate,
        OrderBookDeltas,
        QuoteTick,
        TradeTick,
    )

    from venuekit.cli.replay_run import Plan
    from venuekit.host.open import Layers
    from venuekit.interfaces.stream import Want
    from venuekit.interfaces.time import Clock
    from venuekit.transport.layers.replay import Replay


class Listener(Strategy):
    """Subscribes to what was recorded and counts what reaches a strategy."""

    def __init__(self, asked: Sequence[Want]) -> None:
        super().__init__(StrategyConfig(strategy_id=StrategyId("REPLAY-001")))
        self.asked = tuple(asked)
        self.tally = Tally()
        self._subscribe: Mapping[DataKind, Callable[[InstrumentId], None]] = {
            DataKind.BOOK_DELTAS: self._subscribe_book,
            DataKind.QUOTES: self.subscribe_quotes,
            DataKind.TRADES: self.subscribe_trades,
            DataKind.MARK_PRICE: self.subscribe_mark_prices,
            DataKind.INDEX_PRICE: self.subscribe_index_prices,
            DataKind.FUNDING_RATE: self.subscribe_funding_rates,
        }

    def on_start(self) -> None:
        """Everything is asked for."""
        for want in self.asked:
            assert want.instrument_id is not None
            self._subscribe[want.kind](want.instrument_id)

    def _subscribe_book(self, instrument_id: InstrumentId) -> None:
        self.subscribe_book_deltas(instrument_id, BookType.L2_MBP, managed=True)

    def on_book_deltas(self, deltas: OrderBookDeltas) -> None:
        """One book update."""
        self.tally.data(deltas)

    def on_quote(self, quote: QuoteTick) -> None:
        """One quote."""
        self.tally.data(quote)

    def on_trade(self, trade: TradeTick) -> None:
        """One trade."""
        self.tally.data(trade)

    def on_mark_price(self, mark_price: MarkPriceUpdate) -> None:
        """One mark price."""
        self.tally.data(mark_price)

    def on_index_price(self, index_price: IndexPriceUpdate) -> None:
        """One index price."""
        self.tally.data(index_price)

    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """One funding rate."""
        self.tally.data(funding_rate)


async def replay_through_node(plan: Plan, player: Replay, layers: Layers, clock: Clock) -> Replayed:
    """Play the capture to its end through one node; the books are those of the node's cache."""
    named = await opened_for_replay(plan, layers, clock)
    asked = wants(named.symbols, plan.markets, plan.feeds)
    await named.close()
    failures = Failures()
    shared = SharedVenue(
        lambda counters: OpenedVenue(plan.config, clock=clock, counters=counters, layers=layers)
    )
    subject = Subject(named.manifest, shared, failures.add)
    code, key = named.manifest.venue, plan.config.key
    data_factory, _ = factories_of(subject)
    sections = ClientSections(
        {code: VenueDataConfig(venue=key)}, {}, {code: data_factory}, {}, {key: shared.counters}
    )
    config = NodeConfig(node=NodeSection(name="replay", log_level="OFF"), venues={key: plan.config})
    node = VenueNode(
        build_node(config, post_stop_secs=0.0, sections=sections),
        failures,
        logging.CRITICAL,
        sections.counters,
    )
    listener = Listener(asked)
    node.node.add_strategy(listener)
    driver = asyncio.create_task(_stop_when_played(player, listener, node, clock), name="replay-driver")
    try:
        ending = await run_until_signalled(node)
        if ending.code:
            raise NotReady(ending.message, hint=ending.hint)
        return Replayed(_rows(listener, node.cache), player.played, shared.counters.snapshot())
    finally:
        driver.cancel()
        await asyncio.gather(driver, return_exceptions=True)
        node.dispose()


async def _stop_when_played(player: Replay, listener: Listener, node: VenueNode, clock: Clock) -> None:
    try:
        await until_played(player, lambda: listener.tally.received, clock)
    finally:
        node.handle.stop()


def _rows(listener: Listener, cache: Cache) -> list[dict[str, object]]:
    """One row a market; the book is the one that the node's own cache kept."""
    rows = []
    for row in listener.tally.rows():
        book = cache.order_book(InstrumentId.from_str(str(row["id"])))
        rows.append(row if book is None else {**row, **book_row(book)})
    return rows
