"""The journal in a file: SQLite in WAL mode, one file an account, one owner at a time.

A line is on record when the call returns: it survives the end of the process in any way. What the machine
loses with its power depends on `durable`.
A file that is torn, foreign, newer or somebody else's is refused and stays as it is.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from attrs import frozen

from venuekit.errors import CaptureError, ConfigError
from venuekit.runtime.journal_entries import (
    Entry,
    Kind,
    Replay,
    encode_closed,
    encode_filled,
    encode_observed,
    with_intent,
)
from venuekit.runtime.journal_upkeep import Upkeep
from venuekit.runtime.journal_wal import damage

if TYPE_CHECKING:
    from venuekit.interfaces.telemetry import Counters
    from venuekit.runtime.journal import Intent, OpenIntent, Plain

APPLICATION_ID = 0x766B6A6C
"""In the header of the file: `vkjl`."""
FORMAT = 1
"""Of the tables; a file with a higher one is of a newer venuekit."""
SUFFIX = ".journal"
_MAGIC = b"SQLite format 3\0"
_LOCK_SECS = 0.5
_BUSY_SECS = 5.0
_UNSOUND = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_ITS_CONTENT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
)
_WAL_READS = 3
"""A node may be writing: what looks damaged is read again."""
_AWAY = "move it and the files that begin with its name away to begin anew; the venue is asked for the rest."
_OPEN = "close what else has it open, or check whose file it is, and its mode."
_EACH = "give every account its own file."
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, "check" INTEGER NOT NULL
);
"""
_INSERT = 'INSERT INTO entries (seq, ts_ns, kind, name, body, "check") VALUES (?, ?, ?, ?, ?, ?)'


@frozen
class Owner:
    """Whose orders a journal holds."""

    venue: str
    environment: str
    account: str
    """The account as the venue names it, or its public key."""

    def file_name(self) -> str:
        """The name of its file in a folder of journals."""
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in self.account)
        short = plain if len(plain) <= 40 else f"{plain[:12]}-{plain[-12:]}"
        return f"{self.venue}-{self.environment}-{short}".lower() + SUFFIX


class FileJournal:
    """A `Journal` that outlives the process; made by `opened`."""

    def __init__(self, path: Path, lock: sqlite3.Connection, db: sqlite3.Connection, state: Replay) -> None:
        self.path = path
        self._lock = lock
        self._db = db
        self._state = state
        self._mutex = Lock()
        self._closed = False
        self._upkeep: Upkeep | None = None

    @classmethod
    def opened(
        cls,
        path: Path,
        owner: Owner,
        *,
        durable: bool = False,
        counters: Counters | None = None,
        log: logging.Logger | None = None,
        upkeep: bool = True,
    ) -> Self:
        """The journal of this owner, made when there is none; nobody else can open it until it is closed.

        `durable`: every line survives a power cut, at the cost of one disk flush each.
        Raise `ConfigError` when it is in use or somebody else's, `CaptureError` when it is no sound journal.
        """
        path = path.resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            what = f"{path.parent} cannot be made: {error.strerror}"
            raise ConfigError(what, hint="set `journal` to a folder that exists, or memory.") from error
        lock = _taken(path)
        try:
            if not path.exists():
                _create(path, owner)
            check_file(path, owner)
            state = _load(path)
            db = _connect(path, durable)
            try:
                facts = {"pid": str(os.getpid()), "state": "open"}
                _mark(db, facts)
                # In the file itself, not only beside it: a lost `-wal` file must be noticed.
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                # And beside it, first of all: a `-wal` file says whose it is.
                _mark(db, facts)
            except BaseException:
                db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            lock.close()
            raise _unwritable(path, error) from error
        except BaseException:
            lock.close()
            raise
        made = cls(path, lock, db, state)
        if upkeep:
            made._upkeep = Upkeep(path, made._mutex, made.take_dead, counters, log)
            try:
                made._upkeep.start()
            except BaseException:
                # No thread can be started: whoever tries again must find the file free.
                made._upkeep = None
                made.close()
                raise
        return made

    # --- Journal

    def intent(self, intents: Sequence[Intent]) -> None:
        """See `Journal`."""
        entries = with_intent(intents, self._state.last_seq + 1)
        self._write(entries)
        for entry, intent in zip(entries, intents, strict=True):
            self._state.apply_intent(entry, intent)

    def observed(self, client_order_id: str, ids: Mapping[str, Plain], status: str, ts_ns: int) -> None:
        """See `Journal`."""
        if not self._state.knows(client_order_id, ids, status):
            self._line(ts_ns, Kind.OBSERVED, client_order_id, encode_observed(ids, status))

    def filled(self, client_order_id: str | None, trade_key: str, ts_event: int) -> None:
        """See `Journal`."""
        self._line(ts_event, Kind.FILLED, client_order_id or "", encode_filled(trade_key))

    def closed(self, client_order_id: str, status: str, ts_ns: int) -> None:
        """See `Journal`."""
        known = self._state.memory.known(client_order_id)
        if known is not None:
            body = encode_closed(status, known.intent.facts, known.ids)
            self._line(ts_ns, Kind.CLOSED, client_order_id, body)

    def open_intents(self) -> Sequence[OpenIntent]:
        """See `Journal`."""
        return self._state.memory.open_intents()

    def delivered_fills(self) -> Sequence[tuple[str, int]]:
        """See `Journal`."""
        return self._state.memory.delivered_fills()

    @property
    def last_stamp_ns(self) -> int:
        """See `Journal`; of orders that ended long ago it is forgotten."""
        return self._state.memory.last_stamp_ns

    def used(self, client_order_id: str) -> bool:
        """See `Journal`."""
        return client_order_id in self._state.strategies

    def strategy_of(self, client_order_id: str) -> str | None:
        """See `Journal`."""
        return self._state.strategies.get(client_order_id)

    def close(self) -> None:
        """See `Journal`."""
        if self._closed:
            return
        self._closed = True
        if self._upkeep is not None:
            self._upkeep.stop()
        try:
            with self._mutex:
                self._drop_dead()
                _mark(self._db, {"state": "closed"})
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                _keep_wal(self._db, False)
        except sqlite3.Error as error:
            # Everything is on record; the next owner finds it as after a crash.
            logging.getLogger(__name__).warning("the journal could not be tidied up: %s", error)
        finally:
            self._db.close()
            self._lock.close()

    # --- writing

    def _line(self, ts_ns: int, kind: Kind, name: str, body: str) -> None:
        entry = Entry(self._state.last_seq + 1, ts_ns, kind, name, body)
        self._write([entry])
        self._state.apply(entry)

    def _write(self, entries: Sequence[Entry]) -> None:
        if self._closed:
            raise CaptureError(f"{self.path.name} is closed")
        rows = [(one.seq, one.ts_ns, one.kind, one.name, one.body, one.check) for one in entries]
        try:
            with self._mutex:
                if len(rows) == 1:
                    self._db.execute(_INSERT, rows[0])
                else:
                    self._write_all(rows)
        except sqlite3.Error as error:
            raise CaptureError(
                f"{self.path.name} could not be written: {error}", hint="check the disk it is on."
            ) from error
        if self._upkeep is not None:
            self._upkeep.writes += 1

    def _write_all(self, rows: Sequence[tuple[int, int, Kind, str, str, int]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(_INSERT, rows)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.rollback()
            raise

    def take_dead(self, most: int) -> list[int]:
        """Up to `most` numbers of lines that can be dropped; they are the caller's now."""
        dead = self._state.dead
        taken = dead[:most]
        del dead[: len(taken)]
        return taken

    def _drop_dead(self) -> None:
        if dead := self.take_dead(len(self._state.dead)):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq in dead])
            self._db.execute("COMMIT")


