"""Rows of orders, fills, positions and balances, JSON or SBE, as evidence records."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from nautilus_trader.model import (
    AccountBalance,
    CurrencyPair,
    LiquiditySide,
    MarginBalance,
    Money,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)

from venuekit.errors import DecodeError
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillKind,
    FillRecord,
    ModifyResult,
    OrderRecord,
    PositionRecord,
    Source,
    WireIds,
)
from venuekit_paradex.wire.sbe import symbol_of
from venuekit_paradex.wire.values import (
    Number,
    currency_of,
    decimal_text,
    exact_price,
    exact_size,
    parse_decimal,
    parse_e8,
    parse_ms,
    parse_optional_e8,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nautilus_trader.model import Currency

    from venuekit.core.symbols import Symbol, Symbols
    from venuekit_paradex.wire.json import (
        AccountRow,
        BalanceRow,
        BustRow,
        FillRow,
        OrderRow,
        PositionRow,
    )

SIDES: Final = {"BUY": OrderSide.BUY, "SELL": OrderSide.SELL}
_TYPES: Final = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LIMIT": OrderType.STOP_LIMIT,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "STOP_LOSS_MARKET": OrderType.STOP_MARKET,
    "TAKE_PROFIT_LIMIT": OrderType.LIMIT_IF_TOUCHED,
    "TAKE_PROFIT_MARKET": OrderType.MARKET_IF_TOUCHED,
}
# An empty instruction means GTC; POST_ONLY and RPI rest until cancelled.
_TIMES: Final = {"IOC": TimeInForce.IOC}
_POST_ONLY: Final = frozenset({"POST_ONLY", "RPI"})
_LIQUIDITY: Final = {"MAKER": LiquiditySide.MAKER, "TAKER": LiquiditySide.TAKER}
_FILL_KINDS: Final = {
    "LIQUIDATION": FillKind.LIQUIDATION,
    "UNWIND_TRANSFER": FillKind.TRANSFER,
    "TRANSFER": FillKind.TRANSFER,
    "SETTLE_MARKET": FillKind.SETTLEMENT,
}
_MODIFY: Final = {"SUCCESS": ModifyResult.APPLIED, "REJECTED": ModifyResult.REJECTED}

POST_ONLY_CROSSED: Final = "POST_ONLY_WOULD_CROSS"
# The venue publishes no list of reasons; these are seen in the wild, and the words below read as a refusal in
# any other. A reason that matches neither ends an order as cancelled, with the reason.
_REFUSALS: Final = frozenset(
    {
        "NOT_ENOUGH_MARGIN",
        POST_ONLY_CROSSED,
        "ORDER_SIZE_BELOW_MIN",
        "MMP_FROZEN",
        "MMP_DISABLED",
        "MMP_GREEKS_UNAVAILABLE",
        "MMP_NOT_CONFIGURED",
    }
)
_REFUSAL_WORDS: Final = (
    "_WOULD_",
    "NOT_ENOUGH",
    "INSUFFICIENT",
    "BELOW_MIN",
    "ABOVE_MAX",
    "EXCEED",
    "OUTSIDE",
    "INVALID",
)


def is_refusal(reason: str) -> bool:
    """True when a cancel reason says that the order was never allowed in."""
    return reason in _REFUSALS or any(word in reason for word in _REFUSAL_WORDS)


def _version(value: Number) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _time(*values: Number) -> int:
    for value in values:
        if value not in (None, "", 0):
            return parse_ms(value, "the row's time")
    raise DecodeError("the row has no time", kind="bad_time")


def _status(row: OrderRow, size: int, remaining: int | None) -> tuple[OrderStatus, int | None]:
    """The order's status and its filled size in units of 1e-8 (None: the row does not say)."""
    filled = None if remaining is None else size - remaining
    if row.status == "NEW":
        return OrderStatus.SUBMITTED, filled
    if row.status in ("OPEN", "UNTRIGGERED"):
        return (OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED), filled
    if row.status != "CLOSED":
        raise DecodeError(f"unknown order status {row.status[:40]!r}", kind="unknown_enum")
    if remaining:
        return OrderStatus.CANCELED, filled
    if not row.cancel_reason and remaining == 0:
        return OrderStatus.FILLED, filled
    # A reason is given only for what was closed by a cancel, so nothing remains because the cancel took it:
    # how much was executed before, the fills say.
    return OrderStatus.CANCELED, None


