"""A node as a process of its own, for `bench_node`: how long data of each kind was on its way to a strategy.

Arguments: a config file, and the file for the answer (JSON, nanoseconds by kind).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

from nautilus_trader.model import BookType, InstrumentId
from nautilus_trader.trading import Strategy, StrategyConfig

from venuekit.host.config import load_config
from venuekit.nautilus.node import VenueNode

IID = InstrumentId.from_str("BTC-USD-PERP.PARADEX")
WANTED = (
    "quote",
    "trade",
    "mark price",
    "index price",
    "funding rate",
    "book change of 6 levels",
    "book change of 50 levels",
    "book change of 200 levels",
)
SAMPLES, LIMIT_SECS = 250, 60.0


class Latency(Strategy):
    """`taken`: from the moment the frame was received to this strategy's handler, by kind."""

    taken: ClassVar[dict[str, list[int]]] = defaultdict(list)

    def __init__(self, config: StrategyConfig | None = None) -> None:
        super().__init__(config)

    def on_start(self) -> None:
        """Everything is subscribed."""
        self.subscribe_book_deltas(IID, BookType.L2_MBP, managed=True)
        self.subscribe_quotes(IID)
        self.subscribe_trades(IID)
        self.subscribe_mark_prices(IID)
        self.subscribe_index_prices(IID)
        self.subscribe_funding_rates(IID)

    def _note(self, kind: str, data: Any) -> None:
        self.taken[kind].append(time.time_ns() - data.ts_init)

    def on_book_deltas(self, deltas: Any) -> None:
        """A book."""
        self._note(f"book change of {len(deltas.deltas)} levels", deltas)

    def on_quote(self, quote: Any) -> None:
        """Best prices."""
        self._note("quote", quote)

    def on_trade(self, trade: Any) -> None:
        """A trade."""
        self._note("trade", trade)

    def on_mark_price(self, mark_price: Any) -> None:
        """A mark price."""
        self._note("mark price", mark_price)

    def on_index_price(self, index_price: Any) -> None:
        """An index price."""
        self._note("index price", index_price)

    def on_funding_rate(self, funding_rate: Any) -> None:
        """A funding rate."""
        self._note("funding rate", funding_rate)


async def main(path: str) -> dict[str, list[int]]:
    """One measurement."""
    # The node imports this file by its name: that module's strategy is the one that is told.
    from latency_node import Latency as Running

    node = VenueNode.from_config(load_config(Path(path)), post_stop_secs=0.1)
    running = asyncio.ensure_future(node.run())
    loop = asyncio.get_running_loop()
    end = loop.time() + LIMIT_SECS
    while not running.done() and any(len(Running.taken[kind]) < SAMPLES for kind in WANTED):
        assert loop.time() < end, {kind: len(found) for kind, found in Running.taken.items()}
        await asyncio.sleep(0.1)
    node.handle.stop()
    await running
    node.dispose()
    return {kind: Running.taken[kind] for kind in WANTED}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(main(sys.argv[1]))))
