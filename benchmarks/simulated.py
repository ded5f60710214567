"""The Paradex simulator as a process of its own, for benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from venuekit.host.config import VenueConfig, parse_config

VENUEKIT = Path(sys.executable).with_name("venuekit")


@contextmanager
def simulated(*options: str) -> Iterator[VenueConfig]:
    """The config of a venue that a fresh simulator serves; the process is gone afterwards."""
    with ready_simulator(*options) as ready:
        yield parse_config(ready["config_toml"]).venues[ready["venue"]]


@contextmanager
def ready_simulator(*options: str) -> Iterator[dict[str, str]]:
    """What a fresh simulator says of itself once it listens; the process is gone afterwards."""
    command = [str(VENUEKIT), "sim", "paradex", "--port", "0", "--json"]
    for option in options:
        command += ["-o", option]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=10)
