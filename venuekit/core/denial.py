"""What a venue cannot do is refused here, from its manifest, before anything is on the wire.

Codes are Nautilus's standard denial reasons where one fits.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from nautilus_trader.model import ContingencyType, OrderType, TimeInForce, TriggerType

from venuekit.core.order_state import RAW_SCALE
from venuekit.interfaces.orders import Denied
from venuekit.interfaces.stream import Mode

if TYPE_CHECKING:
    from nautilus_trader.model import Price, Quantity

    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Manifest, OrderFeatures
    from venuekit.interfaces.model import Instrument, Order

STREAM_RECONCILING = Denied(
    "STREAM_RECONCILING", "the private state is not known (connecting or recovering); submit again once it is"
)
"""Nautilus's own reason for an execution stream that is unavailable or recovering."""


def deny_submit(
    order: Order, manifest: Manifest, symbols: Symbols, wall_ns: int, mode: Mode
) -> Denied | None:
    """Why this order cannot be placed at this venue; None: nothing speaks against it."""
    features = manifest.orders
    if features is None:
        return Denied("UNSUPPORTED_ORDER_TYPE", f"{manifest.venue} takes no orders here: data only")
    symbol = symbols.by_id(order.instrument_id)
    if symbol is None:
        return Denied(
            "INSTRUMENT_NOT_FOUND", f"{order.instrument_id} is not an instrument of {manifest.venue}"
        )
    return (
        _deny_mode(order, mode)
        or _deny_kind(order, features)
        or _deny_flags(order, features, symbol.instrument)
        or _deny_trigger(order, features)
        or _deny_expiry(order, wall_ns)
        or _deny_client_id(order, manifest)
        or deny_quantity(order.quantity, symbol.instrument)
        or deny_price(getattr(order, "price", None), symbol.instrument, "price")
        or deny_price(getattr(order, "trigger_price", None), symbol.instrument, "trigger price")
        or _deny_notional(order, symbol.instrument)
    )


def deny_list(orders: int, manifest: Manifest, contingent: bool) -> Denied | None:
    """Why these orders cannot be placed together."""
    if contingent:
        return Denied("UNSUPPORTED_ORDER_LIST", f"{manifest.venue} has no contingent orders")
    return None if orders else Denied("ORDER_LIST_INCOMPLETE", "the list has no orders")


def contingent(order: Order) -> bool:
    """True when the order depends on another one."""
    kind = order.contingency_type
    return (kind is not None and kind != ContingencyType.NO_CONTINGENCY) or order.parent_order_id is not None


def deny_modify(
    order: Order,
    quantity: Quantity | None,
    price: Price | None,
    trigger_price: Price | None,
    manifest: Manifest,
    symbols: Symbols,
) -> Denied | None:
    """Why this change cannot be made; None: nothing speaks against it."""
    allowed = manifest.orders.modify if manifest.orders is not None else frozenset()
    asked = {"quantity": quantity, "price": price, "trigger": trigger_price}
    wrong = [name for name, value in asked.items() if value is not None and name not in allowed]
    if wrong or not allowed:
        what = ", ".join(wrong) or "orders"
        return Denied("UNSUPPORTED_MODIFY", f"{manifest.venue} cannot change {what} of a working order")
    symbol = symbols.by_id(order.instrument_id)
    if symbol is None:
        return Denied(
            "INSTRUMENT_NOT_FOUND", f"{order.instrument_id} is not an instrument of {manifest.venue}"
        )
    if all(value is None for value in asked.values()):
        return Denied("VALIDATION_FAILED", "the change names no value")
    if quantity is not None and quantity.raw <= order.filled_qty.raw:
        return Denied("VALIDATION_FAILED", f"quantity {quantity} is not above the {order.filled_qty} filled")
    instrument = symbol.instrument
    return (
        (deny_quantity(quantity, instrument) if quantity is not None else None)
        or deny_price(price, instrument, "price")
        or deny_price(trigger_price, instrument, "trigger price")
    )


def deny_quantity(quantity: Quantity, instrument: Instrument) -> Denied | None:
    """Why this quantity is not on the instrument's grid or outside its bounds."""
    if quantity.raw <= 0:
        return Denied("QUANTITY_BELOW_MINIMUM", f"quantity {quantity} is not positive")
    if quantity.raw % instrument.size_increment.raw:
        step = instrument.size_increment
        return Denied("QUANTITY_PRECISION_EXCEEDS_MAXIMUM", f"quantity {quantity} is no multiple of {step}")
    if instrument.min_quantity is not None and quantity.raw < instrument.min_quantity.raw:
        return Denied("QUANTITY_BELOW_MINIMUM", f"quantity {quantity} is below {instrument.min_quantity}")
    if instrument.max_quantity is not None and quantity.raw > instrument.max_quantity.raw:
        return Denied("QUANTITY_EXCEEDS_MAXIMUM", f"quantity {quantity} is above {instrument.max_quantity}")
    return None


