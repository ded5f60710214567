"""All benchmarks, each in a fresh process and bounded in time, as one table; `--write` keeps it in the docs.

A benchmark is a file `bench_*.py` here with `rows()`: mappings with name, ours, reference, ratio, unit,
target and ok (None: shown without a target). Exit code 1: a target was missed or a benchmark did not finish.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "reference" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
LIMIT_SECS = 300
_COMPARED = re.compile("reference:|against ")
"""In the name of every row with a ratio: what the ratio is to."""
HEADS = ("what", "ours", "reference", "ratio", "target", "met")

type Row = dict[str, Any]


def main() -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks and print one table.")
    parser.add_argument("names", nargs="*", help="of benchmarks, e.g. startup; default: all")
    parser.add_argument("--write", action="store_true", help=f"renew the table in {PAGE.name}")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        rows = importlib.import_module(args.inside).rows()
        if unsaid := [row["name"] for row in rows if row["ratio"] and not _COMPARED.search(row["name"])]:
            raise SystemExit(f"not said what it is compared with: {unsaid}")
        print(json.dumps(rows, default=str))
        return 0
    chosen = [name for name in available() if not args.names or name.removeprefix("bench_") in args.names]
    found: list[Row] = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += run_one(name)
    if args.json:
        for row in found:
            print(json.dumps(row, default=str))
    else:
        print(as_text(found))
    if args.write and any(row["ours"] is None for row in found):
        print("nothing is written: a benchmark did not finish", file=sys.stderr)
    elif args.write and found:
        write(found)
    return 0 if found and all(row["ok"] in (True, None) for row in found) else 1


def available() -> list[str]:
    """Module names of the benchmarks."""
    return sorted(path.stem for path in HERE.glob("bench_*.py"))


def run_one(name: str) -> list[Row]:
    """The rows of one benchmark; a failed one is a row that says so."""
    command = [sys.executable, str(HERE / "run.py"), "--inside", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECS, check=False)
    except subprocess.TimeoutExpired:
        return [_failure(name, f"not done within {LIMIT_SECS} s")]
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return [_failure(name, (done.stderr.strip().splitlines() or ["failed"])[-1])]
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _failure(name: str, why: str) -> Row:
    blank = {"ours": None, "reference": None, "ratio": None, "unit": "", "ok": False}
    return {"name": name, "target": f"did not finish: {why}", **blank}


def cells(row: Row) -> tuple[str, ...]:
    """One row as texts, in the order of `HEADS`."""
    unit, ratio = row.get("unit") or "", row.get("ratio")
    met = "-" if row.get("ok") is None else "yes" if row["ok"] else "NO"
    return (
        str(row["name"]),
        _figure(row.get("ours"), unit),
        _figure(row.get("reference"), unit),
        "" if ratio in (None, "") else f"{_number(ratio)} x",
        str(row.get("target") or ""),
        met,
    )


def _figure(value: object, unit: str) -> str:
    if value in (None, ""):
        return ""
    return f"{_number(value)} {unit}".strip()


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.3g}"


def as_text(found: list[Row]) -> str:
    """The table for a terminal."""
    table = [HEADS, *map(cells, found)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in (0, 4) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def as_markdown(found: list[Row]) -> str:
    """The table for the docs."""
    lines = [HEADS, ("---", "---:", "---:", "---:", "---", "---"), *map(cells, found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(found: list[Row]) -> None:
    """The page holds this table, with the versions it was measured with."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    nautilus = version("nautilus_trader")
    where = (
        f"Measured with CPython {platform.python_version()} and nautilus_trader {nautilus} "
        f"on {platform.system()} {platform.machine()}, {os.cpu_count()} cores."
    )
    PAGE.write_text(f"{head}{BEGIN}\n{where}\n\n{as_markdown(found)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
