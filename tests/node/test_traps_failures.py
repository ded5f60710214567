"""What the engine does when a hook fails, shown on bare Nautilus."""

from __future__ import annotations

import asyncio
from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.core import UUID4
from nautilus_trader.live import InstrumentResponse, QuotesResponse
from nautilus_trader.model import ClientId, OrderStatus


def _raise(_client: Any, _command: Any) -> None:
    raise RuntimeError("planted")


async def _never(_rig: bare.Rig) -> None:
    pytest.fail("the node must not have started")


async def _nothing(_rig: bare.Rig) -> None:
    return None


def test_a_failing_connect_makes_the_node_wait_the_whole_timeout_and_raise() -> None:
    rig = bare.build({"V": {"connect": _raise}}, timeout_connection_secs=0.3)
    with pytest.raises(RuntimeError):
        bare.run(rig, _never)


def test_a_stop_ends_a_failed_start_at_once() -> None:
    # The way out of that wait, where one holds the handle.
    rigs: list[bare.Rig] = []

    def fail(_client: Any, _command: Any) -> None:
        rigs[0].handle.stop()
        raise RuntimeError("planted")

    rigs.append(bare.build({"V": {"connect": fail}}, timeout_connection_secs=30.0))
    bare.run(rigs[0], _nothing)


def test_a_hanging_connect_ends_the_same_way() -> None:
    async def hang(_client: Any, _command: Any) -> None:
        await asyncio.Event().wait()

    rig = bare.build({"V": {"connect": hang}}, timeout_connection_secs=0.3)
    with pytest.raises(RuntimeError):
        bare.run(rig, _never)


def test_a_failing_subscribe_is_not_retried_and_nobody_is_told() -> None:
    rig = bare.build({"V": {"subscribe_quotes": _raise}})
    rig.recorder.on_begin = lambda strategy: strategy.subscribe_quotes(bare.instrument_id())

    async def body(rig: bare.Rig) -> None:
        client = rig.data["V"]
        await rig.until(lambda: client.seen("subscribe_quotes"), "the subscribe")
        rig.recorder.subscribe_trades(bare.instrument_id())
        await rig.until(lambda: client.seen("subscribe_trades"), "the next command")
        assert len(client.seen("subscribe_quotes")) == 1
        assert rig.handle.is_running

    bare.run(rig, body)


def test_a_failing_request_never_calls_back() -> None:
    rig = bare.build({"V": {"request_quotes": _raise}})

    async def body(rig: bare.Rig) -> None:
        client = rig.data["V"]
        rig.recorder.request_quotes(bare.instrument_id())
        await rig.until(lambda: client.seen("request_quotes"), "the request")
        rig.recorder.subscribe_trades(bare.instrument_id())
        await rig.until(lambda: client.seen("subscribe_trades"), "the next command")
        assert rig.recorder.history == []

    bare.run(rig, body)


def test_an_empty_response_ends_a_request() -> None:
    def answer(client: bare.BareData, request: Any) -> None:
        client._handle_response(
            QuotesResponse(
                client.client_id, request.instrument_id, [], request.request_id, client.clock.timestamp_ns()
            )
        )

    rig = bare.build({"V": {"request_quotes": answer}})

    async def body(rig: bare.Rig) -> None:
        rig.recorder.request_quotes(bare.instrument_id())
        await rig.until(lambda: rig.recorder.history == [[]], "the empty answer")

    bare.run(rig, body)


def test_a_submit_that_raises_leaves_the_order_initialized_for_ever() -> None:
    rig = bare.build({"V": {"submit": _raise}})

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        client = rig.execution["V"]
        await rig.until(lambda: client.seen("submit"), "the submit")
        rig.recorder.query_account(client.account_id)
        await rig.until(lambda: client.seen("query_account"), "the next command")
        assert rig.order(order).status == OrderStatus.INITIALIZED
        assert rig.recorder.kinds() == ["OrderInitialized"]

    bare.run(rig, body)


def test_a_submit_that_raises_after_submitted_stays_until_the_check_rejects_it() -> None:
    def step(client: bare.BareExecution, command: Any) -> None:
        client.generate_order_submitted(command.order)
        raise RuntimeError("planted")

    engine = bare.engine_config(
        inflight_check_interval_ms=20,
        inflight_check_threshold_ms=40,
        inflight_check_retries=2,
        reconciliation_startup_delay_secs=0.0,
    )
    rig = bare.build({"V": {"submit": step}}, engine=engine)

    async def body(rig: bare.Rig) -> None:
        rig.recorder.buy()
        await rig.until(lambda: "OrderRejected" in rig.recorder.kinds(), "the invented rejection")
        # Here the query does arrive: through `_query_order`, never through a report hook.
        assert rig.execution["V"].seen("query_order")
        assert not rig.execution["V"].seen("order_report")

    bare.run(rig, body)


@pytest.mark.parametrize(
    ("hook", "status"), [("cancel", OrderStatus.PENDING_CANCEL), ("modify", OrderStatus.PENDING_UPDATE)]
)
def test_a_cancel_or_modify_that_raises_leaves_the_order_pending(hook: str, status: OrderStatus) -> None:
    rig = bare.build({"V": {hook: _raise}})

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "accepted")
        if hook == "cancel":
            rig.recorder.cancel_order(order.client_order_id)
        else:
            rig.recorder.modify_order(order.client_order_id, quantity=bare.Quantity.from_str("0.020"))
        await rig.until(lambda: client.seen(hook), "the command")
        rig.recorder.query_account(client.account_id)
        await rig.until(lambda: client.seen("query_account"), "the next command")
        assert rig.order(order).status == status

    bare.run(rig, body)


def test_a_background_task_that_raises_leaves_the_node_running() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        async def bad() -> None:
            raise RuntimeError("planted")

        task = rig.data["V"].create_task(bad(), "bad")
        await rig.until(task.done, "the task is over")
        rig.recorder.buy()
        await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "trading goes on")

    bare.run(rig, body)


@pytest.mark.parametrize("hook", ["mass_status", "order_reports", "fill_reports", "position_reports"])
def test_a_report_hook_that_raises_at_start_stops_the_start(hook: str) -> None:
    rig = bare.build({"V": {hook: _raise}}, timeout_reconciliation_secs=1.0)
    with pytest.raises(RuntimeError):
        bare.run(rig, _never)


def test_a_mass_status_of_none_starts_the_node_unreconciled() -> None:
    rig = bare.build({"V": {"mass_status": lambda _client, _mins: None}})

    async def body(rig: bare.Rig) -> None:
        assert len(rig.execution["V"].seen("mass_status")) == 1
        assert not rig.execution["V"].seen("order_reports")

    bare.run(rig, body)


def test_a_disconnect_that_raises_makes_run_raise_after_the_timeout() -> None:
    rig = bare.build({"V": {"disconnect": _raise}}, timeout_disconnection_secs=0.3)
    with pytest.raises(RuntimeError):
        bare.run(rig, _nothing)


def test_an_instrument_request_cannot_be_answered_without_an_instrument() -> None:
    with pytest.raises(AttributeError):
        InstrumentResponse(ClientId("V"), bare.instrument_id(), None, UUID4(), 0)
