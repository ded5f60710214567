"""The seeded crowd of one market: a random walk, makers, takers, hunters that fill users' resting orders."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from venuekit.sim.records import Mode, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.market import LiquidityPlan, Market

_SECOND_NS = 1_000_000_000
_MS_NS = 1_000_000
_PRICE_UNIT = Decimal("0.00000001")
_STEP_PARTS = 1_000
_PULL = Decimal("0.002")
"""Share of the way back to the start price that each step takes: long runs stay in the neighbourhood."""
_REFRESH = 0.3
"""Chance of one level to change its size at a requote."""


class Crowd:
    """Trades in one market by the clock's timers; the same seed and the same inputs give the same ledger."""

    def __init__(self, exchange: Exchange, clock: Clock, symbol: str, plan: LiquidityPlan, seed: int) -> None:
        self._exchange = exchange
        self._clock = clock
        self._symbol = symbol
        self._plan = plan
        # Each actor draws from its own stream, so what a user does never bends the price path.
        self._walk = Random(f"{seed}:{symbol}:walk")
        self._maker = Random(f"{seed}:{symbol}:maker")
        self._taker = Random(f"{seed}:{symbol}:taker")
        self._hunter = Random(f"{seed}:{symbol}:hunter")
        self._timers: dict[str, Cancel] = {}
        self._lots = {side: [plan.level_lots] * plan.levels for side in Side}

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return bool(self._timers)

    def start(self) -> None:
        """The book is quoted and timers are running."""
        if self.running:
            return
        plan = self._plan
        self.requote()
        # Must be positive: a market without a walk has `walk_bps` 0.
        self._repeat("walk", self._walk, plan.step_ms * _MS_NS, self.step)
        for name, draws, rate, act in (
            ("maker", self._maker, plan.requote_rate, self.requote),
            ("taker", self._taker, plan.taker_rate, self.take),
            ("hunter", self._hunter, plan.hunter_rate, self.hunt),
        ):
            if rate > 0:
                self._repeat(name, draws, int(_SECOND_NS / rate), act)

    def stop(self) -> None:
        """No timer of this crowd is pending; its quotes stay."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def step(self) -> None:
        """Index and mark moved by one step of the walk."""
        market = self._market()
        index = self._exchange.index(self._symbol)
        part = Decimal(self._walk.randint(-_STEP_PARTS, _STEP_PARTS)) / _STEP_PARTS
        moved = index * (1 + part * self._plan.walk_bps / 10_000) + (market.start_price - index) * _PULL
        moved = max(moved.quantize(_PRICE_UNIT), market.tick)
        self._exchange.set_price(self._symbol, moved, moved)

    def requote(self) -> None:
        """The makers' quotes stand around the index."""
        if not self._tradable():
            return
        market, plan = self._market(), self._plan
        centre = int((self._exchange.index(self._symbol) / market.tick).to_integral_value())
        quotes: dict[Side, dict[Decimal, Decimal]] = {}
        for side in Side:
            lots = self._lots[side]
            quotes[side] = {}
            for level in range(plan.levels):
                if self._maker.random() < _REFRESH:
                    lots[level] = max(1, plan.level_lots * self._maker.randint(50, 150) // 100)
                ticks = centre - side.sign * (plan.half_spread_ticks + level * plan.level_step_ticks)
                if ticks > 0:
                    quotes[side][ticks * market.tick] = lots[level] * market.lot
        self._exchange.set_quotes(self._symbol, quotes[Side.BUY], quotes[Side.SELL])

    def take(self) -> None:
        """A taker hit the best quote of a random side."""
        side = Side.BUY if self._taker.random() < 0.5 else Side.SELL
        lots = self._taker.randint(1, max(1, self._plan.taker_lots))
        view = self._exchange.book(self._symbol, 1)
        best = view.asks if side is Side.BUY else view.bids
        if best and self._tradable():
            self._exchange.take(self._symbol, side, lots * self._market().lot, best[0][0])

    def hunt(self) -> None:
        """A user's resting order near the best price was filled in its turn, at least in part."""
        pick, share = self._hunter.random(), self._hunter.randint(20, 120)
        market = self._market()
        reach = self._plan.hunter_reach_ticks * market.tick
        view = self._exchange.book(self._symbol, 1)
        best = {Side.BUY: view.bids, Side.SELL: view.asks}
        near = [
            one
            for one in self._exchange.users_resting(self._symbol)
            if best[one.side] and abs(one.price - best[one.side][0][0]) <= reach
        ]
        if not near or not self._tradable():
            return
        prey = near[int(pick * len(near))]
        ahead = self._exchange.size_ahead(prey.order_id)
        lots = max(1, int(prey.remaining / market.lot) * min(share, 100) // 100)
        size = min((ahead or Decimal(0)) + lots * market.lot, market.max_size)
        self._exchange.take(self._symbol, prey.side.opposite, size, prey.price)

    def _market(self) -> Market:
        return self._exchange.market(self._symbol)

    def _tradable(self) -> bool:
        return self._exchange.mode(self._symbol) is Mode.NORMAL and not self._exchange.halted(self._symbol)

    def _repeat(self, name: str, draws: Random, period_ns: int, act: Callable[[], None]) -> None:
        # Half to one and a half periods: actors of equal rate do not march in step.
        due_ns = self._clock.mono_ns() + draws.randrange(period_ns // 2, period_ns * 3 // 2)

        def fire() -> None:
            if name in self._timers:
                self._repeat(name, draws, period_ns, act)
                act()

        self._timers[name] = self._clock.call_at(due_ns, fire)
