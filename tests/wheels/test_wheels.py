"""The built wheels, each installed into an environment that sees only the declared dependencies."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "venuekit": ROOT / "venuekit",
    **{f"venuekit-{path.parent.name}": path for path in ROOT.glob("venues/*/venuekit_*") if path.is_dir()},
}
CONFIG = """
[venues.paradex]
environment = "simulator"
execution = true
key = "env:TEST_ONLY_KEY"
"""
NODE = """
import json
from venuekit.host.config import load_config
from venuekit.nautilus.node import VenueNode, client_sections
config = load_config(__import__("pathlib").Path({path!r}))
sections = client_sections(config)
node = VenueNode.from_config(config)
node.dispose()
print("SAYS", json.dumps([sorted(sections.data_clients), sorted(sections.exec_clients)]))
"""
EVERY_MODULE = """
import importlib, json, pkgutil
failed = {{}}
def walk(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = error.name
        return
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{{name}}."):
        if not found.name.endswith("__main__"):
            walk(found.name)
for package in {packages!r}:
    walk(package)
print("SAYS", json.dumps(failed))
"""


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_wheel_holds_the_whole_package_and_nothing_else(wheels, name):
    package = PACKAGES[name]
    shipped = {
        f"{package.name}/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    with ZipFile(wheels[name]) as archive:
        names = {one for one in archive.namelist() if ".dist-info/" not in one}
        metadata = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        raw, unknown = parse_email(archive.read(metadata))
    assert names == shipped
    assert not unknown
    assert raw["license_expression"] == "Apache-2.0"
    assert raw["requires_python"] == "<3.15,>=3.13"


def extras_of(wheels: dict[str, Path], name: str, wanted: frozenset[str] | None = None) -> set[str]:
    """The distributions that a wheel's extras (or those wanted) bring, also through extras of our others."""
    with ZipFile(wheels[name]) as archive:
        metadata = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        raw, _ = parse_email(archive.read(metadata))
    found: set[str] = set()
    for requirement in map(Requirement, raw.get("requires_dist", [])):
        extras = {one for one in raw.get("provides_extra", []) if wanted is None or one in wanted} - {"test"}
        marker = requirement.marker
        if marker is None or not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        other = canonicalize_name(requirement.name)
        more = extras_of(wheels, other, frozenset(requirement.extras)) if other in wheels else {other}
        found |= more
    return found


def test_modules_need_what_is_declared_or_an_extra_that_is(wheels, environment):
    """An import that only works here, because something else brought it, would break for a user."""
    made = environment("venuekit-paradex", "venuekit-dydx", "venuekit-lighter")
    made.check()
    failed = made.python_says(EVERY_MODULE.format(packages=[path.name for path in PACKAGES.values()]))
    brings = packages_distributions()
    for module, missing in failed.items():
        name = module.partition(".")[0].replace("_", "-")
        offered = {canonicalize_name(one) for one in brings.get(missing.partition(".")[0], ())}
        assert offered & extras_of(wheels, name), f"{module} needs {missing}, which no extra brings"
    # Without these failures the environment would see more than it should.
    assert {"aiohttp", "prometheus_client", "opentelemetry"} <= {
        one.partition(".")[0] for one in failed.values()
    }
    assert "venuekit.cli.main" not in failed
    assert "venuekit_paradex.plugin" not in failed


def test_a_venue_appears_with_its_wheel_and_goes_with_it(wheels, environment, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(CONFIG)
    made = environment()
    assert made.rows("venues") == []
    refused = made.run("config", "check", path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: venues.paradex: no venue named 'paradex' is installed")

    made.install(wheels["venuekit-paradex"])
    made.check()
    (row,) = made.rows("venues")
    assert (row["key"], row["distribution"], row["trades"]) == ("paradex", "venuekit-paradex", True)
    (checked,) = made.rows("config", "check", path)
    assert checked["venues"]["paradex"]["execution"] is True
    assert made.python_says(NODE.format(path=str(path))) == [["PARADEX"], ["PARADEX"]]
    # What needs an extra says which.
    lacking = made.run("sim", "paradex")
    assert lacking.returncode == 1
    assert "aiohttp" in lacking.stderr
    assert "sim" in lacking.stderr.splitlines()[1]
    for section, extra in (("metrics.port=0", "metrics"), ("tracing.commands=true", "tracing")):
        told = made.run("run", path, "--set", section)
        assert told.returncode == 1
        assert told.stderr.splitlines()[-1] == f"hint:  install venuekit[{extra}]."

    made.install(wheels["venuekit-lighter"])
    assert {one["key"] for one in made.rows("venues")} == {"lighter", "paradex"}
    made.uninstall("venuekit-paradex")
    assert {one["key"] for one in made.rows("venues")} == {"lighter"}
    assert made.run("config", "check", path).returncode == 1


def test_a_package_may_replace_only_the_stream_transport(environment, simulator, tmp_path):
    made = environment("venuekit-paradex", "venuekit-only-stream")
    told, path = tmp_path / "told", tmp_path / "node.toml"
    addresses = "".join(f'addresses.{name} = "{url}"\n' for name, url in simulator["addresses"].items())
    path.write_text(f'[venues.paradex]\nenvironment = "simulator"\n{addresses}')
    record = (
        "record",
        "paradex",
        "--config",
        path,
        "--out",
        tmp_path / "capture",
        "--market",
        "BTC-USD-PERP",
        "--secs",
        "1",
    )
    plain = made.run(*record)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert not told.exists(), "installed is not chosen"
    choose = [
        "--set=venues.paradex.transport.stream=told",
        f"--set=venues.paradex.transport.options.stream.file={told}",
    ]
    done = made.run(*record[:5], tmp_path / "second", *record[6:], *choose)
    assert done.returncode == 0, done.stdout + done.stderr
    (connected,) = told.read_text().splitlines()
    assert connected.startswith(str(simulator["addresses"]["stream"]))
    wrong = made.run(*record, "--set=venues.paradex.transport.stream=toll")
    assert wrong.returncode == 1
    assert "did you mean 'stream/told'?" in wrong.stderr


def test_a_package_may_replace_only_the_retry_policy(environment, tmp_path):
    made = environment("venuekit-dydx", "venuekit-only-retry")
    told = tmp_path / "told"
    closed = "--set=venues.dydx.addresses.rest=http://127.0.0.1:9"
    choose = [
        "--set=venues.dydx.transport.retry=told",
        f"--set=venues.dydx.transport.options.retry={{ file = '{told}', attempts = 5 }}",
    ]
    done = made.run("instruments", "dydx", closed, *choose)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert told.read_text().split() == ["1", "2", "3", "4", "5"]


def test_the_environment_is_honest(environment):
    """The tests above prove nothing in an environment that sees the checkout or what was installed for it."""
    made = environment()
    code = """
import importlib.metadata as m, json, sys, venuekit
print("SAYS", json.dumps([sorted(d.name.lower() for d in m.distributions()), venuekit.__file__, sys.path]))
"""
    names, where, paths = made.python_says(code)
    assert not {"pytest", "aiohttp", "hypothesis", "eth-account", "mypy", "pip", "venuekit-paradex"} & set(
        names
    )
    assert where.startswith(str(made.folder))
    assert not [path for path in paths if path.startswith(str(ROOT))]
