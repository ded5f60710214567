"""The life of one order as evidence tells it: every way to the end, from whichever road comes first."""

from __future__ import annotations

import pytest
from engine_double import market
from nautilus_trader.model import OrderStatus
from tracker_bench import Bench

from venuekit.core.fills import Standing
from venuekit.interfaces.orders import Accepted, Received, RefusedOutcome, Unknown
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Evidence

OPEN, CANCELED, FILLED = OrderStatus.ACCEPTED, OrderStatus.CANCELED, OrderStatus.FILLED


def test_received_then_open_then_filled() -> None:
    bench = Bench()
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    assert bench.events() == ["submitted"], "the venue has it and has not decided"
    bench.see(OPEN, filled="0")
    bench.fill("t1", "0.400")
    bench.fill("t2", "0.600", "101.0")
    assert bench.events() == ["submitted", "accepted", "filled 0.400@100.0 t1", "filled 0.600@101.0 t2"]
    order = bench.delivery.orders["O-1"]
    assert order.status == FILLED
    assert str(order.venue_order_id) == "HV-V1"
    assert bench.tracker.next_due_ns() is None or not bench.look_ups


def test_fill_before_any_acknowledgement_accepts_first() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "0.400")
    bench.see(OPEN, filled="0", at=-5)
    assert bench.events() == ["submitted", "accepted", "filled 0.400@100.0 t1"]


def test_closed_filled_waits_for_its_fills() -> None:
    bench = Bench()
    bench.order()
    bench.see(FILLED, filled="1.000")
    assert bench.events() == ["submitted", "accepted"], "no fill is invented"
    bench.fill("t1", "0.999")
    bench.fill("t2", "0.001")
    assert bench.events()[-1] == "filled 0.001@100.0 t2"
    assert bench.delivery.orders["O-1"].status == FILLED


def test_closed_filled_without_fills_reads_history_and_alarms() -> None:
    bench = Bench()
    bench.order()
    bench.see(FILLED, filled="1.000")
    bench.wait(1)
    assert bench.fetches, "history is asked after half a second"
    bench.wait(60)
    assert [kind for kind, _ in bench.engine.alarms] == ["fills_missing"]
    bench.fill("t1", "1.000", at=0)
    assert bench.delivery.orders["O-1"].status == FILLED


def test_cancel_with_part_filled_waits_for_the_part() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0")
    bench.see(CANCELED, filled="0.300", reason="USER_CANCELED", at=10)
    assert bench.events() == ["submitted", "accepted"]
    bench.fill("t1", "0.300", at=5)
    assert bench.events()[2:] == ["filled 0.300@100.0 t1", "canceled USER_CANCELED"]


def test_refusal_before_any_open_is_a_rejection() -> None:
    bench = Bench()
    bench.order(post_only=True)
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    bench.see(
        CANCELED, filled="0", refusal=True, post_only_refusal=True, reason="POST_ONLY_WOULD_CROSS", at=1
    )
    assert bench.events() == ["submitted", "rejected"]
    assert bench.engine.post_only == {"O-1"}
    bench.see(OPEN, filled="0", at=0)
    assert bench.events() == ["submitted", "rejected"], "a late frame does not bring it back"


def test_refusal_after_open_is_a_cancel_with_its_reason() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0")
    bench.see(CANCELED, filled="0", refusal=True, reason="NOT_ENOUGH_MARGIN", at=1)
    assert bench.events() == ["submitted", "accepted", "canceled NOT_ENOUGH_MARGIN"]


def test_refusal_with_a_fill_is_no_rejection() -> None:
    bench = Bench()
    bench.order()
    bench.see(CANCELED, filled="0.100", refusal=True, reason="REMAINING", at=1)
    bench.fill("t1", "0.100")
    assert bench.events() == ["submitted", "accepted", "filled 0.100@100.0 t1", "canceled REMAINING"]


def test_passive_ioc_is_cancelled_not_rejected() -> None:
    bench = Bench()
    bench.order()
    bench.see(CANCELED, filled="0", reason="REMAINING_IOC_CANCEL", at=1)
    assert bench.events() == ["submitted", "accepted", "canceled REMAINING_IOC_CANCEL"]


def test_expiry_of_an_order_never_seen_open_goes_through_accepted() -> None:
    bench = Bench()
    bench.order()
    bench.see(OrderStatus.EXPIRED, filled="0", at=1)
    assert bench.events() == ["submitted", "accepted", "expired"]


def test_the_reply_can_prove_acceptance() -> None:
    bench = Bench()
    bench.order()
    bench.do(
        bench.tracker.apply_submit("O-1", Accepted(bench.record(OPEN, name=None, filled="0")), bench.now)
    )
    assert bench.events() == ["submitted", "accepted"]
    bench.see(OPEN, filled="0", at=1)
    assert bench.events() == ["submitted", "accepted"], "the second road says nothing new"


def test_the_reply_can_prove_a_refusal() -> None:
    bench = Bench()
    bench.order()
    outcome = RefusedOutcome("INVALID_SIZE", "too small")
    bench.do(bench.tracker.apply_submit("O-1", outcome, bench.now))
    assert bench.events() == ["submitted", "rejected"]
    assert bench.engine.reasons["O-1"] == "INVALID_SIZE: too small"
    bench.wait(60)
    assert not bench.look_ups, "a proven end asks nothing"


