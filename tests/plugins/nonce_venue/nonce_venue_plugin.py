"""A sample venue that wants every nonce once, in order."""

from venuekit.interfaces.hooks import Kind, Venue, hookimpl


@hookimpl
def venuekit_venues():
    return (
        Venue(
            Kind.VENUE,
            "nonce_venue",
            "nonce_venue:open_venue",
            manifest="nonce_venue_manifest:MANIFEST",
            config_class="nonce_venue_manifest:NonceConfig",
        ),
    )
