"""The command line as the commands of a plugin see it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from venuekit.cli.output import Settings, emit, say, table
from venuekit.errors import ConfigError, NotReady

if TYPE_CHECKING:
    from venuekit.interfaces.signer import Secret, SecretRef
    from venuekit.interfaces.venue import VenueContext


class Desk:
    """See `venuekit.interfaces.commands.CommandDesk`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def json(self) -> bool:
        """True when one JSON object a line is wanted."""
        return self._settings.json

    @json.setter
    def json(self, wanted: bool) -> None:
        self._settings.json = wanted

    def emit(self, record: Mapping[str, object]) -> None:
        """Print one JSON object on one line."""
        emit(record)

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        say(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns for people."""
        table(header, rows)

    def reference(self, text: str) -> SecretRef:
        """The reference that a text is; raises `SecretError`."""
        from venuekit.host.secrets import parse_secret_ref

        return parse_secret_ref(text)

    def secret(self, ref: SecretRef) -> Secret:
        """The secret behind a reference; raises `SecretError`."""
        from venuekit.host.secrets import resolve_secret

        return resolve_secret(ref)

    def entropy(self, count: int) -> bytes:
        """Random bytes that are fit for keys."""
        from venuekit.runtime.clock import entropy

        return entropy(count)

    def keep(self, path: Path, secret: str) -> None:
        """The secret is in a new file that only its owner can read; raises `ConfigError`."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError(f"{path} exists already", hint="a key file is never replaced.") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")

    @asynccontextmanager
    async def venue(
        self, key: str, *, environment: str, fields: Mapping[str, str], trading: bool
    ) -> AsyncIterator[VenueContext]:
        """The venue, opened; closed when the block ends."""
        from venuekit.host.config import parse_config
        from venuekit.host.open import OpenedVenue
        from venuekit.runtime.clock import RealClock

        section = {"environment": environment, **fields}
        lines = [f"[venues.{key}]", *(f"{name} = {json.dumps(value)}" for name, value in section.items())]
        flags = [f"venues.{key}.execution={str(trading).lower()}", f"venues.{key}.data=true"]
        config = parse_config("\n".join(lines), flags=flags)
        opened = OpenedVenue(config.venues[key], clock=RealClock())
        await opened.open()
        try:
            if trading and opened.manifest.time is not None:
                _need_time(opened.clock.reading().state)
            yield opened.context()
        finally:
            await opened.close()


def _need_time(state: str) -> None:
    """A command signs once and nobody watches it: without the venue's time it signs nothing."""
    if state == "local":
        raise NotReady(
            "the venue's time could not be read, so nothing is signed with this machine's",
            hint="try again when the venue answers",
        )
    if state == "wild":
        raise NotReady(
            "the venue's time is too far from this machine's to be believed, so nothing is signed",
            hint="synchronise this machine's clock (NTP); if it is right, the venue's is not",
        )
