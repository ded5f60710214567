"""What the manifest does not allow is denied with Nautilus's own codes, before anything is on the wire."""

from __future__ import annotations

import pytest
from attrs import evolve
from engine_double import limit, perpetual
from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    ClientOrderId,
    Currency,
    InstrumentId,
    LimitOrder,
    MarketOrder,
    Money,
    OrderSide,
    Price,
    Quantity,
    StopMarketOrder,
    TimeInForce,
    TriggerType,
)

from venuekit.core.denial import deny_modify, deny_submit
from venuekit.core.symbols import Symbols
from venuekit.interfaces.manifest import BookRule, Chain, IdRules, Manifest, OrderFeatures, SnapshotFrom
from venuekit.interfaces.stream import Mode

FEATURES = OrderFeatures(types={"LIMIT": frozenset({"GTC", "GTD"})})
MANIFEST = Manifest(
    venue="HV",
    title="Sample",
    environments={},
    products=frozenset(),
    data={},
    streams={},
    ports={},
    operations={},
    buckets={},
    errors=(),
    book=BookRule(Chain.NONE, SnapshotFrom.STREAM),
    orders=FEATURES,
    ids=IdRules(r"[A-Z0-9-]+", 8),
)
USDC = Currency.from_str("USDC")
SYMBOLS = Symbols()
SYMBOLS.add(
    "BTC", perpetual("HV", min_notional=Money.from_str("10 USDC"), max_notional=Money.from_str("5000 USDC"))
)
IID = next(iter(SYMBOLS)).instrument_id
NOW = 1_000


def code(order: object, manifest: Manifest = MANIFEST, mode: Mode = Mode.NORMAL) -> str | None:
    denied = deny_submit(order, manifest, SYMBOLS, NOW, mode)
    return denied.code if denied is not None else None


def with_features(**changes: object) -> Manifest:
    return evolve(MANIFEST, orders=evolve(FEATURES, **changes))


def special(quote: bool = False, display: str | None = None) -> LimitOrder:
    return LimitOrder(
        *_head(),
        OrderSide.BUY,
        Quantity.from_str("1.000"),
        Price.from_str("100.0"),
        TimeInForce.GTC,
        False,
        False,
        quote,
        UUID4(),
        0,
        display_qty=Quantity.from_str(display) if display else None,
    )


def _head() -> tuple[object, ...]:
    order = limit("O-1", IID)
    return order.trader_id, order.strategy_id, order.instrument_id, ClientOrderId("O-1")


def stop(trigger: TriggerType) -> StopMarketOrder:
    return StopMarketOrder(
        *_head(),
        OrderSide.BUY,
        Quantity.from_str("1.000"),
        Price.from_str("100.0"),
        trigger,
        TimeInForce.GTC,
        False,
        False,
        UUID4(),
        0,
    )


def test_a_plain_order_on_the_grid_passes() -> None:
    assert code(limit("O-1", IID)) is None
    assert code(limit("O-1", IID, tif=TimeInForce.GTD, expire_ns=NOW + 1)) is None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"tif": TimeInForce.IOC}, "UNSUPPORTED_TIME_IN_FORCE"),
        ({"post_only": True}, "UNSUPPORTED_POST_ONLY"),
        ({"reduce_only": True}, "UNSUPPORTED_REDUCE_ONLY"),
        ({"price": "100.3"}, "PRICE_PRECISION_EXCEEDS_MAXIMUM"),
        ({"price": "-1.0"}, "PRICE_NOT_POSITIVE"),
        ({"quantity": "1.0005"}, "QUANTITY_PRECISION_EXCEEDS_MAXIMUM"),
        ({"quantity": "0.001", "price": "90000.0"}, "QUANTITY_BELOW_MINIMUM"),
        ({"quantity": "200.000"}, "QUANTITY_EXCEEDS_MAXIMUM"),
        ({"quantity": "0.099"}, "NOTIONAL_BELOW_MINIMUM"),
        ({"quantity": "50.001"}, "NOTIONAL_EXCEEDS_MAXIMUM"),
        ({"tif": TimeInForce.GTD, "expire_ns": NOW}, "EXPIRE_TIME_IN_PAST"),
        ({"name": "O-123456789"}, "INVALID_CLIENT_ORDER_ID"),
        ({"name": "o-1"}, "INVALID_CLIENT_ORDER_ID"),
        ({"iid": "ETH-USD-PERP.HV"}, "INSTRUMENT_NOT_FOUND"),
    ],
)
def test_each_rule_has_its_code(facts: dict[str, object], expected: str) -> None:
    facts = dict(facts)
    name = facts.pop("name", "O-1")
    iid = InstrumentId.from_str(facts.pop("iid")) if "iid" in facts else IID
    assert code(limit(name, iid, **facts)) == expected


def test_exactly_the_bounds_pass() -> None:
    assert code(limit("O-1", IID, quantity="0.100")) is None
    assert code(limit("O-1", IID, quantity="50.000")) is None


def test_flags_and_kinds() -> None:
    order = MarketOrder(
        *_head(), OrderSide.BUY, Quantity.from_str("1.000"), UUID4(), 0, TimeInForce.GTC, False, False
    )
    assert code(order) == "UNSUPPORTED_ORDER_TYPE"
    assert code(special(quote=True)) == "UNSUPPORTED_QUOTE_QUANTITY"
    assert code(special(display="0.500")) == "UNSUPPORTED_DISPLAY_QTY"
    stops = with_features(types={"STOP_MARKET": frozenset({"GTC"})}, trigger_types=frozenset({"MARK_PRICE"}))
    assert code(stop(TriggerType.LAST_PRICE), stops) == "UNSUPPORTED_TRIGGER_TYPE"
    assert code(stop(TriggerType.MARK_PRICE), stops) is None
    assert code(limit("O-1", IID), evolve(MANIFEST, orders=None)) == "UNSUPPORTED_ORDER_TYPE"


def test_modes() -> None:
    assert code(limit("O-1", IID), mode=Mode.CANCEL_ONLY) == "TRADING_HALTED"
    assert code(limit("O-1", IID), mode=Mode.POST_ONLY) == "TRADING_HALTED"
    maker = with_features(post_only=True)
    assert code(limit("O-1", IID, post_only=True), maker, Mode.POST_ONLY) is None


def test_modify_names_only_what_the_venue_can_change() -> None:
    order = limit("O-1", IID)
    quantity, price = Quantity.from_str("2.000"), Price.from_str("101.0")

    def why(manifest: Manifest, *values: object) -> str | None:
        denied = deny_modify(order, *values, manifest, SYMBOLS)
        return denied.code if denied is not None else None

    assert why(MANIFEST, quantity, None, None) == "UNSUPPORTED_MODIFY"
    some = with_features(modify=frozenset({"price"}))
    assert why(some, None, price, None) is None
    assert why(some, quantity, price, None) == "UNSUPPORTED_MODIFY"
    assert why(some, None, Price.from_str("101.2"), None) == "PRICE_PRECISION_EXCEEDS_MAXIMUM"
    assert why(some, None, None, None) == "VALIDATION_FAILED"
    both = with_features(modify=frozenset({"price", "quantity"}))
    assert why(both, Quantity.from_str("0.000"), None, None) == "VALIDATION_FAILED"
