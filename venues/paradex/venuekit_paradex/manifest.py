"""What Paradex can do, as data. Figures are those of its public documentation of August to October 2026."""

from __future__ import annotations

from attrs import evolve

from venuekit.interfaces.manifest import (
    BookRule,
    Bucket,
    Chain,
    DataFeature,
    Environment,
    IdRules,
    Manifest,
    Operation,
    OpKind,
    OrderFeatures,
    PortKind,
    PortSpec,
    Priority,
    Scope,
    Seconds,
    Semantics,
    SnapshotFrom,
    StreamAuth,
    StreamSpec,
    TimeRule,
)
from venuekit.interfaces.stream import DataKind
from venuekit_paradex.errors import ERRORS

_PUBLIC = {"public_ip_min": 1}
_PRIVATE = {"private_get_secs": 1, "private_get_min": 1, "private_ip_min": 1}
_ORDER = {"order_secs": 1, "order_min": 1}

_LEFT, _FULL_AT = "X-RateLimit-Remaining", "X-RateLimit-Reset"


def _read(costs: dict[str, int], timeout_ms: int = 10_000) -> Operation:
    return Operation(OpKind.READ, costs, Priority.READ, timeout_ms)


def _command(priority: Priority) -> Operation:
    return Operation(OpKind.COMMAND, _ORDER, priority, 10_000)


OPERATIONS = {
    "system_config": _read(_PUBLIC),
    "system_time": _read(_PUBLIC),
    "markets": _read(_PUBLIC, 20_000),
    "trades": _read(_PUBLIC),
    "funding": _read(_PUBLIC),
    "orderbook": _read(_PUBLIC),
    "auth": _read({"auth_ip_min": 1}),
    "account": _read(_PRIVATE),
    "balance": _read(_PRIVATE),
    "positions": _read(_PRIVATE),
    "orders": _read(_PRIVATE),
    "order": _read(_PRIVATE),
    "orders_history": _read(_PRIVATE, 20_000),
    "fills": _read(_PRIVATE, 20_000),
    "tradebusts": _read(_PRIVATE, 20_000),
    "read_public": _read(_PUBLIC),
    "read_private": _read(_PRIVATE),
    "onboarded": _read(_PUBLIC),
    "onboard": Operation(OpKind.COMMAND, {"onboarding_ip_min": 1}, Priority.SUBMIT, 20_000),
    "subkeys": _read(_PRIVATE),
    "subkey_create": Operation(OpKind.COMMAND, _PRIVATE, Priority.SUBMIT, 20_000),
    "subkey_revoke": Operation(OpKind.COMMAND, _PRIVATE, Priority.CANCEL, 20_000),
    "submit": _command(Priority.SUBMIT),
    "cancel": _command(Priority.CANCEL),
    "cancel_all": _command(Priority.CANCEL),
}

# A reply's headers do not say which window they count; the shorter one takes them, where a larger number of
# the other window changes nothing.
BUCKETS = {
    "public_ip_min": Bucket(Scope.IP, 1_500, Seconds(60), 1_500, _LEFT, _FULL_AT),
    "auth_ip_min": Bucket(Scope.IP, 600, Seconds(60), 600, _LEFT, _FULL_AT),
    "onboarding_ip_min": Bucket(Scope.IP, 600, Seconds(60), 600, _LEFT, _FULL_AT),
    "private_get_secs": Bucket(Scope.ACCOUNT, 120, Seconds(1), 120, _LEFT, _FULL_AT),
    "private_get_min": Bucket(Scope.ACCOUNT, 600, Seconds(60), 600),
    "private_ip_min": Bucket(Scope.IP, 1_500, Seconds(60), 1_500),
    "order_secs": Bucket(Scope.ACCOUNT, 800, Seconds(1), 800, _LEFT, _FULL_AT),
    "order_min": Bucket(Scope.ACCOUNT, 17_250, Seconds(60), 17_250),
}

ENVIRONMENTS = {
    "mainnet": Environment(
        {"rest": "https://api.prod.paradex.trade/v1", "stream": "wss://ws.api.prod.paradex.trade/v1"},
        {"chain_id": "PRIVATE_SN_PARACLEAR_MAINNET"},
        real_money=True,
    ),
    "testnet": Environment(
        {"rest": "https://api.testnet.paradex.trade/v1", "stream": "wss://ws.api.testnet.paradex.trade/v1"},
        {"chain_id": "PRIVATE_SN_POTC_SEPOLIA"},
    ),
    "simulator": Environment(
        {"rest": "http://127.0.0.1:8480/v1", "stream": "ws://127.0.0.1:8480/v1"},
        {"chain_id": "PRIVATE_SN_VENUEKIT_SIM"},
        simulated=True,
    ),
}

_STREAMED = DataFeature(subscribe=True)
_BOTH = DataFeature(subscribe=True, request=True)
# How often each channel ticks is not documented. A quiet market's book comes whole with each subscribe, so
# asking is cheap; its best prices may rest for longer. Trades, funding and status may be silent for hours.
_BOOK_TICKS_MS, _PRICE_TICKS_MS = 60_000, 120_000

DATA = {
    DataKind.BOOK_DELTAS: evolve(_BOTH, silent_ms=_BOOK_TICKS_MS),
    DataKind.BOOK_DEPTH10: _STREAMED,
    DataKind.BOOK_SNAPSHOT: _BOTH,
    DataKind.QUOTES: evolve(_STREAMED, silent_ms=_PRICE_TICKS_MS),
    DataKind.TRADES: _BOTH,
    DataKind.MARK_PRICE: evolve(_STREAMED, silent_ms=_PRICE_TICKS_MS),
    DataKind.INDEX_PRICE: _STREAMED,
    DataKind.FUNDING_RATE: _BOTH,
    DataKind.INSTRUMENT: _BOTH,
    DataKind.INSTRUMENT_STATUS: _STREAMED,
}

MANIFEST = Manifest(
    venue="PARADEX",
    title="Paradex",
    environments=ENVIRONMENTS,
    products=frozenset({"CryptoPerpetual"}),
    data=DATA,
    streams={
        "public": StreamSpec("stream", topics_per_connection=500),
        "private": StreamSpec("stream", StreamAuth.LOGIN, topics_per_connection=500),
    },
    ports={"rest": PortSpec(PortKind.HTTP, "rest"), "rpc": PortSpec(PortKind.STREAM, "private", errors="ws")},
    operations=OPERATIONS,
    buckets=BUCKETS,
    errors=ERRORS,
    # Not contiguous on bbo and trades; contiguous on the deltas channel, whose first frame is the whole book.
    book=BookRule(Chain.PLUS_ONE, SnapshotFrom.STREAM),
    orders=OrderFeatures(
        types={"MARKET": frozenset({"GTC", "IOC"}), "LIMIT": frozenset({"GTC", "IOC"})},
        post_only=True,
        reduce_only=True,
        cancel_all=True,
        # Such orders are not placed from here; those placed elsewhere are told.
        trigger_types=frozenset({"MARK_PRICE"}),
    ),
    ids=IdRules(client_id_pattern=r"[A-Za-z0-9._:\-]+", client_id_max=64),
    semantics=Semantics(lookup_settles_ms=2_000, history_lag_ms=5_000, busts=True),
    time=TimeRule(),
    settlement=("USDC",),
)
