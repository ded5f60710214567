"""Accounts and keys: the Stark key of an Ethereum key, opening an account, and its subkeys.

A wallet has one account: its main key follows from a signature that only the wallet can make. A subkey is any
other Stark key, registered by the main key; it trades and reads for the account and cannot withdraw.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from attrs import frozen
from msgspec import Struct

from venuekit.errors import BadValue, ConfigError, SecretError
from venuekit.interfaces.request import HttpRequest
from venuekit_paradex import stark
from venuekit_paradex.keys import StarkKey, parse_address
from venuekit_paradex.signing import ParadexStarkSigner, onboarding_request
from venuekit_paradex.venue import address_of
from venuekit_paradex.wire.replies import parse_rows, raise_for, read, row_as
from venuekit_paradex.wire.values import Number

if TYPE_CHECKING:
    from venuekit.interfaces.request import RequestPort
    from venuekit.interfaces.signer import Secret
    from venuekit.interfaces.time import Clock
    from venuekit_paradex.wire.json import SystemConfig

SIGNATURE_LIFE_SECS: Final = 300
"""How long the signature under a new subkey may be used; the venue allows at most 10 minutes."""
_SECOND_NS: Final = 1_000_000_000
_ETHEREUM_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1."""
_ETHEREUM: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})")


@frozen
class Wallet:
    """What follows from an Ethereum key: its address and its Stark key."""

    address: str
    """The Ethereum address, with its checksum."""
    key: StarkKey


def ethereum_wallet(secret: Secret, l1_chain_id: int) -> Wallet:
    """The wallet behind a private Ethereum key; raises SecretError, or ConfigError without the extra.

    The Stark key is made of the wallet's EIP-712 signature of a constant for the chain `l1_chain_id`, which
    is the same each time.
    """
    signature, address = sign_stark_key_message(secret, l1_chain_id)
    return Wallet(address, StarkKey(grind(int.from_bytes(signature[:32], "big"))))


def sign_stark_key_message(secret: Secret, l1_chain_id: int) -> tuple[bytes, str]:
    """The 65 bytes of the wallet's signature under the Stark key message, and the wallet's address."""
    try:
        from eth_account import Account
        from eth_account.messages import encode_typed_data
    except ImportError:
        raise ConfigError(
            "eth-account is not installed",
            hint='keys of a wallet need the extra `onboarding`: pip install "venuekit-paradex[onboarding]"',
        ) from None
    found = _ETHEREUM.fullmatch(secret.reveal().strip())
    if found is None:
        raise SecretError("the Ethereum key is not 64 hex digits", hint="give it as the wallet exports it")
    if not 0 < int(found[1], 16) < _ETHEREUM_ORDER:
        # The library would take zero.
        raise SecretError("the Ethereum key is no key of its curve", hint="give it as the wallet exports it")
    account = Account.from_key(bytes.fromhex(found[1]))
    message = encode_typed_data(full_message=stark_key_message(l1_chain_id))
    return bytes(account.sign_message(message).signature), str(account.address)


def stark_key_message(l1_chain_id: int) -> dict[str, object]:
    """The EIP-712 message whose signature the Stark key is made of."""
    domain = [("name", "string"), ("version", "string"), ("chainId", "uint256")]
    return {
        "domain": {"name": "Paradex", "version": "1", "chainId": l1_chain_id},
        "primaryType": "Constant",
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
            "Constant": [{"name": "action", "type": "string"}],
        },
        "message": {"action": "STARK Key"},
    }


def grind(seed: int) -> int:
    """A private key from a number of 256 bits, without bias: the first hash below a multiple of the order."""
    limit = 2**256 - 2**256 % stark.CURVE_ORDER
    index = 0
    while True:
        digest = int.from_bytes(sha256(_minimal(seed) + _minimal(index)).digest(), "big")
        if digest < limit:
            return digest % stark.CURVE_ORDER
        index += 1


