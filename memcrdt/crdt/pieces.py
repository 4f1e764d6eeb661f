"""Cut a large update into pieces that each apply without a gap.

pycrdt holds the interpreter's lock during each of its calls. Between two pieces, the other threads of the process get
their turn, and a receiver never waits for more than one piece.

The blocks of one client have to be in the order of their clocks, and each block after the block that it names as its
origin. Deletes go last, when the blocks that they delete are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from memcrdt.crdt.scan import Walk
from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import varuint

# A piece is loaded in 10 ms, and applied with its events in 20 ms (benchmarks/responsive.py). A full shard of everyday
# memories is smaller, so few updates are ever cut, which takes longer than loading them.
PIECE_BYTES: Final = 768 * limits.KIB
_RUNS: Final = 32  # the minimum number of runs in a piece; each run is copied in one step
BLOCK_BYTES: Final = 192  # the minimum size to count for a block or a deleted range: short ones take as long to apply


def cut(update: bytes, piece_bytes: int = PIECE_BYTES) -> Generator[bytes, int | None, None]:
    """Yield the pieces of a scanned update. Applied in order, they have the effect of the update.

    Args:
        update: The update. If it has at most `piece_bytes`, it is the only piece.
        piece_bytes: The approximate maximum size of a piece. A block counts with at least 192 bytes. Send another size
            to change it for the next pieces.

    Raises:
        RemoteProtocolError: Blocks of the update wait for each other.
    """
    if len(update) <= piece_bytes:
        yield update
        return
    walk = _Runs(update, piece_bytes // _RUNS)
    walk.clients()
    piece = _Piece()
    for client, run in _in_order(walk.found):
        if piece.size >= piece_bytes:
            piece_bytes = (yield piece.encoded()) or piece_bytes
            piece = _Piece()
        piece.add(client, run, update)
    for client, start, end in walk.id_ranges():
        if piece.size >= piece_bytes:
            piece_bytes = (yield piece.encoded()) or piece_bytes
            piece = _Piece()
        piece.delete(client, start, end)
    yield piece.encoded()


@dataclass(slots=True)
class _Run:
    """Neighbouring blocks of a client: `count` of them from `clock` on, at [start, stop) in the update.

    Only the first block may have a block of another client as its origin: `origin` is that client, and the clock after
    that block. So the whole run can go out as soon as its first block can.
    """

    clock: int
    start: int
    stop: int
    origin: tuple[int, int] | None
    count: int = 1
    size: int = 0


class _Runs(Walk):
    """Collects the blocks of an update in runs of about `run_bytes`."""

    __slots__ = ("behind", "found", "run_bytes")

    def __init__(self, update: bytes, run_bytes: int) -> None:
        super().__init__(update, own=True)
        self.run_bytes = run_bytes
        self.found: dict[int, list[_Run]] = defaultdict(list)
        self.behind: tuple[int, int] | None = None

    def block(self, client: int, clock: int) -> int:
        start, self.behind = self.at, None
        end = super().block(client, clock)
        runs = self.found[client]
        if self.behind is not None or not runs or runs[-1].size >= self.run_bytes:
            runs.append(_Run(clock, start, self.at, self.behind))
        else:
            runs[-1].count += 1
            runs[-1].stop = self.at
        runs[-1].size += max(self.at - start, BLOCK_BYTES)
        return end

    def origin(self, client: int, clock: int) -> None:
        start = self.at
        super().origin(client, clock)
        stop, self.at = self.at, start
        other, end = self.number(limits.CLIENT_ID_MAX), self.number() + 1
        self.at = stop
        if other != client:
            self.behind = other, end


@dataclass(slots=True)
class _Piece:
    """Blocks and deletes of several clients, gathered until there are enough for a piece."""

    size: int = 0
    first: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    blocks: dict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    deletes: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def add(self, client: int, run: _Run, update: bytes) -> None:
        self.first.setdefault(client, run.clock)
        self.counts[client] += run.count
        self.blocks[client] += update[run.start : run.stop]
        self.size += run.size

    def delete(self, client: int, start: int, end: int) -> None:
        self.deletes[client].append(varuint(start) + varuint(end - start))
        self.size += BLOCK_BYTES

    def encoded(self) -> bytes:
        out = bytearray(varuint(len(self.first)))
        for client in sorted(self.first, reverse=True):  # as Yjs does
            out += varuint(self.counts[client]) + varuint(client) + varuint(self.first[client]) + self.blocks[client]
        out += varuint(len(self.deletes))
        for client, ranges in self.deletes.items():
            out += varuint(client) + varuint(len(ranges)) + b"".join(ranges)
        return bytes(out)


def _in_order(found: Mapping[int, list[_Run]]) -> Iterator[tuple[int, _Run]]:
    """Yield every run after the blocks that it builds on. While a client has to wait, the other client goes first.

    Raises:
        RemoteProtocolError: No such order exists.
    """
    done = dict.fromkeys(found, 0)
    for client in found:
        waiting = {client: True}  # in order
        while waiting:
            first = next(reversed(waiting))
            if done[first] == len(found[first]):
                waiting.popitem()
                continue
            run = found[first][done[first]]
            if run.origin is not None and not _is_there(found, done, *run.origin):
                if run.origin[0] in waiting:
                    raise RemoteProtocolError("an update has blocks that wait for each other")
                waiting[run.origin[0]] = True
                continue
            yield first, run
            done[first] += 1
            if len(waiting) > 1:
                waiting.popitem()


def _is_there(found: Mapping[int, list[_Run]], done: Mapping[int, int], client: int, end: int) -> bool:
    """Return whether the blocks of `client` up to clock `end` have gone out, or are not part of the update."""
    runs = found.get(client, [])
    return done.get(client, 0) == len(runs) or runs[done[client]].clock >= end
