"""What a venue's simulator offers to the command line, the demo and the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from venuekit.interfaces.time import Clock


@frozen
class SimulatorInfo:
    """Where a running simulator listens; printed as one JSON line when it is ready."""

    venue: str
    """The key of the venue's descriptor, e.g. what stands under `[venues.<key>]`."""
    addresses: Mapping[str, str]
    """By the address names of the manifest's environment, for the config's `addresses`."""
    control: str
    """Base URL of the control door."""
    account: str
    """The simulator's own account, as its ledger and the venue name it."""
    config_toml: str
    """A node configuration that trades on this very simulator."""
    doors: Mapping[str, str] = field(factory=dict)
    """Further doors of the same exchange by name, for clients that do not speak the venue's protocol."""


class Simulator(Protocol):
    """A venue's wire protocol over the simulator kit."""

    async def start(self) -> SimulatorInfo:
        """Listening on loopback after this."""
        ...

    async def stop(self) -> None:
        """All connections closed, no task left."""
        ...


class SimulatorFactory(Protocol):
    """What a simulator descriptor's reference points at."""

    def __call__(self, *, clock: Clock, seed: int, port: int, options: Mapping[str, str]) -> Simulator:
        """A simulator that is not started; port 0 takes a free one."""
        ...

    def demo_key(self) -> str:
        """The key of the simulator's own account: public, worthless, derived from a constant."""
        ...
