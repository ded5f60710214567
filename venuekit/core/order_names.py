"""Which order an id names: every id of an order, and what happens when two orders prove to be one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field
from nautilus_trader.model import OrderStatus

from venuekit.core.fate import Fate, Heard
from venuekit.core.order_state import Action, Alarm, Tracked, merged_ids
from venuekit.interfaces.records import WireIds

if TYPE_CHECKING:
    from venuekit.interfaces.telemetry import Counters


@define
class OrderNames:
    """Every order under its key, and under each id that the venue or we have for it."""

    counters: Counters
    _orders: dict[str, Tracked] = field(factory=dict)
    _by_venue: dict[str, Tracked] = field(factory=dict)
    _by_ref: dict[str, Tracked] = field(factory=dict)
    _by_hash: dict[str, Tracked] = field(factory=dict)
    _notes: list[Action] = field(factory=list)

    def get(self, key: str) -> Tracked | None:
        """The order under its key, or None."""
        return self._orders.get(key)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._orders.values()))

    def resolve(self, ids: WireIds) -> Tracked | None:
        """The order any of these ids names, or None."""
        at_venue = self._by_venue.get(ids.venue_order_id) if ids.venue_order_id is not None else None
        if at_venue is not None and at_venue.foreign:
            return at_venue
        if ids.client_order_id is not None and (order := self._orders.get(ids.client_order_id)):
            return order
        if at_venue is not None:
            return at_venue
        if ids.client_ref is not None and (order := self._by_ref.get(ids.client_ref)):
            return order
        return self._by_hash.get(ids.tx_hash) if ids.tx_hash is not None else None

    def add(self, order: Tracked) -> None:
        """The order is known under its key."""
        self._orders[order.key] = order

    def bind(self, order: Tracked, ids: WireIds, *, old_leg: bool = False) -> None:
        """Every id names this order after this; a nameless stranger under one of them is taken in."""
        venue_id = ids.venue_order_id
        if venue_id is not None and venue_id not in order.legs:
            stranger = self._by_venue.get(venue_id)
            if stranger is not None and stranger is not order:
                self.take_in(order, stranger)
            # The end of a leg never seen before, while another one works, is the end of a replaced leg.
            order.legs.insert(
                -1 if old_leg and order.legs and order.working is not None else len(order.legs), venue_id
            )
            self._by_venue[venue_id] = order
            if order.legs[-1] == venue_id:
                order.version = None  # versions count within one leg
        order.ids = merged_ids(order.ids, ids)
        if order.legs and order.ids.venue_order_id != order.legs[-1]:
            order.ids = merged_ids(order.ids, WireIds(venue_order_id=order.legs[-1]))
        if ids.client_ref is not None:
            self._by_ref[ids.client_ref] = order
        if ids.tx_hash is not None:
            self._by_hash[ids.tx_hash] = order

    def take_in(self, order: Tracked, stranger: Tracked) -> None:
        """What was seen of the stranger was seen of this order; an alarm when both were told."""
        if stranger.told is not OrderStatus.INITIALIZED or stranger.ours:
            self.counters.inc("orders.two_names")
            text = f"orders {order.key} and {stranger.key} are one at the venue and were told as two"
            self._notes.append(Alarm("order_told_twice", text))
            return
        if stranger.fate is Fate.SEEN:
            order.hear(Heard.SHOWN)
        order.waiting.update(stranger.waiting)
        order.claimed_raw = max(order.claimed_raw, stranger.claimed_raw)
        stranger.look_due_ns = stranger.fills_due_ns = None
        stranger.told = OrderStatus.DENIED
        self._orders.pop(stranger.key, None)

    def note(self, action: Action) -> None:
        """To be said with what is told next."""
        self._notes.append(action)

    def notes(self) -> list[Action]:
        """What binding found out since this was asked last."""
        found, self._notes = self._notes, []
        return found

    def forget(self, order: Tracked) -> None:
        """No id names the order any more."""
        self._orders.pop(order.key, None)
        for leg in order.legs:
            self._by_venue.pop(leg, None)
        self._by_ref.pop(order.ids.client_ref or "", None)
        self._by_hash.pop(order.ids.tx_hash or "", None)
