"""Every trigger and scope of a fault plan, without any socket."""

from __future__ import annotations

import pytest

from venuekit.runtime.clock import ManualClock
from venuekit.sim.errors import BadFaultPlan, UnsupportedFault
from venuekit.sim.fault_text import parse_fault
from venuekit.sim.faults import (
    IN_PIPES,
    OUTSIDE,
    PRODUCED,
    AtCut,
    AtTime,
    Chance,
    Decision,
    Fault,
    FaultKind,
    FaultPlan,
    Nth,
    Point,
    Scope,
)

MS = 1_000_000


def plan_with(*faults: Fault, seed: int = 0) -> tuple[FaultPlan, ManualClock]:
    clock = ManualClock()
    plan = FaultPlan(clock, seed)
    for fault in faults:
        plan.add(fault)
    return plan, clock


def test_no_fault_no_change():
    plan, _ = plan_with()
    assert plan.ask(Point.REQUEST, "GET /x").clean
    assert plan.cut("C3").clean


def test_nth_counts_only_what_matches_and_acts_once():
    scope = Scope(points=frozenset({Point.REQUEST}), label="POST /v1/orders*")
    plan, _ = plan_with(Fault(kind=FaultKind.RESET, trigger=Nth(2), scope=scope))
    asked = [
        plan.ask(point, label).reset
        for point, label in [
            (Point.REQUEST, "POST /v1/orders"),
            (Point.REQUEST, "GET /v1/orders"),
            (Point.IN, "POST /v1/orders"),
            (Point.REQUEST, "POST /v1/orders/batch"),
            (Point.REQUEST, "POST /v1/orders"),
        ]
    ]
    assert asked == [False, False, False, True, False]
    assert [(number, where) for _, number, where in plan.history] == [(1, "request POST /v1/orders/batch")]


def test_times_and_lasting_bound_a_fault():
    plan, clock = plan_with(
        Fault(kind=FaultKind.DROP, trigger=Nth(2), times=2),
        Fault(kind=FaultKind.DUPLICATE, trigger=Nth(1), scope=Scope(label="bbo"), lasts_ms=10),
    )
    assert [plan.ask(Point.OUT, "book").copies for _ in range(5)] == [1, 0, 0, 1, 1]
    assert plan.ask(Point.OUT, "bbo").copies == 2
    clock.advance(10 * MS)
    assert plan.ask(Point.OUT, "bbo").copies == 2
    clock.advance(1)
    assert plan.ask(Point.OUT, "bbo").copies == 1


def test_chance_is_seeded():
    def drops(seed: int) -> list[int]:
        plan, _ = plan_with(Fault(kind=FaultKind.DROP, trigger=Chance(0.5)), seed=seed)
        return [plan.ask(Point.OUT, "x").copies for _ in range(200)]

    assert drops(1) == drops(1)
    assert drops(1) != drops(2)
    assert 60 < sum(drops(1)) < 140


def test_cut_points_count_by_name():
    plan, _ = plan_with(Fault(kind=FaultKind.RESET, trigger=AtCut("C3", 2)))
    assert plan.ask(Point.REQUEST, "x").clean
    assert [plan.cut(name).reset for name in ("C3", "C2", "C3", "C3")] == [False, False, True, False]


def test_time_trigger_reaches_open_streams_in_scope_once():
    plan, clock = plan_with(
        Fault(kind=FaultKind.CLOSE, trigger=AtTime(5), code=1012, scope=Scope(label="GET /v1*"))
    )
    acted: list[tuple[Decision, int | None]] = []
    plan.on_time(lambda decision, connection: acted.append((decision, connection)))
    for number, label in ((1, "GET /v1"), (2, "GET /v1?x"), (3, "GET /other"), (4, "GET /v1")):
        plan.connected(number, label)
    plan.gone(4)
    clock.advance(5 * MS)
    assert [(decision.close, connection) for decision, connection in acted] == [
        ((1012, ""), 1),
        ((1012, ""), 2),
    ]
    assert plan.ask(Point.OUT, "GET /v1", 1).clean


def test_mute_is_per_stream_ends_by_time_or_lift():
    plan, clock = plan_with(
        Fault(kind=FaultKind.MUTE, trigger=Nth(1), scope=Scope(points=frozenset({Point.OUT})), lasts_ms=7)
    )
    assert plan.ask(Point.OUT, "x", 1).mute
    assert plan.silenced(1).mute
    assert not plan.silenced(2).mute
    clock.advance(8 * MS)
    assert not plan.silenced(1).mute
    number = plan.add(Fault(kind=FaultKind.HALF_OPEN, trigger=Nth(1)))
    assert plan.ask(Point.IN, "x", 1).half_open
    assert plan.ask(Point.OUT, "x", 1).half_open
    plan.lift(number)
    assert plan.ask(Point.OUT, "x", 1).clean


def test_refusal_of_connects_lasts():
    plan, clock = plan_with(Fault(kind=FaultKind.REFUSE_CONNECT, trigger=AtTime(1), lasts_ms=10))
    assert not plan.refuses()
    clock.advance(1 * MS)
    assert plan.refuses()
    clock.advance(11 * MS)
    assert not plan.refuses()


