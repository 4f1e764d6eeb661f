"""Migrations: the numbered files under schema/ bring a store to the newest schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import apsw

from memcrdt.errors import CorruptError, SchemaError
from memcrdt.store import vector_forms

NEWEST = 18  # the number of the last file: to read a store, nobody should have to list the folder
_COPIES_VECTORS = 17  # the version whose table of vectors is filled from the one before
_COPY_VECTORS = """
INSERT INTO vectors(vector, model, passage, embedding)
  SELECT vector, model, passage, CASE element_bytes WHEN ? THEN int16_of(embedding) ELSE embedding END
  FROM vectors_before JOIN models USING(model) ORDER BY vector"""
# Also the number of the last vector: it may be deleted, and is not used again.
_COPY_COUNTER = """
DELETE FROM sqlite_sequence WHERE name = 'vectors';
INSERT INTO sqlite_sequence(name, seq) SELECT 'vectors', seq FROM sqlite_sequence WHERE name = 'vectors_before'"""
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
                if number == _COPIES_VECTORS:
                    _copy_vectors(db)
                db.execute(f"PRAGMA user_version = {number}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("COMMIT")
    except BaseException:  # also on Ctrl-C: the file must stay unchanged
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _copy_vectors(db: apsw.Connection) -> None:
    """Copy the vectors into their new table, those of models with int16 in that form."""

    def int16_of(*blobs: Any) -> bytes:
        import numpy as np

        blob: bytes = blobs[0]
        if len(blob) % vector_forms.FLOAT_BYTES:
            return blob  # damaged: searches pass it by
        vectors = np.frombuffer(blob, "<f4")[None]
        if not (vectors.any() and np.isfinite(vectors).all()):
            return blob
        return vector_forms.stored(vectors, vector_forms.INT16_BYTES).tobytes()

    db.create_scalar_function("int16_of", int16_of, 1, deterministic=True)
    db.execute(_COPY_VECTORS, (vector_forms.INT16_BYTES,))
    db.execute(_COPY_COUNTER)
    db.create_scalar_function("int16_of", None, 1)
