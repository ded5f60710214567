"""A venue and the parts it is made of. It owns no task, no socket, no retry loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from venuekit.interfaces.manifest import Environment
from venuekit.interfaces.orders import OrderCodec
from venuekit.interfaces.reconciliation import ReconciliationSource
from venuekit.interfaces.request import RequestPort
from venuekit.interfaces.signer import Authenticator, SecretRef, Signer
from venuekit.interfaces.stream import CodecFactory, History
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Clock

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.model import Instrument


class InstrumentSource(Protocol):
    """Loads instruments; symbol and instrument id map one to one."""

    async def load(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """The instruments (all, or those asked for), each registered in the context's symbols."""
        ...


class TimeSource(Protocol):
    """Asks the venue for its time."""

    async def read(self) -> int:
        """Its Unix time in nanoseconds; raise `VenuekitError` when it cannot be had."""
        ...


@frozen
class AccountParts:
    """The trading half of a venue."""

    account_id: str
    """The account's number or address as the venue writes it; unique within the venue."""
    private: CodecFactory
    orders: OrderCodec
    reads: ReconciliationSource
    auth: Authenticator | None = None
    signer: Signer | None = None
    """The signer that was chosen; None: this venue's commands are not signed."""


@frozen
class Parts:
    """What opening a venue returns."""

    instruments: InstrumentSource
    public: CodecFactory | None = None
    """None: this venue has no live data, its manifest names no `public` stream."""
    history: History | None = None
    account: AccountParts | None = None
    time: TimeSource | None = None
    """There exactly where the manifest has a `time`."""


@frozen
class VenueContext:
    """What a venue receives; its ports authenticate, pace and retry reads."""

    venue: str
    """The Nautilus venue code."""
    clock: Clock
    ports: Mapping[str, RequestPort]
    symbols: Symbols
    config: object
    """An instance of the venue's own config class."""
    counters: Counters
    log: logging.Logger
    trading: bool
    """False: only public data is wanted, no credential may be asked for."""
    environment: Environment
    """The chosen environment: its facts, and its addresses with the configuration's put over them."""
    make_signer: Callable[[SecretRef, Mapping[str, str]], Awaitable[Signer]] | None = None
    """Resolves a key reference and builds the chosen signer, warm, with the venue's facts (chain id, ...).

    It runs off the loop. None for a data-only opening.
    """


type OpenVenue = Callable[[VenueContext], Awaitable[Parts]]
