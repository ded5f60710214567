"""A public stream without a topic: the venue closes it (4031), and it stays closed until one is wanted."""

from __future__ import annotations

import asyncio

from nautilus_trader.model import QuoteTick
from venuekit_paradex.sim import SIMULATOR

from venuekit.core.connection import SessionState
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


async def idle_then_wanted(instrument_id) -> tuple[list[str], object]:
    """The states told until the stream rests, and the first quote after that."""
    clock = RealClock()
    simulator = SIMULATOR(clock=clock, seed=1, port=0, options={"idle_secs": "1"})
    info = await simulator.start()
    text = (
        f'[venues.paradex]\nenvironment = "simulator"\n'
        f'addresses.rest = "{info.addresses["rest"]}"\naddresses.stream = "{info.addresses["stream"]}"\n'
    )
    config = parse_config(text, flags=["venues.paradex.execution=false"])
    venue, sink = OpenedVenue(config.venues["paradex"], clock=clock), Sink()
    told: list[str] = []
    rests = asyncio.Event()

    def on_state(state: SessionState, reason: str) -> None:
        told.append(f"{state.value}: {reason}")
        if state is SessionState.RESTING:
            rests.set()

    try:
        await venue.open()
        service = venue.market_data(sink)
        try:
            async with asyncio.timeout(20):
                await service.start()
                service.sessions[0].listen(on_state)
                await rests.wait()
                service.subscribe(Want(DataKind.QUOTES, instrument_id))
                return told, await sink.got.get()
        finally:
            await service.stop()
    finally:
        await venue.close()
        await simulator.stop()


def test_it_rests_until_something_is_subscribed(kit):
    told, first = asyncio.run(idle_then_wanted(kit.BTC))
    assert told[:2] == ["backing_off: no active subscription", "resting: nothing is subscribed"]
    assert isinstance(first, QuoteTick)
