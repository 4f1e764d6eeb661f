"""One shard within a transaction: its gathered writes, the edits of its document, and its rows for the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memcrdt.model import limits
from memcrdt.model.registers import Deleted, Registers, Writes
from memcrdt.model.values import Json
from memcrdt.store import log, views
from memcrdt.store.documents import Document
from memcrdt.store.log import Append, ShardRow
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.crdt.shard import Edit

_REGISTER_BYTES: Final = 200  # the size of a register's key and fields, without the text of a birth


@dataclass(slots=True)
class ShardWork:
    """One shard in a transaction.

    Attributes:
        row: The shard as the log has it, and as this transaction leaves it.
        document: Its live document.
        births: The number of memories born in it, gathered ones included.
        registers: The number of its registers, gathered ones included.
        size: Its size in bytes. Gathered writes count roughly.
        is_changed: Whether the document has changes that the log does not have.
        is_mended: Whether this was a damaged shard that is whole again.
        is_completed: Whether the gathered writes complete an update from outside: they go into one row of the log.
        to_scrub: Whether text was deleted whose bytes are still in the log.
        awaits_deletion: Whether it has registers of a forgotten memory that another device has to delete.
        pending: The gathered writes, by memory.
        born: All registers of new memories, as they were written.
        updates: Updates for the log, each with its origin.
        touched: The memories with a changed register.
        unborn: The memories that lost their birth or tombstone and have no tombstone.
    """

    row: ShardRow
    document: Document
    births: int
    registers: int
    size: int
    is_changed: bool = False
    is_mended: bool = False
    is_completed: bool = False
    to_scrub: bool = False
    awaits_deletion: bool = False
    pending: dict[str, dict[str, Json | Deleted]] = field(default_factory=lambda: defaultdict(dict))
    born: dict[str, Registers] = field(default_factory=dict)
    updates: list[tuple[bytes, str]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    unborn: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, row: ShardRow, document: Document) -> ShardWork:
        """Return the work on a shard whose document is up to date."""
        return cls(row, document, document.live.births, document.live.register_count, row.size)

    @property
    def is_full(self) -> bool:
        """Whether the shard takes no more births."""
        return self.row.is_full_with(self.births, self.registers, self.size)

    def concerned(self, ids: Set[str]) -> Set[str]:
        """Return which of these memories this transaction touches in this shard."""
        return ids & self.pending.keys() | ids & self.touched

    def registers_of(self, memory_id: str) -> Registers:
        """Return the registers of a memory, including gathered writes."""
        found: Registers = self.born.get(memory_id) or self.document.live.registers(memory_id)
        gathered = self.pending.get(memory_id)
        return _without_deleted({**found, **gathered}) if gathered else found

    def gather(self, memory_id: str, writes: Mapping[str, Json | Deleted], *, is_birth: bool = False) -> None:
        """Gather registers of a memory that is new in this shard."""
        self.pending[memory_id].update(writes)
        self.births += is_birth
        self.registers += len(writes)
        self.size += sum(_size(value) for value in writes.values())

    def write_gathered(self) -> Edit | None:
        """Write the gathered registers as one Yjs transaction. Return the edit, or None if there were none."""
        from memcrdt.crdt.scan import memory_of

        gathered: Writes = {}
        for memory_id, writes in self.pending.items():
            gathered.update(writes)
            if memory_id not in self.document.live.ids():
                self.born[memory_id] = _without_deleted(writes)
            else:
                self.born.pop(memory_id, None)
        self.pending.clear()
        if not gathered:
            return None
        self.is_changed = True
        self.count_memory(sum(memory_of(value) for value in gathered.values() if not isinstance(value, Deleted)))
        return self.document.live.write(gathered)

    def count_memory(self, more: int) -> None:
        """Count the memory in bytes that new blocks of the document take."""
        self.row = self.row._replace(memory=self.row.memory + more)

    def record(self, edit: Edit, origin: str) -> None:
        """Record an edit of the document, for the log and the views."""
        self.updates += ((update, origin) for update in edit.updates)
        self._touch(edit)

    def apply_waiting(self, db: SqlConnection) -> None:
        """Apply the waiting rows of a damaged shard that now fit. When no row waits, the shard is whole again."""
        for edit in self.document.apply_waiting():
            self._touch(edit)
        if not self.document.waiting:
            self.row = self.row._replace(damaged=False)
            self.is_mended = True
            self.touched |= self.document.live.ids()
            self.touched |= views.at_home_in(db, self.row.shard)

    def append(self, db: SqlConnection, at: int) -> int:
        """Append the updates to the log. Return the seq of the last update, or 0 if there were none.

        Args:
            db: The write connection.
            at: The time of the commit in ms.
        """
        seq = 0
        if self.is_completed:
            self._unite_updates()
        for update, origin in self.updates:
            seq = self.document.seq = log.append(db, Append(self.row.shard, update, origin, at))
        if self.updates or self.is_mended:
            self._write_head(db)
        elif self.awaits_deletion:
            log.mark_to_scrub(db, self.row.shard, self.row.head)
        if self.is_mended:  # in the log, waiting rows still come before the rows they waited for
            log.fold(db, self.row, self.document.live.snapshot())
        return seq

    def _unite_updates(self) -> None:
        """Make one row of all updates, so that no device receives a deletion without the writes that complete it."""
        from memcrdt.crdt.shard import merged

        if sum(len(update) for update, _ in self.updates) <= limits.UPDATE_BYTES:
            self.updates = [(merged(update for update, _ in self.updates), self.updates[0][1])]

    def _touch(self, edit: Edit) -> None:
        self.touched |= edit.touched
        self.unborn |= edit.unborn
        # Once a memory has no register here, this shard is no home of it any more. If it is then forgotten in another
        # shard, nothing else would erase its bytes in this log.
        self.to_scrub |= not edit.touched <= self.document.live.ids()

    def _write_head(self, db: SqlConnection) -> None:
        new = sum(len(update) for update, _ in self.updates)
        self.row = log.counted(self.row, self.document.live)._replace(
            size=self.row.size + new,
            log_rows=self.row.log_rows + len(self.updates),
            log_bytes=self.row.log_bytes + new,
            head=self.document.seq,
        )
        self.document.memory = self.row.memory
        log.write_head(db, self.row)
        if self.to_scrub:
            log.mark_to_scrub(db, self.row.shard, self.row.head)


def _without_deleted(writes: Writes) -> Registers:
    return {key: value for key, value in writes.items() if not isinstance(value, Deleted)}


def _size(value: Json | Deleted) -> int:
    """Return the rough size of a register in bytes: only its text is long."""
    text = value.get("text") if isinstance(value, dict) else None
    return _REGISTER_BYTES + (len(text.encode()) if isinstance(text, str) else 0)
