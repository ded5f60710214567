"""The capture format: JSON lines, a header first, then what went over each connection and port, in order.

A line is one `Entry`. Frames stand as text or base64, byte for byte; secrets are masked when it is written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, TypeGuard

from attrs import field, frozen

from venuekit.errors import CaptureError
from venuekit.interfaces.request import Frame

VERSION = 1


class What(Enum):
    """What an entry is."""

    OPEN = "open"
    IN = "in"
    OUT = "out"
    CLOSED = "closed"
    REQUEST = "request"
    REPLY = "reply"
    FAILED = "failed"


@frozen
class Entry:
    """One line: when (Unix nanoseconds), on which connection or exchange, what."""

    what: What
    ts_ns: int
    number: int
    """Connections and exchanges are counted apart, from 1."""
    frame: Frame = b""
    """The frame, or the body of a request or reply."""
    about: Mapping[str, str] = field(factory=dict)
    """Whatever else was said: url; op, method, path, query; status; code, reason; evidence."""


@frozen
class Capture:
    """A capture as a whole."""

    about: Mapping[str, str]
    entries: tuple[Entry, ...]
    torn: bool = False
    """The last line was cut off (the recorder was killed) and is left out."""

    def of(self, *what: What) -> Iterator[Entry]:
        """The entries of these kinds, in order."""
        return (entry for entry in self.entries if entry.what in what)


def encode_header(about: Mapping[str, str]) -> str:
    """The first line."""
    return json.dumps({"venuekit_capture": VERSION, **about}, separators=(",", ":"))


def encode_entry(entry: Entry) -> str:
    """One line."""
    row: dict[str, object] = {"what": entry.what.value, "t": entry.ts_ns, "n": entry.number}
    if isinstance(entry.frame, str):
        row["text"] = entry.frame
    elif entry.frame:
        row["b64"] = base64.b64encode(entry.frame).decode()
    if entry.about:
        row["about"] = dict(entry.about)
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False)


def load_capture(path: Path) -> Capture:
    """The capture in a file (ours, or one JSON object with `frames`); `CaptureError` when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"cannot read {path.name}: {error}") from error
    # Not `splitlines`: a text may hold other line separators, which JSON does not escape.
    lines = text.removesuffix("\n").split("\n")
    header = _parse(lines[0])
    if isinstance(header, dict) and "venuekit_capture" in header:
        return _parse_lines(path.name, header, lines[1:])
    whole = _parse(text)
    if isinstance(whole, dict) and isinstance(whole.get("frames"), list):
        return _parse_frames(path.name, whole)
    raise CaptureError(f"{path.name} is no capture", hint="make one with `venuekit record`")


class CaptureFile:
    """A capture being written; every line is whole once `write` returned and the buffer was flushed."""

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        try:
            # Open for as long as the recording lasts.
            self._file: IO[str] = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise CaptureError(f"cannot write {path}: {error}") from error
        self.entries = 0
        self._file.write(encode_header(about) + "\n")

    def write(self, entry: Entry) -> None:
        """The entry is in the file or its buffer; nothing after `close`."""
        if not self._file.closed:
            self._file.write(encode_entry(entry) + "\n")
            self.entries += 1

    def close(self) -> None:
        """Everything is in the file."""
        self._file.close()


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse_lines(name: str, header: Mapping[str, object], lines: Sequence[str]) -> Capture:
    version = header["venuekit_capture"]
    if version != VERSION:
        raise CaptureError(f"{name} has version {str(version)[:20]}, this program reads {VERSION}")
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=2):
        row = _parse(line)
        if not isinstance(row, dict):
            if number == len(lines) + 1:
                return Capture(_texts(header), tuple(entries), torn=True)
            raise CaptureError(f"{name} line {number} is torn")
        try:
            entries.append(_parse_entry(row))
        except (KeyError, ValueError, TypeError) as error:
            raise CaptureError(f"{name} line {number} is foreign: {str(error)[:120]}") from error
    return Capture(_texts(header), tuple(entries))


def _parse_entry(row: Mapping[str, object]) -> Entry:
    ts_ns, number, about = row["t"], row["n"], row.get("about", {})
    if not _is_time(ts_ns) or not isinstance(number, int) or not isinstance(about, dict):
        raise TypeError("a field has the wrong type")
    return Entry(What(row["what"]), ts_ns, number, _parse_frame(row), _texts(about))


def _is_time(value: object) -> TypeGuard[int]:
    """Nanoseconds since 1970 as every other program can hold them."""
    return isinstance(value, int) and 0 <= value < 2**63


def _parse_frame(row: Mapping[str, object]) -> Frame:
    text, b64 = row.get("text"), row.get("b64")
    if isinstance(text, str):
        return text
    return base64.b64decode(b64, validate=True) if isinstance(b64, str) else b""


def _parse_frames(name: str, whole: Mapping[str, object]) -> Capture:
    """One connection's frames as other programs publish them: `t_ns` and `text` or `b64`."""
    frames = whole["frames"]
    assert isinstance(frames, list)
    about = {name: value for name, value in whole.items() if isinstance(value, str)}
    entries = [Entry(What.OPEN, 0, 1, about={"url": about.get("url_query", "")})]
    for number, row in enumerate(frames):
        stamp = row.get("t_ns", 0) if isinstance(row, dict) else None
        if not _is_time(stamp) or not ("text" in row or "b64" in row):
            raise CaptureError(f"{name}: frame {number} is neither text nor bytes")
        try:
            entries.append(Entry(What.IN, stamp, 1, _parse_frame(row)))
        except ValueError as error:
            raise CaptureError(f"{name}: frame {number}: {str(error)[:120]}") from error
    return Capture(about, tuple(entries))


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in row.items()}
