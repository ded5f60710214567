"""One logical stream: connects, logs in, keeps its topics, notices silence, and comes back after a loss.

Frames go from the socket's callback through the codec to `on_decoded` in one pass. Every frame in is counted
once more as exactly one of `frames.handled`, `frames.stale`, `frames.undecodable`, `frames.failed`. The first
two of the happy path are brought up to date once a second and when a connection ends, not at every frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from venuekit.core.connection import Connection, End, Ended, SessionState, Silence
from venuekit.core.subscriptions import Outcome, Stage, Topics
from venuekit.errors import (
    AuthNeeded,
    FixNeeded,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    Refused,
    SendFailed,
    VenuekitError,
)
from venuekit.interfaces.manifest import StreamAuth, StreamSpec
from venuekit.interfaces.request import Evidence, Frame, Link, StreamTransport
from venuekit.interfaces.retry import RetryPolicy
from venuekit.interfaces.signer import Token
from venuekit.interfaces.stream import (
    CodecFactory,
    Decoded,
    Draining,
    Ignored,
    LoggedIn,
    Lost,
    Quarantined,
    StreamCodec,
    TokenRefused,
    Topic,
    TopicAck,
)
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Cancel, Clock
from venuekit.runtime.tasks import TaskScope, asked_to_end, bounded
from venuekit.runtime.telemetry import LogGate
from venuekit.runtime.tokens import TokenKeeper

__all__ = ["Session", "SessionState"]

CONNECT_NS = 10_000_000_000
LOGIN_NS = 10_000_000_000
START_NS = 30_000_000_000

type OnDecoded = Callable[[Sequence[Decoded], int], None]
type OnState = Callable[[SessionState, str], None]


class _Live:
    """One connection: its codec, its epoch, and the receiver of its frames."""

    __slots__ = (
        "_control",
        "_decode",
        "_on_decoded",
        "_session",
        "_wall_ns",
        "alive",
        "codec",
        "counted",
        "ended",
        "epoch",
        "heard",
        "link",
        "logged_in",
        "ready",
        "signs",
        "stamp",
        "token",
        "troubled",
    )

    def __init__(self, session: Session, codec: StreamCodec, epoch: int, token: Token | None) -> None:
        loop = asyncio.get_running_loop()
        self.codec = codec
        self.epoch = epoch
        self.token = token
        self.link: Link | None = None
        self.alive = True
        self.ready = False
        """Logged in: topics may be asked for."""
        self.heard = 0
        """Frames that came while it was alive."""
        self.troubled = 0
        """Of those, the ones that were not handled."""
        self.stamp = session.stamp
        """The receipt time of the last frame, Unix nanoseconds."""
        self.signs = 0
        """Signs of life that were no frames."""
        self.counted = (0, 0)
        """Of `heard` and `troubled`, what the counters already know."""
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.logged_in: asyncio.Future[None] = loop.create_future()
        self._session = session
        self._decode = codec.decode
        # Bound once: this object lives on the hot path.
        self._wall_ns = session.clock.wall_ns
        self._on_decoded = session.on_decoded
        self._control = session.control

    def on_frame(self, frame: Frame) -> None:
        """Decode one message and deliver it; nothing that it says can end the stream's task."""
        if not self.alive:
            self._session.stale_frame()
            return
        self.heard += 1
        now = self._wall_ns()
        if now < self.stamp:
            # The machine's clock was set back: receipt times of one stream never decrease.
            now = self.stamp
        self.stamp = now
        try:
            decoded = self._decode(frame, now)
        except Exception as error:  # noqa: BLE001 - a codec's bug must not silence the other markets: counted, logged
            self._session.codec_failed(self, frame, error)
            return
        if not decoded:
            self._session.codec_failed(self, frame, None)
            return
        try:
            # Almost every frame says one thing, and almost none of the connection itself.
            if type(decoded[0]) in self._control or len(decoded) > 1:
                self._session.hear(self, decoded)
            self._on_decoded(decoded, self.epoch)
        except Exception as error:  # noqa: BLE001 - one raising handler costs one frame: counted, logged
            self._session.handler_failed(self, error)

    def on_alive(self) -> None:
        """A ping or pong came."""
        self.signs += 1

    def on_closed(self, code: int | None, reason: str) -> None:
        """The transport says that this connection is over."""
        self.end(Ended(End.CLOSED, reason or "closed by the peer", code))

    def end(self, ended: Ended) -> None:
        """Frames of this connection are stale from now on; the first reason stands."""
        self.alive = False
        if not self.ended.done():
            self.ended.set_result(ended)


