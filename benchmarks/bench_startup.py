"""What starting costs: the command that lists venues, and the framework's own imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROUNDS = 9
SCRIPT = Path(sys.executable).with_name("venuekit")
NAUTILUS = "import nautilus_trader.live.clients; from nautilus_trader import config, model, trading"
# From inside the process: an interpreter's own start would hide what is asked.
TIMED = """\
import time
{before}
started = time.perf_counter()
import venuekit.nautilus.node
print(time.perf_counter() - started)
"""


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 8 s."""
    bare = [sys.executable, "-c", "pass"]
    listing = [str(SCRIPT), "venues"]
    imports = [sys.executable, "-c", TIMED.format(before=NAUTILUS)]
    times: dict[str, list[float]] = {"bare": [], "venues": [], "imports": []}
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        # An installed package is compiled once, whatever this shell says about it.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        # A first round of each fills the disk cache and the compiled files; it does not count.
        for round_ in range(ROUNDS + 1):
            found = {
                "bare": _wall(bare, environ),
                "venues": _wall(listing, environ),
                "imports": _printed(imports, environ),
            }
            for name, seconds in found.items() if round_ else ():
                times[name].append(seconds)
    # Another process of the machine may slow a round; it cannot make one faster.
    best = {name: min(found) for name, found in times.items()}
    return [
        _row(
            "`venuekit venues`, a fresh process; reference: an empty Python",
            best["venues"],
            0.4,
            reference=best["bare"],
        ),
        _row("framework's imports beyond nautilus_trader", best["imports"], 0.15),
    ]


def _row(name: str, ours: float, limit: float, reference: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "reference": reference,
        "ratio": None if reference is None else ours / reference,
        "unit": "s",
        "target": f"under {limit} s",
        "ok": ours < limit,
    }


def _wall(command: list[str], environ: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, timeout=30, check=True)
    return time.perf_counter() - started


def _printed(command: list[str], environ: Mapping[str, str]) -> float:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    for row in rows():
        print(row)
