"""Background tasks with an owner, and timeouts on the framework's clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Clock


def _unheard(name: str, error: BaseException) -> None:
    """Nobody asked to hear of crashes; they are still counted and logged."""


class TaskScope:
    """The background tasks of one service: a crash is counted, logged and reported; `close` leaves none."""

    def __init__(self, name: str, counters: Counters, log: logging.Logger) -> None:
        self.name = name
        self.on_crash: Callable[[str, BaseException], None] = _unheard
        self._counters = counters
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """`coro` runs as a task of this scope."""
        task = asyncio.get_running_loop().create_task(coro, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Every task was cancelled and has ended; the calling task, when it is one of them, is left alone."""
        me = asyncio.current_task()
        while tasks := [task for task in self._tasks if task is not me]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # The callbacks that empty the set run one turn of the loop later.
            self._tasks.difference_update(tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and task.cancelling():
            return
        # What it waited for may have been cancelled, and then it ends without anybody having asked for that.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return
        self._counters.inc("tasks.crashed")
        self._log.error("task %s crashed", task.get_name(), exc_info=error)
        self.on_crash(task.get_name(), error)


def asked_to_end() -> bool:
    """True when the running task was cancelled; False: a `CancelledError` comes from what it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@asynccontextmanager
async def bounded(clock: Clock, ns: int) -> AsyncIterator[None]:
    """The block ends within `ns` of clock time, or raises TimeoutError at the await it stands at."""
    async with asyncio.timeout(None) as limit:
        timer = clock.call_at(clock.mono_ns() + ns, lambda: limit.reschedule(0))
        try:
            yield
        finally:
            timer.cancel()
