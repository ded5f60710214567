"""Whether the private state is known, and from when on an account is read again."""

from __future__ import annotations

import asyncio
import logging

import pytest

from venuekit.interfaces.manifest import Semantics
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.recovery import Recovery
from venuekit.runtime.tasks import TaskScope
from venuekit.runtime.telemetry import CounterTable

SECOND = 1_000_000_000


class SlowReports:
    """The account's lists, all empty; positions are answered when `gate` opens."""

    def __init__(self) -> None:
        self.since_ns: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.whole = True
        self.explained = [True]
        """What the comparisons of positions say; the last one for ever."""

    async def balances(self) -> list[object]:
        return []

    async def compare_orders(self, since_ns: int) -> bool:
        self.since_ns.append(since_ns)
        return self.whole

    async def compare_positions(self) -> bool:
        await self.gate.wait()
        return self.explained.pop(0) if len(self.explained) > 1 else self.explained[0]


def recovery_of(reports: SlowReports, clock: ManualClock, scope: TaskScope, semantics: Semantics) -> Recovery:
    return Recovery(
        reports=reports,  # type: ignore[arg-type]
        on_balance=lambda _: False,
        reconnect=lambda _: None,
        semantics=semantics,
        scope=scope,
        clock=clock,
        counters=CounterTable(),
        log=logging.getLogger("venuekit.test"),
    )


def scope_of() -> TaskScope:
    return TaskScope("test", CounterTable(), logging.getLogger("venuekit.test"))


def test_an_account_is_read_again_from_where_the_last_reading_began_and_history_lags() -> None:
    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), SlowReports()
        semantics = Semantics(compare_ms=60_000, lookup_settles_ms=1_000, history_lag_ms=3_000)
        recovery = recovery_of(reports, clock, scope, semantics)
        begun = [clock.venue_ns()]
        recovery.apply_live()
        await recovery.first()
        # What happens while a list is read may be missing from it, however long that takes.
        reports.gate.clear()
        await clock.run_for(60 * SECOND)
        begun.append(begun[0] + 60 * SECOND)
        await clock.run_for(20 * SECOND)
        reports.gate.set()
        await clock.run_for(60 * SECOND)
        assert reports.since_ns == [start - 3 * SECOND for start in begun]
        await scope.close()

    asyncio.run(main())


@pytest.mark.parametrize("compare_ms", [60_000, 0])
@pytest.mark.parametrize("step", [-600, 600])
def test_a_clock_that_was_set_hides_nothing_that_happened_meanwhile(step: int, compare_ms: int) -> None:
    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), SlowReports()
        recovery = recovery_of(reports, clock, scope, Semantics(compare_ms=compare_ms))
        recovery.apply_live()
        await recovery.first()
        await clock.run_for(10 * SECOND)
        recovery.apply_down("cut")
        clock.wall_start_ns += step * SECOND
        lost_ns = clock.venue_ns()
        await clock.run_for(5 * SECOND)
        recovery.apply_live()
        await clock.run_for(SECOND)
        assert reports.since_ns[0] < lost_ns
        await scope.close()

    asyncio.run(main())


def test_submits_stay_denied_when_the_stream_was_lost_again_during_a_recovery() -> None:
    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), SlowReports()
        recovery = recovery_of(reports, clock, scope, Semantics(compare_ms=0))
        recovery.apply_live()
        await recovery.first()
        assert recovery.ready
        reports.gate = first = asyncio.Event()
        recovery.apply_down("one")
        recovery.apply_live()
        await clock.run_for(SECOND)
        assert len(reports.since_ns) == 1
        recovery.apply_down("two")
        await clock.run_for(SECOND)
        recovery.apply_live()
        reports.gate = second = asyncio.Event()
        # Orders were read before the second loss: what happened during it is not known yet.
        first.set()
        await clock.run_for(SECOND)
        assert len(reports.since_ns) == 2
        assert not recovery.ready
        second.set()
        await clock.run_for(SECOND)
        assert recovery.ready
        await scope.close()

    asyncio.run(main())


def test_a_read_that_its_driver_cancelled_is_a_failed_one() -> None:
    class Cancelled(SlowReports):
        async def compare_orders(self, since_ns: int) -> bool:
            await super().compare_orders(since_ns)
            if len(self.since_ns) == 1:
                raise asyncio.CancelledError
            return True

    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), Cancelled()
        recovery = recovery_of(reports, clock, scope, Semantics(compare_ms=0))
        recovery.apply_live()
        await recovery.first()
        recovery.apply_down("one")
        recovery.apply_live()
        await clock.run_for(10 * SECOND)
        assert recovery.ready
        assert len(reports.since_ns) == 2
        reports.gate.clear()
        recovery.ask("to be stopped in the middle")
        await clock.run_for(SECOND)
        await scope.close()
        assert len(scope) == 0

    asyncio.run(main())


def test_a_start_whose_positions_could_not_be_compared_compares_them_soon() -> None:
    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), SlowReports()
        reports.explained = [False, False, True]
        semantics = Semantics(compare_ms=0, lookup_settles_ms=1_000, history_lag_ms=2_000)
        recovery = recovery_of(reports, clock, scope, semantics)
        recovery.apply_live()
        await recovery.first()
        assert recovery.ready, "nothing waits for it"
        await clock.run_for(1_999 * SECOND // 1_000)
        assert len(reports.since_ns) == 0
        await clock.run_for(10 * SECOND)
        assert len(reports.since_ns) == 2
        assert reports.explained == [True]
        await clock.run_for(600 * SECOND)
        assert len(reports.since_ns) == 2
        await scope.close()

    asyncio.run(main())


def test_a_row_that_could_not_be_taken_is_read_again_for_an_hour() -> None:
    async def main() -> None:
        clock, scope, reports = ManualClock(), scope_of(), SlowReports()
        recovery = recovery_of(reports, clock, scope, Semantics(compare_ms=600_000))
        begun = clock.venue_ns()
        recovery.apply_live()
        await recovery.first()
        reports.whole = False
        await clock.run_for(1_800 * SECOND)
        assert recovery.ready, "and nothing waits for it"
        assert [since < begun for since in reports.since_ns] == [True] * 3
        reports.whole = True
        await clock.run_for(1_200 * SECOND)
        assert [since < begun for since in reports.since_ns] == [True] * 4 + [False]
        reports.whole, held = False, begun + 3_000 * SECOND
        await clock.run_for(7_200 * SECOND)
        assert reports.since_ns[5] < held < reports.since_ns[-1]
        await scope.close()

    asyncio.run(main())
