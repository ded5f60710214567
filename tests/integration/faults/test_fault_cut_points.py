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
