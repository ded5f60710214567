"""Order entry as the venue does it: checked at the door, decided later, and looked up by its narrow rules."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from venuekit.sim.errors import Refusal
from venuekit.sim.records import CancelAnswer, NewOrder, Order, OrderKind, OrderStatus, SelfTrade, Side, Tif
from venuekit_paradex.sim import proofs
from venuekit_paradex.sim.figures import RequestInfo
from venuekit_paradex.sim.people import check
from venuekit_paradex.sim.refusals import VenueError, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from venuekit.interfaces.time import Clock
    from venuekit.sim.exchange import Exchange
    from venuekit_paradex.sim.people import Person
    from venuekit_paradex.sim.settings import Settings

KINDS = {
    "LIMIT": OrderKind.LIMIT,
    "MARKET": OrderKind.MARKET,
    "STOP_LIMIT": OrderKind.STOP_LIMIT,
    "STOP_MARKET": OrderKind.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderKind.STOP_LIMIT,
    "STOP_LOSS_MARKET": OrderKind.STOP_MARKET,
    "TAKE_PROFIT_LIMIT": OrderKind.TAKE_PROFIT_LIMIT,
    "TAKE_PROFIT_MARKET": OrderKind.TAKE_PROFIT_MARKET,
}
INSTRUCTIONS = ("GTC", "POST_ONLY", "IOC", "RPI")
ONLY_FOR = {"POST_ONLY": ("LIMIT", "STOP_LIMIT"), "IOC": ("LIMIT",)}
"""The types that an instruction can be used with; the others go with all."""
FLAGS = frozenset(
    (
        "REDUCE_ONLY",
        "STOP_CONDITION_BELOW_TRIGGER",
        "STOP_CONDITION_ABOVE_TRIGGER",
        "INTERACTIVE",
        "TARGET_STRATEGY_VWAP",
        "MMP",
    )
)
BATCH_MAX = 50
"""The specification says 10, the venue's own practice page 50; the wider one is accepted."""
RECV_WINDOW_MS = 300_000
RECV_WINDOW_MIN_MS = 10
FUTURE_MS = 60_000
CLIENT_ID_MAX = 64
PLAIN_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
"""How clients of the venue write sizes and prices; what it makes of exponents and signs is not published."""


@frozen
class Caller:
    """Who sends a request: the account and the key that the token was issued for."""

    person: Person
    public_key: int

    @property
    def account(self) -> str:
        """Address text."""
        return self.person.account


def order_id(kind: str, counter: int, wall_ns: int) -> str:
    """28 decimal digits: milliseconds, a two-digit kind, a counter."""
    kinds = {"order": 20, "fill": 30, "trade": 40}
    return f"{wall_ns // 1_000_000:013d}{kinds.get(kind, 50)}{counter:012d}0"


