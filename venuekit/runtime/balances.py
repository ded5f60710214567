"""Balances on their way to the engine, newest last, and whether the stream kept one to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit.interfaces.records import BalanceRecord, Source

if TYPE_CHECKING:
    from nautilus_trader.model import Money

    from venuekit.interfaces.telemetry import Counters
    from venuekit.runtime.sink import ExecutionSink


class Balances:
    """Tells the sink every balance that is not older than the last one told."""

    def __init__(self, sink: ExecutionSink, counters: Counters) -> None:
        self._sink = sink
        self._counters = counters
        self._order: tuple[int, int] = (-1, -1)
        self._totals_read: list[Money] | None = None
        """Totals of the last read; None: the stream told that money moved since."""
        self._streamed = False

    def apply(self, record: BalanceRecord) -> bool:
        """True for a read whose totals moved since the read before, while the stream told of no balance.

        Stream and reads need not count alike, so only a read is compared with a read.
        """
        order = (record.version or 0, record.ts_event)
        if order < self._order:
            self._counters.inc("private.stale_balances")
            return False
        newer, self._order = order > self._order, order
        self._sink.account(record.balances, record.margins, True, record.ts_event)
        if record.source is Source.STREAM:
            self._totals_read, self._streamed = None, True
            return False
        before, self._totals_read = self._totals_read, [one.total for one in record.balances]
        return newer and self._streamed and before is not None and before != self._totals_read

    def apply_moved(self) -> None:
        """The stream said that money moved: what the next read shows of it was not kept silent."""
        self._totals_read = None
