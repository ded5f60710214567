"""One market's state: its book, prices, mode, funding, waiting stops and latest trades."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.matching import Book
from venuekit.sim.records import ZERO, BboChanged, BookChanged, BookView, Mode, Side, Trade

if TYPE_CHECKING:
    from decimal import Decimal

    from venuekit.sim.market import Market
    from venuekit.sim.records import Event

_TRADES = 1_000


@define
class Floor:
    """Where one market trades."""

    market: Market
    mark: Decimal
    index: Decimal
    book: Book = field(factory=Book)
    mode: Mode = Mode.NORMAL
    halted: bool = False
    funding_rate: Decimal = ZERO
    funding_index: Decimal = ZERO
    waiting: dict[str, None] = field(factory=dict)
    """Ids of untriggered orders, oldest first."""
    trades: deque[Trade] = field(factory=lambda: deque(maxlen=_TRADES))
    published_ns: int = field(kw_only=True)
    """Time of the last publication of the book, the opening at first. Unix nanoseconds."""
    _bid: tuple[Decimal, Decimal] | None = None
    _ask: tuple[Decimal, Decimal] | None = None

    def publish(self, ts_ns: int) -> list[Event]:
        """Events for what changed in the book since the last call."""
        levels = self.book.publish()
        if levels is None:
            return []
        self.published_ns = ts_ns
        symbol, seq = self.market.symbol, self.book.seq
        events: list[Event] = [
            BookChanged(market=symbol, seq=seq, bids=levels[0], asks=levels[1], ts_ns=ts_ns)
        ]
        bid, ask = self.book.top(Side.BUY), self.book.top(Side.SELL)
        if (bid, ask) != (self._bid, self._ask):
            self._bid, self._ask = bid, ask
            events.append(BboChanged(market=symbol, seq=seq, bid=bid, ask=ask, ts_ns=ts_ns))
        return events

    def view(self, depth: int | None) -> BookView:
        """The book at its sequence; `ts_ns` is the time of its last publication."""
        return BookView(
            market=self.market.symbol,
            seq=self.book.seq,
            bids=self.book.levels(Side.BUY, depth),
            asks=self.book.levels(Side.SELL, depth),
            ts_ns=self.published_ns,
        )
