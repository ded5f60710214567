"""A session from connect to settle in virtual time, and that it repeats byte by byte."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC, until
from virtual_rig import CALM, Killed, World, run_virtual

from venuekit.errors import VenuekitError
from venuekit.interfaces.stream import DataKind
from venuekit.runtime.journal_file import FileJournal, Owner, check_file, wal_of


async def session(world: World) -> None:
    """Connect, sign, subscribe, submit, fill, cancel, drop, reconnect; ten minutes later one more fill."""
    rig, x = world.rig, world.x
    rig.want(DataKind.BOOK_DELTAS, BTC)
    x.counter("BUY", "1", "79000.0")
    x.counter("SELL", "1", "81000.0")
    await rig.same_book(BTC)
    order = await rig.accepted("O-1")
    x.cross("O-1", "0.004")
    await rig.status(order, "PARTIALLY_FILLED")
    rig.cancel(order)
    await rig.status(order, "CANCELED")
    x.drop()
    await rig.down()
    await rig.live()
    await rig.accepted("O-2")
    await world.wait(600)
    x.cross("O-2")


def test_a_session() -> None:
    world = run_virtual(1, session)
    told = [line for line in world.rig.engine.log if not line.startswith("account")]
    assert [" ".join(line.split()[:2]) for line in told] == [
        "O-1 submitted",
        "O-1 accepted",
        "O-1 filled",
        "O-1 canceled",
        "O-2 submitted",
        "O-2 accepted",
        "O-2 filled",
    ]
    assert world.loop.now_ns > 600 * 10**9
    ways = {row.way for row in world.wire.rows}
    assert ways == {"<", ">"}
    assert [row.ts_ns for row in world.wire.rows] == sorted(row.ts_ns for row in world.wire.rows)
    # Every frame of the venue's ledger crossed the wire, and the other way round.
    assert world.x.ledger.count("in") > 5


def test_a_client_is_killed_and_comes_back() -> None:
    async def body(world: World) -> None:
        rig, x = world.rig, world.x
        await rig.accepted("O-1")
        rig.submit("O-2", price="79000.0")
        await until(lambda: x.orders("O-2"), "the venue has it, the client does not know", every_secs=0.0001)
        await world.kill()
        await until(lambda: not x.simulator.server.connections, "the venue noticed")
        x.cross("O-1", "0.003")
        told = list(rig.engine.log)
        assert told[-1] == "O-2 submitted"
        await world.wait(30)
        assert rig.engine.log == told, "the dead are silent"
        again = await world.start()
        assert again is world.rig is not rig
        await again.settle(60)
        assert set(again.engine.orders) == {"O-1", "O-2"}
        assert x.submits("O-2") == 1

    run_virtual(2, body)


def test_what_died_is_remembered_by_a_file(tmp_path: Path) -> None:
    owner = Owner("PARADEX", "simulator", "demo")

    def opened() -> FileJournal:
        return FileJournal.opened(tmp_path / "j.journal", owner, upkeep=False)

    def doubtful() -> list[str]:
        journal = opened()
        try:
            return [one.intent.facts.client_order_id for one in journal.open_intents()]
        finally:
            journal.close()

    async def body(world: World) -> None:
        rig, x = world.rig, world.x
        await rig.accepted("O-1")
        x.fault("F24", trigger={"cut": "C2"}, label='*"O-2"*')
        rig.submit("O-2", price="79000.0")
        await until(lambda: not world.alive, "died while the bytes were on their way")
        x.cross("O-1")
        assert doubtful() == ["O-1", "O-2"]
        again = await world.start()
        await again.settle(60)
        assert x.submits("O-2") == 1
        await world.stop()
        assert doubtful() == ["O-2"], "the one that is open; the other one was filled meanwhile"

    run_virtual(3, body, journal=opened, settle=False)


@pytest.mark.parametrize("secs", [25, 45])
def test_an_order_that_ended_just_before_it_was_first_asked_for_is_not_rejected(secs: int) -> None:
    """Nothing can be read for so long after a submit; history trails by 4.5 s, and may by 5."""

    async def body(world: World) -> None:
        rig, x = world.rig, world.x
        always = {"trigger": {"chance": 1.0}, "times": 100_000}
        x.fault("F16", points=["out"], **always)
        x.fault("F02", points=["connect"], **always)
        x.fault("F19", points=["request"], lasts_ms=secs * 1_000, status=503, **always)
        order = rig.submit("O-1")
        await world.wait(secs)
        assert len(x.orders("O-1")) == 1, "it rests"
        asked = rig.service._tracker.get("O-1").look_due_ns
        assert rig.count("lookups.failed") > 3 and not rig.count("lookups.not_found")
        await world.wait((asked - rig.clock.mono_ns()) / 1e9 - 0.1)
        x.cross("O-1")
        await until(lambda: rig.count("lookups.not_found"), "denied: open no more, history later")
        await until(lambda: order.status == OrderStatus.FILLED, "it was filled", 20)
        x.lift()
        await rig.live()
        assert not rig.engine.alarms

    run_virtual(1, body, sim={"history_lag_ms": "4500"})


def test_an_order_that_was_filled_just_before_a_start_is_told_by_the_mass_status_alone() -> None:
    """History shows its first fill when it does not show the order yet, and the last fill some time later."""

    async def body(world: World) -> None:
        order = await world.rig.accepted("O-1")
        world.x.cross("O-1", "0.004")
        await world.rig.status(order, "PARTIALLY_FILLED")
        await world.wait(30)
        await world.kill()
        world.x.cross("O-1")
        rig = await world.start()
        assert [line.split()[0] for line in rig.engine.events("O-1")] == ["accepted", "filled", "filled"]
        await rig.settle(60)
        assert not rig.engine.alarms

    run_virtual(1, body, sim={"history_lag_ms": "4500"})


def test_a_journal_is_free_after_a_start_that_failed_and_as_it_was_after_a_kill(tmp_path: Path) -> None:
    owner = Owner("PARADEX", "simulator", "demo")
    path = tmp_path / "j.journal"

    async def body(world: World) -> None:
        down = {"points": ["request"], "label": "GET *", "trigger": {"nth": 1}, "lasts_ms": 60_000}
        world.x.fault("F19", **down, status=503)
        with pytest.raises(VenuekitError):
            await world.start()
        assert not world.alive
        FileJournal.opened(path, owner, upkeep=False).close()
        world.x.lift()
        rig = await world.start()
        await rig.accepted("O-1")
        await world.kill()
        assert check_file(path, owner)["state"] == "open", "nobody tidied up"
        assert wal_of(path).stat().st_size, "the newest lines are beside the file"
        await world.start()
        await world.rig.settle(60)
        assert set(world.rig.engine.orders) == {"O-1"}

    run_virtual(3, body, journal=lambda: FileJournal.opened(path, owner, upkeep=False), start=False)


def test_a_history_is_cut_between_two_of_its_pages() -> None:
    async def body(world: World) -> None:
        rig, x = world.rig, world.x
        for number in range(10):
            await rig.accepted(f"O-{number}")
            x.cross(f"O-{number}")
        await rig.settle()
        await world.kill()
        x.fault("F24", trigger={"cut": "C11", "n": 2})
        with pytest.raises(Killed):
            await world.start()
        assert x.simulator.faults.passed["C11"] >= 2
        x.fault("F12", trigger={"cut": "C11", "n": 2})
        again = await world.start()
        await again.settle()
        # A page that broke off was asked for again: the belief is whole.
        assert {fill.client_order_id for fill in again.engine.belief().fills} == {f"O-{n}" for n in range(10)}

    run_virtual(4, body, sim={"page_rows": "3"})


STORM = (
    {"kind": "F01", "trigger": {"after_ms": 20_000}, "lasts_ms": 4_000},
    {"kind": "F02", "trigger": {"after_ms": 40_000}, "lasts_ms": 20_000},
    {"kind": "F03", "trigger": {"after_ms": 70_000}, "lasts_ms": 8_000},
    {"kind": "F05", "trigger": {"chance": 0.05}, "points": ["in"], "label": '*"order.*'},
    {"kind": "F07", "trigger": {"after_ms": 90_000}, "lasts_ms": 30_000},
    {"kind": "F09", "trigger": {"chance": 0.2}, "points": ["out"], "jitter_ms": 40},
    {"kind": "F12", "trigger": {"chance": 0.01}, "points": ["out"]},
    {"kind": "F13", "trigger": {"chance": 0.01}, "points": ["out"]},
    {"kind": "F14", "trigger": {"chance": 0.1}, "points": ["out"]},
    {"kind": "F15", "trigger": {"chance": 0.1}, "points": ["out"], "jitter_ms": 80},
    {"kind": "F16", "trigger": {"chance": 0.05}, "points": ["out"], "label": "reply:*"},
    {"kind": "F17", "trigger": {"chance": 0.02}, "points": ["out"], "jitter_ms": 50},
    {"kind": "F19", "trigger": {"chance": 0.1}, "points": ["request"], "label": "GET *"},
    {"kind": "F20", "trigger": {"chance": 0.1}, "points": ["request"], "label": "GET *", "delay_ms": 900},
    {"kind": "F21", "trigger": {"chance": 0.02}, "points": ["in"]},
    {"kind": "F22", "trigger": {"after_ms": 50_000}, "shift_ms": -3_600_000, "drift_ppm": 200},
    {"kind": "F23", "trigger": {"after_ms": 60_000}, "delay_ms": 10_000},
    {"kind": "F24", "trigger": {"cut": "C3", "n": 25}},
    {"kind": "F24", "trigger": {"cut": "C5", "n": 9}, "label": "order.create"},
)


async def storm(world: World) -> None:
    """Trading against a crowd while everything goes wrong, the client's death included."""
    random, x = Random(world.seed), world.x
    for fault in STORM:
        x.fault(**fault)
    for number in range(40):
        await world.wait(random.random() * 6)
        while not world.alive:
            try:
                await world.start()
            except (Killed, VenuekitError):
                await world.kill()
                await world.wait(1)
        rig = world.rig
        rig.want(DataKind.BOOK_DELTAS, BTC)
        alive = [one for one in rig.engine.orders.values() if one.status == OrderStatus.ACCEPTED]
        if alive and random.random() < 0.5:
            rig.cancel(random.choice(alive))
        rig.submit(f"O-{number}", random.choice(("BUY", "SELL")), "0.003", random.choice(("83400", "83550")))
    x.lift()
    if not world.alive:
        await world.start()
    await world.rig.live()
    for crowd in x.simulator._crowds:
        crowd.stop()
    await world.wait(60)
    world.rig.service.query_account()


