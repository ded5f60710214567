"""Counting what happened, so that nothing disappears in silence."""

from __future__ import annotations

from typing import Protocol


class Counters(Protocol):
    """Named counters; a name is dotted, lower case, e.g. `frames.in` or `quarantined.bad_json`."""

    def inc(self, name: str, n: int = 1) -> None:
        """Counter `name` is larger by `n` after this."""
        ...
