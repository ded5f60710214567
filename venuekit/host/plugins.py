"""Finds plugins through the entry-point group `venuekit`, one by one inside a guard.

A plugin that cannot be used stays in the registry's report with its reason and stops only who asks for it.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

import pluggy
from attrs import field, frozen, has

from venuekit.errors import PluginError
from venuekit.interfaces import hooks
from venuekit.interfaces.hooks import API_VERSION, PROJECT, Kind, Provided, Venue
from venuekit.interfaces.manifest import Manifest

TRACE_VARIABLE = "VENUEKIT_TRACE_PLUGINS"
"""Set to anything but empty or 0: every hook call is printed to standard error."""

log = logging.getLogger("venuekit.host.plugins")

_HOOK_KINDS = {
    "venuekit_venues": Kind.VENUE,
    "venuekit_transports": Kind.TRANSPORT,
    "venuekit_retry_policies": Kind.RETRY,
    "venuekit_signers": Kind.SIGNER,
    "venuekit_reconcilers": Kind.RECONCILIATION,
    "venuekit_simulators": Kind.SIMULATOR,
    "venuekit_commands": Kind.COMMAND,
}
_NAME = "[a-z0-9][a-z0-9_-]*"
_KEY_SHAPES = {
    Kind.VENUE: _NAME,
    Kind.TRANSPORT: f"(http|stream|rpc|layer)/{_NAME}",
    Kind.RETRY: _NAME,
    Kind.SIGNER: f"{_NAME}/{_NAME}",
    Kind.RECONCILIATION: f"{_NAME}/{_NAME}",
    Kind.SIMULATOR: _NAME,
    Kind.COMMAND: _NAME,
}
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@frozen
class Origin:
    """Where a plugin comes from."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@frozen
class Problem:
    """A plugin, or one of its claims, that cannot be used."""

    origin: Origin
    reason: str
    hint: str = ""


@frozen
class Entry:
    """A descriptor and the plugin it came from."""

    provided: Provided
    origin: Origin


@frozen
class Registry:
    """Everything the installed plugins provide, and everything that is wrong with them."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    plugins: tuple[Origin, ...] = ()
    _index: dict[tuple[Kind, str], tuple[Entry, ...]] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        index: dict[tuple[Kind, str], tuple[Entry, ...]] = {}
        for entry in self.entries:
            name = (entry.provided.kind, entry.provided.key)
            index[name] = (*index.get(name, ()), entry)
        object.__setattr__(self, "_index", index)

    def keys(self, kind: Kind) -> tuple[str, ...]:
        """The usable keys of a kind, sorted."""
        mine = {key: found for (of, key), found in self._index.items() if of is kind}
        return tuple(sorted(key for key, found in mine.items() if len(found) == 1))

    def conflicts(self) -> tuple[tuple[Entry, ...], ...]:
        """The groups of descriptors that claim one (kind, key)."""
        return tuple(found for found in self._index.values() if len(found) > 1)

    def entry(self, kind: Kind, key: str) -> Entry:
        """The one descriptor with this key and its origin; `PluginError` says why there is none."""
        found = self._index.get((kind, key), ())
        if len(found) == 1:
            return found[0]
        if found:
            raise _conflict(found)
        raise self._missing(kind, key)

    def get(self, kind: Kind, key: str) -> Provided:
        """The one descriptor with this key; `PluginError` says why there is none."""
        return self.entry(kind, key).provided

    def venue(self, key: str) -> Venue:
        """The descriptor of a venue."""
        found = self.get(Kind.VENUE, key)
        if not isinstance(found, Venue):  # collecting refuses such a descriptor; this narrows the type
            raise PluginError(f"venue {key!r} is registered without a manifest")
        return found

    def manifest(self, key: str) -> Manifest:
        """The manifest of a venue; importing it is light."""
        found = load_reference(self.venue(key).manifest, self.entry(Kind.VENUE, key).origin.distribution)
        if not isinstance(found, Manifest):
            raise PluginError(f"{self.venue(key).manifest} is a {type(found).__name__}, not a Manifest")
        return found

    def config_class(self, key: str) -> type:
        """The class that the venue's own part of a config is read into."""
        found = load_reference(self.venue(key).config_class, self.entry(Kind.VENUE, key).origin.distribution)
        if not isinstance(found, type) or not has(found):
            raise PluginError(f"{self.venue(key).config_class} is no attrs class")
        return found

    def pick(self, kind: Kind, scope: str, *names: str | None) -> Provided:
        """The descriptor of the first name given, in order of rank: the config's, the venue's, the default.

        A name is a whole key (`stream/websockets`) or, inside `scope` (`stream`), the part after the slash.
        """
        name = next((name for name in names if name), None)
        if name is None:
            known = [key for key in self.keys(kind) if not scope or key.startswith(f"{scope}/")]
            raise PluginError(f"no {kind.value} chosen for {scope!r}", hint=f"name one of: {_listed(known)}.")
        return self.get(kind, name if "/" in name or not scope else f"{scope}/{name}")

    def load(self, kind: Kind, key: str) -> object:
        """Import what the descriptor refers to and return it."""
        entry = self.entry(kind, key)
        return load_reference(entry.provided.load, entry.origin.distribution)

    def _missing(self, kind: Kind, key: str) -> PluginError:
        broken = [problem for problem in self.problems if problem.origin.entry_point == key.partition("/")[0]]
        if broken:
            first = broken[0]
            return PluginError(
                f"{kind.value} {key!r} is not usable: plugin {first.origin} failed: {first.reason}",
                hint=first.hint or f"upgrade or uninstall {first.origin.distribution}.",
            )
        known = self.keys(kind)
        near = get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {_listed(known)}."
        if self.problems:
            names = sorted({problem.origin.distribution for problem in self.problems})
            hint += f" Plugins that failed to load: {_listed(names)}."
        return PluginError(f"no {kind.value} named {key!r} is installed", hint=hint)


