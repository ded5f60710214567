"""Both HTTP drivers against real sockets: what goes out, what comes back, evidence, bounds, secrets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import threading
from typing import Any
from urllib.parse import parse_qsl

import pytest
from raw_http import DRIVERS, OK, REQUEST, answer, exchange, failure, read_request, with_server
from self_signed import server_tls

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest
from venuekit.runtime.clock import RealClock
from venuekit.transport import rules


@pytest.fixture(params=DRIVERS)
def driver(request) -> str:
    return request.param


def test_what_goes_out_and_what_comes_back(driver):
    async def run():
        seen, handed = [], []
        raw = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}"

        async def use(client):
            return await client.send(REQUEST, on_sent=lambda: handed.append(1))

        reply = await with_server(driver, answer(raw, seen), use)
        head, body = seen[0]
        assert head.startswith(b"POST /v1/things?a=1 HTTP/1.1")
        assert b"x-one: 1" in head.lower()
        assert b"content-type: application/json" in head.lower()
        assert body == b'{"b":2}'
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (429, b"{}", "3")
        assert handed == [1]

    asyncio.run(run())


def test_query_values_arrive_as_they_were_given(driver):
    query = (("a", "x y&z=+/%25"), ("a", "\u20ac"), ("empty", ""))
    request = HttpRequest("op", "GET", "/v1/x", query=query)
    _, (head, _) = exchange(driver, OK, request, path="/base")
    target = head.split(b" ")[1].decode()
    path, _, sent = target.partition("?")
    assert path == "/base/v1/x"
    assert tuple(parse_qsl(sent, keep_blank_values=True)) == query


def test_an_escape_in_the_path_stays(driver):
    _, (head, _) = exchange(driver, OK, HttpRequest("op", "GET", "/v1/a%2Fb"))
    assert head.split(b" ")[1] == b"/v1/a%2Fb"


def test_a_content_type_of_the_request_replaces_ours(driver):
    request = HttpRequest("op", "POST", "/x", headers={"Content-Type": "text/plain"}, body=b"x")
    _, (head, _) = exchange(driver, OK, request)
    types = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-type")]
    assert types == [b"content-type: text/plain"]


def test_a_post_without_a_body_says_so(driver):
    _, (head, _) = exchange(driver, OK, HttpRequest("op", "POST", "/x"))
    assert b"content-length: 0\r\n" in head.lower()


def test_a_header_that_comes_twice_is_one_list(driver):
    raw = b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: b\r\nContent-Length: 0\r\n\r\n"
    assert exchange(driver, raw)[0].headers["x-one"] == "a, b"


def test_a_compressed_reply_is_read(driver):
    packed = gzip.compress(b"x" * 10_000)
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert exchange(driver, raw + packed)[0].body == b"x" * 10_000


def test_redirects_are_not_followed(driver):
    raw = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert exchange(driver, raw)[0].status == 307


def test_proxies_of_the_environment_are_not_read(driver, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    assert exchange(driver, OK)[0].status == 200


def test_a_proxy_of_the_options_is_used(driver):
    """The proxy sees the whole address (RFC 9112, 3.2.2)."""

    async def main() -> bytes:
        seen: list[Any] = []

        async def use(proxy):
            make = DRIVERS[driver][1]
            options = {"proxy": proxy.address}
            client = make("http://venue.invalid", clock=RealClock(), timeouts_ms={}, options=options)
            await client.send(REQUEST)
            await client.close()

        await with_server("none", answer(OK, seen), use)
        return seen[0][0]

    assert asyncio.run(main()).startswith(b"POST http://venue.invalid/v1/things?a=1 HTTP/1.1")


@pytest.mark.parametrize("lets_through", [True, False])
def test_https_through_a_proxy_is_a_tunnel_to_the_host(driver, tmp_path, monkeypatch, lets_through):
    """The proxy learns the host's name and who we are (RFC 9110, 9.3.6), the host the request."""
    tls, path = server_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    rules.verified_tls.cache_clear()
    heads: list[bytes] = []
    seen: list[Any] = []

    async def use(host):
        port = int(host.address.rpartition(":")[2])

        async def proxying(reader, writer):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if not lets_through:
                writer.write(b"HTTP/1.1 403 planted\r\nContent-Length: 0\r\n\r\n")
                return
            there, back = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Go\r\n\r\n")

            async def pump(source, sink):
                while data := await source.read(65_536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, back), pump(there, writer))

        async def through(proxy):
            where = proxy.address.replace("//", "//me:p%40ss@")
            client = DRIVERS[driver][1](
                "https://localhost:9", clock=RealClock(), timeouts_ms={}, options={"proxy": where}
            )
            try:
                return (await client.send(REQUEST)).body
            except SendFailed as error:
                return error
            finally:
                await client.close()

        return await with_server("none", proxying, through)

    try:
        found = asyncio.run(with_server("none", answer(OK, seen), use, tls=tls))
    finally:
        rules.verified_tls.cache_clear()
    assert heads[0].startswith(b"CONNECT localhost:9 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in heads[0]
    if lets_through:
        assert found == b"{}"
        assert seen[0][0].startswith(b"POST /v1/things?a=1 HTTP/1.1\r\n")
        assert b"roxy" not in seen[0][0]
    else:
        assert found.evidence is Evidence.NOT_SENT
        assert "planted" not in str(found)
        assert seen == []


def test_one_connection_serves_many_requests(driver):
    connections: list[int] = []
    serve = answer(OK, times=3)

    async def handle(reader, writer):
        connections.append(1)
        await serve(reader, writer)

    async def use(client):
        for _ in range(3):
            assert (await client.send(REQUEST)).status == 200

    asyncio.run(with_server(driver, handle, use))
    assert connections == [1]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_kept_connection_that_breaks_is_no_reason_to_send_again(driver, method):
    """The second request is read whole, then the connection dies: a repetition would be a second command."""
    seen: list[bytes] = []

    async def handle(reader, writer):
        for n in range(2):
            head, _ = await read_request(reader)
            seen.append(head.split(b" ")[1])
            if n == 0:
                writer.write(OK)
                await writer.drain()

    async def use(client):
        assert (await client.send(HttpRequest("op", method, "/first"))).status == 200
        with pytest.raises(SendFailed) as caught:
            await client.send(HttpRequest("op", method, "/second"))
        return caught.value.evidence

    evidence = asyncio.run(with_server(driver, handle, use))
    assert seen == [b"/first", b"/second"]
    assert evidence is Evidence.MAYBE_SENT


LATE = b"HTTP/1.1 408 Idle\r\nContent-Length: 4\r\n\r\nlate"


@pytest.mark.parametrize(("last", "closes"), [(b"", True), (LATE, True), (LATE, False)])
def test_a_kept_connection_that_the_server_ended_is_not_used_again(driver, last, closes):
    """Nor is what it said meanwhile taken for the answer of the next request."""
    answered, over = asyncio.Event(), asyncio.Event()
    connections: list[int] = []

    async def handle(reader, writer):
        connections.append(1)
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        if len(connections) == 1:
            await answered.wait()
            writer.write(last)
            if closes:
                writer.close()
                await writer.wait_closed()
            over.set()
            await reader.read()

    async def use(client):
        assert (await client.send(REQUEST)).status == 200
        answered.set()
        await asyncio.wait_for(over.wait(), 5)
        for _ in range(5):  # aiohttp learns of it from the loop
            await asyncio.sleep(0)
        return await client.send(REQUEST)

    assert asyncio.run(with_server(driver, handle, use)).status == 200
    assert connections == [1, 1]


def test_an_end_that_the_loop_has_not_seen_yet_is_seen(driver):
    """The server is a thread; the loop does not turn between its end and the next request."""
    connections: list[int] = []
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            one, _ = listening.accept()
            connections.append(1)
            head = b""
            while not head.endswith(REQUEST.body):
                head += one.recv(65_536)
            one.sendall(OK)
            if len(connections) == 2:
                one.recv(1)
            else:
                answered.wait(5)
            one.close()
            ended.set()

    answered = threading.Event()

    async def main() -> None:
        client = DRIVERS[driver][1](
            f"http://127.0.0.1:{listening.getsockname()[1]}", clock=RealClock(), timeouts_ms={}, options={}
        )
        assert (await client.send(REQUEST)).status == 200
        answered.set()
        assert ended.wait(5)
        assert (await client.send(REQUEST)).status == 200
        await client.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        asyncio.run(main())
        thread.join(5)
    assert connections == [1, 1]


def test_a_flood_on_a_kept_connection_ends_it():
    """Nobody reads what nobody asked for, and it must not fill the memory (httpx: aiohttp keeps its own)."""
    cut = asyncio.Event()

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(OK)
        try:
            while True:
                writer.write(bytes(2**20))
                await writer.drain()
        finally:
            cut.set()

    async def use(client):
        await client.send(REQUEST)
        await asyncio.wait_for(cut.wait(), 5)

    asyncio.run(with_server("httpx", handle, use))


def test_a_reset_in_a_reply_without_a_length_is_no_end_of_it(driver):

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    assert failure(driver, handle).evidence is Evidence.MAYBE_SENT


def test_a_large_body_and_a_large_reply_arrive_whole(driver):
    """Larger than what sockets and drivers keep."""
    size = 8 * 2**20

    async def handle(reader, writer):
        _, body = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body[::-1])
        await writer.drain()

    body = bytes(range(256)) * (size // 256)
    request = HttpRequest("op", "POST", "/x", body=body)
    reply = asyncio.run(with_server(driver, handle, lambda client: client.send(request), timeout_ms=20_000))
    assert reply.body == body[::-1]


def test_a_cookie_of_the_server_is_not_returned(driver):
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    seen: list[Any] = []

    async def use(client):
        for _ in range(2):
            await client.send(REQUEST)

    asyncio.run(with_server(driver, answer(raw, seen, times=2), use))
    assert [b"cookie" in head.lower() for head, _ in seen] == [False, False]


def test_nothing_is_logged_of_a_request(driver, caplog):
    """An address may hold a signature in its query."""
    caplog.set_level("INFO")
    request = HttpRequest("op", "GET", "/x", query=(("k", "planted"),))
    assert exchange(driver, OK, request)[0].status == 200
    assert "planted" not in caplog.text


def test_nothing_of_the_path_leads_to_another_host(driver):
    _, (head, _) = exchange(driver, OK, HttpRequest("op", "GET", "http://elsewhere.invalid/x"), path="/base")
    assert head.startswith(b"GET /base/http")


def test_a_refused_connection_is_not_sent(driver):
    async def run():
        client = DRIVERS[driver][1]("http://127.0.0.1:1", clock=RealClock(), timeouts_ms={}, options={})
        with pytest.raises(SendFailed) as caught:
            await client.send(REQUEST)
        await client.close()
        assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(run())


def test_waiting_for_a_free_connection_is_not_sent(driver):
    arrived: list[int] = []
    full = asyncio.Event()

    async def mute(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        arrived.append(1)
        if len(arrived) == 1:
            full.set()
        await reader.read()

    async def use(client):
        first = asyncio.create_task(client.send(HttpRequest("slow", "GET", "/a")))
        await asyncio.wait_for(full.wait(), 5)
        with pytest.raises(SendFailed) as caught:
            await client.send(HttpRequest("op", "GET", "/b"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return caught.value

    error = asyncio.run(with_server(driver, mute, use, timeout_ms=150, connections="1"))
    assert error.evidence is Evidence.NOT_SENT
    assert "timed out" in error.message
    assert arrived == [1]


def test_silence_after_the_request_is_maybe_sent(driver):
    async def handle(reader, writer):
        await reader.read()  # until the client gives up

    error = failure(driver, handle, timeout_ms=150)
    assert error.evidence is Evidence.MAYBE_SENT
    assert "timed out" in error.message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
def test_cut_or_senseless_replies_are_maybe_sent(driver, raw):
    assert failure(driver, answer(raw)).evidence is Evidence.MAYBE_SENT


def test_an_endless_body_is_cut_off(driver, monkeypatch):
    monkeypatch.setattr(DRIVERS[driver][0], "MAX_BODY_BYTES", 100_000)

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    error = failure(driver, handle)
    assert error.evidence is Evidence.MAYBE_SENT
    assert "timed out" not in error.message


def test_a_small_reply_that_unpacks_to_a_huge_one_is_cut_off(driver, monkeypatch):
    monkeypatch.setattr(DRIVERS[driver][0], "MAX_BODY_BYTES", 100_000)
    packed = gzip.compress(b"x" * 5_000_000)
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert failure(driver, answer(raw + packed)).evidence is Evidence.MAYBE_SENT


@pytest.mark.parametrize("raw", [None, b"", b"\x00planted garbage\r\n\r\n"])
def test_no_secret_in_the_error_text(driver, raw):
    request = HttpRequest("op", "GET", "/x", headers={"authorization": "planted"}, query=(("k", "planted"),))
    if raw is None:

        async def run():
            client = DRIVERS[driver][1]("http://127.0.0.1:1", clock=RealClock(), timeouts_ms={}, options={})
            with pytest.raises(SendFailed) as caught:
                await client.send(request)
            await client.close()
            return caught.value

        error = asyncio.run(run())
    else:
        error = failure(driver, answer(raw), request)
    assert "planted" not in f"{error} {error.hint}"


def test_a_header_that_would_break_the_request_in_two_leaves_nothing(driver):
    """Nothing of it may reach the venue; the evidence may be careful."""
    seen: list[bytes] = []

    async def handle(reader, writer):
        seen.append(await reader.read())

    request = HttpRequest("op", "GET", "/x", headers={"x-one": "a\r\nGET /y HTTP/1.1"})
    error = failure(driver, handle, request)
    assert "GET /y" not in str(error)
    assert b"".join(seen) == b""


def test_close_ends_what_is_open_and_the_port(driver):
    arrived: list[int] = []
    full = asyncio.Event()

    async def mute(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        arrived.append(1)
        if len(arrived) == 2:
            full.set()
        await reader.read()

    async def use(client):
        sends = [asyncio.create_task(client.send(HttpRequest("op", "GET", "/x"))) for _ in range(3)]
        await asyncio.wait_for(full.wait(), 5)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await client.close()
        took = loop.time() - started
        ends = await asyncio.wait_for(asyncio.gather(*sends, return_exceptions=True), 2)
        with pytest.raises(SendFailed) as caught:
            await client.send(REQUEST)
        await client.close()
        return took, ends, caught.value.evidence

    took, ends, late = asyncio.run(with_server(driver, mute, use, timeout_ms=30_000, connections="2"))
    assert took < 1.5
    assert [type(end) for end in ends] == [SendFailed] * 3
    evidences = sorted(end.evidence.value for end in ends)
    assert evidences == ["maybe_sent", "maybe_sent", "not_sent"]
    assert late is Evidence.NOT_SENT
    assert len(arrived) == 2


@pytest.mark.parametrize(
    ("trusted", "host", "passes"),
    [(False, "localhost", False), (True, "127.0.0.1", False), (True, "localhost", True)],
    ids=["unknown issuer", "other name", "trusted"],
)
def test_tls_is_verified(driver, tmp_path, monkeypatch, trusted, host, passes):
    tls, path = server_tls(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    rules.verified_tls.cache_clear()
    seen: list[Any] = []
    try:
        if passes:
            reply = asyncio.run(
                with_server(driver, answer(OK, seen), lambda client: client.send(REQUEST), tls=tls, host=host)
            )
            assert reply.status == 200
        else:
            error = failure(driver, answer(OK, seen), tls=tls, host=host)
            assert error.evidence is Evidence.NOT_SENT
            assert seen == []
    finally:
        rules.verified_tls.cache_clear()


def test_a_late_reply_is_never_taken_for_that_of_the_next_request(driver):
    """With one connection in all: the request that was given up takes its connection with it."""
    gave_up = asyncio.Event()

    async def handle(reader, writer):
        head, _ = await read_request(reader)
        if b"/late" in head:
            await gave_up.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        else:
            writer.write(OK)
        await writer.drain()

    async def use(client):
        with pytest.raises(SendFailed):
            await client.send(HttpRequest("op", "GET", "/late"))
        gave_up.set()
        return await client.send(HttpRequest("slow", "GET", "/next"))

    reply = asyncio.run(with_server(driver, handle, use, timeout_ms=100, connections="1"))
    assert reply.body == b"{}"


def test_many_at_once_get_their_own_replies(driver):
    """More requests than connections, answered out of order."""

    async def handle(reader, writer):
        while True:
            head, _ = await read_request(reader)
            number = int(head.split(b" ")[1].rpartition(b"/")[2])
            for _ in range(number % 7):
                await asyncio.sleep(0)
            body = str(number).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()

    async def use(client):
        numbers = range(60)
        replies = await asyncio.gather(*(client.send(HttpRequest("op", "GET", f"/{n}")) for n in numbers))
        return [int(reply.body) for reply in replies]

    assert asyncio.run(with_server(driver, handle, use, connections="8")) == list(range(60))
