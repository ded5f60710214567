"""Whatever order one order's evidence comes in, and however often: one end, every fill once, no illegal step.

The truth is drawn first; frames, rows and answers are made from it. Every event goes onto a real Nautilus
order (`engine_double`), so that an impossible transition fails the test.
"""

from __future__ import annotations

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model import OrderStatus, Price, Quantity
from tracker_bench import T0, Bench

from venuekit.interfaces.orders import Received, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import BustRecord, FillRecord, ModifyResult, OrderRecord, Source, WireIds
from venuekit.interfaces.request import Evidence
from venuekit.runtime.clock import ManualClock

OPEN, PART, CANCELED, FILLED = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
)
LOTS = 10  # the order's quantity is 1.000, in tenths


def _text(lots: int) -> str:
    return f"{lots / LOTS:.3f}"


@frozen
class Truth:
    """What happened at the venue, in its order."""

    records: list[OrderRecord]
    fills: list[FillRecord]
    end: OrderStatus
    filled: int


@st.composite
def truths(draw: st.DrawFn, versions: bool) -> Truth:
    """One order's life: fills of some lots, then filled, cancelled or still open."""
    bench = Bench()
    parts = draw(st.lists(st.integers(1, 4), max_size=6))
    while sum(parts) > LOTS:
        parts.pop()
    cancelled = sum(parts) < LOTS and draw(st.booleans())
    version, at, done = 1, 10, 0

    def record(status: OrderStatus, **facts: object) -> OrderRecord:
        made = bench.record(status, at=at, filled=_text(done), quantity="1.000", price="100.0", **facts)
        return evolve(made, version=version) if versions else made

    records = [record(OPEN)]
    fills = []
    for number, lots in enumerate(parts):
        version, at, done = version + 1, at + draw(st.integers(1, 5)), done + lots
        fills.append(bench.fill_record(f"t{number}", _text(lots), at=at))
        records.append(record(FILLED if done == LOTS else PART))
    if cancelled:
        version, at = version + 1, at + 1
        records.append(record(CANCELED, reason="USER"))
    end = FILLED if done == LOTS else CANCELED if cancelled else PART if done else OPEN
    return Truth(records, fills, end, done)


def finish(bench: Bench, truth: Truth) -> None:
    """Half a minute passes; every look-up and every read of fills is answered with the truth."""
    last = evolve(truth.records[-1], source=Source.LOOKUP)
    for _ in range(120):
        bench.clock.advance(250_000_000)
        looks, fetches = len(bench.look_ups), len(bench.fetches)
        bench.do(bench.tracker.apply_time(bench.now))
        for asked in bench.look_ups[looks:]:
            bench.do(bench.tracker.apply_look_up(asked.key, Found(last), bench.now))
        if len(bench.fetches) > fetches:
            for fill in truth.fills:
                bench.do(bench.tracker.apply_fill(fill, bench.now))


def check(bench: Bench, truth: Truth) -> None:
    order = bench.delivery.orders["O-1"]
    assert not bench.engine.violations, bench.engine.violations
    assert order.status == truth.end, bench.engine.log
    assert order.filled_qty == Quantity.from_str(_text(truth.filled)), bench.engine.log
    assert sorted(trade.value for trade in order.trade_ids) == sorted(fill.trade_key for fill in truth.fills)
    assert not bench.engine.alarms


