"""A submit around which sockets are cut, that comes late or cannot leave, and reads that fail.

How each way of losing one reply ends is in `test_fault_matrix`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC_ID, Exchange, Rig, run, until
from relay import TcpRelay, tcp_relay

from venuekit.interfaces.stream import DataKind
from venuekit.runtime.journal import MemoryJournal

SUBMIT = '*"order.create"*'
QUICK_RPC = {"submit": 400, "cancel": 400}


def cases(table: dict[str, dict]) -> object:
    return pytest.mark.parametrize("fault", [pytest.param(one, id=name) for name, one in table.items()])


def test_a_submit_whose_connection_ends_right_after_the_reply() -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.QUOTES)
        rig.x.fault("F05", trigger={"cut": "C5"})
        order = rig.submit("O-1")
        await until(rig.x.acted, "the fault acts")
        await rig.status(order, "ACCEPTED")
        assert rig.x.submits("O-1") == 1
        await rig.live()
        await rig.accepted("O-2")

    run(body, data=True, timeouts_ms=QUICK_RPC)


def test_the_venues_id_is_on_record_with_the_reply_whatever_the_stream_tells() -> None:
    journal = MemoryJournal()

    async def body(rig: Rig) -> None:
        rig.x.fault("F16", points=["out"], label="orders.ALL", times=50)
        order = rig.submit("O-1")
        await until(lambda: rig.count("replies.submit.received"), "the reply, and nothing else")
        (entry,) = journal.open_intents()
        assert entry.ids["venue_order_id"] == rig.x.order("O-1").id
        assert order.status == OrderStatus.SUBMITTED
        rig.x.lift()

    run(body, journal=journal)


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
        assert await rig.service.reports.position_reports() == []
        assert rig.x.sent(POSITIONS) - before == 3, "two that failed, one that did not"
        before = rig.x.sent(POSITIONS)
        rig.x.fault(**fault, label=POSITIONS, times=50)
        with pytest.raises(Exception, match=r"positions|503|429|answered"):
            await rig.service.reports.position_reports()
        assert rig.x.sent(POSITIONS) - before == 3, "empty never stands for an error"

    run(body, timeouts_ms={"positions": 300})


def test_retry_after_is_waited_for() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F18", points=["request"], label=POSITIONS, retry_after="1")
        started = rig.venue.clock.mono_ns()
        await rig.service.reports.position_reports()
        assert rig.venue.clock.mono_ns() - started >= 1_000_000_000

    # The policy caps what a venue may ask for; here it may ask for two seconds.
    run(body, options={"retry.cap_ns": "2000000000"})


def test_the_instrument_ids_are_those_of_the_tests() -> None:
    assert str(BTC_ID) == "BTC-USD-PERP.PARADEX"
