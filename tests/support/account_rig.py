"""A sample venue through the real execution service, session, pacer and requester, under virtual time."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from pathlib import Path

from engine_double import EngineDouble, limit, perpetual
from memory_wire import MemoryPort, MemoryTransport
from nautilus_trader.model import AccountId

from venuekit.core.symbols import Symbols
from venuekit.interfaces.manifest import PortKind
from venuekit.interfaces.venue import VenueContext
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.execution import ExecutionService
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.pacer import Pacer
from venuekit.runtime.requester import Requester
from venuekit.runtime.rpc import StreamPort
from venuekit.runtime.session import Session
from venuekit.runtime.telemetry import CounterTable

PLUGINS = Path(__file__).parents[1] / "plugins"
MS = 1_000_000


class ThreeTimes:
    """A retry policy that gives up."""

    def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, u: float) -> int | None:
        return 250 * MS if attempt < 3 else None


class Steady:
    """A retry policy of a quarter of a second."""

    def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, u: float) -> int | None:
        return 250 * MS


def load(folder: str, module: str) -> object:
    """A module of a sample venue."""
    path = str(PLUGINS / folder)
    if path not in sys.path:
        sys.path.insert(0, path)
    return importlib.import_module(module)


class Rig:
    """`await Rig.opened("height_venue", HeightExchange)`; the test drives `service`, `exchange` and time."""

    def __init__(
        self, folder: str, exchange: object, clock: ManualClock, journal: MemoryJournal | None = None
    ) -> None:
        self.clock, self.exchange = clock, exchange
        self.venue = load(folder, folder)
        self.manifest = load(folder, f"{folder}_manifest").MANIFEST
        self.instrument = perpetual(self.manifest.venue)
        self.iid = self.instrument.id
        self.symbols = Symbols()
        self.symbols.add("BTC-USD-PERP", self.instrument)
        self.counters = CounterTable()
        self.log = logging.getLogger(f"venuekit.{folder}")
        self.journal = journal or MemoryJournal()
        self.engine = EngineDouble(AccountId(f"{self.manifest.venue}-1"))
        self.pacer = Pacer(self.manifest, clock, self.counters)
        self.service: ExecutionService

    @classmethod
    async def opened(cls, folder: str, exchange: object, clock: ManualClock, **options: object) -> Rig:
        rig = cls(folder, exchange, clock, options.get("journal"))
        await rig._compose(options.get("signer"))
        await rig.started()
        return rig

    async def started(self) -> None:
        """The service is live. The signer warms up in a real thread, so a little real time may pass."""
        starting = asyncio.ensure_future(self.service.start())
        for _ in range(500):
            await self.run(1)
            if starting.done():
                return starting.result()
            await asyncio.sleep(0.002)
        raise AssertionError("the start hangs")

    async def _compose(self, signer: object) -> None:
        wires = {
            name: self._requester(name, MemoryPort(self.exchange))
            for name, port in self.manifest.ports.items()
            if port.kind is not PortKind.STREAM
        }
        config = getattr(load(self.folder, f"{self.folder}_manifest"), "CONFIG", None)
        ctx = VenueContext(
            venue=self.manifest.venue,
            environment=next(iter(self.manifest.environments.values())),
            clock=self.clock,
            ports=wires,
            symbols=self.symbols,
            config=config,
            counters=self.counters,
            log=self.log,
            trading=True,
            make_signer=(lambda ref, facts: signer) if signer is not None else None,
        )
        self.parts = await self.venue.open_venue(ctx)
        self.session = Session(
            name="private",
            spec=self.manifest.streams["private"],
            transport=MemoryTransport(self.exchange),
            codecs=self.parts.account.private,
            clock=self.clock,
            retry=Steady(),
            counters=self.counters,
            log=self.log,
            on_decoded=lambda decoded, epoch: self.service.on_decoded(decoded, epoch),
            on_state=lambda state, why: self.service.on_session_state(state, why),
        )
        timeouts = {op: operation.timeout_ms for op, operation in self.manifest.operations.items()}
        stream = StreamPort(self.session, self.clock, timeouts)
        names = [name for name, port in self.manifest.ports.items() if port.kind is PortKind.STREAM]
        self.service = ExecutionService(
            manifest=self.manifest,
            parts=self.parts.account,
            symbols=self.symbols,
            session=self.session,
            ports={**wires, **{name: self._requester(name, stream) for name in names}},
            resolve=stream.resolve,
            pacer=self.pacer,
            journal=self.journal,
            clock=self.clock,
            counters=self.counters,
            log=self.log,
            sink=self.engine,
            account_id=self.engine.account_id,
        )

    def _requester(self, name: str, port: object) -> Requester:
        return Requester(
            port,
            name=name,
            manifest=self.manifest,
            pacer=self.pacer,
            retry=ThreeTimes(),
            clock=self.clock,
            counters=self.counters,
        )

    @property
    def folder(self) -> str:
        return self.venue.__name__

    async def run(self, ms: float) -> None:
        """Virtual time passes."""
        await self.clock.run_for(int(ms * MS))

    async def submit(self, name: str, **facts: object) -> object:
        order = self.engine.add(limit(name, self.iid, **facts))
        self.service.commands.submit([order])
        await self.run(1)
        return order

    def events(self, name: str) -> list[str]:
        return self.engine.events(name)

    async def stop(self) -> None:
        stopping = asyncio.ensure_future(self.service.stop())
        await self.run(3_000)
        assert stopping.done(), "the stop hangs"
        stopping.result()
        assert not self.engine.violations, self.engine.violations
