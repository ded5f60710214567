"""Ends a command on SIGINT and SIGTERM with everything closed."""

from __future__ import annotations

import asyncio
import signal

from venuekit.interfaces.time import Clock


async def until_interrupted(clock: Clock, secs: float | None) -> None:
    """Return at SIGINT, at SIGTERM, or after `secs`."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    timer = None if secs is None else clock.call_at(clock.mono_ns() + int(secs * 1e9), stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if timer is not None:
            timer.cancel()
