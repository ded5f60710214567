"""Starting on an account with a past, failing to start, and stopping in every state with nothing left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import venuekit_paradex.reconciliation as reads
from nautilus_trader.model import OrderStatus, PositionSide
from paradex_rig import BTC, ETH, Exchange, Rig, exchange, opened, run, until

from venuekit.errors import VenuekitError
from venuekit.interfaces.stream import DataKind
from venuekit.runtime.journal import MemoryJournal


def past(x: Exchange) -> None:
    """An account that traded before: every kind of order and a position in each market."""
    for number in range(3):
        x.external("BUY", "0.01", f"8{number}000.0", client_id=f"OPEN-{number}")
    x.external("SELL", "0.5", "3100.00", ETH, client_id="ASK")
    x.cross("OPEN-0", "0.004")
    x.cross("OPEN-0", "0.001")
    x.cross("ASK", "0.2")
    x.external("BUY", "0.02", "81000.0", client_id="FILLED")
    x.cross("FILLED", "0.013")
    x.cross("FILLED")
    x.external("BUY", "0.02", "81000.0", client_id="PART")
    x.cross("PART", "0.007")
    x.exchange.cancel_by_venue(x.order("PART").id, "test")
    x.external("BUY", "0.02", "81000.0", client_id="UNTOUCHED")
    x.exchange.cancel_by_venue(x.order("UNTOUCHED").id, "test")
    nameless = x.external("BUY", "0.03", "82000.0")
    x.exchange.cross(nameless.id, Decimal("0.011"))


def signed(positions: Sequence[object]) -> dict[str, Decimal]:
    """Position reports as signed sizes by market."""
    signs = {PositionSide.LONG: 1, PositionSide.SHORT: -1, PositionSide.FLAT: 0}
    return {
        one.instrument_id.symbol.value: signs[one.position_side] * one.quantity.as_decimal()
        for one in positions
    }


# --- the past


@pytest.mark.parametrize("rows_a_page", [1_000, 2])
def test_an_account_with_a_past_is_taken_over_whole(
    rows_a_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_MOST_ROWS", rows_a_page)

    async def body(rig: Rig) -> None:
        assert rig.differences().none, rig.differences()
        # Told once by the mass status, and not again by the stream or by a second question.
        parts = await rig.service.reports.mass_status(None)
        trades = Counter(one.trade_id.value for one in parts.fills)
        assert set(trades.values()) == {1}
        assert set(trades) == {one.id for one in rig.x.ledger.fills(rig.x.account)}
        names = Counter(one.venue_order_id.value for one in parts.orders)
        assert set(names.values()) == {1}
        # The fills explain the positions; said twice, the engine would make fills up over a flip of sides.
        assert signed(parts.positions) == {}
        assert signed(await rig.service.reports.position_reports()) == {
            market: rig.x.exchange.position(rig.x.account, market).quantity for market in (BTC, ETH)
        }
        rig.engine.mass(parts)
        rig.x.drop()
        await rig.down()
        rig.x.cross("OPEN-0", "0.002")
        rig.x.cross("OPEN-1")
        await rig.live()
        rig.x.cross("OPEN-0")
        for name in ("OPEN-0", "OPEN-1"):
            await rig.status(rig.engine.orders[name], "FILLED")
        assert len(rig.engine.orders["OPEN-0"].trade_ids) == 4
        # An order of an earlier run can be cancelled like any other.
        rig.cancel(rig.engine.orders["OPEN-2"])
        await rig.status(rig.engine.orders["OPEN-2"], "CANCELED")

    run(body, before=past)


def test_a_position_without_an_order_is_reported_and_no_alarm() -> None:
    def given(x: Exchange) -> None:
        x.exchange.set_position(x.account, BTC, Decimal("0.25"), Decimal(83000))

    async def body(rig: Rig) -> None:
        assert signed(await rig.service.reports.position_reports()) == {BTC: Decimal("0.25")}
        order = rig.submit("O-1", "SELL", "0.1", "83000.0", reduce_only=True)
        await rig.status(order, "ACCEPTED")
        rig.x.cross("O-1")
        await rig.status(order, "FILLED")
        assert signed(await rig.service.reports.position_reports()) == {BTC: Decimal("0.15")}
        rig.x.drop()
        await rig.down()
        await rig.live()
        assert not rig.engine.alarms

    run(body, before=given, settle=False)


@pytest.mark.parametrize(
    "label", ["GET /v1/orders", "GET /v1/orders-history", "GET /v1/fills", "GET /v1/positions"]
)
@pytest.mark.parametrize("page", [1, 2])
def test_a_mass_status_raises_when_one_page_fails(
    label: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == 2 and label in ("GET /v1/orders", "GET /v1/positions"):
        pytest.skip("one page each")
    monkeypatch.setattr(reads, "_MOST_ROWS", 2)

    async def body(rig: Rig) -> None:
        number = rig.x.fault(
            "F19", points=["request"], label=label, times=99, trigger={"nth": page}, status=502
        )
        with pytest.raises(VenuekitError):
            await rig.service.reports.mass_status(None)
        rig.x.simulator.faults.lift(number)
        rig.engine.mass(await rig.service.reports.mass_status(None))

    run(body, before=past)


def test_fills_during_the_mass_status_are_told_once() -> None:
    async def main() -> None:
        async with exchange() as x:
            past(x)
            rig = await opened(x)
            try:
                await rig.service.start()
                x.fault("F20", points=["request"], label="GET *", delay_ms=60, times=20)
                asking = asyncio.ensure_future(rig.service.reports.mass_status(None))
                for part in range(8):
                    await asyncio.sleep(0.02)
                    x.cross("OPEN-1", "0.001")
                    if part == 4:
                        x.external("BUY", "0.01", "81500.0", client_id="LATE")
                        x.cross("LATE", "0.002")
                rig.engine.mass(await asking)
                x.lift()
                await rig.settle()
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


def test_the_stream_is_cut_during_the_start() -> None:
    async def main() -> None:
        async with exchange() as x:
            past(x)
            for turn in range(4):
                rig = await opened(x)
                try:
                    x.fault("F20", points=["request"], label="GET *", delay_ms=30, times=8)
                    starting = asyncio.ensure_future(rig.start())
                    await until(lambda: x.simulator.server.connections, "the stream is open")
                    await asyncio.sleep(0.02 * turn)
                    x.drop()
                    x.cross("OPEN-1", "0.001")
                    await starting
                    await rig.live()
                    await rig.settle()
                    assert not rig.engine.alarms, "fills of the past are part of the positions at the start"
                finally:
                    x.lift()
                    await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


def test_fills_from_before_the_start_do_not_contradict_the_positions() -> None:
    async def main() -> None:
        async with exchange() as x:
            past(x)
            rig = await opened(x)
            try:
                await rig.service.start()
                for done in (1, 2):
                    # What it reads again reaches back before the start, where the positions come from.
                    x.drop()
                    await rig.down()
                    await rig.live()
                    await until(lambda done=done: rig.count("recovery.done") >= done, "compared")
                await until(lambda: not rig.service._positions.doubtful, "no doubt is left")
                assert rig.count("reports.fills") > 0
                assert not rig.engine.alarms
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


# --- the journal


@pytest.mark.parametrize("arrived", [True, False])
def test_an_order_in_flight_at_the_stop_is_resolved_by_the_next_run(arrived: bool) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        async with exchange() as x:
            rig = await opened(x, journal=journal)
            await rig.start()
            point, label = ("out", "reply:order.create") if arrived else ("in", '*"order.create"*')
            x.fault("F16", points=["out"], label="orders.ALL", times=9)
            x.fault("F16", points=[point], label=label)
            order = rig.submit("O-1")
            await until(lambda: x.submits("O-1"), "on the wire")
            await until(lambda: x.acted() >= 1, "no word came back")
            await rig.stop()
            assert order.status == OrderStatus.SUBMITTED, "nobody knows"
            assert [one.intent.facts.client_order_id for one in journal.open_intents()] == ["O-1"]
            x.lift()
            again = await opened(x, journal=journal)
            try:
                await again.start()
                if arrived:
                    mine = again.engine.orders["O-1"]
                    await again.status(mine, "ACCEPTED")
                    x.cross("O-1")
                    await again.status(mine, "FILLED")
                await until(lambda: not journal.open_intents(), "the journal is closed")
                await again.settle()
                assert x.submits("O-1") == 1
            finally:
                await again.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


# --- failing to start


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("GET /v1/system/config", "F19"),
        ("GET /v1/markets", "F19"),
        ("POST /v1/auth/*", "F19"),
        ("GET /v1/balance", "F19"),
        ("GET /v1/positions", "F19"),
        ("GET /v1", "F05"),
        ("GET /v1", "F19"),
    ],
)
def test_a_start_that_cannot_succeed_says_why_and_leaves_nothing(label: str, kind: str) -> None:
    async def body(x: Exchange) -> None:
        x.fault(kind, label=label, times=999, status=503)
        with pytest.raises(VenuekitError):
            rig = await opened(x, options={"retry.attempts": "3"})
            try:
                await asyncio.wait_for(rig.start(), 20)
            finally:
                await rig.stop()

    leaves_nothing(body)


# --- stopping


def leaves_nothing(body: Callable[[Exchange], Awaitable[None]]) -> None:
    """`body` ends; tasks, timers, threads and descriptors are what they were, and no warning was given."""

    async def main() -> None:
        async with exchange() as x:
            tasks, threads, files = state()
            await body(x)
            x.lift()
            for _ in range(400):
                now = state()
                if now == (tasks, threads, files):
                    break
                await asyncio.sleep(0.01)
            assert now == (tasks, threads, files)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problems: list[str] = []

        async def watched() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: problems.append(str(context.get("message"))))
            await asyncio.wait_for(main(), 50)

        asyncio.run(watched())
        gc.collect()
    assert not problems
    assert not [
        str(one.message) for one in caught if issubclass(one.category, (RuntimeWarning, ResourceWarning))
    ]


def state() -> tuple[set[str], int, int]:
    """Names of the client's tasks, the number of threads, and that of open descriptors."""
    gc.collect()
    own = ("session.", "execution/", "dispatch/", "market_data/", "token", "recover")
    tasks = {one.get_name() for one in asyncio.all_tasks() if one.get_name().startswith(own)}
    threads = sum(not one.name.startswith("asyncio") for one in threading.enumerate())
    return tasks, threads, len(list(Path("/proc/self/fd").iterdir()))


