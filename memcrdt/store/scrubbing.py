"""Scrubbing: erase every byte of forgotten memories from the file, and retry until that is done.

Forgetting marks its shards, and the mark stays in the file until they are scrubbed. Folding leaves deleted values out
of the snapshot, and SQLite overwrites the rows that it deletes. The indexes erase what they left for later. Then the
WAL, which still has those rows, is emptied, and what SQLite left of them in the file is overwritten (unallocated.py).

Emptying the WAL waits for the disk, and the steps before and after it do not: a power cut leaves the mark, or brings it
back, and the shard is scrubbed again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from memcrdt.errors import MemcrdtError
from memcrdt.model import edits
from memcrdt.store import compaction, log, quarantine
from memcrdt.store.database import Database
from memcrdt.store.documents import Documents
from memcrdt.store.sql import SqlConnection

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 60.0
_REST: Final = 4  # times as long as the work took: in a large store it takes long, and holds the write lock
_FORGOTTEN: Final = "SELECT graves.id FROM homes JOIN graves USING(space, id) WHERE homes.shard = ?"
_TRANSACTIONS_AT_ONCE: Final = 16  # to erase in the indexes, because the caller of forget() waits for them

# Blocked: a reader keeps the WAL in use, or the indexes have more to erase.
# Waiting: the remaining shards are damaged, and cannot be folded before they are repaired, or another device has to
# delete registers in them, because this one may only read the space.
ScrubOutcome: TypeAlias = Literal["done", "blocked", "waiting"]

_log = logging.getLogger(__name__)


def scrub(database: Database, erase_in_indexes: Callable[[SqlConnection], bool]) -> ScrubOutcome:
    """Scrub every marked shard that is not damaged.

    A shard whose document still has registers of forgotten memories stays marked.

    Args:
        database: The database.
        erase_in_indexes: Erases bytes of removed memories in the indexes, and returns whether there are more.

    Raises:
        StoreError: The file could not be written; the shards stay marked.
    """
    with database.reading() as db:
        marked = list(db.execute("SELECT shard, to_scrub FROM shards WHERE to_scrub > 0 AND damaged = 0"))
        is_damaged = db.execute("SELECT 1 FROM shards WHERE to_scrub > 0 AND damaged = 1").fetchone() is not None
    swept = []
    for shard, seq in database.in_turns(marked):
        with database.writing_documents(is_synced=False) as (db, documents):
            compaction.fold(db, documents, shard)
            quarantine.drop_shard(db, log.shard_row(db, shard))
            log.drop_set_aside(db, shard)
            if _is_swept(db, documents, shard):
                swept.append((shard, seq))
    if marked and not (_erase(database, erase_in_indexes) and database.erase_unallocated()):
        return "blocked"
    with database.writing(is_synced=False) as db:
        # A shard that was marked again in between keeps its mark, because the new row comes after the scrubbed rows.
        db.executemany("UPDATE shards SET to_scrub = 0 WHERE shard = ? AND to_scrub = ?", swept)
    return "waiting" if is_damaged or len(swept) < len(marked) else "done"


def _is_swept(db: SqlConnection, documents: Documents, shard: int) -> bool:
    """Return whether the document of a shard has nothing of forgotten memories but their tombstones."""
    live = documents.current(db, log.shard_row(db, shard)).live
    forgotten = [str(row[0]) for row in db.execute(_FORGOTTEN, (shard,))]
    with live.reading():
        return not any(edits.swept(each, live.registers(each)) for each in forgotten)


def _erase(database: Database, erase_in_indexes: Callable[[SqlConnection], bool]) -> bool:
    """Erase in the indexes, in a bounded number of transactions. Return whether nothing is left to erase."""
    for _ in database.in_turns(range(_TRANSACTIONS_AT_ONCE)):
        with database.writing(is_synced=False) as db:
            if not erase_in_indexes(db):
                return True
    return False


class RetryThread:
    """Calls `work` in a thread until it returns True, with doubling pauses. The thread ends when there is no work.

    However often it is woken, the work takes about a fifth of the time at most.
    """

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._woken = False
        self._rests_until = 0.0  # by the monotonic clock

    def wake(self) -> None:
        """Run the work soon, not now. Further calls before then count as one."""
        with self._lock:
            self._woken = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="memcrdt background", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread after the current call of `work`."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        pause_s = self._first_pause_s()
        while not self._stop.wait(pause_s):
            with self._lock:
                self._woken = False
            began = time.monotonic()
            is_done = self._try()
            ended = time.monotonic()
            self._rests_until = ended + min(_REST * (ended - began), LONGEST_PAUSE_S)
            with self._lock:
                if is_done and not self._woken:
                    self._thread = None
                    return
            pause_s = self._first_pause_s() if is_done else min(2 * pause_s, LONGEST_PAUSE_S)

    def _first_pause_s(self) -> float:
        return max(FIRST_PAUSE_S, self._rests_until - time.monotonic())

    def _try(self) -> bool:
        try:
            return self._work()
        except MemcrdtError as exc:
            _log.info("will be retried: %s", exc)
            return False
