"""Who owns an order that the engine learns from a report, shown on bare Nautilus."""

from __future__ import annotations

from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model import ClientOrderId, ExecutionMassStatus, OrderStatus, StrategyId

IID = bare.instrument_id()
NAMES = ("A-101", "B-102", "C-103")


def _strategy(name: str, claims: list[Any] | None = None) -> bare.Recorder:
    config = StrategyConfig(strategy_id=StrategyId(name), external_order_instrument_ids=claims)
    return bare.Recorder(config)


def _filled(number: int) -> tuple[Any, Any]:
    """An order that is filled in part, and its fill."""
    name = f"O-{number}"
    order = bare.venue_report(
        f"V-{number}", OrderStatus.PARTIALLY_FILLED, client_order_id=name, filled="0.004"
    )
    return order, bare.fill_report(f"V-{number}", f"t{number}", "0.004", client_order_id=ClientOrderId(name))


class Turns:
    """Four clients of one account; each is asked once, and then another strategy has the claim."""

    def __init__(self, held: str) -> None:
        self.held = held
        self.strategies = [_strategy(name) for name in NAMES]
        self.asked: list[str] = []
        self.known: list[list[str]] = []
        self.at_start: dict[str, list[str]] = {}
        script = {"mass_status": self.status, "position_reports": self.positions}
        extra = {"account": "V-001", "mass_status": self.status}
        engine = bare.engine_config(
            open_check_interval_secs=0.05,
            open_check_threshold_ms=0,
            position_check_interval_secs=0.05,
            position_check_threshold_ms=0,
            reconciliation_startup_delay_secs=0.0,
        )
        scripts = {"V": script} | {f"V-OWNERS-{n}": extra for n in (1, 2, 3)}
        self.rig = bare.build(scripts, engine=engine)
        for one in self.strategies:
            one.on_begin = self.began
            self.rig.node.add_strategy(one)

    def began(self, strategy: bare.Recorder) -> None:
        mine = strategy.cache.orders(strategy_id=strategy.strategy_id)
        self.at_start[str(strategy.strategy_id)] = [
            f"{one.client_order_id} {one.status.name}" for one in mine
        ]

    def positions(self, _client: Any, _command: Any) -> list[Any]:
        return [bare.position_report(self.held)]

    def status(self, client: Any, _mins: Any) -> ExecutionMassStatus:
        number = len(self.asked)
        self.asked.append(str(client.client_id))
        self.known.append(sorted(str(one.client_order_id) for one in client.cache.orders_open()))
        for one in self.strategies:
            one.set_external_order_instrument_ids([])
        if number < 3:
            self.strategies[number].set_external_order_instrument_ids([IID])
        status = ExecutionMassStatus(
            client.client_id, client.account_id, client.venue, client.clock.timestamp_ns()
        )
        order, fill = _filled(number)
        status.add_order_reports([order])
        status.add_fill_reports([fill])
        if number == 3:
            status.add_position_reports([bare.position_report(self.held)])
        return status


def test_clients_of_one_account_are_asked_one_after_another_before_strategies_start() -> None:
    turns = Turns("0.016")

    async def body(rig: bare.Rig) -> None:
        assert sorted(turns.asked) == ["V", "V-OWNERS-1", "V-OWNERS-2", "V-OWNERS-3"]
        assert turns.known == [[], ["O-0"], ["O-0", "O-1"], ["O-0", "O-1", "O-2"]]
        owners = {str(one.client_order_id): str(one.strategy_id) for one in rig.cache.orders()}
        assert owners == {"O-0": "A-101", "O-1": "B-102", "O-2": "C-103", "O-3": "EXTERNAL"}
        assert turns.at_start == {name: [f"O-{n} PARTIALLY_FILLED"] for n, name in enumerate(NAMES)}
        held = {str(one.strategy_id): one.quantity.as_decimal() for one in rig.cache.positions_open()}
        assert {name: str(size) for name, size in held.items()} == dict.fromkeys(
            (*NAMES, "EXTERNAL"), "0.004"
        )
        # Commands find the client by the instrument's venue, whichever client brought the order.
        for number, one in enumerate(turns.strategies):
            one.cancel_order(ClientOrderId(f"O-{number}"))
        new = turns.strategies[1].buy()
        trading = rig.execution["V"]
        await rig.until(lambda: len(trading.seen("cancel")) == 3 and trading.seen("submit"), "the commands")
        # The checks take the empty answers of the other clients for nothing.
        await rig.until(lambda: len(trading.seen("position_reports")) >= 4, "some checks")
        assert len(rig.cache.orders()) == 5
        assert rig.order(new).strategy_id.value == "B-102"

    bare.run(turns.rig, body)


def test_a_position_that_differs_from_all_strategies_together_is_still_noticed() -> None:
    turns = Turns("0.017")

    async def body(rig: bare.Rig) -> None:
        (made,) = [one for one in rig.cache.orders() if one.tags == ["RECONCILIATION"]]
        assert (str(made.quantity), str(made.strategy_id)) == ("0.001", "EXTERNAL")

    bare.run(turns.rig, body)


def test_a_claim_moves_while_the_node_runs_and_an_instrument_has_one() -> None:
    rig = bare.build()
    first, second = _strategy("A-101", [IID]), _strategy("B-102")
    for one in (first, second):
        rig.node.add_strategy(one)

    async def body(rig: bare.Rig) -> None:
        with pytest.raises(RuntimeError, match="already exists for A-101"):
            second.set_external_order_instrument_ids([IID])
        first.set_external_order_instrument_ids([])
        second.set_external_order_instrument_ids([IID])
        order, fill = _filled(1)
        rig.execution["V"]._handle_report(order, [fill])
        await rig.until(lambda: second.kinds()[-1:] == ["OrderFilled"], "the report")
        assert rig.cache.order(ClientOrderId("O-1")).strategy_id.value == "B-102"
        assert first.kinds() == []

    bare.run(rig, body)


def test_who_holds_the_claim_when_the_report_is_applied_gets_the_order_not_who_held_it_before() -> None:
    rig = bare.build()
    first, second = _strategy("A-101", [IID]), _strategy("B-102")
    for one in (first, second):
        rig.node.add_strategy(one)

    async def body(rig: bare.Rig) -> None:
        order, fill = _filled(1)
        rig.execution["V"]._handle_report(order, [fill])
        first.set_external_order_instrument_ids([])
        second.set_external_order_instrument_ids([IID])
        await rig.until(lambda: rig.cache.order(ClientOrderId("O-1")), "the order")
        assert rig.cache.order(ClientOrderId("O-1")).strategy_id.value == "B-102"

    bare.run(rig, body)
