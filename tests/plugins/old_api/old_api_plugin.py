"""A plugin for an API version that this venuekit no longer has; its second descriptor would be fine."""

from venuekit.interfaces.hooks import Kind, Provided, Venue, hookimpl


@hookimpl
def venuekit_venues():
    return (
        Venue(
            Kind.VENUE,
            "old",
            "old_api_plugin:open_venue",
            api=0,
            manifest="old_api_plugin:MANIFEST",
            config_class="old_api_plugin:Config",
        ),
    )


@hookimpl
def venuekit_retry_policies():
    return (Provided(Kind.RETRY, "old-retry", "old_api_plugin:policy"),)
