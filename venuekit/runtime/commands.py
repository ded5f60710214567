"""The commands of one account: checked, tracked, drafted, on their way, and what became of each."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from venuekit.core.denial import (
    STREAM_RECONCILING,
    contingent,
    deny_list,
    deny_modify,
    deny_submit,
)
from venuekit.core.fate import Fate
from venuekit.errors import VenuekitError
from venuekit.interfaces.orders import Cancel, CancelAll, Denied, Modify, Submit
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import Mode
from venuekit.runtime.adoption import facts_of, tracked_of_engine
from venuekit.runtime.dispatcher import CommandKind, Dispatcher, Job
from venuekit.runtime.journal import Intent, plain_ids
from venuekit.runtime.signing import SigningRoom

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity

    from venuekit.core.order_state import Tracked
    from venuekit.core.orders import OrderTracker
    from venuekit.core.reports import Reporter
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.orders import Command, Draft, Prepared, Stamp, Verdict
    from venuekit.interfaces.request import RequestPort
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock, Tick
    from venuekit.interfaces.venue import AccountParts
    from venuekit.runtime.delivery import Delivery
    from venuekit.runtime.dispatcher import CommandSpans, PermitSource, StreamGate
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.sink import ExecutionSink

_NO_IDS = WireIds()


class Commands:
    """Takes what the engine asks for. Nothing here waits; every outcome reaches the tracker or the sink.

    It is the dispatcher's `Listener`: what becomes of a job goes to the tracker as evidence.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        parts: AccountParts,
        symbols: Symbols,
        ports: Mapping[str, RequestPort],
        pacer: PermitSource,
        gates: Mapping[str, StreamGate],
        known: StreamGate,
        tracker: OrderTracker,
        delivery: Delivery,
        reporter: Reporter,
        journal: Journal,
        sink: ExecutionSink,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        on_token_refused: Callable[[], None],
        on_time_refused: Callable[[], Awaitable[bool]],
        spans: CommandSpans | None,
    ) -> None:
        """`known`: whether the private state is; for the others see `Dispatcher`."""
        self.mode = Mode.NORMAL
        """The venue's, as it said last."""
        self._manifest = manifest
        self._codec = parts.orders
        self._symbols = symbols
        self._pacer = pacer
        self._known = known
        self._tracker = tracker
        self._delivery = delivery
        self._reporter = reporter
        self._journal = journal
        self._sink = sink
        self._clock = clock
        self._counters = counters
        self._log = log
        self._signing = SigningRoom(parts.signer, clock)
        self._dispatcher = Dispatcher(
            codec=parts.orders,
            ports=ports,
            pacer=pacer,
            signing=self._signing,
            nonces=manifest.nonces,
            clock=clock,
            counters=counters,
            log=log,
            listener=self,
            on_token_refused=on_token_refused,
            on_time_refused=on_time_refused,
            spans=spans,
            gates=gates,
            known=known,
            wait_ms=manifest.orders.wait_ms if manifest.orders is not None else 0,
        )

    # --- life

    async def start(self) -> None:
        """Stamps rise above those of the journal, and the signer's tables are built."""
        self._dispatcher.stamps.apply_used(self._journal.last_stamp_ns)
        await self._signing.warm()

    async def stop(self) -> None:
        """Nothing is on its way any more; what had not left was answered as not sent."""
        await self._dispatcher.close()
        self._signing.close()

    def apply_tick(self, tick: Tick) -> None:
        """A block of the venue was seen: limits and stamps go by it."""
        self._pacer.apply_height(tick.height)
        self._dispatcher.tick = tick

    # --- asked for

    def submit(self, orders: Sequence[Order]) -> None:
        """Each order was denied, or was reported submitted and is on its way, when this returns."""
        denials = self._denials(orders)
        if any(denials):
            for order, denied in zip(orders, denials, strict=True):
                denied = denied or Denied("ORDER_LIST_DENIED", "another order of the list was denied")
                self._counters.inc("orders.denied")
                self._sink.denied(order, f"{denied.code}: {denied.text}")
            return
        for order in orders:
            self._tracker.open(order)
            self._delivery.orders[order.client_order_id.value] = order
            self._sink.submitted(order)
            self._counters.inc("orders.submitted")
        size = self._manifest.orders.batch_submit if self._manifest.orders is not None else 1
        if size > 1:
            self._dispatch(CommandKind.SUBMIT, Submit(tuple(orders)), _keys(orders))
            return
        for order in orders:
            self._dispatch(CommandKind.SUBMIT, Submit((order,)), _keys([order]))

    def _denials(self, orders: Sequence[Order]) -> list[Denied | None]:
        if not self._known.sendable:
            return [STREAM_RECONCILING for _ in orders]
        whole = deny_list(len(orders), self._manifest, len(orders) > 1 and any(map(contingent, orders)))
        wall_ns = self._clock.venue_ns()
        found = [
            whole
            or self._deny_twice(order)
            or deny_submit(order, self._manifest, self._symbols, wall_ns, self.mode)
            for order in orders
        ]
        if not any(found) and (denied := self._codec.check(Submit(tuple(orders)))):
            return [denied for _ in orders]
        return found

    def _deny_twice(self, order: Order) -> Denied | None:
        name = order.client_order_id.value
        # A node that restarts within one second counts its order ids from the same beginning again.
        if self._tracker.get(name) is None and not self._journal.used(name):
            return None
        return Denied("INVALID_CLIENT_ORDER_ID", f"{name} was used before")

    def modify(
        self, order: Order, quantity: Quantity | None, price: Price | None, trigger_price: Price | None
    ) -> None:
        """The change is on its way or was rejected; None leaves a value as it is."""
        tracked = self._entry(order)
        denied = deny_modify(order, quantity, price, trigger_price, self._manifest, self._symbols)
        command = Modify(order, tracked.ids, quantity, price, trigger_price)
        if denied is None:
            denied = self._codec.check(command) if self._known.sendable else STREAM_RECONCILING
        number = None
        if denied is None:
            number = self._tracker.want_modify(
                tracked.key, quantity, price, trigger_price, self._delivery.now()
            )
            denied = Denied("ORDER_CLOSED", "the order has ended") if number is None else None
        if denied is not None or number is None:
            reason = f"{denied.code}: {denied.text}" if denied is not None else ""
            shown = self._delivery.venue_order_id(tracked.key)
            self._sink.modify_rejected(order, shown, reason, self._clock.venue_ns())
            return
        self._dispatch(CommandKind.MODIFY, command, (tracked.key,), number)

    def cancel(self, orders: Sequence[Order]) -> None:
        """The cancels are on their way, held until the order's id is known, or rejected."""
        wanted = [key for order in orders if (key := self._want_cancel(order)) is not None]
        size = self._manifest.orders.batch_cancel if self._manifest.orders is not None else 1
        if size > 1 and len(wanted) > 1:
            self._dispatch(CommandKind.CANCEL, self._cancel_command(wanted), tuple(wanted))
            return
        for key in wanted:
            self.send_cancel(key)

    def cancel_all(
        self, instrument_id: InstrumentId | None, side: OrderSide | None, open_orders: Sequence[Order]
    ) -> None:
        """Like `cancel` for all of an instrument (None: of the account) and side (None: both).

        `open_orders` are those the caller wants covered; a venue without the command gets one cancel each.
        """
        features = self._manifest.orders
        whole = features is not None and features.cancel_all and (side is None or features.cancel_all_by_side)
        if not whole:
            self.cancel(open_orders)
            return
        wanted = [key for order in open_orders if (key := self._want_cancel(order)) is not None]
        targets = self._cancel_command(wanted).targets
        self._dispatch(CommandKind.CANCEL, CancelAll(instrument_id, side, targets), tuple(wanted))

    def query(self, order: Order) -> None:
        """A look-up is on its way; it ends in a report or in a proven rejection, never in silence."""
        tracked = self._entry(order)
        self._delivery.do(self._tracker.query(tracked.key, self._delivery.now()))

    def _entry(self, order: Order) -> Tracked:
        """What is tracked of an order the engine names, taken over from the engine when it was not."""
        name = order.client_order_id.value
        raw = self._reporter.raw_venue_order_id(order.venue_order_id)
        tracked = self._tracker.get(name) or self._tracker.resolve(WireIds(venue_order_id=raw))
        if tracked is None:
            tracked = tracked_of_engine(order, raw, self._clock.venue_ns() - self._clock.wall_ns())
            for trade_id in order.trade_ids:
                self._tracker.fills.applied(trade_id.value, order.ts_last)
            self._tracker.adopt(tracked, self._delivery.now())
            self._delivery.rearm()
        self._delivery.orders[tracked.key] = order
        return tracked

    def _want_cancel(self, order: Order) -> str | None:
        """The key of an order whose cancel must be sent now, alone or with others."""
        tracked = self._entry(order)
        if tracked.ended:
            shown = self._delivery.venue_order_id(tracked.key)
            reason = f"ORDER_CLOSED: the order is {tracked.told.name}"
            self._sink.cancel_rejected(order, shown, reason, self._clock.venue_ns())
            return None
        send = self._tracker.want_cancel(tracked.key, self._delivery.now())
        if send is not None and tracked.fate is Fate.LOCAL:
            # It waits behind its submit, and must not keep the others from being cancelled.
            self.send_cancel(send.key)
            return None
        return send.key if send is not None else None

    def send_cancel(self, key: str) -> None:
        """The order's cancel is on its way."""
        self._dispatch(CommandKind.CANCEL, self._cancel_command([key]), (key,))

    def _cancel_command(self, keys: Sequence[str]) -> Cancel:
        targets = []
        for key in keys:
            tracked, order = self._tracker.get(key), self._delivery.orders.get(key)
            if tracked is not None and order is not None and not tracked.ended:
                targets.append((order, tracked.ids))
        return Cancel(tuple(targets))

    # --- dispatch

    def _dispatch(self, kind: CommandKind, command: Command, keys: tuple[str, ...], number: int = 0) -> None:
        """Jobs for every request the command needs; what cannot be drafted fails with nothing sent."""
        try:
            drafts = self._codec.draft(command)
        except Exception as error:  # noqa: BLE001 - see below
            # A venue's bug or refusal while drafting: the order must end, and nothing has left.
            self._counters.inc("commands.undrafted")
            self._log.exception("a %s could not be drafted", kind.value)
            for key in keys:
                self._fail(kind, key, number, Evidence.NOT_SENT, f"NOT_SENT: {error}")
            return
        left = set(keys)
        for draft in drafts:
            covers = tuple(key for key in keys if not draft.covers or self._name(key) in draft.covers)
            left.difference_update(covers)
            self._dispatcher.put(
                Job(kind, covers, draft, self._refresh(kind, command, draft, covers), number)
            )
        for key in sorted(left):
            # Nothing of it was drafted, so nothing of it can leave: it must end here, not vanish.
            self._fail(kind, key, number, Evidence.NOT_SENT, "NOT_SENT: the venue drafted no request for it")

    def _name(self, key: str) -> str:
        """The client order id a venue's codec knows the order by."""
        order = self._delivery.orders.get(key)
        return order.client_order_id.value if order is not None else key

    def _refresh(
        self, kind: CommandKind, command: Command, draft: Draft, keys: tuple[str, ...]
    ) -> Callable[[], Draft | None]:
        """Draft anew when it is this command's turn, with the ids known by then."""

        def fresh() -> Draft | None:
            if kind is CommandKind.SUBMIT or not keys:
                return draft
            tracked = [order for key in keys if (order := self._tracker.get(key)) is not None]
            if all(order.ended for order in tracked):
                return None
            if len(keys) > 1 or isinstance(command, CancelAll):
                return draft
            again: Command
            if isinstance(command, Modify):
                again = Modify(
                    command.order, tracked[0].ids, command.quantity, command.price, command.trigger_price
                )
            else:
                again = self._cancel_command(keys)
            drafts = self._codec.draft(again)
            return drafts[0] if drafts else draft

        return fresh

    def on_prepared(self, job: Job, prepared: Prepared, stamp: Stamp) -> None:
        """See `Listener`: on record before the wire, then in the tracker."""
        intents = [intent for key in job.keys if (intent := self._intent(job, key, prepared, stamp))]
        try:
            self._journal.intent(intents)
        except VenuekitError as error:
            if job.kind is not CommandKind.CANCEL:
                raise
            # An order that cannot be taken back is worse than a cancel that no later run knows of.
            self._delivery.journal_failed(error)
        now = self._delivery.now()
        for key in job.keys:
            if job.kind is CommandKind.SUBMIT:
                self._tracker.sending(key, prepared.ids.get(self._name(key), _NO_IDS), now)
            elif job.kind is CommandKind.MODIFY:
                self._tracker.modifying(key, job.number, now)
            else:
                self._tracker.cancelling(key, now)

    def _intent(self, job: Job, key: str, prepared: Prepared, stamp: Stamp) -> Intent | None:
        order = self._delivery.orders.get(key)
        if order is None:
            return None
        ids = prepared.ids.get(self._name(key), _NO_IDS)
        return Intent(job.kind.value, prepared.request.op, facts_of(order), plain_ids(ids), stamp.wall_ns)

    def on_repeated(self, job: Job) -> None:
        """See `Listener`; nothing new is known by that."""

    def on_replied(self, job: Job, prepared: Prepared, verdict: Verdict) -> None:
        """See `Listener`."""
        now = self._delivery.now()
        for key in job.keys:
            outcome = verdict.of(self._name(key))
            self._counters.inc(f"replies.{job.kind.value}.{type(outcome).__name__.lower()}")
            if job.kind is CommandKind.SUBMIT:
                actions = self._tracker.apply_submit(key, outcome, now)
                self._delivery.remember_ids(key)
            elif job.kind is CommandKind.MODIFY:
                actions = self._tracker.apply_modify(key, job.number, outcome, now)
            else:
                actions = self._tracker.apply_cancel(key, outcome, now)
            self._delivery.do(actions)

    def on_failed(self, job: Job, evidence: Evidence, why: str) -> None:
        """See `Listener`."""
        self._counters.inc(f"sends_failed.{job.kind.value}.{evidence.value}")
        for key in job.keys:
            self._fail(job.kind, key, job.number, evidence, why)

    def on_dropped(self, job: Job) -> None:
        """See `Listener`: the order ended while its command waited."""
        for key in job.keys:
            self._fail(job.kind, key, job.number, Evidence.NOT_SENT, "ORDER_CLOSED: the order ended first")

    def _fail(self, kind: CommandKind, key: str, number: int, evidence: Evidence, why: str) -> None:
        now = self._delivery.now()
        if kind is CommandKind.SUBMIT:
            self._delivery.do(self._tracker.apply_submit_failed(key, evidence, why, now))
        elif kind is CommandKind.MODIFY:
            self._delivery.do(self._tracker.apply_modify_failed(key, number, evidence, why, now))
        else:
            self._delivery.do(self._tracker.apply_cancel_failed(key, evidence, now))


def _keys(orders: Sequence[Order]) -> tuple[str, ...]:
    return tuple(order.client_order_id.value for order in orders)
