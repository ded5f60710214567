"""The bridge answers every hook that Nautilus's base classes offer, with the same signature."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from nautilus_trader.live.clients import ExecutionClient, MarketDataClient

from venuekit.nautilus.data import VenueDataClient
from venuekit.nautilus.execution import VenueExecutionClient

PAIRS = [(MarketDataClient, VenueDataClient), (ExecutionClient, VenueExecutionClient)]


def _hooks(base: type) -> Iterator[tuple[str, object]]:
    """Every method that the engine calls on a client: private, and not one of the output doors."""
    for cls in base.__mro__:
        if cls.__module__.startswith("nautilus_trader"):
            for name, member in vars(cls).items():
                is_hook = name.startswith("_") and not name.startswith(("__", "_handle_"))
                if is_hook and inspect.isfunction(member):
                    yield name, member


ALL = [(base, ours, name) for base, ours in PAIRS for name, _member in _hooks(base)]


def test_the_walk_finds_the_hooks() -> None:
    # The counts of 2.0.0rc7; another number means that the release candidate has other hooks.
    found = [sum(1 for base, _ours, _name in ALL if base is wanted) for wanted, _ours in PAIRS]
    assert found == [41, 21]


@pytest.mark.parametrize(
    ("base", "ours", "name"), ALL, ids=[f"{ours.__name__}.{name}" for _b, ours, name in ALL]
)
def test_the_bridge_has_the_hook(base: type, ours: type, name: str) -> None:
    theirs = dict(_hooks(base))[name]
    mine = next((vars(cls)[name] for cls in ours.__mro__ if name in vars(cls)), None)
    assert mine is not None
    assert mine.__module__.startswith("venuekit."), "the base's own version is in force"
    assert inspect.iscoroutinefunction(mine) == inspect.iscoroutinefunction(theirs)
    shape = [(one.name, one.kind, one.default) for one in inspect.signature(theirs).parameters.values()]
    assert [(one.name, one.kind, one.default) for one in inspect.signature(mine).parameters.values()] == shape
