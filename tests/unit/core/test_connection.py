"""The life of a connection: which end leads to which pause, when the back-off forgets, what is final."""

from __future__ import annotations

import pytest

from venuekit.core.connection import Connection, End, Ended, SessionState, Silence
from venuekit.core.retry import FullJitter

S = 10**9


class Doubling:
    """1, 2, 4 ... s; gives up after `tries`."""

    def __init__(self, tries: int = 99) -> None:
        self.tries = tries
        self.asked: list[tuple[int, int]] = []

    def delay_ns(self, attempt: int, elapsed_ns: int, hint_ns: int | None, u: float) -> int | None:
        self.asked.append((attempt, elapsed_ns))
        return None if attempt >= self.tries else max(2 ** (attempt - 1) * S, hint_ns or 0)


def lived(machine: Connection, at: int, secs: float) -> int:
    """One connection that was live for `secs`; the time afterwards."""
    machine.apply_connecting(at)
    machine.apply_live(at)
    return at + int(secs * S)


def test_epochs_count_attempts():
    machine = Connection(Doubling())
    assert [machine.apply_connecting(0) for _ in range(3)] == [1, 2, 3]


def test_the_back_off_grows_until_a_connection_was_healthy():
    machine, now, waits = Connection(Doubling(), healthy_ns=30 * S), 0, []
    for secs in (1, 1, 29, 31, 1):
        now = lived(machine, now, secs)
        waits.append(machine.apply_ended(Ended(End.CLOSED), now, 0.5))
        now += waits[-1]
    # Accepted and dropped at once does not reset it; 31 s of life do.
    assert [wait // S for wait in waits] == [1, 2, 4, 1, 2]


def test_elapsed_runs_since_the_first_attempt_of_the_outage():
    policy = Doubling()
    machine = Connection(policy)
    machine.apply_connecting(100 * S)
    machine.apply_ended(Ended(End.UNREACHABLE), 101 * S, 0.5)
    machine.apply_connecting(110 * S)
    machine.apply_ended(Ended(End.UNREACHABLE), 112 * S, 0.5)
    assert policy.asked == [(1, 1 * S), (2, 12 * S)]


@pytest.mark.parametrize("kind", [End.DRAINED, End.LOGIN, End.LOST])
def test_a_planned_end_reconnects_at_once_the_first_time_only(kind: End):
    machine = Connection(Doubling())
    now = lived(machine, 0, 1)
    assert machine.apply_ended(Ended(kind), now, 0.5) == 0
    now = lived(machine, now, 1)
    assert machine.apply_ended(Ended(kind), now, 0.5) == 2 * S


def test_a_hint_of_the_venue_is_passed_on():
    machine = Connection(Doubling())
    machine.apply_connecting(0)
    assert machine.apply_ended(Ended(End.UNREACHABLE, hint_ns=60 * S), 0, 0.5) == 60 * S


def test_giving_up_is_final_only_before_the_first_success():
    machine = Connection(Doubling(tries=1))
    machine.apply_connecting(0)
    assert machine.apply_ended(Ended(End.UNREACHABLE), 0, 0.5) is None
    assert machine.state is SessionState.FAILED

    machine = Connection(Doubling(tries=1), patience_ns=30 * S)
    now = lived(machine, 0, 1)
    assert machine.apply_ended(Ended(End.CLOSED), now, 0.5) == 30 * S
    assert (machine.state, machine.exhausted) == (SessionState.BACKING_OFF, True)
    lived(machine, now, 1)
    assert not machine.exhausted


@pytest.mark.parametrize(
    "ended", [Ended(End.HOPELESS), Ended(End.CLOSED, code=4001)], ids=["hopeless", "fatal close code"]
)
def test_what_cannot_be_healed_fails(ended: Ended):
    machine = Connection(Doubling(), frozenset({4001}))
    now = lived(machine, 0, 100)
    assert machine.apply_ended(ended, now, 0.5) is None
    assert machine.state is SessionState.FAILED
    machine.apply_connecting(now)
    assert machine.state is SessionState.FAILED


def test_stopped_is_final():
    machine = Connection(FullJitter())
    lived(machine, 0, 1)
    machine.apply_stop()
    assert machine.apply_ended(Ended(End.CLOSED), 1, 0.5) is None
    machine.apply_connecting(2)
    machine.apply_live(2)
    assert machine.state is SessionState.STOPPED


def test_silence_is_the_time_since_the_count_moved():
    silence = Silence(60 * S)
    assert not silence.apply(0, 0)
    assert not silence.apply(5, 50 * S)
    assert not silence.apply(5, 109 * S)
    assert silence.apply(5, 110 * S)
    assert not silence.apply(6, 111 * S)
