"""Commands without a proven end: modifies, cancels, look-ups, tentative ends, legs, orders of others."""

from __future__ import annotations

import pytest
from engine_double import limit
from nautilus_trader.model import OrderSide, OrderStatus, Price, Quantity
from tracker_bench import T0, Bench, S

from venuekit.core.order_state import RAW_SCALE
from venuekit.core.reconcile import fills_under_way, met
from venuekit.interfaces.orders import Received, RefusedOutcome, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import FillKind, ModifyResult, Source, WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.time import AfterHeight, AtWall, Tick
from venuekit.runtime.adoption import facts_of, tracked_of_intent
from venuekit.runtime.journal import Intent, MemoryJournal, with_legs

OPEN, CANCELED, FILLED = OrderStatus.ACCEPTED, OrderStatus.CANCELED, OrderStatus.FILLED
PART = OrderStatus.PARTIALLY_FILLED


def opened(bench: Bench, name: str = "O-1", vid: str = "V1") -> object:
    order = bench.order(name)
    bench.see(OPEN, name=name, vid=vid, filled="0", at=0)
    return order


def modify(bench: Bench, order: object, quantity: str | None = None, price: str | None = None) -> int:
    bench.engine.pending_update(order)
    number = bench.tracker.want_modify(
        order.client_order_id.value,
        Quantity.from_str(quantity) if quantity else None,
        Price.from_str(price) if price else None,
        None,
        bench.now,
    )
    bench.tracker.modifying(order.client_order_id.value, number, bench.now)
    return number


def cancel(bench: Bench, order: object) -> bool:
    bench.engine.pending_cancel(order)
    name = order.client_order_id.value
    if (send := bench.tracker.want_cancel(name, bench.now)) is not None:
        bench.tracker.cancelling(name, bench.now)
    return send is not None


# --- modify


def test_modify_is_ended_by_the_record_that_says_so() -> None:
    bench = Bench()
    number = modify(bench, opened(bench), price="101.0")
    bench.do(bench.tracker.apply_modify("O-1", number, Received(WireIds()), bench.now))
    bench.see(OPEN, filled="0", price="101.0", modify=ModifyResult.APPLIED, at=5)
    assert bench.events()[2:] == ["updated 1.000 101.0 HV-V1"]


def test_modify_is_refused_by_the_record_that_says_so() -> None:
    bench = Bench()
    modify(bench, opened(bench), price="101.0")
    bench.see(OPEN, filled="0", price="100.0", modify=ModifyResult.REJECTED, reason="PRICE_BAND", at=5)
    assert bench.events()[2:] == ["modify_rejected"]
    assert bench.engine.reasons["O-1"] == "PRICE_BAND"


def test_two_modifies_end_one_after_the_other() -> None:
    bench = Bench()
    order = opened(bench)
    modify(bench, order, price="101.0")
    modify(bench, order, price="102.0")
    bench.see(OPEN, filled="0", price="101.0", modify=ModifyResult.APPLIED, at=5)
    bench.see(OPEN, filled="0", price="102.0", modify=ModifyResult.APPLIED, at=6)
    assert bench.events()[2:] == ["updated 1.000 101.0 HV-V1", "updated 1.000 102.0 HV-V1"]


def test_a_fill_during_a_modify_waits_but_not_for_ever() -> None:
    bench = Bench()
    order = opened(bench)
    modify(bench, order, price="101.0")
    bench.fill("t1", "0.100", at=5)
    bench.wait(4.9)
    assert bench.events()[2:] == []
    bench.wait(0.2)
    assert bench.events()[2:] == ["filled 0.100@100.0 t1"], (
        "a fill must reach the engine, whatever the modify does"
    )
    bench.see(OPEN, filled="0.100", price="101.0", modify=ModifyResult.APPLIED, at=6_000)
    assert bench.events()[3:] == ["updated 1.000 101.0 HV-V1"]


def test_an_order_that_fills_under_a_modify_ends_the_modify_first() -> None:
    bench = Bench()
    modify(bench, opened(bench), quantity="2.000")
    bench.fill("t1", "1.000", at=5)
    assert bench.events()[2:] == ["modify_rejected", "filled 1.000@100.0 t1"]


def test_a_modify_down_to_what_is_filled_ends_updated_and_closed() -> None:
    bench = Bench()
    order = opened(bench)
    bench.fill("t1", "0.400", at=1)
    modify(bench, order, quantity="0.400")
    bench.see(FILLED, filled="0.400", quantity="0.400", at=5)
    # Nautilus leaves such an order open with nothing left to fill; only a cancel closes it there.
    assert bench.events()[3:] == ["updated 0.400 100.0 HV-V1", "canceled"]
    assert str(order.filled_qty) == "0.400"


