"""`venuekit status`: how a running node is, as its `/health` says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path

import click

from venuekit.cli.output import emit, json_option, say, set_option, table, wants_json
from venuekit.errors import ConfigError, NotReady
from venuekit.host.config import load_config

TIMEOUT_SECS = 5.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--port", type=click.IntRange(1, 65_535), help="The node's [metrics] port.")
@set_option
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path | None, port: int | None, flags: tuple[str, ...]) -> None:
    """Show how the running node of FILE, or at a metrics port, is.

    Exit code 1: something of it does not work, or it does not answer.
    """
    health = _ask(port or _port_of(file, flags))
    if wants_json():
        emit({"event": "status", **health})
    else:
        _show(health)
    ctx.exit(0 if health.get("status") == "ok" else 1)


def _port_of(file: Path | None, flags: tuple[str, ...]) -> int:
    if file is None:
        raise click.UsageError("name the node's config FILE, or its --port")
    port = load_config(file, flags=flags).metrics.port
    if not port:
        raise ConfigError(
            "names no port to ask at",
            path="metrics.port",
            hint="set it, or give the --port that the node's log names.",
        )
    return port


def _ask(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECS)
    try:
        connection.request("GET", "/health")
        found: object = json.loads(connection.getresponse().read(1_000_000))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotReady(
            f"no node answers at 127.0.0.1:{port} ({type(error).__name__})",
            hint="start it with this port in [metrics]; a node that hangs does not answer either.",
        ) from error
    finally:
        connection.close()
    if not isinstance(found, dict) or not isinstance(found.get("venues"), dict):
        raise NotReady(f"what answers at 127.0.0.1:{port} is no node", hint="check the port.")
    return found


def _show(health: Mapping[str, object]) -> None:
    say(f"{health.get('node')}: {health.get('status')}, up for {health.get('uptime_secs')} s")
    venues = health["venues"]
    assert isinstance(venues, dict)
    rows = []
    for key, one in sorted(venues.items()):
        streams = ", ".join(f"{name} {state}" for name, state in sorted(one.get("streams", {}).items()))
        orders = {True: "ready", False: "NOT READY", None: "none"}[one.get("orders")]
        numbers = (str(one.get("unresolved")), str(one.get("waiting")))
        rows.append((key, str(one.get("status")), streams or "none", orders, *numbers, _clock(one)))
    table(("VENUE", "STATUS", "STREAMS", "ORDERS", "UNRESOLVED", "WAITING", "CLOCK"), rows)


def _clock(one: Mapping[str, object]) -> str:
    """How the venue's clock stands to this machine's."""
    offset, state = one.get("clock_offset_ms"), str(one.get("clock", "local"))
    shown = f"{round(offset):+d} ms" if isinstance(offset, int | float) else state
    return f"{shown} (wild)" if state == "wild" and shown != state else shown
