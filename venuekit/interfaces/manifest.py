"""The manifest: what a venue can do, as data. Nautilus names are texts: reading one imports nothing heavy.

Every leaf has a reader: local denial, the limiter, sessions, the retry table, or the docs table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from venuekit.interfaces.stream import DataKind


class OpKind(Enum):
    """A read can be repeated; a command may have an effect."""

    READ = "read"
    COMMAND = "command"


class Priority(Enum):
    """Who goes first when a bucket is short; smaller goes first."""

    CANCEL = 0
    SUBMIT = 1
    READ = 2


@frozen
class Operation:
    """One operation: its kind, what it costs per bucket, who goes first, and its timeout."""

    kind: OpKind
    costs: Mapping[str, int] = field(factory=dict)
    priority: Priority = Priority.READ
    timeout_ms: int = 10_000


class Scope(Enum):
    """Who shares a bucket."""

    IP = "ip"
    ACCOUNT = "account"
    OWNER = "owner"
    KEY = "key"
    CONNECTION = "connection"


@frozen
class Seconds:
    """A window in seconds."""

    n: float


@frozen
class Blocks:
    """A window in blocks of the venue."""

    n: int


@frozen
class Bucket:
    """`rate` units per window; `burst` units at once at most."""

    scope: Scope
    rate: int
    per: Seconds | Blocks
    burst: int
    remaining_header: str = ""
    """The reply header that says how many units are left; empty: none."""
    reset_header: str = ""
    """The reply header with the Unix second at which the window is full again; empty: none."""


class Chain(Enum):
    """How frames of a book follow one another."""

    PLUS_ONE = "plus_one"
    PREVIOUS = "previous"
    NONE = "none"


class SnapshotFrom(Enum):
    """Where the first whole book comes from."""

    STREAM = "stream"
    REST = "rest"


@frozen
class BookRule:
    """How books of this venue are kept whole."""

    chain: Chain
    snapshot: SnapshotFrom
    may_cross: bool = False
    """True: the venue itself may send a crossed book; it is passed through."""


class NonceKind(Enum):
    """What a nonce must be."""

    NONE = "none"
    CONSECUTIVE = "consecutive"
    UNIQUE_MS = "unique_ms"


@frozen
class NonceRule:
    """The nonce discipline of order entry."""

    kind: NonceKind = NonceKind.NONE
    window_ms: int | None = None
    """How far a millisecond nonce may lie from the venue's clock; None: not said."""


class StreamAuth(Enum):
    """How a stream learns who we are."""

    NONE = "none"
    LOGIN = "login"
    PER_TOPIC = "per_topic"


@frozen
class StreamSpec:
    """One stream of a venue."""

    address: str
    """Which of the environment's addresses it is opened at."""
    auth: StreamAuth = StreamAuth.NONE
    topics_per_connection: int = 1_000
    heartbeat_ms: int | None = None
    """Send the codec's keepalive this often; None: the protocol's own ping is enough."""
    silence_ms: int = 70_000
    """Nothing at all received for this long, pongs included: the connection is stale."""
    fatal_close_codes: tuple[int, ...] = ()
    """Close codes after which connecting again cannot help."""


class PortKind(Enum):
    """What a request port runs over."""

    HTTP = "http"
    RPC = "rpc"
    STREAM = "stream"


@frozen
class PortSpec:
    """One request port; `over` is an address of the environment, or for STREAM the name of a stream."""

    kind: PortKind
    over: str
    errors: str = ""
    """The domain of the error codes in its replies; empty: the port's own name."""


class Says(Enum):
    """What an error code proves."""

    REFUSED = "refused"
    DUPLICATE = "duplicate"
    AUTH = "auth"
    NONCE = "nonce"
    LIMIT = "limit"
    MODE = "mode"
    GONE = "gone"
    CLOCK = "clock"
    """The time in the request lies outside the venue's window."""
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


@frozen
class ErrorRule:
    """One venue error: its domain (`rest`, `ws`, ...), its code, what it proves, and what to do about it."""

    domain: str
    """Who numbers the errors: a port (see `PortSpec.errors`), or `http` for a bare status. One code may stand
    in several domains and mean something else in each."""
    code: str
    says: Says
    advice: str = ""


