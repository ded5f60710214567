"""Every entry of the Paradex simulator: REST, streams, the control door and the simple door.

An input that a client could send is answered, a wrong one with a documented refusal: no status above 499,
no answer that is not JSON, and the books of the exchange still add up afterwards.
"""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache

from attrs import define, field
from fuzzing import Feed, Target
from mutator import TEXTS, Mutator, Pairs, load
from paradex_seeds import TS, done, trees
from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.factory import ParadexSimulator
from venuekit_paradex.sim.people import DEMO_KEY
from venuekit_paradex.sim.settings import CHAIN_ID

from venuekit.runtime.clock import ManualClock
from venuekit.sim.door import CloseKind, Request, Response
from venuekit.sim.records import Side

BTC, ETH = "BTC-USD-PERP", "ETH-USD-PERP"
STEP_NS = 7_000_000
OPTIONS = {"simple": "true", "liquidity": "false", "limits": "false", "jitter_ms": "0", "frames": "500"}
CHANNELS = (
    *(
        "orders.ALL",
        "fills.ALL",
        "positions",
        "account",
        "balance_events",
        "funding_payments.ALL",
        "tradebusts",
    ),
    *(
        "markets",
        "markets_summary",
        f"funding_data.{BTC}",
        f"bbo.{BTC}",
        f"trades.{BTC}",
        f"markets_summary.{ETH}",
    ),
    *(f"order_book.{BTC}.deltas", f"order_book.{ETH}.snapshot@15@100ms", f"bbo.{BTC}.interactive"),
)


@define(eq=False)
class Socket:
    """A connection that keeps nothing but how much was sent, and checks that it is JSON or bytes."""

    id: int
    handshake: Request
    state: object = None
    open: bool = True
    backlog: int = 0
    sent: int = 0
    last: str = ""

    def send(self, frame: bytes | str, label: str = "") -> None:
        if self.open:
            self.sent += 1
            if isinstance(frame, str):
                strict(frame)
                self.last = frame

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.open = False

    def reset(self) -> None:
        self.open = False


def strict(text: str | bytes) -> object:
    """JSON as the standard has it: no NaN, nothing infinite."""

    def refuse(name: str) -> object:
        raise AssertionError(f"the answer holds {name}")

    return json.loads(text, parse_constant=refuse)


@define(eq=False)
class World:
    """A simulator under virtual time whose account has an open order, a position and fills."""

    clock: ManualClock = field(factory=lambda: ManualClock(wall_start_ns=TS))
    sim: ParadexSimulator = field(init=False)
    token: str = field(init=False)
    sockets: list[Socket] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.sim = ParadexSimulator(clock=self.clock, seed=7, port=0, options=OPTIONS)
        person = self.sim._demo.person
        self.sim._furnish(person.account)
        self.sim.service.feed.start()
        self.token = self.sim.service._issue(person.account, person.public_key)
        for version in (None, 2):
            self.sockets.append(self.connect(version))
        for side, price in ((Side.BUY, "83400"), (Side.SELL, "83500")):
            self.sim.exchange.place_counterparty_order(BTC, side, Decimal(5), Decimal(price))
        for body in (
            order(price="83000", client_id="open"),
            order(side="SELL", price="83400", client_id="done"),
        ):
            self.rpc(self.sockets[0], "order.create", body)
        self.clock.advance(50_000_000)
        assert self.sim.exchange.fills(person.account), "the world has no fill to begin with"

    def connect(self, version: int | None) -> Socket:
        query = () if version is None else (("sbeSchemaId", "1"), ("sbeSchemaVersion", str(version)))
        socket = Socket(len(self.sockets) + 1, Request(id=0, method="GET", path="/v1", query=query))
        assert self.sim.service.accept(socket.handshake) is None
        self.sim.service.opened(socket)
        self.rpc(socket, "auth", {"bearer": self.token})
        for channel in CHANNELS:
            self.rpc(socket, "subscribe", {"channel": channel})
        return socket

    def rpc(self, socket: Socket, method: str, params: object) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.sim.service.receive(socket, json.dumps(body))

    def settle(self) -> None:
        """What the input set going happens, and every figure still makes sense."""
        self.clock.advance(STEP_NS)
        exchange = self.sim.exchange
        for account in (self.sim._demo.person.account,):
            assert exchange.balance(account) is not None
            for position in exchange.positions(account):
                assert position.quantity.is_finite()
        for market in (BTC, ETH):
            view = exchange.book(market)
            assert all(size > 0 for _, size in (*view.bids, *view.asks))
            if view.bids and view.asks:
                assert view.bids[0][0] < view.asks[0][0], "the book is crossed"


