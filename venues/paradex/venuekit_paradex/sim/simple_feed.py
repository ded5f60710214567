"""JSON-RPC and the broadcast of the simple door: once a second every channel tells what it has.

`orderbook`, `positions` and `account` tell the state of that moment; `trades`, `fills` and `orders` what
happened since the second before (of an order its latest state). Payloads are those of the venue's channels.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.records import Cause, Filled, OrderChanged, PositionChanged, Traded
from venuekit_paradex.sim import render
from venuekit_paradex.sim.feed import envelope
from venuekit_paradex.sim.stream import (
    BAD_PARAMS,
    INVALID_REQUEST,
    PARSE,
    UNKNOWN_METHOD,
    RpcError,
    request_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.records import Event, Fill, Trade
    from venuekit_paradex.sim.desk import Desk
    from venuekit_paradex.sim.feed import Feed
    from venuekit_paradex.sim.planting import Planter
    from venuekit_paradex.sim.render import Json

BEAT_NS = 1_000_000_000
DEPTH = 15
"""Levels a side of the venue's own book snapshots."""
_PER_MARKET = ("trades", "orderbook", "orders", "fills")
_PLAIN = ("positions", "account")


@define(eq=False)
class Member:
    """One client: where its texts go, and its channels in the order of their subscription."""

    number: int
    send: Callable[[str], None]
    channels: dict[str, None] = field(factory=dict)


@define
class SimpleFeed:
    """Members, and what is told to them."""

    _exchange: Exchange
    _clock: Clock
    _desk: Desk
    _feed: Feed
    _planter: Planter
    _account: str
    _members: dict[int, Member] = field(factory=dict)
    _joined: int = 0
    _trades: list[Trade] = field(factory=list)
    _fills: list[Fill] = field(factory=list)
    _orders: dict[str, None] = field(factory=dict)
    _moved: dict[str, None] = field(factory=dict)
    """Markets in which the account's position changed since the last beat."""
    _timer: Cancel | None = None
    _detach: Callable[[], None] | None = None

    def start(self) -> None:
        """Events are collected and told every second."""
        self._detach = self._exchange.listen(self.on_event)
        self._schedule(self._clock.mono_ns() + BEAT_NS)

    def stop(self) -> None:
        """Nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._detach is not None:
            self._detach()
            self._detach = None

    def join(self, send: Callable[[str], None]) -> Member:
        """A client without channels."""
        self._joined += 1
        member = self._members[self._joined] = Member(self._joined, send)
        return member

    def leave(self, member: Member) -> None:
        """The client is forgotten."""
        self._members.pop(member.number, None)

    # --- requests

    def receive(self, member: Member, frame: str | bytes) -> None:
        """The request was answered, a wrong one with an error; without an id the answer has none either."""
        key: object = None
        try:
            data = _parse(frame)
            key = request_id(data)
            answer: Json = {"result": self._call(member, data)}
        except RpcError as error:
            told: Json = {"code": error.code, "message": error.message}
            answer = {"error": told | ({"data": error.data} if error.data else {})}
        # JSON-RPC 2.0: an error of a request whose id cannot be told carries a null id.
        if key is not None or "error" in answer:
            answer["id"] = key
        member.send(json.dumps({"jsonrpc": "2.0", **answer}, separators=(",", ":")))

    def _call(self, member: Member, data: Json) -> Json:
        method, params = data.get("method"), data.get("params")
        if data.get("jsonrpc") != "2.0" or not isinstance(method, str):
            raise RpcError(INVALID_REQUEST, "invalid request")
        if method == "auth":
            # Any bearer will do, and none is needed.
            _text(params, "bearer")
            return {"node_id": f"{member.number:016x}"}
        if method not in ("subscribe", "unsubscribe"):
            raise RpcError(UNKNOWN_METHOD, "method does not exist")
        channel = _text(params, "channel")
        refusal = f"invalid {method} request"
        if method == "unsubscribe":
            if channel not in member.channels:
                raise RpcError(INVALID_REQUEST, refusal, "not subscribed")
            del member.channels[channel]
            return {"channel": channel}
        if not self._exists(channel):
            raise RpcError(INVALID_REQUEST, refusal, "invalid channel")
        if channel in member.channels:
            raise RpcError(INVALID_REQUEST, refusal, "already subscribed")
        member.channels[channel] = None
        return {"channel": channel}

    def _exists(self, channel: str) -> bool:
        kind, dot, market = channel.partition(".")
        if not dot:
            return kind in _PLAIN
        return kind in _PER_MARKET and market in self._exchange.markets

    # --- the beat

    def on_event(self, event: Event) -> None:
        """What the next beat tells is noted."""
        if isinstance(event, Traded):
            self._trades.append(event.trade)
        elif isinstance(event, Filled):
            if event.fill.account == self._account:
                self._fills.append(event.fill)
        elif isinstance(event, OrderChanged):
            # The venue says nothing about a cancel that is only queued.
            if event.order.account == self._account and event.cause is not Cause.CANCEL_REQUESTED:
                self._orders[event.order.id] = None
        elif isinstance(event, PositionChanged) and event.position.account == self._account:
            self._moved[event.position.market] = None

    def beat(self) -> None:
        """Every member has what its channels tell; the next second begins."""
        texts: dict[str, list[str]] = {}
        for member in tuple(self._members.values()):
            for channel in member.channels:
                if channel not in texts:
                    texts[channel] = [envelope(channel, row) for row in self._tell(channel)]
                for one in texts[channel]:
                    member.send(one)
        self._trades.clear()
        self._fills.clear()
        self._orders.clear()
        self._moved.clear()

    def _schedule(self, due_ns: int) -> None:
        def run() -> None:
            self.beat()
            # From the due time, not from now: a late beat does not make the later ones late. Beats that a
            # stopped process missed are not made up for.
            self._schedule(max(due_ns + BEAT_NS, self._clock.mono_ns()))

        self._timer = self._clock.call_at(due_ns, run)

    def _tell(self, channel: str) -> Iterable[Json]:
        kind, _, market = channel.partition(".")
        if kind == "orderbook":
            return (render.book_snapshot(self._exchange.book(market), DEPTH),)
        if kind == "trades":
            return (render.trade(one) for one in self._trades if one.market == market)
        if kind == "fills":
            mine = (one for one in self._fills if one.market == market)
            return (render.fill(shown) for one in mine for shown in self._planter.recall(one))
        if kind == "orders":
            return self._order_rows(market)
        if kind == "positions":
            return self._position_rows()
        return (render.account(self._feed.account_state(self._account)),)

    def _order_rows(self, market: str) -> Iterator[Json]:
        now_ns = self._clock.wall_ns()
        for number in self._orders:
            order = self._exchange.order(number)
            if order is not None and order.market == market:
                yield render.order(order, self._desk.infos.get(number), now_ns)

    def _position_rows(self) -> Iterator[Json]:
        """What is open, and once what was closed."""
        for position in self._exchange.positions(self._account):
            state = self._feed.position_state(position)
            if state.open or position.market in self._moved:
                yield render.position(state)


def _parse(frame: str | bytes) -> Json:
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE, "parse error") from error
    if not isinstance(data, dict):
        raise RpcError(INVALID_REQUEST, "invalid request")
    return data


def _text(params: object, name: str) -> str:
    value = params.get(name) if isinstance(params, dict) else None
    if not isinstance(value, str):
        raise RpcError(BAD_PARAMS, "invalid params", f"{name} is required")
    return value
