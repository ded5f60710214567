"""One market's book: the sequence rule, what breaks it, and the deltas published while it is whole."""

from __future__ import annotations

from enum import Enum

from nautilus_trader.model import (
    BookAction,
    BookOrder,
    BookType,
    InstrumentId,
    OrderBook,
    OrderBookDelta,
    OrderBookDeltas,
    OrderBookDepth,
    OrderSide,
    Price,
    Quantity,
    RecordFlag,
)

from venuekit.core.numbers import Memo, price_of, quantity_memo
from venuekit.errors import DecodeError
from venuekit.interfaces.manifest import BookRule, Chain
from venuekit.interfaces.stream import BookUpdate

_LAST = RecordFlag.F_LAST.value
_SNAPSHOT = RecordFlag.F_SNAPSHOT.value
_BUY, _SELL = OrderSide.BUY, OrderSide.SELL
_ADD, _UPDATE, _DELETE = BookAction.ADD, BookAction.UPDATE, BookAction.DELETE
DEPTH = 10


class Held(Enum):
    """Why a frame published nothing; the values are counter names."""

    SILENT = "book.no_levels"
    """It moved the sequence and carried no level."""
    REPEATED = "book.repeated"
    """The very frame before it once more."""
    EARLY = "book.before_snapshot"
    """The book is not whole; the frame is dropped."""
    BROKEN = "book.broken"
    """The book just broke: it needs a new snapshot. `why` says what was wrong."""


