"""An update cut into pieces that each apply without a gap, for receivers that would wait too long for the whole.

The blocks of one client have to come in the order of their clocks, and each behind the block that it names as
its origin. Deletes go last: what they delete is there by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from memcrdt.crdt.scan import Walk
from memcrdt.model import limits
from memcrdt.model.clocks import varuint

_NO_DELETES: Final = varuint(0)


def cut(update: bytes, piece_bytes: int) -> Iterator[bytes]:
    """The pieces of an update of our own, about `piece_bytes` each; applied in order they do what it does."""
    walk = _Blocks(update)
    walk.clients()
    piece = _Piece()
    for client, block in _in_order(walk.found):
        if piece.size >= piece_bytes:
            yield piece.encoded(_NO_DELETES)
            piece = _Piece()
        piece.add(client, block, update)
    yield piece.encoded(update[walk.at :])


class _Block(NamedTuple):
    """The clocks [clock, end) of a client, encoded at [start, stop) in the update; `origin` is the client and the
    clock behind the block that it stands behind."""

    clock: int
    end: int
    start: int
    stop: int
    origin: tuple[int, int] | None


class _Blocks(Walk):
    """Notes each block that the walk passes."""

    __slots__ = ("behind", "found")

    def __init__(self, update: bytes) -> None:
        super().__init__(update, own=True)
        self.found: dict[int, list[_Block]] = defaultdict(list)
        self.behind: tuple[int, int] | None = None

    def block(self, client: int, clock: int) -> int:
        start, self.behind = self.at, None
        end = super().block(client, clock)
        self.found[client].append(_Block(clock, end, start, self.at, self.behind))
        return end

    def origin(self, client: int, clock: int) -> None:
        start = self.at
        super().origin(client, clock)
        stop, self.at = self.at, start
        self.behind = self.number(limits.CLIENT_ID_MAX), self.number() + 1
        self.at = stop


@dataclass(slots=True)
class _Piece:
    """Blocks of several clients, gathered until there are enough of them."""

    size: int = 0
    first: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    blocks: dict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def add(self, client: int, block: _Block, update: bytes) -> None:
        self.first.setdefault(client, block.clock)
        self.counts[client] += 1
        self.blocks[client] += update[block.start : block.stop]
        self.size += block.stop - block.start

    def encoded(self, deletes: bytes) -> bytes:
        out = bytearray(varuint(len(self.first)))
        for client in sorted(self.first, reverse=True):  # as Yjs does
            out += varuint(self.counts[client]) + varuint(client) + varuint(self.first[client]) + self.blocks[client]
        return bytes(out + deletes)


def _in_order(found: Mapping[int, list[_Block]]) -> Iterator[tuple[int, _Block]]:
    """Every block, each behind what it builds on; whoever has to wait lets the client it waits for go first."""
    done = dict.fromkeys(found, 0)
    for client in found:
        waiting = [client]
        while waiting:
            first = waiting[-1]
            if done[first] == len(found[first]):
                waiting.pop()
                continue
            block = found[first][done[first]]
            if block.origin is not None and not _is_there(found, done, *block.origin):
                waiting.append(block.origin[0])
                continue
            yield first, block
            done[first] += 1
            if len(waiting) > 1:
                waiting.pop()


def _is_there(found: Mapping[int, list[_Block]], done: Mapping[int, int], client: int, end: int) -> bool:
    """Whether what `client` wrote up to clock `end` has gone out, or was no part of the update."""
    blocks = found.get(client, [])
    return done.get(client, 0) == len(blocks) or blocks[done[client]].clock >= end
