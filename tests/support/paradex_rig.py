"""The Paradex simulator and an opened Paradex account, both in this process, over real loopback sockets.

The crowd is off: everything that happens was done by the test. Its ledger is the judge (`settle`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from decimal import Decimal
from pathlib import Path

from attrs import evolve
from engine_double import EngineDouble, limit
from nautilus_trader.model import (
    AccountId,
    BookType,
    InstrumentId,
    LiquiditySide,
    OrderBook,
    OrderBookDeltas,
    OrderSide,
    OrderStatus,
)
from relay import StreamRelay, stream_relay
from venuekit_paradex.sim import SIMULATOR

from venuekit.cli.audit import Account, Execution, OrderView, compare, read_ledger, standing_fills
from venuekit.host.config import VenueConfig, parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.manifest import DataFeature, Manifest
from venuekit.interfaces.stream import DataKind, Want
from venuekit.runtime.clock import RealClock
from venuekit.runtime.telemetry import CounterTable
from venuekit.sim.fault_text import parse_fault
from venuekit.sim.records import BookChanged, NewOrder, OrderKind, Side, Tif

BTC, ETH = "BTC-USD-PERP", "ETH-USD-PERP"
BTC_ID, ETH_ID = (InstrumentId.from_str(f"{symbol}.PARADEX") for symbol in (BTC, ETH))
KEY_VARIABLE = "VENUEKIT_TEST_DEMO_KEY"
QUICK = {"retry.base_ns": "20000000", "retry.cap_ns": "200000000"}
"""Reconnects and repeated reads come within a fifth of a second."""


async def until(true: Callable[[], object], what: str, secs: float = 10.0, every_secs: float = 0.002) -> None:
    """Return once `true()` holds; fail with `what` when it does not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + secs
    while not true():
        assert loop.time() < end, f"not within {secs} s: {what}"
        await asyncio.sleep(every_secs)


class SkewedClock(RealClock):
    """The clock of a machine that is `off_ns` wrong."""

    def __init__(self, off_ns: int) -> None:
        super().__init__()
        self.off_ns = off_ns

    def wall_ns(self) -> int:
        return super().wall_ns() + self.off_ns


type Levels = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]


class Market:
    """A `DataSink` that keeps everything, and every book, which must be the simulator's at each step."""

    def __init__(self, x: Exchange) -> None:
        self.instruments: list[object] = []
        self.items: list[object] = []
        self.wrong: list[str] = []
        """Books that were not the simulator's at their sequence."""
        self._x = x
        self._books: dict[InstrumentId, OrderBook] = {}

    def instrument(self, instrument: object) -> None:
        self.instruments.append(instrument)

    def data(self, obj: object) -> None:
        self.items.append(obj)
        if isinstance(obj, OrderBookDeltas):
            iid = obj.instrument_id
            self._books.setdefault(iid, OrderBook(iid, BookType.L2_MBP)).apply_deltas(obj)
            truth = self._x.views.get((iid.symbol.value, obj.sequence))
            if truth != self.levels(iid.symbol.value):
                self.wrong.append(f"{iid} at {obj.sequence}: {self.levels(iid.symbol.value)} is not {truth}")

    def levels(self, market: str) -> Levels:
        """The book that the deltas made so far."""
        book = self._books.get(InstrumentId.from_str(f"{market}.PARADEX"))
        if book is None:
            return [], []
        sides = [
            [(one.price.as_decimal(), one.size.as_decimal()) for level in side if (one := level.first())]
            for side in (book.bids(), book.asks())
        ]
        return sides[0], sides[1]

    def of(self, kind: type, instrument_id: InstrumentId) -> list[object]:
        """Everything of one type and instrument, oldest first."""
        return [one for one in self.items if type(one) is kind and one.instrument_id == instrument_id]


