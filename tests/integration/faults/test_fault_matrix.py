"""Every way of losing a reply, for every command, on both routes: one effect at most, and the right end.

What never left at all is in `test_fault_submit`: there nobody can connect. In half of the cases the private
stream keeps the order to itself as well, so that it must be found by asking.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import frozen
from engine_double import market
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC_ID, Rig, run, until

CREATE, CANCEL, CANCEL_ALL = "create", "cancel", "cancel_all"
IN = {
    "ws": {name: f'*"order.{name}"*' for name in (CREATE, CANCEL, CANCEL_ALL)},
    "rest": {
        CREATE: "POST /v1/orders",
        CANCEL: "DELETE /v1/orders/*",
        CANCEL_ALL: "DELETE /v1/orders",
    },
}
QUICK = {"submit": 400, "cancel": 400, "cancel_all": 400}
JSON_500 = '{"error":"INTERNAL_ERROR","message":"try again"}'


@frozen
class Way:
    """How the reply is lost, whether the venue acted all the same, and how often the bytes were sent."""

    arrives: bool
    fault: dict[str, object] | None = None
    sent: int = 1
    """Two only where the first was refused with a proof that nothing was looked at."""


def http(status: int, body: str, kind: str) -> dict[str, object]:
    return {"kind": "F19", "status": status, "body": body, "content_type": kind}


HTML = http(503, "<html>Service Unavailable</html>", "text/html")
AFTER = {"trigger": {"cut": "C3"}}

WAYS = {
    "ws": {
        "reset before it is read": Way(False, {"kind": "F05", "points": ["in"]}),
        "dropped unread": Way(False, {"kind": "F16", "points": ["in"]}),
        "limited instead of it": Way(False),
        "reset instead of the reply": Way(True, {"kind": "F05", "points": ["out"]}),
        "the reply is lost": Way(True, {"kind": "F16", "points": ["out"]}),
        "half of the reply": Way(True, {"kind": "F12", "points": ["out"], "keep_bytes": 20}),
        "the reply comes too late": Way(True, {"kind": "F20", "points": ["out"], "delay_ms": 900}),
        "closed instead of the reply": Way(True, {"kind": "F06", "points": ["out"], "code": 1012}),
        "the token is refused": Way(True, {"kind": "F21", "points": ["in"]}, sent=2),
    },
    "rest": {
        "reset before it is read": Way(False, {"kind": "F05", "points": ["request"]}),
        "503 instead of it": Way(False, {**HTML, "points": ["request"]}),
        "429 instead of it, with Retry-After": Way(
            False, {"kind": "F18", "points": ["request"], "retry_after": "1"}
        ),
        "429 instead of it": Way(False, {"kind": "F18", "points": ["request"]}),
        "429 after it was taken": Way(True, {"kind": "F18", **AFTER}),
        "503 HTML after it was taken": Way(True, {**HTML, **AFTER}),
        "500 JSON after it was taken": Way(True, {**http(500, JSON_500, "application/json"), **AFTER}),
        "502 without a body after it was taken": Way(True, {**http(502, "", "text/html"), **AFTER}),
        "reset instead of the reply": Way(True, {"kind": "F05", **AFTER}),
        "half of the reply": Way(True, {"kind": "F12", "points": ["request"], "keep_bytes": 5}),
        "the reply comes too late": Way(True, {"kind": "F20", "points": ["request"], "delay_ms": 900}),
        "the token is refused": Way(True, {"kind": "F21", "points": ["request"]}, sent=2),
    },
}
CASES = pytest.mark.parametrize(
    ("route", "way"),
    [
        pytest.param(route, way, id=f"{route}-{name}")
        for route, ways in WAYS.items()
        for name, way in ways.items()
    ],
)


def arm(rig: Rig, route: str, way: Way, command: str) -> Callable[[], bool]:
    """The next such command loses its reply this way; the answer says whether it did."""
    if way.fault is None:
        return limit_reached(rig)
    label = IN[route][command]
    if way.fault.get("points") == ["out"]:
        label = f"reply:order.{command}"
    number = rig.x.fault(**way.fault, label=label)
    return lambda: number in {one for _, one, _ in rig.x.simulator.faults.history}


def limit_reached(rig: Rig) -> Callable[[], bool]:
    """The account is over its limit of orders for a moment: refused at the door, before order entry."""
    meter = rig.x.simulator.service.meter
    before = len(meter.breaches)
    for bucket in meter._buckets["orders", rig.x.account]:
        bucket.refill(rig.venue.clock.mono_ns())
        bucket.tokens_ns = -bucket.price_ns(1) * 80
    return lambda: len(meter.breaches) > before


def keep_silent(rig: Rig) -> None:
    """The private stream tells nothing of orders and fills, and is not opened anew for that."""
    rig.service._recovery._reconnect_from_ns = 2**63
    for channel in ("orders.ALL", "fills.ALL"):
        rig.x.fault("F16", points=["out"], label=channel, times=50)


async def placed(rig: Rig, route: str, way: Way, order: object, wanted: str, silent: bool) -> None:
    """The order is handed over, its reply is lost, and it ends as the venue has it."""
    name = order.client_order_id.value
    if silent:
        keep_silent(rig)
    happened = arm(rig, route, way, CREATE)
    rig.engine.add(order)
    rig.service.commands.submit([order])
    await until(happened, f"{name} met its fault")
    if not way.arrives:
        assert order.status == OrderStatus.SUBMITTED, "no reply is no refusal"
    await rig.status(order, wanted if way.arrives else "REJECTED")
    assert rig.x.submits(name) == way.sent, name
    assert len(rig.x.orders(name)) == way.arrives, name
    if not way.arrives:
        assert rig.engine.reasons[name].startswith("NOT_FOUND_AT_VENUE")
    rig.x.lift()
    await rig.live()


@CASES
def test_a_submit_has_one_effect_at_most(route: str, way: Way) -> None:
    async def body(rig: Rig) -> None:
        await rig.accepted("FIRST")
        await placed(rig, route, way, rig.make("RESTS"), "ACCEPTED", silent=True)
        for price in ("83400.0", "83400.1", "83400.2"):
            rig.x.counter("SELL", "0.004", price)
        taker = rig.make("TAKES", "BUY", "0.01", "83500.0")
        await placed(rig, route, way, taker, "FILLED", silent=False)
        rig.x.counter("SELL", "0.02", "83400.0")
        await placed(rig, route, way, market("MARKET", BTC_ID, "0.01000"), "FILLED", silent=True)
        if way.arrives:
            assert len(taker.trade_ids) == 3
            # An order that was found is as good as any other.
            rig.x.cross("RESTS", "0.004")
            resting = rig.engine.orders["RESTS"]
            await rig.status(resting, "PARTIALLY_FILLED")
        # And the next one is none the worse.
        await rig.accepted("LAST")

    run(body, timeouts_ms=QUICK, own={"order_route": route})


def cancels(rig: Rig) -> int:
    """Cancels of single orders that reached the venue."""
    return rig.x.sent('"order.cancel"') + rig.x.sent("DELETE /v1/orders/")


def ends(rig: Rig, name: str) -> int:
    return sum(line.startswith("canceled") for line in rig.engine.events(name))


@CASES
def test_a_cancel_ends_in_one_end(route: str, way: Way) -> None:
    async def body(rig: Rig) -> None:
        one = await rig.accepted("ONE")
        rig.x.cross("ONE", "0.004")
        await rig.status(one, "PARTIALLY_FILLED")
        keep_silent(rig)
        happened = arm(rig, route, way, CANCEL)
        rig.cancel(one)
        await until(happened, "the cancel met its fault")
        await rig.status(one, "CANCELED")
        # A cancel may leave again: an order ends only once. It does when it was seen open after a loss.
        assert cancels(rig) == (way.sent if way.arrives else 2)
        rig.x.lift()
        await rig.live()
        every = [await rig.accepted(f"ALL-{n}") for n in range(3)]
        before = cancels(rig)
        happened = arm(rig, route, way, CANCEL_ALL)
        for order in every:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(BTC_ID, None, every)
        await until(happened, "the cancel of all met its fault")
        rig.x.cross("ALL-1", "0.004")
        for order in every:
            await rig.status(order, "CANCELED")
        assert cancels(rig) - before == (0 if way.arrives else 3)
        assert [ends(rig, name) for name in ("ONE", "ALL-0", "ALL-1", "ALL-2")] == [1, 1, 1, 1]

    run(body, timeouts_ms=QUICK, own={"order_route": route}, sim={"cancel_delay_ms": "100", "jitter_ms": "0"})

