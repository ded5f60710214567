"""Fault plans as JSON data, for the control door and for files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from venuekit.sim.errors import BadFaultPlan
from venuekit.sim.faults import (
    PRODUCED,
    AtCut,
    AtTime,
    Chance,
    Fault,
    FaultKind,
    Nth,
    Point,
    Scope,
    Trigger,
    check_fault,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class _TriggerText(msgspec.Struct, forbid_unknown_fields=True):
    after_ms: int | None = None
    nth: int | None = None
    cut: str | None = None
    n: int = 1
    chance: float | None = None


class _ScopeText(msgspec.Struct, forbid_unknown_fields=True):
    points: list[Point] = []
    label: str = "*"
    connection: int | None = None


class _FaultText(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    trigger: _TriggerText = msgspec.field(default_factory=lambda: _TriggerText(nth=1))
    scope: _ScopeText = msgspec.field(default_factory=_ScopeText)
    times: int | None = None
    lasts_ms: int = 0
    status: int = 503
    retry_after: str | None = None
    headers: dict[str, str] = {}
    body: str = ""
    content_type: str | None = "application/json"
    code: int = 1001
    reason: str = ""
    delay_ms: int = 0
    jitter_ms: int = 0
    keep_bytes: int = 1
    bytes_per_sec: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    shift_ms: int = 0
    drift_ppm: int = 0


def parse_fault(data: object, produced: Mapping[FaultKind, tuple[Point, ...]] = PRODUCED) -> Fault:
    """A fault from JSON data, e.g. {"kind": "F06", "trigger": {"nth": 3}, "code": 1012}.

    `kind` is the number or the name; triggers are {"after_ms": n}, {"nth": n}, {"cut": "C3", "n": 1} and
    {"chance": p}, by default the next match. Raises BadFaultPlan or UnsupportedFault.
    """
    try:
        text = msgspec.convert(data, _FaultText)
    except msgspec.ValidationError as error:
        raise BadFaultPlan(str(error)) from error
    fault = Fault(
        kind=_kind(text.kind),
        trigger=_trigger(text.trigger),
        scope=Scope(
            points=frozenset(text.scope.points), label=text.scope.label, connection=text.scope.connection
        ),
        times=text.times,
        lasts_ms=text.lasts_ms,
        status=text.status,
        retry_after=text.retry_after,
        headers=text.headers,
        body=text.body.encode(),
        content_type=text.content_type,
        code=text.code,
        reason=text.reason,
        delay_ms=text.delay_ms,
        jitter_ms=text.jitter_ms,
        keep_bytes=text.keep_bytes,
        bytes_per_sec=text.bytes_per_sec,
        shift_ms=text.shift_ms,
        drift_ppm=text.drift_ppm,
    )
    check_fault(fault, produced)
    return fault


def _kind(text: str) -> FaultKind:
    for kind in FaultKind:
        if text.upper() in (kind.value, kind.name):
            return kind
    raise BadFaultPlan(f"{text!r} is no fault kind")


def _trigger(text: _TriggerText) -> Trigger:
    if text.after_ms is not None and text.after_ms >= 0:
        return AtTime(text.after_ms)
    if text.nth is not None and text.nth >= 1:
        return Nth(text.nth)
    if text.cut is not None:
        return AtCut(text.cut, text.n)
    if text.chance is not None and 0 <= text.chance <= 1:
        return Chance(text.chance)
    raise BadFaultPlan("a trigger is one of after_ms (0 or more), nth (1 or more), cut, chance (0 to 1)")
