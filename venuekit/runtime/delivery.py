"""What the tracker decided, carried out: reports and events to the sink, questions to their roads.

It is also the tracker's clock: what waits for time is decided when that has come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import frozen
from nautilus_trader.model import ClientOrderId

from venuekit.core.fills import void_name
from venuekit.core.order_state import (
    Action,
    Alarm,
    CancelRejected,
    FetchFills,
    FillVoided,
    LookUp,
    ModifyRejected,
    Moment,
    Rejected,
    Report,
    SendCancel,
    Updated,
)
from venuekit.core.reports import trade_id_of
from venuekit.errors import BadValue, VenuekitError
from venuekit.runtime.journal import plain_ids, with_legs

if TYPE_CHECKING:
    from nautilus_trader.model import Currency, VenueOrderId

    from venuekit.core.order_state import Tracked
    from venuekit.core.orders import OrderTracker
    from venuekit.core.reconcile import PositionBook
    from venuekit.core.reports import Reporter
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.records import FillRecord
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel as Timer
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.sink import ExecutionSink


@frozen
class Roads:
    """Where questions and repeated cancels go."""

    send_cancel: Callable[[str], None]
    look_up: Callable[[LookUp], None]
    fetch_fills: Callable[[int], None]


class Delivery:
    """Carries out the tracker's actions, in order; a fill is marked seen only after the sink took it."""

    def __init__(
        self,
        *,
        tracker: OrderTracker,
        reporter: Reporter,
        positions: PositionBook,
        symbols: Symbols,
        sink: ExecutionSink,
        journal: Journal,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self.roads: Roads
        """Set by whoever makes both ends of them."""
        self.orders: dict[str, Order] = {}
        """The engine's order objects by key, for the events that need one."""
        self._tracker = tracker
        self._reporter = reporter
        self._positions = positions
        self._symbols = symbols
        self._sink = sink
        self._journal = journal
        self._clock = clock
        self._counters = counters
        self._log = log
        self._received_ns = 0
        self._timer: Timer | None = None
        self._timer_ns: int | None = None
        self._closed = False
        tracker.on_forgotten = self._forget

    def _forget(self, key: str) -> None:
        self.orders.pop(key, None)

    def now(self) -> Moment:
        """This moment on both clocks."""
        return Moment(self._clock.mono_ns(), self._clock.venue_ns())

    def received_ns(self) -> int:
        """The time of receipt of a report: this machine's, which waits where its clock was set back."""
        self._received_ns = max(self._received_ns, self._clock.wall_ns())
        return self._received_ns

    def do(self, actions: Sequence[Action]) -> None:
        """Every action is carried out, or counted and offered again; what was put off waits for its time."""
        failed: list[Report] = []
        for action in actions:
            if isinstance(action, Report):
                # What follows a report that was not taken would reach the engine out of order.
                broken = any(report.state.key == action.state.key for report in failed)
                if broken or not self._report(action):
                    failed.append(action)
            elif isinstance(action, LookUp):
                self.roads.look_up(action)
            elif isinstance(action, FetchFills):
                self.roads.fetch_fills(action.since_wall_ns)
            elif isinstance(action, SendCancel):
                self.roads.send_cancel(action.key)
            else:
                self._event(action)
        for report in reversed(failed):
            self._tracker.undelivered(report, self.now())
        self.rearm()

    def rearm(self) -> None:
        """The tracker is asked again as soon as something of it is due.

        For those who tell it something that has no actions to `do`.
        """
        due = self._tracker.next_due_ns()
        if due is None or self._closed or (self._timer_ns is not None and self._timer_ns <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due
        self._timer = self._clock.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer = self._timer_ns = None
        self.do(self._tracker.apply_time(self.now()))

    def close(self) -> None:
        """The tracker is not asked any more; what it decides is still carried out."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, text: str) -> None:
        """A line at level INFO: explained, and worth knowing."""
        self._log.info("%s", text)

    def venue_order_id(self, key: str) -> VenueOrderId | None:
        """The order's venue id as Nautilus has it, when one was told."""
        tracked = self._tracker.get(key)
        told = tracked.told_venue_id if tracked is not None else None
        return self._reporter.venue_order_id(told) if told is not None else None

    def fee_currency(self, fill: FillRecord) -> Currency:
        """The currency of the fee, which is the settlement's where nobody states it."""
        if fill.fee is not None:
            return fill.fee.currency
        symbol = self._symbols.by_id(fill.instrument_id)
        if symbol is None:
            raise BadValue(f"{fill.instrument_id} is not known, so its fee has no currency")
        instrument = symbol.instrument
        settles: Currency | None = getattr(instrument, "settlement_currency", None)
        return settles if settles is not None else instrument.quote_currency

    # --- reports

    def _report(self, report: Report) -> bool:
        state, ts_init = report.state, self.received_ns()
        try:
            order = self._reporter.order(state, ts_init)
            fills = [
                self._reporter.fill(fill, state, self.fee_currency(fill), ts_init) for fill in report.fills
            ]
            self._sink.report(order, fills)
        except Exception:  # noqa: BLE001 - see below
            # A fill must not be lost because its delivery failed once: counted, logged, offered again.
            self._counters.inc("reports.undelivered")
            self._log.exception("the report of order %s was not taken", state.key)
            return False
        self._tracker.delivered(report)
        self._counters.inc("reports.orders")
        self._counters.inc("reports.fills", len(report.fills))
        for fill in report.fills:
            self._positions.apply_fill(fill, fill.side or state.side)
        if (tracked := self._tracker.get(state.key)) is not None:
            self.remember(tracked, report.fills)
        return True

    def remember(self, tracked: Tracked, fills: Sequence[FillRecord]) -> None:
        """The journal has what the engine was just told of this order."""
        try:
            for fill in fills:
                self._journal.filled(tracked.key if tracked.ours else None, fill.trade_key, fill.ts_event)
            if tracked.ours and tracked.ended:
                self._journal.closed(tracked.key, tracked.told.name, tracked.ts_last)
            elif tracked.ours:
                ids = with_legs(plain_ids(tracked.ids), tracked.legs)
                self._journal.observed(tracked.key, ids, tracked.told.name, tracked.ts_last)
        except VenuekitError as error:
            self.journal_failed(error)

    def remember_ids(self, key: str) -> None:
        """The journal has every id known of an order that has not ended."""
        tracked = self._tracker.get(key)
        if tracked is not None and tracked.ours and not tracked.ended:
            self.remember(tracked, ())

    def journal_failed(self, error: VenuekitError) -> None:
        """An alarm says that a line is not on record."""
        # The event happened; a person must know that a restart would not remember it.
        self._counters.inc("journal.failed")
        self._log.error("the journal could not be written: %s", error)
        self._sink.alarm("journal_failed", error.message)

    # --- events

    def _event(
        self, action: Rejected | Updated | ModifyRejected | CancelRejected | FillVoided | Alarm
    ) -> None:
        if isinstance(action, Alarm):
            self._counters.inc(f"alarms.{action.kind}")
            self._log.warning("%s: %s", action.kind, action.text)
            self._sink.alarm(action.kind, action.text)
            return
        if isinstance(action, Rejected):
            self._close(action)
        elif isinstance(action, FillVoided):
            self._void(action)
            return
        order = self.orders.get(action.key)
        if order is None:
            # An order of an earlier run or of somebody else: the engine has no object to put the event on.
            self._counters.inc("events.without_order")
            return
        try:
            self._emit(order, action)
        except Exception:  # noqa: BLE001 - see below
            # The engine refused an event: the order is wrong there until a report, so this must be seen.
            self._counters.inc("events.undelivered")
            self._log.exception("the event %s of order %s was not taken", type(action).__name__, action.key)

    def _emit(self, order: Order, action: Rejected | Updated | ModifyRejected | CancelRejected) -> None:
        self._counters.inc(f"events.{type(action).__name__.lower()}")
        if isinstance(action, Rejected):
            self._sink.rejected(order, action.reason, action.ts_event, action.post_only)
        elif isinstance(action, Updated):
            self._sink.updated(
                order,
                self._reporter.venue_order_id(action.venue_order_id),
                action.quantity,
                action.price,
                action.trigger_price,
                action.ts_event,
            )
        elif isinstance(action, ModifyRejected):
            self._sink.modify_rejected(order, self.venue_order_id(action.key), action.reason, action.ts_event)
        else:
            self._sink.cancel_rejected(order, self.venue_order_id(action.key), action.reason, action.ts_event)

    def _void(self, action: FillVoided) -> None:
        """The fill is void in position, journal and engine, whoever's order it was."""
        state, fill = action.state, action.fill
        self._counters.inc("events.fillvoided")
        self._log.warning("the venue took fill %s of order %s back", fill.trade_key, state.key)
        self._positions.apply_void(fill, action.side, action.ts_event)
        try:
            self._journal.filled(None, void_name(fill.trade_key), action.ts_event)
        except VenuekitError as error:
            self.journal_failed(error)
        # Where a report named no client id, the engine calls the order by its venue id.
        name = state.client_order_id or self._reporter.venue_order_id(state.venue_order_id).value
        trade_id = trade_id_of(fill.trade_key)
        self._sink.fill_voided(ClientOrderId(name), trade_id, "taken back by the venue", action.ts_event)

    def _close(self, action: Rejected) -> None:
        try:
            self._journal.closed(action.key, "REJECTED", action.ts_event)
        except VenuekitError as error:
            self.journal_failed(error)
