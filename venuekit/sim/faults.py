"""Fault plans as data: what goes wrong, when, for whom, and for how long.

The doors ask the plan about every connect, request and frame and obey its `Decision`. Numbers F01 to F24 are
those of the conformance specification; what a simulator cannot produce is refused with `UnsupportedFault`.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from fnmatch import fnmatchcase
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from venuekit.sim.door import Response
from venuekit.sim.errors import UnsupportedFault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from venuekit.interfaces.time import Cancel, Clock

_MS_NS = 1_000_000
_LABEL = 4_096


class FaultKind(Enum):
    """All kinds of the specification; `PRODUCED` says which of them the simulator carries out."""

    REFUSE_CONNECT = "F01"
    BLACK_HOLE_CONNECT = "F02"
    NAME_RESOLUTION = "F03"
    TLS = "F04"
    RESET = "F05"
    CLOSE = "F06"
    HALF_OPEN = "F07"
    MUTE = "F08"
    LATENCY = "F09"
    BANDWIDTH = "F10"
    SPLIT = "F11"
    TRUNCATE = "F12"
    CORRUPT = "F13"
    DUPLICATE = "F14"
    REORDER = "F15"
    DROP = "F16"
    LATE_FRAME = "F17"
    TOO_MANY = "F18"
    SERVER_ERROR = "F19"
    LATE_REPLY = "F20"
    EXPIRE_TOKENS = "F21"
    CLOCK_JUMP = "F22"
    SLOW_CONSUMER = "F23"
    PROCESS_KILL = "F24"


class Point(Enum):
    """Where the plan is asked: a stream's handshake, an HTTP request, a frame from or to the client."""

    CONNECT = "connect"
    REQUEST = "request"
    IN = "in"
    OUT = "out"


BLACK_HOLE = "black hole"
_ALL = tuple(Point)
_FRAMES = (Point.IN, Point.OUT)
_HTTP = (Point.REQUEST, Point.CONNECT)

PRODUCED: Mapping[FaultKind, tuple[Point, ...]] = {
    FaultKind.REFUSE_CONNECT: (Point.CONNECT,),
    FaultKind.RESET: _ALL,
    FaultKind.CLOSE: _FRAMES,
    FaultKind.HALF_OPEN: _FRAMES,
    FaultKind.MUTE: _FRAMES,
    FaultKind.LATENCY: _ALL,
    FaultKind.TRUNCATE: (Point.OUT, Point.REQUEST),
    FaultKind.DUPLICATE: (Point.OUT,),
    FaultKind.DROP: _FRAMES,
    FaultKind.TOO_MANY: _HTTP,
    FaultKind.SERVER_ERROR: _HTTP,
    FaultKind.LATE_REPLY: (Point.REQUEST, Point.OUT),
    FaultKind.EXPIRE_TOKENS: (Point.REQUEST, Point.IN),
    FaultKind.BANDWIDTH: (Point.OUT, Point.REQUEST),
    FaultKind.CORRUPT: (Point.OUT, Point.REQUEST),
    FaultKind.REORDER: (Point.OUT,),
}
"""Kinds every door carries out, and where. A scope without points means all of these."""

IN_PIPES: Mapping[FaultKind, tuple[Point, ...]] = {
    **PRODUCED,
    FaultKind.REFUSE_CONNECT: (Point.CONNECT, Point.REQUEST),
    FaultKind.BLACK_HOLE_CONNECT: (Point.CONNECT, Point.REQUEST),
    FaultKind.NAME_RESOLUTION: (Point.CONNECT, Point.REQUEST),
    FaultKind.TLS: (Point.CONNECT, Point.REQUEST),
    FaultKind.SPLIT: (Point.OUT, Point.REQUEST),
    FaultKind.LATE_FRAME: (Point.OUT,),
}
"""What the door in memory carries out: there is a network between it and the client that it can fake."""

