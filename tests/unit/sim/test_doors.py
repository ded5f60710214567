"""What both doors owe to a client, seen through the client's own drivers: one set of tests for two doors.

Over loopback the clock is real and the drivers are those of the product; in memory the clock is virtual.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest
from echo_service import Echo, one_market
from pipe_client import NETWORKS, Network, PipePort, Wire, stream_of_pipes

from venuekit.errors import RateLimited, Refused, SendFailed
from venuekit.interfaces.request import Evidence, Frame, Handshake, HttpRequest, Reply
from venuekit.runtime.clock import LoopClock, RealClock
from venuekit.runtime.virtual_loop import run as run_virtual_loop
from venuekit.sim.door import CloseKind
from venuekit.sim.fault_text import parse_fault
from venuekit.sim.faults import IN_PIPES, PRODUCED, FaultPlan
from venuekit.sim.ledger import Ledger
from venuekit.sim.pipes import PipeDoor, PipeOptions
from venuekit.sim.server import Server, ServerOptions
from venuekit.transport.http import httpx_port
from venuekit.transport.websocket import websockets_transport

MS = 1_000_000
_NAMES = count()


class Heard:
    """A receiver that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.alive = 0
        self.closed: list[int | None] = []

    def on_frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def on_alive(self) -> None:
        self.alive += 1

    def on_closed(self, code: int | None, reason: str) -> None:
        self.closed.append(code)


