"""What must survive a crash: every command with all its ids before the wire, and what was seen of it after.

Values are plain (text, int, bool, None, lists and mappings of them), so that any store can keep them as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import define, evolve, field, frozen

from venuekit.interfaces.time import AfterHeight, AtWall

if TYPE_CHECKING:
    from venuekit.interfaces.records import WireIds
    from venuekit.interfaces.time import Deadline

type Plain = str | int | bool | None


@frozen
class OrderFacts:
    """What an order is, as plain texts: enough to name it again after a restart."""

    client_order_id: str
    strategy_id: str
    instrument_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: str
    price: str | None = None
    trigger_price: str | None = None
    post_only: bool = False
    reduce_only: bool = False


@frozen
class Intent:
    """One order of one request that is about to go on the wire."""

    command: str
    """`submit`, `modify` or `cancel`."""
    op: str
    facts: OrderFacts
    ids: Mapping[str, Plain]
    """Every id known before the wire, see `plain_ids`."""
    ts_ns: int
    """Wall time of the stamp that was signed."""


@frozen
class OpenIntent:
    """An order whose end the journal has not seen."""

    intent: Intent
    ids: Mapping[str, Plain]
    """Everything learned so far: the ids of the intent and those observed later."""
    accepted: bool = False
    """True once the venue was seen to have the order open."""
    fills: Sequence[str] = ()
    """Trade keys already delivered."""


class Journal(Protocol):
    """The memory of one account; every method has taken effect, as durably as the store allows, on return."""

    def intent(self, intents: Sequence[Intent]) -> None:
        """The commands are on record; raise `CaptureError` otherwise, and nothing may be sent then."""
        ...

    def observed(self, client_order_id: str, ids: Mapping[str, Plain], status: str, ts_ns: int) -> None:
        """The venue said this of an order; `status` is a Nautilus order status name."""
        ...

    def filled(self, client_order_id: str | None, trade_key: str, ts_event: int) -> None:
        """A fill was delivered; never deliver it again."""
        ...

    def closed(self, client_order_id: str, status: str, ts_ns: int) -> None:
        """The order ended with proof; it is no open intent any more."""
        ...

    def used(self, client_order_id: str) -> bool:
        """True when a submit under this id is on record; of ended orders only the newest are."""
        ...

    def strategy_of(self, client_order_id: str) -> str | None:
        """The strategy that gave the order; None: not known (any more)."""
        ...

    def open_intents(self) -> Sequence[OpenIntent]:
        """Orders without a proven end, oldest first."""
        ...

    @property
    def last_stamp_ns(self) -> int:
        """The latest stamp on record; 0: none."""
        ...

    def delivered_fills(self) -> Sequence[tuple[str, int]]:
        """Trade keys that were delivered, with their venue times; forgotten ones are older."""
        ...

    def close(self) -> None:
        """Everything is written and the store is free for the next owner."""
        ...


def plain_ids(ids: WireIds) -> dict[str, Plain]:
    """The ids as plain values, without those that are not known."""
    found: dict[str, Plain] = {
        "client_order_id": ids.client_order_id,
        "client_ref": ids.client_ref,
        "venue_order_id": ids.venue_order_id,
        "tx_hash": ids.tx_hash,
        "nonce": ids.nonce,
    }
    for name, deadline in (("ends", ids.ends), ("lapses", ids.lapses)):
        if isinstance(deadline, AtWall):
            found[f"{name}_wall_ns"] = deadline.ns
        elif isinstance(deadline, AfterHeight):
            found[f"{name}_after_height"] = deadline.height
    return {name: value for name, value in found.items() if value is not None}


def with_legs(plain: dict[str, Plain], legs: Sequence[str]) -> dict[str, Plain]:
    """The ids, and every venue id that the order has had where that is more than one, oldest first."""
    return {**plain, "legs": json.dumps(list(legs))} if len(legs) > 1 else plain


def legs_of(plain: Mapping[str, Plain]) -> list[str]:
    """Every venue id that the order is known to have had, oldest first."""
    legs = _text(plain, "legs")
    return [str(leg) for leg in json.loads(legs)] if legs is not None else []


def ids_of(plain: Mapping[str, Plain]) -> WireIds:
    """The inverse of `plain_ids`."""
    from venuekit.interfaces.records import WireIds

    nonce = plain.get("nonce")
    return WireIds(
        client_order_id=_text(plain, "client_order_id"),
        client_ref=_text(plain, "client_ref"),
        venue_order_id=_text(plain, "venue_order_id"),
        tx_hash=_text(plain, "tx_hash"),
        nonce=nonce if isinstance(nonce, int) else None,
        ends=_deadline(plain, "ends"),
        lapses=_deadline(plain, "lapses"),
    )


def _deadline(plain: Mapping[str, Plain], name: str) -> Deadline | None:
    if isinstance(wall := plain.get(f"{name}_wall_ns"), int):
        return AtWall(wall)
    height = plain.get(f"{name}_after_height")
    return AfterHeight(height) if isinstance(height, int) else None


def _text(plain: Mapping[str, Plain], name: str) -> str | None:
    value = plain.get(name)
    return value if isinstance(value, str) else None


@define
class MemoryJournal:
    """A journal that lives as long as the process; for tests and for accounts that need no crash safety."""

    _open: dict[str, OpenIntent] = field(factory=dict)
    _delivered: dict[str, int] = field(factory=dict)
    most_fills: int = 200_000
    last_stamp_ns: int = 0
    """See `Journal`."""

    def intent(self, intents: Sequence[Intent]) -> None:
        """See `Journal`."""
        for intent in intents:
            self.last_stamp_ns = max(self.last_stamp_ns, intent.ts_ns)
            if intent.command == "submit":
                self._open[intent.facts.client_order_id] = OpenIntent(intent, dict(intent.ids))
            elif known := self._open.get(intent.facts.client_order_id):
                self._open[intent.facts.client_order_id] = evolve(known, ids={**known.ids, **intent.ids})

    def observed(self, client_order_id: str, ids: Mapping[str, Plain], status: str, ts_ns: int) -> None:
        """See `Journal`."""
        if known := self._open.get(client_order_id):
            accepted = known.accepted or status in ("ACCEPTED", "TRIGGERED", "PARTIALLY_FILLED")
            self._open[client_order_id] = evolve(known, ids={**known.ids, **ids}, accepted=accepted)

    def filled(self, client_order_id: str | None, trade_key: str, ts_event: int) -> None:
        """See `Journal`."""
        self._delivered[trade_key] = ts_event
        if len(self._delivered) > self.most_fills:
            self._delivered.pop(next(iter(self._delivered)))
        if client_order_id is not None and (known := self._open.get(client_order_id)):
            self._open[client_order_id] = evolve(known, fills=(*known.fills, trade_key), accepted=True)

    def used(self, client_order_id: str) -> bool:
        """See `Journal`."""
        return client_order_id in self._open

    def strategy_of(self, client_order_id: str) -> str | None:
        """See `Journal`."""
        known = self._open.get(client_order_id)
        return known.intent.facts.strategy_id if known is not None else None

    def known(self, client_order_id: str) -> OpenIntent | None:
        """The order while its end is not proven."""
        return self._open.get(client_order_id)

    def closed(self, client_order_id: str, status: str, ts_ns: int) -> None:
        """See `Journal`."""
        self._open.pop(client_order_id, None)

    def open_intents(self) -> Sequence[OpenIntent]:
        """See `Journal`."""
        return list(self._open.values())

    def delivered_fills(self) -> Sequence[tuple[str, int]]:
        """See `Journal`."""
        return list(self._delivered.items())

    def close(self) -> None:
        """See `Journal`."""
