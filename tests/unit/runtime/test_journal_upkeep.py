"""The files of a journal stay small beside a writer, and nothing of what was written is lost by it."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Lock

import pytest

from venuekit.runtime import journal_upkeep
from venuekit.runtime.journal import Intent, OrderFacts
from venuekit.runtime.journal_file import FileJournal, Owner, wal_of
from venuekit.runtime.journal_upkeep import Upkeep
from venuekit.runtime.telemetry import CounterTable

OWNER = Owner("VENUE", "testnet", "0x5afe")
T0 = 1_700_000_000_000_000_000


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def live(journal: FileJournal, number: int) -> None:
    """One order from its intent to its end."""
    name = f"O-{number}"
    facts = OrderFacts(name, "S-001", "BTC.VENUE", "BUY", "LIMIT", "GTC", "1.5", price="100.0")
    journal.intent([Intent("submit", "place", facts, {"client_order_id": name}, T0 + number)])
    journal.observed(name, {"venue_order_id": f"V{number}"}, "ACCEPTED", T0 + number)
    if number % 10:
        journal.filled(name, f"t{number}", T0 + number)
        journal.closed(name, "FILLED", T0 + number)


def count(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        (found,) = db.execute("SELECT count(*) FROM entries").fetchone()
    return int(found)


def test_an_idle_journal_is_tidied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_upkeep, "TURN_SECS", 0.02)
    path = tmp_path / "a.journal"
    journal = FileJournal.opened(path, OWNER)
    for number in range(300):
        live(journal, number)
    until(lambda: wal_of(path).stat().st_size < 20_000, "the -wal file is empty but for the mark of it")
    # 270 ended ones with a fill and an end each, 30 open ones with two lines.
    assert count(path) == 270 * 2 + 30 * 2
    live(journal, 999)
    journal.close()
    again = FileJournal.opened(path, OWNER)
    assert len(again.open_intents()) == 30
    assert len(again.delivered_fills()) == 271
    again.close()


def test_a_busy_writer_loses_nothing_and_the_files_stay_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_upkeep, "TURN_SECS", 0.002)
    monkeypatch.setattr(journal_upkeep, "_BUSY_BYTES", 100_000)
    monkeypatch.setattr(journal_upkeep, "_MOST_BYTES", 2_000_000)
    path = tmp_path / "a.journal"
    counters = CounterTable()
    journal = FileJournal.opened(path, OWNER, counters=counters)
    sizes = []
    for number in range(3_000):
        live(journal, number)
        sizes.append(wal_of(path).stat().st_size)
        if number % 100 == 0:
            time.sleep(0.001)  # lets the other thread run where the machine has no core to spare
    cut = [after for before, after in itertools.pairwise(sizes) if after < before]
    assert cut, "it was cut back while lines were written"
    assert max(sizes) > 100_000
    journal.close()
    assert counters.get("journal.upkeep_failed") == 0
    again = FileJournal.opened(path, OWNER)
    names = [entry.intent.facts.client_order_id for entry in again.open_intents()]
    assert names == [f"O-{number}" for number in range(0, 3_000, 10)]
    assert [key for key, _ in again.delivered_fills()] == [f"t{n}" for n in range(3_000) if n % 10]
    again.close()


def test_upkeep_that_fails_is_counted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_upkeep, "TURN_SECS", 0.005)
    path = tmp_path / "a.journal"
    FileJournal.opened(path, OWNER, upkeep=False).close()
    calls: list[int] = []

    def dead(most: int) -> list[int]:
        calls.append(most)
        if len(calls) < 3:
            raise sqlite3.OperationalError("disk I/O error")
        return []

    counters = CounterTable()
    upkeep = Upkeep(path, Lock(), dead, counters)
    upkeep.start()
    upkeep.writes = 1
    until(lambda: len(calls) >= 3, "it goes on")
    upkeep.stop()
    assert counters.get("journal.upkeep_failed") == 2


def test_lines_that_cannot_be_dropped_keep_no_new_ones_out(tmp_path: Path) -> None:
    class Failing(sqlite3.Connection):
        def executemany(self, *_: object) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("disk I/O error")

    path = tmp_path / "a.journal"
    journal = FileJournal.opened(path, OWNER, upkeep=False)
    live(journal, 1)
    upkeep = Upkeep(path, Lock(), journal.take_dead, writes=1)
    with (
        closing(sqlite3.connect(path, isolation_level=None, timeout=0, factory=Failing)) as failing,
        closing(sqlite3.connect(path, isolation_level=None)) as one,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        upkeep.turn(failing, one, other)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O"):
            upkeep.turn(failing, one, other)
        live(journal, 2)
    journal.close()


def test_a_journal_whose_upkeep_cannot_start_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: journal_upkeep.Thread) -> None:
        raise RuntimeError("can't start new thread")

    path = tmp_path / "a.journal"
    with monkeypatch.context() as patch:
        patch.setattr(journal_upkeep.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="start new thread"):
            FileJournal.opened(path, OWNER)
    FileJournal.opened(path, OWNER).close()
