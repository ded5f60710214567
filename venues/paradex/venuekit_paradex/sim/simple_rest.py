"""HTTP answers of the simple door: no key, one account, fewer and plainer paths than the venue's API.

Every body is that of the published endpoint named beside the path, so what a client learns to read here it
can read there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from venuekit.sim.door import Response
from venuekit.sim.errors import Refusal
from venuekit.sim.routes import Routes
from venuekit_paradex.sim import render
from venuekit_paradex.sim.refusals import VenueError, refused
from venuekit_paradex.sim.rest import parse_body, reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from venuekit.interfaces.time import Clock
    from venuekit.sim.door import Request
    from venuekit.sim.exchange import Exchange
    from venuekit_paradex.sim.desk import Caller, Desk
    from venuekit_paradex.sim.rest import Params, Private, Rest

BORROWED = (
    ("GET", "/health", "/v1/system/state"),
    ("GET", "/v1/system/time", "/v1/system/time"),
    ("GET", "/v1/config", "/v1/system/config"),
    ("GET", "/v1/markets", "/v1/markets"),
    ("GET", "/v1/orders/open", "/v1/orders"),
    ("GET", "/v1/account", "/v1/account"),
    ("GET", "/v1/account/positions", "/v1/positions"),
    ("GET", "/v1/account/fills", "/v1/fills"),
    ("GET", "/v1/orderbook/{market}", "/v1/orderbook/{market}"),
    ("GET", "/v1/bbo/{market}", "/v1/bbo/{market}"),
    ("GET", "/v1/funding/data", "/v1/funding/data"),
    ("DELETE", "/v1/orders/{order_id}", "/v1/orders/{order_id}"),
    ("DELETE", "/v1/orders", "/v1/orders"),
)
"""Method, path here, path of the published endpoint that answers."""

_PREFLIGHT_SECS = 600


@define
class SimpleRest:
    """The routes of the simple door; all orders and figures are those of `caller`."""

    _exchange: Exchange
    _clock: Clock
    _desk: Desk
    _rest: Rest
    _caller: Caller
    _routes: Routes = field(factory=Routes)

    def __attrs_post_init__(self) -> None:
        for method, path, published in BORROWED:
            self._routes.add(method, path, self._open(self._rest.unguarded(method, published)))
        self._routes.add("GET", "/v1/instruments/{market}", self._open(self._instrument))
        self._routes.add("POST", "/v1/orders", self._open(self._create))

    async def handle(self, request: Request) -> Response:
        """The answer to any request, for pages of any origin."""
        response = await self._answer(request)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    async def _answer(self, request: Request) -> Response:
        methods = self._routes.methods(request.path)
        if not methods:
            return VenueError("NOT_FOUND", "no such endpoint", 404).response()
        if request.method == "OPTIONS":
            return _preflight(request, methods)
        found = self._routes.find(request.method, request.path)
        if found is None:
            response = VenueError("NOT_FOUND", f"{request.method} is not offered here", 405).response()
            response.headers["Allow"] = ", ".join((*methods, "OPTIONS"))
            return response
        handler, params = found
        try:
            return await handler(request, params)
        except VenueError as error:
            return error.response()
        except Refusal as refusal:
            return refused(refusal).response()

    def _open(self, handler: Private) -> Callable[[Request, Params], Awaitable[Response]]:
        async def door(request: Request, params: Mapping[str, str]) -> Response:
            return handler(request, params, self._caller)

        return door

    def _instrument(self, request: Request, params: Params, caller: Caller) -> Response:
        found = self._exchange.markets.get(params["market"])
        if found is None:
            raise VenueError("MARKET_NOT_FOUND", params["market"][:80], 404)
        return reply(render.market(found))

    def _create(self, request: Request, params: Params, caller: Caller) -> Response:
        order = self._desk.admit(self._desk.read_unsigned(caller, parse_body(request)))
        return reply(render.order(order, None, self._clock.wall_ns()), 201)


def _preflight(request: Request, methods: tuple[str, ...]) -> Response:
    return Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join((*methods, "OPTIONS")),
            "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "*"),
            "Access-Control-Max-Age": str(_PREFLIGHT_SECS),
        },
        content_type=None,
    )