OUTSIDE: Mapping[FaultKind, tuple[Point, ...]] = dict.fromkeys(
    (FaultKind.CLOCK_JUMP, FaultKind.SLOW_CONSUMER, FaultKind.PROCESS_KILL), _ALL
)
"""What befalls the client itself: the plan only says when, and whoever holds both sides carries it out."""

_UNREACHABLE = {
    FaultKind.BLACK_HOLE_CONNECT: BLACK_HOLE,
    FaultKind.NAME_RESOLUTION: "the name cannot be resolved",
    FaultKind.TLS: "the TLS handshake failed",
}

_LASTING = (FaultKind.MUTE, FaultKind.HALF_OPEN)


@frozen(kw_only=True)
class Scope:
    """Which asks count; empty fields match everything.

    `label` is a glob over: "METHOD /path" of a request or handshake, the text of an incoming frame (its first
    4,096 characters), the label the service gave an outgoing frame.
    """

    points: frozenset[Point] = frozenset()
    label: str = "*"
    connection: int | None = None


@frozen
class AtTime:
    """`after_ms` after the plan took the fault: acts on streams open then, and on all that matches from then
    on.
    """

    after_ms: int


@frozen
class Nth:
    """The n-th ask that matches (1 = the next), and the following ones while it lasts."""

    n: int


@frozen
class AtCut:
    """The n-th matching report of this cut point (C1 to C12), and the following ones while it lasts."""

    name: str
    n: int = 1


@frozen
class Chance:
    """Each matching ask with probability p, from the plan's seeded generator."""

    p: float


type Trigger = AtTime | Nth | AtCut | Chance


@frozen(kw_only=True)
class Fault:
    """One row of a plan.

    `times` bounds how often it acts (None: once without `lasts_ms` and for a chance no bound), `lasts_ms` how
    long after its trigger (0: no bound). What a kind does not use is ignored: `status`, `retry_after`,
    `headers`, `body`, `content_type` (F18, F19), `code` and `reason` (F06), `delay_ms` and `jitter_ms` (F09,
    F11, F15, F17, F20), `keep_bytes` (F12), `bytes_per_sec` (F10), `shift_ms` and `drift_ppm` (F22),
    `delay_ms` (F23).
    """

    kind: FaultKind
    trigger: Trigger
    scope: Scope = Scope()
    times: int | None = None
    lasts_ms: int = 0
    status: int = 503
    retry_after: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    content_type: str | None = "application/json"
    code: int = 1001
    reason: str = ""
    delay_ms: int = 0
    jitter_ms: int = 0
    keep_bytes: int = 1
    bytes_per_sec: int = 1_000
    shift_ms: int = 0
    drift_ppm: int = 0

    @property
    def bound(self) -> int | None:
        """How often it acts at most."""
        unbound = self.lasts_ms or isinstance(self.trigger, Chance) or self.shuts_the_port
        return self.times if self.times is not None or unbound else 1

    @property
    def shuts_the_port(self) -> bool:
        """True for a timed F01: nobody connects while it lasts. Other triggers reset a handshake."""
        return self.kind is FaultKind.REFUSE_CONNECT and isinstance(self.trigger, AtTime)


@define(kw_only=True)
class Decision:
    """What a door must do now. Several faults may add up in one decision."""

    refuse: bool = False
    refuse_until_ns: int | None = None
    """Monotonic end of a refusal that closes the listening socket."""
    reset: bool = False
    close: tuple[int, str] | None = None
    half_open: bool = False
    mute: bool = False
    copies: int = 1
    keep_bytes: int | None = None
    delay_ns: int = 0
    answer: Response | None = None
    reply_delay_ns: int = 0
    expire_tokens: bool = False
    bytes_per_sec: int = 0
    corrupt: bool = False
    haunts: bool = False
    """The frame comes after the end of its stream, `reply_delay_ns` after the next one opened."""
    unreachable: str = ""
    """Why nothing of a connect or request arrives; "black hole": nobody says so either."""

    def bytes_ns(self, size: int) -> int:
        """How long `size` bytes take on a line that was made narrow."""
        return size * 1_000_000_000 // self.bytes_per_sec if self.bytes_per_sec else 0

    @property
    def clean(self) -> bool:
        """True when nothing goes wrong."""
        return self == Decision()


