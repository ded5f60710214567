"""One TOML file, with flags over environment over file, read into records; every error names its field.

No message repeats a value: what stands in the wrong field may be a secret.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from attrs import Factory, evolve, field, fields, frozen

from venuekit.errors import ConfigError, PluginError
from venuekit.host.defaults import DEFAULTS
from venuekit.host.plugins import Registry, installed
from venuekit.host.structure import structure
from venuekit.interfaces.hooks import Kind, Provided
from venuekit.interfaces.manifest import Bucket, Manifest
from venuekit.interfaces.stream import BOOK_KINDS

ENVIRONMENT_PREFIX = "VENUEKIT__"
"""`VENUEKIT__NODE__LOG_LEVEL=DEBUG` sets `node.log_level`."""

SLOTS: Mapping[str, tuple[Kind, str | None]] = {
    "http": (Kind.TRANSPORT, "http"),
    "stream": (Kind.TRANSPORT, "stream"),
    "rpc": (Kind.TRANSPORT, "rpc"),
    "retry": (Kind.RETRY, ""),
    "signer": (Kind.SIGNER, None),
    "reconciliation": (Kind.RECONCILIATION, None),
}
"""What a config can name, and the part of the descriptors' keys that goes without saying."""

OPTION_SLOTS = ("http", "stream", "rpc", "retry")
"""The slots whose factories take options."""

MEMORY = "memory"
"""The journal that ends with the process."""

LogLevel = Literal["OFF", "TRACE", "DEBUG", "INFO", "WARNING", "ERROR"]


@frozen(kw_only=True)
class NodeSection:
    """The section `[node]`."""

    name: str = "venuekit"
    """Of the node, in its log and in `/health`."""
    trader_id: str = "TRADER-001"
    """Nautilus's id of the trader: a name, a hyphen, a number."""
    environment: Literal["live", "sandbox"] = "live"
    """Of Nautilus; only `live` can be run so far. A venue's own environment says whether money is real."""
    log_level: LogLevel = "INFO"
    """Lines below it are not written."""
    log_format: Literal["text", "json"] = "text"
    """`text`: to standard output. `json`: one object a line, to the file `<log_directory>/<name>.jsonl`."""
    log_directory: str = "logs"
    """Where the JSON log is, relative to the folder the process was started in."""
    lookback_mins: int | None = None
    """How far back ended orders and fills are read at the start; positions hold the rest. Absent: all."""
    forget_ended_mins: int | None = None
    """Ended orders leave Nautilus's cache after so many minutes, at least 5. Absent: they stay."""
    forget_flat_mins: int | None = None
    """A position that is flat that many minutes leaves Nautilus's cache with its fills. Absent: it stays."""
    tick_capacity: int | None = None
    """So many quotes and so many trades of each instrument stay in Nautilus's cache. Absent: 10,000."""


@frozen(kw_only=True)
class MetricsSection:
    """The section `[metrics]`."""

    port: int | None = None
    """Serve `/metrics` and `/health` on 127.0.0.1 at this port (0: any free one). Extra `metrics`."""


@frozen(kw_only=True)
class TracingSection:
    """The section `[tracing]`."""

    commands: bool = False
    """One OpenTelemetry span a command, to the provider that the program has set. Extra `tracing`."""


@frozen(kw_only=True)
class TransportSection:
    """The section `[venues.<key>.transport]`: names of plugins; without one the venue chooses."""

    http: str | None = None
    """The driver of HTTP requests."""
    stream: str | None = None
    """The driver of streams."""
    rpc: str | None = None
    """The driver of RPCs."""
    retry: str | None = None
    """When reads and connections are tried again."""
    signer: str | None = None
    """Who signs, for the venue's scheme."""
    reconciliation: str | None = None
    """Who reads the account instead of the venue's own reads."""
    options: Mapping[str, str] = field(factory=dict)
    """Options of the chosen drivers and policy, each under `<kind>.<name>`; see the table below."""


@frozen(kw_only=True)
class LimitSection:
    """One `[venues.<key>.limits.<bucket>]`: figures over those of the manifest."""

    rate: int | None = None
    """Units a window."""
    burst: int | None = None
    """Units at once at most; without it the manifest's, but no more than `rate`."""


@frozen(kw_only=True)
class StrategySection:
    """One `[[strategies]]`: a class, optionally the class of its config, and the config's fields."""

    path: str
    """`module:Class` of the strategy."""
    config_path: str | None = None
    """`module:Class` of its config; without it the class that its `__init__` is annotated with."""
    config: Mapping[str, object] = field(factory=dict)
    """The fields of its config."""


