"""A node that is told nothing about its journal, in a process of its own: says `running`, or why it ended.

The simulator stands for a venue that remembers, so that its orders are kept where those of a real one are.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from attrs import evolve

from venuekit.host.config import load_config
from venuekit.host.open import OpenedVenue
from venuekit.nautilus.node import VenueNode, run_until_signalled


def remembering() -> None:
    """No environment is a simulator's any more."""
    make = OpenedVenue.__init__

    def made(self: OpenedVenue, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        real = {name: evolve(one, simulated=False) for name, one in self.manifest.environments.items()}
        self.manifest = self._journals._manifest = evolve(self.manifest, environments=real)

    OpenedVenue.__init__ = made  # type: ignore[method-assign]


async def main(path: Path) -> int:
    remembering()
    config = evolve(load_config(path, flags=["node.log_level=OFF"]), strategies=())
    node = VenueNode.from_config(config)
    running = asyncio.create_task(run_until_signalled(node))
    while not node.handle.is_running and not running.done():  # noqa: ASYNC110 - Nautilus offers no event for it
        await asyncio.sleep(0.01)
    if not running.done():
        print("running", flush=True)
    ending = await running
    node.dispose()
    print(f"ended {ending.code} {ending.message}; {ending.hint}", flush=True)
    return ending.code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
