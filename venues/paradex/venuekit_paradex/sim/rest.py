"""The REST API: one method an endpoint, the published statuses and bodies, nothing undocumented."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.door import Response
from venuekit.sim.errors import Refusal
from venuekit.sim.records import Mode
from venuekit.sim.routes import Routes
from venuekit_paradex.sim import paging, render
from venuekit_paradex.sim.desk import KINDS
from venuekit_paradex.sim.figures import millis, sequence, status, text
from venuekit_paradex.sim.people import ACCOUNT_HASH, PROXY_HASH
from venuekit_paradex.sim.proofs import FIELD_PRIME
from venuekit_paradex.sim.refusals import VenueError, refused
from venuekit_paradex.sim.subkeys import Subkeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Request
    from venuekit.sim.exchange import Exchange
    from venuekit.sim.rates import RateMeter, Reading
    from venuekit.sim.records import Fill, Order
    from venuekit_paradex.sim.desk import Caller, Desk
    from venuekit_paradex.sim.feed import Feed
    from venuekit_paradex.sim.people import Register
    from venuekit_paradex.sim.planting import Planter
    from venuekit_paradex.sim.settings import Settings

type Params = Mapping[str, str]
type Public = Callable[[Request, Params], Response]
type Private = Callable[[Request, Params, Caller], Response]

STATUSES = ("OPEN", "CLOSED", "NEW")
REST_SEQUENCE = 10**18
_MODES = {Mode.NORMAL: "ok"}


def reply(body: object, status_code: int = 200) -> Response:
    """A JSON answer."""
    return Response(status=status_code, body=json.dumps(body, separators=(",", ":")).encode())


def empty(status_code: int) -> Response:
    """An answer without a body."""
    return Response(status=status_code, content_type=None)


@define
class Rest:
    """Routes and handlers. Public handlers get the request; private ones also who asks."""

    _exchange: Exchange
    _clock: Clock
    _settings: Settings
    _desk: Desk
    _feed: Feed
    _register: Register
    _planter: Planter
    _meter: RateMeter
    _issue: Callable[[str, int], str]
    _enter: Callable[[str], None]
    _caller: Callable[[Request], Caller]
    _routes: Routes = field(factory=Routes)
    _unguarded: dict[tuple[str, str], Private] = field(factory=dict)
    _subkeys: Subkeys = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._subkeys = Subkeys(self._clock)
        public: list[tuple[str, str, str, Public]] = [
            ("GET", "/v1/system/config", "public", self._config),
            ("GET", "/v1/system/time", "public", self._time),
            ("GET", "/v1/system/state", "public", self._state),
            ("GET", "/v1/markets", "public", self._markets),
            ("GET", "/v1/markets/summary", "public", self._summaries),
            ("GET", "/v1/bbo/{market}", "public", self._bbo),
            ("GET", "/v1/bbo/{market}/interactive", "public", self._bbo),
            ("GET", "/v1/orderbook/{market}", "public", self._book),
            ("GET", "/v1/orderbook/{market}/interactive", "public", self._book),
            ("GET", "/v1/trades", "public", self._trades),
            ("GET", "/v1/funding/data", "public", self._funding),
            ("GET", "/v1/onboarding", "public", self._onboarded),
            ("POST", "/v1/onboarding", "onboarding", self._onboard),
            ("POST", "/v1/auth", "auth", self._auth),
            ("POST", "/v1/auth/{public_key}", "auth", self._auth),
        ]
        private: list[tuple[str, str, str, Private]] = [
            ("GET", "/v1/account", "reads", self._account),
            ("GET", "/v1/account/info", "reads", self._account_info),
            ("GET", "/v1/account/summary", "reads", self._account_list),
            ("GET", "/v1/account/keys/subkeys", "reads", self._list_subkeys),
            ("POST", "/v1/account/keys/subkeys", "reads", self._register_subkey),
            ("GET", "/v1/account/keys/subkeys/{public_key}", "reads", self._show_subkey),
            ("DELETE", "/v1/account/keys/subkeys/{public_key}", "reads", self._revoke_subkey),
            ("GET", "/v1/balance", "reads", self._balance),
            ("GET", "/v1/positions", "reads", self._positions),
            ("GET", "/v1/orders", "reads", self._open_orders),
            ("GET", "/v1/orders-history", "reads", self._history),
            ("GET", "/v1/orders/{order_id}", "reads", self._order),
            ("GET", "/v1/orders/by_client_id/{client_id}", "reads", self._order_by_client_id),
            ("GET", "/v1/fills", "reads", self._fills),
            ("GET", "/v1/funding/payments", "reads", self._payments),
            ("GET", "/v1/tradebusts", "reads", self._busts),
            ("GET", "/v1/transactions", "reads", self._nothing),
            ("GET", "/v1/transfers", "reads", self._nothing),
            ("POST", "/v1/orders", "orders", self._create),
            ("POST", "/v1/orders/batch", "orders", self._create_batch),
            ("PUT", "/v1/orders/{order_id}", "orders", self._modify),
            ("DELETE", "/v1/orders/{order_id}", "orders", self._cancel),
            ("DELETE", "/v1/orders/by_client_id/{client_id}", "orders", self._cancel_by_client_id),
            ("DELETE", "/v1/orders", "orders", self._cancel_all),
            ("DELETE", "/v1/orders/batch", "orders", self._cancel_batch),
        ]
        for method, path, scope, handler in public:
            self._routes.add(method, path, self._open_door(scope, handler))
            self._unguarded[method, path] = _for_anybody(handler)
        for method, path, scope, own in private:
            self._routes.add(method, path, self._guarded_door(scope, own))
            self._unguarded[method, path] = own

    def unguarded(self, method: str, path: str) -> Private:
        """The handler of a published endpoint without its token and its limits; it raises what it refuses."""
        return self._unguarded[method, path]

    async def handle(self, request: Request) -> Response:
        """The answer to any request; unknown paths are NOT_FOUND."""
        found = self._routes.find(request.method, request.path)
        try:
            if found is None:
                raise VenueError(
                    "NOT_FOUND", "no such endpoint", 405 if self._routes.methods(request.path) else 404
                )
            handler, params = found
            return await handler(request, params)
        except VenueError as error:
            return error.response()
        except Refusal as refusal:
            return refused(refusal).response()

    # --- limits around every handler

    def _open_door(self, scope: str, handler: Public) -> Callable[[Request, Params], Awaitable[Response]]:
        async def door(request: Request, params: Params) -> Response:
            reading = self._meter.take(scope, request.peer)
            if reading is not None and not reading.allowed:
                return _limited(reading)
            return _with_headers(_safely(lambda: handler(request, params)), reading)

        return door

    def _guarded_door(self, scope: str, handler: Private) -> Callable[[Request, Params], Awaitable[Response]]:
        async def door(request: Request, params: Params) -> Response:
            caller = self._caller(request)
            shared = self._meter.take("private", request.peer) if scope == "reads" else None
            if shared is not None and not shared.allowed:
                return _limited(shared)
            reading = self._meter.take(scope, caller.account)
            if reading is not None and not reading.allowed:
                return _limited(reading)
            return _with_headers(_safely(lambda: handler(request, params, caller)), reading)

        return door

    # --- system and market data

    def _config(self, request: Request, params: Params) -> Response:
        return reply(
            {
                "assets_limit_per_account": 550,
                "block_explorer_url": "",
                "bridged_tokens": [],
                "dime_staking_contract_address": "0x0",
                "environment": "simulator",
                "l1_chain_id": "11155111",
                "l1_core_contract_address": "0x0",
                "l1_operator_address": "0x0",
                "l1_relayer_address": "0x0",
                "l2_relayer_address": "0x0",
                "liquidation_fee": "0.2",
                "oracle_address": "0x0",
                "paraclear_account_hash": hex(ACCOUNT_HASH),
                "paraclear_account_proxy_hash": hex(PROXY_HASH),
                "paraclear_address": "0x0",
                "paraclear_decimals": 8,
                "paraclear_evm_account_hash": "0x0",
                "partial_liquidation_buffer": "0.2",
                "partial_liquidation_share_increment": "0.05",
                "starknet_chain_id": self._register.chain_id,
                "starknet_fullnode_rpc_base_url": "",
                "starknet_fullnode_rpc_url": "",
                "starknet_gateway_url": "",
                "universal_deployer_address": "0x0",
            }
        )

    def _time(self, request: Request, params: Params) -> Response:
        return reply({"server_time": str(millis(self._clock.wall_ns()))})

    def _state(self, request: Request, params: Params) -> Response:
        mode = self._exchange.mode()
        return reply({"status": _MODES.get(mode, mode.value)})

    def _markets(self, request: Request, params: Params) -> Response:
        wanted = request.query_value("market")
        if wanted and wanted not in self._exchange.markets:
            raise VenueError("MARKET_NOT_FOUND", wanted, 404)
        rows = [
            render.market(one) for one in self._exchange.markets.values() if wanted in (None, "", one.symbol)
        ]
        return reply(render.results(rows))

    def _summaries(self, request: Request, params: Params) -> Response:
        wanted = request.query_value("market")
        if not wanted:
            raise VenueError("INVALID_REQUEST_PARAMETER", "market is required")
        symbols = list(self._exchange.markets) if wanted == "ALL" else [self._symbol(wanted)]
        return reply(render.results([render.summary(self._feed.market_state(one)) for one in symbols]))

    def _symbol(self, market: str | None) -> str:
        if not market or market not in self._exchange.markets:
            raise VenueError("MARKET_NOT_FOUND", market or "market is required")
        return market

    def _bbo(self, request: Request, params: Params) -> Response:
        return reply(render.book_bbo(self._exchange.book(self._symbol(params["market"]), 1)))

    def _book(self, request: Request, params: Params) -> Response:
        depth = paging.integer(request, "depth", 20, 1, 1_000)
        return reply(render.book(self._exchange.book(self._symbol(params["market"])), depth))

    def _trades(self, request: Request, params: Params) -> Response:
        market = self._symbol(request.query_value("market"))
        page = paging.cut(
            request, self._exchange.trades(market), lambda row: (millis(row.ts_ns), row.id), largest=1_000
        )
        return reply(render.page([render.trade(row) for row in page.rows], page.next, page.prev))

    def _funding(self, request: Request, params: Params) -> Response:
        market = self._symbol(request.query_value("market"))
        hours = self._exchange.market(market).funding_period_hours
        rows = list(enumerate(self._feed.funding_history(market)))
        page = paging.cut(request, rows, lambda row: (millis(row[1].ts_ns), f"{row[0]:012d}"))
        return reply(render.page([render.funding(row, hours) for _, row in page.rows], page.next, page.prev))

    # --- accounts and tokens

    def _onboarded(self, request: Request, params: Params) -> Response:
        if request.query_value("account_signer_type") != "starknet":
            raise VenueError("INVALID_REQUEST_PARAMETER", "account_signer_type must be starknet here")
        written = request.query_value("public_key") or ""
        try:
            public_key = int(written, 16)
        except ValueError as error:
            raise VenueError("PUBLIC_KEY_INVALID", written[:80]) from error
        if not 0 < public_key < FIELD_PRIME:
            raise VenueError("PUBLIC_KEY_INVALID", "no element of the field")
        return reply(
            {
                "account_signer_type": "starknet",
                "address": hex(self._register.address_of(public_key)),
                "derivation_info": {"class_hash": hex(ACCOUNT_HASH), "proxy_class_hash": hex(PROXY_HASH)},
                "exists": self._register.by_key(public_key) is not None,
            }
        )

    def _onboard(self, request: Request, params: Params) -> Response:
        person, new = self._register.onboard(request)
        if new:
            self._enter(person.account)
        return empty(200)

    def _auth(self, request: Request, params: Params) -> Response:
        now_secs = self._clock.wall_ns() // 1_000_000_000
        person, public_key = self._register.authenticate(request, params.get("public_key", ""), now_secs)
        return reply({"jwt_token": self._issue(person.account, public_key)})

    def _account(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(render.account(self._feed.account_state(caller.account)))

    def _account_list(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(render.results([render.account(self._feed.account_state(caller.account))]))

    def _account_info(self, request: Request, params: Params, caller: Caller) -> Response:
        market = next(iter(self._exchange.markets.values()))
        maker, taker = text(market.maker_fee), text(market.taker_fee)
        row = {
            "account": caller.account,
            "created_at": millis(caller.person.created_ns),
            "derivation_path": "",
            "fees": {
                "commission_rate": "0",
                "dated_option_maker_rate": maker,
                "dated_option_taker_rate": taker,
                "discount_rate": "0",
                "maker_rate": maker,
                "perp_option_maker_rate": maker,
                "perp_option_taker_rate": taker,
                "spot_maker_rate": maker,
                "spot_taker_rate": taker,
                "taker_rate": taker,
            },
            "has_ecosystem_nft": False,
            "isolated_market": "",
            "kind": "main",
            "parent_account": "",
            "public_key": hex(caller.person.public_key),
            "username": "",
            "volume_tiers": {},
        }
        return reply(render.results([row]))

    def _list_subkeys(self, request: Request, params: Params, caller: Caller) -> Response:
        with_revoked = request.query_value("with_revoked") == "true"
        return reply(render.results(self._subkeys.list(caller, with_revoked=with_revoked)))

    def _register_subkey(self, request: Request, params: Params, caller: Caller) -> Response:
        self._subkeys.register(caller, parse_body(request))
        return empty(201)

    def _show_subkey(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._subkeys.show(caller, params["public_key"]))

    def _revoke_subkey(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._subkeys.revoke(caller, params["public_key"]))

    def _balance(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(render.results([render.balance(self._feed.account_state(caller.account))]))

    def _positions(self, request: Request, params: Params, caller: Caller) -> Response:
        states = [self._feed.position_state(one) for one in self._exchange.positions(caller.account)]
        return reply(render.results([render.position(state) for state in states if state.open]))

    # --- orders

    def _body(self, order: Order) -> render.Json:
        body = render.order(order, self._desk.infos.get(order.id), self._clock.wall_ns())
        # The venue numbers an order's states independently on both roads; higher here, so that whoever
        # compares the two takes what the stream tells next for old.
        return body | {"seq_no": REST_SEQUENCE + sequence(order.updated_ns, order.version)}

    def _open_orders(self, request: Request, params: Params, caller: Caller) -> Response:
        market = request.query_value("market")
        orders = self._exchange.open_orders(caller.account, market or None)
        return reply(render.results([self._body(order) for order in orders]))

    def _history(self, request: Request, params: Params, caller: Caller) -> Response:
        market, client_id = request.query_value("market"), request.query_value("client_id")
        side = paging.choice(request, "side", ("BUY", "SELL"))
        wanted = paging.choice(request, "status", STATUSES)
        kind = paging.choice(request, "type", tuple(KINDS))

        def fits(order: Order) -> bool:
            asked = ((market, order.market), (client_id, order.client_id), (side, order.side.value))
            more = ((wanted, status(order)), (kind, order.request.tags.get("type", "")))
            return all(not value or value == actual for value, actual in (*asked, *more))

        rows = [
            order
            for order in self._exchange.orders(caller.account)
            if fits(order) and (status(order) != "CLOSED" or self._listed(order.updated_ns))
        ]
        page = paging.cut(request, rows, lambda row: (millis(row.created_ns), row.id))
        return reply(render.page([self._body(row) for row in page.rows], page.next, page.prev))

    def _listed(self, ts_ns: int) -> bool:
        """True once history shows what happened then."""
        return self._clock.wall_ns() >= ts_ns + self._settings.history_lag_ms * 1_000_000

    def _fills(self, request: Request, params: Params, caller: Caller) -> Response:
        market = request.query_value("market")
        every = self._exchange.fills(caller.account, busted=self._settings.list_busted)
        true = [one for one in every if market in (None, "", one.market) and self._listed(one.ts_ns)]
        shown: list[Fill] = [lie for one in true for lie in self._planter.recall(one)]
        page = paging.cut(request, shown, lambda row: (millis(row.ts_ns), row.id))
        return reply(render.page([render.fill(row) for row in page.rows], page.next, page.prev))

    def _payments(self, request: Request, params: Params, caller: Caller) -> Response:
        market = self._symbol(request.query_value("market"))
        last = self._exchange.position(caller.account, market).last_fill_id
        rows = [
            (number, one)
            for number, one in enumerate(self._feed.payments)
            if (one.account, one.market) == (caller.account, market)
        ]
        page = paging.cut(request, rows, lambda row: (millis(row[1].ts_ns), f"{row[0]:012d}"))
        return reply(
            render.page([render.funding_payment(row, last) for _, row in page.rows], page.next, page.prev)
        )

    def _busts(self, request: Request, params: Params, caller: Caller) -> Response:
        rows = [one for one in self._feed.busts if one.fill.account == caller.account]
        page = paging.cut(request, rows, lambda row: (millis(row.ts_ns), row.fill.id))
        return reply(render.page([render.bust(row) for row in page.rows], page.next, page.prev))

    def _nothing(self, request: Request, params: Params, caller: Caller) -> Response:
        # Deposits and chain transactions do not exist here.
        return reply(render.page([], None, None))

    def _order(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._body(self._desk.live(caller, params["order_id"])))

    def _order_by_client_id(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._body(self._desk.open_by_client_id(caller, params["client_id"])))

    def _create(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._body(self._desk.place(caller, parse_body(request))), 201)

    def _create_batch(self, request: Request, params: Params, caller: Caller) -> Response:
        outcomes = self._desk.place_batch(caller, parse_body(request))
        errors = [one for one in outcomes if isinstance(one, VenueError)]
        orders = [one for one in outcomes if not isinstance(one, VenueError)]
        return reply(
            {
                "errors": [{"error": one.code, "message": one.message} for one in errors],
                "orders": [self._body(one) for one in orders],
            },
            201,
        )

    def _modify(self, request: Request, params: Params, caller: Caller) -> Response:
        return reply(self._body(self._desk.modify(caller, parse_body(request), params["order_id"])))

    def _cancel(self, request: Request, params: Params, caller: Caller) -> Response:
        self._desk.cancel(caller, params["order_id"])
        return empty(204)

    def _cancel_by_client_id(self, request: Request, params: Params, caller: Caller) -> Response:
        self._desk.cancel_by_client_id(caller, params["client_id"], request.query_value("market") or "")
        return empty(204)

    def _cancel_all(self, request: Request, params: Params, caller: Caller) -> Response:
        self._desk.cancel_all(caller, request.query_value("market") or "")
        return empty(200)

    def _cancel_batch(self, request: Request, params: Params, caller: Caller) -> Response:
        body = parse_body(request)
        if not isinstance(body, dict):
            raise VenueError("BINDING_ERROR", "an object is required")
        ids, client_ids = _texts(body.get("order_ids")), _texts(body.get("client_order_ids"))
        if not ids and not client_ids:
            raise VenueError("BATCH_SIZE_OUT_OF_RANGE", "no ids")
        return reply(render.results(self._desk.cancel_batch(caller, ids, client_ids)))


def _for_anybody(handler: Public) -> Private:
    return lambda request, params, _caller: handler(request, params)


def _safely(act: Callable[[], Response]) -> Response:
    try:
        return act()
    except VenueError as error:
        return error.response()
    except Refusal as refusal:
        return refused(refusal).response()


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise VenueError("BINDING_ERROR", "a list of texts is required")
    return value


def parse_body(request: Request) -> object:
    """The JSON of a request; BINDING_ERROR when it is none."""
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise VenueError("BINDING_ERROR", "body is not JSON") from error


def _with_headers(response: Response, reading: Reading | None) -> Response:
    if reading is not None:
        response.headers.update(
            {
                "X-RateLimit-Limit": str(reading.limit),
                "X-RateLimit-Remaining": str(reading.remaining),
                "X-RateLimit-Reset": str(-(-reading.reset_ns // 1_000_000_000)),
                "X-RateLimit-Window": str(reading.window_secs),
            }
        )
    return response


def _limited(reading: Reading) -> Response:
    # The published list has no code for a rate limit; the transient one fits the venue's description.
    response = VenueError("SERVICE_UNAVAILABLE", "rate limit exceeded", 429).response()
    response.headers["Retry-After"] = str(max(1, -(-reading.retry_after_ns // 1_000_000_000)))
    return _with_headers(response, reading)
