"""How the venues of a node are, as plain values: for `/health`, the metrics and `venuekit status`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import asdict, frozen

WELL = ("live", "resting")
WILD = "wild"


@frozen
class VenueHealth:
    """One venue as it is now."""

    environment: str
    streams: Mapping[str, str]
    """State of each stream by its name; `live` is the good one, `resting` one of which nothing is wanted."""
    orders: bool | None = None
    """True: submits are allowed, the private state is known. None: no orders are wanted."""
    unresolved: int = 0
    """Orders whose submit has no proven outcome yet."""
    waiting: int = 0
    """Requests that wait for room under a limit."""
    clock: str = "local"
    """`measured`: the venue's time is known. `local`: this machine's is used. `wild`: the venue's answer is
    too far off to be believed."""
    clock_offset_ms: float | None = None
    """The venue's time minus this machine's."""
    clock_error_ms: float | None = None
    """How far from the truth the offset may be."""

    @property
    def ok(self) -> bool:
        """True when everything that was asked for works."""
        live = all(state in WELL for state in self.streams.values())
        return live and self.orders is not False and self.clock != WILD


@frozen
class NodeHealth:
    """A node and its venues, by the config's keys."""

    node: str
    version: str
    uptime_secs: int
    venues: Mapping[str, VenueHealth]

    @property
    def ok(self) -> bool:
        """True when every venue is."""
        return all(venue.ok for venue in self.venues.values())

    def as_json(self) -> bytes:
        """The body of `/health`: one object; the `status` of node and venues is `ok` or `degraded`."""
        plain = {
            "status": _word(self.ok),
            "node": self.node,
            "version": self.version,
            "uptime_secs": self.uptime_secs,
            "venues": {
                key: {"status": _word(venue.ok), **asdict(venue)} for key, venue in self.venues.items()
            },
        }
        return json.dumps(plain).encode() + b"\n"


def _word(ok: bool) -> str:
    return "ok" if ok else "degraded"