def load_reference(reference: str, distribution: str = "") -> object:
    """Import `module:attribute` and return the attribute; `PluginError` when it is not there."""
    module_name, _, attribute = reference.partition(":")
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise PluginError(
            f"{reference} needs the module {error.name!r}, which is not installed",
            hint=_extra_hint(distribution, error.name or ""),
        ) from error
    except Exception as error:
        # Foreign code runs at import and may raise anything; who asked gets a typed error, the log the rest.
        log.info("importing %s failed", reference, exc_info=True)
        raise PluginError(
            f"{reference} cannot be imported: {_one_line(error)}", hint=_upgrade_hint(distribution)
        ) from error
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise PluginError(f"{reference} does not exist: {error}", hint=_upgrade_hint(distribution)) from error
    return found


def discover(found: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plugin of the entry-point group (or those given) and collect what they provide."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    plugins: list[Origin] = []
    for point in sorted(entry_points(group=PROJECT) if found is None else found, key=_rank):
        origin = _origin(point)
        plugins.append(origin)
        try:
            entries += [Entry(provided, origin) for provided in _collect(point, origin)]
        except PluginError as error:
            problems.append(Problem(origin, error.message, error.hint))
        except (Exception, SystemExit) as error:
            # A plugin is foreign code and may raise anything, even leave; one broken plugin must not take the
            # others along. It is counted by its line in `problems`, which every report prints.
            log.info("plugin %s failed to load", origin, exc_info=True)
            problems.append(Problem(origin, _one_line(error), f"upgrade or uninstall {origin.distribution}."))
    registry = Registry(tuple(entries), tuple(problems), tuple(plugins))
    for group in registry.conflicts():
        claimed = _conflict(group)
        problems.append(Problem(group[-1].origin, claimed.message, claimed.hint))
    return Registry(registry.entries, tuple(problems), registry.plugins)


@lru_cache(maxsize=1)
def installed() -> Registry:
    """The registry of this process: discovered once."""
    return discover()


def _collect(point: EntryPoint, origin: Origin) -> Iterator[Provided]:
    """Import one plugin, check its hooks, call them and check what they return."""
    plugin = point.load()
    # One manager a plugin: what one of them does wrong can then never show in the calls to another.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    if os.environ.get(TRACE_VARIABLE, "0") not in ("", "0"):
        manager.trace.root.setwriter(_trace_writer(origin))
        manager.enable_tracing()
    manager.register(plugin, name=point.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _unknown_hook(plugin, error) from error
    for name, kind in _HOOK_KINDS.items():
        for provided in _descriptors(getattr(manager.hook, name)(), name):
            yield _checked(provided, kind, name)


def _descriptors(answers: Sequence[object], hook: str) -> Iterator[object]:
    for answer in answers:
        if isinstance(answer, Provided) or not isinstance(answer, Iterable):
            raise PluginError(f"{hook} returned {type(answer).__name__}, not a sequence of descriptors")
        yield from answer


def _checked(provided: object, kind: Kind, hook: str) -> Provided:
    if not isinstance(provided, Provided):
        raise PluginError(f"{hook} returned a {type(provided).__name__} where a descriptor belongs")
    what = f"{hook}: {provided.key!r}"
    if provided.api != API_VERSION:
        newer = provided.api > API_VERSION
        raise PluginError(
            f"{what} was written for API version {provided.api}, this venuekit has {API_VERSION}",
            hint="upgrade venuekit." if newer else "upgrade the plugin.",
        )
    if provided.kind is not kind:
        raise PluginError(f"{what} is a {provided.kind.value}, the hook takes a {kind.value}")
    if not re.fullmatch(_KEY_SHAPES[kind], provided.key):
        raise PluginError(f"{what} is no key for a {kind.value} (its shape: {_KEY_SHAPES[kind]})")
    references = [provided.load]
    if kind is Kind.VENUE:
        if not isinstance(provided, Venue):
            raise PluginError(f"{what} must be a Venue descriptor")
        references += [provided.manifest, provided.config_class]
    for reference in references:
        if not _REFERENCE.fullmatch(reference):
            raise PluginError(f"{what}: {reference!r} is no reference of the form module:attribute")
    return provided


def _unknown_hook(plugin: object, error: pluggy.PluginValidationError) -> PluginError:
    names = [name for name in dir(plugin) if name.startswith(f"{PROJECT}_") and name not in _HOOK_KINDS]
    near = get_close_matches(names[0], _HOOK_KINDS, n=1) if names else []
    hint = f"did its author mean {near[0]!r}?" if near else f"hooks are: {_listed(_HOOK_KINDS)}."
    return PluginError(_one_line(error), hint=hint)


def _conflict(group: Sequence[Entry]) -> PluginError:
    provided = group[0].provided
    claims = " and ".join(f"{entry.origin} ({entry.provided.load})" for entry in group)
    text = f"{provided.kind.value} {provided.key!r} is claimed by {claims}"
    return PluginError(text, hint="uninstall all but one of them.")


def _origin(point: EntryPoint) -> Origin:
    if point.dist is None:
        return Origin("(unknown distribution)", "", point.name, point.value)
    return Origin(point.dist.name, point.dist.version, point.name, point.value)


def _rank(point: EntryPoint) -> tuple[str, str]:
    """Neither the order of folders nor of the file system decides anything."""
    return (point.dist.name if point.dist is not None else "", point.name)


def _trace_writer(origin: Origin) -> Callable[[str], object]:
    def write(text: str) -> None:
        for line in text.rstrip("\n").splitlines():
            sys.stderr.write(f"[{origin.distribution}] {line}\n")

    return write


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _extra_hint(distribution: str, module: str) -> str:
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata(distribution).get_all("Provides-Extra") or [] if distribution else []
    except PackageNotFoundError:
        extras = []
    if not extras:
        return "install the missing package."
    if module in extras:
        return f"install it with the extra of its name: {distribution}[{module}]."
    return f"install it with one of the extras of {distribution}: {_listed(sorted(extras))}."


def _upgrade_hint(distribution: str) -> str:
    return f"upgrade or reinstall {distribution}." if distribution else "check the reference."
