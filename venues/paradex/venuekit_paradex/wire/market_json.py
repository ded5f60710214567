"""Channel payloads in JSON: market data, and the account's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from nautilus_trader.model import (
    AggressorSide,
    FundingRateUpdate,
    InstrumentStatus,
    MarketStatusAction,
    QuoteTick,
    TradeId,
    TradeTick,
)

from venuekit.errors import DecodeError
from venuekit.interfaces.records import MoneyMoved, Source
from venuekit.interfaces.stream import BookUpdate, Decoded, Ignored, InstrumentChanged
from venuekit_paradex.wire.json import (
    AccountRow,
    BalanceEventRow,
    BboRow,
    BookRow,
    BustRow,
    FillRow,
    FundingRow,
    LevelRow,
    MarketEventRow,
    OrderRow,
    PositionRow,
    SummaryRow,
    TradeRow,
)
from venuekit_paradex.wire.market_sbe import funding, summary
from venuekit_paradex.wire.records import (
    balance_record,
    bust_record,
    fill_record,
    order_record,
    position_record,
)
from venuekit_paradex.wire.sbe import has_empty_side, symbol_of
from venuekit_paradex.wire.values import (
    EXPONENT,
    parse_decimal,
    parse_e8,
    parse_ms,
    parse_optional_e8,
    positive_price,
    positive_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from venuekit.core.symbols import Symbols
    from venuekit_paradex.wire.values import Number

_STATUS: Final = {
    "CREATED": MarketStatusAction.TRADING,
    "SETTLED": MarketStatusAction.CLOSE,
    "DELETED": MarketStatusAction.NOT_AVAILABLE_FOR_TRADING,
}
"""By the kind of a market event; an update says nothing of whether the market trades."""
AGGRESSOR: Final = {"BUY": AggressorSide.BUY, "SELL": AggressorSide.SELL}


def trade_tick(row: TradeRow, symbols: Symbols, ts_init: int) -> TradeTick:
    """A public trade; raises DecodeError or ValueError."""
    symbol = symbol_of(symbols, row.market)
    return TradeTick(
        symbol.instrument_id,
        positive_price(parse_e8(row.price, "the trade's price"), EXPONENT, symbol.price_precision),
        positive_size(parse_e8(row.size, "the trade's size"), EXPONENT, symbol.size_precision),
        AGGRESSOR.get(row.side, AggressorSide.NO_AGGRESSOR),
        TradeId(row.id),
        parse_ms(row.created_at, "the trade's time"),
        ts_init,
    )


def _trade(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    return (trade_tick(msgspec.json.decode(data, type=TradeRow), symbols, ts_init),)


def _absent(value: Number) -> int:
    """A best price or size; zero where the side is empty."""
    return parse_optional_e8(value, "a best price or size") or 0


def _bbo(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    row = msgspec.json.decode(data, type=BboRow)
    symbol = symbol_of(symbols, row.market)
    bid, bid_size, ask, ask_size = map(_absent, (row.bid, row.bid_size, row.ask, row.ask_size))
    if has_empty_side(bid, bid_size, ask, ask_size):
        return (Ignored("one_sided_bbo"),)
    price, size = symbol.price_precision, symbol.size_precision
    quote = QuoteTick(
        symbol.instrument_id,
        positive_price(bid, EXPONENT, price),
        positive_price(ask, EXPONENT, price),
        positive_size(bid_size, EXPONENT, size),
        positive_size(ask_size, EXPONENT, size),
        parse_ms(row.last_updated_at, "the quote's time"),
        ts_init,
    )
    return (quote,)


def _levels(rows: Iterable[LevelRow], side: str, *, deleted: bool) -> list[tuple[int, int]]:
    return [
        (parse_e8(row.price, "a level's price"), 0 if deleted else parse_e8(row.size, "a level's size"))
        for row in rows
        if row.side == side
    ]


def _book(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    row = msgspec.json.decode(data, type=BookRow)
    if row.update_type not in ("s", "d"):
        raise DecodeError(f"unknown kind {row.update_type[:20]!r} of book frame", kind="unknown_enum")
    changes, deletes = (*(row.inserts or ()), *(row.updates or ())), row.deletes or ()
    if any(level.side not in AGGRESSOR for level in (*changes, *deletes)):
        raise DecodeError("a level of no side", kind="unknown_enum")
    bids, asks = (
        _levels(deletes, side, deleted=True) + _levels(changes, side, deleted=False) for side in AGGRESSOR
    )
    sequence = sequence_number(row.seq_no)
    ts_event = parse_ms(row.last_updated_at, "the book's time")
    iid = symbol_of(symbols, row.market).instrument_id
    snapshot = row.update_type == "s"
    return (BookUpdate(iid, snapshot, sequence, sequence, ts_event, ts_init, bids, asks),)


def sequence_number(value: Number) -> int:
    """A sequence number, as a number or its text; raises DecodeError."""
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise DecodeError("the sequence is not a number", kind="bad_sequence")
    return int(text)


def _summary(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    row = msgspec.json.decode(data, type=SummaryRow)
    mark = parse_optional_e8(_cut(row.mark_price), "the mark price")
    if not mark:
        return (Ignored("summary_without_mark"),)
    index = parse_optional_e8(_cut(row.underlying_price), "the index price")
    ts_event = parse_ms(row.created_at, "the summary's time")
    return summary(symbol_of(symbols, row.symbol), mark, index, ts_event, ts_init)


def _cut(value: Number) -> Number:
    """Computed prices may carry more decimals than the venue's 8; the rest is cut."""
    whole, dot, part = str(value).partition(".")
    return f"{whole}.{part[:8]}" if dot else value


