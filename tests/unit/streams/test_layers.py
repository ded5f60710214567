"""Record, replay and faults: captures without secrets, the same frames again, faults where planned."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from stream_fakes import SECOND, FakeServer, World

from venuekit.errors import CaptureError, Refused, SendFailed
from venuekit.interfaces.request import Evidence, Handshake, HttpRequest, Reply, RpcRequest
from venuekit.runtime.clock import ManualClock
from venuekit.transport.layers.capture import What, load_capture
from venuekit.transport.layers.faults import Fault, FaultLayer, Kind, Point
from venuekit.transport.layers.record import Recorder
from venuekit.transport.layers.redact import redact_headers, redact_query, redact_text, redact_url
from venuekit.transport.layers.replay import Replay

SBE = Path(__file__).parents[3] / "venues" / "paradex" / "tests" / "data" / "sbe"
# Shaped like the real things, made of nothing.
JWT = "eyJ" + "A" * 20 + "." + "B" * 20 + "." + "C" * 20
SIGNATURE = "0x" + "12" * 32


class Heard:
    def __init__(self) -> None:
        self.frames: list[bytes | str] = []
        self.alive = 0
        self.closed: list[tuple[int | None, str]] = []

    def on_frame(self, frame: bytes | str) -> None:
        self.frames.append(frame)

    def on_alive(self) -> None:
        self.alive += 1

    def on_closed(self, code: int | None, reason: str) -> None:
        self.closed.append((code, reason))


class FakePort:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None

    async def send(self, request: Any, *, on_sent: Any = lambda: None) -> Reply:
        self.asked.append(request)
        on_sent()
        if self.error:
            raise self.error
        body = json.dumps({"jwt_token": JWT, "n": len(self.asked), "price": 1.10}).encode()
        return Reply(200, body, {"Set-Cookie": "secret-cookie", "Retry-After": "3"}, 5)


# --- secrets


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","method":"subscription","params":{"data":{"price":"1.10","size":0.50}}}',
        '{"token":"USDC","size":"1"}',
        '{"bridged_tokens":[{"symbol":"USDC"}]}',
        "plain words about a token",
        '{"auth":""}',
        '{"reduce":true,"key":"BTC"}',
    ],
)
def test_what_holds_no_secret_is_written_byte_for_byte(text: str):
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"params":{"bearer":"abc"},"id":1}', '{"params":{"bearer":"***"},"id":1}'),
        ('{"signature":"[\\"0x1\\",\\"0x2\\"]","price":1.10}', '{"signature":"***","price":1.10}'),
        (
            '{"signature":["0x1","0x2"],"n":12345678901234567890}',
            '{"signature":"***","n":12345678901234567890}',
        ),
        ('{"a":[{"private_key":"0x1"}]}', '{"a":[{"private_key":"***"}]}'),
        (f'{{"token":"{JWT}"}}', '{"token":"***"}'),
        (f'{{"note":"see {JWT}"}}', '{"note":"see ***"}'),
        (f"not json {JWT} at all", "not json *** at all"),
        ('{"request_signature":"0x1","API-KEY":"k","apiKey":"k"}', None),
    ],
)
def test_secrets_are_masked_and_the_rest_keeps_its_text(text: str, clean: str | None):
    made = redact_text(text)
    if clean is not None:
        assert made == clean
    assert "0x1" not in made
    assert JWT not in made


def test_headers_queries_and_addresses():
    assert redact_headers(
        {"Authorization": "Bearer x", "X-RateLimit-Remaining": "7", "PARADEX-Sig": "1"}
    ) == {
        "Authorization": "***",
        "X-RateLimit-Remaining": "7",
        "PARADEX-Sig": "***",
    }
    assert redact_query([("market", "BTC"), ("signature", "0x1")]) == [
        ("market", "BTC"),
        ("signature", "***"),
    ]
    assert redact_url("wss://me:pw@host:1/path?jwt=abc&v=2") == "wss://host:1/path?jwt=***&v=2"


# --- record and replay


def record(path: Path) -> list[bytes | str]:
    """A connection with a login and data, a refused one, a request, a failed request; what really came in."""

    async def main() -> list[bytes | str]:
        clock, server, heard = ManualClock(), FakeServer(), Heard()
        recorder = Recorder(path, clock, {"venue": "fake"})
        stream = recorder.stream(server)
        link = await stream.connect(Handshake(f"ws://fake/?jwt={JWT}", {"Authorization": JWT}), heard)
        link.send(json.dumps({"login": JWT, "signature": SIGNATURE}))
        await clock.settle()
        link.send(bytes.fromhex(SIGNATURE[2:]))
        assert server.link.sent[-1] == {"bytes": SIGNATURE[2:]}
        server.link.receiver.on_frame(b"\x00\xffbinary")
        clock.advance(SECOND)
        server.link.receiver.on_frame('{"quote":"\u2028 1.10"}')
        server.link.receiver.on_alive()
        server.link.cut(1006, "cut")
        server.refuse_connect = Refused("no", code="403")
        with pytest.raises(Refused):
            await stream.connect(Handshake("ws://fake"), heard)
        port = recorder.port(FakePort(), "rest")
        request = HttpRequest("auth", "POST", "/auth", headers={"PARADEX-STARKNET-SIGNATURE": SIGNATURE})
        assert JWT.encode() in (await port.send(request)).body
        assert (await port.send(HttpRequest("m", "GET", "/m", [("b", "2"), ("a", "1")]))).status == 200
        assert (await port.send(HttpRequest("m", "GET", "/m", [("a", "1"), ("b", "2")]))).status == 200
        await port.send(RpcRequest("tx", "/broadcast", bytes.fromhex(SIGNATURE[2:])))
        bad = FakePort()
        bad.error = SendFailed("lost", evidence=Evidence.MAYBE_SENT)
        with pytest.raises(SendFailed):
            await recorder.port(bad, "rest").send(HttpRequest("x", "GET", "/x"))
        recorder.close()
        return heard.frames

    return asyncio.run(main())


def test_a_capture_holds_no_secret_anywhere(tmp_path: Path):
    path = tmp_path / "a.capture"
    record(path)
    text = path.read_text()
    for secret in (JWT, SIGNATURE, SIGNATURE[2:], "secret-cookie"):
        assert secret not in text
    # Nor hidden in base64.
    capture = load_capture(path)
    whole = b"".join(e.frame.encode() if isinstance(e.frame, str) else e.frame for e in capture.entries)
    assert JWT.encode() not in whole
    assert bytes.fromhex(SIGNATURE[2:]) not in whole


def test_a_capture_is_read_back_as_it_was(tmp_path: Path):
    path = tmp_path / "a.capture"
    frames = record(path)
    capture = load_capture(path)
    assert capture.about["venue"] == "fake"
    assert not capture.torn
    assert [e.what for e in capture.entries] == [
        What.OPEN, What.OUT, What.IN, What.OUT, What.IN, What.IN, What.CLOSED, What.OPEN, What.CLOSED,
        *(What.REQUEST, What.REPLY) * 4, What.REQUEST, What.FAILED,
    ]  # fmt: skip
    assert [e.frame for e in capture.of(What.IN)] == frames
    stamps = [e.ts_ns for e in capture.of(What.IN)]
    assert stamps[2] - stamps[1] == SECOND
    assert next(capture.of(What.FAILED)).about["evidence"] == "maybe_sent"


def test_what_comes_after_our_own_close_is_not_recorded(tmp_path: Path):
    """A session drops it; a replay has no such moment and would take it: its books would end later."""
    path = tmp_path / "a.capture"

    async def main() -> list[bytes | str]:
        server, heard = FakeServer(), Heard()
        recorder = Recorder(path, ManualClock(), {})
        link = await recorder.stream(server).connect(Handshake("ws://fake"), heard)
        receiver = server.link.receiver
        receiver.on_frame("before")
        closing = asyncio.create_task(link.close())
        await asyncio.sleep(0)
        receiver.on_frame("late")
        await closing
        recorder.close()
        return heard.frames

    assert asyncio.run(main()) == ["before", "late"]
    assert [entry.frame for entry in load_capture(path).of(What.IN)] == ["before"]


def test_a_replay_brings_the_same_frames_and_answers(tmp_path: Path):
    path = tmp_path / "a.capture"
    frames = record(path)

    async def main() -> None:
        clock, heard = ManualClock(), Heard()
        replay = Replay(load_capture(path), clock)
        link = await replay.stream().connect(Handshake("ws://fake"), heard)
        await clock.run_for(SECOND)
        assert heard.frames == []  # a venue speaks when it was asked
        link.send("sub")
        await clock.run_for(0)
        assert heard.frames == frames
        assert heard.closed == [(1006, "cut")]
        assert replay.finished.done()
        assert replay.played == 3
        port = replay.port()
        again = HttpRequest("m", "GET", "/m", [("a", "1"), ("b", "2")])
        reply = await port.send(again)
        assert (reply.status, json.loads(reply.body)["n"]) == (200, 2)
        assert reply.headers["Retry-After"] == "3"
        # The second answer, and from then on it.
        assert [json.loads((await port.send(again)).body)["n"] for _ in range(3)] == [3, 3, 3]
        with pytest.raises(SendFailed) as caught:
            await port.send(HttpRequest("n", "GET", "/never"))
        assert caught.value.evidence is Evidence.NOT_SENT

    asyncio.run(main())


def test_a_paced_replay_keeps_the_recorded_distances(tmp_path: Path):
    path = tmp_path / "a.capture"
    record(path)

    async def main() -> None:
        clock, heard = ManualClock(), Heard()
        link = await Replay(load_capture(path), clock, speed=2.0).stream().connect(Handshake("ws://x"), heard)
        link.send("sub")
        await clock.run_for(SECOND // 4)
        assert len(heard.frames) == 2
        await clock.run_for(SECOND // 2)
        assert len(heard.frames) == 3
        await link.close()

    asyncio.run(main())


def test_a_connect_after_the_last_recorded_connection_waits(tmp_path: Path):
    path = tmp_path / "a.capture"
    record(path)

    async def main() -> None:
        replay = Replay(load_capture(path), ManualClock())
        await replay.stream().connect(Handshake("ws://x"), Heard())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(replay.stream().connect(Handshake("ws://x"), Heard()), 0.01)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["book_deltas_btc.json", "bbo_btc.json"])
def test_published_captures_of_one_connection_are_read_too(name: str):
    capture = load_capture(SBE / name)
    rows = json.loads((SBE / name).read_text())["frames"]
    assert [type(e.frame).__name__ for e in capture.of(What.IN)] == [
        "str" if row["opcode"] == "text" else "bytes" for row in rows
    ]
    assert [e.ts_ns for e in capture.of(What.IN)] == [row["t_ns"] for row in rows]


def test_a_recorder_that_was_killed_leaves_a_readable_capture(tmp_path: Path):
    path = tmp_path / "a.capture"
    record(path)
    text = path.read_text()
    path.write_text(text[: text.rindex("{") + 5])
    capture = load_capture(path)
    assert capture.torn
    assert len(capture.entries) == 18


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "junk", '{"venuekit_capture":99}', '{"venuekit_capture":1}\njunk\n{}', "\x00",
     '{"venuekit_capture":1}\n{"what":"in","t":"x","n":1}',
     '{"venuekit_capture":1}\n{"what":"odd","t":1,"n":1}',
     '{"venuekit_capture":1}\n{"what":"in","t":1,"n":1,"b64":"?"}',
     '{"frames":[1]}', '{"frames":[{"t_ns":1}]}',
     '{"frames":[{"t_ns":1,"b64":"*"}]}'],
)  # fmt: skip
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "odd.capture"
    path.write_text(content)
    with pytest.raises(CaptureError, match=r"odd\.capture"):
        load_capture(path)


def test_a_missing_or_unwritable_file_is_a_capture_error(tmp_path: Path):
    with pytest.raises(CaptureError):
        load_capture(tmp_path / "none")
    with pytest.raises(CaptureError):
        Recorder(tmp_path / "no" / "folder", ManualClock(), {})


# --- faults


def layer(world: World, *plan: Fault) -> FaultLayer:
    return FaultLayer(plan, world.clock, world.counters)


def connected(plan: list[Fault], script: Any) -> tuple[World, Heard, FaultLayer]:
    async def main() -> tuple[World, Heard, FaultLayer]:
        world, heard = World(), Heard()
        world.server.auto_ack = False
        faults = layer(world, *plan)
        link = await faults.stream(world.server).connect(Handshake("ws://fake"), heard)
        await script(world, link)
        await world.run(0.01)
        return world, heard, faults

    return asyncio.run(main())


def test_a_refused_connect_is_not_sent_and_the_next_one_works():
    async def main() -> None:
        world = World()
        stream = layer(world, Fault(kind=Kind.REFUSE_CONNECT, point=Point.CONNECT, count=2)).stream(
            world.server
        )
        for _ in range(2):
            with pytest.raises(SendFailed) as caught:
                await stream.connect(Handshake("ws://fake"), Heard())
            assert caught.value.evidence is Evidence.NOT_SENT
        await stream.connect(Handshake("ws://fake"), Heard())
        assert world.counters.get("faults.F01") == 2

    asyncio.run(main())


@pytest.mark.parametrize("processed", [True, False])
def test_a_reset_after_a_send_closes_once(processed: bool):
    async def script(world: World, link: Any) -> None:
        link.send('{"a":1}')
        link.send('{"order":1}')
        await world.run(0.01)
        with pytest.raises(SendFailed):
            link.send('{"b":1}')

    fault = Fault(kind=Kind.RESET, point=Point.OUT, match="order", processed=processed)
    world, heard, _ = connected([fault], script)
    assert heard.closed == [(1006, "reset (planted)")]
    assert world.server.link.sent == [{"a": 1}, *([{"order": 1}] if processed else [])]


def test_a_reset_before_the_write_is_known_to_the_sender():
    async def script(world: World, link: Any) -> None:
        with pytest.raises(SendFailed) as caught:
            link.send('{"order":1}')
        assert caught.value.evidence is Evidence.NOT_SENT

    world, heard, _ = connected([Fault(kind=Kind.RESET, point=Point.OUT, written=False)], script)
    assert len(heard.closed) == 1
    assert world.server.link.sent == []


def test_half_open_swallows_everything_both_ways_until_we_close():
    async def script(world: World, link: Any) -> None:
        world.server.link.says(order=["1"])
        world.server.link.says(order=["2"])
        world.server.link.says(order=["3"])
        world.server.link.receiver.on_alive()
        link.send('{"a":1}')
        world.server.link.cut()
        await world.run(0.01)
        await link.close()

    world, heard, _ = connected([Fault(kind=Kind.HALF_OPEN, point=Point.IN, nth=2)], script)
    assert heard.frames == ['{"order": ["1"]}']
    assert heard.alive == 0
    assert heard.closed == [(1006, "closed by us")]
    assert world.server.link.sent == []


def test_a_truncated_frame_arrives_as_half_and_the_connection_ends():
    async def script(world: World, link: Any) -> None:
        world.server.link.receiver.on_frame(b"12345678")
        world.server.link.receiver.on_frame(b"never")

    _, heard, _ = connected([Fault(kind=Kind.TRUNCATE, point=Point.IN)], script)
    assert heard.frames == [b"1234"]
    assert len(heard.closed) == 1


def test_drops_are_counted_per_match_and_by_the_clocks_draws():
    async def script(world: World, link: Any) -> None:
        for n in range(6):
            world.server.link.says(order=[n])
            world.server.link.says(quote=[n])

    plan = [Fault(kind=Kind.DROP, point=Point.IN, match="order", nth=2, count=3)]
    _, heard, faults = connected(plan, script)
    assert [frame for frame in heard.frames if "order" in frame] == [f'{{"order": [{n}]}}' for n in (0, 4, 5)]
    assert len(heard.frames) == 9
    assert len(faults.planted) == 3

    async def flood(world: World, link: Any) -> None:
        for n in range(400):
            world.server.link.says(order=[n])

    _, heard, _ = connected([Fault(kind=Kind.DROP, point=Point.IN, count=1_000, chance=0.5)], flood)
    assert 150 < len(heard.frames) < 250


def test_a_late_frame_comes_late_but_not_after_the_end():
    async def script(world: World, link: Any) -> None:
        world.server.link.says(order=["late"])
        world.server.link.says(order=["soon"])
        await world.run(2)
        world.server.link.says(order=["too late"])
        world.server.link.cut()
        await world.run(2)

    plan = [
        Fault(kind=Kind.LATE_REPLY, point=Point.IN),
        Fault(kind=Kind.LATE_REPLY, point=Point.IN, match="too"),
    ]
    _, heard, _ = connected(plan, script)
    assert heard.frames == ['{"order": ["soon"]}', '{"order": ["late"]}']


@pytest.mark.parametrize(
    ("fault", "reached", "outcome"),
    [
        (Fault(kind=Kind.TOO_MANY, point=Point.REQUEST, retry_after="2"), 0, 429),
        (Fault(kind=Kind.SERVER_ERROR, point=Point.REQUEST, status=502, body=b"<html>"), 0, 502),
        (Fault(kind=Kind.SERVER_ERROR, point=Point.REQUEST, processed=True), 1, 503),
        (Fault(kind=Kind.LATE_REPLY, point=Point.REQUEST), 1, Evidence.MAYBE_SENT),
        (Fault(kind=Kind.RESET, point=Point.REQUEST, processed=True), 1, Evidence.MAYBE_SENT),
        (Fault(kind=Kind.RESET, point=Point.REQUEST), 0, Evidence.MAYBE_SENT),
        (Fault(kind=Kind.RESET, point=Point.REQUEST, written=False), 0, Evidence.NOT_SENT),
    ],
)
def test_a_faulty_port_says_whether_the_venue_got_it(fault: Fault, reached: int, outcome: Any):
    async def main() -> None:
        world, inner = World(), FakePort()
        port = layer(world, fault).port(inner)
        task = asyncio.ensure_future(port.send(HttpRequest("submit", "POST", "/orders")))
        await world.run(2)
        assert len(inner.asked) == reached
        if isinstance(outcome, Evidence):
            error = task.exception()
            assert isinstance(error, SendFailed)
            assert error.evidence is outcome
        else:
            reply = task.result()
            assert (reply.status, reply.body) == (outcome, fault.body)
            assert reply.headers.get("Retry-After", "") == fault.retry_after
        assert (await port.send(HttpRequest("submit", "POST", "/orders"))).status == 200

    asyncio.run(main())


def test_nothing_strikes_before_its_time_and_impossible_plans_are_refused():
    async def main() -> None:
        world, inner = World(), FakePort()
        port = layer(world, Fault(kind=Kind.TOO_MANY, point=Point.REQUEST, not_before_ms=500)).port(inner)
        ask = HttpRequest("m", "GET", "/m")
        assert (await port.send(ask)).status == 200
        await world.run(0.6)
        assert (await port.send(ask)).status == 429
        with pytest.raises(ValueError, match="F01"):
            Fault(kind=Kind.REFUSE_CONNECT, point=Point.IN)

    asyncio.run(main())
