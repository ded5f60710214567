"""From what is known of an order to what the engine has not been told yet: the one place that decides events.

The engine's own table, as measured: SUBMITTED never goes to EXPIRED or DENIED; an accept after a fill moves
back; a plain report while a modify is pending loses the new values; a terminal report carries the last fills.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from nautilus_trader.model import OrderStatus

from venuekit.core.fate import Fate
from venuekit.core.order_state import (
    WORKING,
    Action,
    Alarm,
    Ending,
    ModifyRejected,
    Moment,
    PendingModify,
    Rejected,
    Report,
    Tracked,
    Updated,
)
from venuekit.interfaces.records import ModifyResult
from venuekit.interfaces.time import passed

if TYPE_CHECKING:
    from venuekit.core.fills import FillBook
    from venuekit.interfaces.records import FillRecord, OrderRecord
    from venuekit.interfaces.time import Tick

MODIFY_HOLD_NS = 5_000_000_000
"""Fills of an order with a change pending wait this long for its end, then they are reported all the same."""

FEE_TRIES = 6
"""A fill whose fee no page brings is reported without it, with an alarm, after so many questions."""

_RETRY_NS = 500_000_000

UNTOLD = (OrderStatus.INITIALIZED, OrderStatus.SUBMITTED)


def tell(order: Tracked, book: FillBook, now: Moment, tick: Tick | None, replaces_id: bool) -> list[Action]:
    """Everything the engine has not been told of this order, in the order in which it may hear it."""
    ready = _taken(order, ready_fills(order))
    filled_raw = order.filled_raw + sum(fill.quantity.raw for fill in ready)
    assert order.quantity is not None
    full = filled_raw >= order.quantity.raw > 0
    # What was taken back works no more there, as if it were filled.
    whole = full or (order.void_told_raw > 0 and filled_raw + order.void_told_raw >= order.quantity.raw > 0)
    complete = order.claimed_raw <= filled_raw and len(ready) == len(order.waiting)
    ending = final_ending(order, now, tick, replaces_id)
    actions: list[Action] = []
    if order.modifies:
        if whole or (ending is not None and complete):
            actions += close_modifies(order, now)
        elif now.mono_ns < order.modifies[0].asked_mono_ns + MODIFY_HOLD_NS:
            return []
    if order.ended:
        return actions + _late(order, book, ready, full, whole)
    if ending is not None and order.fate is Fate.REFUSED:
        return [*actions, reject(order, ending.reason, ending.ts_event, ending.post_only_refusal)]
    if order.told in UNTOLD and (order.working is not None or order.waiting or ending is not None):
        actions.append(_accept(order, ending))
    if order.told in WORKING and not order.modifies:
        actions += _changes(order)
    if ready:
        status = OrderStatus.FILLED if full else OrderStatus.PARTIALLY_FILLED
        actions += _fill(order, book, ready, status)
        if whole and not full:
            order.told = OrderStatus.VOIDED
    if ending is not None and complete and not order.ended:
        status = OrderStatus.EXPIRED if ending.status is OrderStatus.EXPIRED else OrderStatus.CANCELED
        actions.append(_report(order, status, ending.ts_event))
    return actions


def ready_fills(order: Tracked) -> list[FillRecord]:
    """The fills that can be reported now, oldest first."""
    hurry = order.fills_tries >= FEE_TRIES
    ready = [
        fill
        for fill in order.waiting.values()
        if (fill.fee is not None or hurry) and (fill.side is not None or order.side is not None)
    ]
    return sorted(ready, key=lambda fill: (fill.ts_event, fill.trade_key))


def _taken(order: Tracked, ready: list[FillRecord]) -> list[FillRecord]:
    """Those of the ready fills that the engine takes: none once the order is void there."""
    if order.told is OrderStatus.VOIDED:
        return []
    if order.told is OrderStatus.FILLED or not order.void_told_raw:
        return ready
    assert order.quantity is not None
    left = order.quantity.raw - order.void_told_raw - order.filled_raw
    for number, fill in enumerate(ready, 1):
        left -= fill.quantity.raw
        if left <= 0:
            return ready[:number]
    return ready


def final_ending(order: Tracked, now: Moment, tick: Tick | None, replaces_id: bool) -> Ending | None:
    """The ending when it can be told: not a tentative one, and not the first half of a replacement."""
    ending = order.ending
    if ending is None or (ending.settles is not None and not passed(ending.settles, now.wall_ns, tick)):
        return None
    half = replaces_id and order.modifies and ending.status is OrderStatus.CANCELED and not ending.confirmed
    return None if half else ending


def reject(order: Tracked, reason: str, ts_event: int, post_only: bool = False) -> Rejected:
    """The order ends rejected."""
    order.told = OrderStatus.REJECTED
    return Rejected(order.key, reason, post_only, ts_event)


def matches(order: Tracked, modify: PendingModify) -> bool:
    """True when the venue has every value the modify asked for."""
    wanted = (modify.quantity, modify.price, modify.trigger_price)
    return all(want is None or want == have for want, have in zip(wanted, order.values, strict=True))


def updated(order: Tracked, ts_event: int) -> Updated:
    """The venue's present values, as the confirmation of a change."""
    assert order.quantity is not None
    if order.legs:
        order.told_venue_id = order.legs[-1]
    order.told_values = order.values
    return Updated(order.key, order.venue_name(), order.quantity, order.price, order.trigger_price, ts_event)


