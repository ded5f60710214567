"""Telemetry of a whole node as an operator meets it: a scraper, `venuekit status`, the log file, spans."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

VENUEKIT = Path(sys.executable).with_name("venuekit")
WITHIN_SECS = 25.0


@contextmanager
def simulator():
    command = [VENUEKIT, "sim", "paradex", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=10)


@contextmanager
def node(path, *more):
    """A node in a process of its own, stopped as an operator stops it."""
    with subprocess.Popen(
        [VENUEKIT, "run", str(path), *more],
        stdout=subprocess.DEVNULL,  # a pipe that nobody reads would stop the node when it is full
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(path.parent)},
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def health(port):
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def metrics(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        return {one.name: one for one in text_string_to_metric_families(reply.read().decode())}


def until(ask, wanted):
    """Asked again until it says what is wanted, with a bound."""
    end = time.monotonic() + WITHIN_SECS
    while time.monotonic() < end:
        said = ask()
        if wanted(said):
            return said
        time.sleep(0.05)
    raise AssertionError(f"still {said}")


def status(*arguments):
    done = subprocess.run(
        [VENUEKIT, "status", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout, done.stderr


def sides(ready):
    """What the simulator's ledger says that our account did."""
    with urlopen(f"{ready['control']}/ledger", timeout=5) as reply:
        fills = json.load(reply)["fills"]
    return {fill["side"] for fill in fills if fill["account"] == ready["account"]}


def log_lines(folder):
    (path,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.timeout(90)
def test_a_node_is_scraped_asked_and_logged_while_its_venue_comes_and_goes(tmp_path):
    path = tmp_path / "node.toml"
    with simulator() as (venue, ready):
        addresses = "\n".join(f'{name} = "{url}"' for name, url in ready["addresses"].items())
        path.write_text(
            f"""
            [node]
            name = "watched"
            log_format = "json"
            log_directory = "{tmp_path}/logs"
            [metrics]
            port = 0
            [venues.paradex]
            environment = "simulator"
            execution = true
            key = "cmd:venuekit sim paradex --demo-key"
            [venues.paradex.addresses]
            {addresses}
            """
        )
        with node(path) as process:
            # The log is the only place that names a port which was chosen free.
            served = until(
                lambda: [
                    line
                    for line in (log_lines(tmp_path / "logs") if any(tmp_path.glob("logs/*.jsonl")) else [])
                    if line["component"] == "venuekit.telemetry"
                ],
                bool,
            )
            port = int(served[0]["message"].rpartition(":")[2])
            code, told = until(lambda: health(port), lambda said: said[0] == 200)
            assert told["node"] == "watched"
            assert told["venues"]["paradex"]["streams"] == {"public.0": "live", "private": "live"}
            assert told["venues"]["paradex"]["orders"] is True

            # Frames are added up once a second.
            families = until(lambda: metrics(port), lambda said: "venuekit_frames_handled" in said)
            (frames,) = families["venuekit_frames_in"].samples
            assert frames.labels == {"venue": "paradex"}
            assert frames.value > 0
            assert families["venuekit_requests_sent"].samples[0].value >= 3

            code, out, _ = status("--port", str(port), "--json")
            assert (code, json.loads(out)["status"]) == (0, "ok")
            code, out, _ = status(str(path), "--set", f"metrics.port={port}")
            assert code == 0
            assert out.splitlines()[0].startswith("watched: ok, up for ")
            *row, offset, unit = out.splitlines()[2].split()
            # Both clocks are this machine's.
            assert abs(int(offset)) < 1_000
            assert unit == "ms"
            assert row == [
                "paradex",
                "ok",
                "private",
                "live,",
                "public.0",
                "live",
                "ready",
                "0",
                "0",
            ]

            venue.kill()
            code, told = until(lambda: health(port), lambda said: said[0] == 503)
            assert told["status"] == told["venues"]["paradex"]["status"] == "degraded"
            assert told["venues"]["paradex"]["orders"] is False
            code, out, _ = status("--port", str(port))
            assert code == 1
            assert "NOT READY" in out
        assert process.returncode == 0
    code, out, told = status("--port", str(port))
    assert code == 1
    assert told.splitlines()[0].startswith(f"error: no node answers at 127.0.0.1:{port}")
    lines = log_lines(tmp_path / "logs")
    assert {"watched", "venuekit.paradex"} <= {line["component"] for line in lines}
    assert {line["level"] for line in lines} <= {"INFO", "WARN", "ERROR"}


TRACED = '''
"""A strategy that trades once, beside a provider that writes its spans to a file."""

import atexit
import json
import os

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model import InstrumentId, OrderSide, Quantity, TimeInForce
from nautilus_trader.trading import Strategy
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SPANS = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(SPANS))
trace.set_tracer_provider(provider)


@atexit.register
def write():
    with open(os.environ["SPANS_FILE"], "w") as stream:
        json.dump([json.loads(span.to_json()) for span in SPANS.get_finished_spans()], stream)
'''


@pytest.mark.timeout(90)
def test_commands_of_a_strategy_are_spans_of_the_users_own_provider(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[2]
    round_trip = (root / "examples" / "strategies" / "round_trip.py").read_text()
    (tmp_path / "traced.py").write_text(TRACED)
    (tmp_path / "round_trip.py").write_text(f"import traced\n{round_trip.replace('from __future__', '#')}")
    monkeypatch.setenv("SPANS_FILE", str(tmp_path / "spans.json"))
    text = (root / "examples" / "round_trip.toml").read_text()
    path = tmp_path / "node.toml"
    with simulator() as (_, ready):
        text = re.sub(r'path = "[\w.]*round_trip:', 'path = "round_trip:', text)
        path.write_text(text + "\n[tracing]\ncommands = true\n")
        flags = [f"--set=venues.paradex.addresses.{name}={url}" for name, url in ready["addresses"].items()]
        with node(path, *flags) as process:
            until(lambda: sides(ready), lambda found: found == {"BUY", "SELL"})
    assert process.returncode == 0
    spans = json.loads((tmp_path / "spans.json").read_text())
    assert {span["name"] for span in spans} >= {"venuekit.submit"}
    submits = [span for span in spans if span["name"] == "venuekit.submit"]
    assert all(span["attributes"]["venuekit.venue"] == "paradex" for span in submits)
    assert {span["attributes"]["venuekit.outcome"] for span in submits} <= {"received", "accepted"}
    # One span an order, each names its own.
    named = [name for span in submits for name in span["attributes"]["venuekit.orders"]]
    assert len(named) == len(set(named)) >= 2


def test_a_port_that_is_taken_keeps_the_node_from_starting(tmp_path):
    import socket

    path = tmp_path / "node.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path.write_text(
            f"[metrics]\nport = {taken.getsockname()[1]}\n"
            '[venues.lighter]\nenvironment = "mainnet"\n[venues.lighter.addresses]\nrest = "http://127.0.0.1:9"\n'
        )
        done = subprocess.run(
            [VENUEKIT, "run", str(path)], capture_output=True, text=True, timeout=40, check=False
        )
    assert done.returncode == 1
    assert "metrics.port: port " in done.stderr
    assert "hint:  choose another port" in done.stderr
