"""One TOML file, with flags over environment over file, read into records; every error names its field.

No message repeats a value: what stands in the wrong field may be a secret.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from attrs import Factory, evolve, field, fields, frozen

from venuekit.errors import ConfigError, PluginError
from venuekit.host.defaults import DEFAULTS
from venuekit.host.plugins import Registry, installed
from venuekit.host.structure import structure
from venuekit.interfaces.hooks import Kind
from venuekit.interfaces.manifest import Manifest

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

LogLevel = Literal["OFF", "TRACE", "DEBUG", "INFO", "WARNING", "ERROR"]


@frozen(kw_only=True)
class NodeSection:
    """The section `[node]`."""

    name: str = "venuekit"
    trader_id: str = "TRADER-001"
    environment: Literal["live", "sandbox"] = "live"
    log_level: LogLevel = "INFO"


@frozen(kw_only=True)
class TransportSection:
    """The section `[venues.<key>.transport]`: names picked from the plugins; None leaves it to the venue."""

    http: str | None = None
    stream: str | None = None
    rpc: str | None = None
    retry: str | None = None
    signer: str | None = None
    reconciliation: str | None = None
    options: Mapping[str, str] = field(factory=dict)
    """Handed to every factory of this venue."""


@frozen(kw_only=True)
class StrategySection:
    """One `[[strategies]]`: a class, optionally the class of its config, and the config's fields."""

    path: str
    config_path: str | None = None
    config: Mapping[str, object] = field(factory=dict)


@frozen(kw_only=True)
class VenueSection:
    """What every `[venues.<key>]` may say; the rest of its fields are the venue's own."""

    environment: str
    addresses: Mapping[str, str] = field(factory=dict)
    """Base addresses by name, over those of the environment."""
    data: bool = True
    execution: bool = False
    transport: TransportSection = Factory(TransportSection)


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


@frozen(kw_only=True)
class NodeConfig:
    """A whole config, checked."""

    node: NodeSection
    venues: Mapping[str, VenueConfig]
    strategies: tuple[StrategySection, ...] = ()


@frozen(kw_only=True)
class _Root:
    node: NodeSection = Factory(NodeSection)
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
    return NodeConfig(node=root.node, venues=venues, strategies=strategies)


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
    )


def _chosen(registry: Registry, key: str, section: TransportSection, path: str) -> TransportSection:
    prefers = registry.venue(key).prefers
    chosen: dict[str, str] = {}
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
                chosen[slot] = registry.pick(kind, scope, name).key
            except PluginError as error:
                raise ConfigError(error.message, path=f"{path}.transport.{slot}", hint=error.hint) from error
    return TransportSection(options=section.options, **chosen)


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
    for name in section.addresses:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise ConfigError(
                f"{manifest.title} has no such address",
                path=f"{path}.addresses.{name}",
                hint=f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(sorted(names))}.",
            )
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
