"""Buys at the best bid, sells again at the best ask, over and over; every order rests or is refused."""

from nautilus_trader.model import InstrumentId, OrderSide, Quantity, QuoteTick
from nautilus_trader.trading import Strategy, StrategyConfig


class RoundTripConfig(StrategyConfig):
    def __init__(self, *, market: str, size: str) -> None:
        self.market, self.size = InstrumentId.from_str(market), Quantity.from_str(size)


class RoundTrip(Strategy):
    def __init__(self, config: RoundTripConfig) -> None:
        super().__init__(config)
        self.market, self.size = config.market, config.size

    def on_start(self) -> None:
        self.subscribe_quotes(self.market)

    def on_quote(self, quote: QuoteTick) -> None:
        orders = self.cache.orders_inflight() + self.cache.orders_open()
        held = self.cache.positions_open()
        side, size, price = OrderSide.BUY, self.size, quote.bid_price
        if held and held[0].quantity >= self.size:
            side, size, price = OrderSide.SELL, held[0].quantity, quote.ask_price
        if not orders:
            self.submit_order(self.order_factory.limit(self.market, side, size, price, post_only=True))
        elif orders[0].price != price:
            self.cancel_all_orders(self.market)

    def on_stop(self) -> None:
        self.cancel_all_orders(self.market)
