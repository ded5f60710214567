"""Wants, shards and topics: counts, places, races; every row of the table of stages."""

from __future__ import annotations

import pytest
from nautilus_trader.model import InstrumentId

from venuekit.core.subscriptions import Outcome, Shards, Stage, Topics, Wants
from venuekit.interfaces.stream import DataKind, Topic, Want

A, B = Topic("public", "a"), Topic("public", "b")
IID = InstrumentId.from_str("M.X")
SECOND = 10**9


def want(kind: DataKind) -> Want:
    return Want(kind, IID)


def test_wants_share_a_topic_until_the_last_one_leaves():
    wants = Wants()
    deltas, depth = want(DataKind.BOOK_DELTAS), want(DataKind.BOOK_DEPTH10)
    assert wants.add(deltas, A)
    assert not wants.add(deltas, A)
    assert not wants.add(depth, A)
    assert wants.of(A) == {deltas, depth}
    assert wants.remove(deltas) is None
    assert deltas in wants
    assert wants.remove(deltas) is None
    assert deltas not in wants
    assert wants.topic(depth) == A
    assert wants.remove(depth) == A
    assert wants.remove(depth) is None
    assert wants.topics == ()
    assert wants.add(depth, A)


def test_shards_fill_up_in_order_and_a_topic_never_moves():
    shards = Shards(2)
    topics = [Topic("public", f"t{n}") for n in range(5)]
    assert [shards.place(topic) for topic in topics] == [0, 0, 1, 1, 2]
    assert shards.release(topics[1]) == 0
    assert shards.place(topics[4]) == 2
    assert shards.place(Topic("public", "new")) == 0
    assert shards.release(Topic("public", "never")) is None
    assert shards.count == 3


def sent(topics: Topics, now: int = 0) -> tuple[str, str]:
    plan = topics.plan(now)
    return "".join(t.channel for t in plan.unsubscribe), "".join(t.channel for t in plan.subscribe)


def test_subscribe_confirm_leave():
    topics = Topics()
    topics.add(A)
    topics.add(A)
    assert sent(topics) == ("", "a")
    assert sent(topics) == ("", "")
    assert topics.apply_ack("a", True, "") is Outcome.CONFIRMED
    topics.drop(A)
    assert sent(topics) == ("a", "")
    topics.drop(A)
    assert sent(topics) == ("", "")
    assert topics.apply_ack("a", False, "") is Outcome.LEFT
    assert sent(topics) == ("", "")
    assert topics.stage("a") is Stage.IDLE


def test_the_last_intent_wins_whatever_is_in_flight():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.drop(A)
    assert sent(topics) == ("", "")  # one question at a time
    topics.apply_ack("a", True, "")
    assert sent(topics) == ("a", "")
    topics.add(A)
    assert sent(topics) == ("", "")
    topics.apply_ack("a", False, "")
    assert sent(topics) == ("", "a")
    topics.apply_ack("a", True, "")
    assert topics.all_live([A])


def test_a_resync_leaves_and_comes_back_once():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.resync(A)  # its snapshot is on the way already
    topics.apply_ack("a", True, "")
    assert sent(topics) == ("", "")
    topics.resync(A)
    topics.resync(A)
    assert sent(topics) == ("a", "")
    topics.resync(A)
    topics.apply_ack("a", False, "")
    assert sent(topics) == ("", "a")
    topics.apply_ack("a", True, "")
    assert sent(topics) == ("", "")


def test_a_dropped_topic_is_not_brought_back_by_its_resync():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.apply_ack("a", True, "")
    topics.resync(A)
    topics.drop(A)
    assert sent(topics) == ("a", "")
    topics.apply_ack("a", False, "")
    assert sent(topics) == ("", "")


@pytest.mark.parametrize("confirmed", [True, False])
def test_dropped_and_wanted_again_at_once_starts_afresh(confirmed: bool):
    topics = Topics()
    topics.add(A)
    sent(topics)
    if confirmed:
        topics.apply_ack("a", True, "")
    topics.drop(A)
    topics.add(A)
    if not confirmed:
        assert sent(topics) == ("", "")
        topics.apply_ack("a", True, "")
    assert sent(topics) == ("a", "")
    topics.apply_ack("a", False, "")
    assert sent(topics) == ("", "a")
    topics.apply_ack("a", True, "")
    assert sent(topics) == ("", "")


def test_data_confirms_as_well_as_an_ack():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.apply_seen("a")
    assert topics.stage("a") is Stage.LIVE
    assert topics.unanswered == 0
    assert topics.apply_time(60 * SECOND) == ()
    # The late ack, and even a late error, change nothing.
    assert topics.apply_ack("a", True, "") is Outcome.UNEXPECTED
    assert topics.apply_ack("a", True, "already subscribed") is Outcome.TWICE
    assert topics.stage("a") is Stage.LIVE


def test_data_of_a_topic_that_leaves_confirms_nothing():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.apply_ack("a", True, "")
    topics.resync(A)
    sent(topics)
    topics.apply_seen("a")
    assert topics.stage("a") is Stage.LEAVING


def test_a_refusal_is_told_and_only_a_new_intent_asks_again():
    topics = Topics()
    topics.add(A)
    sent(topics)
    assert topics.apply_ack("a", True, "bad channel") is Outcome.REFUSED
    assert sent(topics) == ("", "")
    topics.add(A)
    assert sent(topics) == ("", "a")


def put_off(topics: Topics) -> Outcome:
    return topics.apply_ack("a", True, "too many requests", passing=True)


