"""Seeded damage to good input: bytes, JSON trees and texts. The same seed always does the same damage."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (0, 1, -1, 2, 7, 8, 9, 127, 128, 255, 256, 1_000, 32_767, 65_535, 65_536, 10**8, 10**12, 10**18)
EDGES = (
    *NUMBERS,
    2**31 - 1,
    -(2**31),
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    -(2**63) + 1,
    2**64,
    10**40,
    -(10**30),
)
TEXTS = (
    *(
        "",
        " ",
        "0",
        "-0",
        "-1",
        "+1",
        "1",
        "00001",
        "0.1",
        ".5",
        "5.",
        "1e5",
        "1E-8",
        "1e400",
        "-1e-400",
        "1e-9",
    ),
    *(
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "0x10",
        "1_000",
        "1,5",
        " 1 ",
        "9" * 40,
        "9" * 400,
        "9" * 18,
        "1" + "0" * 9,
        "0." + "0" * 39 + "1",
    ),
    *(
        "٣",
        "½",
        "é",
        "\u0000",
        "\u2028",
        "\U0001f4a5",
        "\U0001f4a5" * 64,
        "BUY",
        "SELL",
        "LONG",
        "OPEN",
        "CLOSED",
        "LIMIT",
        "GTC",
    ),
    *("BTC-USD-PERP", "ETH-USD-PERP", "DOG-USD-PERP", "../..", "%00", "a" * 65, "x" * 3_000, "null", "true"),
)
LITERALS = (
    *(
        "null",
        "true",
        "false",
        "[]",
        "{}",
        '""',
        "0",
        "-0",
        "-1",
        "0.0",
        "0.1",
        "1e5",
        "1e400",
        "-1e-400",
        "1e-9",
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "9" * 5_000,
        "0" * 30,
        "01",
        "1.",
        "'x'",
        '"\\ud800"',
        '"\\u0000"',
        "[[[]]]",
    ),
    *(
        "[" * 60 + "]" * 60,
        "[" * 3_000 + "]" * 3_000,
        "[" * 50_000,
        '{"a":' * 2_000 + "1" + "}" * 2_000,
        "[null]",
    ),
)


class Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, in order; a name may stand twice."""


class Literal(str):
    """A piece of JSON text that is written as it stands, valid or not."""

    __slots__ = ()


