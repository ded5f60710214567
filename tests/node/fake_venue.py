"""Fake services behind the real bridge: they keep what they were asked; tests speak through their sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import bare_node as bare
from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import (
    AccountBalance,
    AccountId,
    Money,
    OrderStatus,
    OrderStatusReport,
)

from venuekit.core.symbols import Symbols
from venuekit.interfaces.manifest import (
    BookRule,
    Chain,
    DataFeature,
    Environment,
    Manifest,
    OrderFeatures,
    SnapshotFrom,
)
from venuekit.interfaces.stream import DataKind
from venuekit.nautilus.data import VenueDataClient
from venuekit.nautilus.execution import VenueExecutionClient
from venuekit.nautilus.factories import VenueDataConfig, VenueExecutionConfig
from venuekit.nautilus.node import Failures, engine_settings
from venuekit.runtime.mass_status import MassStatusParts

BOTH = DataFeature(subscribe=True, request=True)


def manifest(venue: str = "V", data: dict[DataKind, DataFeature] | None = None) -> Manifest:
    """Everything the fakes can do; funding rates cannot be subscribed, marks cannot be requested."""
    both = ("QUOTES", "TRADES", "BOOK_DELTAS", "BOOK_DEPTH10", "BOOK_SNAPSHOT", "BARS")
    kinds = {DataKind[name]: BOTH for name in both}
    kinds[DataKind.MARK_PRICE] = DataFeature(subscribe=True)
    kinds[DataKind.FUNDING_RATE] = DataFeature(request=True)
    return Manifest(
        venue=venue,
        title=f"The {venue} exchange",
        environments={"simulator": Environment(addresses={})},
        products=frozenset({"CryptoPerpetual"}),
        data=kinds if data is None else data,
        streams={},
        ports={},
        operations={},
        buckets={},
        errors=(),
        book=BookRule(Chain.PLUS_ONE, SnapshotFrom.STREAM),
        orders=OrderFeatures(types={"LIMIT": frozenset({"GTC"})}),
    )


class FakeCounters(Counter[str]):
    """Counters a test can read."""

    def inc(self, name: str, n: int = 1) -> None:
        self[name] += n


class Scripted:
    """`calls` keeps (method, arguments); `script[method]` may raise or answer."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = script
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def run(self, method: str, *arguments: Any) -> Any:
        self.calls.append((method, arguments))
        step = self.script.get(method)
        return step(self, *arguments) if step is not None else None

    def seen(self, method: str) -> list[tuple[Any, ...]]:
        return [arguments for name, arguments in self.calls if name == method]


class FakeMarketData(Scripted):
    """A `MarketDataService` without a wire."""

    def __init__(self, sink: Any, instruments: Sequence[Any], script: dict[str, Any]) -> None:
        super().__init__(script)
        self.sink = sink
        self.instruments = instruments

    async def start(self) -> None:
        self.run("start")
        for instrument in self.instruments:
            self.sink.instrument(instrument)

    async def stop(self) -> None:
        await _maybe(self.run("stop_data"))

    def subscribe(self, want: Any) -> None:
        self.run("subscribe", want)

    def unsubscribe(self, want: Any) -> None:
        self.run("unsubscribe", want)

    async def request(self, want: Any, window: Any) -> Any:
        return await _maybe(self.run("request", want, window)) or []

    async def request_book(self, instrument_id: Any, depth: Any) -> Any:
        return await _maybe(self.run("request_book", instrument_id, depth))

    async def request_instruments(self, only: Any) -> Any:
        self.run("request_instruments", only)
        return [one for one in self.instruments if only is None or one.id in only]


class FakeExecution(Scripted):
    """An `ExecutionService`, its commands and its reports in one.

    The default is: submitted at once, accepted by a report, cancels accepted.
    """

    def __init__(self, sink: Any, account_id: AccountId, script: dict[str, Any]) -> None:
        super().__init__(script)
        self.sink = sink
        self.account_id = account_id
        self.ready = True
        self.commands = self.reports = self

    async def start(self, *, mass_status_follows: bool) -> None:
        assert mass_status_follows
        balance = AccountBalance(Money(1e6, bare.USD), Money(0, bare.USD), Money(1e6, bare.USD))
        self.sink.account([balance], [], True, 1)
        await _maybe(self.run("start_execution"))

    async def stop(self) -> None:
        await _maybe(self.run("stop_execution"))

    def submit(self, orders: Any) -> None:
        self.calls.append(("submit", tuple(orders)))
        self.script.get("submit", accept)(self, *orders)

    def modify(self, order: Any, quantity: Any, price: Any, trigger_price: Any) -> None:
        self.run("modify", order, quantity, price, trigger_price)

    def cancel(self, orders: Any) -> None:
        self.calls.append(("cancel", tuple(orders)))
        self.script.get("cancel", cancel)(self, *orders)

    def cancel_all(self, instrument_id: Any, side: Any, open_orders: Any) -> None:
        self.run("cancel_all", instrument_id, side, list(open_orders))

    def query(self, order: Any) -> None:
        self.run("query", order)

    def query_account(self) -> None:
        self.run("query_account")

    async def order_report(self, client_order_id: Any, venue_order_id: Any) -> Any:
        return await _maybe(self.run("order_report", client_order_id, venue_order_id))

    async def order_reports(self, open_only: bool, start_ns: Any) -> Any:
        return await _maybe(self.run("order_reports", open_only, start_ns)) or []

    async def fill_reports(self, instrument_id: Any, start_ns: Any) -> Any:
        return await _maybe(self.run("fill_reports", instrument_id, start_ns)) or []

    async def position_reports(self) -> Any:
        return await _maybe(self.run("position_reports")) or []

    async def mass_status(self, lookback_mins: Any) -> MassStatusParts:
        return await _maybe(self.run("mass_status", lookback_mins)) or MassStatusParts([], [], [])


