"""A folder of the venue's own answers sets the simulator up."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from venuekit_paradex.sim import SIMULATOR
from venuekit_paradex.sim.markets import MARKETS, SIMPLE_MARKETS, plan
from venuekit_paradex.sim.settings import parse_settings
from venuekit_paradex.sim.simple_fixtures import load, starting_point

from venuekit.errors import BadValue
from venuekit.runtime.clock import ManualClock

DATA = Path(__file__).parent.parent / "data"
# The one market of the recorded answer (2024), and a price of that time.
BODEN = "BODEN-USD-PERP"


def write(folder: Path, name: str, body: object) -> None:
    (folder / name).write_text(body if isinstance(body, str) else json.dumps(body))


def summary(symbol: str, price: object = "0.0042", rate: object = "-0.00031") -> dict:
    return {"results": [{"symbol": symbol, "mark_price": price, "funding_rate": rate, "bid": ""}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recorded market of production with a price."""
    shutil.copy(DATA / "recorded_rest/fetch_markets.json", tmp_path / "markets.json")
    write(tmp_path, "markets_summary.json", summary(BODEN))
    return tmp_path


def test_without_a_folder_the_simple_door_has_its_two_markets() -> None:
    assert starting_point(parse_settings({})).markets == MARKETS
    assert starting_point(parse_settings({"simple": "true"})).markets == SIMPLE_MARKETS
    for market in SIMPLE_MARKETS:
        assert (market.leverage, market.maker_fee, market.taker_fee) == (
            Decimal(10),
            Decimal("0.0001"),
            Decimal("0.0001"),
        )
    assert [one.symbol for one in SIMPLE_MARKETS] == ["BTC-USD-PERP", "ETH-USD-PERP"]


def test_a_recorded_answer_of_production_is_a_fixture(folder) -> None:
    (market,) = starting_point(parse_settings({"fixtures": str(folder)})).markets
    # Figures of the recorded file.
    assert (market.symbol, market.base, market.quote, market.settlement) == (BODEN, "BODEN", "USD", "USDC")
    assert (market.tick, market.lot) == (Decimal("0.00001"), Decimal(1))
    assert (market.min_notional, market.max_size, market.position_limit) == (200, 520_000, 2_000_000)
    assert (market.leverage, market.maintenance_factor, market.price_band) == (
        5,
        Decimal("0.5"),
        Decimal("0.2"),
    )
    assert (market.max_open_orders, market.start_price) == (50, Decimal("0.0042"))
    # The recording is older than the fee fields: the promised 0.01 %.
    assert (market.maker_fee, market.taker_fee) == (Decimal("0.0001"), Decimal("0.0001"))
    assert load(folder).funding_rates == {BODEN: Decimal("-0.00031")}


def test_the_documented_answers_are_fixtures(tmp_path) -> None:
    for name, source in (("markets", "get_markets"), ("account", "get_account")):
        shutil.copy(DATA / f"rest/{source}.200.json", tmp_path / f"{name}.json")
    found = load(tmp_path)
    (market,) = found.markets
    assert (market.symbol, market.max_size, market.start_price) == ("ETH-USD-PERP", 100, Decimal("3021.55"))
    assert found.funds == Decimal("123003.62047353")


def test_positions_are_signed_by_their_side(folder) -> None:
    body = json.loads((DATA / "rest/get_positions.200.json").read_text())
    short = body["results"][0] | {
        "market": BODEN,
        "size": "-345",
        "side": "SHORT",
        "average_entry_price": "0.005",
    }
    closed = short | {"status": "CLOSED", "size": "0"}
    write(folder, "positions.json", {"results": [closed, short]})
    assert load(folder).positions == ((BODEN, Decimal(-345), Decimal("0.005")),)


def test_other_products_of_a_whole_list_are_left_out(folder) -> None:
    rows = json.loads((folder / "markets.json").read_text())["results"]
    option = {"symbol": "BTC-USD-30NOV26-90000-C", "asset_kind": "PERP_OPTION", "min_notional": ""}
    write(folder, "markets.json", {"results": [option, *rows]})
    prices = summary(BODEN)["results"]
    write(
        folder,
        "markets_summary.json",
        {"results": [{"symbol": option["symbol"], "mark_price": ""}, *prices]},
    )
    assert [one.symbol for one in load(folder).markets] == [BODEN]


