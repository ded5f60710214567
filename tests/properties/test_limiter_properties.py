"""Whatever is asked in whatever rhythm, no window of a bucket ever holds more than burst plus refill."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from venuekit.core.limiter import Limiter
from venuekit.interfaces.manifest import Blocks, Bucket, Operation, OpKind, Priority, Scope, Seconds

OPS = {
    "cancel": Operation(OpKind.COMMAND, {"orders": 1}, Priority.CANCEL),
    "submit": Operation(OpKind.COMMAND, {"orders": 1, "minute": 1}, Priority.SUBMIT),
    "read": Operation(OpKind.READ, {"reads": 2, "minute": 3}, Priority.READ),
    "free": Operation(OpKind.READ),
}
BUCKETS = {
    "orders": Bucket(Scope.ACCOUNT, rate=5, per=Seconds(1), burst=5),
    "minute": Bucket(Scope.IP, rate=60, per=Seconds(60), burst=20),
    "reads": Bucket(Scope.IP, rate=4, per=Seconds(1), burst=4),
}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(OPS)), st.integers(min_value=0, max_value=400_000_000)),
        max_size=60,
    )
)
def test_no_bucket_is_overdrawn_and_everything_is_granted_in_the_end(script):
    limiter = Limiter(OPS, BUCKETS)
    now, spent, asked = 0, {name: [] for name in BUCKETS}, {}
    granted_all = []

    def turn():
        granted, wait = limiter.grant(now)
        for ticket in granted:
            granted_all.append(ticket)
            for name, cost in OPS[asked[ticket]].costs.items():
                spent[name].append((now, cost))
        return wait

    for op, pause in script:
        now += pause
        asked[limiter.ask(op)] = op
        turn()
    for _ in range(500):
        wait = turn()
        if wait is None:
            break
        now += wait
    assert sorted(granted_all) == sorted(asked)
    assert limiter.depth() == 0
    for name, uses in spent.items():
        bucket = BUCKETS[name]
        for i, (start, _) in enumerate(uses):
            total = 0
            for at, cost in uses[i:]:
                total += cost
                allowed = bucket.burst + Fraction(at - start) * bucket.rate / Fraction(
                    int(bucket.per.n * 10**9)
                )
                # One part in a million of slack: levels are binary fractions, never money.
                assert total <= allowed + Fraction(1, 10**6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=2), max_size=60))
def test_block_windows_hold_their_rate_in_every_span_of_blocks(steps):
    ops = {"submit": Operation(OpKind.COMMAND, {"block": 1}, Priority.SUBMIT)}
    limiter = Limiter(ops, {"block": Bucket(Scope.ACCOUNT, rate=3, per=Blocks(2), burst=3)})
    height, uses = 100, []
    for step in steps:
        height += step
        limiter.apply_height(height)
        limiter.ask("submit")
        granted, _ = limiter.grant(0)
        uses += [height] * len(granted)
    for at in uses:
        assert sum(1 for use in uses if at - 2 < use <= at) <= 3


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*OPS, "withdraw", "refusal"]), st.integers(min_value=0, max_value=300_000_000)
        ),
        max_size=60,
    )
)
def test_to_take_at_once_is_to_ask_and_be_granted(script):
    """Twins, of which one is asked the short way first, let the same requests go at the same times."""
    short, long = Limiter(OPS, BUCKETS), Limiter(OPS, BUCKETS)
    now = 0
    waiting: dict[int, tuple[int, str]] = {}
    """By ticket of the long one: the ticket of the short one, and what it is for."""

    def both_grant() -> None:
        granted, long_wait = long.grant(now)
        expected = [waiting.pop(ticket)[0] for ticket in granted]
        found, short_wait = short.grant(now)
        assert found == expected
        # Levels are binary fractions that were refilled at other moments.
        assert abs((short_wait or 0) - (long_wait or 0)) <= 2

    for op, pause in script:
        now += pause
        if op == "withdraw":
            if waiting:
                ticket = min(waiting)
                long.withdraw(ticket)
                short.withdraw(waiting.pop(ticket)[0])
            both_grant()
        elif op == "refusal":
            for one in (short, long):
                one.apply_refusal("submit", now, 200_000_000)
        elif waiting:
            assert not short.take(op, now)
            waiting[long.ask(op, now)] = (short.ask(op, now), op)
            both_grant()
        else:
            ticket = long.ask(op, now)
            if short.take(op, now):
                assert long.grant(now) == ([ticket], None)
            else:
                waiting[ticket] = (short.ask(op, now), op)
                both_grant()
