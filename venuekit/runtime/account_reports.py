"""The engine's questions: order, fill and position reports, and the mass status; whole, or they raise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from venuekit.core.evidence import may_work
from venuekit.core.fills import Standing
from venuekit.core.order_state import Alarm
from venuekit.core.reconcile import Difference, fills_under_way, missing_orders
from venuekit.errors import NotReady, VenuekitError
from venuekit.interfaces.reconciliation import Found, Query
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    WireIds,
)
from venuekit.interfaces.stream import Window
from venuekit.interfaces.time import AtWall
from venuekit.runtime.mass_status import MassStatus

if TYPE_CHECKING:
    from nautilus_trader.model import FillReport, InstrumentId, OrderStatusReport, PositionStatusReport

    from venuekit.core.order_state import Moment, OrderState, Tracked
    from venuekit.core.orders import OrderTracker
    from venuekit.core.reconcile import PositionBook
    from venuekit.core.reports import Reporter
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Semantics
    from venuekit.interfaces.reconciliation import NotFound, ReconciliationSource
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.account_reads import AccountReads
    from venuekit.runtime.delivery import Delivery
    from venuekit.runtime.mass_status import MassStatusParts
    from venuekit.runtime.tasks import TaskScope

_MS = 1_000_000
_MOST_UNREADABLE = 100


class AccountReports:
    """Reads the account, feeds what is new to the tracker, and answers with what the engine was told."""

    def __init__(
        self,
        *,
        reads: AccountReads,
        source: ReconciliationSource,
        tracker: OrderTracker,
        delivery: Delivery,
        reporter: Reporter,
        positions: PositionBook,
        symbols: Symbols,
        semantics: Semantics,
        scope: TaskScope,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self.on_news: Callable[[int, str], None] = lambda _ts_event, _what: None
        """Hears of what a read brought first, with its venue time."""
        self.on_doubt: Callable[[], None] = lambda: None
        """Hears of positions that the fills delivered here do not make."""
        self._reads = reads
        self._source = source
        self._tracker = tracker
        self._delivery = delivery
        self._reporter = reporter
        self._positions = positions
        self._symbols = symbols
        self._semantics = semantics
        self._scope = scope
        self._clock = clock
        self._counters = counters
        self._log = log
        self._fills_since: int | None = None
        """From here on fills are read now."""
        self._unreadable: set[str] = set()
        """What was told of rows that could not be read or taken; they are read again and again."""
        self._broken = 0
        """Rows that broke what takes them."""
        reads.on_answer = self._on_answer
        reads.on_unreadable = self._on_unreadable
        self._mass = MassStatus(
            self,
            source=source,
            tracker=tracker,
            delivery=delivery,
            reporter=reporter,
            positions=positions,
            settle_ns=self._settle_ns,
            clock=clock,
            counters=counters,
        )

    def _on_unreadable(self, text: str) -> None:
        if self._first_time(text):
            self._delivery.do([Alarm("row_unreadable", f"a row of the account could not be read: {text}")])

    def _first_time(self, text: str) -> bool:
        if text in self._unreadable:
            return False
        if len(self._unreadable) >= _MOST_UNREADABLE:
            self._unreadable.clear()
        self._unreadable.add(text)
        return True

    def apply_each[Row: OrderRecord | FillRecord | BustRecord](
        self, rows: Iterable[Row], apply: Callable[[Row], None]
    ) -> None:
        """Every row was applied; one that broke is counted and an alarm, and costs the others nothing."""
        for row in rows:
            try:
                apply(row)
            except Exception as error:  # noqa: BLE001 - counted, and told with its traceback once
                self._broken += 1
                self._counters.inc("quarantined.row_broken")
                name = row.ids if isinstance(row, OrderRecord) else row.trade_key
                text = f"{type(row).__name__} {name}: {type(error).__name__}: {error}"
                if self._first_time(text):
                    self._log.exception("a row of the account could not be taken")
                    self._delivery.do([Alarm("row_broken", f"a row could not be taken: {text}")])

    # --- reading

    async def orders(self, query: Query, window: Window) -> list[OrderRecord]:
        """The order rows of a query."""
        return [row for row in await self._reads.rows(query, window) if isinstance(row, OrderRecord)]

    async def fills(self, window: Window) -> list[FillRecord]:
        """The fill rows, one per trade key."""
        rows = await self._reads.rows(Query.FILLS, window)
        unique = {row.trade_key: row for row in rows if isinstance(row, FillRecord)}
        self._counters.inc("reads.repeated_rows", len(rows) - len(unique))
        return sorted(unique.values(), key=lambda fill: (fill.ts_event, fill.trade_key))

    async def busts(self, window: Window) -> list[BustRecord]:
        """The fills that the venue took back."""
        if not self._semantics.busts:
            return []
        rows = await self._reads.rows(Query.BUSTS, window)
        return [row for row in rows if isinstance(row, BustRecord)]

    async def positions(self) -> list[PositionRecord]:
        """The position rows."""
        rows = await self._reads.rows(Query.POSITIONS, Window())
        return [row for row in rows if isinstance(row, PositionRecord)]

    async def balances(self) -> list[BalanceRecord]:
        """The balance rows, oldest first."""
        rows = await self._reads.rows(Query.BALANCES, Window())
        return sorted((row for row in rows if isinstance(row, BalanceRecord)), key=lambda row: row.ts_event)

    # --- comparing

    async def compare_orders(self, since_ns: int) -> bool:
        """Open orders, and orders and fills since a moment, were merged; missing ones are asked about.

        The three lists are read on their own: what one of them brings is told although another one fails.
        Raise the first failure at the end. False: a row could not be taken, so read from that moment again.
        """
        asked, window, broken = self._delivery.now(), Window(start_ns=since_ns), self._broken
        seen_open: set[str] | None = None
        failed: list[Exception] = []
        try:
            seen_open = self._merge(await self.orders(Query.OPEN, Window()))
        except VenuekitError as error:
            failed.append(error)
        try:
            self._merge(await self.orders(Query.CLOSED, window))
        except VenuekitError as error:
            failed.append(error)
        try:
            self.apply_each(await self.fills(window), self._apply_fill)
            self.apply_each(await self.busts(window), self._apply_bust)
        except VenuekitError as error:
            failed.append(error)
        if seen_open is not None:
            self._ask_missing(seen_open, asked)
        if failed:
            raise failed[0]
        return self._broken == broken

    async def compare_positions(self) -> bool:
        """The venue's positions were compared with the fills delivered; False: one differs, ask again later.

        A difference that stays is an alarm.
        """
        applied = self._positions.applied
        rows = await self.positions()
        moving = fills_under_way(self._tracker)
        if applied != self._positions.applied or None in moving or (moving and not self._positions.started):
            return False
        # Fills that never come must not hide what the other positions say.
        known = [iid for iid in moving if iid is not None]
        now = self._delivery.now()
        for difference in self._positions.apply_snapshot(
            rows, now.mono_ns, self._settle_ns, known, now.wall_ns
        ):
            self._delivery.do([Alarm("position_differs", said(difference))])
        return not (moving or self._positions.doubtful)

    def _merge(self, rows: Sequence[OrderRecord]) -> set[str]:
        """The keys of the orders that the rows name: one whose row broke is in the list all the same."""
        self.apply_each(rows, self._apply_order)
        return {order.key for row in rows if (order := self._tracker.resolve(row.ids)) is not None}

    def _apply_look_up(self, key: str, answer: Found | NotFound, asked: Moment | None = None) -> None:
        """The answer is in the tracker, and what it brought first is told; `asked`: not by the tracker."""
        record, fills = (answer.record, answer.fills) if isinstance(answer, Found) else (None, ())
        with self._noticing(record, fills):
            self._delivery.do(self._tracker.apply_look_up(key, answer, self._delivery.now(), asked))

    def _on_answer(self, key: str, answer: Found | NotFound | None) -> None:
        if answer is None:
            self._delivery.do(self._tracker.apply_look_up_failed(key, self._delivery.now()))
        else:
            self._apply_look_up(key, answer)

    def fetch_fills(self, since_ns: int) -> None:
        """The tracker gets the fills since then, by one read for all who ask before it begins.

        Who asks while one runs is asked again by the tracker's own schedule.
        """
        running = self._fills_since is not None
        self._fills_since = min(self._fills_since, since_ns) if self._fills_since is not None else since_ns
        if not running:
            self._scope.start("fetch_fills", self._fetch_fills())

    async def _fetch_fills(self) -> None:
        since, fills = self._fills_since, []
        try:
            fills = await self.fills(Window(start_ns=since))
        except Exception as error:  # noqa: BLE001 - see below
            # Asked again by that schedule; a failed read is never an empty one.
            self._counters.inc("reads.fills_failed")
            self._log.info("fills could not be read: %s", error)
        finally:
            self._fills_since = None
        # The tracker asked for them: that the stream did not tell them is no news.
        self.apply_each(
            fills, lambda fill: self._delivery.do(self._tracker.apply_fill(fill, self._delivery.now()))
        )

    def _apply_order(self, record: OrderRecord) -> None:
        with self._noticing(record, ()):
            self._delivery.do(self._tracker.apply_order(record, self._delivery.now()))

    def _apply_fill(self, fill: FillRecord) -> None:
        with self._noticing(None, (fill,)):
            self._delivery.do(self._tracker.apply_fill(fill, self._delivery.now()))

    def _apply_bust(self, bust: BustRecord) -> None:
        known = self._tracker.owner(bust.trade_key) is not None
        self._delivery.do(self._tracker.apply_bust(bust, self._delivery.now()))
        if known:
            self.on_news(bust.ts_event, bust_of(bust))

    async def take_back(self, window: Window) -> set[str]:
        """Fills that were taken back: void where the engine has them, and unknown where it has not."""
        busts = await self.busts(window)
        for bust in busts:
            if self._tracker.owner(bust.trade_key) is not None:
                self._apply_bust(bust)
            self._tracker.fills.void(bust.trade_key, bust.ts_event)
        return {bust.trade_key for bust in busts}

    @contextmanager
    def _noticing(self, record: OrderRecord | None, fills: Sequence[FillRecord]) -> Iterator[None]:
        """New fills, and the end of an order that was open until then, are told to `on_news`."""
        order = self._tracker.resolve(record.ids) if record is not None else None
        worked = order is not None and may_work(order)
        book = self._tracker.fills
        unknown = [
            fill
            for fill in fills
            if book.standing(fill.trade_key, fill.ts_event) is Standing.NEW and not self._has(fill)
        ]
        yield
        if record is not None and order is not None and worked and not may_work(order):
            self.on_news(record.ts_event, end_of(order))
        for fill in unknown:
            if self._has(fill):
                self.on_news(fill.ts_event, name_of(fill))

    def _has(self, fill: FillRecord) -> bool:
        order = self._tracker.resolve(fill.ids)
        return order is not None and (fill.trade_key in order.fills or fill.trade_key in order.waiting)

    def _ask_missing(self, seen_open: set[str], asked: Moment) -> None:
        now = self._delivery.now()
        for order in missing_orders(self._tracker, seen_open, asked, self._settle_ns):
            self._counters.inc("orders.missing_in_list")
            self._delivery.do(self._tracker.query(order.key, now))

    @property
    def _settle_ns(self) -> int:
        return max(self._semantics.lookup_settles_ms, self._semantics.history_lag_ms) * _MS

    # --- answers

    async def order_report(
        self, client_order_id: str | None, venue_order_id: str | None
    ) -> OrderStatusReport | None:
        """One order as the venue has it; None: none, or nothing may be told. Ids as Nautilus has them."""
        raw = self._reporter.raw_venue_order_id(venue_order_id)
        ids = WireIds(client_order_id=client_order_id, venue_order_id=raw)
        tracked = self._tracker.resolve(ids)
        since = tracked.sent_wall_ns or tracked.ts_accepted if tracked is not None else 0
        asked = self._delivery.now()
        answer = await self._source.look_up(tracked.ids if tracked is not None else ids, AtWall(since))
        if tracked is not None:
            self._apply_look_up(tracked.key, answer, asked)
        elif isinstance(answer, Found):
            self._apply_order(answer.record)
            for fill in answer.fills:
                self._apply_fill(fill)
            tracked = self._tracker.resolve(answer.record.ids)
        state = self._tracker.state_of(tracked.key) if tracked is not None else None
        return self._reporter.order(state, self._delivery.received_ns()) if state is not None else None

    async def order_reports(self, open_only: bool, start_ns: int | None) -> list[OrderStatusReport]:
        """Orders open, or also those closed since `start_ns`; raise on any failure.

        Orders with a change pending are left out: a plain report would lose the change.
        """
        asked = self._delivery.now()
        keys = self._merge(await self.orders(Query.OPEN, Window()))
        self._ask_missing(keys, asked)
        if not open_only:
            keys |= self._merge(await self.orders(Query.CLOSED, Window(start_ns=start_ns)))
        states = [self._tracker.state_of(key) for key in sorted(keys)]
        ts_init = self._delivery.received_ns()
        return [self._reporter.order(state, ts_init) for state in states if state is not None]

    async def fill_reports(
        self, instrument_id: InstrumentId | None, start_ns: int | None
    ) -> list[FillReport]:
        """Fills since `start_ns`, unique by trade id; raise on any failure."""
        reports = []
        for fill in await self.fills(Window(start_ns=start_ns)):
            if instrument_id is not None and fill.instrument_id != instrument_id:
                continue
            self._apply_fill(fill)
            tracked = self._tracker.resolve(fill.ids)
            state = self._tracker.state_of(tracked.key) if tracked is not None else None
            if state is not None and not self._tracker.fills.voided(fill.trade_key):
                reports.append(self.fill_report(fill, state))
        return reports

    async def position_reports(self) -> list[PositionStatusReport]:
        """Positions with their average price; raise on any failure, empty is never an error."""
        applied = self._positions.applied
        rows = await self.positions()
        differing = self._positions.differing(rows)
        if differing and (applied != self._positions.applied or fills_under_way(self._tracker)):
            raise NotReady("fills came while positions were read")
        if differing:
            # The engine would make an order up for it, and then take the fills that explain it as well.
            self._counters.inc("reads.positions_doubtful")
            self.on_doubt()
            raise NotReady(f"{said(differing[0])}: not explained yet")
        return [self.position_report(row) for row in rows]

    def fill_report(self, fill: FillRecord, state: OrderState) -> FillReport:
        """The fill as the engine is told it."""
        currency = self._delivery.fee_currency(fill)
        return self._reporter.fill(fill, state, currency, self._delivery.received_ns())

    def position_report(self, row: PositionRecord) -> PositionStatusReport:
        """The position as the engine is told it; raise `BadValue` for one without its average price."""
        symbol = self._symbols.by_id(row.instrument_id)
        precision = symbol.size_precision if symbol is not None else 8
        return self._reporter.position(row, precision, self._delivery.received_ns())

    async def mass_status(self, lookback_mins: int | None) -> MassStatusParts:
        """Orders, fills and positions of the window (None: as far as the venue goes); raise, never half."""
        return await self._mass.parts(lookback_mins)


def said(difference: Difference) -> str:
    """Both numbers."""
    return f"{difference.instrument_id}: fills make {difference.expected}, venue has {difference.venue}"


def end_of(order: Tracked) -> str:
    """What the end of an order is called as news."""
    return f"the end of order {order.key}"


def bust_of(bust: BustRecord) -> str:
    """What a bust is called as news."""
    return f"the bust of fill {bust.trade_key}"


def name_of(fill: FillRecord) -> str:
    """What a fill is called as news."""
    return f"fill {fill.trade_key}"