@frozen(kw_only=True)
class VenueSection:
    """What every `[venues.<key>]` may say; the rest of its fields are the venue's own."""

    environment: str
    """One of the venue's environments, see `venuekit venues`."""
    addresses: Mapping[str, str] = field(factory=dict)
    """Base addresses by name, over those of the environment. Without TLS only on this machine."""
    data: bool = True
    """Market data is wanted."""
    execution: bool = False
    """Orders are wanted."""
    timeouts_ms: Mapping[str, int] = field(factory=dict)
    """By operation: how long a request may take. An operation that is not named keeps the manifest's time."""
    order_wait_ms: int | None = None
    """A submit or change that cannot leave within this, by default 30,000, is rejected unsent."""
    limits: Mapping[str, LimitSection] = field(factory=dict)
    """By bucket: less than the venue grants where other programs share it, more where it grants more."""
    transport: TransportSection = Factory(TransportSection)
    """Which plugins carry the bytes, and their options."""
    journal: str | None = None
    """Where orders are remembered: a folder for one file an account, a file `*.journal`, or `memory`. Without
    it a folder of the user's, `~/.local/share/venuekit/journals`; a simulator's orders are not kept."""
    journal_durable: bool = False
    """Every line of a journal in a file survives a power cut, too, at the cost of a disk flush each."""


@frozen(kw_only=True)
class VenueConfig:
    """One venue of a node: the shared fields, and `own`, an instance of the venue's config class."""

    key: str
    """Of the venue's descriptor."""
    environment: str
    addresses: Mapping[str, str]
    """All base addresses by name: those of the environment, overridden by the config's."""
    data: bool
    execution: bool
    transport: TransportSection
    """Whole descriptor keys, as far as the config, the venue or the defaults, in this order, name one."""
    own: object
    base: Path
    """The folder that relative secret files are looked for in."""
    timeouts_ms: Mapping[str, int] = field(factory=dict)
    """By operation, over the manifest's."""
    order_wait_ms: int | None = None
    """Over the manifest's."""
    limits: Mapping[str, LimitSection] = field(factory=dict)
    """By bucket, over the manifest's."""
    journal: str | None = None
    """`memory`, or a path relative to `base`; None: the user's folder, but memory on a simulator."""
    journal_durable: bool = False


@frozen(kw_only=True)
class NodeConfig:
    """A whole config, checked."""

    node: NodeSection
    venues: Mapping[str, VenueConfig]
    strategies: tuple[StrategySection, ...] = ()
    metrics: MetricsSection = Factory(MetricsSection)
    tracing: TracingSection = Factory(TracingSection)


@frozen(kw_only=True)
class _Root:
    node: NodeSection = Factory(NodeSection)
    metrics: MetricsSection = Factory(MetricsSection)
    tracing: TracingSection = Factory(TracingSection)
    venues: Mapping[str, dict[str, object]] = field(factory=dict)
    strategies: tuple[StrategySection, ...] = ()


