"""SBE messages by table: schema 1 in its versions 0 to 2, and what later versions may append.

A frame says how long its block is, so a shorter block (an older version) lacks its last fields and a longer
one (a newer version) has bytes to skip. Trailing texts that a version added may be missing.
"""

from __future__ import annotations

import re
from struct import Struct, calcsize
from typing import Final

from attrs import frozen

from venuekit.errors import DecodeError

SCHEMA_ID: Final = 1
HEADER: Final = Struct("<HHHH")
"""Block length, template, schema, version."""
NULL: Final = -(2**63)
"""The null of optional decimals and integers."""

TRADE, BBO, BOOK, SUMMARY, FUNDING, COMPARISON = 1, 2, 3, 4, 5, 6
ORDER, FILL, POSITION, ACCOUNT = 20, 21, 22, 23
HEARTBEAT, SUBSCRIBED = 40, 41

# Field letters are those of `struct`; what stands after ">" came with a later version.
_LAYOUTS: Final = """
TRADE ts:q seq:q trade_id:q side:B price:q size:q created_at:q trade_type:B
    | market > trade_id_str
BBO ts:q seq:q bid_price:q bid_size:q ask_price:q ask_size:q
    | market
BOOK ts:q seq:q pkg_type:B best_bid_price:q best_bid_size:q best_ask_price:q best_ask_size:q relative_spread:q
    best_bid_api_price:q best_bid_api_size:q best_ask_api_price:q best_ask_api_size:q
    | market
SUMMARY ts:q seq:q mark_price:q index_price:q last_price:q volume_usd24h:q open_interest:q funding_rate:q
    bid:q ask:q total_volume:q price_change_rate24h:q mark_iv:q bid_iv:q ask_iv:q last_iv:q delta:q gamma:q
    vega:q theta:q rho:q volga:q vanna:q future_funding_rate:q external_fair_price:q bid_size:q ask_size:q
    > forward_rate:q risk_free_rate:q funding_rate_precise:q
    | market
FUNDING ts:q seq:q funding_rate:q funding_index:q created_at:q funding_premium:q funding_rate8h:q
    funding_period_hours:h > impact_premium_rate:q
    | market
COMPARISON ts:q last_updated_at:q hourly_funding_rate:q asset_kind:B source:B
    | market
ORDER ts:q seq:q status:B side:B order_type:B time_in_force:B price:q trigger_price:q size:q size_open:q
    avg_fill_price:q created_at:q updated_at:q account:32s received_at:q published_at:q stp:B flags:B
    > request_status:B request_type:B
    | order_id client_order_id market cancel_reason > request_id request_message
FILL ts:q seq:q fill_type:B side:B liquidity:B price:q size:q fee:q realized_pnl:q created_at:q account:32s
    underlying_price:q realized_funding:q > flags:B orderbook_seq_no:Q
    | fill_id order_id client_order_id trade_id market > fee_currency
POSITION ts:q seq:q side:B size:q avg_entry_price:q unrealized_pnl:q realized_pnl:q mark_price:q
    liquidation_price:q leverage:q updated_at:q account:32s avg_entry_price_usd:q cost:q cost_usd:q
    cached_funding_index:q unrealized_funding_pnl:q status:B
    | market last_fill_id
ACCOUNT ts:q seq:q total_collateral:q free_collateral:q initial_margin_req:q maintenance_margin_req:q
    account_value:q unrealized_pnl:q updated_at:q account:32s margin_cushion:q status:B
    > last_seen_notification:q
    | settlement_asset
HEARTBEAT ts:q seq:q
    |
SUBSCRIBED ts:q seq:q status:B
    | channel
"""

_TEMPLATES: Final = {
    "TRADE": TRADE,
    "BBO": BBO,
    "BOOK": BOOK,
    "SUMMARY": SUMMARY,
    "FUNDING": FUNDING,
    "COMPARISON": COMPARISON,
    "ORDER": ORDER,
    "FILL": FILL,
    "POSITION": POSITION,
    "ACCOUNT": ACCOUNT,
    "HEARTBEAT": HEARTBEAT,
    "SUBSCRIBED": SUBSCRIBED,
}


@frozen
class Layout:
    """One message: its fields with their sizes in wire order, and its texts."""

    names: tuple[str, ...]
    letters: tuple[str, ...]
    base: int
    """Fields that every version has."""
    texts: tuple[str, ...]
    later_texts: tuple[str, ...]

    def fitting(self, block: int) -> tuple[Struct, tuple[str, ...]]:
        """The fields wholly inside a block of `block` bytes; raises DecodeError when a base field is not."""
        count = len(self.names)
        while count and calcsize("<" + "".join(self.letters[:count])) > block:
            count -= 1
        if count < self.base:
            raise DecodeError(f"a block of {block} bytes is too short", kind="short_block")
        return Struct("<" + "".join(self.letters[:count])), self.names[:count]


