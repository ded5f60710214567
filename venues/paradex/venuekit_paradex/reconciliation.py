"""What Paradex knows of the account, over REST."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from msgspec import Raw

from venuekit.errors import DecodeError, Refused
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.reconciliation import AccountRow as AnyRow
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import BustRecord, FillRecord, OrderRecord, Source, WireIds
from venuekit.interfaces.request import HttpRequest, RequestPort
from venuekit.interfaces.stream import Page, Quarantined, Window
from venuekit_paradex.history import quarantined, window_query
from venuekit_paradex.wire.json import AccountRow, BalanceRow, BustRow, FillRow, OrderRow, PositionRow, Rows
from venuekit_paradex.wire.records import (
    balance_record,
    bust_record,
    fill_record,
    order_record,
    position_record,
)
from venuekit_paradex.wire.replies import SAYS, parse_rows, read, row_as
from venuekit_paradex.wire.values import parse_ms

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.time import AtWall
    from venuekit.interfaces.venue import VenueContext

_MOST_ROWS: Final = 1_000
_MOST_PAGES: Final = 20
"""Pages that one look-up reads at most; beyond it says so instead of guessing."""
_OVERLAP_NS: Final = 60_000_000_000
"""A look-up starts this much before its moment: our clock and the venue's need not agree."""

