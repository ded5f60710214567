"""The venue's own time: `GET /system/time`, in milliseconds, written as a text."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from venuekit.errors import DecodeError
from venuekit.interfaces.request import HttpRequest, RequestPort
from venuekit_paradex.wire.replies import read, row_as

_MS_NS: Final = 1_000_000
_DIGITS: Final = 16
"""More than any time of this millennium has: no text makes a number without end."""


class SystemTime(Struct, gc=False):
    """The answer."""

    server_time: str | int


class ParadexTime:
    """The `TimeSource` of Paradex."""

    __slots__ = ("_port",)

    def __init__(self, port: RequestPort) -> None:
        self._port = port

    async def read(self) -> int:
        """See `TimeSource`; raises DecodeError for a time that is no number."""
        body = await read(self._port, HttpRequest("system_time", "GET", "/system/time"))
        text = str(row_as(body, SystemTime).server_time)
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise DecodeError(f"server_time is {text[:40]!r}", kind="bad_time")
        return int(text) * _MS_NS
