"""A simulator under virtual time, without sockets; every answer is held against the published documents."""

from __future__ import annotations

import asyncio
import copy
import json
import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path

import jsonschema_rs
import pytest
from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.desk import order_id
from venuekit_paradex.sim.markets import MARKETS
from venuekit_paradex.sim.people import DEMO_KEY
from venuekit_paradex.sim.service import ParadexService
from venuekit_paradex.sim.settings import CHAIN_ID, parse_settings

from venuekit.runtime.clock import ManualClock
from venuekit.sim.door import CloseKind, Request, Response
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.records import Side

DATA = Path(__file__).parent.parent / "data"
MS = 1_000_000
SECOND = 1_000_000_000


@cache
def openapi() -> dict:
    return json.loads((DATA / "specs/openapi-prod.json").read_text())


@cache
def asyncapi() -> dict:
    return json.loads((DATA / "specs/asyncapi-2.6.0.json").read_text())


@cache
def optional() -> dict[str, dict[str, str]]:
    """Documented properties that may be missing, by schema, each with its source."""
    return tomllib.loads((DATA.parent / "schemas/optional.toml").read_text())


def merged(schema: dict, document: dict, name: str) -> tuple[dict, str]:
    """The schema with its references and allOf put together, and the name of what it refers to."""
    schema = copy.deepcopy(schema)
    while "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        schema = copy.deepcopy(document["components"]["schemas"][name])
    for part in schema.pop("allOf", []):
        other, _ = merged(part, document, name)
        properties = {**schema.get("properties", {}), **other.get("properties", {})}
        schema = {**other, **schema}
        if properties:
            schema["properties"] = properties
    return schema, name


def closed(schema: dict, document: dict, name: str = "") -> dict:
    """The schema read strictly: no undocumented property in any object, and every documented one required
    unless the list of optional ones has it."""
    schema, name = merged(schema, document, name)
    if "properties" in schema:
        schema["properties"] = {
            key: closed(one, document, f"{name}.{key}") for key, one in schema["properties"].items()
        }
        left_out = optional().get(name.removeprefix("responses.").removeprefix("Responses"), {})
        assert set(left_out) - {"*"} <= set(schema["properties"]), name
        schema["required"] = [] if "*" in left_out else sorted(set(schema["properties"]) - set(left_out))
        # Live answers carry null in these three (public recordings), where the document says text or object.
        for key in {"next", "prev", "data"} & set(schema["properties"]):
            schema["properties"][key] = {"anyOf": [schema["properties"][key], {"type": "null"}]}
        schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = closed(schema["additionalProperties"], document)
    if "items" in schema:
        schema["items"] = closed(schema["items"], document, name)
    schema.pop("example", None)
    return schema


# `POST /auth/{public_key}` is in the SDK and the docs, not in this version of the document.
SAME = {"/auth/{public_key}": "/auth"}
# Answers that the conventions page documents for every endpoint.
COMMON = {"401", "404", "405", "429", "503"}


@cache
def validator(method: str, template: str, status: str) -> object | None:
    responses = openapi()["paths"][SAME.get(template, template)][method.lower()]["responses"]
    if status in COMMON and status not in responses:
        schema: dict = {"$ref": "#/components/schemas/responses.ApiError"}
    else:
        assert status in responses, f"{method} {template} documents no {status}"
        content = responses[status].get("content")
        if content is None:
            return None
        schema = content["application/json"]["schema"]
    return jsonschema_rs.validator_for(closed(schema, openapi()))


CHANNELS = {
    "account": "/account",
    "balance_events": "/balance_events",
    "bbo": "/bbo.{market_symbol}",
    "fills": "/fills.{market_symbol}",
    "funding_data": "/funding_data.{market_symbol}",
    "funding_payments": "/funding_payments.{market_symbol}",
    "markets": "/markets[.{market_symbol}]",
    "markets_summary": "/markets_summary[.{market_symbol}]",
    "order_book": "/order_book.{market_symbol}.{feed_type}@15@{refresh_rate}[@{price_tick}]",
    "orders": "/orders.{market_symbol}",
    "positions": "/positions",
    "tradebusts": "/tradebusts",
    "trades": "/trades.{market_symbol}",
}


