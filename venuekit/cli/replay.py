"""`venuekit replay CAPTURE`: recorded bytes through the same codec, book and node as live ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from venuekit.cli.instruments import venue_config
from venuekit.cli.output import emit, json_option, say, set_option, wants_json
from venuekit.cli.record import FEED_NAMES
from venuekit.errors import CaptureError

if TYPE_CHECKING:
    from venuekit.cli.replay_run import Replayed
    from venuekit.transport.layers.capture import Capture


@click.command()
@click.argument("capture", type=click.Path(path_type=Path))
@click.option(
    "--through",
    type=click.Choice(["node", "service"]),
    default="node",
    show_default=True,
    help="The node's cache, or only our own service and a book.",
)
@click.option(
    "--speed", type=click.FloatRange(min=0), default=0.0, help="1: as recorded; 0: at once. [default: 0]"
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    help="A capture of the same venue whose recorded replies are used: for one that holds frames only.",
)
@click.option("--venue", help="Where the capture does not say it.")
@click.option("--environment", "-e", help="Where the capture does not say it.")
@click.option("--market", "markets", multiple=True, metavar="ID", help="Instead of what the capture says.")
@click.option(
    "--data", "feeds", multiple=True, type=click.Choice(FEED_NAMES), help="Instead of what the capture says."
)
@set_option
@json_option
def command(
    capture: Path,
    through: str,
    speed: float,
    answers: Path | None,
    venue: str | None,
    environment: str | None,
    markets: tuple[str, ...],
    feeds: tuple[str, ...],
    flags: tuple[str, ...],
) -> None:
    """Replay CAPTURE and print where every book ended. Nothing is connected."""
    from venuekit.cli.replay_run import Plan, replay

    loaded = load(capture, answers)
    about = loaded.about
    key = venue or about.get("venue")
    if not key:
        raise CaptureError(f"{capture} does not say its venue", hint="pass --venue.")
    named = tuple(markets) or tuple(about.get("markets", "").split())
    if not named:
        raise CaptureError(f"{capture} does not say its markets", hint="pass --market.")
    config = venue_config(key, environment or about.get("environment"), None, flags)
    plan = Plan(
        capture=loaded,
        config=config,
        markets=named,
        feeds=tuple(feeds) or tuple(about.get("feeds", "").split()) or ("book", "quotes", "trades"),
        speed=speed,
        through_node=through == "node",
    )
    _show(asyncio.run(replay(plan)), loaded)


def load(path: Path, answers: Path | None) -> Capture:
    """The capture, with the replies of another one where it was asked for."""
    from venuekit.transport.layers.capture import What, load_capture

    loaded = load_capture(path)
    if answers is None:
        return loaded
    replies = tuple(load_capture(answers).of(What.REQUEST, What.REPLY))
    streams = tuple(loaded.of(What.OPEN, What.IN, What.OUT, What.CLOSED))
    return evolve(loaded, entries=(*replies, *streams))


def _show(result: Replayed, capture: Capture) -> None:
    from venuekit.cli.feeds import market_lines

    if wants_json():
        for row in result.rows:
            emit({"event": "market", **row})
        emit(
            {
                "event": "replayed",
                "frames": result.frames,
                "quarantined": result.quarantined,
                "torn": capture.torn,
                "counters": dict(result.counters),
            }
        )
        return
    for line in market_lines(result.rows):
        say(line)
    say(f"{result.frames} frames replayed, {result.quarantined} not understood.")
    if capture.torn:
        say("The last line of the capture is torn and was left out.")
