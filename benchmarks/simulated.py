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
    command = [str(VENUEKIT), "sim", "paradex", "--port", "0", "--json"]
    for option in options:
        command += ["-o", option]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield parse_config(ready["config_toml"]).venues[ready["venue"]]
    finally:
        process.terminate()
        process.wait(timeout=10)