def test_a_refusal_against_evidence_is_looked_up() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0")
    bench.do(bench.tracker.apply_submit("O-1", RefusedOutcome("DUPLICATE", ""), bench.now))
    assert bench.events() == ["submitted", "accepted"]
    assert bench.counters.get("orders.refused_against_evidence") == 1


def test_nothing_sent_is_a_rejection() -> None:
    bench = Bench()
    bench.order()
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.NOT_SENT, "NOT_SENT: no stream", bench.now))
    assert bench.events() == ["submitted", "rejected"]


@pytest.mark.parametrize("how", ["maybe_sent", "unknown"])
def test_an_unknown_outcome_gives_no_event_and_a_look_up(how: str) -> None:
    bench = Bench()
    bench.order()
    if how == "maybe_sent":
        bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "timeout", bench.now))
    else:
        bench.do(bench.tracker.apply_submit("O-1", Unknown("503"), bench.now))
    assert bench.events() == ["submitted"]
    bench.wait(1)
    assert bench.look_ups[0].key == "O-1"
    bench.see(OPEN, filled="0")
    asked = len(bench.look_ups)
    bench.wait(120)
    assert len(bench.look_ups) == asked, "proof from the stream ends the questions"


def test_a_late_fill_after_a_cancel_is_delivered() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0")
    bench.see(CANCELED, filled="0", at=5)
    bench.fill("t1", "0.200", at=4)
    assert bench.events()[-2:] == ["canceled", "filled 0.200@100.0 t1"]


def test_duplicates_and_replays_say_nothing_new() -> None:
    bench = Bench()
    bench.order()
    for _ in range(3):
        bench.see(OPEN, filled="0", at=1)
        bench.fill("t1", "0.500", at=2)
        bench.see(OrderStatus.PARTIALLY_FILLED, filled="0.500", at=2)
        bench.fill("t2", "0.500", at=3)
        bench.see(FILLED, filled="1.000", at=3)
    assert bench.events() == ["submitted", "accepted", "filled 0.500@100.0 t1", "filled 0.500@100.0 t2"]


def test_an_older_version_never_moves_the_order_back() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", version=7, at=1, quantity="0.800")
    bench.see(OPEN, filled="0", version=6, at=2, quantity="1.000")
    assert bench.events() == ["submitted", "accepted", "changed 0.800 100.0"]
    assert bench.counters.get("orders.stale_records") == 1


def test_without_versions_the_venue_time_keeps_the_order_from_moving_back() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", at=5, quantity="0.800")
    bench.see(OPEN, filled="0", at=4, quantity="1.000")
    assert bench.events() == ["submitted", "accepted", "changed 0.800 100.0"]


def test_a_market_order_gets_no_price_from_the_venue() -> None:
    bench = Bench()
    order = market("M-1", bench.iid)
    bench.tracker.open(order)
    bench.delivery.orders["M-1"] = order
    bench.engine.submitted(order)
    bench.see(OPEN, name="M-1", filled="0", price="105.0", quantity="1.000")
    bench.fill("t1", "1.000", name="M-1")
    assert bench.events("M-1") == ["submitted", "accepted", "filled 1.000@100.0 t1"]
    assert bench.tracker.get("M-1").price is None


def test_the_venue_cuts_a_resting_order() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", at=1)
    bench.see(OPEN, filled="0", quantity="0.500", at=2)
    bench.fill("t1", "0.500", at=3)
    assert bench.events()[2:] == ["changed 0.500 100.0", "filled 0.500@100.0 t1"]
    assert bench.delivery.orders["O-1"].status == FILLED


def test_an_overfill_is_reported_faithfully_with_an_alarm() -> None:
    bench = Bench(allow_overfill=True)
    bench.order()
    bench.fill("t1", "1.000")
    bench.fill("t2", "0.100")
    assert bench.events()[-1] == "overfilled 0.100@100.0 t2"
    assert "overfill" in [kind for kind, _ in bench.engine.alarms]


def test_a_fill_that_was_not_taken_is_offered_again() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", at=1)
    bench.engine.fail_reports = 1
    bench.fill("t1", "0.500", at=2)
    assert bench.events() == ["submitted", "accepted"]
    assert bench.tracker.fills.standing("t1", 0) is Standing.NEW, "the filter must not hide it"
    bench.fill("t1", "0.500", at=2)
    bench.wait(5)
    assert bench.events()[2:] == ["filled 0.500@100.0 t1"]
    assert bench.counters.get("reports.undelivered") == 1


def test_a_refused_acceptance_is_offered_again_with_all_that_follows() -> None:
    bench = Bench()
    bench.order()
    bench.engine.fail_reports = 1
    bench.fill("t1", "1.000")
    assert bench.events() == ["submitted"], "the fill must not overtake its acceptance"
    bench.wait(5)
    assert bench.events() == ["submitted", "accepted", "filled 1.000@100.0 t1"]


def test_a_fill_without_fee_waits_for_the_page_that_has_it() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", fee=None)
    assert bench.events() == ["submitted", "accepted"]
    bench.wait(1)
    assert bench.fetches
    bench.fill("t1", "1.000", fee="0.25")
    assert bench.events()[-1] == "filled 1.000@100.0 t1"
    assert bench.engine.commissions["t1"] == "0.25000000 USDC"


def test_a_fee_that_never_comes_does_not_keep_the_fill() -> None:
    bench = Bench()
    bench.order()
    bench.fill("t1", "1.000", fee=None)
    bench.wait(60)
    assert bench.events()[-1] == "filled 1.000@100.0 t1"
    assert [kind for kind, _ in bench.engine.alarms] == ["fee_unknown"]
