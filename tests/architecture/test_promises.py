"""Promises of the whole repository: light plugins, manifest fields with readers, clean files."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter

import attrs
import pytest
import tree

from venuekit.host.plugins import discover
from venuekit.interfaces import manifest as manifest_module
from venuekit.interfaces.hooks import Kind

LIGHT = {"venuekit", "attr", "attrs", "pluggy"}


@pytest.mark.parametrize("venue", tree.VENUE_NAMES)
def test_a_venues_descriptors_and_manifest_import_nothing_heavy(venue):
    registry = discover()
    descriptor = registry.venue(venue)
    modules = {f"venuekit_{venue}.plugin"}
    modules |= {reference.partition(":")[0] for reference in (descriptor.manifest, descriptor.config_class)}
    code = (
        "import sys, json\n"
        "before = set(sys.modules)\n"
        f"import {', '.join(sorted(modules))}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    foreign = set(json.loads(done.stdout)) - LIGHT - {f"venuekit_{venue}"} - sys.stdlib_module_names
    assert foreign == set()


def test_every_descriptor_leads_somewhere():
    """A reference that does not resolve would be found by a user, on the day it is chosen."""
    registry = discover()
    assert registry.problems == ()
    for kind in Kind:
        for key in registry.keys(kind):
            assert registry.load(kind, key) is not None, key


def manifest_fields() -> list[str]:
    found = []
    for name, record in vars(manifest_module).items():
        if isinstance(record, type) and attrs.has(record) and record.__module__ == manifest_module.__name__:
            found += [f"{name}.{field.name}" for field in attrs.fields(record)]
    return found


def attribute_reads() -> set[str]:
    """Names that the framework reads as an attribute, outside the module that declares them."""
    reads = set()
    for path in tree.FRAMEWORK.rglob("*.py"):
        if path.name == "manifest.py" and path.parent.name == "interfaces":
            continue
        for node in ast.walk(tree.parsed(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                reads.add(node.attr)
    return reads


def test_every_manifest_field_has_a_reader():
    fields = manifest_fields()
    assert len(fields) > 40
    reads = attribute_reads()
    assert tree.none([field for field in fields if field.rpartition(".")[2] not in reads])


def texts():
    for path in tree.tracked():
        if path.name == "LICENSE":
            continue
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


# Written in pieces, so that this file does not hold what it looks for.
REGISTRIES = "|".join(
    ["pypi" + r"\.org", "pythonhosted" + r"\.org", "test\\.pypi", r"--(extra-)?index-" + "url"]
)
MACHINE = "|".join(
    ["/wo" + "rk/", "/ro" + "ot/", r"(?<![\w.])/t" + r"mp/\w", "/ho" + r"me/\w", "/Use" + r"rs/\w"]
)


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINE], ids=["registry", "machine"])
def test_no_file_names_a_package_source_or_a_machine(pattern):
    found = [
        f"{tree.name_of(path)}:{number} {line.strip()[:80]}"
        for path, text in texts()
        if re.search(pattern, text)
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert tree.none(found)


def test_no_file_holds_a_real_looking_secret():
    pattern = re.compile("-----BEGIN [A-Z ]*PRIVATE " + r"KEY-----|\bgh[pousr]_\w{30,}|\bAKIA[0-9A-Z]{16}\b")
    assert tree.none([tree.name_of(path) for path, text in texts() if pattern.search(text)])


def test_pins_are_exact_and_hold_no_address():
    pin = re.compile(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.+]*")
    rows = (tree.ROOT / "constraints.txt").read_text().splitlines()
    assert tree.none([row for row in rows if not pin.fullmatch(row)])
    names = Counter(row.partition("==")[0].lower().replace("_", "-") for row in rows)
    assert tree.none(name for name, count in names.items() if count > 1)
    assert {"nautilus-trader", "websockets", "setuptools", "pytest"} <= set(names)
    assert "nautilus-trader==2.0.0rc7" in rows


def test_test_modules_have_names_of_their_own():
    """Plain imports between test files, and readable reports, need names that occur once."""
    names = Counter(path.name for path in tree.tracked() if re.fullmatch(r"test_\w+\.py", path.name))
    assert tree.none(name for name, count in names.items() if count > 1)
