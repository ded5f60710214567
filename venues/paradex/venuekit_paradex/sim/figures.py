"""Numbers and names as the wire spells them, shared by the JSON and the SBE side."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.sim.records import FillKind, Liquidity, Order, OrderStatus, Tif

if TYPE_CHECKING:
    from venuekit.sim.market import Market
    from venuekit.sim.records import Balance, BookView, Fill, Margin, Position

ZERO = Decimal(0)
GRID = Decimal("1e-8")
"""Prices and amounts have at most eight decimals (`paraclear_decimals`)."""

FILL_TYPES = {
    FillKind.TRADE: "FILL",
    FillKind.LIQUIDATION: "LIQUIDATION",
    FillKind.TRANSFER: "UNWIND_TRANSFER",
}


def rounded(value: Decimal) -> Decimal:
    """`value` on the venue's grid of eight decimals."""
    return value.quantize(GRID, rounding=ROUND_HALF_EVEN)


def text(value: Decimal | None) -> str:
    """Plain decimal text without trailing zeros; empty for None."""
    if value is None:
        return ""
    plain = format(rounded(value), "f").rstrip("0").rstrip(".")
    return plain if plain not in ("", "-0") else "0"


def millis(ns: int) -> int:
    """Unix milliseconds."""
    return ns // 1_000_000


def micros(ns: int) -> int:
    """Unix microseconds."""
    return ns // 1_000


def status(order: Order) -> str:
    """The venue's four states: the exchange's three ends are all CLOSED."""
    return "CLOSED" if order.closed else order.status.value


def remaining(order: Order) -> Decimal:
    """Size still open; what was left for a closed one."""
    return ZERO if order.status is OrderStatus.FILLED else order.remaining


def tag(order: Order, name: str) -> str:
    """What the client wrote in a field that the exchange does not know."""
    return str(order.request.tags.get(name, ""))


def order_type(order: Order) -> str:
    """The venue's type; orders that did not come through the API have the exchange's."""
    return tag(order, "type") or order.request.kind.value


def instruction(order: Order) -> str:
    """The venue's instruction, GTC when empty."""
    written = tag(order, "instruction")
    if written:
        return written
    if order.request.post_only:
        return "POST_ONLY"
    return "IOC" if order.request.tif is not Tif.GTC else "GTC"


def flags(order: Order) -> list[str]:
    """The order's flags as sent."""
    return [flag for flag in tag(order, "flags").split(",") if flag]


def sequence(updated_ns: int, version: int) -> int:
    """A number that grows with every version of one object and leaves gaps, as the venue's do."""
    return updated_ns + version


def liquidity(fill: Fill) -> str:
    """MAKER or TAKER; transfers count as TAKER."""
    return fill.liquidity.value if fill.liquidity is not Liquidity.NONE else "TAKER"


@frozen
class RequestInfo:
    """The last modify request of an order."""

    id: str
    status: str
    message: str = ""
    request_type: str = "MODIFY_ORDER"


@frozen(kw_only=True)
class MarketState:
    """What a market summary is made of."""

    market: Market
    book: BookView
    mark: Decimal
    index: Decimal
    last: Decimal
    volume: Decimal
    total_volume: Decimal
    open_interest: Decimal
    change: Decimal
    rate: Decimal
    funding_index: Decimal
    ts_ns: int


@frozen(kw_only=True)
class AccountState:
    """What an account summary is made of."""

    account: str
    margin: Margin
    balance: Balance
    ts_ns: int


@frozen(kw_only=True)
class PositionState:
    """A position with the prices that value it."""

    position: Position
    market: Market
    mark: Decimal
    funding_index: Decimal

    @property
    def open(self) -> bool:
        """True while there is size."""
        return bool(self.position.quantity)

    @property
    def side(self) -> str:
        """LONG or SHORT; a closed one says LONG."""
        return "SHORT" if self.position.quantity < 0 else "LONG"
