"""History over REST: pages, windows, and the whole book; rows are ccxt's recordings."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from nautilus_trader.model import AggressorSide, InstrumentId
from venuekit_paradex.history import ParadexHistory

from venuekit.errors import DecodeError, Unsupported
from venuekit.interfaces.stream import DataKind, Want, Window
from venuekit.runtime.clock import ManualClock

CLOCK = ManualClock(wall_start_ns=1_791_421_539_000_000_000)


def history(kit, symbols, path: str, answer):
    port = kit.ScriptedPort({("GET", path): answer})
    return ParadexHistory(port=port, symbols=symbols, clock=CLOCK), port


def page(kit, symbols, kind, path, answer, window=Window(), cursor=None):  # noqa: B008
    source, port = history(kit, symbols, path, answer)
    return asyncio.run(source.page(Want(kind, kit.BTC), window, cursor)), port.asked[0]


def test_trades(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_trades.json")
    found, asked = page(kit, symbols, DataKind.TRADES, "/trades", recorded)
    (tick,) = found.rows
    row = recorded["results"][0]
    assert (str(tick.price), tick.size.as_decimal()) == (row["price"], Decimal(row["size"]))
    assert tick.aggressor_side is AggressorSide.BUY
    assert tick.trade_id.value == row["id"]
    assert (tick.ts_event, tick.ts_init) == (row["created_at"] * 1_000_000, CLOCK.wall_ns())
    assert found.next == recorded["next"]
    assert not asked.private
    assert dict(asked.query) == {"market": "BTC-USD-PERP", "page_size": "1000"}


def test_the_window_and_the_cursor_travel(kit, symbols):
    window = Window(start_ns=1_718_154_353_750_999_999, end_ns=1_718_154_354_000_000_000, limit=50)
    empty = {"results": [], "next": None}
    found, asked = page(kit, symbols, DataKind.TRADES, "/trades", empty, window, "abc=")
    assert (list(found.rows), found.next) == ([], None)
    assert dict(asked.query) == {
        "market": "BTC-USD-PERP",
        "page_size": "50",
        "start_at": "1718154353750",
        # The window is half open: the last wanted millisecond is the one before its end.
        "end_at": "1718154353999",
        "cursor": "abc=",
    }


def test_an_empty_next_ends_the_pages(kit, symbols):
    found, _ = page(kit, symbols, DataKind.TRADES, "/trades", {"results": [], "next": ""})
    assert found.next is None


def test_funding(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_funding_rate_history.json")
    found, asked = page(kit, symbols, DataKind.FUNDING_RATE, "/funding/data", recorded)
    (rate,) = found.rows
    assert rate.rate == Decimal("-0.00006992598926")
    # A period of 0 hours is none at all.
    assert rate.interval is None
    assert dict(asked.query)["market"] == "BTC-USD-PERP"


def test_a_bad_row_is_quarantined_and_the_rest_kept(kit, symbols):
    row = kit.data("recorded_rest/fetch_trades.json")["results"][0]
    bad = [{**row, "price": "0.05"}, {**row, "size": "-1"}, {**row, "market": "DOG"}, {"id": 5}, None]
    found, _ = page(kit, symbols, DataKind.TRADES, "/trades", {"results": [*bad, row]})
    assert len(found.rows) == 1
    assert [one.kind for one in found.quarantined] == [
        "off_grid",
        "bad_size",
        "unknown_market",
        "bad_json",
        "bad_json",
    ]


def test_what_there_is_no_history_of(kit, symbols):
    with pytest.raises(Unsupported):
        page(kit, symbols, DataKind.QUOTES, "/x", {})
    source, _ = history(kit, symbols, "/trades", {})
    with pytest.raises(Unsupported):
        asyncio.run(source.page(Want(DataKind.TRADES, InstrumentId.from_str("DOG.PARADEX")), Window(), None))


def test_the_book(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_order_book.json")
    source, port = history(kit, symbols, "/orderbook/BTC-USD-PERP", recorded)
    book = asyncio.run(source.book(kit.BTC))
    assert (book.snapshot, book.first, book.last) == (True, recorded["seq_no"], recorded["seq_no"])
    assert book.asks == [(6_957_820_000_000, 301_900_000)]
    assert book.bids == [(6_847_760_000_000, 10_000_000)]
    assert book.ts_event == recorded["last_updated_at"] * 1_000_000
    assert dict(port.asked[0].query) == {"depth": "100"}


@pytest.mark.parametrize(
    "change", [{"asks": [["1"]]}, {"asks": [["", ""]]}, {"seq_no": "x"}, {"last_updated_at": 0}]
)
def test_a_book_that_cannot_be_read_is_none(kit, symbols, change):
    recorded = {**kit.data("recorded_rest/fetch_order_book.json"), **change}
    source, _ = history(kit, symbols, "/orderbook/BTC-USD-PERP", recorded)
    with pytest.raises(DecodeError):
        asyncio.run(source.book(kit.BTC))
