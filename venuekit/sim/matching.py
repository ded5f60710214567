"""The book of one market: price-time priority on exact numbers, and the sequence of its publications."""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.records import ZERO, SelfTrade, Side

if TYPE_CHECKING:
    from collections.abc import Iterator

type Levels = tuple[tuple[Decimal, Decimal], ...]


@define
class Resting:
    """What stands in the book for one order or house quote."""

    order_id: str
    account: str
    side: Side
    price: Decimal
    remaining: Decimal


@define
class _Level:
    # A dict keeps arrival order and removes from the middle in constant time.
    queue: dict[str, Resting] = field(factory=dict)
    size: Decimal = ZERO


@define
class _Ladder:
    """One side: prices ascending; the best bid is the last, the best ask the first."""

    side: Side
    prices: list[Decimal] = field(factory=list)
    levels: dict[Decimal, _Level] = field(factory=dict)

    def best(self) -> Decimal | None:
        if not self.prices:
            return None
        return self.prices[-1] if self.side is Side.BUY else self.prices[0]

    def walk(self) -> Iterator[Decimal]:
        return reversed(self.prices) if self.side is Side.BUY else iter(self.prices)

    def level(self, price: Decimal) -> _Level:
        found = self.levels.get(price)
        if found is None:
            found = self.levels[price] = _Level()
            insort(self.prices, price)
        return found

    def drop(self, price: Decimal) -> None:
        del self.levels[price]
        del self.prices[bisect_left(self.prices, price)]


def crosses(side: Side, limit: Decimal | None, opposite: Decimal) -> bool:
    """True when an order of `side` with this limit (None: any price) can trade at the opposite price."""
    if limit is None:
        return True
    return limit >= opposite if side is Side.BUY else limit <= opposite


class Book:
    """Resting orders of one market. Nothing here knows accounts' money or order states."""

    def __init__(self) -> None:
        self.seq = 1
        """Number of the last publication; the empty book with which the market opens is the first."""
        self._ladders = {side: _Ladder(side) for side in Side}
        self._resting: dict[str, Resting] = {}
        self._touched: dict[tuple[Side, Decimal], None] = {}
        self._published: dict[tuple[Side, Decimal], Decimal] = {}
        self._traded = False

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._resting

    def get(self, order_id: str) -> Resting | None:
        """The resting part of an order, None when it is not in the book."""
        return self._resting.get(order_id)

    def add(self, resting: Resting) -> None:
        """Stands last in the queue of its price."""
        level = self._ladders[resting.side].level(resting.price)
        level.queue[resting.order_id] = resting
        level.size += resting.remaining
        self._resting[resting.order_id] = resting
        self._touched[(resting.side, resting.price)] = None

    def reduce(self, order_id: str, quantity: Decimal) -> None:
        """The resting size is smaller by `quantity` at the same place in the queue; gone at zero."""
        resting = self._resting[order_id]
        ladder = self._ladders[resting.side]
        level = ladder.levels[resting.price]
        resting.remaining -= quantity
        level.size -= quantity
        if resting.remaining <= 0:
            del level.queue[order_id], self._resting[order_id]
            if not level.queue:
                ladder.drop(resting.price)
        self._touched[(resting.side, resting.price)] = None

    def remove(self, order_id: str) -> Resting | None:
        """The order no longer stands in the book; what stood, None when nothing did."""
        resting = self._resting.get(order_id)
        if resting is None:
            return None
        left = resting.remaining
        self.reduce(order_id, left)
        resting.remaining = left
        return resting

    def note_trade(self) -> None:
        """The next publication gets a sequence number even when no level's total changed."""
        self._traded = True

    def best(self, side: Side) -> Decimal | None:
        """Best price of a side."""
        return self._ladders[side].best()

    def top(self, side: Side) -> tuple[Decimal, Decimal] | None:
        """Best price and its total size."""
        price = self.best(side)
        return None if price is None else (price, self._ladders[side].levels[price].size)

    def size_at(self, side: Side, price: Decimal) -> Decimal:
        """Total size at a price, 0 when there is none."""
        level = self._ladders[side].levels.get(price)
        return ZERO if level is None else level.size

    def levels(self, side: Side, depth: int | None = None) -> Levels:
        """(price, total size), best first."""
        ladder = self._ladders[side]
        rows: list[tuple[Decimal, Decimal]] = []
        for price in ladder.walk():
            if depth is not None and len(rows) >= depth:
                break
            rows.append((price, ladder.levels[price].size))
        return tuple(rows)

    def orders(self, side: Side) -> Iterator[Resting]:
        """Everything on a side in matching order; the book must not change meanwhile."""
        ladder = self._ladders[side]
        for price in ladder.walk():
            yield from ladder.levels[price].queue.values()

    def ahead(self, order_id: str) -> Decimal:
        """Size that must trade before this order does."""
        target = self._resting[order_id]
        total = ZERO
        for resting in self.orders(target.side):
            if resting is target:
                break
            total += resting.remaining
        return total

    def front(self, taker: Side, limit: Decimal | None) -> Resting | None:
        """What a taker of this side and limit meets first."""
        ladder = self._ladders[taker.opposite]
        price = ladder.best()
        if price is None or not crosses(taker, limit, price):
            return None
        return next(iter(ladder.levels[price].queue.values()))

    def reachable(
        self, taker: Side, limit: Decimal | None, want: Decimal, account: str, stp: SelfTrade
    ) -> Decimal:
        """Size, at most `want`, that a taker would trade now, its self-trade prevention considered."""
        total = ZERO
        for resting in self.orders(taker.opposite):
            if total >= want or not crosses(taker, limit, resting.price):
                break
            if resting.account == account:
                if stp is SelfTrade.EXPIRE_MAKER:
                    continue
                break
            total += resting.remaining
        return min(total, want)

    def publish(self) -> tuple[Levels, Levels] | None:
        """Levels whose total changed since the last publication (0 removes), with `seq` moved by one; None
        when there is nothing to publish.
        """
        changed: dict[Side, list[tuple[Decimal, Decimal]]] = {Side.BUY: [], Side.SELL: []}
        for side, price in self._touched:
            size = self.size_at(side, price)
            if size != self._published.get((side, price), ZERO):
                changed[side].append((price, size))
                if size:
                    self._published[(side, price)] = size
                else:
                    del self._published[(side, price)]
        self._touched.clear()
        if not (self._traded or changed[Side.BUY] or changed[Side.SELL]):
            return None
        self._traded = False
        self.seq += 1
        bids = tuple(sorted(changed[Side.BUY], reverse=True))
        return bids, tuple(sorted(changed[Side.SELL]))
