"""The page on unknown outcomes: its tests and alarms exist, and its diagram is drawn from the table."""

import ast
import re

import pytest

from venuekit.core.fate import CANCEL, MODIFY, SUBMIT


@pytest.fixture
def text(root):
    return (root / "docs" / "explanation" / "unknown-outcomes.md").read_text()


def test_every_promise_names_a_test_that_exists(text, root):
    promises = text[text.index("| promise | proven by |") :].splitlines()[2:]
    rows = [line for line in promises[: promises.index("")] if line]
    named = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row) for row in rows]
    assert len(rows) > 10
    assert all(named), "a promise without a test"
    for path, name in (one for tests in named for one in tests):
        tree = ast.parse((root / path).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in defined, f"{path} has no {name}"


def test_every_alarm_and_counter_of_the_page_is_in_the_code(text, root):
    from venuekit.runtime.counter_names import COUNTERS

    code = "".join(path.read_text() for path in (root / "venuekit" / "core").glob("*.py"))
    said = text[text.index("## What a person can do") : text.index("## What we promise")]
    alarms = re.findall(r"`([a-z]+_[a-z_]+)`", said)
    assert len(alarms) == 5
    assert [name for name in alarms if f'Alarm("{name}"' not in code] == []
    counters = re.findall(r"`([a-z]+\.[a-z_]+)`", said)
    assert len(counters) == 5
    assert [name for name in counters if name not in COUNTERS] == []


@pytest.mark.parametrize("table", [SUBMIT, CANCEL, MODIFY], ids=["submit", "cancel", "modify"])
def test_the_page_shows_every_row_of_every_table(table, text):
    heads = " | ".join(f"`{fate.name}`" for fate in table.fates)
    part = text[text.index(f"| evidence | {heads} |\n") :]
    rows = part[: part.index("<!-- end -->")].strip().splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [heard.value for heard in table.steps]


def test_the_diagram_has_every_change_of_fate(text):
    diagram = text[text.index("stateDiagram-v2") : text.index("An empty cell")]
    drawn = {(one, to) for one, to in re.findall(r"^    ([A-Z]+) --> ([A-Z]+) :", diagram, re.MULTILINE)}
    moves = {
        (fate.name, step.to.name)
        for steps in SUBMIT.steps.values()
        for fate, step in steps.items()
        if step.to not in (None, fate)
    }
    assert moves <= drawn