async def started(x: Exchange, **changes: object) -> Rig:
    rig = await opened(x, **changes)
    await rig.start(data=True)
    for market in (BTC, ETH):
        rig.want(DataKind.BOOK_DELTAS, market)
        rig.want(DataKind.QUOTES, market)
    return rig


async def stopped(rig: Rig, within: float = 2.5) -> None:
    begun = time.monotonic()
    await rig.stop()
    assert time.monotonic() - begun < within


async def idle(rig: Rig) -> None:
    await rig.accepted("O-1")


async def orders_in_flight(rig: Rig) -> None:
    rig.x.fault("F16", points=["in"], label='*"order.c*', times=99)
    order = await rig_open(rig)
    for number in range(5):
        rig.submit(f"F-{number}")
    rig.cancel(order)
    await until(lambda: rig.x.acted() >= 6, "all are on the wire")


async def rig_open(rig: Rig) -> object:
    rig.x.lift()
    order = await rig.accepted("O-1")
    rig.x.fault("F16", points=["in"], label='*"order.c*', times=99)
    return order


async def not_yet_sent(rig: Rig) -> None:
    for number in range(5):
        rig.submit(f"F-{number}")


async def the_venue_is_gone(rig: Rig) -> None:
    rig.x.fault("F01", trigger={"after_ms": 0}, lasts_ms=60_000)
    await until(rig.x.simulator.faults.refuses, "nobody can connect")
    rig.x.drop()
    await rig.down()
    await until(lambda: rig.count("session.ended.unreachable") >= 2, "it keeps trying")


