"""What the kit refuses: commands at the exchange, and fault plans it cannot carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit.errors import BadValue, Refused, Unsupported

if TYPE_CHECKING:
    from venuekit.sim.records import Reason


class Refusal(Refused):
    """The exchange refused a command at the door and nothing happened; `reason` says why."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(f"{reason.value}: {text}" if text else reason.value, code=reason.value)
        self.reason = reason
        self.text = text


class UnsupportedFault(Unsupported):
    """This fault kind is not produced by the simulator."""


class BadFaultPlan(BadValue):
    """The text does not describe a fault."""
