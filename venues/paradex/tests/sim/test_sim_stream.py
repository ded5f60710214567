"""The simulator's WebSocket sessions: envelope, login, channels, encodings, order entry."""

from __future__ import annotations

import json
import struct
from decimal import Decimal

import pytest

BTC = "BTC-USD-PERP"
ETH = "ETH-USD-PERP"
HEADER = struct.Struct("<HHHH")


def header(frame: bytes) -> tuple[int, int, int, int]:
    return HEADER.unpack_from(frame)


def book_of(frame: bytes) -> tuple[int, int, list, list, str]:
    """(package type, seq, bids, asks, market), read by the schema's offsets."""
    block, template, _, _ = header(frame)
    assert (block, template) == (89, 3)
    _, seq, package = struct.unpack_from("<qqB", frame, 8)
    offset, sides = 8 + block, []
    for _ in range(2):
        width, count = struct.unpack_from("<HH", frame, offset)
        assert width == 16
        pairs = [struct.unpack_from("<qq", frame, offset + 4 + 16 * n) for n in range(count)]
        sides.append([(Decimal(p).scaleb(-8), Decimal(s).scaleb(-8)) for p, s in pairs])
        offset += 4 + 16 * count
    market = frame[offset + 1 : offset + 1 + frame[offset]].decode()
    return package, seq, sides[0], sides[1], market


def strings(frame: bytes) -> list[str]:
    """Trailing strings of a frame without groups."""
    offset, found = 8 + header(frame)[0], []
    while offset < len(frame):
        found.append(frame[offset + 1 : offset + 1 + frame[offset]].decode())
        offset += 1 + frame[offset]
    return found


def test_the_envelope_carries_times_and_echoes_the_id(bench) -> None:
    stream = bench.stream()
    for key in (1, "text", 9007199254740991):
        reply = stream.raw(
            json.dumps({"jsonrpc": "2.0", "method": "subscribe", "params": {"channel": "x"}, "id": key})
        )
        assert reply["id"] == key
        assert reply["usDiff"] == reply["usOut"] - reply["usIn"] >= 0
        assert reply["usIn"] // 1000 == bench.now_ms
    reply = stream.raw('{"jsonrpc":"2.0","method":"subscribe","params":{"channel":"trades.ALL"}}')
    assert "id" not in reply  # one public client subscribes without an id
    assert reply["result"] == {"channel": "trades.ALL"}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", -32700),
        (b"\x00\xff", -32700),
        ("[]", -32600),
        ('{"method":"auth"}', -32600),
        ('{"jsonrpc":"2.0","method":5}', -32600),
        ('{"jsonrpc":"2.0","method":"order.fly","id":1}', -32601),
        ('{"jsonrpc":"2.0","method":"subscribe","id":1}', -32602),
        ('{"jsonrpc":"2.0","method":"auth","params":{"bearer":"x"},"id":1}', 40110),
        ('{"jsonrpc":"2.0","method":"auth","params":{"bearer":"a.b.c"},"id":1}', 40111),
        ('{"jsonrpc":"2.0","method":"order.create","params":{},"id":1}', 40300),
        ('{"jsonrpc":"2.0","method":"subscribe","params":{"channel":"orders.ALL"},"id":1}', 40300),
    ],
)
def test_error_codes(bench, frame, code) -> None:
    assert bench.stream().raw(frame)["error"]["code"] == code


@pytest.mark.parametrize(
    ("query", "accepted"),
    [
        ((), True),
        ((("sbeSchemaId", "1"), ("sbeSchemaVersion", "0")), True),
        ((("sbeSchemaId", "1"), ("sbeSchemaVersion", "2")), True),
        ((("sbeSchemaId", "1"), ("sbeSchemaVersion", "3")), False),
        ((("sbeSchemaId", "2"), ("sbeSchemaVersion", "1")), False),
        ((("sbeSchemaId", "1"),), False),
        ((("sbeSchemaVersion", "1"),), False),
        ((("sbeSchemaId", "1"), ("sbeSchemaVersion", "-1")), False),
    ],
)
def test_only_offered_schemas_connect(bench, query, accepted) -> None:
    stream = type(bench.stream())(bench, query)
    assert (stream.refused is None) == accepted
    if stream.refused is not None:
        assert stream.refused.status == 400