@define
class _Armed:
    number: int
    fault: Fault
    matches: int = 0
    acted: int = 0
    live_at_ns: int | None = None
    timer: Cancel | None = None

    points: Collection[Point] = ()

    def wants(self, point: Point, label: str, connection: int | None) -> bool:
        return point in self.points and self.fits(label, connection)

    def fits(self, label: str, connection: int | None) -> bool:
        scope = self.fault.scope
        if scope.connection is not None and scope.connection != connection:
            return False
        return scope.label == "*" or fnmatchcase(label[:_LABEL], scope.label)

    def spent(self, now_ns: int) -> bool:
        fault = self.fault
        over = bool(fault.lasts_ms) and self.live_at_ns is not None
        if over and now_ns > (self.live_at_ns or 0) + fault.lasts_ms * _MS_NS:
            return True
        return fault.bound is not None and self.acted >= fault.bound

    def due(self, n: int, now_ns: int) -> bool:
        """Count this match; true when the trigger has fired and the fault is not spent."""
        self.matches += 1
        if self.live_at_ns is None and self.matches >= n:
            self.live_at_ns = now_ns
        return self.live_at_ns is not None and not self.spent(now_ns)


@define
class _Suspension:
    number: int
    connection: int
    kind: FaultKind
    until_ns: int | None


