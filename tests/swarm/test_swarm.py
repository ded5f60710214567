"""Two hundred seeds: 100 orders, ten virtual minutes and 5 to 20 faults each, I1 to I18 at every rest.

A seed that fails prints the line that replays it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from attrs import asdict
from plan import CANNOT, CUTS, FEWEST, KINDS, LENGTH_MS, MOST, ORDERS, draw
from seeds import failure, never_hit, repeats, table
from swarm import Outcome, replay_line, run_seed

SEEDS = range(1, 201)
CHUNK = 20


def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = base / "swarm" if run is None else base.parent / f"swarm-{run}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", SEEDS[::CHUNK])
def test_seeds(first: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    outcomes = [run_seed(seed) for seed in range(first, first + CHUNK)]
    folder = together(tmp_path_factory)
    part = folder / f"{first}.part"
    part.write_text(json.dumps([asdict(one) for one in outcomes]))
    part.rename(folder / f"{first}.json")
    if (text := failure(outcomes)) is not None:
        pytest.fail(text, pytrace=False)
    assert all(one.orders == ORDERS for one in outcomes)
    assert all(one.virtual_secs >= LENGTH_MS / 1_000 for one in outcomes)
    # Whoever comes last judges what all of them hit.
    parts = sorted(folder.glob("*.json"))
    if len(parts) == len(SEEDS) // CHUNK:
        every = [Outcome(**row) for path in parts for row in json.loads(path.read_text())]
        missed = never_hit(every)
        assert not missed, f"never hit in {len(every)} seeds: {missed}\n{table(every)}"


@pytest.mark.timeout(300)
def test_a_seed_is_the_same_in_two_processes() -> None:
    seeds = [3, 8, 26]
    differ = repeats(seeds)
    assert not differ, f"seeds {differ} differ\n{replay_line(differ[0])}"


def test_plans_are_as_large_as_promised() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert all(FEWEST <= len(plan.faults) <= MOST for plan in plans)
    assert all(sum(act.what == "submit" for act in plan.strategy) == ORDERS for plan in plans)
    partial = [plan for plan in plans if len(plan.kinds) < len(KINDS)]
    assert len(partial) == len(plans) // 2
    assert all({fault.kind for fault in plan.faults} <= set(plan.kinds) for plan in plans)
    assert plans == [draw(seed) for seed in SEEDS]


def test_every_fourth_journal_is_a_file_and_every_encoding_is_there() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert [plan.seed for plan in plans if plan.journal == "file"] == list(SEEDS[3::4])
    assert sum(bool(plan.restarts) or "F24" in plan.kinds for plan in plans if plan.journal == "file") >= 40
    encodings = Counter((plan.sbe, plan.venue["private_sbe"]) for plan in plans)
    assert min(encodings[one] for one in ((True, "true"), (True, "false"), (False, "false"))) >= 30


def test_what_cannot_be_hit_is_short_and_explained() -> None:
    assert set(CANNOT) <= {*KINDS, *CUTS}
    assert len(CANNOT) == 1
    assert all(len(why) > 20 for why in CANNOT.values())


def test_a_hole_in_the_coverage_fails() -> None:
    full = Outcome(1, kinds=dict.fromkeys(KINDS, 1), cuts=dict.fromkeys(CUTS, 1))
    assert never_hit([full]) == []
    assert never_hit([Outcome(1, kinds=full.kinds, cuts={"C1": 1})]) == [
        cut for cut in CUTS[1:] if cut not in CANNOT
    ]


def test_a_failure_prints_one_replay_line() -> None:
    text = failure([Outcome(9, violations=["I2: twice"]), Outcome(7, violations=["I1: lost", "I3: off"])])
    assert text is not None
    assert text.count("replay:") == 1
    assert text.endswith("replay: make seeds SEED=7 COUNT=1")
    assert failure([Outcome(1)]) is None
