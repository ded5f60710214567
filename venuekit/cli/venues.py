"""`venuekit venues`: what is installed, and what is wrong with it."""

from __future__ import annotations

import click
from attrs import frozen

from venuekit.cli.output import emit, json_option, say, table, wants_json
from venuekit.errors import PluginError
from venuekit.host.plugins import Registry, installed
from venuekit.interfaces.hooks import Kind


@frozen
class VenueRow:
    """One line of the list."""

    key: str
    title: str
    venue: str
    trades: bool
    environments: list[str]
    products: list[str]
    simulator: bool
    distribution: str
    version: str


@frozen
class ProblemRow:
    """One plugin that cannot be used."""

    distribution: str
    version: str
    reason: str
    hint: str


@click.command()
@click.argument("venue", required=False)
@click.option("--errors", is_flag=True, help="Show the error codes of VENUE and what to do about each.")
@json_option
def command(venue: str | None, errors: bool) -> None:
    """List the installed venues and the plugins that could not be loaded, or show what VENUE can do."""
    registry = installed()
    if venue is not None:
        from venuekit.cli.venue_detail import show, show_errors

        (show_errors if errors else show)(venue, registry.manifest(venue))
        return
    if errors:
        raise click.UsageError("--errors needs a VENUE")
    rows, problems = look(registry)
    if wants_json():
        for row in rows:
            emit({"event": "venue", **_fields(row)})
        for problem in problems:
            emit({"event": "problem", **_fields(problem)})
        return
    if rows:
        table(
            ("VENUE", "TITLE", "DOES", "ENVIRONMENTS", "SIMULATOR", "PACKAGE"),
            [
                (
                    row.key,
                    row.title,
                    "data, orders" if row.trades else "data",
                    ", ".join(row.environments),
                    "yes" if row.simulator else "no",
                    f"{row.distribution} {row.version}",
                )
                for row in rows
            ],
        )
    else:
        say("No venue is installed. A venue is a package: install for example venuekit-<name>.")
    for problem in problems:
        say(f"\n{problem.distribution} {problem.version} cannot be used: {problem.reason}")
        if problem.hint:
            say(f"  {problem.hint}")


def look(registry: Registry) -> tuple[list[VenueRow], list[ProblemRow]]:
    """Every usable venue, and everything that cannot be used."""
    rows: list[VenueRow] = []
    problems = [
        ProblemRow(one.origin.distribution, one.origin.version, one.reason, one.hint)
        for one in registry.problems
    ]
    simulators = set(registry.keys(Kind.SIMULATOR))
    for key in registry.keys(Kind.VENUE):
        origin = registry.entry(Kind.VENUE, key).origin
        try:
            manifest = registry.manifest(key)
        except PluginError as error:
            problems.append(ProblemRow(origin.distribution, origin.version, error.message, error.hint))
            continue
        rows.append(
            VenueRow(
                key=key,
                title=manifest.title,
                venue=manifest.venue,
                trades=manifest.trades,
                environments=sorted(manifest.environments),
                products=sorted(manifest.products),
                simulator=key in simulators,
                distribution=origin.distribution,
                version=origin.version,
            )
        )
    return rows, problems


def _fields(row: VenueRow | ProblemRow) -> dict[str, object]:
    from attrs import asdict

    return asdict(row)
