"""Random orders, changes and cancels under random faults, from a seed: afterwards both sides agree exactly.

The exchange refuses two orders under one client id by itself; the engine double refuses impossible steps, a
fill told twice and invented ends. What is left to check is that nothing is lost.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from account_rig import Rig, load
from memory_wire import answers, never_left, reply_lost, request_lost
from nautilus_trader.model import OrderStatus, Price

from venuekit.runtime.clock import ManualClock

SEEDS = range(40)
FAULTS = [
    reply_lost,
    request_lost,
    never_left,
    answers("error", b'{"code": 503}', arrives=True),
    answers("error", b'{"code": 503}'),
]
STATUS = {
    "open": (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED),
    "filled": (OrderStatus.FILLED,),
    "canceled": (OrderStatus.CANCELED,),
    "canceled-margin": (OrderStatus.REJECTED,),
}


class Swarm:
    """One seeded run of the nonce venue."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig, self.random = rig, Random(seed)
        self.orders: list[object] = []

    async def step(self) -> None:
        exchange, random = self.rig.exchange, self.random
        act = random.random()
        if act < 0.35:
            number = len(self.orders) + 1
            if random.random() < 0.1:
                exchange.no_margin.add(number)
            if random.random() < 0.05:
                exchange.drop.add(number)
            self.orders.append(await self.rig.submit(f"O-{number}", price=f"{random.randint(90, 110)}.0"))
        elif act < 0.6:
            live = [key for key, row in exchange.orders.items() if row["status"] == "open"]
            if live:
                key = random.choice(live)
                left = 1_000 - int(exchange.orders[key]["filled"].replace(".", ""))
                size = min(left, random.randint(1, 10) * 100)
                exchange.match(
                    key,
                    f"{size / 1000:.3f}",
                    frames=random.random() > 0.15,
                    order_frame=random.random() > 0.3,
                )
        elif act < 0.75 and self.orders:
            order = random.choice(self.orders)
            if order.is_open or order.is_inflight:
                self.rig.engine.pending_cancel(order)
                self.rig.service.commands.cancel([order])
        elif act < 0.82 and self.orders:
            order = random.choice(self.orders)
            if order.status == OrderStatus.ACCEPTED:
                self.rig.engine.pending_update(order)
                price = Price.from_str(f"{random.randint(90, 110)}.0")
                self.rig.service.commands.modify(order, None, price, None)
        elif act < 0.90:
            exchange.faults.append(random.choice(FAULTS))
        elif act < 0.93:
            exchange.refuse_connect = random.randint(0, 3)
            exchange.cut()
        elif act < 0.97:
            # The sequencer rests, but not longer than the manifest says that anything stays invisible.
            exchange.automatic = False
            self.rig.clock.call_at(self.rig.clock.mono_ns() + 800_000_000, self._wake)
        else:
            exchange.push({"fill": {"torn": True}})
        await self.rig.run(random.choice([0, 1, 5, 50, 400]))

    def _wake(self) -> None:
        self.rig.exchange.automatic = True
        self.rig.exchange.decide()

    def check(self) -> None:
        rig, exchange = self.rig, self.rig.exchange
        assert not rig.engine.violations, rig.engine.violations
        for order in self.orders:
            name = order.client_order_id.value
            row = exchange.orders.get(int(name[2:]))
            events = rig.events(name)
            if "submitted" not in events:
                assert row is None, "a denied order reached the venue"
                continue
            expected = STATUS[row["status"]] if row is not None else (OrderStatus.REJECTED,)
            assert order.status in expected, (name, row, events)
            assert str(order.filled_qty) == (row["filled"] if row is not None else "0.000"), (
                name,
                row,
                events,
            )
            if row is not None and row["status"] == "open":
                assert str(order.price) == row["price"], (name, row, events)
        told = sorted(trade.value for order in self.orders for trade in order.trade_ids)
        assert told == sorted(str(fill["trade"]) for fill in exchange.fills)
        assert [kind for kind, _ in rig.engine.alarms if kind != "cancel_ignored"] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_both_sides_agree_after_the_storm(seed: int) -> None:
    async def whole() -> None:
        clock = ManualClock(seed=seed)
        module = load("nonce_venue", "nonce_exchange")
        rig = await Rig.opened(
            "nonce_venue", module.NonceExchange(clock, 50), clock, signer=module.ToySigner()
        )
        swarm = Swarm(rig, seed)
        for _ in range(70):
            await swarm.step()
        rig.exchange.faults.clear()
        rig.exchange.automatic, rig.exchange.refuse_connect = True, 0
        rig.exchange.decide()
        await rig.run(60_000)
        asking = asyncio.ensure_future(rig.service.reports.order_reports(False, None))
        await rig.run(20_000)
        asking.result()
        swarm.check()
        await rig.stop()

    asyncio.run(whole())
