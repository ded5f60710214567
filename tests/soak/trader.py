"""The strategy of a soak: limit orders, market orders and cancels; every order event goes into a file."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Self

from attrs import frozen
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model import BookType, InstrumentId, OrderFilled, OrderSide, Price, Quantity, StrategyId
from nautilus_trader.trading import Strategy

MOST_LOTS = 400
"""No position grows beyond that many steps of the instrument's size."""
MOST_OPEN = 12
RUSH = 4
FLAT = 0.5
"""Of every cycle each market is closed and left alone for that part: there is always one that trades."""


@frozen
class Pace:
    """A round every so often, and `RUSH` times as often for the first seconds."""

    every_ms: int
    rush_secs: float = 0.0

    def tick_ns(self) -> int:
        """The time between two ticks of the timer."""
        return self.every_ms * 1_000_000 // RUSH

    def due(self, tick: int) -> bool:
        """Whether the tick of this number is a round."""
        return tick * self.tick_ns() < self.rush_secs * 1e9 or tick % RUSH == 0


class EventFile:
    """What the engine told, line by line: what is in a file does not count as the node's memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.counts = {"orders": 0, "fills": 0, "cancels": 0, "rejected": 0, "denied": 0}

    def add(self, event: Any) -> None:
        """The event is in the file; what ends an order, and every fill, can be read back."""
        kind = type(event).__name__
        row: dict[str, Any] = {"kind": kind, "order": str(event.client_order_id)}
        if isinstance(event, OrderFilled):
            fee = event.commission
            row |= {
                "trade": str(event.trade_id),
                "market": str(event.instrument_id),
                "side": event.order_side.name,
                "quantity": str(event.last_qty.as_decimal()),
                "price": str(event.last_px.as_decimal()),
                "fee": "0" if fee is None else str(fee.as_decimal()),
                "currency": "" if fee is None else str(fee.currency),
                "liquidity": event.liquidity_side.name,
            }
        if reason := getattr(event, "reason", None):
            row["reason"] = str(reason)
        self.counts["orders"] += kind == "OrderSubmitted"
        self.counts["fills"] += kind == "OrderFilled"
        self.counts["cancels"] += kind == "OrderCanceled"
        self.counts["rejected"] += kind == "OrderRejected"
        self.counts["denied"] += kind == "OrderDenied"
        print(json.dumps(row), file=self._file)

    def flush(self) -> None:
        """The reader sees every event so far."""
        self._file.flush()


class SoakTrader(Strategy):
    """A round is an order or a cancel on one market, from a seed; no position becomes large."""

    markets: list[InstrumentId]
    quiet = False

    @classmethod
    def made(cls, markets: list[str], seed: int, pace: Pace, cycle_secs: float, events: EventFile) -> Self:
        """The native base takes nothing but a config when it is made."""
        self = cls(StrategyConfig(strategy_id=StrategyId("SOAK-001")))
        self.markets = [InstrumentId.from_str(one) for one in markets]
        self.random = Random(seed)
        self.pace, self.ticks = pace, 0
        self.cycle_ns = int(cycle_secs * 1e9)
        self.events = events
        self.began_ns = 0
        return self

    def on_start(self) -> None:
        for iid in self.markets:
            self.subscribe_book_deltas(iid, BookType.L2_MBP, managed=True)
            self.subscribe_quotes(iid)
            self.subscribe_trades(iid)
        self.began_ns = self.clock.timestamp_ns()
        self.clock.set_timer_ns("round", self.pace.tick_ns(), callback=self.on_tick)

    def on_order_event(self, event: Any) -> None:
        self.events.add(event)

    def on_tick(self, _event: object) -> None:
        self.ticks += 1
        if self.pace.due(self.ticks):
            self.on_round()

    def on_round(self) -> None:
        if self.quiet:
            for order in self.cache.orders_open():
                if not order.is_pending_cancel:
                    self.cancel_order(order.client_order_id)
            return
        resting = [iid for iid in self.markets if self.rests(iid)]
        for iid in resting:
            self.close(iid)
        iid = self.random.choice([one for one in self.markets if one not in resting])
        instrument, quote = self.cache.instrument(iid), self.cache.quote(iid)
        if instrument is None or quote is None:
            return
        draw = self.random.random()
        living = self.cache.orders_open(instrument_id=iid)
        if living and (draw < 0.3 or len(living) >= MOST_OPEN):
            if draw < 0.05:
                self.cancel_all_orders(iid)
            else:
                self.cancel_order(self.random.choice(living).client_order_id)
            return
        self.order(instrument, quote, draw)

    def rests(self, iid: InstrumentId) -> bool:
        """Whether this market is to be flat now."""
        ahead = self.markets.index(iid) * self.cycle_ns // len(self.markets)
        passed = (self.clock.timestamp_ns() - self.began_ns + ahead) % self.cycle_ns
        return passed >= (1 - FLAT) * self.cycle_ns

    def close(self, iid: InstrumentId) -> None:
        """Cancels what lives, then closes what is held; again every round until both are nothing."""
        living = self.cache.orders_open(instrument_id=iid)
        for order in living:
            if not order.is_pending_cancel:
                self.cancel_order(order.client_order_id)
        held, instrument = self.held(iid), self.cache.instrument(iid)
        if held and instrument is not None and not (living or self.cache.orders_inflight(instrument_id=iid)):
            side = OrderSide.SELL if held > 0 else OrderSide.BUY
            quantity = Quantity.from_decimal_dp(abs(held), instrument.size_precision)
            self.submit_order(self.order_factory.market(iid, side, quantity))

    def held(self, iid: InstrumentId) -> Decimal:
        """What the engine says of the position, with its sign."""
        found = self.cache.positions_open(instrument_id=iid)
        return sum((one.quantity.as_decimal() * (1 if one.is_long else -1) for one in found), Decimal(0))

    def order(self, instrument: Any, quote: Any, draw: float) -> None:
        lots = self.random.randint(10, 40)
        step = instrument.size_increment.as_decimal()
        held = self.held(instrument.id)
        side = self.random.choice((OrderSide.BUY, OrderSide.SELL))
        if abs(held) > step * MOST_LOTS:
            side = OrderSide.SELL if held > 0 else OrderSide.BUY
        quantity = Quantity.from_decimal_dp(step * lots, instrument.size_precision)
        if draw < 0.45:
            self.submit_order(self.order_factory.market(instrument.id, side, quantity))
            return
        # Deep in the book, at the touch, or through it.
        ticks = self.random.choice((-5_000, -500, -50, -5, 0, 5))
        best = quote.bid_price if side == OrderSide.BUY else quote.ask_price
        away = Decimal(ticks) * instrument.price_increment.as_decimal()
        price = best.as_decimal() + (away if side == OrderSide.BUY else -away)
        limit = Price.from_decimal_dp(price, instrument.price_precision)
        self.submit_order(
            self.order_factory.limit(instrument.id, side, quantity, limit, post_only=draw < 0.6)
        )
