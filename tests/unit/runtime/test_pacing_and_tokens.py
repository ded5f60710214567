"""Pacer, TokenKeeper and Requester under a clock that only the test moves."""

import asyncio
import gc
import logging

import pytest
from attrs import evolve

from venuekit.core.retry import FullJitter
from venuekit.errors import AuthNeeded, SendFailed, TimeRefused
from venuekit.interfaces.manifest import (
    BookRule,
    Bucket,
    Chain,
    ErrorRule,
    Manifest,
    Operation,
    OpKind,
    PortKind,
    PortSpec,
    Priority,
    Says,
    Scope,
    Seconds,
    SnapshotFrom,
)
from venuekit.interfaces.request import Evidence, HttpRequest, Reply
from venuekit.interfaces.signer import Secret, Token
from venuekit.interfaces.time import AtWall
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.pacer import Pacer, retry_after_ns
from venuekit.runtime.requester import Requester
from venuekit.runtime.tokens import TokenKeeper

SECOND = 1_000_000_000
LOG = logging.getLogger("test")


class Counts:
    def __init__(self):
        self.table = {}

    def inc(self, name, n=1):
        self.table[name] = self.table.get(name, 0) + n


MANIFEST = Manifest(
    venue="TEST",
    title="Test",
    environments={},
    products=frozenset(),
    data={},
    streams={},
    ports={
        "rest": PortSpec(PortKind.HTTP, "rest"),
        "rpc": PortSpec(PortKind.STREAM, "private", errors="ws"),
        "node": PortSpec(PortKind.RPC, "node"),
    },
    operations={
        "submit": Operation(OpKind.COMMAND, {"orders": 1}, Priority.SUBMIT),
        "cancel": Operation(OpKind.COMMAND, {"orders": 1}, Priority.CANCEL),
        "read": Operation(OpKind.READ),
    },
    buckets={"orders": Bucket(Scope.ACCOUNT, rate=1, per=Seconds(1), burst=1)},
    errors=(
        ErrorRule("rest", "INVALID_TOKEN", Says.AUTH),
        ErrorRule("rest", "NOT_ONBOARDED", Says.REFUSED),
        ErrorRule("rest", "BUSY", Says.TRANSIENT),
        ErrorRule("rest", "40", Says.REFUSED),
        ErrorRule("ws", "BUSY", Says.REFUSED),
        ErrorRule("ws", "40", Says.AUTH),
        ErrorRule("ws", "100", Says.UNKNOWN),
        ErrorRule("node", "14", Says.TRANSIENT),
        ErrorRule("http", "409", Says.TRANSIENT),
    ),
    book=BookRule(Chain.PLUS_ONE, SnapshotFrom.STREAM),
)


def token(clock, text, life_ns=300 * SECOND):
    now = clock.wall_ns()
    return Token(Secret(text), expires=AtWall(now + life_ns), issued=AtWall(now))


class Auth:
    """Hands out numbered tokens; `gate` holds a flight in the air."""

    def __init__(self, clock):
        self.clock, self.flights, self.error, self.gate = clock, 0, None, None

    async def obtain(self):
        self.flights += 1
        mine = self.flights
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return token(self.clock, f"t{mine}")

    def attach(self, request, tok):
        return HttpRequest(
            request.op, request.method, request.path, headers={"authorization": tok.value.reveal()}
        )


class Port:
    """Answers from a script; an exception in it is raised."""

    def __init__(self, *answers):
        self.answers, self.seen = list(answers), []

    async def send(self, request, *, on_sent=lambda: None):
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        on_sent()
        return answer


def requester(port, clock, counts=None, auth=None, attempts=3, name="rest"):
    counts = counts or Counts()
    made = Requester(
        port,
        name=name,
        manifest=MANIFEST,
        pacer=Pacer(MANIFEST, clock, counts),
        retry=FullJitter(base_ns=SECOND, attempts=attempts),
        clock=clock,
        counters=counts,
    )
    made.tokens = TokenKeeper(auth, clock, counts, LOG) if auth else None
    return made


async def finish(clock, task, ns=60 * SECOND):
    await clock.run_for(ns)
    assert task.done()
    return task.result()


