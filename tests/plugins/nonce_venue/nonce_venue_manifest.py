"""What the nonce venue can do: one key, strict nonces, signed commands over its stream, late refusals."""

from attrs import frozen

from venuekit.interfaces.manifest import (
    BookRule,
    Bucket,
    Chain,
    Environment,
    ErrorRule,
    IdRules,
    Manifest,
    NonceKind,
    NonceRule,
    Operation,
    OpKind,
    OrderFeatures,
    PortKind,
    PortSpec,
    Priority,
    Says,
    Scope,
    Seconds,
    Semantics,
    SnapshotFrom,
    StreamSpec,
)


@frozen
class NonceConfig:
    """The key's index at the venue."""

    key_index: int = 3


CONFIG = NonceConfig()
_COMMAND = {"tx": 1}

MANIFEST = Manifest(
    venue="NV",
    title="Nonce Venue",
    environments={"local": Environment({"stream": "memory://stream", "api": "memory://api"}, simulated=True)},
    products=frozenset({"CryptoPerpetual"}),
    data={},
    streams={
        "public": StreamSpec("stream"),
        "private": StreamSpec("stream", silence_ms=3_600_000),
    },
    ports={"tx": PortSpec(PortKind.STREAM, "private"), "api": PortSpec(PortKind.HTTP, "api")},
    operations={
        "create": Operation(OpKind.COMMAND, _COMMAND, Priority.SUBMIT, 2_000),
        "modify": Operation(OpKind.COMMAND, _COMMAND, Priority.SUBMIT, 2_000),
        "cancel": Operation(OpKind.COMMAND, _COMMAND, Priority.CANCEL, 2_000),
        "cancel_all": Operation(OpKind.COMMAND, _COMMAND, Priority.CANCEL, 2_000),
        "read": Operation(OpKind.READ, {}, Priority.READ, 2_000),
    },
    buckets={"tx": Bucket(Scope.ACCOUNT, 100, Seconds(1), 100)},
    errors=(
        ErrorRule("tx", "21104", Says.NONCE),
        ErrorRule("tx", "21120", Says.REFUSED),
        ErrorRule("tx", "21701", Says.REFUSED),
        # The limiter of the API stands before the sequencer, so that its answer is a proof.
        ErrorRule("tx", "21900", Says.REFUSED),
    ),
    book=BookRule(Chain.PREVIOUS, SnapshotFrom.STREAM),
    orders=OrderFeatures(
        types={"LIMIT": frozenset({"GTC", "IOC"}), "MARKET": frozenset({"IOC"})},
        post_only=True,
        reduce_only=True,
        modify=frozenset({"price", "quantity"}),
        cancel_all=True,
    ),
    ids=IdRules(r"O-\d{1,12}", 14),
    nonces=NonceRule(NonceKind.CONSECUTIVE),
    semantics=Semantics(lookup_settles_ms=1_000, history_lag_ms=2_000, cancel_needs_venue_id=True),
)
