"""The same SBE frames through our service and through ccxt's Paradex handler; each ends with the same book.

ccxt takes every book frame as a whole book, so the frames are whole books of 15 levels a side, as the venue's
snapshot channel sends them. Ours go through session, codec, sequence check, deltas and a native order book.
ccxt runs in an interpreter and folder of its own (`.independent/`), and passes alternate.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from bench_stream import IID, book_frame, opened, per_frame_ns
from nautilus_trader.model import BookType, OrderBook, OrderBookDeltas

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".independent" / "ccxt"
PIN = "ccxt==4.5.90"
INSTALL_SECS = 150
DEPTH, FRAMES, ROUNDS = 15, 400, 15
LIMIT = 2.5


class Keeper:
    """A sink that keeps the book."""

    def __init__(self) -> None:
        self.book = OrderBook(IID, BookType.L2_MBP)

    def instrument(self, instrument: object) -> None:
        """Not measured."""

    def data(self, obj: object) -> None:
        """The book is as after this frame."""
        if isinstance(obj, OrderBookDeltas):
            self.book.apply_deltas(obj)


def whole_books() -> list[bytes]:
    """Books around a moving price, sizes almost never twice."""
    draw, frames = Random(5), []
    for seq in range(1, FRAMES + 1):
        mid = 8_000_000_000_000 + draw.randrange(50) * 10_000_000
        sides = [
            [
                (mid + sign * step * 10_000_000, draw.randrange(1, 500_000) * 1_000)
                for step in range(1, DEPTH + 1)
            ]
            for sign in (-1, 1)
        ]
        frames.append(book_frame(seq, *sides, kind=0))
    return frames


def interpreter() -> Path | None:
    """Python of ccxt's folder, made the first time; None when it cannot be installed."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        subprocess.run([str(base), "-m", "venv", str(FOLDER)], check=True, timeout=INSTALL_SECS)
    wanted = [str(python), "-c", f"import ccxt; assert ccxt.__version__ == {PIN.partition('==')[2]!r}"]
    if subprocess.run(wanted, capture_output=True, timeout=60, check=False).returncode == 0:
        return python
    install = [str(python), "-m", "pip", "install", "--quiet", PIN]
    done = subprocess.run(install, capture_output=True, timeout=INSTALL_SECS, check=False)
    return python if done.returncode == 0 else None


def rows() -> list[dict[str, Any]]:
    """Rows with name, ours, reference, ratio, unit, target, ok; about 15 s, the first time a minute."""
    name = f"levels into a kept book, SBE frames of {2 * DEPTH} levels; reference: {PIN.replace('==', ' ')}"
    blank = {"name": name, "ours": None, "reference": None, "ratio": None, "unit": "/s"}
    python = interpreter()
    if python is None:
        return [{**blank, "target": f"skipped: {PIN} cannot be installed here", "ok": None}]
    frames = whole_books()
    with peer(python, frames) as ask:
        ours, theirs = asyncio.run(compare(frames, ask))
    return [
        {
            **blank,
            "ours": round(ours),
            "reference": round(theirs),
            "ratio": ours / theirs,
            "target": f"at least {LIMIT} x",
            "ok": ours >= LIMIT * theirs,
        }
    ]


@contextmanager
def peer(python: Path, frames: Sequence[bytes]) -> Iterator[Callable[[], dict[str, Any]]]:
    """A process of ccxt's; every call lets it take all frames once and gives its answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frames.txt")
        path.write_text("\n".join(base64.b64encode(frame).decode() for frame in frames))
        command = [str(python), str(HERE / "ccxt_peer.py"), str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        told, heard = process.stdin, process.stdout

        def ask() -> dict[str, Any]:
            told.write("go\n")
            told.flush()
            answer: dict[str, Any] = json.loads(heard.readline())
            return answer

        try:
            yield ask
        finally:
            told.close()
            process.wait(timeout=10)


async def compare(frames: Sequence[bytes], ask: Callable[[], dict[str, Any]]) -> tuple[float, float]:
    """Levels a second, ours and theirs, each its best pass; both end with the same book."""
    keeper = Keeper()
    levels = 2 * DEPTH * len(frames)
    service, receiver = await opened(keeper)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(levels / (per_frame_ns(receiver.on_frame, frames) * len(frames) / 1e9))
        await asyncio.sleep(0)
        answer = ask()
        theirs.append(levels / answer["secs"])
        assert answer["told"] == len(frames)
        kept = [[(float(row[0]), float(row[1])) for row in answer[side]] for side in ("bids", "asks")]
        assert _levels(keeper.book) == kept, "the two books differ"
    await service.stop()
    return max(ours), max(theirs)


def _levels(book: OrderBook) -> list[list[tuple[float, float]]]:
    """As ccxt has them: exact numbers first, then the nearest floats."""
    orders = [[level.first() for level in side] for side in (book.bids(), book.asks())]
    return [
        [(float(one.price.as_decimal()), float(one.size.as_decimal())) for one in side if one]
        for side in orders
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
