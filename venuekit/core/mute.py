"""Whether one topic among many has gone mute: confirmed, its connection alive, and nothing comes of it."""

from __future__ import annotations

from enum import Enum

from attrs import define, field

ANSWER_NS = 10_000_000_000
"""A topic that was subscribed anew and brings nothing for this long is not helped by its connection."""
_WIDEST = 64
_CALM = 10
"""So many bounds after a mistake the patience with a topic shrinks again."""


class Remedy(Enum):
    """What to do about a mute topic; the values are counter names."""

    RESUBSCRIBE = "topics.mute"
    RECONNECT = "topics.mute_connection"


@define
class _Watch:
    since_ns: int
    """Nothing has come since."""
    widened: int = 1
    """The bound is taken times this: a market may be quiet."""
    asked_ns: int | None = None
    answered: bool = True


@define
class Mutes:
    """The topics of a service that must tick, by channel.

    A quiet market is no fault, and cannot be told from a mute topic. So it is subscribed anew, which costs a
    snapshot, and each time in vain the patience with it doubles.
    """

    _watches: dict[str, _Watch] = field(factory=dict)

    def apply(self, channel: str, bound_ns: int, *, fresh: bool, now_ns: int) -> Remedy | None:
        """What to do now; `fresh`: data came since the last call. Call it about once a second."""
        watch = self._watches.setdefault(channel, _Watch(now_ns))
        if fresh:
            watch.since_ns, watch.answered = now_ns, True
            if watch.asked_ns is not None and now_ns - watch.asked_ns >= _CALM * bound_ns:
                watch.widened = max(1, watch.widened // 2)
                watch.asked_ns = now_ns if watch.widened > 1 else None
            return None
        if watch.asked_ns is not None and not watch.answered:
            if now_ns - watch.asked_ns < ANSWER_NS:
                return None
            watch.since_ns, watch.answered = now_ns, True
            return Remedy.RECONNECT
        if now_ns - watch.since_ns < bound_ns * watch.widened:
            return None
        watch.since_ns = watch.asked_ns = now_ns
        watch.answered = False
        watch.widened = min(2 * watch.widened, _WIDEST)
        return Remedy.RESUBSCRIBE

    def apply_down(self, channel: str, now_ns: int) -> None:
        """Its connection is not live, or it is not confirmed: nothing can come."""
        watch = self._watches.get(channel)
        if watch is not None:
            watch.since_ns, watch.answered = now_ns, True

    def keep(self, channels: set[str]) -> None:
        """The other topics are not wanted any more."""
        for gone in self._watches.keys() - channels:
            del self._watches[gone]
