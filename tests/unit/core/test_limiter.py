"""The limiter by example: order of grants, refusals of the venue, headers."""

import pytest

from venuekit.core.limiter import Limiter
from venuekit.errors import BadValue
from venuekit.interfaces.manifest import Bucket, Operation, OpKind, Priority, Scope, Seconds

SECOND = 1_000_000_000
OPS = {
    "cancel": Operation(OpKind.COMMAND, {"orders": 1}, Priority.CANCEL),
    "submit": Operation(OpKind.COMMAND, {"orders": 1}, Priority.SUBMIT),
    "batch": Operation(OpKind.COMMAND, {"orders": 2}, Priority.SUBMIT),
    "read": Operation(OpKind.READ, {"reads": 1}, Priority.READ),
}
BUCKETS = {
    "orders": Bucket(
        Scope.ACCOUNT, rate=2, per=Seconds(1), burst=2, remaining_header="X-Left", reset_header="X-Reset"
    ),
    "reads": Bucket(Scope.IP, rate=1, per=Seconds(1), burst=1),
}


def test_cancels_go_first_then_the_order_of_asking():
    limiter = Limiter(OPS, BUCKETS)
    first, second, third = limiter.ask("submit"), limiter.ask("submit"), limiter.ask("cancel")
    granted, wait = limiter.grant(0)
    assert granted == [third, first]
    assert 0 < wait <= SECOND // 2 + 1
    assert limiter.grant(SECOND // 2 + 1)[0] == [second]


def test_a_bucket_that_is_short_holds_nobody_elses_bucket():
    limiter = Limiter(OPS, BUCKETS)
    for _ in range(3):
        limiter.ask("submit")
    read = limiter.ask("read")
    granted, _ = limiter.grant(0)
    assert read in granted
    assert limiter.depth() == 1


def test_a_cheap_request_does_not_overtake_a_heavy_one_for_ever():
    limiter = Limiter(OPS, BUCKETS)
    limiter.ask("submit")
    limiter.grant(0)
    heavy, light = limiter.ask("batch"), limiter.ask("submit")
    assert (
        limiter.grant(0)[0] == []
    )  # one unit is left: enough for the light one, which must wait all the same
    assert limiter.grant(SECOND // 2 + 1)[0] == [heavy]
    assert limiter.grant(SECOND + 2)[0] == [light]


def test_a_refusal_empties_the_bucket_and_keeps_it_closed_as_long_as_asked():
    limiter = Limiter(OPS, BUCKETS)
    limiter.apply_refusal("submit", 0, 3 * SECOND)
    ticket = limiter.ask("cancel")
    assert limiter.grant(0) == ([], 3 * SECOND)
    assert limiter.grant(2 * SECOND)[0] == []
    assert limiter.grant(3 * SECOND)[0] == [ticket]


def test_a_refusal_without_a_pause_empties_the_bucket():
    limiter = Limiter(OPS, BUCKETS)
    limiter.apply_refusal("submit", 0, None)
    ticket = limiter.ask("submit")
    granted, wait_ns = limiter.grant(0)
    assert granted == []
    assert wait_ns
    assert limiter.grant(wait_ns)[0] == [ticket]


def test_headers_lower_the_level_and_never_raise_it():
    limiter = Limiter(OPS, BUCKETS)
    limiter.apply_headers("submit", 0, {"x-left": "0"})
    limiter.ask("submit")
    assert limiter.grant(0)[0] == []
    limiter.apply_headers("submit", 0, {"x-left": "900"})
    assert limiter.grant(0)[0] == []
    limiter.apply_headers("submit", 0, {"x-left": "many"})
    assert len(limiter.grant(SECOND)[0]) == 1


def test_a_withdrawn_ticket_is_never_granted():
    limiter = Limiter(OPS, BUCKETS)
    ticket = limiter.ask("submit")
    limiter.withdraw(ticket)
    assert limiter.grant(0) == ([], None)


def test_a_read_that_waited_long_goes_among_the_submits_in_order_of_asking():
    """An order whose fate is unknown is looked up in spite of a flood of new ones; cancels stay first."""
    ops = {
        "cancel": Operation(OpKind.COMMAND, {"all": 1}, Priority.CANCEL),
        "submit": Operation(OpKind.COMMAND, {"all": 1}, Priority.SUBMIT),
        "read": Operation(OpKind.READ, {"all": 1}, Priority.READ),
    }
    limiter = Limiter(ops, {"all": Bucket(Scope.IP, rate=1, per=Seconds(1), burst=1)})
    limiter.grant(0)
    names, granted = {limiter.ask("read", 0): "read"}, []
    for second in range(6):
        now = second * SECOND
        for op in ("submit", "submit", "cancel") if second % 2 == 0 else ("submit",):
            names[limiter.ask(op, now)] = op
        granted += [names[ticket] for ticket in limiter.grant(now)[0]]
    assert granted == ["cancel", "submit", "cancel", "read", "cancel", "submit"]


def test_a_cancel_overtakes_ten_thousand_submits_and_a_turn_stays_cheap():
    limiter = Limiter(OPS, BUCKETS)
    waiting = [limiter.ask("submit", 0) for _ in range(10_000)]
    assert limiter.grant(0)[0] == waiting[:2]
    cancel = limiter.ask("cancel", 1)
    assert limiter.depth() == 9_999
    looked = []
    limiter.operations = _Counted(OPS, looked)
    assert limiter.grant(SECOND)[0] == [cancel, waiting[2]]
    # What one of an operation waits for, all of it waits for: nobody walks along the queue.
    assert len(looked) < 30
    for ticket in waiting[3:]:
        limiter.withdraw(ticket)
    assert limiter.depth() == 0


class _Counted(dict):
    def __init__(self, ops, looked):
        super().__init__(ops)
        self.looked = looked

    def __getitem__(self, name):
        self.looked.append(name)
        return super().__getitem__(name)


def test_a_spread_of_arrivals_costs_burst_and_hardly_any_rate():
    limiter = Limiter(OPS, {"orders": Bucket(Scope.ACCOUNT, 100, Seconds(1), 100)}, spread_ns=SECOND // 4)
    tickets = [limiter.ask("submit") for _ in range(300)]
    assert len(limiter.grant(0)[0]) == 75
    later = sum(len(limiter.grant(tenth * SECOND // 10)[0]) for tenth in range(1, 11))
    assert later in (99, 100)
    assert limiter.depth() == len(tickets) - 75 - later


def test_an_operation_that_is_none_is_refused_and_holds_nobody():
    limiter = Limiter(OPS, BUCKETS)
    with pytest.raises(BadValue, match="'nonsense' is no operation"):
        limiter.ask("nonsense")
    ticket = limiter.ask("cancel")
    assert limiter.grant(0)[0] == [ticket]
