"""Runs a demo: starts the simulator's process, one node in this one, cuts the sockets, asks the judge."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, frozen

from venuekit.cli.audit import Account, Differences, compare, read_cache, read_ledger
from venuekit.errors import NotReady
from venuekit.host.config import NodeConfig, parse_config
from venuekit.host.plugins import installed
from venuekit.host.structure import structure
from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.simulator import SimulatorInfo
from venuekit.nautilus.node import Ending, VenueNode, run_until_signalled
from venuekit.runtime.clock import RealClock
from venuekit.transport.http import HttpxPort, httpx_port

if TYPE_CHECKING:
    from nautilus_trader.common import Cache

    from venuekit.cli.demo import Plan
    from venuekit.interfaces.time import Clock

log = logging.getLogger("venuekit.cli.demo")
SECOND_NS = 1_000_000_000
START_SECS = 15
"""A simulator that is not ready by then has failed."""
SETTLE_SECS = 3
"""How long the last cancels and balances may take to arrive after the strategies stopped."""


class View(Protocol):
    """Shows a demo while it runs."""

    def event(self, name: str, **facts: object) -> None:
        """Something happened."""
        ...

    def frame(self, cache: Cache, left_secs: float) -> None:
        """The state of the node now."""
        ...


@frozen
class Result:
    """What a demo brought."""

    truth: Account
    belief: Account
    differences: Differences
    cancels: int
    latencies_ns: tuple[int, ...]
    quarantined: int
    code: int = 0
    """Of the node: not 0 when it failed or stopped with an order of unknown fate."""
    message: str = ""
    hint: str = ""

    def latency_ms(self) -> dict[str, float | None]:
        """From the making of an order to the venue's OPEN, in milliseconds."""
        if len(self.latencies_ns) < 2:
            return {"p50": None, "p99": None}
        cuts = quantiles(self.latencies_ns, n=100, method="inclusive")
        return {"p50": round(cuts[49] / 1e6, 2), "p99": round(cuts[98] / 1e6, 2)}

    def summary(self) -> dict[str, object]:
        """The last line of `--json`."""
        found, fills = self.differences, self.belief.fills
        return {
            "orders": len(self.truth.orders),
            "fills": len(self.truth.fills),
            "cancels": self.cancels,
            "maker_fills": sum(fill.liquidity == "MAKER" for fill in fills),
            "taker_fills": sum(fill.liquidity == "TAKER" for fill in fills),
            "markets": len({fill.market for fill in fills}),
            "lost_fills": len(found.lost_fills),
            "duplicate_fills": len(found.duplicate_fills),
            "altered_fills": len(found.altered_fills),
            "position_matches": not found.positions,
            "balance_matches": not found.balances,
            "unknown_orders": len(found.unknown_orders),
            "submit_to_accepted_ms": self.latency_ms(),
            "quarantined": self.quarantined,
        }

    def difference_lines(self) -> list[str]:
        """Every difference in words."""
        found = self.differences
        lines = [f"lost fill {one}" for one in found.lost_fills]
        lines += [f"fill {one} delivered more than once, or never made" for one in found.duplicate_fills]
        lines += [f"altered fill {one}" for one in found.altered_fills]
        lines += [f"order {one} of unknown fate" for one in found.unknown_orders]
        for what, pairs in (("position in", found.positions), ("balance of", found.balances)):
            lines += [
                f"{what} {one}: {true} in truth, {mine} believed" for one, (true, mine) in pairs.items()
            ]
        return lines


async def run_demo(plan: Plan, view: View) -> Result:
    """The whole demo; the simulator's process is gone when this returns or raises."""
    clock = RealClock()
    async with simulator_process(plan) as info:
        view.event("simulator", venue=info.venue, addresses=dict(info.addresses))
        control = httpx_port(info.control, clock=clock, timeouts_ms={}, options={})
        try:
            return await _trade(plan, view, info, control, clock)
        finally:
            await control.close()


async def _trade(plan: Plan, view: View, info: SimulatorInfo, control: HttpxPort, clock: Clock) -> Result:
    for verb in plan.plant:
        await call(control, verb)
    config = quiet(parse_config(info.config_toml))
    node = VenueNode.from_config(config, post_stop_secs=SETTLE_SECS)
    try:
        driver = asyncio.create_task(_drive(plan, view, node, control, clock), name="demo-driver")
        ending = await run_until_signalled(node)
        driver.cancel()
        await asyncio.gather(driver, return_exceptions=True)
        view.event("stopped", code=ending.code)
        return judge(node, info, await ledger(control), ending)
    finally:
        node.dispose()


