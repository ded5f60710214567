"""What strategies want, which topics bring it, and what each connection has asked and confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import define, field, frozen

from venuekit.interfaces.stream import Topic, Want


@define
class Wants:
    """Reference counts: many wants share one topic, and equal wants are counted."""

    _counts: dict[Want, int] = field(factory=dict)
    _topics: dict[Want, Topic] = field(factory=dict)
    _by_topic: dict[Topic, set[Want]] = field(factory=dict)

    def add(self, want: Want, topic: Topic) -> bool:
        """Count one more; True when its topic was not needed before."""
        count = self._counts.get(want, 0)
        self._counts[want] = count + 1
        if count:
            return False
        self._topics[want] = topic
        sharing = self._by_topic.setdefault(topic, set())
        sharing.add(want)
        return len(sharing) == 1

    def remove(self, want: Want) -> Topic | None:
        """Count one less (never below zero); the topic when nobody needs it any more."""
        count = self._counts.get(want, 0)
        if count > 1:
            self._counts[want] = count - 1
            return None
        if not count:
            return None
        del self._counts[want]
        topic = self._topics.pop(want)
        sharing = self._by_topic[topic]
        sharing.discard(want)
        if sharing:
            return None
        del self._by_topic[topic]
        return topic

    def __contains__(self, want: Want) -> bool:
        return want in self._counts

    def topic(self, want: Want) -> Topic | None:
        """The topic that brings `want`, when it is wanted."""
        return self._topics.get(want)

    def of(self, topic: Topic) -> frozenset[Want]:
        """The wants that `topic` serves."""
        return frozenset(self._by_topic.get(topic, ()))

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Every topic that somebody needs."""
        return tuple(self._by_topic)


@define
class Shards:
    """Which connection carries which topic; a topic stays where it is until it is released."""

    capacity: int
    """Topics per connection at most."""
    _home: dict[Topic, int] = field(factory=dict)
    _load: list[int] = field(factory=list)

    def place(self, topic: Topic) -> int:
        """The connection for `topic`: where it is, else the first with room, else a new one."""
        home = self._home.get(topic)
        if home is not None:
            return home
        home = next((n for n, load in enumerate(self._load) if load < self.capacity), len(self._load))
        if home == len(self._load):
            self._load.append(0)
        self._load[home] += 1
        self._home[topic] = home
        return home

    def release(self, topic: Topic) -> int | None:
        """The place of `topic` is free; the connection that carried it."""
        home = self._home.pop(topic, None)
        if home is not None:
            self._load[home] -= 1
        return home

    @property
    def count(self) -> int:
        """Connections that were ever needed."""
        return len(self._load)


class Stage(Enum):
    """What this connection has asked of the venue for one topic."""

    IDLE = "idle"
    ASKED = "asked"
    LIVE = "live"
    LEAVING = "leaving"
    REFUSED = "refused"


@define
class _Entry:
    topic: Topic
    wanted: bool = True
    again: bool = False
    """Leave and come back: a resync."""
    stage: Stage = Stage.IDLE
    since_ns: int = 0
    tries: int = 0
    doubtful: bool = False
    """The venue may have it already: a refusal then means "twice", and is no news."""
    put_off: int = 0
    """Refusals in a row for a reason that passes."""


@frozen
class Plan:
    """What to send now, unsubscribes first."""

    unsubscribe: tuple[Topic, ...]
    subscribe: tuple[Topic, ...]

    def __bool__(self) -> bool:
        return bool(self.unsubscribe or self.subscribe)


class Outcome(Enum):
    """What an acknowledgement meant; the values are counter names."""

    CONFIRMED = "topics.confirmed"
    LEFT = "topics.left"
    REFUSED = "topics.refused"
    PUT_OFF = "topics.put_off"
    """Refused for a reason that passes; it is asked for again, later each time."""
    TWICE = "topics.duplicate"
    """The venue had it already."""
    UNEXPECTED = "topics.unexpected_ack"
    ENDED = "topics.ended_by_venue"
    """The venue ended it unasked; it is asked for again when wanted."""


