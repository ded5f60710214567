"""Write stark_vectors_2000.json: signatures by starknet-py, which shares no code with the plugin.

Run it with `make vectors` (some minutes: the library takes about 0.1 s a signature). The seed is fixed, so
the same library writes the same file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from starknet_py.hash.utils import message_signature
from starknet_py.utils.typed_data import TypedData

OUTPUT = Path(__file__).parent / "data" / "stark_vectors_2000.json"
SEED = 20_260_831
RAW, TYPED = 1_200, 800

ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
PRIME = 2**251 + 17 * 2**192 + 1
CHAINS = ("PRIVATE_SN_PARACLEAR_MAINNET", "PRIVATE_SN_POTC_SEPOLIA")
DOMAIN = ("name", "chainId", "version")
ORDER_FIELDS = ("timestamp", "market", "side", "orderType", "size", "price")
STRUCTS = {
    "order": ("Order", ORDER_FIELDS),
    "modify_order": ("ModifyOrder", (*ORDER_FIELDS, "id")),
    "auth": ("Request", ("method", "path", "body", "timestamp", "expiration")),
    "onboarding": ("Constant", ("action",)),
}
TYPES = ("LIMIT", "MARKET", "STOP_LIMIT", "STOP_MARKET", "TAKE_PROFIT_LIMIT", "STOP_LOSS_MARKET")
MARKETS = (
    "BTC-USD-PERP",
    "ETH-USD-PERP",
    "kPEPE-USD-PERP",
    "BTC-USD-100000-C",
    "ETH-USD-4000-P",
    "X",
    "1000",
)


def keys(rng: Random) -> list[int]:
    """Private keys: the smallest, the largest, short ones with many leading zeros, and random ones."""
    edge = [
        1,
        2,
        3,
        15,
        255,
        256,
        2**64 - 1,
        2**128,
        2**240 - 1,
        2**248,
        2**250,
        2**251 - 1,
        ORDER - 1,
        ORDER - 2,
    ]
    return (
        edge
        + [rng.randrange(1, 2 ** rng.choice((8, 100, 200, 232, 240, 247))) for _ in range(12)]
        + [rng.randrange(1, ORDER) for _ in range(14)]
    )


def digests(rng: Random) -> Iterator[int]:
    """Hashes: every bit length with its ends, every low nibble of the long ones, then random ones."""
    for bits in range(1, 252):
        yield 1 << (bits - 1)
        yield (1 << bits) - 1
    for bits in range(240, 252):
        for nibble in range(16):
            yield (1 << (bits - 1)) | (rng.getrandbits(bits - 1) >> 4 << 4) | nibble
    while True:
        yield rng.randrange(1, 2 ** rng.choice((16, 192, 240, 244, 247, 248, 249, 250, 251, 251, 251)))


def fields(kind: str, rng: Random) -> dict[str, int | str]:
    """Fields of one message, small and large."""
    if kind == "onboarding":
        return {"action": "Onboarding"}
    if kind == "auth":
        now = rng.choice((0, 1, rng.randrange(1_600_000_000, 2_000_000_000), 2**63 - 1))
        return {"method": "POST", "path": "/v1/auth", "body": "", "timestamp": now, "expiration": now + 300}
    wide = (0, 1, rng.randrange(10**4), rng.randrange(10**12), rng.randrange(10**20), 10**30)
    values: dict[str, int | str] = {
        "timestamp": rng.choice((0, 1, rng.randrange(1_600_000_000_000, 2_000_000_000_000), 2**63)),
        "market": rng.choice((*MARKETS, "M" * rng.randrange(1, 32))),
        "side": rng.choice((1, 2)),
        "orderType": rng.choice(TYPES),
        "size": rng.choice(wide),
        "price": rng.choice(wide),
    }
    if kind == "modify_order":
        values["id"] = rng.choice((0, 7, rng.randrange(10**27, 10**28)))
    return values


def typed_data(kind: str, chain_id: str, values: dict[str, int | str]) -> TypedData:
    """The message as the reference library takes it."""
    name, order = STRUCTS[kind]
    return TypedData.from_dict(
        {
            "types": {
                "StarkNetDomain": [{"name": field, "type": "felt"} for field in DOMAIN],
                name: [{"name": field, "type": "felt"} for field in order],
            },
            "primaryType": name,
            "domain": {
                "name": "Paradex",
                "chainId": hex(int.from_bytes(chain_id.encode(), "big")),
                "version": "1",
            },
            "message": values,
        }
    )


def raw_vectors(rng: Random, private: list[int]) -> Iterator[list[Any]]:
    """Rows [index of the key, hash, r, s]."""
    source = digests(rng)
    while True:
        index, digest = rng.randrange(len(private)), next(source)
        r, s = message_signature(digest, private[index])
        yield [index, f"{digest:x}", f"{r:x}", f"{s:x}"]


def typed_vectors(rng: Random, private: list[int]) -> Iterator[list[Any]]:
    """Rows [index of the key, kind, index of the chain, account, fields, hash, r, s]."""
    kinds = ("order",) * 6 + ("modify_order",) * 2 + ("auth", "onboarding")
    while True:
        index, kind, chain = rng.randrange(len(private)), rng.choice(kinds), rng.randrange(2)
        account = rng.randrange(1, rng.choice((2**8, 2**200, 2**243, 2**248, PRIME)))
        values = fields(kind, rng)
        digest = typed_data(kind, CHAINS[chain], values).message_hash(account)
        r, s = message_signature(digest, private[index])
        yield [index, kind, chain, f"{account:x}", list(values.values()), f"{digest:x}", f"{r:x}", f"{s:x}"]


def main() -> int:
    """The file is written anew."""
    rng = Random(SEED)
    private = keys(rng)
    raw, typed = raw_vectors(rng, private), typed_vectors(rng, private)
    lines = []
    for name, rows, count in (("raw", raw, RAW), ("typed", typed, TYPED)):
        print(f"{count} {name} vectors", flush=True)
        body = ",\n".join(json.dumps(next(rows), separators=(",", ":")) for _ in range(count))
        lines.append(f'"{name}": [\n{body}\n]')
    names = json.dumps({kind: order for kind, (_, order) in STRUCTS.items()})
    OUTPUT.write_text(
        '{\n"origin": "starknet-py, by make_vectors.py; numbers in hex; keys are public test keys",\n'
        f'"chains": {json.dumps(CHAINS)},\n"fields": {names},\n'
        f'"keys": {json.dumps([f"{key:x}" for key in private])},\n' + ",\n".join(lines) + "\n}\n"
    )
    print(f"wrote {OUTPUT.name}, {OUTPUT.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
