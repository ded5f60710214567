"""The lives can fail: mistakes that were, or could be, in a client, each found within a few hundred of them.

Each is planted by replacing one function of the product. What is printed is how many lives it took (`-s`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve
from lives import kind, plan
from nautilus_trader.model import OrderStatus
from venuekit_paradex import reconciliation
from venuekit_paradex.wire.records import order_record

from venuekit.core import evidence, fate, fills, lookups, order_state, orders, telling
from venuekit.core.reconcile import PositionBook
from venuekit.interfaces.reconciliation import NotFound
from venuekit.interfaces.records import OrderRecord, Source
from venuekit.interfaces.request import Evidence
from venuekit.runtime import account_reports

MOST_LIVES = 400

type Patch = pytest.MonkeyPatch


def compare_numbers_across_roads(patch: Patch) -> None:
    """REST numbers an order's states on its own: a high one hides what the stream says next."""

    def numbered(row: object, *args: object) -> OrderRecord:
        return evolve(order_record(row, *args), version=int(row.seq_no))

    patch.setattr(reconciliation, "order_record", numbered)


def forget_what_was_delivered(patch: Patch) -> None:
    patch.setattr(fills.FillBook, "standing", lambda *_: fills.Standing.NEW)


def count_a_failed_delivery_as_done(patch: Patch) -> None:
    patch.setattr(orders.OrderTracker, "undelivered", lambda *_: None)


def reject_at_the_first_not_found(patch: Patch) -> None:
    patch.setattr(lookups, "_settled", lambda *_: True)
    patch.setattr(lookups, "_denied_long_ago", lambda *_: True)
    patch.setattr(lookups, "_DENIALS_AFTER_RECEIPT", 1)


def count_denials_from_before_the_receipt(patch: Patch) -> None:
    patch.setattr(order_state.Tracked, "known", lambda *_: None)


def take_a_failed_look_up_for_not_found(patch: Patch) -> None:
    apply = orders.OrderTracker.apply_look_up

    def failed(self: object, key: str, now: object) -> object:
        return apply(self, key, NotFound(conclusive=True), now)

    patch.setattr(orders.OrderTracker, "apply_look_up_failed", failed)


def reject_after_a_timeout(patch: Patch) -> None:
    failed = orders.OrderTracker.apply_submit_failed

    def rejected(self: object, key: str, _: Evidence, why: str, now: object) -> object:
        return failed(self, key, Evidence.NOT_SENT, why, now)

    patch.setattr(orders.OrderTracker, "apply_submit_failed", rejected)


def drop_a_fill_after_the_end(patch: Patch) -> None:
    patch.setattr(telling, "_late", lambda *_: [])


def lose_a_bust_of_a_fill_that_is_not_known_yet(patch: Patch) -> None:
    apply = orders.OrderTracker.apply_bust

    def known(self: object, bust: object, now: object) -> object:
        return apply(self, bust, now) if self.owner(bust.trade_key) is not None else []

    patch.setattr(orders.OrderTracker, "apply_bust", known)


def leave_what_was_taken_back_in_the_position(patch: Patch) -> None:
    patch.setattr(PositionBook, "apply_void", lambda *_: None)


def end_what_the_open_list_lacks(patch: Patch) -> None:
    def ended(self: object, seen_open: set[str], asked: object) -> None:
        now = self._delivery.now()
        for order in account_reports.missing_orders(self._tracker, seen_open, asked, self._settle_ns):
            record = OrderRecord(
                ids=order.ids, source=Source.SNAPSHOT, ts_event=now.wall_ns, status=OrderStatus.CANCELED
            )
            self._delivery.do(self._tracker.apply_order(record, now))

    patch.setattr(account_reports.AccountReports, "_ask_missing", ended)


def take_a_cancel_of_nothing_for_a_refused_one(patch: Patch) -> None:
    row = dict.fromkeys(fate.CANCEL.fates, fate.Step(None, fate.Then.REJECT))
    patch.setitem(fate.CANCEL.steps, fate.Heard.GONE, row)


def believe_the_latest_word(patch: Patch) -> None:
    patch.setattr(orders, "newer", lambda *_: True)


def believe_the_finer_time(patch: Patch) -> None:
    patch.setattr(evidence, "one_moment", lambda one_ns, other_ns: one_ns == other_ns)


def wait_for_no_fill_that_is_claimed(patch: Patch) -> None:
    patch.setattr(orders.OrderTracker, "_claim", lambda *_: None)


PLANTS: list[Callable[[Patch], None]] = [
    compare_numbers_across_roads,
    forget_what_was_delivered,
    count_a_failed_delivery_as_done,
    reject_at_the_first_not_found,
    count_denials_from_before_the_receipt,
    take_a_failed_look_up_for_not_found,
    reject_after_a_timeout,
    drop_a_fill_after_the_end,
    lose_a_bust_of_a_fill_that_is_not_known_yet,
    leave_what_was_taken_back_in_the_position,
    end_what_the_open_list_lacks,
    take_a_cancel_of_nothing_for_a_refused_one,
    believe_the_latest_word,
    believe_the_finer_time,
    wait_for_no_fill_that_is_claimed,
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_found(plant: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(1, MOST_LIVES + 1):
        if what := kind(plan(seed)):
            print(f"{plant.__name__}: {seed} lives, by: {what}")
            return
    pytest.fail(f"{plant.__name__} was not found in {MOST_LIVES} lives")
