"""JSON of Paradex as structs: envelopes, channel payloads, REST rows. Only the fields we read are named.

Numbers may come as text or as whole numbers, missing texts as empty ones: values stay as the wire has them.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from venuekit_paradex.wire.values import Number


class RpcError(Struct, gc=False):
    """The error of a JSON-RPC reply; `data` is often a text that says more."""

    code: int = 0
    message: str = ""
    data: Raw = Raw()

    @property
    def text(self) -> str:
        """Everything it says in words."""
        detail = bytes(self.data).decode(errors="replace").strip('"')
        return f"{self.message} {detail}".strip()


class Params(Struct, gc=False):
    """What a subscription brings."""

    channel: str
    data: Raw


class Envelope(Struct, gc=False):
    """Any text frame: a reply (with an id) or channel data."""

    method: str = ""
    id: int | str | None = None
    params: Params | None = None
    result: Raw = Raw()
    error: Raw = Raw()


class RequestInfo(Struct, gc=False):
    """The last modify request of an order."""

    request_type: str = ""
    status: str = ""
    message: str = ""


class OrderRow(Struct, gc=False, kw_only=True):
    """An order, on REST and on its channel."""

    id: str
    market: str
    status: str
    size: Number
    remaining_size: Number = None
    client_id: str | None = ""
    side: str = ""
    type: str = ""
    instruction: str | None = ""
    price: Number = None
    trigger_price: Number = None
    avg_fill_price: Number = None
    cancel_reason: str | None = ""
    flags: list[str] | None = None
    seq_no: Number = None
    timestamp: Number = None
    created_at: Number = None
    last_updated_at: Number = None
    request_info: RequestInfo | None = None


class FillRow(Struct, gc=False, kw_only=True):
    """A fill, on REST and on its channel."""

    id: str
    market: str
    order_id: str
    price: Number
    size: Number
    created_at: Number
    client_id: str | None = ""
    side: str = ""
    liquidity: str | None = ""
    fee: Number = None
    fee_currency: str | None = ""
    fill_type: str | None = ""


class PositionRow(Struct, gc=False, kw_only=True):
    """A position, on REST and on its channel; the size of a short is negative."""

    market: str
    side: str = ""
    size: Number = None
    status: str = ""
    average_entry_price: Number = None
    seq_no: Number = None
    last_updated_at: Number = None
    created_at: Number = None


class AccountRow(Struct, gc=False, kw_only=True):
    """The account's summary, on REST and on its channel."""

    settlement_asset: str
    total_collateral: Number
    free_collateral: Number
    initial_margin_requirement: Number
    maintenance_margin_requirement: Number
    updated_at: Number
    seq_no: Number = None


class BustRow(Struct, gc=False):
    """A fill that the venue took back."""

    busted_fill_id: str
    created_at: Number


class BalanceEventRow(Struct, gc=False):
    """What a fill did to the settlement balance; the amounts are read with the account."""

    fill_id: str
    created_at: Number


class BalanceRow(Struct, gc=False):
    """What the account holds of one token."""

    token: str
    size: Number
    last_updated_at: Number = None


class TradeRow(Struct, gc=False, kw_only=True):
    """A public trade; the side is the taker's."""

    id: str
    market: str
    price: Number
    size: Number
    created_at: Number
    side: str = ""


class BboRow(Struct, gc=False, kw_only=True):
    """Best prices."""

    market: str
    last_updated_at: Number
    bid: Number = None
    bid_size: Number = None
    ask: Number = None
    ask_size: Number = None


class LevelRow(Struct, gc=False):
    """One change of a book; `size` is the new total."""

    side: str
    price: Number
    size: Number


class BookRow(Struct, gc=False, kw_only=True):
    """A book frame: `update_type` s replaces the book, d changes it."""

    market: str
    seq_no: Number
    last_updated_at: Number
    update_type: str
    inserts: list[LevelRow] | None = None
    updates: list[LevelRow] | None = None
    deletes: list[LevelRow] | None = None


class RestBook(Struct, gc=False, kw_only=True):
    """A book over REST: price and size of each level."""

    market: str
    seq_no: Number
    last_updated_at: Number
    bids: list[list[str]]
    asks: list[list[str]]


class SummaryRow(Struct, gc=False, kw_only=True):
    """A market summary."""

    symbol: str
    created_at: Number
    mark_price: Number = None
    underlying_price: Number = None


class FundingRow(Struct, gc=False, kw_only=True):
    """Funding of one moment; the rate is per `funding_period_hours`."""

    market: str
    funding_rate: Number
    created_at: Number
    funding_period_hours: float | None = None


class MarketChanges(Struct, gc=False):
    """What changed of a market; the rest is read anew."""

    open_at: Number = None


class MarketEventRow(Struct, gc=False):
    """A market was created, updated, settled or deleted."""

    symbol: str
    event_type: str = ""
    updated_at: Number = None
    changed_fields: MarketChanges | None = None


class MarginParams(Struct, gc=False):
    """Margin factors of a perpetual."""

    imf_base: Number = None
    mmf_factor: Number = None


class MarketRow(Struct, gc=False, kw_only=True):
    """A market of `GET /markets`."""

    symbol: str
    base_currency: str
    quote_currency: str
    settlement_currency: str
    order_size_increment: Number
    price_tick_size: Number
    asset_kind: str = ""
    trading_mode: str | None = ""
    market_kind: str | None = ""
    max_order_size: Number = None
    min_notional: Number = None
    position_limit: Number = None
    price_bands_width: Number = None
    max_open_orders: Number = None
    delta1_cross_margin_params: MarginParams | None = None


class Rows(Struct, gc=False):
    """A REST list; each row is decoded by itself, so that a bad one does not hide the others."""

    results: list[Raw]
    next: str | None = None


class ErrorBody(Struct, gc=False):
    """A REST error."""

    error: str = ""
    message: str = ""


class SystemConfig(Struct, gc=False):
    """The part of `GET /system/config` that must agree with the chosen environment."""

    starknet_chain_id: str
    paraclear_account_proxy_hash: str = ""
    paraclear_account_hash: str = ""
    l1_chain_id: str = ""
