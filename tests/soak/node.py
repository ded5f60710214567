"""The node of a soak, alone in its process: says every second what it holds, as JSON lines; told what to
do on standard input: `quiet`, `diagnose`, `stop`.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import logging
import os
import sys
import threading
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from nautilus_trader.model import StrategyId, Venue
from trader import EventFile, Pace, SoakTrader
from verdict import CYCLE_SECS

from venuekit.cli.audit import read_cache
from venuekit.core import levels
from venuekit.core.fills import FillBook
from venuekit.core.numbers import Memo
from venuekit.core.orders import OrderTracker
from venuekit.host.config import load_config
from venuekit.host.open import OpenedVenue
from venuekit.nautilus.node import VenueNode, run_until_signalled
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.journal_entries import Replay

MARKETS = ["BTC-USD-PERP.PARADEX", "ETH-USD-PERP.PARADEX"]
EXTERNAL = StrategyId("EXTERNAL")


def say(word: str, **facts: object) -> None:
    print(json.dumps({"event": word, **facts}), flush=True)


class _Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keep",
    )]  # fmt: skip


def heap_reader() -> Callable[[], int]:
    """Bytes that the C library's heap has handed out; 0 where it does not say."""
    read = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if read is None:
        return lambda: 0
    read.restype = _Heap
    return lambda: (heap := read()).uordblks + heap.hblkhd


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def bound(orders: int, fills: int, numbers: int) -> None:
    """What is kept is full after a few minutes: an hour shows growth.

    That is ended orders, delivered fills, and the prices and sizes that were converted once.
    """
    levels.MEMO_LIMIT = numbers
    Memo.__init__.__defaults__ = (numbers,)  # type: ignore[attr-defined]
    for cls, name, most in (
        (OrderTracker, "most_closed", orders),
        (Replay, "most_ended", orders),
        (FillBook, "most", fills),
        (MemoryJournal, "most_fills", fills),
    ):
        made = cls.__init__

        def small(
            self: Any, *args: Any, made: Any = made, name: Any = name, most: Any = most, **named: Any
        ) -> None:
            made(self, *args, **named)
            setattr(self, name, most)

        cls.__init__ = small  # type: ignore[method-assign]


