"""SBE frames: hand-built ones against the SDK's decoding, production captures against their books."""

from __future__ import annotations

import base64
import json
import struct
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import (
    AggressorSide,
    BookType,
    LiquiditySide,
    OrderBook,
    OrderBookDeltas,
    OrderSide,
    OrderStatus,
    OrderType,
)
from venuekit_paradex.manifest import MANIFEST
from venuekit_paradex.stream import ParadexStream
from venuekit_paradex.wire import schema

from venuekit.core.book import Book, Held
from venuekit.interfaces.records import BalanceRecord, FillRecord, ModifyResult, OrderRecord, PositionRecord
from venuekit.interfaces.stream import BookUpdate, Ignored, Quarantined

DATA = Path(__file__).parents[1] / "data"
FRAMES = {frame["name"]: frame for frame in json.loads((DATA / "sbe/frames.json").read_text())["frames"]}
TS_INIT = 1_791_421_539_000_000_000

# The schema's own enumerations, read from its file: what a code on the wire is called.
SCHEMA = (DATA / "specs/sbe_paradex_1_0.xml").read_text()


def enum(name: str) -> dict[int, str]:
    import xml.etree.ElementTree as ET

    root = ET.fromstring(SCHEMA)
    found = root.find(f".//enum[@name='{name}']")
    return {int(value.text): value.get("name") for value in found.findall("validValue")}


def flags(name: str) -> dict[int, str]:
    import xml.etree.ElementTree as ET

    found = ET.fromstring(SCHEMA).find(f".//set[@name='{name}']")
    return {int(choice.text): choice.get("name") for choice in found.findall("choice")}


ENUMS = {
    "status": enum("OrderStatus"),
    "side": enum("Side"),
    "order_type": enum("OrderType"),
    "time_in_force": enum("TimeInForce"),
    "stp": enum("STPMode"),
    "fill_type": enum("FillType"),
    "liquidity": enum("LiquiditySide"),
    "trade_type": enum("FillType"),
    "asset_kind": enum("AssetKind"),
    "source": enum("FundingRateSource"),
}
STATUS = {schema.POSITION: enum("PositionStatus"), schema.ACCOUNT: enum("AccountStatus")}
FLAGS = {schema.ORDER: flags("OrderFlags"), schema.FILL: flags("FillFlags")}
REQUEST = {"request_status": enum("RequestStatus"), "request_type": enum("RequestType")}
MS_FIELDS = {
    "ts",
    "created_at",
    "updated_at",
    "received_at",
    "published_at",
    "last_updated_at",
    "last_seen_notification",
}
NAMES = {"ts": "timestamp", "seq": "seq_no"}
PLAIN = {"seq", "trade_id", "funding_period_hours", "orderbook_seq_no"}


def schema_messages():
    """Template -> fields (name, letter, since) and texts (name, since), read from the venue's schema file."""
    import xml.etree.ElementTree as ET

    letters = {"Timestamp": "q", "int64": "q", "uint64": "Q", "int16": "h", "AccountAddress": "32s"}
    for message in ET.fromstring(SCHEMA).iter("{http://fixprotocol.io/2016/sbe}message"):
        fields, texts = [], []
        for part in message:
            kind, since = part.get("type"), int(part.get("sinceVersion", "0"))
            name = "".join(f"_{c.lower()}" if c.isupper() else c for c in part.get("name"))
            if part.tag == "data":
                texts.append((name, since))
            elif part.tag == "field":
                scaled = kind.rstrip("NUL").rstrip("8").rstrip("12") in ("Price", "Qty", "Value", "Rate")
                fields.append((name, letters.get(kind, "q" if scaled else "B"), since))
        yield int(message.get("id")), fields, texts


