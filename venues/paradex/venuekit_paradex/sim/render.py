"""JSON objects of the REST and WebSocket API: exactly the published fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from venuekit_paradex.sim.figures import (
    FILL_TYPES,
    flags,
    instruction,
    liquidity,
    millis,
    order_type,
    remaining,
    sequence,
    status,
    tag,
    text,
)
from venuekit_paradex.sim.refusals import cancel_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from venuekit.sim.market import Market
    from venuekit.sim.records import (
        BboChanged,
        BookView,
        Fill,
        FillBusted,
        FundingChanged,
        FundingPaid,
        Order,
        Trade,
    )
    from venuekit_paradex.sim.figures import AccountState, MarketState, PositionState, RequestInfo

type Json = dict[str, object]


def order(item: Order, info: RequestInfo | None, published_ns: int) -> Json:
    """An order (`OrderResp`); `request_info` is present once a modify was asked for."""
    body: Json = {
        "account": item.account,
        "avg_fill_price": text(item.average_price),
        "cancel_reason": cancel_reason(item.reason, item.reason_text),
        "client_id": item.client_id,
        "created_at": millis(item.created_ns),
        "flags": flags(item),
        "id": item.id,
        "instruction": instruction(item),
        "last_updated_at": millis(item.updated_ns),
        "market": item.market,
        "price": text(item.price) or "0",
        "published_at": millis(published_ns),
        "received_at": millis(item.created_ns),
        "remaining_size": text(remaining(item)),
        "seq_no": sequence(item.updated_ns, item.version),
        "side": item.side.value,
        "size": text(item.quantity),
        "status": status(item),
        "stp": item.request.stp.value,
        "timestamp": int(tag(item, "timestamp_ms") or 0),
        "trigger_price": text(item.trigger_price) or "0",
        "type": order_type(item),
    }
    if info is not None:
        body["request_info"] = {
            "id": info.id,
            "message": info.message,
            "request_type": info.request_type,
            "status": info.status,
        }
    return body


def fill(item: Fill) -> Json:
    """A fill (`FillResult`)."""
    return {
        "account": item.account,
        "client_id": item.client_id,
        "created_at": millis(item.ts_ns),
        "fee": text(item.fee),
        "fee_currency": item.fee_currency,
        "fill_type": FILL_TYPES[item.kind],
        "flags": [],
        "id": item.id,
        "liquidity": liquidity(item),
        "market": item.market,
        "order_id": item.order_id,
        "orderbook_seq_no": item.book_seq,
        "price": text(item.price),
        "realized_funding": "0",
        "realized_pnl": text(item.realised_pnl),
        "remaining_size": text(item.remaining),
        "side": item.side.value,
        "size": text(item.quantity),
        "underlying_price": text(item.index_price),
    }


def position(state: PositionState) -> Json:
    """A position (`PositionResp`); its size is signed, short negative."""
    item = state.position
    return {
        "account": item.account,
        "average_entry_price": text(item.entry_price) or "0",
        "average_entry_price_usd": text(item.entry_price) or "0",
        "average_exit_price": "0",
        "cached_funding_index": text(state.funding_index),
        "closed_at": 0 if state.open else millis(item.updated_ns),
        "cost": text(item.cost),
        "cost_usd": text(item.cost),
        "created_at": millis(item.opened_ns),
        "id": f"{item.account}-{item.market}",
        "last_fill_id": item.last_fill_id,
        "last_updated_at": millis(item.updated_ns),
        "leverage": text(state.market.leverage),
        "liquidation_price": "",
        "market": item.market,
        "realized_positional_funding_pnl": text(item.funding),
        "realized_positional_pnl": text(item.realised_pnl),
        "seq_no": sequence(item.updated_ns, item.version),
        "side": state.side,
        "size": text(item.quantity),
        "status": "OPEN" if state.open else "CLOSED",
        "unrealized_funding_pnl": "0",
        "unrealized_pnl": text(item.unrealised_pnl(state.mark)),
    }


def account(state: AccountState) -> Json:
    """An account summary (`AccountSummaryResponse`)."""
    margin = state.margin
    return {
        "account": state.account,
        "account_value": text(margin.equity),
        "free_collateral": text(margin.free_collateral),
        "initial_margin_requirement": text(margin.initial),
        "last_seen_notification": 0,
        "maintenance_margin_requirement": text(margin.maintenance),
        "margin_cushion": text(margin.equity - margin.maintenance),
        "seq_no": state.ts_ns,
        "settlement_asset": state.balance.currency,
        "status": "ACTIVE",
        "total_collateral": text(margin.cash),
        "updated_at": millis(state.ts_ns),
    }


def balance(state: AccountState) -> Json:
    """The token balance (`BalanceResp`) of an account."""
    total = text(state.balance.total)
    return {
        "average_entry_price": "1",
        "average_entry_price_usd": "1",
        "cost": total,
        "cost_usd": total,
        "last_updated_at": millis(state.ts_ns),
        "size": total,
        "token": state.balance.currency,
    }


def trade(item: Trade) -> Json:
    """A public trade (`TradeResult`); `side` is the taker's."""
    return {
        "created_at": millis(item.ts_ns),
        "id": item.id,
        "market": item.market,
        "price": text(item.price),
        "side": item.side.value,
        "size": text(item.quantity),
        "trade_type": "FILL",
    }


