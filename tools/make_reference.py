"""Writes the reference pages that are data elsewhere: config fields, errors, counters.

`python tools/make_reference.py` renews the three pages; `--check` writes nothing and exits with 1 when one is
stale.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from textwrap import fill
from types import GenericAlias, NoneType, UnionType
from typing import Literal, get_args, get_origin, get_type_hints

from attrs import NOTHING, Attribute, Factory, fields

from venuekit import errors
from venuekit.host import config
from venuekit.host.error_text import PROVES, to_do
from venuekit.host.plugins import Registry, installed
from venuekit.host.secrets import FORMS
from venuekit.interfaces.hooks import Kind
from venuekit.interfaces.manifest import Blocks, Manifest
from venuekit.runtime.counter_names import COUNTERS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SOURCE = "<!-- Written by tools/make_reference.py: change the code, not this page. -->"


def main() -> int:
    """Renew the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description="Renew the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a page is stale")
    check = parser.parse_args().check
    stale = 0
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            print(f"{path.relative_to(ROOT)} {'is stale' if check else 'renewed'}")
            if not check:
                path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    registry = installed()
    return {
        "config.md": _page(config_page(registry)),
        "errors.md": _page(errors_page(registry)),
        "counters.md": _page(counters_page()),
    }


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _table(heads: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _prose(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# --- config


def config_page(registry: Registry) -> Iterator[str]:
    """Sections, the venues' own fields, options, secrets, precedence."""
    yield "# Config"
    yield SOURCE
    yield _prose(
        """One TOML file describes a node; [How to run a node](../how-to/run-a-node.md) walks through one.
        A field may also come from the environment (`VENUEKIT__NODE__LOG_LEVEL=DEBUG`) or from a flag
        (`--set node.log_level=DEBUG`): flags win over the environment, which wins over the file. What
        is set that way is read as a TOML value, or else as a text. An unknown field is refused with its
        path. `venuekit config check FILE` reads a file and connects to nothing."""
    )
    sections = (
        ("[node]", config.NodeSection),
        ("[metrics]", config.MetricsSection),
        ("[tracing]", config.TracingSection),
        ("[venues.<key>]", config.VenueSection),
        ("[venues.<key>.limits.<bucket>]", config.LimitSection),
        ("[venues.<key>.transport]", config.TransportSection),
        ("[[strategies]]", config.StrategySection),
    )
    for title, section in sections:
        yield f"## `{title}`"
        yield _fields(section)
    yield "## Options"
    yield _prose(
        """Under `[venues.<key>.transport.options]`, for what is chosen above them. `http.proxy = "..."`
        and `"http.proxy" = "..."` are the same. An option that nobody reads is refused."""
    )
    yield _table(["option", "of", "means"], _options(registry))
    yield _prose(
        """TLS certificates are always verified, against the certificates of the system; there is no option
        to turn that off. An address without TLS is refused unless it points at this machine."""
    )
    yield "## Secrets"
    yield _prose(
        f"""A field of the type `secret` takes a reference: {FORMS}. A value that is no reference is refused
        and never repeated."""
    )
    for key in registry.keys(Kind.VENUE):
        yield from _venue_config(registry, key)


def _venue_config(registry: Registry, key: str) -> Iterator[str]:
    manifest = registry.manifest(key)
    yield f"## {manifest.title}: `[venues.{key}]`"
    own = registry.config_class(key)
    yield _fields(own) if fields(own) else "No field of its own."
    yield "Environments and addresses:"
    yield _table(
        ["environment", "real money", "`addresses`"],
        (
            [
                _code(name),
                "yes" if one.real_money else "no",
                ", ".join(f"{_code(use)} {_code(url)}" for use, url in one.addresses.items()),
            ]
            for name, one in manifest.environments.items()
        ),
    )
    yield "`timeouts_ms` and `limits` by default:"
    yield _table(
        ["operation", "ms", "costs"],
        (
            [_code(op), str(one.timeout_ms), ", ".join(f"{n} {_code(name)}" for name, n in one.costs.items())]
            for op, one in manifest.operations.items()
        ),
    )
    yield _table(["limit", "counted by", "rate", "burst"], _limits(manifest))


def _limits(manifest: Manifest) -> Iterator[list[str]]:
    for name, one in manifest.buckets.items():
        window = f"{one.per.n} blocks" if isinstance(one.per, Blocks) else f"{one.per.n:g} s"
        yield [_code(name), one.scope.value, f"{one.rate} in {window}", str(one.burst)]


def _options(registry: Registry) -> Iterator[list[str]]:
    for kind, prefix in ((Kind.TRANSPORT, ""), (Kind.RETRY, "retry")):
        for key in registry.keys(kind):
            slot = prefix or key.partition("/")[0]
            for name, meaning in (registry.get(kind, key).options or {}).items():
                yield [_code(f"{slot}.{name}"), _code(key), meaning]


def _fields(section: type) -> str:
    hints, meanings = get_type_hints(section), field_docs(section)
    return _table(
        ["field", "type", "default", "means"],
        (
            [_code(one.name), _type(hints[one.name]), _default(one), _line(meanings[one.name])]
            for one in fields(section)
        ),
    )


def field_docs(section: type) -> dict[str, str]:
    """The docstring below each field of a class; KeyError later for one that has none."""
    (body,) = (node for node in ast.parse(_source(section)).body if isinstance(node, ast.ClassDef))
    found = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[node.target.id] = text.value
    return found


@cache
def _source(section: type) -> str:
    return inspect.getsource(section)


def _line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")


def _type(hint: object) -> str:
    names: Mapping[object, str] = {str: "text", int: "whole number", bool: "true or false", float: "number"}
    if hint in names:
        return names[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(_code(str(one)) for one in arguments)
    if isinstance(hint, UnionType):
        return " or ".join(_type(one) for one in arguments if one is not NoneType)
    if isinstance(hint, GenericAlias) or origin is not None:
        return "table" if len(arguments) == 2 else "list"
    return "secret" if getattr(hint, "__name__", "") == "SecretRef" else "table"


def _default(one: Attribute[object]) -> str:
    if one.default is NOTHING:
        return "required"
    value: object = one.default.factory() if isinstance(one.default, type(Factory(list))) else one.default
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return _code(str(value).lower())
    if isinstance(value, str | int | float):
        return _code(str(value))
    return "empty"


# --- errors


def errors_page(registry: Registry) -> Iterator[str]:
    """Our own errors by class, what codes prove, and each venue's table."""
    yield "# Errors"
    yield SOURCE
    yield _prose(
        """Every error that venuekit raises on purpose is a `VenuekitError`. Its branch says what the
        caller can do, its message what happened, its `hint` what a person can do. Where the hint says
        nothing, the last column below does. A command prints both, and `--json` prints them as
        `message` and `hint`."""
    )
    yield "## By class"
    yield _table(["class", "is a", "means", "what to do"], _classes())
    yield "## What a venue's error proves"
    yield _prose(
        """An error is looked up by its domain (who numbers it) and its code: the same code may mean
        something else in another domain. A code that stands in no table proves nothing. `venuekit
        venues VENUE --errors` prints a venue's table."""
    )
    yield _table(["kind", "proves"], ([says.value, text] for says, text in PROVES.items()))
    for key in registry.keys(Kind.VENUE):
        manifest = registry.manifest(key)
        yield f"## {manifest.title}"
        yield _venue_errors(manifest) if manifest.errors else "No table: it sends no command."


def _classes() -> Iterator[list[str]]:
    pending: list[type[errors.VenuekitError]] = [errors.VenuekitError]
    while pending:
        one = pending.pop(0)
        parent = one.__bases__[0]
        shown = _code(parent.__name__) if parent is not Exception else ""
        yield [_code(one.__name__), shown, _line(inspect.getdoc(one) or ""), one.to_do]
        inner = [sub for sub in one.__subclasses__() if sub.__module__ == errors.__name__]
        pending[:0] = inner


def _venue_errors(manifest: Manifest) -> str:
    rules = sorted(manifest.errors, key=lambda rule: (rule.domain, rule.says.value, rule.code))
    return _table(
        ["domain", "code", "kind", "what to do"],
        ([rule.domain, _code(rule.code), rule.says.value, to_do(rule)] for rule in rules),
    )


# --- counters


def counters_page() -> Iterator[str]:
    """Every counter, and how it is read."""
    yield "# Counters"
    yield SOURCE
    yield _prose(
        """Nothing disappears in silence: what is dropped, refused, repeated or in doubt is counted, by
        venue. A word in `<...>` stands for what is known when it counts."""
    )
    yield _prose(
        """With `[metrics] port` in the config (extra `venuekit[metrics]`) a running node serves them at
        `http://127.0.0.1:<port>/metrics` for Prometheus: `frames.in` is
        `venuekit_frames_in_total{venue="..."}`, and `session.ended.<how>` is
        `venuekit_session_ended_total{venue="...",how="..."}`. `/health` at the same port says in JSON
        how streams and orders are, with status 200 when all is well and 503 when not; `venuekit status`
        shows it. Every frame of a stream is counted in `frames.in` and in exactly one of
        `frames.handled`, `frames.stale`, `frames.undecodable`, `frames.failed`; the first two are
        brought up to date once a second."""
    )
    yield _table(["counter", "counts"], ([_code(name), meaning] for name, meaning in COUNTERS.items()))
    yield _prose(
        """Gauges beside them: `venuekit_stream_live`, `venuekit_orders_ready`,
        `venuekit_orders_unresolved`, `venuekit_pacing_waiting`, `venuekit_uptime_seconds`. A plugin may
        count under names of its own; they are served the same way."""
    )


if __name__ == "__main__":
    sys.exit(main())
