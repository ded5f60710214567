"""One span a command, read back through the SDK of another project."""

from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from venuekit.errors import SendFailed
from venuekit.interfaces.manifest import NonceRule
from venuekit.interfaces.orders import Accepted, Draft, Prepared, Received, RefusedOutcome, Unknown, Verdict
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Evidence, HttpRequest, Reply
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.dispatcher import CommandKind, Dispatcher, Job
from venuekit.runtime.signing import SigningRoom
from venuekit.runtime.spans import OpenTelemetrySpans
from venuekit.runtime.telemetry import CounterTable

MS = 1_000_000
LOG = logging.getLogger("venuekit.test")


class Heard:
    """The listener behind the spans; `broken` makes every call raise."""

    def __init__(self):
        self.log, self.broken = [], False

    def _hear(self, word):
        self.log.append(word)
        if self.broken:
            raise RuntimeError("the listener broke")

    def on_prepared(self, job, prepared, stamp):
        self._hear("prepared")

    def on_repeated(self, job):
        self._hear("repeated")

    def on_replied(self, job, prepared, verdict):
        self._hear("replied")

    def on_failed(self, job, evidence, why):
        self._hear(f"failed {evidence.value}")

    def on_dropped(self, job):
        self._hear("dropped")


class Codec:
    def __init__(self, verdict):
        self.verdicts, self.same_bytes = verdict, False

    def to_sign(self, draft, stamp):
        return None

    def encode(self, draft, stamp, signed):
        request = HttpRequest(draft.op, "POST", "/x", headers={"secret": "planted"}, body=b"planted")
        return Prepared(request, {}, same_bytes_safe=self.same_bytes)

    def verdict(self, prepared, reply):
        return self.verdicts


class Port:
    """Takes 5 ms; each answer is a reply, an error, or None: none at all."""

    def __init__(self, clock, *answers):
        self.clock, self.answers = clock, list(answers)

    async def send(self, request, *, on_sent=lambda: None):
        await self.clock.sleep_until(self.clock.mono_ns() + 5 * MS)
        answer = self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Pacer:
    async def permit(self, op, within_ns=None):
        pass

    def apply_height(self, height):
        pass


OK = Reply(200, b"")


def trial(verdict=None, answers=(OK,), *, processor=None, prepare=None, gone=False, keys=("A",)):
    """Run one submit to its end; the finished spans, the listener, the counters."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(processor or SimpleSpanProcessor(exporter))
    heard, counters, clock = Heard(), CounterTable(), ManualClock()

    async def run():
        spans = OpenTelemetrySpans(
            venue="toy", clock=clock, counters=counters, log=LOG, tracer=provider.get_tracer("t")
        )
        codec = Codec(verdict or Verdict(Received(WireIds())))
        dispatcher = Dispatcher(
            codec=codec,
            ports={"rest": Port(clock, *answers)},
            pacer=Pacer(),
            signing=SigningRoom(None, clock),
            nonces=NonceRule(),
            clock=clock,
            counters=counters,
            log=LOG,
            listener=heard,
            on_token_refused=lambda: None,
            spans=spans,
        )
        if prepare is not None:
            prepare(codec, heard)
        draft = Draft("submit", keys, "lane", "rest", None)
        dispatcher.put(Job(CommandKind.SUBMIT, keys, draft, lambda: None if gone else draft))
        await clock.run_for(50 * MS)
        await dispatcher.close()
        assert len(spans) == 0

    asyncio.run(run())
    return exporter.get_finished_spans(), heard, counters


def only(spans):
    (span,) = spans
    return span


def test_a_command_is_one_span_from_hook_to_reply_on_our_clock():
    spans, heard, _ = trial()
    span = only(spans)
    assert span.name == "venuekit.submit"
    assert dict(span.attributes) == {
        "venuekit.venue": "toy",
        "venuekit.operation": "submit",
        "venuekit.orders": ("A",),
        "venuekit.order_count": 1,
        "venuekit.outcome": "received",
    }
    assert span.end_time - span.start_time == 5 * MS
    assert [event.name for event in span.events] == ["prepared"]
    assert span.status.status_code is StatusCode.UNSET
    assert heard.log == ["prepared", "replied"]
    assert "planted" not in span.to_json()


@pytest.mark.parametrize(
    ("verdict", "outcome", "code", "bad"),
    [
        (Verdict(Accepted(None)), "accepted", None, False),
        (Verdict(RefusedOutcome("MARGIN", "too little")), "refused", "MARGIN", True),
        (Verdict(Unknown("?")), "unknown", None, True),
        (Verdict(Received(WireIds()), {"B": Unknown("?")}), "received,unknown", None, True),
    ],
)
def test_the_outcome_is_what_the_reply_proves(verdict, outcome, code, bad):
    span = only(trial(verdict, keys=("A", "B"))[0])
    assert span.attributes["venuekit.outcome"] == outcome
    assert span.attributes.get("venuekit.code") == code
    assert (span.status.status_code is StatusCode.ERROR) is bad


@pytest.mark.parametrize("evidence", [Evidence.NOT_SENT, Evidence.MAYBE_SENT])
def test_a_command_without_a_reply_says_what_may_have_left(evidence):
    spans, heard, _ = trial(answers=[SendFailed("broken", evidence=evidence)])
    span = only(spans)
    assert span.attributes["venuekit.outcome"] == evidence.value
    assert span.status.status_code is StatusCode.ERROR
    assert heard.log[-1] == f"failed {evidence.value}"


def test_a_dropped_command_and_one_that_nobody_answered_end_too():
    assert only(trial(gone=True)[0]).attributes["venuekit.outcome"] == "dropped"
    assert only(trial(answers=[None])[0]).attributes["venuekit.outcome"] == "stopped"


def test_the_same_bytes_twice_are_one_span():
    def prepare(codec, heard):
        codec.same_bytes = True

    lost = SendFailed("lost", evidence=Evidence.MAYBE_SENT)
    span = only(trial(answers=[lost, OK], prepare=prepare)[0])
    assert [event.name for event in span.events] == ["prepared", "repeated"]


def test_a_listener_that_raises_leaves_no_span_open():
    def prepare(codec, heard):
        heard.broken = True

    spans, _, _ = trial(prepare=prepare)
    assert only(spans).attributes["venuekit.outcome"] == "not_sent"


class Hostile(SpanProcessor):
    """What a user's own code may do."""

    def on_start(self, span, parent_context=None):
        raise RuntimeError("no")

    def on_end(self, span):
        raise RuntimeError("no")


def test_a_processor_that_raises_cannot_keep_a_command_from_its_way():
    _, heard, counters = trial(processor=Hostile())
    assert heard.log == ["prepared", "replied"]
    assert counters.get("telemetry.span_failed") >= 1


def test_a_span_names_a_bounded_number_of_orders():
    span = only(trial(keys=tuple(f"O{n}" for n in range(40)))[0])
    assert len(span.attributes["venuekit.orders"]) == 16
    assert span.attributes["venuekit.order_count"] == 40
