"""A session under virtual time: login before topics, reconnects, silence, stale frames, clean stops."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stream_fakes import MS, SECOND, World

from venuekit.core.retry import FullJitter
from venuekit.core.subscriptions import Stage
from venuekit.errors import NotReady, RateLimited, Refused, SendFailed, VenuekitError
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import Ignored, Quarantined, Topic
from venuekit.runtime.session import Session, SessionState

A, B, C = (Topic("public", name) for name in "abc")


async def started(world: World, session: Session) -> None:
    starting = asyncio.ensure_future(session.start())
    await world.run(1)
    await starting


def play(script: Callable[[World, Session], Awaitable[None]], *, start: bool = True, **options: Any) -> World:
    async def main() -> World:
        world = World()
        session = world.session(**options)
        if start:
            await started(world, session)
        before = len(asyncio.all_tasks())
        await script(world, session)
        stopping = asyncio.ensure_future(session.stop())
        await world.run(2)
        await stopping
        assert session.state is SessionState.STOPPED
        assert world.server.open_links == 0
        assert world.clock.next_timer_ns() is None
        assert len(asyncio.all_tasks()) <= before
        assert world.frames_balance()
        return world

    return asyncio.run(main())


def failing(error: VenuekitError, **options: Any) -> tuple[World, BaseException]:
    async def main() -> tuple[World, BaseException]:
        world = World()
        world.server.refuse_connect = error
        session = world.session(**options)
        starting = asyncio.ensure_future(session.start())
        await world.run(60)
        assert starting.done()
        caught = starting.exception()
        assert caught is not None
        assert world.clock.next_timer_ns() is None
        return world, caught

    return asyncio.run(main())


def not_sent() -> SendFailed:
    return SendFailed("refused", evidence=Evidence.NOT_SENT)


def test_login_comes_before_every_topic_and_live_after_the_standing_ones():
    async def script(world: World, session: Session) -> None:
        assert [list(said) for said in world.server.link.sent] == [["login"], ["sub"]]
        assert world.server.asked() == ["orders"]

    world = play(script, private=True)
    assert world.seen.states == ["connecting", "authenticating", "live", "stopped"]


def test_topics_added_in_one_turn_travel_together_and_only_once():
    async def script(world: World, session: Session) -> None:
        for topic in (A, B, A, C):
            session.add(topic)
        session.drop(C)
        await world.run()
        assert world.server.link.sent == [{"sub": ["a", "b"]}]

    play(script)


def test_a_lost_connection_comes_back_with_exactly_the_wanted_topics():
    async def script(world: World, session: Session) -> None:
        for topic in (A, B, C):
            session.add(topic)
        await world.run()
        session.drop(B)
        await world.run()
        old = world.server.link
        old.cut()
        await world.run(1)
        assert session.state is SessionState.LIVE
        assert world.server.link is not old
        assert world.server.asked() == ["a", "c"]
        assert session.epoch == 2

    world = play(script)
    assert world.seen.states == ["connecting", "live", "backing_off", "connecting", "live", "stopped"]


def test_a_stream_of_topics_without_one_is_not_opened_over_and_over():
    async def script(world: World, session: Session) -> None:
        session.add(A)
        await world.run()
        session.drop(A)
        await world.run()
        old = world.server.link
        old.cut(4031, "no active subscription")
        await world.run(3600)
        assert session.state is SessionState.RESTING
        assert world.server.link is old
        session.add(B)
        await world.run()
        assert session.state is SessionState.LIVE
        assert world.server.asked() == ["b"]
        assert session.epoch == 2

    world = play(script, rests=True)
    assert world.seen.states == [
        "connecting", "live", "backing_off", "resting", "connecting", "live", "stopped",
    ]  # fmt: skip


def test_waking_up_does_not_shorten_the_back_off():
    async def script(world: World, session: Session) -> None:
        world.server.link.cut()
        await world.run()
        assert session.state is SessionState.RESTING
        session.add(A)
        await world.run()
        assert session.state is SessionState.RESTING
        await world.run(0.1)
        assert session.state is SessionState.LIVE

    class Fixed:
        def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, draw: float) -> int:
            return 100 * MS

    play(script, rests=True, retry=Fixed())


def test_a_stream_that_carries_more_than_topics_comes_back_without_one():
    async def script(world: World, session: Session) -> None:
        world.server.link.cut(4031, "no active subscription")
        await world.run(1)
        assert session.state is SessionState.LIVE

    play(script)


def test_frames_of_a_dead_connection_are_dropped_and_counted():
    async def script(world: World, session: Session) -> None:
        old = world.server.link
        old.says(order=["first"])
        old.cut()
        old.says(order=["late"])
        await world.run(1)
        old.says(order=["later still"])
        world.server.link.says(order=["new"])

    world = play(script)
    assert world.seen.decoded == [(1, ["first"]), (2, ["new"])]
    assert world.counters.get("frames.stale") == 2
    assert world.counters.get("frames.in") == 4


def test_sending_is_refused_with_evidence_unless_live():
    async def script(world: World, session: Session) -> None:
        with pytest.raises(SendFailed) as caught:
            session.send("{}")
        assert caught.value.evidence is Evidence.NOT_SENT
        with pytest.raises(NotReady):
            _ = session.codec
        await started(world, session)
        session.send('{"hello":1}')
        assert world.server.link.sent == [{"hello": 1}]
        world.server.link.cut()
        with pytest.raises(SendFailed):
            session.send("{}")

    play(script, start=False)


@pytest.mark.parametrize("code", ["400", "401", "403", "404"])
def test_a_refused_handshake_fails_the_start_at_once(code: str):
    world, caught = failing(Refused("no", code=code))
    assert isinstance(caught, Refused)
    assert world.clock.mono_ns() == 60 * SECOND
    assert world.counters.get("session.ended.hopeless") == 1


def test_a_start_ends_with_the_last_error_when_the_policy_gives_up():
    world, caught = failing(not_sent(), retry=FullJitter(attempts=3, base_ns=100 * MS))
    assert isinstance(caught, SendFailed)
    assert world.counters.get("session.ended.unreachable") == 3


def test_a_start_that_never_succeeds_is_bounded_even_when_the_policy_never_gives_up():
    _, caught = failing(not_sent())
    assert isinstance(caught, SendFailed)


def test_a_connect_that_hangs_is_bounded():
    async def main() -> None:
        world = World()
        world.server.hang = True
        session = world.session(retry=FullJitter(attempts=2, base_ns=MS))
        starting = asyncio.ensure_future(session.start())
        await world.run(19)
        assert not starting.done()
        await world.run(5)
        caught = starting.exception()
        assert isinstance(caught, SendFailed)
        assert caught.evidence is Evidence.NOT_SENT
        assert world.clock.next_timer_ns() is None

    asyncio.run(main())


def test_a_venue_that_limits_connections_is_obeyed():
    async def script(world: World, session: Session) -> None:
        world.server.refuse_connect = RateLimited("slow", retry_after_ns=4 * SECOND)
        world.server.link.cut()
        await world.run(1)
        world.server.refuse_connect = None
        await world.run(2)
        assert session.state is SessionState.BACKING_OFF
        await world.run(2)
        assert session.state is SessionState.LIVE

    play(script)


def test_a_refused_login_at_start_is_tried_with_one_new_token_and_then_with_back_off():
    async def main() -> None:
        world = World()
        world.server.accept_login = False
        session = world.session(private=True, retry=FullJitter(attempts=3, base_ns=100 * MS))
        starting = asyncio.ensure_future(session.start())
        await world.run(40)
        assert isinstance(starting.exception(), NotReady)
        assert "token refused" in str(starting.exception())
        assert world.tokens.refusals == world.tokens.given == 3
        assert world.server.open_links == 0

    asyncio.run(main())


def test_nothing_is_sendable_from_the_refusal_of_the_token_until_the_next_connection_is_live():
    async def script(world: World, session: Session) -> None:
        assert session.sendable
        world.server.link.says(token_refused="expired")
        assert not session.sendable, "before any task has run"
        with pytest.raises(SendFailed):
            session.send("{}")
        waiting = [asyncio.ensure_future(session.until_live(1_000_000_000)) for _ in range(3)]
        await world.run(0.001)
        assert [one.result() for one in waiting] == [True, True, True]
        assert session.sendable
        assert session.epoch == 2
        world.server.link.cut()
        await session.stop()
        late = asyncio.ensure_future(session.until_live(1_000_000_000))
        await world.run(0.999)
        assert not late.done()
        await world.run(0.002)
        assert late.result() is False

    play(script, private=True)


def test_a_token_refused_in_mid_session_means_a_new_one_then_login_then_topics():
    async def script(world: World, session: Session) -> None:
        session.add(A)
        await world.run()
        world.server.link.says(token_refused="expired")
        await world.run(0.001)  # no back-off: the token is what was wrong
        assert world.tokens.refusals == 1
        assert [list(said) for said in world.server.link.sent] == [["login"], ["sub"]]
        assert world.server.link.sent[0] == {"login": "token-2"}
        assert set(world.server.asked()) == {"orders", "a"}
        assert session.state is SessionState.LIVE

    play(script, private=True)


def test_an_unanswered_login_is_bounded():
    async def main() -> None:
        world = World()
        session = world.session(private=True, retry=FullJitter(attempts=1))
        world.server.heard = lambda link, said: None  # type: ignore[method-assign]
        starting = asyncio.ensure_future(session.start())
        await world.run(11)
        assert isinstance(starting.exception(), NotReady)
        assert "login" in str(starting.exception())

    asyncio.run(main())


def test_a_refused_standing_topic_fails_the_start():
    async def main() -> None:
        world = World()
        world.server.auto_ack = False
        session = world.session(private=True)
        starting = asyncio.ensure_future(session.start())
        await world.run()
        world.server.link.says(refuse=["orders", "not allowed"])
        await world.run(1)
        assert isinstance(starting.exception(), Refused)

    asyncio.run(main())


def test_silence_ends_the_connection_and_any_sign_of_life_keeps_it():
    async def script(world: World, session: Session) -> None:
        for _ in range(10):
            await world.run(5)
            world.server.link.receiver.on_alive()
        for _ in range(10):
            await world.run(5)
            world.server.link.says(beat=1)
        assert session.epoch == 1
        await world.run(9)
        assert session.epoch == 1
        await world.run(8)
        assert session.epoch == 2
        assert session.state is SessionState.LIVE

    world = play(script, silence_ms=10_000)
    assert world.counters.get("session.ended.stale") == 1
    assert world.counters.get("ignored.beat") == 10


def test_heartbeats_are_sent_at_their_interval_and_stop_with_the_connection():
    async def script(world: World, session: Session) -> None:
        await world.run(9.5)
        assert world.server.link.sent.count({"ping": 1}) == 5

    play(script, heartbeat_ms=2_000)


def test_a_loss_is_told_at_once_though_the_peer_is_slow_to_close():
    async def script(world: World, session: Session) -> None:
        clock, link, told = world.clock, world.server.link, []
        closed = link.close

        async def slow(code: int = 1000) -> None:
            await clock.sleep_until(clock.mono_ns() + SECOND)
            await closed(code)

        link.close = slow
        session.listen(lambda state, _why: told.append((state, clock.mono_ns())))
        lost_ns = clock.mono_ns()
        session.reconnect("silence")
        await world.run(0.5)
        assert told == [(SessionState.BACKING_OFF, lost_ns)]
        assert len(world.server.links) == 1, "one connection at a time"
        await world.run(1)
        assert session.state is SessionState.LIVE

    play(script)


def test_a_storm_of_accepted_and_dropped_connections_is_slowed_down():
    async def script(world: World, session: Session) -> None:
        for _ in range(400):
            if world.server.link.open:
                world.server.link.cut()
            await world.run(0.5)
        # 200 s; without a growing pause there would be one connection every half second.
        assert len(world.server.links) < 120

    play(script, retry=FullJitter(base_ns=500 * MS, cap_ns=8 * SECOND, attempts=0))


def test_a_fatal_close_code_ends_it_for_good():
    async def script(world: World, session: Session) -> None:
        world.server.link.cut(4001, "banned")
        await world.run(100)
        assert session.state is SessionState.FAILED
        assert len(world.server.links) == 1

    world = play(script, fatal_close_codes=(4001,))
    assert world.seen.states[-2:] == ["failed", "stopped"]


def test_an_announced_close_is_answered_by_moving_at_once():
    async def script(world: World, session: Session) -> None:
        first = world.server.link
        world.server.link.says(drain=5_000)
        await world.run(0.001)
        assert session.epoch == 2
        assert not first.open
        assert world.server.open_links == 1

    play(script)


def test_data_lost_on_everything_reconnects_and_on_one_topic_resyncs_it():
    async def script(world: World, session: Session) -> None:
        session.add(A)
        session.add(B)
        await world.run()
        world.server.link.says(lost=["b"])
        await world.run()
        assert world.server.left() == ["b"]
        assert world.server.asked() == ["a", "b", "b"]
        world.server.link.says(lost=None)
        await world.run(0.001)
        assert session.epoch == 2

    play(script)


@pytest.mark.parametrize("said", [{"lost": ["orders"]}, {"unack": ["orders"]}])
def test_a_standing_topic_that_was_lost_or_ended_costs_its_connection(said: dict[str, list[str]]):
    """Left and joined again it would have a hole that nobody knows of."""

    async def script(world: World, session: Session) -> None:
        session.add(A)
        await world.run()
        world.server.link.says(**said)
        assert not session.sendable
        await world.run(1)
        assert session.epoch == 2
        assert session.state is SessionState.LIVE
        assert world.server.asked() == ["orders", "a"]

    world = play(script, private=True)
    assert world.seen.states[3:6] == ["backing_off", "connecting", "authenticating"]
    assert world.counters.get("topics.resync") == 0


def test_a_refused_topic_is_told_and_the_others_live(caplog):
    async def script(world: World, session: Session) -> None:
        world.server.auto_ack = False
        session.add(A)
        session.add(B)
        await world.run()
        world.server.link.says(refuse=["a", "no such market"])
        world.server.link.says(ack=["b"])
        await world.run()

    world = play(script)
    told = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert told == ["stream test: topic a refused: no such market"]
    assert world.counters.get("topics.refused") == 1
    assert world.counters.get("topics.confirmed") == 1


def test_a_topic_refused_for_a_reason_that_passes_is_asked_for_ever_later_until_it_is_given(caplog):
    async def script(world: World, session: Session) -> None:
        world.server.auto_ack = False
        asked: list[float] = []
        world.server.heard = lambda link, said: "sub" in said and asked.append(world.clock.mono_ns())  # type: ignore[method-assign,func-returns-value]
        session.add(A)
        session.add(B)
        await world.run()
        world.server.link.says(ack=["b"])
        for _ in range(4):
            world.server.link.says(refuse=["a", "too many requests", True])
            before = len(asked)
            while len(asked) == before:
                await world.run(1)
        pauses = [(later - one) / SECOND for one, later in itertools.pairwise(asked)]
        assert [round(one) for one in pauses] == [5, 10, 20, 40]
        world.server.link.says(ack=["a"])
        assert session.stage(A) is Stage.LIVE
        for _ in range(10):
            await world.run(60)
            world.server.link.says(beat=1)
        assert len(asked) == 5

    world = play(script)
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert world.counters.get("topics.put_off") == 4
    assert world.counters.get("topics.refused") == 0


def test_a_standing_topic_that_is_put_off_delays_the_start_and_does_not_fail_it():
    async def main() -> None:
        world = World()
        session = world.session(private=True)
        world.server.auto_ack = False
        starting = asyncio.ensure_future(session.start())
        await world.run()
        world.server.link.says(refuse=["orders", "too many requests", True])
        world.server.auto_ack = True
        await world.run(6)
        await starting
        assert session.state is SessionState.LIVE
        assert len(world.server.links) == 1
        stopping = asyncio.ensure_future(session.stop())
        await world.run(2)
        await stopping

    asyncio.run(main())


def test_a_lost_ack_is_asked_again_and_the_venues_complaint_stays_inside():
    async def script(world: World, session: Session) -> None:
        world.server.auto_ack = False
        session.add(A)
        await world.run(7)
        assert world.server.asked() == ["a", "a"]
        world.server.link.says(refuse=["a", "already subscribed"])
        await world.run()

    world = play(script)
    assert world.counters.get("topics.refused") == 0
    assert world.counters.get("topics.duplicate") == 1


@pytest.mark.parametrize("said", ['{"unknown":1}', "not json", '{"nothing":1}'])
@pytest.mark.parametrize("private", [False, True])
def test_a_codec_that_breaks_its_promise_costs_one_frame(said: str, private: bool):
    async def script(world: World, session: Session) -> None:
        world.server.link.receiver.on_frame(said)
        world.server.link.says(order=["still here"])

    world = play(script, private=private)
    (doubt,) = [item for _, item in world.seen.decoded if isinstance(item, Quarantined)]
    assert doubt.private is private
    assert world.seen.decoded[-1] == (1, ["still here"])
    assert world.counters.get("frames.undecodable") == 1
    assert world.counters.get("quarantined.codec_failed") == 1


def test_a_raising_handler_costs_one_frame_and_asks_for_a_recovery():
    async def script(world: World, session: Session) -> None:
        heard: list[Any] = []

        def handler(items: Any, epoch: int) -> None:
            heard.extend(items)
            if ["bad"] in items:
                raise RuntimeError("planted")

        world.seen.on_decoded = handler  # type: ignore[method-assign]
        world.server.link.receiver._on_decoded = handler
        session.on_decoded = handler
        world.server.link.says(order=["bad"])
        world.server.link.says(order=["good"])
        assert heard[-1] == ["good"]
        assert [item.kind for item in heard if isinstance(item, Quarantined)] == ["handler_failed"]
        assert session.state is SessionState.LIVE

    world = play(script)
    assert world.counters.get("frames.failed") == 1


def test_a_handler_that_always_raises_reconnects_instead_of_going_on_blindly():
    async def script(world: World, session: Session) -> None:
        world.seen.raises = True
        world.server.link.says(order=["x"])
        world.seen.raises = False
        await world.run(1)
        assert session.epoch == 2
        assert session.state is SessionState.LIVE

    play(script)


def test_a_raising_listener_keeps_nobody_else_from_hearing():
    async def script(world: World, session: Session) -> None:
        heard: list[str] = []

        def raising(state: SessionState, reason: str) -> None:
            raise RuntimeError("planted")

        session.listen(raising)
        session.listen(lambda state, reason: heard.append(state.value))
        world.server.link.cut()
        await world.run(1)
        assert heard == ["backing_off", "connecting", "live"]

    play(script)


def test_a_mistake_while_connecting_is_one_failed_attempt():
    async def script(world: World, session: Session) -> None:
        world.server.refuse_connect = KeyError("a mistake of a driver")
        world.server.link.cut()
        await world.run(2)
        assert session.state in (SessionState.BACKING_OFF, SessionState.CONNECTING)
        world.server.refuse_connect = None
        await world.run(6)
        assert session.state is SessionState.LIVE

    world = play(script)
    assert world.counters.get("session.connection_crashed") >= 1


def test_a_connect_that_was_cancelled_by_its_driver_is_one_failed_attempt():
    async def script(world: World, session: Session) -> None:
        world.server.refuse_connect = asyncio.CancelledError()
        world.server.link.cut()
        await world.run(5)
        world.server.refuse_connect = None
        await world.run(10)
        assert session.state is SessionState.LIVE

    assert play(script).counters.get("session.connection_crashed") > 0


def test_receipt_times_never_decrease_though_the_machines_clock_is_set_back():
    async def script(world: World, session: Session) -> None:
        stamps: list[int] = []

        def decode(frame: Any, ts_init: int) -> Any:
            stamps.append(ts_init)
            return [Ignored("x")]

        for step in (0, 5, -3_600, 0, 2):
            world.clock.wall_start_ns += step * SECOND
            world.server.link.receiver._decode = decode
            world.server.link.says(beat=1)
        world.server.link.cut()
        await world.run(1)
        world.server.link.receiver._decode = decode
        world.server.link.says(beat=1)
        assert stamps == sorted(stamps)
        assert stamps[1] - stamps[0] == 5 * SECOND
        world.clock.wall_start_ns += 3_700 * SECOND
        world.server.link.says(beat=1)
        assert stamps[-1] == world.clock.wall_ns()

    play(script)


@pytest.mark.parametrize("moment", ["connecting", "login", "backing off", "live"])
def test_a_stop_at_any_moment_leaves_nothing(moment: str):
    async def main() -> None:
        world = World()
        session = world.session(private=True)
        if moment == "connecting":
            world.server.hang = True
        if moment == "login":
            world.server.heard = lambda link, said: None  # type: ignore[method-assign]
        if moment == "backing off":
            world.server.refuse_connect = not_sent()
        starting = asyncio.ensure_future(session.start())
        await world.run(0.01)
        stopping = asyncio.ensure_future(session.stop())
        await world.run(1.5)
        assert stopping.done()
        if moment != "live":
            assert isinstance(starting.exception(), NotReady)
        assert world.server.open_links == 0
        assert world.clock.next_timer_ns() is None
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
