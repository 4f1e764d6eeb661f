"""Live Yjs documents of a few shards. They are brought up to date with the log before each use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memcrdt.errors import CorruptError, RemoteProtocolError
from memcrdt.model import clocks, limits
from memcrdt.store import log
from memcrdt.store.log import ShardRow
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Edit, Shard
    from memcrdt.model.clocks import StateVector


CAPACITY = 32  # a loaded full shard with five registers per memory takes about 2.5 MB
FIRST_UPDATES = 256  # whose clocks are remembered until the log is read, which is done 64 rows at a time
CAPACITY_BYTES = 256 * limits.MIB  # of memory, as shards count it; a single document may take more


class SpoiledError(CorruptError):
    """A shard cannot be loaded, because bytes of its log have changed. `shard` is its local number."""

    def __init__(self, shard: int, reason: str) -> None:
        super().__init__(reason)
        self.shard = shard


@dataclass(slots=True)
class Document:
    """A live document.

    Attributes:
        live: The document.
        seq: The row of the log up to which it is current.
        memory: The memory that it takes, in bytes, as its shard counts it.
        waiting: Updates of a damaged shard that build on lost rows. They are in the log, but not in the document.
    """

    live: Shard
    seq: int
    memory: int = 0
    waiting: list[bytes] = field(default_factory=list)

    def apply_waiting(self) -> list[Edit]:
        """Apply the waiting updates that now fit, in any order. Return their edits."""
        edits: list[Edit] = []
        while self.waiting:
            rest = [update for update in self.waiting if not self._apply_if_it_fits(update, edits)]
            if len(rest) == len(self.waiting):
                break
            self.waiting = rest
        return edits

    def _apply_if_it_fits(self, update: bytes, edits: list[Edit]) -> bool:
        from memcrdt.crdt.scan import scan

        found = scan(update, own=True)
        if not clocks.covers(self.live.state_vector(), found.needs):
            return False
        edits.append(self.live.apply(update, found))
        return True


class Documents:
    """An LRU cache of documents. The caller holds the lock of the store.

    Attributes:
        client_id: The client id of all later writes.
        first_updates: For the latest updates that were the first of their shards, by the checksum of their row: the
            state vector of the document with nothing else. A scan would find the same.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.client_id = 0
        self.first_updates: OrderedDict[bytes, StateVector] = OrderedDict()
        self._cached: OrderedDict[int, Document] = OrderedDict()
        self._gone: list[Document] = []  # no longer needed, but not freed yet

    def use_client(self, client_id: int) -> None:
        """Set the client id of all later writes."""
        if client_id != self.client_id:
            self.client_id = client_id
            self._dismiss_all()

    @property
    def loaded(self) -> frozenset[int]:
        """The shards (local numbers) whose documents are in the cache."""
        return frozenset(self._cached)

    def current(self, db: SqlConnection, row: ShardRow) -> Document:
        """Return the document of a shard, at the head of the shard as `db` sees it.

        Raises:
            SpoiledError: The shard cannot be loaded.
        """
        document = self._cached.pop(row.shard, None)  # so that an error leaves no broken document in the cache
        try:
            if document is not None and document.seq != row.head:
                document = self._caught_up(db, row, document)
            if document is None:
                document = self._load(db, row)
        except CorruptError as exc:
            raise SpoiledError(row.shard, str(exc)) from exc
        document.memory = row.memory
        self._cached[row.shard] = document
        return document

    def note_first_update(self, shard: int, update: bytes, document: Shard) -> None:
        """Remember the clocks of the update that is all that a document has."""
        self.first_updates[log.checksum(shard, update)] = document.state_vector()
        while len(self.first_updates) > FIRST_UPDATES:
            self.first_updates.popitem(last=False)

    def trim(self) -> None:
        """Drop the least recently used documents, and free them.

        Do not call this within a transaction. It may need documents with uncommitted changes, and other processes would
        wait while large documents are freed.
        """
        memory = sum(document.memory for document in self._cached.values())
        while len(self._cached) > self._capacity or (memory > CAPACITY_BYTES and len(self._cached) > 1):
            memory -= next(iter(self._cached.values())).memory
            self._gone.append(self._cached.popitem(last=False)[1])
        while self._gone:
            self._gone.pop().live.free()

    def drop(self, shard: int) -> None:
        """Drop a document that may differ from the log."""
        self._cached.pop(shard, None)

    def clear(self) -> None:
        """Drop all documents, because they may differ from the log."""
        self._cached.clear()

    def close(self) -> None:
        """Free all documents."""
        self._dismiss_all()
        self.trim()

    def _dismiss_all(self) -> None:
        self._gone += self._cached.values()
        self._cached.clear()

    def _load(self, db: SqlConnection, row: ShardRow) -> Document:
        from memcrdt.crdt.shard import Shard

        seq, folded = log.snapshot_of(db, row.shard)
        later: list[bytes] = []
        for found in log.updates_after(db, row.shard, seq):
            if found.origin != log.LOCAL:
                _scanned(found.update, found.seq)
            later.append(found.update)
        if not row.damaged:
            live = Shard.load(self.client_id, folded + later)
            if len(later) != row.log_rows or live.state_vector() != log.state_vector_of(row):
                live.free()
                raise CorruptError(f"rows of the log of shard {row.shard} are missing; run `memcrdt doctor --repair`")
            return Document(live, row.head)
        document = Document(Shard.load(self.client_id, folded), row.head, waiting=later)
        document.apply_waiting()
        return document

    def _caught_up(self, db: SqlConnection, row: ShardRow, document: Document) -> Document | None:
        """Apply the rows that other processes appended. Return None if rows in between were folded away."""
        if row.damaged or log.snapshot_seq(db, row.shard) > document.seq:
            self._gone.append(document)
            return None
        for found in log.updates_after(db, row.shard, document.seq):
            _apply(document.live, found.update, found.seq)
            document.seq = found.seq
        return document


def _scanned(update: bytes, seq: int) -> Scan:
    """Return the scan of a row of the log.

    Rows from other devices and clients are scanned at every load. Local rows are scanned only by doctor and restore,
    because scanning takes nearly as long as loading: 15 ms and 17 ms for a thousand memories with five registers each.
    """
    from memcrdt.crdt.scan import scan

    try:
        return scan(update, own=True)
    except RemoteProtocolError as exc:
        raise CorruptError(
            f"row {seq} of the log is not a valid update ({exc}); run `memcrdt doctor --repair`"
        ) from exc


def _apply(live: Shard, update: bytes, seq: int) -> None:
    try:
        live.apply(update, _scanned(update, seq))
    except RemoteProtocolError as exc:
        raise CorruptError(f"row {seq} of the log does not fit ({exc}); run `memcrdt doctor --repair`") from exc
