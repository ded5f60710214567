"""Compares what truly happened (a simulator's ledger) with what Nautilus believes (its cache)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import Factory, frozen

if TYPE_CHECKING:
    from nautilus_trader.common import Cache
    from nautilus_trader.model import OrderFilled, Venue

    from venuekit.interfaces.model import Order

    type Row = Mapping[str, object]

OPEN = ("NEW", "UNTRIGGERED", "OPEN")
"""Ledger states of an order that still lives at the venue."""


@frozen
class Execution:
    """One fill as both sides must agree on it; numbers are exact, the fee is what was paid."""

    trade_id: str
    client_order_id: str
    market: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str


@frozen
class OrderView:
    """One order as both sides must agree on it."""

    client_order_id: str
    open: bool
    filled: Decimal
    resolved: bool = True
    """False: the believer is still waiting for the order's fate."""


@frozen
class Account:
    """Everything one side says of the account; flat positions are left out."""

    fills: tuple[Execution, ...]
    orders: tuple[OrderView, ...]
    positions: Mapping[str, Decimal]
    balances: Mapping[str, Decimal]


@frozen
class Differences:
    """What the believer has wrong; every list names the orders or fills concerned."""

    lost_fills: tuple[str, ...] = ()
    """In the ledger, never delivered."""
    duplicate_fills: tuple[str, ...] = ()
    """Delivered more than once, or delivered and in no ledger."""
    altered_fills: tuple[str, ...] = ()
    """Delivered with another order, market, side, size, price, fee or liquidity."""
    unknown_orders: tuple[str, ...] = ()
    """Of unresolved fate, open on one side only, with another filled size, or known to one side only."""
    positions: Mapping[str, tuple[Decimal, Decimal]] = Factory(dict)
    """Market -> (ledger, believed), where they differ."""
    balances: Mapping[str, tuple[Decimal, Decimal]] = Factory(dict)
    """Currency -> (ledger, believed), where they differ."""

    @property
    def none(self) -> bool:
        """True when both sides agree on everything."""
        lists = (self.lost_fills, self.duplicate_fills, self.altered_fills, self.unknown_orders)
        return not any(lists) and not self.positions and not self.balances


def compare(truth: Account, belief: Account) -> Differences:
    """Every difference between the two, exactly."""
    true_fills = {fill.trade_id: fill for fill in truth.fills}
    counts = Counter(fill.trade_id for fill in belief.fills)
    extra = [trade_id for trade_id, n in counts.items() if n > 1 or trade_id not in true_fills]
    altered = {
        fill.trade_id
        for fill in belief.fills
        if fill.trade_id in true_fills and fill != true_fills[fill.trade_id]
    }
    return Differences(
        lost_fills=tuple(trade_id for trade_id in true_fills if trade_id not in counts),
        duplicate_fills=tuple(extra),
        altered_fills=tuple(sorted(altered)),
        unknown_orders=tuple(sorted(_unknown_orders(truth.orders, belief.orders))),
        positions=_unequal(truth.positions, belief.positions),
        balances=_unequal(truth.balances, belief.balances),
    )


def _unknown_orders(truth: Iterable[OrderView], belief: Iterable[OrderView]) -> set[str]:
    true_orders = {order.client_order_id: order for order in truth}
    believed = {order.client_order_id: order for order in belief}
    unknown = {name for name, order in believed.items() if not order.resolved}
    for name in true_orders.keys() | believed.keys():
        mine, theirs = true_orders.get(name), believed.get(name)
        if mine is None:
            # An order that never reached the venue is known when it ended without a fill.
            if theirs is not None and (theirs.open or theirs.filled):
                unknown.add(name)
        elif theirs is None or (mine.open, mine.filled) != (theirs.open, theirs.filled):
            unknown.add(name)
    return unknown


