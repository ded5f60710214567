"""Sockets: connected to a host, or to a host behind an HTTP proxy (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import Sequence
from itertools import zip_longest
from urllib.parse import unquote, urlsplit

MAX_HEAD_BYTES = 8_192
"""A proxy whose answer is longer is none."""


async def dial(host: str, port: int, proxy: str | None = None) -> socket.socket:
    """A connected socket, through the proxy when there is one; OSError when not, and then nothing is open.

    TLS to the host, where it is wanted, runs inside: the proxy sees the host's name and nothing else.
    """
    if proxy is None:
        return await connected(host, port)
    parts = urlsplit(proxy)
    through = await connected(parts.hostname or "", parts.port or 80)
    try:
        await _tunnel(through, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", _credentials(proxy))
    except BaseException:
        through.close()
        raise
    return through


type _Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def connected(host: str, port: int, beside_secs: float | None = None) -> socket.socket:
    """A socket connected to the first address of the name that answers; OSError when none does.

    One address is tried once another failed, and beside it after `beside_secs` (RFC 8305 5). A turn of the
    loop later nothing else is open, also when this is given up: the race inside asyncio's own connect would
    leave a socket open that is given up in the turn in which it succeeds.
    """
    addresses = await _addresses(host, port)
    found = await _race(addresses if beside_secs is None else _by_turns(addresses), beside_secs)
    if isinstance(found, socket.socket):
        return found
    try:
        raise found
    finally:
        # An error that holds the frame that holds it is garbage for the collector.
        del found


async def _addresses(host: str, port: int) -> Sequence[_Address]:
    """At least one, or an OSError; a number is looked up nowhere, so in no thread either."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _race(addresses: Sequence[_Address], beside_secs: float | None) -> socket.socket | BaseException:
    """The socket of the first address that answered, or what the last one failed with."""
    failure: BaseException = OSError("the name has no address")
    left, attempts = iter(addresses), set[asyncio.Task[socket.socket]]()
    try:
        while True:
            address = next(left, None)
            if address is not None:
                attempts.add(asyncio.create_task(_attempt(address)))
            elif not attempts:
                return failure
            wait_secs = beside_secs if address is not None else None
            done, _ = await asyncio.wait(attempts, timeout=wait_secs, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                failure = error
    finally:
        for attempt in attempts:
            _give_up(attempt)


def _by_turns(addresses: Sequence[_Address]) -> list[_Address]:
    """One of each family after the other (RFC 8305 4)."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [one for row in zip_longest(*families.values()) for one in row if one is not None]


async def _attempt(info: _Address) -> socket.socket:
    family, kind, protocol, _, address = info
    attempt = socket.socket(family, kind, protocol)
    try:
        attempt.setblocking(False)
        await asyncio.get_running_loop().sock_connect(attempt, address)
    except BaseException:
        attempt.close()
        raise
    return attempt


def _give_up(attempt: asyncio.Task[socket.socket]) -> None:
    """Cancelled, it closes its socket itself; over, it may have succeeded in the turn of another."""
    if not attempt.cancel() and attempt.exception() is None:
        attempt.result().close()


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
