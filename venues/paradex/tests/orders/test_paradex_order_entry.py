"""Order entry: what goes on the wire, against the SDK's signatures and the published request schema."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path

import jsonschema_rs
import pytest
from nautilus_trader.model import InstrumentId, OrderSide, TimeInForce
from venuekit_paradex.config import ParadexConfig
from venuekit_paradex.orders import ParadexOrders
from venuekit_paradex.signing import python_signer

from venuekit.errors import BadValue
from venuekit.interfaces.orders import Cancel, CancelAll, Modify, Stamp, Submit
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import HttpRequest, StreamRequest
from venuekit.interfaces.signer import Secret, Signed
from venuekit.interfaces.time import AtWall

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "signing_vectors.json").read_text())
NEW_ORDERS = [
    vector
    for vector in VECTORS["orders"]
    if vector["kind"] == "Order" and vector["inputs"]["type"] in ("LIMIT", "MARKET")
]
STAMP = Stamp(wall_ns=1_735_689_600_123_456_789)
SIGNED = Signed(b'["1","2"]', b"\0" * 32)
ETH = InstrumentId.from_str("ETH-USD-PERP.PARADEX")


@cache
def request_schema(name: str) -> jsonschema_rs.Validator:
    spec = json.loads((DATA / "specs/openapi-prod.json").read_text())
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
    )


@pytest.fixture(params=["ws", "rest"])
def route(request) -> str:
    return request.param


@pytest.fixture
def codec(symbols, route) -> ParadexOrders:
    return ParadexOrders(symbols=symbols, route=route, recv_window_ms=30_000)


def prepared(codec: ParadexOrders, command, stamp: Stamp = STAMP):
    (draft,) = codec.draft(command)
    return draft, codec.encode(draft, stamp, SIGNED if codec.to_sign(draft, stamp) else None)


def test_there_is_a_vector_of_each_kind():
    kinds = {(vector["inputs"]["type"], vector["inputs"]["side"]) for vector in NEW_ORDERS}
    assert {("LIMIT", "BUY"), ("LIMIT", "SELL"), ("MARKET", "BUY")} <= kinds
    assert len(NEW_ORDERS) >= 9


@pytest.mark.parametrize("vector", NEW_ORDERS, ids=lambda vector: vector["id"])
def test_an_order_is_signed_as_the_sdk_signs_it(vector, kit):
    """The same order, from a Nautilus order to the signature text that paradex-py 0.8.2 made."""
    inputs = vector["inputs"]
    fine = "0.00000001"
    symbols = kit.load_symbols(kit.market(inputs["market"], fine, fine))
    codec = ParadexOrders(symbols=symbols, route="ws", recv_window_ms=30_000)
    known = {account["id"]: account for account in VECTORS["accounts"]}[vector["account"]]
    side = OrderSide.BUY if inputs["side"] == "BUY" else OrderSide.SELL
    about = {"side": side, "instrument_id": InstrumentId.from_str(f"{inputs['market']}.PARADEX")}
    quantity = f"{Decimal(inputs['size']):.8f}"
    if inputs["type"] == "LIMIT":
        order = kit.limit_order(quantity=quantity, price=f"{Decimal(inputs['price']):.8f}", **about)
    else:
        order = kit.market_order(quantity=quantity, **about)
    (draft,) = codec.draft(Submit((order,)))
    request = codec.to_sign(draft, Stamp(wall_ns=inputs["ts"] * 1_000_000 + 999_999))
    key = vector.get("l2_private_key") or known["l2_private_key"]
    signer = python_signer(
        Secret(key), {"chain_id": known["starknet_chain_id"], "account": known["l2_address"]}
    )
    assert signer.sign(request).signature.decode() == vector["signature"]


def body_of(request: HttpRequest | StreamRequest) -> dict[str, object]:
    return json.loads(request.payload if isinstance(request, StreamRequest) else request.body)


ORDERS = {
    "limit": ({}, {"type": "LIMIT", "instruction": "GTC", "flags": [], "price": "95000.5"}),
    "post only": ({"post_only": True}, {"type": "LIMIT", "instruction": "POST_ONLY", "flags": []}),
    "ioc": ({"time_in_force": TimeInForce.IOC}, {"type": "LIMIT", "instruction": "IOC", "flags": []}),
    "reduce only": (
        {"reduce_only": True, "side": OrderSide.SELL},
        {"side": "SELL", "instruction": "GTC", "flags": ["REDUCE_ONLY"]},
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_limit_orders_on_the_wire(codec, kit, route, name):
    changes, expected = ORDERS[name]
    order = kit.limit_order(**changes)
    draft, ready = prepared(codec, Submit((order,)))
    body = body_of(ready.request)
    assert expected.items() <= body.items()
    assert (body["client_id"], body["market"], body["size"]) == ("O-1", "BTC-USD-PERP", "0.10000")
    assert body["signature"] == '["1","2"]'
    assert body["signature_timestamp"] == 1_735_689_600_123
    request_schema("requests.OrderRequest").validate(body)
    assert (draft.op, draft.covers, draft.port) == ("submit", ("O-1",), "rpc" if route == "ws" else "rest")
    # Signed for a receive window of 30 s: read later than that, the venue refuses it.
    lapses = AtWall(STAMP.wall_ns + 30_000_000_000)
    assert dict(ready.ids) == {"O-1": WireIds(client_order_id="O-1", lapses=lapses)}
    assert not ready.same_bytes_safe
    # Four fifths of 30 s after the stamp the signature counts as stale.
    assert ready.sign_again_after == AtWall(STAMP.wall_ns + 24_000_000_000)
    if route == "ws":
        assert (ready.request.op, ready.request.method) == ("submit", "order.create")
    else:
        assert (ready.request.method, ready.request.path, ready.request.private) == ("POST", "/orders", True)


@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, TimeInForce.IOC])
def test_market_orders_carry_no_price_and_sign_zero(codec, kit, time_in_force):
    order = kit.market_order(time_in_force=time_in_force, reduce_only=True)
    draft, ready = prepared(codec, Submit((order,)))
    body = body_of(ready.request)
    assert "price" not in body
    # The venue: IOC "can only be used with a Limit Order type"; its own examples of market orders say GTC.
    assert (body["type"], body["instruction"]) == ("MARKET", "GTC")
    assert body["flags"] == ["REDUCE_ONLY"]
    assert codec.to_sign(draft, STAMP).fields["price"] == 0


def test_the_signed_numbers_are_those_of_the_body(codec, kit):
    order = kit.limit_order(quantity="0.01230", price="0.1")
    draft, ready = prepared(codec, Submit((order,)))
    fields, body = codec.to_sign(draft, STAMP).fields, body_of(ready.request)
    assert fields["size"] == Decimal(body["size"]) * 10**8 == 1_230_000
    assert fields["price"] == Decimal(body["price"]) * 10**8 == 10_000_000
    assert fields["timestamp"] == body["signature_timestamp"]
    assert (fields["market"], fields["side"], fields["orderType"]) == ("BTC-USD-PERP", 1, "LIMIT")


def test_several_orders_are_several_requests(codec, kit):
    drafts = codec.draft(Submit((kit.limit_order("A"), kit.limit_order("B"))))
    assert [(draft.covers, draft.lane) for draft in drafts] == [(("A",), "A"), (("B",), "B")]


def test_a_new_order_never_leaves_unsigned(codec, kit):
    (draft,) = codec.draft(Submit((kit.limit_order(),)))
    with pytest.raises(BadValue, match="signed"):
        codec.encode(draft, STAMP, None)


# --- cancels


def test_cancel_by_the_venues_id(codec, kit, route):
    order = kit.limit_order()
    ids = WireIds(client_order_id="O-1", venue_order_id="1681462103821101699438490000")
    draft, ready = prepared(codec, Cancel(((order, ids),)))
    assert codec.to_sign(draft, STAMP) is None
    assert (draft.op, draft.lane, ready.ids["O-1"].venue_order_id) == ("cancel", "O-1", ids.venue_order_id)
    if route == "ws":
        assert (ready.request.method, body_of(ready.request)) == ("order.cancel", {"id": ids.venue_order_id})
    else:
        path = f"/orders/{ids.venue_order_id}"
        assert (ready.request.method, ready.request.path, ready.request.private) == ("DELETE", path, True)


def test_cancel_by_our_id_names_the_market(codec, kit, route):
    _, ready = prepared(codec, Cancel(((kit.limit_order("a:b"), WireIds(client_order_id="a:b")),)))
    if route == "ws":
        assert body_of(ready.request) == {"client_id": "a:b", "market": "BTC-USD-PERP"}
    else:
        assert ready.request.path == "/orders/by_client_id/a%3Ab"
        assert list(ready.request.query) == [("market", "BTC-USD-PERP")]


def test_cancel_all_of_a_market(codec, kit, route):
    order = kit.limit_order()
    draft, ready = prepared(codec, CancelAll(kit.BTC, None, ((order, WireIds()),)))
    assert (draft.op, draft.covers) == ("cancel_all", ("O-1",))
    if route == "ws":
        assert (ready.request.method, body_of(ready.request)) == (
            "order.cancel_all",
            {"market": "BTC-USD-PERP"},
        )
    else:
        assert (ready.request.method, ready.request.path) == ("DELETE", "/orders")
        assert list(ready.request.query) == [("market", "BTC-USD-PERP")]


def test_cancel_all_of_the_account(codec, route):
    _, ready = prepared(codec, CancelAll(None, None))
    if route == "ws":
        assert body_of(ready.request) == {}
    else:
        assert list(ready.request.query) == []


def test_cancel_all_of_one_side_names_its_orders(codec, kit):
    buy, sell = kit.limit_order("B"), kit.limit_order("S", OrderSide.SELL)
    targets = ((buy, WireIds(venue_order_id="1")), (sell, WireIds(venue_order_id="2")))
    drafts = codec.draft(CancelAll(kit.BTC, OrderSide.SELL, targets))
    assert [(draft.op, draft.covers) for draft in drafts] == [("cancel", ("S",))]


# --- local denials


def test_what_the_manifest_allows_passes(codec, kit):
    for order in (kit.limit_order(), kit.limit_order(post_only=True), kit.market_order()):
        assert codec.check(Submit((order,))) is None
    assert codec.check(Cancel(((kit.limit_order(), WireIds()),))) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "UNSUPPORTED_TIME_IN_FORCE"),
        ({"instrument_id": InstrumentId.from_str("X-USD-PERP.PARADEX")}, "INSTRUMENT_NOT_FOUND"),
        ({"quantity": "0.000000001"}, "INVALID_ORDER"),
        ({"price": "0.0000000001"}, "INVALID_ORDER"),
        ({"price": "-1.0"}, "INVALID_ORDER"),
        ({"time_in_force": TimeInForce.FOK}, "INVALID_ORDER"),
    ],
)
def test_denied_before_the_wire(codec, kit, changes, code):
    good, bad = kit.limit_order("A"), kit.limit_order("B", **changes)
    assert codec.check(Submit((good, bad))).code == code


def test_modify_is_denied(codec, kit):
    assert codec.check(Modify(kit.limit_order(), WireIds())) is not None


def test_the_receive_window_has_the_venues_bounds():
    with pytest.raises(ValueError, match="recv_window_ms"):
        ParadexConfig(recv_window_ms=9)
    with pytest.raises(ValueError, match="recv_window_ms"):
        ParadexConfig(recv_window_ms=300_001)
