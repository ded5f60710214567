"""Nodes built from a config: registration, secrets, strategies, logs, signals and exit codes."""

from __future__ import annotations

import gc
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bare_node as bare
import pytest
from nautilus_trader.config import ImportableConfig, ImportableFactoryConfig, LiveNodeConfig, RoutingConfig
from nautilus_trader.live import LiveNode

from venuekit.errors import ConfigError
from venuekit.host.config import NodeConfig, NodeSection, parse_config
from venuekit.nautilus import factories, logs
from venuekit.nautilus.factories import VenueDataConfig, VenueExecutionConfig
from venuekit.nautilus.node import (
    EXIT_UNRESOLVED,
    VenueNode,
    _engine_of,
    build_node,
    client_sections,
)

THREE = """
[node]
trader_id = "TESTER-001"
log_level = "OFF"
[venues.paradex]
environment = "simulator"
execution = true
key = "env:NO_SUCH_KEY"
[venues.dydx]
environment = "testnet"
[venues.lighter]
environment = "testnet"
"""


@pytest.fixture(autouse=True)
def _one_node_at_a_time() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def _silent(text: str = THREE) -> NodeConfig:
    return parse_config(text, environ={})


def _build(config: NodeConfig, **options: Any) -> LiveNode:
    return build_node(config, logging_config=bare.LoggerConfig(bypass_logging=True), **options)


# -- building ------------------------------------------------------------------------------------------------


def test_a_config_says_when_ended_orders_leave_the_cache() -> None:
    section = NodeSection(forget_ended_mins=7)
    engine = _engine_of(section)
    assert (engine.purge_closed_orders_interval_mins, engine.purge_closed_orders_buffer_mins) == (1, 7)
    assert engine.purge_account_events_lookback_mins == 7
    assert engine.purge_closed_positions_interval_mins is None


def test_a_config_says_when_flat_positions_leave_the_cache() -> None:
    engine = _engine_of(NodeSection(forget_flat_mins=0))
    assert engine.purge_closed_positions_interval_mins == 1
    assert engine.purge_closed_positions_buffer_mins == 0
    assert engine.purge_closed_orders_interval_mins is None


def test_one_config_builds_a_node_of_three_venues_and_opens_nothing() -> None:
    config = _silent()
    sections = client_sections(config)
    assert set(sections.data_clients) == {"PARADEX", "DYDX", "LIGHTER"}
    assert set(sections.exec_clients) == {"PARADEX"}
    node = _build(config)
    assert node.trader_id == bare.TraderId("TESTER-001")
    assert not node.is_running
    node.dispose()


def test_the_sections_serve_a_node_config_that_somebody_else_owns() -> None:
    sections = client_sections(_silent())
    config = LiveNodeConfig(
        environment=bare.Environment.LIVE,
        trader_id=bare.TraderId("T-001"),
        logging=bare.LoggerConfig(bypass_logging=True),
        data_clients=dict(sections.data_clients),
        exec_clients=dict(sections.exec_clients),
    )
    node = LiveNode.build(
        "OWN",
        config,
        data_factories=dict(sections.data_factories),
        exec_factories=dict(sections.exec_factories),
    )
    node.dispose()


SECTION = {"environment": "simulator", "execution": True, "key": "env:NO_SUCH_KEY"}


def _importable(cls: type, factory: type, **fields: Any) -> ImportableConfig:
    return ImportableConfig(
        f"{cls.__module__}:{cls.__qualname__}",
        {"venue": "paradex", "section": SECTION, **fields},
        ImportableFactoryConfig(f"{factory.__module__}:{factory.__qualname__}"),
    )


def test_importable_configs_of_one_venue_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    plain = factories.SharedVenue
    monkeypatch.setattr(factories, "SharedVenue", lambda make: made.append(plain(make)) or made[-1])
    config = LiveNodeConfig(
        environment=bare.Environment.LIVE,
        trader_id=bare.TraderId("T-001"),
        logging=bare.LoggerConfig(bypass_logging=True),
        data_clients={"PARADEX": _importable(VenueDataConfig, factories.VenueDataClientFactory)},
        exec_clients={"PARADEX": _importable(VenueExecutionConfig, factories.VenueExecutionClientFactory)},
    )
    node = LiveNode.build("IMPORTED", config)
    assert len(made) == 1
    node.dispose()


def test_importable_configs_survive_json_with_their_native_part() -> None:
    config = _importable(VenueExecutionConfig, factories.VenueExecutionClientFactory, account="007")
    again = ImportableConfig.parse(config.json()).create()
    assert (again.venue, again.section, again.account) == ("paradex", SECTION, "007")
    routed = VenueExecutionConfig(venue="paradex", routing=RoutingConfig(default=True))
    assert routed.routing.default


def test_configs_hold_references_and_refuse_keys() -> None:
    # Nautilus dumps every field in clear, so what is in a config must be fit to be read.
    dumped = VenueDataConfig(venue="paradex", section=SECTION).json()
    assert json.loads(dumped)["section"]["key"] == "env:NO_SUCH_KEY"
    planted = {**SECTION, "key": "0x" + "ab" * 31}
    config = VenueDataConfig(venue="paradex", section=planted)
    with pytest.raises(ConfigError) as raised:
        factories.VenueDataClientFactory.create(name="PARADEX", config=config, cache=None, clock=None)
    assert "abab" not in str(raised.value)


