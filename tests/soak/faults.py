"""What goes wrong in a soak: faults drawn from a seed, over all that the simulator produces."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

type Call = tuple[str, dict[str, Any]]
"""A verb of the control door and its arguments."""

MAINTENANCE = "<html><head><title>503</title></head><body>Service Temporarily Unavailable</body></html>"


def _reset(random: Random, most_ms: int) -> Call:
    return "fault", {"kind": "F05", "trigger": {"after_ms": 0}}


def _close(random: Random, most_ms: int) -> Call:
    return "fault", {
        "kind": "F06",
        "trigger": {"after_ms": 0},
        "code": random.choice((1000, 1001, 1011, 1012)),
    }


def _refuse(random: Random, most_ms: int) -> Call:
    lasts = random.randint(most_ms // 10, most_ms // 2)
    rows = [
        {"kind": "F05", "trigger": {"after_ms": 1}},
        {"kind": "F01", "trigger": {"after_ms": 0}, "lasts_ms": lasts},
    ]
    return "fault", {"plan": rows}


def _lasting(kind: str) -> Callable[[Random, int], Call]:
    def made(random: Random, most_ms: int) -> Call:
        row: dict[str, Any] = {"kind": kind, "trigger": {"after_ms": 0}}
        return "fault", row | {"lasts_ms": random.randint(most_ms // 4, most_ms)}

    return made


def _latency(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {"kind": "F09", "trigger": {"after_ms": 0}, "lasts_ms": most_ms}
    return "fault", row | {"delay_ms": random.randint(5, 200), "jitter_ms": random.randint(1, 200)}


def _narrow(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {"kind": "F10", "trigger": {"after_ms": 0}, "lasts_ms": most_ms // 2}
    return "fault", row | {"bytes_per_sec": random.randint(5_000, 100_000)}


def _reorder(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {"kind": "F15", "trigger": {"chance": round(random.uniform(0.02, 0.2), 3)}}
    return "fault", row | {"delay_ms": random.randint(5, 500), "lasts_ms": most_ms // 2}


def _truncate(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {
        "kind": "F12",
        "trigger": {"nth": random.randint(1, 5)},
        "times": random.randint(1, 3),
    }
    return "fault", row | {"keep_bytes": random.randint(0, 60)}


def _some(kind: str, points: list[str], most: float) -> Callable[[Random, int], Call]:
    def made(random: Random, most_ms: int) -> Call:
        row: dict[str, Any] = {"kind": kind, "trigger": {"chance": round(random.uniform(0.02, most), 3)}}
        scope = {"points": [random.choice(points)]}
        return "fault", row | {"scope": scope, "lasts_ms": most_ms // 2}

    return made


def _too_many(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {"kind": "F18", "trigger": {"nth": 1}, "scope": {"points": ["request"]}}
    return "fault", row | {"times": random.randint(1, 5), "retry_after": random.choice((None, "1", "2"))}


def _server_error(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {
        "kind": "F19",
        "trigger": {"nth": 1},
        "status": random.choice((500, 502, 503, 504)),
    }
    where = {"points": [random.choice(("request", "connect"))]}
    page = {"body": MAINTENANCE, "content_type": "text/html", "times": random.randint(1, 5)}
    return "fault", row | page | {"scope": where}


def _late_reply(random: Random, most_ms: int) -> Call:
    row: dict[str, Any] = {
        "kind": "F20",
        "trigger": {"nth": random.randint(1, 3)},
        "times": random.randint(1, 3),
    }
    return "fault", row | {"delay_ms": random.randint(most_ms // 4, most_ms)}


def _tokens(random: Random, most_ms: int) -> Call:
    return "fault", {"kind": "F21", "trigger": {"after_ms": 0}}


def _drop_connections(random: Random, most_ms: int) -> Call:
    return "drop_connections", {}


KINDS: dict[str, Callable[[Random, int], Call]] = {
    "F01 refused connects": _refuse,
    "F05 reset": _reset,
    "F06 close": _close,
    "F07 half-open": _lasting("F07"),
    "F08 mute": _lasting("F08"),
    "F09 latency": _latency,
    "F10 narrow line": _narrow,
    "F12 truncated": _truncate,
    "F13 corrupted frames": _some("F13", ["out", "request"], 0.05),
    "F14 duplicated frames": _some("F14", ["out"], 0.5),
    "F15 frames overtaken": _reorder,
    "F16 dropped frames": _some("F16", ["in", "out"], 0.2),
    "F18 rate limited": _too_many,
    "F19 server errors": _server_error,
    "F20 late replies": _late_reply,
    "F21 tokens expired": _tokens,
    "connections dropped": _drop_connections,
}


def draws(seed: int, most_ms: int) -> Any:
    """(name, verb, arguments) without end: every kind comes once before any comes again."""
    random = Random(seed)
    while True:
        names = sorted(KINDS)
        random.shuffle(names)
        for name in names:
            yield (name, *KINDS[name](random, most_ms))
