"""What the tracker knows of one order, and the actions it asks for; the rules are in `core.orders`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from nautilus_trader.model import OrderSide, OrderStatus, OrderType, Quantity, TimeInForce

from venuekit.core.fate import CANCEL, MODIFY, SUBMIT, Fate, Heard, Then
from venuekit.interfaces.records import FillRecord, OrderRecord, WireIds

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId, Price

    from venuekit.interfaces.model import Order
    from venuekit.interfaces.time import Deadline

RAW_SCALE = 10**16
"""Nautilus keeps prices and quantities as integers of this scale."""

ENDED = frozenset(
    {
        OrderStatus.REJECTED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.FILLED,
        OrderStatus.DENIED,
        OrderStatus.VOIDED,
    }
)
"""Statuses after which only a late fill can follow."""

WORKING = frozenset({OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED})
"""Statuses that prove that the venue has the order open."""


@frozen
class Moment:
    """Now, on both clocks."""

    mono_ns: int
    wall_ns: int


@frozen
class OrderState:
    """One order as it is to be reported: a snapshot."""

    key: str
    client_order_id: str | None
    venue_order_id: str
    """As the venue writes it, without any prefix."""
    instrument_id: InstrumentId
    side: OrderSide
    order_type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    quantity: Quantity
    filled: Quantity
    """The sum of the fills delivered up to and with this report, never more."""
    price: Price | None
    trigger_price: Price | None
    avg_px: Decimal | None
    post_only: bool
    reduce_only: bool
    reason: str
    ts_accepted: int
    ts_last: int


@frozen
class Report:
    """Report this state with these new fills; answer with `delivered` or `undelivered`."""

    state: OrderState
    fills: tuple[FillRecord, ...] = ()
    before: OrderStatus = OrderStatus.INITIALIZED
    """What the engine had been told until then."""


@frozen
class Rejected:
    """The submit had no effect, with proof."""

    key: str
    reason: str
    post_only: bool
    ts_event: int


@frozen
class Updated:
    """A modify was applied."""

    key: str
    venue_order_id: str
    quantity: Quantity
    price: Price | None
    trigger_price: Price | None
    ts_event: int


@frozen
class ModifyRejected:
    """A modify had no effect, with proof."""

    key: str
    reason: str
    ts_event: int


@frozen
class CancelRejected:
    """A cancel had no effect, with proof."""

    key: str
    reason: str
    ts_event: int


@frozen
class SendCancel:
    """Send the cancel of this order now: its id became known, or an earlier one had no effect."""

    key: str


@frozen
class LookUp:
    """Ask the venue about this order."""

    key: str
    ids: WireIds
    since_wall_ns: int


@frozen
class FetchFills:
    """Read the fills of the account since this moment: some that are known to exist did not arrive."""

    since_wall_ns: int


@frozen
class FillVoided:
    """The venue took a delivered fill back."""

    state: OrderState
    fill: FillRecord
    side: OrderSide
    ts_event: int


@frozen
class Alarm:
    """No evidence explains this: a person must see it."""

    kind: str
    text: str


type Action = (
    Report
    | Rejected
    | Updated
    | ModifyRejected
    | CancelRejected
    | SendCancel
    | LookUp
    | FetchFills
    | FillVoided
    | Alarm
)


@define
class PendingModify:
    """A modify without a proven end."""

    number: int
    quantity: Quantity | None
    price: Price | None
    trigger_price: Price | None
    asked_mono_ns: int
    fate: Fate = Fate.LOCAL

    def hear(self, heard: Heard) -> Then:
        """The fate has moved by this evidence; what follows."""
        self.fate, then = MODIFY.next(self.fate, heard)
        return then


@define
class PendingCancel:
    """A cancel without a proven end."""

    asked_mono_ns: int
    fate: Fate = Fate.NONE
    tries: int = 0

    def hear(self, heard: Heard) -> Then:
        """The fate has moved by this evidence; what follows."""
        self.fate, then = CANCEL.next(self.fate, heard)
        return then


@define
class Ending:
    """A terminal status the venue gave, and what it says of it."""

    status: OrderStatus
    ts_event: int
    leg: str | None
    reason: str = ""
    refusal: bool = False
    post_only_refusal: bool = False
    settles: Deadline | None = None
    confirmed: bool = False
    """A look-up said it, so that it is not half of a replacement."""


@frozen
class Void:
    """Quantity that the venue took back, and the venue's time of that."""

    raw: int
    ts_event: int


