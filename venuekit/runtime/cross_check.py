"""What the other channels of an account say, held against its fills once those had the time to come.

A balance event names the fill that moved the money, and a position record says what all fills make. Both are
second witnesses: they never move anything here, but a fill that only they know was lost on its own channel.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nautilus_trader.model import InstrumentId

    from venuekit.core.orders import OrderTracker
    from venuekit.core.reconcile import PositionBook
    from venuekit.interfaces.records import MoneyMoved, PositionRecord
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock
    from venuekit.runtime.tasks import TaskScope

ROUND_NS = 2_000_000_000
"""A fill may trail its witnesses by this; balances are read once a round, however often money moved."""
_FIRST_SPACING_NS = 10_000_000_000
_LONGEST_SPACING_NS = 3_600_000_000_000
"""A venue whose witnesses never fit its fills must not cost a comparison every round."""


class CrossCheck:
    """Rounds that begin with a witness and end when every witness was heard out."""

    def __init__(
        self,
        *,
        tracker: OrderTracker,
        positions: PositionBook,
        compare: Callable[[], None],
        read_balances: Callable[[], Awaitable[None]],
        scope: TaskScope,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """`compare` lets the account be compared soon; `read_balances` never raises."""
        self._tracker = tracker
        self._book = positions
        self._compare = compare
        self._read_balances = read_balances
        self._scope = scope
        self._clock = clock
        self._counters = counters
        self._moved: dict[str, int] = {}
        """Fills that moved money by the time the witness came; their balances are not read yet."""
        self._positions: dict[InstrumentId, PositionRecord] = {}
        self._running = False
        self._owed = False
        """A witness was heard out in vain, and no comparison followed yet."""
        self._spacing_ns = _FIRST_SPACING_NS
        self._compare_from_ns = 0

    def apply_moved(self, item: MoneyMoved) -> None:
        """Balances are read within a round, and the fill must be known by its end."""
        self._moved.setdefault(item.trade_key, self._clock.mono_ns())
        self._begin()

    def apply_position(self, record: PositionRecord) -> None:
        """The fills must make this within a round in which none came."""
        known = self._positions.get(record.instrument_id)
        if known is None or (record.version or 0, record.ts_event) >= (known.version or 0, known.ts_event):
            self._positions[record.instrument_id] = record
            if not self._book.explains(record):
                self._begin()

    def _begin(self) -> None:
        if not self._running:
            self._running = True
            self._scope.start("cross_check", self._rounds())

    async def _rounds(self) -> None:
        try:
            while self._moved or self._owed or self._unexplained():
                applied, money = self._book.applied, len(self._moved)
                await self._clock.sleep_until(self._clock.mono_ns() + ROUND_NS)
                if money:
                    await self._read_balances()
                self._judge(quiet=applied == self._book.applied)
        finally:
            self._running = False

    def _judge(self, *, quiet: bool) -> None:
        due_ns = self._clock.mono_ns() - ROUND_NS
        due = [key for key, since in self._moved.items() if since <= due_ns]
        unseen = [key for key in due if key not in self._tracker.fills and self._tracker.owner(key) is None]
        for key in due:
            del self._moved[key]
        wrong = self._unexplained() if quiet else []
        for instrument_id in wrong:
            del self._positions[instrument_id]
        self._counters.inc("private.unseen_fills", len(unseen))
        self._counters.inc("private.unexplained_positions", len(wrong))
        now_ns = self._clock.mono_ns()
        self._owed = self._owed or bool(unseen or wrong)
        if self._owed and now_ns >= self._compare_from_ns:
            self._owed = False
            self._compare_from_ns = now_ns + self._spacing_ns
            self._spacing_ns = min(2 * self._spacing_ns, _LONGEST_SPACING_NS)
            self._compare()
        elif due and not unseen and not wrong:
            self._spacing_ns = _FIRST_SPACING_NS

    def _unexplained(self) -> list[InstrumentId]:
        return [iid for iid, record in self._positions.items() if not self._book.explains(record)]
