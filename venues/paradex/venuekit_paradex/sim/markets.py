"""The simulator's two markets: figures of the size that the venue publishes for its own."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from venuekit.sim.market import LiquidityPlan, Market

if TYPE_CHECKING:
    from venuekit_paradex.sim.settings import Settings


def _perpetual(base: str, tick: str, lot: str, price: str, largest: str, limit: str) -> Market:
    return Market(
        symbol=f"{base}-USD-PERP",
        base=base,
        quote="USD",
        settlement="USDC",
        tick=Decimal(tick),
        lot=Decimal(lot),
        start_price=Decimal(price),
        min_notional=Decimal(10),
        max_size=Decimal(largest),
        position_limit=Decimal(limit),
        max_open_orders=150,
        maker_fee=Decimal("0.00003"),
        taker_fee=Decimal("0.00045"),
        leverage=Decimal(50),
        maintenance_factor=Decimal("0.5"),
        price_band=Decimal("0.05"),
        funding_period_hours=8,
    )


MARKETS = (
    _perpetual("BTC", "0.1", "0.00001", "83477.2", "100", "500"),
    _perpetual("ETH", "0.01", "0.001", "3021.55", "1000", "5000"),
)

_LEVEL_NOTIONAL = 4_200


def plan(market: Market, settings: Settings) -> LiquidityPlan:
    """How the crowd trades in a market: levels worth some thousand, takers a tenth of one."""
    affordable = int(_LEVEL_NOTIONAL / (market.start_price * market.lot))
    level_lots = max(1, min(affordable, int(market.max_size / market.lot)))
    return LiquidityPlan(
        levels=settings.levels,
        level_lots=level_lots,
        taker_lots=max(1, level_lots // 10),
        step_ms=settings.step_ms,
        walk_bps=Decimal(settings.walk_bps),
        requote_rate=settings.requote_rate,
        taker_rate=settings.taker_rate,
        hunter_rate=settings.hunter_rate,
    )


SIMPLE_MARKETS = tuple(
    evolve(one, leverage=Decimal(10), maker_fee=Decimal("0.0001"), taker_fee=Decimal("0.0001"))
    for one in MARKETS
)
"""The same two as the simple door promises them: 10x, 0.01 % for makers and takers."""
