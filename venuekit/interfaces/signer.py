"""Keys and signatures. A key is a reference until the moment it signs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Protocol, runtime_checkable

from attrs import field, frozen

from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.time import AtWall


class Secret:
    """A value that prints masked everywhere; `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def from_str(cls, value: str) -> Secret:
        """Wrap a text."""
        return cls(value)

    def reveal(self) -> str:
        """The value itself; call it only where it is used."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not serialised")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


class SecretKind(Enum):
    """Where a secret lives."""

    ENV = "env"
    FILE = "file"
    KEYRING = "keyring"
    CMD = "cmd"


@frozen
class SecretRef:
    """A reference to a secret: `env:NAME`, `file:PATH`, `keyring:SERVICE/USER` or `cmd:COMMAND`."""

    kind: SecretKind
    target: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.target}"


class Where(Enum):
    """Where a signer may run."""

    INLINE = "inline"
    """At most 3 ms a call and 0.5 ms in one stretch when stepped."""
    THREAD = "thread"
    PROCESS = "process"


@frozen
class SignRequest:
    """What to sign: the scheme, the kind of message and its fields; kinds and fields are the venue's."""

    scheme: str
    kind: str
    fields: Mapping[str, int | str | bytes]


@frozen
class Signed:
    """A signature in the venue's own text or bytes, and the digest that was signed."""

    signature: bytes = field(repr=False)
    digest: bytes


class Signer(Protocol):
    """Holds a key and signs."""

    @property
    def public(self) -> str:
        """The public key as the venue writes it."""
        ...

    @property
    def where(self) -> Where:
        """Where the runtime should run `sign`."""
        ...

    def warm(self) -> None:
        """Tables are built after this; runs in a thread before the first order."""
        ...

    def sign(self, request: SignRequest) -> Signed:
        """Return the signature; raise `SecretError` or `BadValue`, never with key material in the text."""
        ...


@runtime_checkable
class SteppedSigner(Protocol):
    """A signer that can yield the loop inside one signature."""

    def sign_steps(self, request: SignRequest) -> Iterator[Signed | None]:
        """Yield None after each stretch of at most about 0.5 ms, and the signature last."""
        ...


@frozen
class Token:
    """A session token and the moment it stops working."""

    value: Secret
    expires: AtWall
    issued: AtWall


class Authenticator(Protocol):
    """Obtains tokens; the runtime owns when, single flight, and what a failure means."""

    async def obtain(self) -> Token:
        """Return a fresh token; raise `AuthNeeded` (refused), `WaitNeeded` or `SendFailed`."""
        ...

    def attach(self, request: HttpRequest, token: Token) -> HttpRequest:
        """The same request with the token in it."""
        ...