def load(text: str | bytes) -> object:
    """JSON text as a tree whose objects are `Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def dump(tree: object) -> str:
    """JSON text of a tree, as broken as its literals make it."""
    if isinstance(tree, Literal):
        return str(tree)
    if isinstance(tree, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{dump(value)}" for name, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(dump, tree)) + "]"
    return json.dumps(tree)


class Mutator:
    """Draws from one seed; every method gives new input and leaves what it is given as it was."""

    def __init__(self, seed: str) -> None:
        self.draw = Random(seed)

    def pick[T](self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.draw.randrange(len(items))]

    def chance(self, share: float) -> bool:
        """True in this share of the cases."""
        return self.draw.random() < share

    def few(self) -> int:
        """1 most often, up to 6."""
        return min(6, 1 + int(self.draw.expovariate(1.0)))

    # --- bytes

    def blob(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """Flipped, cut, grown, overwritten, or spliced with one of the others."""
        acts: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._flip,
            self._set_bytes,
            self._set_number,
            self._set_number,
            self._set_length,
            self._cut,
            self._drop,
            self._repeat,
            self._grow,
        )
        made = bytearray(data)
        for _ in range(self.few()):
            if self.chance(0.1):
                made = self._splice(made, self.pick(others))
            else:
                self.pick(acts)(made)
        return bytes(made)

    def _at(self, made: bytearray) -> int:
        # Heads hold the lengths and kinds, so that damage is done there more often than elsewhere.
        size = max(1, len(made))
        return self.draw.randrange(min(16, size)) if self.chance(0.3) else self.draw.randrange(size)

    def _flip(self, made: bytearray) -> None:
        if made:
            made[self._at(made)] ^= 1 << self.draw.randrange(8)

    def _set_bytes(self, made: bytearray) -> None:
        at = self._at(made)
        made[at : at + self.few()] = self.draw.randbytes(self.few())

    def _set_number(self, made: bytearray) -> None:
        size = self.pick((1, 2, 4, 8, 8))
        at = self._at(made)
        number = self.pick(EDGES) if self.chance(0.7) else self.draw.getrandbits(8 * size)
        made[at : at + size] = (number % (1 << (8 * size))).to_bytes(size, "little")

    def _set_length(self, made: bytearray) -> None:
        """Two bytes that look like a count or a length become another one."""
        spots = [at for at in range(max(0, len(made) - 1)) if 0 < made[at] <= 64 and made[at + 1] == 0]
        if spots:
            at = self.pick(spots)
            struct.pack_into(
                "<H", made, at, self.pick((0, 1, made[at] - 1, made[at] + 1, 255, 4_096, 65_535))
            )

    def _cut(self, made: bytearray) -> None:
        del made[self.draw.randrange(len(made) + 1) :]

    def _drop(self, made: bytearray) -> None:
        at = self._at(made)
        del made[at : at + self.draw.randrange(1, 17)]

    def _repeat(self, made: bytearray) -> None:
        at = self._at(made)
        piece = made[at : at + self.draw.randrange(1, 33)]
        made[at:at] = piece * self.pick((1, 1, 2, 3, 50))

    def _grow(self, made: bytearray) -> None:
        made += self.draw.randbytes(self.pick((1, 2, 8, 64, 1_000)))

    def _splice(self, made: bytearray, other: bytes) -> bytearray:
        at, to = self.draw.randrange(len(made) + 1), self.draw.randrange(len(other) + 1)
        return made[:at] + other[to:]

    # --- trees

    def tree(self, tree: object, others: Sequence[object] = ()) -> object:
        """A copy with a few values dropped, doubled, renamed, retyped, made extreme, swapped or spliced."""
        made = _copy(tree)
        for _ in range(self.few()):
            made = self._change(made, others)
        return made

    def json_text(self, tree: object, others: Sequence[object] = ()) -> bytes:
        """The text of a changed tree; one in eight is damaged as bytes as well."""
        text = dump(self.tree(tree, others)).encode(errors="surrogatepass")
        return self.blob(text, [text]) if self.chance(0.125) else text

    def value(self) -> object:
        """Anything."""
        kind = self.draw.randrange(6)
        if kind == 0:
            return self.pick(EDGES)
        if kind in (1, 2):
            return self.pick(TEXTS)
        if kind == 3:
            return self.draw.randrange(-(10**6), 10**15)
        return Literal(self.pick(LITERALS)) if kind == 4 else str(self.draw.randrange(10**12) / 10**4)

    def text(self, text: str) -> str:
        """The text cut, doubled, edited, or another one."""
        at = self.draw.randrange(len(text) + 1)
        return self.pick(
            (
                text[:at],
                text + text,
                text[at:] + text[:at],
                text[:at] + self.pick(TEXTS) + text[at:],
                self.pick(TEXTS),
            )
        )

    def _change(self, tree: object, others: Sequence[object]) -> object:
        spots = _spots(tree)
        if not spots or self.chance(0.02):
            return self.value()
        box, at = self.pick(spots)
        act = self.draw.randrange(10)
        if act == 0:
            del box[at]
        elif act == 1:
            box.insert(at, _copy(box[at]))
        elif act == 2 and isinstance(box, Pairs):
            name, value = box[at]
            box[at] = (self._name(name, spots), value)
        elif act == 3 and others:
            _put(box, at, _copy(_inner(*self.pick(_spots(self.pick(others)) or [([None], 0)]))))
        elif act == 4:
            other, place = self.pick(spots)
            _put(box, at, _copy(_inner(other, place)))
        elif act == 5:
            _put(box, at, self._wrapped(_inner(box, at)))
        else:
            _put(box, at, self._other(_inner(box, at)))
        return tree

    def _name(self, name: str, spots: Sequence[tuple[list[object], int]]) -> str:
        names = [box[at][0] for box, at in spots if isinstance(box, Pairs)]
        return self.pick((name.upper(), name + "s", "", self.pick(names), self.text(name)))

    def _wrapped(self, value: object) -> object:
        if self.chance(0.3):
            return Pairs([(self.pick(TEXTS), value)])
        for _ in range(self.pick((1, 1, 2, 30))):
            value = [value]
        return value

    def _other(self, value: object) -> object:
        if isinstance(value, str) and not isinstance(value, Literal) and self.chance(0.5):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool) and self.chance(0.5):
            return self.pick((-value, value + 1, value * 1_000, str(value), value // 1_000, value / 7))
        return self.value()


def _copy(tree: object) -> object:
    if isinstance(tree, Pairs):
        return Pairs((name, _copy(value)) for name, value in tree)
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


def _spots(tree: object) -> list[tuple[list[object], int]]:
    """Every place in the tree where a value stands."""
    found: list[tuple[list[object], int]] = []
    boxes = [tree]
    while boxes:
        box = boxes.pop()
        if isinstance(box, list):
            found += [(box, at) for at in range(len(box))]
            boxes += [_inner(box, at) for at in range(len(box))]
    return found


def _inner(box: list[object], at: int) -> object:
    return box[at][1] if isinstance(box, Pairs) else box[at]


def _put(box: list[object], at: int, value: object) -> None:
    box[at] = (box[at][0], value) if isinstance(box, Pairs) else value