class FaultPlan:
    """The faults in force, asked by the doors."""

    def __init__(
        self,
        clock: Clock,
        seed: int = 0,
        produced: Mapping[FaultKind, tuple[Point, ...]] = PRODUCED,
    ) -> None:
        """`produced`: what the door that asks can carry out."""
        self.produced = produced
        self.outside: Callable[[Fault], None] = _nobody
        """Carries out what is `OUTSIDE`."""
        self.passed: Counter[str] = Counter()
        """How often each cut point was reached, with a fault or without."""
        self._clock = clock
        self._random = Random(f"{seed}:faults")
        self._armed: dict[int, _Armed] = {}
        self._number = 0
        self._open: dict[int, str] = {}
        self._suspensions: list[_Suspension] = []
        self._history: list[tuple[int, int, str]] = []
        self._act: Callable[[Decision, int | None], None] | None = None

    def add(self, fault: Fault) -> int:
        """The fault is armed; its number serves `lift`. Raises UnsupportedFault."""
        check_fault(fault, self.produced)
        self._number += 1
        points = fault.scope.points or self.produced[fault.kind]
        armed = _Armed(self._number, fault, points=points)
        self._armed[armed.number] = armed
        now_ns = self._clock.mono_ns()
        if isinstance(fault.trigger, AtTime):
            due_ns = now_ns + fault.trigger.after_ms * _MS_NS
            armed.timer = self._clock.call_at(due_ns, lambda: self._fire(armed))
        elif isinstance(fault.trigger, Chance):
            armed.live_at_ns = now_ns
        return armed.number

    def lift(self, number: int) -> None:
        """The fault acts no more; streams it had silenced work again."""
        armed = self._armed.pop(number, None)
        if armed is not None and armed.timer is not None:
            armed.timer.cancel()
        self._suspensions = [one for one in self._suspensions if one.number != number]
        if self._act is not None:
            self._act(Decision(), None)

    def clear(self) -> None:
        """No fault is armed."""
        for number in tuple(self._armed):
            self.lift(number)

    def refuses(self) -> bool:
        """True while a timed F01 keeps the listening socket closed."""
        now_ns = self._clock.mono_ns()
        return any(
            one.fault.shuts_the_port and one.live_at_ns is not None and not one.spent(now_ns)
            for one in self._armed.values()
        )

    def connected(self, connection: int, label: str) -> None:
        """A stream is open: time triggers can reach it from now on."""
        self._open[connection] = label

    def gone(self, connection: int) -> None:
        """The stream is over."""
        self._open.pop(connection, None)
        self._suspensions = [one for one in self._suspensions if one.connection != connection]

    def ask(self, point: Point, label: str, connection: int | None = None) -> Decision:
        """What to do with this connect, request or frame."""
        decision = Decision()
        if not self._armed:
            return decision
        now_ns = self._clock.mono_ns()
        for armed in tuple(self._armed.values()):
            if armed.wants(point, label, connection) and self._due(armed, now_ns):
                self._enact(armed, decision, f"{point.value} {label[:80]}", connection)
        self._silence(decision, connection, now_ns)
        return decision

    def cut(self, name: str, label: str = "", connection: int | None = None) -> Decision:
        """What to do at this cut point, which the door or the service has just reached."""
        decision = Decision()
        self.passed[name] += 1
        for armed in tuple(self._armed.values()):
            trigger = armed.fault.trigger
            if not isinstance(trigger, AtCut) or trigger.name != name or not armed.fits(label, connection):
                continue
            if armed.due(trigger.n, self._clock.mono_ns()):
                self._enact(armed, decision, f"{name} {label[:80]}", connection)
        return decision

    def silenced(self, connection: int) -> Decision:
        """Only whether this stream is mute or half-open now."""
        decision = Decision()
        self._silence(decision, connection, self._clock.mono_ns())
        return decision

    def on_time(self, act: Callable[[Decision, int | None], None]) -> None:
        """`act` is called when a time trigger fires: once per open stream in scope, or once with None for
        what is not about a stream (token expiry, refused connects, and an empty decision after a lift).
        """
        self._act = act

    @property
    def history(self) -> Sequence[tuple[int, int, str]]:
        """(wall ns, fault number, where) of every time a fault acted."""
        return tuple(self._history)

    def corrupted_text(self, frame: str) -> str:
        """The text with one character overwritten by a NUL, which JSON allows nowhere."""
        at = self._random.randrange(max(1, len(frame)))
        return frame[:at] + "\0" + frame[at + 1 :]

    def corrupted(self, frame: bytes) -> bytes:
        """The same for JSON in bytes; of any other frame one of the first eight bytes is inverted, which hold
        its type and layout. No decoder can take either for another message.
        """
        at = self._random.randrange(max(1, len(frame)))
        if frame[:1] in (b"{", b"["):
            return frame[:at] + b"\0" + frame[at + 1 :]
        at %= 8
        return frame[:at] + bytes(~byte & 255 for byte in frame[at : at + 1]) + frame[at + 1 :]

    def _due(self, armed: _Armed, now_ns: int) -> bool:
        trigger = armed.fault.trigger
        if isinstance(trigger, Nth):
            return armed.due(trigger.n, now_ns)
        if isinstance(trigger, Chance):
            return not armed.spent(now_ns) and self._random.random() < trigger.p
        return isinstance(trigger, AtTime) and armed.live_at_ns is not None and not armed.spent(now_ns)

    def _fire(self, armed: _Armed) -> None:
        """A time trigger's moment: act on what is open; later asks meet the fault while it lasts."""
        armed.timer = None
        armed.live_at_ns = self._clock.mono_ns()
        fault = armed.fault
        if fault.kind in (FaultKind.EXPIRE_TOKENS, FaultKind.REFUSE_CONNECT, *OUTSIDE):
            self._carry_out(armed, None)
        elif fault.kind in (FaultKind.RESET, FaultKind.CLOSE, *_LASTING):
            reached = [one for one, label in self._open.items() if armed.fits(label, one)]
            for connection in reached:
                self._carry_out(armed, connection)
            # One blow reaches all that is open; those that connect later are only met while it lasts.
            if reached and not fault.lasts_ms and fault.bound is not None:
                armed.acted = max(armed.acted, fault.bound)

    def _carry_out(self, armed: _Armed, connection: int | None) -> None:
        decision = Decision()
        self._enact(armed, decision, "time", connection)
        if self._act is not None:
            self._act(decision, connection)

    def _enact(self, armed: _Armed, decision: Decision, where: str, connection: int | None) -> None:
        armed.acted += 1
        self._history.append((self._clock.wall_ns(), armed.number, where))
        fault = armed.fault
        if fault.kind in OUTSIDE:
            self.outside(fault)
            return
        until_ns = self._clock.mono_ns() + fault.lasts_ms * _MS_NS if fault.lasts_ms else None
        if fault.kind in _LASTING and connection is not None:
            self._suspensions.append(_Suspension(armed.number, connection, fault.kind, until_ns))
        _put(fault, decision, fault.delay_ms * _MS_NS + self._jitter_ns(fault), until_ns)

    def _jitter_ns(self, fault: Fault) -> int:
        return self._random.randrange(fault.jitter_ms * _MS_NS) if fault.jitter_ms else 0

    def _silence(self, decision: Decision, connection: int | None, now_ns: int) -> None:
        for one in self._suspensions:
            if one.connection == connection and (one.until_ns is None or now_ns <= one.until_ns):
                decision.mute |= one.kind is FaultKind.MUTE
                decision.half_open |= one.kind is FaultKind.HALF_OPEN


