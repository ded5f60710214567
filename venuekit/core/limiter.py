"""Weighted rate buckets: who may go now, cancels first, with what the server says folded in. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from attrs import define, field

from venuekit.errors import BadValue
from venuekit.interfaces.manifest import Bucket, Operation, Priority, Seconds

PATIENCE_NS = 2_000_000_000
"""A read that waited this long goes among the submits, in order of asking: an order whose fate is unknown
must not wait for ever behind new ones."""
DRIFT = 0.001
"""The venue's clock may run slower than ours: so much less is refilled than it promises."""


@define
class _Level:
    """What one bucket holds: units refilled continuously, or uses remembered by block height."""

    bucket: Bucket
    most: float
    """Units it holds at most."""
    per_ns: float
    """Units gained in a nanosecond."""
    units: float
    at_ns: int = 0
    uses: deque[tuple[int, int]] = field(factory=deque)
    blocked_until_ns: int = 0

    @classmethod
    def of(cls, bucket: Bucket, spread_ns: int, largest: int) -> _Level:
        """Full. Requests may need up to `spread_ns` longer or less than others to arrive.

        A venue's bucket that is full until the first of a burst comes late has gained nothing meanwhile, and
        ours has. So ours holds less by that; where it must hold the largest request all the same, it gains
        less.
        """
        per = bucket.per
        if not isinstance(per, Seconds):
            return cls(bucket, float(bucket.burst), 0.0, float(bucket.burst))
        per_ns = bucket.rate / (per.n * 1e9)
        lost = per_ns * spread_ns
        if spread_ns:
            per_ns *= 1 - DRIFT
        most, least = bucket.burst - lost, float(min(largest, bucket.burst))
        if most < least:
            most, per_ns = least, per_ns / (1 + lost)
        return cls(bucket, most, per_ns, most)

    def refill(self, now_ns: int) -> None:
        self.units = min(self.most, self.units + max(0, now_ns - self.at_ns) * self.per_ns)
        self.at_ns = max(self.at_ns, now_ns)

    def wait_ns(self, cost: int, now_ns: int, height: int) -> int | None:
        """Nanoseconds until `cost` fits; None: only a new block can tell."""
        if self.blocked_until_ns > now_ns:
            return self.blocked_until_ns - now_ns
        per = self.bucket.per
        if isinstance(per, Seconds):
            missing = min(cost, self.most) - self.units
            return 0 if missing <= 1e-9 else int(missing / self.per_ns) + 1
        while self.uses and self.uses[0][0] <= height - per.n:
            self.uses.popleft()
        return 0 if sum(n for _, n in self.uses) + cost <= self.bucket.rate else None

    def take(self, cost: int, height: int) -> None:
        if isinstance(self.bucket.per, Seconds):
            self.units -= cost
        else:
            self.uses.append((height, cost))


