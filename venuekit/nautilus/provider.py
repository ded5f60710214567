"""Instruments of one client, loaded through the venue's shared symbol index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from nautilus_trader.live import InstrumentProvider

from venuekit.errors import NotReady

if TYPE_CHECKING:
    from nautilus_trader.config import InstrumentProviderConfig
    from nautilus_trader.model import InstrumentId

    from venuekit.interfaces.model import Instrument

type Load = Callable[[Collection[InstrumentId] | None], Awaitable[Sequence[Instrument]]]


class VenueProvider(InstrumentProvider):
    """Holds what the client published. `load_ids` of its config narrows that to the named instruments."""

    def __init__(self, config: InstrumentProviderConfig) -> None:
        super().__init__(config)
        chosen = None if config.load_all else config.load_ids
        self._chosen = frozenset(chosen) if chosen else None
        self._load: Load | None = None

    def attach(self, load: Load | None) -> None:
        """Loading goes through `load` after this; None: the client is not connected."""
        self._load = load

    def wants(self, instrument_id: InstrumentId) -> bool:
        """True when this instrument shall be published."""
        return self._chosen is None or str(instrument_id) in self._chosen

    async def initialize(self, reload: bool = False) -> None:
        """Without any setting everything is loaded, where Nautilus would load nothing."""
        async with self._init_lock:
            if not self._loaded or reload:
                await self.load_all_async()
                self._loaded = True

    async def load_all_async(self, filters: object = None) -> None:
        """Every instrument that is wanted is held after this; venue filters do not exist."""
        self.add_bulk([one for one in await self._loaded_by_venue(None) if self.wants(one.id)])

    async def load_ids_async(self, instrument_ids: list[InstrumentId], filters: object = None) -> None:
        """These instruments are held after this, as far as the venue has them."""
        if instrument_ids:
            self.add_bulk(list(await self._loaded_by_venue(instrument_ids)))

    async def _loaded_by_venue(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        if self._load is None:
            raise NotReady("instruments can be loaded once the client is connected")
        return await self._load(only)
