"""Whether and when a request may be tried again."""

import pytest

from venuekit.core.retry import FullJitter, Next, after_failure, after_reply, full_jitter
from venuekit.errors import ConfigError
from venuekit.interfaces.manifest import OpKind, Says
from venuekit.interfaces.request import Evidence


@pytest.mark.parametrize("says", [None, *Says])
def test_a_command_that_got_a_reply_is_never_sent_again(says):
    assert after_reply(OpKind.COMMAND, says) is Next.GIVE_BACK


@pytest.mark.parametrize(
    ("says", "step"),
    [
        (None, Next.GIVE_BACK),
        (Says.TRANSIENT, Next.RETRY),
        (Says.LIMIT, Next.RETRY),
        (Says.AUTH, Next.REAUTHENTICATE),
        (Says.REFUSED, Next.GIVE_BACK),
        (Says.GONE, Next.GIVE_BACK),
        (Says.UNKNOWN, Next.GIVE_BACK),
    ],
)
def test_reads_by_what_the_reply_says(says, step):
    assert after_reply(OpKind.READ, says) is step


@pytest.mark.parametrize(
    ("kind", "evidence", "step"),
    [
        (OpKind.READ, Evidence.NOT_SENT, Next.RETRY),
        (OpKind.READ, Evidence.MAYBE_SENT, Next.RETRY),
        (OpKind.COMMAND, Evidence.NOT_SENT, Next.FAIL),
        (OpKind.COMMAND, Evidence.MAYBE_SENT, Next.LOOK_UP),
    ],
)
def test_requests_without_a_reply(kind, evidence, step):
    assert after_failure(kind, evidence) is step


def test_full_jitter_draws_below_a_ceiling_that_doubles_up_to_the_cap():
    policy = FullJitter(base_ns=100, cap_ns=1_000, attempts=0)
    assert [policy.delay_ns(n, 0, None, 0.5) for n in (1, 2, 3, 4, 5, 60)] == [50, 100, 200, 400, 500, 500]
    assert policy.delay_ns(1, 0, None, 0.0) == 0


def test_a_hint_is_a_lower_bound_and_is_capped():
    policy = FullJitter(base_ns=100, cap_ns=1_000, attempts=0)
    assert policy.delay_ns(1, 0, 700, 0.5) == 700
    assert policy.delay_ns(1, 0, 10**15, 0.5) == 1_000
    assert policy.delay_ns(1, 0, 10, 0.5) == 50


def test_attempts_and_total_time_end_it():
    assert FullJitter(attempts=3).delay_ns(2, 0, None, 0.5) is not None
    assert FullJitter(attempts=3).delay_ns(3, 0, None, 0.5) is None
    assert FullJitter(attempts=0, total_ns=10).delay_ns(9, 10, None, 0.5) is None


@pytest.mark.parametrize("options", [{"base_ns": "soon"}, {"atempts": "3"}])
def test_bad_options_are_named(options):
    with pytest.raises(ConfigError, match="retry"):
        full_jitter(options)
