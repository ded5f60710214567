"""The simple door on real sockets: curl, a bare WebSocket client, many clients, and a clean end."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from venuekit_paradex.sim import SIMULATOR
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_sync

from venuekit.errors import NotReady
from venuekit.runtime.clock import RealClock

DATA = Path(__file__).parent.parent / "data"
BTC = "BTC-USD-PERP"
FREE = {"simple": "true", "simple_http_port": "0", "simple_ws_port": "0"}


def run(body, **options: str) -> None:
    async def main() -> None:
        simulator = SIMULATOR(clock=RealClock(), seed=3, port=0, options={**FREE, **options})
        info = await simulator.start()
        try:
            await asyncio.wait_for(body(simulator, info), 40)
        finally:
            await simulator.stop()
        left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        assert left == []

    asyncio.run(main())


async def call(line, method: str, **params: object) -> dict:
    await line.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": method}))
    while True:
        message = json.loads(await line.recv())
        if message.get("id") == method:
            return message


async def told(line) -> tuple[str, dict]:
    while True:
        message = json.loads(await line.recv())
        if message.get("method") == "subscription":
            return message["params"]["channel"], message["params"]["data"]


async def until(true) -> None:
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def fetch(*arguments: str) -> str:
    return await asyncio.to_thread(curl, *arguments)


def test_a_bare_client_sees_its_order_fill_and_position_come_by() -> None:
    async def body(simulator, info) -> None:
        base = info.doors["simple_http"]
        async with connect(info.doors["simple_ws"]) as line:
            assert "result" in await call(line, "auth", bearer="whatever")
            for channel in (f"orders.{BTC}", f"fills.{BTC}", "positions", "account"):
                assert (await call(line, "subscribe", channel=channel))["result"] == {"channel": channel}
            sent = {"market": BTC, "side": "BUY", "type": "MARKET", "size": "0.01"}
            placed = json.loads(await fetch("-d", json.dumps(sent), f"{base}/v1/orders"))
            seen: dict[str, dict] = {}
            while not {f"orders.{BTC}", f"fills.{BTC}", "positions", "account"} <= set(seen):
                channel, data = await told(line)
                seen[channel] = data
            assert seen[f"orders.{BTC}"]["id"] == seen[f"fills.{BTC}"]["order_id"] == placed["id"]
            assert seen["positions"]["size"] == "0.01"
        await until(lambda: not simulator.simple._lines)

    run(body)


def test_the_broadcast_comes_at_one_hertz() -> None:
    async def body(simulator, info) -> None:
        clock, times = RealClock(), []
        async with connect(info.doors["simple_ws"]) as line:
            await call(line, "subscribe", channel="account")
            while len(times) < 4:
                await told(line)
                times.append(clock.mono_ns())
        # A busy machine delays single beats; half or twice the rate would be far outside.
        gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(times)]
        assert 2.2 < sum(gaps) < 4.5, gaps

    run(body, liquidity="false")


def test_fifty_clients_at_once() -> None:
    channels = [f"{kind}.{BTC}" for kind in ("trades", "orderbook", "orders", "fills")]
    channels += ["positions", "account"]

    async def one(url: str) -> list[int]:
        async with connect(url) as line:
            for channel in channels:
                assert "result" in await call(line, "subscribe", channel=channel)
            books: list[int] = []
            while len(books) < 3:
                channel, data = await told(line)
                if channel == f"orderbook.{BTC}":
                    books.append(data["seq_no"])
            return books

    async def order(base: str) -> int:
        sent = json.dumps({"market": BTC, "side": "BUY", "type": "LIMIT", "size": "0.001", "price": "83000"})
        return int(await fetch("-o", "/dev/null", "-w", "%{http_code}", "-d", sent, f"{base}/v1/orders"))

    async def body(simulator, info) -> None:
        url, base = info.doors["simple_ws"], info.doors["simple_http"]
        started = RealClock().mono_ns()
        seen, statuses = await asyncio.gather(
            asyncio.gather(*(one(url) for _ in range(50))),
            asyncio.gather(*(order(base) for _ in range(10))),
        )
        assert statuses == [201] * 10
        assert len(simulator.exchange.orders(info.account)) == 10
        # At one beat every client gets the same book, and a later one at the next.
        beats = {number for books in seen for number in books}
        assert len(beats) <= 2 + (RealClock().mono_ns() - started) // 10**9
        for books in seen:
            assert books == sorted(set(books))

    run(body)


def test_a_client_that_does_not_read_is_cut_off_and_the_others_stay(monkeypatch) -> None:
    from venuekit_paradex.sim import simple

    monkeypatch.setattr(simple, "BACKLOG", 50)

    async def body(simulator, info) -> None:
        loop = asyncio.get_running_loop()
        async with connect(info.doors["simple_ws"]) as good:
            await call(good, "subscribe", channel="account")
            port = int(info.doors["simple_ws"].rsplit(":", 1)[1])
            deaf = socket.create_connection(("127.0.0.1", port))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            await loop.sock_sendall(
                deaf,
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            )
            head = await loop.sock_recv(deaf, 4_096)
            assert head.startswith(b"HTTP/1.1 101")
            await until(lambda: len(simulator.simple._lines) == 2)
            members = simulator.simple._feed._members
            victim = members[max(members)]
            text = "x" * 60_000
            while len(simulator.simple._lines) == 2:
                victim.send(text)
                await asyncio.sleep(0)
            deaf.close()
            assert (await told(good))[0] == "account"

    run(body, liquidity="false")


def test_plain_http_on_the_stream_port_and_oversized_bodies() -> None:
    async def body(simulator, info) -> None:
        base, stream = info.doors["simple_http"], info.doors["simple_ws"].replace("ws:", "http:")
        refused = await fetch("-i", stream)
        assert refused.startswith("HTTP/1.1 426")
        assert "Upgrade: websocket" in refused
        assert "Access-Control-Allow-Origin: *" in refused
        big = DATA.parent / "data/specs/openapi-prod.json"
        sent = big.read_bytes() * (1 + (2 << 20) // big.stat().st_size)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rsplit(":", 1)[1]))
        writer.write(b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(sent))
        try:
            writer.write(sent)
            await writer.drain()
        except ConnectionError:
            pass
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        assert json.loads(await fetch(f"{base}/health")) == {"status": "ok"}
        async with connect(info.doors["simple_ws"]) as line:
            await line.send("x" * 70_000)
            with pytest.raises(ConnectionClosed) as caught:
                await line.recv()
            assert caught.value.rcvd.code == 1009  # message too big

    run(body, liquidity="false")


def test_a_browser_page_may_ask_here_but_not_at_the_control_door() -> None:
    async def body(simulator, info) -> None:
        base = info.doors["simple_http"]
        answer = await fetch("-i", "-H", "Origin: http://page.example", f"{base}/v1/markets")
        assert "Access-Control-Allow-Origin: *" in answer
        asked = ("-H", "Origin: http://page.example", "-H", "Access-Control-Request-Method: DELETE")
        preflight = await fetch("-i", "-X", "OPTIONS", *asked, f"{base}/v1/orders/1")
        assert preflight.startswith("HTTP/1.1 204")
        assert "Access-Control-Allow-Methods: DELETE, OPTIONS" in preflight
        control = await fetch("-i", "-H", "Origin: http://page.example", f"{info.control}/digest")
        assert control.startswith("HTTP/1.1 403")
        assert "Access-Control" not in control

    run(body, liquidity="false")


@pytest.mark.parametrize("option", ["simple_http_port", "simple_ws_port"])
def test_a_taken_port_is_named_and_nothing_stays_open(option) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            simulator = SIMULATOR(clock=RealClock(), seed=3, port=0, options={**FREE, option: str(port)})
            with pytest.raises(NotReady, match=f"port {port}") as caught:
                await simulator.start()
            assert option in caught.value.hint
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", simulator.server.port)
        assert [one for one in asyncio.all_tasks() if one is not asyncio.current_task()] == []

    asyncio.run(main())


def test_the_fixtures_folder_sets_both_doors_up(tmp_path) -> None:
    shutil.copy(DATA / "recorded_rest/fetch_markets.json", tmp_path / "markets.json")
    price = {"symbol": "BODEN-USD-PERP", "mark_price": "0.0042", "funding_rate": "0.0001"}
    (tmp_path / "markets_summary.json").write_text(json.dumps({"results": [price]}))
    account = {"settlement_asset": "USDC", "total_collateral": "5000"}
    (tmp_path / "account.json").write_text(json.dumps(account))
    held = {
        "market": "BODEN-USD-PERP",
        "side": "SHORT",
        "size": "-1000",
        "average_entry_price": "0.005",
        "status": "OPEN",
    }
    (tmp_path / "positions.json").write_text(json.dumps({"results": [held]}))

    async def body(simulator, info) -> None:
        base = info.doors["simple_http"]
        (market,) = json.loads(await fetch(f"{base}/v1/markets"))["results"]
        assert market["symbol"] == "BODEN-USD-PERP"
        assert json.loads(await fetch(f"{info.addresses['rest']}/markets"))["results"] == [market]
        assert json.loads(await fetch(f"{base}/v1/account"))["total_collateral"] == "5000"
        (position,) = json.loads(await fetch(f"{base}/v1/account/positions"))["results"]
        assert (position["size"], position["side"], position["average_entry_price"]) == (
            "-1000",
            "SHORT",
            "0.005",
        )
        (rate,) = json.loads(await fetch(f"{base}/v1/funding/data?market=BODEN-USD-PERP"))["results"]
        assert rate["funding_rate"] == "0.0001"
        book = json.loads(await fetch(f"{base}/v1/orderbook/BODEN-USD-PERP"))
        assert book["bids"]
        assert book["asks"]

    run(body, fixtures=str(tmp_path))


def start_process(*arguments: str) -> tuple[subprocess.Popen, dict]:
    command = [sys.executable, "-m", "venuekit", "sim", "paradex", "--simple", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_sigterm_closes_every_client_cleanly() -> None:
    process, ready = start_process("-o", "simple_http_port=0", "-o", "simple_ws_port=0")
    try:
        base, stream = ready["doors"]["simple_http"], ready["doors"]["simple_ws"]
        with urllib.request.urlopen(f"{base}/health", timeout=10) as reply:
            assert json.load(reply) == {"status": "ok"}
        lines = [connect_sync(stream) for _ in range(5)]
        lines[0].send('{"jsonrpc":"2.0","method":"subscribe","params":{"channel":"account"},"id":1}')
        lines[0].recv(timeout=10)
        process.send_signal(signal.SIGTERM)
        for line in lines:
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    line.recv(timeout=10)
            assert caught.value.rcvd.code == 1001
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"event": "stopped", "venue": "paradex"}
    for address in (base, stream):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=5)


def test_a_client_that_never_answers_the_close_does_not_hold_the_end_up() -> None:
    clock = RealClock()
    process, ready = start_process("-o", "simple_http_port=0", "-o", "simple_ws_port=0")
    try:
        port = int(ready["doors"]["simple_ws"].rsplit(":", 1)[1])
        silent = socket.create_connection(("127.0.0.1", port))
        silent.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert silent.recv(12) == b"HTTP/1.1 101"
        started = clock.mono_ns()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert clock.mono_ns() - started < 10e9
        silent.close()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


def test_the_ports_are_8080_and_8081_unless_told() -> None:
    made = SIMULATOR(clock=RealClock(), seed=1, port=0, options={"simple": "true"})
    assert made.simple.addresses == {
        "simple_http": "http://127.0.0.1:8080",
        "simple_ws": "ws://127.0.0.1:8081",
    }
    assert SIMULATOR(clock=RealClock(), seed=1, port=0, options={}).simple is None


def test_the_lines_of_the_page_work() -> None:
    page = Path(__file__).parents[4] / "docs/venues/paradex.md"
    section = page.read_text().partition("### The simple door")[2].partition("\n### ")[0]
    start, *calls = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert start == "venuekit sim paradex --simple"
    process, ready = start_process("-o", "simple_http_port=0", "-o", "simple_ws_port=0")
    try:
        answers = []
        for line in calls:
            program, *arguments = shlex.split(
                line.replace("http://127.0.0.1:8080", ready["doors"]["simple_http"])
            )
            assert program == "curl"
            answers.append(curl(*arguments))
        with connect_sync(ready["doors"]["simple_ws"]) as line:
            for request in section.partition("```json\n")[2].partition("```")[0].splitlines():
                line.send(request)
                reply = json.loads(line.recv(timeout=10))
                while "id" not in reply:
                    reply = json.loads(line.recv(timeout=10))
                assert "result" in reply
    finally:
        process.kill()
        process.communicate()
    account, placed, listed, cancelled = answers
    assert json.loads(account)["total_collateral"] == "100000"
    assert json.loads(placed)["status"] == "NEW"
    # The crowd may have filled it already.
    assert [row["id"] for row in json.loads(listed)["results"]] in ([], [json.loads(placed)["id"]])
    assert cancelled == ""
