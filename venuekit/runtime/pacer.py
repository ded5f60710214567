"""Waiting for permits: drives `core.limiter` with the clock."""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from venuekit.core.limiter import Limiter
from venuekit.runtime.tasks import bounded

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.request import Reply
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Cancel, Clock


SPREAD_NS = 250_000_000
"""Two requests of one moment arrive at most this far apart."""
LONGEST_PAUSE_NS = 600_000_000_000
"""A venue that wants more is asked again after this: one header must not shut cancels out for a day."""
_DIGITS = 18
_NUMBER = re.compile(rf"[0-9]{{1,{_DIGITS}}}(\.[0-9]*)?|\.[0-9]+")


def retry_after_ns(reply: Reply, unit_ms: int = 1_000, now_ns: int = 0) -> int | None:
    """The pause in nanoseconds that `Retry-After` asks for, as a number or a date; None: no pause.

    A negative or unreadable one is no hint: the policy's own delay holds. `now_ns` is the venue's time.
    """
    text = reply.headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        whole, _, part = text.partition(".")
        micro_units = int(whole or 0) * 1_000_000 + int((part + "0" * 6)[:6])
        return min(micro_units * unit_ms, LONGEST_PAUSE_NS)
    try:
        until = parsedate_to_datetime(text)
        until_ns = int(until.timestamp()) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0, until_ns - now_ns), LONGEST_PAUSE_NS)


class Pacer:
    """One per venue and account: every request of it asks here first."""

    def __init__(
        self, manifest: Manifest, clock: Clock, counters: Counters, *, spread_ns: int = SPREAD_NS
    ) -> None:
        self._limiter = Limiter(manifest.operations, manifest.buckets, spread_ns)
        self._manifest = manifest
        self._clock = clock
        self._counters = counters
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._timer: Cancel | None = None

    async def permit(self, op: str, within_ns: int | None = None) -> None:
        """Return when every bucket of `op` has room; cancels first, then submits, then reads.

        Raise `TimeoutError` when there is none within `within_ns`.
        """
        now_ns = self._clock.mono_ns()
        if self._limiter.take(op, now_ns):
            return
        ticket = self._limiter.ask(op, now_ns)
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._turn()
        if future.done():
            return
        self._counters.inc("pacing.waited")
        try:
            if within_ns is None:
                await future
                return
            async with bounded(self._clock, within_ns):
                await future
        finally:
            if self._waiting.pop(ticket, None) is not None:
                self._limiter.withdraw(ticket)
                # Those behind it need not wait for it, and nobody left needs no timer.
                self._turn()

    def feedback(self, op: str, reply: Reply) -> None:
        """Fold in what the venue says about its limits."""
        now = self._clock.mono_ns()
        if reply.status == 429:
            self._counters.inc("pacing.refused_by_venue")
            self._limiter.apply_refusal(op, now, self.pause_ns(op, reply))
        self._limiter.apply_headers(op, now, reply.headers)

    def pause_ns(self, op: str, reply: Reply) -> int | None:
        """How long the venue asks us to leave `op` alone: `Retry-After`, else the bucket's reset header."""
        unit_ms = self._manifest.semantics.retry_after_unit_ms
        pause = retry_after_ns(reply, unit_ms, self._clock.venue_ns())
        if pause is not None:
            return pause
        for name in self._manifest.operations[op].costs:
            text = reply.headers.get(self._manifest.buckets[name].reset_header.lower(), "")
            if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
                return min(max(0, int(text) * 1_000_000_000 - self._clock.venue_ns()), LONGEST_PAUSE_NS)
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
