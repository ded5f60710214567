"""The plugin host: one bad plugin never takes another along, and every reason is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from venuekit.errors import PluginError
from venuekit.host.plugins import Entry, Origin, Registry, discover, load_reference
from venuekit.interfaces.hooks import API_VERSION, Kind, Provided, Venue

HEAVY = [
    "nautilus_trader",
    "starknet_py",
    "eth_account",
    "grpc",
    "httpx",
    "websockets",
    "aiohttp",
    "fast_stark_crypto",
    "msgspec",
    "rich",
    "sqlite3",
    "venuekit.sim",
    "venuekit.testing",
]


def problem_of(registry: Registry, distribution: str):
    found = [problem for problem in registry.problems if problem.origin.distribution == distribution]
    assert len(found) == 1, registry.problems
    return found[0]


def write_plugin(folder: Path, name: str, body: str) -> EntryPoint:
    """A module on the path of a test that already prepended `folder`."""
    (folder / f"{name}.py").write_text(
        "from venuekit.interfaces.hooks import Kind, Provided, Venue, hookimpl\n" + body
    )
    return EntryPoint(name=name, value=name, group="venuekit")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_broken_plugins_are_reported_and_the_others_work(add_plugins):
    add_plugins("broken", "misspelled", "old_api", "only_signer")
    registry = discover()

    broken = problem_of(registry, "venuekit-broken")
    assert broken.reason == "RuntimeError: the native library of this plugin is missing"
    assert broken.origin.version == "0.3.0"

    misspelled = problem_of(registry, "venuekit-misspelled")
    assert "venuekit_retry_policys" in misspelled.reason
    assert "'venuekit_retry_policies'" in misspelled.hint

    old = problem_of(registry, "venuekit-old-api")
    assert f"API version 0, this venuekit has {API_VERSION}" in old.reason
    assert old.hint == "upgrade the plugin."

    assert registry.get(Kind.SIGNER, "stark/remote").load == "only_signer_remote:make_signer"
    assert registry.get(Kind.TRANSPORT, "http/httpx").kind is Kind.TRANSPORT


def test_a_refused_plugin_registers_nothing_at_all(add_plugins):
    add_plugins("misspelled", "old_api")
    registry = discover()
    assert not {entry.origin.distribution for entry in registry.entries} & {
        "venuekit-misspelled",
        "venuekit-old-api",
    }


def test_only_who_asks_for_a_broken_plugin_is_stopped(add_plugins):
    add_plugins("broken", "old_api")
    registry = discover()
    with pytest.raises(PluginError, match=r"venuekit-broken 0\.3\.0 failed: RuntimeError: the native"):
        registry.get(Kind.VENUE, "broken")
    with pytest.raises(PluginError, match="API version 0") as caught:
        registry.venue("old")
    assert caught.value.hint == "upgrade the plugin."


def test_a_name_that_nobody_provides_is_answered_with_the_nearest(folder):
    registry = discover(
        [
            write_plugin(
                folder,
                "vk_retry",
                "@hookimpl\ndef venuekit_retry_policies():\n"
                "    return [Provided(Kind.RETRY, 'fixed', 'm:A'), Provided(Kind.RETRY, 'linear', 'm:B')]\n",
            )
        ]
    )
    with pytest.raises(PluginError) as caught:
        registry.get(Kind.RETRY, "liner")
    assert caught.value.hint == "did you mean 'linear'?"
    with pytest.raises(PluginError) as caught:
        registry.get(Kind.RETRY, "zzz")
    assert caught.value.hint == "installed: fixed, linear."


def test_two_claims_to_one_key_name_both_distributions_and_spare_the_rest():
    def entry(distribution: str, key: str) -> Entry:
        return Entry(Provided(Kind.RETRY, key, "m:A"), Origin(distribution, "1", "p", "m"))

    entries = (entry("venuekit-one", "x"), entry("venuekit-two", "x"), entry("venuekit-one", "y"))
    registry = Registry(entries, ())
    with pytest.raises(PluginError, match=r"'x' is claimed by venuekit-one 1 \(m:A\) and venuekit-two 1"):
        registry.get(Kind.RETRY, "x")
    assert registry.get(Kind.RETRY, "y").key == "y"
    assert registry.keys(Kind.RETRY) == ("y",)


def test_a_duplicate_is_a_problem_of_the_report(tmp_path, add_plugins):
    rival = tmp_path / "rival"
    rival.mkdir()
    (rival / "pyproject.toml").write_text(
        '[project]\nname = "venuekit-rival"\nversion = "9.9"\n'
        '[project.entry-points.venuekit]\nrival = "rival_plugin"\n'
    )
    (rival / "rival_plugin.py").write_text(
        "from venuekit.interfaces.hooks import Kind, Provided, hookimpl\n"
        "@hookimpl\ndef venuekit_signers():\n"
        "    return [Provided(Kind.SIGNER, 'stark/remote', 'rival_plugin:make')]\n"
    )
    add_plugins("only_signer", rival)
    registry = discover()
    reason = problem_of(registry, "venuekit-rival").reason
    assert "venuekit-only-signer 1.2.0" in reason
    assert "venuekit-rival 9.9" in reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import sys\nsys.exit('not on this machine')\n", "SystemExit: not on this machine"),
        ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
        ("@hookimpl\ndef venuekit_signers(wrong):\n    return []\n", "PluginValidationError"),
        ("@hookimpl\ndef venuekit_signers():\n    raise ValueError('bad\\nday')\n", "ValueError: bad day"),
        ("@hookimpl\ndef venuekit_signers():\n    return [1]\n", "returned a int where a descriptor belongs"),
        (
            "@hookimpl\ndef venuekit_signers():\n    return Provided(Kind.SIGNER, 'a/b', 'm:A')\n",
            "not a sequence of descriptors",
        ),
        (
            "@hookimpl\ndef venuekit_signers():\n    return [Provided(Kind.RETRY, 'a', 'm:A')]\n",
            "is a retry, the hook takes a signer",
        ),
        (
            "@hookimpl\ndef venuekit_signers():\n    return [Provided(Kind.SIGNER, 'a', 'm:A')]\n",
            "is no key for a signer",
        ),
        (
            "@hookimpl\ndef venuekit_signers():\n    return [Provided(Kind.SIGNER, 'a/b', 'm.A')]\n",
            "'m.A' is no reference of the form module:attribute",
        ),
        (
            "@hookimpl\ndef venuekit_venues():\n    return [Provided(Kind.VENUE, 'a', 'm:A')]\n",
            "must be a Venue descriptor",
        ),
        (
            "@hookimpl\ndef venuekit_venues():\n    return [Venue(Kind.VENUE, 'a', 'm:A', manifest='m:M')]\n",
            "'' is no reference of the form module:attribute",
        ),
        (
            "@hookimpl\ndef venuekit_signers():\n    return [Provided(Kind.SIGNER, 'a/b', 'm:A', api=99)]\n",
            "API version 99",
        ),
    ],
)
def test_what_a_plugin_can_do_wrong(folder, body, reason):
    fine = "@hookimpl\ndef venuekit_retry_policies():\n    return [Provided(Kind.RETRY, 'ok', 'm:A')]\n"
    good = write_plugin(folder, "vk_good", fine)
    registry = discover([write_plugin(folder, "vk_bad", body), good])
    assert [entry.provided.key for entry in registry.entries] == ["ok"]
    assert len(registry.problems) == 1
    assert reason in registry.problems[0].reason
    assert "\n" not in registry.problems[0].reason


def test_choice_goes_config_then_venue_then_default():
    entries = tuple(
        Entry(Provided(Kind.TRANSPORT, key, "m:A"), Origin("d", "1", "p", "m"))
        for key in ("stream/websockets", "stream/fast", "http/websockets")
    )
    registry = Registry(entries, ())
    pick = registry.pick
    assert pick(Kind.TRANSPORT, "stream", None, "fast", "websockets").key == "stream/fast"
    assert pick(Kind.TRANSPORT, "stream", "websockets", "fast", "x").key == "stream/websockets"
    assert pick(Kind.TRANSPORT, "stream", "", None, "websockets").key == "stream/websockets"
    assert pick(Kind.TRANSPORT, "stream", "stream/fast").key == "stream/fast"
    with pytest.raises(PluginError) as caught:
        pick(Kind.TRANSPORT, "stream", None, None)
    assert caught.value.hint == "name one of: stream/fast, stream/websockets."
    with pytest.raises(PluginError, match="'stream/grpc'"):
        pick(Kind.TRANSPORT, "stream", "grpc")


def test_a_third_party_signer_is_loaded_only_when_it_is_chosen(add_plugins):
    add_plugins("only_signer")
    registry = discover()
    assert "only_signer_remote" not in sys.modules
    chosen = registry.pick(Kind.SIGNER, "stark", "remote", "python")
    make = registry.load(Kind.SIGNER, chosen.key)
    assert callable(make)
    assert make(None, {"account": "0x1"}).account == "0x1"
    assert "only_signer_remote" in sys.modules


def test_a_reference_that_leads_nowhere_says_so(folder):
    (folder / "vk_needs.py").write_text("import no_such_driver\n")
    (folder / "vk_raises.py").write_text("raise AttributeError('inner')\n")
    with pytest.raises(PluginError, match="needs the module 'no_such_driver'"):
        load_reference("vk_needs:A")
    with pytest.raises(PluginError, match="cannot be imported: AttributeError: inner"):
        load_reference("vk_raises:A")
    with pytest.raises(PluginError, match="has no attribute 'nope'"):
        load_reference("json:nope")
    assert load_reference("json:decoder.JSONDecoder") is json.JSONDecoder


def test_a_missing_extra_is_named():
    with pytest.raises(PluginError) as caught:
        load_reference("no_such_module_at_all:A", "venuekit")
    assert "sim" in caught.value.hint
    assert "venuekit" in caught.value.hint


def test_venue_needs_its_descriptor():
    venue = Venue(Kind.VENUE, "a", "m:A", manifest="m:M", config_class="m:C")
    registry = Registry((Entry(venue, Origin("d", "1", "a", "m")),), ())
    assert registry.venue("a") is venue


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


def test_discovery_imports_nothing_heavy():
    code = (
        "import sys, json\n"
        "from venuekit.host.plugins import discover\n"
        "registry = discover()\n"
        "print(json.dumps([sorted(sys.modules), [str(p) for p in registry.problems]]))\n"
    )
    modules, problems = json.loads(fresh(code).stdout)
    heavy = [name for name in modules if name in HEAVY or name.partition(".")[0] in HEAVY]
    assert heavy == []
    assert problems == []


def test_tracing_prints_hook_calls(add_plugins):
    add_plugins("only_signer")
    code = "from venuekit.host.plugins import discover; discover()"
    traced = fresh(code, VENUEKIT_TRACE_PLUGINS="1").stderr
    lines = [line for line in traced.splitlines() if "venuekit_signers" in line]
    assert any(line.startswith("[venuekit-only-signer]") for line in lines)
    assert "stark/remote" in traced
    assert fresh(code, VENUEKIT_TRACE_PLUGINS="0").stderr == ""
