"""The journal in a file: what it remembers, what it refuses, who may own it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from venuekit.errors import CaptureError, ConfigError, VenuekitError
from venuekit.runtime.journal import Intent, MemoryJournal, OrderFacts
from venuekit.runtime.journal_file import FileJournal, Owner, lock_of, wal_of

OWNER = Owner("VENUE", "testnet", "0x5afe")
T0 = 1_700_000_000_000_000_000


def facts(name: str, strategy: str = "S-001") -> OrderFacts:
    return OrderFacts(name, strategy, "BTC.VENUE", "BUY", "LIMIT", "GTC", "1.5", "100.0", post_only=True)


def submit(name: str, strategy: str = "S-001") -> Intent:
    return Intent("submit", "place", facts(name, strategy), {"client_order_id": name, "nonce": 7}, T0)


def opened(path: Path, **options: bool) -> FileJournal:
    return FileJournal.opened(path, OWNER, **{"upkeep": False, **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


@pytest.fixture
def dead(path: Path) -> Iterator[Path]:
    """A journal whose process was killed with two orders open, nothing folded in."""
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal_file import opened, submit, T0
journal = opened(Path({str(path)!r}))
journal.intent([submit("O-1"), submit("O-2")])
journal.observed("O-1", {{"venue_order_id": "V1"}}, "ACCEPTED", T0 + 1)
journal.filled("O-1", "t1", T0 + 2)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    yield path


def names(journal: FileJournal) -> list[str]:
    return [entry.intent.facts.client_order_id for entry in journal.open_intents()]


# --- memory


def steps(journal: FileJournal | MemoryJournal) -> None:
    """A life of four orders."""
    journal.intent([submit("O-1"), submit("O-2", "S-002")])
    journal.observed("O-1", {"venue_order_id": "V1"}, "ACCEPTED", T0 + 1)
    journal.observed("O-1", {"venue_order_id": "V1"}, "ACCEPTED", T0 + 2)
    journal.filled("O-1", "t1", T0 + 3)
    journal.filled(None, "t2", T0 + 4)
    journal.intent([Intent("cancel", "cancel", facts("O-1"), {"tx_hash": "h"}, T0 + 5)])
    journal.intent([Intent("cancel", "cancel", facts("X-1"), {"tx_hash": "x"}, T0 + 5)])
    journal.intent([submit("O-3")])
    journal.closed("O-3", "REJECTED", T0 + 6)
    journal.observed("O-3", {"venue_order_id": "V3"}, "ACCEPTED", T0 + 7)
    journal.closed("O-9", "CANCELED", T0 + 8)


@pytest.mark.parametrize("clean", [True, False])
def test_the_next_owner_remembers_what_a_memory_would(path: Path, tmp_path: Path, clean: bool) -> None:
    plain, journal = MemoryJournal(), opened(path)
    steps(plain)
    steps(journal)
    assert list(journal.open_intents()) == list(plain.open_intents())
    if clean:
        journal.close()
    else:
        # As a crash leaves it: the files of that moment, and nobody who holds the lock.
        crashed = tmp_path / "crashed.journal"
        for of in (Path, wal_of):
            shutil.copy(of(path), of(crashed))
        path = crashed
    again = opened(path)
    assert list(again.open_intents()) == list(plain.open_intents())
    assert list(again.delivered_fills()) == list(plain.delivered_fills())
    assert names(again) == ["O-1", "O-2"]
    assert [again.used(name) for name in ("O-1", "O-3", "O-9", "X-1")] == [True, True, False, False]
    owners = [again.strategy_of(name) for name in ("O-1", "O-2", "O-3", "O-9")]
    assert owners == ["S-001", "S-002", "S-001", None]
    again.close()
    journal.close()


def test_the_latest_stamp_outlives_the_process(dead: Path) -> None:
    assert opened(dead).last_stamp_ns == T0


def test_lines_survive_a_killed_process(dead: Path) -> None:
    journal = opened(dead)
    first, second = journal.open_intents()
    assert (first.accepted, second.accepted) == (True, False)
    assert first.ids["venue_order_id"] == "V1"
    assert list(journal.delivered_fills()) == [("t1", T0 + 2)]
    journal.close()


def test_an_observation_that_says_nothing_new_writes_nothing(path: Path) -> None:
    journal = opened(path)
    journal.intent([submit("O-1")])
    for _ in range(3):
        journal.observed("O-1", {"venue_order_id": "V1"}, "ACCEPTED", T0)
    journal.observed("O-1", {"venue_order_id": "V1", "tx_hash": "h"}, "ACCEPTED", T0)
    journal.close()
    assert count(path) == 3


def count(path: Path) -> int:
    with sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True) as db:
        (found,) = db.execute("SELECT count(*) FROM entries").fetchone()
    db.close()
    return int(found)


def test_what_ended_shrinks_to_one_line(path: Path) -> None:
    journal = opened(path)
    for number in range(50):
        name = f"O-{number}"
        journal.intent([submit(name)])
        journal.observed(name, {"venue_order_id": f"V{number}"}, "ACCEPTED", T0)
        journal.intent([Intent("cancel", "cancel", facts(name), {"nonce": number}, T0)])
        journal.closed(name, "CANCELED", T0)
    journal.intent([submit("O-last")])
    journal.close()
    assert count(path) == 51
    again = opened(path)
    assert names(again) == ["O-last"]
    assert again.strategy_of("O-3") == "S-001"
    again.close()


def test_the_oldest_ends_and_fills_are_forgotten(path: Path) -> None:
    journal = opened(path)
    journal._state.most_ended = journal._state.memory.most_fills = 5
    for number in range(9):
        journal.intent([submit(f"O-{number}")])
        journal.filled(f"O-{number}", f"t{number}", T0 + number)
        journal.closed(f"O-{number}", "FILLED", T0)
    journal.close()
    assert count(path) == 10
    again = opened(path)
    assert [again.strategy_of(f"O-{n}") for n in (3, 4)] == [None, "S-001"]
    assert [key for key, _ in again.delivered_fills()] == ["t4", "t5", "t6", "t7", "t8"]
    again.close()


def test_a_line_that_cannot_be_written_is_an_error_and_not_remembered(path: Path) -> None:
    journal = opened(path)
    journal.intent([submit("O-1")])
    journal._db.execute("PRAGMA max_page_count=1")
    with pytest.raises(CaptureError, match="could not be written"):
        for number in range(200):
            journal.intent([submit(f"O-{number}-a"), submit(f"O-{number}-b")])
    kept = names(journal)
    assert len(kept) % 2 == 1, "a request is on record whole or not at all"
    journal._db.execute("PRAGMA max_page_count=100000")
    journal.intent([submit("O-after")])
    journal.close()
    with pytest.raises(CaptureError, match="closed"):
        journal.intent([submit("O-late")])
    again = opened(path)
    assert names(again) == [*kept, "O-after"]
    again.close()


# --- owners


def test_a_second_owner_is_refused_with_the_reason(path: Path) -> None:
    first = opened(path)
    with pytest.raises(ConfigError, match=f"in use by another node \\(process {os.getpid()}\\)"):
        opened(path)
    first.intent([submit("O-1")])
    first.close()
    second = opened(path)
    assert names(second) == ["O-1"]
    second.close()


def test_a_second_process_is_refused(path: Path) -> None:
    journal = opened(path)
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal_file import opened
opened(Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "in use by another node" in done.stderr
    journal.close()


@pytest.mark.parametrize(
    "owner",
    [
        Owner("VENUE", "testnet", "0xother"),
        Owner("VENUE", "prod", "0x5afe"),
        Owner("ELSE", "testnet", "0x5afe"),
    ],
)
def test_the_journal_of_another_account_is_refused(path: Path, owner: Owner) -> None:
    opened(path).close()
    with pytest.raises(ConfigError, match=r"is (the|a) journal of"):
        FileJournal.opened(path, owner)


def test_a_folder_has_one_name_an_account() -> None:
    assert OWNER.file_name() == "venue-testnet-0x5afe.journal"
    long = Owner("VENUE", "prod", "0x" + "ab" * 32)
    assert long.file_name() == "venue-prod-0xababababab-abababababab.journal"
    assert "/" not in Owner("VENUE", "prod", "../../etc").file_name()


# --- refusals


def refused(path: Path, match: str) -> None:
    """Opening is refused in words, twice the same, and no byte of what is there changed."""

    def digest() -> dict[str, str]:
        found = sorted(one for one in path.parent.iterdir() if not one.name.endswith((".lock", "-shm")))
        return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in found}

    before = digest()
    for _ in range(2):
        with pytest.raises(VenuekitError, match=match) as caught:
            opened(path)
        assert caught.value.hint
    assert digest() == before


@pytest.mark.parametrize("size", [0, 1, 50])
def test_a_cut_off_beginning_is_torn(dead: Path, size: int) -> None:
    os.truncate(dead, size)
    refused(dead, "torn")


def test_a_cut_off_file_is_torn(path: Path) -> None:
    journal = opened(path)
    for number in range(200):
        journal.intent([submit(f"O-{number}")])
    journal.close()
    os.truncate(path, path.stat().st_size // 2)
    refused(path, "torn")


def test_an_altered_line_is_torn(path: Path) -> None:
    journal = opened(path)
    journal.intent([submit("O-1")])
    journal.close()
    found = path.read_bytes()
    assert found.count(b'"quantity":"1.5"') == 1
    path.write_bytes(found.replace(b'"quantity":"1.5"', b'"quantity":"2.5"'))
    refused(path, "entry 1 is not what was written")


def test_altered_pages_are_torn(dead: Path) -> None:
    opened(dead).close()
    found = bytearray(dead.read_bytes())
    found[8192 : 8192 + 64] = b"\xff" * 64
    dead.write_bytes(found)
    refused(dead, "torn|cannot be read")


def test_a_missing_wal_file_is_noticed(dead: Path) -> None:
    wal_of(dead).unlink()
    refused(dead, "-wal is missing")


@pytest.mark.parametrize("content", [b"x", b"not a wal file, but long enough to be one"])
def test_a_damaged_wal_file_is_noticed(dead: Path, content: bytes) -> None:
    wal_of(dead).write_bytes(content)
    refused(dead, "-wal is damaged")


# A frame is 24 bytes and one page of 4096, behind 32 of the beginning: sqlite.org/fileformat2.html, 4.1.
FRAME = 24 + 4096


def frames_of(wal: Path) -> int:
    whole, rest = divmod(wal.stat().st_size - 32, FRAME)
    assert rest == 0 and whole > 2
    return whole


def altered(path: Path, at: int) -> None:
    found = bytearray(path.read_bytes())
    found[at] ^= 1
    path.write_bytes(found)


@pytest.mark.parametrize("within", [0, 9, 20, 24, 24 + 4000], ids=["page", "salt", "sum", "first", "last"])
def test_a_frame_that_is_not_what_was_written_loses_no_line_in_silence(dead: Path, within: int) -> None:
    wal = wal_of(dead)
    whole = wal.read_bytes()
    for number in range(frames_of(wal) - 1):
        altered(wal, 32 + number * FRAME + within)
        refused(dead, f"-wal is damaged: frame {number + 1} is not")
        wal.write_bytes(whole)
    assert opened(dead).used("O-2")


@pytest.mark.parametrize("at", [4, 8, 16, 24], ids=["version", "page size", "salt", "sum"])
def test_the_beginning_of_the_wal_file_is_what_was_written(dead: Path, at: int) -> None:
    altered(wal_of(dead), at)
    refused(dead, "-wal is damaged")


def test_a_line_that_a_kill_cut_short_costs_no_other(dead: Path) -> None:
    # The fill was the last line. Its process had not been told that it is on record.
    wal = wal_of(dead)
    before = wal.stat().st_size
    for cut in (1, 4096, 4097, FRAME - 1):
        os.truncate(wal, before - cut)
        (copy := dead.with_name("copy.journal")).write_bytes(dead.read_bytes())
        wal_of(copy).write_bytes(wal.read_bytes())
        journal = opened(copy)
        assert names(journal) == ["O-1", "O-2"]
        assert list(journal.delivered_fills()) == []
        journal.close()


def test_frames_of_an_older_round_are_no_damage(dead: Path) -> None:
    # SQLite begins such a file anew over the old one, whose rest behind the new end has other salts.
    wal = wal_of(dead)
    with wal.open("ab") as file:
        file.write(bytes(FRAME) * 2)
    assert names(opened(dead)) == ["O-1", "O-2"]


def test_what_a_full_disk_left_of_a_line_that_failed_is_no_damage(path: Path) -> None:
    """Later lines are written over its frames, from the first one on; the last of them was never written."""
    script = f"""
