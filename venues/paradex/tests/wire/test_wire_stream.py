"""The stream codec: what goes out, and what JSON frames say; payloads are the published examples."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from nautilus_trader.model import AggressorSide, LiquiditySide, OrderSide, OrderStatus, OrderType
from venuekit_paradex.stream import STANDING, ParadexStream

from venuekit.errors import Unsupported
from venuekit.interfaces.records import BustRecord, FillKind, MoneyMoved, Source
from venuekit.interfaces.request import StreamRequest
from venuekit.interfaces.signer import Secret, Token
from venuekit.interfaces.stream import (
    BookUpdate,
    DataKind,
    Ignored,
    InstrumentChanged,
    LoggedIn,
    Quarantined,
    StreamReply,
    TokenRefused,
    Topic,
    TopicAck,
    Want,
)
from venuekit.interfaces.time import AtWall

TS = 1_791_421_539_000_000_000
TOKEN = Token(Secret("a.b.c"), AtWall(TS + 10), AtWall(TS))


@pytest.fixture
def private(symbols) -> ParadexStream:
    return ParadexStream(url="wss://venue/v1", symbols=symbols, private=True, sbe_version=2)


@pytest.fixture
def public(symbols) -> ParadexStream:
    return ParadexStream(url="wss://venue/v1", symbols=symbols, private=False, sbe_version=1)


def sent(frames) -> dict[str, object]:
    (frame,) = frames
    return json.loads(frame)


def answer(request: dict[str, object], **body: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "usIn": 1, "usOut": 2, "usDiff": 1, **body})


def only(codec: ParadexStream, frame: str | bytes):
    (found,) = codec.decode(frame, TS)
    return found


def channel_data(codec: ParadexStream, envelope: dict[str, object], **changes: object):
    data = {**envelope["params"]["data"], **changes}
    frame = {**envelope, "params": {**envelope["params"], "data": data}}
    return only(codec, json.dumps(frame))


# --- handshake and login


def test_the_version_travels_in_the_address(public, symbols):
    assert public.handshake(None).url == "wss://venue/v1?sbeSchemaId=1&sbeSchemaVersion=1"
    plain = ParadexStream(url="wss://venue/v1", symbols=symbols, private=False, sbe_version=None)
    assert plain.handshake(None).url == "wss://venue/v1"


def test_login_is_the_documented_request_and_its_answer_counts(private, kit):
    request = sent(private.login(TOKEN))
    example = kit.data("ws_rpc/auth.request.json")
    assert set(request) == set(example)
    assert (request["method"], request["params"]) == ("auth", {"bearer": "a.b.c"})
    assert len(str(request["id"])) <= 16
    recorded = kit.data("recorded_ws/handle_authentication_message.json")
    assert only(private, json.dumps({**recorded, "id": request["id"]})) == LoggedIn()


@pytest.mark.parametrize("code", [40110, 40111, 40112, 40300, -32603])
def test_a_login_that_is_not_confirmed_is_a_refused_token(private, code):
    request = sent(private.login(TOKEN))
    found = only(private, answer(request, error={"code": code, "message": "no"}))
    assert isinstance(found, TokenRefused)
    assert str(code) in found.reason


def test_the_public_stream_neither_logs_in_nor_holds_topics(public):
    assert (list(public.login(TOKEN)), list(public.standing())) == ([], [])


def test_the_private_stream_holds_the_account(private):
    assert [topic.channel for topic in private.standing()] == list(STANDING)
    assert all(topic.private and topic.stream == "private" for topic in private.standing())


# --- topics


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        (DataKind.BOOK_DELTAS, "order_book.BTC-USD-PERP.deltas"),
        (DataKind.BOOK_DEPTH10, "order_book.BTC-USD-PERP.deltas"),
        (DataKind.BOOK_SNAPSHOT, "order_book.BTC-USD-PERP.deltas"),
        (DataKind.QUOTES, "bbo.BTC-USD-PERP"),
        (DataKind.TRADES, "trades.BTC-USD-PERP"),
        (DataKind.MARK_PRICE, "markets_summary.BTC-USD-PERP"),
        (DataKind.INDEX_PRICE, "markets_summary.BTC-USD-PERP"),
        (DataKind.FUNDING_RATE, "funding_data.BTC-USD-PERP"),
        (DataKind.INSTRUMENT, "markets.BTC-USD-PERP"),
        (DataKind.INSTRUMENT_STATUS, "markets.BTC-USD-PERP"),
    ],
)
def test_a_want_has_one_channel(public, kit, kind, channel):
    assert public.topic(Want(kind, kit.BTC)) == Topic("public", channel)


def test_every_streamed_kind_of_the_manifest_has_a_channel_and_no_other(public, kit):
    from venuekit_paradex.manifest import MANIFEST

    for kind in DataKind:
        feature = MANIFEST.data.get(kind)
        found = public.topic(Want(kind, kit.BTC))
        assert isinstance(found, Topic) == bool(feature and feature.subscribe), kind


def test_an_unknown_instrument_has_no_channel(public):
    from nautilus_trader.model import InstrumentId

    assert isinstance(
        public.topic(Want(DataKind.QUOTES, InstrumentId.from_str("X-USD-PERP.PARADEX"))), Unsupported
    )
    assert isinstance(public.topic(Want(DataKind.QUOTES, None)), Unsupported)


def test_subscribe_and_its_answers(public, kit):
    topic = Topic("public", "bbo.BTC-USD-PERP")
    request = sent(public.subscribe([topic], None))
    assert set(request) == set(kit.data("ws_rpc/subscribe.request.json"))
    assert (request["method"], request["params"]) == ("subscribe", {"channel": topic.channel})
    found = only(public, answer(request, result={"channel": topic.channel}))
    assert found == TopicAck((topic.channel,), subscribed=True)
    # The same answer once more belongs to nothing.
    assert only(public, answer(request, result={"channel": topic.channel})).kind == "unasked"


def test_a_refused_channel_names_the_reason(public, kit):
    topic = Topic("public", "bbo.NO-SUCH")
    request = sent(public.subscribe([topic], None))
    recorded = kit.data("recorded_ws/handle_error_message.json")
    found = only(public, json.dumps({**recorded, "id": request["id"]}))
    assert (found.channels, found.subscribed) == ((topic.channel,), True)
    assert "invalid channel" in found.error


@pytest.mark.parametrize(("code", "passes"), [(42901, True), (-32603, True), (-32602, False), (100, False)])
def test_a_refusal_for_a_limit_or_a_trouble_of_the_venue_passes(public, code, passes):
    request = sent(public.subscribe([Topic("public", "bbo.BTC-USD-PERP")], None))
    found = only(public, answer(request, error={"code": code, "message": "no"}))
    assert (found.subscribed, found.passing) == (True, passes)


def test_unsubscribe(public):
    request = sent(public.unsubscribe([Topic("public", "bbo.BTC-USD-PERP")]))
    assert request["method"] == "unsubscribe"
    found = only(public, answer(request, result={"channel": "bbo.BTC-USD-PERP"}))
    assert found == TopicAck(("bbo.BTC-USD-PERP",), subscribed=False)


def test_a_subscribe_that_fails_for_the_token_refuses_the_token(private):
    request = sent(private.subscribe([Topic("private", "orders.ALL", private=True)], TOKEN))
    found = only(private, answer(request, error={"code": 40111, "message": "invalid bearer token"}))
    assert isinstance(found, TokenRefused)


def test_ids_of_ours_never_meet_those_of_requests(private):
    first = sent(private.login(TOKEN))["id"]
    with pytest.raises(ValueError, match="key"):
        private.request(StreamRequest("submit", "order.create", b"{}"), first)


# --- requests


def test_a_request_and_its_reply(private, kit):
    frame = private.request(StreamRequest("submit", "order.create", b'{"market":"BTC-USD-PERP"}'), 7)
    assert json.loads(frame) == {
        "jsonrpc": "2.0",
        "method": "order.create",
        "params": {"market": "BTC-USD-PERP"},
        "id": 7,
    }
    example = {**kit.data("ws_rpc/order.create.response.json"), "id": 7}
    found = only(private, json.dumps(example))
    assert (found.key, found.ok) == (7, True)
    assert json.loads(found.body) == example["result"]


def test_an_error_reply_keeps_code_and_message(private, kit):
    found = only(private, json.dumps({**kit.data("ws_rpc/_error.json"), "id": "7"}))
    assert isinstance(found, StreamReply)
    assert (found.key, found.ok) == (7, False)
    assert json.loads(found.body)["code"] == -32601


def test_a_request_whose_token_died_says_both(private):
    frame = json.dumps(
        {"jsonrpc": "2.0", "id": 7, "error": {"code": 40111, "message": "invalid bearer token"}}
    )
    reply, refused = private.decode(frame, TS)
    assert (reply.key, reply.ok) == (7, False)
    assert isinstance(refused, TokenRefused)


# --- JSON data


def test_json_trade(public, kit):
    envelope = kit.data("recorded_ws/handle_trade.json")
    tick = channel_data(public, envelope, market="BTC-USD-PERP", price="30001.2", size="0.01")
    recorded = envelope["params"]["data"]
    assert (str(tick.price), str(tick.size)) == ("30001.2", "0.01000")
    assert tick.aggressor_side is AggressorSide.BUY
    assert tick.trade_id.value == recorded["id"]
    assert tick.ts_event == recorded["created_at"] * 1_000_000


def test_json_quote(public, kit):
    envelope = kit.data("ws/bbo.BTC-USD-PERP.json")
    tick = channel_data(public, envelope, bid="30112.2", ask="30130.1")
    assert [str(x) for x in (tick.bid_price, tick.bid_size, tick.ask_price, tick.ask_size)] == [
        "30112.2",
        "0.04000",
        "30130.1",
        "0.05000",
    ]
    assert tick.ts_event == 1_681_493_939_981 * 1_000_000
    # The example's own prices are finer than this market's grid: never rounded.
    assert channel_data(public, envelope).kind == "off_grid"
    assert channel_data(public, envelope, bid="", bid_size="") == Ignored("one_sided_bbo")
    assert channel_data(public, envelope, bid="30112.2", ask="30130.1", bid_size="").kind == "bad_size"
    assert channel_data(public, envelope, bid="-1", ask="30130.1").kind == "bad_price"


def test_json_book(public, kit):
    envelope = kit.data("recorded_ws/handle_order_book.json")
    update = channel_data(public, envelope)
    recorded = envelope["params"]["data"]
    assert isinstance(update, BookUpdate)
    assert (update.snapshot, update.first, update.last) == (True, recorded["seq_no"], recorded["seq_no"])
    assert update.bids == [(6_762_970_000_000, 99_200_000)]
    assert update.asks == [(6_937_860_000_000, 313_700_000)]


def test_json_book_deletes_a_level(public, kit):
    envelope = kit.data("recorded_ws/handle_order_book.json")
    change = {
        "update_type": "d",
        "inserts": [],
        "updates": [{"side": "SELL", "price": "69378.6", "size": "1"}],
        "deletes": [{"side": "BUY", "price": "67629.7", "size": "0.992"}],
    }
    update = channel_data(public, envelope, **change)
    assert (update.snapshot, update.bids) == (False, [(6_762_970_000_000, 0)])
    assert update.asks == [(6_937_860_000_000, 100_000_000)]


def test_json_summary_and_funding(public, kit):
    ticker = kit.data("recorded_ws/handle_ticker.json")
    frame = {
        **ticker,
        "params": {**ticker["params"], "data": {**ticker["params"]["data"], "symbol": "BTC-USD-PERP"}},
    }
    mark, index = public.decode(json.dumps(frame), TS)
    assert (str(mark.value), str(index.value)) == ("49.80885481", "47.93000000")
    rate = channel_data(public, kit.data("recorded_ws/handle_funding_rate.json"), market="BTC-USD-PERP")
    assert rate.rate == Decimal("-0.00014969570582")
    assert rate.interval == 480


@pytest.mark.parametrize(
    ("hours", "minutes"), [(8, 480), (8.0, 480), (0.5, 30), (1.25, 75), (0, None), (None, None)]
)
def test_a_funding_period_is_a_number_of_hours_whole_or_not(public, kit, hours, minutes):
    """The documents say `number`, not `integer`."""
    envelope = kit.data("recorded_ws/handle_funding_rate.json")
    rate = channel_data(public, envelope, market="BTC-USD-PERP", funding_period_hours=hours)
    assert rate.interval == minutes


@pytest.mark.parametrize("hours", [-1, 0.01, 1e300, 10**6])
def test_a_funding_period_that_no_rate_can_say_is_refused(public, kit, hours):
    envelope = kit.data("recorded_ws/handle_funding_rate.json")
    found = channel_data(public, envelope, market="BTC-USD-PERP", funding_period_hours=hours)
    assert (type(found), found.kind) == (Quarantined, "bad_funding")


def test_json_market_event(public, kit):
    assert channel_data(public, kit.data("ws/markets.BTC-USD-PERP.json")) == InstrumentChanged("BTC-USD-PERP")


@pytest.mark.parametrize(
    ("event", "opens", "action", "trading"),
    [
        ("CREATED", 0, "TRADING", True),
        ("CREATED", 1_762_809_599_999, "TRADING", True),
        ("CREATED", 1_762_809_600_001, "PRE_OPEN", False),
        ("SETTLED", 0, "CLOSE", False),
        ("DELETED", 0, "NOT_AVAILABLE_FOR_TRADING", False),
    ],
)
def test_a_market_event_says_whether_the_market_trades(public, kit, event, opens, action, trading):
    envelope = kit.data("ws/markets.BTC-USD-PERP.json")
    data = {**envelope["params"]["data"], "event_type": event, "changed_fields": {"open_at": opens}}
    frame = {**envelope, "params": {**envelope["params"], "data": data}}
    changed, status = public.decode(json.dumps(frame), TS)
    assert changed == InstrumentChanged("BTC-USD-PERP")
    assert (status.instrument_id, status.action.name, status.is_trading) == (kit.BTC, action, trading)
    assert (status.ts_event, status.ts_init) == (1_762_809_600_000_000_000, TS)


# --- JSON account


def order(private, kit, **changes):
    return channel_data(private, kit.data("recorded_ws/handle_order.json"), **changes)


def test_new_is_not_yet_accepted(private, kit):
    record = order(private, kit, remaining_size="0.05", avg_fill_price="")
    assert (record.status, record.filled, record.refusal) == (
        OrderStatus.SUBMITTED,
        record.quantity - record.quantity,
        False,
    )
    assert record.ids.client_order_id == "x1234"
    assert record.ids.venue_order_id == "123456"
    assert (record.order_type, record.side, record.reduce_only) == (OrderType.LIMIT, OrderSide.BUY, True)
    assert (str(record.price), str(record.quantity)) == ("26000.0", "0.05000")
    assert record.ts_event == 1_681_493_746_016 * 1_000_000


# status, remaining, average, reason -> status, filled, refusal, post-only refusal (the venue's life cycle)
LIVES = [
    ("OPEN", "0.05", "", "", OrderStatus.ACCEPTED, "0.00000", False, False),
    ("OPEN", "0.02", "26000", "", OrderStatus.PARTIALLY_FILLED, "0.03000", False, False),
    ("UNTRIGGERED", "0.05", "0", "", OrderStatus.ACCEPTED, "0.00000", False, False),
    ("CLOSED", "0", "26000", "", OrderStatus.FILLED, "0.05000", False, False),
    ("CLOSED", "0.05", "", "USER_CANCELED", OrderStatus.CANCELED, "0.00000", False, False),
    ("CLOSED", "0.02", "26000", "USER_CANCELED", OrderStatus.CANCELED, "0.03000", False, False),
    ("CLOSED", "0.02", "26000", "REMAINING_IOC_CANCEL", OrderStatus.CANCELED, "0.03000", False, False),
    ("CLOSED", "0.05", "", "NOT_ENOUGH_MARGIN", OrderStatus.CANCELED, "0.00000", True, False),
    ("CLOSED", "0.05", "", "POST_ONLY_WOULD_CROSS", OrderStatus.CANCELED, "0.00000", True, True),
    ("CLOSED", "0.05", "", "ORDER_SIZE_BELOW_MIN", OrderStatus.CANCELED, "0.00000", True, False),
    ("CLOSED", "0.05", "", "SOMETHING_NEW", OrderStatus.CANCELED, "0.00000", False, False),
    ("CLOSED", "0", "", "NOT_ENOUGH_MARGIN", OrderStatus.CANCELED, None, True, False),
    # A reason is given only to what was closed by a cancel: what was executed before, the fills say.
    ("CLOSED", "0", "26000", "USER_CANCELED", OrderStatus.CANCELED, None, False, False),
    ("CLOSED", "0", "26000", "NOT_ENOUGH_MARGIN", OrderStatus.CANCELED, None, False, False),
    ("CLOSED", "0.02", "26000", "NOT_ENOUGH_MARGIN", OrderStatus.CANCELED, "0.03000", False, False),
]


@pytest.mark.parametrize(
    ("wire", "left", "average", "reason", "status", "filled", "refusal", "post_only"), LIVES
)
def test_closed_means_three_things(
    private, kit, wire, left, average, reason, status, filled, refusal, post_only
):
    record = order(
        private, kit, status=wire, remaining_size=left, avg_fill_price=average, cancel_reason=reason
    )
    assert (record.status, record.refusal, record.post_only_refusal) == (status, refusal, post_only)
    assert (None if record.filled is None else str(record.filled)) == filled
    assert record.reason == (reason if wire == "CLOSED" else "")


def test_a_market_order_has_no_price_of_its_own(private, kit):
    assert order(private, kit, type="MARKET").price is None


@pytest.mark.parametrize(
    ("info", "result"),
    [
        ({"request_type": "MODIFY_ORDER", "status": "SUCCESS"}, "applied"),
        ({"request_type": "MODIFY_ORDER", "status": "REJECTED"}, "rejected"),
        ({"request_type": "MODIFY_ORDER", "status": "PENDING"}, None),
        ({"request_type": "", "status": ""}, None),
        (None, None),
    ],
)
def test_modify_results(private, kit, info, result):
    record = order(private, kit, status="OPEN", remaining_size="0.05", request_info=info)
    assert (record.modify.value if record.modify else None) == result


def test_json_fill(private, kit):
    envelope = kit.data("recorded_ws/handle_my_trade.json")
    record = channel_data(private, envelope)
    recorded = envelope["params"]["data"]
    assert record.trade_key == recorded["id"]
    assert record.ids.venue_order_id == recorded["order_id"]
    assert record.ids.client_order_id is None
    assert str(record.fee) == "0.19455870 USDC"
    assert (record.liquidity, record.kind) == (LiquiditySide.TAKER, FillKind.TRADE)
    assert (str(record.price), str(record.quantity)) == ("64852.9", "0.01000")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("FILL", FillKind.TRADE),
        ("RPI", FillKind.TRADE),
        ("BLOCK_TRADE", FillKind.TRADE),
        ("LIQUIDATION", FillKind.LIQUIDATION),
        ("UNWIND_TRANSFER", FillKind.TRANSFER),
        ("TRANSFER", FillKind.TRANSFER),
        ("SETTLE_MARKET", FillKind.SETTLEMENT),
        ("NEVER_HEARD_OF", FillKind.TRADE),
    ],
)
def test_fill_kinds_and_a_new_one_loses_no_fill(private, kit, name, kind):
    assert channel_data(private, kit.data("recorded_ws/handle_my_trade.json"), fill_type=name).kind is kind


def test_a_rebate_is_negative_and_a_settlement_price_keeps_its_digits(private, kit):
    record = channel_data(
        private, kit.data("recorded_ws/handle_my_trade.json"), fee="-0.0001", price="64852.12345678"
    )
    assert str(record.fee) == "-0.00010000 USDC"
    assert str(record.price) == "64852.12345678"


@pytest.mark.parametrize(
    ("side", "size", "status", "signed"),
    [
        ("LONG", "0.01", "OPEN", "0.01"),
        ("SHORT", "-0.345", "OPEN", "-0.345"),
        ("SHORT", "0.345", "OPEN", "-0.345"),
        ("LONG", "0", "CLOSED", "0"),
        ("SHORT", "-0.00000000", "OPEN", "0"),
        ("", "0", "OPEN", "0"),
    ],
)
def test_json_position(private, kit, side, size, status, signed):
    envelope = kit.data("recorded_ws/handle_positions.json")
    record = channel_data(private, envelope, side=side, size=size, status=status)
    assert record.signed_qty == signed
    assert record.avg_px == ("64839.96053748" if signed != "0" else None)


@pytest.mark.parametrize(
    ("side", "size", "status"),
    [
        ("LONG", "-0.01", "OPEN"),
        ("", "0.01", "OPEN"),
        ("SIDEWAYS", "0.01", "OPEN"),
        ("LONG", "", "OPEN"),
        ("LONG", "0.01", "CLOSED"),
    ],
)
def test_a_position_that_contradicts_itself_is_never_flat(private, kit, side, size, status):
    envelope = kit.data("recorded_ws/handle_positions.json")
    found = channel_data(private, envelope, side=side, size=size, status=status)
    assert isinstance(found, Quarantined)
    assert found.private


def test_json_account(private, kit):
    record = channel_data(private, kit.data("recorded_ws/handle_balance.json"))
    (balance,), (margin,) = record.balances, record.margins
    assert [str(x) for x in (balance.total, balance.free, balance.locked)] == [
        "1000.00000000 USDC",
        "900.50000000 USDC",
        "99.50000000 USDC",
    ]
    assert (str(margin.initial), str(margin.maintenance)) == ("100.00000000 USDC", "50.00000000 USDC")


@pytest.mark.parametrize(
    ("total", "free", "shown"),
    [("1000", "1200", "1000"), ("1000", "-5", "0"), ("-3", "-9", "-3"), ("0", "0", "0")],
)
def test_free_lies_between_nothing_and_the_total(private, kit, total, free, shown):
    record = channel_data(
        private, kit.data("recorded_ws/handle_balance.json"), total_collateral=total, free_collateral=free
    )
    (balance,) = record.balances
    assert balance.free.as_decimal() == Decimal(shown)
    assert balance.total.as_decimal() == balance.free.as_decimal() + balance.locked.as_decimal()


def test_a_bust_names_its_fill_and_nothing_else(private, kit):
    found = only(private, json.dumps(kit.data("ws/tradebusts.json")))
    assert found == BustRecord(
        trade_key="12342345", ts_event=1_681_497_002_041_000_000, source=Source.STREAM
    )


def test_a_balance_event_is_a_witness_of_its_fill(private, kit):
    found = only(private, json.dumps(kit.data("ws/balance_events.json")))
    assert found == MoneyMoved(trade_key="8615262148007718462", ts_event=1_681_497_002_041_000_000)


@pytest.mark.parametrize(("name", "field"), [("tradebusts", "busted_fill_id"), ("balance_events", "fill_id")])
@pytest.mark.parametrize("value", ["", None, 0])
def test_a_bust_or_a_witness_without_its_fill_is_a_private_doubt(private, kit, name, field, value):
    found = channel_data(private, kit.data(f"ws/{name}.json"), **{field: value})
    assert isinstance(found, Quarantined)
    assert found.private


@pytest.mark.parametrize("channel", ["tradebusts", "balance_events"])
def test_a_refused_witness_is_counted_and_stops_nothing(private, channel):
    request = sent(private.subscribe([Topic("private", channel, private=True)], TOKEN))
    error = {"code": -32600, "message": "invalid request", "data": "invalid channel"}
    refused, ack = private.decode(answer(request, error=error), 1)
    assert (refused.kind, channel in refused.why, refused.private) == ("channel_refused", True, False)
    assert ack == TopicAck((channel,), subscribed=True)


@pytest.mark.parametrize("name", ["orders.BTC-USD-PERP", "fills.BTC-USD-PERP", "positions", "account"])
def test_the_published_examples_decode(private, kit, name):
    found = only(private, json.dumps(kit.data(f"ws/{name}.json")))
    assert not isinstance(found, Quarantined), found
