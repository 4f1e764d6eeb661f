"""The store of a hub: everything is in PostgreSQL, and any number of processes serve it at once.

Two locks take the place of SQLite's write lock, and each is a row, so that they work through a pooler:

- the row of a shard, from the moment at which a transaction loads the document until it ends. So two processes work on
  two shards at the same time, and on one shard after each other;
- the row with the number of the last log row, from the end of a transaction's work on documents. Log rows become
  visible in their order, and the views of a memory that is in two shards see both.

A process keeps documents only to avoid loading them again: with the lock of the shard, it first applies what others
appended. Two transactions that wait for each other are a deadlock, which PostgreSQL resolves, and the one that failed
runs again.

A Yjs client id belongs to one process and one history of the database. Each process takes its own before it first
writes to a document, and another one if the database is not the one that was written last: see `fence_of`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from memcrdt.errors import StoreError
from memcrdt.hub import migrations
from memcrdt.hub.connection import ConflictError, PostgresConnection, configure, translated
from memcrdt.model.device_ids import shown
from memcrdt.store import alarms, compaction, log, meta, quarantine, reprojection
from memcrdt.store.base import BaseStore
from memcrdt.store.incarnation import NEW_KEY, StoreOptions
from memcrdt.store.indexer import Indexer, NoIndex, Prepared
from memcrdt.store.scrubbing import RetryThread
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction

T = TypeVar("T")

CONNECTIONS: Final = 8  # of one process, at most; each is a process of PostgreSQL
ANSWER_S: Final = 10.0  # how long to wait for a connection
ATTEMPTS: Final = 8  # of a commit that meets deadlocks

_FENCE: Final = "fence"
_EPOCH: Final = "client_epoch"
_OTHER_HISTORY: Final = (
    "This is not the database that was written last ({before} became {now}): it was restored, copied, or a standby took"
    " over. The hub continues under a new identity. Changes that are missing come back from the other devices"
)
_OTHER_DEVICE: Final = (
    "the database belongs to the hub {other}, and this key is that of {own}: all processes of a hub have the same key."
    " Copy the hub's key file here. If it is lost, take the hub over with a new key: memcrdt hub"
    " --take-over"
)
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
_VERSION: Final = "SELECT (SELECT value FROM meta WHERE key = 'incarnation'), sum(seq) FROM sqlite_sequence"
_COUNT_WRITE: Final = "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'writes'"
_CHANNEL: Final = "'memcrdt_' || 'updates'::regclass::oid"  # databases may have several hubs, each in a schema
_NOT_DURABLE: Final = "SET LOCAL synchronous_commit = off"

_log = logging.getLogger(__name__)


def fence_of(db: SqlConnection) -> str:
    """Return a name of the history that the database is in.

    It differs after a standby has taken over or a base backup was restored (the timeline), and in a dump that was
    restored (the cluster, the database, or the table).
    """
    return str(db.execute(_HISTORY).get)


_HISTORY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system()) || '/' ||
  substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' ||
  (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'updates'::regclass::oid"""

