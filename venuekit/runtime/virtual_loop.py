"""An event loop whose time stands still while anything can run, and then jumps to the next timer.

Nothing in it depends on the machine: time starts at 0, timers of one instant run in the order they were made,
work for a thread is done in place, and there is no socket to wait for. One seed therefore gives one history.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Executor
    from contextvars import Context

_SECOND_NS = 1_000_000_000


class DeadlockError(RuntimeError):
    """Nothing can run any more, or nothing lets time go on; the text names the tasks that wait."""


class VirtualLoop(BaseEventLoop):
    """See the module; `now_ns` is the time since its start."""

    # Of the base class, which does not declare it.
    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.most_turns = 1_000_000
        """So many turns at one instant are no progress but a circle."""
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._made = 0
        self._turns = 0

    def time(self) -> float:
        """Seconds since the start."""
        return self.now_ns / _SECOND_NS

    def call_at_ns[*T](
        self, at_ns: int, callback: Callable[[*T], object], *args: *T, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` when `at_ns` has come: after every timer of that instant that was made before."""
        self._made += 1
        timer = asyncio.TimerHandle(at_ns / _SECOND_NS, callback, args, self, context)
        heapq.heappush(self._timers, (at_ns, self._made, timer))
        return timer

    def call_at[*T](
        self, when: float, callback: Callable[[*T], object], *args: *T, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio`; `when` is taken as whole nanoseconds."""
        return self.call_at_ns(round(when * _SECOND_NS), callback, *args, context=context)

    def call_later[*T](
        self, delay: float, callback: Callable[[*T], object], *args: *T, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        return self.call_at_ns(self.now_ns + round(delay * _SECOND_NS), callback, *args, context=context)

    def pending(self) -> list[asyncio.TimerHandle]:
        """Timers that are set and have not run, in the order in which they will."""
        return [timer for _, _, timer in sorted(self._timers) if not timer.cancelled()]

    def block(self, ns: int) -> None:
        """Time went on by `ns` and nothing ran meanwhile; what fell due runs late, in order."""
        self.now_ns += ns

    def run_in_executor[*T, R](
        self, executor: Executor | None, func: Callable[[*T], R], *args: *T
    ) -> asyncio.Future[R]:
        """The work is done when this returns: in this thread, and in no time."""
        done: asyncio.Future[R] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  as an executor: what was raised belongs to who awaits it
            done.set_exception(error)
        return done

    def call_soon_threadsafe[*T](
        self, callback: Callable[[*T], object], *args: *T, context: Context | None = None
    ) -> Never:
        """Refused: what another thread does, and when, no seed repeats."""
        raise RuntimeError("a virtual loop takes no work from other threads")

    # --- called by the base class

    def _run_once(self) -> None:
        # One call of the base class for all turns until somebody stops the loop.
        self._turn()
        while not self._stopping:
            self._turn()

    def _turn(self) -> None:
        self._turns += 1
        if not self._ready:
            self._advance()
        elif self._turns > self.most_turns:
            raise DeadlockError(f"time stands still at {self.now_ns} ns; waiting: {self._waiting()}")
        while self._timers and (self._timers[0][0] <= self.now_ns or self._timers[0][2].cancelled()):
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._ready.append(timer)
        # What becomes ready meanwhile runs in the next turn, as in every asyncio loop.
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _advance(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise DeadlockError(f"nothing can run and no timer is set; waiting: {self._waiting()}")
        self._turns = 0
        self.now_ns = max(self.now_ns, self._timers[0][0])

    def _waiting(self) -> str:
        return ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self))) or "nobody"

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time comes."""

    def _process_events(self, _events: object) -> None:
        """There are none: nothing outside of the loop is waited for."""


def run[T](make: Callable[[VirtualLoop], Coroutine[object, None, T]]) -> T:
    """What `make(loop)` returned, run on a new loop that is closed afterwards."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(make(loop))
