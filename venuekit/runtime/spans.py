"""One OpenTelemetry span a command (extra `tracing`), from the hook that took it to its reply.

Only the API is used: where spans go is the business of the provider that the user's program sets up, and
without one they cost almost nothing and go nowhere. Nothing here can keep a command from its way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import frozen
from opentelemetry import trace

from venuekit.interfaces.orders import RefusedOutcome

if TYPE_CHECKING:
    from venuekit.interfaces.orders import Prepared, Stamp, Verdict
    from venuekit.interfaces.request import Evidence
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.dispatcher import Job, Listener

MAX_ORDERS = 16
"""A span names this many orders at most."""


class OpenTelemetrySpans:
    """Spans `venuekit.submit`, `venuekit.modify` and `venuekit.cancel`; ids and outcomes, never a payload."""

    def __init__(
        self,
        *,
        venue: str,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        tracer: trace.Tracer | None = None,
    ) -> None:
        """`tracer` None: the one of the global provider."""
        self._venue = venue
        self._clock = clock
        self._counters = counters
        self._log = log
        self._tracer = tracer or trace.get_tracer("venuekit")
        self._open: dict[Job, trace.Span] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, job: Job) -> None:
        """The command was taken: its span is open."""
        with self._guard():
            self._open[job] = self._tracer.start_span(
                f"venuekit.{job.kind.value}",
                kind=trace.SpanKind.CLIENT,
                start_time=self._clock.wall_ns(),
                attributes={
                    "venuekit.venue": self._venue,
                    "venuekit.operation": job.draft.op,
                    "venuekit.orders": list(job.keys[:MAX_ORDERS]),
                    "venuekit.order_count": len(job.keys),
                },
            )

    def watch(self, listener: Listener) -> Listener:
        """A listener that hears everything first and then notes it on the spans."""
        return _Watched(listener, self)

    def step(self, job: Job, name: str) -> None:
        """The span has one event more."""
        with self._guard():
            if (span := self._open.get(job)) is not None:
                span.add_event(name, timestamp=self._clock.wall_ns())

    def end(self, job: Job, outcome: str, *, why: str = "", code: str = "") -> None:
        """The span is closed; `why` marks it as an error."""
        with self._guard():
            span = self._open.pop(job, None)
            if span is None:
                return
            span.set_attribute("venuekit.outcome", outcome)
            if code:
                span.set_attribute("venuekit.code", code)
            if why:
                span.set_status(trace.Status(trace.StatusCode.ERROR, why[:200]))
            span.end(self._clock.wall_ns())

    def close(self) -> None:
        """Spans of commands that nobody answered are closed as such."""
        for job in list(self._open):
            self.end(job, "stopped", why="the client stopped before an answer came")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001 - see below
            # Processors and samplers are the user's own code: a command must not feel what they raise.
            self._counters.inc("telemetry.span_failed")
            self._log.info("a span could not be written", exc_info=True)


@frozen
class _Watched:
    """See `Listener`."""

    _inner: Listener
    _spans: OpenTelemetrySpans

    def on_prepared(self, job: Job, prepared: Prepared, stamp: Stamp) -> None:
        self._inner.on_prepared(job, prepared, stamp)
        self._spans.step(job, "prepared")

    def on_repeated(self, job: Job) -> None:
        self._inner.on_repeated(job)
        self._spans.step(job, "repeated")

    def on_replied(self, job: Job, prepared: Prepared, verdict: Verdict) -> None:
        def note() -> None:
            outcomes = [verdict.of(key) for key in job.keys] or [verdict.whole]
            names = sorted({type(one).__name__.removesuffix("Outcome").lower() for one in outcomes})
            codes = sorted({one.code for one in outcomes if isinstance(one, RefusedOutcome)})
            why = "" if names in (["accepted"], ["received"]) else f"the reply says: {', '.join(names)}"
            self._spans.end(job, ",".join(names), why=why, code=",".join(codes))

        self._then(note, lambda: self._inner.on_replied(job, prepared, verdict))

    def on_failed(self, job: Job, evidence: Evidence, why: str) -> None:
        self._then(
            lambda: self._spans.end(job, evidence.value, why=why or evidence.value),
            lambda: self._inner.on_failed(job, evidence, why),
        )

    def on_dropped(self, job: Job) -> None:
        self._then(lambda: self._spans.end(job, "dropped"), lambda: self._inner.on_dropped(job))

    def _then(self, note: Callable[[], None], hear: Callable[[], None]) -> None:
        """The order comes first; its span is closed even when hearing of it raises."""
        try:
            hear()
        finally:
            note()
