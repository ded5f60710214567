"""The book machine: sequence rules, flags, what breaks it, and silence until it is whole."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import pytest
from nautilus_trader.model import BookAction, BookType, InstrumentId, OrderBook, OrderBookDeltas, OrderSide

from venuekit.core.book import Book, Held, Pace
from venuekit.interfaces.manifest import BookRule, Chain, SnapshotFrom
from venuekit.interfaces.stream import BookUpdate

IID = InstrumentId.from_str("BTC-USD.X")
LAST, SNAP = 128, 32
RECORDED = (
    Path(__file__).parents[3] / "venues" / "paradex" / "tests" / "data" / "sbe" / "book_deltas_btc.json"
)
NULL = -(2**63)


def book(chain: Chain = Chain.PLUS_ONE, *, may_cross: bool = False) -> Book:
    return Book(IID, BookRule(chain, SnapshotFrom.STREAM, may_cross), 1, 3)


def frame(
    seq: int | None,
    bids: list[tuple[int, int]] = (),
    asks: list[tuple[int, int]] = (),
    *,
    snapshot: bool = False,
    first: int | None = -1,
    exponent: int = -3,
) -> BookUpdate:
    return BookUpdate(
        IID, snapshot, seq if first == -1 else first, seq, 11, 22, list(bids), list(asks), exponent
    )


def whole(seq: int = 10, chain: Chain = Chain.PLUS_ONE, **options: bool) -> Book:
    made = book(chain, **options)
    out = made.apply(frame(seq, [(100_000, 5_000)], [(101_000, 6_000)], snapshot=True))
    assert isinstance(out, OrderBookDeltas)
    return made


def told(out: OrderBookDeltas | Held) -> list[tuple[str, str, str, str, int, int]]:
    assert isinstance(out, OrderBookDeltas), out
    return [
        (
            d.action.name,
            d.order.side.name if d.order.side else "-",
            str(d.order.price),
            str(d.order.size),
            d.flags,
            d.sequence,
        )
        for d in out.deltas
    ]


def test_a_snapshot_is_one_clear_and_adds_that_all_carry_the_snapshot_flag():
    made = book()
    out = made.apply(frame(7, [(100_000, 5_000), (99_900, 1_000)], [(100_100, 2_000)], snapshot=True))
    assert told(out) == [
        ("CLEAR", "-", "0.0", "0.000", SNAP, 7),
        ("ADD", "BUY", "100.0", "5.000", SNAP, 7),
        ("ADD", "BUY", "99.9", "1.000", SNAP, 7),
        ("ADD", "SELL", "100.1", "2.000", SNAP | LAST, 7),
    ]
    assert all((d.ts_event, d.ts_init) == (11, 22) for d in out.deltas)


def test_an_empty_snapshot_is_one_clear_with_both_flags():
    assert told(book().apply(frame(7, snapshot=True))) == [("CLEAR", "-", "0.0", "0.000", SNAP | LAST, 7)]


@pytest.mark.parametrize(
    ("bids", "asks", "wanted"),
    [
        ([(99_000, 1_000)], [], [("UPDATE", "BUY", "99.0", "1.000", LAST)]),
        ([], [(102_000, 0)], [("DELETE", "SELL", "102.0", "0.000", LAST)]),
        (
            [(99_000, 1_000), (98_000, 0)],
            [(102_000, 3_000), (103_000, 0)],
            [
                ("UPDATE", "BUY", "99.0", "1.000", 0),
                ("DELETE", "BUY", "98.0", "0.000", 0),
                ("UPDATE", "SELL", "102.0", "3.000", 0),
                ("DELETE", "SELL", "103.0", "0.000", LAST),
            ],
        ),
        (
            [(99_000, 0), (98_000, 7)],
            [],
            [("DELETE", "BUY", "99.0", "0.000", 0), ("UPDATE", "BUY", "98.0", "0.007", LAST)],
        ),
    ],
)
def test_deltas_keep_the_wire_order_and_only_the_last_one_carries_the_last_flag(bids, asks, wanted):
    out = whole(10).apply(frame(11, bids, asks))
    assert told(out) == [(*row, 11) for row in wanted]


def test_a_frame_without_levels_moves_the_sequence_and_publishes_nothing():
    made = whole(10)
    assert made.apply(frame(11)) is Held.SILENT
    assert made.last == 11
    assert isinstance(made.apply(frame(12, [(99_000, 1_000)])), OrderBookDeltas)


def test_nothing_before_a_snapshot():
    made = book()
    assert made.apply(frame(5, [(99_000, 1_000)])) is Held.EARLY
    assert (made.whole, made.last) == (False, None)


@pytest.mark.parametrize("seq", [12, 1_011, 9, 1, 0, 2**63 - 1])
def test_any_step_but_plus_one_breaks_the_book_until_its_snapshot(seq: int):
    made = whole(10)
    assert made.apply(frame(seq, [(99_000, 1_000)])) is Held.BROKEN
    assert str(seq) in made.why
    # Even the frame that would have been next, and the one after the odd one, publish nothing.
    assert made.apply(frame(11, [(99_000, 1_000)])) is Held.EARLY
    assert made.apply(frame(seq + 1, [(99_000, 1_000)])) is Held.EARLY
    assert isinstance(made.apply(frame(3, [(99_000, 1_000)], snapshot=True)), OrderBookDeltas)
    assert isinstance(made.apply(frame(4, [(98_000, 1_000)])), OrderBookDeltas)


def test_the_very_same_frame_twice_is_dropped_but_the_same_number_with_other_levels_breaks():
    made = whole(10)
    made.apply(frame(11, [(99_000, 1_000)]))
    assert made.apply(frame(11, [(99_000, 1_000)])) is Held.REPEATED
    assert isinstance(made.apply(frame(12, [(99_000, 2_000)])), OrderBookDeltas)
    assert made.apply(frame(12, [(99_000, 3_000)])) is Held.BROKEN


def test_a_span_of_numbers_must_join_the_last_one():
    made = whole(10)
    assert isinstance(made.apply(frame(15, [(99_000, 1_000)], first=11)), OrderBookDeltas)
    assert made.last == 15
    assert made.apply(frame(20, [(99_000, 1_000)], first=15)) is Held.BROKEN
    assert whole(10).apply(frame(9, [(99_000, 1_000)], first=11)) is Held.BROKEN


def test_without_numbers_a_plus_one_chain_cannot_be_trusted():
    assert whole(10).apply(frame(None, [(99_000, 1_000)])) is Held.BROKEN


def test_the_previous_chain_starts_where_the_last_frame_ended():
    made = book(Chain.PREVIOUS)
    made.apply(frame(100, [(99_000, 1_000)], snapshot=True, first=0))
    assert isinstance(made.apply(frame(140, [(98_000, 1_000)], first=100)), OrderBookDeltas)
    assert made.apply(frame(180, [(98_000, 1_000)], first=141)) is Held.BROKEN


def test_without_a_chain_frames_are_taken_as_they_come_once_there_is_a_snapshot():
    made = book(Chain.NONE)
    assert made.apply(frame(None, [(99_000, 1_000)])) is Held.EARLY
    made.apply(frame(None, [(99_000, 1_000)], snapshot=True))
    assert isinstance(made.apply(frame(None, [(98_000, 1_000)])), OrderBookDeltas)


@pytest.mark.parametrize(
    ("bids", "kind"),
    [
        ([(99_050, 1_000)], "off_grid"),  # half a tick
        ([(99_000, 1_000), (NULL, 1_000)], "null"),
        ([(0, 1_000), (99_000, 1_000)], "zero_price"),
        ([(-100_000, 1_000)], "negative"),
        ([(99_000, -1_000)], "range"),
        ([(99_000, NULL)], ""),
        ([(99_000, 2**70), (98_000, 0)], "range"),
        ([(2**62 // 100 * 100, 1_000)], "range"),
    ],
)
@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("side", [0, 1])
def test_a_number_that_cannot_be_exact_publishes_nothing_of_its_frame(bids, kind, snapshot, side):
    made = whole(10)
    sides = [bids, []] if side == 0 else [[], bids]
    out = made.apply(frame(11, *sides, snapshot=snapshot))
    assert out is Held.BROKEN, told(out)
    assert kind in made.why or snapshot
    assert made.last is None
    assert made.apply(frame(12, [(99_000, 1_000)])) is Held.EARLY


def test_an_off_grid_size_is_refused_even_though_nautilus_would_round_it():
    # size precision 3, exponent -5: 12345e-5 = 0.12345 has two places too many.
    for levels in ([(9_900_000, 12_345)], [(9_900_000, 12_345), (9_800_000, 100)]):
        made = whole(10)
        assert made.apply(frame(11, levels, exponent=-5)) is Held.BROKEN
        assert "off" in made.why
    made = whole(10)
    assert told(made.apply(frame(11, [(9_900_000, 12_300)], exponent=-5)))[0][2:4] == ("99.0", "0.123")


def test_a_zero_size_in_a_snapshot_is_no_level():
    out = book().apply(frame(5, [(100_000, 0), (99_000, 1_000)], snapshot=True))
    assert [row[0] for row in told(out)] == ["CLEAR", "ADD"]


def test_a_crossed_snapshot_breaks_unless_the_venue_may_cross():
    crossed = frame(5, [(101_000, 1_000)], [(101_000, 1_000)], snapshot=True)
    assert book().apply(crossed) is Held.BROKEN
    assert isinstance(book(may_cross=True).apply(crossed), OrderBookDeltas)


def test_a_mirror_notices_a_crossing_delta_before_it_is_published():
    made = book()
    made.keep()
    made.apply(frame(10, [(100_000, 5_000)], [(101_000, 6_000)], snapshot=True))
    assert made.apply(frame(11, [(101_000, 1_000)])) is Held.BROKEN
    assert made.why == "crossed book"
    assert made.depth(0) is None
    assert made.snapshot(0) is None


def test_depth_has_ten_levels_a_side_and_comes_only_when_they_changed():
    made = book()
    assert made.keep()
    bids = [(100_000 - 100 * n, 1_000 + n) for n in range(12)]
    made.apply(frame(10, bids, [(101_000, 6_000)], snapshot=True))
    first = made.depth(33)
    assert [str(order.price) for order in first.bids] == [f"{100 - n / 10:.1f}" for n in range(10)]
    assert [str(order.size) for order in first.asks] == ["6.000"]
    assert (first.flags, first.sequence, first.ts_init) == (LAST, 10, 33)
    made.apply(frame(11, [(98_900, 9_000)]))  # level 12: outside
    assert made.depth(34) is None
    made.apply(frame(12, [(100_000, 0)]))  # level 1 leaves, level 11 enters
    assert str(made.depth(35).bids[-1].price) == "99.0"


def test_a_kept_book_is_given_as_a_snapshot_that_rebuilds_it():
    made = book()
    made.keep()
    made.apply(frame(10, [(100_000, 5_000), (99_000, 1_000)], [(101_000, 6_000)], snapshot=True))
    made.apply(frame(11, [(99_000, 0), (98_000, 2_000)], [(102_000, 4_000)]))
    rebuilt = OrderBook(IID, BookType.L2_MBP)
    rebuilt.apply_deltas(made.snapshot(44))
    assert [(str(b.price), str(b.first().size)) for b in rebuilt.bids()] == [
        ("100.0", "5.000"),
        ("98.0", "2.000"),
    ]
    assert [(str(a.price), str(a.first().size)) for a in rebuilt.asks()] == [
        ("101.0", "6.000"),
        ("102.0", "4.000"),
    ]
    assert len(made.snapshot(44, 1).deltas) == 3


def test_a_mirror_asked_for_in_the_middle_of_a_book_needs_a_new_snapshot():
    made = whole(10)
    assert not made.keep()
    assert book().keep()


def test_the_sequence_survives_a_frame_that_could_not_be_built_only_as_broken():
    made = whole(10)
    made.apply(frame(11, [(99_050, 1_000)]))
    assert (made.whole, made.last) == (False, None)


def test_the_captured_production_stream_ends_in_the_recorded_book():
    """Frames read by hand here; levels as the capture's own SDK decoded them."""
    recorded = json.loads(RECORDED.read_text())
    made = Book(IID, BookRule(Chain.PLUS_ONE, SnapshotFrom.STREAM), 1, 5)
    mirror = OrderBook(IID, BookType.L2_MBP)
    for row in recorded["frames"]:
        if row["opcode"] != "binary":
            continue
        raw = base64.b64decode(row["b64"])
        block = struct.unpack_from("<H", raw)[0]
        ts, seq, kind = struct.unpack_from("<qqB", raw, 8)
        at, sides = 8 + block, []
        for _ in range(2):
            stride, count = struct.unpack_from("<HH", raw, at)
            at += 4
            sides.append(list(struct.iter_unpack("<qq", raw[at : at + stride * count])))
            at += stride * count
        out = made.apply(BookUpdate(IID, kind == 0, seq, seq, ts * 1_000, 0, *sides))
        if out is not Held.SILENT:
            mirror.apply_deltas(out)
    wanted = recorded["expected_after_last"]
    assert made.last == wanted["seq_no"]
    assert (len(mirror.bids()), len(mirror.asks())) == (wanted["bids"], wanted["asks"])
    for levels, top in ((mirror.bids(5), wanted["top_bids"]), (mirror.asks(5), wanted["top_asks"])):
        assert [(float(str(o.price)), float(str(o.first().size))) for o in levels] == [
            (float(price), float(size)) for price, size in top
        ]


