"""SBE frames of the simulator, written from the schema (id 1, versions 0 to 2) and nothing else.

One table per template lists the block in wire order with the schema version that added each field. The
header carries the session's version; fields newer than it are left out: block and trailing strings shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from struct import Struct

from attrs import field, frozen

from venuekit.errors import BadValue

SCHEMA_ID = 1
VERSIONS = (0, 1, 2)
NULL_INT64 = -(2**63)

TRADE, BBO, BOOK, SUMMARY, FUNDING, COMPARISON = 1, 2, 3, 4, 5, 6
ORDER, FILL, POSITION, ACCOUNT = 20, 21, 22, 23
HEARTBEAT, SUBSCRIBED = 40, 41

type Value = Decimal | int | str | bool | Sequence[str] | None
type Level = tuple[Decimal, Decimal]

_HEADER = Struct("<HHHH")
_GROUP = Struct("<HH")
_LEVEL = Struct("<qq")
_LARGEST = 2**63 - 1

SIDE = {"BUY": 1, "SELL": 2, "LONG": 1, "SHORT": 2, "": 254}
ORDER_TYPE = {
    name: code
    for code, name in enumerate(
        (
            "LIMIT",
            "MARKET",
            "STOP_LIMIT",
            "STOP_MARKET",
            "TAKE_PROFIT_LIMIT",
            "TAKE_PROFIT_MARKET",
            "STOP_LOSS_LIMIT",
            "STOP_LOSS_MARKET",
        ),
        start=1,
    )
}
STATUS = {"NEW": 1, "UNTRIGGERED": 2, "OPEN": 3, "CLOSED": 4}
INSTRUCTION = {"GTC": 1, "IOC": 2, "POST_ONLY": 3, "RPI": 4}
FILL_TYPE = {
    "FILL": 1,
    "LIQUIDATION": 2,
    "UNWIND_TRANSFER": 3,
    "SETTLE_MARKET": 4,
    "RPI": 5,
    "BLOCK_TRADE": 6,
}
LIQUIDITY = {"MAKER": 1, "TAKER": 2}
STP = {"": 0, "EXPIRE_MAKER": 1, "EXPIRE_TAKER": 2, "EXPIRE_BOTH": 3}
POSITION_STATUS = {"OPEN": 1, "CLOSED": 2}
ACCOUNT_STATUS = {"ACTIVE": 1, "LIQUIDATION": 2}
REQUEST_STATUS = {"": 0, "PENDING": 1, "PROCESSED": 2, "REJECTED": 3, "SUCCESS": 4}
REQUEST_TYPE = {"": 0, "MODIFY_ORDER": 1}
ASSET_KIND = {"": 0, "PERPETUAL_FUTURE": 1, "OPTION": 2, "SPOT": 3}
RATE_SOURCE = {
    name: code
    for code, name in enumerate(
        ("", "PARADEX", "BINANCE", "BYBIT", "OKX", "DERIBIT", "DERIVE", "HYPERLIQUID", "LIGHTER", "DATABENTO")
    )
}
ORDER_FLAGS = (
    "REDUCE_ONLY",
    "STOP_CONDITION_BELOW_TRIGGER",
    "STOP_CONDITION_ABOVE_TRIGGER",
    "INTERACTIVE",
    "TARGET_STRATEGY_VWAP",
    "MMP",
)
FILL_FLAGS = ("interactive", "rpi", "fastfill")


@frozen
class Kind:
    """How one field is packed: the struct letter and the conversion to what the struct takes."""

    letter: str
    pack: Callable[[Value], object]


def _scaled(exponent: int, optional: bool) -> Callable[[Value], object]:
    def pack(value: Value) -> object:
        if value is None and optional:
            return NULL_INT64
        if not isinstance(value, Decimal):
            raise BadValue(f"a decimal is required on the wire, got {type(value).__name__}")
        scaled = value.scaleb(exponent)
        mantissa = int(scaled)
        if mantissa != scaled:
            raise BadValue(f"{value} has more than {exponent} decimals")
        # Only control commands make figures that the wire cannot carry; they stand at its end.
        return max(-_LARGEST, min(mantissa, _LARGEST))

    return pack


def _coded(codes: Mapping[str, int]) -> Callable[[Value], object]:
    def pack(value: Value) -> object:
        return codes.get(str(value or ""), 254)

    return pack


def _bits(names: Sequence[str]) -> Callable[[Value], object]:
    def pack(value: Value) -> object:
        chosen = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
        return sum(1 << names.index(name) for name in chosen)

    return pack


def _integer(value: Value) -> object:
    if not isinstance(value, int):
        raise BadValue(f"an integer is required on the wire, got {type(value).__name__}")
    return value


def _address(value: Value) -> object:
    return int(str(value), 16).to_bytes(32, "big")


DEC8 = Kind("q", _scaled(8, optional=False))
DEC8_NULL = Kind("q", _scaled(8, optional=True))
DEC12 = Kind("q", _scaled(12, optional=False))
DEC12_NULL = Kind("q", _scaled(12, optional=True))
MICROS = Kind("q", _integer)
INT64 = Kind("q", _integer)
UINT64 = Kind("Q", _integer)
INT16 = Kind("h", _integer)
UINT8 = Kind("B", _integer)
ADDRESS = Kind("32s", _address)


def enum(codes: Mapping[str, int]) -> Kind:
    """A one-byte enumeration; a name outside `codes` becomes the schema's 254."""
    return Kind("B", _coded(codes))


