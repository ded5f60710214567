"""What can be set on a Paradex simulator, read from text options such as `jwt_secs=20`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec
from attrs import fields_dict, frozen

from venuekit.errors import BadValue

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAIN_ID = "PRIVATE_SN_VENUEKIT_SIM"
"""A chain that exists nowhere else: a signature made for the simulator is worth nothing at the venue."""

DEFAULT_PORT = 8480


type Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


@frozen(kw_only=True)
class Settings:
    """Times as named; the defaults are the venue's published figures where there are any."""

    chain_id: str = CHAIN_ID
    """The official Python client knows four chain ids only; PRIVATE_SN_POTC_MOCK_SEPOLIA has no chain."""
    jwt_secs: int = 300
    risk_delay_ms: int = 5
    """From the 201 to the outcome of the risk check."""
    cancel_delay_ms: int = 5
    """From QUEUED_FOR_CANCELLATION to the order's end; it can fill meanwhile."""
    modify_delay_ms: int = 5
    jitter_ms: int = 2
    """Seeded, up to this much more on each of the three delays."""
    history_lag_ms: int = 0
    """Closed orders and fills come into their lists this much later; the streams tell them at once."""
    limits: bool = True
    sbe_min: int = 0
    sbe_max: int = 2
    """SBE schema versions that a session may ask for; others are refused with HTTP 400."""
    private_sbe: bool = True
    """Orders, fills, positions and account as SBE on an SBE session; false: as JSON."""
    idle_secs: int = 30
    """A socket without any subscription for this long is closed with 4031; 0 never closes."""
    ping_ms: int = 55_000
    pong_ms: int = 5_000
    backlog: int = 2_000
    liquidity: bool = True
    """A seeded crowd quotes, takes, and fills resting orders."""
    walk_bps: str = "0.5"
    step_ms: int = 200
    """Between two steps of the walk."""
    levels: int = 15
    requote_rate: float = 10.0
    """Rates are events a second, 0: never."""
    taker_rate: float = 2.0
    hunter_rate: float = 6.0
    summary_ms: int = 500
    """Market summaries, and account and position figures that a mere price move changed, come this often."""
    funds: str = "100000"
    """USDC that every onboarded account receives."""
    page_rows: int = 0
    """Rows that a page of a history has at most, whatever was asked for; 0: as many as that."""
    frames: int = 20_000
    """Requests and frames that the ledger keeps."""
    simple: bool = False
    """A second door without keys on the same exchange; its markets have 10x leverage and fees of 0.01 %."""
    simple_http_port: Port = 8080
    simple_ws_port: Port = 8081
    """Ports of the simple door; 0 takes a free one."""
    list_busted: bool = False
    """`GET /fills` goes on listing fills that were taken back; the venue does not say whether it does."""
    fixtures: str = ""
    """Folder with answers of the venue that say which markets, funds and positions there are at the start."""

    @property
    def start_funds(self) -> Decimal:
        """`funds` as a number."""
        return Decimal(self.funds)


def parse_settings(options: Mapping[str, str]) -> Settings:
    """Settings from text options; unknown names and unreadable values are refused by name."""
    known = fields_dict(Settings)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise BadValue(f"unknown simulator option: {', '.join(unknown)}", hint=f"known: {', '.join(known)}")
    try:
        return msgspec.convert(dict(options), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadValue(f"simulator option: {error}") from error