@pytest.mark.parametrize(
    "channel",
    [
        "nothing",
        "bbo",
        "bbo.XYZ",
        f"order_book.{BTC}",
        f"order_book.{BTC}.deltas@15@100ms",
        f"order_book.{BTC}.snapshot@20@100ms",
        f"order_book.{BTC}.snapshot@15@200ms",
        "order_book.ALL.deltas",
        "account.ALL",
        "",
    ],
)
def test_channels_that_do_not_exist(bench, channel) -> None:
    error = bench.stream(1).login().call("subscribe", {"channel": channel})["error"]
    assert (error["code"], error["data"]) == (-32600, "invalid channel")


def test_subscribing_twice_and_unsubscribing_the_unknown_are_errors(bench) -> None:
    stream = bench.stream(1).subscribe("trades.ALL")
    assert stream.call("subscribe", {"channel": "trades.ALL"})["error"]["code"] == -32600
    assert stream.call("unsubscribe", {"channel": "trades.ALL"})["result"] == {"channel": "trades.ALL"}
    assert stream.call("unsubscribe", {"channel": "trades.ALL"})["error"]["code"] == -32600


def test_one_book_channel_a_market_on_an_sbe_session(bench) -> None:
    stream = bench.stream(1).subscribe(f"order_book.{BTC}.deltas", f"order_book.{ETH}.deltas")
    second = {"channel": f"order_book.{BTC}.snapshot@15@100ms"}
    assert stream.call("subscribe", second)["error"]["code"] == -32600
    assert "result" in bench.stream().subscribe(f"order_book.{BTC}.deltas").call("subscribe", second)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_deltas_begin_with_the_whole_book_and_then_count_by_one(bench, version) -> None:
    bench.quote(size="1")
    channel = f"order_book.{BTC}.deltas"
    stream = bench.stream(version).subscribe(channel)
    (first,) = stream.take(channel)
    assert header(first)[2:] == (1, version)
    package, seq, bids, asks, market = book_of(first)
    assert (package, market) == (0, BTC)
    assert (bids, asks) == ([(Decimal(83400), Decimal(1))], [(Decimal(83500), Decimal(1))])
    bench.quote(bid="83400", ask="83501", size="2")
    bench.quote(market=ETH, bid="3000", ask="3001")
    book = {"bids": dict(bids), "asks": dict(asks)}
    frames = stream.take(channel)
    assert frames
    for frame in frames:
        package, number, bids, asks, market = book_of(frame)
        assert (package, number, market) == (1, seq + 1, BTC)
        seq = number
        for side, levels in (("bids", bids), ("asks", asks)):
            for price, size in levels:
                if size:
                    book[side][price] = size
                else:
                    book[side].pop(price)
    view = bench.exchange.book(BTC)
    assert (tuple(sorted(book["bids"].items(), reverse=True)), seq) == (view.bids, view.seq)
    assert tuple(sorted(book["asks"].items())) == view.asks


