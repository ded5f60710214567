"""One tracker with its delivery and an engine of real orders, without any I/O: evidence in, events out."""

from __future__ import annotations

import logging

from engine_double import EngineDouble, limit, perpetual
from nautilus_trader.model import (
    AccountId,
    Currency,
    LiquiditySide,
    Money,
    OrderSide,
    OrderStatus,
    Price,
    Quantity,
)

from venuekit.core.order_state import LookUp
from venuekit.core.orders import OrderTracker
from venuekit.core.reconcile import PositionBook
from venuekit.core.reports import Reporter
from venuekit.core.symbols import Symbols
from venuekit.interfaces.manifest import Semantics
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.records import BustRecord, FillRecord, OrderRecord, PositionRecord, Source, WireIds
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.delivery import Delivery, Roads
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.telemetry import CounterTable

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000
USDC = Currency.from_str("USDC")


class Bench:
    """`order("O-1")` submits; `see` and `fill` feed evidence; `events()` is what came of it."""

    def __init__(self, *, allow_overfill: bool = False, **semantics: object) -> None:
        self.clock = ManualClock(wall_start_ns=T0)
        self.instrument = perpetual("HV")
        self.iid = self.instrument.id
        self.symbols = Symbols()
        self.symbols.add("BTC-USD-PERP", self.instrument)
        self.counters = CounterTable()
        self.engine = EngineDouble(AccountId("HV-1"), allow_overfill)
        self.tracker = OrderTracker(Semantics(**semantics), self.counters)
        self.positions = PositionBook()
        self.journal = MemoryJournal()
        self.look_ups: list[LookUp] = []
        self.fetches: list[int] = []
        self.cancels: list[str] = []
        self.delivery = Delivery(
            tracker=self.tracker,
            reporter=Reporter("HV", AccountId("HV-1")),
            positions=self.positions,
            symbols=self.symbols,
            sink=self.engine,
            journal=self.journal,
            clock=self.clock,
            counters=self.counters,
            log=logging.getLogger("venuekit.test"),
        )
        # `wait` asks the tracker itself.
        self.delivery.close()
        self.delivery.roads = Roads(self.cancels.append, self.look_ups.append, self.fetches.append)

    @property
    def now(self):
        return self.delivery.now()

    def do(self, actions) -> None:
        self.delivery.do(actions)

    def order(self, name: str = "O-1", *, sent: bool = True, ids: WireIds | None = None, **facts: object):
        """Submitted, and (unless `sent` is False) on the wire."""
        order = limit(name, self.iid, **facts)
        self.tracker.open(order)
        self.delivery.orders[name] = order
        self.engine.submitted(order)
        if sent:
            self.tracker.sending(name, ids or WireIds(client_order_id=name), self.now)
        return order

    def record(
        self, status: OrderStatus | None = None, name: str | None = "O-1", **facts: object
    ) -> OrderRecord:
        """A record; `at` is its venue time in milliseconds after the start, `filled` a text."""
        at = facts.pop("at", None)
        ids = facts.pop("ids", None) or WireIds(client_order_id=name, venue_order_id=facts.pop("vid", "V1"))
        for key, kind in (("filled", Quantity), ("quantity", Quantity), ("price", Price)):
            if isinstance(facts.get(key), str):
                facts[key] = kind.from_str(facts[key])
        ts = T0 + at * 1_000_000 if at is not None else self.clock.wall_ns()
        return OrderRecord(
            ids=ids,
            source=facts.pop("source", Source.STREAM),
            ts_event=ts,
            instrument_id=self.iid,
            status=status,
            **facts,
        )

    def fill_record(
        self, key: str, quantity: str, price: str = "100.0", name: str | None = "O-1", **facts: object
    ):
        at = facts.pop("at", None)
        ids = facts.pop("ids", None) or WireIds(client_order_id=name, venue_order_id=facts.pop("vid", "V1"))
        fee = facts.pop("fee", "0.01")
        return FillRecord(
            trade_key=key,
            ids=ids,
            instrument_id=self.iid,
            quantity=Quantity.from_str(quantity),
            price=Price.from_str(price),
            ts_event=T0 + at * 1_000_000 if at is not None else self.clock.wall_ns(),
            source=facts.pop("source", Source.STREAM),
            side=facts.pop("side", OrderSide.BUY),
            fee=Money.from_str(f"{fee} USDC") if fee is not None else None,
            liquidity=LiquiditySide.TAKER,
            **facts,
        )

    def see(self, status: OrderStatus | None = None, **facts: object) -> None:
        self.do(self.tracker.apply_order(self.record(status, **facts), self.now))

    def fill(self, key: str, quantity: str, price: str = "100.0", **facts: object) -> None:
        self.do(self.tracker.apply_fill(self.fill_record(key, quantity, price, **facts), self.now))

    def bust(self, key: str, *, at: int, source: Source = Source.STREAM) -> None:
        bust = BustRecord(trade_key=key, ts_event=T0 + at * 1_000_000, source=source)
        self.do(self.tracker.apply_bust(bust, self.now))

    def position(self, signed: str, *, at: int) -> PositionRecord:
        return PositionRecord(
            instrument_id=self.iid,
            signed_qty=signed,
            avg_px="100.0",
            ts_event=T0 + at * 1_000_000,
            source=Source.SNAPSHOT,
        )

    def wait(self, secs: float, *, answer: NotFound | None = None) -> None:
        """Time passes timer by timer; every look-up meanwhile gets `answer`, or fails when None."""
        end = self.clock.mono_ns() + int(secs * S)
        while (due := self.tracker.next_due_ns()) is not None and due <= end:
            self.clock.advance(max(0, due - self.clock.mono_ns()))
            before = len(self.look_ups)
            self.do(self.tracker.apply_time(self.now))
            for asked in self.look_ups[before:]:
                if answer is None:
                    self.do(self.tracker.apply_look_up_failed(asked.key, self.now))
                else:
                    self.do(self.tracker.apply_look_up(asked.key, answer, self.now))
        self.clock.advance(end - self.clock.mono_ns())

    def events(self, name: str = "O-1") -> list[str]:
        return self.engine.events(name)
