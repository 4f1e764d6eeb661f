"""Compare the blocks of one client id in two updates, clock by clock.

Two stores that write under one client id differ permanently and silently, because each mistakes the other's blocks for
its own. The only trace is a block that differs from the other store's block at the same clock.

Equal blocks may be encoded in several ways: each writer merges neighbours, orders the keys of an object and picks the
width of a number as it likes. A deleted value is removed, and later its place, too. So places and values are compared
only where both updates still have them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

from memcrdt.crdt.scan import ARRAY, CONSTANTS, FIXED, INTEGER, ROOT_PARENT, STRING, VALUES, Cursor, Walk
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


def written_by(clients: Collection[int], snapshot: bytes) -> set[str]:
    """Return the keys whose present value, in a whole document, was written by one of the clients."""
    walk = _KeyWalk(snapshot, clients)
    walk.clients()
    return {key for block in walk.living if (key := walk.key_of(block)) is not None}


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


class _PlaceWalk(Walk):
    """Notes the place of each block: `place` is None if it is gone."""

    __slots__ = ("place_of_block",)

    def __init__(self, update: bytes) -> None:
        super().__init__(update, own=True)
        self.place_of_block: _Place | None = None

    def block(self, client: int, clock: int) -> int:
        self.place_of_block = None
        return super().block(client, clock)

    def origin(self, client: int, clock: int) -> None:
        start = self.at
        super().origin(client, clock)
        self.at = start
        self.place_of_block = (self.number(limits.CLIENT_ID_MAX), self.number())

    def key(self, info: int) -> None:
        start = self.at
        super().key(info)
        self.place_of_block = self.data[start : self.at]


class _KeyWalk(_PlaceWalk):
    """Finds the key of each block, and the blocks of some clients that have a value."""

    __slots__ = ("clients_asked", "has_value", "living", "places", "starts")

    def __init__(self, snapshot: bytes, clients: Collection[int]) -> None:
        super().__init__(snapshot)
        self.clients_asked = frozenset(clients)
        self.has_value = False
        self.living: list[tuple[int, int]] = []
        self.places: dict[tuple[int, int], _Place] = {}  # by client and first clock of the block
        self.starts: dict[int, list[int]] = {}  # by client: the first clocks of its blocks, in order

    def block(self, client: int, clock: int) -> int:
        self.has_value = False
        end = super().block(client, clock)
        self.starts.setdefault(client, []).append(clock)
        if self.place_of_block is not None:
            self.places[client, clock] = self.place_of_block
        if self.has_value and client in self.clients_asked:
            self.living.append((client, end - 1))  # of several values in a block, the last is the value of the key
        return end

    def content(self, kind: int) -> int:
        self.has_value = kind == VALUES
        return super().content(kind)

    def key_of(self, block: tuple[int, int]) -> str | None:
        """Return the key of the block with the given client and clock; None if its place is gone."""
        place: _Place | None = block
        while isinstance(place, tuple):
            client, clock = place
            starts = self.starts.get(client, [])
            at = bisect_right(starts, clock)
            place = self.places.get((client, starts[at - 1])) if at else None
        return None if place is None else Cursor(place.removeprefix(ROOT_PARENT)).string()


class _ContentWalk(_PlaceWalk):
    """Collects the content at each clock of one client."""

    __slots__ = ("client", "contents", "is_collecting", "values")

    def __init__(self, update: bytes, client: int) -> None:
        super().__init__(update)
        self.client = client
        self.contents: dict[int, _Content] = {}
        self.is_collecting = False
        self.values: list[str] = []

    def block(self, client: int, clock: int) -> int:
        self.is_collecting, self.values = client == self.client, []
        end = super().block(client, clock)
        if self.is_collecting and self.place_of_block is not None:
            # Each value is after its predecessor. A deleted block may claim any number of clocks: the first is enough.
            later = range(clock, clock + len(self.values) - 1)
            self.contents[clock] = _Content(self.place_of_block, self.values[0] if self.values else None)
            self.contents |= {at + 1: _Content((client, at), self.values[at + 1 - clock]) for at in later}
        return end

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