class Engine(EngineDouble):
    """The engine double, which also takes a mass status and can say what it believes of the account."""

    def mass(self, parts: object) -> None:
        """Orders of a mass status as the engine makes them: accepted, filled, ended."""
        by_order: dict[str, list[object]] = {}
        for fill in parts.fills:
            by_order.setdefault(fill.venue_order_id.value, []).append(fill)
        for report in parts.orders:
            order, name = self._order_of(report)
            if order.venue_order_id is None:
                self._begin(order, name, report)
            for fill in by_order.pop(report.venue_order_id.value, []):
                if (name, fill.trade_id.value) not in self._trades:
                    self._fill(name, order, fill)
            assert report.filled_qty == order.filled_qty, f"{name}: {report.filled_qty} != {order.filled_qty}"
            self._end(name, order, report, report.order_status)
        assert not by_order, f"fills without an order: {by_order}"

    def _begin(self, order: object, name: str, report: object) -> None:
        from nautilus_trader.core import UUID4
        from nautilus_trader.model import OrderAccepted, OrderSubmitted

        if order.status == OrderStatus.INITIALIZED:
            order.apply(OrderSubmitted(*self._head(order), self.account_id, UUID4(), 1, 1))
        self._apply(name, order, OrderAccepted, report.venue_order_id, self.account_id, line="accepted")

    def belief(self) -> Account:
        """What a node would believe; positions are the sum of the fills."""
        fills, orders, positions = [], [], Counter()
        every = {id(one): one for one in (*self.orders.values(), *self.external.values())}
        for order in every.values():
            if order.status == OrderStatus.INITIALIZED:
                continue  # denied: it never left
            name = order.client_order_id.value
            waiting = (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_UPDATE)
            orders.append(
                OrderView(
                    name, not order.is_closed, order.filled_qty.as_decimal(), order.status not in waiting
                )
            )
            for event in standing_fills(order):
                market = event.instrument_id.symbol.value
                sign = 1 if event.order_side == OrderSide.BUY else -1
                positions[market] += sign * event.last_qty.as_decimal()
                maker = event.liquidity_side == LiquiditySide.MAKER
                fills.append(
                    Execution(
                        trade_id=event.trade_id.value,
                        client_order_id=name,
                        market=market,
                        side=event.order_side.name,
                        quantity=event.last_qty.as_decimal(),
                        price=event.last_px.as_decimal(),
                        fee=event.commission.as_decimal(),
                        fee_currency=str(event.commission.currency),
                        liquidity="MAKER" if maker else "TAKER",
                    )
                )
        balances = {}
        if self.accounts:
            balances = {str(one.total.currency): one.total.as_decimal() for one in self.accounts[-1][0]}
        held = {market: size for market, size in positions.items() if size}
        return Account(tuple(fills), tuple(orders), held, balances)


