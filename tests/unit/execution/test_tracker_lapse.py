"""A submit that the venue may still read: not finding it proves nothing until its signature has lapsed."""

from __future__ import annotations

import pytest
from nautilus_trader.model import OrderStatus
from tracker_bench import T0, Bench, S

from venuekit.interfaces.orders import Received
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.time import AtWall
from venuekit.runtime.adoption import facts_of, tracked_of_intent
from venuekit.runtime.journal import Intent, MemoryJournal

ABSENT = NotFound(conclusive=True)
TIMES = {"lookup_settles_ms": 2_000, "history_lag_ms": 5_000}


def lost(secs: int | None) -> Bench:
    """A submit whose reply never came; the venue takes it for so many seconds."""
    bench = Bench(**TIMES)
    lapses = None if secs is None else AtWall(T0 + secs * S)
    bench.order(ids=WireIds(client_order_id="O-1", lapses=lapses))
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "timeout", bench.now))
    return bench


def test_it_is_not_rejected_while_it_may_still_arrive() -> None:
    bench = lost(30)
    bench.wait(34.5, answer=ABSENT)
    assert bench.events() == ["submitted"]
    assert len(bench.look_ups) >= 5, "it is asked about all the time"
    bench.see(OrderStatus.ACCEPTED)
    assert bench.events() == ["submitted", "accepted"], "it did arrive"


def test_it_is_rejected_once_it_cannot_arrive_any_more() -> None:
    bench = lost(30)
    bench.wait(60, answer=ABSENT)
    assert bench.events() == ["submitted", "rejected"]


def test_without_a_lapse_what_settles_is_enough() -> None:
    bench = lost(None)
    bench.wait(20, answer=ABSENT)
    assert bench.events() == ["submitted", "rejected"]


def test_what_the_venue_has_read_needs_no_lapse() -> None:
    bench = Bench(**TIMES)
    ids = WireIds(client_order_id="O-1", lapses=AtWall(T0 + 3_600 * S))
    bench.order(ids=ids)
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds()), bench.now))
    bench.wait(120, answer=ABSENT)
    assert bench.events() == ["submitted", "rejected"]


def test_the_lapse_survives_what_is_learned_of_the_order() -> None:
    bench = lost(30)
    bench.tracker.sending("O-1", WireIds(tx_hash="h"), bench.now)
    assert bench.tracker.get("O-1").ids.lapses == AtWall(T0 + 30 * S)


def test_a_new_run_does_not_believe_sooner_that_an_order_of_the_last_one_never_arrived() -> None:
    """Nobody kept the moment of the sending but the journal, in wall time."""
    journal = MemoryJournal()
    facts = facts_of(lost(None).delivery.orders["O-1"])
    journal.intent([Intent("submit", "place", facts, {"client_order_id": "O-1"}, T0)])
    bench = Bench(**TIMES)
    bench.tracker.adopt(tracked_of_intent(journal.open_intents()[0]), bench.now)
    # Denied late enough is denied from the fifth second on, and again five seconds later.
    bench.wait(9.9, answer=ABSENT)
    assert bench.tracker.get("O-1").told is OrderStatus.INITIALIZED
    assert len(bench.look_ups) >= 4
    bench.wait(10, answer=ABSENT)
    assert bench.tracker.get("O-1").told is OrderStatus.REJECTED


@pytest.mark.parametrize("step", [60, -60])
def test_a_clock_that_was_set_meanwhile_proves_nothing_early(step: int) -> None:
    bench = lost(None)
    bench.clock.wall_start_ns += step * S
    bench.wait(4.9, answer=ABSENT)
    assert bench.events() == ["submitted"], "what was sent five seconds ago may not show yet"
    bench.see(OrderStatus.ACCEPTED)
    assert bench.events() == ["submitted", "accepted"]
