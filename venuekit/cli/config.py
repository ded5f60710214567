"""`venuekit config check FILE`: everything that can be known to be wrong before anything starts."""

from __future__ import annotations

from pathlib import Path

import click
from attrs import fields, has

from venuekit.cli.output import emit, json_option, say, set_option, wants_json
from venuekit.host.config import NodeConfig, VenueConfig, load_config
from venuekit.host.plugins import installed
from venuekit.host.secrets import resolve_secret
from venuekit.interfaces.signer import SecretRef


@click.group()
def command() -> None:
    """Look at a config file."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--secrets", is_flag=True, help="Also resolve every reference to a secret (it is not shown).")
@set_option
@json_option
def check(file: Path, secrets: bool, flags: tuple[str, ...]) -> None:
    """Check FILE; nothing is connected."""
    config = load_config(file, flags=flags)
    for venue in config.venues.values():
        _check_addresses(venue)
        if secrets:
            for _, ref in secret_refs(venue):
                resolve_secret(ref, base=venue.base)
    if wants_json():
        emit({"event": "config", "file": str(file), "valid": True, **_summary(config)})
        return
    say(f"{file} is valid.")
    for venue in config.venues.values():
        real = installed().manifest(venue.key).environments[venue.environment].real_money
        does = " and ".join(name for name in ("data", "execution") if getattr(venue, name))
        say(f"  {venue.key}: {does} on {venue.environment}{', with real money' if real else ''}")
        for name, ref in secret_refs(venue):
            say(f"    {name} comes from {ref}{' (found)' if secrets else ''}")
    for strategy in config.strategies:
        say(f"  strategy {strategy.path}")


def secret_refs(venue: VenueConfig) -> list[tuple[str, SecretRef]]:
    """The references to secrets in the venue's own part of the config, by field."""
    own_class = type(venue.own)
    if not has(own_class):
        return []
    found = [(attribute.name, getattr(venue.own, attribute.name)) for attribute in fields(own_class)]
    return [(name, value) for name, value in found if isinstance(value, SecretRef)]


def _check_addresses(venue: VenueConfig) -> None:
    from venuekit.host.open import check_addresses

    check_addresses(venue)


def _summary(config: NodeConfig) -> dict[str, object]:
    venues = {
        venue.key: {
            "environment": venue.environment,
            "real_money": installed().manifest(venue.key).environments[venue.environment].real_money,
            "data": venue.data,
            "execution": venue.execution,
            "addresses": dict(venue.addresses),
            "secrets": {name: str(ref) for name, ref in secret_refs(venue)},
        }
        for venue in config.venues.values()
    }
    return {
        "node": {"name": config.node.name, "trader_id": config.node.trader_id},
        "venues": venues,
        "strategies": [strategy.path for strategy in config.strategies],
    }
