"""Session tokens: a signed request for a JWT that lives about five minutes."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Final

import msgspec
from attrs import evolve

from venuekit.errors import AuthNeeded, NotReady, RateLimited, TimeRefused
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.request import HttpRequest, Reply, RequestPort
from venuekit.interfaces.signer import Secret, Signed, Signer, SignRequest, Token, Where
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import AtWall, Clock
from venuekit_paradex.errors import ERRORS, NotOnboarded, advice
from venuekit_paradex.keys import parse_address
from venuekit_paradex.signing import auth_request

_SECOND_NS: Final = 1_000_000_000
SIGNATURE_LIFE_SECS: Final = 300
"""How long a signed request for a token may be used; the venue allows up to a week, stolen or not."""
DEFAULT_LIFE_SECS: Final = 240
"""Life of a token that does not say when it ends, as the venue's SDK assumes."""
LONGEST_LIFE_SECS: Final = 3_600
"""A token that claims more is refreshed after this all the same: the venue ends sessions after 5 minutes, its
documents say an hour, and an absurd claim must not keep a dead token in use."""

_CLOCK_CODES: Final = frozenset(rule.code for rule in ERRORS if rule.says is Says.CLOCK)
_ONBOARDING_CODES: Final = frozenset({"NOT_ONBOARDED", "ACCOUNT_NOT_FOUND"})


class _TokenBody(msgspec.Struct):
    jwt_token: str


class _ErrorBody(msgspec.Struct):
    error: str = ""
    message: str = ""


class _Claims(msgspec.Struct):
    exp: int | float | None = None
    iat: int | float | None = None


class ParadexAuthenticator:
    """Obtains tokens over the REST port for one account with one key (its main key or a subkey)."""

    __slots__ = ("_account", "_clock", "_counters", "_isolated", "_port", "_signer")

    def __init__(
        self,
        *,
        port: RequestPort,
        signer: Signer,
        account: str,
        clock: Clock,
        counters: Counters,
        isolated_markets: bool = False,
    ) -> None:
        self._port = port
        self._signer = signer
        self._account = hex(parse_address(account))
        self._clock = clock
        self._counters = counters
        self._isolated = isolated_markets

    async def obtain(self) -> Token:
        """A fresh token; raises NotOnboarded or AuthNeeded (refused), WaitNeeded or SendFailed."""
        issued_ns = self._clock.venue_ns()
        now_secs = issued_ns // _SECOND_NS
        expiration_secs = now_secs + SIGNATURE_LIFE_SECS
        signed = await self._sign(auth_request(timestamp_secs=now_secs, expiration_secs=expiration_secs))
        headers = {
            "PARADEX-STARKNET-ACCOUNT": self._account,
            "PARADEX-STARKNET-SIGNATURE": signed.signature.decode("ascii"),
            "PARADEX-TIMESTAMP": str(now_secs),
            "PARADEX-SIGNATURE-EXPIRATION": str(expiration_secs),
        }
        if self._isolated:
            headers["PARADEX-AUTHORIZE-ISOLATED-MARKETS"] = "true"
        reply = await self._port.send(
            HttpRequest(op="auth", method="POST", path=f"/auth/{self._signer.public}", headers=headers)
        )
        jwt = _parse_reply(reply, self._clock.venue_ns())
        life_ns = self._life_ns(jwt, issued_ns)
        return Token(Secret(jwt), expires=AtWall(issued_ns + life_ns), issued=AtWall(issued_ns))

    def attach(self, request: HttpRequest, token: Token) -> HttpRequest:
        """The same request with the token as its bearer."""
        headers = {**request.headers, "Authorization": f"Bearer {token.value.reveal()}"}
        return evolve(request, headers=headers)

    async def _sign(self, request: SignRequest) -> Signed:
        if self._signer.where is Where.INLINE:
            return self._signer.sign(request)
        return await asyncio.to_thread(self._signer.sign, request)

    def _life_ns(self, jwt: str, issued_ns: int) -> int:
        """How long the token lives from now on.

        The distance of its own two times where they make sense, because that is right even when our clock is
        wrong; else its end against our clock; else the default.
        """
        claims = _parse_claims(jwt)
        if claims is None or claims.exp is None:
            self._counters.inc("auth.token_without_expiry")
            return DEFAULT_LIFE_SECS * _SECOND_NS
        end_ns, longest_ns = int(claims.exp) * _SECOND_NS, LONGEST_LIFE_SECS * _SECOND_NS
        if claims.iat is not None and 0 < end_ns - int(claims.iat) * _SECOND_NS <= longest_ns:
            return end_ns - int(claims.iat) * _SECOND_NS
        if end_ns <= issued_ns:
            self._counters.inc("auth.token_expiry_in_the_past")
            return DEFAULT_LIFE_SECS * _SECOND_NS
        return min(end_ns - issued_ns, longest_ns)


def _parse_claims(jwt: str) -> _Claims | None:
    """The payload of a JWT, not verified: it is used for nothing but the time of the next refresh."""
    parts = jwt.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=_Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def _parse_reply(reply: Reply, now_ns: int) -> str:
    if reply.status == 200:
        return _parse_token(reply.body)
    try:
        body = msgspec.json.decode(reply.body, type=_ErrorBody)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        body = _ErrorBody()
    what = f"Paradex refused to log in: HTTP {reply.status} {body.error} {body.message}".rstrip()[:300]
    if reply.status == 429:
        raise RateLimited(what, retry_after_ns=_retry_after_ns(reply.headers, now_ns))
    if body.error in _ONBOARDING_CODES:
        raise NotOnboarded(what, hint=advice(body.error))
    if body.error in _CLOCK_CODES:
        raise TimeRefused(what, hint=advice(body.error))
    if isinstance(reply.status, int) and 400 <= reply.status < 500:
        raise AuthNeeded(what, hint=advice(body.error))
    raise NotReady(what)


def _parse_token(body: bytes) -> str:
    try:
        jwt = msgspec.json.decode(body, type=_TokenBody).jwt_token
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # The body is not shown: it may hold a token in another form.
        raise NotReady("Paradex answered a login without a readable token") from None
    if not jwt or not all("!" <= character <= "~" for character in jwt):
        raise NotReady("Paradex answered a login with a token that no header can carry")
    return jwt


def _retry_after_ns(headers: Mapping[str, str], now_ns: int) -> int | None:
    """The pause that the reply asks for: Retry-After in seconds, else X-RateLimit-Reset as a Unix second."""
    found = {name.lower(): value for name, value in headers.items()}
    after, reset = found.get("retry-after", ""), found.get("x-ratelimit-reset", "")
    if after.isascii() and after.isdigit() and len(after) <= 18:
        return int(after) * _SECOND_NS
    if reset.isascii() and reset.isdigit() and len(reset) <= 18:
        return max(0, int(reset) * _SECOND_NS - now_ns)
    return None
