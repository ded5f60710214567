"""Whatever a client sends, the simulator answers with a documented error; equal seeds give equal worlds."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from venuekit_paradex.sim.markets import MARKETS, plan

from venuekit.sim.crowd import Crowd
from venuekit.sim.ledger import Ledger

BTC = "BTC-USD-PERP"
ORDINARY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["1e400", "-1", "0", "NaN", "0x10", "9" * 60, "BUY", "LIMIT", "\ud800"[:0], "é", "1e-9"]
    )
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    *("market", "side", "type", "size", "price", "instruction", "client_id", "signature"),
    *("signature_timestamp", "flags", "stp", "recv_window", "trigger_price"),
)
ORDER_METHODS = (
    "create",
    "create_batch",
    "modify",
    "cancel",
    "cancel_all",
    "cancel_batch",
    "cancel_on_disconnect",
)
METHODS = (
    "auth",
    "subscribe",
    "unsubscribe",
    "modify_subscription",
    *(f"order.{one}" for one in ORDER_METHODS),
)
DOCUMENTED_RPC = {-32700, -32600, -32601, -32602, 100, 40110, 40111, 40300}


@ORDINARY
@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
def test_mutated_orders_are_refused_or_admitted_never_broken(bench, changes) -> None:
    bench.clock.advance(10_000_000_000)
    bench.login()
    answer = bench.rest("POST", "/orders", bench.order() | changes)
    assert answer.status in (201, 400)


@ORDINARY
@given(body=JSON, path=st.sampled_from(["/orders", "/orders/batch"]))
def test_any_json_as_a_body(bench, body, path) -> None:
    bench.clock.advance(10_000_000_000)
    bench.login()
    for method in ("POST", "DELETE") if path.endswith("batch") else ("POST",):
        assert bench.rest(method, path, json.dumps(body).encode()).status in (200, 400)


@ORDINARY
@given(method=st.sampled_from(METHODS), params=JSON)
def test_any_params_of_any_method(bench, method, params) -> None:
    bench.clock.advance(10_000_000_000)
    bench.service.meter.enabled = False
    bench.login()
    reply = bench.stream().login().call(method, params)
    assert "result" in reply or reply["error"]["code"] in DOCUMENTED_RPC


@ORDINARY
@given(
    headers=st.dictionaries(
        st.sampled_from(["account", "signature", "timestamp", "expiry"]), st.text(max_size=80), max_size=4
    )
)
def test_any_headers_of_a_token_request(bench, headers) -> None:
    bench.service.meter.enabled = False
    good = bench.auth_headers(bench.key, bench.person.address)
    names = dict(zip(["account", "signature", "timestamp", "expiry"], good, strict=True))
    answer = bench.rest("POST", "/auth", headers=good | {names[k]: v for k, v in headers.items()}, token="")
    assert answer.status in (200, 400, 401)


def day(make_bench, seed: int, orders: bool = True) -> tuple[str, int, list]:
    """Ten virtual seconds of one account's trading amid the crowd."""
    bench = make_bench(jitter_ms="2").login()
    ledger = Ledger(bench.exchange, bench.clock)
    crowds = [
        Crowd(bench.exchange, bench.clock, one.symbol, plan(one, bench.settings), seed) for one in MARKETS
    ]
    stream = bench.stream(2).login().subscribe("orders.ALL", "fills.ALL", f"order_book.{BTC}.deltas")
    for crowd in crowds:
        crowd.start()
    for number in range(20 if orders else 0):
        bench.after(400)
        best = bench.exchange.book(BTC, 1)
        for side, level in (("BUY", best.bids[0]), ("SELL", best.asks[0])):
            body = bench.order(
                side=side, price=format(level[0], "f"), size="0.02", client_id=f"{side}{number}"
            )
            stream.call("order.create", body)
        bench.after(100)
        stream.call("order.cancel_all", {})
    bench.after(1_000)
    for crowd in crowds:
        crowd.stop()
    return (
        ledger.digest(),
        len(bench.exchange.fills(bench.person.account)),
        [f for f, _ in stream.connection.sent],
    )


def test_equal_seeds_give_equal_ledgers_and_equal_frames(make_bench) -> None:
    first, second, other = day(make_bench, 5), day(make_bench, 5), day(make_bench, 6)
    assert first == second
    assert first[0] != other[0]
    assert first[1] >= 10  # the crowd fills a quoting account


def test_a_stopped_feed_leaves_no_timer(make_bench) -> None:
    bench = make_bench(idle_secs="0").login()
    bench.service.feed.start()
    stream = bench.stream().subscribe(f"order_book.{BTC}.snapshot@15@100ms")
    bench.after(1_000)
    stream.drop()
    bench.after(100)
    bench.service.feed.stop()
    assert bench.clock.next_timer_ns() is None


@pytest.mark.parametrize("name", ["jwt_sec", "sbe_min"])
def test_options_are_checked_by_name(make_bench, name) -> None:
    from venuekit.errors import BadValue

    with pytest.raises(BadValue, match=name if name == "jwt_sec" else "int"):
        make_bench(**{name: "many"})


def test_a_batch_is_one_token_of_the_limit(bench) -> None:
    bench.service.meter.drain("orders", bench.person.account)
    bench.after(4)  # 17250 a minute: one token in 3.5 ms
    assert bench.rest("POST", "/orders/batch", [bench.order() for _ in range(10)]).status == 201
    assert bench.exchange.position(bench.person.account, BTC).quantity == Decimal(0)
