"""Let the venue's official Python client trade on the simulator: onboarding, login, orders, streams.

The client's signer has wheels for CPython 3.10 only, so it runs in its own interpreter and folder
(`.independent/`), with the versions of `paradex_sdk.txt`. Nothing of it is imported here. Exit codes: 0 it
traded and the ledger agrees, 1 it did not, 2 no fitting interpreter or the installation failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / ".independent" / "paradex_sdk"
PINS = HERE / "paradex_sdk.txt"
CLIENT = HERE / "paradex_sdk_client.py"
WANTED = (3, 10)
INSTALL_SECS, CLIENT_SECS, READY_SECS = 600, 90, 30
PROBE = "import sys; print(sys.implementation.name, *sys.version_info[:2])"


def candidates() -> Iterator[str]:
    """Interpreters that may fit: on the path, in the folders of version managers, and what uv knows."""
    name = "python{}.{}".format(*WANTED)
    for command in (name, "python3", "python"):
        found = shutil.which(command)
        if found:
            yield found
    home = Path.home()
    roots = [Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"]
    roots += [home / ".asdf/installs/python", home / ".local/share/mise/installs/python"]
    roots += [home / ".local/share/uv/python", Path("/opt"), Path("/usr/local")]
    for root in roots:
        yield from (str(path) for path in sorted(root.glob(f"*/bin/{name}")))
    uv = shutil.which("uv")
    if uv:
        answer = subprocess.run(
            [uv, "python", "find", "{}.{}".format(*WANTED)], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            yield answer.stdout.strip()


def interpreter() -> str | None:
    """The first candidate that runs and is the wanted CPython; a launcher that fails is skipped."""
    for path in candidates():
        try:
            answer = subprocess.run(
                [path, "-c", PROBE], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and answer.stdout.split() == ["cpython", *map(str, WANTED)]:
            return path
    return None


def set_up() -> Path | None:
    """The client's interpreter with everything pinned, or None when that cannot be had here."""
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "stamp"
    digest = sha256(PINS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest and python.exists():
        return python
    base = interpreter()
    if base is None:
        print("skipped: no CPython {}.{} on this machine (the client's signer needs it)".format(*WANTED))
        return None
    shutil.rmtree(FOLDER, ignore_errors=True)
    steps = [
        [base, "-m", "venv", str(FOLDER)],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            "--no-deps",
            "-r",
            str(PINS),
        ],
    ]
    try:
        for step in steps:
            subprocess.run(step, check=True, timeout=INSTALL_SECS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        print(f"skipped: the client could not be installed: {error}")
        return None
    stamp.write_text(digest)
    return python


def simulator() -> tuple[subprocess.Popen[str], dict[str, object]]:
    """The simulator as a process of its own, and what it says when it is ready."""
    start = "from venuekit.cli.main import main; main()"
    command = [sys.executable, "-c", start, "sim", "paradex", "--json", "--port", "0"]
    # The client knows four chain ids only, so the simulator plays the mock one: no real chain has it.
    command += ["--option", "chain_id=PRIVATE_SN_POTC_MOCK_SEPOLIA"]
    process = subprocess.Popen(
        [*command, "--secs", str(READY_SECS + CLIENT_SECS)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"the simulator did not start (exit code {process.wait()})")
    return process, json.loads(line)


def judge(told: dict[str, object], control: str) -> list[str]:
    """What the client says against what truly happened."""
    with urlopen(f"{control}/ledger") as answer:
        ledger = json.load(answer)
    mine = [row for row in ledger["fills"] if row["account"] == told["account"]]
    true = sorted((row["id"], row["price"], row["quantity"]) for row in mine)
    faults = []
    for source in ("rest_fills", "json_fills", "sbe_fills"):
        said = sorted(tuple(row) for row in told[source])
        if said != true:
            faults.append(f"{source}: client has {said}, ledger has {true}")
    if not true:
        faults.append("nothing was filled")
    orders = {row["id"] for row in ledger["orders"] if row["account"] == told["account"]}
    if not set(told["orders"]) <= orders:
        faults.append("the client knows orders that the ledger does not")
    return faults


def main() -> int:
    """Set up, run, compare."""
    python = set_up()
    if python is None:
        return 2
    process, ready = simulator()
    addresses = ready["addresses"]
    try:
        answer = subprocess.run(
            [str(python), str(CLIENT), addresses["rest"], addresses["stream"]],
            capture_output=True,
            text=True,
            timeout=CLIENT_SECS,
            check=False,
        )
        if answer.returncode:
            print(answer.stdout, answer.stderr, sep="\n")
            print(f"failed: the client ended with exit code {answer.returncode}")
            return 1
        told = json.loads(answer.stdout.splitlines()[-1])
        faults = judge(told, str(ready["control"]))
    except subprocess.TimeoutExpired:
        print(f"failed: the client took longer than {CLIENT_SECS} s")
        return 1
    finally:
        process.terminate()
        process.wait(10)
    for fault in faults:
        print(f"failed: {fault}")
    if not faults:
        counts = {"orders": told["orders"], "fills": told["rest_fills"]}
        done = ", ".join(f"{len(rows)} {name}" for name, rows in counts.items())
        frames = f"{told['bbo_frames']} quotes, {told['book_frames']} books"
        print(f"ok: {told['client']} onboarded and logged in; {done}, {frames}; the ledger agrees")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
