"""Wants in, data out: instruments first, books whole or silent, one topic for many wants, shards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from nautilus_trader.model import (
    CryptoPerpetual,
    OrderBookDeltas,
    OrderBookDepth,
    QuoteTick,
    TradeTick,
)
from stream_fakes import SECOND, MarketWorld, instrument, instrument_id

from venuekit.errors import BadValue, DecodeError, GiveUp, NotReady, SendFailed, Unsupported
from venuekit.interfaces.manifest import Chain, SnapshotFrom
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import BookUpdate, DataKind, Page, Quarantined, Want, Window

M0, M1 = instrument_id("M0"), instrument_id("M1")
DELTAS, DEPTH, QUOTES, TRADES = (
    DataKind.BOOK_DELTAS,
    DataKind.BOOK_DEPTH10,
    DataKind.QUOTES,
    DataKind.TRADES,
)


def play(script: Callable[[MarketWorld], Awaitable[None]], **options: Any) -> MarketWorld:
    async def main() -> MarketWorld:
        world = MarketWorld(**options)
        await world.service.start()
        await world.run()
        try:
            await script(world)
        finally:
            closing = asyncio.ensure_future(world.service.stop())
            await world.run(2)
            await closing
        assert world.frames_balance()
        assert world.clock.next_timer_ns() is None
        assert world.server.open_links == 0
        return world

    return asyncio.run(main())


def snapshot(symbol: str, seq: int, bid: int = 100_000, ask: int = 101_000) -> dict[str, Any]:
    return {"book": [symbol, 1, seq, [[bid, 2_000]], [[ask, 3_000]]]}


def delta(symbol: str, seq: int, bid: int = 99_000, size: int = 1_000) -> dict[str, Any]:
    return {"book": [symbol, 0, seq, [[bid, size]], []]}


def test_instruments_come_first_then_only_what_was_wanted():
    async def script(world: MarketWorld) -> None:
        assert [type(obj) for obj in world.seen.got] == [CryptoPerpetual] * 3
        world.service.subscribe(Want(QUOTES, M0))
        world.service.subscribe(Want(TRADES, M0))
        await world.run()
        assert world.server.asked() == ["quotes.M0", "trades.M0"]
        world.server.link.says(quote=["M0", "100.0", "100.5"])
        world.server.link.says(quote=["M1", "100.0", "100.5"])
        world.server.link.says(trade=["M0", "100.0", "t1"])

    world = play(script)
    assert [str(q.bid_price) for q in world.seen.of(QuoteTick)] == ["100.0"]
    assert [str(t.trade_id) for t in world.seen.of(TradeTick)] == ["t1"]
    assert world.counters.get("data.unwanted") == 1


def test_a_gap_silences_one_book_until_its_snapshot_and_resyncs_only_that_topic():
    async def script(world: MarketWorld) -> None:
        for iid in (M0, M1):
            world.service.subscribe(Want(DELTAS, iid))
        await world.run()
        link = world.server.link
        for symbol in ("M0", "M1"):
            link.says(**snapshot(symbol, 5))
            link.says(**delta(symbol, 6))
        link.says(**delta("M0", 8))
        link.says(**delta("M0", 9))
        await world.run()
        assert world.server.left() == ["book.M0"]
        assert world.server.asked() == ["book.M0", "book.M1", "book.M0"]
        link.says(**snapshot("M0", 20))
        link.says(**delta("M0", 21))
        link.says(**delta("M1", 7))

    world = play(script)
    got = [(str(d.instrument_id.symbol), d.sequence) for d in world.seen.of(OrderBookDeltas)]
    assert got == [("M0", 5), ("M0", 6), ("M1", 5), ("M1", 6), ("M0", 20), ("M0", 21), ("M1", 7)]
    assert world.counters.get("book.broken") == 1
    assert world.counters.get("book.before_snapshot") == 1


def sequences(world: MarketWorld, symbol: str = "M0") -> list[int]:
    return [d.sequence for d in world.seen.of(OrderBookDeltas) if str(d.instrument_id.symbol) == symbol]


async def booked(world: MarketWorld, *wants: Want) -> None:
    for want in wants or (Want(DELTAS, M0),):
        world.service.subscribe(want)
    await world.run()
    world.server.link.says(**snapshot("M0", 5))


def test_deltas_and_depth_are_two_wants_on_one_topic():
    async def script(world: MarketWorld) -> None:
        await booked(world, Want(DELTAS, M0), Want(DEPTH, M0))
        world.server.link.says(**delta("M0", 6))
        assert world.server.asked() == ["book.M0"]
        world.service.unsubscribe(Want(DELTAS, M0))
        world.server.link.says(**delta("M0", 7, 98_000))
        await world.run()
        assert world.server.left() == []
        world.service.unsubscribe(Want(DEPTH, M0))
        await world.run()
        assert world.server.left() == ["book.M0"]
        world.server.link.says(**delta("M0", 8))

    world = play(script)
    assert sequences(world) == [5, 6]
    assert [d.sequence for d in world.seen.of(OrderBookDepth)] == [5, 6, 7]
    assert world.counters.get("data.unwanted") == 1


def test_depth_on_a_running_book_starts_with_a_new_snapshot():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.service.subscribe(Want(DEPTH, M0))
        await world.run()
        assert world.server.asked() == ["book.M0", "book.M0"]
        world.server.link.says(**snapshot("M0", 9))
        world.server.link.says(**delta("M0", 10))

    world = play(script)
    assert sequences(world) == [5, 9, 10]
    assert [d.sequence for d in world.seen.of(OrderBookDepth)] == [9, 10]


def test_deltas_on_a_kept_book_start_with_what_is_kept():
    async def script(world: MarketWorld) -> None:
        await booked(world, Want(DEPTH, M0))
        world.server.link.says(**delta("M0", 6))
        world.service.subscribe(Want(DELTAS, M0))
        world.server.link.says(**delta("M0", 7))

    world = play(script)
    first, second = world.seen.of(OrderBookDeltas)
    assert [str(d.order.price) for d in first.deltas] == ["0.0", "100.0", "99.0", "101.0"]
    assert (first.sequence, second.sequence) == (6, 7)


def test_equal_wants_are_counted():
    async def script(world: MarketWorld) -> None:
        for _ in range(2):
            world.service.subscribe(Want(QUOTES, M0))
        world.service.unsubscribe(Want(QUOTES, M0))
        await world.run()
        world.server.link.says(quote=["M0", "1.0", "2.0"])
        world.service.unsubscribe(Want(QUOTES, M0))
        world.service.unsubscribe(Want(QUOTES, M0))
        await world.run()
        world.server.link.says(quote=["M0", "3.0", "4.0"])
        assert world.server.left() == ["quotes.M0"]

    assert len(play(script).seen.of(QuoteTick)) == 1


def test_what_cannot_be_subscribed_is_refused_at_once_with_nothing_on_the_wire():
    async def script(world: MarketWorld) -> None:
        for want, error in (
            (Want(DataKind.BARS, M0), Unsupported),
            (Want(DataKind.INDEX_PRICE, M0), Unsupported),
            (Want(QUOTES, instrument_id("NONE")), BadValue),
        ):
            with pytest.raises(error):
                world.service.subscribe(want)
        await world.run()
        assert world.server.link.sent == []
        world.service.unsubscribe(Want(DataKind.BARS, M0))

    play(script)


def test_a_reconnect_restores_the_wanted_set_and_every_book_from_a_new_snapshot():
    async def script(world: MarketWorld) -> None:
        await booked(world, Want(DELTAS, M0), Want(QUOTES, M0), Want(TRADES, M1))
        world.service.unsubscribe(Want(QUOTES, M0))
        old = world.server.link
        old.cut()
        old.says(**delta("M0", 6))
        await world.run(1)
        assert world.server.asked() == ["book.M0", "trades.M1"]
        world.server.link.says(**delta("M0", 6))  # it would follow, but this connection sent no snapshot yet
        old.says(**delta("M0", 21))  # late, of the dead connection
        world.server.link.says(**snapshot("M0", 20))
        old.says(**delta("M0", 21))
        world.server.link.says(**delta("M0", 21))

    world = play(script)
    assert sequences(world) == [5, 20, 21]
    assert world.counters.get("frames.stale") == 3


def test_an_off_grid_number_costs_that_book_only():
    async def script(world: MarketWorld) -> None:
        await booked(world, Want(DELTAS, M0), Want(DELTAS, M1))
        link = world.server.link
        link.says(**snapshot("M1", 5))
        link.says(**delta("M0", 6, 99_050))
        link.says(**delta("M1", 6))
        await world.run()
        link.says(**snapshot("M0", 7))

    world = play(script)
    assert sequences(world) == [5, 7]
    assert sequences(world, "M1") == [5, 6]
    assert world.server.left(world.server.links[0]) == ["book.M0"]


def test_a_book_that_always_breaks_does_not_hammer_the_venue():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        for seq in range(600):
            world.server.link.says(**snapshot("M0", 1))
            world.server.link.says(**delta("M0", 1_000 + seq))
            await world.run(0.1)
        # 60 s: at once, then after 1, 2, 4, 8, 16, 30 s.
        assert len(world.server.left()) <= 6

    play(script)


def test_a_book_that_is_acknowledged_and_mute_is_asked_for_again():
    async def script(world: MarketWorld) -> None:
        world.service.subscribe(Want(DELTAS, M0))
        await world.run(9)
        assert world.server.asked() == ["book.M0"]
        await world.run(3)
        assert world.server.asked() == ["book.M0", "book.M0"]
        world.server.link.says(**snapshot("M0", 5))
        await world.run(60)
        assert len(world.server.asked()) == 2

    world = play(script)
    assert world.counters.get("book.snapshot_overdue") == 1


def test_a_refused_book_is_not_asked_for_again_and_again():
    async def script(world: MarketWorld) -> None:
        world.server.auto_ack = False
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        world.server.link.says(refuse=["book.M0", "no"])
        await world.run(60)
        assert world.server.asked() == ["book.M0"]

    world = play(script)
    assert world.counters.get("topics.refused") == 1
    assert world.counters.get("book.snapshot_overdue") == 0


def test_a_book_that_was_put_off_comes_when_it_is_given():
    async def script(world: MarketWorld) -> None:
        world.server.auto_ack = False
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        world.server.link.says(refuse=["book.M0", "too many requests", True])
        await world.run(4)
        assert world.server.asked() == ["book.M0"]
        await world.run(2)
        assert world.server.asked() == ["book.M0"] * 2
        world.server.link.says(ack=["book.M0"])
        world.server.link.says(book=["M0", 1, 1, [[100_000, 1_000]], [[101_000, 1_000]]])
        await world.run(60)
        assert len(world.seen.of(OrderBookDeltas)) == 1

    world = play(script)
    assert world.counters.get("topics.put_off") == 1
    assert world.counters.get("book.snapshot_overdue") == 0
    assert world.counters.get("topics.resync") == 0


def test_unsubscribed_and_subscribed_in_one_turn_brings_a_new_snapshot():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.service.unsubscribe(Want(DELTAS, M0))
        world.service.subscribe(Want(DELTAS, M0))
        world.server.link.says(**delta("M0", 6))
        await world.run()
        assert world.server.asked() == ["book.M0", "book.M0"]
        world.server.link.says(**snapshot("M0", 9))

    assert sequences(play(script)) == [5, 9]


def test_a_receiver_that_raises_gets_a_snapshot_before_anything_else_of_that_book():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.seen.raises = True
        world.server.link.says(**delta("M0", 6))
        world.seen.raises = False
        world.server.link.says(**delta("M0", 7))
        await world.run()
        assert world.server.left() == ["book.M0"]
        world.server.link.says(**snapshot("M0", 8))

    world = play(script)
    assert sequences(world) == [5, 8]
    assert world.counters.get("frames.failed") == 1


@pytest.mark.parametrize(("said", "broken"), [("book.M0", 1), ("book.M1", 0), (None, 0)])
def test_a_quarantined_frame_breaks_the_book_of_its_channel(said: str | None, broken: int):
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.server.link.says(junk=said)

    world = play(script)
    assert world.counters.get("book.broken") == broken
    assert world.counters.get("quarantined.junk") == 1


def test_without_a_sequence_any_undecodable_frame_puts_every_book_in_doubt():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.server.link.receiver.on_frame("not json")
        await world.run()
        assert world.server.left() == ["book.M0"]

    play(script, chain=Chain.NONE)


def test_lost_data_of_a_channel_breaks_its_book_and_resyncs_it_once():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.server.link.says(lost=["book.M0"])
        world.server.link.says(**delta("M0", 6))
        await world.run()
        assert world.server.left() == ["book.M0"]
        world.server.link.says(**snapshot("M0", 7))
        await world.run(1)
        assert world.server.asked() == ["book.M0", "book.M0"]

    assert sequences(play(script)) == [5, 7]


def test_more_topics_than_a_connection_may_hold_are_spread_and_leave_alone():
    async def script(world: MarketWorld) -> None:
        for n in range(5):
            world.service.subscribe(Want(QUOTES, instrument_id(f"M{n}")))
        await world.run(1)
        assert [world.server.asked(link) for link in world.server.links] == [
            ["quotes.M0", "quotes.M1"],
            ["quotes.M2", "quotes.M3"],
            ["quotes.M4"],
        ]
        for n, link in enumerate(world.server.links):
            link.says(quote=[f"M{2 * n}", "1.0", "2.0"])
        world.service.unsubscribe(Want(QUOTES, instrument_id("M2")))
        await world.run()
        assert world.server.left(world.server.links[1]) == ["quotes.M2"]
        world.server.links[1].says(quote=["M3", "1.0", "2.0"])
        world.server.links[1].cut()
        await world.run(1)
        assert world.server.asked() == ["quotes.M3"]

    world = play(script, capacity=2, symbols=5)
    assert len(world.seen.of(QuoteTick)) == 4
    assert len(world.service.sessions) == 3


def test_a_changed_instrument_is_published_and_a_changed_grid_starts_its_book_afresh():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        world.instruments.made[0] = instrument("M0", price_precision=2)
        world.server.link.says(changed="M0")
        await world.run()
        assert world.instruments.loads[-1] == [M0]
        assert world.server.left() == ["book.M0"]
        world.server.link.says(**snapshot("M0", 9, bid=100_010))

    world = play(script)
    assert [d.deltas[-1].order.price.precision for d in world.seen.of(OrderBookDeltas)] == [1, 2]
    assert str(world.seen.of(OrderBookDeltas)[-1].deltas[1].order.price) == "100.01"
    assert len(world.seen.of(CryptoPerpetual)) == 4


def test_a_quiet_market_for_hours_is_no_reason_to_reconnect_while_the_peer_pings():
    async def script(world: MarketWorld) -> None:
        await booked(world)
        for _ in range(2 * 60):
            await world.run(60)
            world.server.link.receiver.on_alive()

    world = play(script)
    assert len(world.server.links) == 1
    assert world.counters.get("topics.resync") == 0


def rest(seq: int) -> BookUpdate:
    return BookUpdate(M0, True, seq, seq, 1, 2, [(95_000, 10)], [(96_000, 10)], -3)


def test_a_snapshot_from_history_is_joined_with_the_frames_that_came_meanwhile():
    async def script(world: MarketWorld) -> None:
        world.history.gate = asyncio.get_running_loop().create_future()
        world.history.whole = rest(6)
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        for seq in (5, 6, 7, 8):
            world.server.link.says(**delta("M0", seq))
        await world.run()
        assert sequences(world) == []
        assert world.history.books == 1
        world.history.gate.set_result(None)
        await world.run()
        world.server.link.says(**delta("M0", 9))
        assert sequences(world) == [6, 7, 8, 9]
        world.server.link.says(**delta("M0", 11))
        world.history.whole = rest(11)
        await world.run()
        world.server.link.says(**delta("M0", 12))
        assert world.server.left() == []

    assert sequences(play(script, snapshot=SnapshotFrom.REST)) == [6, 7, 8, 9, 11, 12]


def test_a_snapshot_that_is_too_old_or_fails_is_asked_for_again_with_growing_pauses():
    async def script(world: MarketWorld) -> None:
        world.history.whole = rest(2)
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        for seq in range(5, 105):
            world.server.link.says(**delta("M0", seq))
            if seq == 50:
                world.history.whole = None
            await world.run(0.5)
        assert sequences(world) == []
        assert 3 <= world.history.books <= 8
        assert world.counters.get("book.snapshot_failed") >= 1
        world.history.whole = rest(102)
        await world.run(40)
        world.server.link.says(**delta("M0", 105))

    assert sequences(play(script, snapshot=SnapshotFrom.REST)) == [102, 103, 104, 105]


@pytest.mark.parametrize("chain", list(Chain))
def test_a_snapshot_of_before_a_loss_is_not_joined_with_what_came_after(chain: Chain):
    async def script(world: MarketWorld) -> None:
        world.history.gate = asked = asyncio.get_running_loop().create_future()
        world.history.whole = rest(5)
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        world.server.link.says(**delta("M0", 5))
        await world.run()
        world.server.link.cut()
        await world.run(1)
        # Frames up to 19 went nobody knows where, and no frame came on the new connection yet.
        world.history.gate, world.history.whole = None, rest(20)
        asked.set_result(None)
        await world.run(2)

    assert sequences(play(script, snapshot=SnapshotFrom.REST, chain=chain)) == [20]


def test_a_snapshot_of_a_former_grid_is_not_published():
    async def script(world: MarketWorld) -> None:
        world.history.gate = asked = asyncio.get_running_loop().create_future()
        world.history.whole = rest(5)
        world.service.subscribe(Want(DELTAS, M0))
        await world.run()
        world.server.link.says(**delta("M0", 5))
        await world.run()
        world.instruments.made[0] = instrument("M0", price_precision=2)
        world.server.link.says(changed="M0")
        await world.run()
        asked.set_result(None)
        await world.run(2)

    made = play(script, snapshot=SnapshotFrom.REST).seen.of(OrderBookDeltas)
    assert [deltas.deltas[-1].order.price.precision for deltas in made] == [2]


def test_a_book_whose_topic_the_venue_ended_and_will_not_begin_again_is_not_whole():
    async def script(world: MarketWorld) -> None:
        await booked(world, Want(DELTAS, M0), Want(DEPTH, M0))
        assert (await done(world, world.service.request_book(M0, None))).sequence == 5
        world.server.auto_ack = False
        world.server.link.says(unack=["book.M0"])
        await world.run()
        world.server.link.says(refuse=["book.M0", "no such market"])
        await world.run()
        with pytest.raises(SendFailed):
            await done(world, world.service.request_book(M0, None))
        # What is refused just after it ended may be there twice: only leaving and asking once more tells.
        await world.run(11)
        world.server.link.says(unack=["book.M0"])
        await world.run()
        world.server.link.says(refuse=["book.M0", "no such market"])
        await world.run(60)

    world = play(script)
    assert world.counters.get("topics.refused") == 1
    assert world.server.asked() == ["book.M0"] * 3


def test_a_further_connection_is_tried_until_it_works():
    async def script(world: MarketWorld) -> None:
        world.server.refuse_connect = SendFailed("down", evidence=Evidence.NOT_SENT)
        for n in range(2):
            world.service.subscribe(Want(QUOTES, instrument_id(f"M{n}")))
        await world.run(300)
        assert len(world.server.links) == 1
        world.server.refuse_connect = None
        await world.run(10)
        assert world.server.asked() == ["quotes.M1"]

    play(script, capacity=1)


# --- requests


def trades(*stamps: int) -> list[TradeTick]:
    from nautilus_trader.model import AggressorSide, Price, Quantity, TradeId

    one, size = Price.from_str("1.0"), Quantity.from_str("1.000")
    return [TradeTick(M0, one, size, AggressorSide.BUY, TradeId(f"t{n}"), n, 0) for n in stamps]


async def done(world: MarketWorld, coro: Any) -> Any:
    task = asyncio.ensure_future(coro)
    await world.run()
    return await task


def test_history_is_paged_bounded_deduplicated_and_ascending():
    async def script(world: MarketWorld) -> None:
        world.history.pages = {
            None: Page(trades(9, 8, 7), "p2", quarantined=(Quarantined("bad_row", "x"),)),
            "p2": Page(trades(7, 6, 5), "p3"),
            "p3": Page(trades(4, 3), None),
        }
        rows = await done(world, world.service.request(Want(TRADES, M0), Window(4, 9)))
        assert [row.ts_event for row in rows] == [4, 5, 6, 7, 8]
        rows = await done(world, world.service.request(Want(TRADES, M0), Window(limit=3)))
        assert [row.ts_event for row in rows] == [7, 8, 9]
        assert world.counters.get("quarantined.bad_row") == 2

    play(script)


def test_a_history_that_turns_in_circles_ends_in_an_error():
    async def script(world: MarketWorld) -> None:
        world.history.pages = {None: Page(trades(1), "p"), "p": Page(trades(1), "p")}
        with pytest.raises(GiveUp):
            await done(world, world.service.request(Want(TRADES, M0), Window()))
        with pytest.raises(Unsupported):
            await done(world, world.service.request(Want(DataKind.BARS, M0), Window()))

    play(script)


def test_a_book_request_is_answered_from_the_kept_book_else_from_history():
    async def script(world: MarketWorld) -> None:
        world.history.whole = BookUpdate(
            M0, True, 3, 3, 1, 2, [(95_000, 10), (94_000, 10)], [(96_000, 10)], -3
        )
        made = await done(world, world.service.request_book(M0, 1))
        assert [str(d.order.price) for d in made.deltas] == ["0.0", "95.0", "96.0"]
        await booked(world, Want(DEPTH, M0))
        made = await done(world, world.service.request_book(M0, None))
        assert [str(d.order.price) for d in made.deltas] == ["0.0", "100.0", "101.0"]
        with pytest.raises(BadValue):
            await done(world, world.service.request_book(instrument_id("NONE"), None))
        world.history.whole = BookUpdate(M1, True, 3, 3, 1, 2, [(95_050, 10)], [], -3)
        with pytest.raises(DecodeError):
            await done(world, world.service.request_book(M1, None))
        world.service._parts = type(world.service._parts)(world.instruments)
        with pytest.raises(NotReady):
            await done(world, world.service.request_book(M1, None))

    play(script)


def test_the_first_pages_of_a_limit_are_the_newest():
    async def script(world: MarketWorld) -> None:
        world.history.pages = {None: Page(trades(5 * SECOND, 4 * SECOND), "never asked")}
        rows = await done(world, world.service.request(Want(TRADES, M0), Window(limit=1)))
        assert [row.ts_event for row in rows] == [5 * SECOND]

    play(script)


async def ticking(world: MarketWorld, secs: int, *, book: bool, quotes: bool) -> None:
    """So many seconds in which M1's book, and what is named of M0, brings something every second."""
    for _ in range(secs):
        world.server.link.says(**delta("M1", world.sequence_of("M1")))
        if book:
            world.server.link.says(**delta("M0", world.sequence_of("M0")))
        if quotes:
            world.server.link.says(quote=["M0", "100.0", "100.5"])
        await world.run(1)


