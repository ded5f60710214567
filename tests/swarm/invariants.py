"""The invariants I1 to I18 of the conformance specification as checks over `Facts`.

Every check yields one sentence for each violation, with the facts that show it. What cannot be seen here:

- I12: file descriptors and threads. Over pipes in memory there are none; the tests of the transports count
  them. Here: tasks, timers and warnings of the client that was stopped.
- I14: process arguments. This process gets no key by argument; `tests/unit/host/test_secrets.py` holds how
  keys come in. Here: logs, journal, reasons, alarms, and every byte that left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise

from evidence import GONE, PROVES_NOTHING, TOKEN, Claim, read
from facts import Facts, Row
from history import Line

from venuekit.cli.audit import OPEN

ENDS = {"CANCELED", "EXPIRED", "FILLED", "REJECTED", "DENIED", "VOIDED"}
WAITING = ("INITIALIZED", "SUBMITTED", "PENDING_CANCEL", "PENDING_UPDATE")
QUIET_SECS = 60
AHEAD_NS = 5_000_000_000
"""Event times may be so far ahead of the venue's clock: nothing here makes them."""
HARMLESS = {"cancel_ignored", "fills_missing"}
"""Alarms that say what is true under faults, and that later events take back: several cancels of an order
were lost in a row; a fill that an order claims could not be read for half a minute (I1 sees one that never
comes)."""


def check(facts: Facts) -> list[str]:
    """Every violation, the invariant's name first."""
    return [f"{name}: {text}" for name, look in CHECKS.items() for text in look(facts)]


# --- fills, positions, orders


def _told_fills(facts: Facts) -> Iterator[tuple[Line, Row]]:
    for line in facts.history.of("told"):
        for fill in line.about.get("fills", ()):
            yield line, fill


def _same_fill(told: Row, true: Row) -> bool:
    numbers = all(Decimal(str(told[one])) == Decimal(str(true[one])) for one in ("quantity", "price", "fee"))
    texts = all(told[one] == true[one] for one in ("market", "side", "fee_currency"))
    # A transfer has no side of liquidity; this venue writes TAKER for it.
    liquidity = "TAKER" if true["liquidity"] == "NONE" else true["liquidity"]
    return numbers and texts and told["liquidity"] == liquidity


def i01(facts: Facts) -> Iterator[str]:
    """Every fill of the ledger was told, exactly, under its order, and no other."""
    true = {str(row["id"]): row for row in facts.fills if not row.get("busted")}
    told = {str(fill["trade_id"]): (line, fill) for line, fill in _told_fills(facts)}
    for trade in sorted(true.keys() - told.keys()):
        yield f"fill {trade} of {true[trade]['client_id']} was never told: {true[trade]}"
    for trade in sorted(told.keys() - {str(row["id"]) for row in facts.fills}):
        yield f"fill {trade} is in no ledger: {told[trade][1]}"
    for trade in sorted(true.keys() & told.keys()):
        line, fill = told[trade]
        if not _same_fill(fill, true[trade]) or not _names(str(line.of("name")), true[trade]):
            yield f"fill {trade} was told as {line.of('name')} {fill}, true is {true[trade]}"
    believed = Counter(one.trade_id for one in facts.belief.fills)
    if set(believed) != set(true):
        yield f"the engine has other fills than the ledger: {sorted(set(believed) ^ set(true))}"
    filled: dict[str, Decimal] = {}
    for one in facts.belief.fills:
        filled[one.client_order_id] = filled.get(one.client_order_id, Decimal(0)) + one.quantity
    for order in facts.belief.orders:
        if order.filled != filled.get(order.client_order_id, 0):
            yield f"{order.client_order_id} is filled {order.filled}, its fills make {filled}"


def _names(name: str, fill: Row) -> bool:
    """The engine's name of the fill's order; what no order made is named after the fill alone."""
    if not fill["order_id"]:
        return name.startswith("PARADEX-") and name.endswith(f"-{fill['id']}")
    return name in (fill["client_id"], f"PARADEX-{fill['order_id']}")


