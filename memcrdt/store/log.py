"""The update log, its snapshots and their shards: the source of truth of the store.

Each row has a checksum, which is verified whenever the row is read.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from memcrdt.errors import CorruptError, RemoteProtocolError
from memcrdt.model import clocks, limits
from memcrdt.store.sql import FOR_UPDATE, SqlConnection

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Shard

LOCAL = "local"  # the origin of rows written on this device
STOCK = "yjs:"  # the origin of rows sent by a stock Yjs client: the name of its token follows
RowKind: TypeAlias = Literal["update", "snapshot"]

_CHECKSUM_BYTES = 8
_MEASURED = limits.SHARD_MEMORY_MAX // 8  # a shard that has gathered that much is measured when it is folded
_PACKING = 1  # the fastest level of zlib: the output of level 6 is a sixth smaller and takes three times as long


class ShardRow(NamedTuple):
    """The row of a shard, which can be read without loading its document. See the table `shards` in schema/0001.sql.

    `shard` is its local number, `number` its number in the space, the same on every device.
    """

    shard: int
    space: int
    number: int
    births: int
    registers: int
    foreign: int
    size: int
    log_rows: int
    log_bytes: int
    head: int
    state_vector: bytes
    digest: bytes | None
    damaged: bool
    memory: int

    @property
    def is_full(self) -> bool:
        """Whether the shard takes no more births."""
        return self.is_full_with(self.births, self.registers, self.size)

    def is_full_with(self, births: int, registers: int, size: int) -> bool:
        """Return whether the shard takes no more births once it has these counts and bytes."""
        return (
            births >= limits.SHARD_BIRTHS
            or registers >= limits.SHARD_REGISTERS
            or size >= limits.SHARD_BYTES
            or self.clients >= limits.SHARD_CLIENTS
            or self.is_closed
        )

    @property
    def is_closed(self) -> bool:
        """Whether our own changes go to another shard, because others soon refuse what makes this one larger."""
        return 2 * self.clients >= limits.SHARD_CLIENTS_MAX or 2 * self.memory >= limits.SHARD_MEMORY_MAX

    @property
    def clients(self) -> int:
        """The number of client ids that have written to the shard."""
        return clocks.client_count(self.state_vector)


_COLUMNS = (
    "shard, space, number, births, registers, foreign_keys, bytes, log_rows, log_bytes, head, state_vector, digest,"
    " damaged, memory"
)
_FREE_NUMBER = """
SELECT 0 WHERE NOT EXISTS(SELECT 1 FROM shards WHERE space = ?1 AND number = 0)
UNION ALL
SELECT * FROM (
  SELECT number + 1 FROM shards s
  WHERE space = ?1 AND NOT EXISTS(SELECT 1 FROM shards n WHERE n.space = ?1 AND n.number = s.number + 1)
  ORDER BY number LIMIT 1) gap
