"""A made-up venue, a transport in memory, and a sink: for sessions without sockets.

Frames are JSON: {"ack": [...]}, {"book": [symbol, snapshot, seq, bids, asks]}, {"quote": [symbol, bid, ask]}
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from nautilus_trader.model import (
    AggressorSide,
    CryptoPerpetual,
    Currency,
    InstrumentId,
    Price,
    Quantity,
    QuoteTick,
    Symbol,
    TradeId,
    TradeTick,
)

from venuekit.core.retry import FullJitter
from venuekit.core.symbols import Symbols
from venuekit.errors import SendFailed, Unsupported
from venuekit.interfaces.manifest import (
    BookRule,
    Chain,
    DataFeature,
    Manifest,
    SnapshotFrom,
    StreamAuth,
    StreamSpec,
)
from venuekit.interfaces.request import Evidence, Handshake
from venuekit.interfaces.signer import Secret, Token
from venuekit.interfaces.stream import (
    BookUpdate,
    DataKind,
    Draining,
    Ignored,
    InstrumentChanged,
    LoggedIn,
    Lost,
    Page,
    Quarantined,
    StreamReply,
    TokenRefused,
    Topic,
    TopicAck,
)
from venuekit.interfaces.time import AtWall
from venuekit.interfaces.venue import Parts
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.market_data import MarketDataService
from venuekit.runtime.session import Session
from venuekit.runtime.telemetry import CounterTable

MAY_BE_SILENT = (DataKind.TRADES, DataKind.INSTRUMENT_STATUS, DataKind.FUNDING_RATE)
MS = 1_000_000
SECOND = 1_000_000_000
LOG = logging.getLogger("venuekit.test")


def instrument_id(symbol: str) -> InstrumentId:
    return InstrumentId.from_str(f"{symbol}.FAKE")


def instrument(symbol: str, price_precision: int = 1, size_precision: int = 3) -> CryptoPerpetual:
    usd = Currency.from_str("USD")
    return CryptoPerpetual(
        instrument_id=instrument_id(symbol),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str("BTC"),
        quote_currency=usd,
        settlement_currency=usd,
        is_inverse=False,
        price_precision=price_precision,
        size_precision=size_precision,
        price_increment=Price.from_str("0." + "0" * (price_precision - 1) + "1"),
        size_increment=Quantity.from_str("0." + "0" * (size_precision - 1) + "1"),
        ts_event=0,
        ts_init=0,
    )


class FakeCodec:
    """The client half of the made-up protocol."""

    def __init__(self, private: bool = False) -> None:
        self.private = private

    def handshake(self, token: Token | None) -> Handshake:
        return Handshake("ws://fake")

    def login(self, token: Token | None) -> Sequence[str]:
        return [json.dumps({"login": token.value.reveal()})] if token else []

    def topic(self, want: Any) -> Topic | Unsupported:
        if want.kind is DataKind.INDEX_PRICE:
            return Unsupported("no index here")
        channel = "book" if want.kind.value.startswith("book") else want.kind.value
        return Topic("public", f"{channel}.{want.instrument_id.symbol}")

    def standing(self) -> Sequence[Topic]:
        return [Topic("private", "orders", private=True)] if self.private else []

    def subscribe(self, topics: Sequence[Topic], token: Token | None) -> Sequence[str]:
        return [json.dumps({"sub": [topic.channel for topic in topics]})]

    def unsubscribe(self, topics: Sequence[Topic]) -> Sequence[str]:
        return [json.dumps({"unsub": [topic.channel for topic in topics]})]

    def keepalive(self) -> str | None:
        return '{"ping":1}'

    def request(self, request: Any, key: int) -> str:
        return json.dumps({"req": request.method, "key": key})

    def decode(self, frame: bytes | str, ts_init: int) -> Sequence[Any]:
        said = json.loads(frame)
        out: list[Any] = []
        for name, value in said.items():
            out.extend(_READ[name](value, ts_init))
        return out


def _quote(value: list[Any], ts_init: int) -> list[Any]:
    symbol, bid, ask = value
    one = Quantity.from_str("1.000")
    return [QuoteTick(instrument_id(symbol), Price.from_str(bid), Price.from_str(ask), one, one, 1, ts_init)]


def _trade(value: list[Any], ts_init: int) -> list[Any]:
    symbol, px, key = value
    size = Quantity.from_str("1.000")
    side = AggressorSide.BUY
    return [TradeTick(instrument_id(symbol), Price.from_str(px), size, side, TradeId(key), 1, ts_init)]


def _book(value: list[Any], ts_init: int) -> list[Any]:
    symbol, snapshot, seq, bids, asks = value
    levels = [[tuple(level) for level in side] for side in (bids, asks)]
    return [BookUpdate(instrument_id(symbol), bool(snapshot), seq, seq, 1, ts_init, *levels, exponent=-3)]


_READ: dict[str, Callable[[Any, int], list[Any]]] = {
    "ack": lambda v, t: [TopicAck(tuple(v), True)],
    "unack": lambda v, t: [TopicAck(tuple(v), False)],
    "refuse": lambda v, t: [TopicAck((v[0],), True, *v[1:])],
    "logged_in": lambda v, t: [LoggedIn()],
    "token_refused": lambda v, t: [TokenRefused(v)],
    "quote": _quote,
    "trade": _trade,
    "book": _book,
    "reply": lambda v, t: [StreamReply(v[0], True, b"{}", *v[1:])],
    "lost": lambda v, t: [Lost(tuple(v) if v else None, "gap")],
    "drain": lambda v, t: [Draining(v)],
    "junk": lambda v, t: [Quarantined("junk", "junk", channel=v)],
    "beat": lambda v, t: [Ignored("beat")],
    "changed": lambda v, t: [InstrumentChanged(v)],
    "nothing": lambda v, t: [],
    "order": lambda v, t: [v],
}


class FakeLink:
    def __init__(self, receiver: Any, server: FakeServer) -> None:
        self.receiver = receiver
        self.server = server
        self.open = True
        self.sent: list[dict[str, Any]] = []

    def send(self, frame: bytes | str) -> None:
        if not self.open:
            raise SendFailed("closed", evidence=Evidence.NOT_SENT)
        binary = isinstance(frame, bytes) and frame[:1] != b"{"
        said = {"bytes": frame.hex()} if binary else json.loads(frame)
        self.sent.append(said)
        self.server.heard(self, said)

    async def close(self, code: int = 1000) -> None:
        if self.open:
            self.open = False
            self.receiver.on_closed(code, "")

    # what a test does

    def says(self, **said: Any) -> None:
        self.receiver.on_frame(json.dumps(said))

    def cut(self, code: int = 1006, reason: str = "cut") -> None:
        self.open = False
        self.receiver.on_closed(code, reason)


class FakeServer:
    """Answers connects, logins and subscriptions as it is told to."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.refuse_connect: Exception | None = None
        self.hang = False
        self.auto_ack = True
        self.accept_login = True

    async def connect(self, to: Handshake, receiver: Any) -> FakeLink:
        if self.hang:
            await asyncio.get_running_loop().create_future()
        if self.refuse_connect is not None:
            raise self.refuse_connect
        link = FakeLink(receiver, self)
        self.links.append(link)
        return link

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    @property
    def open_links(self) -> int:
        return sum(link.open for link in self.links)

    def heard(self, link: FakeLink, said: dict[str, Any]) -> None:
        soon = asyncio.get_running_loop().call_soon
        if "login" in said:
            soon(lambda: link.says(**({"logged_in": 1} if self.accept_login else {"token_refused": "bad"})))
        if "sub" in said and self.auto_ack:
            soon(lambda: link.says(ack=said["sub"]))
        if "unsub" in said and self.auto_ack:
            soon(lambda: link.says(unack=said["unsub"]))

    def asked(self, link: FakeLink | None = None) -> list[str]:
        """Every channel that was subscribed on a connection, in order."""
        return [channel for said in (link or self.link).sent for channel in said.get("sub", [])]

    def left(self, link: FakeLink | None = None) -> list[str]:
        return [channel for said in (link or self.link).sent for channel in said.get("unsub", [])]


