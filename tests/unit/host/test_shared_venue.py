"""One opened venue for several users: who opens it, and that somebody closes it."""

from __future__ import annotations

import asyncio

from venuekit.host.open import SharedVenue


class Venue:
    """Opens when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.opened = self.closed = 0

    async def open(self) -> None:
        await self.gate.wait()
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_venue_that_nobody_waits_for_any_more_is_closed_once_it_is_open() -> None:
    async def main() -> None:
        made: list[Venue] = []
        shared = SharedVenue(lambda _: made.append(Venue()) or made[-1])  # type: ignore[arg-type,func-returns-value]
        waiting = [asyncio.ensure_future(shared.acquire()) for _ in range(2)]
        await turns()
        for one in waiting:
            one.cancel()
        await turns()
        made[0].gate.set()
        await turns()
        assert (made[0].opened, made[0].closed, shared.opened) == (1, 1, None)
        again = asyncio.ensure_future(shared.acquire())
        await turns()
        made[1].gate.set()
        assert await again is made[1]
        await shared.release()
        assert made[1].closed == 1

    asyncio.run(main())


def test_one_user_that_gives_up_takes_nothing_from_the_other() -> None:
    async def main() -> None:
        venue = Venue()
        shared = SharedVenue(lambda _: venue)  # type: ignore[arg-type,return-value]
        first, second = (asyncio.ensure_future(shared.acquire()) for _ in range(2))
        await turns()
        first.cancel()
        await turns()
        venue.gate.set()
        assert await second is venue
        assert venue.closed == 0
        await shared.release()
        assert (venue.opened, venue.closed) == (1, 1)

    asyncio.run(main())
