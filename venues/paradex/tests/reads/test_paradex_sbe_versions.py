"""The SBE version asked for: served ones bring data, a refused one ends with what to change."""

from __future__ import annotations

import asyncio
import logging

import pytest
from nautilus_trader.model import QuoteTick
from venuekit_paradex.sim import SIMULATOR

from venuekit.errors import Refused
from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.stream import DataKind, Want
from venuekit.runtime.clock import RealClock


class Sink:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[object] = asyncio.Queue()

    def instrument(self, instrument: object) -> None:
        pass

    def data(self, obj: object) -> None:
        self.got.put_nowait(obj)


async def first_quote(instrument_id, asked: int, served: int) -> object:
    """The first quote of a session that asks for one version of a venue that serves up to another."""
    clock = RealClock()
    simulator = SIMULATOR(clock=clock, seed=1, port=0, options={"sbe_max": str(served)})
    info = await simulator.start()
    text = (
        f'[venues.paradex]\nenvironment = "simulator"\nsbe_version = {asked}\n'
        f'addresses.rest = "{info.addresses["rest"]}"\naddresses.stream = "{info.addresses["stream"]}"\n'
    )
    sink = Sink()
    config = parse_config(text, flags=["venues.paradex.execution=false"])
    venue = OpenedVenue(config.venues["paradex"], clock=clock)
    try:
        await venue.open()
        service = venue.market_data(sink)
        try:
            async with asyncio.timeout(20):
                await service.start()
                service.subscribe(Want(DataKind.QUOTES, instrument_id))
                return await sink.got.get()
        finally:
            await service.stop()
    finally:
        await venue.close()
        await simulator.stop()


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_served_version_brings_quotes(kit, version):
    assert isinstance(asyncio.run(first_quote(kit.BTC, version, 2)), QuoteTick)


def test_a_refused_version_says_what_to_change(kit, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(Refused) as caught:
        asyncio.run(first_quote(kit.BTC, 2, 1))
    assert caught.value.code == "400"
    assert "sbe_version" in caught.value.hint
    assert any("SBE version 2" in record.getMessage() for record in caplog.records)