def hurry(compare_ms: int) -> None:
    """The account is compared more often than the venue's manifest says."""
    make = OpenedVenue.__init__

    def made(self: OpenedVenue, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        quick = evolve(self.manifest.semantics, compare_ms=compare_ms)
        self.manifest = evolve(self.manifest, semantics=quick)

    OpenedVenue.__init__ = made  # type: ignore[method-assign]


def types() -> Counter[str]:
    """How many objects of each type live."""
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def sizes() -> dict[int, tuple[Any, int]]:
    """Every larger container, by its identity, with its length; texts and numbers in it are not counted."""
    kinds = (dict, list, set, deque)
    return {id(one): (one, len(one)) for one in gc.get_objects() if type(one) in kinds and len(one) > 50}


def owner(one: Any) -> str:
    """What refers to a container, and one thing in it."""
    found = [
        at for at in gc.get_referrers(one) if type(at) not in (tuple, list) and not hasattr(at, "f_code")
    ]
    holders = sorted({type(at).__qualname__ for at in found})
    return f"{type(one).__name__} in {', '.join(holders)[:100]} with {str(next(iter(one)))[:60]}"


class Watch:
    """Samples until it is told to stop."""

    def __init__(
        self, node: VenueNode, trader: SoakTrader, events: EventFile, journal: Path, frames: int
    ) -> None:
        self.frames = frames
        self.node, self.trader, self.events, self.journal = node, trader, events, journal
        self.heap = heap_reader()
        self.types: Counter[str] = Counter()
        self.sizes: dict[int, tuple[Any, int]] = {}
        self.invented: set[str] = set()

    def sample(self) -> None:
        self.events.flush()
        self.invented |= {str(one.client_order_id) for one in self.node.cache.orders(strategy_id=EXTERNAL)}
        say(
            "sample",
            rss=resident(),
            heap=self.heap(),
            blocks=sys.getallocatedblocks(),
            fds=len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            threads=len(os.listdir("/proc/self/task")),  # noqa: PTH208
            python_threads=threading.active_count(),
            tasks=len(asyncio.all_tasks()),
            journal=sum(one.stat().st_size for one in self.journal.glob("*") if one.is_file()),
            cached=self.node.cache.orders_total_count(),
            positions=self.node.cache.positions_total_count(),
            invented=len(self.invented),
            **self.events.counts,
        )

    def belief(self) -> None:
        """What the engine says of positions, balances, and orders that live or wait."""
        self.events.flush()
        found = read_cache(self.node.cache, Venue("PARADEX"))
        living = {str(one.client_order_id) for one in self.node.cache.orders_open()}
        living |= {str(one.client_order_id) for one in self.node.cache.orders_inflight()}
        say(
            "belief",
            positions={name: str(size) for name, size in found.positions.items()},
            balances={name: str(size) for name, size in found.balances.items()},
            living=sorted(living),
            waiting=[one.client_order_id for one in found.orders if not one.resolved],
            invented=sorted(self.invented),
            counters=self.node.counters["paradex"].snapshot(),
        )

    def diagnose(self) -> None:
        """Types and containers of which there is more than the last time."""
        before, self.types = self.types, types()
        held, self.sizes = self.sizes, sizes()
        more = (self.types - before).most_common(25) if before else []
        grown = [(n - held[key][1] if key in held else n, one) for key, (one, n) in self.sizes.items()]
        grown = sorted(((n, one) for n, one in grown if n > 20), key=lambda row: -row[0])[:25] if held else []
        traced = self.traced()
        say("types", more=more, grown=[[n, owner(one)] for n, one in grown], traced=traced)

    def traced(self) -> list[str]:
        """The lines of code whose bytes of after the first time are still held; empty unless asked for."""
        if not self.frames:
            return []
        if not tracemalloc.is_tracing():
            tracemalloc.start(self.frames)
            return []
        found = tracemalloc.take_snapshot().statistics("traceback")[:40]
        return [f"{one.size} bytes in {one.count}: {' < '.join(map(str, one.traceback))}" for one in found]

    async def run(self, every_secs: float) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.node.handle.is_running:  # noqa: ASYNC110 - Nautilus offers no event for it
            await asyncio.sleep(0.05)
        say("running")
        sampling = asyncio.create_task(self.sampling(every_secs))
        while word := (await reader.readline()).decode().strip():
            if word == "stop":
                break
            if word == "quiet":
                self.trader.quiet = True
            else:
                getattr(self, word)()
        sampling.cancel()

    async def sampling(self, every_secs: float) -> None:
        while True:
            self.sample()
            await asyncio.sleep(every_secs)


async def main(args: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    bound(args.orders, args.fills, args.numbers)
    if args.compare_ms:
        hurry(args.compare_ms)
    flags = ["log_level=OFF", "forget_flat_mins=0", "tick_capacity=100"]
    flags.append(f"forget_ended_mins={args.forget_mins}")
    config = evolve(load_config(args.config, flags=[f"node.{flag}" for flag in flags]), strategies=())
    events = EventFile(args.config.parent / "events.jsonl")
    pace = Pace(args.every_ms, args.rush_secs)
    trader = SoakTrader.made(MARKETS, args.seed, pace, args.cycle_secs, events)
    node = VenueNode.from_config(config, strategies=[trader])
    watch = Watch(node, trader, events, args.config.parent / "journals", args.trace)
    driving = asyncio.create_task(watch.run(args.sample_secs))
    driving.add_done_callback(lambda _: node.handle.stop())
    ending = await run_until_signalled(node)
    await driving
    node.dispose()
    say("ended", code=ending.code, message=ending.message)
    return ending.code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-ms", type=int, default=1000)
    parser.add_argument("--rush-secs", type=float, default=0.0)
    parser.add_argument("--numbers", type=int, default=256)
    parser.add_argument("--cycle-secs", type=float, default=CYCLE_SECS)
    parser.add_argument("--sample-secs", type=float, default=1.0)
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--fills", type=int, default=1200)
    parser.add_argument("--trace", type=int, default=0)
    parser.add_argument("--forget-mins", type=int, default=5)
    parser.add_argument("--compare-ms", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
