"""The execution half of the bridge in a real node: what goes wrong with a bare adapter goes right here."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import bare_node as bare
import fake_venue as fake
import pytest
from nautilus_trader.config import LiveExecutionEngineConfig
from nautilus_trader.live import LiveRiskEngineConfig, SubmissionRecoveryPolicy
from nautilus_trader.model import OrderSide, OrderStatus, Price, Quantity, TradeId, VenueOrderId

from venuekit.core.reports import Reporter
from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence
from venuekit.nautilus.node import EXIT_FAILED, EXIT_UNRESOLVED, Ending, VenueNode, engine_settings
from venuekit.runtime.mass_status import MassStatusParts

IID = bare.instrument_id()
UNTHROTTLED = LiveRiskEngineConfig(max_order_submit_rate="100000/00:00:01")


def _raise(make: Callable[[], Exception]) -> Any:
    """A fresh error each time: a kept one keeps its frames, and those keep the node."""

    def step(*_arguments: Any) -> None:
        raise make()

    return step


async def _nothing(_rig: bare.Rig) -> None:
    return None


async def _accepted(rig: fake.BridgeRig) -> Any:
    order = rig.recorder.buy()
    await rig.until(lambda: rig.order(order).status == OrderStatus.ACCEPTED, "accepted")
    return order


def _fill(order: Any, trade_id: str, quantity: str) -> Any:
    return bare.fill_report(
        f"V-{order.client_order_id}", trade_id, quantity, client_order_id=order.client_order_id
    )


# -- submit --------------------------------------------------------------------------------------------------


def test_the_account_is_known_before_the_strategy_starts() -> None:
    rig = fake.build()
    found: list[Any] = []
    rig.recorder.on_begin = lambda strategy: found.append(strategy.cache.account(bare.AccountId("V-001")))

    async def body(rig: fake.BridgeRig) -> None:
        assert str(found[0].balance_total(bare.USD)) == "1000000.00 USD"
        assert rig.service.account_id == bare.AccountId("V-001")

    fake.run(rig, body)


def test_a_submit_runs_through() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        await _accepted(rig)
        assert rig.recorder.kinds() == ["OrderInitialized", "OrderSubmitted", "OrderAccepted"]

    fake.run(rig, body)


def test_silent_orders_hold_no_hook_up_and_the_query_arrives() -> None:
    # On bare Nautilus a waiting submit keeps the query in the queue until the engine invents a rejection.
    engine = LiveExecutionEngineConfig(
        inflight_check_interval_ms=20,
        inflight_check_threshold_ms=40,
        inflight_check_retries=3,
        reconciliation_startup_delay_secs=0.0,
        submission_recovery_policy=SubmissionRecoveryPolicy.RETAIN_UNRESOLVED,
    )
    rig = fake.build({"submit": fake.submitted}, engine=engine)

    async def body(rig: fake.BridgeRig) -> None:
        orders = [rig.recorder.buy() for _ in range(5)]
        await rig.until(lambda: len(rig.service.seen("submit")) == 5, "all five at once")
        await rig.until(lambda: len(rig.service.seen("query")) >= 5, "a look-up of each")
        assert all(rig.order(order).status == OrderStatus.SUBMITTED for order in orders)
        for order in orders:
            filled = fake.report(order, OrderStatus.FILLED, filled="0.010")
            rig.service.sink.report(filled, [_fill(order, f"t-{order.client_order_id}", "0.010")])
        await rig.until(lambda: rig.recorder.kinds().count("OrderFilled") == 5, "the late fills")
        assert "OrderRejected" not in rig.recorder.kinds()

    fake.run(rig, body)


def test_the_tasks_of_commands_go_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[weakref.ref[Any]] = []

    def noted(then: Callable[..., None]) -> Callable[..., None]:
        def step(service: fake.FakeExecution, *orders: Any) -> None:
            task = asyncio.current_task()
            assert "cancel_tracked" in repr(task.cancel), "Nautilus no longer makes the cycle"
            tasks.append(weakref.ref(task))
            then(service, *orders)

        return step

    rig = fake.build({"submit": noted(fake.accept), "cancel": noted(fake.cancel)})

    async def body(rig: fake.BridgeRig) -> None:
        for _ in range(5):
            order = await _accepted(rig)
            rig.recorder.cancel_order(order.client_order_id)
            await rig.until(lambda order=order: rig.order(order).status == OrderStatus.CANCELED, "canceled")
        await rig.until(lambda: not any(task() for task in tasks), "no task is left")

    gc.disable()
    try:
        fake.run(rig, body)
    finally:
        gc.enable()
    assert len(tasks) == 10


def test_more_orders_than_the_queue_holds_are_all_submitted() -> None:
    rig = fake.build(risk_engine=UNTHROTTLED)

    async def body(rig: fake.BridgeRig) -> None:
        for _ in range(900):
            rig.recorder.buy()
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 900, "the first 900")
        for _ in range(900):
            rig.recorder.buy()
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 1800, "all")
        assert "OrderDenied" not in rig.recorder.kinds()

    fake.run(rig, body)


def test_a_denied_order_ends_denied() -> None:
    def deny(service: fake.FakeExecution, *orders: Any) -> None:
        for order in orders:
            service.sink.denied(order, "UNSUPPORTED: no such order type here")

    rig = fake.build({"submit": deny})

    async def body(rig: fake.BridgeRig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: rig.order(order).status == OrderStatus.DENIED, "denied")
        assert rig.recorder.seen[-1].reason.startswith("UNSUPPORTED")

    fake.run(rig, body)


def test_a_bug_before_anything_was_announced_denies_the_order() -> None:
    # On bare Nautilus the order would stay INITIALIZED for ever, without an event.
    rig = fake.build({"submit": _raise(lambda: KeyError("a bug"))})

    async def body(rig: fake.BridgeRig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: rig.order(order).status == OrderStatus.DENIED, "denied")
        assert not rig.service.seen("query")
        assert rig.counters["bridge.exec.submit_failed"] == 1

    fake.run(rig, body)


def test_a_bug_after_submitted_is_looked_up_and_not_rejected() -> None:
    def step(service: fake.FakeExecution, *orders: Any) -> None:
        service.sink.submitted(orders[0])
        raise KeyError("a bug")

    rig = fake.build({"submit": step})

    async def body(rig: fake.BridgeRig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: rig.service.seen("query"), "the look-up")
        # The engine applies events in a turn of its own.
        await rig.until(lambda: rig.order(order).status != OrderStatus.INITIALIZED, "the first event")
        assert rig.order(order).status == OrderStatus.SUBMITTED
        rig.service.sink.rejected(order, "the venue has proof", 1, False)
        await rig.until(lambda: rig.order(order).status == OrderStatus.REJECTED, "the end")

    fake.run(rig, body)


def test_an_order_list_arrives_as_its_orders_in_one_call() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        factory = rig.recorder.order_factory
        orders = [
            factory.limit(IID, OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str(px)) for px in "78"
        ]
        rig.recorder.submit_order_list(orders)
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 2, "both accepted")
        (given,) = rig.service.seen("submit")
        assert [order.client_order_id for order in given] == [order.client_order_id for order in orders]

    fake.run(rig, body)


# -- cancel and modify ---------------------------------------------------------------------------------------


def test_cancels_single_batch_and_all() -> None:
    rig = fake.build({"cancel": lambda *_arguments: None})

    async def body(rig: fake.BridgeRig) -> None:
        orders = [rig.recorder.buy() for _ in range(3)]
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 3, "accepted")
        ids = [order.client_order_id for order in orders]
        rig.recorder.cancel_order(ids[0])
        rig.recorder.cancel_orders(ids[1:])
        await rig.until(lambda: len(rig.service.seen("cancel")) == 2, "one call each")
        assert [[one.client_order_id for one in call] for call in rig.service.seen("cancel")] == [
            ids[:1],
            ids[1:],
        ]

    fake.run(rig, body)


def test_cancel_all_covers_open_and_in_flight_orders() -> None:
    silent: list[bool] = []
    rig = fake.build({"submit": lambda *given: (fake.submitted if silent else fake.accept)(*given)})

    async def body(rig: fake.BridgeRig) -> None:
        open_order = await _accepted(rig)
        silent.append(True)
        waiting = rig.recorder.buy()
        await rig.until(lambda: rig.order(waiting).status == OrderStatus.SUBMITTED, "submitted")
        rig.recorder.cancel_all_orders(IID, strategy_only=False)
        await rig.until(lambda: rig.service.seen("cancel_all"), "cancel all")
        ((instrument_id, side, covered),) = rig.service.seen("cancel_all")
        assert (instrument_id, side) == (IID, None)
        both = {open_order.client_order_id, waiting.client_order_id}
        assert {one.client_order_id for one in covered} == both
        rig.service.sink.rejected(waiting, "over", 1, False)

    fake.run(rig, body)


def test_a_modify_is_confirmed_by_an_event_with_its_new_values() -> None:
    def step(service: fake.FakeExecution, order: Any, quantity: Any, price: Any, _trigger: Any) -> None:
        service.sink.updated(order, VenueOrderId("V-NEW"), quantity, price or order.price, None, 1)

    rig = fake.build({"modify": step})

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        rig.recorder.modify_order(order.client_order_id, quantity=Quantity.from_str("0.020"))
        await rig.until(lambda: "OrderUpdated" in rig.recorder.kinds(), "updated")
        live = rig.order(order)
        assert (live.status, str(live.quantity)) == (OrderStatus.ACCEPTED, "0.020")
        assert live.venue_order_id == VenueOrderId("V-NEW")

    fake.run(rig, body)


@pytest.mark.parametrize("what", ["cancel", "modify"])
def test_a_bug_below_a_cancel_or_modify_is_looked_up(what: str) -> None:
    rig = fake.build({what: _raise(lambda: KeyError("a bug"))})

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        if what == "cancel":
            rig.recorder.cancel_order(order.client_order_id)
        else:
            rig.recorder.modify_order(order.client_order_id, quantity=Quantity.from_str("0.020"))
        await rig.until(lambda: rig.service.seen("query"), "the look-up")
        assert rig.counters[f"bridge.exec.{what}_failed"] == 1
        assert "OrderCancelRejected" not in rig.recorder.kinds()

    fake.run(rig, body)


@pytest.mark.parametrize("what", ["cancel", "modify"])
def test_a_refusal_opens_the_order_again(what: str) -> None:
    def step(service: fake.FakeExecution, order: Any, *_rest: Any) -> None:
        say = service.sink.cancel_rejected if what == "cancel" else service.sink.modify_rejected
        say(order, order.venue_order_id, "no", 1)

    rig = fake.build({what: step})

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        if what == "cancel":
            rig.recorder.cancel_order(order.client_order_id)
        else:
            rig.recorder.modify_order(order.client_order_id, quantity=Quantity.from_str("0.020"))
        kind = f"Order{what.capitalize()}Rejected"
        await rig.until(lambda: kind in rig.recorder.kinds(), "refused")
        assert rig.order(order).status == OrderStatus.ACCEPTED

    fake.run(rig, body)


# -- the sink ------------------------------------------------------------------------------------------------


def test_reports_carry_their_fills_and_repeats_change_nothing() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        part = fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004")
        for _ in range(3):
            rig.service.sink.report(part, [_fill(order, "t1", "0.004")])
        done = fake.report(order, OrderStatus.FILLED, filled="0.010")
        rig.service.sink.report(done, [_fill(order, "t2", "0.006")])
        await rig.until(lambda: rig.order(order).status == OrderStatus.FILLED, "filled")
        assert [one.value for one in rig.order(order).trade_ids] == ["t1", "t2"]
        (position,) = rig.cache.positions_open()
        assert str(position.quantity) == "0.010"

    fake.run(rig, body)


def test_a_fill_can_be_taken_back() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        part = fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004")
        rig.service.sink.report(part, [_fill(order, "t1", "0.004")])
        await rig.until(lambda: rig.cache.positions_open(), "the position")
        rig.service.sink.fill_voided(order.client_order_id, TradeId("t1"), "trade bust", 2)
        await rig.until(lambda: not rig.cache.positions_open(), "the position is gone")
        assert str(rig.order(order).filled_qty) == "0.000"
        # The engine's own checks ask for reports: one that repeats what a void left changes nothing.
        rig.service.sink.report(fake.report(order, OrderStatus.ACCEPTED), [])
        rest = fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.006")
        rig.service.sink.report(rest, [_fill(order, "t2", "0.006")])
        await rig.until(lambda: rig.order(order).status == OrderStatus.VOIDED, "0.004 of 0.010 is void")
        rig.service.sink.report(fake.report(order, OrderStatus.VOIDED, filled="0.006"), [])
        rig.service.sink.fill_voided(order.client_order_id, TradeId("unknown"), "trade bust", 2)
        await _accepted(rig)  # whatever came before it was taken by then
        assert (str(rig.order(order).filled_qty), len(rig.cache.orders())) == ("0.006", 2)
        assert rig.order(order).status == OrderStatus.VOIDED
        await rig.until(lambda: rig.counters["bridge.exec.refused_by_engine"], "it is given up")
        assert rig.counters["bridge.exec.refused_by_engine"] == 1
        assert rig.counters["alarm.event_not_taken"] == 1

    fake.run(rig, body)


def test_a_fill_and_its_bust_in_one_turn_leave_nothing_and_what_follows_keeps_its_place() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        sink = rig.service.sink
        part = fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004")
        sink.report(part, [_fill(order, "t1", "0.004")])
        sink.fill_voided(order.client_order_id, TradeId("t1"), "trade bust", 2)
        sink.report(fake.report(order, OrderStatus.CANCELED), [])
        await rig.until(lambda: rig.order(order).is_closed, "the end")
        assert [type(one).__name__ for one in rig.order(order).events()][-3:] == [
            "OrderFilled",
            "OrderFillVoided",
            "OrderCanceled",
        ]
        assert str(rig.order(order).filled_qty) == "0.000"
        assert not rig.cache.positions_open()
        assert rig.counters["bridge.exec.refused_by_engine"] == 0

    fake.run(rig, body)


def test_a_report_that_was_refused_once_is_offered_again() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        hand, refused = client.hand, []

        def refuse(report: Any, fills: Any) -> None:
            client.hand = hand
            refused.append(report)
            raise RuntimeError("planted")

        client.hand = refuse
        part = fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004")
        rig.service.sink.report(part, [_fill(order, "t1", "0.004")])
        assert refused == [part]
        assert rig.counters["alarm.report_not_taken"] == 1
        rest = fake.report(order, OrderStatus.FILLED, filled="0.010")
        rig.service.sink.report(rest, [_fill(order, "t2", "0.006")])
        await rig.until(lambda: rig.order(order).status == OrderStatus.FILLED, "both")
        assert [one.value for one in rig.order(order).trade_ids] == ["t1", "t2"]

    fake.run(rig, body)


def test_a_fill_that_comes_during_the_stop_is_handed_over() -> None:
    last: list[Any] = []
    handed: list[Any] = []
    rig = fake.build({"stop_execution": lambda service: service.sink.report(*last)})

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        last.extend([fake.report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004"), []])
        last[1].append(_fill(order, "t1", "0.004"))
        client = rig.execution["V"]
        hand = client.hand
        client.hand = lambda *said: (hand(*said), handed.append(said))

    fake.run(rig, body)
    assert handed == [tuple(last)]


def test_a_position_that_overtakes_its_fill_invents_nothing() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        rig.service.sink.position(bare.position_report("0.010"))
        await _accepted(rig)
        assert len(rig.cache.orders()) == 1
        assert rig.counters["bridge.exec.positions_seen"] == 1

    fake.run(rig, body)


def test_a_word_from_a_foreign_thread_goes_over_to_the_loop() -> None:
    # On bare Nautilus this ends the process: see the shutdown traps.
    rig = fake.build({"submit": lambda *_arguments: None})

    async def body(rig: fake.BridgeRig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: rig.service.seen("submit"), "the submit")
        await asyncio.to_thread(rig.service.sink.submitted, order)
        await rig.until(lambda: rig.order(order).status == OrderStatus.SUBMITTED, "submitted")
        assert rig.counters["bridge.exec.foreign_thread"] == 1
        rig.service.sink.rejected(order, "over", 1, False)

    fake.run(rig, body)


def test_what_the_engine_refuses_is_counted_and_never_raised() -> None:
    rig = fake.build()
    kept: list[Any] = []

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        rig.service.sink.alarm("position_differs", "planted")
        assert rig.counters["alarm.position_differs"] == 1
        rig.service.sink.report(_NoReport(), [])
        assert rig.counters["bridge.exec.refused_by_engine"] == 1
        kept.extend([rig.service.sink, order])

    fake.run(rig, body)
    kept[0].submitted(kept[1])  # after the stop: nothing raises


class _NoReport:
    """Something the engine does not know."""

    order_status = client_order_id = None


# -- reconciliation ------------------------------------------------------------------------------------------


def test_the_mass_status_is_the_service_s() -> None:
    parts = MassStatusParts(
        [bare.venue_report("V-1", OrderStatus.FILLED, client_order_id="O-MINE", filled="0.010")],
        [bare.fill_report("V-1", "t1", "0.010")],
        [bare.position_report("0.010")],
    )
    rig = fake.build({"mass_status": lambda _service, _mins: parts})

    async def body(rig: fake.BridgeRig) -> None:
        (order,) = rig.cache.orders()
        assert (order.client_order_id.value, order.status) == ("O-MINE", OrderStatus.FILLED)
        (position,) = rig.cache.positions_open()
        assert str(position.quantity) == "0.010"

    fake.run(rig, body)


def test_the_engine_asks_for_as_many_minutes_as_the_config_says() -> None:
    asked: list[int | None] = []
    engine = engine_settings(open_check_secs=None, position_check_secs=None, lookback_mins=90)
    rig = fake.build({"mass_status": lambda _service, mins: asked.append(mins)}, engine=engine)

    async def body(_rig: fake.BridgeRig) -> None:
        assert asked == [90]

    fake.run(rig, body)


def test_a_mass_status_that_fails_stops_the_start() -> None:
    down = _raise(lambda: SendFailed("no answer", evidence=Evidence.NOT_SENT))
    rig = fake.build({"mass_status": down}, timeout_reconciliation_secs=1.0)

    async def body(_rig: bare.Rig) -> None:
        pytest.fail("the node must not have started")

    with pytest.raises(RuntimeError):
        fake.run(rig, body)


def test_failing_report_hooks_in_the_running_checks_change_nothing() -> None:
    down = _raise(lambda: SendFailed("no answer", evidence=Evidence.NOT_SENT))
    engine = bare.engine_config(
        open_check_interval_secs=0.03,
        open_check_threshold_ms=0,
        open_check_missing_retries=1,
        open_check_open_only=False,
        position_check_interval_secs=0.03,
        position_check_threshold_ms=0,
        reconciliation_startup_delay_secs=0.0,
    )
    script = {"order_report": down, "position_reports": down}
    rig = fake.build(script, engine=engine)

    async def body(rig: fake.BridgeRig) -> None:
        order = await _accepted(rig)
        await rig.until(lambda: len(rig.service.seen("order_report")) >= 2, "two questions for the order")
        await rig.until(lambda: len(rig.service.seen("position_reports")) >= 2, "two position checks")
        assert rig.order(order).status == OrderStatus.ACCEPTED

    fake.run(rig, body)


def test_two_venues_that_number_from_one_trade_in_one_node() -> None:
    # On bare Nautilus the second order would hang in SUBMITTED: venue order ids are one namespace.
    def first(service: fake.FakeExecution, *orders: Any) -> None:
        named = Reporter(str(orders[0].instrument_id.venue), service.account_id).venue_order_id("1")
        service.sink.submitted(orders[0])
        service.sink.report(fake.report(orders[0], OrderStatus.ACCEPTED, venue_order_id=str(named)), [])

    rig = fake.build(venues={name: fake.FakeShared(name, {"submit": first}) for name in "VW"})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.buy()
        second = rig.recorder.order_factory.limit(
            bare.instrument_id("W"), OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str("100.0")
        )
        rig.recorder.submit_order(second)
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 2, "both accepted")
        assert [len(rig.shared[name].execution.seen("submit")) for name in "VW"] == [1, 1]
        assert {str(order.venue_order_id) for order in rig.cache.orders()} == {"V-1", "W-1"}

    fake.run(rig, body)


# -- endings -------------------------------------------------------------------------------------------------


def _ended(rig: fake.BridgeRig, body: Callable[[VenueNode], Any]) -> Ending:
    """Runs the rig's node as `run_node` would."""

    async def main() -> Ending:
        node = VenueNode(rig.node, rig.failures)
        running = asyncio.ensure_future(node.run())
        await body(node)
        return await running

    try:
        return asyncio.run(main())
    finally:
        rig.drop()


