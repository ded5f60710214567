"""Links lead somewhere, named files exist, generated parts are fresh, and what must be said is said."""

import importlib.util
import re

import pytest

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:venuekit|venues|tests|docs|examples|benchmarks|tools)/[\w./*-]+)`")


@pytest.fixture(scope="module")
def make_docs():
    from pathlib import Path

    path = Path(__file__).resolve().parents[2] / "tools" / "make_docs.py"
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(page):
    dead = []
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            dead.append(target)
    return dead


def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_named_files_exist(page, root):
    missing = [name for name in PATH.findall(page.read_text()) if not list(root.glob(name))]
    assert missing == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](other.md) [d](page.md#one)\n")
    assert dead_links(page) == ["#two", "other.md"]


def test_every_page_can_be_reached(pages, root):
    """From the README, by links."""
    seen, todo = set(), [root / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = [one.partition("#")[0] for one in LINK.findall(page.read_text()) if "://" not in one]
        todo += [(page.parent / target).resolve() for target in targets]
    assert set(pages) <= seen


def test_generated_parts_are_fresh(page, make_docs):
    text = page.read_text()
    assert make_docs.renewed(text) == text, "run python tools/make_docs.py"


def test_a_stale_part_is_renewed(make_docs):
    text = "<!-- generated: venues -->\nold\n<!-- end -->\nrest\n"
    assert "venuekit-paradex" in make_docs.renewed(text)
    assert make_docs.renewed(text).endswith("<!-- end -->\nrest\n")


def test_the_table_says_what_manifests_say(make_docs):
    rows = {line.split(" | ")[0].strip("| "): line for line in make_docs.part("venues").splitlines()}
    assert "data only" in rows["dYdX v4"]
    assert "data only" in rows["Lighter"]
    assert "LIMIT (GTC, IOC)" in rows["Paradex"]
    assert rows["Paradex"].endswith("| yes |")


def test_the_readme_shows_the_examples(root):
    text = (root / "README.md").read_text()
    for name in ("strategies/round_trip.py", "round_trip.toml"):
        assert (root / "examples" / name).read_text() in text


def test_the_readme_says_that_the_project_is_independent(root):
    text = " ".join((root / "README.md").read_text().split())
    assert "not affiliated with, endorsed or supported by Nautech Systems Pty Ltd" in text
    assert "Apache" in text


def test_the_readme_names_every_command(root):
    from venuekit.cli.main import COMMANDS

    text = (root / "README.md").read_text()
    named = {one.split()[0] for one in re.findall(r"^\| `venuekit ([a-z]+)", text, re.MULTILINE)}
    assert named == set(COMMANDS)


def test_decisions_are_numbered_and_listed(root):
    folder = root / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    listed = LINK.findall((folder / "README.md").read_text())
    assert listed == names
    for name in names:
        heads = re.findall(r"^## (.+)$", (folder / name).read_text(), re.MULTILINE)
        assert heads == ["Why", "What", "What follows"]


HEADINGS = {
    "What works": "generated: manifest:",
    "Symbology": "|",
    "Authentication and signing": "|",
    "Order types": "|",
    "Limits": "generated: limits:",
    "Reconnect": "|",
    "Reconciliation": "|",
    "Known limits": "- ",
    "Simulator differences": "### Where it differs from the venue",
    "Sources": "| source | version or date |",
}
"""The sections of every venue's page, in their order, and what each must hold."""


def test_a_venues_page_has_the_fixed_order(root):
    venues = sorted((root / "docs" / "venues").glob("*.md"))
    assert venues
    for page in venues:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert parts[1::2] == list(HEADINGS), page.name
        lacking = [name for name, must in HEADINGS.items() if must not in sections[name]]
        assert lacking == [], page.name
        sources = [line for line in sections["Sources"].splitlines() if line.startswith("| ")][2:]
        undated = [line for line in sources if not re.search(r"\d", line.split("|")[2])]
        assert len(sources) > 2
        assert undated == [], "a source without a version or a date"


def test_simulator_options_are_documented(root):
    from attrs import fields
    from venuekit_paradex.sim.settings import Settings

    text = (root / "docs" / "venues" / "paradex.md").read_text()
    table = text[text.index("| option | default |") : text.index("### The simple door")]
    shown = {}
    for line in table.splitlines()[2:]:
        if line.startswith("|"):
            names, defaults = (cell.strip() for cell in line.split("|")[1:3])
            found = re.findall(r"`([a-z_]+)`", names)
            values = [one.strip("` ") for one in defaults.split(",")]
            shown |= dict(zip(found, values * len(found) if len(values) == 1 else values, strict=False))
    assert shown == {one.name: _shown(one.default) for one in fields(Settings)}


def _shown(default):
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_config_fields_of_paradex_are_documented(root):
    from attrs import fields
    from venuekit_paradex.config import ParadexConfig

    text = (root / "docs" / "venues" / "paradex.md").read_text()
    table = text[text.index("| field | means |") : text.index("### Signers")]
    assert re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE) == [
        one.name for one in sorted(fields(ParadexConfig), key=lambda one: _place(table, one.name))
    ]


def _place(table, name):
    assert f"| `{name}` |" in table, name
    return table.index(f"| `{name}` |")
