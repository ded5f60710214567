"""Plays a capture: what came in comes in again, over the interfaces of a live transport."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

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
    nothing_sent,
)
from venuekit.interfaces.time import Cancel, Clock
from venuekit.transport.layers.capture import Capture, Entry, What
from venuekit.transport.layers.redact import redact_query

AT_ONCE = 64
"""Frames that are played in one turn of the loop when nothing paces them."""


class Replay:
    """One capture for every transport of one venue. Connections are played in the order they were opened."""

    def __init__(self, capture: Capture, clock: Clock, *, speed: float = 0.0) -> None:
        """`speed` 1 plays at the recorded pace, 2 twice as fast, 0 as fast as the receiver takes it."""
        self.clock = clock
        self.speed = speed
        self.played = 0
        """Frames that were played."""
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the last recorded frame was played."""
        self._connections = _connections(capture)
        self._left = len(self._connections)
        self._replies = _replies(capture)

    def stream(self, transport: object = None) -> ReplayStream:
        """The transport that plays; what it is put around is never asked."""
        return ReplayStream(self)

    def port(self, port: object = None, name: str = "") -> ReplayPort:
        """The port that answers as recorded; what it is put around is never asked."""
        return ReplayPort(self._replies, self.clock)

    def next_connection(self) -> deque[Entry] | None:
        """The entries of the connection that is played next, or None."""
        return self._connections.popleft() if self._connections else None

    def ended(self) -> None:
        """One connection was played to its end."""
        self._left -= 1
        if self._left <= 0 and not self.finished.done():
            self.finished.set_result(None)


class ReplayStream:
    """A `StreamTransport` over a capture; once nothing is left to play, connecting waits for ever."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        """See `StreamTransport`; playing starts with the first frame sent, as a venue's does."""
        entries = self._replay.next_connection()
        if entries is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("the future above never ends")
        return _Player(self._replay, entries, receiver)


class _Player:
    """Plays one connection and takes what the client sends without answering it."""

    def __init__(self, replay: Replay, entries: deque[Entry], receiver: Receiver) -> None:
        self._replay = replay
        self._entries = entries
        self._receiver = receiver
        self._timer: Cancel | None = None
        self._open = True
        self._first_ns = entries[0].ts_ns if entries else 0
        self._started_ns = 0

    def send(self, frame: Frame) -> None:
        if not self._open:
            raise SendFailed("the replayed stream is closed", evidence=Evidence.NOT_SENT)
        if self._timer is None:
            clock = self._replay.clock
            self._started_ns = clock.mono_ns()
            self._timer = clock.call_at(self._started_ns, self._play)

    async def close(self, code: int = 1000) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end(code, "")

    def _due_ns(self, entry: Entry) -> int:
        speed = self._replay.speed
        return self._started_ns + (int((entry.ts_ns - self._first_ns) / speed) if speed else 0)

    def _play(self) -> None:
        clock, paced = self._replay.clock, self._replay.speed > 0
        for _ in range(AT_ONCE):
            if not self._entries:
                self._replay.ended()
                return
            due = self._due_ns(self._entries[0])
            if paced and due > clock.mono_ns():
                self._timer = clock.call_at(due, self._play)
                return
            entry = self._entries.popleft()
            if entry.what is What.CLOSED:
                self._replay.ended()
                code = entry.about.get("code", "")
                self._end(int(code) if code.isdigit() else None, entry.about.get("reason", ""))
                return
            self._replay.played += 1
            self._receiver.on_frame(entry.frame)
        self._timer = clock.call_at(clock.mono_ns(), self._play)

    def _end(self, code: int | None, reason: str) -> None:
        if self._open:
            self._open = False
            self._receiver.on_closed(code, reason)


class ReplayPort:
    """A `RequestPort` that answers each question as it was answered, the last answer again and again."""

    def __init__(self, replies: dict[str, deque[Reply]], clock: Clock) -> None:
        self._replies = replies
        self._clock = clock

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`; a question the capture does not hold was not sent."""
        answers = self._replies.get(_question(request))
        if not answers:
            raise SendFailed(
                f"the capture holds no answer to {request.op}",
                evidence=Evidence.NOT_SENT,
                hint="record again with everything the venue asks for",
            )
        on_sent()
        return answers.popleft() if len(answers) > 1 else answers[0]

    async def close(self) -> None:
        """Nothing is open."""


def _question(request: Request) -> str:
    if isinstance(request, HttpRequest):
        return _key(request.method, request.path, urlencode(redact_query(request.query), safe="*"))
    return _key(request.op, request.method, "")


def _key(method: str, path: str, query: str) -> str:
    return f"{method} {path}?{urlencode(sorted(parse_qsl(query, keep_blank_values=True)))}"


def _connections(capture: Capture) -> deque[deque[Entry]]:
    """What came in on each connection that was really open, in order."""
    by_number: dict[int, deque[Entry]] = {}
    for entry in capture.of(What.OPEN, What.IN, What.CLOSED):
        if entry.what is What.OPEN:
            by_number[entry.number] = deque()
        else:
            by_number.setdefault(entry.number, deque()).append(entry)
    return deque(entries for entries in by_number.values() if any(e.what is What.IN for e in entries))


def _replies(capture: Capture) -> dict[str, deque[Reply]]:
    asked: dict[int, str] = {}
    replies: defaultdict[str, deque[Reply]] = defaultdict(deque)
    for entry in capture.of(What.REQUEST, What.REPLY):
        about = entry.about
        if entry.what is What.REQUEST:
            path = about.get("path")
            asked[entry.number] = (
                _key(about.get("op", ""), about.get("method", ""), "")
                if path is None
                else _key(about.get("method", ""), path, about.get("query", ""))
            )
        elif entry.number in asked:
            replies[asked[entry.number]].append(_reply(entry))
    return dict(replies)


def _reply(entry: Entry) -> Reply:
    status = entry.about.get("status", "")
    body = entry.frame.encode() if isinstance(entry.frame, str) else entry.frame
    headers = dict(parse_qsl(entry.about.get("headers", "")))
    return Reply(int(status) if status.isdigit() else status, body, headers, entry.ts_ns)
