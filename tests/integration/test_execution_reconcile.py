"""Orders, fills and positions, each read on its own, page by page; a difference is explained or alarmed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from types import SimpleNamespace

import pytest
from account_rig import Rig, load
from attrs import evolve
from engine_double import limit
from nautilus_trader.model import OrderStatus, PositionSide

from venuekit.core.order_state import Action, Moment
from venuekit.core.orders import OrderTracker
from venuekit.errors import DecodeError, GiveUp, NotReady, VenuekitError
from venuekit.interfaces.reconciliation import AccountRow, Found, NotFound, Query
from venuekit.interfaces.records import FillRecord, OrderRecord, Source, WireIds
from venuekit.interfaces.request import Reply
from venuekit.interfaces.stream import Page, Quarantined, Window
from venuekit.interfaces.time import AtWall
from venuekit.runtime.account_reads import AccountReads
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.tasks import TaskScope
from venuekit.runtime.telemetry import CounterTable

LAG_MS = 2_000
"""So long may the history of this venue lag behind."""


def run(body: Callable[[Rig], Awaitable[None]], journal: MemoryJournal | None = None) -> None:
    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = Rig("nonce_venue", module.NonceExchange(clock), clock, journal)
        rig.manifest = evolve(rig.manifest, semantics=evolve(rig.manifest.semantics, compare_ms=0))
        await rig._compose(module.ToySigner())
        await rig.started()
        await body(rig)
        await rig.stop()

    asyncio.run(whole())


async def answer[T](rig: Rig, asking: Awaitable[T], ms: int = 30_000) -> T:
    """What was asked for, once enough virtual time has passed."""
    task = asyncio.ensure_future(asking)
    for _ in range(ms // 250):
        await rig.run(250)
        if task.done():
            return task.result()
    raise AssertionError("no answer")


def past(rig: Rig, orders: int, parts: int = 2) -> None:
    """Orders of somebody else on this account, each filled in parts of 0.100 and still open."""
    for number in range(orders):
        client = 900 + number
        row = {"client": client, "hash": f"{client:064x}", "market": "BTC-USD-PERP", "side": "BUY"}
        row |= {"index": 700 + number, "size": "1.000", "price": "100.0", "filled": "0.000", "status": "open"}
        rig.exchange.orders[client] = row
        rig.exchange._stamp(row)
        for _ in range(parts):
            rig.exchange.match(client, "0.100", frames=False)


def rows_of(reply: Reply) -> dict[str, object]:
    return json.loads(reply.body)


class Road:
    """Around the exchange's answers: `on(path, change)` alters the reply of that path."""

    def __init__(self, rig: Rig) -> None:
        self._real = rig.exchange.http
        self._changes: dict[str, Callable[[Mapping[str, str], Reply], Reply]] = {}
        self.asked: list[tuple[str, str]] = []
        rig.exchange.http = self._answer

    def on(self, path: str, change: Callable[[Mapping[str, str], Reply], Reply]) -> None:
        self._changes[path] = change

    def clear(self) -> None:
        self._changes.clear()

    def _answer(self, request: object) -> Reply:
        query = dict(request.query)
        self.asked.append((request.path, query.get("cursor", "")))
        reply = self._real(request)
        change = self._changes.get(request.path)
        return change(query, reply) if change is not None else reply


def of_page(cursor: str, bad: Reply) -> Callable[[Mapping[str, str], Reply], Reply]:
    """The page under this cursor is answered so; the others as they are."""
    return lambda query, reply: bad if query.get("cursor", "") == cursor else reply


def told(parts: object) -> tuple[list[str], list[str]]:
    """Venue order ids and trade ids of a mass status, sorted."""
    return (
        sorted(one.venue_order_id.value for one in parts.orders),
        sorted(one.trade_id.value for one in parts.fills),
    )


def positions(parts_or_reports: object) -> dict[str, Decimal]:
    signs = {PositionSide.LONG: 1, PositionSide.SHORT: -1, PositionSide.FLAT: 0}
    reports = getattr(parts_or_reports, "positions", parts_or_reports)
    return {
        one.instrument_id.symbol.value: signs[one.position_side] * one.quantity.as_decimal()
        for one in reports
    }


