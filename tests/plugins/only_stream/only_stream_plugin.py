"""A third party that provides nothing but another driver of streams."""

from venuekit.interfaces.hooks import Kind, Provided, hookimpl


@hookimpl
def venuekit_transports():
    options = {"file": "every connection is a line of it"}
    return (Provided(Kind.TRANSPORT, "stream/told", "only_stream_transport:told_transport", options=options),)
