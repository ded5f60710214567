"""All permutations of one order's evidence, none left out: the same end, every fill once, no question left.

The lives are small and whole: what the reply, both streams, a page and a look-up say of one order. Each piece
may come in any place, and one of them twice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
from attrs import evolve, frozen
from nautilus_trader.model import OrderStatus, Price
from tracker_bench import Bench

from venuekit.core.fate import Fate
from venuekit.interfaces.orders import Accepted, Received, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import ModifyResult, Source, WireIds
from venuekit.interfaces.request import Evidence

OPEN, PART, CANCELED, FILLED, EXPIRED, NEW = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
    OrderStatus.EXPIRED,
    OrderStatus.SUBMITTED,
)

type Piece = Callable[[Bench], None]


def received(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))


def accepted(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit("O-1", Accepted(row(OPEN, "0", 1)(bench)), bench.now))


def ambiguous(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit("O-1", Unknown("503"), bench.now))


def no_reply(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "cut", bench.now))


def nothing_found(bench: Bench) -> None:
    bench.do(bench.tracker.apply_look_up("O-1", NotFound(conclusive=False), bench.now))


def no_answer(bench: Bench) -> None:
    bench.do(bench.tracker.apply_look_up_failed("O-1", bench.now))


def row(status: OrderStatus, filled: str, at: int, **facts: object) -> Callable[[Bench], object]:
    values = {"quantity": "1.000", "price": "100.0", **facts}
    return lambda b: b.record(status, filled=filled, at=at, **values)


def seen(status: OrderStatus, filled: str, at: int, **facts: object) -> Piece:
    """A frame of the order stream, or a row of a page."""
    return lambda b: b.do(b.tracker.apply_order(row(status, filled, at, **facts)(b), b.now))


def fill(key: str, quantity: str, at: int, **facts: object) -> Piece:
    """A frame of the fill stream, or a row of a page."""
    return lambda b: b.fill(key, quantity, at=at, **facts)


def looked_up(
    status: OrderStatus, filled: str, at: int, *fills: tuple[str, str, int], **facts: object
) -> Piece:
    def piece(bench: Bench) -> None:
        record = evolve(row(status, filled, at, **facts)(bench), source=Source.LOOKUP)
        rows = [bench.fill_record(key, size, at=when, source=Source.LOOKUP) for key, size, when in fills]
        bench.do(bench.tracker.apply_look_up("O-1", Found(record, tuple(rows)), bench.now))

    return piece


@frozen
class Life:
    """All that is said of one order, and what must come of it."""

    pieces: tuple[Piece, ...]
    status: OrderStatus
    filled: str
    fate: Fate
    trades: tuple[str, ...] = ()
    last: str = ""
    """The text of the last event, where the evidence fixes it."""


LIVES = {
    "rests": Life(
        (received, seen(NEW, "0", 0), seen(OPEN, "0", 1), seen(OPEN, "0", 1)), OPEN, "0.000", Fate.SEEN,
    ),
    "fills twice": Life(
        (received, seen(OPEN, "0", 1), fill("t1", "0.400", 2), seen(PART, "0.400", 2), fill("t2", "0.600", 3),
         seen(FILLED, "1.000", 3)),
        FILLED, "1.000", Fate.SEEN, ("t1", "t2"),
    ),
    "fills twice, without a reply": Life(
        (no_reply, seen(OPEN, "0", 1), fill("t1", "0.400", 2), fill("t2", "0.600", 3),
         looked_up(FILLED, "1.000", 3, ("t1", "0.400", 2), ("t2", "0.600", 3)), nothing_found),
        FILLED, "1.000", Fate.SEEN, ("t1", "t2"),
    ),
    "cancelled in part": Life(
        (received, seen(OPEN, "0", 1), fill("t1", "0.400", 2), seen(PART, "0.400", 2),
         seen(CANCELED, "0.400", 3, reason="USER"), looked_up(CANCELED, "0.400", 3, ("t1", "0.400", 2))),
        CANCELED, "0.400", Fate.SEEN, ("t1",),
    ),
    "cancelled in part, after a 503": Life(
        (ambiguous, seen(NEW, "0", 0), fill("t1", "0.400", 2), seen(CANCELED, "0.400", 3, reason="USER"),
         no_answer, seen(OPEN, "0", 1)),
        CANCELED, "0.400", Fate.SEEN, ("t1",),
    ),
    "an immediate order that found nothing": Life(
        (received, seen(NEW, "0", 0), seen(CANCELED, "0", 1, reason="IOC"), looked_up(CANCELED, "0", 1)),
        CANCELED, "0.000", Fate.SEEN,
    ),
    "expired": Life(
        (accepted, seen(OPEN, "0", 1), seen(EXPIRED, "0", 9), looked_up(EXPIRED, "0", 9), nothing_found),
        EXPIRED, "0.000", Fate.SEEN, last="expired",
    ),
    "refused late": Life(
        (received, seen(NEW, "0", 0), seen(CANCELED, "0", 1, refusal=True, reason="RISK"), nothing_found,
         looked_up(CANCELED, "0", 1, refusal=True, reason="RISK"), no_answer),
        OrderStatus.REJECTED, "0.000", Fate.REFUSED, last="rejected",
    ),
    "refused late, without a reply": Life(
        (no_reply, seen(NEW, "0", 0), seen(CANCELED, "0", 1, refusal=True, reason="RISK"), nothing_found,
         looked_up(CANCELED, "0", 1, refusal=True, reason="RISK")),
        OrderStatus.REJECTED, "0.000", Fate.REFUSED, last="rejected",
    ),
}  # fmt: skip


def check(bench: Bench, life: Life) -> None:
    order = bench.delivery.orders["O-1"]
    log = bench.events()
    assert order.status == life.status, log
    assert str(order.filled_qty) == life.filled, log
    assert sorted(trade.value for trade in order.trade_ids) == sorted(life.trades), log
    assert bench.tracker.get("O-1").fate is life.fate, log
    assert log.count("accepted") == (life.fate is Fate.SEEN), log
    assert not life.last or log[-1] == life.last, log
    assert not bench.engine.alarms, (bench.engine.alarms, log)


def settled(bench: Bench) -> None:
    """A minute later nothing more was asked, and nothing more was told."""
    before = bench.events()
    bench.look_ups.clear()
    bench.wait(60)
    assert bench.look_ups == [], bench.events()
    assert bench.events() == before


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_every_permutation_ends_in_the_same_state(life: Life) -> None:
    for count, pieces in enumerate(permutations(life.pieces)):
        bench = Bench()
        bench.order()
        for piece in pieces:
            piece(bench)
        check(bench, life)
        if count % 24 == 0:
            settled(bench)


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_any_piece_may_come_twice_anywhere(life: Life) -> None:
    """Each permutation with one piece doubled; the place of the copy moves with the permutation."""
    for count, pieces in enumerate(permutations(life.pieces)):
        said = list(pieces)
        said.insert(count % (len(said) + 1), life.pieces[count % len(life.pieces)])
        bench = Bench()
        bench.order()
        for piece in said:
            piece(bench)
        check(bench, life)


# --- a change among the fills


def change(bench: Bench) -> None:
    """The order is open at 100.0, and a change to 101.0 is on the wire."""
    order = bench.order()
    seen(OPEN, "0", 1, version=1)(bench)
    bench.engine.pending_update(order)
    bench.tracker.want_modify("O-1", None, Price.from_str("101.0"), None, bench.now)
    bench.tracker.modifying("O-1", 1, bench.now)


def change_received(bench: Bench) -> None:
    bench.do(bench.tracker.apply_modify("O-1", 1, Received(WireIds()), bench.now))


def change_lost(bench: Bench) -> None:
    bench.do(bench.tracker.apply_modify_failed("O-1", 1, Evidence.MAYBE_SENT, "cut", bench.now))


CHANGES = {
    # A venue that keeps the id and confirms by values.
    "by values": (False, (change_received, seen(OPEN, "0", 2, version=2, price="101.0"),
        fill("t1", "0.250", 3), seen(PART, "0.250", 3, version=3, price="101.0"),
        seen(OPEN, "0", 1, version=1)), ("t1",), "V1"),
    "by values, without a reply": (False, (change_lost, seen(OPEN, "0", 2, version=2, price="101.0"),
        fill("t1", "0.250", 3), looked_up(PART, "0.250", 3, ("t1", "0.250", 3), version=3, price="101.0")),
        ("t1",), "V1"),
    # A venue that says so.
    "by word": (False, (change_received, fill("t1", "0.250", 3), seen(OPEN, "0", 1, version=1),
        seen(OPEN, "0", 2, version=2, price="101.0", modify=ModifyResult.APPLIED),
        seen(PART, "0.250", 3, version=3, price="101.0")), ("t1",), "V1"),
    # A venue that ends the order and makes a new one in its place.
    "by a new id": (True, (change_received, seen(CANCELED, "0.250", 2, vid="V1"),
        seen(OPEN, "0.250", 2, vid="V2", price="101.0"), fill("t1", "0.250", 1, vid="V1"),
        fill("t2", "0.250", 3, vid="V2")), ("t1", "t2"), "V2"),
    "by a new id with versions of its own": (True, (change_lost, seen(CANCELED, "0", 2, vid="V1", version=9),
        seen(OPEN, "0", 2, vid="V2", price="101.0", version=1), fill("t1", "0.250", 3, vid="V2"),
        seen(PART, "0.250", 3, vid="V2", price="101.0", version=2)), ("t1",), "V2"),
}  # fmt: skip


@pytest.mark.parametrize(("replaces", "pieces", "trades", "vid"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_once_whatever_comes_first(
    replaces: bool, pieces: tuple[Piece, ...], trades: tuple[str, ...], vid: str
) -> None:
    for said in permutations(pieces):
        bench = Bench(modify_replaces_id=replaces)
        change(bench)
        for piece in said:
            piece(bench)
        bench.wait(20)
        order, log = bench.delivery.orders["O-1"], bench.events()
        assert log.count(f"updated 1.000 101.0 HV-{vid}") == 1, log
        assert sum("modify_rejected" in line or "updated" in line for line in log) == 1, log
        assert sorted(trade.value for trade in order.trade_ids) == sorted(trades), log
        assert str(order.price) == "101.0", log
        assert order.status == PART, log
        assert not bench.engine.alarms, (bench.engine.alarms, log)
