"""Migrations: the numbered files under schema/ bring a store to the newest schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import apsw

from memcrdt.errors import CorruptError, SchemaError
from memcrdt.store import vector_forms

NEWEST = 17  # the number of the last file: to read a store, nobody should have to list the folder
_WHOLE_VECTORS = 17  # the version from which on vectors of the static model are int16
_SHORTEN = """
UPDATE vectors SET embedding = int16_of(embedding)
WHERE model IN (SELECT model FROM models WHERE element_bytes = ?)"""
APPLICATION_ID = 0x6D637264  # "mcrd": marks a SQLite file as a store


@cache
def scripts() -> dict[int, str]:
    """Return the SQL script of each version, in ascending order."""
    from importlib import resources

    folder = resources.files("memcrdt.store") / "schema"
    found = {int(f.name[:4]): f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".sql")}
    return dict(sorted(found.items()))


def check(db: apsw.Connection, path: Path) -> int:
    """Return the schema version of the file, 0 when it is empty.

    Raises:
        SchemaError: The file is not a store, or has a newer schema version.
        CorruptError: The header of the file is damaged.
    """
    version = int(db.pragma("user_version"))
    if is_spoiled(db):
        raise CorruptError(f"the header of {path} names schema {version}, which does not exist; run `memcrdt doctor`")
    if is_ours(db):
        if version > NEWEST:
            raise SchemaError(
                f"{path} was written by a newer memcrdt (schema {version}, this one knows {NEWEST}); upgrade memcrdt"
            )
        return version
    if db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None:
        raise SchemaError(f"{path} is a SQLite file of another program; move it away, or name another home")
    return 0


def is_ours(db: apsw.Connection) -> bool:
    """Return whether the file is marked as a store."""
    return int(db.pragma("application_id")) == APPLICATION_ID


def is_spoiled(db: apsw.Connection) -> bool:
    """Return whether the file is marked as a store but has an impossible schema version."""
    return is_ours(db) and int(db.pragma("user_version")) < 1


def is_newest(db: apsw.Connection, path: Path) -> bool:
    """Return whether the file is a store of the newest schema. Raises the errors of `check`."""
    return check(db, path) == NEWEST


def migrate(db: apsw.Connection, path: Path) -> None:
    """Run the missing migrations. Several processes may call this at once: the write lock admits one."""
    if is_newest(db, path):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = check(db, path)
        for number, sql in scripts().items():
            if number > version:
                db.execute(sql)
                if number == _WHOLE_VECTORS:
                    _shorten_vectors(db)
                db.execute(f"PRAGMA user_version = {number}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("COMMIT")
    except BaseException:  # also on Ctrl-C: the file must stay unchanged
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _shorten_vectors(db: apsw.Connection) -> None:
    """Rewrite the vectors of models that have int16 from now on."""

    def int16_of(*blobs: Any) -> bytes:
        import numpy as np

        vectors = np.frombuffer(blobs[0], "<f4")[None]
        return vector_forms.stored(vectors, vector_forms.INT16_BYTES).tobytes()

    db.create_scalar_function("int16_of", int16_of, 1, deterministic=True)
    db.execute(_SHORTEN, (vector_forms.INT16_BYTES,))
    db.create_scalar_function("int16_of", None, 1)
