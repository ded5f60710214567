"""The one error tree. A branch says what the caller can do.

VenuekitError
├── FixNeeded            something the user or the programmer must change first
│   ├── ConfigError          a field of the configuration, named by its path
│   ├── SecretError          a key or a reference to one (the value is never part of the text)
│   ├── PluginError          a plugin that cannot be used, or two that claim one key
│   ├── Unsupported          the venue cannot do this (manifest), refused locally
│   └── BadValue             a number, symbol or id that the venue's rules do not allow
├── WaitNeeded           the same call can work later
│   ├── RateLimited          the venue asked us to slow down
│   ├── ModeRefused          maintenance, cancel-only, post-only, halted market
│   └── NotReady             not connected, reconciling, warming up
├── AuthNeeded           a new token or login, then the same call can work
├── OutcomeUnknown       bytes may have left: look the effect up, never resend
│   └── SendFailed           a transport failed; carries the evidence of what may have left
├── GiveUp               no repetition helps
│   ├── Refused              the venue refused with a proof (code and text)
│   └── CaptureError         a capture or journal that cannot be read
└── DecodeError          bytes from outside that do not mean what they should
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from venuekit.interfaces.request import Evidence


class VenuekitError(Exception):
    """Base of every error that venuekit raises on purpose; `hint` says in one line what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return str(self.args[0]) if self.args else type(self).__name__


class FixNeeded(VenuekitError):
    """Something must be changed by a person before the call can work."""


class ConfigError(FixNeeded):
    """A configuration field is wrong; `path` names it, e.g. `venues.x.key`."""

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, hint=hint)
        self.path = path


class SecretError(FixNeeded):
    """A secret or its reference cannot be used; the text never contains the value."""


class PluginError(FixNeeded):
    """A plugin cannot be loaded or conflicts with another one."""


class Unsupported(FixNeeded):
    """The venue's manifest does not allow this; nothing went on the wire."""


class BadValue(FixNeeded):
    """A value breaks a rule of the venue or of the instrument; nothing went on the wire."""


class WaitNeeded(VenuekitError):
    """The same call can work later."""


class RateLimited(WaitNeeded):
    """The venue asked for a pause of `retry_after_ns` nanoseconds (None: it did not say)."""

    def __init__(self, message: str, *, retry_after_ns: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_ns = retry_after_ns


class ModeRefused(WaitNeeded):
    """The venue or market is in a mode that does not allow this now."""


class NotReady(WaitNeeded):
    """The connection or the private state is not ready."""


class AuthNeeded(VenuekitError):
    """The credential was refused or is missing; obtain a new token, once."""


class OutcomeUnknown(VenuekitError):
    """The effect of a command is not known; look it up, never send it again."""


class SendFailed(OutcomeUnknown):
    """A transport failed; `evidence` says whether bytes may have left."""

    def __init__(self, message: str, *, evidence: Evidence, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.evidence = evidence


class GiveUp(VenuekitError):
    """No repetition helps."""


class Refused(GiveUp):
    """The venue refused, with proof: its code and text."""

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class CaptureError(GiveUp):
    """A capture file or journal is torn, foreign or newer than this version."""


class DecodeError(VenuekitError):
    """Bytes from outside could not be decoded; `kind` is the counter's name for it."""

    def __init__(self, message: str, *, kind: str = "decode", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