# --- pages


def test_rows_that_come_twice_and_in_any_order_are_told_once() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 3)
        before = told(await answer(rig, rig.service.reports.mass_status(None)))
        assert (len(before[0]), len(before[1])) == (3, 6)

        def twice(query: Mapping[str, str], reply: Reply) -> Reply:
            # A list whose cursor is an offset shows rows again when rows were put before them.
            page = rows_of(reply)
            page["rows"] = [*reversed(page["rows"]), *page["rows"]]
            return Reply(200, json.dumps(page).encode())

        road = Road(rig)
        for path in ("/open", "/fills", "/closed"):
            road.on(path, twice)
        counted = rig.counters.get("reads.repeated_rows")
        assert told(await answer(rig, rig.service.reports.mass_status(None))) == before
        # Fills are read twice, once more after the positions; three orders and six fills came once too often.
        assert rig.counters.get("reads.repeated_rows") - counted == 3 + 2 * 6

    run(body)


def test_rows_that_come_between_pages_are_all_told() -> None:
    """The list is newest first and its cursor an offset: what comes meanwhile moves everything by one."""

    async def body(rig: Rig) -> None:
        past(rig, 2, parts=4)
        road = Road(rig)
        comes = [2, 4]

        def newest_first(query: Mapping[str, str], _: Reply) -> Reply:
            start = int(query.get("cursor", "0"))
            rows = list(reversed(rig.exchange.fills))
            page = {"rows": rows[start : start + 2]}
            if start + 2 < len(rows):
                page["next"] = str(start + 2)
            if start in comes:
                comes.remove(start)
                rig.exchange.match(901, "0.100", frames=False)
            return Reply(200, json.dumps(page).encode())

        road.on("/fills", newest_first)
        parts = await answer(rig, rig.service.reports.mass_status(None))
        assert not comes
        truth = sorted(str(fill["trade"]) for fill in rig.exchange.fills)
        assert len(truth) == 10, "two came meanwhile"
        assert told(parts)[1] == truth
        assert positions(parts) == {}, "the fills make the position"
        assert not rig.engine.alarms

    run(body)


FAILURES = (VenuekitError, ValueError, KeyError, TypeError)
"""The sample venue reads its JSON without care."""
BROKEN = {
    "500": Reply(500, b"{}"),
    "HTML under 200": Reply(200, b"<html><body>maintenance</body></html>"),
    "cut": Reply(200, b'{"rows": [{"client": 9'),
    "no list": Reply(200, b"{}"),
    "empty body": Reply(200, b""),
    "null": Reply(200, b'{"rows": null}'),
}


