"""The smallest adapter NautilusTrader accepts, every hook scriptable; the traps are shown on it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.config import (
    DataClientConfig,
    ExecutionClientConfig,
    InstrumentProviderConfig,
    LiveExecutionEngineConfig,
    LiveNodeConfig,
    StrategyConfig,
)
from nautilus_trader.live import InstrumentProvider, LiveNode
from nautilus_trader.live.clients import (
    DataClientFactory,
    ExecutionClient,
    ExecutionClientFactory,
    MarketDataClient,
)
from nautilus_trader.model import (
    AccountBalance,
    AccountId,
    AccountType,
    ClientOrderId,
    CryptoPerpetual,
    Currency,
    FillReport,
    InstrumentId,
    LiquiditySide,
    Money,
    OmsType,
    OrderSide,
    OrderStatus,
    OrderStatusReport,
    OrderType,
    PositionSide,
    PositionStatusReport,
    Price,
    Quantity,
    QuoteTick,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.trading import Strategy

USD = Currency.from_str("USD")
BOUND_SECS = 8.0
_node_numbers = itertools.count(1)


def instrument_id(venue: str = "V", symbol: str = "BTC-PERP") -> InstrumentId:
    return InstrumentId(Symbol(symbol), Venue(venue))


def perpetual(venue: str = "V", symbol: str = "BTC-PERP") -> CryptoPerpetual:
    """Price precision 1, size precision 3."""
    return CryptoPerpetual(
        instrument_id=instrument_id(venue, symbol),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str("BTC"),
        quote_currency=USD,
        settlement_currency=USD,
        is_inverse=False,
        price_precision=1,
        size_precision=3,
        price_increment=Price.from_str("0.1"),
        size_increment=Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
    )


class BareProvider(InstrumentProvider):
    """Holds the instruments it was given."""

    def __init__(self, instruments: Sequence[Any]) -> None:
        super().__init__(InstrumentProviderConfig(load_all=True))
        self._given = instruments

    async def load_all_async(self, filters: Any = None) -> None:
        self.add_bulk(list(self._given))


class BareData(MarketDataClient):
    """Calls `script[hook](client, command)` where there is such an entry; keeps every call."""

    def __init__(
        self, name: str, config: Any, cache: Any, clock: Any, venue: str, script: dict[str, Any]
    ) -> None:
        instruments = script.get("instruments", [perpetual(venue)])
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            venue=Venue(venue),
            instrument_provider=BareProvider(instruments),
        )
        self.script = script
        self.calls: list[tuple[str, Any, float]] = []

    async def _run(self, hook: str, command: Any) -> None:
        self.calls.append((hook, command, time.monotonic()))
        step = self.script.get(hook)
        if step is not None:
            outcome = step(self, command)
            if outcome is not None:
                await outcome

    def seen(self, hook: str) -> list[Any]:
        """The commands of one hook, in order."""
        return [command for name, command, _at in self.calls if name == hook]

    async def _connect(self) -> None:
        await self.instrument_provider.initialize()
        if self.script.get("publish", True):
            for instrument in self.instrument_provider.list_all():
                self._handle_instrument(instrument)
        await self._run("connect", None)

    async def _disconnect(self) -> None:
        await self._run("disconnect", None)

    async def _subscribe_quotes(self, command: Any) -> None:
        await self._run("subscribe_quotes", command)

    async def _unsubscribe_quotes(self, command: Any) -> None:
        await self._run("unsubscribe_quotes", command)

    async def _subscribe_trades(self, command: Any) -> None:
        await self._run("subscribe_trades", command)

    async def _unsubscribe_trades(self, command: Any) -> None:
        await self._run("unsubscribe_trades", command)

    async def _subscribe_book_deltas(self, command: Any) -> None:
        await self._run("subscribe_book_deltas", command)

    async def _unsubscribe_book_deltas(self, command: Any) -> None:
        await self._run("unsubscribe_book_deltas", command)

    async def _request_quotes(self, request: Any) -> None:
        await self._run("request_quotes", request)

    async def _request_bars(self, request: Any) -> None:
        await self._run("request_bars", request)


class BareExecution(ExecutionClient):
    """As `BareData`; a missing `submit` step accepts every order with venue id `V-<client order id>`."""

    def __init__(
        self,
        name: str,
        config: Any,
        cache: Any,
        clock: Any,
        trader_id: Any,
        venue: str,
        script: dict[str, Any],
    ) -> None:
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            trader_id=trader_id,
            venue=Venue(venue),
            account_id=AccountId(script.get("account", f"{name}-001")),
            account_type=AccountType.MARGIN,
            oms_type=OmsType.NETTING,
        )
        self.script = script
        self.calls: list[tuple[str, Any, float]] = []

    async def _run(self, hook: str, command: Any, default: Any = None) -> Any:
        self.calls.append((hook, command, time.monotonic()))
        step = self.script.get(hook, default)
        outcome = step(self, command) if step is not None else None
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    def seen(self, hook: str) -> list[Any]:
        """The commands of one hook, in order."""
        return [command for name, command, _at in self.calls if name == hook]

    async def _connect(self) -> None:
        balance = AccountBalance(Money(1e6, USD), Money(0, USD), Money(1e6, USD))
        self.generate_account_state([balance], [], True, self.clock.timestamp_ns())
        await self._run("connect", None)

    async def _disconnect(self) -> None:
        await self._run("disconnect", None)

    async def _submit_order(self, command: Any) -> None:
        await self._run("submit", command, accept)

    async def _submit_order_list(self, command: Any) -> None:
        await self._run("submit_list", command)

    async def _modify_order(self, command: Any) -> None:
        await self._run("modify", command)

    async def _cancel_order(self, command: Any) -> None:
        await self._run("cancel", command)

    async def _cancel_all_orders(self, command: Any) -> None:
        await self._run("cancel_all", command)

    async def _query_order(self, command: Any) -> None:
        await self._run("query_order", command)

    async def _query_account(self, command: Any) -> None:
        await self._run("query_account", command)

    async def _register_external_order(
        self, client_order_id: Any, venue_order_id: Any, instrument_id: Any, strategy_id: Any, ts_init: int
    ) -> None:
        await self._run("external", (client_order_id, venue_order_id, strategy_id))

    async def _generate_mass_status(self, lookback_mins: int | None) -> Any:
        return await self._run("mass_status", lookback_mins, lambda _client, _mins: NotImplemented)

    async def _generate_order_status_report(self, command: Any) -> Any:
        return await self._run("order_report", command)

    async def _generate_order_status_reports(self, command: Any) -> Any:
        return await self._run("order_reports", command, lambda _client, _command: [])

    async def _generate_fill_reports(self, command: Any) -> Any:
        return await self._run("fill_reports", command, lambda _client, _command: [])

    async def _generate_position_status_reports(self, command: Any) -> Any:
        return await self._run("position_reports", command, lambda _client, _command: [])


def accept(client: BareExecution, command: Any) -> None:
    """Submitted and accepted at once."""
    client.generate_order_submitted(command.order)
    now = client.clock.timestamp_ns()
    client.generate_order_accepted(command.order, venue_order_id_of(command.order), now)


def submitted_only(client: BareExecution, command: Any) -> None:
    """Submitted, then silence."""
    client.generate_order_submitted(command.order)


def venue_order_id_of(order: Any) -> VenueOrderId:
    return VenueOrderId(f"V-{order.client_order_id.value}")


def order_report(
    order: Any,
    status: OrderStatus,
    *,
    account: str = "V-001",
    filled: str = "0.000",
    quantity: str | None = None,
    price: str | None = None,
    venue_order_id: str | None = None,
) -> OrderStatusReport:
    """A report of a local order as the venue would give it."""
    now = time.time_ns()
    return OrderStatusReport(
        account_id=AccountId(account),
        instrument_id=order.instrument_id,
        venue_order_id=VenueOrderId(venue_order_id) if venue_order_id else venue_order_id_of(order),
        order_side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        order_status=status,
        quantity=Quantity.from_str(quantity) if quantity else order.quantity,
        filled_qty=Quantity.from_str(filled),
        ts_accepted=now,
        ts_last=now,
        ts_init=now,
        client_order_id=order.client_order_id,
        price=Price.from_str(price) if price else order.price,
        avg_px=Decimal("100.0") if filled != "0.000" else None,
    )


def venue_report(
    venue_order_id: str,
    status: OrderStatus,
    *,
    client_order_id: str | None = None,
    filled: str = "0.000",
    at: str = "100.0",
) -> OrderStatusReport:
    """A buy of 0.010 that only the venue knows."""
    now = time.time_ns()
    return OrderStatusReport(
        account_id=AccountId("V-001"),
        instrument_id=instrument_id(),
        venue_order_id=VenueOrderId(venue_order_id),
        order_side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_status=status,
        quantity=Quantity.from_str("0.010"),
        filled_qty=Quantity.from_str(filled),
        ts_accepted=now,
        ts_last=now,
        ts_init=now,
        client_order_id=ClientOrderId(client_order_id) if client_order_id else None,
        price=Price.from_str(at),
        avg_px=Decimal(at) if filled != "0.000" else None,
    )


def fill_report(
    venue_order_id: str,
    trade_id: str,
    quantity: str,
    *,
    client_order_id: Any = None,
    at: str = "100.0",
    fee: float = 0.01,
) -> FillReport:
    """A maker buy."""
    now = time.time_ns()
    return FillReport(
        account_id=AccountId("V-001"),
        instrument_id=instrument_id(),
        venue_order_id=VenueOrderId(venue_order_id),
        trade_id=TradeId(trade_id),
        order_side=OrderSide.BUY,
        last_qty=Quantity.from_str(quantity),
        last_px=Price.from_str(at),
        commission=Money(fee, USD),
        liquidity_side=LiquiditySide.MAKER,
        ts_event=now,
        ts_init=now,
        client_order_id=client_order_id,
    )


def position_report(
    quantity: str, side: PositionSide = PositionSide.LONG, avg: str | None = "100.0"
) -> PositionStatusReport:
    now = time.time_ns()
    return PositionStatusReport(
        account_id=AccountId("V-001"),
        instrument_id=instrument_id(),
        position_side=side,
        quantity=Quantity.from_str(quantity),
        ts_last=now,
        ts_init=now,
        avg_px_open=Decimal(avg) if avg else None,
    )


def quote(bid: str = "99.9", ask: str = "100.1") -> QuoteTick:
    now, size = time.time_ns(), Quantity.from_str("1.000")
    return QuoteTick(instrument_id(), Price.from_str(bid), Price.from_str(ask), size, size, now, now)


class Recorder(Strategy):
    """Keeps every order event and quote in `seen`; `on_begin` runs in `on_start`."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config or StrategyConfig(strategy_id=StrategyId("REC-001")))
        self.seen: list[Any] = []
        self.market_data: list[Any] = []
        self.history: list[Any] = []
        self.on_begin: Callable[[Recorder], None] = lambda _strategy: None

    def on_start(self) -> None:
        self.on_begin(self)

    def on_order_event(self, event: Any) -> None:
        self.seen.append(event)

    def on_quote(self, tick: Any) -> None:
        self.market_data.append(tick)

    def on_trade(self, tick: Any) -> None:
        self.market_data.append(tick)

    def on_book_deltas(self, deltas: Any) -> None:
        self.market_data.append(deltas)

    def on_historical_quotes(self, quotes: Any) -> None:
        self.history.append(quotes)

    def kinds(self) -> list[str]:
        """The class names of the order events seen so far."""
        return [type(event).__name__ for event in self.seen]

    def buy(self, quantity: str = "0.010", at: str = "100.0", **options: Any) -> Any:
        """Submits a limit buy and returns the order."""
        order = self.order_factory.limit(
            instrument_id(), OrderSide.BUY, Quantity.from_str(quantity), Price.from_str(at)
        )
        self.submit_order(order, **options)
        return order


