"""The options of `[venues.paradex]`; importing it loads nothing heavy."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

from venuekit.interfaces.signer import SecretRef


def _version(_config: object, _field: object, value: int) -> None:
    if value not in (0, 1, 2):
        raise ValueError(f"sbe_version must be 0, 1 or 2, not {value}")


@frozen(kw_only=True)
class ParadexConfig:
    """Credentials are references; everything has a default that suits trading."""

    key: SecretRef | None = None
    """A reference to the Stark (L2) private key, such as `env:NAME`, `file:PATH` or `cmd:COMMAND`."""
    account: str = ""
    """The account's address (0x hex). Empty: derived from the key; a subkey must name its main account."""
    sbe: bool = True
    """False asks for JSON frames, which production serves on private channels only."""
    sbe_version: int = field(default=2, validator=_version)
    """The schema version asked for; fees with their currency and whole trade ids exist from 2 on."""
    order_route: Literal["ws", "rest"] = field(default="ws", validator=validators.in_(("ws", "rest")))
    """How orders travel: over the private WebSocket, or as one REST request each."""
    recv_window_ms: int = field(default=30_000, validator=[validators.ge(10), validators.le(300_000)])
    """The venue refuses an order that reaches it later than this after its signature timestamp."""