def test_one_mute_topic_is_subscribed_anew_while_the_others_flow():
    async def script(world: MarketWorld) -> None:
        for want in (Want(DELTAS, M0), Want(DELTAS, M1), Want(QUOTES, M0), Want(TRADES, M0)):
            world.service.subscribe(want)
        await world.run()
        epoch = world.service.sessions[0].epoch
        for symbol in ("M0", "M1"):
            world.server.link.says(**snapshot(symbol, world.sequence_of(symbol)))
        await ticking(world, 30, book=True, quotes=True)
        assert world.server.left() == []
        await ticking(world, 19, book=False, quotes=True)
        assert world.server.left() == []
        await ticking(world, 3, book=False, quotes=True)
        # Trades were silent from the beginning: that says nothing.
        assert world.server.left() == ["book.M0"]
        assert world.server.asked()[-1] == "book.M0"
        # What comes of the old subscription is not believed; the snapshot is.
        world.server.link.says(**snapshot("M0", 500))
        world.server.link.says(**delta("M0", 501))
        await world.run()
        assert sequences(world)[-2:] == [500, 501]
        assert world.service.sessions[0].epoch == epoch

    world = play(script, silent_ms=20_000)
    assert world.counters.get("topics.mute") == 1
    assert world.counters.get("topics.mute_connection") == 0


