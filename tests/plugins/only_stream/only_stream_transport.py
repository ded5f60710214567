"""The driver itself: WebSockets as usual, and a line in a file for each connection."""

from pathlib import Path

from venuekit.transport.websocket import websockets_transport


class ToldTransport:
    """Tells where it connects to."""

    def __init__(self, inner, file):
        self._inner, self._file = inner, Path(file)

    async def connect(self, to, receiver):
        with self._file.open("a") as lines:
            lines.write(f"{to.url}\n")
        return await self._inner.connect(to, receiver)


def told_transport(*, clock, options):
    return ToldTransport(websockets_transport(clock=clock, options={}), options["file"])
