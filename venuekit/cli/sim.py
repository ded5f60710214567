"""`venuekit sim VENUE`: the venue's simulator as a process of its own, for any client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click
from attrs import asdict

from venuekit.cli.interrupts import until_interrupted
from venuekit.cli.output import emit, json_option, say, wants_json
from venuekit.errors import ConfigError, NotReady, PluginError
from venuekit.host.plugins import Registry, installed
from venuekit.interfaces.hooks import Kind
from venuekit.interfaces.simulator import SimulatorFactory, SimulatorInfo


@click.command()
@click.argument("venue")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one. [default: the venue's own]")
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything that is random in it.")
@click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="Of this simulator.")
@click.option(
    "--simple",
    is_flag=True,
    help="Open a second, plain door without keys as well, where it has one (-o simple=true).",
)
@click.option("--secs", type=click.FloatRange(min=0), help="Stop after this time.")
@click.option(
    "--write-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a node config for this very simulator.",
)
@click.option("--demo-key", is_flag=True, help="Print the key of the simulator's own account and exit.")
@json_option
def command(
    venue: str,
    port: int | None,
    seed: int,
    options: tuple[str, ...],
    simple: bool,
    secs: float | None,
    write_config: Path | None,
    demo_key: bool,
) -> None:
    """Run the simulator of VENUE on this machine until interrupted."""
    registry = installed()
    factory = simulator_factory(registry, venue)
    if demo_key:
        # Public and worthless: the same for everybody who runs this simulator.
        key = factory.demo_key()
        emit({"event": "demo_key", "key": key}) if wants_json() else say(key)
        return
    chosen = default_port(registry, venue) if port is None else port
    wanted = parse_options(options) | ({"simple": "true"} if simple else {})
    asyncio.run(_serve(factory, chosen, seed, wanted, secs, write_config))


def simulator_factory(registry: Registry, venue: str) -> SimulatorFactory:
    """The simulator of a venue, imported."""
    found = registry.load(Kind.SIMULATOR, venue)
    if not callable(found) or not hasattr(found, "demo_key"):
        raise PluginError(f"the simulator of {venue!r} is no simulator factory", hint="upgrade its package.")
    factory: SimulatorFactory = found
    return factory


def parse_options(options: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE texts as a mapping."""
    parsed: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ConfigError("is no assignment", path=f"--option {option}", hint="write NAME=VALUE.")
        parsed[name] = value
    return parsed


def default_port(registry: Registry, venue: str) -> int:
    """The port that the venue's `simulator` environment expects; 0 where it has none."""
    environment = registry.manifest(venue).environments.get("simulator")
    addresses = environment.addresses.values() if environment else ()
    return next((port for address in addresses if (port := urlsplit(address).port)), 0)


async def _serve(
    factory: SimulatorFactory,
    port: int,
    seed: int,
    options: dict[str, str],
    secs: float | None,
    write_config: Path | None,
) -> None:
    from venuekit.runtime.clock import RealClock

    clock = RealClock()
    simulator = factory(clock=clock, seed=seed, port=port, options=options)
    try:
        info = await simulator.start()
    except OSError as error:
        raise NotReady(
            f"the simulator cannot listen on port {port}: {error.strerror or error}",
            hint="stop what uses the port, or pass --port 0 for a free one.",
        ) from error
    try:
        _announce(info, write_config)
        await until_interrupted(clock, secs)
    finally:
        await simulator.stop()
    if wants_json():
        emit({"event": "stopped", "venue": info.venue})


def _announce(info: SimulatorInfo, write_config: Path | None) -> None:
    if write_config is not None:
        write_config.write_text(info.config_toml, encoding="utf-8")
    if wants_json():
        emit({"event": "ready", **asdict(info)})
        return
    say(f"The {info.venue} simulator is ready.")
    rows = {**info.addresses, "control": info.control, **info.doors}
    if write_config is not None:
        rows["config"] = f"{write_config}  (try: venuekit run {write_config})"
    width = max(map(len, rows))
    for name, told in rows.items():
        say(f"  {name:{width}} {told}")
    say("Press Ctrl-C to stop.")
