"""What a start costs on an account with a long past, and how that grows with the account.

The pages lie in memory in the venue's wire form, so that decoding counts and the network does not. Each size
is a process of its own. The reference is the same start on a smaller account, an order at a time: a ratio of
one is linear. Memory is the highest growth that the kernel saw.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from simulated import ready_simulator

HERE = Path(__file__).resolve().parent
ORDERS, FILLS_EACH = 10_000, 10
CPU_SECS, MIB, LINEAR = 20, 300, 1.5
NODE_ORDERS = 3_000


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 30 s."""
    with ready_simulator("liquidity=false") as ready, tempfile.TemporaryDirectory() as folder:
        head, _, _ = ready["config_toml"].partition("[[strategies]]")
        config = Path(folder, "node.toml")
        config.write_text(
            head.replace('log_level = "INFO"', 'log_level = "OFF"')
            + '\n[venues.paradex.transport]\nhttp = "http/past"\n'
        )
        full, tenth, hundredth = (_measured(config, ORDERS // part, "service") for part in (1, 10, 100))
        node, small_node = (_measured(config, NODE_ORDERS // part, "node") for part in (1, 10))
    what = f"start-up reconciliation, {ORDERS:,} orders and {ORDERS * FILLS_EACH:,} fills"
    cpu, mib = full["cpu_secs"], full["mib"]
    return [
        _row(f"{what}, CPU", cpu, None, "s", f"at most {CPU_SECS} s", cpu <= CPU_SECS),
        _row(f"{what}, memory", mib, None, "MiB", f"at most {MIB} MiB", mib <= MIB),
        _growth("CPU an order, against 1/10 of it", "cpu_secs", full, tenth, "us", 1e6),
        _growth("CPU an order, against 1/100 of it", "cpu_secs", full, hundredth, "us", 1e6),
        _growth("memory an order, against 1/10 of it", "mib", full, tenth, "KiB", 1024),
        _growth("memory an order, against 1/100 of it", "mib", full, hundredth, "KiB", 1024),
        _row(
            f"a whole start of a node, {NODE_ORDERS:,} orders, CPU; reference: until the engine was told",
            *(node["cpu_secs"], node["ours_secs"], "s", "", None),
        ),
        _row(
            "the engine's own share of it, an order; reference: with 1/10 of it",
            *((one["cpu_secs"] - one["ours_secs"]) * 1e3 / one["orders"] for one in (node, small_node)),
            *("ms", "", None),
        ),
    ]


def _measured(config: Path, orders: int, where: str) -> dict[str, float]:
    answer = config.with_name("answer.json")
    command = [sys.executable, str(HERE / "past_account.py"), str(config), str(orders), where, str(answer)]
    environ = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environ)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]
    found: dict[str, float] = json.loads(answer.read_text())
    assert (found["orders"], found["fills"]) == (orders, orders * FILLS_EACH), found
    return found


def _growth(
    name: str, fact: str, full: dict[str, float], part: dict[str, float], unit: str, scale: float
) -> dict[str, Any]:
    ours, reference = (one[fact] * scale / one["orders"] for one in (full, part))
    return _row(name, ours, reference, unit, f"at most {LINEAR} x", ours <= LINEAR * reference)


def _row(
    name: str, ours: float, reference: float | None, unit: str, target: str, ok: bool | None
) -> dict[str, Any]:
    ratio = None if reference is None else ours / reference
    return {
        "name": name,
        "ours": ours,
        "reference": reference,
        "ratio": ratio,
        "unit": unit,
        "target": target,
        "ok": ok,
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
