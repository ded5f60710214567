"""An execution sink that does to REAL Nautilus orders what the engine does, and refuses what it could not.

An impossible transition raises out of `order.apply`. What Nautilus takes without complaint and must never be
done is an assertion here: overfill, a rejection after an acceptance, an acceptance after a fill, a plain
report while a change is pending, a fill total that the fills do not make.
"""

from __future__ import annotations

from collections.abc import Sequence

from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    AccountId,
    ClientOrderId,
    CryptoPerpetual,
    Currency,
    InstrumentId,
    LimitOrder,
    MarketOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderFillVoided,
    OrderModifyRejected,
    OrderPendingCancel,
    OrderPendingUpdate,
    OrderRejected,
    OrderSide,
    OrderStatus,
    OrderSubmitted,
    OrderType,
    OrderUpdated,
    Price,
    Quantity,
    StrategyId,
    Symbol,
    TimeInForce,
    TraderId,
)

TRADER, STRATEGY = TraderId("T-001"), StrategyId("S-1")


def perpetual(venue: str, **changes: object) -> CryptoPerpetual:
    """BTC in USDC: tick 0.5, lot 0.001, at least 0.002 and 10 USDC."""
    usdc = Currency.from_str("USDC")
    facts: dict[str, object] = {
        "instrument_id": InstrumentId.from_str(f"BTC-USD-PERP.{venue}"),
        "raw_symbol": Symbol("BTC-USD-PERP"),
        "base_currency": Currency.from_str("BTC"),
        "quote_currency": usdc,
        "settlement_currency": usdc,
        "is_inverse": False,
        "price_precision": 1,
        "size_precision": 3,
        "price_increment": Price.from_str("0.5"),
        "size_increment": Quantity.from_str("0.001"),
        "ts_event": 0,
        "ts_init": 0,
        "min_quantity": Quantity.from_str("0.002"),
        "max_quantity": Quantity.from_str("100"),
    }
    return CryptoPerpetual(**{**facts, **changes})


def limit(
    name: str,
    instrument_id: InstrumentId,
    side: OrderSide = OrderSide.BUY,
    quantity: str = "1.000",
    price: str = "100.0",
    tif: TimeInForce = TimeInForce.GTC,
    post_only: bool = False,
    reduce_only: bool = False,
    expire_ns: int | None = None,
) -> LimitOrder:
    """A limit order as a strategy makes it."""
    return LimitOrder(
        TRADER,
        STRATEGY,
        instrument_id,
        ClientOrderId(name),
        side,
        Quantity.from_str(quantity),
        Price.from_str(price),
        tif,
        post_only,
        reduce_only,
        False,
        UUID4(),
        0,
        expire_time=expire_ns,
    )


def market(
    name: str, instrument_id: InstrumentId, quantity: str = "1.000", side: OrderSide = OrderSide.BUY
) -> MarketOrder:
    """A market order as a strategy makes it."""
    return MarketOrder(
        TRADER,
        STRATEGY,
        instrument_id,
        ClientOrderId(name),
        side,
        Quantity.from_str(quantity),
        UUID4(),
        0,
        TimeInForce.IOC,
        False,
        False,
    )


def _watched(method):
    """A broken promise is kept in `violations` and raised."""

    def call(self, *args: object) -> None:
        try:
            method(self, *args)
        except (AssertionError, RuntimeError, ValueError) as error:
            self.violations.append(f"{method.__name__}: {error!r}")
            raise

    return call


class NotTaken(Exception):
    """The engine did not take a report, as a test asked it to."""


