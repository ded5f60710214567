"""Orders of an earlier run that the venue shows after the next one began: each finds its own strategy."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model import ClientOrderId, StrategyId
from nautilus_trader.trading import Strategy
from paradex_rig import BTC, KEY_VARIABLE, exchange
from venuekit_paradex.sim import SIMULATOR

from venuekit.host.config import load_config
from venuekit.nautilus.node import VenueNode
from venuekit.runtime.journal import Intent, OrderFacts
from venuekit.runtime.journal_file import FileJournal, Owner

OWNERS = {"O-20260101-000000-001-001-1": "FIRST-001", "O-20260101-000000-001-002-1": "SECOND-002"}
STRANGER = "HAND-1"


class Listener(Strategy):
    """Trades nothing."""


def left_behind(folder: Path, account: str) -> None:
    """A journal of a run that ended when its submits were on their way."""
    owner = Owner("PARADEX", "simulator", account)
    journal = FileJournal.opened(folder / owner.file_name(), owner, upkeep=False)
    for name, strategy in OWNERS.items():
        facts = OrderFacts(
            name, strategy, f"{BTC}.PARADEX", "BUY", "LIMIT", "GTC", quantity="0.01000", price="70000.0"
        )
        journal.intent([Intent("submit", "place", facts, {"client_order_id": name}, time.time_ns())])
    journal.close()


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.005)


@pytest.mark.timeout(90)
def test_what_becomes_visible_after_the_start_goes_to_its_owner(tmp_path: Path) -> None:
    os.environ[KEY_VARIABLE] = SIMULATOR.demo_key()

    async def main() -> None:
        async with exchange() as x:
            text = x.info.config_toml.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
            text = text.replace("[venues.paradex]", '[venues.paradex]\njournal = "journals"', 1)
            path = tmp_path / "node.toml"
            path.write_text(text, encoding="utf-8")
            left_behind(tmp_path / "journals", x.account)
            config = evolve(load_config(path, flags=["node.log_level=OFF"]), strategies=())
            traders = [Listener(StrategyConfig(strategy_id=StrategyId(one))) for one in OWNERS.values()]
            node = VenueNode.from_config(config, strategies=traders, post_stop_secs=0.1)
            running = asyncio.ensure_future(node.run())
            try:
                await until(lambda: all(one.is_running() for one in traders) or running.done(), "running")
                assert not node.cache.orders()
                for name in (*OWNERS, STRANGER):
                    x.external("BUY", "0.01", "70000.0", client_id=name)
                names = {name: ClientOrderId(name) for name in (*OWNERS, STRANGER)}
                await until(lambda: all(node.cache.order(one) for one in names.values()), "all orders")
                found = {name: str(node.cache.order(one).strategy_id) for name, one in names.items()}
                assert found == {**OWNERS, STRANGER: "EXTERNAL"}
                # And from then on it is an order like any other of its strategy.
                traders[1].cancel_order(names["O-20260101-000000-001-002-1"])
                await until(
                    lambda: node.cache.order(names["O-20260101-000000-001-002-1"]).is_closed, "the cancel"
                )
                assert not node.cache.order(names["O-20260101-000000-001-001-1"]).is_closed
            finally:
                node.handle.stop()
                ending = await running
                node.dispose()
            assert ending.code == 0, ending

    asyncio.run(main())
