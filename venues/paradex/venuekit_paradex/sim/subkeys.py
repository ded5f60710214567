"""Subkeys over REST: registered by the main key with a signature, listed, shown, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.refusals import VenueError

if TYPE_CHECKING:
    from venuekit.interfaces.time import Clock
    from venuekit_paradex.sim.desk import Caller
    from venuekit_paradex.sim.render import Json

SIGNATURE_LIFE_SECS = 600
STATES = ("active", "pending")
_MOST_CIDRS = 50
_SECOND_NS = 1_000_000_000


@define
class Subkeys:
    """The subkeys of all accounts, newest last. Those registered by the control interface are not listed."""

    _clock: Clock
    _rows: dict[int, list[Json]] = field(factory=dict)
    _serial: int = 0

    def list(self, caller: Caller, *, with_revoked: bool) -> list[Json]:
        """The subkeys of an account."""
        return [
            row for row in self._rows.get(caller.person.address, []) if with_revoked or not row["revoked_at"]
        ]

    def show(self, caller: Caller, public_key: str) -> Json:
        """One of them; NOT_FOUND for any other key."""
        wanted = _key(public_key)
        for row in self._rows.get(caller.person.address, []):
            if _key(str(row["public_key"])) == wanted:
                return row
        raise VenueError("NOT_FOUND", "no such subkey", 404)

    def register(self, caller: Caller, body: object) -> None:
        """The key may sign and ask for tokens; a signature, where one is given, must be the main key's."""
        _only_main(caller)
        if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
            raise VenueError("VALIDATION_ERROR", "name is required")
        key = _key(body.get("public_key"))
        if not proofs.is_public_key(key):
            raise VenueError("PUBLIC_KEY_INVALID", "not a point of the curve")
        if caller.person.may_sign(key):
            raise VenueError("NOT_UNIQUE", "the key is in use")
        state, cidrs = body.get("state") or "active", body.get("allowed_cidrs") or []
        if state not in STATES:
            raise VenueError("VALIDATION_ERROR", "state is active or pending")
        if not isinstance(cidrs, list) or len(cidrs) > _MOST_CIDRS:
            raise VenueError("VALIDATION_ERROR", "allowed_cidrs holds at most 50 networks")
        self._check_signature(caller, key, body)
        self._serial += 1
        now_ms = self._clock.wall_ns() // 1_000_000
        row: Json = {
            "account_id": caller.account,
            "allowed_cidrs": cidrs,
            "created_at": now_ms,
            "id": self._serial,
            "name": body["name"],
            "public_key": hex(key),
            "revoked_at": 0,
            "state": state,
            "updated_at": now_ms,
        }
        self._rows.setdefault(caller.person.address, []).append(row)
        if state == "active":
            caller.person.subkeys.add(key)

    def _check_signature(self, caller: Caller, key: int, body: dict[str, object]) -> None:
        signature = body.get("signature")
        if signature is None:
            return
        stamp, expiry = body.get("signature_timestamp"), body.get("signature_expiry")
        now_secs = self._clock.wall_ns() // _SECOND_NS
        if not (isinstance(stamp, int) and isinstance(expiry, int)):
            raise VenueError("VALIDATION_ERROR", "signature_timestamp and signature_expiry are numbers")
        if not stamp <= now_secs < expiry <= stamp + SIGNATURE_LIFE_SECS:
            raise VenueError("INVALID_TIMESTAMP", "the signature must be current, for at most 10 minutes")
        if not isinstance(signature, list) or len(signature) != 2:
            raise VenueError("VALIDATION_ERROR", "signature is a list of two hex texts")
        digest = proofs.chain((caller.person.address, key, stamp, expiry))
        r, s = (str(part) for part in signature)
        if not proofs.verify(caller.person.public_key, digest, f'["{r}","{s}"]'):
            raise VenueError("INVALID_STARKNET_SIGNATURE", "signature does not verify")

    def revoke(self, caller: Caller, public_key: str) -> Json:
        """The key signs nothing any more, and its tokens are worthless."""
        _only_main(caller)
        row = self.show(caller, public_key)
        if not row["revoked_at"]:
            row["revoked_at"] = row["updated_at"] = self._clock.wall_ns() // 1_000_000
            caller.person.subkeys.discard(_key(public_key))
        return {"public_key": row["public_key"]}


def _only_main(caller: Caller) -> None:
    if caller.public_key != caller.person.public_key:
        raise VenueError("REQUEST_NOT_ALLOWED", "a subkey cannot manage keys", 403)


def _key(text: object) -> int:
    try:
        return int(str(text), 16)
    except ValueError as error:
        raise VenueError("PUBLIC_KEY_INVALID", f"not hex: {str(text)[:40]!r}") from error
