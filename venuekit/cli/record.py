"""`venuekit record VENUE`: what a venue sends, byte for byte, into a capture."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from venuekit.cli.instruments import venue_config
from venuekit.cli.output import emit, json_option, say, set_option, wants_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from venuekit.cli.feeds import Tally
    from venuekit.host.config import VenueConfig

FEED_NAMES = ("book", "quotes", "trades", "mark", "index", "funding")


@click.command()
@click.argument("venue")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The capture to write.")
@click.option(
    "--market", "markets", multiple=True, required=True, metavar="ID", help="What to record; repeat for more."
)
@click.option(
    "--data",
    "feeds",
    multiple=True,
    type=click.Choice(FEED_NAMES),
    help="Repeat for more. [default: book, quotes, trades]",
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
    feeds: tuple[str, ...],
    environment: str | None,
    file: Path | None,
    secs: float | None,
    flags: tuple[str, ...],
) -> None:
    """Record the public data of VENUE until interrupted."""
    from venuekit.cli.feeds import USUAL, market_lines

    config = venue_config(venue, environment, file, flags)
    tally, entries = asyncio.run(_record(config, out, markets, feeds or USUAL, secs))
    rows = tally.rows()
    if wants_json():
        for row in rows:
            emit({"event": "market", **row})
        emit({"event": "recorded", "file": str(out), "entries": entries})
        return
    for line in market_lines(rows):
        say(line)
    say(f"{out} holds {entries} entries.")


async def _record(
    config: VenueConfig, out: Path, markets: Sequence[str], feeds: Sequence[str], secs: float | None
) -> tuple[Tally, int]:
    from venuekit.cli.feeds import Tally, wants
    from venuekit.cli.interrupts import until_interrupted
    from venuekit.host.open import Layers, OpenedVenue
    from venuekit.runtime.clock import RealClock
    from venuekit.transport.layers.record import Recorder

    clock, tally = RealClock(), Tally()
    about = {
        "venue": config.key,
        "environment": config.environment,
        "markets": " ".join(markets),
        "feeds": " ".join(feeds),
    }
    recorder = Recorder(out, clock, about)
    opened = OpenedVenue(config, clock=clock, layers=Layers(port=recorder.port, stream=recorder.stream))
    try:
        await opened.open()
        service = opened.market_data(tally)
        try:
            asked = wants(opened.symbols, markets, feeds)
            await service.start()
            for want in asked:
                service.subscribe(want)
            if not wants_json():
                say("Recording; press Ctrl-C to stop.")
            await until_interrupted(clock, secs)
        finally:
            await service.stop()
    finally:
        await opened.close()
        recorder.close()
    return tally, recorder.entries
