"""The height venue's trading half: the order's name is known before the wire, and it lives until a block.

Nothing here is shaped by another venue: the reply to a place is only `Received`, a cancel is tentative until
the order's last block has passed, an order that runs out makes no sound, and fills come without their fee.
"""

import hashlib
import json

from attrs import define
from nautilus_trader.model import LiquiditySide, Money, OrderSide, OrderStatus, Price, Quantity

from venuekit.errors import BadValue
from venuekit.interfaces.orders import (
    Denied,
    Draft,
    Prepared,
    Received,
    RefusedOutcome,
    Submit,
    Unknown,
    Verdict,
)
from venuekit.interfaces.reconciliation import Found, NotFound, Query
from venuekit.interfaces.records import (
    BalanceRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    Source,
    WireIds,
)
from venuekit.interfaces.request import Handshake, HttpRequest, RpcRequest
from venuekit.interfaces.stream import Ignored, Page, Quarantined, Topic, TopicAck, Unsupported
from venuekit.interfaces.time import AfterHeight, Tick
from venuekit.interfaces.venue import AccountParts, Parts

LIFE_BLOCKS = 20
STATUS = {
    "BEST_EFFORT_OPENED": OrderStatus.ACCEPTED,
    "OPEN": OrderStatus.ACCEPTED,
    "FILLED": OrderStatus.FILLED,
    "BEST_EFFORT_CANCELED": OrderStatus.CANCELED,
    "CANCELED": OrderStatus.CANCELED,
}


def ref_of(client_order_id: str) -> str:
    """The venue's order id is a digest of ours, so that it is known before anything is sent."""
    return hashlib.sha256(client_order_id.encode()).hexdigest()[:32]


@define
class Blocks:
    """The newest block, shared by the stream that sees it and the orders that need it."""

    tick: Tick | None = None


class HeightWire:
    """Rows and frames of the venue as records."""

    def __init__(self, ctx):
        self.ctx = ctx

    def order(self, row, source):
        symbol = self.ctx.symbols.by_raw(row["market"])
        tentative = row["status"] == "BEST_EFFORT_CANCELED"
        return OrderRecord(
            ids=WireIds(client_ref=row["ref"], venue_order_id=row["ref"]),
            source=source,
            ts_event=row["ts"],
            instrument_id=symbol.instrument_id,
            status=STATUS[row["status"]],
            settles=AfterHeight(row["good_til"]) if tentative else None,
            side=OrderSide.from_str(row["side"]),
            quantity=Quantity.from_str(row["size"]),
            price=Price.from_str(row["price"]),
            filled=Quantity.from_str(row["filled"]),
            reason=row.get("reason", ""),
        )

    def fill(self, row, source):
        symbol = self.ctx.symbols.by_raw(row["market"])
        return FillRecord(
            trade_key=row["id"],
            ids=WireIds(client_ref=row["ref"], venue_order_id=row["ref"]),
            instrument_id=symbol.instrument_id,
            quantity=Quantity.from_str(row["size"]),
            price=Price.from_str(row["price"]),
            ts_event=row["ts"],
            source=source,
            side=OrderSide.from_str(row["side"]),
            fee=Money.from_str(f"{row['fee']} USDC") if "fee" in row else None,
            liquidity=LiquiditySide.MAKER,
        )


class HeightStream:
    """One private connection."""

    def __init__(self, ctx, blocks):
        self.wire, self.blocks = HeightWire(ctx), blocks

    def handshake(self, token):
        return Handshake("memory://node")

    def login(self, token):
        return ()

    def topic(self, want):
        return Unsupported("the height venue has no market data")

    def standing(self):
        return (Topic("private", "account", private=True),)

    def subscribe(self, topics, token):
        return [json.dumps({"subscribe": topic.channel}) for topic in topics]

    def unsubscribe(self, topics):
        return [json.dumps({"unsubscribe": topic.channel}) for topic in topics]

    def keepalive(self):
        return None

    def request(self, request, key):
        raise BadValue("this stream takes no requests")

    def decode(self, frame, ts_init):
        try:
            said = json.loads(frame)
            if "subscribed" in said:
                return [TopicAck((said["subscribed"],), subscribed=True)]
            if "height" in said:
                self.blocks.tick = Tick(said["height"], ts_init)
                return [self.blocks.tick]
            if "order" in said:
                return [self.wire.order(said["order"], Source.STREAM)]
            return [self.wire.fill(said["fill"], Source.STREAM)] if "fill" in said else [Ignored("other")]
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            return [Quarantined("bad_frame", str(error), private=True)]


