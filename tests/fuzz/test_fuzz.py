"""5,000 damaged inputs for every decoder and every door, all past finds, and proof that finds are seen."""

from __future__ import annotations

import re
import time
from collections import Counter

import fuzzing
import pytest
from client_targets import client_targets
from fuzzing import FOUND, FindError, Target, fuzz, keep, kept, replay
from mutator import Mutator, Pairs, dump, load
from paradex_seeds import ROOT, TS, frames, symbols
from reading_targets import reading_targets
from simulator_targets import World, simulator_targets
from venuekit_paradex.stream import ParadexStream

from venuekit.interfaces.stream import Ignored, Quarantined
from venuekit.sim.door import Response

RUNS, SEED = 5_000, 20_261_121
TARGETS = {one.name: one for one in (*client_targets(), *reading_targets(), *simulator_targets())}
FINDS = sorted(FOUND.glob("*/*.txt"))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_survived(name):
    assert fuzz(TARGETS[name], seed=SEED, runs=RUNS) == RUNS


READ_BY = {
    "venuekit/core/numbers.py": "numbers",
    "venuekit/host/config.py": "config",
    "venuekit/runtime/journal.py": "journal",
    "venuekit/runtime/journal_entries.py": "journal",
    "venuekit/runtime/journal_wal.py": "journal-wal",
    "venuekit/sim/control.py": "sim-control",
    "venuekit/sim/fault_text.py": "sim-control",
    "venuekit/transport/layers/capture.py": "capture",
    "venuekit/transport/layers/redact.py": "capture",
    "venues/dydx/venuekit_dydx/instruments.py": "dydx-instruments",
    "venues/lighter/venuekit_lighter/instruments.py": "lighter-instruments",
    "venues/paradex/venuekit_paradex/auth.py": "paradex-reads",
    "venues/paradex/venuekit_paradex/orders.py": "paradex-replies",
    "venues/paradex/venuekit_paradex/readings.py": "paradex-readings",
    "venues/paradex/venuekit_paradex/sim/paging.py": "sim-rest",
    "venues/paradex/venuekit_paradex/sim/people.py": "sim-rest",
    "venues/paradex/venuekit_paradex/sim/proofs.py": "sim-rest",
    "venues/paradex/venuekit_paradex/sim/rest.py": "sim-rest",
    "venues/paradex/venuekit_paradex/sim/settings.py": "sim-ports",
    "venues/paradex/venuekit_paradex/sim/simple_feed.py": "sim-simple-frames",
    "venues/paradex/venuekit_paradex/sim/simple_fixtures.py": "sim-fixtures",
    "venues/paradex/venuekit_paradex/sim/stream.py": "sim-frames",
    "venues/paradex/venuekit_paradex/sim/tokens.py": "sim-rest",
    "venues/paradex/venuekit_paradex/stream.py": "paradex-private-json",
    "venues/paradex/venuekit_paradex/wire/market_json.py": "paradex-public-json",
    "venues/paradex/venuekit_paradex/wire/replies.py": "paradex-reads",
    "venues/paradex/venuekit_paradex/wire/sbe.py": "paradex-public-sbe",
    "venues/paradex/venuekit_paradex/wire/schema.py": "paradex-private-sbe",
    "venues/paradex/venuekit_paradex/wire/text_ticks.py": "paradex-public-json",
}
"""Every module that reads bytes or text from outside, and the target that damages what it reads."""


def test_every_module_that_reads_has_a_target():
    reads = re.compile(r"json\.(?:decode|Decoder|loads)\(|msgspec\.convert\(|tomllib\.loads\(|unpack_from\(")
    product = [*(ROOT / "venuekit").rglob("*.py"), *ROOT.glob("venues/*/venuekit_*/**/*.py")]
    found = {str(path.relative_to(ROOT)) for path in product if reads.search(path.read_text())}
    found = {name for name in found if not name.startswith("venuekit/cli/")}  # what our own commands wrote
    assert found == set(READ_BY) - {"venuekit/core/numbers.py"}
    assert set(READ_BY.values()) <= set(TARGETS)


