"""What the venue had said, and the client had been given, before a line of the history.

Read from the bytes of the delivered frames and replies, with nothing of the client's own decoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct

from attrs import define, field, frozen
from history import History, Line

PROVES_NOTHING = frozenset(
    {"SERVICE_UNAVAILABLE", "INTERNAL_ERROR", "DUPLICATED_CLIENT_ID", "-32603", "42901", "100"}
)
"""Errors after which a new order may exist all the same: breakdowns, limits, and a duplicate (of what?). All
others are refusals by the venue's documents. 100 alone says nothing; its message is the code."""

TOKEN = frozenset({"40110", "40111", "40300", "INVALID_TOKEN", "UNAUTHORIZED_ERROR"})
GONE = frozenset(
    {"ORDER_ID_NOT_FOUND", "CLIENT_ORDER_ID_NOT_FOUND", "ORDER_IS_CLOSED", "ORDER_IS_NOT_OPEN", "NOT_FOUND"}
)


_HEADER = Struct("<HHHH")
_ORDER = Struct("<qqBBBBqqqq")
"""The published schema's message 20 up to `sizeOpen`."""


def order_in_sbe(frame: bytes) -> dict[str, object] | None:
    """An order's frame in the words of its JSON form; None for any other, and for a damaged one."""
    if len(frame) < _HEADER.size + _ORDER.size or _HEADER.unpack_from(frame)[1:3] != (20, 1):
        return None
    block = _HEADER.unpack_from(frame)[0]
    status, size, remaining = (_ORDER.unpack_from(frame, _HEADER.size)[place] for place in (2, 8, 9))
    texts, rest = [], frame[_HEADER.size + block :]
    for _ in ("orderId", "clientOrderId"):
        if not rest or len(rest) <= rest[0]:
            return None
        texts.append(rest[1 : 1 + rest[0]].decode())
        rest = rest[1 + rest[0] :]
    return {
        "id": texts[0],
        "client_id": texts[1],
        "status": "CLOSED" if status == 4 else "",
        "size": size,
        "remaining_size": remaining,
    }


AT_ONCE_NS = 2_000_000_000
"""A connection that is being ended closes by then; the next look at an order that waits may be later."""


_ENDS = ("CANCELED", "EXPIRED", "FILLED", "REJECTED")


def ends(line: Line) -> bool:
    """True when this tells the end of an order."""
    return line.of("event") == "rejected" or line.of("status") in _ENDS


@define(eq=False)
class Create:
    """One new order that left, and what came back for it."""

    line: Line
    error: str | None = None
    answered_at: int | None = None


@define
class Heard:
    """Grows with the lines that are given to `take`."""

    closed: dict[str, int] = field(factory=dict)
    """Venue ids and client ids of orders told closed, with the place of the first line that said so."""
    unfilled: dict[str, bool] = field(factory=dict)
    creates: dict[str, list[Create]] = field(factory=dict)
    cancel_errors: dict[str, list[str]] = field(factory=dict)
    """By venue or client id: codes of refused cancels."""
    busted: set[str] = field(factory=set)
    """Fills that were told to be taken back."""
    absent: dict[str, set[str]] = field(factory=dict)
    """By client id: which reads since its last create did not know it."""
    ended: dict[str, Line] = field(factory=dict)
    """By client id: the frame that told the end of an order without a fill, which the engine awaits now."""
    _asked: dict[tuple[str, int, object], tuple[str, object]] = field(factory=dict)

    def take(self, line: Line) -> None:
        """The line is part of what is known."""
        if line.what == "out":
            self._out(line)
        elif line.what == "in":
            self._in(line)
        elif line.what == "request":
            self._request(line)
        elif line.what == "reply":
            self._reply(line)
        elif line.what == "failed" and line.of("evidence") == "not_sent":
            self._unmade(line)

    # --- the stream

    def _out(self, line: Line) -> None:
        said = line.json
        if not isinstance(said, dict):
            return
        params = said.get("params")
        params = params if isinstance(params, dict) else {}
        kind, key = said.get("method"), ("ws", line.number, said.get("id"))
        if kind == "order.create":
            self._create(line, str(params.get("client_id")), key)
        elif kind == "order.cancel":
            self._asked[key] = ("cancel", str(params.get("id") or params.get("client_id")))
        elif kind == "order.cancel_all":
            self._asked[key] = ("cancel", "*")

    def _create(self, line: Line, name: str, key: tuple[str, int, object]) -> None:
        create = Create(line)
        self.creates.setdefault(name, []).append(create)
        self.absent[name] = set()
        self._asked[key] = ("create", create)

    def _in(self, line: Line) -> None:
        said = line.json
        if said is None and isinstance(line.text, bytes):
            self._row(line, order_in_sbe(line.text), of_stream=True)
        if not isinstance(said, dict):
            return
        params = said.get("params")
        if said.get("method") == "subscription" and isinstance(params, dict):
            channel, row = str(params.get("channel", "")), params.get("data")
            if channel.startswith("orders."):
                self._row(line, row, of_stream=True)
            elif channel == "tradebusts" and isinstance(row, dict):
                self.busted.add(str(row.get("busted_fill_id")))
            return
        asked = self._asked.get(("ws", line.number, said.get("id")))
        error = said.get("error")
        code = None
        if isinstance(error, dict):
            code = str(error.get("message")) if error.get("code") == 100 else str(error.get("code"))
        if asked is not None:
            self._answer(line, *asked, code)

    def _answer(self, line: Line, kind: str, what: object, code: str | None) -> None:
        if isinstance(what, Create):
            what.error, what.answered_at = code, line.at
        elif kind == "cancel" and code is not None:
            self.cancel_errors.setdefault(str(what), []).append(code)

    # --- requests

    def _request(self, line: Line) -> None:
        op, key = line.of("op"), ("http", line.number, None)
        if op == "submit" and isinstance(line.json, dict):
            self._create(line, str(line.json.get("client_id")), key)
        elif op in ("cancel", "cancel_all"):
            self._asked[key] = ("cancel", str(line.of("path")).rpartition("/")[2])
        else:
            self._asked[key] = ("read", line.at)

    def _unmade(self, line: Line) -> None:
        """The transport says that not a byte left."""
        _, what = self._asked.get(("http", line.number, None), ("", None))
        for creates in self.creates.values():
            if what in creates:
                creates.remove(what)

    def _reply(self, line: Line) -> None:
        kind, what = self._asked.get(("http", line.number, None), ("", ""))
        status, said = line.of("status"), line.json
        if kind == "read":
            self._read(line, status, said, int(str(what)))
            return
        if isinstance(status, int) and status >= 300:
            named = str(said.get("error")) if isinstance(said, dict) else str(status)
            broken = status >= 500 or status == 429
            self._answer(line, kind, what, "SERVICE_UNAVAILABLE" if broken else named)
        elif kind:
            self._answer(line, kind, what, None)

    def _read(self, line: Line, status: object, said: object, asked_at: int) -> None:
        op = str(line.of("op"))
        names: set[str] = set()
        if status == 200 and isinstance(said, dict):
            rows = said["results"] if isinstance(said.get("results"), list) else [said]
            for row in rows:
                if isinstance(row, dict):
                    self.busted.add(str(row.get("busted_fill_id")))
                    names |= {str(row.get("client_id")), str(row.get("order_id") or row.get("id"))}
                    if op != "fills":
                        self._row(line, row)
        elif not (op == "order" and status in (400, 404)):
            return
        for name, creates in self.creates.items():
            if creates and creates[-1].line.at < asked_at and name not in names:
                self.absent[name].add(op)

    # --- rows

    def _row(self, line: Line, row: object, *, of_stream: bool = False) -> None:
        if not isinstance(row, dict) or row.get("status") != "CLOSED":
            return
        for name in (str(row.get("id")), str(row.get("client_id") or "")):
            if name:
                self.closed.setdefault(name, line.at)
                self.unfilled[name] = row.get("remaining_size") == row.get("size")
        if of_stream and row.get("remaining_size") == row.get("size"):
            self.ended.setdefault(str(row.get("client_id")), line)


