"""What Paradex knows of the account, over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from venuekit.errors import DecodeError, Refused
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.reconciliation import AccountRow as AnyRow
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import FillRecord, OrderRecord, Source, WireIds
from venuekit.interfaces.request import HttpRequest, RequestPort
from venuekit.interfaces.stream import Page, Quarantined, Window
from venuekit_paradex.history import quarantined, window_query
from venuekit_paradex.wire.json import AccountRow, BalanceRow, FillRow, OrderRow, PositionRow, Rows
from venuekit_paradex.wire.records import balance_record, fill_record, order_record, position_record
from venuekit_paradex.wire.replies import SAYS, parse_rows, read, row_as

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.time import AtWall
    from venuekit.interfaces.venue import VenueContext

_MOST_ROWS: Final = 1_000
_MOST_PAGES: Final = 20
"""Pages that one look-up reads at most; beyond it says so instead of guessing."""
_OVERLAP_NS: Final = 60_000_000_000
"""A look-up starts this much before its moment: our clock and the venue's need not agree."""


def rest_reconciliation(ctx: VenueContext) -> ParadexReads:
    """The reconciliation source `paradex/rest`."""
    return ParadexReads(port=ctx.ports["rest"], symbols=ctx.symbols)


class ParadexReads:
    """Pages of orders, fills, positions and balances, and the look-up of one order."""

    __slots__ = ("_port", "_symbols")

    def __init__(self, *, port: RequestPort, symbols: Symbols) -> None:
        self._port = port
        self._symbols = symbols

    async def page(self, query: Query, window: Window, cursor: str | None) -> Page[AnyRow]:
        """One page; open orders, positions and balances are one page each. Raises what the reads raise."""
        if query is Query.OPEN:
            return self._parsed(await self._rows("orders", "/orders", []), self._open_order)
        if query is Query.POSITIONS:
            return self._parsed(await self._rows("positions", "/positions", []), self._position)
        if query is Query.BALANCES:
            return await self._balances()
        asked = window_query(window, cursor, _MOST_ROWS)
        if query is Query.FILLS:
            return self._parsed(await self._rows("fills", "/fills", asked), self._fill)
        asked.append(("status", "CLOSED"))
        return self._parsed(await self._rows("orders_history", "/orders-history", asked), self._closed_order)

    async def look_up(self, ids: WireIds, since: AtWall) -> Found | NotFound:
        """The order as the venue has it, open or closed, with its fills.

        The reads of a single order find open ones only, so a closed one comes from history. Not found is
        conclusive when the open list, history since `since` and the fills since then do not know it either.
        """
        if not ids.venue_order_id and not ids.client_order_id:
            return NotFound(conclusive=False)
        start = Window(start_ns=max(0, since.ns - _OVERLAP_NS))
        record, whole = await self._open_by_id(ids), True
        if record is None:
            record, whole = await self._search(ids, start)
        named = ids if record is None else _merged(ids, record.ids)
        fills, all_fills = await self._fills_of(named, start)
        if record is not None:
            return Found(record, tuple(fills))
        return NotFound(conclusive=whole and all_fills and not fills)

    async def _rows(self, op: str, path: str, query: list[tuple[str, str]]) -> Rows:
        return parse_rows(await read(self._port, HttpRequest(op, "GET", path, query=query, private=True)))

    def _parsed(self, body: Rows, parse: Callable[[bytes], AnyRow]) -> Page[AnyRow]:
        rows: list[AnyRow] = []
        bad: list[Quarantined] = []
        for raw in body.results:
            try:
                rows.append(parse(bytes(raw)))
            except (DecodeError, ValueError, OverflowError) as error:
                bad.append(quarantined(error, private=True))
        return Page(rows, body.next or None, quarantined=bad)

    def _open_order(self, raw: bytes) -> OrderRecord:
        return order_record(row_as(raw, OrderRow), self._symbols, Source.SNAPSHOT)

    def _closed_order(self, raw: bytes) -> OrderRecord:
        return order_record(row_as(raw, OrderRow), self._symbols, Source.PAGE)

    def _looked_up(self, raw: bytes) -> OrderRecord:
        return order_record(row_as(raw, OrderRow), self._symbols, Source.LOOKUP)

    def _fill(self, raw: bytes) -> FillRecord:
        return fill_record(row_as(raw, FillRow), self._symbols, Source.PAGE)

    def _position(self, raw: bytes) -> AnyRow:
        return position_record(row_as(raw, PositionRow), self._symbols, Source.SNAPSHOT)

    async def _balances(self) -> Page[AnyRow]:
        tokens = (await self._rows("balance", "/balance", [])).results
        body = await read(self._port, HttpRequest("account", "GET", "/account", private=True))
        rows = [row_as(bytes(raw), BalanceRow) for raw in tokens]
        return Page([balance_record(row_as(body, AccountRow), rows, Source.SNAPSHOT)])

    async def _open_by_id(self, ids: WireIds) -> OrderRecord | None:
        """The order when it is open and can be named; None says only that it is not open under this name."""
        if ids.venue_order_id:
            path = f"/orders/{quote(ids.venue_order_id, safe='')}"
        else:
            path = f"/orders/by_client_id/{quote(ids.client_order_id or '', safe='')}"
        try:
            body = await read(self._port, HttpRequest("order", "GET", path, private=True))
        except Refused as error:
            if error.code == "NOT_FOUND" or SAYS.get(("rest", error.code)) is Says.GONE:
                return None
            raise
        record = self._looked_up(body)
        return record if _same(ids, record.ids) else None

    async def _search(self, ids: WireIds, start: Window) -> tuple[OrderRecord | None, bool]:
        """The newest matching order of the open list and of history, and whether every row could be read."""
        opened = self._parsed(await self._rows("orders", "/orders", []), self._looked_up)
        found = [row for row in opened.rows if isinstance(row, OrderRecord) and _same(ids, row.ids)]
        if found:
            return max(found, key=_age), True
        narrowed = [("client_id", ids.client_order_id)] if ids.client_order_id else []
        rows, whole = await self._scan("orders_history", "/orders-history", narrowed, start, self._looked_up)
        found = [row for row in rows if isinstance(row, OrderRecord) and _same(ids, row.ids)]
        # An order of the same name from before is another order.
        fresh = [row for row in found if start.start_ns is None or row.ts_event >= start.start_ns]
        return (max(fresh, key=_age) if fresh else None), whole and not opened.quarantined

    async def _fills_of(self, ids: WireIds, start: Window) -> tuple[list[FillRecord], bool]:
        rows, whole = await self._scan("fills", "/fills", [], start, self._fill)
        return [row for row in rows if isinstance(row, FillRecord) and _same(ids, row.ids)], whole

    async def _scan(
        self,
        op: str,
        path: str,
        narrowed: list[tuple[str, str]],
        window: Window,
        parse: Callable[[bytes], AnyRow],
    ) -> tuple[list[AnyRow], bool]:
        """Every row since the window's start, and whether that is all of them, each readable."""
        rows: list[AnyRow] = []
        cursor: str | None = None
        readable = True
        for _ in range(_MOST_PAGES):
            query = [*narrowed, *window_query(window, cursor, _MOST_ROWS)]
            page = self._parsed(await self._rows(op, path, query), parse)
            rows += page.rows
            readable = readable and not page.quarantined
            if page.next is None or page.next == cursor:
                return rows, readable
            cursor = page.next
        return rows, False


def _same(asked: WireIds, found: WireIds) -> bool:
    """The venue's id decides where both have one, else our own."""
    if asked.venue_order_id and found.venue_order_id:
        return asked.venue_order_id == found.venue_order_id
    return asked.client_order_id is not None and asked.client_order_id == found.client_order_id


def _merged(asked: WireIds, found: WireIds) -> WireIds:
    return WireIds(
        client_order_id=asked.client_order_id or found.client_order_id,
        venue_order_id=found.venue_order_id or asked.venue_order_id,
    )


def _age(record: OrderRecord) -> tuple[int, int]:
    return (record.ts_event, record.version or 0)
