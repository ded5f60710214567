"""Venue snapshot against what is known here: positions fills explain, orders that must be asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from nautilus_trader.model import OrderSide, Quantity

from venuekit.core.busts import without
from venuekit.core.order_state import RAW_SCALE, WORKING, Moment, Tracked
from venuekit.interfaces.records import FillRecord, OrderRecord, WireIds

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.core.orders import OrderTracker
    from venuekit.interfaces.records import PositionRecord


_MS = 1_000_000


@frozen
class Difference:
    """A position that the fills delivered here do not explain."""

    instrument_id: InstrumentId
    expected: Decimal
    venue: Decimal


@define
class _Doubt:
    """A position that the fills do not make."""

    beyond: int
    """What the venue has beyond them."""
    since_ns: int
    """When that was seen first; monotonic."""
    left: int
    """The same without the fills of before it was read last that came since."""
    read_ns: int | None
    """When it was read last, in venue time; None: not known."""


@define
class PositionBook:
    """Net positions as baseline plus delivered fills; a difference is never corrected in silence."""

    _raw: dict[InstrumentId, int] = field(factory=dict)
    _doubtful: dict[InstrumentId, _Doubt] = field(factory=dict)
    _base_ns: dict[InstrumentId, int] = field(factory=dict)
    """Venue time of the baseline: a fill up to then is part of it, however late it is delivered."""
    applied: int = 0
    """Fills counted so far; a snapshot read while this moved says nothing exact."""
    started: bool = False
    """True once the venue's list was seen: an instrument that was not in it was flat."""

    def apply_fill(self, fill: FillRecord, side: OrderSide) -> None:
        """The delivered fill moves its position."""
        self.applied += 1
        if fill.ts_event > self._base_ns.get(fill.instrument_id, -1):
            self._move(fill, 1 if side == OrderSide.BUY else -1, fill.ts_event)

    def apply_void(self, fill: FillRecord, side: OrderSide, ts_event: int) -> None:
        """The fill was taken back then."""
        self.applied += 1
        if ts_event > self._base_ns.get(fill.instrument_id, -1):
            self._move(fill, -1 if side == OrderSide.BUY else 1, ts_event)

    def explains(self, record: PositionRecord) -> bool:
        """True when the fills make what this record says, or nothing is known to compare it with."""
        there = int(Decimal(record.signed_qty) * RAW_SCALE)
        return not self.started or self._raw.get(record.instrument_id, 0) == there

    def _move(self, fill: FillRecord, sign: int, ts_event: int) -> None:
        if not self.started:
            return
        iid = fill.instrument_id
        self._raw[iid] = self._raw.get(iid, 0) + sign * fill.quantity.raw
        doubt = self._doubtful.get(iid)
        if doubt is None or (doubt.read_ns is not None and ts_event > doubt.read_ns):
            # One of after the reading explains nothing of it, be it of the missing one's very size.
            return
        doubt.left -= sign * fill.quantity.raw
        if not doubt.left:
            # The fills make what the venue said: an equal difference later is another one.
            del self._doubtful[iid]

    def apply_snapshot(
        self,
        positions: Iterable[PositionRecord],
        now_ns: int = 0,
        settle_ns: int = 0,
        moving: Collection[InstrumentId] = (),
        read_ns: int | None = None,
    ) -> list[Difference]:
        """Compare with the venue's whole list (what is missing is flat); the first time it is the baseline.

        A difference is returned when the venue says the same thing twice in a row, `settle_ns` apart: until
        then its fills may not be shown yet. It is the new baseline then. `moving`: those are left alone.
        `read_ns`: the venue's time of the list; a fill of after it is in none of its positions.
        """
        positions = list(positions)
        if not self.started:
            # Positions may be dated in milliseconds and fills finer: the whole millisecond belongs to it.
            self._base_ns = {one.instrument_id: one.ts_event // _MS * _MS + _MS - 1 for one in positions}
        for instrument_id in moving:
            # What was seen of it before is not seen twice in a row.
            self._doubtful.pop(instrument_id, None)
        venue = raw_positions(positions)
        differences = []
        was_started, self.started = self.started, True
        for instrument_id in sorted({*venue, *self._raw}.difference(moving), key=str):
            there = venue.get(instrument_id, 0)
            here = self._raw.get(instrument_id, 0) if was_started else there
            if here == there:
                self._raw[instrument_id] = there
                self._doubtful.pop(instrument_id, None)
                continue
            beyond, known = there - here, self._doubtful.get(instrument_id)
            since_ns = known.since_ns if known is not None and known.beyond == beyond else None
            if since_ns is None or now_ns - since_ns < settle_ns:
                first_ns = now_ns if since_ns is None else since_ns
                self._doubtful[instrument_id] = _Doubt(beyond, first_ns, beyond, read_ns)
            else:
                differences.append(
                    Difference(instrument_id, Decimal(here) / RAW_SCALE, Decimal(there) / RAW_SCALE)
                )
                self._raw[instrument_id] = there
                del self._doubtful[instrument_id]
        return differences

    def apply_baseline(self, positions: Mapping[InstrumentId, int]) -> None:
        """The engine is being told of these positions, and of every fill that is in them."""
        self._raw, self._base_ns, self._doubtful = dict(positions), {}, {}
        self.started = True

    def differing(self, positions: Iterable[PositionRecord]) -> list[Difference]:
        """Where the venue's whole list is not what the fills make; nothing changes."""
        venue = raw_positions(positions) if self.started else self._raw
        return [
            Difference(iid, Decimal(here) / RAW_SCALE, Decimal(there) / RAW_SCALE)
            for iid in sorted({*venue, *self._raw}, key=str)
            if (there := venue.get(iid, 0)) != (here := self._raw.get(iid, 0))
        ]

    @property
    def doubtful(self) -> bool:
        """True while a difference was seen once: read fills and positions again."""
        return bool(self._doubtful)


def raw_positions(positions: Iterable[PositionRecord]) -> dict[InstrumentId, int]:
    """Signed sizes by instrument, as whole numbers of Nautilus's scale."""
    return {one.instrument_id: int(Decimal(one.signed_qty) * RAW_SCALE) for one in positions}


@define(eq=False)
class OrderWithFills:
    """One order of the account with those of its fills that were read."""

    given: OrderRecord
    """What the venue says."""
    fills: list[FillRecord] = field(factory=list)
    filled_raw: int = 0
    """What its fills add up to."""
    taken: list[FillRecord] = field(factory=list)
    """Fills that were taken back."""
    unlisted: bool = False
    """True when fills that were taken back may be its own without being shown."""
    made: bool = False
    """No read brought the order: it is as large as its fills, at least."""

    @property
    def record(self) -> OrderRecord:
        """What the venue says, without the fills that were taken back."""
        return without(self.given, self.fills, self.taken, self.unlisted)

    @property
    def claimed_raw(self) -> int:
        """What the venue says is filled, or what the fills make when that is more."""
        claim = self.record.filled
        return max(self.filled_raw, claim.raw if claim is not None else 0)

    @property
    def lacking_raw(self) -> int:
        """Filled quantity without a fill: older than what was read, or not shown by history yet."""
        return self.claimed_raw - self.filled_raw

    def add(self, fill: FillRecord) -> None:
        """The fill is one of this order's."""
        self.fills.append(fill)
        self.filled_raw += fill.quantity.raw
        whole = self.given.quantity
        if self.made and whole is not None and self.filled_raw > whole.raw:
            whole = Quantity.from_raw(self.filled_raw, whole.precision)
            self.given = evolve(self.given, quantity=whole, filled=whole)

    def take_back(self, voided: Callable[[str], bool], unlisted: bool) -> None:
        """Fills that are void count no more."""
        gone = [fill for fill in self.fills if voided(fill.trade_key)]
        if gone:
            self.fills = [fill for fill in self.fills if fill not in gone]
            self.filled_raw -= sum(fill.quantity.raw for fill in gone)
        self.taken += gone
        self.unlisted = unlisted


@define
class Account:
    """Every order of an account with its fills, as reads brought them; each fill is in it once."""

    orders: list[OrderWithFills] = field(factory=list)
    newest_ns: int | None = None
    """Venue time of the newest fill."""
    _by_name: dict[str, OrderWithFills] = field(factory=dict)
    _trades: set[str] = field(factory=set)

    def add_order(self, record: OrderRecord, ids: WireIds | None = None) -> OrderWithFills:
        """The order is known by its ids, and by `ids`."""
        entry = OrderWithFills(record)
        self.orders.append(entry)
        for name in (*names_of(record.ids), *(names_of(ids) if ids is not None else ())):
            self._by_name[name] = entry
        return entry

    def add_fill(self, fill: FillRecord, order: OrderWithFills) -> None:
        """The fill belongs to the order."""
        order.add(fill)
        self._trades.add(fill.trade_key)
        self.newest_ns = max(self.newest_ns or 0, fill.ts_event)

    def named(self, ids: WireIds) -> OrderWithFills | None:
        """The order that any of these ids names, or None."""
        return next((self._by_name[name] for name in names_of(ids) if name in self._by_name), None)

    def __contains__(self, trade_key: str) -> bool:
        return trade_key in self._trades

    def take_back(self, busts: set[str], voided: Callable[[str], bool]) -> None:
        """Fills that are void count no more; `busts` are those that a read brought."""
        unlisted = not busts <= self._trades
        for order in self.orders:
            order.take_back(voided, unlisted)

    def nets(self) -> dict[InstrumentId, int]:
        """The position that the orders make in each instrument, in raw quantity; sells are below zero."""
        nets: dict[InstrumentId, int] = {}
        for order in self.orders:
            record, raw = order.record, order.claimed_raw
            side = record.side or (order.fills[0].side if order.fills else None)
            iid = record.instrument_id
            if raw and iid is not None:
                nets[iid] = nets.get(iid, 0) + (raw if side == OrderSide.BUY else -raw)
        return nets

    def unexplained(self, positions: Iterable[PositionRecord]) -> dict[InstrumentId, int]:
        """By instrument, what the venue's whole list of positions has beyond the orders."""
        venue, nets = raw_positions(positions), self.nets()
        beyond = {iid: venue.get(iid, 0) - nets.get(iid, 0) for iid in {*venue, *nets}}
        return {iid: raw for iid, raw in beyond.items() if raw}

    def lacking(self, since_ns: int) -> dict[str, int]:
        """Orders that changed since then and lack fills, with the raw quantity that is lacking."""
        return {
            next(iter(names_of(order.record.ids)), ""): order.lacking_raw
            for order in self.orders
            if order.record.ts_event >= since_ns and order.lacking_raw
        }


def met(beyond: int, instrument_id: InstrumentId, added: Iterable[FillRecord]) -> bool:
    """True when the fills, one after the other, made what a position had beyond the orders at some moment.

    It was read between two reads of fills, and nobody knows where between their fills.
    """
    for fill in sorted(added, key=lambda one: (one.ts_event, one.trade_key)):
        if beyond == 0:
            break
        if fill.instrument_id == instrument_id:
            beyond -= fill.quantity.raw if fill.side == OrderSide.BUY else -fill.quantity.raw
    return beyond == 0


def names_of(ids: WireIds) -> list[str]:
    """Every name of an order, the venue's first, each marked with its kind."""
    found = [
        ("v", ids.venue_order_id),
        ("c", ids.client_order_id),
        ("r", ids.client_ref),
        ("h", ids.tx_hash),
    ]
    return [f"{kind}:{name}" for kind, name in found if name is not None]


def missing_orders(
    tracker: OrderTracker, open_keys: set[str], asked: Moment, settle_ns: int
) -> list[Tracked]:
    """Orders told as working that the venue's open list lacks: each must be looked up, none is dead yet.

    An order younger than `settle_ns` may not be in the list although it is open.
    """
    return [
        order
        for order in tracker
        if order.told in WORKING
        and order.key not in open_keys
        and not order.looking
        and asked.wall_ns - max(order.sent_wall_ns, order.ts_accepted) >= settle_ns
    ]


def fills_under_way(tracker: OrderTracker) -> set[InstrumentId | None]:
    """Instruments whose orders are known to have fills that were not delivered yet: positions must differ.

    So they must while orders are left to a mass status. None: it is not known of which instrument they are.
    """
    return {order.instrument_id for order in tracker if order.waiting or order.claimed_raw > order.filled_raw}
