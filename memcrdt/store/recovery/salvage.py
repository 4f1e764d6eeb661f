"""Salvage a file that SQLite cannot read everywhere: copy the readable rows into a new file, which replaces it.

The doctor then rebuilds missing parts of the log, the views and the indexes. The damaged file is kept.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from memcrdt.errors import CorruptError, StoreError
from memcrdt.model.limits import MIB
from memcrdt.store import connections, files, migrations, scratch
from memcrdt.store.recovery import header_rebuild
from memcrdt.store.recovery.file_check import connect
from memcrdt.store.recovery.table_copy import SEQUENCE, copied_tables, copy_readable

# Tables that only the user can restore.
_ONLY_USER_KNOWS: Final = frozenset(
    {"peers", "shares", "members", "invited", "withdrawn", "relay_decisions", "tokens", "token_spaces"}
)
_ANYTHING: Final = """
SELECT EXISTS(SELECT 1 FROM updates) OR EXISTS(SELECT 1 FROM snapshots) OR EXISTS(SELECT 1 FROM memories)"""


def salvage(path: Path, vfs: str | None = None) -> tuple[str, ...]:
    """Copy all readable rows of the file at `path` into a new file, and replace the content of `path` with it.

    Returns:
        Descriptions of the repair for the user.

    Raises:
        CorruptError: The list of tables cannot be read.
        StoreError: Another process wrote to the file during the repair. Nothing was changed.
    """
    with (
        scratch.folder(path.parent, "salvaging") as folder,
        connections.translated(path, "salvaging"),
        closing(connect(path, vfs)) as old,
        closing(connect(folder / "salvaged.db", vfs)) as new,
    ):
        before = connections.data_version(old)
        connections.use_wal(new)
        migrations.migrate(new, path)
        copied, lacking = copy_readable(old, new)
        kept = _keep_damaged(old, path)
        if connections.data_version(old) != before:
            raise StoreError(f"another process wrote to {path}, so nothing was changed; end it and try again")
        with old.backup("main", new, "main") as backup:
            while not backup.done:
                backup.step(-1)
    return tuple(_summary(kept, copied, lacking))


def salvage_unlisted(path: Path) -> tuple[str, ...]:
    """Salvage a file whose list of tables cannot be read. No process may have it open.

    The result is another file, and so another incarnation of the store.

    Returns:
        Descriptions of the repair for the user.

    Raises:
        CorruptError: The file has no readable memory. Nothing was changed.
        StoreError: Another process wrote to the file during the repair. Nothing was changed.
    """
    before = path.stat()
    with (
        scratch.folder(path.parent, "salvaging") as folder,
        connections.translated(path, "salvaging"),
    ):
        made, copy = folder / "salvaged.db", folder / "copy.db"
        with closing(connect(made, None)) as new:
            connections.use_wal(new)
            migrations.migrate(new, path)
            missing = header_rebuild.rebuild_header(path, copy, new, [*copied_tables(new), SEQUENCE])
            with closing(connections.connect(copy, read_only=False, vfs=None)) as old:
                copied, lacking = copy_readable(old, new, missing)
            is_empty = not new.execute(_ANYTHING).get
        if is_empty:
            raise CorruptError(
                f"no memory can be found in {path}, and nothing was changed; keep the file, and restore a"
                " backup into a new home, or sync with the other devices into one"
            )
        if path.stat() != before:
            raise StoreError(f"another process wrote to {path}, so nothing was changed; end it and try again")
        kept = _put_in_place(made, path)
    return tuple(_summary(kept, copied, lacking))


def _put_in_place(made: Path, path: Path) -> Path:
    """Replace the file at `path` with `made`. Return the path where the old file and its WAL are kept."""
    kept = _kept_path(path)
    for suffix in ("", *files.BESIDE):
        there = path.with_name(path.name + suffix)
        if there.exists():
            shutil.copyfile(there, kept.with_name(kept.name + suffix))
            kept.with_name(kept.name + suffix).chmod(0o600)
    for suffix in files.BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    made.chmod(0o600)
    made.replace(path)
    return kept


def _summary(kept: Path, copied: int, lacking: Sequence[str]) -> Iterator[str]:
    yield f"kept the damaged file as {kept.name}; delete it when you are sure that nothing is missing"
    yield f"made a new file of the {copied:,} rows that could be read"
    if lacking:
        yield f"could not read some rows of {', '.join(lacking)}"
    if lost := sorted(_ONLY_USER_KNOWS.intersection(lacking)):
        yield f"restore lost rows of {', '.join(lost)} yourself: see `memcrdt peers`, `space list` and `token list`"


def _keep_damaged(db: apsw.Connection, path: Path) -> Path:
    """Move the WAL into the damaged file, and copy the file. Return the path of the copy, in the same folder."""
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    kept = _kept_path(path)
    descriptor = os.open(kept, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with connections.open_file(path, read_only=True) as source, os.fdopen(descriptor, "wb") as target:
        size = source.xFileSize()
        for at in range(0, size, MIB):
            target.write(source.xRead(min(MIB, size - at), at))
        target.flush()
        os.fsync(target.fileno())
    return kept


def _kept_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
