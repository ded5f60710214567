"""Doors, modes, races, money and the control interface of the exchange."""

from decimal import Decimal

import pytest

from venuekit.sim.errors import Refusal
from venuekit.sim.exchange import Rules
from venuekit.sim.records import (
    AccountChanged,
    CancelAnswer,
    FillBusted,
    Filled,
    FillKind,
    FundingPaid,
    Liquidity,
    Mode,
    OrderStatus,
    Reason,
    Side,
)

SYMBOL = "AAA-PERP"


def refused(desk, *args, **more):
    with pytest.raises(Refusal) as caught:
        desk.exchange.admit(desk.request(*args, **more))
    return caught.value.reason


def test_the_door_refuses_form_grid_and_duplicates(desk):
    assert refused(desk, "a", "BUY", "0.015", "100") is Reason.SIZE_STEP
    assert refused(desk, "a", "BUY", "0", "100") is Reason.SIZE_STEP
    assert refused(desk, "a", "BUY", "NaN", "100") is Reason.SIZE_STEP
    assert refused(desk, "a", "BUY", "1", "100.3") is Reason.PRICE_STEP
    assert refused(desk, "a", "BUY", "1", "-1") is Reason.PRICE_STEP
    assert refused(desk, "a", "BUY", "1001", "100") is Reason.SIZE_ABOVE_MAX
    assert refused(desk, "z", "BUY", "1", "100") is Reason.UNKNOWN_ACCOUNT
    order = desk.order("a", "BUY", "1", "90", client_id="x")
    assert refused(desk, "a", "BUY", "1", "90", client_id="x") is Reason.DUPLICATE_CLIENT_ID
    assert desk.order("b", "BUY", "1", "90", client_id="x").status is OrderStatus.OPEN
    desk.exchange.cancel(order.id)
    assert desk.order("a", "BUY", "1", "90", client_id="x").status is OrderStatus.OPEN
    assert len(desk.exchange.orders_by_client_id("a", "x")) == 2


def test_client_ids_can_be_unique_for_good(make_desk):
    desk = make_desk(Rules(client_ids="ever"))
    desk.exchange.cancel(desk.order("a", "BUY", "1", "90", client_id="x").id)
    assert refused(desk, "a", "BUY", "1", "90", client_id="x") is Reason.DUPLICATE_CLIENT_ID


def test_admitted_orders_are_invisible_until_activated(desk):
    order = desk.exchange.admit(desk.request("a", "SELL", "1", "100"))
    assert order.status is OrderStatus.NEW
    assert desk.exchange.book(SYMBOL).asks == ()
    assert desk.exchange.activate(order.id).status is OrderStatus.OPEN
    assert desk.exchange.activate(order.id).version == desk.now(order).version


def test_a_queued_cancel_loses_against_a_fill(desk):
    order = desk.order("a", "SELL", "1", "100")
    assert desk.exchange.request_cancel(order.id) is CancelAnswer.QUEUED
    desk.order("b", "BUY", "0.4", "100")
    desk.order("b", "BUY", "0.6", "100")
    after = desk.exchange.apply_cancel(order.id)
    assert (after.status, after.filled) == (OrderStatus.FILLED, Decimal(1))
    assert desk.exchange.request_cancel(order.id) is CancelAnswer.ALREADY_CLOSED
    assert desk.exchange.request_cancel("nobody") is CancelAnswer.NOT_FOUND


def test_a_queued_cancel_keeps_what_filled_before_it(desk):
    order = desk.order("a", "SELL", "1", "100")
    desk.exchange.request_cancel(order.id)
    desk.order("b", "BUY", "0.4", "100")
    after = desk.exchange.apply_cancel(order.id)
    assert (after.status, after.filled, after.reason) == (OrderStatus.CANCELLED, Decimal("0.4"), Reason.USER)
    assert desk.exchange.book(SYMBOL).asks == ()


def test_a_cancel_before_activation_wins(desk):
    order = desk.exchange.admit(desk.request("a", "SELL", "1", "100"))
    desk.exchange.cancel(order.id)
    assert desk.exchange.activate(order.id).status is OrderStatus.CANCELLED
    assert desk.exchange.book(SYMBOL).asks == ()


