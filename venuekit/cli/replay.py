"""`venuekit replay CAPTURE`: recorded bytes through the same codec, book and node as live ones."""

# ruff: noqa: ARG001

from __future__ import annotations

from pathlib import Path

import click

from venuekit.cli.output import json_option
from venuekit.errors import Unsupported


@click.command()
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--through", type=click.Choice(["book", "node"]), default="node", show_default=True)
@json_option
def command(capture: Path, through: str) -> None:
    """Replay CAPTURE and print where every book ended."""
    raise Unsupported("replaying is not wired yet")
