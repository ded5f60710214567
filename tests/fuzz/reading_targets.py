"""What is read beside the streams: any documented answer, a journal's lines, a folder of saved answers."""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from io import BufferedReader, BytesIO
from pathlib import Path

from fuzzing import Feed, Target
from mutator import Mutator, load
from paradex_seeds import DATA, named
from venuekit_paradex.readings import ANSWERS, CHANNELS, parse_answer, parse_data, shown
from venuekit_paradex.sim.simple_fixtures import load as load_fixtures

from venuekit.errors import BadValue, CaptureError, VenuekitError
from venuekit.interfaces.records import WireIds
from venuekit.runtime.journal import Intent, OrderFacts, plain_ids
from venuekit.runtime.journal_entries import (
    Entry,
    Kind,
    Replay,
    encode_closed,
    encode_filled,
    encode_intent,
    encode_observed,
)
from venuekit.runtime.journal_wal import damage

# --- documented answers: the first line names the operation or the channel


@cache
def _bodies() -> tuple[object, ...]:
    return named("rest/get_*", "ws/*", "recorded_rest/*", "ws_rpc/*response")


def _reading_input(mutator: Mutator) -> bytes:
    name = mutator.pick(sorted((*ANSWERS, *CHANNELS)))
    tree = mutator.pick(_bodies())
    return f"{name}\n".encode() + mutator.json_text(tree, _bodies())


def _open_readings() -> Feed:
    def feed(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        name = head.decode(errors="replace")
        method, _, path = name.partition(" ")
        try:
            if path:
                repr([shown(row) for row in parse_answer(method, path, body).rows])
            else:
                repr(shown(parse_data(name, body)))
        except VenuekitError as error:
            assert len(error.message) < 1_000

    return feed


# --- the journal: the first line is kind and name, the rest a body


_IDS = plain_ids(WireIds(client_order_id="O-1", venue_order_id="17"))
_FACTS = OrderFacts("O-1", "S-1", "BTC-USD-PERP.PARADEX", "BUY", "LIMIT", "GTC", "1.0", "80000.0")
_LINES = (
    encode_intent(Intent("submit", "submit", _FACTS, _IDS, 1)),
    encode_intent(Intent("cancel", "cancel", _FACTS, _IDS, 2)),
    encode_observed(_IDS, "ACCEPTED"),
    encode_filled("t1"),
    encode_closed("FILLED", _FACTS, _IDS),
)


def _journal_input(mutator: Mutator) -> bytes:
    trees = [load(line) for line in _LINES]
    kind, name = mutator.pick(list(Kind)), mutator.pick(("O-1", "O-2", ""))
    return f"{kind.value} {name}\n".encode() + mutator.json_text(mutator.pick(trees), trees)


def _open_journal() -> Feed:
    replay = Replay()

    def feed(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        kind, _, name = head.decode().partition(" ")
        text = body.decode(errors="replace")
        try:
            replay.apply(Entry(replay.lines + 1, replay.lines, Kind(kind), name, text))
        except CaptureError as error:
            assert len(error.message) < 400
        repr(replay.memory.open_intents())

    return feed


# --- the file beside a journal, as SQLite writes it


@cache
def _wal() -> bytes:
    with tempfile.TemporaryDirectory(prefix="venuekit-fuzz-") as folder:
        path = Path(folder) / "journal"
        database = sqlite3.connect(path)
        database.executescript("PRAGMA page_size = 512; PRAGMA journal_mode = WAL; CREATE TABLE line (text)")
        for number in range(5):
            database.execute("INSERT INTO line VALUES (?)", (f"line {number}" * 20,))
            database.commit()
        found = path.with_name("journal-wal").read_bytes()
        database.close()
    return found


def _open_wal() -> Feed:
    assert damage(BufferedReader(BytesIO(_wal()))) is None

    def feed(data: bytes) -> None:
        why = damage(BufferedReader(BytesIO(data)))
        assert why is None or 0 < len(why) < 200

    return feed


# --- a folder of saved answers: the first line names the file that is damaged

_SAVED = {
    "markets.json": "recorded_rest/fetch_markets",
    "markets_summary.json": "recorded_rest/fetch_tickers",
    "account.json": "recorded_rest/fetch_balance",
    "positions.json": "recorded_rest/fetch_positions",
}


def _fixtures_input(mutator: Mutator) -> bytes:
    name = mutator.pick(sorted(_SAVED))
    trees = named(_SAVED[name], "rest/get_markets.200", "rest/get_account.200", "rest/get_positions.200")
    return f"{name}\n".encode() + mutator.json_text(mutator.pick(trees), trees)


def _open_fixtures() -> Feed:
    folder = Path(tempfile.mkdtemp(prefix="venuekit-fuzz-"))

    def feed(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        for name, seed in _SAVED.items():
            damaged = name.encode() == head
            (folder / name).write_bytes(body if damaged else (DATA / f"{seed}.json").read_bytes())
        try:
            repr(load_fixtures(folder))
        except BadValue as error:
            assert str(folder) in error.message
        finally:
            for name in _SAVED:
                (folder / name).unlink()

    return feed


def reading_targets() -> tuple[Target, ...]:
    """Readers of what a person asked for, or of what an earlier run or a folder holds."""
    return (
        Target(name="paradex-readings", open=_open_readings, make=_reading_input),
        Target(name="journal", open=_open_journal, make=_journal_input),
        Target(name="journal-wal", open=_open_wal, make=lambda mutator: mutator.blob(_wal(), [_wal()])),
        Target(name="sim-fixtures", open=_open_fixtures, make=_fixtures_input),
    )
