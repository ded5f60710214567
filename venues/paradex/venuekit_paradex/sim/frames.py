"""SBE frames of the exchange's records, for a session of a given schema version."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from venuekit_paradex.sim import encode as sbe
from venuekit_paradex.sim.figures import (
    FILL_TYPES,
    ZERO,
    flags,
    instruction,
    liquidity,
    micros,
    order_type,
    remaining,
    rounded,
    sequence,
    status,
)
from venuekit_paradex.sim.refusals import cancel_reason

if TYPE_CHECKING:
    from venuekit.sim.records import BboChanged, BookChanged, BookView, Fill, FundingChanged, Order, Trade
    from venuekit_paradex.sim.figures import AccountState, MarketState, PositionState, RequestInfo

SNAPSHOT, DELTA = 0, 1


def trade(version: int, item: Trade) -> bytes:
    """Template 1; the integer id is the low 64 bits of the full one."""
    low = int(item.id) & (2**64 - 1)
    return sbe.encode(
        sbe.TRADE,
        version,
        {
            "ts": micros(item.ts_ns),
            "seq": item.book_seq,
            "tradeId": low - 2**64 if low >= 2**63 else low,
            "side": item.side.value,
            "price": item.price,
            "size": item.quantity,
            "createdAt": micros(item.ts_ns),
            "tradeType": "FILL",
            "market": item.market,
            "tradeIdStr": item.id,
        },
    )


def bbo(version: int, event: BboChanged) -> bytes:
    """Template 2; an empty side is null."""
    return _best(version, event.market, event.seq, event.bid, event.ask, event.ts_ns)


def book_bbo(version: int, view: BookView) -> bytes:
    """Template 2 of a whole book."""
    bid = view.bids[0] if view.bids else None
    return _best(version, view.market, view.seq, bid, view.asks[0] if view.asks else None, view.ts_ns)


def _best(
    version: int, market: str, seq: int, bid: sbe.Level | None, ask: sbe.Level | None, ts_ns: int
) -> bytes:
    return sbe.encode(
        sbe.BBO,
        version,
        {
            "ts": micros(ts_ns),
            "seq": seq,
            "bidPrice": bid[0] if bid else None,
            "bidSize": bid[1] if bid else None,
            "askPrice": ask[0] if ask else None,
            "askSize": ask[1] if ask else None,
            "market": market,
        },
    )


def book_snapshot(version: int, view: BookView, depth: int | None) -> bytes:
    """Template 3, a whole book or its top; the best-level fields are null, as captured from the venue."""
    values: dict[str, sbe.Value] = {
        "ts": micros(view.ts_ns),
        "seq": view.seq,
        "pkgType": SNAPSHOT,
        "market": view.market,
    }
    return sbe.encode(sbe.BOOK, version, values, view.bids[:depth], view.asks[:depth])


def book_delta(version: int, event: BookChanged) -> bytes:
    """Template 3, changed levels; size 0 removes."""
    values: dict[str, sbe.Value] = {
        "ts": micros(event.ts_ns),
        "seq": event.seq,
        "pkgType": DELTA,
        "market": event.market,
    }
    return sbe.encode(sbe.BOOK, version, values, event.bids, event.asks)


def summary(version: int, state: MarketState) -> bytes:
    """Template 4."""
    view = state.book
    bid = view.bids[0] if view.bids else None
    ask = view.asks[0] if view.asks else None
    return sbe.encode(
        sbe.SUMMARY,
        version,
        {
            "ts": micros(state.ts_ns),
            "seq": 0,
            "markPrice": rounded(state.mark),
            "indexPrice": rounded(state.index),
            "lastPrice": state.last,
            "volumeUsd24h": rounded(state.volume),
            "openInterest": rounded(state.open_interest),
            "fundingRate": rounded(state.rate),
            "bid": bid[0] if bid else None,
            "ask": ask[0] if ask else None,
            "totalVolume": rounded(state.total_volume),
            "priceChangeRate24h": rounded(state.change),
            "futureFundingRate": rounded(state.rate),
            "externalFairPrice": rounded(state.index),
            "bidSize": bid[1] if bid else None,
            "askSize": ask[1] if ask else None,
            "fundingRatePrecise": state.rate.quantize(Decimal("1e-12")),
            "market": state.market.symbol,
        },
    )


def funding(version: int, event: FundingChanged, period_hours: int) -> bytes:
    """Template 5."""
    return sbe.encode(
        sbe.FUNDING,
        version,
        {
            "ts": micros(event.ts_ns),
            "seq": 0,
            "fundingRate": rounded(event.rate),
            "fundingIndex": rounded(event.index),
            "createdAt": micros(event.ts_ns),
            "fundingPremium": rounded(event.rate),
            "fundingRate8h": rounded(event.rate * 8 / period_hours),
            "fundingPeriodHours": period_hours,
            "impactPremiumRate": rounded(event.rate),
            "market": event.market,
        },
    )


def order(version: int, item: Order, info: RequestInfo | None, published_ns: int) -> bytes:
    """Template 20; modify results exist from version 2 on."""
    average = item.average_price
    return sbe.encode(
        sbe.ORDER,
        version,
        {
            "ts": micros(published_ns),
            "seq": sequence(item.updated_ns, item.version),
            "status": status(item),
            "side": item.side.value,
            "orderType": order_type(item),
            "timeInForce": instruction(item),
            "price": item.price,
            "triggerPrice": item.trigger_price,
            "size": item.quantity,
            "sizeOpen": remaining(item),
            "avgFillPrice": None if average is None else rounded(average),
            "createdAt": micros(item.created_ns),
            "updatedAt": micros(item.updated_ns),
            "account": item.account,
            "receivedAt": micros(item.created_ns),
            "publishedAt": micros(published_ns),
            "stp": item.request.stp.value,
            "flags": flags(item),
            "requestStatus": info.status if info else "",
            "requestType": info.request_type if info else "",
            "orderId": item.id,
            "clientOrderId": item.client_id,
            "market": item.market,
            "cancelReason": cancel_reason(item.reason, item.reason_text),
            "requestId": info.id if info else "",
            "requestMessage": info.message if info else "",
        },
    )


def fill(version: int, item: Fill) -> bytes:
    """Template 21; the fee's currency exists from version 2 on."""
    return sbe.encode(
        sbe.FILL,
        version,
        {
            "ts": micros(item.ts_ns),
            "seq": micros(item.ts_ns),
            "fillType": FILL_TYPES[item.kind],
            "side": item.side.value,
            "liquidity": liquidity(item),
            "price": item.price,
            "size": item.quantity,
            "fee": rounded(item.fee),
            "realizedPnl": rounded(item.realised_pnl),
            "createdAt": micros(item.ts_ns),
            "account": item.account,
            "underlyingPrice": rounded(item.index_price),
            "realizedFunding": ZERO,
            "flags": (),
            "orderbookSeqNo": item.book_seq,
            "fillId": item.id,
            "orderId": item.order_id,
            "clientOrderId": item.client_id,
            "tradeId": item.trade_id,
            "market": item.market,
            "feeCurrency": item.fee_currency,
        },
    )


