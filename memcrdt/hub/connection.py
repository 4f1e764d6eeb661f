"""A connection to PostgreSQL that takes the SQL of the store (memcrdt/store/sql.py) and gives the values of SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, cast

import psycopg
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format, TransactionStatus
from psycopg_pool import PoolClosed

from memcrdt.errors import DiskFullError, InputError, StoreError
from memcrdt.store.sql import FOR_UPDATE

# PostgreSQL has no NUL in texts, and memories may have one. Reversible for any text, and the order of texts stays.
_ESCAPE: Final = "\x01"
_ESCAPES: Final = {"\0": "\x01\x01", _ESCAPE: "\x01\x02"}
_ESCAPED: Final = {after: before for before, after in _ESCAPES.items()}
_TO_ESCAPE: Final = re.compile("[\0\x01]")
_TO_UNESCAPE: Final = re.compile("\x01[\x01\x02]")
_IN_JSON: Final = re.compile(r"\\u0001\\u000([12])|\\.")  # the escapes as JSON has them; each other escape is one token
_UNESCAPED_JSON: Final = {"1": r"\u0000", "2": r"\u0001"}

_TOKEN: Final = re.compile(r"('[^']*')|\?(\d*)|(?<!:):([a-z_]+)|(%)|\b(json|json_array)\(")
# Functions of SQLite whose names PostgreSQL uses otherwise. The others are in schema/0003.sql.
_FUNCTIONS: Final = {"json": "escaped_json", "json_array": "json_build_array"}
_NUMBERED: Final = re.compile(r"\?[1-9]")


class ConflictError(StoreError):
    """Another process changed the same rows at the same time. Nothing was changed; do it again."""


class Rows:
    """The rows of a statement, as a cursor of apsw gives them."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return list(self._rows)

    @property
    def get(self) -> Any:
        """The first row, or its only value; None if there is no row."""
        row = self.fetchone()
        return row[0] if row is not None and len(row) == 1 else row


class PostgresConnection:
    """Implements memcrdt.store.sql.SqlConnection over a connection of psycopg in autocommit mode."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw
        self._changes = 0

    def execute(self, statements: str, bindings: Any = None) -> Rows:
        """Run a statement. `BEGIN` starts a transaction that reads one state of the database."""
        if statements == "BEGIN":
            statements = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        # In binary: as text, vectors and codes are hexadecimal digits, of twice the size.
        cursor = self.raw.execute(translate(statements), _values(statements, bindings), binary=True)
        self._changes = cursor.rowcount
        if statements == "COMMIT" and cursor.statusmessage != "COMMIT":
            raise StoreError("a transaction ended in a ROLLBACK, because a statement in it had failed")
        return Rows(cursor.fetchall() if cursor.description is not None else [])

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any]) -> None:
        """Run a statement once for each of the bindings, without waiting for each."""
        rows = [_values(statements, bindings) for bindings in sequenceofbindings]
        if rows:
            with self.raw.cursor() as cursor:
                cursor.executemany(translate(statements), rows)

    def changes(self) -> int:
        """Return the number of rows that the last statement changed."""
        return self._changes

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or has failed and waits for its ROLLBACK."""
        return self.raw.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def configure(raw: psycopg.Connection[Any]) -> None:
    """Set up a new connection: types as SQLite has them, and nothing that a transaction pooler would mix up."""
    raw.autocommit = True
    raw.prepare_threshold = None
    for kind, dumper in ((int, _IntDumper), (bool, _IntDumper), (str, _StrDumper)):
        raw.adapters.register_dumper(kind, dumper)
    raw.adapters.register_loader("text", _TextLoader)
    raw.adapters.register_loader("text", _BinaryTextLoader)
    raw.adapters.register_loader("json", _JsonLoader)
    raw.adapters.register_loader("json", _BinaryJsonLoader)


def check_address(dsn: str) -> None:
    """Raise InputError if this is not the address of a database. Whether one is there is not asked."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error:
        # Without the error of libpq: it repeats a part of the address, which may have a password.
        raise InputError(
            "the address of the database is not well formed; write postgresql://USER@HOST/NAME, or host=… dbname=…"
        ) from None


@lru_cache(512)
def translate(sql: str) -> Any:
    """Return the statement with the parameters of psycopg, and with locks for the comments that ask for them."""

    def replaced(token: re.Match[str]) -> str:
        literal, number, name, percent, function = token.groups()
        if literal is not None:
            return literal.replace("%", "%%")
        if percent is not None:
            return "%%"
        if function is not None:
            return f"{_FUNCTIONS[function]}("
        return f"%({name})s" if name is not None else f"%(p{number})s" if number else "%s"

    # Not FOR UPDATE: that would also wait for rows that only refer to this one.
    return _TOKEN.sub(replaced, sql.replace(FOR_UPDATE, " FOR NO KEY UPDATE")).encode()


def _values(sql: str, bindings: Any) -> Any:
    """Return the bindings as `translate` names them."""
    if bindings is not None and not isinstance(bindings, dict) and _NUMBERED.search(sql):
        return {f"p{number}": value for number, value in enumerate(bindings, 1)}
    return bindings or ()


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the errors of PostgreSQL into ours.

    Args:
        doing: The operation, such as "reading".
    """
    try:
        yield
    except (errors.SerializationFailure, errors.DeadlockDetected) as exc:
        raise ConflictError(f"{doing}: another process changed the same rows at the same time; try again") from exc
    except errors.DiskFull as exc:
        raise DiskFullError(f"{doing}: the disk of PostgreSQL is full; make room on it") from exc
    except PoolClosed as exc:
        raise StoreError("the store is closed; open it again") from exc
    except psycopg.OperationalError as exc:  # with the others of the pool
        if exc.sqlstate is None and "FATAL:" in str(exc):  # libpq has no code for a connection that was never made
            raise StoreError(
                f"{doing}: PostgreSQL refuses the connection ({_line(exc)}); check the role, the password and the name"
                " of the database in its address"
            ) from exc
        raise StoreError(
            f"{doing}: PostgreSQL does not answer ({_line(exc)}); check that it runs, and its address. If a change was"
            " under way, it was made completely or not at all"
        ) from exc
    except psycopg.Error as exc:
        raise StoreError(f"{doing}: PostgreSQL failed ({_line(exc)}); nothing was changed") from exc


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split())


class _IntDumper(Dumper):
    """Sends whole numbers and flags without a type, so that their place decides, as in SQLite."""

    def dump(self, obj: Any) -> Buffer:
        return b"%d" % obj


class _StrDumper(Dumper):
    def dump(self, obj: Any) -> Buffer:
        text = cast(str, obj)
        return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text).encode()


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        return _TO_UNESCAPE.sub(lambda found: _ESCAPED[found[0]], text) if _ESCAPE in text else text


class _JsonLoader(Loader):
    """Returns JSON as text, whose strings are those that were stored."""

    def load(self, data: Buffer) -> str:
        return _IN_JSON.sub(_original, bytes(data).decode())


class _BinaryTextLoader(_TextLoader):
    format = Format.BINARY


class _BinaryJsonLoader(_JsonLoader):
    format = Format.BINARY


def _original(escape: re.Match[str]) -> str:
    return _UNESCAPED_JSON[escape[1]] if escape[1] else escape[0]
