"""The Paradex simulator: the venue's own wire protocol over the simulator kit, for any client."""