def bits(names: Sequence[str]) -> Kind:
    """A one-byte set; bit n is `names[n]`."""
    return Kind("B", _bits(names))


type Row = tuple[str, Kind, int]


@frozen
class Template:
    """One message of the schema: its fields and trailing strings with the version that added each."""

    number: int
    rows: tuple[Row, ...]
    strings: tuple[tuple[str, int], ...]
    book: bool = False
    _layouts: dict[int, tuple[Struct, tuple[Row, ...], tuple[str, ...]]] = field(factory=dict, eq=False)

    def layout(self, version: int) -> tuple[Struct, tuple[Row, ...], tuple[str, ...]]:
        """The block's struct, its rows and the trailing strings of `version`."""
        found = self._layouts.get(version)
        if found is None:
            rows = tuple(row for row in self.rows if row[2] <= version)
            block = Struct("<" + "".join(kind.letter for _, kind, _ in rows))
            strings = tuple(name for name, since in self.strings if since <= version)
            found = self._layouts[version] = (block, rows, strings)
        return found


def _rows(*rows: tuple[str, Kind] | tuple[str, Kind, int]) -> tuple[Row, ...]:
    return tuple((row[0], row[1], row[2] if len(row) == 3 else 0) for row in rows)


_IV = tuple((name, DEC8_NULL) for name in ("markIv", "bidIv", "askIv", "lastIv"))
_GREEKS = tuple((name, DEC8_NULL) for name in ("delta", "gamma", "vega", "theta", "rho", "volga", "vanna"))
_BEST = tuple((name, DEC8_NULL) for name in ("bestBidPrice", "bestBidSize", "bestAskPrice", "bestAskSize"))
_BEST_API = tuple(
    (name, DEC8_NULL) for name in ("bestBidApiPrice", "bestBidApiSize", "bestAskApiPrice", "bestAskApiSize")
)

