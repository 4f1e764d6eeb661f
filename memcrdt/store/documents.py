"""Live Yjs documents of a few shards, brought up to the log each time before use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw

from memcrdt.errors import CorruptError, RemoteProtocolError
from memcrdt.model import clocks
from memcrdt.store import log
from memcrdt.store.log import ShardRow

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Edit, Shard


CAPACITY = 32  # a full shard with five registers a memory takes about 2.5 MB once loaded


class SpoiledError(CorruptError):
    """A shard (its local number) can't be loaded: bytes of its log are not what was written."""

    def __init__(self, shard: int, reason: str) -> None:
        super().__init__(reason)
        self.shard = shard


@dataclass(slots=True)
class Document:
    """A live document and the row of the log at which it stands.

    `waiting` are rows of a damaged shard that build on lost ones: in the log, but not in the document.
    """

    live: Shard
    seq: int
    waiting: list[bytes] = field(default_factory=list)

    def settle(self) -> list[Edit]:
        """Takes in the waiting rows that fit by now, whatever their order."""
        edits: list[Edit] = []
        while self.waiting:
            rest = [update for update in self.waiting if not self._take(update, edits)]
            if len(rest) == len(self.waiting):
                break
            self.waiting = rest
        return edits

    def _take(self, update: bytes, edits: list[Edit]) -> bool:
        from memcrdt.crdt.scan import scan

        found = scan(update, own=True)
        if not clocks.covers(self.live.state_vector(), found.needs):
            return False
        edits.append(self.live.apply(update, found))
        return True


class Documents:
    """A least-recently-used cache. Its caller holds the store's lock."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.client_id = 0
        self._cached: OrderedDict[int, Document] = OrderedDict()
        self._gone: list[Document] = []  # whole ones that are not needed any more

    def use_client(self, client_id: int) -> None:
        """Writes are made under this client id from now on."""
        if client_id != self.client_id:
            self.client_id = client_id
            self._dismiss_all()

    @property
    def loaded(self) -> frozenset[int]:
        """The shards whose documents are here."""
        return frozenset(self._cached)

    def current(self, db: apsw.Connection, row: ShardRow) -> Document:
        """The document of a shard, at the shard's head as `db` sees it. Raises SpoiledError."""
        document = self._cached.pop(row.shard, None)  # an error on the way leaves none behind
        try:
            if document is not None and document.seq != row.head:
                document = self._caught_up(db, row, document)
            if document is None:
                document = self._load(db, row)
        except CorruptError as exc:
            raise SpoiledError(row.shard, str(exc)) from exc
        self._cached[row.shard] = document
        return document

    def trim(self) -> None:
        """Lets go of what was used longest ago. Not done within a transaction: it may hold what is uncommitted, and
        others would wait while large documents are freed."""
        while len(self._cached) > self._capacity:
            self._gone.append(self._cached.popitem(last=False)[1])
        while self._gone:
            self._gone.pop().live.free()

    def drop(self, shard: int) -> None:
        """Forgets a document that may be spoiled."""
        self._cached.pop(shard, None)

    def clear(self) -> None:
        """Forgets all documents, that may be spoiled."""
        self._cached.clear()

    def close(self) -> None:
        self._dismiss_all()
        self.trim()

    def _dismiss_all(self) -> None:
        self._gone += self._cached.values()
        self._cached.clear()

    def _load(self, db: apsw.Connection, row: ShardRow) -> Document:
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
        document = Document(Shard.load(self.client_id, folded), row.head, later)
        document.settle()
        return document

    def _caught_up(self, db: apsw.Connection, row: ShardRow, document: Document) -> Document | None:
        """The document with what other processes appended, or None if the rows in between are folded away."""
        if row.damaged or log.snapshot_seq(db, row.shard) > document.seq:
            self._gone.append(document)
            return None
        for found in log.updates_after(db, row.shard, document.seq):
            _apply(document.live, found.update, found.seq)
            document.seq = found.seq
        return document


def _scanned(update: bytes, seq: int) -> Scan:
    """The scan of a row of the log. What came from outside is scanned at every load, the rest by doctor and restore:
    a thousand memories with five registers each take 17 ms to load and 15 ms to scan."""
    from memcrdt.crdt.scan import scan

    try:
        return scan(update, own=True)
    except RemoteProtocolError as exc:
        raise CorruptError(f"row {seq} of the log is no update ({exc}); run `memcrdt doctor --repair`") from exc


def _apply(live: Shard, update: bytes, seq: int) -> None:
    try:
        live.apply(update, _scanned(update, seq))
    except RemoteProtocolError as exc:
        raise CorruptError(f"row {seq} of the log does not fit ({exc}); run `memcrdt doctor --repair`") from exc
