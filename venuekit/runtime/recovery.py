"""Whether the private state is known, and how it is known again: after the start, a reconnect, or a doubt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from venuekit.errors import VenuekitError

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import Semantics
    from venuekit.interfaces.records import BalanceRecord
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.account_reports import AccountReports
    from venuekit.runtime.tasks import TaskScope

_MS = 1_000_000
_SILENCE_NS = 120_000 * _MS
"""A stream may have been mute for this long before it was found to be down; that time is read again."""
_FIRST_PAUSE_NS = 500 * _MS
_LONGEST_PAUSE_NS = 30_000 * _MS
_LONGEST_DOUBT_NS = 120_000 * _MS


class Recovery:
    """Reads what was missed over REST, compares, and only then lets submits through."""

    def __init__(
        self,
        *,
        reports: AccountReports,
        on_balance: Callable[[BalanceRecord], None],
        semantics: Semantics,
        scope: TaskScope,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self._reports = reports
        self._on_balance = on_balance
        self._settle_ns = max(semantics.lookup_settles_ms, semantics.history_lag_ms) * _MS
        self._scope = scope
        self._clock = clock
        self._counters = counters
        self._log = log
        self._live = False
        self._begun = False
        self._known = False
        self._wanted = False
        self._running = False
        self._doubts = 0
        self._confirmed_ns = 0
        self._down_ns: int | None = None

    @property
    def ready(self) -> bool:
        """True while the stream is live and what it missed was read and compared."""
        return self._live and self._known

    async def first(self) -> None:
        """The account state is out and the positions' baseline is taken; raise what keeps it from that."""
        started = self._clock.wall_ns()
        await self.balances()
        await self._reports.compare_positions()
        self._begun = True
        if self._down_ns is None:
            self._confirmed_ns, self._known = started, True
        elif self._live:
            self.ask("the stream was lost during the start")

    def apply_live(self) -> None:
        """The private stream delivers again."""
        self._live = True
        if self._begun:
            self.ask("the stream is live again")

    def apply_down(self, why: str) -> None:
        """Nothing that happens from here on is seen."""
        if self._live:
            self._counters.inc("recovery.down")
            self._log.info("private state unknown: %s", why)
            if self._down_ns is None:
                self._down_ns = self._clock.wall_ns()
        self._live = False
        self._known = False

    def ask(self, why: str) -> None:
        """A recovery runs soon, once more when one is running."""
        if not self._begun:
            return
        self._wanted = True
        self._counters.inc("recovery.asked")
        if not self._running:
            self._log.info("recovering the account: %s", why)
            self._running = True
            self._scope.start("recover", self._run())

    async def balances(self) -> None:
        """Balances were read and delivered; raise on failure."""
        for row in await self._reports.balances():
            self._on_balance(row)

    async def balances_soon(self) -> None:
        """Like `balances`; a failure is logged, because nobody waits."""
        try:
            await self.balances()
        except VenuekitError as error:
            self._counters.inc("reads.balances_failed")
            self._log.warning("balances could not be read: %s", error)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_NS
        try:
            while self._wanted and self._live:
                self._wanted = False
                if await self._once():
                    pause = _FIRST_PAUSE_NS
                    continue
                self._wanted = True
                await self._clock.sleep_until(self._clock.mono_ns() + pause)
                pause = min(2 * pause, _LONGEST_PAUSE_NS)
        finally:
            self._running = False

    async def _once(self) -> bool:
        """True when everything was read and compared; False after a failure, which proves nothing."""
        started, down = self._clock.wall_ns(), self._down_ns
        seen_until = (down if down is not None else started) - _SILENCE_NS
        since = max(0, max(self._confirmed_ns, seen_until) - self._settle_ns)
        try:
            await self.balances()
            await self._reports.compare_orders(since)
            explained = await self._reports.compare_positions()
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever broke, the state stays unknown and submits stay denied until a later attempt succeeds.
            self._counters.inc("recovery.failed")
            if not isinstance(error, VenuekitError):
                self._log.exception("the recovery broke")
            else:
                self._log.warning("the recovery failed: %s", error)
            return False
        if self._live and self._down_ns == down:
            self._confirmed_ns, self._down_ns, self._known = started, None, True
            self._counters.inc("recovery.done")
        self._doubts = 0 if explained else self._doubts + 1
        if not explained:
            # Fills may still be under way; read again once history must have them.
            pause = min(self._settle_ns << min(self._doubts - 1, 6), _LONGEST_DOUBT_NS)
            await self._clock.sleep_until(self._clock.mono_ns() + pause)
            self._wanted = True
        return True