# --- files


def check_file(path: Path, owner: Owner | None = None) -> dict[str, str]:
    """The facts of a journal that this version can read, and of this owner; raise what is wrong with it.

    Nothing is written.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror}", hint=_OPEN) from error
    if len(head) < 100:
        raise torn(path, "its beginning is missing")
    if not head.startswith(_MAGIC):
        raise CaptureError(f"{path} is no journal", hint="name another file.")
    if int.from_bytes(head[68:72]) != APPLICATION_ID:
        raise CaptureError(f"{path} is a database of another program", hint="name another file.")
    if (version := int.from_bytes(head[60:64])) > FORMAT:
        raise CaptureError(
            f"{path} has the format {version} of a newer venuekit; this one reads {FORMAT}",
            hint="upgrade venuekit, or name another file.",
        )
    _check_wal(path)
    facts = _facts_in_file(path)
    if None in _whose(facts) or "state" not in facts:
        raise torn(path, "it does not say whose it is")
    if wal_of(path).exists() and _whose(_facts_of_both(path)) != _whose(facts):
        raise torn(path, f"{wal_of(path).name} is of another journal")
    if facts.get("state") == "open" and not wal_of(path).exists():
        raise CaptureError(
            f"{path} is torn: it was in use when its process ended, and {wal_of(path).name} is missing",
            hint=f"bring that file back, or {_AWAY}",
        )
    if owner is not None and facts.get("account") != owner.account:
        raise ConfigError(f"{path} is the journal of another account", hint=_EACH)
    place = facts.get("venue"), facts.get("environment")
    if owner is not None and place != (owner.venue, owner.environment):
        raise ConfigError(f"{path} is a journal of {place[0]} {place[1]}", hint=_EACH)
    return facts


def _check_wal(path: Path) -> None:
    """SQLite would take a damaged `-wal` file for a shorter one: the newest lines lost in silence."""
    found: str | None = None
    for _ in range(_WAL_READS):
        try:
            with wal_of(path).open("rb") as file:
                found = damage(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CaptureError(f"{wal_of(path)} cannot be read: {error.strerror}", hint=_OPEN) from error
        if found is None:
            return
    raise torn(path, f"{wal_of(path).name} is damaged: {found}")


def wal_of(path: Path) -> Path:
    """The file beside a journal that holds its newest lines."""
    return path.with_name(path.name + "-wal")


def lock_of(path: Path) -> Path:
    """The file that the owner of a journal holds locked."""
    return path.with_name(path.name + ".lock")


def read_entries(db: sqlite3.Connection) -> Iterator[tuple[Entry, bool]]:
    """Every line, oldest first, and whether it is as it was written."""
    for seq, ts_ns, kind, name, body, check in db.execute(
        'SELECT seq, ts_ns, kind, name, body, "check" FROM entries ORDER BY seq'
    ):
        try:
            entry = Entry(seq, ts_ns, Kind(kind), name, body)
            yield entry, entry.check == check
        except ValueError:
            yield Entry(seq, 0, Kind.OBSERVED, str(name), "{}"), False


def torn(path: Path, error: object) -> CaptureError:
    """The refusal of a file that is not as it was written."""
    return CaptureError(f"{path} is torn: {error}", hint=_AWAY)


def unread(path: Path, error: sqlite3.Error) -> CaptureError:
    """The refusal of a file that SQLite could not read: nobody may be told to throw a sound one away."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _NOT_ITS_CONTENT:
        return torn(path, error)
    return CaptureError(f"{path} cannot be read: {error}", hint=_OPEN)