def deny_price(price: Price | None, instrument: Instrument, what: str) -> Denied | None:
    """Why this price is not on the instrument's grid or outside its bounds."""
    if price is None:
        return None
    if price.raw <= 0:
        return Denied("PRICE_NOT_POSITIVE", f"{what} {price} is not positive")
    if price.raw % instrument.price_increment.raw:
        step = instrument.price_increment
        return Denied("PRICE_PRECISION_EXCEEDS_MAXIMUM", f"{what} {price} is no multiple of {step}")
    if instrument.min_price is not None and price.raw < instrument.min_price.raw:
        return Denied("VALIDATION_FAILED", f"{what} {price} is below {instrument.min_price}")
    if instrument.max_price is not None and price.raw > instrument.max_price.raw:
        return Denied("VALIDATION_FAILED", f"{what} {price} is above {instrument.max_price}")
    return None


def _deny_mode(order: Order, mode: Mode) -> Denied | None:
    if mode is Mode.NORMAL or (mode is Mode.POST_ONLY and _post_only(order)):
        return None
    return Denied("TRADING_HALTED", f"the venue is in mode {mode.value}")


def _deny_kind(order: Order, features: OrderFeatures) -> Denied | None:
    kind = order.order_type.name
    times = features.types.get(kind)
    if times is None:
        return Denied(
            "UNSUPPORTED_ORDER_TYPE", f"{kind}: this venue takes {', '.join(sorted(features.types))}"
        )
    if order.time_in_force.name not in times:
        return Denied(
            "UNSUPPORTED_TIME_IN_FORCE",
            f"{order.time_in_force.name}: {kind} takes {', '.join(sorted(times))}",
        )
    return None


def _deny_flags(order: Order, features: OrderFeatures, instrument: Instrument) -> Denied | None:
    if _post_only(order) and not features.post_only:
        return Denied("UNSUPPORTED_POST_ONLY", "this venue has no post-only orders")
    if order.is_reduce_only and not features.reduce_only:
        return Denied("UNSUPPORTED_REDUCE_ONLY", "this venue has no reduce-only orders")
    if order.is_quote_quantity and not features.quote_quantity:
        return Denied("UNSUPPORTED_QUOTE_QUANTITY", f"quantities of {instrument.id} are in base units")
    shown = getattr(order, "display_qty", None)
    if shown is not None and not features.display_quantity:
        return Denied("UNSUPPORTED_DISPLAY_QTY", "this venue shows whole orders")
    return None


def _deny_trigger(order: Order, features: OrderFeatures) -> Denied | None:
    trigger: TriggerType | None = getattr(order, "trigger_type", None)
    if trigger is None or trigger == TriggerType.NO_TRIGGER:
        needs = getattr(order, "trigger_price", None) is not None
        return (
            Denied("MISSING_TRIGGER_TYPE", "the order has a trigger price and no trigger type")
            if needs
            else None
        )
    if trigger.name not in features.trigger_types:
        known = ", ".join(sorted(features.trigger_types)) or "none"
        return Denied("UNSUPPORTED_TRIGGER_TYPE", f"{trigger.name}: this venue triggers on {known}")
    return None


def _deny_expiry(order: Order, wall_ns: int) -> Denied | None:
    if order.time_in_force != TimeInForce.GTD:
        return None
    expire_ns: int | None = getattr(order, "expire_time", None)
    if not expire_ns:
        return Denied("MISSING_EXPIRE_TIME", "a GTD order needs its expiry")
    if expire_ns <= wall_ns:
        return Denied("EXPIRE_TIME_IN_PAST", f"the expiry {expire_ns} has passed")
    return None


def _deny_client_id(order: Order, manifest: Manifest) -> Denied | None:
    rules = manifest.ids
    if rules is None:
        return None
    name = order.client_order_id.value
    if len(name) > rules.client_id_max:
        return Denied("INVALID_CLIENT_ORDER_ID", f"{name} is longer than {rules.client_id_max} characters")
    if _compiled(rules.client_id_pattern).fullmatch(name) is None:
        return Denied("INVALID_CLIENT_ORDER_ID", f"{name} does not match {rules.client_id_pattern}")
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """`re` keeps it as well, and takes longer to find it than to match."""
    return re.compile(pattern)


def _deny_notional(order: Order, instrument: Instrument) -> Denied | None:
    """Bounds on price times quantity, where there is a price; a reducing order may close what is left."""
    price: Price | None = getattr(order, "price", None)
    if price is None or order.is_reduce_only or order.order_type == OrderType.MARKET:
        return None
    value_raw = price.raw * order.quantity.raw * instrument.multiplier.raw // RAW_SCALE
    low, high = instrument.min_notional, instrument.max_notional
    if low is not None and value_raw < low.raw * RAW_SCALE:
        return Denied("NOTIONAL_BELOW_MINIMUM", f"{price} x {order.quantity} is below {low}")
    if high is not None and value_raw > high.raw * RAW_SCALE:
        return Denied("NOTIONAL_EXCEEDS_MAXIMUM", f"{price} x {order.quantity} is above {high}")
    return None


def _post_only(order: Order) -> bool:
    return bool(getattr(order, "is_post_only", False))