def test_a_refusal_that_passes_is_asked_again_later_each_time():
    topics = Topics(answer_ns=5 * SECOND, longest_ns=15 * SECOND)
    topics.add(A)
    asked = 0
    for pause in (5, 10, 15, 15):
        assert sent(topics, asked * SECOND) == ("", "a")
        assert put_off(topics) is Outcome.PUT_OFF
        assert topics.apply_time((asked + pause - 1) * SECOND) == ()
        assert sent(topics) == ("", "")
        topics.apply_time((asked + pause) * SECOND)
        asked += pause
    assert sent(topics, asked * SECOND) == ("", "a")
    assert topics.apply_ack("a", True, "") is Outcome.CONFIRMED
    # What passed is forgotten, and a refusal that does not pass stands.
    topics.apply_ack("a", False, "")
    sent(topics, 0)
    put_off(topics)
    topics.apply_time(5 * SECOND)
    assert sent(topics, 5 * SECOND) == ("", "a")
    assert topics.apply_ack("a", True, "already subscribed") is Outcome.TWICE


@pytest.mark.parametrize("then", ["drop", "loss", "add", "refused"])
def test_what_was_put_off_is_asked_again_once_or_not_at_all(then: str):
    topics = Topics(answer_ns=5 * SECOND)
    topics.add(A)
    sent(topics, 0)
    put_off(topics)
    if then == "drop":
        topics.drop(A)
        sent(topics, 0)
    elif then == "loss":
        topics.apply_disconnected()
        assert sent(topics, SECOND) == ("", "a")
        topics.apply_ack("a", True, "")
    elif then == "add":
        topics.add(A)
        assert sent(topics, SECOND) == ("", "a")
        topics.apply_ack("a", True, "")
    else:
        topics.apply_time(5 * SECOND)
        assert sent(topics, 5 * SECOND) == ("", "a")
        assert topics.apply_ack("a", True, "no such market") is Outcome.REFUSED
    topics.apply_time(900 * SECOND)
    assert sent(topics, 900 * SECOND) == ("", "")


def test_a_refusal_that_passes_never_means_twice():
    """Of a topic whose first answer was lost, and of one whose leaving was refused so."""
    topics = Topics(answer_ns=5 * SECOND)
    topics.add(A)
    sent(topics, 0)
    topics.apply_time(5 * SECOND)
    sent(topics, 5 * SECOND)
    assert put_off(topics) is Outcome.PUT_OFF
    topics.apply_time(60 * SECOND)
    sent(topics, 60 * SECOND)
    assert topics.apply_ack("a", True, "already subscribed") is Outcome.TWICE
    topics.resync(A)
    assert sent(topics) == ("a", "")
    assert topics.apply_ack("a", False, "too many requests", passing=True) is Outcome.LEFT
    assert sent(topics) == ("", "a")
    assert topics.apply_ack("a", True, "already subscribed") is Outcome.TWICE


def test_an_unanswered_subscribe_is_asked_again_and_then_an_error_means_twice():
    topics = Topics(answer_ns=5 * SECOND)
    topics.add(A)
    sent(topics, 0)
    assert topics.apply_time(4 * SECOND) == ()
    assert sent(topics, 4 * SECOND) == ("", "")
    topics.apply_time(5 * SECOND)
    assert sent(topics, 5 * SECOND) == ("", "a")
    assert topics.apply_ack("a", True, "already subscribed") is Outcome.TWICE
    assert topics.stage("a") is Stage.LIVE


def test_giving_up_is_told_every_few_tries():
    topics = Topics(answer_ns=5 * SECOND, max_tries=3)
    topics.add(A)
    told = []
    for n in range(7):
        sent(topics, n * 5 * SECOND)
        told.append(topics.apply_time((n + 1) * 5 * SECOND))
    assert told == [(), (), (A,), (), (), (A,), ()]


def test_an_unanswered_unsubscribe_does_not_block_coming_back():
    topics = Topics(answer_ns=5 * SECOND)
    topics.add(A)
    sent(topics, 0)
    topics.apply_ack("a", True, "")
    topics.resync(A)
    sent(topics, 0)
    topics.apply_time(5 * SECOND)
    assert sent(topics, 5 * SECOND) == ("", "a")
    # The answer to the unsubscribe comes late: the open question is the subscribe.
    assert topics.apply_ack("a", False, "") is Outcome.UNEXPECTED
    assert topics.apply_ack("a", True, "") is Outcome.CONFIRMED


def test_a_dropped_topic_whose_subscribe_was_never_answered_is_left_all_the_same():
    topics = Topics(answer_ns=5 * SECOND)
    topics.add(A)
    sent(topics, 0)
    topics.drop(A)
    topics.apply_time(5 * SECOND)
    assert sent(topics, 5 * SECOND) == ("a", "")
    topics.apply_ack("a", False, "not subscribed")
    assert sent(topics, 6 * SECOND) == ("", "")
    assert topics.wanted == frozenset()


def test_a_topic_the_venue_ended_is_asked_for_again():
    topics = Topics()
    topics.add(A)
    sent(topics)
    topics.apply_ack("a", True, "")
    assert topics.apply_ack("a", False, "") is Outcome.ENDED
    assert sent(topics) == ("", "a")


def test_after_a_loss_exactly_the_wanted_set_is_asked_for():
    topics = Topics()
    for topic in (A, B, Topic("public", "c"), Topic("public", "d")):
        topics.add(topic)
    sent(topics)
    topics.apply_ack("a", True, "")
    topics.apply_ack("c", True, "no")
    topics.drop(B)
    topics.apply_disconnected()
    assert sent(topics) == ("", "acd")
    assert topics.unanswered == 3


@pytest.mark.parametrize("subscribed", [True, False])
def test_an_ack_for_nothing_of_ours_is_unexpected(subscribed: bool):
    assert Topics().apply_ack("x", subscribed, "") is Outcome.UNEXPECTED
