"""A folder of recorded answers that says how the simulated exchange starts.

The files are answers of the venue's own API, saved as they came: `markets.json` (`GET /markets`), and where
wanted `markets_summary.json` (`GET /markets/summary`), `account.json` (`GET /account`) and `positions.json`
(`GET /positions`). Fields that the exchange has no use for are left alone.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from attrs import field, frozen

from venuekit.errors import BadValue
from venuekit.sim.market import Market
from venuekit_paradex.sim.markets import MARKETS, SIMPLE_MARKETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from venuekit_paradex.sim.settings import Settings

SETTLEMENT = "USDC"
_FEE = Decimal("0.0001")
_LARGEST = Decimal(10) ** 18


@frozen(kw_only=True)
class Fixtures:
    """What is there when the simulator starts. `funds` None leaves the amount to the settings.

    A position is (market, signed size, entry price).
    """

    markets: tuple[Market, ...]
    funding_rates: Mapping[str, Decimal] = field(factory=dict)
    funds: Decimal | None = None
    positions: tuple[tuple[str, Decimal, Decimal], ...] = ()


@frozen(kw_only=True)
class _Fee:
    fee: Decimal = _FEE


@frozen(kw_only=True)
class _Fees:
    maker_fee: _Fee | None = None
    taker_fee: _Fee | None = None


@frozen(kw_only=True)
class _FeeConfig:
    api_fee: _Fees | None = None


@frozen(kw_only=True)
class _Margin:
    imf_base: Decimal
    mmf_factor: Decimal


@frozen(kw_only=True)
class _Kind:
    asset_kind: str = "PERP"


@frozen(kw_only=True)
class _MarketRow:
    symbol: str
    base_currency: str
    quote_currency: str
    settlement_currency: str
    order_size_increment: Decimal
    price_tick_size: Decimal
    min_notional: Decimal
    max_order_size: Decimal
    position_limit: Decimal
    max_open_orders: int
    price_bands_width: Decimal
    delta1_cross_margin_params: _Margin
    fee_config: _FeeConfig | None = None
    funding_period_hours: int = 8


@frozen(kw_only=True)
class _SummaryRow:
    symbol: str
    # Text, and read only for a market that is used: other products of a whole list may have none.
    mark_price: str = ""
    funding_rate: str = ""


@frozen(kw_only=True)
class _Account:
    settlement_asset: str
    total_collateral: Decimal


@frozen(kw_only=True)
class _PositionRow:
    market: str
    side: str
    size: Decimal
    average_entry_price: Decimal
    status: str = "OPEN"


@frozen
class _Rows:
    results: list[msgspec.Raw]


def starting_point(settings: Settings) -> Fixtures:
    """The folder's content, or the built-in markets where no folder is named.

    BadValue names the file and the field of the first thing that cannot be used.
    """
    if settings.fixtures:
        return load(Path(settings.fixtures))
    return Fixtures(markets=SIMPLE_MARKETS if settings.simple else MARKETS)


def load(folder: Path) -> Fixtures:
    """What the folder's answers say; perpetuals only, other products of a recorded list are left out."""
    summaries = {one.symbol: one for one in _rows(folder / "markets_summary.json", _SummaryRow)}
    path = folder / "markets.json"
    if not path.is_file():
        raise BadValue(f"fixtures: {path} is missing", hint="save the answer of GET /v1/markets there.")
    markets: dict[str, Market] = {}
    for row in _rows(path, _MarketRow, perpetuals=True):
        if row.symbol in markets:
            raise BadValue(f"{path}: {row.symbol} is there twice")
        markets[row.symbol] = _market(path, row, summaries.get(row.symbol))
    if not markets:
        raise BadValue(f"{path}: it lists no perpetual")
    rates = {
        one.symbol: _number(one.funding_rate, f"{folder}: funding_rate of {one.symbol}")
        for one in summaries.values()
        if one.funding_rate and one.symbol in markets
    }
    return Fixtures(
        markets=tuple(markets.values()),
        funding_rates=rates,
        funds=_funds(folder / "account.json"),
        positions=tuple(_positions(folder / "positions.json", markets)),
    )


