"""Planted lies about fills: the ledger stays true while what clients are sent, and can read back, is wrong.

Only tests of a judge need this: a comparison of ledger and client must not stay silent about a planted lie.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, evolve, field

if TYPE_CHECKING:
    from decimal import Decimal

    from venuekit.sim.records import Fill

VERBS = ("suppress_fill", "duplicate_fill", "alter_fill")


@define
class Planter:
    """What to do with the next fills of an API account, and what was shown of each."""

    _tick: dict[str, Decimal] = field(factory=dict)
    _orders: deque[str] = field(factory=deque)
    _shown: dict[str, tuple[Fill, ...]] = field(factory=dict)

    def plant(self, verb: str, skip: int = 0, count: int = 1) -> None:
        """After `skip` true fills the next `count` ones are lost, doubled or altered.

        Only a fill that leaves room for its double in the order is doubled.
        """
        self._orders.extend([""] * skip + [verb] * count)

    def decide(self, fill: Fill) -> tuple[Fill, ...]:
        """The fills that clients see for a new true one."""
        made = self._lie(self._next(fill), fill)
        if made != (fill,):
            self._shown[fill.id] = made
        return made

    def _next(self, fill: Fill) -> str:
        # A doubled fill that would overfill its order is one that a client can tell: wait for one with room.
        if not self._orders or (self._orders[0] == "duplicate_fill" and fill.remaining < fill.quantity):
            return ""
        return self._orders.popleft()

    def recall(self, fill: Fill) -> tuple[Fill, ...]:
        """What was decided about a fill, so that stream and history agree."""
        return self._shown.get(fill.id, (fill,))

    def _lie(self, verb: str, fill: Fill) -> tuple[Fill, ...]:
        if verb == "suppress_fill":
            return ()
        if verb == "duplicate_fill":
            return (fill, evolve(fill, id=fill.id[:-1] + "9"))
        if verb == "alter_fill":
            return (evolve(fill, price=fill.price + self._tick[fill.market]),)
        return (fill,)
