"""How the engine reconciles, shown on bare Nautilus: start, external orders, positions, running checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.live import SubmissionRecoveryPolicy
from nautilus_trader.model import ExecutionMassStatus, OrderStatus, PositionSide, StrategyId, Venue


def _status(
    orders: list[Any] | None = None, fills: list[Any] | None = None, positions: list[Any] | None = None
) -> Callable[[bare.BareExecution, Any], ExecutionMassStatus]:
    def make(client: bare.BareExecution, _mins: Any) -> ExecutionMassStatus:
        status = ExecutionMassStatus(
            client.client_id, client.account_id, Venue("V"), client.clock.timestamp_ns()
        )
        status.add_order_reports(orders or [])
        status.add_fill_reports(fills or [])
        status.add_position_reports(positions or [])
        return status

    return make


def _start(script: dict[str, Any], body: Callable[[bare.Rig], None], **options: Any) -> bare.Rig:
    rig = bare.build({"V": script}, **options)

    async def main(rig: bare.Rig) -> None:
        body(rig)

    bare.run(rig, main)
    return rig


def _orders(rig: bare.Rig) -> list[Any]:
    return rig.cache.orders()


def _net(rig: bare.Rig) -> float:
    return sum(position.signed_qty for position in rig.cache.positions_open())


# -- start ---------------------------------------------------------------------------------------------------


def test_start_asks_for_one_mass_status_and_falls_back_to_three_hooks() -> None:
    def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        assert len(client.seen("mass_status")) == 1
        (orders,) = client.seen("order_reports")
        assert (orders.open_only, orders.instrument_id, orders.start) == (False, None, None)
        assert len(client.seen("fill_reports")) == len(client.seen("position_reports")) == 1

    _start({}, body)


def test_an_open_order_of_the_venue_becomes_external() -> None:
    def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert (order.strategy_id.value, order.client_order_id.value) == ("EXTERNAL", "V-1")
        assert (order.status, order.tags) == (OrderStatus.ACCEPTED, ["VENUE"])
        assert rig.execution["V"].seen("external")

    _start({"mass_status": _status([bare.venue_report("V-1", OrderStatus.ACCEPTED)])}, body)


def test_our_own_order_comes_back_as_external_even_with_our_client_id() -> None:
    def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert (order.strategy_id.value, order.client_order_id.value) == ("EXTERNAL", "O-MINE")

    report = bare.venue_report("V-1", OrderStatus.ACCEPTED, client_order_id="O-MINE")
    _start({"mass_status": _status([report])}, body)


def test_a_strategy_can_claim_the_orders_of_an_instrument() -> None:
    rig = bare.build({"V": {"mass_status": _status([bare.venue_report("V-1", OrderStatus.ACCEPTED)])}})
    claims = StrategyConfig(
        strategy_id=StrategyId("CLAIM-002"), external_order_instrument_ids=[bare.instrument_id()]
    )
    rig.node.add_strategy(bare.Recorder(claims))

    async def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert (order.strategy_id.value, order.tags) == ("CLAIM-002", None)

    bare.run(rig, body)


def test_reports_of_an_unpublished_instrument_are_skipped() -> None:
    def body(rig: bare.Rig) -> None:
        assert _orders(rig) == []

    report = bare.venue_report("V-1", OrderStatus.ACCEPTED)
    _start({"publish": False, "mass_status": _status([report])}, body)


# -- positions -----------------------------------------------------------------------------------------------


def test_a_position_without_fills_makes_a_reconciliation_order() -> None:
    def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert (order.strategy_id.value, order.tags) == ("EXTERNAL", ["RECONCILIATION"])
        assert _net(rig) == pytest.approx(0.02)

    _start({"mass_status": _status(positions=[bare.position_report("0.020")])}, body)


def test_a_position_without_average_price_stops_the_start() -> None:
    rig = bare.build({"V": {"mass_status": _status(positions=[bare.position_report("0.020", avg=None)])}})

    async def body(_rig: bare.Rig) -> None:
        pytest.fail("the node must not have started")

    with pytest.raises(RuntimeError):
        bare.run(rig, body)


def test_no_position_report_at_all_lets_the_fills_stand() -> None:
    def body(rig: bare.Rig) -> None:
        assert _net(rig) == pytest.approx(0.01)

    report = bare.venue_report("V-1", OrderStatus.FILLED, filled="0.010")
    _start({"mass_status": _status([report], [bare.fill_report("V-1", "t1", "0.010")])}, body)


def test_flat_position_reports_are_accepted() -> None:
    def body(rig: bare.Rig) -> None:
        assert _orders(rig) == []

    flat = bare.position_report("0.000", side=PositionSide.FLAT, avg=None)
    _start({"mass_status": _status(positions=[flat])}, body)


def test_a_flat_position_report_closes_what_the_fills_opened() -> None:
    """So what was closed before the window must be told as flat: without a report the fills stand."""

    def body(rig: bare.Rig) -> None:
        assert _net(rig) == 0.0
        (made_up,) = [order for order in _orders(rig) if order.tags == ["RECONCILIATION"]]
        assert made_up.filled_qty.as_decimal() == Decimal("0.010")

    report = bare.venue_report("V-1", OrderStatus.FILLED, filled="0.010")
    flat = bare.position_report("0.000", side=PositionSide.FLAT, avg=None)
    _start({"mass_status": _status([report], [bare.fill_report("V-1", "t1", "0.010")], [flat])}, body)


def test_an_order_that_claims_more_than_its_fills_gets_one_made_up_fill_for_the_rest() -> None:
    """So its claim counts as position, and its average must be that of the whole order."""

    def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert len(order.trade_ids) == 2
        assert order.filled_qty.as_decimal() == Decimal("0.010")
        assert _net(rig) == pytest.approx(0.01)

    report = bare.venue_report("V-1", OrderStatus.FILLED, filled="0.010")
    _start({"mass_status": _status([report], [bare.fill_report("V-1", "t1", "0.004")])}, body)


# -- fills in a mass status ----------------------------------------------------------------------------------


def test_a_trade_id_twice_in_one_mass_status_makes_the_engine_invent_orders() -> None:
    def body(rig: bare.Rig) -> None:
        invented = [order for order in _orders(rig) if order.tags == ["RECONCILIATION"]]
        assert len(invented) >= 1

    report = bare.venue_report("V-1", OrderStatus.FILLED, filled="0.010")
    fills = [bare.fill_report("V-1", "t1", "0.010"), bare.fill_report("V-1", "t1", "0.010")]
    _start({"mass_status": _status([report], fills, [bare.position_report("0.010")])}, body)


def test_fills_without_their_order_are_dropped_and_the_position_invents_an_order() -> None:
    def body(rig: bare.Rig) -> None:
        (order,) = _orders(rig)
        assert order.tags == ["RECONCILIATION"]

    fills = [bare.fill_report("V-1", "t1", "0.010")]
    _start({"mass_status": _status([], fills, [bare.position_report("0.010")])}, body)


# -- the silent order ----------------------------------------------------------------------------------------

FAST = {
    "inflight_check_interval_ms": 20,
    "inflight_check_threshold_ms": 40,
    "inflight_check_retries": 2,
    "reconciliation_startup_delay_secs": 0.0,
}


def test_resolve_locally_rejects_a_silent_order_and_refuses_its_late_fill_for_ever() -> None:
    rig = bare.build({"V": {"submit": bare.submitted_only}}, engine=bare.engine_config(**FAST))

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderRejected" in rig.recorder.kinds(), "the invented rejection")
        client = rig.execution["V"]
        fill = bare.fill_report(
            f"V-{order.client_order_id}", "t1", "0.010", client_order_id=order.client_order_id
        )
        client._handle_report(bare.order_report(order, OrderStatus.FILLED, filled="0.010"), [fill])
        rig.recorder.buy()
        await rig.until(lambda: rig.recorder.kinds().count("OrderSubmitted") == 2, "a later event")
        assert "OrderFilled" not in rig.recorder.kinds()
        assert _net(rig) == 0.0

    bare.run(rig, body)


RETAIN = SubmissionRecoveryPolicy.RETAIN_UNRESOLVED


def test_retain_unresolved_keeps_it_submitted_and_takes_the_late_fill() -> None:
    engine = bare.engine_config(**FAST, submission_recovery_policy=RETAIN)
    rig = bare.build({"V": {"submit": bare.submitted_only}}, engine=engine)

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        client = rig.execution["V"]
        await rig.until(lambda: client.seen("query_order"), "the query")
        # One query fewer than `inflight_check_retries`, then never again (looked at over five checks).
        await asyncio.sleep(0.1)
        assert len(client.seen("query_order")) == FAST["inflight_check_retries"] - 1
        assert rig.order(order).status == OrderStatus.SUBMITTED
        fill = bare.fill_report(
            f"V-{order.client_order_id}", "t1", "0.010", client_order_id=order.client_order_id
        )
        client._handle_report(bare.order_report(order, OrderStatus.FILLED, filled="0.010"), [fill])
        await rig.until(lambda: rig.order(order).status == OrderStatus.FILLED, "the late fill")
        assert _net(rig) == pytest.approx(0.01)

    bare.run(rig, body)


def test_retain_unresolved_makes_a_stop_with_such_an_order_raise() -> None:
    engine = bare.engine_config(submission_recovery_policy=RETAIN)
    rig = bare.build({"V": {"submit": bare.submitted_only}}, engine=engine)

    async def body(rig: bare.Rig) -> None:
        rig.recorder.buy()
        await rig.until(lambda: "OrderSubmitted" in rig.recorder.kinds(), "submitted")

    with pytest.raises(RuntimeError) as raised:
        bare.run(rig, body)
    assert "unresolved" in str(raised.value).lower()


# -- the running checks --------------------------------------------------------------------------------------

OPEN_CHECK = {
    "open_check_interval_secs": 0.03,
    "open_check_threshold_ms": 0,
    "open_check_missing_retries": 1,
    "reconciliation_startup_delay_secs": 0.0,
}


def test_the_open_check_leaves_missing_orders_alone_in_open_only_mode() -> None:
    rig = bare.build(engine=bare.engine_config(**OPEN_CHECK, open_check_open_only=True))

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "accepted")
        await rig.until(lambda: len(client.seen("order_reports")) >= 6, "several checks")
        assert client.seen("order_reports")[-1].open_only
        assert rig.order(order).status == OrderStatus.ACCEPTED
        assert not client.seen("order_report")

    bare.run(rig, body)


def test_the_open_check_over_all_orders_rejects_a_missing_order() -> None:
    rig = bare.build(engine=bare.engine_config(**OPEN_CHECK, open_check_open_only=False))

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        order = rig.recorder.buy()
        await rig.until(lambda: rig.order(order).status == OrderStatus.REJECTED, "the invented rejection")
        assert rig.recorder.seen[-1].reason == "NOT_FOUND_AT_VENUE"
        assert client.seen("order_report")

    bare.run(rig, body)


def test_the_position_check_invents_an_order_for_a_difference() -> None:
    held: list[Any] = []
    script = {"position_reports": lambda _client, _command: list(held)}
    engine = bare.engine_config(
        position_check_interval_secs=0.03,
        position_check_threshold_ms=0,
        reconciliation_startup_delay_secs=0.0,
    )
    rig = bare.build({"V": script}, engine=engine)

    async def body(rig: bare.Rig) -> None:
        held.append(bare.position_report("0.020"))
        await rig.until(lambda: _net(rig) != 0, "the invented position")
        (order,) = _orders(rig)
        assert order.tags == ["RECONCILIATION"]
        # Before it invents anything it asks for the fills of the instrument: answer completely.
        assert rig.execution["V"].seen("fill_reports")[-1].instrument_id == bare.instrument_id()

    bare.run(rig, body)


def test_a_live_position_report_changes_nothing() -> None:
    # So far: if a release candidate starts to act on it, one that overtakes its fill would invent an order.
    async def body(rig: bare.Rig) -> None:
        rig.execution["V"]._handle_report(bare.position_report("0.020"))
        rig.recorder.buy()
        await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "a later event")
        assert _net(rig) == 0
        assert len(_orders(rig)) == 1

    bare.run(bare.build(), body)
