"""Frames lost, doubled, swapped and made up: books end right, fills come once, other markets go on."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from nautilus_trader.model import AggressorSide, OrderBookDeltas, OrderStatus, QuoteTick, TradeTick
from paradex_rig import BTC, BTC_ID, ETH, ETH_ID, Rig, run, streams_between, until

from venuekit.interfaces.stream import DataKind

BOOK = "order_book.BTC-USD-PERP.deltas"
FILL, ORDER, POSITION, ACCOUNT = 21, 20, 22, 23
type Frame = bytes | str


async def books(rig: Rig) -> None:
    """Both books are subscribed and whole."""
    for market, bid, ask in ((BTC, "83000.0", "84000.0"), (ETH, "3000.00", "3040.00")):
        rig.x.counter("BUY", "1", bid, market)
        rig.x.counter("SELL", "1", ask, market)
        rig.want(DataKind.BOOK_DELTAS, market)
    await rig.same_book(BTC)
    await rig.same_book(ETH)


def moves(rig: Rig, n: int, start: int = 1) -> None:
    """Each book changes n times."""
    for step in range(start, start + n):
        rig.x.counter("BUY", "0.5", f"{83000 + step}.0", BTC)
        rig.x.counter("SELL", "0.5", f"{3040 + step}.00", ETH)


# --- books


@pytest.mark.parametrize("dropped", [1, 3])
def test_a_lost_book_frame_breaks_this_book_only_until_its_snapshot(dropped: int) -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        resyncs, eth = rig.count("topics.resync"), len(rig.market.of(OrderBookDeltas, ETH_ID))
        rig.x.fault("F16", points=["out"], label=BOOK, times=dropped, trigger={"nth": 2})
        moves(rig, 8)
        await rig.same_book(BTC)
        await rig.same_book(ETH)
        assert rig.x.acted() == dropped
        assert rig.count("book.broken") == 1
        assert rig.count("topics.resync") - resyncs == 1
        assert len(rig.market.of(OrderBookDeltas, ETH_ID)) - eth == 8, "the other market went on"
        assert rig.count("session.ended.lost") == 0
        # After the gap nothing but a snapshot may come first.
        own = rig.market.of(OrderBookDeltas, BTC_ID)
        gaps = [b for a, b in pairwise(own) if b.sequence != a.sequence + 1]
        assert [one.deltas[0].action.name for one in gaps] == ["CLEAR"]
        moves(rig, 2, start=20)
        await rig.same_book(BTC)

    run(body, data=True)


def test_a_doubled_book_frame_is_counted_and_changes_nothing() -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        before = len(rig.market.of(OrderBookDeltas, BTC_ID))
        rig.x.fault("F14", points=["out"], label=BOOK, times=3, trigger={"nth": 2})
        moves(rig, 6)
        await rig.same_book(BTC)
        await until(lambda: rig.count("book.repeated") == 3, "three repetitions")
        assert rig.count("book.broken") == 0
        assert len(rig.market.of(OrderBookDeltas, BTC_ID)) - before == 6

    run(body, data=True)


def test_a_doubled_snapshot_and_a_lost_one_both_end_in_the_right_book() -> None:
    async def body(rig: Rig) -> None:
        rig.x.counter("BUY", "1", "83000.0")
        rig.x.fault("F14", points=["out"], label=BOOK)
        rig.want(DataKind.BOOK_DELTAS)
        await rig.same_book(BTC)
        rig.x.fault("F16", points=["out"], label=BOOK, times=2)
        moves(rig, 3)
        await rig.same_book(BTC)
        moves(rig, 3, start=10)
        await rig.same_book(BTC)

    run(body, data=True)


def test_a_book_that_nothing_touched_yet_is_taken_and_goes_on() -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.BOOK_DELTAS)
        await until(lambda: rig.market.of(OrderBookDeltas, BTC_ID), "the empty book")
        rig.x.counter("BUY", "1", "83000.0")
        await rig.same_book(BTC)
        assert (rig.count("quarantined.bad_book"), rig.count("book.broken"), rig.count("topics.resync")) == (
            0,
            0,
            0,
        )

    run(body, data=True)


def test_two_swapped_book_frames_break_the_book_once() -> None:
    held: list[Frame] = []

    def swap(frame: Frame) -> Sequence[Frame]:
        if template(frame) != 3 or market_of(frame) != BTC:
            return (frame,)
        if not held:
            held.append(frame)
            return ()
        if len(held) == 1:
            held.append(frame)
            return (frame, held[0])
        return (frame,)

    async def body(rig: Rig) -> None:
        await books(rig)
        rig.x.relay.change = swap
        moves(rig, 5)
        await rig.same_book(BTC)
        await rig.same_book(ETH)
        assert rig.count("book.broken") >= 1

    run(body, data=True, between=streams_between)


def test_books_come_back_whole_after_every_cut() -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        for turn in range(5):
            moves(rig, 2, start=10 * turn + 1)
            rig.x.drop()
            moves(rig, 2, start=10 * turn + 5)
            await rig.same_book(BTC)
            await rig.same_book(ETH)
        await rig.live()

    run(body, data=True)


# --- bad input


def template(frame: Frame) -> int | None:
    return struct.unpack_from("<H", frame, 2)[0] if isinstance(frame, bytes) and len(frame) >= 8 else None


def market_of(frame: Frame) -> str:
    assert isinstance(frame, bytes)
    return next((market for market in (BTC, ETH) if market.encode() in frame), "")


def sbe(kind: int, schema: int = 1, block: int = 40, body: bytes = b"") -> bytes:
    return struct.pack("<HHHH", block, kind, schema, 2) + body


def said(channel: str, data: object) -> str:
    params = {"channel": channel, "data": data}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})


TRADE = {
    "id": "1", "market": BTC, "side": "BUY", "size": "0.1", "price": "83000", "created_at": 1,
    "trade_type": "FILL",
}  # fmt: skip

GARBAGE: dict[str, Frame] = {
    "words": "not json at all",
    "empty text": "",
    "empty bytes": b"",
    "half of an object": '{"jsonrpc":"2.0","method":"subscr',
    "a list": "[1,2,3]",
    "null": "null",
    "a number": "17",
    "deep": "[" * 50_000,
    "random bytes": bytes(range(256)),
    "one byte": b"\x00",
    "a header without a body": sbe(3),
    "a trade cut off": sbe(1, body=b"\x01" * 10),
    "a book cut off": sbe(3, block=89, body=b"\x01" * 60),
    "an unknown template": sbe(999, body=b"\x00" * 80),
    "an unknown schema": sbe(1, schema=77, body=b"\x00" * 80),
    "a price that is no number": said(f"trades.{BTC}", {**TRADE, "price": "NaN"}),
    "an infinite price": said(f"trades.{BTC}", {**TRADE, "price": "Infinity"}),
    "a price beyond all": said(f"trades.{BTC}", {**TRADE, "price": "1" + "0" * 400}),
    "a negative size": said(f"trades.{BTC}", {**TRADE, "size": "-5"}),
    "a trade without a price": said(f"trades.{BTC}", {k: v for k, v in TRADE.items() if k != "price"}),
    "an unknown market": said("trades.NOPE-USD-PERP", {**TRADE, "market": "NOPE-USD-PERP"}),
    "an unknown channel": said("weather.BERLIN", {"rain": True}),
    "an unasked reply": '{"jsonrpc":"2.0","result":{},"id":123456}',
    "an unasked reply of ours": '{"jsonrpc":"2.0","result":{},"id":4000000000009999}',
    "a huge id": '{"jsonrpc":"2.0","result":{},"id":1e400}',
    "an id of letters": '{"jsonrpc":"2.0","result":{},"id":"abc"}',
}


def quarantined(rig: Rig) -> int:
    return sum(n for name, n in rig.counters.snapshot().items() if name.startswith("quarantined."))


@pytest.mark.parametrize("which", list(GARBAGE))
def test_garbage_on_a_live_session_is_counted_and_the_rest_goes_on(which: str) -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        rig.want(DataKind.TRADES)
        rig.want(DataKind.QUOTES, ETH)
        await until(lambda: rig.market.of(QuoteTick, ETH_ID), "a quote")
        resting = await rig.accepted("O-1")
        reached = await rig.x.relay.inject(GARBAGE[which])
        assert reached == 2, "the public and the private stream"
        moves(rig, 4)
        rig.x.cross("O-1", "0.004")
        await rig.same_book(BTC)
        await rig.same_book(ETH)
        await rig.status(resting, "PARTIALLY_FILLED")
        counted = quarantined(rig) + rig.count("frames.undecodable") + rig.count("rpc.reply_unmatched")
        counted += rig.count("data.unwanted")
        assert counted >= 1, rig.counters.snapshot()
        assert not rig.market.of(TradeTick, BTC_ID)[1:], "nothing was made up"
        ended = {name for name in rig.counters.snapshot() if name.startswith("session.ended")}
        assert not ended, "the clients stayed up"
        await rig.live()
        await rig.accepted("O-2")

    run(body, data=True, between=streams_between)


def test_a_trade_of_an_unknown_side_keeps_its_price_and_size() -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.TRADES)
        await until(lambda: rig.x.sent('"subscribe"', f"trades.{BTC}"), "subscribed")
        await rig.x.relay.inject(said(f"trades.{BTC}", {**TRADE, "side": "SIDEWAYS"}))
        await until(lambda: rig.market.of(TradeTick, BTC_ID), "the trade")
        (trade,) = rig.market.of(TradeTick, BTC_ID)
        assert (str(trade.price), str(trade.size)) == ("83000.0", "0.10000")
        assert trade.aggressor_side == AggressorSide.NO_AGGRESSOR, "not defaulted to one of the two"

    run(body, data=True, between=streams_between)


def test_every_frame_in_is_accounted_for() -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        for frame in GARBAGE.values():
            await rig.x.relay.inject(frame)
        moves(rig, 10)
        await rig.same_book(BTC)
        rig.x.drop()
        await rig.down()
        await rig.live()
        await rig.same_book(ETH)
        await rig.data.stop()
        await rig.service.stop()
        parts = ("frames.handled", "frames.stale", "frames.undecodable", "frames.failed")
        assert rig.count("frames.in") == sum(rig.count(name) for name in parts)

    run(body, data=True, settle=False, between=streams_between)


def test_a_text_that_is_not_utf8_ends_the_connection_and_it_comes_back() -> None:
    async def body(rig: Rig) -> None:
        await books(rig)
        for client in rig.x.relay.clients:
            # A text frame by hand: final, opcode 1, two bytes.
            client._writer.transport.write(b"\x81\x02\xff\xfe")
        moves(rig, 3)
        await rig.same_book(BTC)
        await until(lambda: rig.count("session.ended.closed") >= 2, "both ended")
        await rig.live()
        await rig.accepted("O-1")

    run(body, data=True, between=streams_between)


# --- the private stream


@pytest.mark.parametrize("spoiled", [FILL, ORDER, ACCOUNT, POSITION])
def test_a_private_frame_that_cannot_be_read_is_read_over_rest(spoiled: int) -> None:
    def spoil(frame: Frame) -> Sequence[Frame]:
        return (frame[:30],) if template(frame) == spoiled and isinstance(frame, bytes) else (frame,)

    async def body(rig: Rig) -> None:
        resting = await rig.accepted("O-1")
        rig.x.relay.change = spoil
        rig.x.cross("O-1", "0.004")
        await rig.status(resting, "PARTIALLY_FILLED")
        await rig.settle()
        assert quarantined(rig) >= 1
        order = rig.submit("O-2")
        await rig.status(order, "ACCEPTED")

    run(body, between=streams_between)


def test_what_all_private_frames_keep_to_themselves_is_read_at_once() -> None:
    def spoil(frame: Frame) -> Sequence[Frame]:
        private = isinstance(frame, bytes) and template(frame) in (FILL, ORDER, ACCOUNT, POSITION)
        return (frame[:30],) if private else (frame,)

    async def body(rig: Rig) -> None:
        resting = await rig.accepted("O-1")
        rig.x.relay.change = spoil
        rig.x.cross("O-1", "0.004")
        await rig.status(resting, "PARTIALLY_FILLED")
        assert rig.count("recovery.asked") >= 1
        assert rig.count("recovery.compared") == 0, "nobody looked of his own accord"

    run(body, between=streams_between, compare_ms=0)


def test_doubled_private_frames_change_nothing() -> None:
    async def body(rig: Rig) -> None:
        rig.x.relay.change = lambda frame: (frame, frame)
        for price in ("83400.0", "83400.1"):
            rig.x.counter("SELL", "0.004", price)
        resting = await rig.accepted("O-1")
        taken = rig.submit("O-2", "BUY", "0.008", "83500.0")
        await rig.status(taken, "FILLED")
        rig.x.cross("O-1", "0.003")
        rig.x.cross("O-1", "0.003")
        rig.cancel(resting)
        await rig.status(resting, "CANCELED")
        await rig.settle()
        assert rig.count("fills.duplicates") >= 4

    run(body, between=streams_between)


@pytest.mark.parametrize("late", [ORDER, FILL])
def test_orders_and_fills_may_overtake_each_other(late: int) -> None:
    held: list[Frame] = []

    def hold(frame: Frame) -> Sequence[Frame]:
        if template(frame) == late:
            held.append(frame)
            return ()
        if held and template(frame) == (FILL if late == ORDER else ORDER):
            out, held[:] = (frame, *held), []
            return out
        return (frame,)

    async def body(rig: Rig) -> None:
        rig.x.relay.change = hold
        for number, price in enumerate(("83400.0", "83400.1", "83400.2")):
            rig.x.counter("SELL", "0.004", price)
            order = rig.submit(f"O-{number}", "BUY", "0.004", "83500.0")
            await rig.status(order, "FILLED")
        order = rig.submit("O-9", "BUY", "0.004", "80000.0")
        rig.x.relay.change = lambda frame: (*held, frame)
        await until(lambda: rig.x.orders("O-9") and rig.x.order("O-9").status.value == "OPEN", "open")
        rig.x.cross("O-9")
        await rig.status(order, "FILLED")

    run(body, between=streams_between)


def test_lost_private_frames_are_found_by_what_later_ones_say() -> None:
    async def body(rig: Rig) -> None:
        resting = await rig.accepted("O-1")
        rig.x.fault("F16", points=["out"], label="fills.ALL", times=1)
        rig.x.cross("O-1", "0.004")
        # The order's own frame says that 0.004 are filled: the fill must be somewhere.
        await rig.status(resting, "PARTIALLY_FILLED")
        await rig.settle()
        rig.x.fault("F16", points=["out"], label="orders.ALL", times=1)
        rig.x.cross("O-1")
        await rig.status(resting, "FILLED")
        assert resting.status == OrderStatus.FILLED

    run(body)


def test_one_mute_topic_is_subscribed_anew_while_the_others_flow() -> None:
    """No gap tells of it: the last frames of the book are lost, and nothing comes after them."""

    async def body(rig: Rig) -> None:
        await books(rig)
        epoch = rig.data.sessions[0].epoch
        rig.x.fault("F16", points=["out"], label=BOOK, times=2, trigger={"chance": 1.0})
        moves(rig, 2)
        await until(lambda: rig.x.acted() >= 2, "both frames are lost")
        for number in range(40):
            if rig.count("topics.mute"):
                break
            rig.x.counter("BUY", "0.1", f"{2_001 + number}.00", ETH)
            await asyncio.sleep(0.25)
        await rig.same_book()
        await rig.same_book(ETH)
        assert rig.count("topics.mute") == 1
        assert rig.count("topics.mute_connection") == 0
        assert rig.data.sessions[0].epoch == epoch

    run(body, data=True, topic_silence_ms=2_500)
