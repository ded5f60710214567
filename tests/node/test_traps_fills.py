"""Fills and ids: what the engine does with repeats, gaps and collisions, shown on bare Nautilus."""

from __future__ import annotations

from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.core import UUID4
from nautilus_trader.model import OrderFilled, OrderFillVoided, OrderStatus, VenueOrderId


def _fill(order: Any, trade_id: str, quantity: str) -> Any:
    return bare.fill_report(
        f"V-{order.client_order_id}", trade_id, quantity, client_order_id=order.client_order_id
    )


def _run(body: Any, scripts: dict[str, Any] | None = None) -> None:
    bare.run(bare.build(scripts), body)


async def _accepted(rig: bare.Rig) -> Any:
    order = rig.recorder.buy()
    await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "accepted")
    return order


async def _barrier(rig: bare.Rig) -> None:
    """Returns when everything handed to the engine before has been applied."""
    before = rig.recorder.kinds().count("OrderAccepted")
    rig.recorder.buy()
    await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == before + 1, "the barrier order")


def test_a_repeated_trade_id_is_dropped_live() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        report = bare.order_report(order, OrderStatus.PARTIALLY_FILLED, filled="0.004")
        for _ in range(2):
            client._handle_report(report, [_fill(order, "t1", "0.004")])
        await _barrier(rig)
        assert rig.recorder.kinds().count("OrderFilled") == 1
        assert str(rig.order(order).filled_qty) == "0.004"

    _run(body)


def test_an_overfill_is_dropped() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        client._handle_report(_fill(order, "t1", "0.015"))
        await _barrier(rig)
        assert "OrderFilled" not in rig.recorder.kinds()

    _run(body)


def test_filled_without_its_fills_is_inferred_and_the_real_fill_is_lost() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        client._handle_report(bare.order_report(order, OrderStatus.FILLED, filled="0.010"))
        await rig.until(lambda: "OrderFilled" in rig.recorder.kinds(), "the inferred fill")
        client._handle_report(_fill(order, "real", "0.010"))
        await _barrier(rig)
        fills = [event for event in rig.recorder.seen if type(event).__name__ == "OrderFilled"]
        assert len(fills) == 1
        assert fills[0].trade_id.value != "real"
        assert fills[0].commission is None or float(fills[0].commission) != 0.01

    _run(body)


def test_a_report_with_its_fills_keeps_trade_id_and_commission() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        fills = [_fill(order, "t1", "0.004"), _fill(order, "t2", "0.006")]
        client._handle_report(bare.order_report(order, OrderStatus.FILLED, filled="0.010"), fills)
        await rig.until(lambda: rig.order(order).status == OrderStatus.FILLED, "filled")
        assert [one.value for one in rig.order(order).trade_ids] == ["t1", "t2"]
        events = [event for event in rig.recorder.seen if type(event).__name__ == "OrderFilled"]
        assert [str(event.commission) for event in events] == ["0.01 USD", "0.01 USD"]

    _run(body)


def test_a_fill_before_the_accept_is_taken_and_the_accept_moves_back() -> None:
    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderSubmitted" in rig.recorder.kinds(), "submitted")
        client = rig.execution["V"]
        live = rig.order(order)
        venue_id = bare.venue_order_id_of(order)
        client.generate_order_filled(
            live,
            venue_id,
            None,
            bare.TradeId("t1"),
            bare.Quantity.from_str("0.004"),
            bare.Price.from_str("100.0"),
            bare.USD,
            None,
            bare.LiquiditySide.MAKER,
            1,
        )
        await rig.until(lambda: rig.order(order).status == OrderStatus.PARTIALLY_FILLED, "the fill")
        client.generate_order_accepted(live, venue_id, 2)
        await rig.until(lambda: rig.order(order).status == OrderStatus.ACCEPTED, "moved back")
        client.generate_order_accepted(live, venue_id, 3)
        rig.recorder.buy()
        await rig.until(lambda: rig.recorder.kinds().count("OrderSubmitted") == 2, "a later event")
        assert rig.recorder.kinds().count("OrderAccepted") == 1

    _run(body, {"V": {"submit": bare.submitted_only}})


def test_repeated_and_late_reports_make_no_extra_event() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        client._handle_report(bare.order_report(order, OrderStatus.CANCELED))
        await rig.until(lambda: rig.order(order).status == OrderStatus.CANCELED, "cancelled")
        seen = len(rig.recorder.seen)
        client._handle_report(bare.order_report(order, OrderStatus.CANCELED))
        client._handle_report(bare.order_report(order, OrderStatus.ACCEPTED))
        await _barrier(rig)
        late = [event for event in rig.recorder.seen[seen:] if event.client_order_id == order.client_order_id]
        assert late == []

    _run(body)


@pytest.mark.parametrize("last", [OrderStatus.CANCELED, OrderStatus.FILLED])
def test_late_fills_of_a_cancelled_order_are_taken_and_the_last_one_fills_it(last: OrderStatus) -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        client._handle_report(bare.order_report(order, OrderStatus.CANCELED))
        await rig.until(lambda: rig.order(order).status == OrderStatus.CANCELED, "cancelled")
        part = bare.order_report(order, OrderStatus.CANCELED, filled="0.004")
        client._handle_report(part, [_fill(order, "t1", "0.004")])
        await rig.until(lambda: str(rig.order(order).filled_qty) == "0.004", "the first late fill")
        assert rig.order(order).status == OrderStatus.CANCELED
        whole = bare.order_report(order, last, filled="0.010")
        client._handle_report(whole, [_fill(order, "t2", "0.006")])
        await rig.until(lambda: str(rig.order(order).filled_qty) == "0.010", "the last late fill")
        await _barrier(rig)
        assert rig.order(order).status == OrderStatus.FILLED
        assert [one.value for one in rig.order(order).trade_ids] == ["t1", "t2"]

    _run(body)


