"""`venuekit demo`: a simulator as its own process, one node trading on it, and a judge at the end."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
from attrs import frozen

from venuekit.cli.output import emit, json_option, say, wants_json
from venuekit.errors import PluginError
from venuekit.host.plugins import installed
from venuekit.interfaces.hooks import Kind

if TYPE_CHECKING:
    from venuekit.cli.demo_run import Result

EXIT_DIFFERENT = 4
"""The node and the simulator disagree about what happened."""


@frozen
class Plan:
    """What a demo does."""

    venue: str
    secs: float
    seed: int
    cut: bool = True
    """Cut every connection once, in the middle."""
    plant: tuple[str, ...] = ()
    """Control verbs of the simulator that make it lie about fills, for tests of the judge."""
    options: tuple[str, ...] = ()
    """Options of the simulator."""


@click.command()
@click.option("--venue", help="Whose simulator to trade on. [default: the first that has one]")
@click.option(
    "--secs", type=click.FloatRange(min=5), default=20.0, show_default=True, help="Trade this long."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulated market.")
@click.option("--no-cut", is_flag=True, help="Do not cut the connections in the middle.")
@click.option("--plant", multiple=True, metavar="VERB", help="Have the simulator lie: suppress_fill, ...")
@click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="Of the simulator.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    venue: str | None,
    secs: float,
    seed: int,
    no_cut: bool,
    plant: tuple[str, ...],
    options: tuple[str, ...],
) -> None:
    """Trade on a simulator for some seconds, then compare every fill with what truly happened.

    Exit code 4: the node and the simulator's ledger differ.
    """
    from venuekit.cli.demo_run import run_demo
    from venuekit.cli.demo_view import JsonView, LiveView, PlainView

    plan = Plan(venue or _first_simulator(), secs, seed, not no_cut, plant, options)
    view = JsonView() if wants_json() else LiveView() if _is_terminal() else PlainView()
    with view:
        result = asyncio.run(run_demo(plan, view))
    _tell(result, plan.venue)
    ctx.exit(result.code or (0 if result.differences.none else EXIT_DIFFERENT))


def _first_simulator() -> str:
    names = installed().keys(Kind.SIMULATOR)
    if not names:
        raise PluginError("no installed venue has a simulator", hint="install a venue plugin that has one.")
    return names[0]


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _tell(result: Result, venue: str) -> None:
    summary = result.summary()
    if wants_json():
        emit({"event": "summary", **summary})
        return
    latency = result.latency_ms()
    say(
        f"{summary['orders']} orders, {summary['fills']} fills ({summary['maker_fills']} maker, "
        f"{summary['taker_fills']} taker), {summary['cancels']} cancels on {summary['markets']} markets; "
        f"submit to accepted p50 {latency['p50']} ms, p99 {latency['p99']} ms."
    )
    if result.code:
        click.echo(f"error: {result.message}", err=True)
        click.echo(f"hint:  {result.hint}", err=True)
    elif result.differences.none:
        say("The simulator's ledger and Nautilus agree on every order, fill, position and balance.")
        say(
            f"Next: start `venuekit sim {venue} --write-config node.toml`, put your strategy into node.toml, "
            "and start `venuekit run node.toml` beside it."
        )
    else:
        click.echo("error: the simulator's ledger and Nautilus differ:", err=True)
        for line in result.difference_lines():
            click.echo(f"  {line}", err=True)
        click.echo("hint:  run again with --debug and report what it prints.", err=True)
