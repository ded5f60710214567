"""Streams: what strategies want, what goes on the wire, and what a frame decodes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from venuekit.errors import Unsupported
from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    MoneyMoved,
    OrderRecord,
    PositionRecord,
)
from venuekit.interfaces.request import Frame, Handshake, StreamRequest
from venuekit.interfaces.signer import Token
from venuekit.interfaces.time import Tick

if TYPE_CHECKING:
    from nautilus_trader.model import (
        FundingRateUpdate,
        IndexPriceUpdate,
        InstrumentId,
        InstrumentStatus,
        MarkPriceUpdate,
        QuoteTick,
        TradeTick,
    )

    type NautilusData = (
        QuoteTick | TradeTick | MarkPriceUpdate | IndexPriceUpdate | FundingRateUpdate | InstrumentStatus
    )


class DataKind(Enum):
    """What can be asked of a venue; the values are the names used in manifests, docs and captures."""

    BOOK_DELTAS = "book_deltas"
    BOOK_DEPTH10 = "book_depth10"
    BOOK_SNAPSHOT = "book_snapshot"
    QUOTES = "quotes"
    TRADES = "trades"
    BARS = "bars"
    MARK_PRICE = "mark_price"
    INDEX_PRICE = "index_price"
    FUNDING_RATE = "funding_rate"
    INSTRUMENT = "instrument"
    INSTRUMENT_STATUS = "instrument_status"
    INSTRUMENT_CLOSE = "instrument_close"


BOOK_KINDS = frozenset({DataKind.BOOK_DELTAS, DataKind.BOOK_DEPTH10, DataKind.BOOK_SNAPSHOT})
"""Three wants that one topic of a market brings."""


@frozen
class Want:
    """What a strategy asked for; hashable, so wants are counted by value."""

    kind: DataKind
    instrument_id: InstrumentId | None
    params: tuple[tuple[str, str], ...] = ()


@frozen
class Topic:
    """What goes on the wire: many wants may share one topic. `stream` names the manifest's stream."""

    stream: str
    channel: str
    private: bool = False


@define
class BookUpdate:
    """Levels as raw integers `(price mantissa, size mantissa)` of the venue's `exponent`; size 0 removes.

    The lists keep the order of the wire. `first`..`last` is the span of the venue's sequence in this frame.
    """

    instrument_id: InstrumentId
    snapshot: bool
    first: int | None
    last: int | None
    ts_event: int
    ts_init: int = field(eq=False)
    """When it was received; the same frame received twice is equal."""
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    exponent: int = -8


@frozen
class StreamReply:
    """The reply to a `StreamRequest`; `key` None: it belongs to the oldest pending request of `scope`."""

    key: int | None
    ok: bool
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    scope: str = ""


@frozen
class TopicAck:
    """The venue confirmed (`error` empty) or refused a subscribe or unsubscribe of these channels."""

    channels: tuple[str, ...]
    subscribed: bool
    error: str = ""
    passing: bool = False
    """The venue refused for a reason that passes (a limit, a trouble of its own): asked again, ever later."""


@frozen
class LoggedIn:
    """The login of this connection was confirmed."""


@frozen
class TokenRefused:
    """The venue refused the token of this connection; obtain a new one, log in, then topics."""

    reason: str


class Mode(Enum):
    """What a venue allows at the moment."""

    NORMAL = "normal"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


@frozen
class VenueMode:
    """The venue's mode changed."""

    mode: Mode


@frozen
class InstrumentChanged:
    """An instrument was listed, changed or delisted; the framework reloads it."""

    symbol: str


@frozen
class Lost:
    """The codec found that data was lost: resync these channels (None: every one of this connection).

    A standing channel is not resynced: its connection is opened anew.
    """

    channels: tuple[str, ...] | None
    why: str


@frozen
class Draining:
    """The venue announced that it will close this connection in `ms` milliseconds."""

    ms: int


@frozen
class Quarantined:
    """A frame or record that was not understood: counted as `quarantined.<kind>` and logged."""

    kind: str
    why: str
    private: bool = False
    """True: state of the account may have been in it, so a recovery is asked for."""
    channel: str | None = None
    """The channel whose data cannot be trusted until it is resynced."""


@frozen
class Ignored:
    """A frame that is understood and means nothing to us, e.g. a heartbeat; counted as `ignored.<kind>`."""

    kind: str


type Decoded = (
    NautilusData
    | BookUpdate
    | OrderRecord
    | FillRecord
    | BustRecord
    | MoneyMoved
    | PositionRecord
    | BalanceRecord
    | StreamReply
    | TopicAck
    | LoggedIn
    | TokenRefused
    | Tick
    | VenueMode
    | InstrumentChanged
    | Lost
    | Draining
    | Quarantined
    | Ignored
)


class StreamCodec(Protocol):
    """One object per connection, without I/O: its state dies with the connection."""

    def handshake(self, token: Token | None) -> Handshake:
        """Where and how to open this connection."""
        ...

    def login(self, token: Token | None) -> Sequence[Frame]:
        """Frames that log this connection in; empty: this venue does not log in on the stream."""
        ...

    def topic(self, want: Want) -> Topic | Unsupported:
        """The topic that brings `want`, or why this venue has none (returned, not raised)."""
        ...

    def standing(self) -> Sequence[Topic]:
        """Topics this stream always holds, e.g. the private channels of the account."""
        ...

    def subscribe(self, topics: Sequence[Topic], token: Token | None) -> Sequence[Frame]:
        """Frames that subscribe `topics`."""
        ...

    def unsubscribe(self, topics: Sequence[Topic]) -> Sequence[Frame]:
        """Frames that unsubscribe `topics`."""
        ...

    def keepalive(self) -> Frame | None:
        """The application heartbeat to send every `StreamSpec.heartbeat_ms`, or None."""
        ...

    def request(self, request: StreamRequest, key: int) -> Frame:
        """The frame of one request; `key` comes back in its `StreamReply`."""
        ...

    def decode(self, frame: Frame, ts_init: int) -> Sequence[Decoded]:
        """Everything one frame says, in its order; never raises on data, never returns nothing."""
        ...


@frozen
class Window:
    """A half-open time range in Unix nanoseconds and the most rows wanted (None: no bound)."""

    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None


@frozen
class Page[Row]:
    """One page of rows, oldest or newest first as the manifest says; `next` None: the last page."""

    rows: Sequence[Row]
    next: str | None = None
    complete_as_of: int | None = None
    """Unix nanoseconds up to which the venue declares the rows complete; None: it does not say."""
    quarantined: Sequence[Quarantined] = ()
    """Rows that could not be decoded; the rest of the page is kept."""


class History(Protocol):
    """Public history, one page a call; the framework pages, bounds and deduplicates."""

    async def page(self, want: Want, window: Window, cursor: str | None) -> Page[NautilusData]:
        """One page of `want` within `window`."""
        ...

    async def book(self, instrument_id: InstrumentId) -> BookUpdate:
        """The whole book over REST."""
        ...


# One stream of a venue may be opened several times (sharding), each with a codec of its own.
type CodecFactory = Callable[[], StreamCodec]
type Codecs = Mapping[str, CodecFactory]
