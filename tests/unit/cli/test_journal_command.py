"""`venuekit journal`: what it shows, that it finds what was altered, and that it touches nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from venuekit.cli.main import run
from venuekit.runtime.journal import Intent, OrderFacts
from venuekit.runtime.journal_file import FileJournal, Owner

T0 = 1_700_000_000_000_000_000


def filled(path: Path) -> FileJournal:
    """Two orders, one of them ended, one fill."""
    journal = FileJournal.opened(path, Owner("VENUE", "testnet", "0x5afe"), upkeep=False)
    for name in ("O-1", "O-2"):
        facts = OrderFacts(name, "MAKER-001", "BTC.VENUE", "BUY", "LIMIT", "GTC", "1.5", price="100.0")
        journal.intent([Intent("submit", "place", facts, {"client_order_id": name}, T0)])
    journal.observed("O-1", {"venue_order_id": "V1"}, "PARTIALLY_FILLED", T0 + 1)
    journal.filled("O-1", "t1", T0 + 1)
    journal.closed("O-2", "REJECTED", T0 + 2)
    return journal


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, object]]]:
    code = run(["journal", *arguments, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_show_names_the_orders_without_an_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.journal"
    filled(path).close()
    code, (head, order, *lines) = told(capsys, "show", str(path), "--lines", "2")
    assert code == 0
    assert (head["venue"], head["account"], head["open"], head["fills"]) == ("VENUE", "0x5afe", 1, 1)
    assert (order["client_order_id"], order["strategy_id"]) == ("O-1", "MAKER-001")
    assert order["ids"] == {"client_order_id": "O-1", "venue_order_id": "V1"}
    assert [line["kind"] for line in lines] == ["filled", "closed"]
    assert run(["journal", "show", str(path), "--lines", "9"]) == 0
    shown = capsys.readouterr().out
    assert "O-1" in shown
    assert "closed in order" in shown


def test_a_journal_in_use_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.journal"
    journal = filled(path)
    code, (head,) = told(capsys, "check", str(path))
    assert (code, head["valid"], head["open"], head["pid"]) == (0, True, 1, str(os.getpid()))
    facts = journal.open_intents()[0].intent.facts
    journal.intent([Intent("cancel", "cancel", facts, {"nonce": 1}, T0 + 3)])
    journal.close()


def test_a_journal_of_a_killed_process_stays_as_it_was_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.journal"
    here = str(Path(__file__).parent)
    script = (
        f"import os, signal, sys\nsys.path.insert(0, {here!r})\nfrom pathlib import Path\n"
        f"from test_journal_command import filled\nj = filled(Path({str(path)!r}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == -signal.SIGKILL
    files = [one for one in tmp_path.iterdir() if not one.name.endswith("-shm")]
    before = {one: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}
    assert len(before) == 3
    for _ in range(2):
        code, (head, order) = told(capsys, "show", str(path))
        assert (code, head["open"], order["client_order_id"]) == (0, 1, "O-1")
    assert {one: hashlib.sha256(one.read_bytes()).hexdigest() for one in files} == before


def test_check_tells_what_was_altered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.journal"
    filled(path).close()
    path.write_bytes(path.read_bytes().replace(b'"quantity":"1.5"', b'"quantity":"9.5"'))
    for name in ("check", "show"):
        code, (error,) = told(capsys, name, str(path))
        assert code == 1
        assert "is torn: 1 of 4 entries" in str(error["message"])
        assert error["hint"]


@pytest.mark.parametrize("content", [None, b"", b"[venues]\n" * 50])
def test_what_is_no_journal_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "a.journal"
    if content is not None:
        path.write_bytes(content)
    code, (error,) = told(capsys, "check", str(path))
    assert (code, error["event"]) == (1, "error")
    assert content is None or path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == (content is not None)
