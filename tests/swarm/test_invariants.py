"""Every check can fail: a real session is sound, and each planted violation is reported under its number."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from base64 import b64decode
from collections.abc import Callable
from copy import copy
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve
from evidence import Heard, order_in_sbe
from facts import Facts, collect
from history import History, Line, TappedPort, TappedStream, watch_engine, watch_market
from invariants import CHECKS, check
from paradex_rig import BTC, ETH, Rig, exchange, opened, until
from venuekit_paradex.sim import SIMULATOR

from venuekit.host.open import Layers
from venuekit.interfaces.stream import DataKind


class Lines(logging.Handler):
    """Keeps what is logged, as text with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def check_agreement(rig: Rig, history: History, start_ns: int) -> list[str]:
    facts = collect(rig, history, start_ns)
    return [text for name in ("I1", "I3", "I4", "I17") for text in CHECKS[name](facts)]


async def session() -> Facts:
    """Orders that rest, trade, are refused, denied, lost and cancelled; a fill that is taken back, a position
    that comes from elsewhere; then a stop.
    """
    history, log = History(), Lines()
    logger = logging.getLogger("venuekit")
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    before = asyncio.all_tasks()
    async with exchange(private_sbe="false") as x:
        history.wall_ns, history.mono_ns = x.exchange.clock.wall_ns, x.exchange.clock.mono_ns
        start_ns = history.wall_ns()
        layers = Layers(
            port=lambda port, name: TappedPort(port, name, history),
            stream=lambda inner: TappedStream(inner, history),
        )
        rig = await opened(x, layers=layers, timeouts_ms={"submit": 200})
        watch_engine(rig.engine, history)
        watch_market(rig.market, history)
        history.note("begin")

        def submit(name: str, *args: str, **facts: object) -> object:
            history.note("command", kind="submit", name=name)
            return rig.submit(name, *args, **facts)

        try:
            early = submit("O-0")  # the private state is not known yet
            await rig.start(data=True)
            rig.want(DataKind.BOOK_DELTAS)
            x.counter("BUY", "1", "80000.0")
            x.counter("SELL", "0.02", "80100.0")
            await rig.same_book(BTC)
            maker, taker = submit("O-1"), submit("O-2", "BUY", "0.01", "80100.0")
            post = submit("O-3", "BUY", "0.01", "80100.0", post_only=True)
            x.fault("F16", points=["out"], label="reply:order.*", trigger={"nth": 1})
            lost = submit("O-4", "BUY", "0.01", "79000.0", market=BTC)
            x.external("SELL", "0.1", "4100.00", market=ETH)
            await rig.status(maker, "ACCEPTED")
            await rig.status(taker, "FILLED")
            await rig.status(post, "REJECTED")
            await rig.status(lost, "ACCEPTED")
            x.fault("F16", points=["in"], label='*"O-5"*')
            gone = submit("O-5", "BUY", "0.01", "78000.0")
            await rig.status(gone, "REJECTED")
            x.cross("O-1", "0.004")
            await until(lambda: str(maker.filled_qty) == "0.00400", "a part is filled")
            history.note("command", kind="cancel", name="O-1")
            rig.cancel(maker)
            await rig.status(maker, "CANCELED")
            assert early.status.name == "INITIALIZED"
            undone = submit("O-6", "BUY", "0.01", "80100.0")
            await rig.status(undone, "FILLED")
            x.exchange.bust(x.exchange.fills(x.account)[-1].id)
            await rig.status(undone, "VOIDED")
            x.exchange.set_position(x.account, ETH, Decimal("0.3"))
            rig.service.query_account()
            await until(lambda: not check_agreement(rig, history, start_ns), "both sides agree")
            await until(lambda: rig.market.levels(BTC) == x.levels(BTC), "the book is whole")
            books = {BTC: (rig.market.levels(BTC), x.levels(BTC))}
        finally:
            await rig.stop()
        left = [str(task) for task in asyncio.all_tasks() - before if "sim" not in str(task)]
        key = SIMULATOR.demo_key()
        facts = collect(
            rig, history, start_ns, books=books, secrets=[key, key.lstrip("0")], logs=log.texts, final=True
        )
    logger.removeHandler(log)
    logger.setLevel(level)
    facts.left = [one for one in left if "venuekit/runtime" in one]
    facts.lifted_ns = facts.quiet_ns = history.lines[-1].mono_ns
    return facts


@pytest.fixture(scope="module")
def sound() -> Facts:
    gc.collect()
    return asyncio.run(asyncio.wait_for(session(), 40))


