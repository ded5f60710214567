"""A burst far above the limits, against a simulator that counts every request that came too early.

Its limits are made small, so that signing is not what slows us down, and the client's config says the same.
"""

from __future__ import annotations

import asyncio

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC_ID, Exchange, Rig, run, until

from venuekit.host.config import LimitSection
from venuekit.interfaces.stream import DataKind, Want, Window
from venuekit.runtime.pacer import Pacer
from venuekit.sim.rates import Limit

ORDERS, READS, PUBLIC = 10, 15, 15
OURS = {
    "order_secs": LimitSection(rate=ORDERS, burst=ORDERS),
    "private_get_secs": LimitSection(rate=READS, burst=READS),
    "public_ip_min": LimitSection(rate=60 * PUBLIC, burst=PUBLIC),
}
TRADES = Want(DataKind.TRADES, BTC_ID)


def theirs(x: Exchange) -> None:
    meter = x.simulator.service.meter
    meter._limits = {
        **meter._limits,
        "orders": (Limit(count=ORDERS, window_secs=1), Limit(count=17_250, window_secs=60)),
        "reads": (Limit(count=READS, window_secs=1), Limit(count=600, window_secs=60)),
        "public": (Limit(count=60 * PUBLIC, window_secs=60, burst=PUBLIC),),
    }


def breaches(rig: Rig) -> list[tuple[int, str, str]]:
    return rig.x.simulator.service.meter.breaches


@pytest.mark.parametrize("route", ["ws", "rest"])
def test_a_burst_far_above_every_limit_breaks_none(route: str) -> None:
    async def body(rig: Rig) -> None:
        first = await rig.accepted("O-0")
        orders = [rig.submit(f"O-{number}") for number in range(1, 41)]
        # Of one bucket: what the data client asks, and what the account asks of the public side.
        reads = [rig.data.request(TRADES, Window(limit=1)) for _ in range(50)]
        reads += [rig.service.reports.order_report(f"O-{number}", None) for number in range(40)]
        asking = asyncio.gather(*reads)
        await until(lambda: rig.venue.health().waiting >= 50, "the queue is seen", 20)
        rig.cancel(first)
        await rig.status(first, "CANCELED")
        # It overtook them: most of what was asked for before it still waits.
        assert sum(order.status == OrderStatus.SUBMITTED for order in orders) > 10
        await until(lambda: all(one.status == OrderStatus.ACCEPTED for one in orders), "all rest", 20)
        for order in orders:
            rig.cancel(order)
        await until(lambda: all(one.status == OrderStatus.CANCELED for one in orders), "all ended", 20)
        await asking
        assert rig.venue.health().waiting == 0
        assert rig.count("pacing.waited") > 100
        assert rig.count("pacing.refused_by_venue") == 0
        assert breaches(rig) == []

    run(body, before=theirs, limits=OURS, own={"order_route": route, "recv_window_ms": 5_000})


def test_the_same_burst_without_pacing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the test above proves something. What met a limit is looked up, and ends with proof."""

    async def at_once(self: Pacer, op: str, within_ns: int | None = None) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Pacer, "permit", at_once)

    def slow(x: Exchange) -> None:
        # So little that no machine is too slow to break it.
        few = (Limit(count=60, window_secs=60, burst=10),)
        meter = x.simulator.service.meter
        meter._limits = {**meter._limits, "orders": few, "public": few}

    async def body(rig: Rig) -> None:
        orders = [rig.submit(f"O-{number}") for number in range(1, 41)]
        reads = [rig.data.request(TRADES, Window(limit=1)) for _ in range(60)]
        await asyncio.gather(*reads, return_exceptions=True)
        ended = (OrderStatus.ACCEPTED, OrderStatus.REJECTED)
        await until(lambda: all(one.status in ended for one in orders), "all are proven", 30)
        assert {scope for _, scope, _ in breaches(rig)} >= {"orders", "public"}

    run(body, before=slow, own={"order_route": "rest", "recv_window_ms": 5_000})
