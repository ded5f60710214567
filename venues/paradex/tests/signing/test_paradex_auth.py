"""Logging in: the request, the life of the token, and every way it can be refused."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from typing import Any

import fast_stark_crypto
import pytest
from starknet_py.utils.typed_data import TypedData
from venuekit_paradex.auth import ParadexAuthenticator
from venuekit_paradex.errors import NotOnboarded
from venuekit_paradex.signing import auth_request, python_signer

from venuekit.errors import AuthNeeded, BadValue, NotReady, RateLimited, SendFailed, WaitNeeded
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, nothing_sent
from venuekit.interfaces.signer import Secret, Signed, SignRequest, Token, Where
from venuekit.interfaces.time import AtWall
from venuekit.runtime.clock import ManualClock

KEY = "0x" + "12" * 31
ACCOUNT = "0x00000abc123"
CHAIN = "PRIVATE_SN_POTC_SEPOLIA"
NOW = 1_700_000_000
SECOND = 1_000_000_000


class Port:
    """Answers with what it was given and keeps what it was sent."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    async def send(self, request: Any, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Counts(dict[str, int]):
    """Counters in a dictionary."""

    def inc(self, name: str, n: int = 1) -> None:
        self[name] = self.get(name, 0) + n


class RemoteSigner:
    """A signer that must not run on the loop."""

    public = "0x77"
    where = Where.THREAD

    def __init__(self) -> None:
        self.ran_on: list[int] = []

    def warm(self) -> None:
        pass

    def sign(self, request: SignRequest) -> Signed:
        self.ran_on.append(threading.get_ident())
        return Signed(b'["1","2"]', bytes(32))


def jwt(**claims: Any) -> str:
    parts = ({"alg": "ES384", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*texts, "c2lnbmF0dXJl"))


def ok(token: str) -> Reply:
    return Reply(200, json.dumps({"jwt_token": token}).encode())


def refused(status: int, code: str, headers: dict[str, str] | None = None) -> Reply:
    body = {"error": code, "message": "because", "data": None}
    return Reply(status, json.dumps(body).encode(), headers or {})


def make(port: Port, signer: Any = None, **options: Any) -> tuple[ParadexAuthenticator, Counts]:
    counts = Counts()
    signer = signer or python_signer(Secret(KEY), {"chain_id": CHAIN, "account": ACCOUNT})
    clock = ManualClock(wall_start_ns=NOW * SECOND + 999_999_999)
    return ParadexAuthenticator(
        port=port, signer=signer, account=ACCOUNT, clock=clock, counters=counts, **options
    ), counts


def obtain(*answers: Reply | Exception, **options: Any) -> tuple[Token, Port, Counts]:
    port = Port(*answers)
    auth, counts = make(port, **options)
    return asyncio.run(auth.obtain()), port, counts


def test_the_request_is_the_one_of_the_venue_and_its_signature_verifies() -> None:
    _, port, _ = obtain(ok(jwt(exp=NOW + 300, iat=NOW)))
    (request,) = port.requests
    public = python_signer(Secret(KEY), {"chain_id": CHAIN, "account": ACCOUNT}).public
    assert (request.op, request.method, request.path) == ("auth", "POST", f"/auth/{public}")
    assert request.body == b"" and not request.private
    assert set(request.headers) == {
        "PARADEX-STARKNET-ACCOUNT",
        "PARADEX-STARKNET-SIGNATURE",
        "PARADEX-TIMESTAMP",
        "PARADEX-SIGNATURE-EXPIRATION",
    }
    assert request.headers["PARADEX-STARKNET-ACCOUNT"] == "0xabc123"
    timestamp, expiration = (
        int(request.headers[f"PARADEX-{name}"]) for name in ("TIMESTAMP", "SIGNATURE-EXPIRATION")
    )
    assert timestamp == NOW, "whole seconds, rounded down: a moment of the future may be refused"
    assert 0 < expiration - timestamp <= 7 * 86_400
    r, s = (int(text) for text in json.loads(request.headers["PARADEX-STARKNET-SIGNATURE"]))
    digest = _reference_digest(timestamp, expiration)
    assert fast_stark_crypto.verify(int(public, 16), digest, r, s)
    assert not fast_stark_crypto.verify(int(public, 16), digest + 1, r, s)


