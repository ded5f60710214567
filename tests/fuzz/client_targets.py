"""Everything of the client that reads bytes from outside; its own errors are answers, others are finds."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from fuzzing import Feed, Target
from mutator import EDGES, TEXTS, Mutator, Pairs, load
from paradex_seeds import DATA, QUIET, ROOT, TS, OnePort, Tally, done, frames, named, symbols, trees
from venuekit_dydx.instruments import IndexerInstruments
from venuekit_lighter.instruments import OrderBookInstruments
from venuekit_paradex.auth import ParadexAuthenticator
from venuekit_paradex.history import ParadexHistory
from venuekit_paradex.instruments import ParadexInstruments
from venuekit_paradex.orders import ParadexOrders
from venuekit_paradex.reconciliation import ParadexReads
from venuekit_paradex.stream import ParadexStream
from venuekit_paradex.time import ParadexTime
from venuekit_paradex.wire.json import SystemConfig
from venuekit_paradex.wire.replies import read, row_as

from venuekit.core.numbers import parse_price, parse_quantity, scaled
from venuekit.core.symbols import Symbols, parse_increment
from venuekit.errors import BadValue, CaptureError, ConfigError, DecodeError, SecretError, VenuekitError
from venuekit.host.config import parse_config
from venuekit.host.secrets import parse_secret_ref
from venuekit.interfaces.orders import Prepared, Verdict
from venuekit.interfaces.reconciliation import Query
from venuekit.interfaces.records import FillRecord, OrderRecord, WireIds
from venuekit.interfaces.request import Handshake, HttpRequest, Reply, StreamRequest
from venuekit.interfaces.signer import Signed, Where
from venuekit.interfaces.stream import BookUpdate, DataKind, Quarantined, Want, Window
from venuekit.interfaces.time import AtWall
from venuekit.runtime.clock import ManualClock
from venuekit.transport.layers.capture import load_capture
from venuekit.transport.layers.replay import Replay

# --- streams


def _stream(*, private: bool, version: int | None) -> ParadexStream:
    """A connection that has asked for a login and topics, whose answers may come."""
    stream = ParadexStream(url="ws://venue/v1", symbols=symbols(), private=private, sbe_version=version)
    stream.subscribe(stream.standing(), None)
    return stream


def _check_decoded(found: object) -> None:
    """Never nothing; what it found can be shown and makes sense by itself."""
    assert found, "nothing was decoded and nothing was said"
    for one in found:
        repr(one)
        if isinstance(one, Quarantined):
            assert len(one.why) <= 400, "a long text of the peer goes to the log"
        elif isinstance(one, BookUpdate):
            assert one.ts_event > 0
            assert one.first is None or one.first <= one.last
        elif isinstance(one, OrderRecord):
            assert one.ids.venue_order_id
            assert one.ts_event > 0
            if one.filled is not None and one.quantity is not None:
                assert one.filled <= one.quantity, "more filled than ordered"
        elif isinstance(one, FillRecord):
            assert one.trade_key
            assert one.quantity.as_decimal() > 0


def _open_stream(private: bool) -> Callable[[], Feed]:
    def open_() -> Feed:
        streams = [_stream(private=private, version=version) for version in (None, 0, 1, 2)]

        def feed(data: bytes) -> None:
            stream = streams[len(data) % len(streams)]
            _check_decoded(stream.decode(data, TS))
            if data[:1] in b'{["':
                _check_decoded(stream.decode(data.decode(errors="replace"), TS))

        return feed

    return open_


def _sbe(private: bool) -> Callable[[Mutator], bytes]:
    def make(mutator: Mutator) -> bytes:
        return mutator.blob(mutator.pick(frames(private=private)), frames(private=private))

    return make


@cache
def _texts() -> tuple[object, ...]:
    """Channel data and replies, among them replies to what the connection asked."""
    found = list(trees("ws", "recorded_ws", "ws_rpc"))
    for key in range(4_000_000_000_000_001, 4_000_000_000_000_005):
        found.append(load(json.dumps({"jsonrpc": "2.0", "result": {"channel": "x"}, "id": key})))
        error = {"code": -32600, "message": "invalid subscribe request", "data": "invalid channel"}
        found.append(load(json.dumps({"jsonrpc": "2.0", "error": error, "id": key})))
    return tuple(found)


def _json_frame(mutator: Mutator) -> bytes:
    text = mutator.json_text(mutator.pick(_texts()), _texts())
    for name in (b"BTC-USD-PERP", b"ETH-USD-PERP"):
        if mutator.chance(0.3):
            text = text.replace(b"TRUMP-USD-PERP", name).replace(b"ORDI-USD-PERP", name)
    return text


# --- REST: the first line of an input is the read and the status, the rest the body

_READS: Mapping[str, tuple[str, ...]] = {
    "open": ("rest/get_orders.200", "recorded_rest/fetch_open_orders"),
    "closed": ("rest/get_orders-history.200", "recorded_rest/fetch_orders"),
    "fills": ("rest/get_fills.200", "recorded_rest/fetch_my_trades"),
    "busts": ("rest/get_tradebusts.200",),
    "time": ("rest/get_system_time.200", "recorded_rest/fetch_time"),
    "positions": ("rest/get_positions.200", "recorded_rest/fetch_positions"),
    "balances": ("rest/get_balance.200", "rest/get_account.200", "recorded_rest/fetch_balance"),
    "look_up": ("rest/get_orders.200", "recorded_rest/fetch_order", "rest/get_fills.200", "rest/_error.400"),
    "trades": ("rest/get_trades.200", "recorded_rest/fetch_trades"),
    "funding": ("rest/get_funding_data.200", "recorded_rest/fetch_funding_rate_history"),
    "book": ("rest/get_orderbook_market.200", "recorded_rest/fetch_order_book"),
    "markets": ("rest/get_markets.200", "recorded_rest/fetch_markets"),
    "config": ("rest/get_system_config.200", "system_config_testnet"),
    "token": ("ws_rpc/auth.request", "rest/_error.400"),
}
_STATUSES = (200,) * 12 + (201, 204, 400, 401, 404, 429, 500, 503, 0)
_QUERIES = {one.value: one for one in Query}


class _Signer:
    public = "0x1"
    where = Where.INLINE

    def sign(self, request: object) -> Signed:
        return Signed(b'["1","2"]', b"\0" * 32)


def _rest_input(reads: Mapping[str, tuple[str, ...]]) -> Callable[[Mutator], bytes]:
    def make(mutator: Mutator) -> bytes:
        name = mutator.pick(sorted(reads))
        seeds = named(*reads[name])
        body = mutator.json_text(mutator.pick(seeds), seeds)
        if name == "token":
            claims = mutator.json_text(Pairs(exp_iat(mutator)))
            body = b'{"jwt_token":"h.' + _b64url(claims) + b'.s"}' if mutator.chance(0.7) else body
        if mutator.chance(0.5):
            body = body.replace(b'"market": "', b'"market":"').replace(b"kBONK-USD-PERP", b"BTC-USD-PERP")
        return f"{name} {mutator.pick(_STATUSES)}\n".encode() + body

    return make


def exp_iat(mutator: Mutator) -> list[tuple[str, object]]:
    """Claims of a token."""
    return [("exp", TS // 10**9 + mutator.draw.randrange(-400, 4_000)), ("iat", TS // 10**9)]


def _b64url(data: bytes) -> bytes:
    import base64

    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _open_reads() -> Feed:
    clock = ManualClock(wall_start_ns=TS)
    iid = next(iter(symbols())).instrument_id

    def feed(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        name, _, status = head.decode().partition(" ")
        port = OnePort(body, int(status))
        reads = ParadexReads(port=port, symbols=symbols())
        history = ParadexHistory(port=port, symbols=symbols(), clock=clock)
        try:
            if name in _QUERIES:
                page = done(reads.page(_QUERIES[name], Window(TS - 10**12, TS, 10), None))
                _check_decoded([*page.rows, *page.quarantined, Quarantined("end", "")])
            elif name == "look_up":
                ids = WireIds(client_order_id="x1234", venue_order_id=None if len(body) % 2 else "1234567890")
                repr(done(reads.look_up(ids, AtWall(TS))))
            elif name in ("trades", "funding"):
                kind = DataKind.TRADES if name == "trades" else DataKind.FUNDING_RATE
                page = done(history.page(Want(kind, iid), Window(), None))
                _check_decoded([*page.rows, *page.quarantined, Quarantined("end", "")])
            elif name == "book":
                _check_decoded([done(history.book(iid))])
            elif name == "time":
                assert done(ParadexTime(port).read()) >= 0
            elif name == "markets":
                _load_markets(port, clock)
            elif name == "config":
                row_as(done(read(port, HttpRequest("system_config", "GET", "/system/config"))), SystemConfig)
            else:
                _obtain(port, clock)
        except VenuekitError as error:
            assert len(error.message) < 1_000, "a long text of the peer goes to the log"
        # One answer repeated for ever must not be read for ever.
        assert port.asked < 100, f"{port.asked} requests"

    return feed


def _load_markets(port: OnePort, clock: ManualClock) -> None:
    source = ParadexInstruments(
        port=port, symbols=Symbols(), venue="PARADEX", clock=clock, counters=Tally(), log=QUIET
    )
    for instrument in done(source.load(None)):
        repr(instrument)


def _obtain(port: OnePort, clock: ManualClock) -> None:
    auth = ParadexAuthenticator(port=port, signer=_Signer(), account="0x2", clock=clock, counters=Tally())
    token = done(auth.obtain())
    assert token.issued is not None
    assert 0 < token.expires.ns - token.issued.ns <= 3_600 * 10**9


# --- replies to commands: the first line is the operation and the status

_STREAMED, _PLAIN = (
    ("submit ok", "cancel ok", "cancel_all ok", "submit error", "cancel error"),
    (200, 201, 204, 400, 401, 429, 500),
)


def _reply_input(mutator: Mutator) -> bytes:
    seeds = named(
        "ws_rpc/order.*", "rest/post_orders*", "recorded_rest/*order*", "rest/_error*", "ws_rpc/_err*"
    )
    tree = mutator.pick(seeds)
    if isinstance(tree, Pairs) and mutator.chance(0.7):
        # Over a stream the codec hands on the result or the error alone.
        tree = next((value for name, value in tree if name in ("result", "error")), tree)
    body = mutator.json_text(tree, seeds)
    if mutator.chance(0.6):
        return mutator.pick(_STREAMED).encode() + b"\n" + body
    return f"{mutator.pick(('submit', 'cancel', 'cancel_all'))} {mutator.pick(_PLAIN)}\n".encode() + body


def _open_replies() -> Feed:
    def feed(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        op, _, status = head.decode().partition(" ")
        streamed = not status.isdigit()
        codec = ParadexOrders(symbols=symbols(), route="ws" if streamed else "rest", recv_window_ms=5_000)
        request = StreamRequest(op, "order.x", b"{}") if streamed else HttpRequest(op, "POST", "/orders")
        prepared = Prepared(request, {"O-1": WireIds("O-1"), "O-2": WireIds("O-2")})
        verdict = codec.verdict(prepared, Reply(int(status) if status.isdigit() else status, body))
        assert isinstance(verdict, Verdict)
        repr(verdict)

    return feed


# --- files and texts


def _open_capture() -> Feed:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "capture.jsonl")
    # One loop for the whole block, closed with it.
    runner = asyncio.Runner()

    class Nobody:
        def on_frame(self, frame: object) -> None: ...

        def on_alive(self) -> None: ...

        def on_closed(self, code: int | None, reason: str) -> None: ...

    async def play(data: bytes) -> None:
        capture = load_capture(path)
        clock = ManualClock(wall_start_ns=TS)
        replay = Replay(capture, clock, speed=1.0 if len(data) % 2 else 0.0)
        if replay._connections:
            link = await replay.stream().connect(Handshake("ws://venue"), Nobody())
            link.send("{}")
            clock.advance(10**12)
            await link.close()
        await replay.port().send(HttpRequest("markets", "GET", "/markets"))

    def feed(data: bytes, _keep: object = folder) -> None:
        path.write_bytes(data)
        try:
            runner.run(play(data))
        except (CaptureError, VenuekitError) as error:
            assert len(error.message) < 1_000

    return feed


@cache
def _captures() -> tuple[bytes, ...]:
    lines = [
        {"venuekit_capture": 1, "venue": "PARADEX", "recorded": "2026-10-09"},
        {"what": "request", "t": TS, "n": 1, "about": {"op": "markets", "method": "GET", "path": "/markets"}},
        {
            "what": "reply",
            "t": TS + 5,
            "n": 1,
            "text": '{"results":[]}',
            "about": {"status": "200", "headers": "a=b"},
        },
        {"what": "open", "t": TS + 6, "n": 1, "about": {"url": "ws://venue/v1"}},
        {"what": "out", "t": TS + 7, "n": 1, "text": '{"method":"subscribe"}'},
        {"what": "in", "t": TS + 8, "n": 1, "text": '{"id":1}'},
        {"what": "in", "t": TS + 9, "n": 1, "b64": "EAAoAAEAAQAVxXHUSV0GAAEAAAAAAAAA"},
        {"what": "closed", "t": TS + 10, "n": 1, "about": {"code": "1006", "reason": "gone"}},
        {"what": "failed", "t": TS + 11, "n": 2, "about": {"evidence": "not_sent"}},
    ]
    whole = json.loads((DATA / "sbe/bbo_btc.json").read_text())
    whole["frames"] = whole["frames"][:5]
    return "\n".join(map(json.dumps, lines)).encode() + b"\n", json.dumps(whole).encode()


def _capture_input(mutator: Mutator) -> bytes:
    data = mutator.pick(_captures())
    if mutator.chance(0.4):
        return mutator.blob(data, _captures())
    lines = data.split(b"\n")
    for _ in range(mutator.few()):
        at = mutator.draw.randrange(len(lines))
        try:
            lines[at] = mutator.json_text(load(lines[at]))
        except (ValueError, RecursionError):
            lines[at] = lines[0]
    return b"\n".join(lines)


_CONFIGS = (
    (ROOT / "examples" / "node.toml").read_text(),
    """\
