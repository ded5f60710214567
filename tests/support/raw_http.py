"""The HTTP drivers against a raw server: what it says is written byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from venuekit.errors import SendFailed
from venuekit.interfaces.request import HttpRequest
from venuekit.runtime.clock import RealClock
from venuekit.transport import aiohttp_http, http

DRIVERS: dict[str, tuple[ModuleType, Callable[..., Any]]] = {
    "httpx": (http, http.httpx_port),
    "aiohttp": (aiohttp_http, aiohttp_http.aiohttp_port),
}
REQUEST = HttpRequest(
    "op", "POST", "/v1/things", query=(("a", "1"),), headers={"x-one": "1"}, body=b'{"b":2}'
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Address:
    """In place of a client: where the server listens."""

    def __init__(self, address: str, **_: Any) -> None:
        self.address = address

    async def close(self) -> None:
        pass


async def with_server(
    driver: str,
    handle: Handler,
    use: Callable[[Any], Awaitable[Any]],
    *,
    timeout_ms: int = 2_000,
    tls: Any = None,
    host: str = "127.0.0.1",
    bind: str = "127.0.0.1",
    path: str = "",
    **options: str,
) -> Any:
    writers: list[asyncio.StreamWriter] = []

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(quiet, bind, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    make = Address if driver == "none" else DRIVERS[driver][1]
    client = make(
        f"{'https' if tls else 'http'}://{host}:{port}{path}",
        clock=RealClock(),
        timeouts_ms={"op": timeout_ms},
        options=options,
    )
    try:
        return await use(client)
    finally:
        await client.close()
        server.close()
        for writer in writers:
            writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    _, found, rest = head.lower().partition(b"content-length: ")
    return head, await reader.readexactly(int(rest.split(b"\r\n")[0])) if found else b""


def answer(raw: bytes, seen: list[Any] | None = None, *, times: int = 1) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(raw)
            await writer.drain()

    return handle


def exchange(driver: str, raw: bytes, request: HttpRequest = REQUEST, **options: Any) -> tuple[Any, Any]:
    """The reply and what the server saw."""
    seen: list[Any] = []
    reply = asyncio.run(
        with_server(driver, answer(raw, seen), lambda client: client.send(request), **options)
    )
    return reply, seen[0]


def failure(
    driver: str, handle: Handler, request: HttpRequest = REQUEST, *, timeout_ms: int = 2_000, **more: Any
) -> SendFailed:
    async def main() -> SendFailed:
        with pytest.raises(SendFailed) as caught:
            await with_server(
                driver, handle, lambda client: client.send(request), timeout_ms=timeout_ms, **more
            )
        return caught.value

    return asyncio.run(main())
