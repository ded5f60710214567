"""Sockets for streams: connected to a host, or to a host behind an HTTP proxy (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from urllib.parse import unquote, urlsplit

MAX_HEAD_BYTES = 8_192
"""A proxy whose answer is longer is none."""


async def dial(host: str, port: int, proxy: str | None = None) -> socket.socket:
    """A connected socket, through the proxy when there is one; OSError when not, and then nothing is open.

    TLS to the host, where it is wanted, runs inside: the proxy sees the host's name and nothing else.
    """
    if proxy is None:
        return await _connected(host, port)
    parts = urlsplit(proxy)
    through = await _connected(parts.hostname or "", parts.port or 80)
    try:
        await _tunnel(through, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", _credentials(proxy))
    except BaseException:
        through.close()
        raise
    return through


async def _connected(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        attempt = socket.socket(family, kind, protocol)
        attempt.setblocking(False)
        try:
            await loop.sock_connect(attempt, address)
        except OSError as error:
            attempt.close()
            failure = error
        except BaseException:
            attempt.close()
            raise
        else:
            return attempt
    raise failure


def _credentials(proxy: str) -> str:
    """The header for a proxy that asks who we are; empty when its address names nobody."""
    parts = urlsplit(proxy)
    if not parts.username:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


async def _tunnel(through: socket.socket, target: str, credentials: str) -> None:
    loop = asyncio.get_running_loop()
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n"
    await loop.sock_sendall(through, request.encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        # One byte at a time: what follows the head belongs to the host, and TLS must see all of it.
        byte = await loop.sock_recv(through, 1)
        if not byte or len(head) > MAX_HEAD_BYTES:
            raise OSError("the proxy did not answer as one")
        head += byte
    version, _, rest = head.partition(b" ")
    status = bytes(rest[:3])
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise OSError("the proxy did not answer as one")
    if not status.startswith(b"2"):
        raise OSError(f"the proxy refused with status {status.decode()}")
