"""Whatever ways, drift and our own clock do: the venue's time is known within the stated uncertainty."""

from hypothesis import given, settings
from hypothesis import strategies as st

from venuekit.core.offset import Judged, RisingStamps, Sample, VenueTime

MS, SECOND = 1_000_000, 1_000_000_000
T0 = 1_700_000_000 * SECOND

PAUSE = st.integers(min_value=0, max_value=120 * SECOND)
TRIP = st.integers(min_value=0, max_value=3 * SECOND)
SHARE = st.integers(min_value=0, max_value=1_000)
WALL = st.integers(min_value=-1_000 * 3_600 * SECOND, max_value=1_000 * 3_600 * SECOND)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(min_value=-500, max_value=500),
    st.integers(min_value=1, max_value=1_000 * MS),
    st.lists(st.tuples(PAUSE, TRIP, SHARE, WALL), min_size=1, max_size=30),
)
def test_the_truth_lies_within_the_uncertainty(ppm, resolution, script):
    def truth(mono: int) -> int:
        return T0 + mono + mono * ppm // 1_000_000

    time, now = VenueTime(resolution), 0
    for number, (pause, trip, share, wall_off) in enumerate(script):
        asked = now + pause
        there = asked + trip * share // 1_000
        now = asked + trip
        wall = truth(now) + (wall_off if number else 0)
        judged = time.apply(Sample(asked, truth(there) // resolution * resolution, now), wall)
        assert judged in (Judged.TAKEN, Judged.COARSE)
        # Two roundings of a whole nanosecond.
        assert abs(time.at(now) - truth(now)) <= time.best.error_at(now) + 2
        later = now + 60 * SECOND
        assert abs(time.at(later) - truth(later)) <= time.best.error_at(later) + 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(min_value=-200 * SECOND, max_value=200 * SECOND), max_size=60))
def test_stamps_of_any_clock_rise_and_lag_nowhere(moves):
    stamps, now, drawn = RisingStamps(), T0, [0]
    for move in moves:
        now += move
        drawn.append(stamps.draw(now))
        if not stamps.began_anew:
            assert drawn[-1] >= drawn[-2] + MS
        assert drawn[-1] >= now
        assert drawn[-1] <= now + stamps.ahead_ns
