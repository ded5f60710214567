"""The set-up script with interpreters that pretend: nothing is downloaded, every branch is walked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Answers what the script asks: version check and fingerprint for real, `-m venv` and `-m pip` by pretending.
INTERPRETER = f"""#!/bin/sh
case "$*" in
    *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    *"-m pip"*) printf '%s\\n' "$*" >>"$PIP_CALLS"; exit "${{PIP_RESULT:-0}}" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""
BROKEN = "#!/bin/sh\necho 'this launcher has no version to launch' >&2\nexit 127\n"
TOO_OLD = "#!/bin/sh\nexit 1\n"


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the script reads, and an environment in which only our interpreters exist."""
    root = tmp_path / "checkout"
    (root / "tools").mkdir(parents=True)
    for name in ("tools/setup.sh", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for path in ROOT.glob("venues/*/pyproject.toml"):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    return root


def setup(root: Path, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    path = os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"])
    clean = {
        "HOME": str(home),
        "PATH": path,
        "VENUEKIT_NO_UV": "1",
        "PIP_CALLS": str(root.parent / "pip-calls"),
    }
    return subprocess.run(
        ["sh", "tools/setup.sh"],
        cwd=root,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def pip_calls(root: Path) -> list[str]:
    path = root.parent / "pip-calls"
    return path.read_text().splitlines() if path.exists() else []


def test_a_launcher_that_fails_is_skipped_and_the_second_run_does_nothing(checkout, tmp_path):
    executable(tmp_path / "shims" / "python3.13", BROKEN)
    executable(tmp_path / "old" / "python3.13", TOO_OLD)
    good = executable(tmp_path / "good" / "python3.13", INTERPRETER)
    folders = [tmp_path / "shims", tmp_path / "old", tmp_path / "good"]
    first = setup(checkout, *folders)
    assert first.returncode == 0, first.stderr
    assert f"making .venv with {good}" in first.stdout
    assert "no version to launch" not in first.stdout + first.stderr
    calls = pip_calls(checkout)
    assert "setuptools==" in calls[0] or "--version" in calls[0]
    install = next(call for call in calls if "-e" in call.split())
    assert "--constraint constraints.txt" in install
    for distribution in (".[test,sim]", "venues/paradex[test]", "venues/dydx", "venues/lighter"):
        assert f"-e {distribution}" in install
    assert "http" not in install

    again = setup(checkout, *folders)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert pip_calls(checkout) == calls


def test_a_changed_pin_installs_again(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER)
    assert setup(checkout, tmp_path / "good").returncode == 0
    before = len(pip_calls(checkout))
    with (checkout / "constraints.txt").open("a") as stream:
        stream.write("something==1.0\n")
    changed = setup(checkout, tmp_path / "good")
    assert "installing" in changed.stdout
    assert "making" not in changed.stdout
    assert len(pip_calls(checkout)) > before


def test_version_managers_are_searched(checkout, tmp_path):
    hidden = tmp_path / "home" / ".pyenv" / "versions" / "3.13.9" / "bin" / "python3.13"
    executable(hidden, INTERPRETER)
    done = setup(checkout, VENUEKIT_PYTHON="")
    # The machine that runs this may hold a python3.13 in a system folder, which rightly comes first.
    assert done.returncode == 0, done.stderr
    assert ".venv with " in done.stdout


def test_a_named_interpreter_comes_first(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER)
    mine = executable(tmp_path / "mine" / "my-python", INTERPRETER)
    done = setup(checkout, tmp_path / "good", VENUEKIT_PYTHON=str(mine))
    assert f"making .venv with {mine}" in done.stdout


def test_an_interpreter_without_venv_is_named(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER.replace("mkdir -p", "exit 1; mkdir -p"))
    done = setup(checkout, tmp_path / "good")
    assert done.returncode == 1
    assert "has no working venv module" in done.stderr


def test_a_failed_installation_says_so_and_leaves_no_stamp(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER)
    done = setup(checkout, tmp_path / "good", PIP_RESULT="1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("setup: the pinned packages could not be installed")
    assert not (checkout / ".venv" / ".setup-stamp").exists()
    assert setup(checkout, tmp_path / "good").returncode == 0


def test_a_broken_venv_is_made_anew(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER)
    executable(checkout / ".venv" / "bin" / "python", BROKEN)
    done = setup(checkout, tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert "making .venv" in done.stdout


def test_uv_is_used_when_it_works_and_pip_when_it_does_not(checkout, tmp_path):
    executable(tmp_path / "good" / "python3.13", INTERPRETER)
    uv = tmp_path / "uv" / "uv"
    executable(uv, '#!/bin/sh\n[ "$1" = --version ] && exit 0\nprintf "uv %s\\n" "$*" >>"$PIP_CALLS"\n')
    done = setup(checkout, tmp_path / "uv", tmp_path / "good", VENUEKIT_NO_UV="")
    assert "installed with uv" in done.stdout
    assert any(call.startswith("uv pip install") and "-e ." in call for call in pip_calls(checkout))

    shutil.rmtree(checkout / ".venv")
    executable(uv, BROKEN)
    done = setup(checkout, tmp_path / "uv", tmp_path / "good", VENUEKIT_NO_UV="")
    assert "installed with pip" in done.stdout


def test_nothing_suitable_is_told_in_one_line(checkout, tmp_path):
    """Only where the machine has no suitable interpreter in a system folder can this be seen."""
    for folder in ("/usr", "/usr/local", "/opt/homebrew"):
        if any(Path(folder, "bin", f"python3.{minor}").exists() for minor in (13, 14)):
            pytest.skip(f"a suitable interpreter stands in {folder}")
    done = setup(checkout)
    if done.returncode == 0:
        pytest.skip("a suitable interpreter stands in a system folder")
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: no working CPython 3.13 or 3.14 found")
    assert "VENUEKIT_PYTHON" in line
