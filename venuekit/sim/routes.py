"""REST routing by method and path template, without a web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from attrs import define, field

from venuekit.sim.door import Request, Response

Handler = Callable[[Request, Mapping[str, str]], Awaitable[Response]]
"""(request, path parameters) -> response."""


@define
class Routes:
    """Path templates such as `/v1/orders/{id}`; literal segments win over parameters."""

    _table: list[tuple[str, tuple[str, ...], Handler]] = field(factory=list)

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Requests of this method and shape go to `handler`."""
        self._table.append((method.upper(), _segments(template), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler and its parameters, or None when no template of this method fits."""
        segments, method = _segments(path), method.upper()
        best: tuple[Handler, dict[str, str]] | None = None
        for known, template, handler in self._table:
            if known != method or len(template) != len(segments):
                continue
            params = _fit(template, segments)
            if params is not None and (best is None or len(params) < len(best[1])):
                best = (handler, params)
        return best

    def methods(self, path: str) -> tuple[str, ...]:
        """Methods that have a template for this path, for a 405 answer."""
        segments = _segments(path)
        return tuple(sorted({m for m, template, _ in self._table if _fit(template, segments) is not None}))


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _fit(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    params: dict[str, str] = {}
    for shape, part in zip(template, segments, strict=True):
        if shape.startswith("{") and shape.endswith("}"):
            params[shape[1:-1]] = unquote(part)
        elif shape != part:
            return None
    return params
