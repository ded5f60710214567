"""The one place where records become Nautilus reports, and where ids and reasons get their standard form."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen
from nautilus_trader.model import (
    ClientOrderId,
    FillReport,
    LiquiditySide,
    Money,
    OrderStatusReport,
    PositionSide,
    PositionStatusReport,
    Quantity,
    TradeId,
    TriggerType,
    VenueOrderId,
)

from venuekit.errors import BadValue

if TYPE_CHECKING:
    from nautilus_trader.model import AccountId, Currency

    from venuekit.core.order_state import OrderState
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.records import FillRecord, PositionRecord

LONGEST_TRADE_ID = 36
"""Nautilus refuses longer trade ids."""


def trade_id_of(trade_key: str) -> TradeId:
    """The venue's trade key, or a stable digest of it where it is too long or not plain ASCII."""
    if len(trade_key) <= LONGEST_TRADE_ID and trade_key.isascii() and trade_key.strip():
        return TradeId(trade_key)
    return TradeId("h" + hashlib.sha256(trade_key.encode()).hexdigest()[: LONGEST_TRADE_ID - 1])


@frozen
class Reporter:
    """Writes the reports of one account at one venue."""

    venue: str
    account_id: AccountId
    triggers: frozenset[str] = frozenset()
    """What the venue triggers orders on; which of several, no report says."""

    @classmethod
    def of(cls, manifest: Manifest, account_id: AccountId) -> Reporter:
        """The reporter of one account at the venue of this manifest."""
        triggers = manifest.orders.trigger_types if manifest.orders is not None else frozenset[str]()
        return cls(manifest.venue, account_id, triggers)

    def venue_order_id(self, raw: str) -> VenueOrderId:
        """Nautilus has one namespace of venue order ids per node, so every id carries its venue."""
        return VenueOrderId(f"{self.venue}-{raw}")

    def raw_venue_order_id(self, venue_order_id: VenueOrderId | str | None) -> str | None:
        """The venue's own text, or None when the id is not one of this venue."""
        text = str(venue_order_id) if venue_order_id is not None else ""
        prefix = f"{self.venue}-"
        return text.removeprefix(prefix) if text.startswith(prefix) else None

    def order(self, state: OrderState, ts_init: int) -> OrderStatusReport:
        """The order's status report."""
        name = state.client_order_id
        return OrderStatusReport(
            account_id=self.account_id,
            instrument_id=state.instrument_id,
            venue_order_id=self.venue_order_id(state.venue_order_id),
            order_side=state.side,
            order_type=state.order_type,
            time_in_force=state.time_in_force,
            order_status=state.status,
            quantity=state.quantity,
            filled_qty=state.filled,
            ts_accepted=state.ts_accepted,
            ts_last=state.ts_last,
            ts_init=ts_init,
            client_order_id=ClientOrderId(name) if name is not None else None,
            price=state.price,
            trigger_price=state.trigger_price,
            trigger_type=self._trigger_type(state),
            avg_px=state.avg_px,
            post_only=state.post_only,
            reduce_only=state.reduce_only,
            cancel_reason=state.reason or None,
        )

    def _trigger_type(self, state: OrderState) -> TriggerType | None:
        """Without one Nautilus makes no order of a report with a trigger price."""
        if state.trigger_price is None:
            return None
        return TriggerType.from_str(*self.triggers) if len(self.triggers) == 1 else TriggerType.DEFAULT

    def fill(self, fill: FillRecord, state: OrderState, currency: Currency, ts_init: int) -> FillReport:
        """The fill as part of its order; `currency` is used for a fee that no source ever said (zero)."""
        name = state.client_order_id
        return FillReport(
            account_id=self.account_id,
            instrument_id=fill.instrument_id,
            venue_order_id=self.venue_order_id(state.venue_order_id),
            trade_id=trade_id_of(fill.trade_key),
            order_side=fill.side or state.side,
            last_qty=fill.quantity,
            last_px=fill.price,
            commission=fill.fee if fill.fee is not None else Money.zero(currency),
            liquidity_side=fill.liquidity or LiquiditySide.NO_LIQUIDITY_SIDE,
            ts_event=fill.ts_event,
            ts_init=ts_init,
            client_order_id=ClientOrderId(name) if name is not None else None,
        )

    def position(self, record: PositionRecord, size_precision: int, ts_init: int) -> PositionStatusReport:
        """The position; always with its average price, because the engine does not start without it.

        Raise `BadValue` for a position that is open and has none.
        """
        signed = Decimal(record.signed_qty)
        side = PositionSide.FLAT if signed == 0 else PositionSide.LONG if signed > 0 else PositionSide.SHORT
        if side is not PositionSide.FLAT and record.avg_px is None:
            raise BadValue(f"position of {record.instrument_id} comes without an average price")
        return PositionStatusReport(
            account_id=self.account_id,
            instrument_id=record.instrument_id,
            position_side=side,
            quantity=Quantity.from_decimal_dp(abs(signed), size_precision),
            ts_last=record.ts_event,
            ts_init=ts_init,
            avg_px_open=Decimal(record.avg_px) if record.avg_px is not None and signed != 0 else None,
        )
