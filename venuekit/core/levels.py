"""From levels as raw integers to Nautilus deltas, exactly: the hottest code there is.

What does not change for a market stands in closures; a price is checked once, when it enters the memo, a
size in place. A miss in the memo costs a second pass over its frame: rare, and cheaper than a call a level.
"""

from __future__ import annotations

from collections.abc import Callable

from nautilus_trader.model import (
    BookAction,
    BookOrder,
    InstrumentId,
    OrderBookDelta,
    OrderBookDeltas,
    OrderSide,
    Price,
    Quantity,
    RecordFlag,
)

from venuekit.core.numbers import price_of
from venuekit.errors import DecodeError
from venuekit.interfaces.stream import BookUpdate

LAST = RecordFlag.F_LAST.value
SNAPSHOT = RecordFlag.F_SNAPSHOT.value
MEMO_LIMIT = 8_192
"""Prices a market remembers at most; then it starts afresh."""

type Build = Callable[[BookUpdate], OrderBookDeltas | None]
type Learn = Callable[[BookUpdate], None]


class Levels:
    """Makes the deltas of one market; every method raises `DecodeError` for a number that is not exact.

    `ValueError` and `OverflowError` come from Nautilus for numbers beyond its range.
    """

    __slots__ = ("_nothing", "changes", "exponent", "instrument_id", "whole")

    def __init__(
        self, instrument_id: InstrumentId, exponent: int, price_precision: int, size_precision: int
    ) -> None:
        self.instrument_id = instrument_id
        self.exponent = exponent
        prices: dict[int, Price] = {}
        zero = Quantity.zero(size_precision)
        self._nothing = BookOrder(None, Price.zero(price_precision), zero, 0)
        learn = _learner(prices, exponent, price_precision)
        self.changes: Build = _changes(instrument_id, prices, zero, exponent, learn)
        """The deltas of a changed book; None for a frame without levels."""
        self.whole: Build = _whole(instrument_id, prices, zero, exponent, learn, self._clear)
        """A whole book: CLEAR, then one ADD a level."""

    def snapshot_of(
        self, orders: list[BookOrder], sequence: int, ts_event: int, ts_init: int
    ) -> OrderBookDeltas:
        """A whole book from orders that exist already."""
        iid = self.instrument_id
        out = [self._clear(not orders, sequence, ts_event, ts_init)]
        out += [
            OrderBookDelta(iid, BookAction.ADD, order, SNAPSHOT, sequence, ts_event, ts_init)
            for order in orders[:-1]
        ]
        for order in orders[-1:]:
            flags = SNAPSHOT | LAST
            out.append(OrderBookDelta(iid, BookAction.ADD, order, flags, sequence, ts_event, ts_init))
        return OrderBookDeltas(iid, out)

    def _clear(self, alone: bool, sequence: int, ts_event: int, ts_init: int) -> OrderBookDelta:
        """The first element of every snapshot, at the market's precisions."""
        flags = SNAPSHOT | LAST if alone else SNAPSHOT
        return OrderBookDelta(
            self.instrument_id, BookAction.CLEAR, self._nothing, flags, sequence, ts_event, ts_init
        )


def crosses(update: BookUpdate) -> bool:
    """True when the best bid of a whole book is not below its best ask."""
    bids, asks = update.bids, update.asks
    if not bids or not asks or max(next(zip(*bids, strict=True))) < min(next(zip(*asks, strict=True))):
        return False
    # A level of size zero is none.
    bid = max((price for price, size in bids if size), default=None)
    ask = min((price for price, size in asks if size), default=None)
    return bid is not None and ask is not None and bid >= ask


def _learner(prices: dict[int, Price], exponent: int, precision: int) -> Learn:
    def learn(update: BookUpdate) -> None:
        """Every price of the frame is in the memo, checked."""
        if len(prices) >= MEMO_LIMIT:
            prices.clear()
        for side in (update.bids, update.asks):
            for mantissa, _ in side:
                if mantissa not in prices:
                    prices[mantissa] = _positive_price(mantissa, exponent, precision)

    return learn


