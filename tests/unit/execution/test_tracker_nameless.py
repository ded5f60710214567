"""A venue that puts no client id into its frames: what it says of our order before a reply names it."""

from __future__ import annotations

from itertools import permutations

import pytest
from nautilus_trader.model import OrderSide, OrderStatus
from tracker_bench import Bench, S

from venuekit.core.reconcile import fills_under_way
from venuekit.interfaces.orders import Accepted, Received, RefusedOutcome, Unknown
from venuekit.interfaces.reconciliation import Found
from venuekit.interfaces.records import Source, WireIds

OPEN, PART, CANCELED, FILLED, EXPIRED, REJECTED = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
)
FACTS = {"name": None, "vid": "V1", "quantity": "1.000", "price": "100.0", "side": OrderSide.BUY}


def see(status: OrderStatus, filled: str, at: int, **facts: object):
    return lambda bench: bench.see(status, filled=filled, at=at, **{**FACTS, **facts})


def fill(key: str, quantity: str, at: int):
    return lambda bench: bench.fill(key, quantity, name=None, vid="V1", at=at)


def received(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))


def accepted(bench: Bench) -> None:
    record = bench.record(OPEN, filled="0", at=0, **FACTS)
    bench.do(bench.tracker.apply_submit("O-1", Accepted(record), bench.now))


def in_doubt(bench: Bench) -> None:
    """No reply says the id, and the look-up by our name does."""
    bench.do(bench.tracker.apply_submit("O-1", Unknown("503"), bench.now))
    record = bench.record(OPEN, filled="0", at=0, source=Source.LOOKUP, **{**FACTS, "name": "O-1"})
    bench.do(bench.tracker.apply_look_up("O-1", Found(record), bench.now))


LIVES = {
    "filled": ((see(OPEN, "0", 0), fill("t1", "1.000", 2), see(FILLED, "1.000", 2)), FILLED),
    "filled in two": ((fill("t1", "0.400", 1), fill("t2", "0.600", 2), see(FILLED, "1.000", 2)), FILLED),
    "cancelled": ((see(OPEN, "0", 0), see(CANCELED, "0", 2)), CANCELED),
    "with a part": ((see(PART, "0.400", 1), fill("t1", "0.400", 1), see(CANCELED, "0.400", 2)), CANCELED),
    "only its end": ((see(CANCELED, "0.300", 2), fill("t1", "0.300", 1)), CANCELED),
    "expired": ((see(OPEN, "0", 0), see(EXPIRED, "0", 2)), EXPIRED),
}


