"""Reconciliation on the simulator: pages that fail, history that lags, fills without an order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import pytest
import venuekit_paradex.reconciliation as reads
from paradex_rig import BTC, Exchange, Rig, exchange, opened, run, until

from venuekit.errors import VenuekitError

FAILS: Mapping[str, Mapping[str, object]] = {
    "502": {"kind": "F19", "status": 502},
    "HTML under 200": {"kind": "F19", "status": 200, "body": "<html>soon back</html>"},
    "an error under 200": {"kind": "F19", "status": 200, "body": '{"error":"INTERNAL_ERROR"}'},
    "empty under 200": {"kind": "F19", "status": 200, "body": ""},
    "cut in the middle": {"kind": "F12", "points": ["request"], "keep_bytes": 60},
}


def parts_of(x: Exchange, name: str, parts: int) -> None:
    """The order was filled in small parts, so that its fills take several pages of two."""
    for _ in range(parts):
        x.cross(name, "0.001")


def trades(rig: Rig) -> list[str]:
    """Every execution that the engine was told, sorted."""
    return sorted(trade for _, trade in rig.engine._trades)


def truth(x: Exchange) -> list[str]:
    return sorted(one.id for one in x.ledger.fills(x.account))


@pytest.mark.parametrize("facts", FAILS.values(), ids=FAILS)
@pytest.mark.parametrize("label", ["GET /v1/orders-history", "GET /v1/fills"])
def test_a_page_that_fails_in_the_middle_of_a_start_stops_it(
    label: str, facts: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_MOST_ROWS", 2)

    def past(x: Exchange) -> None:
        for number in range(4):
            x.external("BUY", "0.01", "81000.0", client_id=f"D-{number}")
            x.cross(f"D-{number}", "0.004")
            x.exchange.cancel_by_venue(x.order(f"D-{number}").id, "test")

    async def main() -> None:
        async with exchange() as x:
            past(x)
            rig = await opened(x, options={"retry.attempts": "2"})
            try:
                await rig.service.start()
                number = x.fault(**facts, label=label, times=99, trigger={"nth": 2})
                with pytest.raises(VenuekitError):
                    await rig.service.reports.mass_status(None)
                x.simulator.faults.lift(number)
                rig.engine.mass(await rig.service.reports.mass_status(None))
                assert trades(rig) == truth(x)
                await rig.settle()
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


@pytest.mark.parametrize(
    ("label", "fails"),
    [
        *(("GET /v1/fills", fails) for fails in FAILS),
        *((f"GET /v1/{name}", "502") for name in ("orders", "orders-history", "positions", "balance")),
    ],
)
def test_a_page_that_fails_after_a_reconnect_keeps_submits_out(
    label: str, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_MOST_ROWS", 2)

    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1", "BUY", "0.02")
        ends = await rig.accepted("O-2", "BUY", "0.01")
        number = rig.x.fault(**FAILS[fails], label=label, times=999)
        rig.x.drop()
        await rig.down()
        parts_of(rig.x, "O-1", 5)
        rig.x.exchange.cancel_by_venue(rig.x.order("O-2").id, "test")
        await until(lambda: rig.count("recovery.failed") >= 2, "it failed, and was tried again")
        assert not rig.service.ready
        rig.submit("LATE")
        assert rig.engine.reasons["LATE"].startswith("STREAM_RECONCILING")
        if label != "GET /v1/fills":
            await until(lambda: len(order.trade_ids) == 5, "the fills came on their own road")
        rig.x.simulator.faults.lift(number)
        await rig.live()
        await rig.status(ends, "CANCELED")
        await until(lambda: trades(rig) == truth(rig.x), "every fill")
        assert not rig.engine.alarms

    run(body)


@pytest.mark.parametrize("what", ["fill", "end"])
def test_history_that_lags_loses_nothing_at_a_reconnect(what: str) -> None:
    """The rig says that history may lag by 300 ms; it does by 250."""

    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.drop()
        await rig.down()
        if what == "fill":
            rig.x.cross("O-1", "0.004")
        else:
            rig.x.cross("O-1")
        await rig.live()
        await rig.status(order, "PARTIALLY_FILLED" if what == "fill" else "FILLED")
        assert trades(rig) == truth(rig.x)
        assert not rig.engine.alarms

    run(body, sim={"history_lag_ms": "250"})


def test_a_start_waits_for_a_fill_that_history_does_not_show_yet() -> None:
    async def main() -> None:
        async with exchange(history_lag_ms="250") as x:
            x.external("BUY", "0.02", "81000.0", client_id="OPEN")
            x.external("BUY", "0.02", "81000.0", client_id="DONE")
            rig = await opened(x)
            try:
                await rig.service.start()
                x.cross("OPEN", "0.013")
                x.cross("DONE")
                parts = await rig.service.reports.mass_status(None)
                assert parts.positions == []
                rig.engine.mass(parts)
                await rig.settle()
                assert trades(rig) == truth(x)
                assert not rig.engine.alarms
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 40))


@pytest.mark.parametrize("when", ["before the start", "live", "while the stream is down"])
def test_what_no_order_made_is_a_fill_like_any_other(when: str) -> None:
    """A transfer, then the liquidation of all of it: the venue names no order for either."""

    def act(x: Exchange) -> None:
        x.exchange.set_position(x.account, BTC, Decimal(20), Decimal(83_000))
        x.exchange.set_price(BTC, Decimal(70_000))

    async def body(rig: Rig) -> None:
        if when == "live":
            act(rig.x)
        elif when != "before the start":
            rig.x.drop()
            await rig.down()
            act(rig.x)
            await rig.live()
        kinds = [one.kind.value for one in rig.x.ledger.fills(rig.x.account)]
        assert kinds == ["TRANSFER", "LIQUIDATION"]
        await until(lambda: trades(rig) == truth(rig.x), f"both are told; {rig.engine.log}")
        assert await rig.service.reports.position_reports() == []
        assert not rig.engine.alarms

    before = act if when == "before the start" else lambda _: None
    run(body, before=before, settle=False)


def test_funding_changes_no_position_and_makes_no_fill() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.cross("O-1", "0.004")
        await until(lambda: len(order.trade_ids) == 1, "filled")
        accounts = len(rig.engine.accounts)
        rig.x.exchange.pay_funding(BTC, Decimal("0.001"))
        await until(lambda: len(rig.engine.accounts) > accounts, "the balance is told")
        rig.x.drop()
        await rig.down()
        await rig.live()
        assert len(rig.engine._trades) == 1
        assert not rig.engine.alarms

    run(body)