@cache
def channel_validator(kind: str) -> object:
    payload = asyncapi()["channels"][CHANNELS[kind]]["subscribe"]["message"]["payload"]
    return jsonschema_rs.validator_for(closed(payload, asyncapi()))


@cache
def reply_validator(method: str) -> object:
    payload = asyncapi()["channels"][f"/{method}"]["subscribe"]["message"]["payload"]
    return jsonschema_rs.validator_for(closed(payload, asyncapi(), method))


ENVELOPE = {"jsonrpc", "usIn", "usOut", "usDiff"}
"""Of every reply; the id comes back where the request had one."""


def hold_reply(request: dict, reply: dict) -> None:
    """The result of a request against the document of its method; an error against the published shape."""
    assert set(reply) - {"id"} in (ENVELOPE | {"result"}, ENVELOPE | {"error"}), sorted(reply)
    if "error" in reply:
        assert {"code", "message"} <= set(reply["error"]) <= {"code", "message", "data"}
        return
    reply_validator(request["method"]).validate(reply["result"])


def hold_against_asyncapi(label: str, frame: str) -> None:
    message = json.loads(frame)
    assert set(message) == {"jsonrpc", "method", "params"}
    assert (message["method"], message["params"]["channel"]) == ("subscription", label)
    channel_validator(label.split(".", 1)[0]).validate(message["params"]["data"])


def template_of(path: str) -> str:
    parts = path.removeprefix("/v1").strip("/").split("/")
    fitting = [
        template
        for template in [*openapi()["paths"], *SAME]
        if len(shape := template.strip("/").split("/")) == len(parts)
        and all(s.startswith("{") or s == p for s, p in zip(shape, parts, strict=True))
    ]
    best = min(fitting, key=lambda one: one.count("{"), default=None)
    assert best is not None, f"{path} is not a published path"
    return best


def hold_against_openapi(method: str, path: str, response: Response) -> None:
    check = validator(method, template_of(path), str(response.status))
    if check is None:
        assert response.body == b"", f"{method} {path} documents an empty body"
    else:
        check.validate(json.loads(response.body))


class Answer:
    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self.json = json.loads(response.body) if response.body else None

    @property
    def error(self) -> str:
        return self.json["error"]


class FakeConnection:
    """Collects what the service sends."""

    def __init__(self, number: int, handshake: Request) -> None:
        self.id = number
        self.handshake = handshake
        self.state: object = None
        self.open = True
        self.backlog = 0
        self.closed_with: tuple[int, str] | None = None
        self.sent: list[tuple[bytes | str, str]] = []

    def send(self, frame: bytes | str, label: str = "") -> None:
        if self.open:
            if isinstance(frame, str) and not label.startswith("reply:"):
                hold_against_asyncapi(label, frame)
            self.sent.append((frame, label))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.open, self.closed_with = False, (code, reason)

    def reset(self) -> None:
        self.open = False


class Stream:
    """One connection of a client."""

    def __init__(self, bench: Bench, query: tuple[tuple[str, str], ...]) -> None:
        handshake = Request(id=0, method="GET", path="/v1", query=query)
        self.refused = bench.service.accept(handshake)
        self.bench = bench
        self._key = 0
        if self.refused is None:
            self.connection = FakeConnection(len(bench.service.feed.sessions) + 1, handshake)
            bench.service.opened(self.connection)

    def call(self, method: str, params: object = None, **extra: object) -> dict:
        """The reply; what was sent beside it stays in `frames`."""
        self._key += 1
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": self._key, **extra}
        return self.raw(json.dumps(body))

    def raw(self, frame: bytes | str) -> dict:
        before = len(self.connection.sent)
        self.bench.service.receive(self.connection, frame)
        replies = [f for f, label in self.connection.sent[before:] if label.startswith("reply:")]
        assert len(replies) == 1
        reply = json.loads(replies[0])
        try:
            request = json.loads(frame)
        except ValueError:
            request = {}
        hold_reply(request, reply)
        return reply

    def login(self) -> Stream:
        assert "result" in self.call("auth", {"bearer": self.bench.token})
        return self

    def subscribe(self, *channels: str) -> Stream:
        for channel in channels:
            assert self.call("subscribe", {"channel": channel})["result"] == {"channel": channel}
        return self

    def take(self, channel: str) -> list:
        """Frames of a channel since the last take; JSON ones as their data."""
        found = [f for f, label in self.connection.sent if label == channel]
        self.connection.sent = [one for one in self.connection.sent if one[1] != channel]
        return [json.loads(f)["params"]["data"] if isinstance(f, str) else f for f in found]

    def drop(self) -> None:
        self.connection.open = False
        self.bench.service.closed(self.connection, CloseKind.RESET, 1006)


