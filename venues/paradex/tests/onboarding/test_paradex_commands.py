"""`venuekit paradex` as a user runs it, in fresh processes against a simulator of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from venuekit_paradex.onboarding import Subkeys
from venuekit_paradex.sim import SIMULATOR
from venuekit_paradex.time import ParadexTime

from venuekit.cli.main import run
from venuekit.errors import DecodeError
from venuekit.runtime.clock import RealClock

VECTORS = json.loads((Path(__file__).parents[1] / "data/signing_vectors.json").read_text())
# Every command is a process of its own that loads the libraries for keys; a busy machine takes its time.
pytestmark = pytest.mark.timeout(240)
ETHEREUM_KEY = "0x" + "0123456789abcdef" * 4


def venuekit(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "venuekit", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "ETH_KEY": ETHEREUM_KEY, **environment},
    )


def one(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def rest():
    """The REST address of a running simulator."""
    process = subprocess.Popen(
        [sys.executable, "-m", "venuekit", "sim", "paradex", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    ready = json.loads(process.stdout.readline())
    yield ready["addresses"]["rest"]
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)


def test_an_account_and_a_bot_key_from_a_wallet(rest, tmp_path):
    here = ("--address", rest, "--json")
    main, bot = tmp_path / "main.key", tmp_path / "bot.key"
    derived = one(venuekit("paradex", "keys", "derive", "--ethereum-key", "env:ETH_KEY", *here))
    opened = venuekit(
        "paradex", "onboard", "--ethereum-key", "env:ETH_KEY", "--save", str(main), "--yes", *here
    )
    account = one(opened)
    assert (account["event"], account["environment"], account["existed"]) == ("onboarded", "simulator", False)
    assert [derived[name] for name in ("account", "public_key", "ethereum_account")] == [
        account[name] for name in ("account", "public_key", "ethereum_account")
    ]
    # The wallet's address as the SDK knows it; the key is in the file, for its owner only, and nowhere else.
    assert account["ethereum_account"] == VECTORS["accounts"][0]["l1_address"]
    assert stat.S_IMODE(main.stat().st_mode) == 0o600
    secret = main.read_text().strip()
    assert secret[2:] not in opened.stdout + opened.stderr
    again = one(venuekit("paradex", "onboard", "--ethereum-key", "env:ETH_KEY", "--yes", *here))
    assert (again["existed"], again["account"]) == (True, account["account"])

    key = ("--key", f"file:{main}")
    made = one(
        venuekit("paradex", "keys", "create", *key, "--name", "bot", "--save", str(bot), "--yes", *here)
    )
    assert bot.read_text().strip()[2:] != secret[2:]
    listed = one(venuekit("paradex", "keys", "list", *key, *here))
    assert (listed["name"], listed["public_key"], listed["state"]) == ("bot", made["public_key"], "active")
    gone = one(venuekit("paradex", "keys", "revoke", *key, made["public_key"], "--yes", *here))
    assert gone["event"] == "subkey_revoked"
    people = venuekit("paradex", "keys", "list", *key, "--address", rest)
    assert people.stdout == f"0 subkeys of {account['account']} on simulator.\n"


def test_reading_shows_every_field_exactly(rest):
    done = venuekit("paradex", "read", "/markets", "--param", "market=BTC-USD-PERP", "--address", rest)
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    assert (row["event"], row["symbol"], row["price_tick_size"]) == ("row", "BTC-USD-PERP", "0.1")
    assert row["fee_config"]["api_fee"]["taker_fee"]["fee"] == "0.00045"
    refused = venuekit("paradex", "read", "/rfqs", "--address", rest)
    assert refused.returncode == 1
    assert "/rfqs" in refused.stderr
    login = venuekit("paradex", "read", "/account", "--address", rest)
    assert login.returncode == 1
    assert "UNAUTHORIZED_ERROR" in login.stderr
    key = {"DEMO": venuekit("sim", "paradex", "--demo-key").stdout.strip()}
    mine = one(venuekit("paradex", "read", "/account", "--key", "env:DEMO", "--address", rest, **key))
    assert (mine["settlement_asset"], mine["total_collateral"]) == ("USDC", "100000")


def _create(rest, monkeypatch, capsys, tmp_path, name):
    """A subkey is registered by the command, run in this process; its code and what it said."""
    monkeypatch.setenv("DEMO", SIMULATOR.demo_key())
    here = ("--name", name, "--save", str(tmp_path / name), "--yes", "--address", rest, "--json")
    code = run(["paradex", "keys", "create", "--key", "env:DEMO", *here])
    return code, capsys.readouterr()


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_machine_whose_clock_is_wrong_signs_with_the_venues_time(
    rest, monkeypatch, capsys, tmp_path, minutes
):
    # The venue takes a registration for five minutes.
    real = RealClock.wall_ns
    monkeypatch.setattr(RealClock, "wall_ns", lambda clock: real(clock) + minutes * 60 * 10**9)
    code, said = _create(rest, monkeypatch, capsys, tmp_path, "late")
    assert code == 0, said.err
    assert json.loads(said.out)["event"] == "subkey_created"


@pytest.mark.parametrize(
    ("venue_hours", "why"), [(None, "could not be read"), (-9, "too far from this machine's")]
)
def test_nothing_is_signed_when_the_venues_time_is_not_known(
    rest, monkeypatch, capsys, tmp_path, venue_hours, why
):
    real = ParadexTime.read

    async def read(self):
        if venue_hours is None:
            raise DecodeError("planted", kind="bad_time")
        return await real(self) + venue_hours * 3600 * 10**9

    monkeypatch.setattr(ParadexTime, "read", read)
    signed = []
    monkeypatch.setattr(Subkeys, "create", lambda *_a, **_k: signed.append(1))
    code, said = _create(rest, monkeypatch, capsys, tmp_path, "never")
    assert code == 1
    assert why in said.err + said.out
    assert not signed
    assert not (tmp_path / "never").exists()


def test_nothing_happens_without_a_yes(rest, tmp_path):
    wallet = {"ETH_KEY": "0x" + "11" * 32}
    arguments = ("paradex", "onboard", "--ethereum-key", "env:ETH_KEY", "--address", rest)
    asked = venuekit(*arguments, text="n\n", **wallet)
    assert asked.returncode == 130
    assert "Open the account 0x" in asked.stdout
    assert "(simulator)?" in asked.stdout
    silent = venuekit(*arguments, "--json", **wallet)
    assert silent.returncode == 1
    assert "--yes" in json.loads(silent.stdout)["message"]
    agreed = one(venuekit(*arguments, "--yes", "--json", **wallet))
    assert agreed["existed"] is False


def test_a_key_file_is_never_replaced(rest, tmp_path):
    kept = tmp_path / "kept.key"
    kept.write_text("precious")
    done = venuekit(
        "paradex", "keys", "derive", "--ethereum-key", "env:ETH_KEY", "--save", str(kept), "--address", rest
    )
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert kept.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("onboard", "--ethereum-key", ETHEREUM_KEY), "reference"),
        (("onboard", "--ethereum-key", "env:NO_SUCH_NAME"), "NO_SUCH_NAME"),
        (("keys", "create", "--key", "env:ETH_KEY", "--name", "x"), "--save"),
    ],
)
def test_keys_come_by_reference_only(rest, arguments, says):
    done = venuekit("paradex", *arguments, "--address", rest)
    assert done.returncode == 1
    assert says in done.stderr
    assert ETHEREUM_KEY[2:] not in done.stderr + done.stdout


def test_the_real_venue_must_be_named():
    """Every command runs on the simulator unless an environment is given."""
    done = venuekit("paradex", "onboard", "--help")
    assert "[default: simulator]" in done.stdout
    assert "mainnet" in done.stdout
