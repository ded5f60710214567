"""A soak: a node trades on the simulator while something breaks every 30 seconds; a judge at the end.

Simulator and node are processes of their own, so that the figures are the node's alone. Ends by itself. Exit
code 1: something grew, or engine and ledger differ. `--write` keeps the table in docs/reference/soak.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import table  # noqa: E402
from faults import draws  # noqa: E402
from parts import parts_of  # noqa: E402
from verdict import CYCLE_SECS, Report, judged  # noqa: E402

from venuekit.cli.audit import OPEN, Account, Execution, OrderView, compare, read_ledger  # noqa: E402
from venuekit.cli.demo import Plan  # noqa: E402
from venuekit.cli.demo_run import ledger, simulator_process  # noqa: E402
from venuekit.interfaces.request import HttpRequest  # noqa: E402
from venuekit.runtime.clock import RealClock  # noqa: E402
from venuekit.transport.http import HttpxPort, httpx_port  # noqa: E402

KEY_VARIABLE = "VENUEKIT_SOAK_KEY"
RECOMMENDED = {
    "MIMALLOC_ALLOW_THP": "0",
    "MIMALLOC_PURGE_DELAY": "0",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""The environment of a node that runs for days, as docs/how-to/run-a-node.md says."""
START_SECS = 120
PARTS_SECS = 10.0
"""How often memory is told apart; that is done from outside, so that it costs the node nothing."""
CALM_SECS = 360.0
"""Ended orders have left Nautilus's cache by then."""
AGREE_SECS = 150.0
"""How long agreement may take after the last fault was lifted."""
ENDED = ("OrderFilled", "OrderCanceled", "OrderRejected", "OrderDenied", "OrderExpired")


class NodeProcess:
    """The node's process: what it says last of each kind, and its samples."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.samples: list[tuple[float, dict[str, Any]]] = []
        self._parts_at = 0.0
        self._heard: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while row := await self.process.stdout.readline():
            said = json.loads(row)
            word = said.pop("event")
            if word == "sample":
                self.samples.append((time.monotonic(), said | self._parts(time.monotonic())))
            else:
                self._heard.setdefault(word, asyncio.Queue()).put_nowait(said)

    def _parts(self, now: float) -> dict[str, int]:
        """Memory by its parts, when it is time for that."""
        if now < self._parts_at:
            return {}
        self._parts_at = now + PARTS_SECS
        return parts_of(self.process.pid)

    async def heard(self, word: str, secs: float) -> dict[str, Any]:
        """The next line with this word."""
        said = self._heard.setdefault(word, asyncio.Queue())
        end = time.monotonic() + secs
        while said.empty():
            if time.monotonic() > end or self._reading.done():
                raise RuntimeError(f"the node did not say {word!r} within {secs:g} s, or ended")
            await asyncio.sleep(0.02)
        return said.get_nowait()

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    async def ask(self, word: str, answer: str) -> dict[str, Any]:
        self.tell(word)
        return await self.heard(answer, 30)

    async def end(self) -> None:
        """The process is gone."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(self._reading, return_exceptions=True)


