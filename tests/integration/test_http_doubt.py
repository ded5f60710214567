"""Both HTTP drivers against peers that say too much, too early, too little, or nothing."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from raw_http import DRIVERS, OK, REQUEST, Handler, answer, exchange, failure, read_request, with_server
from self_signed import server_tls

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest
from venuekit.runtime.clock import RealClock
from venuekit.transport import http, http_socket, rules

OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
PIECE = 65_536
"""What httpcore reads at once."""


@pytest.fixture(params=DRIVERS)
def driver(request) -> str:
    return request.param


@pytest.fixture
def trusted(tmp_path, monkeypatch) -> Iterator[ssl.SSLContext]:
    """A server's TLS that the drivers trust, for `localhost`."""
    tls, path = server_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    rules.verified_tls.cache_clear()
    yield tls
    rules.verified_tls.cache_clear()


async def outcome(client: Any, request: HttpRequest = REQUEST) -> Any:
    """The body, or the evidence that came in its place."""
    try:
        return (await client.send(request)).body
    except SendFailed as error:
        return error.evidence


# --- an answer belongs to its request


def sent_after(driver: str, extra: bytes, rest: bytes) -> tuple[Any, int]:
    """The second outcome, after `extra` in one piece with the first answer, and how many connections it took.

    Had the second request come on the first connection, `rest` would have been the answer.
    """
    connections: list[int] = []

    async def handle(reader, writer):
        connections.append(1)
        await read_request(reader)
        writer.write(OK + (extra if len(connections) == 1 else b""))
        await read_request(reader)
        writer.write(rest)
        await reader.read()

    async def use(client):
        assert await outcome(client) == b"{}"
        return await outcome(client)

    return asyncio.run(with_server(driver, handle, use)), len(connections)


@pytest.mark.parametrize("extra", [OTHER, OTHER * 5_000], ids=["small", "more than is read at once"])
def test_a_second_answer_in_one_piece_is_given_to_nobody(driver, extra):
    assert sent_after(driver, extra, b"") == (b"{}", 2)


@pytest.mark.parametrize("cut", [1, 10, len(OTHER) - 1])
def test_half_a_second_answer_in_one_piece_is_given_to_nobody(driver, cut):
    found, connections = sent_after(driver, OTHER[:cut], OTHER[cut:])
    if driver == "httpx":
        assert (found, connections) == (b"{}", 2)
    else:  # its parser forgets half a head, and the other half is no answer
        assert (found, connections) in [(Evidence.MAYBE_SENT, 1), (b"{}", 2)]


def test_what_comes_while_a_kept_connection_is_taken_is_no_answer(monkeypatch):
    """After it was found silent, before the request leaves: the loop turns between the two (httpx only)."""
    taken, said = threading.Event(), threading.Event()

    def serve() -> None:
        one, _ = listening.accept()
        with one:
            head = b""
            while not head.endswith(REQUEST.body):
                head += one.recv(65_536)
            one.sendall(OK)
            taken.wait(5)
            one.sendall(OTHER)
            said.set()
            after.append(one.recv(65_536))

    after: list[bytes] = []
    asked = http_socket.LoopStream.get_extra_info

    def and_then(self: http_socket.LoopStream, info: str) -> object:
        found = asked(self, info)
        if info == "is_readable":
            assert not found
            taken.set()
            assert said.wait(5)
        return found

    monkeypatch.setattr(http_socket.LoopStream, "get_extra_info", and_then)

    async def main() -> Any:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        client = http.httpx_port(address, clock=RealClock(), timeouts_ms={}, options={})
        assert await outcome(client) == b"{}"
        found = await outcome(client)
        await client.close()
        return found

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert asyncio.run(main()) is Evidence.NOT_SENT
        thread.join(5)
    assert after == [b""]