def _reference_digest(timestamp: int, expiration: int) -> int:
    names = ("method", "path", "body", "timestamp", "expiration")
    return TypedData.from_dict(
        {
            "types": {
                "StarkNetDomain": [{"name": name, "type": "felt"} for name in ("name", "chainId", "version")],
                "Request": [{"name": name, "type": "felt"} for name in names],
            },
            "primaryType": "Request",
            "domain": {"name": "Paradex", "chainId": CHAIN, "version": "1"},
            "message": {
                "method": "POST",
                "path": "/v1/auth",
                "body": "",
                "timestamp": timestamp,
                "expiration": expiration,
            },
        }
    ).message_hash(int(ACCOUNT, 16))


def test_isolated_markets_are_asked_for_by_a_header() -> None:
    _, port, _ = obtain(ok(jwt(exp=NOW + 300)), isolated_markets=True)
    assert port.requests[0].headers["PARADEX-AUTHORIZE-ISOLATED-MARKETS"] == "true"


@pytest.mark.parametrize(
    ("claims", "life_secs", "counter"),
    [
        ({"exp": NOW + 300, "iat": NOW}, 300, None),
        # Our clock is ten minutes ahead or behind: the token still lives five minutes.
        ({"exp": NOW - 300, "iat": NOW - 600}, 300, None),
        ({"exp": NOW + 900, "iat": NOW + 600}, 300, None),
        ({"exp": NOW + 300}, 300 - 0.999999999, None),
        ({"exp": NOW + 300.7, "iat": NOW + 0.2}, 300, None),
        ({}, 240, "auth.token_without_expiry"),
        ({"exp": None}, 240, "auth.token_without_expiry"),
        ({"exp": "soon"}, 240, "auth.token_without_expiry"),
        ({"exp": [1]}, 240, "auth.token_without_expiry"),
        ({"exp": NOW - 1}, 240, "auth.token_expiry_in_the_past"),
        ({"exp": 0, "iat": 0}, 240, "auth.token_expiry_in_the_past"),
        ({"exp": -5}, 240, "auth.token_expiry_in_the_past"),
        # Claims that would keep a dead token in use: milliseconds for seconds, a nonsense start, a year.
        ({"exp": (NOW + 300) * 1000, "iat": NOW * 1000}, 3_600, None),
        ({"exp": NOW + 300, "iat": 0}, 300 - 0.999999999, None),
        ({"exp": NOW + 86_400 * 365, "iat": NOW}, 3_600, None),
    ],
)
def test_the_life_of_a_token_is_read_and_not_trusted_blindly(
    claims: dict[str, Any], life_secs: float, counter: str | None
) -> None:
    token, _, counts = obtain(ok(jwt(**claims)))
    assert token.issued == AtWall(NOW * SECOND + 999_999_999)
    assert token.expires.ns - token.issued.ns == round(life_secs * SECOND)
    assert counts == ({counter: 1} if counter else {})


@pytest.mark.parametrize("text", ["opaque", "a.b", "a.b.c", "a.!!!.c", "..", f"a.{'A' * 5}.c", "x" * 5_000])
def test_a_token_that_is_no_jwt_is_used_for_the_default_time(text: str) -> None:
    token, _, counts = obtain(ok(text))
    assert token.value.reveal() == text
    assert token.expires.ns - token.issued.ns == 240 * SECOND
    assert counts == {"auth.token_without_expiry": 1}


