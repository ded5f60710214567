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

    _table: dict[tuple[str, int], list[tuple[tuple[str, ...], Handler]]] = field(factory=dict)
    """By method and number of segments."""

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Requests of this method and shape go to `handler`."""
        segments = _segments(template)
        self._table.setdefault((method.upper(), len(segments)), []).append((segments, handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler and its parameters, or None when no template of this method fits."""
        segments = _segments(path)
        best: tuple[Handler, dict[str, str]] | None = None
        for template, handler in self._table.get((method.upper(), len(segments)), ()):
            params = _fit(template, segments)
            if params is not None and (best is None or len(params) < len(best[1])):
                best = (handler, params)
        return best

    def methods(self, path: str) -> tuple[str, ...]:
        """Methods that have a template for this path, for a 405 answer."""
        segments = _segments(path)
        return tuple(
            sorted(
                method
                for (method, length), known in self._table.items()
                if length == len(segments) and any(_fit(one, segments) is not None for one, _ in known)
            )
        )


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _fit(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for shape, part in zip(template, segments, strict=True):
        if shape.startswith("{") and shape.endswith("}"):
            params[shape[1:-1]] = unquote(part)
        elif shape != part:
            return None
    return params
