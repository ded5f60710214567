"""Onboarding, tokens and subkeys of the simulator."""

from __future__ import annotations

import base64
import json

import pytest
from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.people import Register
from venuekit_paradex.sim.settings import CHAIN_ID

STRANGER = 0xABCDEF0123456789


def onboarding(key: int, **changes: str) -> tuple[dict, dict]:
    public = proofs.public_key_of(key)
    address = Register.address_of(public)
    headers = {
        "PARADEX-ETHEREUM-ACCOUNT": "0x" + "1" * 40,
        "PARADEX-STARKNET-ACCOUNT": hex(address),
        "PARADEX-STARKNET-SIGNATURE": proofs.sign(key, proofs.onboarding_hash(CHAIN_ID, address)),
    } | changes
    return {"public_key": hex(public)}, headers


def test_a_stranger_onboards_and_then_gets_a_token(bench) -> None:
    public = proofs.public_key_of(STRANGER)
    address = Register.address_of(public)
    refused = bench.rest("POST", "/auth", headers=bench.auth_headers(STRANGER, address), token="")
    assert (refused.status, refused.error) == (400, "NOT_ONBOARDED")
    query = {"account_signer_type": "starknet", "public_key": hex(public)}
    assert bench.rest("GET", "/onboarding", query=query, token="").json["exists"] is False
    body, headers = onboarding(STRANGER)
    for _ in range(2):  # idempotent
        assert bench.rest("POST", "/onboarding", body, headers=headers, token="").status == 200
    assert bench.rest("GET", "/onboarding", query=query, token="").json == {
        "account_signer_type": "starknet",
        "address": hex(address),
        "derivation_info": bench.rest("GET", "/onboarding", query=query).json["derivation_info"],
        "exists": True,
    }
    token = bench.rest(
        "POST", f"/auth/{hex(public)}", headers=bench.auth_headers(STRANGER, address), token=""
    )
    balance = bench.rest("GET", "/balance", token=token.json["jwt_token"]).json["results"]
    assert [(row["token"], row["size"]) for row in balance] == [("USDC", "100000")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PARADEX-STARKNET-SIGNATURE": '["1","2"]'}, "INVALID_STARKNET_SIGNATURE"),
        ({"PARADEX-STARKNET-SIGNATURE": "nonsense"}, "INVALID_STARKNET_SIGNATURE"),
        ({"PARADEX-STARKNET-ACCOUNT": "0x123"}, "INVALID_STARKNET_ADDRESS"),
        ({"PARADEX-STARKNET-ACCOUNT": ""}, "VALIDATION_ERROR"),
    ],
)
def test_bad_onboarding_is_refused(bench, changes, code) -> None:
    body, headers = onboarding(STRANGER, **changes)
    answer = bench.rest("POST", "/onboarding", body, headers=headers, token="")
    assert (answer.status, answer.error) == (400, code)


def test_the_token_is_a_standard_jwt_of_five_minutes(bench) -> None:
    head, payload, _ = bench.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["typ"] == "JWT"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["iat"] == bench.now_ms // 1000
    assert claims["sub"] == bench.person.account
    bench.after(299_999)
    assert bench.rest("GET", "/account").status == 200
    bench.after(1)
    answer = bench.rest("GET", "/account")
    assert (answer.status, answer.error) == (401, "INVALID_TOKEN")


def test_a_token_that_was_not_issued_here_is_refused(bench) -> None:
    head, payload, signature = bench.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = (
        base64.urlsafe_b64encode(json.dumps(claims | {"exp": claims["exp"] + 9}).encode())
        .decode()
        .rstrip("=")
    )
    for token in (f"{head}.{forged}.{signature}", f"{head}.{payload}.{signature[:-2]}AA", "a.b.c", "x"):
        assert bench.rest("GET", "/account", token=token).error == "INVALID_TOKEN"
    assert bench.rest("GET", "/account", token="").error == "UNAUTHORIZED_ERROR"


def test_revoked_tokens_are_refused_everywhere_and_new_ones_work(bench) -> None:
    stream = bench.stream().login()
    assert bench.service.control("expire_tokens", {}) == {"revoked": 1}
    assert bench.rest("GET", "/account").error == "INVALID_TOKEN"
    assert stream.call("order.cancel_all", {})["error"]["code"] == 40111
    bench.login()
    assert bench.rest("GET", "/account").status == 200
    assert stream.login().call("order.cancel_all", {})["result"] == {"status": "ok"}


@pytest.mark.parametrize(
    ("stamp", "valid", "code"),
    [
        (-2000, 180, "INVALID_TIMESTAMP"),
        (3600, 180, "INVALID_TIMESTAMP"),
        (0, 8 * 86400, "INVALID_TIMESTAMP"),
    ],
)
def test_stale_future_and_too_long_signatures_are_refused(bench, stamp, valid, code) -> None:
    headers = bench.auth_headers(
        bench.key, bench.person.address, stamp=bench.now_ms // 1000 + stamp, valid_secs=valid
    )
    assert bench.rest("POST", "/auth", headers=headers, token="").error == code


def test_a_wrong_signature_gets_no_token(bench) -> None:
    headers = bench.auth_headers(STRANGER, bench.person.address)
    answer = bench.rest("POST", "/auth", headers=headers, token="")
    assert (answer.status, answer.error) == (401, "STARKNET_SIGNATURE_VERIFICATION_FAILED")


def test_a_subkey_trades_with_the_main_account_in_the_hash(bench) -> None:
    public = proofs.public_key_of(STRANGER)
    headers = bench.auth_headers(STRANGER, bench.person.address)
    assert bench.rest("POST", f"/auth/{hex(public)}", headers=headers, token="").error == "INVALID_SUBKEY"
    bench.service.control("add_subkey", {"account": bench.person.account, "public_key": hex(public)})
    bench.token = bench.rest("POST", f"/auth/{hex(public)}", headers=headers, token="").json["jwt_token"]
    assert bench.rest("POST", "/orders", bench.order(key=STRANGER)).status == 201
    # the token names the subkey: an order signed by the main key is not this caller's
    assert bench.rest("POST", "/orders", bench.order()).error == "INVALID_ORDER_SIGNATURE"
