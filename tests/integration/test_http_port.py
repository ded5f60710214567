"""The httpx port against a real socket: status, evidence, bounds."""

import asyncio

import pytest

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence, HttpRequest
from venuekit.runtime.clock import RealClock
from venuekit.transport import http as http_module
from venuekit.transport.http import httpx_port

REQUEST = HttpRequest(
    "op", "POST", "/v1/things", query=(("a", "1"),), headers={"x-one": "1"}, body=b'{"b":2}'
)


async def with_server(handle, use, timeout_ms=2_000):
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = httpx_port(
        f"http://127.0.0.1:{port}", clock=RealClock(), timeouts_ms={"op": timeout_ms}, options={}
    )
    try:
        return await use(client)
    finally:
        await client.close()
        server.close()


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def answer(raw, seen=None):
    async def handle(reader, writer):
        request = await read_request(reader)
        if seen is not None:
            seen.append(request)
        writer.write(raw)
        await writer.drain()
        writer.close()

    return handle


def test_what_goes_out_and_what_comes_back():
    async def run():
        seen, handed = [], []
        raw = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}"

        async def use(client):
            return await client.send(REQUEST, on_sent=lambda: handed.append(1))

        reply = await with_server(answer(raw, seen), use)
        head, body = seen[0]
        assert head.startswith(b"POST /v1/things?a=1 HTTP/1.1")
        assert b"x-one: 1" in head
        assert b"content-type: application/json" in head.lower()
        assert body == b'{"b":2}'
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (429, b"{}", "3")
        assert handed == [1]

    asyncio.run(run())


def test_redirects_are_not_followed():
    async def run():
        raw = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        reply = await with_server(answer(raw), lambda client: client.send(REQUEST))
        assert reply.status == 307

    asyncio.run(run())


def failure(handle, timeout_ms=2_000):
    async def run():
        with pytest.raises(SendFailed) as caught:
            await with_server(handle, lambda client: client.send(REQUEST), timeout_ms)
        return caught.value

    return asyncio.run(run())


def test_refused_connection_is_not_sent():
    async def run():
        client = httpx_port("http://127.0.0.1:1", clock=RealClock(), timeouts_ms={}, options={})
        with pytest.raises(SendFailed) as caught:
            await client.send(REQUEST)
        await client.close()
        assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(run())


def test_silence_after_the_request_is_maybe_sent():
    async def handle(reader, writer):
        await reader.read()  # until the client gives up

    error = failure(handle, timeout_ms=150)
    assert error.evidence is Evidence.MAYBE_SENT
    assert "timed out" in error.message


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", b"\x00\xff garbage\r\n\r\n"]
)
def test_cut_or_senseless_replies_are_maybe_sent(raw):
    assert failure(answer(raw)).evidence is Evidence.MAYBE_SENT


def test_an_endless_body_is_cut_off(monkeypatch):
    monkeypatch.setattr(http_module, "MAX_BODY_BYTES", 100_000)

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            pass

    assert failure(handle).evidence is Evidence.MAYBE_SENT


def test_no_secret_in_the_error_text():
    async def run():
        request = HttpRequest(
            "op", "GET", "/x", headers={"authorization": "planted"}, query=(("k", "planted"),)
        )
        client = httpx_port("http://127.0.0.1:1", clock=RealClock(), timeouts_ms={}, options={})
        with pytest.raises(SendFailed) as caught:
            await client.send(request)
        await client.close()
        assert "planted" not in str(caught.value)

    asyncio.run(run())
