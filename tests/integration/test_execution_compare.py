"""A private stream that is live and keeps records to itself is found by comparing, and opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from account_rig import Rig, load
from attrs import evolve
from nautilus_trader.model import AccountBalance, Currency, Money, OrderStatus

from venuekit.interfaces.records import BalanceRecord, MoneyMoved, Source
from venuekit.interfaces.request import Reply
from venuekit.runtime.clock import ManualClock

EVERY_MS = 10_000
USDC = Currency.from_str("USDC")


def run(body: Callable[[Rig], Awaitable[None]], compare_ms: int = EVERY_MS) -> None:
    """The account is compared every ten seconds; history is settled after two."""

    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = Rig("nonce_venue", module.NonceExchange(clock), clock)
        rig.manifest = evolve(rig.manifest, semantics=evolve(rig.manifest.semantics, compare_ms=compare_ms))
        await rig._compose(module.ToySigner())
        await rig.started()
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


def reads(rig: Rig) -> int:
    return len(rig.exchange.requests) - len(rig.exchange.commands())


def broken(request: object) -> Reply:
    return Reply(500, b"{}")


def kept(rig: Rig) -> int:
    return rig.counters.get("recovery.kept_silent")


def test_a_fill_that_the_stream_kept_is_told_once_and_the_stream_opened_anew() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.mute = True
        rig.exchange.match(1, "0.400")
        epoch = rig.session.epoch
        await rig.run(EVERY_MS)
        assert rig.events("O-1") == ["submitted", "accepted", "filled 0.400@100.0 9000"]
        assert (kept(rig), rig.session.epoch - epoch) == (1, 1)
        assert rig.service.ready, "and submits are allowed again"
        rig.exchange.mute = False
        rig.exchange.match(1, "0.600")
        await rig.run(1)
        assert order.status == OrderStatus.FILLED
        assert rig.events("O-1")[3:] == ["filled 0.600@100.0 9001"]
        await rig.run(3 * EVERY_MS)
        assert (kept(rig), rig.session.epoch - epoch) == (1, 1), "and all is well"
        assert rig.engine.alarms == []

    run(body)


def test_an_end_that_the_stream_kept_is_found() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.mute = True
        rig.exchange._cancel({"index": 500})
        await rig.run(EVERY_MS)
        assert order.status == OrderStatus.CANCELED
        assert kept(rig) == 1

    run(body)


def test_what_the_engines_own_check_finds_counts_as_well() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.mute = True
        rig.exchange.match(1, "1.000")
        await rig.run(3_000)
        asking = asyncio.ensure_future(rig.service.reports.order_reports(True, None))
        await rig.run(1_000)
        assert asking.done()
        assert order.status == OrderStatus.FILLED, "missing in the list, looked up"
        assert kept(rig) >= 1
        assert rig.session.epoch == 2

    run(body, compare_ms=0)


def test_an_account_in_which_nothing_is_missed_is_read_and_left_alone() -> None:
    async def body(rig: Rig) -> None:
        for n in range(1, 7):
            await rig.submit(f"O-{n}")
            rig.exchange.match(n, "0.500")
            await rig.run(EVERY_MS - 1)
        assert 5 <= rig.counters.get("recovery.compared") <= 6
        assert (kept(rig), rig.session.epoch, rig.engine.alarms) == (0, 1, [])
        before, compared = reads(rig), rig.counters.get("recovery.compared")
        await rig.run(EVERY_MS)
        assert rig.counters.get("recovery.compared") == compared + 1
        # Balances, open and closed orders, fills, positions; pages of two rows.
        assert reads(rig) - before <= 1 + 3 + 3 + 3 + 1
        assert rig.counters.get("recovery.asked") == 0

    run(body)


@pytest.mark.parametrize("record", ["fill", "end"])
@pytest.mark.parametrize("comes", [True, False])
def test_a_read_may_be_faster_than_the_stream(record: str, comes: bool) -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(EVERY_MS - 1_000)
        rig.exchange.mute = True
        if record == "fill":
            rig.exchange.match(1, "0.400")
        else:
            rig.exchange._cancel({"index": 500})
        await rig.run(1_500)
        said = {"fill": "filled 0.400@100.0 9000", "end": "canceled"}[record]
        assert rig.events("O-1") == ["submitted", "accepted", said], "the read brought it"
        rig.exchange.mute = False
        if comes:
            rig.exchange.say(
                {"fill": rig.exchange.fills[0]} if record == "fill" else {"order": rig.exchange.orders[1]}
            )
        await rig.run(EVERY_MS // 2)
        assert (kept(rig), rig.session.epoch) == ((0, 1) if comes else (1, 2))
        await rig.run(2 * EVERY_MS)
        assert rig.session.epoch == (1 if comes else 2)
        assert len(rig.events("O-1")) == 3

    run(body)


def test_zero_compares_never() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        before = reads(rig)
        await rig.run(60_000)
        assert reads(rig) == before

    run(body, compare_ms=0)


def test_a_record_that_came_torn_was_not_kept() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(EVERY_MS // 2)
        rig.exchange.mute = True
        rig.exchange.match(1, "0.400")
        rig.exchange.mute = False
        real, rig.exchange.http = rig.exchange.http, broken
        rig.exchange.push({"fill": {"trade": "torn"}})
        await rig.run(4 * EVERY_MS)
        assert rig.counters.get("recovery.failed") >= 1
        rig.exchange.http = real
        await rig.run(4 * EVERY_MS)
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"
        assert (kept(rig), rig.session.epoch) == (0, 1)

    run(body)


def test_what_is_kept_while_nothing_can_be_read_is_found_once_it_can() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.mute = True
        real, rig.exchange.http = rig.exchange.http, broken
        rig.exchange.match(1, "0.400", order_frame=False)
        for _ in range(10):
            # Something comes, so that the stream is not silent.
            rig.exchange.push({"order": rig.exchange.orders[1] | {"filled": "0.000", "version": 1}})
            await rig.run(30_000)
        assert rig.events("O-1") == ["submitted", "accepted"]
        rig.exchange.http = real
        await rig.run(60_000)
        assert rig.events("O-1")[2:] == ["filled 0.400@100.0 9000"]
        assert kept(rig) == 1

    run(body)


def test_what_happened_before_the_stream_was_live_was_not_kept() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.cut()
        rig.exchange.match(1, "0.400")
        await rig.run(3 * EVERY_MS)
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"
        assert (kept(rig), rig.session.epoch) == (0, 2)

    run(body)


def test_a_stream_that_never_tells_fills_is_not_opened_anew_every_time() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.say = lambda said: None if "fill" in said else rig.exchange.push(said)
        await rig.submit("O-1", quantity="100.000")
        for _ in range(60):
            # The order's own record is silent too, else its fills are fetched at once.
            rig.exchange.match(1, "0.100", order_frame=False)
            await rig.run(EVERY_MS)
        # Every fill is told within one comparison and the time of history; connections after 1, 2, 4 minutes.
        assert len([line for line in rig.events("O-1") if line.startswith("filled")]) >= 58
        assert kept(rig) >= 30
        assert rig.session.epoch <= 6

    run(body)


def test_a_balance_that_moved_in_silence_is_kept_silent() -> None:
    def balance(total: str, ts_event: int, source: Source) -> BalanceRecord:
        money, nothing = Money.from_str(f"{total} USDC"), Money.from_str("0 USDC")
        return BalanceRecord(
            balances=[AccountBalance(money, nothing, money)], ts_event=ts_event, source=source
        )

    async def body(rig: Rig) -> None:
        told: list[tuple[str, int]] = []
        start = rig.clock.wall_ns()

        async def balances() -> list[BalanceRecord]:
            return [balance(*told[-1], Source.SNAPSHOT)]

        rig.service.reports.balances = balances
        told.append(("100", start + 1_000_000_000))
        await rig.run(EVERY_MS)
        told.append(("100", rig.clock.wall_ns() + 3_000_000_000))
        await rig.run(EVERY_MS)
        assert kept(rig) == 0, "it is newer and says the same"
        told.append(("90", rig.clock.wall_ns() + 3_000_000_000))
        rig.service.on_decoded([balance("90", told[-1][1], Source.STREAM)], rig.session.epoch)
        await rig.run(EVERY_MS)
        assert kept(rig) == 0, "the stream told"
        told.append(("80", rig.clock.wall_ns() + 3_000_000_000))
        await rig.run(EVERY_MS)
        assert (kept(rig), rig.session.epoch) == (1, 2)
        assert str(rig.engine.accounts[-1][0][0].total) == "80.00000000 USDC"

    run(body)


def test_what_a_last_frame_begins_ends_with_the_service() -> None:
    async def body(rig: Rig) -> None:
        stop = rig.session.stop

        async def stop_after_a_frame() -> None:
            rig.service.on_decoded([MoneyMoved(trade_key="t1", ts_event=0)], rig.session.epoch)
            await stop()

        rig.session.stop = stop_after_a_frame
        stopping = asyncio.ensure_future(rig.service.stop())
        await rig.run(1)
        assert stopping.done()
        left = [task.get_name() for task in asyncio.all_tasks()]
        assert [name for name in left if name.startswith("execution/")] == []

    run(body)
