"""The execution service over a venue whose clock is a block height: wall time decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from account_rig import Rig, load
from memory_wire import answers, never_left, reply_lost, request_lost
from nautilus_trader.model import OrderStatus

from venuekit.runtime.clock import ManualClock


def run(body: Callable[[Rig], Awaitable[None]], blocks: int = 1) -> None:
    """The venue is opened, `blocks` are made, `body` runs, and everything is stopped."""

    async def whole() -> None:
        clock = ManualClock()
        exchange = load("height_venue", "height_exchange").HeightExchange(clock)
        rig = await Rig.opened("height_venue", exchange, clock)
        for _ in range(blocks):
            exchange.block()
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


def ref(name: str) -> str:
    return load("height_venue", "height_venue").ref_of(name)


def test_submit_open_fill_with_the_fee_from_history() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        assert rig.events("O-1") == ["submitted"], "the reply is only a receipt"
        rig.exchange.block()
        await rig.run(1)
        assert rig.events("O-1") == ["submitted", "accepted"]
        rig.exchange.match(ref("O-1"), "1.000")
        await rig.run(1)
        assert rig.events("O-1") == ["submitted", "accepted"], "the stream's fill has no fee"
        await rig.run(1_000)
        assert rig.events("O-1")[2:] == ["filled 1.000@100.0 f1"]
        assert rig.engine.commissions == {"f1": "0.01000000 USDC"}
        assert order.status == OrderStatus.FILLED
        assert str(order.venue_order_id) == f"HV-{ref('O-1')}"

    run(body)


def test_a_submit_that_waits_while_the_stream_is_lost_is_rejected_and_leaves_no_trace() -> None:
    """Its route is not the stream, so nothing else would keep it here."""

    class Held:
        def __init__(self) -> None:
            self.free = asyncio.Event()

        async def permit(self, op: str, within_ns: int | None = None) -> None:
            await self.free.wait()

    async def body(rig: Rig) -> None:
        rig.service.commands._dispatcher._pacer = held = Held()
        await rig.submit("O-1")
        rig.exchange.refuse_connect = 1_000
        rig.exchange.cut()
        await rig.run(100)
        assert rig.events("O-1") == ["submitted"]
        held.free.set()
        await rig.run(3_000)
        assert rig.events("O-1") == ["submitted", "rejected"]
        assert rig.engine.reasons["O-1"].startswith("NOT_SENT: STREAM_RECONCILING")
        rig.exchange.refuse_connect = 0
        await rig.run(30_000)
        assert rig.service.ready
        assert rig.exchange.commands() == []

    run(body)


def test_no_block_seen_means_no_order() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        assert rig.events("O-1") == ["denied STREAM_RECONCILING"]
        assert rig.exchange.commands() == []

    run(body, blocks=0)


def test_a_tentative_cancel_still_fills_and_becomes_final_by_the_block() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        rig.exchange.block()
        rig.engine.pending_cancel(order)
        rig.service.commands.cancel([order])
        await rig.run(1)
        rig.exchange.block()
        await rig.run(1)
        assert rig.events("O-1") == ["submitted", "accepted"], "nothing is final yet"
        rig.exchange.match(ref("O-1"), "0.300", fee_on_stream=True)
        await rig.run(10_000)
        assert rig.events("O-1")[2:] == ["filled 0.300@100.0 f1"]
        for _ in range(22):
            rig.exchange.block()
            await rig.run(500)
        assert rig.events("O-1")[3:] == ["canceled USER_CANCELED"]

    run(body)


def test_silent_expiry_is_found_and_proven() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        for _ in range(30):
            rig.exchange.block()
            await rig.run(100)
        await rig.run(10_000)
        assert rig.events("O-1") == ["submitted", "accepted", "expired"]

    run(body)


def test_an_order_no_block_took_ends_rejected_by_proof_only() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults += [request_lost, request_lost]
        await rig.submit("O-1")
        await rig.run(30_000)
        assert rig.events("O-1") == ["submitted"], "no time of ours proves anything here"
        for _ in range(25):
            rig.exchange.block()
        await rig.run(20_000)
        assert rig.events("O-1") == ["submitted", "rejected"]
        assert rig.engine.reasons["O-1"].startswith("NOT_FOUND_AT_VENUE")

    run(body)


def test_a_lost_reply_sends_the_same_bytes_once_and_makes_one_order() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(reply_lost)
        await rig.submit("O-1")
        rig.exchange.block()
        await rig.run(1)
        sent = [request.message for request in rig.exchange.commands()]
        assert len(sent) == 2
        assert sent[0] == sent[1]
        assert rig.events("O-1") == ["submitted", "accepted"]
        assert len(rig.exchange.orders) == 1

    run(body)


def test_an_unknown_code_is_looked_up_not_rejected() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(answers("ok", b'{"code": 99}', arrives=True))
        await rig.submit("O-1")
        rig.exchange.block(frames=False)
        assert rig.events("O-1") == ["submitted"]
        await rig.run(3_000)
        assert rig.events("O-1") == ["submitted", "accepted"], "the look-up found it"

    run(body)


def test_a_refusal_with_proof_and_a_failure_before_the_wire() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(answers("ok", b'{"code": 41}'))
        await rig.submit("O-1")
        assert rig.events("O-1") == ["submitted", "rejected"]
        rig.exchange.faults.append(never_left)
        await rig.submit("O-2")
        assert rig.events("O-2") == ["submitted", "rejected"]
        assert rig.engine.reasons["O-2"].startswith("NOT_SENT")
        rig.exchange.block()
        assert rig.exchange.orders == {}

    run(body)


def test_limits_are_counted_in_blocks_and_cancels_go_first() -> None:
    async def body(rig: Rig) -> None:
        orders = [await rig.submit(f"O-{n}") for n in range(1, 6)]
        assert len(rig.exchange.commands()) == 2, "two commands a block"
        rig.exchange.block()
        await rig.run(1)
        rig.service.commands.cancel([orders[0]])
        await rig.run(1)
        assert len(rig.exchange.commands()) == 4
        rig.exchange.block()
        await rig.run(1)
        kinds = [request.op for request in rig.exchange.commands()]
        assert kinds == ["place", "place", "place", "place", "cancel", "place"]
        assert rig.exchange.breaches == 0

    run(body)


def test_the_stamp_is_drawn_after_the_permit() -> None:
    async def body(rig: Rig) -> None:
        for n in range(1, 4):
            await rig.submit(f"O-{n}")
        for _ in range(6):
            rig.exchange.block()
            await rig.run(1)
        assert [row["good_til"] for row in rig.exchange.orders.values()] == [121, 121, 122]

    run(body)


def test_reconnect_recovers_what_was_missed_before_submits_are_allowed() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.submit("O-2")
        rig.exchange.block()
        await rig.run(1)
        rig.exchange.refuse_connect = 3
        rig.exchange.cut()
        await rig.run(1)
        assert not rig.service.ready
        await rig.submit("O-3")
        assert rig.events("O-3") == ["denied STREAM_RECONCILING"]
        rig.exchange.match(ref("O-1"), "1.000", frames=False)
        await rig.run(5_000)
        assert rig.service.ready
        assert rig.events("O-1")[-1] == "filled 1.000@100.0 f1"
        assert rig.events("O-2") == ["submitted", "accepted"]
        assert rig.engine.alarms == []

    run(body)
