"""Strategies for tests in a node of its own config: they keep what they are told, by kind."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig


class ListenerConfig(StrategyConfig):
    """What to listen to."""

    instrument: str

    def __init__(self, *, instrument: str) -> None:
        self.instrument = instrument


class Listener(Strategy):
    """Subscribes everything a market has beside book and quotes; `heard` holds it by handler."""

    heard: ClassVar[dict[str, list[Any]]] = defaultdict(list)

    def __init__(self, config: ListenerConfig) -> None:
        super().__init__(config)
        self._iid = InstrumentId.from_str(config.instrument)

    def on_start(self) -> None:
        self.subscribe_trades(self._iid)
        self.subscribe_mark_prices(self._iid)
        self.subscribe_index_prices(self._iid)
        self.subscribe_funding_rates(self._iid)
        self.subscribe_instrument_status(self._iid)
        self.heard["strategy"].append(self)
        self.heard["start"].append(self._iid)

    def buy(self, quantity: Quantity, price: Price) -> Any:
        """An order of this strategy, submitted."""
        order = self.order_factory.limit(self._iid, OrderSide.BUY, quantity, price)
        self.submit_order(order)
        return order

    def on_order_fill_voided(self, event: Any) -> None:
        self.heard["voided"].append(event)

    def on_trade(self, tick: Any) -> None:
        self.heard["trade"].append(tick)

    def on_mark_price(self, mark_price: Any) -> None:
        self.heard["mark"].append(mark_price)

    def on_index_price(self, index_price: Any) -> None:
        self.heard["index"].append(index_price)

    def on_funding_rate(self, funding_rate: Any) -> None:
        self.heard["funding"].append(funding_rate)

    def on_instrument_status(self, status: Any) -> None:
        self.heard["status"].append(status)
