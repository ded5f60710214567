"""What this plugin can do on dYdX v4: instruments from the public Indexer, nothing else yet."""

from __future__ import annotations

from venuekit.interfaces.manifest import (
    BookRule,
    Bucket,
    Chain,
    DataFeature,
    Environment,
    Manifest,
    Operation,
    OpKind,
    PortKind,
    PortSpec,
    Scope,
    Seconds,
    Semantics,
    SnapshotFrom,
)
from venuekit.interfaces.stream import DataKind

MANIFEST = Manifest(
    venue="DYDX",
    title="dYdX v4",
    environments={
        "mainnet": Environment({"rest": "https://indexer.dydx.trade"}, real_money=True),
        "testnet": Environment({"rest": "https://indexer.v4testnet.dydx.exchange"}),
    },
    products=frozenset({"CryptoPerpetual"}),
    data={DataKind.INSTRUMENT: DataFeature(request=True)},
    streams={},
    ports={"rest": PortSpec(PortKind.HTTP, "rest")},
    operations={"markets": Operation(OpKind.READ, {"default": 1})},
    # 100 requests in 10 s per address; not a bucket at the venue, so no burst beyond half is used.
    buckets={
        "default": Bucket(
            Scope.IP, rate=100, per=Seconds(10), burst=50, remaining_header="RateLimit-Remaining"
        )
    },
    errors=(),
    book=BookRule(Chain.NONE, SnapshotFrom.STREAM, may_cross=True),
    # The Indexer writes Retry-After in milliseconds, against the HTTP standard.
    semantics=Semantics(retry_after_unit_ms=1),
    settlement=("USDC",),
)
