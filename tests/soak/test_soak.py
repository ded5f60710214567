"""A short soak with everything that the long one has; and its judge, which must be able to say no."""

import json
import os
import re
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import table
from faults import KINDS, draws
from parts import NAMES, parts_in, parts_of
from slope import Line, line
from trader import Pace
from verdict import Report, Row, judged

from venuekit.sim.fault_text import parse_fault
from venuekit.sim.faults import PRODUCED

RUN = Path(__file__).with_name("run.py")
HELD = {
    "rss": 150 << 20,
    "heap": 20 << 20,
    "blocks": 400_000,
    "fds": 27,
    "threads": 7,
    "tasks": 6,
    "journal": 1 << 20,
}
DONE = {"orders": 10, "fills": 5, "cancels": 2, "rejected": 0, "denied": 0}


@pytest.mark.timeout(150)
def test_twenty_seconds_with_a_fault_every_three(tmp_path):
    numbers = (
        "--secs 20 --cycle-secs 8 --fault-secs 3 --every-ms 100 --compare-ms 3000 --line-secs 5 --calm-secs 3"
    )
    done = subprocess.run(
        [sys.executable, RUN, *numbers.split(), "--folder", tmp_path, "--json"],
        capture_output=True,
        text=True,
        timeout=140,
    )
    said = [json.loads(row) for row in done.stdout.splitlines()]
    assert said, done.stderr
    assert [one["event"] for one in said].count("progress") >= 4
    assert [one["event"] for one in said].count("fault") >= 5
    report = said[-1]
    assert report["event"] == "report"
    assert report["ok"], report
    assert report["wrong"] == []
    assert done.returncode == 0
    assert sum(report["faults"].values()) >= 5


def test_every_fault_of_the_simulator_comes_and_is_one_that_it_takes():
    plan = draws(seed=1, most_ms=18_000)
    drawn = [next(plan) for _ in range(len(KINDS))]
    assert {name for name, _, _ in drawn} == set(KINDS)
    taken = set()
    for seed in range(50):
        for name, make in KINDS.items():
            verb, arguments = make(Random(seed), 18_000)
            rows = arguments.get("plan", [arguments]) if verb == "fault" else []
            taken |= {parse_fault(row).kind for row in rows}
            assert rows or name == "connections dropped"
    assert taken == set(PRODUCED)


def samples(secs, **growth):
    """One a second; `growth` a second is added to what is held."""
    rows = []
    for at in range(secs):
        noise = Random(at).uniform(-1, 1) * 2**20
        grown = {name: value + growth.get(name, 0) * at for name, value in HELD.items()}
        rows.append((float(at), {**grown, "rss": grown["rss"] + noise, **DONE}))
    return rows


def verdict(rows, *, counters=None, wrong=(), code=0):
    secs = rows[-1][0] + 1
    return judged(rows, secs / 3, secs, Counter(a=3), counters or {}, list(wrong), 1.0, code, Namespace())


def failed(report):
    return [row.name for row in report.rows if row.ok is False]


def test_a_steady_hour_passes():
    report = verdict(samples(3600))
    assert report.ok, failed(report)
    assert "MiB/h" in report.rows[0].value


@pytest.mark.parametrize(
    ("name", "an_hour"), [("rss", 2.2 * 2**20), ("heap", 2.2 * 2**20), ("blocks", 32_000)]
)
def test_two_mib_an_hour_are_too_many(name, an_hour):
    (found,) = failed(verdict(samples(3600, **{name: an_hour / 3600})))
    assert "growth" in found


@pytest.mark.parametrize(
    ("name", "words"), [("fds", "descriptors"), ("threads", "threads"), ("tasks", "tasks")]
)
def test_one_more_every_minute_is_found(name, words):
    (found,) = failed(verdict(samples(1200, **{name: 1 / 60})))
    assert words in found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"counters": {"alarms.late_fill": 1}}, "other alarms"),
        ({"counters": {"tasks.crashed": 1}}, "tasks that crashed"),
        ({"wrong": ["lost fill 7"]}, "engine and ledger"),
        ({"code": 3}, "exit code of the node"),
    ],
)
def test_whatever_went_wrong_fails_it(said, found):
    assert failed(verdict(samples(60), **said)) == [found]


