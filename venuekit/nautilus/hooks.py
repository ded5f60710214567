"""Hooks that Nautilus runs often, in a task of its own for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Concatenate

__all__ = ["short_lived"]


def short_lived[S, **P, T](
    hook: Callable[Concatenate[S, P], Coroutine[object, object, T]],
) -> Callable[Concatenate[S, P], Coroutine[object, object, T]]:
    """Nothing of the call is left once it ends.

    Nautilus gives its task a `cancel` that refers to the task (2.0.0rc7, `live/_coroutine.py`). So the task,
    its context and the native command in it are garbage that only the collector finds, much of it late.
    """

    @wraps(hook)
    async def called(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(_let_go)
        return await hook(self, *args, **named)

    return called


def _let_go(task: asyncio.Task[object]) -> None:
    # The task is done: there is nothing left to cancel.
    with suppress(AttributeError):
        delattr(task, "cancel")
