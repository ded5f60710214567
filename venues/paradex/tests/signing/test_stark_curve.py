"""The curve, the hash and raw signatures, against starknet-py (C++) and fast-stark-crypto (Rust)."""

from __future__ import annotations

import hashlib
import threading
from random import Random, SystemRandom
from typing import Any

import fast_stark_crypto
import pytest
from ecdsa.rfc6979 import generate_k
from hypothesis import given, settings
from hypothesis import strategies as st
from starknet_py.hash.utils import message_signature, pedersen_hash, private_to_stark_key
from venuekit_paradex import stark
from venuekit_paradex.signing import NativeHasher

from venuekit.errors import BadValue

HASHER = stark.PedersenHasher()
EDGES = (0, 1, 15, 255, 256, 2**248 - 1, 2**248, 2**249, 2**251 - 1, 2**251, stark.FIELD_PRIME - 1)


def test_the_field_and_order_are_those_of_the_published_curve() -> None:
    from starknet_py.constants import EC_ORDER, FIELD_PRIME

    assert stark.FIELD_PRIME == FIELD_PRIME
    assert stark.CURVE_ORDER == EC_ORDER


@pytest.mark.parametrize("left", EDGES)
@pytest.mark.parametrize("right", EDGES)
def test_edge_inputs_hash_as_in_two_other_libraries(left: int, right: int) -> None:
    # One bit in each of the four parts of the two inputs, so every constant point is exercised alone.
    expected = pedersen_hash(left, right)
    assert HASHER.hash(left, right) == expected
    assert NativeHasher().hash(left, right) == expected


@settings(max_examples=200, deadline=None)
@given(left=st.integers(0, stark.FIELD_PRIME - 1), right=st.integers(0, stark.FIELD_PRIME - 1))
def test_hashes_equal_the_reference(left: int, right: int) -> None:
    hasher = stark.PedersenHasher()
    expected = pedersen_hash(left, right)
    assert hasher.hash(left, right) == expected
    hasher.pin(left)
    assert hasher.hash(left, right) == expected
    assert NativeHasher().hash(left, right) == expected


def test_only_so_many_inputs_are_pinned_and_all_still_hash_right() -> None:
    hasher = stark.PedersenHasher()
    for left in range(100):
        hasher.pin(left)
    assert len(hasher._pinned) == 64
    for left in (0, 63, 64, 99):
        assert hasher.hash(left, 7) == pedersen_hash(left, 7)


@pytest.mark.parametrize("hasher", [stark.PedersenHasher(), NativeHasher()])
@pytest.mark.parametrize("bad", [-1, stark.FIELD_PRIME, 2**256])
def test_inputs_outside_the_field_are_refused(hasher: stark.Hasher, bad: int) -> None:
    with pytest.raises(BadValue):
        hasher.hash(bad, 1)
    with pytest.raises(BadValue):
        hasher.hash(1, bad)


N = stark.CURVE_ORDER


