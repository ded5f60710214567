"""Tables into attrs classes, strictly: no coercion, no unknown key, errors with the field's path."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Literal, TypeGuard, get_args, get_origin

import cattrs
from attrs import fields, has
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from venuekit.errors import ConfigError, SecretError
from venuekit.host.secrets import parse_secret_ref
from venuekit.interfaces.signer import SecretRef


class _WrongError(Exception):
    """A value of the wrong kind; the text is fit for the user and holds no value."""


def structure[T](
    table: Mapping[str, object], into: type[T], path: str, *, also_known: Collection[str] = ()
) -> T:
    """An instance of `into`, or a `ConfigError` for the first wrong field (further ones are its notes)."""
    try:
        return _converter().structure(table, into)
    except (BaseValidationError, ForbiddenExtraKeysError, SecretError) as error:
        found = [
            ConfigError(message, path=where, hint=hint)
            for where, message, hint in _problems(error, path, into, also_known)
        ]
    first, *others = found
    for other in others:
        first.add_note(f"{other.message}{' - ' if other.hint else ''}{other.hint}")
    raise first


@lru_cache(maxsize=1)
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, lambda value, _: _strict(value, str, "a text"))
    converter.register_structure_hook(bool, lambda value, _: _strict(value, bool, "true or false"))
    converter.register_structure_hook(int, lambda value, _: _strict(value, int, "a whole number"))
    converter.register_structure_hook(float, _structure_float)
    converter.register_structure_hook(Decimal, _structure_decimal)
    converter.register_structure_hook(Path, lambda value, _: Path(_strict(value, str, "a path")))
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    converter.register_structure_hook(SecretRef, _structure_secret)
    converter.register_structure_hook_func(_is_enum, _structure_enum)
    converter.register_structure_hook_func(_is_literal, _structure_literal)
    _take_lists_only(converter)
    return converter


def _take_lists_only(converter: cattrs.Converter) -> None:
    """Anything iterable would do for the converter, and a text is iterable: here only a list is a list."""
    busy: set[object] = set()

    def wanted(kind: object) -> bool:
        return kind not in busy and _expected(kind) == "a list" and not isinstance(kind, UnionType)

    def make(kind: type) -> Callable[[object, object], object]:
        busy.add(kind)
        inner = converter.get_structure_hook(kind, cache_result=False)
        busy.discard(kind)

        def hook(value: object, into: object) -> object:
            return inner(_strict(value, list, "a list"), into)

        return hook

    converter.register_structure_hook_factory(wanted, make)


def _strict[T](value: object, kind: type[T], words: str) -> T:
    # True is an int in Python, and neither a number nor a text in a config.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _WrongError(f"must be {words}, not {_kind_of(value)}")
    return value


def _structure_float(value: object, _: type) -> float:
    if isinstance(value, Decimal):
        return float(value)
    return float(_strict(value, int, "a number"))


def _structure_decimal(value: object, _: type) -> Decimal:
    """From a number or a text, exactly as written."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)", value):
        return Decimal(value)
    number = value if isinstance(value, Decimal) else Decimal(_strict(value, int, "a number"))
    if not number.is_finite():
        raise _WrongError("must be a finite number")
    return number


def _structure_secret(value: object, _: type) -> SecretRef:
    return value if isinstance(value, SecretRef) else parse_secret_ref(_strict(value, str, "a reference"))


def _is_enum(kind: object) -> TypeGuard[type[Enum]]:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _is_literal(kind: object) -> bool:
    return get_origin(kind) is Literal


def _structure_enum(value: object, kind: type[Enum]) -> Enum:
    for member in kind:
        if type(member.value) is type(value) and member.value == value:
            return member
    raise _WrongError(f"must be one of: {', '.join(str(member.value) for member in kind)}")


def _structure_literal(value: object, kind: object) -> object:
    for choice in get_args(kind):
        if type(choice) is type(value) and choice == value:
            return choice
    raise _WrongError(f"must be one of: {', '.join(str(choice) for choice in get_args(kind))}")


def _problems(
    error: BaseException, path: str, into: object, also_known: Collection[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Every (path, message, hint) below an error of the converter."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            note = next((note for note in getattr(inner, "__notes__", ()) if _is_place(note)), None)
            yield from _problems(inner, _below(path, note), note.type if note else error.cl, also_known)
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            known = {*(attribute.name for attribute in fields(error.cl)), *also_known}
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}."
            yield f"{path}.{name}".lstrip("."), "is not a known field", hint
    elif isinstance(error, SecretError):
        yield path, error.message, error.hint
    elif isinstance(error, KeyError):
        yield path, "is missing", "add it."
    elif isinstance(error, _WrongError):
        yield path, str(error), ""
    elif isinstance(error, ValueError):
        # A validator of the venue's own class: its first argument is its message, the rest would be values.
        text = str(error.args[0]) if error.args else "is not allowed"
        yield path, re.sub(r" \(got .*", "", text, flags=re.DOTALL), ""
    else:
        yield path, f"must be {_expected(into)}", ""


def _expected(kind: object) -> str:
    """The words for what a container type wants, where the converter only says that it got something else."""
    for candidate in (kind, *(get_args(kind) if isinstance(kind, UnionType) else ())):
        origin = get_origin(candidate) or candidate
        if isinstance(origin, type) and (has(origin) or issubclass(origin, Mapping)):
            return "a table"
        if isinstance(origin, type) and issubclass(origin, Collection) and origin is not str:
            return "a list"
    return "of another kind"


def _is_place(note: object) -> TypeGuard[AttributeValidationNote | IterableValidationNote]:
    return isinstance(note, AttributeValidationNote | IterableValidationNote)


def _below(path: str, note: AttributeValidationNote | IterableValidationNote | None) -> str:
    if note is None:
        return path
    if isinstance(note, AttributeValidationNote):
        return f"{path}.{note.name}".lstrip(".")
    return f"{path}[{note.index}]" if isinstance(note.index, int) else f"{path}.{note.index}"


def _kind_of(value: object) -> str:
    names = {bool: "true or false", str: "a text", int: "a whole number", Decimal: "a number"}
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return names.get(type(value), "a date or time")
