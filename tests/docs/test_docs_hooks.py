"""The page of hooks against `venuekit.interfaces.hooks` and the registry."""

import re

import pytest
from attrs import fields

from venuekit.host import plugins
from venuekit.interfaces import hooks
from venuekit.interfaces.hooks import API_VERSION, Kind, Provided, Venue


@pytest.fixture(scope="module")
def text():
    from pathlib import Path

    return (Path(__file__).resolve().parents[2] / "docs" / "reference" / "hooks.md").read_text()


@pytest.fixture(scope="module")
def rows(text):
    """Hook -> (kind, key, what `load` points at)."""
    found = re.findall(r"^\| `(venuekit_\w+)` \| `(\w+)` \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    return {hook: (Kind[kind], key.replace("\\|", "|"), load) for hook, kind, key, load in found}


def declared():
    """Kind name -> (key, load) as the descriptor's docstring has them."""
    doc = " ".join(Provided.__doc__.split())
    keys = doc[doc.index("Keys:") + 5 : doc.index("What `load`")]
    loads = doc[doc.index("points at:") + 10 :]
    parts = {}
    for column, part in (("key", keys), ("load", loads)):
        for entry in part.strip(" .").split("; "):
            names, _, value = entry.partition(" `" if column == "key" else " ")
            if column == "key":
                for name in names.split(" and "):
                    parts.setdefault(name, {})["key"] = value.rstrip("`")
            else:
                parts[names]["load"] = value
    return parts


def bare(text):
    return text.removeprefix("a ").removeprefix("the ")


def test_every_hook_is_on_the_page(rows):
    specs = [name for name in vars(hooks) if name.startswith("venuekit_")]
    assert len(specs) == 7
    assert list(rows) == specs


def test_kinds_and_keys_are_those_of_the_code(rows):
    said = declared()
    assert {hook: kind for hook, (kind, _, _) in rows.items()} == plugins._HOOK_KINDS
    for kind, key, load in rows.values():
        assert key == said[kind.name]["key"], kind
        assert bare(load) == bare(said[kind.name]["load"])


def test_keys_of_installed_plugins_have_the_shape_of_the_page(rows):
    for kind, key, _ in rows.values():
        shape = re.sub(r"<[^>|]+>", "[a-z0-9_-]+", key)
        shape = re.sub(r"<([a-z|]+)>", r"(\1)", shape)
        for one in plugins.installed().keys(kind):
            assert re.fullmatch(shape, one), (kind, one)


def test_the_descriptor_is_described(text):
    assert f"`API_VERSION`, which is {API_VERSION}." in " ".join(text.split())
    assert "Provided({})".format(", ".join(one.name for one in fields(Provided))) in text
    own = {one.name for one in fields(Venue)} - {one.name for one in fields(Provided)}
    assert set(re.findall(r"^\| `([a-z_]+)` \| (?:`module|names)", text, re.MULTILINE)) == own
