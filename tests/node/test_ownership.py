"""Orders of an earlier run and the strategies they go back to: who claims what, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.model import ClientOrderId, OrderStatus

from venuekit.nautilus.ownership import Homecoming, Ownership, rounds_of
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.mass_status import MassStatusParts

BTC, ETH = bare.instrument_id(), bare.instrument_id(symbol="ETH-PERP")


class FakeStrategy:
    """Claims as Nautilus lets strategies claim: one claim an instrument."""

    held: dict[Any, str]

    def __init__(self, name: str, held: dict[Any, str], claims: tuple[Any, ...] = ()) -> None:
        self.strategy_id, self.held = name, held
        self.config = SimpleNamespace(external_order_instrument_ids=list(claims) or None)
        self.running = True
        held |= dict.fromkeys(claims, name)

    def is_running(self) -> bool:
        return self.running

    def set_external_order_instrument_ids(self, ids: list[Any]) -> None:
        for one in ids:
            assert self.held.get(one, self.strategy_id) == self.strategy_id, "already claimed"
        for one in [key for key, name in self.held.items() if name == self.strategy_id]:
            del self.held[one]
        self.held |= dict.fromkeys(ids, self.strategy_id)


def strategies(held: dict[Any, str]) -> Ownership:
    found = Ownership()
    for one in (FakeStrategy("A-1", held, (BTC,)), FakeStrategy("B-2", held), FakeStrategy("C-3", held)):
        found.add(one)
    return found


def test_claims_move_and_come_back() -> None:
    held: dict[Any, str] = {}
    ownership = strategies(held)
    assert held == {BTC: "A-1"}
    ownership.claim({BTC: "B-2", ETH: "C-3"})
    assert held == {BTC: "B-2", ETH: "C-3"}
    ownership.claim({BTC: "C-3", ETH: "A-1"})
    assert held == {BTC: "C-3", ETH: "A-1"}
    ownership.claim({})
    assert held == {BTC: "A-1"}


def _parts(*names: str) -> MassStatusParts:
    orders = [bare.venue_report(f"V-{one}", OrderStatus.ACCEPTED, client_order_id=one) for one in names]
    fills = [bare.fill_report(f"V-{one}", f"t-{one}", "0.001") for one in names]
    return MassStatusParts(orders, fills, [bare.position_report("0.004")])


def test_every_order_comes_once_with_its_fills_and_its_owner() -> None:
    owners = {"O-1": "A-1", "O-2": "B-2", "O-3": "A-1"}
    parts = _parts("O-1", "O-2", "HAND", "O-3")
    rounds = rounds_of(parts, lambda name: owners.get(str(name)), 4)
    assert len(rounds) == 4
    found = [[str(one.client_order_id) for one in this.parts.orders] for this in rounds]
    assert found == [["O-1", "O-3"], ["O-2"], [], ["HAND"]]
    assert [this.claims for this in rounds] == [{BTC: "A-1"}, {BTC: "B-2"}, {}, {}]
    for this in rounds:
        assert [one.venue_order_id for one in this.parts.fills] == [
            one.venue_order_id for one in this.parts.orders
        ]
    assert [len(this.parts.positions) for this in rounds] == [0, 0, 0, 1]


class FakeClient:
    """What a homecoming needs of the client that trades."""

    def __init__(self, owners: dict[str, str], held: dict[Any, str]) -> None:
        self.owners, self.held = owners, held
        self.orders: dict[str, str | None] = {}
        self.cache = SimpleNamespace(order=lambda name: name.value in self.orders or None)
        self.handed = 0
        self.applied_as: list[OrderStatus] = []
        self.counts: list[str] = []
        self.alarms: list[str] = []
        self.refused = ""
        self.ignored: list[str] = []
        """Orders whose next report is taken and leads to nothing."""

    def strategy_of(self, name: str) -> str | None:
        return self.owners.get(name)

    def count(self, name: str) -> None:
        self.counts.append(name)

    def alarm(self, kind: str, _text: str) -> None:
        self.alarms.append(kind)

    def create_task(self, coro: Any, _name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coro)

    def hand(self, order: Any, _fills: Any) -> None:
        if self.refused == order.client_order_id.value:
            self.refused = ""
            raise ValueError("no such thing")
        # The engine takes a report up later, and looks then who has the claim.
        self.handed += 1
        if (name := order.client_order_id.value) in self.ignored:
            self.ignored.remove(name)
            return
        asyncio.get_running_loop().call_later(0.005, self.applied, order)

    def applied(self, order: Any) -> None:
        self.applied_as.append(order.order_status)
        self.orders.setdefault(order.client_order_id.value, self.held.get(order.instrument_id))


def _late(*names: str, running: bool = True, refused: str = "") -> tuple[FakeClient, dict[Any, str]]:
    held: dict[Any, str] = {}
    ownership = strategies(held)
    client = FakeClient({"O-1": "A-1", "O-2": "B-2", "O-9": "GONE-9"}, held)
    client.refused = refused
    home = Homecoming(ownership, 3)
    home.main = client  # type: ignore[assignment]

    async def main() -> None:
        for one in ownership._strategies.values():
            one.running = running  # type: ignore[attr-defined]
        for name in names:
            report = bare.venue_report(f"V-{name}", OrderStatus.ACCEPTED, client_order_id=name)
            if not home.takes(report, []):
                client.hand(report, [])
        if not running:
            await asyncio.sleep(0.03)
            assert client.orders == {}
            for one in ownership._strategies.values():
                one.running = True  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while len(client.orders) < len(names):  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0.002)
            while home._task is not None:  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0.002)

    asyncio.run(main())
    return client, held


@pytest.mark.parametrize("running", [True, False])
def test_reports_after_the_start_find_their_owners_and_nobody_gets_a_strangers(running: bool) -> None:
    client, held = _late("O-2", "HAND", "O-1", running=running)
    # The strategy A claims the market in its own config, so a stranger's order is its own.
    assert client.orders == {"O-2": "B-2", "HAND": "A-1", "O-1": "A-1"}
    assert held == {BTC: "A-1"}


async def _seen_while_the_first_is_given(
    home: Homecoming, client: FakeClient, first: list[Any], then: Any, when: str
) -> None:
    for report in first:
        if not home.takes(report, []):
            client.hand(report, [])
    async with asyncio.timeout(5):
        while (not client.handed) if when == "handed" else (not client.orders):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        if not home.takes(then, []):
            client.hand(then, [])
        while home._task is not None or len(client.applied_as) < len(first) + 1:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)


def test_a_strangers_report_waits_while_the_engine_takes_another_one_up() -> None:
    held: dict[Any, str] = {}
    client = FakeClient({"O-2": "B-2"}, held)
    home = Homecoming(strategies(held), 3)
    home.main = client  # type: ignore[assignment]
    own = bare.venue_report("V-2", OrderStatus.ACCEPTED, client_order_id="O-2")
    hand = bare.venue_report("V-HAND", OrderStatus.ACCEPTED, client_order_id="HAND")
    asyncio.run(_seen_while_the_first_is_given(home, client, [own], hand, "handed"))
    assert client.orders == {"O-2": "B-2", "HAND": "A-1"}


def test_reports_of_one_order_keep_their_order_while_some_wait() -> None:
    held: dict[Any, str] = {}
    client = FakeClient({"O-2": "B-2"}, held)
    home = Homecoming(strategies(held), 3)
    home.main = client  # type: ignore[assignment]
    told = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELED)
    reports = [bare.venue_report("V-2", status, client_order_id="O-2") for status in told]
    asyncio.run(_seen_while_the_first_is_given(home, client, reports[:2], reports[2], "applied"))
    assert client.applied_as == list(told)


def test_a_report_that_the_engine_refuses_does_not_hold_up_the_next() -> None:
    client, held = _late("O-2", "O-1", refused="O-2")
    assert list(client.orders.items()) == [("O-1", "A-1"), ("O-2", "B-2")], "it comes later"
    assert client.counts == ["bridge.exec.refused_by_engine"]
    assert client.alarms == ["report_not_taken"]
    assert held == {BTC: "A-1"}


def _home(held: dict[Any, str], clock: ManualClock | None = None) -> tuple[Homecoming, FakeClient]:
    client = FakeClient({"O-1": "A-1", "O-2": "B-2"}, held)
    home = Homecoming(strategies(held), 3, clock)
    home.main = client  # type: ignore[assignment]
    return home, client


async def _passes(clock: ManualClock, secs: float, done: Callable[[], object]) -> None:
    """Virtual time passes by turns until `done()`, for so long at most."""
    end = clock.mono_ns() + int(secs * 1e9)
    while not done():
        assert clock.mono_ns() < end, f"not within {secs} s"
        for _ in range(3):
            await asyncio.sleep(0)
        clock.advance(2_000_000)


def test_a_report_that_leads_to_nothing_is_an_alarm_and_is_offered_until_the_engine_has_it() -> None:
    clock = ManualClock()
    held: dict[Any, str] = {}
    home, client = _home(held, clock)
    client.ignored = ["O-2"] * 3
    said: list[str] = []

    async def main() -> None:
        home.give(bare.venue_report("V-2", OrderStatus.FILLED, client_order_id="O-2", filled="0.010"), ["f"])
        assert home.follows(ClientOrderId("O-2"), lambda: said.append("after it"))
        await _passes(clock, 6, lambda: client.alarms)
        assert held == {BTC: "A-1"}, "nobody else's orders go astray meanwhile"
        home.give(bare.venue_report("V-1", OrderStatus.ACCEPTED, client_order_id="O-1"), [])
        async with asyncio.timeout(5):
            await _passes(clock, 1, lambda: client.handed == 2)
            while "O-1" not in client.orders:  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0.002)
            assert said == []
            await _passes(clock, 60, lambda: client.handed == 5)
            while "O-2" not in client.orders:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.002)
            await _passes(clock, 1, lambda: home._task is None)
        assert said == ["after it"]

    asyncio.run(main())
    assert client.alarms == ["report_not_taken"], "a person is told once"
    assert client.orders == {"O-1": "A-1", "O-2": "B-2"}
    assert held == {BTC: "A-1"}


def test_a_strategy_that_never_starts_holds_things_up_once() -> None:
    clock = ManualClock()
    home, client = _home({}, clock)
    for one in home._ownership._strategies.values():
        one.running = False  # type: ignore[attr-defined]

    async def main() -> None:
        home.give(bare.venue_report("V-2", OrderStatus.ACCEPTED, client_order_id="O-2"), [])
        await _passes(clock, 70, lambda: client.handed == 1)
        assert clock.mono_ns() >= 60_000_000_000
        async with asyncio.timeout(5):
            while "O-2" not in client.orders:  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0.002)
        await _passes(clock, 1, lambda: home._task is None)
        home.give(bare.venue_report("V-1", OrderStatus.ACCEPTED, client_order_id="O-1"), [])
        await _passes(clock, 1, lambda: client.handed == 2)

    asyncio.run(main())


def test_an_event_waits_for_the_reports_of_its_order_and_for_no_other() -> None:
    home, client = _home({})
    said: list[str] = []

    async def main() -> None:
        home.give(bare.venue_report("V-2", OrderStatus.ACCEPTED, client_order_id="O-2"), [])
        assert home.follows(ClientOrderId("O-2"), lambda: said.append(f"known {'O-2' in client.orders}"))
        assert not home.follows(ClientOrderId("O-1"), lambda: said.append("at once"))
        async with asyncio.timeout(5):
            while home._task is not None:  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0.002)

    asyncio.run(main())
    assert said == ["known True"]
    assert client.alarms == []


def test_a_bust_of_a_fill_that_never_came_is_given_up_with_an_alarm() -> None:
    clock = ManualClock()
    home, client = _home({}, clock)
    tried: list[int] = []

    def say() -> None:
        tried.append(clock.mono_ns())
        raise LookupError("no fill")

    async def main() -> None:
        assert home.follows(ClientOrderId("O-1"), say, lambda: False)
        await _passes(clock, 3, lambda: home._task is None)

    asyncio.run(main())
    assert len(tried) == 1 and 1_000_000_000 <= tried[0] < 2_000_000_000
    assert (client.alarms, client.counts) == (["event_not_taken"], ["bridge.exec.refused_by_engine"])


def test_what_waits_at_a_stop_is_told_where_the_engine_can_place_it_and_counted_where_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    home, client = _home({}, ManualClock())
    client.orders["O-1"] = "A-1"
    client.refused = "O-1"
    for one in home._ownership._strategies.values():
        one.running = False  # type: ignore[attr-defined]
    said: list[str] = []

    async def main() -> None:
        for name in ("O-1", "O-2", "HAND"):
            home.give(bare.venue_report(f"V-{name}", OrderStatus.ACCEPTED, client_order_id=name), [])
        for name in ("O-1", "O-2"):
            assert home.follows(ClientOrderId(name), lambda name=name: said.append(name))  # type: ignore[misc]
        assert client.handed == 0
        home.stop()
        # The engine knows O-1, and nobody owns the stranger's; O-2 would go to the wrong strategy.
        assert (client.handed, said) == (2, ["O-1"])
        home.main = client  # type: ignore[assignment]
        assert not home.follows(ClientOrderId("O-2"), lambda: None), "nothing waits any more"
        async with asyncio.timeout(5):
            while home._task is not None or len(client.applied_as) < 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.002)

    asyncio.run(main())
    assert client.counts.count("bridge.exec.untold_at_stop") == 2
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines == ["stopping: 2 reports or events of order O-2 were not told"]


def test_a_stop_goes_on_when_it_cannot_be_told_whether_the_engine_is_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Behind it the connections are closed, and the journal."""
    home, client = _home({}, ManualClock())
    client.orders["O-1"] = "A-1"
    answers = iter([False])

    async def main() -> None:
        assert home.follows(ClientOrderId("O-1"), lambda: None, lambda: next(answers))
        home.stop()

    asyncio.run(main())
    assert home.main is None
    assert client.counts == ["bridge.exec.untold_at_stop"]
    assert "the engine refused what it was told of O-1" in caplog.text


def test_a_word_that_is_being_taken_up_at_a_stop_is_not_said_twice() -> None:
    home, client = _home({})

    async def main() -> None:
        home.give(bare.venue_report("V-2", OrderStatus.ACCEPTED, client_order_id="O-2"), [])
        async with asyncio.timeout(5):
            while not client.handed:  # noqa: ASYNC110 - the double has no event
                await asyncio.sleep(0)
            home.stop()
            while "O-2" not in client.orders or home._task is not None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert (client.handed, client.counts) == (1, [])


def test_an_order_of_a_strategy_that_is_gone_is_counted() -> None:
    client, _ = _late("O-9")
    assert client.counts.count("bridge.exec.ownerless") >= 1


def test_what_the_engine_knows_goes_straight_to_it() -> None:
    held: dict[Any, str] = {}
    client = FakeClient({"O-1": "B-2"}, held)
    client.orders["O-1"] = "B-2"
    home = Homecoming(strategies(held), 3)
    home.main = client  # type: ignore[assignment]
    report = bare.venue_report("V-1", OrderStatus.ACCEPTED, client_order_id="O-1")
    assert not home.takes(report, [])
    assert ClientOrderId("O-1") == report.client_order_id
