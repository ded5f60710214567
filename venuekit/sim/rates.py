"""Rate meters: token buckets per scope and key, which also remember who broke a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from venuekit.interfaces.time import Clock

_NS = 1_000_000_000


@frozen(kw_only=True)
class Limit:
    """`count` tokens per `window_secs`, refilled continuously, holding at most `burst` (None: `count`)."""

    count: int
    window_secs: int
    burst: int | None = None

    @property
    def capacity(self) -> int:
        """Most tokens the bucket holds."""
        return self.count if self.burst is None else self.burst


@frozen(kw_only=True)
class Reading:
    """What a meter said about one request; the figures are those of the tightest window."""

    allowed: bool
    scope: str
    limit: int
    remaining: int
    window_secs: int
    reset_ns: int
    """Wall time at which the bucket is full again."""
    retry_after_ns: int
    """Pause until this request would pass; 0 when it passed."""


@define
class _Bucket:
    limit: Limit
    tokens_ns: int
    """Tokens x window in ns: integers keep refills exact and runs repeatable."""
    at_ns: int

    def refill(self, now_ns: int) -> None:
        full = self.limit.capacity * self.limit.window_secs * _NS
        self.tokens_ns = min(full, self.tokens_ns + (now_ns - self.at_ns) * self.limit.count)
        self.at_ns = now_ns

    def price_ns(self, cost: int) -> int:
        return cost * self.limit.window_secs * _NS

    def wait_ns(self, cost: int) -> int:
        missing = self.price_ns(cost) - self.tokens_ns
        return max(0, -(-missing // self.limit.count))


@define
class RateMeter:
    """Buckets per (scope, key); a request passes when every window of its scope has tokens, and then pays in
    all.
    """

    _clock: Clock
    _limits: Mapping[str, Sequence[Limit]]
    enabled: bool = True
    breaches: list[tuple[int, str, str]] = field(factory=list)
    """(wall ns, scope, key) of every request that was over a limit."""
    _buckets: dict[tuple[str, str], list[_Bucket]] = field(factory=dict)

    def take(self, scope: str, key: str, cost: int = 1) -> Reading | None:
        """A reading, with the tokens taken when allowed; None when the scope has no limit or the meter is
        off.
        """
        limits = self._limits.get(scope)
        if not limits or not self.enabled:
            return None
        now_ns = self._clock.mono_ns()
        buckets = self._buckets.get((scope, key))
        if buckets is None:
            buckets = [_Bucket(one, one.capacity * one.window_secs * _NS, now_ns) for one in limits]
            self._buckets[(scope, key)] = buckets
        for bucket in buckets:
            bucket.refill(now_ns)
        wait_ns = max(bucket.wait_ns(cost) for bucket in buckets)
        if wait_ns == 0:
            for bucket in buckets:
                bucket.tokens_ns -= bucket.price_ns(cost)
        else:
            self.breaches.append((self._clock.wall_ns(), scope, key))
        return self._reading(scope, buckets, wait_ns)

    def drain(self, scope: str, key: str) -> None:
        """The scope's buckets of this key are empty: the next request is over the limit."""
        if self.take(scope, key, 0) is not None:
            for bucket in self._buckets[(scope, key)]:
                bucket.tokens_ns = 0

    def _reading(self, scope: str, buckets: Sequence[_Bucket], wait_ns: int) -> Reading:
        tight = min(buckets, key=lambda one: one.tokens_ns / one.price_ns(max(1, one.limit.capacity)))
        limit = tight.limit
        full = limit.capacity * limit.window_secs * _NS
        fill_ns = -(-(full - tight.tokens_ns) // limit.count)
        return Reading(
            allowed=wait_ns == 0,
            scope=scope,
            limit=limit.count,
            remaining=tight.tokens_ns // (limit.window_secs * _NS),
            window_secs=limit.window_secs,
            reset_ns=self._clock.wall_ns() + fill_ns,
            retry_after_ns=wait_ns,
        )
