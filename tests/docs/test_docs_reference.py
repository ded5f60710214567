"""The generated reference: fresh, complete, and every counter of the code is on its page and the reverse."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from attrs import fields

from venuekit import errors
from venuekit.core.book import Held
from venuekit.core.mute import Remedy
from venuekit.core.subscriptions import Outcome
from venuekit.host import config
from venuekit.host.plugins import installed
from venuekit.interfaces.hooks import Kind
from venuekit.runtime.counter_names import COUNTERS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
NAMED_BY_ENUM = {
    "held.value": Held,
    "Held.BROKEN.value": Held,
    "outcome.value": Outcome,
    "remedy.value": Remedy,
}
"""Expressions in the code that are counter names by the promise of an enumeration."""
PASSED_ON = {"name", "live"}
"""Parameters: the name is written where such a method is called, and read there."""


@pytest.fixture(scope="module")
def make_reference():
    path = ROOT / "tools" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_fresh(make_reference):
    for name, text in make_reference.pages().items():
        assert (REFERENCE / name).read_text() == text, "run python tools/make_reference.py"


def counted(source: str) -> set[str]:
    """Every counter name that a module writes; what is only known when it runs stands as `<>`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if not is_call or node.func.attr not in ("inc", "count", "_count") or not node.args:
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name.value):  # str.count is a method too
                found.add(name.value)
        elif isinstance(name, ast.JoinedStr):
            parts = [one.value if isinstance(one, ast.Constant) else "<>" for one in name.values]
            found.add("".join(parts))
        elif (enumeration := NAMED_BY_ENUM.get(ast.unparse(name))) is not None:
            found |= {member.value for member in enumeration}
        elif node.func.attr != "count":
            assert ast.unparse(name) in PASSED_ON, f"what does {ast.unparse(node)} count?"
    return found


def in_code() -> set[str]:
    folders = [ROOT / "venuekit", *ROOT.glob("venues/*/venuekit_*")]
    paths = [path for folder in folders for path in folder.rglob("*.py") if "sim" not in path.parts]
    return set().union(*(counted(path.read_text()) for path in paths))


def on_page() -> set[str]:
    rows = re.findall(r"^\| `([^`]+)` \|", (REFERENCE / "counters.md").read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows)) == len(COUNTERS)
    return {re.sub(r"<\w+>", "<>", row) for row in rows}


def test_every_counter_of_the_code_is_on_the_page():
    missing = in_code() - on_page()
    # A name with a fixed kind belongs to the row of its family.
    families = [re.compile(re.escape(row).replace("<>", r"[\w.]+")) for row in on_page() if "<>" in row]
    assert sorted(name for name in missing if not any(one.fullmatch(name) for one in families)) == []


def test_every_counter_of_the_page_is_in_the_code():
    assert sorted(on_page() - in_code()) == []


def test_the_reader_of_counters_reads():
    source = (
        "self.counters.inc('a.b')\nself._count('c.d', x)\ninc(f'no.call')\n"
        "x.inc(f'q.{y.kind}.z')\ntext.count('.')\nx.inc(held.value)\n"
    )
    assert counted(source) == {"a.b", "c.d", "q.<>.z", *(one.value for one in Held)}
    with pytest.raises(AssertionError, match="what does"):
        counted("x.inc(mystery)")


@pytest.mark.parametrize("key", installed().keys(Kind.VENUE))
def test_every_field_of_every_section_has_a_row(key):
    text = (REFERENCE / "config.md").read_text()
    sections = [
        one for one in vars(config).values() if isinstance(one, type) and one.__name__.endswith("Section")
    ]
    assert len(sections) == 7
    for section in [*sections, installed().config_class(key)]:
        for one in fields(section):
            assert f"\n| `{one.name}` | " in text, f"{section.__name__}.{one.name}"


def test_every_error_class_and_every_code_has_a_row():
    text = (REFERENCE / "errors.md").read_text()
    classes = [
        one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__
    ]
    for one in classes:
        assert f"\n| `{one.__name__}` | " in text
        assert one.to_do or one is errors.VenuekitError, one.__name__
    rules = [rule for key in installed().keys(Kind.VENUE) for rule in installed().manifest(key).errors]
    assert len(rules) > 100
    for rule in rules:
        (row,) = re.findall(rf"^\| {rule.domain} \| `{re.escape(rule.code)}` \| .*$", text, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == rule.says.value
        assert cells[3], row
        assert not rule.advice or rule.advice in row


def test_a_stale_page_is_told(make_reference, tmp_path, monkeypatch, capsys):
    for name, text in make_reference.pages().items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(make_reference, "FOLDER", tmp_path)
    monkeypatch.setattr(make_reference, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["make_reference.py", "--check"])
    assert make_reference.main() == 0
    (tmp_path / "errors.md").write_text("old")
    assert make_reference.main() == 1
    assert capsys.readouterr().out == "errors.md is stale\n"
    assert (tmp_path / "errors.md").read_text() == "old"