class Exchange:
    """The simulator as a test uses it: counterparties, faults, the ledger."""

    def __init__(self, simulator: object, info: object) -> None:
        self.simulator, self.info, self.account = simulator, info, info.account
        self.exchange, self.ledger = simulator.exchange, simulator.ledger
        self.relay: StreamRelay
        self.views: dict[tuple[str, int], Levels] = {}
        """Every book that there was, by market and sequence."""
        for market in (BTC, ETH):
            self._note(market)
        self.exchange.listen(lambda event: isinstance(event, BookChanged) and self._note(event.market))

    def _note(self, market: str) -> None:
        view = self.exchange.book(market)
        self.views[(market, view.seq)] = (list(view.bids), list(view.asks))

    def levels(self, market: str) -> Levels:
        """The book now."""
        view = self.exchange.book(market)
        return list(view.bids), list(view.asks)

    def fault(self, kind: str, **facts: object) -> int:
        """A fault is armed, by default for the next match of `label`."""
        label = facts.pop("label", "*")
        points = facts.pop("points", [])
        return self.simulator.faults.add(
            parse_fault(
                {"kind": kind, "scope": {"label": label, "points": points}, **facts},
                self.simulator.faults.produced,
            )
        )

    def acted(self) -> int:
        """How often a fault acted so far."""
        return len(self.simulator.faults.history)

    def lift(self) -> None:
        """No fault is armed."""
        self.simulator.faults.clear()

    def drop(self) -> int:
        """Every stream is reset."""
        return self.simulator.server.drop_connections()

    def control(self, verb: str, **args: object) -> object:
        """A control verb of the venue."""
        return self.simulator.service.control(verb, args)

    def counter(self, side: str, quantity: str, price: str, market: str = BTC) -> object:
        """A resting order of the house."""
        return self.exchange.place_counterparty_order(market, Side[side], Decimal(quantity), Decimal(price))

    def external(
        self, side: str, quantity: str, price: str, market: str = BTC, client_id: str = ""
    ) -> object:
        """An order of the account that did not come through this client."""
        return self.exchange.external_order(
            NewOrder(
                account=self.account,
                market=market,
                side=Side[side],
                quantity=Decimal(quantity),
                kind=OrderKind.LIMIT,
                price=Decimal(price),
                tif=Tif.GTC,
                client_id=client_id,
            )
        )

    def orders(self, client_id: str) -> list[object]:
        """What the ledger has under a client id, the newest version of each."""
        return [one for one in self.ledger.orders(self.account) if one.client_id == client_id]

    def order(self, client_id: str) -> object:
        """The one order of this client id."""
        (found,) = self.orders(client_id)
        return found

    def cross(self, client_id: str, quantity: str | None = None) -> object:
        """A resting order was taken."""
        return self.exchange.cross(self.order(client_id).id, Decimal(quantity) if quantity else None)

    def sent(self, *words: str) -> int:
        """How many requests and frames that hold all of these words reached the venue."""
        seen = [*self.ledger.seen("in"), *self.ledger.seen("request")]
        return sum(all(word in f"{one.label} {_readable(one.text)}" for word in words) for one in seen)

    def submits(self, client_id: str) -> int:
        """How often a new order with this client id reached the venue."""
        return self.sent("order.create", f'"{client_id}"') + self.sent("POST /v1/orders", f'"{client_id}"')

    def obtained(self) -> int:
        """Tokens asked for so far."""
        return self.sent("POST /v1/auth")


def _readable(text: str) -> str:
    """The ledger keeps bytes as hex."""
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return text