def i02(facts: Facts) -> Iterator[str]:
    """Within a run no fill is told twice; after a restart none again that an earlier run was told.

    The mass status of a new run repeats all that was, and what its stream told meanwhile: it is a state, not
    news, and the engine takes a fill of it by its id. What is told after it, is news.
    """
    ever: set[str] = set()
    void: set[str] = set()
    for line in facts.history.of("told"):
        for fill in line.about.get("fills", ()):
            trade = str(fill["trade_id"])
            if trade in ever and not line.of("mass"):
                yield f"fill {trade} of {line.of('name')} was told again at line {line.at}"
            if trade in void:
                yield f"fill {trade} of {line.of('name')} was told at line {line.at}, after it was void"
            ever.add(trade)
        if line.of("event") == "fill_voided":
            trade = str(line.of("trade_id"))
            if trade in void:
                yield f"fill {trade} of {line.of('name')} was voided again at line {line.at}"
            void.add(trade)


def i03(facts: Facts) -> Iterator[str]:
    """Positions are the same."""
    mine = {market: Decimal(size) for market, size in facts.belief.positions.items()}
    true = {market: Decimal(size) for market, size in facts.positions.items()}
    for market in sorted(mine.keys() | true.keys()):
        have, want = mine.get(market, Decimal(0)), true.get(market, Decimal(0))
        if have != want:
            yield f"position of {market}: the engine has {have}, the ledger {want}"


def _name(row: Row) -> str:
    return str(row["client_id"]) or f"PARADEX-{row['id']}"


def i04(facts: Facts) -> Iterator[str]:
    """Open here is open there, and the reverse."""
    open_there = {_name(row) for row in facts.orders if row["status"] in OPEN}
    open_here = {name for name, status in facts.statuses.items() if status not in (*ENDS, "INITIALIZED")}
    for name in sorted(open_there - open_here):
        yield f"{name} is open at the venue, here {facts.statuses.get(name, 'unknown')}"
    for name in sorted(open_here - open_there):
        rows = [row["status"] for row in facts.orders if _name(row) == name]
        yield f"{name} is {facts.statuses[name]} here, at the venue {rows or 'unknown'}"


# --- outcomes


def i05(facts: Facts) -> Iterator[str]:
    """Every end had its proof first, and every fill that was voided."""
    ended: set[str] = set()
    for claim in read(facts.history).claims:
        line = claim.line
        name, event = str(line.of("name")), line.of("event")
        if event == "rejected":
            yield from _rejected(facts, claim, name)
        elif event == "report" and line.of("status") in ("CANCELED", "EXPIRED") and name not in ended:
            if not claim.closed:
                yield f"{name} was told {line.of('status')} at line {line.at}, and nothing had said so"
        elif event == "cancel_rejected":
            raw = {name, *(row["id"] for row in facts.orders if row["client_id"] == name)}
            codes = [code for one in (*raw, "*") for code in claim.cancel_errors.get(str(one), [])]
            if name not in ended and not [one for one in codes if one not in PROVES_NOTHING | GONE]:
                yield f"the cancel of {name} was told refused at line {line.at} without a refusal: {codes}"
        elif event == "fill_voided" and not claim.busted:
            yield f"fill {line.of('trade_id')} was voided at line {line.at}, and nothing had said so"
        elif event == "modify_rejected":
            yield f"{name}: no change was ever asked for, and one was told refused"
        if event == "rejected" or (event == "report" and line.of("status") in ENDS):
            ended.add(name)


def _rejected(facts: Facts, claim: Claim, name: str) -> Iterator[str]:
    line = claim.line
    rows = [row for row in facts.orders if row["client_id"] == name]
    if any(Decimal(str(row["filled"])) or row["status"] in OPEN for row in rows):
        yield f"{name} was told rejected at line {line.at}, and the venue has it: {rows}"
        return
    if not claim.sends or claim.unfilled:
        return  # nothing left, or the venue said closed and unfilled
    if claim.error is not None and claim.error not in PROVES_NOTHING:
        return
    if not rows and {"orders", "orders_history", "fills"} <= claim.absent:
        return
    yield (
        f"{name} was told rejected at line {line.at} ({line.of('reason')}) without proof: "
        f"reply {claim.error}, absent in {sorted(claim.absent)}, venue {rows}"
    )


