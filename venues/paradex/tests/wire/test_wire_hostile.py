"""Bad input: whatever comes, the codec answers with something and never raises."""

from __future__ import annotations

import base64
import copy
import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from venuekit_paradex.stream import ParadexStream

from venuekit.interfaces.stream import BookUpdate, Ignored, Quarantined

DATA = Path(__file__).parents[1] / "data"
FRAMES = {
    frame["name"]: base64.b64decode(frame["b64"])
    for frame in json.loads((DATA / "sbe/frames.json").read_text())["frames"]
}
BOOK = next(
    base64.b64decode(frame["b64"])
    for frame in json.loads((DATA / "sbe/book_deltas_btc.json").read_text())["frames"]
    if frame["opcode"] == "binary"
)
BINARY = {**FRAMES, "book": BOOK}
TEXTS = {
    path.stem: json.loads(path.read_text())
    for folder in ("ws", "recorded_ws")
    for path in sorted((DATA / folder).glob("*.json"))
}
TS = 1_791_421_539_000_000_000
NULL = -(2**63)
BOUNDED = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def codec(kit) -> ParadexStream:
    symbols = kit.load_symbols(kit.market(), kit.market("ETH-USD-PERP", "0.01", "0.0001"))
    return ParadexStream(url="ws://venue/v1", symbols=symbols, private=True, sbe_version=2)


def decoded(codec: ParadexStream, frame: bytes | str) -> list[object]:
    found = list(codec.decode(frame, TS))
    assert found
    return found


@pytest.mark.parametrize("name", BINARY)
def test_every_truncation_is_quarantined_or_an_older_version(codec, name):
    whole = BINARY[name]
    step = max(1, len(whole) // 400)
    for length in range(0, len(whole), step):
        found = decoded(codec, whole[:length])
        if not isinstance(found[0], Quarantined):
            # Cut where a later version's text begins, or a frame of which nothing but its header counts.
            older = struct.unpack_from("<HHHH", whole)[3] == 2 and length > len(whole) - 60
            assert older or isinstance(found[0], Ignored), (length, found)


@BOUNDED
@given(st.binary(max_size=400))
def test_random_bytes(codec, frame):
    decoded(codec, frame)


@BOUNDED
@given(st.sampled_from(sorted(BINARY)), st.data())
def test_flipped_bytes(codec, name, data):
    frame = bytearray(BINARY[name])
    for _ in range(data.draw(st.integers(1, 6))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    decoded(codec, bytes(frame))


@BOUNDED
@given(
    st.sampled_from(sorted(BINARY)),
    st.integers(0, 400),
    st.sampled_from([NULL, -1, 0, 1, 2**63 - 1, -(2**63) + 1, 10**18, -(10**12)]),
)
def test_extreme_numbers_in_every_field(codec, name, at, number):
    frame = bytearray(BINARY[name])
    at = 8 + at % max(1, len(frame) - 16)
    struct.pack_into("<q", frame, at, number)
    decoded(codec, bytes(frame))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({2: 99}, "unknown_template"),
        ({4: 7}, "unknown_schema"),
        ({0: 3}, "short_block"),
        ({0: 65_000}, "truncated"),
    ],
)
def test_headers(codec, changes, kind):
    frame = bytearray(FRAMES["trade_v2"])
    for at, value in changes.items():
        struct.pack_into("<H", frame, at, value)
    (found,) = decoded(codec, bytes(frame))
    assert (found.kind, found.private) == (kind, True)


def test_a_newer_version_of_a_known_template_is_read(codec):
    frame = bytearray(FRAMES["trade_v2"])
    struct.pack_into("<H", frame, 6, 9)
    assert decoded(codec, bytes(frame)) == decoded(codec, FRAMES["trade_v2"])


def test_an_unknown_market(codec):
    frame = FRAMES["trade_v2"].replace(b"BTC-USD-PERP", b"DOG-USD-PERP")
    (found,) = decoded(codec, frame)
    assert found.kind == "unknown_market"


def test_text_that_is_no_text(codec):
    frame = FRAMES["trade_v2"].replace(b"BTC-USD-PERP", b"\xff\xfe-USD-PERP")
    (found,) = decoded(codec, frame)
    assert isinstance(found, Quarantined)


@pytest.mark.parametrize("at", [8, 8 + 8 * 3 + 1 + 8 * 2])
@pytest.mark.parametrize("number", [NULL, -5, 0, 2**62])
def test_a_trade_at_no_time(codec, at, number):
    frame = bytearray(FRAMES["trade_v2"])
    struct.pack_into("<q", frame, at, number)
    (found,) = decoded(codec, bytes(frame))
    # The time of publication is not used; that of the match must be one.
    assert isinstance(found, Quarantined) == (at != 8)


