"""Fills that the venue takes back: void where they were delivered, never delivered where they were not.

What the engine does with a void was measured on real orders: what was taken back works no more, so that an
order that was whole with it is VOIDED, which is closed; another works on; a cancelled one stays cancelled.
"""

from __future__ import annotations

from itertools import permutations

import pytest
from nautilus_trader.model import OrderSide, OrderStatus
from tracker_bench import Bench

from venuekit.core.busts import without
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.records import FillKind, Source, WireIds


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


def test_a_bust_before_the_mass_status_is_of_no_fill_that_the_engine_has() -> None:
    """An earlier run told it; this one starts without, and its mass status is to come."""
    bench = Bench()
    bench.tracker.hold_until_ns = bench.now.mono_ns + 120 * 10**9
    bench.bust("t8", at=2)
    assert bench.engine.alarms == []
    bench.tracker.hold_until_ns = None
    bench.bust("t9", at=2)
    assert [kind for kind, _ in bench.engine.alarms] == ["void_without_order"]
    bench.fill("t8", "0.100", at=1)
    bench.wait(60)
    assert bench.events() == []


def test_a_mass_status_that_never_comes_hides_no_bust_for_ever() -> None:
    """A client that connects again announces one, and the engine asks for it at its start alone."""
    bench = Bench()
    bench.tracker.hold_until_ns = bench.now.mono_ns + 120 * 10**9
    bench.wait(120)
    bench.bust("t9", at=2)
    assert [kind for kind, _ in bench.engine.alarms] == ["void_without_order"]


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


# What records say after a bust. One venue goes on counting what it took back (`keeps`), another does not
# (`drops`). Rows: the first fill and its bust, what later fills make, the records, and what is missing then.

PART, CANCELED, FILLED = OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELED, OrderStatus.FILLED

LATER = {
    "keeps, nothing missing": ("0.400", [("t2", "0.300")], [(CANCELED, "0.700")], "0"),
    "keeps, one missing": ("0.400", [("t2", "0.300")], [(CANCELED, "0.800")], "0.100"),
    "drops, nothing missing": ("0.400", [("t2", "0.300")], [(CANCELED, "0.300")], "0"),
    "drops, the only one missing": ("0.400", [], [(CANCELED, "0.300")], "0.300"),
    "drops, one of two missing": ("0.400", [("t2", "0.100")], [(CANCELED, "0.300")], "0.200"),
    "drops, seen before more was filled": ("0.400", [], [(PART, "0.000"), (CANCELED, "0.500")], "0.500"),
    "drops, seen by a fill of before": ("0.400", [("t2", "0.500")], [(CANCELED, "0.800")], "0.300"),
    "drops, whole again": ("0.400", [("t2", "0.600")], [(PART, "0.600"), (FILLED, "1.000")], "0.400"),
}


@pytest.mark.parametrize(("first", "later", "records", "missing"), LATER.values(), ids=LATER)
def test_a_missing_fill_is_asked_for_after_a_bust_whatever_records_go_on_counting(
    first: str, later: list[tuple[str, str]], records: list[tuple[OrderStatus, str]], missing: str
) -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", first, at=1)
    bench.bust("t1", at=2)
    for n, (key, quantity) in enumerate(later):
        bench.fill(key, quantity, at=3 + n)
    for n, (status, filled) in enumerate(records):
        bench.see(status, filled=filled, at=10 + n)
    bench.wait(1)
    order = bench.engine.orders["O-1"]
    if missing == "0":
        assert order.status == CANCELED
        bench.wait(60)
        assert (bench.fetches, bench.engine.alarms) == ([], [])
        return
    assert bench.fetches, "history is asked for it"
    assert order.status != CANCELED, "fills come before ends"
    bench.fill("t9", missing, at=9)
    bench.wait(60)
    assert order.is_closed
    assert bench.fetches == bench.fetches[:1], "and it is asked for no more"
    kinds = {kind for kind, _ in bench.engine.alarms}
    assert "fills_missing" not in kinds


