"""What the venue knows of an account, read one page at a time."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from attrs import frozen

from venuekit.interfaces.records import (
    BalanceRecord,
    BustRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    WireIds,
)
from venuekit.interfaces.stream import Page, Window
from venuekit.interfaces.time import AtWall, Deadline


class Query(Enum):
    """Which rows."""

    OPEN = "open"
    CLOSED = "closed"
    FILLS = "fills"
    BUSTS = "busts"
    """Asked only where `Semantics.busts` says that there are any."""
    POSITIONS = "positions"
    BALANCES = "balances"


@frozen
class Found:
    """The venue has the order; `fills` are those this look-up brought, perhaps not all."""

    record: OrderRecord
    fills: tuple[FillRecord, ...] = ()


@frozen
class NotFound:
    """The look-up did not see the order; conclusive only where the venue's rules make it a proof."""

    conclusive: bool
    ask_again: Deadline | None = None


type AccountRow = OrderRecord | FillRecord | BustRecord | PositionRecord | BalanceRecord


class ReconciliationSource(Protocol):
    """Reads; every method raises on failure (`SendFailed`, `WaitNeeded`, `AuthNeeded`, `GiveUp`).

    An empty answer is never an error, and an error is never an empty answer.
    """

    async def page(self, query: Query, window: Window, cursor: str | None) -> Page[AccountRow]:
        """One page of rows of the kind that `query` names."""
        ...

    async def look_up(self, ids: WireIds, since: AtWall) -> Found | NotFound:
        """What the venue says of one order by its ids, open or closed, since a moment."""
        ...
