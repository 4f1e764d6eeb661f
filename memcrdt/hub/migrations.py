"""Migrations: the numbered files under schema/ bring a database to the newest schema."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import psycopg

from memcrdt.errors import SchemaError, StoreError
from memcrdt.hub.connection import translated

_LOCK: Final = 0x6D637264  # of pg_advisory_xact_lock: one of several starting processes migrates
_LEAST_VERSION: Final = 140_000
_TABLE: Final = "CREATE TABLE IF NOT EXISTS schema_version(version integer NOT NULL)"


def scripts() -> dict[int, str]:
    """Return the SQL script of each version, in ascending order."""
    folder = resources.files("memcrdt.hub") / "schema"
    found = {int(f.name[:4]): f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".sql")}
    return dict(sorted(found.items()))


def migrate(raw: psycopg.Connection[Any]) -> None:
    """Run the missing migrations in one transaction.

    Raises:
        SchemaError: A newer version of memcrdt wrote the database.
        StoreError: The server is too old, its database does not store UTF-8, or it failed.
    """
    check_server(raw)
    with translated("migrating"), raw.transaction():
        raw.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        raw.execute(_TABLE)
        version = int(_one(raw, "SELECT coalesce(max(version), 0) FROM schema_version"))
        newest = max(scripts())
        if version > newest:
            raise SchemaError(
                f"the database was written by a newer memcrdt (schema {version}, this one knows {newest}); upgrade"
                " memcrdt"
            )
        for number, sql in scripts().items():
            if number > version:
                raw.execute(sql.encode())
                raw.execute("INSERT INTO schema_version VALUES(%s)", (number,))


def check_server(raw: psycopg.Connection[Any]) -> None:
    """Raise StoreError if the server is too old, or its database does not store UTF-8."""
    if raw.info.server_version < _LEAST_VERSION:
        raise StoreError(f"PostgreSQL {raw.info.server_version // 10_000} is too old; use version 14 or newer")
    with translated("opening"):
        encoding = _one(raw, "SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"the database stores texts as {encoding}; make one that stores UTF-8: CREATE DATABASE ... ENCODING 'UTF8'"
            " TEMPLATE template0"
        )


def _one(raw: psycopg.Connection[Any], sql: str) -> Any:
    row = raw.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]
