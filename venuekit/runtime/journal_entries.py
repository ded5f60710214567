"""The lines of a durable journal: what each says, how it is written, and the memory they make."""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import define, field, fields, frozen

from venuekit.errors import CaptureError
from venuekit.runtime.journal import Intent, MemoryJournal, OrderFacts

if TYPE_CHECKING:
    from venuekit.runtime.journal import Plain

MOST_ENDED = 50_000
"""Ended orders that keep their last line: which strategy an old fill belongs to."""

_FACTS = tuple(one.name for one in fields(OrderFacts))
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""Made once: `json.dumps` makes one for every line that is not written its usual way."""


class Kind(StrEnum):
    """What a line tells."""

    INTENT = "intent"
    OBSERVED = "observed"
    FILLED = "filled"
    CLOSED = "closed"


@frozen
class Entry:
    """One line: its number, its time, of which order (empty: of none of ours), and what it says."""

    seq: int
    ts_ns: int
    kind: Kind
    name: str
    body: str
    """JSON."""

    @property
    def check(self) -> int:
        """Of everything above: a line that was altered since does not have it."""
        return crc32(f"{self.seq}\0{self.ts_ns}\0{self.kind}\0{self.name}\0{self.body}".encode())

    def said(self) -> dict[str, object]:
        """The body, read; raise `CaptureError` when it is none of ours."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise CaptureError(f"entry {self.seq} of the journal cannot be read")
        return found


def encode_intent(intent: Intent) -> str:
    """The body of an intent."""
    facts = {name: value for name in _FACTS if (value := getattr(intent.facts, name)) not in (None, False)}
    return _text({"command": intent.command, "op": intent.op, "facts": facts, "ids": dict(intent.ids)})


def encode_observed(ids: Mapping[str, Plain], status: str) -> str:
    """The body of an observation."""
    return _text({"status": status, "ids": dict(ids)})


def encode_filled(trade_key: str) -> str:
    """The body of a fill; the line's time is the venue's."""
    return _text({"trade_key": trade_key})


def encode_closed(status: str, facts: OrderFacts | None, ids: Mapping[str, Plain]) -> str:
    """The body of an end: all that is left of the order once its other lines are dropped."""
    whose = {"strategy_id": facts.strategy_id, "instrument_id": facts.instrument_id} if facts else {}
    return _text({"status": status, **whose, "ids": dict(ids)})


@define
class Replay:
    """The memory that the lines make, and which of them nobody needs any more."""

    memory: MemoryJournal = field(factory=MemoryJournal)
    strategies: dict[str, str] = field(factory=dict)
    """Strategy by client order id, of open orders and of the last `most_ended` ended ones."""
    dead: list[int] = field(factory=list)
    """Numbers of lines to drop."""
    most_ended: int = MOST_ENDED
    lines: int = 0
    last_seq: int = 0
    _of_order: dict[str, list[int]] = field(factory=dict)
    _fills: dict[str, int] = field(factory=dict)
    _ended: dict[str, int] = field(factory=dict)

    def apply(self, entry: Entry) -> None:
        """The line is part of the memory; raise `CaptureError` for one that cannot be read."""
        said = entry.said()
        try:
            if entry.kind is Kind.INTENT:
                self.apply_intent(entry, parse_intent(said, entry.ts_ns))
            else:
                self._seen(entry)
                self._apply(entry, said)
        except (KeyError, TypeError, ValueError) as error:
            raise CaptureError(f"entry {entry.seq} of the journal cannot be read") from error

    def apply_intent(self, entry: Entry, intent: Intent) -> None:
        """The same for the line that says this intent: whoever wrote it need not read it."""
        self._seen(entry)
        if intent.command == "submit":
            self.strategies[entry.name] = intent.facts.strategy_id
        self.memory.intent([intent])
        self._keep(entry)

    def _seen(self, entry: Entry) -> None:
        self.last_seq = max(self.last_seq, entry.seq)
        self.lines += 1

    def _apply(self, entry: Entry, said: Mapping[str, object]) -> None:
        name = entry.name
        if entry.kind is Kind.OBSERVED:
            self.memory.observed(name, _plain(said["ids"]), str(said["status"]), entry.ts_ns)
            self._keep(entry)
        elif entry.kind is Kind.FILLED:
            key = str(said["trade_key"])
            if key in self._fills:
                self.dead.append(self._fills.pop(key))
            self.memory.filled(name or None, key, entry.ts_ns)
            self._fills[key] = entry.seq
            if len(self._fills) > self.memory.most_fills:
                self.dead.append(self._fills.pop(next(iter(self._fills))))
        else:
            self._close(entry, said)

    def _keep(self, entry: Entry) -> None:
        if self.is_open(entry.name):
            self._of_order.setdefault(entry.name, []).append(entry.seq)
        else:
            self.dead.append(entry.seq)

    def _close(self, entry: Entry, said: Mapping[str, object]) -> None:
        self.memory.closed(entry.name, str(said["status"]), entry.ts_ns)
        if strategy := said.get("strategy_id"):
            self.strategies[entry.name] = str(strategy)
        self.dead += self._of_order.pop(entry.name, [])
        if (older := self._ended.pop(entry.name, None)) is not None:
            self.dead.append(older)
        self._ended[entry.name] = entry.seq
        if len(self._ended) > self.most_ended:
            gone = next(iter(self._ended))
            self.dead.append(self._ended.pop(gone))
            self.strategies.pop(gone, None)

    def is_open(self, name: str) -> bool:
        """True while the order has no proven end."""
        return self.memory.known(name) is not None

    def knows(self, name: str, ids: Mapping[str, Plain], status: str) -> bool:
        """True when an observation would add nothing."""
        known = self.memory.known(name)
        if known is None:
            return True
        accepted = known.accepted or status not in ("ACCEPTED", "TRIGGERED", "PARTIALLY_FILLED")
        return accepted and {**known.ids, **ids} == known.ids


def replay(entries: Iterable[Entry], *, most_ended: int = MOST_ENDED) -> Replay:
    """The memory that these lines make, oldest first."""
    made = Replay(most_ended=most_ended)
    for entry in entries:
        made.apply(entry)
    return made


def parse_intent(said: Mapping[str, object], ts_ns: int) -> Intent:
    """The intent of a body."""
    facts = said["facts"]
    if not isinstance(facts, dict):
        raise TypeError("facts")
    return Intent(str(said["command"]), str(said["op"]), OrderFacts(**facts), _plain(said["ids"]), ts_ns)


def _plain(found: object) -> dict[str, Plain]:
    if not isinstance(found, dict):
        raise TypeError("ids")
    return found


def with_intent(intents: Sequence[Intent], seq: int) -> list[Entry]:
    """The lines of one request, numbered from `seq`."""
    return [
        Entry(seq + index, one.ts_ns, Kind.INTENT, one.facts.client_order_id, encode_intent(one))
        for index, one in enumerate(intents)
    ]
