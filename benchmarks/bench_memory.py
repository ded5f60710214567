"""Memory of a node: connected and idle, and with 100 books that live; the simulator is another process.

Reference: a Python process that imported what a node imports from Nautilus, and nothing else.
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
ANSWERS = HERE.parent / "venues" / "paradex" / "tests" / "data" / "recorded_rest" / "fetch_markets.json"
BOOKS = 100
IDLE_MIB, BOOKS_MIB = 200, 300
MOST_OF_COLLECTION = 0.5
IMPORTS = "import nautilus_trader.live.clients; from nautilus_trader import config, model, trading"
BARE = f"""\
{IMPORTS}
text = open("/proc/self/status").read()
print(int(text[text.index("VmRSS:") + 6:].split(None, 1)[0]) / 1024)
"""
# The crowds of 100 markets must leave a core to the node.
CALM = ("taker_rate=0.2", "hunter_rate=0", "frames=1000", "summary_ms=1000")


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 20 s."""
    done = subprocess.run(
        [sys.executable, "-c", BARE], capture_output=True, text=True, timeout=30, check=True
    )
    bare = float(done.stdout)
    with tempfile.TemporaryDirectory() as folder:
        for name, answer in (("markets", markets()), ("markets_summary", summaries())):
            Path(folder, f"{name}.json").write_text(json.dumps(answer))
        idle = measured(Path(folder), 0)["mib"]
        full = measured(Path(folder), BOOKS)
    assert full["books"] == BOOKS, full
    name = "a whole garbage collection in that node; reference: through the code as well"
    return [
        _row("memory of an idle node; reference: nautilus_trader imported", idle, bare, IDLE_MIB),
        _row(
            f"the same with {BOOKS} live books of 30 levels; reference: the same",
            full["mib"],
            bare,
            BOOKS_MIB,
        ),
        collection(name, full["short_ms"], full["long_ms"]),
    ]


def collection(name: str, ours: float, reference: float) -> dict[str, Any]:
    """For so long the node stands still, in ms."""
    ratio = ours / reference
    row = {"name": name, "ours": ours, "reference": reference, "ratio": ratio, "unit": "ms"}
    return {**row, "target": f"at most {MOST_OF_COLLECTION} x", "ok": ratio <= MOST_OF_COLLECTION}


def markets() -> dict[str, Any]:
    """The recorded market under 100 names."""
    (row, *_) = json.loads(ANSWERS.read_text())["results"]
    named = [{"symbol": f"C{n:03}-USD-PERP", "base_currency": f"C{n:03}"} for n in range(BOOKS)]
    return {"results": [{**row, **one} for one in named]}


def summaries() -> dict[str, Any]:
    """What each costs."""
    return {"results": [{"symbol": row["symbol"], "mark_price": "3.5"} for row in markets()["results"]]}


def measured(folder: Path, books: int) -> dict[str, float]:
    """What a fresh node holds: MiB and books; and for how long a collection stops it."""
    with ready_simulator(f"fixtures={folder}", *CALM) as ready:
        head, _, _ = ready["config_toml"].partition("[[strategies]]")
        strategy = (
            '[[strategies]]\npath = "memory_node:Books"\nconfig_path = "memory_node:BooksConfig"\n'
            f"config = {{ books = {books} }}\n"
        )
        config, answer = folder / "node.toml", folder / "answer.json"
        config.write_text(head + strategy)
        command = [sys.executable, str(HERE / "memory_node.py"), str(config), str(books), str(answer)]
        environ = {**os.environ, "PYTHONPATH": str(HERE)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environ)
        assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]
        found: dict[str, float] = json.loads(answer.read_text())
    assert found["updates"] >= books * 5
    return found


def _row(name: str, ours: float, reference: float, limit: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "unit": "MiB",
        "target": f"under {limit} MiB",
        "ok": ours < limit,
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
