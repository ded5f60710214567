"""Sessions and market data over real sockets: a server that cuts, goes mute, refuses, and comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "streams"))

from stream_fakes import FakeCodec, Recorder

from venuekit.core.retry import FullJitter
from venuekit.errors import Refused, SendFailed
from venuekit.interfaces.manifest import StreamSpec
from venuekit.interfaces.request import Evidence, Handshake, StreamRequest
from venuekit.interfaces.stream import StreamReply, Topic
from venuekit.runtime.clock import RealClock
from venuekit.runtime.rpc import StreamPort
from venuekit.runtime.session import Session, SessionState
from venuekit.runtime.telemetry import CounterTable
from venuekit.transport.websocket import WebSocketTransport

A = Topic("public", "a")


class Codec(FakeCodec):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def handshake(self, token: Any) -> Handshake:
        return Handshake(self.url)


class Venue:
    """Acknowledges subscriptions and pushes one order message to whoever subscribed."""

    def __init__(self) -> None:
        self.peers: list[ServerConnection] = []
        self.heard: list[list[dict[str, Any]]] = []
        self.news = asyncio.Event()

    async def __call__(self, peer: ServerConnection) -> None:
        number = len(self.peers)
        self.peers.append(peer)
        self.heard.append([])
        self.news.set()
        async for text in peer:
            said = json.loads(text)
            self.heard[number].append(said)
            self.news.set()
            if "sub" in said:
                await peer.send(json.dumps({"ack": said["sub"]}))
                await peer.send(json.dumps({"order": [number]}))

    async def until(self, true: Callable[[], bool], secs: float = 10) -> None:
        async with asyncio.timeout(secs):
            while not true():
                self.news.clear()
                await asyncio.wait((asyncio.ensure_future(self.news.wait()),), timeout=0.02)


def play(
    script: Callable[[Venue, Session, Recorder, CounterTable], Awaitable[None]], **spec: Any
) -> CounterTable:
    async def main() -> CounterTable:
        venue, seen, counters = Venue(), Recorder(), CounterTable()
        async with serve(venue, "127.0.0.1", 0, close_timeout=0.2) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            session = Session(
                name="real",
                spec=StreamSpec("ws", **spec),
                transport=WebSocketTransport(RealClock()),
                codecs=lambda: Codec(url),
                clock=RealClock(),
                retry=FullJitter(base_ns=20_000_000, cap_ns=100_000_000, attempts=0),
                counters=counters,
                log=logging.getLogger("venuekit.test"),
                tokens=None,
                on_decoded=seen.on_decoded,
                on_state=seen.on_state,
            )
            await session.start(within_ns=5 * 10**9)
            try:
                await script(venue, session, seen, counters)
            finally:
                async with asyncio.timeout(1.8):
                    await session.stop()
        assert session.state is SessionState.STOPPED
        return counters

    counters = asyncio.run(main())
    count = counters.get
    assert count("frames.in") == sum(
        count(f"frames.{name}") for name in ("handled", "stale", "undecodable", "failed")
    )
    return counters


def test_a_cut_socket_is_replaced_and_its_topics_asked_for_again():
    async def script(venue: Venue, session: Session, seen: Recorder, counters: CounterTable) -> None:
        session.add(A)
        await venue.until(lambda: len(seen.decoded) == 2)
        venue.peers[0].transport.abort()
        await venue.until(lambda: [0] in [i for _, i in seen.decoded] and (2, [1]) in seen.decoded)
        assert venue.heard[1] == [{"sub": ["a"]}]
        assert session.state is SessionState.LIVE

    play(script)


def test_a_peer_that_goes_mute_is_noticed_and_replaced():
    async def script(venue: Venue, session: Session, seen: Recorder, counters: CounterTable) -> None:
        session.add(A)
        await venue.until(lambda: (1, [0]) in seen.decoded)
        venue.peers[0].transport.pause_reading()
        await venue.until(lambda: (2, [1]) in seen.decoded)
        assert counters.get("session.ended.stale") == 1

    play(script, silence_ms=400)


def test_a_connection_cut_while_a_request_is_pending_means_maybe_sent():
    async def script(venue: Venue, session: Session, seen: Recorder, counters: CounterTable) -> None:
        port = StreamPort(session, RealClock(), {})
        task = asyncio.ensure_future(port.send(StreamRequest("submit", "order.create", b"{}")))
        await venue.until(lambda: {"req": "order.create", "key": 1} in venue.heard[0])
        venue.peers[0].transport.abort()
        with pytest.raises(SendFailed) as caught:
            await asyncio.wait_for(task, 5)
        assert caught.value.evidence is Evidence.MAYBE_SENT
        await venue.until(lambda: session.state is SessionState.LIVE)
        assert venue.heard[1:] in ([], [[]])

    play(script)


def test_a_request_is_answered():
    async def script(venue: Venue, session: Session, seen: Recorder, counters: CounterTable) -> None:
        port = StreamPort(session, RealClock(), {})
        task = asyncio.ensure_future(port.send(StreamRequest("submit", "order.create", b"{}")))
        await venue.until(lambda: bool(venue.heard[0]))
        await venue.peers[0].send(json.dumps({"reply": [1]}))
        await venue.until(lambda: any(isinstance(item, StreamReply) for _, item in seen.decoded))
        port.resolve(next(item for _, item in seen.decoded if isinstance(item, StreamReply)))
        assert (await asyncio.wait_for(task, 5)).status == "ok"

    play(script)


def test_a_stop_in_front_of_a_deaf_peer_takes_about_a_second():
    async def script(venue: Venue, session: Session, seen: Recorder, counters: CounterTable) -> None:
        venue.peers[0].transport.pause_reading()

    play(script)


def test_a_handshake_refused_with_400_fails_the_start_with_the_status():
    def refuse(peer: ServerConnection, request: Any) -> Any:
        return peer.respond(400, "unsupported schema version")

    async def main() -> None:
        async with serve(Venue(), "127.0.0.1", 0, process_request=refuse) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            session = Session(
                name="real",
                spec=StreamSpec("ws"),
                transport=WebSocketTransport(RealClock()),
                codecs=lambda: Codec(url),
                clock=RealClock(),
                retry=FullJitter(attempts=0),
                counters=CounterTable(),
                log=logging.getLogger("venuekit.test"),
                tokens=None,
                on_decoded=lambda decoded, epoch: None,
                on_state=lambda state, reason: None,
            )
            with pytest.raises(Refused) as caught:
                await session.start(within_ns=5 * 10**9)
            assert caught.value.code == "400"

    asyncio.run(main())
