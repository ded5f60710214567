"""Whole messages with both hashers, against what the SDK and starknet-py sign."""

from __future__ import annotations

import builtins
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from random import Random, SystemRandom
from typing import Any

import fast_stark_crypto
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starknet_py.hash.selector import get_selector_from_name
from venuekit_paradex import signing, stark
from venuekit_paradex.keys import StarkKey
from venuekit_paradex.signing import ParadexStarkSigner, SignRequest

from venuekit.errors import BadValue, ConfigError, SecretError
from venuekit.interfaces.signer import Secret, Signer, SteppedSigner, Where

FACTORIES = [signing.python_signer, signing.native_signer]
CHAIN = "PRIVATE_SN_POTC_SEPOLIA"
KEY = "0x" + "12" * 31


def make_signer(factory: Callable[..., ParadexStarkSigner] = signing.python_signer) -> ParadexStarkSigner:
    return factory(Secret(KEY), {"chain_id": CHAIN, "account": "0x1234"})


def an_order(**changes: Any) -> SignRequest:
    values: dict[str, Any] = {
        "timestamp_ms": 1735689600000,
        "market": "BTC-USD-PERP",
        "side": "BUY",
        "order_type": "LIMIT",
        "size": "0.1",
        "price": "95000.5",
    }
    return signing.order_request(**{**values, **changes})


def account_of(vectors: dict[str, Any], name: str) -> dict[str, Any]:
    return next(account for account in vectors["accounts"] if account["id"] == name)


def request_of(order: dict[str, Any]) -> SignRequest:
    inputs = order["inputs"]
    values = {
        "timestamp_ms": inputs["ts"],
        "market": inputs["market"],
        "side": inputs["side"],
        "order_type": inputs["type"],
        "size": inputs["size"],
        "price": inputs.get("price"),
    }
    if "order_id" in inputs:
        return signing.modify_request(**values, order_id=inputs["order_id"])
    return signing.order_request(**values)


@pytest.mark.parametrize("factory", FACTORIES)
def test_orders_and_changes_equal_the_sdk(sdk_vectors: dict[str, Any], factory: Any) -> None:
    kinds = set()
    for order in sdk_vectors["orders"]:
        account = account_of(sdk_vectors, order["account"])
        facts = {"chain_id": account["starknet_chain_id"], "account": account["l2_address"]}
        signed = factory(Secret(account["l2_private_key"]), facts).sign(request_of(order))
        assert signed.signature.decode() == order["signature"], order["id"]
        assert int.from_bytes(signed.digest, "big") == int(order["message_hash"], 16), order["id"]
        assert len(signed.digest) == 32
        kinds.add(order["kind"])
    assert kinds == {"Order", "ModifyOrder"}


@pytest.mark.parametrize("factory", FACTORIES)
def test_logins_and_onboardings_equal_the_sdk(sdk_vectors: dict[str, Any], factory: Any) -> None:
    assert len(sdk_vectors["accounts"]) == 6
    for account in sdk_vectors["accounts"]:
        facts = {"chain_id": account["starknet_chain_id"], "account": account["l2_address"]}
        signer = factory(Secret(account["l2_private_key"]), facts)
        assert signer.public == account["l2_public_key"]
        login = account["auth"]
        request = signing.auth_request(timestamp_secs=login["timestamp"], expiration_secs=login["expiration"])
        for message, vector in ((request, login), (signing.onboarding_request(), account["onboarding"])):
            signed = signer.sign(message)
            assert signed.signature.decode() == vector["signature"]
            assert signed.digest.hex() == vector["message_hash"][2:].zfill(64)


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_subkey_signs_for_the_main_account(sdk_vectors: dict[str, Any], factory: Any) -> None:
    subkey = sdk_vectors["subkey"]
    main = account_of(sdk_vectors, "testnet-mock-0")
    facts = {"chain_id": main["starknet_chain_id"], "account": subkey["l2_address"]}
    signer = factory(Secret(subkey["l2_private_key"]), facts)
    assert signer.public == subkey["l2_public_key"]
    for order in subkey["orders"]:
        assert signer.sign(request_of(order)).signature.decode() == order["signature"]
    login = subkey["auth"]
    request = signing.auth_request(timestamp_secs=login["timestamp"], expiration_secs=login["expiration"])
    assert signer.sign(request).signature.decode() == login["signature"]


def test_the_selectors_are_the_hashes_of_the_type_texts(sdk_vectors: dict[str, Any]) -> None:
    for message in (signing.DOMAIN, *signing.MESSAGES.values()):
        assert message.selector == get_selector_from_name(message.text), message.text
    names = {"order": "order", "modify_order": "modify", "auth": "auth", "onboarding": "onboarding"}
    for kind, name in names.items():
        message = signing.MESSAGES[kind]
        published = sdk_vectors["types"][name][message.name]
        assert message.fields == tuple(field["name"] for field in published)
        assert {field["type"] for field in published} == {"felt"}


