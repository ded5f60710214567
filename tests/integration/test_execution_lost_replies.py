"""Every way of losing a reply at the two sample venues, for every command: one effect at most, the right end.

They have what Paradex has not: nonces in strict order, bytes that are recognised, cancels that need an id
which only the stream tells, changes, and time that is counted in blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from account_rig import Rig, load
from attrs import frozen
from memory_wire import answers, reply_lost, request_lost
from nautilus_trader.model import OrderStatus, Price

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Evidence
from venuekit.runtime.clock import ManualClock


@frozen
class Way:
    """What happens to the one command, and whether the venue acted on it."""

    fault: Callable[[object, Callable[[], object]], object]
    arrives: bool


def cut(rig: Rig, *, arrives: bool) -> Way:
    """The stream breaks around the command."""

    def fault(request: object, way: Callable[[], object]) -> object:
        if arrives:
            way()
        rig.exchange.cut()
        raise SendFailed("cut", evidence=Evidence.MAYBE_SENT)

    return Way(fault, arrives)


def garbled(status: int | str, body: bytes, *, arrives: bool) -> Callable[[Rig], Way]:
    return lambda rig: Way(answers(status, body, arrives=arrives), arrives)


# --- strict nonces

NONCE_WAYS: dict[str, Callable[[Rig], Way]] = {
    "the request is lost": lambda rig: Way(request_lost, arrives=False),
    "the reply is lost": lambda rig: Way(reply_lost, arrives=True),
    "cut before it is read": lambda rig: cut(rig, arrives=False),
    "cut after it was taken": lambda rig: cut(rig, arrives=True),
    "503 instead of it": garbled("error", b'{"code": 503}', arrives=False),
    "503 after it was taken": garbled("error", b'{"code": 503}', arrives=True),
    # A limit may sit before order entry or behind it: the reply is the same, so it proves nothing.
    "limited before order entry": garbled("error", b'{"code": 429}', arrives=False),
    "limited behind order entry": garbled("error", b'{"code": 429}', arrives=True),
}


def nonce_venue(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = await Rig.opened("nonce_venue", module.NonceExchange(clock), clock, signer=module.ToySigner())
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


def creates(rig: Rig, client: int) -> int:
    """How often a new order of this name reached the venue, whatever it answered."""
    return sum(tx["op"] == "create" and tx["client"] == client for tx in rig.exchange.commands())


def sent(rig: Rig, op: str) -> int:
    return sum(tx["op"] == op for tx in rig.exchange.commands())


@pytest.mark.parametrize("silent", [False, True], ids=["told", "silent"])
@pytest.mark.parametrize("made", NONCE_WAYS.values(), ids=NONCE_WAYS)
def test_a_submit_under_strict_nonces(made: Callable[[Rig], Way], silent: bool) -> None:
    async def body(rig: Rig) -> None:
        way = made(rig)
        rig.exchange.mute = silent
        rig.exchange.faults.append(way.fault)
        await rig.submit("O-1")
        await rig.run(30_000)
        rig.exchange.mute = False
        assert rig.events("O-1") == ["submitted", "accepted" if way.arrives else "rejected"]
        assert creates(rig, 1) == 1, "never a second transaction: it would have another nonce"
        assert len(rig.exchange.orders) == way.arrives
        # The nonce that was in doubt holds nobody up, and a fill is told once.
        await rig.submit("O-2")
        await rig.run(5_000)
        assert rig.events("O-2") == ["submitted", "accepted"]
        assert creates(rig, 2) == 1
        if way.arrives:
            rig.exchange.match(1, "1.000")
            assert rig.events("O-1")[2:] == ["filled 1.000@100.0 9000"]

    nonce_venue(body)


def test_a_limit_that_the_manifest_places_before_order_entry_is_a_proof() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(answers("error", b'{"code": 21900}'))
        await rig.submit("O-1")
        assert rig.events("O-1") == ["submitted", "rejected"]
        await rig.submit("O-2")
        assert rig.events("O-2") == ["submitted", "accepted"]
        assert [tx["nonce"] for tx in rig.exchange.commands()] == [40, 40], "its nonce is free"
        assert rig.counters.get("lookups.asked") == 0

    nonce_venue(body)


@pytest.mark.parametrize("made", NONCE_WAYS.values(), ids=NONCE_WAYS)
def test_a_cancel_under_strict_nonces(made: Callable[[Rig], Way]) -> None:
    async def body(rig: Rig) -> None:
        order, way = await rig.submit("O-1"), made(rig)
        rig.exchange.mute = True
        rig.exchange.faults.append(way.fault)
        rig.engine.pending_cancel(order)
        rig.service.commands.cancel([order])
        await rig.run(30_000)
        assert rig.events("O-1") == ["submitted", "accepted", "canceled"]
        assert sent(rig, "cancel") == (1 if way.arrives else 2), "again only when it was seen open"

    nonce_venue(body)


@pytest.mark.parametrize("made", NONCE_WAYS.values(), ids=NONCE_WAYS)
def test_a_change_under_strict_nonces(made: Callable[[Rig], Way]) -> None:
    async def body(rig: Rig) -> None:
        order, way = await rig.submit("O-1"), made(rig)
        rig.exchange.mute = True
        rig.exchange.faults.append(way.fault)
        rig.engine.pending_update(order)
        rig.service.commands.modify(order, None, Price.from_str("101.0"), None)
        await rig.run(30_000)
        told = "updated 1.000 101.0 NV-500" if way.arrives else "modify_rejected"
        assert rig.events("O-1")[2:] == [told]
        assert sent(rig, "modify") == 1, "a change is never sent again"
        assert order.status == OrderStatus.ACCEPTED
        assert str(order.price) == rig.exchange.orders[1]["price"]

    nonce_venue(body)


# --- the same bytes are recognised

HEIGHT_WAYS: dict[str, Callable[[Rig], Way]] = {
    "the request is lost": lambda rig: Way(request_lost, arrives=False),
    "the reply is lost": lambda rig: Way(reply_lost, arrives=True),
    "an unknown code instead of it": garbled("ok", b'{"code": 99}', arrives=False),
    "an unknown code after it was taken": garbled("ok", b'{"code": 99}', arrives=True),
    "a breakdown instead of it": garbled(14, b"", arrives=False),
    "a breakdown after it was taken": garbled(14, b"", arrives=True),
}
REPEATED = ("the request is lost", "the reply is lost")
"""Only bytes without any answer are sent once more."""


def height_venue(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        clock = ManualClock()
        exchange = load("height_venue", "height_exchange").HeightExchange(clock)
        rig = await Rig.opened("height_venue", exchange, clock)
        exchange.block()
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


def transactions(rig: Rig, kind: str) -> list[bytes]:
    return [one.message for one in rig.exchange.commands() if one.op == kind]


@pytest.mark.parametrize("name", HEIGHT_WAYS)
def test_a_submit_where_the_same_bytes_are_recognised(name: str) -> None:
    async def body(rig: Rig) -> None:
        way = HEIGHT_WAYS[name](rig)
        rig.exchange.faults.append(way.fault)
        await rig.submit("O-1")
        rig.exchange.block(frames=False)
        bytes_sent = transactions(rig, "place")
        arrived = way.arrives or name in REPEATED
        assert len(bytes_sent) == (2 if name in REPEATED else 1)
        assert len(set(bytes_sent)) == 1, "the very same ones"
        assert len(rig.exchange.orders) == arrived
        await rig.run(10_000)
        if not arrived:
            assert rig.events("O-1") == ["submitted"], "until its last block it may still be taken"
            for _ in range(25):
                rig.exchange.block()
            await rig.run(20_000)
        assert rig.events("O-1") == ["submitted", "accepted" if arrived else "rejected"]
        assert len(transactions(rig, "place")) == len(bytes_sent)

    height_venue(body)


@pytest.mark.parametrize("name", HEIGHT_WAYS)
def test_a_cancel_where_the_same_bytes_are_recognised(name: str) -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        rig.exchange.block()
        await rig.run(1)
        rig.exchange.faults.append(HEIGHT_WAYS[name](rig).fault)
        rig.engine.pending_cancel(order)
        rig.service.commands.cancel([order])
        for _ in range(25):
            rig.exchange.block(frames=False)
            await rig.run(2_000)
        await rig.run(20_000)
        log = rig.events("O-1")
        assert sum(line.startswith(("canceled", "expired")) for line in log) == 1, log
        assert len(log) == 3, log

    height_venue(body)
