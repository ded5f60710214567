"""An account with a long past, for `bench_reconciliation`: its pages lie in memory, in the wire form.

As a process of its own: `past_account.py CONFIG ORDERS service|node ANSWER` says what a start costs there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from nautilus_trader.model import AccountId, ClientId, ExecutionMassStatus, Venue

from venuekit.host.config import load_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.hooks import Kind, Provided, hookimpl
from venuekit.interfaces.request import HttpRequest, Reply, Request, nothing_sent
from venuekit.interfaces.time import Clock
from venuekit.nautilus.execution import VenueExecutionClient
from venuekit.nautilus.node import VenueNode
from venuekit.runtime.clock import RealClock
from venuekit.transport.http import HttpxPort, httpx_port

FILLS_EACH, OPEN_EACH = 10, 100
"""Fills of every order, and how many orders there are for one that is still open."""
PAGE_ROWS = 1_000
MARKET, SIZE, PRICE = "BTC-USD-PERP", "0.01", "83000"
FIRST_MS, STEP_MS = 1_770_000_000_000, 1_000
LIMIT_SECS = 150.0
ORDERS = {"orders": 0}
"""How large the account is; set before the first page is asked for."""


# --- the pages


def order_row(number: int) -> dict[str, Any]:
    """An order, filled in parts; every hundredth is open and lacks one part."""
    still_open = number % OPEN_EACH == OPEN_EACH - 1
    at = FIRST_MS + number * STEP_MS
    return {
        "id": f"{at}0201704028{number:06d}",
        "account": "0x49ddd7a564c978f6e4089ff8355b56a42b7e2d48ba282cb5aad60f04bea0ec3",
        "market": MARKET,
        "side": "SELL" if number % 2 else "BUY",
        "type": "LIMIT",
        "size": f"0.{FILLS_EACH + still_open:02d}",
        "remaining_size": SIZE if still_open else "0",
        "price": PRICE,
        "status": "OPEN" if still_open else "CLOSED",
        "created_at": at,
        "last_updated_at": at + 500,
        "timestamp": at,
        "cancel_reason": "",
        "client_id": f"O-20260202-000000-001-001-{number}",
        "seq_no": at * 1_000_000,
        "instruction": "GTC",
        "avg_fill_price": PRICE,
        "stp": "EXPIRE_TAKER",
        "received_at": at,
        "published_at": at,
        "flags": [],
        "trigger_price": "0",
    }


def fill_row(order: Mapping[str, Any], part: int) -> dict[str, Any]:
    """One part of an order."""
    return {
        "id": f"{order['id']}{part:02d}",
        "side": order["side"],
        "liquidity": "MAKER",
        "market": order["market"],
        "order_id": order["id"],
        "price": PRICE,
        "size": SIZE,
        "fee": "0.02488",
        "fee_currency": "USDC",
        "created_at": order["created_at"] + part,
        "remaining_size": "0",
        "client_id": order["client_id"],
        "fill_type": "FILL",
    }


@cache
def pages(op: str, page_size: int) -> Sequence[bytes]:
    """Every page of a list, newest rows first; the cursor of the next page is its number."""
    rows: list[dict[str, Any]] = []
    for number in reversed(range(ORDERS["orders"])):
        order = order_row(number)
        if op == "fills":
            rows += [fill_row(order, part) for part in reversed(range(FILLS_EACH))]
        elif op == ("orders" if order["status"] == "OPEN" else "orders_history"):
            rows.append(order)
    if op == "orders":
        return [json.dumps({"results": rows}).encode()]
    cut = [rows[start : start + page_size] for start in range(0, len(rows), page_size)] or [[]]
    following = [str(number) for number in range(1, len(cut))]
    return [
        json.dumps({"next": more, "prev": None, "results": page}).encode()
        for page, more in zip(cut, [*following, None], strict=True)
    ]


class PastPort:
    """The venue over HTTP, but for the lists of this account."""

    def __init__(self, inner: HttpxPort) -> None:
        self._inner = inner

    async def send(self, request: Request, *, on_sent: Callable[[], None] = nothing_sent) -> Reply:
        """See `RequestPort`."""
        assert isinstance(request, HttpRequest)
        if request.op == "positions":
            return Reply(200, b'{"results":[]}')
        if request.op not in ("orders", "orders_history", "fills"):
            return await self._inner.send(request, on_sent=on_sent)
        query = dict(request.query)
        found = pages(request.op, int(query.get("page_size", "100")))
        newest = FIRST_MS + ORDERS["orders"] * STEP_MS
        if int(query.get("start_at", "0")) > newest:
            return Reply(200, b'{"next":null,"results":[]}')
        return Reply(200, found[int(query.get("cursor", "0"))])

    async def close(self) -> None:
        """See `HttpxPort`."""
        await self._inner.close()


def past_port(
    base_url: str, *, clock: Clock, timeouts_ms: Mapping[str, int], options: Mapping[str, str]
) -> PastPort:
    """The transport behind `http/past`."""
    return PastPort(httpx_port(base_url, clock=clock, timeouts_ms=timeouts_ms, options=options))


@hookimpl
def venuekit_transports() -> Sequence[Provided]:
    """HTTP with a past."""
    return (Provided(Kind.TRANSPORT, "http/past", "past_account:past_port"),)


@contextmanager
def installed_here() -> Iterator[None]:
    """This module is a plugin of every registry that is discovered meanwhile."""
    with tempfile.TemporaryDirectory() as site:
        folder = Path(site, "venuekit_past-1.0.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: venuekit-past\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("[venuekit]\npast = past_account\n")
        sys.path.insert(0, site)
        try:
            yield
        finally:
            sys.path.remove(site)


# --- one measurement


class Costs:
    """CPU and memory from here on; the highest memory is that of the kernel's own mark."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._memory = _status_mib("VmRSS")
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def so_far(self) -> dict[str, float]:
        """Seconds of CPU, seconds, and MiB of growth at the highest point."""
        return {
            "cpu_secs": time.process_time() - self._cpu,
            "secs": time.perf_counter() - self._wall,
            "mib": _status_mib("VmHWM") - self._memory,
        }


