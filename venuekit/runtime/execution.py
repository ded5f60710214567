"""The execution service of every venue: Nautilus orders and evidence in, one tracker, events out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from venuekit.core.denial import (
    STREAM_RECONCILING,
    contingent,
    deny_list,
    deny_modify,
    deny_submit,
)
from venuekit.core.fate import Fate
from venuekit.core.order_state import ENDED
from venuekit.core.orders import OrderTracker
from venuekit.core.reconcile import PositionBook
from venuekit.core.reports import Reporter
from venuekit.errors import VenuekitError
from venuekit.interfaces.manifest import PortKind
from venuekit.interfaces.orders import Cancel, CancelAll, Denied, Modify, Submit
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    MoneyMoved,
    OrderRecord,
    PositionRecord,
    WireIds,
)
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import Lost, Mode, Quarantined, StreamReply, VenueMode, Window
from venuekit.interfaces.time import Tick
from venuekit.runtime.account_reads import AccountReads
from venuekit.runtime.account_reports import AccountReports, bust_of, end_of, name_of
from venuekit.runtime.adoption import facts_of, tracked_of_engine, tracked_of_intent
from venuekit.runtime.balances import Balances
from venuekit.runtime.cross_check import CrossCheck
from venuekit.runtime.delivery import Delivery, Roads
from venuekit.runtime.dispatcher import (
    CommandKind,
    CommandSpans,
    Dispatcher,
    Job,
    PermitSource,
    StreamGate,
    clock_was_right,
)
from venuekit.runtime.journal import Intent, plain_ids
from venuekit.runtime.mass_status import MassStatusParts
from venuekit.runtime.recovery import BALANCE, Recovery
from venuekit.runtime.session import SessionState
from venuekit.runtime.signing import SigningRoom
from venuekit.runtime.tasks import TaskScope

if TYPE_CHECKING:
    from nautilus_trader.model import (
        AccountId,
        FillReport,
        InstrumentId,
        OrderSide,
        OrderStatusReport,
        PositionStatusReport,
        Price,
        Quantity,
    )

    from venuekit.core.order_state import Tracked
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.orders import Command, Draft, Prepared, Stamp, Verdict
    from venuekit.interfaces.reconciliation import Found, NotFound
    from venuekit.interfaces.request import RequestPort
    from venuekit.interfaces.stream import Decoded
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel as Timer
    from venuekit.interfaces.time import Clock
    from venuekit.interfaces.venue import AccountParts
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.sink import ExecutionSink

__all__ = ["ExecutionService", "MassStatusParts", "PermitSource", "PrivateSession"]

_NO_IDS = WireIds()
_HIDDEN_NS = 120_000_000_000
"""Orders of an earlier run wait this long for a mass status before they are reported on their own."""


class PrivateSession(StreamGate, Protocol):
    """What the service needs of the private stream's session; it starts and stops it."""

    async def start(self) -> None:
        """Live for the first time after this."""
        ...

    async def stop(self) -> None:
        """Closed after this."""
        ...

    def reconnect(self, why: str) -> None:
        """The connection ends and another one is opened at once."""
        ...


