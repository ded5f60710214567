"""Everything else that Paradex says, as typed rows: what `venuekit paradex read` shows and no node needs.

The rows are declared in `readings.toml`. Numbers stay exact: as the text or whole number of the wire, or as a
Decimal where the wire has a number with decimals.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from operator import or_
from pathlib import Path
from types import GenericAlias
from typing import Final

import msgspec
from attrs import frozen
from msgspec import UNSET, Raw, Struct, UnsetType

from venuekit.errors import BadValue
from venuekit_paradex.wire.replies import parse_rows, row_as

_TABLES: Final[Mapping[str, Mapping[str, str]]] = tomllib.loads(
    Path(__file__).with_name("readings.toml").read_text(encoding="utf-8")
)
ANSWERS: Final = _TABLES["answers"]
"""Method and path -> what the answer is; `[Row]` is a list in `results`."""
CHANNELS: Final = _TABLES["channels"]
"""Channel or method of the stream -> what its data or result is."""

_exact: Final = msgspec.json.Decoder(float_hook=Decimal)


@frozen
class Reading:
    """The rows of one answer; `next` is the cursor of the following page."""

    rows: tuple[Struct, ...]
    next: str | None = None


@cache
def row_type(name: str) -> type[Struct]:
    """The struct of a row; a field that the wire does not have is UNSET."""
    fields: list[tuple[str, object, object]] = []
    for field in _TABLES["rows"][name].split():
        key, _, code = field.partition(":")
        # A raw value fits in no union: its absence is the empty one.
        fields.append((key, Raw, Raw()) if code == "raw" else (key, or_(_wire(code), UnsetType), UNSET))
    return msgspec.defstruct(name, fields, kw_only=True)


def _wire(code: str) -> object:
    """The type of a field's code; every field may be null."""
    if code.startswith("["):
        return or_(GenericAlias(list, (_wire(code[1:-1]),)), None)
    if code.startswith("{"):
        return or_(GenericAlias(dict, (str, _wire(code[1:-1]))), None)
    plain: dict[str, object] = {"": str | int, "f": Decimal, "b": bool}
    return or_(plain[code] if code in plain else row_type(code), None)


def template_of(method: str, path: str) -> str:
    """The documented operation of a path such as `/orders/123`; raises BadValue."""
    fitting = [
        name
        for name in ANSWERS
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", name.replace(".", r"\.")), f"{method} {path}")
    ]
    if not fitting:
        raise BadValue(f"{method} {path[:80]} is no documented answer of Paradex that is read here")
    return min(fitting, key=lambda name: name.count("{"))


def parse_answer(method: str, path: str, body: bytes) -> Reading:
    """The rows of an answer; raises BadValue for an unknown operation, DecodeError for unreadable bytes."""
    kind = ANSWERS[template_of(method, path)]
    if kind[0] != "[":
        return Reading((_decoded(body, kind),))
    page = parse_rows(body)
    return Reading(tuple(_decoded(bytes(raw), kind[1:-1]) for raw in page.results), page.next or None)


def parse_data(channel: str, data: bytes) -> Struct:
    """The row in the data of a channel, or in the result of a method; raises BadValue or DecodeError."""
    kind = CHANNELS.get(channel) or CHANNELS.get(channel.partition(".")[0])
    if kind is None:
        raise BadValue(f"{channel[:60]!r} is no documented channel of Paradex that is read here")
    return _decoded(data, kind)


def _decoded(body: bytes, kind: str) -> Struct:
    return row_as(body, row_type(kind))


def shown(value: object) -> object:
    """A row as plain values: what the wire did not have is left out, nothing is rounded."""
    if isinstance(value, Struct):
        pairs = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: shown(one) for name, one in pairs if one is not UNSET and one != Raw()}
    if isinstance(value, Raw):
        return _exact.decode(value)
    if isinstance(value, list):
        return [shown(one) for one in value]
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items()}
    return value
