"""Whether the file beside a journal, which holds its newest lines, is as it was written.

SQLite ends at the first frame that is not sound and drops all behind it without a word. For the end of a file
that is right: a process was killed while it wrote. In the middle it is damage, and lines are lost. What is
left of a line that failed, on a full disk, lies behind the newest line as well, and lacks its last frame.
Source of the format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from io import BufferedReader

_HEAD, _FRAME = 32, 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683
"""Which way round the words are that the sums are made of."""


def damage(file: BufferedReader) -> str | None:
    """What is wrong with this `-wal` file; None: every line in it can be read, or it is empty."""
    head = file.read(_HEAD)
    if not head:
        return None
    if len(head) < _HEAD:
        return "its beginning is missing"
    magic, _, page, _, *salts, one, two = struct.unpack(">8I", head)
    if magic not in (_LITTLE, _BIG) or page not in {1 << n for n in range(9, 17)}:
        return "it is no such file"
    order = "<" if magic == _LITTLE else ">"
    sums = _summed(head[:24], order, (0, 0))
    if sums != (one, two):
        return "its beginning is not what was written"
    number, ended, whole = 0, 0, False
    while len(frame := file.read(_FRAME + page)) == _FRAME + page:
        number += 1
        # The last frame of a line says how large the journal is with it; the others say zero.
        _, size, first, second, one, two = struct.unpack_from(">6I", frame)
        # With other salts it is of what was in the file before it was begun anew.
        current = [first, second] == salts
        if not ended and current:
            sums = _summed(frame[:8] + frame[_FRAME:], order, sums)
            if sums == (one, two):
                continue
        whole = whole or size > 0
        if ended and current and whole:
            return f"frame {ended} is not what was written, and others follow it"
        ended = ended or number
    return None


def _summed(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second
