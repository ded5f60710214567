"""The list of optional properties is honest: each is documented, its source exists and shows it missing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
OPTIONAL = tomllib.loads((HERE / "optional.toml").read_text())
OPENAPI = json.loads((DATA / "specs/openapi-prod.json").read_text())
ASYNCAPI = json.loads((DATA / "specs/asyncapi-2.6.0.json").read_text())
ENTRIES = [(schema, name, source) for schema, names in OPTIONAL.items() for name, source in names.items()]


def documented(schema: str) -> set[str]:
    """Properties of a schema of either document, or of an inner object, `method.property`."""
    method, _, inner = schema.rpartition(".")
    if f"Responses{method}" in ASYNCAPI["components"]["schemas"]:
        return set(ASYNCAPI["components"]["schemas"][f"Responses{method}"]["properties"][inner]["properties"])
    if method:
        payload = ASYNCAPI["channels"][f"/{method}"]["subscribe"]["message"]["payload"]
        return set(payload["properties"][inner]["items"]["properties"])
    found: set[str] = set()
    for document, prefix in ((OPENAPI, "responses."), (ASYNCAPI, "Responses")):
        found |= set(document["components"]["schemas"].get(prefix + schema, {}).get("properties", {}))
    return found


def objects(value: object):
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(one)


@pytest.mark.parametrize(("schema", "name", "source"), ENTRIES)
def test_an_optional_property_is_documented_and_has_a_source(schema, name, source):
    assert name in documented(schema) or (name == "*" and documented(schema))
    assert len(source) > 20


@pytest.mark.parametrize(("schema", "name", "source"), ENTRIES)
def test_a_recorded_source_shows_the_property_missing(schema, name, source):
    for path in re.findall(r"recorded_(?:rest|ws)/\w+\.json", source.partition("has it")[0]):
        if "has it" in source and path not in source.partition(" lack")[0]:
            continue
        rows = [one for one in objects(json.loads((DATA / path).read_text())) if len(one) > 1]
        # The rows of this schema: those that share at least two of its documented properties.
        alike = [row for row in rows if len(documented(schema) & set(row)) >= 2]
        assert any(name not in row for row in alike), path
