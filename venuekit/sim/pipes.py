"""The door in memory: requests and streams of clients of this process, without a socket.

It asks the same plan and keeps the same ledger as the loopback door. Every pipe is a queue of its own, so
nothing overtakes anything unless a fault says so; each direction takes `latency_us`.

Between the client and this door lies a network that can fail, so it also carries out F02, F03 and F04, and
F17 (a frame that comes out of a stream after the stream has ended). A message here is whole or not there: of
F11 only the time shows that the pieces take, of F12 the end of the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from venuekit.sim.door import CloseKind
from venuekit.sim.faults import BLACK_HOLE, Point
from venuekit.sim.front import Front, FrontOptions
from venuekit.sim.line import ABNORMAL, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.door import Request, Response, Service
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import Decision, FaultPlan
    from venuekit.sim.front import Answer
    from venuekit.sim.ledger import Ledger
    from venuekit.sim.line import Outgoing

_HOST = "localhost"
_CLOSE_NS = 1_000_000_000


@frozen(kw_only=True)
class PipeOptions(FrontOptions):
    """`latency_us` is the way of a message in one direction, in microseconds."""

    latency_us: int = 500


class UnreachableError(Exception):
    """A connect or request did not arrive; the text says why."""


class CutOffError(Exception):
    """The connection was reset, or ended within the reply, after the request may have arrived."""


class ClientEnd(Protocol):
    """What the client holds of one stream; called in order, each call `latency_us` after it was sent."""

    def on_message(self, frame: bytes | str) -> None:
        """One whole message."""
        ...

    def on_ping(self) -> None:
        """A ping; the end answers with `PipeConnection.pong`."""
        ...

    def on_pong(self) -> None:
        """The answer to a ping of the client."""
        ...

    def on_close(self, code: int, reason: str) -> None:
        """A close frame; the end answers with `PipeConnection.leave`."""
        ...

    def on_end(self, reason: str) -> None:
        """The connection is gone without a close frame."""
        ...

    def on_ghost(self, frame: bytes | str) -> None:
        """A message of a stream that may have ended long ago."""
        ...


class PipeDoor(Front):
    """Requests and streams in memory."""

    def __init__(
        self,
        service: Service,
        *,
        clock: Clock,
        exchange: Exchange,
        ledger: Ledger,
        faults: FaultPlan,
        options: PipeOptions | None = None,
    ) -> None:
        self.options = options if options is not None else PipeOptions()
        super().__init__(
            service, clock=clock, exchange=exchange, ledger=ledger, faults=faults, rules=self.options
        )
        self.latency_ns = self.options.latency_us * 1_000
        # What the venue does is its own, whoever asked: nothing of a client's context reaches it.
        self._context = copy_context()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.phase = ""
        """A cut point that every request passes at present: C10 while a client starts, C12 while it stops."""
        self._ghosts: list[tuple[PipeConnection, bytes | str, int]] = []

    @property
    def http_url(self) -> str:
        """An address that no socket listens on."""
        return f"http://{_HOST}"

    @property
    def ws_url(self) -> str:
        """The same for streams."""
        return f"ws://{_HOST}"

    async def start(self) -> None:
        """Clients can connect from the beginning."""

    def next_id(self) -> int:
        """The number of a new connection or request."""
        return next(self._ids)

    async def stop(self) -> None:
        """Every stream got close code 1001, no task is left."""
        self._farewell()
        while self._streams or self._tasks:
            await self.clock.sleep_until(self.clock.mono_ns() + self.latency_ns)

    async def call(self, request: Request, on_its_way: Callable[[], None]) -> Response:
        """The reply. Raises `UnreachableError` before `on_its_way` was called, `CutOffError` after it.

        The venue goes on with a request whose client gave up.
        """
        decision = self.faults.ask(Point.REQUEST, f"{request.method} {request.path}")
        await self._reach(decision)
        if self.faults.cut("C1", f"{request.method} {request.path}").reset:
            raise UnreachableError("the connection was reset")
        on_its_way()
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._spawn(self._serve(request, decision, answer))
        got = await answer
        if got is None:
            raise CutOffError("the connection was reset")
        if got.keep_bytes is not None:
            raise CutOffError("the connection ended within the reply")
        return got.response

    async def connect(self, handshake: Request, end: ClientEnd) -> PipeConnection | Response:
        """An open stream, or the refusal. Raises `UnreachableError`; cancelled, it leaves nothing open."""
        decision = self.faults.ask(Point.CONNECT, f"{handshake.method} {handshake.path}", handshake.id)
        await self._reach(decision)
        await self._way()
        answer = await self.admit(handshake, decision)
        if answer is None:
            await self._way()
            raise UnreachableError("the connection was reset during the handshake")
        if answer.response.status != 101:
            await self._way()
            return answer.response
        connection = PipeConnection(self, handshake, end)
        self.joined(connection)
        connection.start()
        self._haunt()
        try:
            await self._way()
        except BaseException:
            connection.hang_up()
            raise
        return connection

    def keep_ghost(self, connection: PipeConnection, frame: bytes | str, delay_ns: int) -> None:
        """The frame comes out of this stream `delay_ns` after another one was opened."""
        self._ghosts.append((connection, frame, delay_ns))

    # --- inside

    async def _reach(self, decision: Decision) -> None:
        """Return when the venue can be reached."""
        if decision.unreachable == BLACK_HOLE:
            # Whoever waits for this has a timeout of its own.
            await asyncio.get_running_loop().create_future()
        if decision.unreachable:
            raise UnreachableError(decision.unreachable)
        if decision.refuse:
            raise UnreachableError("the connection was refused")

    async def _serve(
        self, request: Request, decision: Decision, reply: asyncio.Future[Answer | None]
    ) -> None:
        answer: Answer | None = None
        try:
            await self._way()
            if self.phase:
                self.cut(self.phase, request)
            answer = await self.answer(request, decision)
            half = self.faults.cut("C4", f"{request.method} {request.path}")
            if half.reset or half.keep_bytes is not None:
                answer = None
            await self._way()
        finally:
            if not reply.done():
                reply.set_result(answer)

    async def _way(self) -> None:
        await self.clock.sleep_until(self.clock.mono_ns() + self.latency_ns)

    def _haunt(self) -> None:
        ghosts, self._ghosts = self._ghosts, []
        for connection, frame, delay_ns in ghosts:
            connection.haunt(frame, delay_ns)

    def _spawn(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="venue/request", context=self._context)
        self._tasks[task] = None
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


class PipeConnection(Line):
    """A `Connection` whose other end is a `ClientEnd` of this process."""

    def __init__(self, door: PipeDoor, handshake: Request, end: ClientEnd) -> None:
        super().__init__(door, handshake)
        self._door = door
        self._clock = door.clock
        self._end = end
        self._incoming: deque[tuple[int, bytes | str, Decision, Decision]] = deque()
        self._writing: Cancel | None = None
        self._reading: Cancel | None = None
        self._paused = False
        self._left_us = False
        self._done = False

    def start(self) -> None:
        """The stream is open."""
        self._begin()

    # --- called by the client's end, at the moment it does something

    def push(self, frame: bytes | str) -> None:
        """A message is on its way to the venue; raises `UnreachableError` when C1 ends the stream first."""
        text = frame if isinstance(frame, str) else frame[:4_096].hex()
        if self._door.faults.cut("C1", text, self.id).reset:
            self.reset()
        if self._left_us or not self._open:
            raise UnreachableError("the connection was reset")
        self._later(lambda: self._arrived(frame))

    def ping(self) -> None:
        """A ping is on its way."""
        self._later(self._pinged)

    def pong(self) -> None:
        """The answer to a ping is on its way."""
        self._later(self._schedule_ping)

    def leave(self, code: int) -> None:
        """A close frame is on its way: ours, or the answer to the venue's."""
        self._later(lambda: self._left(code))

    def hang_up(self) -> None:
        """The client's side is gone without a word; what it had sent before arrives."""
        self._left_us = True
        self._later(lambda: self._finish(ABNORMAL))

    def pause(self, paused: bool) -> None:
        """The client reads nothing, or goes on; what the venue sends meanwhile waits in its queue."""
        self._paused = paused
        self._wake()

    def haunt(self, frame: bytes | str, delay_ns: int) -> None:
        """The client gets the frame as if this stream had sent it before it ended."""
        self._later(lambda: self._end.on_ghost(frame), delay_ns)

    # --- in

    def _later(self, act: Callable[[], None], delay_ns: int = 0) -> None:
        self._clock.call_at(self._clock.mono_ns() + self._door.latency_ns + delay_ns, act)

    def _arrived(self, frame: bytes | str) -> None:
        if not self._open:
            return
        decision, before = self._asked(frame)
        if not self._incoming and not decision.delay_ns:
            self._act(frame, decision, before)
            return
        # Whatever comes behind a delayed frame waits for it.
        self._incoming.append((self._clock.mono_ns() + decision.delay_ns, frame, decision, before))
        if self._reading is None:
            self._reading = self._clock.call_at(self._incoming[0][0], self._read)

    def _read(self) -> None:
        self._reading = None
        while self._incoming and self._incoming[0][0] <= self._clock.mono_ns():
            _, frame, decision, before = self._incoming.popleft()
            self._act(frame, decision, before)
        if self._incoming:
            self._reading = self._clock.call_at(self._incoming[0][0], self._read)

    def _pinged(self) -> None:
        if self._open and not self._door.faults.silenced(self.id).half_open:
            self._later(self._end.on_pong)

    def _left(self, code: int) -> None:
        if self._door.faults.silenced(self.id).half_open:
            return
        if self._door.phase:
            self._door.cut(self._door.phase, self, "close")
        if self._open:
            end = self._end
            self._later(lambda: end.on_close(code, ""))
        self._finish(code)

    # --- out

    def _wake(self) -> None:
        if self._open and self._queue and self._writing is None and not self._paused:
            due_ns = max(self._clock.mono_ns(), self._queue[0].ready_ns)
            self._writing = self._clock.call_at(due_ns, self._write_all)

    def _write_all(self) -> None:
        self._writing = None
        while self._open and self._queue and not self._paused:
            if self._queue[0].ready_ns > self._clock.mono_ns():
                self._wake()
                return
            self._write(self._queue.popleft())

    def _write(self, item: Outgoing) -> None:
        end = self._end
        if item.code is not None:
            code, reason = item.code, item.reason
            self._ended = self._ended or (CloseKind.SERVER, code)
            self._open = False
            self._later(lambda: end.on_close(code, reason))
            # A client that never answers is not waited for.
            self._later(lambda: self._finish(code), _CLOSE_NS)
        elif item.frame is None:
            self._later(end.on_ping)
        elif item.keep_bytes is not None:
            self._break_off()
        else:
            frame = item.frame
            if item.label.startswith("reply:"):
                half = self._door.faults.cut("C4", item.label, self.id)
                if half.reset or half.keep_bytes is not None:
                    self._break_off()
                    return
            self._door.ledger.saw("out", item.label, frame, self.id)
            self._later(lambda: end.on_message(frame))

    def _break_off(self) -> None:
        self._ended = (CloseKind.RESET, ABNORMAL)
        self._open = False
        self._tear_down("the connection ended within a frame")

    def _keep_for_later(self, frame: bytes | str, label: str, delay_ns: int) -> None:
        self._door.keep_ghost(self, frame, delay_ns)

    def _tear(self) -> None:
        self._tear_down("the connection was reset")

    def _tear_down(self, reason: str) -> None:
        end = self._end
        self._later(lambda: end.on_end(reason))
        # Later, as a loop reports a reset: never inside the send that met it.
        self._clock.call_at(self._clock.mono_ns(), lambda: self._finish(ABNORMAL))

    def _finish(self, code: int) -> None:
        if self._done:
            return
        self._done = True
        for timer in (self._writing, self._reading):
            if timer is not None:
                timer.cancel()
        self._over(code)
        self._door.left(self)