def test_the_tables_are_the_schema():
    compared = 0
    for template, fields, texts in schema_messages():
        layout = schema.LAYOUTS.get(template)
        if layout is None:
            continue
        assert list(zip(layout.names, layout.letters, strict=True)) == [
            (name, kind) for name, kind, _ in fields
        ]
        assert layout.base == sum(since == 0 for _, _, since in fields)
        assert layout.texts == tuple(name for name, since in texts if since == 0)
        assert layout.later_texts == tuple(name for name, since in texts if since > 0)
        compared += 1
    assert compared == len(schema.LAYOUTS) == 12


def raw(name: str) -> bytes:
    return base64.b64decode(FRAMES[name]["b64"])


def stream(symbols, *, private: bool = True) -> ParadexStream:
    return ParadexStream(url="ws://venue/v1", symbols=symbols, private=private, sbe_version=2)


def decode_one(symbols, name: str):
    (found,) = stream(symbols).decode(raw(name), TS_INIT)
    return found


def as_recorded(name: str, value: int | None, template: int) -> object:
    """A raw field in the form in which the SDK's decoder reports it."""
    if value is None:
        return None
    if name in MS_FIELDS:
        return value // 1000
    if name == "account":
        return hex(value)
    if name in ENUMS and not (name == "status" and template in (schema.POSITION, schema.ACCOUNT)):
        prefix = {"asset_kind": "ASSET_KIND_", "source": "SOURCE_"}.get(name, "")
        text = prefix + ENUMS[name][value]
        return (
            {"BUY": "LONG", "SELL": "SHORT"}[text] if template == schema.POSITION and name == "side" else text
        )
    if name in PLAIN:
        return value
    places = 12 if name in ("hourly_funding_rate", "funding_rate_precise") else 8
    return f"{Decimal(value).scaleb(-places):f}"


@pytest.mark.parametrize("name", [n for n, f in FRAMES.items() if f["decoded"] is not None])
def test_every_field_of_a_frame_is_what_the_sdk_reads(name):
    frame = FRAMES[name]
    assert frame["template_id"] != schema.BOOK  # its levels have tests of their own
    message = schema.unpack(raw(name))
    assert (message.template, message.version) == (frame["template_id"], frame["version"])
    recorded = dict(frame["decoded"])
    info = recorded.pop("request_info", None) or {}
    for field, value in message.fields.items():
        if field in REQUEST:
            named = REQUEST[field].get(value, "")
            assert named.replace("NONE", "").replace("UNSPECIFIED", "") == info.get(
                field[8:], info.get(field, "")
            )
            continue
        key = NAMES.get(field, field)
        if field == "flags":
            names = [text for bit, text in FLAGS[message.template].items() if value >> bit & 1]
            assert names == (recorded.pop(key) or [])
        elif field == "status" and message.template in STATUS:
            assert STATUS[message.template][value] == recorded.pop(key)
        else:
            assert as_recorded(field, value, message.template) == recorded.pop(key), field
    for field, text in message.texts.items():
        if field.startswith("request_"):
            assert text == info.get(field[8:], ""), field
        else:
            assert text == (recorded.pop(field) or ""), field
    # What the decoder of the SDK names beside that is not in this version of the frame.
    assert not any(recorded.values()), recorded


def test_heartbeat_and_subscribed_are_read():
    """Written by hand from the schema: the SDK's decoder has no name for them."""
    heartbeat = schema.unpack(raw("heartbeat"))
    assert heartbeat.fields == {"ts": 1_791_421_538_485_525, "seq": 1}
    subscribed = schema.unpack(raw("subscribed"))
    assert subscribed.fields == {"ts": 1_791_421_538_485_525, "seq": 1, "status": 1}
    assert subscribed.texts == {"channel": "trades.BTC-USD-PERP"}


@pytest.mark.parametrize("name", ["heartbeat", "subscribed", "funding_rate_comparison_v1"])
def test_a_torn_frame_without_meaning_is_still_told(symbols, name):
    (found,) = stream(symbols).decode(raw(name)[:-1], TS_INIT)
    assert isinstance(found, Quarantined)


