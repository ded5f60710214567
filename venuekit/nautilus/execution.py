"""The execution client every venue shares: hooks go to the execution service, its sink goes to the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING

from nautilus_trader.core import UUID4
from nautilus_trader.live.clients import ExecutionClient
from nautilus_trader.model import (
    AccountId,
    AccountType,
    OmsType,
    OrderFilled,
    OrderFillVoided,
    Venue,
)

from venuekit.errors import NotReady
from venuekit.nautilus.data import DISCONNECT_SECS
from venuekit.nautilus.hooks import short_lived
from venuekit.nautilus.ownership import Homecoming, mass_status_of

if TYPE_CHECKING:
    from nautilus_trader.common import Clock
    from nautilus_trader.live import (
        BatchCancelOrders,
        BatchModifyOrders,
        CancelAllOrders,
        CancelOrder,
        ClientCache,
        GenerateFillReports,
        GenerateOrderStatusReport,
        GenerateOrderStatusReports,
        GeneratePositionStatusReports,
        ModifyOrder,
        QueryAccount,
        QueryOrder,
        SubmitOrder,
        SubmitOrderList,
    )
    from nautilus_trader.model import (
        AccountBalance,
        ClientOrderId,
        ExecutionMassStatus,
        FillReport,
        InstrumentId,
        LiquiditySide,
        MarginBalance,
        Money,
        OrderStatusReport,
        PositionStatusReport,
        Price,
        Quantity,
        StrategyId,
        TradeId,
        TraderId,
        VenueOrderId,
    )

    from venuekit.host.open import OpenedVenue, SharedVenue
    from venuekit.interfaces.manifest import Manifest
    from venuekit.interfaces.model import Order
    from venuekit.nautilus.data import OnFailure
    from venuekit.nautilus.factories import VenueExecutionConfig
    from venuekit.runtime.account_reports import AccountReports
    from venuekit.runtime.commands import Commands
    from venuekit.runtime.execution import ExecutionService
    from venuekit.runtime.mass_status import MassStatusParts

BUG = "INTERNAL_ERROR"
"""The reason of a denial that a bug of ours caused; nothing went on the wire."""
NOT_CONNECTED = "NOT_CONNECTED: the venue is not connected"


class EngineSink:
    """An `ExecutionSink` that ends in the execution engine. It never raises into the service that feeds it.

    Accepted, filled, cancelled and expired go as reports with their fills, because the engine applies those
    once however often they come; what a report cannot say goes as an event.
    """

    def __init__(self, client: VenueExecutionClient) -> None:
        self._client = client
        self.announced: set[ClientOrderId] = set()
        """Orders submitted or denied since the last `clear`: how a failed hook knows what is left to say."""

    def _tell(self, what: str, say: Callable[..., None], *said: object) -> None:
        # From another thread Nautilus aborts the whole process on order events. The services never do that,
        # and if one ever does, the word goes over to the loop instead.
        if get_ident() != self._client.thread:
            self._client.count("bridge.exec.foreign_thread")
            if self._client.loop is not None:
                self._client.loop.call_soon_threadsafe(self._say, what, say, said)
            return
        self._say(what, say, said)

    def _say(self, what: str, say: Callable[..., None], said: tuple[object, ...]) -> None:
        try:
            say(*said)
        except Exception:
            # The tracker applied it already, and raising would tear the session that carried it. Counted and
            # logged: the engine's own open-order and position checks are the second road to the same truth.
            self._client.count("bridge.exec.refused_by_engine")
            self._client.log.exception("the engine refused: %s %s", what, said)

    def _follow(self, what: str, order: Order, say: Callable[..., None], *said: object) -> None:
        self._tell(what, self._client.follow, order.client_order_id, say, *said)

    def report(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> None:
        """The engine has the report queued with its fills after this."""
        self._tell("report", self._client.deliver, order, fills)

    def position(self, report: PositionStatusReport) -> None:
        """Nothing: the engine asks for positions itself, and one that overtakes its fill would look wrong."""
        self._client.count("bridge.exec.positions_seen")

    def account(
        self,
        balances: Sequence[AccountBalance],
        margins: Sequence[MarginBalance],
        reported: bool,
        ts_event: int,
    ) -> None:
        """The account's state is queued after this."""
        say = self._client.generate_account_state
        self._tell("account", say, list(balances), list(margins), reported, ts_event)

    def denied(self, order: Order, reason: str) -> None:
        """The order ends DENIED."""
        self.announced.add(order.client_order_id)
        self._tell("denied", self._client.generate_order_denied, order, reason)

    def submitted(self, order: Order) -> None:
        """The order is SUBMITTED."""
        self.announced.add(order.client_order_id)
        self._tell("submitted", self._client.generate_order_submitted, order)

    def rejected(self, order: Order, reason: str, ts_event: int, post_only: bool) -> None:
        """The order ends REJECTED."""
        say = self._client.generate_order_rejected
        self._follow("rejected", order, say, order, reason, ts_event, post_only)

    def updated(
        self,
        order: Order,
        venue_order_id: VenueOrderId,
        quantity: Quantity,
        price: Price | None,
        trigger_price: Price | None,
        ts_event: int,
    ) -> None:
        """The order has its new values; an event, because a report on a pending modify would lose them."""
        say = self._client.generate_order_updated
        said = (order, venue_order_id, quantity, price, trigger_price, None, ts_event)
        self._follow("updated", order, say, *said)

    def modify_rejected(
        self, order: Order, venue_order_id: VenueOrderId | None, reason: str, ts_event: int
    ) -> None:
        """The pending modify is over, the order as before."""
        say = self._client.generate_order_modify_rejected
        self._follow("modify rejected", order, say, order, venue_order_id, reason, ts_event)

    def cancel_rejected(
        self, order: Order, venue_order_id: VenueOrderId | None, reason: str, ts_event: int
    ) -> None:
        """The pending cancel is over, the order as before."""
        say = self._client.generate_order_cancel_rejected
        self._follow("cancel rejected", order, say, order, venue_order_id, reason, ts_event)

    def fill_voided(
        self, client_order_id: ClientOrderId, trade_id: TradeId, reason: str, ts_event: int
    ) -> None:
        """The engine takes the fill back from order and position, once it has it."""
        self._tell("fill voided", self._client.void, client_order_id, trade_id, reason, ts_event)

    def alarm(self, kind: str, text: str) -> None:
        """A line at level ERROR and a counter: a person must look."""
        self._client.count(f"alarm.{kind}")
        self._client.log.error("%s: %s", kind, text)


