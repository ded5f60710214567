"""A node with a journal in a file, in its own process, that is killed: by itself or from outside.

Says what happens as JSON lines: `agreed` once the simulator's ledger, the engine's cache and the journal say
the same (after whatever the last run left), `differs` when they do not in time, `trading` when it goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity, StrategyId, Venue
from nautilus_trader.trading import Strategy

from venuekit.cli.audit import OPEN, compare, read_cache, read_ledger
from venuekit.cli.demo_run import ledger
from venuekit.host.config import load_config
from venuekit.host.open import OpenedVenue
from venuekit.nautilus.node import VenueNode
from venuekit.runtime.clock import RealClock
from venuekit.runtime.journal_entries import replay
from venuekit.runtime.journal_file import FileJournal, read_entries, read_only
from venuekit.runtime.session import Session
from venuekit.transport.http import httpx_port

MARKETS = {"BTC-USD-PERP": ("0.01", "80000.0", "79000.0"), "ETH-USD-PERP": ("0.1", "4000.00", "3900.00")}
AGREE_SECS = 20.0


def say(word: str, **facts: object) -> None:
    print(json.dumps({"event": word, **facts}), flush=True)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


OWNERS = {"001": "TRADER-001", "002": "OTHER-002"}
"""Two strategies trade both markets; the tag is part of the client order ids that Nautilus makes."""


class Trader(Strategy):
    """Does what the driver says."""


def owner_by_name(client_order_id: str) -> str:
    """Whose order this is by its name; all but ours have other names."""
    parts = client_order_id.split("-")
    return OWNERS[parts[4]] if parts[0] == "O" else "EXTERNAL"


def hurry() -> None:
    """The simulator answers at once: what the venue may take seconds for takes milliseconds here."""
    make = OpenedVenue.__init__

    def made(self: OpenedVenue, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        quick = evolve(self.manifest.semantics, lookup_settles_ms=150, history_lag_ms=300)
        self.manifest = evolve(self.manifest, semantics=quick)

    OpenedVenue.__init__ = made  # type: ignore[method-assign]


def arm(point: str, nth: int, only: Callable[[], bool]) -> None:
    """The process dies at the `nth` passing of a point: `intent:before`, ..., `closed:after`, `wire`."""
    left = [nth]

    def due() -> bool:
        if only():
            left[0] -= 1
            return left[0] == 0
        return False

    name, _, when = point.partition(":")
    if name == "wire":
        send = Session.send

        def sent(self: Session, frame: Any) -> None:
            send(self, frame)
            if b"order." in (frame.encode() if isinstance(frame, str) else bytes(frame)) and due():
                # Zero to five milliseconds later: before the reply, in the midst of it, or after it.
                asyncio.get_running_loop().call_later(nth % 6 / 1000, die)

        Session.send = sent  # type: ignore[method-assign]
    elif name != "none":
        method = getattr(FileJournal, name)

        def wrapped(self: FileJournal, *args: Any) -> None:
            here = due()
            if here and when == "before":
                die()
            method(self, *args)
            if here:
                die()

        setattr(FileJournal, name, wrapped)


def truth(rows: dict[str, list[dict[str, Any]]], account: str, known: set[str]) -> Any:
    """The ledger as the engine names things, without orders that began and ended unseen and unfilled."""
    fills = [{**row, "client_id": row["client_id"] or f"PARADEX-{row['order_id']}"} for row in rows["fills"]]
    orders = [{**row, "client_id": row["client_id"] or f"PARADEX-{row['id']}"} for row in rows["orders"]]
    orders = [
        row for row in orders if row["client_id"] in known or row["status"] in OPEN or Decimal(row["filled"])
    ]
    return read_ledger({**rows, "orders": orders, "fills": fills}, account)


def remembered(folder: Path) -> set[str]:
    """The orders that the journal holds open."""
    (path,) = folder.glob("*.journal")
    with closing(read_only(path)) as db:
        state = replay(entry for entry, sound in read_entries(db) if sound)
    return {entry.intent.facts.client_order_id for entry in state.memory.open_intents()}


class Driver:
    """Waits for agreement, then trades until it is killed."""

    def __init__(
        self,
        node: VenueNode,
        traders: list[Trader],
        control: Any,
        account: str,
        folder: Path,
        seed: int,
    ) -> None:
        self.node, self.control, self.account, self.folder = node, control, account, folder
        self.random = Random(seed)
        self.traders = traders
        self.trading = False

    async def differences(self) -> list[str]:
        """What does not agree, now."""
        rows = await ledger(self.control)
        belief = read_cache(self.node.cache, Venue("PARADEX"))
        found = compare(truth(rows, self.account, {one.client_order_id for one in belief.orders}), belief)
        wrong = [] if found.none else [str(found)]
        mine = [row for row in rows["orders"] if row["account"] == self.account and row["client_id"]]
        names = Counter(row["client_id"] for row in mine)
        wrong += [
            f"{name} exists {n} times: {[row for row in mine if row['client_id'] == name]}"
            for name, n in names.items()
            if n > 1
        ]
        living = {row["client_id"] for row in mine if row["status"] in OPEN}
        ours = {name for name in living if name.startswith("O-")}
        wrong += self.misplaced(rows)
        if (open_here := remembered(self.folder)) != ours:
            wrong.append(f"journal {sorted(open_here - ours)}, venue {sorted(ours - open_here)}")
        return wrong

    def misplaced(self, rows: dict[str, list[dict[str, Any]]]) -> list[str]:
        """Orders and positions that another strategy has than the one whose they are."""
        cache = self.node.cache
        wrong = [
            f"{one.client_order_id} belongs to {one.strategy_id}"
            for one in cache.orders()
            if str(one.strategy_id) != owner_by_name(str(one.client_order_id))
        ]
        true: Counter[tuple[str, str]] = Counter()
        for row in rows["fills"]:
            if row["account"] == self.account:
                size = Decimal(row["quantity"]) * (1 if row["side"] == "BUY" else -1)
                true[owner_by_name(row["client_id"]), row["market"]] += size  # type: ignore[assignment]
        held: Counter[tuple[str, str]] = Counter()
        for one in cache.positions_open():
            size = one.quantity.as_decimal() * (1 if one.is_long else -1)
            held[str(one.strategy_id), str(one.instrument_id.symbol)] += size  # type: ignore[assignment]
        keys = sorted(true.keys() | held.keys())
        return wrong + [
            f"{key}: {true[key]} in truth, {held[key]} held" for key in keys if true[key] != held[key]
        ]

    def events(self) -> list[str]:
        """What the engine has of every order, to see what went wrong."""
        orders = sorted(self.node.cache.orders(), key=lambda one: one.ts_init)
        told = [f"{one.client_order_id} {one.tags} {list(map(str, one.events()))}" for one in orders]
        return told + [str(one) for one in self.node.cache.positions()]

    async def agree(self) -> bool:
        end = time.monotonic() + AGREE_SECS
        while wrong := await self.differences():
            if time.monotonic() > end:
                counts = {name: one.snapshot() for name, one in self.node.counters.items()}
                say("differs", wrong=wrong, counters=counts, events=self.events())
                return False
            await asyncio.sleep(0.05)
        orders = self.node.cache.orders()
        owners = Counter(str(one.strategy_id) for one in orders if str(one.client_order_id).startswith("O-"))
        counts = self.node.counters["paradex"].snapshot()
        say(
            "agreed",
            orders=len(orders),
            owners=owners,
            alarms={name: n for name, n in counts.items() if name.startswith("alarms.")},
            open_intents=counts.get("journal.open_intents", 0),
        )
        return True

    async def run(self, rounds: int) -> None:
        while not self.node.handle.is_running:  # noqa: ASYNC110 - Nautilus offers no event for it
            await asyncio.sleep(0.01)
        if await self.agree():
            self.trading = True
            say("trading")
            for _ in range(rounds):
                self.act()
                await asyncio.sleep(self.random.choice((0.0, 0.001, 0.005, 0.02)))

    def act(self) -> None:
        """A market order, one that takes, one that rests, or a cancel."""
        draw, trader = self.random.random(), self.random.choice(self.traders)
        market = self.random.choice(list(MARKETS))
        iid = InstrumentId.from_str(f"{market}.PARADEX")
        size, near, far = MARKETS[market]
        instrument = trader.cache.instrument(iid)
        quantity = Quantity(float(size), instrument.size_precision)
        resting = trader.cache.orders_open(strategy_id=trader.strategy_id)
        if draw < 0.3 and resting:
            trader.cancel_order(self.random.choice(resting).client_order_id)
            return
        side = self.random.choice((OrderSide.BUY, OrderSide.SELL))
        factory = trader.order_factory
        if draw < 0.5:
            trader.submit_order(factory.market(iid, side, quantity))
            return
        price = far if draw < 0.85 else near
        if side == OrderSide.SELL:
            price = str(2 * Decimal(near) - Decimal(price))
        limit = Price(float(price), instrument.price_precision)
        trader.submit_order(factory.limit(iid, side, quantity, limit))


async def main(
    path: Path, control_url: str, account: str, point: str, nth: int, rounds: int, seed: int
) -> int:
    flags = ["node.log_level=OFF", "venues.paradex.recv_window_ms=1500"]
    config = evolve(load_config(path, flags=flags), strategies=())
    traders = [Trader(StrategyConfig(strategy_id=StrategyId(one))) for one in OWNERS.values()]
    node = VenueNode.from_config(config, strategies=traders)
    control = httpx_port(control_url, clock=RealClock(), timeouts_ms={}, options={})
    driver = Driver(node, traders, control, account, path.parent / "journals", seed)
    hurry()
    arm(point, nth, lambda: driver.trading)
    driving = asyncio.create_task(driver.run(rounds))
    driving.add_done_callback(lambda _: node.handle.stop())
    ending = await node.run()
    await driving
    await control.close()
    node.dispose()
    say("ended", code=ending.code, message=ending.message)
    return ending.code


if __name__ == "__main__":
    config, url, owner, where, *numbers = sys.argv[1:]
    sys.exit(asyncio.run(main(Path(config), url, owner, where, *map(int, numbers))))
