"""Instruments from the Indexer's `GET /v4/perpetualMarkets`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec
from nautilus_trader.model import CryptoPerpetual, Currency, InstrumentId, Price, Quantity, Symbol

from venuekit.core.symbols import parse_increment
from venuekit.errors import BadValue, DecodeError, Refused
from venuekit.interfaces.model import Instrument
from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.venue import VenueContext

UNREADABLE = (msgspec.MsgspecError, BadValue, ValueError, ArithmeticError, RecursionError)
"""What a row can raise whose texts are no numbers, no names, or no JSON at all."""


class Market(msgspec.Struct, rename="camel"):
    """One row of `markets`, as far as an instrument needs it."""

    ticker: str
    status: str
    tick_size: str
    step_size: str
    initial_margin_fraction: str
    maintenance_margin_fraction: str


class _Markets(msgspec.Struct):
    markets: dict[str, msgspec.Raw]


class IndexerInstruments:
    """Loads perpetual markets; `BTC-USD` becomes `BTC-USD-PERP.DYDX`."""

    def __init__(self, ctx: VenueContext) -> None:
        self._ctx = ctx

    async def load(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """See `InstrumentSource`; a row that cannot be read is counted and left out, the rest is kept."""
        reply = await self._ctx.ports["rest"].send(HttpRequest("markets", "GET", "/v4/perpetualMarkets"))
        if reply.status != 200:
            raise Refused(
                f"the Indexer answered {reply.status} to the list of markets", code=str(reply.status)
            )
        try:
            rows = msgspec.json.decode(reply.body, type=_Markets).markets
        except UNREADABLE as error:
            raise DecodeError(f"the list of markets cannot be read: {error}", kind="markets") from error
        loaded: list[Instrument] = []
        for ticker, raw in rows.items():
            try:
                market = msgspec.json.decode(raw, type=Market)
                instrument = parse_market(market, self._ctx.clock.wall_ns())
                if only is None or instrument.id in only:
                    self._ctx.symbols.add(market.ticker, instrument)
                    loaded.append(instrument)
            except UNREADABLE as error:
                self._ctx.counters.inc("quarantined.market")
                self._ctx.log.warning("market %.60s is left out: %.200s", ticker, error)
        return loaded


def parse_market(market: Market, ts_ns: int) -> CryptoPerpetual:
    """One market as a linear perpetual; raise `BadValue` for a grid or fraction that cannot be held."""
    base, _, quote = market.ticker.partition("-")
    if not base or quote != "USD":
        raise BadValue(f"ticker {market.ticker[:40]!r} is not BASE-USD")
    tick, step = parse_increment(market.tick_size), parse_increment(market.step_size)
    return CryptoPerpetual(
        instrument_id=InstrumentId.from_str(f"{market.ticker}-PERP.DYDX"),
        raw_symbol=Symbol(market.ticker),
        base_currency=Currency.from_str(base),
        # Quoted in USD, booked in USDC: Nautilus takes costs and profits in the quote currency.
        quote_currency=Currency.from_str("USDC"),
        settlement_currency=Currency.from_str("USDC"),
        is_inverse=False,
        price_precision=tick.precision,
        size_precision=step.precision,
        price_increment=Price.from_str(tick.text),
        size_increment=Quantity.from_str(step.text),
        # The smallest order is one step.
        min_quantity=Quantity.from_str(step.text),
        margin_init=Decimal(market.initial_margin_fraction),
        margin_maint=Decimal(market.maintenance_margin_fraction),
        ts_event=ts_ns,
        ts_init=ts_ns,
        info={"status": market.status},
    )