def _unequal(
    truth: Mapping[str, Decimal], belief: Mapping[str, Decimal]
) -> dict[str, tuple[Decimal, Decimal]]:
    zero = Decimal(0)
    pairs = {name: (truth.get(name, zero), belief.get(name, zero)) for name in truth.keys() | belief.keys()}
    return {name: pair for name, pair in sorted(pairs.items()) if pair[0] != pair[1]}


def read_ledger(rows: Mapping[str, Sequence[Row]], account: str) -> Account:
    """One account of a simulator's ledger as its control door sends it."""

    def own(name: str) -> list[Row]:
        return [row for row in rows[name] if row["account"] == account]

    def number(row: Row, name: str) -> Decimal:
        return Decimal(str(row[name]))

    fills = tuple(
        Execution(
            trade_id=str(row["id"]),
            client_order_id=str(row["client_id"]),
            market=str(row["market"]),
            side=str(row["side"]),
            quantity=number(row, "quantity"),
            price=number(row, "price"),
            fee=number(row, "fee"),
            fee_currency=str(row["fee_currency"]),
            liquidity=str(row["liquidity"]),
        )
        for row in own("fills")
        if not row.get("busted")
    )
    taken_back: dict[object, Decimal] = {}
    for row in own("fills"):
        if row.get("busted"):
            so_far = taken_back.get(row["order_id"], Decimal(0))
            taken_back[row["order_id"]] = so_far + number(row, "quantity")
    orders = tuple(
        OrderView(
            str(row["client_id"]),
            row["status"] in OPEN,
            number(row, "filled") - taken_back.get(row.get("id"), Decimal(0)),
        )
        for row in own("orders")
    )
    positions = {str(row["market"]): number(row, "quantity") for row in own("positions")}
    balances = {str(row["currency"]): number(row, "total") for row in own("balances")}
    return Account(fills, orders, {name: size for name, size in positions.items() if size}, balances)


def standing_fills(order: Order) -> list[OrderFilled]:
    """The fills of an order that were not taken back."""
    from nautilus_trader.model import OrderFilled, OrderFillVoided

    events = order.events()
    void = {event.trade_id for event in events if isinstance(event, OrderFillVoided)}
    return [event for event in events if isinstance(event, OrderFilled) and event.trade_id not in void]


def read_cache(cache: Cache, venue: Venue) -> Account:
    """What Nautilus believes of one venue's account."""
    from nautilus_trader.model import LiquiditySide, OrderStatus

    markets = {
        instrument.id: str(instrument.raw_symbol)
        for instrument in cache.instruments()
        if instrument.id.venue == venue
    }
    fills: list[Execution] = []
    orders: list[OrderView] = []
    for order in cache.orders(venue=venue):
        waiting = order.status in (
            OrderStatus.SUBMITTED,
            OrderStatus.PENDING_CANCEL,
            OrderStatus.PENDING_UPDATE,
        )
        name = str(order.client_order_id)
        orders.append(OrderView(name, not order.is_closed, order.filled_qty.as_decimal(), not waiting))
        for event in standing_fills(order):
            fee = event.commission
            fills.append(
                Execution(
                    trade_id=str(event.trade_id),
                    client_order_id=name,
                    market=markets[event.instrument_id],
                    side=event.order_side.name,
                    quantity=event.last_qty.as_decimal(),
                    price=event.last_px.as_decimal(),
                    fee=Decimal(0) if fee is None else fee.as_decimal(),
                    fee_currency="" if fee is None else str(fee.currency),
                    liquidity="MAKER" if event.liquidity_side == LiquiditySide.MAKER else "TAKER",
                )
            )
    positions: dict[str, Decimal] = {}
    for position in cache.positions_open(venue=venue):
        size = position.quantity.as_decimal() * (1 if position.is_long else -1)
        market = markets[position.instrument_id]
        positions[market] = positions.get(market, Decimal(0)) + size
    account = cache.account_for_venue(venue)
    balances = {}
    if account is not None:
        balances = {str(code): money.as_decimal() for code, money in account.balances_total().items()}
    return Account(tuple(fills), tuple(orders), {k: v for k, v in positions.items() if v}, balances)
