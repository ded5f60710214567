"""The simulator's SBE encoder against the schema file, hand-built frames and captured production frames."""

from __future__ import annotations

import base64
import json
import struct
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

import pytest
from venuekit_paradex.sim import encode as sbe

from venuekit.errors import BadValue

DATA = Path(__file__).parent.parent / "data"
NS = "{http://fixprotocol.io/2016/sbe}"
SIZES = {"int64": 8, "uint64": 8, "int16": 2, "uint8": 1, "Timestamp": 8, "AccountAddress": 32}
FRAMES = {f["name"]: f for f in json.loads((DATA / "sbe/frames.json").read_text())["frames"]}
# Names of the decoded file (snake case) that differ from the schema's in more than case.
ALIASES = {
    "timestamp": "ts",
    "seq_no": "seq",
    "volume_usd24h": "volumeUsd24h",
    "price_change_rate24h": "priceChangeRate24h",
    "funding_rate8h": "fundingRate8h",
}


def schema() -> dict[int, tuple[list[tuple[str, str, int]], list[tuple[str, int]]]]:
    """Template id -> (fields with type and sinceVersion, strings with sinceVersion), read from the XML."""
    root = ET.parse(DATA / "specs/sbe_paradex_1_0.xml").getroot()
    found = {}
    for message in root.findall(f"{NS}message"):
        fields = [
            (f.get("name", ""), f.get("type", ""), int(f.get("sinceVersion", 0)))
            for f in message.findall("field")
        ]
        data = [(f.get("name", ""), int(f.get("sinceVersion", 0))) for f in message.findall("data")]
        found[int(message.get("id", "0"))] = (fields, data)
    return found


def size_of(kind: str) -> int:
    if kind in SIZES:
        return SIZES[kind]
    return 8 if kind.rstrip("NUL").endswith(("8", "12")) else 1


def camel(name: str) -> str:
    if name in ALIASES:
        return ALIASES[name]
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def micros(frame: dict, raw: bytes) -> dict[str, int]:
    """The decoded file has milliseconds: exact microseconds come from the frame, at the schema's offsets."""
    offset, out = 8, {}
    for name, kind, since in schema()[frame["template_id"]][0]:
        if since > frame["version"]:
            continue
        if kind == "Timestamp":
            out[name] = struct.unpack_from("<q", raw, offset)[0]
        offset += size_of(kind)
    return out


def test_tables_equal_the_schema() -> None:
    found = schema()
    assert set(found) == set(sbe.TEMPLATES)
    for number, (fields, data) in found.items():
        template = sbe.TEMPLATES[number]
        assert [(name, since) for name, _, since in fields] == [(n, s) for n, _, s in template.rows], number
        assert tuple(data) == template.strings, number
        for version in sbe.VERSIONS:
            expected = sum(size_of(kind) for _, kind, since in fields if since <= version)
            assert template.layout(version)[0].size == expected, (number, version)


def test_enumerations_equal_the_schema() -> None:
    root = ET.parse(DATA / "specs/sbe_paradex_1_0.xml").getroot()
    wanted = {
        "OrderType": sbe.ORDER_TYPE,
        "OrderStatus": sbe.STATUS,
        "TimeInForce": sbe.INSTRUCTION,
        "FillType": sbe.FILL_TYPE,
        "LiquiditySide": sbe.LIQUIDITY,
        "RequestType": {k: v for k, v in sbe.REQUEST_TYPE.items() if k},
        "RequestStatus": {k: v for k, v in sbe.REQUEST_STATUS.items() if k},
        "AccountStatus": sbe.ACCOUNT_STATUS,
        "PositionStatus": sbe.POSITION_STATUS,
        "STPMode": {k: v for k, v in sbe.STP.items() if k},
    }
    for enum in root.iter("enum"):
        if enum.get("name") in wanted:
            values = {v.get("name"): int(v.text or "0") for v in enum.findall("validValue")}
            for dropped in ("NON_REPRESENTABLE", "UNSPECIFIED", "NONE"):
                values.pop(dropped, None)
            assert values == wanted[enum.get("name", "")], enum.get("name")
    flags = {s.get("name"): [c.get("name") for c in s.findall("choice")] for s in root.iter("set")}
    assert tuple(flags["OrderFlags"]) == sbe.ORDER_FLAGS
    assert tuple(str(n).lower() for n in flags["FillFlags"][:3]) == sbe.FILL_FLAGS