@pytest.mark.parametrize("path", FINDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_found_once_is_survived(path):
    assert replay(TARGETS[path.parent.name], kept(path)) == ""


def test_there_are_finds():
    assert FINDS
    assert {path.parent.name for path in FINDS} <= set(TARGETS)


# --- the damage is deep enough to reach what lies behind the first check


def test_damaged_frames_are_still_understood_often_enough():
    symbols_, said = symbols(), Counter[str]()
    stream = ParadexStream(url="ws://venue/v1", symbols=symbols_, private=False, sbe_version=2)
    make = TARGETS["paradex-public-sbe"].make
    for run in range(2_000):
        for one in stream.decode(make(Mutator(f"share/{run}")), TS):
            said[one.kind if isinstance(one, Quarantined) else type(one).__name__] += 1
    understood = sum(n for kind, n in said.items() if kind[0].isupper() and kind != Ignored.__name__)
    assert understood > 200, said
    assert len([kind for kind in said if kind[0].islower()]) >= 8, said


def test_damaged_requests_reach_the_exchange_often_enough(monkeypatch):
    statuses = Counter[int]()
    monkeypatch.setattr("simulator_targets._check", lambda response: _count(statuses, response))
    for name in ("sim-rest", "sim-simple-rest", "sim-control"):
        fuzz(TARGETS[name], seed=SEED, runs=500)
    assert sum(n for status, n in statuses.items() if status < 300) > 300, statuses
    assert {400, 401, 404} <= set(statuses), statuses


def _count(statuses: Counter[int], response: Response) -> None:
    statuses[response.status] += 1


def test_a_world_of_the_simulator_has_everything_to_break():
    world = World()
    account = world.sim._demo.person.account
    assert world.sim.exchange.open_orders(account)
    assert any(position.quantity for position in world.sim.exchange.positions(account))
    assert all(socket.sent > 20 for socket in world.sockets)


# --- the mutator


def test_a_seed_always_does_the_same_damage():
    for target in TARGETS.values():
        first, again, other = (target.make(Mutator(seed)) for seed in ("a", "a", "b"))
        assert first == again
        assert first != other or target.name == "sim-handshake"


def test_damage_leaves_the_seeds_as_they_were():
    before = list(frames(private=True))
    tree = load('{"a":[1,{"b":"x","b":null}],"c":2.5}')
    text = dump(tree)
    for run in range(500):
        mutator = Mutator(str(run))
        mutator.blob(before[0], before)
        mutator.tree(tree, [tree])
    assert list(frames(private=True)) == before
    assert dump(tree) == text == '{"a":[1,{"b":"x","b":null}],"c":2.5}'
    assert isinstance(tree, Pairs)


# --- what a target does wrong is seen, and said with a line that does it again


def planted(feed, *, block: int = 10) -> Target:
    return Target(
        name="planted", open=lambda: feed, make=lambda m: bytes([m.draw.randrange(256)]), block=block
    )


def test_an_exception_is_a_find_that_its_line_repeats():
    def feed(data: bytes) -> None:
        if data[0] > 250:
            raise LookupError(f"no {data[0]}")

    with pytest.raises(FindError) as first:
        fuzz(planted(feed), seed=1, runs=5_000)
    find = first.value
    assert find.replay == f'make fuzz ARGS="--target planted --seed 1 --run {find.run}"'
    assert "LookupError" in str(find)
    with pytest.raises(FindError) as again:
        fuzz(planted(feed), seed=1, runs=1, first=find.run)
    assert again.value.inputs == find.inputs
    assert fuzz(planted(feed), seed=1, runs=find.run) == find.run


def test_a_find_that_needs_what_came_before_keeps_it():
    def open_():
        seen: list[bytes] = []

        def feed(data: bytes) -> None:
            seen.append(data)
            assert len(seen) < 4

        return feed

    target = Target(name="planted", open=open_, make=lambda m: m.draw.randbytes(1), block=10)
    with pytest.raises(FindError) as found:
        fuzz(target, seed=1, runs=10)
    assert len(found.value.inputs) == 4
    assert replay(target, found.value.inputs)
    assert replay(target, found.value.inputs[1:]) == ""


def test_a_hang_is_a_find_whatever_the_target_swallows(monkeypatch):
    monkeypatch.setattr(fuzzing, "HANG_SECS", 0.2)

    def feed(data: bytes) -> None:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001 - as swallowing code does
                continue

    with pytest.raises(FindError, match="HangError"):
        fuzz(planted(feed), seed=1, runs=1)


@pytest.mark.skipif(fuzzing._start_memory() is None, reason="this system does not tell the memory's peak")
def test_memory_that_is_only_held_for_a_moment_is_a_find():
    def feed(data: bytes) -> None:
        bytes(b"x" * (200 * 2**20))

    with pytest.raises(FindError, match="MiB"):
        fuzz(planted(feed), seed=1, runs=1)


def test_a_kept_find_is_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "FOUND", tmp_path)
    find = FindError("planted", 1, 2, (b"\x00\xff", b"second"), "ValueError: x\nmore")
    path = keep(find)
    assert path.parent == tmp_path / "planted"
    assert kept(path) == [b"\x00\xff", b"second"]
    assert path.read_text().startswith("# ValueError: x\n")
