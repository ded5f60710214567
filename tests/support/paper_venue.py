"""A venue on paper: what truly became of the orders of one account in one market, and what its roads say.

It knows nothing of the client. It keeps every state of every order with its time, so that a read may be told
of a moment that has passed, and says all in Paradex's own rows: the stream and REST number an order's states
each in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from attrs import define, field, frozen

MARKET = "BTC-USD-PERP"
LOT = 100
"""A lot in thousandths; sizes are whole lots."""
MS = 1_000_000
STREAM_NUMBERS = 1_000
"""The stream numbers the states of an order from here on; where REST begins is a habit."""


def size_text(lots: int) -> str:
    return f"{lots * LOT // 1_000}.{lots * LOT % 1_000:03d}"


@frozen
class Habits:
    """What one venue may do and another not."""

    history_lag_ms: int = 0
    """History and fills show what happened only so much later."""
    list_lag_ms: int = 0
    """So old is what the open list says."""
    page_rows: int = 100
    forgets_busted: bool = False
    """Its order rows count no more what was taken back."""
    lists_busted: bool = False
    """`/fills` goes on showing fills that were taken back."""
    cut_to_zero: bool = False
    """A cancel takes what remained away: a cancelled order has nothing remaining."""
    fees_on_stream: bool = True
    closed_by_end: bool = True
    """The window of `/orders-history` is of the time an order ended; else of the time it began."""
    rest_numbers: int = 1
    """REST numbers the states of an order from here on."""
    fine_times: bool = False
    """The stream gives times in nanoseconds; REST gives milliseconds."""


@define(eq=False)
class PaperFill:
    id: str
    order: PaperOrder | None
    side: str
    lots: int
    price: str
    ts_ns: int
    kind: str = "FILL"
    busted_ns: int | None = None


@define(eq=False)
class PaperOrder:
    """One order; `states` are all its states as rows, oldest first, each with its time."""

    id: str
    client_id: str
    side: str
    lots: int
    price: str
    began_ns: int
    status: str = "NEW"
    reason: str = ""
    done: int = 0
    """Lots that were executed, without those that were taken back."""
    counted: int = 0
    """Lots that its rows say were executed."""
    trimmed: bool = False
    fills: list[PaperFill] = field(factory=list)
    states: list[tuple[int, dict[str, object]]] = field(factory=list)

    @property
    def open(self) -> bool:
        return self.status != "CLOSED"

    @property
    def refused(self) -> bool:
        return self.reason == "NOT_ENOUGH_MARGIN"


type Told = Callable[[str, dict[str, object], int], None]


class PaperVenue:
    """`tell(channel, row, ts_ns)` hears of everything that the private stream has to say."""

    def __init__(self, habits: Habits, now_ns: Callable[[], int], tell: Told) -> None:
        self.habits, self._now_ns, self._tell = habits, now_ns, tell
        self.orders: dict[str, PaperOrder] = {}
        self.fills: dict[str, PaperFill] = {}
        self._last_ns = 0

    # --- what happens

    def _moment(self) -> int:
        """Now; two things never happen at one nanosecond, though they may in one millisecond."""
        self._last_ns = max(self._last_ns + 1_000, self._now_ns())
        return self._last_ns

    def place(
        self, client_id: str, side: str, lots: int, price: str, *, new: bool, refused: bool
    ) -> PaperOrder:
        """It is there, shown as new first or open at once; or the risk check ends it."""
        order = PaperOrder(f"V{len(self.orders) + 1}", client_id, side, lots, price, self._moment())
        self.orders[order.id] = order
        if new or refused:
            self._state(order, order.began_ns)
        if refused:
            self.close(order, "NOT_ENOUGH_MARGIN")
        else:
            order.status = "OPEN"
            self._state(order, self._moment() if new else order.began_ns)
        return order

    def fill(self, order: PaperOrder, lots: int) -> None:
        """Executed, at most what was never executed; the last lot ends it."""
        lots = min(lots, order.lots - sum(one.lots for one in order.fills))
        ts_ns = self._moment()
        order.done, order.counted = order.done + lots, order.counted + lots
        one = self._filled(order, order.side, lots, order.price, ts_ns)
        order.fills.append(one)
        if sum(one.lots for one in order.fills) == order.lots:
            order.status = "CLOSED"
        self._state(order, ts_ns)

    def transfer(self, side: str, lots: int) -> None:
        """A piece of a position comes from another account: an execution without an order."""
        self._filled(None, side, lots, "100.0", self._moment(), "TRANSFER")

    def _filled(
        self, order: PaperOrder | None, side: str, lots: int, price: str, ts_ns: int, kind: str = "FILL"
    ) -> PaperFill:
        one = PaperFill(f"T{len(self.fills) + 1}", order, side, lots, price, ts_ns, kind)
        self.fills[one.id] = one
        self._tell("fills", self._fill_row(one, self.habits.fees_on_stream), ts_ns)
        return one

    def trim(self, order: PaperOrder) -> None:
        """A lot less may be executed: it would turn the position, or trade with itself."""
        if order.lots - sum(one.lots for one in order.fills) > 1:
            order.lots, order.trimmed = order.lots - 1, True
            self._state(order, self._moment())

    def close(self, order: PaperOrder, reason: str) -> None:
        """Ended with what it has."""
        order.status, order.reason = "CLOSED", reason
        self._state(order, self._moment())

    def bust(self, one: PaperFill) -> None:
        """Taken back; the order does not come to life again by that. No two in one millisecond."""
        self._last_ns = self._moment() // MS * MS + MS
        one.busted_ns = self._moment()
        if (order := one.order) is not None:
            order.done -= one.lots
            if self.habits.forgets_busted:
                order.counted -= one.lots
                self._state(order, one.busted_ns)
        self._tell("tradebusts", self._bust_row(one), one.busted_ns)

    # --- rows

    def _state(self, order: PaperOrder, ts_ns: int) -> None:
        remaining = order.lots - order.counted
        if order.reason and self.habits.cut_to_zero:
            remaining = 0
        row: dict[str, object] = {
            "id": order.id,
            "client_id": order.client_id,
            "market": MARKET,
            "status": order.status,
            "size": size_text(order.lots),
            "remaining_size": size_text(remaining),
            "side": order.side,
            "type": "LIMIT",
            "instruction": "GTC",
            "price": order.price,
            "cancel_reason": order.reason,
            "avg_fill_price": order.price if order.fills else "",
            "created_at": order.began_ns // MS,
            "timestamp": order.began_ns // MS,
            "last_updated_at": ts_ns // MS,
        }
        order.states.append((ts_ns, row))
        self._tell("orders", row | {"seq_no": STREAM_NUMBERS + len(order.states)}, ts_ns)

    def _of_rest(self, order: PaperOrder, count: int) -> dict[str, object]:
        return order.states[count - 1][1] | {"seq_no": self.habits.rest_numbers + count}

    def _fill_row(self, one: PaperFill, fee: bool) -> dict[str, object]:
        return {
            "id": one.id,
            "market": MARKET,
            "order_id": one.order.id if one.order is not None else "",
            "client_id": one.order.client_id if one.order is not None else "",
            "price": one.price,
            "size": size_text(one.lots),
            "side": one.side,
            "liquidity": "MAKER",
            "fee": "0.01" if fee else "",
            "fee_currency": "USDC" if fee else "",
            "fill_type": one.kind,
            "created_at": one.ts_ns // MS,
        }

    def _bust_row(self, one: PaperFill) -> dict[str, object]:
        assert one.busted_ns is not None
        return {"busted_fill_id": one.id, "created_at": one.busted_ns // MS}

    # --- what a read says

    def position(self) -> int:
        """Net lots."""
        stand = [one for one in self.fills.values() if one.busted_ns is None]
        return sum(one.lots if one.side == "BUY" else -one.lots for one in stand)

    def answer(self, path: str, query: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        """Status and body of a GET, as of now less what this venue's lists lag."""
        asked = dict(query)
        head, _, tail = path.removeprefix("/").partition("/")
        now_ns = self._now_ns()
        if head == "orders":
            rows = self._opened(now_ns - self.habits.list_lag_ms * MS)
            if not tail:
                return self._page(rows, {})
            kind, _, name = tail.rpartition("/")
            found = [row for row in rows if row["client_id" if kind else "id"] == name]
            return (200, msgspec.json.encode(found[-1])) if found else (404, b'{"error":"NOT_FOUND"}')
        if head == "positions":
            lots = self.position()
            held = {"market": MARKET, "side": "LONG" if lots > 0 else "SHORT", "status": "OPEN"}
            row = {"average_entry_price": "100.0", "size": f"{'-' * (lots < 0)}{size_text(abs(lots))}"}
            return self._page([held | row | {"last_updated_at": now_ns // MS}] if lots else [], {})
        seen_ns = now_ns - self.habits.history_lag_ms * MS
        return self._page({"orders-history": self._ended, "fills": self._fills, "tradebusts": self._busts}[
            head
        ](seen_ns, asked), asked)

    def _opened(self, as_of_ns: int) -> list[dict[str, object]]:
        rows = []
        for order in self.orders.values():
            count = sum(ts_ns <= as_of_ns for ts_ns, _ in order.states)
            if count and order.states[count - 1][1]["status"] != "CLOSED":
                rows.append(self._of_rest(order, count))
        return rows

    def _ended(self, seen_ns: int, asked: dict[str, str]) -> list[dict[str, object]]:
        rows = []
        for order in self.orders.values():
            count = sum(ts_ns <= seen_ns for ts_ns, _ in order.states)
            name = asked.get("client_id", order.client_id)
            if count and order.states[count - 1][1]["status"] == "CLOSED" and name == order.client_id:
                rows.append(self._of_rest(order, count))
        at = "last_updated_at" if self.habits.closed_by_end else "created_at"
        return [row | {"_at": row[at]} for row in rows]

    def _fills(self, seen_ns: int, _asked: dict[str, str]) -> list[dict[str, object]]:
        return [
            self._fill_row(one, True) | {"_at": one.ts_ns // MS}
            for one in self.fills.values()
            if one.ts_ns <= seen_ns and (one.busted_ns is None or self.habits.lists_busted)
        ]

    def _busts(self, seen_ns: int, _asked: dict[str, str]) -> list[dict[str, object]]:
        return [
            self._bust_row(one) | {"_at": one.busted_ns // MS}
            for one in self.fills.values()
            if one.busted_ns is not None and one.busted_ns <= seen_ns
        ]

    def _page(self, rows: list[dict[str, object]], asked: dict[str, str]) -> tuple[int, bytes]:
        """Newest first; the cursor is the place of the last row, so that newer ones shift nothing."""
        start = int(asked.get("start_at", 0))
        rows = [row for row in rows if int(str(row.get("_at", start))) >= start]
        rows.sort(key=lambda row: _place(row), reverse=True)
        if cursor := asked.get("cursor"):
            rows = [row for row in rows if _place(row) < tuple(msgspec.json.decode(cursor))]
        whole = len(rows) <= self.habits.page_rows or not asked
        rows = rows if whole else rows[: self.habits.page_rows]
        following = None if whole else msgspec.json.encode(_place(rows[-1])).decode()
        shown = [{name: value for name, value in row.items() if name != "_at"} for row in rows]
        return 200, msgspec.json.encode({"results": shown, "next": following})


def _place(row: dict[str, object]) -> tuple[object, ...]:
    return row.get("_at", 0), str(row.get("id", row.get("busted_fill_id", "")))
