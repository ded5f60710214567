"""What the answer to a look-up proves, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus_trader.model import OrderStatus, OrderType, TimeInForce

from venuekit.core.fate import Fate, Heard, Then
from venuekit.core.order_state import (
    WORKING,
    Action,
    Alarm,
    Ending,
    FetchFills,
    ModifyRejected,
    Moment,
    SendCancel,
    Tracked,
)
from venuekit.core.telling import close_modifies, matches, reject, updated
from venuekit.interfaces.time import passed

if TYPE_CHECKING:
    from venuekit.core.agenda import Agenda
    from venuekit.interfaces.records import FillRecord, OrderRecord
    from venuekit.interfaces.telemetry import Counters

_LOOKS_BEFORE_OWN_WORDS = 5
"""After so many look-ups in vain, an execution is reported with an order made from its own facts."""
_CANCEL_TRIES_BEFORE_ALARM = 3
_DENIALS_AFTER_RECEIPT = 3
"""A venue that acknowledged an order must deny it so many times before that is believed."""


def denied_existence(
    order: Tracked, asked: Moment, now: Moment, agenda: Agenda, counters: Counters
) -> list[Action]:
    """A conclusive not-found: it proves a refusal only when it was asked late enough to see the order.

    So it is asked twice: when it was denied first it may have ended a moment ago, and history lags.
    """
    if order.known_mono_ns is not None and asked.mono_ns < order.known_mono_ns:
        # The answer took so long that the venue showed the order meanwhile.
        order.hear(Heard.DENIED_EARLY)
        return []
    order.denied_existence += 1
    settled = _settled(order, asked, agenda)
    often = order.denied_existence >= _DENIALS_AFTER_RECEIPT
    sure = settled and order.fate is not Fate.SEEN and _denied_long_ago(order, asked, agenda)
    then = order.hear((Heard.DENIED_OFTEN if often else Heard.DENIED) if sure else Heard.DENIED_EARLY)
    if then is Then.REJECT:
        counters.inc("orders.proven_absent")
        closed = close_modifies(order, now)
        return [*closed, reject(order, "NOT_FOUND_AT_VENUE: it never took effect", now.wall_ns)]
    return _vanished(order, settled, asked, now, agenda) if then is Then.VANISHED else []


def _denied_long_ago(order: Tracked, asked: Moment, agenda: Agenda) -> bool:
    """True when it was denied late enough before, and what had ended by then shows by now."""
    if order.denied_late_ns is None:
        order.denied_late_ns = asked.mono_ns
    return asked.mono_ns - order.denied_late_ns >= agenda.settle_ns


def _vanished(order: Tracked, settled: bool, asked: Moment, now: Moment, agenda: Agenda) -> list[Action]:
    if settled and agenda.over(order.ids.ends, asked):
        if order.denied_late_ns is None:
            order.denied_late_ns = asked.mono_ns
            return [FetchFills(max(0, order.began_ns - agenda.settle_ns))]
        if not _denied_long_ago(order, asked, agenda):
            return []
        order.ending = Ending(OrderStatus.EXPIRED, now.wall_ns, None, "expired in silence", confirmed=True)
    elif order.denied_existence == 1:
        order.denied_mono_ns = asked.mono_ns
    elif asked.mono_ns - order.denied_mono_ns < agenda.settle_ns:
        # It may have ended just before it was denied first, and history lags.
        return []
    elif order.ours and "vanished" not in order.alarmed:
        order.alarmed.add("vanished")
        return [Alarm("order_vanished", f"the venue had order {order.key} and now denies it")]
    return []


def _settled(order: Tracked, asked: Moment, agenda: Agenda) -> bool:
    """True when the question came late enough: what was sent shows by then, and no unread bytes are taken."""
    if asked.wall_ns - order.sent_wall_ns < agenda.settle_ns:
        return False
    if order.sent_mono_ns is not None and asked.mono_ns - order.sent_mono_ns < agenda.settle_ns:
        # A clock that was set forward meanwhile makes it look long ago.
        return False
    if order.known_mono_ns is not None and asked.mono_ns - order.known_mono_ns < agenda.settle_ns:
        # The submit may have been on its way for long, and have arrived just before the venue said so.
        return False
    lapses = order.ids.lapses
    if lapses is None or order.fate is not Fate.UNKNOWN:
        return True
    # Later by what settles: the venue's clock is not ours, and its lists lag.
    return passed(lapses, asked.wall_ns - agenda.settle_ns, agenda.tick)


def name_taken(
    order: Tracked, record: OrderRecord, asked: Moment, now: Moment, agenda: Agenda
) -> list[Action]:
    """Another order works under our client id: ours is refused, once the answer would show it."""
    # An order that has an id of its own is asked for by that.
    proof = record.status in WORKING and not order.legs and _settled(order, asked, agenda)
    if order.hear(Heard.NAME_TAKEN if proof else Heard.SILENT) is not Then.REJECT:
        return []
    return [reject(order, "CLIENT_ORDER_ID_TAKEN: another order has this id", now.wall_ns)]


def found_open(order: Tracked, asked: Moment, now: Moment, agenda: Agenda) -> list[Action]:
    """What an order found open proves about commands sent long enough before the question."""
    if order.ended or order.ending is not None or order.working is None:
        return []
    actions: list[Action] = []
    cancel = order.cancel
    waited = asked.mono_ns - cancel.asked_mono_ns if cancel is not None else 0
    heard = Heard.OPEN_STILL if waited >= agenda.settle_ns else Heard.SILENT
    if cancel is not None and cancel.hear(heard) is Then.SEND:
        actions.append(SendCancel(order.key))
        if cancel.tries == _CANCEL_TRIES_BEFORE_ALARM:
            actions.append(Alarm("cancel_ignored", f"order {order.key} stays open after its cancels"))
    for modify in list(order.modifies):
        waited = asked.mono_ns - modify.asked_mono_ns
        heard = Heard.OPEN_STILL if waited >= agenda.settle_ns else Heard.SILENT
        if modify.hear(heard) is Then.DECIDE:
            order.modifies.remove(modify)
            if matches(order, modify):
                actions.append(updated(order, now.wall_ns))
            else:
                text = "NOT_APPLIED: the venue has the order with other values"
                actions.append(ModifyRejected(order.key, text, now.wall_ns))
    return actions


def give_own_words(order: Tracked, counters: Counters) -> bool:
    """True when an execution whose order was asked for in vain stands for its order from now on."""
    if order.ours or order.reportable or order.look_tries < _LOOKS_BEFORE_OWN_WORDS or not order.waiting:
        return False
    return from_own_words(order, next(iter(order.waiting.values())), counters)


def from_own_words(order: Tracked, fill: FillRecord, counters: Counters) -> bool:
    """An execution without an order of its own (liquidation, transfer) is one order, filled."""
    if fill.side is None:
        return False
    counters.inc("orders.from_fills")
    order.instrument_id, order.side = fill.instrument_id, fill.side
    order.order_type, order.time_in_force = OrderType.MARKET, TimeInForce.IOC
    order.quantity = fill.quantity
    return True