def test_a_replacing_modify_takes_the_new_id_and_ignores_the_old_ones_end() -> None:
    bench = Bench(modify_replaces_id=True)
    order = opened(bench)
    modify(bench, order, price="101.0")
    bench.see(CANCELED, filled="0", vid="V1", at=5)
    assert bench.events()[2:] == [], "the end of a leg may be half of a replacement"
    bench.see(OPEN, filled="0", price="101.0", vid="V2", at=6)
    assert bench.events()[2:] == ["updated 1.000 101.0 HV-V2"]
    bench.fill("t1", "0.300", vid="V1", at=4)
    bench.fill("t2", "0.700", vid="V2", at=7)
    assert bench.events()[3:] == ["filled 0.300@100.0 t1", "filled 0.700@100.0 t2"], (
        "fills of either leg count"
    )
    assert order.status == FILLED


def test_a_late_end_of_the_old_leg_changes_nothing() -> None:
    bench = Bench(modify_replaces_id=True)
    modify(bench, opened(bench), price="101.0")
    bench.see(OPEN, filled="0", price="101.0", vid="V2", at=6)
    bench.see(CANCELED, filled="0", vid="V1", at=7)
    assert bench.events()[2:] == ["updated 1.000 101.0 HV-V2"]


def test_a_cancel_during_a_replacing_modify_is_confirmed_by_a_look_up() -> None:
    bench = Bench(modify_replaces_id=True)
    order = opened(bench)
    modify(bench, order, price="101.0")
    cancel(bench, order)
    bench.see(CANCELED, filled="0", at=5, reason="USER")
    assert bench.events()[2:] == []
    bench.clock.advance(S)
    bench.do(bench.tracker.apply_time(bench.now))
    assert [asked.key for asked in bench.look_ups] == ["O-1"]
    record = bench.record(CANCELED, filled="0", at=5, source=Source.LOOKUP, reason="USER")
    bench.do(bench.tracker.apply_look_up("O-1", Found(record), bench.now))
    assert bench.events()[2:] == ["modify_rejected", "canceled USER"]


def test_a_clock_that_was_set_forward_does_not_end_a_change_early() -> None:
    bench = Bench()
    number = modify(bench, opened(bench), price="101.0")
    bench.do(bench.tracker.apply_modify("O-1", number, Received(WireIds()), bench.now))
    found = Found(bench.record(OPEN, filled="0", price="100.0", at=0, source=Source.LOOKUP))
    bench.clock.wall_start_ns += 60 * S
    for ended in ([], ["modify_rejected"]):
        bench.do(bench.tracker.query("O-1", bench.now))
        bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
        assert [event for event in bench.events()[2:] if event.startswith("modify")] == ended
        bench.clock.advance(6 * S)


def test_a_venue_that_replaces_orders_moves_one_to_a_new_id_by_itself() -> None:
    bench = Bench(modify_replaces_id=True)
    opened(bench)
    bench.see(OPEN, filled="0", vid="V2", price="100.5", at=6)
    assert bench.events()[2:] == ["updated 1.000 100.5 HV-V2"]


def test_a_refused_modify_leaves_the_order_untouched() -> None:
    bench = Bench()
    number = modify(bench, opened(bench), price="101.0")
    bench.do(bench.tracker.apply_modify("O-1", number, RefusedOutcome("BAD_PRICE", ""), bench.now))
    assert bench.events()[2:] == ["modify_rejected"]
    assert bench.delivery.orders["O-1"].status == OPEN


# --- cancel


def test_gone_is_no_refusal_of_a_cancel() -> None:
    bench = Bench()
    order = opened(bench)
    cancel(bench, order)
    bench.do(bench.tracker.apply_cancel("O-1", RefusedOutcome("NOT_FOUND", "", gone=True), bench.now))
    assert bench.events()[2:] == []
    bench.wait(0.3)
    assert len(bench.look_ups) == 1
    bench.fill("t1", "1.000", at=1)
    assert bench.events()[2:] == ["filled 1.000@100.0 t1"]


def test_a_refused_cancel_is_rejected() -> None:
    bench = Bench()
    cancel(bench, opened(bench))
    bench.do(bench.tracker.apply_cancel("O-1", RefusedOutcome("NOT_ALLOWED", "no"), bench.now))
    assert bench.events()[2:] == ["cancel_rejected"]


