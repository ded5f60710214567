"""The account over REST: pages of each kind, and look-ups that never take silence for an answer."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from nautilus_trader.model import LiquiditySide, OrderStatus
from venuekit_paradex.reconciliation import ParadexReads

from venuekit.errors import AuthNeeded, DecodeError, NotReady, RateLimited, SendFailed
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import BustRecord, Source, WireIds
from venuekit.interfaces.request import Evidence, Reply
from venuekit.interfaces.stream import Window
from venuekit.interfaces.time import AtWall

SINCE = AtWall(1_718_941_720_000_000_000)
EMPTY = {"results": [], "next": None}


def reads(kit, symbols, answers) -> tuple[ParadexReads, object]:
    port = kit.ScriptedPort({("GET", path): answer for path, answer in answers.items()})
    return ParadexReads(port=port, symbols=symbols), port


def page(kit, symbols, query, answers, window=Window(), cursor=None):  # noqa: B008
    source, port = reads(kit, symbols, answers)
    return asyncio.run(source.page(query, window, cursor)), port


def test_open_orders(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_open_orders.json")
    found, port = page(kit, symbols, Query.OPEN, {"/orders": recorded})
    (record,) = found.rows
    assert (record.ids.client_order_id, record.source) == ("x1234", Source.SNAPSHOT)
    assert (record.status, record.version) == (OrderStatus.SUBMITTED, None)
    assert found.next is None
    assert port.asked[0].private


def test_closed_orders_are_paged(kit, symbols):
    row = kit.data("recorded_rest/fetch_order.json")
    body = {"results": [row], "next": "more", "prev": None}
    window = Window(start_ns=1_000_000_000)
    found, port = page(kit, symbols, Query.CLOSED, {"/orders-history": body}, window, "cur")
    (record,) = found.rows
    assert (record.status, record.reason, str(record.filled)) == (
        OrderStatus.CANCELED,
        "USER_CANCELED",
        "0.00000",
    )
    assert record.ids.client_order_id is None
    assert (record.source, found.next) == (Source.PAGE, "more")
    assert dict(port.asked[0].query) == {
        "page_size": "1000",
        "start_at": "1000",
        "cursor": "cur",
        "status": "CLOSED",
    }


def test_fills(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_my_trades.json")
    found, port = page(kit, symbols, Query.FILLS, {"/fills": recorded})
    (record,) = found.rows
    row = recorded["results"][0]
    assert (record.trade_key, record.ids.venue_order_id) == (row["id"], row["order_id"])
    assert (record.liquidity, str(record.fee)) == (LiquiditySide.TAKER, "0.19455870 USDC")
    assert found.next is None
    assert port.asked[0].path == "/fills"


def test_positions(kit, symbols):
    recorded = kit.data("recorded_rest/fetch_positions.json")
    closed = {**recorded["results"][0], "market": "ETH-USD-PERP", "status": "CLOSED", "size": "0"}
    found, _ = page(
        kit, symbols, Query.POSITIONS, {"/positions": {"results": [*recorded["results"], closed]}}
    )
    long, flat = found.rows
    assert (long.signed_qty, long.avg_px, long.version) == (
        "0.01",
        "64839.96053748",
        1_718_950_074_249_176_253,
    )
    assert (flat.signed_qty, flat.avg_px) == ("0", None)


def test_positions_with_numbers_as_text(kit, symbols):
    cases = {case["method"]: case for case in kit.data("ccxt_static_cases.json")["cases"]}
    case = cases["fetchPositions"]
    symbols = kit.load_symbols(*kit.data("ccxt_static_cases.json")["markets"])
    found, _ = page(kit, symbols, Query.POSITIONS, {"/positions": case["httpResponse"]})
    parsed = case["ccxt_4_5_90_parsed"][0]
    assert Decimal(found.rows[0].signed_qty) == Decimal(str(parsed["contracts"]))
    assert found.rows[0].ts_event == 1_722_426_261_489 * 1_000_000


def test_balances_join_wallet_and_summary(kit, symbols):
    answers = {
        "/balance": {"results": [{"token": "USDC", "size": "99980.2382266290601", "last_updated_at": 1}]},
        "/account": kit.data("rest/get_account.200.json"),
    }
    found, _ = page(kit, symbols, Query.BALANCES, answers)
    (record,) = found.rows
    (balance,), (margin,) = record.balances, record.margins
    # Digits beyond the currency's 8 are cut: what is not there does not show.
    assert str(balance.total) == "99980.23822662 USDC"
    assert str(balance.free) == "73276.47229774 USDC"
    assert balance.locked.as_decimal() == balance.total.as_decimal() - balance.free.as_decimal()
    assert str(margin.initial) == "63008.59689218 USDC"


def test_other_tokens_are_free(kit, symbols):
    tokens = [{"token": "USDC", "size": "5"}, {"token": "DIME", "size": "7.25"}]
    answers = {"/balance": {"results": tokens}, "/account": kit.data("rest/get_account.200.json")}
    found, _ = page(kit, symbols, Query.BALANCES, answers)
    shown = [(b.currency.code, str(b.total), str(b.free)) for b in found.rows[0].balances]
    assert shown == [
        ("USDC", "5.00000000 USDC", "5.00000000 USDC"),
        ("DIME", "7.25000000 DIME", "7.25000000 DIME"),
    ]


def test_busts_are_paged(kit, symbols):
    published = kit.data("rest/get_tradebusts.200.json")
    found, port = page(kit, symbols, Query.BUSTS, {"/tradebusts": published}, Window(start_ns=1_000_000_000))
    assert found.rows == [
        BustRecord(trade_key="12342345", ts_event=1_681_497_002_041_000_000, source=Source.PAGE)
    ]
    assert found.next == published["next"]
    assert dict(port.asked[0].query) == {"page_size": "1000", "start_at": "1000"}
    assert port.asked[0].private


def test_a_bad_row_is_private_doubt(kit, symbols):
    good = kit.data("recorded_rest/fetch_my_trades.json")["results"][0]
    body = {"results": [{**good, "size": "0"}, {**good, "market": "DOG"}, {}, good], "next": None}
    found, _ = page(kit, symbols, Query.FILLS, {"/fills": body})
    assert len(found.rows) == 1
    assert len(found.quarantined) == 3
    assert all(one.private for one in found.quarantined)


@pytest.mark.parametrize("query", list(Query))
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Reply(401, b""), AuthNeeded),
        (Reply(429, b""), RateLimited),
        (Reply(503, b"<html>"), NotReady),
        (Reply(200, b"<html>maintenance</html>"), DecodeError),
        (Reply(200, b""), DecodeError),
        (Reply(200, b"{}"), DecodeError),
        (Reply(200, b'{"results":null}'), DecodeError),
        (Reply(200, b'{"results":[{"id":"1"'), DecodeError),
        (Reply(200, b'{"error":"INTERNAL_ERROR","message":"try later"}'), DecodeError),
        (SendFailed("lost", evidence=Evidence.MAYBE_SENT), SendFailed),
    ],
)
def test_a_failure_is_never_an_empty_page(kit, symbols, query, failure, error):
    def fail(_request):
        if isinstance(failure, Exception):
            raise failure
        return failure

    paths = ("/orders", "/orders-history", "/fills", "/tradebusts", "/positions", "/balance", "/account")
    with pytest.raises(error):
        page(kit, symbols, query, dict.fromkeys(paths, fail))


# --- look-ups


def look_up(kit, symbols, ids, answers):
    source, port = reads(kit, symbols, answers)
    return asyncio.run(source.look_up(ids, SINCE)), [(asked.path, dict(asked.query)) for asked in port.asked]


def order(kit, **changes):
    """The recorded order of `fetch_order`, made ours."""
    return {**kit.data("recorded_rest/fetch_order.json"), "client_id": "O-1", **changes}


def fill(kit, **changes):
    row = kit.data("recorded_rest/fetch_my_trades.json")["results"][0]
    return {
        **row,
        "order_id": order(kit)["id"],
        "client_id": "O-1",
        "created_at": 1_718_941_725_090,
        **changes,
    }


OURS = WireIds(client_order_id="O-1")
BOTH = WireIds(client_order_id="O-1", venue_order_id="1718941725080201704028870000")


def test_an_open_order_by_the_venues_id(kit, symbols):
    row = order(kit, status="OPEN", cancel_reason="")
    found, asked = look_up(kit, symbols, BOTH, {f"/orders/{row['id']}": row, "/fills": EMPTY})
    assert isinstance(found, Found)
    assert (found.record.status, found.record.source) == (OrderStatus.ACCEPTED, Source.LOOKUP)
    assert [path for path, _ in asked] == [f"/orders/{row['id']}", "/fills"]


def test_an_open_order_by_our_id(kit, symbols):
    row = order(kit, status="OPEN", cancel_reason="")
    found, asked = look_up(kit, symbols, OURS, {"/orders/by_client_id/O-1": row, "/fills": EMPTY})
    assert found.record.ids.venue_order_id == row["id"]
    assert asked[0][0] == "/orders/by_client_id/O-1"


def test_an_order_that_only_the_open_list_shows(kit, symbols):
    """An order before its risk check or its trigger is found by its list, not by our id."""
    row = order(kit, status="NEW", cancel_reason="")
    answers = {"/orders": {"results": [order(kit, client_id="other"), row]}, "/fills": EMPTY}
    found, _ = look_up(kit, symbols, OURS, answers)
    assert found.record.status is OrderStatus.SUBMITTED


def test_a_closed_order_comes_from_history_with_its_fills(kit, symbols):
    row = order(kit, remaining_size="0", cancel_reason="", avg_fill_price="70000")
    fills = {"results": [fill(kit), fill(kit, id="2", order_id="99", client_id="")], "next": None}
    answers = {"/orders": EMPTY, "/orders-history": {"results": [row], "next": None}, "/fills": fills}
    found, asked = look_up(kit, symbols, OURS, answers)
    assert found.record.status is OrderStatus.FILLED
    assert [one.trade_key for one in found.fills] == [fill(kit)["id"]]
    # Our id narrows it, and no time does: the clocks need not agree.
    assert dict(asked)["/orders-history"] == {"client_id": "O-1", "page_size": "1000"}
    assert int(dict(asked)["/fills"]["start_at"]) == SINCE.ns // 1_000_000 - 60_000


OLD = dict.fromkeys(("created_at", "timestamp"), SINCE.ns // 1_000_000 - 3_600_000)


@pytest.mark.parametrize("path", ["/orders/by_client_id/O-1", "/orders", "/orders-history"])
def test_an_order_that_was_signed_with_a_clock_far_ahead_is_ours(kit, symbols, path):
    """Paradex documents only how late a signed time may be: one that lies ahead is taken."""
    ahead_ms = 7_200_000
    made_ms = SINCE.ns // 1_000_000 - ahead_ms
    row = order(kit, created_at=made_ms, last_updated_at=made_ms + 9, timestamp=SINCE.ns // 1_000_000)
    answers = {"/orders": EMPTY, "/orders-history": EMPTY}
    answers |= {path: row if path.endswith("O-1") else {"results": [row], "next": None}}
    answers["/fills"] = {"results": [fill(kit, created_at=made_ms + 5)], "next": None}
    found, asked = look_up(kit, symbols, OURS, answers)
    assert isinstance(found, Found)
    assert [one.trade_key for one in found.fills] == [fill(kit)["id"]]
    assert int(dict(asked)["/fills"]["start_at"]) <= made_ms, "the venue keeps its own time"
    assert "start_at" not in dict(asked).get("/orders-history", {})


@pytest.mark.parametrize("signed", [{}, {"timestamp": 0}])
def test_an_older_order_of_the_same_name_is_another_order(kit, symbols, signed):
    """Even while it is open: a new order under its name was refused as a duplicate."""
    old = {**OLD, **signed}
    still_open = order(kit, status="OPEN", cancel_reason="", **old)
    answers = {
        "/orders/by_client_id/O-1": still_open,
        "/orders": {"results": [still_open]},
        "/orders-history": {"results": [order(kit, **old)], "next": None},
        "/fills": EMPTY,
    }
    found, _ = look_up(kit, symbols, OURS, answers)
    assert found == NotFound(conclusive=True)


def test_an_old_order_is_found_by_the_venues_id(kit, symbols):
    row = order(kit, **OLD)
    answers = {"/orders": EMPTY, "/orders-history": {"results": [row], "next": None}, "/fills": EMPTY}
    found, asked = look_up(kit, symbols, BOTH, answers)
    assert found.record.ids == BOTH
    # Both ids are exact, so no time narrows the question.
    assert dict(asked)["/orders-history"] == {"client_id": "O-1", "page_size": "1000"}
    found, asked = look_up(kit, symbols, WireIds(venue_order_id=BOTH.venue_order_id), answers)
    assert found.record.ids == BOTH
    assert set(dict(asked)["/orders-history"]) == {"page_size", "start_at"}


def test_the_newest_of_two_is_taken(kit, symbols):
    rows = [order(kit), order(kit, id="2", last_updated_at=1_718_958_002_992), order(kit, id="3", seq_no=1)]
    answers = {"/orders": EMPTY, "/orders-history": {"results": rows, "next": None}, "/fills": EMPTY}
    found, _ = look_up(kit, symbols, OURS, answers)
    assert found.record.ids.venue_order_id == "2"


def test_nowhere_to_be_seen_is_conclusive(kit, symbols):
    found, asked = look_up(kit, symbols, OURS, {"/orders": EMPTY, "/orders-history": EMPTY, "/fills": EMPTY})
    assert found == NotFound(conclusive=True)
    assert [path for path, _ in asked] == ["/orders/by_client_id/O-1", "/orders", "/orders-history", "/fills"]


def test_a_fill_without_its_order_is_not_conclusive(kit, symbols):
    fills = {"results": [fill(kit)], "next": None}
    found, _ = look_up(kit, symbols, OURS, {"/orders": EMPTY, "/orders-history": EMPTY, "/fills": fills})
    assert found == NotFound(conclusive=False)


@pytest.mark.parametrize("path", ["/orders", "/orders-history", "/fills"])
def test_a_row_that_cannot_be_read_is_not_conclusive(kit, symbols, path):
    answers = {"/orders": EMPTY, "/orders-history": EMPTY, "/fills": EMPTY}
    answers[path] = {"results": [{"id": 5}], "next": None}
    found, _ = look_up(kit, symbols, OURS, answers)
    assert found == NotFound(conclusive=False)


def test_endless_pages_are_not_conclusive(kit, symbols):
    def more(request):
        cursor = int(dict(request.query).get("cursor", "0"))
        return Reply(200, b'{"results":[],"next":"%d"}' % (cursor + 1))

    answers = {"/orders": EMPTY, "/orders-history": more, "/fills": EMPTY}
    found, asked = look_up(kit, symbols, OURS, answers)
    assert found == NotFound(conclusive=False)
    assert sum(path == "/orders-history" for path, _ in asked) == 20


@pytest.mark.parametrize("path", ["/orders-history", "/fills"])
def test_pages_that_repeat_are_not_conclusive(kit, symbols, path):
    same = {"results": [], "next": "again"}
    answers = {"/orders": EMPTY, "/orders-history": EMPTY, "/fills": EMPTY, path: same}
    found, asked = look_up(kit, symbols, OURS, answers)
    assert found == NotFound(conclusive=False), "what lies behind them was not seen"
    assert sum(one == path for one, _ in asked) <= 3


def test_without_any_id_nothing_is_asked(kit, symbols):
    found, asked = look_up(kit, symbols, WireIds(), {})
    assert (found, asked) == (NotFound(conclusive=False), [])


@pytest.mark.parametrize("path", ["/orders/by_client_id/O-1", "/orders", "/orders-history", "/fills"])
@pytest.mark.parametrize("reply", [Reply(503, b""), Reply(400, b'{"error":"NEVER_HEARD_OF"}')])
def test_a_failed_look_up_raises(kit, symbols, path, reply):
    answers = {"/orders": EMPTY, "/orders-history": EMPTY, "/fills": EMPTY, path: reply}
    source, _ = reads(kit, symbols, answers)
    with pytest.raises((NotReady, Exception)) as caught:
        asyncio.run(source.look_up(OURS, SINCE))
    assert not isinstance(caught.value, AssertionError)
