"""One market's book: the sequence rule, what breaks it, and the deltas published while it is whole."""

from __future__ import annotations

from enum import Enum

from attrs import evolve
from nautilus_trader.model import BookType, InstrumentId, OrderBook, OrderBookDeltas, OrderBookDepth

from venuekit.core.levels import LAST, Levels, crosses
from venuekit.errors import DecodeError
from venuekit.interfaces.manifest import BookRule, Chain, SnapshotFrom
from venuekit.interfaces.stream import BookUpdate

_PLUS_ONE = Chain.PLUS_ONE
DEPTH = 10
MAX_WAITING = 5_000
"""Frames that wait for a snapshot at most; beyond, only the newer ones do."""


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
        self.breaks = 0
        """How often it broke: a snapshot that was asked for before the last time may lack what was lost."""
        self.mirror: OrderBook | None = None
        self._chain = rule.chain
        self._may_cross = rule.may_cross
        self._precisions = (price_precision, size_precision)
        self._levels = Levels(instrument_id, -8, price_precision, size_precision)
        self._next: int | None = None
        self._previous: BookUpdate | None = None
        self._waiting: list[BookUpdate] | None = [] if rule.snapshot is SnapshotFrom.REST else None
        """Frames that came before a snapshot that is asked for apart; None: it comes in the stream."""
        self._top: tuple[object, ...] | None = None

    def apply(self, update: BookUpdate) -> OrderBookDeltas | Held:
        """The deltas to publish, or why there are none; the sequence moves only when nothing was wrong."""
        if update.exponent != self._levels.exponent:
            self._levels = Levels(self.instrument_id, update.exponent, *self._precisions)
        deltas: OrderBookDeltas | None
        try:
            if update.snapshot:
                if not self._may_cross and crosses(update):
                    return self.break_("crossed snapshot")
                deltas = self._levels.whole(update)
            elif not self.whole:
                return self._early(update)
            elif self._chain is _PLUS_ONE and update.first == update.last == self._next:
                # The usual frame, without a call.
                deltas = self._levels.changes(update)
            elif (held := self._held(update)) is not None:
                return held
            else:
                deltas = self._levels.changes(update)
        except DecodeError as error:
            return self.break_(f"{error.kind}: {error.message}")
        except (ValueError, OverflowError) as error:
            return self.break_(f"range: {error}")
        last = update.last
        self._next = None if last is None else last + 1
        self._previous = update
        self.whole = True
        if deltas is None:
            return Held.SILENT
        if self.mirror is not None:
            self.mirror.apply_deltas(deltas)
            if not self._may_cross and _crossed(self.mirror):
                return self.break_("crossed book")
        return deltas

    @property
    def last(self) -> int | None:
        """The venue's sequence of the last applied frame."""
        return None if self._next is None else self._next - 1

    def break_(self, why: str) -> Held:
        """Nothing is published after this until a snapshot came."""
        self.whole = False
        self.why = why
        self.breaks += 1
        self._next = None
        self._previous = None
        self._top = None
        if self._waiting is not None:
            self._waiting = []
        if self.mirror is not None:
            self.mirror.reset()
        return Held.BROKEN

    def join(self, snapshot: BookUpdate) -> list[OrderBookDeltas] | Held:
        """A snapshot that was asked for apart, then the waiting frames after it; or that they do not join.

        Frames that did not join keep waiting: a newer snapshot may.
        """
        at = snapshot.last
        waiting = [update for update in self._waiting or () if _newer(update, snapshot)]
        out = [self.apply(snapshot)]
        for update in waiting:
            if not self.whole:
                break
            if len(out) == 1 and at is not None and update.first is not None:
                # The first one may have begun before the snapshot was made: that it reaches beyond is enough.
                begins = at if self._chain is Chain.PREVIOUS else at + 1
                update = evolve(update, first=max(update.first, begins))
            out.append(self.apply(update))
        if self._waiting is not None:
            self._waiting = [] if self.whole else waiting
        if not self.whole:
            return Held.BROKEN
        return [made for made in out if not isinstance(made, Held)]

    def _early(self, update: BookUpdate) -> Held:
        if self._waiting is not None:
            if len(self._waiting) >= MAX_WAITING:
                del self._waiting[: MAX_WAITING // 2]
            self._waiting.append(update)
        return Held.EARLY

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
        return self._levels.snapshot_of(pairs, self.last or 0, mirror.ts_last, ts_init)

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
            LAST,
            self.last or 0,
            mirror.ts_last,
            ts_init,
        )

    def _held(self, update: BookUpdate) -> Held | None:
        """None when the frame is the next one of its chain."""
        last, first, chain = self.last, update.first, self._chain
        if chain is Chain.NONE:
            return None
        if last is not None and update.last is not None:
            if chain is Chain.PREVIOUS and first == last:
                return None
            if chain is Chain.PLUS_ONE:
                first = update.last if first is None else first
                if first == last + 1 and update.last >= first:
                    return None
        if self._previous == update:
            return Held.REPEATED
        broken = self.break_(f"sequence {update.first}..{update.last} after {last}")
        # Where snapshots are asked for, this frame is the first that must follow the next one.
        self._early(update)
        return broken


def _newer(update: BookUpdate, snapshot: BookUpdate) -> bool:
    """True when the frame says something that the snapshot does not hold yet."""
    if update.last is None or snapshot.last is None:
        return update.ts_event > snapshot.ts_event
    return update.last > snapshot.last


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