def test_a_storm_ends_in_agreement() -> None:
    world = run_virtual(5, storm, sim=CALM)
    assert len(world.rigs) > 1, "somebody died"
    assert world.x.ledger.fills(world.x.account), "somebody traded"


def test_two_processes_see_the_same_bytes() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    said = []
    for process in processes:
        try:
            out, problem = process.communicate(timeout=50)
        finally:
            process.kill()
        assert process.returncode == 0, problem
        said.append(json.loads(out))
    first, second = said
    assert first == second
    assert len({digests["wire"] for digests in first.values()}) == len(first), "each seed is another history"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    worlds = {f"session {seed}": run_virtual(seed, session) for seed in (1, 2)}
    worlds |= {f"storm {seed}": run_virtual(seed, storm, sim=CALM) for seed in (3, 4)}
    print(json.dumps({name: world.digests() for name, world in worlds.items()}))


def test_times_of_receipt_never_go_back() -> None:
    async def body(world: World) -> None:
        rig, x = world.rig, world.x
        received: list[int] = []
        report = rig.engine.report

        def told(order: object, fills: object) -> None:
            received.extend([order.ts_init, *(fill.ts_init for fill in fills)])
            report(order, fills)

        rig.engine.report = told
        order = await rig.accepted("O-1")
        rig.clock.jump(-3_600 * 10**9)
        x.cross("O-1", "0.004")
        await rig.status(order, "PARTIALLY_FILLED")
        (again,) = await rig.service.reports.order_reports(True, None)
        received.append(again.ts_init)
        assert len(received) == 4
        assert received == sorted(received)

    run_virtual(3, body)


