"""The same book, quote and trade as an SBE frame and as a JSON frame, through the codec alone.

Reference: the JSON frame, whose sizes and prices are texts. Sizes recur, as those of makers do.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from bench_stream import MARKET, Loaded, bbo_frames, book_frame, per_frame_ns, random_levels
from venuekit_paradex.stream import ParadexStream

from venuekit.core.numbers import unscaled
from venuekit.core.symbols import Symbols
from venuekit.interfaces.request import Frame

TS = 1_791_421_539_000_000_000
ROUNDS, COUNT = 31, 400
NAME = MARKET.decode()
type Pair = tuple[list[bytes], list[str]]


def _text(channel: str, data: dict[str, Any]) -> str:
    body = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return json.dumps(body, separators=(",", ":"))


def books(levels: int) -> Pair:
    """Changes of this many levels, in both forms."""
    draw, binary, texts = Random(3), list[bytes](), list[str]()
    for seq in range(2, COUNT // max(1, levels // 8) + 2):
        half = levels // 2
        sides = [random_levels(draw, half, base) for base in (7_000_000_000_000, 9_000_000_000_000)]
        binary.append(book_frame(seq, *sides))
        updates = [
            {"side": side, "price": unscaled(price, 8), "size": unscaled(size, 8)}
            for side, rows in zip(("BUY", "SELL"), sides, strict=True)
            for price, size in rows
        ]
        data = {
            "seq_no": seq,
            "market": NAME,
            "last_updated_at": 1_791_421_535_339,
            "update_type": "d",
            "inserts": [],
            "updates": updates,
            "deletes": [],
        }
        texts.append(_text(f"order_book.{NAME}.deltas", data))
    return binary, texts


def quotes() -> Pair:
    """Best prices in both forms."""
    binary = bbo_frames(COUNT)
    texts = []
    for frame in binary:
        _, seq, bid, bid_size, ask, ask_size = struct.unpack_from("<qqqqqq", frame, 8)
        names = ("bid", "bid_size", "ask", "ask_size")
        prices = {
            name: unscaled(one, 8) for name, one in zip(names, (bid, bid_size, ask, ask_size), strict=True)
        }
        data = {"market": NAME, **prices, "last_updated_at": 1_791_421_923_325, "seq_no": seq}
        texts.append(_text(f"bbo.{NAME}", data))
    return binary, texts


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; takes about 3 s."""
    # Two numbers a side are hardly more than their envelope, and both forms remember what they converted.
    found = [("best prices", quotes(), 1.25)]
    found += [(f"a book change of {levels} levels", books(levels), 0.5) for levels in (6, 200)]
    return [_row(name, *pair, limit) for name, pair, limit in found]


def _decoder() -> Callable[[Frame], object]:
    symbols = Symbols()
    load = Loaded(symbols).load(None)
    try:
        load.send(None)
    except StopIteration:
        pass
    decode = ParadexStream(url="ws://bench", symbols=symbols, private=False, sbe_version=1).decode
    return lambda frame: decode(frame, TS)


def _said(decode: Callable[[Frame], Any], frame: Frame) -> str:
    (one,) = decode(frame)
    said = repr(one)
    # The two forms have different clocks: microseconds and milliseconds.
    return said.replace("1791421535339902000", "1791421535339000000")


def _row(name: str, binary: Sequence[bytes], texts: Sequence[str], limit: float) -> dict[str, Any]:
    decode = _decoder()
    first, other = _said(decode, binary[0]), _said(decode, texts[0])
    assert first == other, f"the two forms say different things:\n{first}\n{other}"
    sbe, text = [], []
    for _ in range(ROUNDS):
        sbe.append(per_frame_ns(decode, binary))
        text.append(per_frame_ns(decode, texts))
    ours, reference = min(sbe), min(text)
    return {
        "name": f"decode {name}, SBE; reference: the same in JSON",
        "ours": round(ours / 1_000, 3),
        "reference": round(reference / 1_000, 3),
        "ratio": ours / reference,
        "unit": "us",
        "target": f"at most {limit} x",
        "ok": ours <= limit * reference,
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