node = { name = "two", log_level = "DEBUG", environment = "sandbox" }
[venues.dydx]
environment = "mainnet"
execution = false
[venues.lighter]
environment = "mainnet"
addresses = { rest = "https://127.0.0.1" }
[venues.paradex]
environment = "testnet"
data = true
execution = true
key = "env:PARADEX_KEY"
recv_window_ms = 5000
sbe = true
sbe_version = 2
[venues.paradex.transport]
stream = "websockets"
http = "httpx"
retry = "backoff"
options = { "retry.base_ns" = "1000" }
[[strategies]]
path = "a.b:C"
config = { x = 1.5, y = [1, 2, { z = 2026-10-01T00:00:00Z }] }
""",
)
_TOML = (
    "1",
    "-1",
    "1.5",
    "1e400",
    "nan",
    "inf",
    "true",
    '""',
    "[]",
    "{}",
    "[1,[2]]",
    "{a=1}",
    "1979-05-27",
    "07:32:00",
    "'x'",
    '"""',
    "0x1f",
    "9" * 30,
    "[" * 2_000,
    "{a=" * 2_000,
    '"\\ud800"',
    "env:X",
    '"file:/x"',
    '"keyring:a/b"',
)


def _config_input(mutator: Mutator) -> bytes:
    lines = mutator.pick(_CONFIGS).split("\n")
    for _ in range(mutator.few()):
        at = mutator.draw.randrange(len(lines))
        name, equals, _ = lines[at].partition("=")
        act = mutator.draw.randrange(6)
        if act == 0:
            del lines[at]
        elif act == 1:
            lines.insert(at, mutator.pick(lines))
        elif act == 2:
            lines[at] = mutator.text(lines[at])
        elif equals and act < 5:
            lines[at] = f"{name}= {mutator.pick(_TOML)}"
        else:
            lines.append(f"#flag {mutator.text('venues.paradex.sbe_version')}={mutator.pick(_TOML)}")
        lines = lines or [""]
    text = "\n".join(lines).encode(errors="surrogatepass")
    return mutator.blob(text, [text]) if mutator.chance(0.2) else text


