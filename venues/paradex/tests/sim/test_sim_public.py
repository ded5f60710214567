"""Public REST endpoints of the simulator, and the check that guards all of these tests."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import jsonschema_rs
import pytest
from venuekit_paradex.sim import render

from venuekit.sim.door import Request

BTC = "BTC-USD-PERP"


def test_system_endpoints(bench) -> None:
    config = bench.rest("GET", "/system/config").json
    assert config["starknet_chain_id"] == "PRIVATE_SN_VENUEKIT_SIM"
    # what the official SDK's loader needs
    needed = {
        "starknet_fullnode_rpc_url",
        "starknet_fullnode_rpc_base_url",
        "starknet_chain_id",
        "block_explorer_url",
        "paraclear_address",
        "paraclear_decimals",
        "paraclear_account_proxy_hash",
        "paraclear_account_hash",
        "oracle_address",
        "bridged_tokens",
        "l1_core_contract_address",
        "l1_operator_address",
        "l1_chain_id",
        "liquidation_fee",
    }
    assert needed <= set(config)
    assert bench.rest("GET", "/system/time").json == {"server_time": str(bench.now_ms)}
    assert bench.rest("GET", "/system/state").json == {"status": "ok"}


def test_markets(bench) -> None:
    rows = bench.rest("GET", "/markets").json["results"]
    assert [row["symbol"] for row in rows] == [BTC, "ETH-USD-PERP"]
    assert bench.rest("GET", "/markets", query={"market": BTC}).json["results"] == rows[:1]
    assert bench.rest("GET", "/markets", query={"market": "X"}).status == 404
    assert (rows[0]["price_tick_size"], rows[0]["order_size_increment"]) == ("0.1", "0.00001")
    assert rows[0]["fee_config"]["api_fee"]["taker_fee"]["fee"] == "0.00045"
    assert bench.rest("GET", "/markets/summary").error == "INVALID_REQUEST_PARAMETER"
    assert len(bench.rest("GET", "/markets/summary", query={"market": "ALL"}).json["results"]) == 2


def test_book_bbo_and_trades(bench) -> None:
    bench.quote(bid="83400", ask="83500")
    bench.quote(bid="83399", ask="83501")
    book = bench.rest("GET", f"/orderbook/{BTC}", query={"depth": 1}).json
    assert (book["bids"], book["asks"]) == ([["83400", "1"]], [["83500", "1"]])
    assert book["seq_no"] == bench.exchange.book(BTC).seq
    assert len(bench.rest("GET", f"/orderbook/{BTC}").json["bids"]) == 2
    bbo = bench.rest("GET", f"/bbo/{BTC}").json
    assert (bbo["bid"], bbo["ask"], bbo["seq_no"]) == ("83400", "83500", book["seq_no"])
    assert bench.rest("GET", "/bbo/X").error == "MARKET_NOT_FOUND"
    assert bench.rest("GET", "/trades", query={"market": BTC}).json["results"] == []
    order = bench.rest("POST", "/orders", bench.order()).json
    bench.after(5)
    for _ in range(3):
        bench.exchange.cross(order["id"], Decimal("0.01"))
        bench.after(1)
    first = bench.rest("GET", "/trades", query={"market": BTC, "page_size": 2}).json
    second = bench.rest("GET", "/trades", query={"market": BTC, "page_size": 2, "cursor": first["next"]}).json
    assert [len(first["results"]), len(second["results"]), second["next"]] == [2, 1, None]


def test_account_info_and_summary(bench) -> None:
    info = bench.rest("GET", "/account/info").json["results"][0]
    assert (info["account"], info["kind"]) == (bench.person.account, "main")
    summary = bench.rest("GET", "/account").json
    assert (summary["account_value"], summary["free_collateral"], summary["status"]) == (
        "100000",
        "100000",
        "ACTIVE",
    )
    assert bench.rest("GET", "/account/summary").json["results"][0]["account"] == bench.person.account


def test_reads_carry_rate_headers_and_run_out(bench) -> None:
    answer = bench.rest("GET", "/account")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Window"]) == ("120", "1")
    statuses = [bench.rest("GET", "/account").status for _ in range(130)]
    assert statuses.count(429) == 11
    assert bench.service.meter.breaches


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/v1/orders", 405), ("GET", "/v1/instruments/x", 404)]
)
def test_unknown_paths_and_methods(bench, method, path, status) -> None:
    response = asyncio.run(bench.service.handle(Request(id=1, method=method, path=path)))
    assert (response.status, json.loads(response.body)["error"]) == (status, "NOT_FOUND")


def test_the_check_that_guards_these_tests_can_fail(bench, monkeypatch) -> None:
    whole = render.book_bbo(bench.exchange.book(BTC, 1))
    wrong = [
        ({**whole, "spread": "1"}, "spread"),
        ({**whole, "bid": 1}, "string"),
        ({name: value for name, value in whole.items() if name != "ask_size"}, "ask_size"),
    ]
    for body, says in wrong:
        monkeypatch.setattr(render, "book_bbo", lambda view, body=body: body)
        with pytest.raises(jsonschema_rs.ValidationError, match=says):
            bench.rest("GET", f"/bbo/{BTC}")


def test_funding_payments_and_busts_are_listed(bench) -> None:
    bench.quote()
    bench.rest("POST", "/orders", bench.order(type="MARKET", price=..., size="1"))
    bench.after(5)
    stream = bench.stream().login().subscribe("funding_payments.ALL")
    bench.exchange.pay_funding(BTC, Decimal("0.0001"))
    (paid,) = bench.rest("GET", "/funding/payments", query={"market": BTC}).json["results"]
    assert paid["payment"] == "-8.34772"  # long 1 at the mark of 83477.2 pays 1 bp
    assert stream.take("funding_payments.ALL") == [paid]
    assert bench.rest("GET", "/tradebusts").json["results"] == []
    (fill,) = bench.exchange.fills(bench.person.account)
    bench.exchange.bust(fill.id)
    assert [row["busted_fill_id"] for row in bench.rest("GET", "/tradebusts").json["results"]] == [fill.id]
    assert bench.rest("GET", "/fills").json["results"] == []
    assert bench.rest("GET", "/transfers").json["results"] == []
    assert bench.rest("GET", "/transactions").json["results"] == []