class FakeTokens:
    """Stands for the token keeper."""

    def __init__(self) -> None:
        self.given = 0
        self.refusals = 0

    async def get(self) -> Token:
        self.given += 1
        return Token(Secret(f"token-{self.given}"), AtWall(2**62), AtWall(0))

    def refused(self, token: Token) -> None:
        self.refusals += 1


class Recorder:
    """A data sink and session owner that remembers."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.states: list[str] = []
        self.decoded: list[tuple[int, Any]] = []
        self.raises = False

    def instrument(self, made: Any) -> None:
        self.got.append(made)

    def data(self, obj: Any) -> None:
        if self.raises:
            raise RuntimeError("planted")
        self.got.append(obj)

    def on_decoded(self, items: Sequence[Any], epoch: int) -> None:
        if self.raises:
            raise RuntimeError("planted")
        self.decoded.extend((epoch, item) for item in items)

    def on_state(self, state: Any, reason: str) -> None:
        self.states.append(state.value)

    def of(self, kind: type) -> list[Any]:
        return [obj for obj in self.got if type(obj) is kind]


class World:
    """One clock, one server, one recorder."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.server = FakeServer()
        self.seen = Recorder()
        self.counters = CounterTable()
        self.tokens = FakeTokens()
        self.retry = FullJitter(base_ns=100 * MS, cap_ns=5 * SECOND, attempts=0)

    def session(
        self, *, private: bool = False, retry: Any = None, rests: bool = False, **spec: Any
    ) -> Session:
        auth = StreamAuth.LOGIN if private else StreamAuth.NONE
        return Session(
            name="test",
            spec=StreamSpec("ws", auth=auth, **spec),
            transport=self.server,
            codecs=lambda: FakeCodec(private),
            clock=self.clock,
            retry=retry or self.retry,
            counters=self.counters,
            log=LOG,
            tokens=self.tokens if private else None,
            on_decoded=self.seen.on_decoded,
            on_state=self.seen.on_state,
            rests=rests,
        )

    async def run(self, seconds: float = 0.0) -> None:
        await self.clock.run_for(int(seconds * SECOND))

    def frames_balance(self) -> bool:
        """Rule 9: every frame in is counted exactly once more."""
        count = self.counters.get
        out = sum(count(f"frames.{name}") for name in ("handled", "stale", "undecodable", "failed"))
        return count("frames.in") == out


