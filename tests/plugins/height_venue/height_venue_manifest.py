"""What the height venue can do: orders live for some blocks, two commands a block, tentative cancels."""

from attrs import frozen

from venuekit.interfaces.manifest import (
    Blocks,
    BookRule,
    Bucket,
    Chain,
    Environment,
    ErrorRule,
    IdRules,
    Manifest,
    Operation,
    OpKind,
    OrderFeatures,
    PortKind,
    PortSpec,
    Priority,
    Says,
    Scope,
    Semantics,
    SnapshotFrom,
    StreamSpec,
)


@frozen
class HeightConfig:
    """The account is named by a text; this venue trusts everybody."""

    account: str = "1"


CONFIG = HeightConfig()


_COMMAND = {"orders": 1}

MANIFEST = Manifest(
    venue="HV",
    title="Height Venue",
    environments={
        "local": Environment({"node": "memory://node", "indexer": "memory://indexer"}, simulated=True)
    },
    products=frozenset({"CryptoPerpetual"}),
    data={},
    streams={
        "public": StreamSpec("node"),
        "private": StreamSpec("node", silence_ms=3_600_000),
    },
    ports={"node": PortSpec(PortKind.RPC, "node"), "indexer": PortSpec(PortKind.HTTP, "indexer")},
    operations={
        "place": Operation(OpKind.COMMAND, _COMMAND, Priority.SUBMIT, 2_000),
        "cancel": Operation(OpKind.COMMAND, _COMMAND, Priority.CANCEL, 2_000),
        "read": Operation(OpKind.READ, {}, Priority.READ, 2_000),
    },
    buckets={"orders": Bucket(Scope.ACCOUNT, 2, Blocks(1), 2)},
    errors=(ErrorRule("node", "41", Says.REFUSED), ErrorRule("node", "47", Says.TRANSIENT)),
    book=BookRule(Chain.NONE, SnapshotFrom.STREAM),
    orders=OrderFeatures(types={"LIMIT": frozenset({"GTC", "IOC"})}, post_only=True, cancel_all=False),
    ids=IdRules(r"[A-Za-z0-9-]+", 36),
    semantics=Semantics(lookup_settles_ms=1_000, history_lag_ms=1_000),
)
