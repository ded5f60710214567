"""Of what kinds the memory of a process is, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)")
_ARENA = 1 << 29
"""mimalloc reserves a gibibyte at once; nothing else reserves nearly as much."""

NAMES = {
    "native": "Nautilus's native code (mimalloc)",
    "pieces": "Python's arenas and large pieces of the C library",
    "c_heap": "pages of the C heap",
    "files": "code and other files",
}
"""Each part of resident memory, with the words for it."""


def parts_of(pid: int) -> dict[str, int]:
    """Bytes of resident memory by part; they add up to all. Raise `OSError` without such a process."""
    return parts_in(Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8"))


def parts_in(smaps: str) -> dict[str, int]:
    """The same of the text of `smaps`."""
    found = dict.fromkeys(NAMES, 0)
    name = "pieces"
    for row in smaps.splitlines():
        if row.startswith("Rss:"):
            found[name] += int(row.split()[1]) * 1024
        elif head := _HEAD.fullmatch(row):
            begin, end, path = head.groups()
            if path == "[heap]":
                name = "c_heap"
            elif path.startswith("/"):
                name = "files"
            else:
                name = "native" if int(end, 16) - int(begin, 16) >= _ARENA else "pieces"
    return found