def test_a_foreign_config_is_refused_with_its_type() -> None:
    with pytest.raises(TypeError, match="VenueDataConfig"):
        factories.VenueDataClientFactory.create(
            name="PARADEX", config=bare.DataClientConfig(), cache=None, clock=None
        )


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ('trader_id = "TESTER-001"', "node.trader_id"),
        ('log_level = "OFF"', "node.environment"),
    ],
)
def test_what_cannot_be_built_names_its_field(change: str, path: str) -> None:
    wrong = {"node.trader_id": 'trader_id = "nobody"', "node.environment": 'environment = "sandbox"'}[path]
    with pytest.raises(ConfigError) as raised:
        _build(_silent(THREE.replace(change, wrong)))
    assert raised.value.path == path


class BareStrategy(bare.Strategy):
    """Needs no config."""

    def __init__(self) -> None:
        super().__init__(bare.StrategyConfig(strategy_id=bare.StrategyId("BARE-003")))
        made.append("bare")


class StrategyFields(bare.StrategyConfig):
    """A config class of the usual kind."""

    market: str

    def __init__(self, *, market: str, **_native: object) -> None:
        self.market = market


class ConfiguredStrategy(bare.Strategy):
    """Takes its config, as Nautilus's own strategies do."""

    def __init__(self, config: StrategyFields) -> None:
        super().__init__(config)
        made.append(config.market)


made: list[Any] = []


def _with_strategy(lines: str) -> NodeConfig:
    return _silent(THREE + "\n[[strategies]]\n" + lines)


def test_strategies_come_from_the_config() -> None:
    made.clear()
    here = __name__
    lines = f'path = "{here}:BareStrategy"\n'
    for tag, named in (("001", ""), ("002", f'config_path = "{here}:StrategyFields"\n')):
        lines += f'[[strategies]]\npath = "{here}:ConfiguredStrategy"\n{named}'
        lines += f'config = {{ market = "ETH", order_id_tag = "{tag}" }}\n'
    _build(_with_strategy(lines)).dispose()
    assert made == ["bare", "ETH", "ETH"]


@pytest.mark.parametrize(
    "lines",
    [
        'path = "no_such_module:Strategy"',
        f'path = "{__name__}:NoSuchClass"',
        f'path = "{__name__}:BareStrategy"\nconfig = {{ wrong = 1 }}',
        f'path = "{__name__}:ConfiguredStrategy"',
        'path = "pathlib:Path"',
    ],
)
def test_a_strategy_that_cannot_be_made_names_its_place(lines: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _build(_with_strategy(lines))
    assert raised.value.path.startswith("strategies[0]")


# -- logs ----------------------------------------------------------------------------------------------------


def test_our_lines_go_to_nautilus_at_their_level(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, str]] = []

    class FakeLogger:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, level: str) -> Any:
            return lambda text: seen.append((self.name, level, text))

    monkeypatch.setattr(logs, "Logger", FakeLogger)
    stop = logs.forward_logs(logging.INFO)
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("venuekit.below"), level)("%s word", level)
    stop()
    logging.getLogger("venuekit.below").error("too late")
    assert seen == [("venuekit.below", level, f"{level} word") for level in ("info", "warning", "error")]


def test_with_nautilus_s_log_off_our_lines_stay_where_they_were(caplog: pytest.LogCaptureFixture) -> None:
    stop = logs.forward_logs(100)
    logging.getLogger("venuekit.below").error("still seen")
    stop()
    assert "still seen" in caplog.text


# -- processes -----------------------------------------------------------------------------------------------

_SCRIPT = Path(__file__).parent / "bridge_process.py"


def _signalled(mode: str, *numbers: int) -> tuple[str, int]:
    """What a node printed and its exit code, after the signals one by one, each once it spoke again."""
    process = subprocess.Popen(
        [sys.executable, str(_SCRIPT), mode], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    printed: list[str] = []
    try:
        for number, word in zip(numbers, ["running", "hanging"], strict=False):
            while not printed or f"<{word}>" not in printed[-1]:
                line = process.stdout.readline()
                assert line, f"ended early: {printed}"
                printed.append(line)
            process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    return "".join(printed) + rest, process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_stop_the_services_and_exit_clean(number: int) -> None:
    printed, code = _signalled("clean", number)
    # Of the tens of thousands of objects that are the code the garbage collector has none while it runs.
    assert "<looked through: True>" in printed
    assert "<left out: 0>" in printed
    assert "<stopped>" in printed
    assert "<ended 0 >" in printed
    assert code == 0


def test_a_signal_with_an_unresolved_order_exits_with_three_and_names_it() -> None:
    printed, code = _signalled("unresolved", signal.SIGTERM)
    assert code == EXIT_UNRESOLVED
    assert "<ended 3 O-" in printed


def test_a_second_signal_ends_a_hanging_stop() -> None:
    _printed, code = _signalled("hanging", signal.SIGTERM, signal.SIGTERM)
    assert code == -signal.SIGTERM


def test_the_node_s_own_log_shows_our_lines() -> None:
    printed, _code = _signalled("clean", signal.SIGTERM)
    (line,) = [line for line in printed.splitlines() if "a word from below" in line]
    assert "[WARN]" in line
    assert "venuekit.spoken" in line


def test_a_venue_node_offers_counters_by_venue() -> None:
    node = VenueNode.from_config(_silent(), logging_config=bare.LoggerConfig(bypass_logging=True))
    try:
        assert set(node.counters) == {"paradex", "dydx", "lighter"}
    finally:
        node.dispose()
        del node
