"""REST replies: rows of a list, or the error they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from venuekit.errors import AuthNeeded, DecodeError, NotReady, RateLimited, Refused
from venuekit.interfaces.manifest import Says
from venuekit_paradex.errors import ERRORS, advice
from venuekit_paradex.wire.json import ErrorBody, Rows

if TYPE_CHECKING:
    from venuekit.interfaces.request import HttpRequest, Reply, RequestPort

SAYS: Final = {(rule.domain, rule.code): rule.says for rule in ERRORS}
"""What an error code proves, by its domain and code."""


def parse_error(body: bytes) -> ErrorBody:
    """The error in a reply's body; empty when there is none to read."""
    try:
        return msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ErrorBody()


def raise_for(reply: Reply, what: str) -> None:
    """Return for a success; else raise AuthNeeded, RateLimited, NotReady or Refused (with its code)."""
    status = reply.status
    if status in (200, 201, 204):
        return
    error = parse_error(reply.body)
    text = f"{what}: HTTP {status} {error.error} {error.message}".rstrip()[:300]
    says = SAYS.get(("rest", error.error)) or SAYS.get(("http", str(status)), Says.UNKNOWN)
    if says is Says.AUTH:
        raise AuthNeeded(text)
    if says is Says.LIMIT or status == 429:
        raise RateLimited(text)
    if says in (Says.TRANSIENT, Says.MODE) or not isinstance(status, int) or status >= 500:
        raise NotReady(text)
    raise Refused(text, code=error.error, hint=advice(error.error))


async def read(port: RequestPort, request: HttpRequest) -> bytes:
    """The body of a successful read; raises what `raise_for` raises, or SendFailed."""
    reply = await port.send(request)
    raise_for(reply, request.op)
    return reply.body


def row_as[Row](body: bytes, kind: type[Row]) -> Row:
    """One object of JSON text; raises DecodeError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(f"{kind.__name__}: {error}", kind="bad_json") from error


def parse_rows(body: bytes) -> Rows:
    """The rows of a list reply, each still undecoded; raises DecodeError."""
    return row_as(body, Rows)
