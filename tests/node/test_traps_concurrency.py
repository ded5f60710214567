"""Traps in Nautilus's command queue and dispatch, shown on bare Nautilus."""

from __future__ import annotations

import asyncio
from typing import Any

import bare_node as bare
from nautilus_trader.live import LiveRiskEngineConfig, SubmissionRecoveryPolicy
from nautilus_trader.model import OrderStatus

QUEUE_CAPACITY = 1024
UNTHROTTLED = LiveRiskEngineConfig(max_order_submit_rate="100000/00:00:01")


def _held_submits(release: asyncio.Event) -> Any:
    async def step(client: bare.BareExecution, command: Any) -> None:
        client.generate_order_submitted(command.order)
        await release.wait()
        client.generate_order_accepted(
            command.order, bare.venue_order_id_of(command.order), client.clock.timestamp_ns()
        )

    return step


def test_the_next_hook_starts_when_the_previous_coroutine_returned() -> None:
    release = asyncio.Event()
    rig = bare.build({"V": {"submit": _held_submits(release)}})

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        for _ in range(3):
            rig.recorder.buy()
        rig.recorder.query_account(client.account_id)
        await rig.until(lambda: client.calls[-1][0] == "submit", "the first submit")
        await asyncio.sleep(0.05)
        assert [name for name, _c, _t in client.calls if name != "connect"].count("submit") == 1
        assert not client.seen("query_account")
        release.set()
        await rig.until(lambda: client.seen("query_account"), "the rest")
        assert len(client.seen("submit")) == 3

    bare.run(rig, body)


def test_subscriptions_wait_for_each_other_too() -> None:
    release = asyncio.Event()

    async def slow(_client: bare.BareData, _command: Any) -> None:
        await release.wait()

    rig = bare.build({"V": {"subscribe_quotes": slow}})
    rig.recorder.on_begin = lambda strategy: (
        strategy.subscribe_quotes(bare.instrument_id()),
        strategy.subscribe_trades(bare.instrument_id()),
    )

    async def body(rig: bare.Rig) -> None:
        names = lambda: [name for name, _c, _t in rig.data["V"].calls]  # noqa: E731
        await rig.until(lambda: "subscribe_quotes" in names(), "the first subscribe")
        await asyncio.sleep(0.05)
        assert "subscribe_trades" not in names()
        release.set()
        await rig.until(lambda: "subscribe_trades" in names(), "the second subscribe")

    bare.run(rig, body)


FAST_INFLIGHT = {
    "inflight_check_interval_ms": 20,
    "inflight_check_threshold_ms": 40,
    "inflight_check_retries": 2,
    "reconciliation_startup_delay_secs": 0.0,
}


def _answering(client: bare.BareExecution, command: Any) -> None:
    """A correct answer to a query: the order is still on its way, the venue says ACCEPTED."""
    order = client.cache.order(command.client_order_id)
    client._handle_report(bare.order_report(order, OrderStatus.ACCEPTED), [])


def test_an_in_flight_query_waits_behind_the_submit_it_asks_about() -> None:
    # The engine gives up and invents a rejection; afterwards the order goes on to the venue.
    release = asyncio.Event()
    script = {"submit": _held_submits(release), "query_order": _answering}
    rig = bare.build({"V": script}, engine=bare.engine_config(**FAST_INFLIGHT))

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderRejected" in rig.recorder.kinds(), "the invented rejection")
        assert rig.recorder.seen[-1].reason == "INFLIGHT_TIMEOUT"
        assert not rig.execution["V"].seen("query_order")
        release.set()
        await rig.until(lambda: rig.execution["V"].seen("query_order"), "the late query")
        assert rig.order(order).status == OrderStatus.REJECTED

    bare.run(rig, body)


