"""What must be asked, and when: look-ups and fill reads with back-off, and the one timer heap."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from attrs import define, field
from nautilus_trader.model import OrderStatus

from venuekit.core.evidence import deadlines
from venuekit.core.fate import ASKED, Ask, Fate
from venuekit.core.order_state import Action, Alarm, FetchFills, LookUp, Moment, Tracked
from venuekit.core.telling import FEE_TRIES, MODIFY_HOLD_NS, UNTOLD
from venuekit.interfaces.time import AtWall, passed

if TYPE_CHECKING:
    from venuekit.interfaces.manifest import Semantics
    from venuekit.interfaces.time import Deadline, Tick

_MS = 1_000_000
SOON_NS = 250 * _MS
_LOOK_CAP_NS = 10_000 * _MS
FILL_WAIT_NS = 500 * _MS
_FILL_CAP_NS = 30_000 * _MS


@define
class Agenda:
    """Keeps every order's next question; proof from elsewhere takes it off again."""

    semantics: Semantics
    tick: Tick | None = None
    _heap: list[tuple[int, int, Tracked]] = field(factory=list)
    _pushed: int = 0

    @property
    def settle_ns(self) -> int:
        """From here on a look-up sees what was sent, in the open list and in history."""
        return max(self.semantics.lookup_settles_ms, self.semantics.history_lag_ms) * _MS

    def next_due_ns(self) -> int | None:
        """Monotonic time of the next question, or None."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: Moment) -> Tracked | None:
        """An order whose timer has passed, taken off the heap; None: there is none."""
        while self._heap and self._heap[0][0] <= now.mono_ns:
            due, _, order = heapq.heappop(self._heap)
            if order.armed_ns == due:
                order.armed_ns = None
                return order
        return None

    def plan(self, order: Tracked, now: Moment) -> None:
        """Set the next question, or drop it when proof came from elsewhere."""
        delay = self._question_ns(order, now)
        if delay is None:
            order.look_due_ns, order.look_tries = None, 0
        elif order.look_due_ns is None and not order.looking:
            order.look_due_ns = now.mono_ns + delay
        missing = order.claimed_raw > order.filled_raw + order.waiting_raw
        missing = missing or any(fill.fee is None for fill in order.waiting.values())
        quiet = order.hidden_until_ns is not None or order.told is OrderStatus.DENIED or not order.reportable
        if quiet or not missing:
            order.fills_due_ns, order.fills_tries = None, 0
        elif order.fills_due_ns is None:
            order.fills_due_ns = now.mono_ns + FILL_WAIT_NS
        self.arm(order, now)

    def _question_ns(self, order: Tracked, now: Moment) -> int | None:
        """How long to wait before the next look-up; None: nothing is open."""
        # A refused order that is asked for is nowhere to be found: asked on, it would be asked for ever.
        refused = order.told in (OrderStatus.DENIED, OrderStatus.REJECTED)
        if refused or (order.ended and not order.answer_wanted):
            return None
        fates = [modify.fate for modify in order.modifies]
        if order.cancel is not None:
            fates.append(order.cancel.fate)
        if order.ours and order.told in UNTOLD and order.working is None and order.ending is None:
            # Seen by its fills alone, it may be open or not: that is asked as well.
            fates.append(Fate.UNKNOWN if order.fate is Fate.SEEN else order.fate)
        asks = [ASKED[fate] for fate in fates if fate in ASKED]
        over = order.ending is None and self.over(order.ids.ends, now)
        # A row that comes late may still claim what was taken back; nothing else is left to be asked for.
        undone = order.voids and not order.waiting and order.denied_existence
        unknown = not order.reportable and not undone
        hurry = over or unknown or order.answer_wanted or (order.ending and order.modifies)
        if not hurry and not asks:
            return None
        back_off = min(SOON_NS << min(order.look_tries, 6), _LOOK_CAP_NS)
        if order.denied_late_ns is not None:
            # Denied once more after this, it is decided.
            wait_ns = order.denied_late_ns + self.settle_ns - now.mono_ns
            back_off = min(back_off, wait_ns) if wait_ns > 0 else back_off
        if hurry or Ask.SOON in asks:
            return back_off
        return max(back_off, self.semantics.lookup_settles_ms * _MS)

    def arm(self, order: Tracked, now: Moment) -> None:
        """The order's timer is set for the earliest thing that waits for time."""
        dues = [
            due
            for due in (order.look_due_ns, order.fills_due_ns, order.retry_ns, order.hidden_until_ns)
            if due is not None
        ]
        if order.modifies and order.waiting:
            dues.append(order.modifies[0].asked_mono_ns + MODIFY_HOLD_NS)
        walls = [limit.ns for limit in deadlines(order) if isinstance(limit, AtWall) and not order.ended]
        dues += [now.mono_ns + wall_ns - now.wall_ns for wall_ns in walls if wall_ns > now.wall_ns]
        due = min((due for due in dues if due > now.mono_ns or due == order.retry_ns), default=None)
        if due is not None and (order.armed_ns is None or due < order.armed_ns):
            order.armed_ns = due
            self._pushed += 1
            heapq.heappush(self._heap, (due, self._pushed, order))

    def look(self, order: Tracked, now: Moment) -> LookUp:
        """The look-up that is asked now."""
        order.look_due_ns, order.looking, order.look_asked = None, True, now
        return LookUp(order.key, order.ids, max(0, order.began_ns - self.settle_ns))

    def ask_fills(self, order: Tracked, now: Moment) -> list[Action]:
        """The read of fills that is asked now; an alarm once it was asked in vain for long."""
        order.fills_tries += 1
        order.fills_due_ns = now.mono_ns + min(FILL_WAIT_NS << min(order.fills_tries, 8), _FILL_CAP_NS)
        since = order.began_ns
        oldest = min((fill.ts_event for fill in order.waiting.values()), default=since)
        actions: list[Action] = [FetchFills(max(0, min(since, oldest) - self.settle_ns))]
        if order.fills_tries == FEE_TRIES and order.claimed_raw > order.filled_raw + order.waiting_raw:
            lacking = order.claimed_raw - order.filled_raw - order.waiting_raw
            actions.append(
                Alarm("fills_missing", f"order {order.key}: fills of raw quantity {lacking} are missing")
            )
        return actions

    def over(self, deadline: Deadline | None, now: Moment) -> bool:
        """True when the deadline has passed, on the clock it is given in."""
        return deadline is not None and passed(deadline, now.wall_ns, self.tick)
