"""Denials of an order, and when they prove something: none from before the venue said that it has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nautilus_trader.model import OrderStatus
from tracker_bench import Bench

from venuekit.interfaces.orders import Received
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.records import FillKind, WireIds
from venuekit.interfaces.request import Evidence

ABSENT = NotFound(conclusive=True)
LISTS = {"lookup_settles_ms": 2_000, "history_lag_ms": 5_000}


def asked(bench: Bench) -> None:
    """Somebody asks for the order, and the venue does not know it."""
    bench.do(bench.tracker.query("O-1", bench.now))
    bench.do(bench.tracker.apply_look_up("O-1", ABSENT, bench.now))


def received(bench: Bench) -> None:
    bench.do(bench.tracker.apply_submit("O-1", Received(WireIds(venue_order_id="V1")), bench.now))


def undecided(bench: Bench) -> None:
    bench.see(OrderStatus.SUBMITTED, filled="0")


@pytest.mark.parametrize("receipt", [received, undecided])
def test_what_was_denied_before_the_receipt_does_not_count_after_it(receipt: Callable[[Bench], None]) -> None:
    """The submit was on its way for seven seconds; lists that settle within five show it by the twelfth."""
    bench = Bench(**LISTS)
    bench.order()
    for _ in range(3):
        asked(bench)
        bench.wait(2)
    bench.wait(1)
    receipt(bench)
    for _ in range(4):
        asked(bench)
        bench.wait(1)
    assert bench.events() == ["submitted"], "the open list may not show it yet"
    opened(bench)
    assert bench.events() == ["submitted", "accepted"]


@pytest.mark.parametrize("reply", ["received", "none"])
def test_an_order_that_was_open_until_it_was_asked_for_is_in_no_list_for_a_while(reply: str) -> None:
    """Nobody heard of it but by its submit. It was filled a moment ago, and history lags by five seconds."""
    bench = Bench(**LISTS)
    bench.order()
    if reply == "received":
        received(bench)
    else:
        bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "cut", bench.now))
    bench.wait(60)
    for _ in range(3):
        asked(bench)
        bench.wait(1.6)
    assert bench.events() == ["submitted"]
    bench.fill("t1", "1.000")
    assert bench.events() == ["submitted", "accepted", "filled 1.000@100.0 t1"]


def test_the_second_denial_is_asked_for_when_history_must_have_it() -> None:
    bench = Bench(**LISTS)
    bench.order()
    bench.do(bench.tracker.apply_submit_failed("O-1", Evidence.MAYBE_SENT, "cut", bench.now))
    bench.wait(60)
    asked(bench)
    bench.wait(5.1, answer=ABSENT)
    assert bench.events() == ["submitted", "rejected"]


def test_a_receipt_is_not_believed_for_ever() -> None:
    bench = Bench(**LISTS)
    bench.order()
    received(bench)
    bench.wait(30, answer=ABSENT)
    assert bench.events() == ["submitted", "rejected"]


def opened(bench: Bench) -> None:
    bench.see(OrderStatus.ACCEPTED, filled="0")


def filled(bench: Bench) -> None:
    bench.fill("t1", "0.400")


@pytest.mark.parametrize("slow", [False, True], ids=["answered before", "answered after"])
@pytest.mark.parametrize("shown", [opened, filled])
def test_a_denial_from_before_the_order_was_shown_makes_no_alarm_of_the_next(
    shown: Callable[[Bench], None], slow: bool
) -> None:
    bench = Bench(**LISTS)
    bench.order()
    before = bench.now
    if not slow:
        bench.do(bench.tracker.apply_look_up("O-1", ABSENT, bench.now, before))
    bench.wait(7)
    shown(bench)
    if slow:
        bench.do(bench.tracker.apply_look_up("O-1", ABSENT, bench.now, before))
    asked(bench)
    assert bench.engine.alarms == [], "it may have ended just now, and history lags"
    bench.wait(20, answer=ABSENT)
    assert [kind for kind, _ in bench.engine.alarms] == ["order_vanished"]


def test_an_execution_without_an_order_is_asked_about_no_more_once_it_was_told() -> None:
    """Its fee came late, so it stood open when the open list was read, which never has it."""
    bench = Bench(**LISTS)
    bench.fill("L7", "0.400", ids=WireIds(), kind=FillKind.TRANSFER, fee=None)
    bench.do(bench.tracker.query("transfer-L7", bench.now))
    bench.fill("L7", "0.400", ids=WireIds(), kind=FillKind.TRANSFER)
    bench.do(bench.tracker.apply_look_up("transfer-L7", ABSENT, bench.now))
    assert bench.events("HV-transfer-L7") == ["accepted", "filled 0.400@100.0 L7"]
    before = len(bench.look_ups)
    bench.wait(60, answer=ABSENT)
    assert len(bench.look_ups) == before
