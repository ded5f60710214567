"""The simulator's signature checks against vectors of the official SDK."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starknet_py.hash.selector import get_selector_from_name
from venuekit_paradex.sim import proofs

VECTORS = json.loads((Path(__file__).parent.parent / "data/signing_vectors.json").read_text())
ACCOUNTS = {a["id"]: a for a in VECTORS["accounts"]}
SUBKEY = VECTORS["subkey"]
ORDERS = [(o, ACCOUNTS[o["account"]], ACCOUNTS[o["account"]]["l2_public_key"]) for o in VECTORS["orders"]]
ORDERS += [(o, ACCOUNTS["testnet-mock-0"], SUBKEY["l2_public_key"]) for o in SUBKEY["orders"]]


def signed(order: dict) -> proofs.SignedOrder:
    payload = order["payload"]
    return proofs.SignedOrder(
        timestamp_ms=payload["signature_timestamp"],
        market=payload["market"],
        side=payload["side"],
        order_type=payload["type"],
        size=payload["size"],
        price=payload.get("price", "0"),
        order_id=payload["id"] if order["kind"] == "ModifyOrder" else "",
    )


@pytest.mark.parametrize(("order", "account", "key"), ORDERS, ids=[o[0]["id"] for o in ORDERS])
def test_order_vectors_verify_and_one_flipped_bit_does_not(order: dict, account: dict, key: str) -> None:
    digest = proofs.order_hash(account["starknet_chain_id"], int(account["l2_address"], 16), signed(order))
    assert hex(digest) == order["message_hash"]
    public = int(key, 16)
    assert proofs.verify(public, digest, order["signature"])
    r, s = proofs.parse_signature(order["signature"])
    assert proofs.verify(public, digest, json.dumps([hex(r), hex(s)]))
    assert not proofs.verify(public, digest ^ 1, order["signature"])
    assert not proofs.verify(public, digest, json.dumps([str(r ^ 1), str(s)]))
    assert not proofs.verify(public, digest, json.dumps([str(r), str(s ^ 1)]))
    assert not proofs.verify(public ^ 1, digest, order["signature"])


@pytest.mark.parametrize("account", VECTORS["accounts"], ids=list(ACCOUNTS))
def test_account_vectors(account: dict) -> None:
    chain_id, address = account["starknet_chain_id"], int(account["l2_address"], 16)
    public = int(account["l2_public_key"], 16)
    assert proofs.public_key_of(int(account["l2_private_key"], 16)) == public
    proxy, implementation = (int(account[f"paraclear_account_{k}"], 16) for k in ("proxy_hash", "hash"))
    assert proofs.account_address(public, proxy, implementation) == address
    auth = account["auth"]
    digest = proofs.auth_hash(chain_id, address, auth["timestamp"], auth["expiration"])
    assert hex(digest) == auth["message_hash"]
    assert proofs.verify(public, digest, auth["signature"])
    assert not proofs.verify(public, proofs.auth_hash(chain_id, address, 1, 2), auth["signature"])
    digest = proofs.onboarding_hash(chain_id, address)
    assert hex(digest) == account["onboarding"]["message_hash"]
    assert proofs.verify(public, digest, account["onboarding"]["signature"])


def test_selectors_are_those_of_the_type_texts() -> None:
    for text, value in proofs.SELECTORS.items():
        assert get_selector_from_name(text) == value


@pytest.mark.parametrize(
    "text", ["", "[]", "[1]", '["a","b"]', "{}", "null", "[1,2,3]", '["0x","1"]', "[1.5,2]"]
)
def test_unreadable_signatures_are_bad_proofs(text: str) -> None:
    with pytest.raises(proofs.BadProofError):
        proofs.parse_signature(text)


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (2**251, 1), (1, proofs.CURVE_ORDER), (-1, 5)])
def test_numbers_out_of_range_verify_nothing(pair: tuple[int, int]) -> None:
    public = int(SUBKEY["l2_public_key"], 16)
    assert not proofs.verify(public, 12345, json.dumps([str(n) for n in pair]))
