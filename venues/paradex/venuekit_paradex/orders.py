"""Order entry: a Nautilus order to a signed request, and a reply to a verdict. No I/O.

A reply to a new order never accepts it: `NEW` comes before the risk check, which speaks on the order channel.
A reply to a cancel only queues it: the order may still fill first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from attrs import frozen
from nautilus_trader.model import LimitOrder, OrderSide, OrderType, TimeInForce

from venuekit.errors import BadValue
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.orders import (
    Cancel,
    CancelAll,
    Command,
    Denied,
    Draft,
    Modify,
    Outcome,
    Prepared,
    Received,
    RefusedOutcome,
    Stamp,
    Submit,
    Unknown,
    Verdict,
)
from venuekit.interfaces.records import WireIds
from venuekit.interfaces.request import HttpRequest, Reply, StreamRequest
from venuekit.interfaces.time import AtWall
from venuekit_paradex.signing import order_request
from venuekit_paradex.wire.json import RpcError
from venuekit_paradex.wire.records import POST_ONLY_CROSSED
from venuekit_paradex.wire.replies import SAYS, parse_error

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.model import Order
    from venuekit.interfaces.signer import Signed, SignRequest

_MS_NS: Final = 1_000_000
_SIDES: Final = {OrderSide.BUY: "BUY", OrderSide.SELL: "SELL"}
_TYPES: Final = {OrderType.LIMIT: "LIMIT", OrderType.MARKET: "MARKET"}
_TIMES: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC"}
_QUEUED: Final = "QUEUED_FOR_CANCELLATION"
_GONE: Final = frozenset({"ALREADY_CLOSED", "NOT_FOUND"})


@frozen
class NewOrder:
    """What a create request says, before its signature."""

    client_id: str
    market: str
    side: str
    type: str
    instruction: str
    size: str
    price: str | None
    reduce_only: bool


@frozen
class CancelOne:
    """Cancel by the venue's id where it is known, else by ours."""

    client_id: str
    venue_id: str | None
    market: str


@frozen
class CancelMarket:
    """Cancel all of a market; empty: of the account."""

    market: str


class _CreatedOrder(msgspec.Struct):
    id: str = ""


class _CreateResult(msgspec.Struct):
    order: _CreatedOrder | None = None


class _CancelResult(msgspec.Struct):
    status: str = ""


