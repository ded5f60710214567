"""What a config sets is what the drivers do: proxy, timeouts, limits; and TLS that cannot be turned off."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
from self_signed import server_tls
from websockets.asyncio.server import serve

from venuekit.errors import ConfigError, SendFailed
from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.request import Evidence, Handshake, HttpRequest
from venuekit.runtime.clock import RealClock

HTTP_DRIVERS = ("httpx", "aiohttp")
STREAM_DRIVERS = ("websockets", "picows")


def opened(*lines: str, key: str = "dydx") -> OpenedVenue:
    text = f'[venues.{key}]\nenvironment = "mainnet"\n' + "\n".join(lines)
    return OpenedVenue(parse_config(text, environ={}).venues[key], clock=RealClock())


@asynccontextmanager
async def server(handle, tls=None):
    """A server of one connection at a time, and its port."""
    seen: list[bytes] = []

    async def take(reader, writer):
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            await handle(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(take, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1], seen
    finally:
        listening.close()


async def silence(writer):
    await asyncio.sleep(20)


async def no_markets(writer):
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"markets":{}}')
    await writer.drain()


@pytest.mark.parametrize("driver", HTTP_DRIVERS)
def test_requests_go_through_the_proxy_of_the_config(driver):
    async def run():
        async with server(no_markets) as (port, seen):
            venue = opened(
                f'transport.http = "{driver}"',
                f'transport.options.http.proxy = "http://127.0.0.1:{port}"',
                'addresses.rest = "http://127.0.0.1:9"',
            )
            await venue.open()
            await venue.close()
        # RFC 9112, 3.2.2: a proxy is asked for the whole address. Nothing listens at port 9.
        assert seen[0].startswith(b"GET http://127.0.0.1:9/")

    asyncio.run(asyncio.wait_for(run(), 15))


@pytest.mark.parametrize("driver", HTTP_DRIVERS)
def test_a_timeout_of_the_config_ends_a_request_and_the_policy_counts_as_set(driver):
    async def run():
        async with server(silence) as (port, seen):
            venue = opened(
                f'transport.http = "{driver}"',
                "transport.options.retry.attempts = 2",
                "transport.options.retry.base_ns = 1",
                "timeouts_ms.markets = 60",
                f'addresses.rest = "http://127.0.0.1:{port}"',
            )
            clock = RealClock()
            started = clock.mono_ns()
            with pytest.raises(SendFailed) as caught:
                await venue.open()
            # The manifest says 10 s.
            assert clock.mono_ns() - started < 3_000_000_000
            assert "timed out" in caught.value.message
            assert caught.value.evidence is Evidence.MAYBE_SENT
            assert len(seen) == 2
            await venue.close()

    asyncio.run(asyncio.wait_for(run(), 15))


def test_a_limit_of_the_config_paces_requests():
    async def run():
        async with server(no_markets) as (port, _):
            venue = opened(
                "limits.default = { rate = 1, burst = 1 }",
                f'addresses.rest = "http://127.0.0.1:{port}"',
            )
            await venue.open()
            assert venue.counters.get("pacing.waited") == 0
            # The burst is spent: under the manifest's own limit 49 more would go at once.
            request = HttpRequest("markets", "GET", "/v4/perpetualMarkets")
            second = asyncio.ensure_future(venue.context().ports["rest"].send(request))
            for _ in range(3):
                await asyncio.sleep(0)
            assert venue.counters.get("pacing.waited") == 1
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            await venue.close()

    asyncio.run(asyncio.wait_for(run(), 15))


@pytest.mark.parametrize("driver", HTTP_DRIVERS)
def test_a_certificate_that_nobody_vouches_for_is_refused(driver, tmp_path):
    async def run():
        tls, _ = server_tls(tmp_path)
        async with server(no_markets, tls) as (port, seen):
            venue = opened(
                f'transport.http = "{driver}"',
                "transport.options.retry.attempts = 1",
                f'addresses.rest = "https://localhost:{port}"',
            )
            with pytest.raises(SendFailed) as caught:
                await venue.open()
            assert caught.value.evidence is Evidence.NOT_SENT
            assert seen == []
            await venue.close()

    asyncio.run(asyncio.wait_for(run(), 15))


@pytest.mark.parametrize("driver", STREAM_DRIVERS)
def test_a_stream_to_such_a_server_is_refused(driver, tmp_path):
    async def run():
        tls, _ = server_tls(tmp_path)
        async with server(silence, tls) as (port, seen):
            venue = opened(f'transport.stream = "{driver}"', key="paradex")
            transport = venue._stream_transport()
            with pytest.raises(SendFailed) as caught:
                await transport.connect(Handshake(f"wss://localhost:{port}/"), Deaf())
            assert caught.value.evidence is Evidence.NOT_SENT
            assert seen == []

    asyncio.run(asyncio.wait_for(run(), 15))


class Deaf:
    """A receiver of a stream that never opens."""

    def on_frame(self, frame):
        raise AssertionError("a frame")

    def on_alive(self):
        raise AssertionError("life")

    def on_closed(self, code, reason):
        raise AssertionError("it was open")


class Heard(asyncio.Event):
    """A receiver that waits for one frame."""

    frame = None

    def on_frame(self, frame):
        self.frame = frame
        self.set()

    def on_alive(self):
        pass

    def on_closed(self, code, reason):
        pass


async def proxying(reader, writer, seen, to_port):
    """A proxy as RFC 9110 has it: CONNECT is answered, then bytes go both ways as they come."""
    seen.append(await reader.readuntil(b"\r\n\r\n"))
    there, back = await asyncio.open_connection("127.0.0.1", to_port)
    writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")

    async def pump(source, sink):
        try:
            while data := await source.read(65_536):
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            sink.close()

    await asyncio.gather(pump(reader, back), pump(there, writer))


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("driver", STREAM_DRIVERS)
def test_streams_go_through_the_proxy_of_the_config(driver, secure, tmp_path, monkeypatch):
    tls, path = server_tls(tmp_path)
    # Here the test vouches for the certificate: the tunnel must end at the host, not at the proxy.
    trusted = ssl.create_default_context(cafile=str(path))
    monkeypatch.setattr("venuekit.transport.websocket.verified_tls", lambda: trusted)
    monkeypatch.setattr("venuekit.transport.picows_stream.verified_tls", lambda: trusted)

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def run():
        seen = []
        async with serve(echo, "127.0.0.1", 0, ssl=tls if secure else None) as venue_side:
            port = venue_side.sockets[0].getsockname()[1]
            proxy = await asyncio.start_server(lambda r, w: proxying(r, w, seen, port), "127.0.0.1", 0)
            address = f"http://me:p%40ss@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            venue = opened(
                f'transport.stream = "{driver}"',
                f'transport.options.stream.proxy = "{address}"',
                key="paradex",
            )
            heard = Heard()
            scheme = "wss" if secure else "ws"
            # Nothing but the proxy can know where that is.
            link = await venue._stream_transport().connect(Handshake(f"{scheme}://localhost:9/x"), heard)
            link.send("hello")
            await heard.wait()
            assert heard.frame == "hello"
            await link.close()
            proxy.close()
        assert seen == [
            (b"CONNECT localhost:9 HTTP/1.1\r\nHost: localhost:9\r\n"
            b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n")
        ]

    asyncio.run(asyncio.wait_for(run(), 15))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "refused with status 407"),
        (b"SSH-2.0-x\r\n\r\n", "did not answer as one"),
        (b"HTTP/1.1 200 " + b"x" * 20_000, "did not answer as one"),
        (b"", "did not answer as one"),
    ],
)
@pytest.mark.parametrize("driver", STREAM_DRIVERS)
def test_a_proxy_that_does_not_let_us_through_means_that_nothing_was_sent(driver, answer, text):
    async def run():
        async def handle(writer):
            writer.write(answer)
            await writer.drain()

        async with server(handle) as (port, _):
            venue = opened(
                f'transport.stream = "{driver}"',
                f'transport.options.stream.proxy = "http://me:planted@127.0.0.1:{port}"',
                key="paradex",
            )
            with pytest.raises(SendFailed) as caught:
                await venue._stream_transport().connect(Handshake("wss://localhost:9/"), Deaf())
            assert text in caught.value.message
            assert "planted" not in caught.value.message
            assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(asyncio.wait_for(run(), 15))


@pytest.mark.parametrize("name", ["http.verify", "http.verify_tls", "stream.insecure", "http.ssl"])
def test_no_option_turns_verification_off(name):
    with pytest.raises(ConfigError, match="has no such option"):
        opened(f'transport.options = {{ "{name}" = "false" }}')


@pytest.mark.parametrize(
    ("slot", "option"),
    [
        ("http", "http.connections"),
        ("http", "http.proxy"),
        ("stream", "stream.ping_ms"),
        ("stream", "stream.proxy"),
        ("retry", "retry.cap_ns"),
    ],
)
def test_an_option_with_a_senseless_value_is_told_without_the_value(slot, option):
    async def run():
        venue = opened(f'transport.options = {{ "{option}" = "planted" }}', key="paradex")
        with pytest.raises(ConfigError) as caught:
            if slot == "stream":
                venue._stream_transport()
            else:
                await venue.open()
        error = caught.value
        assert "transport.options" in error.path
        assert "planted" not in str(error) + error.hint
        await venue.close()

    asyncio.run(run())