import os, resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal_file import FRAME, opened, submit, T0
from venuekit.errors import CaptureError
from venuekit.runtime.journal_file import wal_of
journal = opened(Path({str(path)!r}))
journal.intent([submit("O-1")])
full = wal_of(journal.path).stat().st_size + 5 * FRAME
resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
try:
    journal.intent([submit(f"O-late-{{number}}") for number in range(200)])
except CaptureError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.filled("O-1", "t1", T0 + 2)
    assert wal_of(journal.path).stat().st_size == full
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    journal = opened(path)
    assert names(journal) == ["O-1"]
    assert [key for key, _ in journal.delivered_fills()] == ["t1"]
    journal.close()


def test_a_process_that_ends_without_closing_is_found_as_after_a_crash(path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal_file import opened, submit
journal = opened(Path({str(path)!r}))
journal.intent([submit("O-1")])
raise SystemExit(3)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 3
    journal = opened(path)
    assert names(journal) == ["O-1"]
    journal.close()


def test_a_full_disk_is_not_taken_for_a_torn_file(path: Path) -> None:
    script = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal_file import opened
from venuekit.errors import CaptureError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
try:
    opened(Path({str(path)!r}))
except CaptureError as error:
    print(error)
"""

    def told(most: int) -> str:
        command = [sys.executable, "-c", script, str(most)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout

    assert "cannot be written" in told(100)
    assert not path.exists()
    journal = opened(path)
    journal.intent([submit("O-1")])
    journal.close()
    assert "cannot be written" in told(100)
    again = opened(path)
    assert names(again) == ["O-1"]
    again.close()


def test_what_cannot_be_read_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(CaptureError, match="cannot be read: Is a directory"):
        opened(path)
    path.rmdir()
    opened(path).close()


def test_a_journal_that_another_program_holds_is_not_taken_for_a_torn_one(dead: Path) -> None:
    """Somebody looks into it: told to move it away, a person would lose the orders in it."""
    with closing(sqlite3.connect(dead, isolation_level=None)) as other:
        other.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("SELECT count(*) FROM entries").fetchone()
        with pytest.raises(CaptureError, match="cannot be read: database is locked") as caught:
            opened(dead)
        assert "close what else has it open" in (caught.value.hint or "")
    assert names(opened(dead)) == ["O-1", "O-2"]


def test_a_journal_that_names_no_owner_is_torn(path: Path) -> None:
    opened(path).close()
    db = sqlite3.connect(path)
    db.execute("DELETE FROM facts WHERE name = 'venue'")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    refused(path, "does not say whose it is")


def test_the_wal_file_of_another_account_is_refused(dead: Path) -> None:
    other = FileJournal.opened(dead.with_name("b.journal"), Owner("VENUE", "testnet", "0xb"), upkeep=False)
    other.intent([submit("O-other")])
    wal_of(dead).write_bytes(wal_of(other.path).read_bytes())
    other.close()
    refused(dead, "-wal is of another journal")


def test_a_foreign_file_is_refused(path: Path) -> None:
    path.write_text("[node]\n" * 100, encoding="utf-8")
    refused(path, "is no journal")


def test_a_foreign_database_is_refused(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    refused(path, "database of another program")


def test_a_newer_format_is_refused(path: Path) -> None:
    opened(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=2")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    refused(path, "format 2 of a newer venuekit")


def test_a_folder_that_cannot_be_made_is_a_matter_of_config(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be made"):
        opened(tmp_path / "file" / "a.journal")


def test_the_lock_file_is_not_the_journal(path: Path) -> None:
    opened(path).close()
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name, lock_of(path).name]
    assert path.stat().st_mode & 0o077 == 0, "orders are nobody else's business"