def row(folder: Path, **changes: object) -> None:
    (known,) = json.loads((folder / "markets.json").read_text())["results"]
    write(folder, "markets.json", {"results": [known | changes]})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "markets.json").unlink(), "markets.json is missing"),
        (lambda f: (f / "markets_summary.json").unlink(), f"{BODEN} has no price"),
        (lambda f: write(f, "markets.json", "{"), "markets.json: "),
        (lambda f: write(f, "markets.json", "[" * 100_000), "markets.json: "),
        (lambda f: (f / "markets.json").write_bytes(b'{"results":[{"symbol":"\xff"}]}'), "markets.json: "),
        (lambda f: write(f, "markets.json", {"results": []}), "no perpetual"),
        (lambda f: write(f, "markets.json", {}), "results"),
        (lambda f: row(f, price_tick_size="0"), "price_tick_size"),
        (lambda f: row(f, price_tick_size="NaN"), "price_tick_size"),
        (lambda f: row(f, order_size_increment="-1"), "order_size_increment"),
        (lambda f: row(f, max_order_size="1e400"), "max_order_size"),
        (lambda f: row(f, max_open_orders=0), "max_open_orders"),
        (lambda f: row(f, min_notional="much"), "markets.json: "),
        (lambda f: row(f, settlement_currency="EUR"), "settles in EUR"),
        (lambda f: row(f, delta1_cross_margin_params={"imf_base": "0", "mmf_factor": "0.5"}), "imf_base"),
        (lambda f: row(f, delta1_cross_margin_params=None), "delta1_cross_margin_params"),
        (lambda f: row(f, fee_config={"api_fee": {"taker_fee": {"fee": "3"}}}), "fee of"),
        (lambda f: write(f, "markets_summary.json", summary(BODEN, "free")), "mark_price"),
        (lambda f: write(f, "markets_summary.json", summary(BODEN, "0")), "start price"),
        (lambda f: write(f, "markets_summary.json", summary(BODEN, rate="inf")), "funding_rate"),
        (
            lambda f: write(f, "account.json", {"settlement_asset": "EUR", "total_collateral": "1"}),
            "settlement_asset",
        ),
        (
            lambda f: write(f, "account.json", {"settlement_asset": "USDC", "total_collateral": "-1"}),
            "total_collateral",
        ),
        (lambda f: position(f, market="BTC-USD-PERP"), "not among the markets"),
        (lambda f: position(f, side="UP"), "LONG or SHORT"),
        (lambda f: position(f, size="0.5"), "a multiple of 1"),
        (lambda f: position(f, average_entry_price="0"), "average_entry_price"),
    ],
)
def test_what_cannot_be_used_is_named(folder, spoil, said) -> None:
    spoil(folder)
    with pytest.raises(BadValue, match=said) as caught:
        SIMULATOR(clock=ManualClock(), seed=1, port=0, options={"fixtures": str(folder)})
    assert str(folder) in str(caught.value)


def position(folder: Path, **changes: str) -> None:
    known = {"market": BODEN, "side": "LONG", "size": "5", "average_entry_price": "0.004", "status": "OPEN"}
    write(folder, "positions.json", {"results": [known | changes]})


def test_a_market_twice_is_refused(folder) -> None:
    rows = json.loads((folder / "markets.json").read_text())["results"]
    write(folder, "markets.json", {"results": rows * 2})
    with pytest.raises(BadValue, match="twice"):
        load(folder)


def test_the_crowd_quotes_a_loaded_market_within_its_limits(folder) -> None:
    row(folder, max_order_size="50")
    (market,) = load(folder).markets
    chosen = plan(market, parse_settings({}))
    assert 1 <= chosen.taker_lots <= chosen.level_lots <= 50


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_wrong_port_is_refused_by_name(port) -> None:
    with pytest.raises(BadValue, match="simple_ws_port"):
        parse_settings({"simple_ws_port": port})
