"""Plants transport faults between the framework and a driver, from a plan and the clock's own draws.

The numbers are those of the conformance specification. A plan is data; the layer asks it at every connect,
frame and request, and each fault counts for itself what matched it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from attrs import define, field, frozen

from venuekit.errors import SendFailed
from venuekit.interfaces.request import (
    Evidence,
    Frame,
    Handshake,
    HttpRequest,
    Link,
    Receiver,
    Reply,
    Request,
    RequestPort,
    StreamTransport,
    nothing_sent,
)
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Clock

_MS_NS = 1_000_000


class Kind(Enum):
    """What happens."""

    REFUSE_CONNECT = "F01"
    RESET = "F05"
    HALF_OPEN = "F07"
    TRUNCATE = "F12"
    DROP = "F16"
    TOO_MANY = "F18"
    SERVER_ERROR = "F19"
    LATE_REPLY = "F20"


class Point(Enum):
    """Where the plan is asked."""

    CONNECT = "connect"
    IN = "in"
    OUT = "out"
    REQUEST = "request"


_POINTS: dict[Kind, tuple[Point, ...]] = {
    Kind.REFUSE_CONNECT: (Point.CONNECT,),
    Kind.RESET: (Point.IN, Point.OUT, Point.REQUEST),
    Kind.HALF_OPEN: (Point.IN, Point.OUT),
    Kind.TRUNCATE: (Point.IN,),
    Kind.DROP: (Point.IN, Point.OUT),
    Kind.TOO_MANY: (Point.REQUEST,),
    Kind.SERVER_ERROR: (Point.REQUEST,),
    Kind.LATE_REPLY: (Point.IN, Point.REQUEST),
}


@frozen(kw_only=True)
class Fault:
    """One line of a plan: at the `nth` thing that matches, and the `count` - 1 that follow."""

    kind: Kind
    point: Point
    match: str = ""
    """Part of the URL, of the frame's text, or of "op METHOD /path"; empty matches everything."""
    nth: int = 1
    count: int = 1
    not_before_ms: int = 0
    """Of clock time, since the layer was made; earlier things are not counted."""
    chance: float = 1.0
    """Draws from the clock decide about each thing that would be hit."""
    processed: bool = False
    """The venue gets it and acts; only the answer is lost. False: it never arrives."""
    written: bool = True
    """False: the connection dies before the bytes are handed over, and the sender knows."""
    delay_ms: int = 1_000
    status: int = 503
    body: bytes = b""
    retry_after: str = ""

    def __attrs_post_init__(self) -> None:
        if self.point not in _POINTS[self.kind]:
            raise ValueError(f"{self.kind.value} cannot happen at {self.point.value}")


@define
class _Counted:
    fault: Fault
    seen: int = 0


@define
class FaultLayer:
    """The plan and everything wrapped under it; `planted` tells a test what really happened."""

    plan: Sequence[Fault]
    clock: Clock
    counters: Counters
    planted: list[Fault] = field(factory=list)
    _counted: list[_Counted] = field(init=False)
    _start_ns: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counted = [_Counted(fault) for fault in self.plan]
        self._start_ns = self.clock.mono_ns()

    def stream(self, transport: StreamTransport) -> StreamTransport:
        """The same transport, with faults."""
        return _FaultyStream(transport, self)

    def port(self, port: RequestPort, name: str = "") -> RequestPort:
        """The same port, with faults."""
        return _FaultyPort(port, self)

    def hit(self, point: Point, text: str) -> Fault | None:
        """The fault that strikes this thing, if one does; the first in the plan wins."""
        elapsed_ms = (self.clock.mono_ns() - self._start_ns) // _MS_NS
        struck: Fault | None = None
        for counted in self._counted:
            fault = counted.fault
            if fault.point is not point or fault.match not in text or elapsed_ms < fault.not_before_ms:
                continue
            counted.seen += 1
            due = fault.nth <= counted.seen < fault.nth + fault.count
            if due and struck is None and (fault.chance >= 1.0 or self.clock.draw() < fault.chance):
                struck = fault
        if struck is not None:
            self.planted.append(struck)
            self.counters.inc(f"faults.{struck.kind.value}")
        return struck


def _text(frame: Frame) -> str:
    return frame if isinstance(frame, str) else frame.decode("latin-1")


