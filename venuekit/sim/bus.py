"""Events in order: collected while an operation runs, told to listeners when the exchange is consistent
again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from venuekit.sim.records import Event


class EventBus:
    """Listeners are called one event at a time; what they do to the exchange is told after what was already
    there.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []
        self._queue: deque[Event] = deque()
        self._telling = False

    def listen(self, fn: Callable[[Event], None]) -> Callable[[], None]:
        """`fn` gets every later event; the returned call detaches it."""
        self._listeners.append(fn)

        def detach() -> None:
            if fn in self._listeners:
                self._listeners.remove(fn)

        return detach

    def put(self, event: Event) -> None:
        """The event waits for `tell`."""
        self._queue.append(event)

    def tell(self) -> None:
        """Every waiting event was told; a nested call leaves that to the outer one, which keeps the order."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._queue:
                event = self._queue.popleft()
                for listener in tuple(self._listeners):
                    listener(event)
        finally:
            self._telling = False
