"""Second witnesses of fills: when they let the account be compared, and when they do not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tracker_bench import T0, Bench, S

from venuekit.interfaces.records import MoneyMoved
from venuekit.runtime.cross_check import CrossCheck
from venuekit.runtime.tasks import TaskScope


class Rig:
    """A cross-check over a real tracker and position book; what it asks for is counted."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.order()
        self.bench.positions.apply_snapshot([self.bench.position("0.000", at=0)])
        self.compared: list[int] = []
        self.reads = 0
        self.scope = TaskScope("test", self.bench.counters, logging.getLogger("venuekit.test"))
        self.check = CrossCheck(
            tracker=self.bench.tracker,
            positions=self.bench.positions,
            compare=lambda: self.compared.append(self.bench.clock.mono_ns() // S),
            read_balances=self._read,
            scope=self.scope,
            clock=self.bench.clock,
            counters=self.bench.counters,
        )

    async def _read(self) -> None:
        self.reads += 1

    def moved(self, key: str) -> None:
        self.check.apply_moved(MoneyMoved(trade_key=key, ts_event=T0))

    async def secs(self, count: int) -> None:
        for _ in range(count):
            await self.turn()
            self.bench.clock.advance(S)
            await self.turn()

    async def turn(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = Rig()
        try:
            await body(rig)
        finally:
            await rig.scope.close()

    asyncio.run(main())


def test_a_fill_may_trail_its_witness_by_a_round() -> None:
    async def body(rig: Rig) -> None:
        rig.moved("t1")
        await rig.secs(1)
        rig.bench.fill("t1", "0.500", at=1)
        await rig.secs(10)
        assert (rig.compared, rig.reads) == ([], 1)

    run(body)


def test_a_fill_that_nobody_told_lets_the_account_be_compared() -> None:
    async def body(rig: Rig) -> None:
        rig.moved("t1")
        await rig.secs(10)
        assert rig.compared == [2]
        assert rig.bench.counters.get("private.unseen_fills") == 1

    run(body)


def test_a_second_one_soon_after_is_compared_as_soon_as_it_may_be() -> None:
    async def body(rig: Rig) -> None:
        rig.moved("t1")
        await rig.secs(5)
        rig.moved("t2")
        await rig.secs(30)
        assert rig.compared == [2, 13], "not before ten seconds after the first, and in whole rounds"

    run(body)


def test_balances_are_read_once_a_round_however_many_fills() -> None:
    async def body(rig: Rig) -> None:
        for number in range(20):
            rig.bench.fill(f"t{number}", "0.010", at=1)
            rig.moved(f"t{number}")
        await rig.secs(10)
        assert (rig.compared, rig.reads) == ([], 1)

    run(body)


def test_a_position_that_the_fills_do_not_make_is_asked_about_once_it_is_quiet() -> None:
    async def body(rig: Rig) -> None:
        rig.check.apply_position(rig.bench.position("0.500", at=1))
        await rig.secs(1)
        rig.bench.fill("t1", "0.200", at=1)
        await rig.secs(2)
        assert rig.compared == [], "fills are still coming"
        await rig.secs(3)
        assert rig.compared == [4]
        rig.check.apply_position(rig.bench.position("0.200", at=2))
        await rig.secs(10)
        assert rig.compared == [4]

    run(body)


def test_an_older_position_does_not_replace_a_newer_one() -> None:
    async def body(rig: Rig) -> None:
        rig.bench.fill("t1", "0.200", at=1)
        rig.check.apply_position(rig.bench.position("0.200", at=5))
        rig.check.apply_position(rig.bench.position("0.000", at=1))
        await rig.secs(10)
        assert rig.compared == []

    run(body)


def test_witnesses_that_never_fit_cost_less_and_less() -> None:
    async def body(rig: Rig) -> None:
        for number in range(100):
            rig.moved(f"other-{number}")
            await rig.secs(2)
        # Two seconds after the first, then 10, 20, 40, 80 s apart, in whole rounds.
        assert rig.compared == [2, 12, 32, 72, 152]
        rig.bench.fill("t1", "0.010", at=1)
        rig.moved("t1")
        await rig.secs(4)
        rig.moved("other-last")
        await rig.secs(200)
        assert len(rig.compared) <= 6

    run(body)
