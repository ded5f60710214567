"""What truly happened: the judge's book, kept apart from what was sent to anybody."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from attrs import frozen

from venuekit.sim.records import Filled, OrderChanged, PriceMoved, Traded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from venuekit.interfaces.time import Clock
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.records import Balance, Event, Fill, Order, Position

    type Row = dict[str, object]

_TEXT = 2_048


def plain(value: Decimal | None) -> str | None:
    """Decimal text without exponent and trailing zeros, so that equal numbers have equal text."""
    if value is None:
        return None
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


@frozen(kw_only=True)
class Seen:
    """A request, a reply, a frame received or sent. `text` is cut at 2,048 characters, bytes are hex."""

    ts_ns: int
    connection: int
    direction: str
    label: str
    text: str
    size: int


class Ledger:
    """Orders (every version) and fills without bound; requests and frames in a ring of `frames` entries."""

    def __init__(self, exchange: Exchange, clock: Clock, *, frames: int = 20_000) -> None:
        self._exchange = exchange
        self._clock = clock
        self._versions: dict[str, list[Order]] = {}
        self._fills: list[Fill] = []
        self._seen: deque[Seen] = deque(maxlen=frames)
        self._counts: Counter[str] = Counter()
        self._market_history = sha256()
        self.detach = exchange.listen(self._apply)

    def _apply(self, event: Event) -> None:
        if isinstance(event, OrderChanged):
            self._versions.setdefault(event.order.id, []).append(event.order)
        elif isinstance(event, Filled):
            self._fills.append(event.fill)
        elif isinstance(event, Traded):
            trade = event.trade
            self._note(trade.market, trade.id, trade.side.value, plain(trade.quantity), plain(trade.price))
        elif isinstance(event, PriceMoved):
            self._note(event.market, plain(event.mark), plain(event.index))

    def _note(self, *words: str | None) -> None:
        # A running digest of what the market did: the crowd's trades are too many to keep.
        self._market_history.update(msgspec.json.encode(words))

    def saw(self, direction: str, label: str, data: bytes | str, connection: int = 0) -> None:
        """A "request", "reply", frame "in" or frame "out" is noted with its time and connection."""
        self._counts[direction] += 1
        text = data[: _TEXT // 2].hex() if isinstance(data, bytes) else data[:_TEXT]
        self._seen.append(
            Seen(
                ts_ns=self._clock.wall_ns(),
                connection=connection,
                direction=direction,
                label=label,
                text=text,
                size=len(data),
            )
        )

    def seen(self, direction: str | None = None) -> Sequence[Seen]:
        """The latest requests and frames, oldest first."""
        return [one for one in self._seen if direction is None or one.direction == direction]

    def count(self, direction: str) -> int:
        """How many of this direction there were, the forgotten ones included."""
        return self._counts[direction]

    def versions(self, order_id: str) -> Sequence[Order]:
        """All versions of an order, oldest first."""
        return tuple(self._versions.get(order_id, ()))

    def orders(self, account: str | None = None) -> Sequence[Order]:
        """The latest version of every order, oldest order first."""
        latest = [versions[-1] for versions in self._versions.values()]
        return [one for one in latest if account is None or one.account == account]

    def fills(self, account: str | None = None) -> Sequence[Fill]:
        """All fills, busted ones included."""
        return [one for one in self._fills if account is None or one.account == account]

    def digest(self, *, times: bool = False) -> str:
        """SHA-256 over orders, fills, positions, balances and trades; equal for equal histories."""
        state = {
            "orders": [order_row(one, times) for all_of in self._versions.values() for one in all_of],
            "fills": [self._fill_row(one, times) for one in self._fills],
            "positions": self._positions(None, times),
            "balances": self._balances(None),
            "market": self._market_history.hexdigest(),
        }
        return sha256(msgspec.json.encode(state, order="deterministic")).hexdigest()

    def to_json(self, account: str | None = None, *, frames: bool = False) -> Mapping[str, object]:
        """Orders, fills, positions, balances, digest, and counts of what was seen, as JSON-able data.

        Prices and sizes are plain decimal text, times ns. `account` keeps only that account's rows; `frames`
        adds the ring of requests and frames.
        """
        result: Row = {
            "wall_ns": self._clock.wall_ns(),
            "orders": [order_row(one, True) for one in self.orders(account)],
            "fills": [self._fill_row(one, True) for one in self.fills(account)],
            "positions": self._positions(account, True),
            "balances": self._balances(account),
            "seen": dict(self._counts),
            "digest": self.digest(),
        }
        if frames:
            names = ("ts_ns", "connection", "direction", "label", "text", "size")
            result["frames"] = [{name: getattr(one, name) for name in names} for one in self._seen]
        return result

    def _accounts(self, account: str | None) -> Sequence[str]:
        return self._exchange.accounts() if account is None else (account,)

    def _positions(self, account: str | None, times: bool) -> list[Row]:
        return [
            position_row(one, times)
            for name in self._accounts(account)
            for one in self._exchange.positions(name)
        ]

    def _balances(self, account: str | None) -> list[Row]:
        return [balance_row(name, self._exchange.balance(name)) for name in self._accounts(account)]

    def _fill_row(self, fill: Fill, times: bool) -> Row:
        return {**fill_row(fill, times), "busted": self._exchange.is_busted(fill.id)}


def order_row(order: Order, times: bool) -> Row:
    """An order as JSON-able data."""
    request = order.request
    row: Row = {
        "id": order.id,
        "client_id": order.client_id,
        "account": order.account,
        "market": order.market,
        "side": order.side.value,
        "kind": request.kind.value,
        "tif": request.tif.value,
        "post_only": request.post_only,
        "reduce_only": request.reduce_only,
        "status": order.status.value,
        "quantity": plain(order.quantity),
        "price": plain(order.price),
        "trigger_price": plain(order.trigger_price),
        "filled": plain(order.filled),
        "notional": plain(order.notional),
        "fees": plain(order.fees),
        "reason": None if order.reason is None else order.reason.value,
        "reason_text": order.reason_text,
        "version": order.version,
    }
    if times:
        row |= {"created_ns": order.created_ns, "updated_ns": order.updated_ns}
    return row


def fill_row(fill: Fill, times: bool) -> Row:
    """A fill as JSON-able data."""
    row: Row = {
        "id": fill.id,
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "client_id": fill.client_id,
        "account": fill.account,
        "market": fill.market,
        "side": fill.side.value,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "fee_currency": fill.fee_currency,
        "liquidity": fill.liquidity.value,
        "kind": fill.kind.value,
        "realised_pnl": plain(fill.realised_pnl),
        "book_seq": fill.book_seq,
    }
    if times:
        row["ts_ns"] = fill.ts_ns
    return row


def position_row(position: Position, times: bool) -> Row:
    """A position as JSON-able data; flat ones too."""
    row: Row = {
        "account": position.account,
        "market": position.market,
        "quantity": plain(position.quantity),
        "cost": plain(position.cost),
        "realised_pnl": plain(position.realised_pnl),
        "funding": plain(position.funding),
        "fees": plain(position.fees),
        "version": position.version,
    }
    if times:
        row["updated_ns"] = position.updated_ns
    return row


def balance_row(account: str, balance: Balance) -> Row:
    """A balance as JSON-able data."""
    return {
        "account": account,
        "currency": balance.currency,
        "total": plain(balance.total),
        "free": plain(balance.free),
        "locked": plain(balance.locked),
    }
