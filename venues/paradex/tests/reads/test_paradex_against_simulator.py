"""The client's parts on the simulator over loopback: what they say is what truly happened.

Two programmes by different hands meet here: the simulator has its own encoder, hashes and state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from nautilus_trader.model import LiquiditySide, OrderSide, OrderStatus, TimeInForce
from venuekit_paradex.sim import SIMULATOR

from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.orders import Cancel, CancelAll, Received, RefusedOutcome, Stamp, Submit, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import BalanceRecord, FillRecord, OrderRecord, PositionRecord, WireIds
from venuekit.interfaces.stream import Quarantined, StreamReply, Window
from venuekit.interfaces.time import AtWall
from venuekit.runtime.clock import RealClock
from venuekit.runtime.rpc import StreamPort
from venuekit.runtime.session import Session

KEY_LINE = 'key = "cmd:venuekit sim paradex --demo-key"'
RESTING_BID, RESTING_ASK = Decimal("83000.0"), Decimal("84000.0")
SECOND_NS = 1_000_000_000


class Client:
    """The venue's parts with a private session, and everything it heard."""

    def __init__(self, venue: OpenedVenue, simulator) -> None:
        self.venue = venue
        self.simulator = simulator
        self.account = venue.parts.account
        self.heard: list[object] = []
        spec = venue.manifest.streams["private"]
        self.session = Session(
            name="private",
            spec=spec,
            transport=venue._stream_transport(),
            codecs=self.account.private,
            clock=venue.clock,
            retry=venue._policy(attempts=0),
            counters=venue.counters,
            log=venue.log,
            tokens=venue.tokens,
            on_decoded=self.on_decoded,
            on_state=lambda _state, _why: None,
        )
        self.ports = {"rpc": StreamPort(self.session, venue.clock, {}), **venue._ports}

    def on_decoded(self, decoded, _epoch: int) -> None:
        for item in decoded:
            self.heard.append(item)
            if isinstance(item, StreamReply):
                self.ports["rpc"].resolve(item)

    async def send(self, command):
        """The outcome of a command of one draft."""
        codec, clock = self.account.orders, self.venue.clock
        assert codec.check(command) is None
        (draft,) = codec.draft(command)
        stamp = Stamp(clock.wall_ns())
        request = codec.to_sign(draft, stamp)
        prepared = codec.encode(draft, stamp, None if request is None else self.account.signer.sign(request))
        reply = await self.ports[draft.port].send(prepared.request)
        verdict = codec.verdict(prepared, reply)
        return verdict.of(draft.covers[0]) if draft.covers else verdict.whole

    def orders(self, client_id: str) -> list[OrderRecord]:
        found = [one for one in self.heard if isinstance(one, OrderRecord)]
        return [one for one in found if one.ids.client_order_id == client_id]

    def last(self, client_id: str) -> OrderRecord | None:
        return self.orders(client_id)[-1] if self.orders(client_id) else None

    def fills(self) -> list[FillRecord]:
        return [one for one in self.heard if isinstance(one, FillRecord)]

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not what():
                await self.venue.clock.sleep_until(self.venue.clock.mono_ns() + SECOND_NS // 100)

    async def until_status(self, client_id: str, status: OrderStatus) -> OrderRecord:
        await self.until(lambda: (last := self.last(client_id)) is not None and last.status is status)
        return self.last(client_id)

    async def rows(self, query: Query) -> list[object]:
        page = await self.account.reads.page(query, Window(), None)
        assert not page.quarantined
        return list(page.rows)

    async def look_up(self, client_id: str) -> Found | NotFound:
        since = AtWall(self.venue.clock.wall_ns() - 30 * SECOND_NS)
        return await self.account.reads.look_up(WireIds(client_order_id=client_id), since)


def run(monkeypatch, body, **options: object) -> None:
    async def main() -> None:
        simulator = SIMULATOR(clock=RealClock(), seed=3, port=0, options={"liquidity": "false"})
        info = await simulator.start()
        monkeypatch.setenv("PARADEX_TEST_KEY", SIMULATOR.demo_key())
        own = "\n".join(
            f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
            for name, value in options.items()
        )
        assert KEY_LINE in info.config_toml
        text = info.config_toml.replace(KEY_LINE, f'key = "env:PARADEX_TEST_KEY"\n{own}')
        venue = OpenedVenue(parse_config(text).venues["paradex"], clock=RealClock())
        try:
            await venue.open()
            client = Client(venue, simulator)
            await client.session.start()
            try:
                async with asyncio.timeout(40):
                    await body(client)
                assert not [item for item in client.heard if isinstance(item, Quarantined)]
            finally:
                await client.session.stop()
        finally:
            await venue.close()
            await simulator.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"order_route": "ws", "sbe_version": 2},
        {"order_route": "rest", "sbe": False},
        {"order_route": "ws", "sbe_version": 0},
    ],
    ids=["ws, SBE 2", "rest, JSON", "ws, SBE 0"],
)
def test_a_day_of_orders(monkeypatch, kit, options):
    async def body(client: Client) -> None:
        exchange = client.simulator.exchange
        market = "BTC-USD-PERP"
        account = client.account.account_id
        seller = exchange.place_counterparty_order
        from venuekit.sim.records import Side

        seller(market, Side.SELL, Decimal("0.01"), RESTING_ASK)
        seller(market, Side.BUY, Decimal("0.01"), RESTING_BID)

        # A resting order: received, open, found, cancelled.
        rest = kit.limit_order("rest", quantity="0.00500", price="82000.0")
        outcome = await client.send(Submit((rest,)))
        assert isinstance(outcome, Received)
        opened = await client.until_status("rest", OrderStatus.ACCEPTED)
        assert opened.ids.venue_order_id == outcome.ids.venue_order_id
        assert client.orders("rest")[0].status is OrderStatus.SUBMITTED
        (snapshot,) = await client.rows(Query.OPEN)
        assert snapshot.ids == opened.ids
        assert (snapshot.price, snapshot.quantity, snapshot.side) == (
            opened.price,
            opened.quantity,
            OrderSide.BUY,
        )
        # The very same order again: the venue knows the name, which proves that there is one.
        assert isinstance(await client.send(Submit((rest,))), Unknown)
        assert isinstance(await client.send(Cancel(((rest, WireIds(client_order_id="rest")),))), Received)
        cancelled = await client.until_status("rest", OrderStatus.CANCELED)
        assert (cancelled.refusal, str(cancelled.filled)) == (False, "0.00000")
        again = await client.send(Cancel(((rest, opened.ids),)))
        assert isinstance(again, RefusedOutcome)
        assert again.gone

        # Post-only that would take, and more than the account can bear: refused after the reply.
        cross = kit.limit_order("cross", quantity="0.00500", price="84000.0", post_only=True)
        assert isinstance(await client.send(Submit((cross,))), Received)
        refused = await client.until_status("cross", OrderStatus.CANCELED)
        assert (refused.refusal, refused.post_only_refusal) == (True, True)
        big = kit.limit_order("big", quantity="99.00000", price="83000.0")
        assert isinstance(await client.send(Submit((big,))), Received)
        refused = await client.until_status("big", OrderStatus.CANCELED)
        assert (refused.refusal, refused.post_only_refusal) == (True, False)

        # A partly filled IOC, then a market order that closes.
        ioc = kit.limit_order("ioc", quantity="0.02000", price="84000.0", time_in_force=TimeInForce.IOC)
        assert isinstance(await client.send(Submit((ioc,))), Received)
        rest_gone = await client.until_status("ioc", OrderStatus.CANCELED)
        assert (str(rest_gone.filled), rest_gone.refusal) == ("0.01000", False)
        close = kit.market_order("close", OrderSide.SELL, "0.01000", reduce_only=True)
        assert isinstance(await client.send(Submit((close,))), Received)
        done = await client.until_status("close", OrderStatus.FILLED)
        assert done.reduce_only
        await client.until(lambda: len(client.fills()) == 2)

        # Every fill once, as the exchange's own book has it, over the stream and over REST.
        truth = {fill.id: fill for fill in exchange.fills(account)}
        for found in (client.fills(), await client.rows(Query.FILLS)):
            assert sorted(one.trade_key for one in found) == sorted(truth)
            for one in found:
                true = truth[one.trade_key]
                assert one.ids.venue_order_id == true.order_id
                assert one.quantity.as_decimal() == true.quantity
                assert one.price.as_decimal() == true.price
                assert one.liquidity is LiquiditySide.TAKER
                assert one.side is {Side.BUY: OrderSide.BUY, Side.SELL: OrderSide.SELL}[true.side]
                if one.fee is not None:
                    assert (one.fee.as_decimal(), one.fee.currency.code) == (true.fee, true.fee_currency)
        said = [one.fee is not None for one in client.fills()]
        assert all(said) != (options.get("sbe_version") == 0)

        # Look-ups find closed orders in history, with their fills; a name never used is nowhere.
        found = await client.look_up("ioc")
        assert isinstance(found, Found)
        assert (found.record.status, [fill.trade_key for fill in found.fills]) == (
            OrderStatus.CANCELED,
            [next(key for key, true in truth.items() if true.client_id == "ioc")],
        )
        assert (await client.look_up("close")).record.status is OrderStatus.FILLED
        assert await client.look_up("never") == NotFound(conclusive=True)
        closed = {one.ids.client_order_id: one.status for one in await client.rows(Query.CLOSED)}
        assert closed == {
            "rest": OrderStatus.CANCELED,
            "cross": OrderStatus.CANCELED,
            "big": OrderStatus.CANCELED,
            "ioc": OrderStatus.CANCELED,
            "close": OrderStatus.FILLED,
        }

        # Flat again; the wallet lost the fees and the spread.
        assert all(Decimal(one.signed_qty) == 0 for one in await client.rows(Query.POSITIONS))
        (balance,) = await client.rows(Query.BALANCES)
        lost = sum((true.fee for true in truth.values()), Decimal(0)) + (RESTING_ASK - RESTING_BID) / 100
        assert balance.balances[0].total.as_decimal() == Decimal(100_000) - lost
        positions = [one for one in client.heard if isinstance(one, PositionRecord)]
        assert [Decimal(one.signed_qty) for one in positions][-1] == 0
        assert Decimal("0.01") in [Decimal(one.signed_qty) for one in positions]
        await client.until(
            lambda: [
                one
                for one in client.heard
                if isinstance(one, BalanceRecord)
                and one.balances[0].total.as_decimal() == Decimal(100_000) - lost
            ]
        )

        # Cancel all of the market.
        for name in ("a", "b"):
            assert isinstance(
                await client.send(Submit((kit.limit_order(name, quantity="0.00500", price="82000.0"),))),
                Received,
            )
            await client.until_status(name, OrderStatus.ACCEPTED)
        assert isinstance(await client.send(CancelAll(kit.BTC, None)), Received)
        for name in ("a", "b"):
            await client.until_status(name, OrderStatus.CANCELED)
        assert await client.rows(Query.OPEN) == []

    run(monkeypatch, body, **options)