@pytest.mark.parametrize(
    "private",
    # Ends of digits of 11 bits and their carries, the middle of the order, and 2^252 - n, whose partial sums
    # would meet a table entry if the larger of two opposite scalars were taken.
    [
        *(1, 2, 255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 2**242, 2**242 - 1, 2**250, 2**251 - 1),
        *(N // 2, N // 2 + 1, 2**252 - N, N - 2**242, N - 1025, N - 1024, N - 2, N - 1),
    ],
)
def test_public_keys_equal_the_reference(private: int) -> None:
    found = stark.public_key(private)
    assert found == private_to_stark_key(private) == fast_stark_crypto.get_public_key(private)


@settings(max_examples=200, deadline=None)
@given(private=st.integers(1, N - 1), shift=st.integers(0, 250))
def test_public_keys_of_every_size_equal_the_reference(private: int, shift: int) -> None:
    private = private >> shift or 1
    assert stark.public_key(private) == private_to_stark_key(private)


@settings(max_examples=500, deadline=None)
@given(scalar=st.integers(0, N // 2))
def test_signed_digits_sum_up_to_the_scalar(scalar: int) -> None:
    digits = stark._signed_digits(scalar)
    assert sum(digit * 2048**i for i, digit in enumerate(digits)) == scalar
    assert all(-1023 <= digit <= 1024 for digit in digits)


def test_the_file_covers_the_edges_it_promises(stark_vectors: dict[str, Any]) -> None:
    digests = [int(row[1], 16) for row in stark_vectors["raw"]]
    assert len(stark_vectors["raw"]) + len(stark_vectors["typed"]) == 2_000
    assert {digest.bit_length() for digest in digests} == set(range(1, 252))
    long = {(digest.bit_length(), digest & 15) for digest in digests if digest.bit_length() >= 248}
    assert long == {(bits, nibble) for bits in range(248, 252) for nibble in range(16)}
    keys = [int(key, 16) for key in stark_vectors["keys"]]
    assert min(keys) == 1 and max(keys) == stark.CURVE_ORDER - 1
    signatures = [int(text, 16) for row in stark_vectors["raw"] for text in row[2:]]
    assert min(value.bit_length() for value in signatures) < 245, "a short r or s is among them"


def test_signatures_equal_every_vector(stark_vectors: dict[str, Any]) -> None:
    keys = [int(key, 16) for key in stark_vectors["keys"]]
    for index, digest, r, s in stark_vectors["raw"]:
        assert stark.sign(int(digest, 16), keys[index]) == (int(r, 16), int(s, 16)), (index, digest)


def test_ten_fresh_signatures_equal_the_reference(reference: Any) -> None:
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    private = [rng.randrange(1, stark.CURVE_ORDER) for _ in range(3)] + [rng.randrange(1, 2**64)]
    for _ in range(10):
        key = rng.choice(private)
        digest = rng.randrange(1, 2 ** rng.choice((64, 240, 247, 248, 249, 250, 251)))
        assert stark.sign(digest, key) == tuple(message_signature(digest, key)), f"seed {seed}"


def test_a_thousand_signatures_verify_and_no_changed_one_does() -> None:
    rng = Random(11)
    for _ in range(1_000):
        key, digest = rng.randrange(1, stark.CURVE_ORDER), rng.randrange(1, stark.ELEMENT_LIMIT)
        r, s = stark.sign(digest, key)
        public = stark.public_key(key)
        assert fast_stark_crypto.verify(public, digest, r, s)
        which, bit = rng.randrange(3), 1 << rng.randrange(250)
        changed = (digest ^ bit * (which == 0), r ^ bit * (which == 1), s ^ bit * (which == 2))
        assert not _verifies(public, *changed)


def _verifies(public: int, digest: int, r: int, s: int) -> bool:
    try:
        return bool(fast_stark_crypto.verify(public, digest, r, s))
    except BaseException as error:  # the library panics on values that are no signature at all
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return False


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_refused_candidate_is_followed_by_the_next_seed(
    monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    # A real refusal has a chance of about 2^-55, so the first candidates are refused by force.
    key, digest = 0x1234567, 0xABCDEF
    real, seen = stark._signature, []

    def refusing(digest: int, private: int, nonce: int) -> tuple[int, int] | None:
        seen.append(nonce)
        return None if len(seen) <= refusals else real(digest, private, nonce)

    monkeypatch.setattr(stark, "_signature", refusing)
    assert stark.sign(digest, key) == tuple(message_signature(digest, key, seed=32 + refusals))
    assert len(seen) == refusals + 1


def test_a_candidate_is_refused_where_r_or_the_inverse_of_s_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n, limit = stark.CURVE_ORDER, stark.ELEMENT_LIMIT
    monkeypatch.setattr(stark, "_times_generator_x", lambda _: limit)
    assert stark._signature(5, 7, 11) is None
    monkeypatch.setattr(stark, "_times_generator_x", lambda _: 0)
    assert stark._signature(5, 7, 11) is None
    monkeypatch.setattr(stark, "_times_generator_x", lambda _: 3)
    # 3 + 3 * (n - 1) = 0: no signature exists with this r.
    assert stark._signature(3, n - 1, 11) is None
    # w = nonce / (digest + 3 * key); nonce = w * t puts any w there.
    t = (5 + 3 * 7) % n
    assert stark._signature(5, 7, limit * t % n) is None
    assert stark._signature(5, 7, (limit - 1) * t % n) is not None


def test_nonce_candidates_follow_the_standard_beyond_the_first() -> None:
    key, digest = 0x77, 2**250 + 12345
    ours = stark._Nonces(digest, key, 32)
    data = (digest << 4).to_bytes(32, "big")  # as starknet libraries feed a 251-bit hash
    found = ours.next()
    ours._mix(b"\x00")
    expected = [
        generate_k(stark.CURVE_ORDER, key, hashlib.sha256, data, retry_gen=retry, extra_entropy=b"\x20")
        for retry in (0, 1)
    ]
    assert [found, ours.next()] == expected


def test_candidates_beyond_the_order_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    # About half of all 252-bit candidates lie beyond this order, so the loop inside the generator turns.
    monkeypatch.setattr(stark, "CURVE_ORDER", 2**251 + 1)
    for digest in range(1, 40):
        expected = generate_k(
            2**251 + 1, 99, hashlib.sha256, digest.to_bytes(1, "big"), extra_entropy=b"\x20"
        )
        assert stark._Nonces(digest, 99, 32).next() == expected


@pytest.mark.parametrize(("digest", "key"), [(0, 5), (2**251, 5), (-1, 5), (5, 0), (5, stark.CURVE_ORDER)])
def test_values_out_of_range_are_refused_without_showing_the_key(digest: int, key: int) -> None:
    with pytest.raises(BadValue) as caught:
        stark.sign(digest, key)
    assert str(stark.CURVE_ORDER) not in str(caught.value)
    assert f"{stark.CURVE_ORDER:x}" not in str(caught.value).lower()


def test_a_sum_that_meets_a_table_entry_raises_and_never_lies() -> None:
    windows = stark._GENERATOR_TABLE()
    x, y = windows[0][9]
    for start in ((x, y, 1, 1), (x, stark.FIELD_PRIME - y, 1, 1)):
        total = stark._add_windows(start, windows, [9, 4])
        with pytest.raises(ValueError, match="invertible"):
            stark._affine_x(total)


def test_tables_are_built_once_however_many_threads_ask_first() -> None:
    built = []
    gate = threading.Barrier(8)

    def build() -> int:
        built.append(1)
        threading.Event().wait(0.05)  # the others must find it unfinished
        return 42

    lazy: stark._Lazy[int] = stark._Lazy(build)

    def ask() -> None:
        gate.wait(10)
        assert lazy() == 42

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert built == [1]