def _layout(text: str) -> Layout:
    """The layout of one entry of the table above: fields, then `|`, then texts."""
    fields, _, texts = text.partition("|")
    old, _, new = fields.partition(">")
    first, _, later = texts.partition(">")
    pairs = [field.split(":") for field in (old + new).split()]
    return Layout(
        names=tuple(name for name, _ in pairs),
        letters=tuple(letter for _, letter in pairs),
        base=len(old.split()),
        texts=tuple(first.split()),
        later_texts=tuple(later.split()),
    )


def _layouts() -> dict[int, Layout]:
    entries = re.findall(r"^([A-Z]+) (.*?)(?=^[A-Z]|\Z)", _LAYOUTS, re.MULTILINE | re.DOTALL)
    return {_TEMPLATES[name]: _layout(text) for name, text in entries}


LAYOUTS: Final = _layouts()
"""By template. The levels of a book stand between its block and its text: see `read_sides`."""

_FITTING: dict[tuple[int, int], tuple[Struct, tuple[str, ...]]] = {}
_MOST_BLOCKS: Final = 64
"""Block lengths remembered; a peer that invents more must not fill the memory."""


@frozen
class Message:
    """One decoded frame: raw integers by name (None: null or not in this version), and its texts."""

    template: int
    version: int
    fields: dict[str, int | None]
    texts: dict[str, str]

    def number(self, name: str) -> int:
        """A field that must be there; raises DecodeError for a null."""
        value = self.fields.get(name)
        if value is None:
            raise DecodeError(f"{name} is null", kind="null_field")
        return value

    def optional(self, name: str) -> int | None:
        """A field, or None when it is null or not in this version."""
        return self.fields.get(name)


def read_text(frame: bytes, at: int) -> tuple[str, int]:
    """The length-prefixed text at `at` and where it ends; raises DecodeError when the frame is too short."""
    if at >= len(frame):
        raise DecodeError("the frame ends before a text", kind="truncated")
    end = at + 1 + frame[at]
    if end > len(frame):
        raise DecodeError("the frame ends inside a text", kind="truncated")
    return frame[at + 1 : end].decode(), end


def _texts(frame: bytes, at: int, layout: Layout) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name in layout.texts:
        texts[name], at = read_text(frame, at)
    for name in layout.later_texts:
        if at == len(frame):
            break
        texts[name], at = read_text(frame, at)
    return texts


def unpack(frame: bytes) -> Message:
    """The message in a frame of any template but `BOOK`; raises DecodeError."""
    block, template, _, version = HEADER.unpack_from(frame)
    layout = LAYOUTS[template]
    start = HEADER.size
    if len(frame) < start + block:
        raise DecodeError("the frame ends inside its block", kind="truncated")
    found = _FITTING.get((template, block))
    if found is None:
        found = layout.fitting(block)
        if len(_FITTING) < _MOST_BLOCKS:
            _FITTING[template, block] = found
    struct, names = found
    fields = {
        name: _present(value) for name, value in zip(names, struct.unpack_from(frame, start), strict=True)
    }
    return Message(template, version, fields, _texts(frame, start + block, layout))


def _present(value: int | bytes) -> int | None:
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return None if number == NULL else number


type Level = tuple[int, int]

_GROUP = Struct("<HH")
_LEVEL = Struct("<qq")


def read_sides(frame: bytes, at: int) -> tuple[list[Level], list[Level], int]:
    """The bids and asks in the two groups at `at`, and where they end.

    Raises `struct.error` when cut off, or gives an end beyond the frame, where no text can be read.
    """
    stride, count = _GROUP.unpack_from(frame, at)
    if stride != _LEVEL.size:
        return _wide_sides(frame, at)
    start = at + 4
    end = start + 16 * count
    bids = list(_LEVEL.iter_unpack(frame[start:end])) if count else []
    stride, count = _GROUP.unpack_from(frame, end)
    if stride != _LEVEL.size:
        return _wide_sides(frame, at)
    start = end + 4
    end = start + 16 * count
    return bids, list(_LEVEL.iter_unpack(frame[start:end])) if count else [], end


def _wide_sides(frame: bytes, at: int) -> tuple[list[Level], list[Level], int]:
    """Levels of a newer version, whose further fields are skipped."""
    sides: list[list[Level]] = []
    for _ in range(2):
        stride, count = _GROUP.unpack_from(frame, at)
        if stride < _LEVEL.size:
            raise DecodeError(f"a level of {stride} bytes is too short", kind="short_block")
        places = range(at + 4, at + 4 + stride * count, stride)
        sides.append(
            [(price, size) for price, size in (_LEVEL.unpack_from(frame, place) for place in places)]
        )
        at += 4 + stride * count
    return sides[0], sides[1], at