def test_permits_wait_for_room_and_a_cancel_overtakes():
    async def run():
        clock = ManualClock()
        pacer = Pacer(MANIFEST, clock, Counts())
        order = []

        async def one(op):
            await pacer.permit(op)
            order.append((op, clock.mono_ns() // SECOND))

        tasks = [asyncio.ensure_future(one(op)) for op in ("submit", "submit", "cancel")]
        await clock.run_for(3 * SECOND)
        assert all(task.done() for task in tasks)
        assert [op for op, _ in order] == ["submit", "cancel", "submit"]
        assert pacer.depth() == 0

    asyncio.run(run())


def test_a_waiter_that_is_cancelled_frees_its_place():
    async def run():
        clock = ManualClock()
        pacer = Pacer(MANIFEST, clock, Counts(), spread_ns=0)
        await pacer.permit("submit")
        dead = asyncio.ensure_future(pacer.permit("submit"))
        alive = asyncio.ensure_future(pacer.permit("submit"))
        await clock.settle()
        dead.cancel()
        await clock.run_for(int(1.1 * SECOND))
        assert alive.done()
        assert not alive.cancelled()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2", 2 * SECOND),
        ("0.5", SECOND // 2),
        (".5", SECOND // 2),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("0", 0),
        # A date, as RFC 9110 writes it, against the venue's time below; one that has passed.
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30 * SECOND),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0),
        ("Tue, 14 Nov 2099 22:13:10 GMT", 600 * SECOND),
        ("Tue, 99 Nov 2023 22:13:10 GMT", None),
        # More than ten minutes is ten minutes; what is no number is none, however it looks.
        ("86400", 600 * SECOND),
        ("9" * 18, 600 * SECOND),
        ("9" * 5_000, None),
        ("\u00b2", None),
        ("1e3", None),
        ("1.2.3", None),
    ],
)
def test_retry_after(text, ns):
    # 1,700,000,000 is 14 November 2023, 22:13:20 UTC.
    now = 1_700_000_000 * SECOND
    assert retry_after_ns(Reply(429, b"", {"retry-after": text}), now_ns=now) == ns


@pytest.mark.parametrize("value", ["\u00b2", "9" * 5_000, "-5", "", "1e3"])
@pytest.mark.parametrize("header", ["retry-after", "x-left", "x-reset"])
def test_headers_that_are_no_numbers_change_nothing_and_break_nothing(header, value):
    bucket = Bucket(Scope.ACCOUNT, 1, Seconds(1), 1, remaining_header="X-Left", reset_header="X-Reset")
    clock = ManualClock()
    pacer = Pacer(evolve(MANIFEST, buckets={"orders": bucket}), clock, Counts())
    reply = Reply(429, b"", {header: value})
    assert pacer.pause_ns("submit", reply) is None
    pacer.feedback("submit", reply)


def test_one_flight_for_many_and_the_token_is_kept():
    async def run():
        clock, counts = ManualClock(), Counts()
        auth = Auth(clock)
        auth.gate = asyncio.Event()
        keeper = TokenKeeper(auth, clock, counts, LOG)
        waiting = [asyncio.ensure_future(keeper.get()) for _ in range(5)]
        await clock.settle()
        waiting[0].cancel()
        auth.gate.set()
        await clock.settle()
        assert auth.flights == 1
        assert {task.result().value.reveal() for task in waiting[1:]} == {"t1"}
        await keeper.close()

    asyncio.run(run())


def test_refreshed_in_time_without_anybody_asking_and_the_old_one_serves_meanwhile():
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        keeper = TokenKeeper(auth, clock, Counts(), LOG)
        assert (await keeper.get()).value.reveal() == "t1"
        auth.gate = asyncio.Event()
        await clock.run_for(181 * SECOND)  # three of five minutes
        assert auth.flights == 2
        assert (await keeper.get()).value.reveal() == "t1"
        auth.gate.set()
        await clock.settle()
        assert (await keeper.get()).value.reveal() == "t2"
        await keeper.close()

    asyncio.run(run())


def test_a_failed_refresh_is_tried_again_while_the_old_token_lives():
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        keeper = TokenKeeper(auth, clock, Counts(), LOG)
        await keeper.get()
        auth.error = SendFailed("down", evidence=Evidence.NOT_SENT)
        await clock.run_for(200 * SECOND)
        assert auth.flights > 2
        assert (await keeper.get()).value.reveal() == "t1"
        auth.error = None
        await clock.run_for(5 * SECOND)
        assert (await keeper.get()).value.reveal() != "t1"
        await keeper.close()

    asyncio.run(run())


def test_a_refused_token_is_replaced_and_a_refusal_that_comes_late_changes_nothing():
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        keeper = TokenKeeper(auth, clock, Counts(), LOG)
        first = await keeper.get()
        keeper.refused(first)
        second = await keeper.get()
        assert second.value.reveal() == "t2"
        keeper.refused(first)
        assert (await keeper.get()).value.reveal() == "t2"
        await keeper.close()

    asyncio.run(run())


def test_a_read_is_tried_three_times_and_then_the_failure_is_raised():
    async def run():
        clock = ManualClock()
        failures = [SendFailed("timeout", evidence=Evidence.MAYBE_SENT) for _ in range(4)]
        port = Port(*failures)
        task = asyncio.ensure_future(requester(port, clock).send(HttpRequest("read", "GET", "/x")))
        with pytest.raises(SendFailed):
            await finish(clock, task)
        assert len(port.seen) == 3

    asyncio.run(run())


