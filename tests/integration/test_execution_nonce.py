"""The execution service over a venue with strict nonces: nothing is lost when one of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from account_rig import Rig, load
from attrs import evolve
from engine_double import limit
from memory_wire import answers, never_left, reply_lost, request_lost
from nautilus_trader.model import OrderSide, OrderStatus, Price, Quantity

from venuekit.errors import SendFailed
from venuekit.interfaces.manifest import Bucket, Scope, Seconds
from venuekit.interfaces.records import BalanceRecord, Source
from venuekit.interfaces.request import Evidence, Reply
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.pacer import Pacer
from venuekit.runtime.session import SessionState


def run(body: Callable[[Rig], Awaitable[None]], *, journal: MemoryJournal | None = None) -> None:
    """The venue is opened, `body` runs, and everything is stopped."""

    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = await Rig.opened(
            "nonce_venue", module.NonceExchange(clock), clock, signer=module.ToySigner(), journal=journal
        )
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


def nonces(rig: Rig) -> list[int]:
    return [tx["nonce"] for tx in rig.exchange.commands()]


def test_a_burst_keeps_the_nonces_in_order_on_the_wire() -> None:
    async def body(rig: Rig) -> None:
        orders = [rig.engine.add(limit(f"O-{n}", rig.iid)) for n in range(1, 9)]
        rig.service.commands.submit(orders)
        await rig.run(10)
        assert nonces(rig) == list(range(40, 48))
        assert [tx["client"] for tx in rig.exchange.txs] == list(range(1, 9))
        assert all(order.status == OrderStatus.ACCEPTED for order in orders)
        assert rig.counters.get("nonces.resync") == 1, "asked once, at the first use"

    run(body)


def test_a_refusal_that_comes_late_is_a_rejection() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.no_margin.add(1)
        rig.exchange.automatic = False
        await rig.submit("O-1")
        await rig.run(500)
        assert rig.events("O-1") == ["submitted"]
        rig.exchange.decide()
        assert rig.events("O-1") == ["submitted", "rejected"]
        assert rig.engine.reasons["O-1"] == "canceled-margin"

    run(body)


def test_a_refusal_by_the_api_frees_its_nonce() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1", quantity="13.000")
        assert rig.events("O-1") == ["submitted", "rejected"]
        await rig.submit("O-2")
        assert rig.events("O-2") == ["submitted", "accepted"]
        assert nonces(rig) == [40, 40]

    run(body)


def test_a_stale_nonce_is_asked_for_and_stamped_once_more() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        rig.exchange.next_nonce = 70
        await rig.submit("O-2")
        assert nonces(rig) == [40, 41, 70]
        assert rig.events("O-2") == ["submitted", "accepted"]
        assert rig.counters.get("nonces.resync") == 2

    run(body)


def test_an_uncertain_nonce_stops_the_lane_until_the_venue_was_asked() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(reply_lost)
        await rig.submit("O-1")
        await rig.submit("O-2")
        await rig.run(10)
        assert nonces(rig) == [40, 41], "the first went out in order, so the lane was free"
        await rig.run(5_000)
        await rig.submit("O-3")
        await rig.run(1)
        assert nonces(rig) == [40, 41, 42]
        assert rig.counters.get("nonces.resync") == 2
        assert rig.events("O-1") == ["submitted", "accepted"]
        assert len(rig.exchange.orders) == 3

    run(body)


def test_a_lost_request_ends_rejected_by_proof_and_its_nonce_is_used_again() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(request_lost)
        await rig.submit("O-1")
        await rig.run(1_000)
        assert rig.events("O-1") == ["submitted"], "no reply proves nothing"
        await rig.run(20_000)
        assert rig.events("O-1") == ["submitted", "rejected"]
        assert rig.engine.reasons["O-1"].startswith("NOT_FOUND_AT_VENUE")
        await rig.submit("O-2")
        assert nonces(rig) == [40, 40]
        assert rig.events("O-2") == ["submitted", "accepted"]

    run(body)


def test_a_not_found_asked_too_early_proves_nothing() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.automatic = False
        await rig.submit("O-1")
        await rig.run(1_900)
        assert rig.counters.get("lookups.not_found") >= 1, "asked one second after the receipt"
        assert rig.events("O-1") == ["submitted"], "the venue says that two seconds must pass"
        rig.exchange.decide()
        await rig.run(10_000)
        assert rig.events("O-1") == ["submitted", "accepted"]

    run(body)


def test_taken_by_the_api_and_lost_in_the_sequencer() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.drop.add(1)
        await rig.submit("O-1")
        await rig.run(30_000)
        assert rig.events("O-1") == ["submitted", "rejected"]

    run(body)


def test_a_cancel_is_held_until_the_index_is_known() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.automatic = False
        order = await rig.submit("O-1")
        rig.engine.pending_cancel(order)
        rig.service.commands.cancel([order])
        await rig.run(10)
        assert [tx["op"] for tx in rig.exchange.commands()] == ["create"]
        rig.exchange.automatic = True
        rig.exchange.decide()
        await rig.run(1)
        assert [tx["op"] for tx in rig.exchange.commands()] == ["create", "cancel"]
        assert rig.exchange.commands()[1]["index"] == "500"
        assert rig.events("O-1") == ["submitted", "accepted", "canceled"]

    run(body)


def test_what_waits_for_room_under_a_limit_holds_no_cancel_of_the_others() -> None:
    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = Rig("nonce_venue", module.NonceExchange(clock), clock)
        rig.manifest = evolve(
            rig.manifest,
            buckets={"tx": Bucket(Scope.ACCOUNT, 1, Seconds(30), 2)},
            semantics=evolve(rig.manifest.semantics, cancel_needs_venue_id=False),
            orders=evolve(rig.manifest.orders, wait_ms=300_000),
        )
        rig.pacer = Pacer(rig.manifest, clock, rig.counters)
        await rig._compose(module.ToySigner())
        await rig.started()
        orders = [rig.engine.add(limit(f"O-{n}", rig.iid)) for n in range(1, 5)]
        rig.service.commands.submit(orders)
        await rig.run(1_000)
        assert [tx["op"] for tx in rig.exchange.commands()] == ["create", "create"]
        for order in orders:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(rig.iid, None, orders)
        await rig.run(31_000)
        assert [tx["op"] for tx in rig.exchange.commands()] == ["create", "create", "cancel_all"]
        assert [rig.events(f"O-{n}")[-1] for n in range(1, 5)] == ["canceled", "canceled", *["submitted"] * 2]
        # The others follow one by one, each with its cancel behind it.
        await rig.run(130_000)
        assert [tx["op"] for tx in rig.exchange.commands()][3:] == ["create", "cancel"] * 2
        assert {order.status for order in orders} == {OrderStatus.CANCELED}
        await rig.stop()

    asyncio.run(whole())


def test_a_cancel_that_never_left_is_sent_once_the_order_is_seen_open() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        rig.exchange.faults.append(never_left)
        rig.engine.pending_cancel(order)
        rig.service.commands.cancel([order])
        await rig.run(20_000)
        assert rig.events("O-1") == ["submitted", "accepted", "canceled"]

    run(body)


def test_modify_is_confirmed_by_values_and_holds_plain_reports_back() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        rig.exchange.automatic = False
        rig.engine.pending_update(order)
        rig.service.commands.modify(order, None, Price.from_str("101.0"), None)
        await rig.run(1)
        rig.exchange.match(1, "0.250")
        assert rig.events("O-1") == ["submitted", "accepted"], "held back: a report would lose the change"
        rig.exchange.decide()
        assert rig.events("O-1")[2:] == ["updated 1.000 101.0 NV-500", "filled 0.250@100.0 9000"]

    run(body)


def test_a_modify_whose_reply_is_lost_ends_by_a_look_up() -> None:
    async def body(rig: Rig) -> None:
        applied, lost = await rig.submit("O-1"), await rig.submit("O-2")
        rig.exchange.mute = True
        rig.exchange.faults += [reply_lost, request_lost]
        for order in (applied, lost):
            rig.engine.pending_update(order)
            rig.service.commands.modify(order, Quantity.from_str("2.000"), None, None)
        await rig.run(30_000)
        assert rig.events("O-1")[-1] == "updated 2.000 100.0 NV-500"
        assert rig.events("O-2")[-1] == "modify_rejected"
        assert rig.engine.reasons["O-2"].startswith("NOT_APPLIED")

    run(body)


def test_modify_of_a_filling_order() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        rig.exchange.automatic = False
        rig.engine.pending_update(order)
        rig.service.commands.modify(order, Quantity.from_str("2.000"), None, None)
        await rig.run(1)
        rig.exchange.match(1, "1.000")
        assert rig.events("O-1")[2:] == ["modify_rejected", "filled 1.000@100.0 9000"]
        assert order.status == OrderStatus.FILLED
        rig.exchange.decide()
        await rig.run(10_000)
        assert rig.events("O-1")[-1] == "filled 1.000@100.0 9000"

    run(body)


def test_denials_put_nothing_on_the_wire() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        sent = len(rig.exchange.commands())
        await rig.submit("bad name")
        await rig.submit("O-2", price="100.3")
        await rig.submit("O-1")
        rig.service.commands.modify(order, None, None, Price.from_str("90.0"))
        await rig.run(10)
        assert rig.events("bad") == ["name denied INVALID_CLIENT_ORDER_ID"]
        assert rig.events("O-2") == ["denied PRICE_PRECISION_EXCEEDS_MAXIMUM"]
        assert rig.events("O-1")[-2:] == ["denied INVALID_CLIENT_ORDER_ID", "modify_rejected"]
        assert len(rig.exchange.commands()) == sent

    run(body)


def test_cancel_all_is_one_command_where_the_venue_has_it() -> None:
    async def body(rig: Rig) -> None:
        orders = [await rig.submit(f"O-{n}") for n in (1, 2)]
        for order in orders:
            rig.engine.pending_cancel(order)
        rig.service.commands.cancel_all(rig.iid, None, orders)
        await rig.run(10)
        assert [tx["op"] for tx in rig.exchange.commands()][2:] == ["cancel_all"]
        assert rig.events("O-2") == ["submitted", "accepted", "canceled"]
        third = await rig.submit("O-3", side=OrderSide.SELL)
        rig.service.commands.cancel_all(rig.iid, OrderSide.SELL, [third])
        await rig.run(10)
        assert [tx["op"] for tx in rig.exchange.commands()][-1] == "cancel", "no side in the venue's command"

    run(body)


def test_a_silently_lost_frame_is_found_by_the_periodic_check() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.submit("O-2")
        rig.exchange.mute = True
        rig.exchange.match(1, "1.000")
        rig.exchange.match(2, "0.500")
        rig.exchange.mute = False
        await rig.run(5_000)
        asking = asyncio.ensure_future(rig.service.reports.order_reports(True, None))
        await rig.run(10_000)
        assert [str(report.client_order_id) for report in asking.result()] == ["O-2"]
        assert rig.events("O-1")[-1] == "filled 1.000@100.0 9000"
        assert rig.events("O-2")[-1] == "filled 0.500@100.0 9001"

    run(body)


def test_mass_status_of_an_account_with_history_over_several_pages() -> None:
    async def body(rig: Rig) -> None:
        for n in range(1, 6):
            await rig.submit(f"O-{n}")
        for n in range(1, 5):
            rig.exchange.match(n, "0.500")
        rig.exchange.match(1, "0.500")
        await rig.run(100)

        fresh = Rig("nonce_venue", rig.exchange, rig.clock)
        await fresh._compose(load("nonce_venue", "nonce_exchange").ToySigner())
        await fresh.started()
        asking = asyncio.ensure_future(fresh.service.reports.mass_status(60))
        await rig.run(10_000)
        parts = asking.result()
        assert {str(o.client_order_id): str(o.filled_qty) for o in parts.orders} == {
            "O-1": "1.000",
            "O-2": "0.500",
            "O-3": "0.500",
            "O-4": "0.500",
            "O-5": "0.000",
        }
        assert sorted(str(f.trade_id) for f in parts.fills) == ["9000", "9001", "9002", "9003", "9004"]
        # The fills explain the position, so it is not said twice; asked for by itself, it is there.
        assert parts.positions == []
        asking = asyncio.ensure_future(fresh.service.reports.position_reports())
        await rig.run(1_000)
        held = [(str(p.quantity), str(p.avg_px_open)) for p in asking.result()]
        assert held == [("2.500", "100.0")]
        fresh.engine.take(parts)
        rig.exchange.match(5, "1.000")
        rig.exchange.match(2, "0.500")
        await rig.run(10_000)
        assert fresh.events("O-5") == ["reconciled", "filled 1.000@100.0 9005"]
        assert fresh.events("O-2") == ["reconciled", "filled 0.500@100.0 9001", "filled 0.500@100.0 9006"]
        assert fresh.events("O-1") == ["reconciled", "filled 0.500@100.0 9000", "filled 0.500@100.0 9004"]
        await fresh.stop()

    run(body)


def test_orders_of_an_earlier_run_keep_their_client_ids() -> None:
    journal, kept = MemoryJournal(), []

    async def first(rig: Rig) -> None:
        await rig.submit("O-1")
        rig.exchange.faults += [reply_lost, request_lost]
        await rig.submit("O-2")
        await rig.submit("O-3")
        kept.extend([rig.exchange, rig.clock])

    run_kept(first, journal)
    assert [entry.intent.facts.client_order_id for entry in journal.open_intents()] == ["O-1", "O-2", "O-3"]

    async def second() -> None:
        rig = Rig("nonce_venue", *kept, journal)
        await rig._compose(load("nonce_venue", "nonce_exchange").ToySigner())
        await rig.started()
        await rig.run(2_000)
        rig.exchange.match(1, "0.200")
        asking = asyncio.ensure_future(rig.service.reports.mass_status(None))
        await rig.run(20_000)
        told = {str(order.client_order_id): str(order.filled_qty) for order in asking.result().orders}
        assert told == {"O-1": "0.200", "O-2": "0.000"}
        assert [str(fill.trade_id) for fill in asking.result().fills] == ["9000"]
        assert [line for line in rig.engine.log if not line.startswith("account")] == [], "told by it alone"
        assert [entry.intent.facts.client_order_id for entry in journal.open_intents()] == ["O-1", "O-2"]
        await rig.stop()

    asyncio.run(second())


def run_kept(body: Callable[[Rig], Awaitable[None]], journal: MemoryJournal) -> None:
    """Like `run`, but the process dies without a stop: only the journal and the exchange are left."""

    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = await Rig.opened(
            "nonce_venue", module.NonceExchange(clock), clock, signer=module.ToySigner(), journal=journal
        )
        await body(rig)
        rig.exchange.links.clear()

    asyncio.run(whole())


def test_an_html_answer_to_a_submit_that_took_effect() -> None:
    async def body(rig: Rig) -> None:
        rig.exchange.faults.append(answers("error", b'{"code": 503}', arrives=True))
        await rig.submit("O-1")
        assert rig.events("O-1") == ["submitted", "accepted"], "the stream proves it before any question"
        await rig.run(5_000)
        assert rig.counters.get("lookups.asked") == 0

    run(body)


def test_the_stream_is_cut_while_a_submit_is_under_way() -> None:
    async def body(rig: Rig) -> None:
        def taken_and_cut(request: object, way: Callable[[], object]) -> object:
            way()
            rig.exchange.decide()
            rig.exchange.cut()
            raise SendFailed("cut", evidence=Evidence.MAYBE_SENT)

        def cut_before(request: object, way: Callable[[], object]) -> object:
            rig.exchange.cut()
            raise SendFailed("cut", evidence=Evidence.MAYBE_SENT)

        rig.exchange.faults.append(taken_and_cut)
        await rig.submit("O-1")
        await rig.run(5_000)
        assert rig.service.ready
        rig.exchange.faults.append(cut_before)
        await rig.submit("O-2")
        await rig.run(20_000)
        assert rig.events("O-1") == ["submitted", "accepted"]
        assert rig.events("O-2") == ["submitted", "rejected"]
        assert len(rig.exchange.txs) == 1

    run(body)


def test_an_order_of_another_session_is_followed_and_can_be_cancelled() -> None:
    async def body(rig: Rig) -> None:
        row = {
            "client": None,
            "index": 900,
            "hash": "ab",
            "market": "BTC-USD-PERP",
            "side": "SELL",
            "size": "2.000",
            "price": "120.0",
            "filled": "0.000",
            "status": "open",
        }
        rig.exchange.orders["other"] = row
        rig.exchange._stamp(row)
        rig.exchange.say({"order": row})
        await rig.run(1)
        assert rig.events("NV-900") == ["accepted"]
        external = rig.engine.external["NV-900"]
        rig.engine.pending_cancel(external)
        rig.service.commands.cancel([external])
        await rig.run(10)
        assert rig.events("NV-900") == ["accepted", "canceled"]
        assert rig.counters.get("orders.cancel_unknown") == 0

    run(body)


def test_a_private_frame_that_cannot_be_read_is_recovered_over_rest() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        rig.exchange.mute = True
        rig.exchange.match(1, "0.400")
        rig.exchange.mute = False
        rig.exchange.push({"fill": {"trade": "torn"}})
        await rig.run(5_000)
        assert rig.counters.get("recovery.done") == 1
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"

    run(body)


def test_a_position_nothing_explains_is_an_alarm_and_no_correction() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        rig.exchange.match(1, "1.000")
        rig.exchange.shift = 500
        rig.exchange.cut()
        await rig.run(20_000)
        assert [kind for kind, _ in rig.engine.alarms] == ["position_differs"]
        assert rig.service.ready, "said once, and trading goes on"
        assert rig.events("O-1") == ["submitted", "accepted", "filled 1.000@100.0 9000"]

    run(body)


def test_a_start_that_cannot_read_the_account_fails_whole() -> None:
    async def body() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        exchange = module.NonceExchange(clock)
        real = exchange.http
        exchange.http = lambda request: Reply(503, b"{}") if request.path == "/positions" else real(request)
        rig = Rig("nonce_venue", exchange, clock)
        await rig._compose(module.ToySigner())
        starting = asyncio.ensure_future(rig.service.start())
        for _ in range(400):
            await rig.run(1_000)
            await asyncio.sleep(0.001)
            if starting.done():
                break
        assert starting.exception() is not None
        assert not rig.service.ready
        assert exchange.links == [], "nothing is left running"

    asyncio.run(body())


def test_a_command_the_venue_drafts_nothing_for_ends() -> None:
    async def body(rig: Rig) -> None:
        rig.parts.account.orders.draft = lambda command: []
        await rig.submit("O-1")
        assert rig.events("O-1") == ["submitted", "rejected"]
        rig.parts.account.orders.draft = lambda command: 1 / 0
        await rig.submit("O-2")
        assert rig.events("O-2") == ["submitted", "rejected"]
        assert rig.exchange.commands() == []

    run(body)


def test_a_silently_lost_cancel_is_found_by_the_periodic_check() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        rig.exchange.mute = True
        rig.exchange._cancel({"index": 500})
        rig.exchange.mute = False
        await rig.run(5_000)
        asking = asyncio.ensure_future(rig.service.reports.order_reports(True, None))
        await rig.run(1_000)
        assert asking.result() == []
        assert rig.events("O-1") == ["submitted", "accepted", "canceled"]

    run(body)


def test_a_record_that_breaks_the_service_is_read_over_rest() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        whole = rig.service._tracker

        class Broken:
            def __getattr__(self, name: str) -> object:
                return getattr(whole, name)

            def apply_fill(self, fill: object, now: object) -> object:
                rig.service._tracker = whole
                raise RuntimeError("a bug")

        rig.service._tracker = Broken()
        rig.exchange.match(1, "0.400", order_frame=False)
        assert rig.events("O-1") == ["submitted", "accepted"]
        await rig.run(2_000)
        assert rig.counters.get("private.failed") == 1
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"

    run(body)


def test_an_older_balance_never_replaces_a_newer_one() -> None:
    async def body(rig: Rig) -> None:
        newest = BalanceRecord(ts_event=rig.clock.wall_ns() + 5, source=Source.STREAM)
        rig.service.on_decoded([newest, BalanceRecord(ts_event=7, source=Source.STREAM)], 1)
        assert rig.engine.accounts[-1][-1] == newest.ts_event
        assert rig.counters.get("private.stale_balances") == 1

    run(body)


def test_a_stream_lost_again_during_the_recovery_is_recovered_again_before_submits() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        real, seen, ready = rig.exchange.http, [], []

        def http(request: object) -> Reply:
            if request.path == "/open" and not seen:
                seen.append(request)
                rig.exchange.cut()
            return real(request)

        tell = rig.service.on_session_state

        def on_state(state: SessionState, why: str) -> None:
            tell(state, why)
            if state is SessionState.LIVE:
                ready.append(rig.service.ready)

        rig.service.on_session_state = on_state
        rig.exchange.http = http
        rig.exchange.cut()
        await rig.run(5_000)
        assert ready == [False, False], "live is not known yet"
        assert rig.service.ready
        assert rig.counters.get("recovery.done") == 1

    run(body)