def best(market: str, seq: int, bid: Level, ask: Level, ts_ns: int) -> Json:
    """Best bid and offer (`BBOResp`); an empty side is empty text."""
    return {
        "ask": text(ask[0] if ask else None),
        "ask_size": text(ask[1] if ask else None),
        "bid": text(bid[0] if bid else None),
        "bid_size": text(bid[1] if bid else None),
        "last_updated_at": millis(ts_ns),
        "market": market,
        "seq_no": seq,
    }


type Level = tuple[Decimal, Decimal] | None


def bbo(event: BboChanged) -> Json:
    """Best bid and offer of a change."""
    return best(event.market, event.seq, event.bid, event.ask, event.ts_ns)


def book_bbo(view: BookView) -> Json:
    """Best bid and offer of a whole book."""
    bid = view.bids[0] if view.bids else None
    return best(view.market, view.seq, bid, view.asks[0] if view.asks else None, view.ts_ns)


def _pairs(levels: Sequence[tuple[Decimal, Decimal]], depth: int) -> list[list[str]]:
    return [[text(price), text(size)] for price, size in levels[:depth]]


def book(view: BookView, depth: int) -> Json:
    """A book over REST (`AskBidArray`)."""
    bids, asks = _pairs(view.bids, depth), _pairs(view.asks, depth)
    best_bid, best_ask = (bids[0] if bids else []), (asks[0] if asks else [])
    return {
        "asks": asks,
        "best_ask_api": best_ask,
        "best_ask_interactive": best_ask,
        "best_bid_api": best_bid,
        "best_bid_interactive": best_bid,
        "bids": bids,
        "last_updated_at": millis(view.ts_ns),
        "market": view.market,
        "seq_no": view.seq,
    }


def book_snapshot(view: BookView, depth: int | None) -> Json:
    """A whole book (or its top) over the stream."""
    inserts = [_row("BUY", price, size) for price, size in view.bids[:depth]]
    inserts += [_row("SELL", price, size) for price, size in view.asks[:depth]]
    return _package("s", view.market, view.seq, view.ts_ns, inserts, [], [])


def _row(side: str, price: Decimal, size: Decimal) -> Json:
    return {"side": side, "price": text(price), "size": text(size)}


def _package(
    kind: str,
    market: str,
    seq: int,
    ts_ns: int,
    inserts: Sequence[Json],
    updates: Sequence[Json],
    deletes: Sequence[Json],
) -> Json:
    return {
        "deletes": deletes,
        "inserts": inserts,
        "last_updated_at": millis(ts_ns),
        "market": market,
        "seq_no": seq,
        "update_type": kind,
        "updates": updates,
    }


def book_delta(
    market: str, seq: int, ts_ns: int, changes: Sequence[tuple[str, str, Decimal, Decimal]]
) -> Json:
    """Changed levels: rows of (insert, update or delete; side; price; new size)."""
    rows = {kind: [_row(side, p, s) for k, side, p, s in changes if k == kind] for kind in ("i", "u", "d")}
    return _package("d", market, seq, ts_ns, rows["i"], rows["u"], rows["d"])


