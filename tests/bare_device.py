"""Stores of several devices in one process, without a network, for tests of merging and of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from memcrdt.crdt.shard import Shard
from memcrdt.model.registers import Deleted
from memcrdt.model.requests import UpdateRequest, check_add, check_item, check_update
from memcrdt.model.values import Json
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store import changes, digests, log, meta, reads
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.indexer import Indexer, NoIndex
from memcrdt.store.sql import SqlConnection
from memcrdt.store.store import Store
from memcrdt.store.views import COLUMNS
from memcrdt.sync.replica import Applied
from memcrdt.testing.faults import UNSYNCED

ROUNDS = 8  # of exchanges: far more than necessary


class BareDevice:
    """One store with methods to change it. Every commit takes the next millisecond of `clock`.

    Commits are not synced to the disk, because these tests cut no power. That makes them faster.
    """

    def __init__(self, home: Path, name: str, *, indexer: Indexer | None = None, **options: Any) -> None:
        self.home = home
        self.indexer = indexer or NoIndex()
        self.id = (name * 52)[:52]
        self.clock = 1_800_000_000_000
        self.options = StoreOptions(**{"clock": self._tick, "vfs": UNSYNCED.name, **options})
        self._ulids = changes.Ulids()
        self.open()

    def open(self) -> None:
        self.store = Store(self.home, self.id, self.indexer, self.options)
        self.replica = StoreReplica(self.store)

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def use_client(self, client_id: int) -> None:
        """Make later writes under this client id."""
        with self.store.writing() as db:
            meta.write(db, "client_id", client_id)

    def add(self, text: str, **given: Any) -> str:
        return self.store.commit(changes.Adding([check_add(text, given, self.store.now_ms())], self._ulids))[0]

    def add_many(self, texts: Iterable[str]) -> list[str]:
        return self.add_each([{"text": text} for text in texts])

    def add_each(self, items: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add several memories in one commit. Each item has the arguments of add()."""
        return self.store.commit(
            changes.Adding([check_item(item, {}, self.store.now_ms()) for item in items], self._ulids)
        )

    def update(self, memory_id: str, **given: Any) -> None:
        edit = check_update(given, self.store.now_ms())
        self.store.commit(partial(changes.update, UpdateRequest(memory_id, edit)))

    def forget(self, *memory_ids: str) -> None:
        def listed(db: SqlConnection) -> list[reads.Place]:
            return [place for memory_id in memory_ids for place in reads.places_of(db, memory_id)]

        self.store.commit(partial(changes.forget, listed))
        self.store.scrub()

    def space(self, name: str = "personal") -> str:
        """Return the id of a space."""
        return str(self.rows("SELECT id FROM spaces WHERE name = ?", name)[0][0])

    def rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with self.store.reading() as db:
            return list(db.execute(sql, bindings))

    def texts(self) -> dict[str, str]:
        """Return the text of each memory by id."""
        return {str(row[0]): str(row[1]) for row in self.rows("SELECT id, text FROM memories ORDER BY id")}

    def ids_of_documents(self) -> set[str]:
        """Return the ids of all memories in the documents of all shards, loaded from the log."""
        with self.store.documents() as (db, documents):
            shards = [log.shard_row(db, shard) for shard in log.shard_numbers(db)]
            return {memory for row in shards for memory in documents.current(db, row).live.ids()}

    def graves(self) -> set[str]:
        return {str(row[0]) for row in self.rows("SELECT id FROM graves")}

    def digest(self) -> str:
        """Return the digest of the space `personal`."""
        return digests.whole(digests.of_space(self.store, self.store.space("personal")))

    def views(self) -> list[Any]:
        """Return all view rows of all memories, without local numbers and rows of the log."""
        with self.store.reading() as db:
            return dump(db)

    def take(self, other: BareDevice) -> list[Applied]:
        """Fetch the changes of `personal` that the other device has and this device lacks, a shard at a time."""
        space, theirs = self.space(), other.space()
        ours = self.replica.digests(space)
        differing = [
            n
            for n, found in other.replica.digests(theirs).items()
            if ours.get(n) is None or ours[n].digest != found.digest
        ]
        return [self._take_shard(other, space, theirs, shard) for shard in differing]

    def _take_shard(self, other: BareDevice, space: str, theirs: str, shard: int) -> Applied:
        diff = other.replica.diff(theirs, shard, self.replica.state_vector(space, shard))
        return self.replica.apply(space, shard, diff.update, other.id)

    def stock_update(self, writes: Mapping[str, Json | Deleted], *, shard: int = 0, client_id: int = 77) -> bytes:
        """Return the update of a stock Yjs client that has the whole shard and makes these writes."""
        client = Shard.load(client_id, [self.replica.diff(self.space(), shard, {}).update])
        return client.write(writes).updates[0]

    def apply(self, update: bytes, shard: int = 0, *, origin: str = "Y" * 52) -> Applied:
        """Apply an update to a shard of `personal` as if another device, or a stock Yjs client, had sent it."""
        return self.replica.apply(self.space(), shard, update, origin)

    def _tick(self) -> int:
        self.clock += 1
        return self.clock


def agree(devices: Sequence[BareDevice]) -> None:
    """Make all pairs of devices exchange in the given order until no device has anything new for another."""
    for _ in range(ROUNDS):
        taken = [applied for a in devices for b in devices if a is not b for applied in a.take(b)]
        assert all(applied.status == "applied" for applied in taken), taken
        if not taken:
            return
    raise AssertionError("the devices do not become equal")


def spoil(device: BareDevice, table: str, where: str) -> None:
    """Change a byte in the middle of rows of the log (`updates`) or of `snapshots`, as a bad disk would."""
    with device.store.writing() as db:
        spoil_rows(db, table, where)
    device.reopen()


def spoil_rows(db: apsw.Connection, table: str, where: str) -> None:
    """Spoil rows like `spoil`, but over an open connection. Documents in memory hide the damage."""
    db.execute(
        f"UPDATE {table} SET bytes = CAST(substr(bytes, 1, length(bytes) / 2) || x'FE' ||"
        f" substr(bytes, length(bytes) / 2 + 2) AS BLOB) WHERE {where}"
    )


def dump(db: SqlConnection) -> list[Any]:
    """Return all view rows in order, without local numbers and rows of the log."""
    return [list(db.execute(sql)) for sql in _DUMPS]


_DUMPS = (
    f"SELECT s.name, {', '.join(f'm.{column}' for column in COLUMNS if column != 'salt')}"
    " FROM memories m JOIN spaces s USING(space) ORDER BY 1, 2",
    "SELECT s.name, m.id, r.revision, r.text, at, by, r.device, base, head"
    " FROM revisions r JOIN memories m USING(memory) JOIN spaces s USING(space) ORDER BY 1, 2, 3",
    "SELECT s.name, m.id, tag FROM tags JOIN memories m USING(memory) JOIN spaces s USING(space) ORDER BY 1, 2, 3",
    "SELECT s.name, m.id, key, value, number"
    " FROM metadata JOIN memories m USING(memory) JOIN spaces s USING(space) ORDER BY 1, 2, 3",
    "SELECT s.name, m.id, rel, target"
    " FROM links JOIN memories m USING(memory) JOIN spaces s USING(space) ORDER BY 1, 2, 3, 4",
    "SELECT s.name, g.id, at, by, device FROM graves g JOIN spaces s USING(space) ORDER BY 1, 2",
    "SELECT s.name, h.id, number FROM homes h JOIN shards USING(shard) JOIN spaces s ON s.space = h.space"
    " ORDER BY 1, 2, 3",
)