LIMIT 1"""


def shard_row(db: SqlConnection, shard: int) -> ShardRow:
    """Return the shard with the local number `shard`, which must exist."""
    (row,) = db.execute(f"SELECT {_COLUMNS} FROM shards WHERE shard = ?", (shard,))
    return ShardRow(*row)


def lock_shard(db: SqlConnection, shard: int) -> ShardRow:
    """Return the shard with the local number `shard`, which nobody else can change before the transaction ends."""
    (row,) = db.execute(f"SELECT {_COLUMNS} FROM shards WHERE shard = ?{FOR_UPDATE}", (shard,))
    return ShardRow(*row)


def find_shard(db: SqlConnection, space: int, number: int) -> ShardRow | None:
    """Return a shard by its number in the space, or None."""
    row = db.execute(f"SELECT {_COLUMNS} FROM shards WHERE space = ? AND number = ?", (space, number)).fetchone()
    return None if row is None else ShardRow(*row)


def make_shard(db: SqlConnection, space: int, number: int) -> ShardRow:
    """Return a shard by its number in the space. Make it if it does not exist."""
    db.execute("INSERT INTO shards(space, number) VALUES(?, ?) ON CONFLICT DO NOTHING", (space, number))
    found = find_shard(db, space, number)
    assert found is not None
    return found


def shards_of(db: SqlConnection, space: int) -> list[ShardRow]:
    """Return all shards of a space, lowest number first."""
    return [
        ShardRow(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM shards WHERE space = ? ORDER BY number", (space,))
    ]


def shard_numbers(db: SqlConnection, condition: str = "TRUE") -> list[int]:
    """Return the local numbers of all shards that satisfy the SQL `condition`."""
    return [int(shard) for (shard,) in db.execute(f"SELECT shard FROM shards WHERE {condition} ORDER BY shard")]


def open_shards(db: SqlConnection, space: int) -> Iterator[ShardRow]:
    """Yield the shards with room for new memories, lowest number first. The first costs the same with any number."""
    sql = f"SELECT {_COLUMNS} FROM shards WHERE space = ? AND is_full = 0 AND number > ? ORDER BY number LIMIT 1"
    number = -1
    while (row := db.execute(sql, (space, number)).fetchone()) is not None:
        yield ShardRow(*row)
        number = ShardRow(*row).number


def shard_count(db: SqlConnection, space: int) -> int:
    """Return the number of shards of a space."""
    return int(db.execute("SELECT count(*) FROM shards WHERE space = ?", (space,)).get)


def free_number(db: SqlConnection, space: int) -> int:
    """Return the lowest number that no shard of the space has, which is the number of its next shard."""
    return int(db.execute(_FREE_NUMBER, (space,)).get)


def add_shard(db: SqlConnection, space: int) -> ShardRow:
    """Make a shard with the lowest free number of its space.

    If no number is free, return the shard that takes the least memory: a new memory always finds a place.
    """
    if (number := free_number(db, space)) < limits.SHARDS:
        return make_shard(db, space, number)
    sql = f"SELECT {_COLUMNS} FROM shards WHERE space = ? AND damaged = 0 ORDER BY memory LIMIT 1"
    (row,) = db.execute(sql, (space,))
    return ShardRow(*row)


class Append(NamedTuple):
    """An update for the log. `at` is in ms."""

    shard: int
    update: bytes
    origin: str
    at: int


def append(db: SqlConnection, row: Append) -> int:
    """Append an update. Return its seq."""
    sql = "INSERT INTO updates(shard, bytes, checksum, origin, at) VALUES(?, ?, ?, ?, ?) RETURNING seq"
    values = row.shard, row.update, checksum(row.shard, row.update), row.origin, row.at
    return int(db.execute(sql, values).get)


def write_head(db: SqlConnection, head: ShardRow) -> None:
    """Write the counts and the head of a shard after an append. Its digest is computed on demand."""
    db.execute(
        "UPDATE shards SET births = ?, registers = ?, foreign_keys = ?, bytes = ?, log_rows = ?, log_bytes = ?,"
        " head = ?, state_vector = ?, digest = NULL, damaged = ?, memory = ?, is_full = ? WHERE shard = ?",
        (
            head.births,
            head.registers,
            head.foreign,
            head.size,
            head.log_rows,
            head.log_bytes,
            head.head,
            head.state_vector,
            head.damaged,
            head.memory,
            head.is_full,
            head.shard,
        ),
    )


def counted(row: ShardRow, live: Shard) -> ShardRow:
    """Return the row of a shard with the counts and the state vector of its live document."""
    return row._replace(
        births=live.births,
        registers=live.register_count,
        foreign=live.foreign_count,
        state_vector=clocks.encode_state_vector(live.state_vector()),
    )


def set_aside(db: SqlConnection, shard: int, seq: int, kind: RowKind, at: int) -> None:
    """Move an unusable row out of the log. It is kept for inspection until a memory of its shard is forgotten."""
    table = "updates" if kind == "update" else "snapshots"
    db.execute(
        "INSERT INTO damaged(shard, seq, kind, bytes, at)"
        f" SELECT shard, seq, ?, bytes, ? FROM {table} WHERE shard = ? AND seq = ?",
        (kind, at, shard, seq),
    )
    db.execute(f"DELETE FROM {table} WHERE shard = ? AND seq = ?", (shard, seq))


def drop_set_aside(db: SqlConnection, shard: int) -> None:
    """Delete the rows of a shard that were set aside: they may contain text that was forgotten later."""
    db.execute("DELETE FROM damaged WHERE shard = ?", (shard,))


def mark_to_scrub(db: SqlConnection, shard: int, seq: int) -> None:
    """Mark a shard for scrubbing: row `seq` left bytes of forgotten memories in the file. The mark is durable."""
    db.execute("UPDATE shards SET to_scrub = ?1, forgotten = ?1 WHERE shard = ?2", (seq, shard))


def is_anything_to_scrub(db: SqlConnection) -> bool:
    """Return whether bytes of forgotten memories are left in the file."""
    return db.execute("SELECT 1 FROM shards WHERE to_scrub > 0").fetchone() is not None


def is_scrubbed(db: SqlConnection, space: int) -> bool:
    """Return whether no byte of a memory forgotten in the space (its local number) is left in the file."""
    return db.execute("SELECT 1 FROM shards WHERE space = ? AND to_scrub > 0", (space,)).get is None


def snapshot_of(db: SqlConnection, shard: int) -> tuple[int, list[bytes]]:
    """Return the seq up to which the log of a shard is folded, and the updates of its snapshot; 0 and [] without one.

    Raises:
        CorruptError: The snapshot does not match its checksum.
    """
    row = db.execute("SELECT seq, bytes, checksum FROM snapshots WHERE shard = ?", (shard,)).fetchone()
    if row is None:
        return 0, []
    seq, packed, kept = row
    if checksum(shard, packed) != kept:
        raise CorruptError(f"the snapshot of shard {shard} does not match its checksum; run `memcrdt doctor --repair`")
    return seq, unpacked(packed)


def unpacked(snapshot: bytes) -> list[bytes]:
    """Return the updates that make up a snapshot, in order.

    Raises:
        CorruptError: The snapshot cannot be unpacked.
    """
    return list(_pieces(snapshot))


def _pieces(snapshot: bytes) -> Iterator[bytes]:
    while snapshot:
        unpacking = zlib.decompressobj()
        try:
            piece = unpacking.decompress(snapshot, limits.SNAPSHOT_PIECE_BYTES)
        except zlib.error as exc:
            raise CorruptError(f"a snapshot cannot be unpacked ({exc}); run `memcrdt doctor --repair`") from exc
        if not unpacking.eof:
            what = "has a piece that is too large" if unpacking.unconsumed_tail else "ends too early"
            raise CorruptError(f"a snapshot {what}; run `memcrdt doctor --repair`")
        yield piece
        snapshot = unpacking.unused_data


def snapshot_seq(db: SqlConnection, shard: int) -> int:
    """Return the seq up to which the log of a shard is folded, or 0."""
    row = db.execute("SELECT seq FROM snapshots WHERE shard = ?", (shard,)).fetchone()
    return 0 if row is None else row[0]


class LogRow(NamedTuple):
    """An update in the log."""

    seq: int
    update: bytes
    origin: str


def updates_after(db: SqlConnection, shard: int, seq: int) -> Iterator[LogRow]:
    """Yield the updates of a shard after row `seq`, in order.

    Raises:
        CorruptError: A row does not match its checksum.
    """
    sql = "SELECT seq, bytes, origin, checksum FROM updates WHERE shard = ? AND seq > ? ORDER BY seq"
    for at, update, origin, kept in db.execute(sql, (shard, seq)):
        if checksum(shard, update) != kept:
            raise CorruptError(f"row {at} of the log does not match its checksum; run `memcrdt doctor --repair`")
        yield LogRow(at, update, origin)


def fold(db: SqlConnection, shard: ShardRow, snapshot: bytes) -> None:
    """Replace the log up to the shard's head with a snapshot, which is cut into pieces and packed.

    The snapshot is cut here because loading happens more often than folding. Yjs keeps traces of overwritten values,
    which compress well: after 100,000 of them in 1,000 memories, packing takes 5 ms and leaves a sixth of 2 MB
    (benchmarks/compaction.py).
    """
    from memcrdt.crdt.pieces import cut

    folded = measured(shard, snapshot)._replace(size=len(snapshot))
    packed = b"".join(zlib.compress(piece, _PACKING) for piece in cut(snapshot))
    db.execute(
        "INSERT INTO snapshots(shard, seq, bytes, checksum) VALUES(?, ?, ?, ?) ON CONFLICT(shard)"
        " DO UPDATE SET seq = excluded.seq, bytes = excluded.bytes, checksum = excluded.checksum",
        (shard.shard, shard.head, packed, checksum(shard.shard, packed)),
    )
    db.execute("DELETE FROM updates WHERE shard = ? AND seq <= ?", (shard.shard, shard.head))
    db.execute(
        "UPDATE shards SET bytes = ?, log_rows = 0, log_bytes = 0, memory = ?, is_full = ? WHERE shard = ?",
        (folded.size, folded.memory, folded.is_full, shard.shard),
    )


def measured(row: ShardRow, snapshot: bytes) -> ShardRow:
    """Return the row of a shard with the memory that its document takes now.

    Overwritten values, and updates that came twice, were counted when they came. Counting takes seven times as long as
    encoding, so a shard of usual size keeps its sum.
    """
    from memcrdt.crdt.scan import memory_added

    return row if row.memory < _MEASURED else row._replace(memory=memory_added(snapshot, {}))


def checksum(shard: int, data: bytes) -> bytes:
    """Return the checksum that is stored with a row of a shard (its local number)."""
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, salt=shard.to_bytes(8, "big")).digest()


def row_problem(kind: RowKind, shard: int, data: bytes, kept: bytes) -> str | None:
    """Return the problem of a stored row, in words that follow its name, or None if it can be loaded.

    Args:
        kind: The table the row is from.
        shard: The local number of its shard.
        data: The bytes of the row.
        kept: The checksum stored with it.
    """
    try:
        for _ in scans_of(kind, shard, data, kept):
            pass
    except CorruptError as exc:
        return str(exc)
    return None


def scans_of(kind: RowKind, shard: int, data: bytes, kept: bytes) -> Iterator[tuple[int, Scan]]:
    """Yield the size in bytes and the scan of each update of a stored row, one after the other. See `row_problem`.

    Raises:
        CorruptError: The row cannot be loaded, in words that follow its name.
    """
    from memcrdt.crdt.scan import scan

    if checksum(shard, data) != kept:
        raise CorruptError("does not match its checksum")
    try:
        for piece in [data] if kind == "update" else _pieces(data):
            yield len(piece), scan(piece, own=True)
    except (RemoteProtocolError, CorruptError) as exc:
        raise CorruptError(f"is not an update that can be applied: {exc}") from exc


def state_vector_of(row: ShardRow) -> dict[int, int]:
    """Return the state vector of a shard at its head."""
    return clocks.decode_state_vector(row.state_vector, own=True)


def head(db: SqlConnection) -> int:
    """Return the highest row number that the log has ever had. Folding does not lower it."""
    return int(db.execute(_HEAD).get or 0)


def lock_head(db: SqlConnection) -> None:
    """Let nobody else append rows, write views, or change members before the transaction ends.

    So rows become visible in the order of their numbers, and nobody who reads the log in pages misses one.
    """
    db.execute(_HEAD + FOR_UPDATE)


_HEAD = "SELECT seq FROM sqlite_sequence WHERE name = 'updates'"
