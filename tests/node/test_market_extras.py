"""A real node on the simulator's own protocol: what is live beside book, quotes and trades, and the account.

Every expected value is one that the test itself put into the exchange.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from extras_strategy import Listener
from nautilus_trader.model import InstrumentId, MarketStatusAction, OrderStatus, Price, Quantity, Venue
from venuekit_paradex.sim import SIMULATOR
from venuekit_paradex.sim.factory import ParadexSimulator

from venuekit.host.config import parse_config
from venuekit.nautilus.node import VenueNode
from venuekit.runtime.clock import RealClock
from venuekit.sim.records import NewOrder, OrderKind, Side
from venuekit.sim.records import OrderStatus as Status

BTC = "BTC-USD-PERP"
IID = InstrumentId.from_str(f"{BTC}.PARADEX")
KEY = "VENUEKIT_TEST_EXTRAS_KEY"
OPTIONS = {"liquidity": "false", "jitter_ms": "0", "summary_ms": "50"}

CONFIG = """
[node]
name = "extras"
tick_capacity = 3
[venues.paradex]
environment = "simulator"
execution = true
sbe = {sbe}
key = "env:{key}"
account = "{account}"
[venues.paradex.addresses]
rest = "{rest}"
stream = "{stream}"
[[strategies]]
path = "extras_strategy:Listener"
config_path = "extras_strategy:ListenerConfig"
config = {{ instrument = "{iid}" }}
"""


class Rig:
    """The simulator and the node, in one loop."""

    def __init__(self, sim: ParadexSimulator, node: VenueNode, account: str) -> None:
        self.sim, self.exchange, self.account = sim, sim.exchange, account
        self.cache = node.cache
        self.heard = Listener.heard

    async def until(self, what: str, true: Callable[[], object], secs: float = 8.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + secs
        while not true():
            assert loop.time() < end, f"not within {secs} s: {what}; heard {dict(self.heard)}"
            await asyncio.sleep(0.01)

    def balance(self) -> Any:
        """What the node's account has of USDC."""
        account = self.cache.account_for_venue(Venue("PARADEX"))
        return None if account is None else next(iter(account.balances().values()), None)

    def asked(self, label: str) -> int:
        """How often the node asked this."""
        return sum(one.label == label for one in self.sim.ledger.seen("request"))

    def net(self) -> Decimal:
        """The node's position."""
        found = self.cache.positions_open(instrument_id=IID)
        return sum((one.quantity.as_decimal() * (1 if one.is_long else -1) for one in found), Decimal(0))


