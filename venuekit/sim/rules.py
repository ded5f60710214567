"""What an order must satisfy: at the door (form, grid, mode) and at the risk check (size, band, margin,
limits).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.sim.errors import Refusal
from venuekit.sim.records import ZERO, Mode, NewOrder, Order, OrderKind, Reason, Side, Tif

if TYPE_CHECKING:
    from venuekit.sim.market import Market
    from venuekit.sim.records import Position

_STRICTNESS = (Mode.NORMAL, Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.MAINTENANCE)
_MODE_REASONS = {Mode.CANCEL_ONLY: Reason.MODE_CANCEL_ONLY, Mode.MAINTENANCE: Reason.MODE_MAINTENANCE}
_STOPS = (OrderKind.STOP_MARKET, OrderKind.STOP_LIMIT)


@frozen(kw_only=True)
class Rules:
    """What differs between venues. `client_ids`: "any", "open" (unique among open orders of the account) or
    "ever" (unique for good).
    """

    client_ids: str = "open"
    money_places: int = 8
    check_margin: bool = True
    check_bands: bool = True
    liquidate: bool = True


def stricter(one: Mode, other: Mode) -> Mode:
    """The mode that allows less."""
    return max(one, other, key=_STRICTNESS.index)


def on_grid(value: Decimal, step: Decimal) -> bool:
    """True when `value` is a finite whole multiple of `step`."""
    return value.is_finite() and value % step == 0


def check_form(request: NewOrder, market: Market) -> None:
    """Raises Refusal when the order is not well formed or not on the market's grid."""
    check_values(market, request.quantity, request.price, request.trigger_price)
    if request.kind.priced != (request.price is not None):
        raise Refusal(Reason.BAD_REQUEST, "limit types carry a price, market types none")
    if request.kind.conditional != (request.trigger_price is not None):
        raise Refusal(Reason.BAD_REQUEST, "conditional types carry a trigger price, others none")
    if request.post_only and (not request.kind.priced or request.tif is not Tif.GTC):
        raise Refusal(Reason.BAD_REQUEST, "post-only needs a resting limit order")


def check_values(
    market: Market, quantity: Decimal, price: Decimal | None, trigger_price: Decimal | None
) -> None:
    """Raises Refusal when a size or price is not positive or not on the grid, or the size is too large."""
    if not on_grid(quantity, market.lot) or quantity <= 0:
        raise Refusal(Reason.SIZE_STEP, f"size must be a positive multiple of {market.lot}")
    if quantity > market.max_size:
        raise Refusal(Reason.SIZE_ABOVE_MAX, f"size is above {market.max_size}")
    for name, value in (("price", price), ("trigger price", trigger_price)):
        if value is not None and (not on_grid(value, market.tick) or value <= 0):
            raise Refusal(Reason.PRICE_STEP, f"{name} must be a positive multiple of {market.tick}")


def check_mode(mode: Mode, halted: bool, post_only: bool) -> None:
    """Raises Refusal when the mode does not admit this order."""
    if mode in _MODE_REASONS:
        raise Refusal(_MODE_REASONS[mode])
    if mode is Mode.POST_ONLY and not post_only:
        raise Refusal(Reason.MODE_POST_ONLY)
    if halted:
        raise Refusal(Reason.HALTED)


def size_reason(order: Order, market: Market, mark: Decimal, position: Position) -> Reason | None:
    """SIZE_BELOW_MIN when the notional is too small; an order that closes the whole position may be."""
    closes = position.quantity and order.quantity == abs(position.quantity)
    if closes and order.request.reduce_only:
        return None
    return Reason.SIZE_BELOW_MIN if order.quantity * mark < market.min_notional else None


def reduce_reason(order: Order, position: Position) -> Reason | None:
    """REDUCE_ONLY when a reduce-only order would do anything but reduce."""
    if not order.request.reduce_only:
        return None
    held = position.quantity * order.side.opposite.sign
    return Reason.REDUCE_ONLY if order.remaining > held else None


def band_limit(side: Side, market: Market, mark: Decimal) -> Decimal:
    """The worst price at which a taker may trade, on the grid."""
    edge = mark * (1 + side.sign * market.price_band)
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (edge / market.tick).to_integral_value(rounding) * market.tick


def band_reason(order: Order, market: Market, mark: Decimal) -> Reason | None:
    """PRICE_BAND when a limit price is on the aggressive side of the band."""
    if order.price is None:
        return None
    beyond = (order.price - band_limit(order.side, market, mark)) * order.side.sign
    return Reason.PRICE_BAND if beyond > 0 else None


def limit_reason(order: Order, market: Market, position: Position, same_side: Decimal) -> Reason | None:
    """POSITION_LIMIT when all same-side orders filled would exceed the limit."""
    worst = order.remaining + same_side + position.quantity * order.side.sign
    grows = worst > abs(position.quantity)
    return Reason.POSITION_LIMIT if grows and worst > market.position_limit else None


def triggered(order: Order, mark: Decimal) -> bool:
    """True when the mark price has reached the trigger; the direction is the request's, else the type's."""
    trigger = order.trigger_price
    if trigger is None:
        return True
    above = order.request.trigger_above
    if above is None:
        above = (order.request.kind in _STOPS) == (order.side is Side.BUY)
    return mark >= trigger if above else mark <= trigger


def working_sizes(orders: tuple[Order, ...]) -> dict[str, tuple[Decimal, Decimal]]:
    """(buys, sells) still open by market; reduce-only and untriggered orders need no margin of their own."""
    sizes: dict[str, tuple[Decimal, Decimal]] = {}
    for order in orders:
        if order.request.reduce_only:
            continue
        buys, sells = sizes.get(order.market, (ZERO, ZERO))
        if order.side is Side.BUY:
            buys += order.remaining
        else:
            sells += order.remaining
        sizes[order.market] = (buys, sells)
    return sizes
