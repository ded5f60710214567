"""The execution service every venue shares: Nautilus orders in, evidence from all roads, one tracker, events out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from nautilus_trader.model import (
        AccountId,
        FillReport,
        InstrumentId,
        OrderSide,
        OrderStatusReport,
        PositionStatusReport,
        Price,
        Quantity,
    )

    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.request import Reply, RequestPort
    from venuekit.interfaces.stream import Decoded, StreamReply
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.interfaces.venue import AccountParts
    from venuekit.runtime.journal import Journal
    from venuekit.runtime.session import SessionState
    from venuekit.runtime.sink import ExecutionSink


class PrivateSession(Protocol):
    """What the service needs of the private stream's session; it starts and stops it."""

    async def start(self) -> None:
        """Live for the first time after this."""
        ...

    async def stop(self) -> None:
        """Closed after this."""
        ...


class PermitSource(Protocol):
    """What the service needs of the pacer."""

    async def permit(self, op: str) -> None:
        """Return when the operation may go on the wire."""
        ...

    def feedback(self, op: str, reply: Reply) -> None:
        """Fold in what a reply says about limits."""
        ...

    def apply_height(self, height: int) -> None:
        """A block of the venue was seen."""
        ...


@frozen
class MassStatusParts:
    """Everything the venue knows of the account in the window; fills are unique by trade id."""

    orders: Sequence[OrderStatusReport]
    fills: Sequence[FillReport]
    positions: Sequence[PositionStatusReport]


class ExecutionService:
    """Drives the order tracker over a venue's parts. Commands never wait; every outcome reaches the sink.

    The composition root gives the private session `on_decoded` and `on_session_state` of this object, either
    directly or through a closure, because each needs the other.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        parts: AccountParts,
        symbols: Symbols,
        session: PrivateSession,
        ports: Mapping[str, RequestPort],
        resolve: Callable[[StreamReply], bool],
        pacer: PermitSource,
        journal: Journal,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        sink: ExecutionSink,
        account_id: AccountId,
        on_token_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """`ports` by the names of the manifest; `resolve` hands a stream reply to the port that waits for it
        (False: nobody does); `on_token_refused` runs when a command's reply refuses the token."""

    async def start(self) -> None:
        """Private stream live, journal and venue compared, account state delivered; submits are allowed after this.

        Raise the first error that keeps it from that; nothing is left running then.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """No task, timer or connection of this service is left; unresolved orders stay in the journal."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """True while the private state is known, so that submits are allowed."""
        raise NotImplementedError

    def on_decoded(self, decoded: Sequence[Decoded], epoch: int) -> None:
        """Take everything one frame of the private stream said."""
        raise NotImplementedError

    def on_session_state(self, state: SessionState, why: str) -> None:
        """The private session changed: down denies submits, live again recovers what was missed."""
        raise NotImplementedError

    def submit(self, orders: Sequence[Order]) -> None:
        """Each order was denied, or was reported submitted and is on its way, when this returns."""
        raise NotImplementedError

    def modify(
        self, order: Order, quantity: Quantity | None, price: Price | None, trigger_price: Price | None
    ) -> None:
        """The change is on its way or was rejected; None leaves a value as it is."""
        raise NotImplementedError

    def cancel(self, orders: Sequence[Order]) -> None:
        """The cancels are on their way, held until the order's id is known, or rejected."""
        raise NotImplementedError

    def cancel_all(
        self, instrument_id: InstrumentId | None, side: OrderSide | None, open_orders: Sequence[Order]
    ) -> None:
        """Like `cancel` for all of an instrument (None: of the account) and side (None: both).

        `open_orders` are those the caller wants covered; a venue without the command gets one cancel each.
        """
        raise NotImplementedError

    def query(self, order: Order) -> None:
        """A look-up is on its way; it ends in a report or in a proven rejection, never in silence."""
        raise NotImplementedError

    def query_account(self) -> None:
        """Fresh balances will reach the sink."""
        raise NotImplementedError

    async def order_report(
        self, client_order_id: str | None, venue_order_id: str | None
    ) -> OrderStatusReport | None:
        """One order as the venue has it; None: it proved that it has none. Ids as Nautilus writes them."""
        raise NotImplementedError

    async def order_reports(self, open_only: bool, start_ns: int | None) -> list[OrderStatusReport]:
        """Orders open, or also those closed since `start_ns`; raise on any failure. Orders with a change pending
        are left out: a plain report would lose the change."""
        raise NotImplementedError

    async def fill_reports(
        self, instrument_id: InstrumentId | None, start_ns: int | None
    ) -> list[FillReport]:
        """Fills since `start_ns`, unique by trade id; raise on any failure."""
        raise NotImplementedError

    async def position_reports(self) -> list[PositionStatusReport]:
        """Positions with their average price; raise on any failure, empty is never an error."""
        raise NotImplementedError

    async def mass_status(self, lookback_mins: int | None) -> MassStatusParts:
        """Orders, fills and positions of the window (None: as far back as the venue goes); raise, never half."""
        raise NotImplementedError
