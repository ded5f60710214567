"""Fixtures for every test below."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"


def pytest_collection_finish() -> None:
    """What all tests share, modules and the tests themselves, lives to the end: no collector need walk it.

    Many tests collect garbage to hear of what was left behind; over everything that is a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def write_dist_info(project: Path, site: Path) -> None:
    """Makes what an installer would: metadata and entry points of a distribution, beside its code."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    folder = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    folder.mkdir(parents=True)
    metadata = ["Metadata-Version: 2.1", f"Name: {about['name']}", f"Version: {about['version']}"]
    (folder / "METADATA").write_text("\n".join(metadata) + "\n")
    lines = []
    for group, points in about.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def add_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`add_plugins("broken", ...)`: distributions of tests/plugins (or folders given whole) as if installed.

    This process and every child that inherits its environment see them until the test ends.
    """
    from venuekit.host.plugins import installed

    before = set(sys.modules)

    def add(*names: str | Path) -> None:
        for name in names:
            project = PLUGINS / name  # an absolute path replaces the left side
            site = tmp_path / f"site-{project.name}"
            write_dist_info(project, site)
            for folder in (site, project):
                monkeypatch.syspath_prepend(str(folder))
                path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
                monkeypatch.setenv("PYTHONPATH", path)
        importlib.invalidate_caches()
        installed.cache_clear()

    yield add
    installed.cache_clear()
    for name in set(sys.modules) - before:
        module_file = getattr(sys.modules[name], "__file__", None) or ""
        if module_file.startswith((str(PLUGINS), str(tmp_path))):
            del sys.modules[name]
