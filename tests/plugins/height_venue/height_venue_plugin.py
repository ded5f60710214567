"""A sample venue whose clock is a block height."""

from venuekit.interfaces.hooks import Kind, Venue, hookimpl


@hookimpl
def venuekit_venues():
    return (
        Venue(
            Kind.VENUE,
            "height_venue",
            "height_venue:open_venue",
            manifest="height_venue_manifest:MANIFEST",
            config_class="height_venue_manifest:HeightConfig",
        ),
    )
