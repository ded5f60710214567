"""Replies to verdicts: every documented code on both roads, and whatever else a reply may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from venuekit_paradex.errors import ERRORS
from venuekit_paradex.orders import ParadexOrders

from venuekit.interfaces.manifest import Says
from venuekit.interfaces.orders import (
    Cancel,
    CancelAll,
    Outcome,
    Prepared,
    Received,
    RefusedOutcome,
    Stamp,
    Submit,
    Unknown,
)
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Reply
from venuekit.interfaces.signer import Signed

DATA = Path(__file__).parents[1] / "data"
STAMP = Stamp(wall_ns=1_735_689_600_123_456_789)
SIGNED = Signed(b'["1","2"]', b"\0" * 32)
VENUE_ID = "1681462103821101699438490000"


@pytest.fixture(scope="module")
def requests(kit) -> dict[tuple[str, str], tuple[ParadexOrders, Prepared]]:
    symbols = kit.load_symbols(kit.market())
    made = {}
    for route in ("ws", "rest"):
        codec = ParadexOrders(symbols=symbols, route=route, recv_window_ms=30_000)
        order = kit.limit_order()
        target = (order, WireIds(client_order_id="O-1", venue_order_id=VENUE_ID))
        for op, command in (
            ("submit", Submit((order,))),
            ("cancel", Cancel((target,))),
            ("cancel_all", CancelAll(kit.BTC, None, (target,))),
        ):
            (draft,) = codec.draft(command)
            made[route, op] = (codec, codec.encode(draft, STAMP, SIGNED))
    return made


def outcome(requests, route: str, op: str, status: int | str, body: object = b"") -> Outcome:
    codec, prepared = requests[route, op]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec.verdict(prepared, Reply(status, raw)).of("O-1")


def rest_error(requests, op: str, code: str, status: int = 400) -> Outcome:
    return outcome(requests, "rest", op, status, {"error": code, "message": "text", "data": None})


# --- good replies


def test_created_over_rest_is_only_received(requests, kit):
    example = kit.data("rest/post_orders.201.json")
    found = outcome(requests, "rest", "submit", 201, example)
    assert found == Received(WireIds(client_order_id="O-1", venue_order_id=example["id"]))


def test_created_over_the_stream_is_only_received(requests, kit):
    result = kit.data("ws_rpc/order.create.response.json")["result"]
    found = outcome(requests, "ws", "submit", "ok", result)
    assert found == Received(WireIds(client_order_id="O-1", venue_order_id=result["order"]["id"]))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"{}"])
@pytest.mark.parametrize(("route", "status"), [("rest", 201), ("ws", "ok")])
def test_the_status_alone_proves_that_the_venue_has_it(requests, route, status, body):
    assert outcome(requests, route, "submit", status, body) == Received(WireIds(client_order_id="O-1"))


@pytest.mark.parametrize("op", ["cancel", "cancel_all"])
@pytest.mark.parametrize("status", [200, 204])
def test_a_cancel_is_queued_not_done(requests, op, status):
    assert isinstance(outcome(requests, "rest", op, status), Received)


def test_cancel_results_over_the_stream(requests, kit):
    result = kit.data("ws_rpc/order.cancel.response.json")["result"]
    found = outcome(requests, "ws", "cancel", "ok", result)
    assert found == Received(WireIds(client_order_id="O-1", venue_order_id=VENUE_ID))
    for status in ("ALREADY_CLOSED", "NOT_FOUND"):
        found = outcome(requests, "ws", "cancel", "ok", {**result, "status": status})
        assert isinstance(found, RefusedOutcome)
        assert found.gone
    assert isinstance(outcome(requests, "ws", "cancel", "ok", {"status": "SOMETHING"}), Unknown)
    assert isinstance(outcome(requests, "ws", "cancel", "ok", b"<html>"), Unknown)
    result = kit.data("ws_rpc/order.cancel_all.response.json")["result"]
    assert isinstance(outcome(requests, "ws", "cancel_all", "ok", result), Received)


# --- errors: the published list, grouped in section 7 of the venue's documents


PROVEN = [
    "VALIDATION_ERROR",
    "INVALID_ORDER_SIZE",
    "INVALID_ORDER_SIGNATURE",
    "INVALID_TIMESTAMP",
    "MARKET_NOT_FOUND",
]
MODES = ["SYSTEM_STATUS_POST_ONLY", "SYSTEM_STATUS_CANCEL_ONLY", "MARKET_NOT_OPEN"]
GONE = ["ORDER_ID_NOT_FOUND", "CLIENT_ORDER_ID_NOT_FOUND", "ORDER_IS_CLOSED", "ORDER_IS_NOT_OPEN"]


@pytest.mark.parametrize("code", PROVEN + MODES)
def test_proof_of_refusal(requests, code):
    found = rest_error(requests, "submit", code)
    assert isinstance(found, RefusedOutcome)
    assert (found.code, found.gone, found.rejects_token) == (code, False, False)


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "UNAUTHORIZED_ERROR"])
def test_a_dead_token(requests, code):
    found = rest_error(requests, "submit", code, 401)
    assert isinstance(found, RefusedOutcome)
    assert found.rejects_token
    bare = outcome(requests, "rest", "submit", 401, b"")
    assert isinstance(bare, RefusedOutcome)
    assert bare.rejects_token


@pytest.mark.parametrize("code", GONE)
def test_a_submit_answered_with_a_gone_order_proves_nothing(requests, code):
    assert isinstance(rest_error(requests, "submit", code), Unknown)


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("op", ["cancel", "cancel_all"])
def test_a_cancel_of_a_gone_order_asks_for_a_look_up(requests, code, op):
    found = rest_error(requests, op, code)
    assert isinstance(found, RefusedOutcome)
    assert found.gone


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "DUPLICATED_CLIENT_ID", "message": "", "data": None}),
        (400, {"error": "INTERNAL_ERROR", "message": "", "data": None}),
        (400, {"error": "NEVER_HEARD_OF", "message": "", "data": None}),
        (400, b"<html>bad gateway</html>"),
        (403, b""),
        (429, {"error": "RATE_LIMITED", "message": "", "data": None}),
        (429, b""),
        (500, b""),
        (502, b"<html>"),
        (503, {"error": "SERVICE_UNAVAILABLE", "message": "", "data": None}),
        (504, b""),
        (302, b""),
        (None, b""),
        ("weird", b""),
    ],
)
def test_what_proves_nothing_about_a_submit(requests, status, body):
    assert isinstance(outcome(requests, "rest", "submit", status, body), Unknown)


def ws_error(requests, op: str, code: int, message: str = "text", **more: object) -> Outcome:
    return outcome(requests, "ws", op, "error", {"code": code, "message": message, **more})


@pytest.mark.parametrize("code", [-32603, 42901, 100, 99999])
def test_stream_errors_that_prove_nothing(requests, code):
    assert isinstance(ws_error(requests, "submit", code), Unknown)


@pytest.mark.parametrize("code", [-32700, -32600, -32601, -32602])
def test_stream_errors_that_prove_a_refusal(requests, code):
    found = ws_error(requests, "submit", code)
    assert isinstance(found, RefusedOutcome)
    assert not found.rejects_token


@pytest.mark.parametrize("code", [40110, 40111])
def test_stream_errors_of_a_dead_token(requests, code):
    found = ws_error(requests, "submit", code)
    assert isinstance(found, RefusedOutcome)
    assert found.rejects_token


@pytest.mark.parametrize("place", ["message", "data", "both"])
def test_a_method_error_that_names_a_code_is_that_code(requests, place):
    detail = {
        "message": {"message": "ORDER_IS_CLOSED"},
        "data": {"message": "method error", "data": "ORDER_IS_CLOSED: closed"},
        "both": {"message": "method error", "data": {"error": "ORDER_IS_CLOSED"}},
    }[place]
    found = outcome(requests, "ws", "cancel", "error", {"code": 100, **detail})
    assert isinstance(found, RefusedOutcome)
    assert (found.code, found.gone) == ("ORDER_IS_CLOSED", True)
    duplicate = outcome(requests, "ws", "submit", "error", {"code": 100, "message": "DUPLICATED_CLIENT_ID"})
    assert isinstance(duplicate, Unknown)


@pytest.mark.parametrize(
    "rule", [rule for rule in ERRORS if rule.domain == "rest"], ids=lambda rule: rule.code
)
def test_both_roads_agree_on_every_published_code(requests, rule):
    for op in ("submit", "cancel"):
        rest = rest_error(requests, op, rule.code)
        stream = ws_error(requests, op, 100, rule.code)
        assert type(rest) is type(stream)
        if isinstance(rest, RefusedOutcome):
            assert isinstance(stream, RefusedOutcome)
            flags = [(one.gone, one.rejects_token, one.rejects_time) for one in (rest, stream)]
            assert flags[0] == flags[1]
            assert flags[0][2] is (rule.says is Says.CLOCK)
            assert rule.says in (Says.REFUSED, Says.MODE, Says.AUTH, Says.GONE, Says.CLOCK)
        else:
            # A submit that only a gone order would explain proves nothing.
            assert rule.says in (Says.DUPLICATE, Says.LIMIT, Says.TRANSIENT, Says.GONE)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.one_of(st.none(), st.integers(100, 599), st.sampled_from(["ok", "error", ""])),
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "code", "message", "order", "id", "status", "data"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.sampled_from(["ws", "rest"]),
    st.sampled_from(["submit", "cancel", "cancel_all"]),
)
def test_a_verdict_is_total(requests, status, body, route, op):
    found = outcome(requests, route, op, status, body)
    assert isinstance(found, Received | RefusedOutcome | Unknown)
    good = status == "ok" if route == "ws" else status in (200, 201, 204)
    if not good:
        assert not isinstance(found, Received)