def test_a_queued_cancel_the_venue_forgot_is_sent_again_after_the_settling_time() -> None:
    bench = Bench()
    cancel(bench, opened(bench))
    bench.do(bench.tracker.apply_cancel("O-1", Received(WireIds()), bench.now))
    found = Found(bench.record(OPEN, filled="0", at=0, source=Source.LOOKUP))
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
    assert bench.cancels == [], "asked too early to prove anything"
    bench.clock.advance(6 * S)
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
    assert bench.cancels == ["O-1"]


def test_a_held_cancel_is_dropped_when_the_order_ends_first() -> None:
    bench = Bench(cancel_needs_venue_id=True)
    order = bench.order()
    assert not cancel(bench, order)
    bench.do(bench.tracker.apply_submit("O-1", RefusedOutcome("NO", ""), bench.now))
    assert bench.events() == ["submitted", "rejected"]
    assert bench.cancels == []


# --- look-ups


def test_not_found_is_proof_only_when_conclusive_and_asked_late_enough() -> None:
    bench = Bench(lookup_settles_ms=1_000, history_lag_ms=3_000)
    bench.order()
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "timeout", bench.now))
    bench.wait(2.9, answer=NotFound(conclusive=True))
    assert bench.events() == ["submitted"]
    assert len(bench.look_ups) >= 3
    bench.wait(10, answer=NotFound(conclusive=True))
    assert bench.events() == ["submitted", "rejected"]


def test_an_answer_proves_what_its_own_question_was_late_enough_for() -> None:
    bench = Bench(lookup_settles_ms=1_000, history_lag_ms=3_000)
    bench.order()
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "timeout", bench.now))
    early, absent = bench.now, NotFound(conclusive=True)
    bench.wait(10)
    assert len(bench.look_ups) > 3, "the tracker's own questions are later, and failed"
    bench.do(bench.tracker.apply_look_up("O-1", absent, bench.now, early))
    assert bench.events() == ["submitted"]
    bench.do(bench.tracker.apply_look_up("O-1", absent, bench.now, bench.now))
    bench.wait(2.9)
    bench.do(bench.tracker.apply_look_up("O-1", absent, bench.now, bench.now))
    assert bench.events() == ["submitted"], "it may have ended just before the first of the two"
    bench.wait(0.1)
    bench.do(bench.tracker.apply_look_up("O-1", absent, bench.now, bench.now))
    assert bench.events() == ["submitted", "rejected"]


def test_an_inconclusive_not_found_and_a_failed_look_up_prove_nothing() -> None:
    for answer in (NotFound(conclusive=False), None):
        bench = Bench()
        bench.order()
        bench.do(bench.tracker.apply_submit("O-1", Unknown("503"), bench.now))
        bench.wait(600, answer=answer)
        assert bench.events() == ["submitted"]
        assert 55 <= len(bench.look_ups) <= 80, "asked with back-off, ten seconds apart at most"


def test_a_received_order_needs_more_than_one_denial() -> None:
    bench = Bench(lookup_settles_ms=1_000, history_lag_ms=1_000)
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    bench.wait(1.5, answer=NotFound(conclusive=True))
    assert len(bench.look_ups) == 1
    assert bench.events() == ["submitted"]
    bench.wait(20, answer=NotFound(conclusive=True))
    assert bench.events() == ["submitted", "rejected"]
    assert len(bench.look_ups) == 3


def test_an_order_that_was_open_and_is_denied_is_an_alarm_never_an_end() -> None:
    bench = Bench()
    opened(bench)
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up("O-1", NotFound(conclusive=True), bench.now))
    settle_secs = bench.tracker.semantics.history_lag_ms / 1_000
    bench.wait(settle_secs * 0.9, answer=NotFound(conclusive=True))
    assert len(bench.look_ups) >= 2
    assert bench.engine.alarms == [], "it may have ended just now, and history lags"
    bench.wait(60, answer=NotFound(conclusive=True))
    assert bench.events() == ["submitted", "accepted"]
    assert [kind for kind, _ in bench.engine.alarms] == ["order_vanished"]


def test_ask_again_is_respected() -> None:
    bench = Bench()
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Unknown("x"), bench.now))
    bench.wait(0.3, answer=NotFound(conclusive=False, ask_again=AtWall(T0 + 30 * S)))
    assert len(bench.look_ups) == 1
    bench.wait(29, answer=NotFound(conclusive=False))
    assert len(bench.look_ups) == 1
    bench.wait(2, answer=NotFound(conclusive=False))
    assert len(bench.look_ups) >= 2