@given(st.data(), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_shuffle_with_duplicates_ends_in_the_truth(data: st.DataObject, versions: bool) -> None:
    truth = data.draw(truths(versions))
    evidence = [*truth.records, *truth.fills, "received"]
    evidence += data.draw(st.lists(st.sampled_from(evidence), max_size=6))
    bench = Bench()
    bench.order()
    for item in data.draw(st.permutations(evidence)):
        if item == "received":
            bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
        elif isinstance(item, FillRecord):
            bench.do(bench.tracker.apply_fill(item, bench.now))
        else:
            bench.do(bench.tracker.apply_order(item, bench.now))
    finish(bench, truth)
    check(bench, truth)


@given(st.data(), st.booleans(), st.sampled_from(["maybe", "unknown", "received", "duplicate", "silence"]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_part_of_the_evidence_may_be_lost(data: st.DataObject, versions: bool, reply: str) -> None:
    """Frames are lost and reports refused by the engine; questions bring back what is missing."""
    truth = data.draw(truths(versions))
    evidence = [*truth.records, *truth.fills]
    kept = (
        data.draw(st.lists(st.sampled_from(evidence), unique_by=id))
        if truth.end in (FILLED, CANCELED)
        else evidence
    )
    bench = Bench()
    bench.order()
    tracker = bench.tracker
    if reply == "maybe":
        bench.do(tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "cut", bench.now))
    elif reply == "unknown":
        bench.do(tracker.apply_submit("O-1", Unknown("503"), bench.now))
    elif reply == "duplicate":
        bench.do(tracker.apply_submit("O-1", Unknown("DUPLICATE"), bench.now))
    elif reply == "received":
        bench.do(tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))
    for item in kept:
        bench.engine.fail_reports += data.draw(st.integers(0, 1))
        apply = tracker.apply_fill if isinstance(item, FillRecord) else tracker.apply_order
        bench.do(apply(item, bench.now))
    bench.engine.fail_reports = 0
    bench.do(tracker.query("O-1", bench.now))
    bench.do(tracker.apply_look_up("O-1", NotFound(conclusive=False), bench.now))
    finish(bench, truth)
    check(bench, truth)


@given(st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_modify_among_shuffled_fills_keeps_values_and_fills(data: st.DataObject) -> None:
    truth = data.draw(truths(versions=True))
    price = "101.5"
    spot = data.draw(st.integers(0, len(truth.records) - 1))
    applied = data.draw(st.booleans()) and truth.records[spot].status in (OPEN, PART)
    bench = Bench()
    order = bench.order()
    bench.do(bench.tracker.apply_order(truth.records[0], bench.now))
    bench.engine.pending_update(order)
    number = bench.tracker.want_modify("O-1", None, Price.from_str(price), None, bench.now)
    bench.tracker.modifying("O-1", number, bench.now)
    records = []
    for place, record in enumerate(truth.records):
        if applied and place >= spot:
            record = evolve(record, price=Price.from_str(price))
        record = evolve(record, version=record.version * 2)
        records.append(record)
        if place == spot and record.status in (OPEN, PART):
            result = ModifyResult.APPLIED if applied else ModifyResult.REJECTED
            records.append(evolve(record, version=record.version + 1, modify=result))
    if records[-1].status in (OPEN, PART) and not any(record.modify for record in records):
        records.append(evolve(records[-1], version=records[-1].version + 1, modify=ModifyResult.REJECTED))
    for item in data.draw(st.permutations([*records, *truth.fills])):
        apply = bench.tracker.apply_fill if isinstance(item, FillRecord) else bench.tracker.apply_order
        bench.do(apply(item, bench.now))
    finish(bench, Truth(records, truth.fills, truth.end, truth.filled))
    check(bench, truth)
    if truth.end in (OPEN, PART):
        assert str(order.price) == (price if applied else "100.0")


def test_the_clock_of_the_bench_is_virtual() -> None:
    assert isinstance(Bench().clock, ManualClock)


@given(st.data(), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_stands_is_what_was_not_taken_back(data: st.DataObject, versions: bool) -> None:
    truth = data.draw(truths(versions))
    taken = data.draw(st.lists(st.sampled_from(truth.fills), unique_by=id)) if truth.fills else []
    busts = [BustRecord(trade_key=one.trade_key, ts_event=T0 + 10**9, source=Source.STREAM) for one in taken]
    # The venue's order records go on claiming what was taken back: that is the harder of the two ways.
    evidence = [*truth.records, *truth.fills, *busts]
    evidence += data.draw(st.lists(st.sampled_from(evidence), max_size=6))
    bench = Bench()
    bench.order()
    for item in data.draw(st.permutations(evidence)):
        if isinstance(item, BustRecord):
            bench.do(bench.tracker.apply_bust(item, bench.now))
        elif isinstance(item, FillRecord):
            bench.do(bench.tracker.apply_fill(item, bench.now))
        else:
            bench.do(bench.tracker.apply_order(item, bench.now))
    finish(bench, truth)
    order, log = bench.delivery.orders["O-1"], bench.engine.log
    lost = sum(one.quantity.raw for one in taken)
    left = sum(one.quantity.raw for one in truth.fills) - lost
    assert not bench.engine.violations, bench.engine.violations
    assert order.filled_qty.raw == left, log
    for one in taken:
        assert sum(line.endswith(f"voided {one.trade_key}") for line in log) <= 1
    assert {kind for kind, _ in bench.engine.alarms} <= {"void_without_order"}
    assert order.is_closed == (truth.end in (CANCELED, FILLED)), log
    if not taken:
        assert order.status == truth.end
    assert order.filled_qty <= Quantity.from_str(f"{LOTS / 10:.3f}")
