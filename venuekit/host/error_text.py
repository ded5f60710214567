"""What a venue's error proves, and what a user can do about it: for the commands and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from venuekit.interfaces.manifest import ErrorRule, Says

PROVES: Final[Mapping[Says, str]] = {
    Says.REFUSED: "the request had no effect",
    Says.DUPLICATE: "the request had no effect: an order of this client id exists",
    Says.AUTH: "the request had no effect: token, login or key was refused",
    Says.NONCE: "the request had no effect: its nonce was refused",
    Says.LIMIT: "nothing about a command: too many came, and the limiter may stand behind order entry",
    Says.MODE: "the request had no effect: venue or market do not take it now",
    Says.GONE: "the order is not open; it may have been filled",
    Says.CLOCK: "the request had no effect: its time lies outside the venue's window",
    Says.TRANSIENT: "nothing about a command: the venue is in trouble",
    Says.UNKNOWN: "nothing",
}
"""By what the rule says."""

_TO_DO: Final[Mapping[Says, str]] = {
    Says.REFUSED: "change the request: the same again is refused again",
    Says.DUPLICATE: "nothing: the order of that id is looked up",
    Says.AUTH: "nothing once: a new token is obtained; if it stays, check key and account",
    Says.NONCE: "nothing: the next nonce is read from the venue",
    Says.LIMIT: "nothing once: reads wait, orders are looked up; if it stays, lower `limits` in the config",
    Says.MODE: "wait until the mode ends",
    Says.GONE: "nothing: the order is looked up",
    Says.CLOCK: "nothing once: the venue's clock is measured; if it stays, synchronise this machine's clock",
    Says.TRANSIENT: "nothing: reads are repeated, orders looked up",
    Says.UNKNOWN: "nothing: the order is looked up",
}


def to_do(rule: ErrorRule) -> str:
    """The rule's own advice, else what its kind asks for."""
    return rule.advice or _TO_DO[rule.says]
