"""The judge of the demo: it must see each kind of lie, and nothing where both sides agree."""

from decimal import Decimal as D  # noqa: N817  every second line is a number

import pytest
from attrs import evolve

from venuekit.cli.audit import Account, Execution, OrderView, compare, read_ledger

FILL = Execution("T1", "O-1", "BTC", "BUY", D("0.5"), D("100.1"), D("0.015"), "USDC", "MAKER")
TRUTH = Account(
    fills=(FILL,),
    orders=(OrderView("O-1", open=False, filled=D("0.5")), OrderView("O-2", open=True, filled=D(0))),
    positions={"BTC": D("0.5")},
    balances={"USDC": D("99999.985")},
)


def test_agreement():
    assert compare(TRUTH, TRUTH).none


def test_numbers_are_compared_by_value_and_not_by_text():
    belief = evolve(TRUTH, fills=(evolve(FILL, quantity=D("0.500")),), positions={"BTC": D("0.50")})
    assert compare(TRUTH, belief).none


def test_a_lost_fill():
    found = compare(TRUTH, evolve(TRUTH, fills=()))
    assert found.lost_fills == ("T1",)
    assert not found.none


@pytest.mark.parametrize("twin", [FILL, evolve(FILL, trade_id="T9")])
def test_a_doubled_fill_under_its_own_or_another_id(twin):
    found = compare(TRUTH, evolve(TRUTH, fills=(FILL, twin)))
    assert found.duplicate_fills == (twin.trade_id,)
    assert found.lost_fills == ()


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": D("0.4")},
        {"price": D("100.2")},
        {"fee": D("0.016")},
        {"fee_currency": "USD"},
        {"liquidity": "TAKER"},
        {"side": "SELL"},
        {"client_order_id": "O-2"},
        {"market": "ETH"},
    ],
)
def test_an_altered_fill(change):
    found = compare(TRUTH, evolve(TRUTH, fills=(evolve(FILL, **change),)))
    assert found.altered_fills == ("T1",)
    assert found.lost_fills == found.duplicate_fills == ()


@pytest.mark.parametrize(
    "orders",
    [
        TRUTH.orders[:1],
        (TRUTH.orders[0], evolve(TRUTH.orders[1], open=False)),
        (evolve(TRUTH.orders[0], filled=D("0.4")), TRUTH.orders[1]),
        (TRUTH.orders[0], evolve(TRUTH.orders[1], resolved=False)),
        (*TRUTH.orders, OrderView("O-3", open=True, filled=D(0))),
        (*TRUTH.orders, OrderView("O-3", open=False, filled=D(1))),
    ],
)
def test_orders_of_unknown_fate(orders):
    found = compare(TRUTH, evolve(TRUTH, orders=orders))
    assert len(found.unknown_orders) == 1
    assert not found.none


def test_an_order_that_ended_before_the_wire_is_known():
    assert compare(TRUTH, evolve(TRUTH, orders=(*TRUTH.orders, OrderView("O-3", False, D(0))))).none


def test_positions_and_balances():
    found = compare(TRUTH, evolve(TRUTH, positions={}, balances={"USDC": D(100000)}))
    assert found.positions == {"BTC": (D("0.5"), D(0))}
    assert found.balances == {"USDC": (D("99999.985"), D(100000))}


def test_a_ledger_is_read_for_one_account_without_what_was_taken_back():
    fill = {
        "id": "T1",
        "order_id": "V1",
        "client_id": "O-1",
        "account": "A",
        "market": "BTC",
        "side": "BUY",
        "quantity": "0.5",
        "price": "100.1",
        "fee": "0.015",
        "fee_currency": "USDC",
        "liquidity": "MAKER",
        "busted": False,
    }
    rows = {
        "fills": [fill, {**fill, "id": "T2", "account": "B"}, {**fill, "id": "T3", "busted": True}],
        "orders": [
            # What was taken back stays in the order's own figure.
            {"account": "A", "id": "V1", "client_id": "O-1", "status": "FILLED", "filled": "1.0"},
            {"account": "A", "id": "V2", "client_id": "O-2", "status": "OPEN", "filled": "0"},
        ],
        "positions": [
            {"account": "A", "market": "BTC", "quantity": "0.5"},
            {"account": "A", "market": "ETH", "quantity": "0"},
        ],
        "balances": [{"account": "A", "currency": "USDC", "total": "99999.985"}],
    }
    assert read_ledger(rows, "A") == TRUTH
