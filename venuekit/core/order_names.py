"""Which order an id names: every id of an order, and what happens when two orders prove to be one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field
from nautilus_trader.model import OrderStatus

from venuekit.core.busts import take_over_fills
from venuekit.core.fate import Fate, Heard, Then
from venuekit.core.order_state import Action, Alarm, Moment, Tracked, merged_ids
from venuekit.interfaces.records import WireIds

if TYPE_CHECKING:
    from venuekit.interfaces.records import OrderRecord
    from venuekit.interfaces.telemetry import Counters

HOLD_NS = 10_000_000_000
"""A nameless order that may be ours is told as somebody else's after this long all the same."""

_ASK_NS = 100_000_000
"""So often it is asked whether it still may be."""


@define
class OrderNames:
    """Every order under its key, and under each id that the venue or we have for it."""

    counters: Counters
    _orders: dict[str, Tracked] = field(factory=dict)
    _by_venue: dict[str, Tracked] = field(factory=dict)
    _by_ref: dict[str, Tracked] = field(factory=dict)
    _by_hash: dict[str, Tracked] = field(factory=dict)
    _flying: dict[str, Tracked] = field(factory=dict)
    """Orders of ours that were sent, and that no venue id names yet."""
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

    def sent(self, order: Tracked) -> None:
        """The order is on the wire: what the venue says without a client id may be about it."""
        if not order.legs:
            self._flying[order.key] = order

    def may_be_ours(self, said: Tracked | OrderRecord) -> bool:
        """True while an order of ours without a venue id may be the one that this says no client id of."""
        if said.ids.client_order_id is not None or said.ids.client_ref is not None:
            return False
        for order in list(self._flying.values()):
            if order.ended or order.legs:
                del self._flying[order.key]
            elif (said.instrument_id, said.side, said.quantity) == (
                order.instrument_id,
                order.side,
                order.quantity,
            ):
                return True
        return False

    def hold(self, order: Tracked, now: Moment) -> None:
        """An order that may be one of ours is not told as another: the reply says, or a bound passes."""
        if order.ours or order.foreign or order.told is not OrderStatus.INITIALIZED:
            return
        if order.hidden_until_ns is not None:
            return
        if self.may_be_ours(order):
            order.held_until_ns = order.held_until_ns or now.mono_ns + HOLD_NS
            if now.mono_ns < order.held_until_ns:
                order.hidden_until_ns = min(order.held_until_ns, now.mono_ns + _ASK_NS)
        elif order.held_until_ns is not None and order.ending is not None and not _filled(order):
            # It is nobody's here: no news. If a fill of it comes after all, that makes it known again.
            self.counters.inc("orders.unseen_ended")
            order.told, order.retired = OrderStatus.DENIED, True
            self.forget(order)

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
            self._flying.pop(order.key, None)
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
        heard = {Fate.SEEN: Heard.SHOWN, Fate.REFUSED: Heard.DECLINED}.get(stranger.fate)
        if heard is not None and order.hear(heard) is Then.ALARM and order.ended:
            text = f"order {order.key} was told as rejected and the venue shows it"
            self._notes.append(Alarm("order_alive", text))
        take_over_fills(order, stranger)
        order.ts_accepted = order.ts_accepted or stranger.ts_accepted
        if stranger.ts_record > order.ts_record:
            _take_over(order, stranger)
        if stranger.ids.client_ref is not None:
            self._by_ref[stranger.ids.client_ref] = order
        if stranger.ids.tx_hash is not None:
            self._by_hash[stranger.ids.tx_hash] = order
        # Nothing is told of it, and no id is forgotten with it, whatever timer it has.
        stranger.look_due_ns = stranger.fills_due_ns = stranger.hidden_until_ns = None
        stranger.told, stranger.ids = OrderStatus.DENIED, WireIds()
        stranger.waiting.clear()
        for leg in stranger.legs:
            self._by_venue[leg] = order
        stranger.legs.clear()
        self._orders.pop(stranger.key, None)

    def shared(self, order: Tracked, other: str, what: str) -> None:
        """An alarm follows: two programs use one client id."""
        text = f"order {other} of another program has the client id {order.key} of an order of ours, {what}"
        self._notes.append(Alarm("client_id_shared", text))

    def notes(self) -> list[Action]:
        """What binding found out since this was asked last."""
        found, self._notes = self._notes, []
        return found

    def forget(self, order: Tracked) -> None:
        """No id names the order any more."""
        self._orders.pop(order.key, None)
        self._flying.pop(order.key, None)
        for leg in order.legs:
            self._by_venue.pop(leg, None)
        self._by_ref.pop(order.ids.client_ref or "", None)
        self._by_hash.pop(order.ids.tx_hash or "", None)


def _filled(order: Tracked) -> bool:
    return bool(order.claimed_raw or order.waiting or order.voids)


def _take_over(order: Tracked, stranger: Tracked) -> None:
    """What the newest record said of the order while nothing named it."""
    order.ts_record = stranger.ts_record
    order.ts_last = max(order.ts_last, stranger.ts_last)
    order.working = stranger.working or order.working
    order.ending = stranger.ending or order.ending
    order.quantity = stranger.quantity or order.quantity
    if order.price is not None:
        order.price = stranger.price or order.price
    if order.trigger_price is not None:
        order.trigger_price = stranger.trigger_price or order.trigger_price
