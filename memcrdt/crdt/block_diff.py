"""What two updates say under one client id, compared clock by clock.

Two stores that write under one client id differ for ever, silently: each takes the other's blocks for its own. The
only trace is a block that says at some clock what the other does not.

Equal blocks may be encoded in several ways: each writer merges neighbours, orders the keys of an object and picks the
width of a number as it likes, and once a value is deleted it is gone, in the end with the place where it stood. So
places and values are compared where both updates still have them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeAlias

from memcrdt.crdt.scan import ARRAY, CONSTANTS, FIXED, INTEGER, STRING, VALUES, Walk
from memcrdt.model import limits
from memcrdt.model.values import Json, canonical, restored

_Place: TypeAlias = bytes | tuple[int, int]  # a key of the root, or the block that it stands behind

_CONSTANT: Final = {120: True, 121: False}  # the others, null and undefined, are None
_FORMATS: Final = {124: ">f", 123: ">d", 122: ">q"}
assert _FORMATS.keys() == FIXED.keys()


def first_difference(one: bytes, other: bytes, client: int) -> int | None:
    """The first clock of `client` at which two scanned updates say different things, as far as can be told."""
    ours, theirs = _said(one, client), _said(other, client)
    return next((clock for clock in sorted(ours.keys() & theirs.keys()) if _differ(ours[clock], theirs[clock])), None)


class _Said(NamedTuple):
    """What stands at one clock: None for a place or a value that is gone."""

    place: _Place | None
    value: str | None


def _differ(one: _Said, other: _Said) -> bool:
    return any(None not in (ours, theirs) and ours != theirs for ours, theirs in zip(one, other, strict=True))


def _said(update: bytes, client: int) -> dict[int, _Said]:
    walk = _Listening(update, client)
    walk.clients()
    return walk.said


class _Listening(Walk):
    """Notes what one client says at each of its clocks."""

    __slots__ = ("client", "listens", "said", "stands", "values")

    def __init__(self, update: bytes, client: int) -> None:
        super().__init__(update, own=True)
        self.client = client
        self.said: dict[int, _Said] = {}
        self.listens = False
        self.stands: list[_Place] = []  # of the block that is walked, none if it is gone
        self.values: list[str | None] = []

    def block(self, client: int, clock: int) -> int:
        self.listens, self.stands, self.values = client == self.client, [], []
        end = super().block(client, clock)
        if self.listens and self.stands:
            places = [*self.stands, *((client, at) for at in range(clock, end - 1))]  # each behind the one before
            values = self.values or [None] * len(places)
            self.said.update(zip(range(clock, end), map(_Said, places, values), strict=True))
        return end

    def origin(self, client: int, clock: int) -> None:
        start = self.at
        super().origin(client, clock)
        self.at = start
        self.stands = [(self.number(limits.CLIENT_ID_MAX), self.number())]

    def key(self, info: int) -> None:
        start = self.at
        super().key(info)
        self.stands = [self.data[start : self.at]]

    def content(self, kind: int) -> int:
        start = self.at
        size = super().content(kind)
        if kind == VALUES and self.listens:
            self.at = start
            self.values = [canonical(restored(self.json())) for _ in range(self.number())]
        return size

    def json(self) -> Json:
        """The value that stands here, and has been walked."""
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
        """lib0's varint: sign and six bits in its first byte, seven in each of the others."""
        byte = self.byte()
        sign, value, shift = -1 if byte & 0x40 else 1, byte & 0x3F, 6
        while byte & 0x80:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
        return sign * value
