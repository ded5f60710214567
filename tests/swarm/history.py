"""One list of everything that a run did, in the order in which it happened.

What the client was told by the venue, what it sent, what it told the engine, what the strategy asked for.
The place in the list is the only clock: "before" means further up. The taps stand at the transports'
interfaces: a line `in` means delivered to the client, a line `out` handed to the transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import msgspec
from attrs import define, field
from engine_double import NotTaken

from venuekit.errors import SendFailed
from venuekit.interfaces.request import HttpRequest, nothing_sent


@define(slots=False)
class Line:
    """One thing that happened. `what` is one of:

    `begin` (a process starts), `open`, `in`, `out`, `closed` (a stream), `request`, `reply`, `failed` (HTTP),
    `command` (the strategy), `told` (the engine), `alarm`, `data` (the market recorder), `lift`.
    """

    at: int
    wall_ns: int
    mono_ns: int
    what: str
    number: int = 0
    text: bytes | str = b""
    about: Mapping[str, object] = field(factory=dict)

    @cached_property
    def json(self) -> object:
        """The text as JSON; None when it is none (SBE, damaged)."""
        text = self.text
        if not text or (isinstance(text, bytes) and text[:1] not in (b"{", b"[")):
            return None
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def of(self, name: str) -> object:
        """One of the facts; None when there is none of that name."""
        return self.about.get(name)


@define
class History:
    """Grows only. `wall_ns` and `mono_ns` are set by whoever has a clock."""

    wall_ns: Callable[[], int] = lambda: 0
    mono_ns: Callable[[], int] = lambda: 0
    lines: list[Line] = field(factory=list)
    connections: int = 0
    exchanges: int = 0
    read: object = None
    """What `evidence.read` made of the lines so far; lines are never changed once they were read."""

    def note(self, what: str, number: int = 0, text: bytes | str = b"", **about: object) -> Line:
        """One more line, stamped now."""
        line = Line(len(self.lines), self.wall_ns(), self.mono_ns(), what, number, text, about)
        self.lines.append(line)
        return line

    def of(self, *what: str) -> list[Line]:
        """The lines of these kinds, in order."""
        return [line for line in self.lines if line.what in what]


# --- transports


class TappedStream:
    """A `StreamTransport` whose frames are noted at the moment the client gets or sends them."""

    def __init__(self, inner: object, history: History) -> None:
        self._inner, self._history = inner, history

    async def connect(self, to: object, receiver: object) -> TappedLink:
        self._history.connections += 1
        number = self._history.connections
        self._history.note("open", number, url=to.url)
        try:
            link = await self._inner.connect(to, _Receiver(receiver, self._history, number))
        except BaseException as error:
            self._history.note("closed", number, reason=f"no connection: {type(error).__name__}")
            raise
        return TappedLink(link, self._history, number)


class _Receiver:
    def __init__(self, inner: object, history: History, number: int) -> None:
        self._inner, self._history, self._number = inner, history, number

    def on_frame(self, frame: bytes | str) -> None:
        self._history.note("in", self._number, frame)
        self._inner.on_frame(frame)

    def on_alive(self) -> None:
        self._inner.on_alive()

    def on_closed(self, code: int | None, reason: str) -> None:
        self._history.note("closed", self._number, code=code, reason=reason)
        self._inner.on_closed(code, reason)


class TappedLink:
    def __init__(self, inner: object, history: History, number: int) -> None:
        self._inner, self._history, self._number = inner, history, number

    def send(self, frame: bytes | str) -> None:
        # Noted first: over a pipe in memory the reply may be delivered before `send` returns.
        line = self._history.note("out", self._number, frame)
        try:
            self._inner.send(frame)
        except SendFailed:
            line.what = "refused"
            raise

    async def close(self, code: int = 1000) -> None:
        await self._inner.close(code)


class TappedPort:
    """A `RequestPort` whose requests and replies are noted; headers are not (they hold the token)."""

    def __init__(self, inner: object, name: str, history: History) -> None:
        self._inner, self._name, self._history = inner, name, history

    async def send(self, request: object, *, on_sent: Callable[[], None] = nothing_sent) -> object:
        history = self._history
        history.exchanges += 1
        number = history.exchanges
        about = {"port": self._name, "op": request.op, "method": request.method}
        body: bytes = b""
        if isinstance(request, HttpRequest):
            about |= {"path": request.path, "query": dict(request.query)}
            body = request.body
        history.note("request", number, body, **about)
        try:
            reply = await self._inner.send(request, on_sent=on_sent)
        except SendFailed as error:
            history.note("failed", number, evidence=error.evidence.value, **about)
            raise
        history.note("reply", number, reply.body, status=reply.status, **about)
        return reply


# --- the engine and the market


def watch_engine(engine: object, history: History) -> None:
    """Every call of the execution sink is a line `told`, written before the engine sees it."""

    def told(event: str, method: Callable[..., None]) -> Callable[..., None]:
        read = _READ[event]

        def call(*args: object) -> None:
            line = history.note("told", **{"event": event, **read(*args)})
            try:
                method(*args)
            except NotTaken:
                line.what = "not_taken"
                raise

        return call

    for event in _READ:
        setattr(engine, event, told(event, getattr(engine, event)))
    mass, alarm, account = engine.mass, engine.alarm, engine.account

    def mass_told(parts: object) -> None:
        by_order: dict[str, list[object]] = {}
        for one in parts.fills:
            by_order.setdefault(one.venue_order_id.value, []).append(one)
        for report in parts.orders:
            history.note(
                "told",
                event="report",
                mass=True,
                **_report(report, by_order.get(report.venue_order_id.value, [])),
            )
        mass(parts)

    def account_told(balances: Sequence[object], margins: Sequence[object], *rest: object) -> None:
        rows = [
            {
                "currency": str(one.total.currency),
                **{name: str(getattr(one, name).as_decimal()) for name in ("total", "free", "locked")},
            }
            for one in balances
        ]
        held = [(str(one.initial), str(one.maintenance)) for one in margins]
        history.note("told", event="account", balances=rows, margins=held, ts_event=rest[1])
        account(balances, margins, *rest)

    def alarmed(kind: str, text: str) -> None:
        history.note("alarm", kind=kind, why=text)
        alarm(kind, text)

    engine.mass, engine.account, engine.alarm = mass_told, account_told, alarmed


def watch_market(market: object, history: History) -> None:
    """Times of everything that the data sink got."""
    data = market.data

    def call(obj: object) -> None:
        iid = getattr(obj, "instrument_id", "")
        history.note(
            "data",
            stream=f"{type(obj).__name__} {iid}",
            ts_event=getattr(obj, "ts_event", None),
            ts_init=getattr(obj, "ts_init", None),
        )
        data(obj)

    market.data = call


def _name(report: object) -> str:
    named = report.client_order_id
    return named.value if named is not None else report.venue_order_id.value


def _fill(one: object) -> dict[str, object]:
    return {
        "trade_id": one.trade_id.value,
        "market": one.instrument_id.symbol.value,
        "side": one.order_side.name,
        "quantity": str(one.last_qty),
        "price": str(one.last_px),
        "fee": str(one.commission.as_decimal()),
        "fee_currency": str(one.commission.currency),
        "liquidity": one.liquidity_side.name,
        "ts_event": one.ts_event,
        "ts_init": one.ts_init,
    }


def _report(report: object, fills: Sequence[object]) -> dict[str, object]:
    return {
        "name": _name(report),
        "venue_id": report.venue_order_id.value,
        "status": report.order_status.name,
        "quantity": str(report.quantity),
        "price": None if report.price is None else str(report.price),
        "filled": str(report.filled_qty),
        "reason": report.cancel_reason or "",
        "fills": [_fill(one) for one in fills],
        "ts_event": report.ts_last,
        "ts_init": report.ts_init,
    }


def _event(order: object, *rest: object) -> dict[str, object]:
    return {"name": order.client_order_id.value, "ts_event": next(iter(rest), None)}


_READ: dict[str, Callable[..., dict[str, object]]] = {
    "report": _report,
    "denied": lambda order, reason: {**_event(order), "reason": reason},
    "submitted": _event,
    "rejected": lambda order, reason, ts, post_only: {**_event(order, ts), "reason": reason},
    "updated": lambda order, vid, quantity, price, trigger, ts: _event(order, ts),
    "modify_rejected": lambda order, vid, reason, ts: {**_event(order, ts), "reason": reason},
    "cancel_rejected": lambda order, vid, reason, ts: {**_event(order, ts), "reason": reason},
    "fill_voided": lambda name, trade, reason, ts: {
        "name": name.value,
        "ts_event": ts,
        "trade_id": trade.value,
    },
}