class Book:
    """Takes `BookUpdate`s, gives `OrderBookDeltas`; broken, it gives nothing until the next snapshot.

    It stores no levels unless `keep` asks for a mirror (depth, snapshots on request, crossing checks).
    """

    def __init__(
        self, instrument_id: InstrumentId, rule: BookRule, price_precision: int, size_precision: int
    ) -> None:
        self.instrument_id = instrument_id
        self.whole = False
        self.why = "no snapshot yet"
        """Why it is not whole."""
        self.last: int | None = None
        """The venue's sequence of the last applied frame."""
        self.mirror: OrderBook | None = None
        self._rule = rule
        self._chain = rule.chain
        self._may_cross = rule.may_cross
        self._price_precision = price_precision
        self._size_precision = size_precision
        self._prices: Memo[Price] = Memo(_positive_price, -8, price_precision)
        self._sizes: Memo[Quantity] = quantity_memo(-8, size_precision)
        self._nothing = BookOrder(None, Price.zero(price_precision), Quantity.zero(size_precision), 0)
        self._previous: BookUpdate | None = None
        self._top: tuple[object, ...] | None = None

    def apply(self, update: BookUpdate) -> OrderBookDeltas | Held:
        """The deltas to publish, or why there are none; the sequence moves only when nothing was wrong."""
        if not update.snapshot:
            if not self.whole:
                return Held.EARLY
            held = self._follows(update)
            if held is not None:
                return held
        if update.exponent != self._prices.exponent:
            self._prices = Memo(_positive_price, update.exponent, self._price_precision)
            self._sizes = quantity_memo(update.exponent, self._size_precision)
        try:
            deltas = self._snapshot(update) if update.snapshot else self._deltas(update)
        except DecodeError as error:
            return self.break_(f"{error.kind}: {error.message}")
        if self.mirror is not None and deltas is not None:
            self.mirror.apply_deltas(deltas)
            if not self._may_cross and _crossed(self.mirror):
                return self.break_("crossed book")
        self.last = update.last
        self._previous = update
        self.whole = True
        return Held.SILENT if deltas is None else deltas

    def break_(self, why: str) -> Held:
        """Nothing is published after this until a snapshot came."""
        self.whole = False
        self.why = why
        self.last = None
        self._previous = None
        self._top = None
        if self.mirror is not None:
            self.mirror.reset()
        return Held.BROKEN

    def keep(self) -> bool:
        """A mirror is kept after this; False when it can only start with the next snapshot (ask for one)."""
        if self.mirror is None:
            self.mirror = OrderBook(self.instrument_id, BookType.L2_MBP)
            return not self.whole
        return True

    def forget(self) -> None:
        """No mirror is kept after this."""
        self.mirror = None
        self._top = None

    def snapshot(self, ts_init: int, depth: int | None = None) -> OrderBookDeltas | None:
        """The kept book as one snapshot, or None while there is none that can be trusted."""
        mirror = self.mirror
        if mirror is None or not self.whole:
            return None
        bids = [level.first() for level in mirror.bids(depth)]
        asks = [level.first() for level in mirror.asks(depth)]
        pairs = [order for order in bids + asks if order is not None]
        return self._as_snapshot(pairs, self.last or 0, mirror.ts_last, ts_init)

    def depth(self, ts_init: int) -> OrderBookDepth | None:
        """The best ten levels of each side when they changed since the last call; None otherwise."""
        mirror = self.mirror
        if mirror is None or not self.whole:
            return None
        bids = [order for level in mirror.bids(DEPTH) if (order := level.first()) is not None]
        asks = [order for level in mirror.asks(DEPTH) if (order := level.first()) is not None]
        top = (*((o.price, o.size) for o in bids), None, *((o.price, o.size) for o in asks))
        if top == self._top:
            return None
        self._top = top
        return OrderBookDepth(
            self.instrument_id,
            bids,
            asks,
            [1] * len(bids),
            [1] * len(asks),
            _LAST,
            self.last or 0,
            mirror.ts_last,
            ts_init,
        )

    def _follows(self, update: BookUpdate) -> Held | None:
        """None when the frame is the next one of its chain."""
        last, chain = self.last, self._chain
        if chain is Chain.PLUS_ONE:
            first = update.first
            if first is None:
                first = update.last
            if last is not None and first == last + 1 and update.last is not None and update.last >= first:
                return None
        elif chain is Chain.PREVIOUS:
            if last is not None and update.first == last and update.last is not None:
                return None
        else:
            return None
        if self._previous == update:
            return Held.REPEATED
        return self.break_(f"sequence {update.first}..{update.last} after {last}")

    def _deltas(self, update: BookUpdate) -> OrderBookDeltas | None:
        bids, asks = update.bids, update.asks
        # The last element carries the flag, so it is made apart.
        if asks:
            head, tail, side = asks[:-1], asks[-1], _SELL
        elif bids:
            bids, head, tail, side = bids[:-1], [], bids[-1], _BUY
        else:
            return None
        prices, sizes, iid = self._prices, self._sizes, self.instrument_id
        seq, ts_event, ts_init = update.last or 0, update.ts_event, update.ts_init
        delta, order, upd, dlt = OrderBookDelta, BookOrder, _UPDATE, _DELETE
        out = [
            delta(iid, upd if s else dlt, order(_BUY, prices[p], sizes[s], 0), 0, seq, ts_event, ts_init)
            for p, s in bids
        ]
        if head:
            out += [
                delta(iid, upd if s else dlt, order(_SELL, prices[p], sizes[s], 0), 0, seq, ts_event, ts_init)
                for p, s in head
            ]
        p, s = tail
        out.append(
            delta(iid, upd if s else dlt, order(side, prices[p], sizes[s], 0), _LAST, seq, ts_event, ts_init)
        )
        return OrderBookDeltas(iid, out)

    def _snapshot(self, update: BookUpdate) -> OrderBookDeltas:
        bids = [(p, s) for p, s in update.bids if s]
        asks = [(p, s) for p, s in update.asks if s]
        if not self._may_cross and bids and asks and max(bids)[0] >= min(asks)[0]:
            raise DecodeError("a crossed snapshot", kind="crossed")
        prices, sizes = self._prices, self._sizes
        orders = [BookOrder(_BUY, prices[p], sizes[s], 0) for p, s in bids]
        orders += [BookOrder(_SELL, prices[p], sizes[s], 0) for p, s in asks]
        return self._as_snapshot(orders, update.last or 0, update.ts_event, update.ts_init)

    def _as_snapshot(
        self, orders: list[BookOrder], sequence: int, ts_event: int, ts_init: int
    ) -> OrderBookDeltas:
        """CLEAR, then one ADD a level; all carry the snapshot flag, the last one the last flag too."""
        iid, last = self.instrument_id, _SNAPSHOT | _LAST
        flags = _SNAPSHOT if orders else last
        out = [OrderBookDelta(iid, BookAction.CLEAR, self._nothing, flags, sequence, ts_event, ts_init)]
        out += [
            OrderBookDelta(iid, _ADD, order, _SNAPSHOT, sequence, ts_event, ts_init) for order in orders[:-1]
        ]
        if orders:
            out.append(OrderBookDelta(iid, _ADD, orders[-1], last, sequence, ts_event, ts_init))
        return OrderBookDeltas(iid, out)


def _positive_price(mantissa: int, exponent: int, precision: int) -> Price:
    if mantissa == 0:
        raise DecodeError("a level at price zero", kind="zero_price")
    price = price_of(mantissa, exponent, precision)
    if mantissa < 0:
        raise DecodeError(f"a level at a negative price {mantissa}e{exponent}", kind="negative")
    return price


def _crossed(book: OrderBook) -> bool:
    bid, ask = book.best_bid_price(), book.best_ask_price()
    return bid is not None and ask is not None and bid.raw >= ask.raw


class Pace:
    """How soon a broken book may ask for a snapshot: at once when healthy before, ever later in a storm."""

    __slots__ = ("_last_ns", "_step_ns")

    FIRST_NS = 1_000_000_000
    LONGEST_NS = 30_000_000_000

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._step_ns = 0

    def apply_broken(self, now_ns: int) -> int:
        """Nanoseconds to wait before the resync that this break needs."""
        if self._last_ns is None or now_ns - self._last_ns >= 2 * self.LONGEST_NS:
            self._step_ns = 0
        wait = self._step_ns
        self._step_ns = min(self.LONGEST_NS, max(self.FIRST_NS, 2 * wait))
        self._last_ns = now_ns + wait
        return wait
