"""Whether the private state is known, and how it is known again: after the start, a reconnect, or a doubt.

A stream that answers pings may still keep records to itself. So the account is also compared while all seems
well; what a read brings that the stream should have told long ago ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from venuekit.core.order_state import Moment
from venuekit.errors import VenuekitError
from venuekit.runtime.tasks import asked_to_end, bounded

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import Semantics
    from venuekit.interfaces.records import BalanceRecord
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.account_reports import AccountReports
    from venuekit.runtime.tasks import TaskScope

BALANCE = "a balance"
"""The name of a balance for `apply_news` and `apply_told`."""
_MS = 1_000_000
_SILENCE_NS = 120_000 * _MS
"""Without comparisons: a stream may have been mute for this long before it was found to be down."""
_FIRST_PAUSE_NS = 500 * _MS
_LONGEST_PAUSE_NS = 30_000 * _MS
_LONGEST_DOUBT_NS = 120_000 * _MS
_FIRST_SPACING_NS = 60_000 * _MS
_LONGEST_SPACING_NS = 3_600_000 * _MS
"""A venue that never tells some record on its stream must not cost a connection every minute."""
_LONGEST_REREAD_NS = 3_600_000 * _MS
"""For so long a row that could not be taken is read again with every comparison: it may be taken later."""
_LOOKS_BEFORE_LIVE = 3
"""A position that differs for so long has had its alarm, or waits for fills that have theirs."""
_FAILED = object()


class Recovery:
    """Reads what was missed over REST, compares, and only then lets submits through."""

    def __init__(
        self,
        *,
        reports: AccountReports,
        on_balance: Callable[[BalanceRecord], bool],
        reconnect: Callable[[str], None],
        semantics: Semantics,
        scope: TaskScope,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        """`on_balance` is true when a read shows that money moved and the stream did not say so."""
        self._reports = reports
        reports.on_news, reports.on_doubt = self.apply_news, self.apply_doubt
        self._on_balance = on_balance
        self._reconnect = reconnect
        self._compare_ns = semantics.compare_ms * _MS
        self._settle_ns = max(semantics.lookup_settles_ms, semantics.history_lag_ms) * _MS
        self._scope = scope
        self._clock = clock
        self._counters = counters
        self._log = log
        self._live = False
        self._begun = False
        self._known = False
        self._became_known = asyncio.Event()
        self._wanted = False
        self._running = False
        self._doubts = 0
        self._looks_again = False
        self._confirmed: Moment | None = None
        self._down: Moment | None = None
        self._losses = 0
        self._owes_ns = 0
        """From this venue time on the stream owes every record: it was live, and no record is in doubt."""
        self._awaited: set[str] = set()
        """What a read brought and the stream has not told yet, while it still may."""
        self._spacing_ns = _FIRST_SPACING_NS
        self._reconnect_from_ns = 0

    @property
    def ready(self) -> bool:
        """True while the stream is live and what it missed was read and compared."""
        return self._live and self._known

    @property
    def sendable(self) -> bool:
        """The same, for commands that wait for it."""
        return self.ready

    async def until_live(self, within_ns: int) -> bool:
        """True once it is `ready`; False when that takes longer."""
        try:
            async with bounded(self._clock, within_ns):
                while not self.ready:
                    self._became_known.clear()
                    await self._became_known.wait()
        except TimeoutError:
            return False
        return True

    async def first(self) -> None:
        """The account state is out; raise what keeps it from that.

        The positions' baseline is taken, or soon: a fill may come while they are read.
        """
        started = self._now()
        await self.balances()
        explained = await self._reports.compare_positions()
        self._begun = True
        if not explained:
            self._look_soon()
        if self._compare_ns:
            self._scope.start("compare", self._compare())
        if self._down is None:
            self._confirmed, self._known = started, True
        elif self._live:
            self.ask("the stream was lost during the start")

    def apply_live(self) -> None:
        """The private stream delivers again."""
        self._live = True
        self._owes_ns = self._clock.venue_ns()
        if self._begun:
            self.ask("the stream is live again")

    def apply_down(self, why: str) -> None:
        """Nothing that happens from here on is seen."""
        if self._live:
            self._losses += 1
            self._counters.inc("recovery.down")
            self._log.info("private state unknown: %s", why)
            if self._down is None:
                self._down = self._now()
        self._live = False
        self._known = False

    def ask(self, why: str) -> None:
        """A recovery runs soon, once more when one is running."""
        if not self._begun:
            return
        self._owes_ns = self._clock.venue_ns()
        self._counters.inc("recovery.asked")
        if not self._running:
            self._log.info("recovering the account: %s", why)
        self._begin()

    def apply_news(self, ts_event: int, what: str) -> None:
        """A read brought this of `ts_event`; a live stream that does not tell it in time is opened anew."""
        if not self.ready or ts_event < self._owes_ns + self._settle_ns:
            return
        left = ts_event + self._settle_ns - self._clock.venue_ns()
        if left > 0:
            self._awaited.add(what)
            self._scope.start("await_news", self._await_news(ts_event, what, left))
            return
        self._counters.inc("recovery.kept_silent")
        self._log.warning("the private stream is live and did not tell %s", what)
        now = self._clock.mono_ns()
        if now >= self._reconnect_from_ns:
            self._reconnect_from_ns = now + self._spacing_ns
            self._spacing_ns = min(2 * self._spacing_ns, _LONGEST_SPACING_NS)
            self._reconnect(f"it did not tell {what}")

    def apply_told(self, what: str) -> None:
        """The stream told this after all; a read was only faster."""
        self._awaited.discard(what)

    @property
    def waits(self) -> bool:
        """True while the stream may still tell what a read brought first."""
        return bool(self._awaited)

    async def _await_news(self, ts_event: int, what: str, left_ns: int) -> None:
        await self._clock.sleep_until(self._clock.mono_ns() + left_ns)
        if what in self._awaited:
            self._awaited.discard(what)
            self.apply_news(ts_event, what)

    async def _compare(self) -> None:
        """What is missed while all seems well is found within this and one more round."""
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + self._compare_ns)
            if not self._running:
                self.compare()

    def compare(self) -> None:
        """A live account is read and compared soon, with no doubt of what its stream owes."""
        if self.ready:
            self._counters.inc("recovery.compared")
            self._begin()

    def apply_doubt(self) -> None:
        """Something may be missing, nothing is known to be: the account is compared soon."""
        if self._begun:
            self._begin()

    def _begin(self) -> None:
        self._wanted = True
        if not self._running:
            self._running = True
            self._scope.start("recover", self._run())

    async def balances(self) -> None:
        """Balances were read and delivered; raise on failure."""
        for row in await self._reports.balances():
            if self._on_balance(row):
                self.apply_news(row.ts_event, BALANCE)

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
        started, down, losses = self._now(), self._down, self._losses
        since = max(0, self._unseen_ns(down or started) - self._settle_ns)
        # Each on its own: what one read brings is told although another one fails.
        money = await self._part(self.balances())
        told = await self._part(self._reports.compare_orders(since))
        # While fills are missing, the positions they moved would differ.
        explained = await self._part(self._reports.compare_positions()) if told is not _FAILED else _FAILED
        if _FAILED in (money, explained):
            return False
        self._doubts = 0 if explained else self._doubts + 1
        # After a loss a position that differs says that something of it is still missing.
        missing = down is not None and 0 < self._doubts < _LOOKS_BEFORE_LIVE
        # Lost once more meanwhile: what was read is older than that.
        if self._live and self._losses == losses and not missing:
            self._down, self._known = None, True
            self._became_known.set()
            if told or self._confirmed is None or self._age_ns(self._confirmed) > _LONGEST_REREAD_NS:
                self._confirmed = started
            self._counters.inc("recovery.done")
        if self._clock.mono_ns() >= self._reconnect_from_ns:
            self._spacing_ns = _FIRST_SPACING_NS
        if not explained and not self._looks_again:
            # Fills may still be under way; read again once history must have them.
            self._look_soon()
        return True

    def _look_soon(self) -> None:
        pause = min(self._settle_ns << min(max(0, self._doubts - 1), 6), _LONGEST_DOUBT_NS)
        self._looks_again = True
        self._scope.start("look_again", self._look_again(pause))

    async def _part(self, reading: Awaitable[object]) -> object:
        """What it returned; `_FAILED` after a failure, which proves nothing."""
        try:
            return await reading
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            # Whatever broke, the state stays unknown and submits stay denied until a later attempt succeeds.
            self._counters.inc("recovery.failed")
            if not isinstance(error, VenuekitError):
                self._log.exception("the recovery broke")
            else:
                self._log.warning("the recovery failed: %s", error)
            return _FAILED

    def _unseen_ns(self, until: Moment) -> int:
        """From here on something may have been missed: since the last comparison, where there are any."""
        confirmed_ns = 0 if self._confirmed is None else self._earliest_ns(self._confirmed)
        if self._compare_ns and confirmed_ns:
            return confirmed_ns
        return max(confirmed_ns, self._earliest_ns(until) - _SILENCE_NS)

    def _now(self) -> Moment:
        return Moment(self._clock.mono_ns(), self._clock.venue_ns())

    def _earliest_ns(self, then: Moment) -> int:
        """The venue's time of that moment as it was known then, or as it is known now, if that is earlier.

        A clock that was set back since would hide what happened meanwhile, as would a machine that slept.
        """
        return min(then.wall_ns, self._clock.venue_ns() - self._age_ns(then))

    def _age_ns(self, then: Moment) -> int:
        return self._clock.mono_ns() - then.mono_ns

    async def _look_again(self, pause_ns: int) -> None:
        """Not in `_run`: a recovery that submits wait for must not wait for this."""
        await self._clock.sleep_until(self._clock.mono_ns() + pause_ns)
        self._looks_again = False
        if self._live:
            self._begin()
