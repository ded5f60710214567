"""A node is killed at every point of its journal, at its start and at random; every next one agrees."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from paradex_rig import BTC, ETH, KEY_VARIABLE, Exchange, exchange
from venuekit_paradex.sim import SIMULATOR

POINTS = (
    "intent:before",
    "intent:after",
    "wire",
    "observed:before",
    "observed:after",
    "filled:before",
    "filled:after",
    "closed:before",
    "closed:after",
)
KILLS = int(os.environ.get("VENUEKIT_KILLS", "12"))
SEED = int(os.environ.get("VENUEKIT_SEED", "1"))
VICTIM = Path(__file__).with_name("victim.py")
HOUSE = ((BTC, "79999.9", "80000.0", "1"), (ETH, "3999.99", "4000.00", "10"))


def plan(kills: int, random: Random) -> list[tuple[str, int, int]]:
    """Point, passing, and milliseconds of trading (0: until the point); every fourth kill is at random."""
    found = []
    for number in range(kills):
        if number % 4 == 3:
            found.append(("none", 0, random.randint(1, 700)))
        else:
            found.append((POINTS[(number - number // 4) % len(POINTS)], random.randint(1, 8), 0))
    return found


def refill(x: Exchange) -> None:
    """Both sides of both books have something to take."""
    for market, bid, ask, size in HOUSE:
        bids, asks = x.levels(market)
        if not any(str(price) == bid and quantity > 0.5 for price, quantity in bids):
            x.counter("BUY", size, bid, market)
        if not any(str(price) == ask and quantity > 0.5 for price, quantity in asks):
            x.counter("SELL", size, ask, market)


def meddle(x: Exchange, random: Random, number: int) -> None:
    """While nobody looks: fills, cancels by other hands, orders of other hands."""
    resting = [one for one in x.ledger.orders(x.account) if one.status.name == "OPEN"]
    random.shuffle(resting)
    for one in resting[: random.randint(0, 2)]:
        part = one.quantity / 2 if one.filled == 0 and random.random() < 0.5 else None
        x.exchange.cross(one.id, part)
    for one in resting[2 : 2 + random.randint(0, 1)]:
        x.exchange.cancel(one.id)
    if number % 3 == 0:
        x.external("BUY", "0.02", "80000.0" if number % 2 else "70000.0", client_id=f"HAND-{number}")
    refill(x)


async def victim(config: Path, x: Exchange, point: str, *numbers: int) -> asyncio.subprocess.Process:
    arguments = [str(VICTIM), str(config), x.info.control, x.account, point, *map(str, numbers)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )


async def heard(process: asyncio.subprocess.Process, word: str) -> dict[str, object]:
    """The line with this word; whatever else comes instead fails the test."""
    line = await asyncio.wait_for(process.stdout.readline(), 40)
    if not line:
        raise AssertionError((await process.stderr.read()).decode()[-3000:])
    said = json.loads(line)
    assert said["event"] == word, line.decode()
    return said


async def killed_at_its_start(config: Path, x: Exchange, random: Random, usual_secs: float) -> None:
    """A node that dies while it takes over what an earlier one left, as far as that took the last one."""
    process = await victim(config, x, "none", 0, 3_000, random.randrange(1 << 30))
    await asyncio.sleep(usual_secs * random.uniform(0.3, 1.0))
    process.kill()
    out, _ = await process.communicate()
    assert b'"differs"' not in out, out.decode()


async def ended(process: asyncio.subprocess.Process) -> int:
    """The exit code; a process that lives on fails the test with what it said."""
    try:
        return await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"still alive: {out.decode()[-2000:]} {err.decode()[-3000:]}") from None


def configured(x: Exchange, folder: Path) -> Path:
    os.environ[KEY_VARIABLE] = SIMULATOR.demo_key()
    text = x.info.config_toml.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
    text = text.replace("[venues.paradex]", '[venues.paradex]\njournal = "journals"', 1)
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.timeout(60 + 15 * KILLS)
def test_every_node_after_a_kill_agrees_with_the_ledger(tmp_path: Path) -> None:
    random = Random(SEED)

    async def main() -> None:
        async with exchange(seed=SEED) as x:
            refill(x)
            config = configured(x, tmp_path)
            for number, (point, nth, millis) in enumerate(plan(KILLS, random)):
                seed, began = random.randrange(1 << 30), time.monotonic()
                what = f"kill {number}: {point} {nth} {millis} seed {SEED}"
                process = await victim(config, x, point, nth, 3_000, seed)
                try:
                    agreed = await heard(process, "agreed")
                    print(what, agreed, flush=True)
                    assert not agreed["alarms"], what
                    usual_secs = time.monotonic() - began
                    await heard(process, "trading")
                    if millis:
                        await asyncio.sleep(millis / 1000)
                        process.kill()
                    code = await ended(process)
                    assert code == -signal.SIGKILL, (what, (await process.stderr.read()).decode()[-3000:])
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
                meddle(x, random, number)
                if number % 3 == 1:
                    await killed_at_its_start(config, x, random, usual_secs)
            process = await victim(config, x, "none", 0, 0, 0)
            print(await heard(process, "agreed"))
            await heard(process, "trading")
            assert (await heard(process, "ended"))["code"] == 0
            await process.wait()
            fills = sum(Decimal(one.quantity) > 0 for one in x.ledger.fills(x.account))
            print("fills", fills, "orders", len(x.ledger.orders(x.account)))
            assert fills > KILLS

    asyncio.run(main())