class _FaultyStream:
    def __init__(self, inner: StreamTransport, layer: FaultLayer) -> None:
        self._inner = inner
        self._layer = layer

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        if self._layer.hit(Point.CONNECT, to.url) is not None:
            raise SendFailed("connection refused (planted)", evidence=Evidence.NOT_SENT)
        link = _FaultyLink(receiver, self._layer)
        link.inner = await self._inner.connect(to, link)
        return link


class _FaultyLink:
    """The link and the receiver of one connection."""

    def __init__(self, receiver: Receiver, layer: FaultLayer) -> None:
        self.inner: Link | None = None
        self._receiver = receiver
        self._layer = layer
        self._open = True
        self._mute = False

    # --- as a receiver

    def on_frame(self, frame: Frame) -> None:
        if not self._open or self._mute:
            return
        fault = self._layer.hit(Point.IN, _text(frame))
        if fault is None:
            self._receiver.on_frame(frame)
        elif fault.kind is Kind.LATE_REPLY:
            due = self._layer.clock.mono_ns() + fault.delay_ms * _MS_NS
            self._layer.clock.call_at(due, lambda: self._late(frame))
        else:
            self._strike(fault)
            if fault.kind is Kind.TRUNCATE:
                self._receiver.on_frame(frame[: len(frame) // 2])
                self._cut("truncated (planted)")

    def on_alive(self) -> None:
        if self._open and not self._mute:
            self._receiver.on_alive()

    def on_closed(self, code: int | None, reason: str) -> None:
        # Half open: the peer is gone and nobody says so.
        if self._open and not self._mute:
            self._open = False
            self._receiver.on_closed(code, reason)

    # --- as a link

    def send(self, frame: Frame) -> None:
        if not self._open or self.inner is None:
            raise SendFailed("the stream is closed", evidence=Evidence.NOT_SENT)
        if self._mute:
            return
        fault = self._layer.hit(Point.OUT, _text(frame))
        if fault is None or (fault.processed and fault.written):
            self.inner.send(frame)
        if fault is not None:
            self._strike(fault)
            if not fault.written:
                raise SendFailed("the stream was reset (planted)", evidence=Evidence.NOT_SENT)

    async def close(self, code: int = 1000) -> None:
        if self._mute:
            self._cut("closed by us")
        if self.inner is not None:
            await self.inner.close(code)

    # --- inside

    def _strike(self, fault: Fault) -> None:
        if fault.kind is Kind.RESET:
            # Later, as a loop reports a reset: never inside the send that met it.
            self._layer.clock.call_at(self._layer.clock.mono_ns(), lambda: self._cut("reset (planted)"))
        elif fault.kind is Kind.HALF_OPEN:
            self._mute = True

    def _late(self, frame: Frame) -> None:
        if self._open and not self._mute:
            self._receiver.on_frame(frame)

    def _cut(self, reason: str) -> None:
        if self._open:
            self._open = False
            self._receiver.on_closed(1006, reason)


class _FaultyPort:
    def __init__(self, inner: RequestPort, layer: FaultLayer) -> None:
        self._inner = inner
        self._layer = layer

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        path = request.path if isinstance(request, HttpRequest) else ""
        fault = self._layer.hit(Point.REQUEST, f"{request.op} {request.method} {path}")
        if fault is None:
            return await self._inner.send(request, on_sent=on_sent)
        if not fault.written:
            raise SendFailed("connection reset (planted)", evidence=Evidence.NOT_SENT)
        if fault.processed or fault.kind is Kind.LATE_REPLY:
            await self._inner.send(request, on_sent=on_sent)
        if fault.kind in (Kind.TOO_MANY, Kind.SERVER_ERROR):
            on_sent()
            status = 429 if fault.kind is Kind.TOO_MANY else fault.status
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return Reply(status, fault.body, headers, self._layer.clock.wall_ns())
        if fault.kind is Kind.LATE_REPLY:
            await self._layer.clock.sleep_until(self._layer.clock.mono_ns() + fault.delay_ms * _MS_NS)
            raise SendFailed("no reply in time (planted)", evidence=Evidence.MAYBE_SENT)
        raise SendFailed("connection reset (planted)", evidence=Evidence.MAYBE_SENT)