# --- ways to spoil it


def lines(facts: Facts) -> list[Line]:
    """The lines, which can be edited without touching those of other tests."""
    copies = [copy(line) for line in facts.history.lines]
    for line in copies:
        line.about = dict(line.about)
        line.__dict__.pop("json", None)
    facts.history = History(lines=copies)
    return copies


def told(facts: Facts, event: str, **wanted: object) -> Line:
    """The first told line of this event with these facts, to be edited."""
    return next(
        one
        for one in lines(facts)
        if one.what == "told"
        and one.of("event") == event
        and all(one.of(name) == value for name, value in wanted.items())
    )


def with_fill(facts: Facts) -> Line:
    return next(one for one in lines(facts) if one.about.get("fills"))


def again(facts: Facts, line: Line) -> None:
    """The line once more, at the end."""
    more = copy(line)
    more.at = len(facts.history.lines)
    facts.history.lines.append(more)


def lose_fill(facts: Facts) -> None:
    with_fill(facts).about["fills"] = []


def bend_fill(facts: Facts, **changes: str) -> None:
    line = with_fill(facts)
    line.about["fills"] = [{**line.about["fills"][0], **changes}]


def repeat_fill(facts: Facts) -> None:
    again(facts, with_fill(facts))


def repeat_fill_after_restart(facts: Facts) -> None:
    line = with_fill(facts)
    facts.history.note("begin")
    again(facts, line)


def void_again(facts: Facts) -> None:
    again(facts, told(facts, "fill_voided"))


def fill_after_void(facts: Facts) -> None:
    """The fill is told by a mass status that knows nothing of its end."""
    void = told(facts, "fill_voided")
    line = next(
        one
        for one in facts.history.lines
        if any(fill["trade_id"] == void.of("trade_id") for fill in one.about.get("fills", ()))
    )
    line.about["mass"] = True
    again(facts, line)


def filled_after_void(facts: Facts) -> None:
    again(facts, told(facts, "report", name="O-6", status="FILLED"))


def void_of_another(facts: Facts) -> None:
    told(facts, "fill_voided").about["trade_id"] = "1"


def alarm_for_a_told_fill(facts: Facts) -> None:
    trade = told(facts, "fill_voided").of("trade_id")
    facts.history.note("alarm", kind="void_without_order", why=f"fill {trade} of no known order")


def other_total(facts: Facts) -> None:
    first, *rest = facts.belief.orders
    facts.belief = evolve(facts.belief, orders=(evolve(first, filled=first.filled + 1), *rest))


def without(facts: Facts, name: str, proof: Callable[[Line], bool]) -> None:
    """What proved the end of an order never came."""
    kept = [line for line in lines(facts) if not (line.what in ("in", "reply") and proof(line))]
    facts.history.lines[:] = kept
    assert any(line.of("name") == name for line in kept)


def says(*words: str) -> Callable[[Line], bool]:
    def proof(line: Line) -> bool:
        text = line.text if isinstance(line.text, str) else line.text.decode("latin-1")
        return all(word in text for word in words)

    return proof


def late_proof(facts: Facts) -> None:
    """The proof of a cancel came after the event."""
    every = lines(facts)
    proofs = [one for one in every if one.what in ("in", "reply") and says("USER_CANCELED", "O-1")(one)]
    every[:] = [one for one in every if one not in proofs] + proofs


def late_end(facts: Facts) -> None:
    """The stream had said it, and the engine heard of it from a read."""
    line = told(facts, "rejected", name="O-3")
    line.mono_ns += 10_000_000_000


def invent_cancel_rejected(facts: Facts) -> None:
    every = lines(facts)
    place = every.index(next(one for one in every if one.of("status") == "CANCELED"))
    about = {"event": "cancel_rejected", "name": "O-1", "reason": "TIMEOUT"}
    every.insert(place, Line(every[place].at, 0, 0, "told", about=about))


def accept_after_fill(facts: Facts) -> None:
    line = told(facts, "report", name="O-2", status="ACCEPTED")
    again(facts, line)


def send_twice(facts: Facts) -> None:
    every = lines(facts)
    again(facts, next(one for one in every if one.what == "out" and says("order.create", '"O-4"')(one)))


def send_denied(facts: Facts) -> None:
    every = lines(facts)
    line = next(one for one in every if one.what == "out" and says("order.create", '"O-1"')(one))
    denied = str(line.text).replace('"O-1"', '"O-0"').replace('"id":', '"id":9')
    facts.history.note("out", line.number, denied)


