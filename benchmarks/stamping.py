"""A plugin for `bench_submit`: a stream that notes when bytes went to the socket, a signer without work.

`installed_here` makes it visible to this process alone, as an installed distribution would be.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from venuekit_paradex.signing import ParadexStarkSigner, python_signer

from venuekit.interfaces.hooks import Kind, Provided, hookimpl
from venuekit.interfaces.request import Frame, Handshake, Link, Receiver
from venuekit.interfaces.signer import Secret, Signed, SignRequest, Where
from venuekit.interfaces.time import Clock
from venuekit.transport.websocket import WebSocketLink, WebSocketTransport, websockets_transport

type OnSent = Callable[[int, int], None]

WAITING: dict[str, OnSent] = {}
"""By client order id: takes `time.perf_counter_ns` of its bytes going to the socket, and of the return."""

_CLIENT_ID = re.compile(r'"client_id":"([^"]+)"')


@hookimpl
def venuekit_transports() -> Sequence[Provided]:
    """The default WebSocket driver with a stopwatch."""
    return (Provided(Kind.TRANSPORT, "stream/stamped", "stamping:stamped_transport"),)


@hookimpl
def venuekit_signers() -> Sequence[Provided]:
    """A signer whose order signatures are a constant."""
    return (Provided(Kind.SIGNER, "stark/constant", "stamping:ConstantSigner"),)


@contextmanager
def installed_here() -> Iterator[None]:
    """This module is a plugin of every registry that is discovered meanwhile."""
    with tempfile.TemporaryDirectory() as site:
        folder = Path(site, "venuekit_stamping-1.0.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: venuekit-stamping\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("[venuekit]\nstamping = stamping\n")
        sys.path.insert(0, site)
        try:
            yield
        finally:
            sys.path.remove(site)


class ConstantSigner:
    """Logs in with a real signature; orders carry that of another message, at no cost."""

    def __init__(self, key: Secret, facts: Mapping[str, str]) -> None:
        self._signer: ParadexStarkSigner = python_signer(key, facts)
        self._constant = Signed(b'["1","2"]', b"\0" * 32)

    @property
    def public(self) -> str:
        """See `Signer`."""
        return self._signer.public

    @property
    def where(self) -> Where:
        """See `Signer`."""
        return Where.INLINE

    def warm(self) -> None:
        """See `Signer`."""
        self._signer.warm()

    def sign(self, request: SignRequest) -> Signed:
        """See `Signer`."""
        return self._constant if request.kind == "order" else self._signer.sign(request)


class _StampedSocket:
    """Around the event loop's transport: its `write` sends at once where the socket takes the bytes."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self.written_ns = 0

    def write(self, data: bytes) -> None:
        self.written_ns = time.perf_counter_ns()
        self._inner.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class _StampedLink:
    def __init__(self, link: WebSocketLink) -> None:
        self._link = link
        # The driver offers no such place, and the kernel's share on loopback must not count as ours.
        self._socket = _StampedSocket(link.wire._transport)
        link.wire._transport = self._socket

    def send(self, frame: Frame) -> None:
        self._link.send(frame)
        returned_ns = time.perf_counter_ns()
        found = _CLIENT_ID.search(frame) if isinstance(frame, str) and "order.create" in frame else None
        if found is not None and found[1] in WAITING:
            WAITING.pop(found[1])(self._socket.written_ns, returned_ns)

    async def close(self, code: int = 1000) -> None:
        await self._link.close(code)


class _StampedTransport:
    def __init__(self, inner: WebSocketTransport) -> None:
        self._inner = inner

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        return _StampedLink(await self._inner.connect(to, receiver))


def stamped_transport(*, clock: Clock, options: Mapping[str, str]) -> _StampedTransport:
    """The transport behind `stream/stamped`."""
    return _StampedTransport(websockets_transport(clock=clock, options=options))
