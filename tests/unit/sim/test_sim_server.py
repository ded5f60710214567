"""The loopback door under a foreign client (aiohttp's), and every fault as that client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from echo_service import Echo, one_market

from venuekit.interfaces.simulator import SimulatorInfo
from venuekit.runtime.clock import RealClock
from venuekit.sim.door import CloseKind, Request, Response
from venuekit.sim.fault_text import parse_fault
from venuekit.sim.faults import FaultPlan
from venuekit.sim.ledger import Ledger
from venuekit.sim.server import Server, ServerOptions, ready_line

BOUND = 5.0


class Rig:
    def __init__(self, options: ServerOptions) -> None:
        clock = RealClock()
        self.exchange = one_market(clock)
        self.ledger = Ledger(self.exchange, clock)
        self.faults = FaultPlan(clock)
        self.echo = Echo()
        self.server = Server(
            self.echo,
            clock=clock,
            exchange=self.exchange,
            ledger=self.ledger,
            faults=self.faults,
            options=options,
        )
        self.http: aiohttp.ClientSession

    def fault(self, **data: object) -> int:
        return self.faults.add(parse_fault(data))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    def connect(self, path: str = "/v1", **more: object):
        return self.http.ws_connect(self.server.ws_url + path, **more)

    async def control(self, verb: str, **data: object) -> tuple[int, dict]:
        async with self.http.post(f"{self.server.control_url}/{verb}", json=data) as reply:
            return reply.status, await reply.json()


def run(script: Callable[[Rig], Awaitable[None]], **options: object) -> Rig:
    async def main() -> Rig:
        rig = Rig(ServerOptions(**options))
        async with asyncio.timeout(20):
            await rig.server.start()
            async with aiohttp.ClientSession() as rig.http:
                try:
                    await script(rig)
                finally:
                    await rig.server.stop()
        # The framework ends its own tasks a few turns of the loop later.
        await rig.until(lambda: len(asyncio.all_tasks()) == 1)
        return rig

    return asyncio.run(main())


def test_requests_arrive_whole_and_are_in_the_ledger():
    async def script(rig: Rig) -> None:
        url = rig.server.http_url + "/v1/orders?market=A%26B&market=C"
        async with rig.http.post(url, data=b"payload", headers={"X-Agent": "me"}) as reply:
            assert reply.status == 201
            assert reply.headers["Content-Type"] == "application/json"
            assert reply.headers["X-Seen"] == "1"
            words = json.loads(await reply.text())
            assert words == {"query": [["market", "A&B"], ["market", "C"]], "agent": "me", "body": "payload"}
        async with rig.http.delete(rig.server.http_url + "/v1/empty") as reply:
            assert (reply.status, await reply.read()) == (204, b"")
            assert "Content-Type" not in reply.headers

    rig = run(script)
    assert [(one.direction, one.label, one.text) for one in rig.ledger.seen()][:1] == [
        ("request", "POST /v1/orders", b"payload".hex())
    ]
    assert rig.ledger.count("reply") == 2


def test_streams_echo_in_order_and_report_the_end():
    async def script(rig: Rig) -> None:
        async with rig.connect() as stream:
            assert await stream.receive_str() == "hello"
            for n in range(50):
                await stream.send_str(f"text {n}")
            await stream.send_bytes(b"\x00\x01")
            assert [await stream.receive_str() for _ in range(50)] == [f"text {n}" for n in range(50)]
            assert await stream.receive_bytes() == b"\x00\x01"
            assert len(rig.server.connections) == 1
        await rig.until(lambda: bool(rig.echo.ended))
        assert rig.echo.ended == [(CloseKind.CLIENT, 1000)]
        assert list(rig.server.connections) == []

    rig = run(script)
    assert rig.ledger.count("in") == 51
    assert rig.ledger.count("out") == 52


def test_a_handshake_can_be_refused():
    async def script(rig: Rig) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await rig.connect("/v1?bad=1")
        assert caught.value.status == 400

    run(script)


def test_stop_says_going_away():
    async def script(rig: Rig) -> None:
        stream = await rig.connect()
        await stream.receive_str()
        stopping = asyncio.get_running_loop().create_task(rig.server.stop())
        message = await stream.receive(BOUND)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001
        await stopping
        assert rig.echo.ended == [(CloseKind.SERVER, 1001)]

    run(script)


def test_server_pings_and_cuts_a_peer_that_never_answers():
    async def script(rig: Rig) -> None:
        answering = await rig.connect()
        silent = await rig.connect(autoping=False)
        await answering.receive_str()
        await silent.receive_str()
        ping = await silent.receive(BOUND)
        assert ping.type is aiohttp.WSMsgType.PING
        reader = asyncio.get_running_loop().create_task(answering.receive())
        await rig.until(lambda: rig.echo.ended == [(CloseKind.NO_PONG, 1006)])
        assert not answering.closed
        await answering.close()
        await reader

    run(script, ping_ms=30, pong_ms=60)


def test_slow_consumer_is_cut():
    async def script(rig: Rig) -> None:
        stream = await rig.connect()
        await stream.send_str("flood")
        await rig.until(lambda: bool(rig.echo.ended))
        assert rig.echo.ended == [(CloseKind.SLOW, 1006)]

    run(script, backlog=500)


def test_drop_connections_resets_all():
    async def script(rig: Rig) -> None:
        streams = [await rig.connect() for _ in range(3)]
        for stream in streams:
            await stream.receive_str()
        assert await rig.control("drop_connections") == (200, {"dropped": 3})
        for stream in streams:
            message = await stream.receive(BOUND)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert stream.close_code == 1006
        await rig.until(lambda: rig.echo.ended == [(CloseKind.RESET, 1006)] * 3)

    run(script)


def test_f01_refused_connects_then_the_port_opens_again():
    async def script(rig: Rig) -> None:
        stream = await rig.connect()
        await stream.receive_str()
        rig.fault(kind="F01", trigger={"after_ms": 0}, lasts_ms=100)
        await rig.until(rig.faults.refuses)
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await other.get(rig.server.http_url + "/v1/x")
            assert isinstance(caught.value.os_error, ConnectionRefusedError)
            # What is open stays open.
            await stream.send_str("still here")
            assert await stream.receive_str() == "still here"
            await rig.until(lambda: not rig.faults.refuses())
            async with asyncio.timeout(BOUND):
                while True:
                    try:
                        async with other.get(rig.server.http_url + "/v1/x") as reply:
                            assert reply.status == 201
                            break
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.005)
        await stream.close()

    run(script)


def test_f05_before_and_after_the_service_acted():
    async def script(rig: Rig) -> None:
        rig.fault(kind="F05", trigger={"nth": 1}, scope={"points": ["request"], "label": "POST *"})
        rig.fault(kind="F05", trigger={"cut": "C3"}, scope={"label": "POST *"})
        for _ in range(2):
            # aiohttp may see the reset as a disconnect; either way no answer came.
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                await rig.http.post(rig.server.http_url + "/v1/orders")
        assert rig.echo.handled == ["POST /v1/orders"]
        async with rig.http.post(rig.server.http_url + "/v1/orders") as reply:
            assert reply.status == 201

    run(script)


def test_f06_close_code_and_f05_on_a_frame():
    async def script(rig: Rig) -> None:
        rig.fault(
            kind="F06",
            trigger={"nth": 1},
            scope={"points": ["in"], "label": "*bye*"},
            code=4031,
            reason="idle",
        )
        stream = await rig.connect()
        await stream.receive_str()
        await stream.send_str("good bye")
        message = await stream.receive(BOUND)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4031, "idle")
        rig.fault(kind="F05", trigger={"nth": 1}, scope={"points": ["in"]})
        stream = await rig.connect()
        await stream.receive_str()
        await stream.send_str("x")
        await stream.receive(BOUND)
        assert stream.close_code == 1006
        await rig.until(lambda: len(rig.echo.ended) == 2)
        assert rig.echo.ended == [(CloseKind.SERVER, 4031), (CloseKind.RESET, 1006)]
        assert rig.echo.received == []

    run(script)


def test_f07_half_open_swallows_both_ways_and_f08_mute_still_pongs():
    async def script(rig: Rig) -> None:
        stream = await rig.connect(autoping=False)
        await stream.receive_str()
        number = rig.fault(kind="F08", trigger={"nth": 1}, scope={"points": ["out"]})
        await stream.send_str("one")
        await stream.ping()
        assert (await stream.receive(BOUND)).type is aiohttp.WSMsgType.PONG
        assert rig.echo.received == ["one"]
        rig.faults.lift(number)
        number = rig.fault(kind="F07", trigger={"after_ms": 0})
        await rig.until(lambda: rig.faults.silenced(1).half_open)
        await stream.send_str("two")
        await stream.ping()
        await rig.until(lambda: rig.ledger.count("in") == 2)
        rig.faults.lift(number)
        await stream.send_str("three")
        message = await stream.receive(BOUND)
        assert message.data == "three"
        assert rig.echo.received == ["one", "three"]
        await stream.close()

    run(script)


def test_f09_latency_keeps_the_order_and_f20_holds_one_frame_back():
    async def script(rig: Rig) -> None:
        stream = await rig.connect()
        await stream.receive_str()
        loop = asyncio.get_running_loop()
        rig.fault(kind="F09", trigger={"nth": 1}, scope={"points": ["out"]}, delay_ms=80)
        begun = loop.time()
        await stream.send_str("a")
        await stream.send_str("b")
        assert [await stream.receive_str(), await stream.receive_str()] == ["a", "b"]
        assert loop.time() - begun >= 0.079
        rig.fault(kind="F20", trigger={"nth": 1}, scope={"points": ["out"]}, delay_ms=80)
        await stream.send_str("c")
        await stream.send_str("d")
        assert [await stream.receive_str(), await stream.receive_str()] == ["d", "c"]
        await stream.close()

    run(script)


def test_f12_truncated_frame_and_truncated_body():
    async def script(rig: Rig) -> None:
        rig.fault(kind="F12", trigger={"nth": 1}, scope={"points": ["out"], "label": "echo"}, keep_bytes=3)
        stream = await rig.connect(compress=0)
        await stream.receive_str()
        await stream.send_str("abcdefgh")
        message = await stream.receive(BOUND)
        assert message.type is not aiohttp.WSMsgType.TEXT
        assert stream.close_code == 1006
        rig.fault(kind="F12", trigger={"nth": 1}, scope={"points": ["request"]}, keep_bytes=3)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with rig.http.get(rig.server.http_url + "/v1/x") as reply:
                assert reply.status == 201
                await reply.read()

    run(script)


def test_f14_duplicate_and_f16_drop():
    async def script(rig: Rig) -> None:
        stream = await rig.connect()
        await stream.receive_str()
        rig.fault(kind="F14", trigger={"nth": 1}, scope={"label": "echo"})
        rig.fault(kind="F16", trigger={"nth": 2}, scope={"points": ["out"], "label": "echo"})
        rig.fault(kind="F16", trigger={"nth": 3}, scope={"points": ["in"]})
        for text in ("a", "b", "c", "d"):
            await stream.send_str(text)
        assert [await stream.receive_str() for _ in range(3)] == ["a", "a", "d"]
        assert rig.echo.received == ["a", "b", "d"]
        await stream.close()

    run(script)


def test_f18_f19_answer_without_acting_and_f20_acts_then_waits():
    async def script(rig: Rig) -> None:
        rig.fault(kind="F18", trigger={"nth": 1}, retry_after="7", body='{"error":"x"}')
        rig.fault(kind="F18", trigger={"nth": 2})
        rig.fault(
            kind="F19",
            trigger={"nth": 3},
            status=502,
            body="<html>bad gateway</html>",
            content_type="text/html",
        )
        rig.fault(kind="F19", trigger={"nth": 4}, status=500, content_type=None)
        seen = []
        for _ in range(4):
            async with rig.http.get(rig.server.http_url + "/v1/x") as reply:
                seen.append(
                    (
                        reply.status,
                        reply.headers.get("Retry-After"),
                        reply.headers.get("Content-Type"),
                        await reply.text(),
                    )
                )
        assert seen == [
            (429, "7", "application/json", '{"error":"x"}'),
            (429, None, None, ""),
            (502, None, "text/html", "<html>bad gateway</html>"),
            (500, None, None, ""),
        ]
        assert rig.echo.handled == []
        rig.fault(kind="F20", trigger={"nth": 1}, delay_ms=60_000)
        with pytest.raises(asyncio.TimeoutError):
            await rig.http.get(rig.server.http_url + "/v1/x", timeout=aiohttp.ClientTimeout(total=0.1))
        assert rig.echo.handled == ["GET /v1/x"]

    run(script)


def test_f18_on_a_handshake():
    async def script(rig: Rig) -> None:
        rig.fault(kind="F18", scope={"points": ["connect"]}, retry_after="1")
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await rig.connect()
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
        stream = await rig.connect()
        await stream.close()

    run(script)


def test_f21_expires_tokens_by_time_and_by_request():
    async def script(rig: Rig) -> None:
        rig.fault(kind="F21", trigger={"after_ms": 0})
        await rig.until(lambda: rig.echo.expired == 1)
        rig.fault(kind="F21", trigger={"nth": 1}, scope={"points": ["request"]})
        await rig.http.get(rig.server.http_url + "/v1/x")
        assert rig.echo.expired == 2

    run(script)


def test_control_door_verbs_ledger_and_errors():
    async def script(rig: Rig) -> None:
        assert (await rig.control("fund_account", account="a", amount="1000"))[0] == 200
        status, placed = await rig.control(
            "external_order", account="a", market="AAA-PERP", side="buy", quantity="1", price="99.5"
        )
        assert (status, placed["order"]["status"]) == (200, "OPEN")
        status, crossed = await rig.control("cross", order_id=placed["order"]["id"], quantity="0.25")
        assert [one["quantity"] for one in crossed["fills"]] == ["0.25"]
        async with rig.http.get(rig.server.control_url + "/ledger?account=a") as reply:
            ledger = await reply.json()
        assert [one["quantity"] for one in ledger["positions"]] == ["0.25"]
        assert ledger["digest"] == rig.ledger.digest()
        assert (await rig.control("cross", order_id="nobody"))[0] == 409
        assert (await rig.control("fund_account", account="a", amount=1.5))[0] == 400
        assert (await rig.control("set_mode", mode="sideways"))[0] == 400
        assert (await rig.control("no_such_verb"))[0] == 404
        assert await rig.control("expire_tokens") == (200, {"expired": 1})
        assert (await rig.control("fault", kind="F17"))[0] == 400
        status, added = await rig.control("fault", plan=[{"kind": "F05"}, {"kind": "F16"}])
        assert (status, added) == (200, {"numbers": [1, 2]})
        assert (await rig.control("clear_faults"))[0] == 200
        assert (await rig.control("set_mode", mode="cancel_only")) == (200, {"mode": "cancel_only"})
        for body in (b"[1", b'{"market": "\xff"}', b"[" * 100_000):
            async with rig.http.post(rig.server.control_url + "/halt", data=body) as reply:
                assert reply.status == 400
        async with rig.http.post(
            rig.server.control_url + "/halt", json={"market": "AAA-PERP"}, headers={"Origin": "http://x"}
        ) as reply:
            assert reply.status == 403
        assert not rig.exchange.halted("AAA-PERP")

    run(script)


def test_ready_line_is_one_json_line():
    info = SimulatorInfo(
        venue="x",
        addresses={"rest": "http://127.0.0.1:1"},
        control="http://127.0.0.1:1/control",
        account="0x1",
        config_toml="[node]\nname = 'x'\n",
    )
    line = ready_line(info)
    assert "\n" not in line
    row = json.loads(line)
    assert (row["event"], row["addresses"]["rest"], row["account"]) == ("ready", "http://127.0.0.1:1", "0x1")
    assert row["config_toml"] == "[node]\nname = 'x'\n"


def test_f01_without_an_end_lasts_until_it_is_lifted():
    async def script(rig: Rig) -> None:
        number = rig.fault(kind="F01", trigger={"after_ms": 0})
        await rig.until(rig.faults.refuses)
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError):
                await other.get(rig.server.http_url + "/v1/x")
            rig.faults.lift(number)
            async with asyncio.timeout(BOUND):
                while True:
                    try:
                        async with other.get(rig.server.http_url + "/v1/x") as reply:
                            assert reply.status == 201
                            break
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.005)

    run(script)


def test_a_service_reports_its_own_cut_points():
    async def script(rig: Rig) -> None:
        async def handle(request: Request) -> Response:
            rig.server.cut("C10", request)
            return Response(status=200, body=b"whole snapshot")

        rig.echo.handle = handle
        rig.fault(kind="F12", trigger={"cut": "C10"}, keep_bytes=5)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with rig.http.get(rig.server.http_url + "/v1/x") as reply:
                await reply.read()
        async with rig.http.get(rig.server.http_url + "/v1/x") as reply:
            assert await reply.read() == b"whole snapshot"
        stream = await rig.connect()
        await stream.receive_str()
        rig.fault(kind="F05", trigger={"cut": "C5"}, scope={"label": "order 7"})
        [connection] = rig.server.connections
        rig.server.cut("C5", connection, "order 6")
        await stream.send_str("alive")
        assert await stream.receive_str() == "alive"
        rig.server.cut("C5", connection, "order 7")
        await stream.receive(BOUND)
        assert stream.close_code == 1006

    run(script)
