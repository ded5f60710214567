"""How a demo looks while it runs: live on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from venuekit.cli.output import emit, say

if TYPE_CHECKING:
    from nautilus_trader.common import Cache
    from nautilus_trader.model import InstrumentId
    from rich.console import Group
    from rich.table import Table

BOOK_LEVELS = 5
_TEXTS = {
    "simulator": "The {venue} simulator runs as its own process.",
    "trading": "Trading for {secs:g} s ...",
    "cut": "Cut {connections} connections; the node comes back by itself.",
    "stopping": "Stopping: cancelling what is open.",
}


def sentence(name: str, facts: dict[str, object]) -> str:
    """An event in one line for people; empty: nothing to say."""
    return _TEXTS[name].format(**facts) if name in _TEXTS else ""


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""


class PlainView(_Quiet):
    """A line an event, and progress every five seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def event(self, name: str, **facts: object) -> None:
        """Print the event's line."""
        if text := sentence(name, facts):
            say(text)

    def frame(self, cache: Cache, left_secs: float) -> None:
        """Print progress now and then."""
        if not self._next or left_secs <= self._next:
            self._next = left_secs - 5
            say(f"  {left_secs:4.0f} s left, {cache.orders_total_count()} orders")


class JsonView(_Quiet):
    """An object an event."""

    def event(self, name: str, **facts: object) -> None:
        """Print the event."""
        emit({"event": name, **facts})

    def frame(self, cache: Cache, left_secs: float) -> None:
        """Programs read the summary."""


class LiveView:
    """Books, own orders, fills, position and latency, redrawn in place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False, transient=False)
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def event(self, name: str, **facts: object) -> None:
        """The line stands above the live part from now on."""
        if text := sentence(name, facts):
            self._live.console.print(text)

    def frame(self, cache: Cache, left_secs: float) -> None:
        """Draw the node as it is now."""
        self._live.update(draw(cache, left_secs), refresh=True)


def draw(cache: Cache, left_secs: float) -> Group:
    """The whole picture."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    ids = sorted(cache.instrument_ids(), key=str)
    quoted = [one for one in ids if cache.quote(one) is not None]
    return Group(
        Columns([_book(cache, one) for one in quoted]),
        _orders(cache),
        Text(f"{left_secs:5.1f} s left", "dim"),
    )


def _book(cache: Cache, instrument_id: InstrumentId) -> Table:
    from rich.table import Table

    table = Table(title=str(instrument_id), min_width=44)
    for name, side in (("bid size", "right"), ("bid", "right"), ("ask", "left"), ("ask size", "left")):
        table.add_column(name, justify="right" if side == "right" else "left")
    book = cache.order_book(instrument_id)
    if book is not None:
        bids, asks = book.bids()[:BOOK_LEVELS], book.asks()[:BOOK_LEVELS]
        for number in range(BOOK_LEVELS):
            bid = bids[number] if number < len(bids) else None
            ask = asks[number] if number < len(asks) else None
            table.add_row(
                f"{bid.size():g}" if bid else "",
                f"[green]{bid.price}[/]" if bid else "",
                f"[red]{ask.price}[/]" if ask else "",
                f"{ask.size():g}" if ask else "",
            )
    return table


def _orders(cache: Cache) -> Table:
    from nautilus_trader.model import OrderAccepted, OrderFilled
    from rich.table import Table

    table = Table(title="Own orders", min_width=92)
    for name in ("market", "open", "orders", "fills", "maker", "net position", "last accepted after"):
        table.add_column(name, justify="right")
    for instrument_id in sorted(cache.instrument_ids(), key=str):
        orders = cache.orders(instrument_id=instrument_id)
        if not orders:
            continue
        events = [(order, event) for order in orders for event in order.events()]
        fills = [event for _, event in events if isinstance(event, OrderFilled)]
        taken = [event.ts_init - order.ts_init for order, event in events if isinstance(event, OrderAccepted)]
        positions = cache.positions_open(instrument_id=instrument_id)
        net = sum(one.quantity.as_decimal() * (1 if one.is_long else -1) for one in positions)
        table.add_row(
            str(instrument_id.symbol),
            str(len(cache.orders_open(instrument_id=instrument_id))),
            str(len(orders)),
            str(len(fills)),
            str(sum(event.liquidity_side.name == "MAKER" for event in fills)),
            f"{net:+f}" if net else "flat",
            f"{taken[-1] / 1e6:.1f} ms" if taken else "",
        )
    return table