@pytest.mark.parametrize("bad", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", ["/open", "/fills", "/positions"])
@pytest.mark.parametrize("cursor", ["", "2"])
def test_a_page_that_fails_is_never_an_empty_one(path: str, cursor: str, bad: Reply) -> None:
    if path == "/positions" and cursor:
        pytest.skip("one page")

    async def body(rig: Rig) -> None:
        past(rig, 3)
        road = Road(rig)
        road.on(path, of_page(cursor, bad))
        with pytest.raises(FAILURES):
            await answer(rig, rig.service.reports.mass_status(None))
        question = {
            "/open": lambda: rig.service.reports.order_reports(True, None),
            "/fills": lambda: rig.service.reports.fill_reports(None, None),
            "/positions": rig.service.reports.position_reports,
        }[path]
        with pytest.raises(FAILURES):
            await answer(rig, question())
        road.clear()
        assert len(told(await answer(rig, rig.service.reports.mass_status(None)))[1]) == 6

    run(body)


@pytest.mark.parametrize("path", ["/open", "/closed", "/fills", "/positions"])
@pytest.mark.parametrize("cursors", ["the same", "in a circle", "ever new"])
def test_pages_without_an_end_are_given_up(path: str, cursors: str) -> None:
    names: Iterator[int] = iter(range(100_000))

    def more(query: Mapping[str, str], reply: Reply) -> Reply:
        page = rows_of(reply)
        number = next(names)
        following = {"the same": 0, "in a circle": number % 3, "ever new": number + 50}
        page["next"] = str(following[cursors])
        return Reply(200, json.dumps(page).encode())

    async def body(rig: Rig) -> None:
        past(rig, 2)
        road = Road(rig)
        road.on(path, more)
        with pytest.raises(GiveUp):
            await answer(rig, rig.service.reports.mass_status(None), 600_000)
        assert sum(asked == path for asked, _ in road.asked) <= 2_001

    run(body)


class Torn:
    """A source whose second page has a row that cannot be read."""

    async def page(self, query: Query, window: Window, cursor: str | None) -> Page[AccountRow]:
        if cursor is None:
            return Page([], "2")
        return Page([], None, quarantined=[Quarantined("bad_number", "planted", private=True)])


@pytest.mark.parametrize("query", list(Query))
def test_only_a_position_that_cannot_be_read_spoils_the_list(query: Query) -> None:
    """What it left out would be read as flat; of the other lists what is there is told."""

    async def body() -> None:
        counters = CounterTable()
        log = logging.getLogger("venuekit.test")
        scope = TaskScope("test", counters, log)
        reads = AccountReads(Torn(), scope, counters, log)
        if query is Query.POSITIONS:
            with pytest.raises(DecodeError):
                await reads.rows(query, Window())
        else:
            assert await reads.rows(query, Window()) == []
        assert counters.get("quarantined.bad_number") == 1

    asyncio.run(body())


def test_a_row_that_cannot_be_read_is_an_alarm_once_and_the_others_are_told() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1)
        source = rig.parts.account.reads
        real = source.page

        async def page(query: Query, window: Window, cursor: str | None) -> Page[AccountRow]:
            found = await real(query, window, cursor)
            bad = [Quarantined("bad_number", "planted", private=True)]
            return evolve(found, quarantined=bad if query is Query.FILLS else [])

        source.page = page
        assert len((await answer(rig, rig.service.reports.mass_status(None))).fills) == 2
        await answer(rig, rig.service.reports.fill_reports(None, None))
        assert [kind for kind, _ in rig.engine.alarms] == ["row_unreadable"]

    run(body)


def test_rows_that_break_the_tracker_cost_the_others_nothing_and_are_not_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(rig: Rig) -> None:
        broken = await rig.submit("O-1")
        own = await rig.submit("O-2")
        await rig.run(10_000)
        real_order, real_fill = OrderTracker.apply_order, OrderTracker.apply_fill

        def bad_order(tracker: OrderTracker, record: OrderRecord, now: Moment) -> list[Action]:
            if record.source is not Source.STREAM and record.ids.client_order_id == "O-1":
                raise TypeError("planted")
            return real_order(tracker, record, now)

        def bad_fill(tracker: OrderTracker, fill: FillRecord, now: Moment) -> list[Action]:
            if fill.trade_key == "9000":
                raise TypeError("planted")
            return real_fill(tracker, fill, now)

        monkeypatch.setattr(OrderTracker, "apply_order", bad_order)
        monkeypatch.setattr(OrderTracker, "apply_fill", bad_fill)
        rig.exchange.mute = True
        rig.exchange.match(1, "0.400")
        rig.exchange.match(2, "1.000")
        rig.exchange.mute = False
        for _ in range(2):
            rig.exchange.cut()
            await rig.run(30_000)
        assert own.status == OrderStatus.FILLED, "the other rows were taken"
        assert rig.service.ready, "and submits are allowed"
        assert rig.counters.get("quarantined.row_broken") >= 4
        assert sorted(kind for kind, _ in rig.engine.alarms) == [
            "position_differs",
            "row_broken",
            "row_broken",
        ], "each once"
        assert rig.counters.get("orders.missing_in_list") == 0, "its row was there"
        reports = await answer(rig, rig.service.reports.order_reports(True, None))
        assert [one.client_order_id.value for one in reports] == ["O-1"]
        assert rig.counters.get("tasks.crashed") == 0
        monkeypatch.undo()
        await answer(rig, rig.service.reports.fill_reports(None, None))
        assert broken.status == OrderStatus.PARTIALLY_FILLED

    run(body)


