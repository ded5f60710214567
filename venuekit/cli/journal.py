"""`venuekit journal`: what a journal in a file holds, and whether it is whole. The file is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from venuekit.cli.output import emit, json_option, say, table, wants_json
from venuekit.errors import CaptureError, ConfigError
from venuekit.runtime.journal_entries import Replay
from venuekit.runtime.journal_file import (
    check_file,
    read_entries,
    read_facts,
    read_only,
    torn,
    unread,
    wal_of,
)

if TYPE_CHECKING:
    from venuekit.runtime.journal import OpenIntent
    from venuekit.runtime.journal_entries import Entry


@click.group()
def command() -> None:
    """Look at the journal of an account; its node may be running."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--lines", type=click.IntRange(min=0), default=0, help="Also the newest N lines.")
@json_option
def show(file: Path, lines: int) -> None:
    """Show whose FILE is, and every order without a proven end."""
    with _reading(file) as db:
        facts, state, entries = _whole(file, db)
    newest = entries[len(entries) - lines :] if lines else []
    if wants_json():
        emit({"event": "journal", "file": str(file), **facts, **_sizes(file, state)})
        for entry in state.memory.open_intents():
            emit({"event": "open", **_order(entry)})
        for line in newest:
            emit({"event": "line", "seq": line.seq, "ts_ns": line.ts_ns, "kind": line.kind, **_said(line)})
        return
    say(f"{facts['venue']} {facts['environment']}, account {facts['account']}")
    say(_summary(file, facts, state))
    if state.memory.open_intents():
        say("Orders without a proven end:")
        table(
            ["order", "strategy", "what", "venue id", "sent", "seen open", "fills"],
            [_row(entry) for entry in state.memory.open_intents()],
        )
    for line in newest:
        say(f"{line.seq} {_time(line.ts_ns)} {line.kind} {line.name or '-'} {line.body}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file: Path) -> None:
    """Check that every line of FILE is as it was written; exit code 1 when it is not."""
    with _reading(file) as db:
        facts, state, _ = _whole(file, db)
    if wants_json():
        emit({"event": "journal", "file": str(file), "valid": True, **facts, **_sizes(file, state)})
        return
    say(f"{file} is whole.")
    say(_summary(file, facts, state))


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads only; it changes nothing, not even by ending."""
    if not file.is_file():
        raise ConfigError(f"{file} is no file", hint="name a file that ends in .journal.")
    check_file(file)
    try:
        with closing(read_only(file)) as db:
            yield db
    except sqlite3.Error as error:
        raise unread(file, error) from error


def _whole(file: Path, db: sqlite3.Connection) -> tuple[dict[str, str], Replay, list[Entry]]:
    db.execute("BEGIN")
    if (answer := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
        raise torn(file, answer[0] if answer else "it has no pages")
    state, entries, altered = Replay(), [], []
    for entry, sound in read_entries(db):
        entries.append(entry)
        if sound:
            state.apply(entry)
        else:
            altered.append(entry.seq)
    if altered:
        shown = ", ".join(str(seq) for seq in altered[:10])
        raise CaptureError(
            f"{file} is torn: {len(altered)} of {len(entries)} entries are not what was written ({shown})",
            hint="look up the open orders at the venue; then move the file away to begin anew.",
        )
    return read_facts(db), state, entries


def _sizes(file: Path, state: Replay) -> dict[str, object]:
    beside = wal_of(file)
    return {
        "lines": state.lines,
        "open": len(state.memory.open_intents()),
        "fills": len(state.memory.delivered_fills()),
        "bytes": file.stat().st_size + (beside.stat().st_size if beside.exists() else 0),
    }


def _summary(file: Path, facts: dict[str, str], state: Replay) -> str:
    sizes = _sizes(file, state)
    in_order = facts.get("state") == "closed"
    left = "closed in order" if in_order else f"in use, or left by process {facts.get('pid')}"
    return f"{sizes['lines']} lines, {sizes['fills']} fills, {sizes['open']} open orders; {left}"


def _order(entry: OpenIntent) -> dict[str, object]:
    facts = entry.intent.facts
    return {
        "client_order_id": facts.client_order_id,
        "strategy_id": facts.strategy_id,
        "instrument_id": facts.instrument_id,
        "side": facts.side,
        "order_type": facts.order_type,
        "quantity": facts.quantity,
        "price": facts.price,
        "ids": dict(entry.ids),
        "accepted": entry.accepted,
        "fills": list(entry.fills),
        "ts_ns": entry.intent.ts_ns,
    }


def _row(entry: OpenIntent) -> list[str]:
    facts = entry.intent.facts
    what = f"{facts.side} {facts.quantity} {facts.instrument_id} {facts.order_type} {facts.price or ''}"
    venue_id = str(entry.ids.get("venue_order_id") or entry.ids.get("tx_hash") or "-")
    seen = "yes" if entry.accepted else "no"
    sent, fills = _time(entry.intent.ts_ns), str(len(entry.fills))
    return [facts.client_order_id, facts.strategy_id, what.strip(), venue_id, sent, seen, fills]


def _said(line: Entry) -> dict[str, object]:
    return {"client_order_id": line.name or None, "said": line.said()}


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")