class VenueExecutionClient(ExecutionClient):
    """Trades through a venue's execution service; no hook waits for the venue and none raises."""

    def __init__(
        self,
        *,
        name: str,
        config: VenueExecutionConfig,
        cache: ClientCache,
        clock: Clock,
        trader_id: TraderId,
        manifest: Manifest,
        shared: SharedVenue,
        on_failure: OnFailure | None = None,
        homecoming: Homecoming | None = None,
    ) -> None:
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            trader_id=trader_id,
            venue=Venue(manifest.venue),
            account_id=AccountId(f"{manifest.venue}-{config.account}"),
            account_type=AccountType.from_str(manifest.account_type),
            oms_type=OmsType.from_str(manifest.oms_type),
        )
        self.log = logging.getLogger(f"venuekit.nautilus.execution.{name}")
        self.thread = get_ident()
        """The thread of the engine's loop, known for sure once connecting began."""
        self._name = name
        self._venue = Venue(manifest.venue)
        self._shared = shared
        self._on_failure = on_failure
        self._homecoming = homecoming or Homecoming(None, 0)
        self._opened: OpenedVenue | None = None
        self._service: ExecutionService | None = None
        self._sink = EngineSink(self)

    # -- connection ------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Account state is out and submits are allowed after this; raise the first failure."""
        self.thread = get_ident()
        try:
            self._opened = await self._shared.acquire()
            # Reports of instruments that the engine does not hold would be skipped at reconciliation.
            for symbol in self._opened.symbols:
                if self.cache.instrument(symbol.instrument_id) is None:
                    self._handle_instrument(symbol.instrument)
            self._service = self._opened.execution(self._sink, self.account_id)
            self._homecoming.main = self
            # Reports that come before the mass status are taken for changes after it: fills are made up.
            await self._service.start(mass_status_follows=True)
        except BaseException as error:
            # Also on cancellation: the node gives up on a slow connect, and then nothing may stay open.
            self.log.error("%s could not connect: %s", self._name, str(error) or type(error).__name__)
            if self._on_failure is not None:
                self._on_failure(self._name, error)
            await self._close()
            raise

    async def _disconnect(self) -> None:
        await self._close()

    async def _close(self) -> None:
        """Service stopped and venue released after this, within a bound, whatever fails."""
        self._homecoming.stop()
        service, self._service = self._service, None
        opened, self._opened = self._opened, None
        try:
            async with asyncio.timeout(DISCONNECT_SECS):
                if service is not None:
                    await service.stop()
                if opened is not None:
                    await self._shared.release()
        except Exception:
            # A raising disconnect makes the node wait and fail its whole stop: counted and logged instead.
            self.count("bridge.exec.disconnect_failed", opened)
            self.log.exception("%s did not disconnect cleanly", self._name)

    # -- what the sink needs ---------------------------------------------------------------------------------

    def count(self, name: str, opened: OpenedVenue | None = None) -> None:
        """The venue's counter is one higher after this."""
        opened = opened or self._opened
        if opened is not None:
            opened.counters.inc(name)

    def deliver(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> None:
        """The engine has the report, at once or as soon as the order's own strategy can be given it."""
        if self._homecoming.main is None:
            # What a last frame says while all is being stopped.
            self.hand(order, fills)
        else:
            self._homecoming.give(order, fills)

    def follow(self, client_order_id: ClientOrderId, say: Callable[..., None], *said: object) -> None:
        """The event is said behind every report of its order, at once unless one waits."""
        if not self._homecoming.follows(client_order_id, lambda: say(*said)):
            say(*said)

    def hand(self, order: OrderStatusReport, fills: Sequence[FillReport]) -> None:
        """The report and its fills are queued together; FILLED without its fills would be inferred."""
        self._handle_report(order, list(fills))

    def strategy_of(self, client_order_id: str) -> str | None:
        """The strategy that gave this order in an earlier run or in this one, where the journal knows it."""
        return self._service.strategy_of(client_order_id) if self._service is not None else None

    async def account_status(self, lookback_mins: int | None) -> MassStatusParts:
        """All that the account holds; raise what keeps it from being known."""
        return await self._reports().mass_status(lookback_mins)

    def alarm(self, kind: str, text: str) -> None:
        """A person must look."""
        self._sink.alarm(kind, text)

    def void(self, client_order_id: ClientOrderId, trade_id: TradeId, reason: str, ts_event: int) -> None:
        """The fill is taken back as soon as the engine has taken it up, or refused after a bound."""

        def say() -> None:
            self.void_fill(client_order_id, trade_id, reason, ts_event)

        def there() -> bool:
            return self._fill(client_order_id, trade_id) is not None

        if not self._homecoming.follows(client_order_id, say, there):
            say()

    def _fill(self, client_order_id: ClientOrderId, trade_id: TradeId) -> OrderFilled | None:
        order = self.cache.order(client_order_id)
        events = order.events() if order is not None else []
        fills = (event for event in events if isinstance(event, OrderFilled))
        return next((fill for fill in fills if fill.trade_id == trade_id), None)

    def void_fill(
        self, client_order_id: ClientOrderId, trade_id: TradeId, reason: str, ts_event: int
    ) -> None:
        """The fill is taken back in full; raise `LookupError` when the engine never had it."""
        fill = self._fill(client_order_id, trade_id)
        if fill is None:
            raise LookupError(f"no fill {trade_id} on {client_order_id}")
        self._handle_event(
            OrderFillVoided(
                trader_id=fill.trader_id,
                strategy_id=fill.strategy_id,
                instrument_id=fill.instrument_id,
                client_order_id=fill.client_order_id,
                venue_order_id=fill.venue_order_id,
                account_id=fill.account_id,
                correction_id=f"VOID-{trade_id}",
                trade_id=trade_id,
                voided_qty=fill.last_qty,
                order_side=fill.order_side,
                order_type=fill.order_type,
                last_px=fill.last_px,
                currency=fill.currency,
                liquidity_side=fill.liquidity_side,
                event_id=UUID4(),
                ts_event=ts_event,
                ts_init=self.clock.timestamp_ns(),
                reconciliation=False,
                commission_voided=fill.commission,
                position_id=fill.position_id,
                reason=reason,
            )
        )

    # -- commands --------------------------------------------------------------------------------------------

    @short_lived
    async def _submit_order(self, command: SubmitOrder) -> None:
        self._submit([command.order])

    @short_lived
    async def _submit_order_list(self, command: SubmitOrderList) -> None:
        self._submit(self._orders([init.client_order_id for init in command.order_inits]))

    def _submit(self, orders: Sequence[Order]) -> None:
        self._sink.announced.clear()
        if self._service is None:
            for order in orders:
                self._sink.denied(order, NOT_CONNECTED)
            return
        try:
            self._service.commands.submit(orders)
        except Exception:
            # A bug below us. What was not announced never left: denied. What was may have left: looked up.
            self.count("bridge.exec.submit_failed")
            self.log.exception("submit failed")
            for order in orders:
                if order.client_order_id in self._sink.announced:
                    self._look_up(order)
                else:
                    self._sink.denied(order, BUG)

    @short_lived
    async def _modify_order(self, command: ModifyOrder) -> None:
        for order in self._orders([command.client_order_id]):
            if self._service is None:
                self._sink.modify_rejected(order, order.venue_order_id, NOT_CONNECTED, self._now())
                continue
            try:
                self._service.commands.modify(order, command.quantity, command.price, command.trigger_price)
            except Exception:
                # A bug below us: whether the change left is not known, so it is looked up, not rejected.
                self.count("bridge.exec.modify_failed")
                self.log.exception("modify failed")
                self._look_up(order)

    async def _batch_modify_orders(self, command: BatchModifyOrders) -> None:
        for modify in command.modifies:
            await self._modify_order(modify)

    @short_lived
    async def _cancel_order(self, command: CancelOrder) -> None:
        orders = self._orders([command.client_order_id])
        self._cancel(orders, lambda commands: commands.cancel(orders))

    @short_lived
    async def _batch_cancel_orders(self, command: BatchCancelOrders) -> None:
        orders = self._orders([cancel.client_order_id for cancel in command.cancels])
        self._cancel(orders, lambda commands: commands.cancel(orders))

    @short_lived
    async def _cancel_all_orders(self, command: CancelAllOrders) -> None:
        iid, side = command.instrument_id, command.order_side
        covered = {
            order.client_order_id: order
            for held in (self.cache.orders_open, self.cache.orders_inflight)
            for order in held(instrument_id=iid, account_id=self.account_id, side=side)
        }
        orders: list[Order] = list(covered.values())
        self._cancel(orders, lambda commands: commands.cancel_all(iid, side, orders))

    def _cancel(self, orders: Sequence[Order], send: Callable[[Commands], None]) -> None:
        if self._service is None:
            for order in orders:
                self._sink.cancel_rejected(order, order.venue_order_id, NOT_CONNECTED, self._now())
            return
        try:
            send(self._service.commands)
        except Exception:
            # As for a modify: not known, so looked up.
            self.count("bridge.exec.cancel_failed")
            self.log.exception("cancel failed")
            for order in orders:
                self._look_up(order)

    @short_lived
    async def _query_order(self, command: QueryOrder) -> None:
        for order in self._orders([command.client_order_id]):
            self._look_up(order)

    @short_lived
    async def _query_account(self, command: QueryAccount) -> None:
        if self._service is None:
            return
        try:
            self._service.query_account()
        except Exception:
            # A query that fails changes nothing and may be asked again: counted and logged.
            self.count("bridge.exec.query_failed")
            self.log.exception("query of the account failed")

    def _look_up(self, order: Order) -> None:
        if self._service is None:
            self.log.warning("no look-up of %s: not connected", order.client_order_id)
            return
        try:
            self._service.commands.query(order)
        except Exception:
            # The engine's open-order check asks again: counted and logged.
            self.count("bridge.exec.query_failed")
            self.log.exception("look-up of %s failed", order.client_order_id)

    def _orders(self, ids: Sequence[ClientOrderId]) -> list[Order]:
        """The orders of the engine's cache; one that it names without having it is counted and logged."""
        found: list[Order] = []
        for client_order_id in ids:
            order = self.cache.order(client_order_id)
            if order is None:
                self.count("bridge.exec.order_missing")
                self.log.error("the engine named %s but does not hold it", client_order_id)
            else:
                found.append(order)
        return found

    def _now(self) -> int:
        return self.clock.timestamp_ns()

    # -- reconciliation --------------------------------------------------------------------------------------
    # Each of these raises on any failure: at start the node then refuses to start, later the engine logs it
    # and leaves orders and positions alone. An empty answer would be taken for the truth.

    def _reports(self) -> AccountReports:
        if self._service is None:
            raise NotReady("the venue is not connected")
        return self._service.reports

    async def _generate_mass_status(self, lookback_mins: int | None) -> ExecutionMassStatus:
        return mass_status_of(self, self._venue, await self._homecoming.mass_status(lookback_mins))

    @short_lived
    async def _generate_order_status_report(
        self, command: GenerateOrderStatusReport
    ) -> OrderStatusReport | None:
        client_id, venue_id = command.client_order_id, command.venue_order_id
        return await self._reports().order_report(
            client_id.value if client_id is not None else None,
            venue_id.value if venue_id is not None else None,
        )

    @short_lived
    async def _generate_order_status_reports(
        self, command: GenerateOrderStatusReports
    ) -> list[OrderStatusReport]:
        reports = await self._reports().order_reports(command.open_only, command.start)
        wanted = command.instrument_id
        return [report for report in reports if wanted is None or report.instrument_id == wanted]

    @short_lived
    async def _generate_fill_reports(self, command: GenerateFillReports) -> list[FillReport]:
        reports = await self._reports().fill_reports(command.instrument_id, command.start)
        wanted = command.venue_order_id
        return [report for report in reports if wanted is None or report.venue_order_id == wanted]

    @short_lived
    async def _generate_position_status_reports(
        self, command: GeneratePositionStatusReports
    ) -> list[PositionStatusReport]:
        reports = await self._reports().position_reports()
        wanted = command.instrument_id
        return [report for report in reports if wanted is None or report.instrument_id == wanted]

    # -- the optional hooks ----------------------------------------------------------------------------------

    def _handles_order_venue(self, venue: Venue | None) -> bool:
        return venue == self._venue

    def _provides_bulk_position_coverage(self, instrument_id: InstrumentId) -> bool:
        # `position_reports` is complete or raises: what it does not name is flat.
        return True

    def _calculate_commission(
        self, instrument: object, last_qty: Quantity, last_px: Price, liquidity_side: LiquiditySide
    ) -> Money | None:
        # Only asked for fills that the engine infers; a guessed fee would be a wrong number.
        return None

    @short_lived
    async def _register_external_order(
        self,
        client_order_id: ClientOrderId,
        venue_order_id: VenueOrderId | None,
        instrument_id: InstrumentId,
        strategy_id: StrategyId,
        ts_init: int,
    ) -> None:
        """The tracker learned it from the report that made it; a command on it brings the order itself."""
        self.count("bridge.exec.external_orders")

    async def _on_instrument(self, instrument: object) -> None:
        """The symbol index is shared with the data client and has it already."""