def _status_mib(name: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(text[text.index(f"{name}:") + len(name) + 1 :].split(None, 1)[0]) / 1024


class _Nobody:
    """An execution sink that ignores everything."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None


async def in_the_service(path: Path) -> dict[str, float]:
    """From the pages to a mass status of Nautilus, in an execution service that just started."""
    config = load_config(path).venues["paradex"]
    venue = OpenedVenue(config, clock=RealClock())
    await venue.open()
    account = AccountId("PARADEX-001")
    service = venue.execution(_Nobody(), account)
    try:
        await service.start()
        costs = Costs()
        parts = await service.reports.mass_status(None)
        status = ExecutionMassStatus(ClientId("PARADEX"), account, Venue("PARADEX"), time.time_ns())
        status.add_order_reports(parts.orders)
        status.add_fill_reports(parts.fills)
        status.add_position_reports(parts.positions)
        found = costs.so_far()
        return {**found, "orders": len(parts.orders), "fills": len(parts.fills)}
    finally:
        await service.stop()
        await venue.close()


async def in_a_node(path: Path) -> dict[str, float]:
    """A whole start of a node, until its strategies run; `ours_secs`: until the engine was answered."""
    node = VenueNode.from_config(load_config(path), post_stop_secs=0.1)
    answered: list[float] = []
    asked = VenueExecutionClient._generate_mass_status

    async def timed(client: VenueExecutionClient, lookback_mins: int | None) -> ExecutionMassStatus:
        status = await asked(client, lookback_mins)
        answered.append(time.process_time())
        return status

    VenueExecutionClient._generate_mass_status = timed  # type: ignore[method-assign]
    begun = time.process_time()
    costs = Costs()
    running = asyncio.ensure_future(node.run())
    end = time.perf_counter() + LIMIT_SECS
    while not (node.handle.is_running or running.done()):
        assert time.perf_counter() < end, "the node does not start"
        await asyncio.sleep(0.01)
    found = costs.so_far()
    found["ours_secs"] = answered[0] - begun
    orders = node.cache.orders()
    made_up = [order for order in orders if order.tags]
    found |= {"orders": len(orders), "fills": sum(len(order.trade_ids) for order in orders)}
    node.handle.stop()
    ending = await running
    assert ending.code == 0, ending.message
    assert all(order.tags == ["VENUE"] for order in made_up), "the engine made orders up"
    node.dispose()
    return found


def main(path: Path, orders: int, where: str) -> dict[str, float]:
    """What the start costs with this many orders."""
    import past_account  # the registry loads this file by its name

    past_account.ORDERS["orders"] = orders
    for op in ("orders", "orders_history", "fills"):
        past_account.pages(op, PAGE_ROWS)
    with installed_here():
        return asyncio.run(in_a_node(path) if where == "node" else in_the_service(path))


if __name__ == "__main__":
    Path(sys.argv[4]).write_text(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