def test_a_query_of_an_open_order_is_always_answered() -> None:
    bench = Bench()
    opened(bench)
    before = bench.counters.get("reports.orders")
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up_failed("O-1", bench.now))
    assert bench.counters.get("reports.orders") == before
    bench.wait(1)
    found = Found(bench.record(OPEN, filled="0", at=0, source=Source.LOOKUP))
    bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
    assert bench.counters.get("reports.orders") == before + 1
    bench.see(CANCELED, filled="0", at=9)
    bench.do(bench.tracker.query("O-1", bench.now))
    assert bench.counters.get("reports.orders") == before + 3, "an ended order is answered from what is known"


def test_an_order_proven_absent_is_looked_up_no_more_although_its_answer_was_wanted() -> None:
    absent = NotFound(conclusive=True)
    bench = Bench(lookup_settles_ms=100, history_lag_ms=100)
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Unknown("x"), bench.now))
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up("O-1", absent, bench.now))
    bench.wait(5, answer=absent)
    assert bench.events() == ["submitted", "rejected"]
    asked = len(bench.look_ups)
    bench.wait(600, answer=absent)
    assert len(bench.look_ups) == asked


def test_a_rejected_order_that_turns_up_alive_is_an_alarm() -> None:
    bench = Bench(lookup_settles_ms=100, history_lag_ms=100)
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Unknown("x"), bench.now))
    bench.wait(5, answer=NotFound(conclusive=True))
    assert bench.events() == ["submitted", "rejected"]
    bench.see(OPEN, filled="0")
    assert [kind for kind, _ in bench.engine.alarms] == ["order_alive"]


# --- tentative ends and block deadlines


def test_a_tentative_cancel_can_come_to_nothing() -> None:
    bench = Bench()
    opened(bench)
    bench.see(CANCELED, filled="0", settles=AfterHeight(50), at=5)
    bench.do(bench.tracker.apply_tick(Tick(50, 0), bench.now))
    assert bench.events()[2:] == []
    bench.fill("t1", "1.000", at=6)
    bench.do(bench.tracker.apply_tick(Tick(51, 0), bench.now))
    assert bench.events()[2:] == ["filled 1.000@100.0 t1"]


def test_a_tentative_cancel_is_final_once_its_block_passed() -> None:
    bench = Bench()
    opened(bench)
    bench.see(CANCELED, filled="0", settles=AfterHeight(50), reason="USER", at=5)
    bench.do(bench.tracker.apply_tick(Tick(51, 0), bench.now))
    assert bench.events()[2:] == ["canceled USER"]


def test_a_tentative_end_in_wall_time_needs_no_frame() -> None:
    bench = Bench()
    opened(bench)
    bench.see(CANCELED, filled="0", settles=AtWall(T0 + 3 * S), at=5)
    bench.wait(2.9)
    assert bench.events()[2:] == []
    bench.wait(0.2)
    assert bench.events()[2:] == ["canceled"]


def test_a_final_end_is_not_reopened_by_a_later_frame() -> None:
    bench = Bench()
    opened(bench)
    bench.see(CANCELED, filled="0.200", at=5)
    bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.200", at=6)
    bench.fill("t1", "0.200", at=4)
    assert bench.events()[2:] == ["filled 0.200@100.0 t1", "canceled"]


# --- orders of others


def test_an_external_order_appears_follows_and_ends() -> None:
    bench = Bench()
    facts = {
        "name": None,
        "vid": "X9",
        "side": bench.fill_record("f", "1").side,
        "quantity": "1.000",
        "price": "99.0",
    }
    bench.see(OPEN, filled="0", at=0, **facts)
    bench.fill("t1", "0.400", "99.0", name=None, vid="X9", at=1)
    bench.see(CANCELED, filled="0.400", at=2, **facts)
    assert bench.engine.events("HV-X9") == ["accepted", "filled 0.400@99.0 t1", "canceled"]


def test_a_fill_of_an_unknown_order_waits_for_its_order() -> None:
    bench = Bench()
    bench.fill("t1", "0.400", "99.0", name=None, vid="X9", at=1)
    assert bench.engine.log == []
    bench.wait(0.3)
    assert bench.look_ups[0].ids.venue_order_id == "X9"
    record = bench.record(
        OPEN,
        name=None,
        vid="X9",
        filled="0.400",
        quantity="1.000",
        price="99.0",
        side=bench.fill_record("f", "1").side,
    )
    bench.do(bench.tracker.apply_look_up(bench.look_ups[0].key, Found(record), bench.now))
    assert bench.engine.events("HV-X9") == ["accepted", "filled 0.400@99.0 t1"]


