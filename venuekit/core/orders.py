"""The order tracker: evidence and time in, actions out. No I/O, no clock.

Evidence of one order may come from the reply, the private stream, a page, a look-up or the journal, in any
order and more than once. It is merged into one state (`Tracked`); `_advance` then says what the engine was
not told yet. So whichever evidence comes first wins, and the later ones change nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import define, field
from nautilus_trader.model import OrderStatus

from venuekit.core.agenda import SOON_NS, Agenda
from venuekit.core.busts import claim, discount, set_aside, take_back, unheard_of, works_again, write_off
from venuekit.core.evidence import (
    contrary,
    deadlines,
    foreign,
    may_work,
    modify_of,
    named,
    newer,
    other_id,
    over,
    own_name,
    reason,
    reveal,
    said_by_failure,
    said_by_record,
    said_by_reply,
)
from venuekit.core.fate import Heard, Then
from venuekit.core.fills import FillBook, Standing
from venuekit.core.lookups import denied_existence, found_open, from_own_words, give_own_words, name_taken
from venuekit.core.order_names import OrderNames
from venuekit.core.order_state import (
    ENDED,
    WORKING,
    Action,
    Alarm,
    CancelRejected,
    Ending,
    ModifyRejected,
    Moment,
    OrderState,
    PendingCancel,
    PendingModify,
    Report,
    SendCancel,
    Tracked,
    settle_baseline,
    take_claim,
    take_facts,
    tracked_from,
)
from venuekit.core.telling import (
    FEE_TRIES,
    UNTOLD,
    close_modifies,
    count,
    modify_result,
    ready_fills,
    reject,
    tell,
    untell,
)
from venuekit.interfaces.orders import Accepted, Outcome, Received, RefusedOutcome
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import BustRecord, FillKind, FillRecord, OrderRecord, Source, WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.time import AfterHeight, AtWall, Tick, passed

if TYPE_CHECKING:
    from nautilus_trader.model import Price, Quantity

    from venuekit.interfaces.manifest import Semantics
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.telemetry import Counters


@define
class OrderTracker:
    """Every order of one account. Methods return what must be done, in order; the caller does it at once."""

    semantics: Semantics
    counters: Counters
    fills: FillBook = field(factory=FillBook)
    most_closed: int = 20_000
    """Ended orders kept for late evidence."""
    closed_floor_ns: int = -1
    """Venue time of the newest forgotten end; an unknown end up to then is nothing new."""
    hold_until_ns: int | None = None
    """Set: a mass status will tell of every order of others that comes until then (monotonic time)."""
    on_forgotten: Callable[[str], None] = field(default=lambda _key: None)
    """Hears the key of every order that is forgotten."""
    _closed: deque[Tracked] = field(factory=deque)
    _by_height: dict[str, Tracked] = field(factory=dict)
    _early_busts: dict[str, int] = field(factory=dict)
    """Busts of fills that no order had by then; a bust is rare, so there are few."""
    _modifies: int = 0
    _names: OrderNames = field(init=False)
    _agenda: Agenda = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._names = OrderNames(self.counters)
        self._agenda = Agenda(self.semantics)

    # --- what is known

    def get(self, key: str) -> Tracked | None:
        """The order under its key, or None."""
        return self._names.get(key)

    def resolve(self, ids: WireIds) -> Tracked | None:
        """The order any of these ids names, or None."""
        return self._names.resolve(ids)

    def order_of(self, record: OrderRecord) -> Tracked | None:
        """The order that this record is of, or None; one that only shares its client id is another."""
        order = self.resolve(record.ids)
        if order is None or foreign(order, record) or self._other_id(order, record.ids):
            return None
        return order

    def _other_id(self, order: Tracked, ids: WireIds) -> bool:
        return not self.semantics.modify_replaces_id and other_id(order, ids)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._names)

    def unresolved(self) -> int:
        """Orders of ours whose submit has no proven outcome."""
        return sum(1 for order in self._names if order.ours and order.told is OrderStatus.SUBMITTED)

    def state_of(self, key: str) -> OrderState | None:
        """The order as the engine was told, for a plain report; None while that would lose something."""
        order = self._names.get(key)
        if order is None or not order.reportable or order.modifies or order.told in UNTOLD:
            return None
        return order.snapshot(order.told, order.filled_raw, order.notional_raw, order.ts_last)

    def next_due_ns(self) -> int | None:
        """Monotonic time at which `apply_time` has something to do, or None."""
        return self._agenda.next_due_ns()

    # --- commands

    def open(self, order: Order) -> None:
        """The order was reported submitted."""
        self._names.add(tracked_from(order, OrderStatus.SUBMITTED))

    def adopt(self, order: Tracked, now: Moment) -> None:
        """An order from the journal or the engine's cache is tracked; one already known stays as it is."""
        if self._names.get(order.key) is None:
            self._names.add(order)
            ids, legs, order.legs = order.ids, order.legs, []
            for leg in legs:
                self._bind(order, WireIds(venue_order_id=leg))
            self._bind(order, ids)
            self._agenda.plan(order, now)

    def reveal(self, key: str, now: Moment) -> list[Action]:
        """The engine may hear of this adopted order now; what an earlier run was told counts as told."""
        order = self._names.get(key)
        if order is None or order.hidden_until_ns is None:
            return []
        reveal(order)
        return self._advance(order, now)

    def hidden(self) -> list[str]:
        """Keys of adopted orders that the engine has not heard of."""
        return [order.key for order in self._names if order.hidden_until_ns is not None]

    def held_fills(self) -> list[FillRecord]:
        """Whole fills of orders that the engine has not heard of, which history may not show yet."""
        held = [order for order in self._names if order.hidden_until_ns is not None]
        return [fill for order in held for fill in order.waiting.values() if fill.fee is not None]

    def sending(self, key: str, ids: WireIds, now: Moment) -> None:
        """The submit of this order goes on the wire now, with these ids."""
        if order := self._names.get(key):
            self._bind(order, ids)
            order.hear(Heard.SENT)
            order.sent_mono_ns, order.sent_wall_ns = now.mono_ns, now.wall_ns
            self._names.sent(order)
            self._agenda.arm(order, now)

    def want_modify(
        self, key: str, quantity: Quantity | None, price: Price | None, trigger: Price | None, now: Moment
    ) -> int | None:
        """The number of the new pending modify; None: the order has ended or is not known."""
        order = self._names.get(key)
        if order is None or order.ended:
            return None
        self._modifies += 1
        order.modifies.append(PendingModify(self._modifies, quantity, price, trigger, now.mono_ns))
        return self._modifies

    def want_cancel(self, key: str, now: Moment) -> SendCancel | None:
        """What to send for this cancel; None: held until the venue id is known, or one is on its way."""
        order = self._names.get(key)
        if order is None or order.ended:
            return None
        order.cancel = cancel = order.cancel or PendingCancel(now.mono_ns)
        nameless = self.semantics.cancel_needs_venue_id and order.ids.venue_order_id is None
        then = cancel.hear(Heard.ASKED_NAMELESS if nameless else Heard.ASKED)
        if then is Then.HOLD:
            self.counters.inc("orders.cancels_held")
        if then is not Then.SEND:
            return None
        cancel.asked_mono_ns = now.mono_ns
        return SendCancel(key)

    def cancelling(self, key: str, now: Moment) -> None:
        """The cancel goes on the wire now."""
        if (order := self._names.get(key)) and order.cancel is not None:
            order.cancel.hear(Heard.SENT)
            order.cancel.asked_mono_ns = now.mono_ns
            order.cancel.tries += 1

    def modifying(self, key: str, number: int, now: Moment) -> None:
        """The modify goes on the wire now."""
        if (order := self._names.get(key)) and (modify := modify_of(order, number)):
            modify.hear(Heard.SENT)
            modify.asked_mono_ns = now.mono_ns

    def query(self, key: str, now: Moment) -> list[Action]:
        """A look-up follows, and ends in a report even when it says nothing new."""
        order = self._names.get(key)
        if order is None:
            return []
        if order.ended and (state := self.state_of(key)) is not None:
            return [Report(state, before=order.told)]
        order.answer_wanted = True
        return [] if order.looking else [self._agenda.look(order, now)]

    # --- replies

    def apply_submit(self, key: str, outcome: Outcome, now: Moment) -> list[Action]:
        """What the reply to a submit says of this order."""
        order = self._names.get(key)
        if order is None:
            return []
        if isinstance(outcome, Accepted | Received):
            ids = outcome.record.ids if isinstance(outcome, Accepted) else outcome.ids
            if self._other_id(order, ids):
                # The reply is about our order, so what came before it was not. The engine has both in one.
                self._names.shared(order, order.legs[-1], "and was taken for it before its reply came")
            self._bind(order, ids)
            order.known(now)
        refused = isinstance(outcome, RefusedOutcome)
        then = order.hear(Heard.REFUSED if refused else said_by_reply(outcome))
        if isinstance(outcome, Accepted):
            return self._take(order, outcome.record, now)
        if isinstance(outcome, RefusedOutcome):
            return self._submit_follows(order, then, reason(outcome), now, outcome.post_only)
        return self._submit_follows(order, then, "", now)

    def apply_modify(self, key: str, number: int, outcome: Outcome, now: Moment) -> list[Action]:
        """What the reply to a modify says of this order."""
        order = self._names.get(key)
        modify = modify_of(order, number) if order is not None else None
        if order is None or modify is None:
            return []
        if isinstance(outcome, Accepted):
            self._bind(order, outcome.record.ids)
            return self._take(order, outcome.record, now)
        why = reason(outcome) if isinstance(outcome, RefusedOutcome) else ""
        return self._modify_heard(order, modify, said_by_reply(outcome), why, now)

    def apply_cancel(self, key: str, outcome: Outcome, now: Moment) -> list[Action]:
        """What the reply to a cancel says of this order."""
        order = self._names.get(key)
        if order is None or order.cancel is None:
            return []
        then = order.cancel.hear(said_by_reply(outcome))
        if isinstance(outcome, Accepted):
            self._bind(order, outcome.record.ids)
            return self._take(order, outcome.record, now)
        actions: list[Action] = []
        if then is Then.REJECT and isinstance(outcome, RefusedOutcome):
            order.cancel = None
            actions.append(CancelRejected(key, reason(outcome), now.wall_ns))
        elif then is Then.DOUBT:
            # Gone is no proof of a refusal: the order may be filled, or not have arrived yet.
            self.counters.inc("orders.cancel_unknown")
        return actions + self._advance(order, now)

    def apply_submit_failed(self, key: str, evidence: Evidence, why: str, now: Moment) -> list[Action]:
        """No reply to the submit came; a refusal only when nothing can have left."""
        order = self._names.get(key)
        if order is None:
            return []
        return self._submit_follows(order, order.hear(said_by_failure(evidence)), why, now)

    def apply_modify_failed(
        self, key: str, number: int, evidence: Evidence, why: str, now: Moment
    ) -> list[Action]:
        """No reply to the modify came."""
        order = self._names.get(key)
        modify = modify_of(order, number) if order is not None else None
        if order is None or modify is None:
            return []
        return self._modify_heard(order, modify, said_by_failure(evidence), why, now)

    def apply_cancel_failed(self, key: str, evidence: Evidence, now: Moment) -> list[Action]:
        """No reply to the cancel came; it is sent again once a look-up shows the order open."""
        order = self._names.get(key)
        if order is None or order.cancel is None:
            return []
        then = order.cancel.hear(said_by_failure(evidence))
        if then is Then.RESEND:
            order.cancel.asked_mono_ns = now.mono_ns - self._agenda.settle_ns
        if then is not Then.NOTHING:
            self.counters.inc("orders.cancel_unknown")
        return self._advance(order, now)

    # --- evidence

    def apply_order(self, record: OrderRecord, now: Moment) -> list[Action]:
        """What one frame or row says about an order, of ours or not."""
        order = self.resolve(record.ids)
        if order is None:
            untouched = record.filled is None or not record.filled.raw
            unseen = untouched and not self._names.may_be_ours(record)
            if record.status in ENDED and (unseen or record.ts_event <= self.closed_floor_ns):
                # It ended out of sight without a fill, and nothing of the account changed. Or it was told and
                # forgotten: its fills have a memory of their own, and a new one brings it back.
                self.counters.inc("orders.unseen_ended")
                return []
            order = self._stranger(record.ids)
        elif foreign(order, record) or self._other_id(order, record.ids):
            return self._take(self._foreign(record, order), record, now)
        self._bind(
            order, record.ids, old_leg=record.status in ENDED and record.status is not OrderStatus.FILLED
        )
        return self._take(order, record, now)

    def apply_fill(self, fill: FillRecord, now: Moment) -> list[Action]:
        """One execution; delivered once, with its order."""
        order = self.resolve(ids := fill.ids if named(fill.ids) else own_name(fill))
        standing = self.fills.standing(fill.trade_key, fill.ts_event)
        if standing is Standing.TOO_OLD:
            self.fills.applied(fill.trade_key, fill.ts_event)
            return [Alarm("fill_too_old", f"fill {fill.trade_key} is older than all fills remembered")]
        if standing is not Standing.NEW:
            self.counters.inc("fills.duplicates")
            busted_ns = self._early_busts.pop(fill.trade_key, None) if order is not None else None
            if order is not None and busted_ns is not None:
                discount(order, fill, busted_ns)
            return [] if order is None else self._advance(order, now)
        if order is None:
            order = self._stranger(ids)
            self.counters.inc("fills.without_order")
        if contrary(order, fill) or self._other_id(order, fill.ids):
            order = self._foreign(fill, order)
        else:
            self._bind(order, ids)
        if fill.ts_event <= order.base_ts:
            self.fills.applied(fill.trade_key, fill.ts_event)
            self.counters.inc("fills.before_baseline")
            return []
        order.hear(Heard.SHOWN)
        order.known(now)
        known = order.waiting.get(fill.trade_key)
        if known is None or known.fee is None:
            order.waiting[fill.trade_key] = fill
        order.instrument_id = order.instrument_id or fill.instrument_id
        if fill.kind is not FillKind.TRADE and not order.reportable:
            from_own_words(order, fill, self.counters)
        return self._advance(order, now)

    def owner(self, trade_key: str) -> Tracked | None:
        """The order that has this fill, delivered or waiting."""
        return next((o for o in self if trade_key in o.fills or trade_key in o.waiting), None)

    def apply_bust(self, bust: BustRecord, now: Moment) -> list[Action]:
        """The fill is void where it was delivered, and is not delivered where it was not."""
        if self.fills.voided(bust.trade_key):
            self.counters.inc("fills.duplicates")
            return []
        order = self.owner(bust.trade_key)
        self.fills.void(bust.trade_key, bust.ts_event)
        if order is None:
            self._early_busts[bust.trade_key] = bust.ts_event
            return unheard_of(bust, self.hold_until_ns is not None and now.mono_ns < self.hold_until_ns)
        self.counters.inc("fills.voided")
        return [*take_back(order, bust, self), *self._advance(order, now)]

    def apply_look_up(
        self, key: str, answer: Found | NotFound, now: Moment, asked: Moment | None = None
    ) -> list[Action]:
        """The answer to a `LookUp`, or to another question of the order, which was `asked` then."""
        order = self._names.get(key)
        if order is None:
            return []
        if asked is None:
            asked, order.looking = order.look_asked or now, False
        order.look_tries += 1
        if isinstance(answer, NotFound):
            return self._not_found(order, answer, asked, now)
        order.denied_existence, order.denied_late_ns = 0, None
        if foreign(order, answer.record) or self._other_id(order, answer.record.ids):
            taken = self._take(self._foreign(answer.record, order), answer.record, now)
            proof = name_taken(order, answer.record, asked, now, self._agenda)
            return taken + proof + self._advance(order, now)
        owner = self.resolve(answer.record.ids)
        if owner is not None and owner is not order and not order.ours:
            # The nameless one is an order of ours: the answer named it.
            self._names.take_in(owner, order)
            order = owner
        self._bind(order, answer.record.ids)
        actions = self._take(order, answer.record, now)
        for fill in answer.fills:
            actions += self.apply_fill(fill, now)
        actions += found_open(order, asked, now, self._agenda)
        if order.answer_wanted and (state := self.state_of(order.key)) is not None:
            order.answer_wanted = False
            if not any(isinstance(action, Report) for action in actions):
                actions.append(Report(state, before=order.told))
        return actions + self._advance(order, now)

    def apply_look_up_failed(self, key: str, now: Moment) -> list[Action]:
        """The look-up brought no answer: that proves nothing, it is asked again."""
        order = self._names.get(key)
        if order is None:
            return []
        order.hear(Heard.SILENT)
        order.looking = False
        order.look_tries += 1
        self.counters.inc("lookups.failed")
        return self._advance(order, now)

    def apply_tick(self, tick: Tick, now: Moment) -> list[Action]:
        """A block of the venue was seen; deadlines in blocks may have passed."""
        if self._agenda.tick is not None and tick.height <= self._agenda.tick.height:
            return []
        self._agenda.tick = tick
        actions: list[Action] = []
        for key, order in list(self._by_height.items()):
            if order.ended and order.ending is not None and order.ending.settles is None:
                del self._by_height[key]
            elif any(isinstance(d, AfterHeight) and passed(d, 0, tick) for d in deadlines(order)):
                actions += self._advance(order, now)
        return actions

    def apply_time(self, now: Moment) -> list[Action]:
        """Everything that fell due."""
        actions: list[Action] = []
        while (order := self._agenda.due(now)) is not None:
            if order.look_due_ns is not None and order.look_due_ns <= now.mono_ns:
                actions.append(self._agenda.look(order, now))
            if order.fills_due_ns is not None and order.fills_due_ns <= now.mono_ns:
                actions += self._agenda.ask_fills(order, now)
                if self._early_busts and order.fills_tries >= FEE_TRIES:
                    write_off(order)
            actions += self._advance(order, now)
        return actions

    # --- delivery

    def delivered(self, report: Report) -> None:
        """The sink took the report: its fills are seen from now on."""
        for fill in report.fills:
            self.fills.applied(fill.trade_key, fill.ts_event)
        if (order := self._names.get(report.state.key)) is not None:
            order.retry_tries = 0

    def undelivered(self, report: Report, now: Moment) -> None:
        """The sink did not take it: all it said is untold again, and is offered again later."""
        order = self._names.get(report.state.key)
        if order is None:
            return
        untell(order, report, self.fills, now)
        self._agenda.arm(order, now)

    def baseline(self, record: OrderRecord, fills: Sequence[FillRecord], now: Moment) -> Tracked:
        """The engine is being told of this order by a mass status: nothing of it is new any more.

        Fills the window did not reach count as told, so that they are never delivered a second time.
        """
        named = self.resolve(record.ids)
        order = self.order_of(record)
        if order is None:
            order = self._foreign(record, named) if named is not None else self._stranger(record.ids)
        self._bind(order, WireIds(venue_order_id=record.ids.venue_order_id) if order.foreign else record.ids)
        order.hidden_until_ns = None
        order.known(now)
        take_facts(order, record)
        order.hear(Heard.SHOWN if fills else said_by_record(order, record))
        order.version, order.ts_record = record.version, record.ts_event
        order.ts_accepted = order.ts_accepted or record.ts_event
        order.ts_last = max(order.ts_last, record.ts_event)
        for fill in fills:
            if fill.trade_key not in order.fills:
                order.waiting.pop(fill.trade_key, None)
                count(order, fill)
                self.fills.applied(fill.trade_key, fill.ts_event)
        claimed = record.filled.raw if record.filled is not None else order.filled_raw
        if claimed > order.filled_raw:
            take_claim(order, record, fills)
        order.claimed_raw = order.filled_raw
        settle_baseline(order, record)
        if order.ended:
            self._retire(order)
        self._agenda.plan(order, now)
        return order

    # --- bookkeeping

    def _stranger(self, ids: WireIds) -> Tracked:
        """An entry for an order that is not ours, or not known to be ours yet."""
        key = ids.client_order_id or ids.venue_order_id or ids.client_ref or ids.tx_hash or "unnamed"
        order = Tracked(key=key, ours=False, ids=ids, told=OrderStatus.INITIALIZED)
        order.hidden_until_ns = self.hold_until_ns
        self._names.add(order)
        return order

    def _foreign(self, said: OrderRecord | FillRecord, namesake: Tracked) -> Tracked:
        """Another session's order under a client id of ours: followed under its venue id, never as ours.

        An alarm says so where nothing but the venue's id tells them apart.
        """
        self.counters.inc("orders.foreign_names")
        ids = WireIds(venue_order_id=said.ids.venue_order_id)
        order = self.resolve(ids) or self._stranger(ids)
        if not order.foreign and namesake.ours and namesake.legs and not contrary(namesake, said):
            self._names.shared(namesake, order.key, "and is told under its venue id")
        order.foreign = True
        self._bind(order, ids)
        return order

    def _bind(self, order: Tracked, ids: WireIds, *, old_leg: bool = False) -> None:
        self._names.bind(order, ids, old_leg=old_leg)
        if any(isinstance(deadline, AfterHeight) for deadline in deadlines(order)):
            self._by_height[order.key] = order

    def _retire(self, order: Tracked) -> None:
        if order.retired:
            return
        order.retired = True
        self._closed.append(order)
        while len(self._closed) > self.most_closed:
            oldest = self._closed.popleft()
            self.closed_floor_ns = max(self.closed_floor_ns, oldest.ts_last)
            self._forget(oldest)

    def _forget(self, order: Tracked) -> None:
        self._names.forget(order)
        self.on_forgotten(order.key)
        self._by_height.pop(order.key, None)

    # --- the steps

    def _take(self, order: Tracked, record: OrderRecord, now: Moment) -> list[Action]:
        """Merge one record into the order, end the modify it answers, and tell what is new."""
        order.known(now)
        if record.filled is not None:
            self._claim(order, record.filled.raw, record.ts_event)
        actions = works_again(order, record)
        if order.hear(said_by_record(order, record)) is Then.ALARM and order.ended:
            status = record.status.name if record.status is not None else "filled"
            text = f"order {order.key} was told as rejected and the venue shows it {status}"
            actions.append(Alarm("order_alive", text))
        if newer(order, record):
            self._absorb(order, record)
        else:
            self.counters.inc("orders.stale_records")
            if record.status in WORKING and order.told in UNTOLD:
                order.working = order.working or record.status
            if order.ending is not None and record.status is order.ending.status:
                order.ending.confirmed |= record.source is Source.LOOKUP
        if order.modifies:
            actions += modify_result(order, record)
        return actions + self._advance(order, now)

    def _claim(self, order: Tracked, filled_raw: int, ts_event: int) -> None:
        if ts_event >= order.said[1]:
            order.said = (filled_raw, ts_event)
        order.claimed_raw = max(order.claimed_raw, claim(order, filled_raw, ts_event))

    def _absorb(self, order: Tracked, record: OrderRecord) -> None:
        leg = record.ids.venue_order_id
        if leg is not None and order.legs and leg != order.legs[-1]:
            # An old leg of a replaced order: its end is not the end of the order, its fills count as any.
            self.counters.inc("orders.old_leg_records")
            return
        order.version = record.version if record.version is not None else order.version
        order.ts_record = record.ts_event
        order.ts_last = max(order.ts_last, record.ts_event)
        status = record.status
        if status in ENDED:
            take_facts(order, record)
            self._end(order, record, status)
        elif status in WORKING and may_work(order):
            take_facts(order, record)
            order.working, order.ending = status, None
        elif status in WORKING:
            self.counters.inc("orders.open_after_end")
        if order.ts_accepted == 0 and status in WORKING:
            order.ts_accepted = record.ts_event

    def _end(self, order: Tracked, record: OrderRecord, status: OrderStatus) -> None:
        if status is OrderStatus.FILLED and order.quantity is not None and record.filled is None:
            self._claim(order, order.quantity.raw, record.ts_event)
        order.ending = Ending(
            status=status,
            ts_event=record.ts_event,
            leg=record.ids.venue_order_id,
            reason=record.reason,
            refusal=record.refusal or status is OrderStatus.REJECTED,
            post_only_refusal=record.post_only_refusal,
            settles=record.settles,
            confirmed=record.source is Source.LOOKUP,
        )
        if isinstance(record.settles, AfterHeight):
            self._by_height[order.key] = order

    def _advance(self, order: Tracked, now: Moment) -> list[Action]:
        """Tell what is new, and plan what to ask."""
        actions = self._names.notes()
        if order.retry_ns is not None and order.retry_ns <= now.mono_ns:
            order.retry_ns = None
        if order.hidden_until_ns is not None and now.mono_ns >= order.hidden_until_ns:
            reveal(order)
        self._names.hold(order, now)
        if order.reportable and order.retry_ns is None and order.hidden_until_ns is None:
            actions += tell(order, self.fills, now, self._agenda.tick, self.semantics.modify_replaces_id)
            for fill in ready_fills(order) if order.told is OrderStatus.VOIDED else ():
                actions += self._set_aside(order, fill, now)
        if order.ended:
            # Told that it ended, whoever asked has an answer.
            order.cancel, order.answer_wanted = None, False
            self._retire(order)
        cancel = order.cancel if order.ids.venue_order_id is not None else None
        if cancel is not None and cancel.hear(Heard.NAMED) is Then.SEND:
            actions.append(SendCancel(order.key))
        self._agenda.plan(order, now)
        return actions

    def _set_aside(self, order: Tracked, fill: FillRecord, now: Moment) -> list[Action]:
        """The engine refuses fills of an order that is void there: told as an order of its own."""
        fill = set_aside(order, fill)
        own = self._stranger(own_name(fill))
        own.hidden_until_ns = None
        self._bind(own, own.ids)
        own.waiting[fill.trade_key] = fill
        own.hear(Heard.SHOWN)
        from_own_words(own, fill, self.counters)
        text = f"order {order.key} is void and has fill {fill.trade_key}, told as order {own.key}"
        return [Alarm("fill_after_void", text), *self._advance(own, now)]

    def _submit_follows(
        self, order: Tracked, then: Then, why: str, now: Moment, post_only: bool = False
    ) -> list[Action]:
        """What the table says that follows for the submit."""
        actions: list[Action] = []
        if then is Then.REJECT:
            actions += [*close_modifies(order, now), reject(order, why, now.wall_ns, post_only)]
        elif then is Then.DOUBT:
            self.counters.inc("orders.submit_unknown")
        elif then is Then.DISBELIEVE:
            self.counters.inc("orders.refused_against_evidence")
        return actions + self._advance(order, now)

    def _modify_heard(
        self, order: Tracked, modify: PendingModify, heard: Heard, why: str, now: Moment
    ) -> list[Action]:
        actions: list[Action] = []
        then = modify.hear(heard)
        if then is Then.REJECT:
            order.modifies.remove(modify)
            actions.append(ModifyRejected(order.key, why, now.wall_ns))
        elif then is Then.DOUBT:
            self.counters.inc("orders.modify_unknown")
        return actions + self._advance(order, now)

    def _not_found(self, order: Tracked, answer: NotFound, asked: Moment, now: Moment) -> list[Action]:
        self.counters.inc("lookups.not_found")
        actions: list[Action] = []
        blank = not (order.ours or order.waiting or order.voids or order.reportable)
        if blank and answer.conclusive:
            # A name without facts, and the venue does not know it: there is nothing to follow.
            order.told = OrderStatus.DENIED
            self._forget(order)
        elif not give_own_words(order, self.counters) and not over(order):
            if answer.conclusive:
                actions += denied_existence(order, asked, now, self._agenda, self.counters)
            else:
                order.hear(Heard.SILENT)
        actions += self._advance(order, now)
        if order.look_due_ns is not None and isinstance(answer.ask_again, AtWall):
            order.look_due_ns = now.mono_ns + max(SOON_NS, answer.ask_again.ns - now.wall_ns)
            self._agenda.arm(order, now)
        return actions