def _funding(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    return (funding_update(msgspec.json.decode(data, type=FundingRow), symbols, ts_init),)


def funding_update(row: FundingRow, symbols: Symbols, ts_init: int) -> FundingRateUpdate:
    """The funding rate of a row; raises DecodeError."""
    rate = parse_decimal(row.funding_rate, "the funding rate")
    ts_event = parse_ms(row.created_at, "the time of the funding rate")
    return funding(symbol_of(symbols, row.market), rate, row.funding_period_hours, ts_event, ts_init)


def _market(data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    row = msgspec.json.decode(data, type=MarketEventRow)
    changed = InstrumentChanged(row.symbol)
    action, symbol = _STATUS.get(row.event_type), symbols.by_raw(row.symbol)
    if action is None or symbol is None:
        return (changed,)
    ts_event = parse_ms(row.updated_at, "the time of the market event")
    opens = row.changed_fields.open_at if row.changed_fields else None
    later = opens not in (None, "", 0, "0") and parse_ms(opens, "the opening") > ts_event
    if row.event_type == "CREATED" and later:
        action = MarketStatusAction.PRE_OPEN
    status = InstrumentStatus(
        symbol.instrument_id, action, ts_event, ts_init, is_trading=action is MarketStatusAction.TRADING
    )
    return (changed, status)


def _order(data: bytes, symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    return (order_record(msgspec.json.decode(data, type=OrderRow), symbols, Source.STREAM),)


def _fill(data: bytes, symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    return (fill_record(msgspec.json.decode(data, type=FillRow), symbols, Source.STREAM),)


def _position(data: bytes, symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    return (position_record(msgspec.json.decode(data, type=PositionRow), symbols, Source.STREAM),)


def _bust(data: bytes, _symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    return (bust_record(msgspec.json.decode(data, type=BustRow), Source.STREAM),)


def _balance_event(data: bytes, _symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    row = msgspec.json.decode(data, type=BalanceEventRow)
    ts_event = parse_ms(row.created_at, "the time of the balance event")
    if not row.fill_id:
        raise DecodeError("a balance event of no fill", kind="bad_balance_event")
    return (MoneyMoved(trade_key=row.fill_id, ts_event=ts_event),)


def _account(data: bytes, _symbols: Symbols, _ts_init: int) -> Sequence[Decoded]:
    return (balance_record(msgspec.json.decode(data, type=AccountRow), (), Source.STREAM),)


_PARSERS: Final[dict[str, Callable[[bytes, Symbols, int], Sequence[Decoded]]]] = {
    "trades": _trade,
    "bbo": _bbo,
    "order_book": _book,
    "markets_summary": _summary,
    "funding_data": _funding,
    "markets": _market,
    "orders": _order,
    "fills": _fill,
    "positions": _position,
    "account": _account,
    "tradebusts": _bust,
    "balance_events": _balance_event,
}


def parse_channel(channel: str, data: bytes, symbols: Symbols, ts_init: int) -> Sequence[Decoded]:
    """What a channel's payload says; raises DecodeError, ValueError or msgspec's errors."""
    parser = _PARSERS.get(channel.partition(".")[0])
    if parser is None:
        raise DecodeError(f"unknown channel {channel[:60]!r}", kind="unknown_channel")
    return parser(data, symbols, ts_init)
