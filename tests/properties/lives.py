"""Lives of orders, drawn from a seed: who trades, what happens, on which roads; and what is wrong with it."""

from __future__ import annotations

import re
import traceback
from random import Random

from attrs import asdict, evolve
from evidence_judge import Wrong
from evidence_world import Act, Plan, Weather, World
from paper_venue import Habits

SIDES = ["BUY", "SELL"]
BEGIN_MS, SPAN_MS = 3_500, 15_000

WAYS = [
    *[("received", "there")] * 6,
    ("received", "refused"),
    ("refused", "nowhere"),
    ("not_sent", "nowhere"),
    *[(reply, way) for reply in ("unknown", "lost") for way in ("there", "there", "nowhere", "refused")],
]


def habits(draw: Random) -> Habits:
    return Habits(
        history_lag_ms=draw.choice([0, 0, 1_000, 4_500]),
        list_lag_ms=draw.choice([0, 0, 500, 1_900]),
        page_rows=draw.choice([1, 2, 100]),
        forgets_busted=draw.random() < 0.3,
        lists_busted=draw.random() < 0.3,
        cut_to_zero=draw.random() < 0.3,
        fees_on_stream=draw.random() < 0.8,
        closed_by_end=draw.random() < 0.5,
        rest_numbers=draw.choice([1, 4_000_000_000]),
        fine_times=draw.random() < 0.5,
    )


def weather(draw: Random) -> Weather:
    bad = draw.random() < 0.75
    return Weather(
        lost=draw.choice([0.0, 0.1, 0.5]) if bad else 0.0,
        twice=draw.choice([0.0, 0.2]),
        slow=draw.choice([0.0, 0.2]) if bad else 0.0,
        overtake=draw.random() < 0.4,
        read_fails=draw.choice([0.0, 0.3, 0.8]) if bad else 0.0,
        read_ms=draw.choice([1, 50, 1_500]),
        compare_ms=draw.choice([1_000, 5_000, 60_000]),
    )


def plan(seed: int) -> Plan:
    """Who trades, what happens, and on which roads."""
    draw = Random(seed)
    sizes = [1, 3, 10, 10]
    acts: list[tuple[int, str, tuple[object, ...]]] = []
    ours = [f"O-{number}" for number in range(1, draw.choice([2, 2, 3, 4]))]
    for name in ours:
        at = draw.randint(0, SPAN_MS // 3)
        acts.append((at, "submit", (name, draw.choice(SIDES), draw.choice(sizes), *draw.choice(WAYS))))
        for _ in range(draw.choice([0, 0, 1, 1, 2])):
            acts.append((at + draw.choice([0, 40, 2_000, 6_000]), "cancel", (name,)))
        if draw.random() < 0.2:
            acts.append((at + draw.randint(0, SPAN_MS), "query", (name,)))
    for number in range(draw.choice([0, 0, 1, 2])):
        name = draw.choice(["", "", f"X-{number}"])
        acts.append((draw.randint(0, SPAN_MS), "other", (name, draw.choice(SIDES), draw.choice(sizes))))
    moment = draw.randint(0, SPAN_MS)
    for what, most, chance in (("fill", 6, 0.9), ("close", 2, 0.5), ("bust", 3, 0.4), ("trim", 2, 0.2)):
        if draw.random() < chance:
            for _ in range(draw.randint(1, most)):
                # Many things happen in one moment, or in one millisecond.
                moment = draw.choice([moment, moment + draw.randint(0, 3), draw.randint(0, SPAN_MS + 5_000)])
                facts = (draw.random(), draw.randint(1, 6)) if what == "fill" else (draw.random(),)
                acts.append((moment, what, facts))
    for what, chance, fact in (("deaf", 0.2, draw.randint(1, 3)), ("outage", 0.3, draw.choice([300, 8_000]))):
        if draw.random() < chance:
            acts.append((draw.randint(0, SPAN_MS), what, (fact,)))
    if draw.random() < 0.1:
        acts.append((draw.randint(0, SPAN_MS), "transfer", (draw.choice(SIDES), draw.choice(sizes))))
    acts.sort(key=lambda act: act[0])
    numbered = tuple(Act(BEGIN_MS + at, what, facts, number) for number, (at, what, facts) in enumerate(acts))
    return Plan(seed, habits(draw), weather(draw), numbered)


def verdict(tried: Plan) -> tuple[str, list[str]] | None:
    """What is wrong with it and the trace; None: nothing."""
    world = World(tried)
    try:
        world.run()
    except Wrong as error:
        return str(error), world.trace
    except Exception:  # noqa: BLE001 - whatever breaks under such evidence is a find
        return f"broke: {traceback.format_exc()[-1_500:]}", world.trace
    return None


def kind(tried: Plan) -> str:
    """What is wrong, without its names and numbers."""
    found = verdict(tried)
    return "" if found is None else re.sub(r"\S*\d\S*", "", found[0])[:80]


def shortest(failing: Plan) -> Plan:
    """The fewest acts that still fail in the same words, on roads as good as they may be."""

    def fails(tried: Plan) -> bool:
        return kind(tried) == wanted

    wanted = kind(failing)
    for number in reversed(range(len(failing.acts))):
        fewer = evolve(failing, acts=failing.acts[:number] + failing.acts[number + 1 :])
        failing = fewer if fails(fewer) else failing
    for good in asdict(Weather()).items():
        better = evolve(failing, roads=evolve(failing.roads, **dict([good])))
        failing = better if fails(better) else failing
    return failing


def told(seed: int) -> str | None:
    """None, or what a person needs to see a failure again."""
    if verdict(plan(seed)) is None:
        return None
    failing = shortest(plan(seed))
    what, trace = verdict(failing)
    acts = "\n".join(f"  {act}" for act in failing.acts)
    replay = f"replay: make lives SEED={seed} COUNT=1"
    return "\n".join([f"seed {seed}: {what}", f"{failing.habits}", f"{failing.roads}", acts, *trace, replay])