def spoil_book(facts: Facts, change: Callable[[list, list], None]) -> None:
    (bids, asks), true = facts.books[BTC]
    mine = ([*bids], [*asks])
    change(*mine)
    facts.books = {BTC: (mine, true)}


def earlier_init(facts: Facts) -> None:
    last = [one for one in lines(facts) if one.of("ts_init")][-1]
    last.about["ts_init"] = facts.start_ns - 1


def float_leaves(facts: Facts) -> None:
    line = next(one for one in lines(facts) if one.what == "out" and says("order.create", '"O-1"')(one))
    line.text = str(line.text).replace('"80000.0"', "80000.0")


def rounded(facts: Facts) -> None:
    facts.limits = {**facts.limits, "O-1": ("0.00999", "80000.0")}


def forget_frame(facts: Facts) -> None:
    facts.counters = {**facts.counters, "frames.handled": facts.counters["frames.handled"] - 1}


def uncounted_frame(facts: Facts) -> None:
    lines(facts)
    facts.history.note("in", 1, b"never counted")


def balance_off(facts: Facts) -> None:
    facts.totals = {"USDC": str(float(facts.totals["USDC"]) + 0.000001)}


def unequal_parts(facts: Facts) -> None:
    line = [one for one in lines(facts) if one.of("event") == "account"][-1]
    line.about["balances"] = [{**line.about["balances"][0], "locked": "0.000001"}]


def two_orders(facts: Facts) -> None:
    facts.orders = [*facts.orders, {**facts.orders[0], "client_id": "O-1"}]


def vanish(facts: Facts) -> None:
    lines(facts)
    facts.history.note("command", kind="submit", name="O-77")


def hang(facts: Facts) -> None:
    facts.statuses = {**facts.statuses, "O-4": "SUBMITTED"}


def log_token(facts: Facts) -> None:
    token = next(
        one.json["jwt_token"] for one in facts.history.of("reply") if one.of("op") == "auth"
    )
    facts.logs = [*facts.logs, f"login with {token}"]


def send_key(facts: Facts) -> None:
    lines(facts)
    facts.history.note("out", 1, f'{{"key":"{facts.secrets[0]}"}}')


def set_to(**changes: object) -> Callable[[Facts], None]:
    def spoil(facts: Facts) -> None:
        for name, value in changes.items():
            setattr(facts, name, value)

    return spoil


def orders_as(name: str, **changes: object) -> Callable[[Facts], None]:
    def spoil(facts: Facts) -> None:
        facts.orders = [{**row, **changes} if row["client_id"] == name else row for row in facts.orders]

    return spoil


