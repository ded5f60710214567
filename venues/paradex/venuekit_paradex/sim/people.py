"""Accounts and their keys: onboarding, token requests, subkeys. Every signature is checked here."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.errors import BadValue
from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.refusals import VenueError
from venuekit_paradex.sim.settings import CHAIN_ID

if TYPE_CHECKING:
    from venuekit.sim.door import Request

PROXY_HASH = 0x3530CC4759D78042F1B543BF797F5F3D647CDE0388C33734CF91B7F7B9314A9
ACCOUNT_HASH = 0x41CB0280EBADAA75F996D8D92C6F265F6D040BB3BA442E5F86A554F1765244E
WEEK_SECS = 7 * 24 * 3600
CLOCK_TOLERANCE_SECS = 60

DEMO_KEY = int.from_bytes(sha256(b"venuekit demo key").digest(), "big") % proofs.CURVE_ORDER
"""The demo account's private key: public, worthless, made from a constant."""


@define
class Person:
    """An onboarded account: its address, main key and active subkeys (public keys)."""

    address: int
    public_key: int
    ethereum: str
    created_ns: int
    subkeys: set[int] = field(factory=set)

    @property
    def account(self) -> str:
        """Address text, as in every message."""
        return hex(self.address)

    def may_sign(self, public_key: int) -> bool:
        """True for the main key and for an active subkey."""
        return public_key == self.public_key or public_key in self.subkeys


def _number(text: object, code: str) -> int:
    if not isinstance(text, str):
        raise VenueError(code, "not a text")
    try:
        return int(text, 16 if text.startswith("0x") else 10)
    except ValueError as error:
        raise VenueError(code, f"not a number: {text[:40]!r}") from error


def _header(request: Request, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise VenueError("VALIDATION_ERROR", f"header {name.upper()} is missing")
    return value


@define
class Register:
    """Who is onboarded, on one chain."""

    chain_id: str = CHAIN_ID
    _people: dict[int, Person] = field(factory=dict)

    def demo(self, now_ns: int) -> Person:
        """The demo account, onboarded without a request."""
        return self._enter(proofs.public_key_of(DEMO_KEY), "0x" + "0" * 40, now_ns)

    def by_account(self, account: str) -> Person | None:
        """The person of an address text."""
        return self._people.get(int(account, 16))

    def by_key(self, public_key: int) -> Person | None:
        """The person whose main key this is."""
        return next((one for one in self._people.values() if one.public_key == public_key), None)

    @staticmethod
    def address_of(public_key: int) -> int:
        """The address that belongs to a public key under this simulator's class hashes."""
        return proofs.account_address(public_key, PROXY_HASH, ACCOUNT_HASH)

    def add_subkey(self, account: str, public_key: str) -> None:
        """The subkey may sign orders and ask for tokens."""
        try:
            person, key = self.by_account(account), int(public_key, 16)
        except ValueError:
            raise BadValue("account and public_key must be hex") from None
        if person is None or not proofs.is_public_key(key):
            raise BadValue("no such account, or no public key")
        person.subkeys.add(key)

    def onboard(self, request: Request) -> tuple[Person, bool]:
        """The person of a signed onboarding request, and whether they are new. Idempotent."""
        address = _number(_header(request, "paradex-starknet-account"), "INVALID_STARKNET_ADDRESS")
        signature = _header(request, "paradex-starknet-signature")
        ethereum = _header(request, "paradex-ethereum-account")
        try:
            body = json.loads(request.body)
            public_key = _number(body["public_key"], "PUBLIC_KEY_INVALID")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise VenueError("BINDING_ERROR", "body must be JSON with public_key") from error
        if not proofs.is_public_key(public_key):
            raise VenueError("PUBLIC_KEY_INVALID", "not a point of the curve")
        if self.address_of(public_key) != address:
            raise VenueError("INVALID_STARKNET_ADDRESS", "the address does not belong to the public key")
        check(
            public_key,
            proofs.onboarding_hash(self.chain_id, address),
            signature,
            "INVALID_STARKNET_SIGNATURE",
        )
        known = self._people.get(address)
        return known or self._enter(public_key, ethereum, request.received_ns), known is None

    def authenticate(self, request: Request, key_in_path: str, now_secs: int) -> tuple[Person, int]:
        """The person and the public key of a signed token request."""
        address = _number(_header(request, "paradex-starknet-account"), "INVALID_STARKNET_ADDRESS")
        signature = _header(request, "paradex-starknet-signature")
        stamp = _number(_header(request, "paradex-timestamp"), "INVALID_TIMESTAMP")
        until = request.headers.get("paradex-signature-expiration")
        expiry = _number(until, "INVALID_TIMESTAMP") if until else 0
        if stamp > now_secs + CLOCK_TOLERANCE_SECS:
            raise VenueError("INVALID_TIMESTAMP", "timestamp lies in the future")
        if expiry and not stamp < expiry <= stamp + WEEK_SECS:
            raise VenueError("INVALID_TIMESTAMP", "signature expiration must be within a week")
        if now_secs >= (expiry or stamp + 1800):
            raise VenueError("INVALID_TIMESTAMP", "signature is expired")
        person = self._people.get(address)
        if person is None:
            raise VenueError("NOT_ONBOARDED", "User has never called /onboarding endpoint")
        public_key = _number(key_in_path, "PUBLIC_KEY_INVALID") if key_in_path else person.public_key
        if not person.may_sign(public_key):
            raise VenueError("INVALID_SUBKEY", "the key is not registered for this account", 401)
        digest = proofs.auth_hash(self.chain_id, address, stamp, expiry)
        check(public_key, digest, signature, "STARKNET_SIGNATURE_VERIFICATION_FAILED", 401)
        return person, public_key

    def _enter(self, public_key: int, ethereum: str, now_ns: int) -> Person:
        person = Person(self.address_of(public_key), public_key, ethereum, now_ns)
        self._people[person.address] = person
        return person


def check(public_key: int, digest: int, signature: str, code: str, status: int = 400) -> None:
    """Nothing, or the venue's error `code` when the signature does not prove the digest."""
    try:
        genuine = proofs.verify(public_key, digest, signature)
    except proofs.BadProofError as error:
        raise VenueError(code, str(error), status) from error
    if not genuine:
        raise VenueError(code, "signature does not verify", status)
