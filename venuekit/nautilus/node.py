"""One config becomes one running Nautilus node: safe engine settings, clean stops, a telling exit code.

Exit codes of `run_node`: 0 a clean stop; 1 the node could not start, or failed while it ran; 3 it stopped
while the fate of an order was still unknown (the journal has it, and the next start looks it up).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_type_hints

from attrs import define, field, frozen
from nautilus_trader.common import Environment, FileWriterConfig, LoggerConfig, LogLevel
from nautilus_trader.config import CacheConfig, LiveExecutionEngineConfig, LiveNodeConfig
from nautilus_trader.live import LiveNode, SubmissionRecoveryPolicy
from nautilus_trader.live.config import construct_config, resolve_path
from nautilus_trader.model import TraderId
from nautilus_trader.trading import Strategy

from venuekit.errors import ConfigError, VenuekitError
from venuekit.host.open import venue_health
from venuekit.nautilus.factories import (
    Subject,
    VenueDataConfig,
    VenueExecutionConfig,
    factories_of,
    make_subject,
    owner_factory,
)
from venuekit.nautilus.logs import forward_logs
from venuekit.nautilus.ownership import Homecoming, Ownership
from venuekit.nautilus.telemetry import Telemetry, need_extra

if TYPE_CHECKING:
    from nautilus_trader.common import Cache
    from nautilus_trader.live import LiveNodeHandle
    from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory

    from venuekit.host.config import NodeConfig, NodeSection, StrategySection, VenueConfig
    from venuekit.host.health import VenueHealth
    from venuekit.runtime.telemetry import CounterTable

EXIT_CLEAN, EXIT_FAILED, EXIT_UNRESOLVED = 0, 1, 3
POST_STOP_SECS = 1.0
"""Time for the last cancels to leave after strategies stopped; Nautilus's own default is 10 s."""
CONNECT_SECS = 30.0

log = logging.getLogger("venuekit.nautilus.node")
_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "OFF": 100}
_UNRESOLVED = re.compile(r"unresolved client order IDs \[(?P<ids>[^\]]*)\]")


@frozen
class ClientSections:
    """The clients of every configured venue: parts of a `LiveNodeConfig` that somebody else owns.

    `LiveNodeConfig(data_clients=..., exec_clients=...)`, then
    `LiveNode.build(name, config, data_factories=..., exec_factories=...)`.
    """

    data_clients: Mapping[str, VenueDataConfig]
    exec_clients: Mapping[str, VenueExecutionConfig]
    data_factories: Mapping[str, DataClientFactory]
    exec_factories: Mapping[str, ExecutionClientFactory]
    counters: Mapping[str, CounterTable]
    """By the config's venue keys."""
    health: Mapping[str, Callable[[], VenueHealth]] = field(factory=dict)
    """How each venue is now, by the same keys."""
    ownership: Ownership = field(factory=Ownership)
    """Add every strategy of the node to it: then its orders of an earlier run come back to it."""


@define
class Failures:
    """Why clients could not connect; `on_first` runs once, so that the node need not wait for its timeout.

    Texts only: an exception's frames would keep the clients and with them the node alive.
    """

    found: list[tuple[str, str]] = field(factory=list)
    """What happened and what to do, first failure first."""
    on_first: Callable[[], None] | None = None

    def add(self, name: str, error: BaseException) -> None:
        """The failure is kept; the first one also runs `on_first`."""
        hint = error.hint or error.to_do if isinstance(error, VenuekitError) else ""
        self.found.append((f"{name} could not connect: {_one_line(error)}", hint))
        if len(self.found) == 1 and self.on_first is not None:
            self.on_first()


@frozen
class Ending:
    """How a run ended: an exit code, what happened, and what to do about it."""

    code: int
    message: str = ""
    hint: str = ""
    unresolved: tuple[str, ...] = ()
    """Client order ids whose fate was unknown at the end."""


