"""The market-data service every venue shares: wants in, Nautilus data out through a sink."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field
from nautilus_trader.model import (
    FundingRateUpdate,
    IndexPriceUpdate,
    InstrumentId,
    InstrumentStatus,
    MarkPriceUpdate,
    OrderBookDeltas,
    QuoteTick,
    TradeTick,
)

from venuekit.core.book import Book, Held, Pace
from venuekit.core.connection import SessionState, Silence
from venuekit.core.mute import Mutes, Remedy
from venuekit.core.subscriptions import Shards, Stage, Wants
from venuekit.core.symbols import Symbols
from venuekit.errors import BadValue, DecodeError, GiveUp, NotReady, Unsupported, VenuekitError
from venuekit.interfaces.manifest import BookRule, Chain, Manifest, SnapshotFrom
from venuekit.interfaces.request import StreamTransport
from venuekit.interfaces.retry import RetryPolicy
from venuekit.interfaces.stream import (
    BOOK_KINDS,
    BookUpdate,
    CodecFactory,
    DataKind,
    Decoded,
    InstrumentChanged,
    Lost,
    Quarantined,
    Topic,
    TopicAck,
    Want,
    Window,
)
from venuekit.interfaces.telemetry import Counters
from venuekit.interfaces.time import Cancel, Clock
from venuekit.interfaces.venue import Parts
from venuekit.runtime.session import Session
from venuekit.runtime.sink import DataSink
from venuekit.runtime.tasks import TaskScope

if TYPE_CHECKING:
    from venuekit.interfaces.model import Instrument
    from venuekit.interfaces.stream import NautilusData

MAX_PAGES = 1_000
PATIENCE_NS = 10 * 365 * 86_400 * 1_000_000_000
SNAPSHOT_NS = 10_000_000_000
"""A subscribed book without a snapshot for this long is asked for again."""
PROBE_NS = 120_000_000_000
"""A connection without one message for this long is asked for something that it must answer."""

_TYPES: dict[DataKind, type] = {
    DataKind.QUOTES: QuoteTick,
    DataKind.TRADES: TradeTick,
    DataKind.MARK_PRICE: MarkPriceUpdate,
    DataKind.INDEX_PRICE: IndexPriceUpdate,
    DataKind.FUNDING_RATE: FundingRateUpdate,
    DataKind.INSTRUMENT_STATUS: InstrumentStatus,
}
_KINDS = {made: kind for kind, made in _TYPES.items()}
_ROUTED = (
    QuoteTick,
    TradeTick,
    MarkPriceUpdate,
    IndexPriceUpdate,
    FundingRateUpdate,
    InstrumentStatus,
)


@define
class _Route:
    """Who wants one type of one instrument: somebody, by this topic."""

    topic: Topic
    seen: bool = False


@define
class _Market:
    """One subscribed book."""

    book: Book
    topic: Topic
    pace: Pace
    deltas: bool = False
    depth: bool = False
    seen: bool = False
    fetching: bool = False
    waiting_ns: int = 0
    """Since when it waits for a snapshot."""
    resync_timer: Cancel | None = field(default=None)


class MarketDataService:
    """Drives public sessions and books; every published object carries the instrument's precision."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        parts: Parts,
        symbols: Symbols,
        transport: StreamTransport,
        clock: Clock,
        retry: RetryPolicy,
        counters: Counters,
        log: logging.Logger,
        sink: DataSink,
    ) -> None:
        self._manifest = manifest
        self._parts = parts
        self._symbols = symbols
        self._transport = transport
        self._clock = clock
        self._retry = retry
        self._counters = counters
        self._log = log
        self._sink = sink
        self._publish = sink.data
        self._codecs = parts.public
        self._planner = None if parts.public is None else parts.public()
        self._wants = Wants()
        public = manifest.streams.get("public")
        self._shards = Shards(public.topics_per_connection if public is not None else 0)
        self._sessions: list[Session] = []
        self._markets: dict[InstrumentId, _Market] = {}
        self._routes: dict[type, dict[InstrumentId, _Route]] = {made: {} for made in _ROUTED}
        self._mutes = Mutes()
        self._quiet: dict[int, Silence] = {}
        self._scope = TaskScope("market_data", counters, log)
        self._look_timer: Cancel | None = None

    # --- life

    async def start(self) -> None:
        """Every instrument is published and the first session is live; raise the reason when not."""
        for instrument in await self._parts.instruments.load(None):
            self._sink.instrument(instrument)
        if self._codecs is not None:
            await self._session(0, self._codecs).start()
            self._look()

    async def stop(self) -> None:
        """No task, timer or socket of this service is left."""
        if self._look_timer is not None:
            self._look_timer.cancel()
        for market in self._markets.values():
            if market.resync_timer is not None:
                market.resync_timer.cancel()
        await self._scope.close()
        for session in self._sessions:
            await session.stop()

    @property
    def sessions(self) -> Sequence[Session]:
        """The public sessions, one per shard."""
        return tuple(self._sessions)

    def _session(self, shard: int, codecs: CodecFactory) -> Session:
        """The session of a shard; a new one is started in the background unless it is the first."""
        while len(self._sessions) <= shard:
            index = len(self._sessions)
            session = Session(
                name=f"public.{index}",
                spec=self._manifest.streams["public"],
                transport=self._transport,
                codecs=codecs,
                clock=self._clock,
                retry=self._retry,
                counters=self._counters,
                log=self._log,
                on_decoded=self._on_decoded,
                on_state=partial(self._on_state, index),
                rests=True,
            )
            self._sessions.append(session)
            if index:
                self._scope.start(f"shard {index}", self._start_shard(session))
        return self._sessions[shard]

    async def _start_shard(self, session: Session) -> None:
        """A further connection is live; it is tried for as long as it takes, unless it cannot work at all."""
        try:
            await session.start(within_ns=PATIENCE_NS)
        except VenuekitError as error:
            self._counters.inc("session.shard_failed")
            self._log.error(
                "stream %s cannot work, its topics bring nothing: %s", session.name, error.message
            )

    # --- wants

    def subscribe(self, want: Want) -> None:
        """`want` is counted and its topic on its way; raise `Unsupported` or `BadValue` when it cannot be."""
        if self._codecs is None:
            raise Unsupported(f"{self._manifest.venue} streams no data")
        topic = self._topic(want)
        new = want not in self._wants
        needed = self._wants.add(want, topic)
        if new and want.instrument_id is not None:
            self._route(want, want.instrument_id, topic)
        if needed:
            self._session(self._shards.place(topic), self._codecs).add(topic)

    def unsubscribe(self, want: Want) -> None:
        """`want` is counted once less; the last one of a topic unsubscribes it."""
        topic = self._wants.remove(want)
        if want not in self._wants and want.instrument_id is not None:
            self._unroute(want, want.instrument_id)
        if topic is not None:
            shard = self._shards.release(topic)
            if shard is not None:
                self._sessions[shard].drop(topic)

    def _topic(self, want: Want) -> Topic:
        feature = self._manifest.data.get(want.kind)
        if feature is None or not feature.subscribe:
            raise Unsupported(f"{self._manifest.venue} has no {want.kind.value} to subscribe to")
        if want.instrument_id is not None and self._symbols.by_id(want.instrument_id) is None:
            raise BadValue(f"unknown instrument {want.instrument_id}")
        assert self._planner is not None
        topic = self._planner.topic(want)
        if isinstance(topic, Unsupported):
            raise topic
        return topic

    def _route(self, want: Want, instrument_id: InstrumentId, topic: Topic) -> None:
        if want.kind not in BOOK_KINDS:
            if want.kind in _TYPES:
                self._routes[_TYPES[want.kind]][self._own_id(instrument_id)] = _Route(topic)
            return
        market = self._markets.get(instrument_id)
        if market is None:
            market = self._markets[self._own_id(instrument_id)] = self._new_market(instrument_id, topic)
        if want.kind is DataKind.BOOK_DEPTH10:
            market.depth = True
            if not market.book.keep():
                # The mirror can only start with a snapshot, and the one of this connection has passed.
                self._broke(market, "depth was asked for")
        elif not market.deltas:
            market.deltas = True
            snapshot = market.book.snapshot(self._clock.wall_ns())
            if snapshot is not None:
                self._publish(snapshot)

    def _own_id(self, instrument_id: InstrumentId) -> InstrumentId:
        """The object that decoders put into data: a look-up by the same object skips comparing two."""
        symbol = self._symbols.by_id(instrument_id)
        return instrument_id if symbol is None else symbol.instrument_id

    def _unroute(self, want: Want, instrument_id: InstrumentId) -> None:
        if want.kind not in BOOK_KINDS:
            if want.kind in _TYPES:
                self._routes[_TYPES[want.kind]].pop(instrument_id, None)
            return
        market = self._markets.get(instrument_id)
        if market is None:
            return
        left = {other.kind for other in self._wants.of(market.topic) if other.instrument_id == instrument_id}
        market.deltas = bool(left - {DataKind.BOOK_DEPTH10})
        market.depth = DataKind.BOOK_DEPTH10 in left
        if not market.depth:
            market.book.forget()
        if not left:
            if market.resync_timer is not None:
                market.resync_timer.cancel()
            del self._markets[instrument_id]

    def _new_market(self, instrument_id: InstrumentId, topic: Topic) -> _Market:
        return _Market(self._new_book(instrument_id), topic, Pace(), waiting_ns=self._clock.mono_ns())

    def _new_book(self, instrument_id: InstrumentId) -> Book:
        symbol = self._symbols.by_id(instrument_id)
        assert symbol is not None
        return Book(instrument_id, self._rule, symbol.price_precision, symbol.size_precision)

    @property
    def _from_history(self) -> bool:
        return self._manifest.book.snapshot is SnapshotFrom.REST

    @property
    def _rule(self) -> BookRule:
        return self._manifest.book

    # --- what comes

    def _on_decoded(self, decoded: Sequence[Decoded], epoch: int) -> None:
        # Books and ticks are handled in place: this runs for every frame, and calls cost.
        for item in decoded:
            if isinstance(item, BookUpdate):
                market = self._markets.get(item.instrument_id)
                if market is None:
                    self._counters.inc("data.unwanted")
                    continue
                if not market.seen:
                    market.seen = self._session_of(market.topic).seen(market.topic)
                made = market.book.apply(item)
                if type(made) is not OrderBookDeltas:
                    self._held(market, made)
                elif market.depth:
                    self._deliver_both(market, made, item.ts_init)
                else:
                    try:
                        self._publish(made)
                    except Exception:
                        self._missed(market)
                        raise
            elif isinstance(item, _ROUTED):
                route = self._routes[type(item)].get(item.instrument_id)
                if route is None:
                    self._counters.inc("data.unwanted")
                    continue
                if not route.seen:
                    route.seen = self._session_of(route.topic).seen(route.topic)
                self._publish(item)
            else:
                self._on_news(item)

    def _on_news(self, item: Decoded) -> None:
        """What is no data: doubts, losses and changes; everything else belongs to the session."""
        if isinstance(item, Quarantined):
            self._on_quarantined(item)
        elif isinstance(item, Lost):
            self._doubt(item.channels, item.why)
        elif isinstance(item, TopicAck):
            if not item.subscribed and not item.error:
                # Also where nobody asked for it: until its next snapshot the book would only grow old.
                self._unlearn(item.channels, "its topic was left")
        elif isinstance(item, InstrumentChanged):
            self._scope.start(f"reload {item.symbol}", self._reload(item.symbol))

    def _deliver_both(self, market: _Market, deltas: OrderBookDeltas, ts_init: int) -> None:
        """The depth, and the change itself when it is wanted too."""
        try:
            if market.deltas:
                self._publish(deltas)
            depth = market.book.depth(ts_init)
            if depth is not None:
                self._publish(depth)
        except Exception:
            self._missed(market)
            raise

    def _missed(self, market: _Market) -> None:
        """The sequence has moved and the receiver has not: only a snapshot makes both equal."""
        self._broke(market, "its receiver raised")

    def _held(self, market: _Market, held: Held) -> None:
        self._counters.inc(held.value)
        if held is Held.BROKEN:
            self._ask_again(market, market.book.why)
        elif held is Held.EARLY and self._from_history and market.resync_timer is None:
            self._fetch_soon(market)

    def _broke(self, market: _Market, why: str) -> None:
        """Nothing of this market is published until its new snapshot; only its topic is asked for again."""
        market.book.break_(why)
        self._ask_again(market, why)

    def _ask_again(self, market: _Market, why: str) -> None:
        if market.resync_timer is not None:
            return
        now = self._clock.mono_ns()
        wait = market.pace.apply_broken(now)
        market.waiting_ns = now + wait
        self._log.info("book %s: %s; asking for a snapshot", market.book.instrument_id, why)
        if wait:
            market.resync_timer = self._clock.call_at(now + wait, lambda: self._resync(market))
        else:
            self._resync(market)

    def _resync(self, market: _Market) -> None:
        market.resync_timer = None
        if market.book.whole or not self._wants.of(market.topic):
            return
        if self._from_history:
            # Else its first frame asks: a snapshot of before it would lack what came between.
            if self._session_of(market.topic).stage(market.topic) is Stage.LIVE:
                self._fetch_soon(market)
        else:
            market.seen = False
            self._session_of(market.topic).resync(market.topic)

    def _fetch_soon(self, market: _Market) -> None:
        if not market.fetching:
            market.fetching = True
            self._scope.start(f"book {market.book.instrument_id}", self._fetch(market))

    async def _fetch(self, market: _Market) -> None:
        """The whole book is asked for apart; frames that came meanwhile follow it."""
        history, book, breaks = self._parts.history, market.book, market.book.breaks
        try:
            if history is None:
                raise Unsupported(f"{self._manifest.venue} says snapshots come from history and has none")
            snapshot = await history.book(book.instrument_id)
            if market.book is not book or book.breaks != breaks:
                raise NotReady("it broke while its snapshot was read")
            joined = book.join(snapshot)
        except VenuekitError as error:
            self._counters.inc("book.snapshot_failed")
            joined, book.why = Held.BROKEN, f"no snapshot: {error.message}"
        finally:
            market.fetching = False
        if self._markets.get(book.instrument_id) is not market:
            return
        if isinstance(joined, Held):
            self._counters.inc(Held.BROKEN.value)
            self._ask_again(market, book.why)
            return
        for deltas in joined:
            if market.deltas:
                self._publish(deltas)
        depth = book.depth(self._clock.wall_ns()) if market.depth else None
        if depth is not None:
            self._publish(depth)

    def _on_quarantined(self, item: Quarantined) -> None:
        """The session counted and logged it; a book whose channel is in doubt starts afresh."""
        if item.channel is not None:
            self._doubt((item.channel,), item.why)
        elif self._rule.chain is Chain.NONE:
            # Without a sequence a missing frame would never be noticed, and any book may be the one.
            self._doubt(None, item.why)

    def _doubt(self, channels: Collection[str] | None, why: str) -> None:
        for market in list(self._markets.values()):
            if channels is None or market.topic.channel in channels:
                self._counters.inc(Held.BROKEN.value)
                self._broke(market, why)

    def _unlearn(self, channels: Collection[str], why: str) -> None:
        """The books of these channels wait for a snapshot, which is on its way."""
        for market in self._markets.values():
            if market.topic.channel in channels:
                market.book.break_(why)
                market.seen = False
                market.waiting_ns = self._clock.mono_ns()

    def _on_state(self, shard: int, state: SessionState, reason: str) -> None:
        if state is SessionState.LIVE:
            return
        for market in self._markets.values():
            if self._shards.place(market.topic) == shard:
                market.book.break_(reason)
                market.seen = False
                if market.resync_timer is not None:
                    market.resync_timer.cancel()
                    market.resync_timer = None
                market.waiting_ns = self._clock.mono_ns()
        for routes in self._routes.values():
            for route in routes.values():
                if self._shards.place(route.topic) == shard:
                    route.seen = False

    def _look(self) -> None:
        """Books whose snapshot is overdue are asked for again: acknowledged but mute is no book."""
        now = self._clock.mono_ns()
        for market in self._markets.values():
            session = self._session_of(market.topic)
            live = session.state is SessionState.LIVE
            if session.stage(market.topic) is Stage.REFUSED:
                # Nothing of it will come before the session asks again.
                market.waiting_ns = now
            overdue = not market.book.whole and now - market.waiting_ns >= SNAPSHOT_NS
            if live and overdue and not market.fetching:
                self._counters.inc("book.snapshot_overdue")
                self._broke(market, "its snapshot is overdue")
        self._find_mute(now)
        self._probe(now)
        self._look_timer = self._clock.call_at(now + 1_000_000_000, self._look)

    def _find_mute(self, now: int) -> None:
        """A topic that must tick and does not is subscribed anew; if that brings nothing, its connection is.

        `seen` is taken back for that: the next frame sets it again.
        """
        fresh: dict[Topic, tuple[int, bool]] = {}
        for bound_ms, listener in self._listeners():
            least_ms, came = fresh.get(listener.topic, (bound_ms, False))
            fresh[listener.topic] = (min(bound_ms, least_ms), came or listener.seen)
            listener.seen = False
        self._mutes.keep({topic.channel for topic in fresh})
        for topic, (bound_ms, came) in fresh.items():
            session = self._session_of(topic)
            stage = session.stage(topic)
            if session.state is not SessionState.LIVE or stage is Stage.REFUSED:
                self._mutes.apply_down(topic.channel, now)
            if session.state is not SessionState.LIVE or stage is not Stage.LIVE:
                # Asked anew and not confirmed yet, it is as mute as before.
                continue
            remedy = self._mutes.apply(topic.channel, bound_ms * 1_000_000, fresh=came, now_ns=now)
            if remedy is not None:
                self._cure(session, topic, remedy)

    def _probe(self, now: int) -> None:
        """A connection whose topics may all be silent, and are, is asked for one of them anew.

        The acknowledgement proves that it lives; without one the session ends it.
        """
        for shard, session in enumerate(self._sessions):
            epoch, heard = session.heard
            quiet = self._quiet.setdefault(shard, Silence(PROBE_NS))
            if session.state is not SessionState.LIVE or not quiet.apply((epoch << 48) + heard, now):
                continue
            routes = [route for routes in self._routes.values() for route in routes.values()]
            for route in routes:
                if self._shards.place(route.topic) == shard and session.stage(route.topic) is Stage.LIVE:
                    self._counters.inc("topics.probed")
                    self._quiet[shard] = Silence(PROBE_NS)
                    session.resync(route.topic)
                    break

    def _listeners(self) -> Iterator[tuple[int, _Market | _Route]]:
        """Whoever waits for something that must tick, and how long it may be silent."""
        silent = {
            kind: one.silent_ms for kind, one in self._manifest.data.items() if one.silent_ms is not None
        }
        books = [silent[kind] for kind in BOOK_KINDS if kind in silent]
        if books:
            yield from ((min(books), market) for market in self._markets.values())
        for made, routes in self._routes.items():
            if (bound_ms := silent.get(_KINDS[made])) is not None:
                yield from ((bound_ms, route) for route in routes.values())

    def _cure(self, session: Session, topic: Topic, remedy: Remedy) -> None:
        self._counters.inc(remedy.value)
        what = remedy.name.lower()
        self._log.info("stream %s: topic %s brings nothing: %s", session.name, topic.channel, what)
        if remedy is Remedy.RECONNECT:
            session.reconnect(f"topic {topic.channel} is mute")
            return
        self._unlearn((topic.channel,), "its topic is mute")
        session.resync(topic)

    def _session_of(self, topic: Topic) -> Session:
        return self._sessions[self._shards.place(topic)]

    async def _reload(self, raw: str) -> None:
        """The changed instrument is published; its book starts afresh when its grid changed."""
        known = self._symbols.by_raw(raw)
        only = None if known is None else [known.instrument_id]
        try:
            loaded = await self._parts.instruments.load(only)
        except VenuekitError as error:
            self._counters.inc("instruments.reload_failed")
            self._log.warning("instrument %s changed and could not be loaded: %s", raw, error.message)
            return
        for instrument in loaded:
            self._sink.instrument(instrument)
            market = self._markets.get(instrument.id)
            if market is None or known is None:
                continue
            places = (instrument.price_precision, instrument.size_precision)
            if places != (known.price_precision, known.size_precision):
                market.book = self._new_book(instrument.id)
                if market.depth:
                    market.book.keep()
                self._broke(market, "its precision changed")

    # --- requests

    async def request_instruments(self, only: Collection[InstrumentId] | None) -> Sequence[Instrument]:
        """The instruments as the venue describes them now; raise `VenuekitError` on failure."""
        return await self._parts.instruments.load(only)

    async def request(self, want: Want, window: Window) -> Sequence[NautilusData]:
        """Every row within `window`, oldest first, each once; raise `VenuekitError` on failure."""
        feature = self._manifest.data.get(want.kind)
        if feature is None or not feature.request or self._parts.history is None:
            raise Unsupported(f"{self._manifest.venue} has no history of {want.kind.value}")
        rows: dict[NautilusData, None] = {}
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await self._parts.history.page(want, window, cursor)
            for doubt in page.quarantined:
                self._counters.inc(f"quarantined.{doubt.kind}")
            rows.update((row, None) for row in page.rows if _within(row.ts_event, window))
            if page.next is None or (window.limit is not None and len(rows) >= window.limit):
                break
            if page.next in seen:
                raise GiveUp(f"history of {want.kind.value} repeats the page {page.next!r}")
            cursor = page.next
            seen.add(page.next)
        else:
            raise GiveUp(f"history of {want.kind.value} has more than {MAX_PAGES} pages")
        ordered = sorted(rows, key=lambda row: row.ts_event)
        return ordered if window.limit is None else ordered[-window.limit :]

    async def request_book(self, instrument_id: InstrumentId, depth: int | None) -> OrderBookDeltas:
        """The book as one snapshot, `depth` levels a side at most; raise `VenuekitError` on failure."""
        market = self._markets.get(instrument_id)
        kept = market.book.snapshot(self._clock.wall_ns(), depth) if market is not None else None
        if kept is not None:
            return kept
        if self._parts.history is None:
            raise NotReady(f"no whole book of {instrument_id} is at hand")
        symbol = self._symbols.by_id(instrument_id)
        if symbol is None:
            raise BadValue(f"unknown instrument {instrument_id}")
        book = self._new_book(instrument_id)
        book.keep()
        update = await self._parts.history.book(instrument_id)
        if isinstance(book.apply(update), Held):
            raise DecodeError(f"the book of {instrument_id}: {book.why}", kind="book")
        whole = book.snapshot(update.ts_init, depth)
        assert whole is not None
        return whole


def _within(ts_event: int, window: Window) -> bool:
    if window.start_ns is not None and ts_event < window.start_ns:
        return False
    return window.end_ns is None or ts_event < window.end_ns
