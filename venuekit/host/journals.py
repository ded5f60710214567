"""Which journal a venue's orders go to, as its config says."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from venuekit.errors import ConfigError
from venuekit.host.config import MEMORY
from venuekit.runtime.journal import MemoryJournal

if TYPE_CHECKING:
    from venuekit.host.config import VenueConfig
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.telemetry import Counters
    from venuekit.runtime.journal import Journal


def users_folder() -> Path:
    """Where journals are kept when no config says so: one place for all programs of a user, so that two nodes
    of one account find each other wherever their configs are.
    """
    found = os.environ.get("XDG_DATA_HOME")
    return (Path(found) if found else Path.home() / ".local" / "share") / "venuekit" / "journals"


class JournalKeeper:
    """Opens the journal of one venue's account when its orders begin, and closes it at the latest with it."""

    def __init__(
        self,
        config: VenueConfig,
        manifest: Manifest,
        given: Journal | None,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self.account: str | None = None
        """As the venue names it, or its public key; known once the signer is made."""
        self._config = config
        self._manifest = manifest
        self._given = given
        self._counters = counters
        self._log = log
        self._opened: Journal | None = None

    def opened(self) -> Journal:
        """The journal, ours alone until closed; raise `ConfigError` or `CaptureError` as its file says."""
        if self._given is not None:
            return self._given
        place = self._place()
        if place is None:
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
        owner = Owner(self._manifest.venue, self._config.environment, self.account)
        self._opened = FileJournal.opened(
            place if place.suffix == SUFFIX else place / owner.file_name(),
            owner,
            durable=self._config.journal_durable,
            counters=self._counters,
            log=self._log,
        )
        self._log.info("orders are remembered in %s", self._opened.path)
        return self._opened

    def _place(self) -> Path | None:
        """A file or a folder; None: memory."""
        config = self._config
        if config.journal is not None:
            return None if config.journal == MEMORY else config.base / config.journal
        simulated = self._manifest.environments[config.environment].simulated
        return None if simulated else users_folder()

    def close(self) -> None:
        """No file of ours is open; one that was given is left to whoever gave it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