def _void(order: Any, trade_id: str) -> OrderFillVoided:
    fills = [one for one in order.events() if isinstance(one, OrderFilled)]
    (fill,) = (one for one in fills if one.trade_id.value == trade_id)
    return OrderFillVoided(
        trader_id=fill.trader_id,
        strategy_id=fill.strategy_id,
        instrument_id=fill.instrument_id,
        client_order_id=fill.client_order_id,
        venue_order_id=fill.venue_order_id,
        account_id=fill.account_id,
        correction_id=f"VOID-{trade_id}",
        trade_id=fill.trade_id,
        voided_qty=fill.last_qty,
        order_side=fill.order_side,
        order_type=fill.order_type,
        last_px=fill.last_px,
        currency=fill.currency,
        liquidity_side=fill.liquidity_side,
        event_id=UUID4(),
        ts_event=2,
        ts_init=2,
        reconciliation=False,
        commission_voided=fill.commission,
        position_id=fill.position_id,
        reason="planted",
    )


@pytest.mark.parametrize(
    "status", [OrderStatus.PARTIALLY_FILLED, OrderStatus.VOIDED, OrderStatus.FILLED], ids=str
)
def test_a_void_order_takes_no_fill_and_an_order_of_another_name_does(status: OrderStatus) -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)
        client = rig.execution["V"]
        whole = bare.order_report(order, OrderStatus.FILLED, filled="0.010")
        client._handle_report(whole, [_fill(order, "t1", "0.010")])
        assert rig.order(order).filled_qty.raw == 0, "reports are taken up in a later turn"
        await rig.until(lambda: rig.order(order).status == OrderStatus.FILLED, "filled")
        client._handle_event(_void(rig.order(order), "t1"))
        await rig.until(lambda: rig.order(order).status == OrderStatus.VOIDED, "void")
        filled = "0.010" if status == OrderStatus.FILLED else "0.004"
        client._handle_report(bare.order_report(order, status, filled=filled), [_fill(order, "t2", filled)])
        await _barrier(rig)
        assert (rig.order(order).status, rig.order(order).filled_qty.raw) == (OrderStatus.VOIDED, 0)
        assert not rig.cache.positions_open()
        again = bare.venue_report("trade-t2", OrderStatus.FILLED, filled="0.010")
        client._handle_report(again, [bare.fill_report("trade-t2", "t2", "0.010")])
        await rig.until(rig.cache.positions_open, "the position")

    _run(body)


def test_a_late_fill_makes_a_cancelled_order_void_that_lost_a_fill_before() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _accepted(rig)

        async def told(status: OrderStatus, filled: str, *fills: Any) -> tuple[Any, str]:
            rig.execution["V"]._handle_report(bare.order_report(order, status, filled=filled), list(fills))
            await _barrier(rig)
            return rig.order(order).status, str(rig.order(order).filled_qty)

        part = OrderStatus.PARTIALLY_FILLED
        await told(part, "0.004", _fill(order, "t1", "0.004"))
        await told(part, "0.009", _fill(order, "t2", "0.005"))
        rig.execution["V"]._handle_event(_void(rig.order(order), "t2"))
        assert await told(OrderStatus.CANCELED, "0.004") == (OrderStatus.CANCELED, "0.004")
        assert await told(part, "0.005", _fill(order, "t3", "0.001")) == (OrderStatus.VOIDED, "0.005")
        assert await told(part, "0.007", _fill(order, "t4", "0.002")) == (OrderStatus.VOIDED, "0.005")
        assert [str(one.quantity) for one in rig.cache.positions_open()] == ["0.005"]

    _run(body)


def test_venue_order_ids_are_one_namespace_over_all_venues() -> None:
    # Two venues that number their orders from 1: the second order hangs in SUBMITTED.
    def one(client: bare.BareExecution, command: Any) -> None:
        client.generate_order_submitted(command.order)
        client.generate_order_accepted(command.order, VenueOrderId("1"), client.clock.timestamp_ns())

    async def body(rig: bare.Rig) -> None:
        first = await _accepted(rig)
        second = rig.recorder.order_factory.limit(
            bare.instrument_id("W"),
            bare.OrderSide.BUY,
            bare.Quantity.from_str("0.010"),
            bare.Price.from_str("100.0"),
        )
        rig.recorder.submit_order(second)
        await rig.until(lambda: rig.recorder.kinds().count("OrderSubmitted") == 2, "both submitted")
        rig.recorder.query_account(rig.execution["W"].account_id)
        await rig.until(lambda: rig.execution["W"].seen("query_account"), "a later command")
        assert rig.order(first).status == OrderStatus.ACCEPTED
        assert rig.order(second).status == OrderStatus.SUBMITTED

    _run(body, {"V": {"submit": one}, "W": {"submit": one}})


def test_trade_ids_are_compared_within_one_order_only() -> None:
    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        orders = [rig.recorder.buy(), rig.recorder.buy()]
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 2, "both accepted")
        for order in orders:
            report = bare.order_report(order, OrderStatus.FILLED, filled="0.010")
            client._handle_report(report, [_fill(order, "same", "0.010")])
        await rig.until(lambda: rig.recorder.kinds().count("OrderFilled") == 2, "both filled")

    _run(body)
