"""The exchange: it says WHAT happens, never WHEN (the venue's simulator delays with the clock).

Two-step operations leave the moment to the caller: `admit` then `activate`, `request_cancel` then
`apply_cancel`, `request_modify` then `apply_modify`. Every public method leaves the exchange consistent and
has told its events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit.sim import rules as check
from venuekit.sim.accounts import is_house
from venuekit.sim.errors import Refusal
from venuekit.sim.matching import Resting
from venuekit.sim.records import (
    ZERO,
    BookView,
    Fill,
    FillBusted,
    FillKind,
    FundingChanged,
    FundingPaid,
    Liquidity,
    Mode,
    ModeChanged,
    NewOrder,
    Order,
    OrderKind,
    OrderStatus,
    Position,
    PositionChanged,
    PriceMoved,
    Reason,
    SelfTrade,
    Side,
    Tif,
    Trade,
)
from venuekit.sim.rules import Rules
from venuekit.sim.trading import HOUSE_MAKER, HOUSE_TAKER, Trading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from venuekit.sim.floor import Floor
    from venuekit.sim.market import Market

__all__ = ["HOUSE_COUNTERPARTY", "HOUSE_MAKER", "HOUSE_TAKER", "HOUSE_TRANSFER", "Exchange", "Rules"]

HOUSE_COUNTERPARTY = "house:counterparty"
HOUSE_TRANSFER = "house:transfer"


class Exchange(Trading):
    """One deterministic exchange with one settlement currency, its questions and its control interface."""

    # --- questions

    def market(self, symbol: str) -> Market:
        """The market's facts. Raises Refusal(UNKNOWN_MARKET)."""
        return self._floor(symbol).market

    @property
    def markets(self) -> Mapping[str, Market]:
        """All markets by symbol."""
        return {symbol: floor.market for symbol, floor in self._floors.items()}

    def has_account(self, account: str) -> bool:
        """True when it was funded or used."""
        return account in self._accounts

    def accounts(self) -> Sequence[str]:
        """Users' accounts, in the order of their first use."""
        return [name for name in self._accounts.names() if not is_house(name)]

    def orders(self, account: str) -> Sequence[Order]:
        """All orders of the account, oldest first."""
        return [self._orders[one] for one in self._by_account.get(account, ())]

    def orders_by_client_id(self, account: str, client_id: str) -> Sequence[Order]:
        """All orders with this client id, oldest first."""
        return [self._orders[one] for one in self._client_ids.get((account, client_id), ())]

    def fill(self, fill_id: str) -> Fill | None:
        """A user's fill, busted or not."""
        return self._fills.get(fill_id)

    def fills(self, account: str, *, busted: bool = False) -> Sequence[Fill]:
        """All fills of the account, oldest first, busted ones only where they are asked for."""
        return [one for one in self._fills_of.get(account, ()) if busted or one.id not in self._busted]

    def is_busted(self, fill_id: str) -> bool:
        """True when `bust` took this fill back."""
        return fill_id in self._busted

    def trades(self, market: str) -> Sequence[Trade]:
        """The latest 1,000 public trades, oldest first."""
        return tuple(self._floor(market).trades)

    def book(self, market: str, depth: int | None = None) -> BookView:
        """The book as published at its sequence number."""
        return self._floor(market).view(depth)

    def size_ahead(self, order_id: str) -> Decimal | None:
        """Size that must trade before this order does, None when it is not in the book."""
        order = self._orders.get(order_id)
        if order is None or order_id not in self._floors[order.market].book:
            return None
        return self._floors[order.market].book.ahead(order_id)

    def users_resting(self, market: str) -> Sequence[Resting]:
        """What users have in the book of a market, bids first, in matching order."""
        book = self._floor(market).book
        return [one for side in Side for one in book.orders(side) if not is_house(one.account)]

    def mark(self, market: str) -> Decimal:
        """Mark price."""
        return self._floor(market).mark

    def index(self, market: str) -> Decimal:
        """Index (spot) price."""
        return self._floor(market).index

    def mode(self, market: str | None = None) -> Mode:
        """The stricter of the market's mode and the exchange's."""
        return self._mode if market is None else check.stricter(self._mode, self._floor(market).mode)

    def halted(self, market: str) -> bool:
        """True while the market is halted."""
        return self._floor(market).halted

    def funding(self, market: str) -> tuple[Decimal, Decimal]:
        """(rate, running index)."""
        floor = self._floor(market)
        return floor.funding_rate, floor.funding_index

    def positions(self, account: str) -> Sequence[Position]:
        """Positions that are or were open."""
        return self._accounts.positions(account)

    def position(self, account: str, market: str) -> Position:
        """The position; flat when there was none."""
        return self._accounts.position(account, market)

    def imbalance(self) -> Decimal:
        """Cash of all accounts less entry cost of all positions less deposits: zero unless the books are
        wrong.
        """
        total = -self._accounts.deposited()
        for name in self._accounts.names():
            total += self._accounts.cash(name)
            total -= sum((one.cost for one in self._accounts.positions(name)), ZERO)
        return total

    # --- control interface of the conformance suite

    def external_order(self, request: NewOrder) -> Order:
        """An order of a user's account that did not come through the API."""
        return self.submit(request)

    def place_counterparty_order(
        self,
        market: str,
        side: Side,
        quantity: Decimal,
        price: Decimal | None = None,
        *,
        tif: Tif = Tif.GTC,
    ) -> Order:
        """An order of the house (MARKET without a price): no margin, no limits."""
        kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
        return self.submit(
            NewOrder(
                account=HOUSE_COUNTERPARTY,
                market=market,
                side=side,
                quantity=quantity,
                kind=kind,
                price=price,
                tif=tif,
            )
        )

    def cross(self, order_id: str, quantity: Decimal | None = None) -> tuple[Fill, ...]:
        """The house took `quantity` (all when None) of this resting order at its price, out of turn; the
        user's fills.
        """
        order = self._known(order_id)
        floor = self._floors[order.market]
        standing = floor.book.get(order_id)
        if standing is None:
            raise Refusal(Reason.ORDER_CLOSED, f"{order_id} does not rest in the book")
        size = standing.remaining if quantity is None else min(quantity, standing.remaining)
        before = len(self._fills_of.get(order.account, ()))
        with self._operation():
            taker = self.admit(self._house_order(order.market, order.side.opposite, size, standing.price))
            taker = self._match(floor, taker, standing, size)
            self._end(taker, OrderStatus.FILLED, None)
        return tuple(self._fills_of.get(order.account, ())[before:])

    def take(self, market: str, side: Side, quantity: Decimal, price: Decimal) -> Order:
        """The house took up to `quantity` at `price` or better, in price-time priority; nothing rests."""
        return self.submit(self._house_order(market, side, quantity, price))

    def set_quotes(
        self, market: str, bids: Mapping[Decimal, Decimal], asks: Mapping[Decimal, Decimal]
    ) -> None:
        """The house's standing quotes are exactly these (price -> size), in one publication.

        A quote that meets somebody's order takes it first. A quote that only shrinks keeps its place.
        """
        floor = self._floor(market)
        with self._operation():
            for side, wanted in ((Side.BUY, bids), (Side.SELL, asks)):
                for price in [one.price for one in floor.book.orders(side) if one.account == HOUSE_MAKER]:
                    self._withdraw_quote(floor, side, price, wanted.get(price, ZERO))
            for side, wanted in ((Side.BUY, bids), (Side.SELL, asks)):
                for price, size in wanted.items():
                    self._place_quote(floor, side, price, size)

    def cancel_by_venue(self, order_id: str, reason: str) -> Order:
        """The order is closed with reason VENUE and this text."""
        return self.apply_cancel(order_id, Reason.VENUE, reason)

    def set_position(
        self, account: str, market: str, quantity: Decimal, price: Decimal | None = None
    ) -> Position:
        """The account holds exactly this signed size; the house gave the difference as a TRANSFER fill."""
        floor = self._floor(market)
        delta = quantity - self.position(account, market).quantity
        with self._operation():
            if delta:
                self._transfer(
                    floor, account, delta, floor.mark if price is None else price, FillKind.TRANSFER
                )
        return self.position(account, market)

    def set_price(self, market: str, mark: Decimal, index: Decimal | None = None) -> None:
        """Mark and index are set; triggers and liquidations that follow have happened."""
        floor = self._floor(market)
        with self._operation():
            floor.mark = mark
            floor.index = mark if index is None else index
            self._tell(PriceMoved(market=market, mark=mark, index=floor.index, ts_ns=self.clock.wall_ns()))
            if floor.halted or self.mode(market) in (Mode.CANCEL_ONLY, Mode.MAINTENANCE):
                return
            self._trigger_waiting(floor)
            if self.rules.liquidate:
                self._liquidate(market)

    def set_funding_rate(self, market: str, rate: Decimal) -> None:
        """The rate is published; nothing is paid."""
        floor = self._floor(market)
        with self._operation():
            floor.funding_rate = rate
            self._tell_funding(floor)

    def pay_funding(self, market: str, rate: Decimal | None = None) -> None:
        """Every position paid or received size x mark x rate; the index moved by mark x rate."""
        floor = self._floor(market)
        with self._operation():
            floor.funding_rate = floor.funding_rate if rate is None else rate
            per_unit = floor.mark * floor.funding_rate
            floor.funding_index += per_unit
            self._tell_funding(floor)
            now_ns = self.clock.wall_ns()
            for account, amount in self._accounts.pay_funding(market, per_unit, now_ns).items():
                if is_house(account):
                    continue
                self._touched[account] = None
                self._tell(PositionChanged(position=self.position(account, market)))
                self._tell(
                    FundingPaid(
                        account=account, market=market, amount=amount, index=floor.funding_index, ts_ns=now_ns
                    )
                )

    def halt(self, market: str, halted: bool = True) -> None:
        """The market matches nothing and admits nothing; cancels work."""
        with self._operation():
            self._floor(market).halted = halted
            self._tell_mode(market)

    def set_mode(self, mode: Mode, market: str | None = None) -> None:
        """The mode is in force for the market, or for all."""
        with self._operation():
            if market is None:
                self._mode = mode
            else:
                self._floor(market).mode = mode
            self._tell_mode(market)

    def bust(self, fill_id: str) -> tuple[Fill, ...]:
        """The trade of this fill is undone for both sides, fees included; the users' busted fills.

        The orders stay as they are: a venue that busts does not reopen them.
        """
        fill = self._fills.get(fill_id)
        if fill is None or fill_id in self._busted:
            raise Refusal(Reason.UNKNOWN_ORDER, f"no fill {fill_id} to bust")
        now_ns = self.clock.wall_ns()
        sides = self._sides_of_trade[fill.trade_id]
        with self._operation():
            for one in sides:
                self._busted.add(one.id)
                position, _ = self._accounts.trade(
                    one.account,
                    one.market,
                    -one.quantity * one.side.sign,
                    one.price,
                    -one.fee,
                    one.id,
                    now_ns,
                )
                if not is_house(one.account):
                    self._touched[one.account] = None
                    self._tell(FillBusted(fill=one, ts_ns=now_ns))
                    self._tell(PositionChanged(position=position))
                    self._trim(one.account, one.market)
        return tuple(one for one in sides if not is_house(one.account))

    # --- inside

    def _house_order(self, market: str, side: Side, quantity: Decimal, price: Decimal) -> NewOrder:
        return NewOrder(
            account=HOUSE_TAKER,
            market=market,
            side=side,
            quantity=quantity,
            price=price,
            tif=Tif.IOC,
            stp=SelfTrade.EXPIRE_MAKER,
        )

    def _withdraw_quote(self, floor: Floor, side: Side, price: Decimal, size: Decimal) -> None:
        key = _quote_key(side, price)
        standing = floor.book.get(key)
        if standing is None:
            return
        if ZERO < size <= standing.remaining:
            floor.book.reduce(key, standing.remaining - size)
        else:
            floor.book.remove(key)

    def _place_quote(self, floor: Floor, side: Side, price: Decimal, size: Decimal) -> None:
        key = _quote_key(side, price)
        if key in floor.book or size <= 0:
            return
        if floor.book.front(side, price) is not None:
            size = self.take(floor.market.symbol, side, size, price).remaining
        if size > 0:
            floor.book.add(Resting(key, HOUSE_MAKER, side, price, size))

    def _trigger_waiting(self, floor: Floor) -> None:
        for order_id in tuple(floor.waiting):
            # An earlier one may have closed it meanwhile.
            order = self._orders[order_id]
            if order_id in floor.waiting and check.triggered(order, floor.mark):
                self._trigger(floor, order)

    def _liquidate(self, market: str) -> None:
        for account in self.accounts():
            if not self.position(account, market).quantity:
                continue
            margin = self.margin(account)
            if margin.maintenance <= margin.equity:
                continue
            self.cancel_all(account, reason=Reason.LIQUIDATION)
            for position in self.positions(account):
                if position.quantity:
                    floor = self._floors[position.market]
                    self._transfer(floor, account, -position.quantity, floor.mark, FillKind.LIQUIDATION)

    def _transfer(self, floor: Floor, account: str, delta: Decimal, price: Decimal, kind: FillKind) -> None:
        """The account got `delta` (signed) from the house outside the book, without a fee."""
        side = Side.BUY if delta > 0 else Side.SELL
        trade = Trade(
            id=self._next_id("trade"),
            market=floor.market.symbol,
            side=side,
            quantity=abs(delta),
            price=price,
            book_seq=0,
            ts_ns=self.clock.wall_ns(),
        )
        mine = self._book_fill(floor, trade, account, side, Liquidity.NONE, None, ZERO, kind)
        theirs = self._book_fill(
            floor, trade, HOUSE_TRANSFER, side.opposite, Liquidity.NONE, None, ZERO, kind
        )
        self._remember(mine, theirs)
        self._trim(account, floor.market.symbol)

    def _tell_funding(self, floor: Floor) -> None:
        self._tell(
            FundingChanged(
                market=floor.market.symbol,
                rate=floor.funding_rate,
                index=floor.funding_index,
                ts_ns=self.clock.wall_ns(),
            )
        )

    def _tell_mode(self, market: str | None) -> None:
        halted = market is not None and self._floors[market].halted
        self._tell(
            ModeChanged(market=market, mode=self.mode(market), halted=halted, ts_ns=self.clock.wall_ns())
        )


def _quote_key(side: Side, price: Decimal) -> str:
    # Keeps apart from the ids of orders, which the venue's id source makes.
    return f"quote:{side.value}:{price}"
