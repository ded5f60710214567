"""A bridged node over fakes in a process of its own: for signals and for what the log shows."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import bare_node as bare
import fake_venue as fake

from venuekit.nautilus.node import VenueNode, run_until_signalled


def _say(word: str) -> None:
    # Nautilus writes its log to the same stream from a thread of its own: the mark survives a shared line.
    print(f"<{word}>", flush=True)


async def _hang(_service: Any) -> None:
    _say("hanging")
    await asyncio.Event().wait()


async def _announce(rig: fake.BridgeRig) -> None:
    await rig.until(rig.recorder.is_running, "running")
    logging.getLogger("venuekit.spoken").warning("a word from below")
    _say(f"looked through: {len(gc.get_objects()) < 10_000}")
    _say("running")


def main(mode: str) -> int:
    """Modes: `clean`, `unresolved` (a silent order is out), `hanging` (a service does not stop)."""
    script: dict[str, Any] = {
        "stop_execution": _hang if mode == "hanging" else lambda _service: _say("stopped")
    }
    if mode == "unresolved":
        script["submit"] = fake.submitted
    rig = fake.build(script, logging=bare.LoggerConfig(is_colored=False))
    if mode == "unresolved":
        rig.recorder.on_begin = lambda strategy: strategy.buy()

    async def run() -> int:
        node = VenueNode(rig.node, rig.failures)
        said = asyncio.ensure_future(_announce(rig))
        ending = await run_until_signalled(node)
        await said
        _say(f"left out: {gc.get_freeze_count()}")
        _say(f"ended {ending.code} {' '.join(ending.unresolved)}")
        return ending.code

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
