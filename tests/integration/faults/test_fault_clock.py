"""A client whose clock is wrong, or is set while it trades, against a venue that judges every signed time.

The simulator refuses an order whose stamp is older than its receive window or more than a minute ahead.
"""

from __future__ import annotations

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import Rig, SkewedClock, run, until

from venuekit.core.offset import VenueTime
from venuekit.interfaces.stream import DataKind
from venuekit.runtime.clock import RealClock
from venuekit.runtime.journal import MemoryJournal

SECOND = 1_000_000_000
WRONG = [45, -45, 120, -120]
WINDOW = {"recv_window_ms": 20_000}
TIME = "GET /v1/system/time"


@pytest.mark.parametrize("route", ["ws", "rest"])
@pytest.mark.parametrize("secs", WRONG)
def test_orders_of_a_machine_with_a_wrong_clock_are_taken(secs: int, route: str) -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.cancel(order)
        await rig.status(order, "CANCELED")
        assert rig.count("clock.refused_by_venue") == 0
        health = rig.venue.health()
        assert health.clock == "measured"
        assert abs(health.clock_offset_ms + secs * 1_000) <= health.clock_error_ms + 1

    run(body, clock=SkewedClock(secs * SECOND), own={**WINDOW, "order_route": route})


@pytest.mark.parametrize("secs", [-45, -120, 120])
def test_without_the_measurement_they_are_refused(secs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the tests above prove something."""
    monkeypatch.setattr(VenueTime, "at", lambda self, mono_ns: None)

    async def body(rig: Rig) -> None:
        order = rig.submit("O-1")
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("INVALID_TIMESTAMP")
        assert rig.x.orders("O-1") == []

    # The account's token would be refused for a time in the future before any order.
    fast = {} if secs < 60 else {"before": lambda x: _forget_future(monkeypatch)}
    run(body, clock=SkewedClock(secs * SECOND), own=WINDOW, **fast)


def _forget_future(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venuekit_paradex.sim.people.CLOCK_TOLERANCE_SECS", 3_600)


@pytest.mark.parametrize("secs", [3_600, -3_600, -1, 120])
def test_a_clock_that_is_set_while_orders_live_changes_nothing(secs: int) -> None:
    clock = SkewedClock(0)

    async def body(rig: Rig) -> None:
        rig.want(DataKind.QUOTES)
        resting = await rig.accepted("O-1")
        obtained, stamp = rig.x.obtained(), rig.service.commands._dispatcher.stamps.last_ns
        clock.off_ns = secs * SECOND
        later = await rig.accepted("O-2")
        assert rig.service.commands._dispatcher.stamps.last_ns - stamp < 10 * SECOND
        rig.x.cross("O-1")
        await rig.status(resting, "FILLED")
        rig.cancel(later)
        await rig.status(later, "CANCELED")
        await until(lambda: rig.count("clock.wall_steps") == 1, "the step is noticed")
        # The token still lives, and nothing was refused.
        assert rig.x.obtained() == obtained
        assert rig.count("clock.refused_by_venue") == 0
        await rig.accepted("O-3")

    run(body, data=True, clock=clock, own=WINDOW)


def test_a_venue_time_that_could_not_be_read_at_first_is_read_after_the_first_refusal() -> None:
    """One refusal, which proves that nothing happened; then the right time, and the order rests, once."""

    def before(x: object) -> None:
        # Every try of the first question.
        x.fault("F19", points=["request"], label=TIME, trigger={"chance": 1.0}, times=3)

    async def body(rig: Rig) -> None:
        assert rig.venue.health().clock == "local"
        order = rig.submit("O-1")
        await rig.status(order, "ACCEPTED")
        assert rig.count("clock.refused_by_venue") == 1
        assert rig.count("commands.stamped_again") == 1
        assert len(rig.x.orders("O-1")) == 1
        assert rig.venue.health().clock == "measured"

    run(body, before=before, clock=SkewedClock(-45 * SECOND), own=WINDOW)


def test_stamps_go_on_where_an_earlier_run_ended() -> None:
    journal = MemoryJournal()
    journal.last_stamp_ns = earlier = RealClock().wall_ns() + 3 * SECOND

    async def body(rig: Rig) -> None:
        await rig.accepted("O-1")
        (intent,) = (one.intent for one in journal.open_intents())
        assert earlier < intent.ts_ns < earlier + SECOND

    run(body, journal=journal, own=WINDOW)


def test_an_order_that_was_refused_for_being_late_is_not_sent_again() -> None:
    async def body(rig: Rig) -> None:
        rig.x.fault("F09", points=["in"], label='*"order.create"*', delay_ms=900)
        order = rig.submit("O-1")
        await rig.status(order, "REJECTED")
        assert rig.engine.reasons["O-1"].startswith("INVALID_TIMESTAMP")
        assert rig.x.submits("O-1") == 1
        assert rig.count("commands.stamped_again") == 0
        assert order.status == OrderStatus.REJECTED

    # The window of the rig is 0.4 s.
    run(body)
