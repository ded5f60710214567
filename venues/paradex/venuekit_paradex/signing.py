"""What Paradex wants signed, its hash, and the signer.

Messages are SNIP-12 revision 0 typed data over Pedersen; a signature is the JSON array ["r","s"] in decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from attrs import frozen

from venuekit.errors import BadValue, ConfigError
from venuekit.interfaces.signer import Secret, Signed, SignRequest, Where
from venuekit_paradex import stark
from venuekit_paradex.keys import StarkKey, parse_address

SCHEME: Final = "stark"
"""The scheme of every sign request of this venue."""

AUTH_PATH: Final = "/v1/auth"
"""The path that an auth message names, whatever URL it is sent to."""


def short_string(text: str) -> int:
    """The field element of at most 31 ASCII characters; raises BadValue."""
    if len(text) > 31 or not text.isascii():
        raise BadValue(f"not a Cairo short string: {text!r}", hint="at most 31 ASCII characters")
    return int.from_bytes(text.encode("ascii"), "big")


def parse_felt(value: int | str | bytes) -> int:
    """The field element of a message field: 0x text is hex, digits are decimal, other text a short string."""
    if isinstance(value, str):
        try:
            if value.startswith("0x"):
                value = int(value, 16)
            elif value.isascii() and value.isdigit():
                value = int(value)
            else:
                value = short_string(value)
        except ValueError:
            raise BadValue(f"not a field element: {value!r}") from None
    if not isinstance(value, int) or not 0 <= value < stark.FIELD_PRIME:
        raise BadValue(f"not a field element: {value!r}")
    return value


_EIGHT_DECIMALS = Decimal("1e-8")
_PLAIN_DIGITS = 40
"""So long may a text be that is read without `Decimal`, which an order would meet four times."""
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


def parse_quanta(value: Decimal | str) -> int:
    """A price or size in units of 1e-8, exactly; raises BadValue when negative, finer or not a number."""
    if isinstance(value, str) and len(value) <= _PLAIN_DIGITS and value.isascii():
        whole, _, part = value.partition(".")
        if whole.isdigit() and len(part) <= 8 and (not part or part.isdigit()):
            return int(whole + part.ljust(8, "0"))
    try:
        exact = _EXACT.create_decimal(value).quantize(_EIGHT_DECIMALS, context=_EXACT)
    except (ArithmeticError, ValueError):
        raise BadValue(f"not a multiple of 0.00000001: {value!r}") from None
    if not exact.is_finite() or exact < 0:
        raise BadValue(f"not a price or size: {value!r}")
    return int(exact.scaleb(8, context=_EXACT))


@frozen
class MessageType:
    """A signed struct: the selector of its type text (keccak-256, 250 bits) and its fields in order."""

    name: str
    selector: int
    fields: tuple[str, ...]

    @property
    def text(self) -> str:
        """The type text whose selector this is."""
        return f"{self.name}({','.join(f'{name}:felt' for name in self.fields)})"


_ORDER_FIELDS = ("timestamp", "market", "side", "orderType", "size", "price")
_AUTH_FIELDS = ("method", "path", "body", "timestamp", "expiration")

# The selectors are constants because keccak-256 is in no library this package needs otherwise.
DOMAIN = MessageType(
    "StarkNetDomain",
    0x98D1932052FC5137543DE5ED85B7A88555A4CD1FF5D5BFEDB62ED9B9A1F0DB,
    ("name", "chainId", "version"),
)
MESSAGES: Final[Mapping[str, MessageType]] = {
    "order": MessageType(
        "Order", 0xA56D5225B97B257C15AE2CB1CC0EA605381A886CD75463DB45FD2EF9FBC255, _ORDER_FIELDS
    ),
    "modify_order": MessageType(
        "ModifyOrder",
        0x201789BB587C17B251FD38DAF43B14807010EA721C2929A8C2FC33BF15C2E2C,
        (*_ORDER_FIELDS, "id"),
    ),
    "auth": MessageType(
        "Request", 0x186CDEF6B179923C411C13C11B8A825F12BF34203BDDA0A984DA9D6F2313C2, _AUTH_FIELDS
    ),
    "onboarding": MessageType(
        "Constant", 0xE84BBCB68E0F7C73A9058BA82B6DA9C1FFDC502EFCF034E78B0C003C22ECC9, ("action",)
    ),
}
"""The kinds of a sign request; the fields of a request are those of its struct."""

_PREFIX = short_string("StarkNet Message")
_DOMAIN_NAME = short_string("Paradex")
_DOMAIN_VERSION = 1
"""The integer, not the text: a text of digits is a number in this scheme."""


class NativeHasher:
    """The Pedersen hash of fast-stark-crypto (extra `fast`), about 0.05 ms a call."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        try:
            from fast_stark_crypto import pedersen_hash
        except ImportError:
            raise ConfigError(
                "fast-stark-crypto is not installed",
                hint='pip install "venuekit-paradex[fast]" or choose the signer stark/python',
            ) from None
        self._hash: Callable[[int, int], int] = pedersen_hash

    def pin(self, left: int) -> None:
        """Nothing is kept: the library has no partial results."""

    def hash(self, left: int, right: int) -> int:
        """The Pedersen hash; raises BadValue when an input is not a field element."""
        if not (0 <= left < stark.FIELD_PRIME and 0 <= right < stark.FIELD_PRIME):
            # The library would reduce silently.
            raise BadValue("a value to hash is not an element of the Stark field")
        return self._hash(left, right)