@pytest.mark.parametrize("chain", [Chain.PLUS_ONE, Chain.PREVIOUS])
def test_waiting_frames_join_a_snapshot_only_without_a_hole(chain: Chain):
    def span(first: int, last: int) -> BookUpdate:
        start = first if chain is Chain.PLUS_ONE else first - 1
        return frame(last, [(99_000, last)], first=start)

    def waiting(*spans: tuple[int, int]) -> Book:
        made = Book(IID, BookRule(chain, SnapshotFrom.REST), 1, 3)
        for first, last in spans:
            assert made.apply(span(first, last)) is Held.EARLY
        return made

    made = waiting((1, 4), (5, 8), (9, 12))
    # Made in the middle of the second frame.
    out = made.join(frame(6, [(98_000, 1_000)], snapshot=True))
    assert [deltas.sequence for deltas in out] == [6, 8, 12]
    assert isinstance(made.apply(span(13, 14)), OrderBookDeltas)

    made = waiting((9, 12), (13, 14))
    assert made.join(frame(6, [(98_000, 1_000)], snapshot=True)) is Held.BROKEN
    # They still wait, and a newer snapshot takes them.
    assert [d.sequence for d in made.join(frame(12, [(98_000, 1_000)], snapshot=True))] == [12, 14]

    made = waiting((1, 4), (7, 8))
    assert made.join(frame(3, [(98_000, 1_000)], snapshot=True)) is Held.BROKEN
    assert isinstance(made.join(frame(8, [(98_000, 1_000)], snapshot=True)), list)

    made.break_("connection lost")
    assert [d.sequence for d in made.join(frame(20, [(98_000, 1_000)], snapshot=True))] == [20]


def test_the_frame_behind_a_gap_waits_for_the_snapshot_that_is_asked_for():
    made = Book(IID, BookRule(Chain.PLUS_ONE, SnapshotFrom.REST), 1, 3)
    made.join(frame(5, [(98_000, 1_000)], snapshot=True))
    assert made.apply(frame(8, [(99_000, 1)])) is Held.BROKEN
    assert made.join(frame(6, [(98_000, 1_000)], snapshot=True)) is Held.BROKEN
    assert [d.sequence for d in made.join(frame(7, [(98_000, 1_000)], snapshot=True))] == [7, 8]


def test_resyncs_are_immediate_when_rare_and_spread_out_in_a_storm():
    pace, now, waits = Pace(), 0, []
    for _ in range(8):
        waits.append(pace.apply_broken(now) // 10**9)
        now += waits[-1] * 10**9 + 1
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    assert pace.apply_broken(now + 10**12) == 0


def test_sides_and_actions_are_the_engines_own():
    out = whole(10).apply(frame(11, [(99_000, 1_000)], [(102_000, 0)]))
    assert [(d.order.side, d.action) for d in out.deltas] == [
        (OrderSide.BUY, BookAction.UPDATE),
        (OrderSide.SELL, BookAction.DELETE),
    ]
