"""Keeps a journal's files small from a thread of its own, on an own connection, out of the writer's way."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from venuekit.interfaces.telemetry import Counters

TURN_SECS = 0.5
"""How often it looks; a journal without a write for one turn is idle."""
_BREATH_SECS = 0.005
"""Between two chunks, so that the writer gets its turn."""
_BUSY_BYTES = 8 << 20
_MOST_BYTES = 256 << 20
_CHUNK, _CHUNK_BUSY = 5_000, 200
_AT_ONCE = 50
"""Lines dropped at once; the writer waits meanwhile."""
_WAIT_SECS = 1.0


@define
class Upkeep:
    """Moves lines from the `-wal` file into the journal and drops those nobody needs.

    While lines are being written only work that does not stop the writer is done. Whatever would (to empty
    the `-wal` file, and the flush that follows) waits for an idle moment, unless that file grows too large.
    """

    _path: Path
    _mutex: Lock
    """Held by whoever writes."""
    _take_dead: Callable[[int], list[int]]
    _counters: Counters | None = None
    _log: logging.Logger | None = None
    writes: int = 0
    """Counted up by the writer."""
    _seen: int = 0
    _tidied: int = 0
    _stop: Event = field(factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """The thread runs until `stop`."""
        self._thread = Thread(target=self._run, name="journal-upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The thread is gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        with (
            closing(_connection(self._path)) as db,
            closing(_connection(self._path)) as one,
            closing(_connection(self._path)) as other,
        ):
            while not self._stop.wait(TURN_SECS):
                try:
                    one, other = self.turn(db, one, other)
                except sqlite3.Error as error:
                    # Nothing is lost by it, the files are only larger: counted, logged, repeated.
                    if self._counters is not None:
                        self._counters.inc("journal.upkeep_failed")
                    if self._log is not None:
                        self._log.warning("upkeep of the journal failed: %s", error)

    def turn(
        self, db: sqlite3.Connection, pinned: sqlite3.Connection, free: sqlite3.Connection
    ) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """One look, and what there is to do; the two readers are handed back for the next turn."""
        writes = self.writes
        idle, self._seen = writes == self._seen, writes
        size = self._wal_bytes()
        if (idle and writes != self._tidied) or size > _MOST_BYTES:
            if not (idle and self._drop(db, _CHUNK)):
                _end(pinned)
                self._empty(db)
                self._tidied = writes
        elif not idle and size > _BUSY_BYTES:
            self._drop(db, _CHUNK_BUSY)
            # An open reader keeps the writer from starting the `-wal` file anew, which costs it a flush.
            # The new one begins before the old one ends, and lets everything written so far be moved.
            free.execute("BEGIN")
            free.execute("SELECT count(*) FROM facts").fetchone()
            _end(pinned)
            pinned, free = free, pinned
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return pinned, free

    def _drop(self, db: sqlite3.Connection, most: int) -> bool:
        """True when lines were dropped."""
        dead = self._take_dead(most)
        for start in range(0, len(dead), _AT_ONCE):
            chunk = dead[start : start + _AT_ONCE]
            with self._mutex:
                db.execute("BEGIN IMMEDIATE")
                try:
                    db.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq in chunk])
                    db.execute("COMMIT")
                except BaseException:
                    # Left open, it would keep every later line out.
                    db.rollback()
                    raise
            self._stop.wait(_BREATH_SECS)
        return bool(dead)

    def _empty(self, db: sqlite3.Connection) -> None:
        """The `-wal` file is empty and its new beginning is flushed, so that the next line costs no flush."""
        with self._mutex:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('tidied', ?)", (str(self.writes),))

    def _wal_bytes(self) -> int:
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:
            return 0


def _end(reader: sqlite3.Connection) -> None:
    if reader.in_transaction:
        reader.execute("COMMIT")


def _connection(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=_WAIT_SECS, check_same_thread=False)
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    return db