def load_config(
    path: Path,
    *,
    flags: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> NodeConfig:
    """Read and check a file; `flags` are `path.to.field=value`. `ConfigError` names the field at fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    return parse_config(
        text, source=str(path), base=path.parent, flags=flags, environ=environ, registry=registry
    )


def parse_config(
    text: str,
    *,
    source: str = "config",
    base: Path | None = None,
    flags: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> NodeConfig:
    """Read and check the text of a config file."""
    try:
        # Decimals keep what the user wrote; a venue's field that wants a float says so in its type.
        tree = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}", hint="mend the line named above.") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply", hint="no field needs that.") from None
    _apply_environment(tree, os.environ if environ is None else environ)
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals:
            raise ConfigError("is no assignment", path=flag, hint="write path.to.field=value.")
        _assign(tree, name.strip().split("."), value, name)
    root = structure(tree, _Root, "")
    if not root.venues:
        raise ConfigError("no venue is configured", path="venues", hint="add a section [venues.<name>].")
    found = installed() if registry is None else registry
    venues = {
        key: parse_venue(key, section, registry=found, base=base) for key, section in root.venues.items()
    }
    strategies = tuple(evolve(strategy, config=_plain_table(strategy.config)) for strategy in root.strategies)
    for index, strategy in enumerate(strategies):
        _check_class_path(strategy, f"strategies[{index}]")
    if root.metrics.port is not None and not 0 <= root.metrics.port <= 65_535:
        raise ConfigError("is no port", path="metrics.port", hint="write 0 to 65535.")
    if root.node.lookback_mins is not None and root.node.lookback_mins < 1:
        raise ConfigError("must be at least 1", path="node.lookback_mins", hint="leave it out for all.")
    if root.node.forget_ended_mins is not None and root.node.forget_ended_mins < 5:
        raise ConfigError("must be at least 5", path="node.forget_ended_mins", hint="leave it out for none.")
    if root.node.forget_flat_mins is not None and root.node.forget_flat_mins < 0:
        raise ConfigError("must be at least 0", path="node.forget_flat_mins", hint="leave it out for none.")
    if root.node.tick_capacity is not None and root.node.tick_capacity < 1:
        raise ConfigError("must be at least 1", path="node.tick_capacity", hint="leave it out for 10,000.")
    return NodeConfig(
        node=root.node, metrics=root.metrics, tracing=root.tracing, venues=venues, strategies=strategies
    )


def parse_venue(
    key: str,
    section: Mapping[str, object],
    *,
    registry: Registry | None = None,
    base: Path | None = None,
) -> VenueConfig:
    """Read and check one `[venues.<key>]` table."""
    path = f"venues.{key}"
    found = installed() if registry is None else registry
    try:
        manifest, own_class = found.manifest(key), found.config_class(key)
    except PluginError as error:
        raise ConfigError(error.message, path=path, hint=error.hint) from error
    shared_names = {attribute.name for attribute in fields(VenueSection)}
    shared = {name: value for name, value in section.items() if name in shared_names}
    if "transport" in shared:
        shared["transport"] = _flat_options(shared["transport"])
    rest = {name: value for name, value in section.items() if name not in shared_names}
    own: object = structure(rest, own_class, path, also_known=shared_names)
    checked = structure(shared, VenueSection, path)
    _check_against(manifest, checked, path)
    return VenueConfig(
        key=key,
        environment=checked.environment,
        addresses={**manifest.environments[checked.environment].addresses, **checked.addresses},
        data=checked.data,
        execution=checked.execution,
        transport=_chosen(found, key, checked.transport, path),
        own=own,
        base=Path() if base is None else base,
        timeouts_ms=checked.timeouts_ms,
        order_wait_ms=checked.order_wait_ms,
        limits=checked.limits,
        journal=checked.journal,
        journal_durable=checked.journal_durable,
    )


def tuned(manifest: Manifest, config: VenueConfig) -> Manifest:
    """The manifest with the times and limits of a checked config."""
    operations = {
        name: evolve(operation, timeout_ms=config.timeouts_ms.get(name, operation.timeout_ms))
        for name, operation in manifest.operations.items()
    }
    buckets = {
        name: _tuned_bucket(bucket, config.limits.get(name, LimitSection()))
        for name, bucket in manifest.buckets.items()
    }
    orders = manifest.orders
    if orders is not None and config.order_wait_ms is not None:
        orders = evolve(orders, wait_ms=config.order_wait_ms)
    return evolve(manifest, operations=operations, buckets=buckets, orders=orders)


def _tuned_bucket(bucket: Bucket, limit: LimitSection) -> Bucket:
    rate = bucket.rate if limit.rate is None else limit.rate
    burst = min(bucket.burst, rate) if limit.burst is None else limit.burst
    return evolve(bucket, rate=rate, burst=burst) if limit != LimitSection() else bucket


def _flat_options(transport: object) -> object:
    """`options.http.proxy` may be one name or stand for tables; numbers, true and false become texts."""
    if not isinstance(transport, Mapping) or not isinstance(transport.get("options"), Mapping):
        return transport  # what is wrong here is told where the section is read

    def flat(table: Mapping[str, object], prefix: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in table.items():
            if isinstance(value, Mapping):
                found |= flat(value, f"{prefix}{name}.")
            else:
                is_flag = isinstance(value, bool)
                text = str(value).lower() if is_flag else str(value) if isinstance(value, int) else value
                found[f"{prefix}{name}"] = text
        return found

    return {**transport, "options": flat(transport["options"], "")}


def _chosen(registry: Registry, key: str, section: TransportSection, path: str) -> TransportSection:
    prefers = registry.venue(key).prefers
    chosen: dict[str, Provided] = {}
    for slot, (kind, scope) in SLOTS.items():
        named = getattr(section, slot)
        preferred = prefers.get(slot)
        if scope is None:
            # The scheme of a signature is the venue's; only the name behind it can be chosen.
            scope = preferred.partition("/")[0] if preferred else key
        # A venue brings its own account reads; another source is looked for only when the config names it.
        if kind is Kind.RECONCILIATION:
            preferred = None
        if name := named or preferred or DEFAULTS.get(slot):
            try:
                chosen[slot] = registry.pick(kind, scope, name)
            except PluginError as error:
                raise ConfigError(error.message, path=f"{path}.transport.{slot}", hint=error.hint) from error
    for option in section.options:
        _check_option(option, chosen, f"{path}.transport.options.{option}")
    names = {slot: provided.key for slot, provided in chosen.items()}
    return TransportSection(options=section.options, **names)


def _check_option(option: str, chosen: Mapping[str, Provided], path: str) -> None:
    """An option that nobody reads would fail in silence: a proxy that is not used, for one."""
    slot, _, name = option.partition(".")
    if slot not in OPTION_SLOTS or slot not in chosen:
        taken = [one for one in OPTION_SLOTS if one in chosen]
        raise ConfigError("nobody reads this option", path=path, hint=f"begin it with {', '.join(taken)}.")
    known = chosen[slot].options
    if known is not None and name not in known:
        near = get_close_matches(name, known, n=1)
        raise ConfigError(
            f"{chosen[slot].key} has no such option",
            path=path,
            hint=f"did you mean {slot}.{near[0]}?"
            if near
            else f"known: {', '.join(sorted(known)) or 'none'}.",
        )


def _check_tuning(manifest: Manifest, section: VenueSection, path: str) -> None:
    for op, timeout_ms in section.timeouts_ms.items():
        _check_known(
            op, manifest.operations, f"{path}.timeouts_ms.{op}", f"{manifest.title} has no such operation"
        )
        if timeout_ms < 1:
            raise ConfigError("must be at least 1", path=f"{path}.timeouts_ms.{op}")
    if section.order_wait_ms is not None and section.order_wait_ms < 1:
        raise ConfigError("must be at least 1", path=f"{path}.order_wait_ms")
    for name, limit in section.limits.items():
        where = f"{path}.limits.{name}"
        _check_known(name, manifest.buckets, where, f"{manifest.title} has no such limit")
        costs = [one.costs[name] for one in manifest.operations.values() if name in one.costs]
        bucket = _tuned_bucket(manifest.buckets[name], limit)
        if bucket.rate < 1 or bucket.burst < max(costs, default=1):
            raise ConfigError(
                "would let no request through",
                path=where,
                hint=f"one request costs up to {max(costs, default=1)}: burst must not be less.",
            )


def _check_known(name: str, known: Collection[str], path: str, message: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(sorted(known)) or 'none'}."
        raise ConfigError(message, path=path, hint=hint)


def _check_against(manifest: Manifest, section: VenueSection, path: str) -> None:
    known = manifest.environments
    if section.environment not in known:
        raise ConfigError(
            f"{manifest.title} has no such environment",
            path=f"{path}.environment",
            hint=f"one of: {', '.join(sorted(known))}.",
        )
    names = known[section.environment].addresses
    for stream, spec in manifest.streams.items():
        if spec.address not in names:
            raise PluginError(
                f"{manifest.title}: the {stream} stream needs the address {spec.address!r}, "
                f"which {section.environment} does not have",
                hint="this is a defect of the venue's package: upgrade it.",
            )
    books = [manifest.data[kind] for kind in BOOK_KINDS if kind in manifest.data]
    if any(book.subscribe for book in books) and all(book.silent_ms is None for book in books):
        raise PluginError(
            f"{manifest.title}: its manifest does not say how long a book may be silent (`silent_ms`), "
            "so a mute book would never be found",
            hint="this is a defect of the venue's package: upgrade it.",
        )
    for name in section.addresses:
        _check_known(name, names, f"{path}.addresses.{name}", f"{manifest.title} has no such address")
    _check_tuning(manifest, section, path)
    for name, address in {**names, **section.addresses}.items():
        # A target of an RPC has no scheme; what has one must keep it.
        if not address or ("://" in names[name] and "://" not in address):
            raise ConfigError(
                "a whole address is needed here",
                path=f"{path}.addresses.{name}",
                hint="write it with scheme and host.",
            )
    if section.execution and not manifest.trades:
        raise ConfigError(
            f"{manifest.title} is data only", path=f"{path}.execution", hint="set execution = false."
        )
    if not (section.execution or section.data):
        raise ConfigError(
            "neither data nor execution is wanted", path=path, hint="set one of them, or remove the section."
        )


def _apply_environment(tree: dict[str, object], environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            _assign(tree, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), environ[name], name)


def _assign(tree: dict[str, object], parts: Sequence[str], text: str, source: str) -> None:
    """Set one field; the text is a TOML value, or else taken as it stands."""
    try:
        value: object = tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        value = text
    except RecursionError:
        raise ConfigError("is nested too deeply", path=source, hint="no field needs that.") from None
    table = tree
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError("leads through a field that is no table", path=source)
        table = inner
    if not all(parts):
        raise ConfigError("names no field", path=source, hint="write section.field.")
    table[parts[-1]] = value


def _plain_table(table: Mapping[str, object]) -> dict[str, object]:
    return {key: _plain(value) for key, value in table.items()}


def _plain(value: object) -> object:
    """A strategy's config is decoded by Nautilus from JSON types: exact numbers are texts there."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return _plain_table(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _check_class_path(strategy: StrategySection, path: str) -> None:
    for name, reference in (("path", strategy.path), ("config_path", strategy.config_path)):
        module, _, attribute = (reference or "m:C").partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
            raise ConfigError("is no reference", path=f"{path}.{name}", hint="write module:Class.")
