"""Orders of an earlier run go back to their own strategies, also where several trade one instrument.

Nautilus gives an order that it learns from a report to the strategy that claims the order's instrument at
that moment, and an instrument has one claim. So claims are moved while the engine takes reports up. At the
start it asks one execution client after another for a mass status, applies each before it asks the next, and
starts strategies after the last: an account has a further client for every strategy.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import Factory, define, frozen
from nautilus_trader.live.clients import ExecutionClient
from nautilus_trader.model import (
    AccountType,
    ClientOrderId,
    ExecutionMassStatus,
    InstrumentId,
    OmsType,
    Venue,
)

from venuekit.errors import NotReady
from venuekit.runtime.clock import RealClock
from venuekit.runtime.mass_status import MassStatusParts

if TYPE_CHECKING:
    from nautilus_trader.common import Clock as EngineClock
    from nautilus_trader.config import ExecutionClientConfig
    from nautilus_trader.live import (
        ClientCache,
        GenerateFillReports,
        GenerateOrderStatusReport,
        GenerateOrderStatusReports,
        GeneratePositionStatusReports,
    )
    from nautilus_trader.model import (
        AccountId,
        FillReport,
        OrderStatusReport,
        PositionStatusReport,
        TraderId,
    )
    from nautilus_trader.trading import Strategy

    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.time import Clock
    from venuekit.nautilus.execution import VenueExecutionClient

log = logging.getLogger("venuekit.nautilus.ownership")
_TURN_NS = 2_000_000
_TAKEN_NS = 5_000_000_000
"""An engine takes a report up within a turn of the loop; this long means that it will not."""

_READY_NS = 1_000_000_000
"""So long a bust waits for its fill, which was handed over before it."""

_FEWEST_TURNS = 50
"""A loop that was blocked for long has not done what it was given meanwhile."""

_RETRY_NS = 500_000_000
"""A report that was not taken is handed over again after this long, then after twice as long each time."""

_STARTED_NS = 60_000_000_000
"""Strategies start when the last client has told what it has."""

type Claims = Mapping[InstrumentId, str]
"""Strategy id by instrument."""


class Ownership:
    """The strategies of one node, and who claims which instrument."""

    def __init__(self) -> None:
        self.configured: dict[InstrumentId, str] = {}
        """What the strategies' own configs claim."""
        self._strategies: dict[str, Strategy] = {}
        self._now: dict[InstrumentId, str] = {}
        self._started = False

    def add(self, strategy: Strategy) -> None:
        """A strategy that the node has: its orders of earlier runs come back to it."""
        name = str(strategy.strategy_id)
        self._strategies[name] = strategy
        for instrument_id in getattr(strategy.config, "external_order_instrument_ids", None) or ():
            self.configured[instrument_id] = self._now[instrument_id] = name

    def number(self, strategy_id: str) -> int:
        """The strategy's place in the order in which they were added; the first is 1."""
        return list(self._strategies).index(strategy_id) + 1

    def __contains__(self, strategy_id: object) -> bool:
        return strategy_id in self._strategies

    @property
    def started(self) -> bool:
        """True once the engine has taken up what clients told it at the start."""
        self._started = self._started or all(one.is_running() for one in self._strategies.values())
        return self._started

    def claim(self, claims: Claims) -> None:
        """These instruments are claimed so; every other one as the strategies' configs say."""
        wanted = {**self.configured, **claims}
        held = self._by_strategy(self._now)
        after = self._by_strategy(wanted)
        # An instrument has one claim: whoever loses one lets go before anybody takes one.
        for name in self._strategies:
            if kept := held[name] - after[name]:
                self._strategies[name].set_external_order_instrument_ids(sorted(held[name] - kept, key=str))
        for name in self._strategies:
            if after[name] - held[name]:
                self._strategies[name].set_external_order_instrument_ids(sorted(after[name], key=str))
        self._now = wanted

    def _by_strategy(self, claims: Claims) -> dict[str, set[InstrumentId]]:
        found: dict[str, set[InstrumentId]] = {name: set() for name in self._strategies}
        for instrument_id, name in claims.items():
            found[name].add(instrument_id)
        return found


