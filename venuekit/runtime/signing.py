"""Where a signature is made: in the loop in short steps, or in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from venuekit.errors import FixNeeded
from venuekit.interfaces.signer import Signed, Signer, SignRequest, SteppedSigner, Where
from venuekit.interfaces.time import Clock

NOTICED_NS = 100_000
"""A stretch that is shorter keeps nobody waiting; a turn of the loop would cost an order as much."""


class SigningRoom:
    """Runs the signer of one account where it asks to be run."""

    def __init__(self, signer: Signer | None, clock: Clock) -> None:
        self._signer = signer
        # Asked once: the question costs more than the rest of this class does.
        stepped: object = signer
        self._stepped = stepped if isinstance(stepped, SteppedSigner) else None
        self._clock = clock
        self._pool: ThreadPoolExecutor | None = None

    async def warm(self) -> None:
        """The signer's tables are built; the loop went on meanwhile."""
        if self._signer is not None:
            if self._signer.where is Where.INLINE:
                # Building may take longer than the loop can miss, whatever a single signature costs.
                await asyncio.get_running_loop().run_in_executor(None, self._signer.warm)
            else:
                await self._in_thread(self._signer.warm)

    async def sign(self, request: SignRequest) -> Signed:
        """The signature; raise `SecretError`, `BadValue` or `FixNeeded` when there is none to be had."""
        signer = self._signer
        if signer is None:
            raise FixNeeded("this command must be signed and the account has no signer")
        if signer.where is not Where.INLINE:
            return await self._in_thread(lambda: signer.sign(request))
        if self._stepped is None:
            started_ns = self._clock.mono_ns()
            signed = signer.sign(request)
            if self._clock.mono_ns() - started_ns > NOTICED_NS:
                await self._yield()
            return signed
        for step in self._stepped.sign_steps(request):
            if step is not None:
                return step
            await self._yield()
        raise FixNeeded(f"the signer ended without a signature for {request.kind}")

    def close(self) -> None:
        """No thread is left once the signature in hand is done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _yield(self) -> None:
        """Let books and strategies run between two stretches."""
        await self._clock.sleep_until(self._clock.mono_ns())

    async def _in_thread[T](self, work: Callable[[], T]) -> T:
        """Also for PROCESS: such a signer has a process of its own, and only the waiting happens here."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="venuekit-sign")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
