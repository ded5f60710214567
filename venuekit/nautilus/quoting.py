"""The strategy of the demo: quotes both sides, takes now and then, cancels, starts over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nautilus_trader.model import BookType, InstrumentId, OrderSide, Quantity, StrategyId, TimeInForce
from nautilus_trader.trading import Strategy, StrategyConfig

if TYPE_CHECKING:
    from nautilus_trader.common import TimeEvent
    from nautilus_trader.model import Price, QuoteTick

    from venuekit.interfaces.model import Instrument


class QuotingConfig(StrategyConfig):
    """What the strategy trades. A plain class: the native base takes its own keywords in `__new__`."""

    instruments: list[str]
    lots: int
    requote_ms: int
    take_every: int

    def __init__(
        self,
        *,
        instruments: Sequence[str],
        lots: int = 20,
        requote_ms: int = 400,
        take_every: int = 5,
        strategy_id: StrategyId | None = None,
    ) -> None:
        self.instruments = list(instruments)
        self.lots = lots
        """Size of an order in steps of the instrument's size increment."""
        self.requote_ms = requote_ms
        self.take_every = take_every
        """Every so many rounds the side that brings the position back is taken at market."""


class QuotingStrategy(Strategy):
    """Reads quotes, keeps no book of its own: the node's cache has everything a view or a summary needs."""

    def __init__(self, config: QuotingConfig) -> None:
        super().__init__(config)
        self.settings = config
        self.instrument_ids = [InstrumentId.from_str(text) for text in config.instruments]
        self._rounds = 0

    def on_start(self) -> None:
        """Subscribed to books, quotes and trades, and quoting on a timer."""
        for instrument_id in self.instrument_ids:
            self.subscribe_book_deltas(instrument_id, BookType.L2_MBP, managed=True)
            self.subscribe_quotes(instrument_id)
            self.subscribe_trades(instrument_id)
        self.clock.set_timer_ns("requote", self.settings.requote_ms * 1_000_000, callback=self.on_requote)

    def on_stop(self) -> None:
        """No timer is left, and every order is asked to be cancelled."""
        self.clock.cancel_timers()
        for instrument_id in self.instrument_ids:
            self.cancel_all_orders(instrument_id)

    def on_requote(self, event: TimeEvent) -> None:
        """One round: old quotes cancelled, new ones placed, sometimes a market order."""
        self._rounds += 1
        for number, instrument_id in enumerate(self.instrument_ids):
            instrument, quote = self.cache.instrument(instrument_id), self.cache.quote(instrument_id)
            if instrument is None or quote is None:
                continue
            self.cancel_all_orders(instrument_id)
            self._quote_both_sides(instrument, quote)
            if (self._rounds + number) % self.settings.take_every == 0:
                self._take(instrument)

    def _quote_both_sides(self, instrument: Instrument, quote: QuoteTick) -> None:
        size = self._size(instrument)
        prices: tuple[tuple[OrderSide, Price], ...] = (
            (OrderSide.BUY, quote.bid_price),
            (OrderSide.SELL, quote.ask_price),
        )
        for side, price in prices:
            self.submit_order(
                self.order_factory.limit(instrument.id, side, size, price, post_only=self._rounds % 2 == 0)
            )

    def _take(self, instrument: Instrument) -> None:
        net = sum(position.signed_qty for position in self.cache.positions_open(instrument_id=instrument.id))
        side = OrderSide.SELL if net > 0 else OrderSide.BUY
        self.submit_order(
            self.order_factory.market(
                instrument.id, side, self._size(instrument), time_in_force=TimeInForce.IOC
            )
        )

    def _size(self, instrument: Instrument) -> Quantity:
        return Quantity.from_decimal_dp(
            instrument.size_increment.as_decimal() * self.settings.lots, instrument.size_precision
        )