def test_a_list_that_is_empty_by_mistake_ends_nothing() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1)
        rig.engine.take(await answer(rig, rig.service.reports.mass_status(None)))
        own = await rig.submit("O-1")
        await rig.run(10_000)
        road = Road(rig)
        for path in ("/open", "/closed", "/fills"):
            road.on(path, lambda *_: Reply(200, b'{"rows": []}'))
        before = list(rig.engine.log)
        for _ in range(3):
            rig.exchange.cut()
            await rig.run(5_000)
        assert rig.counters.get("orders.missing_in_list") >= 2, "each was looked up, and found"
        assert [line for line in rig.engine.log if line not in before and "account" not in line] == []
        assert own.status == OrderStatus.ACCEPTED
        assert rig.engine.alarms == []

    run(body)


@pytest.mark.parametrize("secs", [1, 60])
def test_positions_that_are_empty_by_mistake_are_not_flat(secs: int) -> None:
    """Seen for long it is an alarm with both numbers, and only then the engine hears of it."""

    async def body(rig: Rig) -> None:
        past(rig, 1)
        rig.engine.take(await answer(rig, rig.service.reports.mass_status(None)))
        road = Road(rig)
        road.on("/positions", lambda *_: Reply(200, b'{"rows": []}'))
        with pytest.raises(NotReady):
            await answer(rig, rig.service.reports.position_reports(), 1_000)
        assert rig.engine.alarms == []
        await rig.run(secs * 1_000)
        if secs < 60:
            road.clear()
            await rig.run(10_000)
        alarms = dict(rig.engine.alarms)
        assert ("position_differs" in alarms) == (secs == 60)
        if alarms:
            assert "fills make 0.2, venue has 0" in alarms["position_differs"]

    run(body)


# --- lists on their own


@pytest.mark.parametrize("lost", ["/open", "/closed", "/balances", "/positions"])
def test_what_one_list_brings_is_told_while_another_one_fails(lost: str) -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        road = Road(rig)
        road.on(lost, lambda *_: Reply(500, b"{}"))
        rig.exchange.cut()
        rig.exchange.match(1, "0.400")
        await rig.run(10_000)
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"
        assert rig.counters.get("recovery.failed") >= 1
        assert not rig.service.ready, "not everything was read"
        road.clear()
        await rig.run(60_000)
        assert rig.service.ready
        assert rig.engine.alarms == []

    run(body)


def test_orders_are_told_while_fills_cannot_be_read_and_no_position_is_doubted() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.submit("O-2")
        await rig.run(3_000)
        road = Road(rig)
        road.on("/fills", lambda *_: Reply(500, b"{}"))
        rig.exchange.cut()
        rig.exchange.match(1, "0.400")
        rig.exchange._cancel({"index": 501})
        await rig.run(60_000)
        assert rig.events("O-2")[-1] == "canceled"
        assert rig.events("O-1")[-1] == "accepted", "a fill is never made up"
        assert not rig.service.ready
        assert "position_differs" not in dict(rig.engine.alarms)
        road.clear()
        await rig.run(60_000)
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000"
        assert rig.service.ready

    run(body)


# --- history that lags


def lag(road: Road, rig: Rig, ms: int) -> None:
    """Fills and ended orders come into their lists so much later."""

    def late(key: str) -> Callable[[Mapping[str, str], Reply], Reply]:
        def change(query: Mapping[str, str], _: Reply) -> Reply:
            newest = rig.clock.wall_ns() - ms * 1_000_000
            all_rows = rig.exchange.fills if key == "fills" else rig.exchange.orders.values()
            rows = [row for row in all_rows if row["ts"] <= newest and row.get("status") != "open"]
            return Reply(200, json.dumps({"rows": rows}).encode())

        return change

    road.on("/fills", late("fills"))
    road.on("/closed", late("closed"))
    real = rig.exchange.http

    def look_up(request: object) -> Reply:
        reply = real(request)
        if request.path == "/order" and reply.status == 200:
            row = json.loads(reply.body)
            if row["status"] != "open" and row["ts"] > rig.clock.wall_ns() - ms * 1_000_000:
                return Reply(404, b"{}")
        return reply

    rig.exchange.http = look_up


