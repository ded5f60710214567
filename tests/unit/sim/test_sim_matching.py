"""Price-time priority, order types and self-trade prevention, with figures worked out by hand."""

from decimal import Decimal

import pytest

from venuekit.sim.records import (
    BboChanged,
    BookChanged,
    OrderChanged,
    OrderKind,
    OrderStatus,
    Reason,
    SelfTrade,
    Tif,
    Traded,
)

SYMBOL = "AAA-PERP"


def test_better_price_first_then_older_order(desk):
    first = desk.order("a", "SELL", "1", "101")
    second = desk.order("b", "SELL", "1", "101")
    late_but_better = desk.order("b", "SELL", "1", "100.5")
    taker = desk.order("c", "BUY", "2.5", "101")
    fills = desk.exchange.fills("c")
    assert [(one.price, one.quantity) for one in fills] == [
        (Decimal("100.5"), Decimal(1)),
        (Decimal(101), Decimal(1)),
        (Decimal(101), Decimal("0.5")),
    ]
    assert desk.now(late_but_better).status is OrderStatus.FILLED
    assert desk.now(first).status is OrderStatus.FILLED
    assert desk.now(second).remaining == Decimal("0.5")
    # (100.5 x 1 + 101 x 1.5) / 2.5
    assert taker.average_price == Decimal("100.8")
    assert taker.status is OrderStatus.FILLED


def test_rest_of_a_taker_stands_at_its_limit(desk):
    desk.order("a", "SELL", "1", "100")
    taker = desk.order("b", "BUY", "3", "100.5")
    assert taker.status is OrderStatus.OPEN
    assert taker.remaining == Decimal(2)
    assert desk.exchange.book(SYMBOL).bids == ((Decimal("100.5"), Decimal(2)),)
    assert desk.exchange.book(SYMBOL).asks == ()


def test_post_only_is_closed_when_it_would_trade_and_rests_otherwise(desk):
    desk.order("a", "SELL", "1", "100")
    refused = desk.order("b", "BUY", "1", "100", post_only=True)
    rested = desk.order("b", "BUY", "1", "99.5", post_only=True)
    assert (refused.status, refused.reason) == (OrderStatus.REFUSED, Reason.POST_ONLY)
    assert rested.status is OrderStatus.OPEN
    assert desk.exchange.fills("b") == []


def test_ioc_trades_what_it_can_and_never_rests(desk):
    desk.order("a", "SELL", "1", "100")
    order = desk.order("b", "BUY", "3", "100", tif=Tif.IOC)
    assert (order.status, order.reason) == (OrderStatus.CANCELLED, Reason.IOC_REMAINDER)
    assert order.filled == Decimal(1)
    assert desk.exchange.book(SYMBOL).bids == ()


def test_fok_trades_all_or_nothing(desk):
    desk.order("a", "SELL", "1", "100")
    desk.order("a", "SELL", "1", "100.5")
    short = desk.order("b", "BUY", "2.01", "100.5", tif=Tif.FOK)
    assert (short.status, short.reason, short.filled) == (OrderStatus.CANCELLED, Reason.FOK_UNFILLED, 0)
    whole = desk.order("b", "BUY", "2", "100.5", tif=Tif.FOK)
    assert whole.status is OrderStatus.FILLED


def test_market_order_stops_at_the_band(desk):
    # Mark 100, band 10 %: nothing above 110.
    desk.order("a", "SELL", "1", "110")
    desk.order("a", "SELL", "1", "110.5")
    order = desk.order("b", "BUY", "2")
    assert order.filled == Decimal(1)
    assert order.reason is Reason.IOC_REMAINDER


@pytest.mark.parametrize(
    ("mode", "maker_open", "taker_status", "traded"),
    [
        (SelfTrade.EXPIRE_MAKER, False, OrderStatus.FILLED, "1"),
        (SelfTrade.EXPIRE_TAKER, True, OrderStatus.CANCELLED, "0"),
        (SelfTrade.EXPIRE_BOTH, False, OrderStatus.CANCELLED, "0"),
    ],
)
def test_an_account_never_trades_with_itself(desk, mode, maker_open, taker_status, traded):
    own = desk.order("a", "SELL", "1", "100")
    desk.order("b", "SELL", "1", "100")
    taker = desk.order("a", "BUY", "1", "100", stp=mode)
    assert desk.now(own).closed is not maker_open
    assert desk.now(own).reason is (None if maker_open else Reason.SELF_TRADE)
    assert taker.status is taker_status
    assert taker.filled == Decimal(traded)
    for trade in desk.exchange.trades(SYMBOL):
        assert trade.quantity == Decimal(traded)


