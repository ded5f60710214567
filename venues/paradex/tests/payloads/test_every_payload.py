"""Every field of every published and recorded payload is in what we decode, with the very value it had.

The expected values are the payloads: examples of the public documents, and samples that ccxt publishes.
"""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path

import pytest
from venuekit_paradex.readings import (
    ANSWERS,
    CHANNELS,
    parse_answer,
    parse_data,
    row_type,
    shown,
    template_of,
)

from venuekit.errors import BadValue, DecodeError

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
OPENAPI = json.loads((DATA / "specs/openapi-prod.json").read_text())
NOT_DECODED = tomllib.loads((HERE / "not_decoded.toml").read_text())
OUT = {"RFQ", "block trades", "vaults", "profile", "referrals", "Paradigm"}
"""What the documentation names as out of scope."""


def operations() -> dict[str, str]:
    """File name of an answer -> method and path, from the paths of the document."""
    found = {}
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            for status in operation["responses"]:
                name = path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace(".", "_")
                found[f"{method}_{name}.{status}.json"] = f"{method.upper()} {path}"
    return found


def exact(text: str) -> object:
    return json.loads(text, parse_float=Decimal)


def out_of_scope(name: str) -> bool:
    return any(fnmatch(name, pattern) for patterns in NOT_DECODED.values() for pattern in patterns)


def files(folder: str) -> list[str]:
    names = sorted(path.name for path in (DATA / folder).glob("*.json"))
    return [name for name in names if not name.endswith(".request.json") and not name.startswith("_")]


def published(name: str) -> str:
    """The text of an example; the document writes four lists of one price as the bare price."""
    payload = json.loads((DATA / "rest" / name).read_text())
    if name.startswith("get_orderbook_market") and "asks" in payload:
        payload |= {key: [str(one)] for key, one in payload.items() if key.startswith("best_")}
        return json.dumps(payload)
    return (DATA / "rest" / name).read_text()


ANSWER_FILES = [name for name in files("rest") if not out_of_scope(f"rest/{name}")]


@pytest.mark.parametrize("name", ANSWER_FILES)
def test_every_published_answer(name):
    method, _, path = operations()[name].partition(" ")
    body = published(name)
    payload = exact(body)
    found = parse_answer(method, path, body.encode())
    rows = payload["results"] if ANSWERS[f"{method} {path}"][0] == "[" else [payload]
    assert [shown(row) for row in found.rows] == rows
    assert found.next == (payload.get("next") if isinstance(payload, dict) else None)