def test_a_fill_that_names_only_the_venue_id_of_an_order_of_ours() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", name=None, vid="V1", at=1)
    assert bench.events() == ["submitted"]
    bench.see(OPEN, filled="0", at=0)
    assert bench.events() == ["submitted", "accepted", "filled 1.000@100.0 t1"]


def test_a_fill_whose_order_nobody_brings_is_not_lost() -> None:
    bench = Bench()
    bench.fill("t1", "0.400", "99.0", name=None, vid="X9", at=1)
    bench.wait(60, answer=NotFound(conclusive=False))
    assert bench.engine.events("HV-X9") == ["accepted", "filled 0.400@99.0 t1"]


def test_a_liquidation_is_an_external_order_under_the_same_name_each_time() -> None:
    for _ in range(2):
        bench = Bench()
        bench.fill("L7", "0.400", "80.0", ids=WireIds(), kind=FillKind.LIQUIDATION, at=1)
        assert bench.engine.events("HV-liquidation-L7") == ["accepted", "filled 0.400@80.0 L7"]


@pytest.mark.parametrize("refused", [1, 2])
@pytest.mark.parametrize("again_after", [0.1, 3.0])
def test_what_no_order_made_is_one_order_however_often_it_is_read(refused: int, again_after: float) -> None:
    """Its report was not taken, and before or after the next attempt a page brings it again."""
    bench = Bench()
    bench.engine.fail_reports = refused
    for _ in range(3):
        bench.fill("L7", "0.400", "80.0", ids=WireIds(), kind=FillKind.TRANSFER, at=1)
        bench.wait(again_after)
    bench.wait(60)
    assert bench.engine.events("HV-transfer-L7") == ["accepted", "filled 0.400@80.0 L7"]


def test_an_order_seen_only_when_it_had_ended_unfilled_is_nobodys_news() -> None:
    bench = Bench()
    bench.see(CANCELED, name=None, vid="X1", filled="0")
    assert bench.engine.log == []
    assert bench.counters.get("orders.unseen_ended") == 1


def test_the_look_up_of_a_nameless_fill_can_name_an_order_of_ours() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", name=None, vid="V1", at=1)
    bench.wait(0.2)
    bench.clock.advance(S)
    bench.do(bench.tracker.apply_time(bench.now))
    stranger = next(asked for asked in bench.look_ups if asked.ids.venue_order_id == "V1")
    record = bench.record(FILLED, filled="1.000", vid="V1", source=Source.LOOKUP)
    bench.do(bench.tracker.apply_look_up(stranger.key, Found(record), bench.now))
    assert bench.events() == ["submitted", "accepted", "filled 1.000@100.0 t1"]
    assert (bench.engine.external, bench.engine.alarms) == ({}, [])


def test_one_order_told_under_two_names_is_an_alarm() -> None:
    bench = Bench()
    bench.order()
    side = bench.fill_record("f", "1").side
    bench.see(OPEN, name=None, vid="V1", filled="0", quantity="1.000", price="100.0", side=side, at=0)
    bench.wait(11)  # it might have been the one that is on the wire
    bench.see(OPEN, vid="V1", filled="0", at=1)
    assert [kind for kind, _ in bench.engine.alarms] == ["order_told_twice"]


def test_an_order_of_an_earlier_run_is_left_to_the_mass_status() -> None:
    bench = Bench()
    order = bench.order()
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(order), {"client_order_id": "O-1"}, T0)])
    fresh = Bench()
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.hidden_until_ns = 60 * S
    fresh.tracker.adopt(tracked, fresh.now)
    fresh.see(OPEN, filled="0", at=1)
    fresh.fill("t1", "0.400", at=2)
    assert fresh.engine.log == []
    record = fresh.record(OrderStatus.PARTIALLY_FILLED, filled="0.400", at=2, quantity="1.000", price="100.0")
    told = fresh.tracker.baseline(record, [fresh.fill_record("t1", "0.400", at=2)], fresh.now)
    assert told is tracked
    assert str(fresh.tracker.state_of("O-1").filled) == "0.400"
    fresh.fill("t1", "0.400", at=2)
    fresh.wait(120)
    assert fresh.engine.log == [], "the mass status told of it"


