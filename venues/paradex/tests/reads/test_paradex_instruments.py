"""Instruments from market rows: the published example, ccxt's recorded rows, and rows that cannot be used."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from nautilus_trader.model import CryptoPerpetual, InstrumentId
from venuekit_paradex.instruments import ParadexInstruments

from venuekit.core.symbols import Symbols
from venuekit.errors import AuthNeeded, DecodeError, NotReady, RateLimited, Refused
from venuekit.interfaces.request import Reply
from venuekit.runtime.clock import ManualClock


def source(kit, answer, symbols: Symbols | None = None):
    tally = kit.Tally()
    port = kit.ScriptedPort({("GET", "/markets"): answer})
    made = ParadexInstruments(
        port=port,
        symbols=Symbols() if symbols is None else symbols,
        venue="PARADEX",
        clock=ManualClock(),
        counters=tally,
        log=kit.LOG,
    )
    return made, tally, port


def load(kit, answer, only=None):
    made, tally, _ = source(kit, answer)
    return asyncio.run(made.load(only)), tally


def test_the_published_example(kit):
    example = kit.data("rest/get_markets.200.json")
    ((eth,), tally) = load(kit, example)
    assert isinstance(eth, CryptoPerpetual)
    assert str(eth.id) == "ETH-USD-PERP.PARADEX"
    assert eth.raw_symbol.value == "ETH-USD-PERP"
    assert (str(eth.price_increment), str(eth.size_increment)) == ("0.01", "0.001")
    assert (eth.price_precision, eth.size_precision) == (2, 3)
    assert (str(eth.max_quantity), str(eth.min_quantity)) == ("100.000", "0.001")
    assert [c.code for c in (eth.base_currency, eth.quote_currency, eth.settlement_currency)] == [
        "ETH",
        "USDC",
        "USDC",
    ]
    assert eth.info["quote_currency"] == "USD"
    assert not eth.is_inverse
    # imf_base 0.11, mmf_factor 0.51 of it
    assert (eth.margin_init, eth.margin_maint) == (Decimal("0.11"), Decimal("0.0561"))
    # At the mark price and not for closing orders: that rule stays the venue's.
    assert eth.min_notional is None
    assert eth.info["min_notional"] == "3"
    assert not tally


def test_the_rows_that_ccxt_recorded(kit):
    rows = kit.data("ccxt_static_cases.json")["markets"]
    (btc, sol), _ = load(kit, {"results": rows})
    assert (str(btc.price_increment), str(btc.size_increment)) == ("0.1", "0.001")
    assert (str(sol.price_increment), str(sol.size_increment)) == ("0.01", "0.1")
    boden = kit.data("recorded_rest/fetch_markets.json")
    ((meme,), _) = load(kit, boden)
    assert (str(meme.price_increment), str(meme.size_increment)) == ("0.00001", "1")
    assert (meme.size_precision, str(meme.max_quantity)) == (0, "520000")
    assert meme.base_currency.code == "BODEN"


@pytest.mark.parametrize(
    ("tick", "lot", "price_step", "size_step"),
    [
        ("0.10", "100", "0.1", "100"),
        (1, "1.0", "1", "1"),
        ("0.00000001", "0.00000001", "0.00000001", "0.00000001"),
    ],
)
def test_steps_are_exact(kit, tick, lot, price_step, size_step):
    ((found,), _) = load(kit, {"results": [kit.market(tick=tick, lot=lot)]})
    assert (str(found.price_increment), str(found.size_increment)) == (price_step, size_step)


@pytest.mark.parametrize(
    "changes",
    [
        {"price_tick_size": "0"},
        {"price_tick_size": "-0.1"},
        {"price_tick_size": "NaN"},
        {"price_tick_size": "0.000000001"},
        {"order_size_increment": ""},
        {"order_size_increment": None},
        {"symbol": ""},
        {"symbol": 5},
        {"base_currency": ""},
        {"max_order_size": "-1"},
        {"max_order_size": "1e30"},
        {"delta1_cross_margin_params": {"imf_base": "many"}},
    ],
)
def test_a_market_that_cannot_be_read_is_counted_and_left_out(kit, changes):
    found, tally = load(kit, {"results": [kit.market(**changes), kit.market("ETH-USD-PERP")]})
    assert [str(one.id) for one in found] == ["ETH-USD-PERP.PARADEX"]
    assert tally == {"quarantined.market": 1}


def test_a_row_without_fields_or_form(kit):
    found, tally = load(kit, {"results": [{}, None, 7, "x", [], kit.market()]})
    assert len(found) == 1
    assert tally == {"quarantined.market": 5}


def test_other_kinds_are_left_out_by_name(kit):
    rows = [
        kit.market("BTC-USD-1-C", asset_kind="OPTION"),
        kit.market("ETH-USD", asset_kind="SPOT"),
        kit.market("X-USD-PERP", trading_mode="RFQ_ONLY"),
        kit.market(),
    ]
    found, tally = load(kit, {"results": rows})
    assert [str(one.id) for one in found] == ["BTC-USD-PERP.PARADEX"]
    assert tally == {"ignored.market_kind": 3}


def test_only_the_wanted_are_returned_and_all_are_known(kit):
    symbols = Symbols()
    made, _, _ = source(kit, {"results": [kit.market(), kit.market("ETH-USD-PERP")]}, symbols)
    wanted = [InstrumentId.from_str("ETH-USD-PERP.PARADEX")]
    found = asyncio.run(made.load(wanted))
    assert [one.id for one in found] == wanted
    assert symbols.by_raw("BTC-USD-PERP") is not None


def test_a_reload_takes_over_a_changed_step(kit):
    symbols = Symbols()
    made, _, port = source(kit, {"results": [kit.market()]}, symbols)
    asyncio.run(made.load(None))
    assert list(port.asked[-1].query) == []
    port.answers["GET", "/markets"] = {"results": [kit.market(tick="0.01")]}
    asyncio.run(made.load([kit.BTC]))
    assert symbols.by_raw("BTC-USD-PERP").price_precision == 2
    assert list(port.asked[-1].query) == [("market", "BTC-USD-PERP")]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, b"<html>"), DecodeError),
        (Reply(200, b'{"results":[]}'), DecodeError),
        (Reply(200, b'{"results":null}'), DecodeError),
        (Reply(429, b""), RateLimited),
        (Reply(401, b""), AuthNeeded),
        (Reply(503, b"<html>"), NotReady),
        (Reply(400, b'{"error":"VALIDATION_ERROR","message":"no"}'), Refused),
        (Reply(404, b""), Refused),
    ],
)
def test_a_failed_read_is_a_typed_error(kit, reply, error):
    with pytest.raises(error):
        load(kit, reply)
