"""What venuekit itself provides, registered through the same hooks as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Provided, hookimpl

DEFAULTS = {"http": "httpx", "stream": "websockets", "retry": "full-jitter"}
"""The names that are chosen when neither the config nor the venue names one."""


@hookimpl
def venuekit_transports() -> Sequence[Provided]:
    """The two drivers that are always installed, and the layers around them."""
    return (
        Provided(Kind.TRANSPORT, "http/httpx", "venuekit.transport.http:httpx_port"),
        Provided(Kind.TRANSPORT, "stream/websockets", "venuekit.transport.websocket:websockets_transport"),
    )


@hookimpl
def venuekit_retry_policies() -> Sequence[Provided]:
    """Exponential back-off with full jitter."""
    return (Provided(Kind.RETRY, "full-jitter", "venuekit.core.retry:full_jitter"),)
