"""Lanes, permits, stamps, nonces and evidence of the dispatcher, with a port the test holds in its hands."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from venuekit.errors import CaptureError, SendFailed
from venuekit.interfaces.manifest import (
    Bucket,
    NonceKind,
    NonceRule,
    Operation,
    OpKind,
    Priority,
    Scope,
    Seconds,
)
from venuekit.interfaces.orders import Draft, NonceFate, Prepared, Received, RefusedOutcome, Unknown, Verdict
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import Evidence, HttpRequest, Reply
from venuekit.interfaces.signer import Signed, SignRequest, Where
from venuekit.interfaces.time import AtWall
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.dispatcher import CommandKind, Dispatcher, Job
from venuekit.runtime.pacer import Pacer as RealPacer
from venuekit.runtime.signing import SigningRoom
from venuekit.runtime.telemetry import CounterTable

MS = 1_000_000


class Port:
    """Holds every request until the test hands it over, answers it, or breaks it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[object, object, asyncio.Future]] = []
        self.names: list[str] = []

    async def send(self, request, *, on_sent=lambda: None):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((request, on_sent, future))
        self.names.append(request.path)
        return await future

    def hand_over(self, place: int = 0) -> None:
        self.waiting[place][1]()

    def answer(self, body: bytes = b"ok", place: int = 0) -> None:
        _, on_sent, future = self.waiting.pop(place)
        on_sent()
        future.set_result(Reply(200, body))

    def break_off(self, evidence: Evidence, place: int = 0) -> None:
        self.waiting.pop(place)[2].set_exception(SendFailed("broken", evidence=evidence))


class Codec:
    """Names its requests after op, order and nonce; the reply's body is the verdict."""

    def __init__(self) -> None:
        self.signs = False
        self.same_bytes = False
        self.again_after_ns: int | None = None
        self.venue_nonces = [7, 9]
        self.stamps: list[object] = []

    def to_sign(self, draft, stamp):
        return SignRequest("toy", draft.op, {}) if self.signs else None

    def encode(self, draft, stamp, signed):
        self.stamps.append(stamp)
        path = f"{draft.op}:{','.join(draft.covers)}" + (f":{stamp.nonce}" if stamp.nonce is not None else "")
        limit = AtWall(stamp.wall_ns + self.again_after_ns) if self.again_after_ns is not None else None
        ids = {name: WireIds(client_order_id=name, nonce=stamp.nonce) for name in draft.covers}
        return Prepared(HttpRequest(draft.op, "POST", path), ids, limit, self.same_bytes)

    def verdict(self, prepared, reply):
        return {
            b"ok": Verdict(Received(WireIds())),
            b"free": Verdict(RefusedOutcome("NO", ""), nonce=NonceFate.FREE),
            b"stale": Verdict(RefusedOutcome("NONCE", "", nonce_stale=True), nonce=NonceFate.FREE),
            b"token": Verdict(RefusedOutcome("AUTH", "", rejects_token=True)),
            b"time": Verdict(RefusedOutcome("CLOCK", "", rejects_time=True)),
            b"what": Verdict(Unknown("?"), nonce=NonceFate.UNCERTAIN),
        }[reply.body]

    async def next_nonce(self, lane):
        return self.venue_nonces.pop(0)


class Pacer:
    """Grants at once, or waits for the test."""

    def __init__(self) -> None:
        self.held: asyncio.Event | None = None
        self.asked: list[str] = []

    async def permit(self, op, within_ns=None):
        self.asked.append(op)
        if self.held is not None:
            await self.held.wait()

    def apply_height(self, height):
        pass


