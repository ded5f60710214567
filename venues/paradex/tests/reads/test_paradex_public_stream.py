"""The public stream: the SBE version asked for, and a stream of which nothing is wanted.

Served versions bring data, a refused one ends with what to change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nautilus_trader.model import QuoteTick
from venuekit_paradex.sim import SIMULATOR

from venuekit.core.connection import SessionState
from venuekit.errors import Refused
from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.stream import DataKind, Want
from venuekit.runtime.clock import RealClock
from venuekit.runtime.market_data import MarketDataService


class Sink:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[object] = asyncio.Queue()

    def instrument(self, instrument: object) -> None:
        pass

    def data(self, obj: object) -> None:
        self.got.put_nowait(obj)


@asynccontextmanager
async def public_data(sink: Sink, *, asked: int = 2, **options: str) -> AsyncIterator[MarketDataService]:
    """Market data that asks for one SBE version of a simulator with these options; started, for 20 s."""
    clock = RealClock()
    simulator = SIMULATOR(clock=clock, seed=1, port=0, options=options)
    info = await simulator.start()
    text = (
        f'[venues.paradex]\nenvironment = "simulator"\nsbe_version = {asked}\n'
        f'addresses.rest = "{info.addresses["rest"]}"\naddresses.stream = "{info.addresses["stream"]}"\n'
    )
    config = parse_config(text, flags=["venues.paradex.execution=false"])
    venue = OpenedVenue(config.venues["paradex"], clock=clock)
    try:
        await venue.open()
        service = venue.market_data(sink)
        try:
            async with asyncio.timeout(20):
                await service.start()
                yield service
        finally:
            await service.stop()
    finally:
        await venue.close()
        await simulator.stop()


async def first_quote(instrument_id, asked: int, served: int) -> object:
    """The first quote of a session that asks for one version of a venue that serves up to another."""
    sink = Sink()
    async with public_data(sink, asked=asked, sbe_max=str(served)) as service:
        service.subscribe(Want(DataKind.QUOTES, instrument_id))
        return await sink.got.get()


async def idle_then_wanted(instrument_id) -> tuple[list[str], object]:
    """The states told until the stream rests, and the first quote after that."""
    sink, told, rests = Sink(), [], asyncio.Event()

    def on_state(state: SessionState, reason: str) -> None:
        told.append(f"{state.value}: {reason}")
        if state is SessionState.RESTING:
            rests.set()

    async with public_data(sink, idle_secs="1") as service:
        service.sessions[0].listen(on_state)
        await rests.wait()
        service.subscribe(Want(DataKind.QUOTES, instrument_id))
        return told, await sink.got.get()


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_served_version_brings_quotes(kit, version):
    assert isinstance(asyncio.run(first_quote(kit.BTC, version, 2)), QuoteTick)


def test_a_refused_version_says_what_to_change(kit, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(Refused) as caught:
        asyncio.run(first_quote(kit.BTC, 2, 1))
    assert caught.value.code == "400"
    assert "sbe_version" in caught.value.hint
    assert any("SBE version 2" in record.getMessage() for record in caplog.records)


def test_a_stream_without_a_topic_rests_until_something_is_subscribed(kit):
    """The venue closes it (4031), and would close the next one too."""
    told, first = asyncio.run(idle_then_wanted(kit.BTC))
    assert told[:2] == ["backing_off: no active subscription", "resting: nothing is subscribed"]
    assert isinstance(first, QuoteTick)
