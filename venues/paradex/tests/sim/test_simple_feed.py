"""The simple door's stream under virtual time: JSON-RPC, its channels, and what each second tells."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from venuekit_paradex.sim.desk import Caller, order_id
from venuekit_paradex.sim.markets import SIMPLE_MARKETS
from venuekit_paradex.sim.service import ParadexService
from venuekit_paradex.sim.settings import parse_settings
from venuekit_paradex.sim.simple_feed import SimpleFeed

from venuekit.runtime.clock import ManualClock
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.records import Side

DATA = Path(__file__).parent.parent / "data"
BTC = "BTC-USD-PERP"
MS = 1_000_000
PER_MARKET = ("trades", "orderbook", "orders", "fills")
CHANNELS = {f"{kind}.{market}" for kind in PER_MARKET for market in (BTC, "ETH-USD-PERP")} | {
    "positions",
    "account",
}


class Client:
    def __init__(self, feed: SimpleFeed) -> None:
        self.feed = feed
        self.texts: list[str] = []
        self.member = feed.join(self.texts.append)

    def raw(self, frame: str | bytes) -> dict:
        before = len(self.texts)
        self.feed.receive(self.member, frame)
        (reply,) = self.texts[before:]
        del self.texts[before:]
        return json.loads(reply)

    def call(self, method: str, params: object, key: object = 1) -> dict:
        return self.raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": key}))

    def subscribe(self, *channels: str) -> Client:
        for channel in channels:
            reply = self.call("subscribe", {"channel": channel}, 5)
            assert reply == {"jsonrpc": "2.0", "result": {"channel": channel}, "id": 5}
        return self

    def take(self) -> list[tuple[str, dict]]:
        """(channel, data) of everything since the last take."""
        messages = [json.loads(text) for text in self.texts]
        self.texts.clear()
        for one in messages:
            assert set(one) == {"jsonrpc", "method", "params"}
            assert (one["jsonrpc"], one["method"]) == ("2.0", "subscription")
        return [(one["params"]["channel"], one["params"]["data"]) for one in messages]


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(wall_start_ns=1_791_000_000 * 1_000_000_000)
        settings = parse_settings({"simple": "true", "jitter_ms": "0"})
        self.exchange = Exchange(self.clock, SIMPLE_MARKETS, rules=Rules(client_ids="open"), ids=order_id)
        self.service = ParadexService(self.exchange, self.clock, settings, 7)
        person = self.service.register.demo(self.clock.wall_ns())
        self.account = person.account
        self.caller = Caller(person, person.public_key)
        self.service.enter(person.account)
        service = self.service
        self.feed = SimpleFeed(
            self.exchange, self.clock, service.desk, service.feed, service.planter, person.account
        )
        self.feed.start()
        for side, price in ((Side.BUY, "83400"), (Side.SELL, "83500")):
            self.exchange.place_counterparty_order(BTC, side, Decimal(1), Decimal(price))

    def client(self, *channels: str) -> Client:
        return Client(self.feed).subscribe(*channels)

    def order(self, **changes: object):
        body = {"market": BTC, "side": "BUY", "type": "LIMIT", "size": "0.1", "price": "83000", **changes}
        desk = self.service.desk
        return desk.admit(desk.read_unsigned(self.caller, body))

    def after(self, ms: int) -> None:
        self.clock.advance(ms * MS)


@pytest.fixture
def world() -> World:
    return World()


def documented(name: str) -> set[str]:
    """Fields of a channel's payload in the venue's own document."""
    return set(json.loads((DATA / "ws" / name).read_text())["params"]["data"])


def test_exactly_the_promised_channels(world) -> None:
    client = Client(world.feed)
    tried = CHANNELS | {
        "",
        ".",
        "account.x",
        "bbo.BTC-USD-PERP",
        "fills",
        "fills.ALL",
        "order_book.BTC-USD-PERP.deltas",
        "orderbook",
        "orderbook.",
        "orders.ALL",
        "positions.BTC-USD-PERP",
        "trades.DOGE-USD-PERP",
        "trades.btc-usd-perp",
    }
    replies = {channel: client.call("subscribe", {"channel": channel}) for channel in tried}
    assert {channel for channel, reply in replies.items() if "result" in reply} == CHANNELS
    refused = [reply["error"] for channel, reply in replies.items() if channel not in CHANNELS]
    assert {(one["code"], one["data"]) for one in refused} == {(-32600, "invalid channel")}


def test_any_bearer_logs_in_and_none_is_needed(world) -> None:
    client = Client(world.feed)
    for bearer in ("anything", "", "a.b.c"):
        assert set(client.call("auth", {"bearer": bearer})["result"]) == {"node_id"}
    assert client.call("auth", {})["error"]["code"] == -32602
    Client(world.feed).subscribe(f"fills.{BTC}", "account")


def test_every_second_tells_once(world) -> None:
    client = world.client("account", f"orderbook.{BTC}")
    world.after(999)
    assert client.take() == []
    for _ in range(3):
        world.after(1)
        assert [channel for channel, _ in client.take()] == ["account", f"orderbook.{BTC}"]
        world.after(999)
        assert client.take() == []


def test_states_have_the_venues_fields_and_figures(world) -> None:
    client = world.client("account", f"orderbook.{BTC}")
    world.after(1_000)
    (_, account), (_, book) = client.take()
    assert set(account) <= documented("account.json")
    assert account["account"] == world.account
    assert account["total_collateral"] == "100000"
    assert set(book) <= documented("order_book.BTC-USD-PERP.snapshot_at_15_at_100ms.json")
    assert book["update_type"] == "s"
    assert [(row["side"], row["price"], row["size"]) for row in book["inserts"]] == [
        ("BUY", "83400", "1"),
        ("SELL", "83500", "1"),
    ]


def test_events_are_told_once_and_in_the_seconds_they_happened(world) -> None:
    client = world.client(f"trades.{BTC}", f"fills.{BTC}", f"orders.{BTC}", "positions")
    order = world.order(type="MARKET", size="0.2")
    world.after(1_000)
    told = client.take()
    assert [channel for channel, _ in told] == [f"trades.{BTC}", f"fills.{BTC}", f"orders.{BTC}", "positions"]
    trade, fill, closed, position = (data for _, data in told)
    for data, name in (
        (trade, "trades.BTC-USD-PERP.json"),
        (fill, "fills.BTC-USD-PERP.json"),
        (closed, "orders.BTC-USD-PERP.json"),
        (position, "positions.json"),
    ):
        assert set(data) <= documented(name), name
    assert (trade["side"], trade["price"], trade["size"]) == ("BUY", "83500", "0.2")
    # 0.01 % of 0.2 x 83500.
    assert (fill["order_id"], fill["size"], fill["fee"]) == (order.id, "0.2", "1.67")
    assert (closed["id"], closed["status"], closed["remaining_size"]) == (order.id, "CLOSED", "0")
    assert (position["size"], position["status"]) == ("0.2", "OPEN")
    world.after(1_000)
    # Only the position is a state; the rest happened once.
    assert [channel for channel, _ in client.take()] == ["positions"]


def test_an_order_is_told_in_its_latest_state(world) -> None:
    client = world.client(f"orders.{BTC}")
    order = world.order()
    world.after(1_000)
    ((_, row),) = client.take()
    assert (row["id"], row["status"]) == (order.id, "OPEN")
    world.after(997)
    world.service.desk.cancel(world.caller, order.id)
    world.after(3)  # asked for, not yet done: the venue says nothing
    assert client.take() == []
    world.after(1_000)
    ((_, row),) = client.take()
    assert (row["status"], row["cancel_reason"]) == ("CLOSED", "USER_CANCELED")


def test_a_closed_position_is_told_once_more(world) -> None:
    client = world.client("positions")
    world.order(type="MARKET", size="0.2")
    world.after(1_000)
    client.take()
    world.order(type="MARKET", side="SELL", size="0.2")
    world.after(1_000)
    ((_, row),) = client.take()
    assert (row["status"], row["size"]) == ("CLOSED", "0")
    world.after(1_000)
    assert client.take() == []


def test_a_market_channel_tells_of_its_market_only(world) -> None:
    client = world.client("trades.ETH-USD-PERP", "fills.ETH-USD-PERP", "orders.ETH-USD-PERP")
    world.order(type="MARKET", size="0.2")
    world.after(1_000)
    assert client.take() == []


def test_other_accounts_stay_unseen(world) -> None:
    from venuekit.sim.records import NewOrder, OrderKind

    client = world.client(f"fills.{BTC}", f"orders.{BTC}", "positions")
    world.exchange.fund_account("0x9", Decimal(1_000_000))
    taken = NewOrder(account="0x9", market=BTC, side=Side.BUY, quantity=Decimal("0.1"), kind=OrderKind.MARKET)
    world.exchange.external_order(taken)
    world.after(1_000)
    assert client.take() == []


def test_a_planted_lie_shows_here_as_in_the_list_of_fills(world) -> None:
    world.service.control("suppress_fill", {})
    client = world.client(f"fills.{BTC}", f"trades.{BTC}")
    world.order(type="MARKET", size="0.2")
    world.after(1_000)
    assert [channel for channel, _ in client.take()] == [f"trades.{BTC}"]


def test_unsubscribed_and_left_clients_get_nothing(world) -> None:
    client, gone = world.client("account", f"orderbook.{BTC}"), world.client("account")
    assert client.call("unsubscribe", {"channel": "account"})["result"] == {"channel": "account"}
    world.feed.leave(gone.member)
    world.after(1_000)
    assert [channel for channel, _ in client.take()] == [f"orderbook.{BTC}"]
    assert gone.texts == []


def test_a_stopped_feed_has_no_timer_and_no_ear(world) -> None:
    client = world.client(f"trades.{BTC}")
    world.feed.stop()
    assert world.clock.next_timer_ns() is None
    world.exchange.take(BTC, Side.BUY, Decimal("0.1"), Decimal(83_500))
    assert len(world.exchange.trades(BTC)) == 1
    world.feed.beat()
    assert client.take() == []


class LateClock:
    """Runs a timer when told, however late; remembers when it was due."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers: list[tuple[int, object]] = []

    def mono_ns(self) -> int:
        return self.now_ns

    def call_at(self, due_ns: int, act: object) -> None:
        self.timers.append((due_ns, act))

    def run_at(self, now_ns: int) -> int:
        """The next timer runs at `now_ns`; when it was due."""
        self.now_ns = now_ns
        due_ns, act = self.timers.pop()
        act()
        return due_ns


