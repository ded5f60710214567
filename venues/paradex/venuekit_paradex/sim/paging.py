"""Lists a page at a time, newest first, with cursors that a client cannot read anything into."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from attrs import define

from venuekit_paradex.sim.refusals import VenueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from venuekit.sim.door import Request

DEFAULT_SIZE = 100


def integer(request: Request, name: str, default: int, least: int = 0, most: int = 2**63) -> int:
    """A whole-number query parameter; INVALID_REQUEST_PARAMETER when it is none or out of range."""
    written = request.query_value(name)
    if not written:
        return default
    try:
        value = int(written)
    except ValueError as error:
        raise VenueError("INVALID_REQUEST_PARAMETER", f"{name} is not an integer") from error
    if not least <= value <= most:
        raise VenueError("INVALID_REQUEST_PARAMETER", f"{name} must lie between {least} and {most}")
    return value


def choice(request: Request, name: str, allowed: Sequence[str]) -> str:
    """A query parameter with a closed set of values; empty when absent."""
    value = request.query_value(name) or ""
    if value and value not in allowed:
        raise VenueError("INVALID_REQUEST_PARAMETER", f"{name}: {value[:40]!r} is unknown")
    return value


@define
class Page[Row]:
    """One page and the cursors around it; None when there is nothing further in that direction."""

    rows: list[Row]
    next: str | None
    prev: str | None


def cut[Row](
    request: Request,
    rows: Sequence[Row],
    key: Callable[[Row], tuple[int, str]],
    *,
    largest: int = 5_000,
) -> Page[Row]:
    """The page that the request's `cursor`, `page_size`, `start_at` and `end_at` ask for.

    `rows` are oldest first; `key` gives (creation ms, id). Both bounds are inclusive. A cursor marks the last
    row seen, so rows that arrive meanwhile shift nothing.
    """
    size = integer(request, "page_size", DEFAULT_SIZE, 1, largest)
    start, end = integer(request, "start_at", 0), integer(request, "end_at", 2**62)
    ordered = sorted((row for row in rows if start <= key(row)[0] <= end), key=key, reverse=True)
    begin = _begin(request.query_value("cursor"), [key(row) for row in ordered])
    chosen = ordered[begin : begin + size]
    more = begin + size < len(ordered)
    return Page(
        rows=chosen,
        next=_write(key(chosen[-1])) if chosen and more else None,
        prev=_write(key(ordered[begin - size - 1]) if begin > size else None) if begin else None,
    )


def _write(marker: tuple[int, str] | None) -> str:
    data = {"marker": None if marker is None else list(marker)}
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode()


def _begin(cursor: str | None, keys: Sequence[tuple[int, str]]) -> int:
    if not cursor:
        return 0
    try:
        marker = json.loads(base64.urlsafe_b64decode(cursor))["marker"]
        if marker is None:
            return 0
        last = (int(marker[0]), str(marker[1]))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise VenueError("INVALID_REQUEST_PARAMETER", "cursor is not valid") from error
    return sum(1 for key in keys if key >= last)
