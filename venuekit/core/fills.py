"""Fill identity and two-phase dedup: a fill is marked seen only after it was applied.

One book serves one account of one venue, where `FillRecord.trade_key` names one execution.
"""

from __future__ import annotations

from enum import Enum

from attrs import define, field


class Standing(Enum):
    """What is known of a trade key."""

    NEW = "new"
    OFFERED = "offered"
    """Handed out and not confirmed yet."""
    SEEN = "seen"
    TOO_OLD = "too_old"
    """Older than everything remembered, so whether it was applied cannot be said: a person must look."""


def void_name(trade_key: str) -> str:
    """The name under which a bust is remembered beside the fills."""
    return f"void {trade_key}"


@define
class FillBook:
    """The keys of applied fills, at most `most`; one that was forgotten can never be applied again."""

    most: int = 200_000
    floor_ns: int = -1
    """Venue time of the newest forgotten fill; an unknown fill at or before it is `TOO_OLD`, never `NEW`."""
    _seen: dict[str, int] = field(factory=dict)
    _offered: set[str] = field(factory=set)

    def standing(self, trade_key: str, ts_event: int) -> Standing:
        """Where this key stands."""
        if trade_key in self._seen:
            return Standing.SEEN
        if trade_key in self._offered:
            return Standing.OFFERED
        return Standing.TOO_OLD if ts_event <= self.floor_ns else Standing.NEW

    def offer(self, trade_key: str) -> None:
        """The fill is being applied."""
        self._offered.add(trade_key)

    def applied(self, trade_key: str, ts_event: int) -> None:
        """The fill is seen from now on."""
        self._offered.discard(trade_key)
        self._seen[trade_key] = ts_event
        if len(self._seen) > self.most:
            self._forget()

    def void(self, trade_key: str, ts_event: int) -> None:
        """The venue took the fill back: it is not applied from now on, and the bust is known."""
        self.applied(trade_key, ts_event)
        self.applied(void_name(trade_key), ts_event)

    def voided(self, trade_key: str) -> bool:
        """True once the venue was seen to take the fill back."""
        return void_name(trade_key) in self._seen

    def failed(self, trade_key: str) -> None:
        """Applying did not work: the fill is new again, the filter will not hide it."""
        self._offered.discard(trade_key)

    def __contains__(self, trade_key: str) -> bool:
        return trade_key in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def _forget(self) -> None:
        """Drop the oldest tenth by venue time, and raise the floor over all of them."""
        oldest = sorted(self._seen.items(), key=lambda item: item[1])[: max(1, self.most // 10)]
        for trade_key, ts_event in oldest:
            del self._seen[trade_key]
            self.floor_ns = max(self.floor_ns, ts_event)
