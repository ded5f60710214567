"""Lost, silent and expired sessions: what happened meanwhile is delivered once, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest
from nautilus_trader.model import OrderStatus
from paradex_rig import BTC, ETH, Rig, run, until

from venuekit.interfaces.stream import DataKind

FAST_SILENCE = {"silence_ms": 700, "options": {"stream.ping_ms": "150"}}
TOPICS = ("orders.ALL", "fills.ALL", "positions", "account", "balance_events", "tradebusts")


def private_frames(rig: Rig) -> list[list[str]]:
    """What each private connection was asked, in order: `auth`, then the channels."""
    asked: dict[int, list[str]] = {}
    for one in rig.x.ledger.seen("in"):
        if '"method":"auth"' in one.text:
            asked[one.connection] = ["auth"]
        elif one.connection in asked and '"method":"subscribe"' in one.text:
            asked[one.connection] += [topic for topic in TOPICS if f'"{topic}"' in one.text]
    return list(asked.values())


# --- tokens


def test_a_read_with_a_revoked_token_gets_one_new_token() -> None:
    async def body(rig: Rig) -> None:
        before = rig.x.obtained()
        rig.x.control("expire_tokens")
        reads = [
            rig.service.reports.position_reports(),
            rig.service.reports.fill_reports(None, None),
            rig.service.reports.position_reports(),
        ]
        assert await asyncio.gather(*reads) == [[], [], []]
        assert rig.x.obtained() - before == 1

    run(body)


@pytest.mark.parametrize("route", ["ws", "rest"])
def test_a_submit_with_a_revoked_token_is_neither_lost_nor_doubled(route: str) -> None:
    async def body(rig: Rig) -> None:
        resting = await rig.accepted("O-0")
        before = rig.x.obtained()
        rig.x.control("expire_tokens")
        order = rig.submit("O-1")
        await rig.status(order, "ACCEPTED")
        await rig.live()
        assert rig.x.obtained() - before == 1
        assert rig.x.submits("O-1") == 2, "the first was refused with proof that nothing happened"
        assert all(asked == ["auth", *TOPICS] for asked in private_frames(rig)), "login, then topics"
        # What is told from now on is heard.
        rig.x.cross("O-0")
        await rig.status(resting, "FILLED")
        await rig.accepted("O-2")

    run(body, own={"order_route": route})


def test_five_submits_with_a_revoked_token_cost_one_token() -> None:
    async def body(rig: Rig) -> None:
        before = rig.x.obtained()
        rig.x.control("expire_tokens")
        orders = [rig.submit(f"O-{n}") for n in range(5)]
        for order in orders:
            await rig.status(order, "ACCEPTED", "REJECTED")
        await rig.live()
        assert rig.x.obtained() - before == 1
        for n in range(5):
            assert len(rig.x.orders(f"O-{n}")) == (orders[n].status == OrderStatus.ACCEPTED)

    run(body, timeouts_ms={"submit": 500})


def test_a_burst_behind_a_revoked_token_waits_for_the_next_connection() -> None:
    class OneThenTheRest:
        """Lets the first command go, and the others once its refusal is known."""

        def __init__(self, rig: Rig) -> None:
            self.rig, self.pacer, self.first = rig, rig.service.commands._dispatcher._pacer, True

        async def permit(self, op: str, within_ns: int | None = None) -> None:
            first, self.first = self.first, False
            if not first:
                await until(lambda: self.rig.count("commands.stamped_again"), "the first is refused")
            await self.pacer.permit(op, within_ns)

    async def body(rig: Rig) -> None:
        await rig.accepted("O-0")
        rig.service.commands._dispatcher._pacer = OneThenTheRest(rig)
        before = rig.x.obtained()
        rig.x.control("expire_tokens")
        orders = [rig.submit(f"O-{n}") for n in range(1, 11)]
        for order in orders:
            await rig.status(order, "ACCEPTED")
        assert rig.x.obtained() - before == 1
        assert [rig.x.submits(f"O-{n}") for n in range(1, 11)] == [2] + [1] * 9
        refused: set[int] = set()
        for one in rig.x.ledger.seen():
            if one.direction == "out" and "40111" in one.text:
                refused.add(one.connection)
            assert not (one.direction == "in" and "order.create" in one.text and one.connection in refused)
        assert len(refused) == 1
        await rig.live()

    run(body)


def test_a_cancel_with_a_revoked_token_still_cancels() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.control("expire_tokens")
        rig.cancel(order)
        await rig.status(order, "CANCELED")

    run(body, timeouts_ms={"cancel": 500})


def test_a_reconnect_with_a_revoked_token_logs_in_with_a_new_one() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        before = rig.x.obtained()
        rig.x.control("expire_tokens")
        rig.x.drop()
        await rig.down()
        rig.x.cross("O-1", "0.003")
        await rig.live()
        assert rig.x.obtained() - before == 1
        assert private_frames(rig)[-1] == ["auth", *TOPICS]
        await rig.status(order, "PARTIALLY_FILLED")

    run(body)


def test_tokens_that_end_soon_are_renewed_while_orders_flow() -> None:
    async def body(rig: Rig) -> None:
        before = rig.x.obtained()
        number = 0
        while rig.x.obtained() - before < 2:
            order = await rig.accepted(f"O-{number}")
            rig.cancel(order)
            await rig.status(order, "CANCELED")
            number += 1
        assert rig.count("auth.token_refused") == 0

    # A token of two seconds is renewed after 1.2.
    run(body, sim={"jwt_secs": "2"})


# --- silence


def test_a_half_open_private_stream_is_found_by_its_silence() -> None:
    async def body(rig: Rig) -> None:
        resting, other = await rig.accepted("O-1"), await rig.accepted("O-2")
        rig.x.fault("F07", trigger={"after_ms": 0})
        await until(rig.x.acted, "the peer is silent")
        rig.x.cross("O-1", "0.004")
        lost = rig.submit("O-3")
        assert lost.status == OrderStatus.SUBMITTED, "nobody can know yet"
        await rig.down()
        assert rig.count("session.ended.stale") >= 1
        rig.x.cross("O-2")
        await rig.live()
        await rig.status(resting, "PARTIALLY_FILLED")
        await rig.status(other, "FILLED")
        await rig.status(lost, "REJECTED")
        assert (rig.x.submits("O-3"), rig.x.orders("O-3")) == (1, [])

    run(body, **FAST_SILENCE)


def test_half_open_public_and_private_streams_both_come_back() -> None:
    async def body(rig: Rig) -> None:
        for market, price in ((BTC, "80000.0"), (ETH, "2999.00")):
            rig.x.counter("BUY", "1", price, market)
            rig.want(DataKind.BOOK_DELTAS, market)
        await until(lambda: len(rig.market.items) == 2, "two snapshots")
        rig.x.counter("BUY", "1", "3000.00", ETH)
        await until(lambda: len(rig.market.items) == 3, "and a change")
        rig.x.fault("F07", trigger={"after_ms": 0})
        await until(rig.x.acted, "the peers are silent")
        rig.x.counter("BUY", "2", "3001.00", ETH)
        assert rig.market.levels(ETH) != rig.x.levels(ETH)
        await until(lambda: rig.count("session.ended.stale") >= 2, "both are found")
        await rig.same_book(ETH)
        await rig.same_book(BTC)
        await rig.live()

    run(body, data=True, **FAST_SILENCE)


def test_a_mute_private_stream_that_answers_pings_is_found_by_a_submit() -> None:
    async def body(rig: Rig) -> None:
        resting = await rig.accepted("O-1")
        rig.x.fault("F08", trigger={"after_ms": 0})
        await until(rig.x.acted, "the peer is mute")
        rig.x.cross("O-1", "0.004")
        order = rig.submit("O-2")
        await rig.status(order, "ACCEPTED")
        assert rig.x.submits("O-2") == 1
        await rig.status(resting, "PARTIALLY_FILLED")
        assert rig.count("rpc.mute") == 1
        rig.x.cross("O-1")
        await rig.status(resting, "FILLED")

    run(body, timeouts_ms={"submit": 400}, **FAST_SILENCE)


def test_a_mute_private_stream_is_seen_through_by_the_engines_open_order_check() -> None:
    async def body(rig: Rig) -> None:
        resting, taken = await rig.accepted("O-1"), await rig.accepted("O-2")
        rig.x.fault("F08", trigger={"after_ms": 0})
        await until(rig.x.acted, "the peer is mute")
        rig.x.cross("O-1", "0.004")
        rig.x.cross("O-2")
        await rig.service.reports.order_reports(True, None)
        await rig.status(resting, "PARTIALLY_FILLED")
        await rig.status(taken, "FILLED")
        rig.service.query_account()

    run(body, **FAST_SILENCE)


def test_a_mute_private_stream_is_found_without_any_command() -> None:
    async def body(rig: Rig) -> None:
        part, whole, gone = [await rig.accepted(name) for name in ("O-1", "O-2", "O-3")]
        # What happens right after a login is not held against the stream: history may be late.
        await until(lambda: rig.count("recovery.compared") >= 1, "compared once, with nothing amiss")
        frames = len(private_frames(rig))
        sent = rig.count("frames.out")
        rig.x.fault("F08", trigger={"after_ms": 0})
        await until(rig.x.acted, "the peer is mute")
        rig.x.cross("O-1", "0.004")
        rig.x.cross("O-2")
        rig.x.exchange.cancel_by_venue(rig.x.order("O-3").id, "test")
        rig.x.external("BUY", "0.02", "81000.0", client_id="X-1")
        assert part.status == OrderStatus.ACCEPTED
        await rig.status(part, "PARTIALLY_FILLED")
        await rig.status(whole, "FILLED")
        await rig.status(gone, "CANCELED")
        await until(lambda: len(private_frames(rig)) == frames + 1, "one new connection")
        assert rig.count("recovery.kept_silent") >= 1
        assert rig.count("session.ended.stale") == 0
        assert rig.count("rpc.mute") == 0
        await rig.live()
        # What is told from now on is heard.
        rig.x.cross("O-1")
        await rig.status(part, "FILLED")
        assert len(private_frames(rig)) == frames + 1
        assert rig.count("frames.out") - sent == 1 + len(TOPICS), "login and topics, no command"

    run(body, compare_ms=500, **FAST_SILENCE)


# --- what happens while nobody listens


@pytest.mark.parametrize("rounds", [1, 4])
def test_everything_that_happened_while_down_is_told_once(rounds: int) -> None:
    async def body(rig: Rig) -> None:
        for turn in range(rounds):
            part, whole, gone, kept = [await rig.accepted(f"{name}-{turn}") for name in ("P", "W", "G", "K")]
            rig.x.drop()
            rig.x.cross(f"P-{turn}", "0.003")
            rig.x.cross(f"P-{turn}", "0.002")
            rig.x.cross(f"W-{turn}")
            rig.x.exchange.cancel_by_venue(rig.x.order(f"G-{turn}").id, "test")
            rig.x.cross(f"K-{turn}", "0.001")
            rig.x.exchange.cancel_by_venue(rig.x.order(f"K-{turn}").id, "test")
            rig.x.external("BUY", "0.02", "81000.0", client_id=f"X-{turn}")
            rig.x.external("BUY", "0.03", "81000.0")
            rig.x.cross(f"X-{turn}", "0.01")
            await rig.down()
            await rig.live()
            await rig.status(part, "PARTIALLY_FILLED")
            await rig.status(whole, "FILLED")
            await rig.status(gone, "CANCELED")
            await rig.status(kept, "CANCELED")
            assert (len(part.trade_ids), len(whole.trade_ids), len(kept.trade_ids)) == (2, 1, 1)
            await rig.settle()

    run(body)


def test_an_order_may_end_between_the_reads_of_a_recovery() -> None:
    async def body(rig: Rig) -> None:
        orders = [await rig.accepted(f"O-{n}") for n in range(6)]
        rig.x.fault("F09", points=["request"], label="GET *", lasts_ms=1_500, delay_ms=60, jitter_ms=40)
        rig.x.drop()
        await rig.down()
        for n in range(6):
            # One after the other, while the slow reads of the recovery are under way.
            rig.x.cross(f"O-{n}", None if n % 2 else "0.004")
            await until(lambda: True, "a turn")
            await asyncio.sleep(0.05)
            assert not rig.engine.violations
        await rig.live()
        for n, order in enumerate(orders):
            await rig.status(order, "FILLED" if n % 2 else "PARTIALLY_FILLED")

    run(body)


def test_a_fill_between_the_two_reads_of_a_balance_is_not_undone() -> None:
    async def body(rig: Rig) -> None:
        await rig.accepted("O-1")
        rig.x.fault("F20", points=["request"], label="GET /v1/account", delay_ms=100)
        rig.x.fault("F20", points=["request"], label="GET /v1/balance", delay_ms=100)
        told = len(rig.engine.accounts)
        rig.service.query_account()
        await until(rig.x.acted, "the first of the two was answered, late")
        rig.x.cross("O-1", "0.004")
        await until(lambda: rig.x.acted() == 2, "the second was answered, late")
        # One from the stream, one from the reads; whichever is last must be true.
        await until(
            lambda: len(rig.engine.accounts) - told + rig.count("private.stale_balances") >= 2, "both came"
        )
        assert rig.differences().none, (rig.differences(), rig.engine.log)

    run(body)


def test_a_recovery_that_fails_is_repeated_and_submits_stay_denied() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.accepted("O-1")
        rig.x.fault("F19", points=["request"], label="GET /v1/fills", status=503, times=5)
        rig.x.drop()
        await rig.down()
        rig.x.cross("O-1", "0.004")
        await until(lambda: rig.count("recovery.failed") >= 1, "the first recovery fails")
        assert not rig.service.ready
        rig.submit("O-2")
        assert rig.engine.reasons["O-2"].startswith("STREAM_RECONCILING")
        await rig.live()
        await rig.status(order, "PARTIALLY_FILLED")

    run(body)


def test_dropped_again_and_again_while_orders_trade() -> None:
    async def body(rig: Rig) -> None:
        rig.want(DataKind.BOOK_DELTAS)
        for number in range(12):
            await rig.live()
            order = rig.submit(f"O-{number}")
            await until(lambda order=order: order.status != OrderStatus.INITIALIZED, "handed over")
            if number % 3 == 0:
                rig.x.drop()
            await until(
                lambda n=number: rig.x.orders(f"O-{n}") or not rig.service.ready, "at the venue, or lost"
            )
            for one in rig.x.orders(f"O-{number}"):
                if not one.closed and one.status.value == "OPEN":
                    rig.x.cross(f"O-{number}", "0.002")
            rig.x.drop()
            await rig.down()
            if number % 2:
                rig.cancel(order)
        await rig.live()

    run(body, data=True, timeouts_ms={"submit": 500, "cancel": 500})
