"""The config: strict, exact about the field at fault, and never repeating what may be a secret."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from venuekit.errors import ConfigError, PluginError
from venuekit.host.config import LimitSection, TransportSection, load_config, parse_config, tuned
from venuekit.host.plugins import installed
from venuekit.interfaces.manifest import OrderFeatures
from venuekit.interfaces.signer import SecretKind, SecretRef

LITERAL_KEY = "0x" + "5" * 63

PLUGIN = """
from venuekit.interfaces.hooks import Kind, Provided, Venue, hookimpl

@hookimpl
def venuekit_venues():
    return [
        Venue(Kind.VENUE, "toy", "toy_parts:open_venue", manifest="toy_parts:MANIFEST",
              config_class="toy_parts:Toy", prefers={"signer": "stark/home"}),
        Venue(Kind.VENUE, "view", "toy_parts:open_venue", manifest="toy_parts:VIEW",
              config_class="toy_parts:Empty"),
        Venue(Kind.VENUE, "lame", "toy_parts:open_venue", manifest="toy_parts:LAME",
              config_class="toy_parts:Empty"),
        Venue(Kind.VENUE, "mute", "toy_parts:open_venue", manifest="toy_parts:MUTE",
              config_class="toy_parts:Empty"),
        Venue(Kind.VENUE, "ticking", "toy_parts:open_venue", manifest="toy_parts:TICKING",
              config_class="toy_parts:Empty"),
    ]

@hookimpl
def venuekit_signers():
    return [Provided(Kind.SIGNER, "stark/home", "toy_parts:sign")]
"""
PARTS = """
from __future__ import annotations
from decimal import Decimal
from typing import Literal
from attrs import evolve, field, frozen, validators
from venuekit.interfaces.manifest import (
    BookRule, Bucket, Chain, DataFeature, Environment, Manifest, Operation, OpKind, OrderFeatures, Scope,
    Seconds, SnapshotFrom, StreamSpec
)
from venuekit.interfaces.signer import SecretRef
from venuekit.interfaces.stream import DataKind

@frozen(kw_only=True)
class Toy:
    key: SecretRef | None = None
    route: Literal["ws", "rest"] = "ws"
    window_ms: int = field(default=10, validator=validators.ge(1))
    size: Decimal = Decimal("1")
    ratio: float = 0.5
    tags: tuple[str, ...] = ()
    on: bool = False

@frozen
class Empty:
    pass

MANIFEST = Manifest(
    venue="TOY", title="Toy exchange",
    environments={
        "mainnet": Environment(
            {"rest": "https://toy.invalid", "stream": "wss://toy.invalid", "node": "toy:443"}
        ),
        "simulator": Environment({"rest": "http://127.0.0.1:1", "stream": "ws://127.0.0.1:1", "node": "h:1"}),
    },
    products=frozenset(), data={}, streams={}, ports={}, errors=(),
    operations={"submit": Operation(OpKind.COMMAND, {"orders": 2}, timeout_ms=9_000),
                "fills": Operation(OpKind.READ, {"orders": 5})},
    buckets={"orders": Bucket(Scope.ACCOUNT, 100, Seconds(1), 80)},
    book=BookRule(Chain.NONE, SnapshotFrom.REST), orders=OrderFeatures(types={}),
)
VIEW = evolve(MANIFEST, title="View only", orders=None)
LAME = evolve(MANIFEST, title="Lame", environments={"main": Environment({"rest": "http://127.0.0.1:1"})},
              streams={"public": StreamSpec(address="stream")})
BOOKS = DataFeature(subscribe=True)
MUTE = evolve(MANIFEST, title="Mute", data={DataKind.BOOK_DELTAS: BOOKS, DataKind.BOOK_DEPTH10: BOOKS})
TICKING = evolve(MUTE, data={**MUTE.data, DataKind.BOOK_DEPTH10: evolve(BOOKS, silent_ms=60_000)})
"""

T = "venues.toy.transport.options."
BASE = """
[node]
name = "demo"