def values_of(frame: dict, raw: bytes) -> dict[str, sbe.Value]:
    number = frame["template_id"]
    decimals = {n for n, kind, _ in schema()[number][0] if size_of(kind) == 8 and kind not in SIZES}
    values: dict[str, sbe.Value] = {}
    for key, value in frame["decoded"].items():
        name = camel(key)
        if name == "requestInfo":
            info = value or {}
            values |= {
                "requestId": info.get("id", ""),
                "requestMessage": info.get("message", ""),
                "requestType": info.get("request_type", ""),
                "requestStatus": info.get("status", ""),
            }
        elif name in decimals:
            values[name] = None if value is None else Decimal(value)
        elif name == "flags":
            values[name] = [f.lower() for f in value or []] if number == sbe.FILL else value
        elif name in ("assetKind", "source"):
            values[name] = value.removeprefix("ASSET_KIND_").removeprefix("SOURCE_")
        else:
            values[name] = value
    return values | micros(frame, raw)


def test_every_hand_built_frame_of_a_published_block_is_reproduced() -> None:
    done = 0
    for name, frame in FRAMES.items():
        if name == "longer_block_bbo":  # a block longer than any published version
            continue
        raw = base64.b64decode(frame["b64"])
        if name == "heartbeat":
            values: dict[str, sbe.Value] = {"seq": 1, "ts": 1791421538485525}
        elif name == "subscribed":
            values = {"seq": 1, "ts": 1791421538485525, "status": 1, "channel": "trades.BTC-USD-PERP"}
        else:
            values = values_of(frame, raw)
        assert sbe.encode(frame["template_id"], frame["version"], values) == raw, name
        done += 1
    assert done == 20


def test_captured_bbo_frames_are_reproduced() -> None:
    captured = [
        f for f in json.loads((DATA / "sbe/bbo_btc.json").read_text())["frames"] if f["opcode"] == "binary"
    ]
    assert len(captured) >= 5
    for frame in captured:
        raw = base64.b64decode(frame["b64"])
        values = values_of(frame | {"template_id": 2, "version": 1}, raw)
        assert sbe.encode(sbe.BBO, 1, values) == raw


def levels(raw: bytes, offset: int) -> tuple[list[tuple[Decimal, Decimal]], int]:
    width, count = struct.unpack_from("<HH", raw, offset)
    assert width == 16
    pairs = [struct.unpack_from("<qq", raw, offset + 4 + 16 * i) for i in range(count)]
    scale = Decimal(10) ** -8
    return [(Decimal(p) * scale, Decimal(s) * scale) for p, s in pairs], offset + 4 + 16 * count


def test_captured_book_frames_are_reproduced() -> None:
    captured = [
        f
        for f in json.loads((DATA / "sbe/book_deltas_btc.json").read_text())["frames"]
        if f["opcode"] == "binary"
    ]
    assert len(captured) == 13
    for frame in captured:
        raw = base64.b64decode(frame["b64"])
        ts, seq, package = struct.unpack_from("<qqB", raw, 8)
        bids, offset = levels(raw, 8 + 89)
        asks, offset = levels(raw, offset)
        market = raw[offset + 1 : offset + 1 + raw[offset]].decode()
        values: dict[str, sbe.Value] = {"ts": ts, "seq": seq, "pkgType": package, "market": market}
        assert sbe.encode(sbe.BOOK, 1, values, bids, asks) == raw


def test_a_number_off_the_grid_is_refused_not_rounded() -> None:
    with pytest.raises(BadValue):
        sbe.encode(sbe.BBO, 1, {"ts": 1, "seq": 1, "bidPrice": Decimal("0.123456789"), "market": "X"})
