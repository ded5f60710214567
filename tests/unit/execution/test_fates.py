"""Every cell of the fate tables, reached through the tracker's own methods.

The expected fates are written from the rules: only proof ends a command; what the venue showed is never
doubted again; nothing is sent twice blindly; a break, a timeout, a 5xx, a 429 or a torn reply prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nautilus_trader.model import OrderStatus, Price
from tracker_bench import Bench, S

from venuekit.core.fate import CANCEL, MODIFY, SUBMIT, Fate, Heard, Table
from venuekit.interfaces.orders import Received, RefusedOutcome, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import Source, WireIds
from venuekit.interfaces.request import Evidence

OPEN, CANCELED = OrderStatus.ACCEPTED, OrderStatus.CANCELED
REFUSED, GONE = RefusedOutcome("NO", "no"), RefusedOutcome("CLOSED", "", gone=True)
LATE_S = 30
"""Seconds after which every list of the venue shows what was sent."""

type Does = Callable[[Bench], object]
type Row = tuple[Heard, Does, str, str, str]
"""Evidence, how it comes, the fates it leads to, what the engine or the wire sees of it, and why."""


def reply(outcome: object) -> Does:
    return lambda b: b.do(b.tracker.apply_submit("O-1", outcome, b.now))


def failed(evidence: Evidence) -> Does:
    return lambda b: b.do(b.tracker.apply_submit_failed("O-1", evidence, "no reply", b.now))


def seen(status: OrderStatus, **facts: object) -> Does:
    return lambda b: b.see(status, **{"filled": "0", "at": 5, **facts})


def looked(*answers: object, wait: int = 0, apart: int = 0) -> Does:
    """Look-ups asked so many seconds later and so many apart, answered at once; None is a failure."""

    def does(bench: Bench) -> None:
        bench.clock.advance(wait * S)
        for answer in answers:
            found = answer(bench) if callable(answer) else answer
            if found is None:
                bench.do(bench.tracker.apply_look_up_failed("O-1", bench.now))
            else:
                bench.do(bench.tracker.apply_look_up("O-1", found, bench.now))
            bench.clock.advance(apart * S)

    return does


def found(**facts: object) -> Callable[[Bench], Found]:
    return lambda b: Found(b.record(OPEN, source=Source.LOOKUP, **{"filled": "0", "at": 5, **facts}))


def both(*steps: Does) -> Does:
    return lambda b: [step(b) for step in steps]


ABSENT, UNSURE = NotFound(conclusive=True), NotFound(conclusive=False)

SUBMITS: dict[Fate, Does] = {
    Fate.LOCAL: lambda b: b.order(sent=False),
    Fate.FLYING: lambda b: b.order(),
    Fate.RECEIVED: lambda b: (b.order(), reply(Received(WireIds()))(b)),
    Fate.UNKNOWN: lambda b: (b.order(), failed(Evidence.MAYBE_SENT)(b)),
    Fate.SEEN: lambda b: (b.order(), seen(OPEN, at=1)(b)),
    Fate.REFUSED: lambda b: (b.order(), reply(REFUSED)(b)),
}
# Column by column: local, flying, received, unknown, seen, refused.
# What the engine hears: a(ccepted), c(anceled), f(illed), r(ejected), an alarm (!), or nothing (-).
SUBMIT_ROWS: list[Row] = [
    (
        Heard.SENT, lambda b: b.tracker.sending("O-1", WireIds(), b.now),
        "flying flying received unknown seen refused", "- - - - - -",
        "a second stamp follows a proof that the first had no effect; else no sending undoes what is known",
    ),
    (
        Heard.NOT_SENT, failed(Evidence.NOT_SENT),
        "refused refused received unknown seen refused", "r r - - - -",
        "nothing left, so nothing can happen: a proof, unless something had left or arrived before",
    ),
    (
        Heard.MAYBE_SENT, failed(Evidence.MAYBE_SENT),
        "unknown unknown received unknown seen refused", "- - - - - -",
        "no reply is no refusal; that the venue has it stays known",
    ),
    (
        Heard.RECEIVED, reply(Received(WireIds())),
        "received received received received seen refused", "- - - - - -",
        "a receipt is no acceptance: nothing is told",
    ),
    (
        Heard.REFUSED, reply(REFUSED),
        "refused refused received unknown seen refused", "r r - - - -",
        "a proof, unless the venue showed or acknowledged the order",
    ),
    (
        Heard.AMBIGUOUS, reply(Unknown("503")),
        "unknown unknown received unknown seen refused", "- - - - - -",
        "a breakdown, a limit, a duplicate id prove nothing",
    ),
    (
        Heard.UNDECIDED, seen(OrderStatus.SUBMITTED),
        "local received received received seen refused", "- - - - - -",
        "the venue has it; of what never left it cannot speak",
    ),
    (
        Heard.SHOWN, seen(OPEN), "seen seen seen seen seen seen", "a a a a - !",
        "open at the venue; after a rejection somebody must act",
    ),
    (
        Heard.SHOWN, lambda b: b.fill("t1", "0.400", at=5),
        "seen seen seen seen seen seen", "af af af af f !",
        "a fill is never withheld; the engine takes none of a rejected order, so somebody must act",
    ),
    (
        Heard.CLOSED, seen(CANCELED), "seen seen seen seen seen refused", "ac ac ac ac c -",
        "it was there and ended; after a rejection that is no news",
    ),
    (
        Heard.DECLINED, seen(CANCELED, refusal=True),
        "refused refused refused refused seen refused", "r r r r c -",
        "refused before it rested; what had rested was cancelled",
    ),
    (
        Heard.SILENT, looked(UNSURE, None, wait=LATE_S),
        "local flying received unknown seen refused", "- - - - - -",
        "a failed or inconclusive look-up proves nothing, however late",
    ),
    (
        Heard.DENIED_EARLY, looked(ABSENT, ABSENT, ABSENT, ABSENT),
        "local flying received unknown seen refused", "- - - - - -",
        "asked before the lists must show it; an order that was open and is denied is never ended by that",
    ),
    (
        Heard.DENIED_EARLY, looked(ABSENT, ABSENT, ABSENT, wait=LATE_S, apart=1),
        "local flying received unknown seen refused", "- - - - - -",
        "it may have ended just before it was denied first, and history may lag by five seconds",
    ),
    (
        Heard.DENIED, looked(ABSENT, ABSENT, wait=LATE_S, apart=5),
        "local flying received refused seen refused", "- - - r ! -",
        "a proof for what got no reply; a reply is waited for, and a receipt outweighs two denials",
    ),
    (
        Heard.DENIED_OFTEN, looked(ABSENT, ABSENT, ABSENT, wait=LATE_S, apart=3),
        "local flying refused refused seen refused", "- - r r ! -",
        "the third time in a row; what was open may have ended a moment ago, and history lags",
    ),
    (
        Heard.NAME_TAKEN, looked(found(vid="X7", quantity="9.000"), wait=LATE_S),
        "local flying refused refused - refused", "- - r r - -",
        "two orders of one id cannot both be open; what the venue showed as ours is ours under any id",
    ),
]  # fmt: skip

SENT_CANCEL: Does = lambda b: b.tracker.cancelling("O-1", b.now)  # noqa: E731


def named(bench: Bench) -> None:
    bench.order()
    bench.see(OPEN, filled="0", at=1)


def nameless(bench: Bench) -> None:
    bench.order()
    reply(Received(WireIds()))(bench)


def ask(bench: Bench) -> None:
    order = bench.delivery.orders["O-1"]
    if order.status is not OrderStatus.PENDING_CANCEL and order.status is not OrderStatus.SUBMITTED:
        bench.engine.pending_cancel(order)
    if (send := bench.tracker.want_cancel("O-1", bench.now)) is not None:
        bench.cancels.append(send.key)


def cancelled(outcome: object) -> Does:
    return lambda b: b.do(b.tracker.apply_cancel("O-1", outcome, b.now))


def cancel_failed(evidence: Evidence) -> Does:
    return lambda b: b.do(b.tracker.apply_cancel_failed("O-1", evidence, b.now))


LOST_CANCEL = cancel_failed(Evidence.MAYBE_SENT)
CANCELS: dict[Fate, Does] = {
    Fate.NONE: named,
    Fate.HELD: both(nameless, ask),
    Fate.LOCAL: both(named, ask),
    Fate.FLYING: both(named, ask, SENT_CANCEL),
    Fate.RECEIVED: both(named, ask, SENT_CANCEL, cancelled(Received(WireIds()))),
    Fate.UNKNOWN: both(named, ask, SENT_CANCEL, LOST_CANCEL),
}
NAMELESS: dict[Fate, Does] = {
    # Only a cancel of the whole market can cover an order whose id is not known.
    Fate.NONE: nameless,
    Fate.HELD: both(nameless, ask),
    Fate.FLYING: both(nameless, ask, SENT_CANCEL),
    Fate.RECEIVED: both(nameless, ask, SENT_CANCEL, cancelled(Received(WireIds()))),
    Fate.UNKNOWN: both(nameless, ask, SENT_CANCEL, LOST_CANCEL),
}
# Column by column: none, held, local, flying, received, unknown. x: a cancel is sent; R: told as rejected.
CANCEL_ROWS: list[Row] = [
    (
        Heard.ASKED, ask, "local - local flying local local", "x - - - x x",
        "one at a time on its way; one that was answered or lost may be repeated: an order is cancelled once",
    ),
    (
        Heard.ASKED_NAMELESS, ask, "held held - flying held held", "- - - - - -",
        "without the venue's id it cannot be written",
    ),
    (
        Heard.NAMED, seen(OPEN, at=2), "none local - flying received unknown", "- x - - - -",
        "the id is there: what was held goes out",
    ),
    (
        Heard.SENT, SENT_CANCEL, "none flying flying flying flying flying", "- - - - - -",
        "a cancel is on its way",
    ),
    (
        Heard.NOT_SENT, cancel_failed(Evidence.NOT_SENT),
        "none held unknown unknown unknown unknown", "- - - - - -",
        "it is sent again once a look-up shows the order open, not before: the order may have ended",
    ),
    (
        Heard.MAYBE_SENT, LOST_CANCEL, "none held unknown unknown unknown unknown", "- - - - - -",
        "no reply is no refusal",
    ),
    (
        Heard.RECEIVED, cancelled(Received(WireIds())), "none held received received received received",
        "- - - - - -", "queued is not cancelled",
    ),
    (
        Heard.REFUSED, cancelled(REFUSED), "none held none none none none", "- - R R R R",
        "a proof that it has no effect",
    ),
    (
        Heard.GONE, cancelled(GONE), "none held unknown unknown unknown unknown", "- - - - - -",
        "not open may mean filled, or not arrived yet",
    ),
    (
        Heard.AMBIGUOUS, cancelled(Unknown("429")), "none held unknown unknown unknown unknown",
        "- - - - - -", "it proves nothing",
    ),
    (
        Heard.SILENT, looked(None, found(), UNSURE), "none - local flying received unknown", "- - - - - -",
        "asked at once, an open order says nothing about a cancel that is under way",
    ),
    (
        Heard.OPEN_STILL, looked(found(), wait=LATE_S), "none - local flying local local", "- - - - x x",
        "it had no effect, and the strategy still wants it",
    ),
]  # fmt: skip


def change(bench: Bench) -> int:
    named(bench)
    bench.engine.pending_update(bench.delivery.orders["O-1"])
    return bench.tracker.want_modify("O-1", None, Price.from_str("101.0"), None, bench.now)


def changed(outcome: object) -> Does:
    return lambda b: b.do(b.tracker.apply_modify("O-1", 1, outcome, b.now))


def change_failed(evidence: Evidence) -> Does:
    return lambda b: b.do(b.tracker.apply_modify_failed("O-1", 1, evidence, "no reply", b.now))


SENT_CHANGE: Does = lambda b: b.tracker.modifying("O-1", 1, b.now)  # noqa: E731
CHANGES: dict[Fate, Does] = {
    Fate.LOCAL: change,
    Fate.FLYING: both(change, SENT_CHANGE),
    Fate.RECEIVED: both(change, SENT_CHANGE, changed(Received(WireIds()))),
    Fate.UNKNOWN: both(change, SENT_CHANGE, changed(Unknown("503"))),
}
# Column by column: local, flying, received, unknown; `none` is ended. M: told as rejected.
CHANGE_ROWS: list[Row] = [
    (Heard.SENT, SENT_CHANGE, "flying flying flying flying", "- - - -", "on its way"),
    (
        Heard.NOT_SENT, change_failed(Evidence.NOT_SENT), "none none none none", "M M M M",
        "nothing left: the order is as it was",
    ),
    (
        Heard.MAYBE_SENT, change_failed(Evidence.MAYBE_SENT), "unknown unknown unknown unknown", "- - - -",
        "no reply is no refusal",
    ),
    (
        Heard.RECEIVED, changed(Received(WireIds())), "received received received received", "- - - -",
        "the venue has not decided",
    ),
    (Heard.REFUSED, changed(REFUSED), "none none none none", "M M M M", "a proof"),
    (
        Heard.GONE, changed(GONE), "unknown unknown unknown unknown", "- - - -",
        "the order may be filled or replaced",
    ),
    (Heard.AMBIGUOUS, changed(Unknown("?")), "unknown unknown unknown unknown", "- - - -", "no proof"),
    (
        Heard.SILENT, looked(found(price="100.0"), None), "local flying received unknown", "- - - -",
        "asked at once, the old values say nothing",
    ),
    (
        Heard.OPEN_STILL, looked(found(price="100.0"), wait=LATE_S), "local flying none none", "- - M M",
        "the old values are still there: it was not applied",
    ),
]  # fmt: skip


def cells(starts: dict[Fate, Does], rows: list[Row]) -> list[object]:
    made = []
    for place, (heard, does, fates, sees, why) in enumerate(rows):
        for start, fate, sight in zip(starts, fates.split(), sees.split(), strict=True):
            if fate != "-":
                name = f"{heard.name}{place}-{start.name}"
                made.append(pytest.param(heard, does, start, Fate[fate.upper()], sight, why, id=name))
    return made


WORDS = {"a": "accepted", "c": "canceled", "f": "filled 0.400@100.0 t1", "r": "rejected"}


@pytest.mark.parametrize(("heard", "does", "start", "fate", "sight", "why"), cells(SUBMITS, SUBMIT_ROWS))
def test_a_submit(heard: Heard, does: Does, start: Fate, fate: Fate, sight: str, why: str) -> None:
    bench = Bench()
    SUBMITS[start](bench)
    order = bench.tracker.get("O-1")
    assert order.fate is start
    before = len(bench.events())
    does(bench)
    assert order.fate is fate, why
    if start is Fate.REFUSED and "!" in sight:
        assert len(bench.engine.violations) == len(order.waiting), "not taken: kept, and offered again"
        bench.engine.violations.clear()
    assert bench.events()[before:] == [WORDS[word] for word in sight if word in WORDS], why
    assert bool(bench.engine.alarms) == ("!" in sight), why
    bench.look_ups.clear()
    bench.wait(LATE_S)
    asked = "O-1" in {one.key for one in bench.look_ups}
    assert asked == (fate in (Fate.RECEIVED, Fate.UNKNOWN)), "what is open is asked about"


def cancel_start(heard: Heard, start: Fate) -> Does:
    return NAMELESS[start] if heard in (Heard.ASKED_NAMELESS, Heard.NAMED) else CANCELS[start]


@pytest.mark.parametrize(("heard", "does", "start", "fate", "sight", "why"), cells(CANCELS, CANCEL_ROWS))
def test_a_cancel(heard: Heard, does: Does, start: Fate, fate: Fate, sight: str, why: str) -> None:
    bench = Bench(cancel_needs_venue_id=True)
    cancel_start(heard, start)(bench)
    order = bench.tracker.get("O-1")
    assert (order.cancel.fate if order.cancel else Fate.NONE) is start
    before = len(bench.cancels)
    does(bench)
    assert (order.cancel.fate if order.cancel else Fate.NONE) is fate, why
    assert len(bench.cancels) - before == (sight == "x"), why
    assert ("cancel_rejected" in bench.events()) == (sight == "R"), why


@pytest.mark.parametrize(("heard", "does", "start", "fate", "sight", "why"), cells(CHANGES, CHANGE_ROWS))
def test_a_modify(heard: Heard, does: Does, start: Fate, fate: Fate, sight: str, why: str) -> None:
    bench = Bench()
    CHANGES[start](bench)
    order = bench.tracker.get("O-1")
    assert order.modifies[0].fate is start
    does(bench)
    assert (order.modifies[0].fate if order.modifies else Fate.NONE) is fate, why
    assert ("modify_rejected" in bench.events()) == (sight == "M"), why


@pytest.mark.parametrize(
    ("table", "starts", "rows"),
    [(SUBMIT, SUBMITS, SUBMIT_ROWS), (CANCEL, CANCELS, CANCEL_ROWS), (MODIFY, CHANGES, CHANGE_ROWS)],
    ids=["submit", "cancel", "modify"],
)
def test_every_row_is_walked(table: Table, starts: dict[Fate, Does], rows: list[Row]) -> None:
    assert tuple(starts) == table.fates
    assert {row[0] for row in rows} == set(table.steps)
    for heard, steps in table.steps.items():
        assert tuple(steps) == table.fates, f"{heard.name} has a cell for every fate"