def test_safe_settings_keep_what_is_not_known() -> None:
    engine = engine_settings()
    assert engine.submission_recovery_policy == SubmissionRecoveryPolicy.RETAIN_UNRESOLVED
    assert engine.open_check_interval_secs is not None
    assert engine.open_check_open_only
    assert engine.position_check_interval_secs is not None
    assert not engine.allow_overfills
    assert engine.purge_closed_orders_buffer_mins is None, "ended orders stay unless the config says how long"


def test_a_stop_with_an_unresolved_order_has_a_message_and_a_code_of_its_own() -> None:
    rig = fake.build({"submit": fake.submitted})
    placed: list[Any] = []

    async def body(node: VenueNode) -> None:
        await rig.until(rig.recorder.is_running, "running")
        placed.append(rig.recorder.buy())
        await rig.until(lambda: "OrderSubmitted" in rig.recorder.kinds(), "submitted")
        node.handle.stop()

    ending = _ended(rig, body)
    assert ending.code == EXIT_UNRESOLVED
    assert ending.unresolved == (placed[0].client_order_id.value,)
    assert placed[0].client_order_id.value in ending.message


def test_a_failed_connect_ends_the_run_at_once_with_its_reason() -> None:
    down = _raise(lambda: SendFailed("no answer", evidence=Evidence.NOT_SENT, hint="is it up?"))
    rig = fake.build({"start_execution": down}, timeout_connection_secs=30.0)

    async def body(_node: VenueNode) -> None:
        return None

    ending = _ended(rig, body)
    assert (ending.code, ending.message) == (EXIT_FAILED, "V could not connect: no answer")
    assert ending.hint == "is it up?"


def test_a_clean_stop_has_code_zero() -> None:
    rig = fake.build()

    async def body(node: VenueNode) -> None:
        await rig.until(rig.recorder.is_running, "running")
        node.handle.stop()

    assert _ended(rig, body) == Ending(0)