@pytest.mark.parametrize("reply", [received, accepted, in_doubt])
@pytest.mark.parametrize(("pieces", "end"), LIVES.values(), ids=LIVES)
def test_an_order_is_told_once_under_its_own_name_whenever_the_reply_comes(pieces, end, reply) -> None:
    for order in permutations((reply, *pieces)):
        bench = Bench()
        bench.order()
        for piece in order:
            piece(bench)
            bench.clock.advance(S // 100)
        bench.wait(30)
        names = [getattr(one, "__name__", "?") for one in order]
        own = bench.engine.orders["O-1"]
        assert bench.engine.external == {}, names
        assert own.status == end, names
        trades = [line.rsplit(" ", 1)[1] for line in bench.engine.log if " filled " in line]
        assert len(trades) == len(set(trades)) == sum(one.__qualname__.startswith("fill.") for one in order)
        assert bench.engine.alarms == [], names
        assert bench.engine.violations == []


def test_values_that_the_venue_gave_before_the_name_was_known_are_the_orders_own() -> None:
    bench = Bench()
    bench.order()
    bench.see(OPEN, filled="0", at=1, **{**FACTS, "price": "99.5"})
    received(bench)
    assert bench.events() == ["submitted", "accepted", "changed 1.000 99.5"]


def test_an_order_of_somebody_else_waits_only_while_one_of_ours_may_be_it() -> None:
    bench = Bench()
    bench.order()
    see(OPEN, "0", 1, vid="X1")(bench)
    fill_of = bench.fill_record("x1", "0.400", name=None, vid="X1", at=2)
    bench.do(bench.tracker.apply_fill(fill_of, bench.now))
    assert bench.engine.external == {}
    # Another market side, or another size, is never ours.
    see(OPEN, "0", 1, vid="X2", side=OrderSide.SELL)(bench)
    see(OPEN, "0", 1, vid="X3", quantity="2.000")(bench)
    assert sorted(bench.engine.external) == ["HV-X2", "HV-X3"]
    received(bench)
    bench.wait(1)
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 x1"]
    assert bench.engine.alarms == []


def test_what_is_forgotten_of_the_nameless_one_takes_no_id_of_ours_with_it() -> None:
    bench = Bench()
    bench.tracker.most_closed = 0
    bench.order()
    see(OPEN, "0", 1)(bench)
    received(bench)
    bench.wait(20)
    fill("t1", "1.000", 2)(bench)
    assert bench.events()[-1] == "filled 1.000@100.0 t1"


def test_the_end_of_somebody_elses_order_that_did_nothing_stays_no_news() -> None:
    bench = Bench()
    bench.order()
    see(CANCELED, "0", 1, vid="X1")(bench)
    received(bench)
    bench.wait(20)
    assert bench.engine.external == {}
    assert bench.counters.get("orders.unseen_ended") == 1


def test_an_order_of_somebody_else_that_was_told_waits_for_none_of_ours() -> None:
    bench = Bench()
    see(OPEN, "0", 1, vid="X1")(bench)
    bench.order()
    bench.do(bench.tracker.apply_fill(bench.fill_record("x1", "0.400", name=None, vid="X1"), bench.now))
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 x1"]


def test_positions_are_not_compared_while_a_fill_waits_for_the_name_of_its_order() -> None:
    bench = Bench()
    bench.order()
    see(OPEN, "0", 1)(bench)
    assert not fills_under_way(bench.tracker)
    fill("t1", "0.400", 2)(bench)
    assert fills_under_way(bench.tracker) == {bench.iid}
    received(bench)
    assert not fills_under_way(bench.tracker)
    assert bench.events()[-1] == "filled 0.400@100.0 t1"


@pytest.mark.parametrize("reply", ["refused", "none"])
def test_what_waits_is_told_when_ours_is_refused_or_stays_in_doubt_for_long(reply: str) -> None:
    bench = Bench()
    bench.order()
    see(OPEN, "0", 1, vid="X1")(bench)
    fill_of = bench.fill_record("x1", "0.400", name=None, vid="X1", at=2)
    bench.do(bench.tracker.apply_fill(fill_of, bench.now))
    if reply == "refused":
        bench.do(bench.tracker.apply_submit("O-1", RefusedOutcome("NO", ""), bench.now))
        bench.wait(1)
    else:
        bench.wait(9)
        assert bench.engine.external == {}
        bench.wait(2)
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 x1"]


def test_a_refusal_without_a_name_refuses_ours_once_the_reply_names_it() -> None:
    bench = Bench()
    bench.order()
    see(OPEN, "0", 0)(bench)
    bench.see(CANCELED, filled="0", refusal=True, reason="NOT_ENOUGH_MARGIN", at=1, **FACTS)
    received(bench)
    bench.wait(1)
    assert bench.events() == ["submitted", "accepted", "canceled NOT_ENOUGH_MARGIN"]
    assert bench.engine.external == {}


def test_a_stranger_that_proves_to_be_an_order_told_as_rejected_is_an_alarm() -> None:
    bench = Bench()
    bench.order()
    bench.do(bench.tracker.apply_submit("O-1", RefusedOutcome("NO", ""), bench.now))
    bench.do(bench.tracker.apply_fill(bench.fill_record("t1", "0.400", name=None, vid="V1"), bench.now))
    bench.see(OPEN, filled="0", name="O-1", vid="V1", at=1)
    kinds = {kind for kind, _ in bench.engine.alarms}
    assert {"order_alive", "fill_after_rejected"} & kinds


@pytest.mark.parametrize("goes_on_counting", [True, False])
@pytest.mark.parametrize("named_after", range(4))
def test_what_was_taken_back_of_a_nameless_order_was_taken_back_of_ours(
    goes_on_counting: bool, named_after: int
) -> None:
    bench = Bench()
    bench.order()
    left = "0.600" if goes_on_counting else "0"
    pieces = [
        fill("t1", "0.600", 1),
        see(PART, "0.600", 1),
        lambda bench: bench.bust("t1", at=2),
        see(CANCELED, left, 3),
    ]
    pieces.insert(named_after, received)
    for piece in pieces:
        piece(bench)
        bench.clock.advance(S // 100)
    bench.wait(60)
    assert bench.engine.orders["O-1"].status == CANCELED
    assert (bench.fetches, bench.engine.alarms) == ([], [])


def test_an_order_that_was_told_and_forgotten_is_none_of_ours_that_is_on_the_wire() -> None:
    bench = Bench()
    bench.tracker.most_closed = 0
    for piece in (see(OPEN, "0", 1), fill("t1", "1.000", 2), see(FILLED, "1.000", 2)):
        piece(bench)
    told = list(bench.engine.log)
    bench.order()
    see(FILLED, "1.000", 2, source=Source.PAGE)(bench)
    bench.wait(60)
    assert bench.engine.log == [*told, "O-1 submitted"]
    assert (bench.fetches, bench.engine.alarms) == ([], [])


def test_a_fill_of_an_order_whose_end_was_no_news_is_told_with_its_order() -> None:
    """The venue did not say how much of it was filled, and the fill comes late."""
    bench = Bench()
    bench.order()
    see(CANCELED, None, 1, vid="X1")(bench)
    received(bench)
    bench.wait(1)
    bench.do(bench.tracker.apply_fill(bench.fill_record("x1", "0.400", name=None, vid="X1", at=1), bench.now))
    bench.wait(0.3)
    asked = next(one for one in bench.look_ups if one.ids.venue_order_id == "X1")
    record = bench.record(CANCELED, at=1, source=Source.LOOKUP, **{**FACTS, "vid": "X1"})
    bench.do(bench.tracker.apply_look_up(asked.key, Found(record), bench.now))
    assert bench.engine.events("HV-X1") == ["accepted", "filled 0.400@100.0 x1", "canceled"]
    assert (bench.engine.alarms, bench.engine.violations) == ([], [])


def test_what_was_filled_and_taken_back_while_a_nameless_order_waited_is_not_asked_for_for_ever() -> None:
    """Its rows go on counting the fill. Forgotten as one that did nothing, it would wait for that again."""
    bench = Bench()
    bench.order()
    for piece in (see(OPEN, "0", 1, vid="X1"), see(FILLED, "1.000", 2, vid="X1")):
        piece(bench)
    bench.do(bench.tracker.apply_fill(bench.fill_record("x1", "1.000", name=None, vid="X1", at=2), bench.now))
    bench.bust("x1", at=3)
    bench.do(bench.tracker.apply_submit("O-1", RefusedOutcome("NO", ""), bench.now))
    bench.wait(1)
    see(FILLED, "1.000", 2, vid="X1", source=Source.PAGE)(bench)
    bench.wait(120)
    assert bench.engine.external["HV-X1"].is_closed
    assert (bench.fetches, bench.engine.alarms) == ([], [])
