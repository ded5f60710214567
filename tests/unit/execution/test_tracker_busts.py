"""Fills that the venue takes back: void where they were delivered, never delivered where they were not.

What the engine does with a void was measured on real orders: what was taken back works no more, so that an
order that was whole with it is VOIDED, which is closed; another works on; a cancelled one stays cancelled.
"""

from __future__ import annotations

from nautilus_trader.model import OrderSide, OrderStatus
from tracker_bench import Bench

from venuekit.interfaces.records import Source, WireIds


def test_a_bust_is_told_once_and_the_fill_stays_out() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.500", at=1)
    bench.bust("t1", at=2)
    bench.bust("t1", at=2, source=Source.PAGE)
    bench.fill("t1", "0.500", at=1)
    assert bench.events()[2:] == ["filled 0.500@100.0 t1", "voided t1"]
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (OrderStatus.ACCEPTED, "0.000")
    assert bench.tracker.get("O-1").told == OrderStatus.ACCEPTED
    assert bench.engine.alarms == []


def test_an_order_that_was_filled_is_void_and_asks_for_nothing() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.fill("t2", "0.600", at=2)
    bench.see(OrderStatus.FILLED, filled="1.000", at=2)
    bench.bust("t2", at=3)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (OrderStatus.VOIDED, "0.400")
    # The venue does not reopen the order, and may go on saying that it is filled.
    bench.see(OrderStatus.FILLED, filled="1.000", at=4)
    bench.wait(60)
    assert (bench.fetches, bench.look_ups, bench.engine.alarms) == ([], [], [])
    assert bench.events()[-1] == "voided t2"


def test_what_is_left_of_an_order_fills_after_a_bust_and_ends() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.400", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "0.600", at=3)
    bench.see(OrderStatus.FILLED, filled="1.000", at=3)
    # 0.4 of it was taken back and nothing of it works any more: closed with what it has.
    assert bench.events()[2:] == ["filled 0.400@100.0 t1", "voided t1", "filled 0.600@100.0 t2"]
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (OrderStatus.VOIDED, "0.600")
    assert bench.tracker.get("O-1").told == OrderStatus.VOIDED
    bench.wait(60)
    assert (bench.fetches, bench.engine.alarms) == ([], [])


def test_a_bust_before_its_fill_is_an_alarm_and_keeps_the_fill_out() -> None:
    bench = Bench()
    bench.order()
    bench.see(OrderStatus.ACCEPTED, at=1)
    bench.bust("t9", at=2)
    assert [kind for kind, _ in bench.engine.alarms] == ["void_without_order"]
    bench.fill("t9", "0.100", at=1)
    bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.100", at=3)
    bench.wait(60)
    assert bench.events()[-1] == "accepted", "never delivered"
    assert bench.fetches == [], "and never missed: the order's claim of it does not count"


def test_an_order_whose_only_fill_was_taken_back_before_it_came_ends() -> None:
    bench = Bench()
    bench.order()
    bench.see(OrderStatus.ACCEPTED, at=1)
    bench.see(OrderStatus.FILLED, filled="1.000", at=2)
    bench.bust("t9", at=3)
    bench.fill("t9", "1.000", at=2, source=Source.PAGE)
    assert bench.events()[1:] == ["accepted", "canceled"]


def test_an_order_whose_only_fill_was_taken_back_and_never_shown_ends_too() -> None:
    bench = Bench()
    bench.order()
    bench.see(OrderStatus.FILLED, filled="1.000", at=2)
    bench.bust("t9", at=3)
    bench.wait(60)
    assert bench.events()[1:] == ["accepted", "canceled"]
    assert [kind for kind, _ in bench.engine.alarms] == ["void_without_order", "fills_missing"]


def test_a_cancelled_order_stays_cancelled_without_its_fill() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.see(OrderStatus.CANCELED, filled="0.400", at=2)
    bench.bust("t1", at=3)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (OrderStatus.CANCELED, "0.000")
    assert bench.tracker.get("O-1").told == OrderStatus.CANCELED


def test_a_late_fill_does_not_complete_an_order_that_lost_one() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.see(OrderStatus.CANCELED, filled="0.400", at=2)
    bench.bust("t1", at=3)
    bench.fill("t2", "0.600", at=2)
    order = bench.engine.orders["O-1"]
    assert str(order.filled_qty) == "0.600"
    assert (order.is_closed, bench.tracker.get("O-1").told) == (True, OrderStatus.CANCELED)


def test_a_bust_of_a_fill_that_waits_leaves_nothing_to_deliver() -> None:
    bench = Bench()
    bench.order()
    bench.see(OrderStatus.ACCEPTED, at=1)
    bench.fill("t1", "0.400", at=2, fee=None)
    bench.bust("t1", at=3)
    bench.fill("t1", "0.400", at=2)
    bench.wait(60)
    assert bench.events() == ["submitted", "accepted"]
    assert bench.engine.alarms == []


def test_an_order_of_somebody_else_is_voided_under_the_name_that_the_engine_has() -> None:
    bench = Bench()
    ids = WireIds(venue_order_id="V7")
    facts = {"side": OrderSide.BUY, "quantity": "1.000", "price": "100.0"}
    bench.see(OrderStatus.ACCEPTED, ids=ids, at=1, **facts)
    bench.fill("t1", "0.400", ids=ids, at=2)
    bench.bust("t1", at=3)
    (order,) = bench.engine.external.values()
    assert (order.client_order_id.value, str(order.filled_qty)) == ("HV-V7", "0.000")


def test_a_void_moves_the_position_unless_the_baseline_came_after_it() -> None:
    bench = Bench()
    bench.order()
    bench.positions.apply_snapshot([bench.position("0.000", at=0)])
    bench.fill("t1", "0.500", at=1)
    assert bench.positions.explains(bench.position("0.500", at=1))
    bench.bust("t1", at=2)
    assert bench.positions.explains(bench.position("0.000", at=2))
    late = Bench()
    late.order()
    late.fill("t1", "0.500", at=1)
    late.positions.apply_snapshot([late.position("0.000", at=5)])
    late.bust("t1", at=2)
    assert late.positions.explains(late.position("0.000", at=5)), "the baseline knew of the bust"


def test_a_bust_is_in_the_journal_so_that_a_later_run_knows_it() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.500", at=1)
    bench.bust("t1", at=2)
    later = Bench()
    for trade_key, ts_event in bench.journal.delivered_fills():
        later.tracker.fills.applied(trade_key, ts_event)
    later.bust("t1", at=2)
    assert later.engine.alarms == []
