"""The open requests of a port: each has one deadline, and closing the port ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from venuekit.transport.rules import not_sent


class Deadlines:
    """Bounds every request of one port in time; the pools below keep their callers waiting when closed."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._closed = False
        self._idle = asyncio.Event()

    @asynccontextmanager
    async def within(self, timeout_ms: int) -> AsyncIterator[None]:
        """Raise `TimeoutError` when the time is over or the port closes; `SendFailed` when it is closed."""
        if self._closed:
            raise not_sent("the port is closed")
        async with asyncio.timeout(timeout_ms / 1e3) as deadline:
            self._open.add(deadline)
            try:
                yield
            finally:
                self._open.discard(deadline)
                if not self._open:
                    self._idle.set()

    def why(self) -> str:
        """What a `TimeoutError` of `within` was."""
        return "was cut off: the port closed" if self._closed else "timed out"

    async def end(self) -> None:
        """No request is open, and none will be."""
        self._closed = True
        for deadline in self._open:
            if not deadline.expired():
                deadline.reschedule(0.0)
        while self._open:
            self._idle.clear()
            await self._idle.wait()