class EngineDouble:
    """An `ExecutionSink`; `log` holds every event in one short line, oldest first."""

    def __init__(self, account: AccountId, allow_overfill: bool = False) -> None:
        self.account_id = account
        self.allow_overfill = allow_overfill
        self.orders: dict[str, object] = {}
        self.external: dict[str, object] = {}
        self.log: list[str] = []
        self.reasons: dict[str, str] = {}
        self.post_only: set[str] = set()
        self.alarms: list[tuple[str, str]] = []
        self.accounts: list[tuple[object, ...]] = []
        self.positions: list[object] = []
        self.commissions: dict[str, str] = {}
        self.fail_reports = 0
        """So many reports are refused by raising."""
        self.violations: list[str] = []
        """What the engine could not have done; a service that swallows errors cannot hide these."""
        self._trades: set[tuple[str, str]] = set()
        self._values: dict[str, tuple[object, object]] = {}

    # --- what the test does

    def add(self, order: object) -> object:
        """The order is known to the engine (initialized)."""
        self.orders[order.client_order_id.value] = order
        self._values[order.client_order_id.value] = (order.quantity, getattr(order, "price", None))
        return order

    def pending_update(self, order: object) -> None:
        """The strategy asked for a change."""
        order.apply(OrderPendingUpdate(*self._head(order), self.account_id, UUID4(), 1, 1, False))

    def pending_cancel(self, order: object) -> None:
        """The strategy asked for a cancel."""
        if not order.is_closed:
            order.apply(OrderPendingCancel(*self._head(order), self.account_id, UUID4(), 1, 1, False))

    def take(self, parts: object) -> None:
        """A mass status: every order of it exists in the engine afterwards, with its fills."""
        for report in parts.orders:
            order, name = self._order_of(report)
            if order.status == OrderStatus.INITIALIZED:
                self._apply(
                    name, order, OrderAccepted, report.venue_order_id, self.account_id, line="reconciled"
                )
            for fill in parts.fills:
                if fill.venue_order_id == report.venue_order_id:
                    self._fill(name, order, fill)
            self._end(name, order, report, report.order_status)

    def events(self, name: str) -> list[str]:
        """The log of one order, without its name."""
        assert not self.violations, self.violations
        return [line.split(" ", 1)[1] for line in self.log if line.split(" ", 1)[0] == name]

    # --- the sink

    @_watched
    def report(self, report: object, fills: Sequence[object]) -> None:
        if self.fail_reports:
            self.fail_reports -= 1
            raise NotTaken
        order, name = self._order_of(report)
        assert order.status != OrderStatus.PENDING_UPDATE or fills or order.is_closed, (
            "the change would be lost"
        )
        status = report.order_status
        if order.status == OrderStatus.SUBMITTED or (order.status == OrderStatus.INITIALIZED):
            assert status == OrderStatus.ACCEPTED, f"{name}: {status} as the first report"
            assert not fills
        if status == OrderStatus.ACCEPTED and order.venue_order_id is None:
            self._apply(name, order, OrderAccepted, report.venue_order_id, self.account_id, line="accepted")
        self._take_values(name, order, report)
        for fill in fills:
            self._fill(name, order, fill)
        assert self.allow_overfill or report.filled_qty == order.filled_qty, (
            f"{name}: {report.filled_qty} != {order.filled_qty}"
        )
        self._end(name, order, report, status)

    def _end(self, name: str, order: object, report: object, status: object) -> None:
        if status == OrderStatus.CANCELED and not order.is_canceled:
            event = OrderCanceled(*self._head(order), UUID4(), 1, 1, False, reason=report.cancel_reason)
            order.apply(event)
            self.log.append(f"{name} canceled {report.cancel_reason or ''}".rstrip())
        elif status == OrderStatus.EXPIRED and order.status != OrderStatus.EXPIRED:
            order.apply(OrderExpired(*self._head(order), UUID4(), 1, 1, False))
            self.log.append(f"{name} expired")
        elif status == OrderStatus.FILLED:
            assert order.status in (OrderStatus.FILLED, OrderStatus.CANCELED), (
                f"{name}: FILLED without its fills"
            )

    def _take_values(self, name: str, order: object, report: object) -> None:
        if order.is_closed:
            return
        had_quantity, had_price = self._values[name]
        quantity, price = report.quantity, report.price
        if quantity != had_quantity or (had_price is not None and price is not None and price != had_price):
            self._values[name] = (quantity, price if had_price is not None else None)
            event = OrderUpdated(
                *self._head(order),
                quantity,
                UUID4(),
                1,
                1,
                False,
                venue_order_id=report.venue_order_id,
                price=price,
            )
            order.apply(event)
            self.log.append(f"{name} changed {quantity} {price}")

    def _fill(self, name: str, order: object, fill: object) -> None:
        mark = (name, fill.trade_id.value)
        assert mark not in self._trades, f"{mark} was delivered twice"
        assert order.status != OrderStatus.REJECTED, f"{name}: fill after a rejection"
        assert order.status not in (OrderStatus.INITIALIZED, OrderStatus.SUBMITTED), (
            "fill before its acceptance"
        )
        self._trades.add(mark)
        if order.status == OrderStatus.FILLED and self.allow_overfill:
            # The engine drops it with a warning.
            self.log.append(f"{name} overfilled {fill.last_qty}@{fill.last_px} {fill.trade_id}")
            return
        event = OrderFilled(
            *self._head(order),
            order.venue_order_id or fill.venue_order_id,
            self.account_id,
            fill.trade_id,
            fill.order_side,
            order.order_type,
            fill.last_qty,
            fill.last_px,
            Currency.from_str("USDC"),
            fill.liquidity_side,
            UUID4(),
            fill.ts_event,
            1,
            False,
            commission=fill.commission,
        )
        order.apply(event)
        self.commissions[fill.trade_id.value] = str(fill.commission)
        if not self.allow_overfill:
            assert order.overfill_qty.raw == 0, f"{name} is overfilled"
        self.log.append(f"{name} filled {fill.last_qty}@{fill.last_px} {fill.trade_id}")

    def position(self, report: object) -> None:
        self.positions.append(report)

    def account(
        self, balances: Sequence[object], margins: Sequence[object], reported: bool, ts_event: int
    ) -> None:
        self.accounts.append((tuple(balances), tuple(margins), reported, ts_event))
        self.log.append(f"account {ts_event}")

    @_watched
    def denied(self, order: object, reason: str) -> None:
        assert order.status == OrderStatus.INITIALIZED
        self.log.append(f"{order.client_order_id} denied {reason.split(':', maxsplit=1)[0]}")
        self.reasons[order.client_order_id.value] = reason

    @_watched
    def submitted(self, order: object) -> None:
        self.add(order)
        order.apply(OrderSubmitted(*self._head(order), self.account_id, UUID4(), 1, 1))
        self.log.append(f"{order.client_order_id} submitted")

    @_watched
    def rejected(self, order: object, reason: str, ts_event: int, post_only: bool) -> None:
        name = order.client_order_id.value
        accepted = order.venue_order_id is not None or order.filled_qty.raw
        assert not accepted and not order.is_closed, f"{name}: rejected when {order.status}"
        event = OrderRejected(*self._head(order), self.account_id, reason, UUID4(), 1, 1, False, post_only)
        order.apply(event)
        self.log.append(f"{name} rejected")
        self.reasons[name] = reason
        if post_only:
            self.post_only.add(name)

    @_watched
    def updated(
        self,
        order: object,
        venue_order_id: object,
        quantity: object,
        price: object,
        trigger: object,
        ts_event: int,
    ) -> None:
        name = order.client_order_id.value
        self._values[name] = (quantity, price)
        event = OrderUpdated(
            *self._head(order), quantity, UUID4(), 1, 1, False, venue_order_id=venue_order_id, price=price
        )
        order.apply(event)
        self.log.append(f"{name} updated {quantity} {price} {venue_order_id}")

    @_watched
    def modify_rejected(self, order: object, venue_order_id: object, reason: str, ts_event: int) -> None:
        name = order.client_order_id.value
        if not order.is_closed:
            order.apply(OrderModifyRejected(*self._head(order), reason, UUID4(), 1, 1, False))
        self.log.append(f"{name} modify_rejected")
        self.reasons[name] = reason

    @_watched
    def cancel_rejected(self, order: object, venue_order_id: object, reason: str, ts_event: int) -> None:
        name = order.client_order_id.value
        if not order.is_closed:
            order.apply(OrderCancelRejected(*self._head(order), reason, UUID4(), 1, 1, False))
        self.log.append(f"{name} cancel_rejected")
        self.reasons[name] = reason

    @_watched
    def fill_voided(self, client_order_id: object, trade_id: object, reason: str, ts_event: int) -> None:
        order = {**self.external, **self.orders}.get(client_order_id.value)
        assert order is not None, f"the engine has no order {client_order_id}"
        (fill,) = (one for one in order.events() if isinstance(one, OrderFilled) and one.trade_id == trade_id)
        order.apply(
            OrderFillVoided(
                trader_id=fill.trader_id,
                strategy_id=fill.strategy_id,
                instrument_id=fill.instrument_id,
                client_order_id=fill.client_order_id,
                venue_order_id=fill.venue_order_id,
                account_id=fill.account_id,
                correction_id=f"VOID-{trade_id}",
                trade_id=trade_id,
                voided_qty=fill.last_qty,
                order_side=fill.order_side,
                order_type=fill.order_type,
                last_px=fill.last_px,
                currency=fill.currency,
                liquidity_side=fill.liquidity_side,
                event_id=UUID4(),
                ts_event=ts_event,
                ts_init=1,
                commission_voided=fill.commission,
                position_id=fill.position_id,
                reason=reason,
                reconciliation=False,
            )
        )
        self.log.append(f"{client_order_id} voided {trade_id}")

    def alarm(self, kind: str, text: str) -> None:
        self.alarms.append((kind, text))

    # --- inside

    def _head(self, order: object) -> tuple[object, ...]:
        return (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id)

    def _apply(self, name: str, order: object, kind: type, *facts: object, line: str) -> None:
        assert not order.filled_qty.raw, f"{name}: an acceptance after a fill moves it back"
        order.apply(kind(*self._head(order), *facts, UUID4(), 1, 1, False))
        self.log.append(f"{name} {line}")

    def _order_of(self, report: object) -> tuple[object, str]:
        if report.client_order_id is not None and (order := self.orders.get(report.client_order_id.value)):
            return order, report.client_order_id.value
        venue_id = report.venue_order_id.value
        if report.client_order_id is not None and venue_id in self.external:
            return self.external[venue_id], report.client_order_id.value
        if venue_id not in self.external:
            self.external[venue_id] = self.add(self._make(report))
        order = self.external[venue_id]
        return order, order.client_order_id.value

    def _make(self, report: object) -> object:
        name = (
            report.client_order_id.value
            if report.client_order_id is not None
            else report.venue_order_id.value
        )
        if report.order_type == OrderType.MARKET:
            return market(name, report.instrument_id, str(report.quantity), report.order_side)
        return limit(
            name, report.instrument_id, report.order_side, str(report.quantity), str(report.price or "1.0")
        )
