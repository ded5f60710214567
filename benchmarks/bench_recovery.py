"""From the moment the last fault is lifted to a client that is whole again, on loopback.

Whole is: both books were published anew; orders, fills, balances and positions since the loss were read and
compared; submits are allowed. The simulator is another process, and trades go on in it. Two kinds of loss:
every connection reset at once, and a second in which nobody can connect, so that back-off counts as well.
Every loss meets a fresh client: back-off grows from loss to loss until a connection was healthy for long.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define, field
from nautilus_trader.model import AccountId, BookAction, InstrumentId, OrderBookDeltas
from simulated import ready_simulator

from venuekit.host.config import VenueConfig, parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.stream import DataKind, Want
from venuekit.runtime.clock import RealClock
from venuekit.runtime.execution import ExecutionService
from venuekit.transport.http import HttpxPort, httpx_port

INSTRUMENTS = tuple(InstrumentId.from_str(f"{name}-USD-PERP.PARADEX") for name in ("BTC", "ETH"))
CUTS, OUTAGES, OUTAGE_MS = 40, 12, 1_000
LIMIT_SECS = 60.0

type Loss = Callable[[HttpxPort], Awaitable[None]]


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 60 s."""
    with ready_simulator() as ready:
        cuts, outages = asyncio.run(_measure(ready))
    cut = f"whole again after a cut of every stream, of {CUTS}"
    outage = f"whole again after {OUTAGE_MS / 1e3:g} s without any connection, of {OUTAGES}"
    return [
        _row(f"{cut}, p50", _quantile(cuts, 0.5)),
        _row(f"{cut}, p99", _quantile(cuts, 0.99)),
        _row(f"{outage}, p50", _quantile(outages, 0.5)),
        _row(f"{outage}, p99", _quantile(outages, 0.99)),
    ]


def _row(name: str, ours: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "reference": None,
        "ratio": None,
        "unit": "s",
        "target": f"under {LIMIT_SECS:g} s",
        "ok": ours < LIMIT_SECS,
    }


def _quantile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@define
class _Books:
    """Which books began anew since `begin`."""

    missing: set[InstrumentId] = field(factory=set)

    def begin(self) -> None:
        """No book is whole."""
        self.missing = set(INSTRUMENTS)

    def instrument(self, instrument: object) -> None:
        """Not measured."""

    def data(self, obj: object) -> None:
        """A whole book begins by clearing."""
        if isinstance(obj, OrderBookDeltas) and obj.deltas[0].action is BookAction.CLEAR:
            self.missing.discard(obj.instrument_id)


class _Nobody:
    """An execution sink that ignores everything."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None


async def _measure(ready: dict[str, str]) -> tuple[list[float], list[float]]:
    """Seconds of every recovery, by kind of loss."""
    control = httpx_port(ready["control"], clock=RealClock(), timeouts_ms={}, options={})
    config = parse_config(ready["config_toml"]).venues[ready["venue"]]
    try:
        cuts = [await _after(_cut, control, config) for _ in range(CUTS)]
        return cuts, [await _after(_outage, control, config) for _ in range(OUTAGES)]
    finally:
        await control.close()


async def _after(loss: Loss, control: HttpxPort, config: VenueConfig) -> float:
    """Seconds from the end of the loss until a fresh client is whole again."""
    venue = OpenedVenue(config, clock=RealClock())
    await venue.open()
    books = _Books()
    data = venue.market_data(books)
    execution = venue.execution(_Nobody(), AccountId("PARADEX-001"))
    try:
        await data.start()
        await execution.start()
        books.begin()
        for iid in INSTRUMENTS:
            data.subscribe(Want(DataKind.BOOK_DELTAS, iid))
        await _until_whole(books, execution)
        await loss(control)
        begun = time.perf_counter()
        books.begin()
        await _until_whole(books, execution)
        return time.perf_counter() - begun
    finally:
        await execution.stop()
        await data.stop()
        await venue.close()


async def _until_whole(books: _Books, execution: ExecutionService) -> None:
    end = time.perf_counter() + LIMIT_SECS
    while books.missing or not execution.ready:
        assert time.perf_counter() < end, f"books {books.missing}, ready {execution.ready}"
        await asyncio.sleep(0.001)


async def _cut(control: HttpxPort) -> None:
    await _call(control, "drop_connections")


async def _outage(control: HttpxPort) -> None:
    await _call(control, "fault", kind="F01", trigger={"after_ms": 0}, lasts_ms=600_000)
    await _call(control, "drop_connections")
    await asyncio.sleep(OUTAGE_MS / 1e3)
    await _call(control, "clear_faults")


async def _call(control: HttpxPort, verb: str, **args: object) -> None:
    reply = await control.send(HttpRequest(verb, "POST", f"/{verb}", body=json.dumps(args).encode()))
    assert reply.status == 200, (verb, reply.status, reply.body)


if __name__ == "__main__":
    for row in rows():
        print(row)