def _open_config() -> Feed:
    def feed(data: bytes) -> None:
        text = data.decode(errors="replace")
        flags = [line[6:] for line in text.split("\n") if line.startswith("#flag ")]
        try:
            repr(parse_config(text, environ={}, flags=flags))
        except ConfigError as error:
            assert error.message

    return feed


def _open_rows(make: Callable[[SimpleNamespace], object]) -> Callable[[], Feed]:
    def open_() -> Feed:
        def feed(data: bytes) -> None:
            ctx = SimpleNamespace(
                ports={"rest": OnePort(data)},
                clock=ManualClock(),
                counters=Tally(),
                log=QUIET,
                symbols=Symbols(),
            )
            try:
                for instrument in done(make(ctx).load(None)):
                    repr(instrument)
            except VenuekitError as error:
                assert len(error.message) < 1_000

        return feed

    return open_


def _rows_input(*files: Path) -> Callable[[Mutator], bytes]:
    @cache
    def seeds() -> tuple[object, ...]:
        return tuple(load(path.read_text()) for path in files)

    def make(mutator: Mutator) -> bytes:
        return mutator.json_text(mutator.pick(seeds()), seeds())

    return make


def _number_input(mutator: Mutator) -> bytes:
    text = mutator.pick(
        (str(mutator.pick(EDGES)), f"{mutator.draw.randrange(10**9)}e-{mutator.draw.randrange(12)}")
    )
    text = mutator.pick(TEXTS) if mutator.chance(0.2) else text
    text = mutator.text(text) if mutator.chance(0.5) else text
    return text.encode(errors="surrogatepass")


