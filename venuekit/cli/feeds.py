"""What `record` and `replay` share: naming feeds, and counting what came in with the book it leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import Factory, define
from nautilus_trader.model import BookType, OrderBook, OrderBookDeltas

from venuekit.errors import ConfigError
from venuekit.interfaces.stream import DataKind, Want

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId, OrderBookDepth

    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.model import Instrument
    from venuekit.interfaces.stream import NautilusData

FEEDS = {
    "book": DataKind.BOOK_DELTAS,
    "quotes": DataKind.QUOTES,
    "trades": DataKind.TRADES,
    "mark": DataKind.MARK_PRICE,
    "index": DataKind.INDEX_PRICE,
    "funding": DataKind.FUNDING_RATE,
}
"""What can be recorded, by the name on the command line."""
USUAL = ("book", "quotes", "trades")
DEPTH = 5
"""Levels of each side that a summary shows."""


@define
class Market:
    """What came for one instrument, and its book."""

    book: OrderBook
    counts: Counter[str] = Factory(Counter)

    def row(self) -> dict[str, object]:
        """For people and programs; numbers are exact texts."""
        return {
            "id": str(self.book.instrument_id),
            "counts": dict(sorted(self.counts.items())),
            **book_row(self.book),
        }


@define
class Tally:
    """Counts what arrives and keeps the books; a data sink."""

    markets: dict[str, Market] = Factory(dict)

    @property
    def received(self) -> int:
        """Pieces of data so far."""
        return sum(market.counts.total() for market in self.markets.values())

    def instrument(self, instrument: Instrument) -> None:
        """Instruments are not counted."""

    def data(self, obj: NautilusData | OrderBookDeltas | OrderBookDepth) -> None:
        """One piece of market data is counted, and applied to its book."""
        key = str(obj.instrument_id)
        market = self.markets.get(key)
        if market is None:
            market = self.markets[key] = Market(OrderBook(obj.instrument_id, BookType.L2_MBP))
        market.counts[type(obj).__name__] += 1
        if isinstance(obj, OrderBookDeltas):
            market.book.apply_deltas(obj)

    def rows(self) -> list[dict[str, object]]:
        """One row a market, by id."""
        return [market.row() for _, market in sorted(self.markets.items())]


def book_row(book: OrderBook) -> dict[str, object]:
    """How deep a book is and its best levels, best first."""
    sides = {
        side: [[f"{price:f}", f"{size:f}"] for price, size in levels.items()]
        for side, levels in (("bids", book.bids_to_dict()), ("asks", book.asks_to_dict()))
    }
    return {
        "bid_levels": len(sides["bids"]),
        "ask_levels": len(sides["asks"]),
        "bids": sides["bids"][:DEPTH],
        "asks": sides["asks"][:DEPTH],
    }


def market_lines(rows: Sequence[dict[str, object]]) -> list[str]:
    """The rows for people."""
    lines = []
    for row in rows:
        counts = row["counts"]
        assert isinstance(counts, dict)
        lines.append(f"{row['id']}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}")
        bids, asks = row["bids"], row["asks"]
        if isinstance(bids, list) and isinstance(asks, list) and (bids or asks):
            best = [" x ".join(side[0]) if side else "nothing" for side in (bids, asks)]
            lines.append(
                f"  book of {row['bid_levels']} bids and {row['ask_levels']} asks; best {best[0]} / {best[1]}"
            )
    return lines


def wants(symbols: Symbols, markets: Iterable[str], feeds: Iterable[str]) -> list[Want]:
    """The feeds of these markets, each named by its Nautilus id, its symbol or the venue's own name."""
    names: dict[str, InstrumentId] = {}
    for symbol in symbols:
        for name in (str(symbol.instrument_id), str(symbol.instrument_id.symbol), symbol.raw):
            names[name] = symbol.instrument_id
    found = []
    for market in markets:
        if market not in names:
            raise ConfigError(
                f"no market {market!r}", path="--market", hint="see `venuekit instruments VENUE`."
            )
        found += [Want(FEEDS[feed], names[market]) for feed in feeds]
    return found