class Rig:
    """One client of the exchange: `engine` and `market` are what it told."""

    look_secs = 0.002
    """How often ledger and engine are compared while they differ."""

    def __init__(self, x: Exchange, venue: OpenedVenue) -> None:
        self.x, self.venue = x, venue
        self.counters: CounterTable = venue.counters
        self.engine = Engine(AccountId("PARADEX-001"))
        self.market = Market(x)
        self.service = venue.execution(self.engine, self.engine.account_id)
        self.data = venue.market_data(self.market)

    # --- life

    async def start(self, *, data: bool = False, mass: bool = True) -> None:
        """Started as the bridge does it: data, then execution, then the mass status."""
        if data:
            await self.data.start()
        await self.service.start(mass_status_follows=mass)
        if mass:
            self.engine.mass(await self.service.reports.mass_status(None))

    async def stop(self) -> None:
        """Everything is closed."""
        await self.service.stop()
        await self.data.stop()
        await self.venue.close()

    # --- what a strategy does

    def make(
        self, name: str, side: str = "BUY", quantity: str = "0.01", price: str = "80000.0", **facts: object
    ):
        """A limit order, far from the market unless the price says otherwise."""
        market = facts.pop("market", BTC)
        iid = InstrumentId.from_str(f"{market}.PARADEX")
        places = {BTC: 5, ETH: 3}[market]
        size = f"{Decimal(quantity):.{places}f}"
        tick = {BTC: 1, ETH: 2}[market]
        return limit(name, iid, OrderSide.from_str(side), size, f"{Decimal(price):.{tick}f}", **facts)

    def submit(self, name: str, *args: str, **facts: object):
        """`make` and hand over."""
        order = self.engine.add(self.make(name, *args, **facts))
        self.service.commands.submit([order])
        return order

    def cancel(self, order: object) -> None:
        """The strategy asked for a cancel."""
        self.engine.pending_cancel(order)
        self.service.commands.cancel([order])

    async def accepted(self, name: str, *args: str, **facts: object):
        """`submit`, and the venue has it open."""
        order = self.submit(name, *args, **facts)
        await until(
            lambda: order.status == OrderStatus.ACCEPTED, f"{name} is accepted; {self.engine.log[-5:]}"
        )
        return order

    def want(self, kind: DataKind, market: str = BTC) -> Want:
        """A want, subscribed."""
        want = Want(kind, InstrumentId.from_str(f"{market}.PARADEX"))
        self.data.subscribe(want)
        return want

    # --- what a test waits for

    async def same_book(self, market: str = BTC, secs: float = 10.0) -> None:
        """The book made of the deltas is the simulator's."""
        await until(
            lambda: self.market.levels(market) == self.x.levels(market) != ([], []),
            f"{market}: {self.market.levels(market)} is {self.x.levels(market)}",
            secs,
        )

    async def live(self) -> None:
        """Submits are allowed."""
        await until(lambda: self.service.ready, "the private state is known")

    async def down(self) -> None:
        """The client noticed that the private stream is gone."""
        await until(lambda: not self.service.ready, "the private state is unknown")

    async def status(self, order: object, *wanted: str) -> None:
        """The order has one of these statuses."""
        names = [OrderStatus.from_str(name) for name in wanted]
        await until(
            lambda: order.status in names, f"{order.client_order_id} is one of {wanted}; {self.engine.log}"
        )

    async def two_sided(self, market: str) -> None:
        """Both sides of a book are there."""
        await until(lambda: all(self.market.levels(market)), f"a whole book of {market}")

    def count(self, name: str) -> int:
        """A counter."""
        return self.counters.get(name)

    def differences(self) -> object:
        """Ledger against engine, now."""
        return compare(self._truth(), self.engine.belief())

    def _truth(self) -> Account:
        rows: Mapping[str, list[dict]] = self.x.ledger.to_json()
        # An order without a client id is known to the engine under the venue's id.
        orders = [{**row, "client_id": row["client_id"] or f"PARADEX-{row['id']}"} for row in rows["orders"]]
        fills = [
            {**row, "client_id": row["client_id"] or f"PARADEX-{row['order_id']}"} for row in rows["fills"]
        ]
        # One that began and ended without a fill while nobody looked is none of the engine's business.
        known = {one.client_order_id for one in self.engine.belief().orders}
        truth = read_ledger({**rows, "orders": orders, "fills": fills}, self.x.account)
        seen = tuple(one for one in truth.orders if one.client_order_id in known or one.open or one.filled)
        return evolve(truth, orders=seen)

    async def settle(self, secs: float = 10.0) -> None:
        """Ledger and engine agree on every fill, order, position and balance; at most one order an id."""
        try:
            await until(lambda: self.differences().none, "agreement", secs, self.look_secs)
        except AssertionError:
            log = "\n  ".join(self.engine.log)
            raise AssertionError(
                f"{self.differences()}\n  {log}\nalarms {self.engine.alarms}\n{self.counters.snapshot()}"
            ) from None
        assert not self.engine.violations, self.engine.violations
        names = Counter(one.client_id for one in self.x.ledger.orders(self.x.account) if one.client_id)
        assert not [name for name, n in names.items() if n > 1], names


@asynccontextmanager
async def exchange(seed: int = 7, port: int = 0, **options: str) -> AsyncIterator[Exchange]:
    """A simulator without a crowd, started and stopped."""
    simulator = SIMULATOR(clock=RealClock(), seed=seed, port=port, options={"liquidity": "false", **options})
    info = await simulator.start()
    try:
        yield Exchange(simulator, info)
    finally:
        await simulator.stop()


def demo_config(x: Exchange) -> VenueConfig:
    """The config that the simulator gives, with its key from a variable."""
    os.environ[KEY_VARIABLE] = SIMULATOR.demo_key()
    text = x.info.config_toml.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
    return evolve(parse_config(text).venues["paradex"], base=Path.cwd())