class Gate:
    """A stream that is up when the test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self.sendable, self._clock = True, clock
        self.waits = 0

    async def until_live(self, within_ns: int) -> bool:
        self.waits += 1
        end = self._clock.mono_ns() + within_ns
        while not self.sendable and self._clock.mono_ns() < end:
            await self._clock.sleep_until(self._clock.mono_ns() + MS)
        return self.sendable


class Bench:
    """A dispatcher whose listener writes down everything."""

    def __init__(self, nonces: NonceRule | None = None, signer: object = None) -> None:
        self.clock, self.counters = ManualClock(), CounterTable()
        self.port, self.codec, self.pacer = Port(), Codec(), Pacer()
        self.gate, self.known = Gate(self.clock), Gate(self.clock)
        self.log: list[str] = []
        self.reasons: list[str] = []
        self.journal_broken = False
        self.tokens_refused = 0
        self.clock_was_wrong = False
        self.times_refused = 0
        self.dispatcher = Dispatcher(
            codec=self.codec,
            ports={"rest": self.port, "rpc": self.port},
            gates={"rpc": self.gate},
            known=self.known,
            pacer=self.pacer,
            signing=SigningRoom(signer, self.clock),
            nonces=nonces or NonceRule(),
            clock=self.clock,
            counters=self.counters,
            log=logging.getLogger("venuekit.test"),
            listener=self,
            on_token_refused=self._token,
            on_time_refused=self._time,
        )

    async def _time(self) -> bool:
        self.times_refused += 1
        self.clock.wall_start_ns += 45_000 * MS
        return self.clock_was_wrong

    def _token(self) -> None:
        self.tokens_refused += 1

    def on_prepared(self, job, prepared, stamp) -> None:
        if self.journal_broken:
            raise CaptureError("the disk is full")
        self.log.append(f"prepared {prepared.request.path}")

    def on_repeated(self, job) -> None:
        self.log.append("repeated")

    def on_replied(self, job, prepared, verdict) -> None:
        self.log.append(f"replied {prepared.request.path} {type(verdict.whole).__name__}")

    def on_failed(self, job, evidence, why) -> None:
        self.log.append(f"failed {job.draft.op}:{job.keys[0]} {evidence.name}")
        self.reasons.append(why)

    def on_dropped(self, job) -> None:
        self.log.append(f"dropped {job.draft.op}")

    def put(
        self, op: str, *keys: str, lane: str | None = None, gone: bool = False, port: str = "rest"
    ) -> Job:
        draft = Draft(op, keys, lane or keys[0], port, None)
        kind = CommandKind.CANCEL if op == "cancel" else CommandKind.SUBMIT
        job = Job(kind, keys, draft, lambda: None if gone else draft)
        self.dispatcher.put(job)
        return job

    async def settle(self, ms: int = 0) -> None:
        await self.clock.run_for(ms * MS)


def run(body) -> None:
    async def whole() -> None:
        await body()

    asyncio.run(whole())


def test_operations_on_one_order_keep_their_order_and_others_do_not_wait() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        bench.put("cancel", "A")
        bench.put("submit", "B")
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:B"], "the cancel waits for its submit's bytes"
        bench.port.hand_over(0)
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:B", "cancel:A"], "handed over is enough"

    run(body)


def test_a_request_over_several_orders_waits_for_all_of_them() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        bench.put("submit", "B")
        bench.put("cancel", "A", "B", lane="all")
        bench.put("modify", "B")
        await bench.settle()
        bench.port.hand_over(1)
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:B"]
        bench.port.hand_over(0)
        await bench.settle()
        assert bench.port.names[2:] == ["cancel:A,B"]
        bench.port.answer(place=2)
        await bench.settle()
        assert bench.port.names[3:] == ["modify:B"]
        assert bench.dispatcher.depth() == 1

    run(body)


def test_a_failure_frees_the_lane() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        bench.put("cancel", "A")
        await bench.settle()
        bench.port.break_off(Evidence.MAYBE_SENT)
        await bench.settle()
        assert bench.log == ["prepared submit:A", "failed submit:A MAYBE_SENT", "prepared cancel:A"]

    run(body)


def test_stamps_of_one_account_rise_within_a_millisecond_and_over_an_earlier_run() -> None:
    async def body() -> None:
        bench = Bench()
        start = bench.clock.wall_ns()
        bench.dispatcher.stamps.apply_used(start + 5 * MS)
        for name in "ABC":
            bench.put("submit", name)
        await bench.settle()
        drawn = [one.wall_ns for one in bench.codec.stamps]
        assert len(drawn) == 3
        assert [at - drawn[0] for at in drawn] == [0, MS, 2 * MS]
        assert drawn[0] >= start + 6 * MS

    run(body)


def test_a_refused_time_is_stamped_once_more_when_our_clock_was_wrong() -> None:
    async def body() -> None:
        bench = Bench()
        bench.clock_was_wrong = True
        bench.put("submit", "A")
        await bench.settle()
        bench.port.answer(b"time")
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:A"]
        first, second = (one.wall_ns for one in bench.codec.stamps)
        assert second - first >= 45_000 * MS
        bench.port.answer(b"time")
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:A"]
        assert bench.log[-1] == "replied submit:A RefusedOutcome"
        assert bench.times_refused == 1

    run(body)


def test_a_refused_time_stands_when_our_clock_was_right() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        await bench.settle()
        bench.port.answer(b"time")
        await bench.settle()
        assert bench.port.names == ["submit:A"]
        assert bench.log[-1] == "replied submit:A RefusedOutcome"
        assert bench.times_refused == 1

    run(body)


def test_permit_before_stamp() -> None:
    async def body() -> None:
        bench = Bench()
        bench.pacer.held = asyncio.Event()
        bench.put("submit", "A")
        await bench.settle(3_000)
        assert bench.codec.stamps == []
        bench.pacer.held.set()
        await bench.settle()
        assert bench.codec.stamps[0].wall_ns == bench.clock.wall_ns()

    run(body)


def test_a_broken_journal_keeps_the_bytes_here() -> None:
    async def body() -> None:
        bench = Bench()
        bench.journal_broken = True
        bench.put("submit", "A")
        await bench.settle()
        assert bench.port.names == []
        assert bench.log == ["failed submit:A NOT_SENT"]

    run(body)


def test_an_unknown_port_and_a_missing_signer_fail_before_the_wire() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A", port="nowhere")
        bench.codec.signs = True
        bench.put("submit", "B")
        await bench.settle()
        assert bench.log == ["failed submit:A NOT_SENT", "failed submit:B NOT_SENT"]

    run(body)


def test_a_command_without_purpose_is_dropped_unsent() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("cancel", "A", gone=True)
        await bench.settle()
        assert bench.log == ["dropped cancel"]
        assert bench.port.names == []

    run(body)


class SlowSigner:
    """Takes as many steps as asked; each lets virtual time pass."""

    def __init__(self, clock: ManualClock, slow_ns: list[int]) -> None:
        self.clock, self.slow_ns = clock, slow_ns
        self.public, self.where = "toy", Where.INLINE

    def warm(self) -> None:
        pass

    def sign(self, request):
        raise AssertionError("a stepped signer is stepped")

    def sign_steps(self, request):
        yield None
        self.clock.advance(self.slow_ns.pop(0))
        yield Signed(b"s", b"d")


def test_a_signature_that_aged_is_stamped_and_signed_again() -> None:
    async def body() -> None:
        bench = Bench()
        bench.dispatcher._signing = SigningRoom(SlowSigner(bench.clock, [5_000 * MS, 0]), bench.clock)
        bench.codec.signs, bench.codec.again_after_ns = True, 1_000 * MS
        bench.put("submit", "A")
        await bench.settle()
        assert len(bench.codec.stamps) == 2
        assert bench.codec.stamps[1].wall_ns - bench.codec.stamps[0].wall_ns == 5_000 * MS
        assert bench.port.names == ["submit:A"]
        assert bench.pacer.asked == ["submit"], "the permit stays"

    run(body)


def test_a_refused_token_is_renewed_and_the_command_stamped_once_more() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        await bench.settle()
        bench.port.answer(b"token")
        await bench.settle()
        assert bench.tokens_refused == 1
        bench.port.answer(b"token")
        await bench.settle()
        assert bench.tokens_refused == 1
        assert bench.log[-1] == "replied submit:A RefusedOutcome", "twice refused is a refusal"

    run(body)


def test_a_second_stamp_waits_until_its_stream_is_up_again() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A", port="rpc")
        await bench.settle()
        bench.gate.sendable = False
        bench.port.answer(b"token")
        bench.put("submit", "B", port="rpc")
        bench.put("submit", "C", port="rest")
        await bench.settle(500)
        assert bench.port.names == ["submit:A", "submit:C"], "nothing leaves by the refused stream"
        assert len(bench.codec.stamps) == 2, "nor is anything stamped"
        bench.gate.sendable = True
        await bench.settle(1)
        assert sorted(bench.port.names[2:]) == ["submit:A", "submit:B"]

    run(body)


def test_a_stream_that_does_not_come_back_is_not_waited_for_long() -> None:
    async def body() -> None:
        bench = Bench()
        bench.gate.sendable = False
        bench.put("submit", "A", port="rpc")
        await bench.settle(1_990)
        assert bench.port.names == []
        await bench.settle(20)
        assert bench.port.names == ["submit:A"], "the port says that nothing left"
        bench.port.break_off(Evidence.NOT_SENT)
        await bench.settle()
        assert bench.log[-1] == "failed submit:A NOT_SENT"
        assert bench.gate.waits == 1

    run(body)


def test_a_stream_lost_while_a_permit_is_waited_for_is_waited_for_again() -> None:
    async def body() -> None:
        bench = Bench()
        bench.pacer.held = asyncio.Event()
        bench.put("submit", "A", port="rpc")
        await bench.settle()
        bench.gate.sendable = False
        bench.pacer.held.set()
        await bench.settle(100)
        assert bench.port.names == []
        bench.gate.sendable = True
        await bench.settle(1)
        assert bench.port.names == ["submit:A"]
        assert bench.pacer.asked == ["submit", "submit"], "the first permit is not saved up"

    run(body)


def test_what_waits_while_the_private_state_is_lost_leaves_only_once_it_is_known_again() -> None:
    async def body() -> None:
        bench = Bench()
        bench.pacer.held = asyncio.Event()
        bench.put("submit", "A")
        bench.put("cancel", "B")
        await bench.settle()
        bench.known.sendable = False
        bench.pacer.held.set()
        await bench.settle(1_000)
        assert bench.port.names == ["cancel:B"], "a cancel can do no harm"
        bench.known.sendable = True
        await bench.settle(1)
        assert bench.port.names == ["cancel:B", "submit:A"]
        assert bench.pacer.asked.count("submit") == 2, "the first permit is not saved up"

    run(body)


def test_what_waits_while_the_private_state_stays_lost_is_not_sent() -> None:
    async def body() -> None:
        bench = Bench()
        bench.pacer.held = asyncio.Event()
        bench.put("submit", "A")
        await bench.settle()
        bench.known.sendable = False
        bench.pacer.held.set()
        await bench.settle(1_990)
        assert bench.log == []
        await bench.settle(20)
        assert bench.log == ["failed submit:A NOT_SENT"]
        assert bench.reasons[0].startswith("NOT_SENT: STREAM_RECONCILING")
        assert bench.counters.get("commands.state_unknown") == 1
        bench.known.sendable = True
        await bench.settle(5_000)
        assert bench.port.names == []

    run(body)


def test_a_private_state_that_is_lost_during_the_signature_keeps_the_bytes_and_the_nonce_here() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        signer = SlowSigner(bench.clock, [0, 0])
        bench.dispatcher._signing = SigningRoom(signer, bench.clock)
        bench.codec.signs = True
        signing = signer.sign_steps

        def lost(request):
            bench.known.sendable = False
            return signing(request)

        signer.sign_steps = lost
        bench.put("submit", "A", lane="key")
        await bench.settle()
        assert (bench.port.names, bench.log) == ([], ["failed submit:A NOT_SENT"])
        bench.known.sendable, signer.sign_steps = True, signing
        bench.put("submit", "B", lane="key")
        await bench.settle()
        assert bench.port.names == ["submit:B:7"]

    run(body)


def test_a_submit_that_cannot_leave_in_time_is_not_sent_and_those_behind_it_go_on() -> None:
    async def body() -> None:
        bench = Bench()
        bucket = Bucket(Scope.ACCOUNT, 1, Seconds(20), 1)
        manifest = SimpleNamespace(
            operations={
                "submit": Operation(OpKind.COMMAND, {"all": 1}, Priority.SUBMIT),
                "cancel": Operation(OpKind.COMMAND, {"all": 1}, Priority.SUBMIT),
            },
            buckets={"all": bucket},
        )
        bench.dispatcher._pacer = RealPacer(manifest, bench.clock, bench.counters, spread_ns=0)  # type: ignore[arg-type]
        for name in "ABCD":
            bench.put("submit", name)
        bench.put("cancel", "E")
        await bench.settle(29_999)
        assert bench.port.names == ["submit:A", "submit:B"]
        assert not any(line.startswith("failed") for line in bench.log)
        await bench.settle(1)
        assert bench.log[-2:] == ["failed submit:C NOT_SENT", "failed submit:D NOT_SENT"]
        assert bench.reasons[0].startswith("NOT_SENT: WAITED_TOO_LONG")
        assert bench.counters.get("commands.too_late") == 2
        await bench.settle(10_100)
        assert bench.port.names[2:] == ["cancel:E"], "a cancel is never too late"
        bench.put("submit", "F")
        await bench.settle(20_000)
        assert bench.port.names[3:] == ["submit:F"]

    run(body)


def test_time_in_a_lane_counts_too() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A", lane="one")
        bench.put("submit", "B", lane="one")
        await bench.settle(30_000)
        bench.port.hand_over(0)
        await bench.settle()
        assert bench.port.names == ["submit:A"]
        assert bench.log[-1] == "failed submit:B NOT_SENT"

    run(body)


def test_the_same_bytes_leave_twice_at_most() -> None:
    async def body() -> None:
        bench = Bench()
        bench.codec.same_bytes = True
        bench.put("submit", "A")
        await bench.settle()
        bench.port.break_off(Evidence.MAYBE_SENT)
        await bench.settle()
        assert bench.port.names == ["submit:A", "submit:A"]
        bench.port.break_off(Evidence.NOT_SENT)
        await bench.settle()
        assert bench.log == ["prepared submit:A", "repeated", "failed submit:A MAYBE_SENT"], (
            "the first may be there"
        )

    run(body)


@pytest.mark.parametrize("reply", [b"free", b"stale", b"token"])
def test_a_refusal_of_a_copy_proves_nothing_and_is_not_stamped_again(reply: bytes) -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        bench.codec.same_bytes = True
        bench.put("submit", "A", lane="key")
        await bench.settle()
        bench.port.break_off(Evidence.MAYBE_SENT)
        await bench.settle()
        bench.port.answer(reply)
        await bench.settle()
        assert bench.port.names == ["submit:A:7", "submit:A:7"], "a third one could be a second order"
        assert bench.log[-1] == "replied submit:A:7 Unknown", "the first ones may have made an order"
        bench.codec.same_bytes = False
        bench.put("submit", "B", lane="key")
        await bench.settle()
        assert bench.port.names[2:] == ["submit:B:9"], "the venue was asked which nonce is next"

    run(body)


def test_consecutive_nonces_are_handed_out_in_the_order_of_the_wire() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        for name in "ABC":
            bench.put("submit", name, lane="key")
        await bench.settle()
        assert bench.port.names == ["submit:A:7"], "the lane is held until the bytes were handed over"
        bench.port.hand_over(0)
        await bench.settle()
        bench.port.hand_over(1)
        await bench.settle()
        assert bench.port.names == ["submit:A:7", "submit:B:8", "submit:C:9"]

    run(body)


def test_a_free_nonce_behind_others_stops_the_lane_until_all_have_settled() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        for name in "AB":
            bench.put("submit", name, lane="key")
            await bench.settle()
            bench.port.hand_over(len(bench.port.waiting) - 1)
        await bench.settle()
        bench.port.answer(b"free", place=0)
        bench.put("submit", "C", lane="key")
        await bench.settle()
        assert bench.port.names == ["submit:A:7", "submit:B:8"], (
            "B is still on its way with a number too high"
        )
        bench.port.answer(b"stale", place=0)
        await bench.settle()
        assert bench.port.names[2] == "submit:C:9"
        assert bench.codec.venue_nonces == []

    run(body)


def test_an_uncertain_nonce_asks_the_venue_again() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        bench.put("submit", "A", lane="key")
        await bench.settle()
        bench.port.break_off(Evidence.MAYBE_SENT)
        bench.put("submit", "B", lane="key")
        await bench.settle()
        assert bench.port.names == ["submit:A:7", "submit:B:9"]

    run(body)


def test_nothing_sent_gives_the_nonce_back() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.CONSECUTIVE))
        bench.put("submit", "A", lane="key")
        await bench.settle()
        bench.port.break_off(Evidence.NOT_SENT)
        bench.put("submit", "B", lane="key")
        await bench.settle()
        assert bench.port.names == ["submit:A:7", "submit:B:7"]

    run(body)


def test_millisecond_nonces_are_unique_and_wait_at_the_window() -> None:
    async def body() -> None:
        bench = Bench(NonceRule(NonceKind.UNIQUE_MS, window_ms=1))
        for name in "ABCD":
            bench.put("submit", name, lane="key-" + name)
        bench.put("submit", "E", lane="key-A")
        await bench.settle()
        first = bench.clock.wall_start_ns // MS
        assert {stamp.nonce for stamp in bench.codec.stamps} == {first}, "each key has its own numbers"
        bench.port.hand_over(0)
        await bench.settle()
        assert bench.codec.stamps[-1].nonce == first + 1

    run(body)


def test_stopping_answers_everything() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        bench.put("cancel", "A")
        await bench.settle()
        bench.pacer.held = asyncio.Event()
        bench.put("submit", "B")
        await bench.settle()
        await bench.dispatcher.close()
        assert sorted(line for line in bench.log if line.startswith("failed")) == [
            "failed cancel:A NOT_SENT",
            "failed submit:B NOT_SENT",
        ], "A was sent: its fate is looked up after the restart"
        bench.put("submit", "C")
        assert bench.log[-1] == "failed submit:C NOT_SENT"
        assert bench.port.names == ["submit:A"]

    run(body)


@pytest.mark.parametrize("nonces", [NonceRule(), NonceRule(NonceKind.CONSECUTIVE)])
def test_a_command_given_in_the_turn_of_the_stop_is_answered(nonces: NonceRule) -> None:
    async def body() -> None:
        bench = Bench(nonces)
        bench.put("submit", "A")
        bench.put("cancel", "A")
        await bench.dispatcher.close()
        assert bench.log == ["failed submit:A NOT_SENT", "failed cancel:A NOT_SENT"]
        assert bench.port.names == []

    run(body)


@pytest.mark.parametrize(("took_ns", "others_ran"), [(100_000, []), (100_001, [1])])
def test_a_signature_that_took_long_lets_others_run_before_it_is_used(took_ns, others_ran):
    async def body() -> None:
        clock = ManualClock()

        class Slow:
            where = Where.INLINE

            def sign(self, request):
                clock.advance(took_ns)
                return Signed(b"t", b"d")

        ran: list[int] = []
        asyncio.get_running_loop().call_soon(ran.append, 1)
        await SigningRoom(Slow(), clock).sign(SignRequest("toy", "x", {}))
        assert ran == others_ran

    run(body)


def test_a_command_whose_port_was_cancelled_under_it_is_in_doubt() -> None:
    async def body() -> None:
        bench = Bench()
        bench.put("submit", "A")
        bench.put("cancel", "A")
        await bench.settle()
        bench.port.waiting.pop(0)[2].cancel()
        await bench.settle()
        assert bench.log[:2] == ["prepared submit:A", "failed submit:A MAYBE_SENT"]
        assert bench.counters.get("tasks.crashed") == 1
        assert bench.port.names == ["submit:A", "cancel:A"]
        await bench.dispatcher.close()

    run(body)


def test_a_thread_signer_does_not_hold_the_loop() -> None:
    class Threaded:
        public, where = "toy", Where.THREAD

        def warm(self) -> None:
            self.warmed = True

        def sign(self, request):
            return Signed(b"t", b"d")

    async def body() -> None:
        signer = Threaded()
        room = SigningRoom(signer, ManualClock())
        await room.warm()
        assert signer.warmed
        signed = await room.sign(SignRequest("toy", "x", {}))
        assert signed.signature == b"t"
        room.close()

    run(body)
