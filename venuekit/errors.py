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
│   └── TimeRefused          the time in a signed request lies outside the venue's window
├── OutcomeUnknown       bytes may have left: look the effect up, never resend
│   └── SendFailed           a transport failed; carries the evidence of what may have left
├── GiveUp               no repetition helps
│   ├── Refused              the venue refused with a proof (code and text)
│   └── CaptureError         a capture or journal that cannot be read
└── DecodeError          bytes from outside that do not mean what they should
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from venuekit.interfaces.request import Evidence


class VenuekitError(Exception):
    """Base of every error that venuekit raises on purpose; `hint` says in one line what to do."""

    to_do: ClassVar[str] = ""
    """What the user can do when `hint` says nothing; inherited from the branch."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return str(self.args[0]) if self.args else type(self).__name__


class FixNeeded(VenuekitError):
    """Something must be changed by a person before the call can work."""

    to_do = "change what the message names, then start again"


class ConfigError(FixNeeded):
    """A configuration field is wrong; `path` names it, e.g. `venues.x.key`."""

    to_do = "change the field that the message names; `venuekit config check FILE` tells before a start"

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, hint=hint)
        self.path = path


class SecretError(FixNeeded):
    """A secret or its reference cannot be used; the text never contains the value."""

    to_do = "check the reference and what it points at; `venuekit config check FILE --secrets` resolves it"


class PluginError(FixNeeded):
    """A plugin cannot be loaded or conflicts with another one."""

    to_do = "upgrade, uninstall or replace the plugin; `venuekit venues` prints what is wrong"


class Unsupported(FixNeeded):
    """The venue's manifest does not allow this; nothing went on the wire."""

    to_do = "ask for what the venue can do; `venuekit venues VENUE` shows it"


class BadValue(FixNeeded):
    """A value breaks a rule of the venue or of the instrument; nothing went on the wire."""

    to_do = "send what the rules of the instrument and of the venue allow"


class WaitNeeded(VenuekitError):
    """The same call can work later."""

    to_do = "wait; reads and connections are tried again without you"


class RateLimited(WaitNeeded):
    """The venue asked for a pause of `retry_after_ns` nanoseconds (None: it did not say)."""

    to_do = "send less; lower `limits` in the config when other programs share the limit"

    def __init__(self, message: str, *, retry_after_ns: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_ns = retry_after_ns


class ModeRefused(WaitNeeded):
    """The venue or market is in a mode that does not allow this now."""

    to_do = "wait until the venue or the market leaves its mode"


class NotReady(WaitNeeded):
    """The connection or the private state is not ready."""

    to_do = "wait until it is connected and reconciled; `venuekit status` shows it"


class AuthNeeded(VenuekitError):
    """The credential was refused or is missing; obtain a new token, once."""

    to_do = "check key and account; a token that ran out is replaced without you"


class TimeRefused(AuthNeeded):
    """The venue refused the time in a signed request: this machine's clock is wrong, or it took too long."""

    to_do = (
        "synchronise this machine's clock (NTP); where the venue tells its time it is measured without you"
    )


class OutcomeUnknown(VenuekitError):
    """The effect of a command is not known; look it up, never send it again."""

    to_do = "never send it again: it is looked up; check it at the venue when the node stopped before"


class SendFailed(OutcomeUnknown):
    """A transport failed; `evidence` says whether bytes may have left."""

    to_do = "nothing when NOT_SENT; MAYBE_SENT is looked up; check the network when it stays"

    def __init__(self, message: str, *, evidence: Evidence, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.evidence = evidence


class GiveUp(VenuekitError):
    """No repetition helps."""

    to_do = "do something else: the same again fails again"


class Refused(GiveUp):
    """The venue refused, with proof: its code and text."""

    to_do = "look the code up in the venue's table"

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class CaptureError(GiveUp):
    """A capture file or journal is torn, foreign or newer than this version."""

    to_do = "use the file of another run or version"


class DecodeError(VenuekitError):
    """Bytes from outside could not be decoded; `kind` is the counter's name for it."""

    to_do = "report it with the log: the venue sent what its documents do not say"

    def __init__(self, message: str, *, kind: str = "decode", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
