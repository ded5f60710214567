"""What is remembered is bounded, and what was forgotten can neither fill twice nor come to life again."""

from __future__ import annotations

from random import Random

import pytest
from nautilus_trader.model import OrderStatus
from tracker_bench import Bench

ORDERS, CLOSED, FILLS = 60, 5, 12


def worked(orders: int = ORDERS) -> tuple[Bench, list[tuple[str, int]]]:
    """Every order was filled in two parts and ended; far more than is remembered. Names with their times."""
    bench = Bench()
    bench.tracker.most_closed, bench.tracker.fills.most = CLOSED, FILLS
    told = []
    for number in range(orders):
        name, at = f"O-{number}", 10 * number
        bench.order(name)
        bench.see(OrderStatus.ACCEPTED, name=name, vid=f"V{number}", filled="0", at=at)
        tell(bench, name, at)
        told.append((name, at))
    return bench, told


def tell(bench: Bench, name: str, at: int) -> None:
    """Both fills and the end, as a page would bring them again."""
    ids = {"name": name, "vid": f"V{name.removeprefix('O-')}"}
    bench.fill(f"{name}-a", "0.400", at=at + 1, **ids)
    bench.fill(f"{name}-b", "0.600", at=at + 2, **ids)
    bench.see(OrderStatus.FILLED, filled="1.000", quantity="1.000", price="100.0", at=at + 2, **ids)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_forgotten_is_never_told_again(seed: int) -> None:
    bench, told = worked()
    assert len(list(bench.tracker)) <= CLOSED
    assert len(bench.tracker.fills) <= FILLS
    before = list(bench.engine.log)
    Random(seed).shuffle(told)
    for name, at in told:
        tell(bench, name, at)
    bench.wait(120)
    assert bench.engine.log == before
    assert bench.engine.violations == []
    assert {kind for kind, _ in bench.engine.alarms} <= {"fill_too_old"}
    assert bench.fetches == [], "nothing is missing"
    assert len(list(bench.tracker)) <= CLOSED


def test_a_new_fill_of_a_remembered_order_is_told_whatever_was_forgotten() -> None:
    bench, _ = worked()
    late = f"O-{ORDERS - 1}"
    bench.engine.allow_overfill = True
    bench.fill("new", "0.100", name=late, vid=f"V{ORDERS - 1}", at=10 * ORDERS)
    assert bench.engine.log[-1] == f"{late} overfilled 0.100@100.0 new"


def test_an_order_that_ended_unseen_is_told_when_it_is_newer_than_all_that_was_forgotten() -> None:
    bench, _ = worked()
    side = bench.fill_record("f", "1").side
    facts = {"name": None, "vid": "X1", "at": 10 * ORDERS}
    bench.see(OrderStatus.FILLED, filled="1.000", quantity="1.000", price="100.0", side=side, **facts)
    bench.fill("x", "1.000", **facts)
    assert bench.engine.events("HV-X1") == ["accepted", "filled 1.000@100.0 x"]


def test_a_fill_older_than_all_that_is_remembered_is_an_alarm_and_no_position() -> None:
    bench, _ = worked()
    net = bench.positions.applied
    bench.fill("old", "0.100", name="O-1", vid="V1", at=12)
    bench.fill("old", "0.100", name="O-1", vid="V1", at=12)
    assert {kind for kind, _ in bench.engine.alarms} == {"fill_too_old"}
    assert bench.positions.applied == net


def test_the_engines_orders_are_forgotten_with_the_tracked_ones() -> None:
    bench, _ = worked()
    assert len(bench.delivery.orders) <= CLOSED
