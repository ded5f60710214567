"""Market data in SBE frames: trades, best prices and books, in one pass from bytes to models.

The hot path: one unpack a frame, a memo of prices and sizes a market, no object that is not delivered.
`struct.error` and `IndexError` mean a frame that ends too early.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final

from attrs import frozen
from nautilus_trader.model import AggressorSide, InstrumentId, Price, Quantity, QuoteTick, TradeId, TradeTick

from venuekit.core.numbers import Memo
from venuekit.errors import DecodeError
from venuekit.interfaces.stream import BookUpdate, Decoded, Ignored, Quarantined
from venuekit_paradex.wire.schema import BBO, BOOK, NULL, SCHEMA_ID, TRADE, read_sides, read_text
from venuekit_paradex.wire.values import EXPONENT, LAST_US, positive_price, positive_size

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbol, Symbols

# Each starts with the header: block length, template, schema, version.
_TRADE: Final = Struct("<HHHHqqqBqqqB")
_BBO: Final = Struct("<HHHHqqqqqq")
_BOOK: Final = Struct("<HHHHqqB")
_HEADER: Final = 8
_TRADE_BLOCK: Final = 50
_BBO_BLOCK: Final = 48
_BOOK_BLOCK: Final = 89

AGGRESSOR: Final = {1: AggressorSide.BUY, 2: AggressorSide.SELL}
"""By the wire's side of a public trade, which is the taker's; any other code names nobody."""


def symbol_of(symbols: Symbols, market: str) -> Symbol:
    """The instrument of a market; raises DecodeError for a market that was not loaded."""
    symbol = symbols.by_raw(market)
    if symbol is None:
        raise DecodeError(f"unknown market {market[:40]!r}", kind="unknown_market")
    return symbol


def book_channel(market: str) -> str:
    """The channel that brings the whole book first and then every change, numbered without a gap."""
    return f"order_book.{market}.deltas"


@frozen
class Market:
    """An instrument with what its numbers have been converted to so far."""

    symbol: Symbol
    raw: str
    instrument_id: InstrumentId
    prices: Memo[Price]
    sizes: Memo[Quantity]


def _short(block: int) -> DecodeError:
    return DecodeError(f"a block of {block} bytes is too short", kind="short_block")


def _no_time(us: int) -> DecodeError:
    return DecodeError(f"{us} us is not a time", kind="bad_time")


class MarketFrames:
    """Decodes templates 1, 2 and 3 for one connection; raises DecodeError, `struct.error` or ValueError."""

    __slots__ = ("_by_raw", "_markets", "_symbols", "decoders")

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._by_raw = symbols.by_raw
        self._markets: dict[bytes, Market] = {}
        self.decoders: dict[bytes, Callable[[bytes, int], Decoded]] = {
            Struct("<HH").pack(template, SCHEMA_ID): decode
            for template, decode in ((TRADE, self.trade), (BBO, self.bbo), (BOOK, self.book))
        }
        """By the four bytes of template and schema."""

    def market(self, frame: bytes, at: int) -> Market:
        """The market named at `at`, as it is now; a changed instrument starts with empty memos."""
        length = frame[at]
        name = frame[at + 1 : at + 1 + length]
        if len(name) != length:
            # A cut name could be that of another market.
            raise DecodeError("the frame ends inside the market's name", kind="truncated")
        market = self._markets.get(name)
        if market is not None and self._by_raw(market.raw) is market.symbol:
            return market
        symbol = symbol_of(self._symbols, name.decode())
        market = self._markets[name] = Market(
            symbol,
            symbol.raw,
            symbol.instrument_id,
            Memo(positive_price, EXPONENT, symbol.price_precision),
            Memo(positive_size, EXPONENT, symbol.size_precision),
        )
        return market

    def trade(self, frame: bytes, ts_init: int) -> Decoded:
        """A trade; its time is that of the match."""
        block, _, _, _, _, _, number, side, price, size, created, _ = _TRADE.unpack_from(frame)
        if block < _TRADE_BLOCK:
            raise _short(block)
        at = _HEADER + block
        market = self.market(frame, at)
        end = at + 1 + frame[at]
        # Version 2 brings the whole id; the number holds its low 64 bits only.
        whole = read_text(frame, end)[0] if end < len(frame) else ""
        if not 0 < created < LAST_US:
            raise _no_time(created)
        return TradeTick(
            market.instrument_id,
            market.prices[price],
            market.sizes[size],
            AGGRESSOR.get(side, AggressorSide.NO_AGGRESSOR),
            TradeId(whole or str(number)),
            created * 1_000,
            ts_init,
        )

    def bbo(self, frame: bytes, ts_init: int) -> Decoded:
        """A quote; a book with an empty side makes none."""
        block, _, _, _, ts, _, bid, bid_size, ask, ask_size = _BBO.unpack_from(frame)
        if block < _BBO_BLOCK:
            raise _short(block)
        market = self.market(frame, _HEADER + block)
        if not 0 < ts < LAST_US:
            raise _no_time(ts)
        prices, sizes = market.prices, market.sizes
        try:
            return QuoteTick(
                market.instrument_id,
                prices[bid],
                prices[ask],
                sizes[bid_size],
                sizes[ask_size],
                ts * 1_000,
                ts_init,
            )
        except DecodeError:
            if has_empty_side(bid, bid_size, ask, ask_size):
                return Ignored("one_sided_bbo")
            raise

    def book(self, frame: bytes, ts_init: int) -> Decoded:
        """The levels of one frame, whole book or change, as raw integers."""
        block, _, _, _, ts, sequence, package = _BOOK.unpack_from(frame)
        if block < _BOOK_BLOCK:
            raise _short(block)
        bids, asks, at = read_sides(frame, _HEADER + block)
        market = self.market(frame, at)
        if package > 1 or sequence < 0 or not 0 < ts < LAST_US:
            why = f"package {package}, sequence {sequence}, time {ts} us"
            return Quarantined("bad_book", why, channel=book_channel(market.raw))
        return BookUpdate(
            market.instrument_id, package == 0, sequence, sequence, ts * 1_000, ts_init, bids, asks
        )


def has_empty_side(bid: int, bid_size: int, ask: int, ask_size: int) -> bool:
    """True when a side has neither price nor size (null or zero) and the rest makes sense."""
    empty = (NULL, 0)
    sides = ((bid, bid_size), (ask, ask_size))
    absent = [price in empty and size in empty for price, size in sides]
    sound = [price > 0 and size > 0 for price, size in sides]
    return any(absent) and all(gone or good for gone, good in zip(absent, sound, strict=True))
