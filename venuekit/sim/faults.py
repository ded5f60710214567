"""Fault plans as data: what goes wrong, when, for whom, and for how long.

The doors ask the plan about every connect, request and frame and obey its `Decision`. Numbers F01 to F24 are
those of the conformance specification; what a simulator cannot produce is refused with `UnsupportedFault`,
never ignored.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Response


class FaultKind(Enum):
    """All kinds of the specification."""

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
    """Where the plan is asked."""

    CONNECT = "connect"
    REQUEST = "request"
    IN = "in"
    OUT = "out"


@frozen(kw_only=True)
class Scope:
    """Which asks count. Empty fields match everything.

    `label` is a glob over: "METHOD /path" of a request or handshake, the text of an incoming frame (its first
    4,096 characters), the label the service gave an outgoing frame.
    """

    points: frozenset[Point] = frozenset()
    label: str = "*"
    connection: int | None = None


@frozen
class AtTime:
    """`after_ms` after the plan took the fault. Acts at once on what is open, and on all that matches while
    it lasts.
    """

    after_ms: int


@frozen
class Nth:
    """The n-th ask that matches (1 = the next), and the following ones while it lasts."""

    n: int


@frozen
class AtCut:
    """The n-th time the service reports this cut point (C1 to C12)."""

    name: str
    n: int = 1


@frozen
class Chance:
    """Each matching ask with probability p, from the plan's seeded generator."""

    p: float


Trigger = AtTime | Nth | AtCut | Chance


@frozen(kw_only=True)
class Fault:
    """One row of a plan. `times` bounds how often it acts (0: no bound), `lasts_ms` how long after its
    trigger (0: no bound). A field that the kind does not use is ignored: `status`, `headers`, `body`,
    `content_type` (F18, F19), `code` and `reason` (F06), `delay_ms` and `jitter_ms` (F09, F20), `keep_bytes`
    (F12).
    """

    kind: FaultKind
    trigger: Trigger
    scope: Scope = Scope()
    times: int = 1
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


@define(kw_only=True)
class Decision:
    """What a door must do now. Several faults may add up in one decision."""

    refuse: bool = False
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

    @property
    def clean(self) -> bool:
        """True when nothing goes wrong."""
        return self == Decision()


class FaultPlan:
    """The faults in force, asked by the doors."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        raise NotImplementedError

    def add(self, fault: Fault) -> int:
        """The fault is armed; its number serves `lift`. Raises UnsupportedFault."""
        raise NotImplementedError

    def lift(self, number: int) -> None:
        """The fault acts no more; what it suspended (mute, half-open) works again."""
        raise NotImplementedError

    def clear(self) -> None:
        """No fault is armed."""
        raise NotImplementedError

    def ask(self, point: Point, label: str, connection: int | None = None) -> Decision:
        """What to do with this connect, request or frame."""
        raise NotImplementedError

    def cut(self, name: str, connection: int | None = None) -> Decision:
        """The service reached this cut point."""
        raise NotImplementedError

    def on_time(self, act: Callable[[Decision, Scope], None]) -> None:
        """`act` is called when a time trigger fires, for what is open then (resets, closes, token expiry)."""
        raise NotImplementedError

    @property
    def history(self) -> Sequence[tuple[int, int, str]]:
        """(wall ns, fault number, where) of every time a fault acted."""
        raise NotImplementedError


def parse_fault(data: Mapping[str, object]) -> Fault:
    """A fault from JSON data, e.g. {"kind": "F06", "trigger": {"nth": 3}, "scope": {"points": ["out"]},
    "code": 1012}.

    Triggers: {"after_ms": n}, {"nth": n}, {"cut": "C3", "n": 1}, {"chance": p}. Raises BadFaultPlan,
    UnsupportedFault.
    """
    raise NotImplementedError