@frozen
class Round:
    """One mass status, and who claims what while the engine applies it."""

    parts: MassStatusParts
    claims: Claims = Factory(dict)


def rounds_of(
    parts: MassStatusParts, owner_of: Callable[[ClientOrderId | None], str | None], most: int
) -> list[Round]:
    """`most` mass statuses, one more than there are owners, with every order once.

    The last has positions, and orders that nobody here owns.
    """
    last = most - 1
    turns: dict[InstrumentId, dict[str | None, int]] = {}
    orders: list[list[OrderStatusReport]] = [[] for _ in range(most)]
    place: dict[str, int] = {}
    for report in parts.orders:
        owner = owner_of(report.client_order_id)
        known = turns.setdefault(report.instrument_id, {None: last})
        turn = known.setdefault(owner, len(known) - 1)
        place[str(report.venue_order_id)] = turn
        orders[turn].append(report)
    fills: list[list[FillReport]] = [[] for _ in range(most)]
    for fill in parts.fills:
        fills[place.get(str(fill.venue_order_id), last)].append(fill)
    claims: list[dict[InstrumentId, str]] = [{} for _ in range(most)]
    for instrument_id, known in turns.items():
        for owner, turn in known.items():
            if owner is not None:
                claims[turn][instrument_id] = owner
    held = [*([()] * last), parts.positions]
    return [Round(MassStatusParts(orders[n], fills[n], held[n]), claims[n]) for n in range(most)]


@define(eq=False)
class Word:
    """What the engine is to be told of one order, when all that was to be said before it was taken."""

    name: ClientOrderId
    """As the engine calls the order."""
    say: Callable[[], None]
    ready: Callable[[], bool] = lambda: True
    """Whether the engine has what this is about."""
    report: OrderStatusReport | None = None
    """Offered until the engine has its order: it may hold fills, and no fill is ever left out."""
    due_ns: int = 0
    tries: int = 0
    handed: bool = False
    """The engine was told, and has not taken it up yet."""


