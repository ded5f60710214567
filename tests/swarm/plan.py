"""What happens in one run, drawn from a seed: faults, the market, the strategy. Data only.

Times are milliseconds of the script, which stands still while a quiescent point is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from attrs import frozen

LENGTH_MS = 600_000
ORDERS = 100
FEWEST, MOST = 5, 20
FILES = 4
"""Every so many seeds the journal is a file."""
QUIET_MS = (200_000, 400_000)
"""Everything is lifted and checked at these moments, and at the end."""

KINDS = tuple(f"F{number:02d}" for number in range(1, 25))
CUTS = tuple(f"C{number}" for number in range(1, 13))
CANNOT: Mapping[str, str] = {
    "C9": "the client changes no orders yet, so no modify is ever sent",
}
"""What no run can hit, and why."""

MOVES = ("external", "bust", "deposit", "transfer", "liquidate", "restart on a file")
"""What befalls the account and the process beside the faults; each must have happened in some seed."""

MARKETS = ("BTC-USD-PERP", "ETH-USD-PERP")
SIZES = {"BTC-USD-PERP": ("0.001", "0.003", "0.01"), "ETH-USD-PERP": ("0.02", "0.05", "0.2")}

type Facts = Mapping[str, object]


@frozen
class Act:
    """Something the strategy or the market does. `about` is read by whoever carries it out."""

    at_ms: int
    what: str
    about: Facts


@frozen
class Fault:
    """One fault: armed at `at_ms`."""

    at_ms: int
    kind: str
    about: Facts
    drops: bool = False
    """Every stream is reset as well, so that there is something to connect."""


@frozen
class Plan:
    """A whole run."""

    seed: int
    route: str
    venue: Mapping[str, str]
    """Options of the simulator: how long it decides, how far its history trails."""
    kinds: tuple[str, ...]
    """Fault kinds that may occur."""
    faults: tuple[Fault, ...]
    market: tuple[Act, ...]
    strategy: tuple[Act, ...]
    sbe: bool
    """Streams are asked for as SBE; what of them the venue then serves as SBE is among its options."""
    journal: str
    """`file`: the product's own journal, opened anew by every process; `memory`: one object for all."""
    restarts: tuple[int, ...]
    """Moments at which the client is stopped and started again, while faults may be armed (C10, C12)."""

    @property
    def timeline(self) -> Sequence[Act | Fault]:
        """Everything in the order of its time."""
        again = [Act(at_ms, "restart", {}) for at_ms in self.restarts]
        return sorted((*self.faults, *self.market, *self.strategy, *again), key=lambda one: one.at_ms)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"swarm {seed}")
    kinds = KINDS
    if seed % 2:
        kinds = tuple(random.sample(KINDS, random.randint(3, 12)))
    route = random.choice(("ws", "ws", "rest"))
    restarts = [random.randrange(5_000, LENGTH_MS) for _ in range(random.choice((0, 0, 1, 2)))]
    aimed = _aimed(random, CUTS[seed // 2 % len(CUTS)], kinds, route)
    if aimed is not None and aimed.about["trigger"]["cut"] in ("C10", "C11", "C12"):
        restarts.append(aimed.at_ms + 100)
    count = random.randint(FEWEST, MOST) - (aimed is not None)
    sbe, private_sbe = _encoding(seed)
    faults = [_fault(random, random.choice(kinds)) for _ in range(count)]
    return Plan(
        seed=seed,
        route=route,
        venue={**_pace(random), "private_sbe": private_sbe, "list_busted": ("false", "true")[seed // 4 % 2]},
        kinds=tuple(sorted(kinds)),
        faults=tuple(faults if aimed is None else [*faults, aimed]),
        market=(*_market(random), *_account(seed)),
        strategy=_strategy(random),
        sbe=sbe,
        journal="memory" if seed % FILES else "file",
        restarts=tuple(sorted(restarts)),
    )


# --- faults

ORDER_FRAMES = '*"order.*'
ORDER_REPLIES = "reply:order.*"
_PAUSES = ("1", "5", "30", "0", "-1", "soon", "")
"""None longer than what counts as rest: a venue that says an hour is obeyed for longer than that."""
_BROKEN = (
    {"status": 500, "body": '{"error":"INTERNAL_ERROR","message":"planted"}'},
    {"status": 502, "body": "<html><body>bad gateway</body></html>", "content_type": "text/html"},
    {"status": 503, "body": ""},
    {"status": 503, "body": '{"error":"SERVICE_UNAVAILABLE","message":"planted"}'},
)
_STREAMS = ("orders.*", "fills.*", "order_book.*", "account*", "*")
_OF_ORDERS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")
_OF_ANSWERS = ("C2", "C3", "C10", "C11", "C12")
_LABELS: Mapping[str, Sequence[str]] = {
    "C1": (ORDER_FRAMES, "POST /v1/orders", "DELETE *"),
    "C2": (ORDER_FRAMES, "POST /v1/orders", "DELETE *", "GET /v1/orders*"),
    "C3": ("POST /v1/orders", "DELETE *", "GET /v1/orders*"),
    "C4": (ORDER_REPLIES, ORDER_REPLIES, "POST /v1/orders", "GET /v1/fills"),
}
"""Cut points are passed by everything on the wire; these passings are those of an order."""


def _fault(random: Random, kind: str) -> Fault:
    make = _MAKE.get(kind, _harness)
    made = make(random, kind)
    return Fault(random.randrange(1_000, LENGTH_MS - 1_000), kind, **made)


def _at_cut(random: Random, cuts: Sequence[str]) -> Facts:
    """A trigger at the next passing of a cut point, or one soon after."""
    cut = random.choice(cuts)
    label = random.choice(_LABELS.get(cut, ("*",)))
    return {"trigger": {"cut": cut, "n": random.choice((1, 1, 2, 3))}, "label": label}


def _encoding(seed: int) -> tuple[bool, str]:
    """Half of the seeds have SBE throughout; the others SBE for market data only, or JSON throughout."""
    random = Random(f"encoding {seed}")
    return random.choice(((True, "true"), (True, "true"), (True, "false"), (False, "false")))


def _pace(random: Random) -> Mapping[str, str]:
    """A quick venue or a slow one; its history trails by less than the manifest allows."""
    return {
        "risk_delay_ms": random.choice(("5", "5", "80", "400")),
        "cancel_delay_ms": random.choice(("5", "5", "80", "400")),
        "history_lag_ms": random.choice(("0", "0", "700", "3000")),
    }


def _aimed(random: Random, cut: str, kinds: Sequence[str], route: str) -> Fault | None:
    """One fault at the cut point whose turn it is, where it and the kinds of the seed allow it."""
    fitting = [kind for kind in _AT_CUT.get(cut, ()) if kind in kinds]
    if not fitting:
        return None
    kind = random.choice(fitting)
    labels = {
        ("C1", "ws"): ORDER_FRAMES,
        ("C2", "ws"): ORDER_FRAMES,
        ("C4", "ws"): ORDER_REPLIES,
        ("C11", "ws"): "GET *",
        ("C11", "rest"): "GET *",
    }
    rest = "POST /v1/orders" if cut in ("C1", "C2", "C4") else "*"
    about: dict[str, object] = {
        "trigger": {"cut": cut, "n": random.choice((1, 2))},
        "label": labels.get((cut, route), rest),
        "delay_ms": random.choice((100, 2_000)),
        "keep_bytes": 9,
        "status": 429 if kind == "F18" else 503,
    }
    if cut == "C3":
        about["label"] = "POST /v1/orders" if route == "rest" else "GET *"
    # Histories of several pages need orders that have ended.
    at_ms = random.randrange(QUIET_MS[1] if cut == "C11" else 5_000, LENGTH_MS - 30_000)
    return Fault(at_ms, kind, about)


_AT_CUT: Mapping[str, Sequence[str]] = {
    "C1": ("F05", "F24"),
    "C2": ("F05", "F24"),
    "C3": ("F05", "F18", "F19", "F20", "F24"),
    "C4": ("F05", "F12", "F24"),
    **dict.fromkeys(("C5", "C6", "C7", "C8"), ("F05", "F06", "F24")),
    "C10": ("F05", "F18", "F19", "F20", "F24"),
    "C11": ("F05", "F18", "F19", "F20", "F24"),
    "C12": ("F05", "F18", "F19", "F20"),
}


def _lasts(random: Random) -> int:
    return random.choice((500, 2_000, 5_000, 15_000, 30_000))


def _when(random: Random) -> Facts:
    return random.choice(({"nth": 1}, {"nth": random.randint(2, 5)}, {"chance": random.choice((0.1, 0.3))}))


def _unreachable(random: Random, kind: str) -> dict[str, object]:
    """Nobody gets through for a while."""
    about = {"trigger": {"after_ms": 0}, "lasts_ms": _lasts(random)}
    if kind != "F01":
        about["trigger"] = {"nth": 1}
    return {"about": about, "drops": True}


def _breaks(random: Random, kind: str) -> dict[str, object]:
    """A reset or a close: at a time, at a cut point, at a frame."""
    about: dict[str, object] = {}
    if kind == "F06":
        about = {"code": random.choice((1000, 1001, 1008, 1011, 1012, 1013)), "reason": "planted"}
    draw = random.random()
    if draw < 0.2:
        return {"about": {**about, "trigger": {"after_ms": 0}}}
    if draw < 0.8:
        cuts = ("C2", "C5", "C6", "C7", "C8") if kind == "F06" else (*_OF_ORDERS, *_OF_ANSWERS)
        return {"about": {**about, **_at_cut(random, cuts)}}
    where = {"trigger": {"nth": random.randint(1, 4)}, "label": ORDER_FRAMES, "points": ["in"]}
    return {"about": {**about, **where}}


def _silence(random: Random, kind: str) -> dict[str, object]:
    about = {"trigger": {"after_ms": 0}, "lasts_ms": random.choice((2_000, 10_000, 30_000, 60_000))}
    return {"about": about}


def _latency(random: Random, kind: str) -> dict[str, object]:
    points, label = random.choice(((["out"], "*"), (["in"], ORDER_FRAMES), (["request"], "GET *")))
    about = {
        "trigger": {"chance": random.choice((0.05, 0.3))},
        "points": points,
        "label": label,
        "delay_ms": random.choice((1, 50, 500)),
        "jitter_ms": random.choice((20, 1_000)),
    }
    return {"about": about}


def _narrow(random: Random, kind: str) -> dict[str, object]:
    speed = random.choice((500, 2_000, 10_000))
    return {"about": {"trigger": {"nth": 1}, "lasts_ms": _lasts(random), "bytes_per_sec": speed}}


def _frames(random: Random, kind: str) -> dict[str, object]:
    """Something becomes of single frames to the client."""
    label = random.choice((*_STREAMS, ORDER_REPLIES))
    about: dict[str, object] = {"points": ["out"], "label": label, "trigger": _when(random)}
    if kind == "F12":
        about |= {"keep_bytes": random.choice((1, 9, 60)), "trigger": {"nth": random.randint(1, 3)}}
        if random.random() < 0.7:
            del about["points"]
            about |= _at_cut(random, ("C4",))
    if kind in ("F11", "F15", "F17"):
        about |= {"delay_ms": random.choice((1, 20, 400)), "jitter_ms": random.choice((1, 300))}
    if kind == "F13":
        about["trigger"] = {"nth": random.randint(1, 5)}
    return {"about": about, "drops": kind == "F17"}


def _dropped(random: Random, kind: str) -> dict[str, object]:
    if random.random() < 0.3:
        about = {"points": ["in"], "label": ORDER_FRAMES, "trigger": {"nth": random.randint(1, 3)}}
        return {"about": about}
    return _frames(random, kind)


def _answers(random: Random, kind: str) -> dict[str, object]:
    """HTTP answers of a venue in trouble."""
    if kind == "F18":
        answer: Facts = {"status": 429, "retry_after": random.choice(_PAUSES)}
        answer = {name: value for name, value in answer.items() if value != ""}
    else:
        answer = random.choice(_BROKEN)
    draw = random.random()
    if draw < 0.4:
        return {"about": {**answer, **_at_cut(random, _OF_ANSWERS)}}
    if draw < 0.6:
        return {"about": {**answer, "trigger": {"nth": 1}, "points": ["connect"]}, "drops": True}
    label = random.choice(("GET *", "POST *", "GET /v1/orders*", "GET /v1/fills", "POST /v1/auth"))
    about = {**answer, "trigger": _when(random), "points": ["request"], "label": label}
    if random.random() < 0.5:
        # An outage: nothing is answered for a while, and the streams go down with it.
        about |= {"trigger": {"nth": 1}, "lasts_ms": _lasts(random)}
        return {"about": about, "drops": True}
    return {"about": about, "drops": random.random() < 0.5}


def _late_reply(random: Random, kind: str) -> dict[str, object]:
    if random.random() < 0.3:
        late = {"delay_ms": random.choice((500, 9_999, 12_000, 25_000))}
        return {"about": {**late, **_at_cut(random, ("C3", "C10", "C11", "C12"))}}
    roads = ((["out"], ORDER_REPLIES), (["request"], "*"), (["request"], "POST /v1/orders"))
    points, label = random.choice(roads)
    about = {
        "trigger": _when(random),
        "points": points,
        "label": label,
        "delay_ms": random.choice((500, 9_999, 12_000, 25_000)),
    }
    return {"about": about}


def _tokens(random: Random, kind: str) -> dict[str, object]:
    if random.random() < 0.5:
        return {"about": {"trigger": {"after_ms": 0}}}
    points, label = random.choice(((["in"], ORDER_FRAMES), (["request"], "GET *")))
    return {"about": {"trigger": {"nth": random.randint(1, 3)}, "points": points, "label": label}}


def _harness(random: Random, kind: str) -> dict[str, object]:
    """What the venue cannot do: the machine's clock, a blocked loop, a killed process."""
    if kind == "F22":
        if random.random() < 0.3:
            return {"about": {"drift_ppm": random.choice((-2_000, -200, 200, 2_000))}}
        secs = random.choice((-3_600, -60, -5, -1, 1, 5, 60, 3_600))
        return {"about": {"jump_secs": secs, "lasts_ms": random.choice((1_000, 20_000, 60_000))}}
    if kind == "F23":
        return {"about": {"block_ms": random.choice((50, 1_000, 10_000, 60_000))}}
    down = {"delay_ms": random.choice((0, 100, 3_000, 20_000))}
    if random.random() < 0.4:
        return {"about": {**down, "trigger": {"after_ms": 0}}}
    return {"about": {**down, **_at_cut(random, (*_OF_ORDERS, "C10", "C11"))}}


_MAKE = {
    **dict.fromkeys(("F01", "F02", "F03", "F04"), _unreachable),
    **dict.fromkeys(("F05", "F06"), _breaks),
    **dict.fromkeys(("F07", "F08"), _silence),
    "F09": _latency,
    "F10": _narrow,
    **dict.fromkeys(("F11", "F12", "F13", "F14", "F15", "F17"), _frames),
    "F16": _dropped,
    **dict.fromkeys(("F18", "F19"), _answers),
    "F20": _late_reply,
    "F21": _tokens,
}

# --- the market


def _market(random: Random) -> tuple[Act, ...]:
    """Quotes that move, takers, the account's other orders, the venue's own moods."""
    acts = [Act(0, "quote", {"market": market, "ticks": 0}) for market in MARKETS]
    weights = {"quote": 30, "take": 25, "cross": 20, "external": 8, "external_cancel": 4, "venue_cancel": 6,
               "funding": 3, "halt": 2, "mode": 2}
    for _ in range(80):
        what = random.choices([*weights], [*weights.values()])[0]
        market = random.choice(MARKETS)
        about: dict[str, object] = {"market": market, "pick": random.random()}
        if what == "quote":
            about["ticks"] = random.randint(-40, 40)
        elif what in ("take", "external"):
            about |= {"side": random.choice(("BUY", "SELL")), "size": random.choice(SIZES[market]),
                      "named": random.random() < 0.5, "far": random.random() < 0.5}
        elif what == "cross":
            about["part"] = random.choice((1, 1, 2, 3))
        elif what == "mode":
            about["mode"] = random.choice(("post_only", "cancel_only"))
        acts.append(Act(random.randrange(500, LENGTH_MS - 500), what, about))
        if what in ("halt", "mode"):
            again = acts[-1].at_ms + random.choice((500, 5_000, 15_000))
            acts.append(Act(again, f"{what}_over", {"market": market}))
    return tuple(acts)


def _account(seed: int) -> tuple[Act, ...]:
    """What befalls the account without an order: busts, money and positions that move, liquidations."""
    random = Random(f"account {seed}")
    acts = []
    for what, most in (("bust", 4), ("deposit", 2), ("transfer", 2), ("liquidate", 1)):
        for _ in range(random.randint(0, most)):
            market = random.choice(MARKETS)
            about: dict[str, object] = {"market": market, "pick": random.random()}
            if what == "deposit":
                about["amount"] = random.choice(("-250.5", "-0.000001", "1", "1000.123456"))
            elif what == "transfer":
                about |= {"side": random.choice(("BUY", "SELL")), "size": random.choice(SIZES[market])}
            acts.append(Act(random.randrange(30_000, LENGTH_MS - 500), what, about))
    return tuple(acts)


# --- the strategy


def _strategy(random: Random) -> tuple[Act, ...]:
    """One hundred orders, and what becomes of them."""
    acts = []
    for number in range(1, ORDERS + 1):
        at_ms = random.randrange(2_000, LENGTH_MS - 2_000)
        if random.random() < 0.2:
            # Bursts: several orders in one moment.
            at_ms -= at_ms % 30_000
            at_ms += 2_000
        acts.append(Act(at_ms, "submit", {"name": f"O-{number}", **_order(random)}))
    for _ in range(45):
        about = {"pick": random.random(), "unaccepted": random.random() < 0.3}
        acts.append(Act(random.randrange(2_500, LENGTH_MS), "cancel", about))
    for _ in range(random.randint(1, 4)):
        about = {"market": random.choice((*MARKETS, None))}
        acts.append(Act(random.randrange(2_500, LENGTH_MS), "cancel_all", about))
    acts += [
        Act(random.randrange(2_500, LENGTH_MS), "refuse", {}) for _ in range(random.randint(0, 3))
    ]
    acts += [
        Act(random.randrange(2_500, LENGTH_MS), "query", {"pick": random.random()})
        for _ in range(random.randint(0, 4))
    ]
    return tuple(acts)


def _order(random: Random) -> Facts:
    market = random.choice(MARKETS)
    about: dict[str, object] = {
        "market": market,
        "side": random.choice(("BUY", "SELL")),
        "size": random.choice(SIZES[market]),
        "type": "MARKET" if random.random() < 0.12 else "LIMIT",
        "where": random.choice(("near", "near", "through", "inside", "far")),
        "tif": "IOC" if random.random() < 0.2 else "GTC",
        "post_only": False,
        "reduce_only": random.random() < 0.1,
    }
    if about["type"] == "LIMIT" and about["tif"] == "GTC":
        about["post_only"] = random.random() < 0.25
    return about
