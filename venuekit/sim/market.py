"""A market's facts, and the seeded crowd that trades in it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from venuekit.interfaces.time import Clock
    from venuekit.sim.exchange import Exchange


@frozen(kw_only=True)
class Market:
    """A linear perpetual. Fees and bands are fractions (0.0003 = 3 bps); sizes are in base, `min_notional` in
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
    """How busy a market is. Rates are events a second; sizes are in lots; `walk_bps` is one standard step of
    the index.
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


class Crowd:
    """Makers that quote around a random walk, takers, and hunters that fill users' resting orders in time
    priority.
    """

    def __init__(self, exchange: Exchange, clock: Clock, symbol: str, plan: LiquidityPlan, seed: int) -> None:
        """Nothing moves before `start`; the same seed and the same inputs give the same ledger."""
        raise NotImplementedError

    def start(self) -> None:
        """The book is quoted and timers are running."""
        raise NotImplementedError

    def stop(self) -> None:
        """No timer of this crowd is pending; its quotes stay."""
        raise NotImplementedError