def test_a_late_beat_does_not_delay_the_later_ones_and_missed_ones_are_not_made_up(world) -> None:
    clock = LateClock()
    feed = SimpleFeed(
        world.exchange, clock, world.service.desk, world.service.feed, world.service.planter, world.account
    )
    feed.start()
    assert clock.run_at(1_300 * MS) == 1_000 * MS
    assert clock.run_at(2_000 * MS) == 2_000 * MS
    assert clock.run_at(9_500 * MS) == 3_000 * MS  # the process was stopped for a while
    assert [due for due, _ in clock.timers] == [9_500 * MS]


@pytest.mark.parametrize(
    ("frame", "code", "key"),
    [
        ("", -32700, None),
        ("{", -32700, None),
        ("[" * 100_000, -32700, None),
        (b"\xff\xfe\x00", -32700, None),
        ("1" * 5_000, -32700, None),
        ("[]", -32600, None),
        ("null", -32600, None),
        ('{"id": 4}', -32600, 4),
        ('{"jsonrpc": "1.0", "method": "auth", "id": 4}', -32600, 4),
        ('{"jsonrpc": "2.0", "method": 7, "id": "a"}', -32600, "a"),
        ('{"jsonrpc": "2.0", "method": "order.create", "params": {}, "id": 4}', -32601, 4),
        ('{"jsonrpc": "2.0", "method": "subscribe", "id": 4}', -32602, 4),
        ('{"jsonrpc": "2.0", "method": "subscribe", "params": ["account"], "id": 4}', -32602, 4),
        ('{"jsonrpc": "2.0", "method": "subscribe", "params": {"channel": 3}, "id": 4}', -32602, 4),
        (
            '{"jsonrpc": "2.0", "method": "unsubscribe", "params": {"channel": "account"}, "id": 4}',
            -32600,
            4,
        ),
    ],
)
def test_a_bad_request_gets_an_error_and_the_client_stays(world, frame, code, key) -> None:
    client = Client(world.feed)
    reply = client.raw(frame)
    assert (reply["jsonrpc"], reply["error"]["code"], reply["id"]) == ("2.0", code, key)
    assert isinstance(reply["error"]["message"], str)
    client.subscribe("account")


def test_subscribing_twice_is_an_error_as_at_the_venue(world) -> None:
    client = world.client("account")
    error = client.call("subscribe", {"channel": "account"})["error"]
    assert (error["code"], error["data"]) == (-32600, "already subscribed")
    world.after(1_000)
    assert len(client.take()) == 1