type _Match = tuple[OrderRecord, int]
"""An order, and when the venue made it."""


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
        if query is Query.BALANCES:
            return await self._balances()
        parse: Callable[[bytes], AnyRow]
        if query is Query.OPEN:
            body, parse = await self._rows("orders", "/orders", []), self._open_order
        elif query is Query.POSITIONS:
            body, parse = await self._rows("positions", "/positions", []), self._position
        else:
            asked = window_query(window, cursor, _MOST_ROWS)
            if query is Query.FILLS:
                body, parse = await self._rows("fills", "/fills", asked), self._fill
            elif query is Query.BUSTS:
                body, parse = await self._rows("tradebusts", "/tradebusts", asked), self._bust
            else:
                asked.append(("status", "CLOSED"))
                body = await self._rows("orders_history", "/orders-history", asked)
                parse = self._closed_order
        return _parsed(body.results, parse, body.next)

    async def look_up(self, ids: WireIds, since: AtWall) -> Found | NotFound:
        """The order as the venue has it, open or closed, with its fills; `since` is no later than its send.

        The reads of a single order find open ones only, so a closed one comes from history. Not found is
        conclusive when open list, history and fills since `since` do not know it either.
        Under our id alone, an order that was signed before `since` is another order of the same name. When it
        was made says nothing: our clock may be far ahead of the venue's, which takes what is signed ahead.
        """
        if not ids.venue_order_id and not ids.client_order_id:
            return NotFound(conclusive=False)
        start_ns = max(0, since.ns - _OVERLAP_NS)
        match, whole = await self._open_by_id(ids, start_ns), True
        if match is None:
            match, whole = await self._search(ids, start_ns)
        if match is None:
            fills, all_fills = await self._fills_of(ids, start_ns)
            return NotFound(conclusive=whole and all_fills and not fills)
        record, made_ns = match
        fills, _ = await self._fills_of(_merged(ids, record.ids), min(start_ns, made_ns))
        return Found(record, tuple(fills))

    async def _rows(self, op: str, path: str, query: list[tuple[str, str]]) -> Rows:
        return parse_rows(await read(self._port, HttpRequest(op, "GET", path, query=query, private=True)))

    def _open_order(self, raw: bytes) -> OrderRecord:
        return order_record(row_as(raw, OrderRow), self._symbols, Source.SNAPSHOT)

    def _closed_order(self, raw: bytes) -> OrderRecord:
        return order_record(row_as(raw, OrderRow), self._symbols, Source.PAGE)

    def _wanted(self, ids: WireIds, start_ns: int) -> Callable[[bytes], _Match | None]:
        """Reads a row and gives its record when it is the order that is looked for."""

        def parse(raw: bytes) -> _Match | None:
            row = row_as(raw, OrderRow)
            record = order_record(row, self._symbols, Source.LOOKUP)
            if not _same(ids, record.ids):
                return None
            made_ns = parse_ms(row.created_at, "created_at") if row.created_at else start_ns
            signed_ns = parse_ms(row.timestamp, "timestamp") if row.timestamp else made_ns
            return None if not ids.venue_order_id and signed_ns < start_ns else (record, made_ns)

        return parse

    def _fill(self, raw: bytes) -> FillRecord:
        return fill_record(row_as(raw, FillRow), self._symbols, Source.PAGE)

    def _bust(self, raw: bytes) -> BustRecord:
        return bust_record(row_as(raw, BustRow), Source.PAGE)

    def _position(self, raw: bytes) -> AnyRow:
        return position_record(row_as(raw, PositionRow), self._symbols, Source.SNAPSHOT)

    async def _balances(self) -> Page[AnyRow]:
        # The account first: its time is the record's, and no part may be older than that time. Else a fill
        # between the two reads would be undone by figures from before it that look newer.
        body = await read(self._port, HttpRequest("account", "GET", "/account", private=True))
        tokens = (await self._rows("balance", "/balance", [])).results
        rows = [row_as(bytes(raw), BalanceRow) for raw in tokens]
        return Page([balance_record(row_as(body, AccountRow), rows, Source.SNAPSHOT)])

    async def _open_by_id(self, ids: WireIds, start_ns: int) -> _Match | None:
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
        return self._wanted(ids, start_ns)(body)

    async def _search(self, ids: WireIds, start_ns: int) -> tuple[_Match | None, bool]:
        """The newest matching order of the open list, else of history; whether every row could be read."""
        wanted = self._wanted(ids, start_ns)
        opened = _parsed((await self._rows("orders", "/orders", [])).results, wanted)
        found = [match for match in opened.rows if match is not None]
        if found:
            return max(found, key=_age), True
        narrowed = [("client_id", ids.client_order_id)] if ids.client_order_id else []
        # Our id narrows enough, so that an order may be found whatever the venue's times mean.
        window = Window() if narrowed else Window(start_ns=start_ns)
        rows, whole = await self._scan("orders_history", "/orders-history", narrowed, window, wanted)
        found = [match for match in rows if match is not None]
        return (max(found, key=_age) if found else None), whole and not opened.quarantined

    async def _fills_of(self, ids: WireIds, start_ns: int) -> tuple[list[FillRecord], bool]:
        rows, whole = await self._scan("fills", "/fills", [], Window(start_ns=start_ns), self._fill)
        return [row for row in rows if _same(ids, row.ids)], whole

    async def _scan[Row](
        self,
        op: str,
        path: str,
        narrowed: list[tuple[str, str]],
        window: Window,
        parse: Callable[[bytes], Row],
    ) -> tuple[list[Row], bool]:
        """Every row of the window, and whether that is all of them, each readable."""
        rows: list[Row] = []
        cursor: str | None = None
        readable = True
        for _ in range(_MOST_PAGES):
            body = await self._rows(op, path, [*narrowed, *window_query(window, cursor, _MOST_ROWS)])
            page = _parsed(body.results, parse)
            rows += page.rows
            readable = readable and not page.quarantined
            if not body.next:
                return rows, readable
            if body.next == cursor:
                break
            cursor = body.next
        return rows, False


def _parsed[Row](
    raws: Sequence[Raw], parse: Callable[[bytes], Row], following: str | None = None
) -> Page[Row]:
    """A page of what can be read; the rest is quarantined."""
    rows: list[Row] = []
    bad: list[Quarantined] = []
    for raw in raws:
        try:
            rows.append(parse(bytes(raw)))
        except (DecodeError, ValueError, OverflowError) as error:
            bad.append(quarantined(error, private=True))
    return Page(rows, following or None, quarantined=bad)


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


def _age(match: _Match) -> tuple[int, int]:
    record = match[0]
    return (record.ts_event, record.version or 0)
