"""Exact numbers: wire text or wire integers to `Price` and `Quantity` and back, never through a float.

Wire to model raises `DecodeError` (kind `off_grid`, `null`, `negative`, `number` or `range`); model to wire
raises `BadValue`, because then the value is ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from nautilus_trader.model import Price, Quantity

from venuekit.errors import BadValue, DecodeError

NULL_INT64 = -(2**63)
"""What binary encodings send for "no value"; Nautilus would take it as an ordinary number."""

_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SCIENTIFIC = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{1,3}")
_price = Price.from_mantissa_exponent
_quantity = Quantity.from_mantissa_exponent
_TEN = tuple(10**power for power in range(65))
# Nautilus stores 16 decimals; every text that fits is shorter than this.
_LONGEST_TEXT = 64


def price_of(mantissa: int, exponent: int, precision: int) -> Price:
    """The price `mantissa * 10**exponent` at exactly `precision` places, or `DecodeError`."""
    # Nautilus would round, and would take the null for a number: both are looked at before it is asked.
    surplus = -exponent - precision
    if mantissa == NULL_INT64 or (surplus > 0 and mantissa % _TEN[surplus]):
        raise _inexact(mantissa, exponent, precision)
    try:
        return _price(mantissa, exponent, precision)
    except (ValueError, OverflowError) as error:
        raise DecodeError(f"price {mantissa}e{exponent}: {error}", kind="range") from error


def quantity_of(mantissa: int, exponent: int, precision: int) -> Quantity:
    """The quantity `mantissa * 10**exponent` at exactly `precision` places, or `DecodeError`."""
    surplus = -exponent - precision
    if mantissa < 0 or (surplus > 0 and mantissa % _TEN[surplus]):
        raise _inexact(mantissa, exponent, precision)
    try:
        return _quantity(mantissa, exponent, precision)
    except (ValueError, OverflowError) as error:
        raise DecodeError(f"quantity {mantissa}e{exponent}: {error}", kind="range") from error


def on_grid(mantissa: int, exponent: int, precision: int) -> bool:
    """True when `mantissa * 10**exponent` needs at most `precision` decimal places."""
    surplus = -exponent - precision
    return surplus <= 0 or not mantissa % _TEN[surplus]


def _inexact(mantissa: int, exponent: int, precision: int) -> DecodeError:
    if mantissa == NULL_INT64:
        return DecodeError("a null where a number must be", kind="null")
    if not on_grid(mantissa, exponent, precision):
        return DecodeError(f"{mantissa}e{exponent} has more than {precision} decimals", kind="off_grid")
    return DecodeError(f"negative quantity {mantissa}e{exponent}", kind="negative")


def parse_price(text: str, precision: int) -> Price:
    """The price that `text` says, at exactly `precision` places; anything inexact is a `DecodeError`."""
    fitted = decimal_text(text, precision)
    try:
        return Price.from_str(fitted)
    except ValueError as error:
        raise DecodeError(f"price {fitted}: {error}", kind="range") from error


def parse_quantity(text: str, precision: int) -> Quantity:
    """The quantity that `text` says at exactly `precision` places; anything inexact is a `DecodeError`."""
    fitted = decimal_text(text, precision)
    if fitted[0] == "-":
        raise DecodeError(f"negative quantity {fitted}", kind="negative")
    try:
        return Quantity.from_str(fitted)
    except ValueError as error:
        raise DecodeError(f"quantity {fitted}: {error}", kind="range") from error


def decimal_text(text: str, precision: int) -> str:
    """`text` as a plain decimal of exactly `precision` places, never a negative zero, or `DecodeError`."""
    if len(text) > _LONGEST_TEXT:
        raise DecodeError(f"a number of {len(text)} characters", kind="number")
    if _PLAIN.fullmatch(text) is None:
        text = _spelled_out(text)
    whole, _, places = text.partition(".")
    surplus = len(places) - precision
    if surplus > 0:
        if places[precision:].strip("0"):
            raise DecodeError(f"{text} has more than {precision} decimals", kind="off_grid")
        places = places[:precision]
    fitted = f"{whole}.{places}{'0' * -surplus}" if precision else whole
    if fitted[0] == "-" and not fitted.strip("-0."):
        return fitted[1:]
    return fitted


def _spelled_out(text: str) -> str:
    """Scientific notation as plain digits; everything else that is not a plain decimal is refused."""
    if _SCIENTIFIC.fullmatch(text) is None:
        raise DecodeError(f"not a decimal number: {text!r}", kind="number")
    value = Decimal(text)
    if value.adjusted() > _LONGEST_TEXT:
        raise DecodeError(f"{text} is out of range", kind="range")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_LONGEST_TEXT:
        raise DecodeError(f"{text} has too many decimals", kind="off_grid")
    return f"{value:f}"


def scaled(value: str | Price | Quantity | Decimal, places: int) -> int:
    """`value * 10**places` as an exact integer, e.g. for signing; `BadValue` when digits would be lost."""
    text = str(value)
    plain = _PLAIN.fullmatch(text)
    if plain is None or len(text) > _LONGEST_TEXT:
        return _scaled_decimal(text, places)
    whole, _, decimals = text.partition(".")
    surplus = len(decimals) - places
    if surplus > 0:
        if decimals[places:].strip("0"):
            raise BadValue(f"{text} has more than {places} decimals")
        decimals = decimals[:places]
    return int(whole + decimals + "0" * -surplus)


def _scaled_decimal(text: str, places: int) -> int:
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation as error:
        raise BadValue(f"not a decimal number: {text[:_LONGEST_TEXT]!r}") from error
    if not isinstance(exponent, int) or abs(exponent) > _LONGEST_TEXT or len(digits) > _LONGEST_TEXT:
        raise BadValue(f"not a usable number: {text[:_LONGEST_TEXT]!r}")
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    shift = exponent + places
    if shift >= 0:
        return int(number * 10**shift)
    quotient, rest = divmod(number, 10**-shift)
    if rest:
        raise BadValue(f"{text} has more than {places} decimals")
    return int(quotient)


def unscaled(number: int, places: int) -> str:
    """`number / 10**places` as exact decimal text without trailing zeros."""
    digits = str(abs(number)).rjust(places + 1, "0")
    cut = len(digits) - places
    decimals = digits[cut:].rstrip("0")
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[:cut]}.{decimals}" if decimals else f"{sign}{digits[:cut]}"


class Memo[Value](dict[int, Value]):
    """Mantissa -> value at one exponent and precision, checked once when it enters; bounded.

    A subscript is all a hot loop needs: a miss converts, checks and remembers. Full, it starts afresh.
    """

    __slots__ = ("_convert", "_limit", "exponent", "precision")

    def __init__(
        self, convert: Callable[[int, int, int], Value], exponent: int, precision: int, limit: int = 4_096
    ) -> None:
        super().__init__()
        self._convert = convert
        self._limit = limit
        self.exponent = exponent
        self.precision = precision

    def __missing__(self, mantissa: int) -> Value:
        value = self._convert(mantissa, self.exponent, self.precision)
        if len(self) >= self._limit:
            self.clear()
        self[mantissa] = value
        return value


def price_memo(exponent: int, precision: int, limit: int = 4_096) -> Memo[Price]:
    """A memo of prices; a subscript raises `DecodeError` like `price_of`."""
    return Memo(price_of, exponent, precision, limit)


def quantity_memo(exponent: int, precision: int, limit: int = 4_096) -> Memo[Quantity]:
    """A memo of quantities; a subscript raises `DecodeError` like `quantity_of`."""
    return Memo(quantity_of, exponent, precision, limit)