def test_every_venue_id_that_an_order_has_had_is_on_record() -> None:
    bench = Bench(modify_replaces_id=True)
    facts = facts_of(bench.order())
    bench.journal.intent([Intent("submit", "place", facts, {"client_order_id": "O-1"}, T0)])
    bench.see(OPEN, vid="1", filled="0")
    bench.see(OPEN, vid="2", filled="0")
    bench.fill("t1", "0.400", vid="2")
    (entry,) = bench.journal.open_intents()
    assert tracked_of_intent(entry).legs == ["1", "2"]


def test_every_venue_id_that_an_order_has_had_still_names_it_in_the_next_run() -> None:
    bench = Bench()
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(bench.order()), {"client_order_id": "O-1"}, T0)])
    ids = with_legs({"client_order_id": "O-1", "venue_order_id": "3"}, ["1", "2", "3"])
    journal.observed("O-1", ids, "ACCEPTED", T0)
    fresh = Bench()
    tracked = tracked_of_intent(journal.open_intents()[0])
    fresh.tracker.adopt(tracked, fresh.now)
    assert [fresh.tracker.resolve(WireIds(venue_order_id=leg)) for leg in "123"] == [tracked] * 3
    assert (tracked.legs, tracked.ids.venue_order_id) == (["1", "2", "3"], "3")
    assert with_legs({"venue_order_id": "1"}, ["1"]) == {"venue_order_id": "1"}


def test_an_order_that_an_earlier_run_saw_is_not_told_with_a_time_of_1970() -> None:
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(Bench().order()), {"client_order_id": "O-1"}, T0)])
    journal.observed("O-1", {"client_order_id": "O-1", "venue_order_id": "V1"}, "ACCEPTED", T0 + 1)
    fresh = Bench()
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.hidden_until_ns = 60 * S
    fresh.tracker.adopt(tracked, fresh.now)
    (report,) = fresh.tracker.reveal("O-1", fresh.now)
    assert (report.state.ts_accepted, report.state.ts_last) == (T0, T0)


def test_without_a_mass_status_it_is_told_late() -> None:
    fresh = Bench()
    source = Bench().order()
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(source), {"client_order_id": "O-1"}, T0)])
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.hidden_until_ns = 60 * S
    fresh.tracker.adopt(tracked, fresh.now)
    fresh.engine.orders["O-1"] = limit("O-1", fresh.iid)
    fresh.engine._values["O-1"] = (source.quantity, source.price)
    fresh.see(OPEN, filled="0", at=1)
    fresh.wait(59)
    assert fresh.engine.log == []
    fresh.wait(2)
    assert fresh.events() == ["accepted"]


def test_what_an_earlier_run_was_told_of_an_order_keeps_no_end_waiting() -> None:
    bench = Bench()
    source = Bench().order()
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(source), {"client_order_id": "O-1"}, T0)])
    journal.filled("O-1", "t1", T0 + 1_000_000)
    for key, ts_event in journal.delivered_fills():
        bench.tracker.fills.applied(key, ts_event)
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.hidden_until_ns = 60 * S
    bench.tracker.adopt(tracked, bench.now)
    said: list[tuple[OrderStatus, int]] = []
    # The double has no fills of an earlier run, as an engine with a cache on disk has.
    bench.engine.report = lambda order, fills: said.append((order.order_status, len(fills)))
    bench.see(PART, filled="0.400", at=1)
    bench.fill("t1", "0.400", at=1)
    bench.wait(61)
    bench.see(CANCELED, filled="0.400", at=5)
    bench.wait(60)
    # The fill is not delivered again, and its part is not waited for.
    assert said[-1] == (CANCELED, 0)
    assert sum(fills for _, fills in said) == 0
    assert bench.engine.alarms == []


