"""Instruments from `GET /api/v1/orderBookDetails`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec
from nautilus_trader.model import CryptoPerpetual, Currency, InstrumentId, Money, Price, Quantity, Symbol

from venuekit.core.numbers import decimal_text
from venuekit.core.symbols import parse_increment
from venuekit.errors import BadValue, DecodeError, Refused
from venuekit.interfaces.model import Instrument
from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.venue import VenueContext

FRACTION = Decimal(10_000)
"""Margin fractions are whole numbers of basis points."""


UNREADABLE = (msgspec.MsgspecError, BadValue, DecodeError, ValueError, ArithmeticError, RecursionError)
"""What a row can raise whose texts are no numbers, no names, or no JSON at all."""


class Detail(msgspec.Struct):
    """One row of `order_book_details`, as far as an instrument needs it."""

    symbol: str
    market_id: int
    market_type: str
    status: str
    min_base_amount: str
    min_quote_amount: str
    supported_size_decimals: int
    supported_price_decimals: int
    default_initial_margin_fraction: int
    maintenance_margin_fraction: int


class _Details(msgspec.Struct):
    code: int
    order_book_details: list[msgspec.Raw] | None = None


class OrderBookInstruments:
    """Loads perpetual markets; market `ETH` becomes `ETH-USD-PERP.LIGHTER`.

    The venue's own name for a market on its wire is the market id, so that is the raw symbol.
    """

    def __init__(self, ctx: VenueContext) -> None:
        self._ctx = ctx

    async def load(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """See `InstrumentSource`; a row that cannot be read is counted and left out, the rest is kept."""
        request = HttpRequest("markets", "GET", "/api/v1/orderBookDetails", query=(("filter", "perp"),))
        reply = await self._ctx.ports["rest"].send(request)
        if reply.status != 200:
            raise Refused(f"the venue answered {reply.status} to the list of markets", code=str(reply.status))
        try:
            answer = msgspec.json.decode(reply.body, type=_Details)
        except UNREADABLE as error:
            raise DecodeError(f"the list of markets cannot be read: {error}", kind="markets") from error
        if answer.code != 200:
            raise Refused(
                f"the venue answered code {answer.code} to the list of markets", code=str(answer.code)
            )
        loaded: list[Instrument] = []
        for raw in answer.order_book_details or ():
            try:
                detail = msgspec.json.decode(raw, type=Detail)
                instrument = parse_detail(detail, self._ctx.clock.wall_ns())
                if only is None or instrument.id in only:
                    self._ctx.symbols.add(str(detail.market_id), instrument)
                    loaded.append(instrument)
            except UNREADABLE as error:
                self._ctx.counters.inc("quarantined.market")
                self._ctx.log.warning("a market is left out: %.200s", error)
        return loaded


def parse_detail(detail: Detail, ts_ns: int) -> CryptoPerpetual:
    """One market as a linear perpetual; raise `BadValue` for what is no perpetual or cannot be held."""
    if detail.market_type != "perp":
        raise BadValue(f"market {detail.symbol[:40]!r} is a {detail.market_type[:40]!r}, not a perpetual")
    tick = parse_increment(_step(detail.supported_price_decimals))
    step = parse_increment(_step(detail.supported_size_decimals))
    usdc = Currency.from_str("USDC")
    return CryptoPerpetual(
        instrument_id=InstrumentId.from_str(f"{detail.symbol}-USD-PERP.LIGHTER"),
        raw_symbol=Symbol(str(detail.market_id)),
        base_currency=Currency.from_str(detail.symbol),
        # Quoted in USD, booked in USDC: Nautilus takes costs and profits in the quote currency.
        quote_currency=usdc,
        settlement_currency=usdc,
        is_inverse=False,
        price_precision=tick.precision,
        size_precision=step.precision,
        price_increment=Price.from_str(tick.text),
        size_increment=Quantity.from_str(step.text),
        min_quantity=Quantity.from_str(detail.min_base_amount),
        min_notional=Money.from_str(f"{decimal_text(detail.min_quote_amount, usdc.precision)} USDC"),
        margin_init=Decimal(detail.default_initial_margin_fraction) / FRACTION,
        margin_maint=Decimal(detail.maintenance_margin_fraction) / FRACTION,
        ts_event=ts_ns,
        ts_init=ts_ns,
        info={"symbol": detail.symbol, "status": detail.status},
    )


def _step(decimals: int) -> str:
    """The smallest step of a number with this many decimals."""
    if not 0 <= decimals <= 18:
        raise BadValue(f"{decimals} decimals cannot be held")
    return "1" if decimals == 0 else "0." + "0" * (decimals - 1) + "1"
