"""What the commands of a plugin may use of the command line that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from venuekit.interfaces.signer import Secret, SecretRef
    from venuekit.interfaces.venue import VenueContext

DESK_KEY = "venuekit.desk"
"""Where a click context's `meta` holds the `CommandDesk`."""


class CommandDesk(Protocol):
    """The services of the command line, so that a plugin opens no socket and reads no key by itself."""

    json: bool
    """True: one JSON object a line is wanted; a command sets it from its own `--json`."""

    def emit(self, record: Mapping[str, object]) -> None:
        """Print one JSON object on one line."""
        ...

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        ...

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns for people."""
        ...

    def reference(self, text: str) -> SecretRef:
        """The reference that a text is; raises `SecretError`."""
        ...

    def secret(self, ref: SecretRef) -> Secret:
        """The secret behind a reference; raises `SecretError`."""
        ...

    def entropy(self, count: int) -> bytes:
        """Random bytes that are fit for keys."""
        ...

    def keep(self, path: Path, secret: str) -> None:
        """The secret is in a new file that only its owner can read; an existing file is never replaced."""
        ...

    def venue(
        self, key: str, *, environment: str, fields: Mapping[str, str], trading: bool
    ) -> AbstractAsyncContextManager[VenueContext]:
        """The venue, opened with these fields of its config section, and what its parts receive.

        With `trading` its ports attach the token of the account, and its clock knows the venue's time: where
        that cannot be read, `NotReady` is raised and nothing was signed.
        """
        ...
