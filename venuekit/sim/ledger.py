"""What truly happened: the judge's book, kept apart from what was sent to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from venuekit.interfaces.time import Clock
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.records import Fill, Order


@frozen(kw_only=True)
class Seen:
    """A request, a reply, a frame received or sent. `text` is cut at 2,048 characters, bytes are hex."""

    ts_ns: int
    connection: int
    direction: str
    label: str
    text: str
    size: int


class Ledger:
    """Orders (every version), fills and trades without bound; requests and frames in a ring of `frames`
    entries.
    """

    def __init__(self, exchange: Exchange, clock: Clock, *, frames: int = 20_000) -> None:
        """Recording from now on."""
        raise NotImplementedError

    def saw(self, direction: str, label: str, data: bytes | str, connection: int = 0) -> None:
        """A request or frame is noted with time and connection; direction is "request", "reply", "in" or
        "out".
        """
        raise NotImplementedError

    def versions(self, order_id: str) -> Sequence[Order]:
        """All versions of an order, oldest first."""
        raise NotImplementedError

    def fills(self, account: str | None = None) -> Sequence[Fill]:
        """All fills, busted ones included."""
        raise NotImplementedError

    def digest(self, *, times: bool = False) -> str:
        """SHA-256 over orders, fills, positions, balances and trades; equal for equal histories."""
        raise NotImplementedError

    def to_json(self, account: str | None = None, *, frames: bool = False) -> Mapping[str, object]:
        """{"orders": [...], "fills": [...], "positions": [...], "balances": [...], "digest": ..., "seen":
        {...}}.

        Prices and sizes as plain decimal text, times in ns. `account` keeps only that account's rows.
        """
        raise NotImplementedError
