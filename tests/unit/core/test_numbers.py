"""Exact numbers: every refusal by name, and the limits of the model."""

from __future__ import annotations

from decimal import Decimal

import pytest
from nautilus_trader.model import Price, Quantity

from venuekit.core import numbers
from venuekit.errors import BadValue, DecodeError

NULL = -(2**63)


@pytest.mark.parametrize(
    ("mantissa", "exponent", "precision", "text"),
    [
        (8_342_270_000_000, -8, 1, "83422.7"),
        (15_000, -8, 5, "0.00015"),
        (0, -8, 5, "0.00000"),
        (5, 0, 0, "5"),
        (5, 2, 1, "500.0"),
        (-150_000_000, -8, 2, "-1.50"),
        (123, -2, 4, "1.2300"),
    ],
)
def test_mantissas_on_the_grid(mantissa: int, exponent: int, precision: int, text: str):
    made = numbers.price_of(mantissa, exponent, precision)
    assert (str(made), made.precision) == (text, precision)
    if mantissa >= 0:
        assert str(numbers.quantity_of(mantissa, exponent, precision)) == text


@pytest.mark.parametrize(
    ("mantissa", "kind"),
    [(50_000, "off_grid"), (150_001, "off_grid"), (NULL, "null"), (2**64, "range"), (10**40, "range")],
)
def test_mantissas_that_are_refused(mantissa: int, kind: str):
    for make in (numbers.price_of, numbers.quantity_of):
        with pytest.raises(DecodeError) as caught:
            make(mantissa, -8, 3 if kind == "off_grid" else 8)
        assert caught.value.kind == kind


def test_a_negative_quantity_is_refused_and_a_null_is_called_a_null():
    with pytest.raises(DecodeError) as caught:
        numbers.quantity_of(-100, -2, 2)
    assert caught.value.kind == "negative"
    with pytest.raises(DecodeError) as caught:
        numbers.quantity_of(NULL, -8, 8)
    assert caught.value.kind == "null"


@pytest.mark.parametrize(
    ("text", "precision", "wanted"),
    [
        ("83422.7", 1, "83422.7"),
        ("83422.70000000", 1, "83422.7"),
        ("83422", 2, "83422.00"),
        ("007.5", 1, "7.5"),
        ("1e3", 1, "1000.0"),
        ("1.5E-3", 4, "0.0015"),
        ("-0.0", 1, "0.0"),
        ("-1.5", 1, "-1.5"),
        ("0", 0, "0"),
        ("12.000", 0, "12"),
    ],
)
def test_texts_on_the_grid(text: str, precision: int, wanted: str):
    made = numbers.parse_price(text, precision)
    assert (str(made), made.precision) == (wanted, precision)
    if not wanted.startswith("-"):
        assert str(numbers.parse_quantity(text, precision)) == wanted


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("83422.75", "off_grid"),
        ("1e-3", "off_grid"),
        ("1e-999", "off_grid"),
        ("NaN", "number"),
        ("Infinity", "number"),
        ("", "number"),
        (" 1", "number"),
        ("1 ", "number"),
        ("+1", "number"),
        ("1_000", "number"),
        ("1,5", "number"),
        (".5", "number"),
        ("5.", "number"),
        ("0x10", "number"),
        ("1e", "number"),
        ("\u0661", "number"),
        ("1\n", "number"),
        ("9" * 65, "number"),
        ("1e1000", "number"),
        ("1e999", "range"),
        ("99999999999999999999", "range"),
    ],
)
def test_texts_that_are_refused(text: str, kind: str):
    for parse in (numbers.parse_price, numbers.parse_quantity):
        with pytest.raises(DecodeError) as caught:
            parse(text, 1)
        assert caught.value.kind == kind


def test_a_negative_quantity_text_is_refused():
    with pytest.raises(DecodeError) as caught:
        numbers.parse_quantity("-1.5", 1)
    assert caught.value.kind == "negative"


@pytest.mark.parametrize(
    ("value", "places", "wanted"),
    [
        ("1", 8, 100_000_000),
        ("0.00000001", 8, 1),
        ("-2.5", 2, -250),
        ("1.2300", 2, 123),
        ("1e3", 2, 100_000),
        ("1.5e-3", 4, 15),
        ("0", 0, 0),
        (Decimal("12.34"), 3, 12_340),
        (Price.from_str("83422.7"), 8, 8_342_270_000_000),
        (Quantity.from_str("0.00015"), 8, 15_000),
    ],
)
def test_exact_integers_for_the_wire(value, places: int, wanted: int):
    assert numbers.scaled(value, places) == wanted


@pytest.mark.parametrize(
    ("value", "places"),
    [("1.234", 2), ("1e-9", 8), ("NaN", 8), ("Infinity", 8), ("", 8), ("x", 8), ("1e999", 8), ("9" * 70, 2)],
)
def test_integers_that_would_lose_something_are_refused(value: str, places: int):
    with pytest.raises(BadValue):
        numbers.scaled(value, places)


@pytest.mark.parametrize(
    ("number", "places", "wanted"),
    [(0, 8, "0"), (1, 8, "0.00000001"), (-250, 2, "-2.5"), (100, 2, "1"), (12, 0, "12"), (-5, 3, "-0.005")],
)
def test_integers_as_texts(number: int, places: int, wanted: str):
    assert numbers.unscaled(number, places) == wanted


def test_a_memo_gives_what_the_function_gives_and_stays_bounded():
    memo = numbers.price_memo(-8, 1, limit=4)
    for n in range(1, 20):
        assert memo[n * 10_000_000] == numbers.price_of(n * 10_000_000, -8, 1)
        assert len(memo) <= 4
    first = memo[10_000_000]
    assert memo[10_000_000] is first
    with pytest.raises(DecodeError):
        memo[5]
    assert 5 not in memo
