"""The data client every venue shares: hooks go to the market-data service, its sink goes to the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from nautilus_trader.live import (
    BarsResponse,
    BookDeltasResponse,
    BookDepthResponse,
    BookResponse,
    CustomDataResponse,
    FundingRatesResponse,
    InstrumentResponse,
    InstrumentsResponse,
    OptionChainReferencePriceResponse,
    QuotesResponse,
    TradesResponse,
)
from nautilus_trader.live.clients import MarketDataClient
from nautilus_trader.model import (
    Bar,
    BookType,
    CustomData,
    FundingRateUpdate,
    OrderBook,
    OrderBookDelta,
    OrderBookDeltas,
    OrderBookDepth,
    QuoteTick,
    TradeTick,
    Venue,
)

from venuekit.errors import NotReady, Unsupported, VenuekitError
from venuekit.interfaces.stream import DataKind, Want, Window
from venuekit.nautilus.provider import VenueProvider

if TYPE_CHECKING:
    from nautilus_trader.common import Clock
    from nautilus_trader.live import (
        ClientCache,
        RequestBars,
        RequestBookDeltas,
        RequestBookDepth,
        RequestBookSnapshot,
        RequestCustomData,
        RequestFundingRates,
        RequestInstrument,
        RequestInstruments,
        RequestOptionChainReferencePrice,
        RequestQuotes,
        RequestTrades,
        SubscribeBars,
        SubscribeBookDeltas,
        SubscribeBookDepth,
        SubscribeCustomData,
        SubscribeFundingRates,
        SubscribeIndexPrices,
        SubscribeInstrument,
        SubscribeInstrumentClose,
        SubscribeInstruments,
        SubscribeInstrumentStatus,
        SubscribeMarkPrices,
        SubscribeOptionGreeks,
        SubscribeQuotes,
        SubscribeTrades,
        UnsubscribeBars,
        UnsubscribeBookDeltas,
        UnsubscribeBookDepth,
        UnsubscribeCustomData,
        UnsubscribeFundingRates,
        UnsubscribeIndexPrices,
        UnsubscribeInstrument,
        UnsubscribeInstrumentClose,
        UnsubscribeInstruments,
        UnsubscribeInstrumentStatus,
        UnsubscribeMarkPrices,
        UnsubscribeOptionGreeks,
        UnsubscribeQuotes,
        UnsubscribeTrades,
    )
    from nautilus_trader.model import BarType, InstrumentId

    from venuekit.host.open import OpenedVenue, SharedVenue
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Instrument
    from venuekit.nautilus.factories import VenueDataConfig
    from venuekit.runtime.market_data import MarketDataService

    type _Spanned = (
        RequestQuotes
        | RequestTrades
        | RequestFundingRates
        | RequestBars
        | RequestBookDepth
        | RequestBookDeltas
        | RequestInstrument
        | RequestInstruments
        | RequestCustomData
    )

DISCONNECT_SECS = 5.0
"""The node waits 10 s for a disconnect and fails when it takes longer; this bound leaves room."""

type OnFailure = Callable[[str, BaseException], None]
"""Told the client's name and the error that kept it from connecting."""

MAX_DEPTH = 10
"""Levels in one depth update."""

type _Build = Callable[[Sequence[object]], object]


class EngineDataSink:
    """A `DataSink` that ends in the data engine. It never raises into the session that feeds it."""

    def __init__(self, client: VenueDataClient, provider: VenueProvider) -> None:
        self._client = client
        self._provider = provider

    def instrument(self, instrument: Instrument) -> None:
        """The provider and the engine's cache hold the instrument after this, when it is wanted."""
        if not self._provider.wants(instrument.id):
            return
        self._provider.add(instrument)
        try:
            self._client._handle_instrument(instrument)
        except Exception as error:  # noqa: BLE001 - see `refused`
            self._client.refused(instrument, error)

    def data(self, obj: object) -> None:
        """The engine has the object queued after this."""
        try:
            self._client._handle_data(obj)
        except Exception as error:  # noqa: BLE001 - see `refused`
            self._client.refused(obj, error)