def test_the_block_of_a_captured_book_is_read():
    capture = json.loads((DATA / "sbe/book_deltas_btc.json").read_text())
    frame = base64.b64decode(capture["frames"][2]["b64"])
    block, template, _, _ = schema.HEADER.unpack_from(frame)
    layout, names = schema.LAYOUTS[template].fitting(block)
    values = dict(zip(names, layout.unpack_from(frame, 8), strict=True))
    assert (block, template, len(values)) == (89, schema.BOOK, 12)
    assert values["pkg_type"] in (0, 1)
    assert values["ts"] // 1_000_000 == 1_791_421_535  # 2026-10-08, the day of the capture


@pytest.mark.parametrize(
    ("name", "side", "trade_id"),
    [
        ("trade_v1", AggressorSide.BUY, "1234"),
        ("trade_v2", AggressorSide.SELL, "1791421538480120170398943000"),
    ],
)
def test_trades(symbols, name, side, trade_id):
    tick = decode_one(symbols, name)
    recorded = FRAMES[name]["decoded"]
    assert tick.price.as_decimal() == Decimal(recorded["price"])
    assert tick.size.as_decimal() == Decimal(recorded["size"])
    assert (tick.price.precision, tick.size.precision) == (1, 5)
    assert (tick.aggressor_side, tick.trade_id.value) == (side, trade_id)
    assert tick.ts_event // 1_000_000 == recorded["created_at"]
    assert tick.ts_init == TS_INIT


def test_a_longer_block_is_skipped(fine_symbols):
    tick = decode_one(fine_symbols, "longer_block_bbo")
    recorded = FRAMES["longer_block_bbo"]["decoded"]
    shown = (tick.bid_price, tick.bid_size, tick.ask_price, tick.ask_size)
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    assert [str(value) for value in shown] == [recorded[name] for name in names]


def test_a_changed_instrument_is_taken_over_at_once(symbols, kit):
    codec = stream(symbols)
    (before,) = codec.decode(raw("trade_v2"), TS_INIT)
    finer = kit.load_symbols(kit.market(tick="0.01")).by_raw("BTC-USD-PERP")
    symbols.remove("BTC-USD-PERP")
    symbols.add("BTC-USD-PERP", finer.instrument)
    (after,) = codec.decode(raw("trade_v2"), TS_INIT)
    assert (before.price.precision, after.price.precision) == (1, 2)
    symbols.remove("BTC-USD-PERP")
    (gone,) = codec.decode(raw("trade_v2"), TS_INIT)
    assert gone.kind == "unknown_market"


def test_an_empty_side_makes_no_quote(symbols):
    assert decode_one(symbols, "bbo_ask_empty") == Ignored("one_sided_bbo")


def test_a_price_finer_than_the_grid_is_never_rounded(symbols):
    found = decode_one(symbols, "longer_block_bbo")
    assert isinstance(found, Quarantined)
    assert found.kind == "off_grid"


@pytest.mark.parametrize("name", ["markets_summary_v0", "markets_summary_v1"])
def test_mark_and_index_price(symbols, name):
    mark, index = stream(symbols).decode(raw(name), TS_INIT)
    recorded = FRAMES[name]["decoded"]
    assert str(mark.value) == recorded["mark_price"]
    assert str(index.value) == recorded["index_price"]
    assert mark.ts_event // 1_000_000 == index.ts_event // 1_000_000 == recorded["timestamp"]


@pytest.mark.parametrize("name", ["funding_data_v0", "funding_data_v1"])
def test_funding(symbols, name):
    (update,) = stream(symbols).decode(raw(name), TS_INIT)
    recorded = FRAMES[name]["decoded"]
    assert update.rate == Decimal(recorded["funding_rate"])
    assert update.interval == recorded["funding_period_hours"] * 60
    assert update.ts_event // 1_000_000 == recorded["created_at"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("heartbeat", "heartbeat"),
        ("subscribed", "subscribed"),
        ("funding_rate_comparison_v1", "funding_comparison"),
    ],
)
def test_frames_without_meaning_for_us_are_named(symbols, name, kind):
    assert decode_one(symbols, name) == Ignored(kind)


