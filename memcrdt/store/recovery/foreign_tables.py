"""Read the tables of another program's SQLite file, from a copy.

The other program may have the file open. So the file is copied with its WAL or journal, SQLite completes the copy, and
nothing is written beside the original. The copy is then read as a file that may come from anybody: plain columns of
plain tables only (foreign_file.py). Values are texts, numbers or None. A BLOB is None: it may be a pickle.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.store.recovery import foreign_file

Value: TypeAlias = str | int | float | None

HEADER: Final = b"SQLite format 3\0"  # the first bytes of every SQLite file
FILE_BYTES: Final = 16 * 1024 * limits.MIB
VALUE_BYTES: Final = 16 * limits.MIB

_BESIDE: Final = ("-wal", "-journal")  # not -shm: SQLite makes it again
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


class Tables:
    """The tables of a file. Its methods raise InputError if the file is damaged."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._columns: dict[str, list[str]] = {}
        self._most = foreign_file.most_rows(db)

    def has(self, table: str, *columns: str) -> bool:
        """Return whether there is a plain table with these columns."""
        if table not in self._columns:
            with _told():
                self._columns[table] = foreign_file.plain_columns(self._db, table)
        return bool(self._columns[table]) and set(columns) <= set(self._columns[table])

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, Value] | None = None,
        order: Sequence[str] = (),
    ) -> Iterator[dict[str, Value]]:
        """Yield rows as mappings. A column that the table does not have is None: versions of a program differ.

        Args:
            table: The table. Without such a table there are no rows.
            columns: The columns to read.
            where: Values that columns must have. The columns must exist.
            order: Columns to sort by. They must exist.
        """
        if not self.has(table):
            return
        there = [name for name in columns if self.has(table, name)]
        sql = f"SELECT {', '.join(map(_value, there)) or 'NULL'} FROM {_name(table)}"
        if where:
            sql += f" WHERE {' AND '.join(f'{_name(name)} IS ?' for name in where)}"
        if order:
            sql += f" ORDER BY {', '.join(map(_name, order))}"
        absent = dict.fromkeys(columns)
        with _told():
            for number, row in enumerate(self._db.execute(sql, tuple((where or {}).values()))):
                if number >= self._most:
                    raise InputError("the database is damaged: a table has no end")
                yield {**absent, **dict(zip(there, map(_text, row), strict=False))}

    def count(self, table: str) -> int:
        """Return the number of rows of a table, 0 without it."""
        if not self.has(table):
            return 0
        with _told():
            return int(self._db.execute(f"SELECT count(*) FROM {_name(table)}").get)


def is_database(path: Path) -> bool:
    """Return whether a file is a SQLite file. Raises OSError if it is missing, or cannot be read."""
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER


@contextmanager
def copied(path: Path) -> Iterator[Tables]:
    """Lend the tables of a copy of a file.

    Raises:
        InputError: The file is too large, damaged, or written all the time.
        OSError: The file cannot be read, or there is no room for the copy.
    """
    with tempfile.TemporaryDirectory(prefix="memcrdt-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "copy.db"
        _copy(path.resolve(), copy)
        with _told():
            with closing(apsw.Connection(str(copy))) as db:  # applies the WAL or the journal
                db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
                db.execute("PRAGMA trusted_schema = OFF")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            with foreign_file.opened(copy) as db:
                yield Tables(db)


def _copy(path: Path, copy: Path) -> None:
    """Copy a file with what is beside it, as of one moment: again if it was written meanwhile."""
    files = [(path, copy), *((path.with_name(path.name + each), copy.with_name(copy.name + each)) for each in _BESIDE)]
    for _ in range(_ATTEMPTS):
        before = [_state(source) for source, _ in files]
        if sum(size for size, _ in before) > FILE_BYTES:
            raise InputError(f"the database is larger than {FILE_BYTES // limits.MIB:,} MiB, the maximum")
        for source, target in files:
            target.unlink(missing_ok=True)
            if source.exists():
                shutil.copyfile(source, target)
        if [_state(source) for source, _ in files] == before:
            return
        time.sleep(_PAUSE_S)
    raise InputError("another program writes to the database all the time; close it, and import again")


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(column: str) -> str:
    """Return the expression for a column. Texts are read as bytes, because they may not be UTF-8."""
    name = _name(column)
    return (
        f"CASE typeof({name}) WHEN 'blob' THEN NULL WHEN 'text' THEN"
        f" iif(octet_length({name}) > {VALUE_BYTES}, NULL, CAST({name} AS BLOB)) ELSE {name} END"
    )


def _text(value: object) -> Value:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, (int, float)) else None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as exc:
        raise InputError(f"the database cannot be read ({exc}); it is damaged, or no database of this program") from exc
