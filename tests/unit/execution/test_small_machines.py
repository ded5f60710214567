"""Fill identity, nonces, the memory journal, position comparison, paged reads and reports."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest
from engine_double import limit, perpetual
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model import AccountId, InstrumentId, OrderSide, OrderStatus, PositionSide, VenueOrderId
from tracker_bench import T0, Bench

from venuekit.core.fills import FillBook, Standing
from venuekit.core.nonce import ConsecutiveNonces, UniqueMilliseconds
from venuekit.core.order_state import LookUp
from venuekit.core.reconcile import PositionBook
from venuekit.core.reports import Reporter, trade_id_of
from venuekit.errors import BadValue, DecodeError, GiveUp, SendFailed
from venuekit.interfaces.orders import NonceFate
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import PositionRecord, Source, WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import Page, Quarantined, Window
from venuekit.interfaces.time import AfterHeight, AtWall
from venuekit.runtime.account_reads import AccountReads
from venuekit.runtime.account_reports import AccountReports
from venuekit.runtime.adoption import facts_of, tracked_of_engine, tracked_of_intent
from venuekit.runtime.journal import Intent, MemoryJournal, ids_of, plain_ids
from venuekit.runtime.tasks import TaskScope
from venuekit.runtime.telemetry import CounterTable

IID = InstrumentId.from_str("BTC-USD-PERP.HV")


# --- fills


def test_a_fill_is_seen_only_after_it_was_applied() -> None:
    book = FillBook()
    book.offer("a")
    assert book.standing("a", 5) is Standing.OFFERED
    book.failed("a")
    assert book.standing("a", 5) is Standing.NEW
    book.applied("a", 5)
    assert book.standing("a", 5) is Standing.SEEN
    assert "a" in book


@given(st.lists(st.integers(0, 500), min_size=1, max_size=400))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_what_is_forgotten_is_never_new_again(times: list[int]) -> None:
    book, applied = FillBook(most=20), set()
    for number, at in enumerate(times):
        key = f"{number}"
        if book.standing(key, at) is Standing.NEW:
            book.applied(key, at)
            applied.add((key, at))
        assert len(book) <= 20
    assert all(book.standing(key, at) is not Standing.NEW for key, at in applied)


# --- nonces


def test_a_nonce_is_reused_only_when_it_is_free_and_the_last() -> None:
    lane = ConsecutiveNonces()
    assert lane.reserve() is None
    lane.apply_resync(5)
    assert [lane.reserve(), lane.reserve()] == [5, 6]
    lane.settle(6, NonceFate.FREE)
    assert lane.reserve() == 6
    lane.settle(5, NonceFate.FREE)
    assert lane.needs_resync
    assert not lane.may_resync, "6 is on its way"
    lane.settle(6, NonceFate.CONSUMED)
    assert lane.may_resync
    lane.apply_resync(6)
    assert lane.reserve() == 6


@given(st.lists(st.sampled_from(NonceFate), max_size=60), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_numbers_never_repeat_unless_free(fates: list[NonceFate], start: int) -> None:
    """A model of the venue: it takes its next number and refuses every other one."""
    lane, venue_next, taken = ConsecutiveNonces(), start, set()
    for fate in fates:
        if lane.needs_resync:
            assert lane.may_resync
            lane.apply_resync(venue_next)
        nonce = lane.reserve()
        assert nonce == venue_next, "never a hole, never a number that was used"
        if fate is not NonceFate.FREE:
            taken.add(nonce)
            venue_next += 1
        lane.settle(nonce, fate)
    assert taken == set(range(start, venue_next))


def test_milliseconds_are_unique_even_when_the_clock_goes_back() -> None:
    unique = UniqueMilliseconds(window_ms=3)
    drawn = [unique.draw(1_000 * 10**6), unique.draw(1_000 * 10**6), unique.draw(999 * 10**6)]
    assert drawn == [1_000, 1_001, 1_002]
    assert unique.draw(999 * 10**6) is None, "four ahead of the clock is outside the window"


# --- journal


def test_ids_survive_as_plain_values() -> None:
    ids = WireIds("O-1", "ref", "V1", "hash", 7, AfterHeight(12))
    assert ids_of(plain_ids(ids)) == ids
    wall = WireIds(client_order_id="O-1", ends=AtWall(5))
    assert ids_of(plain_ids(wall)) == wall
    assert plain_ids(wall) == {"client_order_id": "O-1", "ends_wall_ns": 5}


def test_an_intent_is_open_until_its_end_is_proven() -> None:
    journal = MemoryJournal()
    order = limit("O-1", IID, price="99.5", post_only=True)
    journal.intent([Intent("submit", "place", facts_of(order), {"tx_hash": "h"}, T0)])
    journal.observed("O-1", {"venue_order_id": "V1"}, "ACCEPTED", T0)
    journal.filled("O-1", "t1", T0 + 1)
    journal.intent([Intent("cancel", "cancel", facts_of(order), {"nonce": 4}, T0 + 2)])
    (entry,) = journal.open_intents()
    assert dict(entry.ids) == {"tx_hash": "h", "venue_order_id": "V1", "nonce": 4}
    assert (entry.accepted, tuple(entry.fills)) == (True, ("t1",))
    tracked = tracked_of_intent(entry)
    assert (str(tracked.price), tracked.post_only, tracked.sent_wall_ns) == ("99.5", True, T0)
    assert tracked.working is OrderStatus.ACCEPTED
    journal.closed("O-1", "FILLED", T0 + 3)
    assert list(journal.open_intents()) == []
    assert list(journal.delivered_fills()) == [("t1", T0 + 1)]


def test_an_order_of_the_engine_is_taken_over_with_what_it_was_told() -> None:
    bench = Bench()
    order = bench.order("O-9")
    bench.see(OrderStatus.ACCEPTED, name="O-9", filled="0", at=0)
    bench.fill("t1", "0.250", "100.0", name="O-9", at=1)
    bench.engine.pending_cancel(order)
    tracked = tracked_of_engine(order, "V1")
    assert tracked.told is OrderStatus.PARTIALLY_FILLED
    assert (tracked.filled_raw, tracked.told_venue_id) == (2_500_000_000_000_000, "V1")
    assert str(tracked.snapshot(tracked.told, tracked.filled_raw, tracked.notional_raw, 0).avg_px) == "100"


# --- positions


def test_a_position_may_be_ahead_of_history_for_as_long_as_history_lags() -> None:
    book, second = PositionBook(), 1_000_000_000
    book.apply_snapshot([], 0, 5 * second)
    assert book.apply_snapshot([_position("1")], 10 * second, 5 * second) == []
    assert book.apply_snapshot([_position("1")], 11 * second, 5 * second) == [], "read twice within the lag"
    assert book.doubtful
    (difference,) = book.apply_snapshot([_position("1")], 15 * second, 5 * second)
    assert (difference.expected, difference.venue) == (0, 1)
    assert not book.doubtful


def _position(qty: str) -> PositionRecord:
    return PositionRecord(instrument_id=IID, signed_qty=qty, avg_px="100", ts_event=0, source=Source.PAGE)


def test_a_position_that_fills_explain_is_no_difference() -> None:
    bench, book = Bench(), PositionBook()
    assert book.apply_snapshot([_position("-0.5")]) == []
    book.apply_fill(bench.fill_record("a", "0.750"), OrderSide.BUY)
    assert book.apply_snapshot([_position("0.25")]) == []
    book.apply_void(bench.fill_record("a", "0.750"), OrderSide.BUY, bench.now.wall_ns)
    assert book.apply_snapshot([_position("-0.5")]) == []


def test_a_difference_is_told_when_it_stays_and_once() -> None:
    bench, book = Bench(), PositionBook()
    book.apply_snapshot([])
    book.apply_fill(bench.fill_record("a", "0.750"), OrderSide.SELL)
    assert book.apply_snapshot([]) == []
    assert book.doubtful
    (difference,) = book.apply_snapshot([])
    assert (difference.expected, difference.venue) == (Decimal("-0.75"), Decimal(0))
    assert book.apply_snapshot([]) == []


def test_a_difference_that_a_late_fill_explains_is_forgotten() -> None:
    bench, book = Bench(), PositionBook()
    book.apply_snapshot([])
    assert book.apply_snapshot([_position("1")]) == []
    book.apply_fill(bench.fill_record("a", "1.000"), OrderSide.BUY)
    assert book.apply_snapshot([_position("1")]) == []
    assert not book.doubtful


def test_fills_of_the_missing_ones_size_after_a_position_was_read_do_not_explain_it() -> None:
    """Somebody buys one after another, and one buy was never told: the position goes on with one more."""
    bench, book = Bench(), PositionBook()
    book.apply_snapshot([])
    second, late = 1_000_000_000, bench.fill_record("late", "1.000", at=1_500)
    told = [bench.fill_record(f"t{number}", "1.000", at=2_000 + 1_000 * number) for number in range(2)]
    assert book.apply_snapshot([_position("1")], 2 * second, second, (), T0 + 2 * second - 1) == []
    book.apply_fill(told[0], OrderSide.BUY)
    assert book.doubtful
    (difference,) = book.apply_snapshot([_position("2")], 3 * second, second, (), T0 + 3 * second - 1)
    assert (difference.expected, difference.venue) == (1, 2)
    book.apply_snapshot([_position("3")], 4 * second, second, (), T0 + 4 * second - 1)
    book.apply_fill(told[1], OrderSide.BUY)
    assert not book.doubtful, "that one had happened, and came late"
    book.apply_snapshot([_position("4")], 5 * second, second, (), T0 + 5 * second - 1)
    book.apply_fill(bench.fill_record("new", "2.000", at=6_000), OrderSide.SELL)
    book.apply_fill(late, OrderSide.BUY)
    assert not book.doubtful, "whatever else came in between"


def test_an_equal_difference_after_one_that_was_explained_is_another_one() -> None:
    bench, book = Bench(), PositionBook()
    book.apply_snapshot([])
    assert book.apply_snapshot([_position("1")], now_ns=0, settle_ns=10) == []
    book.apply_fill(bench.fill_record("a", "1.000"), OrderSide.BUY)
    assert not book.doubtful
    assert book.apply_snapshot([_position("2")], now_ns=20, settle_ns=10) == [], "its fill may be under way"
    assert len(book.apply_snapshot([_position("2")], now_ns=30, settle_ns=10)) == 1


def test_a_difference_is_not_seen_twice_in_a_row_when_fills_moved_in_between() -> None:
    bench, book = Bench(), PositionBook()
    book.apply_snapshot([])
    assert book.apply_snapshot([_position("1")], now_ns=0, settle_ns=10) == []
    assert book.apply_snapshot([_position("2")], 20, 10, [bench.iid]) == []
    book.apply_fill(bench.fill_record("a", "1.000"), OrderSide.BUY)
    assert book.apply_snapshot([_position("2")], 40, 10) == []
    assert [str(one.venue) for one in book.apply_snapshot([_position("2")], 60, 10)] == ["2"]


def test_fills_that_never_come_hide_no_difference_of_another_market() -> None:
    bench = Bench(lookup_settles_ms=1_000, history_lag_ms=1_000)
    bench.order()
    other = InstrumentId.from_str("ETH-USD-PERP.HV")

    def position(of: InstrumentId, qty: str) -> PositionRecord:
        return PositionRecord(instrument_id=of, signed_qty=qty, avg_px="100", ts_event=0, source=Source.PAGE)

    pages: dict[str | None, Page] = {None: Page([])}
    reports = AccountReports(
        reads=_reads(Pages(pages)),
        source=Pages(pages),
        tracker=bench.tracker,
        delivery=bench.delivery,
        reporter=Reporter("HV", AccountId("HV-1")),
        positions=bench.positions,
        symbols=bench.symbols,
        semantics=bench.tracker.semantics,
        scope=TaskScope("test", bench.counters, logging.getLogger("venuekit.test")),
        clock=bench.clock,
        counters=bench.counters,
        log=logging.getLogger("venuekit.test"),
    )

    def compared() -> bool:
        bench.clock.advance(2_000_000_000)
        return asyncio.run(reports.compare_positions())

    assert compared(), "everything is flat"
    bench.see(OrderStatus.ACCEPTED, filled="0.400", at=1)
    pages[None] = Page([position(bench.iid, "0.4"), position(other, "3")])
    assert not compared()
    assert not compared()
    assert bench.counters.get("alarms.position_differs") == 1
    bench.fill("t1", "0.400", at=1)
    assert compared()
    assert bench.counters.get("alarms.position_differs") == 1


# --- reads


class Pages:
    """A source of scripted pages and look-ups."""

    def __init__(self, pages: dict[str | None, Page]) -> None:
        self.pages = pages
        self.running = self.most = 0
        self.answers: dict[str, object] = {}

    async def page(self, query, window, cursor):
        return self.pages[cursor]

    async def look_up(self, ids, since):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        answer = self.answers.get(ids.client_order_id, NotFound(conclusive=False))
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _reads(source: Pages, answers: list | None = None) -> AccountReads:
    counters, log = CounterTable(), logging.getLogger("venuekit.test")
    reads = AccountReads(source, TaskScope("test", counters, log), counters, log)
    if answers is not None:
        reads.on_answer = lambda key, answer: answers.append((key, answer))
    return reads


def test_pages_are_read_to_the_end_and_a_circle_is_an_error() -> None:
    row = _position("1")
    pages = Pages({None: Page([row], "b"), "b": Page([row, row])})
    assert len(asyncio.run(_reads(pages).rows(Query.OPEN, Window()))) == 3
    circle = Pages({None: Page([row], "b"), "b": Page([row], "b")})
    with pytest.raises(GiveUp):
        asyncio.run(_reads(circle).rows(Query.OPEN, Window()))


def test_a_position_that_cannot_be_read_is_never_flat() -> None:
    pages = Pages({None: Page([], quarantined=[Quarantined("bad_row", "no size")])})
    assert asyncio.run(_reads(pages).rows(Query.CLOSED, Window())) == []
    with pytest.raises(DecodeError):
        asyncio.run(_reads(pages).rows(Query.POSITIONS, Window()))


def test_look_ups_run_a_few_at_a_time_and_every_one_is_answered() -> None:
    answers: list[tuple[str, object]] = []
    source = Pages({})
    found = Found(Bench().record(OrderStatus.ACCEPTED, name="O-3"))
    source.answers = {
        "O-1": SendFailed("x", evidence=Evidence.MAYBE_SENT),
        "O-2": ValueError("a parser's bug"),
        "O-3": found,
        "O-4": asyncio.CancelledError("of a driver's own"),
    }

    async def body() -> None:
        reads = _reads(source, answers)
        for n in range(12):
            reads.look_up(LookUp(f"O-{n}", WireIds(client_order_id=f"O-{n}"), 0))
        for _ in range(100):
            await asyncio.sleep(0)
        assert reads.depth() == 0

    asyncio.run(body())
    assert source.most == 4
    assert len(answers) == 12
    assert dict(answers)["O-1"] is None
    assert dict(answers)["O-2"] is None
    assert dict(answers)["O-4"] is None
    assert dict(answers)["O-3"] is found


def test_an_answer_that_breaks_something_keeps_no_other_order_from_being_asked_about() -> None:
    asked: list[str] = []

    def take(key: str, _answer: object) -> None:
        asked.append(key)
        raise ValueError("planted")

    async def body() -> None:
        counters, log = CounterTable(), logging.getLogger("venuekit.test")
        reads = AccountReads(Pages({}), TaskScope("test", counters, log), counters, log)
        reads.on_answer = take
        for n in range(6):
            reads.look_up(LookUp(f"O-{n}", WireIds(client_order_id=f"O-{n}"), 0))
        for _ in range(100):
            await asyncio.sleep(0)
        assert counters.get("tasks.crashed") == 6

    asyncio.run(body())
    assert asked == [f"O-{n}" for n in range(6)]


# --- reports


def test_every_venue_order_id_carries_its_venue() -> None:
    reporter = Reporter("HV", AccountId("HV-1"))
    assert str(reporter.venue_order_id("17")) == "HV-17"
    assert reporter.raw_venue_order_id(VenueOrderId("HV-17")) == "17"
    assert reporter.raw_venue_order_id("NV-17") is None
    assert reporter.raw_venue_order_id(None) is None


def test_long_trade_keys_get_a_stable_name_and_different_ones_differ() -> None:
    assert str(trade_id_of("t1")) == "t1"
    long_one, other = trade_id_of("x" * 80), trade_id_of("x" * 79 + "y")
    assert len(str(long_one)) == 36
    assert long_one == trade_id_of("x" * 80)
    assert long_one != other


def test_a_position_report_always_has_its_average_price() -> None:
    reporter = Reporter("HV", AccountId("HV-1"))
    report = reporter.position(_position("-0.500"), 3, 1)
    assert (report.position_side, str(report.quantity), report.avg_px_open) == (
        PositionSide.SHORT,
        "0.500",
        Decimal(100),
    )
    flat = PositionRecord(instrument_id=IID, signed_qty="0", avg_px=None, ts_event=0, source=Source.PAGE)
    assert reporter.position(flat, 3, 1).is_flat
    with pytest.raises(BadValue):
        reporter.position(
            PositionRecord(instrument_id=IID, signed_qty="1", avg_px=None, ts_event=0, source=Source.PAGE),
            3,
            1,
        )


def test_the_sample_instrument_has_the_grid_the_tests_use() -> None:
    assert str(perpetual("HV").price_increment) == "0.5"