@frozen
class Environment:
    """One environment: addresses by name, and facts that must not differ from what the venue says."""

    addresses: Mapping[str, str]
    facts: Mapping[str, str] = field(factory=dict)
    real_money: bool = False
    simulated: bool = False
    """What it holds ends with its process, so a journal of it would outlive what it is about."""


@frozen
class DataFeature:
    """What can be done with one kind of data."""

    subscribe: bool = False
    request: bool = False
    silent_ms: int | None = None
    """A topic that brings nothing of it for this long is taken for mute; None: its silence says nothing.

    One of the kinds of a live book must have it: a book that nobody changes cannot be told from a mute one.
    """


@frozen
class OrderFeatures:
    """What order entry allows; names are those of the Nautilus enumerations."""

    types: Mapping[str, frozenset[str]]
    """Order type -> the times in force it allows."""
    post_only: bool = False
    reduce_only: bool = False
    quote_quantity: bool = False
    display_quantity: bool = False
    trigger_types: frozenset[str] = frozenset()
    modify: frozenset[str] = frozenset()
    """Of `price`, `quantity`, `trigger`; empty: orders cannot be changed."""
    cancel_all: bool = False
    """One command cancels all of an instrument."""
    cancel_all_by_side: bool = False
    batch_submit: int = 1
    """Orders in one request at most; 1: no batch."""
    batch_cancel: int = 1
    wait_ms: int = 30_000
    """A submit or change that cannot leave within this (a limit, orders before it) is not sent any more."""


@frozen
class IdRules:
    """The ids an order may carry."""

    client_id_pattern: str
    """A regular expression that a client order id must match whole."""
    client_id_max: int
    """Characters at most."""


@frozen
class Semantics:
    """What replies and look-ups mean."""

    lookup_settles_ms: int = 2_000
    """A just sent order may be invisible to look-ups for this long; a not-found before proves nothing."""
    history_lag_ms: int = 5_000
    """History may trail the stream by this much."""
    compare_ms: int = 60_000
    """A live account is read and compared with what its stream told this often; 0: never."""
    cancel_needs_venue_id: bool = False
    """True: a cancel cannot name an order by its client id, so it is held until the venue id is known."""
    modify_replaces_id: bool = False
    """True: a modify ends the order and opens another one, so a cancel seen meanwhile may be half of it.

    False: an order keeps its id, so another id under the same client id is another program's order.
    """
    busts: bool = False
    """True: the venue can take a fill back, and `Query.BUSTS` reads which."""
    retry_after_unit_ms: int = 1_000
    """What one unit of the `Retry-After` header means, in milliseconds."""


@frozen
class TimeRule:
    """How the venue tells its own time (`Parts.time`)."""

    resolution_ms: int = 1
    """It is rounded down to this."""
    every_ms: int = 60_000
    """How often it is asked for."""


@frozen
class Manifest:
    """Everything the framework must know of a venue before it opens it."""

    venue: str
    """The Nautilus venue code, upper case."""
    title: str
    environments: Mapping[str, Environment]
    products: frozenset[str]
    """Nautilus instrument class names, e.g. `CryptoPerpetual`."""
    data: Mapping[DataKind, DataFeature]
    streams: Mapping[str, StreamSpec]
    """`public` where there is live data, `private` where there is trading."""
    ports: Mapping[str, PortSpec]
    operations: Mapping[str, Operation]
    buckets: Mapping[str, Bucket]
    errors: tuple[ErrorRule, ...]
    book: BookRule
    orders: OrderFeatures | None = None
    """None: data only."""
    ids: IdRules | None = None
    nonces: NonceRule = NonceRule()
    semantics: Semantics = Semantics()
    time: TimeRule | None = None
    """None: the venue tells no time, so this machine's is signed, and a person must keep it right."""
    account_type: str = "MARGIN"
    oms_type: str = "NETTING"
    settlement: tuple[str, ...] = ()
    """Currencies an account can hold, by code."""

    @property
    def trades(self) -> bool:
        """True when the venue takes orders."""
        return self.orders is not None

    def rules_of(self, port: str) -> Mapping[str, ErrorRule]:
        """The error rules for the codes that replies of this port may carry, by code."""
        domain = self.ports[port].errors or port
        return {rule.code: rule for rule in self.errors if rule.domain == domain}

    def status_rules(self) -> Mapping[str, ErrorRule]:
        """The error rules for bare HTTP statuses, by status."""
        return {rule.code: rule for rule in self.errors if rule.domain == "http"}
