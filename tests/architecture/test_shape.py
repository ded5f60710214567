"""Sizes, names, documentation, types: the style that keeps the code readable."""

from __future__ import annotations

import ast
import re
from statistics import quantiles

import tree

MAX_MODULE_LINES = 700
MAX_P90_FUNCTION_LINES = 35
MAX_TYPE_IGNORES = 10
MAX_VENUE_LINES = 3_200
"""Of code: blank lines, comments and docstrings are free. An own signer and two encodings, binary and text,
take about a third of it where a venue has them."""
COMMAND_SIDE = {"commands.py", "onboarding.py", "readings.py"}
"""What only the command line of a venue loads: accounts, keys, reading. A node that trades never does."""
MAX_COMMAND_LINES = 700

ANY_ALLOWED = {
    "venuekit/runtime/tasks.py",  # the two parameters of Coroutine that nobody uses
}
"""Where values enter from formats and libraries without types of their own; a new entry needs its reason."""


def test_modules_are_short():
    long = {tree.name_of(path): count for path in tree.product() if (count := lines(path)) > MAX_MODULE_LINES}
    assert tree.none(long)


def lines(path) -> int:
    return len(path.read_text().splitlines())


def test_functions_are_short():
    sizes = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in tree.product()
        for node in tree.functions(path)
    ]
    assert quantiles(sizes, n=10)[-1] <= MAX_P90_FUNCTION_LINES


def test_a_venue_stays_within_its_budget():
    for venue in tree.VENUES:
        client = [path for path in venue.rglob("*.py") if not path.is_relative_to(venue / "sim")]
        commands = [path for path in client if path.name in COMMAND_SIDE]
        assert sum(map(tree.code_lines, commands)) <= MAX_COMMAND_LINES, venue.name
        trading = [path for path in client if path not in commands]
        assert sum(map(tree.code_lines, trading)) <= MAX_VENUE_LINES, venue.name


def test_no_name_hides_what_a_thing_is():
    banned = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)")
    files = [tree.name_of(path) for path in tree.product() if banned.search(path.stem)]
    folders = [tree.name_of(path) for path in tree.product() if banned.search(path.parent.name)]
    classes = [
        f"{tree.name_of(path)}: {node.name}"
        for path in tree.product()
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.ClassDef)
        and re.search(r"(Utils?|Helpers?|Common|Manager|Impl|Base)$|^I[A-Z][a-z]", node.name)
    ]
    assert tree.none(files + folders + classes)


def test_no_module_of_the_framework_knows_a_venue():
    """Neither by its name nor by that of its chain: what one venue needs is a fact of its manifest."""
    words = re.compile("|".join([*tree.VENUE_NAMES, "starknet", "paraclear", "cosmos"]), re.IGNORECASE)
    found = [
        f"{tree.name_of(path)}:{number} {line.strip()}"
        for path in tree.FRAMEWORK.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert tree.none(found)


def public(node: ast.AST) -> bool:
    return not getattr(node, "name", "_").startswith("_")


def test_public_names_are_documented():
    missing = []
    for path in tree.product():
        module = tree.parsed(path)
        if not ast.get_docstring(module):
            missing.append(tree.name_of(path))
        for scope in [
            module,
            *(node for node in module.body if isinstance(node, ast.ClassDef) and public(node)),
        ]:
            for node in scope.body:
                is_kind = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                if is_kind and public(node) and not ast.get_docstring(node) and not is_overload(node):
                    missing.append(f"{tree.name_of(path)}:{node.lineno} {node.name}")
    assert tree.none(missing)


def is_overload(node: ast.AST) -> bool:
    marks = [ast.unparse(mark) for mark in getattr(node, "decorator_list", ())]
    return any(mark == "overload" or mark.endswith(".setter") for mark in marks)


def test_functions_say_what_they_return():
    silent = [
        f"{tree.name_of(path)}:{node.lineno} {node.name}"
        for path in tree.product()
        for node in tree.functions(path)
        if node.returns is None
    ]
    assert tree.none(silent)


def test_type_ignores_are_few_and_give_code_and_reason():
    ignores = [
        (f"{tree.name_of(path)}:{number}", line)
        for path in tree.product()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore", line)
    ]
    assert len(ignores) <= MAX_TYPE_IGNORES, [place for place, _ in ignores]
    shape = re.compile(r"# type: ignore\[[a-z-]+(, ?[a-z-]+)*\]\s+# .{8,}")
    assert tree.none([place for place, line in ignores if not shape.search(line)])


def test_any_stands_at_wire_borders_only():
    users = {
        tree.name_of(path)
        for path in tree.product()
        for node in ast.walk(tree.parsed(path))
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "typing.Any")
    }
    assert users <= ANY_ALLOWED


def test_records_are_attrs():
    for path in tree.product():
        for line, name in tree.imports(path):
            top = name.partition(".")[0]
            assert top not in ("dataclasses", "pydantic"), f"{tree.name_of(path)}:{line}"


def test_no_float_touches_a_number_of_the_wire():
    """Decimal(float) and Price(float) invent digits; reading texts and integers does not."""
    bad = re.compile(r"\bDecimal\(float|\b(Price|Quantity|Money)\(float|\.as_double\(\)")
    found = [
        f"{tree.name_of(path)}:{number}"
        for path in tree.product()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bad.search(line)
    ]
    assert tree.none(found)


def test_a_catch_all_has_a_comment():
    """Catching everything is allowed where foreign code runs, and says there why."""
    silent = []
    for path in tree.product():
        text = path.read_text().splitlines()
        for node in ast.walk(tree.parsed(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if not re.search(r"\b(Base)?Exception\b", caught) or reraises(node):
                continue
            around = text[node.lineno - 2 : node.body[-1].end_lineno]
            comments = [line for line in around if re.search(r"#(?! noqa(: [A-Z0-9, ]+)?$)", line)]
            if not comments:
                silent.append(f"{tree.name_of(path)}:{node.lineno}")
    assert tree.none(silent)


def reraises(node: ast.ExceptHandler) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
