"""Trading against the crowd while everything goes wrong at once, from a seed; the ledger is the judge."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from random import Random

import pytest
from nautilus_trader.model import OrderBookDeltas, OrderStatus
from paradex_rig import BTC, BTC_ID, ETH, ETH_ID, Rig, run, until

from venuekit.interfaces.stream import DataKind

CROWD = {"liquidity": "true", "taker_rate": "20", "hunter_rate": "40", "walk_bps": "1"}
SHORT = {"submit": 300, "cancel": 300, "cancel_all": 300, "order": 300, "fills": 400, "orders_history": 400}

FAULTS = (
    {"kind": "F14", "trigger": {"chance": 0.1}, "points": ["out"]},
    {"kind": "F09", "trigger": {"chance": 0.05}, "points": ["out"], "delay_ms": 1, "jitter_ms": 20},
    {"kind": "F09", "trigger": {"chance": 0.2}, "points": ["request"], "label": "GET *", "jitter_ms": 60},
    {"kind": "F16", "trigger": {"chance": 0.1}, "points": ["out"], "label": "reply:order.*"},
    {"kind": "F16", "trigger": {"chance": 0.02}, "points": ["out"], "label": "order_book.*"},
    {"kind": "F16", "trigger": {"chance": 0.1}, "points": ["in"], "label": '*"order.*'},
    {"kind": "F12", "trigger": {"chance": 0.003}, "points": ["out"], "keep_bytes": 7},
    {"kind": "F05", "trigger": {"chance": 0.03}, "points": ["in"], "label": '*"order.*'},
    {"kind": "F19", "trigger": {"chance": 0.1}, "points": ["request"], "label": "GET *", "status": 503},
    {"kind": "F20", "trigger": {"chance": 0.1}, "points": ["request"], "label": "GET *", "delay_ms": 250},
    {"kind": "F21", "trigger": {"chance": 0.02}, "points": ["in"], "label": '*"order.*'},
)


def price(rig: Rig, market: str, side: str, random: Random) -> str:
    """At the touch, now and then through it."""
    bids, asks = rig.x.levels(market)
    near, far = (bids[0][0], asks[0][0]) if side == "BUY" else (asks[0][0], bids[0][0])
    return str(far if random.random() < 0.3 else near)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_trading_through_a_storm(seed: int) -> None:
    async def body(rig: Rig) -> None:
        random = Random(seed)
        clock = rig.venue.clock
        for market in (BTC, ETH):
            rig.want(DataKind.BOOK_DELTAS, market)
        await rig.two_sided(BTC)
        for fault in random.sample(FAULTS, 7):
            rig.x.fault(**fault)
        end, orders, number = clock.mono_ns() + 3_000_000_000, [], 0
        while clock.mono_ns() < end:
            await asyncio.sleep(random.random() * 0.03)
            if random.random() < 0.02:
                rig.x.drop()
            alive = [
                one for one in orders if one.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
            ]
            if alive and random.random() < 0.4:
                rig.cancel(random.choice(alive))
                continue
            market, side = random.choice((BTC, ETH)), random.choice(("BUY", "SELL"))
            size = "0.003" if market == BTC else "0.02"
            number += 1
            orders.append(
                rig.submit(f"O-{number}", side, size, price(rig, market, side, random), market=market)
            )
        rig.x.lift()
        await rig.live()
        done = {OrderStatus.INITIALIZED, OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.FILLED}
        await until(
            lambda: not [one for one in orders if one.status == OrderStatus.SUBMITTED],
            "no fate is unknown",
            15,
        )
        while alive := [one for one in orders if one.status not in done]:
            for order in alive:
                if order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
                    rig.cancel(order)
            await until(lambda alive=alive: any(one.status in done for one in alive), f"ends {alive}", 15)
        rig.service.query_account()
        await rig.settle(15)
        assert rig.x.ledger.fills(rig.x.account), "somebody traded"
        for order in orders:
            name = order.client_order_id.value
            assert rig.x.submits(name) <= 2, "a second frame only after a refused token"
            assert len(rig.x.orders(name)) <= 1

    run(body, data=True, sim=CROWD, timeouts_ms=SHORT)


@pytest.mark.parametrize("seed", [1, 2])
def test_books_through_a_storm(seed: int) -> None:
    async def body(rig: Rig) -> None:
        random = Random(seed)
        for market in (BTC, ETH):
            rig.want(DataKind.BOOK_DELTAS, market)
        await rig.two_sided(BTC)
        for kind, chance in (("F16", 0.004), ("F14", 0.02), ("F12", 0.001)):
            rig.x.fault(kind, trigger={"chance": chance}, points=["out"], label="order_book.*", keep_bytes=9)
        for _ in range(30):
            await asyncio.sleep(0.06)
            if random.random() < 0.05:
                rig.x.drop()
        rig.x.lift()
        for iid in (BTC_ID, ETH_ID):
            seen = len(rig.market.of(OrderBookDeltas, iid))
            # A book that broke again and again waits ever longer before it asks for a snapshot.
            flows = lambda seen=seen, iid=iid: len(rig.market.of(OrderBookDeltas, iid)) > seen + 20  # noqa: E731
            await until(flows, "it flows", 25)
        # `run` holds every book of every step against the simulator's at that sequence.
        assert rig.count("book.broken") > 0

    run(body, data=True, sim=CROWD, settle=False, silence_ms=2_000)


def test_the_judge_of_books_can_fail() -> None:
    async def body(rig: Rig) -> None:
        rig.x.counter("BUY", "1", "80000.0")
        rig.want(DataKind.BOOK_DELTAS)
        await rig.same_book(BTC)
        rig.x.views[(BTC, rig.x.exchange.book(BTC).seq + 1)] = ([(Decimal(1), Decimal(1))], [])
        rig.x._note = lambda market: None
        rig.x.counter("BUY", "1", "80001.0")
        await until(lambda: rig.market.wrong, "the planted difference is noticed")
        rig.market.wrong.clear()

    run(body, data=True, settle=False)
