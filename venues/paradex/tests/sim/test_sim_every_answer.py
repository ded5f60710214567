"""No answer and no message escapes the documents: every endpoint and every channel is asked here once.

The bench holds each answer against OpenAPI and each message against AsyncAPI, read strictly (see conftest).
"""

from __future__ import annotations

from decimal import Decimal

from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.channels import PRIVATE

BTC = "BTC-USD-PERP"
SUBKEY = hex(proofs.public_key_of(12_345))
MARKET = {"market": BTC}


def scenes(bench, order_id: str) -> dict[tuple[str, str], tuple[str, object, dict[str, object] | None, int]]:
    """(method, route) -> path to ask, body, query, and the success that is documented."""
    new = bench.order(price="82000", client_id="scene")
    onboarding = {
        "PARADEX-ETHEREUM-ACCOUNT": "0x" + "0" * 40,
        "PARADEX-STARKNET-ACCOUNT": bench.person.account,
        "PARADEX-STARKNET-SIGNATURE": proofs.sign(
            bench.key, proofs.onboarding_hash("PRIVATE_SN_VENUEKIT_SIM", bench.person.address)
        ),
    }
    auth = bench.auth_headers(bench.key, bench.person.address)
    key = hex(bench.person.public_key)
    plain = [
        ("GET", "/system/config", {}),
        ("GET", "/system/time", {}),
        ("GET", "/system/state", {}),
        ("GET", "/markets", {}),
        ("GET", "/markets/summary", {"market": "ALL"}),
        ("GET", "/trades", MARKET),
        ("GET", "/funding/data", MARKET),
        ("GET", "/onboarding", {"account_signer_type": "starknet", "public_key": key}),
        ("GET", "/account", {}),
        ("GET", "/account/info", {}),
        ("GET", "/account/summary", {}),
        ("GET", "/account/keys/subkeys", {"with_revoked": "true"}),
        ("GET", "/balance", {}),
        ("GET", "/positions", {}),
        ("GET", "/orders", {}),
        ("GET", "/orders-history", {}),
        ("GET", "/fills", {}),
        ("GET", "/funding/payments", MARKET),
        ("GET", "/tradebusts", {}),
        ("GET", "/transactions", {}),
        ("GET", "/transfers", {}),
    ]
    found = {(method, f"/v1{path}"): (path, None, {"query": query}, 200) for method, path, query in plain}
    found |= {
        ("GET", "/v1/bbo/{market}"): (f"/bbo/{BTC}", None, {}, 200),
        ("GET", "/v1/bbo/{market}/interactive"): (f"/bbo/{BTC}/interactive", None, {}, 200),
        ("GET", "/v1/orderbook/{market}"): (f"/orderbook/{BTC}", None, {}, 200),
        ("GET", "/v1/orderbook/{market}/interactive"): (f"/orderbook/{BTC}/interactive", None, {}, 200),
        ("POST", "/v1/onboarding"): ("/onboarding", {"public_key": key}, {"headers": onboarding}, 200),
        ("POST", "/v1/auth"): ("/auth", None, {"headers": auth, "token": ""}, 200),
        ("POST", "/v1/auth/{public_key}"): (f"/auth/{key}", None, {"headers": auth, "token": ""}, 200),
        ("POST", "/v1/account/keys/subkeys"): (
            "/account/keys/subkeys",
            {"name": "bot", "public_key": SUBKEY},
            {},
            201,
        ),
        ("GET", "/v1/account/keys/subkeys/{public_key}"): (f"/account/keys/subkeys/{SUBKEY}", None, {}, 200),
        ("GET", "/v1/orders/{order_id}"): (f"/orders/{order_id}", None, {}, 200),
        ("GET", "/v1/orders/by_client_id/{client_id}"): ("/orders/by_client_id/resting", None, {}, 200),
        ("POST", "/v1/orders"): ("/orders", new, {}, 201),
        ("POST", "/v1/orders/batch"): ("/orders/batch", [bench.order(price="81000")], {}, 201),
        ("PUT", "/v1/orders/{order_id}"): (
            f"/orders/{order_id}",
            bench.order(price="82500", id=order_id),
            {},
            200,
        ),
        ("DELETE", "/v1/orders/{order_id}"): (f"/orders/{order_id}", None, {}, 204),
        ("DELETE", "/v1/orders/by_client_id/{client_id}"): ("/orders/by_client_id/scene", None, {}, 204),
        ("DELETE", "/v1/orders/batch"): ("/orders/batch", {"order_ids": [order_id, "9"]}, {}, 200),
        ("DELETE", "/v1/orders"): ("/orders", None, {}, 200),
        ("DELETE", "/v1/account/keys/subkeys/{public_key}"): (
            f"/account/keys/subkeys/{SUBKEY}",
            None,
            {},
            200,
        ),
    }
    return found