def run(body: Callable[[Rig], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, *, sbe: bool) -> None:
    """The body runs while the node runs; both are closed afterwards."""
    monkeypatch.setenv(KEY, f"0x{SIMULATOR.demo_key()}")
    Listener.heard.clear()

    async def main() -> None:
        sim = SIMULATOR(clock=RealClock(), seed=3, port=0, options=OPTIONS)
        info = await sim.start()
        text = CONFIG.format(
            key=KEY, account=info.account, iid=IID, sbe=str(sbe).lower(), **dict(info.addresses)
        )
        tomllib.loads(text)
        node = VenueNode.from_config(parse_config(text, environ={}), post_stop_secs=0.1)
        running = asyncio.ensure_future(node.run())
        rig = Rig(sim, node, info.account)
        try:
            await rig.until("the strategy started", lambda: rig.heard["start"] or running.done(), 20)
            await body(rig)
        finally:
            node.handle.stop()
            ending = await running
            node.dispose()
            await sim.stop()
        assert ending.code == 0, ending

    asyncio.run(main())


@pytest.mark.parametrize("sbe", [True, False], ids=["sbe", "json"])
def test_mark_price_index_price_funding_and_status_are_live(monkeypatch, sbe):
    async def body(rig: Rig) -> None:
        await rig.until("a first mark price", lambda: rig.heard["mark"])
        for mark, index in (("83450.5", "83440.25"), ("83451.5", "83441.25")):
            rig.exchange.set_price(BTC, Decimal(mark), Decimal(index))
            await rig.until(
                f"mark {mark}", lambda mark=mark: rig.heard["mark"][-1].value == Price.from_str(mark)
            )
            await rig.until(
                f"index {index}", lambda index=index: rig.heard["index"][-1].value == Price.from_str(index)
            )
        rig.exchange.set_funding_rate(BTC, Decimal("0.000125"))
        rig.exchange.pay_funding(BTC, Decimal("0.000125"))
        await rig.until(
            "the funding rate",
            lambda: rig.heard["funding"] and rig.heard["funding"][-1].rate == Decimal("0.000125"),
        )
        funding = rig.heard["funding"][-1]
        assert funding.interval == rig.exchange.market(BTC).funding_period_hours * 60
        for kind, action, trading in (
            ("SETTLED", MarketStatusAction.CLOSE, False),
            ("CREATED", MarketStatusAction.TRADING, True),
            ("DELETED", MarketStatusAction.NOT_AVAILABLE_FOR_TRADING, False),
        ):
            before = len(rig.heard["status"])
            rig.sim.service.control("market_event", {"market": BTC, "kind": kind})
            await rig.until(f"status {kind}", lambda before=before: len(rig.heard["status"]) > before)
            status = rig.heard["status"][-1]
            assert (status.action, status.is_trading) == (action, trading)
        now_ns = rig.sim._clock.wall_ns()
        for kind in ("mark", "index", "funding", "status"):
            for one in rig.heard[kind]:
                assert one.instrument_id == IID
                assert now_ns - 60 * 10**9 < one.ts_event <= now_ns
                assert one.ts_event <= one.ts_init

    run(body, monkeypatch, sbe=sbe)


@pytest.mark.parametrize("sbe", [True, False], ids=["sbe", "json"])
def test_balances_margins_and_positions_follow_the_account_live(monkeypatch, sbe):
    """Deposit, trade, funding, price, close: nobody asks anything, the stream alone tells."""

    async def body(rig: Rig) -> None:
        async def settled(what: str) -> None:
            await rig.until(f"{what}: position", lambda: rig.net() == held())
            await rig.until(f"{what}: total", lambda: total() == figures().total)
            await rig.until(f"{what}: free", lambda: rig.balance().free.as_decimal() == free())

        def held() -> Decimal:
            return rig.exchange.position(rig.account, BTC).quantity

        def figures() -> Any:
            return rig.exchange.balance(rig.account)

        def total() -> Decimal:
            return rig.balance().total.as_decimal()

        def free() -> Decimal:
            # The venue caps what is free by what the wallet holds.
            return min(max(rig.exchange.margin(rig.account).free_collateral, Decimal(0)), figures().total)

        await rig.until("an account", lambda: rig.balance() is not None)
        await settled("start")
        before = total()
        rig.exchange.fund_account(rig.account, Decimal("250.5"))
        await rig.until("the deposit", lambda: total() == before + Decimal("250.5"))
        for side, price in ((Side.SELL, "83500"), (Side.BUY, "83400")):
            rig.exchange.place_counterparty_order(BTC, side, Decimal(5), Decimal(price))
        rig.exchange.set_price(BTC, Decimal(83450), Decimal(83450))
        order(rig, Side.BUY, "0.5")
        await settled("a trade")
        assert held() == Decimal("0.5")
        assert rig.balance().locked.as_decimal() > 0
        rig.exchange.pay_funding(BTC, Decimal("0.001"))
        await settled("funding")
        rig.exchange.set_price(BTC, Decimal(80000), Decimal(80000))
        await settled("a lower price")
        order(rig, Side.SELL, "0.5")
        await settled("flat")
        assert held() == 0
        assert rig.balance().locked.as_decimal() == 0

    run(body, monkeypatch, sbe=sbe)


@pytest.mark.parametrize("sbe", [True, False], ids=["sbe", "json"])
def test_a_fill_that_is_taken_back_reaches_strategy_position_and_balance(monkeypatch, sbe):
    async def body(rig: Rig) -> None:
        async def settled(what: str, size: str, total: Decimal) -> None:
            await rig.until(f"{what}: position", lambda: rig.net() == Decimal(size))
            await rig.until(f"{what}: balance", lambda: rig.balance().total.as_decimal() == total)

        await rig.until("an account", lambda: rig.balance() is not None)
        funds = rig.exchange.balance(rig.account).total
        mine = rig.heard["strategy"][0].buy(Quantity.from_str("0.10000"), Price.from_str("80000.0"))
        await cross(rig)
        order(rig, Side.BUY, "0.05", "80000")
        await cross(rig)
        await rig.until("both fills", lambda: rig.net() == Decimal("0.15"))
        first, second = rig.exchange.fills(rig.account)
        rig.exchange.bust(first.id)
        await settled("one bust", "0.05", funds - second.fee)
        await rig.until("the strategy hears of it", lambda: rig.heard["voided"])
        (event,) = rig.heard["voided"]
        assert (event.client_order_id, event.trade_id.value) == (mine.client_order_id, first.id)
        assert (event.voided_qty, event.commission_voided.as_decimal()) == (mine.quantity, first.fee)
        own = rig.cache.order(mine.client_order_id)
        assert (own.status, own.is_closed, own.filled_qty.raw) == (OrderStatus.VOIDED, True, 0)
        # An order of nobody here is voided as well, under the name that the engine gave it.
        rig.exchange.bust(second.id)
        await settled("two busts", "0", funds)
        # The whole account is read once more, and the engine is told of nothing new.
        made, reads = len(rig.cache.orders()), rig.asked("GET /v1/positions")
        rig.sim.server.drop_connections()
        await rig.until("the account is read", lambda: rig.asked("GET /v1/positions") > reads)
        assert rig.asked("GET /v1/tradebusts")
        assert (rig.net(), len(rig.cache.orders())) == (0, made)
        assert rig.cache.order(mine.client_order_id).status == OrderStatus.VOIDED

    run(body, monkeypatch, sbe=sbe)


async def cross(rig: Rig) -> None:
    """The one order that rests, or soon will, is taken."""

    def resting() -> list[Any]:
        return [one for one in rig.exchange.open_orders(rig.account) if one.status is Status.OPEN]

    await rig.until("an order rests", resting)
    rig.exchange.cross(resting()[0].id)


def order(rig: Rig, side: Side, quantity: str, price: str | None = None) -> None:
    """An order of the account from elsewhere, which takes at once unless it has a price."""
    rig.exchange.external_order(
        NewOrder(
            account=rig.account,
            market=BTC,
            side=side,
            quantity=Decimal(quantity),
            kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
            price=None if price is None else Decimal(price),
        )
    )


def test_the_cache_keeps_the_newest_ticks_up_to_its_capacity(monkeypatch):
    async def body(rig: Rig) -> None:
        rig.exchange.place_counterparty_order(BTC, Side.SELL, Decimal(5), Decimal(83500))
        rig.exchange.set_price(BTC, Decimal(83450), Decimal(83450))
        # The first ones may be before the topic is open, and are heard by nobody then.
        for _ in range(100):
            order(rig, Side.BUY, "0.01")
            await asyncio.sleep(0.05)
            if len(rig.heard["trade"]) >= 5:
                break
        assert len(rig.heard["trade"]) >= 5
        kept = [one.trade_id for one in rig.cache.trades(IID)]
        assert sorted(kept, key=str) == sorted((one.trade_id for one in rig.heard["trade"][-3:]), key=str)

    run(body, monkeypatch, sbe=True)