def test_a_background_task_keeps_the_queue_free_for_the_query() -> None:
    release = asyncio.Event()
    held = _held_submits(release)

    def step(client: bare.BareExecution, command: Any) -> None:
        client.create_task(held(client, command), "submit")

    script = {"submit": step, "query_order": _answering}
    rig = bare.build({"V": script}, engine=bare.engine_config(**FAST_INFLIGHT))

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: rig.execution["V"].seen("query_order"), "the query")
        await rig.until(lambda: rig.order(order).status == OrderStatus.ACCEPTED, "the answer")
        assert "OrderRejected" not in rig.recorder.kinds()
        release.set()

    bare.run(rig, body)


def test_a_full_queue_denies_orders() -> None:
    release = asyncio.Event()
    rig = bare.build({"V": {"submit": _held_submits(release)}}, risk_engine=UNTHROTTLED)

    async def body(rig: bare.Rig) -> None:
        for _ in range(QUEUE_CAPACITY + 40):
            rig.recorder.buy()
        await rig.until(lambda: "OrderDenied" in rig.recorder.kinds(), "a denial")
        denied = [event for event in rig.recorder.seen if type(event).__name__ == "OrderDenied"]
        assert "queue is full" in denied[0].reason
        release.set()
        rest = QUEUE_CAPACITY + 40 - len(denied)
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == rest, "the rest")

    bare.run(rig, body)


def test_a_full_queue_loses_subscriptions_without_telling_the_strategy() -> None:
    release = asyncio.Event()

    async def slow(_client: bare.BareData, _command: Any) -> None:
        await release.wait()

    rig = bare.build({"V": {"subscribe_quotes": slow}, "W": {}})
    asked = QUEUE_CAPACITY + 100

    async def body(rig: bare.Rig) -> None:
        client = rig.data["V"]
        for number in range(asked):
            rig.recorder.subscribe_quotes(bare.instrument_id(symbol=f"M{number}"))
        rig.recorder.subscribe_quotes(bare.instrument_id("W"))
        await rig.until(lambda: rig.data["W"].seen("subscribe_quotes"), "the engine went through all")
        release.set()
        await rig.until(lambda: len(client.calls) > QUEUE_CAPACITY, "the queue runs empty")
        rig.recorder.subscribe_trades(bare.instrument_id())
        await rig.until(lambda: client.calls[-1][0] == "subscribe_trades", "a command behind them")
        assert QUEUE_CAPACITY <= len(client.seen("subscribe_quotes")) < asked

    bare.run(rig, body)


def test_commands_in_the_queue_are_dropped_at_stop_without_an_event() -> None:
    async def never(client: bare.BareExecution, command: Any) -> None:
        client.generate_order_submitted(command.order)
        await asyncio.Event().wait()

    rig = bare.build(
        {"V": {"submit": never}},
        timeout_disconnection_secs=0.5,
        engine=bare.engine_config(submission_recovery_policy=SubmissionRecoveryPolicy.RESOLVE_LOCALLY),
    )
    second: list[Any] = []

    async def body(rig: bare.Rig) -> None:
        rig.recorder.buy()
        second.append(rig.recorder.buy())
        await rig.until(lambda: rig.execution["V"].seen("submit"), "the first submit")

    bare.run(rig, body)
    events = [event for event in rig.recorder.seen if event.client_order_id == second[0].client_order_id]
    assert [type(event).__name__ for event in events] == ["OrderInitialized"]


def test_nothing_is_dispatched_until_the_loop_gets_a_turn() -> None:
    rig = bare.build()
    rig.recorder.on_begin = lambda strategy: strategy.subscribe_quotes(bare.instrument_id())

    async def body(rig: bare.Rig) -> None:
        client = rig.data["V"]
        await rig.until(lambda: client.seen("subscribe_quotes"), "the subscription")
        for _ in range(500):
            client._handle_data(bare.quote())
        assert len(rig.recorder.market_data) < 500
        await rig.until(lambda: len(rig.recorder.market_data) == 500, "all quotes")

    bare.run(rig, body)