def _average(value: Number) -> str | None:
    """The average price as exact text; None when nothing is filled yet."""
    if value is None or value == "":
        return None
    exact = parse_decimal(value, "the average price")
    return str(value) if exact > 0 else None


def order_record(row: OrderRow, symbols: Symbols, source: Source, ts_event: int | None = None) -> OrderRecord:
    """What one row says about one order; `ts_event` (ns) is finer than its own time. Raises DecodeError."""
    symbol = symbol_of(symbols, row.market)
    size = parse_e8(row.size, "the order's size")
    remaining = parse_optional_e8(row.remaining_size, "the remaining size")
    if not row.id or size < 0 or (remaining is not None and not 0 <= remaining <= size):
        raise DecodeError("an order without id, or with an impossible size", kind="bad_order")
    status, filled = _status(row, size, remaining)
    reason = row.cancel_reason or ""
    average = _average(row.avg_fill_price)
    # An average price proves an execution, which a refused order never had.
    closed_unfilled = status is OrderStatus.CANCELED and average is None
    price = None if row.type.endswith("MARKET") else parse_optional_e8(row.price, "the price")
    trigger = parse_optional_e8(row.trigger_price, "the trigger price")
    info = row.request_info
    return OrderRecord(
        ids=WireIds(client_order_id=row.client_id or None, venue_order_id=row.id),
        source=source,
        ts_event=ts_event or _time(row.last_updated_at, row.created_at),
        instrument_id=symbol.instrument_id,
        status=status,
        side=SIDES.get(row.side),
        order_type=_TYPES.get(row.type),
        time_in_force=_TIMES.get(row.instruction or "", TimeInForce.GTC),
        quantity=exact_size(size, symbol),
        price=exact_price(price, symbol) if price else None,
        trigger_price=exact_price(trigger, symbol) if trigger else None,
        filled=None if filled is None else exact_size(filled, symbol),
        avg_px=average,
        post_only=(row.instruction or "") in _POST_ONLY,
        reduce_only="REDUCE_ONLY" in (row.flags or ()),
        reason=reason if row.status == "CLOSED" else "",
        post_only_refusal=closed_unfilled and reason == POST_ONLY_CROSSED,
        refusal=closed_unfilled and is_refusal(reason),
        modify=_MODIFY.get(info.status) if info and info.request_type == "MODIFY_ORDER" else None,
        # REST numbers the states of an order independently of the stream: only the stream's can be compared.
        version=_version(row.seq_no) if source is Source.STREAM else None,
    )


def fill_record(
    row: FillRow,
    symbols: Symbols,
    source: Source,
    ts_event: int | None = None,
    *,
    currency_known: bool = True,
) -> FillRecord:
    """One execution; raises DecodeError.

    A row without a fee currency is in the market's settlement currency, unless its form cannot carry one
    (`currency_known` False): then the fee is not said. An unknown kind loses the kind, never the fill.
    What no order made (a transfer) names none.
    """
    symbol = symbol_of(symbols, row.market)
    kind = _FILL_KINDS.get(row.fill_type or "", FillKind.TRADE)
    size, price = parse_e8(row.size, "the fill's size"), parse_e8(row.price, "the fill's price")
    nameless = not row.order_id and kind is FillKind.TRADE
    if not row.id or nameless or size <= 0 or price < 0:
        raise DecodeError("a fill without id, order, size or price", kind="bad_fill")
    fee: Money | None = None
    if row.fee not in (None, "") and (row.fee_currency or currency_known):
        currency = currency_of(row.fee_currency) if row.fee_currency else _settlement(symbol)
        fee = _exact_or_cut(row.fee, currency)
    return FillRecord(
        trade_key=row.id,
        ids=WireIds(client_order_id=row.client_id or None, venue_order_id=row.order_id or None),
        instrument_id=symbol.instrument_id,
        quantity=exact_size(size, symbol),
        price=exact_price(price, symbol),
        ts_event=ts_event or _time(row.created_at),
        source=source,
        side=SIDES.get(row.side),
        fee=fee,
        liquidity=_LIQUIDITY.get(row.liquidity or ""),
        kind=kind,
    )


