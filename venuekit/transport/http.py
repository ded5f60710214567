"""HTTP over httpx, with evidence of what may have left."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, Request, nothing_sent
from venuekit.interfaces.time import Clock
from venuekit.transport.deadlines import Deadlines
from venuekit.transport.rules import MAX_BODY_BYTES, connections_at_most, proxy_address


class HttpxPort:
    """One host over a keep-alive pool; redirects are not followed, the environment's proxies are not read."""

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
        # Without an https address no certificate store is loaded (20 ms); TLS would then fail, never pass.
        tls = (
            ssl.create_default_context()
            if base_url.startswith("https:")
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._lanes = _Lanes(connections_at_most(options), tls, proxy_address(options))
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            transport=self._lanes,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113  one deadline a request covers connect, write and read: see send
        )

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`; `on_sent` runs with the reply, since a pool has no order."""
        if not isinstance(request, HttpRequest):
            raise TypeError(f"an HTTP port cannot send a {type(request).__name__}")
        wrote = False

        async def trace(name: str, _info: object) -> None:
            nonlocal wrote
            wrote = wrote or name.endswith("send_request_headers.started")

        def evidence() -> Evidence:
            return Evidence.MAYBE_SENT if wrote else Evidence.NOT_SENT

        try:
            async with self._deadlines.within(self._timeouts_ms.get(request.op, 10_000)):
                reply = await self._exchange(request, trace)
        except TimeoutError as error:
            raise SendFailed(f"{request.op} {self._deadlines.why()}", evidence=evidence()) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ssl.SSLError) as error:
            # The text of a transport error can repeat a URL or header, so only its type is passed on.
            raise SendFailed(f"{request.op} failed: {type(error).__name__}", evidence=evidence()) from error
        on_sent()
        return reply

    async def _exchange(self, request: HttpRequest, trace: Callable[[str, object], object]) -> Reply:
        headers = dict(request.headers)
        if request.body and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
        async with (
            self._lanes.free() as lane,
            self._client.stream(
                request.method,
                request.path.lstrip("/"),
                params=list(request.query) or None,
                headers=headers,
                content=request.body or None,
                extensions={"trace": trace, "lane": lane},
            ) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise httpx.ReadError("reply too large")
            return Reply(
                status=response.status_code,
                body=bytes(body),
                headers={name.lower(): value for name, value in response.headers.items()},
                ts_ns=self._clock.wall_ns(),
            )

    async def close(self) -> None:
        """Open requests have failed and every pooled connection is closed."""
        await self._deadlines.end()
        await self._client.aclose()


class _Lanes(httpx.AsyncBaseTransport):
    """So many connections, each a pool of one: a larger pool looks at all of them for every request.

    With 32 open that makes three times as many requests a second.
    """

    def __init__(self, count: int, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._tls = tls
        self._proxy = proxy
        self._permits = asyncio.Semaphore(count)
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._all: list[httpx.AsyncHTTPTransport] = []

    @asynccontextmanager
    async def free(self) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        """One connection for the caller alone, the one used last, since it is the likeliest to be alive."""
        async with self._permits:
            lane = self._idle.pop() if self._idle else self._another()
            try:
                yield lane
            finally:
                self._idle.append(lane)

    def _another(self) -> httpx.AsyncHTTPTransport:
        lane = httpx.AsyncHTTPTransport(
            verify=self._tls,
            trust_env=False,
            proxy=self._proxy,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=20.0),
        )
        self._all.append(lane)
        return lane

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lane = request.extensions["lane"]
        assert isinstance(lane, httpx.AsyncHTTPTransport)
        return await lane.handle_async_request(request)

    async def aclose(self) -> None:
        for lane in self._all:
            await lane.aclose()


def httpx_port(
    base_url: str, *, clock: Clock, timeouts_ms: Mapping[str, int], options: Mapping[str, str]
) -> HttpxPort:
    """The transport behind `http/httpx`; options: `proxy`, `connections`."""
    return HttpxPort(base_url, clock=clock, timeouts_ms=timeouts_ms, options=options)
