"""Proof that a request was signed by whom it names: the venue's typed-data hash, checked on the Stark curve.

The hash is the chain of two-argument Pedersen hashes of SNIP-12 (revision 0). The curve is that of
fast_stark_crypto, imported when the first proof is asked for.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

CURVE_ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
FIELD_PRIME = 2**251 + 17 * 2**192 + 1
# The curve is y^2 = x^3 + x + BETA over the field of the prime above.
BETA = 0x6F21413EFBE40DE150E596D72F7A8C5609AD26C15C915C1F4CDFCB99CEE9E89
ADDRESS_BOUND = 2**251 - 256
AUTH_PATH = "/v1/auth"

# Selectors (low 250 bits of keccak-256) of the type texts, so that the simulator needs no keccak; the tests
# derive them again from the texts with another library.
SELECTORS = {
    "StarkNetDomain(name:felt,chainId:felt,version:felt)": (
        0x98D1932052FC5137543DE5ED85B7A88555A4CD1FF5D5BFEDB62ED9B9A1F0DB
    ),
    "Constant(action:felt)": 0xE84BBCB68E0F7C73A9058BA82B6DA9C1FFDC502EFCF034E78B0C003C22ECC9,
    "Request(method:felt,path:felt,body:felt,timestamp:felt,expiration:felt)": (
        0x186CDEF6B179923C411C13C11B8A825F12BF34203BDDA0A984DA9D6F2313C2
    ),
    "Order(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt)": (
        0xA56D5225B97B257C15AE2CB1CC0EA605381A886CD75463DB45FD2EF9FBC255
    ),
    "ModifyOrder(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt,id:felt)": (
        0x201789BB587C17B251FD38DAF43B14807010EA721C2929A8C2FC33BF15C2E2C
    ),
    "initialize": 0x79DC0DA7C54B95F10AA182AD0A46400DB63156920ADB65ECA2654C0945A463,
}
_DOMAIN, _CONSTANT, _REQUEST, _ORDER, _MODIFY, _INITIALIZE = SELECTORS.values()
SIDES = {"BUY": 1, "SELL": 2}


class BadProofError(ValueError):
    """A signature text that cannot be read, or signed text that does not fit a field element."""


def short_string(text: str) -> int:
    """The field element of an ASCII text of at most 31 characters; 0 for the empty text."""
    if len(text) > 31 or not text.isascii():
        raise BadProofError(f"not a short string: {text[:40]!r}")
    return int.from_bytes(text.encode(), "big")


def felt(text: str) -> int:
    """Text to field element by the venue's rule: hex, else all digits, else a short string."""
    if text.startswith("0x"):
        value = int(text, 16)
    elif text.isascii() and text.isdigit():
        value = int(text)
    else:
        value = short_string(text)
    if not 0 <= value < FIELD_PRIME:
        raise BadProofError("not a field element")
    return value


def pedersen(a: int, b: int) -> int:
    """The Pedersen hash of two field elements."""
    from fast_stark_crypto import pedersen_hash

    return int(pedersen_hash(a, b))


def chain(items: Sequence[int]) -> int:
    """h(...h(h(0, x1), x2)..., k) over the k items."""
    state = 0
    for item in items:
        state = pedersen(state, item)
    return pedersen(state, len(items))


@cache
def _domain(chain_id: str) -> int:
    return chain((_DOMAIN, short_string("Paradex"), short_string(chain_id), 1))


def message_hash(chain_id: str, account: int, struct_hash: int) -> int:
    """The hash that is signed: message tag, domain, account, struct."""
    return chain((short_string("StarkNet Message"), _domain(chain_id), account, struct_hash))


def onboarding_hash(chain_id: str, account: int) -> int:
    """Hash of the onboarding constant for `account`."""
    return message_hash(chain_id, account, chain((_CONSTANT, short_string("Onboarding"))))


def auth_hash(chain_id: str, account: int, timestamp_secs: int, expiration_secs: int) -> int:
    """Hash of the token request; the signed path is the bare one for every spelling of the URL."""
    fields = (short_string("POST"), short_string(AUTH_PATH), 0, timestamp_secs, expiration_secs)
    return message_hash(chain_id, account, chain((_REQUEST, *fields)))


def quantum(text: str) -> int:
    """Decimal text times 10^8, truncated: how sizes and prices are signed."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise BadProofError(f"not a number: {text[:40]!r}") from error
    if not value.is_finite() or not 0 <= value < 10**40:
        raise BadProofError(f"not a signable number: {text[:40]!r}")
    return int(value.scaleb(8))


@frozen
class SignedOrder:
    """What of an order is signed; `order_id` is set for a modify only."""

    timestamp_ms: int
    market: str
    side: str
    order_type: str
    size: str
    price: str
    order_id: str = ""

    def struct_hash(self) -> int:
        """Struct hash; the price of market types is signed as zero."""
        fields = (
            self.timestamp_ms,
            felt(self.market),
            SIDES[self.side],
            felt(self.order_type),
            quantum(self.size),
            0 if self.order_type.endswith("MARKET") else quantum(self.price),
        )
        if self.order_id:
            return chain((_MODIFY, *fields, felt(self.order_id)))
        return chain((_ORDER, *fields))


def order_hash(chain_id: str, account: int, order: SignedOrder) -> int:
    """Hash of a new order or of a modify for `account` (the main account, also for subkeys)."""
    return message_hash(chain_id, account, order.struct_hash())


def parse_signature(text: str) -> tuple[int, int]:
    """(r, s) of a JSON array text with decimal or hex numbers."""
    try:
        pair = json.loads(text)
        r, s = (
            item if isinstance(item, int) else int(item, 16 if item.startswith("0x") else 10) for item in pair
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadProofError("signature is not an array of two numbers") from error
    return r, s


@lru_cache(maxsize=4096)
def is_public_key(x: int) -> bool:
    """True when `x` is the x coordinate of a point of the curve (Euler's criterion)."""
    square = (x**3 + x + BETA) % FIELD_PRIME
    return 0 < x < FIELD_PRIME and pow(square, (FIELD_PRIME - 1) // 2, FIELD_PRIME) == 1


def verify(public_key: int, digest: int, signature: str) -> bool:
    """True when `signature` (text as on the wire) signs `digest` under `public_key`."""
    from fast_stark_crypto import verify as check

    r, s = parse_signature(signature)
    # The library ends in a panic, not an exception, for numbers that are no scalar or no curve point.
    if not (0 < r < 2**251 and 0 < s < CURVE_ORDER and is_public_key(public_key)):
        return False
    return bool(check(public_key=public_key, msg_hash=digest, r=r, s=s))


def account_address(public_key: int, proxy_hash: int, account_hash: int) -> int:
    """Address of the account contract that belongs to a Stark public key."""
    calldata = chain((account_hash, _INITIALIZE, 2, public_key, 0))
    parts = (short_string("STARKNET_CONTRACT_ADDRESS"), 0, public_key, proxy_hash, calldata)
    return chain(parts) % ADDRESS_BOUND


def public_key_of(private_key: int) -> int:
    """The x coordinate that belongs to a private key."""
    from fast_stark_crypto import get_public_key

    return int(get_public_key(private_key))


def sign(private_key: int, digest: int) -> str:
    """Signature text as on the wire; for test clients and for the tests' own requests."""
    from fast_stark_crypto import sign as make

    r, s = make(private_key, digest)
    return json.dumps([str(r), str(s)], separators=(",", ":"))
