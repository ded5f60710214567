"""From the bytes of a frame to a strategy's handler in a real node, by kind, 600 frames a second together.

The clock starts when the session is given the frame (`ts_init`) and stops in the strategy: codec, sequence
check, the engine's queue, its cache and its own kept book are within. Simulator (REST) and frames come from
processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import quantiles
from typing import Any

from simulated import ready_simulator

HERE = Path(__file__).resolve().parent
LIMIT_MS = 5.0
WARM_UP = 20
"""The first frames of a node meet cold caches and the engine's own start."""
CONFIG = """\
[venues.paradex]
environment = "simulator"
addresses = {{ rest = "{rest}", stream = "ws://127.0.0.1:{port}" }}
[[strategies]]
path = "latency_node:Latency"
"""


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 15 s."""
    command = [sys.executable, str(HERE / "kinds.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with ready_simulator("liquidity=false") as ready:
                found = measured(ready, port)
        finally:
            server.terminate()
    return [_row(kind, [one / 1e6 for one in taken[WARM_UP:]]) for kind, taken in found.items()]


def measured(ready: dict[str, Any], port: int) -> dict[str, list[int]]:
    """Nanoseconds by kind."""
    with tempfile.TemporaryDirectory() as folder:
        config, answer = Path(folder, "node.toml"), Path(folder, "answer.json")
        config.write_text(CONFIG.format(rest=ready["addresses"]["rest"], port=port))
        command = [sys.executable, str(HERE / "latency_node.py"), str(config), str(answer)]
        environ = {**os.environ, "PYTHONPATH": str(HERE)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environ)
        assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]
        found: dict[str, list[int]] = json.loads(answer.read_text())
    return found


def _row(kind: str, taken: list[float]) -> dict[str, Any]:
    p95 = quantiles(taken, n=20)[-1]
    return {
        "name": f"frame to strategy in a node, {kind}, p95",
        "ours": p95,
        "reference": None,
        "ratio": None,
        "unit": "ms",
        "target": f"under {LIMIT_MS:g} ms",
        "ok": p95 < LIMIT_MS,
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
