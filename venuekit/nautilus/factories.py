"""Factories and config classes for Nautilus. A config names a venue and carries references, no secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import frozen
from nautilus_trader.config import DataClientConfig, ExecutionClientConfig
from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import AccountId

from venuekit.host.config import VenueConfig, parse_venue
from venuekit.host.open import OpenedVenue, SharedVenue
from venuekit.host.plugins import installed
from venuekit.interfaces.manifest import Manifest
from venuekit.nautilus.data import VenueDataClient
from venuekit.nautilus.execution import VenueExecutionClient
from venuekit.nautilus.ownership import Homecoming, OwnerClient
from venuekit.runtime.clock import RealClock

if TYPE_CHECKING:
    from nautilus_trader.common import Clock
    from nautilus_trader.config import InstrumentProviderConfig, RoutingConfig
    from nautilus_trader.live import ClientCache
    from nautilus_trader.model import TraderId

    from venuekit.nautilus.data import OnFailure


class VenueDataConfig(DataClientConfig):
    """One venue's data client: `section` is its `[venues.<key>]` table as plain values, secrets by reference.

    A plain class with an own `__init__`: the native base takes its three keywords in `__new__`, and a
    generated `__init__` would refuse them.
    """

    venue: str
    section: dict[str, object]

    def __init__(
        self,
        *,
        venue: str,
        section: Mapping[str, object] | None = None,
        handle_revised_bars: bool | None = None,
        instrument_provider: InstrumentProviderConfig | None = None,
        routing: RoutingConfig | None = None,
    ) -> None:
        self.venue = venue
        self.section = dict(section or {})


class VenueExecutionConfig(ExecutionClientConfig):
    """One venue's execution client; `account` is the number behind the venue in Nautilus's account id."""

    venue: str
    section: dict[str, object]
    account: str

    def __init__(
        self,
        *,
        venue: str,
        section: Mapping[str, object] | None = None,
        account: str = "001",
        instrument_provider: InstrumentProviderConfig | None = None,
        routing: RoutingConfig | None = None,
    ) -> None:
        self.venue = venue
        self.section = dict(section or {})
        self.account = account


@frozen
class Subject:
    """The venue that the clients of one node share, and who is told when one of them cannot connect."""

    manifest: Manifest
    shared: SharedVenue
    on_failure: OnFailure | None = None
    homecoming: Homecoming | None = None
    """Gives orders of an earlier run back to their strategies; None: as the strategies' claims say."""


def make_subject(
    config: VenueConfig,
    on_failure: OnFailure | None = None,
    *,
    trace_commands: bool = False,
    homecoming: Homecoming | None = None,
) -> Subject:
    """A subject of its own: nothing is opened yet."""
    shared = SharedVenue(
        lambda counters: OpenedVenue(
            config, clock=RealClock(), counters=counters, trace_commands=trace_commands
        )
    )
    return Subject(installed().manifest(config.key), shared, on_failure, homecoming)


def data_client(
    subject: Subject, *, name: str, config: DataClientConfig, cache: ClientCache, clock: Clock
) -> VenueDataClient:
    """The data client of a subject, with nothing opened yet."""
    if not isinstance(config, VenueDataConfig):
        raise TypeError(f"{name} needs a VenueDataConfig, not a {type(config).__name__}")
    return VenueDataClient(
        name=name,
        config=config,
        cache=cache,
        clock=clock,
        manifest=subject.manifest,
        shared=subject.shared,
        on_failure=subject.on_failure,
    )


def execution_client(
    subject: Subject,
    *,
    name: str,
    config: ExecutionClientConfig,
    cache: ClientCache,
    clock: Clock,
    trader_id: TraderId,
) -> VenueExecutionClient:
    """The execution client of a subject, with nothing opened yet."""
    if not isinstance(config, VenueExecutionConfig):
        raise TypeError(f"{name} needs a VenueExecutionConfig, not a {type(config).__name__}")
    return VenueExecutionClient(
        name=name,
        config=config,
        cache=cache,
        clock=clock,
        trader_id=trader_id,
        manifest=subject.manifest,
        shared=subject.shared,
        on_failure=subject.on_failure,
        homecoming=subject.homecoming,
    )


