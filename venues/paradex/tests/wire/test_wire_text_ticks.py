"""The short road for JSON trades and quotes: whatever it answers is what the general decoder says."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nautilus_trader.model import QuoteTick, TradeTick
from venuekit_paradex.wire import market_json
from venuekit_paradex.wire.text_ticks import TextMemo, tick_reader

from venuekit.errors import DecodeError
from venuekit.interfaces.stream import Quarantined

BTC = "BTC-USD-PERP"
TS = 1_791_421_539_000_000_000
TRADE = {
    "id": "1718179273230201709233240002",
    "market": BTC,
    "side": "BUY",
    "size": "0.01",
    "price": "30001.2",
    "created_at": 1_718_179_273_230,
    "trade_type": "FILL",
}
BBO = {
    "ask": "30130.1",
    "ask_size": "0.05",
    "bid": "30112.2",
    "bid_size": "0.04",
    "last_updated_at": 1_681_493_939_981,
    "market": BTC,
    "seq_no": 20784,
}


def frame(channel: str, data: object, **more: object) -> str:
    params = {"channel": channel, "data": data}
    return json.dumps(
        {"jsonrpc": "2.0", "method": "subscription", "params": params, **more}, separators=(",", ":")
    )


def general(symbols, channel: str, data: object) -> object:
    """What the long road makes of the same payload: an equal object, or the error it raises."""
    try:
        (found,) = market_json.parse_channel(channel, json.dumps(data).encode(), symbols, TS)
    except (DecodeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        return error
    return found


def test_the_plain_frames_take_the_short_road(symbols):
    read = tick_reader(symbols)
    (quote,) = read(frame(f"bbo.{BTC}", BBO), TS)
    assert (str(quote.bid_price), str(quote.bid_size)) == ("30112.2", "0.04000")
    assert (str(quote.ask_price), str(quote.ask_size)) == ("30130.1", "0.05000")
    assert (quote.ts_event, quote.ts_init) == (1_681_493_939_981_000_000, TS)
    (trade,) = read(frame(f"trades.{BTC}", TRADE), TS)
    assert (str(trade.price), str(trade.size), trade.trade_id.value) == ("30001.2", "0.01000", TRADE["id"])
    assert trade.ts_event == 1_718_179_273_230_000_000
    # One channel may bring every market: the row names its own.
    (same,) = read(frame("trades.ALL", TRADE), TS)
    assert same == trade


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "+1",
        "1e3",
        " 1",
        "1 ",
        "1_0",
        "1.2.3",
        "0.0000001",
        "\u0661",
        "nan",
        "1" * 40,
        ".",
        "0x1",
    ],
)
def test_an_unusual_number_is_left_to_the_general_decoder(symbols, text):
    assert tick_reader(symbols)(frame(f"bbo.{BTC}", {**BBO, "bid_size": text}), TS) is None


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"method": "subscription", "params": {"channel": f"bbo.{BTC}", "data": BBO}}),
        frame(f"order_book.{BTC}.deltas", BBO),
        frame(f"bbo.{BTC}", {**BBO, "market": "NO-SUCH"}),
        frame(f"bbo.{BTC}", {**BBO, "last_updated_at": 0}),
        frame(f"bbo.{BTC}", {**BBO, "last_updated_at": "1681493939981"}),
        frame(f"bbo.{BTC}", {**BBO, "bid": 30112}),
        frame(f"bbo.{BTC}", {**BBO, "ask": "100000000000"}),
        frame(f"trades.{BTC}", {**TRADE, "size": "92233720369"}),
        frame(f"bbo.{BTC}", [1]),
        frame(f"trades.{BTC}", {**TRADE, "id": ""}),
        frame(f"bbo.{BTC}", BBO)[:-9],
        "[" * 5_000,
        "",
    ],
)
def test_an_unusual_frame_is_left_to_the_general_decoder(symbols, text):
    assert tick_reader(symbols)(text, TS) is None


numbers = st.one_of(
    st.decimals(min_value=0, max_value=99_999, places=5, allow_nan=False).map(str),
    st.integers(0, 10**6).map(str),
    st.text("0123456789.-e ", max_size=12),
    st.integers(0, 99_999),
    st.none(),
)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the symbols are only read
)
@given(data=st.data())
def test_both_roads_agree(symbols, data):
    kind, whole = data.draw(st.sampled_from([("bbo", BBO), ("trades", TRADE)]))
    names = [name for name in whole if name not in ("market", "seq_no", "trade_type", "id", "side")]
    changed = {name: data.draw(numbers) for name in data.draw(st.lists(st.sampled_from(names), max_size=3))}
    payload = {**whole, **changed}
    short = tick_reader(symbols)(frame(f"{kind}.{BTC}", payload), TS)
    expected = general(symbols, f"{kind}.{BTC}", payload)
    if short is None:
        # The short road may be more careful, never less.
        assert isinstance(expected, Exception | QuoteTick | TradeTick) or type(expected).__name__ == "Ignored"
    else:
        assert short == (expected,)


def test_a_changed_instrument_counts_from_the_next_frame_on(symbols, kit):
    read = tick_reader(symbols)
    text = frame(f"trades.{BTC}", TRADE)
    assert read(text, TS)[0].price.precision == 1
    finer = kit.load_symbols(kit.market(tick="0.01")).by_raw(BTC)
    symbols.remove(BTC)
    assert read(text, TS) is None
    symbols.add(BTC, finer.instrument)
    assert read(text, TS)[0].price.precision == 2


def test_the_codec_quarantines_what_both_roads_refuse(symbols):
    from venuekit_paradex.stream import ParadexStream

    codec = ParadexStream(url="ws://venue/v1", symbols=symbols, private=False, sbe_version=None)
    (found,) = codec.decode(frame(f"bbo.{BTC}", {**BBO, "bid": "30112.25"}), TS)
    assert isinstance(found, Quarantined)
    assert (found.kind, found.channel) == ("off_grid", f"bbo.{BTC}")
    (found,) = codec.decode(frame(f"bbo.{BTC}", {**BBO, "ask": "92233720369"}), TS)
    assert (type(found), found.kind) == (Quarantined, "range")


def test_the_memo_is_bounded():
    memo = TextMemo(lambda mantissa, exponent, precision: (mantissa, exponent, precision), 2)
    assert memo["1.5"] == (150, -2, 2)
    for number in range(1, 10_000):
        assert memo[str(number)] == (number * 100, -2, 2)
    assert len(memo) <= 4_096
