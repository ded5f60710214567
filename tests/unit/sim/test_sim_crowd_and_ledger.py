"""The crowd is seeded, the ledger is the truth: equal seeds and inputs give equal digests."""

from __future__ import annotations

from decimal import Decimal

from venuekit.runtime.clock import ManualClock
from venuekit.sim.crowd import Crowd
from venuekit.sim.exchange import Exchange
from venuekit.sim.ledger import Ledger, plain
from venuekit.sim.market import LiquidityPlan, Market
from venuekit.sim.records import Liquidity, Mode, NewOrder, OrderStatus, PriceMoved, Side, Traded

SECOND = 1_000_000_000
FACTS = {"base": "AAA", "quote": "USD", "settlement": "USDC", "tick": Decimal("0.1"), "lot": Decimal("0.001")}


def session(seed: int, script: str = "quote", secs: int = 20):
    """A user that quotes both sides at the best price for some seconds, beside the crowd."""
    clock = ManualClock()
    exchange = Exchange(
        clock, [Market(symbol=one, start_price=Decimal(1_000), **FACTS) for one in ("AAA-PERP", "BBB-PERP")]
    )
    ledger = Ledger(exchange, clock)
    exchange.fund_account("user", Decimal(1_000_000))
    events = []
    exchange.listen(events.append)
    crowds = [Crowd(exchange, clock, one, LiquidityPlan(), seed) for one in exchange.markets]
    for crowd in crowds:
        crowd.start()
    for _ in range(secs * 2):
        clock.advance(SECOND // 2)
        if script == "quote":
            requote(exchange)
    for crowd in crowds:
        crowd.stop()
    return exchange, ledger, events, clock


def requote(exchange: Exchange) -> None:
    for symbol in exchange.markets:
        exchange.cancel_all("user", symbol)
        view = exchange.book(symbol, 1)
        for side, levels in ((Side.BUY, view.bids), (Side.SELL, view.asks)):
            if levels:
                exchange.submit(
                    NewOrder(
                        account="user",
                        market=symbol,
                        side=side,
                        quantity=Decimal("0.1"),
                        price=levels[0][0],
                        post_only=True,
                    )
                )


def test_equal_seeds_give_equal_ledgers_and_others_do_not():
    first, second, other = session(7, secs=5)[1], session(7, secs=5)[1], session(8, secs=5)[1]
    assert first.digest() == second.digest()
    assert first.digest(times=True) == second.digest(times=True)
    assert first.digest() != other.digest()
    # Also when no user did anything.
    assert session(7, "watch", 3)[1].digest() != session(8, "watch", 3)[1].digest()


def test_other_inputs_give_another_ledger():
    assert session(7, "quote", 3)[1].digest() != session(7, "watch", 3)[1].digest()


def test_what_a_user_does_never_bends_the_price_path():
    def path(script: str, seed: int = 3):
        return [one.mark for one in session(seed, script, 5)[2] if isinstance(one, PriceMoved)]

    assert path("quote") == path("watch")
    assert path("watch", 4) != path("watch")
    assert len(set(path("watch"))) > 20


def test_a_quoting_user_is_filled_passively_and_the_books_balance():
    exchange, ledger, events, _ = session(1)
    fills = exchange.fills("user")
    assert len(fills) >= 20
    assert {one.liquidity for one in fills} == {Liquidity.MAKER}
    assert {one.market for one in fills} == set(exchange.markets)
    assert exchange.imbalance() == 0
    assert sum(isinstance(one, Traded) for one in events) > len(fills)
    assert [one.id for one in ledger.fills("user")] == [one.id for one in fills]


def test_stopped_crowd_leaves_no_timer_and_pauses_outside_normal_mode():
    exchange, _, _, clock = session(1, secs=2)
    assert clock.next_timer_ns() is None
    crowd = Crowd(exchange, clock, "AAA-PERP", LiquidityPlan(), 5)
    exchange.set_mode(Mode.CANCEL_ONLY)
    before = exchange.book("AAA-PERP").seq
    crowd.start()
    clock.advance(5 * SECOND)
    crowd.stop()
    assert exchange.book("AAA-PERP").seq == before


def test_house_takers_do_not_pile_up():
    exchange, _, _, _ = session(1, secs=5)
    assert exchange.orders("house:taker") == []


def test_ledger_keeps_every_version_and_busted_fills():
    clock = ManualClock()
    exchange = Exchange(clock, [Market(symbol="AAA-PERP", start_price=Decimal(100), **FACTS)])
    ledger = Ledger(exchange, clock, frames=2)
    for account in "ab":
        exchange.fund_account(account, Decimal(1_000))
    order = exchange.submit(
        NewOrder(account="a", market="AAA-PERP", side=Side.SELL, quantity=Decimal("1.0"), price=Decimal(100))
    )
    clock.advance(5)
    exchange.submit(
        NewOrder(account="b", market="AAA-PERP", side=Side.BUY, quantity=Decimal("1.0"), price=Decimal(100))
    )
    assert [one.status for one in ledger.versions(order.id)] == [
        OrderStatus.NEW,
        OrderStatus.OPEN,
        OrderStatus.FILLED,
    ]
    exchange.bust(exchange.fills("a")[0].id)
    rows = ledger.to_json("a", frames=True)
    [fill] = rows["fills"]
    assert (fill["quantity"], fill["busted"], fill["ts_ns"]) == ("1", True, clock.wall_ns())
    [balance] = rows["balances"]
    assert (balance["total"], balance["currency"]) == ("1000", "USDC")
    for n in range(3):
        ledger.saw("in", "x", f"frame {n}", n)
    assert [one.text for one in ledger.seen("in")] == ["frame 1", "frame 2"]
    assert ledger.count("in") == 3


def test_plain_numbers():
    assert [plain(Decimal(text)) for text in ("1E+3", "0E-8", "-0", "1.2300", "0.00000001")] == [
        "1000",
        "0",
        "0",
        "1.23",
        "0.00000001",
    ]