def test_stop_waits_for_the_mark_and_take_profit_for_the_other_side(desk):
    desk.order("b", "BUY", "5", "97")
    stop = desk.order("a", "SELL", "1", trigger_price=Decimal(98), kind=OrderKind.STOP_MARKET)
    profit = desk.order("a", "SELL", "1", "103", trigger_price=Decimal(102), kind=OrderKind.TAKE_PROFIT_LIMIT)
    assert stop.status is profit.status is OrderStatus.UNTRIGGERED
    desk.exchange.set_price(SYMBOL, Decimal("98.01"))
    assert desk.now(stop).status is OrderStatus.UNTRIGGERED
    desk.exchange.set_price(SYMBOL, Decimal(98))
    assert desk.now(stop).status is OrderStatus.FILLED
    assert desk.now(profit).status is OrderStatus.UNTRIGGERED
    desk.exchange.set_price(SYMBOL, Decimal(102))
    assert desk.now(profit).status is OrderStatus.OPEN
    assert desk.exchange.book(SYMBOL).asks == ((Decimal(103), Decimal(1)),)


def test_book_sequence_moves_by_one_and_deltas_rebuild_the_book(desk):
    desk.order("a", "SELL", "2", "100")
    desk.order("a", "SELL", "1", "100.5")
    resting = desk.order("a", "BUY", "1", "99")
    desk.order("b", "BUY", "2.5", "100.5")
    desk.exchange.cancel(resting.id)
    changes = desk.of(BookChanged)
    # 1 is the empty book with which the market opened.
    assert [one.seq for one in changes] == list(range(2, len(changes) + 2))
    rebuilt = {"bids": {}, "asks": {}}
    for change in changes:
        rebuilt["bids"].update(change.bids)
        rebuilt["asks"].update(change.asks)
    view = desk.exchange.book(SYMBOL)
    # 2 at 100 are gone, and 0.5 of the 1 at 100.5.
    assert (view.bids, view.asks) == ((), ((Decimal("100.5"), Decimal("0.5")),))
    assert {price: size for price, size in rebuilt["asks"].items() if size} == dict(view.asks)
    assert {price: size for price, size in rebuilt["bids"].items() if size} == dict(view.bids)
    assert view.seq == changes[-1].seq
    # The last best ask told is the best ask there is.
    assert desk.of(BboChanged)[-1].ask == view.asks[0]


def test_fills_name_the_sequence_of_the_publication_that_shows_them(desk):
    desk.order("a", "SELL", "2", "100")
    desk.events.clear()
    desk.order("b", "BUY", "1", "100")
    [change] = desk.of(BookChanged)
    assert {one.book_seq for one in (*desk.exchange.fills("a"), *desk.exchange.fills("b"))} == {change.seq}
    assert desk.of(Traded)[0].trade.book_seq == change.seq


def test_versions_of_an_order_move_by_one(desk):
    order = desk.order("a", "SELL", "2", "100")
    desk.order("b", "BUY", "0.5", "100")
    desk.order("b", "BUY", "0.5", "100")
    desk.exchange.cancel(order.id)
    versions = [one.order.version for one in desk.of(OrderChanged) if one.order.id == order.id]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) == 6  # admitted, resting, two fills, cancel requested, closed


def test_listener_that_acts_is_told_in_order(desk):
    desk.order("a", "SELL", "1", "100")
    told = []

    def answer(event):
        if isinstance(event, Traded):
            desk.order("a", "SELL", "1", "101")
        told.append(event)

    desk.exchange.listen(answer)
    later_listener, before = [], len(desk.events)
    desk.exchange.listen(later_listener.append)
    desk.order("b", "BUY", "1", "100")
    seqs = [one.seq for one in told if isinstance(one, BookChanged)]
    assert seqs == sorted(seqs)
    assert len(seqs) == 2
    assert later_listener == desk.events[before:]


def test_modify_down_keeps_the_place_and_everything_else_loses_it(desk):
    first = desk.order("a", "SELL", "3", "100")
    second = desk.order("b", "SELL", "1", "100")
    desk.exchange.apply_modify(first.id, quantity=Decimal(2))
    assert desk.exchange.size_ahead(second.id) == Decimal(2)
    desk.exchange.apply_modify(first.id, quantity=Decimal(4))
    assert desk.exchange.size_ahead(second.id) == Decimal(0)
    assert desk.exchange.size_ahead(first.id) == Decimal(1)


def test_modify_that_crosses_trades_and_a_bad_one_changes_nothing(desk):
    desk.order("a", "SELL", "1", "101")
    order = desk.order("b", "BUY", "2", "99")
    bad = desk.exchange.apply_modify(order.id, price=Decimal("99.3"))
    assert (bad.price, bad.status) == (Decimal(99), OrderStatus.OPEN)
    assert desk.of(OrderChanged)[-1].text == "PRICE_STEP"
    crossed = desk.exchange.apply_modify(order.id, price=Decimal(101))
    assert crossed.filled == Decimal(1)
    assert desk.exchange.book(SYMBOL).bids == ((Decimal(101), Decimal(1)),)
    too_small = desk.exchange.apply_modify(order.id, quantity=Decimal(1))
    assert too_small.quantity == Decimal(2)
