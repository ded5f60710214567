"""Market data in SBE frames: trades, best prices and books, in one pass from bytes to models."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from nautilus_trader.model import AggressorSide, QuoteTick, TradeId, TradeTick

from venuekit.errors import DecodeError
from venuekit.interfaces.stream import BookUpdate, Decoded, Ignored, Quarantined
from venuekit_paradex.wire.schema import NULL, read_levels, read_text
from venuekit_paradex.wire.values import parse_us, price_on_grid, size_on_grid

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbol, Symbols

_TRADE: Final = Struct("<qqqBqqqB")
_BBO: Final = Struct("<qqqqqq")
_BOOK: Final = Struct("<qqB")
_BOOK_BLOCK: Final = 89
_START: Final = 8
_LAST_US: Final = 9_000_000_000_000_000

AGGRESSOR: Final = {1: AggressorSide.BUY, 2: AggressorSide.SELL}
"""By the wire's side of a public trade, which is the taker's; any other code names nobody."""


def symbol_of(symbols: Symbols, market: str) -> Symbol:
    """The instrument of a market; raises DecodeError for a market that was not loaded."""
    symbol = symbols.by_raw(market)
    if symbol is None:
        raise DecodeError(f"unknown market {market[:40]!r}", kind="unknown_market")
    return symbol


def _block(frame: bytes, block: int, needed: int) -> int:
    """Where the block ends; raises DecodeError when it is short or cut off."""
    if block < needed:
        raise DecodeError(f"a block of {block} bytes is too short", kind="short_block")
    if len(frame) < _START + block:
        raise DecodeError("the frame ends inside its block", kind="truncated")
    return _START + block


def decode_trade(frame: bytes, block: int, symbols: Symbols, ts_init: int) -> Decoded:
    """The trade in a frame of template 1; its time is that of the match. Raises DecodeError or ValueError."""
    at = _block(frame, block, _TRADE.size)
    _, _, number, side, price, size, created, _ = _TRADE.unpack_from(frame, _START)
    market, at = read_text(frame, at)
    # Version 2 brings the whole id; the number holds its low 64 bits only.
    whole = read_text(frame, at)[0] if at < len(frame) else ""
    symbol = symbol_of(symbols, market)
    if size <= 0:
        raise DecodeError("a trade without size", kind="bad_size")
    return TradeTick(
        symbol.instrument_id,
        price_on_grid(price, symbol),
        size_on_grid(size, symbol),
        AGGRESSOR.get(side, AggressorSide.NO_AGGRESSOR),
        TradeId(whole or str(number)),
        parse_us(created),
        ts_init,
    )


def decode_bbo(frame: bytes, block: int, symbols: Symbols, ts_init: int) -> Decoded:
    """The quote in a frame of template 2; a book with an empty side makes no quote. Raises DecodeError."""
    at = _block(frame, block, _BBO.size)
    ts, _, bid, bid_size, ask, ask_size = _BBO.unpack_from(frame, _START)
    symbol = symbol_of(symbols, read_text(frame, at)[0])
    return quote(symbol, bid, bid_size, ask, ask_size, parse_us(ts), ts_init)


def quote(
    symbol: Symbol, bid: int, bid_size: int, ask: int, ask_size: int, ts_event: int, ts_init: int
) -> QuoteTick | Ignored:
    """A quote at the instrument's precisions, exactly; one-sided books are named, never filled in."""
    if bid <= 0 or ask <= 0 or bid_size <= 0 or ask_size <= 0:
        return _without_a_side(bid, bid_size, ask, ask_size)
    return QuoteTick(
        symbol.instrument_id,
        price_on_grid(bid, symbol),
        price_on_grid(ask, symbol),
        size_on_grid(bid_size, symbol),
        size_on_grid(ask_size, symbol),
        ts_event,
        ts_init,
    )


def _without_a_side(bid: int, bid_size: int, ask: int, ask_size: int) -> Ignored:
    """A side is absent when both its numbers are null or zero; anything else below one makes no sense."""
    for price, size in ((bid, bid_size), (ask, ask_size)):
        absent = price in (NULL, 0) and size in (NULL, 0)
        if not absent and (price <= 0 or size <= 0):
            raise DecodeError("half a side, or a negative number, in the best prices", kind="bad_price")
    return Ignored("one_sided_bbo")


def decode_book(frame: bytes, block: int, symbols: Symbols, ts_init: int) -> Decoded:
    """The levels of a frame of template 3; raises DecodeError when it does not name a market of ours."""
    at = _block(frame, block, _BOOK_BLOCK)
    ts, sequence, package = _BOOK.unpack_from(frame, _START)
    bids, at = read_levels(frame, at)
    asks, at = read_levels(frame, at)
    symbol = symbol_of(symbols, read_text(frame, at)[0])
    if package > 1 or sequence < 0 or not 0 < ts < _LAST_US:
        why = f"package {package}, sequence {sequence}, time {ts} us"
        return Quarantined("bad_book", why, channel=book_channel(symbol.raw))
    return BookUpdate(symbol.instrument_id, package == 0, sequence, sequence, ts * 1_000, ts_init, bids, asks)


def book_channel(market: str) -> str:
    """The channel that brings the whole book first and then every change, numbered without a gap."""
    return f"order_book.{market}.deltas"