def test_a_fill_that_history_does_not_show_yet_is_waited_for_at_the_start() -> None:
    """The position has it already. The engine would make an order up for it, and take the fill as well."""

    async def body(rig: Rig) -> None:
        past(rig, 1)
        await rig.run(10_000)
        lag(Road(rig), rig, LAG_MS - 100)
        rig.exchange.match(900, "0.300", frames=False)
        parts = await answer(rig, rig.service.reports.mass_status(None))
        assert told(parts)[1] == ["9000", "9001", "9002"]
        assert positions(parts) == {}
        assert rig.engine.alarms == []

    run(body)


def test_an_order_that_ended_in_the_lag_is_looked_for_and_no_alarm() -> None:
    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        await rig.run(10_000)
        lag(Road(rig), rig, LAG_MS - 100)
        rig.exchange.cut()
        rig.exchange.match(1, "1.000")
        await rig.run(20_000)
        assert order.status == OrderStatus.FILLED
        assert rig.events("O-1")[2:] == ["filled 1.000@100.0 9000"]
        assert rig.service.ready
        assert rig.engine.alarms == []

    run(body)


def test_submits_wait_until_a_fill_that_the_position_shows_was_told() -> None:
    """What was missed is fetched and compared before anything new is allowed."""

    async def body(rig: Rig) -> None:
        order = await rig.submit("O-1")
        await rig.run(10_000)
        # The order's own record lags as well, so that only the position says that there was a fill.
        road = Road(rig)
        lag(road, rig, LAG_MS - 100)
        road.on("/open", lambda *_: Reply(200, b'{"rows": []}'))
        rig.exchange.cut()
        rig.exchange.match(1, "1.000")
        ready_at_fill: list[bool] = []
        for _ in range(200):
            await rig.run(50)
            if order.status != OrderStatus.FILLED:
                ready_at_fill.append(rig.service.ready)
        assert order.status == OrderStatus.FILLED
        assert not any(ready_at_fill)
        assert rig.service.ready

    run(body)


def test_a_fill_that_comes_while_a_start_reads_positions_counts_once_and_hides_no_later_loss() -> None:
    """Without a mass status nothing else would take the baseline, and a later hole would not show."""

    async def whole() -> None:
        clock = ManualClock()
        module = load("nonce_venue", "nonce_exchange")
        rig = Rig("nonce_venue", module.NonceExchange(clock), clock)
        rig.manifest = evolve(rig.manifest, semantics=evolve(rig.manifest.semantics, compare_ms=0))
        await rig._compose(module.ToySigner())
        past(rig, 1)
        road = Road(rig)

        def fill_first(_: Mapping[str, str], __: Reply) -> Reply:
            road.clear()
            rig.exchange.match(900, "0.100")
            return rig.exchange.http(SimpleNamespace(path="/positions", query=()))

        road.on("/positions", fill_first)
        await rig.started()
        await rig.run(20_000)
        assert rig.service._positions.started
        assert rig.engine.alarms == []
        await rig.run(20_000)
        rig.exchange.cut()
        rig.exchange.shift = 500
        await rig.run(60_000)
        assert [kind for kind, _ in rig.engine.alarms] == ["position_differs"]
        await rig.stop()

    asyncio.run(whole())


def test_a_loss_that_nothing_explains_does_not_deny_submits_for_ever() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.cut()
        rig.exchange.shift = 50
        await rig.run(30_000)
        assert rig.service.ready
        (alarm,) = rig.engine.alarms
        assert alarm[0] == "position_differs"
        assert "fills make 0, venue has 0.05" in alarm[1], "both numbers"

    run(body)


# --- positions and fills


@pytest.mark.parametrize("lookback", [None, 60])
def test_a_position_that_no_fill_explains_is_told_with_both_numbers(lookback: int | None) -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1)
        rig.exchange.shift = 70
        await rig.run(10_000)
        parts = await answer(rig, rig.service.reports.mass_status(lookback))
        assert positions(parts) == {"BTC-USD-PERP": Decimal("0.270")}
        if lookback is None:
            (alarm,) = rig.engine.alarms
            assert alarm[0] == "position_unexplained"
            assert "orders make 0.2, venue has 0.270" in alarm[1]
        else:
            # Older than the window is an explanation.
            assert rig.engine.alarms == []
            assert rig.counters.get("reads.positions_older") == 1
        rig.engine.take(parts)
        # From here on the position is known: what comes is compared with it, and is no surprise.
        rig.exchange.match(900, "0.100")
        await rig.run(1_000)
        assert positions(await answer(rig, rig.service.reports.position_reports())) == {
            "BTC-USD-PERP": Decimal("0.370")
        }

    run(body)


