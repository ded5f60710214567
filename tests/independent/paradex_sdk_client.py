"""The official client at work; run by `paradex_sdk.py` in the client's own interpreter (CPython 3.10).

Prints one JSON object of what the client saw.
"""

import asyncio
import json
import sys
from decimal import Decimal

from paradex_py import Paradex
from paradex_py.api.ws_client import ParadexWebsocketChannel as Channel
from paradex_py.common.order import Order, OrderSide, OrderType

# A public test key of the signing vectors: worthless.
L1_KEY = "0x" + "0123456789abcdef" * 4
L1_ADDRESS = "0xFCAd0B19bB29D4674531d6f115237E16AfCE377c"
BTC = "BTC-USD-PERP"


def client(rest: str, stream: str, sbe: bool) -> Paradex:
    return Paradex(
        env="testnet",
        l1_address=L1_ADDRESS,
        l1_private_key=L1_KEY,
        api_base_url=rest,
        ws_url_override=stream,
        ws_direct_url_override=stream,
        ws_sbe_enabled=sbe,
    )


class Seen:
    """What one stream brought."""

    def __init__(self) -> None:
        self.orders: dict[str, list[str]] = {}
        self.fills: dict[str, tuple[str, str, str]] = {}
        self.counts: dict[str, int] = {}

    async def take(self, channel: Channel, message: object) -> None:
        data = message["params"]["data"]
        row = data if isinstance(data, dict) else data.model_dump(mode="json")
        self.counts[channel.name] = self.counts.get(channel.name, 0) + 1
        if channel is Channel.ORDERS:
            self.orders.setdefault(row.get("id") or row["order_id"], []).append(row["status"])
        elif channel is Channel.FILLS:
            number = row.get("id") or row["fill_id"]
            self.fills[number] = (number, plain(row["price"]), plain(row["size"]))


def plain(text: str) -> str:
    return format(Decimal(text).normalize(), "f")


async def until(what: str, met, secs: float = 20.0) -> None:
    for _ in range(int(secs / 0.05)):
        if met():
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"never happened: {what}")


async def subscribe(paradex: Paradex, seen: Seen) -> None:
    stream = paradex.ws_client
    assert await stream.connect()
    await stream.subscribe(Channel.ORDERS, seen.take, {"market": "ALL"})
    await stream.subscribe(Channel.FILLS, seen.take, {"market": "ALL"})
    await stream.subscribe(Channel.BBO, seen.take, {"market": BTC})
    book = {"market": BTC, "feed_type": "snapshot", "refresh_rate": "100ms", "price_tick": "0_1"}
    await stream.subscribe(Channel.ORDER_BOOK, seen.take, book)


def limit(side: OrderSide, price: str, client_id: str, size: str = "0.01") -> Order:
    return Order(
        market=BTC,
        order_type=OrderType.Limit,
        order_side=side,
        size=Decimal(size),
        limit_price=Decimal(price),
        client_id=client_id,
    )


async def trade(plain_json: Paradex, sbe: Paradex, seen: Seen) -> list[str]:
    api = plain_json.api_client
    best = api.fetch_bbo(BTC)
    resting = api.submit_order(limit(OrderSide.Buy, best["bid"], "sdk-rest"))["id"]
    await until("the order is open or filled", lambda: set(seen.orders.get(resting, [])) & {"OPEN", "CLOSED"})
    # An order far away over the stream: created, modified, cancelled.
    far = str((Decimal(best["bid"]) * Decimal("0.97")).quantize(Decimal("0.1")))
    further = str((Decimal(best["bid"]) * Decimal("0.96")).quantize(Decimal("0.1")))
    created = await sbe.ws_client.submit_order(limit(OrderSide.Buy, far, "sdk-ws"))
    number = created["order"]["id"]
    await until("the far order is open", lambda: "OPEN" in seen.orders.get(number, []))
    change = Order(
        market=BTC,
        order_type=OrderType.Limit,
        order_side=OrderSide.Buy,
        size=Decimal("0.02"),
        limit_price=Decimal(further),
        order_id=number,
    )
    await sbe.ws_client.modify_order(number, change)
    await until("the modify took effect", lambda: plain(api.fetch_order(number)["price"]) == plain(further))
    await sbe.ws_client.cancel_order(number)
    await until("the far order is closed", lambda: "CLOSED" in seen.orders.get(number, []))
    taker = api.submit_order(
        Order(market=BTC, order_type=OrderType.Market, order_side=OrderSide.Sell, size=Decimal("0.01"))
    )["id"]
    await until("the market order is closed", lambda: "CLOSED" in seen.orders.get(taker, []))
    api.cancel_all_orders()
    await until("nothing is open", lambda: not api.fetch_orders()["results"])
    return [resting, number, taker]


async def main(rest: str, stream: str) -> None:
    as_json, as_sbe = client(rest, stream, sbe=False), client(rest, stream, sbe=True)
    api = as_json.api_client
    assert api.fetch_system_state()["status"] == "ok"
    assert BTC in [row["symbol"] for row in api.fetch_markets()["results"]]
    seen, seen_sbe = Seen(), Seen()
    await subscribe(as_json, seen)
    await subscribe(as_sbe, seen_sbe)
    orders = await trade(as_json, as_sbe, seen)
    rows = api.fetch_fills()["results"]
    await until("every fill was streamed", lambda: len(seen.fills) == len(seen_sbe.fills) == len(rows))
    await until(
        "quotes and books came", lambda: all(seen_sbe.counts.get(n, 0) for n in ("BBO", "ORDER_BOOK"))
    )
    api.fetch_balances()
    api.fetch_account_summary()
    api.fetch_positions()
    history = {row["id"]: row["status"] for row in api.fetch_orders_history()["results"]}
    assert all(history[one] == "CLOSED" for one in orders), history
    told = {
        "client": "paradex-py 0.8.2",
        "account": hex(as_json.account.l2_address),
        "orders": orders,
        "rest_fills": [(row["id"], plain(row["price"]), plain(row["size"])) for row in rows],
        "json_fills": list(seen.fills.values()),
        "sbe_fills": list(seen_sbe.fills.values()),
        "bbo_frames": seen.counts.get("BBO", 0) + seen_sbe.counts.get("BBO", 0),
        "book_frames": seen.counts.get("ORDER_BOOK", 0) + seen_sbe.counts.get("ORDER_BOOK", 0),
    }
    await as_json.close()
    await as_sbe.close()
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
