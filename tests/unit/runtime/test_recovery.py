"""Whether the private state is known: a recovery that was overtaken by another loss says nothing of it."""

from __future__ import annotations

import asyncio
import logging

from venuekit.interfaces.manifest import Semantics
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.recovery import Recovery
from venuekit.runtime.tasks import TaskScope
from venuekit.runtime.telemetry import CounterTable

SECOND = 1_000_000_000


class SlowReports:
    """The account's lists, all empty; positions are answered when `gate` opens."""

    def __init__(self) -> None:
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def balances(self) -> list[object]:
        return []

    async def compare_orders(self, _since_ns: int) -> None:
        self.reads += 1

    async def compare_positions(self) -> bool:
        await self.gate.wait()
        return True


def test_submits_stay_denied_when_the_stream_was_lost_again_during_a_recovery() -> None:
    async def main() -> None:
        clock, counters, log = ManualClock(), CounterTable(), logging.getLogger("venuekit.test")
        scope, reports = TaskScope("test", counters, log), SlowReports()
        recovery = Recovery(
            reports=reports,  # type: ignore[arg-type]
            on_balance=lambda _: False,
            reconnect=lambda _: None,
            semantics=Semantics(compare_ms=0),
            scope=scope,
            clock=clock,
            counters=counters,
            log=log,
        )
        recovery.apply_live()
        await recovery.first()
        assert recovery.ready
        reports.gate = first = asyncio.Event()
        recovery.apply_down("one")
        recovery.apply_live()
        await clock.run_for(SECOND)
        assert reports.reads == 1
        recovery.apply_down("two")
        await clock.run_for(SECOND)
        recovery.apply_live()
        reports.gate = second = asyncio.Event()
        # Orders were read before the second loss: what happened during it is not known yet.
        first.set()
        await clock.run_for(SECOND)
        assert reports.reads == 2
        assert not recovery.ready
        second.set()
        await clock.run_for(SECOND)
        assert recovery.ready
        await scope.close()

    asyncio.run(main())