@define
class Limiter:
    """Grants tickets in order of priority, then of asking; no bucket is ever overdrawn by us.

    A ticket whose bucket is short makes later tickets of the same or lower priority on that bucket wait
    too, so that a cheap read never starves a batch; buckets that do not touch do not wait for each other.
    """

    operations: Mapping[str, Operation]
    buckets: Mapping[str, Bucket]
    spread_ns: int = 0
    """By how much the times that requests need to arrive differ."""
    _levels: dict[str, _Level] = field(factory=dict)
    _queues: dict[str, deque[tuple[int, int]]] = field(factory=dict)
    """(ticket, when it was asked for) by operation: what the first waits for, the others do too."""
    _withdrawn: set[int] = field(factory=set)
    _count: int = 0
    _height: int = 0

    def __attrs_post_init__(self) -> None:
        for name, bucket in self.buckets.items():
            largest = max((one.costs.get(name, 0) for one in self.operations.values()), default=1)
            self._levels[name] = _Level.of(bucket, self.spread_ns, max(1, largest))

    def take(self, op: str, now_ns: int) -> bool:
        """True: it may go; nothing waits and all buckets have room. The short way of `ask` and `grant`."""
        if any(self._queues.values()) or op not in self.operations:
            return False
        costs = self.operations[op].costs
        for name, cost in costs.items():
            level = self._levels[name]
            level.refill(now_ns)
            if level.wait_ns(cost, now_ns, self._height) != 0:
                return False
        for name, cost in costs.items():
            self._levels[name].take(cost, self._height)
        return True

    def ask(self, op: str, now_ns: int = 0) -> int:
        """Queue one use of `op`, which must be one of the operations; returns its ticket."""
        if op not in self.operations:
            # In a queue it would break every later grant, also those of cancels.
            raise BadValue(f"{op!r} is no operation of the manifest")
        self._count += 1
        self._queues.setdefault(op, deque()).append((self._count, now_ns))
        return self._count

    def withdraw(self, ticket: int) -> None:
        """A ticket that still waits is no longer wanted."""
        self._withdrawn.add(ticket)

    def apply_height(self, height: int) -> None:
        """A block of the venue was seen."""
        self._height = max(self._height, height)

    def grant(self, now_ns: int) -> tuple[list[int], int | None]:
        """Tickets that may go now, and nanoseconds until the next might (None: nothing waits for time)."""
        for level in self._levels.values():
            level.refill(now_ns)
        granted: list[int] = []
        short: set[str] = set()
        waits: list[int] = []
        stuck: set[str] = set()
        while (op := self._next(stuck, now_ns)) is not None:
            costs = self.operations[op].costs
            needs = {
                name: self._levels[name].wait_ns(cost, now_ns, self._height) for name, cost in costs.items()
            }
            if short.isdisjoint(costs) and all(wait == 0 for wait in needs.values()):
                for name, cost in costs.items():
                    self._levels[name].take(cost, self._height)
                granted.append(self._queues[op].popleft()[0])
                continue
            stuck.add(op)
            short.update(name for name, wait in needs.items() if wait != 0)
            waits.extend(wait for wait in needs.values() if wait)
        return granted, (min(waits) if waits else None)

    def _next(self, stuck: set[str], now_ns: int) -> str | None:
        """The operation whose first ticket is the next in order."""
        found: tuple[int, int, str] | None = None
        for op, queue in self._queues.items():
            while queue and queue[0][0] in self._withdrawn:
                self._withdrawn.discard(queue.popleft()[0])
            if not queue or op in stuck:
                continue
            ticket, asked_ns = queue[0]
            rank = self.operations[op].priority.value
            if now_ns - asked_ns >= PATIENCE_NS:
                rank = min(rank, Priority.SUBMIT.value)
            if found is None or (rank, ticket) < found[:2]:
                found = (rank, ticket, op)
        return None if found is None else found[2]

    def apply_refusal(self, op: str, now_ns: int, retry_after_ns: int | None) -> None:
        """The venue said 429 to `op`: its buckets are empty, and closed for as long as it asked."""
        for name in self.operations[op].costs:
            level = self._levels[name]
            level.refill(now_ns)
            level.units = min(level.units, 0.0)
            if retry_after_ns:
                level.blocked_until_ns = max(level.blocked_until_ns, now_ns + retry_after_ns)

    def apply_headers(self, op: str, now_ns: int, headers: Mapping[str, str]) -> None:
        """Fold in what the reply's headers say is left; a number we cannot read changes nothing."""
        for name in self.operations[op].costs:
            level = self._levels[name]
            text = (
                headers.get(level.bucket.remaining_header.lower(), "")
                if level.bucket.remaining_header
                else ""
            )
            if text.isascii() and text.isdigit() and len(text) <= 18:
                level.refill(now_ns)
                level.units = min(level.units, float(text))

    def depth(self) -> int:
        """Tickets waiting."""
        return sum(len(queue) for queue in self._queues.values()) - len(self._withdrawn)
