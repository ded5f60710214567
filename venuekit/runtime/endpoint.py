"""A small HTTP endpoint on this machine: GET of a few paths, for scrapers and `venuekit status`.

It runs on the loop it reports on: one that stands still does not answer, and that is the check.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from attrs import frozen

from venuekit.errors import ConfigError
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Clock
from venuekit.runtime.tasks import TaskScope, bounded

HOST = "127.0.0.1"
"""Nothing but this machine is ever served."""
MAX_HEAD_BYTES = 8_192
DEADLINE_NS = 5_000_000_000
MAX_OPEN = 16
"""Requests served at once; a further one is hung up on."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}


@frozen
class Answer:
    """What one path says now."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


class Endpoint:
    """Serves `routes` at `http://127.0.0.1:<port>`; each is asked for its answer when a request comes."""

    def __init__(
        self,
        routes: Mapping[str, Callable[[], Answer]],
        *,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self._routes = dict(routes)
        self._clock = clock
        self._counters = counters
        self._log = log
        self._scope = TaskScope("endpoint", counters, log)
        self._server: asyncio.Server | None = None
        self.port = 0
        """Where it listens, once started."""

    async def start(self, port: int) -> None:
        """Listening on `port` (0: any free one); raise `ConfigError` when it is taken."""
        try:
            self._server = await asyncio.start_server(self._accept, HOST, port, limit=MAX_HEAD_BYTES)
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be listened on: {error.strerror}",
                path="metrics.port",
                hint="choose another port, or 0 for any free one.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._log.info("metrics and health are served at http://%s:%d", HOST, self.port)

    async def stop(self) -> None:
        """Nothing listens and no connection is open."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await self._scope.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._scope) >= MAX_OPEN:
            self._counters.inc("telemetry.refused")
            writer.transport.abort()
            return
        self._scope.start("request", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with bounded(self._clock, DEADLINE_NS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_encoded(self._answer(head), head.startswith(b"HEAD ")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, TimeoutError):
            self._counters.inc("telemetry.refused")
        finally:
            writer.transport.abort()

    def _answer(self, head: bytes) -> Answer:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return Answer(b"bad request\n", "text/plain", 400)
        if words[0] not in (b"GET", b"HEAD"):
            return Answer(b"only GET\n", "text/plain", 405)
        route = self._routes.get(words[1].partition(b"?")[0].decode("latin-1"))
        if route is None:
            return Answer(f"paths: {' '.join(self._routes)}\n".encode(), "text/plain", 404)
        return route()


def _encoded(answer: Answer, head_only: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else answer.body)