def test_a_position_that_was_closed_is_told_as_flat() -> None:
    """The fills that closed it lie in the window, those that opened it before: alone they make a short."""

    async def body(rig: Rig) -> None:
        past(rig, 1)
        rig.exchange.orders[900]["side"] = "SELL"
        for fill in rig.exchange.fills:
            fill["side"] = "SELL"
        rig.exchange.shift = 200
        await rig.run(10_000)
        parts = await answer(rig, rig.service.reports.mass_status(60))
        assert len(parts.fills) == 2
        assert positions(parts) == {"BTC-USD-PERP": Decimal(0)}

    run(body)


def test_our_order_that_ended_between_two_runs_and_before_the_window_counts_once() -> None:
    """Its fills are in the position that is older than the window."""
    journal = MemoryJournal()

    async def first(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(1_000)

    async def second(rig: Rig) -> None:
        exchange = first_rig[0].exchange
        rig.exchange.orders, rig.exchange.fills = exchange.orders, exchange.fills
        rig.exchange.match(1, "1.000", frames=False)
        await rig.run(10_000)
        road = Road(rig)
        nothing = lambda *_: Reply(200, b'{"rows": []}')  # noqa: E731
        road.on("/closed", nothing)
        road.on("/fills", nothing)
        source = rig.parts.account.reads
        looked_up = source.look_up

        async def with_fills(ids: WireIds, since: AtWall) -> Found | NotFound:
            found = await looked_up(ids, since)
            fills = [source.wire.fill(row, Source.LOOKUP) for row in rig.exchange.fills]
            return evolve(found, fills=tuple(fills))

        source.look_up = with_fills
        parts = await answer(rig, rig.service.reports.mass_status(1))
        assert [one.client_order_id.value for one in parts.orders] == ["O-1"]
        assert positions(parts) == {}, "the order makes it"
        rig.engine.orders["O-1"] = limit("O-1", rig.iid)
        rig.engine.take(parts)
        before = list(rig.engine.log)
        road.clear()
        rig.exchange.cut()
        await rig.run(60_000)
        assert [line for line in rig.engine.log if line not in before and "account" not in line] == []
        assert rig.engine.alarms == []

    first_rig: list[Rig] = []

    async def keep(rig: Rig) -> None:
        first_rig.append(rig)
        await first(rig)

    run(keep, journal=journal)
    assert [one.intent.facts.client_order_id for one in journal.open_intents()] == ["O-1"]
    run(second, journal=journal)


def test_an_order_older_than_the_window_keeps_its_total_and_its_average() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1, parts=4)
        await rig.run(10_000)
        road = Road(rig)
        recent = [fill for fill in rig.exchange.fills if fill["trade"] == 9_003]
        road.on("/fills", lambda *_: Reply(200, json.dumps({"rows": recent}).encode()))
        parts = await answer(rig, rig.service.reports.mass_status(1))
        (order,) = parts.orders
        assert (str(order.filled_qty), order.avg_px) == ("0.400", Decimal(100))
        assert positions(parts) == {}, "the order's own total makes the position"
        assert rig.engine.alarms == []
        # The old fills come after all: they are part of what was told.
        road.clear()
        before = len(rig.engine.log)
        await answer(rig, rig.service.reports.fill_reports(None, None))
        assert len(rig.engine.log) == before
        assert rig.counters.get("fills.before_baseline") == 3

    run(body)


def test_fills_that_come_while_positions_are_read_make_no_difference() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1)
        await rig.run(10_000)
        road = Road(rig)
        comes = [True]

        def meanwhile(_: Mapping[str, str], reply: Reply) -> Reply:
            if not comes:
                return reply
            comes.clear()
            rig.exchange.match(900, "0.300", frames=False)
            # Read after the fill, which the list of fills read before does not have.
            row = {**rows_of(reply)["rows"][0], "size": "0.500"}
            return Reply(200, json.dumps({"rows": [row]}).encode())

        road.on("/positions", meanwhile)
        parts = await answer(rig, rig.service.reports.mass_status(None))
        assert told(parts)[1] == ["9000", "9001", "9002"]
        assert positions(parts) == {}
        assert rig.engine.alarms == []

    run(body)


