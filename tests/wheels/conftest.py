"""Builds every distribution once a run, and makes environments that hold what was declared, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from email import message_from_bytes
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "venuekit": ROOT,
    "venuekit-paradex": ROOT / "venues" / "paradex",
    "venuekit-dydx": ROOT / "venues" / "dydx",
    "venuekit-lighter": ROOT / "venues" / "lighter",
    "venuekit-only-stream": ROOT / "tests" / "plugins" / "only_stream",
    "venuekit-only-retry": ROOT / "tests" / "plugins" / "only_retry",
}
BUILD_WITHIN_SECS = 50


def _run(*command: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # Nothing of this process's own environment: neither paths nor package sources.
    clean = {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "PYTHONSAFEPATH": "1",  # or the folder that the tests are run in, the checkout, would come first
        **(env or {}),
    }
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=55, check=False, env=clean
    )


def _pip(*arguments: str | Path) -> None:
    done = _run(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def _copy(name: str, to: Path) -> Path:
    """The sources of one distribution alone: a build leaves folders behind, and older ones would leak in."""
    source = SOURCES[name]
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*", "tests")
    target = to / name
    if source == ROOT:
        target.mkdir()
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, target)
        shutil.copytree(ROOT / "venuekit", target / "venuekit", ignore=leave)
    else:
        shutil.copytree(source, target, ignore=leave)
    return target


def _build(folder: Path) -> None:
    """All wheels, by the projects' own backend. No build environment: its download would need a network."""
    sources = folder / "sources"
    sources.mkdir()
    copies = [_copy(name, sources) for name in SOURCES]
    _pip("wheel", "--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", folder / "dist", *copies)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> dict[str, Path]:
    """Every wheel by the name of its distribution; the first of several test processes builds for all."""
    folder = tmp_path_factory.getbasetemp().parent / f"wheels-{testrun_uid}"
    ready = folder / "ready"
    try:
        folder.mkdir()
    except FileExistsError:
        end = time.monotonic() + BUILD_WITHIN_SECS
        while not ready.exists():
            assert time.monotonic() < end, "the other process builds for too long"
            time.sleep(0.05)
    else:
        _build(folder)
        ready.touch()
    found = {canonicalize_name(path.name.partition("-")[0]): path for path in (folder / "dist").glob("*.whl")}
    assert set(found) == set(SOURCES)
    return found


def declared(wheel: Path) -> set[str]:
    """The names of everything that a wheel requires, without extras, all the way down."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    closed: set[str] = set()
    pending = _needed(metadata.get_all("Requires-Dist") or [], set())
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name not in closed and name not in SOURCES:
            closed.add(name)
            pending += _needed(distribution(name).requires or [], requirement.extras)
    return closed


def _needed(lines: list[str], extras: set[str]) -> list[Requirement]:
    requirements = [Requirement(line) for line in lines]
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _link(found: Distribution, site: Path) -> None:
    """Every top-level file and folder of an installed distribution, as a link."""
    names = {Path(str(file)).parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    for name in sorted(names):
        path = Path(str(found.locate_file(name)))
        if not (site / name).exists():
            (site / name).symlink_to(path, target_is_directory=path.is_dir())


@frozen
class Environment:
    """A virtual environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, wheel: Path) -> None:
        _pip("--python", self.python, "install", "--no-index", "--no-deps", "--no-compile", wheel)

    def uninstall(self, name: str) -> None:
        _pip("--python", self.python, "uninstall", "--yes", name)

    def check(self) -> None:
        """What is installed has what it declares, in the versions it declares."""
        _pip("--python", self.python, "check")

    def run(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """The command `venuekit` that the wheel brought."""
        return _run(self.folder / "bin" / "venuekit", *arguments, env=env)

    def rows(self, *arguments: str | Path) -> list[dict[str, object]]:
        """What a command prints in JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def python_says(self, code: str, **env: str) -> object:
        """What a program prints behind `SAYS `, in JSON; a node's log may print around it."""
        done = _run(self.python, "-c", code, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        (said,) = [line for line in done.stdout.splitlines() if line.startswith("SAYS ")]
        return json.loads(said.removeprefix("SAYS "))


@pytest.fixture
def environment(wheels: dict[str, Path], tmp_path: Path) -> Callable[..., Environment]:
    """`environment("venuekit-paradex", ...)`: venuekit and these, with their declared dependencies alone."""

    def make(*names: str) -> Environment:
        made = Environment(tmp_path / "environment")
        venv.create(made.folder, symlinks=True, with_pip=False)
        (site,) = made.folder.glob("lib/python3.*/site-packages")
        for dependency in sorted(set().union(*(declared(wheels[name]) for name in ("venuekit", *names)))):
            _link(distribution(dependency), site)
        for name in ("venuekit", *names):
            made.install(wheels[name])
        return made

    return make


@pytest.fixture
def simulator() -> Iterator[dict[str, object]]:
    """The simulator of the checkout, which has its extras: its `ready` line."""
    command = [Path(sys.executable).with_name("venuekit"), "sim", "paradex", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=10)
