"""What venuekit itself provides, registered through the same hooks as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Provided, hookimpl

DEFAULTS = {"http": "httpx", "stream": "websockets", "retry": "full-jitter"}
"""The names that are chosen when neither the config nor the venue names one."""


@hookimpl
def venuekit_transports() -> Sequence[Provided]:
    """The two drivers that are always installed, and the faster ones behind the extra of their name."""
    return (
        Provided(Kind.TRANSPORT, "http/httpx", "venuekit.transport.http:httpx_port"),
        Provided(Kind.TRANSPORT, "http/aiohttp", "venuekit.transport.aiohttp_http:aiohttp_port"),
        Provided(Kind.TRANSPORT, "stream/websockets", "venuekit.transport.websocket:websockets_transport"),
        Provided(Kind.TRANSPORT, "stream/picows", "venuekit.transport.picows_stream:picows_transport"),
    )


@hookimpl
def venuekit_retry_policies() -> Sequence[Provided]:
    """Exponential back-off with full jitter."""
    return (Provided(Kind.RETRY, "full-jitter", "venuekit.core.retry:full_jitter"),)
