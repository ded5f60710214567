"""Two hundred seeds: 100 orders, ten virtual minutes and 5 to 20 faults each, I1 to I18 at every rest.

A seed that fails prints the line that replays it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import asdict, evolve
from plan import CANNOT, CUTS, FEWEST, KINDS, LENGTH_MS, MOST, MOVES, ORDERS, draw
from seeds import failure, hole, repeats
from swarm import Outcome, replay_line, run_seed

SEEDS = range(1, 201)
CHUNK = 10
GROUPS = ("kinds", "cuts", "moves")


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
    verdict = handed_in(together(tmp_path_factory), first, outcomes)
    if (text := failure(outcomes)) is not None:
        pytest.fail(text, pytrace=False)
    assert all(one.orders == ORDERS for one in outcomes)
    assert all(one.virtual_secs >= LENGTH_MS / 1_000 for one in outcomes)
    if verdict is not None:
        pytest.fail(verdict, pytrace=False)


def handed_in(folder: Path, first: int, outcomes: Sequence[Outcome]) -> str | None:
    """Whoever comes last, in whichever worker, judges what all chunks hit: what no seed did, or None.

    A file appears whole before the folder is looked at, so that of two that end together one sees all.
    """
    part = folder / f"{first}.part"
    part.write_text(json.dumps([asdict(one) for one in outcomes]))
    part.rename(folder / f"{first}.json")
    parts = sorted(folder.glob("*.json"))
    if len(parts) < len(SEEDS) // CHUNK:
        return None
    every = [Outcome(**row) for path in parts for row in json.loads(path.read_text())]
    assert len(every) == len(SEEDS)
    return hole(every)


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


FULL = Outcome(
    1, kinds=dict.fromkeys(KINDS, 1), cuts=dict.fromkeys(set(CUTS) - {"C9"}, 1), moves=dict.fromkeys(MOVES, 1)
)


@pytest.mark.parametrize("what", [*KINDS, *CUTS, *MOVES])
def test_a_hole_in_the_coverage_of_all_chunks_fails_the_last_one(tmp_path: Path, what: str) -> None:
    spoiled = evolve(
        FULL, **{name: {k: n for k, n in getattr(FULL, name).items() if k != what} for name in GROUPS}
    )
    said = {}
    for place, first in enumerate(SEEDS[::CHUNK]):
        said[first] = handed_in(tmp_path, first, [spoiled] * CHUNK)
        assert place == len(SEEDS) // CHUNK - 1 or said[first] is None
    verdict = said[SEEDS[-1] - CHUNK + 1]
    if what in CANNOT:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.startswith(f"never hit in 200 seeds: {what}\n")
        assert f"C9 is not judged: {CANNOT['C9']}" in verdict


def test_one_seed_that_hits_it_is_enough(tmp_path: Path) -> None:
    for first in SEEDS[::CHUNK]:
        outcomes = [Outcome(seed) for seed in range(first, first + CHUNK)]
        verdict = handed_in(tmp_path, first, [*outcomes[:-1], FULL] if first == 101 else outcomes)
    assert verdict is None


def test_a_failure_prints_one_replay_line() -> None:
    text = failure([Outcome(9, violations=["I2: twice"]), Outcome(7, violations=["I1: lost", "I3: off"])])
    assert text is not None
    assert text.count("replay:") == 1
    assert text.endswith("replay: make seeds SEED=7 COUNT=1")
    assert failure([Outcome(1)]) is None
