"""Any evidence after any other, also what contradicts itself: no illegal step, no end without its proof.

A venue that lies, replays and forgets is walked through at random. What holds all the same: the engine can
take every event, each fill is told once, and every end and every rejection follows a proof of it.
"""

from __future__ import annotations

from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nautilus_trader.model import OrderStatus, Price
from tracker_bench import Bench, S

from venuekit.core.order_state import ENDED, CancelRejected, ModifyRejected, Rejected, Report
from venuekit.interfaces.orders import Received, RefusedOutcome, Unknown
from venuekit.interfaces.reconciliation import Found, NotFound
from venuekit.interfaces.records import ModifyResult, Source, WireIds
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.time import AfterHeight, Tick

OPEN, PART, CANCELED, FILLED, EXPIRED, REJECTED, NEW = (
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CANCELED,
    OrderStatus.FILLED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
    OrderStatus.SUBMITTED,
)
NO, GONE = RefusedOutcome("NO", ""), RefusedOutcome("GONE", "", gone=True)
YES = Received(WireIds(venue_order_id="V1"))
REPLIES = {"received": YES, "refused": NO, "gone": GONE, "unknown": Unknown("?")}


class Walk:
    """One order, and a note of every proof that was given."""

    def __init__(self, replaces: bool, needs_id: bool) -> None:
        self.replaces = replaces
        self.bench = Bench(
            modify_replaces_id=replaces, cancel_needs_venue_id=needs_id, allow_overfill=True
        )
        self.heard: set[str] = set()
        """Trades that were told by any road."""
        self.height = 0
        self.proofs: set[str] = set()
        self.told: list[object] = []
        self.order = self.bench.order(sent=False)
        self.number: int | None = None

    def do(self, actions: list[object]) -> None:
        self.told += actions
        self.bench.do(actions)

    # --- commands

    def send(self) -> None:
        self.bench.tracker.sending("O-1", WireIds(), self.bench.now)

    def want_cancel(self) -> None:
        if self.order.status in (OPEN, PART):
            self.bench.engine.pending_cancel(self.order)
        if self.bench.tracker.want_cancel("O-1", self.bench.now) is not None:
            self.bench.tracker.cancelling("O-1", self.bench.now)

    def want_modify(self) -> None:
        if self.order.status not in (OPEN, PART) or self.bench.tracker.get("O-1").modifies:
            return
        self.bench.engine.pending_update(self.order)
        price = Price.from_str("101.0")
        self.number = self.bench.tracker.want_modify("O-1", None, price, None, self.bench.now)
        if self.number is not None:
            self.bench.tracker.modifying("O-1", self.number, self.bench.now)

    # --- evidence

    def reply(self, command: str, what: str) -> None:
        tracker, now, outcome = self.bench.tracker, self.bench.now, REPLIES[what]
        if what in ("refused", "gone"):
            self.proofs.add(command)
        if command == "submit":
            self.do(tracker.apply_submit("O-1", outcome, now))
        elif command == "cancel":
            self.do(tracker.apply_cancel("O-1", outcome, now))
        elif self.number is not None:
            self.do(tracker.apply_modify("O-1", self.number, outcome, now))

    def fail(self, command: str, evidence: Evidence) -> None:
        tracker, now = self.bench.tracker, self.bench.now
        if evidence is Evidence.NOT_SENT and command != "cancel":
            self.proofs.add(command)
        if command == "submit":
            self.do(tracker.apply_submit_failed("O-1", evidence, "no", now))
        elif command == "cancel":
            self.do(tracker.apply_cancel_failed("O-1", evidence, now))
        elif self.number is not None:
            self.do(tracker.apply_modify_failed("O-1", self.number, evidence, "no", now))

    def record(
        self,
        status: OrderStatus,
        filled: str,
        at: int,
        vid: str,
        price: str,
        more: str,
        tentative: bool,
        source: Source,
    ) -> object:
        # Where orders keep their ids another one is another order.
        vid = vid if self.replaces else "V1"
        facts = {"filled": filled, "at": at, "vid": vid, "price": price, "quantity": "1.000"}
        if more == "refusal" or status is REJECTED:
            self.proofs.add("submit")
        if more in ("applied", "rejected"):
            facts["modify"] = ModifyResult(more)
        if status in ENDED:
            self.proofs.add("end")
            if tentative:
                facts["settles"] = AfterHeight(2)
        # An end, other values, an order that is open long after the change: all say that it was not applied.
        self.proofs.add("modify")
        return self.bench.record(status, refusal=more == "refusal", source=source, **facts)

    def see(self, *facts: object) -> None:
        self.do(self.bench.tracker.apply_order(self.record(*facts, Source.STREAM), self.bench.now))

    def find(self, *facts: object) -> None:
        found = Found(self.record(*facts, Source.LOOKUP))
        self.do(self.bench.tracker.apply_look_up("O-1", found, self.bench.now))

    def miss(self, conclusive: bool) -> None:
        if conclusive:
            self.proofs.add("submit")
        self.do(self.bench.tracker.apply_look_up("O-1", NotFound(conclusive), self.bench.now))

    def fill(self, key: str, quantity: str, at: int) -> None:
        self.proofs.add("modify")
        self.heard.add(key)
        self.do(self.bench.tracker.apply_fill(self.bench.fill_record(key, quantity, at=at), self.bench.now))

    def block(self) -> None:
        self.height += 1
        self.do(self.bench.tracker.apply_tick(Tick(self.height, 0), self.bench.now))

    def refuse(self) -> None:
        """The engine takes the next report not."""
        self.bench.engine.fail_reports += 1

    def calm(self) -> None:
        """The engine takes everything from here on."""
        self.bench.engine.fail_reports = 0

    def wait(self, secs: int) -> None:
        for _ in range(secs):
            self.bench.clock.advance(S)
            self.do(self.bench.tracker.apply_time(self.bench.now))


