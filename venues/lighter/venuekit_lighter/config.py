"""The venue's own settings; there are none as long as it is data only."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class LighterConfig:
    """Settings under `[venues.lighter]`."""
