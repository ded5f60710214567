"""Runs in ccxt's own interpreter, see `bench_peers`: the frames of a file through its Paradex handler.

Every line on standard input starts one pass; the answer is a line of JSON: its seconds and its last book.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import ccxt.pro

MARKET = {
    "symbol": "BTC-USD-PERP",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "settlement_currency": "USDC",
    "order_size_increment": "0.00001",
    "price_tick_size": "0.1",
    "asset_kind": "PERP",
    "min_notional": "10",
    "open_at": 0,
    "expiry_at": 0,
}


class Client:
    """What a handler tells its connection."""

    def __init__(self) -> None:
        self.told = 0
        self.book: Any = None

    def resolve(self, result: Any, message_hash: str) -> None:
        """A watcher would get this."""
        self.told += 1
        self.book = result

    def reject(self, error: Exception, message_hash: str | None = None) -> None:
        """A watcher would see this."""
        raise error


def main() -> None:
    """Answer until standard input ends."""
    frames = [base64.b64decode(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    exchange = ccxt.pro.paradex()
    exchange.set_markets([exchange.parse_market(MARKET)])
    for _ in sys.stdin:
        client = Client()
        started = time.perf_counter()
        for frame in frames:
            exchange.handle_message(client, frame)
        secs = time.perf_counter() - started
        book = client.book
        answer = {"secs": secs, "told": client.told, "bids": book["bids"], "asks": book["asks"]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