def summary(state: MarketState) -> Json:
    """A market summary (`MarketSummaryResp`)."""
    body = book_bbo(state.book)
    return {
        "ask": body["ask"],
        "ask_size": body["ask_size"],
        "bid": body["bid"],
        "bid_size": body["bid_size"],
        "created_at": millis(state.ts_ns),
        "external_fair_price": text(state.index),
        "funding_rate": text(state.rate),
        "future_funding_rate": text(state.rate),
        "last_traded_price": text(state.last),
        "mark_price": text(state.mark),
        "open_interest": text(state.open_interest),
        "price_change_rate_24h": text(state.change),
        "symbol": state.market.symbol,
        "total_volume": text(state.total_volume),
        "underlying_price": text(state.index),
        "volume_24h": text(state.volume),
    }


def funding(event: FundingChanged, period_hours: int) -> Json:
    """Funding data (`FundingDataResult`)."""
    return {
        "created_at": millis(event.ts_ns),
        "funding_index": text(event.index),
        "funding_period_hours": period_hours,
        "funding_premium": text(event.rate),
        "funding_rate": text(event.rate),
        "funding_rate_8h": text(event.rate * 8 / period_hours),
        "impact_premium_rate": text(event.rate),
        "market": event.market,
    }


def funding_payment(event: FundingPaid, last_fill_id: str) -> Json:
    """A funding payment (`FundingPayment`); positive is received."""
    return {
        "account": event.account,
        "created_at": millis(event.ts_ns),
        "fill_id": last_fill_id,
        "id": str(event.ts_ns),
        "index": text(event.index),
        "market": event.market,
        "payment": text(event.amount),
    }


def bust(event: FillBusted) -> Json:
    """A fill that the venue took back (`TradebustResult`)."""
    return {
        "account": event.fill.account,
        "busted_fill_id": event.fill.id,
        "created_at": millis(event.ts_ns),
    }


def market(item: Market) -> Json:
    """A market's static facts (`MarketResp`)."""
    fees = {
        "maker_fee": {"fee": text(item.maker_fee), "fee_cap": "0", "fee_floor": "0"},
        "taker_fee": {"fee": text(item.taker_fee), "fee_cap": "0", "fee_floor": "0"},
    }
    return {
        "asset_kind": "PERP",
        "base_currency": item.base,
        "clamp_rate": "0.0005",
        "delta1_cross_margin_params": {
            "imf_base": text(1 / item.leverage),
            "imf_factor": "0",
            "imf_shift": "0",
            "mmf_factor": text(item.maintenance_factor),
        },
        "expiry_at": 0,
        "fee_config": {"api_fee": fees, "interactive_fee": fees, "rpi_fee": fees},
        "funding_multiplier": 1,
        "funding_period_hours": item.funding_period_hours,
        "interest_rate": "0.0001",
        "market_kind": "cross",
        "max_funding_rate": "0.05",
        "max_funding_rate_change": "0.0005",
        "max_open_orders": item.max_open_orders,
        "max_order_size": text(item.max_size),
        "max_slippage": "0.05",
        "max_tob_spread": "0.2",
        "min_notional": text(item.min_notional),
        "open_at": 0,
        "oracle_ewma_factor": "0.2",
        "order_size_increment": text(item.lot),
        "position_limit": text(item.position_limit),
        "price_bands_width": text(item.price_band),
        "price_feed_id": "",
        "price_tick_size": text(item.tick),
        "quote_currency": item.quote,
        "settlement_currency": item.settlement,
        "symbol": item.symbol,
        "tags": [],
        "trading_mode": "STANDARD",
    }


def page(rows: Sequence[Json], next_cursor: str | None, previous: str | None) -> Json:
    """A paged list."""
    return {"next": next_cursor, "prev": previous, "results": list(rows)}


def results(rows: Sequence[Mapping[str, object]]) -> Json:
    """A plain list."""
    return {"results": list(rows)}
