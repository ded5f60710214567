"""Token buckets: several windows, exact refills, figures for headers."""

from venuekit.runtime.clock import ManualClock
from venuekit.sim.rates import Limit, RateMeter

SECOND = 1_000_000_000


def test_burst_then_exact_refill():
    clock = ManualClock()
    meter = RateMeter(clock, {"orders": [Limit(count=10, window_secs=1)]})
    readings = [meter.take("orders", "a") for _ in range(11)]
    assert [one.allowed for one in readings] == [True] * 10 + [False]
    assert [one.remaining for one in readings] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    # One token of ten a second takes 100 ms.
    assert readings[-1].retry_after_ns == SECOND // 10
    assert readings[-1].reset_ns == clock.wall_ns() + SECOND
    clock.advance(SECOND // 10 - 1)
    assert not meter.take("orders", "a").allowed
    clock.advance(1)
    assert meter.take("orders", "a").allowed
    assert [(scope, key) for _, scope, key in meter.breaches] == [("orders", "a")] * 2


def test_the_tighter_window_rules_and_refused_requests_pay_nothing():
    clock = ManualClock()
    meter = RateMeter(clock, {"reads": [Limit(count=3, window_secs=1), Limit(count=5, window_secs=60)]})
    allowed = 0
    for _ in range(20):
        allowed += meter.take("reads", "a").allowed
        clock.advance(SECOND // 2)
    # 5 at once, and within 10 s the minute window refills 10 / 12 of a token.
    assert allowed == 5
    reading = meter.take("reads", "a")
    assert (reading.limit, reading.window_secs) == (5, 60)


def test_keys_scopes_costs_and_switch():
    meter = RateMeter(ManualClock(), {"orders": [Limit(count=4, window_secs=1)]})
    assert meter.take("orders", "a", 4).allowed
    assert not meter.take("orders", "a").allowed
    assert meter.take("orders", "b").allowed
    assert meter.take("elsewhere", "a") is None
    meter.drain("orders", "b")
    assert not meter.take("orders", "b").allowed
    meter.enabled = False
    assert meter.take("orders", "a") is None
