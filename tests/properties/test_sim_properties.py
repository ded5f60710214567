"""Whatever is thrown at the exchange, nothing is created, lost, crossed or negative."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from venuekit.runtime.clock import ManualClock
from venuekit.sim.errors import Refusal
from venuekit.sim.exchange import Exchange
from venuekit.sim.market import Market
from venuekit.sim.records import (
    ZERO,
    BookChanged,
    Filled,
    NewOrder,
    OrderChanged,
    OrderKind,
    OrderStatus,
    SelfTrade,
    Side,
    Tif,
    Traded,
)

SYMBOLS = ("AAA-PERP", "BBB-PERP")
ACCOUNTS = ("a", "b", "thin")


def new_exchange() -> Exchange:
    markets = [
        Market(
            symbol=symbol,
            base=symbol[:3],
            quote="USD",
            settlement="USDC",
            tick=Decimal("0.1"),
            lot=Decimal("0.001"),
            start_price=Decimal(10),
            min_notional=Decimal("0.5"),
            maker_fee=Decimal("-0.00003"),
            taker_fee=Decimal("0.00045"),
            leverage=Decimal(7),
        )
        for symbol in SYMBOLS
    ]
    exchange = Exchange(ManualClock(), markets)
    for account, amount in zip(ACCOUNTS, (100_000, 100_000, 5), strict=True):
        exchange.fund_account(account, Decimal(amount))
    return exchange


ticks = st.integers(95, 105).map(lambda n: Decimal(n) / 10)
sizes = st.integers(1, 3_000).map(lambda n: Decimal(n) / 1_000)
submits = st.tuples(
    st.just("submit"),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(SYMBOLS),
    st.sampled_from(list(Side)),
    sizes,
    st.one_of(st.none(), ticks),
    st.sampled_from(list(Tif)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(list(SelfTrade)),
)
stops = st.tuples(
    st.just("stop"),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(SYMBOLS),
    st.sampled_from(list(Side)),
    sizes,
    ticks,
)
others = st.one_of(
    st.tuples(st.just("cancel"), st.integers(0, 50)),
    st.tuples(st.just("modify"), st.integers(0, 50), sizes, ticks),
    st.tuples(st.just("price"), st.sampled_from(SYMBOLS), ticks),
    st.tuples(st.just("funding"), st.sampled_from(SYMBOLS), st.integers(-30, 30)),
    st.tuples(st.just("quotes"), st.sampled_from(SYMBOLS), ticks, sizes),
    st.tuples(st.just("bust"), st.integers(0, 50)),
    st.tuples(st.just("cross"), st.integers(0, 50)),
)
streams = st.lists(st.one_of(submits, submits, stops, others), min_size=1, max_size=40)


def act(exchange: Exchange, ids: list[str], fills: list[str], step: tuple) -> None:
    verb, *args = step
    if verb == "submit":
        account, market, side, quantity, price, tif, post_only, reduce_only, stp = args
        kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
        post_only = post_only and price is not None and tif is Tif.GTC
        request = NewOrder(
            account=account,
            market=market,
            side=side,
            quantity=quantity,
            price=price,
            kind=kind,
            tif=tif,
            post_only=post_only,
            reduce_only=reduce_only,
            stp=stp,
        )
        ids.append(exchange.submit(request).id)
    elif verb == "stop":
        account, market, side, quantity, trigger = args
        request = NewOrder(
            account=account,
            market=market,
            side=side,
            quantity=quantity,
            kind=OrderKind.STOP_MARKET,
            trigger_price=trigger,
        )
        ids.append(exchange.submit(request).id)
    elif verb == "price":
        exchange.set_price(args[0], args[1])
    elif verb == "funding":
        exchange.pay_funding(args[0], Decimal(args[1]) / 7_777)
    elif verb == "quotes":
        market, centre, size = args
        exchange.set_quotes(market, {centre - Decimal("0.1"): size}, {centre + Decimal("0.1"): size})
    elif verb == "bust" and fills:
        exchange.bust(fills[args[0] % len(fills)])
    elif ids and verb in ("cancel", "modify", "cross"):
        order_id = ids[args[0] % len(ids)]
        if verb == "cancel":
            exchange.cancel(order_id)
        elif verb == "cross":
            exchange.cross(order_id)
        else:
            exchange.apply_modify(
                order_id, quantity=args[1], price=args[2] if exchange.order(order_id).price else None
            )


def check_books(exchange: Exchange) -> None:
    for symbol in SYMBOLS:
        view = exchange.book(symbol)
        bids, asks = [price for price, _ in view.bids], [price for price, _ in view.asks]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert all(size > 0 for _, size in (*view.bids, *view.asks))
        assert not bids or not asks or bids[0] < asks[0]


def check_orders(exchange: Exchange) -> None:
    for account in ACCOUNTS:
        filled: dict[str, Decimal] = {}
        for fill in exchange.fills(account):
            assert fill.quantity > 0
            filled[fill.order_id] = filled.get(fill.order_id, ZERO) + fill.quantity
        for order in exchange.orders(account):
            assert ZERO <= order.filled <= order.quantity
            assert (order.status is OrderStatus.FILLED) == (order.remaining == 0)
            assert filled.get(order.id, ZERO) <= order.filled
        for symbol in SYMBOLS:
            resting = {one.order_id: one for one in exchange.users_resting(symbol)}
            for order in exchange.open_orders(account, symbol):
                if order.status is OrderStatus.OPEN:
                    assert resting[order.id].remaining == order.remaining
        balance = exchange.balance(account)
        assert balance.total == balance.free + balance.locked


def check_reduce_only(exchange: Exchange) -> None:
    """All resting reduce-only orders together can never turn a position round."""
    for account in ACCOUNTS:
        for symbol in SYMBOLS:
            held = exchange.position(account, symbol).quantity
            for side in Side:
                resting = sum(
                    (
                        one.remaining
                        for one in exchange.open_orders(account, symbol)
                        if one.request.reduce_only and one.side is side and one.status is OrderStatus.OPEN
                    ),
                    ZERO,
                )
                assert resting <= max(ZERO, -held * side.sign)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(streams)
def test_conservation_order_and_reduce_only(steps: list[tuple]) -> None:
    exchange = new_exchange()
    ids: list[str] = []
    fills: list[str] = []
    exchange.listen(lambda event: fills.append(event.fill.id) if isinstance(event, Filled) else None)
    for step in steps:
        try:
            act(exchange, ids, fills, step)
        except Refusal:
            pass
        assert exchange.imbalance() == 0
        check_books(exchange)
        check_orders(exchange)
        check_reduce_only(exchange)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(streams)
def test_events_alone_rebuild_book_orders_and_positions(steps: list[tuple]) -> None:
    exchange = new_exchange()
    books: dict[str, dict[tuple[str, Decimal], Decimal]] = {symbol: {} for symbol in SYMBOLS}
    seqs = {symbol: exchange.book(symbol).seq for symbol in SYMBOLS}
    versions: dict[str, int] = {}
    latest: dict[str, object] = {}
    held: dict[tuple[str, str], Decimal] = {}
    seen: set[str] = set()

    def listen(event) -> None:
        if isinstance(event, BookChanged):
            assert event.seq == seqs[event.market] + 1
            seqs[event.market] = event.seq
            for name, levels in (("bid", event.bids), ("ask", event.asks)):
                for price, size in levels:
                    books[event.market][(name, price)] = size
        elif isinstance(event, OrderChanged):
            assert event.order.version == versions.get(event.order.id, 0) + 1
            versions[event.order.id] = event.order.version
            latest[event.order.id] = event.order
        elif isinstance(event, Filled):
            assert event.fill.id not in seen
            seen.add(event.fill.id)
            key = (event.fill.account, event.fill.market)
            held[key] = held.get(key, ZERO) + event.fill.quantity * event.fill.side.sign

    exchange.listen(listen)
    for step in steps:
        if step[0] == "bust":
            continue
        try:
            act(exchange, list(versions), [], step)
        except Refusal:
            pass
    for symbol in SYMBOLS:
        view = exchange.book(symbol)
        assert view.seq == seqs[symbol]
        told = {key: size for key, size in books[symbol].items() if size}
        assert told == {("bid", p): s for p, s in view.bids} | {("ask", p): s for p, s in view.asks}
    for account in ACCOUNTS:
        assert [latest[one.id] for one in exchange.orders(account)] == exchange.orders(account)
        for symbol in SYMBOLS:
            assert held.get((account, symbol), ZERO) == exchange.position(account, symbol).quantity


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ticks, st.integers(1, 50)), min_size=1, max_size=25), sizes, ticks)
def test_a_taker_meets_makers_by_price_then_by_age(makers: list, want: Decimal, limit: Decimal) -> None:
    """Against a plain sort of what was placed."""
    exchange = new_exchange()
    traded: list[tuple[Decimal, Decimal]] = []
    placed = []
    for age, (price, lots) in enumerate(makers):
        size = Decimal(lots) / 10
        exchange.submit(NewOrder(account="a", market=SYMBOLS[0], side=Side.SELL, quantity=size, price=price))
        placed.append((price, age, size))
    exchange.listen(
        lambda event: (
            traded.append((event.trade.price, event.trade.quantity)) if isinstance(event, Traded) else None
        )
    )
    exchange.submit(
        NewOrder(account="b", market=SYMBOLS[0], side=Side.BUY, quantity=want, price=limit, tif=Tif.IOC)
    )
    expected, left = [], want
    if want * 10 >= Decimal("0.5"):
        for price, _, size in sorted(placed):
            if price > limit or left <= 0:
                break
            expected.append((price, min(left, size)))
            left -= min(left, size)
    assert traded == expected