def test_an_account_that_never_comes_to_rest_is_no_account() -> None:
    async def body(rig: Rig) -> None:
        past(rig, 1)
        rig.exchange.shift = 70
        road = Road(rig)

        def moving(_: Mapping[str, str], reply: Reply) -> Reply:
            rig.exchange.shift += 10
            return reply

        road.on("/positions", moving)
        with pytest.raises(NotReady):
            await answer(rig, rig.service.reports.mass_status(None), 60_000)
        assert rig.engine.alarms == []

    run(body)


def test_the_engine_is_not_given_a_position_before_the_fill_that_makes_it() -> None:
    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        rig.exchange.mute = True
        rig.exchange.match(1, "0.400")
        with pytest.raises(NotReady, match=r"fills make 0, venue has 0\.4"):
            await answer(rig, rig.service.reports.position_reports())
        await rig.run(1_000)
        assert rig.events("O-1")[-1] == "filled 0.400@100.0 9000", "doubt has it looked for"
        assert positions(await answer(rig, rig.service.reports.position_reports())) == {
            "BTC-USD-PERP": Decimal("0.400")
        }
        assert rig.engine.alarms == []

    run(body)


def test_a_position_that_was_moved_by_hand_is_an_alarm_first_and_told_then() -> None:
    async def body(rig: Rig) -> None:
        await rig.run(1_000)
        rig.exchange.shift = 250
        with pytest.raises(NotReady):
            await answer(rig, rig.service.reports.position_reports())
        assert rig.engine.alarms == []
        await rig.run(10_000)
        assert [kind for kind, _ in rig.engine.alarms] == ["position_differs"]
        assert positions(await answer(rig, rig.service.reports.position_reports())) == {
            "BTC-USD-PERP": Decimal("0.250")
        }

    run(body)


def test_a_fill_that_an_earlier_run_delivered_is_never_delivered_again() -> None:
    journal = MemoryJournal()
    journal.filled("O-0", "9000", 1)

    async def body(rig: Rig) -> None:
        await rig.submit("O-1")
        await rig.run(3_000)
        # The venue numbers its fills from 9000; the first one has the key that is on record.
        rig.exchange.match(1, "0.400")
        rig.exchange.match(1, "0.100")
        await rig.run(3_000)
        assert [said for said in rig.events("O-1") if "filled" in said] == ["filled 0.100@100.0 9001"]

    run(body, journal)


# --- what waits for time


def test_an_order_that_only_a_mass_status_told_is_asked_about_after_its_last_moment() -> None:
    """Nothing else happens on the account: no frame, no comparison."""

    async def body(rig: Rig) -> None:
        past(rig, 1)
        source = rig.parts.account.reads
        real, ends = source.page, AtWall(rig.clock.wall_ns() + 60_000 * 1_000_000)

        async def with_an_end(query: Query, window: Window, cursor: str | None) -> Page[AccountRow]:
            page = await real(query, window, cursor)
            rows = [
                evolve(row, ids=evolve(row.ids, ends=ends)) if isinstance(row, OrderRecord) else row
                for row in page.rows
            ]
            return evolve(page, rows=rows)

        source.page = with_an_end
        assert len((await answer(rig, rig.service.reports.mass_status(None))).orders) == 1
        asked = rig.counters.get("lookups.asked")
        await rig.run(70_000)
        assert rig.counters.get("lookups.asked") > asked

    run(body)


def test_a_cancel_of_an_order_that_only_the_engine_knows_begins_with_a_look_up() -> None:
    async def body(rig: Rig) -> None:
        order = rig.engine.add(limit("O-1", rig.iid))
        rig.engine.submitted(order)
        rig.service.commands.cancel([order])
        await rig.run(5_000)
        assert rig.counters.get("orders.cancels_held") == 1, "this venue cancels by its own id"
        assert rig.counters.get("lookups.asked") > 0

    run(body)
