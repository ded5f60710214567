"""A topic that must tick and does not: what is done, when, and how a quiet market is left in peace."""

from itertools import pairwise

from venuekit.core.mute import Mutes, Remedy

SECOND = 1_000_000_000
BOUND = 30 * SECOND
ASK, OPEN = Remedy.RESUBSCRIBE, Remedy.RECONNECT


def told(secs: int, ticks, mutes: Mutes | None = None, channel: str = "book") -> list[tuple[int, Remedy]]:
    """What is done in so many seconds; `ticks(second, done)` says whether data came since the last one."""
    mutes, done = mutes or Mutes(), []
    for second in range(secs):
        remedy = mutes.apply(channel, BOUND, fresh=ticks(second, done), now_ns=second * SECOND)
        if remedy is not None:
            done.append((second, remedy))
    return done


def test_a_topic_that_ticks_is_left_alone():
    assert told(600, lambda second, done: second % 29 == 0) == []


def test_a_mute_topic_is_subscribed_anew_and_when_that_brings_nothing_so_is_the_connection():
    done = told(200, lambda second, done: second <= 5)
    # 30 s after its last data; 10 s for an answer; then twice the patience.
    assert done[:3] == [(35, ASK), (45, OPEN), (105, ASK)]


def test_a_topic_that_answers_is_not_the_connections_fault_and_its_patience_grows():
    """A quiet market: each subscribe brings its snapshot and nothing after it."""
    done = told(4 * 3_600, lambda second, done: second == 0 or (bool(done) and second == done[-1][0] + 1))
    assert {remedy for _, remedy in done} == {ASK}
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(done)]
    assert gaps[:4] == [61, 121, 241, 481]
    assert max(gaps) <= 30 * 64 + 1
    assert len(done) < 15


def test_a_topic_that_flows_again_is_watched_as_closely_as_before():
    mutes = Mutes()
    done = told(36, lambda second, done: second <= 5, mutes)
    assert done == [(35, ASK)]
    later = []
    for second in range(36, 1_000):
        # It flows for ten minutes, and is mute again.
        remedy = mutes.apply("book", BOUND, fresh=second < 700, now_ns=second * SECOND)
        if remedy is not None:
            later.append((second, remedy))
    assert later[0] == (729, ASK)


def test_time_without_a_connection_counts_for_nothing():
    mutes = Mutes()
    mutes.apply("book", BOUND, fresh=True, now_ns=0)
    for second in range(1, 100):
        mutes.apply_down("book", second * SECOND)
    assert mutes.apply("book", BOUND, fresh=False, now_ns=100 * SECOND) is None
    assert mutes.apply("book", BOUND, fresh=False, now_ns=128 * SECOND) is None
    assert mutes.apply("book", BOUND, fresh=False, now_ns=129 * SECOND) is ASK


def test_what_is_not_wanted_any_more_is_forgotten():
    mutes = Mutes()
    mutes.apply("book", BOUND, fresh=True, now_ns=0)
    mutes.keep({"other"})
    assert mutes.apply("book", BOUND, fresh=False, now_ns=100 * SECOND) is None
