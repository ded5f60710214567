"""`venuekit run FILE`: one node until it is interrupted."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from venuekit.cli.output import emit, json_option, set_option, wants_json
from venuekit.host.config import NodeConfig, load_config

if TYPE_CHECKING:
    from venuekit.nautilus.node import Ending


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--secs", type=click.FloatRange(min=0), help="Stop after this time.")
@set_option
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path, secs: float | None, flags: tuple[str, ...]) -> None:
    """Run the node that FILE describes until interrupted.

    Exit code 3: it stopped while the fate of an order was unknown.
    """
    config = load_config(file, flags=flags)
    # A config stands beside the strategies it names; installed modules still come first.
    sys.path.append(str(file.resolve().parent))
    if wants_json():
        # Nautilus logs to standard output, where only our own lines may stand now.
        config = evolve(config, node=evolve(config.node, log_level="OFF"))
        emit({"event": "starting", "node": config.node.name, "venues": sorted(config.venues)})
    ending = _run(config, secs)
    if wants_json():
        emit(
            {
                "event": "stopped",
                "code": ending.code,
                "message": ending.message,
                "hint": ending.hint,
                "unresolved": list(ending.unresolved),
            }
        )
    elif ending.code:
        click.echo(f"error: {ending.message}", err=True)
        if ending.hint:
            click.echo(f"hint:  {ending.hint}", err=True)
    ctx.exit(ending.code)


def _run(config: NodeConfig, secs: float | None) -> Ending:
    from venuekit.nautilus.node import VenueNode, run_until_signalled
    from venuekit.runtime.clock import RealClock

    node = VenueNode.from_config(config)

    async def run() -> Ending:
        clock = RealClock()
        if secs is not None:
            clock.call_at(clock.mono_ns() + int(secs * 1e9), node.handle.stop)
        return await run_until_signalled(node)

    try:
        return asyncio.run(run())
    finally:
        node.dispose()
