"""Compare the blocks of one client id in two updates, clock by clock.

Two stores that write under one client id differ permanently and silently, because each mistakes the other's blocks for
its own. The only trace is a block that differs from the other store's block at the same clock.

Equal blocks may be encoded in several ways: each writer merges neighbours, orders the keys of an object and picks the
width of a number as it likes. A deleted value is removed, and later its place, too. So places and values are compared
only where both updates still have them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeAlias

from memcrdt.crdt.scan import ARRAY, CONSTANTS, FIXED, INTEGER, STRING, VALUES, Walk
from memcrdt.model import limits
from memcrdt.model.values import Json, canonical, restored

_Place: TypeAlias = bytes | tuple[int, int]  # a key of the root, or the id of the block to its left

_CONSTANT: Final = {120: True, 121: False}  # the others, null and undefined, are None
_FORMATS: Final = {124: ">f", 123: ">d", 122: ">q"}
assert _FORMATS.keys() == FIXED.keys()


def first_difference(one: bytes, other: bytes, client: int) -> int | None:
    """Return the first clock at which blocks of `client` in two scanned updates are known to differ, or None."""
    ours, theirs = _contents(one, client), _contents(other, client)
    return next((clock for clock in sorted(ours.keys() & theirs.keys()) if _differ(ours[clock], theirs[clock])), None)


class _Content(NamedTuple):
    """The content at one clock. None: the place or the value is gone."""

    place: _Place | None
    value: str | None


def _differ(one: _Content, other: _Content) -> bool:
    return any(None not in (ours, theirs) and ours != theirs for ours, theirs in zip(one, other, strict=True))


def _contents(update: bytes, client: int) -> dict[int, _Content]:
    walk = _ContentWalk(update, client)
    walk.clients()
    return walk.contents


class _ContentWalk(Walk):
    """Collects the content at each clock of one client."""

    __slots__ = ("client", "contents", "is_collecting", "places", "values")

    def __init__(self, update: bytes, client: int) -> None:
        super().__init__(update, own=True)
        self.client = client
        self.contents: dict[int, _Content] = {}
        self.is_collecting = False
        self.places: list[_Place] = []  # of the current block, none if it is gone
        self.values: list[str | None] = []

    def block(self, client: int, clock: int) -> int:
        self.is_collecting, self.places, self.values = client == self.client, [], []
        end = super().block(client, clock)
        if self.is_collecting and self.places:
            places = [*self.places, *((client, at) for at in range(clock, end - 1))]  # each after its predecessor
            values = self.values or [None] * len(places)
            self.contents.update(zip(range(clock, end), map(_Content, places, values), strict=True))
        return end

    def origin(self, client: int, clock: int) -> None:
        start = self.at
        super().origin(client, clock)
        self.at = start
        self.places = [(self.number(limits.CLIENT_ID_MAX), self.number())]

    def key(self, info: int) -> None:
        start = self.at
        super().key(info)
        self.places = [self.data[start : self.at]]

    def content(self, kind: int) -> int:
        start = self.at
        size = super().content(kind)
        if kind == VALUES and self.is_collecting:
            self.at = start
            self.values = [canonical(restored(self.json())) for _ in range(self.number())]
        return size

    def json(self) -> Json:
        """Read the value at this place, which was walked before."""
        tag = self.byte()
        if tag == STRING:
            return self.string()
        if tag in CONSTANTS:
            return _CONSTANT.get(tag)
        if tag == INTEGER:
            return self.signed()
        if tag in FIXED:
            self.skip(FIXED[tag])
            number: float | int = struct.unpack(_FORMATS[tag], self.data[self.at - FIXED[tag] : self.at])[0]
            return number
        if tag == ARRAY:
            return [self.json() for _ in range(self.number())]
        return {self.string(): self.json() for _ in range(self.number())}

    def signed(self) -> int:
        """Read a signed varint of lib0: sign and six bits in its first byte, seven in each of the others."""
        byte = self.byte()
        sign, value, shift = -1 if byte & 0x40 else 1, byte & 0x3F, 6
        while byte & 0x80:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
        return sign * value