def test_another_sessions_order_under_our_client_id_never_becomes_ours() -> None:
    bench = Bench()
    bench.order(quantity="0.500")
    bench.do(bench.tracker.apply_submit("O-1", Unknown("DUPLICATE"), bench.now))
    side = bench.fill_record("f", "1").side
    theirs = {"vid": "X7", "filled": "0", "quantity": "2.000", "price": "81.0", "side": side, "at": -5_000}
    bench.see(OPEN, **theirs)
    assert bench.events() == ["submitted"]
    assert bench.engine.events("HV-X7") == ["accepted"]
    bench.clock.advance(S)
    for _ in range(2):
        bench.do(bench.tracker.query("O-1", bench.now))
        found = Found(bench.record(OPEN, source=Source.LOOKUP, **theirs))
        bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
        if not bench.clock.mono_ns() > 5 * S:
            assert bench.events() == ["submitted"], "asked too early to see ours"
        bench.clock.advance(6 * S)
    assert bench.events() == ["submitted", "rejected"]
    assert bench.engine.reasons["O-1"].startswith("CLIENT_ORDER_ID_TAKEN")
    bench.fill("t1", "0.700", "81.0", vid="X7")
    assert bench.engine.events("HV-X7") == ["accepted", "filled 0.700@81.0 t1"]
    assert bench.engine.alarms == []


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("first", ["record", "fill"])
def test_what_sells_is_not_our_order_to_buy_whenever_it_comes(ended: bool, first: str) -> None:
    bench = Bench()
    opened(bench)
    if ended:
        bench.see(CANCELED, filled="0", at=1)
    before = bench.events()
    theirs = {"vid": "X7", "side": OrderSide.SELL}

    def record() -> None:
        bench.see(FILLED, filled="7.000", quantity="7.000", price="100.0", at=3, **theirs)

    if first == "record":
        record()
    bench.fill("t7", "7.000", at=2, **theirs)
    if first == "fill":
        record()
    assert bench.events() == before
    assert bench.engine.events("HV-X7") == ["accepted", "filled 7.000@100.0 t7"]
    assert bench.tracker.get("O-1").legs == ["V1"]
    assert bench.engine.alarms == []


def test_one_differing_value_is_no_sign_of_another_order() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", price="99.5")
    assert bench.events() == ["submitted", "accepted", "changed 1.000 99.5"], (
        "a venue may reprice what would cross"
    )


def test_fills_the_mass_status_did_not_reach_are_never_delivered_later() -> None:
    bench = Bench()
    side = bench.fill_record("f", "1").side
    record = bench.record(
        OrderStatus.PARTIALLY_FILLED, filled="0.500", quantity="1.000", price="100.0", side=side, at=50
    )
    bench.tracker.baseline(record, [], bench.now)
    assert str(bench.tracker.state_of("O-1").filled) == "0.500"
    bench.fill("old", "0.500", at=10)
    assert bench.engine.log == []
    assert bench.counters.get("fills.before_baseline") == 1


def test_missing_fills_are_read_from_the_venues_time_though_ours_ran_an_hour_ahead() -> None:
    bench = Bench()
    bench.clock.advance(3600 * S)
    bench.order()
    bench.see(OPEN, filled="0", at=1_000)
    bench.see(FILLED, filled="1.000", at=2_000)
    bench.wait(5)
    assert bench.fetches
    assert max(bench.fetches) <= T0 + 1 * S


def test_silence_after_the_last_block_reads_the_fills_before_it_is_an_end() -> None:
    bench = Bench()
    bench.order(ids=WireIds(client_order_id="O-1", ends=AfterHeight(50)))
    bench.see(OPEN, filled="0", at=0)
    bench.clock.advance(10 * S)
    bench.do(bench.tracker.apply_tick(Tick(51, 0), bench.now))
    gone = NotFound(conclusive=True)
    bench.wait(0.3, answer=gone)
    assert (len(bench.look_ups), len(bench.fetches)) == (1, 1)
    assert bench.events() == ["submitted", "accepted"]
    bench.wait(4.5, answer=gone)
    assert bench.events() == ["submitted", "accepted"], "filled in its last block, history may show it now"
    bench.wait(1, answer=gone)
    assert bench.events() == ["submitted", "accepted", "expired"]


@pytest.mark.parametrize("shown", ["as open", "by a fill"])
def test_what_was_denied_before_it_was_shown_says_nothing_of_its_end(shown: str) -> None:
    bench, gone = Bench(), NotFound(conclusive=True)
    bench.order(ids=WireIds(client_order_id="O-1", ends=AfterHeight(50)))
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "timeout", bench.now))
    bench.wait(8, answer=gone)
    assert bench.events() == ["submitted"], "denied once late enough"
    if shown == "as open":
        bench.see(OPEN, filled="0", at=0)
    else:
        bench.fill("t1", "0.400", at=5)
    before = len(bench.fetches)
    bench.clock.advance(10 * S)
    bench.do(bench.tracker.apply_tick(Tick(51, 0), bench.now))
    bench.wait(0.3, answer=gone)
    assert "expired" not in bench.events(), "its fills are read first"
    assert len(bench.fetches) == before + 1


