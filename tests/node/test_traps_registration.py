"""Traps in registration, config objects and secrets, shown on bare Nautilus."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import attrs
import bare_node as bare
import pytest
from nautilus_trader.config import (
    DataClientConfig,
    ImportableConfig,
    ImportableFactoryConfig,
    LiveExecutionEngineConfig,
    LiveNodeConfig,
    LiveRiskEngineConfig,
    RoutingConfig,
)
from nautilus_trader.infrastructure import RedisCacheConfig
from nautilus_trader.live import LiveNode, SubmissionRecoveryPolicy, SubmitOrder
from nautilus_trader.live.clients import DataClientFactory
from nautilus_trader.model import AccountId, ClientId, Venue

# -- defaults that must be changed ---------------------------------------------------------------------------


def test_engine_defaults_invent_rejections_and_leave_the_checks_off() -> None:
    engine = LiveExecutionEngineConfig()
    assert engine.submission_recovery_policy == SubmissionRecoveryPolicy.RESOLVE_LOCALLY
    assert engine.open_check_interval_secs is None
    assert engine.position_check_interval_secs is None
    assert (engine.inflight_check_interval_ms, engine.inflight_check_threshold_ms) == (2000, 5000)
    assert engine.inflight_check_retries == 5
    assert engine.reconciliation_startup_delay_secs == 10.0


def test_node_defaults_wait_long() -> None:
    node = LiveNodeConfig()
    assert node.delay_post_stop_secs == 10.0
    assert node.timeout_connection_secs == 60.0
    assert node.timeout_reconciliation_secs == 30.0
    assert node.timeout_disconnection_secs == 10.0


def test_the_engine_throttles_submits_to_100_a_second() -> None:
    assert LiveRiskEngineConfig().max_order_submit_rate == "100/00:00:01"


# -- building ------------------------------------------------------------------------------------------------


def test_a_thread_holds_one_node_until_it_is_dropped() -> None:
    rig = bare.build()
    with pytest.raises(RuntimeError, match="already exists"):
        bare.build()
    rig.drop()
    bare.build().drop()


def _build_with(factory: Any, name: str = "V", factory_name: str | None = None) -> LiveNode:
    config = LiveNodeConfig(
        environment=bare.Environment.LIVE,
        trader_id=bare.TraderId("T-001"),
        logging=bare.LoggerConfig(bypass_logging=True),
        data_clients={name: DataClientConfig()},
    )
    return LiveNode.build("N", config, data_factories={factory_name or name: factory})


def _plain(name: str, config: Any, cache: Any, clock: Any) -> bare.BareData:
    return bare.BareData(name, config, cache, clock, "V", {})


def test_create_must_be_synchronous() -> None:
    class Factory(DataClientFactory):
        @staticmethod
        async def create(*, name: str, config: Any, cache: Any, clock: Any) -> bare.BareData:
            return _plain(name, config, cache, clock)

    with pytest.raises(RuntimeError, match="synchronous"):
        _build_with(Factory())


def test_a_factory_is_found_by_the_name_before_the_first_dash() -> None:
    made: list[str] = []

    class Factory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> bare.BareData:
            made.append(name)
            return _plain(name, config, cache, clock)

    node = _build_with(Factory(), name="V-SECOND", factory_name="V")
    node.dispose()
    assert made == ["V-SECOND"]


def test_one_provider_cannot_serve_two_clients() -> None:
    shared = bare.BareProvider([])

    def make() -> Any:
        class Client(bare.MarketDataClient):
            pass

        return Client

    class Factory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> Any:
            for number in range(2):
                client = make()(
                    name=f"{name}{number}",
                    config=config,
                    cache=cache,
                    clock=clock,
                    venue=Venue("V"),
                    instrument_provider=shared,
                )
            return client

    with pytest.raises(RuntimeError, match="multiple clients"):
        _build_with(Factory())


def test_an_account_id_needs_an_issuer_and_a_number() -> None:
    with pytest.raises(ValueError):
        AccountId("ALICE")


def test_two_execution_clients_of_one_venue_need_a_route() -> None:
    with pytest.raises(Exception, match="explicit venue route or default client"):
        bare.build({"A": {"venue": "V"}, "B": {"venue": "V"}})


def test_with_routes_both_execution_clients_work_and_the_order_names_its_client() -> None:
    rig = bare.build(
        {
            "A": {"venue": "V", "routing": RoutingConfig(venues=["V"])},
            "B": {"venue": "V", "routing": RoutingConfig(default=True)},
        }
    )

    async def body(rig: bare.Rig) -> None:
        rig.recorder.buy()
        rig.recorder.buy(client_id=ClientId("B"))
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 2, "two accepts")
        assert [len(rig.execution[name].seen("submit")) for name in "AB"] == [1, 1]

    bare.run(rig, body)


def test_the_provider_alone_never_fills_the_engine_cache() -> None:
    rig = bare.build({"V": {"publish": False}})

    async def body(rig: bare.Rig) -> None:
        assert rig.data["V"].instrument_provider.count == 1
        assert rig.cache.instrument(bare.instrument_id()) is None

    bare.run(rig, body)


def test_node_attributes_raise_while_it_runs() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        with pytest.raises(RuntimeError):
            _ = rig.node.cache
        assert rig.handle.is_running

    bare.run(rig, body)


# -- commands ------------------------------------------------------------------------------------------------


def test_python_cannot_construct_a_command() -> None:
    with pytest.raises(TypeError):
        SubmitOrder()


def test_cancel_all_orders_of_a_strategy_arrives_as_one_cancel_per_order() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        rig.recorder.buy()
        rig.recorder.buy()
        await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") == 2, "two accepts")
        rig.recorder.cancel_all_orders(bare.instrument_id())
        await rig.until(lambda: len(client.seen("cancel")) == 2, "two cancels")
        rig.recorder.cancel_all_orders(bare.instrument_id(), strategy_only=False)
        await rig.until(lambda: client.seen("cancel_all"), "one cancel all")
        assert len(client.seen("cancel")) == 2

    bare.run(rig, body)


def test_an_order_list_carries_inits_and_the_orders_are_in_the_cache() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        client = rig.execution["V"]
        bracket = rig.recorder.order_factory.bracket(
            bare.instrument_id(),
            bare.OrderSide.BUY,
            bare.Quantity.from_str("0.010"),
            entry_price=bare.Price.from_str("100.0"),
            sl_trigger_price=bare.Price.from_str("90.0"),
            tp_price=bare.Price.from_str("110.0"),
            entry_order_type=bare.OrderType.LIMIT,
        )
        assert isinstance(bracket, list)
        rig.recorder.submit_order_list(bracket)
        await rig.until(lambda: client.seen("submit_list"), "the list")
        (command,) = client.seen("submit_list")
        assert not hasattr(command, "orders")
        ids = [init.client_order_id for init in command.order_inits]
        assert [client.cache.order(one).client_order_id for one in ids] == ids
        assert len(ids) == 3

    bare.run(rig, body)


# -- config objects ------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, slots=False)
class PlainAttrsConfig(DataClientConfig):
    """An attrs class as one would write it first."""

    depth: int = 5


class InitConfig(DataClientConfig):
    """A plain subclass."""

    def __init__(self, *, depth: int = 5, **_native: object) -> None:
        self.depth = depth


def test_unknown_keywords_are_swallowed_by_the_native_config() -> None:
    DataClientConfig(no_such_option=1)


def test_an_attrs_config_refuses_the_native_keywords() -> None:
    assert PlainAttrsConfig(depth=3).depth == 3
    with pytest.raises(TypeError):
        PlainAttrsConfig(depth=3, routing=RoutingConfig(default=True))


def test_a_plain_subclass_with_init_keeps_the_native_keywords() -> None:
    config = InitConfig(depth=3, routing=RoutingConfig(default=True))
    assert (config.depth, config.routing.default) == (3, True)


def test_configs_cannot_be_copied_and_evolve_loses_the_routing() -> None:
    config = InitConfig(depth=3)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(config)


class FlatConfig(DataClientConfig):
    """The field types that Nautilus's JSON decoder is tried with."""

    number: int
    names: list[str]
    pair: tuple[int, int]

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)


