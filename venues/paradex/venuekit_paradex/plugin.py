"""What this package provides to venuekit; importing it loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Provided, Venue, hookimpl

KEY = "paradex"
"""The key of the venue: `[venues.paradex]` in a configuration."""


@hookimpl
def venuekit_venues() -> Sequence[Venue]:
    """The venue itself."""
    return (
        Venue(
            Kind.VENUE,
            KEY,
            "venuekit_paradex.venue:open_venue",
            manifest="venuekit_paradex.manifest:MANIFEST",
            config_class="venuekit_paradex.config:ParadexConfig",
            prefers={"signer": "stark/python", "reconciliation": "paradex/rest"},
        ),
    )


@hookimpl
def venuekit_signers() -> Sequence[Provided]:
    """Stark signatures in plain Python, and with the native hash of the extra `fast`."""
    return (
        Provided(Kind.SIGNER, "stark/python", "venuekit_paradex.signing:python_signer"),
        Provided(Kind.SIGNER, "stark/native", "venuekit_paradex.signing:native_signer"),
    )


@hookimpl
def venuekit_reconcilers() -> Sequence[Provided]:
    """Orders, fills, positions and balances over REST."""
    return (
        Provided(Kind.RECONCILIATION, "paradex/rest", "venuekit_paradex.reconciliation:rest_reconciliation"),
    )


@hookimpl
def venuekit_simulators() -> Sequence[Provided]:
    """The simulator of the venue's own protocol."""
    return (Provided(Kind.SIMULATOR, KEY, "venuekit_paradex.sim:SIMULATOR"),)


@hookimpl
def venuekit_commands() -> Sequence[Provided]:
    """`venuekit paradex`: accounts and keys."""
    return (Provided(Kind.COMMAND, KEY, "venuekit_paradex.commands:group"),)
