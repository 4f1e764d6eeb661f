"""Read the changes after a point of the log from the views: each memory once, however often it changed.

The store keeps nothing for a reader. However far behind a reader is, the views contain every change that it lacks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

from memcrdt.model.filters import INCLUDES, CheckedFilters
from memcrdt.model.records import ChangeKind
from memcrdt.store import log, meta
from memcrdt.store.filtering import Where, in_spaces, where
from memcrdt.store.sql import SqlConnection

_CHANGED = """
SELECT m.seq, m.memory, s.name, m.id, u.origin, coalesce(u.at, m.updated_at), m.born_seq
FROM memories m JOIN spaces s USING(space) LEFT JOIN updates u USING(seq)
WHERE (m.seq, m.memory) > (?, ?) AND {} ORDER BY m.seq, m.memory LIMIT ?"""
# Scrubbing soon folds the log row of a forget away. The origin is then the device that forgot the memory.
_BURIED = """
SELECT g.seq, g.id, s.name, g.id, coalesce(u.origin, nullif(g.device, (SELECT value FROM meta WHERE key = 'device'))),
  coalesce(u.at, g.at)
FROM graves g JOIN spaces s USING(space) LEFT JOIN updates u USING(seq)
WHERE (g.seq, g.id) > (?, ?) AND {} ORDER BY g.seq, g.id LIMIT ?"""
_LAST_NUMBER = 1 << 62
_LAST_ID = "~"
# Origins that the log does not record: its rows name the device that sent them, a Yjs client, or log.LOCAL.
PROCESS: Final = "process"  # another process of this device
RETENTION: Final = "retention"  # this process, which forgot expired memories
OWN_COMMITS: Final = 16_384  # the number of commits remembered, to distinguish them from commits of other processes


class OwnCommits:
    """The log rows at which commits of this process ended, and the origins of those commits. Safe between threads.

    The log does not record which process wrote a row. It also does not record that a local row completes an update from
    another device and belongs to it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._origins: OrderedDict[int, str] = OrderedDict()

    @contextmanager
    def noting(self, seq: int, origin: str) -> Iterator[None]:
        """Note a commit that the body makes durable. No reader gets an answer before the body ends.

        If the body fails, the note is dropped: another process may write the next row of that number.
        """
        with self._lock:
            yield
            self._origins[seq] = origin
            if len(self._origins) > OWN_COMMITS:
                self._origins.popitem(last=False)

    def origin(self, seq: int) -> str | None:
        """Return the origin of the commit that ended at this row, or None if another process made it."""
        with self._lock:
            return self._origins.get(seq)


class Step(NamedTuple):
    """One change, of log row `seq`. `origin` is None when the row has been folded away; `at` in ms."""

    seq: int
    kind: ChangeKind
    space: str
    id: str
    origin: str | None
    at: int


class ChangeCursor:
    """The position of one reader in the log. Every change after a log row is new to it.

    Only the space of a forgotten memory is known, so the other filters accept it.

    Args:
        db: A connection to the store.
        filters: The memories whose changes are read.
        since: The log row. Default: the last one.
    """

    def __init__(self, db: SqlConnection, filters: CheckedFilters, since: int | None = None) -> None:
        self._filters = replace(filters, include=frozenset(INCLUDES), as_of=None)  # becoming hidden is a change too
        self._incarnation = meta.read(db, "incarnation")  # read first: if it changes now, `is_lost` will say so
        self._go_behind(log.head(db) if since is None else since)

    def _go_behind(self, row: int) -> None:
        self._changed = (row, _LAST_NUMBER)
        self._buried = (row, _LAST_ID)

    def is_lost(self, db: SqlConnection) -> bool:
        """Return whether the store has become another incarnation since the last call, and go behind its last row then.

        After a failover of a database that lost commits, other changes have the numbers of rows that were read.
        """
        incarnation = meta.read(db, "incarnation")
        if incarnation == self._incarnation:
            return False
        self._incarnation = incarnation
        self._go_behind(log.head(db))
        return True

    def read(self, db: SqlConnection, limit: int) -> list[Step]:
        """Return up to `limit` changes in the order of their commits. The next call continues after them."""
        head = log.head(db)  # read first: the views below are then at least as new as this head
        wanted = where(self._filters, 0)
        changed = db.execute(_CHANGED.format(wanted.sql), (*self._changed, *wanted.bindings, limit)).fetchall()
        there = in_spaces("g.space", self._filters.space) if self._filters.space else Where("TRUE", ())
        buried = db.execute(_BURIED.format(there.sql), (*self._buried, *there.bindings, limit)).fetchall()
        taken = sorted([(row[0], False, row) for row in changed] + [(row[0], True, row) for row in buried])[:limit]
        before = self._changed
        steps = [self._buried_step(row) if grave else self._changed_step(row, before) for _, grave, row in taken]
        if len(steps) < limit:
            self._changed = max(self._changed, (head, _LAST_NUMBER))
            self._buried = max(self._buried, (head, _LAST_ID))
        return steps

    def _changed_step(self, row: tuple[Any, ...], before: tuple[int, int]) -> Step:
        seq, number, space, memory_id, origin, at, born_seq = row
        self._changed = (seq, number)
        return Step(seq, "added" if (born_seq, number) > before else "updated", space, memory_id, origin, at)

    def _buried_step(self, row: tuple[Any, ...]) -> Step:
        seq, key, space, memory_id, origin, at = row
        self._buried = (seq, key)
        return Step(seq, "forgotten", space, memory_id, origin, at)


def is_folded_past(db: SqlConnection, seq: int) -> bool:
    """Return whether rows of the log after this one have been folded away."""
    return bool(db.execute("SELECT EXISTS(SELECT 1 FROM snapshots WHERE seq > ?)", (seq,)).get)
