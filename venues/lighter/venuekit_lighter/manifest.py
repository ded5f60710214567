"""What this plugin can do on Lighter: instruments from the public REST interface, nothing else yet."""

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
    SnapshotFrom,
)
from venuekit.interfaces.stream import DataKind

MANIFEST = Manifest(
    venue="LIGHTER",
    title="Lighter",
    environments={
        "mainnet": Environment({"rest": "https://mainnet.zklighter.elliot.ai"}, real_money=True),
        "testnet": Environment({"rest": "https://testnet.zklighter.elliot.ai"}),
    },
    products=frozenset({"CryptoPerpetual"}),
    data={DataKind.INSTRUMENT: DataFeature(request=True)},
    streams={},
    ports={"rest": PortSpec(PortKind.HTTP, "rest")},
    operations={"markets": Operation(OpKind.READ, {"calls": 1})},
    # The lowest tier: 60 calls in a rolling minute.
    buckets={"calls": Bucket(Scope.IP, rate=60, per=Seconds(60), burst=10)},
    errors=(),
    book=BookRule(Chain.PREVIOUS, SnapshotFrom.STREAM),
    settlement=("USDC",),
)