def close_modifies(order: Tracked, now: Moment) -> list[Action]:
    """Changes pending when the order ended: applied where the venue has the values, else refused."""
    actions: list[Action] = []
    for modify in order.modifies:
        if matches(order, modify) and order.values != order.told_values:
            actions.append(updated(order, order.ts_record if order.ts_record > 0 else now.wall_ns))
        else:
            actions.append(ModifyRejected(order.key, "ORDER_CLOSED: the order ended first", now.wall_ns))
    order.modifies.clear()
    return actions


def _accept(order: Tracked, ending: Ending | None) -> Report:
    """The first report: accepted, with the values that were submitted, because an accept loses others."""
    moments = [order.ts_record] if order.ts_record > 0 else []
    moments += [ending.ts_event] if ending is not None else []
    moments += [fill.ts_event for fill in order.waiting.values()]
    order.ts_accepted = order.ts_accepted or min(moments, default=0)
    report = _report(order, OrderStatus.ACCEPTED, order.ts_accepted)
    quantity, price, trigger = order.told_values
    if quantity is None:
        order.told_values = order.values
        return report
    state = evolve(report.state, quantity=quantity, price=price, trigger_price=trigger)
    return evolve(report, state=state)


def _changes(order: Tracked) -> list[Action]:
    """Values the venue changed by itself, or a trigger that was hit."""
    actions: list[Action] = []
    if order.working is OrderStatus.TRIGGERED and order.told is OrderStatus.ACCEPTED:
        actions.append(_report(order, OrderStatus.TRIGGERED, order.ts_record))
    moved = len(order.legs) > 1 and order.told_venue_id in order.legs[:-1]
    if moved:
        actions.append(updated(order, order.ts_record))
    elif order.values != order.told_values:
        order.told_values = order.values
        actions.append(_report(order, order.told, order.ts_record))
    return actions


def _fill(order: Tracked, book: FillBook, ready: list[FillRecord], status: OrderStatus) -> list[Action]:
    for fill in ready:
        count(order, fill)
        book.offer(fill.trade_key)
    actions: list[Action] = [_report(order, status, ready[-1].ts_event, tuple(ready))]
    assert order.quantity is not None
    if order.filled_raw > order.quantity.raw and "overfill" not in order.alarmed:
        order.alarmed.add("overfill")
        actions.append(Alarm("overfill", f"order {order.key} is filled beyond its quantity {order.quantity}"))
    actions += [
        Alarm("fee_unknown", f"fill {fill.trade_key} is reported without its fee")
        for fill in ready
        if fill.fee is None
    ]
    return actions


def _late(
    order: Tracked, book: FillBook, ready: list[FillRecord], full: bool, whole: bool
) -> list[Action]:
    """Fills after the end: the engine takes them, and the last closes the order; not after a rejection."""
    if not ready:
        return []
    if whole and not full and order.told is not OrderStatus.REJECTED:
        actions = _fill(order, book, ready, OrderStatus.PARTIALLY_FILLED)
        order.told = OrderStatus.VOIDED
        return actions
    filled = full and order.told is not OrderStatus.REJECTED
    actions = _fill(order, book, ready, OrderStatus.FILLED if filled else order.told)
    if order.told is OrderStatus.REJECTED:
        actions.append(Alarm("fill_after_rejected", f"order {order.key} was rejected and has a fill"))
    return actions


def count(order: Tracked, fill: FillRecord) -> None:
    """The fill is part of the order's total after this."""
    order.waiting.pop(fill.trade_key, None)
    order.fills[fill.trade_key] = fill
    order.filled_raw += fill.quantity.raw
    order.notional_raw += fill.quantity.raw * fill.price.raw


def _report(order: Tracked, status: OrderStatus, ts_event: int, fills: tuple[FillRecord, ...] = ()) -> Report:
    before = order.told
    order.told = status
    order.ts_last = max(order.ts_last, ts_event)
    if order.told_venue_id is None:
        order.told_venue_id = order.venue_name()
    state = order.snapshot(status, order.filled_raw, order.notional_raw, order.ts_last)
    return Report(state, fills, before)


def modify_result(order: Tracked, record: OrderRecord) -> list[Action]:
    """The end of the oldest pending modify, where this record or the new leg says it."""
    oldest = order.modifies[0]
    if record.modify is ModifyResult.REJECTED:
        order.modifies.remove(oldest)
        return [ModifyRejected(order.key, record.reason or "MODIFY_REJECTED", record.ts_event)]
    # The end of the old leg, or a fill of the new one, does not say which values the new one has.
    current = len(order.legs) > 1 and record.ids.venue_order_id == order.legs[-1]
    moved = current and order.told_venue_id in order.legs[:-1]
    same = record.status in WORKING and oldest.fate is not Fate.LOCAL and matches(order, oldest)
    if record.modify is ModifyResult.APPLIED or moved or (same and order.values != order.told_values):
        order.modifies.remove(oldest)
        if order.quantity is not None and not order.ended:
            return [updated(order, record.ts_event)]
    return []


def untell(order: Tracked, report: Report, book: FillBook, now: Moment) -> None:
    """What the report said is untold again, and is offered again later: soon at first, then slower."""
    for fill in report.fills:
        book.failed(fill.trade_key)
        if order.fills.pop(fill.trade_key, None) is not None:
            order.waiting[fill.trade_key] = fill
            order.filled_raw -= fill.quantity.raw
            order.notional_raw -= fill.quantity.raw * fill.price.raw
    order.told = report.before
    if order.told in UNTOLD:
        # The id was not told either: the next acceptance names the newest, so that no change of it follows.
        order.told_venue_id = None
    order.told_values = (None, None, None)
    order.retry_ns = now.mono_ns + (_RETRY_NS << min(order.retry_tries, 6))
    order.retry_tries += 1