@pytest.mark.parametrize("hasher", [stark.PedersenHasher, signing.NativeHasher])
def test_messages_equal_every_vector(stark_vectors: dict[str, Any], hasher: Any) -> None:
    for index, kind, chain, account, values, digest, r, s in stark_vectors["typed"]:
        signer = ParadexStarkSigner(
            StarkKey.parse(stark_vectors["keys"][index]),
            chain_id=stark_vectors["chains"][chain],
            account="0x" + account,
            hasher=hasher(),
        )
        fields = dict(zip(stark_vectors["fields"][kind], values, strict=True))
        signed = signer.sign(SignRequest(signing.SCHEME, kind, fields))
        assert signed.digest.hex() == digest.zfill(64), (kind, values)
        assert signed.signature.decode() == f'["{int(r, 16)}","{int(s, 16)}"]'


def test_ten_fresh_messages_equal_the_reference(reference: Any) -> None:
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    private = [rng.randrange(1, stark.CURVE_ORDER) for _ in range(3)]
    rows = reference.typed_vectors(rng, private)
    for index, kind, chain, account, values, digest, r, s in (next(rows) for _ in range(10)):
        signer = ParadexStarkSigner(
            StarkKey(private[index]), chain_id=reference.CHAINS[chain], account="0x" + account
        )
        fields = dict(zip(reference.STRUCTS[kind][1], values, strict=True))
        signed = signer.sign(SignRequest(signing.SCHEME, kind, fields))
        assert signed.digest.hex() == digest.zfill(64), f"seed {seed}"
        assert signed.signature.decode() == f'["{int(r, 16)}","{int(s, 16)}"]', f"seed {seed}"


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_signature_comes_in_steps_of_one_hash(factory: Any) -> None:
    signer = make_signer(factory)
    assert isinstance(signer, SteppedSigner)
    plain: Signer = signer
    assert plain.where is Where.INLINE
    first = list(signer.sign_steps(an_order()))
    again = list(signer.sign_steps(an_order()))
    assert len(first) == 9 + 8 + 1, "the first one also hashes domain and account"
    assert len(again) == 9 + 1, "later ones hash six fields, the length, and the two ends of the outer chain"
    assert first[:-1] == [None] * 17 and again[:-1] == [None] * 9
    assert first[-1] == again[-1] == signer.sign(an_order())


def test_a_warm_signer_signs_the_same_and_hashes_no_prefix_again() -> None:
    warm, cold = make_signer(), make_signer()
    warm.warm()
    assert len(list(warm.sign_steps(an_order()))) == 10
    assert warm.sign(an_order()) == cold.sign(an_order())


def test_interleaved_signatures_do_not_disturb_each_other() -> None:
    signer = make_signer()
    requests = [an_order(size=size) for size in ("1", "2", "3")]
    expected = [make_signer().sign(request) for request in requests]
    runs = [signer.sign_steps(request) for request in requests]
    last: list[Any] = [None] * 3
    for _ in range(18):
        last = [next(run, previous) for run, previous in zip(runs, last, strict=True)]
    assert last == expected


def test_every_signed_field_changes_the_signature_and_the_venue_would_notice() -> None:
    signer = make_signer()
    base = signer.sign(an_order())
    r, s = (int(part) for part in base.signature.decode().strip('["]').split('","'))
    public = int(signer.public, 16)
    assert fast_stark_crypto.verify(public, int.from_bytes(base.digest, "big"), r, s)
    for change in (
        {"timestamp_ms": 1735689600001},
        {"market": "ETH-USD-PERP"},
        {"side": "SELL"},
        {"order_type": "STOP_LIMIT"},
        {"size": "0.10000001"},
        {"price": "95000.50000001"},
    ):
        digest = int.from_bytes(signer.sign(an_order(**change)).digest, "big")
        assert not fast_stark_crypto.verify(public, digest, r, s), change


@pytest.mark.parametrize("order_type", ["MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP_LOSS_MARKET"])
def test_market_types_sign_price_zero(order_type: str) -> None:
    assert an_order(order_type=order_type, price="5").fields["price"] == 0
    assert an_order(order_type=order_type, price=None).fields["price"] == 0
    with pytest.raises(BadValue, match="needs a price"):
        an_order(price=None)


@pytest.mark.parametrize(
    ("text", "quanta"),
    [
        ("0", 0),
        ("0.00000001", 1),
        ("1.5", 150_000_000),
        (".5", 50_000_000),
        ("5.", 500_000_000),
        ("1e-8", 1),
        ("1E+3", 100_000_000_000),
        ("0.10000000000000000000", 10_000_000),
        ("123456789012345678901234567890.12345678", 12345678901234567890123456789012345678),
        (Decimal("95000.5"), 9_500_050_000_000),
        # Through a float this would become 0.07 * 1e8 = 7000000.000000001.
        ("0.07", 7_000_000),
    ],
)
def test_amounts_become_whole_quanta_exactly(text: str, quanta: int) -> None:
    assert signing.parse_quanta(text) == quanta


