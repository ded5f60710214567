"""The table of a soak: on the terminal, and in the docs."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from verdict import Report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "soak.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


def _met(ok: bool | None) -> str:
    return {True: "yes", False: "NO", None: "-"}[ok]


def as_text(report: Report) -> str:
    width = max(len(row.name) for row in report.rows)
    lines = [
        f"{row.name:<{width}}  {row.value}  {row.target and f'[{row.target}] '}{_met(row.ok)}"
        for row in report.rows
    ]
    return "\n".join([*lines, *report.wrong])


def as_markdown(report: Report) -> str:
    machine = f"{platform.system()} {platform.machine()}"
    head = (
        f"{report.secs:,.0f} seconds with CPython {platform.python_version()} and nautilus_trader "
        f"{version('nautilus_trader')} on {machine}."
    )
    lines = [head, "", "| what | value | target | met |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.name} | {row.value} | {row.target} | {_met(row.ok)} |" for row in report.rows]
    lines += ["", "| fault | times |", "| --- | ---: |"]
    lines += [f"| {name} | {times} |" for name, times in sorted(report.faults.items())]
    return "\n".join(lines)


def write(report: Report) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown(report)}\n{END}{after}", encoding="utf-8")