def lively(bench) -> str:
    """A book, a fill, a position, a funding payment, a bust, and a resting order."""
    bench.quote()
    bench.rest("POST", "/orders", bench.order(type="MARKET", price=..., size="0.5"))
    bench.after(5)
    bench.exchange.pay_funding(BTC, Decimal("0.0001"))
    (fill,) = bench.exchange.fills(bench.person.account)
    resting = bench.rest("POST", "/orders", bench.order(client_id="resting")).json["id"]
    bench.after(5)
    bench.rest("POST", "/orders", bench.order(side="SELL", type="MARKET", price=..., size="0.1"))
    bench.after(5)
    bench.exchange.bust(fill.id)
    return resting


def test_every_endpoint_answers_as_documented(bench) -> None:
    asked = scenes(bench, lively(bench))
    assert set(asked) == set(bench.service.rest._unguarded)
    empty = set()
    for (method, route), (path, body, more, status) in asked.items():
        answer = bench.rest(method, path, body, **(more or {}))
        assert answer.status == status, (method, route, answer.json)
        rows = answer.json.get("results") if isinstance(answer.json, dict) else None
        if rows == []:
            empty.add(route)
        bench.after(5)
    # Nothing is moved on chain here, so these two lists stay empty; every other list showed a row.
    assert empty == {"/v1/transactions", "/v1/transfers", "/v1/account/keys/subkeys"}
    assert bench.rest("GET", "/account/keys/subkeys", query={"with_revoked": "true"}).json["results"]


def test_every_channel_publishes_as_documented(bench) -> None:
    """As JSON on a session without SBE: the frames pass the documents before they are kept."""
    channels = {
        "account",
        "balance_events",
        "fills.ALL",
        "funding_payments.ALL",
        "orders.ALL",
        "positions",
        "tradebusts",
        "bbo.ALL",
        "funding_data.ALL",
        "markets",
        "markets_summary.ALL",
        "trades.ALL",
        f"order_book.{BTC}.deltas",
        f"order_book.{BTC}.snapshot@15@50ms",
    }
    streams = [bench.stream().login().subscribe(channel) for channel in sorted(channels)]
    lively(bench)
    from venuekit.sim.records import Mode

    bench.exchange.set_mode(Mode.POST_ONLY, BTC)
    bench.after(1_000)
    silent = [
        channel for channel, stream in zip(sorted(channels), streams, strict=True) if not stream.take(channel)
    ]
    assert silent == []
    never = {"transaction", "transfers"}  # nothing moves on chain here
    assert {channel.partition(".")[0] for channel in channels} >= PRIVATE - never


def test_every_method_replies_as_documented(bench) -> None:
    """The bench holds each result against the document of its method."""
    bench.quote()
    stream = bench.stream()
    results = {"auth": stream.call("auth", {"bearer": bench.token})}
    calls = [
        ("subscribe", {"channel": "trades.ALL"}),
        ("unsubscribe", {"channel": "trades.ALL"}),
        ("order.cancel_on_disconnect", {"enabled": False}),
        ("order.create_batch", {"orders": [bench.order(price="81000"), bench.order(size="0.000001")]}),
        ("order.create", bench.order()),
    ]
    for method, params in calls:
        results[method] = stream.call(method, params)
        bench.after(5)
    placed = results["order.create"]["result"]["order"]["id"]
    stream.subscribe("markets_summary")
    calls = [
        ("modify_subscription", {"channel": "markets_summary", "add": [BTC], "remove": []}),
        ("order.modify", bench.order(id=placed, price="82000")),
        ("order.cancel", {"id": placed}),
        ("order.cancel_batch", {"order_ids": [placed, "9"]}),
        ("order.cancel_all", {}),
    ]
    for method, params in calls:
        results[method] = stream.call(method, params)
        bench.after(5)
    assert {method for method, reply in results.items() if "error" in reply} == set()
    import json
    from pathlib import Path

    document = json.loads((Path(__file__).parents[1] / "data/specs/asyncapi-2.6.0.json").read_text())
    methods = {name[1:] for name, channel in document["channels"].items() if "publish" in channel}
    assert set(results) == methods
