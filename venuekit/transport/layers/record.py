"""Writes down what goes over the transports it wraps; secrets are masked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from venuekit.errors import Refused, SendFailed, VenuekitError
from venuekit.interfaces.request import (
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
from venuekit.interfaces.time import Clock
from venuekit.transport.layers.capture import CaptureFile, Entry, What
from venuekit.transport.layers.redact import (
    MASK,
    redact_headers,
    redact_query,
    redact_text,
    redact_url,
)


class Recorder:
    """One capture file for every transport of one venue; close it when they are closed."""

    def __init__(self, path: Path, clock: Clock, about: Mapping[str, str]) -> None:
        self._file = CaptureFile(path, about)
        self._clock = clock
        self._connections = 0
        self._exchanges = 0

    @property
    def entries(self) -> int:
        """Lines written so far, without the header."""
        return self._file.entries

    def stream(self, transport: StreamTransport) -> StreamTransport:
        """The same transport, recorded."""
        return _RecordedStream(transport, self)

    def port(self, port: RequestPort, name: str) -> RequestPort:
        """The same port, recorded under its name."""
        return _RecordedPort(port, name, self)

    def close(self) -> None:
        """Everything is in the file; what comes later is not recorded."""
        self._file.close()

    def connection(self) -> int:
        """The number of a new connection."""
        self._connections += 1
        return self._connections

    def exchange(self) -> int:
        """The number of a new request."""
        self._exchanges += 1
        return self._exchanges

    def note(self, what: What, number: int, frame: Frame = b"", **about: str) -> None:
        """One entry, stamped now."""
        self._file.write(Entry(what, self._clock.wall_ns(), number, frame, about))


def _written_in(frame: Frame) -> Frame:
    if isinstance(frame, str):
        return redact_text(frame)
    # Bytes that are JSON may carry what JSON texts carry; other bytes a venue sends hold no credential.
    if frame[:1] in (b"{", b"["):
        try:
            text = frame.decode()
        except UnicodeDecodeError:
            return frame
        clean = redact_text(text)
        return frame if clean == text else clean.encode()
    return frame


def _written_out(frame: Frame) -> Frame:
    if isinstance(frame, str) or frame[:1] in (b"{", b"["):
        return _written_in(frame)
    # Bytes we send may be a signed transaction, and nothing says where the signature stands.
    return MASK if frame else b""


class _RecordedStream:
    def __init__(self, inner: StreamTransport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        number = self._recorder.connection()
        tap = _Tap(receiver, self._recorder, number)
        # Written first: frames may come before `connect` returns.
        self._recorder.note(What.OPEN, number, url=redact_url(to.url))
        try:
            link = await self._inner.connect(to, tap)
        except VenuekitError as error:
            code = error.code if isinstance(error, Refused) else ""
            self._recorder.note(What.CLOSED, number, code=code, reason=f"no connection: {error.message}")
            raise
        return _RecordedLink(link, self._recorder, number, tap)


class _Tap:
    """The receiver in the middle."""

    def __init__(self, receiver: Receiver, recorder: Recorder, number: int) -> None:
        self._receiver = receiver
        self._recorder = recorder
        self._number = number
        self.left = False
        """We asked for the close. What still comes nobody heeds: in the capture, a replay would heed it."""

    def on_frame(self, frame: Frame) -> None:
        if not self.left:
            self._recorder.note(What.IN, self._number, _written_in(frame))
        self._receiver.on_frame(frame)

    def on_alive(self) -> None:
        self._receiver.on_alive()

    def on_closed(self, code: int | None, reason: str) -> None:
        self._recorder.note(What.CLOSED, self._number, code=str(code or ""), reason=reason)
        self._receiver.on_closed(code, reason)


class _RecordedLink:
    def __init__(self, inner: Link, recorder: Recorder, number: int, tap: _Tap) -> None:
        self._inner = inner
        self._recorder = recorder
        self._number = number
        self._tap = tap

    def send(self, frame: Frame) -> None:
        self._inner.send(frame)
        self._recorder.note(What.OUT, self._number, _written_out(frame))

    async def close(self, code: int = 1000) -> None:
        self._tap.left = True
        await self._inner.close(code)


class _RecordedPort:
    def __init__(self, inner: RequestPort, name: str, recorder: Recorder) -> None:
        self._inner = inner
        self._name = name
        self._recorder = recorder

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        number = self._recorder.exchange()
        self._note_request(request, number)
        try:
            reply = await self._inner.send(request, on_sent=on_sent)
        except SendFailed as error:
            self._recorder.note(
                What.FAILED, number, evidence=error.evidence.value, reason=redact_text(error.message)
            )
            raise
        self._recorder.note(
            What.REPLY,
            number,
            _written_in(reply.body),
            status=str(reply.status),
            headers=urlencode(redact_headers(reply.headers), safe="*"),
        )
        return reply

    def _note_request(self, request: Request, number: int) -> None:
        about = {"port": self._name, "op": request.op, "method": request.method}
        body = b""
        if isinstance(request, HttpRequest):
            about["path"] = request.path
            about["query"] = urlencode(redact_query(request.query), safe="*")
            body = request.body
        self._recorder.note(What.REQUEST, number, _written_out(body), **about)