def test_money_of_a_round_trip(desk):
    desk.order("a", "SELL", "2", "100")
    desk.order("b", "BUY", "2", "100")
    desk.order("a", "BUY", "2", "103")
    desk.order("b", "SELL", "2", "103")
    # b bought 2 at 100 and sold at 103: +6; taker fees 0.0005 x (200 + 206).
    assert desk.exchange.balance("b").total == Decimal("100005.797")
    # a lost 6 and got maker rebates of 0.0001 x (200 + 206).
    assert desk.exchange.balance("a").total == Decimal("99994.0406")
    assert desk.exchange.position("b", SYMBOL).quantity == 0
    assert desk.exchange.position("b", SYMBOL).cost == 0
    assert desk.exchange.position("b", SYMBOL).realised_pnl == Decimal(6)
    assert desk.exchange.imbalance() == 0
    assert {one.liquidity for one in desk.exchange.fills("a")} == {Liquidity.MAKER}


def test_a_flip_closes_the_old_position_and_opens_at_the_new_price(desk):
    desk.order("a", "SELL", "5", "100")
    desk.order("b", "BUY", "2", "100")
    desk.order("c", "BUY", "5", "104")
    desk.order("b", "SELL", "5", "104")
    # c had first taken the remaining 3 at 100, so 2 are left of its bid at 104.
    position = desk.exchange.position("b", SYMBOL)
    assert position.quantity == Decimal(0)
    assert position.realised_pnl == Decimal(8)
    desk.order("a", "BUY", "1", "104")
    assert desk.exchange.position("b", SYMBOL).quantity == Decimal(-1)
    assert desk.exchange.position("b", SYMBOL).entry_price == Decimal(104)


def test_margin_is_checked_and_locked(desk):
    # 100,000 at ten times leverage carry 10,000 units at 100; the size limit is 1,000 an order.
    for _ in range(9):
        assert desk.order("a", "BUY", "1000", "100").status is OrderStatus.OPEN
    balance = desk.exchange.balance("a")
    assert balance.locked == Decimal(90_000)
    assert balance.total == balance.free + balance.locked
    assert desk.order("a", "BUY", "1000", "100").status is OrderStatus.OPEN
    last = desk.order("a", "BUY", "0.1", "100")
    assert (last.status, last.reason) == (OrderStatus.REFUSED, Reason.POSITION_LIMIT)


def test_not_enough_margin_is_a_late_refusal(desk):
    desk.exchange.fund_account("poor", Decimal(10))
    order = desk.exchange.admit(desk.request("poor", "BUY", "1.01", "100"))
    assert order.status is OrderStatus.NEW
    order = desk.exchange.activate(order.id)
    assert (order.status, order.reason) == (OrderStatus.REFUSED, Reason.MARGIN)
    assert desk.order("poor", "BUY", "1", "100").status is OrderStatus.OPEN


def test_small_orders_bands_and_open_order_limit(make_desk):
    desk = make_desk(max_open_orders=2)
    assert desk.order("a", "BUY", "0.04", "100").reason is Reason.SIZE_BELOW_MIN
    assert desk.order("a", "BUY", "1", "110.5").reason is Reason.PRICE_BAND
    assert desk.order("a", "BUY", "1", "10").status is OrderStatus.OPEN
    assert desk.order("a", "BUY", "1", "10").status is OrderStatus.OPEN
    assert desk.order("a", "BUY", "1", "10").reason is Reason.OPEN_ORDERS


def test_reduce_only_needs_a_position_and_never_exceeds_it(desk):
    assert desk.order("a", "SELL", "1", "105", reduce_only=True).reason is Reason.REDUCE_ONLY
    desk.exchange.set_position("a", SYMBOL, Decimal(3))
    too_big = desk.order("a", "SELL", "3.01", "105", reduce_only=True)
    assert (too_big.status, too_big.reason) == (OrderStatus.REFUSED, Reason.REDUCE_ONLY)
    assert desk.order("a", "BUY", "1", "95", reduce_only=True).reason is Reason.REDUCE_ONLY
    big = desk.order("a", "SELL", "2", "105", reduce_only=True)
    small = desk.order("a", "SELL", "1", "104", reduce_only=True)
    better = desk.order("a", "SELL", "1", "103", reduce_only=True)
    # 3 held: 1 at 103, 1 at 104, and no room left for the 2 at 105.
    assert desk.now(big).reason is Reason.REDUCE_ONLY
    assert desk.now(small).status is desk.now(better).status is OrderStatus.OPEN
    desk.order("b", "BUY", "2", "99")
    desk.order("a", "SELL", "2", "99")
    # 1 is left: the better priced one keeps its room.
    assert desk.now(small).reason is Reason.REDUCE_ONLY
    assert desk.now(better).status is OrderStatus.OPEN


