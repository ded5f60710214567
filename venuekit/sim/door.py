"""Requests, frames and connections as plain data, so that a service does not know what carries its bytes.

A venue's simulator implements `Service`; the loopback server and the pipes in memory call it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen(kw_only=True)
class Request:
    """An HTTP request, or the handshake of a stream. Header names are lower case, query values decoded."""

    id: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    peer: str = "127.0.0.1"
    received_ns: int = 0

    def query_value(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    def query_values(self, name: str) -> tuple[str, ...]:
        """All values of a query parameter."""
        return tuple(value for key, value in self.query if key == name)


@define(kw_only=True)
class Response:
    """An HTTP answer; `headers` are sent as given. The body's type comes from `content_type`, None sends no
    type.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    content_type: str | None = "application/json"


class CloseKind(Enum):
    """How a connection ended."""

    CLIENT = "client"
    SERVER = "server"
    RESET = "reset"
    SLOW = "slow consumer"
    NO_PONG = "no pong"


class Connection(Protocol):
    """One open stream, seen from the service. `state` is the service's own object for it."""

    id: int
    handshake: Request
    state: object

    @property
    def open(self) -> bool:
        """True until either side closed."""
        ...

    @property
    def backlog(self) -> int:
        """Frames queued and not yet written."""
        ...

    def send(self, frame: bytes | str, label: str = "") -> None:
        """The frame is queued in order, after the fault plan; `label` names it for fault triggers. No-op when
        closed.
        """
        ...

    def close(self, code: int = 1000, reason: str = "") -> None:
        """A close frame follows what is queued."""
        ...

    def reset(self) -> None:
        """The connection is torn down without a close frame; what was queued is lost."""
        ...


class Service(Protocol):
    """What a venue's simulator implements. All calls come from one event loop; none may block."""

    async def handle(self, request: Request) -> Response:
        """Answer an HTTP request (routing is the service's, see `Routes`)."""
        ...

    def accept(self, handshake: Request) -> Response | None:
        """None accepts a stream on this path; a response refuses it (e.g. 400, 404, 429)."""
        ...

    def opened(self, connection: Connection) -> None:
        """The stream is open."""
        ...

    def receive(self, connection: Connection, frame: bytes | str) -> None:
        """A frame came in."""
        ...

    def closed(self, connection: Connection, kind: CloseKind, code: int) -> None:
        """The stream is over; sends are no-ops from now on."""
        ...

    def control(self, verb: str, args: Mapping[str, object]) -> object:
        """A control verb that the kit does not know (e.g. the venue's `expire_tokens`); JSON-able result.

        Raises KeyError for an unknown verb.
        """
        ...
