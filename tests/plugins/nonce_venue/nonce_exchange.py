"""The nonce venue's exchange, in this process: an API that checks nonces, a sequencer that decides later."""

import hashlib
import json

from attrs import frozen
from memory_wire import MemoryExchange

from venuekit.errors import SendFailed
from venuekit.interfaces.request import Reply
from venuekit.interfaces.signer import Signed, Where

KEY = b"nonce-venue-test-key"


@frozen
class ToySigner:
    """Signs with a digest; in three steps, so that the loop runs in between."""

    public: str = "toy"
    where: Where = Where.INLINE

    def warm(self):
        pass

    def sign(self, request):
        digest = hashlib.sha256(repr(sorted(request.fields.items())).encode()).digest()
        return Signed(hashlib.sha256(KEY + digest).digest(), digest)

    def sign_steps(self, request):
        yield None
        yield None
        yield self.sign(request)


class NonceExchange(MemoryExchange):
    """`decide()` lets the sequencer work; until then the API has only taken the transactions."""

    def __init__(self, clock, page_size=2):
        super().__init__(clock)
        self.next_nonce, self.page_size = 40, page_size
        self.txs, self.pending, self.orders, self.fills = [], [], {}, []
        self.no_margin, self.drop = set(), set()
        self.mute = False
        self.shift = 0
        """Lots that the position has beyond its fills."""
        self.automatic = True

    # --- what the test does

    def decide(self):
        """The sequencer works through what the API took."""
        pending, self.pending = self.pending, []
        for tx in pending:
            getattr(self, "_" + tx["op"])(tx)

    def match(self, client, size, frames=True, order_frame=True):
        row = self.orders[client]
        fill = {
            "trade": 9_000 + len(self.fills),
            "index": row["index"],
            "market": row["market"],
            "side": row["side"],
            "size": size,
            "price": row["price"],
            "ts": self.clock.wall_ns(),
        }
        self.fills.append(fill)
        done = sum(int(f["size"].replace(".", "")) for f in self.fills if f["index"] == row["index"])
        row["filled"] = f"{done / 1000:.3f}"
        row["status"] = "filled" if row["filled"] == row["size"] else row["status"]
        self._stamp(row)
        if frames:
            self.say({"fill": fill})
            if order_frame:
                self.say({"order": row})

    def say(self, said):
        if not self.mute:
            self.push(said)

    # --- the wire

    def on_stream_frame(self, link, said):
        if "tx" not in said:
            super().on_stream_frame(link, said)
            return
        self.requests.append(said["tx"])
        way = lambda: self.take(said["tx"])  # noqa: E731
        fault = self.faults.pop(0) if self.faults else None
        try:
            reply = fault(said["tx"], way) if fault is not None else way()
            link.receiver.on_frame(json.dumps({"key": said["key"], **json.loads(reply.body)}))
        except SendFailed:
            pass  # no reply comes
        if self.automatic:
            self.decide()

    def take(self, tx):
        signed = hashlib.sha256(KEY + bytes.fromhex(tx["hash"])).hexdigest()
        if signed != tx["sig"]:
            return Reply("ok", b'{"code": 21120}')
        if tx["nonce"] != self.next_nonce:
            return Reply("ok", b'{"code": 21104}')
        if tx.get("size") == "13.000":
            return Reply("ok", b'{"code": 21701}')
        self.next_nonce += 1
        self.txs.append(tx)
        self.pending.append(tx)
        return Reply("ok", b'{"code": 200}')

    def http(self, request):
        query = dict(request.query)
        if request.path == "/next_nonce":
            return Reply(200, json.dumps({"nonce": self.next_nonce}).encode())
        if request.path == "/order":
            row = next((r for r in self.orders.values() if self._named(r, query)), None)
            return Reply(200, json.dumps(row).encode()) if row is not None else Reply(404, b"{}")
        rows = {
            "/open": [r for r in self.orders.values() if r["status"] == "open"],
            "/closed": [r for r in self.orders.values() if r["status"] != "open"],
            "/fills": self.fills,
            "/positions": self._positions(),
            "/balances": [{"ts": self.clock.wall_ns()}],
        }[request.path]
        start = int(query.get("cursor", "0"))
        more = start + self.page_size < len(rows)
        found = {"rows": rows[start : start + self.page_size]}
        if more:
            found["next"] = str(start + self.page_size)
        return Reply(200, json.dumps(found).encode())

    def commands(self):
        return [request for request in self.requests if isinstance(request, dict)]

    # --- inside

    def _named(self, row, query):
        client = query.get("client")
        named = (client is not None and int(client) == row["client"]) or query.get("index") == str(
            row["index"]
        )
        return named or (query.get("hash") is not None and query["hash"] == row["hash"])

    def _positions(self):
        size = sum(int(f["size"].replace(".", "")) * (1 if f["side"] == "BUY" else -1) for f in self.fills)
        size += self.shift
        row = {
            "market": "BTC-USD-PERP",
            "size": f"{size / 1000:.3f}",
            "price": "100.0",
            "ts": self.clock.wall_ns(),
        }
        return [row] if size else []

    def _stamp(self, row):
        row["ts"] = self.clock.wall_ns()
        row["version"] = row.get("version", 0) + 1

    def _create(self, tx):
        if tx["client"] in self.drop:
            return  # lost in the sequencer: no trace
        assert tx["client"] not in self.orders, "two orders under one client id"
        row = {
            "client": tx["client"],
            "index": 500 + len(self.orders),
            "hash": tx["hash"],
            "market": tx["market"],
            "side": tx["side"],
            "size": tx["size"],
            "price": tx["price"],
            "filled": "0.000",
            "status": "canceled-margin" if tx["client"] in self.no_margin else "open",
        }
        self.orders[tx["client"]] = row
        self._stamp(row)
        self.say({"order": row})

    def _of(self, tx):
        return next((r for r in self.orders.values() if str(r["index"]) == str(tx["index"])), None)

    def _modify(self, tx):
        row = self._of(tx)
        if row is None or row["status"] != "open":
            return
        row["price"], row["size"] = tx["price"], tx["size"]
        self._stamp(row)
        self.say({"order": row})

    def _cancel(self, tx):
        row = self._of(tx)
        if row is not None and row["status"] == "open":
            row["status"] = "canceled"
            self._stamp(row)
            self.say({"order": row})

    def _cancel_all(self, tx):
        for row in self.orders.values():
            if row["status"] == "open":
                self._cancel({"index": row["index"]})
