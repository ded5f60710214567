"""Cancels that cross fills, losses and each other; every one ends in an event that the ledger justifies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nautilus_trader.model import OrderSide, OrderStatus
from paradex_rig import BTC_ID, ETH, Exchange, Rig, run, until
from relay import TcpRelay, tcp_relay

ROUTES = pytest.mark.parametrize("route", ["ws", "rest"])
SLOW = {"cancel_delay_ms": "150", "jitter_ms": "0"}
QUICK = {"submit": 400, "cancel": 400, "cancel_all": 400}


def cancels(rig: Rig) -> int:
    """Cancels of single orders that reached the venue."""
    return rig.x.sent('"order.cancel"') + rig.x.sent("DELETE /v1/orders/")


@ROUTES
def test_a_fill_that_crosses_the_cancel_wins(route: str) -> None:
    async def body(rig: Rig) -> None:
        whole, part = await rig.accepted("O-1"), await rig.accepted("O-2")
        rig.cancel(whole)
        rig.cancel(part)
        await until(lambda: cancels(rig) == 2, "both cancels are queued at the venue")
        rig.x.cross("O-1")
        rig.x.cross("O-2", "0.004")
        await rig.status(whole, "FILLED")
        await rig.status(part, "CANCELED")
        assert len(part.trade_ids) == 1
        assert rig.engine.events("O-1")[-1].startswith("filled"), "no cancel after the end"

    run(body, sim=SLOW, own={"order_route": route})


@ROUTES
def test_a_cancel_of_an_order_whose_fill_was_not_heard(route: str) -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.fault("F16", points=["out"], label="orders.ALL", times=50)
        rig.x.fault("F16", points=["out"], label="fills.ALL", times=50)
        rig.x.cross("O-1")
        rig.cancel(order)
        await rig.status(order, "FILLED")
        assert cancels(rig) == 1

    run(body, own={"order_route": route})


def test_a_cancel_of_an_ended_order_is_refused_here() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.cross("O-1")
        await rig.status(order, "FILLED")
        rig.service.commands.cancel([order])
        assert rig.engine.reasons["O-1"].startswith("ORDER_CLOSED")
        assert cancels(rig) == 0

    run(body)


@ROUTES
@pytest.mark.parametrize("risk_delay_ms", ["0", "120"])
def test_a_cancel_in_the_same_breath_as_its_submit(route: str, risk_delay_ms: str) -> None:
    async def body(rig: Rig) -> None:
        order = rig.submit("O-1")
        rig.service.commands.cancel([order])
        await rig.status(order, "CANCELED", "REJECTED")
        assert order.status == OrderStatus.CANCELED
        assert rig.x.submits("O-1") == 1

    run(body, sim={"risk_delay_ms": risk_delay_ms, "jitter_ms": "0"}, own={"order_route": route})


@ROUTES
def test_a_cancel_by_our_id_while_the_reply_is_slow(route: str) -> None:
    async def body(rig: Rig) -> None:
        if route == "ws":
            rig.x.fault("F16", points=["out"], label="reply:order.create")
            rig.x.fault("F16", points=["out"], label="orders.ALL")
            rig.x.fault("F16", points=["out"], label="orders.ALL")
        else:
            rig.x.fault("F20", points=["request"], label="POST /v1/orders", delay_ms=200)
        order = rig.submit("O-1")
        await until(lambda: rig.x.orders("O-1"), "at the venue")
        rig.service.commands.cancel([order])
        await rig.status(order, "CANCELED")

    run(body, own={"order_route": route}, timeouts_ms=QUICK)


def test_both_sockets_cut_right_after_a_cancel() -> None:
    async def body(rig: Rig) -> None:
        for number in range(6):
            order = await rig.accepted(f"O-{number}")
            rig.cancel(order)
            for _ in range(number):
                await until(lambda: True, "a turn of the loop")
            rig.x.drop()
            await rig.status(order, "CANCELED")
            await rig.live()

    run(body, timeouts_ms=QUICK)


def test_a_cancel_while_down_is_made_up_for() -> None:
    async def body(rig: Rig) -> None:
        open_one, filled_one = await rig.accepted("O-1"), await rig.accepted("O-2")
        rig.x.fault("F01", trigger={"after_ms": 0}, lasts_ms=300)
        await until(rig.x.simulator.faults.refuses, "nobody can connect")
        rig.x.drop()
        await rig.down()
        rig.cancel(open_one)
        rig.cancel(filled_one)
        rig.x.cross("O-2")
        await rig.status(open_one, "CANCELED")
        await rig.status(filled_one, "FILLED")

    run(body)


@ROUTES
def test_a_cancel_that_cannot_leave_is_sent_once_it_can(route: str) -> None:
    relays: list[TcpRelay] = []

    @asynccontextmanager
    async def between(x: Exchange) -> AsyncIterator[dict]:
        async with tcp_relay(x.simulator.server.port) as relay:
            relays.append(relay)
            yield {"addresses": {"rest": f"http://127.0.0.1:{relay.port}/v1"}}

    async def body(rig: Rig) -> None:
        one, *every = [await rig.accepted(f"O-{n}") for n in range(4)]
        if route == "rest":
            relays[0].shut()
        else:
            rig.x.fault("F01", trigger={"after_ms": 0})
            await until(rig.x.simulator.faults.refuses, "nobody can connect")
            rig.service._session.reconnect("cut by the test")
        rig.cancel(one)
        for order in every:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(BTC_ID, None, every)
        left = "sends_failed.cancel.not_sent"
        await until(lambda: rig.count(left) >= 2, "nothing can leave")
        assert {order.status for order in (one, *every)} == {OrderStatus.PENDING_CANCEL}
        assert cancels(rig) + rig.x.sent("cancel_all") + rig.x.sent("DELETE /v1/orders") == 0
        await relays[0].open() if route == "rest" else rig.x.lift()
        for order in (one, *every):
            await rig.status(order, "CANCELED")

    run(body, own={"order_route": route}, between=between)


# --- cancel all


@ROUTES
@pytest.mark.parametrize("side", [None, OrderSide.BUY])
def test_cancel_all_of_a_market(route: str, side: OrderSide | None) -> None:
    async def body(rig: Rig) -> None:
        bids = [await rig.accepted(f"B-{n}") for n in range(3)]
        ask = await rig.accepted("S-1", "SELL", price="87000.0")
        other = await rig.accepted("E-1", quantity="0.1", price="3000.00", market=ETH)
        covered = [*bids, ask] if side is None else bids
        for order in covered:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(BTC_ID, side, covered)
        for order in bids:
            await rig.status(order, "CANCELED")
        if side is None:
            await rig.status(ask, "CANCELED")
            assert cancels(rig) == 0, "one request for all"
        else:
            assert cancels(rig) == 3
        # A round trip later the others are still open.
        await rig.accepted("LAST")
        assert other.status == OrderStatus.ACCEPTED
        assert (ask.status == OrderStatus.ACCEPTED) == (side is not None)
        rig.x.cross("E-1", "0.03")
        await rig.status(other, "PARTIALLY_FILLED")

    run(body, own={"order_route": route})


def test_cancel_all_while_some_fill() -> None:
    async def body(rig: Rig) -> None:
        orders = [await rig.accepted(f"O-{n}") for n in range(4)]
        for order in orders:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(BTC_ID, None, orders)
        await until(lambda: rig.x.sent('"order.cancel_all"'), "queued")
        rig.x.cross("O-0")
        rig.x.cross("O-1", "0.001")
        await rig.status(orders[0], "FILLED")
        for order in orders[1:]:
            await rig.status(order, "CANCELED")

    run(body, sim=SLOW)


# --- names


def test_a_client_order_id_serves_once() -> None:
    async def body(rig: Rig) -> None:
        first = await rig.accepted("O-1")
        again = rig.make("O-1", quantity="0.02")
        rig.service.commands.submit([again])
        assert again.status == OrderStatus.INITIALIZED
        assert rig.engine.reasons["O-1"].startswith("INVALID_CLIENT_ORDER_ID")
        assert rig.x.submits("O-1") == 1
        rig.cancel(first)
        await rig.status(first, "CANCELED")
        rig.service.commands.submit([rig.make("O-1", quantity="0.02")])
        assert rig.x.submits("O-1") == 1

    run(body)


def test_an_id_that_another_session_uses_is_refused_here() -> None:
    async def body(rig: Rig) -> None:
        rig.x.external("BUY", "0.02", "81000.0", client_id="O-1")
        await until(lambda: "O-1" in rig.engine.orders or rig.engine.external, "the stranger is known")
        order = rig.make("O-1")
        rig.service.commands.submit([order])
        assert rig.engine.reasons["O-1"].startswith("INVALID_CLIENT_ORDER_ID")
        assert rig.x.submits("O-1") == 0

    run(body)


@ROUTES
def test_an_id_that_the_venue_knows_and_we_do_not_never_turns_the_other_order_into_ours(route: str) -> None:
    async def body(rig: Rig) -> None:
        # The stream does not say it, so only the venue's refusal does.
        rig.x.fault("F16", points=["out"], label="orders.ALL", times=2)
        other = rig.x.external("BUY", "0.02", "81000.0", client_id="O-1")
        order = rig.submit("O-1", quantity="0.01", price="80000.0")
        await until(lambda: order.status != OrderStatus.SUBMITTED, f"an end; {rig.engine.log}")
        assert order.status == OrderStatus.REJECTED, rig.engine.log
        assert rig.x.submits("O-1") == 1
        assert rig.x.order("O-1").id == other.id

    run(body, settle=False, own={"order_route": route})
