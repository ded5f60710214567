"""Random lives of topics, connections, books and numbers against models that are written down here."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from nautilus_trader.model import BookType, InstrumentId, OrderBook, OrderBookDeltas

from venuekit.core import numbers
from venuekit.core.book import Book, Held
from venuekit.core.connection import Connection, End, Ended, SessionState
from venuekit.core.retry import FullJitter
from venuekit.core.subscriptions import Stage, Topics
from venuekit.errors import DecodeError
from venuekit.interfaces.manifest import BookRule, Chain, SnapshotFrom
from venuekit.interfaces.stream import BookUpdate, Topic

S = 10**9
CHANNELS = ("a", "b", "c")
channels = st.sampled_from(CHANNELS)


class TopicsAgainstAVenue(RuleBasedStateMachine):
    """The venue keeps a set and answers in order, late or never; doing a thing twice is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.topics = Topics(answer_ns=5 * S)
        self.intent: set[str] = set()
        self.venue: set[str] = set()
        self.wire: list[tuple[str, bool]] = []
        self.answers: list[tuple[str, bool, str]] = []
        self.refused: list[str] = []
        self.now = 0

    def flush(self) -> None:
        plan = self.topics.plan(self.now)
        asked = [topic.channel for topic in plan.unsubscribe + plan.subscribe]
        assert len(asked) == len(set(asked)), "two questions about one topic"
        self.wire += [(topic.channel, False) for topic in plan.unsubscribe]
        self.wire += [(topic.channel, True) for topic in plan.subscribe]

    def process(self, lose: bool) -> None:
        channel, subscribe = self.wire.pop(0)
        error = ""
        if subscribe == (channel in self.venue):
            error = "already" if subscribe else "unknown"
        (self.venue.add if subscribe else self.venue.discard)(channel)
        if not lose:
            self.answers.append((channel, subscribe, error))

    def answer(self) -> None:
        channel, subscribed, error = self.answers.pop(0)
        outcome = self.topics.apply_ack(channel, subscribed, error)
        if outcome.name == "REFUSED":
            self.refused.append(channel)
        self.flush()

    @rule(channel=channels)
    def add(self, channel: str) -> None:
        self.intent.add(channel)
        self.topics.add(Topic("public", channel))
        self.flush()

    @rule(channel=channels)
    def drop(self, channel: str) -> None:
        self.intent.discard(channel)
        self.topics.drop(Topic("public", channel))
        self.flush()

    @rule(channel=channels)
    def resync(self, channel: str) -> None:
        self.topics.resync(Topic("public", channel))
        self.flush()

    @precondition(lambda self: self.wire)
    @rule(lose=st.booleans())
    def venue_reads(self, lose: bool) -> None:
        self.process(lose)

    @precondition(lambda self: self.answers)
    @rule()
    def answer_comes(self) -> None:
        self.answer()

    @rule(channel=channels)
    def data_comes(self, channel: str) -> None:
        if channel in self.venue:
            self.topics.apply_seen(channel)
            self.flush()

    @rule()
    def time_passes(self) -> None:
        self.now += 5 * S
        self.topics.apply_time(self.now)
        self.flush()

    @rule()
    def connection_is_lost(self) -> None:
        self.venue, self.wire, self.answers = set(), [], []
        self.topics.apply_disconnected()
        self.flush()

    @invariant()
    def wanted_is_the_intent(self) -> None:
        assert self.topics.wanted == self.intent

    @invariant()
    def a_duplicate_never_reaches_the_user(self) -> None:
        assert not self.refused

    def teardown(self) -> None:
        """Once everything is answered, the venue holds exactly what is wanted."""
        for _ in range(30):
            while self.wire or self.answers:
                if self.wire:
                    self.process(lose=False)
                if self.answers:
                    self.answer()
            self.now += 5 * S
            self.topics.apply_time(self.now)
            self.flush()
            if not self.wire:
                break
        for channel in CHANNELS:
            wanted = channel in self.intent
            assert (channel in self.venue) == wanted, channel
            assert (self.topics.stage(channel) is Stage.LIVE) == wanted, channel


TestTopics = TopicsAgainstAVenue.TestCase
TestTopics.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)