def _minimal(number: int) -> bytes:
    """Big-endian without leading zero bytes; zero is one byte."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


class OnboardingRow(Struct, gc=False):
    """Whether the account of a key exists, and where."""

    address: str = ""
    exists: bool = False


class SubkeyRow(Struct, gc=False):
    """A subkey of an account; times in Unix seconds or milliseconds as the venue sends them."""

    public_key: str
    name: str = ""
    state: str = ""
    created_at: Number = None
    revoked_at: Number = None
    allowed_cidrs: list[str] | None = None


class Onboarding:
    """Opens the account of a main key over a REST port."""

    __slots__ = ("_port", "_system")

    def __init__(self, *, port: RequestPort, system: SystemConfig) -> None:
        self._port = port
        self._system = system

    async def look_up(self, public: str) -> OnboardingRow:
        """Whether the account of this main key exists, and where; the address must be the one we derive."""
        query = [("account_signer_type", "starknet"), ("public_key", public)]
        row = row_as(
            await read(self._port, HttpRequest("onboarded", "GET", "/onboarding", query=query)), OnboardingRow
        )
        ours = address_of(public, self._system)
        if parse_address(row.address or ours) != parse_address(ours):
            raise BadValue(
                f"the venue derives the address {row.address[:70]} where we derive {ours}",
                hint="do not use this key: its account would be another one than the venue's",
            )
        return row

    async def open(self, wallet: Wallet) -> str:
        """The account exists after this (a second time changes nothing); returns its address."""
        address = address_of(wallet.key.public, self._system)
        signer = ParadexStarkSigner(wallet.key, chain_id=self._system.starknet_chain_id, account=address)
        headers = {
            "PARADEX-ETHEREUM-ACCOUNT": wallet.address,
            "PARADEX-STARKNET-ACCOUNT": address,
            "PARADEX-STARKNET-SIGNATURE": signer.sign(onboarding_request()).signature.decode(),
        }
        body = msgspec.json.encode({"public_key": wallet.key.public})
        request = HttpRequest("onboard", "POST", "/onboarding", headers=headers, body=body)
        raise_for(await self._port.send(request), "onboard")
        return address


class Subkeys:
    """Lists, registers and revokes the subkeys of an account; only its main key may change them."""

    __slots__ = ("_account", "_clock", "_port")

    def __init__(self, *, port: RequestPort, account: str, clock: Clock) -> None:
        self._port = port
        self._account = parse_address(account)
        self._clock = clock

    async def list(self, *, with_revoked: bool) -> list[SubkeyRow]:
        """The account's subkeys."""
        query = [("with_revoked", "true")] if with_revoked else []
        request = HttpRequest("subkeys", "GET", "/account/keys/subkeys", query=query, private=True)
        return [row_as(bytes(raw), SubkeyRow) for raw in parse_rows(await read(self._port, request)).results]

    async def create(self, *, name: str, public: str, main: StarkKey, cidrs: tuple[str, ...] = ()) -> None:
        """The subkey with this public key may trade for the account after this."""
        body = msgspec.json.encode(self.registration(name=name, public=public, main=main, cidrs=cidrs))
        request = HttpRequest("subkey_create", "POST", "/account/keys/subkeys", body=body, private=True)
        raise_for(await self._port.send(request), "subkey_create")

    def registration(
        self, *, name: str, public: str, main: StarkKey, cidrs: tuple[str, ...] = ()
    ) -> dict[str, object]:
        """The body that registers a subkey, signed by the main key for the next five minutes."""
        now_secs = self._clock.venue_ns() // _SECOND_NS
        expiry_secs = now_secs + SIGNATURE_LIFE_SECS
        elements = (self._account, parse_address(public), now_secs, expiry_secs)
        r, s = main.sign(stark.hash_chain(stark.PedersenHasher(), elements))
        body: dict[str, object] = {
            "name": name,
            "public_key": public,
            "state": "active",
            "signature": [hex(r), hex(s)],
            "signature_timestamp": now_secs,
            "signature_expiry": expiry_secs,
        }
        return {**body, "allowed_cidrs": list(cidrs)} if cidrs else body

    async def revoke(self, public: str) -> None:
        """The subkey signs nothing any more after this."""
        path = f"/account/keys/subkeys/{quote(hex(parse_address(public)), safe='')}"
        request = HttpRequest("subkey_revoke", "DELETE", path, private=True)
        raise_for(await self._port.send(request), "subkey_revoke")
