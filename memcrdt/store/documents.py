"""Live Yjs documents of a few shards, brought up to the log each time before use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from memcrdt.store import log
from memcrdt.store.log import ShardRow

if TYPE_CHECKING:
    from memcrdt.crdt.shard import Shard

CAPACITY = 8  # a full shard with five registers a memory takes about 10 MB once loaded


@dataclass(slots=True)
class Document:
    """A live document and the row of the log at which it stands."""

    live: Shard
    seq: int


class Documents:
    """A least-recently-used cache. Its caller holds the store's lock."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._client_id = 0
        self._cached: OrderedDict[int, Document] = OrderedDict()

    def use_client(self, client_id: int) -> None:
        """Writes are made under this client id from now on."""
        if client_id != self._client_id:
            self._client_id = client_id
            self._cached.clear()

    def current(self, db: apsw.Connection, row: ShardRow) -> Document:
        """The document of a shard, at the shard's head as `db` sees it. Raises CorruptError."""
        document = self._cached.get(row.shard)
        if document is not None and document.seq != row.head:
            document = self._caught_up(db, row, document)
        if document is None:
            document = self._load(db, row)
        self._cached[row.shard] = document
        self._cached.move_to_end(row.shard)
        return document

    def trim(self) -> None:
        """Lets go of what was used longest ago. Not done within a transaction: it may hold what is uncommitted."""
        while len(self._cached) > self._capacity:
            self._cached.popitem(last=False)

    def drop(self, shard: int) -> None:
        self._cached.pop(shard, None)

    def clear(self) -> None:
        self._cached.clear()

    def _load(self, db: apsw.Connection, row: ShardRow) -> Document:
        from memcrdt.crdt.shard import Shard

        seq, folded = log.snapshot_of(db, row.shard)
        updates = [] if folded is None else [folded]
        for at, update in log.updates_after(db, row.shard, seq):
            updates.append(update)
            seq = at
        return Document(Shard.load(self._client_id, updates), seq)

    def _caught_up(self, db: apsw.Connection, row: ShardRow, document: Document) -> Document | None:
        """The document with what other processes appended, or None if the rows in between are folded away."""
        if log.snapshot_seq(db, row.shard) > document.seq:
            return None
        for at, update in log.updates_after(db, row.shard, document.seq):
            document.live.apply(update)
            document.seq = at
        return document
