"""Venue snapshot against what is known here: positions fills explain, orders that must be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from nautilus_trader.model import OrderSide

from venuekit.core.order_state import RAW_SCALE, WORKING, Moment, Tracked

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.core.orders import OrderTracker
    from venuekit.interfaces.records import FillRecord, PositionRecord


_MS = 1_000_000


@frozen
class Difference:
    """A position that the fills delivered here do not explain."""

    instrument_id: InstrumentId
    expected: Decimal
    venue: Decimal


@define
class PositionBook:
    """Net positions as baseline plus delivered fills; a difference is never corrected in silence."""

    _raw: dict[InstrumentId, int] = field(factory=dict)
    _doubtful: dict[InstrumentId, int] = field(factory=dict)
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
            self._move(fill, 1 if side == OrderSide.BUY else -1)

    def apply_void(self, fill: FillRecord, side: OrderSide, ts_event: int) -> None:
        """The fill was taken back then."""
        self.applied += 1
        if ts_event > self._base_ns.get(fill.instrument_id, -1):
            self._move(fill, -1 if side == OrderSide.BUY else 1)

    def explains(self, record: PositionRecord) -> bool:
        """True when the fills make what this record says, or nothing is known to compare it with."""
        there = int(Decimal(record.signed_qty) * RAW_SCALE)
        return not self.started or self._raw.get(record.instrument_id, 0) == there

    def _move(self, fill: FillRecord, sign: int) -> None:
        if self.started:
            self._raw[fill.instrument_id] = self._raw.get(fill.instrument_id, 0) + sign * fill.quantity.raw

    def apply_snapshot(self, positions: Iterable[PositionRecord]) -> list[Difference]:
        """Compare with the venue's whole list (what is missing is flat); the first time it is the baseline.

        A difference is returned when the venue says the same thing twice in a row: fills may still be under
        way the first time. It is the new baseline then.
        """
        positions = list(positions)
        if not self.started:
            # Positions may be dated in milliseconds and fills finer: the whole millisecond belongs to it.
            self._base_ns = {one.instrument_id: one.ts_event // _MS * _MS + _MS - 1 for one in positions}
        venue = {record.instrument_id: int(Decimal(record.signed_qty) * RAW_SCALE) for record in positions}
        differences = []
        was_started, self.started = self.started, True
        for instrument_id in sorted({*venue, *self._raw}, key=str):
            there = venue.get(instrument_id, 0)
            here = self._raw.get(instrument_id, 0) if was_started else there
            if here == there:
                self._raw[instrument_id] = there
                self._doubtful.pop(instrument_id, None)
            elif self._doubtful.get(instrument_id) == there - here:
                differences.append(
                    Difference(instrument_id, Decimal(here) / RAW_SCALE, Decimal(there) / RAW_SCALE)
                )
                self._raw[instrument_id] = there
                del self._doubtful[instrument_id]
            else:
                self._doubtful[instrument_id] = there - here
        return differences

    @property
    def doubtful(self) -> bool:
        """True while a difference was seen once: read fills and positions again."""
        return bool(self._doubtful)


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


def fills_under_way(tracker: OrderTracker) -> bool:
    """True while an order is known to have fills that were not delivered yet: positions must differ."""
    return any(
        order.hidden_until_ns is None and (order.waiting or order.claimed_raw > order.filled_raw)
        for order in tracker
    )
