"""Trades and best prices in JSON frames, in one pass from text to ticks.

The hot path of a session without SBE: one typed decode of the whole frame, and a memo of numbers by text.
It answers None for whatever is not wholly plain; the general decoder then judges the frame from its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct
from nautilus_trader.model import AggressorSide, InstrumentId, Price, Quantity, QuoteTick, TradeId, TradeTick

from venuekit.errors import DecodeError
from venuekit_paradex.wire.sbe import symbol_of
from venuekit_paradex.wire.values import LAST_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from venuekit.core.symbols import Symbols

# The venue writes its keys in this order; another order is read by the general decoder.
_DATA: Final = '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
_TRADES: Final = f"{_DATA}trades."
_BBO: Final = f"{_DATA}bbo."
_MOST_DIGITS: Final = 30
_MOST_TEXTS: Final = 4_096
# Units of 1e-8 beyond 63 bits, which no number of the venue has.
_TOO_LARGE: Final = 2**63 // 10**8
# Not swallowed: the general decoder meets the same fault, or reads what is only unusual.
_UNUSUAL: Final = (DecodeError, ValueError, IndexError, OverflowError, RecursionError, msgspec.MsgspecError)

type _Ms = Annotated[int, Meta(gt=0, lt=LAST_MS)]


class _Trade(Struct, gc=False):
    id: str
    market: str
    side: str
    size: str
    price: str
    created_at: _Ms


class _Bbo(Struct, gc=False):
    market: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    last_updated_at: _Ms


class _Data[Row](Struct, gc=False):
    data: Row


class _Frame[Row](Struct, gc=False):
    params: _Data[Row]


_trade: Final = msgspec.json.Decoder(_Frame[_Trade]).decode
_bbo: Final = msgspec.json.Decoder(_Frame[_Bbo]).decode
_NOBODY: Final = AggressorSide.NO_AGGRESSOR
_side: Final = {"BUY": AggressorSide.BUY, "SELL": AggressorSide.SELL}.get


class TextMemo[Value](dict[str, Value]):
    """Text of a positive number -> value at one precision, checked once when it enters; bounded.

    A sign, an exponent, blanks or zero raise ValueError, more decimals than the precision IndexError.
    """

    __slots__ = ("_exponent", "_make", "_precision", "_scales")

    def __init__(self, make: Callable[[int, int, int], Value], precision: int) -> None:
        super().__init__()
        self._make = make
        self._exponent = -precision
        self._precision = precision
        self._scales = tuple(10 ** (precision - places) for places in range(precision + 1))

    def __missing__(self, text: str) -> Value:
        whole, _, places = text.partition(".")
        digits = whole + places
        # `int` alone would take blanks, underscores, signs and digits of other scripts.
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS:
            raise ValueError("not a plain number")
        mantissa = int(digits) * self._scales[len(places)]
        if not mantissa or int(whole or "0") >= _TOO_LARGE:
            raise ValueError("not a positive number of the venue")
        value = self._make(mantissa, self._exponent, self._precision)
        if len(self) >= _MOST_TEXTS:
            self.clear()
        self[text] = value
        return value


type Tick = QuoteTick | TradeTick
type _Market = tuple[InstrumentId, TextMemo[Price], TextMemo[Quantity]]


class _Markets(dict[str, _Market]):
    """Market -> its instrument and what its numbers have been converted to; an unknown one is DecodeError."""

    __slots__ = ("_symbols",)

    def __init__(self, symbols: Symbols) -> None:
        super().__init__()
        self._symbols = symbols

    def __missing__(self, name: str) -> _Market:
        symbol = symbol_of(self._symbols, name)
        prices = TextMemo(Price.from_mantissa_exponent, symbol.price_precision)
        sizes = TextMemo(Quantity.from_mantissa_exponent, symbol.size_precision)
        market = self[name] = (symbol.instrument_id, prices, sizes)
        return market


def tick_reader(symbols: Symbols) -> Callable[[str, int], tuple[Tick] | None]:
    """The reader of one connection: a text frame and its time of receipt to its tick, or None.

    A closure, because at this size of work every attribute counts.
    """
    markets = _Markets(symbols)
    version = symbols.version

    def read(frame: str, ts_init: int) -> tuple[Tick] | None:
        nonlocal version
        if symbols.version != version:
            markets.clear()
            version = symbols.version
        try:
            if frame.startswith(_TRADES):
                row = _trade(frame).params.data
                iid, prices, sizes = markets[row.market]
                price, size, side = prices[row.price], sizes[row.size], _side(row.side, _NOBODY)
                ts_event = row.created_at * 1_000_000
                return (TradeTick(iid, price, size, side, TradeId(row.id), ts_event, ts_init),)
            if frame.startswith(_BBO):
                best = _bbo(frame).params.data
                iid, prices, sizes = markets[best.market]
                bid, ask, ts_event = prices[best.bid], prices[best.ask], best.last_updated_at * 1_000_000
                return (
                    QuoteTick(iid, bid, ask, sizes[best.bid_size], sizes[best.ask_size], ts_event, ts_init),
                )
        except _UNUSUAL:
            pass
        return None

    return read
