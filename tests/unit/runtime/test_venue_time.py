"""When the venue is asked for its time, and what becomes of steps, drift, sleep and lies; virtual time."""

import asyncio
import logging

import pytest

from venuekit.errors import NotReady
from venuekit.interfaces.manifest import TimeRule
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.telemetry import CounterTable
from venuekit.runtime.venue_time import ClockKeeper, VenueClock

MS, SECOND = 1_000_000, 1_000_000_000
HOUR = 3_600 * SECOND


class Venue:
    """A venue whose clock is `ahead_ns` before true time, with quartz of its own; answers take `trip_ns`."""

    def __init__(self, clock: ManualClock, ahead_ns: int = 0, ppm: int = 0) -> None:
        self.clock, self.ahead_ns, self.ppm = clock, ahead_ns, ppm
        self.epoch = clock.wall_start_ns
        self.trip_ns = 20 * MS
        self.asked: list[int] = []
        self.error: Exception | None = None
        self.mute = False

    def now(self) -> int:
        mono = self.clock.mono_ns()
        return self.epoch + self.ahead_ns + mono + mono * self.ppm // 1_000_000

    async def read(self) -> int:
        self.asked.append(self.clock.mono_ns())
        if self.mute:
            await asyncio.get_running_loop().create_future()
        await self.clock.sleep_until(self.clock.mono_ns() + self.trip_ns // 2)
        if self.error is not None:
            raise self.error
        said = self.now() // MS * MS
        await self.clock.sleep_until(self.clock.mono_ns() + self.trip_ns // 2)
        return said


class Bench:
    """A keeper, started, with `wall_off_ns` between this machine's clock and true time."""

    def __init__(self, wall_off_ns: int = 0, *, ahead_ns: int = 0, ppm: int = 0, told: bool = True) -> None:
        self.machine = ManualClock()
        self.venue = Venue(self.machine, ahead_ns, ppm)
        self.machine.wall_start_ns += wall_off_ns
        self.counters, self.clock = CounterTable(), VenueClock(self.machine)
        self.keeper = ClockKeeper(
            clock=self.clock,
            rule=TimeRule() if told else None,
            source=self.venue if told else None,
            counters=self.counters,
            log=logging.getLogger("venuekit.test"),
        )

    async def start(self) -> None:
        starting = asyncio.ensure_future(self.keeper.start())
        for _ in range(400):
            await self.machine.run_for(25 * MS)
            if starting.done():
                break
        await starting

    def step(self, ns: int) -> None:
        """Somebody set this machine's clock."""
        self.machine.wall_start_ns += ns

    def sleep(self, ns: int) -> None:
        """The machine slept: monotonic time stood still, the world did not."""
        self.machine.wall_start_ns += ns
        self.venue.epoch += ns

    @property
    def wrong_ns(self) -> int:
        return self.clock.venue_ns() - self.venue.now()


def run(body, *args, **facts) -> None:
    async def main() -> None:
        bench = Bench(*args, **facts)
        await bench.start()
        await body(bench)
        await bench.keeper.close()
        assert bench.counters.get("tasks.crashed") == 0
        assert bench.machine.next_timer_ns() is None
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("wall_off", [0, 45 * SECOND, -120 * SECOND, 600 * SECOND])
def test_after_the_start_the_venues_time_is_known_whatever_ours_is(wall_off):
    async def body(bench: Bench) -> None:
        assert len(bench.venue.asked) == 3
        assert abs(bench.wrong_ns) < 12 * MS
        # Times of receipt stay this machine's.
        assert bench.clock.wall_ns() == bench.machine.wall_ns()
        reading = bench.clock.reading()
        assert reading.state == "measured"
        assert abs(reading.offset_ns + wall_off) <= reading.error_ns < 12 * MS

    run(body, wall_off)


def test_a_reading_of_a_process_that_is_put_aside_knows_that_it_is_less_exact():
    async def body(bench: Bench) -> None:
        def put_aside() -> int:
            bench.machine._now_ns += 50 * MS
            wall_ns = bench.machine.wall_ns()
            bench.machine._now_ns += 10 * MS
            return wall_ns

        bench.clock.wall_ns = put_aside
        reading = bench.clock.reading()
        assert abs(reading.offset_ns) <= reading.error_ns < 50 * MS

    run(body)


def test_it_is_asked_every_minute():
    async def body(bench: Bench) -> None:
        await bench.machine.run_for(600 * SECOND)
        assert 9 <= len(bench.venue.asked) - 3 <= 11

    run(body)


@pytest.mark.parametrize("step", [HOUR, -HOUR, -SECOND, SECOND])
def test_a_step_of_our_clock_moves_no_stamp_and_no_timer_and_is_looked_into(step):
    async def body(bench: Bench) -> None:
        await bench.machine.run_for(10 * SECOND)
        fired, asked = [], len(bench.venue.asked)
        bench.machine.call_at(
            bench.machine.mono_ns() + 5 * SECOND, lambda: fired.append(bench.machine.mono_ns())
        )
        due = bench.machine.mono_ns() + 5 * SECOND
        before = bench.clock.venue_ns()
        bench.step(step)
        assert bench.clock.venue_ns() == before
        for _ in range(50):
            await bench.machine.run_for(SECOND // 5)
            assert abs(bench.wrong_ns) < 15 * MS
        assert fired == [due]
        assert bench.counters.get("clock.wall_steps") == 1
        assert len(bench.venue.asked) == asked + 1
        assert bench.clock.reading().state == "measured"

    run(body)


@pytest.mark.parametrize("ppm", [200, -200])
def test_drift_is_followed(ppm):
    async def body(bench: Bench) -> None:
        for _ in range(360):
            await bench.machine.run_for(10 * SECOND)
            # A minute of drift between two answers, and half a round trip.
            assert abs(bench.wrong_ns) <= 60 * SECOND * 200 // 1_000_000 + 11 * MS
            assert abs(bench.wrong_ns) <= bench.clock.reading().error_ns
        assert bench.counters.get("clock.wall_steps") == 0

    run(body, ppm=ppm)


def test_a_machine_that_slept_knows_the_time_within_three_seconds():
    async def body(bench: Bench) -> None:
        bench.sleep(3 * HOUR)
        assert abs(bench.wrong_ns) > 2 * HOUR
        await bench.machine.run_for(3 * SECOND)
        assert abs(bench.wrong_ns) < 15 * MS

    run(body)


def test_a_venue_that_does_not_answer_is_asked_again_and_ours_is_used_until_then():
    async def body() -> None:
        bench = Bench(45 * SECOND)
        bench.venue.error = NotReady("HTTP 503")
        await bench.start()
        assert bench.counters.get("clock.failed") == 1
        assert bench.clock.venue_ns() == bench.machine.wall_ns()
        assert bench.clock.reading().state == "local"
        bench.venue.error = None
        await bench.machine.run_for(6 * SECOND)
        assert abs(bench.wrong_ns) < 15 * MS
        # Later failures change nothing that is known.
        bench.venue.mute = True
        await bench.machine.run_for(600 * SECOND)
        assert bench.counters.get("clock.failed") > 3
        assert abs(bench.wrong_ns) < 15 * MS
        await bench.keeper.close()

    asyncio.run(body())


@pytest.mark.parametrize("at_start", [True, False])
def test_an_answer_that_breaks_its_parser_is_asked_for_ever_more_rarely_and_said_once(at_start, caplog):
    async def body() -> None:
        bench = Bench(45 * SECOND)
        broken = KeyError("server_time")
        bench.venue.error = broken if at_start else None
        await bench.start()
        bench.venue.error = broken
        await bench.machine.run_for(60 * SECOND)
        asked = len(bench.venue.asked)
        await bench.machine.run_for(600 * SECOND)
        # The longest pause is a minute.
        assert 9 <= len(bench.venue.asked) - asked <= 12
        assert bench.counters.get("clock.broken") >= 10
        assert bench.counters.get("tasks.crashed") == 0
        bench.venue.error = None
        await bench.machine.run_for(62 * SECOND)
        assert abs(bench.wrong_ns) < 15 * MS
        await bench.keeper.close()

    asyncio.run(body())
    assert sum("KeyError" in (record.exc_text or "") for record in caplog.records) == 1


@pytest.mark.parametrize("hours", [5, -5])
def test_a_time_hours_away_is_not_believed_and_said_aloud(hours, caplog):
    async def body(bench: Bench) -> None:
        assert bench.counters.get("clock.answers.wild") == 3
        assert bench.clock.venue_ns() == bench.machine.wall_ns()
        assert bench.clock.reading().state == "wild"
        await bench.machine.run_for(300 * SECOND)
        assert bench.clock.reading().state == "wild"
        # The person reads the log and sets the clock.
        bench.step(hours * HOUR)
        await bench.machine.run_for(3 * SECOND)
        assert abs(bench.wrong_ns) < 15 * MS

    run(body, ahead_ns=hours * HOUR)
    assert sum("synchronise" in record.message for record in caplog.records) >= 1


def test_a_venue_whose_time_leaps_while_we_run_is_not_followed_by_hours():
    async def body(bench: Bench) -> None:
        bench.venue.ahead_ns = 3 * HOUR
        await bench.machine.run_for(300 * SECOND)
        assert abs(bench.wrong_ns + 3 * HOUR) < 200 * MS
        assert bench.clock.reading().state == "wild"

    run(body)


def test_a_venue_without_a_time_leaves_ours_and_steps_are_noticed():
    async def body(bench: Bench) -> None:
        assert bench.clock.venue_ns() == bench.machine.wall_ns()
        bench.step(HOUR)
        await bench.machine.run_for(2 * SECOND)
        assert bench.counters.get("clock.wall_steps") == 1
        assert bench.clock.reading().state == "local"
        assert not await bench.keeper.measure()

    run(body, told=False)


def test_a_refused_time_is_looked_into_once_for_all_who_ask():
    async def body(bench: Bench) -> None:
        asked = len(bench.venue.asked)
        all_right = [asyncio.ensure_future(bench.keeper.measure()) for _ in range(5)]
        await bench.machine.run_for(SECOND // 2)
        assert [one.result() for one in all_right] == [False] * 5
        assert len(bench.venue.asked) == asked + 1
        bench.venue.ahead_ns += 20 * SECOND
        wrong = [asyncio.ensure_future(bench.keeper.measure()) for _ in range(5)]
        await bench.machine.run_for(3 * SECOND)
        assert [one.result() for one in wrong] == [True] * 5
        assert len(bench.venue.asked) == asked + 3
        assert abs(bench.wrong_ns) < 15 * MS

    run(body)