class ConnectionLives(RuleBasedStateMachine):
    """Whatever happens: pauses are bounded, failed and stopped are final, one epoch an attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Connection(FullJitter(attempts=6, cap_ns=10 * S), frozenset({4001}))
        self.now = 0
        self.epochs = 0
        self.final: SessionState | None = None

    def over(self) -> bool:
        return self.final is not None

    @rule(secs=st.integers(0, 100))
    def time(self, secs: int) -> None:
        self.now += secs * S

    @rule()
    def connect(self) -> None:
        self.epochs += 1
        assert self.machine.apply_connecting(self.now) == self.epochs

    @precondition(lambda self: self.machine.state in (SessionState.CONNECTING, SessionState.AUTHENTICATING))
    @rule()
    def go_live(self) -> None:
        self.machine.apply_live(self.now)

    @rule(kind=st.sampled_from(End), code=st.sampled_from([None, 1000, 1006, 4001]), draw=st.floats(0, 0.999))
    def end(self, kind: End, code: int | None, draw: float) -> None:
        was_live = self.machine.was_live
        delay = self.machine.apply_ended(Ended(kind, code=code), self.now, draw)
        if self.over():
            assert delay is None
            return
        if delay is None:
            assert kind is End.HOPELESS or code == 4001 or not was_live
            self.final = SessionState.FAILED
        else:
            assert 0 <= delay <= 30 * S
            assert self.machine.state is SessionState.BACKING_OFF

    @rule()
    def stop(self) -> None:
        self.machine.apply_stop()
        self.final = SessionState.STOPPED

    @invariant()
    def final_is_final(self) -> None:
        if self.final is not None:
            assert self.machine.state is self.final


TestConnection = ConnectionLives.TestCase
TestConnection.settings = settings(max_examples=80, stateful_step_count=30, deadline=None, derandomize=True)

IID = InstrumentId.from_str("M.X")
levels = st.lists(
    st.tuples(st.integers(1, 40).map(lambda n: n * 100), st.integers(0, 5).map(lambda n: n * 10)),
    max_size=6,
    unique_by=lambda level: level[0],
)


def sides(
    update: tuple[list[tuple[int, int]], list[tuple[int, int]]], snapshot: bool, seq: int
) -> BookUpdate:
    bids, asks = update
    # Asks lie above every bid, so that nothing crosses.
    return BookUpdate(IID, snapshot, seq, seq, 1, 2, bids, [(p + 10_000, s) for p, s in asks], -3)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(levels, levels), min_size=1, max_size=12), st.data())
def test_what_is_published_rebuilds_the_venues_book_and_gaps_never_show(changes, data):
    """The model is two dictionaries; some frames are lost on the way, and then a snapshot is asked for."""
    book = Book(IID, BookRule(Chain.PLUS_ONE, SnapshotFrom.STREAM), 1, 2)
    truth: tuple[dict[int, int], dict[int, int]] = ({}, {})
    mirror = OrderBook(IID, BookType.L2_MBP)
    for seq, change in enumerate(changes, start=5):
        for side, wanted in zip(truth, change, strict=True):
            for price, size in wanted:
                side[price] = size
                if not size:
                    del side[price]
        if book.whole:
            if data.draw(st.integers(0, 4)) == 0:
                continue
            out = book.apply(sides(change, False, seq))
        else:
            whole = (list(truth[0].items()), list(truth[1].items()))
            out = book.apply(sides(whole, True, seq))
        if isinstance(out, OrderBookDeltas):
            mirror.apply_deltas(out)
        if out is Held.BROKEN or not book.whole:
            continue
        shown = (
            {
                int(Decimal(str(o.price)) * 1000): int(Decimal(str(o.first().size)) * 1000)
                for o in mirror.bids()
            },
            {
                int(Decimal(str(o.price)) * 1000) - 10_000: int(Decimal(str(o.first().size)) * 1000)
                for o in mirror.asks()
            },
        )
        assert shown == truth


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 10**14), st.integers(0, 9))
def test_text_to_model_to_text_is_the_identity_on_the_grid(number: int, precision: int):
    assume(number < 10 ** (13 + precision))
    text = f"{Decimal(number).scaleb(-precision):.{precision}f}"
    assert str(numbers.parse_price(text, precision)) == text
    assert str(numbers.parse_quantity(text, precision)) == text
    assert numbers.scaled(text, precision) == number
    assert Decimal(numbers.unscaled(number, precision)) == Decimal(text)
    # Trailing zeros, as venues write them, change nothing.
    longer = text + ("000" if precision else ".000")
    assert str(numbers.parse_price(longer, precision)) == text


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(-(10**18), 10**18), st.integers(0, 9))
def test_a_mantissa_is_either_exact_or_refused(mantissa: int, precision: int):
    exact = Decimal(mantissa).scaleb(-8)
    fits = exact == exact.quantize(Decimal(1).scaleb(-precision)) if precision < 9 else True
    try:
        made = numbers.price_of(mantissa, -8, precision)
    except DecodeError as error:
        assert error.kind == "off_grid"
        assert not fits
        return
    assert fits
    assert Decimal(str(made)) == exact
    assert made.precision == precision


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_decode_error(text: str):
    try:
        made = numbers.parse_price(text, 4)
    except DecodeError:
        return
    assert Decimal(str(made)) == Decimal(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_scaling_is_exact_or_refused(value: Decimal):
    assert Decimal(numbers.scaled(value, 8)).scaleb(-8) == value
    assert Decimal(numbers.scaled(str(value), 6)).scaleb(-6) == value
    if value != value.quantize(Decimal("1e-3")):
        with pytest.raises(Exception, match="decimals"):
            numbers.scaled(value, 3)