def test_answers_delays_and_tokens():
    plan, _ = plan_with(
        Fault(kind=FaultKind.TOO_MANY, trigger=Nth(1), retry_after="3", body=b"{}"),
        Fault(
            kind=FaultKind.SERVER_ERROR, trigger=Nth(2), status=502, body=b"<html>", content_type="text/html"
        ),
        Fault(kind=FaultKind.LATE_REPLY, trigger=Nth(3), delay_ms=40),
        Fault(
            kind=FaultKind.LATENCY,
            trigger=Nth(3),
            delay_ms=5,
            jitter_ms=2,
            scope=Scope(points=frozenset({Point.REQUEST})),
        ),
        Fault(kind=FaultKind.EXPIRE_TOKENS, trigger=Nth(4)),
        Fault(kind=FaultKind.TRUNCATE, trigger=Nth(4), keep_bytes=9),
    )
    first, second, third, fourth = (plan.ask(Point.REQUEST, "GET /") for _ in range(4))
    assert (first.answer.status, first.answer.headers["Retry-After"], first.answer.body) == (429, "3", b"{}")
    assert (second.answer.status, second.answer.content_type) == (502, "text/html")
    assert third.reply_delay_ns == 40 * MS
    assert 5 * MS <= third.delay_ns < 7 * MS
    assert fourth.expire_tokens
    assert fourth.keep_bytes == 9


@pytest.mark.parametrize("kind", [one for one in FaultKind if one not in PRODUCED])
def test_what_is_not_produced_is_refused(kind):
    with pytest.raises(UnsupportedFault):
        plan_with(Fault(kind=kind, trigger=Nth(1)))


def test_points_where_a_kind_cannot_act_are_refused():
    with pytest.raises(UnsupportedFault):
        plan_with(
            Fault(kind=FaultKind.DUPLICATE, trigger=Nth(1), scope=Scope(points=frozenset({Point.REQUEST})))
        )


def test_text_form():
    fault = parse_fault(
        {
            "kind": "f06",
            "trigger": {"nth": 3},
            "scope": {"points": ["out"], "label": "orders*", "connection": 4},
            "code": 1012,
            "lasts_ms": 5,
        }
    )
    assert fault == Fault(
        kind=FaultKind.CLOSE,
        trigger=Nth(3),
        scope=Scope(points=frozenset({Point.OUT}), label="orders*", connection=4),
        code=1012,
        lasts_ms=5,
    )
    assert parse_fault({"kind": "LATE_REPLY", "trigger": {"cut": "C3", "n": 2}}).trigger == AtCut("C3", 2)
    assert parse_fault({"kind": "F05", "trigger": {"after_ms": 0}}).trigger == AtTime(0)
    assert parse_fault({"kind": "F16", "trigger": {"chance": 0.25}}).trigger == Chance(0.25)
    assert parse_fault({"kind": "F05"}).trigger == Nth(1)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "F99"},
        {"kind": "F05", "when": 1},
        {"kind": "F05", "trigger": {}},
        {"kind": "F05", "trigger": {"chance": 1.5}},
        {"kind": "F05", "trigger": {"nth": 0}},
        {"kind": "F05", "scope": {"points": ["sideways"]}},
        {"kind": "F06", "code": "1012"},
        [],
    ],
)
def test_bad_text_is_refused(data):
    with pytest.raises(BadFaultPlan):
        parse_fault(data)


def test_what_befalls_the_client_is_told_to_who_holds_both_sides():
    clock = ManualClock()
    plan = FaultPlan(clock, produced={**PRODUCED, **OUTSIDE})
    told: list[tuple[str, int]] = []
    plan.outside = lambda fault: told.append((fault.kind.value, clock.mono_ns() // MS))
    for text in (
        {"kind": "F22", "trigger": {"after_ms": 30}, "shift_ms": -3_600_000, "drift_ppm": 40},
        {"kind": "F23", "trigger": {"cut": "C5", "n": 2}, "delay_ms": 1_000},
        {"kind": "F24", "trigger": {"nth": 2}, "scope": {"points": ["in"]}},
    ):
        plan.add(parse_fault(text, plan.produced))
    assert plan.cut("C5").clean
    assert plan.ask(Point.IN, "one", 1).clean
    clock.advance(50 * MS)
    assert plan.cut("C5").clean
    assert plan.ask(Point.IN, "two", 1).clean
    assert plan.ask(Point.IN, "three", 1).clean
    assert told == [("F22", 30), ("F23", 50), ("F24", 50)]
    assert [number for _, number, _ in plan.history] == [1, 2, 3]
    assert plan.passed == {"C5": 2}


@pytest.mark.parametrize("kind", ["F02", "F03", "F04", "F11", "F17", "F22", "F23", "F24"])
def test_a_door_refuses_what_it_cannot_carry_out(kind: str):
    with pytest.raises(UnsupportedFault):
        parse_fault({"kind": kind})
    fault = parse_fault({"kind": kind}, {**IN_PIPES, **OUTSIDE})
    with pytest.raises(UnsupportedFault):
        FaultPlan(ManualClock()).add(fault)
    assert FaultPlan(ManualClock(), produced={**IN_PIPES, **OUTSIDE}).add(fault) == 1


def test_every_kind_of_the_specification_is_produced_by_something():
    assert {*IN_PIPES, *OUTSIDE} == set(FaultKind)