def test_a_request_waits_behind_no_body_that_nobody_reads(driver):
    """It was answered before it was read, as when it is too large; the connection was kept."""
    connections: list[int] = []
    over = asyncio.Event()

    async def handle(reader, writer):
        connections.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(OK)
        await over.wait()

    async def use(client):
        large = HttpRequest("op", "POST", "/large", body=bytes(16 * 2**20))
        found = [await outcome(client, large), await outcome(client)]
        over.set()
        return found

    assert asyncio.run(with_server(driver, handle, use)) == [b"{}"] * 2
    assert connections == [1, 1]


def test_a_connection_that_was_idle_for_too_long_is_not_used_again(driver, monkeypatch):
    connections: list[int] = []

    async def handle(reader, writer):
        connections.append(1)
        await answer(OK, times=2)(reader, writer)

    async def use(client):
        return [await outcome(client) for _ in range(2)]

    monkeypatch.setattr(DRIVERS[driver][0], "KEPT_SECS", -1.0)
    assert asyncio.run(with_server(driver, handle, use)) == [b"{}"] * 2
    assert connections == [1, 1]


def test_a_request_that_is_given_up_anywhere_leaves_nothing_behind(driver):
    """Cancelled after any number of turns of the loop, with one connection in all."""

    async def handle(reader, writer):
        while True:
            head, _ = await read_request(reader)
            path = head.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async def use(client):
        for turns in range(60):
            task = asyncio.create_task(client.send(HttpRequest("op", "GET", f"/given/up/{turns}")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            path = f"/{turns}"
            assert await outcome(client, HttpRequest("op", "GET", path)) == path.encode()

    asyncio.run(with_server(driver, handle, use, connections="1"))


# --- a whole answer, or none


def test_an_end_inside_tls_without_a_goodbye_is_a_cut(driver, trusted):
    """Anybody on the way can end a connection (RFC 9112, 9.8)."""

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        with socket.socket(fileno=writer.get_extra_info("socket").fileno()) as raw:
            raw.shutdown(socket.SHUT_WR)
            raw.detach()
        await reader.read()

    assert failure(driver, handle, tls=trusted, host="localhost").evidence is Evidence.MAYBE_SENT


def test_a_reply_without_a_length_that_ends_as_it_should_is_whole(trusted):
    """For httpx alone: the driver of aiohttp cannot tell such an end from a cut."""
    raw = b"HTTP/1.1 200 OK\r\n\r\nwhole"
    assert exchange("httpx", raw)[0].body == b"whole"
    assert exchange("httpx", raw, tls=trusted, host="localhost")[0].body == b"whole"
    assert failure("aiohttp", answer(raw)).evidence is Evidence.MAYBE_SENT


@pytest.mark.parametrize(
    ("method", "head"),
    [("GET", b"204 No\r\n"), ("GET", b"304 No\r\n"), ("HEAD", b"200 OK\r\nContent-Length: 9\r\n")],
)
def test_a_reply_that_has_no_body_needs_no_length(driver, method, head):
    reply, _ = exchange(driver, b"HTTP/1.1 " + head + b"\r\n", HttpRequest("op", method, "/x"))
    assert reply.body == b""


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_packed_body_that_was_cut_before_it_was_framed_is_no_reply(driver, cut):
    packed = gzip.compress(bytes(range(256)) * 40)[:-cut]
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert failure(driver, answer(raw + packed)).evidence is Evidence.MAYBE_SENT


@pytest.mark.parametrize(
    ("encoding", "times"), [(b"gzip", 1), (b"gzip, gzip", 2), (b"deflate", 0), (b"br", 0), (b"zstd", 0)]
)
def test_what_unpacks_to_too_much_takes_no_memory(driver, monkeypatch, encoding, times):
    """Packed twice, 200 MB are less than 3 KB. What nobody asked for is not unpacked at all."""
    monkeypatch.setattr(DRIVERS[driver][0], "MAX_BODY_BYTES", 1_000_000)
    packed = b"x"
    if times:
        packed = gzip.compress(bytes(200_000_000), 1)
    for _ in range(times - 1):
        packed = gzip.compress(packed)
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(packed))
    tracemalloc.start()
    try:
        error = failure(driver, answer(raw + packed), timeout_ms=20_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.evidence is Evidence.MAYBE_SENT
    assert peak < 20_000_000


def test_only_what_is_unpacked_is_asked_for(driver):
    _, (head, _) = exchange(driver, OK)
    asked = [line for line in head.lower().split(b"\r\n") if line.startswith(b"accept-encoding")]
    assert asked == [b"accept-encoding: gzip"]


def test_an_endless_head_is_cut_off(driver):
    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 1_000 + b"\r\n")
            await writer.drain()

    error = failure(driver, handle, timeout_ms=20_000)
    assert error.evidence is Evidence.MAYBE_SENT
    assert "timed out" not in error.message


# --- TLS and tunnels


def through_tunnel(driver: str, proxying: Handler, host: str, *, timeout_ms: int = 2_000) -> list[Any]:
    """Two outcomes of https through a proxy, over one connection at a time."""

    async def use(proxy: Any) -> list[Any]:
        options = {"proxy": proxy.address, "connections": "1"}
        client = DRIVERS[driver][1](
            f"https://{host}:9", clock=RealClock(), timeouts_ms={"op": timeout_ms}, options=options
        )
        found = [await asyncio.wait_for(outcome(client), 10) for _ in range(2)]
        await asyncio.wait_for(client.close(), 10)
        return found

    return asyncio.run(with_server("none", proxying, use))


def test_a_host_that_says_nothing_inside_a_tunnel_costs_the_timeout(driver):
    gone: list[int] = []

    async def mute(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Go\r\n\r\n")
        await reader.read()
        gone.append(1)

    assert through_tunnel(driver, mute, "localhost", timeout_ms=150) == [Evidence.NOT_SENT] * 2
    assert gone


def test_a_proxy_cannot_answer_for_the_host(driver, trusted):
    """What it adds to its own answer came before TLS."""

    async def forge(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 Go\r\n\r\n"
        writer.write(head + b"x" * (PIECE - len(head)) + OTHER)
        await writer.drain()
        await writer.start_tls(trusted)
        await answer(OK)(reader, writer)

    assert b"other" not in through_tunnel(driver, forge, "localhost")


def test_the_name_of_the_host_is_verified_inside_a_tunnel(driver, trusted):
    """The certificate is that of `localhost`, whoever the proxy leads to."""
    seen: list[Any] = []

    async def elsewhere(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Go\r\n\r\n")
        await writer.drain()
        await writer.start_tls(trusted)
        seen.append(await reader.read())

    assert through_tunnel(driver, elsewhere, "venue.invalid") == [Evidence.NOT_SENT] * 2
    assert b"".join(seen) == b""


def test_a_host_that_says_nothing_in_place_of_tls_costs_the_timeout(driver):
    gone = asyncio.Event()

    async def mute(reader, writer):
        await reader.read()
        gone.set()

    async def use(host):
        client = DRIVERS[driver][1](
            host.address.replace("http:", "https:"), clock=RealClock(), timeouts_ms={"op": 150}, options={}
        )
        found = await outcome(client)
        await asyncio.wait_for(gone.wait(), 5)
        await client.close()
        return found

    assert asyncio.run(with_server("none", mute, use)) is Evidence.NOT_SENT


def test_an_address_of_version_6_is_reached(driver):
    reply, (head, _) = exchange(driver, OK, host="[::1]", bind="::1")
    assert reply.body == b"{}"
    assert b"host: [::1]:" in head.lower()


# --- a request is one request


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("op", "GET", "/a\r\nX: y"),
        HttpRequest("op", "GET", "/a", query=(("k", "v\r\nX: y"),)),
        HttpRequest("op", "GET", "/a", headers={"a\r\nX": "y"}),
        HttpRequest("op", "GET\r\nX: y", "/a"),
    ],
    ids=["path", "query", "name of a header", "method"],
)
def test_nothing_given_becomes_a_header_of_its_own(driver, request_):
    seen: list[bytes] = []

    async def handle(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    asyncio.run(with_server(driver, handle, lambda client: outcome(client, request_)))
    assert b"\r\nx:" not in b"".join(seen).lower()
