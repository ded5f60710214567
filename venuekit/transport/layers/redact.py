"""Takes secrets out of what is written down: tokens, signatures and keys, wherever they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MASK = "***"

_NAMES = re.compile(
    r".*(bearer|jwt|signature|secret|passw|passphrase|mnemonic|private_?key|priv_?key|api_?key|authorization"
    r"|cookie|session_?id|(access|refresh|auth|session|id|api)_?token).*|auth|sig|seed",
    re.IGNORECASE,
)
# `token` is also what venues call a coin: only a long value is a secret.
_PERHAPS = re.compile(r"token|key", re.IGNORECASE)
_LONG = 24
# Three base64url parts: a token that stands somewhere without a telling name.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_KEPT_REPLY_HEADERS = re.compile(
    r"^(x-ratelimit-.*|ratelimit.*|retry-after|content-type|date)$", re.IGNORECASE
)
_HINT = re.compile(
    r"bearer|jwt|eyJ|sig|secret|passw|passphrase|mnemonic|priv|key|auth|cookie|session|token|seed",
    re.IGNORECASE,
)
_NUMBER_MARK = "\x00"
_MARKED_NUMBER = re.compile(r'"\\u0000([-+0-9.eE]+)"')


def redact_text(text: str) -> str:
    """The text with every secret masked; unchanged, byte for byte, where there was none."""
    if _HINT.search(text) is None:
        return text
    try:
        # Numbers with a fraction keep their text: a float would write 1.10 as 1.1.
        value = json.loads(text, parse_float=lambda number: _NUMBER_MARK + number)
    except (ValueError, RecursionError):
        return _JWT.sub(MASK, text)
    clean = _clean(value)
    if clean == value:
        return text
    return _MARKED_NUMBER.sub(r"\1", json.dumps(clean, separators=(",", ":")))


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Names stay; values only of the headers that say how fast we may ask."""
    return {name: value if _KEPT_REPLY_HEADERS.match(name) else MASK for name, value in headers.items()}


def redact_query(query: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Values of telling names are masked."""
    return [(name, MASK if _secret(name, value) else _JWT.sub(MASK, value)) for name, value in query]


def redact_url(url: str) -> str:
    """The address without user, password and secret query values."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = urlencode(redact_query(parse_qsl(parts.query, keep_blank_values=True)), safe="*")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _secret(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool) or value == "":
        return False
    if _NAMES.fullmatch(name):
        return True
    return _PERHAPS.fullmatch(name) is not None and isinstance(value, str) and len(value) >= _LONG


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return {name: MASK if _secret(name, inner) else _clean(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    if isinstance(value, str):
        return _JWT.sub(MASK, value)
    return value