class Session:
    """See the module; `start` once, `stop` once. Topics may be added and dropped at any time."""

    def __init__(
        self,
        *,
        name: str,
        spec: StreamSpec,
        transport: StreamTransport,
        codecs: CodecFactory,
        clock: Clock,
        retry: RetryPolicy,
        counters: Counters,
        log: logging.Logger,
        tokens: TokenKeeper | None = None,
        on_decoded: OnDecoded,
        on_state: OnState,
        rests: bool = False,
    ) -> None:
        """With `rests` it carries topics and nothing else: once it ends without one, it waits for one."""
        self.name = name
        self.clock = clock
        self.counters = counters
        self.on_decoded = on_decoded
        self.control: dict[type, Callable[[_Live, object], None]] = {
            LoggedIn: self._on_logged_in,
            TokenRefused: self._on_token_refused,
            TopicAck: self._on_ack,
            Lost: self._on_lost,
            Draining: self._on_draining,
            Quarantined: self._on_quarantined,
            Ignored: self._on_ignored,
        }
        self._spec = spec
        self._transport = transport
        self._codecs = codecs
        self._log = log
        self._tokens = tokens
        self._listeners: list[OnState] = [on_state]
        self._machine = Connection(retry, frozenset(spec.fatal_close_codes))
        self._topics = Topics()
        self._standing: tuple[Topic, ...] = ()
        self._standing_ready: asyncio.Future[None] | None = None
        self._scope = TaskScope(f"session.{name}", counters, log)
        self._gate = LogGate(clock)
        self.stamp = 0
        """The latest receipt time of the connections that are over, Unix nanoseconds."""
        self._live: _Live | None = None
        self._left: Link | None = None
        """The link of the connection that just ended."""
        self._rests = rests
        self._went_live = asyncio.Event()
        self._wanted = asyncio.Event()
        """Set when a topic was added."""
        self._first_live: asyncio.Future[None] | None = None
        self._last_error: VenuekitError | None = None
        self._flush_due = False
        self._acknowledges = False
        """True once the venue answered a subscribe: one without an answer says something then."""
        self._timers: dict[str, Cancel] = {}

    # --- what the owner calls

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._machine.state

    @property
    def epoch(self) -> int:
        """The number of the current connection; it grows with each attempt."""
        return self._machine.epoch

    @property
    def heard(self) -> tuple[int, int]:
        """The connection's epoch and how many messages it brought; equal pairs: nothing came between."""
        return (self.epoch, 0 if self._live is None else self._live.heard)

    @property
    def codec(self) -> StreamCodec:
        """The live connection's codec; raise `NotReady` when there is none."""
        if self._live is None or not self._live.alive:
            raise NotReady(f"stream {self.name} is {self.state.value}")
        return self._live.codec

    def listen(self, on_state: OnState) -> None:
        """`on_state` hears of every change of state, after those who listened before."""
        self._listeners.append(on_state)

    async def start(self, *, within_ns: int = START_NS) -> None:
        """The stream is live; raise the last error when it is not `within_ns`, or cannot be."""
        loop = asyncio.get_running_loop()
        self._first_live = loop.create_future()
        self._first_live.add_done_callback(lambda first: first.cancelled() or first.exception())
        self._scope.on_crash = lambda name, error: self._gave_up(f"task {name} crashed: {error}")
        self._scope.start("run", self._run())
        try:
            async with bounded(self.clock, within_ns):
                await self._first_live
        except TimeoutError:
            await self.stop()
            raise self._last_error or NotReady(
                f"stream {self.name} was not live within {within_ns // 10**9} s"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Nothing of this session is left: no task, timer or socket."""
        before = self.state
        self._machine.apply_stop()
        await self._scope.close()
        self._cancel_timers()
        if self._first_live is not None and not self._first_live.done():
            self._first_live.set_exception(NotReady(f"stream {self.name} was stopped"))
        if before is not SessionState.STOPPED:
            self._tell(SessionState.STOPPED, "stopped")

    def add(self, topic: Topic) -> None:
        """`topic` is subscribed on this and every later connection."""
        self._topics.add(topic)
        self._wanted.set()
        self._flush_soon()

    def drop(self, topic: Topic) -> None:
        """`topic` is not wanted any more."""
        self._topics.drop(topic)
        self._flush_soon()

    def resync(self, topic: Topic) -> None:
        """`topic` is unsubscribed and subscribed again, so that its snapshot comes."""
        self.counters.inc("topics.resync")
        self._topics.resync(topic)
        self._flush_soon()

    def seen(self, topic: Topic) -> bool:
        """Data of `topic` came, which confirms a subscribe like an ack; True when it is confirmed."""
        self._topics.apply_seen(topic.channel)
        return self._topics.stage(topic.channel) is Stage.LIVE

    def stage(self, topic: Topic) -> Stage:
        """How far the venue is with `topic` on this connection."""
        return self._topics.stage(topic.channel)

    @property
    def unanswered(self) -> int:
        """Subscribes and unsubscribes that wait for an answer."""
        return self._topics.unanswered

    @property
    def sendable(self) -> bool:
        """True while the session is live and nothing ended its connection."""
        live = self._live
        return live is not None and live.alive and self.state is SessionState.LIVE

    async def until_live(self, within_ns: int) -> bool:
        """True once frames can be sent; False when that takes longer."""
        try:
            async with bounded(self.clock, within_ns):
                while not self.sendable:
                    self._went_live.clear()
                    await self._went_live.wait()
        except TimeoutError:
            return False
        return True

    def send(self, frame: Frame) -> None:
        """The frame is in the socket's buffer; raise `SendFailed(NOT_SENT)` unless the session is live."""
        live = self._live
        if live is None or live.link is None or not self.sendable:
            raise SendFailed(f"stream {self.name} is {self.state.value}", evidence=Evidence.NOT_SENT)
        live.link.send(frame)
        self.counters.inc("frames.out")

    def reconnect(self, why: str) -> None:
        """This connection ends and another one is opened at once."""
        if self._live is not None:
            self._live.end(Ended(End.LOST, why))

    # --- the one task

    async def _run(self) -> None:
        machine = self._machine
        while True:
            try:
                ended = await self._one_connection()
                self.counters.inc(f"session.ended.{ended.kind.value}")
                delay = machine.apply_ended(ended, self.clock.mono_ns(), self.clock.draw())
                if delay is None:
                    self._gave_up(ended.reason)
                    return
                if machine.exhausted:
                    self._log.error("stream %s: the retry policy gave up, trying slowly on", self.name)
                self._tell(machine.state, ended.reason)
            finally:
                # A deaf peer takes a second to close, and nothing is seen meanwhile: the loss is told first.
                link, self._left = self._left, None
                if link is not None:
                    await link.close()
            again_ns = self.clock.mono_ns() + delay
            if self._rests and machine.was_live and not self._topics.wanted:
                await self._until_wanted()
            await self.clock.sleep_until(again_ns)

    async def _until_wanted(self) -> None:
        """A topic is wanted: a venue may close a stream without one, and would close the next one too."""
        self._machine.apply_resting()
        self._tell(SessionState.RESTING, "nothing is subscribed")
        while not self._topics.wanted:
            self._wanted.clear()
            await self._wanted.wait()

    async def _one_connection(self) -> Ended:
        """Open, log in, subscribe, and wait for the end; only the link in `_left` is to be closed then."""
        live: _Live | None = None
        try:
            epoch = self._machine.apply_connecting(self.clock.mono_ns())
            self._tell(SessionState.CONNECTING, f"connection {epoch}")
            live = await self._opened(epoch)
            await self._log_in(live)
            await self._subscribe_standing(live)
            if not live.ended.done():
                self._go_live()
            return await live.ended
        except VenuekitError as error:
            self._last_error = error
            return live.ended.result() if live and live.ended.done() else self._ended_by(error)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            # A mistake in a codec or a driver must not end the stream: counted.
            self.counters.inc("session.connection_crashed")
            self._log.error("stream %s: a connection failed by a mistake", self.name, exc_info=error)
            self._last_error = NotReady(f"stream {self.name}: {type(error).__name__}: {error}")
            return Ended(End.UNREACHABLE, f"{type(error).__name__}: {error}")
        finally:
            live, self._live = self._live, None
            self._cancel_timers()
            self._topics.apply_disconnected()
            if live is not None:
                live.end(Ended(End.CLOSED, "closed by us"))
                self.stamp = live.stamp
                self._count(live)
                self._left = live.link

    async def _opened(self, epoch: int) -> _Live:
        token = None
        if self._tokens is not None and self._spec.auth is not StreamAuth.NONE:
            token = await self._tokens.get()
        codec = self._codecs()
        # Known before the socket opens: its first frame may come before `connect` returns.
        live = self._live = _Live(self, codec, epoch, token)
        handshake = codec.handshake(token)
        try:
            async with bounded(self.clock, CONNECT_NS):
                live.link = await self._transport.connect(handshake, live)
        except Refused as error:
            error.hint = error.hint or handshake.refused_hint
            raise
        except TimeoutError:
            raise SendFailed(
                f"stream {self.name}: no connection within {CONNECT_NS // 10**9} s",
                evidence=Evidence.NOT_SENT,
            ) from None
        self._watch_silence(live)
        self._keep_alive(live)
        return live

    async def _log_in(self, live: _Live) -> None:
        frames = live.codec.login(live.token)
        if not frames or live.link is None:
            return
        self._machine.apply_authenticating()
        self._tell(SessionState.AUTHENTICATING, "login sent")
        for frame in frames:
            live.link.send(frame)
            self.counters.inc("frames.out")
        await self._first_of(live, live.logged_in, LOGIN_NS, "the login was not answered")

    async def _subscribe_standing(self, live: _Live) -> None:
        live.ready = True
        self._standing = tuple(live.codec.standing())
        for topic in self._standing:
            self._topics.add(topic)
        self._flush()
        if not self._standing:
            return
        self._standing_ready = ready = asyncio.get_running_loop().create_future()
        ready.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._check_standing()
        await self._first_of(live, ready, LOGIN_NS, "the standing topics were not confirmed")

    async def _first_of(self, live: _Live, wanted: asyncio.Future[None], ns: int, late: str) -> None:
        """Return when `wanted` came; raise when the connection ended first, or after `ns`."""
        try:
            async with bounded(self.clock, ns):
                await asyncio.wait((wanted, live.ended), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise NotReady(f"stream {self.name}: {late} within {ns // 10**9} s") from None
        if live.ended.done():
            raise NotReady(f"stream {self.name}: {live.ended.result().reason}")
        wanted.result()

    def _go_live(self) -> None:
        self._machine.apply_live(self.clock.mono_ns())
        self._tell(SessionState.LIVE, f"connection {self.epoch}")
        self._went_live.set()
        if self._first_live is not None and not self._first_live.done():
            self._first_live.set_result(None)

    def _ended_by(self, error: VenuekitError) -> Ended:
        if isinstance(error, RateLimited):
            return Ended(End.UNREACHABLE, error.message, hint_ns=error.retry_after_ns)
        # Before the first success a refusal is a mistake of ours; later it may be the venue's bad day.
        hopeless = isinstance(error, FixNeeded) or (
            isinstance(error, Refused | AuthNeeded) and not self._machine.was_live
        )
        told = f"{error.message} ({error.hint})" if error.hint else error.message
        return Ended(End.HOPELESS if hopeless else End.UNREACHABLE, told)

    def _gave_up(self, reason: str) -> None:
        if self.state is not SessionState.STOPPED:
            self._machine.state = SessionState.FAILED
            self._log.error("stream %s failed: %s", self.name, reason)
            self._tell(SessionState.FAILED, reason)
        if self._first_live is not None and not self._first_live.done():
            self._first_live.set_exception(self._last_error or NotReady(f"stream {self.name}: {reason}"))

    def _tell(self, state: SessionState, reason: str) -> None:
        self._log.debug("stream %s is %s: %s", self.name, state.value, reason)
        for on_state in self._listeners:
            try:
                on_state(state, reason)
            except Exception:  # noqa: BLE001 - a listener's bug must not keep the others from hearing of a loss
                self.counters.inc("session.listener_failed")
                self._log.exception("stream %s: a listener of its state raised", self.name)

    # --- topics

    def _flush_soon(self) -> None:
        """One plan for all changes of this turn of the loop."""
        if not self._flush_due and self._live is not None:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        live = self._live
        if live is None or live.link is None or not live.alive or not live.ready:
            return
        plan = self._topics.plan(self.clock.mono_ns())
        if not plan:
            return
        frames = [
            *(live.codec.unsubscribe(plan.unsubscribe) if plan.unsubscribe else ()),
            *(live.codec.subscribe(plan.subscribe, live.token) if plan.subscribe else ()),
        ]
        try:
            for frame in frames:
                live.link.send(frame)
                self.counters.inc("frames.out")
        except OutcomeUnknown as error:
            live.end(Ended(End.CLOSED, error.message))

    def _check_standing(self) -> None:
        ready = self._standing_ready
        if ready is not None and not ready.done() and self._topics.all_live(self._standing):
            ready.set_result(None)

    # --- what frames say about the connection itself

    def hear(self, live: _Live, decoded: Sequence[Decoded]) -> None:
        """What a frame says about the connection is done; the rest is the owner's."""
        for item in decoded:
            act = self.control.get(type(item))
            if act is not None:
                act(live, item)

    def _on_logged_in(self, live: _Live, item: object) -> None:
        if not live.logged_in.done():
            live.logged_in.set_result(None)

    def _on_token_refused(self, live: _Live, item: object) -> None:
        assert isinstance(item, TokenRefused)
        if self._tokens is not None and live.token is not None:
            self._tokens.refused(live.token)
        live.end(Ended(End.LOGIN, f"token refused: {item.reason}"))

    def _on_ack(self, live: _Live, item: object) -> None:
        assert isinstance(item, TopicAck)
        self._acknowledges = True
        for channel in item.channels:
            outcome = self._topics.apply_ack(channel, item.subscribed, item.error, item.passing)
            self.counters.inc(outcome.value)
            if outcome is Outcome.REFUSED:
                self._refused(channel, item.error)
            elif outcome is Outcome.PUT_OFF and self._gate.opens("put_off"):
                self._log.warning("stream %s: %s refused for now: %s", self.name, channel, item.error)
            elif outcome is Outcome.ENDED and self._stands((channel,)):
                live.end(Ended(End.LOST, f"the venue ended {channel}"))
        self._check_standing()
        self._flush_soon()

    def _refused(self, channel: str, error: str) -> None:
        topic = next((topic for topic in self._standing if topic.channel == channel), None)
        ready = self._standing_ready
        if topic is not None and ready is not None and not ready.done():
            ready.set_exception(Refused(f"standing topic {channel} refused: {error}"))
            return
        self._log.error("stream %s: topic %s refused: %s", self.name, channel, error)

    def _on_lost(self, live: _Live, item: object) -> None:
        assert isinstance(item, Lost)
        self.counters.inc("session.lost")
        if item.channels is None or self._stands(item.channels):
            live.end(Ended(End.LOST, item.why))
            return
        for channel in item.channels:
            topic = self._topics.topic(channel)
            if topic is not None:
                self.resync(topic)

    def _stands(self, channels: Sequence[str]) -> bool:
        """True when one of these must always be held.

        Left and joined again, it would keep to itself what happened in between, and nobody would read that
        anew: only a new connection is recovered.
        """
        return any(topic.channel in channels for topic in self._standing)

    def _on_draining(self, live: _Live, item: object) -> None:
        assert isinstance(item, Draining)
        live.end(Ended(End.DRAINED, f"the venue closes it in {item.ms} ms"))

    def _on_quarantined(self, live: _Live, item: object) -> None:
        assert isinstance(item, Quarantined)
        self.counters.inc(f"quarantined.{item.kind}")
        if self._gate.opens(item.kind):
            self._log.warning("stream %s: quarantined %s: %s", self.name, item.kind, item.why)

    def _on_ignored(self, live: _Live, item: object) -> None:
        assert isinstance(item, Ignored)
        self.counters.inc(f"ignored.{item.kind}")

    def codec_failed(self, live: _Live, frame: Frame, error: Exception | None) -> None:
        """The codec broke its promise (raised, or said nothing): counted, logged, told to the owner."""
        live.troubled += 1
        self.counters.inc("frames.undecodable")
        why = "the codec said nothing" if error is None else f"the codec raised {type(error).__name__}"
        if self._gate.opens(why):
            self._log.error("stream %s: %s on a frame of %d", self.name, why, len(frame), exc_info=error)
        self._suspect(live, "codec_failed", why)

    def handler_failed(self, live: _Live, error: Exception) -> None:
        """A handler raised: this frame's effect is uncertain, so the owner hears of it."""
        live.troubled += 1
        self.counters.inc("frames.failed")
        if self._gate.opens("handler"):
            self._log.error("stream %s: a handler raised", self.name, exc_info=error)
        self._suspect(live, "handler_failed", f"a handler raised {type(error).__name__}")

    def stale_frame(self) -> None:
        """A frame of a connection that is over: dropped, counted."""
        self.counters.inc("frames.in")
        self.counters.inc("frames.stale")

    def _count(self, live: _Live) -> None:
        """The counters know every frame of this connection after this."""
        heard, troubled = live.counted
        live.counted = (live.heard, live.troubled)
        if live.heard > heard:
            self.counters.inc("frames.in", live.heard - heard)
        handled = live.heard - heard - (live.troubled - troubled)
        if handled > 0:
            self.counters.inc("frames.handled", handled)

    def _suspect(self, live: _Live, kind: str, why: str) -> None:
        doubt = Quarantined(kind, why, private=self._spec.auth is not StreamAuth.NONE)
        self.counters.inc(f"quarantined.{kind}")
        try:
            self.on_decoded((doubt,), live.epoch)
        except Exception as error:  # noqa: BLE001 - the handler that raised may raise again: counted, logged
            self.counters.inc("session.handler_failed_twice")
            live.end(Ended(End.LOST, f"{why}, and again: {type(error).__name__}"))

    # --- timers

    def _watch_silence(self, live: _Live) -> None:
        limit = self._spec.silence_ms * 1_000_000
        silence = Silence(limit)
        messages = Silence(self._topics.answer_ns)
        step = max(1, limit // 4)

        def look() -> None:
            now = self.clock.mono_ns()
            self._count(live)
            if silence.apply(live.heard + live.signs, now):
                live.end(Ended(End.STALE, f"nothing received for {self._spec.silence_ms} ms"))
                return
            mute = messages.apply(live.heard, now)
            for topic in self._topics.apply_time(now):
                self.counters.inc("topics.unanswered")
                self._log.warning("stream %s: no answer for topic %s", self.name, topic.channel)
                if mute and self._acknowledges:
                    # A peer that answers pings and nothing else is no stream.
                    live.end(Ended(End.STALE, f"nothing came, nor an answer for topic {topic.channel}"))
                    return
            self._flush_soon()
            self._timers["silence"] = self.clock.call_at(now + min(step, 1_000_000_000), look)

        look()

    def _keep_alive(self, live: _Live) -> None:
        if self._spec.heartbeat_ms is None:
            return
        step = self._spec.heartbeat_ms * 1_000_000

        def beat() -> None:
            frame = live.codec.keepalive()
            if frame is None or live.link is None:
                return
            try:
                live.link.send(frame)
                self.counters.inc("frames.out")
            except OutcomeUnknown as error:
                live.end(Ended(End.CLOSED, error.message))
                return
            self._timers["heartbeat"] = self.clock.call_at(self.clock.mono_ns() + step, beat)

        self._timers["heartbeat"] = self.clock.call_at(self.clock.mono_ns() + step, beat)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
