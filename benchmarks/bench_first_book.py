"""From `subscribe` to the first whole book, against the Paradex simulator in its own process on loopback."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from attrs import define, evolve, field
from nautilus_trader.model import BookAction, InstrumentId, OrderBookDeltas
from simulated import simulated

from venuekit.host.config import VenueConfig
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.stream import DataKind, Want
from venuekit.runtime.clock import RealClock

INSTRUMENTS = ("BTC-USD-PERP.PARADEX", "ETH-USD-PERP.PARADEX")
ROUNDS = 15
LIMIT_MS = 200


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 5 s."""
    with simulated() as config:
        times = asyncio.run(_measure(evolve(config, execution=False)))
    return [
        _row("subscribe to first whole book, p50", median(times)),
        _row(f"subscribe to first whole book, worst of {len(times)}", max(times)),
    ]


def _row(name: str, ours: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "reference": None,
        "ratio": None,
        "unit": "ms",
        "target": f"under {LIMIT_MS} ms",
        "ok": ours < LIMIT_MS,
    }


@define
class _FirstBooks:
    """Notes when the first piece of each book came; a book that is not whole publishes nothing."""

    came: dict[InstrumentId, asyncio.Future[float]] = field(factory=dict)

    def instrument(self, instrument: object) -> None:
        """Instruments are not measured."""

    def data(self, obj: object) -> None:
        """One piece of data."""
        if isinstance(obj, OrderBookDeltas):
            came = self.came.get(obj.instrument_id)
            if came is not None and not came.done():
                assert obj.deltas[0].action is BookAction.CLEAR, "a whole book starts by clearing"
                came.set_result(time.perf_counter())


async def _measure(config: VenueConfig) -> list[float]:
    """Milliseconds of every subscription, on an open connection."""
    sink = _FirstBooks()
    venue = OpenedVenue(config, clock=RealClock())
    await venue.open()
    service = venue.market_data(sink)
    times: list[float] = []
    try:
        await service.start()
        for _ in range(ROUNDS):
            for text in INSTRUMENTS:
                want = Want(DataKind.BOOK_DELTAS, InstrumentId.from_str(text))
                came = sink.came[want.instrument_id] = asyncio.get_running_loop().create_future()
                started = time.perf_counter()
                service.subscribe(want)
                times.append((await asyncio.wait_for(came, 10) - started) * 1e3)
                service.unsubscribe(want)
                # The unsubscribe is answered before the next round asks again.
                await asyncio.sleep(0.05)
    finally:
        await service.stop()
        await venue.close()
    return times


if __name__ == "__main__":
    for row in rows():
        print(row)
