"""The telemetry endpoint on a real socket: what it says, and what it does with peers that misbehave."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from venuekit.errors import ConfigError
from venuekit.runtime.clock import ManualClock, RealClock
from venuekit.runtime.endpoint import MAX_OPEN, Answer, Endpoint
from venuekit.runtime.telemetry import CounterTable

LOG = logging.getLogger("venuekit.test")
SECOND = 1_000_000_000


def endpoint(routes=None, clock=None):
    table = CounterTable()
    routes = routes or {"/health": lambda: Answer(b"{}\n", status=503), "/metrics": lambda: Answer(b"m 1\n")}
    return Endpoint(routes, clock=clock or RealClock(), counters=table, log=LOG), table


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the server offers no event for it; whoever calls has a bound
        await asyncio.sleep(0.005)


async def ask(port, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("raw", "first", "body"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK", b"m 1\n"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK", b"m 1\n"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 Unavailable", b"{}\n"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b""),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found", b"paths: /health /metrics\n"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed", b"only GET\n"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request", b"bad request\n"),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found", b"paths: /health /metrics\n"),
    ],
)
def test_what_is_asked_and_answered(raw, first, body):
    async def run():
        served, _ = endpoint()
        await served.start(0)
        reply = await ask(served.port, raw)
        await served.stop()
        head, _, rest = reply.partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0] == first
        assert rest == body
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert length == len(body) or raw.startswith(b"HEAD")

    asyncio.run(run())


def test_an_endless_head_and_a_peer_that_leaves_are_counted():
    async def run():
        served, table = endpoint()
        await served.start(0)
        assert await ask(served.port, b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000) == b""
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET")
        writer.close()
        await until(lambda: table.get("telemetry.refused") == 2)
        assert b"200 OK" in await ask(served.port, b"GET /metrics HTTP/1.1\r\n\r\n")
        await served.stop()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_mute_peer_is_hung_up_on_and_too_many_are_not_served():
    async def run():
        clock = ManualClock()
        served, table = endpoint(clock=clock)
        await served.start(0)
        mute = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(MAX_OPEN)]
        await until(lambda: len(served._scope) == MAX_OPEN)
        assert await ask(served.port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        assert table.get("telemetry.refused") == 1
        await clock.run_for(6 * SECOND)
        for reader, writer in mute:
            try:
                assert await reader.read() == b""
            except ConnectionError:
                pass
            writer.close()
        assert b"200 OK" in await ask(served.port, b"GET /metrics HTTP/1.1\r\n\r\n")
        await served.stop()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_route_that_raises_costs_one_request():
    def broken():
        raise RuntimeError("no")

    async def run():
        served, table = endpoint({"/bad": broken, "/good": lambda: Answer(b"ok")})
        await served.start(0)
        assert await ask(served.port, b"GET /bad HTTP/1.1\r\n\r\n") == b""
        assert (await ask(served.port, b"GET /good HTTP/1.1\r\n\r\n")).endswith(b"ok")
        assert table.get("tasks.crashed") == 1
        await served.stop()

    asyncio.run(run())


def test_only_this_machine_is_served_and_nothing_after_the_stop():
    async def run():
        served, _ = endpoint()
        await served.start(0)
        (bound,) = served._server.sockets
        assert bound.getsockname()[0] == "127.0.0.1"
        port = served.port
        idle = await asyncio.open_connection("127.0.0.1", port)
        await served.stop()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        try:
            assert await idle[0].read() == b""
        except ConnectionError:
            pass
        idle[1].close()
        await served.stop()

    asyncio.run(run())


def test_a_port_that_is_taken_is_told_with_the_field():
    async def run():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            served, _ = endpoint()
            with pytest.raises(ConfigError) as caught:
                await served.start(taken.getsockname()[1])
            assert caught.value.path == "metrics.port"
            await served.stop()

    asyncio.run(run())
