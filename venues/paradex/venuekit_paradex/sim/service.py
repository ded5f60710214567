"""The simulator as a service of the kit's server: REST, streams, and the venue's own control verbs."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from venuekit.errors import BadValue
from venuekit.sim.door import CloseKind, Connection, Request, Response
from venuekit.sim.rates import Limit, RateMeter
from venuekit_paradex.sim.desk import Caller, Desk
from venuekit_paradex.sim.feed import Feed, Session
from venuekit_paradex.sim.paging import DEFAULT_SIZE
from venuekit_paradex.sim.people import Register
from venuekit_paradex.sim.planting import VERBS, Planter
from venuekit_paradex.sim.refusals import VenueError
from venuekit_paradex.sim.rest import Rest
from venuekit_paradex.sim.stream import Rpc
from venuekit_paradex.sim.tokens import TokenDesk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from venuekit.interfaces.time import Clock
    from venuekit.sim.exchange import Exchange
    from venuekit_paradex.sim.settings import Settings

CLOSE_IDLE = 4031
MARKET_EVENTS = ("CREATED", "UPDATED", "SETTLED", "DELETED")
SCHEMA_PARAMETERS = ("sbeSchemaId", "sbeSchemaVersion")

LIMITS = {
    "public": (Limit(count=1_500, window_secs=60),),
    "auth": (Limit(count=600, window_secs=60),),
    "onboarding": (Limit(count=600, window_secs=60),),
    "orders": (Limit(count=800, window_secs=1), Limit(count=17_250, window_secs=60)),
    "reads": (Limit(count=120, window_secs=1), Limit(count=600, window_secs=60)),
    "private": (Limit(count=1_500, window_secs=60),),
    "connections": (Limit(count=20, window_secs=1), Limit(count=600, window_secs=60)),
}
"""By IP: public, auth, onboarding, private (reads), connections. By account: orders, reads."""


@define
class ParadexService:
    """One exchange seen through the venue's protocol."""

    exchange: Exchange
    _clock: Clock
    _settings: Settings
    _seed: int
    cut: Callable[[str, Request | Connection, str], None] = field(default=lambda _point, _whose, _label: None)
    """Told when a session passes a cut point of an order's life (C5 to C9), or a history its pages (C11)."""
    register: Register = field(init=False)
    planter: Planter = field(init=False)
    meter: RateMeter = field(init=False)
    tokens: TokenDesk = field(init=False)
    desk: Desk = field(init=False)
    feed: Feed = field(init=False)
    rest: Rest = field(init=False)
    _rpc: Rpc = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.register = Register(self._settings.chain_id)
        self.planter = Planter({symbol: one.tick for symbol, one in self.exchange.markets.items()})
        self.meter = RateMeter(self._clock, LIMITS, enabled=self._settings.limits)
        self.tokens = TokenDesk.seeded(self._settings.jwt_secs, self._seed)
        self.desk = Desk(self.exchange, self._clock, self._settings, Random(f"desk {self._seed}"))
        self.feed = Feed(self.exchange, self._clock, self._settings, self.desk, self.planter, self._pass)
        self.rest = Rest(
            self.exchange,
            self._clock,
            self._settings,
            self.desk,
            self.feed,
            self.register,
            self.planter,
            self.meter,
            self._issue,
            self.enter,
            self._caller_of,
        )
        self._rpc = Rpc(
            self.exchange,
            self._clock,
            self.desk,
            self.feed,
            self.meter,
            self._read_token,
            lambda: self.tokens.valid_from,
            self._pass,
        )
        self.exchange.listen(self.feed.on_event)

    def _pass(self, point: str, connection: Connection, label: str) -> None:
        self.cut(point, connection, label)

    # --- accounts and tokens

    def enter(self, account: str) -> None:
        """A newly onboarded account holds its starting funds."""
        self.exchange.fund_account(account, self._settings.start_funds)

    def _issue(self, account: str, public_key: int) -> str:
        return self.tokens.issue(account, public_key, self._clock.wall_ns())

    def _read_token(self, bearer: str) -> tuple[Caller, int]:
        claims = self.tokens.read(bearer, self._clock.wall_ns())
        person = self.register.by_account(claims.account)
        if person is None or not person.may_sign(claims.public_key):
            raise VenueError("INVALID_TOKEN", "the key is no longer active", 401)
        return Caller(person, claims.public_key), claims.serial

    def _caller_of(self, request: Request) -> Caller:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            raise VenueError("UNAUTHORIZED_ERROR", "a bearer token is required", 401)
        return self._read_token(bearer)[0]

    # --- the kit's service

    async def handle(self, request: Request) -> Response:
        """The REST answer."""
        if request.query_value("cursor"):
            self.cut("C11", request, "")
        return await self.rest.handle(self._shortened(request))

    def _shortened(self, request: Request) -> Request:
        """The same request for no more rows than a page may have here."""
        most = self._settings.page_rows
        asked = request.query_value("page_size") or str(DEFAULT_SIZE)
        if not most or not asked.isdecimal() or int(asked) <= most:
            return request
        others = tuple(pair for pair in request.query if pair[0] != "page_size")
        return evolve(request, query=(*others, ("page_size", str(most))))

    def accept(self, handshake: Request) -> Response | None:
        """A stream, unless the SBE schema is not offered or connections come too fast."""
        reading = self.meter.take("connections", handshake.peer)
        if reading is not None and not reading.allowed:
            return VenueError("SERVICE_UNAVAILABLE", "too many connections", 429).response()
        try:
            self._version(handshake)
        except VenueError as error:
            return error.response()
        return None

    def _version(self, handshake: Request) -> int | None:
        schema, version = (handshake.query_value(name) for name in SCHEMA_PARAMETERS)
        if schema is None and version is None:
            return None
        offered = range(self._settings.sbe_min, self._settings.sbe_max + 1)
        if schema != "1" or version is None or not version.isdigit() or int(version) not in offered:
            raise VenueError("INVALID_REQUEST_PARAMETER", "SBE schema or version is not supported")
        return int(version)

    def opened(self, connection: Connection) -> None:
        """The session exists; the idle watch runs."""
        session = Session(connection, self._version(connection.handshake))
        session.quiet_since_ns = self._clock.mono_ns()
        connection.state = session
        self.feed.sessions[connection.id] = session
        if self._settings.idle_secs:
            self._watch(session)

    def _watch(self, session: Session) -> None:
        limit_ns = self._settings.idle_secs * 1_000_000_000

        def look() -> None:
            if not session.connection.open:
                return
            if not session.topics and self._clock.mono_ns() - session.quiet_since_ns >= limit_ns:
                session.connection.close(CLOSE_IDLE, "no active subscription")
                return
            self._watch(session)

        quiet_until_ns = session.quiet_since_ns + limit_ns if not session.topics else 0
        soonest_ns = self._clock.mono_ns() + min(limit_ns, 1_000_000_000)
        self._clock.call_at(max(quiet_until_ns, soonest_ns), look)

    def receive(self, connection: Connection, frame: bytes | str) -> None:
        """The frame was answered."""
        if isinstance(connection.state, Session):
            self._rpc.receive(connection.state, frame)

    def closed(self, connection: Connection, kind: CloseKind, code: int) -> None:
        """The session is forgotten; its orders are cancelled where it asked for that."""
        session = connection.state
        if not isinstance(session, Session):
            return
        self.feed.forget(session)
        if session.cancel_on_disconnect:
            for number in sorted(session.placed):
                self.desk.cancel_quietly(number)

    def control(self, verb: str, args: Mapping[str, object]) -> object:
        """`expire_tokens`, `add_subkey` {account, public_key}, `market_event` {market, kind} and the planted
        lies {skip, count}.
        """
        if verb == "expire_tokens":
            return {"revoked": self.tokens.expire_all()}
        if verb == "add_subkey":
            self.register.add_subkey(_text(args, "account"), _text(args, "public_key"))
            return {}
        if verb == "market_event":
            kind = _text(args, "kind")
            if kind not in MARKET_EVENTS:
                raise BadValue(f"kind must be one of {', '.join(MARKET_EVENTS)}")
            self.feed.tell_market(self.exchange.market(_text(args, "market")).symbol, kind)
            return {}
        if verb in VERBS:
            self.planter.plant(verb, _count(args, "skip", 0), _count(args, "count", 1))
            return {}
        raise KeyError(verb)


_MOST = 10_000


def _count(args: Mapping[str, object], name: str, default: int) -> int:
    value = args.get(name, default)
    if not isinstance(value, int) or not 0 <= value <= _MOST:
        raise BadValue(f"{name} must be a count up to {_MOST}")
    return value


def _text(args: Mapping[str, object], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str):
        raise BadValue(f"{name} must be a text")
    return value
