"""The Stark curve in plain Python: Pedersen hash, public keys and deterministic ECDSA.

Everything a fixed point is multiplied with goes through tables of windows, so one multiplication is a few
dozen additions and no doubling: 8 bits a window for the hash (entry d of window i is d * 2^(8i) * point), 11
bits with signed digits for the generator. The tables are built on first use, or ahead of it by `warm`.

None of this runs in constant time: do not sign where somebody untrusted can measure single calls closely.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Protocol

from venuekit.errors import BadValue

type Point = tuple[int, int]
type Window = Sequence[Point]
"""Multiples of one point, in the order of their digit (negative ones from the end); entry 0 is never read."""

# Parameters of the curve y^2 = x^3 + x + b and of its Pedersen hash as StarkWare publishes them (derived
# there from the digits of pi); tests check each against two other libraries.
FIELD_PRIME = 2**251 + 17 * 2**192 + 1
CURVE_ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
GENERATOR: Point = (
    0x1EF15C18599971B7BECED415A40F0C7DEACFD9B0D1819E03D723D8BC943CFCA,
    0x5668060AA49730B7BE4801DF46EC62DE53ECD11ABE43A32873000C36E8DC1F,
)
_SHIFT: Point = (
    0x49EE3EBA8C1600700EE1B87EB599F16716B0B1022947733551FDE4050CA6804,
    0x3CA0CFE4B3BC6DDF346D49D06EA0ED34E621062C0E056C1D0405D266E10268A,
)
_LEFT_LOW: Point = (
    0x234287DCBAFFE7F969C748655FCA9E58FA8120B6D56EB0C1080D17957EBE47B,
    0x3B056F100F96FB21E889527D41F4E39940135DD7A6C94CC6ED0268EE89E5615,
)
_LEFT_HIGH: Point = (
    0x4FA56F376C83DB33F9DAB2656558F3399099EC1DE5E3018B7A6932DBA8AA378,
    0x3FA0984C931C9E38113E0C0E47E4401562761F92A7A23B45168F4E80FF5B54D,
)
_RIGHT_LOW: Point = (
    0x4BA4CC166BE8DEC764910F75B45F74B40C690C74709E90F3AA372F0BD2D6997,
    0x40301CF5C1751F4B971E46C4EDE85FCAC5C59A5CE5AE7C48151F27B24B219C,
)
_RIGHT_HIGH: Point = (
    0x54302DCB0E6CC1C6E44CCA8F61A63BB2CA65048D53FB325D36FF12C49A58202,
    0x1B77B3E37D13504B348046268D8AE25CE98AD783C25561A879DCC77E99C2426,
)

_LOW_WINDOWS = 31
"""Windows of the low 248 bits of a Pedersen input; its top 4 bits have a point of their own."""

ELEMENT_LIMIT = 2**251
"""Hashes to sign, r and the inverse of s must lie below this; the curve order is a little larger."""


class Hasher(Protocol):
    """Computes Pedersen hashes."""

    def hash(self, left: int, right: int) -> int:
        """The Pedersen hash of two field elements."""
        ...

    def pin(self, left: int) -> None:
        """Later hashes with this left input may cost less; at most a few dozen are pinned."""
        ...


def _window_bases(point: Point, count: int, bits: int = 8) -> list[Point]:
    """The point times 2^(bits * i) for i below count, affine."""
    p = FIELD_PRIME
    x, y, z = point[0], point[1], 1
    jacobian = [(x, y, z)]
    for _ in range(count - 1):
        for _ in range(bits):
            yy = y * y % p
            s = 4 * x * yy % p
            zz = z * z % p
            m = (3 * x * x + zz * zz) % p
            z = 2 * y * z % p
            x = (m * m - 2 * s) % p
            y = (m * (s - x) - 8 * yy * yy) % p
        jacobian.append((x, y, z))
    bases = []
    for (x, y, _), inverse in zip(jacobian, _inverses([z for _, _, z in jacobian]), strict=True):
        square = inverse * inverse % p
        bases.append((x * square % p, y * square * inverse % p))
    return bases


def _inverses(values: Sequence[int]) -> list[int]:
    """Inverses modulo the field prime at the price of one; raises ValueError when a value is 0."""
    p = FIELD_PRIME
    products, product = [], 1
    for value in values:
        products.append(product)
        product = product * value % p
    inverse = pow(product, -1, p)
    found = [0] * len(values)
    for i in range(len(values) - 1, -1, -1):
        found[i] = products[i] * inverse % p
        inverse = inverse * values[i] % p
    return found


def _doubled(points: Sequence[Point]) -> list[Point]:
    p = FIELD_PRIME
    doubles = []
    for (x, y), inverse in zip(points, _inverses([2 * y for _, y in points]), strict=True):
        slope = (3 * x * x + 1) * inverse % p
        x3 = (slope * slope - 2 * x) % p
        doubles.append((x3, (slope * (x - x3) - y) % p))
    return doubles


def _added(points: Sequence[Point], others: Sequence[Point]) -> list[Point]:
    p = FIELD_PRIME
    gaps = [other[0] - point[0] for point, other in zip(points, others, strict=True)]
    sums = []
    for (x, y), (x2, y2), inverse in zip(points, others, _inverses(gaps), strict=True):
        slope = (y2 - y) * inverse % p
        x3 = (slope * slope - x - x2) % p
        sums.append((x3, (slope * (x - x3) - y) % p))
    return sums


def _windows(bases: Sequence[Point], size: int = 256) -> list[Window]:
    """Multiples 1 to size - 1 of every base; all bases advance together to share their inversions."""
    rows: list[list[Point]] = [list(bases), list(bases)]
    while len(rows) < size:
        half = len(rows) // 2
        rows.append(_doubled(rows[half]))
        rows.append(_added(rows[-1], bases))
    return list(zip(*rows[:size], strict=True))


def _signed_windows(bases: Sequence[Point], half: int) -> list[Window]:
    """Multiples -half to half of every base; a negative one costs a subtraction and shares its x."""
    return [
        [*row, *((x, FIELD_PRIME - y) for x, y in reversed(row[1:half]))] for row in _windows(bases, half + 1)
    ]


# Extended Jacobian coordinates: x = X / ZZ, y = Y / ZZZ, ZZ^3 = ZZZ^2.
type _Sum = tuple[int, int, int, int]


def _add_windows(total: _Sum, windows: Sequence[Window], digits: Iterable[int]) -> _Sum:
    """Add one table entry for every digit that is not 0.

    Should the sum ever meet plus or minus a table entry (that takes a discrete logarithm nobody knows),
    ZZ becomes 0 and stays 0, and `_affine` raises: a wrong result cannot come out.
    """
    p = FIELD_PRIME
    x, y, zz, zzz = total
    for window, digit in zip(windows, digits, strict=False):
        if digit:
            x2, y2 = window[digit]
            gap = (x2 * zz - x) % p
            rise = (y2 * zzz - y) % p
            square = gap * gap % p
            cube = gap * square % p
            q = x * square % p
            x = (rise * rise - cube - 2 * q) % p
            y = (rise * (q - x) - y * cube) % p
            zz = zz * square % p
            zzz = zzz * cube % p
    return x, y, zz, zzz


def _affine_x(total: _Sum) -> int:
    return total[0] * pow(total[2], -1, FIELD_PRIME) % FIELD_PRIME


def _affine(total: _Sum) -> Point:
    p = FIELD_PRIME
    x, y, zz, zzz = total
    inverse = pow(zz * zzz, -1, p)
    return x * zzz * inverse % p, y * zz * inverse % p


class _Lazy[T]:
    """Builds a value once, on first use, whichever thread comes first."""

    __slots__ = ("_build", "_lock", "_value")

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = Lock()
        self._value: T | None = None

    def __call__(self) -> T:
        if self._value is None:
            with self._lock:
                if self._value is None:
                    self._value = self._build()
        return self._value


def _hash_windows() -> tuple[list[Window], list[Window]]:
    left = [*_window_bases(_LEFT_LOW, _LOW_WINDOWS), _LEFT_HIGH]
    right = [*_window_bases(_RIGHT_LOW, _LOW_WINDOWS), _RIGHT_HIGH]
    windows = _windows([*left, *right])
    return windows[: len(left)], windows[len(left) :]


_DIGIT_BITS = 11
_DIGIT_HALF = 1 << (_DIGIT_BITS - 1)
_DIGITS = 23
"""Enough for scalars below 2^251 and the carry of the last digit."""

_GENERATOR_TABLE = _Lazy(lambda: _signed_windows(_window_bases(GENERATOR, _DIGITS, _DIGIT_BITS), _DIGIT_HALF))
_HASH_TABLES = _Lazy(_hash_windows)


def _element(value: int) -> bytes:
    if not 0 <= value < FIELD_PRIME:
        raise BadValue("a value to hash is not an element of the Stark field")
    return value.to_bytes(32, "little")


class PedersenHasher:
    """The Pedersen hash in plain Python, about 0.15 ms a call once the tables are built."""

    __slots__ = ("_pinned",)

    _MOST_PINNED = 64

    def __init__(self) -> None:
        self._pinned: dict[int, _Sum] = {}

    def warm(self) -> None:
        """The tables exist after this (about 0.1 s the first time)."""
        _HASH_TABLES()

    def pin(self, left: int) -> None:
        """Hashes with this left input add only their right input from now on."""
        if left not in self._pinned and len(self._pinned) < self._MOST_PINNED:
            x, y = _affine(self._start(left))
            self._pinned[left] = (x, y, 1, 1)

    def hash(self, left: int, right: int) -> int:
        """The Pedersen hash; raises BadValue when an input is not a field element."""
        start = self._pinned.get(left) or self._start(left)
        return _affine_x(_add_windows(start, _HASH_TABLES()[1], _element(right)))

    @staticmethod
    def _start(left: int) -> _Sum:
        return _add_windows((*_SHIFT, 1, 1), _HASH_TABLES()[0], _element(left))


def hash_chain(hasher: Hasher, elements: Sequence[int]) -> int:
    """h(...h(h(0, e1), e2)..., n) over n elements."""
    state = 0
    for element in (*elements, len(elements)):
        state = hasher.hash(state, element)
    return state


def warm_generator() -> None:
    """The generator's table exists after this (about 0.06 s the first time)."""
    _GENERATOR_TABLE()


