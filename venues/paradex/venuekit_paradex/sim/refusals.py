"""The venue's error bodies, and what the exchange's neutral reasons are called here.

Codes are the published ones. The cancel reasons marked below are seen in public data; the venue publishes no
list, so the others are this simulator's own words for an open field.
"""

from __future__ import annotations

import json

from venuekit.sim.door import Response
from venuekit.sim.errors import Refusal
from venuekit.sim.records import Reason


class VenueError(Exception):
    """A request that the venue refuses: `code` is the published error code, `status` the HTTP status."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message or code.replace("_", " ").capitalize()
        self.status = status

    def response(self) -> Response:
        """The error as the HTTP answer."""
        body = {"error": self.code, "message": self.message, "data": None}
        return Response(status=self.status, body=json.dumps(body).encode())


CANCEL_REASONS = {
    Reason.USER: "USER_CANCELED",  # seen
    Reason.MARGIN: "NOT_ENOUGH_MARGIN",  # seen
    Reason.POST_ONLY: "POST_ONLY_WOULD_CROSS",  # seen
    Reason.IOC_REMAINDER: "REMAINING_IOC_CANCEL",  # seen
    Reason.SIZE_BELOW_MIN: "ORDER_SIZE_BELOW_MIN",  # seen
    Reason.SIZE_ABOVE_MAX: "ORDER_SIZE_ABOVE_MAX",
    Reason.REDUCE_ONLY: "REDUCE_ONLY_WOULD_INCREASE",
    Reason.SELF_TRADE: "SELF_TRADE",
    Reason.PRICE_BAND: "PRICE_OUTSIDE_BANDS",
    Reason.POSITION_LIMIT: "POSITION_LIMIT_EXCEEDED",
    Reason.OPEN_ORDERS: "MAX_OPEN_ORDERS_EXCEEDED",
    Reason.LIQUIDATION: "LIQUIDATION",
}

_DOOR = {
    Reason.SIZE_STEP: "INVALID_ORDER_SIZE",
    Reason.SIZE_BELOW_MIN: "INVALID_ORDER_SIZE",
    Reason.SIZE_ABOVE_MAX: "INVALID_ORDER_SIZE",
    Reason.PRICE_STEP: "VALIDATION_ERROR",
    Reason.PRICE_BAND: "VALIDATION_ERROR",
    Reason.DUPLICATE_CLIENT_ID: "DUPLICATED_CLIENT_ID",
    Reason.UNKNOWN_MARKET: "MARKET_NOT_FOUND",
    Reason.UNKNOWN_ACCOUNT: "ACCOUNT_NOT_FOUND",
    Reason.UNKNOWN_ORDER: "ORDER_ID_NOT_FOUND",
    Reason.ORDER_CLOSED: "ORDER_IS_CLOSED",
    Reason.HALTED: "MARKET_NOT_OPEN",
    Reason.MODE_POST_ONLY: "SYSTEM_STATUS_POST_ONLY",
    Reason.MODE_CANCEL_ONLY: "SYSTEM_STATUS_CANCEL_ONLY",
    Reason.MODE_MAINTENANCE: "SERVICE_UNAVAILABLE",
}


def refused(refusal: Refusal) -> VenueError:
    """The venue's error for a refusal at the exchange's door."""
    code = _DOOR.get(refusal.reason, "VALIDATION_ERROR")
    return VenueError(code, str(refusal), 503 if code == "SERVICE_UNAVAILABLE" else 400)


def cancel_reason(reason: Reason | None, text: str) -> str:
    """The venue's text for why an order closed; empty for a filled one."""
    if reason is None:
        return ""
    return text if reason is Reason.VENUE else CANCEL_REASONS.get(reason, reason.value)
