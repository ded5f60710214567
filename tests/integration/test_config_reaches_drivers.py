"""What a config sets is what the drivers do: proxy, timeouts, limits; and TLS that cannot be turned off."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from self_signed import server_tls

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

    async def serve(reader, writer):
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            await handle(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
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
    class Receiver:
        def on_frame(self, frame):
            raise AssertionError("a frame")

        def on_alive(self):
            raise AssertionError("life")

        def on_closed(self, code, reason):
            raise AssertionError("it was open")

    async def run():
        tls, _ = server_tls(tmp_path)
        async with server(silence, tls) as (port, seen):
            venue = opened(f'transport.stream = "{driver}"', key="paradex")
            transport = venue._stream_transport()
            with pytest.raises(SendFailed) as caught:
                await transport.connect(Handshake(f"wss://localhost:{port}/"), Receiver())
            assert caught.value.evidence is Evidence.NOT_SENT
            assert seen == []

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