@define(eq=False)
class Tracked:
    """Everything known of one order. Compared by identity."""

    key: str
    """The client order id; for orders of others, the client or venue id the venue showed first."""
    ours: bool
    ids: WireIds
    told: OrderStatus
    """The status the engine was told last; `INITIALIZED`: nothing yet."""
    instrument_id: InstrumentId | None = None
    side: OrderSide | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    quantity: Quantity | None = None
    price: Price | None = None
    trigger_price: Price | None = None
    post_only: bool = False
    reduce_only: bool = False
    told_venue_id: str | None = None
    told_values: tuple[Quantity | None, Price | None, Price | None] = (None, None, None)
    fate: Fate = Fate.LOCAL
    """Of its submit."""
    sent_mono_ns: int | None = None
    sent_wall_ns: int = 0
    working: OrderStatus | None = None
    """The newest working status the venue gave."""
    ending: Ending | None = None
    version: int | None = None
    ts_record: int = -1
    ts_accepted: int = 0
    ts_last: int = 0
    claimed_raw: int = 0
    """The most filled quantity the venue ever claimed."""
    filled_raw: int = 0
    """The sum of delivered fills."""
    notional_raw: int = 0
    fills: dict[str, FillRecord] = field(factory=dict)
    """Delivered fills."""
    waiting: dict[str, FillRecord] = field(factory=dict)
    """Fills known and not delivered yet."""
    voids: list[Void] = field(factory=list)
    """What the venue took back; its order records may go on claiming it."""
    voids_dropped: bool = False
    """A record was seen that does not go on claiming it."""
    said: tuple[int, int] = (0, -1)
    """The filled quantity that the newest record said, and that record's time."""
    aside: list[FillRecord] = field(factory=list)
    """Fills that the engine refuses on this order; each is an order of its own there."""
    void_told_raw: int = 0
    """The part of it that the engine had: it works no more there, as if it were filled."""
    id_was_told: bool = False
    """The venue id is known from the engine alone, which may have been told another name of the order."""
    legs: list[str] = field(factory=list)
    """Venue order ids of this order, the current one last."""
    modifies: list[PendingModify] = field(factory=list)
    cancel: PendingCancel | None = None
    look_due_ns: int | None = None
    look_tries: int = 0
    look_asked: Moment | None = None
    looking: bool = False
    answer_wanted: bool = False
    """Somebody asked: the next look-up ends in a report even when it says nothing new."""
    fills_due_ns: int | None = None
    fills_tries: int = 0
    denied_existence: int = 0
    """Conclusive not-found answers in a row for an order the venue once had."""
    denied_mono_ns: int = 0
    """When the first of them was asked for."""
    known_mono_ns: int | None = None
    """When the venue last said that it has the order: what it denied before proves nothing."""
    denied_late_ns: int | None = None
    """When it was first asked for late enough, and denied; monotonic, None once it was found again."""
    retry_ns: int | None = None
    """A report was not taken; offer it again then."""
    retry_tries: int = 0
    armed_ns: int | None = None
    """The timer that is set for this order."""
    base_ts: int = -1
    """Fills up to this venue time were part of a mass status."""
    hidden_until_ns: int | None = None
    """Set: an order of an earlier run, left to the mass status until this monotonic time."""
    held_until_ns: int | None = None
    """Set: an order of others that may be one of ours is not told before, unless it proves to be none."""
    retired: bool = False
    foreign: bool = False
    """Another session's order under a client id that we used too: named by its venue id alone."""
    alarmed: set[str] = field(factory=set)

    @property
    def ended(self) -> bool:
        """True once the engine was told a terminal status."""
        return self.told in ENDED

    def hear(self, heard: Heard) -> Then:
        """The fate of the submit has moved by this evidence; what follows."""
        self.fate, then = SUBMIT.next(self.fate, heard)
        return then

    def known(self, now: Moment) -> None:
        """The venue says that it has the order, or had it: from here on it may begin to deny it."""
        self.denied_existence, self.denied_late_ns, self.known_mono_ns = 0, None, now.mono_ns

    @property
    def began_ns(self) -> int:
        """Nothing of it happened before; our own time of sending, which may be set wrong, is not enough."""
        times = (self.sent_wall_ns, self.ts_accepted, self.ts_record, self.ts_last)
        return min((time for time in times if time > 0), default=0)

    @property
    def voided_raw(self) -> int:
        """Quantity the venue took back."""
        return sum(void.raw for void in self.voids)

    @property
    def waiting_raw(self) -> int:
        """Quantity of fills not delivered yet."""
        return sum(fill.quantity.raw for fill in self.waiting.values())

    @property
    def reportable(self) -> bool:
        """True when every fact a report needs is known; a type nobody says is read off the price."""
        return None not in (self.instrument_id, self.side, self.quantity)

    @property
    def values(self) -> tuple[Quantity | None, Price | None, Price | None]:
        """What a modify can change, as the venue has it."""
        return (self.quantity, self.price, self.trigger_price)

    def venue_name(self) -> str:
        """One stable name of this order at the venue: the first id that was told, else the best one known."""
        if self.told_venue_id is not None:
            return self.told_venue_id
        ids = self.ids
        return ids.venue_order_id or ids.client_ref or ids.tx_hash or ids.client_order_id or self.key

    def snapshot(self, status: OrderStatus, filled_raw: int, notional_raw: int, ts_last: int) -> OrderState:
        """The order as it is to be reported with this status and fill total."""
        assert self.instrument_id is not None
        assert self.side is not None
        assert self.quantity is not None
        average = Decimal(notional_raw) / (filled_raw * RAW_SCALE) if filled_raw and notional_raw else None
        return OrderState(
            key=self.key,
            client_order_id=self.key if self.ours else None if self.foreign else self.ids.client_order_id,
            venue_order_id=self.venue_name(),
            instrument_id=self.instrument_id,
            side=self.side,
            order_type=self.order_type or (OrderType.MARKET if self.price is None else OrderType.LIMIT),
            time_in_force=self.time_in_force or TimeInForce.GTC,
            status=status,
            quantity=self.quantity,
            filled=Quantity.from_raw(filled_raw, self.quantity.precision),
            price=self.price,
            trigger_price=self.trigger_price,
            avg_px=average,
            post_only=self.post_only,
            reduce_only=self.reduce_only,
            reason=self.ending.reason if self.ending is not None else "",
            ts_accepted=self.ts_accepted or ts_last,
            ts_last=ts_last,
        )


