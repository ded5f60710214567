"""Channel names of the stream: which exist, which need a login, and what they select."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Collection

PRIVATE = frozenset(
    (
        "account",
        "orders",
        "fills",
        "positions",
        "balance_events",
        "funding_payments",
        "tradebusts",
        "transaction",
        "transfers",
    )
)
_PER_MARKET = frozenset(("bbo", "trades", "markets_summary", "markets", "funding_data", "orders", "fills"))
_PLAIN = frozenset(
    (
        "account",
        "positions",
        "balance_events",
        "tradebusts",
        "transaction",
        "transfers",
        "markets_summary",
        "markets",
    )
)
_SNAPSHOT = re.compile(r"(interactive_)?snapshot@15@(50|100|200|400)ms(?:@(\d+(?:_\d+)?))?")


@frozen(kw_only=True)
class Topic:
    """One subscription: `market` None means all. `every_ms` and `tick` are for snapshot books only."""

    channel: str
    kind: str
    market: str | None = None
    every_ms: int = 0
    tick: Decimal | None = None

    @property
    def private(self) -> bool:
        """True when the channel needs a login."""
        return self.kind in PRIVATE

    @property
    def book(self) -> bool:
        """True for deltas and snapshots of a book."""
        return self.kind in ("deltas", "snapshot")

    def covers(self, market: str) -> bool:
        """True when data of this market belongs to the topic."""
        return self.market is None or self.market == market


def parse_channel(channel: str, markets: Collection[str]) -> Topic | None:
    """The topic of a channel name, None when the venue has no such channel."""
    head, _, rest = channel.partition(".")
    if not rest:
        return Topic(channel=channel, kind=head) if head in _PLAIN else None
    if head == "order_book":
        return _book(channel, rest, markets)
    market = rest.removesuffix(".interactive") if head == "bbo" else rest
    if head not in _PER_MARKET | {"funding_payments"}:
        return None
    if market == "ALL":
        return Topic(channel=channel, kind=head)
    return Topic(channel=channel, kind=head, market=market) if market in markets else None


def _book(channel: str, rest: str, markets: Collection[str]) -> Topic | None:
    market, _, form = rest.partition(".")
    if market not in markets:
        return None
    if form in ("deltas", "interactive_deltas"):
        return Topic(channel=channel, kind="deltas", market=market)
    found = _SNAPSHOT.fullmatch(form)
    if found is None or (found[1] is None and found[2] in ("200", "400")):
        return None
    tick = Decimal(found[3].replace("_", ".")) if found[3] else None
    return Topic(channel=channel, kind="snapshot", market=market, every_ms=int(found[2]), tick=tick)
