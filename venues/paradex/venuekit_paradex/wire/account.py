"""Private SBE frames as the rows of their JSON twins, so that both roads make the same records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from venuekit.errors import DecodeError
from venuekit.interfaces.records import Source
from venuekit_paradex.wire.json import AccountRow, FillRow, OrderRow, PositionRow, RequestInfo
from venuekit_paradex.wire.records import balance_record, fill_record, order_record, position_record
from venuekit_paradex.wire.schema import ACCOUNT, FILL, ORDER, POSITION, Message
from venuekit_paradex.wire.values import decimal_text, parse_us

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.stream import Decoded

_SIDES: Final = {1: "BUY", 2: "SELL"}
_LONG: Final = {1: "LONG", 2: "SHORT"}
_TYPES: Final = {
    1: "LIMIT",
    2: "MARKET",
    3: "STOP_LIMIT",
    4: "STOP_MARKET",
    5: "TAKE_PROFIT_LIMIT",
    6: "TAKE_PROFIT_MARKET",
    7: "STOP_LOSS_LIMIT",
    8: "STOP_LOSS_MARKET",
}
_STATUS: Final = {1: "NEW", 2: "UNTRIGGERED", 3: "OPEN", 4: "CLOSED"}
_TIMES: Final = {1: "GTC", 2: "IOC", 3: "POST_ONLY", 4: "RPI"}
_FILL_TYPES: Final = {
    1: "FILL",
    2: "LIQUIDATION",
    3: "UNWIND_TRANSFER",
    4: "SETTLE_MARKET",
    5: "RPI",
    6: "BLOCK_TRADE",
}
_LIQUIDITY: Final = {1: "MAKER", 2: "TAKER"}
_POSITION_STATUS: Final = {1: "OPEN", 2: "CLOSED"}
_REQUEST_STATUS: Final = {1: "PENDING", 2: "PROCESSED", 3: "REJECTED", 4: "SUCCESS"}
_MODIFY_ORDER: Final = 1
_REDUCE_ONLY: Final = 1


def _coded(message: Message, name: str, codes: dict[int, str]) -> str:
    return codes.get(message.number(name), "")


def _text(message: Message, name: str) -> str | None:
    value = message.optional(name)
    return None if value is None else decimal_text(value)


def _order(message: Message, symbols: Symbols) -> Decoded:
    request: RequestInfo | None = None
    if message.optional("request_type") == _MODIFY_ORDER:
        request = RequestInfo("MODIFY_ORDER", _coded(message, "request_status", _REQUEST_STATUS))
    status = message.number("status")
    if status not in _STATUS:
        raise DecodeError(f"unknown order status {status}", kind="unknown_enum")
    row = OrderRow(
        id=message.texts["order_id"],
        market=message.texts["market"],
        status=_STATUS[status],
        size=decimal_text(message.number("size")),
        remaining_size=decimal_text(message.number("size_open")),
        client_id=message.texts["client_order_id"],
        side=_coded(message, "side", _SIDES),
        type=_coded(message, "order_type", _TYPES),
        instruction=_coded(message, "time_in_force", _TIMES),
        price=_text(message, "price"),
        trigger_price=_text(message, "trigger_price"),
        avg_fill_price=_text(message, "avg_fill_price"),
        cancel_reason=message.texts["cancel_reason"],
        flags=["REDUCE_ONLY"] if message.number("flags") & _REDUCE_ONLY else None,
        seq_no=message.number("seq"),
        request_info=request,
    )
    # In whole milliseconds, as REST writes it: the same change has the same time on both roads.
    changed_us = message.number("updated_at") // 1_000 * 1_000
    return order_record(row, symbols, Source.STREAM, parse_us(changed_us))


def _fill(message: Message, symbols: Symbols) -> Decoded:
    row = FillRow(
        id=message.texts["fill_id"],
        market=message.texts["market"],
        order_id=message.texts["order_id"],
        price=decimal_text(message.number("price")),
        size=decimal_text(message.number("size")),
        created_at=None,
        client_id=message.texts["client_order_id"],
        side=_coded(message, "side", _SIDES),
        liquidity=_coded(message, "liquidity", _LIQUIDITY),
        fee=decimal_text(message.number("fee")),
        fee_currency=message.texts.get("fee_currency", ""),
        fill_type=_coded(message, "fill_type", _FILL_TYPES),
    )
    created = parse_us(message.number("created_at"))
    return fill_record(row, symbols, Source.STREAM, created, currency_known="fee_currency" in message.texts)


def _position(message: Message, symbols: Symbols) -> Decoded:
    row = PositionRow(
        market=message.texts["market"],
        side=_coded(message, "side", _LONG),
        size=decimal_text(message.number("size")),
        status=_coded(message, "status", _POSITION_STATUS),
        average_entry_price=decimal_text(message.number("avg_entry_price")),
        seq_no=message.number("seq"),
    )
    return position_record(row, symbols, Source.STREAM, parse_us(message.number("updated_at")))


def _account(message: Message, _symbols: Symbols) -> Decoded:
    row = AccountRow(
        settlement_asset=message.texts["settlement_asset"],
        total_collateral=decimal_text(message.number("total_collateral")),
        free_collateral=decimal_text(message.number("free_collateral")),
        initial_margin_requirement=decimal_text(message.number("initial_margin_req")),
        maintenance_margin_requirement=decimal_text(message.number("maintenance_margin_req")),
        updated_at=None,
        seq_no=message.number("seq"),
    )
    return balance_record(row, (), Source.STREAM, parse_us(message.number("updated_at")))


_PARSERS: Final = {ORDER: _order, FILL: _fill, POSITION: _position, ACCOUNT: _account}


def parse_private(message: Message, symbols: Symbols) -> Decoded:
    """The record in a frame of template 20 to 23; raises DecodeError."""
    return _PARSERS[message.template](message, symbols)