async def _maybe(outcome: Any) -> Any:
    return await outcome if hasattr(outcome, "__await__") else outcome


def accept(service: FakeExecution, *orders: Any) -> None:
    for order in orders:
        service.sink.submitted(order)
        service.sink.report(report(order, OrderStatus.ACCEPTED), [])


def submitted(service: FakeExecution, *orders: Any) -> None:
    for order in orders:
        service.sink.submitted(order)


def cancel(service: FakeExecution, *orders: Any) -> None:
    for order in orders:
        service.sink.report(report(order, OrderStatus.CANCELED), [])


def report(order: Any, status: OrderStatus, **options: Any) -> OrderStatusReport:
    options.setdefault("account", f"{order.instrument_id.venue}-001")
    return bare.order_report(order, status, **options)


class FakeOpened:
    """What the bridge sees of an opened venue."""

    def __init__(self, shared: FakeShared) -> None:
        self._shared = shared
        self.manifest = shared.manifest
        self.counters = shared.counters
        self.symbols = Symbols()
        for instrument in shared.instruments:
            self.symbols.add(str(instrument.raw_symbol), instrument)

    def market_data(self, sink: Any) -> FakeMarketData:
        self._shared.data = FakeMarketData(sink, self._shared.instruments, self._shared.script)
        return self._shared.data

    def execution(self, sink: Any, account_id: AccountId) -> FakeExecution:
        self._shared.execution = FakeExecution(sink, account_id, self._shared.script)
        return self._shared.execution


class FakeShared:
    """A `SharedVenue` that counts its holders."""

    def __init__(self, venue: str = "V", script: dict[str, Any] | None = None, **options: Any) -> None:
        self.manifest = options.get("manifest") or manifest(venue)
        self.instruments = options.get("instruments", [bare.perpetual(venue)])
        self.script = script or {}
        self.counters = FakeCounters()
        self.holders = 0
        self.data: FakeMarketData
        self.execution: FakeExecution
        self.opened: FakeOpened | None = None

    async def acquire(self) -> FakeOpened:
        await _maybe(self.script["acquire"](self)) if "acquire" in self.script else None
        self.holders += 1
        self.opened = self.opened or FakeOpened(self)
        return self.opened

    async def release(self) -> None:
        self.holders -= 1


def factories(
    shared: FakeShared, clients: dict[str, Any], on_failure: Callable[[str, BaseException], None] | None
) -> tuple[DataClientFactory, ExecutionClientFactory]:
    class DataFactory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> VenueDataClient:
            clients["data", name] = VenueDataClient(
                name=name,
                config=config,
                cache=cache,
                clock=clock,
                manifest=shared.manifest,
                shared=shared,
                on_failure=on_failure,
            )
            return clients["data", name]

    class ExecutionFactory(ExecutionClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: Any) -> VenueExecutionClient:
            clients["execution", name] = VenueExecutionClient(
                name=name,
                config=config,
                cache=cache,
                clock=clock,
                trader_id=trader_id,
                manifest=shared.manifest,
                shared=shared,
                on_failure=on_failure,
            )
            return clients["execution", name]

    return DataFactory(), ExecutionFactory()


class BridgeRig(bare.Rig):
    """A running node whose clients are the bridge's, over fakes."""

    shared: dict[str, FakeShared]
    failures: Failures

    @property
    def service(self) -> FakeExecution:
        """The execution service of the only venue."""
        return self.shared["V"].execution

    @property
    def market(self) -> FakeMarketData:
        """The market-data service of the only venue."""
        return self.shared["V"].data

    @property
    def counters(self) -> FakeCounters:
        """The counters of the only venue."""
        return self.shared["V"].counters


def build(
    script: dict[str, Any] | None = None,
    *,
    venues: dict[str, FakeShared] | None = None,
    engine: Any = None,
    provider: Any = None,
    **node_options: Any,
) -> BridgeRig:
    """A node with the bridge's two clients for every fake venue (by default one, `V`)."""
    venues = venues or {"V": FakeShared("V", script)}
    clients: dict[str, Any] = {}
    failures = Failures()
    data_factories, exec_factories, data, execution = (
        {},
        {},
        _View(clients, "data"),
        _View(clients, "execution"),
    )
    for name, shared in venues.items():
        data_factories[name], exec_factories[name] = factories(shared, clients, failures.add)
    node = bare.make_node(
        {name: VenueDataConfig(venue=name.lower(), instrument_provider=provider) for name in venues},
        {name: VenueExecutionConfig(venue=name.lower()) for name in venues},
        data_factories,
        exec_factories,
        engine or engine_settings(open_check_secs=None, position_check_secs=None),
        **node_options,
    )
    rig = BridgeRig(node, data, execution)
    rig.shared, rig.failures = venues, failures
    return rig


class _View(dict[str, Any]):
    """The clients of one kind by name."""

    def __init__(self, clients: dict[Any, Any], kind: str) -> None:
        super().__init__()
        self._clients, self._kind = clients, kind

    def __getitem__(self, name: str) -> Any:
        return self._clients[self._kind, name]


run = bare.run
