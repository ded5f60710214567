"""WHETHER a request may be tried again: a table over operation, evidence and answer.

WHEN is a `RetryPolicy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from venuekit.errors import ConfigError
from venuekit.interfaces.manifest import OpKind, Says
from venuekit.interfaces.request import Evidence


class Next(Enum):
    """What may follow a request that did not simply succeed."""

    RETRY = "retry"
    REAUTHENTICATE = "reauthenticate"
    """Obtain a new token and try once more."""
    LOOK_UP = "look_up"
    """The effect is unknown: only a look-up may tell."""
    GIVE_BACK = "give_back"
    """The answer stands; the caller reads it."""
    FAIL = "fail"
    """Nothing was sent, and trying again is not ours to decide."""


def after_reply(kind: OpKind, says: Says | None) -> Next:
    """What follows a reply; `says` None is a reply without an error."""
    if kind is OpKind.COMMAND or says is None:
        return Next.GIVE_BACK
    return {
        Says.TRANSIENT: Next.RETRY,
        Says.LIMIT: Next.RETRY,
        Says.AUTH: Next.REAUTHENTICATE,
    }.get(says, Next.GIVE_BACK)


def after_failure(kind: OpKind, evidence: Evidence) -> Next:
    """What follows a request that got no reply."""
    if kind is OpKind.READ:
        return Next.RETRY
    return Next.FAIL if evidence is Evidence.NOT_SENT else Next.LOOK_UP


@frozen
class FullJitter:
    """Exponential back-off with full jitter: a uniform draw up to `base * 2**attempt`, capped."""

    base_ns: int = 200_000_000
    cap_ns: int = 30_000_000_000
    attempts: int = 3
    """Tries in all, the first included; 0: no bound."""
    total_ns: int = 0
    """No new try after this long; 0: no bound."""

    def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, u: float) -> int | None:
        """See `RetryPolicy`; a hint of the venue is a lower bound, capped at `cap_ns`."""
        if self.attempts and attempt >= self.attempts:
            return None
        if self.total_ns and elapsed_ns >= self.total_ns:
            return None
        ceiling = min(self.cap_ns, self.base_ns * 2 ** min(attempt - 1, 40))
        drawn = int(ceiling * u)
        return drawn if hint_ns is None else max(drawn, min(hint_ns, self.cap_ns))


def full_jitter(options: Mapping[str, str]) -> FullJitter:
    """The policy behind the name `full-jitter`; options are the field names, whole numbers."""
    try:
        return FullJitter(**{name: int(value) for name, value in options.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "the retry policy does not take its options",
            path="transport.options.retry",
            hint="use base_ns, cap_ns, attempts, total_ns with whole numbers.",
        ) from error