class ParadexOrders:
    """The order codec; `route` chooses the WebSocket or REST for everything."""

    __slots__ = ("_port", "_recv_window_ms", "_symbols")

    def __init__(self, *, symbols: Symbols, route: str, recv_window_ms: int) -> None:
        self._symbols = symbols
        self._port = "rpc" if route == "ws" else "rest"
        self._recv_window_ms = recv_window_ms

    def check(self, command: Command) -> Denied | None:
        """What the manifest cannot say: post-only beside an immediate order, numbers too fine to sign."""
        if isinstance(command, Modify):
            return Denied("UNSUPPORTED_MODIFY", "orders cannot be changed yet: cancel and place again")
        if not isinstance(command, Submit):
            return None
        for order in command.orders:
            denied = self._check_order(order)
            if denied is not None:
                return denied
        return None

    def _check_order(self, order: Order) -> Denied | None:
        if self._symbols.by_id(order.instrument_id) is None:
            return Denied(
                "INSTRUMENT_NOT_FOUND", f"{order.instrument_id} is not a loaded instrument of Paradex"
            )
        if _post_only(order) and order.time_in_force is not TimeInForce.GTC:
            return Denied(
                "UNSUPPORTED_TIME_IN_FORCE", "a post-only order rests: its time in force must be GTC"
            )
        try:
            self._to_sign(self._new_order(order), 1)
        except (BadValue, KeyError) as error:
            return Denied("INVALID_ORDER", str(error))
        return None

    def draft(self, command: Command) -> Sequence[Draft]:
        """One request an order; cancelling all of a market is one request, of one side one an order."""
        if isinstance(command, Submit):
            return tuple(self._draft_new(order) for order in command.orders)
        if isinstance(command, Cancel):
            return tuple(self._draft_cancel(order, ids) for order, ids in command.targets)
        if isinstance(command, CancelAll):
            return self._draft_cancel_all(command)
        raise BadValue("orders cannot be changed on this venue yet")

    def _draft_new(self, order: Order) -> Draft:
        client_id = order.client_order_id.value
        return Draft("submit", (client_id,), client_id, self._port, self._new_order(order))

    def _draft_cancel(self, order: Order, ids: WireIds) -> Draft:
        client_id = order.client_order_id.value
        payload = CancelOne(client_id, ids.venue_order_id, self._market(order))
        return Draft("cancel", (client_id,), client_id, self._port, payload)

    def _draft_cancel_all(self, command: CancelAll) -> Sequence[Draft]:
        if command.side not in (None, OrderSide.NO_ORDER_SIDE):
            wanted = [(order, ids) for order, ids in command.targets if order.side is command.side]
            return tuple(self._draft_cancel(order, ids) for order, ids in wanted)
        symbol = self._symbols.by_id(command.instrument_id) if command.instrument_id else None
        if command.instrument_id is not None and symbol is None:
            raise BadValue(f"{command.instrument_id} is not a loaded instrument of Paradex")
        covers = tuple(order.client_order_id.value for order, _ in command.targets)
        market = symbol.raw if symbol else ""
        return (Draft("cancel_all", covers, f"all:{market}", self._port, CancelMarket(market)),)

    def _market(self, order: Order) -> str:
        symbol = self._symbols.by_id(order.instrument_id)
        if symbol is None:
            raise BadValue(f"{order.instrument_id} is not a loaded instrument of Paradex")
        return symbol.raw

    def _new_order(self, order: Order) -> NewOrder:
        return NewOrder(
            client_id=order.client_order_id.value,
            market=self._market(order),
            side=_SIDES[order.side],
            type=_TYPES[order.order_type],
            instruction=_instruction(order),
            size=str(order.quantity),
            price=str(order.price) if isinstance(order, LimitOrder) else None,
            reduce_only=order.is_reduce_only,
        )

    def to_sign(self, draft: Draft, stamp: Stamp) -> SignRequest | None:
        """New orders are signed; cancels are authorised by the session token alone."""
        if not isinstance(draft.payload, NewOrder):
            return None
        return self._to_sign(draft.payload, stamp.wall_ns // _MS_NS)

    def _to_sign(self, new: NewOrder, timestamp_ms: int) -> SignRequest:
        return order_request(
            timestamp_ms=timestamp_ms,
            market=new.market,
            side=new.side,
            order_type=new.type,
            size=new.size,
            price=new.price,
        )

    def encode(self, draft: Draft, stamp: Stamp, signed: Signed | None) -> Prepared:
        """The request; a signed one must leave within four fifths of its receive window."""
        payload = draft.payload
        if isinstance(payload, NewOrder):
            if signed is None:
                raise BadValue("a new order must be signed")
            body = self._order_body(payload, stamp.wall_ns // _MS_NS, signed)
            window_ns = self._recv_window_ms * _MS_NS
            until, lapses = AtWall(stamp.wall_ns + window_ns * 4 // 5), AtWall(stamp.wall_ns + window_ns)
            named = {client_id: WireIds(client_id, lapses=lapses) for client_id in draft.covers}
            return Prepared(self._new_request(body), named, sign_again_after=until)
        if isinstance(payload, CancelOne):
            target = WireIds(client_order_id=payload.client_id, venue_order_id=payload.venue_id)
            return Prepared(self._cancel_request(payload), {payload.client_id: target})
        if isinstance(payload, CancelMarket):
            ids = {client_id: WireIds(client_id) for client_id in draft.covers}
            return Prepared(self._cancel_all_request(payload), ids)
        raise TypeError(f"not a draft of ours: {type(payload).__name__}")

    def _order_body(self, new: NewOrder, timestamp_ms: int, signed: Signed) -> bytes:
        body: dict[str, object] = {
            "client_id": new.client_id,
            "market": new.market,
            "side": new.side,
            "type": new.type,
            "instruction": new.instruction,
            "size": new.size,
            "flags": ["REDUCE_ONLY"] if new.reduce_only else [],
            "recv_window": self._recv_window_ms,
            "signature": signed.signature.decode(),
            "signature_timestamp": timestamp_ms,
        }
        if new.price is not None:
            body["price"] = new.price
        return msgspec.json.encode(body)

    def _new_request(self, body: bytes) -> HttpRequest | StreamRequest:
        if self._port == "rpc":
            return StreamRequest("submit", "order.create", body)
        return HttpRequest("submit", "POST", "/orders", body=body, private=True)

    def _cancel_request(self, cancel: CancelOne) -> HttpRequest | StreamRequest:
        if self._port == "rpc":
            named = (
                {"id": cancel.venue_id}
                if cancel.venue_id
                else {"client_id": cancel.client_id, "market": cancel.market}
            )
            return StreamRequest("cancel", "order.cancel", msgspec.json.encode(named))
        if cancel.venue_id:
            path = f"/orders/{quote(cancel.venue_id, safe='')}"
            return HttpRequest("cancel", "DELETE", path, private=True)
        path = f"/orders/by_client_id/{quote(cancel.client_id, safe='')}"
        query = (("market", cancel.market),)
        return HttpRequest("cancel", "DELETE", path, query=query, private=True)

    def _cancel_all_request(self, cancel: CancelMarket) -> HttpRequest | StreamRequest:
        if self._port == "rpc":
            params = {"market": cancel.market} if cancel.market else {}
            return StreamRequest("cancel_all", "order.cancel_all", msgspec.json.encode(params))
        query = (("market", cancel.market),) if cancel.market else ()
        return HttpRequest("cancel_all", "DELETE", "/orders", query=query, private=True)

    def verdict(self, prepared: Prepared, reply: Reply) -> Verdict:
        """What the reply proves of every order of the request; a reply that cannot be read proves nothing."""
        over_stream = isinstance(prepared.request, StreamRequest)
        good = reply.status == "ok" if over_stream else reply.status in (200, 201, 204)
        if not good:
            whole = _refused(prepared.request.op, reply, over_stream=over_stream)
            return Verdict(whole)
        if prepared.request.op == "submit":
            venue_id = _created_id(reply.body, over_stream=over_stream)
            return _received(prepared, venue_id)
        if prepared.request.op == "cancel" and over_stream:
            return _cancel_queued(prepared, reply.body)
        return _received(prepared, None)

    async def next_nonce(self, lane: str) -> int:
        """Never asked: this venue has no nonces."""
        raise NotImplementedError(f"Paradex has no nonces (lane {lane})")


def _instruction(order: Order) -> str:
    """The venue takes IOC for limit orders alone; what a market order leaves unfilled it cancels anyhow."""
    if order.order_type is OrderType.MARKET:
        return "GTC"
    return "POST_ONLY" if _post_only(order) else _TIMES[order.time_in_force]


def _post_only(order: Order) -> bool:
    return isinstance(order, LimitOrder) and order.is_post_only


def _received(prepared: Prepared, venue_id: str | None) -> Verdict:
    """The venue has the command; every order is named with what is known of it."""
    outcomes: dict[str, Outcome] = {
        client_id: Received(WireIds(ids.client_order_id, venue_order_id=venue_id or ids.venue_order_id))
        for client_id, ids in prepared.ids.items()
    }
    return Verdict(Received(WireIds()), outcomes)


def _created_id(body: bytes, *, over_stream: bool) -> str | None:
    """The venue's order id; None when the body does not say: the status is the proof."""
    try:
        if over_stream:
            order = msgspec.json.decode(body, type=_CreateResult).order
        else:
            order = msgspec.json.decode(body, type=_CreatedOrder)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return (order.id or None) if order else None


def _cancel_queued(prepared: Prepared, body: bytes) -> Verdict:
    try:
        status = msgspec.json.decode(body, type=_CancelResult).status
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Verdict(Unknown("a cancel result that cannot be read"))
    if status in _GONE:
        return Verdict(RefusedOutcome(status, "the order is not open", gone=True))
    if status == _QUEUED:
        return _received(prepared, None)
    return Verdict(Unknown(f"cancel status {status[:40]!r}"))


def _refused(op: str, reply: Reply, *, over_stream: bool) -> Outcome:
    code, text, says = _stream_error(reply.body) if over_stream else _rest_error(reply)
    shown = text[:200] or code
    if says is Says.AUTH:
        return RefusedOutcome(code, shown, rejects_token=True)
    if says is Says.CLOCK:
        return RefusedOutcome(code, shown, rejects_time=True)
    if says is Says.GONE and op != "submit":
        return RefusedOutcome(code, shown, gone=True)
    if says in (Says.REFUSED, Says.MODE):
        return RefusedOutcome(code, shown, post_only=POST_ONLY_CROSSED in text)
    # A duplicate id says that such an order exists; a limit, a breakdown, an unknown code prove nothing.
    return Unknown(f"{reply.status} {code} {shown}".strip())


def _rest_error(reply: Reply) -> tuple[str, str, Says]:
    error = parse_error(reply.body)
    says = SAYS.get(("rest", error.error))
    if says is None:
        says = SAYS.get(("http", str(reply.status)), Says.UNKNOWN)
    return error.error or str(reply.status), error.message, says


def _stream_error(body: bytes) -> tuple[str, str, Says]:
    """The code of a JSON-RPC error; where its data or message names a REST code, that one decides."""
    try:
        error = msgspec.json.decode(body, type=RpcError)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "unreadable", "an error that cannot be read", Says.UNKNOWN
    named = next((word for word in _words(error.text) if ("rest", word) in SAYS), None)
    if named is not None:
        return named, error.text, SAYS["rest", named]
    return str(error.code), error.text, SAYS.get(("ws", str(error.code)), Says.UNKNOWN)


def _words(text: str) -> list[str]:
    """The words of a text that could be error codes."""
    return [
        word for word in "".join(c if c.isalnum() or c == "_" else " " for c in text).split() if "_" in word
    ]
