"""What the exchange's events become on the stream: for each subscriber, in its session's encoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from venuekit.sim.records import (
    AccountChanged,
    BboChanged,
    BookChanged,
    Cause,
    Event,
    FillBusted,
    Filled,
    FundingChanged,
    FundingPaid,
    ModeChanged,
    OrderChanged,
    PositionChanged,
    PriceMoved,
    Reason,
    Traded,
)
from venuekit_paradex.sim import frames, render
from venuekit_paradex.sim.figures import AccountState, MarketState, PositionState, millis, text

if TYPE_CHECKING:
    from venuekit.interfaces.time import Cancel, Clock
    from venuekit.sim.door import Connection
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.records import BookView, Fill, Position
    from venuekit_paradex.sim.channels import Topic
    from venuekit_paradex.sim.desk import Caller, Desk
    from venuekit_paradex.sim.planting import Planter
    from venuekit_paradex.sim.render import Json
    from venuekit_paradex.sim.settings import Settings

ZERO = Decimal(0)


@define(eq=False)
class Session:
    """One stream: its encoding, who logged in, and what it wants."""

    connection: Connection
    version: int | None
    """SBE schema version; None for a JSON session."""
    caller: Caller | None = None
    token_serial: int = 0
    topics: dict[str, Topic] = field(factory=dict)
    cancel_on_disconnect: bool = False
    placed: set[str] = field(factory=set)
    quiet_since_ns: int = 0


@frozen
class Parcel:
    """One publication in both encodings, made when first needed; `sbe` None means JSON only."""

    json: Callable[[], Json]
    sbe: Callable[[int], bytes] | None = None


def aggregated(view: BookView, tick: Decimal | None) -> BookView:
    """The book with prices grouped by `tick`, away from the spread."""
    if tick is None:
        return view

    def grouped(
        levels: tuple[tuple[Decimal, Decimal], ...], rounding: str
    ) -> tuple[tuple[Decimal, Decimal], ...]:
        sums: dict[Decimal, Decimal] = {}
        for price, size in levels:
            key = (price / tick).to_integral_value(rounding) * tick
            sums[key] = sums.get(key, ZERO) + size
        return tuple(sums.items())

    return evolve(view, bids=grouped(view.bids, ROUND_FLOOR), asks=grouped(view.asks, ROUND_CEILING))


@define
class Feed:
    """Sessions and the publications that reach them."""

    _exchange: Exchange
    _clock: Clock
    _settings: Settings
    _desk: Desk
    _planter: Planter
    _cut: Callable[[str, Connection, str], None]
    """Told when a session passes a cut point of an order's life."""
    sessions: dict[int, Session] = field(factory=dict)
    payments: list[FundingPaid] = field(factory=list)
    busts: list[FillBusted] = field(factory=list)
    _levels: dict[tuple[str, str], set[Decimal]] = field(factory=dict)
    _last: dict[str, Decimal] = field(factory=dict)
    _volumes: dict[str, Decimal] = field(factory=dict)
    _funding: dict[str, list[FundingChanged]] = field(factory=dict)
    _revalued: set[str] = field(factory=set)
    """Markets whose price moved since the last summaries."""
    _timers: dict[str, Cancel] = field(factory=dict)
    _sent_seq: dict[tuple[int, str], int] = field(factory=dict)
    _handlers: dict[type, Callable[[object], None]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._on(PriceMoved, self._price_moved)
        self._on(BookChanged, self._book_changed)
        self._on(BboChanged, self._bbo_changed)
        self._on(Traded, self._traded)
        self._on(OrderChanged, self._order_changed)
        self._on(Filled, self._fill_happened)
        self._on(FillBusted, self._busted)
        self._on(PositionChanged, self._position_changed)
        self._on(AccountChanged, self._account_changed)
        self._on(FundingChanged, self._funding_changed)
        self._on(FundingPaid, self._funding_paid)
        self._on(ModeChanged, self._mode_changed)

    def _on[Kind](self, kind: type[Kind], act: Callable[[Kind], None]) -> None:
        def run(event: object) -> None:
            if isinstance(event, kind):
                act(event)

        self._handlers[kind] = run

    # --- events of the exchange

    def on_event(self, event: Event) -> None:
        """The event has reached every session that asked for it."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _book_changed(self, event: BookChanged) -> None:
        changes = [
            (self._change(event.market, side, price, size), side, price, size)
            for side, levels in (("BUY", event.bids), ("SELL", event.asks))
            for price, size in levels
        ]
        parcel = Parcel(
            lambda: render.book_delta(event.market, event.seq, event.ts_ns, changes),
            lambda version: frames.book_delta(version, event),
        )
        self._publish("deltas", event.market, parcel)

    def _bbo_changed(self, event: BboChanged) -> None:
        parcel = Parcel(lambda: render.bbo(event), lambda version: frames.bbo(version, event))
        self._publish("bbo", event.market, parcel)

    def _change(self, market: str, side: str, price: Decimal, size: Decimal) -> str:
        known = self._levels.setdefault((market, side), set())
        if not size:
            known.discard(price)
            return "d"
        if price in known:
            return "u"
        known.add(price)
        return "i"

    def _traded(self, event: Traded) -> None:
        trade = event.trade
        self._last[trade.market] = trade.price
        self._volumes[trade.market] = self.volume(trade.market) + trade.price * trade.quantity
        parcel = Parcel(lambda: render.trade(trade), lambda version: frames.trade(version, trade))
        self._publish("trades", trade.market, parcel)

    def _order_changed(self, event: OrderChanged) -> None:
        order = event.order
        if event.cause is Cause.CANCEL_REQUESTED:
            return  # the venue says nothing until the order is closed; the version still counts
        if event.cause is Cause.MODIFIED:
            self._desk.settle_modify(order.id, "SUCCESS")
        elif event.cause is Cause.MODIFY_REFUSED:
            self._desk.settle_modify(order.id, "REJECTED", event.text)
        if order.reason is Reason.USER and event.cause is Cause.CLOSED:
            self._pass("C8", order.account, "orders")
        info = self._desk.infos.get(order.id)
        now_ns = self._clock.wall_ns()
        parcel = Parcel(
            lambda: render.order(order, info, now_ns),
            lambda version: frames.order(version, order, info, now_ns),
        )
        self._publish("orders", order.market, parcel, order.account)

    def _fill_happened(self, event: Filled) -> None:
        for shown in self._planter.decide(event.fill):
            self._filled(shown)
        if event.fill.remaining:
            self._pass("C6", event.fill.account, "fills")

    def _pass(self, point: str, account: str, label: str) -> None:
        """Every session of the account passes the cut point."""
        for session in tuple(self.sessions.values()):
            if session.caller is not None and session.caller.account == account:
                self._cut(point, session.connection, label)

    def _filled(self, fill: Fill) -> None:
        parcel = Parcel(lambda: render.fill(fill), lambda version: frames.fill(version, fill))
        self._publish("fills", fill.market, parcel, fill.account)
        self._publish("balance_events", fill.market, Parcel(lambda: self._balance_event(fill)), fill.account)

    def _balance_event(self, fill: Fill) -> Json:
        after = self._exchange.balance(fill.account).total
        return {
            "created_at": millis(fill.ts_ns),
            "fees": text(fill.fee),
            "fill_id": fill.id,
            "funding_index": text(self._exchange.funding(fill.market)[1]),
            "market": fill.market,
            "realized_funding": "0",
            "realized_pnl": text(fill.realised_pnl),
            "settlement_asset_address": "0x0",
            "settlement_asset_balance_after": text(after),
            "settlement_asset_balance_before": text(after + fill.fee - fill.realised_pnl),
            "settlement_asset_name": fill.fee_currency,
            "settlement_asset_price": "1",
            "status": "ON_BLOCKCHAIN",
            "type": "TRANSACTION_FILL",
        }

    def _busted(self, event: FillBusted) -> None:
        self.busts.append(event)
        fill = event.fill
        self._publish("tradebusts", fill.market, Parcel(lambda: render.bust(event)), fill.account)

    def _position_changed(self, event: PositionChanged) -> None:
        self._tell_position(event.position)

    def _tell_position(self, position: Position) -> None:
        state = self.position_state(position)
        now_ns = self._clock.wall_ns()
        parcel = Parcel(
            lambda: render.position(state),
            lambda version: frames.position(version, state, now_ns),
        )
        self._publish("positions", state.market.symbol, parcel, state.position.account)

    def _price_moved(self, event: PriceMoved) -> None:
        # Every step of a price would be too much to tell: what it changed goes out with the summaries.
        self._revalued.add(event.market)

    def _tell_revalued(self) -> None:
        """Holders of a position in a market whose price moved hear what it and their account are worth."""
        moved, self._revalued = self._revalued, set()
        for account in self._exchange.accounts() if moved else ():
            held = [one for one in self._exchange.positions(account) if one.market in moved and one.quantity]
            for position in held:
                self._tell_position(position)
            if held:
                self._tell_account(self.account_state(account))

    def _account_changed(self, event: AccountChanged) -> None:
        self._tell_account(
            AccountState(account=event.account, margin=event.margin, balance=event.balance, ts_ns=event.ts_ns)
        )

    def _tell_account(self, state: AccountState) -> None:
        parcel = Parcel(lambda: render.account(state), lambda version: frames.account(version, state))
        self._publish("account", "", parcel, state.account)

    def _funding_changed(self, event: FundingChanged) -> None:
        self._funding.setdefault(event.market, []).append(event)
        self._publish("funding_data", event.market, self._funding_parcel(event))

    def _funding_parcel(self, event: FundingChanged) -> Parcel:
        hours = self._exchange.market(event.market).funding_period_hours
        return Parcel(
            lambda: render.funding(event, hours),
            lambda version: frames.funding(version, event, hours),
        )

    def _funding_paid(self, event: FundingPaid) -> None:
        self.payments.append(event)
        last = self._exchange.position(event.account, event.market).last_fill_id
        parcel = Parcel(lambda: render.funding_payment(event, last))
        self._publish("funding_payments", event.market, parcel, event.account)

    def _mode_changed(self, event: ModeChanged) -> None:
        symbols = [event.market] if event.market else list(self._exchange.markets)
        for symbol in symbols:
            self._publish("markets", symbol, _market_parcel(symbol, event.ts_ns))

    def tell_market(self, symbol: str, kind: str) -> None:
        """Listeners of the market's events hear that it was created, updated, settled or deleted."""
        self._publish("markets", symbol, _market_parcel(symbol, self._clock.wall_ns(), kind))

    # --- states

    def volume(self, market: str) -> Decimal:
        """Quote volume of a market since the start."""
        return self._volumes.get(market, ZERO)

    def funding_history(self, market: str) -> list[FundingChanged]:
        """Funding publications of a market, oldest first; at least one."""
        known = self._funding.get(market)
        if not known:
            rate, index = self._exchange.funding(market)
            ts_ns = self._clock.wall_ns()
            known = self._funding[market] = [
                FundingChanged(market=market, rate=rate, index=index, ts_ns=ts_ns)
            ]
        return known

    def market_state(self, market: str) -> MarketState:
        """What the summary of a market is made of, now."""
        facts = self._exchange.market(market)
        rate, index = self._exchange.funding(market)
        last = self._last.get(market, facts.start_price)
        return MarketState(
            market=facts,
            book=self._exchange.book(market, 1),
            mark=self._exchange.mark(market),
            index=self._exchange.index(market),
            last=last,
            volume=self.volume(market),
            total_volume=self.volume(market),
            open_interest=ZERO,
            change=last / facts.start_price - 1,
            rate=rate,
            funding_index=index,
            ts_ns=self._clock.wall_ns(),
        )

    def position_state(self, position: Position) -> PositionState:
        """A position with the prices that value it."""
        return PositionState(
            position=position,
            market=self._exchange.market(position.market),
            mark=self._exchange.mark(position.market),
            funding_index=self._exchange.funding(position.market)[1],
        )

    def account_state(self, account: str) -> AccountState:
        """Balance and risk figures of an account, now."""
        now_ns = self._clock.wall_ns()
        return AccountState(
            account=account,
            margin=self._exchange.margin(account),
            balance=self._exchange.balance(account),
            ts_ns=now_ns,
        )

    # --- sending

    def _publish(self, kind: str, market: str, parcel: Parcel, account: str | None = None) -> None:
        body: Json | None = None
        encoded: dict[int, bytes] = {}
        for session in tuple(self.sessions.values()):
            if account is not None and (session.caller is None or session.caller.account != account):
                continue
            for topic in session.topics.values():
                if topic.kind != kind or not (topic.covers(market) or not market):
                    continue
                if self.binary(session, topic) and parcel.sbe is not None:
                    version = session.version or 0
                    if version not in encoded:
                        encoded[version] = parcel.sbe(version)
                    session.connection.send(encoded[version], topic.channel)
                else:
                    body = parcel.json() if body is None else body
                    session.connection.send(envelope(topic.channel, body), topic.channel)

    def binary(self, session: Session, topic: Topic) -> bool:
        """True when this topic travels as SBE on this session."""
        return session.version is not None and (self._settings.private_sbe or not topic.private)

    def send(self, session: Session, topic: Topic, parcel: Parcel) -> None:
        """One publication to one session."""
        if self.binary(session, topic) and parcel.sbe is not None:
            session.connection.send(parcel.sbe(session.version or 0), topic.channel)
        else:
            session.connection.send(envelope(topic.channel, parcel.json()), topic.channel)

    def greet(self, session: Session, topic: Topic) -> None:
        """What a new subscription gets at once: the whole book, the best levels, the summaries."""
        markets = [topic.market] if topic.market else list(self._exchange.markets)
        if topic.book and topic.market:
            self._send_book(session, topic)
            if topic.kind == "snapshot":
                self._schedule(topic)
        elif topic.kind == "bbo":
            for market in markets:
                view = self._exchange.book(market, 1)
                self.send(session, topic, _bbo_parcel(view))
        elif topic.kind == "markets_summary":
            for market in markets:
                self.send(session, topic, _summary_parcel(self.market_state(market)))
        elif topic.kind == "funding_data":
            for market in markets:
                self.send(session, topic, self._funding_parcel(self.funding_history(market)[-1]))

    def _send_book(self, session: Session, topic: Topic) -> None:
        depth = None if topic.kind == "deltas" else 15
        view = self._exchange.book(topic.market or "")
        if topic.kind == "deltas":
            self._levels[(view.market, "BUY")] = {price for price, _ in view.bids}
            self._levels[(view.market, "SELL")] = {price for price, _ in view.asks}
        view = aggregated(view, topic.tick)
        self._sent_seq[(session.connection.id, topic.channel)] = view.seq
        parcel = Parcel(
            lambda: render.book_snapshot(view, depth),
            lambda version: frames.book_snapshot(version, view, depth),
        )
        self.send(session, topic, parcel)

    # --- publications by the clock

    def start(self) -> None:
        """Summaries are published on their interval from now on."""
        self._repeat("summaries", self._settings.summary_ms, self._summaries)

    def stop(self) -> None:
        """No timer is left."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _repeat(self, name: str, every_ms: int, act: Callable[[], bool]) -> None:
        def run() -> None:
            self._timers.pop(name, None)
            if act():
                self._repeat(name, every_ms, act)

        self._timers[name] = self._clock.call_at(self._clock.mono_ns() + every_ms * 1_000_000, run)

    def _summaries(self) -> bool:
        topics = (topic for session in self.sessions.values() for topic in session.topics.values())
        if any(topic.kind == "markets_summary" for topic in topics):
            for market in self._exchange.markets:
                self._publish("markets_summary", market, _summary_parcel(self.market_state(market)))
        self._tell_revalued()
        return True

    def _schedule(self, topic: Topic) -> None:
        if topic.channel not in self._timers:
            self._repeat(topic.channel, topic.every_ms, lambda: self._snapshots(topic.channel))

    def _snapshots(self, channel: str) -> bool:
        wanted = [session for session in self.sessions.values() if channel in session.topics]
        for session in wanted:
            topic = session.topics[channel]
            seq = self._exchange.book(topic.market or "", 1).seq
            if self._sent_seq.get((session.connection.id, channel)) != seq:
                self._send_book(session, topic)
        return bool(wanted)

    def forget(self, session: Session) -> None:
        """The session receives nothing any more."""
        self.sessions.pop(session.connection.id, None)
        for key in [key for key in self._sent_seq if key[0] == session.connection.id]:
            del self._sent_seq[key]


def _market_parcel(symbol: str, ts_ns: int, kind: str = "UPDATED") -> Parcel:
    body: Json = {
        "changed_fields": {},
        "event_type": kind,
        "symbol": symbol,
        "updated_at": millis(ts_ns),
    }
    return Parcel(lambda: body)


def _bbo_parcel(view: BookView) -> Parcel:
    return Parcel(lambda: render.book_bbo(view), lambda version: frames.book_bbo(version, view))


def _summary_parcel(state: MarketState) -> Parcel:
    return Parcel(lambda: render.summary(state), lambda version: frames.summary(version, state))


def envelope(channel: str, data: Json) -> str:
    """A JSON publication."""
    params = {"channel": channel, "data": data}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}, separators=(",", ":"))