def _open_numbers() -> Feed:
    """Whatever is taken is exactly what the text says; the judge is a wide decimal."""

    def feed(data: bytes) -> None:
        text = data.decode(errors="replace")
        for places in (0, 8, 16):
            for parse in (parse_price, parse_quantity, scaled):
                try:
                    value = parse(text, places)
                except (DecodeError, BadValue) as error:
                    assert len(error.message) < 400
                    continue
                with localcontext(prec=500):
                    exact = Decimal(text)
                    got = Decimal(value).scaleb(-places) if isinstance(value, int) else value.as_decimal()
                    assert got == exact, f"{parse.__name__}({text!r}, {places}) is {got}"
        for read_text in (parse_increment, parse_secret_ref):
            try:
                repr(read_text(text))
            except (BadValue, SecretError) as error:
                assert error.message

    return feed


def client_targets() -> tuple[Target, ...]:
    """Decoders, readers and loaders."""
    tests = ROOT / "venues"
    return (
        Target(name="paradex-public-sbe", open=_open_stream(False), make=_sbe(False)),
        Target(name="paradex-private-sbe", open=_open_stream(True), make=_sbe(True)),
        Target(name="paradex-public-json", open=_open_stream(False), make=_json_frame),
        Target(name="paradex-private-json", open=_open_stream(True), make=_json_frame),
        Target(name="paradex-reads", open=_open_reads, make=_rest_input(_READS)),
        Target(name="paradex-replies", open=_open_replies, make=_reply_input),
        Target(
            name="dydx-instruments",
            open=_open_rows(IndexerInstruments),
            make=_rows_input(*sorted((tests / "dydx/tests/data").glob("*.json"))),
        ),
        Target(
            name="lighter-instruments",
            open=_open_rows(OrderBookInstruments),
            make=_rows_input(*sorted((tests / "lighter/tests/data").glob("*.json"))),
        ),
        Target(name="capture", open=_open_capture, make=_capture_input),
        Target(name="config", open=_open_config, make=_config_input),
        Target(name="numbers", open=_open_numbers, make=_number_input),
    )