def _market(path: Path, row: _MarketRow, summary: _SummaryRow | None) -> Market:
    def positive(name: str, value: Decimal, largest: Decimal = _LARGEST) -> Decimal:
        if not (value.is_finite() and 0 < value <= largest):
            raise BadValue(f"{path}: {name} of {row.symbol} must be above 0 and at most {largest}")
        return value

    if row.settlement_currency != SETTLEMENT:
        raise BadValue(f"{path}: {row.symbol} settles in {row.settlement_currency}, not in {SETTLEMENT}")
    if row.max_open_orders <= 0 or row.funding_period_hours <= 0:
        raise BadValue(f"{path}: max_open_orders and funding_period_hours of {row.symbol} must be above 0")
    margin, one = row.delta1_cross_margin_params, Decimal(1)
    fees = (row.fee_config.api_fee if row.fee_config else None) or _Fees()
    tick = positive("price_tick_size", row.price_tick_size)
    return Market(
        symbol=row.symbol,
        base=row.base_currency,
        quote=row.quote_currency,
        settlement=row.settlement_currency,
        tick=tick,
        lot=positive("order_size_increment", row.order_size_increment),
        start_price=positive("the start price", _start_price(path, row.symbol, summary)),
        min_notional=positive("min_notional", row.min_notional),
        max_size=positive("max_order_size", row.max_order_size),
        position_limit=positive("position_limit", row.position_limit),
        max_open_orders=row.max_open_orders,
        maker_fee=_rate(path, row.symbol, fees.maker_fee),
        taker_fee=_rate(path, row.symbol, fees.taker_fee),
        leverage=1 / positive("imf_base", margin.imf_base, one),
        maintenance_factor=positive("mmf_factor", margin.mmf_factor, one),
        price_band=positive("price_bands_width", row.price_bands_width, one),
        funding_period_hours=row.funding_period_hours,
    )


def _rate(path: Path, symbol: str, fee: _Fee | None) -> Decimal:
    rate = _FEE if fee is None else fee.fee
    if not (rate.is_finite() and abs(rate) < 1):
        raise BadValue(f"{path}: a fee of {symbol} must be a fraction")
    return rate


def _start_price(path: Path, symbol: str, summary: _SummaryRow | None) -> Decimal:
    if summary is not None:
        return _number(summary.mark_price, f"{path.parent}: mark_price of {symbol}")
    known = next((one.start_price for one in MARKETS if one.symbol == symbol), None)
    if known is None:
        raise BadValue(
            f"{path}: {symbol} has no price",
            hint="save GET /v1/markets/summary?market=ALL beside it as markets_summary.json.",
        )
    return known


def _funds(path: Path) -> Decimal | None:
    if not path.is_file():
        return None
    account = _decode(path, path.read_bytes(), _Account)
    if account.settlement_asset != SETTLEMENT:
        raise BadValue(f"{path}: settlement_asset must be {SETTLEMENT}")
    if not (account.total_collateral.is_finite() and 0 <= account.total_collateral <= _LARGEST):
        raise BadValue(f"{path}: total_collateral must be 0 or above")
    return account.total_collateral


def _positions(path: Path, markets: Mapping[str, Market]) -> list[tuple[str, Decimal, Decimal]]:
    found = []
    for row in _rows(path, _PositionRow):
        if row.status == "CLOSED":
            continue
        market = markets.get(row.market)
        if market is None:
            raise BadValue(f"{path}: {row.market} is not among the markets")
        if row.side not in ("LONG", "SHORT"):
            raise BadValue(f"{path}: side of {row.market} must be LONG or SHORT")
        # A size off the grid could never be closed.
        size, price = abs(row.size), row.average_entry_price
        if not size.is_finite() or not 0 < size <= market.position_limit or size % market.lot:
            raise BadValue(f"{path}: size of {row.market} must be a multiple of {market.lot}")
        if not price.is_finite() or price <= 0:
            raise BadValue(f"{path}: average_entry_price of {row.market} must be above 0")
        found.append((row.market, size if row.side == "LONG" else -size, price))
    return found


def _rows[Row](path: Path, kind: type[Row], *, perpetuals: bool = False) -> list[Row]:
    """The rows of a list; none when there is no such file."""
    if not path.is_file():
        return []
    rows = []
    for raw in _decode(path, path.read_bytes(), _Rows).results:
        if perpetuals and _decode(path, raw, _Kind).asset_kind != "PERP":
            continue
        rows.append(_decode(path, raw, kind))
    return rows


def _decode[Kind](path: Path, raw: bytes | msgspec.Raw, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadValue(f"{path}: {error}") from error


def _number(text: str, name: str) -> Decimal:
    try:
        value = msgspec.convert(text, Decimal)
    except msgspec.ValidationError as error:
        raise BadValue(f"{name} is not a number") from error
    if not value.is_finite():
        raise BadValue(f"{name} is not a number")
    return value
