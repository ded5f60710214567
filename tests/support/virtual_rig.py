"""A whole world in one process and no time: the Paradex simulator on pipes, a client, a clock, one seed.

Everything that happens follows from the seed and from what the body does; `World.digests` says whether two
runs were the same. A client can be killed in the middle of anything and another opened on the same journal.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import count

from attrs import define, evolve, field
from paradex_rig import Exchange, Rig, demo_config, until
from pipe_client import NETWORKS, Network, Wire, registry_with_pipes
from venuekit_paradex.sim.factory import ParadexSimulator

from venuekit.host.open import OpenedVenue
from venuekit.runtime.clock import LoopClock
from venuekit.runtime.journal import Journal, MemoryJournal
from venuekit.runtime.journal_file import FileJournal
from venuekit.runtime.virtual_loop import VirtualLoop, run
from venuekit.sim.faults import OUTSIDE, Fault, FaultKind

EPOCH_NS = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
CALM = {
    "liquidity": "true",
    "levels": "4",
    "step_ms": "5000",
    "walk_bps": "10",
    "requote_rate": "0.2",
    "taker_rate": "0.1",
    "hunter_rate": "0.2",
    "summary_ms": "10000",
}
"""Options of a simulator whose crowd costs little: ten minutes of it take a fraction of a second."""
_NAMES = count(1)
_REGISTRY = []


class Killed(Exception):
    """The client died while the body waited for it."""


class VirtualRig(Rig):
    """One client process of a world."""

    look_secs = 0.1

    def __init__(self, x: Exchange, venue: OpenedVenue, clock: LoopClock, network: Network) -> None:
        super().__init__(x, venue)
        self.clock, self.network = clock, network

    async def live(self) -> None:
        """Submits are allowed: within a minute, since a back-off can have reached its cap of 30 s."""
        await until(lambda: self.service.ready, "the private state is known", 60, 0.05)


class _Memory:
    """A journal as a process sees it: after its death it writes no more."""

    def __init__(self, journal: Journal, network: Network) -> None:
        self._journal, self._network = journal, network

    def __getattr__(self, name: str) -> object:
        if self._network.alive:
            return getattr(self._journal, name)
        return lambda *_: ()


def left_open(journal: Journal) -> None:
    """What a process that dies leaves of its journal: the files as they are, marked in use, and no lock."""
    if not isinstance(journal, FileJournal) or journal._closed:
        return
    journal._closed = True
    # SQLite tidies up when its last connection is closed; a process that was killed does not.
    journal._db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    journal._db.close()
    journal._lock.close()


@define
class World:
    """The venue `x`, the client `rig` (the newest one), the time."""

    seed: int
    loop: VirtualLoop
    clock: LoopClock
    """The venue's."""
    x: Exchange
    journal: Journal | Callable[[], Journal]
    """One for all clients, or what opens it anew for each."""
    wire: Wire
    changes: Mapping[str, object]
    rig: VirtualRig = field(init=False)
    rigs: list[VirtualRig] = field(factory=list)
    """Every client that there was."""
    problems: list[str] = field(factory=list)
    """What the loop was told of: exceptions that nobody retrieved, tasks that were destroyed."""
    _waiting: list[asyncio.Task[object]] = field(factory=list)
    _doomed: list[asyncio.Task[object]] = field(factory=list)
    _network: Network | None = None
    _opened_journal: Journal | None = None
    _client_clock: LoopClock | None = None
    _opened: int = 0

    # --- time

    async def wait(self, secs: float) -> None:
        """So much later."""
        await asyncio.sleep(secs)

    def block(self, secs: float) -> None:
        """F23: nothing runs for so long, neither here nor at the venue; then everything late, in order."""
        self.loop.block(round(secs * SECOND))

    def pause_reading(self, paused: bool = True) -> None:
        """F23: the client takes nothing off its streams, or goes on; the venue sees a slow consumer."""
        self.rig.network.pause(paused)

    def at(self, secs: float, act: Callable[[], object]) -> None:
        """`act` runs `secs` after the world began."""
        self.loop.call_at(secs, act)

    # --- the client

    async def open(self, **changes: object) -> VirtualRig:
        """A client that is opened and not started; it becomes `rig`."""
        return await self._as_client(self._open({**self.changes, **changes}))

    async def start(self, *, data: bool = True, mass: bool = True, **changes: object) -> VirtualRig:
        """A client that trades; it becomes `rig`. Raises `Killed`."""
        with self._phase("C10"):
            rig = await self.open(**changes)
            await self._as_client(rig.start(data=data, mass=mass))
        return rig

    @property
    def alive(self) -> bool:
        """False after a stop or a kill, until the next client is opened."""
        return self._network is not None and self._network.alive

    async def stop(self) -> None:
        """The client ended in good order; whatever is on its way meanwhile passes C12."""
        with self._phase("C12"):
            await self._as_client(self.rig.stop())
        self.rig.network.alive = False
        self._close_journal()
        self._leaves_nothing()

    def _close_journal(self) -> None:
        if callable(self.journal):
            self._opened_journal.close()

    def _leaves_nothing(self) -> None:
        """I12: no task, no timer and no stream of the client is left."""
        tasks = [task.get_name() for task in asyncio.all_tasks() if _of_client(task)]
        mine = self._client_clock._fire
        timers = [timer for timer in self.loop.pending() if timer._callback == mine]
        ends = self.rig.network.ends
        assert not (tasks or timers or ends), f"left behind: {tasks} {timers} {ends}"

    async def kill(self) -> None:
        """F24: the client process is gone, without a goodbye; what it had handed over still arrives."""
        self.drop()
        await asyncio.gather(*self._doomed, return_exceptions=True)
        self._doomed.clear()

    def drop(self) -> None:
        """`kill` from within anything, also from within the client: it does nothing more from now on."""
        if self._network is None or not self._network.alive:
            return
        self._network.die()
        self._client_clock.stop()
        if callable(self.journal):
            left_open(self._opened_journal)
        # Cancelled, a task can still clean up; it reaches nobody: pipes, journal and timers are dead.
        doomed = [task for task in asyncio.all_tasks() if _of_client(task)] + self._waiting
        for task in doomed:
            task.cancel()
        self._doomed += doomed

    def befall(self, fault: Fault) -> None:
        """F22 to F24 of a plan."""
        if fault.kind is FaultKind.PROCESS_KILL:
            self.drop()
        elif fault.kind is FaultKind.SLOW_CONSUMER:
            self.block(fault.delay_ms / 1_000)
        else:
            self._client_clock.jump(fault.shift_ms * 1_000_000)
            self._client_clock.drift(fault.drift_ppm)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        door = self.x.simulator.server
        before, door.phase = door.phase, name
        try:
            yield
        finally:
            door.phase = before

    async def _open(self, changes: Mapping[str, object]) -> VirtualRig:
        self._opened += 1
        clock = LoopClock(self.loop, seed=f"{self.seed}/{self._opened}", wall_start_ns=self.clock.wall_ns())
        network, name = Network(self.x.simulator.server, self.wire), f"world-{next(_NAMES)}"
        journal = self._opened_journal = self.journal() if callable(self.journal) else self.journal
        NETWORKS[name] = self._network = network
        self._client_clock = clock
        try:
            venue = OpenedVenue(
                _config(self.x, name, changes),
                clock=clock,
                registry=_registry(),
                journal=_Memory(journal, network),
                layers=changes.get("layers"),
            )
            venue.manifest = _manifest(venue.manifest, changes)
            await venue.open()
            self.rig = VirtualRig(self.x, venue, clock, network)
        except BaseException:
            # A process that could not start ends, and frees its journal for the next one.
            network.alive = False
            self._close_journal()
            raise
        finally:
            del NETWORKS[name]
        self.rigs.append(self.rig)
        return self.rig

    async def _as_client[T](self, work: Coroutine[object, None, T]) -> T:
        task = asyncio.ensure_future(work)
        self._waiting.append(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Killed from None
            task.cancel()
            raise
        finally:
            self._waiting.remove(task)

    # --- what happened

    def digests(self) -> dict[str, str]:
        """One of every byte, one of every word to the engine and the data sink, one of the venue's truth."""
        return {
            "wire": self.wire.digest(),
            "engine": _digest(line for rig in self.rigs for line in rig.engine.log),
            "market": _digest(str(item) for rig in self.rigs for item in rig.market.items),
            "ledger": self.x.ledger.digest(times=True),
            "time": str(self.loop.now_ns),
        }


def _digest(lines: object) -> str:
    total = sha256()
    for line in lines:
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def _of_client(task: asyncio.Task[object]) -> bool:
    """True for a task that the product itself started."""
    code = getattr(task.get_coro(), "cr_code", None)
    path = "" if code is None else code.co_filename.replace("\\", "/")
    return any(f"/venuekit/{room}/" in path for room in ("runtime", "host", "transport", "core"))


def _registry() -> object:
    if not _REGISTRY:
        _REGISTRY.append(registry_with_pipes())
    return _REGISTRY[0]


def _config(x: Exchange, name: str, changes: Mapping[str, object]) -> object:
    config = demo_config(x)
    transport = evolve(
        config.transport,
        http="http/pipes",
        stream="stream/pipes",
        signer=changes.get("signer", "stark/native"),
        options={"http.world": name, "stream.world": name, **changes.get("options", {})},
    )
    return evolve(config, transport=transport, own=evolve(config.own, **changes.get("own", {})))


def _manifest(manifest: object, changes: Mapping[str, object]) -> object:
    timeouts = changes.get("timeouts_ms", {})
    operations = {
        op: evolve(one, timeout_ms=timeouts.get(op, one.timeout_ms))
        for op, one in manifest.operations.items()
    }
    semantics = evolve(manifest.semantics, **changes.get("semantics", {}))
    return evolve(manifest, operations=operations, semantics=semantics)


def run_virtual(
    seed: int,
    body: Callable[[World], Awaitable[object]],
    *,
    journal: Journal | Callable[[], Journal] | None = None,
    sim: Mapping[str, str] | None = None,
    data: bool = True,
    start: bool = True,
    settle: bool = True,
    secs: float = 3_600.0,
    latency_us: int = 500,
    **changes: object,
) -> World:
    """The world after `body(world)` ended, the faults were lifted, ledger and engine agreed, and all stopped.

    `journal` is one for all clients (in memory by default), or opens a file anew for each.
    `sim` are options of the simulator (no crowd by default). Of the client, `own` changes the venue's own
    config, `options` the transports', `timeouts_ms` the time of single operations, `semantics` those of the
    manifest; `layers` stand around the transports. A message is `latency_us` on its way. Nothing lasts longer
    than `secs` of virtual time.
    """

    async def main(loop: VirtualLoop) -> World:
        clock = LoopClock(loop, seed=f"{seed}/venue", wall_start_ns=EPOCH_NS)
        simulator = ParadexSimulator(
            clock=clock, seed=seed, port=0, options={"liquidity": "false", **(sim or {})}, pipes=True
        )
        x = Exchange(simulator, await simulator.start())
        simulator.server.latency_ns = latency_us * 1_000
        world = World(seed, loop, clock, x, journal or MemoryJournal(), Wire(), changes)
        simulator.faults.produced = {**simulator.faults.produced, **OUTSIDE}
        simulator.faults.outside = world.befall
        loop.set_exception_handler(lambda _, context: world.problems.append(_problem(context)))
        try:
            async with asyncio.timeout(secs):
                if start:
                    await world.start(data=data)
                await body(world)
                if settle:
                    x.lift()
                    await world.rig.settle(60)
        finally:
            if world.alive:
                await world.stop()
            await simulator.stop()
        check_clean(world)
        return world

    return run(main)


def check_clean(world: World) -> None:
    """No client broke a promise to its engine, showed a wrong book, or crashed a task."""
    assert not world.problems, world.problems
    for rig in world.rigs:
        assert not rig.engine.violations, rig.engine.violations
        assert not rig.market.wrong, rig.market.wrong[:3]
        assert rig.count("tasks.crashed") == 0


def _problem(context: Mapping[str, object]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"