class Homecoming:
    """Gives the orders of one account back to their strategies; shared by all clients of the account.

    What is said of an order that waits here waits behind it, in the order in which it was said.
    """

    def __init__(self, ownership: Ownership | None, strategies: int, clock: Clock | None = None) -> None:
        """`strategies`: how many there may be; the account has one client more than that.

        Without an `ownership` no order has an owner: the engine gives them as the strategies' claims say.
        """
        self.extra = strategies
        self.main: VenueExecutionClient | None = None
        """The client that trades, while it is connected."""
        self._ownerless = ownership is None
        self._ownership = ownership or Ownership()
        self._clock = clock or RealClock()
        self._rounds: deque[Round] = deque()
        self._words: list[Word] = []
        self._started_by_ns: int | None = None
        self._task: asyncio.Task[object] | None = None

    async def mass_status(self, lookback_mins: int | None) -> MassStatusParts:
        """The next part of what the account holds, to be applied before anything else is asked for."""
        if self.main is None:
            raise NotReady("the venue is not connected")
        if not self._rounds:
            parts = await self.main.account_status(lookback_mins)
            self._rounds.extend(rounds_of(parts, self._owner_in_turn, self.extra + 1))
        this = self._rounds.popleft()
        self._ownership.claim(this.claims)
        return this.parts

    def owner_of(self, client_order_id: ClientOrderId | None) -> str | None:
        """The strategy of this node whose order of an earlier run this is."""
        if client_order_id is None or self.main is None or self._ownerless:
            return None
        owner = self.main.strategy_of(client_order_id.value)
        if owner is None or owner in self._ownership:
            return owner
        self.main.count("bridge.exec.ownerless")
        log.warning("order %s belongs to %s, which this node does not have", client_order_id, owner)
        return None

    def _owner_in_turn(self, client_order_id: ClientOrderId | None) -> str | None:
        """The owner, when there is a client for its turn."""
        owner = self.owner_of(client_order_id)
        if owner is None or self._ownership.number(owner) <= self.extra:
            return owner
        if self.main is not None:
            self.main.count("bridge.exec.ownerless")
        log.error("order %s does not come back to %s: too many strategies", client_order_id, owner)
        return None

    def give(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> None:
        """The engine has the report now or later, and with it its fills; raise only when not connected."""
        main = self.main
        if self.takes(order, fills):
            return
        if main is None:
            raise NotReady("the venue is not connected")
        word = self._word_of(main, order, fills)
        try:
            word.say()
        except Exception:
            # A fill must not be lost because it was refused once: counted, logged, an alarm, offered again.
            log.exception("the engine refused the report of %s", word.name)
            self._not_taken(main, word)
            self._words.append(word)
            self._begin()

    def takes(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> bool:
        """True when the report waits its turn here: the engine does not have its order, and somebody owns it.

        Others that the engine does not have wait behind it, so that nobody gets them by mistake; and so does
        what follows on an order that waits.
        """
        main = self.main
        if main is None:
            return False
        word = self._word_of(main, order, fills)
        if not self._waits(word.name):
            if main.cache.order(word.name) is not None:
                return False
            # While one is being given its market has another claim, also when nothing else waits.
            if self._task is None and self.owner_of(order.client_order_id) is None:
                return False
        self._words.append(word)
        self._begin()
        return True

    def follows(
        self, name: ClientOrderId, say: Callable[[], None], ready: Callable[[], bool] = lambda: True
    ) -> bool:
        """True when this is said later: once what waits on the order was taken, and `ready` or a bound."""
        if self.main is None or (ready() and not self._waits(name)):
            return False
        self._words.append(Word(name, say, ready))
        self._begin()
        return True

    def stop(self) -> None:
        """The engine has what it can place by itself; what still waits after that is counted and logged.

        The next start tells of those orders: they are in the journal, or the venue has them.
        """
        main = self.main
        if main is None:
            return
        if self._task is not None:
            self._task.cancel()
            # One that had no turn yet ends without its own last words.
            self._task = None
        left: dict[ClientOrderId, int] = {}
        words, self._words = self._words, []
        for word in words:
            if word.name in left or not self._said_at_once(main, word):
                left[word.name] = left.get(word.name, 0) + 1
                main.count("bridge.exec.untold_at_stop")
        for name, words_left in left.items():
            log.warning("stopping: %d reports or events of order %s were not told", words_left, name)
        self.main = None

    def _said_at_once(self, main: VenueExecutionClient, word: Word) -> bool:
        """True when the engine has the word; one that only a moved claim could place is not said."""
        if word.handed:
            return True
        try:
            known = main.cache.order(word.name) is not None
            placed = known if word.report is None else known or self.owner_of(word.name) is None
            if not placed or not word.ready():
                return False
            word.say()
        except Exception:
            # Counted by the caller as not told: there is no later to offer it in.
            log.exception("the engine refused what it was told of %s", word.name)
            return False
        return True

    def _waits(self, name: ClientOrderId) -> bool:
        return any(word.name == name for word in self._words)

    def _word_of(
        self, main: VenueExecutionClient, order: OrderStatusReport, fills: Sequence[FillReport]
    ) -> Word:
        # Where a report names no client id, the engine calls the order by its venue id.
        name = order.client_order_id or ClientOrderId(order.venue_order_id.value)
        return Word(name, lambda: main.hand(order, fills), report=order)

    def _begin(self) -> None:
        if self._task is None and self._words and self.main is not None:
            self._task = self.main.create_task(self._say_all(self.main), "homecoming")

    async def _say_all(self, main: VenueExecutionClient) -> None:
        if self._started_by_ns is None:
            self._started_by_ns = self._clock.mono_ns() + _STARTED_NS
        try:
            # A strategy that was stopped by hand or failed must not hold up the others' orders, nor twice.
            while not self._ownership.started and self._clock.mono_ns() < self._started_by_ns:
                await self._turn()
            while (word := self._next()) is not None:
                if await self._said(main, word):
                    self._words.remove(word)
        finally:
            self._task = None
        if self._words:
            self._clock.call_at(min(word.due_ns for word in self._words if word.due_ns), self._begin)

    def _next(self) -> Word | None:
        """The first word that may be said now: none of its order waits before it, and it need not wait."""
        now_ns, before = self._clock.mono_ns(), set[ClientOrderId]()
        for word in self._words:
            if word.due_ns <= now_ns and word.name not in before:
                return word
            before.add(word.name)
        return None

    async def _said(self, main: VenueExecutionClient, word: Word) -> bool:
        """True when the word is done with; one that is not is to be said again later."""
        unknown = main.cache.order(word.name) is None
        owner = self.owner_of(word.name) if unknown and word.report is not None else None
        if owner is not None and word.report is not None:
            self._ownership.claim({word.report.instrument_id: owner})
        try:
            await self._until(word.ready, _READY_NS)
            word.say()
            word.handed = True
            if owner is None or await self._until(lambda: main.cache.order(word.name) is not None, _TAKEN_NS):
                return True
            word.handed = False
            log.error("the engine did not take up order %s of %s", word.name, owner)
        except Exception:
            # Counted and logged; a report is offered again, and an event means nothing any more.
            log.exception("the engine refused what it was told of %s", word.name)
        finally:
            if owner is not None:
                self._ownership.claim({})
        self._not_taken(main, word)
        return word.report is None

    def _not_taken(self, main: VenueExecutionClient, word: Word) -> None:
        main.count("bridge.exec.refused_by_engine")
        if word.report is None:
            main.alarm("event_not_taken", f"the engine did not take an event of order {word.name}")
            return
        if not word.tries:
            text = f"the engine did not take a report of order {word.name}; it is offered again"
            main.alarm("report_not_taken", text)
        word.due_ns = self._clock.mono_ns() + (_RETRY_NS << min(word.tries, 7))
        word.tries += 1

    async def _until(self, condition: Callable[[], bool], bound_ns: int) -> bool:
        end_ns, turns = self._clock.mono_ns() + bound_ns, 0
        while not condition():
            if turns >= _FEWEST_TURNS and self._clock.mono_ns() > end_ns:
                return False
            turns += 1
            await self._turn()
        return True

    async def _turn(self) -> None:
        await self._clock.sleep_until(self._clock.mono_ns() + _TURN_NS)


class OwnerClient(ExecutionClient):
    """Is asked for one more mass status of an account at the start, and trades nothing.

    It has a venue of its own name, which no instrument has: commands go to the account's other client.
    """

    def __init__(
        self,
        *,
        name: str,
        config: ExecutionClientConfig,
        cache: ClientCache,
        clock: EngineClock,
        trader_id: TraderId,
        account_id: AccountId,
        manifest: Manifest,
        homecoming: Homecoming,
    ) -> None:
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            trader_id=trader_id,
            venue=Venue(name),
            account_id=account_id,
            account_type=AccountType.from_str(manifest.account_type),
            oms_type=OmsType.from_str(manifest.oms_type),
        )
        self._venue = Venue(name)
        self._homecoming = homecoming

    async def _connect(self) -> None:
        """The account's other client connects."""

    async def _disconnect(self) -> None:
        """Nothing is open."""

    async def _generate_mass_status(self, lookback_mins: int | None) -> ExecutionMassStatus:
        parts = await self._homecoming.mass_status(lookback_mins)
        return mass_status_of(self, self._venue, parts)

    async def _generate_order_status_report(
        self, command: GenerateOrderStatusReport
    ) -> OrderStatusReport | None:
        return None

    async def _generate_order_status_reports(
        self, command: GenerateOrderStatusReports
    ) -> list[OrderStatusReport]:
        return []

    async def _generate_fill_reports(self, command: GenerateFillReports) -> list[FillReport]:
        return []

    async def _generate_position_status_reports(
        self, command: GeneratePositionStatusReports
    ) -> list[PositionStatusReport]:
        return []

    def _handles_order_venue(self, venue: Venue | None) -> bool:
        return False

    def _provides_bulk_position_coverage(self, instrument_id: InstrumentId) -> bool:
        # Its empty answers say nothing: the account's other client answers for all of it.
        return False


def mass_status_of(client: ExecutionClient, venue: Venue, parts: MassStatusParts) -> ExecutionMassStatus:
    """The parts as what the engine asks a client for."""
    status = ExecutionMassStatus(client.client_id, client.account_id, venue, client.clock.timestamp_ns())
    status.add_order_reports(parts.orders)
    status.add_fill_reports(parts.fills)
    status.add_position_reports(parts.positions)
    return status