[venues.toy]
environment = "simulator"
"""


@pytest.fixture(autouse=True)
def toy(tmp_path, add_plugins):
    project = tmp_path / "toy"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "venuekit-toy"\nversion = "1"\n'
        '[project.entry-points.venuekit]\ntoy = "toy_plugin"\n'
    )
    (project / "toy_plugin.py").write_text(PLUGIN)
    (project / "toy_parts.py").write_text(PARTS)
    add_plugins(project, "only_signer", "broken")


def parse(text: str, **more):
    return parse_config(text, **{"environ": {}, **more})


def refusal(text: str, **more) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, **more)
    return caught.value


def test_a_whole_file_becomes_records(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        """
        [node]
        name = "demo"
        trader_id = "T-007"
        environment = "sandbox"
        log_level = "WARNING"

        [venues.toy]
        environment = "mainnet"
        execution = true
        key = "env:TOY_KEY"
        route = "rest"
        size = 0.10
        ratio = 2
        tags = ["a", "b"]

        [venues.toy.addresses]
        rest = "https://other.invalid/v2"

        [venues.toy.transport]
        http = "httpx"
        signer = "remote"
        options = { "http.connections" = "8" }

        [[strategies]]
        path = "pkg.mod:Maker"
        config = { order_size = "0.01", levels = [1, 2], ratio = 0.5 }
        """
    )
    config = load_config(path, environ={})
    assert (config.node.name, config.node.trader_id) == ("demo", "T-007")
    assert (config.node.environment, config.node.log_level) == ("sandbox", "WARNING")
    venue = config.venues["toy"]
    assert (venue.key, venue.environment, venue.data, venue.execution) == ("toy", "mainnet", True, True)
    assert venue.addresses == {
        "rest": "https://other.invalid/v2",
        "stream": "wss://toy.invalid",
        "node": "toy:443",
    }
    assert venue.transport == TransportSection(
        http="http/httpx",
        stream="stream/websockets",
        retry="full-jitter",
        signer="stark/remote",
        options={"http.connections": "8"},
    )
    assert venue.base == tmp_path
    own = venue.own
    assert own.key == SecretRef(SecretKind.ENV, "TOY_KEY")
    assert (own.route, own.tags, own.ratio) == ("rest", ("a", "b"), 2.0)
    assert str(own.size) == "0.10"  # exactly as written: the trailing zero tells that no float lay between
    assert isinstance(own.size, Decimal)
    assert config.strategies[0].path == "pkg.mod:Maker"
    assert config.strategies[0].config == {"order_size": "0.01", "levels": [1, 2], "ratio": 0.5}


def test_what_is_not_said_has_a_safe_default():
    venue = parse(BASE).venues["toy"]
    assert venue.data
    assert not venue.execution
    assert venue.transport.signer == "stark/home"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("x = ", "", "not valid TOML"),
        ("[node]\nname = 'x'", "venues", "no venue is configured"),
        ("[venues.toy]\n", "venues.toy.environment", "is missing"),
        ("[venues.toy]\nenvironment = 'testnet'", "venues.toy.environment", "no such environment"),
        ("venues = 3", "venues", "must be a table"),
        ("[venues]\ntoy = 3", "venues.toy", "must be a table"),
        ("[venues.nope]\nenvironment = 'x'", "venues.nope", "no venue named 'nope' is installed"),
        ("[venues.broken]\nenvironment = 'x'", "venues.broken", "venuekit-broken 0.3.0 failed"),
        (BASE + "windw_ms = 3", "venues.toy.windw_ms", "is not a known field"),
        (BASE + "window_ms = '3'", "venues.toy.window_ms", "must be a whole number, not a text"),
        (BASE + "window_ms = true", "venues.toy.window_ms", "must be a whole number, not true or false"),
        (BASE + "window_ms = 1.5", "venues.toy.window_ms", "must be a whole number, not a number"),
        (BASE + "window_ms = 0", "venues.toy", "'window_ms' must be >= 1"),
        (BASE + "size = nan", "venues.toy.size", "must be a finite number"),
        (BASE + "size = inf", "venues.toy.size", "must be a finite number"),
        (BASE + "size = 'NaN'", "venues.toy.size", "must be a number"),
        (BASE + "on = 1", "venues.toy.on", "must be true or false"),
        (BASE + "tags = 'a'", "venues.toy.tags", "must be a list"),
        (BASE + "tags = ['a', 2]", "venues.toy.tags[1]", "must be a text"),
        (BASE + "route = 'pigeon'", "venues.toy.route", "must be one of: ws, rest"),
        (BASE + "data = false", "venues.toy", "neither data nor execution"),
        (BASE + "addresses = { rset = 'http://x' }", "venues.toy.addresses.rset", "no such address"),
        (BASE + "addresses = { rest = 'localhost' }", "venues.toy.addresses.rest", "a whole address"),
        (BASE + "addresses = { node = '' }", "venues.toy.addresses.node", "a whole address"),
        (BASE + "transport = { http = 'pigeon' }", "venues.toy.transport.http", "'http/pigeon'"),
        (BASE + "transport = { signer = 'x' }", "venues.toy.transport.signer", "'stark/x'"),
        (BASE + "transport = { htttp = 'x' }", "venues.toy.transport.htttp", "is not a known field"),
        (BASE + "transport = { options = { proxy = 'x' } }", T + "proxy", "nobody reads this option"),
        (BASE + "transport = { options = { signer.x = 'x' } }", T + "signer.x", "nobody reads this option"),
        (BASE + "transport = { options = { rpc.x = 'x' } }", T + "rpc.x", "nobody reads this option"),
        (BASE + "transport = { options = { http.prox = 'x' } }", T + "http.prox", "has no such option"),
        (BASE + "transport = { options = { retry.base = 1 } }", T + "retry.base", "has no such option"),
        (BASE + "transport = { options = { http.proxy = [] } }", T + "http.proxy", "must be a text"),
        (BASE + "timeouts_ms = { submti = 3 }", "venues.toy.timeouts_ms.submti", "no such operation"),
        (BASE + "timeouts_ms = { submit = 0 }", "venues.toy.timeouts_ms.submit", "must be at least 1"),
        (BASE + "timeouts_ms = { submit = '9' }", "venues.toy.timeouts_ms.submit", "a whole number"),
        (BASE + "limits = { order = { rate = 1 } }", "venues.toy.limits.order", "no such limit"),
        (BASE + "limits = { orders = { rat = 1 } }", "venues.toy.limits.orders.rat", "not a known field"),
        # One read costs 5: a burst of 4 would hold it for ever.
        (BASE + "limits = { orders = { burst = 4 } }", "venues.toy.limits.orders", "no request through"),
        (BASE + "limits = { orders = { rate = 4 } }", "venues.toy.limits.orders", "no request through"),
        ("[metrics]\nport = 70000\n" + BASE, "metrics.port", "is no port"),
        (
            "[node]\nforget_ended_mins = 4\n[venues.toy]\nenvironment = 'simulator'",
            "node.forget_ended_mins",
            "must be at least 5",
        ),
        (
            "[node]\nforget_flat_mins = -1\n[venues.toy]\nenvironment = 'simulator'",
            "node.forget_flat_mins",
            "must be at least 0",
        ),
        (
            "[node]\ntick_capacity = 0\n[venues.toy]\nenvironment = 'simulator'",
            "node.tick_capacity",
            "must be at least 1",
        ),
        (
            "[node]\nlookback_mins = 0\n[venues.toy]\nenvironment = 'simulator'",
            "node.lookback_mins",
            "must be at least 1",
        ),
        ("[metrics]\nprot = 1\n" + BASE, "metrics.prot", "is not a known field"),
        ("[tracing]\ncommands = 1\n" + BASE, "tracing.commands", "must be true or false"),
        ("[nod]\n" + BASE, "nod", "is not a known field"),
        (
            "[node]\nlog_level = 'loud'\n[venues.toy]\nenvironment = 'x'",
            "node.log_level",
            "must be one of: OFF",
        ),
        (
            "[venues.view]\nenvironment = 'simulator'\nexecution = true",
            "venues.view.execution",
            "View only is data only",
        ),
        (BASE + "[[strategies]]\nconfig = {}", "strategies[0].path", "is missing"),
        (BASE + "[[strategies]]\npath = 'no-colon'", "strategies[0].path", "is no reference"),
        (BASE + "[[strategies]]\npath = 'a:B'\nconfig = 3", "strategies[0].config", "must be a table"),
        (BASE + "\n[strategies]\npath = 'a:B'", "strategies", "must be"),
    ],
)
def test_each_mistake_is_named_by_its_path(text, path, message):
    error = refusal(text)
    assert message in str(error)
    assert error.path == path
    assert "\n" not in str(error)
    assert str(error).startswith(f"{path}: " if path else "config is")


def test_options_are_names_or_tables_and_numbers_may_stand_bare():
    written = """
        [venues.toy.transport.options]
        http.proxy = "http://127.0.0.1:3128"
        "http.connections" = 8
        stream.ping_ms = 15000
        retry = { cap_ns = 5 }
    """
    assert parse(BASE + written.replace("        ", "")).venues["toy"].transport.options == {
        "http.proxy": "http://127.0.0.1:3128",
        "http.connections": "8",
        "stream.ping_ms": "15000",
        "retry.cap_ns": "5",
    }
    assert refusal(BASE + "transport = { options = { http.prox = 'x' } }").hint == "did you mean http.proxy?"


def test_timeouts_and_limits_go_over_those_of_the_manifest():
    text = BASE + "timeouts_ms = { fills = 30_000 }\nlimits = { orders = { rate = 60 } }"
    venue = parse(text).venues["toy"]
    assert venue.limits == {"orders": LimitSection(rate=60)}
    manifest = installed().manifest("toy")
    made = tuned(manifest, venue)
    assert {op: one.timeout_ms for op, one in made.operations.items()} == {"submit": 9_000, "fills": 30_000}
    # A burst over the rate of the window would spend more than was granted.
    assert (made.buckets["orders"].rate, made.buckets["orders"].burst) == (60, 60)
    more = tuned(manifest, parse(BASE + "limits = { orders = { rate = 500, burst = 250 } }").venues["toy"])
    assert (more.buckets["orders"].rate, more.buckets["orders"].burst) == (500, 250)
    assert tuned(manifest, parse(BASE).venues["toy"]) == manifest


def test_orders_wait_as_long_as_the_config_says():
    manifest = evolve(installed().manifest("toy"), orders=OrderFeatures(types={}, wait_ms=7_000))
    waits = [
        tuned(manifest, parse(BASE + line).venues["toy"]).orders.wait_ms
        for line in ("", "order_wait_ms = 5_000")
    ]
    assert waits == [7_000, 5_000]
    assert refusal(BASE + "order_wait_ms = 0").path == "venues.toy.order_wait_ms"


def test_a_manifest_whose_stream_has_no_address_is_a_defect_of_its_package():
    with pytest.raises(PluginError, match="Lame: the public stream needs the address 'stream', which main"):
        parse("[venues.lame]\nenvironment = 'main'")


def test_a_manifest_that_does_not_say_how_long_a_book_may_be_silent_is_one_too():
    """Where nothing else is wanted, nobody would ask a mute connection whether it lives."""
    with pytest.raises(PluginError, match="Mute: its manifest does not say how long a book may be silent"):
        parse("[venues.mute]\nenvironment = 'simulator'")
    assert parse("[venues.ticking]\nenvironment = 'simulator'").venues["ticking"].data


def test_a_misspelled_field_is_answered_with_the_nearest_one():
    assert refusal(BASE + "windw_ms = 3").hint == "did you mean 'window_ms'?"
    assert refusal("[venues.toy]\nenviroment = 'simulator'").hint == "did you mean 'environment'?"


def test_further_mistakes_are_kept_as_notes():
    error = refusal(BASE + "route = 'x'\nwindow_ms = 'y'\nzzz = 1")
    everything = [str(error), *error.__notes__]
    for path in ("venues.toy.route", "venues.toy.window_ms", "venues.toy.zzz"):
        assert sum(line.startswith(path) for line in everything) == 1, everything


@pytest.mark.parametrize(
    "line",
    [
        f"key = '{LITERAL_KEY}'",
        f"key = '{LITERAL_KEY[2:]}'",
        f"key = 'env:{LITERAL_KEY}'",
        f"key = 'hex:{LITERAL_KEY}'",
        f"key = ['{LITERAL_KEY}']",
        f"kye = '{LITERAL_KEY}'",
        f"window_ms = '{LITERAL_KEY}'",
        f"route = '{LITERAL_KEY}'",
        f"environment = '{LITERAL_KEY}'",
        f"addresses = {{ rest = '{LITERAL_KEY}' }}",
    ],
)
def test_no_error_repeats_what_may_be_a_secret(line):
    text = BASE.replace('environment = "simulator"', "") if line.startswith("environment") else BASE
    error = refusal(text + line)
    while error is not None:
        shown = [str(error), repr(error), getattr(error, "hint", ""), *getattr(error, "__notes__", [])]
        assert not any("5555" in part for part in shown), shown
        error = error.__cause__


def test_a_literal_key_is_told_what_to_write():
    error = refusal(BASE + f"key = '{LITERAL_KEY}'")
    assert error.path == "venues.toy.key"
    assert "must be a reference to a secret" in str(error)
    assert "env:NAME" in error.hint


def test_flags_win_over_environment_over_file():
    environ = {
        "VENUEKIT__NODE__NAME": "from-environment",
        "VENUEKIT__NODE__TRADER_ID": "E-001",
        "VENUEKIT__VENUES__TOY__WINDOW_MS": "77",
        "VENUEKIT__VENUES__TOY__TRANSPORT__OPTIONS__HTTP__CONNECTIONS": "9",
        "VENUEKIT_TRACE_PLUGINS": "0",
        "UNRELATED": "x",
    }
    flags = ["node.name=from-flag", "venues.toy.on=true", "venues.toy.size=0.250"]
    config = parse(BASE + "window_ms = 5", environ=environ, flags=flags)
    assert config.node.name == "from-flag"
    assert config.node.trader_id == "E-001"
    own = config.venues["toy"].own
    assert (own.window_ms, own.on, str(own.size)) == (77, True, "0.250")
    assert config.venues["toy"].transport.options == {"http.connections": "9"}


def test_a_secret_in_the_environment_override_is_refused_too():
    error = refusal(BASE, environ={"VENUEKIT__VENUES__TOY__KEY": LITERAL_KEY})
    assert error.path == "venues.toy.key"
    assert "5555" not in str(error)


@pytest.mark.parametrize("flag", ["no-equals", "node.name.deep=1", "=1", "node.=1"])
def test_a_flag_that_is_none_is_refused(flag):
    refusal(BASE, flags=[flag])


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(Path(binary))


def test_a_dump_of_the_config_shows_references_only():
    config = parse(BASE + "key = 'cmd:pass show toy'")
    assert "SecretRef" in repr(config)
    assert str(config.venues["toy"].own.key) == "cmd:pass show toy"