class HeightOrders:
    """Order entry, without I/O."""

    def __init__(self, blocks):
        self.blocks = blocks

    def check(self, command):
        if isinstance(command, Submit) and self.blocks.tick is None:
            return Denied(
                "STREAM_RECONCILING", "no block was seen yet, so no order can be given its last one"
            )
        return None

    def draft(self, command):
        if isinstance(command, Submit):
            return [
                Draft("place", (o.client_order_id.value,), o.client_order_id.value, "node", o)
                for o in command.orders
            ]
        return [
            Draft("cancel", (o.client_order_id.value,), o.client_order_id.value, "node", ids)
            for o, ids in command.targets
        ]

    def to_sign(self, draft, stamp):
        return None

    def encode(self, draft, stamp, signed):
        name = draft.covers[0]
        if draft.op == "cancel":
            body = {"cancel": ref_of(name)}
            return Prepared(_rpc("cancel", body), {name: draft.payload}, same_bytes_safe=True)
        if stamp.tick is None:
            raise BadValue("no block is known to count the order's life from")
        order, last = draft.payload, stamp.tick.height + LIFE_BLOCKS
        place = {
            "ref": ref_of(name),
            "market": order.instrument_id.symbol.value,
            "side": order.side.name,
            "size": str(order.quantity),
            "price": str(order.price),
            "good_til": last,
        }
        request = _rpc("place", {"place": place})
        ids = WireIds(client_order_id=name, client_ref=ref_of(name), ends=AfterHeight(last))
        # The node keeps the hash of every transaction it took, so the same bytes are one order.
        return Prepared(request, {name: ids}, AfterHeight(stamp.tick.height + 3), same_bytes_safe=True)

    def verdict(self, prepared, reply):
        code = json.loads(reply.body).get("code") if reply.status == "ok" else None
        if code == 0 or code == 19:  # 19: these very bytes were taken before
            return Verdict(Received(WireIds()))
        if code == 41:
            return Verdict(RefusedOutcome("41", "the order cannot be carried"))
        return Verdict(Unknown(f"code {code}"))

    async def next_nonce(self, lane):
        raise BadValue("this venue has no nonces")


def _rpc(op, body):
    return RpcRequest(op, op, json.dumps(body).encode())


class HeightReads:
    """The indexer prunes what ran out without a fill, so absence proves an end after the last block."""

    def __init__(self, ctx, blocks):
        self.ctx, self.wire, self.blocks = ctx, HeightWire(ctx), blocks

    async def _get(self, path, **query):
        request = HttpRequest("read", "GET", path, tuple(query.items()))
        reply = await self.ctx.ports["indexer"].send(request)
        return json.loads(reply.body) if reply.status == 200 else None

    async def page(self, query, window, cursor):
        rows = await self._get("/" + query.value, since=str(window.start_ns or 0))
        if rows is None:
            raise BadValue(f"the indexer has no page {query.value}")
        return Page([self._row(query, row) for row in rows])

    def _row(self, query, row):
        if query in (Query.OPEN, Query.CLOSED):
            return self.wire.order(row, Source.PAGE)
        if query is Query.FILLS:
            return self.wire.fill(row, Source.PAGE)
        if query is Query.POSITIONS:
            symbol = self.ctx.symbols.by_raw(row["market"])
            return PositionRecord(
                instrument_id=symbol.instrument_id,
                signed_qty=row["size"],
                avg_px=row["price"],
                ts_event=row["ts"],
                source=Source.PAGE,
            )
        return BalanceRecord(ts_event=row["ts"], source=Source.PAGE)

    async def look_up(self, ids, since):
        row = await self._get("/order", ref=ids.client_ref or ids.venue_order_id or "")
        if row is not None:
            return Found(self.wire.order(row, Source.LOOKUP))
        tick, ends = self.blocks.tick, ids.ends
        over = tick is not None and isinstance(ends, AfterHeight) and tick.height > ends.height
        return NotFound(conclusive=over)


async def open_venue(ctx):
    """The parts; `ctx.config` is a `HeightConfig`."""
    blocks = Blocks()
    account = AccountParts(
        account_id=ctx.config.account,
        private=lambda: HeightStream(ctx, blocks),
        orders=HeightOrders(blocks),
        reads=HeightReads(ctx, blocks),
    )
    return Parts(instruments=None, public=lambda: HeightStream(ctx, blocks), account=account)
