"""A node as a process of its own, for `bench_memory`: says how much memory it holds once its books live.

Arguments: a config file, the number of books (0: it only connects), and the file for the answer (JSON).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from nautilus_trader.model import BookType, OrderBookDeltas
from nautilus_trader.trading import Strategy, StrategyConfig

from venuekit.host.config import load_config
from venuekit.nautilus.node import VenueNode, run_until_signalled

SETTLE_SECS, LIMIT_SECS = 2.0, 60.0
UPDATES = 5


class BooksConfig(StrategyConfig):
    """How many books to hold."""

    books: int

    def __init__(self, *, books: int) -> None:
        self.books = books


class Books(Strategy):
    """Holds the books of the first instruments, kept by the engine."""

    updates: ClassVar[Counter[Any]] = Counter()

    def __init__(self, config: BooksConfig) -> None:
        super().__init__(config)
        self._books = config.books

    def on_start(self) -> None:
        """Every book is subscribed."""
        for instrument in self.cache.instruments()[: self._books]:
            self.subscribe_book_deltas(instrument.id, BookType.L2_MBP, managed=True)

    def on_book_deltas(self, deltas: OrderBookDeltas) -> None:
        """Counted."""
        self.updates[deltas.instrument_id] += 1


def resident_mib() -> float:
    """Memory of this process that is in use, in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(text[text.index("VmRSS:") + 6 :].split(None, 1)[0]) / 1024


def collection_ms() -> float:
    """The quickest of five whole collections, in which nothing else happens."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        gc.collect()
        took.append((time.perf_counter() - began) * 1e3)
    return min(took)


async def main(path: str, books: int) -> dict[str, float]:
    """One measurement."""
    # The node imports this file by its name: that module's counts are the ones that move.
    from memory_node import Books as Running

    node = VenueNode.from_config(load_config(Path(path)), post_stop_secs=0.1)
    running = asyncio.ensure_future(run_until_signalled(node))
    loop = asyncio.get_running_loop()
    end = loop.time() + LIMIT_SECS
    whole = 0
    while not running.done():
        whole = sum(1 for n in Running.updates.values() if n >= UPDATES)
        if node.handle.is_running and whole >= books:
            break
        assert loop.time() < end, f"{whole} of {books} books lived within {LIMIT_SECS} s"
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_SECS)
    gc.collect()
    held = sum(1 for instrument in node.cache.instruments() if node.cache.order_book(instrument.id))
    found = {"mib": resident_mib(), "books": held, "updates": Running.updates.total()}
    found["short_ms"] = collection_ms()
    gc.unfreeze()
    found["long_ms"] = collection_ms()
    node.handle.stop()
    await running
    node.dispose()
    return found


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
