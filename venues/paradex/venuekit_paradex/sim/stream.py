"""The JSON-RPC side of a stream: login, subscriptions, order entry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit_paradex.sim import render
from venuekit_paradex.sim.channels import parse_channel
from venuekit_paradex.sim.desk import Body
from venuekit_paradex.sim.figures import micros, millis
from venuekit_paradex.sim.refusals import VenueError

if TYPE_CHECKING:
    from collections.abc import Callable

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Connection
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.rates import RateMeter
    from venuekit.sim.records import Order
    from venuekit_paradex.sim.desk import Caller, Desk
    from venuekit_paradex.sim.feed import Feed, Session
    from venuekit_paradex.sim.render import Json

PARSE, INVALID_REQUEST, UNKNOWN_METHOD, BAD_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
METHOD_ERROR, MALFORMED_TOKEN, INVALID_TOKEN, DENIED, RATE_LIMIT = 100, 40110, 40111, 40300, 42901

CUTS = {"order.create": "C5", "order.cancel": "C7", "order.modify": "C9"}
"""Cut points that a session passes right after these replies."""


def request_id(data: Json) -> str | int | None:
    """The id of a request: a text or a whole number; -32600 for anything else, which no reply can repeat."""
    key = data.get("id")
    if key is not None and (isinstance(key, bool) or not isinstance(key, str | int)):
        raise RpcError(INVALID_REQUEST, "invalid request")
    return key


class RpcError(Exception):
    """A JSON-RPC error; `data` is the venue's optional detail text."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def _venue_error(error: VenueError) -> RpcError:
    """The stream's form of a REST error: the venue's code stands in the message, the text in `data`."""
    if error.code == "BINDING_ERROR":
        return RpcError(BAD_PARAMS, "invalid params", error.message)
    return RpcError(METHOD_ERROR, error.code, error.message)


