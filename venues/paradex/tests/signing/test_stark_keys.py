"""Keys: what is accepted, what is refused, and that none shows anywhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from venuekit_paradex import stark
from venuekit_paradex.keys import StarkKey, account_address, parse_address

from venuekit.errors import BadValue, SecretError
from venuekit.interfaces.signer import Secret

PLAIN = "00" + "ab" * 31


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "0x" + PLAIN,
        "0X" + PLAIN.upper(),
        "ab" * 31,
        "0x" + "ab" * 31,
        "0" + "ab" * 31,
        f"  0x{PLAIN}\n",
        Secret("0x" + "ab" * 31),
    ],
)
def test_every_form_the_venue_exports_is_the_same_key(text: str | Secret) -> None:
    key = StarkKey.parse(text)
    assert key.reveal() == PLAIN
    assert key == StarkKey(int(PLAIN, 16))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("0x", "empty"),
        ("   ", "empty"),
        ("0" * 65, "65 digits"),
        ("0x" + "a" * 65, "65 digits"),
        ("xyz", "hexadecimal"),
        ("0x0x12", "hexadecimal"),
        ("-1", "hexadecimal"),
        ("1_000", "hexadecimal"),
        ("12 34", "hexadecimal"),
        ("\u0661\u0662", "hexadecimal"),  # digits, but not ours
        ("0", "zero"),
        ("0x" + "0" * 64, "zero"),
        (f"{stark.CURVE_ORDER:x}", "order"),
        ("f" * 64, "order"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text: str, says: str) -> None:
    with pytest.raises(SecretError, match=says) as caught:
        StarkKey.parse(text)
    assert caught.value.hint
    assert caught.value.__cause__ is None
    if len(text.strip()) > 8:
        shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint
        assert text.strip()[2:] not in shown


def test_the_largest_and_the_smallest_key_are_keys() -> None:
    assert StarkKey.parse("1").reveal() == "1".zfill(64)
    assert StarkKey.parse(f"{stark.CURVE_ORDER - 1:x}").reveal() == f"{stark.CURVE_ORDER - 1:064x}"


@settings(max_examples=200, deadline=None)
@given(
    scalar=st.integers(1, stark.CURVE_ORDER - 1), upper=st.booleans(), pad=st.booleans(), prefix=st.booleans()
)
def test_normalising_keeps_the_key(scalar: int, upper: bool, pad: bool, prefix: bool) -> None:
    text = f"{scalar:064x}" if pad else f"{scalar:x}"
    text = ("0x" if prefix else "") + (text.upper() if upper else text)
    revealed = StarkKey.parse(text).reveal()
    assert len(revealed) == 64
    assert int(revealed, 16) == scalar
    assert StarkKey.parse(revealed).reveal() == revealed


def test_a_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    key = StarkKey.parse(PLAIN)
    scalar = int(PLAIN, 16)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r %s", key, key, [key])
    shown = [repr(key), str(key), f"{key}", repr({"key": key}), repr((key,)), caplog.text]
    for error in (_error(lambda: key.sign(0)), _error(lambda: key.sign(2**252))):
        shown += [str(error), "".join(traceback.format_exception(error))]
    for text in shown:
        assert "ab" * 8 not in text.lower()
        assert str(scalar) not in text
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        json.dumps(key)
    assert copy.deepcopy(key) is key and copy.copy(key) is key


def _error(call: Any) -> BaseException:
    with pytest.raises(BadValue) as caught:
        call()
    return caught.value


def test_keys_compare_by_value() -> None:
    assert StarkKey(5) == StarkKey(5) != StarkKey(6)
    assert len({StarkKey(5), StarkKey(5), StarkKey(6)}) == 2
    assert StarkKey(5) != 5


def test_addresses_equal_the_sdk(sdk_vectors: dict[str, Any]) -> None:
    for account in sdk_vectors["accounts"]:
        found = account_address(
            StarkKey.parse(account["l2_private_key"]).public,
            proxy_hash=account["paraclear_account_proxy_hash"],
            account_hash=account["paraclear_account_hash"],
        )
        assert found == account["l2_address"]


@pytest.mark.parametrize(
    "text", ["", "0x", "1234", "0xzz", "0x" + "0" * 64, "0x" + "f" * 64, "0x1" + "0" * 64, "-0x1"]
)
def test_what_is_no_address_is_refused_without_showing_it(text: str) -> None:
    # A user may have put the key where the address belongs.
    with pytest.raises(BadValue) as caught:
        parse_address(text)
    assert len(text) < 4 or text not in f"{caught.value} {caught.value.hint}"


def test_an_address_may_carry_leading_zeros() -> None:
    assert parse_address("0x00ab") == parse_address(" 0xAB ") == 0xAB
