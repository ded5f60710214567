"""The limiter by example: order of grants, refusals of the venue, headers."""

from venuekit.core.limiter import Limiter
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
