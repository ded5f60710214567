"""The height venue's exchange, in this process: blocks made by the test, and a log of what truly happened."""

import hashlib
import json

from memory_wire import MemoryExchange

from venuekit.interfaces.request import Reply


class HeightExchange(MemoryExchange):
    """`block()` makes the next block; orders and cancels of a block take effect in it."""

    def __init__(self, clock):
        super().__init__(clock)
        self.height = 100
        self.orders, self.fills, self.waiting = {}, [], []
        self.taken, self.seen_bytes = 0, set()
        self.breaches = 0
        self.silent_blocks = False

    # --- what the test does

    def block(self, frames=True):
        """The next block: at most two commands of an account are carried in one."""
        self.height += 1
        self.taken = 0
        waiting, self.waiting = self.waiting, []
        for kind, body in waiting:
            if kind == "place":
                self._open(body, frames)
            else:
                self._cancel(body, frames)
        if not self.silent_blocks:
            self.push({"height": self.height})

    def match(self, ref, size, price=None, frames=True, fee_on_stream=False):
        """The order trades, as long as it lives; also after a tentative cancel."""
        row = self.orders[ref]
        assert self.height <= row["good_til"], "it has run out"
        fill = {
            "id": f"f{len(self.fills) + 1}",
            "ref": ref,
            "market": row["market"],
            "side": row["side"],
            "size": size,
            "price": price or row["price"],
            "ts": self.clock.wall_ns(),
            "fee": "0.010000",
        }
        self.fills.append(fill)
        done = sum(int(f["size"].replace(".", "")) for f in self.fills if f["ref"] == ref)
        row["filled"] = f"{done / 1000:.3f}"
        row["ts"] = self.clock.wall_ns()
        if row["filled"] == row["size"]:
            row["status"] = "FILLED"
        if frames:
            self.push({"fill": fill if fee_on_stream else {k: v for k, v in fill.items() if k != "fee"}})
            self.push({"order": row})

    # --- the wire

    def rpc(self, request):
        """One transaction; the same bytes are recognised."""
        digest = hashlib.sha256(request.message).hexdigest()
        if digest in self.seen_bytes:
            return Reply("ok", b'{"code": 19}')
        self.taken += 1
        if self.taken > 2:
            self.breaches += 1
        self.seen_bytes.add(digest)
        body = json.loads(request.message)
        kind = "place" if "place" in body else "cancel"
        if kind == "place" and body["place"]["good_til"] < self.height:
            return Reply("ok", b'{"code": 41}')
        self.waiting.append((kind, body[kind]))
        return Reply("ok", b'{"code": 0}')

    def http(self, request):
        """The indexer; it forgets what ran out without a fill."""
        query = dict(request.query)
        rows = list(self.orders.values())
        live = [
            row for row in rows if row["status"] in ("BEST_EFFORT_OPENED", "OPEN") and not self._over(row)
        ]
        if request.path == "/order":
            row = self.orders.get(query["ref"])
            if row is None or (self._over(row) and row["filled"] == "0.000"):
                return Reply(404, b"{}")
            return Reply(200, json.dumps(self._final(row)).encode())
        found = {
            "/open": live,
            "/closed": [self._final(row) for row in rows if row not in live and row["filled"] != "0.000"],
            "/fills": self.fills,
            "/positions": self._positions(),
            "/balances": [{"ts": self.clock.wall_ns()}],
        }[request.path]
        return Reply(200, json.dumps(found).encode())

    # --- inside

    def _over(self, row):
        return self.height > row["good_til"]

    def _final(self, row):
        if self._over(row) and row["status"] != "FILLED":
            return {**row, "status": "CANCELED", "ts": self.clock.wall_ns()}
        return row

    def _positions(self):
        size = sum(int(f["size"].replace(".", "")) * (1 if f["side"] == "BUY" else -1) for f in self.fills)
        if not size:
            return []
        row = {
            "market": "BTC-USD-PERP",
            "size": f"{size / 1000:.3f}",
            "price": "100.0",
            "ts": self.clock.wall_ns(),
        }
        return [row]

    def _open(self, place, frames):
        row = {**place, "status": "BEST_EFFORT_OPENED", "filled": "0.000", "ts": self.clock.wall_ns()}
        assert place["ref"] not in self.orders, "two orders under one name"
        self.orders[place["ref"]] = row
        if frames:
            self.push({"order": row})

    def _cancel(self, ref, frames):
        row = self.orders.get(ref)
        if row is None or row["status"] == "FILLED":
            return
        row["status"], row["reason"] = "BEST_EFFORT_CANCELED", "USER_CANCELED"
        row["ts"] = self.clock.wall_ns()
        if frames:
            self.push({"order": row})
