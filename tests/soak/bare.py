"""What a bare Nautilus node, without venuekit, keeps of each order that ended: `python tests/soak/bare.py`.

Ended orders and account events are dropped as it goes. Resident memory counts, in bytes an order: as it is,
and with the allocator of Nautilus's native code told to give pages back at once.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "node"))

import bare_node as bare
from nautilus_trader import model
from nautilus_trader.live import LiveRiskEngineConfig
from node import resident
from slope import line
from trader import MOST_LOTS

KINDS = {
    "reject": "rejected",
    "cancel": "accepted, cancelled",
    "close positions": "filled, every second order closes the position, closed positions dropped",
    "close": "the same, closed positions kept",
    "open": "filled, one position stays open",
    "open state": "the same with an account state for each fill",
    "flip": "filled, every order turns the position round",
    "soak state": "as in a soak",
}
SHARES = (445, 1919, 4243)
"""Of a soak's orders: rejected, cancelled, filled."""
AT_ONCE = 5
ROUNDS = 20
IID = bare.instrument_id()
FREE = LiveRiskEngineConfig(max_order_submit_rate="100000/00:00:01")


class Bench:
    """Drives a node order by order; nothing of an ended order is held here."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.made = self.fills = self.held = 0
        self.random = Random(1)

    def submit(self, client: Any, command: Any) -> None:
        """The order has ended before this returns."""
        order, now = command.order, client.clock.timestamp_ns()
        client.generate_order_submitted(order)
        end = self.random.choices(("reject", "cancel", ""), SHARES)[0] if "soak" in self.words else ""
        if "reject" in (end, *self.words):
            client.generate_order_rejected(order, "no room", now, False)
            return
        client.generate_order_accepted(order, bare.venue_order_id_of(order), now)
        if "cancel" in (end, *self.words):
            client.generate_order_canceled(order, bare.venue_order_id_of(order), now)
        else:
            self.fill(client, order, now)

    def fill(self, client: Any, order: Any, now: int) -> None:
        """The order is filled, in a soak often in two pieces."""
        lots = int(order.quantity.as_decimal() * 1000)
        self.held += lots if order.side == model.OrderSide.BUY else -lots
        first = lots // 2 if "soak" in self.words and self.random.random() < 0.75 else 0
        fee = model.Money(0.01, bare.USD)
        for part in filter(None, (first, lots - first)):
            self.fills += 1
            trade, part_lots = model.TradeId(f"t-{self.fills}"), model.Quantity.from_str(f"{part / 1000:.3f}")
            what = order, bare.venue_order_id_of(order), None, trade, part_lots, order.price, bare.USD
            client.generate_order_filled(*what, fee, model.LiquiditySide.TAKER, now)
            if "state" in self.words:
                total = model.Money(1e6 - self.fills / 100, bare.USD)
                balance = model.AccountBalance(total, model.Money(0, bare.USD), total)
                client.generate_account_state([balance], [], True, now)

    def draw(self) -> tuple[model.OrderSide, int]:
        """Side and lots of the next order."""
        sells = self.made % 2 == 0 and ("close" in self.words or "flip" in self.words)
        lots = 20 if "flip" in self.words and self.made > 1 else 10
        if "soak" in self.words:
            sells = self.held > 0 if abs(self.held) > MOST_LOTS else self.random.random() < 0.5
            lots = self.random.randint(10, 40)
        return model.OrderSide.SELL if sells else model.OrderSide.BUY, lots

    async def round(self, rig: bare.Rig, orders: int) -> int:
        """Resident memory after so many more orders ended and were dropped."""
        me = rig.recorder
        for ended in range(AT_ONCE, orders + 1, AT_ONCE):
            for _ in range(AT_ONCE):
                self.made += 1
                side, lots = self.draw()
                quantity = model.Quantity.from_str(f"{lots / 1000:.3f}")
                me.submit_order(me.order_factory.limit(IID, side, quantity, model.Price.from_str("100.0")))
            await rig.until(lambda most=ended: rig.cache.orders_closed_count() == most)  # type: ignore[misc]
            me.seen.clear()
            rig.execution["V"].calls.clear()
        rig.cache.purge_closed_orders(time.time_ns(), 0)
        rig.cache.purge_account_events(time.time_ns(), 0)
        if "positions" in self.words:
            rig.cache.purge_closed_positions(time.time_ns(), 0)
        ctypes.CDLL(None).malloc_trim(0)
        return resident()


def measure(words: list[str], orders: int) -> str:
    """Bytes per order that a fresh node keeps; a first third fills its pools."""
    bench, found = Bench(words), []

    async def body(rig: bare.Rig) -> None:
        found.extend([await bench.round(rig, orders // ROUNDS) for _ in range(ROUNDS * 3 // 2)])

    rig = bare.build({"V": {"submit": bench.submit}}, risk_engine=FREE)
    bare.run(rig, body)
    # `line` speaks of hours: an order stands for one here.
    points = [(n * orders // ROUNDS * 3600.0, float(held)) for n, held in enumerate(found[ROUNDS // 2 :])]
    slope = line(points)
    return f"{slope.an_hour:,.0f} (within {slope.within:,.0f})"


def main() -> None:
    """A line for each kind of order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=6_600)
    parser.add_argument("--words", help="one kind only, in this process: " + ", ".join(KINDS))
    args = parser.parse_args()
    if args.words:
        print(measure(args.words.split(), args.orders))
        return
    for words, name in KINDS.items():
        command = [sys.executable, __file__, "--orders", str(args.orders), "--words", words]
        figures = [
            subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True, env=env)
            for env in (dict(os.environ), os.environ | {"MIMALLOC_PURGE_DELAY": "0"})
        ]
        print(f"{name:74}" + "".join(f"{one.stdout.strip():>26}" for one in figures), flush=True)


if __name__ == "__main__":
    main()
