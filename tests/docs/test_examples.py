"""The examples are what the docs say, and they run."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from venuekit_paradex.sim.factory import demo_config

from venuekit.host.config import load_config, parse_config
from venuekit.host.plugins import installed

VENUEKIT = Path(sys.executable).with_name("venuekit")


@contextmanager
def simulator():
    command = [VENUEKIT, "sim", "paradex", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=10)


def test_the_node_config_is_the_simulators_own(root):
    with simulator() as ready:
        pass
    assert ready["config_toml"] == demo_config(ready["addresses"], ready["account"])
    usual = installed().manifest("paradex").environments["simulator"].addresses
    assert (root / "examples" / "node.toml").read_text() == demo_config(usual, ready["account"])


@pytest.mark.parametrize("name", ["node.toml", "round_trip.toml"])
def test_examples_are_valid_and_hold_no_real_money(name, root):
    config = load_config(root / "examples" / name)
    assert {venue.environment for venue in config.venues.values()} == {"simulator"}
    # The simulator listens where the environment says, so both files name the same addresses.
    usual = installed().manifest("paradex").environments["simulator"].addresses
    assert dict(config.venues["paradex"].addresses) == dict(usual)


def test_the_strategy_of_the_readme_trades_as_the_readme_runs_it(root):
    with simulator() as ready:

        def ledger():
            with urlopen(f"{ready['control']}/ledger") as reply:
                return json.load(reply)

        def sides():
            return {fill["side"] for fill in ledger()["fills"] if fill["account"] == ready["account"]}

        flags = [f"--set=venues.paradex.addresses.{name}={url}" for name, url in ready["addresses"].items()]
        process = subprocess.Popen(
            [VENUEKIT, "run", "examples/round_trip.toml", "--secs", "50", *flags],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            end = time.monotonic() + 45
            while sides() != {"BUY", "SELL"} and process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            process.terminate()
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert sides() == {"BUY", "SELL"}
        assert [one for one in ledger()["orders"] if one["status"] in ("OPEN", "PENDING")] == []


def test_the_strategy_is_short(root):
    code = (root / "examples" / "strategies" / "round_trip.py").read_text()
    body = [line for line in code.splitlines() if line.strip() and not line.startswith(('"""', "from "))]
    assert len(body) <= 26


def test_a_config_on_its_own_defaults_asks_for_the_simulators_key(root):
    config = parse_config((root / "examples" / "round_trip.toml").read_text())
    assert str(config.venues["paradex"].own.key) == "cmd:venuekit sim paradex --demo-key"
