"""The command `venuekit`: a group that imports a command's module only when it is invoked."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

from venuekit.cli.output import Settings, emit
from venuekit.errors import PluginError, VenuekitError
from venuekit.host.plugins import installed
from venuekit.interfaces.hooks import Kind

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

log = logging.getLogger("venuekit.cli")

COMMANDS = {
    "config": ("venuekit.cli.config", "Look at a config file."),
    "demo": ("venuekit.cli.demo", "Trade on a simulator with one node, then check every fill."),
    "instruments": ("venuekit.cli.instruments", "List the instruments of a venue."),
    "journal": ("venuekit.cli.journal", "Look at the journal of an account."),
    "record": ("venuekit.cli.record", "Write what a venue sends to a capture."),
    "replay": ("venuekit.cli.replay", "Send a capture through codec, book and node."),
    "run": ("venuekit.cli.run", "Run one node from a config file."),
    "sim": ("venuekit.cli.sim", "Run the simulator of a venue."),
    "status": ("venuekit.cli.status", "Show how a running node is."),
    "venues": ("venuekit.cli.venues", "List the installed venues."),
}
"""Name -> module (its attribute `command` is the command) and the line that the help shows."""


class LazyGroup(click.Group):
    """Knows its commands by name; those of plugins come through their hook."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Own commands and the groups of plugins, sorted."""
        return sorted({*COMMANDS, *installed().keys(Kind.COMMAND)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is no such name."""
        if cmd_name in COMMANDS:
            found: object = importlib.import_module(COMMANDS[cmd_name][0]).command
        elif cmd_name in installed().keys(Kind.COMMAND):
            found = installed().load(Kind.COMMAND, cmd_name)
            _give_desk(ctx)
        else:
            return None
        if not isinstance(found, click.Command):
            raise PluginError(f"the command {cmd_name!r} is a {type(found).__name__}, not a click command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = [(name, COMMANDS[name][1] if name in COMMANDS else "") for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, text or "From a plugin.") for name, text in rows])


def _give_desk(ctx: click.Context) -> None:
    """Let the commands of a plugin print, read secrets and open their venue."""
    from venuekit.cli.desk import Desk
    from venuekit.interfaces.commands import DESK_KEY

    ctx.meta[DESK_KEY] = Desk(ctx.ensure_object(Settings))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Log everything and show tracebacks.")
@click.version_option(package_name="venuekit")
@click.pass_obj
def cli(settings: Settings, debug: bool) -> None:
    """Connect NautilusTrader to trading venues, each venue a plugin."""
    settings.debug = debug
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; a failure becomes what happened, what to do, and an exit code."""
    settings = Settings()
    try:
        result = cli.main(list(arguments), prog_name="venuekit", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader left (`| head`): the interpreter would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except VenuekitError as error:
        _report(settings, error.message, error.hint or error.to_do, getattr(error, "__notes__", ()))
        return EXIT_FAILURE
    except Exception as error:
        # The last catch of the process: a defect is told in the same two lines, and whole with --debug.
        log.debug("unexpected %s", type(error).__name__, exc_info=not settings.debug)
        hint = "run the command again as `venuekit --debug ...` and report what it prints."
        _report(settings, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}", hint, ())
        return EXIT_FAILURE
    return result if isinstance(result, int) else 0


def _report(settings: Settings, message: str, hint: str, notes: Sequence[str]) -> None:
    if settings.debug:
        traceback.print_exc()
    if settings.json:
        emit({"event": "error", "message": message, "hint": hint, "also": list(notes)})
        return
    click.echo(f"error: {message}", err=True)
    for note in notes:
        click.echo(f"also:  {note}", err=True)
    if hint:
        click.echo(f"hint:  {hint}", err=True)
