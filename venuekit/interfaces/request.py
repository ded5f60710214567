"""One request/reply interface for HTTP, RPC and request-over-stream, and the stream transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from attrs import field, frozen

type Frame = bytes | str


class Evidence(Enum):
    """What is known about the bytes of a request whose reply did not come."""

    NOT_SENT = "not_sent"
    MAYBE_SENT = "maybe_sent"
    REPLIED = "replied"


def _masked(headers: Mapping[str, str]) -> str:
    """Header values may carry tokens and signatures, so a repr shows names only."""
    return "{" + ", ".join(f"{name}: ***" for name in headers) + "}"


@frozen
class HttpRequest:
    """An HTTP request; `op` names the manifest's operation, `path` is relative to the port's base address."""

    op: str
    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(factory=dict, repr=_masked)
    body: bytes = field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    private: bool = False
    """True when the port must attach a token first."""


@frozen
class RpcRequest:
    """A unary RPC; `message` is the encoded protocol buffer."""

    op: str
    method: str
    message: bytes = field(repr=lambda body: f"<{len(body)} bytes>")


@frozen
class StreamRequest:
    """A request over an open stream; the codec adds the request id."""

    op: str
    method: str
    payload: bytes = field(repr=lambda body: f"<{len(body)} bytes>")


type Request = HttpRequest | RpcRequest | StreamRequest


@frozen
class Reply:
    """What came back: an HTTP status, an RPC code, or `ok`/`error` over a stream."""

    status: int | str | None
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    headers: Mapping[str, str] = field(factory=dict, repr=_masked)
    ts_ns: int = 0


def nothing_sent() -> None:
    """The default `on_sent`: nobody waits for the hand-over."""


class RequestPort(Protocol):
    """Sends one request and returns its reply."""

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """Return the reply whatever its status; raise `SendFailed(evidence)` when none came.

        `on_sent` runs when the bytes were handed over in order; a port without order (an HTTP pool)
        calls it only with the reply.
        """
        ...


@frozen
class Handshake:
    """Where and how to open a stream."""

    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=_masked)
    compression: bool = False
    max_frame_bytes: int = 16 * 2**20
    refused_hint: str = ""
    """What to do when the venue refuses this handshake; it goes with the error."""


class Receiver(Protocol):
    """Takes what an open stream delivers, on the loop's thread, in order."""

    def on_frame(self, frame: Frame) -> None:
        """One whole message arrived."""
        ...

    def on_alive(self) -> None:
        """The peer showed life without a message, e.g. a protocol ping; not every transport can tell."""
        ...

    def on_closed(self, code: int | None, reason: str) -> None:
        """The stream ended; called exactly once, nothing follows it."""
        ...


class Link(Protocol):
    """An open stream."""

    def send(self, frame: Frame) -> None:
        """Hand one frame over in order without waiting; raise `SendFailed(NOT_SENT)` when closed."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Closed within about a second, answered by the peer or not; never raises."""
        ...


class StreamTransport(Protocol):
    """Opens streams."""

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        """Return an open link; raise `SendFailed(NOT_SENT)`, `RateLimited` or `Refused(code=<http status>)`.

        Cancelled, it leaves nothing open, and the receiver hears nothing more.
        """
        ...