def order_request(
    *,
    timestamp_ms: int,
    market: str,
    side: str,
    order_type: str,
    size: Decimal | str,
    price: Decimal | str | None,
) -> SignRequest:
    """What a new order signs; the price of market types is signed as 0 whatever is given."""
    return SignRequest(SCHEME, "order", _order_fields(timestamp_ms, market, side, order_type, size, price))


def modify_request(
    *,
    timestamp_ms: int,
    market: str,
    side: str,
    order_type: str,
    size: Decimal | str,
    price: Decimal | str | None,
    order_id: str,
) -> SignRequest:
    """What a changed order signs: its new values and the venue's order id."""
    if not (order_id.isascii() and order_id.isdigit()):
        raise BadValue(f"not a Paradex order id: {order_id!r}")
    fields = _order_fields(timestamp_ms, market, side, order_type, size, price)
    return SignRequest(SCHEME, "modify_order", {**fields, "id": int(order_id)})


def _order_fields(
    timestamp_ms: int,
    market: str,
    side: str,
    order_type: str,
    size: Decimal | str,
    price: Decimal | str | None,
) -> dict[str, int | str | bytes]:
    if side not in ("BUY", "SELL"):
        raise BadValue(f"not a Paradex side: {side!r}")
    at_market = order_type.endswith("MARKET")
    if price is None and not at_market:
        raise BadValue(f"a {order_type} order needs a price")
    return {
        "timestamp": timestamp_ms,
        "market": market,
        "side": 1 if side == "BUY" else 2,
        "orderType": order_type,
        "size": parse_quanta(size),
        "price": 0 if price is None or at_market else parse_quanta(price),
    }


def auth_request(*, timestamp_secs: int, expiration_secs: int) -> SignRequest:
    """What a request for a session token signs."""
    fields: dict[str, int | str | bytes] = {
        "method": "POST",
        "path": AUTH_PATH,
        "body": "",
        "timestamp": timestamp_secs,
        "expiration": expiration_secs,
    }
    return SignRequest(SCHEME, "auth", fields)


def onboarding_request() -> SignRequest:
    """What onboarding signs."""
    return SignRequest(SCHEME, "onboarding", {"action": "Onboarding"})


