"""The nonce venue's trading half: every command is a signed transaction with the key's next nonce.

The hash of a transaction is known before the wire. The reply only says that the API took it; the sequencer
refuses later, over the stream. A cancel must name the order's index, which only the stream tells.
"""

import json

from nautilus_trader.model import LiquiditySide, Money, OrderSide, OrderStatus, Price, Quantity
from nonce_venue_manifest import MANIFEST

from venuekit.errors import BadValue, SendFailed
from venuekit.interfaces.manifest import Says
from venuekit.interfaces.orders import (
    Cancel,
    CancelAll,
    Draft,
    Modify,
    NonceFate,
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
from venuekit.interfaces.request import Evidence, Handshake, HttpRequest, StreamRequest
from venuekit.interfaces.signer import SecretKind, SecretRef, SignRequest
from venuekit.interfaces.stream import Ignored, Page, Quarantined, StreamReply, Topic, TopicAck, Unsupported
from venuekit.interfaces.venue import AccountParts, Parts

STATUS = {
    "open": OrderStatus.ACCEPTED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceled-margin": OrderStatus.REJECTED,
    "canceled-post-only": OrderStatus.REJECTED,
}

PROVES = {rule.code: rule.says for rule in MANIFEST.errors}


def client_index(client_order_id):
    """The venue's client ids are numbers; `O-12` is 12, and back."""
    return int(client_order_id.removeprefix("O-"))


class NonceWire:
    """Rows and frames as records."""

    def __init__(self, ctx):
        self.ctx = ctx

    def order(self, row, source):
        status = STATUS[row["status"]]
        return OrderRecord(
            ids=WireIds(
                client_order_id=f"O-{row['client']}" if row.get("client") is not None else None,
                venue_order_id=str(row["index"]) if row.get("index") is not None else None,
                tx_hash=row.get("hash"),
            ),
            source=source,
            ts_event=row["ts"],
            version=row["version"],
            instrument_id=self.ctx.symbols.by_raw(row["market"]).instrument_id,
            status=status,
            refusal=status == OrderStatus.REJECTED,
            post_only_refusal=row["status"] == "canceled-post-only",
            reason=row["status"] if status == OrderStatus.REJECTED else "",
            side=OrderSide.from_str(row["side"]),
            quantity=Quantity.from_str(row["size"]),
            price=Price.from_str(row["price"]),
            filled=Quantity.from_str(row["filled"]),
        )

    def fill(self, row, source):
        return FillRecord(
            trade_key=str(row["trade"]),
            ids=WireIds(venue_order_id=str(row["index"])),
            instrument_id=self.ctx.symbols.by_raw(row["market"]).instrument_id,
            quantity=Quantity.from_str(row["size"]),
            price=Price.from_str(row["price"]),
            ts_event=row["ts"],
            source=source,
            side=OrderSide.from_str(row["side"]),
            fee=Money.from_str("0 USDC"),
            liquidity=LiquiditySide.TAKER,
        )


class NonceStream:
    """One private connection; commands travel on it too."""

    def __init__(self, ctx):
        self.wire = NonceWire(ctx)

    def handshake(self, token):
        return Handshake("memory://stream")

    def login(self, token):
        return ()

    def topic(self, want):
        return Unsupported("the nonce venue has no market data")

    def standing(self):
        return (Topic("private", "account", private=True),)

    def subscribe(self, topics, token):
        return [json.dumps({"subscribe": topic.channel}) for topic in topics]

    def unsubscribe(self, topics):
        return [json.dumps({"unsubscribe": topic.channel}) for topic in topics]

    def keepalive(self):
        return None

    def request(self, request, key):
        return json.dumps({"key": key, "tx": json.loads(request.payload)})

    def decode(self, frame, ts_init):
        try:
            said = json.loads(frame)
            if "subscribed" in said:
                return [TopicAck((said["subscribed"],), subscribed=True)]
            if "code" in said:
                return [StreamReply(said["key"], said["code"] == 200, frame.encode())]
            if "order" in said:
                return [self.wire.order(said["order"], Source.STREAM)]
            return [self.wire.fill(said["fill"], Source.STREAM)] if "fill" in said else [Ignored("other")]
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            return [Quarantined("bad_frame", str(error), private=True)]


class NonceOrders:
    """Order entry, without I/O."""

    def __init__(self, ctx):
        self.ctx = ctx
        self.lane = f"key-{ctx.config.key_index}"

    def check(self, command):
        return None

    def draft(self, command):
        if isinstance(command, Submit):
            return [self._draft("create", o, self._order(o)) for o in command.orders]
        if isinstance(command, Modify):
            fields = {"index": command.ids.venue_order_id, "price": str(command.price or command.order.price)}
            fields["size"] = str(command.quantity or command.order.quantity)
            return [self._draft("modify", command.order, fields)]
        if isinstance(command, Cancel):
            return [self._draft("cancel", o, {"index": ids.venue_order_id}) for o, ids in command.targets]
        assert isinstance(command, CancelAll)
        names = tuple(order.client_order_id.value for order, _ in command.targets)
        return [Draft("cancel_all", names, self.lane, "tx", {})]

    def _draft(self, op, order, fields):
        return Draft(op, (order.client_order_id.value,), self.lane, "tx", fields)

    def _order(self, order):
        return {
            "client": client_index(order.client_order_id.value),
            "market": order.instrument_id.symbol.value,
            "side": order.side.name,
            "size": str(order.quantity),
            "price": str(order.price),
            "post_only": order.is_post_only,
        }

    def to_sign(self, draft, stamp):
        return SignRequest("toy", draft.op, {"nonce": stamp.nonce, "body": json.dumps(draft.payload)})

    def encode(self, draft, stamp, signed):
        tx = {
            "op": draft.op,
            "nonce": stamp.nonce,
            "hash": signed.digest.hex(),
            "sig": signed.signature.hex(),
        }
        request = StreamRequest(draft.op, "sendtx", json.dumps({**tx, **draft.payload}).encode())
        known = {name: WireIds(client_order_id=name) for name in draft.covers}
        if draft.op == "create":
            name = draft.covers[0]
            known = {name: WireIds(client_order_id=name, tx_hash=signed.digest.hex(), nonce=stamp.nonce)}
        return Prepared(request, known)

    def verdict(self, prepared, reply):
        try:
            code = json.loads(reply.body)["code"]
        except (ValueError, KeyError, TypeError):
            return Verdict(Unknown("the reply could not be read"), nonce=NonceFate.UNCERTAIN)
        if code == 200:
            return Verdict(Received(WireIds()))
        if code == 21104:
            return Verdict(RefusedOutcome("21104", "invalid nonce", nonce_stale=True), nonce=NonceFate.FREE)
        if PROVES.get(str(code)) is Says.REFUSED:
            return Verdict(RefusedOutcome(str(code), "refused by the API"), nonce=NonceFate.FREE)
        return Verdict(Unknown(f"code {code}"), nonce=NonceFate.UNCERTAIN)

    async def next_nonce(self, lane):
        reply = await self.ctx.ports["api"].send(HttpRequest("read", "GET", "/next_nonce"))
        return json.loads(reply.body)["nonce"]


class NonceReads:
    """The API's reads; a transaction that the sequencer never took has no trace, and that is a proof."""

    def __init__(self, ctx):
        self.ctx, self.wire = ctx, NonceWire(ctx)

    async def _get(self, path, **query):
        request = HttpRequest("read", "GET", path, tuple((k, v) for k, v in query.items() if v is not None))
        reply = await self.ctx.ports["api"].send(request)
        if reply.status not in (200, 404):
            raise SendFailed(f"{path}: {reply.status}", evidence=Evidence.REPLIED)
        return json.loads(reply.body) if reply.status == 200 else None

    async def page(self, query, window, cursor):
        found = await self._get("/" + query.value, since=str(window.start_ns or 0), cursor=cursor)
        if found is None:
            raise BadValue(f"the API has no page {query.value} now")
        return Page([self._row(query, row) for row in found["rows"]], found.get("next"))

    def _row(self, query, row):
        if query in (Query.OPEN, Query.CLOSED):
            return self.wire.order(row, Source.PAGE)
        if query is Query.FILLS:
            return self.wire.fill(row, Source.PAGE)
        if query is Query.POSITIONS:
            return PositionRecord(
                instrument_id=self.ctx.symbols.by_raw(row["market"]).instrument_id,
                signed_qty=row["size"],
                avg_px=row["price"],
                ts_event=row["ts"],
                source=Source.PAGE,
            )
        return BalanceRecord(ts_event=row["ts"], source=Source.PAGE)

    async def look_up(self, ids, since):
        client = str(client_index(ids.client_order_id)) if ids.client_order_id else None
        row = await self._get("/order", client=client, index=ids.venue_order_id, hash=ids.tx_hash)
        return NotFound(conclusive=True) if row is None else Found(self.wire.order(row, Source.LOOKUP))


async def open_venue(ctx):
    """The parts; the signer was chosen by the host."""
    signer = ctx.make_signer(SecretRef(SecretKind.ENV, "NONCE_VENUE_KEY"), {})
    account = AccountParts(
        account_id="7",
        private=lambda: NonceStream(ctx),
        orders=NonceOrders(ctx),
        reads=NonceReads(ctx),
        signer=signer,
    )
    return Parts(instruments=None, public=lambda: NonceStream(ctx), account=account)