def engine_settings(
    *,
    open_check_secs: float | None = 15.0,
    position_check_secs: float | None = 30.0,
    startup_delay_secs: float = 10.0,
    forget_ended_mins: int | None = None,
    forget_flat_mins: int | None = None,
    lookback_mins: int | None = None,
) -> LiveExecutionEngineConfig:
    """Settings that invent no outcome: unresolved submits are kept, open orders and positions checked.

    The open check asks for open orders only: what is missing there is asked for one by one by the tracker.
    `lookback_mins`: how far back ended orders and fills are read at the start (None: all).
    `forget_ended_mins`: ended orders and old account events leave the engine's cache after that long.
    `forget_flat_mins`: a position that was closed that long ago, and still is, leaves it with all its fills.
    """
    kept, flat = forget_ended_mins, forget_flat_mins
    # Looked for every minute: with a longer interval the cache would hold up to twice as much.
    every, every_flat = (None if mins is None else 1 for mins in (kept, flat))
    return LiveExecutionEngineConfig(
        submission_recovery_policy=SubmissionRecoveryPolicy.RETAIN_UNRESOLVED,
        open_check_interval_secs=open_check_secs,
        open_check_open_only=True,
        position_check_interval_secs=position_check_secs,
        reconciliation_startup_delay_secs=startup_delay_secs,
        reconciliation_lookback_mins=lookback_mins,
        allow_overfills=False,
        purge_closed_orders_interval_mins=every,
        purge_closed_orders_buffer_mins=kept,
        purge_closed_positions_interval_mins=every_flat,
        purge_closed_positions_buffer_mins=flat,
        purge_account_events_interval_mins=every,
        purge_account_events_lookback_mins=kept,
    )


def client_sections(
    config: NodeConfig, failures: Failures | None = None, *, strategies: int = 0
) -> ClientSections:
    """The clients of the configured venues by venue code; data and execution share one opened venue.

    `strategies`: how many there will be beside those of the config, see `ClientSections.ownership`.
    """
    ownership, strategies = Ownership(), strategies + len(config.strategies)
    data: dict[str, VenueDataConfig] = {}
    execution: dict[str, VenueExecutionConfig] = {}
    data_factories: dict[str, DataClientFactory] = {}
    exec_factories: dict[str, ExecutionClientFactory] = {}
    counters: dict[str, CounterTable] = {}
    health: dict[str, Callable[[], VenueHealth]] = {}
    traced = config.tracing.commands
    if traced:
        need_extra("opentelemetry.trace", "tracing", "tracing.commands")
    for key, venue in config.venues.items():
        homecoming = Homecoming(ownership, strategies) if venue.execution else None
        subject = make_subject(
            venue,
            failures.add if failures is not None else None,
            trace_commands=traced,
            homecoming=homecoming,
        )
        name = subject.manifest.venue
        counters[key] = subject.shared.counters
        health[key] = _health_of(subject, venue)
        data_factory, exec_factory = factories_of(subject)
        if venue.data:
            data[name] = VenueDataConfig(venue=key)
            data_factories[name] = data_factory
        if homecoming is not None:
            execution[name] = VenueExecutionConfig(venue=key)
            exec_factories[name] = exec_factory
            for number in range(1, strategies + 1):
                extra = f"{name}-OWNERS-{number}"
                execution[extra] = VenueExecutionConfig(venue=key)
                exec_factories[extra] = owner_factory(subject.manifest, homecoming)
    return ClientSections(data, execution, data_factories, exec_factories, counters, health, ownership)


def _health_of(subject: Subject, venue: VenueConfig) -> Callable[[], VenueHealth]:
    def now() -> VenueHealth:
        opened = subject.shared.opened
        return opened.health() if opened is not None else venue_health(venue, subject.manifest)

    return now