class Bench:
    """A door with an echo behind it, and the drivers of a client in front."""

    def __init__(self, clock: RealClock | LoopClock, pipes: bool, **options: int) -> None:
        self.clock, self.pipes, self.echo = clock, pipes, Echo()
        exchange = one_market(clock)
        self.ledger = Ledger(exchange, clock)
        self.faults = FaultPlan(clock, produced=IN_PIPES if pipes else PRODUCED)
        client_ping = options.pop("client_ping_ms", 0)
        make, kind = (PipeDoor, PipeOptions) if pipes else (Server, ServerOptions)
        self.door = make(
            self.echo,
            clock=clock,
            exchange=exchange,
            ledger=self.ledger,
            faults=self.faults,
            options=kind(**options),
        )
        self._options = {"ping_ms": str(client_ping)}
        self.network: Network | None = None

    async def start(self) -> None:
        await self.door.start()
        timeouts = {"short": 200, "long": 20_000}
        if self.pipes:
            self.wire, name = Wire(), f"bench-{next(_NAMES)}"
            NETWORKS[name] = self.network = Network(self.door, self.wire)
            self._options["world"] = name
            self.transport = stream_of_pipes(clock=self.clock, options=self._options)
            self.port = PipePort(
                self.door.http_url, clock=self.clock, timeouts_ms=timeouts, options=self._options
            )
            del NETWORKS[name]
        else:
            self.transport = websockets_transport(clock=self.clock, options=self._options)
            self.port = httpx_port(self.door.http_url, clock=self.clock, timeouts_ms=timeouts, options={})

    async def stop(self) -> None:
        await self.port.close()
        await self.door.stop()

    def fault(self, kind: str, **data: object) -> int:
        scope = {"points": data.pop("points", []), "label": data.pop("label", "*")}
        return self.faults.add(parse_fault({"kind": kind, "scope": scope, **data}, self.faults.produced))

    async def connect(self, path: str = "/v1") -> tuple[object, Heard]:
        """An open stream that was greeted."""
        heard = Heard()
        link = await self.transport.connect(Handshake(self.door.ws_url + path), heard)
        await self.until(lambda: heard.frames, "greeted")
        assert heard.frames.pop(0) == "hello"
        return link, heard

    async def ask(self, method: str = "GET", path: str = "/v1/x", op: str = "long", **more: object) -> Reply:
        return await self.port.send(HttpRequest(op, method, path, **more))

    async def lost(self, *args: str, **more: object) -> Evidence:
        """What a request that got no reply proves."""
        with pytest.raises(SendFailed) as caught:
            await self.ask(*args, **more)
        return caught.value.evidence

    async def until(self, true: Callable[[], object], what: str = "", secs: float = 5.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + secs
        while not true():
            assert loop.time() < end, f"not in time: {what}"
            await asyncio.sleep(0.002)

    async def says(self, heard: Heard, *frames: Frame) -> None:
        await self.until(lambda: len(heard.frames) >= len(frames), f"{frames}: {heard.frames}")
        assert heard.frames == list(frames)

    async def ends(self, heard: Heard, code: int) -> None:
        await self.until(lambda: heard.closed, "the end")
        assert heard.closed == [code]


type Script = Callable[[Bench], Awaitable[None]]


@pytest.fixture(params=["loopback", "pipes"])
def door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    """`door(script, **options)` runs the script over one of the doors."""

    def start(script: Script, **options: int) -> Bench:
        async def main(clock: RealClock | LoopClock) -> Bench:
            bench = Bench(clock, request.param == "pipes", **options)
            async with asyncio.timeout(30):
                await bench.start()
                try:
                    await script(bench)
                finally:
                    await bench.stop()
            return bench

        if request.param == "pipes":
            return run_virtual_loop(lambda loop: main(LoopClock(loop)))
        return asyncio.run(main(RealClock()))

    return start


def test_a_request_arrives_whole(door):
    async def script(bench: Bench) -> None:
        reply = await bench.ask(
            "POST",
            "/v1/orders",
            query=(("market", "A&B"), ("market", "C")),
            headers={"X-Agent": "me"},
            body=b"payload",
        )
        assert reply.status == 201
        assert reply.headers["content-type"] == "application/json"
        words = {"query": [["market", "A&B"], ["market", "C"]], "agent": "me", "body": "payload"}
        assert json.loads(reply.body) == words
        empty = await bench.ask("DELETE", "/v1/empty")
        assert (empty.status, empty.body, "content-type" in empty.headers) == (204, b"", False)

    bench = door(script)
    seen = [(one.direction, one.label) for one in bench.ledger.seen()]
    assert seen == [
        ("request", "POST /v1/orders"),
        ("reply", "201 POST /v1/orders"),
        ("request", "DELETE /v1/empty"),
        ("reply", "204 DELETE /v1/empty"),
    ]


def test_a_stream_echoes_in_order_and_both_sides_hear_of_its_end(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        sent = [f"text {n}" for n in range(50)] + [b"\x00\x01"]
        for frame in sent:
            link.send(frame)
        await bench.says(heard, *sent)
        assert len(bench.door.connections) == 1
        await link.close()
        await bench.ends(heard, 1000)
        with pytest.raises(SendFailed) as caught:
            link.send("late")
        assert caught.value.evidence is Evidence.NOT_SENT
        await bench.until(lambda: bench.echo.ended, "the venue noticed")
        assert bench.echo.ended == [(CloseKind.CLIENT, 1000)]
        assert list(bench.door.connections) == []

    bench = door(script)
    assert (bench.ledger.count("in"), bench.ledger.count("out")) == (51, 52)


def test_a_handshake_can_be_refused(door):
    async def script(bench: Bench) -> None:
        with pytest.raises(Refused) as caught:
            await bench.connect("/v1?bad=1")
        assert caught.value.code == "400"
        bench.fault("F18", points=["connect"], retry_after="7")
        with pytest.raises(RateLimited) as limited:
            await bench.connect()
        assert limited.value.retry_after_ns == 7_000 * MS
        await bench.connect()

    door(script)


def test_stopping_says_going_away(door):
    async def script(bench: Bench) -> None:
        _, heard = await bench.connect()
        await bench.door.stop()
        await bench.ends(heard, 1001)
        assert bench.echo.ended == [(CloseKind.SERVER, 1001)]

    door(script)


def test_dropped_streams_are_reset(door):
    async def script(bench: Bench) -> None:
        pairs = [await bench.connect() for _ in range(3)]
        assert bench.door.drop_connections() == 3
        for link, heard in pairs:
            await bench.ends(heard, 1006)
            with pytest.raises(SendFailed):
                link.send("late")
        await bench.until(lambda: len(bench.echo.ended) == 3, "the venue noticed")
        assert bench.echo.ended == [(CloseKind.RESET, 1006)] * 3

    door(script)


def test_pings_go_both_ways(door):
    async def script(bench: Bench) -> None:
        _, heard = await bench.connect()
        await bench.until(lambda: heard.alive >= 4, "pings of the venue, pongs for ours")
        assert not heard.closed, "who answers stays"

    door(script, ping_ms=30, pong_ms=1_000, client_ping_ms=20)


def test_f01_nobody_connects_while_it_lasts_and_what_is_open_stays(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F01", trigger={"after_ms": 0}, lasts_ms=150)
        await bench.until(bench.faults.refuses, "it began")
        with pytest.raises(SendFailed) as caught:
            await bench.connect()
        assert caught.value.evidence is Evidence.NOT_SENT
        assert await bench.lost() is Evidence.NOT_SENT
        link.send("still here")
        await bench.says(heard, "still here")
        await bench.until(lambda: not bench.faults.refuses(), "it is over")
        await asyncio.sleep(0.05)
        await bench.connect()
        assert (await bench.ask()).status == 201

    door(script)


def test_f05_before_and_after_the_venue_acted(door):
    async def script(bench: Bench) -> None:
        bench.fault("F05", points=["request"], label="POST *")
        bench.fault("F05", trigger={"cut": "C3"}, label="POST *")
        for _ in range(2):
            assert await bench.lost("POST", "/v1/orders") is Evidence.MAYBE_SENT
        assert bench.echo.handled == ["POST /v1/orders"]
        assert (await bench.ask("POST", "/v1/orders")).status == 201
        link, heard = await bench.connect()
        bench.fault("F05", points=["in"])
        link.send("x")
        await bench.ends(heard, 1006)
        assert bench.echo.received == []

    door(script)


def test_f06_closes_with_a_code(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F06", points=["in"], label="*bye*", code=4031, reason="idle")
        link.send("stay")
        link.send("good bye")
        await bench.ends(heard, 4031)
        assert heard.frames == ["stay"]
        await bench.until(lambda: bench.echo.ended, "the venue is done")
        assert bench.echo.ended == [(CloseKind.SERVER, 4031)]

    door(script)


def test_f07_swallows_both_ways_and_f08_only_what_the_venue_says(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        number = bench.fault("F08", points=["out"])
        link.send("one")
        await bench.until(lambda: bench.echo.received == ["one"], "the venue hears")
        alive = heard.alive
        await bench.until(lambda: heard.alive > alive, "pings are answered")
        bench.faults.lift(number)
        number = bench.fault("F07", trigger={"after_ms": 0})
        await bench.until(lambda: bench.faults.silenced(1).half_open, "it began")
        link.send("two")
        await bench.until(lambda: bench.ledger.count("in") == 2, "swallowed")
        alive = heard.alive
        await asyncio.sleep(0.1)
        assert heard.alive <= alive + 1, "no pong, but one that was on its way"
        bench.faults.lift(number)
        link.send("three")
        await bench.says(heard, "three")
        assert bench.echo.received == ["one", "three"]

    door(script, client_ping_ms=20)


def test_f09_delays_and_keeps_the_order_f15_and_f20_let_others_overtake(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F09", points=["out"], delay_ms=80)
        began = bench.clock.mono_ns()
        link.send("a")
        link.send("b")
        await bench.says(heard, "a", "b")
        assert bench.clock.mono_ns() - began >= 79 * MS
        bench.fault("F09", points=["in"], delay_ms=80)
        began = bench.clock.mono_ns()
        link.send("c")
        link.send("d")
        await bench.says(heard, "a", "b", "c", "d")
        assert bench.clock.mono_ns() - began >= 79 * MS
        for kind, first, second in (("F15", "e", "f"), ("F20", "g", "h")):
            heard.frames.clear()
            bench.fault(kind, points=["out"], delay_ms=80)
            link.send(first)
            link.send(second)
            await bench.says(heard, second, first)

    door(script)


def test_f10_a_narrow_line_takes_its_time_for_every_byte(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F10", points=["out"], times=3, bytes_per_sec=1_000)
        began = bench.clock.mono_ns()
        for letter in "abc":
            link.send(letter * 40)
        await bench.says(heard, *(letter * 40 for letter in "abc"))
        assert bench.clock.mono_ns() - began >= 119 * MS, "three times 40 ms, one after the other"

    door(script)


def test_f12_half_a_frame_and_half_a_body_are_nothing(door):
    async def script(bench: Bench) -> None:
        bench.fault("F12", points=["out"], label="echo", keep_bytes=3)
        link, heard = await bench.connect()
        link.send("abcdefgh")
        await bench.ends(heard, 1006)
        assert heard.frames == []
        bench.fault("F12", points=["request"], keep_bytes=3)
        assert await bench.lost() is Evidence.MAYBE_SENT
        assert bench.echo.handled == ["GET /v1/x"]

    door(script)


def test_f13_no_decoder_takes_what_was_corrupted(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F13", points=["out"], times=2)
        text, binary = json.dumps({"price": "100.5"}), bytes(range(16))
        link.send(text)
        link.send(binary)
        await bench.until(lambda: len(heard.frames) == 2, "both came")
        assert len(heard.frames[0]) == len(text)
        with pytest.raises(ValueError, match=r"control character|Expecting|Unterminated"):
            json.loads(heard.frames[0])
        assert heard.frames[1][:8] != binary[:8]
        assert heard.frames[1][8:] == binary[8:]

    door(script)


def test_f14_twice_and_f16_never(door):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F14", label="echo")
        bench.fault("F16", trigger={"nth": 2}, points=["out"], label="echo")
        bench.fault("F16", trigger={"nth": 3}, points=["in"])
        for text in "abcd":
            link.send(text)
        await bench.says(heard, "a", "a", "d")
        assert bench.echo.received == ["a", "b", "d"]

    door(script)


def test_f18_and_f19_answer_without_acting_and_f20_acts_and_is_silent(door):
    async def script(bench: Bench) -> None:
        bench.fault("F18", retry_after="7", body='{"error":"x"}')
        reply = await bench.ask()
        assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "7", b'{"error":"x"}')
        bench.fault("F19", status=502, body="<html>", content_type="text/html")
        reply = await bench.ask()
        assert (reply.status, reply.headers["content-type"], reply.body) == (502, "text/html", b"<html>")
        bench.fault("F19", status=500, content_type=None)
        reply = await bench.ask()
        assert (reply.status, "content-type" in reply.headers, reply.body) == (500, False, b"")
        assert bench.echo.handled == []
        bench.fault("F20", delay_ms=60_000)
        assert await bench.lost(op="short") is Evidence.MAYBE_SENT
        assert bench.echo.handled == ["GET /v1/x"]

    door(script)


def test_f21_expires_tokens(door):
    async def script(bench: Bench) -> None:
        bench.fault("F21", trigger={"after_ms": 0})
        await bench.until(lambda: bench.echo.expired == 1, "by time")
        bench.fault("F21", points=["request"])
        await bench.ask()
        assert bench.echo.expired == 2

    door(script)


def test_a_service_reports_cut_points_of_its_own(door):
    async def script(bench: Bench) -> None:
        inner = bench.echo.handle

        async def handle(request: object) -> object:
            bench.door.cut("C10", request)
            return await inner(request)

        bench.echo.handle = handle
        bench.fault("F12", trigger={"cut": "C10"}, keep_bytes=5)
        assert await bench.lost() is Evidence.MAYBE_SENT
        bench.fault("F05", trigger={"cut": "C10"})
        assert await bench.lost() is Evidence.MAYBE_SENT
        _, heard = await bench.connect()
        (connection,) = bench.door.connections
        bench.fault("F05", trigger={"cut": "C5"}, label="order 7")
        bench.door.cut("C5", connection, "order 6")
        assert not heard.closed
        bench.door.cut("C5", connection, "order 7")
        await bench.ends(heard, 1006)
        assert bench.faults.passed["C5"] == 2

    door(script)


# --- what only the door in memory can do


@pytest.fixture
def pipes() -> Callable[..., Bench]:
    """`pipes(script, **options)` runs the script over the door in memory."""

    def start(script: Script, **options: int) -> Bench:
        async def main(clock: LoopClock) -> Bench:
            bench = Bench(clock, pipes=True, **options)
            await bench.start()
            try:
                await script(bench)
            finally:
                await bench.stop()
            return bench

        return run_virtual_loop(lambda loop: main(LoopClock(loop)))

    return start


@pytest.mark.parametrize("kind", ["F03", "F04"])
def test_who_cannot_be_reached_got_nothing(pipes, kind):
    async def script(bench: Bench) -> None:
        bench.fault(kind, trigger={"after_ms": 0}, lasts_ms=1_000)
        await asyncio.sleep(0.001)
        assert await bench.lost() is Evidence.NOT_SENT
        with pytest.raises(SendFailed) as caught:
            await bench.connect()
        assert caught.value.evidence is Evidence.NOT_SENT
        await asyncio.sleep(1.1)
        assert (await bench.ask()).status == 201
        await bench.connect()

    bench = pipes(script)
    assert bench.ledger.count("request") == 2, "the venue saw the two that came after it"


def test_f02_nobody_answers_and_nobody_says_so(pipes):
    async def script(bench: Bench) -> None:
        bench.fault("F02", trigger={"after_ms": 0}, lasts_ms=10_000)
        await asyncio.sleep(0.001)
        began = bench.clock.mono_ns()
        assert await bench.lost(op="short") is Evidence.NOT_SENT
        assert bench.clock.mono_ns() - began == 200 * MS
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.connect(), 60)
        assert list(bench.door.connections) == []

    pipes(script)


def test_f11_pieces_only_take_time(pipes):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        bench.fault("F11", points=["out"], delay_ms=30)
        began = bench.clock.mono_ns()
        link.send("whole")
        await bench.says(heard, "whole")
        assert bench.clock.mono_ns() - began >= 30 * MS

    pipes(script)


def test_f17_a_frame_of_a_dead_stream_comes_to_its_old_receiver(pipes):
    async def script(bench: Bench) -> None:
        link, old = await bench.connect()
        bench.fault("F17", points=["out"], delay_ms=40)
        link.send("ghost")
        await bench.until(lambda: bench.echo.received, "the venue answered")
        bench.door.drop_connections()
        await bench.ends(old, 1006)
        await asyncio.sleep(1)
        assert old.frames == [], "not before there is another stream"
        _, new = await bench.connect()
        await bench.says(old, "ghost")
        assert new.frames == []

    pipes(script)


def test_each_way_takes_the_latency(pipes):
    async def script(bench: Bench) -> None:
        began = bench.clock.mono_ns()
        await bench.ask()
        assert bench.clock.mono_ns() - began == 2 * 700_000
        heard = Heard()
        link = await bench.transport.connect(Handshake(bench.door.ws_url + "/v1"), heard)
        began = bench.clock.mono_ns()
        link.send("x")
        await bench.until(lambda: "x" in heard.frames, "the echo")
        rows = [row for row in bench.wire.rows if row.data == b"x"]
        assert [(row.way, row.ts_ns - began) for row in rows] == [(">", 0), ("<", 2 * 700_000)]

    pipes(script, latency_us=700)


def test_a_client_that_reads_nothing_is_cut_off(pipes):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        link._pipe.pause(True)
        for n in range(60):
            link.send(str(n))
        await bench.ends(heard, 1006)
        assert bench.echo.ended == [(CloseKind.SLOW, 1006)]

    pipes(script, backlog=50)


def test_a_client_that_reads_again_gets_everything(pipes):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        link._pipe.pause(True)
        for n in range(40):
            link.send(str(n))
        await asyncio.sleep(5)
        assert heard.frames == []
        link._pipe.pause(False)
        await bench.says(heard, *(str(n) for n in range(40)))

    pipes(script, backlog=50)


def test_a_peer_that_never_answers_is_cut_off(pipes):
    async def script(bench: Bench) -> None:
        _, heard = await bench.connect()
        bench.door.connections[0].pong = lambda: None
        await bench.ends(heard, 1006)
        assert bench.echo.ended == [(CloseKind.NO_PONG, 1006)]
        assert bench.clock.mono_ns() // MS == 1_500 + 1

    pipes(script, ping_ms=1_000, pong_ms=500)


def test_c1_and_c4(pipes):
    async def script(bench: Bench) -> None:
        bench.fault("F05", trigger={"cut": "C1"}, label="POST *")
        assert await bench.lost("POST", "/v1/orders") is Evidence.NOT_SENT
        assert bench.echo.handled == []
        bench.fault("F05", trigger={"cut": "C4"}, label="POST *")
        assert await bench.lost("POST", "/v1/orders") is Evidence.MAYBE_SENT
        assert bench.echo.handled == ["POST /v1/orders"]
        link, heard = await bench.connect()
        bench.fault("F05", trigger={"cut": "C1"}, label="frame")
        with pytest.raises(SendFailed) as caught:
            link.send("frame")
        assert caught.value.evidence is Evidence.NOT_SENT
        await bench.ends(heard, 1006)
        assert bench.echo.received == []

    pipes(script)


def test_a_connect_that_is_given_up_leaves_nothing_open(pipes):
    async def script(bench: Bench) -> None:
        for latency_parts in range(1, 9):
            heard = Heard()
            connecting = asyncio.ensure_future(
                bench.transport.connect(Handshake(bench.door.ws_url + "/v1"), heard)
            )
            await asyncio.sleep(latency_parts * 0.0002)
            if connecting.done():
                await (await connecting).close()
                continue
            connecting.cancel()
            told = list(heard.frames)
            await asyncio.gather(connecting, return_exceptions=True)
            await asyncio.sleep(1)
            assert list(bench.door.connections) == []
            assert heard.frames == told
            assert heard.closed == []

    pipes(script)


def test_a_dead_process_says_and_hears_nothing_and_what_it_had_sent_arrives(pipes):
    async def script(bench: Bench) -> None:
        link, heard = await bench.connect()
        link.send("last words")
        asking = asyncio.ensure_future(bench.ask("POST", "/v1/orders"))
        await asyncio.sleep(0)
        bench.network.die()
        await bench.until(lambda: bench.echo.ended, "the venue noticed")
        assert bench.echo.received == ["last words"]
        assert bench.echo.handled == ["POST /v1/orders"]
        assert (heard.frames, heard.closed) == ([], [])
        with pytest.raises(SendFailed):
            link.send("from beyond")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await bench.lost() is Evidence.NOT_SENT
        with pytest.raises(SendFailed):
            await bench.connect()

    pipes(script)