@frozen
class Claim:
    """Something told to the engine that needs a proof, and what had been heard of it before."""

    line: Line
    closed: bool
    """The venue had said that the order is closed."""
    unfilled: bool
    sends: int
    error: str | None
    """What the newest of the order's sends was answered with."""
    absent: frozenset[str]
    cancel_errors: Mapping[str, Sequence[str]]
    """By id, of this order and of all at once."""
    busted: bool
    """The fill that is voided was said to be taken back."""


@define
class Reading:
    """Every line so far was read, once and in order."""

    heard: Heard = field(factory=Heard)
    claims: list[Claim] = field(factory=list)
    count: int = 0
    late: list[tuple[Line, str]] = field(factory=list)
    """Frames that told the end of an order which the engine did not hear of at once, and the order."""
    _closed: set[int] = field(factory=set)
    """Connections that are over: what still comes of them is to be dropped."""
    _living: set[str] = field(factory=set)
    """Orders that were submitted by this process and have not ended in the engine."""
    _ids: dict[str, str] = field(factory=dict)
    """By the engine's name of an order: its id at the venue."""

    def go_on(self, lines: Sequence[Line]) -> None:
        """The lines that are new were read."""
        for line in lines[self.count :]:
            self._watch(line)
            if line.what == "told":
                self._told(line)
            self.heard.take(line)
        self.count = len(lines)

    def _watch(self, line: Line) -> None:
        """What a stream said must be told before time goes on, unless it ends or the engine takes it not."""
        ended = self.heard.ended
        for name, frame in list(ended.items()):
            if name not in self._living or frame.number in self._closed:
                del ended[name]
            elif line.mono_ns > frame.mono_ns + AT_ONCE_NS:
                self.late.append((ended.pop(name), name))
        name, event = str(line.of("name")), line.of("event")
        if line.what == "begin":
            self._living.clear()
        elif line.what == "closed":
            self._closed.add(line.number)
        elif line.what == "not_taken" or (line.what == "told" and ends(line)):
            self._living.discard(name)
        elif line.what == "told" and event == "submitted":
            self._living.add(name)

    def _told(self, line: Line) -> None:
        name, event, heard = str(line.of("name")), line.of("event"), self.heard
        if event == "report":
            self._ids[name] = str(line.of("venue_id")).removeprefix("PARADEX-")
            if line.of("status") not in _ENDS:
                return
        elif event not in ("rejected", "cancel_rejected", "modify_rejected", "fill_voided"):
            return
        creates, ids = heard.creates.get(name, []), (name, self._ids.get(name, name))
        self.claims.append(
            Claim(
                line=line,
                closed=any(one in heard.closed for one in ids),
                unfilled=heard.unfilled.get(name, False),
                sends=len(creates),
                error=creates[-1].error if creates else None,
                absent=frozenset(heard.absent.get(name, ())),
                cancel_errors={one: tuple(codes) for one, codes in heard.cancel_errors.items()}
                if event == "cancel_rejected"
                else {},
                busted=line.of("trade_id") in heard.busted,
            )
        )


def read(history: History) -> Reading:
    """All that the lines say; what was read of them earlier is not read again."""
    if not isinstance(history.read, Reading):
        history.read = Reading()
    history.read.go_on(history.lines)
    return history.read