def build_node(
    config: NodeConfig,
    *,
    engine: LiveExecutionEngineConfig | None = None,
    logging_config: LoggerConfig | None = None,
    post_stop_secs: float = POST_STOP_SECS,
    sections: ClientSections | None = None,
) -> LiveNode:
    """A whole node with every venue and strategy of the config; nothing is connected before it runs.

    `[metrics]` is served by `VenueNode`; who runs the node otherwise starts a `Telemetry` of its sections.
    """
    if config.node.environment != "live":
        raise ConfigError(
            "only a live node can be built from a config so far",
            path="node.environment",
            hint='set "live", with a venue environment that holds no real money.',
        )
    sections = sections or client_sections(config)
    node_config = LiveNodeConfig(
        environment=Environment.LIVE,
        trader_id=_trader_id(config.node.trader_id),
        logging=logging_config or _logger_config(config.node),
        exec_engine=engine or _engine_of(config.node),
        cache=CacheConfig(tick_capacity=config.node.tick_capacity),
        timeout_connection_secs=CONNECT_SECS,
        delay_post_stop_secs=post_stop_secs,
        data_clients=dict(sections.data_clients),
        exec_clients=dict(sections.exec_clients),
    )
    node = LiveNode.build(
        config.node.name,
        node_config,
        data_factories=dict(sections.data_factories),
        exec_factories=dict(sections.exec_factories),
    )
    try:
        for index, section in enumerate(config.strategies):
            sections.ownership.add(_add_strategy(node, section, f"strategies[{index}]"))
    except ConfigError:
        node.dispose()
        raise
    return node


class VenueNode:
    """A built node with what must be taken from it before it runs, and a run that ends in an `Ending`."""

    def __init__(
        self,
        node: LiveNode,
        failures: Failures | None = None,
        log_level: int = logging.INFO,
        counters: Mapping[str, CounterTable] | None = None,
        telemetry: Telemetry | None = None,
        ownership: Ownership | None = None,
    ) -> None:
        self.node = node
        self.counters = dict(counters or {})
        """What each venue counted, by the config's venue keys."""
        self.telemetry = telemetry
        """What is served while the node runs; None: nothing."""
        self.cache: Cache = node.cache
        self.handle: LiveNodeHandle = node.handle()
        self._ownership = ownership or Ownership()
        self._failures = failures or Failures()
        self._log_level = log_level

    @classmethod
    def from_config(
        cls,
        config: NodeConfig,
        *,
        engine: LiveExecutionEngineConfig | None = None,
        logging_config: LoggerConfig | None = None,
        post_stop_secs: float = POST_STOP_SECS,
        strategies: Sequence[Strategy] = (),
    ) -> VenueNode:
        """The node of a config, built and not running; `strategies` trade in it, too."""
        failures = Failures()
        sections = client_sections(config, failures, strategies=max(1, len(strategies)))
        served = config.metrics.port is not None
        telemetry = Telemetry(config, sections.counters, sections.health) if served else None
        node = build_node(
            config,
            engine=engine,
            logging_config=logging_config,
            post_stop_secs=post_stop_secs,
            sections=sections,
        )
        level, owners = _LEVELS[config.node.log_level], sections.ownership
        made = cls(node, failures, level, sections.counters, telemetry, owners)
        for strategy in strategies:
            made.add_strategy(strategy)
        return made

    def add_strategy(self, strategy: Strategy) -> None:
        """The strategy trades in this node, and gets back its orders of an earlier run."""
        self.node.add_strategy(strategy)
        self._ownership.add(strategy)

    async def run(self) -> Ending:
        """Runs until somebody stops the handle; never raises for what the node itself does."""
        self._failures.on_first = self.handle.stop
        stop_logs = forward_logs(self._log_level)
        try:
            if self.telemetry is not None:
                await self.telemetry.start()
            await self.node.run_async()
        except ConfigError as error:
            return Ending(EXIT_FAILED, error.message, error.hint)
        except RuntimeError as error:
            return self._ending(str(error))
        finally:
            if self.telemetry is not None:
                await self.telemetry.stop()
            stop_logs()
        return self._ending("")

    def dispose(self) -> None:
        """The node is gone; another one can be built in this thread once nobody holds a reference to it."""
        self.node.dispose()

    def _ending(self, text: str) -> Ending:
        if self._failures.found:
            return Ending(EXIT_FAILED, *self._failures.found[0])
        found = _UNRESOLVED.search(text)
        if found is not None:
            ids = tuple(part.strip(' "') for part in found["ids"].split(",") if part.strip())
            return Ending(
                EXIT_UNRESOLVED,
                f"stopped while the fate of {len(ids)} order(s) was unknown: {', '.join(ids)}",
                "check them at the venue; the next start looks them up.",
                ids,
            )
        return (
            Ending(EXIT_FAILED, f"the node failed: {text}", "see the log above.")
            if text
            else Ending(EXIT_CLEAN)
        )


