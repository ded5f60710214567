"""Where the two services deliver: the Nautilus engine through the bridge, or a recorder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nautilus_trader.model import (
        AccountBalance,
        ClientOrderId,
        FillReport,
        MarginBalance,
        OrderBookDeltas,
        OrderBookDepth,
        OrderStatusReport,
        PositionStatusReport,
        Price,
        Quantity,
        TradeId,
        VenueOrderId,
    )

    from venuekit.interfaces.model import Instrument, Order
    from venuekit.interfaces.stream import NautilusData


class DataSink(Protocol):
    """Takes market data; synchronous, on the loop's thread."""

    def instrument(self, instrument: Instrument) -> None:
        """A new or changed instrument; always before data for it."""
        ...

    def data(self, obj: NautilusData | OrderBookDeltas | OrderBookDepth) -> None:
        """One piece of market data."""
        ...


class ExecutionSink(Protocol):
    """Takes what happened to orders and the account; synchronous, on the loop's thread."""

    def report(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> None:
        """Accepted, filled, cancelled, expired, external: the state of an order with its new fills."""
        ...

    def position(self, report: PositionStatusReport) -> None:
        """The venue's view of a position."""
        ...

    def account(
        self,
        balances: Sequence[AccountBalance],
        margins: Sequence[MarginBalance],
        reported: bool,
        ts_event: int,
    ) -> None:
        """Balances and margins of the account."""
        ...

    def denied(self, order: Order, reason: str) -> None:
        """Refused locally before it was submitted; nothing on the wire."""
        ...

    def submitted(self, order: Order) -> None:
        """On its way."""
        ...

    def rejected(self, order: Order, reason: str, ts_event: int, post_only: bool) -> None:
        """Refused with proof, or a local failure after `submitted` with nothing on the wire."""
        ...

    def updated(
        self,
        order: Order,
        venue_order_id: VenueOrderId,
        quantity: Quantity,
        price: Price | None,
        trigger_price: Price | None,
        ts_event: int,
    ) -> None:
        """A modify was applied."""
        ...

    def modify_rejected(
        self, order: Order, venue_order_id: VenueOrderId | None, reason: str, ts_event: int
    ) -> None:
        """A modify was refused with proof."""
        ...

    def cancel_rejected(
        self, order: Order, venue_order_id: VenueOrderId | None, reason: str, ts_event: int
    ) -> None:
        """A cancel was refused with proof."""
        ...

    def fill_voided(
        self, client_order_id: ClientOrderId, trade_id: TradeId, reason: str, ts_event: int
    ) -> None:
        """The venue took a fill back; the id is the engine's, also where the order is not ours."""
        ...

    def alarm(self, kind: str, text: str) -> None:
        """Something a person must see: a difference that no evidence explains, a typed health event."""
        ...
