"""Public history over REST, one page a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from venuekit.errors import DecodeError, Unsupported
from venuekit.interfaces.request import HttpRequest, RequestPort
from venuekit.interfaces.stream import BookUpdate, DataKind, Page, Quarantined, Want, Window
from venuekit_paradex.wire.json import FundingRow, RestBook, TradeRow
from venuekit_paradex.wire.market_json import funding_update, sequence_number, trade_tick
from venuekit_paradex.wire.replies import parse_rows, read, row_as
from venuekit_paradex.wire.values import parse_e8, parse_ms

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.core.symbols import Symbol, Symbols
    from venuekit.interfaces.stream import NautilusData
    from venuekit.interfaces.time import Clock

MS_NS: Final = 1_000_000
_PATHS: Final = {DataKind.TRADES: ("trades", "/trades"), DataKind.FUNDING_RATE: ("funding", "/funding/data")}
_MOST_ROWS: Final = 1_000
_BOOK_DEPTH: Final = 100


def window_query(window: Window, cursor: str | None, most_rows: int) -> list[tuple[str, str]]:
    """The query of one page; times are in ms, the start rounded down and the end exclusive."""
    query = [("page_size", str(max(1, min(window.limit or most_rows, most_rows))))]
    if window.start_ns is not None:
        query.append(("start_at", str(window.start_ns // MS_NS)))
    if window.end_ns is not None:
        query.append(("end_at", str(max(0, window.end_ns - 1) // MS_NS)))
    if cursor is not None:
        query.append(("cursor", cursor))
    return query


class ParadexHistory:
    """Trades, funding rates and whole books; newest rows come first."""

    __slots__ = ("_clock", "_port", "_symbols")

    def __init__(self, *, port: RequestPort, symbols: Symbols, clock: Clock) -> None:
        self._port = port
        self._symbols = symbols
        self._clock = clock

    async def page(self, want: Want, window: Window, cursor: str | None) -> Page[NautilusData]:
        """One page of trades or funding rates; raises Unsupported, or what the read raises."""
        found = _PATHS.get(want.kind)
        if found is None:
            raise Unsupported(f"Paradex has no history of {want.kind.value} here")
        op, path = found
        symbol = self._symbol(want.instrument_id)
        query = [("market", symbol.raw), *window_query(window, cursor, _MOST_ROWS)]
        body = parse_rows(await read(self._port, HttpRequest(op, "GET", path, query=query)))
        ts_init = self._clock.wall_ns()
        rows: list[NautilusData] = []
        bad: list[Quarantined] = []
        parse: Callable[[bytes], NautilusData] = (
            self._trade(ts_init) if op == "trades" else self._funding(ts_init)
        )
        for raw in body.results:
            try:
                rows.append(parse(bytes(raw)))
            except (DecodeError, ValueError, OverflowError) as error:
                bad.append(quarantined(error))
        return Page(rows, body.next or None, quarantined=bad)

    def _trade(self, ts_init: int) -> Callable[[bytes], NautilusData]:
        return lambda raw: trade_tick(row_as(raw, TradeRow), self._symbols, ts_init)

    def _funding(self, ts_init: int) -> Callable[[bytes], NautilusData]:
        return lambda raw: funding_update(row_as(raw, FundingRow), self._symbols, ts_init)

    async def book(self, instrument_id: InstrumentId) -> BookUpdate:
        """The best 100 levels of each side with their sequence number."""
        symbol = self._symbol(instrument_id)
        path = f"/orderbook/{symbol.raw}"
        request = HttpRequest("orderbook", "GET", path, query=[("depth", str(_BOOK_DEPTH))])
        row = row_as(await read(self._port, request), RestBook)
        sequence = sequence_number(row.seq_no)
        return BookUpdate(
            instrument_id,
            snapshot=True,
            first=sequence,
            last=sequence,
            ts_event=parse_ms(row.last_updated_at, "the book's time"),
            ts_init=self._clock.wall_ns(),
            bids=_levels(row.bids),
            asks=_levels(row.asks),
        )

    def _symbol(self, instrument_id: InstrumentId | None) -> Symbol:
        symbol = self._symbols.by_id(instrument_id) if instrument_id is not None else None
        if symbol is None:
            raise Unsupported(f"{instrument_id} is not a loaded instrument of Paradex")
        return symbol


def quarantined(error: Exception, *, private: bool = False) -> Quarantined:
    """A row that could not be read."""
    kind = error.kind if isinstance(error, DecodeError) else "bad_row"
    return Quarantined(kind, str(error)[:200], private=private)


def _levels(rows: list[list[str]]) -> list[tuple[int, int]]:
    levels: list[tuple[int, int]] = []
    for row in rows:
        if len(row) < 2:
            raise DecodeError("a book level without price or size", kind="bad_book")
        levels.append((parse_e8(row[0], "a level's price"), parse_e8(row[1], "a level's size")))
    return levels
