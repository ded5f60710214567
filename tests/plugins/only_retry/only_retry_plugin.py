"""A third party that provides nothing but another retry policy."""

from venuekit.interfaces.hooks import Kind, Provided, hookimpl


@hookimpl
def venuekit_retry_policies():
    options = {"file": "every question is a line of it", "attempts": "tries in all"}
    return (Provided(Kind.RETRY, "told", "only_retry_policy:told_policy", options=options),)
