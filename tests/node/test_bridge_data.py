"""The data half of the bridge in a real node: what goes wrong with a bare adapter goes right here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import bare_node as bare
import fake_venue as fake
import pytest
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model import (
    BarType,
    BookAction,
    BookOrder,
    BookType,
    InstrumentId,
    OrderBookDelta,
    OrderBookDeltas,
    OrderSide,
    Price,
    Quantity,
)

from venuekit.errors import SendFailed, Unsupported
from venuekit.interfaces.request import Evidence
from venuekit.interfaces.stream import DataKind, Want

IID = bare.instrument_id()


def _raise(make: Callable[[], Exception]) -> Any:
    """A fresh error each time: a kept one keeps its frames, and those keep the node."""

    def step(*_arguments: Any) -> None:
        raise make()

    return step


# -- instruments ---------------------------------------------------------------------------------------------


def test_instruments_are_in_the_engine_before_the_strategy_starts() -> None:
    rig = fake.build()
    found: list[Any] = []
    rig.recorder.on_begin = lambda strategy: found.append(strategy.cache.instrument(IID))

    async def body(rig: fake.BridgeRig) -> None:
        assert found[0].id == IID
        assert rig.data["V"].instrument_provider.count == 1

    fake.run(rig, body)


def test_load_ids_narrow_what_is_published() -> None:
    wanted, other = bare.instrument_id(symbol="ETH-PERP"), IID
    shared = fake.FakeShared("V", instruments=[bare.perpetual(), bare.perpetual(symbol="ETH-PERP")])
    rig = fake.build(venues={"V": shared}, provider=InstrumentProviderConfig(load_ids=[str(wanted)]))

    async def body(rig: fake.BridgeRig) -> None:
        held = {one: rig.data["V"].instrument_provider.find(one) for one in (wanted, other)}
        assert held[wanted] is not None
        assert held[other] is None

    fake.run(rig, body)


def test_a_changed_instrument_reaches_the_cache() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        rig.market.sink.instrument(bare.perpetual(symbol="NEW-PERP"))
        new = bare.instrument_id(symbol="NEW-PERP")
        await rig.until(lambda: rig.cache.instrument(new) is not None, "the new instrument")

    fake.run(rig, body)


# -- subscriptions -------------------------------------------------------------------------------------------


def test_wants_and_their_ends() -> None:
    rig = fake.build()
    bars = BarType.from_str(f"{IID}-1-MINUTE-LAST-EXTERNAL")

    async def body(rig: fake.BridgeRig) -> None:
        strategy = rig.recorder
        strategy.subscribe_quotes(IID, params={"speed": "fast"})
        strategy.subscribe_trades(IID)
        strategy.subscribe_mark_prices(IID)
        strategy.subscribe_bars(bars)
        strategy.subscribe_book_deltas(IID, BookType.L2_MBP)
        strategy.subscribe_book_depth(IID, BookType.L2_MBP, depth=10)
        await rig.until(lambda: len(rig.market.seen("subscribe")) == 6, "six wants")
        wants = [want for (want,) in rig.market.seen("subscribe")]
        assert wants[:4] == [
            Want(DataKind.QUOTES, IID, (("speed", "fast"),)),
            Want(DataKind.TRADES, IID),
            Want(DataKind.MARK_PRICE, IID),
            Want(DataKind.BARS, IID, (("bar_type", str(bars)),)),
        ]
        assert [want.kind for want in wants[4:]] == [DataKind.BOOK_DELTAS, DataKind.BOOK_DEPTH10]
        strategy.unsubscribe_quotes(IID)
        strategy.unsubscribe_bars(bars)
        await rig.until(lambda: len(rig.market.seen("unsubscribe")) == 2, "both ends")
        assert [want for (want,) in rig.market.seen("unsubscribe")] == [wants[0], wants[3]]

    fake.run(rig, body)


def test_what_the_manifest_lacks_never_reaches_the_service() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        strategy = rig.recorder
        strategy.subscribe_funding_rates(IID)
        strategy.subscribe_index_prices(IID)
        strategy.subscribe_option_greeks(IID)
        strategy.subscribe_book_deltas(IID, BookType.L3_MBO)
        strategy.subscribe_book_depth(IID, BookType.L2_MBP, depth=50)
        strategy.subscribe_quotes(IID)
        await rig.until(lambda: rig.market.seen("subscribe"), "the one that works")
        assert [want.kind for (want,) in rig.market.seen("subscribe")] == [DataKind.QUOTES]
        assert rig.counters["bridge.data.refused"] == 5

    fake.run(rig, body)


@pytest.mark.parametrize(
    ("error", "counter"),
    [
        (Unsupported("no such market"), "bridge.data.refused"),
        (KeyError("a bug"), "bridge.data.subscribe_failed"),
    ],
)
def test_a_subscribe_that_fails_below_is_counted_and_the_next_one_works(
    error: Exception, counter: str
) -> None:
    def step(service: fake.FakeMarketData, want: Want) -> None:
        if want.kind is DataKind.QUOTES:
            raise error

    rig = fake.build({"subscribe": step})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.subscribe_quotes(IID)
        rig.recorder.subscribe_trades(IID)
        await rig.until(lambda: len(rig.market.seen("subscribe")) == 2, "both")
        assert rig.counters[counter] == 1
        # What was never held is not given back.
        rig.recorder.unsubscribe_quotes(IID)
        rig.recorder.unsubscribe_trades(IID)
        await rig.until(lambda: rig.market.seen("unsubscribe"), "the end of the trades")
        assert [want.kind for (want,) in rig.market.seen("unsubscribe")] == [DataKind.TRADES]

    fake.run(rig, body)


def test_no_subscription_is_lost_when_a_strategy_makes_1500_at_once() -> None:
    # On bare Nautilus a hook that waits loses what overflows the queue of 1,024.
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        for number in range(1500):
            rig.recorder.subscribe_quotes(bare.instrument_id(symbol=f"M{number}"))
        await rig.until(lambda: len(rig.market.seen("subscribe")) == 1500, "all of them")

    fake.run(rig, body)


# -- the sink ------------------------------------------------------------------------------------------------


def test_data_reaches_the_strategy() -> None:
    rig = fake.build()
    rig.recorder.on_begin = lambda strategy: strategy.subscribe_quotes(IID)

    async def body(rig: fake.BridgeRig) -> None:
        await rig.until(lambda: rig.market.seen("subscribe"), "the subscription")
        tick = bare.quote()
        rig.market.sink.data(tick)
        await rig.until(lambda: rig.recorder.market_data == [tick], "the quote")

    fake.run(rig, body)


def test_what_the_engine_refuses_is_counted_and_never_raised() -> None:
    rig = fake.build()
    kept: list[Any] = []

    async def body(rig: fake.BridgeRig) -> None:
        rig.market.sink.data("no market data")
        await asyncio.to_thread(rig.market.sink.data, bare.quote())  # a foreign thread
        kept.extend([rig.market.sink, rig.counters])
        assert rig.counters["bridge.data.refused_by_engine"] == 2

    fake.run(rig, body)
    kept[0].data(bare.quote())  # after the stop: nothing raises


# -- requests ------------------------------------------------------------------------------------------------


def test_a_request_is_answered_with_its_rows() -> None:
    tick = bare.quote()
    rig = fake.build({"request": lambda _service, _want, _window: [tick]})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.request_quotes(IID, limit=7)
        await rig.until(lambda: rig.recorder.history == [[tick]], "the answer")
        ((want, window),) = rig.market.seen("request")
        assert (want, window.limit) == (Want(DataKind.QUOTES, IID), 7)

    fake.run(rig, body)


FAILING = {
    "typed": _raise(lambda: SendFailed("no answer", evidence=Evidence.MAYBE_SENT)),
    "bug": _raise(lambda: KeyError("a bug")),
    "foreign rows": lambda _service, _want, _window: ["no quote"],
}


@pytest.mark.parametrize("case", FAILING)
def test_a_request_that_fails_is_answered_empty(case: str) -> None:
    rig = fake.build({"request": FAILING[case]})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.request_quotes(IID)
        await rig.until(lambda: rig.recorder.history == [[]], "the empty answer")
        name = "bridge.data.refused" if case == "typed" else "bridge.data.request_failed"
        assert rig.counters[name] == 1

    fake.run(rig, body)


def test_a_request_the_manifest_lacks_is_answered_empty_without_the_service() -> None:
    shared = fake.FakeShared("V", manifest=fake.manifest(data={}))
    rig = fake.build(venues={"V": shared})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.request_quotes(IID)
        await rig.until(lambda: rig.recorder.history == [[]], "the empty answer")
        assert not rig.market.seen("request")

    fake.run(rig, body)


def test_a_hanging_request_holds_nobody_up() -> None:
    release = asyncio.Event()

    async def hang(_service: Any, _want: Any, _window: Any) -> list[Any]:
        await release.wait()
        return []

    rig = fake.build({"request": hang})

    async def body(rig: fake.BridgeRig) -> None:
        rig.recorder.request_quotes(IID)
        rig.recorder.subscribe_trades(IID)
        await rig.until(lambda: rig.market.seen("subscribe"), "the subscription behind it")
        assert rig.recorder.history == []
        release.set()
        await rig.until(lambda: rig.recorder.history == [[]], "the answer in the end")

    fake.run(rig, body)


def _snapshot() -> OrderBookDeltas:
    size = Quantity.from_str("1.000")
    order = BookOrder(OrderSide.BUY, Price.from_str("99.9"), size, 0)
    return OrderBookDeltas(IID, [OrderBookDelta(IID, BookAction.ADD, order, 32 | 128, 1, 1, 1)])


@pytest.mark.parametrize("works", [True, False])
def test_a_book_request_is_answered_with_the_book_or_an_empty_one(works: bool) -> None:
    step = (lambda *_arguments: _snapshot()) if works else _raise(lambda: KeyError("a bug"))
    rig = fake.build({"request_book": step})
    answers: list[Any] = []

    async def body(rig: fake.BridgeRig) -> None:
        client = rig.data["V"]
        client._handle_response = answers.append
        rig.recorder.request_book_snapshot(IID, depth=5)
        await rig.until(lambda: answers, "the answer")
        best = answers[0].data.best_bid_price()
        assert str(best) == "99.9" if works else best is None
        assert rig.market.seen("request_book") == [(IID, 5)]

    fake.run(rig, body)


def test_one_instrument_is_loaded_and_answered() -> None:
    rig = fake.build()
    answers: list[Any] = []

    async def body(rig: fake.BridgeRig) -> None:
        rig.data["V"]._handle_response = answers.append
        rig.recorder.request_instrument(InstrumentId.from_str("NONE-PERP.V"))
        rig.recorder.request_instrument(IID)
        rig.recorder.request_instruments(bare.Venue("V"))
        await rig.until(lambda: len(answers) == 2, "two answers")
        assert answers[0].instrument_id == IID
        assert [one.id for one in answers[1].data] == [IID]
        assert rig.counters["bridge.data.refused"] == 1

    fake.run(rig, body)


# -- connecting and leaving ----------------------------------------------------------------------------------


def test_a_failed_connect_is_told_and_leaves_nothing_open() -> None:
    rig = fake.build(
        {"start": _raise(lambda: SendFailed("no answer", evidence=Evidence.NOT_SENT))},
        timeout_connection_secs=0.3,
    )

    async def body(_rig: bare.Rig) -> None:
        pytest.fail("the node must not have started")

    with pytest.raises(RuntimeError):
        fake.run(rig, body)
    # Without a hint of its own an error says what its branch of the tree says.
    assert rig.failures.found == [("V could not connect: no answer", SendFailed.to_do)]
    assert rig.shared["V"].holders == 0


def test_a_failing_stop_below_does_not_fail_the_node() -> None:
    rig = fake.build(
        {"stop_data": _raise(lambda: KeyError("a bug")), "stop_execution": _raise(lambda: KeyError("a bug"))}
    )

    async def body(_rig: bare.Rig) -> None:
        return None

    fake.run(rig, body)
    assert rig.counters["bridge.data.disconnect_failed"] == 1
    assert rig.counters["bridge.exec.disconnect_failed"] == 1


def test_both_clients_share_one_venue_and_give_it_back() -> None:
    rig = fake.build()

    async def body(rig: fake.BridgeRig) -> None:
        assert rig.shared["V"].holders == 2

    fake.run(rig, body)
    assert rig.shared["V"].holders == 0