@pytest.mark.parametrize("evidence", [Evidence.NOT_SENT, Evidence.MAYBE_SENT])
def test_a_submit_is_sent_once_whatever_happens(evidence):
    async def run():
        clock = ManualClock()
        port = Port(SendFailed("timeout", evidence=evidence))
        task = asyncio.ensure_future(requester(port, clock).send(HttpRequest("submit", "POST", "/x")))
        with pytest.raises(SendFailed):
            await finish(clock, task)
        assert len(port.seen) == 1

    asyncio.run(run())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_submit_answered_by_an_error_is_given_back_at_once(status):
    async def run():
        clock = ManualClock()
        port = Port(Reply(status, b"<html>"))
        task = asyncio.ensure_future(requester(port, clock).send(HttpRequest("submit", "POST", "/x")))
        assert (await finish(clock, task)).status == status
        assert len(port.seen) == 1

    asyncio.run(run())


def test_a_read_waits_as_long_as_the_venue_asks():
    async def run():
        clock = ManualClock()
        port = Port(Reply(429, b"", {"retry-after": "7"}), Reply(200, b"ok"))
        task = asyncio.ensure_future(requester(port, clock).send(HttpRequest("read", "GET", "/x")))
        await clock.run_for(6 * SECOND)
        assert not task.done()
        assert (await finish(clock, task)).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("refusal", [Reply(401, b""), Reply(400, b'{"error":"INVALID_TOKEN"}')])
def test_a_read_with_a_dead_token_gets_a_new_one_once(refusal):
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        port = Port(refusal, refusal, refusal)
        made = requester(port, clock, auth=auth)
        request = HttpRequest("read", "GET", "/x", private=True)
        task = asyncio.ensure_future(made.send(request))
        assert (await finish(clock, task)).status == refusal.status
        assert [seen.headers["authorization"] for seen in port.seen] == ["t1", "t2"]
        await made.tokens.close()

    asyncio.run(run())


RENEWED, REPEATED, GIVEN_BACK = ["t1", "t2"], ["t1", "t1", "t1"], ["t1"]


@pytest.mark.parametrize(
    ("name", "reply", "tokens"),
    [
        # The port's own domain decides, before the status.
        ("rest", Reply(400, b'{"error":"INVALID_TOKEN"}'), RENEWED),
        ("rest", Reply(401, b'{"error":"NOT_ONBOARDED"}'), GIVEN_BACK),
        ("rest", Reply(400, b'{"error":"BUSY"}'), REPEATED),
        ("rest", Reply(503, b'{"error":"INVALID_TOKEN"}'), RENEWED),
        # The same code means something else in another domain, and a foreign code means nothing.
        ("rpc", Reply("error", b'{"error":"BUSY"}'), GIVEN_BACK),
        ("rpc", Reply("error", b'{"error":"INVALID_TOKEN"}'), GIVEN_BACK),
        ("rest", Reply(400, b'{"code":40}'), GIVEN_BACK),
        ("rpc", Reply("error", b'{"code":40}'), RENEWED),
        # A number inside a text, or a longer one, is no code; what proves nothing is passed over.
        ("rpc", Reply("error", b'{"code":-1,"message":"40 orders, 40.5","at":1400}'), GIVEN_BACK),
        ("rpc", Reply("error", b'{"code":100,"data":{"code":40}}'), RENEWED),
        # Without a code of the domain the bare status decides.
        ("rest", Reply(409, b"<html>"), REPEATED),
        ("rest", Reply(401, b"<html>"), RENEWED),
        ("rest", Reply(502, b"<html>"), REPEATED),
        ("rest", Reply(404, b"<html>"), GIVEN_BACK),
        # A limit is a limit whatever stands in the body, and success is never searched for codes.
        ("rest", Reply(429, b'{"error":"NOT_ONBOARDED"}'), REPEATED),
        ("rest", Reply(200, b'{"error":"INVALID_TOKEN"}'), GIVEN_BACK),
        ("rpc", Reply("ok", b'{"code":40}'), GIVEN_BACK),
        # The status of an RPC is a code itself.
        ("node", Reply(14, b""), REPEATED),
        ("node", Reply(0, b"14"), GIVEN_BACK),
    ],
)
def test_an_error_is_looked_up_by_domain_and_code(name, reply, tokens):
    async def run():
        clock = ManualClock()
        port = Port(*[reply] * 3)
        made = requester(port, clock, auth=Auth(clock), name=name)
        request = HttpRequest("read", "GET", "/x", private=True)
        task = asyncio.ensure_future(made.send(request))
        assert (await finish(clock, task)).status == reply.status
        assert [seen.headers["authorization"] for seen in port.seen] == tokens
        await made.tokens.close()

    asyncio.run(run())