@frozen
class Step:
    """A step of a walk, readable when it fails."""

    name: str
    facts: tuple[object, ...] = ()

    def __call__(self, walk: Walk) -> None:
        getattr(walk, self.name)(*self.facts)


def step(name: str, *facts: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(name), st.tuples(*facts))


COMMANDS = st.sampled_from(["submit", "cancel", "modify"])
FACTS = (
    st.sampled_from([NEW, OPEN, OPEN, PART, CANCELED, FILLED, EXPIRED, REJECTED]),
    st.sampled_from(["0", "0", "0.400", "1.000"]),
    st.integers(0, 9),
    st.sampled_from(["V1", "V1", "V1", "V2"]),
    st.sampled_from(["100.0", "100.0", "101.0"]),
    st.sampled_from(["", "", "refusal", "applied", "rejected"]),
    st.sampled_from([False, False, False, True]),
)
FILLS = st.sampled_from([("t1", "0.400", 2), ("t2", "0.600", 3), ("t3", "0.100", 4)])
STEPS = st.one_of(
    step("send"),
    step("want_cancel"),
    step("want_modify"),
    step("reply", COMMANDS, st.sampled_from(sorted(REPLIES))),
    step("fail", COMMANDS, st.sampled_from([Evidence.NOT_SENT, Evidence.MAYBE_SENT])),
    step("see", *FACTS),
    step("find", *FACTS),
    step("miss", st.booleans()),
    st.builds(Step, st.just("fill"), FILLS),
    step("block"),
    step("refuse"),
    step("wait", st.sampled_from([1, 6, 20])),
)


FOUND = [
    # Twice refused by the engine, with a new venue id in between: no change may overtake the acceptance.
    Step("refuse"),
    Step("fill", ("t1", "0.400", 2)),
    Step("see", (NEW, "0", 0, "V2", "100.0", "", False)),
    Step("refuse"),
    Step("wait", (1,)),
]


@example(walk=FOUND, replaces=True, needs_id=False)
@given(st.lists(STEPS, max_size=14), st.booleans(), st.booleans())
@settings(max_examples=1_000, deadline=None, derandomize=True)
def test_no_end_without_its_proof(walk: list[Step], replaces: bool, needs_id: bool) -> None:
    state = Walk(replaces, needs_id)
    for one in [*walk, Step("calm"), Step("wait", (60,))]:
        before = len(state.told)
        one(state)
        for action in state.told[before:]:
            if isinstance(action, Rejected):
                assert "submit" in state.proofs
            elif isinstance(action, Report) and action.state.status in (CANCELED, EXPIRED):
                assert "end" in state.proofs
            elif isinstance(action, CancelRejected):
                assert "cancel" in state.proofs
            elif isinstance(action, ModifyRejected):
                assert state.proofs & {"modify", "submit"}
    bench = state.bench
    # The engine takes no fill of an order that was told as rejected: an alarm says so.
    odd = [line for line in bench.engine.violations if "fill after a rejection" not in line]
    assert odd == []
    if bench.engine.violations:
        assert "fill_after_rejected" in {kind for kind, _ in bench.engine.alarms}
    if state.order.status is not REJECTED:
        assert {trade for _, trade in bench.engine._trades} == state.heard, "no fill is lost"
    assert sum(isinstance(action, Rejected) for action in state.told) <= 1
