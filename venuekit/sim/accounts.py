"""Money: cash, positions, fees and margin of every account, exact and zero-sum.

For every account, cash minus the entry cost of what is open moves by exactly size x price with each fill, so
the sum over all accounts (the house and its fee account included) never changes by a trade, whatever is
rounded on the way.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from venuekit.sim.records import ZERO, Balance, Margin, Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from venuekit.sim.market import Market

HOUSE = "house:"
"""Accounts with this prefix belong to the venue's crowd: no margin, no limits, no events."""
FEES = HOUSE + "fees"


def is_house(account: str) -> bool:
    """True for accounts of the simulator itself."""
    return account.startswith(HOUSE)


def apply_trade(
    position: Position, signed: Decimal, price: Decimal, unit: Decimal
) -> tuple[Position, Decimal]:
    """The position after a signed trade, and the profit realised by what closed (rounded to `unit`)."""
    quantity, cost, realised = position.quantity, position.cost, ZERO
    if quantity and (quantity > 0) != (signed > 0):
        closing = signed if abs(signed) <= abs(quantity) else -quantity
        # The last piece takes what is left of the cost, so rounding never stays behind in a flat position.
        released = (
            cost if closing == -quantity else (cost * -closing / quantity).quantize(unit, ROUND_HALF_EVEN)
        )
        realised = -closing * price - released
        quantity, cost, signed = quantity + closing, cost - released, signed - closing
    if signed:
        quantity, cost = quantity + signed, cost + signed * price
    after = evolve(position, quantity=quantity, cost=cost, realised_pnl=position.realised_pnl + realised)
    return after, realised


@define
class _Account:
    cash: Decimal = ZERO
    deposited: Decimal = ZERO
    positions: dict[str, Position] = field(factory=dict)


class Accounts:
    """All accounts of one settlement currency."""

    def __init__(self, currency: str, places: int) -> None:
        self.currency = currency
        self.unit = Decimal(1).scaleb(-places)
        self._accounts: dict[str, _Account] = {}

    def __contains__(self, account: str) -> bool:
        return account in self._accounts

    def names(self) -> Iterator[str]:
        """All accounts, in the order of their first use."""
        return iter(tuple(self._accounts))

    def deposit(self, account: str, amount: Decimal) -> None:
        """Cash from outside (negative: to the outside)."""
        held = self._open(account)
        held.cash += amount
        held.deposited += amount

    def deposited(self) -> Decimal:
        """All that came from outside, minus what left."""
        return sum((one.deposited for one in self._accounts.values()), ZERO)

    def cash(self, account: str) -> Decimal:
        """Cash, without unrealised profit."""
        return self._accounts[account].cash if account in self._accounts else ZERO

    def position(self, account: str, market: str) -> Position:
        """The position; flat when there was none."""
        held = self._accounts.get(account)
        found = held.positions.get(market) if held is not None else None
        return found if found is not None else Position(account=account, market=market)

    def positions(self, account: str) -> tuple[Position, ...]:
        """Positions that are or were open."""
        held = self._accounts.get(account)
        return tuple(held.positions.values()) if held is not None else ()

    def trade(
        self,
        account: str,
        market: str,
        signed: Decimal,
        price: Decimal,
        fee: Decimal,
        fill_id: str,
        ts_ns: int,
    ) -> tuple[Position, Decimal]:
        """A fill is booked: position, realised profit into cash, fee from cash to the fee account."""
        held = self._open(account)
        before = self.position(account, market)
        after, realised = apply_trade(before, signed, price, self.unit)
        opened_ns = before.opened_ns if before.quantity * after.quantity > 0 else ts_ns
        after = evolve(
            after,
            fees=before.fees + fee,
            opened_ns=opened_ns,
            updated_ns=ts_ns,
            last_fill_id=fill_id,
            version=before.version + 1,
        )
        held.positions[market] = after
        held.cash += realised - fee
        self._open(FEES).cash += fee
        return after, realised

    def fee(self, notional: Decimal, rate: Decimal) -> Decimal:
        """The fee of a fill, rounded to the currency's unit; negative for a rebate."""
        return (notional * rate).quantize(self.unit, ROUND_HALF_EVEN)

    def pay_funding(self, market: str, per_unit: Decimal, ts_ns: int) -> dict[str, Decimal]:
        """Every position paid `per_unit` for each unit it is long; amounts received, by account.

        What rounding leaves over goes to the fee account, so the sum stays zero.
        """
        received: dict[str, Decimal] = {}
        for name, held in list(self._accounts.items()):
            position = held.positions.get(market)
            if position is None or not position.quantity:
                continue
            amount = (-position.quantity * per_unit).quantize(self.unit, ROUND_HALF_EVEN)
            held.cash += amount
            held.positions[market] = evolve(
                position, funding=position.funding + amount, updated_ns=ts_ns, version=position.version + 1
            )
            received[name] = amount
        self._open(FEES).cash -= sum(received.values(), ZERO)
        return received

    def margin(
        self,
        account: str,
        markets: Mapping[str, Market],
        marks: Mapping[str, Decimal],
        working: Mapping[str, tuple[Decimal, Decimal]],
    ) -> Margin:
        """Risk figures at these marks; `working` is (buys, sells) of open orders by market."""
        cash = equity = self.cash(account)
        initial = maintenance = ZERO
        symbols = dict.fromkeys([*working, *(one.market for one in self.positions(account))])
        for symbol in symbols:
            market, mark = markets[symbol], marks[symbol]
            position = self.position(account, symbol)
            buys, sells = working.get(symbol, (ZERO, ZERO))
            equity += position.unrealised_pnl(mark)
            exposure = max(buys + position.quantity, sells - position.quantity, ZERO)
            initial += exposure * mark / market.leverage
            maintenance += abs(position.quantity) * mark / market.leverage * market.maintenance_factor
        return Margin(
            account=account,
            cash=cash,
            equity=equity,
            initial=initial.quantize(self.unit, ROUND_UP),
            maintenance=maintenance.quantize(self.unit, ROUND_UP),
        )

    def balance(self, margin: Margin) -> Balance:
        """Cash split into what margin holds and what is free."""
        return Balance(
            currency=self.currency, total=margin.cash, locked=max(ZERO, min(margin.cash, margin.initial))
        )

    def _open(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())