def order(**changes: object) -> dict[str, object]:
    """A new order, properly signed for the time at which every world starts."""
    body: dict[str, object] = {
        "market": BTC,
        "side": "BUY",
        "type": "LIMIT",
        "size": "0.1",
        "price": "83000",
        "instruction": "GTC",
        "client_id": "",
        "signature_timestamp": TS // 10**6,
        "flags": [],
        "stp": "EXPIRE_TAKER",
        "recv_window": 300_000,
        "trigger_price": "0",
    }
    body |= changes
    signed = proofs.SignedOrder(
        timestamp_ms=TS // 10**6,
        market=str(body["market"]),
        side=str(body["side"]),
        order_type=str(body["type"]),
        size=str(body["size"]),
        price=str(body["price"]),
        order_id=str(body.get("id", "")),
    )
    body["signature"] = proofs.sign(DEMO_KEY, proofs.order_hash(CHAIN_ID, _demo_address(), signed))
    return body


@cache
def _demo_address() -> int:
    return ParadexSimulator(clock=ManualClock(), seed=1, port=0, options={})._demo.person.address


@cache
def _first_order_id() -> str:
    """What the open order of every world is called."""
    world = World()
    return next(iter(world.sim.exchange.open_orders(world.sim._demo.person.account))).id


@cache
def _orders() -> tuple[dict[str, object], ...]:
    """Orders of every kind."""
    return (
        order(),
        order(type="MARKET", price="0", client_id="m"),
        order(instruction="POST_ONLY", price="83600", client_id="p"),
        order(side="SELL", price="83400", size="0.05", flags=["REDUCE_ONLY"], client_id="r"),
        order(type="STOP_LIMIT", trigger_price="84000", client_id="s"),
        order(
            type="TAKE_PROFIT_MARKET", price="0", trigger_price="82000", side="SELL", flags=["REDUCE_ONLY"]
        ),
        order(market=ETH, price="2500", size="1"),
        order(id=_first_order_id(), price="83100"),
    )


def _body(mutator: Mutator, seeds: Sequence[object]) -> bytes:
    """A body, as it should be in one of four cases."""
    trees_ = [load(json.dumps(one)) for one in seeds]
    tree = mutator.pick(trees_)
    return (
        mutator.json_text(tree, trees_) if mutator.chance(0.75) else json.dumps(mutator.pick(seeds)).encode()
    )


# --- requests: an input is one JSON object, so that a kept find can be read


@define(eq=False)
class Wire:
    """A request of an input."""

    method: str
    path: str
    query: list[list[str]]
    headers: dict[str, str]
    body: str
    """As Latin-1, byte for byte."""

    def write(self) -> bytes:
        return json.dumps([self.method, self.path, self.query, self.headers, self.body]).encode()


def _request(data: bytes, number: int) -> Request:
    method, path, query, headers, body = json.loads(data)
    return Request(
        id=number,
        method=method,
        path=path,
        query=tuple((name, value) for name, value in query),
        headers=headers,
        body=body.encode("latin-1"),
        received_ns=TS,
    )


