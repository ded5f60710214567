"""A bare node in a process of its own, for signals: prints what happened, one word a line."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import bare_node as bare


def _say(word: str) -> None:
    print(word, flush=True)


async def _main(rig: bare.Rig, with_handler: bool) -> None:
    if with_handler:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, rig.handle.stop)
    running = asyncio.ensure_future(rig.node.run_async())
    while not rig.handle.is_running:  # noqa: ASYNC110 - Nautilus offers no event for it
        await asyncio.sleep(0.002)
    _say("running")
    await running


def _foreign_thread(kind: str) -> None:
    """Says `held` when output from another thread was refused with an error."""
    rig = bare.build({"V": {"submit": lambda _client, _command: None}})

    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        client = rig.execution["V"]
        await rig.until(lambda: client.seen("submit"), "the submit")
        live = rig.order(order)
        calls = {
            "report": lambda: client._handle_report(bare.order_report(live, bare.OrderStatus.ACCEPTED)),
            "event": lambda: client.generate_order_submitted(live),
        }
        try:
            await asyncio.to_thread(calls[kind])
        except RuntimeError:
            _say("held")

    bare.run(rig, body)


def main(mode: str) -> None:
    """Modes: `run` (blocking), `async`, `handler` (own SIGTERM handler), `thread-report`, `thread-event`."""
    if mode.startswith("thread-"):
        return _foreign_thread(mode.removeprefix("thread-"))

    def disconnected(_client: Any, _command: Any) -> None:
        _say("disconnected")

    def connected(_client: Any, _command: Any) -> None:
        if mode == "run":
            _say("running")

    rig = bare.build({"V": {"disconnect": disconnected, "connect": connected}})
    if mode == "run":
        rig.node.run()
    else:
        asyncio.run(_main(rig, mode == "handler"))
    return _say("ended")


if __name__ == "__main__":
    main(sys.argv[1])