def test_a_record_that_overtakes_its_bust_is_judged_again_when_the_bust_comes() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.see(CANCELED, filled="0.300", at=5)
    bench.bust("t1", at=3)
    bench.wait(1)
    assert bench.fetches
    bench.fill("t2", "0.300", at=4)
    assert str(bench.engine.orders["O-1"].filled_qty) == "0.300"
    bench.wait(60)
    assert bench.engine.alarms == []


def test_an_older_record_says_nothing_of_what_a_bust_dropped() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.bust("t1", at=5)
    bench.see(PART, filled="0.000", at=6)
    bench.see(PART, filled="0.400", at=1)
    bench.see(PART, filled="0.400", at=4, source=Source.PAGE)
    bench.see(PART, filled="0.400", at=5)  # of the millisecond of the bust, and before it
    bench.wait(60)
    assert (bench.fetches, bench.engine.alarms) == ([], [])


def test_a_record_of_before_a_fill_does_not_prove_that_the_bust_was_dropped() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "0.300", at=5)
    bench.see(PART, filled="0.400", at=3)
    bench.see(PART, filled="0.400", at=5)  # of the millisecond of the fill, and before it
    bench.see(CANCELED, filled="0.700", at=10)
    bench.wait(60)
    assert bench.events()[-1] == "canceled"
    assert (bench.fetches, bench.engine.alarms) == ([], [])


def test_a_late_record_of_a_void_order_does_not_say_that_it_works_again() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "0.600", at=5)
    bench.see(PART, filled="0.400", at=3)
    bench.see(PART, filled="1.000", at=5)
    assert bench.engine.orders["O-1"].status == OrderStatus.VOIDED
    assert bench.engine.alarms == []


# A venue that puts back to work what it took back. The engine takes no fill of an order that is VOIDED.


def test_a_fill_of_an_order_that_is_void_is_told_as_an_order_of_its_own() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", at=1)
    bench.bust("t1", at=2)
    assert bench.engine.orders["O-1"].status == OrderStatus.VOIDED
    bench.see(OrderStatus.ACCEPTED, filled="0.000", at=3)
    assert [kind for kind, _ in bench.engine.alarms] == ["void_works"], "nobody sees it in the engine"
    bench.fill("t2", "0.700", "101.0", at=4)
    bench.see(PART, filled="0.700", at=4)
    assert bench.events() == ["submitted", "accepted", "filled 1.000@100.0 t1", "voided t1"]
    (made,) = bench.engine.external.values()
    assert (made.status, str(made.filled_qty), str(made.avg_px)) == (FILLED, "0.700", "101.0")
    assert bench.engine.commissions["t2"].startswith("0.01"), "with its fee"
    assert [kind for kind, _ in bench.engine.alarms] == ["void_works", "fill_after_void"]
    bench.positions.apply_snapshot([bench.position("0.700", at=9)])
    bench.fill("t2", "0.700", "101.0", at=4, source=Source.PAGE)
    bench.see(FILLED, filled="1.000", at=5)
    bench.wait(1)
    assert bench.fetches, "0.3 are missing"
    bench.fill("t3", "0.300", at=5, source=Source.PAGE)
    bench.wait(60)
    assert sorted(str(one.filled_qty) for one in bench.engine.external.values()) == ["0.300", "0.700"]
    assert [kind for kind, _ in bench.engine.alarms] == ["void_works", "fill_after_void", "fill_after_void"]


def test_a_fill_that_was_set_aside_can_be_taken_back_too() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "1.000", at=4)
    bench.bust("t2", at=5)
    (made,) = bench.engine.external.values()
    assert (made.status, str(made.filled_qty)) == (OrderStatus.VOIDED, "0.000")
    bench.wait(60)
    assert bench.fetches == []


def test_a_venue_that_drops_can_fill_again_and_again_what_it_takes_back() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "1.000", at=4)
    bench.bust("t2", at=5)
    bench.see(PART, filled="0.000", at=5)
    bench.see(FILLED, filled="1.000", at=7)
    bench.wait(1)
    assert bench.fetches
    bench.fill("t3", "1.000", at=7, source=Source.PAGE)
    bench.wait(60)
    assert [str(one.filled_qty) for one in bench.engine.external.values()] == ["0.000", "1.000"]
    assert "fills_missing" not in {kind for kind, _ in bench.engine.alarms}