# ccxt's samples, by the endpoint that its method asks.
RECORDED = {
    "cancel_orders": "DELETE /orders/batch",
    "create_order": "POST /orders",
    "create_orders": "POST /orders/batch",
    "edit_order": "PUT /orders/1",
    "fetch_all_greeks": "GET /markets/summary",
    "fetch_balance": "GET /balance",
    "fetch_deposits": "GET /transfers",
    "fetch_funding_history": "GET /funding/payments",
    "fetch_funding_rate_history": "GET /funding/data",
    "fetch_greeks": "GET /markets/summary",
    "fetch_leverage": "GET /account/margin",
    "fetch_margin_mode": "GET /account/margin",
    "fetch_markets": "GET /markets",
    "fetch_my_liquidations": "GET /liquidations",
    "fetch_my_trades": "GET /fills",
    "fetch_ohlcv": "GET /markets/klines",
    "fetch_open_interest": "GET /markets/summary",
    "fetch_open_orders": "GET /orders",
    "fetch_order": "GET /orders/1",
    "fetch_order_book": "GET /orderbook/X",
    "fetch_orders": "GET /orders-history",
    "fetch_positions": "GET /positions",
    "fetch_status": "GET /system/state",
    "fetch_ticker": "GET /markets/summary",
    "fetch_tickers": "GET /markets/summary",
    "fetch_time": "GET /system/time",
    "fetch_trades": "GET /trades",
    "fetch_trading_fee": "GET /markets",
    "fetch_trading_fees": "GET /markets",
    "fetch_transfers": "GET /transfers",
    "fetch_withdrawals": "GET /transfers",
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_answer(name):
    method, _, path = RECORDED[name].partition(" ")
    body = (DATA / f"recorded_rest/{name}.json").read_text()
    payload = exact(body)
    found = parse_answer(method, path, body.encode())
    listed = ANSWERS[template_of(method, path)][0] == "["
    rows = payload["results"] if listed and "results" in payload else [payload]
    assert [shown(row) for row in found.rows] == rows
    assert not listed or found.next == payload.get("next")


def test_no_recorded_answer_is_forgotten():
    assert {name.removesuffix(".json") for name in files("recorded_rest")} == {*RECORDED, "handle_errors"}


@pytest.mark.parametrize("folder", ["ws", "recorded_ws"])
def test_every_message_of_a_channel(folder):
    compared = 0
    for name in files(folder):
        message = exact((DATA / folder / name).read_text())
        if out_of_scope(f"{folder}/{name}") or "params" not in message:
            continue
        data = message["params"]["data"]
        text = json.dumps(data, default=float)
        assert exact(text) == data, name
        assert shown(parse_data(message["params"]["channel"], text.encode())) == data, name
        compared += 1
    assert compared == {"ws": 15, "recorded_ws": 8}[folder]


def test_every_result_of_a_method():
    compared = 0
    for name in files("ws_rpc"):
        method = name.removesuffix(".response.json")
        message = exact((DATA / "ws_rpc" / name).read_text())
        found = parse_data(method, json.dumps(message["result"]).encode())
        assert shown(found) == message["result"], name
        compared += 1
    assert compared == 11


@pytest.mark.parametrize("name", ["rest/_error.400.json", "recorded_rest/handle_errors.json"])
def test_errors(name):
    import msgspec
    from venuekit_paradex.wire.replies import parse_error

    body = (DATA / name).read_text()
    whole = msgspec.json.decode(body, type=row_type("ApiError"))
    assert shown(whole) == exact(body)
    assert [parse_error(body.encode()).error, parse_error(body.encode()).message] == [
        exact(body)["error"],
        exact(body)["message"],
    ]


# --- the list of what is left out


def test_only_what_the_documentation_names_as_out_is_not_decoded():
    assert set(NOT_DECODED) <= OUT
    for patterns in NOT_DECODED.values():
        for pattern in patterns:
            assert list(DATA.glob(pattern)), f"{pattern} names no file"


def test_every_operation_of_the_document_is_read_or_out():
    words = {
        "RFQ": ("/rfqs",),
        "block trades": ("/block-trades",),
        "vaults": ("/vaults",),
        "profile": ("/account/profile", "/account/settings/trading_value_display"),
        "referrals": ("/account/referrer", "/referrals"),
        "Paradigm": ("/paradigm",),
    }
    assert set(words) == OUT
    # Reward programmes: neither trading, account nor market data.
    rewards = ("/staking/", "/xp/")
    outside = (*rewards, *(word for group in words.values() for word in group))
    missing = [
        f"{method.upper()} {path}"
        for path, methods in OPENAPI["paths"].items()
        for method, operation in methods.items()
        if any(
            status.startswith("2") and "content" in reply for status, reply in operation["responses"].items()
        )
        and f"{method.upper()} {path}" not in ANSWERS
        and not any(word in path for word in outside)
    ]
    assert missing == []


def test_every_documented_property_has_its_field():
    """The table against the schemas: a property that the venue documents is never dropped in silence."""
    asyncapi = json.loads((DATA / "specs/asyncapi-2.6.0.json").read_text())
    for document, pairs in (
        (OPENAPI, {"responses.OrderResp": "Order", "responses.FillResult": "Fill"}),
        (
            OPENAPI,
            {"responses.PositionResp": "Position", "responses.AccountSummaryResponse": "AccountSummary"},
        ),
        (OPENAPI, {"responses.MarketResp": "Market", "responses.MarketSummaryResp": "MarketSummary"}),
        (OPENAPI, {"responses.TransferResult": "Transfer", "responses.SystemConfigResponse": "SystemConfig"}),
        (
            asyncapi,
            {"ResponsesBalanceEventResponse": "BalanceEvent", "ResponsesPriceBookUpdate": "BookUpdate"},
        ),
    ):
        for schema, row in pairs.items():
            documented = set(document["components"]["schemas"][schema]["properties"])
            assert documented <= set(row_type(row).__struct_fields__), schema


def test_unknown_operations_and_unreadable_bytes_are_told():
    with pytest.raises(BadValue):
        parse_answer("GET", "/rfqs", b"{}")
    with pytest.raises(BadValue):
        parse_data("rfq.1", b"{}")
    for body in (b"", b"[]", b"{", b'{"results":5}', b'{"results":[5]}', b"[" * 5_000):
        with pytest.raises(DecodeError):
            parse_answer("GET", "/orders", body)


def test_every_name_of_the_tables_is_a_row():
    for kind in [*ANSWERS.values(), *CHANNELS.values()]:
        assert row_type(kind.strip("[]")).__struct_fields__
