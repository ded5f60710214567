"""Good input to start from: what stands in Paradex's test data, and its instruments as it loads them."""

from __future__ import annotations

import base64
import json
import logging
from collections import Counter
from collections.abc import Coroutine
from functools import cache
from pathlib import Path

from mutator import load
from venuekit_paradex.instruments import ParadexInstruments

from venuekit.core.symbols import Symbols
from venuekit.interfaces.request import Reply, Request, nothing_sent
from venuekit.runtime.clock import ManualClock

ROOT = Path(__file__).parents[2]
DATA = ROOT / "venues" / "paradex" / "tests" / "data"
TS = 1_791_421_539_000_000_000
QUIET = logging.getLogger("tests.fuzz")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False
MARKETS = {
    "BTC-USD-PERP": ("0.1", "0.00001"),
    "ETH-USD-PERP": ("0.01", "0.0001"),
    "kBONK-USD-PERP": ("0.000001", "1"),
}


class Tally(Counter[str]):
    """Counters."""

    def inc(self, name: str, n: int = 1) -> None:
        """See `Counters`."""
        self[name] += n


class OnePort:
    """A request port that gives the same reply to everything."""

    def __init__(self, body: bytes, status: int | str = 200) -> None:
        self.reply = Reply(status, body)
        self.asked = 0

    async def send(self, request: Request, *, on_sent: object = nothing_sent) -> Reply:
        """See `RequestPort`."""
        self.asked += 1
        return self.reply


def done[T](work: Coroutine[object, object, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise AssertionError("it waits, and nothing here could wake it")


@cache
def symbols() -> Symbols:
    """Three instruments; nothing of this changes them."""
    rows = [
        {
            "symbol": name,
            "base_currency": name.partition("-")[0],
            "quote_currency": "USD",
            "settlement_currency": "USDC",
            "order_size_increment": lot,
            "price_tick_size": tick,
            "asset_kind": "PERP",
        }
        for name, (tick, lot) in MARKETS.items()
    ]
    found = Symbols()
    source = ParadexInstruments(
        port=OnePort(json.dumps({"results": rows}).encode()),
        symbols=found,
        venue="PARADEX",
        clock=ManualClock(),
        counters=Tally(),
        log=QUIET,
    )
    assert len(done(source.load(None))) == len(rows)
    return found


@cache
def frames(*, private: bool) -> tuple[bytes, ...]:
    """SBE frames: all made ones on a private connection, on a public one the recorded ones beside them."""
    made = [
        base64.b64decode(row["b64"]) for row in json.loads((DATA / "sbe/frames.json").read_text())["frames"]
    ]
    if private:
        return tuple(made)
    recorded = [
        base64.b64decode(row["b64"])
        for name in ("book_deltas_btc", "bbo_btc")
        for row in json.loads((DATA / f"sbe/{name}.json").read_text())["frames"][:40]
        if row["opcode"] == "binary"
    ]
    return tuple(made + [frame for frame in recorded if len(frame) < 8_000])


@cache
def trees(*folders: str) -> tuple[object, ...]:
    """Every JSON file of these folders of the test data."""
    return tuple(
        load(path.read_text()) for folder in folders for path in sorted((DATA / folder).glob("*.json"))
    )


@cache
def named(*patterns: str) -> tuple[object, ...]:
    """The JSON files that fit a pattern such as `rest/get_orders*`; recorded REST bodies as they stand."""
    return tuple(load(path.read_text()) for one in patterns for path in sorted(DATA.glob(f"{one}.json")))
