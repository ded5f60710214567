"""What the exchange holds and says: orders, fills, positions, and the events a venue's simulator listens to.

Every record is immutable: a change makes a new record with a higher `version`, so an event or a ledger row
never changes under its reader. Prices and sizes are `Decimal`; times are Unix nanoseconds of the simulator's
clock.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

ZERO = Decimal(0)


class Side(Enum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderKind(Enum):
    """Type of an order; stops and take-profits wait for the mark price."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def conditional(self) -> bool:
        """True when the order waits for a trigger."""
        return self not in (OrderKind.LIMIT, OrderKind.MARKET)

    @property
    def priced(self) -> bool:
        """True when the order carries a limit price."""
        return self in (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT)


class Tif(Enum):
    """Time in force. MARKET orders behave as IOC whatever they say."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class SelfTrade(Enum):
    """Who expires when a taker meets an order of its own account: such a match never executes."""

    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class OrderStatus(Enum):
    """Life of an order: NEW (admitted, not risk-checked), UNTRIGGERED, OPEN, then one of three ends."""

    NEW = "NEW"
    UNTRIGGERED = "UNTRIGGERED"
    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"

    @property
    def closed(self) -> bool:
        """True for the three ends."""
        return self in (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REFUSED)


class Reason(Enum):
    """Why an order was refused or closed, or a command was refused. A venue maps these to its own words."""

    USER = "USER"
    VENUE = "VENUE"
    POST_ONLY = "POST_ONLY"
    IOC_REMAINDER = "IOC_REMAINDER"
    FOK_UNFILLED = "FOK_UNFILLED"
    MARGIN = "MARGIN"
    REDUCE_ONLY = "REDUCE_ONLY"
    SELF_TRADE = "SELF_TRADE"
    SIZE_STEP = "SIZE_STEP"
    SIZE_BELOW_MIN = "SIZE_BELOW_MIN"
    SIZE_ABOVE_MAX = "SIZE_ABOVE_MAX"
    PRICE_STEP = "PRICE_STEP"
    PRICE_BAND = "PRICE_BAND"
    POSITION_LIMIT = "POSITION_LIMIT"
    OPEN_ORDERS = "OPEN_ORDERS"
    DUPLICATE_CLIENT_ID = "DUPLICATE_CLIENT_ID"
    UNKNOWN_MARKET = "UNKNOWN_MARKET"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    ORDER_CLOSED = "ORDER_CLOSED"
    HALTED = "HALTED"
    MODE_POST_ONLY = "MODE_POST_ONLY"
    MODE_CANCEL_ONLY = "MODE_CANCEL_ONLY"
    MODE_MAINTENANCE = "MODE_MAINTENANCE"
    LIQUIDATION = "LIQUIDATION"
    BAD_REQUEST = "BAD_REQUEST"


class Mode(Enum):
    """Trading mode of one market or of the whole exchange."""

    NORMAL = "normal"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


class Liquidity(Enum):
    """Role of an order in a match; NONE for transfers and liquidations."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    NONE = "NONE"


class FillKind(Enum):
    """What made a fill."""

    TRADE = "TRADE"
    LIQUIDATION = "LIQUIDATION"
    TRANSFER = "TRANSFER"


class Cause(Enum):
    """Why an order event was published."""

    ADMITTED = "ADMITTED"
    RESTING = "RESTING"
    WAITING = "WAITING"
    TRIGGERED = "TRIGGERED"
    FILLED = "FILLED"
    CLOSED = "CLOSED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    MODIFIED = "MODIFIED"
    MODIFY_REFUSED = "MODIFY_REFUSED"


class CancelAnswer(Enum):
    """What `request_cancel` found."""

    QUEUED = "QUEUED"
    ALREADY_CLOSED = "ALREADY_CLOSED"
    NOT_FOUND = "NOT_FOUND"


@frozen(kw_only=True)
class NewOrder:
    """What an account asks for. `tags` are the venue's own extras; the exchange carries them and never reads
    them.
    """

    account: str
    market: str
    side: Side
    quantity: Decimal
    kind: OrderKind = OrderKind.LIMIT
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_above: bool | None = None
    tif: Tif = Tif.GTC
    post_only: bool = False
    reduce_only: bool = False
    stp: SelfTrade = SelfTrade.EXPIRE_TAKER
    client_id: str = ""
    tags: Mapping[str, object] = field(factory=dict)


@frozen(kw_only=True)
class Order:
    """An order at one moment. `version` grows by one with each published change of this order."""

    id: str
    request: NewOrder
    status: OrderStatus
    quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    filled: Decimal = ZERO
    notional: Decimal = ZERO
    fees: Decimal = ZERO
    reason: Reason | None = None
    reason_text: str = ""
    cancel_requested: bool = False
    created_ns: int
    updated_ns: int
    version: int = 1

    @property
    def account(self) -> str:
        """Account that owns the order."""
        return self.request.account

    @property
    def market(self) -> str:
        """Symbol of its market."""
        return self.request.market

    @property
    def side(self) -> Side:
        """Its side."""
        return self.request.side

    @property
    def client_id(self) -> str:
        """The client's id, empty when none was given."""
        return self.request.client_id

    @property
    def remaining(self) -> Decimal:
        """Size not filled; what was left when it closed, for a closed order."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of the fills, None when nothing is filled."""
        return self.notional / self.filled if self.filled else None

    @property
    def closed(self) -> bool:
        """True when nothing can happen to it any more."""
        return self.status.closed


