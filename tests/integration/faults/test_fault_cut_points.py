"""Every fault at every cut point of an order's life, in virtual time; the ledger is the judge of each cell.

A cell arms one fault at one cut point, gives one command, lifts the fault once it has acted, and then ledger
and engine must agree within a minute, with at most one order a name.
"""

from __future__ import annotations

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import until
from virtual_rig import Killed, World, run_virtual

from venuekit.errors import VenuekitError

FAULTS: dict[str, dict[str, object]] = {
    "reset": {"kind": "F05"},
    "closed": {"kind": "F06", "code": 1012},
    "half open": {"kind": "F07"},
    "mute": {"kind": "F08"},
    "token expired": {"kind": "F21"},
    "clock an hour forward": {"kind": "F22", "shift_ms": 3_600_000},
    "clock an hour back": {"kind": "F22", "shift_ms": -3_600_000},
    "blocked for a second": {"kind": "F23", "delay_ms": 1_000},
    "blocked for a minute": {"kind": "F23", "delay_ms": 60_000},
    "killed": {"kind": "F24"},
}
LOW = "79400.0"
ORDERS = '*"order.*'
CUTS = {"C1": ORDERS, "C2": ORDERS, "C4": "reply:order.*", "C5": "*", "C6": "*", "C7": "*", "C8": "*"}
REACHED = {
    "resting": {"C1", "C2", "C4", "C5"},
    "aggressive": {"C1", "C2", "C4", "C5", "C6"},
    "cancel": {"C1", "C2", "C4", "C7", "C8"},
}
"""Where a command passes: an order that nobody takes has no fills, and is cancelled by nobody."""


async def alive(world: World) -> None:
    """There is a client that trades."""
    for _ in range(5):
        if world.alive:
            break
        try:
            await world.start(data=False)
        except (Killed, VenuekitError):
            await world.kill()
    await world.rig.live()


async def settled(world: World) -> None:
    """Ledger and engine agree and no fate is unknown."""
    await alive(world)
    world.rig.service.query_account()
    await world.rig.settle(60)
    waiting = (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL)
    orders = world.rig.engine.orders.values()
    await until(lambda: not [one for one in orders if one.status in waiting], "no fate is unknown", 60, 0.1)


async def cell(world: World, cut: str, command: str, name: str, fault: dict[str, object]) -> None:
    """One fault at one cut point of one command."""
    rig, x = world.rig, world.x
    # Below what earlier cells may have left to sell.
    order = await rig.accepted(name, price=LOW) if command == "cancel" else None
    if command == "aggressive":
        for price in ("79990.0", "79995.0"):
            x.counter("SELL", "0.004", price)
    number = x.fault(**fault, trigger={"cut": cut}, label=CUTS[cut])
    before = x.acted()
    if order is not None:
        rig.cancel(order)
    else:
        rig.submit(name, price="80000.0" if command == "aggressive" else LOW)
    await until(lambda: x.acted() > before, f"{cut} of {name} is reached", 30, 0.01)
    # A stream that was silenced works again only when it is another one.
    if fault["kind"] not in ("F07", "F08"):
        x.simulator.faults.lift(number)
    await world.wait(5)
    await settled(world)
    x.lift()
    # A refused token proves that nothing happened: then it is sent again, with another one.
    assert x.submits(name) <= (2 if fault["kind"] == "F21" else 1), "nothing is sent again blindly"
    for one in list(world.rig.engine.orders.values()):
        if one.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
            world.rig.cancel(one)
    await settled(world)
    # The next cell begins without the back-off that this one earned.
    await world.wait(90)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_cut_point(fault: str) -> None:
    reached: list[str] = []

    async def body(world: World) -> None:
        for command, cuts in REACHED.items():
            for cut in sorted(cuts):
                name = f"{cut}-{command}"
                try:
                    await cell(world, cut, command, name, FAULTS[fault])
                except AssertionError as error:
                    raise AssertionError(f"{fault} at {cut} of {command}: {error}") from error
                reached.append(name)

    run_virtual(1, body, data=False, secs=20_000)
    assert len(reached) == 14


AT_START: dict[str, dict[str, object]] = {
    "killed": {"kind": "F24"},
    "reset": {"kind": "F05"},
    "cut off": {"kind": "F12", "keep_bytes": 5},
    "refused": {"kind": "F19", "status": 503},
    "late": {"kind": "F20", "delay_ms": 30_000},
    "blocked for a minute": {"kind": "F23", "delay_ms": 60_000},
    "clock an hour back": {"kind": "F22", "shift_ms": -3_600_000},
}


async def start_with(world: World, fault: dict[str, object], n: int) -> bool:
    """A client that knows three orders dies; the next one meets the fault at its n-th request, if it has one.

    In between one order was filled in part, and one may or may not have arrived.
    """
    x = world.x
    rig = await world.start(data=False)
    await rig.accepted("O-1", price=LOW)
    await rig.accepted("O-2", price=LOW)
    x.cross("O-1", "0.004")
    rig.submit("O-3", price=LOW)
    await world.wait(0.0006)
    await world.kill()
    x.cross("O-2", "0.005")
    x.fault(**fault, trigger={"cut": "C10", "n": n})
    try:
        await world.start(data=False)
    except (Killed, VenuekitError):
        # It may fail, as long as the one after it finds everything.
        await world.kill()
    acted = x.acted() > 0
    x.lift()
    await settled(world)
    assert x.submits("O-3") == 1
    return acted


@pytest.mark.parametrize("fault", AT_START)
def test_a_fault_at_every_request_of_a_start(fault: str) -> None:
    met = []

    async def body(world: World) -> None:
        met.append(await start_with(world, AT_START[fault], len(met) + 1))

    while not met or met[-1]:
        run_virtual(len(met), body, start=False, data=False)
    assert len(met) > 10, "a start asks for more than ten things"