_SIZE: Final = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"""


class PostgresStore(BaseStore[PostgresConnection]):
    """A store in a PostgreSQL database. `memcrdt.node.store_replica.StoreReplica` makes it a Replica.

    Args:
        dsn: The address of the database, as libpq takes it.
        device: The id of this device.
        options: Clock and random source. The rest is for files and has no effect.
        indexer: The indexes of search, such as `memcrdt.hub.search.search_index()`. None for a store without search:
            then no process of the hub may have one.
        takes_over: Whether this device takes the place of another one, whose key is lost.

    Raises:
        SchemaError: A newer version of memcrdt wrote the database.
        StoreError: The database cannot be used, or belongs to another device.

    Example:
        >>> store = PostgresStore("postgresql://hub@db.example/memories", device)  # doctest: +SKIP
    """

    def __init__(
        self,
        dsn: str,
        device: str,
        options: StoreOptions | None = None,
        *,
        indexer: Indexer | None = None,
        takes_over: bool = False,
    ) -> None:
        super().__init__(device, indexer or NoIndex(), options or StoreOptions())
        self._takes_over = takes_over
        self._process = secrets.token_hex(8)
        # The incarnation and the epoch that this process knows, and its client id in them; 0 until it takes one.
        self._client: tuple[str, str, int] = ("", "", 0)
        self._eraser = RetryThread(self._fold_forgotten)
        self._pool = ConnectionPool(
            dsn, min_size=0, max_size=CONNECTIONS, timeout=ANSWER_S, configure=configure, open=False
        )
        try:
            self._open(dsn)
        except BaseException:
            self.close()
            raise

    @property
    def boot(self) -> str:
        """A name of this process: a client id is not used by two of them."""
        return self._process

    def size(self, *, used: bool = False) -> int:
        """Return the bytes that all tables take with their indexes. PostgreSQL does not tell how much of it is free."""
        with self.reading() as db:
            return int(db.execute(_SIZE).get)

    @property
    def reconnects(self) -> bool:
        """True: PostgreSQL may restart, or another server may take over."""
        return True

    def data_version(self, db: SqlConnection) -> tuple[str, int]:
        """Return a value that differs after every change by any process: the incarnation, and a number that grows."""
        incarnation, number = db.execute(_VERSION).fetchone()
        return str(incarnation), int(number)

    def close(self) -> None:
        """Close every connection. A second call does nothing."""
        self._eraser.stop()
        with self._lock:
            self._pool.close()
            self._documents.close()

    @contextmanager
    def reading(self) -> Iterator[PostgresConnection]:
        """Lend a connection for reading. No read transaction may outlive the block."""
        with translated("reading"), self._pool.connection() as raw:
            yield PostgresConnection(raw)

    def commit(
        self,
        plan: Callable[[Transaction], T],
        *,
        prepared: Prepared = None,
        origin: str = "local",
        by: str | None = None,
    ) -> T:
        """Commit as BaseStore does. A plan that meets a deadlock runs again, so it must not keep a state of its own."""
        for _ in range(ATTEMPTS - 1):
            with suppress(ConflictError):
                return super().commit(plan, prepared=prepared, origin=origin, by=by)
        return super().commit(plan, prepared=prepared, origin=origin, by=by)

    @contextmanager
    def writing(self, *, is_synced: bool = True) -> Iterator[PostgresConnection]:
        """Lend the write connection as BaseStore does, and count the write for the other processes."""
        with super().writing(is_synced=is_synced) as db:
            yield db
            db.execute(_COUNT_WRITE)

    def version(self) -> tuple[str, int]:
        """Return what `data_version` does.

        If the database has another history than this process knows, it becomes another incarnation first. Otherwise the
        number could be the same although rows were lost, and others written instead of them.
        """
        with self.reading() as db:
            version, is_known = self.data_version(db), self._is_known(db)
        if is_known:
            return version
        with self._exclusive("looking at the history") as db:
            return self.data_version(db)

    def channel(self) -> str:
        """Return the name under which the processes of this hub notify each other."""
        with self.reading() as db:
            return str(db.execute(f"SELECT {_CHANNEL}").get)

    def notify(self) -> None:
        """Tell the other processes that there is something new. See memcrdt/hub/change_signal.py."""
        with self.reading() as db:
            db.execute(f"SELECT pg_notify({_CHANNEL}, ?)", (self.boot,))

    def renew_client(self, alarm: str) -> None:
        """Let this process write under a new client id, because another store uses ours, and raise an alarm."""
        with self._lock:
            with self.writing() as db:
                client = self._new_client(db)
                alarms.raise_alarm(db, self.now_ms(), alarm)
            self._client = client

    def give_up_client(self, db: SqlConnection) -> None:
        """Let no process write under its present client id after this transaction."""
        log.lock_head(db)
        meta.write(db, _EPOCH, secrets.token_hex(8))

    def scrub(self) -> bool:
        """Fold the shards in which memories were forgotten, so that no live row has their text.

        Returns:
            Whether nothing was ever forgotten. Otherwise PostgreSQL keeps the bytes in dead rows, in its log and in
            backups. So the marks stay, and a hub never tells another device that it has scrubbed.
        """
        self._fold_forgotten()
        with self.reading() as db:
            return not log.is_anything_to_scrub(db)

    def scrub_later(self) -> None:
        """Start `scrub` in the background."""
        self._eraser.wake()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _open(self, dsn: str) -> None:
        with translated("opening"):
            # Not from the pool, which would try for a while. Prepared statements would stay on a pooler's connection.
            with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as raw:
                migrations.migrate(raw)
            self._pool.open()
        with self._exclusive("opening") as db:
            self._takes_over = False  # from now on, another device that takes over takes over from this one
            self._use_facts(db)
            is_to_erase = log.is_anything_to_scrub(db)
        if is_to_erase:
            self.scrub_later()

    @contextmanager
    def _exclusive(
        self, doing: str, *, is_synced: bool = True, needs_client: bool = False
    ) -> Iterator[PostgresConnection]:
        with self._lock, translated(doing), self._pool.connection() as raw:
            db = PostgresConnection(raw)
            try:
                self._begin(db, is_synced, needs_client)
                yield db
                if db.in_transaction:
                    db.execute("COMMIT")
            except BaseException:  # also on Ctrl-C: nothing may change
                if db.in_transaction:
                    with suppress(psycopg.Error):
                        db.execute("ROLLBACK")
                raise

    def _committing(self) -> AbstractContextManager[PostgresConnection]:
        return self._exclusive("committing", needs_client=True)

    def _begin(self, db: PostgresConnection, is_synced: bool, needs_client: bool) -> None:
        """Begin a transaction, if needed with a client id that this process may write under."""
        db.raw.execute("BEGIN")
        if not self._is_known(db) or (needs_client and not self._client[2]):
            client = self._establish(db, needs_client)
            db.execute("COMMIT")  # a client id counts only when others can know of it
            self._client = client
            self._documents.clear()
            db.raw.execute("BEGIN")
        db.execute(_DURABLE if is_synced else _NOT_DURABLE)

    def _is_known(self, db: SqlConnection) -> bool:
        """Return whether the database has the history, the incarnation and the epoch that this process knows."""
        *identity, fence = self._identity(db)
        return tuple(identity) == self._client[:2] and fence == fence_of(db)

    @staticmethod
    def _identity(db: SqlConnection) -> tuple[str, str, str]:
        """Return what a client id belongs to: the incarnation of the database, the epoch, and the fence.

        They are read in one statement. Between two, another process could establish another identity.
        """
        known = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('incarnation', ?, ?)", (_EPOCH, _FENCE)))
        return known.get("incarnation", ""), known.get(_EPOCH, ""), known.get(_FENCE, "")

    def _establish(self, db: PostgresConnection, needs_client: bool) -> tuple[str, str, int]:
        """Write the facts of a new database, make another history another incarnation, and take a client id if needed.

        Commands that only change members, tokens or settings take none: the store remembers a limited number of them.
        """
        log.lock_head(db)
        now_ms, random, fence = self.now_ms(), self.options.random, fence_of(db)
        before = meta.read(db, _FENCE)
        if meta.initialize(db, self.device, now_ms, random):
            meta.renew_client_id(db, self.boot, self.options.random)  # a store always has one
            reprojection.note_all(db)
        elif (other := meta.read(db, "device")) != self.device:
            if not self._takes_over:
                raise StoreError(_OTHER_DEVICE.format(other=shown(str(other)), own=shown(self.device)))
            meta.reincarnate(db, self.device, self.boot, random)
            alarms.raise_alarm(db, now_ms, NEW_KEY)
        elif before != fence:
            meta.reincarnate(db, self.device, self.boot, random)
            alarms.raise_alarm(db, now_ms, _OTHER_HISTORY.format(before=before, now=fence))
            _log.warning("the database has another history than before: %s became %s", before, fence)
        if before != fence:
            meta.write(db, _FENCE, fence)
            db.execute(_COUNT_WRITE)
        return self._new_client(db) if needs_client else (*self._identity(db)[:2], 0)

    def _new_client(self, db: SqlConnection) -> tuple[str, str, int]:
        meta.renew_client_id(db, self.boot, self.options.random)
        return (*self._identity(db)[:2], meta.facts(db).client_id)

    def _use_facts(self, db: SqlConnection) -> None:
        """Use the client id of this process. Documents of another history are loaded again."""
        known = meta.facts(db)
        if known.incarnation != self._client[0]:
            self._documents.clear()
        self._documents.use_client(self._client[2])
        self.facts = replace(known, client_id=self._client[2])

    def _follow_up(self, transaction: Transaction) -> None:
        if transaction.leaves_bytes:
            self.scrub_later()
        for row in transaction.rows:
            if compaction.is_due(row):
                with suppress(StoreError), self.writing_documents() as (db, documents):
                    compaction.fold(db, documents, row.shard)

    def _fold_forgotten(self) -> bool:
        with self.reading() as db:
            marked = log.shard_numbers(db, "to_scrub > 0 AND damaged = 0")
        for shard in self.in_turns(marked):
            with self.writing_documents() as (db, documents):
                compaction.fold(db, documents, shard)
                quarantine.drop_shard(db, log.shard_row(db, shard))
                log.drop_set_aside(db, shard)
        return True