@frozen(kw_only=True)
class Fill:
    """One account's side of a match. `trade_id` is shared by both sides; `id` is unique. A negative fee is a
    rebate.
    """

    id: str
    trade_id: str
    order_id: str
    client_id: str
    account: str
    market: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: Liquidity
    kind: FillKind
    realised_pnl: Decimal
    remaining: Decimal
    index_price: Decimal
    book_seq: int
    ts_ns: int


@frozen(kw_only=True)
class Trade:
    """A public trade; `side` is the taker's."""

    id: str
    market: str
    side: Side
    quantity: Decimal
    price: Decimal
    book_seq: int
    ts_ns: int


@frozen(kw_only=True)
class Position:
    """Signed size (short negative), `cost` = signed entry notional of what is open, sums since the account
    began.
    """

    account: str
    market: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    funding: Decimal = ZERO
    fees: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0
    last_fill_id: str = ""
    version: int = 0

    @property
    def entry_price(self) -> Decimal | None:
        """Average entry price, None when flat."""
        return self.cost / self.quantity if self.quantity else None

    def unrealised_pnl(self, mark: Decimal) -> Decimal:
        """Profit of what is open at the mark price."""
        return self.quantity * mark - self.cost


@frozen(kw_only=True)
class Balance:
    """Cash of one currency: total = free + locked, exactly."""

    currency: str
    total: Decimal
    locked: Decimal

    @property
    def free(self) -> Decimal:
        """What is not held as margin."""
        return self.total - self.locked


@frozen(kw_only=True)
class Margin:
    """An account's risk figures in the settlement currency."""

    account: str
    cash: Decimal
    equity: Decimal
    initial: Decimal
    maintenance: Decimal

    @property
    def free_collateral(self) -> Decimal:
        """Equity above the initial requirement, capped by cash; may be negative."""
        return min(self.equity - self.initial, self.cash)


@frozen(kw_only=True)
class BookView:
    """A whole book at one sequence number, best level first: (price, size)."""

    market: str
    seq: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    ts_ns: int


# --- events


@frozen(kw_only=True)
class OrderChanged:
    """An order has a new version; `text` explains a refused modify."""

    order: Order
    cause: Cause
    text: str = ""


@frozen(kw_only=True)
class Filled:
    """A fill happened; the order's own event follows it."""

    fill: Fill


@frozen(kw_only=True)
class FillBusted:
    """The venue took a fill back."""

    fill: Fill
    ts_ns: int


@frozen(kw_only=True)
class PositionChanged:
    """A position has a new version."""

    position: Position


@frozen(kw_only=True)
class AccountChanged:
    """Cash or margin of an account changed."""

    account: str
    balance: Balance
    margin: Margin
    ts_ns: int


@frozen(kw_only=True)
class BookChanged:
    """Levels with their new totals (0 removes) at sequence `seq`, which is the previous one of the market +
    1.
    """

    market: str
    seq: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    ts_ns: int


@frozen(kw_only=True)
class BboChanged:
    """Best bid or ask (price, size) changed; None for an empty side. `seq` is the book's."""

    market: str
    seq: int
    bid: tuple[Decimal, Decimal] | None
    ask: tuple[Decimal, Decimal] | None
    ts_ns: int


@frozen(kw_only=True)
class Traded:
    """A public trade happened."""

    trade: Trade


@frozen(kw_only=True)
class PriceMoved:
    """Mark and index price of a market."""

    market: str
    mark: Decimal
    index: Decimal
    ts_ns: int


@frozen(kw_only=True)
class FundingChanged:
    """A new funding rate (fraction of notional per funding period) and the running index (quote per unit of
    base).
    """

    market: str
    rate: Decimal
    index: Decimal
    ts_ns: int


@frozen(kw_only=True)
class FundingPaid:
    """An account received (positive) or paid (negative) funding."""

    account: str
    market: str
    amount: Decimal
    index: Decimal
    ts_ns: int


@frozen(kw_only=True)
class ModeChanged:
    """Mode of one market, or of the exchange when `market` is None; `halted` stops its matching."""

    market: str | None
    mode: Mode
    halted: bool
    ts_ns: int


Event = (
    OrderChanged
    | Filled
    | FillBusted
    | PositionChanged
    | AccountChanged
    | BookChanged
    | BboChanged
    | Traded
    | PriceMoved
    | FundingChanged
    | FundingPaid
    | ModeChanged
)
