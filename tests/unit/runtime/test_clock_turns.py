"""A wait until now is how long work lets others run: it must give the loop a turn on every clock."""

import asyncio

import pytest

from venuekit.runtime.clock import ManualClock, RealClock


@pytest.mark.parametrize("clock", [RealClock(), ManualClock()], ids=["real", "virtual"])
def test_a_wait_until_now_lets_others_run(clock):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(other())
        for _ in range(10):
            await clock.sleep_until(clock.mono_ns())
        task.cancel()

    asyncio.run(main())
    assert turns == 10


def test_a_wait_is_never_short():
    clock = RealClock()

    async def main():
        until = clock.mono_ns() + 3_000_000
        await clock.sleep_until(until)
        return clock.mono_ns() - until

    assert asyncio.run(main()) >= 0