async def half_open(rig: Rig) -> None:
    rig.x.fault("F07", trigger={"after_ms": 0})
    await until(rig.x.acted, "the peer is silent")


async def recovering(rig: Rig) -> None:
    await rig.accepted("O-1")
    rig.x.fault("F20", points=["request"], label="GET /v1/orders", delay_ms=5_000)
    rig.x.drop()
    await rig.down()
    await until(lambda: rig.count("recovery.asked"), "a recovery runs")
    await until(rig.x.acted, "and waits")


async def looking_up(rig: Rig) -> None:
    rig.x.fault("F05", points=["in"], label='*"order.create"*')
    rig.x.fault("F20", points=["request"], label="GET /v1/orders/*", delay_ms=5_000, times=5)
    rig.submit("O-1")
    await until(lambda: rig.count("lookups.asked"), "a look-up runs")


STATES = [idle, orders_in_flight, not_yet_sent, the_venue_is_gone, half_open, recovering, looking_up]


@pytest.mark.parametrize("reach", STATES, ids=lambda one: one.__name__)
def test_a_stop_leaves_nothing(reach: Callable[[Rig], Awaitable[None]]) -> None:
    async def body(x: Exchange) -> None:
        rig = await started(x)
        try:
            await reach(rig)
        finally:
            await stopped(rig)
        assert not rig.engine.violations
        told = len(rig.engine.log), len(rig.market.items)
        x.counter("BUY", "1", "80000.0")
        await asyncio.sleep(0.05)
        assert (len(rig.engine.log), len(rig.market.items)) == told, "silent after the stop"

    leaves_nothing(body)


def test_a_stopped_client_can_be_opened_again_and_again() -> None:
    async def body(x: Exchange) -> None:
        for number in range(5):
            rig = await started(x)
            order = await rig.accepted(f"O-{number}")
            rig.cancel(order)
            await rig.status(order, "CANCELED")
            await stopped(rig)
            await stopped(rig)

    leaves_nothing(body)


def test_a_submit_after_the_stop_is_denied() -> None:
    async def body(x: Exchange) -> None:
        rig = await started(x)
        await stopped(rig)
        rig.submit("O-1")
        assert rig.engine.reasons["O-1"].startswith("STREAM_RECONCILING")
        assert x.submits("O-1") == 0

    leaves_nothing(body)
