"""The simulator behind real sockets, spoken to by plain aiohttp."""

from __future__ import annotations

import asyncio
import json
import struct

import aiohttp
import pytest
from aiohttp import ClientSession, WSMsgType
from venuekit_paradex.sim import SIMULATOR, proofs
from venuekit_paradex.sim.settings import CHAIN_ID

from venuekit.host.config import parse_config
from venuekit.runtime.clock import RealClock

KEY = int(SIMULATOR.demo_key(), 16)
BTC = "BTC-USD-PERP"


async def token_of(http: ClientSession, simulator) -> str:
    clock = RealClock()
    person = simulator.service.register.by_key(proofs.public_key_of(KEY))
    now = clock.wall_ns() // 10**9
    headers = {
        "PARADEX-STARKNET-ACCOUNT": person.account,
        "PARADEX-STARKNET-SIGNATURE": proofs.sign(
            KEY, proofs.auth_hash(CHAIN_ID, person.address, now, now + 60)
        ),
        "PARADEX-TIMESTAMP": str(now),
        "PARADEX-SIGNATURE-EXPIRATION": str(now + 60),
    }
    async with http.post("/v1/auth", headers=headers) as answer:
        assert answer.status == 200
        return (await answer.json())["jwt_token"]


def order(simulator, **changes) -> dict:
    stamp = RealClock().wall_ns() // 10**6
    body = {"market": BTC, "side": "BUY", "type": "LIMIT", "size": "0.01", "instruction": "GTC", **changes}
    signed = proofs.SignedOrder(stamp, BTC, body["side"], body["type"], body["size"], body["price"])
    account = simulator.service.register.by_key(proofs.public_key_of(KEY)).address
    signature = proofs.sign(KEY, proofs.order_hash(CHAIN_ID, account, signed))
    return body | {"signature": signature, "signature_timestamp": stamp}


class Client:
    """A WebSocket client that keeps what it gets."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.binary: list[bytes] = []
        self.key = 0

    async def call(self, method: str, **params: object) -> dict:
        self.key += 1
        await self.socket.send_json({"jsonrpc": "2.0", "method": method, "params": params, "id": self.key})
        while True:
            data = await self.next()
            if isinstance(data, dict) and data.get("id") == self.key:
                return data

    async def next(self) -> dict | bytes:
        message = await self.socket.receive(timeout=10)
        if message.type is WSMsgType.BINARY:
            self.binary.append(message.data)
            return message.data
        assert message.type is WSMsgType.TEXT, message
        return json.loads(message.data)

    async def frame(self, template: int) -> bytes:
        while True:
            data = await self.next()
            if isinstance(data, bytes) and struct.unpack_from("<HH", data)[1] == template:
                return data


def run(body, **options: str) -> None:
    async def main() -> None:
        simulator = SIMULATOR(clock=RealClock(), seed=3, port=0, options=options)
        info = await simulator.start()
        try:
            base = info.addresses["rest"].removesuffix("/v1")
            async with ClientSession(base) as http:
                await asyncio.wait_for(body(simulator, info, http), 30)
        finally:
            await simulator.stop()

    asyncio.run(main())


def test_login_book_order_and_fill_over_sockets() -> None:
    async def body(simulator, info, http) -> None:
        token = await token_of(http, simulator)
        url = info.addresses["stream"] + "?sbeSchemaId=1&sbeSchemaVersion=2"
        async with http.ws_connect(url) as socket:
            client = Client(socket)
            assert "result" in await client.call("auth", bearer=token)
            for channel in (f"order_book.{BTC}.deltas", "orders.ALL", "fills.ALL", f"trades.{BTC}"):
                assert (await client.call("subscribe", channel=channel))["result"]["channel"] == channel
            books = [f for f in client.binary if struct.unpack_from("<HH", f)[1] == 3]
            assert books[0][8 + 16] == 0  # a snapshot
            resting = simulator.exchange.book(BTC, 1).bids[0][0]
            reply = await client.call("order.create", **order(simulator, price=str(resting)))
            number = reply["result"]["order"]["id"]
            fill = await client.frame(21)  # the crowd fills resting orders
            assert number.encode() in fill
            seqs = [
                struct.unpack_from("<q", f, 16)[0]
                for f in client.binary
                if struct.unpack_from("<HH", f)[1] == 3
            ]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        async with http.get(f"{info.control}/ledger") as answer:
            fills = (await answer.json())["fills"]
        assert [row["order_id"] for row in fills].count(number) >= 1

    run(body)


def test_a_quoting_account_is_filled_at_a_good_rate() -> None:
    async def body(simulator, info, http) -> None:
        headers = {"Authorization": f"Bearer {await token_of(http, simulator)}"}
        clock = RealClock()
        started = clock.mono_ns()
        while clock.mono_ns() - started < 4 * 10**9:
            view = simulator.exchange.book(BTC, 1)
            for side, price in (("BUY", view.bids[0][0]), ("SELL", view.asks[0][0])):
                async with http.post(
                    "/v1/orders", json=order(simulator, side=side, price=str(price)), headers=headers
                ):
                    pass
            await clock.sleep_until(clock.mono_ns() + 500_000_000)
            async with http.delete("/v1/orders", headers=headers):
                pass
        fills = simulator.exchange.fills(simulator.service.register.by_key(proofs.public_key_of(KEY)).account)
        assert len(fills) >= 4  # 20 in 20 s

    run(body)


def test_a_refused_schema_is_http_400() -> None:
    async def body(simulator, info, http) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(info.addresses["stream"] + "?sbeSchemaId=1&sbeSchemaVersion=9")
        assert caught.value.status == 400

    run(body)


def test_control_verbs_of_the_venue_and_of_the_kit() -> None:
    async def body(simulator, info, http) -> None:
        token = await token_of(http, simulator)
        headers = {"Authorization": f"Bearer {token}"}
        async with http.ws_connect(info.addresses["stream"]) as socket:
            async with http.post(f"{info.control}/expire_tokens", json={}) as answer:
                assert answer.status == 200
            async with http.get("/v1/account", headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]) == (401, "INVALID_TOKEN")
            async with http.post(f"{info.control}/suppress_fill", json={"skip": -1}) as answer:
                assert answer.status == 400
            async with http.post(f"{info.control}/no_such_verb", json={}) as answer:
                assert answer.status == 404
            async with http.post(f"{info.control}/drop_connections", json={}) as answer:
                assert await answer.json() == {"dropped": 1}
            assert (await socket.receive(timeout=5)).type in (
                WSMsgType.CLOSED,
                WSMsgType.CLOSE,
                WSMsgType.ERROR,
            )

    run(body, liquidity="false")


def test_the_demo_config_is_a_valid_config_and_names_the_demo_account() -> None:
    async def body(simulator, info, http) -> None:
        config = parse_config(info.config_toml, environ={})
        paradex = config.venues["paradex"]
        assert paradex.addresses == info.addresses
        person = simulator.service.register.by_key(proofs.public_key_of(KEY))
        assert paradex.own.account == person.account

    run(body, liquidity="false")
