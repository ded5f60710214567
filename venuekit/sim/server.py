"""The loopback door: HTTP and WebSocket over aiohttp, fault hooks, ping schedule, slow-consumer limit,
control verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from venuekit.interfaces.simulator import SimulatorInfo
    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Connection, Request, Service
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import FaultPlan
    from venuekit.sim.ledger import Ledger


@frozen(kw_only=True)
class ServerOptions:
    """Times in ms; `ping_ms` 0 sends no pings. `keepalive_secs` is how long an idle HTTP connection stays
    open.
    """

    port: int = 0
    stream_path: str = "/v1"
    """WebSocket upgrades on this path (exact, or below it) become streams; everything else is HTTP."""
    ping_ms: int = 55_000
    pong_ms: int = 5_000
    backlog: int = 2_000
    slow_code: int = 1008
    keepalive_secs: float = 75.0
    max_body: int = 4 * 1024 * 1024
    max_frame: int = 1024 * 1024
    compress: bool = True


class Server:
    """One port on 127.0.0.1 with REST, streams and the control door (`/control/...`)."""

    def __init__(
        self,
        service: Service,
        *,
        clock: Clock,
        exchange: Exchange,
        ledger: Ledger,
        faults: FaultPlan,
        options: ServerOptions | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Listening; `port` is known."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Every stream got close code 1001, the port is free, no task is left."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port in use."""
        raise NotImplementedError

    @property
    def http_url(self) -> str:
        """`http://127.0.0.1:port`."""
        raise NotImplementedError

    @property
    def ws_url(self) -> str:
        """`ws://127.0.0.1:port`."""
        raise NotImplementedError

    @property
    def control_url(self) -> str:
        """`http://127.0.0.1:port/control`."""
        raise NotImplementedError

    @property
    def connections(self) -> Iterable[Connection]:
        """Open streams."""
        raise NotImplementedError

    def drop_connections(self) -> int:
        """Every stream is reset; how many there were."""
        raise NotImplementedError

    def cut(self, name: str, target: Request | Connection) -> None:
        """The service reached cut point `name` (C1 to C12): the plan's decision is carried out on the stream,
        or on this request's reply.
        """
        raise NotImplementedError


def ready_line(info: SimulatorInfo) -> str:
    """One JSON line that says where the simulator listens."""
    raise NotImplementedError
