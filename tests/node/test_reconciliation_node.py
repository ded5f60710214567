"""A real node on the simulator: after a start the engine believes the ledger, and made nothing up."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import bare_node as bare
import pytest
from attrs import evolve
from nautilus_trader.model import OrderStatus, OrderType
from paradex_rig import BTC, KEY_VARIABLE, Exchange, exchange, until
from venuekit_paradex.sim import SIMULATOR

from venuekit.host.config import NodeConfig, NodeSection, parse_config
from venuekit.nautilus.node import VenueNode
from venuekit.sim.records import NewOrder, OrderKind, Side


@pytest.fixture(autouse=True)
def _one_node_at_a_time() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def node_on(x: Exchange) -> VenueNode:
    os.environ[KEY_VARIABLE] = SIMULATOR.demo_key()
    text = x.info.config_toml.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
    venue = evolve(parse_config(text).venues["paradex"], base=Path.cwd(), journal=None)
    config = NodeConfig(node=NodeSection(log_level="OFF"), venues={"paradex": venue})
    return VenueNode.from_config(
        config, logging_config=bare.LoggerConfig(bypass_logging=True), post_stop_secs=0.1
    )


def net(node: VenueNode) -> Decimal:
    return sum(
        (Decimal(str(one.signed_qty)) for one in node.cache.positions_open()), start=Decimal(0)
    ).quantize(Decimal("0.00001"))


def told(node: VenueNode) -> set[str]:
    """Every execution that the engine believes in."""
    return {trade.value for order in node.cache.orders() for trade in order.trade_ids}


@pytest.mark.parametrize("lag_ms", ["0", "400"])
def test_fills_during_a_start_are_counted_once_and_nothing_is_made_up(lag_ms: str) -> None:
    """Positions show a fill at once, history later: an engine that saw both apart would correct itself."""

    async def main() -> None:
        async with exchange(history_lag_ms=lag_ms) as x:
            for number in range(3):
                x.external("BUY", "5", f"8{number}000.0", client_id=f"OPEN-{number}")
                x.cross(f"OPEN-{number}", "0.004")
            x.external("SELL", "5", "99000.0", client_id="ASK")
            node = node_on(x)
            running = asyncio.ensure_future(node.run())
            made = 0
            while not node.handle.is_running and not running.done():
                await asyncio.sleep(0.005)
                x.cross(f"OPEN-{made % 3}", "0.001")
                made += 1
            assert not running.done(), running.result()
            x.cross("ASK", "0.030")
            truth = x.exchange.position(x.account, BTC).quantity
            trades = {one.id for one in x.ledger.fills(x.account)}
            await until(lambda: told(node) == trades, "every fill, and no other")
            assert net(node) == truth
            assert [order for order in node.cache.orders() if order.tags == ["RECONCILIATION"]] == []
            assert made > 2, "it was a start with fills"
            node.handle.stop()
            ending = await running
            assert ending.code == 0, ending.message
            node.dispose()

    asyncio.run(asyncio.wait_for(main(), 60))


STOPS = {
    OrderKind.STOP_MARKET: (OrderType.STOP_MARKET, None),
    OrderKind.STOP_LIMIT: (OrderType.STOP_LIMIT, Decimal(69_000)),
    OrderKind.TAKE_PROFIT_MARKET: (OrderType.MARKET_IF_TOUCHED, None),
    OrderKind.TAKE_PROFIT_LIMIT: (OrderType.LIMIT_IF_TOUCHED, Decimal(94_000)),
}


def test_trigger_orders_that_somebody_placed_elsewhere_are_in_the_node() -> None:
    """They cannot be placed from here, but the venue's own pages put them beside every position."""

    async def main() -> None:
        async with exchange() as x:
            node = node_on(x)

            def place() -> None:
                for kind, (_, price) in STOPS.items():
                    far = Decimal(95_000 if kind.name.startswith("TAKE") else 70_000)
                    tags = {"type": kind.value}
                    x.exchange.submit(
                        NewOrder(
                            account=x.account,
                            market=BTC,
                            side=Side.SELL,
                            quantity=Decimal("0.01"),
                            kind=kind,
                            price=price,
                            trigger_price=far,
                            tags=tags,
                        )
                    )

            def known() -> list[tuple[OrderType, str, OrderStatus]]:
                return sorted(
                    ((one.order_type, one.trigger_type.name, one.status) for one in node.cache.orders_open()),
                    key=str,
                )

            def wanted(times: int) -> list[tuple[OrderType, str, OrderStatus]]:
                rows = [(kind, "MARK_PRICE", OrderStatus.ACCEPTED) for kind, _ in STOPS.values()]
                return sorted(rows * times, key=str)

            place()
            running = asyncio.ensure_future(node.run())
            await until(lambda: node.handle.is_running, "the node runs")
            await until(lambda: known() == wanted(1), "those of before the start")
            place()
            await until(lambda: known() == wanted(2), "those of while it runs")
            node.handle.stop()
            ending = await running
            assert ending.code == 0, ending.message
            node.dispose()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_flat_position_that_left_the_cache_changes_nothing() -> None:
    """What `forget_flat_mins` does, at a moment that we choose; then the account is compared, and traded."""

    async def main() -> None:
        async with exchange() as x:
            x.external("BUY", "5", "80000.0", client_id="BID")
            x.external("SELL", "5", "99000.0", client_id="ASK")
            node = node_on(x)
            running = asyncio.ensure_future(node.run())
            await until(lambda: node.handle.is_running, "the node runs")
            counters = node.counters["paradex"]

            async def agrees(*, flat: bool) -> None:
                truth = x.exchange.position(x.account, BTC).quantity
                assert (truth == 0) is flat
                trades = {one.id for one in x.ledger.fills(x.account)}
                await until(lambda: told(node) == trades, "every fill, and no other")
                assert net(node) == truth

            x.cross("BID", "0.010")
            await agrees(flat=False)
            node.cache.purge_closed_positions(time.time_ns(), 0)
            assert node.cache.positions_total_count() == 1, "an open position stays"
            x.cross("ASK", "0.010")
            await agrees(flat=True)
            node.cache.purge_closed_positions(time.time_ns(), 0)
            assert node.cache.positions_total_count() == 0
            done = counters.snapshot().get("recovery.done", 0)
            x.drop()
            await until(
                lambda: counters.snapshot().get("recovery.done", 0) > done, "the account was compared"
            )
            await agrees(flat=True)
            x.cross("BID", "0.004")
            await agrees(flat=False)
            assert [order for order in node.cache.orders() if order.tags == ["RECONCILIATION"]] == []
            assert [name for name in counters.snapshot() if name.startswith("alarms.")] == []
            node.handle.stop()
            ending = await running
            assert ending.code == 0, ending.message
            node.dispose()

    asyncio.run(asyncio.wait_for(main(), 60))