def test_a_passive_fill_takes_the_room_of_a_reduce_only_order(desk):
    desk.exchange.set_position("a", SYMBOL, Decimal(3))
    reducing = desk.order("a", "SELL", "2", "105", reduce_only=True)
    desk.order("a", "SELL", "1", "100")
    desk.order("b", "BUY", "1", "100")
    assert desk.now(reducing).status is OrderStatus.OPEN
    desk.order("a", "SELL", "1", "100")
    assert desk.now(reducing).reason is Reason.REDUCE_ONLY


def test_any_better_priced_order_takes_the_room_of_a_reduce_only_order(desk):
    """The scenarios of the venue's page on order instructions, with a tenth of its sizes."""
    desk.exchange.set_position("a", SYMBOL, Decimal(10))
    near = desk.order("a", "SELL", "5", "104", reduce_only=True)
    far = desk.order("a", "SELL", "5", "105", reduce_only=True)
    desk.order("a", "SELL", "0.1", "106")
    assert desk.now(near).status is desk.now(far).status is OrderStatus.OPEN
    late = desk.order("a", "SELL", "0.1", "106", reduce_only=True)
    assert desk.now(late).reason is Reason.REDUCE_ONLY
    desk.order("a", "SELL", "0.1", "103")
    assert desk.now(near).status is OrderStatus.OPEN
    assert desk.now(far).reason is Reason.REDUCE_ONLY


def test_orders_that_close_a_position_need_no_margin(desk):
    desk.exchange.set_position("a", SYMBOL, Decimal(50))
    assert desk.exchange.margin("a").initial == Decimal(500)
    desk.order("a", "SELL", "50", "105")
    assert desk.exchange.margin("a").initial == Decimal(500)
    desk.order("a", "SELL", "60", "105")
    # Filled, 110 would be sold against 50 held: 60 short x 100 / 10.
    assert desk.exchange.margin("a").initial == Decimal(600)


def test_what_funding_rounds_away_is_not_lost(desk):
    for account, size in (("a", -3), ("b", 1), ("c", 2)):
        desk.exchange.set_position(account, SYMBOL, Decimal(size))
    # Half a unit of the eighth decimal for each unit held: 1.5 rounds to 2, 0.5 to 0 (half to even), 1 stays.
    desk.exchange.pay_funding(SYMBOL, Decimal("0.00000000005"))
    received = {one.account: one.amount for one in desk.of(FundingPaid)}
    assert received == {"a": Decimal("2E-8"), "b": Decimal(0), "c": Decimal("-1E-8")}
    assert desk.exchange.imbalance() == 0


def test_modes_and_halt(desk):
    resting = desk.order("a", "SELL", "1", "100")
    desk.exchange.set_mode(Mode.POST_ONLY)
    assert refused(desk, "b", "BUY", "1", "99") is Reason.MODE_POST_ONLY
    assert desk.order("b", "BUY", "1", "99", post_only=True).status is OrderStatus.OPEN
    desk.exchange.set_mode(Mode.CANCEL_ONLY)
    assert refused(desk, "b", "BUY", "1", "99", post_only=True) is Reason.MODE_CANCEL_ONLY
    assert desk.exchange.cancel(resting.id) is CancelAnswer.QUEUED
    desk.exchange.set_mode(Mode.MAINTENANCE)
    with pytest.raises(Refusal):
        desk.exchange.request_cancel(resting.id)
    desk.exchange.set_mode(Mode.NORMAL)
    waiting = desk.exchange.admit(desk.request("b", "BUY", "1", "99"))
    desk.exchange.halt(SYMBOL)
    assert refused(desk, "b", "BUY", "1", "99") is Reason.HALTED
    assert desk.exchange.activate(waiting.id).reason is Reason.HALTED
    desk.exchange.halt(SYMBOL, halted=False)
    assert desk.order("b", "BUY", "1", "99").status is OrderStatus.OPEN


def test_cross_fills_the_named_order_out_of_turn(desk):
    desk.order("b", "SELL", "5", "99")
    order = desk.order("a", "SELL", "2", "100")
    [fill] = desk.exchange.cross(order.id, Decimal("0.5"))
    assert (fill.order_id, fill.price, fill.quantity) == (order.id, Decimal(100), Decimal("0.5"))
    assert desk.now(order).remaining == Decimal("1.5")
    [rest] = desk.exchange.cross(order.id)
    assert desk.now(order).status is OrderStatus.FILLED
    assert rest.quantity == Decimal("1.5")
    with pytest.raises(Refusal):
        desk.exchange.cross(order.id)


