"""The virtual loop: order, jumps of time, deadlocks, blocked stretches; and the clock on it."""

import asyncio
import time

import pytest

from venuekit.runtime.clock import LoopClock
from venuekit.runtime.virtual_loop import DeadlockError, VirtualLoop, run

SECOND = 1_000_000_000


def test_timers_of_one_instant_run_in_the_order_they_were_made():
    ran = []

    async def main(loop):
        # Enough of them that a heap without the tie-break shuffles them.
        for number in range(100):
            loop.call_at(5.0, ran.append, number)
        await asyncio.sleep(5)

    run(main)
    assert ran == list(range(100))


def test_time_starts_at_zero_and_jumps_to_the_next_timer():
    began = time.monotonic()

    async def main(loop):
        assert loop.time() == 0
        await asyncio.sleep(86_400)
        return loop.now_ns

    assert run(main) == 86_400 * SECOND
    assert time.monotonic() - began < 30, "a day of virtual time takes no time"


def test_every_fraction_of_a_second_is_reached():
    """A float that rounds to just above a nanosecond must not keep its timer from falling due."""

    async def main(loop):
        for number in range(1, 2_000):
            await asyncio.sleep(number / 7_000)
        return loop.now_ns

    assert run(main) == sum(round(number / 7_000 * SECOND) for number in range(1, 2_000))


def test_a_deadlock_names_who_waits():
    async def main(loop):
        never = loop.create_future()

        async def waits():
            await never

        task = asyncio.create_task(waits(), name="the-one-that-waits")
        await task

    with pytest.raises(DeadlockError, match="the-one-that-waits"):
        run(main)


def test_a_cancelled_timer_is_no_reason_to_wait():
    async def main(loop):
        loop.call_later(1, print, "never").cancel()
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main)


def test_a_loop_that_never_lets_time_pass_is_stopped():
    async def main(loop):
        loop.most_turns = 1_000
        while True:  # noqa: ASYNC110  a circle is what it is about
            await asyncio.sleep(0)

    with pytest.raises(DeadlockError, match="time stands still"):
        run(main)


def test_blocked_nothing_runs_and_then_everything_late_and_in_order():
    heard = []

    async def main(loop):
        for secs in (3, 1, 2, 30):
            loop.call_later(secs, lambda secs=secs: heard.append((secs, loop.time())))
        loop.block(10 * SECOND)
        assert heard == []
        await asyncio.sleep(25)

    run(main)
    assert heard == [(1, 10.0), (2, 10.0), (3, 10.0), (30, 30.0)]


def test_work_for_a_thread_is_done_in_place():
    import threading

    async def main(loop):
        assert await asyncio.to_thread(threading.get_ident) == threading.get_ident()

        def fails():
            raise LookupError("as it would in a thread")

        with pytest.raises(LookupError):
            await loop.run_in_executor(None, fails)

    run(main)


def test_what_is_set_can_be_listed():
    async def main(loop):
        later, never, soon = (loop.call_later(secs, print) for secs in (2, 3, 1))
        never.cancel()
        assert loop.pending() == [soon, later]
        await asyncio.sleep(1.5)
        assert loop.pending() == [later]
        later.cancel()

    run(main)


def test_timeouts_of_asyncio_work():
    async def main(loop):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await loop.create_future()
        return loop.time()

    assert run(main) == 7.0


def test_what_is_left_is_cancelled_at_the_end():
    ended = []

    async def main(loop):
        async def stays():
            try:
                await asyncio.sleep(10)
            finally:
                ended.append(loop.time())

        asyncio.create_task(stays())  # noqa: RUF006  that nobody keeps it is the point
        await asyncio.sleep(1)

    run(main)
    assert ended == [1.0]


def test_a_wall_that_jumps_moves_no_timer():
    async def main(loop):
        client, venue = LoopClock(loop), LoopClock(loop)
        began = client.wall_ns()
        fired = []
        client.call_at(10 * SECOND, lambda: fired.append(loop.time()))
        await asyncio.sleep(1)
        client.jump(3_600 * SECOND)
        assert client.wall_ns() == began + 3_601 * SECOND
        assert client.mono_ns() == venue.mono_ns() == SECOND
        assert venue.wall_ns() == began + SECOND
        client.jump(-7_200 * SECOND)
        assert client.wall_ns() == began - 3_599 * SECOND
        await asyncio.sleep(20)
        assert fired == [10.0]

    run(main)


def test_a_wall_that_drifts_gains_by_the_rate():
    async def main(loop):
        clock = LoopClock(loop)
        began = clock.wall_ns()
        await asyncio.sleep(10)
        clock.drift(500)
        await asyncio.sleep(100)
        assert clock.wall_ns() == began + 110 * SECOND + 100 * 500_000
        clock.drift(0)
        await asyncio.sleep(100)
        assert clock.wall_ns() == began + 210 * SECOND + 100 * 500_000
        assert clock.mono_ns() == 210 * SECOND

    run(main)


def test_draws_repeat_with_the_seed():
    loop = VirtualLoop()
    try:
        first, again, other = (LoopClock(loop, seed=seed) for seed in (1, 1, 2))
        drawn = [first.draw() for _ in range(5)]
        assert drawn == [again.draw() for _ in range(5)] != [other.draw() for _ in range(5)]
        assert all(0 <= one < 1 for one in drawn)
    finally:
        loop.close()


def test_a_wait_on_the_clock_ends_at_its_moment_and_leaves_no_timer():
    async def main(loop):
        clock = LoopClock(loop)
        await clock.sleep_until(3)
        assert loop.now_ns == 3
        waiting = asyncio.create_task(clock.sleep_until(9 * SECOND))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main)