def _unwritable(path: Path, error: sqlite3.Error | OSError) -> CaptureError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _UNSOUND:
        return torn(path, error)
    return CaptureError(f"{path} cannot be written: {error}", hint="check the disk it is on, and its mode.")


def _taken(path: Path) -> sqlite3.Connection:
    """The lock of a journal: a transaction on a file beside it, which ends with its process in any case."""
    try:
        lock = sqlite3.connect(
            lock_of(path), isolation_level=None, timeout=_LOCK_SECS, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise ConfigError(f"{lock_of(path)} cannot be opened: {error}", hint="check the path.") from error
    try:
        lock.execute("PRAGMA journal_mode=MEMORY")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise ConfigError(f"{lock_of(path)} cannot be locked: {error}", hint="move it away.") from error
        raise ConfigError(
            f"{path} is in use by another node{_who(path)}",
            hint="one node trades one account at a time: stop the other one first.",
        ) from error
    return lock


def _who(path: Path) -> str:
    try:
        with closing(read_only(path)) as db:
            return f" (process {read_facts(db)['pid']})"
    except (sqlite3.Error, KeyError):
        return ""


def _connect(path: Path, durable: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECS, check_same_thread=False)
    _keep_wal(db, True)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    # Automatic checkpoints stall the writer for milliseconds; they are made beside it.
    db.execute("PRAGMA wal_autocheckpoint=0")
    return db


def _keep_wal(db: sqlite3.Connection, keep: bool) -> None:
    """A process that ends without `close` leaves the `-wal` file: a missing one is taken for lost."""
    db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)


def _create(path: Path, owner: Owner) -> None:
    """A whole empty journal appears under its name, or nothing does."""
    made = path.with_name(path.name + ".new")
    for left in (made, path.with_name(path.name + ".new-journal")):
        left.unlink(missing_ok=True)
    with closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={FORMAT}")
        db.executescript(_TABLES)
        _mark(
            db,
            {
                "venue": owner.venue,
                "environment": owner.environment,
                "account": owner.account,
                "state": "closed",
            },
        )
    made.chmod(0o600)
    made.replace(path)


def _mark(db: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    db.executemany("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", list(facts.items()))


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even by closing: a torn file stays as it was found."""
    # Without a `-wal` file even a read-only connection would make one.
    how = "mode=ro" if wal_of(path).exists() else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=_LOCK_SECS)


def _load(path: Path) -> Replay:
    state = Replay()
    try:
        with closing(read_only(path)) as db:
            if (answer := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise torn(path, answer[0] if answer else "it has no pages")
            for entry, sound in read_entries(db):
                if not sound:
                    raise torn(path, f"entry {entry.seq} is not what was written")
                state.apply(entry)
    except sqlite3.Error as error:
        raise unread(path, error) from error
    return state


def read_facts(db: sqlite3.Connection) -> dict[str, str]:
    """Whose the journal is, and how it was left."""
    return {str(name): str(value) for name, value in db.execute("SELECT name, value FROM facts")}


def _facts_in_file(path: Path) -> dict[str, str]:
    """The facts as the file alone has them; what is beside it is not looked at and not touched."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
            return read_facts(db)
    except sqlite3.Error:
        # A process that ended while lines were moved in may leave it so; with its `-wal` file it is whole.
        return _facts_of_both(path)


def _facts_of_both(path: Path) -> dict[str, str]:
    """The facts as the file and the one beside it have them together."""
    try:
        with closing(read_only(path)) as db:
            return read_facts(db)
    except sqlite3.Error as error:
        raise unread(path, error) from error


def _whose(facts: Mapping[str, str]) -> list[str | None]:
    return [facts.get(name) for name in ("venue", "environment", "account")]
