"""Reading an account: every page of a query, bounded and without repeats, and look-ups a few at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from venuekit.errors import DecodeError, GiveUp, VenuekitError
from venuekit.interfaces.reconciliation import AccountRow, Query
from venuekit.interfaces.time import AtWall
from venuekit.runtime.tasks import asked_to_end

if TYPE_CHECKING:
    from venuekit.core.order_state import LookUp
    from venuekit.interfaces.reconciliation import Found, NotFound, ReconciliationSource
    from venuekit.interfaces.stream import Window
    from venuekit.interfaces.telemetry import Counters
    from venuekit.runtime.tasks import TaskScope

_MOST_PAGES = 2_000
_MOST_LOOKUPS = 4


class AccountReads:
    """The reads of one account on top of a venue's `ReconciliationSource`."""

    def __init__(
        self,
        source: ReconciliationSource,
        scope: TaskScope,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self._source = source
        self._scope = scope
        self._counters = counters
        self._log = log
        self.on_answer: Callable[[str, Found | NotFound | None], None] = lambda _key, _answer: None
        """Takes the key and the answer of each look-up; None: it failed, which proves nothing."""
        self.on_unreadable: Callable[[str], None] = lambda _text: None
        """Hears of rows that could not be read, while the others are used."""
        self._waiting: deque[LookUp] = deque()
        self._running = 0

    async def rows(self, query: Query, window: Window) -> list[AccountRow]:
        """Every row of the query; raise on any failure, so that empty always means none.

        A row that could not be decoded is counted and told to `on_unreadable`; for positions it raises,
        because a position that is left out would be read as flat.
        """
        rows: list[AccountRow] = []
        cursors: set[str] = set()
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._source.page(query, window, cursor)
            rows += page.rows
            for bad in page.quarantined:
                self._counters.inc(f"quarantined.{bad.kind}")
                self._log.warning("a row of %s could not be read: %s: %s", query.value, bad.kind, bad.why)
            if page.quarantined and query is Query.POSITIONS:
                raise DecodeError(f"{len(page.quarantined)} positions could not be read", kind="position")
            if page.quarantined:
                self.on_unreadable(f"{query.value}: {page.quarantined[0].kind}: {page.quarantined[0].why}")
            cursor = page.next
            if cursor is None or (window.limit is not None and len(rows) >= window.limit):
                return rows
            if cursor in cursors:
                raise GiveUp(f"the pages of {query.value} repeat")
            cursors.add(cursor)
        raise GiveUp(f"{query.value} has more than {_MOST_PAGES} pages")

    def look_up(self, action: LookUp) -> None:
        """The order is asked about as soon as there is room; the answer goes to `on_answer`."""
        self._waiting.append(action)
        self._next()

    def depth(self) -> int:
        """Look-ups that wait or run."""
        return len(self._waiting) + self._running

    def _next(self) -> None:
        while self._waiting and self._running < _MOST_LOOKUPS:
            action = self._waiting.popleft()
            self._running += 1
            self._scope.start(f"look_up.{action.key}", self._look_up(action))

    async def _look_up(self, action: LookUp) -> None:
        found: Found | NotFound | None = None
        try:
            self._counters.inc("lookups.asked")
            found = await self._source.look_up(action.ids, AtWall(action.since_wall_ns))
        except VenuekitError as error:
            self._log.info("look-up of %s failed: %s", action.key, error)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            # A bug in a venue's parser or driver must not leave the order without further questions.
            self._counters.inc("lookups.broken")
            self._log.exception("look-up of %s broke", action.key)
        finally:
            self._running -= 1
        try:
            self.on_answer(action.key, found)
        finally:
            # What one answer broke must not keep the others from being asked.
            self._next()
