"""What all commands share: the `--json` option, and printing for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import click
from attrs import define


@define
class Settings:
    """What the options common to all commands say."""

    debug: bool = False
    json: bool = False


def json_option[F: Callable[..., object]](command: F) -> F:
    """Give a command `--json`; `wants_json` reads it."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.ensure_object(Settings).json = value

    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,  # a wrong option behind it is then told in JSON already
        expose_value=False,
        callback=remember,
        help="Print one JSON object a line.",
    )(command)


def set_option[F: Callable[..., object]](command: F) -> F:
    """Give a command `--set PATH=VALUE`, passed as `flags`."""
    return click.option(
        "--set",
        "flags",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Set a field of the config, e.g. node.log_level=DEBUG (over environment, over file).",
    )(command)


def wants_json() -> bool:
    """True when the running command was asked for JSON."""
    context = click.get_current_context(silent=True)
    return context is not None and context.ensure_object(Settings).json


def emit(record: Mapping[str, object]) -> None:
    """Print one JSON object on one line and flush, so that a reader sees it at once."""
    click.echo(json.dumps(record, default=_plain, ensure_ascii=False, separators=(",", ":")))


def say(text: str = "") -> None:
    """Print a line for people."""
    click.echo(text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(value: object) -> object:
    """Exact numbers become texts, sets sorted lists; the rest is written as it prints."""
    if isinstance(value, frozenset | set):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal | Path):
        return str(value)
    return str(value)
