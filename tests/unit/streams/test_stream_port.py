"""Requests over a session: every request ends in its reply or in evidence of what may have left."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from nautilus_trader.model import AccountId
from stream_fakes import FakeCodec, World

from venuekit.errors import BadValue, SendFailed
from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.manifest import PortKind, PortSpec, StreamSpec
from venuekit.interfaces.request import Evidence, HttpRequest, Reply, StreamRequest
from venuekit.interfaces.stream import StreamReply
from venuekit.interfaces.venue import AccountParts, Parts
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.rpc import StreamPort
from venuekit.runtime.session import Session

ORDER = StreamRequest("submit", "order.create", b"{}")
CANCEL = StreamRequest("cancel", "order.cancel", b"{}")


def play(script: Callable[[World, Session, StreamPort], Awaitable[None]], *, start: bool = True) -> World:
    async def main() -> World:
        world = World()
        session = world.session()
        port = StreamPort(session, world.clock, {"submit": 2_000})

        def feed(items: Sequence[Any], epoch: int) -> None:
            for item in items:
                if isinstance(item, StreamReply):
                    port.resolve(item)

        session.on_decoded = feed
        if start:
            starting = asyncio.ensure_future(session.start())
            await world.run()
            await starting
        await script(world, session, port)
        stopping = asyncio.ensure_future(session.stop())
        await world.run(2)
        await stopping
        assert len(port) == 0
        return world

    return asyncio.run(main())


async def ended(task: asyncio.Task[Reply]) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await task
    return caught.value


def test_replies_find_their_request_by_key_in_any_order():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        sent: list[str] = []
        tasks = [
            asyncio.ensure_future(port.send(request, on_sent=lambda op=request.op: sent.append(op)))
            for request in (ORDER, CANCEL)
        ]
        await world.run()
        assert sent == ["submit", "cancel"]
        assert world.server.link.sent == [
            {"req": "order.create", "key": 1},
            {"req": "order.cancel", "key": 2},
        ]
        world.server.link.says(reply=[2])
        await world.run()
        assert (tasks[0].done(), (await tasks[1]).status) == (False, "ok")
        world.server.link.says(reply=[1])
        await world.run()
        assert (await tasks[0]).body == b"{}"

    play(script)


def test_a_reply_without_key_belongs_to_the_oldest_of_its_scope():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        tasks = [asyncio.ensure_future(port.send(request)) for request in (ORDER, CANCEL, ORDER)]
        await world.run()
        world.server.link.says(reply=[None, "cancel"])
        await world.run()
        assert [task.done() for task in tasks] == [False, True, False]
        world.server.link.says(reply=[None, "order.create"])
        await world.run()
        assert [task.done() for task in tasks] == [True, True, False]
        world.server.link.says(reply=[None])
        await world.run()
        assert tasks[2].done()

    play(script)


def test_a_connection_lost_with_a_submit_pending_means_maybe_sent():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        task = asyncio.ensure_future(port.send(ORDER))
        await world.run()
        world.server.link.cut()
        await world.run()
        assert (await ended(task)).evidence is Evidence.MAYBE_SENT
        # The reply of the old connection can never come; the same key on the new one is nobody's.
        await world.run(1)
        world.server.link.says(reply=[1])
        assert not any("req" in said for link in world.server.links[1:] for said in link.sent)

    world = play(script)
    assert world.counters.get("rpc.lost") == 1
    assert world.counters.get("rpc.reply_unmatched") == 1


def test_what_was_lost_goes_without_the_collector():
    kept: list[weakref.ref[StreamRequest]] = []

    async def script(world: World, session: Session, port: StreamPort) -> None:
        request = evolve(ORDER, op="submit")
        kept.append(weakref.ref(request))
        losing = asyncio.ensure_future(lose(world))
        # `pytest.raises`, or a task here, would keep the error, and with it every frame.
        with suppress(SendFailed):
            await port.send(request)
        await losing

    async def lose(world: World) -> None:
        await world.run()
        world.server.link.cut()
        await world.run()

    gc.disable()
    try:
        play(script)
        assert kept[0]() is None
    finally:
        gc.enable()


def test_no_reply_in_time_means_maybe_sent_and_the_late_reply_is_counted():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        task = asyncio.ensure_future(port.send(ORDER))
        await world.run(1.9)
        assert not task.done()
        await world.run(0.2)
        assert (await ended(task)).evidence is Evidence.MAYBE_SENT
        world.server.link.says(reply=[1])

    world = play(script)
    assert world.counters.get("rpc.timeout") == 1
    assert world.counters.get("rpc.reply_unmatched") == 1


def test_without_a_live_stream_nothing_was_sent():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        handed_over: list[int] = []
        with pytest.raises(SendFailed) as caught:
            await port.send(ORDER, on_sent=lambda: handed_over.append(1))
        assert caught.value.evidence is Evidence.NOT_SENT
        assert handed_over == []

    play(script, start=False)

    async def cut(world: World, session: Session, port: StreamPort) -> None:
        world.server.link.cut()
        with pytest.raises(SendFailed) as caught:
            await port.send(ORDER)
        assert caught.value.evidence is Evidence.NOT_SENT

    play(cut)


def test_a_stop_ends_what_is_pending():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        task = asyncio.ensure_future(port.send(ORDER))
        await world.run()
        stopping = asyncio.ensure_future(session.stop())
        await world.run(2)
        await stopping
        assert (await ended(task)).evidence is Evidence.MAYBE_SENT

    play(script)


def test_a_cancelled_caller_leaves_no_entry():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        task = asyncio.ensure_future(port.send(ORDER))
        await world.run()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(port) == 0

    play(script)


def test_another_kind_of_request_is_a_mistake():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        with pytest.raises(BadValue):
            await port.send(HttpRequest("op", "GET", "/x"))

    play(script)


def test_a_reply_that_comes_inside_the_send_is_not_lost():
    async def script(world: World, session: Session, port: StreamPort) -> None:
        link = world.server.link
        send = link.send

        def answers_at_once(frame: bytes | str) -> None:
            send(frame)
            link.says(reply=[1])

        link.send = answers_at_once
        task = asyncio.ensure_future(port.send(ORDER))
        await world.run()
        assert (await task).status == "ok"

    play(script)


def test_two_ports_over_one_stream_never_take_each_others_replies():
    """As a venue is composed: a port for orders and one for cancels, both over the private stream."""

    async def main() -> None:
        world = World()
        text = '[venues.paradex]\nenvironment = "simulator"\n'
        config = parse_config(text, environ={}).venues["paradex"]
        venue = OpenedVenue(config, clock=world.clock, journal=MemoryJournal())
        port = PortSpec(PortKind.STREAM, "private")
        venue.manifest = evolve(
            venue.manifest,
            ports={"orders": port, "cancels": port},
            streams={"private": StreamSpec("stream")},
        )
        account = AccountParts("1", lambda: FakeCodec(private=True), object(), object())  # type: ignore[arg-type]
        venue._parts = Parts(object(), account=account)  # type: ignore[arg-type]
        venue._stream_transport = lambda: world.server  # type: ignore[assignment,method-assign,return-value]
        service = venue.execution(object(), AccountId("PARADEX-1"))  # type: ignore[arg-type]
        session = venue._private
        assert session is not None
        starting = asyncio.ensure_future(session.start())
        await world.run()
        await starting
        ports = service.commands._dispatcher._ports
        create = asyncio.ensure_future(ports["orders"].send(ORDER))
        cancel = asyncio.ensure_future(ports["cancels"].send(CANCEL))
        await world.run()
        keys = {said["req"]: said["key"] for said in world.server.link.sent if "req" in said}
        world.server.link.says(reply=[keys["order.cancel"]])
        await world.run()
        assert (create.done(), cancel.done()) == (False, True)
        world.server.link.says(reply=[keys["order.create"]])
        await world.run()
        assert create.done()
        assert venue.counters.get("rpc.reply_unmatched") == 0
        await service.stop()
        await venue.close()

    asyncio.run(main())
