"""A small market, a manual clock, and one-line orders."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from venuekit.runtime.clock import ManualClock
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.market import Market
from venuekit.sim.records import Event, NewOrder, Order, OrderKind, Side

_SUPPORT = str(Path(__file__).parents[2] / "support")
if _SUPPORT not in sys.path:
    # Pytest's importlib mode leaves the path alone.
    sys.path.insert(0, _SUPPORT)

SYMBOL = "AAA-PERP"


def market(**changes: object) -> Market:
    facts: dict[str, object] = {
        "symbol": SYMBOL,
        "base": "AAA",
        "quote": "USD",
        "settlement": "USDC",
        "tick": Decimal("0.5"),
        "lot": Decimal("0.01"),
        "start_price": Decimal(100),
        "min_notional": Decimal(5),
        "max_size": Decimal(1000),
        "maker_fee": Decimal("-0.0001"),
        "taker_fee": Decimal("0.0005"),
        "leverage": Decimal(10),
        "price_band": Decimal("0.1"),
    }
    return Market(**{**facts, **changes})


class Desk:
    """An exchange with funded accounts a, b, c, and every event it told."""

    def __init__(self, clock: ManualClock, rules: Rules | None = None, **changes: object) -> None:
        self.clock = clock
        self.exchange = Exchange(clock, [market(**changes)], rules=rules)
        for account in "abc":
            self.exchange.fund_account(account, Decimal(100_000))
        self.events: list[Event] = []
        self.exchange.listen(self.events.append)

    def request(
        self, account: str, side: str, quantity: str, price: str | None = None, **more: object
    ) -> NewOrder:
        kind = more.pop("kind", OrderKind.MARKET if price is None else OrderKind.LIMIT)
        return NewOrder(
            account=account,
            market=SYMBOL,
            side=Side(side),
            quantity=Decimal(quantity),
            price=None if price is None else Decimal(price),
            kind=kind,
            **more,
        )

    def order(
        self, account: str, side: str, quantity: str, price: str | None = None, **more: object
    ) -> Order:
        return self.exchange.submit(self.request(account, side, quantity, price, **more))

    def now(self, order: Order) -> Order:
        latest = self.exchange.order(order.id)
        assert latest is not None
        return latest

    def of(self, kind: type[Event]) -> list[Event]:
        return [one for one in self.events if isinstance(one, kind)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return Desk(clock)


@pytest.fixture
def make_desk(clock: ManualClock) -> Callable[..., Desk]:
    def make(rules: Rules | None = None, **changes: object) -> Desk:
        return Desk(clock, rules, **changes)

    return make