def _signed_digits(scalar: int) -> list[int]:
    """Digits from -1023 to 1024 whose sum, each times 2048^i, is the scalar."""
    digits = []
    for _ in range(_DIGITS):
        digit = scalar & (2 * _DIGIT_HALF - 1)
        scalar >>= _DIGIT_BITS
        if digit > _DIGIT_HALF:
            digit -= 2 * _DIGIT_HALF
            scalar += 1
        digits.append(digit)
    return digits


def _times_generator_x(scalar: int) -> int:
    """The x coordinate of scalar * G, for 0 < scalar < order."""
    windows = _GENERATOR_TABLE()
    # Opposite points share their x. With the smaller of the two scalars no partial sum can equal plus or
    # minus the entry added to it: together they stay below the order.
    digits = _signed_digits(min(scalar, CURVE_ORDER - scalar))
    first = next(i for i, digit in enumerate(digits) if digit)
    start = windows[first][digits[first]]
    return _affine_x(_add_windows((*start, 1, 1), windows[first + 1 :], digits[first + 1 :]))


def public_key(private: int) -> int:
    """The x coordinate that names a key pair; raises BadValue when the key is out of range."""
    if not 0 < private < CURVE_ORDER:
        raise BadValue("a Stark key must lie between 1 and the curve order")
    return _times_generator_x(private)


