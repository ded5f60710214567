"""The two streams: public market data and the private channels, over one JSON-RPC WebSocket each.

Requests, acknowledgements and errors are JSON texts. Data comes as SBE frames on a session that asked for
them, as JSON otherwise; private channels may come either way on any session, so both are understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import error as struct_error
from typing import TYPE_CHECKING, Final

import msgspec

from venuekit.errors import DecodeError, Unsupported
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.request import Frame, Handshake, StreamRequest
from venuekit.interfaces.stream import (
    DataKind,
    Decoded,
    Ignored,
    LoggedIn,
    Quarantined,
    StreamReply,
    TokenRefused,
    Topic,
    TopicAck,
    Want,
)
from venuekit_paradex.wire import market_json, schema
from venuekit_paradex.wire.account import parse_private
from venuekit_paradex.wire.json import Envelope, RpcError
from venuekit_paradex.wire.market_sbe import parse_public
from venuekit_paradex.wire.replies import SAYS
from venuekit_paradex.wire.sbe import MarketFrames
from venuekit_paradex.wire.text_ticks import tick_reader

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.signer import Token

WITNESSES: Final = ("balance_events", "tradebusts")
"""Said again elsewhere, so that trading goes on where the venue refuses them."""
STANDING: Final = ("orders.ALL", "fills.ALL", "positions", "account", *WITNESSES)
"""The channels that a private stream always holds."""

# Ids of the frames that the codec itself sends; requests of the framework count from 1. At most 16 digits.
_OWN_IDS: Final = 4_000_000_000_000_000
_LOGIN: Final = "auth"
_SCHEMA: Final = schema.SCHEMA_ID.to_bytes(2, "little")

_CHANNELS: Final[dict[DataKind, str]] = {
    DataKind.BOOK_DELTAS: "order_book.{}.deltas",
    DataKind.BOOK_DEPTH10: "order_book.{}.deltas",
    DataKind.BOOK_SNAPSHOT: "order_book.{}.deltas",
    DataKind.QUOTES: "bbo.{}",
    DataKind.TRADES: "trades.{}",
    DataKind.MARK_PRICE: "markets_summary.{}",
    DataKind.INDEX_PRICE: "markets_summary.{}",
    DataKind.FUNDING_RATE: "funding_data.{}",
    DataKind.INSTRUMENT: "markets.{}",
    DataKind.INSTRUMENT_STATUS: "markets.{}",
}

_PUBLIC: Final = frozenset({schema.SUMMARY, schema.FUNDING})
_PRIVATE: Final = frozenset({schema.ORDER, schema.FILL, schema.POSITION, schema.ACCOUNT})
_IGNORED: Final = {
    schema.COMPARISON: "funding_comparison",
    schema.HEARTBEAT: "heartbeat",
    schema.SUBSCRIBED: "subscribed",
}
_PRIVATE_CHANNELS: Final = ("orders.", "fills.", *STANDING[2:])

_BAD_DATA: Final = (DecodeError, ValueError, OverflowError, msgspec.MsgspecError, RecursionError)
"""What unreadable bytes can raise in a decoder; anything else is a mistake of ours and must be seen."""

_envelope: Final = msgspec.json.Decoder(Envelope)
_PASSING: Final = (Says.LIMIT, Says.TRANSIENT)
_rpc_error: Final = msgspec.json.Decoder(RpcError)


class ParadexStream:
    """One connection, public or private: what it asked, so that replies can be told apart by their id."""

    __slots__ = ("_asked", "_hint", "_hot", "_next_id", "_private", "_symbols", "_tick", "_url")

    def __init__(self, *, url: str, symbols: Symbols, private: bool, sbe_version: int | None) -> None:
        query = (
            "" if sbe_version is None else f"?sbeSchemaId={schema.SCHEMA_ID}&sbeSchemaVersion={sbe_version}"
        )
        self._url = url + query
        self._hint = (
            ""
            if sbe_version is None
            else f"the venue may not serve SBE version {sbe_version}: set another sbe_version, or sbe = false"
        )
        self._symbols = symbols
        self._private = private
        self._hot = MarketFrames(symbols).decoders
        self._tick = tick_reader(symbols)
        self._next_id = _OWN_IDS
        self._asked: dict[int, tuple[str, str]] = {}

    def handshake(self, token: Token | None) -> Handshake:
        """The address with the SBE version asked for; the token travels in `login`."""
        return Handshake(self._url, refused_hint=self._hint)

    def login(self, token: Token | None) -> Sequence[Frame]:
        """The `auth` request of a private connection, once; nothing on a public one."""
        if not self._private or token is None:
            return ()
        return (self._ask(_LOGIN, "", {"bearer": token.value.reveal()}),)

    def topic(self, want: Want) -> Topic | Unsupported:
        """The channel of a want; deltas, depth and snapshots of a book share one."""
        pattern = _CHANNELS.get(want.kind)
        if pattern is None:
            return Unsupported(f"Paradex has no stream of {want.kind.value}")
        if want.instrument_id is None:
            return Unsupported(f"name an instrument for {want.kind.value}")
        symbol = self._symbols.by_id(want.instrument_id)
        if symbol is None:
            return Unsupported(f"{want.instrument_id} is not a loaded instrument of Paradex")
        return Topic("public", pattern.format(symbol.raw))

    def standing(self) -> Sequence[Topic]:
        """The account's channels on a private connection; none on a public one."""
        return tuple(Topic("private", channel, private=True) for channel in STANDING) if self._private else ()

    def subscribe(self, topics: Sequence[Topic], token: Token | None) -> Sequence[Frame]:
        """One request a channel."""
        return tuple(self._ask("subscribe", topic.channel, {"channel": topic.channel}) for topic in topics)

    def unsubscribe(self, topics: Sequence[Topic]) -> Sequence[Frame]:
        """One request a channel."""
        return tuple(self._ask("unsubscribe", topic.channel, {"channel": topic.channel}) for topic in topics)

    def keepalive(self) -> Frame | None:
        """Nothing: the venue pings, the transport answers."""
        return None

    def request(self, request: StreamRequest, key: int) -> Frame:
        """A JSON-RPC request whose id is the key; its payload is the JSON text of `params`."""
        if not 0 < key < _OWN_IDS:
            raise ValueError(f"a request key must lie below {_OWN_IDS}")
        return (
            f'{{"jsonrpc":"2.0","method":"{request.method}","params":{request.payload.decode()},"id":{key}}}'
        )

    def decode(self, frame: Frame, ts_init: int) -> Sequence[Decoded]:
        """Everything one frame says; unreadable frames are quarantined, whatever is in them."""
        try:
            if isinstance(frame, str):
                return self._tick(frame, ts_init) or self._decode_text(frame, ts_init)
            if (hot := self._hot.get(frame[2:6])) is not None:
                return (hot(frame, ts_init),)
            # No SBE frame has these bytes where the schema stands, and no JSON text the schema's.
            is_text = frame[:1] == b"{" and frame[4:6] != _SCHEMA
            return self._decode_text(frame, ts_init) if is_text else self._decode_sbe(frame, ts_init)
        except (IndexError, struct_error) as error:
            return (Quarantined("truncated", _why(error), private=self._private),)
        except _BAD_DATA as error:
            kind = error.kind if isinstance(error, DecodeError) else "undecodable"
            return (Quarantined(kind, _why(error), private=self._private),)

    def _ask(self, method: str, channel: str, params: dict[str, str]) -> str:
        self._next_id += 1
        self._asked[self._next_id] = (method, channel)
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": self._next_id}
        return msgspec.json.encode(body).decode()

    def _decode_sbe(self, frame: bytes, ts_init: int) -> Sequence[Decoded]:
        _, template, schema_id, _ = schema.HEADER.unpack_from(frame)
        if schema_id != schema.SCHEMA_ID:
            return (Quarantined("unknown_schema", f"schema {schema_id}", private=self._private),)
        if template in _PUBLIC:
            return parse_public(schema.unpack(frame), self._symbols, ts_init)
        if template in _PRIVATE:
            return (parse_private(schema.unpack(frame), self._symbols),)
        if template in _IGNORED:
            schema.unpack(frame)
            return (Ignored(_IGNORED[template]),)
        return (Quarantined("unknown_template", f"template {template}", private=self._private),)

    def _decode_text(self, frame: Frame, ts_init: int) -> Sequence[Decoded]:
        envelope = _envelope.decode(frame)
        if envelope.params is not None:
            return self._decode_channel(envelope.params.channel, bytes(envelope.params.data), ts_init)
        if envelope.id is None:
            what = envelope.method or bytes(envelope.error).decode(errors="replace")
            return (Quarantined("unasked", what[:200], private=self._private),)
        key = int(envelope.id)
        error = _rpc_error.decode(envelope.error) if envelope.error else None
        asked = self._asked.pop(key, None)
        if asked is not None:
            return _acknowledged(*asked, error)
        if key >= _OWN_IDS:
            return (Quarantined("unasked", f"reply {key}"[:200], private=self._private),)
        if error is None:
            return (StreamReply(key, ok=True, body=bytes(envelope.result)),)
        reply = StreamReply(key, ok=False, body=bytes(envelope.error))
        return (reply, TokenRefused(_error_text(error))) if _token_refused(error) else (reply,)

    def _decode_channel(self, channel: str, data: bytes, ts_init: int) -> Sequence[Decoded]:
        private = channel.startswith(_PRIVATE_CHANNELS)
        try:
            return market_json.parse_channel(channel, data, self._symbols, ts_init)
        except _BAD_DATA as error:
            kind = error.kind if isinstance(error, DecodeError) else "bad_json"
            return (Quarantined(kind, _why(error), private=private, channel=channel),)


def _acknowledged(method: str, channel: str, error: RpcError | None) -> Sequence[Decoded]:
    """The answer to a frame of our own; a channel goes by the name that we asked for."""
    if error is not None and (method == _LOGIN or _token_refused(error)):
        return (TokenRefused(_error_text(error)),)
    if method == _LOGIN:
        return (LoggedIn(),)
    subscribed = method == "subscribe"
    if error is not None and channel in WITNESSES:
        refused = Quarantined("channel_refused", f"{channel}: {_error_text(error)}")
        return (refused, TopicAck((channel,), subscribed))
    if error is None:
        return (TopicAck((channel,), subscribed),)
    return (TopicAck((channel,), subscribed, _error_text(error), _says(error) in _PASSING),)


def _token_refused(error: RpcError) -> bool:
    return _says(error) is Says.AUTH


def _says(error: RpcError) -> Says | None:
    return SAYS.get(("ws", str(error.code)))


def _error_text(error: RpcError) -> str:
    return f"{error.code} {error.text}"[:200]


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
