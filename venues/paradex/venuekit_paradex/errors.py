"""What each error of Paradex proves. Data only; a code that is not here proves nothing (UNKNOWN).

REFUSED, DUPLICATE, AUTH, MODE and CLOCK mean that the request had no effect. GONE means that the order is
not open: look it up, do not conclude. LIMIT, TRANSIENT and UNKNOWN prove nothing about a command: no document
says that the limiter stands before order entry.
"""

from __future__ import annotations

from typing import Final

from venuekit.errors import AuthNeeded
from venuekit.interfaces.manifest import ErrorRule, Says

_ONBOARD = "log in once at the venue's web application, or onboard the account"
_KEY = "check that the key belongs to the configured account and to this environment"
_CLOCK = "synchronise the clock of this machine"

# Codes, texts and grouping: the venue's OpenAPI document, schema responses.ErrorCode.
_REST: Final[dict[Says, str]] = {
    Says.TRANSIENT: "INTERNAL_ERROR SERVICE_UNAVAILABLE",
    Says.MODE: "SYSTEM_STATUS_POST_ONLY SYSTEM_STATUS_CANCEL_ONLY MARKET_NOT_OPEN",
    Says.AUTH: "INVALID_TOKEN UNAUTHORIZED_ERROR",
    Says.LIMIT: "ONBOARDING_RATE_LIMITED",
    Says.CLOCK: "INVALID_TIMESTAMP",
    Says.DUPLICATE: "DUPLICATED_CLIENT_ID",
    Says.GONE: """
        ORDER_ID_NOT_FOUND CLIENT_ORDER_ID_NOT_FOUND ORDER_IS_CLOSED ORDER_IS_NOT_OPEN ALGO_ID_NOT_FOUND
    """,
    Says.REFUSED: """
        VALIDATION_ERROR BINDING_ERROR INVALID_REQUEST_PARAMETER INVALID_ORDER_SIZE INVALID_SYMBOL
        NOT_FOUND MARKET_NOT_FOUND MARKET_NOT_SETTLED BATCH_SIZE_OUT_OF_RANGE NOT_UNIQUE
        INVALID_CHAIN INVALID_STARKNET_SIGNATURE STARKNET_SIGNATURE_VERIFICATION_FAILED
        INVALID_ORDER_SIGNATURE INVALID_ETHEREUM_SIGNATURE INVALID_EVM_SIGNATURE
        EVM_SIGNATURE_VERIFICATION_FAILED PUBLIC_KEY_INVALID INVALID_SUBKEY SUBKEY_NOT_ACTIVATABLE
        INVALID_STARKNET_ADDRESS INVALID_ETHEREUM_ADDRESS ETHEREUM_SIGNER_MISMATCH ETHEREUM_HASH_MISMATCH
        INVALID_DERIVATION_PATH UNAUTHORIZED_ETHEREUM_ADDRESS NOT_ONBOARDED ACCOUNT_NOT_FOUND
        ETHEREUM_ADDRESS_ALREADY_ONBOARDED EVM_ADDRESS_ALREADY_ONBOARDED PARENT_ADDRESS_ALREADY_ONBOARDED
        INVALID_PARENT_ACCOUNT ONBOARDING_PERIOD_EXPIRED PORTFOLIO_MARGIN_ONBOARDING_DISABLED
        PORTFOLIO_MARGIN_INVALID_ACCOUNT_KIND PORTFOLIO_MARGIN_CONFIG_NOT_FOUND SUBACCOUNTS_LIMIT_EXCEEDED
        INSUFFICIENT_MIN_CHAIN_BALANCE INSUFFICIENT_EVM_BALANCE GEO_IP_BLOCK IP_NOT_ALLOWED
        ETHEREUM_ADDRESS_BLOCKED INVALID_TOKEN_SCOPE TOKEN_LIMIT_REACHED REQUEST_NOT_ALLOWED
        NO_ACCESS_TO_MARKET RPI_ACCOUNT_NOT_WHITELISTED MARKET_MARGIN_RESTRICTED
        ISOLATED_MARKET_ACCOUNT_MISMATCH INVALID_BLOCK_EXPIRATION MEDIA_NOT_FOUND
        ALLOWLIST_ENTRY_NOT_FOUND USERNAME_IN_USE SOCIAL_USERNAME_IN_USE PROGRAM_NOT_FOUND
        PROGRAM_NOT_SUPPORTED INVALID_DASHBOARD INVALID_REFERRAL_CODE ACCOUNT_ALREADY_REFERRED
        INVALID_MARKETING_CODE INVALID_OAUTH_REQUEST INVALID_LAYERSWAP_SWAP POINTS_SUMMARY_NOT_FOUND
        PROFILE_STATS_NOT_FOUND INVALID_VAULT_OPERATOR_CHAIN VAULT_OPERATOR_ALREADY_ONBOARDED
        VAULT_NAME_IN_USE VAULT_NOT_FOUND VAULT_STRATEGY_NOT_FOUND VAULT_LIMIT_REACHED VAULT_DATA_PRIVATE
        EVM_VAULT_OPERATORS_DISABLED INSUFFICIENT_TRANSFERRABLE_XP TRANSFER_LIMIT_REACHED
        XP_TRANSFERS_DISABLED BLOCK_TRADE_NOT_FOUND BLOCK_TRADE_NOT_ENABLED BLOCK_TRADE_EXPIRED
        BLOCK_TRADE_ALREADY_CANCELLED BLOCK_TRADE_INVALID_STATUS BLOCK_TRADE_UNAUTHORIZED
        BLOCK_TRADE_MISSING_TRADES BLOCK_TRADE_MISSING_SIGNERS BLOCK_TRADE_MISSING_SIGNATURE
        BLOCK_TRADE_ACCOUNT_MISMATCH BLOCK_TRADE_INVALID_SIGNATURE BLOCK_TRADE_SIGNER_KEY_UNAUTHORIZED
        BLOCK_TRADE_REPLAYED_SIGNATURE OFFER_NOT_FOUND OFFER_ALREADY_CANCELLED OFFER_INVALID_STATUS
        OFFER_UNAUTHORIZED OFFER_PARENT_MISMATCH OFFER_PARENT_NOT_ACCEPTING
    """,
}

