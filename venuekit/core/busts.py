"""Fills that the venue took back: what they leave of their order, and of a page that still shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve
from nautilus_trader.model import OrderStatus, Quantity

from venuekit.core.order_state import FillVoided

if TYPE_CHECKING:
    from venuekit.core.order_state import Tracked
    from venuekit.interfaces.records import BustRecord, FillRecord, OrderRecord


def discount(order: Tracked, fill: FillRecord) -> None:
    """The fill, which was never delivered, is part of no total any more."""
    order.waiting.pop(fill.trade_key, None)
    order.voided_raw += fill.quantity.raw
    order.claimed_raw = max(order.filled_raw, order.claimed_raw - fill.quantity.raw)


def take_back(order: Tracked, bust: BustRecord) -> list[FillVoided]:
    """The order without the fill, as the engine has it then; what was delivered is to be voided."""
    fill = order.fills.pop(bust.trade_key, None)
    if fill is None:
        discount(order, order.waiting[bust.trade_key])
        return []
    order.filled_raw -= fill.quantity.raw
    order.notional_raw -= fill.quantity.raw * fill.price.raw
    discount(order, fill)
    order.void_told_raw += fill.quantity.raw
    if order.told is OrderStatus.FILLED:
        order.told = OrderStatus.VOIDED
    elif order.told is OrderStatus.PARTIALLY_FILLED and not order.filled_raw:
        order.told = OrderStatus.ACCEPTED
    order.ts_last = max(order.ts_last, bust.ts_event)
    side = fill.side or order.side
    assert side is not None, "only fills with a side are delivered"
    state = order.snapshot(order.told, order.filled_raw, order.notional_raw, order.ts_last)
    return [FillVoided(state, fill, side, bust.ts_event)]


def without(
    record: OrderRecord, own: Sequence[FillRecord], taken: Sequence[FillRecord], unlisted: bool
) -> OrderRecord:
    """The order as if the taken fills had never been: one that was whole with them ended without them.

    `unlisted`: some fills that were taken back are not shown any more, so that only what is shown counts.
    """
    if record.filled is None or not (taken or unlisted):
        return record
    claimed, lost = record.filled.raw, sum(fill.quantity.raw for fill in taken)
    left = sum(fill.quantity.raw for fill in own) if unlisted else max(0, claimed - lost)
    if left >= claimed:
        return record
    filled = Quantity.from_raw(left, record.filled.precision)
    status = OrderStatus.CANCELED if record.status is OrderStatus.FILLED else record.status
    return evolve(record, filled=filled, status=status, reason=record.reason or "a fill was taken back")


def write_off(order: Tracked) -> None:
    """What the order claims and no fill shows was taken back as well."""
    lacking = order.claimed_raw - order.filled_raw - order.waiting_raw
    order.voided_raw += lacking
    order.claimed_raw -= lacking
