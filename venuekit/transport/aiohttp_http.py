"""HTTP over aiohttp, with evidence of what may have left: the optional fast driver (extra `aiohttp`)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp
from yarl import URL

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, Request, nothing_sent
from venuekit.interfaces.time import Clock
from venuekit.transport.deadlines import Deadlines
from venuekit.transport.rules import (
    CLOSE_NS,
    KEPT_SECS,
    MAX_BODY_BYTES,
    connections_at_most,
    proxy_address,
    readable,
    unpacked,
    verified_tls,
)

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

NO_TIMEOUTS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
"""One deadline a request covers connect, write and read; it stands in `AiohttpPort.send`."""
ENDS_BY = {"content-length", "transfer-encoding"}


class AiohttpPort:
    """One host over a keep-alive pool; redirects are not followed, the environment's proxies are not read.

    Where it differs from `http/httpx`: the evidence turns to MAYBE_SENT when a connection is chosen, a moment
    before the first byte; a reply with a header line over 8 KiB is a failure (httpx: 100 KiB in all); so is
    one whose length only the end of its connection tells, since a cut looks the same (httpx: a cut is seen).
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
        self._base_url = base_url.rstrip("/") + "/"
        self._proxy = proxy_address(options)
        self._connections = connections_at_most(options)
        self._deadlines = Deadlines()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`; `on_sent` runs with the reply, since a pool has no order."""
        if not isinstance(request, HttpRequest):
            raise TypeError(f"an HTTP port cannot send a {type(request).__name__}")
        attempt = _Attempt()
        try:
            async with self._deadlines.within(self._timeouts_ms.get(request.op, 10_000)):
                reply = await self._exchange(request, attempt)
        except TimeoutError as error:
            raise SendFailed(f"{request.op} {self._deadlines.why()}", evidence=attempt.evidence) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of a transport error can repeat a URL or header, so only its type is passed on.
            kind = type(error.__cause__ if isinstance(error, _NoReply) else error).__name__
            raise SendFailed(f"{request.op} failed: {kind}", evidence=attempt.evidence) from error
        on_sent()
        return reply

    async def _exchange(self, request: HttpRequest, attempt: _Attempt) -> Reply:
        headers = dict(request.headers)
        if request.body and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
        async with self._open_session().request(
            request.method,
            URL(self._base_url + request.path.lstrip("/")),
            params=list(request.query) or None,
            headers=headers,
            data=request.body or None,
            allow_redirects=False,
            middlewares=(_never_again,),
            trace_request_ctx=attempt,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise aiohttp.ClientPayloadError("reply too large")
            found = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
            if not (_has_no_body(request, response.status) or found.keys() & ENDS_BY):
                raise aiohttp.ClientPayloadError("reply without a length")
            return Reply(
                status=response.status,
                body=unpacked(bytes(body), found.get("content-encoding", ""), MAX_BODY_BYTES),
                headers=found,
                ts_ns=self._clock.wall_ns(),
            )

    def _open_session(self) -> aiohttp.ClientSession:
        """The session belongs to the running loop, so it is made with the first request."""
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_has_connection)
            trace.on_connection_reuseconn.append(_has_connection)
            tls = verified_tls() if self._base_url.startswith("https:") else True
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=self._connections,
                    keepalive_timeout=KEPT_SECS,
                    ssl=tls,
                ),
                headers={"Accept-Encoding": "gzip"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                timeout=NO_TIMEOUTS,
                trace_configs=[trace],
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Open requests have failed and every pooled connection is closed."""
        await self._deadlines.end()
        if self._session is not None:
            try:
                async with asyncio.timeout(CLOSE_NS / 1e9):
                    await self._session.close()
            except TimeoutError:
                # A peer that does not finish TLS: its socket was told to close and nobody waits for it.
                return


class _Attempt:
    """One request on its way."""

    def __init__(self) -> None:
        self.evidence = Evidence.NOT_SENT


def _has_no_body(request: HttpRequest, status: int) -> bool:
    """RFC 9112 6.3: whatever its headers say."""
    return request.method == "HEAD" or status in (204, 304)


class _Connector(aiohttp.TCPConnector):
    """A pool that gives up a kept connection on which the host spoke unasked, or ended it."""

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)
        self._kept: WeakSet[asyncio.BaseProtocol] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the method is aiohttp's
    ) -> Connection:
        """Between this and the first byte of the request the loop does not turn."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None
            assert transport is not None
            is_kept = protocol in self._kept
            if not (protocol.should_close or (is_kept and readable(transport))):
                self._kept.add(protocol)
                return connection
            connection.close()
            if not is_kept:
                raise aiohttp.ClientConnectionError("the host spoke first")


class _NoReply(aiohttp.ClientError):
    """A connection that broke, in a dress that aiohttp does not answer with a second attempt."""


async def _has_connection(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    """From here to the first byte nothing waits, so this is the last point at which nothing has left."""
    attempt = context.trace_request_ctx
    if isinstance(attempt, _Attempt):
        attempt.evidence = Evidence.MAYBE_SENT


async def _never_again(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A GET, PUT or DELETE whose kept connection broke is sent again by aiohttp: a second order, perhaps."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _NoReply from error


def aiohttp_port(
    base_url: str, *, clock: Clock, timeouts_ms: Mapping[str, int], options: Mapping[str, str]
) -> AiohttpPort:
    """The transport behind `http/aiohttp`; options: `proxy`, `connections`."""
    return AiohttpPort(base_url, clock=clock, timeouts_ms=timeouts_ms, options=options)