def test_a_book_that_nothing_touched_yet_is_whole_and_of_a_real_time(bench) -> None:
    opened_us = bench.now_ms * 1_000
    bench.after(5_000)
    channel = f"order_book.{BTC}.deltas"
    binary, told = bench.stream(1).subscribe(channel), bench.stream().subscribe(channel)
    (frame,), (whole,) = binary.take(channel), told.take(channel)
    assert book_of(frame) == (0, 1, [], [], BTC)
    assert struct.unpack_from("<q", frame, 8) == (opened_us,)
    assert (whole["update_type"], whole["seq_no"], whole["last_updated_at"]) == ("s", 1, opened_us // 1_000)
    bench.quote(size="1")
    assert book_of(binary.take(channel)[0])[:2] == (1, 2)


def test_json_books_name_what_changed(bench) -> None:
    bench.quote(size="1")
    channel = f"order_book.{BTC}.deltas"
    stream = bench.stream().subscribe(channel)
    (whole,) = stream.take(channel)
    assert whole["update_type"] == "s"
    assert whole["inserts"] == [
        {"side": "BUY", "price": "83400", "size": "1"},
        {"side": "SELL", "price": "83500", "size": "1"},
    ]
    bench.quote(bid="83399", ask="83500", size="1")
    insert, update = stream.take(channel)
    assert insert["inserts"] == [{"side": "BUY", "price": "83399", "size": "1"}]
    assert update["updates"] == [{"side": "SELL", "price": "83500", "size": "2"}]
    assert update["seq_no"] == insert["seq_no"] + 1 == whole["seq_no"] + 2
    assert (insert["update_type"], insert["updates"], insert["deletes"]) == ("d", [], [])


def test_snapshots_come_on_their_interval_when_the_book_changed(bench) -> None:
    bench.quote()
    channel = f"order_book.{BTC}.snapshot@15@100ms"
    stream = bench.stream().subscribe(channel)
    assert len(stream.take(channel)) == 1
    bench.after(500)
    assert stream.take(channel) == []
    bench.quote(bid="83390", ask="83510")
    bench.after(100)
    (frame,) = stream.take(channel)
    assert [row["price"] for row in frame["inserts"]] == ["83400", "83390", "83500", "83510"]
    grouped = f"order_book.{BTC}.snapshot@15@50ms@100"
    (frame,) = stream.subscribe(grouped).take(grouped)
    assert [(row["price"], row["size"]) for row in frame["inserts"]] == [
        ("83400", "1"),
        ("83300", "1"),
        ("83500", "1"),
        ("83600", "1"),
    ]


def test_bbo_and_trades_in_both_encodings(bench) -> None:
    bench.quote()
    plain = bench.stream().subscribe("bbo.ALL", "trades.ALL")
    binary = bench.stream(2).subscribe(f"bbo.{BTC}", f"trades.{BTC}")
    assert [row["market"] for row in plain.take("bbo.ALL")] == [BTC, ETH]
    (frame,) = binary.take(f"bbo.{BTC}")
    assert header(frame) == (48, 2, 1, 2)
    _, _, bid, bid_size, ask, _ = struct.unpack_from("<qqqqqq", frame, 8)
    assert (bid, bid_size, ask) == (83400_00000000, 1_00000000, 83500_00000000)
    bench.rest("POST", "/orders", bench.order(type="MARKET", price=..., size="0.25"))
    bench.after(5)
    (trade,) = plain.take("trades.ALL")
    assert (trade["side"], trade["price"], trade["size"], trade["trade_type"]) == (
        "BUY",
        "83500",
        "0.25",
        "FILL",
    )
    (frame,) = binary.take(f"trades.{BTC}")
    assert header(frame) == (50, 1, 1, 2)
    assert strings(frame) == [BTC, trade["id"]]
    low = struct.unpack_from("<q", frame, 24)[0]
    assert low % 2**64 == int(trade["id"]) % 2**64
    (row,) = plain.take("bbo.ALL")
    assert (row["ask"], row["ask_size"]) == ("83500", "0.75")


def test_an_empty_side_is_null(bench) -> None:
    stream = bench.stream(1).subscribe(f"bbo.{BTC}")
    (frame,) = stream.take(f"bbo.{BTC}")
    assert struct.unpack_from("<qqqq", frame, 24) == (-(2**63),) * 4
    (row,) = bench.stream().subscribe("bbo.ALL").take("bbo.ALL")[:1]
    assert (row["bid"], row["ask"]) == ("", "")


def test_the_life_of_an_order_on_the_private_channels(bench) -> None:
    bench.quote()
    stream = (
        bench.stream().login().subscribe("orders.ALL", "fills.ALL", "positions", "account", "balance_events")
    )
    result = stream.call("order.create", bench.order(client_id="c-1", price="83500", size="1.5"))["result"]
    assert result["order"]["status"] == "NEW"
    assert result["created_at"] == result["received_at"] // 1_000_000 == bench.now_ms
    bench.after(5)
    new, opened = stream.take("orders.ALL")
    assert (new["status"], new["client_id"], new["id"]) == ("NEW", "c-1", result["order"]["id"])
    assert (opened["status"], opened["remaining_size"], opened["avg_fill_price"]) == ("OPEN", "0.5", "83500")
    assert opened["seq_no"] > new["seq_no"]
    # The venue numbers the states of an order on both roads independently.
    assert bench.rest("GET", f"/orders/{opened['id']}").json["seq_no"] > opened["seq_no"] + 10**15
    (fill,) = stream.take("fills.ALL")
    assert (fill["size"], fill["liquidity"], fill["client_id"]) == ("1", "TAKER", "c-1")
    (position,) = stream.take("positions")
    assert (position["size"], position["status"], position["side"]) == ("1", "OPEN", "LONG")
    (event,) = stream.take("balance_events")
    assert (event["settlement_asset_balance_before"], event["settlement_asset_balance_after"]) == (
        "100000",
        "99962.425",
    )
    assert stream.take("account")[-1]["total_collateral"] == "99962.425"
    reply = stream.call("order.cancel", {"client_id": "c-1", "market": BTC})["result"]
    assert reply == {"order_id": result["order"]["id"], "status": "QUEUED_FOR_CANCELLATION"}
    bench.after(5)
    (closed,) = stream.take("orders.ALL")
    assert (closed["status"], closed["cancel_reason"], closed["remaining_size"]) == (
        "CLOSED",
        "USER_CANCELED",
        "0.5",
    )


@pytest.mark.parametrize(
    ("version", "blocks"), [(0, (126, 107, 154, 113)), (1, (126, 107, 154, 113)), (2, (128, 116, 154, 121))]
)
def test_private_events_as_sbe_on_an_sbe_session(bench, version, blocks) -> None:
    bench.quote()
    stream = bench.stream(version).login().subscribe(f"orders.{BTC}", f"fills.{BTC}", "positions", "account")
    order = stream.call("order.create", bench.order(client_id="c-1", type="MARKET", price=...))["result"][
        "order"
    ]
    bench.after(5)
    found = {
        name: stream.take(name)[-1] for name in (f"orders.{BTC}", f"fills.{BTC}", "positions", "account")
    }
    assert [header(frame)[:2] for frame in found.values()] == list(zip(blocks, (20, 21, 22, 23), strict=True))
    extra = ["", ""] if version == 2 else []
    assert strings(found[f"orders.{BTC}"]) == [order["id"], "c-1", BTC, "", *extra]
    assert found[f"orders.{BTC}"][24:28] == bytes((4, 1, 2, 1))  # CLOSED, BUY, MARKET, GTC
    fill = strings(found[f"fills.{BTC}"])
    assert fill[1:3] + fill[4:] == [order["id"], "c-1", BTC] + (["USDC"] if version == 2 else [])
    assert struct.unpack_from("<q", found["positions"], 25)[0] == 10_000_000


def test_private_events_stay_json_where_the_option_says_so(make_bench) -> None:
    bench = make_bench(private_sbe="false").login()
    stream = bench.stream(2).login().subscribe("orders.ALL")
    stream.call("order.create", bench.order())
    assert stream.take("orders.ALL")[0]["status"] == "NEW"


def test_private_data_goes_to_its_own_account_only(bench, make_bench) -> None:
    other = bench.stream().login().subscribe("orders.ALL")
    other.connection.state.caller = type(other.connection.state.caller)(type(bench.person)(1, 2, "0x0", 0), 2)
    mine = bench.stream().login().subscribe("orders.ALL")
    mine.call("order.create", bench.order())
    assert len(mine.take("orders.ALL")) == 1
    assert other.take("orders.ALL") == []


def test_order_errors_carry_the_code_in_the_message(bench) -> None:
    stream = bench.stream().login()
    error = stream.call("order.create", bench.order(signature='["1","2"]'))["error"]
    assert (error["code"], error["message"]) == (100, "INVALID_ORDER_SIGNATURE")
    assert stream.call("order.cancel", {"id": "404"})["error"]["message"] == "ORDER_ID_NOT_FOUND"
    assert stream.call("order.cancel", {})["error"]["code"] == -32602
    assert stream.call("order.cancel", {"client_id": "x"})["error"]["message"] == "VALIDATION_ERROR"


def test_batches_and_cancel_all_over_the_stream(bench) -> None:
    stream = bench.stream().login()
    orders = [bench.order(client_id="a"), bench.order(client_id="a"), bench.order(client_id="b")]
    rows = stream.call("order.create_batch", {"orders": orders})["result"]["results"]
    assert [row.get("order", {}).get("client_id") for row in rows] == ["a", None, "b"]
    assert rows[1]["error"].startswith("DUPLICATED_CLIENT_ID")
    bare = stream.call("order.create_batch", [bench.order(client_id="c")])["result"]["results"]
    bench.after(5)
    ids = [rows[0]["order"]["id"], "404"]
    answer = stream.call("order.cancel_batch", {"order_ids": ids})["result"]["results"]
    assert answer == [
        {"id": ids[0], "market": BTC, "status": "QUEUED_FOR_CANCELLATION"},
        {"id": "404", "status": "NOT_FOUND"},
    ]
    assert stream.call("order.cancel_all", {"market": BTC})["result"] == {"status": "ok"}
    bench.after(5)
    assert len(bare) == 1
    assert bench.exchange.open_orders(bench.person.account) == []


@pytest.mark.parametrize(("price", "status"), [("83100", "SUCCESS"), ("1.55", "REJECTED")])
def test_a_modify_ends_with_request_info_on_the_order_event(bench, price, status) -> None:
    stream = bench.stream().login().subscribe("orders.ALL")
    order = stream.call("order.create", bench.order())["result"]["order"]
    bench.after(5)
    stream.take("orders.ALL")
    reply = stream.call("order.modify", bench.order(id=order["id"], price=price))["result"]["order"]
    assert reply["price"] == "83000"
    assert "request_info" not in reply  # only the order channel and REST document it
    bench.after(5)
    event = stream.take("orders.ALL")[-1]
    assert (event["id"], event["status"], event["request_info"]["status"]) == (order["id"], "OPEN", status)
    assert event["price"] == ("83100" if status == "SUCCESS" else "83000")


def test_cancel_on_disconnect_is_off_by_default_and_per_connection(bench) -> None:
    left, armed = bench.stream().login(), bench.stream().login()
    kept = left.call("order.create", bench.order())["result"]["order"]["id"]
    assert armed.call("order.cancel_on_disconnect", {"enabled": True})["result"] == {"enabled": True}
    armed.call("order.create", bench.order())
    bench.after(5)
    left.drop()
    armed.drop()
    bench.after(5)
    assert [one.id for one in bench.exchange.open_orders(bench.person.account)] == [kept]


def test_a_socket_without_subscriptions_is_closed_with_4031(bench) -> None:
    quiet, busy = bench.stream(), bench.stream().subscribe("trades.ALL")
    bench.after(29_999)
    assert quiet.connection.closed_with is None
    bench.after(1_001)
    assert quiet.connection.closed_with == (4031, "no active subscription")
    bench.after(60_000)
    assert busy.connection.closed_with is None
    busy.call("unsubscribe", {"channel": "trades.ALL"})
    bench.after(31_001)
    assert busy.connection.closed_with is not None


def test_order_methods_share_the_account_limit_with_rest(bench) -> None:
    stream = bench.stream().login()
    bench.service.meter.drain("orders", bench.person.account)
    assert stream.call("order.cancel_all", {})["error"]["code"] == 42901
    answer = bench.rest("POST", "/orders", bench.order())
    assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (429, "0")
    assert answer.headers["Retry-After"] == "1"
    bench.after(1_000)
    assert stream.call("order.cancel_all", {})["result"] == {"status": "ok"}


def test_connections_are_limited(bench) -> None:
    answers = [bench.stream().refused for _ in range(21)]
    assert [one for one in answers[:20] if one is not None] == []
    assert answers[20].status == 429


def test_funding_and_summaries(bench) -> None:
    bench.quote()
    bench.service.feed.start()
    plain = bench.stream().subscribe("markets_summary", f"funding_data.{BTC}")
    binary = bench.stream(2).subscribe(f"markets_summary.{BTC}", f"funding_data.{BTC}")
    first = plain.take("markets_summary")
    assert [row["symbol"] for row in first] == [BTC, ETH]
    assert (first[0]["bid"], first[0]["mark_price"]) == ("83400", "83477.2")
    bench.exchange.set_funding_rate(BTC, Decimal("0.0001"))
    assert plain.take(f"funding_data.{BTC}")[-1]["funding_rate"] == "0.0001"
    assert header(binary.take(f"funding_data.{BTC}")[-1]) == (66, 5, 1, 2)
    binary.take(f"markets_summary.{BTC}")
    bench.after(500)
    assert header(binary.take(f"markets_summary.{BTC}")[0]) == (240, 4, 1, 2)
    rows = bench.rest("GET", "/funding/data", query={"market": BTC}).json["results"]
    assert rows[0]["funding_rate"] == "0.0001"
    bench.service.feed.stop()


def test_a_busted_fill_is_told_on_tradebusts(bench) -> None:
    bench.quote()
    stream = bench.stream().login().subscribe("tradebusts")
    bench.rest("POST", "/orders", bench.order(type="MARKET", price=...))
    bench.after(5)
    (fill,) = bench.exchange.fills(bench.person.account)
    bench.exchange.bust(fill.id)
    assert [row["busted_fill_id"] for row in stream.take("tradebusts")] == [fill.id]


def test_a_session_passes_the_cut_points_of_an_order(bench) -> None:
    passed = []
    bench.service.cut = lambda point, connection, label: passed.append(point)
    stream = bench.stream().login().subscribe("orders.ALL", "fills.ALL")
    order = stream.call("order.create", bench.order())["result"]["order"]["id"]
    bench.after(5)
    bench.exchange.cross(order, Decimal("0.01"))
    stream.call("order.modify", bench.order(id=order, price="82000"))
    bench.after(5)
    stream.call("order.cancel", {"id": order})
    assert stream.take("orders.ALL")
    bench.service.cut = lambda point, connection, label: passed.append(
        (point, len(stream.take("orders.ALL")))
    )
    bench.after(5)
    assert passed == ["C5", "C6", "C9", "C7", ("C8", 0)]  # C8: before the notice
    assert len(stream.take("orders.ALL")) == 1