@pytest.mark.parametrize("code", ["NOT_ONBOARDED", "ACCOUNT_NOT_FOUND"])
@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_unknown_account_says_what_to_do(code: str, status: int) -> None:
    with pytest.raises(NotOnboarded) as caught:
        obtain(refused(status, code))
    assert isinstance(caught.value, AuthNeeded)
    assert code in str(caught.value)
    assert "onboard" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (refused(400, "INVALID_STARKNET_SIGNATURE"), AuthNeeded, "INVALID_STARKNET_SIGNATURE because"),
        (refused(400, "STARKNET_SIGNATURE_VERIFICATION_FAILED"), AuthNeeded, "VERIFICATION"),
        (refused(401, "INVALID_TIMESTAMP"), AuthNeeded, "INVALID_TIMESTAMP"),
        (refused(403, "GEO_IP_BLOCK"), AuthNeeded, "GEO_IP_BLOCK"),
        (refused(400, "SOMETHING_NEW"), AuthNeeded, "SOMETHING_NEW"),
        (Reply(403, b"<html>blocked</html>"), AuthNeeded, "HTTP 403"),
        (Reply(500, b""), WaitNeeded, "HTTP 500"),
        (refused(503, "SERVICE_UNAVAILABLE"), WaitNeeded, "HTTP 503"),
        (Reply(302, b""), WaitNeeded, "HTTP 302"),
        (Reply(200, b""), NotReady, "without a readable token"),
        (Reply(200, b"[]"), NotReady, "without a readable token"),
        (Reply(200, b'{"jwt_token": 5}'), NotReady, "without a readable token"),
        (Reply(200, b'{"jwt_token": "\xff"}'), NotReady, "without a readable token"),
        (Reply(200, b'{"jwt_token": ""}'), NotReady, "no header"),
        (ok("abc\r\nX-Evil: 1"), NotReady, "no header"),
        (ok("t\u00f6ken"), NotReady, "no header"),
        (refused(429, "RATE"), RateLimited, "HTTP 429"),
    ],
)
def test_every_other_answer_is_a_typed_error(answer: Reply, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        obtain(answer)
    assert not isinstance(caught.value, NotOnboarded)
    for secret in ("12" * 31, "Evil", "t\u00f6ken"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "pause_ns"),
    [
        ({"Retry-After": "7"}, 7 * SECOND),
        ({"retry-after": "7", "x-ratelimit-reset": "1"}, 7 * SECOND),
        # The clock stands 1 ns before the next second.
        ({"X-RateLimit-Reset": str(NOW + 5)}, 4 * SECOND + 1),
        ({"X-RateLimit-Reset": str(NOW - 5)}, 0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_a_limit_carries_the_pause_that_the_venue_names(
    headers: dict[str, str], pause_ns: int | None
) -> None:
    with pytest.raises(RateLimited) as caught:
        obtain(refused(429, "", headers))
    assert caught.value.retry_after_ns == pause_ns


def test_a_lost_answer_keeps_its_evidence() -> None:
    with pytest.raises(SendFailed) as caught:
        obtain(SendFailed("gone", evidence=Evidence.MAYBE_SENT))
    assert caught.value.evidence is Evidence.MAYBE_SENT


def test_attach_adds_the_bearer_and_keeps_the_rest() -> None:
    token, port, _ = obtain(ok(jwt(exp=NOW + 300)))
    auth, _ = make(port)
    request = HttpRequest(
        "orders", "GET", "/orders", (("market", "X"),), {"Accept": "x"}, b"body", private=True
    )
    attached = auth.attach(request, token)
    assert attached.headers == {"Accept": "x", "Authorization": f"Bearer {token.value.reveal()}"}
    assert request.headers == {"Accept": "x"}, "the request itself is untouched"
    assert (attached.op, attached.path, attached.query, attached.body) == (
        "orders",
        "/orders",
        (("market", "X"),),
        b"body",
    )
    assert token.value.reveal() not in repr(attached) + repr(token)


def test_a_slow_signer_runs_off_the_loop() -> None:
    signer = RemoteSigner()
    _, port, _ = obtain(ok(jwt(exp=NOW + 300)), signer=signer)
    assert signer.ran_on and signer.ran_on[0] != threading.get_ident()
    assert port.requests[0].headers["PARADEX-STARKNET-SIGNATURE"] == '["1","2"]'


def test_a_wrong_account_is_refused_before_any_request() -> None:
    port = Port()
    with pytest.raises(BadValue):
        ParadexAuthenticator(
            port=port, signer=RemoteSigner(), account="not-an-address", clock=ManualClock(), counters=Counts()
        )
    assert port.requests == []


def test_the_login_of_the_sdk_is_signed_alike(sdk_vectors: dict[str, Any]) -> None:
    account = sdk_vectors["accounts"][0]
    signer = python_signer(
        Secret(account["l2_private_key"]),
        {"chain_id": account["starknet_chain_id"], "account": account["l2_address"]},
    )
    login = account["auth"]
    request = auth_request(timestamp_secs=login["timestamp"], expiration_secs=login["expiration"])
    assert signer.sign(request).signature.decode() == login["signature"]