def test_an_own_order_that_history_does_not_show_yet_comes_back_as_what_it_was() -> None:
    async def body(world: World) -> None:
        x = world.x
        await world.rig.accepted("O-1")
        order = x.order("O-1")
        x.cross("O-1", "0.004")
        await world.wait(2)
        x.cross("O-1", "0.003")
        await world.wait(1.5)
        x.exchange.cancel_by_venue(order.id, "VENUE_RULE")
        await world.kill()
        await world.wait(2)
        # Both fills are shown, the order is in no list.
        rig = await world.start()
        back = rig.engine.orders["O-1"]
        assert (str(back.quantity), str(back.filled_qty)) == ("0.01000", "0.00700")
        assert back.status == OrderStatus.PARTIALLY_FILLED
        await rig.status(back, "CANCELED")
        assert [kind for kind, _ in rig.engine.alarms] == []

    run_virtual(4, body, sim={"history_lag_ms": "3000"})


def test_a_strangers_order_is_as_large_as_its_fills() -> None:
    async def body(world: World) -> None:
        x = world.x
        order = x.external("BUY", "0.01", "80000.0")
        x.exchange.cross(order.id, Decimal("0.004"))
        await world.wait(2)
        x.exchange.cross(order.id, Decimal("0.003"))
        await world.wait(1.5)
        x.exchange.cancel_by_venue(order.id, "VENUE_RULE")
        await world.wait(2)
        rig = await world.start()
        (back,) = rig.engine.external.values()
        assert str(back.filled_qty) == "0.00700"
        assert not rig.engine.violations

    run_virtual(5, body, sim={"history_lag_ms": "3000"}, start=False)
