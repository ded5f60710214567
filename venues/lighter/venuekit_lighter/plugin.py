"""What this distribution provides to venuekit: descriptors only, nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Venue, hookimpl


@hookimpl
def venuekit_venues() -> Sequence[Venue]:
    """Lighter."""
    return (
        Venue(
            Kind.VENUE,
            "lighter",
            "venuekit_lighter.venue:open_venue",
            manifest="venuekit_lighter.manifest:MANIFEST",
            config_class="venuekit_lighter.config:LighterConfig",
        ),
    )
