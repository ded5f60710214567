"""Traps in Nautilus's value types and order objects, shown without a node."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from bare_node import instrument_id
from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    AccountId,
    BookAction,
    BookOrder,
    ClientOrderId,
    Currency,
    LimitOrder,
    LiquiditySide,
    Money,
    OrderAccepted,
    OrderBookDelta,
    OrderBookDeltas,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSide,
    OrderSubmitted,
    OrderType,
    OrderUpdated,
    Price,
    Quantity,
    QuoteTick,
    StrategyId,
    TimeInForce,
    TradeId,
    TraderId,
    VenueOrderId,
)

USD = Currency.from_str("USD")
IID = instrument_id()


# -- exactness -----------------------------------------------------------------------------------------------


def test_from_mantissa_exponent_rounds_half_to_even_without_a_word() -> None:
    assert str(Quantity.from_mantissa_exponent(50_000, -8, 3)) == "0.000"
    assert str(Quantity.from_mantissa_exponent(150_000, -8, 3)) == "0.002"
    assert str(Price.from_mantissa_exponent(12_345_678, -8, 4)) == "0.1235"


def test_from_mantissa_exponent_takes_the_smallest_int64_as_a_number() -> None:
    # -2**63 is the null of SBE's int64: a decoder has to look before it converts.
    assert str(Price.from_mantissa_exponent(-(2**63), -8, 8)) == "-92233720368.54775808"


def test_prices_of_a_quote_must_have_one_precision() -> None:
    size = Quantity.from_str("1")
    with pytest.raises(ValueError, match="precision"):
        QuoteTick(IID, Price.from_str("0.5"), Price.from_str("1.234"), size, size, 0, 0)
    with pytest.raises(ValueError, match="precision"):
        QuoteTick(IID, Price.from_str("0.5"), Price.from_str("0.6"), size, Quantity.from_str("1.5"), 0, 0)


@pytest.mark.parametrize("text", ["1e3", "+1", "1_000"])
def test_from_str_takes_forms_no_venue_should_send(text: str) -> None:
    assert Price.from_str(text) is not None


@pytest.mark.parametrize("text", [" 1", "1 ", "NaN", "nan", "inf", "", "0." + "1" * 19])
def test_from_str_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        Price.from_str(text)


# -- books ---------------------------------------------------------------------------------------------------


def _delta(action: BookAction, size: Quantity) -> OrderBookDelta:
    order = BookOrder(OrderSide.BUY, Price.from_str("1.0"), size, 0)
    return OrderBookDelta(IID, action, order, 0, 1, 0, 0)


@pytest.mark.parametrize("action", [BookAction.ADD, BookAction.UPDATE])
def test_a_level_of_size_zero_is_refused(action: BookAction) -> None:
    with pytest.raises(ValueError):
        _delta(action, Quantity.from_str("0.000"))
    with pytest.raises(ValueError):
        _delta(action, Quantity.from_mantissa_exponent(40_000, -8, 3))


def test_deleting_with_size_zero_is_fine() -> None:
    assert _delta(BookAction.DELETE, Quantity.from_str("0.000")).action == BookAction.DELETE


def test_deltas_without_a_delta_are_refused() -> None:
    with pytest.raises(ValueError):
        OrderBookDeltas(IID, [])


# -- the order object ----------------------------------------------------------------------------------------

TRADER, STRATEGY, CLIENT = TraderId("T-001"), StrategyId("S-001"), ClientOrderId("O-1")
ACCOUNT, VENUE_ID = AccountId("V-001"), VenueOrderId("V-1")


def _event_id() -> UUID4:
    return UUID4()


def _order() -> LimitOrder:
    return LimitOrder(
        TRADER,
        STRATEGY,
        IID,
        CLIENT,
        OrderSide.BUY,
        Quantity.from_str("0.010"),
        Price.from_str("100.0"),
        TimeInForce.GTC,
        False,
        False,
        False,
        _event_id(),
        0,
    )


def _submitted() -> OrderSubmitted:
    return OrderSubmitted(TRADER, STRATEGY, IID, CLIENT, ACCOUNT, _event_id(), 0, 0)


def _accepted(client: ClientOrderId = CLIENT) -> OrderAccepted:
    return OrderAccepted(TRADER, STRATEGY, IID, client, VENUE_ID, ACCOUNT, _event_id(), 0, 0, False)


def _rejected() -> OrderRejected:
    return OrderRejected(TRADER, STRATEGY, IID, CLIENT, ACCOUNT, "no", _event_id(), 0, 0, False)


def _canceled() -> OrderCanceled:
    return OrderCanceled(TRADER, STRATEGY, IID, CLIENT, _event_id(), 0, 0, False, VENUE_ID, ACCOUNT)


def _expired() -> OrderExpired:
    return OrderExpired(TRADER, STRATEGY, IID, CLIENT, _event_id(), 0, 0, False, VENUE_ID, ACCOUNT)


def _filled(trade: str, quantity: str) -> OrderFilled:
    return OrderFilled(
        TRADER,
        STRATEGY,
        IID,
        CLIENT,
        VENUE_ID,
        ACCOUNT,
        TradeId(trade),
        OrderSide.BUY,
        OrderType.LIMIT,
        Quantity.from_str(quantity),
        Price.from_str("100.0"),
        USD,
        LiquiditySide.MAKER,
        _event_id(),
        0,
        0,
        False,
        None,
        Money(0, USD),
    )


def _after(*events: Any) -> LimitOrder:
    order = _order()
    for event in events:
        order.apply(event)
    return order


def _part() -> OrderFilled:
    return _filled("t", "0.004")


RAISES = {
    "duplicate trade id": ([_submitted, _accepted, _part], _part),
    "second accept": ([_submitted, _accepted], _accepted),
    "second cancel": ([_submitted, _accepted, _canceled], _canceled),
    "cancel after fill": ([_submitted, _accepted, lambda: _filled("t", "0.010")], _canceled),
    "fill after reject": ([_submitted, _rejected], lambda: _filled("t", "0.010")),
    "foreign client id": ([_submitted], lambda: _accepted(ClientOrderId("O-2"))),
    "expired from submitted": ([_submitted], _expired),
}


@pytest.mark.parametrize("case", RAISES)
def test_apply_refuses(case: str) -> None:
    before, last = RAISES[case]
    order = _after(*(make() for make in before))
    with pytest.raises(RuntimeError):
        order.apply(last())


TAKEN = {
    "fill before accept": ([_submitted, _part], "PARTIALLY_FILLED", "0.004"),
    "accept after a partial fill moves back": (
        [_submitted, _part, _accepted],
        "ACCEPTED",
        "0.004",
    ),
    "accept without submit": ([_accepted], "ACCEPTED", "0.000"),
    "reject after accept": ([_submitted, _accepted, _rejected], "REJECTED", "0.000"),
    "cancel from submitted": ([_submitted, _canceled], "CANCELED", "0.000"),
    "fill after cancel": ([_submitted, _accepted, _canceled, _part], "CANCELED", "0.004"),
    "overfill": ([_submitted, _accepted, lambda: _filled("t", "0.015")], "FILLED", "0.015"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_apply_takes_without_complaint(case: str) -> None:
    events, status, filled = TAKEN[case]
    order = _after(*(make() for make in events))
    assert (order.status.name, str(order.filled_qty)) == (status, filled)


def test_an_update_may_change_the_venue_order_id() -> None:
    updated = OrderUpdated(
        TRADER,
        STRATEGY,
        IID,
        CLIENT,
        Quantity.from_str("0.020"),
        _event_id(),
        0,
        0,
        False,
        VenueOrderId("V-2"),
        ACCOUNT,
        Price.from_str("101.0"),
    )
    order = _after(_submitted(), _accepted(), updated)
    assert (order.venue_order_id.value, str(order.quantity)) == ("V-2", "0.020")


def test_event_ids_must_be_version_4_shaped() -> None:
    zeros = str(UUID(int=0))
    with pytest.raises(ValueError):
        UUID4.from_str(zeros)
    assert str(UUID4.from_str("00000000-0000-4000-8000-000000000000")).startswith("00000000")
