"""Waiting for permits: drives `core.limiter` with the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from venuekit.core.limiter import Limiter

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.request import Reply
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel, Clock


def retry_after_ns(reply: Reply, unit_ms: int = 1_000) -> int | None:
    """The pause in nanoseconds that `Retry-After` asks for, a whole or decimal number; None: no pause.

    A date form, a negative or an unreadable number counts as no hint: the policy's own delay holds.
    """
    text = reply.headers.get("retry-after", "").strip()
    if text and text.replace(".", "", 1).isdigit():
        whole, _, part = text.partition(".")
        micro_units = int(whole or 0) * 1_000_000 + int((part + "0" * 6)[:6])
        return micro_units * unit_ms
    return None


class Pacer:
    """One per venue and account: every request of it asks here first."""

    def __init__(self, manifest: Manifest, clock: Clock, counters: Counters) -> None:
        self._limiter = Limiter(manifest.operations, manifest.buckets)
        self._manifest = manifest
        self._clock = clock
        self._counters = counters
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._timer: Cancel | None = None

    async def permit(self, op: str) -> None:
        """Return when every bucket of `op` has room; cancels first, then submits, then reads."""
        ticket = self._limiter.ask(op)
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._turn()
        if future.done():
            return
        self._counters.inc("pacing.waited")
        try:
            await future
        finally:
            if self._waiting.pop(ticket, None) is not None:
                self._limiter.withdraw(ticket)

    def feedback(self, op: str, reply: Reply) -> None:
        """Fold in what the venue says about its limits."""
        now = self._clock.mono_ns()
        if reply.status == 429:
            self._counters.inc("pacing.refused_by_venue")
            self._limiter.apply_refusal(op, now, self.pause_ns(op, reply))
        self._limiter.apply_headers(op, now, reply.headers)

    def pause_ns(self, op: str, reply: Reply) -> int | None:
        """How long the venue asks us to leave `op` alone: `Retry-After`, else the bucket's reset header."""
        pause = retry_after_ns(reply, self._manifest.semantics.retry_after_unit_ms)
        if pause is not None:
            return pause
        for name in self._manifest.operations[op].costs:
            text = reply.headers.get(self._manifest.buckets[name].reset_header.lower(), "")
            if text.isdigit():
                return max(0, int(text) * 1_000_000_000 - self._clock.venue_ns())
        return None

    def apply_height(self, height: int) -> None:
        """A block of the venue was seen; block windows may have room again."""
        self._limiter.apply_height(height)
        self._turn()

    def depth(self) -> int:
        """Requests waiting for a permit."""
        return self._limiter.depth()

    def _turn(self) -> None:
        granted, wait_ns = self._limiter.grant(self._clock.mono_ns())
        for ticket in granted:
            future = self._waiting.pop(ticket, None)
            if future is not None and not future.done():
                future.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait_ns is not None:
            self._timer = self._clock.call_at(self._clock.mono_ns() + wait_ns, self._turn)
