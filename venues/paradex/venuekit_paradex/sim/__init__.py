"""The Paradex simulator: the venue's own wire protocol over the simulator kit, for any client."""

from __future__ import annotations

from venuekit_paradex.sim.factory import SIMULATOR

__all__ = ["SIMULATOR"]