class Bench:
    def __init__(self, **options: str) -> None:
        self.clock = ManualClock(wall_start_ns=1_791_000_000 * SECOND)
        self.settings = parse_settings({"liquidity": "false", "jitter_ms": "0", **options})
        self.exchange = Exchange(self.clock, MARKETS, rules=Rules(client_ids="open"), ids=order_id)
        self.service = ParadexService(self.exchange, self.clock, self.settings, 7)
        self.key = DEMO_KEY
        self.person = self.service.register.demo(self.clock.wall_ns())
        self.service.enter(self.person.account)
        self.token = ""

    @property
    def now_ms(self) -> int:
        return self.clock.wall_ns() // MS

    def after(self, ms: int) -> None:
        self.clock.advance(ms * MS)

    def rest(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        bearer = self.token if token is None else token
        if bearer:
            sent["authorization"] = f"Bearer {bearer}"
        request = Request(
            id=1,
            method=method,
            path=f"/v1{path}",
            query=tuple((name, str(value)) for name, value in (query or {}).items()),
            headers=sent,
            body=b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
            received_ns=self.clock.wall_ns(),
        )
        response = asyncio.run(self.service.handle(request))
        hold_against_openapi(method, path, response)
        return Answer(response)

    def auth_headers(
        self, key: int, account: int, *, stamp: int | None = None, valid_secs: int = 180
    ) -> dict[str, str]:
        stamp = self.now_ms // 1000 if stamp is None else stamp
        digest = proofs.auth_hash(CHAIN_ID, account, stamp, stamp + valid_secs)
        return {
            "PARADEX-STARKNET-ACCOUNT": hex(account),
            "PARADEX-STARKNET-SIGNATURE": proofs.sign(key, digest),
            "PARADEX-TIMESTAMP": str(stamp),
            "PARADEX-SIGNATURE-EXPIRATION": str(stamp + valid_secs),
        }

    def login(self) -> Bench:
        answer = self.rest(
            "POST", "/auth", headers=self.auth_headers(self.key, self.person.address), token=""
        )
        assert answer.status == 200
        self.token = answer.json["jwt_token"]
        return self

    def order(self, **changes: object) -> dict[str, object]:
        """A signed limit order; a change of a signed field is signed, `signature` can be set outright."""
        body: dict[str, object] = {
            "market": "BTC-USD-PERP",
            "side": "BUY",
            "type": "LIMIT",
            "size": "0.1",
            "price": "83000",
            "instruction": "GTC",
            "client_id": "",
            "signature_timestamp": self.now_ms,
        }
        key = changes.pop("key", self.key)
        body |= changes
        if "signature" not in body:
            body["signature"] = self.sign(body, key)
        return {name: value for name, value in body.items() if value is not ...}

    def sign(self, body: dict[str, object], key: object) -> str:
        price = body["price"]
        signed = proofs.SignedOrder(
            timestamp_ms=body["signature_timestamp"],
            market=body["market"],
            side=body["side"],
            order_type=body["type"],
            size=body["size"],
            price="0" if price is ... else price,
            order_id=body.get("id", ""),
        )
        return proofs.sign(key, proofs.order_hash(CHAIN_ID, self.person.address, signed))

    def stream(self, version: int | None = None) -> Stream:
        query = () if version is None else (("sbeSchemaId", "1"), ("sbeSchemaVersion", str(version)))
        return Stream(self, query)

    def quote(
        self, market: str = "BTC-USD-PERP", bid: str = "83400", ask: str = "83500", size: str = "1"
    ) -> None:
        """A bid and an ask of the house."""
        for side, price in ((Side.BUY, bid), (Side.SELL, ask)):
            self.exchange.place_counterparty_order(market, side, Decimal(size), Decimal(price))


@pytest.fixture
def bench() -> Bench:
    return Bench().login()


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench
