"""The demo as a user runs it: two processes, one node, both sockets cut, every fill judged."""

import json
import subprocess
import sys

import pytest


def demo(*arguments, secs):
    command = [sys.executable, "-m", "venuekit", "demo", "--json", "--secs", str(secs), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=secs + 60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    return done.returncode, lines


@pytest.mark.timeout(120)
def test_twenty_seconds_on_the_default_seed():
    code, lines = demo(secs=20)
    names = [line["event"] for line in lines]
    assert names.count("cut") == 1
    cut = next(line for line in lines if line["event"] == "cut")
    assert cut["connections"] >= 2
    summary = lines[-1]
    assert summary.pop("event") == "summary"
    assert code == 0, summary
    assert summary["orders"] >= 60
    assert summary["fills"] >= 20
    assert summary["cancels"] >= 20
    assert summary["markets"] == 2
    assert summary["maker_fills"] > 0
    assert summary["taker_fills"] > 0
    assert summary["lost_fills"] == summary["duplicate_fills"] == summary["altered_fills"] == 0
    assert summary["position_matches"] is True
    assert summary["balance_matches"] is True
    assert summary["unknown_orders"] == summary["quarantined"] == 0
    latency = summary["submit_to_accepted_ms"]
    assert 0 < latency["p50"] <= latency["p99"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("verb", "field"),
    [
        ("suppress_fill", "lost_fills"),
        ("duplicate_fill", "duplicate_fills"),
        ("alter_fill", "altered_fills"),
    ],
)
def test_a_lie_about_a_fill_makes_it_fail(verb, field):
    code, lines = demo("--plant", verb, secs=8)
    assert lines[-1]["event"] == "summary"
    assert code != 0
    assert lines[-1][field] >= 1