class ParadexStarkSigner:
    """Signs for one account on one chain. A subkey signs with its own key and the MAIN account's address.

    About 1.3 ms a signature with the plain hash, in stretches of at most 0.25 ms when stepped.
    """

    __slots__ = ("_account", "_chain_id", "_hasher", "_key", "_outer", "_structs")

    def __init__(
        self, key: StarkKey, *, chain_id: str, account: str, hasher: stark.Hasher | None = None
    ) -> None:
        self._key = key
        self._chain_id = short_string(chain_id)
        self._account = parse_address(account)
        self._hasher = hasher if hasher is not None else stark.PedersenHasher()
        self._outer: int | None = None
        self._structs: dict[str, int] = {}

    @property
    def public(self) -> str:
        """The public key as 0x hex without leading zeros."""
        return self._key.public

    @property
    def where(self) -> Where:
        """In the loop: a signature takes about 1.3 ms."""
        return Where.INLINE

    def warm(self) -> None:
        """Tables, prefixes and the public key exist after this (about 0.1 s the first time)."""
        if isinstance(self._hasher, stark.PedersenHasher):
            self._hasher.warm()
        stark.warm_generator()
        for _ in self._outer_steps():
            pass
        for message in MESSAGES.values():
            self._struct_prefix(message)
        _ = self._key.public

    def sign(self, request: SignRequest) -> Signed:
        """The signature text and the message hash; raises BadValue for a message that is not one of ours."""
        *_, signed = self.sign_steps(request)
        assert signed is not None
        return signed

    def sign_steps(self, request: SignRequest) -> Iterator[Signed | None]:
        """Yield None after each Pedersen hash, and the signature last."""
        digest = yield from self._digest_steps(request)
        r, s = self._key.sign(digest)
        yield Signed(signature=f'["{r}","{s}"]'.encode("ascii"), digest=digest.to_bytes(32, "big"))

    def _digest_steps(self, request: SignRequest) -> Generator[None, None, int]:
        message, values = _felts(request)
        outer = yield from self._outer_steps()
        state = self._struct_prefix(message)
        for value in (*values, len(values) + 1):
            state = self._hasher.hash(state, value)
            yield
        state = self._hasher.hash(outer, state)
        yield
        state = self._hasher.hash(state, 4)
        yield
        return state

    def _outer_steps(self) -> Generator[None, None, int]:
        """The hash over message tag, domain and account, which never changes."""
        if self._outer is None:
            domain = 0
            elements = (DOMAIN.selector, _DOMAIN_NAME, self._chain_id, _DOMAIN_VERSION, 4)
            for element in elements:
                domain = self._hasher.hash(domain, element)
                yield
            outer = 0
            for element in (_PREFIX, domain, self._account):
                outer = self._hasher.hash(outer, element)
                yield
            self._hasher.pin(outer)
            self._outer = outer
        return self._outer

    def _struct_prefix(self, message: MessageType) -> int:
        prefix = self._structs.get(message.name)
        if prefix is None:
            prefix = self._hasher.hash(0, message.selector)
            self._hasher.pin(prefix)
            self._structs[message.name] = prefix
        return prefix

    def __repr__(self) -> str:
        return f"ParadexStarkSigner(public={self.public})"


def _felts(request: SignRequest) -> tuple[MessageType, list[int]]:
    message = MESSAGES.get(request.kind)
    if request.scheme != SCHEME or message is None:
        raise BadValue(f"this signer does not sign {request.scheme}/{request.kind}")
    if set(request.fields) != set(message.fields):
        raise BadValue(f"a {request.kind} signs exactly the fields {', '.join(message.fields)}")
    return message, [parse_felt(request.fields[name]) for name in message.fields]


def _signer(secret: Secret, facts: Mapping[str, str], hasher: stark.Hasher) -> ParadexStarkSigner:
    missing = [name for name in ("chain_id", "account") if not facts.get(name)]
    if missing:
        raise ConfigError(f"a Stark signer needs the venue's {' and '.join(missing)}")
    return ParadexStarkSigner(
        StarkKey.parse(secret), chain_id=facts["chain_id"], account=facts["account"], hasher=hasher
    )


def python_signer(secret: Secret, facts: Mapping[str, str]) -> ParadexStarkSigner:
    """The signer `stark/python`; `facts` are `chain_id` (text) and `account` (0x address)."""
    return _signer(secret, facts, stark.PedersenHasher())


def native_signer(secret: Secret, facts: Mapping[str, str]) -> ParadexStarkSigner:
    """The signer `stark/native`: the same bits; raises ConfigError where fast-stark-crypto is missing."""
    return _signer(secret, facts, NativeHasher())
