"""Everything that the checks look at: history, ledger, what the engine believes, counters.

`collect` reads it off a rig at a quiescent point; a test of a check edits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.ledger import fill_row, order_row, plain

if TYPE_CHECKING:
    from history import History

    from venuekit.cli.audit import Account

type Row = dict[str, object]
type Levels = tuple[list, list]


@define
class Facts:
    """One quiescent point. `final`: the client was stopped before."""

    history: History
    account: str
    orders: list[Row]
    """The newest version of each order of the account, as the ledger has it."""
    fills: list[Row]
    """Of the account; those that were taken back carry `busted`."""
    positions: dict[str, str]
    totals: dict[str, str]
    margin: tuple[str, str]
    """Initial and maintenance requirement."""
    requests: list[str]
    """Every request and frame that reached the venue, as label and text."""
    breaches: list[str]
    belief: Account
    statuses: dict[str, str]
    """Of every order that the engine has, own and external."""
    limits: dict[str, tuple[str, str | None]]
    """Quantity and price of the strategy's orders, as Nautilus writes them."""
    violations: list[str]
    counters: dict[str, int]
    wrong_books: list[str]
    books: dict[str, tuple[Levels, Levels]]
    """Market: the client's levels and the venue's, for books that are wanted."""
    start_ns: int
    """Venue time at the beginning."""
    unresolved: int
    secrets: list[str]
    logs: list[str] = field(factory=list)
    journal: str = ""
    lifted_ns: int | None = None
    quiet_ns: int | None = None
    """Monotonic times: the last fault ended, everything was at rest."""
    left: list[str] = field(factory=list)
    """Tasks and warnings that the stopped client left behind."""
    final: bool = False


def collect(rig: object, history: History, start_ns: int, **more: object) -> Facts:
    """What there is now."""
    x, engine = rig.x, rig.engine
    ledger, exchange = x.ledger, x.exchange
    every = {**engine.external, **engine.orders}
    mine = {id(one): one for one in every.values()}
    margin, balance = exchange.margin(x.account), exchange.balance(x.account)
    seen = [*x.ledger.seen("in"), *x.ledger.seen("request")]
    limits = {
        name: (str(one.quantity), str(one.price) if getattr(one, "price", None) is not None else None)
        for name, one in engine.orders.items()
    }
    return Facts(
        history=history,
        account=x.account,
        orders=[order_row(one, True) for one in ledger.orders(x.account)],
        fills=[
            {**fill_row(one, True), "busted": exchange.is_busted(one.id)} for one in ledger.fills(x.account)
        ],
        positions={one.market: str(plain(one.quantity)) for one in exchange.positions(x.account)},
        totals={balance.currency: str(plain(balance.total))},
        margin=(str(margin.initial), str(margin.maintenance)),
        requests=[f"{one.label} {_readable(one.text)}" for one in seen],
        breaches=[f"{scope} {key}" for _, scope, key in x.simulator.service.meter.breaches],
        belief=engine.belief(),
        statuses={one.client_order_id.value: one.status.name for one in mine.values()},
        violations=list(engine.violations),
        counters=rig.counters.snapshot(),
        wrong_books=list(rig.market.wrong),
        start_ns=start_ns,
        unresolved=rig.service.unresolved,
        **{"books": {}, "secrets": [], "limits": limits, **more},
    )


def _readable(text: str) -> str:
    """The ledger keeps bytes as hex."""
    if text.startswith("{"):
        return text
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return text
