"""Evidence about an account: sparse records of Nautilus value types. None: this source does not say."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

from venuekit.interfaces.time import Deadline

if TYPE_CHECKING:
    from nautilus_trader.model import (
        AccountBalance,
        InstrumentId,
        LiquiditySide,
        MarginBalance,
        Money,
        OrderSide,
        OrderStatus,
        OrderType,
        Price,
        Quantity,
        TimeInForce,
    )


class Source(Enum):
    """Which road a record took; a snapshot or page never proves more than its own moment."""

    REPLY = "reply"
    STREAM = "stream"
    SNAPSHOT = "snapshot"
    PAGE = "page"
    LOOKUP = "lookup"


@frozen
class WireIds:
    """Every name an order can have on the wire; texts exactly as the venue writes them."""

    client_order_id: str | None = None
    """Our Nautilus client order id, when the venue echoes it or the codec can decode it."""
    client_ref: str | None = None
    """The encoded form the venue knows, when it differs from the client order id."""
    venue_order_id: str | None = None
    tx_hash: str | None = None
    nonce: int | None = None
    ends: Deadline | None = None
    """After this the order cannot live at the venue any more."""
    lapses: Deadline | None = None
    """After this the venue refuses the submit unless it has read it; not finding it before proves nothing."""


class ModifyResult(Enum):
    """What a record says about the pending modify of its order."""

    APPLIED = "applied"
    REJECTED = "rejected"


@frozen(kw_only=True)
class OrderRecord:
    """What ONE frame or row says about one order."""

    ids: WireIds
    source: Source
    ts_event: int
    """Venue time, Unix nanoseconds."""
    instrument_id: InstrumentId | None = None
    status: OrderStatus | None = None
    """SUBMITTED for a venue that has the order and has not decided, else as Nautilus defines it."""
    settles: Deadline | None = None
    """Set: the terminal status is tentative and becomes final only then."""
    side: OrderSide | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    quantity: Quantity | None = None
    price: Price | None = None
    trigger_price: Price | None = None
    filled: Quantity | None = None
    avg_px: str | None = None
    """Average fill price as the exact decimal text of the venue."""
    post_only: bool | None = None
    reduce_only: bool | None = None
    reason: str = ""
    post_only_refusal: bool = False
    refusal: bool = False
    """A terminal status that is a refusal (risk check, crossing post-only), not a cancel asked for."""
    modify: ModifyResult | None = None
    version: int | None = None
    """Per-order version of the venue, larger is newer; None: the venue has none."""


class FillKind(Enum):
    """Why quantity moved."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    DELEVERAGE = "deleverage"
    SETTLEMENT = "settlement"
    TRANSFER = "transfer"


@frozen(kw_only=True)
class FillRecord:
    """One execution on our account; `trade_key` is the venue's identity of it within the account."""

    trade_key: str
    ids: WireIds
    instrument_id: InstrumentId
    quantity: Quantity
    price: Price
    ts_event: int
    source: Source
    side: OrderSide | None = None
    fee: Money | None = None
    """Positive is paid, negative is a rebate; None: this source does not say."""
    liquidity: LiquiditySide | None = None
    kind: FillKind = FillKind.TRADE


@frozen(kw_only=True)
class BustRecord:
    """The venue took an execution back; it may name nothing but the execution."""

    trade_key: str
    ts_event: int
    source: Source


@frozen(kw_only=True)
class MoneyMoved:
    """An execution moved money: a second witness of it, on a channel that is not the fills'."""

    trade_key: str
    ts_event: int


@frozen(kw_only=True)
class PositionRecord:
    """A net position: signed decimal text, positive is long; flat is `0`."""

    instrument_id: InstrumentId
    signed_qty: str
    avg_px: str | None
    ts_event: int
    source: Source
    version: int | None = None


@frozen(kw_only=True)
class BalanceRecord:
    """Balances and margins of the whole account at one moment."""

    balances: list[AccountBalance] = field(factory=list)
    margins: list[MarginBalance] = field(factory=list)
    ts_event: int
    source: Source
    version: int | None = None
