"""The venue's time by example: what answers are worth, whom to believe, steps of our clock, rising stamps."""

import pytest

from venuekit.core.offset import Judged, RisingStamps, Sample, VenueTime, WallSteps

MS, SECOND = 1_000_000, 1_000_000_000
HOUR = 3_600 * SECOND
T0 = 1_700_000_000 * SECOND
"""The venue's time at monotonic 0."""


def answer(at: int, *, off: int = 0, trip: int = 20 * MS, share: int = 50) -> Sample:
    """Asked at `at`, `share` percent of the round trip was the way there; the venue is `off` wrong."""
    there = at + trip * share // 100
    return Sample(at, (T0 + there) // MS * MS + off, at + trip)


def measured(*samples: Sample, wall_off: int = 0) -> tuple[VenueTime, list[Judged]]:
    time = VenueTime(MS)
    return time, [time.apply(one, T0 + one.received_ns + wall_off) for one in samples]


@pytest.mark.parametrize("share", [0, 10, 50, 100])
@pytest.mark.parametrize("wall_off", [0, 45 * SECOND, -600 * SECOND])
def test_one_answer_is_right_within_half_its_round_trip(share, wall_off):
    time, judged = measured(answer(SECOND, share=share), wall_off=wall_off)
    assert judged == [Judged.TAKEN]
    now = 2 * SECOND
    # Half of 20 ms and of the venue's millisecond, and a second of drift at 500 millionths.
    assert time.best.error_at(now) <= (20 * MS + MS) // 2 + SECOND // 2_000 + 1
    assert abs(time.at(now) - (T0 + now)) <= time.best.error_at(now)


def test_the_quickest_answer_counts_until_it_has_aged():
    time, judged = measured(answer(SECOND, trip=40 * MS), answer(2 * SECOND, trip=4 * MS))
    assert judged == [Judged.TAKEN, Judged.TAKEN]
    assert time.apply(answer(3 * SECOND, trip=40 * MS), T0 + 3 * SECOND) is Judged.COARSE
    # 60 s later drift alone may be 30 ms: a round trip of 40 ms knows more.
    assert time.apply(answer(63 * SECOND, trip=40 * MS), T0 + 63 * SECOND) is Judged.TAKEN


@pytest.mark.parametrize("off", [-7_000, -1_800, 1_800, 7_000])
def test_a_first_answer_hours_away_is_never_believed(off):
    samples = [answer(at * SECOND, off=2 * off * SECOND) for at in range(1, 6)]
    time, judged = measured(*samples)
    assert set(judged) == {Judged.WILD}
    assert time.at(9 * SECOND) is None
    assert abs(time.wild_ns - 2 * off * SECOND) < SECOND
    # The person set the clock: all is well with the next answer.
    assert time.apply(answer(9 * SECOND), T0 + 9 * SECOND) is Judged.TAKEN
    assert time.wild_ns is None


@pytest.mark.parametrize("step", [HOUR, -HOUR, SECOND, -SECOND, 30 * 24 * HOUR])
def test_setting_our_clock_changes_nothing(step):
    time, _ = measured(answer(SECOND))
    assert time.apply(answer(2 * SECOND), T0 + 2 * SECOND + step) in (Judged.TAKEN, Judged.COARSE)
    assert abs(time.at(3 * SECOND) - (T0 + 3 * SECOND)) <= time.best.error_at(3 * SECOND)


def test_one_answer_that_contradicts_is_not_believed_and_two_are():
    time, _ = measured(answer(SECOND))
    assert time.apply(answer(9 * SECOND, off=20 * SECOND), T0 + 9 * SECOND) is Judged.DOUBTED
    assert abs(time.at(9 * SECOND) - (T0 + 9 * SECOND)) < SECOND
    # An honest answer in between ends the doubt.
    assert time.apply(answer(10 * SECOND), T0 + 10 * SECOND) in (Judged.TAKEN, Judged.COARSE)
    assert time.apply(answer(11 * SECOND, off=20 * SECOND), T0 + 11 * SECOND) is Judged.DOUBTED
    # Too soon after the first of the two: whatever answers may be a cache.
    soon = answer(11_900 * MS, off=20 * SECOND)
    assert time.apply(soon, T0 + soon.received_ns) is Judged.DOUBTED
    assert time.apply(answer(12 * SECOND, off=20 * SECOND), T0 + 12 * SECOND) is Judged.TAKEN
    assert abs(time.at(14 * SECOND) - (T0 + 34 * SECOND)) < SECOND


def test_a_cache_that_repeats_an_old_answer_is_never_believed():
    time, _ = measured(answer(SECOND))
    stale = answer(2 * SECOND).venue_ns - 20 * SECOND
    for at in range(3, 40):
        sample = Sample(at * SECOND, stale, at * SECOND + 2 * MS)
        assert time.apply(sample, T0 + sample.received_ns) is Judged.DOUBTED
    assert abs(time.at(40 * SECOND) - (T0 + 40 * SECOND)) < SECOND


def test_a_venue_that_goes_mad_is_not_followed():
    time, _ = measured(answer(SECOND))
    for at in range(2, 9):
        assert time.apply(answer(at * SECOND, off=5 * HOUR), T0 + at * SECOND) is Judged.WILD
    assert abs(time.at(9 * SECOND) - (T0 + 9 * SECOND)) < SECOND


def test_a_machine_that_slept_is_right_again_after_two_answers():
    """Monotonic time stood still for three hours; the wall clock went on, and so did the venue."""
    time, _ = measured(answer(SECOND))
    judged = [time.apply(answer(at * SECOND, off=3 * HOUR), T0 + at * SECOND + 3 * HOUR) for at in (2, 4)]
    assert judged == [Judged.DOUBTED, Judged.TAKEN]
    assert abs(time.at(5 * SECOND) - (T0 + 5 * SECOND + 3 * HOUR)) < SECOND


@pytest.mark.parametrize(
    ("move", "noticed"),
    [
        (HOUR, HOUR),
        (-HOUR, -HOUR),
        # A leap second that is repeated, and one that a slow machine only smears.
        (-SECOND, -SECOND),
        (200_000, 0),
        (-200_000, 0),
    ],
)
def test_steps_of_our_clock_are_told_from_drift(move, noticed):
    steps = WallSteps()
    assert steps.apply(0, T0) == 0
    assert steps.apply(SECOND, T0 + SECOND) == 0
    assert steps.apply(2 * SECOND, T0 + 2 * SECOND + move) == noticed
    # It is told once.
    assert steps.apply(3 * SECOND, T0 + 3 * SECOND + move) == 0


def test_a_day_of_drift_is_no_step():
    steps = WallSteps()
    # 200 millionths: 17 s a day.
    assert not any(steps.apply(at * SECOND, T0 + at * 1_000_200_000) for at in range(86_400))


def test_stamps_rise_by_a_millisecond_at_least():
    stamps = RisingStamps()
    drawn = [stamps.draw(T0 + at) for at in (0, 0, 5, MS, 10 * MS, 10 * MS + 1, 3 * MS)]
    assert drawn == [T0, T0 + MS, T0 + 2 * MS, T0 + 3 * MS, T0 + 10 * MS, T0 + 11 * MS, T0 + 12 * MS]
    assert not stamps.began_anew


def test_stamps_rise_over_a_correction_backwards_and_over_a_restart():
    stamps = RisingStamps()
    stamps.apply_used(T0 + 45 * SECOND)
    stamps.apply_used(T0)
    assert stamps.draw(T0) == T0 + 45 * SECOND + MS
    assert stamps.draw(T0 + 46 * SECOND) == T0 + 46 * SECOND


def test_a_stamp_of_a_clock_years_ahead_does_not_end_trading():
    stamps = RisingStamps()
    stamps.apply_used(T0 + 1_000 * HOUR)
    assert stamps.draw(T0) == T0
    assert stamps.began_anew
    assert stamps.draw(T0) == T0 + MS
    assert not stamps.began_anew
