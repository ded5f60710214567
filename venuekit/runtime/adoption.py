"""Orders in their other forms: a Nautilus order or a journal entry, as what the tracker keeps, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus_trader.model import (
    InstrumentId,
    OrderSide,
    OrderStatus,
    OrderType,
    Price,
    Quantity,
    TimeInForce,
)

from venuekit.core.fate import Fate
from venuekit.core.order_state import ENDED, Tracked, merged_ids, tracked_from
from venuekit.interfaces.records import WireIds
from venuekit.runtime.journal import OpenIntent, OrderFacts, ids_of, legs_of

if TYPE_CHECKING:
    from venuekit.interfaces.model import Order


def facts_of(order: Order) -> OrderFacts:
    """What the journal keeps of an order."""
    price, trigger = getattr(order, "price", None), getattr(order, "trigger_price", None)
    return OrderFacts(
        client_order_id=order.client_order_id.value,
        strategy_id=order.strategy_id.value,
        instrument_id=str(order.instrument_id),
        side=order.side.name,
        order_type=order.order_type.name,
        time_in_force=order.time_in_force.name,
        quantity=str(order.quantity),
        price=str(price) if price is not None else None,
        trigger_price=str(trigger) if trigger is not None else None,
        post_only=bool(getattr(order, "is_post_only", False)),
        reduce_only=order.is_reduce_only,
    )


def tracked_of_intent(entry: OpenIntent) -> Tracked:
    """An order of an earlier run whose end is not proven: the engine does not know it yet."""
    facts = entry.intent.facts
    price = Price.from_str(facts.price) if facts.price is not None else None
    trigger = Price.from_str(facts.trigger_price) if facts.trigger_price is not None else None
    quantity = Quantity.from_str(facts.quantity)
    ids = merged_ids(WireIds(client_order_id=facts.client_order_id), ids_of(entry.ids))
    return Tracked(
        key=facts.client_order_id,
        ours=True,
        ids=ids,
        legs=legs_of(entry.ids),
        told=OrderStatus.INITIALIZED,
        instrument_id=InstrumentId.from_str(facts.instrument_id),
        side=OrderSide.from_str(facts.side),
        order_type=OrderType.from_str(facts.order_type),
        time_in_force=TimeInForce.from_str(facts.time_in_force),
        quantity=quantity,
        price=price,
        trigger_price=trigger,
        post_only=facts.post_only,
        reduce_only=facts.reduce_only,
        told_values=(quantity, price, trigger),
        working=OrderStatus.ACCEPTED if entry.accepted else None,
        fate=Fate.SEEN if entry.accepted else Fate.UNKNOWN,
        sent_wall_ns=entry.intent.ts_ns,
        # Not before it was signed; nobody kept the moment itself.
        ts_accepted=entry.intent.ts_ns if entry.accepted else 0,
    )


def tracked_of_engine(order: Order, raw_venue_order_id: str | None, offset_ns: int = 0) -> Tracked:
    """An order that the engine knows and the tracker does not, e.g. one claimed from an earlier run.

    `offset_ns` is the venue's time minus this machine's, by which the engine stamped it.
    """
    status = order.status
    if status in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_UPDATE):
        status = OrderStatus.PARTIALLY_FILLED if order.filled_qty.raw else OrderStatus.ACCEPTED
    tracked = tracked_from(order, status)
    tracked.ids = merged_ids(tracked.ids, WireIds(venue_order_id=raw_venue_order_id))
    tracked.told_venue_id = raw_venue_order_id
    tracked.id_was_told = True
    unseen = status in (OrderStatus.SUBMITTED, OrderStatus.INITIALIZED) and not order.filled_qty.raw
    tracked.fate = Fate.UNKNOWN if unseen else Fate.SEEN
    # The earlier of both: from then on it is looked for.
    tracked.sent_wall_ns = min(order.ts_init, order.ts_init + offset_ns)
    tracked.ts_accepted = order.ts_accepted or 0
    tracked.ts_last = order.ts_last
    tracked.claimed_raw = tracked.filled_raw = order.filled_qty.raw
    if tracked.filled_raw and (average := order.avg_px) is not None:
        tracked.notional_raw = int(average * tracked.filled_raw * 10**16)
    if not unseen and status not in ENDED:
        tracked.working = status
    return tracked
