"""The client's side of the door in memory: a stream transport and a request port, as the drivers are.

A `Network` is one client process: everything that it opened dies with it (`die`), and every byte that its
drivers hand over or hand out is in `wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field, frozen

from venuekit.errors import SendFailed
from venuekit.host.plugins import Entry, Origin, Registry, installed
from venuekit.interfaces.hooks import Kind, Provided
from venuekit.interfaces.request import Evidence, Frame, Handshake, HttpRequest, Receiver, Reply, nothing_sent
from venuekit.interfaces.time import Cancel, Clock
from venuekit.sim.door import Request, Response
from venuekit.sim.pipes import CutOffError, PipeConnection, PipeDoor, UnreachableError
from venuekit.transport.deadlines import Deadlines
from venuekit.transport.rules import CLOSE_NS, handshake_refusal, not_sent, ping_interval_ns

NETWORKS: dict[str, Network] = {}
"""By the name in the option `world`, since a factory receives nothing but texts."""


@frozen
class Bytes:
    """Something that crossed a pipe: `way` is `>` from the client, `<` to it."""

    ts_ns: int
    connection: int
    way: str
    data: bytes


@define
class Wire:
    """Everything that crossed the pipes of a world, in order."""

    rows: list[Bytes] = field(factory=list)

    def note(self, ts_ns: int, connection: int, way: str, *parts: Frame) -> None:
        """One more row."""
        data = b"\n".join(part if isinstance(part, bytes) else part.encode() for part in parts)
        self.rows.append(Bytes(ts_ns, connection, way, data))

    def digest(self) -> str:
        """SHA-256 over all rows."""
        total = sha256()
        for row in self.rows:
            total.update(f"{row.ts_ns} {row.connection} {row.way} {len(row.data)}\n".encode())
            total.update(row.data)
        return total.hexdigest()


@define
class Network:
    """The way from one client process to a door."""

    door: PipeDoor
    wire: Wire
    alive: bool = True
    ends: list[StreamEnd] = field(factory=list)

    def die(self) -> None:
        """The process is gone: nothing is heard, nothing leaves, and the venue sees its streams reset."""
        self.alive = False
        for end in tuple(self.ends):
            end.vanish()

    def pause(self, paused: bool) -> None:
        """The process reads nothing from its streams, or goes on."""
        for end in self.ends:
            end.pause(paused)


class PipeTransport:
    """A `StreamTransport` into the door."""

    def __init__(self, network: Network, clock: Clock, ping_ns: int) -> None:
        self._network, self._clock, self._ping_ns = network, clock, ping_ns

    async def connect(self, to: Handshake, receiver: Receiver) -> StreamEnd:
        network = self._network
        if not network.alive:
            raise not_sent("this process is dead")
        address = urlsplit(to.url)
        request = Request(
            id=network.door.next_id(),
            method="GET",
            path=address.path,
            query=tuple(parse_qsl(address.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in to.headers.items()},
            received_ns=network.door.clock.wall_ns(),
        )
        end = StreamEnd(network, receiver, self._clock, request.id, self._ping_ns)
        end.note(">", _head(request))
        handed_over = False
        try:
            made = await network.door.connect(request, end)
            if isinstance(made, Response):
                end.note("<", str(made.status), made.body)
                raise handshake_refusal(made.status, _headers(made).get("retry-after", ""))
            end.opened(made)
            handed_over = True
        except UnreachableError as error:
            raise not_sent(str(error)) from error
        finally:
            if not handed_over:
                end.forget()
        return end


class StreamEnd:
    """An open stream: the `Link` of the client and the `ClientEnd` of the door."""

    def __init__(self, network: Network, receiver: Receiver, clock: Clock, number: int, ping_ns: int) -> None:
        self._network, self._receiver, self._clock = network, receiver, clock
        self._number, self._ping_ns = number, ping_ns
        self._pipe: PipeConnection | None = None
        self._open = True
        self._gone: Callable[[], None] = lambda: None
        self._heard = False
        self._timer: Cancel | None = None
        network.ends.append(self)

    def opened(self, pipe: PipeConnection) -> None:
        """The handshake was answered; frames may have come before."""
        self._pipe = pipe
        self._watch()

    # --- as a link

    def send(self, frame: Frame) -> None:
        if not self._open or self._pipe is None:
            raise not_sent("the stream is closed")
        try:
            self._pipe.push(frame)
        except UnreachableError as error:
            raise not_sent(str(error)) from error
        self.note(">", frame)

    async def close(self, code: int = 1000) -> None:
        if not self._open or self._pipe is None:
            return
        self.note(">", f"close {code}")
        self._pipe.leave(code)
        done = _Flag()
        self._gone = done.set
        try:
            await done.within(self._clock, CLOSE_NS)
        finally:
            # Also when whoever closes is cancelled meanwhile, as the drivers do.
            self._shut(1006, "closed by us")

    # --- as an end of the door

    def on_message(self, frame: Frame) -> None:
        if self._open:
            self._heard = True
            self.note("<", frame)
            self._receiver.on_frame(frame)

    def on_ping(self) -> None:
        if self._open and self._pipe is not None:
            self._heard = True
            self._pipe.pong()
            self._receiver.on_alive()

    def on_pong(self) -> None:
        if self._open:
            self._heard = True
            self._receiver.on_alive()

    def on_close(self, code: int, reason: str) -> None:
        if self._open:
            self.note("<", f"close {code} {reason}")
            if self._pipe is not None:
                self._pipe.leave(code)
            self._shut(code, reason)

    def on_end(self, reason: str) -> None:
        if self._open:
            self.note("<", "end")
            self._shut(1006, reason)

    def on_ghost(self, frame: Frame) -> None:
        # No driver of ours hands out a frame after the end; whoever is above must stand it all the same.
        if self._network.alive:
            self.note("<", "ghost", frame)
            self._receiver.on_frame(frame)

    # --- the process

    def pause(self, paused: bool) -> None:
        """Nothing is read, or all that waited."""
        if self._pipe is not None:
            self._pipe.pause(paused)

    def vanish(self) -> None:
        """The process is gone."""
        self._stop()
        if self._pipe is not None:
            self._pipe.hang_up()

    def forget(self) -> None:
        """The receiver hears nothing more of a stream that nobody got."""
        self._stop()

    def note(self, way: str, *parts: Frame) -> None:
        self._network.wire.note(self._clock.mono_ns(), self._number, way, *parts)

    # --- inside

    def _stop(self) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        if self in self._network.ends:
            self._network.ends.remove(self)

    def _shut(self, code: int, reason: str) -> None:
        if self._open:
            self._stop()
            self._gone()
            if self._pipe is not None:
                self._pipe.hang_up()
            self._receiver.on_closed(code, reason)

    def _watch(self) -> None:
        if self._ping_ns and self._open:
            self._heard = False
            self._timer = self._clock.call_at(self._clock.mono_ns() + self._ping_ns, self._quiet)

    def _quiet(self) -> None:
        if not self._heard and self._open and self._pipe is not None:
            self._pipe.ping()
        self._watch()


class _Flag:
    """Something that happens once, waited for on a clock."""

    def __init__(self) -> None:
        import asyncio

        self._done = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    async def within(self, clock: Clock, ns: int) -> None:
        timer = clock.call_at(clock.mono_ns() + ns, self.set)
        try:
            await self._done
        finally:
            timer.cancel()


class PipePort:
    """A `RequestPort` into the door; like an HTTP pool it has no order, so handed over means replied."""

    def __init__(
        self, base_url: str, *, clock: Clock, timeouts_ms: Mapping[str, int], options: Mapping[str, str]
    ) -> None:
        self._network = NETWORKS[options["world"]]
        self._base = urlsplit(base_url).path.rstrip("/")
        self._clock, self._timeouts_ms = clock, timeouts_ms
        self._deadlines = Deadlines()

    async def send(self, request: object, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        if not isinstance(request, HttpRequest):
            raise TypeError(f"an HTTP port cannot send a {type(request).__name__}")
        if not self._network.alive:
            raise not_sent("this process is dead")
        evidence = Evidence.NOT_SENT

        def left() -> None:
            nonlocal evidence
            if not self._network.alive:
                raise UnreachableError("this process is dead")
            evidence = Evidence.MAYBE_SENT

        try:
            async with self._deadlines.within(self._timeouts_ms.get(request.op, 10_000)):
                reply = await self._exchange(request, left)
        except TimeoutError as error:
            raise SendFailed(f"{request.op} {self._deadlines.why()}", evidence=evidence) from error
        except (UnreachableError, CutOffError) as error:
            raise SendFailed(f"{request.op} failed: {error}", evidence=evidence) from error
        on_sent()
        return reply

    async def _exchange(self, request: HttpRequest, left: Callable[[], None]) -> Reply:
        network, clock = self._network, self._clock
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.body:
            headers.setdefault("content-type", "application/json")
        sent = Request(
            id=network.door.next_id(),
            method=request.method,
            path=f"{self._base}/{request.path.lstrip('/')}",
            query=tuple(request.query),
            headers=headers,
            body=request.body,
            received_ns=network.door.clock.wall_ns(),
        )
        network.wire.note(clock.mono_ns(), sent.id, ">", _head(sent), sent.body)
        response = await network.door.call(sent, left)
        network.wire.note(clock.mono_ns(), sent.id, "<", str(response.status), response.body)
        return Reply(response.status, response.body, _headers(response), clock.wall_ns())

    async def close(self) -> None:
        await self._deadlines.end()


def _head(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query)
    lines = [f"{name}: {value}" for name, value in sorted(request.headers.items())]
    return "\n".join([f"{request.method} {request.path}?{query}", *lines])


def _headers(response: Response) -> dict[str, str]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    if response.content_type is not None and response.body:
        headers.setdefault("content-type", response.content_type)
    return headers


def stream_of_pipes(*, clock: Clock, options: Mapping[str, str]) -> PipeTransport:
    """The transport behind `stream/pipes`; options: `world`, `ping_ms`."""
    return PipeTransport(NETWORKS[options["world"]], clock, ping_interval_ns(options))


def registry_with_pipes() -> Registry:
    """What is installed, and the transports `http/pipes` and `stream/pipes`."""
    found, origin = installed(), Origin("tests", "0", "pipes", __name__)
    provided = (
        Provided(Kind.TRANSPORT, "http/pipes", f"{__name__}:PipePort"),
        Provided(Kind.TRANSPORT, "stream/pipes", f"{__name__}:stream_of_pipes"),
    )
    entries = (*found.entries, *(Entry(one, origin) for one in provided))
    return Registry(entries, found.problems, (*found.plugins, origin))
