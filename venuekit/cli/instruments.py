"""`venuekit instruments VENUE`: what can be traded, as Nautilus sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from venuekit.cli.output import emit, json_option, say, set_option, table, wants_json
from venuekit.errors import ConfigError
from venuekit.host.config import VenueConfig, load_config, parse_config
from venuekit.host.plugins import installed

if TYPE_CHECKING:
    from venuekit.interfaces.model import Instrument


@click.command()
@click.argument("venue")
@click.option("--environment", "-e", help="Of the venue. [default: mainnet, where there is one]")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="Take the venue's section of this file."
)
@set_option
@json_option
def command(venue: str, environment: str | None, file: Path | None, flags: tuple[str, ...]) -> None:
    """List the instruments of VENUE. Only public data is read; no key is needed."""
    config = venue_config(venue, environment, file, flags)
    found = sorted(asyncio.run(_load(config)), key=lambda instrument: str(instrument.id))
    rows = [describe(instrument) for instrument in found]
    if wants_json():
        for row in rows:
            emit({"event": "instrument", **row})
        return
    columns = (
        "id",
        "type",
        "price_increment",
        "size_increment",
        "min_quantity",
        "min_notional",
        "settlement",
    )
    if rows:
        table([name.upper() for name in columns], [[row[name] or "-" for name in columns] for row in rows])
    say(f"{len(rows)} instruments on {config.environment}.")


def venue_config(venue: str, environment: str | None, file: Path | None, flags: Sequence[str]) -> VenueConfig:
    """The config of one venue for reading public data, from a file or from its defaults."""
    without_keys = [f"venues.{venue}.execution=false", f"venues.{venue}.data=true"]
    if environment is not None:
        without_keys.append(f'venues.{venue}.environment="{environment}"')
    if file is not None:
        found = load_config(file, flags=[*flags, *without_keys])
    else:
        known = installed().manifest(venue).environments
        first = "mainnet" if "mainnet" in known else next(iter(known), "")
        text = f'[venues.{venue}]\nenvironment = "{first}"\n'
        found = parse_config(text, flags=[*flags, *without_keys])
    if venue not in found.venues:
        raise ConfigError(
            "is not in this file", path=f"venues.{venue}", hint=f"it has: {', '.join(found.venues)}."
        )
    return found.venues[venue]


def describe(instrument: Instrument) -> dict[str, str]:
    """The facts that decide how orders must look, as exact texts; empty where there is none."""
    facts = {
        "id": instrument.id,
        "raw_symbol": instrument.raw_symbol,
        "type": type(instrument).__name__,
        "price_increment": instrument.price_increment,
        "size_increment": instrument.size_increment,
        "min_quantity": instrument.min_quantity,
        "max_quantity": instrument.max_quantity,
        "min_notional": instrument.min_notional,
        "quote": instrument.quote_currency,
        "settlement": getattr(instrument, "settlement_currency", None),
    }
    return {name: "" if value is None else str(value) for name, value in facts.items()}


async def _load(config: VenueConfig) -> Sequence[Instrument]:
    from venuekit.host.open import OpenedVenue
    from venuekit.runtime.clock import RealClock

    opened = OpenedVenue(config, clock=RealClock())
    await opened.open()
    try:
        return await opened.parts.instruments.load(None)
    finally:
        await opened.close()