# Not in the document; other public clients know them.
_REST_UNPUBLISHED: Final[dict[Says, str]] = {
    Says.GONE: "ORDER_IS_NOT_OPEN_YET",
    Says.REFUSED: "INVALID_PRICE_PRECISION BAD_STARKNET_REQUEST",
    Says.CLOCK: "INVALID_SIGNATURE_EXPIRATION",
}

_ADVICE: Final[dict[str, str]] = {
    "NOT_ONBOARDED": _ONBOARD,
    "ACCOUNT_NOT_FOUND": _ONBOARD,
    "INVALID_TIMESTAMP": _CLOCK,
    "INVALID_SIGNATURE_EXPIRATION": _CLOCK,
    "INVALID_STARKNET_SIGNATURE": _KEY,
    "STARKNET_SIGNATURE_VERIFICATION_FAILED": _KEY,
    "INVALID_ORDER_SIGNATURE": _KEY,
    "PUBLIC_KEY_INVALID": _KEY,
    "INVALID_SUBKEY": _KEY,
    "INVALID_STARKNET_ADDRESS": "check the configured account address",
    "GEO_IP_BLOCK": "the venue does not serve this country",
    "IP_NOT_ALLOWED": "add this machine's address to the key's list, or use another key",
    "INVALID_TOKEN_SCOPE": "this key or token may not do that",
    "RPI_ACCOUNT_NOT_WHITELISTED": "ask the venue to allow RPI orders",
    "MARKET_NOT_OPEN": "wait until the market opens",
    "SYSTEM_STATUS_POST_ONLY": "wait for the end of the maintenance, or send post-only orders",
    "SYSTEM_STATUS_CANCEL_ONLY": "wait for the end of the maintenance",
}

# JSON-RPC codes: the venue's OpenRPC document and its WebSocket pages. 100 (method error) is documented
# without a meaning: where its data names a REST code, that code decides.
_STREAM: Final[tuple[tuple[str, Says, str], ...]] = (
    ("-32700", Says.REFUSED, ""),
    ("-32600", Says.REFUSED, ""),
    ("-32601", Says.REFUSED, ""),
    ("-32602", Says.REFUSED, ""),
    ("-32603", Says.TRANSIENT, ""),
    ("100", Says.UNKNOWN, ""),
    ("40110", Says.AUTH, ""),
    ("40111", Says.AUTH, ""),
    ("40112", Says.REFUSED, _ADVICE["GEO_IP_BLOCK"]),
    ("40300", Says.AUTH, ""),
    ("42901", Says.LIMIT, ""),
)

_HTTP: Final[tuple[tuple[str, Says], ...]] = (
    ("401", Says.AUTH),
    ("429", Says.LIMIT),
    ("500", Says.TRANSIENT),
    ("502", Says.TRANSIENT),
    ("503", Says.TRANSIENT),
    ("504", Says.TRANSIENT),
)


def _rest(groups: dict[Says, str]) -> tuple[ErrorRule, ...]:
    return tuple(
        ErrorRule("rest", code, says, _ADVICE.get(code, ""))
        for says, codes in groups.items()
        for code in codes.split()
    )


ERRORS: Final[tuple[ErrorRule, ...]] = (
    *_rest(_REST),
    *_rest(_REST_UNPUBLISHED),
    *(ErrorRule("ws", code, says, advice) for code, says, advice in _STREAM),
    *(ErrorRule("http", status, says) for status, says in _HTTP),
)
"""The error table of the manifest; domains `rest` (field `error`), `ws` (JSON-RPC), `http` (bare status)."""


def advice(code: str) -> str:
    """What a user can do about a REST error code; empty when nothing special."""
    return _ADVICE.get(code, "")


class NotOnboarded(AuthNeeded):
    """The venue does not know the account of this key; asking again does not help before it is onboarded."""