def test_importable_configs_are_decoded_strictly() -> None:
    path = f"{__name__}:FlatConfig"
    assert ImportableConfig(path, {"number": 1, "names": ["a"]}).create().number == 1
    for bad in ({"number": "1"}, {"names": "a"}, {"pair": [1, 2]}):
        with pytest.raises(TypeError):
            ImportableConfig(path, bad).create()


def test_an_importable_config_prints_its_values() -> None:
    shown = repr(ImportableConfig("m:C", {"key": "MARKER"}, ImportableFactoryConfig("m:F")))
    assert "MARKER" in shown


class SecretiveConfig(DataClientConfig):
    """A secret as an ordinary attribute."""

    def __init__(self, *, private_key: str, **_native: object) -> None:
        self.private_key = private_key


def test_repr_hides_fields_but_dict_and_json_dump_them() -> None:
    config = SecretiveConfig(private_key="MARKER")
    assert "MARKER" not in repr(config)
    assert "MARKER" in str(config.dict())
    assert b"MARKER" in config.json()
    assert "MARKER" not in repr(LiveNodeConfig(data_clients={"V": config}))


# -- output --------------------------------------------------------------------------------------------------


def test_output_from_another_thread_raises() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        with pytest.raises(RuntimeError, match="owner thread"):
            await asyncio.to_thread(rig.data["V"]._handle_data, bare.quote())

    bare.run(rig, body)


def test_output_of_a_wrong_type_raises_at_once() -> None:
    rig = bare.build()

    async def body(rig: bare.Rig) -> None:
        with pytest.raises(TypeError):
            rig.data["V"]._handle_data("a quote")
        with pytest.raises(TypeError):
            rig.execution["V"]._handle_report("a report")

    bare.run(rig, body)


# -- strategies --------------------------------------------------------------------------------------------


class KeywordStrategy(bare.Strategy):
    """Wants keywords of its own."""

    def __init__(self, *, market: str) -> None:
        super().__init__()


def test_a_strategy_can_only_be_made_from_a_config() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        KeywordStrategy(market="BTC")


# -- persistence ---------------------------------------------------------------------------------------------


def test_a_cache_database_refuses_to_run_with_python_clients() -> None:
    # So the memory of our orders has to be our own journal.
    data: dict[str, bare.BareData] = {}

    class Factory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> bare.BareData:
            data[name] = _plain(name, config, cache, clock)
            return data[name]

    unused = RedisCacheConfig(host="127.0.0.1", port=1, connection_timeout=1, number_of_retries=0)
    node = (
        LiveNode.builder("N", bare.TraderId("T-001"), bare.Environment.LIVE)
        .with_logging(bare.LoggerConfig(bypass_logging=True))
        .with_cache_database_factory(unused)
        .add_data_client("V", Factory(), DataClientConfig())
        .build()
    )
    try:
        with pytest.raises(RuntimeError, match="database"):
            asyncio.run(_run_async(node))
    finally:
        node.dispose()


async def _run_async(node: LiveNode) -> None:
    await node.run_async()