async def opened(x: Exchange, **changes: object) -> Rig:
    """A client of this exchange, opened and not started. Times that would make tests slow are short.

    `own` changes the venue's own config, `options` the transports', `addresses` where it connects,
    `timeouts_ms` the time of single operations, `silence_ms` the bound of both streams, `compare_ms` how
    often the account is compared, `journal` is kept, `layers` stand around the transports, `clock` is the
    client's own, `limits` are those of the config,
    `topic_silence_ms` is how long a book may bring nothing.
    Orders lapse 0.4 s after their signature: that is how long a lost one keeps a test waiting.
    """
    config = demo_config(x)
    transport = evolve(config.transport, options={**QUICK, **changes.get("options", {})})
    config = evolve(
        config,
        transport=transport,
        own=evolve(config.own, **{"recv_window_ms": 400, **changes.get("own", {})}),
        addresses={**config.addresses, **changes.get("addresses", {})},
        limits=changes.get("limits", config.limits),
    )
    venue = OpenedVenue(
        config,
        clock=changes.get("clock") or RealClock(),
        journal=changes.get("journal"),
        layers=changes.get("layers"),
    )
    manifest = venue.manifest
    timeouts = changes.get("timeouts_ms", {})
    silence = changes.get("silence_ms", 70_000)
    compare = changes.get("compare_ms", manifest.semantics.compare_ms)
    venue.manifest = evolve(
        manifest,
        semantics=evolve(manifest.semantics, lookup_settles_ms=150, history_lag_ms=300, compare_ms=compare),
        operations={
            op: evolve(one, timeout_ms=timeouts.get(op, one.timeout_ms))
            for op, one in manifest.operations.items()
        },
        streams={name: evolve(spec, silence_ms=silence) for name, spec in manifest.streams.items()},
        data=_ticking(manifest, changes.get("topic_silence_ms")),
    )
    await venue.open()
    return Rig(x, venue)


def _ticking(manifest: Manifest, topic_silence_ms: object) -> Mapping[DataKind, DataFeature]:
    if topic_silence_ms is None:
        return manifest.data
    book = DataKind.BOOK_DELTAS
    return {**manifest.data, book: evolve(manifest.data[book], silent_ms=topic_silence_ms)}


@asynccontextmanager
async def streams_between(x: Exchange) -> AsyncIterator[Mapping[str, object]]:
    """For `between`: both streams go through a relay, which is `x.relay`."""
    async with stream_relay(x.info.addresses["stream"]) as relay:
        x.relay = relay
        yield {"addresses": {"stream": relay.url}}


def _nothing_between(x: Exchange) -> AbstractAsyncContextManager[Mapping[str, object]]:
    return nullcontext({})


def run(
    body: Callable[[Rig], Awaitable[None]],
    *,
    sim: Mapping[str, str] | None = None,
    data: bool = False,
    settle: bool = True,
    before: Callable[[Exchange], None] = lambda _: None,
    between: Callable[[Exchange], AbstractAsyncContextManager[Mapping[str, object]]] = lambda _: nullcontext(
        {}
    ),
    **changes: object,
) -> None:
    """`body` with a started rig; afterwards the ledger agrees and nothing is left of the client.

    `between` is entered around the client and gives changes of its own, such as the addresses of a relay.
    """

    async def main() -> None:
        async with exchange(**(sim or {})) as x, between(x) as more:
            before(x)
            rig = await opened(x, **changes, **more)
            try:
                await rig.start(data=data)
                await body(rig)
                if settle:
                    x.lift()
                    await rig.settle()
            finally:
                await rig.stop()
            assert not rig.engine.violations, rig.engine.violations
            assert not rig.market.wrong, rig.market.wrong
            assert rig.count("tasks.crashed") == 0

    with warnings.catch_warnings():
        # What earlier tests of this process left behind is not this client's: neither garbage nor the loop
        # that a future made outside of any loop leaves as the default one.
        warnings.simplefilter("ignore")
        asyncio.set_event_loop(None)
        gc.collect()
        warnings.simplefilter("error")
        asyncio.run(asyncio.wait_for(main(), 50))
        gc.collect()
