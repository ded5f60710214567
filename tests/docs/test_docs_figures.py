"""The bench runner: one table, honest about what failed, and a page that explains every benchmark."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
ROW = {
    "name": "a thing, against another",
    "ours": 0.25,
    "reference": 0.5,
    "ratio": 2,
    "unit": "ms",
    "target": "at most 1 ms",
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The runner over a folder of its own."""
    spec = importlib.util.spec_from_file_location("bench_runner", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    runner = tmp_path / "run.py"
    runner.write_text((FOLDER / "run.py").read_text())
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "PAGE", page)
    return module


def bench(run, name, body):
    (run.HERE / f"bench_{name}.py").write_text(f"def rows():\n    {body}\n")


def call(run, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    return run.main()


@pytest.mark.parametrize(("ok", "code", "shown"), [(True, 0, "yes"), (None, 0, "-"), (False, 1, "NO")])
def test_a_row_decides_the_exit_code(run, monkeypatch, capsys, ok, code, shown):
    bench(run, "one", f"return [{ROW | {'ok': ok}!r}]")
    assert call(run, monkeypatch) == code
    words = capsys.readouterr().out.splitlines()[-1].split()
    assert " ".join(words) == f"a thing, against another 0.25 ms 0.5 ms 2 x at most 1 ms {shown}"


def test_a_benchmark_that_fails_is_a_row_and_keeps_the_page(run, monkeypatch, capsys):
    bench(run, "good", f"return [{ROW | {'ok': True}!r}]")
    bench(run, "bad", "raise RuntimeError('no such thing')")
    before = run.PAGE.read_text()
    assert call(run, monkeypatch, "--write") == 1
    out = capsys.readouterr().out
    assert "did not finish: RuntimeError: no such thing" in out
    assert "a thing" in out
    assert run.PAGE.read_text() == before


def test_a_benchmark_that_hangs_is_ended(run, monkeypatch):
    bench(run, "slow", "import time; time.sleep(60)")
    monkeypatch.setattr(run, "LIMIT_SECS", 0.5)
    (row,) = run.run_one("bench_slow")
    assert row["ok"] is False
    assert "not done within" in row["target"]


def test_the_page_gets_the_table_and_keeps_the_rest(run, monkeypatch):
    bench(run, "one", f"return [{ROW | {'ok': True}!r}]")
    assert call(run, monkeypatch, "--write") == 0
    text = run.PAGE.read_text()
    assert text.startswith("before\n<!-- bench: begin -->\nMeasured with CPython ")
    assert "| a thing, against another | 0.25 ms | 0.5 ms | 2 x | at most 1 ms | yes |" in text
    assert text.endswith("<!-- bench: end -->\nafter\n")
    assert "old" not in text


def test_a_ratio_that_does_not_say_to_what_is_no_row(run):
    bench(run, "one", f"return [{ROW | {'name': 'a thing', 'ok': True}!r}]")
    (row,) = run.run_one("bench_one")
    assert (row["ok"], "not said what it is compared with: ['a thing']" in row["target"]) == (False, True)


def test_every_benchmark_is_explained(root):
    text = (root / "docs" / "reference" / "performance.md").read_text()
    names = [path.stem for path in FOLDER.glob("bench_*.py")]
    assert len(names) >= 5
    assert [name for name in names if f"| `{name}` |" not in text] == []
    assert "did not finish" not in text


def test_the_soak_table_is_of_a_run_that_ended_well(root):
    text = (root / "docs" / "reference" / "soak.md").read_text()
    table = text[text.index("<!-- soak: begin -->") : text.index("<!-- soak: end -->")]
    secs, _, rest = table.splitlines()[1].partition(" seconds with CPython ")
    assert int(secs.replace(",", "")) >= 1_200
    assert "nautilus_trader 2.0.0rc7" in rest
    rows = {
        cells[1].strip(): cells[2:5]
        for cells in (line.split("|") for line in table.splitlines())
        if cells[2:]
    }
    assert [one.strip() for one in rows["engine and ledger"]] == ["agree", "agree", "yes"]
    for name in ("resident memory without code, growth", "the C heap, growth"):
        assert "MiB/h (95 %: within " in rows[name][0]
    for name in ("open descriptors", "threads", "asyncio tasks", "tasks that crashed", "other alarms"):
        assert rows[name][2].strip() == "yes", name
    faults = [name for name in rows if name.startswith("F")]
    assert len(faults) >= 10


def test_the_runner_prints_json(root):
    done = subprocess.run(
        [sys.executable, FOLDER / "run.py", "startup", "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=55,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(row) >= {"name", "ours", "target", "ok"} for row in rows] == [True, True]
