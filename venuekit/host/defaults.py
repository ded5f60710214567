"""What venuekit itself provides, registered through the same hooks as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from venuekit.interfaces.hooks import Kind, Provided, hookimpl

DEFAULTS = {"http": "httpx", "stream": "websockets", "retry": "full-jitter"}
"""The names that are chosen when neither the config nor the venue names one."""

_HTTP = {
    "proxy": "address of an HTTP proxy; the environment's proxies are never read",
    "connections": "connections to the host at most (32)",
}
_STREAM = {
    "proxy": "address of an HTTP proxy, `http://...`; TLS to the venue runs inside",
    "ping_ms": "ping after this much silence (20000; 0: never)",
}
_RETRY = {
    "base_ns": "the first pause is drawn up to this, each further one up to twice as much (200000000)",
    "cap_ns": "no pause is longer (30000000000)",
    "attempts": "tries in all, 0 without bound (3 for reads, 0 for connections)",
    "total_ns": "no new try after this long, 0 without bound (0)",
}


@hookimpl
def venuekit_transports() -> Sequence[Provided]:
    """The two drivers that are always installed, and the faster ones behind the extra of their name."""
    return (
        Provided(Kind.TRANSPORT, "http/httpx", "venuekit.transport.http:httpx_port", options=_HTTP),
        Provided(
            Kind.TRANSPORT, "http/aiohttp", "venuekit.transport.aiohttp_http:aiohttp_port", options=_HTTP
        ),
        Provided(
            Kind.TRANSPORT,
            "stream/websockets",
            "venuekit.transport.websocket:websockets_transport",
            options=_STREAM,
        ),
        Provided(
            Kind.TRANSPORT,
            "stream/picows",
            "venuekit.transport.picows_stream:picows_transport",
            options=_STREAM,
        ),
    )


@hookimpl
def venuekit_retry_policies() -> Sequence[Provided]:
    """Exponential back-off with full jitter."""
    return (Provided(Kind.RETRY, "full-jitter", "venuekit.core.retry:full_jitter", options=_RETRY),)