SPOILS: list[tuple[str, str, Callable[[Facts], object]]] = [
    ("I1", "a fill lost", lose_fill),
    ("I1", "a price bent", lambda facts: bend_fill(facts, price="80099.9")),
    ("I1", "a fee bent", lambda facts: bend_fill(facts, fee="0.000001")),
    ("I1", "liquidity bent", lambda facts: bend_fill(facts, liquidity="NO_LIQUIDITY_SIDE")),
    ("I1", "a fill made up", lambda facts: bend_fill(facts, trade_id="1")),
    ("I2", "a fill told twice", repeat_fill),
    ("I2", "a fill told again by the next run", repeat_fill_after_restart),
    ("I1", "an order with another total than its fills", other_total),
    ("I2", "a fill voided twice", void_again),
    ("I2", "a fill told after it was void", fill_after_void),
    ("I5", "a fill voided that nobody took back", void_of_another),
    (
        "I5",
        "a void that nobody said",
        lambda facts: without(facts, "O-6", says("busted_fill_id")),
    ),
    ("I6", "filled after it was void", filled_after_void),
    ("alarm", "a void of a fill that was told", alarm_for_a_told_fill),
    ("at once", "an end that waited for a read", late_end),
    ("I3", "another position", set_to(positions={BTC: "9"})),
    ("I4", "an orphan at the venue", orders_as("O-1", status="OPEN")),
    ("I4", "an orphan here", orders_as("O-4", status="CANCELLED")),
    ("I5", "a refusal that nobody said", lambda facts: without(facts, "O-3", says("O-3", "CLOSED"))),
    ("I5", "a cancel that nobody said", lambda facts: without(facts, "O-1", says("O-1", "CLOSED"))),
    ("I5", "a proof that came after the event", late_proof),
    (
        "I5",
        "not found without the history read",
        lambda facts: without(facts, "O-5", lambda line: line.of("op") == "orders_history"),
    ),
    ("I5", "an order told rejected that lives", orders_as("O-4", client_id="O-5")),
    ("I5", "a timeout told as a refused cancel", invent_cancel_rejected),
    ("I6", "Nautilus refused an event", set_to(violations=["report: InvalidStateTrigger"])),
    ("I6", "accepted after a fill", accept_after_fill),
    ("I7", "two orders under one id", two_orders),
    ("I7", "a new order that left twice", send_twice),
    ("I8", "a denied order left", send_denied),
    ("I9", "a book that was wrong on the way", set_to(wrong_books=["BTC at 5"])),
    ("I9", "a level lost", lambda facts: spoil_book(facts, lambda bids, asks: bids.pop())),
    ("I9", "a level without size", lambda facts: spoil_book(facts, lambda bids, asks: bids.append((1, 0)))),
    ("I9", "crossed", lambda facts: spoil_book(facts, lambda bids, asks: asks.insert(0, (1, 1)))),
    ("I10", "an init time that goes back", earlier_init),
    ("I10", "an event at 1970", lambda facts: told(facts, "report").about.update(ts_event=1)),
    ("I10", "an event in seconds", lambda facts: told(facts, "report").about.update(ts_event=1_700_000_000)),
    ("I10", "an event of tomorrow", lambda facts: told(facts, "report").about.update(ts_event=2 * 10**18)),
    ("I11", "a fraction on the wire", float_leaves),
    ("I11", "another number than the order's", rounded),
    ("I12", "a task left", set_to(left=["<Task pending>"])),
    ("I13", "a breach", set_to(breaches=["orders 0x1"])),
    ("I14", "a token in the log", log_token),
    ("I14", "the key on the wire", send_key),
    ("I15", "never at rest", set_to(quiet_ns=None)),
    ("I15", "too late at rest", set_to(lifted_ns=0, quiet_ns=61_000_000_000)),
    ("I16", "a frame without a fate", forget_frame),
    ("I16", "a frame that was not counted", uncounted_frame),
    ("I17", "another balance", balance_off),
    ("I17", "parts that do not add up", unequal_parts),
    ("I17", "another margin", set_to(margin=("1", "1"))),
    ("I18", "a command without an answer", vanish),
    ("I18", "in flight at rest", hang),
    ("I18", "a fate unknown at rest", set_to(unresolved=1)),
]


def test_a_real_session_is_sound(sound: Facts) -> None:
    assert check(sound) == []
    names = {str(line.of("event")) for line in sound.history.of("told")}
    assert {"denied", "submitted", "rejected", "report", "account"} <= names


@pytest.mark.parametrize(("invariant", "what", "spoil"), SPOILS, ids=[f"{i}: {w}" for i, w, _ in SPOILS])
def test_a_planted_violation_is_reported(
    sound: Facts, invariant: str, what: str, spoil: Callable[[Facts], object]
) -> None:
    facts = evolve(sound)
    spoil(facts)
    found = list(CHECKS[invariant](facts))
    assert found, f"{what} was not seen"
    assert check(sound) == [], "the planting leaked"


FRAMES = Path(__file__).parents[2] / "venues/paradex/tests/data/sbe/frames.json"


def test_orders_in_sbe_are_evidence_as_those_in_json() -> None:
    read = {}
    for row in json.loads(FRAMES.read_text())["frames"]:
        frame, told = b64decode(row["b64"]), row["decoded"]
        found = order_in_sbe(frame)
        assert (found is not None) == (row["template_id"] == 20), row["name"]
        if found is not None:
            assert (found["id"], found["client_id"]) == (told["order_id"], told["client_order_id"])
            assert (found["status"] == "CLOSED") == (told["status"] == "CLOSED")
            assert (found["size"] == found["remaining_size"]) == (told["size"] == told["size_open"])
            read[row["name"]] = frame
    assert len(read) >= 5
    heard, closed = Heard(), read["order_closed_cancel_v2"]
    for number in range(8 + 128 + 1 + 28):
        heard.take(Line(number, 0, 0, "in", text=closed[:number]))
    heard.take(Line(190, 0, 0, "in", text=read["order_open_partial_v2"]))
    heard.take(Line(191, 0, 0, "in", text=closed))
    assert set(heard.closed.values()) == {191}


def test_every_invariant_has_a_planted_violation() -> None:
    assert {name for name, _, _ in SPOILS} == set(CHECKS)
    assert len(CHECKS) == 20
