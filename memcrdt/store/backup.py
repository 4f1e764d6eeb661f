"""Back up a store, and restore it from a backup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from memcrdt.errors import CorruptError, InputError, SchemaError
from memcrdt.store import connections, files, log, meta, migrations

if TYPE_CHECKING:
    from memcrdt.store.store import Store

_SQLITE: Final = b"SQLite format 3\0"  # the first bytes of every SQLite file


def back_up(store: Store, path: Path) -> int:
    """Write a copy of the store to a new file, while work goes on. Return its size in bytes.

    The copy holds all memories and spaces, but not the device key.

    Raises:
        InputError: The file exists already.
        StoreError: The file can't be written.
    """
    with _of_file(path, "written"):
        if path.exists() or path.is_symlink():  # also one that leads nowhere
            raise InputError(f"{path} is there already; name a new file for the backup")
        beside = path.with_name(f"{path.name}.part")
        beside.unlink(missing_ok=True)
        try:
            _copy(store, beside)
            beside.replace(path)
        except BaseException:  # in any case: half a copy of all memories must not stay
            beside.unlink(missing_ok=True)
            raise
        return path.stat().st_size


def _copy(store: Store, path: Path) -> None:
    with connections.translated(path, "backing up"), store.reading() as db:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        store.location.write_copy(db, path)
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def restore(store: Store, path: Path) -> None:
    """Replace the content of the store by the backup at `path`. Later changes are lost here, and come back from peers.

    Other processes may go on using the store: they see all of the backup or nothing. It becomes another incarnation.

    Raises:
        InputError: The file is not there, or is a store in use.
        SchemaError: It is no backup of a store.
        CorruptError: It is damaged.
        LockedError: Another process restores a backup here.
        StoreError: It can't be read.
    """
    store.check_writable("restoring")
    if not path.is_file():
        raise InputError(f"there is no file {path}; name a backup that `memcrdt backup` made")
    _check_unused(path)
    _check_kind(path)
    with (
        _of_file(path, "read"),
        connections.translated(path, "restoring"),
        _damage_told(path),
        store.location.copied(path) as source,
    ):
        _check_ours(source, path)
        migrations.migrate(source, path)
        _check_rows(source, path)
        _make_newer(store, source)
        store.replace_content(source)


def _check_unused(path: Path) -> None:
    """Raise InputError for a store with a WAL beside it: its file lacks the last writes.

    A file that this process has open must not be opened in any other way, either: closing it would drop SQLite's locks.
    """
    if path.with_name(f"{path.name}-wal").exists():
        raise InputError(
            f"{path} is the file of a store that is in use, or was not closed, and not all of it; name a backup that"
            " `memcrdt backup` made of that"
        )


def _check_kind(path: Path) -> None:
    """Raise SchemaError for a file that SQLite has not written."""
    with _of_file(path, "read"), path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise _no_backup(path)


def _check_ours(source: apsw.Connection, path: Path) -> None:
    """Raise SchemaError for the file of another program, CorruptError for a damaged header."""
    if migrations.is_spoiled(source):
        raise _damaged(path, "its header names a schema that there never was")
    if not migrations.is_ours(source):
        raise _no_backup(path)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Raise CorruptError for a file that SQLite can't read. The message for stores would name the doctor."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError) as exc:
        raise _damaged(path, str(exc)) from exc


def _check_rows(source: apsw.Connection, path: Path) -> None:
    """Raise CorruptError at the first row that may not be loaded: the file may come from anywhere."""
    tables: dict[log.RowKind, str] = {"update": "updates", "snapshot": "snapshots"}
    for kind, table in tables.items():
        for shard, update, kept in source.execute(f"SELECT shard, bytes, checksum FROM {table}"):
            if wrong := log.row_problem(kind, shard, update, kept):
                raise _damaged(path, f"{kind} of shard {shard} {wrong}")


def _no_backup(path: Path) -> SchemaError:
    return SchemaError(f"{path} is no backup; name one that `memcrdt backup` made")


def _damaged(path: Path, how: str) -> CorruptError:
    return CorruptError(f"the backup {path} is damaged ({how}); name another one")


def _make_newer(store: Store, source: apsw.Connection) -> None:
    """Give the copy an identity of its own, and let its numbers continue behind those of the store."""
    with store.reading() as db:
        given_out = list(db.execute("SELECT name, seq FROM sqlite_sequence"))
    source.execute("BEGIN IMMEDIATE")
    meta.reincarnate(source, store.device, store.boot, store.options.random)
    meta.raise_alarm(source, store.now_ms(), "This store was restored from a backup")
    for name, seq in given_out:
        source.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, name))
    source.execute("COMMIT")


def _of_file(path: Path, done: str) -> AbstractContextManager[None]:
    return files.translated_os_errors(f"the backup {path} can't be {done}", "check its folder and its mode")