def test_the_same_code_in_another_domain_stays_apart():
    assert MANIFEST.rules_of("rpc")["40"].says is Says.AUTH
    assert MANIFEST.rules_of("rest")["40"].says is Says.REFUSED
    assert set(MANIFEST.status_rules()) == {"409"}


def test_a_public_request_carries_no_token():
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        port = Port(Reply(200, b""))
        await requester(port, clock, auth=auth).send(HttpRequest("read", "GET", "/x"))
        assert auth.flights == 0
        assert "authorization" not in port.seen[0].headers

    asyncio.run(run())


@pytest.mark.parametrize(
    "error", [AuthNeeded("refused"), SendFailed("no reply", evidence=Evidence.MAYBE_SENT)]
)
def test_a_token_that_cannot_be_had_ends_the_request_before_the_wire(error):
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        auth.error = error
        port = Port()
        asking = requester(port, clock, auth=auth, attempts=1)
        with pytest.raises(type(error)):
            await asking.send(HttpRequest("read", "GET", "/x", private=True))
        # What was in doubt is the asking for a token: of the command itself nothing has left.
        with pytest.raises(SendFailed, match="submit has no token: ") as caught:
            await asking.send(HttpRequest("submit", "POST", "/x", private=True))
        assert caught.value.evidence is Evidence.NOT_SENT
        assert port.seen == []

    asyncio.run(run())


def test_a_command_waits_for_a_token_no_longer_than_for_its_reply():
    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        auth.gate = asyncio.Event()
        port = Port(Reply(200, b""))
        asking = requester(port, clock, auth=auth)
        task = asyncio.create_task(asking.send(HttpRequest("submit", "POST", "/x", private=True)))
        with pytest.raises(SendFailed, match="none within 10000 ms") as caught:
            await finish(clock, task)
        assert caught.value.evidence is Evidence.NOT_SENT
        # The one who asks for a token goes on: the next command has it.
        auth.gate.set()
        await asking.send(HttpRequest("submit", "POST", "/x", private=True))
        assert (auth.flights, len(port.seen)) == (1, 1)

    asyncio.run(run())


def test_why_there_was_no_token_is_told_also_when_nobody_waits_for_it_any_more(caplog):
    caplog.set_level(logging.INFO)

    async def run():
        clock = ManualClock()
        auth = Auth(clock)
        auth.gate = asyncio.Event()
        asking = requester(Port(), clock, auth=auth)
        task = asyncio.create_task(asking.send(HttpRequest("submit", "POST", "/x", private=True)))
        with pytest.raises(SendFailed, match="none within 10000 ms"):
            await finish(clock, task)
        del task
        auth.error = AuthNeeded("the key is unknown")
        auth.gate.set()
        await asyncio.wait({asking.tokens._flight}, timeout=5)
        asking.tokens = None
        gc.collect()

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records] == ["no token: the key is unknown"]


@pytest.mark.parametrize("was_wrong", [True, False])
def test_a_token_whose_time_is_refused_is_asked_for_again_once_when_our_clock_was_wrong(was_wrong):
    async def run():
        clock, counts = ManualClock(), Counts()
        auth = Auth(clock)
        auth.error = TimeRefused("timestamp lies in the future")
        measured = []

        async def measure():
            measured.append(clock.mono_ns())
            auth.error = None
            return was_wrong

        keeper = TokenKeeper(auth, clock, counts, LOG, on_time_refused=measure)
        if was_wrong:
            assert (await keeper.get()).value.reveal() == "t2"
        else:
            with pytest.raises(TimeRefused):
                await keeper.get()
        assert (len(measured), auth.flights) == (1, 2 if was_wrong else 1)
        await keeper.close()

    asyncio.run(run())


def test_no_repr_shows_a_header_value_or_a_token():
    request = HttpRequest("read", "GET", "/x", headers={"Authorization": "Bearer planted"}, body=b"planted")
    reply = Reply(200, b"planted", {"set-cookie": "planted"})
    assert "planted" not in repr(request) + repr(reply) + repr(Secret("planted")) + f"{Secret('planted')}"


def test_who_gives_up_leaves_no_timer_and_nobody_waiting_behind_it():
    async def main():
        clock = ManualClock()
        pacer = Pacer(MANIFEST, clock, Counts())
        await pacer.permit("submit")
        pacer.feedback("submit", Reply(429, b"", {"retry-after": "300"}))
        asked = asyncio.ensure_future(pacer.permit("submit"))
        await clock.settle()
        assert clock.next_timer_ns() == 300 * SECOND
        asked.cancel()
        await clock.settle()
        assert clock.next_timer_ns() is None
        assert pacer.depth() == 0

    asyncio.run(main())
