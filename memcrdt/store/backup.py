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
    """Write a copy of the store to a new file without blocking writers. Return its size in bytes.

    The copy has all memories and spaces, but not the device key.

    Raises:
        InputError: The file already exists.
        StoreError: The file cannot be written.
    """
    with _of_file(path, "written"):
        if path.exists() or path.is_symlink():  # also a dangling link
            raise InputError(f"{path} already exists; name a new file for the backup")
        beside = path.with_name(f"{path.name}.part")
        beside.unlink(missing_ok=True)
        try:
            _copy(store, beside)
            beside.replace(path)
        except BaseException:  # also on Ctrl-C: half a copy of all memories must not remain
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
    """Replace the content of the store with the backup at `path`.

    Changes after the backup are lost on this device and come back from peers. Other processes may continue to use the
    store: they see the whole backup or nothing of it. The store becomes another incarnation.

    Raises:
        InputError: The file does not exist, or is a store in use.
        SchemaError: The file is not a backup of a store.
        CorruptError: The backup is damaged.
        LockedError: Another process is restoring a backup here.
        StoreError: The file cannot be read.
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

    This also protects a file that this process has open: closing a second handle would drop SQLite's locks.
    """
    if path.with_name(f"{path.name}-wal").exists():
        raise InputError(
            f"{path} is the file of a store that is in use, or was not closed, so it may be incomplete; name a"
            " backup that `memcrdt backup` made of that store"
        )


def _check_kind(path: Path) -> None:
    """Raise SchemaError for a file that is not a SQLite file."""
    with _of_file(path, "read"), path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise _no_backup(path)


def _check_ours(source: apsw.Connection, path: Path) -> None:
    """Raise SchemaError for the file of another program, CorruptError for a damaged header."""
    if migrations.is_spoiled(source):
        raise _damaged(path, "its header names a schema version that does not exist")
    if not migrations.is_ours(source):
        raise _no_backup(path)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Raise CorruptError if SQLite cannot read the file. The usual message recommends the doctor, for stores."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError) as exc:
        raise _damaged(path, str(exc)) from exc


def _check_rows(source: apsw.Connection, path: Path) -> None:
    """Raise CorruptError at the first row that is not safe to load: the file may come from anywhere."""
    tables: dict[log.RowKind, str] = {"update": "updates", "snapshot": "snapshots"}
    for kind, table in tables.items():
        for shard, update, kept in source.execute(f"SELECT shard, bytes, checksum FROM {table}"):
            if wrong := log.row_problem(kind, shard, update, kept):
                raise _damaged(path, f"{kind} of shard {shard} {wrong}")


def _no_backup(path: Path) -> SchemaError:
    return SchemaError(f"{path} is not a backup; name a file that `memcrdt backup` made")


def _damaged(path: Path, how: str) -> CorruptError:
    return CorruptError(f"the backup {path} is damaged ({how}); name another one")


def _make_newer(store: Store, source: apsw.Connection) -> None:
    """Give the copy an identity of its own, and let its row numbers continue after those of the store."""
    with store.reading() as db:
        given_out = list(db.execute("SELECT name, seq FROM sqlite_sequence"))
    source.execute("BEGIN IMMEDIATE")
    meta.reincarnate(source, store.device, store.boot, store.options.random)
    meta.raise_alarm(source, store.now_ms(), "This store was restored from a backup")
    for name, seq in given_out:
        source.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, name))
    source.execute("COMMIT")


def _of_file(path: Path, done: str) -> AbstractContextManager[None]:
    return files.translated_os_errors(f"the backup {path} cannot be {done}", "check the folder and its permissions")
