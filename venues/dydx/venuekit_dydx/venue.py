"""Opens the venue."""

from __future__ import annotations

from venuekit.interfaces.venue import Parts, VenueContext
from venuekit_dydx.instruments import IndexerInstruments


async def open_venue(ctx: VenueContext) -> Parts:
    """The parts of dYdX v4: data only."""
    return Parts(instruments=IndexerInstruments(ctx))