def _changes(
    iid: InstrumentId, prices: dict[int, Price], zero: Quantity, exponent: int, learn: Learn
) -> Build:
    places = zero.precision
    step = 10 ** max(0, -exponent - places)
    delta, order, size = OrderBookDelta, BookOrder, Quantity.from_mantissa_exponent
    upd, dlt, buy, sell = BookAction.UPDATE, BookAction.DELETE, OrderSide.BUY, OrderSide.SELL

    def build(update: BookUpdate) -> OrderBookDeltas | None:
        bids, asks = update.bids, update.asks
        seq, ts, ti = update.last or 0, update.ts_event, update.ts_init
        # The last element carries the flag, so it is made apart.
        if asks:
            p, s = asks[-1]
            side, asks = sell, asks[:-1]
        elif bids:
            p, s = bids[-1]
            side, bids = buy, bids[:-1]
        else:
            return None
        try:
            out = [
                delta(iid, upd, order(buy, prices[p], size(s, exponent, places), 0), 0, seq, ts, ti)
                if s and not s % step
                else delta(iid, dlt, order(buy, prices[p], _off(s) if s else zero, 0), 0, seq, ts, ti)
                for p, s in bids
            ]
            if asks:
                out += [
                    delta(iid, upd, order(sell, prices[p], size(s, exponent, places), 0), 0, seq, ts, ti)
                    if s and not s % step
                    else delta(iid, dlt, order(sell, prices[p], _off(s) if s else zero, 0), 0, seq, ts, ti)
                    for p, s in asks
                ]
            if s % step:
                _off(s)
            amount = size(s, exponent, places) if s else zero
            out.append(delta(iid, upd if s else dlt, order(side, prices[p], amount, 0), LAST, seq, ts, ti))
            return OrderBookDeltas(iid, out)
        except KeyError:
            learn(update)
            return build(update)

    return build


def _whole(
    iid: InstrumentId,
    prices: dict[int, Price],
    zero: Quantity,
    exponent: int,
    learn: Learn,
    clear: Callable[[bool, int, int, int], OrderBookDelta],
) -> Build:
    places = zero.precision
    step = 10 ** max(0, -exponent - places)
    delta, order, size = OrderBookDelta, BookOrder, Quantity.from_mantissa_exponent
    add, buy, sell = BookAction.ADD, OrderSide.BUY, OrderSide.SELL

    def build(update: BookUpdate) -> OrderBookDeltas | None:
        seq, ts, ti = update.last or 0, update.ts_event, update.ts_init
        out = []
        try:
            for side, levels in ((buy, update.bids), (sell, update.asks)):
                out += [
                    delta(
                        iid,
                        add,
                        order(side, prices[p], _off(s) if s % step else size(s, exponent, places), 0),
                        SNAPSHOT,
                        seq,
                        ts,
                        ti,
                    )
                    for p, s in levels
                    if s
                ]
        except KeyError:
            learn(update)
            return build(update)
        first = clear(not out, seq, ts, ti)
        if out:
            last = out[-1].order
            out[-1] = delta(iid, add, last, SNAPSHOT | LAST, seq, ts, ti)
        return OrderBookDeltas(iid, [first, *out])

    return build


def _off(mantissa: int) -> Quantity:
    """Never returns: the size does not fit the instrument's grid (or is the null)."""
    raise DecodeError(f"size mantissa {mantissa} is off the grid", kind="off_grid")


def _positive_price(mantissa: int, exponent: int, precision: int) -> Price:
    if mantissa == 0:
        raise DecodeError("a level at price zero", kind="zero_price")
    price = price_of(mantissa, exponent, precision)
    if mantissa < 0:
        raise DecodeError(f"a level at a negative price {mantissa}e{exponent}", kind="negative")
    return price