_ROUTES = (
    *(
        "GET /v1/system/config",
        "GET /v1/system/time",
        "GET /v1/system/state",
        "GET /v1/markets",
        "GET /v1/trades",
    ),
    *(
        "GET /v1/markets/summary",
        f"GET /v1/bbo/{BTC}",
        f"GET /v1/bbo/{BTC}/interactive",
        "GET /v1/funding/data",
    ),
    *(
        f"GET /v1/orderbook/{BTC}",
        f"GET /v1/orderbook/{ETH}/interactive",
        "GET /v1/onboarding",
        "POST /v1/onboarding",
    ),
    *(
        "POST /v1/auth",
        "POST /v1/auth/0x1",
        "GET /v1/account",
        "GET /v1/account/info",
        "GET /v1/account/summary",
    ),
    *(
        "GET /v1/balance",
        "GET /v1/positions",
        "GET /v1/orders",
        "GET /v1/orders-history",
        "GET /v1/orders/{id}",
    ),
    *("GET /v1/orders/by_client_id/open", "GET /v1/fills", "GET /v1/funding/payments", "GET /v1/tradebusts"),
    *("GET /v1/account/keys/subkeys", "POST /v1/account/keys/subkeys", "GET /v1/account/keys/subkeys/0x1"),
    "DELETE /v1/account/keys/subkeys/0x1",
    *("GET /v1/transactions", "GET /v1/transfers", "POST /v1/orders", "POST /v1/orders", "POST /v1/orders"),
    *("POST /v1/orders/batch", "PUT /v1/orders/{id}", "DELETE /v1/orders/{id}", "DELETE /v1/orders"),
    *("DELETE /v1/orders/by_client_id/open", "DELETE /v1/orders/batch", "GET /v1/account/history"),
)
_SIMPLE_ROUTES = (
    *(
        "GET /v1/markets",
        "GET /v1/instruments/" + BTC,
        "GET /v1/orders/open",
        "GET /v1/account",
        "POST /v1/orders",
    ),
    *("GET /v1/account/positions", "GET /v1/account/fills", f"GET /v1/orderbook/{BTC}", f"GET /v1/bbo/{BTC}"),
    *(
        "GET /v1/funding/data",
        "DELETE /v1/orders/{id}",
        "DELETE /v1/orders",
        "OPTIONS /v1/orders",
        "POST /v1/orders",
    ),
)
_QUERY = {
    "market": (BTC, ETH, "ALL"),
    "depth": ("20",),
    "page_size": ("1", "100"),
    "cursor": ("eyJtYXJrZXIiOiBbMSwgIjEiXX0=",),
    "start_at": (str(TS // 10**6 - 1_000),),
    "end_at": (str(TS // 10**6),),
    "client_id": ("open",),
    "side": ("BUY",),
    "status": ("OPEN", "CLOSED"),
    "type": ("LIMIT",),
    "account_signer_type": ("starknet",),
    "public_key": ("0x1",),
}


@cache
def _good_headers() -> Mapping[str, str]:
    address = _demo_address()
    digest = proofs.auth_hash(CHAIN_ID, address, TS // 10**9, TS // 10**9 + 180)
    return {
        "authorization": "Bearer {token}",
        "content-type": "application/json",
        "paradex-starknet-account": hex(address),
        "paradex-starknet-signature": proofs.sign(DEMO_KEY, digest),
        "paradex-timestamp": str(TS // 10**9),
        "paradex-signature-expiration": str(TS // 10**9 + 180),
        "paradex-ethereum-account": "0x" + "0" * 40,
    }


def _headers(mutator: Mutator) -> dict[str, str]:
    found = dict(_good_headers())
    if mutator.chance(0.3):
        name = mutator.pick(sorted(found))
        found[name] = mutator.text(found[name])
    if mutator.chance(0.05):
        del found[mutator.pick(sorted(found))]
    return found


def _bodies(path: str) -> Sequence[object]:
    if path.endswith("batch"):
        return [
            {"orders": list(_orders()[:3])},
            list(_orders()[:2]),
            {"order_ids": [_first_order_id()], "client_order_ids": ["x"]},
        ]
    if path.endswith("subkeys"):
        key = hex(proofs.public_key_of(5))
        return [{"name": "one", "public_key": key, "state": "active", "allowed_cidrs": ["10.0.0.0/8"]}]
    if path.endswith("onboarding"):
        return [{"public_key": hex(proofs.public_key_of(DEMO_KEY)), "referral_code": "x"}]
    return list(_orders())


def _rest_input(routes: Sequence[str]) -> Callable[[Mutator], bytes]:
    def make(mutator: Mutator) -> bytes:
        method, _, path = mutator.pick(routes).partition(" ")
        path = path.replace("{id}", _first_order_id())
        body = _body(mutator, _bodies(path)) if method != "GET" or mutator.chance(0.05) else b""
        query = [[name, mutator.pick(_QUERY[name])] for name in _QUERY if mutator.chance(0.25)]
        for pair in query:
            if mutator.chance(0.4):
                pair[1] = mutator.text(pair[1])
        if mutator.chance(0.1):
            path = mutator.text(path)
        if mutator.chance(0.05):
            method = mutator.pick(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", ""))
        return Wire(method, path, query, _headers(mutator), body.decode("latin-1")).write()

    return make


def _check(response: Response) -> None:
    assert 200 <= response.status < 500, f"status {response.status}: {response.body[:200]!r}"
    if response.body and response.content_type == "application/json":
        strict(response.body)
    for name, value in response.headers.items():
        assert "\n" not in name + value, f"a header with a line feed: {name}"


def _open_rest() -> Feed:
    world, count = World(), [0]

    def feed(data: bytes) -> None:
        count[0] += 1
        request = _request(data.replace(b"{token}", world.token.encode()), count[0])
        _check(done(world.sim.service.handle(request)))
        world.settle()

    return feed


def _open_simple_rest() -> Feed:
    world, count = World(), [0]
    rest = world.sim.simple._rest

    def feed(data: bytes) -> None:
        count[0] += 1
        _check(done(rest.handle(_request(data, count[0]))))
        world.settle()

    return feed


def _open_handshake() -> Feed:
    world = World()

    def feed(data: bytes) -> None:
        request = _request(data, 5)
        refusal = world.sim.service.accept(request)
        if refusal is not None:
            return _check(refusal)
        socket = Socket(99, request)
        world.sim.service.opened(socket)
        world.rpc(socket, "subscribe", {"channel": f"order_book.{BTC}.deltas"})
        world.settle()
        world.sim.service.closed(socket, CloseKind.CLIENT, 1000)
        return None

    return feed


def _handshake_input(mutator: Mutator) -> bytes:
    query = [["sbeSchemaId", "1"], ["sbeSchemaVersion", mutator.pick(("0", "1", "2", "3"))]]
    for pair in query:
        at = mutator.draw.randrange(2)
        if mutator.chance(0.4):
            pair[at] = mutator.text(pair[at])
    return Wire("GET", "/v1", query[mutator.draw.randrange(2) :], {}, "").write()


# --- frames


def _calls() -> list[object]:
    calls: list[tuple[str, object]] = [("order.create", one) for one in _orders()[:-1]]
    calls += [
        ("auth", {"bearer": "{token}"}),
        ("order.create_batch", {"orders": list(_orders()[:2])}),
        ("order.modify", _orders()[-1]),
        ("order.cancel", {"id": _first_order_id()}),
        ("order.cancel", {"client_id": "open", "market": BTC}),
        ("order.cancel_all", {"market": BTC}),
        ("order.cancel_batch", {"order_ids": [_first_order_id()]}),
        ("order.cancel_on_disconnect", {"enabled": True}),
        ("modify_subscription", {"channel": "markets_summary", "add": [BTC], "remove": [ETH]}),
    ]
    for channel in CHANNELS:
        calls += [("unsubscribe", {"channel": channel}), ("subscribe", {"channel": channel})]
    return [{"jsonrpc": "2.0", "method": method, "params": params, "id": 7} for method, params in calls]


@cache
def _call_trees() -> tuple[object, ...]:
    return (*(load(json.dumps(one)) for one in _calls()), *trees("ws_rpc"))


def _frame_input(mutator: Mutator) -> bytes:
    return mutator.json_text(mutator.pick(_call_trees()), _call_trees())


def _open_frames() -> Feed:
    world = World()

    def feed(data: bytes) -> None:
        data = data.replace(b"{token}", world.token.encode())
        for at, socket in enumerate(world.sockets):
            if not socket.open:
                world.sockets[at] = socket = world.connect((None, 2)[at])
            before = socket.sent
            frame: bytes | str = data if len(data) % 2 else data.decode(errors="replace")
            world.sim.service.receive(socket, frame)
            assert socket.sent > before or not socket.open, "a frame was not answered"
        world.settle()

    return feed


def _simple_frame_input(mutator: Mutator) -> bytes:
    channels = [f"{kind}.{BTC}" for kind in ("trades", "orderbook", "orders", "fills")] + [
        "positions",
        "account",
    ]
    calls = [
        Pairs(jsonrpc_pairs(method, Pairs([("channel", mutator.pick(channels))])))
        for method in ("subscribe", "unsubscribe")
    ]
    calls.append(Pairs(jsonrpc_pairs("auth", Pairs([("bearer", "x")]))))
    return mutator.json_text(mutator.pick(calls), calls)


def jsonrpc_pairs(method: str, params: object) -> list[tuple[str, object]]:
    """A request."""
    return [("jsonrpc", "2.0"), ("method", method), ("params", params), ("id", 3)]


def _open_simple_frames() -> Feed:
    world = World()
    simple, heard = world.sim.simple._feed, list[str]()
    simple.start()
    member = simple.join(heard.append)

    def feed(data: bytes) -> None:
        simple.receive(member, data if len(data) % 2 else data.decode(errors="replace"))
        world.clock.advance(150_000_000)
        for text in heard:
            strict(text)
        heard.clear()

    return feed


# --- the control door

_SAMPLES: dict[str, object] = {
    "add_market": {
        "symbol": "NEW-USD-PERP",
        "base": "NEW",
        "quote": "USD",
        "tick": "0.1",
        "lot": "0.1",
        "start_price": "5",
    },
    "bust": {"fill_id": "1"},
    "cancel_by_venue": {"order_id": "{order}", "reason": "VENUE"},
    "market_event": {"market": BTC, "kind": "SETTLED"},
    "clear_faults": {},
    "cross": {"order_id": "{order}", "quantity": "0.01"},
    "external_order": {
        "account": "{account}",
        "market": BTC,
        "side": "buy",
        "quantity": "0.1",
        "price": "83100",
    },
    "fault": {
        "kind": "F06",
        "trigger": {"nth": 3},
        "scope": {"points": ["out"], "label": "fills*"},
        "code": 1012,
        "times": 1,
    },
    "fund_account": {"account": "{account}", "amount": "100"},
    "halt": {"market": BTC, "halted": True},
    "lift": {"number": 1},
    "pay_funding": {"market": BTC, "rate": "0.0001"},
    "place_counterparty_order": {
        "market": BTC,
        "side": "sell",
        "quantity": "0.1",
        "price": "83400",
        "tif": "IOC",
    },
    "set_mode": {"mode": "post_only"},
    "set_position": {"account": "{account}", "market": ETH, "quantity": "-1", "price": "2500"},
    "set_price": {"market": BTC, "mark": "83450", "index": "83440"},
    "expire_tokens": {},
    "add_subkey": {"account": "{account}", "public_key": "0x1"},
    "duplicate_fill": {"skip": 0, "count": 1},
    "suppress_fill": {"skip": 0, "count": 1},
    "alter_fill": {"skip": 0, "count": 1},
    "drop_connections": {},
}


@cache
def _controls() -> tuple[tuple[str, object], ...]:
    text = (
        json.dumps(_SAMPLES).replace("{order}", _first_order_id()).replace("{account}", hex(_demo_address()))
    )
    found = load(text)
    assert isinstance(found, Pairs)
    return tuple(found)


def _control_input(mutator: Mutator) -> bytes:
    if mutator.chance(0.05):
        what = mutator.pick(("ledger", "digest", "faults", mutator.pick(TEXTS)))
        return Wire(
            "GET", f"/control/{what}", [["account", mutator.pick(TEXTS)], ["frames", "1"]], {}, ""
        ).write()
    verb, arguments = mutator.pick(_controls())
    others = [one for _, one in _controls()]
    body = (
        mutator.json_text(arguments, others)
        if mutator.chance(0.8)
        else json.dumps(_plain(arguments)).encode()
    )
    if mutator.chance(0.03):
        verb = mutator.text(verb)
    return Wire("POST", f"/control/{verb}", [], {}, body.decode("latin-1")).write()


def _plain(tree: object) -> object:
    if isinstance(tree, Pairs):
        return {name: _plain(value) for name, value in tree}
    return [_plain(one) for one in tree] if isinstance(tree, list) else tree


def _open_control() -> Feed:
    world = World()
    door = world.sim.server._control

    def feed(data: bytes) -> None:
        _check(door.handle(_request(data, 3)))
        world.settle()
        # Whatever the door did, clients can still be told of it.
        for what in ("GET /v1/markets", "GET /v1/account", "GET /v1/positions", f"GET /v1/orderbook/{BTC}"):
            method, _, path = what.partition(" ")
            headers = {"authorization": f"Bearer {world.token}"}
            response = done(
                world.sim.service.handle(Request(id=1, method=method, path=path, headers=headers))
            )
            assert response.status in (200, 401), f"{what}: {response.status} {response.body[:200]!r}"

    return feed


# --- bytes on the real ports


class Doors:
    """A started simulator in a loop of its own; what the loop could not handle is kept."""

    def __init__(self) -> None:
        from venuekit.runtime.clock import RealClock

        self.loop = asyncio.new_event_loop()
        self.errors: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(str(context)))
        options = OPTIONS | {"simple_http_port": "0", "simple_ws_port": "0", "idle_secs": "0"}
        self.sim = ParadexSimulator(clock=RealClock(), seed=7, port=0, options=options)
        info = self.loop.run_until_complete(self.sim.start())
        addresses = (info.addresses["rest"], info.doors["simple_http"], info.doors["simple_ws"])
        self.ports = [int(one.split(":")[2].split("/")[0]) for one in addresses]

    def close(self) -> None:
        """Not in `__del__`: a collector may run while another loop does."""
        self.loop.run_until_complete(self.sim.stop())
        self.loop.close()

    async def speak(self, data: bytes) -> None:
        """The bytes went to a port, and the door still answers."""
        port = self.ports[len(data) % 3]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        try:
            await asyncio.wait_for(reader.read(65_536), 5)
        except ConnectionError:
            pass
        writer.close()
        status = await self._ask(
            self.ports[0], b"GET /v1/system/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert status.startswith(b"HTTP/1.1 200"), status[:80]
        assert not self.errors, self.errors

    async def _ask(self, port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer


@cache
def _doors() -> Doors:
    """One for the whole process."""
    doors = Doors()
    atexit.register(doors.close)
    return doors


def _open_doors() -> Feed:
    doors = _doors()
    doors.errors.clear()

    def feed(data: bytes) -> None:
        doors.loop.run_until_complete(doors.speak(data))

    return feed


_UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def _raw_input(mutator: Mutator) -> bytes:
    text = json.dumps(mutator.pick(_calls())).encode()
    masked = bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text
    post = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text) + text
    seeds = (_UPGRADE + masked, _UPGRADE + masked * 2 + b"\x88\x82\0\0\0\0\x03\xe8", post, post + post)
    data = mutator.pick(seeds)
    if data.startswith(_UPGRADE) and mutator.chance(0.6):
        return _UPGRADE + mutator.blob(data[len(_UPGRADE) :], [masked])
    return mutator.blob(data, seeds)


def simulator_targets() -> tuple[Target, ...]:
    """Doors."""
    return (
        Target(name="sim-rest", open=_open_rest, make=_rest_input(_ROUTES)),
        Target(name="sim-frames", open=_open_frames, make=_frame_input),
        Target(name="sim-handshake", open=_open_handshake, make=_handshake_input),
        Target(name="sim-control", open=_open_control, make=_control_input, block=50),
        Target(name="sim-simple-rest", open=_open_simple_rest, make=_rest_input(_SIMPLE_ROUTES)),
        Target(name="sim-simple-frames", open=_open_simple_frames, make=_simple_frame_input),
        Target(name="sim-ports", open=_open_doors, make=_raw_input, block=1_000),
    )
