"""`venuekit record VENUE`: what a venue sends, byte for byte, into a capture."""

# ruff: noqa: ARG001

from __future__ import annotations

from pathlib import Path

import click

from venuekit.cli.output import json_option, set_option
from venuekit.errors import Unsupported


@click.command()
@click.argument("venue")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The capture to write.")
@click.option("--market", "markets", multiple=True, metavar="ID", help="An instrument id; repeat for more.")
@click.option(
    "--data",
    "kinds",
    multiple=True,
    type=click.Choice(["book", "quotes", "trades", "mark", "index", "funding"]),
    help="What to record. [default: book, quotes, trades]",
)
@click.option("--environment", "-e", help="Of the venue. [default: mainnet, where there is one]")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="Take the venue's section of this file."
)
@click.option("--secs", type=click.FloatRange(min=0), help="Stop after this time.")
@set_option
@json_option
def command(
    venue: str,
    out: Path,
    markets: tuple[str, ...],
    kinds: tuple[str, ...],
    environment: str | None,
    file: Path | None,
    secs: float | None,
    flags: tuple[str, ...],
) -> None:
    """Record the public data of VENUE until interrupted."""
    raise Unsupported("recording is not wired yet")
