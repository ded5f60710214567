"""A submit whose fate is in doubt: both sockets cut around it, over the stream and over REST.

In every case the venue is asked, nothing is sent twice, and no end is invented.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC_ID, Exchange, Rig, run, until
from relay import TcpRelay, tcp_relay

from venuekit.interfaces.stream import DataKind

SUBMIT, REPLY = '*"order.create"*', "reply:order.create"
QUICK_RPC = {"submit": 400, "cancel": 400}

NEVER_READ = {
    "reset before it is read": {"kind": "F05", "points": ["in"], "label": SUBMIT},
    "dropped unread": {"kind": "F16", "points": ["in"], "label": SUBMIT},
}
READ = {
    "reset instead of the reply": {"kind": "F05", "points": ["out"], "label": REPLY},
    "the reply is lost": {"kind": "F16", "points": ["out"], "label": REPLY},
    "half of the reply": {"kind": "F12", "points": ["out"], "label": REPLY, "keep_bytes": 20},
    "the reply comes too late": {"kind": "F20", "points": ["out"], "label": REPLY, "delay_ms": 900},
    "closed instead of the reply": {"kind": "F06", "points": ["out"], "label": REPLY, "code": 1012},
    "reset right after the reply": {"kind": "F05", "trigger": {"cut": "C5"}},
}


def cases(table: dict[str, dict]) -> object:
    return pytest.mark.parametrize("fault", [pytest.param(one, id=name) for name, one in table.items()])


@cases(NEVER_READ)
def test_a_submit_that_the_venue_never_read_is_refused_only_by_proof(fault: dict) -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.QUOTES)
        rig.x.fault(**fault)
        order = rig.submit("O-1")
        await until(lambda: rig.x.acted(), "the fault acts")
        assert order.status == OrderStatus.SUBMITTED, "no reply is no refusal"
        asked = rig.count("lookups.asked")
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("NOT_FOUND_AT_VENUE")
        assert rig.count("lookups.asked") > asked
        assert (rig.x.submits("O-1"), rig.x.orders("O-1")) == (1, [])
        # The next order is none the worse.
        await rig.live()
        await rig.accepted("O-2")

    run(body, data=True, timeouts_ms=QUICK_RPC)


@cases(READ)
def test_a_resting_order_is_found_when_its_reply_is_not_heard(fault: dict) -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault(**fault)
        order = rig.submit("O-1")
        await rig.status(order, "ACCEPTED")
        assert rig.x.acted() == 1
        await rig.live()
        assert rig.x.submits("O-1") == 1
        # It is as good as any other: it fills, and it can be cancelled.
        rig.x.cross("O-1", "0.004")
        await rig.status(order, "PARTIALLY_FILLED")
        rig.cancel(order)
        await rig.status(order, "CANCELED")

    run(body, timeouts_ms=QUICK_RPC)


@cases(READ)
def test_fills_of_an_order_without_a_reply_come_once(fault: dict) -> None:
    async def body(rig: Rig) -> None:
        for price in ("83400.0", "83400.1", "83400.2"):
            rig.x.counter("SELL", "0.004", price)
        rig.x.fault(**fault)
        order = rig.submit("O-1", "BUY", "0.01", "83500.0")
        await rig.status(order, "FILLED")
        await rig.live()
        assert rig.x.submits("O-1") == 1
        assert len(order.trade_ids) == 3

    run(body, timeouts_ms=QUICK_RPC)


def test_a_submit_that_the_venue_reads_late_is_not_rejected_before() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F09", points=["in"], label=SUBMIT, delay_ms=1_500)
        order = rig.submit("O-1")
        await until(lambda: rig.x.orders("O-1"), "the venue takes it, late")
        assert order.status == OrderStatus.SUBMITTED, "within its receive window it may still arrive"
        await rig.status(order, "ACCEPTED")
        rig.x.cross("O-1", "0.004")
        await rig.status(order, "PARTIALLY_FILLED")

    run(body, timeouts_ms=QUICK_RPC, own={"recv_window_ms": 3_000})


def test_both_sockets_dropped_the_moment_after_a_submit() -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.BOOK_DELTAS)
        rig.x.counter("SELL", "0.02", "83400.0")
        await until(lambda: rig.market.items, "a book")
        orders = []
        for number in range(8):
            orders.append(rig.submit(f"O-{number}", "BUY", "0.001", "83500.0"))
            # Every time a little later: before the task runs, before the venue reads, before it replies.
            await until(lambda: True, "a turn of the loop")
            for _ in range(number):
                await until(lambda: True, "a turn of the loop")
            assert rig.x.drop() >= 1
            await until(lambda: not rig.service.ready, "the loss is noticed")
            await rig.live()
        for order in orders:
            await rig.status(order, "FILLED", "REJECTED")
            assert rig.x.submits(order.client_order_id.value) <= 1
        for order in orders:
            filled = [one.filled for one in rig.x.orders(order.client_order_id.value)]
            assert bool(filled) == (order.status == OrderStatus.FILLED)

    run(body, data=True)


def test_a_submit_that_meets_a_dead_socket_leaves_by_the_next_one() -> None:
    async def body(rig: Rig) -> None:
        order = rig.submit("O-1")
        assert order.status == OrderStatus.SUBMITTED
        # The connection ends between the hook and the wire.
        rig.service._session.reconnect("cut by the test")
        await rig.status(order, "ACCEPTED")
        assert rig.x.submits("O-1") == 1

    run(body)


def test_a_submit_that_meets_a_dead_socket_and_no_other_is_rejected_with_nothing_sent() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F01", trigger={"after_ms": 0})
        await until(lambda: rig.x.simulator.faults.refuses(), "nobody can connect")
        order = rig.submit("O-1")
        assert order.status == OrderStatus.SUBMITTED
        rig.service._session.reconnect("cut by the test")
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("NOT_SENT")
        assert rig.x.submits("O-1") == 0
        rig.x.lift()
        await rig.live()
        await rig.accepted("O-2")

    run(body)


def test_submits_while_down_are_denied_with_a_type_and_leave_no_trace() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F01", trigger={"after_ms": 0}, lasts_ms=600)
        await until(lambda: rig.x.simulator.faults.refuses(), "nobody can connect")
        rig.x.drop()
        await rig.down()
        before = rig.x.ledger.count("request"), rig.x.ledger.count("in")
        order = rig.submit("O-1")
        assert order.status == OrderStatus.INITIALIZED
        assert rig.engine.reasons["O-1"].startswith("STREAM_RECONCILING")
        assert (rig.x.ledger.count("request"), rig.x.ledger.count("in")) == before
        await rig.live()
        assert rig.x.submits("O-1") == 0
        await rig.accepted("O-2")

    run(body)


REST = {"own": {"order_route": "rest"}, "timeouts_ms": {"submit": 400, "cancel": 400}}
ORDERS = "POST /v1/orders"
HTML = {"kind": "F19", "status": 503, "body": "<html>Service Unavailable</html>", "content_type": "text/html"}

REST_READ = {
    "processed and late": {"kind": "F20", "points": ["request"], "label": ORDERS, "delay_ms": 900},
    "503 HTML after the acceptance": {**HTML, "trigger": {"cut": "C3"}, "label": ORDERS},
    "500 JSON after the acceptance": {
        **HTML, "status": 500, "trigger": {"cut": "C3"}, "label": ORDERS,
        "body": '{"error":"INTERNAL_ERROR","message":"try again"}', "content_type": "application/json",
    },
    "502 without a body": {**HTML, "status": 502, "body": "", "trigger": {"cut": "C3"}, "label": ORDERS},
    "reset instead of the reply": {"kind": "F05", "trigger": {"cut": "C3"}, "label": ORDERS},
    "half of the reply": {"kind": "F12", "points": ["request"], "label": ORDERS, "keep_bytes": 5},
    "429 after the acceptance": {"kind": "F18", "trigger": {"cut": "C3"}, "label": ORDERS},
}  # fmt: skip
REST_NEVER_READ = {
    "reset before it is read": {"kind": "F05", "points": ["request"], "label": ORDERS},
    "503 instead of it": {**HTML, "points": ["request"], "label": ORDERS},
    "429 with Retry-After": {"kind": "F18", "points": ["request"], "label": ORDERS, "retry_after": "1"},
    "429 without a hint": {"kind": "F18", "points": ["request"], "label": ORDERS},
}


@cases(REST_READ)
@pytest.mark.parametrize("takes", [False, True], ids=["rests", "takes"])
def test_over_rest_an_accepted_order_without_a_good_reply_is_found(fault: dict, takes: bool) -> None:
    async def body(rig: Rig) -> None:
        rig.x.counter("SELL", "0.02", "83400.0")
        # Frames of the private stream would prove everything at once: it must be found by asking.
        rig.x.fault("F16", points=["out"], label="orders.ALL", times=50, trigger={"nth": 1})
        rig.x.fault("F16", points=["out"], label="fills.ALL", times=50, trigger={"nth": 1})
        number = rig.x.fault(**fault)
        order = rig.submit("O-1", "BUY", "0.01", "83500.0" if takes else "80000.0")
        await rig.status(order, "FILLED" if takes else "ACCEPTED")
        assert number in {one for _, one, _ in rig.x.simulator.faults.history}
        assert rig.x.submits("O-1") == 1
        assert rig.count("lookups.asked") >= 1

    run(body, **REST)


@cases(REST_NEVER_READ)
def test_over_rest_an_order_that_was_never_read_is_refused_only_by_proof(fault: dict) -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault(**fault)
        order = rig.submit("O-1")
        await until(lambda: rig.x.acted(), "the fault acts")
        assert order.status == OrderStatus.SUBMITTED
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("NOT_FOUND_AT_VENUE")
        assert (rig.x.submits("O-1"), rig.x.orders("O-1")) == (1, [])
        await rig.accepted("O-2")

    run(body, **REST)


def test_over_rest_a_venue_that_refuses_connections_rejects_with_nothing_sent() -> None:
    relays: list[TcpRelay] = []

    @asynccontextmanager
    async def between(x: Exchange) -> AsyncIterator[dict]:
        async with tcp_relay(x.simulator.server.port) as relay:
            relays.append(relay)
            yield {"addresses": {"rest": f"http://127.0.0.1:{relay.port}/v1"}}

    async def body(rig: Rig) -> None:
        (relay,) = relays
        relay.shut()
        order = rig.submit("O-1")
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("NOT_SENT")
        assert rig.x.submits("O-1") == 0
        await relay.open()
        await rig.accepted("O-2")

    run(body, between=between, **REST)


READS = {
    "too late": {"kind": "F20", "points": ["request"], "delay_ms": 900},
    "503 HTML": {**HTML, "points": ["request"]},
    "reset": {"kind": "F05", "points": ["request"]},
    "half of the reply": {"kind": "F12", "points": ["request"], "keep_bytes": 5},
    "429": {"kind": "F18", "points": ["request"]},
}
POSITIONS = "GET /v1/positions"


@cases(READS)
def test_a_read_is_tried_three_times_and_no_more(fault: dict) -> None:
    async def body(rig: Rig) -> None:
        before = rig.x.sent(POSITIONS)
        rig.x.fault(**fault, label=POSITIONS, times=2)
        assert await rig.service.position_reports() == []
        assert rig.x.sent(POSITIONS) - before == 3, "two that failed, one that did not"
        before = rig.x.sent(POSITIONS)
        rig.x.fault(**fault, label=POSITIONS, times=50)
        with pytest.raises(Exception, match=r"positions|503|429|answered"):
            await rig.service.position_reports()
        assert rig.x.sent(POSITIONS) - before == 3, "empty never stands for an error"

    run(body, timeouts_ms={"positions": 300})


def test_retry_after_is_waited_for() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F18", points=["request"], label=POSITIONS, retry_after="1")
        started = rig.venue.clock.mono_ns()
        await rig.service.position_reports()
        assert rig.venue.clock.mono_ns() - started >= 1_000_000_000

    # The policy caps what a venue may ask for; here it may ask for two seconds.
    run(body, options={"retry.cap_ns": "2000000000"})


def test_the_instrument_ids_are_those_of_the_tests() -> None:
    assert str(BTC_ID) == "BTC-USD-PERP.PARADEX"
