"""Instruments from captured Indexer answers; expected values are read off the payload by hand."""

import asyncio
import json
import logging
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import InstrumentId, Price, Quantity
from venuekit_dydx.config import DydxConfig
from venuekit_dydx.manifest import MANIFEST
from venuekit_dydx.venue import open_venue

from venuekit.core.symbols import Symbols
from venuekit.errors import DecodeError, Refused
from venuekit.interfaces.manifest import Environment
from venuekit.interfaces.request import Reply
from venuekit.interfaces.venue import VenueContext
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.telemetry import CounterTable

DATA = Path(__file__).parent / "data"


class Port:
    def __init__(self, status, body):
        self.reply, self.seen = Reply(status, body), []

    async def send(self, request, *, on_sent=lambda: None):
        self.seen.append(request)
        return self.reply


def load(body, status=200, only=None):
    context = VenueContext(
        venue="DYDX",
        clock=ManualClock(),
        ports={"rest": Port(status, body)},
        symbols=Symbols(),
        config=DydxConfig(),
        counters=CounterTable(),
        log=logging.getLogger("test"),
        trading=False,
        environment=Environment({}),
    )

    async def run():
        return await (await open_venue(context)).instruments.load(only)

    return asyncio.run(run()), context


def test_captured_markets():
    loaded, context = load((DATA / "http_get_perpetual_markets.json").read_bytes())
    by_id = {str(instrument.id): instrument for instrument in loaded}
    assert set(by_id) == {"BTC-USD-PERP.DYDX", "ETH-USD-PERP.DYDX", "SOL-USD-PERP.DYDX"}
    btc = by_id["BTC-USD-PERP.DYDX"]
    assert (btc.price_precision, btc.price_increment) == (0, Price.from_str("1"))
    assert (btc.size_precision, btc.size_increment) == (4, Quantity.from_str("0.0001"))
    assert (btc.margin_init, btc.margin_maint) == (Decimal("0.02"), Decimal("0.012"))
    sol = by_id["SOL-USD-PERP.DYDX"]
    assert (sol.price_increment, sol.size_increment) == (Price.from_str("0.01"), Quantity.from_str("0.1"))
    assert context.symbols.by_raw("ETH-USD").instrument_id == InstrumentId.from_str("ETH-USD-PERP.DYDX")
    request = context.ports["rest"].seen[0]
    assert (request.method, request.path) == ("GET", "/v4/perpetualMarkets")


def test_grid_follows_the_quanta_of_the_chain():
    """By the protocol: stepSize = stepBaseQuantums * 10**a, tickSize = subticksPerTick * 10**(q - 6 - a)."""
    rows = json.loads((DATA / "http_get_perpetual_markets.json").read_text())["markets"]
    _, context = load((DATA / "http_get_perpetual_markets.json").read_bytes())
    for row in rows.values():
        instrument = context.symbols.by_raw(row["ticker"]).instrument
        a, q = row["atomicResolution"], row["quantumConversionExponent"]
        assert instrument.size_increment.as_decimal() == Decimal(row["stepBaseQuantums"]).scaleb(a)
        assert instrument.price_increment.as_decimal() == Decimal(row["subticksPerTick"]).scaleb(q - 6 - a)


def test_a_market_without_an_oracle_price_is_an_instrument_all_the_same():
    loaded, _ = load((DATA / "inl_http_perpetual_markets_null_oracle.json").read_bytes())
    assert [str(instrument.id) for instrument in loaded] == ["WTI-USD-PERP.DYDX"]


def test_only_what_was_asked_for():
    body = (DATA / "http_get_perpetual_markets.json").read_bytes()
    loaded, context = load(body, only={InstrumentId.from_str("SOL-USD-PERP.DYDX")})
    assert [str(instrument.id) for instrument in loaded] == ["SOL-USD-PERP.DYDX"]
    assert context.symbols.by_raw("BTC-USD") is None


@pytest.mark.parametrize(
    "change",
    [
        {"tickSize": "0"},
        {"tickSize": "NaN"},
        {"stepSize": "-1"},
        {"ticker": "BTCUSD"},
        {"tickSize": 1},
        {"status": None},
    ],
)
def test_a_malformed_row_is_counted_and_the_rest_is_kept(change):
    tree = json.loads((DATA / "http_get_perpetual_markets.json").read_text())
    tree["markets"]["BTC-USD"].update(change)
    loaded, context = load(json.dumps(tree).encode())
    assert len(loaded) == 2
    assert context.counters.get("quarantined.market") == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"markets": []}'])
def test_an_answer_that_is_none_is_an_error_and_not_an_empty_venue(body):
    with pytest.raises(DecodeError):
        load(body)


def test_a_refusal_is_an_error():
    with pytest.raises(Refused):
        load(b"{}", status=403)


def test_the_manifest_is_data_only():
    assert not MANIFEST.trades
    assert MANIFEST.streams == {}
