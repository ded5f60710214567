"""Orders of other programs of the same account, under client ids of ours: never mixed up, never left out."""

from __future__ import annotations

import pytest
from nautilus_trader.model import OrderSide, OrderStatus
from tracker_bench import T0, Bench, S

from venuekit.interfaces.orders import Received
from venuekit.interfaces.reconciliation import Found
from venuekit.interfaces.records import WireIds
from venuekit.runtime.adoption import facts_of, tracked_of_intent
from venuekit.runtime.journal import Intent, MemoryJournal

OPEN, PART, CANCELED, FILLED = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
)

TWIN = {"vid": "X7", "quantity": "1.000", "price": "100.0", "side": OrderSide.BUY}
"""Another program's order: client id, side, market, size and price of ours."""


@pytest.mark.parametrize("ours", ["received", "seen", "filled", "ended"])
@pytest.mark.parametrize("first", ["record", "fill", "look-up"])
def test_an_order_with_another_venue_id_is_another_order_be_it_a_twin_of_ours(ours: str, first: str) -> None:
    bench = Bench()
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    if ours != "received":
        bench.see(OPEN, filled="0", at=0)
    if ours == "filled":
        bench.fill("t1", "0.300", at=1)
    if ours == "ended":
        bench.see(CANCELED, filled="0", at=1)
    before = bench.events()
    record = bench.record(PART, filled="0.700", at=3, **TWIN)

    def found() -> None:
        bench.do(bench.tracker.query("O-1", bench.now))
        bench.clock.advance(60 * S)
        bench.do(bench.tracker.apply_look_up("O-1", Found(record), bench.now))

    if first == "look-up":
        found()
    elif first == "record":
        bench.do(bench.tracker.apply_order(record, bench.now))
    bench.fill("t7", "0.700", at=2, vid="X7")
    bench.do(bench.tracker.apply_order(record, bench.now))
    found()
    assert bench.events() == before
    assert bench.engine.events("HV-X7") == ["accepted", "filled 0.700@100.0 t7"]
    assert bench.tracker.get("O-1").legs == ["V1"]
    assert [kind for kind, _ in bench.engine.alarms] == ["client_id_shared"], "once"
    if ours in ("seen", "received"):
        bench.see(FILLED, filled="1.000", at=5)
        bench.fill("t1", "1.000", at=5)
        assert bench.events()[-1] == "filled 1.000@100.0 t1"


def test_a_twin_that_was_taken_for_ours_before_the_reply_is_an_alarm_and_every_fill_counts_once() -> None:
    bench = Bench(allow_overfill=True)
    bench.order()
    bench.see(OPEN, filled="0", at=0, **TWIN)
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    assert [kind for kind, _ in bench.engine.alarms] == ["client_id_shared"]
    bench.fill("t7", "0.700", at=2, vid="X7")
    bench.fill("t1", "0.300", at=3)
    lines = [line for line in bench.engine.log if " filled " in line]
    assert lines == ["O-1 filled 0.700@100.0 t7", "O-1 filled 0.300@100.0 t1"]


def test_two_orders_of_others_under_one_client_id_stay_two() -> None:
    bench = Bench()
    facts = {"name": "hand", "quantity": "1.000", "price": "100.0", "side": OrderSide.BUY}
    bench.see(OPEN, vid="X1", filled="0", at=1, **facts)
    bench.see(CANCELED, vid="X1", filled="0", at=2, **facts)
    bench.see(OPEN, vid="X2", filled="0", at=3, **facts)
    bench.fill("t2", "0.400", name="hand", vid="X2", at=4)
    assert bench.engine.events("HV-X2") == ["accepted", "filled 0.400@100.0 t2"]
    assert bench.engine.alarms == []


@pytest.mark.parametrize(
    "theirs", [{}, {"side": OrderSide.SELL}, {"quantity": "9.000"}], ids=["twin", "other side", "larger"]
)
def test_a_mass_status_tells_two_orders_of_one_client_id_as_two(theirs: dict[str, object]) -> None:
    bench = Bench()
    source = Bench().order()
    journal = MemoryJournal()
    journal.intent([Intent("submit", "place", facts_of(source), {"client_order_id": "O-1"}, T0)])
    journal.observed("O-1", {"client_order_id": "O-1", "venue_order_id": "V1"}, "ACCEPTED", T0)
    tracked = tracked_of_intent(journal.open_intents()[0])
    tracked.hidden_until_ns = 60 * S
    bench.tracker.adopt(tracked, bench.now)
    theirs_record = bench.record(OPEN, filled="0", at=1, **{**TWIN, **theirs})
    assert bench.tracker.order_of(theirs_record) is None
    other = bench.tracker.baseline(theirs_record, [], bench.now)
    mine = bench.tracker.baseline(
        bench.record(OPEN, filled="0", quantity="1.000", price="100.0", at=1), [], bench.now
    )
    assert mine is tracked
    assert (mine.key, mine.legs, other.key, other.legs) == ("O-1", ["V1"], "X7", ["X7"])
    assert bench.tracker.state_of("X7").client_order_id is None