def position(version: int, state: PositionState, published_ns: int) -> bytes:
    """Template 22; the size is absolute, the side says which way."""
    item = state.position
    entry = rounded(item.entry_price or ZERO)
    return sbe.encode(
        sbe.POSITION,
        version,
        {
            "ts": micros(published_ns),
            "seq": sequence(item.updated_ns, item.version),
            "side": state.side,
            "size": abs(item.quantity),
            "avgEntryPrice": entry,
            "unrealizedPnl": rounded(item.unrealised_pnl(state.mark)),
            "realizedPnl": rounded(item.realised_pnl),
            "markPrice": rounded(state.mark),
            "leverage": state.market.leverage,
            "updatedAt": micros(item.updated_ns),
            "account": item.account,
            "avgEntryPriceUsd": entry,
            "cost": rounded(item.cost),
            "costUsd": rounded(item.cost),
            "cachedFundingIndex": rounded(state.funding_index),
            "unrealizedFundingPnl": ZERO,
            "status": "OPEN" if state.open else "CLOSED",
            "market": item.market,
            "lastFillId": item.last_fill_id,
        },
    )


def account(version: int, state: AccountState) -> bytes:
    """Template 23."""
    margin = state.margin
    return sbe.encode(
        sbe.ACCOUNT,
        version,
        {
            "ts": micros(state.ts_ns),
            "seq": state.ts_ns,
            "totalCollateral": rounded(margin.cash),
            "freeCollateral": rounded(margin.free_collateral),
            "initialMarginReq": rounded(margin.initial),
            "maintenanceMarginReq": rounded(margin.maintenance),
            "accountValue": rounded(margin.equity),
            "unrealizedPnl": rounded(margin.equity - margin.cash),
            "updatedAt": micros(state.ts_ns),
            "account": state.account,
            "marginCushion": rounded(margin.equity - margin.maintenance),
            "status": "ACTIVE",
            "lastSeenNotification": 0,
            "settlementAsset": state.balance.currency,
        },
    )