def test_a_line_is_found_in_noise():
    points = [(float(at), 5.0 + 3.0 * at / 3600 + Random(at).gauss(0, 0.3)) for at in range(3600)]
    found = line(points)
    assert found.an_hour == pytest.approx(3.0, abs=0.1)
    assert 0 < found.within < 0.2
    assert not found.at_most(2.0)


def test_what_goes_up_and_down_with_the_cycle_does_not_grow():
    saw = [(float(at), at % 300 / 30 + Random(at).gauss(0, 0.3)) for at in range(2450)]
    found = line(saw, 300)
    assert abs(found.an_hour) < 0.3
    assert found.within < 0.3
    assert line([(at, value + 5.0 * at / 3600) for at, value in saw], 300).an_hour == pytest.approx(
        5, abs=0.3
    )


def test_a_growth_that_is_not_known_well_is_not_shown():
    assert Line(0.9, 2.9).shows_at_most(1.0)
    assert not Line(1.1, 0.1).shows_at_most(1.0)
    assert not Line(0.0, 3.1).shows_at_most(1.0)


def test_the_table_goes_into_the_page_and_leaves_the_rest(tmp_path, monkeypatch):
    page = tmp_path / "soak.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "PAGE", page)
    table.write(Report(3600.0, [Row("a figure", "7", "at most 8", True)], {"F05 reset": 2}, []))
    text = page.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\n3,600 seconds with CPython ")
    assert "| a figure | 7 | at most 8 | yes |" in text
    assert "| F05 reset | 2 |" in text
    assert text.endswith(f"{table.END}\nafter\n")
    assert "old" not in text


def test_the_bare_node_ends_every_order_of_a_soak():
    command = [sys.executable, RUN.with_name("bare.py"), "--orders", "400", "--words", "soak state"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"-?[\d,]+ \(within [\d,]+\)\n", done.stdout)


SMAPS = """\
2671bc00000-2675bc00000 rw-p 00000000 00:00 0
Rss:                7384 kB
AnonHugePages:      4096 kB
5566104d4000-55661112d000 rw-p 00000000 00:00 0                          [heap]
Rss:                 100 kB
7fd448717000-7fd451bbe000 r-xp 00000000 fe:00 4711                       /usr/lib/a library.so
Rss:                  30 kB
7fd4440d3000-7fd4447d3000 rw-p 00000000 00:00 0
Rss:                   8 kB
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
Rss:                   4 kB
"""
"""In the form of proc(5); the numbers are made up."""


def test_memory_is_told_apart_by_its_mappings():
    kib = {name: held // 1024 for name, held in parts_in(SMAPS).items()}
    assert kib == {"native": 7384, "c_heap": 100, "files": 30, "pieces": 12}


def test_the_parts_are_all_of_the_memory():
    parts = parts_of(os.getpid())
    assert set(parts) == set(NAMES)
    total = int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    assert sum(parts.values()) == pytest.approx(total, rel=0.1)


def test_the_growth_of_each_part_is_told():
    rows = [(at, {**one, **dict.fromkeys(NAMES, 30 << 20), "orders": int(at)}) for at, one in samples(3600)]
    told = {row.name: row.value for row in verdict(rows).rows}
    *parts, code = NAMES.values()
    assert list(told)[1:6] == [
        *(f"of it {words}" for words in parts),
        "of it order ids that Nautilus never frees, by calculation",
        f"{code}, growth",
    ]
    assert told["of it order ids that Nautilus never frees, by calculation"].startswith("+0.41 MiB/h")


def test_code_that_is_read_in_late_is_no_growth():
    """Its pages are the file's, and go back to the system when it needs room."""
    rows = samples(3600, rss=2.2 * 2**20 / 3600)
    none = dict.fromkeys(NAMES, 0)
    late = [(at, {**one, **none, "files": int(2.2 * 2**20 * at / 3600)}) for at, one in rows]
    assert failed(verdict(rows)) == ["resident memory without code, growth"]
    assert failed(verdict(late)) == []


def test_the_rounds_of_the_rush_are_four_times_as_many():
    pace = Pace(1000, 10.0)
    secs = [tick * pace.tick_ns() / 1e9 for tick in range(1, 81) if pace.due(tick)]
    assert [at for at in secs if at < 10] == [n / 4 for n in range(1, 40)]
    assert [at for at in secs if at >= 10] == [float(n) for n in range(10, 21)]
