"""Summaries and funding in SBE frames."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nautilus_trader.model import FundingRateUpdate, IndexPriceUpdate, MarkPriceUpdate

from venuekit.core.numbers import price_of
from venuekit.errors import DecodeError
from venuekit_paradex.wire.sbe import symbol_of
from venuekit_paradex.wire.schema import SUMMARY, Message
from venuekit_paradex.wire.values import DECIMALS, EXPONENT, parse_us

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbol, Symbols
    from venuekit.interfaces.stream import Decoded

_RATE_EXPONENT: Final = -8
MINUTES_PER_HOUR: Final = 60


def summary(
    symbol: Symbol, mark_e8: int, index_e8: int | None, ts_event: int, ts_init: int
) -> tuple[Decoded, ...]:
    """Mark and index price, at the 8 decimals the venue computes them with; a missing index is left out."""
    if mark_e8 <= 0 or (index_e8 is not None and index_e8 < 0):
        raise DecodeError("a mark or index price below zero", kind="bad_price")
    iid = symbol.instrument_id
    mark = MarkPriceUpdate(iid, price_of(mark_e8, EXPONENT, DECIMALS), ts_event, ts_init)
    if not index_e8:
        return (mark,)
    return (mark, IndexPriceUpdate(iid, price_of(index_e8, EXPONENT, DECIMALS), ts_event, ts_init))


def funding(
    symbol: Symbol, rate: Decimal, hours: float | None, ts_event: int, ts_init: int
) -> FundingRateUpdate:
    """The rate per period of `hours` hours (0, None: not said); it accrues, so no moment is next."""
    if hours is not None and not 0 <= hours <= 24 * 31:
        raise DecodeError(f"a funding period of {hours} hours", kind="bad_funding")
    minutes = (hours or 0) * MINUTES_PER_HOUR
    if minutes != int(minutes):
        raise DecodeError(f"a funding period of {minutes} minutes", kind="bad_funding")
    interval = int(minutes) or None
    return FundingRateUpdate(symbol.instrument_id, rate, ts_event, ts_init, interval=interval)


def parse_public(message: Message, symbols: Symbols, ts_init: int) -> tuple[Decoded, ...]:
    """What a frame of template 4 or 5 says; raises DecodeError."""
    symbol = symbol_of(symbols, message.texts["market"])
    if message.template == SUMMARY:
        ts_event = parse_us(message.number("ts"))
        return summary(
            symbol, message.number("mark_price"), message.optional("index_price"), ts_event, ts_init
        )
    rate = Decimal(message.number("funding_rate")).scaleb(_RATE_EXPONENT)
    hours = message.number("funding_period_hours")
    return (funding(symbol, rate, hours, parse_us(message.number("created_at")), ts_init),)
