"""Exact numbers and times of the wire.

Numbers are integers in units of 1e-8 until they become model values: the venue keeps at most 8 decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nautilus_trader.model import Currency, Price, Quantity

from venuekit.core.numbers import on_grid, price_of, quantity_of, scaled, unscaled
from venuekit.errors import BadValue, DecodeError

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbol

DECIMALS: Final = 8
EXPONENT: Final = -DECIMALS

LAST_MS: Final = 9_000_000_000_000
"""A moment in the year 2255; whatever lies beyond is no time."""
LAST_US: Final = LAST_MS * 1_000
_MOST_DIGITS: Final = 40

type Number = str | int | None
"""A number as JSON carries it: text, a whole number, nothing."""


def parse_e8(value: Number, what: str) -> int:
    """`value` in units of 1e-8, exactly; raises DecodeError for finer, missing or unreadable numbers."""
    text = str(value)
    try:
        if not text.isascii() or len(text) > _MOST_DIGITS:
            raise BadValue("not a plain number")
        return scaled(text, DECIMALS)
    except BadValue as error:
        raise DecodeError(f"{what}: {error}"[:120], kind="bad_number") from None


def parse_optional_e8(value: Number, what: str) -> int | None:
    """Like `parse_e8`; None for a value that is missing or an empty text."""
    return None if value is None or value == "" else parse_e8(value, what)


def parse_decimal(value: Number, what: str) -> Decimal:
    """The exact decimal of a number text with any count of decimals; raises DecodeError."""
    text = str(value)
    try:
        if not text.isascii() or len(text) > _MOST_DIGITS:
            raise BadValue("not a plain number")
        return Decimal(scaled(text, _MOST_DIGITS)).scaleb(-_MOST_DIGITS).normalize()
    except (BadValue, ArithmeticError):
        raise DecodeError(f"{what} is not a number", kind="bad_number") from None


def decimal_text(e8: int) -> str:
    """The plain decimal text of an integer in units of 1e-8, without trailing zeros."""
    return unscaled(e8, DECIMALS)


def parse_ms(value: Number, what: str) -> int:
    """Milliseconds since 1970, a number or its text, as nanoseconds; raises DecodeError for no time."""
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 13 and 0 < int(text) < LAST_MS):
        raise DecodeError(f"{what} is not a time", kind="bad_time")
    return int(text) * 1_000_000


def parse_us(value: int) -> int:
    """Microseconds since 1970 as nanoseconds; raises DecodeError for no time at all."""
    if not 0 < value < LAST_US:
        raise DecodeError(f"{value} us is not a time", kind="bad_time")
    return value * 1_000


def positive_price(e8: int, exponent: int, precision: int) -> Price:
    """A price at exactly `precision` decimals; raises DecodeError off that grid, at zero or below."""
    if e8 <= 0:
        raise DecodeError("a price must be positive", kind="bad_price")
    return price_of(e8, exponent, precision)


def positive_size(e8: int, exponent: int, precision: int) -> Quantity:
    """A size at exactly `precision` decimals; raises DecodeError off that grid, at zero or below."""
    if e8 <= 0:
        raise DecodeError("a size must be positive", kind="bad_size")
    return quantity_of(e8, exponent, precision)


def exact_price(e8: int, symbol: Symbol) -> Price:
    """A price at the instrument's precision, or at 8 decimals where it is finer (settlements are)."""
    precision = symbol.price_precision
    return price_of(e8, EXPONENT, precision if on_grid(e8, EXPONENT, precision) else DECIMALS)


def exact_size(e8: int, symbol: Symbol) -> Quantity:
    """A size at the instrument's precision, or at 8 decimals where it is finer; raises DecodeError."""
    precision = symbol.size_precision
    return quantity_of(e8, EXPONENT, precision if on_grid(e8, EXPONENT, precision) else DECIMALS)


def currency_of(code: str) -> Currency:
    """The currency of a token code; one that Nautilus does not know is a crypto currency of 8 decimals."""
    if not code:
        raise DecodeError("a currency is missing", kind="bad_currency")
    return Currency.from_str(code)
