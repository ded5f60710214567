"""What this distribution provides to venuekit: descriptors only, nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Venue, hookimpl


@hookimpl
def venuekit_venues() -> Sequence[Venue]:
    """One venue: dYdX v4."""
    return (
        Venue(
            Kind.VENUE,
            "dydx",
            "venuekit_dydx.venue:open_venue",
            manifest="venuekit_dydx.manifest:MANIFEST",
            config_class="venuekit_dydx.config:DydxConfig",
        ),
    )
