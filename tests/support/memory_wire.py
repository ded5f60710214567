"""Ports and a stream that end in an exchange object of this process, with the faults a test asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, RpcRequest


class MemoryLink:
    """One open stream; the exchange pushes into its receiver."""

    def __init__(self, exchange: MemoryExchange, receiver: object) -> None:
        self.exchange, self.receiver, self.open = exchange, receiver, True

    def send(self, frame: str) -> None:
        if not self.open:
            raise SendFailed("closed", evidence=Evidence.NOT_SENT)
        asyncio.get_running_loop().call_soon(self.exchange.on_stream_frame, self, json.loads(frame))

    async def close(self, code: int = 1000) -> None:
        self.open = False
        if self in self.exchange.links:
            self.exchange.links.remove(self)


class MemoryExchange:
    """Base of the sample exchanges: subscriptions are acknowledged, frames pushed, requests counted."""

    def __init__(self, clock: object) -> None:
        self.clock = clock
        self.links: list[MemoryLink] = []
        self.refuse_connect = 0
        self.requests: list[object] = []
        self.faults: list[Callable[[object, Callable[[], Reply]], Reply]] = []
        """Each takes one command request and the way to the exchange, and is used once."""

    def push(self, said: dict[str, object]) -> None:
        for link in list(self.links):
            link.receiver.on_frame(json.dumps(said))

    def cut(self, reason: str = "cut") -> None:
        """Every stream breaks."""
        for link in list(self.links):
            link.open = False
            self.links.remove(link)
            link.receiver.on_closed(1006, reason)

    def on_stream_frame(self, link: MemoryLink, said: dict[str, object]) -> None:
        if "subscribe" in said:
            link.receiver.on_frame(json.dumps({"subscribed": said["subscribe"]}))

    def handle(self, request: object) -> Reply:
        self.requests.append(request)
        way = self.rpc if isinstance(request, RpcRequest) else self.http
        command = not isinstance(request, HttpRequest) or request.method != "GET"
        if command and self.faults:
            return self.faults.pop(0)(request, lambda: way(request))
        return way(request)

    def rpc(self, request: RpcRequest) -> Reply:
        raise NotImplementedError

    def http(self, request: HttpRequest) -> Reply:
        raise NotImplementedError

    def commands(self) -> list[object]:
        return [r for r in self.requests if not isinstance(r, HttpRequest) or r.method != "GET"]


class MemoryTransport:
    """A `StreamTransport` into the exchange."""

    def __init__(self, exchange: MemoryExchange) -> None:
        self.exchange = exchange

    async def connect(self, to: object, receiver: object) -> MemoryLink:
        if self.exchange.refuse_connect:
            self.exchange.refuse_connect -= 1
            raise SendFailed("refused", evidence=Evidence.NOT_SENT)
        link = MemoryLink(self.exchange, receiver)
        self.exchange.links.append(link)
        return link


class MemoryPort:
    """A `RequestPort` without order, like an HTTP pool: handed over means replied."""

    def __init__(self, exchange: MemoryExchange) -> None:
        self.exchange = exchange

    async def send(self, request: object, *, on_sent: Callable[[], None] = lambda: None) -> Reply:
        await self.exchange.clock.sleep_until(self.exchange.clock.mono_ns())
        reply = self.exchange.handle(request)
        on_sent()
        return reply


def reply_lost(request: object, way: Callable[[], Reply]) -> Reply:
    """The venue took it, and its answer never came."""
    way()
    raise SendFailed("no reply", evidence=Evidence.MAYBE_SENT)


def request_lost(request: object, way: Callable[[], Reply]) -> Reply:
    """The bytes left and never arrived."""
    raise SendFailed("no reply", evidence=Evidence.MAYBE_SENT)


def never_left(request: object, way: Callable[[], Reply]) -> Reply:
    """Nothing left."""
    raise SendFailed("no connection", evidence=Evidence.NOT_SENT)


def answers(
    status: int | str, body: bytes, arrives: bool = False
) -> Callable[[object, Callable[[], Reply]], Reply]:
    """A fault that answers with this, whether the command took effect or not."""

    def fault(request: object, way: Callable[[], Reply]) -> Reply:
        if arrives:
            way()
        return Reply(status, body)

    return fault
