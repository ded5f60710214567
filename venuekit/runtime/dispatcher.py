"""Commands on their way: ordered lanes, permit before stamp, stamp before signature, journal before the wire.

A command waits in the lanes of its orders, so that operations on one order keep their order. Where nonces are
consecutive it also takes its key's lane, from the stamp until its bytes were handed over in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from venuekit.core.denial import STREAM_RECONCILING
from venuekit.core.nonce import ConsecutiveNonces, UniqueMilliseconds
from venuekit.core.offset import RisingStamps
from venuekit.errors import BadValue, NotReady, SendFailed, VenuekitError
from venuekit.interfaces.manifest import NonceKind
from venuekit.interfaces.orders import NonceFate, RefusedOutcome, Stamp, Unknown, Verdict
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.time import passed
from venuekit.runtime.tasks import TaskScope

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import NonceRule
    from venuekit.interfaces.orders import Draft, OrderCodec, Outcome, Prepared
    from venuekit.interfaces.request import Reply, RequestPort
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock, Tick
    from venuekit.runtime.signing import SigningRoom

_STAMPS = 3
"""How often a request is stamped anew when its signature aged before it could leave."""
_GATE_NS = 2_000_000_000
"""A stream that is being opened anew is waited for so long; then the command fails as not sent."""
_TURNS = 3
"""How often a command waits again because its stream was lost while it waited for its permit."""


class CommandKind(Enum):
    """What a request asks for."""

    SUBMIT = "submit"
    MODIFY = "modify"
    CANCEL = "cancel"


@define(eq=False)
class Job:
    """One request to be."""

    kind: CommandKind
    keys: tuple[str, ...]
    """The orders it covers."""
    draft: Draft
    refresh: Callable[[], Draft | None]
    """The same request with the ids known by now, asked right before the stamp; None: not needed any more."""
    number: int = 0
    """The number of the modify."""
    sent: bool = False
    """Its bytes may have left."""
    again: bool = False
    """It was stamped a second time after a refusal that proved that nothing happened."""
    repeated: bool = False
    """The very same bytes went out twice."""
    lanes: tuple[str, ...] = ()
    blocked: int = 0
    released: bool = False
    since_ns: int = 0
    """When it was put."""


class PermitSource(Protocol):
    """What is needed of the pacer."""

    async def permit(self, op: str, within_ns: int | None = None) -> None:
        """Return when the operation may go on the wire; raise `TimeoutError` after `within_ns`."""
        ...

    def apply_height(self, height: int) -> None:
        """A block of the venue was seen."""
        ...


class Listener(Protocol):
    """Hears of every step of a job, on the loop's thread. Every job ends in exactly one of the last three."""

    def on_prepared(self, job: Job, prepared: Prepared, stamp: Stamp) -> None:
        """It goes on the wire next; what is raised here keeps it from that."""
        ...

    def on_repeated(self, job: Job) -> None:
        """The very same bytes go out once more."""
        ...

    def on_replied(self, job: Job, prepared: Prepared, verdict: Verdict) -> None:
        """A reply came."""
        ...

    def on_failed(self, job: Job, evidence: Evidence, why: str) -> None:
        """No reply came."""
        ...

    def on_dropped(self, job: Job) -> None:
        """It was not needed any more when its turn came; nothing was sent."""
        ...


class CommandSpans(Protocol):
    """Follows every command from `put` to its end, for tracing."""

    def begin(self, job: Job) -> None:
        """The job was put."""
        ...

    def watch(self, listener: Listener) -> Listener:
        """The listener, with an ear of ours before it."""
        ...

    def close(self) -> None:
        """Nothing more will be heard."""
        ...


class StreamGate(Protocol):
    """Whether commands can leave over a stream, or may leave at all."""

    @property
    def sendable(self) -> bool:
        """True while they can."""
        ...

    async def until_live(self, within_ns: int) -> bool:
        """True once they can; False when that takes longer."""
        ...


async def clock_was_right() -> bool:
    """Nobody can measure: the refusal stands."""
    return False


class _Dropped(Exception):
    """The command lost its purpose while it waited."""


@define
class _KeyLane:
    """One key whose nonces are consecutive."""

    nonces: ConsecutiveNonces = field(factory=ConsecutiveNonces)
    lock: asyncio.Lock = field(factory=asyncio.Lock)
    settled: asyncio.Event = field(factory=asyncio.Event)