def test_a_fill_that_was_set_aside_and_not_taken_is_offered_again() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", at=1)
    bench.bust("t1", at=2)
    bench.engine.fail_reports = 1
    bench.fill("t2", "1.000", at=4)
    assert bench.engine.external == {}
    bench.wait(60)
    (made,) = bench.engine.external.values()
    assert (made.status, str(made.filled_qty)) == (FILLED, "1.000")


FILLS = (("t2", "0.300", 4), ("t3", "0.500", 5), ("t4", "0.200", 6))


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("fees", [True, False], ids=["one by one", "all at once"])
def test_every_fill_after_a_bust_reaches_the_engine_once_in_any_order(
    order: tuple[int, ...], fees: bool
) -> None:
    # 0.4 of 1.0 is void: the engine's order takes fills up to the one with which 0.6 is reached.
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.bust("t1", at=2)
    rows = [FILLS[n] for n in order]
    if not fees:
        # They wait for their fees while a change is pending, and are told together.
        bench.engine.pending_update(bench.engine.orders["O-1"])
        number = bench.tracker.want_modify("O-1", None, None, None, bench.now)
        bench.tracker.modifying("O-1", number, bench.now)
    for key, quantity, at in rows:
        bench.fill(key, quantity, at=at)
    bench.see(FILLED, filled="1.000", at=6)
    bench.wait(60)
    made = list(bench.engine.external.values())
    own = bench.engine.orders["O-1"]
    total = own.filled_qty.as_decimal() + sum(one.filled_qty.as_decimal() for one in made)
    assert str(total) == "1.000"
    assert own.is_closed
    assert all(one.status == FILLED for one in made)
    assert bench.engine.violations == []
    lines = [line for line in bench.engine.log if " filled " in line]
    assert sorted(line.rsplit(" ", 1)[1] for line in lines) == ["t1", "t2", "t3", "t4"]
    assert {kind for kind, _ in bench.engine.alarms} <= {"fill_after_void"}
    assert len(bench.engine.alarms) == len(made)


@pytest.mark.parametrize("end", [CANCELED, OrderStatus.EXPIRED])
def test_an_order_that_had_ended_before_the_bust_takes_all_its_late_fills_itself(end: OrderStatus) -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.see(end, filled="0.400", at=2)
    bench.bust("t1", at=3)
    bench.fill("t2", "0.600", at=2)
    bench.fill("t3", "0.400", at=2)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (FILLED, "1.000")
    assert bench.tracker.get("O-1").told == FILLED
    assert (bench.engine.external, bench.engine.alarms) == ({}, [])


@pytest.mark.parametrize("end", [CANCELED, OrderStatus.EXPIRED])
@pytest.mark.parametrize("at_once", [True, False])
def test_late_fills_make_an_order_void_that_lost_one_before_its_end(end: OrderStatus, at_once: bool) -> None:
    """0.1 of it is left beside the void: who takes that last fill takes no other, measured on the engine."""
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.fill("t2", "0.500", at=2)
    bench.bust("t2", at=3)
    bench.see(end, filled="0.900", at=6)
    bench.engine.fail_reports = int(at_once)
    bench.fill("t3", "0.100", at=4)
    bench.fill("t4", "0.200", at=5)
    bench.wait(10)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (OrderStatus.VOIDED, "0.500")
    assert bench.tracker.get("O-1").told == OrderStatus.VOIDED
    assert bench.engine.events("HV-trade-t4") == ["accepted", "filled 0.200@100.0 t4"]
    assert [kind for kind, _ in bench.engine.alarms] == ["fill_after_void"]


def test_a_bust_after_the_end_frees_what_an_earlier_one_had_taken() -> None:
    bench = Bench()
    bench.order()
    for number, quantity in enumerate(("0.400", "0.200"), 1):
        bench.fill(f"t{number}", quantity, at=number)
    bench.bust("t1", at=3)
    bench.see(CANCELED, filled="0.600", at=4)
    bench.bust("t2", at=5)
    bench.fill("t3", "0.500", at=4)
    bench.fill("t4", "0.500", at=4)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (FILLED, "1.000")
    assert (bench.engine.external, bench.engine.alarms) == ({}, [])


