"""The account as a whole for an engine that knows nothing yet: what the venue has, explained or alarmed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen
from nautilus_trader.model import OrderStatus

from venuekit.core.order_state import ENDED, RAW_SCALE, Alarm, Void
from venuekit.core.reconcile import Account, OrderWithFills, met, names_of
from venuekit.errors import NotReady
from venuekit.interfaces.reconciliation import Found, Query
from venuekit.interfaces.records import OrderRecord, PositionRecord, Source, WireIds
from venuekit.interfaces.stream import Window
from venuekit.interfaces.time import AtWall

if TYPE_CHECKING:
    from nautilus_trader.model import FillReport, InstrumentId, OrderStatusReport, PositionStatusReport

    from venuekit.core.order_state import Tracked
    from venuekit.core.orders import OrderTracker
    from venuekit.core.reconcile import PositionBook
    from venuekit.core.reports import Reporter
    from venuekit.interfaces.reconciliation import ReconciliationSource
    from venuekit.interfaces.records import FillRecord
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.account_reports import AccountReports
    from venuekit.runtime.delivery import Delivery

_MINUTE_NS = 60_000_000_000
_LOOKS = 4
"""How often positions and fills are read until they agree, or disagree twice in the same way."""


@frozen
class MassStatusParts:
    """Everything the venue knows of the account in the window; fills are unique by trade id."""

    orders: Sequence[OrderStatusReport]
    fills: Sequence[FillReport]
    positions: Sequence[PositionStatusReport]


@frozen
class _Held:
    """The positions of an account at rest."""

    rows: Sequence[PositionRecord]
    unexplained: dict[InstrumentId, int]
    """By instrument, what the venue has beyond what the orders make; never zero."""
    lacking: dict[str, int]
    """Orders that should have all their fills by now, with the raw quantity that has none."""


class MassStatus:
    """Reads an account, and answers with all of it."""

    def __init__(
        self,
        reads: AccountReports,
        *,
        source: ReconciliationSource,
        tracker: OrderTracker,
        delivery: Delivery,
        reporter: Reporter,
        positions: PositionBook,
        settle_ns: int,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """`settle_ns`: so long may history lag behind."""
        self._reads = reads
        self._source = source
        self._tracker = tracker
        self._delivery = delivery
        self._reporter = reporter
        self._positions = positions
        self._settle_ns = settle_ns
        self._clock = clock
        self._counters = counters

    async def parts(self, lookback_mins: int | None) -> MassStatusParts:
        """See `AccountReports.mass_status`."""
        start = None if lookback_mins is None else self._clock.venue_ns() - lookback_mins * _MINUTE_NS
        window = Window(start_ns=start)
        account = Account()
        # Open ones first: an order that ends in between is in both lists, never in none.
        rows = await self._reads.orders(Query.OPEN, Window())
        rows += await self._reads.orders(Query.CLOSED, window)
        records = _newest(rows)
        self._counters.inc("reads.repeated_rows", len(rows) - len(records))
        for record in records:
            account.add_order(record)
        if window.start_ns is not None:
            await self._add_earlier(account)
        await self._add_fills(account, await self._reads.fills(window))
        held = await self._at_rest(account, window)
        # Nothing is awaited from here on, so nothing can happen between what is told and what is noted.
        orders, fills = self._told(account)
        self._tracker.hold_until_ns = None
        for one in account.orders:
            known = self._tracker.resolve(one.record.ids) if one.made else None
            if known is not None and known.ours and not known.ended:
                # No list has it: it ended, and history will say how.
                self._delivery.do(self._tracker.query(known.key, self._delivery.now()))
        for key in self._tracker.hidden():
            # Not in the answer: whatever becomes of them is reported as it is found out.
            self._delivery.do(self._tracker.reveal(key, self._delivery.now()))
        if held.lacking:
            # The engine makes up one fill for each of them; the true ones are dropped if they ever come.
            name, raw = next(iter(held.lacking.items()))
            text = f"{len(held.lacking)} orders claim more than their fills, {name} {_text(raw)} more"
            self._delivery.do([Alarm("fills_missing", text)])
        nets = account.nets()
        self._positions.apply_baseline(
            {
                iid: nets.get(iid, 0) + held.unexplained.get(iid, 0)
                for iid in sorted({*nets, *held.unexplained}, key=str)
            }
        )
        return MassStatusParts(orders, fills, self._position_answers(held, nets, lookback_mins))

    # --- reading

    async def _add_earlier(self, account: Account) -> None:
        """Our orders of an earlier run that ended before the window are there with their fills.

        Told later they would count once more, because positions that are older than the window have them.
        """
        for key in self._tracker.hidden():
            tracked = self._tracker.get(key)
            if tracked is None or not tracked.ours or account.named(tracked.ids) is not None:
                continue
            since = AtWall(max(0, tracked.sent_wall_ns - self._settle_ns))
            answer = await self._source.look_up(tracked.ids, since)
            if isinstance(answer, Found):
                account.add_order(answer.record, tracked.ids)
                await self._add_fills(account, answer.fills)

    async def _add_fills(self, account: Account, fills: Sequence[FillRecord]) -> list[FillRecord]:
        """Every new fill is at its order; an execution whose order no page brought is looked up."""
        added = []
        for fill in fills:
            if fill.trade_key in account:
                continue
            order = account.named(fill.ids)
            if order is None:
                record = await self._found(fill)
                order = account.add_order(record or self._made_of(fill), fill.ids)
                order.made = record is None
            account.add_fill(fill, order)
            added.append(fill)
        return added

    async def _found(self, fill: FillRecord) -> OrderRecord | None:
        """The order of a fill, where the venue shows it."""
        if not names_of(fill.ids):
            return None
        answer = await self._source.look_up(fill.ids, AtWall(max(0, fill.ts_event - self._settle_ns)))
        return answer.record if isinstance(answer, Found) else None

    def _made_of(self, fill: FillRecord) -> OrderRecord:
        """An order from the journal, where the venue's history trails; else one that is its fills."""
        self._counters.inc("orders.from_fills")
        named = bool(names_of(fill.ids))
        known = self._tracker.resolve(fill.ids) if named else None
        if known is not None and known.ours:
            return OrderRecord(
                ids=fill.ids,
                source=Source.PAGE,
                ts_event=fill.ts_event,
                instrument_id=known.instrument_id,
                status=OrderStatus.PARTIALLY_FILLED,
                side=known.side,
                quantity=known.quantity,
            )
        return OrderRecord(
            ids=fill.ids if named else WireIds(venue_order_id=f"{fill.kind.value}-{fill.trade_key}"),
            source=Source.PAGE,
            ts_event=fill.ts_event,
            instrument_id=fill.instrument_id,
            status=OrderStatus.FILLED,
            side=fill.side,
            quantity=fill.quantity,
            filled=fill.quantity,
        )

    async def _at_rest(self, account: Account, window: Window) -> _Held:
        """The positions, and every fill that is in them; a difference counts once it was seen twice.

        Fills go on while this reads, and history may lag behind positions: a difference read once would have
        the engine make an order up for a fill that is still to come. Raise when nothing comes to rest.
        """
        last = None
        horizon = self._clock.venue_ns() - self._settle_ns if window.start_ns is not None else 0
        for look in range(_LOOKS):
            applied = self._positions.applied
            rows = await self._reads.positions()
            before = account.unexplained(rows)
            added = await self._add_fills(account, await self._reads.fills(self._recent(account, window)))
            # The stream tells at once what history may show only later.
            added += await self._add_fills(account, self._tracker.held_fills())
            account.take_back(await self._reads.take_back(window), self._tracker.fills.voided)
            after = account.unexplained(rows)
            unexplained = {iid: raw for iid, raw in after.items() if not met(before.get(iid, 0), iid, added)}
            lacking = account.lacking(horizon)
            picture = (unexplained, lacking)
            moved = applied != self._positions.applied or before != after
            if not any(picture) or (picture == last and not moved):
                return _Held(rows, unexplained, lacking)
            self._counters.inc("reads.history_lags")
            last = picture
            if look + 1 < _LOOKS:
                await self._clock.sleep_until(self._clock.mono_ns() + self._settle_ns)
        raise NotReady(
            "fills come faster than positions can be read, so they cannot be compared",
            hint="start again when the account is calmer",
        )

    def _recent(self, account: Account, window: Window) -> Window:
        if account.newest_ns is None:
            return window
        return Window(start_ns=max(window.start_ns or 0, account.newest_ns - self._settle_ns))

    # --- telling

    def _told(self, account: Account) -> tuple[list[OrderStatusReport], list[FillReport]]:
        orders: list[OrderStatusReport] = []
        reports: list[FillReport] = []
        for one in account.orders:
            if not one.fills and not self._matters(one.record):
                continue
            tracked = self._known_after(one)
            if one.record.filled is not None and one.given.filled is not None:
                lost = one.given.filled.raw - one.record.filled.raw
                if lost > tracked.voided_raw:
                    tracked.voids.append(Void(lost - tracked.voided_raw, one.given.ts_event))
            state = self._tracker.state_of(tracked.key)
            if state is None:
                continue
            orders.append(self._reporter.order(state, self._delivery.received_ns()))
            reports += [self._reads.fill_report(fill, state) for fill in one.fills]
        return orders, reports

    def _matters(self, record: OrderRecord) -> bool:
        """An order that ended without a fill and is not one of ours changed nothing."""
        if record.status not in ENDED or (record.filled is not None and record.filled.raw):
            return True
        known = self._tracker.order_of(record)
        return known is not None and known.ours

    def _known_after(self, one: OrderWithFills) -> Tracked:
        """The tracked order; told by this mass status when it is new, by the sink when it was known."""
        known = self._tracker.order_of(one.record)
        if known is None or known.told is OrderStatus.INITIALIZED:
            fresh = [fill for fill in one.fills if fill.trade_key not in self._tracker.fills]
            tracked = self._tracker.baseline(one.record, one.fills, self._delivery.now())
            self._delivery.rearm()
            self._delivery.remember(tracked, fresh)
            return tracked
        self._delivery.do(self._tracker.apply_order(one.record, self._delivery.now()))
        for fill in one.fills:
            self._delivery.do(self._tracker.apply_fill(fill, self._delivery.now()))
        return known

    def _position_answers(
        self, held: _Held, nets: dict[InstrumentId, int], lookback_mins: int | None
    ) -> list[PositionStatusReport]:
        """A report for each position that the orders do not make; for the others fills say more.

        Over a flip of sides the engine would make fills up to reach a position that is explained already.
        Where there is a difference it makes one order of the whole of it, and this says so.
        """
        rows = {row.instrument_id: row for row in held.rows}
        answers = []
        for iid in sorted(held.unexplained, key=str):
            row = rows.get(iid) or PositionRecord(
                instrument_id=iid,
                signed_qty="0",
                avg_px=None,
                ts_event=self._clock.venue_ns(),
                source=Source.SNAPSHOT,
            )
            text = f"{iid}: orders make {_text(nets.get(iid, 0))}, venue has {row.signed_qty}"
            if lookback_mins is None:
                why = "older than all that the venue shows, or moved by hand"
                self._delivery.do([Alarm("position_unexplained", f"{text}: {why}")])
            else:
                self._delivery.note(f"{text}: the rest is older than {lookback_mins} minutes")
                self._counters.inc("reads.positions_older")
            answers.append(self._reads.position_report(row))
        return answers


def _text(raw: int) -> str:
    return f"{(Decimal(raw) / RAW_SCALE).normalize():f}"


def _newest(rows: Sequence[OrderRecord]) -> list[OrderRecord]:
    """One record per order: the last the venue wrote."""
    newest: dict[str, OrderRecord] = {}
    for row in rows:
        name = next(iter(names_of(row.ids)), "")
        known = newest.get(name)
        if known is None or (row.version or 0, row.ts_event) >= (known.version or 0, known.ts_event):
            newest[name] = row
    return list(newest.values())
