"""One seed from beginning to end on virtual time: the plan carried out, everything checked at every rest.

`run_seed` returns an `Outcome`: what was violated, which faults acted at which cut points, and the digests.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from itertools import count
from pathlib import Path

import fast_stark_crypto
import msgspec
from attrs import define, field
from facts import Facts, collect
from history import History, TappedPort, TappedStream, watch_engine, watch_market
from invariants import CHECKS, QUIET_SECS, WAITING, check
from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    ClientOrderId,
    InstrumentId,
    MarketOrder,
    OrderSide,
    Quantity,
    StrategyId,
    TimeInForce,
    TraderId,
)
from plan import CUTS, LENGTH_MS, MARKETS, MOVES, QUIET_MS, Act, Fault, Plan, draw
from venuekit_paradex import reconciliation
from venuekit_paradex.sim import SIMULATOR
from virtual_rig import Killed, World, run_virtual

from venuekit.errors import VenuekitError
from venuekit.host.open import Layers
from venuekit.interfaces.stream import DataKind
from venuekit.runtime.journal_file import FileJournal, Owner
from venuekit.sim.errors import Refusal
from venuekit.sim.records import Mode, Side

MS = 1_000_000
AGREE_SECS = 200
"""After rest, what a live stream kept to itself is found by the comparison: twice its interval, and what the
venue's history may lag."""
LOOK_MS = 200
NUDGE_SECS = 5
"""At rest the market still moves so often: a lost frame of a book shows with the next one."""
AGREEMENT = ("I1", "I3", "I4", "I17", "I18")
SIM = {"frames": "1000000"}
IN_MEMORY = Path("/dev/shm")
"""A folder without a disk, where the machine has one: a swarm is not the place to wait for one."""
PAGE_ROWS = 15
"""Pages are short, so that histories of one run have several."""
CLIENT = ("venuekit.runtime", "venuekit.host", "venuekit.transport", "venuekit.core")


def replay_line(seed: int) -> str:
    """How to see this again."""
    return f"replay: make seeds SEED={seed} COUNT=1"


@define
class Outcome:
    """What became of a seed."""

    seed: int
    violations: list[str] = field(factory=list)
    kinds: dict[str, int] = field(factory=dict)
    """Fault kind: how often it acted."""
    cuts: dict[str, int] = field(factory=dict)
    moves: dict[str, int] = field(factory=dict)
    """What happened to the account and the process, see `MOVES`."""
    digest: dict[str, str] = field(factory=dict)
    orders: int = 0
    fills: int = 0
    denied: int = 0
    checks: int = 0
    recovery_ms: list[int] = field(factory=list)
    """From the end of the last fault to rest."""
    virtual_secs: float = 0.0