async def send(control: HttpxPort, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    reply = await control.send(HttpRequest(verb, "POST", f"/{verb}", body=json.dumps(arguments).encode()))
    if reply.status != 200:
        raise RuntimeError(f"the simulator refused {verb}: {reply.status} {reply.body!r}")
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def told(path: Path, belief: dict[str, Any]) -> Account:
    """What the engine told its strategy, from the file of its events, and what it says now."""
    fills: list[Execution] = []
    filled: Counter[str] = Counter()
    amounts: dict[str, Decimal] = {}
    with path.open(encoding="utf-8") as file:
        for text in file:
            row = json.loads(text)
            amounts.setdefault(row["order"], Decimal(0))
            if row["kind"] == "OrderFilled":
                filled[row["trade"]] += 1
                amounts[row["order"]] += Decimal(row["quantity"])
                fills.append(
                    Execution(
                        row["trade"],
                        row["order"],
                        row["market"].partition(".")[0],
                        row["side"],
                        Decimal(row["quantity"]),
                        Decimal(row["price"]),
                        Decimal(row["fee"]),
                        row["currency"],
                        row["liquidity"],
                    )
                )
    living, waiting = set(belief["living"]), set(belief["waiting"])
    orders = [OrderView(name, name in living, size, name not in waiting) for name, size in amounts.items()]
    positions = {name: Decimal(size) for name, size in belief["positions"].items()}
    balances = {name: Decimal(size) for name, size in belief["balances"].items()}
    return Account(tuple(fills), tuple(orders), positions, balances)


async def agreement(
    node: NodeProcess, control: HttpxPort, account: str, folder: Path
) -> tuple[list[str], float]:
    """What still differs at the end, and after how many seconds it did not any more."""
    start = time.monotonic()
    while True:
        belief = await node.ask("belief", "belief")
        rows = await ledger(control)
        living = [row for row in rows["orders"] if row["account"] == account and row["status"] in OPEN]
        found = compare(read_ledger(rows, account), told(folder / "events.jsonl", belief))
        wrong = [] if found.none else [str(found)]
        wrong += [f"{row['client_id']} is still open" for row in living]
        wrong += [f"the engine made the order {name}" for name in belief["invented"]]
        took = time.monotonic() - start
        if not wrong or took > AGREE_SECS:
            return wrong, took
        await asyncio.sleep(1)


def progress(node: NodeProcess, began: float, faults: int) -> dict[str, Any]:
    _, last = node.samples[-1]
    said = {"secs": round(time.monotonic() - began), "faults": faults, **last}
    return said | {"rss": round(last["rss"] / 2**20, 2), "heap": round(last["heap"] / 2**20, 2)}


async def watched(args: argparse.Namespace, show: Any) -> Report:
    """The whole soak; both processes are gone when this returns, raises, or the process is asked to end."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    folder: Path = args.folder
    async with simulator_process(Plan("paradex", args.secs, args.seed)) as info:
        control = httpx_port(info.control, clock=RealClock(), timeouts_ms={}, options={})
        node = await started(args, info.config_toml, folder)
        try:
            await node.heard("running", START_SECS)
            began = time.monotonic()
            warm = min(args.warm_secs, args.secs / 3)
            happened = await troubled(args, node, control, began, warm, show)
            await send(control, "clear_faults", {})
            node.tell("quiet")
            show("lifted", waiting_secs=AGREE_SECS)
            wrong, took = await agreement(node, control, info.account, folder)
            if args.diagnose:
                show("types", **await node.ask("diagnose", "types"))
            # What a fault left behind for a while (idle connections) has gone by then.
            await asyncio.sleep(args.calm_secs)
            belief = await node.ask("belief", "belief")
            node.tell("stop")
            code = (await node.heard("ended", 60))["code"]
            samples = [(at - began, one) for at, one in node.samples]
            return judged(samples, warm, args.secs, happened, belief["counters"], wrong, took, code, args)
        finally:
            await node.end()
            await control.close()


async def started(args: argparse.Namespace, config: str, folder: Path) -> NodeProcess:
    from venuekit_paradex.sim import SIMULATOR

    text = config.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
    text = text.replace("[venues.paradex]", '[venues.paradex]\njournal = "journals"', 1)
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    # A while before growth counts: what is kept for some minutes is less then.
    rush_secs = max(0.0, min(args.warm_secs, args.secs / 3) - CALM_SECS) if args.rush else 0.0
    numbers = {
        "rush-secs": rush_secs,
        "seed": args.seed,
        "orders": args.orders,
        "fills": args.fills,
        "trace": args.trace,
        "every-ms": args.every_ms,
        "cycle-secs": args.cycle_secs,
        "compare-ms": args.compare_ms,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "node.py"),
        str(path),
        *[part for name, number in numbers.items() for part in (f"--{name}", str(number))],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=(folder / "node.log").open("w"),
        env={**RECOMMENDED, **os.environ, KEY_VARIABLE: SIMULATOR.demo_key()},
        limit=1 << 24,
    )
    return NodeProcess(process)


async def troubled(
    args: argparse.Namespace, node: NodeProcess, control: HttpxPort, began: float, warm: float, show: Any
) -> Counter[str]:
    """`secs` have passed, with a fault in every slot; how often each kind came."""
    happened: Counter[str] = Counter()
    plan = draws(args.seed, int(args.fault_secs * 600))
    next_fault, next_line, diagnosed = args.fault_secs, 0.0, not args.diagnose
    while (now := time.monotonic() - began) < args.secs:
        if now >= next_fault and now < args.secs - args.fault_secs / 2:
            next_fault += args.fault_secs
            name, verb, arguments = next(plan)
            await send(control, "clear_faults", {})
            await send(control, verb, arguments)
            happened[name] += 1
            show("fault", secs=round(now), name=name, **arguments)
        if now >= warm - 60 and not diagnosed:
            diagnosed = True
            node.tell("diagnose")
            await node.heard("types", 30)
        if now >= next_line and node.samples:
            next_line += args.line_secs
            show("progress", **progress(node, began, happened.total()))
        if node.process.returncode is not None:
            raise RuntimeError(f"the node ended with {node.process.returncode}")
        await asyncio.sleep(0.2)
    return happened


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secs", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-secs", type=float, default=30, help="a fault every so often")
    parser.add_argument(
        "--warm-secs", type=float, default=1200, help="before growth counts (a third at most)"
    )
    parser.add_argument("--every-ms", type=int, default=1000, help="an order or a cancel every so often")
    parser.add_argument("--cycle-secs", type=float, default=CYCLE_SECS, help="each market is flat once in it")
    parser.add_argument(
        "--rush", action=argparse.BooleanOptionalAction, default=True, help="four times as often at first"
    )
    parser.add_argument("--orders", type=int, default=1000, help="ended orders that are kept")
    parser.add_argument("--fills", type=int, default=1200, help="delivered fills that are kept")
    parser.add_argument("--compare-ms", type=int, default=0, help="instead of the venue's own")
    parser.add_argument("--line-secs", type=float, default=60, help="a line of progress every so often")
    parser.add_argument("--calm-secs", type=float, default=15, help="quiet before the last count")
    parser.add_argument("--folder", help="keep config, events, journal and log there")
    parser.add_argument("--diagnose", action="store_true", help="name the types of objects that became more")
    parser.add_argument("--trace", type=int, default=0, help="with --diagnose: frames of traced bytes")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--write", action="store_true", help="keep the table in the docs")
    return parser.parse_args()


def main() -> int:
    args = arguments()

    def show(word: str, **facts: Any) -> None:
        if args.json:
            print(json.dumps({"event": word, **facts}), flush=True)
        elif word != "fault":
            print(word, " ".join(f"{name}={value}" for name, value in facts.items()), flush=True)

    args.folder = Path(args.folder or tempfile.mkdtemp(prefix="venuekit-soak-"))
    args.folder.mkdir(parents=True, exist_ok=True)
    report = asyncio.run(watched(args, show))
    if args.json:
        show("report", **report.facts())
    else:
        print(table.as_text(report))
    if args.write:
        table.write(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
