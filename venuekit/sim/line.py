"""One open stream of a door: send queue, ping schedule, slow-consumer limit, and what faults do to frames.

What moves the bytes is a subclass of each door.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define

from venuekit.sim.door import CloseKind
from venuekit.sim.faults import Point

if TYPE_CHECKING:
    from venuekit.interfaces.time import Cancel
    from venuekit.sim.door import Request
    from venuekit.sim.faults import Decision
    from venuekit.sim.front import Front

ABNORMAL = 1006
_MS_NS = 1_000_000


@define
class Outgoing:
    """A frame, a ping (`frame` None), or a close (`code`)."""

    frame: bytes | str | None = None
    label: str = ""
    ready_ns: int = 0
    keep_bytes: int | None = None
    code: int | None = None
    reason: str = ""


class Line:
    """A `Connection`; frames leave in the order of `send`."""

    def __init__(self, front: Front, handshake: Request) -> None:
        self.id = handshake.id
        self.handshake = handshake
        self.state: object = None
        self._front = front
        self._queue: deque[Outgoing] = deque()
        self._open = False
        self._ended: tuple[CloseKind, int] | None = None
        self._free_ns = 0
        """When a narrow line has carried what was sent before."""
        self._ping_timer: Cancel | None = None
        self._late: dict[Cancel, None] = {}

    @property
    def open(self) -> bool:
        """True until either side closed."""
        return self._open

    @property
    def backlog(self) -> int:
        """Frames queued and not yet written."""
        return len(self._queue)

    def send(self, frame: bytes | str, label: str = "") -> None:
        """The frame is queued in order, after the fault plan; nothing happens when the stream is closed."""
        if not self._open:
            return
        faults = self._front.faults
        decision = faults.ask(Point.OUT, label, self.id)
        if decision.clean:
            self._put(Outgoing(frame, label))
            return
        if self._ends(decision) or decision.mute or decision.half_open:
            return
        if decision.corrupt:
            frame = faults.corrupted_text(frame) if isinstance(frame, str) else faults.corrupted(frame)
        now_ns = self._front.clock.mono_ns()
        if decision.haunts:
            self._keep_for_later(frame, label, decision.reply_delay_ns)
        elif decision.reply_delay_ns:
            self._send_late(frame, label, now_ns + decision.reply_delay_ns)
        else:
            if slow_ns := decision.bytes_ns(len(frame)):
                self._free_ns = max(self._free_ns, now_ns) + slow_ns
            # A delayed frame holds those behind it back: latency never reorders a stream.
            ready_ns = max(now_ns + decision.delay_ns, self._free_ns)
            for _ in range(decision.copies):
                self._put(Outgoing(frame, label, ready_ns, decision.keep_bytes))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """A close frame follows what is queued."""
        if self._open:
            self._put(Outgoing(code=code, reason=reason))

    def reset(self) -> None:
        """The connection is torn down without a close frame; what was queued is lost."""
        self._cut_off(CloseKind.RESET)

    # --- for the doors

    def _begin(self) -> None:
        """The handshake is done."""
        self._open = True
        self._schedule_ping()
        self._front.service.opened(self)

    def _over(self, code: int) -> None:
        """Nothing can come any more; `code` is what the peer said, if it was the peer who ended it."""
        self._open = False
        self._stop_timers()
        kind, code = self._ended or (CloseKind.CLIENT, code)
        self._front.service.closed(self, kind, code)

    def _asked(self, frame: bytes | str) -> tuple[Decision, Decision]:
        """What the plan says to a frame that came in, at its arrival and at C2; the delay comes before
        `_act`.
        """
        front = self._front
        front.ledger.saw("in", "", frame, self.id)
        text = frame if isinstance(frame, str) else frame[:4_096].hex()
        decision = front.faults.ask(Point.IN, text, self.id)
        before = front.faults.cut("C2", text, self.id)
        if decision.expire_tokens or before.expire_tokens:
            front.service.control("expire_tokens", {})
        return decision, before

    def _act(self, frame: bytes | str, decision: Decision, before: Decision) -> None:
        """The service has the frame, unless the plan has it otherwise."""
        if self._ends(decision) or self._ends(before) or decision.half_open or not decision.copies:
            return
        if self._open:
            self._front.service.receive(self, frame)

    def _wake(self) -> None:
        """The queue changed."""
        raise NotImplementedError

    def _tear(self) -> None:
        """The peer sees a reset."""
        raise NotImplementedError

    # --- inside

    def _ends(self, decision: Decision) -> bool:
        if decision.reset:
            self.reset()
        elif decision.close is not None:
            self.close(*decision.close)
        return decision.reset or decision.close is not None

    def _put(self, item: Outgoing) -> None:
        self._queue.append(item)
        self._wake()
        if len(self._queue) > self._front.rules.backlog:
            self._cut_off(CloseKind.SLOW)

    def _send_late(self, frame: bytes | str, label: str, at_ns: int) -> None:
        def put() -> None:
            self._late.pop(timer, None)
            if self._open:
                self._put(Outgoing(frame, label))

        timer = self._front.clock.call_at(at_ns, put)
        self._late[timer] = None

    def _keep_for_later(self, frame: bytes | str, label: str, delay_ns: int) -> None:
        """A door that can deliver after the end of a stream keeps the frame; here it is lost."""

    def _cut_off(self, kind: CloseKind) -> None:
        if self._ended is None:
            self._ended = (kind, ABNORMAL)
        self._open = False
        self._queue.clear()
        self._wake()
        self._tear()

    # --- keepalive

    def _schedule_ping(self) -> None:
        rules, clock = self._front.rules, self._front.clock
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None
        if rules.ping_ms > 0 and self._open:
            self._ping_timer = clock.call_at(clock.mono_ns() + rules.ping_ms * _MS_NS, self._ping)

    def _ping(self) -> None:
        rules, clock = self._front.rules, self._front.clock
        if self._front.faults.silenced(self.id).half_open:
            # A silent peer neither pings nor notices that nobody answers.
            self._schedule_ping()
            return
        self._put(Outgoing())
        self._ping_timer = clock.call_at(
            clock.mono_ns() + rules.pong_ms * _MS_NS, lambda: self._cut_off(CloseKind.NO_PONG)
        )

    def _stop_timers(self) -> None:
        for timer in (self._ping_timer, *self._late):
            if timer is not None:
                timer.cancel()
        self._late.clear()
