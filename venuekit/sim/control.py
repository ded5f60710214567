"""The control door: the verbs of the conformance suite as `POST /control/<verb>` with JSON, and the ledger to
read.

It is for tests and demonstrations on loopback: it moves money and breaks connections, and asks nobody for a
key.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import msgspec

from venuekit.errors import BadValue, Unsupported
from venuekit.sim.door import Request, Response
from venuekit.sim.errors import Refusal
from venuekit.sim.fault_text import parse_fault
from venuekit.sim.ledger import balance_row, fill_row, order_row, position_row
from venuekit.sim.market import Market
from venuekit.sim.records import Mode, NewOrder, OrderKind, Side, Tif

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from venuekit.sim.exchange import Exchange
    from venuekit.sim.faults import FaultPlan
    from venuekit.sim.ledger import Ledger

_PREFIX = "/control/"
_LONGEST_TEXT = 200
"""No wire of a venue takes longer names."""
_LARGEST = Decimal(10**9)
_FINEST = -18
"""Ten digits and 18 decimals are plenty, and their products stay within the 28 digits that decimals keep."""


class Arguments:
    """A verb's JSON object, read field by field; a missing or wrong one raises BadValue with its name."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self.data = data

    def has(self, name: str) -> bool:
        """True when the field is there and not null."""
        return self.data.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text field."""
        value = self.data.get(name, default)
        if not isinstance(value, str):
            raise BadValue(f"{name} must be a text")
        if len(value.encode()) > _LONGEST_TEXT:
            raise BadValue(f"{name} is longer than {_LONGEST_TEXT} bytes")
        return value

    def number(self, name: str, largest: Decimal = _LARGEST) -> Decimal:
        """An exact number: text or a whole number, never a JSON fraction (it would have passed through a
        float).
        """
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise BadValue(f"{name} must be a decimal number as text")
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise BadValue(f"{name} must be a decimal number as text") from None
        if not number.is_finite():
            raise BadValue(f"{name} must be finite")
        exponent = number.as_tuple().exponent
        if number.copy_abs() > largest or not isinstance(exponent, int) or exponent < _FINEST:
            raise BadValue(f"{name} must lie within {largest} and have at most {-_FINEST} decimals")
        return number

    def number_or_none(self, name: str, largest: Decimal = _LARGEST) -> Decimal | None:
        """An exact number, None when the field is missing."""
        return self.number(name, largest) if self.has(name) else None

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"{name} must be a whole number")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.data.get(name, default)
        if not isinstance(value, bool):
            raise BadValue(f"{name} must be true or false")
        return value

    def side(self) -> Side:
        """The field `side`."""
        return _choice(Side, self.text("side").upper(), "side")


class ControlDoor:
    """Verbs to calls. What it does not know is offered to the venue's own `control`."""

    def __init__(
        self,
        exchange: Exchange,
        ledger: Ledger,
        faults: FaultPlan,
        venue: Callable[[str, Mapping[str, object]], object],
        drop_connections: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._faults = faults
        self._venue = venue
        self._drop_connections = drop_connections
        self._verbs: dict[str, Callable[[Arguments], object]] = {
            "add_market": self._add_market,
            "bust": self._bust,
            "cancel_by_venue": self._cancel_by_venue,
            "clear_faults": self._clear_faults,
            "cross": self._cross,
            "drop_connections": lambda _: {"dropped": self._drop_connections()},
            "external_order": self._external_order,
            "fault": self._fault,
            "fund_account": self._fund_account,
            "halt": self._halt,
            "lift": self._lift,
            "pay_funding": self._pay_funding,
            "place_counterparty_order": self._place_counterparty_order,
            "set_mode": self._set_mode,
            "set_position": self._set_position,
            "set_price": self._set_price,
        }

    def handle(self, request: Request) -> Response:
        """Always JSON: 200 with the verb's result, 400 bad arguments, 404 no such verb, 409 refused."""
        # A page in somebody's browser must not be able to move money here.
        if "origin" in request.headers:
            return _json(403, {"error": "FORBIDDEN", "message": "not for browsers"})
        verb = request.path.removeprefix(_PREFIX)
        if request.method == "GET":
            return self._read(verb, request)
        if request.method != "POST":
            return _json(405, {"error": "METHOD", "message": "GET or POST"})
        try:
            data = msgspec.json.decode(request.body) if request.body.strip() else {}
            if not isinstance(data, dict):
                return _json(400, {"error": "BAD_ARGUMENTS", "message": "the body must be a JSON object"})
            return _json(200, self._do(verb, data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _json(400, {"error": "BAD_ARGUMENTS", "message": str(error)})
        except Refusal as refusal:
            return _json(409, {"error": refusal.reason.value, "message": refusal.message})
        except (BadValue, Unsupported) as error:
            return _json(400, {"error": "BAD_ARGUMENTS", "message": error.message})
        except KeyError as error:
            return _json(404, {"error": "UNKNOWN", "message": f"nothing here is called {error.args[0]!r}"})

    def _do(self, verb: str, data: Mapping[str, object]) -> object:
        known = self._verbs.get(verb)
        return known(Arguments(data)) if known is not None else self._venue(verb, data)

    def _read(self, what: str, request: Request) -> Response:
        account = request.query_value("account")
        if what == "ledger":
            frames = request.query_value("frames") in ("1", "true")
            return _json(200, self._ledger.to_json(account, frames=frames))
        if what == "digest":
            return _json(200, {"digest": self._ledger.digest()})
        if what == "faults":
            rows = [{"ts_ns": ts, "number": n, "where": where} for ts, n, where in self._faults.history]
            return _json(200, {"acted": rows})
        return _json(404, {"error": "UNKNOWN", "message": "read ledger, digest or faults"})

    # --- verbs

    def _add_market(self, args: Arguments) -> object:
        market = Market(
            symbol=args.text("symbol"),
            base=args.text("base"),
            quote=args.text("quote"),
            settlement=args.text("settlement", self._exchange.settlement),
            tick=args.number("tick"),
            lot=args.number("lot"),
            start_price=args.number("start_price"),
        )
        self._exchange.add_market(market)
        return {"symbol": market.symbol}

    def _bust(self, args: Arguments) -> object:
        return {"fills": [fill_row(one, True) for one in self._exchange.bust(args.text("fill_id"))]}

    def _cancel_by_venue(self, args: Arguments) -> object:
        order = self._exchange.cancel_by_venue(args.text("order_id"), args.text("reason", "VENUE"))
        return {"order": order_row(order, True)}

    def _cross(self, args: Arguments) -> object:
        fills = self._exchange.cross(args.text("order_id"), args.number_or_none("quantity"))
        return {"fills": [fill_row(one, True) for one in fills]}

    def _external_order(self, args: Arguments) -> object:
        price = args.number_or_none("price")
        request = NewOrder(
            account=args.text("account"),
            market=args.text("market"),
            side=args.side(),
            quantity=args.number("quantity"),
            kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
            price=price,
            tif=_choice(Tif, args.text("tif", "GTC"), "tif"),
            post_only=args.flag("post_only", False),
            reduce_only=args.flag("reduce_only", False),
            client_id=args.text("client_id", ""),
        )
        return {"order": order_row(self._exchange.external_order(request), True)}

    def _place_counterparty_order(self, args: Arguments) -> object:
        order = self._exchange.place_counterparty_order(
            args.text("market"),
            args.side(),
            args.number("quantity"),
            args.number_or_none("price"),
            tif=_choice(Tif, args.text("tif", "GTC"), "tif"),
        )
        return {"order": order_row(order, True)}

    def _fund_account(self, args: Arguments) -> object:
        account = args.text("account")
        self._exchange.fund_account(account, args.number("amount"))
        return balance_row(account, self._exchange.balance(account))

    def _set_position(self, args: Arguments) -> object:
        position = self._exchange.set_position(
            args.text("account"), args.text("market"), args.number("quantity"), args.number_or_none("price")
        )
        return {"position": position_row(position, True)}

    def _set_price(self, args: Arguments) -> object:
        self._exchange.set_price(args.text("market"), args.number("mark"), args.number_or_none("index"))
        return {}

    def _pay_funding(self, args: Arguments) -> object:
        self._exchange.pay_funding(args.text("market"), args.number_or_none("rate", Decimal(1)))
        return {}

    def _halt(self, args: Arguments) -> object:
        self._exchange.halt(args.text("market"), args.flag("halted", True))
        return {}

    def _set_mode(self, args: Arguments) -> object:
        market = args.text("market") if args.has("market") else None
        self._exchange.set_mode(_choice(Mode, args.text("mode"), "mode"), market)
        return {"mode": self._exchange.mode(market).value}

    def _fault(self, args: Arguments) -> object:
        rows = args.data.get("plan")
        plan = rows if isinstance(rows, list) else [args.data]
        # All rows are read before the first is armed: a plan is in force as a whole or not at all.
        faults = [parse_fault(one) for one in plan]
        return {"numbers": [self._faults.add(one) for one in faults]}

    def _lift(self, args: Arguments) -> object:
        self._faults.lift(args.whole("number"))
        return {}

    def _clear_faults(self, args: Arguments) -> object:
        self._faults.clear()
        return {}


def _choice[E: (Side, Tif, Mode)](kind: type[E], text: str, name: str) -> E:
    for one in kind:
        if one.value == text:
            return one
    raise BadValue(f"{name} must be one of {', '.join(str(one.value) for one in kind)}")


def _json(status: int, data: object) -> Response:
    return Response(status=status, body=msgspec.json.encode(data))