def _nobody(_fault: Fault) -> None:
    """Nobody holds both sides."""


def check_fault(fault: Fault, produced: Mapping[FaultKind, tuple[Point, ...]] = PRODUCED) -> None:
    """Raises UnsupportedFault when the simulator cannot carry this fault out at these points."""
    points = produced.get(fault.kind)
    if points is None:
        raise UnsupportedFault(f"the simulator does not produce {fault.kind.value} ({fault.kind.name})")
    strange = [one.value for one in fault.scope.points if one not in points]
    if strange:
        raise UnsupportedFault(f"{fault.kind.value} does not act at {', '.join(sorted(strange))}")


def _put(fault: Fault, decision: Decision, delay_ns: int, until_ns: int | None) -> None:
    """What the kind adds to a decision."""
    match fault.kind:
        case FaultKind.LATENCY | FaultKind.SPLIT:
            decision.delay_ns += delay_ns
        case FaultKind.LATE_REPLY | FaultKind.REORDER:
            decision.reply_delay_ns += delay_ns
        case FaultKind.LATE_FRAME:
            decision.haunts = True
            decision.reply_delay_ns += delay_ns
        case FaultKind.BANDWIDTH:
            decision.bytes_per_sec = fault.bytes_per_sec
        case FaultKind.CORRUPT:
            decision.corrupt = True
        case FaultKind.BLACK_HOLE_CONNECT | FaultKind.NAME_RESOLUTION | FaultKind.TLS:
            decision.unreachable = _UNREACHABLE[fault.kind]
        case FaultKind.TRUNCATE:
            decision.keep_bytes = fault.keep_bytes
        case FaultKind.DUPLICATE:
            decision.copies += 1
        case FaultKind.DROP:
            decision.copies = 0
        case FaultKind.TOO_MANY | FaultKind.SERVER_ERROR:
            decision.answer = fault_answer(fault)
        case FaultKind.EXPIRE_TOKENS:
            decision.expire_tokens = True
        case _:
            _put_break(fault, decision, until_ns)


def _put_break(fault: Fault, decision: Decision, until_ns: int | None) -> None:
    """The kinds that end or silence a connection."""
    match fault.kind:
        case FaultKind.REFUSE_CONNECT:
            decision.refuse = True
            decision.refuse_until_ns = until_ns
        case FaultKind.RESET:
            decision.reset = True
        case FaultKind.CLOSE:
            decision.close = (fault.code, fault.reason)
        case FaultKind.HALF_OPEN:
            decision.half_open = True
        case FaultKind.MUTE:
            decision.mute = True
        case _:
            raise UnsupportedFault(fault.kind.value)


def fault_answer(fault: Fault) -> Response:
    """The answer of an F18 or F19, with the status, headers and body of the plan."""
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = fault.retry_after
    status = 429 if fault.kind is FaultKind.TOO_MANY else fault.status
    return Response(status=status, body=fault.body, headers=headers, content_type=fault.content_type)