class VenueDataClient(MarketDataClient):
    """Subscribes and requests through a venue's market-data service; no hook waits and none raises."""

    def __init__(
        self,
        *,
        name: str,
        config: VenueDataConfig,
        cache: ClientCache,
        clock: Clock,
        manifest: Manifest,
        shared: SharedVenue,
        on_failure: OnFailure | None = None,
    ) -> None:
        provider = VenueProvider(config.instrument_provider)
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            venue=Venue(manifest.venue),
            instrument_provider=provider,
        )
        self._name = name
        self._manifest = manifest
        self._shared = shared
        self._on_failure = on_failure
        self._provider = provider
        self._opened: OpenedVenue | None = None
        self._service: MarketDataService | None = None
        self._wants: dict[tuple[DataKind, InstrumentId | None, str], Want] = {}
        self._log = logging.getLogger(f"venuekit.nautilus.data.{name}")

    # -- connection ------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """The service runs and every wanted instrument is published after this; raise the first failure."""
        try:
            self._opened = await self._shared.acquire()
            service = self._opened.market_data(EngineDataSink(self, self._provider))
            self._service = service
            self._provider.attach(service.request_instruments)
            await service.start()
        except BaseException as error:
            # Also on cancellation: the node gives up on a slow connect, and then nothing may stay open.
            self._log.error("%s could not connect: %s", self._name, str(error) or type(error).__name__)
            if self._on_failure is not None:
                self._on_failure(self._name, error)
            await self._close()
            raise

    async def _disconnect(self) -> None:
        await self._close()

    async def _close(self) -> None:
        """Service stopped and venue released after this, within a bound, whatever fails."""
        service, self._service = self._service, None
        opened, self._opened = self._opened, None
        self._provider.attach(None)
        self._wants.clear()
        try:
            async with asyncio.timeout(DISCONNECT_SECS):
                if service is not None:
                    await service.stop()
                if opened is not None:
                    await self._shared.release()
        except Exception:  # noqa: BLE001 - the next lines say why
            # A raising disconnect makes the node wait and fail its whole stop: counted and logged instead.
            self._count("bridge.data.disconnect_failed", opened)
            self._log.exception("%s did not disconnect cleanly", self._name)

    # -- what went wrong -------------------------------------------------------------------------------------

    def refused(self, obj: object, error: Exception) -> None:
        """The engine did not take `obj`: counted and logged; the session that carried it goes on."""
        self._count("bridge.data.refused_by_engine")
        self._log.error("the engine refused a %s: %s", type(obj).__name__, error)

    def _count(self, name: str, opened: OpenedVenue | None = None) -> None:
        opened = opened or self._opened
        if opened is not None:
            opened.counters.inc(name)

    def _refuse(self, what: str, reason: str) -> None:
        """Nautilus has no event for a refused subscription: it is one line in the log and a counter."""
        self._count("bridge.data.refused")
        self._log.warning("%s refused: %s", what, reason)

    def _lacks(self, kind: DataKind, how: str) -> str | None:
        """Why the manifest does not allow this, or None."""
        feature = self._manifest.data.get(kind)
        if feature is not None and (feature.subscribe if how == "subscribe" else feature.request):
            return None
        return f"{self._manifest.title} has no {how} for {kind.value}"

    # -- subscriptions ---------------------------------------------------------------------------------------

    def _want(
        self,
        kind: DataKind,
        instrument_id: InstrumentId | None,
        params: dict[str, object] | None,
        extra: str = "",
    ) -> None:
        what = f"subscribe {kind.value} {instrument_id or ''} {extra}".rstrip()
        reason = self._lacks(kind, "subscribe")
        if reason is not None:
            return self._refuse(what, reason)
        if self._service is None:
            return self._refuse(what, "not connected")
        want = _make_want(kind, instrument_id, params, extra)
        try:
            self._service.subscribe(want)
        except Unsupported as error:
            return self._refuse(what, error.message)
        except Exception:  # noqa: BLE001 - the next lines say why
            # A bug below must not look like a working subscription: counted, logged, not kept.
            self._count("bridge.data.subscribe_failed")
            return self._log.exception("%s failed", what)
        self._wants[kind, instrument_id, extra] = want
        return None

    def _unwant(self, kind: DataKind, instrument_id: InstrumentId | None, extra: str = "") -> None:
        # The engine names what to stop, with other params perhaps: the want that was made is the one to drop.
        want = self._wants.pop((kind, instrument_id, extra), None)
        if want is None or self._service is None:
            return
        try:
            self._service.unsubscribe(want)
        except Exception:  # noqa: BLE001 - the next lines say why
            # As in `_want`.
            self._count("bridge.data.unsubscribe_failed")
            self._log.exception("unsubscribe %s %s failed", kind.value, instrument_id)

    async def _subscribe(self, command: SubscribeCustomData) -> None:
        self._refuse(f"subscribe {command.data_type}", "this venue has no custom data")

    async def _unsubscribe(self, command: UnsubscribeCustomData) -> None:
        """Nothing was subscribed."""

    async def _subscribe_instruments(self, command: SubscribeInstruments) -> None:
        # Changes are always published; what is known by now is published again for the newcomer.
        for instrument in self._provider.list_all():
            self._handle_instrument(instrument)

    async def _unsubscribe_instruments(self, command: UnsubscribeInstruments) -> None:
        """Changes go on being published for the cache."""

    async def _subscribe_instrument(self, command: SubscribeInstrument) -> None:
        instrument = self._provider.find(command.instrument_id)
        if instrument is None:
            return self._refuse(f"subscribe instrument {command.instrument_id}", "the venue does not list it")
        return self._handle_instrument(instrument)

    async def _unsubscribe_instrument(self, command: UnsubscribeInstrument) -> None:
        """Changes go on being published for the cache."""

    async def _subscribe_book_deltas(self, command: SubscribeBookDeltas) -> None:
        if command.book_type != BookType.L2_MBP:
            return self._refuse(
                f"subscribe book {command.instrument_id}", f"no {command.book_type} book here"
            )
        return self._want(DataKind.BOOK_DELTAS, command.instrument_id, command.params)

    async def _unsubscribe_book_deltas(self, command: UnsubscribeBookDeltas) -> None:
        self._unwant(DataKind.BOOK_DELTAS, command.instrument_id)

    async def _subscribe_book_depth(self, command: SubscribeBookDepth) -> None:
        what = f"subscribe depth {command.instrument_id}"
        if command.book_type != BookType.L2_MBP:
            return self._refuse(what, f"no {command.book_type} book here")
        if command.depth is not None and command.depth > MAX_DEPTH:
            return self._refuse(what, f"at most {MAX_DEPTH} levels")
        return self._want(DataKind.BOOK_DEPTH10, command.instrument_id, command.params)

    async def _unsubscribe_book_depth(self, command: UnsubscribeBookDepth) -> None:
        self._unwant(DataKind.BOOK_DEPTH10, command.instrument_id)

    async def _subscribe_quotes(self, command: SubscribeQuotes) -> None:
        self._want(DataKind.QUOTES, command.instrument_id, command.params)

    async def _unsubscribe_quotes(self, command: UnsubscribeQuotes) -> None:
        self._unwant(DataKind.QUOTES, command.instrument_id)

    async def _subscribe_trades(self, command: SubscribeTrades) -> None:
        self._want(DataKind.TRADES, command.instrument_id, command.params)

    async def _unsubscribe_trades(self, command: UnsubscribeTrades) -> None:
        self._unwant(DataKind.TRADES, command.instrument_id)

    async def _subscribe_mark_prices(self, command: SubscribeMarkPrices) -> None:
        self._want(DataKind.MARK_PRICE, command.instrument_id, command.params)

    async def _unsubscribe_mark_prices(self, command: UnsubscribeMarkPrices) -> None:
        self._unwant(DataKind.MARK_PRICE, command.instrument_id)

    async def _subscribe_index_prices(self, command: SubscribeIndexPrices) -> None:
        self._want(DataKind.INDEX_PRICE, command.instrument_id, command.params)

    async def _unsubscribe_index_prices(self, command: UnsubscribeIndexPrices) -> None:
        self._unwant(DataKind.INDEX_PRICE, command.instrument_id)

    async def _subscribe_funding_rates(self, command: SubscribeFundingRates) -> None:
        self._want(DataKind.FUNDING_RATE, command.instrument_id, command.params)

    async def _unsubscribe_funding_rates(self, command: UnsubscribeFundingRates) -> None:
        self._unwant(DataKind.FUNDING_RATE, command.instrument_id)

    async def _subscribe_instrument_status(self, command: SubscribeInstrumentStatus) -> None:
        self._want(DataKind.INSTRUMENT_STATUS, command.instrument_id, command.params)

    async def _unsubscribe_instrument_status(self, command: UnsubscribeInstrumentStatus) -> None:
        self._unwant(DataKind.INSTRUMENT_STATUS, command.instrument_id)

    async def _subscribe_instrument_close(self, command: SubscribeInstrumentClose) -> None:
        self._want(DataKind.INSTRUMENT_CLOSE, command.instrument_id, command.params)

    async def _unsubscribe_instrument_close(self, command: UnsubscribeInstrumentClose) -> None:
        self._unwant(DataKind.INSTRUMENT_CLOSE, command.instrument_id)

    async def _subscribe_bars(self, command: SubscribeBars) -> None:
        bar_type = command.bar_type
        self._want(DataKind.BARS, bar_type.instrument_id, command.params, str(bar_type))

    async def _unsubscribe_bars(self, command: UnsubscribeBars) -> None:
        self._unwant(DataKind.BARS, command.bar_type.instrument_id, str(command.bar_type))

    async def _subscribe_option_greeks(self, command: SubscribeOptionGreeks) -> None:
        self._refuse(f"subscribe greeks {command.instrument_id}", "this venue has no greeks")

    async def _unsubscribe_option_greeks(self, command: UnsubscribeOptionGreeks) -> None:
        """Nothing was subscribed."""

    # -- requests --------------------------------------------------------------------------------------------

    def _answer(self, what: str, fetch: Callable[[], Awaitable[Sequence[object]]], build: _Build) -> None:
        """A response follows in any case: with what `fetch` brings, or empty with the reason in the log."""
        self.create_task(self._fetch_and_respond(what, fetch, build), what)

    async def _fetch_and_respond(
        self, what: str, fetch: Callable[[], Awaitable[Sequence[object]]], build: _Build
    ) -> None:
        try:
            response = build(await fetch())
        except VenuekitError as error:
            self._refuse(what, error.message)
            response = build(())
        except Exception:  # noqa: BLE001 - the next lines say why
            # An unanswered request leaves its strategy waiting for ever: empty, counted and logged is better.
            self._count("bridge.data.request_failed")
            self._log.exception("%s failed", what)
            response = build(())
        try:
            self._handle_response(response)
        except Exception as error:  # noqa: BLE001 - see `refused`
            self.refused(response, error)

    async def _rows(
        self,
        kind: DataKind,
        instrument_id: InstrumentId,
        request: RequestQuotes | RequestTrades | RequestFundingRates | RequestBars,
        extra: str = "",
    ) -> Sequence[object]:
        service = self._ready(kind)
        want = _make_want(kind, instrument_id, request.params, extra)
        return await service.request(want, Window(request.start_ns, request.end_ns, request.limit))

    def _ready(self, kind: DataKind) -> MarketDataService:
        """The running service, when the manifest has this request; raise otherwise."""
        reason = self._lacks(kind, "request")
        if reason is not None:
            raise Unsupported(reason)
        return self._running()

    def _running(self) -> MarketDataService:
        if self._service is None:
            raise NotReady("not connected")
        return self._service

    def _span(self, request: _Spanned) -> tuple[int, int | None, int | None, dict[str, object] | None]:
        """The last four arguments of every response: its own time, the window asked for, the params."""
        return self.clock.timestamp_ns(), request.start_ns, request.end_ns, request.params

    async def _request_quotes(self, request: RequestQuotes) -> None:
        iid = request.instrument_id
        self._answer(
            f"request quotes {iid}",
            lambda: self._rows(DataKind.QUOTES, iid, request),
            lambda rows: QuotesResponse(
                self.client_id, iid, _each(rows, QuoteTick), request.request_id, *self._span(request)
            ),
        )

    async def _request_trades(self, request: RequestTrades) -> None:
        iid = request.instrument_id
        self._answer(
            f"request trades {iid}",
            lambda: self._rows(DataKind.TRADES, iid, request),
            lambda rows: TradesResponse(
                self.client_id, iid, _each(rows, TradeTick), request.request_id, *self._span(request)
            ),
        )

    async def _request_funding_rates(self, request: RequestFundingRates) -> None:
        iid = request.instrument_id
        self._answer(
            f"request funding_rates {iid}",
            lambda: self._rows(DataKind.FUNDING_RATE, iid, request),
            lambda rows: FundingRatesResponse(
                self.client_id, iid, _each(rows, FundingRateUpdate), request.request_id, *self._span(request)
            ),
        )

    async def _request_bars(self, request: RequestBars) -> None:
        bar_type: BarType = request.bar_type
        self._answer(
            f"request bars {bar_type}",
            lambda: self._rows(DataKind.BARS, bar_type.instrument_id, request, str(bar_type)),
            lambda rows: BarsResponse(
                self.client_id, bar_type, _each(rows, Bar), request.request_id, *self._span(request)
            ),
        )

    async def _request_book_snapshot(self, request: RequestBookSnapshot) -> None:
        iid = request.instrument_id

        async def fetch() -> Sequence[object]:
            return [await self._ready(DataKind.BOOK_SNAPSHOT).request_book(iid, request.depth)]

        def build(rows: Sequence[object]) -> BookResponse:
            book = OrderBook(iid, BookType.L2_MBP)
            for deltas in _each(rows, OrderBookDeltas):
                book.apply_deltas(deltas)
            now = self.clock.timestamp_ns()
            return BookResponse(self.client_id, iid, book, request.request_id, now, params=request.params)

        self._answer(f"request book {iid}", fetch, build)

    async def _request_book_depth(self, request: RequestBookDepth) -> None:
        iid = request.instrument_id
        self._answer(
            f"request depth {iid}",
            lambda: _unsupported("this venue has no depth history"),
            lambda rows: BookDepthResponse(
                self.client_id, iid, _each(rows, OrderBookDepth), request.request_id, *self._span(request)
            ),
        )

    async def _request_book_deltas(self, request: RequestBookDeltas) -> None:
        iid = request.instrument_id
        self._answer(
            f"request deltas {iid}",
            lambda: _unsupported("this venue has no history of book deltas"),
            lambda rows: BookDeltasResponse(
                self.client_id, iid, _each(rows, OrderBookDelta), request.request_id, *self._span(request)
            ),
        )

    async def _request_instruments(self, request: RequestInstruments) -> None:
        async def fetch() -> Sequence[object]:
            await self._provider.initialize(reload=True)
            return self._provider.list_all()

        venue = request.venue or Venue(self._manifest.venue)
        self._answer(
            "request instruments",
            fetch,
            lambda rows: InstrumentsResponse(
                self.client_id, venue, list(rows), request.request_id, *self._span(request)
            ),
        )

    async def _request_instrument(self, request: RequestInstrument) -> None:
        self.create_task(self._instrument_response(request), f"request instrument {request.instrument_id}")

    async def _instrument_response(self, request: RequestInstrument) -> None:
        iid = request.instrument_id
        try:
            await self._provider.load_ids_async([iid])
        except Exception as error:  # noqa: BLE001 - what is already held still answers; counted and logged
            self._refuse(f"request instrument {iid}", str(error))
        instrument = self._provider.find(iid)
        if instrument is None:
            # Nautilus has no empty `InstrumentResponse`: this one request cannot be answered.
            return self._refuse(f"request instrument {iid}", "the venue does not list it")
        return self._handle_response(
            InstrumentResponse(self.client_id, iid, instrument, request.request_id, *self._span(request))
        )

    async def _request_data(self, request: RequestCustomData) -> None:
        self._answer(
            f"request {request.data_type}",
            lambda: _unsupported("this venue has no custom data"),
            lambda rows: CustomDataResponse(
                self.client_id,
                request.data_type,
                self.venue,
                _each(rows, CustomData),
                request.request_id,
                *self._span(request),
            ),
        )

    async def _request_option_chain_reference_price(self, request: RequestOptionChainReferencePrice) -> None:
        now = self.clock.timestamp_ns()
        self._answer(
            f"request reference price {request.series_id}",
            lambda: _unsupported("this venue has no option chains"),
            lambda _rows: OptionChainReferencePriceResponse(
                self.client_id, request.series_id, None, request.request_id, now, request.params
            ),
        )


def _each[Row](rows: Sequence[object], kind: type[Row]) -> list[Row]:
    """The rows, all of one type; a foreign one is an error, not an omission."""
    found = [row for row in rows if isinstance(row, kind)]
    if len(found) != len(rows):
        raise TypeError(f"{len(rows) - len(found)} of {len(rows)} rows are no {kind.__name__}")
    return found


async def _unsupported(reason: str) -> Sequence[object]:
    raise Unsupported(reason)


def _make_want(
    kind: DataKind, instrument_id: InstrumentId | None, params: dict[str, object] | None, extra: str
) -> Want:
    """A want by value: the user's params as text, sorted, without the empty ones that the engine adds."""
    given = {key: str(value) for key, value in (params or {}).items() if value is not None}
    if extra:
        given["bar_type"] = extra
    return Want(kind, instrument_id, tuple(sorted(given.items())))
