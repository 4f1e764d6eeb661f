"""Read the rows of a table with damaged pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import apsw

# The errors for damaged bytes: SQLite finds them corrupt or too big, or they are not valid UTF-8.
UNREADABLE: Final = (apsw.Error, UnicodeDecodeError, MemoryError)

_LAST_ROWID: Final = 2**63 - 1
_PROBES: Final = 100_000  # the maximum number of probes behind the damage in one table

Values: TypeAlias = tuple[Any, ...]


class DamagedTable:
    """The readable part of a table. After `rows`, `is_whole` is whether every row was read.

    Args:
        db: The damaged database.
        name: The name of the table.
        columns: The columns to read.
        key: The columns of the primary key: the rowid, or all columns of the key in a table without rowids.
        most: The maximum number of rows. A damaged tree may lead back to itself.
    """

    def __init__(self, db: apsw.Connection, name: str, columns: Sequence[str], key: Sequence[str], most: int) -> None:
        self.name = name
        self.columns = columns
        self.is_whole = True
        self._db = db
        self._key = key
        self._places = [columns.index(column) for column in key]
        self._probes = _PROBES
        self._left = most
        self._ended_well = False

    def rows(self, *, by_number: bool) -> Iterator[Values]:
        """Yield every readable row once. `by_number` is for tables with rowids."""
        if by_number:
            return self._between(-1 - _LAST_ROWID, _LAST_ROWID)
        return self._from_both_ends()

    def _between(self, low: int, high: int) -> Iterator[Values]:
        """Yield the rows with numbers in this range: upwards to the damage, downwards to it, and the rest in halves.

        A damaged tree may also yield rows outside the range. They must not widen it.
        """
        for row in self._run("BETWEEN ? AND ?", (low, high), ""):
            yield row
            low = max(low, _number(row[self._places[0]], low) + 1)
        if self._ended_well:
            return
        for row in self._run("BETWEEN ? AND ?", (low, high), "DESC"):
            yield row
            high = min(high, _number(row[self._places[0]], high) - 1)
        self._probes -= 1
        if low < high and self._probes > 0:
            middle = (low + high) // 2
            yield from self._between(low, middle)
            yield from self._between(middle + 1, high)

    def _from_both_ends(self) -> Iterator[Values]:
        """Yield the rows upwards to the damage, and downwards to it."""
        last: Values | None = None
        for row in self._run("", (), ""):
            yield row
            last = tuple(row[place] for place in self._places)
        if not self._ended_well:
            behind = "" if last is None else f"> ({', '.join('?' * len(last))})"
            yield from self._run(behind, last or (), "DESC")

    def _run(self, which: str, bindings: Values, direction: str) -> Iterator[Values]:
        """Yield rows in key order until a row cannot be read. `_ended_well` is then whether all were read."""
        condition = f"WHERE ({', '.join(self._key)}) {which}" if which else ""
        order = ", ".join(f"{column} {direction}" for column in self._key)
        sql = f"SELECT {', '.join(self.columns)} FROM {self.name} NOT INDEXED {condition} ORDER BY {order}"
        self._ended_well = False
        try:
            for row in self._db.execute(sql, bindings):
                if self._left <= 0:
                    self.is_whole = False
                    return
                self._left -= 1
                yield row
        except UNREADABLE:
            self.is_whole = False
            return
        self._ended_well = True


def _number(value: object, otherwise: int) -> int:
    """Return the number of a row. A file from elsewhere may have other keys."""
    return value if isinstance(value, int) else otherwise


def readable_rows(old: apsw.Connection, sql: str) -> list[Values]:
    """Return the rows of a query, or none if they are damaged too."""
    try:
        return list(old.execute(sql))
    except UNREADABLE:
        return []
