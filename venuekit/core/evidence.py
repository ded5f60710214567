"""Judging evidence: which of two records is newer, whose it is, and what a nameless fill is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus_trader.model import OrderStatus

from venuekit.core.fate import Fate, Heard
from venuekit.core.order_state import ENDED, WORKING, PendingModify, Tracked
from venuekit.interfaces.orders import Accepted, Received, RefusedOutcome
from venuekit.interfaces.records import FillRecord, OrderRecord, WireIds
from venuekit.interfaces.request import Evidence

if TYPE_CHECKING:
    from venuekit.interfaces.orders import Outcome
    from venuekit.interfaces.time import Deadline

_MS = 1_000_000

RANK = {
    OrderStatus.SUBMITTED: 0,
    OrderStatus.ACCEPTED: 1,
    OrderStatus.TRIGGERED: 2,
    OrderStatus.PARTIALLY_FILLED: 3,
    OrderStatus.REJECTED: 4,
    OrderStatus.CANCELED: 4,
    OrderStatus.EXPIRED: 4,
    OrderStatus.FILLED: 4,
}


def newer(order: Tracked, record: OrderRecord) -> bool:
    """True when the record is at least as new as the state; among equals no status goes back."""
    if order.ended and record.status not in ENDED:
        return False
    if record.version is not None and order.version is not None and record.version != order.version:
        return record.version > order.version
    versions = record.version is not None and order.version is not None
    if not versions and not one_moment(record.ts_event, order.ts_record):
        return record.ts_event > order.ts_record
    if order.ending is not None and order.ending.settles is None:
        # Where a change ends one leg and begins the next, both may have one time.
        return _next_leg(order, record)
    return RANK.get(record.status or OrderStatus.SUBMITTED, 0) >= RANK.get(
        order.working or OrderStatus.SUBMITTED, 0
    )


def one_moment(one_ns: int, other_ns: int) -> bool:
    """True when it cannot be said which was first: a road that gives milliseconds says no more than that."""
    whole = one_ns % _MS == 0 or other_ns % _MS == 0
    return one_ns // _MS == other_ns // _MS if whole else one_ns == other_ns


def _next_leg(order: Tracked, record: OrderRecord) -> bool:
    leg = record.ids.venue_order_id
    return may_work(order) and leg is not None and leg == order.legs[-1]


def said_by_reply(outcome: Outcome) -> Heard:
    """What a reply is to the fate of its command."""
    if isinstance(outcome, Accepted | Received):
        return Heard.RECEIVED
    if isinstance(outcome, RefusedOutcome):
        return Heard.GONE if outcome.gone else Heard.REFUSED
    return Heard.AMBIGUOUS


def said_by_failure(evidence: Evidence) -> Heard:
    """What the lack of a reply is to the fate of its command."""
    return Heard.NOT_SENT if evidence is Evidence.NOT_SENT else Heard.MAYBE_SENT


def said_by_record(order: Tracked, record: OrderRecord) -> Heard:
    """What a record is to the fate of the submit; an old frame is nothing against a later refusal."""
    status = record.status
    filled = status is OrderStatus.FILLED or (record.filled is not None and record.filled.raw > 0)
    if status in WORKING or filled:
        end = order.ending
        late = order.told is OrderStatus.REJECTED and end is not None and record.ts_event <= end.ts_event
        return Heard.SILENT if late and not filled else Heard.SHOWN
    if status in ENDED:
        return Heard.DECLINED if record.refusal or status is OrderStatus.REJECTED else Heard.CLOSED
    return Heard.UNDECIDED if status is OrderStatus.SUBMITTED else Heard.SILENT


def modify_of(order: Tracked, number: int) -> PendingModify | None:
    """The pending modify of this number, or None when it has ended."""
    return next((modify for modify in order.modifies if modify.number == number), None)


def reason(outcome: RefusedOutcome) -> str:
    """The venue's code and text in one line."""
    if outcome.text and outcome.text != outcome.code:
        return f"{outcome.code}: {outcome.text}"
    return outcome.code


def named(ids: WireIds) -> bool:
    """True when any id names an order."""
    return bool(ids.client_order_id or ids.venue_order_id or ids.client_ref or ids.tx_hash)


def own_name(fill: FillRecord) -> WireIds:
    """The order of an execution without one, named after the execution: the same on every replay."""
    return WireIds(venue_order_id=f"{fill.kind.value}-{fill.trade_key}")


def deadlines(order: Tracked) -> list[Deadline]:
    """The moments at which this order changes without a further word of the venue."""
    found = [order.ids.ends, order.ending.settles if order.ending is not None else None]
    return [deadline for deadline in found if deadline is not None]


def may_work(order: Tracked) -> bool:
    """True unless the order has a final end; a tentative cancel may not happen, a replaced leg is no end."""
    ending = order.ending
    if order.ended or ending is None:
        return not order.ended
    return ending.settles is not None or (ending.leg is not None and ending.leg != order.legs[-1])


def over(order: Tracked) -> bool:
    """True when an end is known, told or not."""
    return order.ended or order.ending is not None


def reveal(order: Tracked) -> None:
    """No mass status will tell of it: what was filled and is not waiting was told to an earlier engine.

    An order of others was told to nobody.
    """
    order.hidden_until_ns = None
    if order.ours:
        order.filled_raw = max(0, order.claimed_raw - order.waiting_raw)


def foreign(order: Tracked, record: OrderRecord) -> bool:
    """True when a record under our client id describes an order that ours can never have become.

    A venue may trim or reprice an order of ours, so one differing value alone is no sign; a venue id we know
    is ours whatever it says.
    """
    if contrary(order, record):
        return True
    if not order.ours or order.modifies or order.fate is Fate.SEEN or record.ids.venue_order_id is None:
        return False
    same_tx = record.ids.tx_hash is not None and record.ids.tx_hash == order.ids.tx_hash
    if same_tx or record.ids.venue_order_id in order.legs:
        return False
    mine, theirs = order.quantity, record.quantity
    larger = mine is not None and theirs is not None and theirs.raw > mine.raw
    smaller = mine is not None and theirs is not None and theirs.raw < mine.raw
    repriced = None not in (order.price, record.price) and record.price != order.price
    return larger or (smaller and repriced)


def other_id(order: Tracked, ids: WireIds) -> bool:
    """True when they name the order by its client id, and the venue's id is not the order's.

    Where orders keep their ids this is another order of the same name, be the rest as it may.
    """
    if order.id_was_told or not order.legs or ids.venue_order_id is None:
        return False
    same_tx = ids.tx_hash is not None and ids.tx_hash == order.ids.tx_hash
    return not same_tx and ids.venue_order_id not in order.legs


def contrary(order: Tracked, said: OrderRecord | FillRecord) -> bool:
    """True when it names our order by our client id alone, with a side or a market that no order changes."""
    ids = said.ids
    same_tx = ids.tx_hash is not None and ids.tx_hash == order.ids.tx_hash
    if not order.ours or same_tx or ids.venue_order_id is None or ids.venue_order_id in order.legs:
        return False
    other_side = said.side is not None and said.side != order.side
    return other_side or (said.instrument_id is not None and said.instrument_id != order.instrument_id)
