"""Instruments from `GET /markets`: perpetuals with their exact increments."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nautilus_trader.model import CryptoPerpetual, InstrumentId, Price, Quantity, Symbol, Venue

from venuekit.errors import BadValue, DecodeError
from venuekit.interfaces.request import HttpRequest, RequestPort
from venuekit_paradex.wire.json import MarketRow
from venuekit_paradex.wire.replies import parse_rows, read, row_as
from venuekit_paradex.wire.values import DECIMALS, Number, currency_of, decimal_text, parse_decimal, parse_e8

if TYPE_CHECKING:
    from venuekit.core.symbols import Symbols
    from venuekit.interfaces.model import Instrument
    from venuekit.interfaces.telemetry import Counters
    from venuekit.interfaces.time import Clock

_PERPETUAL: Final = "PERP"
_BOOK_TRADED: Final = ("", "STANDARD", None)


def _increment(value: Number, what: str) -> tuple[str, int]:
    """A step as text without trailing zeros, and its decimals; raises DecodeError unless positive."""
    e8 = parse_e8(value, what)
    if e8 <= 0:
        raise DecodeError(f"{what} is not positive", kind="bad_market")
    text = decimal_text(e8)
    return text, len(text.partition(".")[2])


def _margin(row: MarketRow) -> tuple[Decimal | None, Decimal | None]:
    """Initial and maintenance margin as fractions of the notional value."""
    params = row.delta1_cross_margin_params
    if params is None or params.imf_base in (None, ""):
        return None, None
    initial = parse_decimal(params.imf_base, "imf_base")
    if params.mmf_factor in (None, ""):
        return initial, None
    return initial, initial * parse_decimal(params.mmf_factor, "mmf_factor")


def parse_instrument(row: MarketRow, venue: str, ts_ns: int) -> CryptoPerpetual:
    """The perpetual of one market row; raises DecodeError.

    The minimum notional value is left out of the instrument: the venue measures it at the mark price and
    frees orders that close a position, while Nautilus would apply it at the order's price to all of them.
    """
    tick, price_precision = _increment(row.price_tick_size, "price_tick_size")
    lot, size_precision = _increment(row.order_size_increment, "order_size_increment")
    if max(price_precision, size_precision) > DECIMALS:
        raise DecodeError("an increment is finer than the venue's numbers", kind="bad_market")
    largest = None if row.max_order_size in (None, "") else parse_e8(row.max_order_size, "max_order_size")
    initial, maintenance = _margin(row)
    step = Quantity.from_str(lot)
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol(row.symbol), Venue(venue)),
        raw_symbol=Symbol(row.symbol),
        base_currency=currency_of(row.base_currency),
        # Prices are quoted in USD and every cost, margin and profit is USDC. Nautilus books these in the
        # quote currency of a linear contract: its risk engine would look for USD that no account holds.
        quote_currency=currency_of(row.settlement_currency),
        settlement_currency=currency_of(row.settlement_currency),
        is_inverse=False,
        price_precision=price_precision,
        size_precision=size_precision,
        price_increment=Price.from_str(tick),
        size_increment=step,
        ts_event=ts_ns,
        ts_init=ts_ns,
        lot_size=step,
        min_quantity=step,
        max_quantity=None if not largest else Quantity.from_mantissa_exponent(largest, -8, size_precision),
        margin_init=initial,
        margin_maint=maintenance,
        info={
            "quote_currency": row.quote_currency,
            "min_notional": str(row.min_notional or ""),
            "position_limit": str(row.position_limit or ""),
            "price_bands_width": str(row.price_bands_width or ""),
            "max_open_orders": str(row.max_open_orders or ""),
        },
    )


class ParadexInstruments:
    """Loads every perpetual. All are registered, so that the account's other markets can be read."""

    __slots__ = ("_clock", "_counters", "_log", "_port", "_symbols", "_venue")

    def __init__(
        self,
        *,
        port: RequestPort,
        symbols: Symbols,
        venue: str,
        clock: Clock,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        self._port = port
        self._symbols = symbols
        self._venue = venue
        self._clock = clock
        self._counters = counters
        self._log = log

    async def load(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """The instruments (all, or those asked for); an unreadable market is counted, logged, left out."""
        request = HttpRequest("markets", "GET", "/markets", query=self._query(only))
        rows = parse_rows(await read(self._port, request)).results
        found: list[Instrument] = []
        for raw in rows:
            instrument = self._parse(bytes(raw))
            if instrument is not None and (only is None or instrument.id in only):
                found.append(instrument)
        if not found and only is None:
            raise DecodeError("the venue listed no market that can be read", kind="bad_market")
        return found

    def _query(self, only: Collection[InstrumentId] | None) -> list[tuple[str, str]]:
        """One known market is asked for by name; the list of all is long."""
        if only is None or len(only) != 1:
            return []
        symbol = self._symbols.by_id(next(iter(only)))
        return [] if symbol is None else [("market", symbol.raw)]

    def _parse(self, raw: bytes) -> CryptoPerpetual | None:
        try:
            row = row_as(raw, MarketRow)
            if row.asset_kind not in ("", _PERPETUAL) or row.trading_mode not in _BOOK_TRADED:
                self._counters.inc("ignored.market_kind")
                return None
            instrument = parse_instrument(row, self._venue, self._clock.wall_ns())
            self._symbols.add(row.symbol, instrument)
        except (DecodeError, BadValue, ValueError, OverflowError) as error:
            self._counters.inc("quarantined.market")
            self._log.warning("market left out: %s: %s", error, raw[:200])
            return None
        return instrument
