"""Bearer tokens: standard three-part JWTs with `exp`, signed with a secret that dies with the simulator."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha384
from random import Random

from attrs import define, field, frozen

from venuekit_paradex.sim.refusals import VenueError

_SECOND_NS = 1_000_000_000


@frozen(kw_only=True)
class Claims:
    """Whom a token speaks for, and until when (Unix seconds)."""

    account: str
    public_key: int
    expires_secs: int
    serial: int


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@define
class TokenDesk:
    """Issues tokens and tells real, expired and revoked ones apart.

    The venue signs with ES384; here it is HS384, which no client checks but this desk does.
    """

    _lifetime_secs: int
    _secret: bytes = field(factory=bytes, repr=False)
    _serial: int = 0
    valid_from: int = 1
    """Tokens with a lower serial number are revoked."""

    @classmethod
    def seeded(cls, lifetime_secs: int, seed: int) -> TokenDesk:
        """A desk whose secret follows from the seed, so that runs repeat."""
        return cls(lifetime_secs, Random(f"tokens {seed}").randbytes(48))

    def issue(self, account: str, public_key: int, now_ns: int) -> str:
        """A token for `account`, valid for the desk's lifetime from `now_ns`."""
        self._serial += 1
        issued = now_ns // _SECOND_NS
        claims = {
            "typ": "at+JWT",
            "exp": issued + self._lifetime_secs,
            "iat": issued,
            "iss": "venuekit simulator",
            "sub": account,
            "jti": str(self._serial),
            "key": hex(public_key),
        }
        head = _encode(json.dumps({"alg": "HS384", "typ": "JWT"}).encode())
        signed = f"{head}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{_encode(self._sign(signed))}"

    def read(self, token: str, now_ns: int) -> Claims:
        """The claims of a genuine, current token; INVALID_TOKEN otherwise."""
        head, _, signature = token.rpartition(".")
        try:
            genuine = hmac.compare_digest(_decode(signature), self._sign(head))
            data = json.loads(_decode(head.partition(".")[2])) if genuine else {}
            claims = Claims(
                account=data["sub"],
                public_key=int(data["key"], 16),
                expires_secs=data["exp"],
                serial=int(data["jti"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise VenueError("INVALID_TOKEN", "token is not genuine", 401) from error
        if now_ns >= claims.expires_secs * _SECOND_NS:
            raise VenueError("INVALID_TOKEN", "token is expired", 401)
        if claims.serial < self.valid_from:
            raise VenueError("INVALID_TOKEN", "token is revoked", 401)
        return claims

    def expire_all(self) -> int:
        """Every token issued so far is revoked; returns how many were issued."""
        self.valid_from = self._serial + 1
        return self._serial

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._secret, text.encode(), sha384).digest()
