"""Recording, replaying and running from the command line, against a simulator in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "venues" / "paradex" / "tests" / "data" / "sbe"


def venuekit(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "venuekit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        env={**os.environ, **environment},
    )


def told(done: subprocess.CompletedProcess[str]) -> list[dict]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """Flags that lead the venue to a running simulator, and its node config."""
    config = tmp_path_factory.mktemp("simulator") / "node.toml"
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
        text=True,
    )
    try:
        addresses = json.loads(process.stdout.readline())["addresses"]
        flags = [f"--set=venues.paradex.addresses.{name}={address}" for name, address in addresses.items()]
        yield ["paradex", "--environment", "simulator", *flags], config
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def capture(simulator, tmp_path_factory):
    """A capture of both markets, and what the recorder itself saw."""
    path = tmp_path_factory.mktemp("capture") / "both.jsonl"
    markets = ["--market", "BTC-USD-PERP", "--market", "ETH-USD-PERP.PARADEX"]
    return path, told(venuekit("record", *simulator[0], *markets, "--out", path, "--secs", "3", "--json"))


def test_instruments_are_listed_with_exact_steps(simulator):
    rows = {row["id"]: row for row in told(venuekit("instruments", *simulator[0], "--json"))}
    assert set(rows) == {"BTC-USD-PERP.PARADEX", "ETH-USD-PERP.PARADEX"}
    bitcoin = rows["BTC-USD-PERP.PARADEX"]
    assert bitcoin["type"] == "CryptoPerpetual"
    assert (bitcoin["price_increment"], bitcoin["size_increment"]) == ("0.1", "0.00001")
    shown = venuekit("instruments", *simulator[0]).stdout
    assert "ETH-USD-PERP.PARADEX" in shown
    assert "2 instruments on simulator." in shown


@pytest.mark.parametrize("through", ["service", "node"])
def test_a_replay_ends_where_the_recording_did(capture, through):
    path, recorded = capture
    replayed = told(venuekit("replay", path, "--through", through, "--json"))
    live = {row["id"]: row for row in recorded if row["event"] == "market"}
    again = {row["id"]: row for row in replayed if row["event"] == "market"}
    assert len(live) == 2
    assert again == live
    for row in live.values():
        assert row["counts"]["OrderBookDeltas"] > 10
        assert row["counts"]["QuoteTick"] > 10
        assert row["bid_levels"] > 5
        assert Decimal(row["bids"][0][0]) < Decimal(row["asks"][0][0])
    assert replayed[-1]["quarantined"] == 0
    assert replayed[-1]["frames"] <= recorded[-1]["entries"]


@pytest.mark.parametrize("through", ["service", "node"])
def test_frames_of_the_real_venue_end_in_the_recorded_top_of_book(capture, through):
    """The expectation stands in the fixture: it was decoded by the venue's own library."""
    path = DATA / "book_deltas_btc.json"
    expected = json.loads(path.read_text())["expected_after_last"]
    done = venuekit(
        "replay", path, "--answers", capture[0], "--venue", "paradex", "--environment", "simulator",
        "--market", "BTC-USD-PERP", "--data", "book", "--through", through, "--json",
    )  # fmt: skip
    market, summary = told(done)
    assert (market["bid_levels"], market["ask_levels"]) == (expected["bids"], expected["asks"])
    for side in ("bids", "asks"):
        ours = [[Decimal(number) for number in level] for level in market[side]]
        assert ours == [[Decimal(number) for number in level] for level in expected[f"top_{side}"]]
    assert summary["quarantined"] == 0


@pytest.mark.parametrize("through", ["service", "node"])
def test_real_best_prices_come_through(capture, through):
    path = DATA / "bbo_btc.json"
    frames = json.loads(path.read_text())["frames"]
    decoded = [frame["decoded"] for frame in frames if "decoded" in frame]
    done = venuekit(
        "replay", path, "--answers", capture[0], "--venue", "paradex", "--environment", "simulator",
        "--market", "BTC-USD-PERP", "--data", "quotes", "--through", through, "--json",
    )  # fmt: skip
    market, summary = told(done)
    assert market["counts"] == {"QuoteTick": len(decoded)}
    assert summary["frames"] == len(frames)


def test_a_torn_capture_is_replayed_and_said_to_be_torn(capture, tmp_path):
    path = tmp_path / "torn.jsonl"
    whole = capture[0].read_bytes()
    path.write_bytes(whole[: len(whole) - 40])
    assert told(venuekit("replay", path, "--through", "service", "--json"))[-1]["torn"] is True


@pytest.mark.parametrize("through", ["service", "node"])
def test_frames_alone_need_answers(through):
    done = venuekit(
        "replay", DATA / "bbo_btc.json", "--venue", "paradex", "-e", "simulator",
        "--market", "X", "--through", through,
    )  # fmt: skip
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: the capture cannot open paradex")
    assert "--answers" in hint


def test_what_is_no_capture_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    done = venuekit("replay", path)
    assert done.returncode == 1
    assert "is no capture" in done.stderr


def test_an_unknown_market_is_refused(simulator, tmp_path):
    out = tmp_path / "x.jsonl"
    done = venuekit("record", *simulator[0], "--market", "NOPE", "--out", out, "--secs", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: --market: no market 'NOPE'"


def test_run_trades_from_the_simulators_own_config_and_stops(simulator):
    done = venuekit("run", simulator[1], "--secs", "3", "--json")
    rows = told(done)
    assert [row["event"] for row in rows] == ["starting", "stopped"]
    assert rows[-1]["code"] == 0


def test_run_says_why_it_cannot_start(simulator):
    done = venuekit("run", simulator[1], "--secs", "3", "--set", "venues.paradex.key=env:NOT_SET_ANYWHERE")
    assert done.returncode == 1
    assert "NOT_SET_ANYWHERE is not set" in done.stderr
    assert "Traceback" not in done.stderr
    broken = venuekit("run", simulator[1], "--set", "node.trader_id=nonsense", "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout.splitlines()[-1])["event"] == "error"