TEMPLATES: Mapping[int, Template] = {
    TRADE: Template(
        TRADE,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("tradeId", INT64),
            ("side", enum(SIDE)),
            ("price", DEC8),
            ("size", DEC8),
            ("createdAt", MICROS),
            ("tradeType", enum(FILL_TYPE)),
        ),
        (("market", 0), ("tradeIdStr", 2)),
    ),
    BBO: Template(
        BBO,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("bidPrice", DEC8_NULL),
            ("bidSize", DEC8_NULL),
            ("askPrice", DEC8_NULL),
            ("askSize", DEC8_NULL),
        ),
        (("market", 0),),
    ),
    BOOK: Template(
        BOOK,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("pkgType", UINT8),
            *_BEST,
            ("relativeSpread", DEC8_NULL),
            *_BEST_API,
        ),
        (("market", 0),),
        book=True,
    ),
    SUMMARY: Template(
        SUMMARY,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("markPrice", DEC8),
            ("indexPrice", DEC8),
            ("lastPrice", DEC8),
            ("volumeUsd24h", DEC8),
            ("openInterest", DEC8),
            ("fundingRate", DEC8),
            ("bid", DEC8_NULL),
            ("ask", DEC8_NULL),
            ("totalVolume", DEC8),
            ("priceChangeRate24h", DEC8),
            *_IV,
            *_GREEKS,
            ("futureFundingRate", DEC8_NULL),
            ("externalFairPrice", DEC8_NULL),
            ("bidSize", DEC8_NULL),
            ("askSize", DEC8_NULL),
            ("forwardRate", DEC8_NULL, 1),
            ("riskFreeRate", DEC8_NULL, 1),
            ("fundingRatePrecise", DEC12_NULL, 1),
        ),
        (("market", 0),),
    ),
    FUNDING: Template(
        FUNDING,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("fundingRate", DEC8),
            ("fundingIndex", DEC8),
            ("createdAt", MICROS),
            ("fundingPremium", DEC8),
            ("fundingRate8h", DEC8),
            ("fundingPeriodHours", INT16),
            ("impactPremiumRate", DEC8_NULL, 1),
        ),
        (("market", 0),),
    ),
    COMPARISON: Template(
        COMPARISON,
        _rows(
            ("ts", MICROS),
            ("lastUpdatedAt", MICROS),
            ("hourlyFundingRate", DEC12),
            ("assetKind", enum(ASSET_KIND)),
            ("source", enum(RATE_SOURCE)),
        ),
        (("market", 0),),
    ),
    ORDER: Template(
        ORDER,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("status", enum(STATUS)),
            ("side", enum(SIDE)),
            ("orderType", enum(ORDER_TYPE)),
            ("timeInForce", enum(INSTRUCTION)),
            ("price", DEC8_NULL),
            ("triggerPrice", DEC8_NULL),
            ("size", DEC8),
            ("sizeOpen", DEC8),
            ("avgFillPrice", DEC8_NULL),
            ("createdAt", MICROS),
            ("updatedAt", MICROS),
            ("account", ADDRESS),
            ("receivedAt", MICROS),
            ("publishedAt", MICROS),
            ("stp", enum(STP)),
            ("flags", bits(ORDER_FLAGS)),
            ("requestStatus", enum(REQUEST_STATUS), 2),
            ("requestType", enum(REQUEST_TYPE), 2),
        ),
        (
            ("orderId", 0),
            ("clientOrderId", 0),
            ("market", 0),
            ("cancelReason", 0),
            ("requestId", 2),
            ("requestMessage", 2),
        ),
    ),
    FILL: Template(
        FILL,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("fillType", enum(FILL_TYPE)),
            ("side", enum(SIDE)),
            ("liquidity", enum(LIQUIDITY)),
            ("price", DEC8),
            ("size", DEC8),
            ("fee", DEC8),
            ("realizedPnl", DEC8_NULL),
            ("createdAt", MICROS),
            ("account", ADDRESS),
            ("underlyingPrice", DEC8),
            ("realizedFunding", DEC8),
            ("flags", bits(FILL_FLAGS), 2),
            ("orderbookSeqNo", UINT64, 2),
        ),
        (
            ("fillId", 0),
            ("orderId", 0),
            ("clientOrderId", 0),
            ("tradeId", 0),
            ("market", 0),
            ("feeCurrency", 2),
        ),
    ),
    POSITION: Template(
        POSITION,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("side", enum(SIDE)),
            ("size", DEC8),
            ("avgEntryPrice", DEC8),
            ("unrealizedPnl", DEC8),
            ("realizedPnl", DEC8),
            ("markPrice", DEC8_NULL),
            ("liquidationPrice", DEC8_NULL),
            ("leverage", DEC8),
            ("updatedAt", MICROS),
            ("account", ADDRESS),
            ("avgEntryPriceUsd", DEC8),
            ("cost", DEC8),
            ("costUsd", DEC8),
            ("cachedFundingIndex", DEC8),
            ("unrealizedFundingPnl", DEC8),
            ("status", enum(POSITION_STATUS)),
        ),
        (("market", 0), ("lastFillId", 0)),
    ),
    ACCOUNT: Template(
        ACCOUNT,
        _rows(
            ("ts", MICROS),
            ("seq", INT64),
            ("totalCollateral", DEC8),
            ("freeCollateral", DEC8),
            ("initialMarginReq", DEC8),
            ("maintenanceMarginReq", DEC8),
            ("accountValue", DEC8),
            ("unrealizedPnl", DEC8_NULL),
            ("updatedAt", MICROS),
            ("account", ADDRESS),
            ("marginCushion", DEC8),
            ("status", enum(ACCOUNT_STATUS)),
            ("lastSeenNotification", MICROS, 2),
        ),
        (("settlementAsset", 0),),
    ),
    HEARTBEAT: Template(HEARTBEAT, _rows(("ts", MICROS), ("seq", INT64)), ()),
    SUBSCRIBED: Template(
        SUBSCRIBED, _rows(("ts", MICROS), ("seq", INT64), ("status", UINT8)), (("channel", 0),)
    ),
}


def _side(levels: Sequence[Level]) -> bytes:
    packed = [_GROUP.pack(_LEVEL.size, len(levels))]
    packed += [_LEVEL.pack(DEC8.pack(price), DEC8.pack(size)) for price, size in levels]
    return b"".join(packed)


def _text(value: Value) -> bytes:
    raw = str(value or "").encode()
    if len(raw) > 255:
        raise BadValue(f"a wire string holds at most 255 bytes, got {len(raw)}")
    return bytes((len(raw),)) + raw


def encode(
    number: int,
    version: int,
    values: Mapping[str, Value],
    bids: Sequence[Level] = (),
    asks: Sequence[Level] = (),
) -> bytes:
    """One frame of template `number` as a session of schema `version` receives it.

    Names in `values` are the schema's. Decimals must be exact at the field's
    exponent; `bids` and `asks` are for the book template.
    """
    template = TEMPLATES[number]
    block, rows, strings = template.layout(version)
    parts = [
        _HEADER.pack(block.size, number, SCHEMA_ID, version),
        block.pack(*(kind.pack(values.get(name)) for name, kind, _ in rows)),
    ]
    if template.book:
        parts += [_side(bids), _side(asks)]
    parts += [_text(values.get(name)) for name in strings]
    return b"".join(parts)
