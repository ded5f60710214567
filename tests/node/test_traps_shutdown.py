"""Signals and slow ends, shown on bare Nautilus."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bare_node as bare
import pytest

_SCRIPT = Path(__file__).parent / "node_process.py"


def _signalled(mode: str, number: int) -> tuple[list[str], int]:
    """Words printed and exit code of a node that got one signal while it ran."""
    process = subprocess.Popen(
        [sys.executable, str(_SCRIPT), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Who runs the tests in the background of a shell hands on a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    words = [process.stdout.readline().strip()]
    assert words == ["running"]
    process.send_signal(number)
    rest, _ = process.communicate(timeout=15)
    return words + rest.split(), process.returncode


def test_sigterm_under_asyncio_run_kills_without_disconnect() -> None:
    words, code = _signalled("async", signal.SIGTERM)
    assert "disconnected" not in words
    assert code == -signal.SIGTERM


def test_sigterm_with_a_handler_stops_cleanly() -> None:
    words, code = _signalled("handler", signal.SIGTERM)
    assert "disconnected" in words
    assert (words[-1], code) == ("ended", 0)


def test_sigint_under_asyncio_run_disconnects() -> None:
    words, _code = _signalled("async", signal.SIGINT)
    assert "disconnected" in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_blocking_run_handles_both_signals(number: int) -> None:
    words, code = _signalled("run", number)
    assert "disconnected" in words
    assert (words[-1], code) == ("ended", 0)


def test_the_stop_delay_is_waited_for_and_zero_is_quick() -> None:
    async def nothing(_rig: bare.Rig) -> None:
        return None

    spent = []
    for delay in (0.0, 1.5):
        rig = bare.build(delay_post_stop_secs=delay)
        started = time.monotonic()
        bare.run(rig, nothing)
        spent.append(time.monotonic() - started)
    assert spent[0] < 1.5 <= spent[1]


def test_a_slow_disconnect_ends_the_run_with_an_error() -> None:
    async def slow(_client: Any, _command: Any) -> None:
        await asyncio.sleep(5.0)

    async def nothing(_rig: bare.Rig) -> None:
        return None

    rig = bare.build({"V": {"disconnect": slow}}, timeout_disconnection_secs=0.3)
    with pytest.raises(RuntimeError, match="disconnect"):
        bare.run(rig, nothing)


@pytest.mark.parametrize(("kind", "aborts"), [("report", False), ("event", True)])
def test_output_from_another_thread_raises_or_ends_the_process(kind: str, aborts: bool) -> None:
    # A report raises; an order event aborts the interpreter, with every position open.
    ended = subprocess.run(
        [sys.executable, str(_SCRIPT), f"thread-{kind}"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if aborts:
        assert ended.returncode == -signal.SIGABRT
    else:
        assert (ended.returncode, ended.stdout.split()) == (0, ["held"])