@contextmanager
def short_collections() -> Iterator[None]:
    """Python's garbage collector passes over everything that was made before, until the end of this.

    That is the code, mostly. To look through it takes over ten milliseconds, in which nothing is traded.
    So it is done seldom, and the garbage of the node lies about for long.
    """
    gc.collect()
    gc.freeze()
    # The collector takes its measure of "seldom" from what this one leaves, which is next to nothing.
    gc.collect()
    try:
        yield
    finally:
        gc.unfreeze()


async def run_until_signalled(node: VenueNode) -> Ending:
    """Runs the node; the first SIGINT or SIGTERM stops it cleanly, a second one ends the process as usual.

    For a process that is there for the node: see `short_collections`.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int) -> None:
        log.warning("%s: stopping; once more ends the process at once", signal.Signals(number).name)
        for one in numbers:
            loop.remove_signal_handler(one)
        node.handle.stop()

    # Under `asyncio.run` a SIGTERM would kill the process without any disconnect.
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        with short_collections():
            return await node.run()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def run_node(config: NodeConfig, *, on_built: Callable[[VenueNode], None] | None = None) -> Ending:
    """Builds and runs a node until it is stopped or signalled; its `code` is the process's exit code.

    `on_built` gets the node before it runs: the only moment for its cache, its handle and further strategies.
    """
    node = VenueNode.from_config(config)
    try:
        if on_built is not None:
            on_built(node)
        ending = asyncio.run(run_until_signalled(node))
    finally:
        node.dispose()
    if ending.code != EXIT_CLEAN:
        log.error("%s %s", ending.message, ending.hint)
    return ending


def _engine_of(section: NodeSection) -> LiveExecutionEngineConfig:
    return engine_settings(
        lookback_mins=section.lookback_mins,
        forget_ended_mins=section.forget_ended_mins,
        forget_flat_mins=section.forget_flat_mins,
    )


def _add_strategy(node: LiveNode, section: StrategySection, path: str) -> Strategy:
    """The fields go to the config class that is named, or that `__init__` takes; Nautilus checks no types."""
    try:
        cls = resolve_path(section.path)
        if not isinstance(cls, type) or not issubclass(cls, Strategy):
            raise TypeError("it is no Strategy")
        config_path = section.config_path or _config_path(cls)
        if config_path is not None:
            settings = resolve_path(config_path)
            if not isinstance(settings, type):
                raise TypeError(f"{config_path} is no class")
            strategy = cls(construct_config(settings, dict(section.config)))
        elif not section.config:
            strategy = cls()
        else:
            raise TypeError("its __init__ takes no annotated config, so its fields have no place")
        node.add_strategy(strategy)
    except Exception as error:
        # Foreign code and Nautilus's decoder raise what they like; the user needs the place in the file.
        hint = "check the class and its config; config_path names the class of the config."
        raise ConfigError(
            f"{section.path} cannot be made: {_one_line(error)}", path=path, hint=hint
        ) from error
    return strategy


def _config_path(strategy: type[Strategy]) -> str | None:
    """`module:Class` of the config that the strategy's `__init__` is annotated with, or None."""
    found = get_type_hints(strategy.__init__).get("config")
    return f"{found.__module__}:{found.__qualname__}" if isinstance(found, type) else None


def _trader_id(text: str) -> TraderId:
    try:
        return TraderId(text)
    except ValueError as error:
        raise ConfigError(
            "is no trader id", path="node.trader_id", hint="write name-number, e.g. TRADER-001."
        ) from error


def _logger_config(section: NodeSection) -> LoggerConfig:
    level = LogLevel.from_str(section.log_level)
    if section.log_format == "text":
        return LoggerConfig(stdout_level=level)
    # Nautilus writes JSON to files alone; its errors still go to standard error as text.
    return LoggerConfig(
        stdout_level=LogLevel.OFF,
        fileout_level=level,
        file_config=FileWriterConfig(section.log_directory, section.name, "json"),
        print_config=False,
    )


def _one_line(error: BaseException) -> str:
    text = error.message if isinstance(error, VenuekitError) else " ".join(str(error).split())
    return text or type(error).__name__
