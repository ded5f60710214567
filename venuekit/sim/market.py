"""A market's facts, and how busy its crowd is."""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen


@frozen(kw_only=True)
class Market:
    """A linear perpetual. Fees and bands are fractions (0.0003 = 3 bps), sizes in base, `min_notional` in
    quote.
    """

    symbol: str
    base: str
    quote: str
    settlement: str
    tick: Decimal
    lot: Decimal
    start_price: Decimal
    min_notional: Decimal = Decimal(10)
    max_size: Decimal = Decimal(1000)
    position_limit: Decimal = Decimal(10000)
    max_open_orders: int = 150
    maker_fee: Decimal = Decimal("0.00003")
    taker_fee: Decimal = Decimal("0.0003")
    leverage: Decimal = Decimal(20)
    maintenance_factor: Decimal = Decimal("0.5")
    price_band: Decimal = Decimal("0.05")
    funding_period_hours: int = 8


@frozen(kw_only=True)
class LiquidityPlan:
    """How busy a market is: rates are events a second (0: never), `walk_bps` the largest single step of the
    index.

    Makers quote `levels` on both sides; takers hit the best quotes; hunters pick a user's resting order
    within `hunter_reach_ticks` of the best price and take all that stands before it and some of it.
    """

    levels: int = 10
    half_spread_ticks: int = 5
    level_step_ticks: int = 5
    level_lots: int = 200
    step_ms: int = 200
    walk_bps: Decimal = Decimal("0.5")
    requote_rate: float = 10.0
    taker_rate: float = 2.0
    taker_lots: int = 50
    hunter_rate: float = 2.0
    hunter_reach_ticks: int = 50
