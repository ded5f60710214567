"""Opens the venue."""

from __future__ import annotations

from venuekit.interfaces.venue import Parts, VenueContext
from venuekit_lighter.instruments import OrderBookInstruments


async def open_venue(ctx: VenueContext) -> Parts:
    """The parts of Lighter: data only."""
    return Parts(instruments=OrderBookInstruments(ctx))
