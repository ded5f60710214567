"""The one composition root: a venue's config, the plugins and a clock become the services of that venue."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from attrs import evolve, frozen

from venuekit.core.symbols import Symbols
from venuekit.errors import ConfigError, PluginError, Unsupported, VenuekitError
from venuekit.host.config import tuned
from venuekit.host.defaults import DEFAULTS
from venuekit.host.health import VenueHealth
from venuekit.host.journals import JournalKeeper
from venuekit.host.plugins import Registry, installed
from venuekit.host.secrets import resolve_secret
from venuekit.interfaces.hooks import Kind
from venuekit.interfaces.manifest import PortKind, StreamAuth
from venuekit.interfaces.venue import Parts, VenueContext
from venuekit.runtime.execution import ExecutionService
from venuekit.runtime.market_data import MarketDataService
from venuekit.runtime.pacer import Pacer
from venuekit.runtime.requester import Requester
from venuekit.runtime.rpc import StreamPort
from venuekit.runtime.session import Session, SessionState
from venuekit.runtime.telemetry import CounterTable
from venuekit.runtime.tokens import TokenKeeper
from venuekit.runtime.venue_time import ClockKeeper, ClockReading, VenueClock

if TYPE_CHECKING:
    from nautilus_trader.model import AccountId, InstrumentId

    from venuekit.host.config import VenueConfig
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Instrument
    from venuekit.interfaces.reconciliation import ReconciliationSource
    from venuekit.interfaces.request import RequestPort, StreamTransport
    from venuekit.interfaces.retry import RetryPolicy
    from venuekit.interfaces.signer import SecretRef, Signer
    from venuekit.interfaces.stream import Decoded
    from venuekit.interfaces.time import Clock
    from venuekit.interfaces.venue import InstrumentSource, OpenVenue
    from venuekit.runtime.dispatcher import CommandSpans
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.sink import DataSink, ExecutionSink


class ClosablePort(Protocol):
    """A request port as a transport factory makes it."""

    async def send(self, request: object, *, on_sent: Callable[[], None] = ...) -> object:
        """See `RequestPort`."""
        ...

    async def close(self) -> None:
        """No connection is left."""
        ...


def _same_port(port: RequestPort, _name: str) -> RequestPort:
    return port


def _same_stream(transport: StreamTransport) -> StreamTransport:
    return transport


@frozen
class Layers:
    """What is put around the transports: recording, replay, faults. Nothing by default."""

    port: Callable[[RequestPort, str], RequestPort] = _same_port
    stream: Callable[[StreamTransport], StreamTransport] = _same_stream


class _LoadedOnce:
    """The instruments of a venue, loaded when it was opened and not again by every service."""

    def __init__(self, source: InstrumentSource, loaded: Sequence[Instrument]) -> None:
        self._source = source
        self._loaded: Sequence[Instrument] | None = loaded

    async def load(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """The first whole load is what opening brought; everything else asks the venue."""
        if only is None and self._loaded is not None:
            loaded, self._loaded = self._loaded, None
            return loaded
        return await self._source.load(only)


class OpenedVenue:
    """One venue of one node, shared by its data client and its execution client."""

    def __init__(
        self,
        config: VenueConfig,
        *,
        clock: Clock,
        registry: Registry | None = None,
        layers: Layers | None = None,
        journal: Journal | None = None,
        counters: CounterTable | None = None,
        trace_commands: bool = False,
    ) -> None:
        """`trace_commands`: one OpenTelemetry span a command (extra `tracing`)."""
        self.config = config
        self.clock = VenueClock(clock)
        """Of data and orders alike: one account has one offset."""
        self.symbols = Symbols()
        self.counters = counters or CounterTable()
        self.log = logging.getLogger(f"venuekit.{config.key}")
        self._registry = registry or installed()
        self._descriptor = self._registry.venue(config.key)
        self.manifest: Manifest = tuned(self._registry.manifest(config.key), config)
        self._layers = layers or Layers()
        self._journals = JournalKeeper(config, self.manifest, journal, self.counters, self.log)
        self._trace_commands = trace_commands
        self._closers: list[Callable[[], object]] = []
        self._ports: dict[str, Requester] = {}
        self._pacer = Pacer(self.manifest, self.clock, self.counters)
        self._parts: Parts | None = None
        self._data: MarketDataService | None = None
        self._orders: ExecutionService | None = None
        self._private: Session | None = None
        self._clocks: ClockKeeper | None = None
        self.tokens: TokenKeeper | None = None

    @property
    def parts(self) -> Parts:
        """The venue's parts; only after `open`."""
        if self._parts is None:
            raise VenuekitError(f"{self.config.key} is not open", hint="await open() first")
        return self._parts

    async def open(self) -> None:
        """The venue's facts are read and its instruments loaded; nothing is left running when this raises."""
        check_addresses(self.config)
        try:
            for name, spec in self.manifest.ports.items():
                if spec.kind is not PortKind.STREAM:
                    self._ports[name] = self._request_port(name, spec.kind, spec.over)
            opener = cast("OpenVenue", self._registry.load(Kind.VENUE, self.config.key))
            parts = await opener(self.context())
            if parts.account is not None:
                await self._measure_clock(parts)
            if parts.account is not None and parts.account.auth is not None:
                self.tokens = TokenKeeper(
                    parts.account.auth,
                    self.clock,
                    self.counters,
                    self.log,
                    on_time_refused=self._time_refused,
                )
                for port in self._ports.values():
                    port.tokens = self.tokens
            loaded = await parts.instruments.load(None)
            parts = evolve(parts, instruments=_LoadedOnce(parts.instruments, loaded))
            self._parts = self._with_reconciler(parts)
        except BaseException:
            await self.close()
            raise

    def market_data(self, sink: DataSink) -> MarketDataService:
        """The service for public data, not started."""
        self._data = MarketDataService(
            manifest=self.manifest,
            parts=self.parts,
            symbols=self.symbols,
            transport=self._stream_transport(),
            clock=self.clock,
            retry=self._policy(attempts=0),
            counters=self.counters,
            log=self.log,
            sink=sink,
        )
        return self._data

    def execution(self, sink: ExecutionSink, account_id: AccountId) -> ExecutionService:
        """The service for orders, not started."""
        account = self.parts.account
        if account is None:
            raise Unsupported(
                f"{self.manifest.title} was opened without an account",
                hint=f"set venues.{self.config.key}.execution = true and give it a key",
            )
        spec = self.manifest.streams["private"]
        service: ExecutionService | None = None

        def on_decoded(decoded: Sequence[Decoded], epoch: int) -> None:
            assert service is not None
            service.on_decoded(decoded, epoch)

        def on_state(state: SessionState, why: str) -> None:
            assert service is not None
            service.on_session_state(state, why)

        session = Session(
            name=f"{self.config.key}.private",
            spec=spec,
            transport=self._stream_transport(),
            codecs=account.private,
            clock=self.clock,
            retry=self._policy(attempts=0),
            counters=self.counters,
            log=self.log,
            tokens=None if spec.auth is StreamAuth.NONE else self.tokens,
            on_decoded=on_decoded,
            on_state=on_state,
        )
        timeouts = {op: operation.timeout_ms for op, operation in self.manifest.operations.items()}
        # One for all names: keys are counted per session, and a reply names nothing else.
        stream = StreamPort(session, self.clock, timeouts)
        streams = [name for name, port in self.manifest.ports.items() if port.kind is PortKind.STREAM]
        service = ExecutionService(
            manifest=self.manifest,
            parts=account,
            symbols=self.symbols,
            session=session,
            ports={**self._ports, **{name: self._requester(name, stream) for name in streams}},
            resolve=stream.resolve,
            pacer=self._pacer,
            journal=self._journals.opened(),
            clock=self.clock,
            counters=self.counters,
            log=self.log,
            sink=sink,
            account_id=account_id,
            on_token_refused=self._token_refused,
            on_time_refused=self._time_refused,
            spans=self._spans() if self._trace_commands else None,
        )
        self._private, self._orders = session, service
        return service

    def health(self) -> VenueHealth:
        """How the services of this venue are now."""
        return venue_health(
            self.config,
            self.manifest,
            self._data,
            self._private,
            self._orders,
            self._pacer.depth(),
            self.clock.reading(),
        )

    async def close(self) -> None:
        """Ports and tokens are closed; the services must have been stopped by whoever started them."""
        if self._clocks is not None:
            await self._clocks.close()
        if self.tokens is not None:
            await self.tokens.close()
        self._journals.close()
        closers, self._closers = self._closers, []
        for close in closers:
            result = close()
            if asyncio.iscoroutine(result):
                await result

    def _spans(self) -> CommandSpans:
        from venuekit.runtime.spans import OpenTelemetrySpans

        return OpenTelemetrySpans(
            venue=self.config.key, clock=self.clock, counters=self.counters, log=self.log
        )

    async def _measure_clock(self, parts: Parts) -> None:
        """The venue's time is known where it tells it, before anything is signed."""
        if (parts.time is None) != (self.manifest.time is None):
            raise PluginError(f"{self.config.key}: `time` of its manifest and of its parts belong together")
        self._clocks = ClockKeeper(
            clock=self.clock,
            rule=self.manifest.time,
            source=parts.time,
            counters=self.counters,
            log=self.log,
        )
        await self._clocks.start()

    async def _time_refused(self) -> bool:
        """The venue refused the time in a signed request; True when it was wrong and is right now."""
        self.counters.inc("clock.refused_by_venue")
        return self._clocks is not None and await self._clocks.measure()

    def _token_refused(self) -> None:
        """A command's reply refused the token it carried, which is the current one."""
        if self.tokens is not None:
            self.tokens.refused_current()

    def context(self) -> VenueContext:
        """What the venue's parts receive; after `open` its ports attach the account's token."""
        environment = self.manifest.environments[self.config.environment]
        return VenueContext(
            venue=self.manifest.venue,
            clock=self.clock,
            ports=dict(self._ports),
            symbols=self.symbols,
            config=self.config.own,
            counters=self.counters,
            log=self.log,
            trading=self.config.execution,
            environment=evolve(environment, addresses=dict(self.config.addresses)),
            make_signer=self._make_signer if self.config.execution else None,
        )

    async def _make_signer(self, ref: SecretRef, facts: Mapping[str, str]) -> Signer:
        chosen = self._registry.pick(
            Kind.SIGNER, "", self.config.transport.signer, self._descriptor.prefers.get("signer")
        )
        factory = cast("Callable[..., Signer]", self._registry.load(Kind.SIGNER, chosen.key))

        def build() -> Signer:
            signer = factory(resolve_secret(ref, base=self.config.base), facts)
            signer.warm()
            return signer

        # A command that prints a key, and the tables of a signer, take longer than the loop may stand still.
        signer = await asyncio.to_thread(build)
        self._journals.account = facts.get("account") or signer.public
        return signer

    def _with_reconciler(self, parts: Parts) -> Parts:
        name = self.config.transport.reconciliation
        if name is None or parts.account is None:
            return parts
        chosen = self._registry.pick(Kind.RECONCILIATION, self.config.key, name)
        factory = cast(
            "Callable[[VenueContext], ReconciliationSource]",
            self._registry.load(Kind.RECONCILIATION, chosen.key),
        )
        return evolve(parts, account=evolve(parts.account, reads=factory(self.context())))

    def _request_port(self, name: str, kind: PortKind, address: str) -> Requester:
        factory = cast("Callable[..., ClosablePort]", self._load_transport(kind.value))
        timeouts = {op: operation.timeout_ms for op, operation in self.manifest.operations.items()}
        try:
            port = factory(
                self.config.addresses[address],
                clock=self.clock,
                timeouts_ms=timeouts,
                options=self._options(kind.value),
            )
        except ValueError as error:
            # Its text may repeat a value, and a proxy's address may hold a password.
            raise ConfigError(
                f"the {kind.value} transport does not take its options",
                path=f"venues.{self.config.key}.transport.options",
                hint=f"check those that begin with {kind.value}.",
            ) from error
        self._closers.append(port.close)
        return self._requester(name, self._layers.port(cast("RequestPort", port), name))

    def _requester(self, name: str, port: RequestPort) -> Requester:
        made = Requester(
            port,
            name=name,
            manifest=self.manifest,
            pacer=self._pacer,
            retry=self._policy(attempts=3),
            clock=self.clock,
            counters=self.counters,
        )
        made.tokens = self.tokens
        return made

    def _stream_transport(self) -> StreamTransport:
        factory = cast("Callable[..., StreamTransport]", self._load_transport("stream"))
        return self._layers.stream(factory(clock=self.clock, options=self._options("stream")))

    def _load_transport(self, kind: str) -> object:
        chosen = self._registry.pick(
            Kind.TRANSPORT,
            kind,
            getattr(self.config.transport, kind),
            self._descriptor.prefers.get(kind),
            DEFAULTS.get(kind),
        )
        return self._registry.load(Kind.TRANSPORT, chosen.key)

    def _policy(self, *, attempts: int) -> RetryPolicy:
        chosen = self._registry.pick(
            Kind.RETRY,
            "",
            self.config.transport.retry,
            self._descriptor.prefers.get("retry"),
            DEFAULTS["retry"],
        )
        factory = cast(
            "Callable[[Mapping[str, str]], RetryPolicy]", self._registry.load(Kind.RETRY, chosen.key)
        )
        return factory({"attempts": str(attempts), **self._options("retry")})

    def _options(self, kind: str) -> dict[str, str]:
        """The options `<kind>.<name>` of the config, without their prefix."""
        prefix = f"{kind}."
        options = self.config.transport.options
        return {
            name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)
        }


