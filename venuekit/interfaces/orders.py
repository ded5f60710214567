"""Order entry without I/O: a Nautilus order to signed bytes with all its ids, a reply to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from venuekit.interfaces.records import OrderRecord, WireIds
from venuekit.interfaces.request import Reply, Request
from venuekit.interfaces.signer import Signed, SignRequest
from venuekit.interfaces.time import Deadline, Tick

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity

    from venuekit.interfaces.model import Order


@frozen
class Submit:
    """Place these orders; more than one only where the manifest has a batch."""

    orders: tuple[Order, ...]


@frozen
class Modify:
    """Change one order; None leaves a value as it is."""

    order: Order
    ids: WireIds
    quantity: Quantity | None = None
    price: Price | None = None
    trigger_price: Price | None = None


@frozen
class Cancel:
    """Cancel these orders, each with the ids known so far."""

    targets: tuple[tuple[Order, WireIds], ...]


@frozen
class CancelAll:
    """Cancel every open order of an instrument (None: of the account), of one side or both (None)."""

    instrument_id: InstrumentId | None
    side: OrderSide | None
    targets: tuple[tuple[Order, WireIds], ...] = ()
    """The orders known to be covered, so that a venue without the command can name them one by one."""


type Command = Submit | Modify | Cancel | CancelAll


@frozen
class Denied:
    """A local refusal: nothing goes on the wire. `code` is a standard denial reason where one fits."""

    code: str
    text: str


@frozen
class Stamp:
    """Drawn in the lane, right before signing: time, nonce, and the venue's own tick."""

    wall_ns: int
    """The venue's Unix time; of one account each is a millisecond later than the one before, at least."""
    nonce: int | None = None
    tick: Tick | None = None


@frozen
class Draft:
    """One request to be: which operation, which orders it covers, its lane and its port."""

    op: str
    covers: tuple[str, ...]
    """Client order ids."""
    lane: str
    """Requests of one lane keep their order on the wire: the nonce lane of a key, or one per order."""
    port: str
    payload: object = field(repr=False)


@frozen
class Prepared:
    """A request ready for the wire with every id that can be known before it."""

    request: Request
    ids: Mapping[str, WireIds]
    """By client order id."""
    sign_again_after: Deadline | None = None
    same_bytes_safe: bool = False
    """True: the venue recognises these very bytes, so that they may be sent once more."""


@frozen
class Accepted:
    """The reply proves that the venue took the order, and says what it knows of it."""

    record: OrderRecord


@frozen
class Received:
    """The venue has the command and has not decided; a later record will say."""

    ids: WireIds


@frozen
class RefusedOutcome:
    """The reply proves that the command has no effect."""

    code: str
    text: str
    post_only: bool = False
    gone: bool = False
    """A cancel or modify whose order the venue does not have open: look it up, do not conclude."""
    rejects_token: bool = False
    """The token was refused and nothing else was looked at: the command may go out with a new one."""
    nonce_stale: bool = False
    """The nonce was refused and nothing else was looked at: ask for the next one and stamp once more."""
    rejects_time: bool = False
    """The time in it was refused and nothing else was looked at: stamp once more if our clock was wrong."""


@frozen
class Unknown:
    """The reply proves nothing: look the order up."""

    cause: str


type Outcome = Accepted | Received | RefusedOutcome | Unknown


class NonceFate(Enum):
    """What became of the nonce of a request."""

    CONSUMED = "consumed"
    FREE = "free"
    UNCERTAIN = "uncertain"


@frozen
class Verdict:
    """What one reply says per order; `whole` holds for every order that `by_order` does not name."""

    whole: Outcome
    by_order: Mapping[str, Outcome] = field(factory=dict)
    nonce: NonceFate = NonceFate.CONSUMED

    def of(self, client_order_id: str) -> Outcome:
        """The outcome of one order."""
        return self.by_order.get(client_order_id, self.whole)


class OrderCodec(Protocol):
    """A venue's order entry, without I/O."""

    def check(self, command: Command) -> Denied | None:
        """A denial beyond what the manifest says by itself; None: may be sent."""
        ...

    def draft(self, command: Command) -> Sequence[Draft]:
        """The requests a command needs: batches chunked, route and lane chosen."""
        ...

    def to_sign(self, draft: Draft, stamp: Stamp) -> SignRequest | None:
        """What must be signed, or None."""
        ...

    def encode(self, draft: Draft, stamp: Stamp, signed: Signed | None) -> Prepared:
        """The request with every id knowable before the wire."""
        ...

    def verdict(self, prepared: Prepared, reply: Reply) -> Verdict:
        """What the reply proves; total: never raises, an order it does not name becomes Unknown."""
        ...

    async def next_nonce(self, lane: str) -> int:
        """The venue's next nonce of a lane; only for consecutive nonces."""
        ...