class ExecutionService:
    """Drives the order tracker over a venue's parts. Commands never wait; every outcome reaches the sink.

    The composition root gives the private session `on_decoded` and `on_session_state` of this object, either
    directly or through a closure, because each needs the other.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        parts: AccountParts,
        symbols: Symbols,
        session: PrivateSession,
        ports: Mapping[str, RequestPort],
        resolve: Callable[[StreamReply], bool],
        pacer: PermitSource,
        journal: Journal,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        sink: ExecutionSink,
        account_id: AccountId,
        on_token_refused: Callable[[], None] = lambda: None,
        on_time_refused: Callable[[], Awaitable[bool]] = clock_was_right,
        spans: CommandSpans | None = None,
    ) -> None:
        """`ports` by the names of the manifest; `resolve` hands a stream reply to the port that waits for it.

        `on_token_refused` runs when a command's reply refuses the token, before the command is stamped anew;
        `on_time_refused` when it refuses the time, and says whether that was wrong.
        """
        self._manifest = manifest
        self._codec = parts.orders
        self._symbols = symbols
        self._session = session
        self._resolve = resolve
        self._pacer = pacer
        self._journal = journal
        self._clock = clock
        self._counters = counters
        self._log = log
        self._sink = sink
        self._mode = Mode.NORMAL
        self._stopped = False
        self._timer: Timer | None = None
        self._timer_ns: int | None = None
        self._fills_since: int | None = None
        self._scope = TaskScope("execution", counters, log)
        self._signing = SigningRoom(parts.signer, clock)
        self._positions = PositionBook()
        self._reporter = Reporter.of(manifest, account_id)
        self._tracker = OrderTracker(manifest.semantics, counters)
        self._reads = AccountReads(parts.reads, self._scope, counters, log, self._on_answer)
        self._delivery = Delivery(
            tracker=self._tracker,
            reporter=self._reporter,
            positions=self._positions,
            symbols=symbols,
            sink=sink,
            journal=journal,
            clock=clock,
            counters=counters,
            log=log,
            roads=Roads(self._send_cancel, self._reads.look_up, self._fetch_fills),
        )
        self._reports = AccountReports(
            reads=self._reads,
            source=parts.reads,
            tracker=self._tracker,
            delivery=self._delivery,
            reporter=self._reporter,
            positions=self._positions,
            symbols=symbols,
            semantics=manifest.semantics,
            clock=clock,
            counters=counters,
            log=log,
            on_news=self._on_news,
            on_doubt=lambda: self._recovery.apply_doubt(),  # noqa: PLW0108  made below
        )
        self._balances = Balances(sink, counters)
        self._recovery = Recovery(
            reports=self._reports,
            on_balance=self._balances.apply,
            reconnect=session.reconnect,
            semantics=manifest.semantics,
            scope=self._scope,
            clock=clock,
            counters=counters,
            log=log,
        )
        self._cross_check = CrossCheck(
            tracker=self._tracker,
            positions=self._positions,
            compare=self._recovery.compare,
            read_balances=self._recovery.balances_soon,
            scope=self._scope,
            clock=clock,
            counters=counters,
        )
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
            gates={name: session for name, port in manifest.ports.items() if port.kind is PortKind.STREAM},
            known=self._recovery,
            wait_ms=manifest.orders.wait_ms if manifest.orders is not None else 0,
        )

    # --- life

    async def start(self, *, mass_status_follows: bool = False) -> None:
        """Private stream live, account state delivered, journal taken over; submits are allowed after this.

        Raise the first error that keeps it from that; nothing is left running then.
        `mass_status_follows`: orders of others are told by that, and not before.
        """
        try:
            self._tracker.hold_until_ns = self._clock.mono_ns() + _HIDDEN_NS if mass_status_follows else None
            self._adopt_journal()
            await self._signing.warm()
            await self._session.start()
            await self._recovery.first()
        except BaseException:
            await self.stop()
            raise
        self._rearm()

    async def stop(self) -> None:
        """No task, timer or connection of this service is left; unresolved orders stay in the journal."""
        if self._stopped:
            return
        self._stopped = True
        self._recovery.apply_down("stopping")
        await self._dispatcher.close()
        # Before the tasks: what a last frame begins must end as well.
        await self._session.stop()
        await self._scope.close()
        self._signing.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if left := self._tracker.unresolved():
            self._log.warning("%d orders have no proven outcome; they stay in the journal", left)
        self._journal.close()

    @property
    def ready(self) -> bool:
        """True while the private state is known, so that submits are allowed."""
        return self._recovery.ready and not self._stopped

    @property
    def unresolved(self) -> int:
        """Orders whose submit has no proven outcome."""
        return self._tracker.unresolved()

    def _adopt_journal(self) -> None:
        """Orders of an earlier run without a proven end are tracked again, and asked about."""
        for trade_key, ts_event in self._journal.delivered_fills():
            self._tracker.fills.applied(trade_key, ts_event)
        self._dispatcher.stamps.apply_used(self._journal.last_stamp_ns)
        for intent in self._journal.open_intents():
            self._counters.inc("journal.open_intents")
            tracked = tracked_of_intent(intent)
            tracked.hidden_until_ns = self._clock.mono_ns() + _HIDDEN_NS
            self._tracker.adopt(tracked, self._delivery.now())

    # --- evidence

    def on_decoded(self, decoded: Sequence[Decoded], epoch: int) -> None:
        """Take everything one frame of the private stream said."""
        for item in decoded:
            try:
                self._on_item(item)
                if self._recovery.waits:
                    self._told(item)
            except Exception:  # noqa: BLE001 - see below
                # One bad record must not cost the others of its frame; what it said is read over REST.
                self._counters.inc("private.failed")
                self._log.exception("a record of the private stream could not be applied")
                self._recovery.ask("a record could not be applied")
        self._rearm()

    def _on_item(self, item: Decoded) -> None:
        now = self._delivery.now()
        if isinstance(item, OrderRecord):
            self._delivery.do(self._tracker.apply_order(item, now))
        elif isinstance(item, FillRecord):
            self._delivery.do(self._tracker.apply_fill(item, now))
        elif isinstance(item, StreamReply):
            self._resolve(item)
        elif isinstance(item, BustRecord):
            if self._tracker.owner(item.trade_key) is None and not self._tracker.fills.voided(item.trade_key):
                self._recovery.ask("a fill of no known order was taken back")
            self._delivery.do(self._tracker.apply_bust(item, now))
        elif isinstance(item, BalanceRecord):
            self._balances.apply(item)
        elif isinstance(item, MoneyMoved):
            self._balances.apply_moved()
            self._cross_check.apply_moved(item)
        elif isinstance(item, PositionRecord):
            self._counters.inc("private.positions")
            self._cross_check.apply_position(item)
        elif isinstance(item, Tick):
            self._pacer.apply_height(item.height)
            self._dispatcher.tick = item
            self._delivery.do(self._tracker.apply_tick(item, now))
        elif isinstance(item, VenueMode):
            self._mode = item.mode
        elif isinstance(item, Lost) or (isinstance(item, Quarantined) and item.private):
            self._recovery.ask(item.why)

    def _told(self, item: Decoded) -> None:
        """The stream said this itself, after a read did."""
        if isinstance(item, FillRecord):
            self._recovery.apply_told(name_of(item))
        elif isinstance(item, OrderRecord) and item.status in ENDED:
            if (order := self._tracker.resolve(item.ids)) is not None:
                self._recovery.apply_told(end_of(order))
        elif isinstance(item, BustRecord):
            self._recovery.apply_told(bust_of(item))
        elif isinstance(item, BalanceRecord | MoneyMoved):
            self._recovery.apply_told(BALANCE)

    def _on_news(self, ts_event: int, what: str) -> None:
        self._recovery.apply_news(ts_event, what)

    def on_session_state(self, state: SessionState, why: str) -> None:
        """The private session changed: down denies submits, live again recovers what was missed."""
        if state is SessionState.LIVE:
            self._recovery.apply_live()
        else:
            self._recovery.apply_down(why)
            if state is SessionState.FAILED and not self._stopped:
                self._sink.alarm("private_stream_failed", why)

    def _on_answer(self, key: str, answer: Found | NotFound | None) -> None:
        if answer is None:
            self._delivery.do(self._tracker.apply_look_up_failed(key, self._delivery.now()))
        else:
            self._reports.apply_look_up(key, answer)
        self._rearm()

    def _fetch_fills(self, since_ns: int) -> None:
        """One read of fills at a time; what is asked meanwhile is part of the next."""
        running = self._fills_since is not None
        self._fills_since = min(self._fills_since, since_ns) if self._fills_since is not None else since_ns
        if not running:
            self._scope.start("fetch_fills", self._read_fills())

    async def _read_fills(self) -> None:
        since, fills = self._fills_since, []
        try:
            fills = await self._reports.fills(Window(start_ns=since))
        except Exception as error:  # noqa: BLE001 - see below
            # Asked again by the tracker's own schedule; a failed read is never an empty one.
            self._counters.inc("reads.fills_failed")
            self._log.info("fills could not be read: %s", error)
        finally:
            self._fills_since = None
        self._reports.take_fills(fills)
        self._rearm()

    def _rearm(self) -> None:
        due = self._tracker.next_due_ns()
        if due is None or self._stopped or (self._timer_ns is not None and self._timer_ns <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due
        self._timer = self._clock.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._timer_ns = None, None
        if not self._stopped:
            self._delivery.do(self._tracker.apply_time(self._delivery.now()))
            self._rearm()

    # --- commands

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
        if not self.ready:
            return [STREAM_RECONCILING for _ in orders]
        whole = deny_list(len(orders), self._manifest, len(orders) > 1 and any(map(contingent, orders)))
        wall_ns = self._clock.venue_ns()
        found = [
            whole
            or self._deny_twice(order)
            or deny_submit(order, self._manifest, self._symbols, wall_ns, self._mode)
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
        denied = denied or (None if self.ready else STREAM_RECONCILING) or self._codec.check(command)
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
            self._send_cancel(key)

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
        self._rearm()

    def query_account(self) -> None:
        """Fresh balances will reach the sink."""
        self._scope.start("query_account", self._recovery.balances_soon())

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
            self._send_cancel(send.key)
            return None
        return send.key if send is not None else None

    def _send_cancel(self, key: str) -> None:
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
            self._rearm()
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
        self._rearm()

    def on_failed(self, job: Job, evidence: Evidence, why: str) -> None:
        """See `Listener`."""
        self._counters.inc(f"sends_failed.{job.kind.value}.{evidence.value}")
        for key in job.keys:
            self._fail(job.kind, key, job.number, evidence, why)
        self._rearm()

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

    # --- the engine's questions

    async def order_report(
        self, client_order_id: str | None, venue_order_id: str | None
    ) -> OrderStatusReport | None:
        """One order as the venue has it; None: none, or nothing may be told. Ids as Nautilus has them."""
        return await self._answered(self._reports.order_report(client_order_id, venue_order_id))

    async def order_reports(self, open_only: bool, start_ns: int | None) -> list[OrderStatusReport]:
        """Orders open, or also those closed since `start_ns`; raise on any failure.

        Orders with a change pending are left out: a plain report would lose the change.
        """
        return await self._answered(self._reports.order_reports(open_only, start_ns))

    async def fill_reports(
        self, instrument_id: InstrumentId | None, start_ns: int | None
    ) -> list[FillReport]:
        """Fills since `start_ns`, unique by trade id; raise on any failure."""
        return await self._answered(self._reports.fill_reports(instrument_id, start_ns))

    async def position_reports(self) -> list[PositionStatusReport]:
        """Positions with their average price; raise on any failure, empty is never an error."""
        return await self._reports.position_reports()

    def strategy_of(self, client_order_id: str) -> str | None:
        """Whose order this is or was, as the journal has it."""
        return self._journal.strategy_of(client_order_id)

    async def mass_status(self, lookback_mins: int | None) -> MassStatusParts:
        """Orders, fills and positions of the window (None: as far as the venue goes); raise, never half."""
        return await self._answered(self._reports.mass_status(lookback_mins))

    async def _answered[T](self, reading: Awaitable[T]) -> T:
        try:
            return await reading
        finally:
            self._rearm()


def _keys(orders: Sequence[Order]) -> tuple[str, ...]:
    return tuple(order.client_order_id.value for order in orders)
