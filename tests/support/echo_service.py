"""A service without a venue, for tests of the doors: it answers with what it was told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from venuekit.interfaces.time import Clock
from venuekit.sim.door import CloseKind, Connection, Request, Response
from venuekit.sim.exchange import Exchange
from venuekit.sim.market import Market


def one_market(clock: Clock) -> Exchange:
    """An exchange that nobody trades on."""
    market = Market(
        symbol="AAA-PERP",
        base="AAA",
        quote="USD",
        settlement="USDC",
        tick=Decimal("0.5"),
        lot=Decimal("0.01"),
        start_price=Decimal(100),
    )
    return Exchange(clock, [market])


class Echo:
    """Answers every request with its own words, and every frame with itself."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.received: list[bytes | str] = []
        self.ended: list[tuple[CloseKind, int]] = []
        self.expired = 0

    async def handle(self, request: Request) -> Response:
        self.handled.append(f"{request.method} {request.path}")
        if request.path == "/v1/empty":
            return Response(status=204)
        words = {
            "query": request.query,
            "agent": request.headers.get("x-agent", ""),
            "body": request.body.decode(),
        }
        return Response(status=201, body=json.dumps(words).encode(), headers={"X-Seen": str(request.id)})

    def accept(self, handshake: Request) -> Response | None:
        return Response(status=400, body=b"no") if handshake.query_value("bad") else None

    def opened(self, connection: Connection) -> None:
        connection.send("hello", "hello")

    def receive(self, connection: Connection, frame: bytes | str) -> None:
        self.received.append(frame)
        if frame == "flood":
            for n in range(100_000):
                connection.send("x" * 4_000 + str(n), "flood")
        connection.send(frame, "echo")

    def closed(self, connection: Connection, kind: CloseKind, code: int) -> None:
        self.ended.append((kind, code))

    def control(self, verb: str, args: Mapping[str, object]) -> object:
        if verb == "expire_tokens":
            self.expired += 1
            return {"expired": self.expired}
        raise KeyError(verb)
