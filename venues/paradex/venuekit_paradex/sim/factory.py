"""The simulator that `venuekit sim` and the demo start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit.interfaces.simulator import SimulatorInfo
from venuekit.sim.crowd import Crowd
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.faults import FaultPlan
from venuekit.sim.ledger import Ledger
from venuekit.sim.server import Server, ServerOptions
from venuekit_paradex.sim.desk import order_id
from venuekit_paradex.sim.markets import MARKETS, plan
from venuekit_paradex.sim.people import DEMO_KEY
from venuekit_paradex.sim.service import ParadexService
from venuekit_paradex.sim.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from venuekit.interfaces.time import Clock


class ParadexSimulator:
    """A Paradex that lives on loopback: one port for REST, streams and the control door."""

    def __init__(self, *, clock: Clock, seed: int, port: int, options: Mapping[str, str]) -> None:
        self.settings = parse_settings(options)
        self._clock = clock
        rules = Rules(client_ids="open")
        self.exchange = Exchange(clock, MARKETS, rules=rules, ids=order_id)
        self.ledger = Ledger(self.exchange, clock, frames=self.settings.frames)
        self.faults = FaultPlan(clock, seed)
        self.service = ParadexService(self.exchange, clock, self.settings, seed)
        self._crowds = [
            Crowd(self.exchange, clock, one.symbol, plan(one.symbol, self.settings), seed + number)
            for number, one in enumerate(MARKETS)
        ]
        self.server = Server(
            self.service,
            clock=clock,
            exchange=self.exchange,
            ledger=self.ledger,
            faults=self.faults,
            options=ServerOptions(
                port=port,
                stream_path="/v1",
                ping_ms=self.settings.ping_ms,
                pong_ms=self.settings.pong_ms,
                backlog=self.settings.backlog,
            ),
        )

        self.service.cut = self.server.cut

    async def start(self) -> SimulatorInfo:
        """Listening on loopback, the demo account onboarded and funded, the crowd trading."""
        account = self.service.register.demo(self._clock.wall_ns()).account
        self.service.enter(account)
        if self.settings.liquidity:
            for crowd in self._crowds:
                crowd.start()
        self.service.feed.start()
        await self.server.start()
        addresses = {"rest": f"{self.server.http_url}/v1", "stream": f"{self.server.ws_url}/v1"}
        return SimulatorInfo(
            venue="paradex",
            addresses=addresses,
            control=self.server.control_url,
            account=account,
            config_toml=demo_config(addresses, account),
        )

    async def stop(self) -> None:
        """Every connection closed, no timer or task left."""
        for crowd in self._crowds:
            crowd.stop()
        self.service.feed.stop()
        await self.server.stop()


class ParadexSimulatorFactory:
    """Makes simulators, and names the key of their own account."""

    def __call__(self, *, clock: Clock, seed: int, port: int, options: Mapping[str, str]) -> ParadexSimulator:
        """A simulator that is not started."""
        return ParadexSimulator(clock=clock, seed=seed, port=port, options=options)

    def demo_key(self) -> str:
        """Private key of the demo account as hex: public, worthless, made from a constant."""
        return f"{DEMO_KEY:064x}"


SIMULATOR = ParadexSimulatorFactory()
"""What the plugin's descriptor points at."""


def demo_config(addresses: Mapping[str, str], account: str) -> str:
    """A node configuration that trades on the simulator at these addresses with the demo key."""
    return f"""\
[node]
name = "demo"
trader_id = "DEMO-001"

[venues.paradex]
environment = "simulator"
execution = true
# The simulator's own account: its key is public and worth nothing.
account = "{account}"
key = "cmd:venuekit sim paradex --demo-key"

[venues.paradex.addresses]
rest = "{addresses["rest"]}"
stream = "{addresses["stream"]}"

[[strategies]]
path = "venuekit.nautilus.quoting:QuotingStrategy"
config_path = "venuekit.nautilus.quoting:QuotingConfig"
config = {{ instruments = ["BTC-USD-PERP.PARADEX", "ETH-USD-PERP.PARADEX"] }}
"""
