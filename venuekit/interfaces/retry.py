"""When to try again. WHETHER is the framework's own table over operation, evidence and error."""

from __future__ import annotations

from typing import Protocol


class RetryPolicy(Protocol):
    """Delays between attempts."""

    def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, u: float) -> int | None:
        """Nanoseconds to wait before attempt `attempt` + 1, or None to give up.

        `attempt` counts from 1, `elapsed_ns` runs since the first attempt, `hint_ns` is what the venue
        asked for, `u` is a draw in [0, 1).
        """
        ...
