"""The engine's questions: order, fill and position reports, and the mass status; whole, or they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen
from nautilus_trader.model import OrderSide, OrderStatus

from venuekit.core.busts import without
from venuekit.core.evidence import may_work
from venuekit.core.fills import Standing
from venuekit.core.order_state import ENDED, Alarm
from venuekit.core.reconcile import fills_under_way, missing_orders
from venuekit.interfaces.reconciliation import Found, Query
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    Source,
    WireIds,
)
from venuekit.interfaces.stream import Window
from venuekit.interfaces.time import AtWall

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

_MS = 1_000_000
_MINUTE_NS = 60 * 1_000 * _MS
_FILL_READS = 4
"""How often fills are read again while orders of the last moments claim more than history shows."""


@frozen
class MassStatusParts:
    """Everything the venue knows of the account in the window; fills are unique by trade id."""

    orders: Sequence[OrderStatusReport]
    fills: Sequence[FillReport]
    positions: Sequence[PositionStatusReport]


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
        clock: Clock,
        counters: Counters,
        on_news: Callable[[int, str], None],
    ) -> None:
        """`on_news` hears of what a read brought first, with its venue time."""
        self._reads = reads
        self._source = source
        self._tracker = tracker
        self._delivery = delivery
        self._reporter = reporter
        self._positions = positions
        self._symbols = symbols
        self._semantics = semantics
        self._clock = clock
        self._counters = counters
        self._on_news = on_news

    # --- reading

    async def orders(self, query: Query, window: Window) -> list[OrderRecord]:
        """The order rows of a query."""
        return [row for row in await self._reads.rows(query, window) if isinstance(row, OrderRecord)]

    async def fills(self, window: Window) -> list[FillRecord]:
        """The fill rows, one per trade key."""
        rows = await self._reads.rows(Query.FILLS, window)
        unique = {row.trade_key: row for row in rows if isinstance(row, FillRecord)}
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

    async def compare_orders(self, since_ns: int) -> None:
        """Open orders, and orders and fills since a moment, were merged; missing ones are asked about."""
        asked = self._delivery.now()
        window = Window(start_ns=since_ns)
        seen_open = self._merge(await self.orders(Query.OPEN, Window()))
        self._merge(await self.orders(Query.CLOSED, window))
        for fill in await self.fills(window):
            self._apply_fill(fill)
        for bust in await self.busts(window):
            self._apply_bust(bust)
        self._ask_missing(seen_open, asked)

    async def compare_positions(self) -> bool:
        """The venue's positions were compared with the fills delivered; False: one differs, ask again later.

        A difference that stays is an alarm.
        """
        applied = self._positions.applied
        rows = await self.positions()
        if applied != self._positions.applied or fills_under_way(self._tracker):
            return False
        for difference in self._positions.apply_snapshot(rows):
            text = (
                f"{difference.instrument_id}: fills make {difference.expected}, venue has {difference.venue}"
            )
            self._delivery.do([Alarm("position_differs", text)])
        return not self._positions.doubtful

    def _merge(self, rows: Sequence[OrderRecord]) -> set[str]:
        keys = set()
        for row in rows:
            self._apply_order(row)
            if (order := self._tracker.resolve(row.ids)) is not None:
                keys.add(order.key)
        return keys

    def apply_look_up(self, key: str, answer: Found | NotFound) -> None:
        """The answer is in the tracker, and what it brought first is told."""
        record, fills = (answer.record, answer.fills) if isinstance(answer, Found) else (None, ())
        with self._noticing(record, fills):
            self._delivery.do(self._tracker.apply_look_up(key, answer, self._delivery.now()))

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
            self._on_news(bust.ts_event, bust_of(bust))

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
            self._on_news(record.ts_event, end_of(order))
        for fill in unknown:
            if self._has(fill):
                self._on_news(fill.ts_event, name_of(fill))

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
        """See `ExecutionService.order_report`."""
        raw = self._reporter.raw_venue_order_id(venue_order_id)
        ids = WireIds(client_order_id=client_order_id, venue_order_id=raw)
        tracked = self._tracker.resolve(ids)
        since = tracked.sent_wall_ns or tracked.ts_accepted if tracked is not None else 0
        answer = await self._source.look_up(tracked.ids if tracked is not None else ids, AtWall(since))
        if tracked is not None:
            self.apply_look_up(tracked.key, answer)
        elif isinstance(answer, Found):
            self._merge([answer.record])
            for fill in answer.fills:
                self._apply_fill(fill)
            tracked = self._tracker.resolve(answer.record.ids)
        state = self._tracker.state_of(tracked.key) if tracked is not None else None
        return self._reporter.order(state, self._clock.wall_ns()) if state is not None else None

    async def order_reports(self, open_only: bool, start_ns: int | None) -> list[OrderStatusReport]:
        """See `ExecutionService.order_reports`."""
        asked = self._delivery.now()
        keys = self._merge(await self.orders(Query.OPEN, Window()))
        self._ask_missing(keys, asked)
        if not open_only:
            keys |= self._merge(await self.orders(Query.CLOSED, Window(start_ns=start_ns)))
        states = [self._tracker.state_of(key) for key in sorted(keys)]
        ts_init = self._clock.wall_ns()
        return [self._reporter.order(state, ts_init) for state in states if state is not None]

    async def fill_reports(
        self, instrument_id: InstrumentId | None, start_ns: int | None
    ) -> list[FillReport]:
        """See `ExecutionService.fill_reports`."""
        reports = []
        for fill in await self.fills(Window(start_ns=start_ns)):
            if instrument_id is not None and fill.instrument_id != instrument_id:
                continue
            self._apply_fill(fill)
            tracked = self._tracker.resolve(fill.ids)
            state = self._tracker.state_of(tracked.key) if tracked is not None else None
            if state is not None and not self._tracker.fills.voided(fill.trade_key):
                reports.append(self._fill_report(fill, state))
        return reports

    async def position_reports(self) -> list[PositionStatusReport]:
        """See `ExecutionService.position_reports`."""
        return [self._position_report(row) for row in await self.positions()]

    def _fill_report(self, fill: FillRecord, state: OrderState) -> FillReport:
        currency = self._delivery.fee_currency(fill)
        return self._reporter.fill(fill, state, currency, self._clock.wall_ns())

    def _position_report(self, row: PositionRecord) -> PositionStatusReport:
        symbol = self._symbols.by_id(row.instrument_id)
        precision = symbol.size_precision if symbol is not None else 8
        return self._reporter.position(row, precision, self._clock.wall_ns())

    # --- mass status

    async def mass_status(self, lookback_mins: int | None) -> MassStatusParts:
        """See `ExecutionService.mass_status`."""
        start = None if lookback_mins is None else self._clock.venue_ns() - lookback_mins * _MINUTE_NS
        window = Window(start_ns=start)
        rows = await self.orders(Query.OPEN, Window()) + await self.orders(Query.CLOSED, window)
        records = _newest(rows)
        fills = await self._fills_of(records, window)
        unlisted = not await self._void(window) <= {fill.trade_key for fill in fills}
        rows_held = await self.positions()
        orders: list[OrderStatusReport] = []
        reports: list[FillReport] = []
        for record, every in await self._grouped(records, fills):
            taken = [fill for fill in every if self._tracker.fills.voided(fill.trade_key)]
            own = [fill for fill in every if fill not in taken]
            given, record = record, without(record, own, taken, unlisted)
            if not own and not self._matters(record):
                continue
            tracked = self._known_after(record, own)
            if record.filled is not None and given.filled is not None:
                tracked.voided_raw = max(tracked.voided_raw, given.filled.raw - record.filled.raw)
            state = self._tracker.state_of(tracked.key)
            if state is None:
                continue
            orders.append(self._reporter.order(state, self._clock.wall_ns()))
            reports += [self._fill_report(fill, state) for fill in own]
        for key in self._tracker.hidden():
            # Not in the answer: whatever becomes of them is reported as it is found out.
            self._delivery.do(self._tracker.reveal(key, self._delivery.now()))
        # Over a flip of sides the engine makes up fills to reach a position that the fills explain already.
        explained = _nets(reports)
        positions = [
            self._position_report(row)
            for row in rows_held
            if explained.get(row.instrument_id) != Decimal(row.signed_qty)
        ]
        return MassStatusParts(orders, reports, positions)

    async def _void(self, window: Window) -> set[str]:
        """Fills that were taken back: void where the engine has them, and unknown where it has not."""
        busts = await self.busts(window)
        for bust in busts:
            if self._tracker.owner(bust.trade_key) is not None:
                self._apply_bust(bust)
            self._tracker.fills.void(bust.trade_key, bust.ts_event)
        return {bust.trade_key for bust in busts}

    async def _fills_of(self, records: Sequence[OrderRecord], window: Window) -> list[FillRecord]:
        """The fills; read again while an order of the last moments claims more than history shows."""
        for _ in range(_FILL_READS):
            fills = await self.fills(window)
            if not self._lagging(records, fills):
                return fills
            self._counters.inc("reads.history_lags")
            await self._clock.sleep_until(
                self._clock.mono_ns() + self._semantics.history_lag_ms * _MS // _FILL_READS
            )
        return await self.fills(window)

    def _lagging(self, records: Sequence[OrderRecord], fills: Sequence[FillRecord]) -> bool:
        horizon = self._clock.venue_ns() - self._settle_ns
        recent = [r for r in records if r.ts_event >= horizon and r.filled is not None and r.filled.raw]
        return any(
            record.filled is not None
            and sum(fill.quantity.raw for fill in fills if _same(fill.ids, record.ids)) < record.filled.raw
            for record in recent
        )

    async def _grouped(
        self, records: Sequence[OrderRecord], fills: Sequence[FillRecord]
    ) -> list[tuple[OrderRecord, list[FillRecord]]]:
        """Every order with its fills; an execution whose order no page brought is looked up."""
        groups: list[tuple[OrderRecord, list[FillRecord]]] = [(record, []) for record in records]
        index: dict[str, list[FillRecord]] = {}
        for record, own in groups:
            for name in _names(record.ids):
                index[name] = own
        for fill in fills:
            known = [index[name] for name in _names(fill.ids) if name in index]
            if known:
                known[0].append(fill)
                continue
            record = await self._order_of(fill)
            group = [fill]
            groups.append((record, group))
            for name in (*_names(record.ids), *_names(fill.ids)):
                index[name] = group
        return groups

    async def _order_of(self, fill: FillRecord) -> OrderRecord:
        if _names(fill.ids):
            answer = await self._source.look_up(fill.ids, AtWall(max(0, fill.ts_event - self._settle_ns)))
            if isinstance(answer, Found):
                return answer.record
        self._counters.inc("orders.from_fills")
        named = (
            fill.ids if _names(fill.ids) else WireIds(venue_order_id=f"{fill.kind.value}-{fill.trade_key}")
        )
        return OrderRecord(
            ids=named,
            source=Source.PAGE,
            ts_event=fill.ts_event,
            instrument_id=fill.instrument_id,
            status=OrderStatus.FILLED,
            side=fill.side,
            quantity=fill.quantity,
            filled=fill.quantity,
        )

    def _matters(self, record: OrderRecord) -> bool:
        """An order that ended without a fill and is not one of ours changed nothing."""
        if record.status not in ENDED or (record.filled is not None and record.filled.raw):
            return True
        known = self._tracker.resolve(record.ids)
        return known is not None and known.ours

    def _known_after(self, record: OrderRecord, fills: Sequence[FillRecord]) -> Tracked:
        """The tracked order; told by this mass status when it is new, by the sink when it was known."""
        known = self._tracker.resolve(record.ids)
        if known is None or known.told is OrderStatus.INITIALIZED:
            tracked = self._tracker.baseline(record, fills, self._delivery.now())
            self._delivery.remember(tracked, fills)
            return tracked
        self._delivery.do(self._tracker.apply_order(record, self._delivery.now()))
        for fill in fills:
            self._delivery.do(self._tracker.apply_fill(fill, self._delivery.now()))
        return known


def _nets(fills: Sequence[FillReport]) -> dict[InstrumentId, Decimal]:
    """What the fills add up to by instrument, sells below zero."""
    nets: dict[InstrumentId, Decimal] = {}
    for fill in fills:
        size = fill.last_qty.as_decimal()
        signed = size if fill.order_side == OrderSide.BUY else -size
        nets[fill.instrument_id] = nets.get(fill.instrument_id, Decimal(0)) + signed
    return nets


def _newest(rows: Sequence[OrderRecord]) -> list[OrderRecord]:
    """One record per order: the last the venue wrote."""
    newest: dict[str, OrderRecord] = {}
    for row in rows:
        name = next(iter(_names(row.ids)), "")
        known = newest.get(name)
        if known is None or (row.version or 0, row.ts_event) >= (known.version or 0, known.ts_event):
            newest[name] = row
    return list(newest.values())


def _names(ids: WireIds) -> list[str]:
    """Every name of an order, the venue's first, each marked with its kind."""
    found = [
        ("v", ids.venue_order_id),
        ("c", ids.client_order_id),
        ("r", ids.client_ref),
        ("h", ids.tx_hash),
    ]
    return [f"{kind}:{name}" for kind, name in found if name is not None]


def _same(one: WireIds, other: WireIds) -> bool:
    return not set(_names(one)).isdisjoint(_names(other))


def end_of(order: Tracked) -> str:
    """What the end of an order is called as news."""
    return f"the end of order {order.key}"


def bust_of(bust: BustRecord) -> str:
    """What a bust is called as news."""
    return f"the bust of fill {bust.trade_key}"


def name_of(fill: FillRecord) -> str:
    """What a fill is called as news."""
    return f"fill {fill.trade_key}"
