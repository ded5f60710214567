"""Fixtures for the client side of Paradex."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    ClientOrderId,
    InstrumentId,
    LimitOrder,
    MarketOrder,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
    TimeInForce,
    TraderId,
)
from venuekit_paradex.instruments import ParadexInstruments

from venuekit.core.symbols import Symbols
from venuekit.interfaces.request import HttpRequest, Reply
from venuekit.runtime.clock import ManualClock

DATA = Path(__file__).parent / "data"
BTC = InstrumentId.from_str("BTC-USD-PERP.PARADEX")
LOG = logging.getLogger("tests.paradex")


class Tally(Counter):
    """Counters that a test can read."""

    def inc(self, name: str, n: int = 1) -> None:
        self[name] += n


class ScriptedPort:
    """A request port that answers from a table of (method, path) and keeps what it was asked."""

    def __init__(self, answers: Mapping[tuple[str, str], object]) -> None:
        self.answers = dict(answers)
        self.asked: list[HttpRequest] = []

    async def send(self, request: HttpRequest, *, on_sent: Callable[[], None] = lambda: None) -> Reply:
        self.asked.append(request)
        answer = self.answers.get((request.method, request.path))
        if callable(answer):
            answer = answer(request)
        if answer is None:
            error = {"error": "ORDER_ID_NOT_FOUND", "message": "no such order", "data": None}
            return Reply(400, json.dumps(error).encode())
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def read_data(name: str) -> object:
    return json.loads((DATA / name).read_text())


def market(
    symbol: str = "BTC-USD-PERP", tick: str = "0.1", lot: str = "0.00001", **more: object
) -> dict[str, object]:
    """A market row with the steps of the captured production books."""
    return {
        "symbol": symbol,
        "base_currency": str(symbol).partition("-")[0],
        "quote_currency": "USD",
        "settlement_currency": "USDC",
        "order_size_increment": lot,
        "price_tick_size": tick,
        "asset_kind": "PERP",
        "max_order_size": "100",
        "delta1_cross_margin_params": {"imf_base": "0.02", "mmf_factor": "0.5"},
        **more,
    }


def load_symbols(*markets: dict[str, object]) -> Symbols:
    symbols = Symbols()
    port = ScriptedPort({("GET", "/markets"): {"results": list(markets)}})
    source = ParadexInstruments(
        port=port, symbols=symbols, venue="PARADEX", clock=ManualClock(), counters=Tally(), log=LOG
    )
    asyncio.run(source.load(None))
    return symbols


@pytest.fixture
def symbols() -> Symbols:
    """BTC-USD-PERP and ETH-USD-PERP with the steps of production."""
    return load_symbols(market(), market("ETH-USD-PERP", "0.01", "0.0001"))


@pytest.fixture
def fine_symbols() -> Symbols:
    """The same with the finest steps the wire can carry."""
    fine = "0.00000001"
    return load_symbols(market(tick=fine, lot=fine), market("ETH-USD-PERP", fine, fine))


def limit_order(
    client_id: str = "O-1",
    side: OrderSide = OrderSide.BUY,
    quantity: str = "0.10000",
    price: str = "95000.5",
    time_in_force: TimeInForce = TimeInForce.GTC,
    instrument_id: InstrumentId = BTC,
    *,
    post_only: bool = False,
    reduce_only: bool = False,
) -> LimitOrder:
    return LimitOrder(
        trader_id=TraderId("T-1"),
        strategy_id=StrategyId("S-1"),
        instrument_id=instrument_id,
        client_order_id=ClientOrderId(client_id),
        order_side=side,
        quantity=Quantity.from_str(quantity),
        price=Price.from_str(price),
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
        quote_quantity=False,
        init_id=UUID4(),
        ts_init=0,
    )


def market_order(
    client_id: str = "O-1",
    side: OrderSide = OrderSide.BUY,
    quantity: str = "0.10000",
    time_in_force: TimeInForce = TimeInForce.GTC,
    instrument_id: InstrumentId = BTC,
    *,
    reduce_only: bool = False,
) -> MarketOrder:
    return MarketOrder(
        trader_id=TraderId("T-1"),
        strategy_id=StrategyId("S-1"),
        instrument_id=instrument_id,
        client_order_id=ClientOrderId(client_id),
        order_side=side,
        quantity=Quantity.from_str(quantity),
        init_id=UUID4(),
        ts_init=0,
        time_in_force=time_in_force,
        reduce_only=reduce_only,
        quote_quantity=False,
    )


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Everything above, for tests that need more than a fixture."""
    return SimpleNamespace(
        BTC=BTC,
        LOG=LOG,
        Tally=Tally,
        ScriptedPort=ScriptedPort,
        data=read_data,
        market=market,
        load_symbols=load_symbols,
        limit_order=limit_order,
        market_order=market_order,
    )
