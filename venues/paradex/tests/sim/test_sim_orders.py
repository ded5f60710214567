"""Order entry of the simulator: the door, the late decision, cancels, look-ups, history."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

BTC = "BTC-USD-PERP"


def place(bench, **changes):
    answer = bench.rest("POST", "/orders", bench.order(**changes))
    assert answer.status == 201, answer.json
    return answer.json


def history(bench, **query):
    return bench.rest("GET", "/orders-history", query=query).json["results"]


def test_created_is_new_and_rests_after_the_risk_check(bench) -> None:
    order = place(bench, client_id="c-1")
    assert (order["status"], order["remaining_size"], order["cancel_reason"]) == ("NEW", "0.1", "")
    assert (order["avg_fill_price"], order["timestamp"]) == ("", bench.now_ms)
    assert len(order["id"]) == 28
    assert order["id"].isdecimal()
    bench.after(4)
    assert bench.rest("GET", f"/orders/{order['id']}").json["status"] == "NEW"
    assert bench.rest("GET", "/orders/by_client_id/c-1").error == "CLIENT_ORDER_ID_NOT_FOUND"
    bench.after(1)
    now = bench.rest("GET", f"/orders/{order['id']}").json
    assert now["status"] == "OPEN"
    assert now["seq_no"] > order["seq_no"]
    assert bench.rest("GET", "/orders/by_client_id/c-1").json["id"] == order["id"]
    assert [row["id"] for row in bench.rest("GET", "/orders").json["results"]] == [order["id"]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instruction": "POST_ONLY", "price": "83500"}, "POST_ONLY_WOULD_CROSS"),
        ({"size": "0.0001"}, "ORDER_SIZE_BELOW_MIN"),
        ({"size": "90"}, "NOT_ENOUGH_MARGIN"),
        ({"instruction": "IOC"}, "REMAINING_IOC_CANCEL"),
    ],
)
def test_the_risk_check_refuses_later_with_a_reason(bench, changes, reason) -> None:
    bench.quote()
    order = place(bench, client_id="late", **changes)
    assert order["status"] == "NEW"
    bench.after(5)
    assert bench.rest("GET", f"/orders/{order['id']}").error == "ORDER_ID_NOT_FOUND"
    assert bench.rest("GET", "/orders/by_client_id/late").error == "CLIENT_ORDER_ID_NOT_FOUND"
    (row,) = history(bench, client_id="late")
    assert (row["status"], row["cancel_reason"], row["remaining_size"]) == ("CLOSED", reason, row["size"])


def test_a_market_order_without_a_price_fills_and_is_closed_without_a_reason(bench) -> None:
    bench.quote(ask="83500")
    order = place(bench, type="MARKET", price=..., instruction=None)
    assert (order["price"], order["type"], order["instruction"]) == ("0", "MARKET", "GTC")
    bench.after(5)
    (row,) = history(bench)
    expected = {"status": "CLOSED", "cancel_reason": "", "remaining_size": "0", "avg_fill_price": "83500"}
    assert {name: row[name] for name in expected} == expected
    (fill,) = bench.rest("GET", "/fills").json["results"]
    # taker fee 4.5 bps of 0.1 x 83500
    assert (fill["price"], fill["size"], fill["fee"], fill["liquidity"]) == (
        "83500",
        "0.1",
        "3.7575",
        "TAKER",
    )
    assert (fill["order_id"], fill["remaining_size"], fill["fee_currency"]) == (order["id"], "0", "USDC")
    (position,) = bench.rest("GET", "/positions").json["results"]
    assert (position["size"], position["side"], position["average_entry_price"]) == ("0.1", "LONG", "83500")
    assert position["last_fill_id"] == fill["id"]
    # cash: 100000 less the fee
    assert bench.rest("GET", "/balance").json["results"][0]["size"] == "99996.2425"


def test_a_short_position_is_negative_in_rest(bench) -> None:
    bench.quote(bid="83400")
    place(bench, side="SELL", type="MARKET", price=...)
    bench.after(5)
    (position,) = bench.rest("GET", "/positions").json["results"]
    assert (position["size"], position["side"], position["cost"]) == ("-0.1", "SHORT", "-8340")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": "0"}, "INVALID_ORDER_SIZE"),
        ({"size": "0.000001"}, "INVALID_ORDER_SIZE"),
        ({"size": "1000"}, "INVALID_ORDER_SIZE"),
        ({"price": "83000.05"}, "VALIDATION_ERROR"),
        ({"market": "XYZ-USD-PERP"}, "MARKET_NOT_FOUND"),
        ({"side": "LONG", "signature": "x"}, "VALIDATION_ERROR"),
        ({"type": "LIMITED", "signature": "x"}, "VALIDATION_ERROR"),
        ({"size": "NaN", "signature": "x"}, "VALIDATION_ERROR"),
        ({"size": 1, "signature": "x"}, "BINDING_ERROR"),
        *(({"size": size}, "VALIDATION_ERROR") for size in ("1E-1", "+0.1", " 0.1", "0_1", ".1", "1.")),
        ({"price": "8.3E4"}, "VALIDATION_ERROR"),
        # The venue's page on instructions: IOC with limit orders alone, post-only with LIMIT and STOP_LIMIT.
        ({"type": "MARKET", "price": ..., "instruction": "IOC"}, "VALIDATION_ERROR"),
        ({"type": "STOP_LIMIT", "trigger_price": "84000", "instruction": "IOC"}, "VALIDATION_ERROR"),
        (
            {"type": "TAKE_PROFIT_LIMIT", "trigger_price": "84000", "instruction": "POST_ONLY"},
            "VALIDATION_ERROR",
        ),
        ({"instruction": "RPI"}, "RPI_ACCOUNT_NOT_WHITELISTED"),
        ({"client_id": "x" * 65}, "VALIDATION_ERROR"),
        ({"signature": '["1","2"]'}, "INVALID_ORDER_SIGNATURE"),
        ({"signature": "gibberish"}, "INVALID_ORDER_SIGNATURE"),
        ({"flags": ["FAST"]}, "VALIDATION_ERROR"),
        ({"flags": "REDUCE_ONLY"}, "BINDING_ERROR"),
        ({"recv_window": 9}, "VALIDATION_ERROR"),
        ({"signature_timestamp": "1", "signature": "x"}, "BINDING_ERROR"),
    ],
)
def test_the_door_refuses_bad_orders_and_nothing_happens(bench, changes, code) -> None:
    answer = bench.rest("POST", "/orders", bench.order(**changes))
    assert (answer.status, answer.error) == (400, code)
    bench.after(1_000)
    assert history(bench) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"'])
def test_bodies_that_are_no_order_are_binding_errors(bench, body) -> None:
    assert bench.rest("POST", "/orders", body).error == "BINDING_ERROR"


def test_each_signed_field_is_covered_by_the_signature(bench) -> None:
    good = bench.order()
    changed = {
        "side": "SELL",
        "size": "0.2",
        "price": "82000",
        "market": "ETH-USD-PERP",
        "type": "STOP_LIMIT",
    }
    changed |= {"signature_timestamp": good["signature_timestamp"] - 1}
    for name, value in changed.items():
        answer = bench.rest("POST", "/orders", good | {name: value})
        assert answer.error == "INVALID_ORDER_SIGNATURE", name
    assert bench.rest("POST", "/orders", good).status == 201


def test_hex_signatures_and_nulls_as_other_clients_send_them(bench) -> None:
    body = bench.order(client_id=None, recv_window=None, stp=None, flags=None, trigger_price="")
    r, s = json.loads(body["signature"])
    body["signature"] = json.dumps([hex(int(r)), hex(int(s))])
    assert bench.rest("POST", "/orders", body).status == 201


def test_the_receive_window_ends_an_old_signature(bench) -> None:
    body = bench.order(recv_window=100)
    bench.after(100)
    assert bench.rest("POST", "/orders", body).status == 201
    bench.after(1)
    assert bench.rest("POST", "/orders", body).error == "INVALID_TIMESTAMP"
    future = bench.order(signature_timestamp=bench.now_ms + 61_000)
    assert bench.rest("POST", "/orders", future).error == "INVALID_TIMESTAMP"


def test_a_client_id_is_unique_while_its_order_is_not_closed(bench) -> None:
    order = place(bench, client_id="same")
    assert bench.rest("POST", "/orders", bench.order(client_id="same")).error == "DUPLICATED_CLIENT_ID"
    bench.after(5)
    assert bench.rest("POST", "/orders", bench.order(client_id="same")).error == "DUPLICATED_CLIENT_ID"
    assert bench.rest("DELETE", f"/orders/{order['id']}").status == 204
    bench.after(5)
    assert place(bench, client_id="same")["id"] != order["id"]
    assert len(history(bench, client_id="same")) == 2


def test_a_cancel_is_queued_and_the_order_can_fill_first(bench) -> None:
    order = place(bench)
    bench.after(5)
    assert bench.rest("DELETE", f"/orders/{order['id']}").status == 204
    assert bench.rest("GET", f"/orders/{order['id']}").json["status"] == "OPEN"
    bench.exchange.cross(order["id"], Decimal("0.04"))
    bench.after(5)
    (row,) = history(bench)
    assert (row["status"], row["cancel_reason"], row["remaining_size"]) == ("CLOSED", "USER_CANCELED", "0.06")
    assert bench.rest("DELETE", f"/orders/{order['id']}").error == "ORDER_IS_CLOSED"


def test_a_fill_beats_a_queued_cancel(bench) -> None:
    order = place(bench)
    bench.after(5)
    bench.rest("DELETE", f"/orders/{order['id']}")
    bench.exchange.cross(order["id"])
    bench.after(5)
    (row,) = history(bench)
    assert (row["cancel_reason"], row["remaining_size"], row["avg_fill_price"]) == ("", "0", "83000")


def test_a_cancel_before_the_risk_check_ends_the_order(make_bench) -> None:
    bench = make_bench(risk_delay_ms="50").login()
    order = place(bench)
    assert bench.rest("DELETE", f"/orders/{order['id']}").status == 204
    bench.after(100)
    (row,) = history(bench)
    assert (row["status"], row["cancel_reason"]) == ("CLOSED", "USER_CANCELED")


def test_cancels_by_client_id_all_and_batch(bench) -> None:
    orders = [
        place(bench, client_id=f"c-{n}", market=m)
        for n, m in enumerate([BTC, BTC, "ETH-USD-PERP"])
        if m == BTC
    ]
    other = place(bench, client_id="eth", market="ETH-USD-PERP", price="3000", size="1")
    bench.after(5)
    assert bench.rest("DELETE", "/orders/by_client_id/none").error == "CLIENT_ORDER_ID_NOT_FOUND"
    assert bench.rest("DELETE", "/orders/by_client_id/c-0", query={"market": BTC}).status == 204
    answer = bench.rest(
        "DELETE", "/orders/batch", {"order_ids": [orders[1]["id"], "404"], "client_order_ids": ["nope"]}
    )
    assert [row["status"] for row in answer.json["results"]] == [
        "QUEUED_FOR_CANCELLATION",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    bench.after(5)
    again = bench.rest("DELETE", "/orders/batch", {"order_ids": [orders[1]["id"]]})
    assert [row["status"] for row in again.json["results"]] == ["ALREADY_CLOSED"]
    assert [row["id"] for row in bench.rest("GET", "/orders").json["results"]] == [other["id"]]
    assert bench.rest("DELETE", "/orders", query={"market": BTC}).status == 200
    bench.after(5)
    assert len(bench.rest("GET", "/orders").json["results"]) == 1
    assert bench.rest("DELETE", "/orders").status == 200
    bench.after(5)
    assert bench.rest("GET", "/orders").json["results"] == []


def test_a_modify_keeps_the_id_and_reports_by_request_info(bench) -> None:
    order = place(bench)
    bench.after(5)
    change = bench.order(id=order["id"], price="83100", size="0.2")
    answer = bench.rest("PUT", f"/orders/{order['id']}", change)
    assert answer.status == 200
    assert answer.json["price"] == "83000"
    assert (answer.json["request_info"]["status"], answer.json["request_info"]["request_type"]) == (
        "PENDING",
        "MODIFY_ORDER",
    )
    bench.after(5)
    now = bench.rest("GET", f"/orders/{order['id']}").json
    # the exchange says so; the info is settled when the event passes the stream
    assert (now["id"], now["price"], now["size"], now["remaining_size"]) == (
        order["id"],
        "83100",
        "0.2",
        "0.2",
    )
    assert now["request_info"]["status"] == "SUCCESS"


def test_a_modify_of_an_order_that_fills_first_is_rejected_later(bench) -> None:
    order = place(bench)
    bench.after(5)
    assert (
        bench.rest("PUT", f"/orders/{order['id']}", bench.order(id=order["id"], price="83100")).status == 200
    )
    bench.exchange.cross(order["id"])
    bench.after(5)
    (row,) = history(bench)
    assert (row["status"], row["request_info"]["status"]) == ("CLOSED", "REJECTED")


def test_a_modify_needs_its_own_signature(bench) -> None:
    order = place(bench)
    bench.after(5)
    unsigned = bench.order(price="83100") | {"id": order["id"]}
    assert bench.rest("PUT", f"/orders/{order['id']}", unsigned).error == "INVALID_ORDER_SIGNATURE"
    assert bench.rest("PUT", "/orders/404", bench.order(id="404")).error == "ORDER_ID_NOT_FOUND"


def test_a_batch_with_one_bad_signature_does_nothing_and_a_bad_item_only_itself(bench) -> None:
    bad = bench.order(signature='["1","2"]')
    assert bench.rest("POST", "/orders/batch", [bench.order(), bad]).error == "INVALID_ORDER_SIGNATURE"
    assert history(bench) == []
    answer = bench.rest("POST", "/orders/batch", [bench.order(client_id="a"), bench.order(client_id="a")])
    assert answer.status == 201
    assert [row["status"] for row in answer.json["orders"]] == ["NEW"]
    assert [row["error"] for row in answer.json["errors"]] == ["DUPLICATED_CLIENT_ID"]
    assert bench.rest("POST", "/orders/batch", []).error == "BATCH_SIZE_OUT_OF_RANGE"


def test_reduce_only_needs_a_position_to_reduce(bench) -> None:
    bench.quote()
    place(bench, flags=["REDUCE_ONLY"], type="MARKET", price=...)
    bench.after(5)
    assert history(bench)[0]["cancel_reason"] == "REDUCE_ONLY_WOULD_INCREASE"
    place(bench, type="MARKET", price=...)
    bench.after(5)
    place(bench, flags=["REDUCE_ONLY"], type="MARKET", side="SELL", price=...)
    bench.after(5)
    assert history(bench)[0]["cancel_reason"] == ""
    assert bench.rest("GET", "/positions").json["results"] == []


def test_a_stop_waits_untriggered_for_the_mark_price(bench) -> None:
    bench.quote(bid="82000", ask="83500")
    order = place(bench, type="STOP_LOSS_MARKET", side="SELL", price=..., trigger_price="83000")
    bench.after(5)
    # The venue's look-up finds orders that are OPEN or NEW; the list has this one.
    assert bench.rest("GET", f"/orders/{order['id']}").error == "ORDER_ID_NOT_FOUND"
    (waiting,) = bench.rest("GET", "/orders").json["results"]
    assert (waiting["id"], waiting["status"]) == (order["id"], "UNTRIGGERED")
    bench.exchange.set_price(BTC, Decimal(82999))
    (row,) = history(bench)
    assert (row["status"], row["type"], row["avg_fill_price"]) == ("CLOSED", "STOP_LOSS_MARKET", "82000")


def test_history_pages_by_opaque_cursors_without_gap_or_repeat(bench) -> None:
    ids = []
    for number in range(7):
        ids.append(place(bench, client_id=f"p-{number}")["id"])
        bench.after(3)
    seen, cursor = [], None
    for size in (3, 3, 3):
        answer = bench.rest(
            "GET", "/orders-history", query={"page_size": size, **({"cursor": cursor} if cursor else {})}
        )
        seen += [row["id"] for row in answer.json["results"]]
        cursor = answer.json["next"]
        if cursor:
            place(bench, client_id=f"new-{len(seen)}")  # a row that arrives meanwhile shifts nothing
    assert seen == ids[::-1]
    assert cursor is None


def test_history_filters(bench) -> None:
    first = place(bench, client_id="f")
    bench.after(10)
    second = place(bench, side="SELL", price="84000")
    bench.after(10)
    bench.rest("DELETE", f"/orders/{first['id']}")
    bench.after(10)

    def ids(**query):
        return [row["id"] for row in history(bench, **query)]

    assert ids(side="SELL") == [second["id"]]
    assert ids(status="CLOSED") == [first["id"]]
    assert ids(status="OPEN") == [second["id"]]
    assert ids(client_id="f") == [first["id"]]
    assert ids(market="ETH-USD-PERP") == []
    assert ids(type="MARKET") == []
    assert ids(start_at=second["created_at"]) == [second["id"]]
    assert ids(end_at=first["created_at"]) == [first["id"]]
    for query in ({"side": "UP"}, {"page_size": 0}, {"page_size": 5001}, {"page_size": "x"}, {"cursor": "!"}):
        assert bench.rest("GET", "/orders-history", query=query).error == "INVALID_REQUEST_PARAMETER"


def test_modes_refuse_with_their_codes(bench) -> None:
    from venuekit.sim.records import Mode

    order = place(bench)
    bench.after(5)
    for mode, code, status in (
        (Mode.POST_ONLY, "SYSTEM_STATUS_POST_ONLY", "post_only"),
        (Mode.CANCEL_ONLY, "SYSTEM_STATUS_CANCEL_ONLY", "cancel_only"),
        (Mode.MAINTENANCE, "SERVICE_UNAVAILABLE", "maintenance"),
    ):
        bench.exchange.set_mode(mode)
        assert bench.rest("GET", "/system/state").json == {"status": status}
        assert bench.rest("POST", "/orders", bench.order()).error == code
    bench.exchange.set_mode(Mode.CANCEL_ONLY)
    assert bench.rest("DELETE", f"/orders/{order['id']}").status == 204
    bench.exchange.set_mode(Mode.NORMAL)
    assert bench.rest("GET", "/system/state").json == {"status": "ok"}


def test_planted_lies_change_what_is_told_and_never_what_happened(bench) -> None:
    bench.quote(size="5")
    for verb in ("suppress_fill", "duplicate_fill", "alter_fill"):
        bench.service.control(verb, {})
    stream = bench.stream().login().subscribe("fills.ALL")
    order = place(bench, size="1", price="83000")
    bench.after(5)
    for _ in range(4):
        bench.exchange.cross(order["id"], Decimal("0.1"))
        bench.rest("GET", "/fills")  # reading decides nothing
    true = bench.exchange.fills(bench.person.account)
    assert [(str(one.price), str(one.quantity)) for one in true] == [("83000", "0.1")] * 4
    told = stream.take("fills.ALL")
    rest = bench.rest("GET", "/fills").json["results"][::-1]
    assert sorted(row["id"] for row in told) == sorted(row["id"] for row in rest)
    assert len(told) == 4  # lost, twice the second, the altered third, the true fourth
    assert true[0].id not in {row["id"] for row in told}
    assert len({row["id"] for row in told}) == 4
    assert sorted(row["price"] for row in told) == ["83000", "83000", "83000", "83000.1"]
    assert bench.rest("GET", "/positions").json["results"][0]["size"] == "0.4"


def test_lies_can_be_planted_for_a_later_fill(bench) -> None:
    bench.quote(size="5")
    bench.service.control("suppress_fill", {"skip": 2})
    for _ in range(4):
        place(bench, type="MARKET", price=...)
        bench.after(5)
        bench.rest("GET", "/fills")
    true = [one.id for one in bench.exchange.fills(bench.person.account)]
    told = [row["id"] for row in bench.rest("GET", "/fills").json["results"]]
    assert told == [true[3], true[1], true[0]]


def test_a_fill_is_doubled_only_where_the_order_has_room_for_it(bench) -> None:
    bench.service.control("duplicate_fill", {})
    whole, partial = place(bench), place(bench)
    bench.after(5)
    bench.exchange.cross(whole["id"])
    bench.exchange.cross(partial["id"], Decimal("0.05"))
    told = [row["order_id"] for row in bench.rest("GET", "/fills").json["results"]]
    assert sorted(told) == sorted([whole["id"], partial["id"], partial["id"]])


def test_history_can_lag_behind_what_happened(make_bench) -> None:
    bench = make_bench(history_lag_ms="3000").login()
    bench.quote()
    bench.rest("POST", "/orders", bench.order(price="83500", client_id="taker"))
    bench.after(10)
    (fill,) = bench.exchange.fills(bench.person.account)
    assert bench.rest("GET", "/positions").json["results"][0]["size"] == "0.1", "positions know it at once"
    for wait, there in ((2_980, 0), (20, 1)):
        bench.after(wait)
        fills = bench.rest("GET", "/fills").json["results"]
        closed = bench.rest("GET", "/orders-history", query={"status": "CLOSED"}).json["results"]
        assert (len(fills), len(closed)) == (there, there)
    assert fills[0]["id"] == fill.id
