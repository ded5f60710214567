"""A Stark private key that cannot be printed, logged or pickled by accident."""

from __future__ import annotations

import re
from typing import NoReturn

from venuekit.errors import BadValue, SecretError
from venuekit.interfaces.signer import Secret
from venuekit_paradex import stark

_HEX = re.compile(r"[0-9a-fA-F]+")
_HINT = "give the Stark (L2) private key as the venue exports it: up to 64 hex digits, 0x or not"


class StarkKey:
    """A checked private key; it shows as `StarkKey(***)` and leaves the object through `reveal` alone."""

    __slots__ = ("_public", "_scalar")

    def __init__(self, scalar: int) -> None:
        if not 0 < scalar < stark.CURVE_ORDER:
            raise SecretError("the Stark key is zero or not below the order of the curve", hint=_HINT)
        self._scalar = scalar
        self._public: int | None = None

    @classmethod
    def parse(cls, secret: Secret | str) -> StarkKey:
        """The key in a text of hex digits, 0x and leading zeros optional; the text is in no error."""
        text = (secret.reveal() if isinstance(secret, Secret) else secret).strip()
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        if not digits:
            raise SecretError("the Stark key is empty", hint=_HINT)
        if len(digits) > 64:
            raise SecretError(f"the Stark key has {len(digits)} digits, at most 64 are possible", hint=_HINT)
        if _HEX.fullmatch(digits) is None:
            raise SecretError("the Stark key holds something else than hexadecimal digits", hint=_HINT)
        return cls(int(digits, 16))

    def reveal(self) -> str:
        """The key as 64 lower-case hex digits without 0x."""
        return f"{self._scalar:064x}"

    @property
    def public(self) -> str:
        """The public key as 0x hex without leading zeros, as the venue writes it."""
        if self._public is None:
            self._public = stark.public_key(self._scalar)
        return hex(self._public)

    def sign(self, digest: int) -> tuple[int, int]:
        """The deterministic signature (r, s); raises BadValue when the hash is out of range."""
        return stark.sign(digest, self._scalar)

    def __repr__(self) -> str:
        return "StarkKey(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StarkKey) and other._scalar == self._scalar

    def __hash__(self) -> int:
        return hash((StarkKey, self._scalar))

    def __copy__(self) -> StarkKey:
        return self

    def __deepcopy__(self, memo: object) -> StarkKey:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Stark key is not serialised")


def parse_address(text: str) -> int:
    """The account address or public key in 0x text; raises BadValue when it is not one."""
    digits = text.strip()[2:]
    value = 0
    if text.strip()[:2] in ("0x", "0X") and len(digits) <= 64 and _HEX.fullmatch(digits) is not None:
        value = int(digits, 16)
    if not 0 < value < stark.FIELD_PRIME:
        # Not shown: a user may have swapped the key and the address.
        raise BadValue(
            f"not a Stark address ({len(text)} characters)", hint="write it as 0x and at most 64 hex digits"
        )
    return value


_CONTRACT_PREFIX = int.from_bytes(b"STARKNET_CONTRACT_ADDRESS", "big")
_INITIALIZE_SELECTOR = 0x79DC0DA7C54B95F10AA182AD0A46400DB63156920ADB65ECA2654C0945A463
"""keccak-256 of `initialize`, 250 bits."""
_ADDRESS_LIMIT = 2**251 - 256


def account_address(public: str, *, proxy_hash: str, account_hash: str) -> str:
    """The address of the account that a main key owns, as 0x hex without leading zeros.

    The two class hashes are `paraclear_account_proxy_hash` and `paraclear_account_hash` of the venue's system
    config. A subkey has no account of its own: its main account's address must be given.
    """
    hasher = stark.PedersenHasher()
    owner = parse_address(public)
    calldata = stark.hash_chain(hasher, (parse_address(account_hash), _INITIALIZE_SELECTOR, 2, owner, 0))
    contract = (_CONTRACT_PREFIX, 0, owner, parse_address(proxy_hash), calldata)
    return hex(stark.hash_chain(hasher, contract) % _ADDRESS_LIMIT)
