"""The simulator that `venuekit sim` and the demo start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit.errors import VenuekitError
from venuekit.interfaces.simulator import SimulatorInfo
from venuekit.sim.crowd import Crowd
from venuekit.sim.exchange import Exchange, Rules
from venuekit.sim.faults import IN_PIPES, PRODUCED, FaultPlan
from venuekit.sim.ledger import Ledger
from venuekit.sim.pipes import PipeDoor, PipeOptions
from venuekit.sim.server import Server, ServerOptions
from venuekit_paradex.sim.desk import Caller, order_id
from venuekit_paradex.sim.markets import plan
from venuekit_paradex.sim.people import DEMO_KEY
from venuekit_paradex.sim.service import ParadexService
from venuekit_paradex.sim.settings import parse_settings
from venuekit_paradex.sim.simple import SimpleDoor
from venuekit_paradex.sim.simple_feed import SimpleFeed
from venuekit_paradex.sim.simple_fixtures import starting_point
from venuekit_paradex.sim.simple_rest import SimpleRest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from venuekit.interfaces.time import Clock
    from venuekit.sim.front import Front


class ParadexSimulator:
    """A Paradex that lives on loopback: one port for REST, streams and the control door.

    With `pipes` it opens no port: clients of the same process reach it through `server`, a door in memory.
    """

    def __init__(
        self, *, clock: Clock, seed: int, port: int, options: Mapping[str, str], pipes: bool = False
    ) -> None:
        self.settings = parse_settings(options)
        self._clock = clock
        self._fixtures = starting_point(self.settings)
        markets = self._fixtures.markets
        self.exchange = Exchange(clock, markets, rules=Rules(client_ids="open"), ids=order_id)
        self.ledger = Ledger(self.exchange, clock, frames=self.settings.frames)
        self.faults = FaultPlan(clock, seed, IN_PIPES if pipes else PRODUCED)
        self.service = ParadexService(self.exchange, clock, self.settings, seed)
        self._crowds = [
            Crowd(self.exchange, clock, one.symbol, plan(one, self.settings), seed + number)
            for number, one in enumerate(markets)
        ]
        self.server = self._pipes() if pipes else self._loopback(port)
        self.service.cut = self.server.cut
        demo = self.service.register.demo(clock.wall_ns())
        self._demo = Caller(demo, demo.public_key)
        self.simple = self._simple_door() if self.settings.simple else None

    def _loopback(self, port: int) -> Front:
        settings = self.settings
        return Server(
            self.service,
            clock=self._clock,
            exchange=self.exchange,
            ledger=self.ledger,
            faults=self.faults,
            options=ServerOptions(
                port=port,
                stream_path="/v1",
                ping_ms=settings.ping_ms,
                pong_ms=settings.pong_ms,
                backlog=settings.backlog,
            ),
        )

    def _pipes(self) -> Front:
        settings = self.settings
        return PipeDoor(
            self.service,
            clock=self._clock,
            exchange=self.exchange,
            ledger=self.ledger,
            faults=self.faults,
            options=PipeOptions(
                stream_path="/v1",
                ping_ms=settings.ping_ms,
                pong_ms=settings.pong_ms,
                backlog=settings.backlog,
            ),
        )

    def _simple_door(self) -> SimpleDoor:
        service = self.service
        return SimpleDoor(
            SimpleRest(self.exchange, self._clock, service.desk, service.rest, self._demo),
            SimpleFeed(
                self.exchange,
                self._clock,
                service.desk,
                service.feed,
                service.planter,
                self._demo.account,
            ),
            self._clock,
            http_port=self.settings.simple_http_port,
            ws_port=self.settings.simple_ws_port,
        )

    async def start(self) -> SimulatorInfo:
        """Listening on loopback, the demo account onboarded and funded, the crowd trading. Nothing is left
        behind where a port is taken.
        """
        account = self._demo.account
        self._furnish(account)
        try:
            return await self._open(account)
        except (OSError, VenuekitError):
            await self.stop()
            raise

    def _furnish(self, account: str) -> None:
        funds = self._fixtures.funds
        self.exchange.fund_account(account, self.settings.start_funds if funds is None else funds)
        for market, rate in self._fixtures.funding_rates.items():
            self.exchange.set_funding_rate(market, rate)
        for market, size, price in self._fixtures.positions:
            self.exchange.set_position(account, market, size, price)

    async def _open(self, account: str) -> SimulatorInfo:
        if self.settings.liquidity:
            for crowd in self._crowds:
                crowd.start()
        self.service.feed.start()
        await self.server.start()
        if self.simple is not None:
            await self.simple.start()
        addresses = {"rest": f"{self.server.http_url}/v1", "stream": f"{self.server.ws_url}/v1"}
        return SimulatorInfo(
            venue="paradex",
            addresses=addresses,
            control=self.server.control_url,
            account=account,
            config_toml=demo_config(addresses, account),
            doors={} if self.simple is None else self.simple.addresses,
        )

    async def stop(self) -> None:
        """Every connection closed, no timer or task left."""
        for crowd in self._crowds:
            crowd.stop()
        self.service.feed.stop()
        if self.simple is not None:
            await self.simple.stop()
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