def venue_health(
    config: VenueConfig,
    manifest: Manifest,
    data: MarketDataService | None = None,
    private: Session | None = None,
    orders: ExecutionService | None = None,
    waiting: int = 0,
    clock: ClockReading = ClockReading("local"),  # noqa: B008 - frozen
) -> VenueHealth:
    """How a venue is; a service that is wanted and not there yet counts as down."""
    streams: dict[str, str] = {}
    if config.data and "public" in manifest.streams:
        streams |= {one.name: one.state.value for one in (data.sessions if data is not None else ())}
        streams = streams or {"public.0": SessionState.DOWN.value}
    if config.execution:
        streams["private"] = (private.state if private is not None else SessionState.DOWN).value
    return VenueHealth(
        environment=config.environment,
        streams=streams,
        orders=(orders is not None and orders.ready) if config.execution else None,
        unresolved=orders.unresolved if orders is not None else 0,
        waiting=waiting,
        clock=clock.state,
        clock_offset_ms=_ms(clock.offset_ns),
        clock_error_ms=_ms(clock.error_ns),
    )


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / 1_000_000


def check_addresses(config: VenueConfig) -> None:
    """Raise `ConfigError` for an address without TLS that is not on this machine."""
    for name, address in config.addresses.items():
        parts = urlsplit(address)
        if parts.scheme in ("http", "ws") and not _is_loopback(parts.hostname or ""):
            raise ConfigError(
                "an address without TLS may only point at this machine",
                path=f"venues.{config.key}.addresses.{name}",
                hint="use https:// or wss://",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class SharedVenue:
    """Holds one opened venue for several users: the first opens it, the last closes it."""

    def __init__(self, make: Callable[[CounterTable], OpenedVenue]) -> None:
        self._make = make
        self.counters = CounterTable()
        """Of the venue, readable before it is opened and after it is closed."""
        self._venue: OpenedVenue | None = None
        self._opening: asyncio.Task[OpenedVenue] | None = None
        self._holders = 0

    @property
    def opened(self) -> OpenedVenue | None:
        """The venue while it is open."""
        return self._venue

    async def acquire(self) -> OpenedVenue:
        """The opened venue; whoever got it calls `release` once."""
        self._holders += 1
        try:
            if self._opening is None:
                self._opening = asyncio.get_running_loop().create_task(self._open(), name="open-venue")
            # Shielded: the other holder must not lose the venue because one of them was cancelled.
            return await asyncio.shield(self._opening)
        except BaseException:
            self._holders -= 1
            if self._opening is not None and self._opening.done():
                self._opening = None
            raise

    async def release(self) -> None:
        """One holder fewer; the last one closes the venue."""
        self._holders -= 1
        if self._holders == 0 and self._venue is not None:
            venue, self._venue, self._opening = self._venue, None, None
            await venue.close()

    async def _open(self) -> OpenedVenue:
        venue = self._make(self.counters)
        await venue.open()
        if self._holders:
            self._venue = venue
        else:
            # Everybody who wanted it gave up meanwhile, so nobody will release it.
            self._opening = None
            await venue.close()
        return venue
