"""Fills that the venue took back: what they leave of their order, and of a page that still shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve
from nautilus_trader.model import OrderStatus, Quantity

from venuekit.core.evidence import own_name
from venuekit.core.order_state import WORKING, Action, Alarm, Ending, FillVoided, Void

if TYPE_CHECKING:
    from venuekit.core.order_state import Tracked
    from venuekit.interfaces.records import BustRecord, FillRecord, OrderRecord


_MS = 1_000_000


def claim(order: Tracked, filled_raw: int, ts_event: int) -> int:
    """What a record of this time, which says that so much is filled, claims of the fills that stand.

    One venue goes on counting what it took back, another does not. Only the second can say less than what was
    filled before; until one record did, none counts what was taken back. Fills that are orders of their own
    are no part of this one. Times are compared in milliseconds, because records may be dated so.
    """
    if not (order.voids or order.aside):
        return filled_raw
    at = ts_event // _MS
    fills = (*order.fills.values(), *order.waiting.values(), *order.aside)
    had = sum(fill.quantity.raw for fill in fills if fill.ts_event // _MS < at)
    had += sum(void.raw for void in order.voids if void.ts_event // _MS <= at)
    less = bool(order.voids) and filled_raw < had
    order.voids_dropped |= less
    counted = order.voids
    if order.voids_dropped:
        counted = [void for void in order.voids if void.ts_event // _MS >= at + less]
    return filled_raw - sum(void.raw for void in counted) - sum(fill.quantity.raw for fill in order.aside)


def discount(order: Tracked, fill: FillRecord, ts_event: int) -> None:
    """The fill, which was never delivered, is part of no total any more: it was taken back at this time."""
    order.waiting.pop(fill.trade_key, None)
    order.voids.append(Void(fill.quantity.raw, ts_event))
    claimed = max(order.claimed_raw - fill.quantity.raw, claim(order, *order.said))
    order.claimed_raw = max(order.filled_raw, claimed)


def unheard_of(bust: BustRecord, follows: bool) -> list[Action]:
    """No order has the fill: a person must see that, unless a mass status follows, which leaves it out."""
    if follows:
        return []
    return [Alarm("void_without_order", f"fill {bust.trade_key} of no known order was taken back")]


def take_back(order: Tracked, bust: BustRecord, orders: Iterable[Tracked]) -> list[FillVoided]:
    """The order without the fill, as the engine has it then; what was delivered is to be voided.

    `orders`: all of them, of which one may have set the fill aside.
    """
    for parent in orders:
        _lost_aside(parent, bust)
    fill = order.fills.pop(bust.trade_key, None)
    if fill is None:
        fill = order.waiting[bust.trade_key]
        discount(order, fill, bust.ts_event)
        if own_name(fill).venue_order_id in order.legs:
            # It stood for its order, of which no venue will ever say that it ended.
            why = "its execution was taken back"
            order.ending = Ending(OrderStatus.CANCELED, bust.ts_event, None, why, confirmed=True)
        return []
    order.filled_raw -= fill.quantity.raw
    order.notional_raw -= fill.quantity.raw * fill.price.raw
    discount(order, fill, bust.ts_event)
    # The engine works out anew what is left of an order that was cancelled before.
    cancelled = order.told in {OrderStatus.CANCELED, OrderStatus.EXPIRED}
    order.void_told_raw = 0 if cancelled else order.void_told_raw + fill.quantity.raw
    if order.told is OrderStatus.FILLED:
        order.told = OrderStatus.VOIDED
    elif order.told is OrderStatus.PARTIALLY_FILLED and not order.filled_raw:
        order.told = OrderStatus.ACCEPTED
    order.ts_last = max(order.ts_last, bust.ts_event)
    side = fill.side or order.side
    assert side is not None, "only fills with a side are delivered"
    state = order.snapshot(order.told, order.filled_raw, order.notional_raw, order.ts_last)
    return [FillVoided(state, fill, side, bust.ts_event)]


def take_over_fills(order: Tracked, stranger: Tracked) -> None:
    """What was filled of the stranger, and what was taken back of that, was so of this order."""
    claimed = max(order.claimed_raw - stranger.voided_raw, stranger.claimed_raw - order.voided_raw)
    order.waiting.update(stranger.waiting)
    order.voids += stranger.voids
    order.voids_dropped |= stranger.voids_dropped
    order.said = max(order.said, stranger.said, key=lambda said: said[1])
    order.claimed_raw = max(order.filled_raw, claimed, claim(order, *order.said))


def works_again(order: Tracked, record: OrderRecord) -> list[Action]:
    """An alarm when the venue works an order on that is void, and so closed, in the engine."""
    later = record.ts_event // _MS > order.ts_last // _MS
    if order.told is not OrderStatus.VOIDED or record.status not in WORKING or not later:
        return []
    if "void_works" in order.alarmed:
        return []
    order.alarmed.add("void_works")
    text = f"order {order.key} is void and the venue has it open: cancel it there if it is not wanted"
    return [Alarm("void_works", text)]


def set_aside(order: Tracked, fill: FillRecord) -> FillRecord:
    """The fill, which is no part of this order any more, complete enough to stand for itself."""
    del order.waiting[fill.trade_key]
    fill = evolve(fill, side=fill.side or order.side)
    order.aside.append(fill)
    order.claimed_raw = max(order.filled_raw, order.claimed_raw - fill.quantity.raw)
    return fill


def _lost_aside(order: Tracked, bust: BustRecord) -> None:
    """A fill of this order that was set aside was taken back, too."""
    for fill in [one for one in order.aside if one.trade_key == bust.trade_key]:
        order.aside.remove(fill)
        order.voids.append(Void(fill.quantity.raw, bust.ts_event))


def without(
    record: OrderRecord, own: Sequence[FillRecord], taken: Sequence[FillRecord], unlisted: bool
) -> OrderRecord:
    """The order as if the taken fills had never been: one that was whole with them ended without them.

    `unlisted`: some fills that were taken back are not shown any more, so that only what is shown counts.
    """
    if record.filled is None or not (taken or unlisted):
        return record
    claimed, lost = record.filled.raw, sum(fill.quantity.raw for fill in taken)
    # Where records do not count what was taken back, what is shown is more than what is left of the claim.
    shown = sum(fill.quantity.raw for fill in own)
    left = shown if unlisted else max(shown, claimed - lost)
    if left >= claimed:
        return record
    filled = Quantity.from_raw(left, record.filled.precision)
    status = OrderStatus.CANCELED if record.status is OrderStatus.FILLED else record.status
    return evolve(record, filled=filled, status=status, reason=record.reason or "a fill was taken back")


def write_off(order: Tracked) -> None:
    """What the order claims and no fill shows was taken back as well."""
    lacking = order.claimed_raw - order.filled_raw - order.waiting_raw
    order.voids.append(Void(lacking, order.said[1]))
    order.claimed_raw -= lacking
