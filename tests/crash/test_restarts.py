"""A second run over the journal of the first, in one process: what it takes over, and what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve
from nautilus_trader.model import OrderStatus
from paradex_rig import exchange, opened, until

from venuekit.errors import CaptureError, ConfigError
from venuekit.host.open import OpenedVenue
from venuekit.runtime.clock import RealClock
from venuekit.runtime.journal_file import FileJournal, Owner

OWNER = Owner("PARADEX", "local", "0x1")


def test_an_order_is_taken_over_and_its_id_is_not_used_again(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"

    async def main() -> None:
        async with exchange() as x:
            rig = await opened(x, journal=FileJournal.opened(path, OWNER))
            await rig.start()
            await rig.accepted("O-1")
            ended = await rig.accepted("O-2", "BUY", "0.01", "79000.0")
            rig.cancel(ended)
            await rig.status(ended, "CANCELED")
            await rig.stop()

            journal = FileJournal.opened(path, OWNER)
            assert [one.intent.facts.client_order_id for one in journal.open_intents()] == ["O-1"]
            again = await opened(x, journal=journal)
            try:
                await again.start()
                mine = again.engine.orders["O-1"]
                assert mine.status == OrderStatus.ACCEPTED
                for name in ("O-1", "O-2"):
                    assert again.service.commands._deny_twice(again.make(name)), "an id of the run before"
                assert again.service.commands._deny_twice(again.make("O-3")) is None
                x.cross("O-1")
                await again.status(mine, "FILLED")
                await until(lambda: not journal.open_intents(), "the journal is closed")
                await again.settle()
            finally:
                await again.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


def test_a_full_disk_stops_orders_and_not_cancels(tmp_path: Path) -> None:
    async def main() -> None:
        async with exchange() as x:
            journal = FileJournal.opened(tmp_path / "a.journal", OWNER)
            rig = await opened(x, journal=journal)
            try:
                await rig.start()
                order = await rig.accepted("O-1")
                # No page more, and the one in use is filled up.
                journal._db.execute("PRAGMA max_page_count=1")
                with pytest.raises(CaptureError):
                    for number in range(1_000):
                        journal.filled(None, f"t{number}", 1)
                refused = rig.submit("O-2")
                await rig.status(refused, "REJECTED")
                assert x.submits("O-2") == 0
                rig.cancel(order)
                await rig.status(order, "CANCELED")
                assert rig.count("journal.failed") > 0
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


def test_a_second_node_of_one_config_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with exchange() as x:
            rig = await opened(x)
            config = evolve(rig.venue.config, journal="journals", base=tmp_path)
            await rig.venue.close()
            first, second = (OpenedVenue(config, clock=RealClock()) for _ in range(2))
            await first.open()
            await second.open()
            try:
                service = first.execution(rig.engine, rig.engine.account_id)
                (path,) = (tmp_path / "journals").glob("*.journal")
                assert x.account[:8] in path.name
                with pytest.raises(ConfigError, match="in use by another node"):
                    second.execution(rig.engine, rig.engine.account_id)
                await service.stop()
                await second.execution(rig.engine, rig.engine.account_id).stop()
            finally:
                await first.close()
                await second.close()

    asyncio.run(asyncio.wait_for(main(), 40))
