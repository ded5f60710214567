"""The simple door's HTTP under virtual time: its routes, the bodies of the venue, orders without a key."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from venuekit_paradex.sim.desk import Caller, order_id
from venuekit_paradex.sim.service import ParadexService
from venuekit_paradex.sim.settings import parse_settings
from venuekit_paradex.sim.simple_fixtures import starting_point
from venuekit_paradex.sim.simple_rest import SimpleRest

from venuekit.runtime.clock import ManualClock
from venuekit.sim.door import Request
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.records import Mode, Side

DATA = Path(__file__).parent.parent / "data"
BTC = "BTC-USD-PERP"
MS = 1_000_000

# What was asked for, row by row, with the order book, the best prices and funding that may stand beside it.
PROMISED = {
    ("GET", "/v1/system/time"),
    ("GET", "/v1/markets"),
    ("GET", "/v1/instruments/BTC-USD-PERP"),
    ("GET", "/v1/orders/open"),
    ("GET", "/v1/account"),
    ("GET", "/v1/account/positions"),
    ("GET", "/v1/account/fills"),
    ("GET", "/v1/config"),
    ("GET", "/health"),
    ("POST", "/v1/orders"),
    ("DELETE", "/v1/orders/1"),
    ("DELETE", "/v1/orders"),
    ("GET", "/v1/orderbook/BTC-USD-PERP"),
    ("GET", "/v1/bbo/BTC-USD-PERP"),
    ("GET", "/v1/funding/data"),
}


class Door:
    def __init__(self, **options: str) -> None:
        self.clock = ManualClock(wall_start_ns=1_791_000_000 * 1_000_000_000)
        settings = parse_settings({"simple": "true", "liquidity": "false", "jitter_ms": "0", **options})
        markets = starting_point(settings).markets
        self.exchange = Exchange(self.clock, markets, rules=Rules(client_ids="open"), ids=order_id)
        self.service = ParadexService(self.exchange, self.clock, settings, 7)
        person = self.service.register.demo(self.clock.wall_ns())
        self.account = person.account
        self.service.enter(person.account)
        caller = Caller(person, person.public_key)
        self.rest = SimpleRest(self.exchange, self.clock, self.service.desk, self.service.rest, caller)

    def call(self, method: str, path: str, body: object = None, **query: str):
        """(status, JSON or None) of an answer, which any page may read."""
        response = self.answer(method, path, body, **query)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        return response.status, json.loads(response.body) if response.body else None

    def answer(self, method: str, path: str, body: object = None, headers: dict | None = None, **query: str):
        request = Request(
            id=1,
            method=method,
            path=path,
            query=tuple(query.items()),
            headers=headers or {},
            body=b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
            received_ns=self.clock.wall_ns(),
        )
        return asyncio.run(self.rest.handle(request))

    def after(self, ms: int) -> None:
        self.clock.advance(ms * MS)

    def quote(self, bid: str = "83400", ask: str = "83500", size: str = "1") -> None:
        for side, price in ((Side.BUY, bid), (Side.SELL, ask)):
            self.exchange.place_counterparty_order(BTC, side, Decimal(size), Decimal(price))


@pytest.fixture
def door() -> Door:
    return Door()


def order(**changes: object) -> dict[str, object]:
    return {"market": BTC, "side": "BUY", "type": "LIMIT", "size": "0.1", "price": "83000", **changes}


def documented(name: str) -> dict:
    """An example of the published document: field names and JSON types."""
    return json.loads((DATA / "rest" / name).read_text())


def test_exactly_the_promised_routes(door) -> None:
    paths = {path for _, path in PROMISED} | {
        "/",
        "/v1",
        "/v1/account/summary",
        "/v1/auth",
        "/v1/fills",
        "/v1/instruments",
        "/v1/onboarding",
        "/v1/orders-history",
        "/v1/orders/batch",
        "/v1/positions",
        "/v1/system/config",
        "/v1/system/state",
        "/v1/trades",
        "/control/ledger",
    }
    offered = {
        (method, path)
        for path in paths
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
        if door.call(method, path)[0] not in (404, 405) or (method, path) == ("DELETE", "/v1/orders/1")
    }
    # `/v1/orders/batch` has the shape of an order's path; it names no order.
    assert door.call("DELETE", "/v1/orders/batch") == (
        400,
        {"error": "ORDER_ID_NOT_FOUND", "message": "Order id not found", "data": None},
    )
    assert offered - {("DELETE", "/v1/orders/batch"), ("DELETE", "/v1/orders/open")} == PROMISED


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("/v1/account", "get_account.200.json"),
        ("/v1/config", "get_system_config.200.json"),
        ("/v1/orderbook/BTC-USD-PERP", "get_orderbook_market.200.json"),
    ],
)
def test_an_object_has_the_documented_fields(door, path, example) -> None:
    door.quote()
    status, body = door.call("GET", path)
    assert status == 200
    assert set(body) <= set(documented(example))


def test_lists_have_the_documented_rows(door) -> None:
    door.quote()
    door.call("POST", "/v1/orders", order())
    door.call("POST", "/v1/orders", order(type="MARKET", price="0"))
    door.after(10)
    for path, example in (
        ("/v1/markets", "get_markets.200.json"),
        ("/v1/orders/open", "get_orders.200.json"),
        ("/v1/account/positions", "get_positions.200.json"),
        ("/v1/account/fills", "get_fills.200.json"),
    ):
        status, body = door.call("GET", path)
        assert status == 200
        assert body["results"]
        (row, *_), (known, *_) = body["results"], documented(example)["results"]
        assert set(row) <= set(known), path


def test_the_markets_are_the_promised_ones(door) -> None:
    rows = door.call("GET", "/v1/markets")[1]["results"]
    assert [row["symbol"] for row in rows] == ["BTC-USD-PERP", "ETH-USD-PERP"]
    for row in rows:
        assert row["settlement_currency"] == "USDC"
        assert row["delta1_cross_margin_params"]["imf_base"] == "0.1"  # 10x
        fees = row["fee_config"]["api_fee"]
        assert (fees["maker_fee"]["fee"], fees["taker_fee"]["fee"]) == ("0.0001", "0.0001")
        assert door.call("GET", f"/v1/instruments/{row['symbol']}") == (200, row)


def test_time_and_health(door) -> None:
    assert door.call("GET", "/v1/system/time") == (200, {"server_time": "1791000000000"})
    assert door.call("GET", "/health") == (200, {"status": "ok"})
    door.exchange.set_mode(Mode.MAINTENANCE)
    assert door.call("GET", "/health") == (200, {"status": "maintenance"})


def test_book_bbo_and_funding(door) -> None:
    door.quote()
    book = door.call("GET", f"/v1/orderbook/{BTC}")[1]
    assert (book["bids"], book["asks"]) == ([["83400", "1"]], [["83500", "1"]])
    best = door.call("GET", f"/v1/bbo/{BTC}")[1]
    assert (best["bid"], best["bid_size"], best["ask"], best["ask_size"]) == ("83400", "1", "83500", "1")
    door.exchange.set_funding_rate(BTC, Decimal("0.0002"))
    (row,) = door.call("GET", "/v1/funding/data", market=BTC)[1]["results"]
    assert row["funding_rate"] == "0.0002"


def test_an_order_lives_and_fills_without_a_key(door) -> None:
    door.quote()
    status, placed = door.call("POST", "/v1/orders", order(client_id="mine"))
    assert (status, placed["status"], placed["client_id"]) == (201, "NEW", "mine")
    door.after(10)
    (row,) = door.call("GET", "/v1/orders/open")[1]["results"]
    assert (row["id"], row["status"], row["remaining_size"]) == (placed["id"], "OPEN", "0.1")

    status, taker = door.call("POST", "/v1/orders", order(type="MARKET", size="0.2", price="0"))
    assert (status, taker["status"]) == (201, "NEW")
    door.after(10)
    (fill,) = door.call("GET", "/v1/account/fills")[1]["results"]
    # 0.2 at 83500, 0.01 % of 16700.
    assert (fill["order_id"], fill["price"], fill["size"], fill["fee"]) == (
        taker["id"],
        "83500",
        "0.2",
        "1.67",
    )
    (position,) = door.call("GET", "/v1/account/positions")[1]["results"]
    assert (position["size"], position["leverage"]) == ("0.2", "10")
    account = door.call("GET", "/v1/account")[1]
    assert account["total_collateral"] == "99998.33"
    # (0.2 + the 0.1 that still rests) at the mark of 83477.2, a tenth of it.
    assert account["initial_margin_requirement"] == "2504.316"

    assert door.call("DELETE", f"/v1/orders/{placed['id']}") == (204, None)
    door.after(10)
    assert door.call("GET", "/v1/orders/open") == (200, {"results": []})
    assert door.exchange.order(placed["id"]).reason.value == "USER"


def test_cancel_all_takes_every_order_or_those_of_a_market(door) -> None:
    for changes in ({}, {"price": "82000"}, {"market": "ETH-USD-PERP", "size": "1", "price": "3000"}):
        assert door.call("POST", "/v1/orders", order(**changes))[0] == 201
    door.after(10)
    assert door.call("DELETE", "/v1/orders", market=BTC) == (200, None)
    door.after(10)
    (row,) = door.call("GET", "/v1/orders/open")[1]["results"]
    assert row["market"] == "ETH-USD-PERP"
    assert door.call("DELETE", "/v1/orders") == (200, None)
    door.after(10)
    assert door.call("GET", "/v1/orders/open")[1]["results"] == []


def test_the_venues_own_door_sees_the_same_orders(door) -> None:
    placed = door.call("POST", "/v1/orders", order())[1]
    door.after(10)
    token = door.service.tokens.issue(
        door.account,
        door.service.register.by_account(door.account).public_key,
        door.clock.wall_ns(),
    )
    request = Request(id=2, method="GET", path="/v1/orders", headers={"authorization": f"Bearer {token}"})
    body = json.loads(asyncio.run(door.service.handle(request)).body)
    assert [row["id"] for row in body["results"]] == [placed["id"]]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "BINDING_ERROR"),
        (b"{", "BINDING_ERROR"),
        (b"[]", "BINDING_ERROR"),
        (b"[" * 50_000, "BINDING_ERROR"),
        (b'{"a":"\xff"}', "BINDING_ERROR"),
        (order(market=...), "VALIDATION_ERROR"),
        (order(side="LONG"), "VALIDATION_ERROR"),
        (order(type="PEGGED"), "VALIDATION_ERROR"),
        (order(instruction="FOK"), "VALIDATION_ERROR"),
        (order(size=0.1), "BINDING_ERROR"),
        (order(size="0"), "INVALID_ORDER_SIZE"),
        (order(size="0.000001"), "INVALID_ORDER_SIZE"),
        (order(size="nan"), "VALIDATION_ERROR"),
        (order(price=...), "VALIDATION_ERROR"),
        (order(price="83000.01"), "VALIDATION_ERROR"),
        (order(market="DOGE-USD-PERP"), "MARKET_NOT_FOUND"),
        (order(instruction="RPI"), "RPI_ACCOUNT_NOT_WHITELISTED"),
        (order(client_id="x" * 65), "VALIDATION_ERROR"),
    ],
)
def test_a_bad_order_is_refused_with_the_venues_error(door, body, code) -> None:
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not ...}
    status, error = door.call("POST", "/v1/orders", body)
    assert (status, error["error"]) == (400, code)
    assert set(error) == set(documented("_error.400.json"))
    assert door.exchange.orders(door.account) == []


def test_a_refusal_of_the_risk_check_comes_later_as_at_the_venue(door) -> None:
    status, placed = door.call("POST", "/v1/orders", order(size="13"))  # needs 107,900 of 100,000
    assert (status, placed["status"]) == (201, "NEW")
    door.after(10)
    assert door.exchange.order(placed["id"]).reason.value == "MARGIN"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/instruments/DOGE-USD-PERP", 404, "MARKET_NOT_FOUND"),
        ("GET", "/v1/orderbook/DOGE-USD-PERP", 400, "MARKET_NOT_FOUND"),
        ("GET", "/v1/funding/data", 400, "MARKET_NOT_FOUND"),
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("PUT", "/v1/orders", 405, "NOT_FOUND"),
        ("DELETE", "/v1/orders/77", 400, "ORDER_ID_NOT_FOUND"),
    ],
)
def test_errors_have_the_venues_body(door, method, path, status, code) -> None:
    answer = door.call(method, path)
    assert (answer[0], answer[1]["error"]) == (status, code)
    assert set(answer[1]) == set(documented("_error.400.json"))


def test_another_accounts_order_cannot_be_cancelled(door) -> None:
    door.exchange.fund_account("0x9", Decimal(1_000_000))
    from venuekit.sim.records import NewOrder

    other = door.exchange.external_order(
        NewOrder(account="0x9", market=BTC, side=Side.BUY, quantity=Decimal("0.1"), price=Decimal(80_000))
    )
    assert door.call("DELETE", f"/v1/orders/{other.id}")[1]["error"] == "ORDER_ID_NOT_FOUND"
    door.call("DELETE", "/v1/orders")
    door.after(10)
    assert not door.exchange.order(other.id).closed


def test_a_preflight_names_the_methods_and_allows_the_headers(door) -> None:
    asked = {"origin": "http://page", "access-control-request-headers": "authorization,content-type"}
    answer = door.answer("OPTIONS", "/v1/orders", headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, POST, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert door.answer("OPTIONS", "/nowhere").status == 404
    assert door.answer("PUT", "/v1/orders").headers["Allow"] == "DELETE, POST, OPTIONS"


def test_no_limit_holds_a_client_back(door) -> None:
    # The venue allows 120 private reads a second.
    assert {door.call("GET", "/v1/account")[0] for _ in range(200)} == {200}