def tracked_from(order: Order, told: OrderStatus) -> Tracked:
    """A fresh entry for an order of ours."""
    name = order.client_order_id.value
    price: Price | None = getattr(order, "price", None)
    trigger: Price | None = getattr(order, "trigger_price", None)
    return Tracked(
        key=name,
        ours=True,
        ids=WireIds(client_order_id=name),
        told=told,
        instrument_id=order.instrument_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        quantity=order.quantity,
        price=price,
        trigger_price=trigger,
        post_only=bool(getattr(order, "is_post_only", False)),
        reduce_only=order.is_reduce_only,
        told_values=(order.quantity, price, trigger),
    )


def merged_ids(old: WireIds, new: WireIds) -> WireIds:
    """Both, where they say something; the newer wins on the venue's own ids."""
    if new == old:
        return old
    return WireIds(
        client_order_id=old.client_order_id or new.client_order_id,
        client_ref=old.client_ref or new.client_ref,
        venue_order_id=new.venue_order_id or old.venue_order_id,
        tx_hash=new.tx_hash or old.tx_hash,
        nonce=new.nonce if new.nonce is not None else old.nonce,
        ends=new.ends or old.ends,
        lapses=new.lapses or old.lapses,
    )


def take_claim(order: Tracked, record: OrderRecord, fills: Sequence[FillRecord]) -> None:
    """What the record claims counts as told, at the average it gives: its other fills are out of reach.

    A fill that is older than the record is one of them, however late it comes.
    """
    claimed = record.filled.raw if record.filled is not None else 0
    if record.avg_px is not None:
        order.notional_raw = int(Decimal(record.avg_px) * RAW_SCALE) * claimed
    elif order.filled_raw:
        order.notional_raw = order.notional_raw * claimed // order.filled_raw
    order.filled_raw = claimed
    # Records may be dated in milliseconds and fills finer: the whole millisecond belongs to the record.
    end_ns = record.ts_event // 1_000_000 * 1_000_000 + 999_999
    order.base_ts = max(end_ns, *(fill.ts_event for fill in fills), 0)


def settle_baseline(order: Tracked, record: OrderRecord) -> None:
    """The status that the record gives, with the fills counted so far, is the one that was told."""
    status = record.status
    if status in ENDED:
        order.ending = Ending(status, record.ts_event, record.ids.venue_order_id, record.reason)
        order.told = status
    elif order.quantity is not None and order.filled_raw >= order.quantity.raw > 0:
        # The record is older than the last fill: the engine ends the order with that.
        order.told = OrderStatus.FILLED
    elif status in WORKING or order.filled_raw:
        order.working = status if status in WORKING else OrderStatus.PARTIALLY_FILLED
        order.told = OrderStatus.PARTIALLY_FILLED if order.filled_raw else OrderStatus.ACCEPTED
    order.told_venue_id = order.venue_name()
    order.told_values = order.values


def take_facts(order: Tracked, record: OrderRecord) -> None:
    """What the record says of the order itself is known after this.

    Of our own orders only what the venue or a modify can change is taken: a venue that writes a market order
    as a limit at its price band does not turn ours into one.
    """
    order.quantity = record.quantity or order.quantity
    if not order.ours or order.price is not None:
        order.price = record.price or order.price
    if not order.ours or order.trigger_price is not None:
        order.trigger_price = record.trigger_price or order.trigger_price
    if order.ours:
        return
    order.instrument_id = record.instrument_id or order.instrument_id
    order.side = record.side or order.side
    order.order_type = record.order_type or order.order_type
    order.time_in_force = record.time_in_force or order.time_in_force
    if record.post_only is not None:
        order.post_only = record.post_only
    if record.reduce_only is not None:
        order.reduce_only = record.reduce_only
