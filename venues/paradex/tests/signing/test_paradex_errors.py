"""The error table against the venue's published documents."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from venuekit_paradex.errors import ERRORS, NotOnboarded, advice

from venuekit.errors import AuthNeeded
from venuekit.interfaces.manifest import Says

SPECS = Path(__file__).parents[1] / "data" / "specs"
UNPUBLISHED = {
    "ORDER_IS_NOT_OPEN_YET",
    "INVALID_PRICE_PRECISION",
    "BAD_STARKNET_REQUEST",
    "INVALID_SIGNATURE_EXPIRATION",
}
BY_KEY = {(rule.domain, rule.code): rule for rule in ERRORS}


def test_every_published_rest_code_is_there_and_no_invented_one() -> None:
    document = json.loads((SPECS / "openapi-prod.json").read_text())
    published = set(document["components"]["schemas"]["responses.ErrorCode"]["enum"])
    assert len(published) == 109
    assert {code for domain, code in BY_KEY if domain == "rest"} == published | UNPUBLISHED


def test_every_code_is_there_once() -> None:
    twice = [key for key, count in Counter((rule.domain, rule.code) for rule in ERRORS).items() if count > 1]
    assert twice == []


def test_the_stream_codes_are_those_of_the_venue() -> None:
    # OpenRPC 1.3.1 lists these for order methods; 100 is on the venue's WebSocket error page only.
    published = {-32700, -32600, -32601, -32602, -32603, 40110, 40111, 40112, 40300, 42901, 100}
    assert {int(code) for domain, code in BY_KEY if domain == "ws"} == published


@pytest.mark.parametrize(
    ("domain", "code", "says"),
    [
        # Nothing is proven by these: an order may live.
        ("rest", "INTERNAL_ERROR", Says.TRANSIENT),
        ("rest", "SERVICE_UNAVAILABLE", Says.TRANSIENT),
        ("ws", "-32603", Says.TRANSIENT),
        ("ws", "100", Says.UNKNOWN),
        ("http", "503", Says.TRANSIENT),
        ("http", "429", Says.LIMIT),
        # A cancel that finds no open order must be looked up: the order may be filled.
        ("rest", "ORDER_ID_NOT_FOUND", Says.GONE),
        ("rest", "CLIENT_ORDER_ID_NOT_FOUND", Says.GONE),
        ("rest", "ORDER_IS_CLOSED", Says.GONE),
        ("rest", "ORDER_IS_NOT_OPEN", Says.GONE),
        ("rest", "DUPLICATED_CLIENT_ID", Says.DUPLICATE),
        ("rest", "INVALID_TOKEN", Says.AUTH),
        ("rest", "UNAUTHORIZED_ERROR", Says.AUTH),
        ("ws", "40111", Says.AUTH),
        # A new token does not help these.
        ("rest", "NOT_ONBOARDED", Says.REFUSED),
        ("rest", "INVALID_ORDER_SIGNATURE", Says.REFUSED),
        ("rest", "GEO_IP_BLOCK", Says.REFUSED),
        ("ws", "40112", Says.REFUSED),
        ("rest", "SYSTEM_STATUS_CANCEL_ONLY", Says.MODE),
        ("rest", "SYSTEM_STATUS_POST_ONLY", Says.MODE),
        ("rest", "MARKET_NOT_OPEN", Says.MODE),
        ("rest", "VALIDATION_ERROR", Says.REFUSED),
        ("rest", "INVALID_ORDER_SIZE", Says.REFUSED),
    ],
)
def test_what_decides_about_money_is_classified_by_hand(domain: str, code: str, says: Says) -> None:
    assert BY_KEY[domain, code].says is says


def test_advice_belongs_to_known_codes_and_onboarding_has_one() -> None:
    with_advice = {rule.code for rule in ERRORS if rule.advice and rule.domain == "rest"}
    assert {"NOT_ONBOARDED", "INVALID_TIMESTAMP", "INVALID_ORDER_SIGNATURE"} <= with_advice
    assert all(advice(code) for code in with_advice)
    assert advice("NO_SUCH_CODE") == ""
    assert issubclass(NotOnboarded, AuthNeeded)
