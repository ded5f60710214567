"""Fills that the venue takes back, and fills that only a second channel knows: the ledger is the judge.

Every body ends in `settle`: orders, fills that stand, positions and balances are those of the ledger.
"""

from __future__ import annotations

import asyncio

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import Exchange, Rig, exchange, opened, run, streams_between, until

from venuekit.runtime.journal import MemoryJournal

SLOW = {"compare_ms": 3_600_000}
"""No comparison on schedule comes to anybody's help."""
SOON = {"compare_ms": 400}


async def bought(rig: Rig, name: str = "O-1", quantity: str = "0.01", filled: str | None = None) -> str:
    """The trade id of a fill of a resting order."""
    await rig.accepted(name, quantity=quantity)
    rig.x.cross(name, filled)
    key = rig.x.exchange.fills(rig.x.account)[-1].id
    await until(lambda: delivered(rig, key), f"fill {key}: {rig.engine.log}")
    return key


def delivered(rig: Rig, key: str) -> bool:
    return any(f" {key}" in line and "filled" in line for line in rig.engine.log)


def voided(rig: Rig, key: str) -> int:
    return sum(line.endswith(f"voided {key}") for line in rig.engine.log)


LISTED = pytest.mark.parametrize("listed", ["true", "false"], ids=["listed", "unlisted"])
"""Whether the venue's list of fills goes on showing those that it took back: it does not say."""


@LISTED
@pytest.mark.parametrize("sbe", [True, False], ids=["sbe", "json"])
def test_a_bust_is_told_at_once_and_explains_the_position(sbe: bool, listed: str) -> None:
    async def body(rig: Rig) -> None:
        first = await bought(rig, "O-1")
        second = await bought(rig, "O-2", "0.03", "0.02")
        for key in (first, second):
            rig.x.exchange.bust(key)
        await until(lambda: voided(rig, first) and voided(rig, second), f"both are void {rig.engine.log}")
        await rig.settle()
        assert rig.engine.orders["O-1"].status == OrderStatus.VOIDED
        rest = rig.engine.orders["O-2"]
        assert (rest.status, str(rest.filled_qty)) == (OrderStatus.ACCEPTED, "0.00000")
        rig.x.cross("O-2")
        await rig.status(rest, "VOIDED")
        await rig.settle()
        assert str(rest.filled_qty) == "0.01000", "what was left of it"
        left = [fill.trade_id for fill in rig.engine.belief().fills]
        assert [one.trade_id.value for one in await rig.service.reports.fill_reports(None, None)] == left
        assert rig.engine.alarms == []
        assert (voided(rig, first), voided(rig, second)) == (1, 1)

    run(body, own={"sbe": sbe}, sim={"list_busted": listed}, **SLOW)


def test_a_bust_that_happened_while_the_stream_was_down_is_read() -> None:
    async def body(rig: Rig) -> None:
        key = await bought(rig)
        rig.x.relay.refuse = True
        rig.x.drop()
        await rig.down()
        rig.x.exchange.bust(key)
        rig.x.relay.refuse = False
        await rig.live()
        await until(lambda: voided(rig, key), f"it is void; {rig.engine.log}")
        assert rig.engine.alarms == []

    run(body, between=streams_between, **SLOW)


def test_a_bust_that_the_stream_keeps_is_found_by_comparing_and_the_stream_opened_anew() -> None:
    async def body(rig: Rig) -> None:
        key = await bought(rig)
        await until(lambda: rig.count("recovery.compared") > 1, "all is well")
        rig.x.fault("F16", label="tradebusts")
        rig.x.exchange.bust(key)
        await until(lambda: voided(rig, key), f"it is void; {rig.engine.log}")
        await until(lambda: rig.count("recovery.kept_silent"), "and the stream is not trusted")
        await rig.live()
        assert rig.engine.alarms == []

    run(body, **SOON)


def test_a_bust_before_its_fill_keeps_the_fill_out() -> None:
    # The fill is read with the rest of the account, because a bust of an unknown fill is a doubt.
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1", quantity="0.01")
        rig.x.fault("F16", label="fills.ALL")
        rig.x.cross("O-1")
        rig.x.exchange.bust(rig.x.exchange.fills(rig.x.account)[-1].id)
        await until(lambda: rig.engine.alarms, "a person hears of it")
        await rig.settle()
        await rig.status(order, "CANCELED")
        assert [kind for kind, _ in rig.engine.alarms] == ["void_without_order"]
        assert not order.filled_qty.raw

    run(body, sim={"list_busted": "true"}, **SLOW)


def test_a_fill_that_only_its_balance_event_told_is_read_within_seconds() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1", quantity="0.02")
        rig.x.fault("F16", label="fills.ALL")
        # The order's own record claims the fill as well, and so does the position: both roads are cut, too.
        for label in ("orders.ALL", "positions"):
            rig.x.fault("F16", label=label)
        rig.x.cross("O-1", "0.01")
        await until(lambda: order.filled_qty.raw, f"the fill is found; {rig.counters.snapshot()}")
        assert rig.count("private.unseen_fills") == 1

    run(body, **SLOW)


def test_a_fill_that_only_its_position_told_is_read_within_seconds() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1", quantity="0.02")
        for label in ("fills.ALL", "orders.ALL", "balance_events"):
            rig.x.fault("F16", label=label)
        rig.x.cross("O-1", "0.01")
        await until(lambda: order.filled_qty.raw, f"the fill is found; {rig.counters.snapshot()}")
        assert rig.count("private.unexplained_positions") == 1

    run(body, **SLOW)


def test_witnesses_of_known_fills_cost_one_read_of_balances_a_round() -> None:
    async def body(rig: Rig) -> None:
        reads = rig.x.sent("GET /v1/balance")
        await rig.accepted("O-1", quantity="0.10")
        for _ in range(5):
            rig.x.cross("O-1", "0.01")
        await until(lambda: rig.x.sent("GET /v1/balance") > reads, "balances are read")
        await rig.settle()
        assert rig.x.sent("GET /v1/balance") == reads + 1
        assert rig.count("recovery.compared") == 0
        assert rig.count("private.unseen_fills") == rig.count("private.unexplained_positions") == 0

    run(body, **SLOW)


@LISTED
def test_a_later_run_hears_nothing_of_a_fill_that_was_taken_back_meanwhile(listed: str) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with exchange(list_busted=listed) as x:
            key, kept = await first_run(x, journal)
            x.exchange.bust(key)
            rig = await opened(x, journal=journal)
            try:
                await rig.start()
                await rig.settle()
                assert [fill.trade_id for fill in rig.engine.belief().fills] == [kept]
                assert rig.engine.alarms == []
            finally:
                await rig.stop()

    asyncio.run(asyncio.wait_for(main(), 50))


async def first_run(x: Exchange, journal: MemoryJournal) -> tuple[str, str]:
    rig = await opened(x, journal=journal)
    try:
        await rig.start()
        return await bought(rig, "O-1"), await bought(rig, "O-2", "0.03", "0.02")
    finally:
        await rig.stop()