@define
class Topics:
    """Wanted against confirmed on ONE connection; at most one question a topic is open at a time.

    Intent changes freely; when the open question is answered (by an ack, by data, or by its timeout) the
    machine compares and asks again. So the last intent always wins.
    """

    answer_ns: int = 5_000_000_000
    """How long an answer may take."""
    max_tries: int = 3
    longest_ns: int = 300_000_000_000
    """The longest pause before a topic that was refused for a passing reason is asked for again."""
    _entries: dict[str, _Entry] = field(factory=dict)
    _dirty: dict[str, None] = field(factory=dict)
    _open: dict[str, None] = field(factory=dict)
    """Channels with an open question."""
    _later: dict[str, int] = field(factory=dict)
    """When the channels that were refused for a passing reason are asked for again."""

    def add(self, topic: Topic) -> None:
        """`topic` is wanted; a refused one is asked for again."""
        entry = self._entries.get(topic.channel)
        if entry is None:
            entry = self._entries[topic.channel] = _Entry(topic)
        if entry.stage is Stage.REFUSED:
            entry.stage, entry.tries = Stage.IDLE, 0
            self._later.pop(topic.channel, None)
        if not entry.wanted and entry.stage in (Stage.LIVE, Stage.ASKED):
            # Dropped and wanted again before it was left: whoever wants it now has not seen its snapshot.
            entry.again = True
        entry.wanted = True
        self._dirty[topic.channel] = None

    def drop(self, topic: Topic) -> None:
        """`topic` is not wanted."""
        entry = self._entries.get(topic.channel)
        if entry is not None:
            entry.wanted = False
            self._dirty[topic.channel] = None

    def resync(self, topic: Topic) -> None:
        """`topic` starts afresh once its open question is answered."""
        entry = self._entries.get(topic.channel)
        # Asked or leaving means that a fresh start is already under way.
        if entry is not None and entry.stage is Stage.LIVE:
            entry.again = True
            self._dirty[topic.channel] = None

    def plan(self, now_ns: int) -> Plan:
        """What to send now; it counts as sent."""
        leave: list[Topic] = []
        ask: list[Topic] = []
        dirty, self._dirty = self._dirty, {}
        for channel in dirty:
            entry = self._entries.get(channel)
            if entry is None:
                continue
            if entry.stage is Stage.LIVE and (entry.again or not entry.wanted):
                entry.again = False
                self._question(entry, Stage.LEAVING, now_ns)
                leave.append(entry.topic)
            elif entry.stage is Stage.IDLE and entry.wanted:
                entry.tries += 1
                self._question(entry, Stage.ASKED, now_ns)
                ask.append(entry.topic)
            elif entry.stage in (Stage.IDLE, Stage.REFUSED) and not entry.wanted:
                del self._entries[channel]
                self._later.pop(channel, None)
        return Plan(tuple(leave), tuple(ask))

    def apply_ack(self, channel: str, subscribed: bool, error: str, passing: bool = False) -> Outcome:
        """The venue answered for one channel; `passing`: it refused for a reason that passes."""
        entry = self._entries.get(channel)
        if entry is None:
            return Outcome.UNEXPECTED
        if subscribed:
            return self._subscribe_answered(entry, error, passing)
        if entry.stage is Stage.LEAVING:
            # An error means that the venue did not have it, unless it only had no time: then it may have.
            self._answered(entry, Stage.IDLE)
            entry.tries, entry.doubtful = 0, passing
            return Outcome.LEFT
        if entry.stage is Stage.LIVE and not error:
            entry.doubtful = True
            self._answered(entry, Stage.IDLE)
            return Outcome.ENDED
        return Outcome.UNEXPECTED

    def _subscribe_answered(self, entry: _Entry, error: str, passing: bool) -> Outcome:
        if entry.stage is Stage.LIVE and error:
            return Outcome.TWICE
        if entry.stage is not Stage.ASKED:
            return Outcome.UNEXPECTED
        if error and passing:
            pause_ns = min(self.answer_ns << min(entry.put_off, 8), self.longest_ns)
            entry.put_off += 1
            self._later[entry.topic.channel] = entry.since_ns + pause_ns
            self._answered(entry, Stage.REFUSED)
            return Outcome.PUT_OFF
        if error and not entry.doubtful:
            self._answered(entry, Stage.REFUSED)
            return Outcome.REFUSED
        self._answered(entry, Stage.LIVE)
        entry.tries, entry.doubtful, entry.put_off = 0, False, 0
        return Outcome.TWICE if error else Outcome.CONFIRMED

    def apply_seen(self, channel: str) -> None:
        """Data of the channel came: that confirms it as well as an ack."""
        entry = self._entries.get(channel)
        if entry is not None and entry.stage is Stage.ASKED:
            self._answered(entry, Stage.LIVE)
            entry.tries, entry.doubtful = 0, False

    def apply_time(self, now_ns: int) -> tuple[Topic, ...]:
        """Open questions without an answer are asked again, or given up: those are returned."""
        for channel in [channel for channel, due_ns in self._later.items() if due_ns <= now_ns]:
            del self._later[channel]
            self._entries[channel].stage, self._entries[channel].tries = Stage.IDLE, 0
            self._dirty[channel] = None
        given_up: list[Topic] = []
        for channel in list(self._open):
            entry = self._entries[channel]
            if now_ns - entry.since_ns < self.answer_ns:
                continue
            if entry.stage is Stage.ASKED and entry.wanted and entry.tries >= self.max_tries:
                given_up.append(entry.topic)
                entry.tries = 0
            entry.doubtful = True
            # Whoever left without an answer may still be there, and the reverse.
            gone = entry.stage is Stage.LEAVING or entry.wanted
            self._answered(entry, Stage.IDLE if gone else Stage.LIVE)
        return tuple(given_up)

    def apply_disconnected(self) -> None:
        """Nothing is asked or confirmed any more; what is wanted will be asked on the next connection."""
        self._entries = {name: _Entry(entry.topic) for name, entry in self._entries.items() if entry.wanted}
        self._dirty = dict.fromkeys(self._entries)
        self._open, self._later = {}, {}

    def stage(self, channel: str) -> Stage:
        """How far the venue is with this channel."""
        entry = self._entries.get(channel)
        return Stage.IDLE if entry is None else entry.stage

    def topic(self, channel: str) -> Topic | None:
        """The topic of this channel, when it is wanted."""
        entry = self._entries.get(channel)
        return entry.topic if entry is not None and entry.wanted else None

    def all_live(self, topics: Iterable[Topic]) -> bool:
        """True when every one of `topics` is confirmed."""
        return all(self.stage(topic.channel) is Stage.LIVE for topic in topics)

    @property
    def wanted(self) -> frozenset[str]:
        """The channels that are wanted."""
        return frozenset(name for name, entry in self._entries.items() if entry.wanted)

    @property
    def unanswered(self) -> int:
        """How many questions are open."""
        return len(self._open)

    def _question(self, entry: _Entry, stage: Stage, now_ns: int) -> None:
        entry.stage, entry.since_ns = stage, now_ns
        self._open[entry.topic.channel] = None

    def _answered(self, entry: _Entry, stage: Stage) -> None:
        entry.stage = stage
        self._open.pop(entry.topic.channel, None)
        self._dirty[entry.topic.channel] = None
