"""The swarm can fail: bugs that were, or could be, in a client, each found within a few seeds.

Each is planted by replacing one function of the product. What is printed is how many seeds it took (`-s`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve
from plan import draw
from swarm import Outcome, run_seed
from venuekit_paradex import reconciliation
from venuekit_paradex.wire.records import order_record

from venuekit.core import book, fills, lookups, orders
from venuekit.errors import SendFailed, VenuekitError
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.request import Evidence
from venuekit.runtime import account_reads, dispatcher, session

MOST_SEEDS = 25

type Patch = pytest.MonkeyPatch


def forget_what_was_delivered(patch: Patch) -> None:
    patch.setattr(fills.FillBook, "standing", lambda *_: fills.Standing.NEW)


def count_a_failed_delivery_as_done(patch: Patch) -> None:
    """Marked seen before it was applied: a report that the engine did not take is never offered again."""
    patch.setattr(orders.OrderTracker, "undelivered", lambda *_: None)


def send_again_without_a_reply(patch: Patch) -> None:
    async def exchange(self: object, job: object, prepared: object, handed_over: object) -> object:
        port = self._ports[job.draft.port]
        try:
            return await port.send(prepared.request, on_sent=handed_over)
        except SendFailed as error:
            if error.evidence is not Evidence.MAYBE_SENT:
                raise
            try:
                return await port.send(prepared.request, on_sent=handed_over)
            except SendFailed as again:
                raise SendFailed(again.message, evidence=Evidence.MAYBE_SENT) from again

    patch.setattr(dispatcher.Dispatcher, "_exchange", exchange)


def read_a_failure_as_nothing_there(patch: Patch) -> None:
    rows = account_reads.AccountReads.rows

    async def read(self: object, *args: object) -> list[object]:
        try:
            return await rows(self, *args)
        except VenuekitError:
            return []

    patch.setattr(account_reads.AccountReads, "rows", read)


def take_a_failed_look_up_for_not_found(patch: Patch) -> None:
    apply = orders.OrderTracker.apply_look_up

    def failed(self: object, key: str, now: object) -> object:
        return apply(self, key, NotFound(conclusive=True), now)

    patch.setattr(orders.OrderTracker, "apply_look_up_failed", failed)


def reject_at_the_first_not_found(patch: Patch) -> None:
    patch.setattr(lookups, "_settled", lambda *_: True)
    patch.setattr(lookups, "_denied_long_ago", lambda *_: True)
    patch.setattr(lookups, "_DENIALS_AFTER_RECEIPT", 1)


def reject_after_a_timeout(patch: Patch) -> None:
    failed = orders.OrderTracker.apply_submit_failed

    def rejected(self: object, key: str, _: Evidence, why: str, now: object) -> object:
        return failed(self, key, Evidence.NOT_SENT, why, now)

    patch.setattr(orders.OrderTracker, "apply_submit_failed", rejected)


def compare_numbers_across_roads(patch: Patch) -> None:
    """REST numbers an order's states on its own: a high one hides what the stream says next."""

    def numbered(row: object, *args: object) -> object:
        return evolve(order_record(row, *args), version=int(row.seq_no))

    patch.setattr(reconciliation, "order_record", numbered)


def hear_a_dead_connection(patch: Patch) -> None:
    heard = session._Live.on_frame

    def on_frame(self: object, frame: object) -> None:
        alive, self.alive = self.alive, True
        heard(self, frame)
        self.alive = alive and self.alive

    patch.setattr(session._Live, "on_frame", on_frame)


def go_on_over_a_gap_in_a_book(patch: Patch) -> None:
    patch.setattr(book.Book, "_held", lambda *_: None)


def skip_the_recovery_of_a_new_connection(patch: Patch) -> None:
    async def nothing(self: object) -> bool:
        self._known, self._down_ns = True, None
        return True

    from venuekit.runtime.recovery import Recovery

    patch.setattr(Recovery, "_once", nothing)


SLOW = {"history_lag_ms": "3000"}
"""A venue whose history trails: what a look-up does not find may be there all the same."""

BUGS: list[tuple[Callable[[Patch], None], set[str]]] = [
    (forget_what_was_delivered, {"I1", "I2", "I6"}),
    (count_a_failed_delivery_as_done, {"I1", "I4", "I6", "I18"}),
    (send_again_without_a_reply, {"I7"}),
    (read_a_failure_as_nothing_there, {"I1", "I3", "I4", "I15", "I17", "I18", "alarm"}),
    (take_a_failed_look_up_for_not_found, {"I5", "alarm"}),
    (reject_at_the_first_not_found, {"I5"}),
    (reject_after_a_timeout, {"I5"}),
    (compare_numbers_across_roads, {"at once"}),
    (hear_a_dead_connection, {"I2", "I6", "I9", "I16"}),
    (go_on_over_a_gap_in_a_book, {"I9"}),
    (skip_the_recovery_of_a_new_connection, {"I1", "I3", "I4", "I15", "I17", "I18"}),
]


def found_by(outcome: Outcome) -> set[str]:
    return {text.partition(":")[0] for text in outcome.violations}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("plant", "expected"), BUGS, ids=[plant.__name__ for plant, _ in BUGS])
def test_a_planted_bug_is_found(
    plant: Callable[[Patch], None], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in range(1, MOST_SEEDS + 1):
        plan = draw(seed)
        if plant is reject_at_the_first_not_found:
            plan = evolve(plan, venue={**plan.venue, **SLOW})
        outcome = run_seed(seed, plan, lambda outcome: bool(found_by(outcome) & expected))
        if found := found_by(outcome) & expected:
            print(f"{plant.__name__}: {seed} seeds, by {', '.join(sorted(found))}")
            return
    pytest.fail(f"{plant.__name__} was not found in {MOST_SEEDS} seeds")