class _Nonces:
    """RFC 6979 candidates with SHA-256 and extra entropy, for one hash and key."""

    __slots__ = ("_key", "_value")

    def __init__(self, digest: int, private: int, seed: int) -> None:
        # Stark libraries feed the shortest byte string of the hash and shift it by a nibble when its 32nd
        # byte holds 1 to 4 bits. RFC 6979 then drops what exceeds 252 bits, which is that nibble, and pads
        # to 32 bytes. Below 2^251 all of it together is the padded hash.
        entropy = seed.to_bytes((seed.bit_length() + 7) // 8, "big")
        data = private.to_bytes(32, "big") + digest.to_bytes(32, "big") + entropy
        self._key, self._value = bytes(32), b"\x01" * 32
        self._mix(b"\x00" + data)
        self._mix(b"\x01" + data)

    def _mix(self, data: bytes) -> None:
        self._key = hmac.digest(self._key, self._value + data, "sha256")
        self._value = hmac.digest(self._key, self._value, "sha256")

    def next(self) -> int:
        """The next candidate in (0, order)."""
        while True:
            self._value = hmac.digest(self._key, self._value, "sha256")
            # The order has 252 bits, so the 4 lowest of the 256 are dropped.
            candidate = int.from_bytes(self._value, "big") >> 4
            if 0 < candidate < CURVE_ORDER:
                return candidate
            self._mix(b"\x00")


_SEED = 32
"""Extra entropy of the first attempt, as the venue's SDK and starknet-py use it."""


def sign(digest: int, private: int) -> tuple[int, int]:
    """The deterministic signature (r, s) of a hash; raises BadValue when hash or key is out of range."""
    if not 0 < digest < ELEMENT_LIMIT:
        raise BadValue("a hash to sign must lie between 1 and 2^251")
    if not 0 < private < CURVE_ORDER:
        raise BadValue("a Stark key must lie between 1 and the curve order")
    seed = _SEED
    while True:
        signature = _signature(digest, private, _Nonces(digest, private, seed).next())
        if signature is not None:
            return signature
        seed += 1


def _signature(digest: int, private: int, nonce: int) -> tuple[int, int] | None:
    """The signature with this nonce, or None when r or the inverse of s leaves (0, 2^251)."""
    n = CURVE_ORDER
    r = _times_generator_x(nonce)
    if not 0 < r < ELEMENT_LIMIT:
        return None
    t = (digest + r * private) % n
    if t == 0:
        return None
    # One inversion serves s = t / nonce and its inverse w = nonce / t.
    inverse = pow(nonce * t, -1, n)
    if not 0 < nonce * nonce * inverse % n < ELEMENT_LIMIT:
        return None
    return r, t * t * inverse % n
