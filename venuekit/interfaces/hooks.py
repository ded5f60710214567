"""The seven registration hooks and the one descriptor behind them. None is on the hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import pluggy
from attrs import field, frozen

API_VERSION = 1
"""Raised when a promise of `venuekit.interfaces` changes."""

PROJECT = "venuekit"
"""The pluggy project name and the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Kind(Enum):
    """What a descriptor provides."""

    VENUE = "venue"
    TRANSPORT = "transport"
    RETRY = "retry"
    SIGNER = "signer"
    RECONCILIATION = "reconciliation"
    SIMULATOR = "simulator"
    COMMAND = "command"


@frozen
class Provided:
    """One thing a plugin provides. `load` is `module:attribute` and is imported only when chosen.

    Keys: VENUE and SIMULATOR `<venue>`; TRANSPORT `<http|stream|rpc|layer>/<name>`; RETRY `<name>`;
    SIGNER `<scheme>/<name>`; RECONCILIATION `<venue>/<name>`; COMMAND `<group>`.
    What `load` points at: VENUE the opener (`OpenVenue`); TRANSPORT a factory (see `venuekit.transport`);
    RETRY `(options) -> RetryPolicy`, whose options always name `attempts` (0: no bound);
    SIGNER `(Secret, facts) -> Signer`; RECONCILIATION
    `(VenueContext) -> ReconciliationSource`; SIMULATOR a `SimulatorFactory`; COMMAND a click group.
    """

    kind: Kind
    key: str
    load: str
    api: int = API_VERSION
    options: Mapping[str, str] | None = None
    """The options that it takes, each with its meaning in a line; None: not said, so none is refused."""


@frozen
class Venue(Provided):
    """The descriptor of a venue."""

    manifest: str = ""
    """`module:attribute` of its `Manifest`; importing it must be light."""
    config_class: str = ""
    """`module:attribute` of an attrs class; importing it must be light."""
    prefers: Mapping[str, str] = field(factory=dict)
    """Names chosen when the config names none, by `http`, `stream`, `rpc`, `retry`, `signer`."""


@hookspec
def venuekit_venues() -> Sequence[Venue]:
    """Venues."""
    return ()


@hookspec
def venuekit_transports() -> Sequence[Provided]:
    """Transports and layers."""
    return ()


@hookspec
def venuekit_retry_policies() -> Sequence[Provided]:
    """Retry policies."""
    return ()


@hookspec
def venuekit_signers() -> Sequence[Provided]:
    """Signers."""
    return ()


@hookspec
def venuekit_reconcilers() -> Sequence[Provided]:
    """Reconciliation sources."""
    return ()


@hookspec
def venuekit_simulators() -> Sequence[Provided]:
    """Simulators."""
    return ()


@hookspec
def venuekit_commands() -> Sequence[Provided]:
    """Command groups."""
    return ()