@define
class Rpc:
    """Answers the frames of every session; one method call, one reply."""

    _exchange: Exchange
    _clock: Clock
    _desk: Desk
    _feed: Feed
    _meter: RateMeter
    _read_token: Callable[[str], tuple[Caller, int]]
    _revoked_below: Callable[[], int]
    _cut: Callable[[str, Connection, str], None]
    """Told when a session passes a cut point of an order's life."""
    _methods: dict[str, Callable[[Session, object], object]] = field(factory=dict)
    _after: list[Callable[[], None]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._methods = {
            "auth": self._auth,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "modify_subscription": self._modify_subscription,
            "order.create": self._create,
            "order.create_batch": self._create_batch,
            "order.modify": self._modify,
            "order.cancel": self._cancel,
            "order.cancel_all": self._cancel_all,
            "order.cancel_batch": self._cancel_batch,
            "order.cancel_on_disconnect": self._cancel_on_disconnect,
        }

    def receive(self, session: Session, frame: bytes | str) -> None:
        """The frame was answered; what a subscription sends at once follows its reply."""
        started_ns = self._clock.wall_ns()
        key: object = None
        method = "?"
        try:
            data = self._parse(frame)
            key = request_id(data)
            name = data.get("method")
            if data.get("jsonrpc") != "2.0" or not isinstance(name, str):
                raise RpcError(INVALID_REQUEST, "invalid request")
            method = name
            answer: Json = {"result": self._call(session, method, data.get("params"))}
        except RpcError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
            if error.data:
                answer = {"error": {"code": error.code, "message": error.message, "data": error.data}}
        self._reply(session, method, key, answer, started_ns)
        after, self._after = self._after, []
        for act in after:
            act()
        if method in CUTS and "result" in answer:
            self._cut(CUTS[method], session.connection, method)

    def _call(self, session: Session, method: str, params: object) -> object:
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(UNKNOWN_METHOD, "method does not exist")
        if method.startswith("order."):
            self._need_login(session)
            reading = self._meter.take("orders", self._caller(session).account)
            if reading is not None and not reading.allowed:
                raise RpcError(RATE_LIMIT, "rate limit exceeded")
        try:
            return handler(session, params)
        except VenueError as error:
            raise _venue_error(error) from error

    @staticmethod
    def _parse(frame: bytes | str) -> Json:
        try:
            data = json.loads(frame)
        except (ValueError, RecursionError) as error:
            raise RpcError(PARSE, "parse error") from error
        if not isinstance(data, dict):
            raise RpcError(INVALID_REQUEST, "invalid request")
        return data

    def _reply(self, session: Session, method: str, key: object, answer: Json, started_ns: int) -> None:
        now_us, then_us = micros(self._clock.wall_ns()), micros(started_ns)
        body = {"jsonrpc": "2.0", **answer, "usIn": then_us, "usOut": now_us, "usDiff": now_us - then_us}
        if key is not None:
            body["id"] = key
        # The venue ends its replies with a line feed (captured).
        session.connection.send(json.dumps(body, separators=(",", ":")) + "\n", f"reply:{method}")

    # --- login

    def _auth(self, session: Session, params: object) -> Json:
        bearer = params.get("bearer") if isinstance(params, dict) else None
        if not isinstance(bearer, str) or bearer.count(".") != 2:
            raise RpcError(MALFORMED_TOKEN, "malformed bearer token")
        try:
            session.caller, session.token_serial = self._read_token(bearer)
        except VenueError as error:
            raise RpcError(INVALID_TOKEN, "invalid bearer token", error.message) from error
        return {"node_id": f"{session.connection.id:016x}"}

    def _need_login(self, session: Session) -> None:
        if session.caller is None:
            raise RpcError(DENIED, "permission denied", "authentication required")
        if session.token_serial < self._revoked_below():
            raise RpcError(INVALID_TOKEN, "invalid bearer token", "token is revoked")

    @staticmethod
    def _caller(session: Session) -> Caller:
        if session.caller is None:
            raise RpcError(DENIED, "permission denied", "authentication required")
        return session.caller

    # --- subscriptions

    @staticmethod
    def _channel(params: object) -> str:
        channel = params.get("channel") if isinstance(params, dict) else None
        if not isinstance(channel, str):
            raise RpcError(BAD_PARAMS, "invalid params", "channel is required")
        return channel

    def _subscribe(self, session: Session, params: object) -> Json:
        channel = self._channel(params)
        topic = parse_channel(channel, self._exchange.markets)
        if topic is None:
            raise RpcError(INVALID_REQUEST, "invalid subscribe request", "invalid channel")
        if topic.private:
            self._need_login(session)
        if channel in session.topics:
            raise RpcError(INVALID_REQUEST, "invalid subscribe request", "already subscribed")
        if topic.book and session.version is not None:
            taken = [one for one in session.topics.values() if one.book and one.market == topic.market]
            if taken:
                raise RpcError(INVALID_REQUEST, "invalid subscribe request", "one book channel per market")
        session.topics[channel] = topic
        self._after.append(lambda: self._feed.greet(session, topic))
        return {"channel": channel}

    def _unsubscribe(self, session: Session, params: object) -> Json:
        channel = self._channel(params)
        if session.topics.pop(channel, None) is None:
            raise RpcError(INVALID_REQUEST, "invalid unsubscribe request", "not subscribed")
        session.quiet_since_ns = self._clock.mono_ns()
        return {"channel": channel}

    def _modify_subscription(self, session: Session, params: object) -> Json:
        channel = self._channel(params)
        if channel not in session.topics or channel != "markets_summary":
            raise RpcError(INVALID_REQUEST, "invalid modify_subscription request", "not subscribed")
        lists = (
            {name: params.get(name) or [] for name in ("add", "remove")} if isinstance(params, dict) else {}
        )
        for markets in lists.values():
            if not isinstance(markets, list) or not all(isinstance(one, str) for one in markets):
                raise RpcError(BAD_PARAMS, "invalid params", "add and remove are lists of markets")
        return {"channel": channel, **lists}

    # --- order entry

    def _created(self, session: Session, order: Order) -> Json:
        session.placed.add(order.id)
        return {
            "order": self.order_body(order),
            "created_at": millis(order.created_ns),
            "received_at": order.created_ns,
        }

    def order_body(self, order: Order) -> Json:
        """The order as a reply shows it."""
        body = render.order(order, None, self._clock.wall_ns())
        # The document of the methods has all that the order channel has but these two.
        return {name: value for name, value in body.items() if name not in ("stp", "request_info")}

    def _create(self, session: Session, params: object) -> Json:
        return self._created(session, self._desk.place(self._caller(session), params))

    def _create_batch(self, session: Session, params: object) -> Json:
        outcomes = self._desk.place_batch(self._caller(session), params)
        rows: list[Json] = []
        for outcome in outcomes:
            if isinstance(outcome, VenueError):
                rows.append({"error": f"{outcome.code}: {outcome.message}"})
            else:
                rows.append(self._created(session, outcome))
        return {"results": rows}

    def _modify(self, session: Session, params: object) -> Json:
        return {"order": self.order_body(self._desk.modify(self._caller(session), params))}

    def _cancel(self, session: Session, params: object) -> Json:
        body = Body(params)
        number, client_id = body.text("id", ""), body.text("client_id", "")
        caller = self._caller(session)
        if number:
            order = self._desk.cancel(caller, number)
        elif client_id:
            order = self._desk.cancel_by_client_id(caller, client_id, body.text("market"))
        else:
            raise RpcError(BAD_PARAMS, "invalid params", "id or client_id is required")
        return {"order_id": order.id, "status": "QUEUED_FOR_CANCELLATION"}

    def _cancel_all(self, session: Session, params: object) -> Json:
        self._desk.cancel_all(self._caller(session), Body(params or {}).text("market", ""))
        return {"status": "ok"}

    def _cancel_batch(self, session: Session, params: object) -> Json:
        ids = params.get("order_ids") if isinstance(params, dict) else None
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise RpcError(BAD_PARAMS, "invalid params", "order_ids is required")
        rows = self._desk.cancel_batch(self._caller(session), ids, ())
        known = ("id", "market", "status")
        return {"results": [{name: row[name] for name in known if name in row} for row in rows]}

    def _cancel_on_disconnect(self, session: Session, params: object) -> Json:
        enabled = params.get("enabled") if isinstance(params, dict) else None
        if not isinstance(enabled, bool):
            raise RpcError(BAD_PARAMS, "invalid params", "enabled is required")
        session.cancel_on_disconnect = enabled
        return {"enabled": enabled}