@pytest.mark.parametrize(
    "text",
    ["0.000000001", "-1", "-0.00000001", "NaN", "inf", "", "1,5", "0x10", "1e999999", ".", "1.-5", "1..5"],
)
def test_amounts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadValue):
        signing.parse_quanta(text)


@settings(max_examples=300, deadline=None)
@given(quanta=st.integers(0, 10**24), zeros=st.integers(0, 6))
def test_any_multiple_of_the_quantum_survives(quanta: int, zeros: int) -> None:
    text = f"{quanta // 10**8}.{quanta % 10**8:08d}" + "0" * zeros
    assert signing.parse_quanta(text) == quanta
    assert signing.parse_quanta(Decimal(text)) == quanta


@pytest.mark.parametrize(
    ("value", "felt"),
    [
        ("0x10", 16),
        ("10", 10),
        ("", 0),
        ("POST", 0x504F5354),
        # The domain's chain id and its felt, from the SDK's vectors.
        ("PRIVATE_SN_PARACLEAR_MAINNET", 0x505249564154455F534E5F50415241434C4541525F4D41494E4E4554),
        (7, 7),
    ],
)
def test_message_values_become_field_elements(value: int | str, felt: int) -> None:
    assert signing.parse_felt(value) == felt


@pytest.mark.parametrize(
    "value", ["x" * 32, "é", "0xzz", -1, stark.FIELD_PRIME, "9" * 80, b"abc", "0x-1", "²"]
)
def test_values_that_are_no_field_elements_are_refused(value: int | str | bytes) -> None:
    with pytest.raises(BadValue):
        signing.parse_felt(value)


@pytest.mark.parametrize(
    "request_",
    [
        SignRequest("other", "order", an_order().fields),
        SignRequest(signing.SCHEME, "withdraw", an_order().fields),
        SignRequest(signing.SCHEME, "order", {}),
        SignRequest(signing.SCHEME, "order", {**an_order().fields, "extra": 1}),
        SignRequest(signing.SCHEME, "order", {**an_order().fields, "size": -1}),
    ],
)
def test_what_is_not_ours_is_not_signed(request_: SignRequest) -> None:
    with pytest.raises(BadValue):
        make_signer().sign(request_)


@pytest.mark.parametrize("order_id", ["", "abc", "-1", "0x1", "1.0"])
def test_a_change_names_a_whole_order_id(order_id: str) -> None:
    with pytest.raises(BadValue):
        signing.modify_request(
            timestamp_ms=1, market="X", side="BUY", order_type="LIMIT", size="1", price="1", order_id=order_id
        )


@pytest.mark.parametrize(
    "facts", [{}, {"chain_id": CHAIN}, {"account": "0x1"}, {"chain_id": "", "account": "0x1"}]
)
def test_missing_facts_are_named(facts: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        signing.python_signer(Secret(KEY), facts)
    missing = {"chain_id", "account"} - {name for name, value in facts.items() if value}
    assert all(name in str(caught.value) for name in missing)


def test_the_native_signer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "fast_stark_crypto":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError) as caught:
        make_signer(signing.native_signer)
    assert "venuekit-paradex[fast]" in caught.value.hint


def test_signing_and_logging_in_need_no_other_library() -> None:
    code = (
        "import sys\n"
        "import venuekit_paradex.auth\n"
        "from venuekit_paradex import signing\n"
        "from venuekit.interfaces.signer import Secret\n"
        "facts = {'chain_id': 'PRIVATE_SN_POTC_SEPOLIA', 'account': '0x1234'}\n"
        "signer = signing.python_signer(Secret('7'), facts)\n"
        "print(signer.sign(signing.onboarding_request()).signature.decode())\n"
        "heavy = {'starknet_py', 'fast_stark_crypto', 'eth_account', 'nautilus_trader', 'Crypto', 'ecdsa'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    signature, heavy = done.stdout.splitlines()
    signer = signing.python_signer(Secret("7"), {"chain_id": CHAIN, "account": "0x1234"})
    assert signature.encode() == signer.sign(signing.onboarding_request()).signature
    assert heavy == "[]"


def test_a_signer_shows_and_gives_away_nothing() -> None:
    signer = make_signer()
    assert repr(signer) == f"ParadexStarkSigner(public={signer.public})"
    assert not hasattr(signer, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    with pytest.raises(SecretError):
        signing.python_signer(Secret("nonsense"), {"chain_id": CHAIN, "account": "0x1"})
    assert copy.copy(signer).sign(an_order()) == signer.sign(an_order())