class Rig:
    """One running node with one bare venue, a recorder and what they saw."""

    def __init__(self, node: LiveNode, data: dict[str, Any], execution: dict[str, Any]) -> None:
        self.node = node
        self.data = data
        self.execution = execution
        self.recorder = Recorder()
        self.handle = node.handle()
        self.cache = node.cache
        node.add_strategy(self.recorder)

    def drop(self) -> None:
        """Disposes the node and lets go of it; a thread has room for one until its last reference is gone."""
        self.node.dispose()
        del self.node, self.cache, self.handle
        gc.collect()

    def order(self, order: Any) -> Any:
        """The cache's copy of an order."""
        return self.cache.order(order.client_order_id)

    async def until(
        self, condition: Callable[[], object], what: str = "condition", bound_secs: float = BOUND_SECS
    ) -> None:
        """Returns when `condition()` is true; fails after the bound."""
        end = time.monotonic() + bound_secs
        while not condition():
            assert time.monotonic() < end, f"not reached in {bound_secs} s: {what}"
            await asyncio.sleep(0.002)


def _factories(
    venue: str, script: dict[str, Any], data: dict[str, BareData], execution: dict[str, BareExecution]
) -> tuple[DataClientFactory, ExecutionClientFactory]:
    class DataFactory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> BareData:
            data[name] = BareData(name, config, cache, clock, venue, script)
            return data[name]

    class ExecutionFactory(ExecutionClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: Any) -> BareExecution:
            execution[name] = BareExecution(name, config, cache, clock, trader_id, venue, script)
            return execution[name]

    return DataFactory(), ExecutionFactory()