class Dispatcher:
    """Takes jobs without waiting and tells its listener what became of each."""

    def __init__(
        self,
        *,
        codec: OrderCodec,
        ports: Mapping[str, RequestPort],
        pacer: PermitSource,
        signing: SigningRoom,
        nonces: NonceRule,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
        listener: Listener,
        on_token_refused: Callable[[], None],
        on_time_refused: Callable[[], Awaitable[bool]] = clock_was_right,
        spans: CommandSpans | None = None,
        gates: Mapping[str, StreamGate] | None = None,
        known: StreamGate | None = None,
        wait_ms: int = 30_000,
    ) -> None:
        """`gates` by port, for the ports that run over a stream. `on_time_refused` says whether our time was
        wrong. All but cancels leave only while `known`, and never later than `wait_ms` after they were put.
        """
        self._codec = codec
        self._ports = ports
        self._gates = gates or {}
        self._known = known
        self._wait_ns = wait_ms * 1_000_000
        self._pacer = pacer
        self._signing = signing
        self._rule = nonces
        self._clock = clock
        self._counters = counters
        self._log = log
        self._listener = listener if spans is None else spans.watch(listener)
        self._spans = spans
        self._on_token_refused = on_token_refused
        self._on_time_refused = on_time_refused
        self.stamps = RisingStamps()
        self._lanes: dict[str, deque[Job]] = {}
        self._keys: dict[str, _KeyLane] = {}
        self._unique: dict[str, UniqueMilliseconds] = {}
        self._unbegun: dict[Job, None] = {}
        """Jobs that wait in a lane, or whose task has not had its first turn."""
        self._scope = TaskScope("dispatch", counters, log)
        self._closed = False
        self.tick: Tick | None = None
        """The venue's newest block, for stamps."""

    def depth(self) -> int:
        """Jobs that wait or run in a lane."""
        return len({id(job) for lane in self._lanes.values() for job in lane})

    def put(self, job: Job) -> None:
        """The job is in its lanes and starts when it is first in all of them."""
        if self._spans is not None:
            self._spans.begin(job)
        if self._closed:
            self._listener.on_failed(job, Evidence.NOT_SENT, "NOT_SENT: the client is stopping")
            return
        names = dict.fromkeys(f"order:{key}" for key in job.keys)
        if self._rule.kind is not NonceKind.CONSECUTIVE:
            names[f"lane:{job.draft.lane}"] = None
        job.lanes, job.since_ns = tuple(names), self._clock.mono_ns()
        self._unbegun[job] = None
        for name in job.lanes:
            lane = self._lanes.setdefault(name, deque())
            lane.append(job)
            job.blocked += lane[0] is not job
        if job.blocked == 0:
            self._start(job)

    async def close(self) -> None:
        """Nothing runs; what had not left is answered as not sent."""
        self._closed = True
        await self._scope.close()
        # A task that is cancelled before its first turn runs nothing, so it answers nothing either.
        for job in self._unbegun:
            self._listener.on_failed(job, Evidence.NOT_SENT, "NOT_SENT: the client is stopping")
        self._lanes.clear()
        self._unbegun.clear()
        if self._spans is not None:
            self._spans.close()

    # --- lanes

    def _start(self, job: Job) -> None:
        self._scope.start(f"{job.kind.value}.{job.keys[0] if job.keys else job.draft.op}", self._run(job))

    def _release(self, job: Job) -> None:
        """The next one of each lane may go."""
        if job.released:
            return
        job.released = True
        for name in job.lanes:
            lane = self._lanes.get(name)
            if lane is None or lane[0] is not job:
                continue
            lane.popleft()
            if not lane:
                del self._lanes[name]
                continue
            lane[0].blocked -= 1
            if lane[0].blocked == 0 and not self._closed:
                self._start(lane[0])

    async def _run(self, job: Job) -> None:
        del self._unbegun[job]
        try:
            await self._perform(job)
        except _Dropped:
            self._counters.inc("commands.dropped")
            self._listener.on_dropped(job)
        except asyncio.CancelledError:
            if not job.sent:
                self._listener.on_failed(job, Evidence.NOT_SENT, "NOT_SENT: the client is stopping")
            elif not self._closed:
                why = "MAYBE_SENT: what it waited for was cancelled"
                self._listener.on_failed(job, Evidence.MAYBE_SENT, why)
            raise
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever broke, the order must not vanish: not sent is a proven end, sent is looked up.
            evidence = Evidence.MAYBE_SENT if job.sent else Evidence.NOT_SENT
            if not isinstance(error, VenuekitError):
                self._counters.inc("commands.broken")
                self._log.exception("command %s of %s broke", job.kind.value, job.keys)
            self._listener.on_failed(job, evidence, f"{evidence.name}: {error}")
        finally:
            self._release(job)

    async def _perform(self, job: Job) -> None:
        """Permit, stamp, sign, journal, send; a proof that nothing happened allows a second stamp."""
        while True:
            await self._turn(job)
            key = self._key_lane(job)
            if key is None:
                verdict, prepared = await self._send(job, None)
            else:
                await key.lock.acquire()
                verdict, prepared = await self._send(job, key)
            whole = verdict.whole
            if (
                isinstance(whole, RefusedOutcome)
                and not verdict.by_order
                and not job.again
                and await self._helps_to_stamp_again(whole)
            ):
                self._counters.inc("commands.stamped_again")
                job.again = True
                job.sent = False
                continue
            self._listener.on_replied(job, prepared, verdict)
            return

    async def _helps_to_stamp_again(self, refused: RefusedOutcome) -> bool:
        """True when the command had no effect only because of its token, its nonce or our wrong clock."""
        if refused.rejects_token:
            self._on_token_refused()
        return (
            refused.rejects_token
            or refused.nonce_stale
            or (
                # A request that was merely late is not sent again: that is what the window is for.
                refused.rejects_time and await self._on_time_refused()
            )
        )

    async def _turn(self, job: Job) -> None:
        """The limits have room, and the stream it leaves by is up if it comes up in time.

        The stream first: permits that were saved up while it was down would leave in one burst.
        """
        gate, cancels = self._gates.get(job.draft.port), job.kind is CommandKind.CANCEL
        gates = [one for one in (gate, None if cancels else self._known) if one is not None]
        for _ in range(_TURNS):
            live = await self._open(gates)
            if cancels:
                await self._pacer.permit(job.draft.op)
            else:
                await self._permit_in_time(job)
            if not live or all(one.sendable for one in gates):
                return

    async def _open(self, gates: list[StreamGate]) -> bool:
        """True when all of them are open, or come to be so in time."""
        end_ns = self._clock.mono_ns() + _GATE_NS
        for gate in gates:
            if not gate.sendable and not await gate.until_live(max(0, end_ns - self._clock.mono_ns())):
                return False
        return True

    async def _permit_in_time(self, job: Job) -> None:
        self._check_may_leave(job)
        try:
            left_ns = job.since_ns + self._wait_ns - self._clock.mono_ns()
            await self._pacer.permit(job.draft.op, left_ns)
        except TimeoutError:
            self._check_may_leave(job)
            raise

    def _check_may_leave(self, job: Job) -> None:
        """Raise for what may not leave any more, or not now: nothing of it has left."""
        if job.kind is CommandKind.CANCEL:
            return
        if self._clock.mono_ns() - job.since_ns >= self._wait_ns:
            self._counters.inc("commands.too_late")
            raise NotReady(f"WAITED_TOO_LONG: it could not leave within {self._wait_ns // 10**6} ms")
        if self._known is not None and not self._known.sendable:
            self._counters.inc("commands.state_unknown")
            raise NotReady(f"{STREAM_RECONCILING.code}: {STREAM_RECONCILING.text}")

    async def _send(self, job: Job, key: _KeyLane | None) -> tuple[Verdict, Prepared]:
        """The verdict of one attempt. The key's lane is held until the bytes were handed over in order."""
        stamp: Stamp | None = None
        fate = NonceFate.FREE
        unlock = _Once(key.lock.release if key is not None else lambda: None)

        def handed_over() -> None:
            unlock()
            self._release(job)

        try:
            prepared, stamp = await self._prepare(job, key)
            self._listener.on_prepared(job, prepared, stamp)
            job.sent, fate = True, NonceFate.UNCERTAIN
            reply = await self._exchange(job, prepared, handed_over)
            verdict = self._codec.verdict(prepared, reply)
            if job.repeated:
                verdict = _of_a_copy(verdict)
            stale = isinstance(verdict.whole, RefusedOutcome) and verdict.whole.nonce_stale
            # A refused nonce is not free: counting on from it would be refused again.
            fate = NonceFate.UNCERTAIN if stale else verdict.nonce
            return verdict, prepared
        except SendFailed as error:
            if error.evidence is Evidence.NOT_SENT:
                job.sent, fate = False, NonceFate.FREE
            raise
        finally:
            if key is not None and stamp is not None and stamp.nonce is not None:
                key.nonces.settle(stamp.nonce, fate)
                key.settled.set()
            unlock()

    async def _exchange(self, job: Job, prepared: Prepared, handed_over: Callable[[], None]) -> Reply:
        """The reply; where the venue recognises the very same bytes, they may leave twice."""
        port = self._ports[job.draft.port]
        try:
            return await port.send(prepared.request, on_sent=handed_over)
        except SendFailed as error:
            if error.evidence is not Evidence.MAYBE_SENT or not prepared.same_bytes_safe:
                raise
            self._counters.inc("commands.same_bytes")
            job.repeated = True
            self._listener.on_repeated(job)
        await self._pacer.permit(job.draft.op)
        try:
            return await port.send(prepared.request, on_sent=handed_over)
        except SendFailed as error:
            raise SendFailed(error.message, evidence=Evidence.MAYBE_SENT) from error

    # --- stamp and signature

    async def _prepare(self, job: Job, key: _KeyLane | None) -> tuple[Prepared, Stamp]:
        for _ in range(_STAMPS):
            draft = job.refresh()
            if draft is None:
                raise _Dropped
            job.draft = draft
            stamp = await self._stamp(draft.lane, key)
            try:
                request = self._codec.to_sign(draft, stamp)
                signed = await self._signing.sign(request) if request is not None else None
                prepared = self._codec.encode(draft, stamp, signed)
                # Whatever came to pass since its permit: this is the last moment before the wire.
                self._check_may_leave(job)
                if draft.port not in self._ports:
                    raise BadValue(f"the venue drafts for port {draft.port!r} and has none of that name")
            except BaseException:
                self._give_back(key, stamp)
                raise
            limit = prepared.sign_again_after
            if limit is None or not passed(limit, self._clock.venue_ns(), self.tick):
                return prepared, stamp
            self._counters.inc("commands.signature_aged")
            self._give_back(key, stamp)
        raise NotReady(f"the signature aged {_STAMPS} times before the request could leave")

    async def _stamp(self, lane: str, key: _KeyLane | None) -> Stamp:
        nonce: int | None = None
        if key is not None:
            while (nonce := key.nonces.reserve()) is None:
                await self._resync(lane, key)
        elif self._rule.kind is NonceKind.UNIQUE_MS:
            unique = self._unique.setdefault(lane, UniqueMilliseconds(self._rule.window_ms))
            while (nonce := unique.draw(self._clock.venue_ns())) is None:
                await self._clock.sleep_until(self._clock.mono_ns() + 1_000_000)
        stamp = self.stamps.draw(self._clock.venue_ns())
        if self.stamps.began_anew:
            self._counters.inc("commands.stamps_began_anew")
        return Stamp(stamp, nonce, self.tick)

    async def _resync(self, lane: str, key: _KeyLane) -> None:
        """The next nonce is known again: nothing of this key is in flight, and the venue was asked."""
        while not key.nonces.may_resync:
            key.settled.clear()
            await key.settled.wait()
        self._counters.inc("nonces.resync")
        key.nonces.apply_resync(await self._codec.next_nonce(lane))

    def _give_back(self, key: _KeyLane | None, stamp: Stamp) -> None:
        if key is not None and stamp.nonce is not None:
            key.nonces.settle(stamp.nonce, NonceFate.FREE)
            key.settled.set()

    def _key_lane(self, job: Job) -> _KeyLane | None:
        if self._rule.kind is not NonceKind.CONSECUTIVE:
            return None
        return self._keys.setdefault(job.draft.lane, _KeyLane())


def _of_a_copy(verdict: Verdict) -> Verdict:
    """A reply to bytes that went out twice may speak of the second: its refusals prove nothing.

    Else a copy that is refused for its nonce, its token or its id would end an order that the first one made,
    or have it sent a third time under another signature.
    """

    def proven(outcome: Outcome) -> Outcome:
        return Unknown(f"{outcome.code} of a copy") if isinstance(outcome, RefusedOutcome) else outcome

    nonce = NonceFate.UNCERTAIN if isinstance(verdict.whole, RefusedOutcome) else verdict.nonce
    by_order = {name: proven(outcome) for name, outcome in verdict.by_order.items()}
    return Verdict(proven(verdict.whole), by_order, nonce)


class _Once:
    """Calls a function the first time only."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[], None]) -> None:
        self._fn: Callable[[], None] | None = fn

    def __call__(self) -> None:
        fn, self._fn = self._fn, None
        if fn is not None:
            fn()