@pytest.mark.parametrize(
    ("name", "status", "filled", "reason", "modify"),
    [
        ("order_new_v1", OrderStatus.SUBMITTED, "0.00000000", "", None),
        ("order_open_partial_v2", OrderStatus.PARTIALLY_FILLED, "0.00599000", "", None),
        ("order_closed_cancel_v2", OrderStatus.CANCELED, "0.00000000", "USER_CANCELED", None),
        ("order_modify_success_v2", OrderStatus.ACCEPTED, "0.00000000", "", ModifyResult.APPLIED),
        ("order_untriggered_v2", OrderStatus.ACCEPTED, "0.00000000", "", None),
    ],
)
def test_orders(fine_symbols, name, status, filled, reason, modify):
    record = decode_one(fine_symbols, name)
    recorded = FRAMES[name]["decoded"]
    assert isinstance(record, OrderRecord)
    assert (record.status, str(record.filled), record.reason, record.modify) == (
        status,
        filled,
        reason,
        modify,
    )
    assert record.ids.venue_order_id == recorded["order_id"]
    assert record.ids.client_order_id == (recorded["client_order_id"] or None)
    assert record.version == recorded["seq_no"]
    assert record.ts_event // 1_000_000 == recorded["updated_at"]
    assert str(record.quantity) == recorded["size"]
    assert (None if record.price is None else str(record.price)) == recorded["price"]
    assert (None if record.trigger_price is None else str(record.trigger_price)) == recorded["trigger_price"]
    assert record.side is {"BUY": OrderSide.BUY, "SELL": OrderSide.SELL}[recorded["side"]]
    assert record.post_only == (recorded["time_in_force"] == "POST_ONLY")
    assert record.reduce_only == ("REDUCE_ONLY" in recorded["flags"])
    average = recorded["avg_fill_price"]
    assert (None if record.avg_px is None else Decimal(record.avg_px)) == (average and Decimal(average))


def test_a_stop_is_not_taken_for_a_plain_market_order(fine_symbols):
    assert decode_one(fine_symbols, "order_untriggered_v2").order_type is OrderType.STOP_MARKET


@pytest.mark.parametrize(("name", "fee"), [("fill_v1", None), ("fill_v2", "0.62000000 USDC")])
def test_fills_say_their_fee_only_with_its_currency(symbols, name, fee):
    record = decode_one(symbols, name)
    recorded = FRAMES[name]["decoded"]
    assert isinstance(record, FillRecord)
    assert record.trade_key == recorded["fill_id"]
    assert record.ids.venue_order_id == recorded["order_id"]
    assert record.ids.client_order_id == recorded["client_order_id"]
    assert record.price.as_decimal() == Decimal(recorded["price"])
    assert record.quantity.as_decimal() == Decimal(recorded["size"])
    assert record.liquidity is LiquiditySide.TAKER
    assert record.side is OrderSide.BUY
    assert record.ts_event // 1_000_000 == recorded["created_at"]
    assert (None if record.fee is None else str(record.fee)) == fee


def test_position(symbols):
    record = decode_one(symbols, "position_v2")
    assert isinstance(record, PositionRecord)
    assert Decimal(record.signed_qty) == Decimal("0.01198")
    assert Decimal(record.avg_px) == Decimal("83477.2")


def test_a_short_position_is_negative(symbols):
    frame = bytearray(raw("position_v2"))
    frame[8 + 16] = 2  # the side byte follows time and sequence
    (record,) = stream(symbols).decode(bytes(frame), TS_INIT)
    assert record.signed_qty == "-0.01198"


