"""The heart of the exchange: orders from the door to their end, matching, and the booking of every fill."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from venuekit.sim import rules as check
from venuekit.sim.accounts import FEES, Accounts, is_house
from venuekit.sim.bus import EventBus
from venuekit.sim.errors import Refusal
from venuekit.sim.floor import Floor
from venuekit.sim.matching import Resting, crosses
from venuekit.sim.records import (
    ZERO,
    AccountChanged,
    Balance,
    CancelAnswer,
    Cause,
    Fill,
    Filled,
    FillKind,
    Liquidity,
    Margin,
    Mode,
    Order,
    OrderChanged,
    OrderStatus,
    PositionChanged,
    Reason,
    SelfTrade,
    Side,
    Tif,
    Trade,
    Traded,
)
from venuekit.sim.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from venuekit.interfaces.time import Clock
    from venuekit.sim.market import Market
    from venuekit.sim.records import Event, NewOrder

    type IdSource = Callable[[str, int, int], str]

HOUSE_MAKER = "house:maker"
HOUSE_TAKER = "house:taker"


def _count(kind: str, counter: int, wall_ns: int) -> str:  # noqa: ARG001
    return str(counter)


class Trading:
    """Orders, matching and settlement. Questions and control interface stand in `exchange.Exchange`."""

    def __init__(
        self,
        clock: Clock,
        markets: Iterable[Market] = (),
        *,
        rules: Rules | None = None,
        ids: IdSource | None = None,
        settlement: str = "USDC",
    ) -> None:
        self.clock = clock
        self.rules = rules if rules is not None else Rules()
        self.settlement = settlement
        self._ids = ids if ids is not None else _count
        self._counters: dict[str, int] = {}
        self._bus = EventBus()
        self._depth = 0
        self._touched: dict[str, None] = {}
        self._mode = Mode.NORMAL
        self._accounts = Accounts(settlement, self.rules.money_places)
        self._accounts.deposit(FEES, ZERO)
        self._floors: dict[str, Floor] = {}
        self._orders: dict[str, Order] = {}
        self._open: dict[str, dict[str, None]] = {}
        self._client_ids: dict[tuple[str, str], list[str]] = {}
        self._by_account: dict[str, list[str]] = {}
        self._fills: dict[str, Fill] = {}
        self._fills_of: dict[str, list[Fill]] = {}
        self._sides_of_trade: dict[str, tuple[Fill, Fill]] = {}
        self._busted: set[str] = set()
        for market in markets:
            self.add_market(market)

    # --- set-up

    def listen(self, fn: Callable[[Event], None]) -> Callable[[], None]:
        """`fn` gets every later event, in order, after the operation that made it; the returned call
        detaches.
        """
        return self._bus.listen(fn)

    def add_market(self, market: Market) -> None:
        """The market is open with its start price as mark and index, and an empty book of this moment."""
        self._floors[market.symbol] = Floor(
            market, market.start_price, market.start_price, published_ns=self.clock.wall_ns()
        )

    def fund_account(self, account: str, amount: Decimal) -> None:
        """The account exists and holds `amount` more (less when negative) of the settlement currency."""
        with self._operation():
            self._accounts.deposit(account, amount)
            self._touched[account] = None

    # --- orders

    def admit(self, request: NewOrder) -> Order:
        """The order exists as NEW. Raises Refusal on what a venue refuses at the door: form, grid, mode,
        client id.
        """
        floor = self._floor(request.market)
        if request.account not in self._accounts and not is_house(request.account):
            raise Refusal(Reason.UNKNOWN_ACCOUNT, request.account)
        check.check_form(request, floor.market)
        check.check_mode(check.stricter(self._mode, floor.mode), floor.halted, request.post_only)
        self._check_client_id(request)
        with self._operation():
            now_ns = self.clock.wall_ns()
            order = Order(
                id=self._next_id("order"),
                request=request,
                status=OrderStatus.NEW,
                quantity=request.quantity,
                price=request.price,
                trigger_price=request.trigger_price,
                created_ns=now_ns,
                updated_ns=now_ns,
            )
            self._orders[order.id] = order
            self._open.setdefault(request.account, {})[order.id] = None
            self._by_account.setdefault(request.account, []).append(order.id)
            if request.client_id:
                self._client_ids.setdefault((request.account, request.client_id), []).append(order.id)
            self._tell(OrderChanged(order=order, cause=Cause.ADMITTED))
        return order

    def activate(self, order_id: str) -> Order:
        """A NEW order was risk-checked and now rests, waits for its trigger, is filled or closed; others are
        left alone.
        """
        order = self._known(order_id)
        if order.status is not OrderStatus.NEW:
            return order
        with self._operation():
            floor = self._floors[order.market]
            if floor.halted:
                return self._end(order, OrderStatus.REFUSED, Reason.HALTED)
            if order.request.kind.conditional:
                return self._wait(floor, order)
            return self._enter(floor, order)

    def submit(self, request: NewOrder) -> Order:
        """`admit` and `activate` at once."""
        with self._operation():
            return self.activate(self.admit(request).id)

    def request_cancel(self, order_id: str) -> CancelAnswer:
        """The cancel is noted (OrderChanged with CANCEL_REQUESTED); the order can still fill. Raises Refusal
        in maintenance.
        """
        if self._mode is Mode.MAINTENANCE:
            raise Refusal(Reason.MODE_MAINTENANCE)
        order = self._orders.get(order_id)
        if order is None:
            return CancelAnswer.NOT_FOUND
        if order.closed:
            return CancelAnswer.ALREADY_CLOSED
        with self._operation():
            self._change(evolve(order, cancel_requested=True), Cause.CANCEL_REQUESTED)
        return CancelAnswer.QUEUED

    def apply_cancel(self, order_id: str, reason: Reason = Reason.USER, text: str = "") -> Order:
        """The order is closed, whatever was left of it; unchanged when it had already closed."""
        order = self._known(order_id)
        if order.closed:
            return order
        with self._operation():
            return self._end(order, OrderStatus.CANCELLED, reason, text)

    def cancel(self, order_id: str) -> CancelAnswer:
        """`request_cancel` and `apply_cancel` at once."""
        with self._operation():
            answer = self.request_cancel(order_id)
            if answer is CancelAnswer.QUEUED:
                self.apply_cancel(order_id)
        return answer

    def cancel_all(
        self, account: str, market: str | None = None, side: Side | None = None, reason: Reason = Reason.USER
    ) -> tuple[Order, ...]:
        """Every open order of the account that fits is closed."""
        with self._operation():
            return tuple(
                self._end(order, OrderStatus.CANCELLED, reason)
                for order in self.open_orders(account, market)
                if side is None or order.side is side
            )

    def request_modify(self, order_id: str) -> Order:
        """The order as it is. Raises Refusal when it cannot be modified: unknown, closed, mode, halt."""
        order = self._known(order_id)
        if order.closed:
            raise Refusal(Reason.ORDER_CLOSED, order_id)
        floor = self._floors[order.market]
        check.check_mode(check.stricter(self._mode, floor.mode), floor.halted, order.request.post_only)
        return order

    def apply_modify(
        self,
        order_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> Order:
        """The order keeps its id and has the new values (`quantity` is the new TOTAL size), or a
        MODIFY_REFUSED event was published and it is unchanged. Only a pure decrease of size keeps its place
        in the queue.
        """
        order = self._known(order_id)
        wanted = evolve(
            order,
            quantity=order.quantity if quantity is None else quantity,
            price=order.price if price is None else price,
            trigger_price=order.trigger_price if trigger_price is None else trigger_price,
            request=order.request if tags is None else evolve(order.request, tags=tags),
        )
        with self._operation():
            refused = self._modify_reason(order, wanted)
            if refused is not None:
                return self._change(order, Cause.MODIFY_REFUSED, refused.value)
            return self._modify(order, wanted)

    # --- questions the heart needs itself

    def order(self, order_id: str) -> Order | None:
        """The latest version of an order."""
        return self._orders.get(order_id)

    def open_orders(self, account: str, market: str | None = None) -> Sequence[Order]:
        """Orders not closed (NEW, UNTRIGGERED, OPEN), oldest first."""
        found = [self._orders[one] for one in self._open.get(account, ())]
        return [one for one in found if market is None or one.market == market]

    def margin(self, account: str) -> Margin:
        """Risk figures of the account at the mark prices."""
        return self._margin(account, self._working(account))

    def balance(self, account: str) -> Balance:
        """Cash of the account."""
        return self._accounts.balance(self.margin(account))

    # --- the way of one order

    def _wait(self, floor: Floor, order: Order) -> Order:
        reason = self._size_reason(floor, order)
        if reason is not None:
            return self._end(order, OrderStatus.REFUSED, reason)
        order = self._change(evolve(order, status=OrderStatus.UNTRIGGERED), Cause.WAITING)
        floor.waiting[order.id] = None
        return self._trigger(floor, order) if check.triggered(order, floor.mark) else order

    def _trigger(self, floor: Floor, order: Order) -> Order:
        del floor.waiting[order.id]
        order = self._change(evolve(order, status=OrderStatus.OPEN), Cause.TRIGGERED)
        return self._enter(floor, order)

    def _enter(self, floor: Floor, order: Order) -> Order:
        """Risk check, matching, and what becomes of the rest."""
        if not is_house(order.account):
            reason = self._size_reason(floor, order) or self._risk_reason(floor, order)
            if reason is not None:
                return self._end(order, OrderStatus.REFUSED, reason)
        limit = order.price
        if limit is None:
            limit = check.band_limit(order.side, floor.market, floor.mark)
        best = floor.book.best(order.side.opposite)
        if order.request.post_only and best is not None and crosses(order.side, limit, best):
            return self._end(order, OrderStatus.REFUSED, Reason.POST_ONLY)
        if order.request.tif is Tif.FOK and not self._fillable(floor, order, limit):
            return self._end(order, OrderStatus.CANCELLED, Reason.FOK_UNFILLED)
        return self._settle(floor, self._take(floor, order, limit))

    def _settle(self, floor: Floor, order: Order) -> Order:
        if order.closed:
            return self._change(order, Cause.CLOSED)
        if not order.remaining:
            return self._end(order, OrderStatus.FILLED, None)
        if order.price is None or order.request.tif is not Tif.GTC:
            return self._end(order, OrderStatus.CANCELLED, Reason.IOC_REMAINDER)
        floor.book.add(Resting(order.id, order.account, order.side, order.price, order.remaining))
        self._change(evolve(order, status=OrderStatus.OPEN), Cause.RESTING)
        self._trim(order.account, order.market)
        return self._orders[order.id]

    def _fillable(self, floor: Floor, order: Order, limit: Decimal) -> bool:
        want = order.remaining
        return floor.book.reachable(order.side, limit, want, order.account, order.request.stp) == want

    def _take(self, floor: Floor, order: Order, limit: Decimal) -> Order:
        """The taker's new record, not yet published; closed with SELF_TRADE when prevention ended it."""
        while order.remaining:
            maker = floor.book.front(order.side, limit)
            if maker is None:
                break
            if maker.account != order.account:
                order = self._match(floor, order, maker, min(order.remaining, maker.remaining))
                continue
            if order.request.stp is not SelfTrade.EXPIRE_TAKER:
                self._expire_maker(floor, maker)
            if order.request.stp is not SelfTrade.EXPIRE_MAKER:
                return evolve(order, status=OrderStatus.CANCELLED, reason=Reason.SELF_TRADE)
        return order

    def _expire_maker(self, floor: Floor, maker: Resting) -> None:
        if maker.order_id in self._orders:
            self._end(self._orders[maker.order_id], OrderStatus.CANCELLED, Reason.SELF_TRADE)
        else:
            floor.book.remove(maker.order_id)

    def _match(self, floor: Floor, taker: Order, maker: Resting, quantity: Decimal) -> Order:
        """One trade at the maker's price is booked on both sides; the taker's record is not yet told."""
        price, symbol = maker.price, floor.market.symbol
        trade = Trade(
            id=self._next_id("trade"),
            market=symbol,
            side=taker.side,
            quantity=quantity,
            price=price,
            book_seq=floor.book.seq + 1,
            ts_ns=self.clock.wall_ns(),
        )
        floor.book.reduce(maker.order_id, quantity)
        floor.book.note_trade()
        floor.trades.append(trade)
        standing = self._orders.get(maker.order_id)
        left = standing.remaining - quantity if standing is not None else maker.remaining
        passive = self._book_fill(floor, trade, maker.account, maker.side, Liquidity.MAKER, standing, left)
        if standing is not None:
            self._fill_maker(standing, passive)
        active = self._book_fill(
            floor, trade, taker.account, taker.side, Liquidity.TAKER, taker, taker.remaining - quantity
        )
        self._remember(passive, active)
        self._tell(Traded(trade=trade))
        taker = _with_fill(taker, active)
        # Kept current so that a risk figure asked for between two matches does not count the filled part.
        self._orders[taker.id] = taker
        self._trim(maker.account, symbol)
        self._trim(taker.account, symbol)
        return taker

    def _fill_maker(self, order: Order, fill: Fill) -> None:
        after = _with_fill(order, fill)
        if after.remaining:
            self._change(after, Cause.FILLED)
        else:
            self._end(after, OrderStatus.FILLED, None)

    def _book_fill(
        self,
        floor: Floor,
        trade: Trade,
        account: str,
        side: Side,
        liquidity: Liquidity,
        order: Order | None,
        remaining: Decimal,
        kind: FillKind = FillKind.TRADE,
    ) -> Fill:
        """The fill is in the account's position and cash, and told unless it is the house's."""
        rates = {Liquidity.MAKER: floor.market.maker_fee, Liquidity.TAKER: floor.market.taker_fee}
        fee = self._accounts.fee(trade.quantity * trade.price, rates.get(liquidity, ZERO))
        fill_id = self._next_id("fill")
        position, realised = self._accounts.trade(
            account, trade.market, trade.quantity * side.sign, trade.price, fee, fill_id, trade.ts_ns
        )
        fill = Fill(
            id=fill_id,
            trade_id=trade.id,
            order_id=order.id if order is not None else "",
            client_id=order.client_id if order is not None else "",
            account=account,
            market=trade.market,
            side=side,
            quantity=trade.quantity,
            price=trade.price,
            fee=fee,
            fee_currency=self.settlement,
            liquidity=liquidity,
            kind=kind,
            realised_pnl=realised,
            remaining=remaining,
            index_price=floor.index,
            book_seq=trade.book_seq,
            ts_ns=trade.ts_ns,
        )
        self._touched[account] = None
        if not is_house(account):
            self._fills[fill.id] = fill
            self._fills_of.setdefault(account, []).append(fill)
            self._tell(Filled(fill=fill))
            self._tell(PositionChanged(position=position))
        return fill

    def _remember(self, one: Fill, other: Fill) -> None:
        # Trades of the house with itself can never be asked for again: keeping them would grow without end.
        if not (is_house(one.account) and is_house(other.account)):
            self._sides_of_trade[one.trade_id] = (one, other)

    def _trim(self, account: str, symbol: str) -> None:
        """Resting reduce-only orders without room in the position are cancelled, the worst priced first.

        Better priced orders of the same side take room as well, whether they only reduce or not.
        """
        if is_house(account):
            return
        floor = self._floors[symbol]
        resting = {one.id: one for one in self.open_orders(account, symbol) if one.id in floor.book}
        if not any(one.request.reduce_only for one in resting.values()):
            return
        held = self._accounts.position(account, symbol).quantity
        for side in Side:
            room = max(ZERO, -held * side.sign)
            for stand in [one for one in floor.book.orders(side) if one.order_id in resting]:
                order = resting[stand.order_id]
                if order.request.reduce_only and stand.remaining > room:
                    self._end(order, OrderStatus.CANCELLED, Reason.REDUCE_ONLY)
                else:
                    room = max(ZERO, room - stand.remaining)

    # --- modify

    def _modify_reason(self, order: Order, wanted: Order) -> Reason | None:
        floor = self._floors[order.market]
        if order.closed:
            return Reason.ORDER_CLOSED
        if wanted.price is None and order.price is not None:
            return Reason.BAD_REQUEST
        try:
            check.check_values(floor.market, wanted.quantity, wanted.price, wanted.trigger_price)
        except Refusal as refusal:
            return refusal.reason
        if wanted.remaining <= 0:
            return Reason.SIZE_BELOW_MIN
        best = floor.book.best(order.side.opposite)
        resting = order.status is OrderStatus.OPEN
        if (
            resting
            and order.request.post_only
            and best is not None
            and crosses(order.side, wanted.price, best)
        ):
            return Reason.POST_ONLY
        if resting and not is_house(order.account):
            return self._risk_reason(floor, wanted)
        return None

    def _modify(self, order: Order, wanted: Order) -> Order:
        floor = self._floors[order.market]
        standing = floor.book.get(order.id)
        if standing is not None and wanted.price == order.price and wanted.quantity <= order.quantity:
            floor.book.reduce(order.id, order.quantity - wanted.quantity)
            return self._change(wanted, Cause.MODIFIED)
        if standing is not None:
            floor.book.remove(order.id)
        wanted = self._change(wanted, Cause.MODIFIED)
        if standing is not None and wanted.price is not None:
            return self._settle(floor, self._take(floor, wanted, wanted.price))
        if wanted.status is OrderStatus.UNTRIGGERED and check.triggered(wanted, floor.mark):
            return self._trigger(floor, wanted)
        return wanted

    # --- risk

    def _size_reason(self, floor: Floor, order: Order) -> Reason | None:
        position = self._accounts.position(order.account, order.market)
        if len(self.open_orders(order.account, order.market)) > floor.market.max_open_orders:
            return Reason.OPEN_ORDERS
        return check.size_reason(order, floor.market, floor.mark, position)

    def _risk_reason(self, floor: Floor, order: Order) -> Reason | None:
        position = self._accounts.position(order.account, order.market)
        reason = check.reduce_reason(order, position)
        if reason is None and self.rules.check_bands:
            reason = check.band_reason(order, floor.market, floor.mark)
        if reason is not None:
            return reason
        others = self._working(order.account, order.id)
        buys, sells = check.working_sizes(others).get(order.market, (ZERO, ZERO))
        same_side = buys if order.side is Side.BUY else sells
        reason = check.limit_reason(order, floor.market, position, same_side)
        if reason is not None or not self.rules.check_margin:
            return reason
        before, after = self._margin(order.account, others), self._margin(order.account, (*others, order))
        short = after.initial > after.equity and after.initial > before.initial
        return Reason.MARGIN if short else None

    def _working(self, account: str, but: str = "") -> tuple[Order, ...]:
        return tuple(
            one for one in self.open_orders(account) if one.status is OrderStatus.OPEN and one.id != but
        )

    def _margin(self, account: str, orders: tuple[Order, ...]) -> Margin:
        working = check.working_sizes(orders)
        markets = {symbol: floor.market for symbol, floor in self._floors.items()}
        marks = {symbol: floor.mark for symbol, floor in self._floors.items()}
        return self._accounts.margin(account, markets, marks, working)

    # --- records and events

    def _check_client_id(self, request: NewOrder) -> None:
        if not request.client_id or self.rules.client_ids == "any":
            return
        known = self._client_ids.get((request.account, request.client_id), ())
        if any(self.rules.client_ids == "ever" or not self._orders[one].closed for one in known):
            raise Refusal(Reason.DUPLICATE_CLIENT_ID, request.client_id)

    def _change(self, order: Order, cause: Cause, text: str = "") -> Order:
        """The next version is the order's record and told, unless it is the house's."""
        order = evolve(order, version=order.version + 1, updated_ns=self.clock.wall_ns())
        self._orders[order.id] = order
        if order.closed:
            self._open[order.account].pop(order.id, None)
            if order.account == HOUSE_TAKER:
                self._forget(order)
        self._tell(OrderChanged(order=order, cause=cause, text=text))
        self._touched[order.account] = None
        return order

    def _end(self, order: Order, status: OrderStatus, reason: Reason | None, text: str = "") -> Order:
        floor = self._floors[order.market]
        floor.book.remove(order.id)
        floor.waiting.pop(order.id, None)
        return self._change(evolve(order, status=status, reason=reason, reason_text=text), Cause.CLOSED)

    def _forget(self, order: Order) -> None:
        """The crowd's takers come by the thousand; nobody can ask for them once they are closed."""
        del self._orders[order.id]
        self._by_account[order.account].remove(order.id)

    def _tell(self, event: Event) -> None:
        if isinstance(event, OrderChanged) and is_house(event.order.account):
            return
        self._bus.put(event)

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """Everything inside is one publication: books, accounts, then the listeners."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._flush()

    def _flush(self) -> None:
        now_ns = self.clock.wall_ns()
        for floor in self._floors.values():
            for event in floor.publish(now_ns):
                self._bus.put(event)
        touched = [one for one in self._touched if not is_house(one)]
        self._touched.clear()
        for account in touched:
            margin = self.margin(account)
            balance = self._accounts.balance(margin)
            self._bus.put(AccountChanged(account=account, balance=balance, margin=margin, ts_ns=now_ns))
        self._bus.tell()

    def _known(self, order_id: str) -> Order:
        order = self._orders.get(order_id)
        if order is None:
            raise Refusal(Reason.UNKNOWN_ORDER, order_id)
        return order

    def _floor(self, market: str) -> Floor:
        floor = self._floors.get(market)
        if floor is None:
            raise Refusal(Reason.UNKNOWN_MARKET, market)
        return floor

    def _next_id(self, kind: str) -> str:
        counter = self._counters.get(kind, 0) + 1
        self._counters[kind] = counter
        return self._ids(kind, counter, self.clock.wall_ns())


def _with_fill(order: Order, fill: Fill) -> Order:
    return evolve(
        order,
        filled=order.filled + fill.quantity,
        notional=order.notional + fill.quantity * fill.price,
        fees=order.fees + fill.fee,
    )