async def _drive(plan: Plan, view: View, node: VenueNode, control: HttpxPort, clock: Clock) -> None:
    """Shows the node, cuts the sockets once at half time, stops the node at the end."""
    start = clock.mono_ns()
    end, half = start + int(plan.secs * SECOND_NS), start + int(plan.secs * SECOND_NS) // 2
    cut = not plan.cut
    view.event("trading", secs=plan.secs)
    while (now := clock.mono_ns()) < end:
        if not cut and now >= half:
            cut = True
            answer = await call(control, "drop_connections")
            view.event("cut", connections=answer.get("dropped"))
        view.frame(node.cache, (end - now) / SECOND_NS)
        await clock.sleep_until(min(end, now + SECOND_NS // 4))
    view.event("stopping")
    node.handle.stop()


def quiet(config: NodeConfig) -> NodeConfig:
    """The config with a log that leaves standard output to the demo."""
    return evolve(config, node=evolve(config.node, log_level="OFF"))


def judge(
    node: VenueNode, info: SimulatorInfo, rows: Mapping[str, Sequence[Mapping[str, object]]], ending: Ending
) -> Result:
    """Compare the ledger with the node's cache."""
    from nautilus_trader.model import OrderAccepted, OrderCanceled, Venue

    venue = Venue(installed().manifest(info.venue).venue)
    truth, belief = read_ledger(rows, info.account), read_cache(node.cache, venue)
    cancels, latencies = 0, []
    for order in node.cache.orders(venue=venue):
        for event in order.events():
            cancels += isinstance(event, OrderCanceled)
            if isinstance(event, OrderAccepted):
                latencies.append(event.ts_init - order.ts_init)
    return Result(
        truth=truth,
        belief=belief,
        differences=compare(truth, belief),
        cancels=cancels,
        latencies_ns=tuple(latencies),
        quarantined=quarantined(node.counters[info.venue].snapshot()),
        code=ending.code,
        message=ending.message,
        hint=ending.hint,
    )


def quarantined(counts: Mapping[str, int]) -> int:
    """Frames and records that were not understood."""
    return sum(n for name, n in counts.items() if name.startswith("quarantined."))


@asynccontextmanager
async def simulator_process(plan: Plan) -> AsyncIterator[SimulatorInfo]:
    """A simulator in a process of its own; it is ended, and waited for, at the end."""
    arguments = ["sim", plan.venue, "--port", "0", "--seed", str(plan.seed), "--json"]
    for option in plan.options:
        arguments += ["--option", option]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "venuekit",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield await _ready(process)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> SimulatorInfo:
    assert process.stdout is not None
    assert process.stderr is not None
    row: dict[str, object] = {}
    try:
        row = json.loads(await asyncio.wait_for(process.stdout.readline(), START_SECS))
        if row.pop("event") == "ready":
            return structure(row, SimulatorInfo, "simulator")
    except (TimeoutError, ValueError, KeyError):
        log.debug("no word from the simulator", exc_info=True)
    said = str(row.get("message", ""))
    if not said and process.returncode is not None:
        said = " ".join((await process.stderr.read()).decode(errors="replace").split())[-300:]
    raise NotReady(
        f"the simulator did not start{': ' + said if said else ''}", hint="run `venuekit sim` to see why."
    )


async def call(control: HttpxPort, verb: str) -> dict[str, object]:
    """One control verb without arguments."""
    reply = await control.send(HttpRequest(verb, "POST", f"/{verb}", body=b"{}"))
    if reply.status != 200:
        raise NotReady(f"the simulator refused {verb}: {reply.status}")
    answer: dict[str, object] = json.loads(reply.body)
    return answer


async def ledger(control: HttpxPort) -> dict[str, list[dict[str, object]]]:
    """The whole ledger."""
    reply = await control.send(HttpRequest("ledger", "GET", "/ledger"))
    rows: dict[str, list[dict[str, object]]] = json.loads(reply.body)
    return rows
