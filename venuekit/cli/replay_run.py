"""Plays a capture through a service, or through a whole node, and returns where every book ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from venuekit.cli.feeds import Tally, wants
from venuekit.errors import CaptureError, NotReady, VenuekitError
from venuekit.host.open import Layers, OpenedVenue
from venuekit.runtime.clock import RealClock
from venuekit.transport.layers.replay import Replay

if TYPE_CHECKING:
    from venuekit.host.config import VenueConfig
    from venuekit.interfaces.request import Frame, Handshake, Link, Receiver, StreamTransport
    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.transport.layers.capture import Capture

QUIET_NS = 200_000_000
"""Whoever has said and received nothing new for this long has finished."""
BOUND_SECS = 600


@frozen
class Plan:
    """What to replay, and how."""

    capture: Capture
    config: VenueConfig
    markets: Sequence[str]
    feeds: Sequence[str]
    speed: float
    through_node: bool


@frozen
class Replayed:
    """Where a replay ended."""

    rows: Sequence[dict[str, object]]
    frames: int
    counters: Mapping[str, int]

    @property
    def quarantined(self) -> int:
        """Frames and records that were not understood."""
        return sum(n for name, n in self.counters.items() if name.startswith("quarantined."))


class HeldBack:
    """A stream transport that hands over what is sent only after a pause: the recorded frames start when the
    client has subscribed to everything, as they did when they were recorded.
    """

    def __init__(self, inner: StreamTransport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    async def connect(self, to: Handshake, receiver: Receiver) -> Link:
        """See `StreamTransport`."""
        return _HeldLink(await self._inner.connect(to, receiver), self._clock)


class _HeldLink:
    def __init__(self, inner: Link, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._held: list[Frame] = []
        self._timer: Cancel | None = None

    def send(self, frame: Frame) -> None:
        self._held.append(frame)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(self._clock.mono_ns() + QUIET_NS, self._hand_over)

    async def close(self, code: int = 1000) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._inner.close(code)

    def _hand_over(self) -> None:
        held, self._held = self._held, []
        for frame in held:
            self._inner.send(frame)


async def replay(plan: Plan) -> Replayed:
    """Play the capture to its end; nothing is connected and nothing runs when this returns or raises."""
    clock = RealClock()
    player = Replay(plan.capture, clock, speed=plan.speed)
    layers = Layers(port=player.port, stream=lambda _: HeldBack(player.stream(), clock))
    if plan.through_node:
        from venuekit.cli.replay_node import replay_through_node

        return await replay_through_node(plan, player, layers, clock)
    return await _replay_through_service(plan, player, layers, clock)


async def _replay_through_service(plan: Plan, player: Replay, layers: Layers, clock: Clock) -> Replayed:
    tally = Tally()
    opened = await opened_for_replay(plan, layers, clock)
    try:
        service = opened.market_data(tally)
        try:
            await service.start()
            for want in wants(opened.symbols, plan.markets, plan.feeds):
                service.subscribe(want)
            await until_played(player, lambda: tally.received, clock)
        finally:
            await service.stop()
    finally:
        await opened.close()
    return Replayed(tally.rows(), player.played, opened.counters.snapshot())


async def opened_for_replay(plan: Plan, layers: Layers, clock: Clock) -> OpenedVenue:
    """The venue, opened from recorded answers."""
    opened = OpenedVenue(plan.config, clock=clock, layers=layers)
    try:
        await opened.open()
    except VenuekitError as error:
        raise CaptureError(
            f"the capture cannot open {plan.config.key}: {error.message}",
            hint="pass --answers with a capture of this venue that holds replies.",
        ) from error
    return opened


async def until_played(player: Replay, received: Callable[[], int], clock: Clock) -> None:
    """Return once every frame was played and nothing more arrives behind it."""
    try:
        await asyncio.wait_for(asyncio.shield(player.finished), BOUND_SECS)
    except TimeoutError:
        raise NotReady(f"the replay did not end within {BOUND_SECS} s") from None
    before = -1
    while (now := received()) != before:
        before = now
        await clock.sleep_until(clock.mono_ns() + QUIET_NS)
