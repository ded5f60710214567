"""A bare node in a process of its own, for signals: prints what happened, one word a line."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import bare_node as bare


def _say(word: str) -> None:
    print(word, flush=True)


async def _main(rig: bare.Rig, with_handler: bool) -> None:
    if with_handler:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, rig.handle.stop)
    running = asyncio.ensure_future(rig.node.run_async())
    while not rig.handle.is_running:  # noqa: ASYNC110 - Nautilus offers no event for it
        await asyncio.sleep(0.002)
    _say("running")
    await running


def main(mode: str) -> None:
    """Modes: `run` (blocking), `async`, `handler` (async with our own SIGTERM handler)."""

    def disconnected(_client: Any, _command: Any) -> None:
        _say("disconnected")

    def connected(_client: Any, _command: Any) -> None:
        if mode == "run":
            _say("running")

    rig = bare.build({"V": {"disconnect": disconnected, "connect": connected}})
    if mode == "run":
        rig.node.run()
    else:
        asyncio.run(_main(rig, mode == "handler"))
    _say("ended")


if __name__ == "__main__":
    main(sys.argv[1])
