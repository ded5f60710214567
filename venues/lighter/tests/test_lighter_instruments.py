"""Instruments from a captured answer; expected values are read off the payload by hand."""

import asyncio
import json
import logging
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import InstrumentId, Money, Price, Quantity
from venuekit_lighter.config import LighterConfig
from venuekit_lighter.manifest import MANIFEST
from venuekit_lighter.venue import open_venue

from venuekit.core.symbols import Symbols
from venuekit.errors import DecodeError, Refused
from venuekit.interfaces.manifest import Environment
from venuekit.interfaces.request import Reply
from venuekit.interfaces.venue import VenueContext
from venuekit.runtime.clock import ManualClock
from venuekit.runtime.telemetry import CounterTable

CAPTURED = (Path(__file__).parent / "data" / "http_order_book_details.json").read_bytes()


class Port:
    def __init__(self, status, body):
        self.reply, self.seen = Reply(status, body), []

    async def send(self, request, *, on_sent=lambda: None):
        self.seen.append(request)
        return self.reply


def load(body, status=200):
    context = VenueContext(
        venue="LIGHTER",
        clock=ManualClock(),
        ports={"rest": Port(status, body)},
        symbols=Symbols(),
        config=LighterConfig(),
        counters=CounterTable(),
        log=logging.getLogger("test"),
        trading=False,
        environment=Environment({}),
    )

    async def run():
        return await (await open_venue(context)).instruments.load(None)

    return asyncio.run(run()), context


def test_captured_market():
    (eth,), context = load(CAPTURED)
    assert eth.id == InstrumentId.from_str("ETH-USD-PERP.LIGHTER")
    assert (eth.price_increment, eth.size_increment) == (Price.from_str("0.01"), Quantity.from_str("0.0001"))
    assert eth.min_quantity == Quantity.from_str("0.0050")
    assert eth.min_notional == Money.from_str("10.00 USDC")
    assert (eth.margin_init, eth.margin_maint) == (Decimal("0.05"), Decimal("0.012"))
    assert context.symbols.by_raw("0").instrument_id == eth.id
    assert context.ports["rest"].seen[0].path == "/api/v1/orderBookDetails"


@pytest.mark.parametrize(
    "change",
    [
        {"market_type": "binary_options"},
        {"supported_price_decimals": 40},
        {"supported_size_decimals": -1},
        {"market_id": "zero"},
        {"min_base_amount": None},
    ],
)
def test_a_row_of_another_kind_or_shape_is_counted_and_the_rest_is_kept(change):
    tree = json.loads(CAPTURED)
    row = tree["order_book_details"][0]
    tree["order_book_details"] = [{**row, **change}, {**row, "symbol": "BTC", "market_id": 1}]
    loaded, context = load(json.dumps(tree).encode())
    assert [str(instrument.id) for instrument in loaded] == ["BTC-USD-PERP.LIGHTER"]
    assert context.counters.get("quarantined.market") == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
def test_an_answer_that_is_none_is_an_error_and_not_an_empty_venue(body):
    with pytest.raises(DecodeError):
        load(body)


@pytest.mark.parametrize(("body", "status"), [(b'{"code": 20001}', 200), (b"{}", 429)])
def test_a_refusal_is_an_error(body, status):
    with pytest.raises(Refused):
        load(body, status)


def test_the_manifest_is_data_only():
    assert not MANIFEST.trades
    assert MANIFEST.streams == {}