class FakeInstruments:
    def __init__(self, symbols: Symbols, made: list[Any]) -> None:
        self.symbols = symbols
        self.made = made
        self.loads: list[Any] = []

    async def load(self, only: Any) -> list[Any]:
        self.loads.append(only)
        chosen = [made for made in self.made if only is None or made.id in only]
        for made in chosen:
            self.symbols.add(str(made.raw_symbol), made)
        return chosen


class FakeHistory:
    def __init__(self) -> None:
        self.pages: dict[str | None, Page[Any]] = {}
        self.whole: BookUpdate | None = None
        self.gate: asyncio.Future[None] | None = None
        self.books = 0

    async def page(self, want: Any, window: Any, cursor: str | None) -> Page[Any]:
        return self.pages[cursor]

    async def book(self, of: InstrumentId) -> BookUpdate:
        self.books += 1
        whole = self.whole
        if self.gate is not None:
            await self.gate
        if whole is None:
            raise SendFailed("no answer", evidence=Evidence.MAYBE_SENT)
        return whole


class MarketWorld(World):
    """A market-data service over the fake server."""

    def __init__(
        self,
        *,
        chain: Chain = Chain.PLUS_ONE,
        capacity: int = 1_000,
        symbols: int = 3,
        snapshot: SnapshotFrom = SnapshotFrom.STREAM,
        silent_ms: int | None = None,
    ) -> None:
        super().__init__()
        self._sequences: dict[str, int] = {}
        self.symbols = Symbols()
        self.instruments = FakeInstruments(self.symbols, [instrument(f"M{n}") for n in range(symbols)])
        self.history = FakeHistory()
        both = DataFeature(subscribe=True, request=True)
        manifest = Manifest(
            venue="FAKE",
            title="Fake",
            environments={},
            products=frozenset(),
            data={
                kind: both if kind in MAY_BE_SILENT else evolve(both, silent_ms=silent_ms)
                for kind in DataKind
                if kind is not DataKind.BARS
            },
            streams={"public": StreamSpec("ws", topics_per_connection=capacity)},
            ports={},
            operations={},
            buckets={},
            errors=(),
            book=BookRule(chain, snapshot),
        )
        self.service = MarketDataService(
            manifest=manifest,
            parts=Parts(self.instruments, FakeCodec, self.history),
            symbols=self.symbols,
            transport=self.server,
            clock=self.clock,
            retry=self.retry,
            counters=self.counters,
            log=LOG,
            sink=self.seen,
        )

    def sequence_of(self, symbol: str) -> int:
        """The number of the next book frame of this market."""
        self._sequences[symbol] = self._sequences.get(symbol, 0) + 1
        return self._sequences[symbol]
