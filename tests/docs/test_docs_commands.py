"""Every shell line of the docs is run, or at least understood by the program it calls."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from venuekit.cli.main import cli
from venuekit.cli.output import Settings

VENUEKIT = Path(sys.executable).with_name("venuekit")
HARMLESS = (("venues",), ("config", "check"))
"""Commands that end by themselves and touch nothing: run as they stand."""


def lines(block):
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def split(line):
    """The environment assignments before a command, and the command."""
    words = shlex.split(line)
    count = next(n for n, word in enumerate(words) if not re.fullmatch(r"[A-Z_0-9]+=.*", word))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


def understood(words):
    """The command that these arguments reach, parsed whole; click raises for an unknown option or command."""
    command, context, rest = cli, None, list(words)
    while True:
        context = command.make_context(command.name, rest, parent=context, obj=Settings())
        if not isinstance(command, click.Group):
            return context
        # A group keeps what it did not parse: the name of its command and that one's arguments.
        name, *rest = [*context._protected_args, *context.args]
        command = command.get_command(context, name)
        assert command is not None, f"no command {name!r}"


def check_venuekit(variables, arguments, root):
    understood(arguments)
    if arguments[:2] == ["sim", "paradex"]:
        arguments = [*arguments, "--port", "0", "--secs", "0.2"]
    elif not any(tuple(arguments[: len(one)]) == one for one in HARMLESS):
        return
    done = subprocess.run(
        [VENUEKIT, *arguments],
        cwd=root,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def check_make(targets, root):
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=root, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


def check_line(line, root):
    variables, words = split(line)
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "venuekit":
        check_venuekit(variables, arguments, root)
    elif program == "make":
        check_make(arguments, root)
    elif program == "pip":
        # The set-up script is run by its own tests; this line must install what it installs.
        script = (root / "tools" / "setup.sh").read_text()
        wanted = re.search(r'^what="(.*)"$', script, re.MULTILINE)[1]
        assert arguments == ["install", "-c", "constraints.txt", *shlex.split(wanted)]
    else:
        assert line == "python3.13 -m venv .venv", f"no test knows how to check {line!r}"


def test_every_line_runs_or_parses(bash_block, root):
    assert lines(bash_block)
    for line in lines(bash_block):
        check_line(line, root)


@pytest.mark.parametrize(
    "line",
    [
        "venuekit vanues",
        "venuekit sim paradex --no-such-option",
        "make demmo",
        "venuekit config check examples/missing.toml",
        ".venv/bin/pip install -c constraints.txt -e .",
        "curl example.com",
    ],
)
def test_a_wrong_line_is_found(line, root):
    with pytest.raises((AssertionError, click.ClickException)):
        check_line(line, root)