_LIFE: Mapping[str, tuple[str, ...]] = {
    "": ("denied", "submitted", "ACCEPTED"),
    "submitted": ("rejected", "ACCEPTED"),
    "ACCEPTED": ("ACCEPTED", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"),
    "PARTIALLY_FILLED": ("PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"),
    # Late fills come with the status that the order has.
    "FILLED": ("FILLED",),
    "VOIDED": ("VOIDED",),
    # A fill of an open order was taken back, perhaps its only one.
    "open, less filled": ("ACCEPTED", "PARTIALLY_FILLED", "FILLED", "VOIDED", "CANCELED", "EXPIRED"),
    "CANCELED": ("CANCELED", "FILLED"),
    "EXPIRED": ("EXPIRED", "FILLED"),
    "denied": (),
    # Asked for an order that ended, a client says so once more.
    "rejected": ("REJECTED",),
    "REJECTED": ("REJECTED",),
}
"""What may follow what, in the words of the sink; from the state diagram of Nautilus's orders."""


def i06(facts: Facts) -> Iterator[str]:
    """Nautilus's own orders took every event, and each order's events follow the diagram."""
    yield from facts.violations
    last: dict[str, str] = {}
    for line in facts.history.of("told", "begin"):
        if line.what == "begin":
            last = {}
            continue
        event, name = str(line.of("event")), str(line.of("name"))
        word = str(line.of("status")) if event == "report" else event
        before = last.get(name, "")
        if event == "fill_voided":
            last[name] = {"FILLED": "VOIDED", "PARTIALLY_FILLED": "open, less filled"}.get(before, before)
        if event not in ("report", "denied", "submitted", "rejected"):
            continue
        if line.of("mass"):
            last[name] = word  # a first report of whatever there is
            continue
        # An order of somebody else has no submit; one of an earlier run had it there.
        if word not in _LIFE[before]:
            yield f"{name}: {word} at line {line.at} after {before or 'nothing'}"
        last[name] = word


def i07(facts: Facts) -> Iterator[str]:
    """One order for one client id; new orders leave once, and again only after the token was refused."""
    for name, count in Counter(str(row["client_id"]) for row in facts.orders if row["client_id"]).items():
        if count > 1:
            yield f"{name} exists {count} times at the venue"
    arrived = _arrived(facts)
    for name, creates in read(facts.history).heard.creates.items():
        for one, following in pairwise(creates):
            proven = one.error in TOKEN and (one.answered_at or 0) < following.line.at
            if not proven:
                yield f"{name} was sent again at line {following.line.at}; before: {one.error}"
        if arrived[name] > len(creates):
            yield f"{name} reached the venue {arrived[name]} times and was sent {len(creates)} times"


_CLIENT_ID = re.compile('"client_id":"([^"]*)"')


def _arrived(facts: Facts) -> Counter[str]:
    """How often a new order reached the venue, by client id."""
    found: Counter[str] = Counter()
    for text in facts.requests:
        if '"order.create"' in text or text.startswith("POST /v1/orders"):
            found.update(set(_CLIENT_ID.findall(text)))
    return found


def i08(facts: Facts) -> Iterator[str]:
    """What was denied never touched the wire."""
    denied = {str(line.of("name")) for line in facts.history.of("told") if line.of("event") == "denied"}
    if not denied:
        return
    creates, arrived = read(facts.history).heard.creates, _arrived(facts)
    for name in sorted(denied):
        if creates.get(name) or arrived[name]:
            yield f"{name} was denied and is on the wire"
        if any(row["client_id"] == name for row in facts.orders):
            yield f"{name} was denied and exists at the venue"


# --- market data and times


def i09(facts: Facts) -> Iterator[str]:
    """Every published book was the venue's at its number; at rest it is the venue's now."""
    yield from facts.wrong_books
    for market, (mine, true) in facts.books.items():
        if mine != true:
            yield f"{market}: the book here is {mine}, the venue's {true}"
        bids, asks = mine
        prices = [price for price, _ in bids], [price for price, _ in asks]
        if prices[0] != sorted(prices[0], reverse=True) or prices[1] != sorted(prices[1]):
            yield f"{market}: levels out of order: {mine}"
        if any(size <= 0 for _, size in (*bids, *asks)):
            yield f"{market}: a level without size: {mine}"
        if bids and asks and bids[0][0] >= asks[0][0]:
            yield f"{market}: crossed: {bids[0]} {asks[0]}"


def i10(facts: Facts) -> Iterator[str]:
    """Init times never go back in a stream; event times are the venue's, in nanoseconds, and not ahead."""
    newest: dict[str, int] = {}
    for line in facts.history.of("told", "data", "begin"):
        if line.what == "begin":
            newest = {}
            continue
        stream = str(line.of("stream") or line.of("event"))
        init, event = line.of("ts_init"), line.of("ts_event")
        if isinstance(init, int):
            if init < newest.get(stream, 0):
                yield f"{stream}: init time {init} at line {line.at} after {newest[stream]}"
            newest[stream] = init
        events = [event] if line.what == "data" or line.of("event") in ("report", "account") else []
        events += [fill["ts_event"] for fill in line.about.get("fills", ())]
        first, last = facts.start_ns - AHEAD_NS, line.wall_ns + AHEAD_NS
        for moment in events:
            if not isinstance(moment, int) or not first <= moment <= last:
                yield f"{stream}: event time {moment} at line {line.at}, when the venue had {line.wall_ns}"


def i11(facts: Facts) -> Iterator[str]:
    """Numbers on the wire are the text of the strategy's own, and never a JSON fraction."""
    for line in facts.history.of("out", "request"):
        said = line.json
        if not isinstance(said, Mapping):
            continue
        if (path := _fraction(said)) is not None:
            yield f"a fraction leaves at line {line.at}: {path}"
        body = said.get("params") if line.what == "out" else said
        if not isinstance(body, Mapping) or (line.what == "out" and said.get("method") != "order.create"):
            continue
        name = str(body.get("client_id"))
        if name in facts.limits and "size" in body:
            sent = (body["size"], body.get("price"))
            if sent != facts.limits[name]:
                yield f"{name}: {sent} left, the order says {facts.limits[name]}"
    for row in facts.orders:
        if (name := str(row["client_id"])) in facts.limits:
            quantity, price = facts.limits[name]
            there = (Decimal(str(row["quantity"])), row["price"] and Decimal(str(row["price"])))
            if there != (Decimal(quantity), price and Decimal(price)):
                yield f"{name}: the venue has {there}, the order says {(quantity, price)}"


def _fraction(value: object, path: str = "") -> str | None:
    if isinstance(value, float):
        return f"{path} = {value}"
    items = value.items() if isinstance(value, Mapping) else ()
    items = enumerate(value) if isinstance(value, list) else items
    return next((found for key, one in items if (found := _fraction(one, f"{path}.{key}"))), None)


# --- hygiene


def i12(facts: Facts) -> Iterator[str]:
    """Nothing is left of a client that was stopped."""
    yield from facts.left
    if facts.counters.get("tasks.crashed"):
        yield f"{facts.counters['tasks.crashed']} background tasks crashed"


def i13(facts: Facts) -> Iterator[str]:
    """The venue's meter saw no breach."""
    if facts.breaches:
        yield f"{len(facts.breaches)} requests were over a limit: {facts.breaches[:5]}"


def i14(facts: Facts) -> Iterator[str]:
    """No secret in what people read or what is kept; the key not even on the wire."""
    key = facts.secrets[:1]
    tokens = [str(row["jwt_token"]) for row in _bodies(facts, "auth") if row.get("jwt_token")]
    written = [("log", text) for text in facts.logs] + [("journal", facts.journal)]
    for line in facts.history.of("told", "alarm"):
        written.append((line.what, f"{line.of('reason')} {line.of('why')}"))
    for secret in (*facts.secrets, *tokens):
        for where, text in written:
            if secret in text:
                yield f"a secret of {len(secret)} characters stands in the {where}"
    for line in facts.history.of("out", "request"):
        text = line.text if isinstance(line.text, str) else line.text.decode("latin-1")
        if any(secret in text for secret in key):
            yield f"the key leaves at line {line.at}"


def _bodies(facts: Facts, op: str) -> Iterator[Mapping[str, object]]:
    for line in facts.history.of("reply"):
        if line.of("op") == op and isinstance(line.json, Mapping):
            yield line.json


def i15(facts: Facts) -> Iterator[str]:
    """At rest within a minute of the last fault's end."""
    if facts.lifted_ns is None:
        return
    if facts.quiet_ns is None:
        yield f"not at rest within {QUIET_SECS} s of the last fault's end"
    elif facts.quiet_ns - facts.lifted_ns > QUIET_SECS * 1_000_000_000:
        yield f"at rest after {(facts.quiet_ns - facts.lifted_ns) / 1e9:.1f} s"


_FATES = ("frames.handled", "frames.stale", "frames.undecodable", "frames.failed")


def i16(facts: Facts) -> Iterator[str]:
    """Every delivered frame is counted, once as come and once as what became of it; odd kinds are logged."""
    counted = facts.counters.get("frames.in", 0)
    fates = sum(facts.counters.get(name, 0) for name in _FATES)
    begins = [line.at for line in facts.history.of("begin")]
    since = facts.history.lines[begins[-1] if begins else 0 :]
    # What comes out of a connection of an earlier process is nobody's.
    ours = {line.number for line in since if line.what == "open"}
    came = sum(1 for line in since if line.what == "in" and line.number in ours)
    if counted != fates:
        yield f"{counted} frames came, {fates} were accounted for"
    if counted > came or (facts.final and counted != came):
        yield f"{came} frames were delivered, {counted} counted"
    for name in facts.counters:
        kind = name.removeprefix("quarantined.")
        if name != kind and not any(kind in text for text in facts.logs):
            yield f"{name} is counted and no line of the log names it"


def i17(facts: Facts) -> Iterator[str]:
    """Balances and margins are the ledger's; total = free + locked."""
    rows = [line for line in facts.history.of("told", "begin") if line.of("event") in ("account", None)]
    if not rows or rows[-1].what == "begin":
        yield "no account state was ever told"
        return
    for line in rows:
        for one in line.about.get("balances", ()):
            if Decimal(one["total"]) != Decimal(one["free"]) + Decimal(one["locked"]):
                yield f"{one} at line {line.at}: total is not free + locked"
    last = rows[-1]
    mine = {one["currency"]: Decimal(one["total"]) for one in last.about["balances"]}
    true = {currency: Decimal(total) for currency, total in facts.totals.items()}
    if mine != true:
        yield f"balances: the engine has {mine}, the ledger {true}"
    for held in last.about.get("margins", ()):
        if [Decimal(one.split(" ")[0].replace("_", "")) for one in held] != [*map(Decimal, facts.margin)]:
            yield f"margins: the engine has {held}, the ledger {facts.margin}"


def i18(facts: Facts) -> Iterator[str]:
    """Every command has an answer, or is visibly on its way; at rest none is."""
    told: dict[str, list[Line]] = {}
    for line in facts.history.of("told"):
        told.setdefault(str(line.of("name")), []).append(line)
    begun = max((line.at for line in facts.history.of("begin")), default=0)
    for line in facts.history.of("command"):
        name = str(line.of("name"))
        if line.at < begun and line.of("kind") == "cancel":
            continue  # a process that died with it may have forgotten it
        after = [one for one in told.get(name, ()) if one.at > line.at]
        if line.of("kind") == "submit" and not after:
            yield f"the submit of {name} has no answer"
        done = [one for one in told.get(name, ()) if _ends(one)]
        if line.of("kind") == "cancel" and not done and not after:
            yield f"the cancel of {name} at line {line.at} has no answer"
    waiting = {
        name: status
        for name, status in facts.statuses.items()
        if status in WAITING[1:] or (status == "INITIALIZED" and not told.get(name))
    }
    if waiting:
        yield f"at rest, and in flight: {waiting}"
    if facts.unresolved:
        yield f"at rest, and {facts.unresolved} orders have no proven outcome"


def _ends(line: Line) -> bool:
    return line.of("event") in ("denied", "rejected", "cancel_rejected") or line.of("status") in ENDS


def at_once(facts: Facts) -> Iterator[str]:
    """What a live stream says of an order is told at once: no comparison is waited for.

    Of the end of an order without a fill nothing can be missing, so that is looked at.
    """
    for line, name in read(facts.history).late:
        yield f"the end of {name} was on the stream at line {line.at}, and was not told at once"


def alarms(facts: Facts) -> Iterator[str]:
    """No alarm: faults of the transport explain themselves.

    Of a fill that was taken back before it was told a person must hear, and of no other.
    """
    told: set[str] = set()
    for line in facts.history.of("told", "alarm"):
        told.update(str(fill["trade_id"]) for fill in line.about.get("fills", ()))
        why = str(line.of("why"))
        if line.what == "told" or line.of("kind") in HARMLESS:
            continue
        if line.of("kind") == "void_without_order" and not any(trade in why for trade in told):
            continue
        yield f"{line.of('kind')}: {why}"


CHECKS: Mapping[str, Callable[[Facts], Iterator[str]]] = {
    **{f"I{n}": look for n, look in enumerate(
        (i01, i02, i03, i04, i05, i06, i07, i08, i09, i10, i11, i12, i13, i14, i15, i16, i17, i18), start=1
    )},
    "at once": at_once,
    "alarm": alarms,
}
