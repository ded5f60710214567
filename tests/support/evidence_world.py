"""One account between a venue on paper and the engine: every road of evidence, on virtual time, from a plan.

The client in it is the product: Paradex's rows and reads, the tracker, its delivery, and the reads of the
account. The roads are of this file: they delay, repeat, overtake and lose. What is lost on the stream is read
later, because the account is compared now and then, as a client does. The judge looks after every piece.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Coroutine, Generator
from random import Random

import msgspec
from attrs import define, field, frozen
from evidence_judge import Judge
from nautilus_trader.model import OrderSide
from paper_venue import MS, Habits, PaperOrder, PaperVenue, size_text
from tracker_bench import Bench
from venuekit_paradex.manifest import MANIFEST
from venuekit_paradex.reconciliation import ParadexReads
from venuekit_paradex.wire.json import BustRow, FillRow, OrderRow
from venuekit_paradex.wire.records import bust_record, fill_record, order_record

from venuekit.errors import SendFailed, VenuekitError
from venuekit.interfaces.orders import Received, RefusedOutcome, Unknown
from venuekit.interfaces.records import Source, WireIds
from venuekit.interfaces.request import Evidence, Reply, nothing_sent
from venuekit.interfaces.time import AtWall
from venuekit.runtime.account_reads import AccountReads
from venuekit.runtime.account_reports import AccountReports
from venuekit.runtime.delivery import Roads

SECS = 1_000 * MS
CALM_SECS = 100
"""After the last act nothing goes wrong for so long; in the last part of it nobody asks any more."""
QUIET_SECS = 25


@frozen
class Act:
    """One thing that the strategy does, or that happens at the venue or on a road."""

    at_ms: int
    what: str
    facts: tuple[object, ...] = ()
    number: int = 0
    """What is drawn on its behalf is the same, whatever other acts there are."""


@frozen
class Weather:
    """How bad the roads are: chances of a frame, and times."""

    lost: float = 0.0
    twice: float = 0.0
    slow: float = 0.0
    overtake: bool = False
    """Frames overtake each other; else a connection keeps their order."""
    read_fails: float = 0.0
    read_ms: int = 50
    compare_ms: int = 10_000


@frozen
class Plan:
    seed: int
    habits: Habits
    roads: Weather
    acts: tuple[Act, ...]


class Until:
    """Awaited, it hands the moment to whoever runs the coroutine."""

    def __init__(self, mono_ns: int) -> None:
        self.mono_ns = mono_ns

    def __await__(self) -> Generator[int]:
        yield self.mono_ns


@define
class Heard:
    """What was delivered to the client, by any road."""

    fills: set[str] = field(factory=set)
    with_fee: set[str] = field(factory=set)
    closed: set[str] = field(factory=set)
    """Venue ids."""
    busts: set[str] = field(factory=set)
    busts_of_stream: set[str] = field(factory=set)
    refused: set[str] = field(factory=set)
    """Client ids whose submit was refused by a reply, or never left."""


class World:
    """`run()` carries the plan out, or raises `Wrong`; `trace` says what happened."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.trace: list[str] = []
        self.heard = Heard()
        self.calm = self._begun = False
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._reading = Random(f"{plan.seed}:reads")
        self._down_until = -1
        self._last_frame = 0
        self._since = 0
        self._comparing = False
        self.coming: set[str] = set()
        """Client ids of submits that will reach the venue."""
        self.quiet_ns = 0
        self.asked: list[int] = []
        """When a look-up or a read of fills was asked for."""
        semantics = MANIFEST.semantics
        self.bench = Bench(
            lookup_settles_ms=semantics.lookup_settles_ms,
            history_lag_ms=semantics.history_lag_ms,
            busts=semantics.busts,
        )
        self.settle_ns = max(semantics.lookup_settles_ms, semantics.history_lag_ms) * MS
        self.tracker, self.engine, self.clock = self.bench.tracker, self.bench.engine, self.bench.clock
        self.delivery = self.bench.delivery
        self.venue = PaperVenue(plan.habits, self.clock.wall_ns, self._say)
        source = ParadexReads(port=self, symbols=self.bench.symbols)
        log = logging.getLogger("venuekit.lives")
        log.disabled = logging.getLogger("venuekit.test").disabled = True
        self.reads = AccountReads(source, self, self.bench.counters, log)
        self.reports = AccountReports(
            reads=self.reads,
            source=source,
            tracker=self.tracker,
            delivery=self.delivery,
            reporter=self.delivery._reporter,
            positions=self.bench.positions,
            symbols=self.bench.symbols,
            semantics=self.tracker.semantics,
            clock=self.clock,
            counters=self.bench.counters,
            log=log,
            scope=self,
        )
        self.delivery.roads = Roads(self._cancel, self._look_up, self._fetch)
        self.judge = Judge(self)

    # --- time

    def at(self, mono_ns: int, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (max(mono_ns, self.clock.mono_ns()), self._count, do))

    def after(self, ms: float, do: Callable[[], None]) -> None:
        self.at(self.clock.mono_ns() + int(ms * MS), do)

    def start(self, _name: str, work: Coroutine[object, object, None]) -> None:
        """A `TaskScope`: it runs up to its first wait at once."""
        try:
            due = work.send(None)
        except StopIteration:
            return
        self.at(due, lambda: self.start(_name, work))

    def run(self) -> None:
        self.start("first", self._first())
        for act in self.plan.acts:
            self.at(act.at_ms * MS, lambda act=act: self._act(act))
        last_ms = max((act.at_ms for act in self.plan.acts), default=0)
        self.at(last_ms * MS + 1, self._calm_down)
        self.after(self.plan.roads.compare_ms, self._compare_on)
        end_ns = (last_ms + CALM_SECS * 1_000) * MS
        self.quiet_ns = end_ns - QUIET_SECS * SECS
        while True:
            dues = [self._events[0][0], self.tracker.next_due_ns() or end_ns, end_ns]
            due = min(dues)
            self.clock.advance(max(0, due - self.clock.mono_ns()))
            if due >= end_ns:
                break
            if self._events[0][0] <= due:
                heapq.heappop(self._events)[2]()
            else:
                self.delivery.do(self.tracker.apply_time(self.bench.now))
            self.judge.look()
        self.judge.end()

    async def _first(self) -> None:
        """A client that cannot read the account does not begin."""
        await self.reports.compare_positions()
        self._begun = True

    def _calm_down(self) -> None:
        self.calm, self.engine.fail_reports, self._down_until = True, 0, -1
        self._compare_on(calm=True)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.clock.mono_ns() / SECS:9.3f} {text}")

    # --- the stream

    def _say(self, channel: str, row: dict[str, object], ts_ns: int) -> None:
        roads, now_ns = self.plan.roads, self.clock.mono_ns()
        what = row.get("id") or row.get("busted_fill_id")
        draw = Random(f"{self.plan.seed}:{channel}:{what}:{row.get('seq_no')}")
        lost = now_ns < self._down_until or draw.random() < roads.lost
        if lost and not self.calm:
            self.note(f"lost   {channel} {_short(row)}")
            return
        for _ in range(2 if draw.random() < roads.twice else 1):
            delay = draw.choice([200, 1_500, 4_000]) if draw.random() < roads.slow else draw.randint(0, 20)
            due = now_ns + delay * MS
            if not roads.overtake:
                due = self._last_frame = max(self._last_frame, due)
            self.at(due, lambda: self._frame(channel, row, ts_ns))

    def _frame(self, channel: str, row: dict[str, object], ts_ns: int) -> None:
        self.note(f"stream {channel} {_short(row)}")
        symbols, now = self.bench.symbols, self.bench.now
        at = ts_ns if self.plan.habits.fine_times else None
        self._hear(channel, row)
        if channel == "orders":
            record = order_record(msgspec.convert(row, OrderRow), symbols, Source.STREAM, at)
            self.delivery.do(self.tracker.apply_order(record, now))
        elif channel == "fills":
            fees = self.plan.habits.fees_on_stream
            fill = fill_record(
                msgspec.convert(row, FillRow), symbols, Source.STREAM, at, currency_known=fees
            )
            self.delivery.do(self.tracker.apply_fill(fill, now))
        else:
            self.heard.busts_of_stream.add(str(row["busted_fill_id"]))
            bust = bust_record(msgspec.convert(row, BustRow), Source.STREAM)
            known = self.tracker.owner(bust.trade_key) or self.tracker.fills.voided(bust.trade_key)
            self.delivery.do(self.tracker.apply_bust(bust, now))
            if not known:
                self.compare()
        self.judge.look()
        self.judge.at_once(channel, row)

    def _hear(self, channel: str, row: dict[str, object]) -> None:
        if channel == "orders" and row["status"] == "CLOSED":
            self.heard.closed.add(str(row["id"]))
        elif channel == "fills":
            self.heard.fills.add(str(row["id"]))
            if row["fee"]:
                self.heard.with_fee.add(str(row["id"]))
        elif channel == "tradebusts":
            self.heard.busts.add(str(row["busted_fill_id"]))

    # --- REST

    async def send(self, request: object, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """A `RequestPort` for reads."""
        draw, roads = self._reading, self.plan.roads
        there, back = draw.random() * roads.read_ms, draw.random() * roads.read_ms
        fate = draw.random()
        await Until(self.clock.mono_ns() + int(there * MS))
        status, body = self.venue.answer(request.path, request.query)
        await Until(self.clock.mono_ns() + int(back * MS))
        if self._begun and fate < roads.read_fails and not self.calm:
            self.note(f"failed {request.path}")
            if fate < roads.read_fails / 2:
                raise SendFailed("cut", evidence=Evidence.MAYBE_SENT)
            return Reply(503, b"")
        said = msgspec.json.decode(body)
        rows = said.get("results", [said]) if status == 200 else []
        if rows:
            self.note(f"read   {request.path} {[_short(row) for row in rows]}")
        channel = request.path.split("/")[1].removesuffix("-history")
        for row in rows:
            self._hear(channel, row)
        return Reply(status, body)

    def _look_up(self, action: object) -> None:
        self.asked.append(self.clock.mono_ns())
        self.note(f"asks   {action.key}")
        self.reads.look_up(action)

    def _fetch(self, since_ns: int) -> None:
        self.asked.append(self.clock.mono_ns())
        self.reports.fetch_fills(since_ns)

    def _compare_on(self, calm: bool = False) -> None:
        if self.calm == calm:
            self.compare()
            self.after(10_000 if calm else self.plan.roads.compare_ms, lambda: self._compare_on(calm))

    def compare(self) -> None:
        if not self._comparing:
            self._comparing = True
            self.after(0, lambda: self.start("compare", self._compare()))

    async def _compare(self) -> None:
        began = self.clock.wall_ns()
        try:
            await self.reports.compare_orders(max(0, self._since - self.settle_ns))
            await self.reports.compare_positions()
            self._since = began
        except VenuekitError:
            self.after(1_000, self.compare)
        finally:
            self._comparing = False

    # --- acts

    def _act(self, act: Act) -> None:
        self.note(f"-- {act.what} {' '.join(map(str, act.facts))}")
        getattr(self, f"_do_{act.what}")(Random(f"{self.plan.seed}:{act.number}"), *act.facts)

    def _do_submit(self, draw: Random, name: str, side: str, lots: int, reply: str, way: str) -> None:
        order = self.bench.order(
            name, sent=False, side=OrderSide.from_str(side), quantity=size_text(lots), price="100.0"
        )
        lapses = draw.choice([None, 8_000])
        deadline = None if lapses is None else AtWall(self.clock.wall_ns() + lapses * MS)
        self.tracker.sending(name, WireIds(client_order_id=name, lapses=deadline), self.bench.now)
        arrives = draw.choice([1, 30, 1_900 if lapses is None else 7_000])
        facts = (str(order.client_order_id), side, lots, "100.0")
        placed: list[PaperOrder] = []
        if way != "nowhere":
            new = draw.random() < 0.5
            self.coming.add(name)
            self.after(arrives, lambda: self._arrive(name, placed, *facts[1:], new, way == "refused"))
        after = arrives + draw.choice([0, 5, 300]) if reply == "received" else draw.choice([3, 40, 9_000])
        self.after(after, lambda: self._submit_reply(name, reply, placed))

    def _arrive(
        self, name: str, placed: list[PaperOrder], side: str, lots: int, price: str, new: bool, refused: bool
    ) -> None:
        self.coming.discard(name)
        placed.append(self.venue.place(name, side, lots, price, new=new, refused=refused))

    def _submit_reply(self, name: str, reply: str, placed: list[PaperOrder]) -> None:
        self.note(f"reply  submit {name} {reply}")
        now, tracker = self.bench.now, self.tracker
        if reply == "received":
            outcome = Received(WireIds(client_order_id=name, venue_order_id=placed[0].id))
        elif reply == "refused":
            self.heard.refused.add(name)
            outcome = RefusedOutcome("INVALID_REQUEST", "no")
        elif reply == "unknown":
            outcome = Unknown("503")
        else:
            evidence = Evidence.NOT_SENT if reply == "not_sent" else Evidence.MAYBE_SENT
            if reply == "not_sent":
                self.heard.refused.add(name)
            self.delivery.do(tracker.apply_submit_failed(name, evidence, "cut", now))
            return
        self.delivery.do(tracker.apply_submit(name, outcome, now))

    def _do_cancel(self, _draw: Random, name: str) -> None:
        order, known = self.delivery.orders.get(name), self.tracker.get(name)
        if order is None or known is None or known.ended or order.is_closed:
            return
        if order.status.name in ("ACCEPTED", "PARTIALLY_FILLED"):
            self.engine.pending_cancel(order)
        if self.tracker.want_cancel(name, self.bench.now) is not None:
            self._cancel(name)

    def _cancel(self, name: str) -> None:
        tries = sum(f"cancel {name} sent" in line for line in self.trace)
        self.after(0, lambda: self._send_cancel(name, Random(f"{self.plan.seed}:cancel {name} {tries}")))

    def _send_cancel(self, name: str, draw: Random) -> None:
        self.note(f"cancel {name} sent")
        self.tracker.cancelling(name, self.bench.now)
        fate = "there" if self.calm else draw.choice(["there", "there", "there", "lost", "deaf", "unsent"])
        done: list[str] = []
        if fate in ("there", "deaf"):
            self.after(draw.choice([1, 20, 900]), lambda: done.append(self._cancel_there(name)))
        wait = 2_000 if fate != "there" else 1_000
        self.after(wait, lambda: self._cancel_reply(name, fate, done, draw))

    def _cancel_there(self, name: str) -> str:
        for order in self.venue.orders.values():
            if order.client_id == name and order.open:
                self.venue.close(order, "USER_CANCELED")
                return "received"
        return "gone"

    def _cancel_reply(self, name: str, fate: str, done: list[str], draw: Random) -> None:
        now = self.bench.now
        self.note(f"reply  cancel {name} {fate} {done}")
        if fate == "there":
            gone = RefusedOutcome("ORDER_IS_CLOSED", "", gone=True)
            outcome = Received(WireIds(client_order_id=name)) if done == ["received"] else gone
            self.delivery.do(self.tracker.apply_cancel(name, outcome, now))
        elif fate == "unsent":
            self.delivery.do(self.tracker.apply_cancel_failed(name, Evidence.NOT_SENT, now))
        elif draw.random() < 0.5:
            self.delivery.do(self.tracker.apply_cancel(name, Unknown("503"), now))
        else:
            self.delivery.do(self.tracker.apply_cancel_failed(name, Evidence.MAYBE_SENT, now))

    def _do_query(self, _draw: Random, name: str) -> None:
        self.delivery.do(self.tracker.query(name, self.bench.now))

    def _do_deaf(self, _draw: Random, count: int) -> None:
        """The engine does not take the next reports."""
        self.engine.fail_reports += count

    def _do_outage(self, _draw: Random, ms: int) -> None:
        self._down_until = self.clock.mono_ns() + ms * MS
        self.after(ms + 1, self.compare)

    def _working(self, pick: float) -> PaperOrder | None:
        live = [order for order in self.venue.orders.values() if order.status == "OPEN"]
        return live[int(pick * len(live))] if live else None

    def _do_fill(self, _draw: Random, pick: float, lots: int) -> None:
        if (order := self._working(pick)) is not None:
            self.venue.fill(order, lots)

    def _do_close(self, _draw: Random, pick: float) -> None:
        if (order := self._working(pick)) is not None:
            self.venue.close(order, "CLOSED_BY_VENUE")

    def _do_trim(self, _draw: Random, pick: float) -> None:
        if (order := self._working(pick)) is not None:
            self.venue.trim(order)

    def _do_bust(self, _draw: Random, pick: float) -> None:
        stand = [one for one in self.venue.fills.values() if one.busted_ns is None]
        if stand:
            self.venue.bust(stand[int(pick * len(stand))])

    def _do_other(self, draw: Random, name: str, side: str, lots: int) -> None:
        self.venue.place(name, side, lots, "100.0", new=draw.random() < 0.5, refused=False)

    def _do_transfer(self, _draw: Random, side: str, lots: int) -> None:
        self.venue.transfer(side, lots)


def _short(row: dict[str, object]) -> str:
    """One row in a few words."""
    if "remaining_size" in row:
        left = f"{row['remaining_size']} of {row['size']} left"
        words = (f"{row['id']}/{row['client_id']}", row["status"], left, f"#{row['seq_no']}")
        return " ".join(map(str, (*words, row["cancel_reason"]))).rstrip()
    if "busted_fill_id" in row:
        return f"bust {row['busted_fill_id']}"
    return f"{row.get('id', 'position')} {row.get('order_id', '')} {row.get('size', '')}"