class Lines(logging.Handler):
    """Keeps what is logged, as text with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Run:
    """One plan on one world."""

    def __init__(self, plan: Plan, world: World, log: Lines, remembered: Callable[[], str]) -> None:
        self.plan, self.world, self.log, self.remembered = plan, world, log, remembered
        self.x = world.x
        self.history = History(wall_ns=world.clock.wall_ns, mono_ns=world.clock.mono_ns)
        self.start_ns = self.history.wall_ns()
        self.outcome = Outcome(plan.seed)
        self.armed: dict[int, Fault] = {}
        self._others = count(1)
        self.rig: object | None = None
        """The client while it runs and has told its mass status."""
        self.waiting: list[Act] = []
        """What the strategy wanted while there was no client."""
        self.mids = {market: self.x.exchange.mark(market) for market in MARKETS}
        self.starting: asyncio.Task[None] | None = None
        self.begin_ns = 0
        self.limits: dict[str, tuple[str, str | None]] = {}
        """Quantity and price of every order as the strategy made it."""
        self.x.simulator.faults.outside = self._befall
        self.counted = 0
        """Of the venue's list of faults that acted, those that are in the outcome."""
        self._quoted = False
        self._happened = 0
        """Events of the exchange so far."""
        self.x.exchange.listen(self._happens)
        self.enough: Callable[[Outcome], bool] = lambda _: False
        """Asked at every rest: nobody wants to know the rest of this run."""
        self._disagreed: tuple[int, int] | None = None
        """Lines and events when both sides were last seen to differ."""

    def _happens(self, _event: object) -> None:
        self._happened += 1

    # --- from beginning to end

    async def whole(self) -> Outcome:
        """The plan was carried out."""
        self._market_act(Act(0, "quote", {"market": MARKETS[0], "ticks": 0}))
        self._market_act(Act(0, "quote", {"market": MARKETS[1], "ticks": 0}))
        await self._start()
        self.begin_ns = self.history.mono_ns()
        rests = list(QUIET_MS)
        for one in self.plan.timeline:
            while rests and one.at_ms >= rests[0]:
                await self._until(rests.pop(0))
                await self.rest()
                if self.enough(self.outcome):
                    return self.outcome
            await self._until(one.at_ms)
            if isinstance(one, Fault):
                self._arm(one)
            elif one.what == "restart":
                await self._restart()
            else:
                self._act(one)
        await self._until(LENGTH_MS)
        await self.rest()
        await self.end()
        self._sum_up()
        return self.outcome

    async def _until(self, at_ms: int) -> None:
        clock = self.world.clock
        await clock.sleep_until(self.begin_ns + at_ms * MS)

    async def _start(self) -> None:
        """A client runs, however often it had to be started; whoever supervises it tries once a second."""
        while self.rig is None:
            rig = None
            try:
                with self.world._phase("C10"):
                    rig = await self.world.open(layers=self._layers())
                    watch_engine(rig.engine, self.history)
                    watch_market(rig.market, self.history)
                    self.history.note("begin")
                    await self.world._as_client(rig.start(data=True))
            except (VenuekitError, Killed) as error:
                self.history.note("start_failed", why=repr(error))
                if rig is not None and self.world.alive:
                    await self.world.stop()
                await self.world.clock.sleep_until(self.world.clock.mono_ns() + 1_000 * MS)
                continue
            for market in MARKETS:
                rig.want(DataKind.BOOK_DELTAS, market)
            self.rig = rig
        if self.plan.journal == "file" and len(self.world.rigs) > 1:
            self._moved("restart on a file")
        waiting, self.waiting = self.waiting, []
        for act in waiting:
            self._act(act)

    def _layers(self) -> Layers:
        return Layers(
            port=lambda port, name: TappedPort(port, name, self.history),
            stream=lambda inner: TappedStream(inner, self.history),
        )

    # --- faults

    def _arm(self, fault: Fault) -> None:
        about = dict(fault.about)
        if fault.kind == "F22":
            self._clock_goes_wrong(about)
        elif fault.kind == "F23":
            self._acted("F23")
            self.world.block(int(str(about["block_ms"])) / 1_000)
        else:
            self.armed[self.x.fault(fault.kind, **about)] = fault
        if fault.drops:
            self.x.drop()

    def _clock_goes_wrong(self, about: Mapping[str, object]) -> None:
        if self.rig is None:
            return
        clock = self.rig.clock
        self._acted("F22")
        if "drift_ppm" in about:
            clock.drift(int(str(about["drift_ppm"])))
            return
        jump_ns = int(str(about["jump_secs"])) * 1_000 * MS
        clock.jump(jump_ns)
        # Set right again by whatever keeps this machine's time.
        self._later(int(str(about["lasts_ms"])), self._set_right)

    def _set_right(self) -> None:
        if self.rig is not None:
            clock = self.rig.clock
            clock.drift(0)
            clock.jump(self.world.clock.wall_ns() - clock.wall_ns())

    def _later(self, ms: int, act: Callable[[], None]) -> None:
        clock = self.world.clock
        clock.call_at(clock.mono_ns() + ms * MS, act)

    def _befall(self, fault: object) -> None:
        """F24 from the plan: the process is gone, and a new one comes up on its journal."""
        down = self.rig is None
        self.rig = None
        self.world.drop()
        if not down:
            self._begin(self._come_back(fault.delay_ms))

    def _begin(self, work: Coroutine[object, None, None]) -> None:
        self.starting = asyncio.ensure_future(work)
        self.starting.add_done_callback(self._began)

    def _began(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            text = "".join(traceback.format_exception(error))
            self.outcome.violations.append(f"crashed: a start: {text}")

    async def _come_back(self, after_ms: int) -> None:
        clock = self.world.clock
        await clock.sleep_until(clock.mono_ns() + after_ms * MS)
        await self._start()

    async def _restart(self) -> None:
        """A clean stop in the middle of everything, and the next process."""
        if self.rig is None:
            return
        self.rig = None
        try:
            await self.world.stop()
        except Killed:
            pass
        self._begin(self._start())

    def _acted(self, kind: str, cut: str = "") -> None:
        self.outcome.kinds[kind] = self.outcome.kinds.get(kind, 0) + 1
        if cut:
            self.outcome.cuts[cut] = self.outcome.cuts.get(cut, 0) + 1

    def _count_acted(self) -> None:
        """Faults that the venue carried out, and where."""
        for _, number, where in self.x.simulator.faults.history[self.counted :]:
            self.counted += 1
            fault = self.armed.get(number)
            if fault is None:
                continue
            reached = where.split(" ")[0]
            self._acted(fault.kind, reached if reached in CUTS else "")

    def _lift(self) -> None:
        """Nothing goes wrong any more."""
        self.x.lift()
        self._set_right()
        for market in MARKETS:
            self.x.exchange.halt(market, False)
            self.x.exchange.set_mode(Mode.NORMAL, market)

    # --- rest

    async def rest(self) -> None:
        """Everything lifted; at rest within a minute; both sides agree; every check passes."""
        clock = self.world.clock
        began = clock.mono_ns()
        self._lift()
        self._count_acted()
        lifted_ns, quiet_ns = clock.mono_ns(), None
        self.history.note("lift")
        nudging = asyncio.ensure_future(self._nudge())
        if await self._within(QUIET_SECS, self._at_rest):
            quiet_ns = clock.mono_ns()
            self.outcome.recovery_ms.append((quiet_ns - lifted_ns) // MS)
            await self._within(AGREE_SECS, self._agrees)
        nudging.cancel()
        # What the last move of the market caused is still under way.
        await self._within(1, self._at_rest)
        self._check(lifted_ns=lifted_ns, quiet_ns=quiet_ns)
        self.begin_ns += clock.mono_ns() - began

    async def _nudge(self) -> None:
        clock = self.world.clock
        while True:
            for market in MARKETS:
                self._market_act(Act(0, "quote", {"market": market, "ticks": 0}))
            self._quoted = not self._quoted
            await clock.sleep_until(clock.mono_ns() + NUDGE_SECS * 1_000 * MS)

    async def _within(self, secs: int, true: Callable[[], bool]) -> bool:
        clock = self.world.clock
        end = clock.mono_ns() + secs * 1_000 * MS
        while not true():
            if clock.mono_ns() >= end:
                return False
            await clock.sleep_until(clock.mono_ns() + LOOK_MS * MS)
        return True

    def _at_rest(self) -> bool:
        """No order in flight, and every subscription delivers."""
        rig = self.rig
        if rig is None or not rig.service.ready or rig.service.unresolved:
            return False
        if any(one.status.name in WAITING[1:] for one in rig.engine.orders.values()):
            return False
        return all(mine == true for mine, true in self._books().values())

    def _agrees(self) -> bool:
        if self.rig is None or not self._at_rest():
            return False
        now = len(self.history.lines), self._happened
        if now == self._disagreed:
            return False  # neither side did anything meanwhile
        facts = self._facts()
        agrees = not any(text for name in AGREEMENT for text in CHECKS[name](facts))
        self._disagreed = None if agrees else now
        return agrees

    def _books(self) -> dict[str, object]:
        rig = self.rig
        return {market: (rig.market.levels(market), self.x.levels(market)) for market in MARKETS}

    def _facts(self, **more: object) -> Facts:
        key = SIMULATOR.demo_key()
        known = {"books": self._books(), "secrets": [key, key.lstrip("0")], "logs": self.log.texts}
        known["limits"] = self.limits
        return collect(self.rig, self.history, self.start_ns, **{**known, **more})

    def _check(self, **more: object) -> None:
        self.outcome.checks += 1
        if self.rig is None:
            self.outcome.violations.append(f"I15: no client runs within {QUIET_SECS} s")
            return
        self.outcome.violations += check(self._facts(**more))

    # --- the end

    async def end(self) -> None:
        """The client stopped; nothing of it is left, and nothing was lost on the way."""
        rig = self.rig
        if rig is None:
            return
        books = self._books()
        await self.world.stop()
        final = {"books": books, "final": True, "left": self._left(), "journal": self.remembered()}
        self.outcome.checks += 1
        self.outcome.violations += check(self._facts(**final))

    def _left(self) -> list[str]:
        """Tasks and timers of the client, and what the loop complained about."""
        tasks = [str(task) for task in asyncio.all_tasks() if _module(task.get_coro()) in CLIENT]
        timers = [
            f"{timer} {timer._args}"
            for _, _, timer in self.world.loop._timers
            if not timer.cancelled() and getattr(timer._callback, "__self__", None) is self.world.rig.clock
        ]
        return [*tasks, *timers, *self.world.problems]

    def _sum_up(self) -> None:
        outcome, history = self.outcome, self.history
        self._count_acted()
        told = history.of("told")
        outcome.orders = sum(1 for line in history.of("command") if line.of("kind") == "submit")
        outcome.denied = sum(1 for line in told if line.of("event") == "denied")
        outcome.fills = len(self.x.ledger.fills(self.x.account))
        outcome.virtual_secs = history.mono_ns() / 1e9
        sink = sha256()
        for line in told:
            sink.update(b"%d %s\n" % (line.mono_ns, msgspec.json.encode(line.about, order="sorted")))
        outcome.digest = {
            "wire": self.world.wire.digest(),
            "sink": sink.hexdigest(),
            "ledger": self.x.ledger.digest(times=True),
        }

    # --- the market and the strategy

    def _act(self, act: Act) -> None:
        if act.what in ("submit", "cancel", "cancel_all", "query", "refuse"):
            if self.rig is None:
                self.waiting.append(act)
            else:
                getattr(self, f"_{act.what}")(act.about)
            return
        self._market_act(act)

    def _market_act(self, act: Act) -> None:
        try:
            done = _MARKET_ACTS[act.what](self, act.about)
        except Refusal:
            return  # the venue would not: halted, closed meanwhile, nothing there
        if act.what in MOVES and done is not False:
            self._moved(act.what)

    def _moved(self, what: str) -> None:
        self.outcome.moves[what] = self.outcome.moves.get(what, 0) + 1

    def _quote(self, about: Mapping[str, object]) -> None:
        market = str(about["market"])
        floor = self.x.exchange.market(market)
        self.mids[market] += int(str(about["ticks"])) * 10 * floor.tick
        mid = self.mids[market]
        self.x.exchange.set_price(market, mid)
        step, size = floor.tick * 20, Decimal("0.02") if market == MARKETS[0] else Decimal("0.5")
        size += floor.lot * self._quoted
        bids = {mid - step * (level + 1): size for level in range(5)}
        asks = {mid + step * (level + 1): size for level in range(5)}
        self.x.exchange.set_quotes(market, bids, asks)

    def _take(self, about: Mapping[str, object]) -> None:
        side = str(about["side"])
        self.x.exchange.place_counterparty_order(
            str(about["market"]), Side[side], Decimal(str(about["size"])), None
        )

    def _mine_at_venue(self, about: Mapping[str, object]) -> object | None:
        orders = [
            one
            for one in self.x.exchange.open_orders(self.x.account, str(about["market"]))
            if one.status.value == "OPEN"
        ]
        return orders[int(float(str(about["pick"])) * len(orders))] if orders else None

    def _cross(self, about: Mapping[str, object]) -> None:
        order = self._mine_at_venue(about)
        if order is not None:
            lot = self.x.exchange.market(order.market).lot
            part = (order.remaining / int(str(about["part"]))) // lot * lot
            self.x.exchange.cross(order.id, part or None)

    def _external(self, about: Mapping[str, object]) -> None:
        market, side = str(about["market"]), str(about["side"])
        price = self._price(market, side, "far" if about["far"] else "through")
        # Two of one moment are two orders.
        name = f"X-{next(self._others)}" if about["named"] else ""
        self.x.external(side, str(about["size"]), str(price), market=market, client_id=name)

    def _external_cancel(self, about: Mapping[str, object]) -> None:
        order = self._mine_at_venue(about)
        if order is not None:
            self.x.simulator.service.desk.cancel_quietly(order.id)

    def _venue_cancel(self, about: Mapping[str, object]) -> None:
        order = self._mine_at_venue(about)
        if order is not None:
            self.x.exchange.cancel_by_venue(order.id, "VENUE_RULE")

    def _funding(self, about: Mapping[str, object]) -> None:
        self.x.exchange.pay_funding(str(about["market"]), Decimal("0.0001"))

    def _bust(self, about: Mapping[str, object]) -> bool:
        """A fill that stands is taken back, an old one or one of this moment; False: there is none."""
        fills = self.x.exchange.fills(self.x.account)
        if fills:
            self.x.exchange.bust(fills[int(float(str(about["pick"])) * len(fills))].id)
        return bool(fills)

    def _deposit(self, about: Mapping[str, object]) -> None:
        """Money comes, or goes."""
        self.x.exchange.fund_account(self.x.account, Decimal(str(about["amount"])))

    def _transfer(self, about: Mapping[str, object]) -> None:
        """A piece of a position comes from another account: a fill without an order."""
        market, size = str(about["market"]), Decimal(str(about["size"]))
        held = self.x.exchange.position(self.x.account, market).quantity
        signed = size if about["side"] == "BUY" else -size
        self.x.exchange.set_position(self.x.account, market, held + signed)

    def _liquidate(self, about: Mapping[str, object]) -> bool:
        """The account's money is too little for its positions; then it has its money again.

        False: it held nothing, or this market liquidates nobody now.
        """
        exchange, account, market = self.x.exchange, self.x.account, str(about["market"])
        if not exchange.position(account, market).quantity:
            return False
        margin = exchange.margin(account)
        gone = margin.equity - margin.maintenance / 2
        exchange.fund_account(account, -gone)
        exchange.set_price(market, exchange.mark(market))
        exchange.fund_account(account, gone)
        return not exchange.position(account, market).quantity

    def _halt(self, about: Mapping[str, object]) -> None:
        self.x.exchange.halt(str(about["market"]))

    def _halt_over(self, about: Mapping[str, object]) -> None:
        self.x.exchange.halt(str(about["market"]), False)

    def _mode(self, about: Mapping[str, object]) -> None:
        self.x.exchange.set_mode(Mode(str(about["mode"])), str(about["market"]))

    def _mode_over(self, about: Mapping[str, object]) -> None:
        self.x.exchange.set_mode(Mode.NORMAL, str(about["market"]))

    def _price(self, market: str, side: str, where: str) -> Decimal:
        floor, (bids, asks) = self.x.exchange.market(market), self.x.levels(market)
        mid, sign = self.x.exchange.mark(market), 1 if side == "BUY" else -1
        own = (bids if side == "BUY" else asks) or [(mid - sign * floor.tick, Decimal(0))]
        other = (asks if side == "BUY" else bids) or [(mid + sign * floor.tick, Decimal(0))]
        price = {
            "near": own[0][0],
            "inside": own[0][0] + sign * floor.tick,
            "through": other[0][0] + sign * floor.tick * 30,
            "far": mid - sign * mid / 100,
        }[where]
        return price // floor.tick * floor.tick

    def _submit(self, about: Mapping[str, object]) -> None:
        rig, name = self.rig, str(about["name"])
        market, side = str(about["market"]), str(about["side"])
        facts = {"tif": TimeInForce.from_str(str(about["tif"])), "reduce_only": bool(about["reduce_only"])}
        if about["type"] == "MARKET":
            order = _market_order(name, side, str(about["size"]), market, bool(about["reduce_only"]))
        else:
            price = str(self._price(market, side, str(about["where"])))
            order = rig.make(
                name, side, str(about["size"]), price, market=market, post_only=about["post_only"], **facts
            )
        self.history.note("command", kind="submit", name=name)
        self.limits[name] = (str(order.quantity), str(order.price) if about["type"] == "LIMIT" else None)
        rig.engine.add(order)
        rig.service.commands.submit([order])

    def _living(self, unaccepted: bool) -> list[object]:
        wanted = ("ACCEPTED", "PARTIALLY_FILLED", *(("SUBMITTED",) if unaccepted else ()))
        return [one for one in self.rig.engine.orders.values() if one.status.name in wanted]

    def _cancel(self, about: Mapping[str, object]) -> None:
        orders = self._living(bool(about["unaccepted"]))
        if orders:
            order = orders[int(float(str(about["pick"])) * len(orders))]
            self.history.note("command", kind="cancel", name=order.client_order_id.value)
            self.rig.cancel(order)

    def _cancel_all(self, about: Mapping[str, object]) -> None:
        market = about["market"]
        orders = [
            one for one in self._living(False) if market in (None, one.instrument_id.symbol.value)
        ]
        iid = InstrumentId.from_str(f"{market}.PARADEX") if market else None
        for order in orders:
            self.history.note("command", kind="cancel", name=order.client_order_id.value)
            self.rig.engine.pending_cancel(order)
        self.rig.service.commands.cancel_all(iid, None, orders)

    def _refuse(self, about: Mapping[str, object]) -> None:
        """The engine does not take the next report; it must be offered again."""
        self.rig.engine.fail_reports += 1

    def _query(self, about: Mapping[str, object]) -> None:
        orders = self._living(True)
        if orders:
            self.rig.service.commands.query(orders[int(float(str(about["pick"])) * len(orders))])


_MARKET_ACTS: Mapping[str, Callable[[Run, Mapping[str, object]], bool | None]] = {
    "quote": Run._quote,
    "take": Run._take,
    "cross": Run._cross,
    "external": Run._external,
    "external_cancel": Run._external_cancel,
    "venue_cancel": Run._venue_cancel,
    "funding": Run._funding,
    "bust": Run._bust,
    "deposit": Run._deposit,
    "transfer": Run._transfer,
    "liquidate": Run._liquidate,
    "halt": Run._halt,
    "halt_over": Run._halt_over,
    "mode": Run._mode,
    "mode_over": Run._mode_over,
}
_PLACES = {MARKETS[0]: 5, MARKETS[1]: 3}


def _market_order(name: str, side: str, size: str, market: str, reduce_only: bool) -> MarketOrder:
    return MarketOrder(
        TraderId("T-001"),
        StrategyId("S-1"),
        InstrumentId.from_str(f"{market}.PARADEX"),
        ClientOrderId(name),
        OrderSide.from_str(side),
        Quantity.from_str(f"{Decimal(size):.{_PLACES[market]}f}"),
        UUID4(),
        0,
        TimeInForce.IOC,
        reduce_only,
        False,
    )


def _module(coro: object) -> str:
    """`venuekit.runtime` and so on, of the code of a task."""
    code = getattr(coro, "cr_code", None)
    path = "" if code is None else code.co_filename.replace("\\", "/")
    parts = path.partition("/venuekit/")[2].split("/")
    return f"venuekit.{parts[0]}" if len(parts) > 1 else ""


OWNER = Owner("PARADEX", "simulator", "swarm")


def _text(path: Path) -> str:
    """Everything that a journal's files hold."""
    return "".join(one.read_bytes().decode("latin-1") for one in sorted(path.parent.glob(f"{path.name}*")))


@contextmanager
def _hashes_remembered() -> Iterator[None]:
    """Client and venue hash the same orders with one library, a pure function: each hash is made once."""
    made = fast_stark_crypto.pedersen_hash
    fast_stark_crypto.pedersen_hash = lru_cache(maxsize=4_096)(made)
    try:
        yield
    finally:
        fast_stark_crypto.pedersen_hash = made


def run_seed(
    seed: int, plan: Plan | None = None, enough: Callable[[Outcome], bool] = lambda _: False
) -> Outcome:
    """The seed was run, as far as its rests did not say `enough`; nothing is raised, whatever went wrong."""
    plan, log = plan or draw(seed), Lines()
    outcome = Outcome(seed)
    logger = logging.getLogger("venuekit")
    level, propagates, rows = logger.level, logger.propagate, reconciliation._MOST_ROWS
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    reconciliation._MOST_ROWS = PAGE_ROWS

    folder = tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
    path = Path(folder.name) / "swarm.journal"

    def opened() -> FileJournal:
        return FileJournal.opened(path, OWNER, upkeep=False)

    async def body(world: World) -> None:
        nonlocal outcome
        in_file = callable(world.journal)
        run = Run(plan, world, log, (lambda: _text(path)) if in_file else (lambda: repr(world.journal)))
        outcome, run.enough = run.outcome, enough
        await run.whole()

    try:
        own = {"order_route": plan.route, "sbe": plan.sbe}
        journal = opened if plan.journal == "file" else None
        options = {**SIM, **plan.venue}
        with _hashes_remembered():
            run_virtual(
                seed, body, journal=journal, start=False, settle=False, sim=options, own=own, secs=7_200.0
            )
    except Exception:  # noqa: BLE001 - the seed failed, whatever it was; the text says what
        outcome.violations.append(f"crashed: {traceback.format_exc()}")
    finally:
        folder.cleanup()
        reconciliation._MOST_ROWS = rows
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagates
    return outcome