def test_what_was_denied_before_the_mass_status_told_it_says_nothing_of_its_end() -> None:
    """The submit of an earlier run without a reply; the mass status comes 13 s later and has it open."""
    bench, gone = Bench(), NotFound(conclusive=True)
    journal = MemoryJournal()
    order = limit("O-1", bench.iid)
    journal.intent([Intent("submit", "place", facts_of(order), {"client_order_id": "O-1"}, T0)])
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.ids = WireIds(client_order_id="O-1", ends=AfterHeight(50))
    tracked.hidden_until_ns = 120 * S
    bench.tracker.adopt(tracked, bench.now)
    bench.wait(8, answer=gone)
    assert tracked.denied_late_ns is not None, "denied once late enough"
    bench.clock.advance(5 * S)
    record = bench.record(OPEN, filled="0", quantity="1.000", price="100.0", at=13_000)
    assert bench.tracker.baseline(record, [], bench.now) is tracked
    bench.clock.advance(10 * S)
    bench.do(bench.tracker.apply_tick(Tick(51, 0), bench.now))
    before = len(bench.fetches)
    bench.wait(0.3, answer=gone)
    assert bench.tracker.get("O-1").told is OPEN, "its fills are read first"
    assert len(bench.fetches) == before + 1


def test_positions_are_not_compared_while_fills_are_under_way() -> None:
    bench = Bench()
    order = opened(bench)
    assert not fills_under_way(bench.tracker)
    bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.400", at=5)
    assert fills_under_way(bench.tracker)
    bench.fill("t1", "0.400", at=5)
    assert not fills_under_way(bench.tracker)
    modify(bench, order, price="101.0")
    bench.fill("t2", "0.100", at=6)
    assert fills_under_way(bench.tracker), "held back by the change"


def test_positions_are_not_compared_with_orders_that_are_left_to_a_mass_status() -> None:
    """Its reads may take long, and comparisons go on meanwhile."""
    bench = Bench()
    bench.tracker.hold_until_ns = 60 * S
    facts = {"name": None, "vid": "X1", "quantity": "1.000", "price": "100.0"}
    bench.see(OPEN, filled="0", side=OrderSide.SELL, at=1, **facts)
    assert not fills_under_way(bench.tracker)
    bench.see(PART, filled="0.400", side=OrderSide.SELL, at=2, **facts)
    assert fills_under_way(bench.tracker) == {bench.iid}
    bench.fill("t1", "0.400", name=None, vid="X1", side=OrderSide.SELL, at=2)
    assert fills_under_way(bench.tracker) == {bench.iid}
    bench.wait(61)
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 t1"]
    assert not fills_under_way(bench.tracker)


def test_orders_of_others_are_left_to_the_mass_status_that_follows() -> None:
    bench = Bench()
    bench.tracker.hold_until_ns = 60 * S
    facts = {"name": None, "vid": "X1", "quantity": "1.000", "price": "100.0"}
    side = bench.fill_record("f", "1").side
    bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.500", side=side, at=1, **facts)
    bench.fill("t1", "0.400", name=None, vid="X1", at=2)
    bench.wait(50)
    assert bench.engine.log == []
    assert [fill.trade_key for fill in bench.tracker.held_fills()] == ["t1"]
    # None came in time: they are told like any other, and nothing counts as told before.
    bench.wait(11)
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 t1"]
    assert bench.tracker.held_fills() == []
    bench.see(OPEN, filled="0", side=side, at=3, **{**facts, "vid": "X2"})
    assert bench.engine.events("HV-X2") == ["accepted"], "its time is over"


@pytest.mark.parametrize(
    ("beyond", "sizes", "found"),
    [
        (0, [], True),
        (0, ["0.100"], True),
        (100, ["0.100"], True),
        (100, ["0.100", "0.200"], True),
        (300, ["0.100", "0.200"], True),
        (200, ["0.100", "0.200"], False),
        (100, [], False),
        (-100, ["0.100"], False),
    ],
)
def test_a_position_may_have_been_read_between_any_two_fills(
    beyond: int, sizes: list[str], found: bool
) -> None:
    bench = Bench()
    fills = [bench.fill_record(f"t{n}", size, at=n) for n, size in enumerate(sizes)]
    assert met(beyond * RAW_SCALE // 1_000, bench.iid, reversed(fills)) is found
    assert met(beyond * RAW_SCALE // 1_000, "another instrument", fills) is (beyond == 0)
