"""Seeds a second of the swarm on virtual time, and how long a client takes there from the last fault to rest.

A seed is a world of its own: 100 orders, ten virtual minutes, 5 to 20 faults, every invariant at every rest.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SWARM = ROOT / "tests" / "swarm" / "seeds.py"
SEEDS, MINUTES, LIMIT_SECS = 60, 2, 170
VIRTUAL_SECS = 600
REST_SECS = 60
SUMMARY = re.compile(r"(?P<seeds>[\d.]+) seeds/s: .* to rest (?P<p50>\d+) ms p50, (?P<p99>\d+) ms p99")


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes at most two minutes."""
    if not SWARM.exists():
        return []
    command = [sys.executable, str(SWARM), "--count", str(SEEDS), "--minutes", str(MINUTES), "--jobs", "2"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECS, check=False
    )
    found = SUMMARY.search(done.stdout)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]
    assert found is not None, done.stdout[-2_000:]
    rate, p50, p99 = (float(found[name]) for name in ("seeds", "p50", "p99"))
    return [
        _row("seeds of the swarm a second, two processes; reference: in real time", rate, 1 / VIRTUAL_SECS),
        _rest("the last fault to rest, in the swarm's virtual time, p50", p50 / 1e3),
        _rest("the last fault to rest, in the swarm's virtual time, p99", p99 / 1e3),
    ]


def _row(name: str, ours: float, reference: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "unit": "/s",
        "target": "",
        "ok": None,
    }


def _rest(name: str, secs: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": secs,
        "reference": None,
        "ratio": None,
        "unit": "s",
        "target": f"at most {REST_SECS} s",
        "ok": secs <= REST_SECS,
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