def test_one_fill_that_is_larger_than_what_is_left_beside_the_void_is_taken_whole() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400", at=1)
    bench.bust("t1", at=2)
    bench.fill("t2", "1.000", at=3)
    order = bench.engine.orders["O-1"]
    assert (order.status, str(order.filled_qty)) == (FILLED, "1.000")
    assert bench.tracker.get("O-1").told == FILLED
    assert (bench.engine.external, bench.engine.alarms) == ({}, [])


# A page that shows what was taken back: the record's claim, the fills that stand, those that were taken back.

PAGES = {
    "keeps": ("1.000", ["0.600"], ["0.400"], False, ("0.600", CANCELED)),
    "keeps, another one missing": ("1.000", ["0.500"], ["0.400"], False, ("0.600", CANCELED)),
    "drops and filled again": ("1.000", ["0.600", "0.400"], ["0.400"], False, ("1.000", FILLED)),
    "drops": ("0.300", ["0.300"], ["0.400"], False, ("0.300", FILLED)),
    "not shown any more": ("1.000", ["0.600"], [], True, ("0.600", CANCELED)),
    "nothing was taken back": ("1.000", ["0.600"], [], False, ("1.000", FILLED)),
}


@pytest.mark.parametrize(("claims", "own", "taken", "unlisted", "left"), PAGES.values(), ids=PAGES)
def test_a_start_reports_what_stands_of_an_order(
    claims: str, own: list[str], taken: list[str], unlisted: bool, left: tuple[str, OrderStatus]
) -> None:
    bench = Bench()
    record = bench.record(FILLED, filled=claims)
    fills = [bench.fill_record(f"t{n}", quantity) for n, quantity in enumerate(own)]
    gone = [bench.fill_record(f"g{n}", quantity) for n, quantity in enumerate(taken)]
    after = without(record, fills, gone, unlisted)
    assert (str(after.filled), after.status) == left


def test_an_execution_without_an_order_that_is_taken_back_before_it_was_told_leaves_nothing_open() -> None:
    """Its fee was not said yet. No venue has an order of that name, so nobody would ever end it."""
    bench = Bench()
    bench.fill("L7", "0.400", ids=WireIds(), kind=FillKind.TRANSFER, fee=None, at=1)
    bench.bust("L7", at=2)
    assert bench.events("HV-transfer-L7") == ["accepted", "canceled its execution was taken back"]
    bench.wait(600)
    assert (bench.look_ups, bench.fetches, bench.engine.alarms) == ([], [], [])


@pytest.mark.parametrize("name", [None, "Z-9", "O-1"], ids=["nameless", "of others", "ours"])
@pytest.mark.parametrize(("status", "filled"), [(FILLED, "1.000"), (CANCELED, "1.000"), (CANCELED, "0")])
def test_what_was_taken_back_of_an_order_that_was_denied_at_first_is_not_asked_for(
    status: OrderStatus, filled: str, name: str | None
) -> None:
    """History lags: its row comes later, and may go on counting what was taken back."""
    bench = Bench()
    if name == "O-1":
        bench.order()
    bench.fill("t1", "1.000", name=None, vid="V1", at=1)
    bench.bust("t1", at=2)
    bench.wait(1)
    bench.do(bench.tracker.apply_look_up("V1", NotFound(conclusive=True), bench.now))
    asked = len(bench.look_ups)
    bench.wait(600)
    assert "V1" not in {one.key for one in bench.look_ups[asked:]}, "there is nothing of it to be known"
    facts = {"side": OrderSide.BUY, "quantity": "1.000", "price": "100.0", "source": Source.PAGE}
    bench.see(status, name=name, filled=filled, at=1, **facts)
    bench.wait(120)
    assert bench.events(name or "HV-V1")[-2:] == ["accepted", "canceled"]
    assert (bench.fetches, bench.engine.alarms) == ([], [])