def test_a_topic_that_stays_mute_costs_its_connection():
    async def script(world: MarketWorld) -> None:
        for want in (Want(DELTAS, M1), Want(QUOTES, M0)):
            world.service.subscribe(want)
        await world.run()
        world.server.link.says(**snapshot("M1", world.sequence_of("M1")))
        epoch = world.service.sessions[0].epoch
        await ticking(world, 22, book=False, quotes=False)
        assert world.server.left() == ["quotes.M0"]
        assert world.service.sessions[0].epoch == epoch
        await ticking(world, 12, book=False, quotes=False)
        await world.run(2)
        assert world.service.sessions[0].epoch == epoch + 1
        world.server.link.says(quote=["M0", "100.0", "100.5"])

    world = play(script, silent_ms=20_000)
    assert world.counters.get("topics.mute") == 1
    assert world.counters.get("topics.mute_connection") == 1
    assert len(world.seen.of(QuoteTick)) == 1


def test_a_mute_topic_costs_its_connection_though_the_venue_is_slow_to_answer():
    async def script(world: MarketWorld) -> None:
        for symbol in (M0, M1):
            world.service.subscribe(Want(QUOTES, symbol))
        await world.run()
        link, at = world.server.link, world.clock.mono_ns
        answers = {"sub": "ack", "unsub": "unack"}

        def slowly(_: Any, said: dict[str, Any]) -> None:
            for asked in said.keys() & answers.keys():
                answer = partial(link.says, **{answers[asked]: said[asked]})
                world.clock.call_at(at() + 3 * SECOND // 2, answer)

        world.server.heard = slowly  # type: ignore[method-assign]
        while world.server.link is link and at() < 60 * SECOND:
            link.says(quote=["M1", "100.0", "100.5"])
            await world.run(1)
        assert 30 * SECOND <= at() <= 34 * SECOND

    assert play(script, silent_ms=20_000).counters.get("topics.mute_connection") == 1


@pytest.mark.parametrize("answers", [True, False])
def test_a_connection_that_may_be_silent_is_asked_whether_it_lives(answers: bool):
    """Only trades are wanted: their silence says nothing, and pings are answered by a library."""

    async def script(world: MarketWorld) -> None:
        world.service.subscribe(Want(TRADES, M0))
        await world.run()
        epoch, link = world.service.sessions[0].epoch, world.server.link
        world.server.auto_ack = answers
        for _ in range(118):
            world.server.link.receiver.on_alive()
            await world.run(1)
        assert world.server.left() == []
        for _ in range(30):
            world.server.link.receiver.on_alive()
            await world.run(1)
        assert world.server.left(link) == ["trades.M0"]
        world.server.auto_ack = True
        await world.run(2)
        assert world.service.sessions[0].epoch == (epoch if answers else epoch + 1)
        world.server.link.says(trade=["M0", "100.0", "t1"])

    world = play(script)
    assert world.counters.get("topics.probed") == 1
    assert len(world.seen.of(TradeTick)) == 1
