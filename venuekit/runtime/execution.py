"""The execution service of every venue: Nautilus orders and evidence in, one tracker, events out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from venuekit.core.order_state import ENDED
from venuekit.core.orders import OrderTracker
from venuekit.core.reconcile import PositionBook
from venuekit.core.reports import Reporter
from venuekit.interfaces.manifest import PortKind
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    MoneyMoved,
    OrderRecord,
    PositionRecord,
)
from venuekit.interfaces.stream import Lost, Quarantined, StreamReply, VenueMode
from venuekit.interfaces.time import Tick
from venuekit.runtime.account_reads import AccountReads
from venuekit.runtime.account_reports import AccountReports, bust_of, end_of, name_of
from venuekit.runtime.adoption import tracked_of_intent
from venuekit.runtime.balances import Balances
from venuekit.runtime.commands import Commands
from venuekit.runtime.cross_check import CrossCheck
from venuekit.runtime.delivery import Delivery, Roads
from venuekit.runtime.dispatcher import StreamGate, clock_was_right
from venuekit.runtime.recovery import BALANCE, Recovery
from venuekit.runtime.session import SessionState
from venuekit.runtime.tasks import TaskScope

if TYPE_CHECKING:
    from nautilus_trader.model import AccountId

    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.request import RequestPort
    from venuekit.interfaces.stream import Decoded
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.interfaces.venue import AccountParts
    from venuekit.runtime.dispatcher import CommandSpans, PermitSource
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.sink import ExecutionSink

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
    """Drives the order tracker over a venue's parts: puts them together, starts and stops them, and takes
    what the private stream says. The engine asks of its `commands` and `reports`.

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
        self._session = session
        self._resolve = resolve
        self._journal = journal
        self._clock = clock
        self._counters = counters
        self._log = log
        self._sink = sink
        self._stopped = False
        self._scope = TaskScope("execution", counters, log)
        self._positions = PositionBook()
        self._tracker = OrderTracker(manifest.semantics, counters)
        reporter = Reporter.of(manifest, account_id)
        reads = AccountReads(parts.reads, self._scope, counters, log)
        self._delivery = Delivery(
            tracker=self._tracker,
            reporter=reporter,
            positions=self._positions,
            symbols=symbols,
            sink=sink,
            journal=journal,
            clock=clock,
            counters=counters,
            log=log,
        )
        self.reports = AccountReports(
            reads=reads,
            source=parts.reads,
            tracker=self._tracker,
            delivery=self._delivery,
            reporter=reporter,
            positions=self._positions,
            symbols=symbols,
            semantics=manifest.semantics,
            scope=self._scope,
            clock=clock,
            counters=counters,
            log=log,
        )
        """Answers the engine's questions about orders, fills and positions."""
        self._balances = Balances(sink, counters)
        self._recovery = Recovery(
            reports=self.reports,
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
        self.commands = Commands(
            manifest=manifest,
            parts=parts,
            symbols=symbols,
            ports=ports,
            pacer=pacer,
            gates={name: session for name, port in manifest.ports.items() if port.kind is PortKind.STREAM},
            known=self._recovery,
            tracker=self._tracker,
            delivery=self._delivery,
            reporter=reporter,
            journal=journal,
            sink=sink,
            clock=clock,
            counters=counters,
            log=log,
            on_token_refused=on_token_refused,
            on_time_refused=on_time_refused,
            spans=spans,
        )
        """Takes what the engine asks for."""
        # What the tracker asks leads back to those who feed it, so these ends are joined last.
        self._delivery.roads = Roads(self.commands.send_cancel, reads.look_up, self.reports.fetch_fills)

    # --- life

    async def start(self, *, mass_status_follows: bool = False) -> None:
        """Private stream live, account state delivered, journal taken over; submits are allowed after this.

        Raise the first error that keeps it from that; nothing is left running then.
        `mass_status_follows`: orders of others are told by that, and not before.
        """
        try:
            self._tracker.hold_until_ns = self._clock.mono_ns() + _HIDDEN_NS if mass_status_follows else None
            self._adopt_journal()
            await self.commands.start()
            await self._session.start()
            await self._recovery.first()
        except BaseException:
            await self.stop()
            raise
        self._delivery.rearm()

    async def stop(self) -> None:
        """No task, timer or connection of this service is left; unresolved orders stay in the journal."""
        if self._stopped:
            return
        self._stopped = True
        self._delivery.close()
        self._recovery.apply_down("stopping")
        await self.commands.stop()
        # Before the tasks: what a last frame begins must end as well.
        await self._session.stop()
        await self._scope.close()
        if left := self._tracker.unresolved():
            self._log.warning("%d orders have no proven outcome; they stay in the journal", left)
        self._journal.close()

    @property
    def ready(self) -> bool:
        """True while the private state is known, so that submits are allowed."""
        return self._recovery.ready

    @property
    def unresolved(self) -> int:
        """Orders whose submit has no proven outcome."""
        return self._tracker.unresolved()

    def _adopt_journal(self) -> None:
        """Orders of an earlier run without a proven end are tracked again, and asked about."""
        for trade_key, ts_event in self._journal.delivered_fills():
            self._tracker.fills.applied(trade_key, ts_event)
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
                # Whatever broke may have set something that is due.
                self._delivery.rearm()

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
            self.commands.apply_tick(item)
            self._delivery.do(self._tracker.apply_tick(item, now))
        elif isinstance(item, VenueMode):
            self.commands.mode = item.mode
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

    def on_session_state(self, state: SessionState, why: str) -> None:
        """The private session changed: down denies submits, live again recovers what was missed."""
        if self._stopped:
            return
        if state is SessionState.LIVE:
            self._recovery.apply_live()
            return
        self._recovery.apply_down(why)
        if state is SessionState.FAILED:
            self._sink.alarm("private_stream_failed", why)

    # --- the engine's questions

    def query_account(self) -> None:
        """Fresh balances will reach the sink."""
        self._scope.start("query_account", self._recovery.balances_soon())

    def strategy_of(self, client_order_id: str) -> str | None:
        """Whose order this is or was, as the journal has it."""
        return self._journal.strategy_of(client_order_id)