def test_counterparty_external_and_venue_cancel(desk):
    house = desk.exchange.place_counterparty_order(SYMBOL, Side.SELL, Decimal(3), Decimal(100))
    order = desk.exchange.external_order(desk.request("a", "BUY", "1", "100"))
    assert order.status is OrderStatus.FILLED
    assert desk.now(house).remaining == Decimal(2)
    resting = desk.order("a", "BUY", "1", "95")
    closed = desk.exchange.cancel_by_venue(resting.id, "MMP_TRIGGERED")
    assert (closed.status, closed.reason, closed.reason_text) == (
        OrderStatus.CANCELLED,
        Reason.VENUE,
        "MMP_TRIGGERED",
    )


def test_bust_takes_both_sides_back(desk):
    desk.order("a", "SELL", "1", "100")
    desk.order("b", "BUY", "1", "100")
    before = desk.exchange.position("b", SYMBOL).quantity
    [fill] = desk.exchange.fills("b")
    busted = desk.exchange.bust(fill.id)
    assert {one.account for one in busted} == {"a", "b"}
    assert before == 1
    assert desk.exchange.position("b", SYMBOL).quantity == 0
    assert desk.exchange.balance("a").total == desk.exchange.balance("b").total == Decimal(100_000)
    assert desk.exchange.fills("b") == []
    assert len(desk.of(FillBusted)) == 2
    with pytest.raises(Refusal):
        desk.exchange.bust(fill.id)


def test_funding_is_paid_by_longs_to_shorts(desk):
    desk.order("a", "SELL", "2", "100")
    desk.order("b", "BUY", "2", "100")
    before = desk.exchange.balance("a").total, desk.exchange.balance("b").total
    desk.exchange.set_price(SYMBOL, Decimal(110))
    desk.exchange.pay_funding(SYMBOL, Decimal("0.001"))
    # 2 x 110 x 0.001
    assert desk.exchange.balance("a").total - before[0] == Decimal("0.22")
    assert desk.exchange.balance("b").total - before[1] == Decimal("-0.22")
    assert desk.exchange.funding(SYMBOL) == (Decimal("0.001"), Decimal("0.11"))
    assert {one.account: one.amount for one in desk.of(FundingPaid)} == {
        "a": Decimal("0.22"),
        "b": Decimal("-0.22"),
    }


def test_transfer_sets_a_position_and_liquidation_ends_it(desk):
    desk.exchange.fund_account("thin", Decimal("111.5"))
    desk.exchange.set_position("thin", SYMBOL, Decimal(10))
    [fill] = desk.exchange.fills("thin")
    assert (fill.kind, fill.fee, fill.liquidity) == (FillKind.TRANSFER, 0, Liquidity.NONE)
    order = desk.order("thin", "SELL", "1", "105", reduce_only=True)
    # Equity 111.5 - 10 x 5.5 = 56.5; maintenance 10 x 94.5 / 10 / 2 = 47.25: still alive.
    desk.exchange.set_price(SYMBOL, Decimal("94.5"))
    assert desk.exchange.position("thin", SYMBOL).quantity == 10
    # Equity 111.5 - 10 x 6.5 = 46.5; maintenance 46.75: over.
    desk.exchange.set_price(SYMBOL, Decimal("93.5"))
    assert desk.exchange.position("thin", SYMBOL).quantity == 0
    assert desk.exchange.fills("thin")[-1].kind is FillKind.LIQUIDATION
    assert desk.now(order).reason is Reason.LIQUIDATION
    assert desk.exchange.imbalance() == 0


def test_events_of_one_operation_end_with_the_accounts(desk):
    desk.order("a", "SELL", "1", "100")
    desk.events.clear()
    desk.order("b", "BUY", "1", "100")
    assert {one.account for one in desk.events[-2:] if isinstance(one, AccountChanged)} == {"a", "b"}
    assert [one.fill.account for one in desk.of(Filled)] == ["a", "b"]


def test_quotes_stand_shrink_in_place_and_take_what_they_meet(desk):
    exchange = desk.exchange
    exchange.set_quotes(SYMBOL, {Decimal(99): Decimal(5)}, {Decimal(101): Decimal(5)})
    order = desk.order("a", "BUY", "1", "99")
    assert exchange.size_ahead(order.id) == Decimal(5)
    exchange.set_quotes(SYMBOL, {Decimal(99): Decimal(4)}, {Decimal(101): Decimal(5)})
    assert exchange.size_ahead(order.id) == Decimal(4)
    exchange.set_quotes(SYMBOL, {Decimal(98): Decimal(4)}, {Decimal(99): Decimal(3)})
    assert desk.now(order).status is OrderStatus.FILLED
    assert exchange.book(SYMBOL).asks == ((Decimal(99), Decimal(2)),)
    assert exchange.imbalance() == 0
