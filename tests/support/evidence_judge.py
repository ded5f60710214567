"""What the engine was told, held against the venue's ledger and against what the client had heard by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evidence_world import World
    from paper_venue import PaperFill, PaperOrder

LOT = 100
EXPLAINED = frozenset({"cancel_ignored", "fills_missing"})
"""Alarms that say what is true on bad roads, and that later events take back."""
OF_BUSTS = frozenset({"void_without_order", "fill_after_void", "void_works", "fee_unknown"})
"""Of a fill that was taken back before it was told, a person hears; its fee is on no page any more."""


class Wrong(AssertionError):
    """What the judge found."""


class Judge:
    """`look` after every piece of evidence, `at_once` after one of the stream, `end` when all is calm."""

    def __init__(self, world: World) -> None:
        self.world, self.venue, self.engine = world, world.venue, world.engine
        self.told: dict[str, str] = {}
        """The name of the order in the engine, by fill."""
        self.voided: set[str] = set()
        self.closed: set[str] = set()
        """Names of orders that were told cancelled or rejected."""
        self._sizes: dict[str, float] = {}
        self._grown = False
        """An order was told larger than before; here they only shrink."""
        self._numbers: dict[str, int] = {}
        """The newest number of each order that the stream gave."""
        self._lines = self._alarms = 0

    def _wrong(self, text: str) -> None:
        raise Wrong(text)

    def look(self) -> None:
        """Everything told since was true, had been said by the venue, and was told once."""
        self._grown = False
        lines, self._lines = self.engine.log[self._lines :], len(self.engine.log)
        for line in lines:
            self.world.note(f"  told {line}")
            name, what, *rest = line.split(" ")
            judge = getattr(self, f"_told_{what}", None)
            if judge is not None:
                judge(name, rest)
        if self.engine.violations:
            self._wrong(f"the engine cannot do that: {self.engine.violations[0]}")
        alarms, self._alarms = self.engine.alarms[self._alarms :], len(self.engine.alarms)
        busts = any(one.busted_ns is not None for one in self.venue.fills.values())
        for kind, text in alarms:
            self.world.note(f"  alarm {kind}: {text}")
            if kind not in EXPLAINED and not (busts and kind in OF_BUSTS):
                self._wrong(f"an alarm without a cause: {kind}: {text}")

    def _order(self, name: str) -> PaperOrder | None:
        found = [one for one in self.venue.orders.values() if name in (one.client_id, f"HV-{one.id}")]
        return found[0] if found else None

    def _told_filled(self, name: str, rest: list[str]) -> None:
        size, trade = rest[0].split("@")[0], rest[1]
        true, heard = self.venue.fills.get(trade), self.world.heard
        if true is None or trade not in heard.fills:
            self._wrong(f"fill {trade} of {name} was told, and the venue did not say so")
        if trade in self.told:
            self._wrong(f"fill {trade} was told of {self.told[trade]} and of {name}")
        if trade in heard.busts_of_stream:
            self._wrong(f"fill {trade} was told after it was taken back")
        order = true.order
        mine = order is not None and self._order(name) is order
        if not (mine or trade in name):
            self._wrong(f"fill {trade} was told of {name}")
        if round(float(size) * 1_000) != true.lots * LOT or rest[0].split("@")[1] != true.price:
            self._wrong(f"fill {trade} was told as {rest[0]}, true is {true.lots * LOT}/1000@{true.price}")
        self.told[trade] = name

    def _told_changed(self, name: str, rest: list[str]) -> None:
        size = float(rest[0])
        self._grown = size > self._sizes.get(name, size)
        self._sizes[name] = size

    def _told_voided(self, name: str, rest: list[str]) -> None:
        (trade,) = rest
        if trade not in self.world.heard.busts or trade in self.voided or trade not in self.told:
            self._wrong(f"fill {trade} of {name} was voided, and nothing had said so")
        self.voided.add(trade)

    def _told_canceled(self, name: str, _rest: list[str]) -> None:
        self._ended(name, "cancelled")
        order = self._order(name)
        if order is None and name.rpartition("-")[2] in self.world.heard.busts:
            return  # an execution without an order, taken back before it was told
        if order is None or order.open or order.id not in self.world.heard.closed:
            self._wrong(f"{name} was told cancelled, and the venue did not say so")
        if order.refused:
            self._wrong(f"{name} was told cancelled, and it was refused")
        busts = any(one.busted_ns is not None for one in order.fills)
        counted = sum(one.lots for one in order.fills if one.id in self.told) == order.counted
        if not (counted or busts or self.venue.habits.cut_to_zero):
            self._wrong(f"{name} was told cancelled before its fills, which the venue had counted")

    def _told_expired(self, name: str, _rest: list[str]) -> None:
        self._wrong(f"{name} was told expired, and nothing expires here")

    def _told_rejected(self, name: str, _rest: list[str]) -> None:
        self._ended(name, "rejected")
        order, heard = self._order(name), self.world.heard
        if order is None:
            if name not in heard.refused and name in self.world.coming:
                self._wrong(f"{name} was told rejected, and it is on its way")
            if name not in heard.refused and not self.world.asked:
                self._wrong(f"{name} was told rejected, and nobody had asked for it")
        elif not (order.refused and order.id in heard.closed):
            self._wrong(f"{name} was told rejected, and the venue has it: {order.status} {order.reason}")

    def _told_cancel_rejected(self, name: str, _rest: list[str]) -> None:
        self._wrong(f"a cancel of {name} was told refused, and no venue did so")

    def _ended(self, name: str, how: str) -> None:
        if name in self.closed:
            self._wrong(f"{name} was told {how}, and it had ended before")
        self.closed.add(name)

    # --- no news waits

    def at_once(self, channel: str, row: dict[str, object]) -> None:
        """What the stream has just said of an order of ours is told, when nothing of it is missing."""
        if channel == "orders":
            number, newest = int(str(row["seq_no"])), self._numbers.get(str(row["id"]), 0)
            self._numbers[str(row["id"])] = max(number, newest)
            if self._grown and number < newest:
                self._wrong(f"{row['id']} has an older size again, after number {number} came late")
        order = self.world.delivery.orders.get(str(row.get("client_id")))
        known = self.world.tracker.get(str(row.get("client_id")))
        if order is None or known is None or known.retry_ns is not None:
            return  # not ours, or the engine did not take a report
        news = {str(row.get("id"))} - self.told.keys() - self.world.heard.busts
        if channel == "fills" and row["fee"] and news:
            self._wrong(f"fill {row['id']} came on the stream and was not told")
        if channel == "orders" and row["status"] == "CLOSED" and not order.is_closed:
            fills = self.venue.orders[str(row["id"])].fills
            if all(one.id in self.told and one.busted_ns is None for one in fills):
                self._wrong(f"the end of {row['client_id']} came on the stream and was not told")

    # --- the end

    def end(self) -> None:
        """The engine has what the ledger has, and nobody asks any more."""
        world = self.world
        self.look()
        for one in self.venue.fills.values():
            self._fill_stands(one)
        for name, order in world.delivery.orders.items():
            self._ended_as(name, order, self._order(name))
        for order in self.venue.orders.values():
            if order.client_id not in world.delivery.orders:
                self._other(order)
        if left := world.tracker.unresolved():
            self._wrong(f"{left} orders have no proven outcome")
        if late := [at for at in world.asked if at > world.quiet_ns]:
            self._wrong(f"asked {len(late)} times when everything was known")
        lots = self.venue.position() * LOT
        differing = world.bench.positions.differing([world.bench.position(f"{lots / 1_000:.3f}", at=0)])
        if differing:
            self._wrong(f"the position is {differing[0].expected} here and {lots}/1000 at the venue")

    def _fill_stands(self, one: PaperFill) -> None:
        told, void = one.id in self.told, one.id in self.voided
        if one.busted_ns is None and (not told or void):
            self._wrong(f"fill {one.id} stands at the venue: told {told}, voided {void}")
        if one.busted_ns is not None and told and not void:
            self._wrong(f"fill {one.id} was taken back, and stands in the engine")

    def _ended_as(self, name: str, order: object, true: PaperOrder | None) -> None:
        status = order.status.name
        if true is None or true.refused:
            if status != "REJECTED":
                self._wrong(f"{name} is {status} here, and was refused")
            return
        stands = [one for one in true.fills if one.busted_ns is None and self.told[one.id] == name]
        if order.filled_qty.raw != sum(one.lots for one in stands) * LOT * 10**13:
            self._wrong(f"{name} has {order.filled_qty} filled here, true are {[one.id for one in stands]}")
        if any(one.busted_ns is not None for one in true.fills):
            # What the engine makes of an order that is less filled than it was is its own affair.
            if not true.open and not order.is_closed:
                self._wrong(f"{name} is {status} here, and has ended")
            return
        if true.open and order.quantity.raw != true.lots * LOT * 10**13:
            self._wrong(f"{name} is of {order.quantity} here, true are {true.lots} lots")
        partly = "PARTIALLY_FILLED" if true.done else "ACCEPTED"
        # Of one that was trimmed to what was filled before, no fill is left to close it in the engine.
        filled = ("FILLED", "CANCELED") if true.trimmed else ("FILLED",)
        ended = filled if true.done == true.lots else ("CANCELED",)
        if status not in ((partly,) if true.open else ended):
            self._wrong(f"{name} is {status} here, true is {true.status} {true.done} of {true.lots}")

    def _other(self, true: PaperOrder) -> None:
        order = self.engine.external.get(f"HV-{true.id}")
        if order is None:
            if true.open or any(one.busted_ns is None for one in true.fills):
                self._wrong(f"{true.id} of another program was never told")
            return
        self._ended_as(f"{true.client_id or f'HV-{true.id}'}", order, true)