class Body:
    """A request body read field by field; null and empty count as absent: clients of the venue send both."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, dict):
            raise VenueError("BINDING_ERROR", "an object is required")
        self._data: Mapping[str, object] = data

    def text(self, name: str, default: str | None = None) -> str:
        """A text field."""
        value = self._data.get(name)
        if value is None or value == "":
            if default is None:
                raise VenueError("VALIDATION_ERROR", f"{name} is required")
            return default
        if not isinstance(value, str):
            raise VenueError("BINDING_ERROR", f"{name} must be text")
        if any("\ud800" <= character <= "\udfff" for character in value):
            # JSON can escape halves of characters, which no other form of a message can carry.
            raise VenueError("BINDING_ERROR", f"{name} is not a valid text")
        return value

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        """A decimal as text."""
        written = self.text(name, None if default is None else str(default))
        if not PLAIN_NUMBER.fullmatch(written):
            raise VenueError("VALIDATION_ERROR", f"{name} is not a plain decimal number")
        return Decimal(written)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._data.get(name)
        if value is None:
            if default is None:
                raise VenueError("VALIDATION_ERROR", f"{name} is required")
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise VenueError("BINDING_ERROR", f"{name} must be an integer")
        return value

    def choice(
        self, name: str, allowed: Sequence[str] | Mapping[str, object], default: str | None = None
    ) -> str:
        """A text field with a closed set of values."""
        value = self.text(name, default)
        if value not in allowed:
            raise VenueError("VALIDATION_ERROR", f"{name}: {value[:40]!r} is unknown")
        return value

    def flags(self) -> tuple[str, ...]:
        """The flags of an order."""
        value = self._data.get("flags") or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise VenueError("BINDING_ERROR", "flags must be a list of texts")
        unknown = [one for one in value if one not in FLAGS]
        if unknown:
            raise VenueError("VALIDATION_ERROR", f"flags: {unknown[0][:40]!r} is unknown")
        return tuple(value)


@define
class Desk:
    """Orders of API accounts over the exchange. Refuses at the door, decides after the configured delay."""

    _exchange: Exchange
    _clock: Clock
    _settings: Settings
    _random: Random
    infos: dict[str, RequestInfo] = field(factory=dict)
    """The last modify request of each order."""
    _modifies: int = 0

    # --- placing

    def read(self, caller: Caller, data: object) -> NewOrder:
        """A new order whose form and signature are good; VenueError otherwise. Nothing happened yet."""
        body = Body(data)
        return self._order(caller, body, lambda kind, side: self._proven_stamp(caller, body, kind, side))

    def read_unsigned(self, caller: Caller, data: object) -> NewOrder:
        """The same without `signature` and `signature_timestamp`: both are ignored."""
        now_ms = self._clock.wall_ns() // 1_000_000
        return self._order(caller, Body(data), lambda _kind, _side: now_ms)

    def _proven_stamp(self, caller: Caller, body: Body, kind: str, side: str) -> int:
        """The time of the signature, which proves the order."""
        stamp_ms = self._stamp(body)
        signed = proofs.SignedOrder(
            timestamp_ms=stamp_ms,
            market=body.text("market"),
            side=side,
            order_type=kind,
            size=body.text("size"),
            price=body.text("price", "0"),
        )
        self._check_signature(caller, signed, body.text("signature"))
        return stamp_ms

    def _order(self, caller: Caller, body: Body, prove: Callable[[str, str], int]) -> NewOrder:
        kind = body.choice("type", KINDS)
        side = body.choice("side", ("BUY", "SELL"))
        instruction = body.choice("instruction", INSTRUCTIONS, "GTC")
        if kind not in ONLY_FOR.get(instruction, KINDS):
            raise VenueError("VALIDATION_ERROR", f"{instruction} cannot be used with {kind}")
        flags = body.flags()
        client_id = body.text("client_id", "")
        if len(client_id.encode()) > CLIENT_ID_MAX:
            raise VenueError("VALIDATION_ERROR", f"client_id is longer than {CLIENT_ID_MAX} bytes")
        stamp_ms = prove(kind, side)
        market = body.text("market")
        if instruction == "RPI":
            raise VenueError("RPI_ACCOUNT_NOT_WHITELISTED")
        return NewOrder(
            account=caller.account,
            market=market,
            side=Side(side),
            quantity=self._size(caller, body, kind, market, flags),
            kind=KINDS[kind],
            price=body.number("price") if KINDS[kind].priced else None,
            trigger_price=body.number("trigger_price") if KINDS[kind].conditional else None,
            trigger_above=_above(flags),
            tif=Tif.IOC if instruction == "IOC" else Tif.GTC,
            post_only=instruction == "POST_ONLY",
            reduce_only="REDUCE_ONLY" in flags,
            stp=SelfTrade(body.choice("stp", [one.value for one in SelfTrade], "EXPIRE_TAKER")),
            client_id=client_id,
            tags={
                "type": kind,
                "instruction": instruction,
                "flags": ",".join(flags),
                "timestamp_ms": stamp_ms,
            },
        )

    def admit(self, request: NewOrder) -> Order:
        """The order exists as NEW; its risk check follows after the delay."""
        try:
            order = self._exchange.admit(request)
        except Refusal as refusal:
            raise refused(refusal) from refusal
        self._later(self._settings.risk_delay_ms, lambda: self._exchange.activate(order.id))
        return order

    def place(self, caller: Caller, data: object) -> Order:
        """`read` and `admit`."""
        return self.admit(self.read(caller, data))

    def place_batch(self, caller: Caller, data: object) -> list[Order | VenueError]:
        """One outcome per item. A bad signature or form refuses the whole batch, nothing happened then."""
        items = data.get("orders") if isinstance(data, dict) else data
        if not isinstance(items, list):
            raise VenueError("BINDING_ERROR", "a list of orders is required")
        if not 1 <= len(items) <= BATCH_MAX:
            raise VenueError("BATCH_SIZE_OUT_OF_RANGE", f"1 to {BATCH_MAX} orders")
        requests = [self.read(caller, item) for item in items]
        outcomes: list[Order | VenueError] = []
        for request in requests:
            try:
                outcomes.append(self.admit(request))
            except VenueError as error:
                outcomes.append(error)
        return outcomes

    def modify(self, caller: Caller, data: object, known_id: str = "") -> Order:
        """The order as it is, with a pending modify; an order event tells the outcome."""
        body = Body(data)
        number = known_id or body.text("id")
        order = self._own(caller, number)
        kind = body.choice("type", KINDS)
        signed = proofs.SignedOrder(
            timestamp_ms=self._stamp(body),
            market=body.text("market"),
            side=body.choice("side", ("BUY", "SELL")),
            order_type=kind,
            size=body.text("size"),
            price=body.text("price", "0"),
            order_id=number,
        )
        self._check_signature(caller, signed, body.text("signature"))
        if (signed.market, signed.side) != (order.market, order.side.value):
            raise VenueError("VALIDATION_ERROR", "market and side cannot be modified")
        try:
            self._exchange.request_modify(number)
        except Refusal as refusal:
            raise refused(refusal) from refusal
        self._schedule_modify(order, body)
        return order

    def _schedule_modify(self, order: Order, body: Body) -> None:
        self._modifies += 1
        info = RequestInfo(str(self._modifies), "PENDING")
        self.infos[order.id] = info
        quantity = body.number("size")
        price = body.number("price") if order.request.kind.priced else None
        trigger = body.number("trigger_price") if body.text("trigger_price", "") not in ("", "0") else None

        def act() -> None:
            # The outcome is told by the event: `settle_modify` runs before that event is published.
            self._exchange.apply_modify(order.id, quantity=quantity, price=price, trigger_price=trigger)

        self._later(self._settings.modify_delay_ms, act)

    def settle_modify(self, number: str, status: str, message: str = "") -> None:
        """The pending modify of this order ended with SUCCESS or REJECTED."""
        info = self.infos.get(number)
        if info is not None:
            self.infos[number] = RequestInfo(info.id, status, message)

    # --- cancelling

    def cancel(self, caller: Caller, number: str) -> Order:
        """The cancel is queued; ORDER_ID_NOT_FOUND or ORDER_IS_CLOSED otherwise."""
        order = self._own(caller, number)
        if self.cancel_quietly(order.id) is not CancelAnswer.QUEUED:
            raise VenueError("ORDER_IS_CLOSED")
        return order

    def cancel_by_client_id(self, caller: Caller, client_id: str, market: str = "") -> Order:
        """The latest order with this client id that is not closed gets a queued cancel."""
        found = self._exchange.orders_by_client_id(caller.account, client_id)
        fitting = [order for order in found if not market or order.market == market]
        if not fitting:
            raise VenueError("CLIENT_ORDER_ID_NOT_FOUND")
        return self.cancel(caller, fitting[-1].id)

    def cancel_all(self, caller: Caller, market: str = "") -> int:
        """Every order of the account that is not closed gets a queued cancel; how many."""
        orders = self._exchange.open_orders(caller.account, market or None)
        for order in orders:
            self.cancel_quietly(order.id)
        return len(orders)

    def cancel_batch(
        self, caller: Caller, ids: Sequence[str], client_ids: Sequence[str]
    ) -> list[dict[str, object]]:
        """One row per id with its outcome."""
        rows = [self._batch_row(caller, self._exchange.order(number), {"id": number}) for number in ids]
        for client_id in client_ids:
            found = self._exchange.orders_by_client_id(caller.account, client_id)
            rows.append(self._batch_row(caller, found[-1] if found else None, {"client_id": client_id}))
        return rows

    def _batch_row(self, caller: Caller, order: Order | None, asked: dict[str, object]) -> dict[str, object]:
        if order is None or order.account != caller.account:
            return asked | {"status": "NOT_FOUND"}
        answer = self.cancel_quietly(order.id)
        status = "QUEUED_FOR_CANCELLATION" if answer is CancelAnswer.QUEUED else "ALREADY_CLOSED"
        return {
            "id": order.id,
            "client_id": order.client_id,
            "account": order.account,
            "market": order.market,
            "status": status,
        }

    def cancel_quietly(self, number: str) -> CancelAnswer:
        """The cancel is queued when the order is open; no error otherwise."""
        try:
            answer = self._exchange.request_cancel(number)
        except Refusal as refusal:
            raise refused(refusal) from refusal
        if answer is CancelAnswer.QUEUED:
            self._later(self._settings.cancel_delay_ms, lambda: self._exchange.apply_cancel(number))
        return answer

    # --- looking up

    def live(self, caller: Caller, number: str) -> Order:
        """The order while it is NEW or OPEN; the venue finds no other one here."""
        order = self._own(caller, number)
        if order.status not in (OrderStatus.NEW, OrderStatus.OPEN):
            raise VenueError("ORDER_ID_NOT_FOUND")
        return order

    def open_by_client_id(self, caller: Caller, client_id: str) -> Order:
        """The OPEN order with this client id."""
        for order in reversed(self._exchange.orders_by_client_id(caller.account, client_id)):
            if order.status is OrderStatus.OPEN:
                return order
        raise VenueError("CLIENT_ORDER_ID_NOT_FOUND")

    # --- inside

    def _own(self, caller: Caller, number: str) -> Order:
        order = self._exchange.order(number)
        if order is None or order.account != caller.account:
            raise VenueError("ORDER_ID_NOT_FOUND")
        return order

    def _stamp(self, body: Body) -> int:
        stamp_ms = body.integer("signature_timestamp")
        window_ms = body.integer("recv_window", 0) or RECV_WINDOW_MS
        if window_ms < RECV_WINDOW_MIN_MS:
            raise VenueError("VALIDATION_ERROR", f"recv_window is below {RECV_WINDOW_MIN_MS} ms")
        now_ms = self._clock.wall_ns() // 1_000_000
        if now_ms > stamp_ms + window_ms:
            raise VenueError("INVALID_TIMESTAMP", "signature_timestamp is outside the receive window")
        if stamp_ms > now_ms + FUTURE_MS:
            raise VenueError("INVALID_TIMESTAMP", "signature_timestamp lies in the future")
        return stamp_ms

    def _size(self, caller: Caller, body: Body, kind: str, market: str, flags: Sequence[str]) -> Decimal:
        size = body.number("size")
        # Take-profit and stop-loss orders of size 0 mean the whole position.
        if size == 0 and kind.startswith(("TAKE_PROFIT", "STOP_LOSS")) and "REDUCE_ONLY" in flags:
            size = abs(self._exchange.position(caller.account, market).quantity)
        if size <= 0:
            raise VenueError("INVALID_ORDER_SIZE", "size must be positive")
        return size

    def _check_signature(self, caller: Caller, signed: proofs.SignedOrder, signature: str) -> None:
        try:
            digest = proofs.order_hash(self._settings.chain_id, caller.person.address, signed)
        except (proofs.BadProofError, ValueError) as error:
            raise VenueError("VALIDATION_ERROR", str(error)) from error
        check(caller.public_key, digest, signature, "INVALID_ORDER_SIGNATURE")

    def _later(self, delay_ms: int, act: Callable[[], object]) -> None:
        jitter_ns = self._random.randrange(self._settings.jitter_ms * 1_000_000 + 1)
        due_ns = self._clock.mono_ns() + delay_ms * 1_000_000 + jitter_ns

        def run() -> None:
            act()

        self._clock.call_at(due_ns, run)


def _above(flags: Sequence[str]) -> bool | None:
    if "STOP_CONDITION_ABOVE_TRIGGER" in flags:
        return True
    return False if "STOP_CONDITION_BELOW_TRIGGER" in flags else None
