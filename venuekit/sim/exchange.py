"""The exchange: admits, checks, matches and settles; says WHAT happens, never WHEN (the venue's simulator delays).

Two-step operations leave the moment to the caller: `admit` then `activate`, `request_cancel` then `apply_cancel`,
`request_modify` then `apply_modify`. Every public method leaves the exchange consistent and has published its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.sim.records import (
    Balance,
    BookView,
    CancelAnswer,
    Event,
    Fill,
    Margin,
    Mode,
    NewOrder,
    Order,
    OrderKind,
    Position,
    Reason,
    Side,
    Tif,
    Trade,
)

if TYPE_CHECKING:
    from venuekit.interfaces.time import Clock
    from venuekit.sim.market import Market

IdSource = Callable[[str, int, int], str]
"""(kind, counter, wall ns) -> id text; kind is "order", "fill" or "trade". Must be injective in (kind, counter)."""


@frozen(kw_only=True)
class Rules:
    """What differs between venues. `client_ids`: "any", "open" (unique among open orders) or "ever" (unique for good)."""

    client_ids: str = "open"
    money_places: int = 8
    check_margin: bool = True
    check_bands: bool = True
    liquidate: bool = True


class Exchange:
    """One deterministic exchange with one settlement currency."""

    def __init__(
        self,
        clock: Clock,
        markets: Iterable[Market] = (),
        *,
        seed: int = 0,
        rules: Rules | None = None,
        ids: IdSource | None = None,
        settlement: str = "USDC",
    ) -> None:
        """An open exchange with empty books and no accounts."""
        raise NotImplementedError

    # --- set-up
    def listen(self, fn: Callable[[Event], None]) -> Callable[[], None]:
        """`fn` gets every later event, in order, after the operation that made it; the returned call detaches it."""
        raise NotImplementedError

    def add_market(self, market: Market) -> None:
        """The market is open with its start price as mark and index."""
        raise NotImplementedError

    def fund_account(self, account: str, amount: Decimal) -> None:
        """The account exists and holds `amount` more (less when negative) of the settlement currency."""
        raise NotImplementedError

    # --- orders
    def admit(self, request: NewOrder) -> Order:
        """The order exists as NEW. Raises Refusal on what a venue refuses at the door: form, grid, mode, duplicate id."""
        raise NotImplementedError

    def activate(self, order_id: str) -> Order:
        """A NEW order has been risk-checked and is resting, waiting for its trigger, filled or closed. No-op when closed."""
        raise NotImplementedError

    def submit(self, request: NewOrder) -> Order:
        """`admit` and `activate` at once."""
        raise NotImplementedError

    def request_cancel(self, order_id: str) -> CancelAnswer:
        """The cancel is noted (OrderChanged with CANCEL_REQUESTED); the order can still fill."""
        raise NotImplementedError

    def apply_cancel(self, order_id: str, reason: Reason = Reason.USER) -> Order:
        """The order is closed, whatever was left of it; no-op when it had already closed."""
        raise NotImplementedError

    def cancel(self, order_id: str) -> CancelAnswer:
        """`request_cancel` and `apply_cancel` at once."""
        raise NotImplementedError

    def cancel_all(self, account: str, market: str | None = None, side: Side | None = None) -> tuple[Order, ...]:
        """Every open order of the account that fits is closed."""
        raise NotImplementedError

    def request_modify(self, order_id: str) -> Order:
        """The order as it is. Raises Refusal when it cannot be modified (unknown, closed, mode)."""
        raise NotImplementedError

    def apply_modify(
        self,
        order_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> Order:
        """The order keeps its id and has the new values (`quantity` is the new TOTAL size), or a MODIFY_REFUSED event
        was published and it is unchanged. Only a pure decrease of size keeps its place in the queue."""
        raise NotImplementedError

    # --- questions
    def market(self, symbol: str) -> Market:
        """The market's facts. Raises Refusal(UNKNOWN_MARKET)."""
        raise NotImplementedError

    @property
    def markets(self) -> Mapping[str, Market]:
        """All markets by symbol."""
        raise NotImplementedError

    def order(self, order_id: str) -> Order | None:
        """The latest version of an order."""
        raise NotImplementedError

    def orders_by_client_id(self, account: str, client_id: str) -> Sequence[Order]:
        """All orders with this client id, oldest first."""
        raise NotImplementedError

    def open_orders(self, account: str, market: str | None = None) -> Sequence[Order]:
        """Orders not closed (NEW, UNTRIGGERED, OPEN), oldest first."""
        raise NotImplementedError

    def orders(self, account: str) -> Sequence[Order]:
        """All orders of the account, oldest first."""
        raise NotImplementedError

    def fills(self, account: str) -> Sequence[Fill]:
        """All fills of the account, oldest first, busted ones left out."""
        raise NotImplementedError

    def trades(self, market: str) -> Sequence[Trade]:
        """The latest 1,000 public trades, oldest first."""
        raise NotImplementedError

    def book(self, market: str, depth: int | None = None) -> BookView:
        """The book as published at its sequence number."""
        raise NotImplementedError

    def mark(self, market: str) -> Decimal:
        """Mark price."""
        raise NotImplementedError

    def index(self, market: str) -> Decimal:
        """Index (spot) price."""
        raise NotImplementedError

    def mode(self, market: str | None = None) -> Mode:
        """The stricter of the market's mode and the exchange's."""
        raise NotImplementedError

    def funding(self, market: str) -> tuple[Decimal, Decimal]:
        """(rate, running index)."""
        raise NotImplementedError

    def has_account(self, account: str) -> bool:
        """True when it was funded or used."""
        raise NotImplementedError

    def positions(self, account: str) -> Sequence[Position]:
        """Positions that are open or were, by market."""
        raise NotImplementedError

    def position(self, account: str, market: str) -> Position:
        """The position; flat when there was none."""
        raise NotImplementedError

    def balance(self, account: str) -> Balance:
        """Cash of the account."""
        raise NotImplementedError

    def margin(self, account: str) -> Margin:
        """Risk figures of the account."""
        raise NotImplementedError

    # --- control interface of the conformance suite
    def external_order(self, request: NewOrder) -> Order:
        """An order of a user's account that did not come through the API."""
        raise NotImplementedError

    def place_counterparty_order(
        self,
        market: str,
        side: Side,
        quantity: Decimal,
        price: Decimal | None = None,
        *,
        tif: Tif = Tif.GTC,
        kind: OrderKind = OrderKind.LIMIT,
    ) -> Order:
        """An order of the house: no margin, no limits."""
        raise NotImplementedError

    def cross(self, order_id: str, quantity: Decimal | None = None) -> tuple[Fill, ...]:
        """The house has taken `quantity` (all when None) of this OPEN order at its price, whatever stands before it."""
        raise NotImplementedError

    def cancel_by_venue(self, order_id: str, reason: str) -> Order:
        """The order is closed with reason VENUE and this text."""
        raise NotImplementedError

    def set_position(self, account: str, market: str, quantity: Decimal, price: Decimal | None = None) -> Position:
        """The account holds exactly this signed size; the difference came from the house as a TRANSFER fill."""
        raise NotImplementedError

    def set_price(self, market: str, mark: Decimal, index: Decimal | None = None) -> None:
        """Mark and index are set; triggers and liquidations that follow have happened."""
        raise NotImplementedError

    def set_funding_rate(self, market: str, rate: Decimal) -> None:
        """The rate is published; nothing is paid."""
        raise NotImplementedError

    def pay_funding(self, market: str, rate: Decimal | None = None) -> None:
        """Every position paid or received size x mark x rate; the index moved by mark x rate."""
        raise NotImplementedError

    def halt(self, market: str, halted: bool = True) -> None:
        """The market matches nothing and admits nothing; cancels work."""
        raise NotImplementedError

    def set_mode(self, mode: Mode, market: str | None = None) -> None:
        """The mode is in force for the market, or for all."""
        raise NotImplementedError

    def bust(self, fill_id: str) -> tuple[Fill, ...]:
        """The trade of this fill is undone for both sides; the busted fills are returned."""
        raise NotImplementedError
