"""Which of two states of an order is newer, when the stream and REST tell of it.

The venue's document of orders: `seq_no` grows with every update of an order, and "WebSocket and REST
responses use independently generated seq_no per event". So only its times are common to both roads.
"""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from nautilus_trader.model import OrderStatus
from venuekit_paradex.sim import encode as sbe
from venuekit_paradex.stream import ParadexStream
from venuekit_paradex.wire.json import OrderRow
from venuekit_paradex.wire.records import order_record

from venuekit.core.order_state import Moment, Report
from venuekit.core.orders import OrderTracker
from venuekit.interfaces.manifest import Semantics
from venuekit.interfaces.records import OrderRecord, Source, WireIds

MS = 1_735_689_600_000
NOW = Moment(mono_ns=1_000_000_000, wall_ns=MS * 1_000_000)
ROW = {
    "id": "1735689600000200000000000010",
    "client_id": "O-1",
    "market": "BTC-USD-PERP",
    "side": "BUY",
    "type": "LIMIT",
    "instruction": "GTC",
    "price": "95000.5",
    "size": "0.1",
    "remaining_size": "0.1",
    "avg_fill_price": "",
    "created_at": MS,
}
OPEN = {"status": "OPEN", "cancel_reason": ""}
CLOSED = {"status": "CLOSED", "cancel_reason": "USER_CANCELED"}


@pytest.fixture
def tracker(kit) -> OrderTracker:
    found = OrderTracker(Semantics(), kit.Tally())
    found.open(kit.limit_order())
    found.sending("O-1", WireIds(client_order_id="O-1"), NOW)
    return found


def from_rest(symbols, seq_no: int, after_ms: int, **state: str) -> OrderRecord:
    row = {**ROW, **state, "seq_no": seq_no, "last_updated_at": MS + after_ms}
    body = json.dumps(row).encode()
    return order_record(msgspec.json.decode(body, type=OrderRow), symbols, Source.LOOKUP)


def in_json(stream, seq_no: int, after_us: int, **state: str) -> OrderRecord:
    row = {**ROW, **state, "seq_no": seq_no, "last_updated_at": MS + after_us // 1_000}
    params = {"channel": "orders.ALL", "data": row}
    frame = json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})
    (record,) = stream.decode(frame, 0)
    return record


def in_sbe(stream, seq_no: int, after_us: int, **state: str) -> OrderRecord:
    made_us = MS * 1_000
    values = {
        **dict.fromkeys(("ts", "createdAt", "receivedAt", "publishedAt"), made_us),
        "updatedAt": made_us + after_us,
        "seq": seq_no,
        "status": state["status"],
        "side": "BUY",
        "orderType": "LIMIT",
        "timeInForce": "GTC",
        "price": Decimal("95000.5"),
        "size": Decimal("0.1"),
        "sizeOpen": Decimal("0.1"),
        "account": "0x1",
        "stp": "EXPIRE_TAKER",
        "flags": (),
        "orderId": ROW["id"],
        "clientOrderId": "O-1",
        "market": ROW["market"],
        "cancelReason": state["cancel_reason"],
    }
    (record,) = stream.decode(sbe.encode(sbe.ORDER, 0, values), 0)
    return record


@pytest.fixture(params=[in_json, in_sbe], ids=["JSON", "SBE"])
def frame(request, symbols):
    stream = ParadexStream(url="ws://x", symbols=symbols, private=True, sbe_version=2)
    return lambda *args, **state: request.param(stream, *args, **state)


def told(actions) -> list[OrderStatus]:
    return [one.state.status for one in actions if isinstance(one, Report)]


def test_a_high_number_of_rest_does_not_hide_the_end_that_the_stream_tells(tracker, symbols, frame):
    assert told(tracker.apply_order(frame(7, 0, **OPEN), NOW)) == [OrderStatus.ACCEPTED]
    tracker.apply_order(from_rest(symbols, 9_000_000, 0, **OPEN), NOW)
    assert told(tracker.apply_order(frame(9, 5_000, **CLOSED), NOW)) == [OrderStatus.CANCELED]


def test_a_low_number_of_rest_is_no_older_state(tracker, symbols, frame):
    assert told(tracker.apply_order(frame(7_000_000, 0, **OPEN), NOW)) == [OrderStatus.ACCEPTED]
    assert told(tracker.apply_order(from_rest(symbols, 3, 5, **CLOSED), NOW)) == [OrderStatus.CANCELED]


def test_an_end_within_the_millisecond_of_the_acceptance_counts(tracker, symbols, frame):
    """REST writes whole milliseconds, the stream's frames microseconds."""
    assert told(tracker.apply_order(frame(7, 300, **OPEN), NOW)) == [OrderStatus.ACCEPTED]
    assert told(tracker.apply_order(from_rest(symbols, 3, 0, **CLOSED), NOW)) == [OrderStatus.CANCELED]


def test_on_the_stream_the_number_decides(tracker, frame):
    assert told(tracker.apply_order(frame(7, 5_000, **OPEN), NOW)) == [OrderStatus.ACCEPTED]
    assert told(tracker.apply_order(frame(6, 5_000, **CLOSED), NOW)) == []
    assert told(tracker.apply_order(frame(8, 5_000, **CLOSED), NOW)) == [OrderStatus.CANCELED]
