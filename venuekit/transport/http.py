"""HTTP over httpx's engine, with evidence of what may have left."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpcore
import httpx

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, Request, nothing_sent
from venuekit.interfaces.time import Clock
from venuekit.transport.deadlines import Deadlines
from venuekit.transport.http_socket import LoopSockets
from venuekit.transport.rules import (
    KEPT_SECS,
    MAX_BODY_BYTES,
    connections_at_most,
    not_sent,
    proxy_address,
    unpacked,
)

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
"""Nothing in it is to be quoted."""
_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpx.InvalidURL,
    OSError,
    ValueError,
)
"""What a failed request raises below; `ValueError`: a header that is not ASCII, a body of no use."""


class HttpxPort:
    """One host over kept connections; redirects are not followed, the environment's proxies are not read.

    httpx's addresses and headers, and the connections of httpcore below it. Its client and its pool are left
    out: cookies, redirects, hooks, logs and the choice of a connection take four fifths of the time of a
    small request, and none of them is wanted here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        timeouts_ms: Mapping[str, int],
        options: Mapping[str, str],
    ) -> None:
        self._clock = clock
        self._timeouts_ms = timeouts_ms
        self._deadlines = Deadlines()
        self._base = base_url.rstrip("/") + "/"
        base = httpx.URL(self._base)
        self._origin = httpcore.URL(
            scheme=base.raw_scheme, host=base.raw_host, port=base.port, target=base.raw_path
        )
        self._headers = _headers_of_every_request(base)
        # Without an https address no certificate store is loaded (20 ms); TLS would then fail, never pass.
        tls = (
            ssl.create_default_context()
            if base_url.startswith("https:")
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._lanes = _Lanes(connections_at_most(options), self._origin.origin, tls, proxy_address(options))

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`; `on_sent` runs with the reply, since a pool has no order."""
        if not isinstance(request, HttpRequest):
            raise TypeError(f"an HTTP port cannot send a {type(request).__name__}")
        body = _Body(request.body)
        try:
            async with self._deadlines.within(self._timeouts_ms.get(request.op, 10_000)):
                reply = await self._exchange(self._prepared(request, body))
        except TimeoutError as error:
            raise SendFailed(f"{request.op} {self._deadlines.why()}", evidence=body.evidence) from error
        except httpcore.ConnectionNotAvailable as error:
            raise not_sent(f"{request.op} found its connection spoken on or closed") from error
        except _FAILURES as error:
            # The text of a transport error can repeat a URL or header, so only its type is passed on.
            kind = type(error).__name__
            raise SendFailed(f"{request.op} failed: {kind}", evidence=body.evidence) from error
        on_sent()
        return reply

    def _prepared(self, request: HttpRequest, body: _Body) -> httpcore.Request:
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()]
        given = {name.lower() for name, _ in headers}
        if request.body and b"content-type" not in given:
            headers.append((b"Content-Type", b"application/json"))
        if (request.body or request.method in ("POST", "PUT", "PATCH")) and b"content-length" not in given:
            headers.append((b"Content-Length", b"%d" % len(request.body)))
        origin = self._origin
        return httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=origin.scheme, host=origin.host, port=origin.port, target=self._target(request)
            ),
            headers=[*(pair for pair in self._headers if pair[0].lower() not in given), *headers],
            content=body,
        )

    def _target(self, request: HttpRequest) -> bytes:
        path = request.path.lstrip("/")
        if not request.query and _PLAIN_PATH.fullmatch(path):
            return self._origin.target + path.encode()
        address = httpx.URL(self._base + path)
        if request.query:
            address = address.copy_merge_params(list(request.query))
        return address.raw_path

    async def _exchange(self, request: httpcore.Request) -> Reply:
        async with self._lanes.free() as lane:
            answer = await lane.handle_async_request(request)
            try:
                body = bytearray()
                async for chunk in answer.aiter_stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise ValueError("the reply is too large")
            finally:
                await answer.aclose()
        headers = dict(httpx.Headers(answer.headers).items())
        return Reply(
            status=answer.status,
            body=unpacked(bytes(body), headers.get("content-encoding", ""), MAX_BODY_BYTES),
            headers=headers,
            ts_ns=self._clock.wall_ns(),
        )

    async def close(self) -> None:
        """Open requests have failed and every kept connection is closed."""
        await self._deadlines.end()
        await self._lanes.aclose()


def _headers_of_every_request(base: httpx.URL) -> list[tuple[bytes, bytes]]:
    """The host, what httpx's client says of itself, and what is unpacked."""
    usual = httpx.AsyncClient(transport=httpx.AsyncBaseTransport(), trust_env=False).headers
    usual["Accept-Encoding"] = "gzip"
    return [(b"Host", base.netloc), *usual.raw]


class _Body:
    """A request's body, and the evidence: `LoopStream` holds the head back until the body was taken."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.evidence = Evidence.NOT_SENT

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.evidence = Evidence.MAYBE_SENT
        if self._body:
            yield self._body


class _Lanes:
    """So many connections, each for one request at a time."""

    def __init__(self, count: int, origin: httpcore.Origin, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._origin = origin
        self._permits = asyncio.Semaphore(count)
        self._idle: list[httpcore.AsyncConnectionInterface] = []
        # Never asked to choose: a pool looks at all of its connections for every request.
        self._maker = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            proxy=_proxy(proxy) if proxy else None,
            keepalive_expiry=KEPT_SECS,
            network_backend=LoopSockets(),
        )

    @asynccontextmanager
    async def free(self) -> AsyncIterator[httpcore.AsyncConnectionInterface]:
        """One connection for the caller alone, the one used last, since it is the likeliest to be alive."""
        async with self._permits:
            lane = await self._alive() or self._maker.create_connection(self._origin)
            try:
                yield lane
            finally:
                if lane.is_available():
                    self._idle.append(lane)
                else:
                    await lane.aclose()

    async def _alive(self) -> httpcore.AsyncConnectionInterface | None:
        while self._idle:
            lane = self._idle.pop()
            if not lane.has_expired():
                return lane
            await lane.aclose()
        return None

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()


def _proxy(address: str) -> httpcore.Proxy:
    proxy = httpx.Proxy(address)
    url = proxy.url
    return httpcore.Proxy(
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
        ssl_context=ssl.create_default_context() if url.scheme == "https" else None,
    )


def httpx_port(
    base_url: str, *, clock: Clock, timeouts_ms: Mapping[str, int], options: Mapping[str, str]
) -> HttpxPort:
    """The transport behind `http/httpx`; options: `proxy`, `connections`."""
    return HttpxPort(base_url, clock=clock, timeouts_ms=timeouts_ms, options=options)
