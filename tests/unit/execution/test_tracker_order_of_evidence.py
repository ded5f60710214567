"""Evidence that comes in the wrong order, twice, late, or all over again: one row of the table each.

A row is what comes, step by step, and what the engine hears in all. Times are the venue's, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve
from nautilus_trader.model import OrderStatus
from tracker_bench import Bench

from venuekit.interfaces.orders import Accepted, Received, RefusedOutcome
from venuekit.interfaces.reconciliation import Found
from venuekit.interfaces.records import Source, WireIds

OPEN, PART, CANCELED, FILLED = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
)

type Step = Callable[[Bench], None]

ack: Step = lambda b: b.do(  # noqa: E731
    b.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), b.now)
)
proof: Step = lambda b: b.do(  # noqa: E731
    b.tracker.apply_submit("O-1", Accepted(b.record(OPEN, filled="0", at=1)), b.now)
)
refusal: Step = lambda b: b.do(  # noqa: E731
    b.tracker.apply_submit("O-1", RefusedOutcome("RISK", ""), b.now)
)


def see(status: OrderStatus, filled: str, at: int, **facts: object) -> Step:
    return lambda b: b.see(status, filled=filled, at=at, **facts)


def fill(key: str, quantity: str, at: int, **facts: object) -> Step:
    return lambda b: b.fill(key, quantity, at=at, **facts)


def page(*steps: Step) -> Step:
    """The same rows once more, as a snapshot or a page has them."""

    def again(bench: Bench) -> None:
        record, fill_record = bench.record, bench.fill_record
        bench.record = lambda *a, **f: record(*a, **{**f, "source": Source.SNAPSHOT})
        bench.fill_record = lambda *a, **f: fill_record(*a, **{**f, "source": Source.PAGE})
        for step in steps:
            step(bench)
        bench.record, bench.fill_record = record, fill_record

    return again


def looked_up(status: OrderStatus, filled: str, at: int) -> Step:
    return lambda b: b.do(
        b.tracker.apply_look_up(
            "O-1", Found(b.record(status, filled=filled, at=at, source=Source.LOOKUP)), b.now
        )
    )


WHOLE = (see(OPEN, "0", 1), fill("t1", "0.400", 2), see(PART, "0.400", 2), fill("t2", "0.600", 3),
         see(FILLED, "1.000", 3))  # fmt: skip
PARTLY = (see(OPEN, "0", 1), fill("t1", "0.400", 2), see(CANCELED, "0.400", 3))
T1, T2 = "filled 0.400@100.0 t1", "filled 0.600@100.0 t2"

ROWS: dict[str, tuple[tuple[Step, ...], list[str]]] = {
    # fills before acks
    "a fill before the reply": ((fill("t1", "0.400", 2), ack, see(OPEN, "0", 1)), ["accepted", T1]),
    "a fill before a reply that accepts": ((fill("t1", "0.400", 2), proof), ["accepted", T1]),
    "all fills before any word": (
        (fill("t1", "0.400", 2), fill("t2", "0.600", 3), ack), ["accepted", T1, T2],
    ),
    "a fill before a refusal": ((fill("t1", "0.400", 2), refusal), ["accepted", T1]),
    # ends before fills
    "filled before its fills": ((ack, see(FILLED, "1.000", 3), fill("t1", "0.400", 2)), ["accepted", T1]),
    "filled before its fills, the newer one first": (
        (ack, see(FILLED, "1.000", 3), fill("t2", "0.600", 3), fill("t1", "0.400", 2)), ["accepted", T2, T1],
    ),
    "cancelled before its fill": (
        (ack, see(CANCELED, "0.400", 3), fill("t1", "0.400", 2)), ["accepted", T1, "canceled"],
    ),
    "cancelled before its fill, claimed by nobody": (
        (see(OPEN, "0", 1), see(CANCELED, "0", 3), fill("t1", "0.400", 2)), ["accepted", "canceled", T1],
    ),
    "refused with a fill on its way": (
        (ack, see(CANCELED, "0.400", 3, refusal=True), fill("t1", "0.400", 2)), ["accepted", T1, "canceled"],
    ),
    # duplicates
    "every frame twice": (tuple(step for step in WHOLE for _ in range(2)), ["accepted", T1, T2]),
    "the reply twice": ((ack, ack, see(OPEN, "0", 1), ack), ["accepted"]),
    "an end twice": ((*PARTLY, see(CANCELED, "0.400", 3)), ["accepted", T1, "canceled"]),
    # across streams: the order stream and the fill stream share no order
    "orders all before fills": (
        (see(OPEN, "0", 1), see(PART, "0.400", 2), see(FILLED, "1.000", 3), fill("t1", "0.400", 2),
         fill("t2", "0.600", 3)), ["accepted", T1, T2],
    ),
    "fills all before orders": (
        (fill("t1", "0.400", 2), fill("t2", "0.600", 3), see(OPEN, "0", 1), see(PART, "0.400", 2),
         see(FILLED, "1.000", 3)), ["accepted", T1, T2],
    ),
    # late frames
    "open after cancelled": ((see(CANCELED, "0", 3), see(OPEN, "0", 1)), ["accepted", "canceled"]),
    "an older size after a newer one": (
        (see(OPEN, "0", 5, quantity="0.800"), see(OPEN, "0", 4, quantity="1.000")),
        ["accepted", "changed 0.800 100.0"],
    ),
    "partly filled after filled": ((*WHOLE, see(PART, "0.400", 2)), ["accepted", T1, T2]),
    "open after refused": ((ack, see(CANCELED, "0", 3, refusal=True), see(OPEN, "0", 1)), ["rejected"]),
    "not decided, after open": ((see(OPEN, "0", 1), see(OrderStatus.SUBMITTED, "0", 0)), ["accepted"]),
    "the reply after the end": ((*PARTLY, ack), ["accepted", T1, "canceled"]),
    "a look-up from before the end": ((*PARTLY, looked_up(PART, "0.400", 2)), ["accepted", T1, "canceled"]),
    # replays: a new connection, a page, a mass of old rows
    "a snapshot that knows less": ((*WHOLE[:3], page(see(OPEN, "0", 1))), ["accepted", T1]),
    "a page of the whole life": ((*WHOLE, page(*WHOLE)), ["accepted", T1, T2]),
    "a page of the whole life, newest first": ((*WHOLE, page(*reversed(WHOLE))), ["accepted", T1, T2]),
    "a page instead of the stream": ((page(*reversed(PARTLY)),), ["accepted", T1, "canceled"]),
    "a page in the middle": ((*PARTLY[:2], page(*PARTLY), PARTLY[2]), ["accepted", T1, "canceled"]),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "heard"), ROWS.values(), ids=ROWS)
def test_evidence_out_of_order(steps: tuple[Step, ...], heard: list[str]) -> None:
    bench = Bench()
    bench.order()
    for step in steps:
        step(bench)
    # What waits for a fee, a fill or an answer is told by the row, not by time.
    assert bench.events() == ["submitted", *heard]
    assert bench.engine.alarms == []


def finer(bench: Bench, status: OrderStatus, at: int, late_us: int, **facts: object) -> None:
    """A frame of a road that gives nanoseconds."""
    record = bench.record(status, filled="0", at=at, **facts)
    record = evolve(record, ts_event=record.ts_event + late_us * 1_000)
    bench.do(bench.tracker.apply_order(record, bench.now))


@pytest.mark.parametrize("late_us", [0, 1, 999])
def test_an_end_in_milliseconds_is_as_new_as_anything_of_its_millisecond(late_us: int) -> None:
    """The stream dated the order in nanoseconds, and its end was lost; a page dates it in milliseconds."""
    bench = Bench()
    bench.order()
    finer(bench, OPEN, 2, late_us, version=7)
    page(see(CANCELED, "0", 2))(bench)
    assert bench.events() == ["submitted", "accepted", "canceled"]


def test_within_a_millisecond_nanoseconds_decide_where_both_have_them() -> None:
    bench = Bench()
    bench.order()
    finer(bench, OPEN, 2, 500, quantity="0.800")
    finer(bench, OPEN, 2, 400, quantity="1.000")
    assert bench.events() == ["submitted", "accepted", "changed 0.800 100.0"]