def _settlement(symbol: Symbol) -> Currency:
    """What a market settles in; a spot market in its quote currency."""
    instrument = symbol.instrument
    if isinstance(instrument, CurrencyPair):
        return instrument.quote_currency
    return instrument.settlement_currency


def _exact_or_cut(value: Number, currency: Currency) -> Money:
    """An amount in `currency`; digits beyond its precision, which only old rows have, are cut toward zero."""
    unit = Decimal(1).scaleb(-currency.precision)
    try:
        amount = parse_decimal(value, "the amount").quantize(unit, ROUND_DOWN)
    except InvalidOperation:
        raise DecodeError("an amount beyond every currency", kind="bad_number") from None
    return Money.from_decimal(amount, currency)


def bust_record(row: BustRow, source: Source) -> BustRecord:
    """A fill that was taken back; raises DecodeError."""
    if not row.busted_fill_id:
        raise DecodeError("a bust of no fill", kind="bad_bust")
    return BustRecord(trade_key=row.busted_fill_id, ts_event=_time(row.created_at), source=source)


_LONG_SIDES: Final = {"LONG": 1, "BUY": 1, "SHORT": -1, "SELL": -1, "": 0}


def position_record(
    row: PositionRow, symbols: Symbols, source: Source, ts_event: int | None = None
) -> PositionRecord:
    """A net position; a row that contradicts itself raises DecodeError, it never reads as flat."""
    symbol = symbol_of(symbols, row.market)
    size = parse_e8(row.size, "the position's size")
    sign = _LONG_SIDES.get(row.side)
    sided = sign is not None and (size == 0 or sign == -1 or (sign == 1 and size > 0))
    if not sided or (row.status == "CLOSED" and size):
        raise DecodeError(
            f"side {row.side[:20]!r}, status {row.status[:20]!r} and size do not agree", kind="bad_position"
        )
    signed = -abs(size) if sign == -1 else size
    average = _average(row.average_entry_price) if signed else None
    return PositionRecord(
        instrument_id=symbol.instrument_id,
        signed_qty=decimal_text(signed),
        avg_px=average,
        ts_event=ts_event or _time(row.last_updated_at, row.created_at),
        source=source,
        version=_version(row.seq_no),
    )


def balance_record(
    row: AccountRow, tokens: Sequence[BalanceRow], source: Source, ts_event: int | None = None
) -> BalanceRecord:
    """Balances and margins of the account.

    Total is what the wallet holds, free what may be spent of it, locked the difference; unrealised profit is
    in none of them, as the venue caps free collateral by the settlement balance. Without `tokens` the
    settlement currency stands for all. Digits beyond a currency's precision are cut.
    """
    settlement = currency_of(row.settlement_asset)
    held = {token.token: _exact_or_cut(token.size, currency_of(token.token)) for token in tokens}
    total = held.pop(row.settlement_asset, None)
    if total is None:
        total = _exact_or_cut(row.total_collateral, settlement)
    free = _exact_or_cut(row.free_collateral, settlement).as_decimal()
    whole = total.as_decimal()
    free = min(max(free, Decimal(0)), whole) if whole > 0 else whole
    balances = [_balance(total, free)]
    balances += [_balance(amount, amount.as_decimal()) for amount in held.values()]
    initial = _exact_or_cut(row.initial_margin_requirement, settlement)
    maintenance = _exact_or_cut(row.maintenance_margin_requirement, settlement)
    return BalanceRecord(
        balances=balances,
        margins=[MarginBalance(initial, maintenance)],
        ts_event=ts_event or _time(row.updated_at),
        source=source,
        version=_version(row.seq_no),
    )


def _balance(total: Money, free: Decimal) -> AccountBalance:
    currency = total.currency
    locked = Money.from_decimal(total.as_decimal() - free, currency)
    return AccountBalance(total, locked, Money.from_decimal(free, currency))
