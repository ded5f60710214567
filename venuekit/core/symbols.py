"""The symbol index: a venue's own symbol and a Nautilus instrument id, one to one, with the exact grid."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from venuekit.errors import BadValue

MAX_PRECISION = 16
"""Decimals that Nautilus holds exactly (its fixed-point scale is 10**16)."""
MAX_DIGITS = 30
"""Longer numbers are beyond what Nautilus can hold."""

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.interfaces.model import Instrument


@frozen
class Increment:
    """The step of a grid: its shortest plain decimal text, and the decimals that text has."""

    text: str
    precision: int


def parse_increment(text: str) -> Increment:
    """`0.010` is step 0.01 with 2 decimals; raise `BadValue` for no positive number of 16 decimals."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadValue(f"{text[:MAX_DIGITS]!r} is not a number") from None
    if not value.is_finite() or value <= 0:
        raise BadValue(f"{text[:MAX_DIGITS]!r} is not a positive step")
    # Decimal would cut digits beyond its own 28 in silence.
    if abs(value.adjusted()) > MAX_DIGITS or value.normalize() != value:
        raise BadValue(f"a step of {text[:MAX_DIGITS]!r} cannot be held exactly")
    plain = f"{value.normalize():f}"
    precision = len(plain.partition(".")[2])
    if precision > MAX_PRECISION or len(plain) > MAX_DIGITS:
        raise BadValue(f"a step of {text[:MAX_DIGITS]!r} cannot be held exactly")
    return Increment(plain, precision)


@frozen
class Symbol:
    """One instrument under both names, with the precisions its prices and sizes must have."""

    raw: str
    """As the venue writes it, e.g. `BTC-USD-PERP`."""
    instrument_id: InstrumentId
    instrument: Instrument
    price_precision: int
    size_precision: int


@define
class Symbols:
    """Every instrument of one venue; filled by the venue's `InstrumentSource`."""

    _by_raw: dict[str, Symbol] = field(factory=dict)
    _by_id: dict[InstrumentId, Symbol] = field(factory=dict)
    version: int = field(default=0, init=False)
    """Another number after every change: what was derived from the symbols is stale then."""

    def add(self, raw: str, instrument: Instrument) -> Symbol:
        """`raw` and the instrument's id name each other; raise `BadValue` when either names another."""
        known, other = self._by_raw.get(raw), self._by_id.get(instrument.id)
        if (known and known.instrument_id != instrument.id) or (other and other.raw != raw):
            raise BadValue(
                f"symbol {raw!r} and instrument {instrument.id} do not map one to one",
                hint="two venue symbols must never share one instrument id",
            )
        symbol = Symbol(raw, instrument.id, instrument, instrument.price_precision, instrument.size_precision)
        self._by_raw[raw] = symbol
        self._by_id[instrument.id] = symbol
        self.version += 1
        return symbol

    def by_raw(self, raw: str) -> Symbol | None:
        """The instrument under the venue's own symbol, or None."""
        return self._by_raw.get(raw)

    def by_id(self, instrument_id: InstrumentId) -> Symbol | None:
        """The instrument under its Nautilus id, or None."""
        return self._by_id.get(instrument_id)

    def remove(self, raw: str) -> None:
        """`raw` is unknown after this."""
        symbol = self._by_raw.pop(raw, None)
        self.version += 1
        if symbol:
            self._by_id.pop(symbol.instrument_id, None)

    def __iter__(self) -> Iterator[Symbol]:
        return iter(list(self._by_raw.values()))

    def __len__(self) -> int:
        return len(self._by_raw)