@pytest.mark.parametrize(
    ("price", "size"), [(NULL, 1_000), (-10, 1_000), (0, 1_000), (10**7, NULL), (10**7, 0), (10**7, -1)]
)
def test_a_trade_without_price_or_size(codec, price, size):
    frame = bytearray(FRAMES["trade_v2"])
    struct.pack_into("<qq", frame, 8 + 25, price, size)
    (found,) = decoded(codec, bytes(frame))
    assert isinstance(found, Quarantined)


def test_a_book_frame_that_claims_more_levels_than_it_has(codec):
    frame = bytearray(BOOK)
    struct.pack_into("<H", frame, 8 + 89 + 2, 65_535)
    (found,) = decoded(codec, bytes(frame))
    assert found.kind == "truncated"


def test_an_oversized_frame_is_read_or_quarantined_in_bounded_time(codec):
    levels = struct.pack("<qq", 10**7, 10**3) * 65_535
    group = struct.pack("<HH", 16, 65_535) + levels
    frame = BOOK[: 8 + 89] + group + group + b"\x0cBTC-USD-PERP"
    (found,) = decoded(codec, frame)
    assert isinstance(found, BookUpdate)
    assert len(found.bids) == len(found.asks) == 65_535
    (found,) = decoded(codec, "x" * 5_000_000)
    assert isinstance(found, Quarantined)


# --- JSON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"x"',
        "{}",
        "[" * 100_000,
        '{"id":' + "9" * 5_000 + "}",
        '{"id":[1]}',
        '{"id":"x"}',
        '{"id":7.5,"result":{}}',
        '{"jsonrpc":"2.0","method":"subscription"}',
        '{"jsonrpc":"2.0","method":"subscription","params":{}}',
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"x","data":{}}}',
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"bbo.BTC-USD-PERP","data":null}}',
        '{"error":{"code":-32700,"message":"parse error"},"id":null}',
        '{"id":1,"error":"text"}',
        '{"id":1,"error":{"code":"x"}}',
        "\ud800",
    ],
)
def test_bad_texts(codec, text):
    (found,) = decoded(codec, text)
    assert isinstance(found, Quarantined)


@pytest.mark.parametrize("frame", [b"{", b'{"id":5}', b"{\xff\xff"])
def test_json_as_bytes(codec, frame):
    decoded(codec, frame)


BAD_VALUES = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "",
            "NaN",
            "Infinity",
            "-1",
            "1e400",
            "0x10",
            "1_000",
            " 1",
            "1" * 400,
            "0.000000000001",
            "٣",
            "-0",
            "1E-8",
        ]
    ),
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.floats(),
    st.lists(st.integers(), max_size=2),
    st.text(max_size=5),
)


def channel_texts() -> list[str]:
    return sorted(name for name, body in TEXTS.items() if "params" in body)


@BOUNDED
@given(st.sampled_from(channel_texts()), st.data())
def test_mutated_payloads(codec, name, data):
    body = copy.deepcopy(TEXTS[name])
    payload = body["params"]["data"]
    if "market" in payload:
        payload["market"] = "BTC-USD-PERP"
    for _ in range(data.draw(st.integers(1, 4))):
        field = data.draw(st.sampled_from(sorted(payload)))
        if data.draw(st.booleans()):
            payload[field] = data.draw(BAD_VALUES)
        else:
            payload.pop(field)
        if not payload:
            break
    decoded(codec, json.dumps(body))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("handle_order", "size", "NaN"),
        ("handle_order", "size", "-1"),
        ("handle_order", "size", "1e60"),
        ("handle_order", "remaining_size", "1"),
        ("handle_order", "remaining_size", "-1"),
        ("handle_order", "status", "LIVELY"),
        ("handle_order", "market", "DOG-USD-PERP"),
        ("handle_order", "id", ""),
        ("handle_order", "last_updated_at", 0.5),
        ("handle_order", "last_updated_at", -5),
        ("handle_my_trade", "size", "0"),
        ("handle_my_trade", "price", "-1"),
        ("handle_my_trade", "price", ""),
        ("handle_my_trade", "id", ""),
        ("handle_my_trade", "order_id", ""),
        ("handle_my_trade", "created_at", 10**15),
        ("handle_my_trade", "fee", "free"),
        ("handle_positions", "size", "∞"),
        ("handle_balance", "total_collateral", ""),
        ("handle_balance", "settlement_asset", ""),
    ],
)
def test_a_bad_account_row_asks_for_a_recovery(codec, name, field, value):
    body = copy.deepcopy(TEXTS[name])
    body["params"]["data"][field] = value
    (found,) = decoded(codec, json.dumps(body))
    assert isinstance(found, Quarantined), found
    assert found.private
    assert found.channel == body["params"]["channel"]


def test_further_fields_change_nothing(codec):
    body = copy.deepcopy(TEXTS["handle_order"])
    before = decoded(codec, json.dumps(body))
    body["params"]["data"]["brand_new"] = {"deep": [1, 2]}
    assert decoded(codec, json.dumps(body)) == before
