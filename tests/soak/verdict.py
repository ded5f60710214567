"""What a soak showed, row by row."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, frozen
from parts import NAMES
from slope import Line, line

MOST_MIB_AN_HOUR = 1.0
CYCLE_SECS = 180.0
"""After that long the strategy has done everything once, and resident memory comes back to where it was."""
MOST_BLOCKS = 16_000
"""Of Python's small blocks, an hour: a mebibyte of them at 64 bytes."""
ID_BYTES = 120
"""What Nautilus keeps of every order for good, its two ids; measured by `bare.py`."""
LEAST_SECS = 1200
"""Growth is judged from that much time on; less says nothing."""
SPARE = {"fds": 12, "threads": 2, "tasks": 2}
"""What may be more at the end: idle connections that the HTTP port keeps, and one request."""

EXPECTED = ("cancel_ignored",)
"""Alarms that a fault explains: a cancel did not reach the venue for so long that a person should know."""

type Sample = tuple[float, Mapping[str, Any]]


@frozen
class Row:
    """One figure: what it was, what it may be, and whether it is; None: shown without a target."""

    name: str
    value: str
    target: str = ""
    ok: bool | None = None


@frozen
class Report:
    """The whole soak."""

    secs: float
    rows: Sequence[Row]
    faults: Mapping[str, int]
    wrong: Sequence[str]

    @property
    def ok(self) -> bool:
        """True when nothing grew and nothing differs."""
        return all(row.ok is not False for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "ok": self.ok}


def judged(
    samples: Sequence[Sample],
    warm: float,
    secs: float,
    faults: Counter[str],
    counters: Mapping[str, int],
    wrong: Sequence[str],
    took: float,
    code: int,
    args: argparse.Namespace,
) -> Report:
    """The rows of a soak; samples are (seconds since the start, what the node held)."""
    busy = [one for one in samples if warm <= one[0] <= secs]
    last = samples[-1][1]
    told = {name[7:]: n for name, n in counters.items() if name.startswith("alarms.")}
    alarms = {name: n for name, n in told.items() if name not in EXPECTED}
    crashed = counters.get("tasks.crashed", 0)
    ended = sum(n for name, n in counters.items() if name.startswith("session.ended."))
    rows = [
        *_growth(busy, secs - warm),
        *[_level(name, samples, warm, secs) for name in ("fds", "threads", "tasks")],
        Row("journal, all its files, at the end", f"{last['journal'] / 2**20:.2f} MiB"),
        Row("orders submitted", f"{last['orders']:,}", "more than none", last["orders"] > 0),
        Row("fills", f"{last['fills']:,}", "more than none", last["fills"] > 0),
        Row("cancels", f"{last['cancels']:,}"),
        Row("orders rejected by the venue", f"{last['rejected']:,}"),
        Row("orders denied while the account's state was unknown", f"{last['denied']:,}"),
        Row("faults", f"{faults.total():,}"),
        Row("connections that ended", f"{ended:,}"),
        Row("account recovered", f"{counters.get('recovery.done', 0):,}"),
        Row("alarms: a cancel could not reach the venue for long", f"{told.get('cancel_ignored', 0)}"),
        Row("other alarms", f"{sum(alarms.values())} {alarms or ''}".strip(), "none", not alarms),
        Row("tasks that crashed", str(crashed), "none", not crashed),
        Row("agreement after the last fault was lifted", f"{took:.1f} s" if not wrong else "never"),
        Row("engine and ledger", "agree" if not wrong else "DIFFER", "agree", not wrong),
        Row("exit code of the node", str(code), "0", code == 0),
    ]
    return Report(secs, rows, dict(faults), wrong)


def _growth(busy: Sequence[Sample], secs: float) -> list[Row]:
    if len(busy) < 10:
        return []
    long_enough = secs >= LEAST_SECS
    cycle = CYCLE_SECS if long_enough else None

    def judged_at(found: Line, most: float) -> tuple[str, bool | None]:
        return (f"at most {most:,g}", found.at_most(most)) if long_enough else ("", None)

    told = [(at, one) for at, one in busy if "native" in one]
    held = [(at, (one["rss"] - one.get("files", 0)) / 2**20) for at, one in (told or busy)]
    grown = line(held, cycle)
    target = (
        (f"at most {MOST_MIB_AN_HOUR:g}", grown.shows_at_most(MOST_MIB_AN_HOUR))
        if long_enough
        else ("", None)
    )
    rows = [Row("resident memory without code, growth", _an_hour(grown, "MiB/h"), *target)]
    parts = {
        words: _an_hour(line([(at, one[name] / 2**20) for at, one in told], cycle), "MiB/h")
        for name, words in (NAMES.items() if told else ())
    }
    code = parts.pop(NAMES["files"], None)
    rows += [Row(f"of it {words}", value) for words, value in parts.items()]
    orders = (busy[-1][1]["orders"] - busy[0][1]["orders"]) / (busy[-1][0] - busy[0][0]) * 3600
    ids = f"{orders * ID_BYTES / 2**20:+.2f} MiB/h ({ID_BYTES} bytes an order)"
    rows.append(Row("of it order ids that Nautilus never frees, by calculation", ids))
    if code is not None:
        rows.append(Row(f"{NAMES['files']}, growth", code))
    heap = line([(at, one["heap"] / 2**20) for at, one in busy])
    rows.append(Row("the C heap, growth", _an_hour(heap, "MiB/h"), *judged_at(heap, MOST_MIB_AN_HOUR)))
    blocks = line([(at, one["blocks"]) for at, one in busy])
    rows.append(
        Row("blocks held by Python, growth", _an_hour(blocks, "an hour", 0), *judged_at(blocks, MOST_BLOCKS))
    )
    resident = [one["rss"] / 2**20 for _, one in busy]
    rows.append(Row("resident memory, least and most", f"{min(resident):.1f} and {max(resident):.1f} MiB"))
    return rows


def _an_hour(found: Line, unit: str, places: int = 2) -> str:
    return f"{found.an_hour:+,.{places}f} {unit} (95 %: within {found.within:,.{places}f})"


def _level(name: str, samples: Sequence[Sample], warm: float, secs: float) -> Row:
    words = {"fds": "open descriptors", "threads": "threads", "tasks": "asyncio tasks"}[name]
    begin = max(one[name] for at, one in samples if at <= max(5.0, warm / 20))
    end = samples[-1][1][name]
    most = max(one[name] for _, one in samples)
    value = f"{begin} at the start, {end} at the end, {most} at most"
    return Row(words, value, f"at most {SPARE[name]} more at the end", end <= begin + SPARE[name])
