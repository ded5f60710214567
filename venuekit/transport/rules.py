"""What every driver keeps to: bounds, verified TLS, and the errors of a failed connect."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cache

from venuekit.errors import ConfigError, RateLimited, Refused, SendFailed
from venuekit.interfaces.request import Evidence

MAX_BODY_BYTES = 64 * 2**20
"""An HTTP reply larger than this is cut off and counts as a failed transport."""
MAX_UNSENT_BYTES = 4 * 2**20
"""A peer that reads so slowly that this much is waiting gets no more frames."""
CLOSE_NS = 1_000_000_000
"""How long the peer may take to answer our close frame; then the socket is aborted."""


@cache
def verified_tls() -> ssl.SSLContext:
    """The system's certificates, checked with the host name; no option turns that off."""
    return ssl.create_default_context()


def not_sent(text: str) -> SendFailed:
    """The error of a transport that certainly handed nothing over."""
    return SendFailed(text, evidence=Evidence.NOT_SENT)


def handshake_refusal(status: int, retry_after: str) -> Refused | RateLimited | SendFailed:
    """What an HTTP status in place of the upgrade to a WebSocket means for the caller."""
    if status == 429:
        wait = int(retry_after) * 1_000_000_000 if retry_after.isascii() and retry_after.isdigit() else None
        return RateLimited("the venue limits new connections (429)", retry_after_ns=wait)
    if status >= 500:
        return not_sent(f"the handshake was answered with {status}")
    return Refused(f"the venue refused the connection with status {status}", code=str(status))


def ping_interval_ns(options: Mapping[str, str]) -> int:
    """The option `ping_ms`: ping after this much silence, 20 s by default (0: never)."""
    text = options.get("ping_ms", "20000")
    try:
        return int(text) * 1_000_000
    except ValueError as error:
        raise ConfigError(f"ping_ms is not a whole number: {text!r}", path="transport.options") from error