def engine_config(**options: Any) -> LiveExecutionEngineConfig:
    """Checks scaled down to tens of milliseconds where a test switches them on."""
    return LiveExecutionEngineConfig(**options)


def build(
    scripts: dict[str, dict[str, Any]] | None = None,
    *,
    engine: LiveExecutionEngineConfig | None = None,
    **node_options: Any,
) -> Rig:
    """A node with one data and one execution client per entry of `scripts` (client name -> script)."""
    scripts = scripts if scripts is not None else {"V": {}}
    data: dict[str, BareData] = {}
    execution: dict[str, BareExecution] = {}
    data_factories: dict[str, Any] = {}
    exec_factories: dict[str, Any] = {}
    for name, script in scripts.items():
        data_factories[name], exec_factories[name] = _factories(
            script.get("venue", name), script, data, execution
        )
    data_configs = {name: DataClientConfig() for name in scripts}
    exec_configs = {
        name: ExecutionClientConfig(routing=script.get("routing")) for name, script in scripts.items()
    }
    node = make_node(
        data_configs, exec_configs, data_factories, exec_factories, engine or engine_config(), **node_options
    )
    return Rig(node, data, execution)


def make_node(
    data_configs: dict[str, Any],
    exec_configs: dict[str, Any],
    data_factories: dict[str, Any],
    exec_factories: dict[str, Any],
    engine: LiveExecutionEngineConfig,
    **node_options: Any,
) -> LiveNode:
    """A silent node that stops without delay."""
    node_options.setdefault("timeout_connection_secs", 3.0)
    node_options.setdefault("delay_post_stop_secs", 0.0)
    node_options.setdefault("logging", LoggerConfig(stdout_level=LogLevel.OFF, bypass_logging=True))
    config = LiveNodeConfig(
        environment=Environment.LIVE,
        trader_id=TraderId("T-001"),
        exec_engine=engine,
        data_clients=data_configs,
        exec_clients=exec_configs,
        **node_options,
    )
    gc.collect()  # a node that ended with an exception is still held by that exception's frames
    name = f"N{next(_node_numbers)}"
    return LiveNode.build(name, config, data_factories=data_factories, exec_factories=exec_factories)


def run(rig: Rig, body: Callable[[Rig], Awaitable[None]]) -> None:
    """Runs the node and `body` in it, then stops and disposes it; what `run_async` raises comes through."""

    async def main() -> None:
        running = asyncio.ensure_future(rig.node.run_async())
        try:
            end = time.monotonic() + BOUND_SECS
            while not (rig.handle.is_running and rig.recorder.is_running()):
                if running.done():
                    break
                assert time.monotonic() < end, "the node did not start"
                await asyncio.sleep(0.002)
            if not running.done():
                await body(rig)
        finally:
            rig.handle.stop()
            await running

    try:
        asyncio.run(main())
    finally:
        rig.drop()