def factories_of(subject: Subject) -> tuple[DataClientFactory, ExecutionClientFactory]:
    """The two factories of one node that share `subject`."""

    class BoundDataFactory(DataClientFactory):
        @staticmethod
        def create(
            *, name: str, config: DataClientConfig, cache: ClientCache, clock: Clock
        ) -> VenueDataClient:
            return data_client(subject, name=name, config=config, cache=cache, clock=clock)

    class BoundExecutionFactory(ExecutionClientFactory):
        @staticmethod
        def create(
            *,
            name: str,
            config: ExecutionClientConfig,
            cache: ClientCache,
            clock: Clock,
            trader_id: TraderId,
        ) -> VenueExecutionClient:
            return execution_client(
                subject, name=name, config=config, cache=cache, clock=clock, trader_id=trader_id
            )

    return BoundDataFactory(), BoundExecutionFactory()


def owner_factory(manifest: Manifest, homecoming: Homecoming) -> ExecutionClientFactory:
    """Makes the further clients of an account, see `Homecoming`."""

    class OwnerFactory(ExecutionClientFactory):
        @staticmethod
        def create(
            *,
            name: str,
            config: ExecutionClientConfig,
            cache: ClientCache,
            clock: Clock,
            trader_id: TraderId,
        ) -> OwnerClient:
            if not isinstance(config, VenueExecutionConfig):
                raise TypeError(f"{name} needs a VenueExecutionConfig, not a {type(config).__name__}")
            return OwnerClient(
                name=name,
                config=config,
                cache=cache,
                clock=clock,
                trader_id=trader_id,
                account_id=AccountId(f"{manifest.venue}-{config.account}"),
                manifest=manifest,
                homecoming=homecoming,
            )

    return OwnerFactory()


_by_section: WeakValueDictionary[tuple[int, str, str], SharedVenue] = WeakValueDictionary()
"""What the importable factories share. A thread runs one node, so the thread is part of the key."""


def _subject_of(config: VenueDataConfig | VenueExecutionConfig) -> Subject:
    """The subject of a client made from an importable config; equal sections of one node share one venue."""
    venue = parse_venue(config.venue, config.section)
    key = (threading.get_ident(), config.venue, json.dumps(config.section, sort_keys=True))
    shared = _by_section.get(key)
    if shared is None:
        shared = _by_section[key] = SharedVenue(
            lambda counters: OpenedVenue(venue, clock=RealClock(), counters=counters)
        )
    return Subject(installed().manifest(venue.key), shared)


class VenueDataClientFactory(DataClientFactory):
    """The importable factory: everything comes from the client's own config."""

    @staticmethod
    def create(*, name: str, config: DataClientConfig, cache: ClientCache, clock: Clock) -> VenueDataClient:
        """The client, with nothing opened yet."""
        if not isinstance(config, VenueDataConfig):
            raise TypeError(f"{name} needs a VenueDataConfig, not a {type(config).__name__}")
        return data_client(_subject_of(config), name=name, config=config, cache=cache, clock=clock)


class VenueExecutionClientFactory(ExecutionClientFactory):
    """The importable factory: everything comes from the client's own config."""

    @staticmethod
    def create(
        *, name: str, config: ExecutionClientConfig, cache: ClientCache, clock: Clock, trader_id: TraderId
    ) -> VenueExecutionClient:
        """The client, with nothing opened yet."""
        if not isinstance(config, VenueExecutionConfig):
            raise TypeError(f"{name} needs a VenueExecutionConfig, not a {type(config).__name__}")
        return execution_client(
            _subject_of(config), name=name, config=config, cache=cache, clock=clock, trader_id=trader_id
        )
