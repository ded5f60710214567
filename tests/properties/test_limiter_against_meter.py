"""Our limiter against the simulator's meter, which shares no line with it: whatever we let go, it lets in.

Requests leave when they are granted and arrive later, each by another time, in any order; the venue's clock
runs a little faster or slower than ours.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from venuekit.core.limiter import Limiter
from venuekit.interfaces.manifest import Bucket, Operation, OpKind, Priority, Scope, Seconds
from venuekit.runtime.clock import ManualClock
from venuekit.sim.rates import Limit, RateMeter

MS, SECOND = 1_000_000, 1_000_000_000
SPREAD = 250 * MS
OPS = {
    "cancel": Operation(OpKind.COMMAND, {"secs": 1, "min": 1}, Priority.CANCEL),
    "submit": Operation(OpKind.COMMAND, {"secs": 1, "min": 1}, Priority.SUBMIT),
    "read": Operation(OpKind.READ, {"secs": 1, "min": 1}, Priority.READ),
}

FIGURES = st.tuples(
    st.integers(min_value=1, max_value=40),
    st.integers(min_value=1, max_value=40),
    st.integers(min_value=1, max_value=100),
    st.integers(min_value=1, max_value=100),
)
ASKS = st.lists(
    st.tuples(
        st.sampled_from(sorted(OPS)),
        st.integers(min_value=1, max_value=60),
        st.integers(min_value=0, max_value=3 * SECOND),
    ),
    min_size=1,
    max_size=8,
)


def breaches(figures, asks, delays, ppm, *, spread=SPREAD, paced=True):
    """How many of the requests the meter counts as too many."""
    rate, burst, minute, minute_burst = figures
    buckets = {
        "secs": Bucket(Scope.ACCOUNT, rate, Seconds(1), burst),
        "min": Bucket(Scope.ACCOUNT, minute, Seconds(60), minute_burst),
    }
    limiter, now, left = Limiter(OPS, buckets, spread), 0, []

    def turn():
        granted, wait = limiter.grant(now)
        left.extend([now] * len(granted))
        return wait

    for op, count, pause in asks:
        for _ in range(count):
            if paced:
                limiter.ask(op, now)
            else:
                left.append(now)
        # As the pacer does it: a turn when something is asked for, and when the limiter said.
        end = now + pause
        while (wait := turn()) is not None and now + wait <= end:
            now += wait
        now = end
    while (wait := turn()) is not None:
        now += wait
    assert limiter.depth() == 0
    arrivals = sorted(at + delays[index % len(delays)] for index, at in enumerate(left))
    clock = ManualClock()
    meter = RateMeter(
        clock,
        {
            "orders": [
                Limit(count=rate, window_secs=1, burst=burst),
                Limit(count=minute, window_secs=60, burst=minute_burst),
            ]
        },
    )
    for at in arrivals:
        theirs = at + at * ppm // 1_000_000
        clock.advance(max(0, theirs - clock.mono_ns()))
        meter.take("orders", "account")
    return len(meter.breaches)


@settings(max_examples=300, deadline=None)
@given(
    FIGURES,
    ASKS,
    st.lists(st.integers(min_value=0, max_value=SPREAD), min_size=1, max_size=30),
    st.integers(min_value=-500, max_value=500),
)
# A burst comes late: the venue's bucket was full meanwhile, ours was filling.
@example((10, 10, 100, 100), [("submit", 60, 0)], [SPREAD] * 10 + [0] * 50, 0)
@example((1, 1, 100, 100), [("submit", 9, 0)], [SPREAD, 0, 0, 0, 0, 0, 0, 0, 0], 0)
# A venue whose clock runs slower.
@example((40, 40, 100, 100), [("submit", 60, 0)] * 8, [0], -500)
def test_nothing_that_we_let_go_is_too_much_for_the_venue(figures, asks, delays, ppm):
    assert breaches(figures, asks, delays, ppm) == 0


def test_the_meter_sees_what_is_not_paced_and_what_is_paced_without_room_for_arrivals():
    burst = [("submit", 60, 0)]
    late = [SPREAD] * 10 + [0] * 50
    assert breaches((10, 10, 100, 100), burst, [0], 0, paced=False) == 50
    assert breaches((10, 10, 100, 100), burst, late, 0, spread=0) > 0
    assert breaches((10, 10, 100, 100), burst, [0], 0, spread=0) == 0
