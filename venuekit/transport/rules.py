"""What every driver keeps to: bounds, verified TLS, and the errors of a failed connect."""

from __future__ import annotations

import asyncio
import select
import ssl
import zlib
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

from venuekit.errors import ConfigError, RateLimited, Refused, SendFailed
from venuekit.interfaces.request import Evidence

MAX_BODY_BYTES = 64 * 2**20
"""An HTTP reply larger than this is cut off and counts as a failed transport."""
KEPT_SECS = 20.0
"""An HTTP connection that was idle for longer is not used again."""
MAX_UNSENT_BYTES = 4 * 2**20
"""A peer that reads so slowly that this much is waiting gets no more frames."""
CLOSE_NS = 1_000_000_000
"""How long the peer may take to answer our close frame; then the socket is aborted."""


@cache
def verified_tls() -> ssl.SSLContext:
    """The system's certificates, checked with the host name; no option turns that off."""
    return ssl.create_default_context()


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A reply's body as it was before packing; `ValueError` when it is cut, too large, or packed otherwise.

    Drivers ask for gzip alone and unpack it here: the decoders of the HTTP libraries take a cut body for a
    whole one, and one that is packed twice can fill the memory.
    """
    kind = encoding.strip().lower()
    if not body or kind in ("", "identity"):
        return body
    if kind not in ("gzip", "x-gzip"):
        raise ValueError("the reply is packed as nobody asked")
    stream = zlib.decompressobj(wbits=31)
    try:
        whole = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError("the reply cannot be unpacked") from error
    if not stream.eof or stream.unused_data or len(whole) > limit:
        raise ValueError("the reply is cut, or too large")
    return whole


def readable(transport: asyncio.BaseTransport) -> bool:
    """The kernel has something that the loop did not yet hand over: on an idle connection, its end."""
    number = transport.get_extra_info("socket").fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


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
    return _whole(options, "stream", "ping_ms", 20_000, least=0) * 1_000_000


def connections_at_most(options: Mapping[str, str]) -> int:
    """The option `connections`: to one host at once, 32 by default."""
    return _whole(options, "http", "connections", 32, least=1)


def proxy_address(options: Mapping[str, str]) -> str | None:
    """The option `proxy`: an HTTP proxy, none by default. It may hold a password, so no error repeats it."""
    return _proxy(options, "http", ("http", "https"))


def stream_proxy_address(options: Mapping[str, str]) -> str | None:
    """The same for streams, whose proxy is itself reached without TLS; that to the host runs inside."""
    return _proxy(options, "stream", ("http",))


def _proxy(options: Mapping[str, str], slot: str, schemes: tuple[str, ...]) -> str | None:
    text = options.get("proxy", "")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or any(ord(letter) <= 32 for letter in text):
        raise _bad(slot, "proxy", "is no address of a proxy", "write http://host:port.")
    return text


def _whole(options: Mapping[str, str], slot: str, name: str, default: int, *, least: int) -> int:
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) < least:
        raise _bad(slot, name, "is no whole number", f"write {least} or more.")
    return int(text)


def _bad(slot: str, name: str, what: str, hint: str) -> ConfigError:
    return ConfigError(what, path=f"transport.options.{slot}.{name}", hint=hint)
