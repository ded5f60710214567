"""A session from connect to settle in virtual time, and that it repeats byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from paradex_rig import BTC, until
from virtual_rig import World, run_virtual

from venuekit.interfaces.stream import DataKind


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


def test_two_processes_see_the_same_bytes() -> None:
    def of_a_process(hash_seed: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first, second = of_a_process("1"), of_a_process("2")
    assert first == second
    assert first["one"] != first["other"], "another seed is another history"


if __name__ == "__main__":
    print(json.dumps({"one": run_virtual(1, session).digests(), "other": run_virtual(2, session).digests()}))
