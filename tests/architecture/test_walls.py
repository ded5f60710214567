"""Who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tree

STDLIB = sys.stdlib_module_names


def under(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def offences(paths, allowed, **options) -> list[str]:
    return [
        f"{tree.name_of(path)}:{line} imports {name}"
        for path in paths
        for line, name in tree.imports(path, **options)
        if not allowed(path, name)
    ]


def room(name: str) -> list[Path]:
    return sorted((tree.FRAMEWORK / name).rglob("*.py"))


def test_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_interfaces_import_attrs_and_the_standard_library():
    def allowed(path: Path, name: str) -> bool:
        top = name.partition(".")[0]
        hooks = path.name == "hooks.py" and top == "pluggy"
        return (
            top in STDLIB or top == "attrs" or hooks or under(name, "venuekit.interfaces", "venuekit.errors")
        )

    assert tree.none(offences([*room("interfaces"), tree.FRAMEWORK / "errors.py"], allowed))


@pytest.mark.parametrize("name", ["core", "runtime", "transport", "host"])
def test_rooms_below_the_bridge_use_the_model_of_nautilus_only(name):
    def allowed(_: Path, imported: str) -> bool:
        return not under(imported, "nautilus_trader") or under(imported, "nautilus_trader.model")

    # Annotations may name more only where nothing else exists: they are held to the same rule.
    assert tree.none(offences(room(name), allowed, with_typing=True))


def test_only_commands_import_the_simulator_kit_and_only_inside_functions():
    def allowed(_: Path, name: str) -> bool:
        return not under(name, "venuekit.sim")

    outside = [
        path
        for path in tree.product()
        if path.is_relative_to(tree.FRAMEWORK)
        and not path.is_relative_to(tree.FRAMEWORK / "sim")
    ]
    commands = [path for path in outside if path.is_relative_to(tree.FRAMEWORK / "cli")]
    assert tree.none(offences([path for path in outside if path not in commands], allowed))
    assert tree.none(offences(commands, allowed, with_lazy=False))


def test_the_simulator_kit_stands_alone():
    def allowed(_: Path, name: str) -> bool:
        top = name.partition(".")[0]
        libraries = {"attrs", "aiohttp", "msgspec", "grpc", "multidict"}
        return (
            top in STDLIB
            or top in libraries
            or under(name, "venuekit.sim", "venuekit.interfaces", "venuekit.errors")
        )

    assert tree.none(offences(room("sim"), allowed, with_typing=True))


@pytest.mark.parametrize("venue", tree.VENUES, ids=lambda path: path.name)
def test_a_venue_keeps_to_its_walls(venue):
    own = venue.name

    def allowed(path: Path, name: str) -> bool:
        if under(name, "venuekit"):
            ports = [
                "venuekit.interfaces",
                "venuekit.errors",
                "venuekit.core.numbers",
                "venuekit.core.symbols",
            ]
            return under(name, *ports)
        if under(name, "nautilus_trader"):
            return under(name, "nautilus_trader.model")
        if name.partition(".")[0].startswith("venuekit_"):
            return under(name, own) and not under(name, f"{own}.sim")
        return not under(name, "httpx", "websockets", "aiohttp", "grpc.aio", "picows", "requests")

    client = [path for path in venue.rglob("*.py") if not path.is_relative_to(venue / "sim")]
    assert tree.none(offences(client, allowed, with_typing=True))


@pytest.mark.parametrize("venue", tree.VENUES, ids=lambda path: path.name)
def test_a_simulator_is_not_the_echo_of_its_client(venue):
    own = venue.name

    def allowed(path: Path, name: str) -> bool:
        if under(name, own):
            return under(name, f"{own}.sim")
        if under(name, "venuekit"):
            return under(name, "venuekit.sim", "venuekit.interfaces", "venuekit.errors")
        return not under(name, "nautilus_trader", "httpx", "websockets") and not name.startswith("venuekit_")

    assert tree.none(offences((venue / "sim").rglob("*.py"), allowed, with_typing=True))


def test_network_libraries_live_in_their_drivers():
    drivers = {
        "httpx": "transport/http.py",
        "websockets": "transport/websocket.py",
        "grpc": "transport/grpc.py",
    }

    def allowed(path: Path, name: str) -> bool:
        if path.is_relative_to(tree.FRAMEWORK / "sim") or "sim" in path.parts:
            return True
        top = name.partition(".")[0]
        if top in ("aiohttp", "picows", "httpcore"):
            return path.is_relative_to(tree.FRAMEWORK / "transport")
        return top not in drivers or tree.name_of(path) == f"venuekit/{drivers[top]}"

    assert tree.none(offences(tree.product(), allowed, with_typing=True))


# Decisions take events and time, and return events: nothing in these rooms may wait, draw or ask the clock.
NO_EFFECTS = ("asyncio", "socket", "sqlite3", "threading", "subprocess", "time", "random", "secrets")


def test_core_has_no_effects():
    assert tree.none(offences(room("core"), lambda _, name: not under(name, *NO_EFFECTS), with_typing=True))


def test_time_and_chance_come_from_the_clock():
    """`time`, `random` and `asyncio.sleep` live in runtime/clock.py; a simulator may seed a Random."""
    clock = tree.FRAMEWORK / "runtime" / "clock.py"

    def allowed(path: Path, name: str) -> bool:
        seeded = name == "random.Random" and "sim" in path.relative_to(tree.ROOT).parts
        return (
            path == clock or seeded or not under(name, "time", "random", "datetime.datetime.now", "secrets")
        )

    assert tree.none(offences(tree.product(), allowed, with_typing=True))
    asked = (
        "asyncio.sleep(",
        "loop.time(",
        ".call_later(",
        ".loop().time(",
        "datetime.now(",
        "utcnow(",
        "urandom(",
    )
    found = [
        f"{tree.name_of(path)}: {word}"
        for path in tree.product()
        if path != clock
        for word in asked
        if word in path.read_text()
    ]
    assert tree.none(found)
