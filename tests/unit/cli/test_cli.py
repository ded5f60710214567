"""The command line as a user runs it: fresh processes, exit codes, two-line errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from venuekit.cli.main import COMMANDS, run

CONFIG = """
[node]
name = "check-me"

[venues.paradex]
environment = "simulator"
execution = true
key = "env:TEST_ONLY_KEY"
"""


def venuekit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "venuekit", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_help_lists_every_command_without_importing_one():
    code = (
        "import sys; from venuekit.cli.main import run\n"
        "rc = run(['--help'])\n"
        "loaded = [name for name in sys.modules if name.startswith('venuekit.cli.')]\n"
        "print(rc, sorted(loaded))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert done.stdout.splitlines()[-1] == "0 ['venuekit.cli.main', 'venuekit.cli.output']"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_json(name):
    assert run([name, "--help"]) == 0
    from venuekit.cli.main import cli

    command = cli.get_command(None, name)
    leaves = getattr(command, "commands", {"": command}).values()
    for leaf in leaves:
        assert any("--json" in option.opts for option in leaf.params), name
        assert leaf.help, name


def test_venues_lists_what_is_installed():
    done = venuekit("venues", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["key"]: row for row in lines(done.stdout) if row["event"] == "venue"}
    assert rows["paradex"]["trades"] is True
    assert rows["paradex"]["simulator"] is True
    assert rows["paradex"]["venue"] == "PARADEX"
    assert {"dydx", "lighter"} <= set(rows)
    shown = venuekit("venues").stdout
    assert shown.startswith("VENUE ")
    for key, row in rows.items():
        assert any(line.startswith(key) and row["distribution"] in line for line in shown.splitlines())


def test_venues_tells_what_is_wrong_and_still_lists_the_rest(add_plugins):
    add_plugins("broken", "misspelled")
    done = venuekit("venues", "--json")
    assert done.returncode == 0
    rows = lines(done.stdout)
    reasons = {row["distribution"]: row["reason"] for row in rows if row["event"] == "problem"}
    assert set(reasons) == {"venuekit-broken", "venuekit-misspelled"}
    assert "native library" in reasons["venuekit-broken"]
    assert "paradex" in {row.get("key") for row in rows}
    shown = venuekit("venues")
    assert "venuekit-broken 0.3.0 cannot be used: RuntimeError" in shown.stdout
    assert "Traceback" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "first", "second"),
    [
        (["sim", "nope"], 1, "error: no simulator named 'nope' is installed", "hint:  installed: paradex."),
        (["config", "check", "/none.toml"], 1, "error: /none.toml cannot be read", "hint:  check the path."),
        (["sim", "paradex", "-o", "x"], 1, "error: --option x: is no assignment", "hint:  write NAME=VALUE."),
        (["venues", "--nope"], 2, "Usage:", "Try"),
        (["nope"], 2, "Usage:", "Try"),
        (["sim"], 2, "Usage:", "Try"),
    ],
)
def test_a_failure_is_what_happened_and_what_to_do(arguments, code, first, second):
    done = venuekit(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    told = done.stderr.splitlines()
    assert told[0].startswith(first)
    assert told[1].startswith(second)
    assert len(told) <= 4
    assert "Traceback" not in done.stderr


def test_a_failure_in_json_is_one_object():
    done = venuekit("sim", "nope", "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    (told,) = lines(done.stdout)
    assert told == {
        "event": "error",
        "message": "no simulator named 'nope' is installed",
        "hint": "installed: paradex.",
        "also": [],
    }


def test_a_traceback_comes_with_debug_only(monkeypatch, capsys):
    def explode() -> None:
        raise ValueError("inner\ntrouble")

    monkeypatch.setattr("venuekit.cli.venues.installed", explode)
    assert run(["venues"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "error: unexpected ValueError: inner trouble"
    assert len(told) == 2
    assert run(["--debug", "venues"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_config_check(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(CONFIG)
    done = venuekit("config", "check", str(path), "--json")
    assert done.returncode == 0, done.stdout
    (told,) = lines(done.stdout)
    assert told["valid"] is True
    assert told["venues"]["paradex"]["secrets"] == {"key": "env:TEST_ONLY_KEY"}
    assert told["venues"]["paradex"]["real_money"] is False

    secret = "5" * 60
    missing = venuekit("config", "check", str(path), "--secrets")
    assert missing.returncode == 1
    assert "TEST_ONLY_KEY is not set" in missing.stderr
    found = venuekit("config", "check", str(path), "--secrets", TEST_ONLY_KEY=secret)
    assert found.returncode == 0
    assert "key comes from env:TEST_ONLY_KEY (found)" in found.stdout
    assert secret not in found.stdout + found.stderr

    money = venuekit("config", "check", str(path), "--set", "venues.paradex.environment=mainnet")
    assert "paradex: data and execution on mainnet, with real money" in money.stdout

    wrong = venuekit("config", "check", str(path), "--set", "venues.paradex.enviroment=mainnet")
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines() == [
        "error: venues.paradex.enviroment: is not a known field",
        "hint:  did you mean 'environment'?",
    ]


def test_config_check_refuses_plain_text_to_another_machine(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(CONFIG)
    done = venuekit("config", "check", str(path), "--set", "venues.paradex.addresses.rest=http://10.0.0.1/v1")
    assert done.returncode == 1
    assert "venues.paradex.addresses.rest" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sim_serves_until_it_is_signalled(tmp_path, number):
    config = tmp_path / "sim.toml"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "venuekit",
            "sim",
            "paradex",
            "--port",
            "0",
            "--json",
            "--write-config",
            config,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        with urllib.request.urlopen(ready["addresses"]["rest"] + "/system/time", timeout=10) as reply:
            assert reply.status == 200
        assert config.read_text() == ready["config_toml"]
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert json.loads(out) == {"event": "stopped", "venue": "paradex"}
    assert err == ""


def test_sim_says_when_its_port_is_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = venuekit("sim", "paradex", "--port", str(port))
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert told[0].startswith(f"error: the simulator cannot listen on port {port}")
    assert "--port 0" in told[1]
    assert len(told) == 2


def test_the_demo_key_is_a_reference_target():
    done = venuekit("sim", "paradex", "--demo-key")
    assert done.returncode == 0
    key = done.stdout.strip()
    assert len(key) == 64
    int(key, 16)
    assert venuekit("sim", "paradex", "--demo-key").stdout == done.stdout


def test_venues_loads_nothing_heavy():
    """How quick it is depends on the machine, and is measured by the benchmarks; what it loads does not."""
    names = "nautilus_trader httpx websockets aiohttp grpc sqlite3 starknet_py eth_account fast_stark_crypto"
    code = (
        "import sys\n"
        "from venuekit.cli.main import main\n"
        "sys.argv = ['venuekit', 'venues', '--json']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print([name for name in {names!r}.split() if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    *venues, loaded = done.stdout.splitlines()
    assert {"dydx", "lighter", "paradex"} <= {json.loads(line).get("key") for line in venues}, venues
    assert loaded == "[]"


def test_a_plugin_adds_a_command_group(tmp_path, add_plugins):
    project = tmp_path / "more"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "venuekit-more"\nversion = "1"\n'
        '[project.entry-points.venuekit]\nmore = "more_plugin"\n'
    )
    (project / "more_plugin.py").write_text(
        "from venuekit.interfaces.hooks import Kind, Provided, hookimpl\n"
        "@hookimpl\ndef venuekit_commands():\n"
        "    return [Provided(Kind.COMMAND, 'more', 'more_commands:group')]\n"
    )
    (project / "more_commands.py").write_text(
        "import click\n@click.group()\ndef group():\n    pass\n"
        "@group.command()\ndef hello():\n    click.echo('hello from more')\n"
    )
    add_plugins(project)
    assert venuekit("more", "hello").stdout == "hello from more\n"
    assert "\n  more " in venuekit("--help").stdout
