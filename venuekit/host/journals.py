"""Which journal a venue's orders go to, as its config says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from venuekit.errors import ConfigError
from venuekit.host.config import MEMORY
from venuekit.runtime.journal import MemoryJournal

if TYPE_CHECKING:
    from pathlib import Path

    from venuekit.host.config import VenueConfig
    from venuekit.interfaces.telemetry import Counters
    from venuekit.runtime.journal import Journal


class JournalKeeper:
    """Opens the journal of one venue's account when its orders begin, and closes it at the latest with it."""

    def __init__(
        self, config: VenueConfig, venue: str, given: Journal | None, counters: Counters, log: logging.Logger
    ) -> None:
        self.account: str | None = None
        """As the venue names it, or its public key; known once the signer is made."""
        self._config = config
        self._venue = venue
        self._given = given
        self._counters = counters
        self._log = log
        self._opened: Journal | None = None

    def opened(self) -> Journal:
        """The journal, ours alone until closed; raise `ConfigError` or `CaptureError` as its file says."""
        if self._given is not None:
            return self._given
        if self._config.journal == MEMORY:
            return MemoryJournal()
        if self.account is None:
            raise ConfigError(
                "a journal in a file needs the account's name, and no signer told it",
                path=f"venues.{self._config.key}.journal",
                hint=f"give the venue its key, or set {MEMORY!r}.",
            )
        # SQLite is loaded only by who wants it.
        from venuekit.runtime.journal_file import SUFFIX, FileJournal, Owner

        self.close()
        owner = Owner(self._venue, self._config.environment, self.account)
        path: Path = self._config.base / self._config.journal
        self._opened = FileJournal.opened(
            path if path.suffix == SUFFIX else path / owner.file_name(),
            owner,
            durable=self._config.journal_durable,
            counters=self._counters,
            log=self._log,
        )
        return self._opened

    def close(self) -> None:
        """No file of ours is open; one that was given is left to whoever gave it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