@pytest.mark.parametrize("name", ["account_v1", "account_v2"])
def test_account(symbols, name):
    record = decode_one(symbols, name)
    recorded = FRAMES[name]["decoded"]
    assert isinstance(record, BalanceRecord)
    (balance,), (margin,) = record.balances, record.margins
    assert balance.total.as_decimal() == Decimal(recorded["total_collateral"])
    assert balance.free.as_decimal() == Decimal(recorded["free_collateral"])
    assert balance.total.as_decimal() == balance.free.as_decimal() + balance.locked.as_decimal()
    assert margin.initial.as_decimal() == Decimal(recorded["initial_margin_req"])
    assert margin.maintenance.as_decimal() == Decimal(recorded["maintenance_margin_req"])


def test_the_captured_quotes(symbols):
    capture = json.loads((DATA / "sbe/bbo_btc.json").read_text())
    codec = stream(symbols, private=False)
    seen = 0
    for frame in capture["frames"]:
        if frame["opcode"] != "binary":
            continue
        (tick,) = codec.decode(base64.b64decode(frame["b64"]), frame["t_ns"])
        recorded = frame["decoded"]
        for shown, name in (
            (tick.bid_price, "bid_price"),
            (tick.ask_price, "ask_price"),
            (tick.bid_size, "bid_size"),
            (tick.ask_size, "ask_size"),
        ):
            assert shown.as_decimal() == Decimal(recorded[name])
        assert tick.ts_event // 1_000_000 == recorded["timestamp"]
        seen += 1
    assert seen == 5


def test_the_captured_book_ends_in_the_recorded_top(symbols, kit):
    capture = json.loads((DATA / "sbe/book_deltas_btc.json").read_text())
    codec = stream(symbols, private=False)
    machine = Book(kit.BTC, MANIFEST.book, 1, 5)
    mirror = OrderBook(kit.BTC, BookType.L2_MBP)
    for frame in capture["frames"]:
        if frame["opcode"] == "binary":
            (update,) = codec.decode(base64.b64decode(frame["b64"]), frame["t_ns"])
            assert isinstance(update, BookUpdate)
            out = machine.apply(update)
            if out is Held.SILENT:
                assert not update.bids
                assert not update.asks
                continue
            assert isinstance(out, OrderBookDeltas), machine.why
            mirror.apply_deltas(out)
    expected = capture["expected_after_last"]
    assert machine.last == expected["seq_no"]
    for side, top, count in (
        (mirror.bids(), expected["top_bids"], expected["bids"]),
        (mirror.asks(), expected["top_asks"], expected["asks"]),
    ):
        assert len(side) == count
        shown = [(level.price.as_decimal(), level.first().size.as_decimal()) for level in side[: len(top)]]
        assert shown == [(Decimal(price), Decimal(size)) for price, size in top]


def test_wider_levels_of_a_newer_version_are_skipped(symbols):
    capture = json.loads((DATA / "sbe/book_deltas_btc.json").read_text())
    frame = base64.b64decode(capture["frames"][2]["b64"])
    block = struct.unpack_from("<H", frame)[0]
    head, at = frame[: 8 + block], 8 + block
    wide = b""
    for _ in range(2):
        _, count = struct.unpack_from("<HH", frame, at)
        at += 4
        wide += struct.pack("<HH", 20, count)
        for _ in range(count):
            wide += frame[at : at + 16] + b"\x07\x07\x07\x07"
            at += 16
    (narrow,) = stream(symbols).decode(frame, TS_INIT)
    (found,) = stream(symbols).decode(head + wide + frame[at:], TS_INIT)
    assert (found.bids, found.asks) == (narrow.bids, narrow.asks)
    assert len(narrow.bids) + len(narrow.asks) == 1


def test_a_broken_book_frame_names_its_channel(symbols):
    capture = json.loads((DATA / "sbe/book_deltas_btc.json").read_text())
    frame = bytearray(base64.b64decode(capture["frames"][2]["b64"]))
    frame[8 + 16] = 9  # the kind of book frame
    (found,) = stream(symbols, private=False).decode(bytes(frame), TS_INIT)
    assert (found.kind, found.channel) == ("bad_book", "order_book.BTC-USD-PERP.deltas")
